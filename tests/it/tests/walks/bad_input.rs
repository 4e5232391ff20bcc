//! Bad input at real doors: each is refused with its own reason, in words, with a next step, and leaves nothing behind.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_model::Digest;
use gateway_model::id::AgencyId;
use prost::Message as _;
use proto::v1;
use tests_harness::gateways::{FAST, Federation};
use tests_harness::refusal::{self, Seen};
use tests_harness::sender::{Sender, now};
use tonic::Status;

/// Longest wait for a gateway to take over a directory.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const LOOK: Duration = Duration::from_millis(50);

/// A gateway alone with a sender; the levels above are not needed to refuse.
struct Door {
    federation: Federation,
    sender: Sender,
}

impl Door {
    async fn open() -> Self {
        Self::open_with(FAST).await
    }

    async fn open_with(settings: &str) -> Self {
        let plan = certs_dev::province::Plan::province();
        let binary = tests_harness::gateways::binary().unwrap();
        let mut federation = Federation::lay_out(plan, settings, binary).unwrap();
        federation.local.spawn(0).unwrap();
        federation.local.wait_until_ready(0).await.unwrap();
        let sender = Sender::connect(&federation.local, &federation.local.province.cast.commune).await.unwrap();
        Self { federation, sender }
    }

    fn agency(&self, pick: impl Fn(&certs_dev::province::Cast<AgencyId>) -> &AgencyId) -> AgencyId {
        pick(&self.federation.local.province.cast).clone()
    }

    fn envelope(&self) -> v1::Envelope {
        self.sender.envelope(&[&self.federation.local.province.cast.land_office])
    }

    async fn submit(&self, request: v1::SubmitRequest) -> Result<v1::SubmitResponse, Status> {
        self.sender.client.clone().submit(request).await.map(tonic::Response::into_inner)
    }

    async fn refused(&self, request: v1::SubmitRequest) -> Seen {
        let status = self.submit(request).await.expect_err("it must be refused");
        refusal::read(&status).unwrap()
    }

    /// Signs what `change` makes of a good envelope, and expects `reason`.
    async fn check(&self, change: impl FnOnce(&mut v1::Envelope), reason: &str) {
        let mut envelope = self.envelope();
        change(&mut envelope);
        let request = self.sender.sign(&envelope).unwrap();
        let seen = self.refused(request).await;
        assert_eq!(seen.reason, reason, "{seen:?}");
        assert!(seen.message.chars().count() > 30, "it says what is wrong and what to do: {seen:?}");
    }

    async fn check_bytes(&self, bytes: Vec<u8>, reason: &str) {
        let request = self.sender.sign_bytes(Bytes::from(bytes)).unwrap();
        assert_eq!(self.refused(request).await.reason, reason);
    }
}

fn part(name: &str) -> v1::Part {
    let sha256 = Bytes::copy_from_slice(Digest::of(name.as_bytes()).as_bytes());
    v1::Part {
        name: name.to_owned(),
        media_type: "text/plain".to_owned(),
        size: name.len() as u64,
        sha256,
        role: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_of_the_wrong_shape_is_refused_with_its_own_reason() {
    let door = Door::open().await;
    let dissolved = door.agency(|cast| &cast.dissolved).to_string();
    let later = |seconds| prost_types::Timestamp { seconds: now().seconds + seconds, nanos: 0 };
    door.check(|e| e.schema = "lienthong.envelope.v0".to_owned(), "ENVELOPE_SCHEMA_UNKNOWN").await;
    door.check(|e| e.id = e.id.to_uppercase(), "ENVELOPE_ID_INVALID").await;
    door.check(|e| e.content = None, "ENVELOPE_CONTENT_MISSING").await;
    door.check(|e| e.created_at = Some(later(86_000)), "ENVELOPE_TIME_INVALID").await;
    door.check(|e| (e.created_at, e.expires_at) = (Some(later(-90)), Some(later(-30))), "ENVELOPE_EXPIRED").await;
    door.check(|e| e.from = "h99.nowhere".to_owned(), "SENDER_UNKNOWN").await;
    door.check(|e| e.to.clear(), "RECIPIENT_MISSING").await;
    door.check(|e| e.to.push(v1::Recipient { agency: "h99.nowhere".to_owned() }), "RECIPIENT_UNKNOWN").await;
    door.check(|e| e.to = vec![v1::Recipient { agency: dissolved }], "RECIPIENT_ENDED").await;
    door.check(|e| e.to.push(e.to[0].clone()), "RECIPIENT_REPEATED").await;
    let many = |count| (0..count).map(|n| v1::Recipient { agency: format!("h99.{n}") }).collect();
    door.check(|e| e.to = many(4_097), "RECIPIENTS_TOO_MANY").await;
    for name in ["../../etc/passwd", "a\0b", "hồ sơ\u{202e}fdp.exe", "a/b"] {
        door.check(|e| e.parts.push(part(name)), "PART_NAME_INVALID").await;
    }
    door.check(|e| e.parts.push(part("đơn.txt")), "PART_MISSING").await;
    door.check(|e| e.parts = (0..257).map(|n| part(&format!("tờ {n}.txt"))).collect(), "PARTS_TOO_MANY").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_two_readers_could_read_differently_are_refused() {
    let door = Door::open().await;
    let good = door.envelope().encode_to_vec();
    let again = v1::Envelope { id: uuid::Uuid::now_v7().to_string(), ..Default::default() }.encode_to_vec();
    door.check_bytes([good.clone(), again].concat(), "ENVELOPE_FIELD_REPEATED").await;
    // Field 900, a varint: nobody knows it.
    door.check_bytes([good.clone(), vec![0xa0, 0x38, 0x01]].concat(), "ENVELOPE_FIELD_UNKNOWN").await;
    door.check_bytes([good.clone(), vec![0xff]].concat(), "ENVELOPE_MALFORMED").await;
    door.check_bytes(good[..good.len() - 3].to_vec(), "ENVELOPE_MALFORMED").await;

    // The same message, encoded anew with its first field last: the signature is over other bytes.
    let mut request = door.sender.sign_bytes(Bytes::from(good.clone())).unwrap();
    let first = v1::Envelope { schema: "lienthong.envelope.v1".to_owned(), ..Default::default() }.encode_to_vec();
    let moved = [&good[first.len()..], &first[..]].concat();
    assert_eq!(v1::Envelope::decode(moved.as_slice()).unwrap(), v1::Envelope::decode(good.as_slice()).unwrap());
    if let Some(envelope) = &mut request.envelope {
        envelope.envelope = moved.into();
    }
    assert_eq!(door.refused(request).await.reason, "SIGNATURE_CONTENT_MISMATCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_is_not_the_senders_is_refused() {
    let door = Door::open().await;
    let local = &door.federation.local;
    let envelope = door.envelope();
    let mut broken = door.sender.sign(&envelope).unwrap();
    if let Some(signed) = &mut broken.envelope {
        let mut cms = signed.signatures[0].cms.to_vec();
        let last = cms.len() - 1;
        cms[last] ^= 1;
        signed.signatures[0].cms = cms.into();
    }
    assert_eq!(door.refused(broken).await.reason, "SIGNATURE_INVALID");

    let mut unsigned = door.sender.sign(&envelope).unwrap();
    if let Some(signed) = &mut unsigned.envelope {
        signed.signatures.clear();
    }
    assert_eq!(door.refused(unsigned).await.reason, "SIGNATURE_MISSING");

    // Another commune's seal under our name: a valid certificate, of the wrong agency.
    let neighbour = Sender::connect(local, &local.province.cast.other_commune).await.unwrap();
    assert_eq!(door.refused(neighbour.sign(&envelope).unwrap()).await.reason, "SIGNER_NOT_REGISTERED");

    // The district's own envelope, well signed, brought by a system that does not speak for the district.
    let district = &local.province.cast.district;
    let seal = &local.province.agency(district).unwrap().seal.credential;
    let signer = certs_dev::sign::FastSigner::new(seal, certs_dev::sign::SignOptions::at(now().seconds)).unwrap();
    let foreign = v1::Envelope { from: district.to_string(), ..envelope }.encode_to_vec();
    let signature =
        v1::Signature { cms: signer.sign(&foreign).unwrap().into(), role: v1::SignatureRole::Agency.into() };
    let signed = v1::SignedEnvelope { envelope: foreign.into(), signatures: vec![signature] };
    let request = v1::SubmitRequest { envelope: Some(signed), inline_parts: Vec::new() };
    assert_eq!(door.refused(request).await.reason, "SYSTEM_NOT_AUTHORIZED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_other_bytes_is_refused_also_after_a_restart() {
    let mut door = Door::open().await;
    let envelope = door.envelope();
    let first = door.sender.sign(&envelope).unwrap();
    assert!(!door.submit(first).await.unwrap().duplicate);
    let other = v1::Envelope { priority: v1::Priority::Express.into(), ..envelope };
    let request = door.sender.sign(&other).unwrap();
    assert_eq!(door.refused(request.clone()).await.reason, "ENVELOPE_ID_REUSED");
    door.federation.local.kill(0).unwrap();
    door.federation.local.spawn(0).unwrap();
    door.federation.local.wait_until_ready(0).await.unwrap();
    door.sender = Sender::connect(&door.federation.local, &door.sender.agency).await.unwrap();
    assert_eq!(door.refused(request).await.reason, "ENVELOPE_ID_REUSED");
}

async fn upload(door: &Door, header: v1::PartHeader, chunks: Vec<Bytes>) -> Result<u64, Status> {
    use v1::upload_part_request::Frame;
    let frames = std::iter::once(Frame::Header(header)).chain(chunks.into_iter().map(Frame::Chunk));
    let frames: Vec<_> = frames.map(|frame| v1::UploadPartRequest { frame: Some(frame) }).collect();
    let answer = door.sender.client.clone().upload_part(tokio_stream::iter(frames)).await?;
    Ok(answer.into_inner().size)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_not_what_was_said_is_refused_and_not_kept() {
    let door = Door::open().await;
    let content = Bytes::from_static(b"mot to don");
    let sha256 = Bytes::copy_from_slice(Digest::of(&content).as_bytes());
    let header = |size: u64, sha256: &Bytes| v1::PartHeader { sha256: sha256.clone(), size, offset: 0 };
    let other = Bytes::copy_from_slice(Digest::of(b"another").as_bytes());
    for (header, reason) in [
        (header(9, &sha256), "PART_SIZE_MISMATCH"),
        (header(11, &sha256), "PART_SIZE_MISMATCH"),
        (header(10, &other), "PART_DIGEST_MISMATCH"),
        (header(1 << 40, &sha256), "PART_TOO_LARGE"),
        (header(10, &Bytes::from_static(b"short")), "PART_DIGEST_INVALID"),
        (v1::PartHeader { offset: 4, ..header(10, &sha256) }, "UPLOAD_OFFSET"),
    ] {
        let status = upload(&door, header.clone(), vec![content.clone()]).await.expect_err(reason);
        assert_eq!(refusal::read(&status).unwrap().reason, reason, "{header:?}");
    }
    let asked = v1::MissingPartsRequest { sha256: vec![sha256.clone(), other] };
    let missing = door.sender.client.clone().missing_parts(asked).await.unwrap().into_inner().missing;
    assert_eq!(missing.len(), 2, "nothing of it was kept as a part");
    assert_eq!(upload(&door, header(10, &sha256), vec![content]).await.unwrap(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_above_its_quota_is_told_when_to_come_back() {
    let door = Door::open_with("[quota]\nrequests_per_second = 1\n").await;
    let mut refused = None;
    // Ten quiet seconds may be used at once; the rest has to wait.
    for _ in 0..40 {
        let request = door.sender.sign(&door.envelope()).unwrap();
        if let Err(status) = door.submit(request).await {
            refused = Some(refusal::read(&status).unwrap());
            break;
        }
    }
    let seen = refused.expect("forty at once are above the quota");
    assert_eq!((seen.reason.as_str(), seen.code), ("QUOTA_EXCEEDED", tonic::Code::ResourceExhausted));
    assert!(seen.retry, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_nearly_full_takes_no_more_and_says_so_before_anything_is_lost() {
    let door = Door::open_with("").await;
    let config = &door.federation.local.gateways[0].config;
    let text = std::fs::read_to_string(config).unwrap().replace("[store]\n", "[store]\nfree_bytes_min = \"900TiB\"\n");
    std::fs::write(config, text).unwrap();
    let mut door = door;
    door.federation.local.stop(0).unwrap();
    door.federation.local.spawn(0).unwrap();
    let seen = loop {
        // The gateway is alive but takes nothing; readiness says so, therefore the connection itself is what we wait for.
        if let Ok(sender) = Sender::connect(&door.federation.local, &door.sender.agency).await {
            door.sender = sender;
            let request = door.sender.sign(&door.envelope()).unwrap();
            break door.refused(request).await;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((seen.reason.as_str(), seen.code), ("STORE_FULL", tonic::Code::ResourceExhausted));
    assert!(seen.retry, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_wrong_parties_do_not_get_in() {
    let door = Door::open().await;
    let local = &door.federation.local;
    // A certificate of the right CA that the directory does not list.
    let stranger = local.province.tls_ladder.issue("stranger", &["localhost"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("s.pem"), folder.path().join("s.key"));
    std::fs::write(&certificate, &stranger.certificate_pem).unwrap();
    std::fs::write(&key, &stranger.key_pem).unwrap();
    let good = local.system_profile(&door.sender.agency).unwrap();
    let profile = gateway_cli::connect::Profile { certificate, key, ..good };
    let mut client = v1::submit_service_client::SubmitServiceClient::new(profile.open().await.unwrap());
    let request = door.sender.sign(&door.envelope()).unwrap();
    let status = client.submit(request).await.expect_err("a stranger");
    assert_eq!(status.code(), tonic::Code::Unauthenticated);

    // A system is no operator.
    let channel = local.system_profile(&door.sender.agency).unwrap().open().await.unwrap();
    let mut operate = v1::operate_service_client::OperateServiceClient::new(channel);
    let status = operate.get_status(v1::GetStatusRequest {}).await.expect_err("a system");
    assert_eq!(refusal::read(&status).unwrap().reason, "OPERATOR_NOT_AUTHORIZED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_expires_closes_the_door_and_a_new_one_opens_it_again() {
    let door = Door::open().await;
    let local = &door.federation.local;
    let source = std::fs::read_to_string(&local.province.agencies_toml).unwrap();
    // Long enough for the gateway to take it over, which looks every second: one that has expired before would not be taken.
    let short = source.replace("valid_for = \"30d\"", "valid_for = \"10s\"");
    assert_ne!(source, short);
    std::fs::write(&local.province.agencies_toml, short).unwrap();
    local.issue_directory(2).unwrap();
    let seen = refused_in_the_end(&door).await;
    assert_eq!(seen.reason, "DIRECTORY_EXPIRED");
    // An unsigned one changes nothing.
    let mut bytes = std::fs::read(local.directory_file()).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 0x55;
    std::fs::write(local.directory_file(), bytes).unwrap();
    let request = door.sender.sign(&door.envelope()).unwrap();
    assert_eq!(door.refused(request).await.reason, "DIRECTORY_EXPIRED");
    std::fs::write(&local.province.agencies_toml, source).unwrap();
    local.issue_directory(3).unwrap();
    let begun = Instant::now();
    loop {
        let request = door.sender.sign(&door.envelope()).unwrap();
        match door.submit(request).await {
            Ok(answer) => {
                assert!(!answer.duplicate);
                break;
            }
            Err(status) => assert_eq!(refusal::read(&status).unwrap().reason, "DIRECTORY_EXPIRED"),
        }
        assert!(begun.elapsed() < PATIENCE, "the new directory is not in force");
        // The gateway is another process, and looks for a new directory every second.
        tokio::time::sleep(LOOK).await;
    }
}

/// Submits until the gateway has taken over the new directory and refuses.
async fn refused_in_the_end(door: &Door) -> Seen {
    let begun = Instant::now();
    loop {
        let request = door.sender.sign(&door.envelope()).unwrap();
        if let Err(status) = door.submit(request).await {
            return refusal::read(&status).unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is refused");
        // The gateway is another process, and looks for a new directory every second.
        tokio::time::sleep(LOOK).await;
    }
}
