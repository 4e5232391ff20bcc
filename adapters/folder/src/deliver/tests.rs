//! What appears in `incoming/`, and what never does.

use std::time::Duration;

use adapters_sdk::{Adapter, Health, Room};
use tempfile::TempDir;

use super::*;
use crate::Folder;
use crate::config::Config;
use crate::fixture::{MemoryDoor, MemoryParts, delivery, tree};

fn folder() -> (TempDir, Folder) {
    let root = tempfile::tempdir().unwrap();
    let folder = open(&root);
    (root, folder)
}

fn open(root: &TempDir) -> Folder {
    Folder::open(Config { path: root.path().to_owned(), outgoing: None }).unwrap()
}

/// The next process, after the one that served is gone.
fn reopen(gone: Folder, root: &TempDir) -> Folder {
    drop(gone);
    open(root)
}

fn incoming(root: &TempDir) -> Vec<String> {
    tree(&root.path().join("incoming"))
}

const TAKEN: Outcome = Outcome::Taken { receipt: None };

/// Reason and scope of a deferral.
fn deferral(outcome: Outcome) -> (Reason, Scope) {
    match outcome {
        Outcome::Deferred { reason, scope, .. } => (reason, scope),
        other => panic!("{other:?} is no deferral"),
    }
}

#[tokio::test]
async fn a_delivery_appears_with_envelope_receipt_parts_and_a_summary() {
    let (root, folder) = folder();
    let delivery = delivery("Đăng ký biến động đất đai", &[("Đơn.pdf", b"don"), ("../sơ đồ.dwg", b"so do")]);
    assert_eq!(folder.deliver(&delivery).await, TAKEN);
    let id = delivery.ids[0];
    let names =
        ["envelope.bin", "envelope.json", "parts/01-Đơn.pdf", "parts/02-sơ đồ.dwg", "receipt.bin", "summary.txt"];
    assert_eq!(incoming(&root), names.map(|name| format!("{id}/{name}")));
    let read = |name: &str| std::fs::read(root.path().join("incoming").join(id.to_string()).join(name)).unwrap();
    assert_eq!(read("envelope.bin"), delivery.signed);
    assert_eq!(read("receipt.bin"), delivery.receipt);
    assert_eq!(read("parts/02-sơ đồ.dwg"), b"so do");
    let json: serde_json::Value = serde_json::from_slice(&read("envelope.json")).unwrap();
    assert_eq!(json["parts"][1]["file"], "parts/02-sơ đồ.dwg");
    assert_eq!(json["case"]["file_code"], "H15.50.05.13-261008-0975");
    assert_eq!(json["priority"], "very-urgent");
}

#[tokio::test]
async fn the_summary_tells_a_clerk_who_what_and_when_in_two_languages() {
    let (root, folder) = folder();
    let delivery = delivery("Đăng ký\nbiến động", &[("Đơn.pdf", &[7; 1_536])]);
    folder.deliver(&delivery).await;
    let file = root.path().join("incoming").join(delivery.ids[0].to_string()).join("summary.txt");
    let summary = std::fs::read_to_string(file).unwrap();
    for line in [
        "Nơi gửi / From: H15.50.05.13 (xa-an-phu)",
        "Nơi nhận / To: so-tnmt",
        "Loại / Kind: Hồ sơ một cửa / One-stop file",
        "Trích yếu / Subject: Đăng ký biến động",
        "Mã hồ sơ / File code: H15.50.05.13-261008-0975",
        "Độ khẩn / Priority: Thượng khẩn / Very urgent",
        "Gửi lúc / Sent at: 11:00:00 08/10/2026 (+07:00)",
        "Tiếp nhận lúc / Accepted at: 11:01:00 08/10/2026 (+07:00)",
        "  Đơn.pdf — Đơn đăng ký — 1.5 KiB — parts/01-Đơn.pdf",
    ] {
        assert!(summary.lines().any(|known| known == line), "{line:?} in\n{summary}");
    }
}

#[tokio::test]
async fn the_second_time_is_harmless_also_when_the_folder_has_been_taken_away() {
    let (root, folder) = folder();
    let delivery = delivery("x", &[]);
    assert_eq!(folder.deliver(&delivery).await, TAKEN);
    let one = root.path().join("incoming").join(delivery.ids[0].to_string());
    std::fs::write(one.join("note-of-the-clerk.txt"), "seen").unwrap();
    assert_eq!(folder.deliver(&delivery).await, TAKEN);
    assert!(one.join("note-of-the-clerk.txt").exists());
    std::fs::remove_dir_all(&one).unwrap();
    assert_eq!(folder.deliver(&delivery).await, TAKEN);
    assert_eq!(reopen(folder, &root).deliver(&delivery).await, TAKEN);
    assert!(incoming(&root).is_empty(), "no second effect");
}

#[tokio::test]
async fn other_bytes_under_the_same_id_are_refused() {
    let (root, folder) = folder();
    let first = delivery("x", &[]);
    folder.deliver(&first).await;
    let outcome = folder.deliver(&delivery("y", &[])).await;
    assert!(matches!(outcome, Outcome::Refused { reason: Reason::AdapterRefused, .. }), "{outcome:?}");
    let kept = std::fs::read(root.path().join("incoming").join(first.ids[0].to_string()).join("envelope.bin")).unwrap();
    assert_eq!(kept, first.signed);
}

#[tokio::test]
async fn a_crash_between_appearing_and_remembering_leaves_one_delivery() {
    let (root, folder) = folder();
    let delivery_x = delivery("x", &[("a", b"a")]);
    folder.deliver(&delivery_x).await;
    std::fs::remove_dir_all(root.path().join(".lienthong/taken")).unwrap();
    let folder = reopen(folder, &root);
    assert_eq!(folder.deliver(&delivery_x).await, TAKEN);
    assert!(matches!(folder.deliver(&delivery("y", &[])).await, Outcome::Refused { .. }));
    assert_eq!(incoming(&root).len(), 5);
}

#[tokio::test]
async fn a_crash_between_noting_and_appearing_lets_it_appear_once() {
    for is_restarted in [true, false] {
        let (root, folder) = folder();
        let delivery = delivery("x", &[("a", b"a")]);
        assert_eq!(folder.deliver(&delivery).await, TAKEN);
        let whole = incoming(&root);
        let name = delivery.ids[0].to_string();
        let shown = root.path().join("incoming").join(&name);
        std::fs::rename(&shown, root.path().join(".lienthong/working").join(&name)).unwrap();
        let folder = if is_restarted { reopen(folder, &root) } else { folder };
        assert_eq!(shown.exists(), is_restarted, "a start finishes what was noted");
        assert_eq!(folder.deliver(&delivery).await, TAKEN);
        assert_eq!(incoming(&root), whole);
        std::fs::remove_dir_all(&shown).unwrap();
        assert_eq!(reopen(folder, &root).deliver(&delivery).await, TAKEN);
        assert!(incoming(&root).is_empty(), "the clerk has taken it away: it never comes again");
    }
}

#[tokio::test]
async fn what_a_broken_attempt_left_does_not_reach_the_clerk() {
    let (root, folder) = folder();
    let delivery = delivery("x", &[("a", b"right")]);
    let draft = root.path().join(".lienthong/working").join(delivery.ids[0].to_string());
    std::fs::create_dir_all(draft.join("parts")).unwrap();
    std::fs::write(draft.join("parts/01-a"), "half").unwrap();
    std::fs::write(draft.join("stray"), "half").unwrap();
    assert_eq!(folder.deliver(&delivery).await, TAKEN);
    let one = root.path().join("incoming").join(delivery.ids[0].to_string());
    assert_eq!(std::fs::read(one.join("parts/01-a")).unwrap(), b"right");
    assert!(!one.join("stray").exists());
    std::fs::create_dir_all(&draft).unwrap();
    reopen(folder, &root);
    assert!(!draft.exists(), "opening clears the working folder");
}

#[tokio::test]
async fn a_part_that_is_not_what_the_envelope_says_keeps_the_delivery_back() {
    let (root, folder) = folder();
    let good = delivery("x", &[("a", b"right")]);
    let named = good.envelope.parts[0].digest;
    for bytes in ["wrong", "righ", "right and more"] {
        let parts = MemoryParts { parts: [(named, bytes.into())].into(), ..MemoryParts::default() };
        let bad = Delivery { parts: Arc::new(parts), ..good.clone() };
        assert_eq!(deferral(folder.deliver(&bad).await), (Reason::PartDigestMismatch, Scope::Delivery), "{bytes}");
    }
    let absent = Delivery { parts: Arc::new(MemoryParts::default()), ..good.clone() };
    assert_eq!(deferral(folder.deliver(&absent).await), (Reason::StoreUnavailable, Scope::Delivery));
    assert!(incoming(&root).is_empty());
    assert_eq!(folder.deliver(&good).await, TAKEN);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_defers_everything_for_this_department() {
    let (root, folder) = folder();
    assert_eq!(folder.check().await, Health::Up);
    let working = root.path().join(".lienthong/working");
    std::fs::remove_dir_all(&working).unwrap();
    std::fs::write(&working, "in the way").unwrap();
    let delivery = delivery("x", &[]);
    assert_eq!(deferral(folder.deliver(&delivery).await), (Reason::AdapterUnavailable, Scope::Destination));
    assert!(matches!(folder.check().await, Health::Down { .. }));
    std::fs::remove_file(&working).unwrap();
    std::fs::create_dir(&working).unwrap();
    assert_eq!(folder.deliver(&delivery).await, TAKEN);
}

#[tokio::test]
async fn a_dropped_attempt_frees_the_delivery_and_a_parallel_one_waits() {
    let (root, folder) = folder();
    let good = delivery("x", &[("a", b"right")]);
    let parts = Arc::new(MemoryParts { stalls: true, ..MemoryParts::of(&[b"right"]) });
    let stalled = Delivery { parts: parts.clone(), ..good.clone() };
    {
        let attempt = folder.deliver(&stalled);
        tokio::pin!(attempt);
        tokio::select! {
            _ = &mut attempt => panic!("the part never ends"),
            () = parts.opened.notified() => {}
        }
        assert_eq!(deferral(folder.deliver(&good).await), (Reason::AdapterUnavailable, Scope::Delivery));
    }
    assert!(incoming(&root).is_empty());
    assert_eq!(folder.deliver(&good).await, TAKEN);
}

#[tokio::test]
async fn a_delivery_to_nobody_is_not_taken() {
    let (root, folder) = folder();
    let nobody = Delivery { ids: Vec::new(), recipients: Vec::new(), ..delivery("x", &[]) };
    assert_eq!(deferral(folder.deliver(&nobody).await), (Reason::AdapterFailed, Scope::Delivery));
    assert!(incoming(&root).is_empty());
}

#[tokio::test]
async fn a_large_part_passes_through_a_small_buffer() {
    let (root, folder) = folder();
    let bytes = vec![0x5A; 5 * 1024 * 1024 + 1];
    let parts = Arc::new(MemoryParts::of(&[&bytes]));
    let delivery = Delivery { parts: parts.clone(), ..delivery("x", &[("big.bin", &bytes)]) };
    assert_eq!(folder.deliver(&delivery).await, TAKEN);
    assert!(parts.read_max.load(std::sync::atomic::Ordering::Relaxed) <= BUFFER_BYTES);
    let file = root.path().join("incoming").join(delivery.ids[0].to_string()).join("parts/01-big.bin");
    assert_eq!(std::fs::metadata(file).unwrap().len(), bytes.len() as u64);
}

#[tokio::test]
async fn what_was_taken_is_forgotten_only_when_no_envelope_can_live_so_long() {
    let (root, folder) = folder();
    let taken = root.path().join(".lienthong/taken/ab");
    std::fs::create_dir_all(&taken).unwrap();
    let days_ago = |name: &str, days: u64| {
        let file = std::fs::File::create(taken.join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    };
    days_ago("old", 400);
    days_ago("young", 366);
    reopen(folder, &root);
    let layout = crate::layout::Layout::open(root.path()).unwrap();
    tokio::select! {
        never = layout.forget() => match never {},
        () = async { while taken.join("old").exists() { tokio::task::yield_now().await } } => {}
    }
    assert_eq!(tree(&taken), ["young"]);
}

#[tokio::test]
async fn of_two_processes_one_serves_and_what_it_has_begun_is_left_alone() {
    let (root, one) = folder();
    let draft = root.path().join(".lienthong/working").join(delivery("x", &[]).ids[0].to_string());
    std::fs::create_dir_all(&draft).unwrap();
    let other = open(&root);
    assert_eq!((one.room_together(), other.room_together()), (Room::Any, Room::Of(0)));
    assert!(draft.exists(), "the other one may be writing it");
    drop(one);
    let door = Arc::new(MemoryDoor::new());
    let (received, ()) = tokio::join!(other.receive(door.clone()), async {
        other.room_changed().await;
        assert_eq!((other.room_together(), draft.exists()), (Room::Any, false));
        door.close();
    });
    received.unwrap();
}
