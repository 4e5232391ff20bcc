//! What happens at the worst moment: a lease that is lost while the effect is written down, a configuration that cannot be read.

use std::sync::mpsc;

use super::*;

/// A system that takes at once, while the worker's memory stands still until it is let go.
struct Slow {
    journal: Journal,
    released: Mutex<Option<mpsc::Receiver<()>>>,
}

#[async_trait::async_trait]
impl Adapter for Slow {
    async fn deliver(&self, _: &Delivery) -> Outcome {
        if let Some(released) = self.released.lock().unwrap().take() {
            let (stalled, stands) = mpsc::channel();
            let journal = self.journal.clone();
            std::thread::spawn(move || journal.stall(&stalled, &released));
            stands.recv().unwrap();
        }
        Outcome::Taken { receipt: None }
    }

    async fn check(&self) -> Health {
        Health::Up
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_system_took_is_remembered_though_its_lease_is_lost_while_that_is_written() {
    let gateway = Gateway::new();
    let (_server, settings) = gateway.listen().await;
    let (info, client) = (info(Effect::Once), link::client(&settings).unwrap());
    let session = Session::begin(client.clone(), introduction(&settings, &info, &[])).await.unwrap();
    let (release, released) = mpsc::channel();
    let journal = Journal::in_memory();
    let bench = Arc::new(Bench {
        adapter: Arc::new(Slow { journal: journal.clone(), released: Mutex::new(Some(released)) }),
        client,
        session: Arc::new(session),
        journal: journal.clone(),
        effect: Effect::Once,
        queue: settings.queue.clone(),
        leases: Leases::default(),
    });
    let leased = leased(1, "H99.21", &[]);
    let digest = Digest::of(&leased.envelope.as_ref().unwrap().envelope);
    let lease = Lease::new(&leased);
    let mut work = tokio::spawn(bench.work(leased, lease.clone()));
    // The adapter has taken it as soon as the memory stands still; only then is the lease lost.
    while journal.is_free() {
        tokio::task::yield_now().await;
    }
    lease.lose();
    let ended = tokio::time::timeout(Duration::from_millis(300), &mut work).await;
    assert!(ended.is_err(), "the next lease of the delivery would look now, and find nothing");
    release.send(()).unwrap();
    work.await.unwrap();
    assert_eq!(journal.recall(&id(1), digest), journal::Memory::Taken);
    assert!(gateway.known().completed.is_empty(), "nothing is said under a lease that is lost");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_told_to_the_gateway_as_any_other_fault() {
    let gateway = Gateway::new();
    let (_server, settings) = gateway.listen().await;
    let fault = ConfigFault { key: "LIENTHONG_CONFIG".to_owned(), problem: "is no TOML".to_owned() };
    let ended = refuse(&settings, &info(Effect::Once), vec![fault]).await;
    assert_eq!(ended.exit_code(), 78);
    let registered = gateway.known().registered.pop().unwrap();
    assert_eq!(registered.problems[0].problem, "is no TOML");
}
