//! A POST as the system behind an adapter sends it: plain HTTP to this machine.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Sends `body` and gives the status of the answer.
///
/// # Errors
/// When nobody answers in HTTP.
pub async fn post(url: &str, headers: &[(String, String)], body: &str) -> std::io::Result<u16> {
    let strange = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, what.to_owned());
    let rest = url.strip_prefix("http://").ok_or_else(|| strange("the address does not begin with http://"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).await?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut start = [0; 12];
    tokio::time::timeout(ANSWER_TIME_MAX, stream.read_exact(&mut start)).await??;
    let status = std::str::from_utf8(&start).ok().and_then(|text| text.get(9..12)).and_then(|code| code.parse().ok());
    status.ok_or_else(|| strange("the answer is not HTTP"))
}
