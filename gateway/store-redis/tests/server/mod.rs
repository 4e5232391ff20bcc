//! Real Redis servers of the tests' own: on a free port, in a folder that goes with them.

// Each test file uses a part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use gateway_model::note::NoteSigner;
use gateway_store_redis::{OpenOptions, Server, Topology};
use tempfile::TempDir;

/// Far longer than any start takes.
const DEADLINE: Duration = Duration::from_secs(60);
/// What makes a server durable.
pub const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
/// Another process may take a free port first: then the next one is tried.
const PORTS_TRIED: usize = 20;

/// One server. It is killed when it goes out of scope.
pub struct Redis {
    folder: TempDir,
    port: u16,
    /// Where it speaks TLS.
    tls_port: Option<u16>,
    /// What comes first: a configuration file, when it needs one.
    first: Vec<String>,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Redis {
    /// Starts one that keeps what it acknowledges.
    pub fn durable() -> Self {
        Self::start(&DURABLE)
    }

    /// Starts one with settings.
    pub fn start(settings: &[&str]) -> Self {
        let arguments: Vec<String> = settings.iter().map(|word| (*word).to_owned()).collect();
        Self::on_a_free_port(|redis| redis.arguments.clone_from(&arguments))
    }

    /// Starts one that speaks TLS on a second port.
    pub fn with_tls(settings: &[String]) -> Self {
        Self::on_a_free_port(|redis| {
            let port = free_port();
            redis.tls_port = Some(port);
            redis.arguments = settings.to_vec();
            redis.arguments.extend(["--tls-port".to_owned(), port.to_string()]);
        })
    }

    /// Starts a sentinel with what stands in its configuration file, which it rewrites.
    pub fn sentinel(settings: &str) -> Self {
        Self::on_a_free_port(|redis| {
            let file = redis.folder.path().join("sentinel.conf");
            std::fs::write(&file, settings).unwrap();
            redis.first = vec![file.to_str().unwrap().to_owned()];
            redis.arguments = vec!["--sentinel".to_owned()];
        })
    }

    fn on_a_free_port(prepare: impl Fn(&mut Self)) -> Self {
        for _ in 0..PORTS_TRIED {
            let mut redis = Self {
                folder: TempDir::new().unwrap(),
                port: free_port(),
                tls_port: None,
                first: Vec::new(),
                arguments: Vec::new(),
                process: None,
            };
            prepare(&mut redis);
            if redis.try_restart() {
                return redis;
            }
        }
        panic!("no free port for redis-server");
    }

    pub fn tls_address(&self) -> String {
        format!("127.0.0.1:{}", self.tls_port.unwrap())
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it as a lost machine does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts it again on what it has in its folder.
    pub fn restart(&mut self) {
        assert!(self.try_restart(), "redis-server does not start again");
    }

    /// Sends it a signal by name, such as STOP or CONT.
    pub fn signal(&self, signal: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
    }

    /// Asks it something.
    pub fn ask(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(format!("redis://{}", self.address())).unwrap();
        let mut connection = client.get_connection_with_timeout(DEADLINE).unwrap();
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]);
        cmd.query(&mut connection).unwrap()
    }

    /// Whether it runs; not when its port is taken.
    fn try_restart(&mut self) -> bool {
        let process = Command::new("redis-server")
            .args(&self.first)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed: `tests/run` does it");
        self.process = Some(process);
        let begun = Instant::now();
        while begun.elapsed() < DEADLINE {
            if self.process.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            if self.is_serving() {
                return true;
            }
            // reason: a process that starts tells nobody when it is there; only asking again finds out.
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not serve");
    }

    /// Whether it answers, and from our folder: not another's server on a port that was taken meanwhile.
    fn is_serving(&self) -> bool {
        let Ok(client) = redis::Client::open(format!("redis://{}", self.address())) else { return false };
        let Ok(mut connection) = client.get_connection_with_timeout(Duration::from_secs(1)) else { return false };
        if !self.first.is_empty() {
            return redis::cmd("PING").query::<String>(&mut connection).is_ok();
        }
        let told: redis::RedisResult<Vec<String>> = redis::cmd("CONFIG").arg("GET").arg("dir").query(&mut connection);
        let ours = self.folder.path().canonicalize().unwrap();
        told.is_ok_and(|told| told.last().is_some_and(|dir| Path::new(dir) == ours))
            && redis::cmd("PING").query::<String>(&mut connection).is_ok()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself.
            process.kill().ok();
            process.wait().ok();
        }
    }
}

/// A Cluster of three masters without replicas.
pub struct Cluster(Vec<Redis>);

impl Cluster {
    pub fn start() -> Self {
        let masters: Vec<Redis> = (0..3).map(|_| Self::master()).collect();
        let ranges = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        for (epoch, (master, (from, until))) in (1..).zip(masters.iter().zip(ranges)) {
            master.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()]);
            master.ask(&["CLUSTER", "ADDSLOTSRANGE", from, until]);
        }
        for other in &masters[1..] {
            let (port, bus) = (other.port().to_string(), other.bus_port().to_string());
            masters[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let begun = Instant::now();
        while !masters.iter().all(Redis::is_whole) {
            assert!(begun.elapsed() < DEADLINE, "the Cluster does not come together");
            // reason: nodes of a Cluster meet by gossip and tell nobody when they have; only asking again finds out.
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(masters)
    }

    pub fn server(&self) -> Server {
        let addresses = self.0.iter().map(Redis::address).collect();
        Server { topology: Topology::Cluster, addresses, ..Server::single("") }
    }

    /// Keys that each master has.
    pub fn keys(&self) -> Vec<i64> {
        let count = |master: &Redis| match master.ask(&["DBSIZE"]) {
            redis::Value::Int(count) => count,
            other => panic!("{other:?}"),
        };
        self.0.iter().map(count).collect()
    }

    fn master() -> Redis {
        let bus = free_port().to_string();
        let mut settings = DURABLE.to_vec();
        settings.extend(["--cluster-enabled", "yes", "--cluster-node-timeout", "5000", "--cluster-port", &bus]);
        Redis::start(&settings)
    }
}

impl Redis {
    fn bus_port(&self) -> u16 {
        let at = self.arguments.iter().position(|word| word == "--cluster-port").unwrap();
        self.arguments[at + 1].parse().unwrap()
    }

    fn is_whole(&self) -> bool {
        let told: String = redis::from_redis_value(self.ask(&["CLUSTER", "INFO"])).unwrap();
        told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:3") && told.contains("cluster_size:3")
    }
}

/// The same server for all tests that run at the same time; it goes with the last of them.
pub fn shared<T>(slot: &Mutex<Weak<T>>, start: impl FnOnce() -> T) -> Arc<T> {
    // A test that failed while it started one leaves nothing behind.
    let mut slot = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(running) = slot.upgrade() {
        return running;
    }
    let started = Arc::new(start());
    *slot = Arc::downgrade(&started);
    started
}

/// Options for a store of a test's own under `prefix`.
pub fn options(server: Server, prefix: &str, signer: NoteSigner) -> OpenOptions {
    OpenOptions { prefix: prefix.to_owned(), free_bytes_min: 0, ..OpenOptions::new(server, signer) }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
