//! Serves the console over invented values, for whoever changes how it looks: `cargo run -p gateway-console --example preview`.
#![allow(clippy::unwrap_used, reason = "a tool for developers")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use gateway_console::{Caller, Console, People, Sessions, SignedIn, router};
use gateway_model::id::OperatorId;
use gateway_model::language::Language;
use gateway_model::{Digest, Timestamp};
use tokio::net::TcpListener;
use tonic::Status;

#[path = "../tests/console/double.rs"]
#[allow(dead_code, reason = "a preview does not look at what was asked")]
mod double;
#[path = "../tests/console/sample/mod.rs"]
#[allow(dead_code, reason = "a preview needs no names of samples")]
mod sample;

const PORT: u16 = 7_480;

struct Everybody;

#[async_trait::async_trait]
impl People for Everybody {
    fn operator_of(&self, _: &Digest) -> Option<OperatorId> {
        OperatorId::parse("op-lan").ok()
    }

    async fn signed_in(&self, _: &SignedIn) -> Result<(), Status> {
        Ok(())
    }
}

#[tokio::main]
async fn main() {
    let role = if std::env::args().any(|argument| argument == "viewer") { "viewer" } else { "operator" };
    // A preview guards nothing: everybody is op-lan.
    let sessions = Sessions::new(|| Digest::of(b"preview").0);
    let start = Instant::now();
    let now = move || Timestamp::from_seconds(sample::NOW).plus(start.elapsed());
    let console = Console::new(double::Double::new(role), Arc::new(Everybody), sessions, Language::Vi, now);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let caller = Caller { certificate: Some(Digest([7; 32])), address };
    let pages = router(console).layer(Extension(caller));
    println!("http://localhost:{PORT}/");
    axum::serve(TcpListener::bind(address).await.unwrap(), pages).await.unwrap();
}
