//! A gateway in miniature: what comes through an adapter's door is checked as a gateway does and delivered to the adapter that serves the
//! recipient, again and again until it is settled.

use std::collections::{BTreeMap, HashMap};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use adapters_edxml::EdxmlKind;
use adapters_sdk::lease::{LeaseHold, LeaseLost, Settled};
use adapters_sdk::{Adapter, AdapterKind, Delivery, Door, NewPart, Outcome, PartSource, PrepareContext, Submitted};
use adapters_simulators::dms::call::HubAccess;
use async_trait::async_trait;
use bytes::Bytes;
use certs_dev::KeyKind;
use certs_dev::pki::{Ladder, LeafProfile};
use gateway_model::agency::Hop;
use gateway_model::envelope::ResolvedRecipient;
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeKey, GatewayId, SystemId};
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Reason, Refusal, Timestamp};
use prost::Message as _;
use proto::v1;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

pub const SECRET: &str = "mot-bi-mat-dung-chung-32-ky-tu-00";
const COMMUNE: &str = "h99.30.01";
const DEPARTMENT: &str = "h99.12";
const PROVINCE: &str = "h99";

/// Codes in packages, by internal id.
pub fn code(agency: &str) -> &'static str {
    match agency {
        COMMUNE => "000.01.30.H99",
        DEPARTMENT => "H99.12",
        PROVINCE => "000.00.00.H99",
        _ => panic!("no such agency: {agency}"),
    }
}

/// What the gateway in miniature has.
pub struct Post {
    pub folder: TempDir,
    adapters: Mutex<HashMap<String, Arc<dyn Adapter>>>,
    parts: Mutex<BTreeMap<Digest, Bytes>>,
    accepted: Mutex<Vec<(EnvelopeKey, Bytes)>>,
    /// What was settled, by recipient.
    outcomes: Mutex<Vec<(DeliveryId, Outcome)>>,
    refusals: Mutex<Vec<Refusal>>,
    /// Answers to submissions that never arrive.
    pub lost_answers: Mutex<usize>,
    closed: watch::Sender<bool>,
    changed: Notify,
}

impl Post {
    pub fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let ladder = Ladder::new(KeyKind::P256, 1_790_000_000).unwrap();
        for agency in [COMMUNE, DEPARTMENT, PROVINCE] {
            let seal = ladder.issue_signer(agency, KeyKind::P256, LeafProfile::agency("Cơ quan")).unwrap();
            std::fs::write(folder.path().join(format!("{agency}.pem")), seal.certificate_pem).unwrap();
            std::fs::write(folder.path().join(format!("{agency}.key")), seal.key_pem).unwrap();
        }
        std::fs::write(folder.path().join("secret"), SECRET).unwrap();
        Arc::new(Self {
            folder,
            adapters: Mutex::default(),
            parts: Mutex::default(),
            accepted: Mutex::default(),
            outcomes: Mutex::default(),
            refusals: Mutex::default(),
            lost_answers: Mutex::default(),
            closed: watch::Sender::new(false),
            changed: Notify::new(),
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The next submission is refused.
    pub fn refuses(&self, refusal: Refusal) {
        self.refusals.lock().unwrap().push(refusal);
    }

    /// Envelopes accepted so far.
    pub fn envelopes(&self) -> Vec<v1::Envelope> {
        let accepted = self.accepted.lock().unwrap();
        accepted.iter().map(|(_, bytes)| v1::Envelope::decode(bytes.clone()).unwrap()).collect()
    }

    /// What became of deliveries so far.
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.lock().unwrap().iter().map(|(_, outcome)| outcome.clone()).collect()
    }

    /// Waits until so many deliveries are settled.
    pub async fn settled(&self, count: usize) -> Vec<Outcome> {
        self.until(|post| post.outcomes().len() >= count).await;
        self.outcomes()
    }

    /// Waits until something is so, and fails when it is not in a minute.
    pub async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is_so(self) {
                // Adapters tell of files and sockets by nothing but themselves: they are looked at.
                tokio::time::timeout(Duration::from_millis(20), self.changed.notified()).await.unwrap_or_default();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it did not come so far in a minute");
    }

    /// Opens an adapter for an agency and serves its door.
    pub async fn open(self: &Arc<Self>, agency: &str, table: &str) -> Running {
        let context = PrepareContext {
            name: agency.to_owned(),
            base: self.folder.path().to_owned(),
            agencies: vec![AgencyId::parse(agency).unwrap()],
            system: Some(SystemId::parse("sys").unwrap()),
        };
        let text = format!(
            "path = \"{agency}\"\ntrace_as = \"W99\"\n{table}\n[[organ]]\nagency = \"{agency}\"\ncodes = [\"{}\"]\nname = \"Cơ quan\"\ncertificate = \"{agency}.pem\"\nkey = \"{agency}.key\"\n",
            code(agency)
        );
        let prepared = EdxmlKind.prepare(&text.parse().unwrap(), &context).map_err(|faults| format!("{faults:?}"));
        let prepared = prepared.unwrap();
        assert_eq!(prepared.check(), []);
        let adapter = prepared.open().await.unwrap();
        self.adapters.lock().unwrap().insert(code(agency).to_owned(), adapter.clone());
        let door: Arc<dyn Door> = Arc::new(Gate {
            post: self.clone(),
            agency: agency.to_owned(),
            hop: Hop::System(SystemId::parse("sys").unwrap()),
        });
        let task = tokio::spawn(async move { adapter.receive(door).await.unwrap() });
        Running { task }
    }

    /// We are the hub of an agency's system.
    pub async fn open_server(self: &Arc<Self>, agency: &str) -> (Running, HubAccess) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        self.open_server_at(agency, port).await
    }

    pub async fn open_server_at(self: &Arc<Self>, agency: &str, port: u16) -> (Running, HubAccess) {
        let table = format!(
            "door = \"hub-server\"\n[hub]\naddress = \"127.0.0.1:{port}\"\nsecret_file = \"secret\"\nsystem_id = \"dms\"\nlist_wait = \"200ms\"\nconfirm_within = \"1s\"\npoll_expected = \"2s\"\n"
        );
        let running = self.open(agency, &table).await;
        let access = HubAccess {
            url: format!("http://127.0.0.1:{port}/edoc/v1"),
            system_id: "dms".to_owned(),
            secret: SECRET.to_owned(),
        };
        (running, access)
    }

    fn accept(self: &Arc<Self>, agency: &str, signed: Bytes) -> Result<Submitted, Refusal> {
        if let Some(refusal) = self.refusals.lock().unwrap().pop() {
            return Err(refusal);
        }
        let message = v1::SignedEnvelope::decode(signed.clone()).unwrap();
        // As strict as any gateway.
        let envelope = gateway_verify::wire::read_envelope(&message.envelope)?;
        let missing = envelope.parts.iter().any(|part| !self.parts.lock().unwrap().contains_key(&part.digest));
        if missing {
            return Err(Refusal::new(Reason::PartMissing));
        }
        let key = EnvelopeKey { sender: AgencyId::parse(agency).unwrap(), id: envelope.id };
        let duplicate = {
            let mut accepted = self.accepted.lock().unwrap();
            match accepted.iter().find(|(known, _)| *known == key) {
                Some((_, bytes)) => {
                    assert_eq!(*bytes, message.envelope, "one id, two bodies");
                    true
                }
                None => {
                    accepted.push((key.clone(), message.envelope.clone()));
                    false
                }
            }
        };
        if !duplicate {
            for to in &envelope.to {
                self.send(to, &key, &signed, &message.envelope);
            }
        }
        self.changed.notify_waiters();
        Ok(Submitted { key, receipt: Bytes::from_static(b"receipt"), duplicate })
    }

    /// Lets an agency's own system send an envelope that never was a package.
    pub fn write(
        self: &Arc<Self>,
        from: &str,
        mut envelope: v1::Envelope,
        files: &[(&str, &'static [u8])],
    ) -> EnvelopeKey {
        use adapters_sdk::seal::describe::wire_time;
        for (name, bytes) in files {
            let digest = Digest::of(bytes);
            self.parts.lock().unwrap().insert(digest, Bytes::from_static(bytes));
            envelope.parts.push(v1::Part {
                name: (*name).to_owned(),
                media_type: "application/pdf".to_owned(),
                size: bytes.len() as u64,
                sha256: digest.0.to_vec().into(),
                role: String::new(),
            });
        }
        envelope.schema = gateway_model::envelope::ENVELOPE_SCHEMA.to_owned();
        envelope.from = from.to_owned();
        envelope.created_at = Some(wire_time(now()));
        envelope.expires_at = Some(wire_time(now().plus(Duration::from_secs(86_400))));
        envelope.priority = v1::Priority::Normal.into();
        let signed = v1::SignedEnvelope { envelope: envelope.encode_to_vec().into(), signatures: Vec::new() };
        self.accept(from, signed.encode_to_vec().into()).unwrap().key
    }

    /// Delivers until it is settled, as an engine does.
    pub fn send(self: &Arc<Self>, to: &str, key: &EnvelopeKey, signed: &Bytes, bytes: &Bytes) {
        let agency = [COMMUNE, DEPARTMENT, PROVINCE].into_iter().find(|agency| code(agency) == to || *agency == to);
        let Some(agency) = agency else { return };
        let recipient = AgencyId::parse(agency).unwrap();
        let delivery = Delivery {
            ids: vec![DeliveryId::new(key, &recipient)],
            recipients: vec![ResolvedRecipient { named: recipient.clone(), serving: recipient }],
            key: key.clone(),
            digest: Digest::of(bytes),
            signed: signed.clone(),
            envelope: Arc::new(gateway_verify::wire::read_envelope(bytes).unwrap()),
            receipt: Bytes::new(),
            first_accepted: Bytes::new(),
            hops: vec![GatewayId::parse("gw").unwrap()],
            traceparent: None,
            attempt: 1,
            deadline: now().plus(Duration::from_secs(60)),
            lease: Arc::new(Lease::default()),
            parts: Arc::new(Shelf(self.clone())),
        };
        let (post, code) = (self.clone(), code(agency).to_owned());
        tokio::spawn(async move { post.deliver(&code, delivery).await });
    }

    async fn deliver(self: Arc<Self>, to: &str, mut delivery: Delivery) {
        loop {
            let adapter = self.adapters.lock().unwrap().get(to).cloned();
            let lease = Arc::new(Lease::default());
            delivery.lease = lease.clone();
            let outcome = match adapter {
                Some(adapter) => adapter.deliver(&delivery).await,
                None => return,
            };
            let is_settled = !matches!(outcome, Outcome::Deferred { .. });
            lease.end.send_replace(true);
            if is_settled {
                self.outcomes.lock().unwrap().push((delivery.ids[0], outcome));
                self.changed.notify_waiters();
                return;
            }
            delivery.attempt += 1;
            // The pause between two attempts.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// An adapter at work; dropping it is a crash.
pub struct Running {
    task: JoinHandle<()>,
}

impl Running {
    /// Breaks it off, wherever it is.
    pub async fn crash(mut self, post: &Post, agency: &str) {
        self.task.abort();
        assert!((&mut self.task).await.unwrap_err().is_cancelled());
        post.adapters.lock().unwrap().remove(code(agency));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
struct Lease {
    end: watch::Sender<bool>,
}

#[async_trait]
impl LeaseHold for Lease {
    async fn extend(&self, span: Duration) -> Result<Duration, LeaseLost> {
        Ok(span)
    }

    async fn settled(&self) -> Settled {
        self.end.subscribe().wait_for(|end| *end).await.unwrap();
        Settled::Committed(DeliveryState::Delivered)
    }
}

struct Shelf(Arc<Post>);

#[async_trait]
impl PartSource for Shelf {
    async fn open(&self, digest: &Digest, offset: u64) -> std::io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        let bytes = self.0.parts.lock().unwrap().get(digest).unwrap().slice(offset as usize..);
        Ok(Box::new(std::io::Cursor::new(bytes)))
    }
}

struct Gate {
    post: Arc<Post>,
    agency: String,
    hop: Hop,
}

#[async_trait]
impl Door for Gate {
    async fn upload(&self, part: NewPart, mut bytes: Box<dyn AsyncRead + Send + Unpin>) -> Result<(), Refusal> {
        let mut all = Vec::new();
        bytes.read_to_end(&mut all).await.unwrap();
        assert_eq!((Digest::of(&all), all.len() as u64), (part.digest, part.size));
        self.post.parts.lock().unwrap().insert(part.digest, all.into());
        Ok(())
    }

    async fn submit(&self, signed: Bytes) -> Result<Submitted, Refusal> {
        let submitted = self.post.accept(&self.agency, signed)?;
        let is_lost = {
            let mut left = self.post.lost_answers.lock().unwrap();
            let is_lost = *left > 0;
            *left = left.saturating_sub(1);
            is_lost
        };
        if is_lost {
            return Err(Refusal::new(Reason::StoreUnavailable));
        }
        Ok(submitted)
    }

    fn hop(&self) -> &Hop {
        &self.hop
    }

    fn now(&self) -> Timestamp {
        now()
    }

    async fn closed(&self) {
        self.post.closed.subscribe().wait_for(|closed| *closed).await.unwrap();
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(since.as_micros() as i64)
}
