//! A Redis process in a folder of its own, set so that it keeps what it acknowledges.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::free_ports;

/// Far longer than any start takes.
const START_TIME_MAX: Duration = Duration::from_secs(30);

/// A running Redis. It is killed when it goes out of scope.
#[derive(Debug)]
pub struct Redis {
    folder: PathBuf,
    address: SocketAddr,
    is_durable: bool,
    process: Option<Child>,
}

impl Redis {
    /// Starts one on a free port, with its file in `folder`.
    ///
    /// # Errors
    /// When `redis-server` is not installed, or does not start.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, true).await
    }

    /// The same, but it forgets everything when it ends.
    ///
    /// # Errors
    /// When `redis-server` is not installed, or does not start.
    pub async fn start_forgetful(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, false).await
    }

    async fn start_with(folder: &Path, is_durable: bool) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let port = free_ports(1)?.remove(0);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut redis = Self { folder: folder.to_owned(), address, is_durable, process: None };
        redis.spawn().await?;
        Ok(redis)
    }

    /// Process id, while it runs.
    pub fn process(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What makes a gateway keep its store here, as environment variables.
    pub fn environment(&self) -> Vec<(String, String)> {
        let pairs =
            [("LIENTHONG_STORE__KIND", "redis".to_owned()), ("LIENTHONG_REDIS__ADDRESSES", self.address.to_string())];
        let trial = ("LIENTHONG_REDIS__TRIAL_WITHOUT_DURABILITY", "true".to_owned());
        let pairs = pairs.into_iter().chain((!self.is_durable).then_some(trial));
        pairs.map(|(name, value)| (name.to_owned(), value)).collect()
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

    /// Stops it in its tracks, as an overloaded machine does, or lets it go on.
    ///
    /// # Errors
    /// When it does not run, or the signal cannot be sent.
    pub fn freeze(&self, frozen: bool) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("it does not run")?.id();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").arg(signal).arg(process.to_string()).status()?;
        anyhow::ensure!(status.success(), "cannot signal redis-server");
        Ok(())
    }

    /// Starts it on what is in its folder, and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn spawn(&mut self) -> anyhow::Result<()> {
        let process = Command::new("redis-server")
            .args(["--port", &self.address.port().to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", if self.is_durable { "yes" } else { "no" }, "--appendfsync", "always", "--dir"])
            .arg(&self.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("redis-server is missing: install it (Debian: redis-server)")?;
        self.process = Some(process);
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            anyhow::ensure!(begun.elapsed() < START_TIME_MAX, "redis-server does not start");
            // A process that starts tells nobody when it is there; only asking again finds out.
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
