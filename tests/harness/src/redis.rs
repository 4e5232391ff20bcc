//! A real Redis process in a folder that goes with it, set so that it keeps what it acknowledges.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;

/// Far longer than any start takes.
const START_TIME_MAX: Duration = Duration::from_secs(30);

/// A running Redis. It is killed when it goes out of scope.
pub struct Redis {
    folder: TempDir,
    address: SocketAddr,
    process: Option<Child>,
}

impl Redis {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When `redis-server` is not installed, or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = tempfile::Builder::new().prefix("lienthong-redis-").tempdir()?;
        let mut redis = Self { folder, address, process: None };
        redis.spawn().await?;
        Ok(redis)
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What makes a gateway keep its store here, as environment variables.
    pub fn environment(&self) -> Vec<(String, String)> {
        let pairs =
            [("LIENTHONG_STORE__KIND", "redis".to_owned()), ("LIENTHONG_REDIS__ADDRESSES", self.address.to_string())];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// Kills it, as a lost machine does.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Starts it on what is in its folder, and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn spawn(&mut self) -> anyhow::Result<()> {
        let process = Command::new("redis-server")
            .args(["--port", &self.address.port().to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("redis-server is missing: tests/run installs it")?;
        self.process = Some(process);
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            anyhow::ensure!(begun.elapsed() < START_TIME_MAX, "redis-server does not start");
            // reason: a process that starts tells nobody when it is there; only asking again finds out.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself; either way it is gone after this.
            process.kill().ok();
            process.wait().ok();
        }
    }
}
