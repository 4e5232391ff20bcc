//! Memory does not follow the size of a part. Alone in its process, since the process is what is measured.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code)] // The server can do more than is asked of it here.

#[path = "../bucket/server.rs"]
mod server;

use gateway_model::agency::Hop;
use gateway_model::hash::Hasher;
use gateway_model::id::SystemId;
use gateway_store::accept::PartRef;
use gateway_store::parts::PartStore as _;
use tokio::io::AsyncReadExt as _;

const CHUNK: usize = 1024 * 1024;
const CHUNKS: u64 = 300;
/// The server runs in the same process, so this is what both take.
const GROWTH_MAX: u64 = 64 * 1024 * 1024;

fn chunk(number: u64) -> Vec<u8> {
    let mut chunk = vec![7; CHUNK];
    chunk[..8].copy_from_slice(&number.to_be_bytes());
    chunk
}

/// The most bytes that this process has ever had in memory.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_300_mib_takes_little_memory() {
    let server = server::Server::start();
    let parts = server.open().await;
    let mut hasher = Hasher::new();
    (0..CHUNKS).for_each(|number| hasher.update(&chunk(number)));
    let part = PartRef { digest: hasher.finish(), size: CHUNKS * CHUNK as u64 };
    let owner = Hop::System(SystemId::parse("desk").unwrap());
    let before = peak();
    let mut writer = parts.begin(&owner, part, 0).await.unwrap();
    for number in 0..CHUNKS / 2 {
        writer.write(chunk(number).into()).await.unwrap();
    }
    drop(writer);
    let received = parts.missing(&owner, &[part.digest]).await.unwrap()[0].received;
    assert_eq!(received, CHUNKS / 2 * CHUNK as u64);
    let mut writer = parts.begin(&owner, part, received).await.unwrap();
    for number in CHUNKS / 2..CHUNKS {
        writer.write(chunk(number).into()).await.unwrap();
    }
    writer.finish().await.unwrap();
    let (mut reader, mut read, mut hasher) =
        (parts.open(&part.digest, 0).await.unwrap(), vec![0; CHUNK], Hasher::new());
    loop {
        match reader.read(&mut read).await.unwrap() {
            0 => break,
            bytes => hasher.update(&read[..bytes]),
        }
    }
    assert_eq!(hasher.finish(), part.digest);
    let growth = peak() - before;
    println!("peak grew by {} KiB", growth / 1024);
    assert!(growth < GROWTH_MAX, "{} KiB", growth / 1024);
}
