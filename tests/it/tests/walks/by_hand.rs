//! One delivery in the hands of an operator at the command line: held and shown, sent no way that there is not, taken out with its evidence, released,
//! and delivered whole in the end. Every step is in the audit, with a receipt that proves itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use bytes::Bytes;
use gateway_cli::local::Local;
use gateway_evidence::{Act, Checkpoint, Event, Receipt, merkle};
use gateway_model::Digest;
use gateway_model::agency::OperatorRole;
use gateway_model::id::{AgencyId, GatewayId};
use prost::Message as _;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use serde_json::Value;
use tests_harness::gateways::{self, Federation};
use tests_harness::operator::{Operator, looked_until};
use tests_harness::reconcile;
use tests_harness::sender::Sender;

/// After repair everything that waits has to go through first.
const DELIVERED_WITHIN: Duration = Duration::from_secs(30);

const COMMUNE: &str = "gw-commune";
const DISTRICT: &str = "gw-district";

const HOLDING: &str = "sai phụ lục";
const RELEASING: &str = "đã thay phụ lục";
const READING: &str = "thanh tra yêu cầu";

/// An attachment as an envelope describes it.
pub(super) fn part(name: &str, content: &[u8]) -> v1::Part {
    v1::Part {
        name: name.to_owned(),
        media_type: "application/pdf".to_owned(),
        size: content.len() as u64,
        sha256: Digest::of(content).0.to_vec().into(),
        ..v1::Part::default()
    }
}

/// An envelope that is on its way.
struct Sent {
    id: String,
    bytes: Bytes,
}

impl Sent {
    /// Submits an envelope with one attachment.
    async fn with(sender: &mut Sender, to: &AgencyId, attachment: &[u8]) -> Self {
        let envelope = v1::Envelope { parts: vec![part("tờ trình.pdf", attachment)], ..sender.envelope(&[to]) };
        let mut request = sender.sign(&envelope).unwrap();
        request.inline_parts = vec![v1::InlinePart { content: attachment.to_vec().into() }];
        let bytes = request.envelope.as_ref().unwrap().envelope.clone();
        sender.client.submit(request).await.unwrap();
        Self { id: envelope.id, bytes }
    }
}

/// Status, reason and number of attempts of the only delivery of an envelope, as `msg show` tells them.
fn shown(operator: &Operator, id: &str) -> anyhow::Result<(String, String)> {
    let told = operator.json(&["msg", "show", id, "--only-here"])?.remove(0);
    let state = &told["envelopes"][0]["deliveries"][0];
    let text = |key: &str| state[key].as_str().unwrap_or_default().to_owned();
    Ok((text("status"), text("reason")))
}

fn delivery_of(operator: &Operator, id: &str) -> String {
    let rows = operator.json(&["msg", "ls", "--envelope-id", id]).unwrap();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    rows[0]["delivery_id"].as_str().unwrap().to_owned()
}

/// A command has to end with this code, and to say this on standard error.
fn check_refused(operator: &Operator, arguments: &[&str], code: i32, says: &str) {
    let ran = operator.run(arguments).unwrap();
    assert!(ran.code == Some(code) && ran.err.contains(says), "{arguments:?}: {ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_held_by_hand_stays_while_others_arrive_until_it_is_released() {
    let mut federation = Federation::running().await.unwrap();
    let cast = federation.local.province.cast.clone();
    federation.local.kill(1).unwrap();
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Operator).unwrap();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let attachment = "Sơ đồ thửa đất. ".repeat(5_000).into_bytes();
    let sent = Sent::with(&mut sender, &cast.district, &attachment).await;
    let delivery = delivery_of(&operator, &sent.id);
    assert_eq!(shown(&operator, &sent.id).unwrap().0, "waiting");
    check_refused(&operator, &["msg", "release", &delivery, "--reason", "chưa giữ"], 5, "STATE_NOT_ALLOWED");

    let held = operator.run(&["msg", "hold", &delivery, "--reason", HOLDING]).unwrap();
    assert!(held.code == Some(0) && held.out.contains("held"), "{held:?}");
    let is_held = ("held".to_owned(), "HELD_BY_OPERATOR".to_owned());
    assert_eq!(shown(&operator, &sent.id).unwrap(), is_held);
    for (arguments, code, says) in [
        (vec!["hold", &delivery, "--reason", HOLDING], 5, "STATE_NOT_ALLOWED"),
        (vec!["reroute", &delivery, "--via", "gw-island", "--reason", "đường khác"], 5, "ROUTE_MISSING"),
        // It is known, and no neighbour of the commune's gateway.
        (vec!["reroute", &delivery, "--via", "gw-province", "--reason", "đường khác"], 5, "ROUTE_MISSING"),
        (vec!["release", &delivery, "--reason", " "], 5, "REQUEST_MALFORMED"),
        (vec!["release", &delivery], 2, "--reason"),
        (vec!["release", "00000000000000000000000000000000", "--reason", RELEASING], 3, "NOT_FOUND"),
    ] {
        check_refused(&operator, &[&["msg"][..], &arguments].concat(), code, says);
    }

    federation.local.spawn(1).unwrap();
    federation.local.wait_until_ready(1).await.unwrap();
    let later = Sent::with(&mut sender, &cast.district, b"another").await;
    let system = federation.local.system_folder(&GatewayId::parse(DISTRICT).unwrap(), &cast.district);
    let arrived = || reconcile::delivered_ids(&system);
    let ids = looked_until(DELIVERED_WITHIN, arrived, |ids| ids.contains(&later.id)).await.unwrap();
    assert!(!ids.contains(&sent.id), "it went although it is held");
    assert_eq!(shown(&operator, &sent.id).unwrap(), is_held);
    let released = operator.run(&["msg", "release", &delivery, "--reason", RELEASING]).unwrap();
    assert_eq!(released.code, Some(0), "{released:?}");
    looked_until(DELIVERED_WITHIN, arrived, |ids| ids.contains(&sent.id)).await.unwrap();
    let is_delivered = |state: &(String, String)| state.0 == "delivered";
    looked_until(DELIVERED_WITHIN, || shown(&operator, &sent.id), is_delivered).await.unwrap();
    assert!(attached(&system).contains(&Digest::of(&attachment)), "with its attachment");
    check_audit(&federation.local, &operator, &sent.id, &[("released", RELEASING), ("held", HOLDING)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_is_taken_out_whole_with_evidence_that_proves_itself_and_the_audit_says_who_read_it() {
    let mut federation = Federation::running().await.unwrap();
    let cast = federation.local.province.cast.clone();
    federation.local.kill(1).unwrap();
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Operator).unwrap();
    let viewer = Operator::at(&federation, COMMUNE, OperatorRole::Viewer).unwrap();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    // More than goes into one piece of the answer.
    let attachment = "Sơ đồ thửa đất. ".repeat(25_000).into_bytes();
    let sent = Sent::with(&mut sender, &cast.district, &attachment).await;
    let hold = ["msg", "hold", &delivery_of(&operator, &sent.id), "--reason", HOLDING];
    assert_eq!(operator.run(&hold).unwrap().code, Some(0));

    let folder = federation.local.folder.join("exported");
    let to = folder.display().to_string();
    let export = |id: &str, reason: &str| {
        let arguments = ["msg", "export", id, "--reason", reason, "--to", &to];
        arguments.map(str::to_owned)
    };
    let nobody = "01a20243-0000-7000-8000-000000000000";
    for (who, arguments, code, says) in [
        (&viewer, export(&sent.id, READING), 5, "OPERATOR_NOT_AUTHORIZED"),
        (&operator, export(&sent.id, " "), 5, "REQUEST_MALFORMED"),
        (&operator, export(nobody, READING), 3, "NOT_FOUND"),
    ] {
        check_refused(who, &arguments.each_ref().map(String::as_str), code, says);
        assert!(!folder.exists(), "{arguments:?}: what is refused leaves nothing");
    }
    let whole = export(&sent.id, READING);
    let whole = whole.each_ref().map(String::as_str);
    let ran = operator.run(&whole).unwrap();
    assert!(ran.code == Some(0) && ran.out.trim() == to, "{ran:?}");
    check_refused(&operator, &whole, 2, "is there already");
    check_exported(&federation.local, &folder, &sent, &attachment);
    check_audit(&federation.local, &operator, &sent.id, &[("exported", READING), ("held", HOLDING)]).await;
}

/// The folder holds the envelope as it was signed, the attachment under its digest, and receipts that verify without a network.
fn check_exported(local: &Local, folder: &Path, sent: &Sent, attachment: &[u8]) {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let digest = Digest::of(attachment).to_string();
    let expected = ["envelope.bin", "receipts.bin", &digest].map(str::to_owned);
    assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    assert_eq!(std::fs::read(folder.join(&digest)).unwrap(), attachment);
    let envelope = std::fs::read(folder.join("envelope.bin")).unwrap();
    let signed = v1::SignedEnvelope::decode(envelope.as_slice()).unwrap();
    assert_eq!((Digest::of(&signed.envelope), signed.signatures.len()), (Digest::of(&sent.bytes), 1));

    let ran = verify(local, folder);
    let told: Vec<Value> = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(ran.status.code(), Some(0), "{told:#?}");
    assert!(told.iter().all(|one| one["verdict"] == "good"), "{told:#?}");
    assert!(told.iter().all(|one| one["envelope_sha256"] == Digest::of(&sent.bytes).to_string()), "{told:#?}");
    let events: Vec<_> = told.iter().map(|one| one["event"]["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["accepted", "held"]);

    let mut forged = signed;
    forged.envelope = Bytes::from([&forged.envelope[..], b"x"].concat());
    std::fs::write(folder.join("envelope.bin"), forged.encode_to_vec()).unwrap();
    let ran = verify(local, folder);
    assert_eq!(ran.status.code(), Some(5), "the receipts are not about this envelope: {ran:?}");
}

/// Verifies the receipts of an exported folder against its envelope.
fn verify(local: &Local, folder: &Path) -> Output {
    let mut command = Command::new(gateways::binary().unwrap());
    command.args(["receipt", "verify"]).arg(folder.join("receipts.bin"));
    command.arg("--content").arg(folder.join("envelope.bin"));
    command.arg("--directory").arg(local.directory_file()).args(["-o", "json"]).output().unwrap()
}

/// The audit has exactly these acts about an envelope, the newest first: by this operator, for these reasons, each with a receipt that proves a leaf
/// which says the same.
async fn check_audit(local: &Local, operator: &Operator, id: &str, expected: &[(&str, &str)]) {
    let listed = operator.json(&["audit"]).unwrap();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let acts: Vec<_> = listed.iter().map(|entry| (text(entry, "action"), text(entry, "note"))).collect();
    let named: Vec<_> = expected.iter().map(|(act, note)| ((*act).to_owned(), (*note).to_owned())).collect();
    assert_eq!(acts, named, "{listed:#?}");
    for entry in &listed {
        assert_eq!(entry["operator"], "operator-an");
        assert!(entry["envelope_id"] == id || text(entry, "subject").ends_with(&format!("/{id}")), "{entry:#}");
    }
    assert_eq!(operator.json(&["audit", "--operator", "operator-an"]).unwrap(), listed);
    assert!(operator.json(&["audit", "--operator", "operator-viewer"]).unwrap().is_empty());

    let profile = local.operator_profile(&GatewayId::parse(COMMUNE).unwrap(), OperatorRole::Viewer).unwrap();
    let mut door = OperateServiceClient::new(profile.open().await.unwrap());
    let entries = door.list_audit(v1::ListAuditRequest::default()).await.unwrap().into_inner().entries;
    let proven: Vec<_> = entries.into_iter().map(|entry| proven(local, &entry.receipt.unwrap())).collect();
    let named = expected.iter().map(|(act, note)| ((*act).to_owned(), "operator-an".to_owned(), (*note).to_owned()));
    assert_eq!(proven, named.collect::<Vec<_>>());
}

/// What, by whom and why, as the leaf says that this receipt proves to be in the log of the commune's gateway.
fn proven(local: &Local, receipt: &v1::Receipt) -> (String, String, String) {
    let receipt = Receipt::from_wire(receipt.clone()).unwrap();
    let gateway = local.province.gateway(&GatewayId::parse(COMMUNE).unwrap()).unwrap();
    let keys = std::slice::from_ref(&gateway.log_verifier);
    let checkpoint = Checkpoint::open(&receipt.checkpoint, COMMUNE, keys).unwrap();
    let (index, leaf) = (receipt.leaf_index, receipt.leaf_hash());
    merkle::verify_inclusion(index, checkpoint.size, &leaf, &receipt.proof, &checkpoint.root).unwrap();
    match Act::decode(&receipt.event) {
        Ok(act) => (act.kind.as_str().to_owned(), act.operator.to_string(), act.note),
        Err(_) => {
            let event = Event::decode(&receipt.event).unwrap();
            (event.kind.as_str().to_owned(), event.counterpart, event.note)
        }
    }
}

/// The digests of all attachments that a system has taken.
fn attached(system: &Path) -> BTreeSet<Digest> {
    let mut digests = BTreeSet::new();
    for delivery in std::fs::read_dir(system.join("incoming")).unwrap() {
        let Ok(parts) = std::fs::read_dir(delivery.unwrap().path().join("parts")) else { continue };
        digests.extend(parts.map(|part| Digest::of(&std::fs::read(part.unwrap().path()).unwrap())));
    }
    digests
}
