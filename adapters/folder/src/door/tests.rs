//! What is dropped, and what becomes of it.

use std::path::Path;
use std::time::SystemTime;

use certs_dev::KeyKind;
use certs_dev::pki::{Ladder, LeafProfile};
use gateway_model::Reason;
use gateway_model::language::Language;
use prost::Message;
use proto::v1;
use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::fixture::{MemoryDoor, NOON, tree};

const DESCRIPTION: &str = "to = \"H15.50\"\nsubject = \"Đăng ký biến động\"\nkind = \"dossier\"\n\
    file_code = \"H15.50.05.13-261008-0975\"\nprocedure = \"1.012783\"\npriority = \"khẩn\"\n";

struct Place {
    root: TempDir,
    outbox: Outbox,
    door: MemoryDoor,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let ladder = Ladder::new(KeyKind::P256, NOON.seconds() - 86_400).unwrap();
        let seal = ladder.issue_signer("Sở", KeyKind::P256, LeafProfile::agency("Sở")).unwrap();
        std::fs::write(root.path().join("agency.pem"), seal.certificate_pem).unwrap();
        std::fs::write(root.path().join("agency.key"), seal.key_pem).unwrap();
        let outbox = open(&root, true);
        Self { root, outbox, door: MemoryDoor::new() }
    }

    /// As after a crash: nothing in memory is left.
    fn restart(&mut self) {
        self.outbox = open(&self.root, true);
        *self.door.loses_answers.lock().unwrap() = false;
    }

    fn drop(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.at("outgoing").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Looks as often as a drop needs to be taken.
    async fn look_twice(&mut self) {
        self.outbox.look(&self.door).await.unwrap();
        self.outbox.look(&self.door).await.unwrap();
    }

    /// The one folder in `sent` or `refused`.
    fn only(&self, place: &str) -> PathBuf {
        let mut entries = std::fs::read_dir(self.at(place)).unwrap();
        let one = entries.next().unwrap().unwrap().path();
        assert!(entries.next().is_none(), "one drop in {place}");
        one
    }

    fn reason(&self) -> String {
        std::fs::read_to_string(self.only("refused").join("reason.txt")).unwrap()
    }

    fn own_files(&self) -> Vec<String> {
        tree(&self.at(".lienthong"))
    }
}

fn open(root: &TempDir, seals: bool) -> Outbox {
    let table = if seals { "[seal]\ncertificate = \"agency.pem\"\nkey = \"agency.key\"" } else { "" };
    let text = format!("path = \"{}\"\noutgoing = \"outgoing\"\n{table}", root.path().display());
    let context = adapters_sdk::PrepareContext {
        name: "so-tnmt".into(),
        base: root.path().to_owned(),
        agencies: vec![gateway_model::id::AgencyId::parse("so-tnmt").unwrap()],
        system: Some(gateway_model::id::SystemId::parse("he-thong-so-tnmt").unwrap()),
    };
    let config = Config::read(&text.parse().unwrap(), &context).unwrap();
    let layout = Arc::new(Layout::open(&config.path).unwrap());
    Outbox::open(&layout, config.outgoing.unwrap()).unwrap()
}

fn ready_made(parts: &[&[u8]]) -> Vec<u8> {
    let part = |bytes: &&[u8]| v1::Part {
        size: bytes.len() as u64,
        sha256: Digest::of(bytes).0.to_vec().into(),
        ..v1::Part::default()
    };
    let envelope = v1::Envelope { parts: parts.iter().map(part).collect(), ..v1::Envelope::default() };
    v1::SignedEnvelope { envelope: envelope.encode_to_vec().into(), signatures: Vec::new() }.encode_to_vec()
}

#[tokio::test]
async fn a_ready_made_envelope_is_submitted_byte_for_byte_with_its_parts() {
    let mut place = Place::new();
    let signed = ready_made(&[b"don", b"so do"]);
    place.drop("tờ trình/any name.pdf", "don");
    place.drop("tờ trình.dwg", "so do");
    place.drop("tờ trình.txt", "no part of it");
    place.drop("tờ trình.lt", &signed);
    place.look_twice().await;
    assert_eq!(*place.door.submitted.lock().unwrap(), [signed.as_slice()]);
    let uploaded: Vec<_> = place.door.uploaded.lock().unwrap().values().cloned().collect();
    assert_eq!(uploaded.len(), 2);
    assert!(tree(&place.at("outgoing")).is_empty());
    let sent = place.only("sent");
    assert_eq!(std::fs::read(sent.join("receipt.bin")).unwrap(), b"receipt");
    let names = ["envelope.bin", "receipt.bin", "tờ trình.dwg", "tờ trình.lt", "tờ trình.txt", "tờ trình/any name.pdf"];
    assert_eq!(tree(&sent), names);
    assert!(place.own_files().is_empty());
}

#[tokio::test]
async fn plain_files_with_a_description_are_sealed_for_the_agency() {
    let mut place = Place::new();
    place.drop("ho-so.pdf", "don");
    place.drop("ho-so.toml", DESCRIPTION);
    place.look_twice().await;
    assert_eq!(place.door.count(), 1);
    let signed = v1::SignedEnvelope::decode(place.door.submitted.lock().unwrap()[0].clone()).unwrap();
    assert_eq!(signed.signatures[0].role(), v1::SignatureRole::SealedByAdapter);
    let envelope = place.door.envelope(0);
    assert_eq!((envelope.from.as_str(), envelope.to[0].agency.as_str()), ("so-tnmt", "H15.50"));
    assert_eq!(envelope.priority(), v1::Priority::Urgent);
    let case = envelope.case.unwrap();
    assert_eq!((case.file_code.as_str(), case.procedure_code.as_str()), ("H15.50.05.13-261008-0975", "1.012783"));
    assert!(matches!(envelope.content, Some(v1::envelope::Content::Dossier(d)) if d.subject == "Đăng ký biến động"));
    assert_eq!(envelope.created_at.unwrap().seconds, NOON.seconds());
    assert_eq!(envelope.expires_at.unwrap().seconds, NOON.seconds() + 30 * 86_400);
    assert_eq!(envelope.parts[0].name, "ho-so.pdf");
    assert_eq!(envelope.parts[0].media_type, "application/pdf");
    assert_eq!(envelope.parts[0].sha256, Digest::of(b"don").0.as_slice());
    assert_eq!(tree(&place.only("sent")), ["envelope.bin", "ho-so.pdf", "ho-so.toml", "receipt.bin"]);
    assert!(place.own_files().is_empty());
}

#[tokio::test]
async fn a_folder_with_a_description_inside_is_one_drop_and_chooses_its_files() {
    let mut place = Place::new();
    place.drop("hs/b.pdf", "b");
    place.drop("hs/a.pdf", "a");
    place.drop("hs/ghi chú.txt", "not to be sent");
    let files = "files = [\"b.pdf\", { name = \"a.pdf\", role = \"Đơn\", media_type = \"image/tiff\" }]";
    place.drop("hs/description.toml", format!("{DESCRIPTION}{files}"));
    place.look_twice().await;
    let envelope = place.door.envelope(0);
    let parts: Vec<_> =
        envelope.parts.iter().map(|part| (part.name.as_str(), part.role.as_str(), part.media_type.as_str())).collect();
    assert_eq!(parts, [("b.pdf", "", "application/pdf"), ("a.pdf", "Đơn", "image/tiff")]);
    assert!(tree(&place.at("outgoing")).is_empty());
    assert!(place.only("sent").join("hs/ghi chú.txt").exists());
}

#[tokio::test]
async fn a_drop_is_taken_only_when_nobody_writes_any_more() {
    let mut place = Place::new();
    place.drop("hs.pdf.part", "do");
    place.drop("hs.toml", DESCRIPTION);
    place.look_twice().await;
    assert_eq!(place.door.count(), 0, "a file of it ends in .part");
    std::fs::rename(place.at("outgoing/hs.pdf.part"), place.at("outgoing/hs.pdf")).unwrap();
    place.outbox.look(&place.door).await.unwrap();
    place.drop("hs.pdf", "don");
    place.outbox.look(&place.door).await.unwrap();
    assert_eq!(place.door.count(), 0, "it changed between two looks");
    place.outbox.look(&place.door).await.unwrap();
    assert_eq!(place.door.count(), 1);
    assert_eq!(place.door.envelope(0).parts[0].sha256, Digest::of(b"don").0.as_slice());
}

#[tokio::test]
async fn files_without_a_description_stay_where_they_are() {
    let mut place = Place::new();
    for name in ["a.pdf", "hs/b.pdf", ".hidden.toml", "draft.toml.tmp"] {
        place.drop(name, "x");
    }
    place.look_twice().await;
    assert_eq!(tree(&place.at("outgoing")), [".hidden.toml", "a.pdf", "draft.toml.tmp", "hs/b.pdf"]);
    assert_eq!(place.door.count(), 0);
}

#[tokio::test]
async fn a_refused_drop_moves_away_with_the_reason_in_both_languages() {
    let mut place = Place::new();
    place.drop("hs.pdf", "don");
    place.drop("hs.toml", DESCRIPTION);
    place.door.refuses_once(Refusal::new(Reason::RecipientUnknown).at("to[0].agency"));
    place.look_twice().await;
    let reason = place.reason();
    assert!(reason.starts_with("RECIPIENT_UNKNOWN\n"), "{reason}");
    for language in [Language::Vi, Language::En] {
        assert!(reason.contains(Reason::RecipientUnknown.message(language)), "{language:?}: {reason}");
    }
    assert_eq!(tree(&place.only("refused")), ["hs.pdf", "hs.toml", "reason.txt"]);
    assert!(tree(&place.at("outgoing")).is_empty() && place.own_files().is_empty());
}

#[tokio::test]
async fn a_busy_gateway_leaves_the_drop_and_is_asked_again_later_with_the_same_bytes() {
    let mut place = Place::new();
    place.drop("hs.toml", DESCRIPTION);
    place.door.refuses_once(Refusal::new(Reason::Overloaded).retry_after(Duration::from_secs(30)));
    place.look_twice().await;
    let sealed = place.own_files();
    assert_eq!((place.door.count(), sealed.len()), (0, 1));
    let kept = std::fs::read(place.at(".lienthong").join(&sealed[0])).unwrap();
    place.door.passes(Duration::from_secs(29));
    place.look_twice().await;
    assert_eq!(place.door.count(), 0, "not before the gateway wants it");
    place.door.passes(Duration::from_secs(1));
    place.outbox.look(&place.door).await.unwrap();
    assert_eq!(*place.door.submitted.lock().unwrap(), [kept]);
    assert!(place.only("sent").exists());
}

#[tokio::test]
async fn a_crash_between_submission_and_move_repeats_the_same_bytes() {
    let mut place = Place::new();
    place.drop("hs.pdf", "don");
    place.drop("hs.toml", DESCRIPTION);
    *place.door.loses_answers.lock().unwrap() = true;
    place.outbox.look(&place.door).await.unwrap();
    tokio::select! {
        _ = place.outbox.look(&place.door) => panic!("the answer is lost"),
        () = place.door.kept.notified() => {}
    }
    place.door.passes(Duration::from_secs(3_600));
    place.restart();
    place.look_twice().await;
    let submitted = place.door.submitted.lock().unwrap().clone();
    assert_eq!(submitted.len(), 2);
    assert_eq!(submitted[0], submitted[1], "the gateway sees a duplicate, not another envelope");
    assert!(place.only("sent").join("hs.pdf").exists());
    place.look_twice().await;
    assert_eq!(place.door.count(), 2);
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_move_is_finished_without_another_submission() {
    let mut place = Place::new();
    place.drop("hs.pdf", "don");
    place.drop("hs.toml", DESCRIPTION);
    place.outbox.look(&place.door).await.unwrap();
    let item = item::scan(&place.at("outgoing")).unwrap().remove(0);
    let key = place.outbox.preparation.prepare(&item, NOON).unwrap().unwrap().key;
    let changed = |name: &str| {
        let modified = std::fs::metadata(place.at("outgoing").join(name)).unwrap().modified().unwrap();
        modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()
    };
    let note = serde_json::json!({ "to": "sent/hs-1", "entries": [["hs.toml", changed("hs.toml")], ["hs.pdf", changed("hs.pdf")]] });
    std::fs::create_dir_all(place.at("sent/hs-1")).unwrap();
    std::fs::rename(place.at("outgoing/hs.toml"), place.at("sent/hs-1/hs.toml")).unwrap();
    std::fs::write(place.at(".lienthong/moving").join(format!("{key}.json")), note.to_string()).unwrap();
    place.restart();
    place.drop("other.toml", DESCRIPTION);
    place.look_twice().await;
    assert_eq!(tree(&place.at("sent/hs-1")), ["hs.pdf", "hs.toml"]);
    assert_eq!(place.door.count(), 1, "only the other drop");
    assert!(place.own_files().is_empty());
}

#[tokio::test]
async fn what_was_dropped_anew_during_a_crash_is_not_mistaken_for_what_was_sent() {
    let mut place = Place::new();
    place.drop("hs.toml", DESCRIPTION);
    std::fs::create_dir_all(place.at("sent/hs-1")).unwrap();
    let note = serde_json::json!({ "to": "sent/hs-1", "entries": [["hs.toml", 1]] });
    std::fs::write(place.at(".lienthong/moving/x.json"), note.to_string()).unwrap();
    place.look_twice().await;
    assert_eq!(place.door.count(), 1);
}

#[tokio::test]
async fn the_same_drop_made_again_later_is_another_envelope() {
    let mut place = Place::new();
    for day in [1, 2] {
        place.drop("hs.toml", DESCRIPTION);
        let file = std::fs::File::open(place.at("outgoing/hs.toml")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400)).unwrap();
        place.look_twice().await;
    }
    assert_eq!(place.door.count(), 2);
    assert_ne!(place.door.envelope(0).id, place.door.envelope(1).id);
}

#[tokio::test]
async fn a_description_that_does_not_hold_is_refused_with_its_fault() {
    let check = async |description: &str, expected: &str| {
        let mut place = Place::new();
        place.drop("hs.pdf", "don");
        place.drop("hs.toml", description);
        place.look_twice().await;
        assert_eq!(place.door.count(), 0, "{description}");
        assert!(place.reason().contains(expected), "{description:?}: {}", place.reason());
    };
    check("to = \"x\"", "hs.toml").await;
    check("to = \"x\"\nsubject = \"s\"\nsubjekt = 1", "hs.toml:3: unknown field `subjekt`").await;
    check("to = \"x\"\nsubject = \"s\"\npriority = \"soon\"", "priority: soon is none of").await;
    check("to = \"x\"\nsubject = \"s\"\nid = \"1\"", "id: an envelope id is a UUID").await;
    check("to = \"x\"\nsubject = \"s\"\nexpires_in = \"soon\"", "expires_in").await;
    check("to = \"x\"\nsubject = \"s\"\nfiles = [\"../agency.key\"]", "PART_MISSING").await;
    check("to = \"x\"\nsubject = \"s\"\nfiles = [\"/etc/passwd\"]", "PART_MISSING").await;
    check(&format!("#{}", "x".repeat(70_000)), "64 KiB").await;
}

#[tokio::test]
async fn a_link_is_never_followed() {
    let mut place = Place::new();
    std::os::unix::fs::symlink(place.at("agency.key"), place.at("outgoing/hs.key")).unwrap();
    std::os::unix::fs::symlink(place.root.path(), place.at("outgoing/hs")).unwrap();
    place.drop("hs.toml", DESCRIPTION);
    place.look_twice().await;
    assert!(place.door.envelope(0).parts.is_empty());
    assert!(place.door.uploaded.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_file_goes_to_the_drop_with_the_longest_name_that_it_begins_with() {
    let mut place = Place::new();
    for name in ["a.pdf", "a.b.pdf", "a.b.c.pdf", "ab.pdf"] {
        place.drop(name, name);
    }
    place.drop("a.toml", DESCRIPTION);
    place.drop("a.b.toml", DESCRIPTION);
    place.look_twice().await;
    let parts = |index: usize| place.door.envelope(index).parts.into_iter().map(|part| part.name).collect::<Vec<_>>();
    assert_eq!((parts(0), parts(1)), (vec!["a.pdf".into()], vec!["a.b.c.pdf".into(), "a.b.pdf".to_owned()]));
    assert_eq!(tree(&place.at("outgoing")), ["ab.pdf"]);
}

#[tokio::test]
async fn plain_files_without_a_key_are_refused() {
    let mut place = Place::new();
    place.outbox = open(&place.root, false);
    place.drop("hs.toml", DESCRIPTION);
    place.look_twice().await;
    assert!(place.reason().contains("seal"));
}

#[tokio::test]
async fn one_drop_that_cannot_be_moved_does_not_stop_the_others() {
    let mut place = Place::new();
    place.drop("a.toml", DESCRIPTION);
    place.drop("b.toml", DESCRIPTION);
    place.outbox.look(&place.door).await.unwrap();
    let item = item::scan(&place.at("outgoing")).unwrap().remove(0);
    let key = place.outbox.preparation.prepare(&item, NOON).unwrap().unwrap().key.to_string();
    block(&place.at("sent").join(format!("a-{}", &key[..8])));
    place.outbox.look(&place.door).await.unwrap();
    assert_eq!(place.door.count(), 2);
    assert_eq!(tree(&place.at("outgoing")), ["a.toml"]);
}

/// Puts a file where a folder should be made.
fn block(path: &Path) {
    std::fs::write(path, "in the way").unwrap();
}

#[test]
fn a_key_that_is_not_the_certificates_keeps_the_adapter_from_opening() {
    let place = Place::new();
    std::fs::write(place.at("agency.key"), "no key").unwrap();
    let key = adapters_sdk::seal::config::KeyPlace::File(place.at("agency.key"));
    let fault = SealConfig { certificate: place.at("agency.pem"), key }.open().unwrap_err().to_string();
    assert!(fault.contains("agency.key") && fault.contains("private key"), "{fault}");
}

mod aside;
