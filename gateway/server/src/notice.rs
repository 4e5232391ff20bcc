//! Tells the outside that the gateway serves: systemd by its socket, harnesses by a file.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use gateway_model::id::GatewayId;

/// Name of the file in the folder of the store.
pub const ADDRESSES: &str = "addresses.json";

/// Where a gateway serves, after ports 0 have become real ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// The doors.
    pub doors: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
    /// The console, when there is one.
    pub console: Option<SocketAddr>,
}

impl Addresses {
    /// Writes `addresses.json`: `{"gateway":…,"doors":"host:port","admin":"host:port","pid":…}`. It appears whole or not at all.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path, gateway: &GatewayId) -> std::io::Result<PathBuf> {
        let path = folder.join(ADDRESSES);
        let new = path.with_extension("new");
        let text = serde_json::json!({
            "gateway": gateway.as_str(),
            "doors": self.doors.to_string(),
            "admin": self.admin.to_string(),
            "console": self.console.map(|address| address.to_string()),
            "pid": std::process::id(),
        });
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(format!("{text}\n").as_bytes())?;
        std::fs::rename(&new, &path)?;
        Ok(path)
    }
}

/// Removes the file of an earlier run; there may be none.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn forget_addresses(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(folder.join(ADDRESSES)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What systemd is told (sd_notify).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The gateway serves.
    Ready,
    /// The gateway drains.
    Stopping,
}

/// Tells systemd, when it is there (`NOTIFY_SOCKET`). That it does not listen is no fault of the gateway.
pub fn tell_systemd(state: State) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(Path::new(&socket), state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

fn send(socket: &Path, state: State) -> std::io::Result<()> {
    let message: &[u8] = match state {
        State::Ready => b"READY=1",
        State::Stopping => b"STOPPING=1",
    };
    let datagram = std::os::unix::net::UnixDatagram::unbound()?;
    match abstract_name(socket) {
        Some(address) => datagram.send_to_addr(message, &address?)?,
        None => datagram.send_to(message, socket)?,
    };
    Ok(())
}

/// `@name` is a name of Linux's abstract namespace.
#[cfg(target_os = "linux")]
fn abstract_name(socket: &Path) -> Option<std::io::Result<std::os::unix::net::SocketAddr>> {
    use std::os::linux::net::SocketAddrExt as _;
    let name = socket.to_str()?.strip_prefix('@')?;
    Some(std::os::unix::net::SocketAddr::from_abstract_name(name))
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_socket: &Path) -> Option<std::io::Result<std::os::unix::net::SocketAddr>> {
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn systemd_hears_that_the_gateway_serves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        send(&path, State::Ready).unwrap();
        let mut buffer = [0; 64];
        let length = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
    }

    #[test]
    fn the_addresses_of_an_earlier_run_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let addresses = Addresses {
            doors: "127.0.0.1:7101".parse().unwrap(),
            admin: "127.0.0.1:7102".parse().unwrap(),
            console: None,
        };
        let path = addresses.write(folder.path(), &GatewayId::parse("gw").unwrap()).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((read["doors"].as_str(), read["gateway"].as_str()), (Some("127.0.0.1:7101"), Some("gw")));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "nobody else reads it");
        forget_addresses(folder.path()).unwrap();
        forget_addresses(folder.path()).unwrap();
        assert!(!path.exists());
    }
}
