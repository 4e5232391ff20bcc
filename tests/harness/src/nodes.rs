//! Two nodes of one gateway on one Redis, behind a balancer at the address that the directory names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_cli::local::redis::Redis;
use gateway_cli::local::{self, Local};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Between two questions whether a node is ready.
const LOOK: Duration = Duration::from_millis(100);
/// How often it looks for a node that is ready before it turns a caller away.
const LOOKS_FOR_A_NODE: usize = 50;

/// The nodes of a gateway.
pub struct Nodes {
    /// Their numbers in the federation.
    pub numbers: [usize; 2],
    /// The balancer; it ends with this.
    _balancer: JoinSet<()>,
}

impl Nodes {
    /// Lays out a second node of gateway `number`, puts both on `redis` with one folder of parts, and stands a balancer before them. Starts
    /// neither.
    ///
    /// # Errors
    /// When there are no free ports.
    pub async fn lay_out(local: &mut Local, number: usize, redis: &Redis) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], local.gateways[number].port));
        let other = local.add_node(number, "b")?;
        let port = local::free_ports(1)?.remove(0);
        let first = &mut local.gateways[number];
        first.port = port;
        let own = [("LIENTHONG_LISTEN__DOORS", format!("127.0.0.1:{port}")), ("LIENTHONG_REDIS__NODE", "a".to_owned())];
        first.environment.extend(own.map(|(key, value)| (key.to_owned(), value)));
        let parts = first.store.join("parts").display().to_string();
        let mut behind = Vec::new();
        for number in [number, other] {
            let node = &mut local.gateways[number];
            node.environment.extend(redis.environment());
            node.environment.push(("LIENTHONG_PARTS__PATH".to_owned(), parts.clone()));
            behind.push((node.port, node.admin_port));
        }
        let listener = TcpListener::bind(address).await?;
        let mut balancer = JoinSet::new();
        balancer.spawn(balance(listener, behind));
        Ok(Self { numbers: [number, other], _balancer: balancer })
    }
}

/// Takes connections for the nodes that are ready, in turn. What goes to a node that is not ready any more is cut.
async fn balance(listener: TcpListener, nodes: Vec<(u16, u16)>) {
    let mut tasks = JoinSet::new();
    let mut ready = Vec::new();
    for (port, admin_port) in nodes {
        let (tells, hears) = watch::channel(false);
        tasks.spawn(async move {
            loop {
                tells.send_replace(local::is_ready(admin_port).await);
                // reason: a balancer asks its nodes again and again; none of them tells it by itself.
                tokio::time::sleep(LOOK).await;
            }
        });
        ready.push((port, hears));
    }
    let ready = Arc::new(ready);
    for turn in 0.. {
        let Ok((caller, _)) = listener.accept().await else { continue };
        tasks.spawn(carry(caller, ready.clone(), turn));
    }
}

async fn carry(mut caller: TcpStream, nodes: Arc<Vec<(u16, watch::Receiver<bool>)>>, turn: usize) {
    let in_turn = || nodes.iter().cycle().skip(turn % nodes.len()).take(nodes.len());
    let mut found = None;
    for _ in 0..LOOKS_FOR_A_NODE {
        found = in_turn().find(|(_, ready)| *ready.borrow());
        if found.is_some() {
            break;
        }
        // reason: a balancer holds a caller for a moment while no node is ready.
        tokio::time::sleep(LOOK).await;
    }
    let Some((port, ready)) = found else { return };
    let mut ready = ready.clone();
    let Ok(mut node) = TcpStream::connect(("127.0.0.1", *port)).await else { return };
    tokio::select! {
        // Either end may break off; the other end then sees it.
        _ = tokio::io::copy_bidirectional(&mut caller, &mut node) => {}
        _ = ready.wait_for(|ready| !ready) => {}
    }
}
