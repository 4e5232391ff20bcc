//! Opening: whether Redis is fit, what is there, and whether it is what was left.
//!
//! In this order: every master is asked whether it keeps what it acknowledges; this node says that it is here, and a store that a verb of the
//! command line has to itself, or that is half imported, is refused; a head that is missing beside other keys of the store is refused;
//! format, log key and newest checkpoint are checked; this opening gets its number; leases that this node held before are given back; the
//! writer starts; wake-ups that a clock which ran ahead has set are brought back. Only then the store is there for others.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use gateway_evidence::{Checkpoint, Log};
use gateway_model::Timestamp;
use gateway_model::note::VerifierKey;
use gateway_model::state::DeliveryStatus;
use gateway_store::claim::Lane;
use redis::{Pipeline, Value};

use crate::answer::{bytes, list, number, text};
use crate::batch::BodyNumbers;
use crate::commit::Committer;
use crate::connection::Connector;
use crate::failure::Failure;
use crate::fitness::{Demands, Unusable};
use crate::head::{FORMAT, Head};
use crate::keeper::Keeper;
use crate::keys::{Keys, Place, read_return};
use crate::link::{Link, Way};
use crate::offline::{self, Found};
use crate::options::{Durability, OpenError, OpenOptions};
use crate::queue::{FarItem, Queue, Step};
use crate::read;
use crate::script::RELEASE;
use crate::shared::Shared;
use crate::store::RedisStore;
use crate::writer::Writer;

/// Items of a lane that are looked at, and brought back, in one step.
const FAR_ITEMS_IN_A_STEP: usize = 1_024;
/// Lanes that are asked about at once.
const LANES_IN_A_QUESTION: usize = 1_000;
/// How far the clock of this machine may be from that of Redis: leases of all nodes are by their clocks.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(5);
/// The longest that a batch is tried again because other nodes came first.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts to open.
const PAUSE_AT_START: Duration = Duration::from_millis(500);

pub(crate) async fn open(options: OpenOptions) -> Result<RedisStore, OpenError> {
    check_names(&options)?;
    let until = Instant::now() + options.start_patience;
    let ground = loop {
        match prepare(&options).await {
            Err(error) if is_passing(&error) && Instant::now() < until => {
                tracing::warn!(%error, "waiting for Redis");
                tokio::time::sleep(PAUSE_AT_START).await;
            }
            prepared => break prepared?,
        }
    };
    let Ground { link, keys, head, boot } = ground;
    let name = link.connector.name();
    let corrupt = |what: &str| OpenError::Corrupt { what: what.to_owned() };
    let log = Log::new(options.signer, head.log.clone()).map_err(|_| corrupt("the state of the evidence log"))?;
    let shared = Arc::new(Shared::new(options.free_bytes_min, head.version));
    let keeper =
        Keeper { link: link.clone(), keys: keys.clone(), shared: shared.clone(), node: options.node.clone(), boot };
    let (queue, inbox) = Queue::new(options.queue_steps_max, options.queue_bytes_max);
    let committer = Committer {
        link: link.clone(),
        keys: keys.clone(),
        node: options.node.clone(),
        boot,
        commits: 0,
        replicas: options.replicas,
        replicas_timeout: options.answer_timeout / 2,
        return_timeout: options.return_timeout,
    };
    let bodies = BodyNumbers { boot, next: 0 };
    let writer = Writer { committer, log, head, bodies, shared: shared.clone(), inbox, patience: PATIENCE };
    let store = RedisStore {
        link,
        keys,
        node: options.node,
        boot,
        heard: crate::uses::Heard::default(),
        shared,
        queue: Mutex::new(Some(Arc::new(queue))),
        tasks: Mutex::new(vec![tokio::spawn(writer.run()), tokio::spawn(keeper.run())]),
    };
    while let Err(failure) = settle_in(&store, options.now, options.retry_max).await {
        let error = broken(&name, &failure);
        let left = until.saturating_duration_since(Instant::now());
        if !is_passing(&error) || left.is_zero() || !store.link.back_within(left).await {
            return Err(error);
        }
        tracing::warn!(%error, "waiting for Redis");
        tokio::time::sleep(PAUSE_AT_START).await;
    }
    Ok(store)
}

/// What a store stands on.
struct Ground {
    link: Arc<Link>,
    keys: Keys,
    head: Head,
    boot: u64,
}

/// Connects, and reads or makes the head. Harmless when it is done again.
async fn prepare(options: &OpenOptions) -> Result<Ground, OpenError> {
    let origin = options.signer.verifier().name();
    let keys = Keys::new(&options.prefix, origin);
    let connector = Connector::new(options.server.clone(), options.answer_timeout)?;
    let name = connector.name();
    if options.durability == Durability::WaivedForTrials {
        tracing::error!(redis = %name, "durability is waived: what is accepted can be lost; this is for trials only");
    }
    let demands = Demands { durability: options.durability, free_bytes_min: options.free_bytes_min };
    let link = Link::open(connector, demands, options.answer_timeout).await;
    let link = Arc::new(link.map_err(|unusable| refuse(&name, unusable))?);
    let failed = |failure: Failure| broken(&name, &failure);
    check_clock(&link).await?;
    match offline::announce(&link, &keys, &options.node).await.map_err(failed)? {
        Found { holder: Some(verb), .. } => return Err(OpenError::Held { verb }),
        Found { is_half_imported: true, .. } => return Err(OpenError::HalfImported),
        Found { holder: None, is_half_imported: false, .. } => {}
    }
    let head = read_head(&link, &keys, origin).await?;
    check_log(&head, options.signer.verifier())?;
    let mut question = redis::cmd("INCR");
    question.arg(&keys.one("boots")[..]);
    let boot: u64 = link.ask(Way::Write, &question).await.map_err(failed)?;
    take_name(&link, &keys, &options.node, boot).await.map_err(failed)?;
    release(&link, &keys, &options.node).await.map_err(failed)?;
    Ok(Ground { link, keys, head, boot })
}

/// Leases go by the clocks of the nodes: one that is off would take what another one has.
async fn check_clock(link: &Link) -> Result<(), OpenError> {
    let name = link.connector.name();
    let asked: Result<(u64, u64), Failure> = link.ask(Way::Read, &redis::cmd("TIME")).await;
    let (seconds, micros) = asked.map_err(|failure| broken(&name, &failure))?;
    let theirs = Duration::from_secs(seconds) + Duration::from_micros(micros);
    let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let off = ours.abs_diff(theirs);
    if off > CLOCK_OFF_MAX {
        return Err(OpenError::ClockOff { address: name, seconds: off.as_secs() });
    }
    Ok(())
}

/// Learns how much room there is, and wakes what a clock that ran ahead has put off. Harmless when it is done again.
async fn settle_in(store: &RedisStore, now: Option<Timestamp>, retry_max: Duration) -> Result<(), Failure> {
    let (link, keys, shared) = (store.link.clone(), store.keys.clone(), store.shared.clone());
    Keeper { link, keys, shared, node: store.node.clone(), boot: store.boot }.look().await?;
    match now {
        Some(now) => bring_back(store, now, now.plus(retry_max)).await,
        None => Ok(()),
    }
}

/// Whether it goes by itself: nobody answers, or Redis is still reading its file.
fn is_passing(error: &OpenError) -> bool {
    matches!(error, OpenError::Unreachable { is_passing: true, .. })
}

pub(crate) fn check_names(options: &OpenOptions) -> Result<(), OpenError> {
    let is_plain = |name: &str| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let problem = || "1 to 64 letters, digits, \"-\", \"_\" and \".\"".to_owned();
    if !is_plain(&options.node) {
        return Err(OpenError::Setting { setting: "node", problem: problem() });
    }
    if !is_plain(&options.prefix) {
        return Err(OpenError::Setting { setting: "prefix", problem: problem() });
    }
    Ok(())
}

/// Reads the head, or makes it where there is nothing of the store.
async fn read_head(link: &Link, keys: &Keys, origin: &str) -> Result<Head, OpenError> {
    let failed = |failure: Failure| broken(&link.connector.name(), &failure);
    let mut has_head = redis::cmd("EXISTS");
    has_head.arg(&keys.head()[..]);
    let is_there: u64 = link.ask(Way::Write, &has_head).await.map_err(failed)?;
    if is_there == 0 {
        let mut question = redis::cmd("EXISTS");
        for trace in ["boots", "ids", "tokens", "lanes", "nodes"] {
            question.arg(&keys.one(trace)[..]);
        }
        let traces: u64 = link.ask(Way::Write, &question).await.map_err(failed)?;
        // Another node that starts at the same time makes the head before it leaves a trace.
        let is_there: u64 = link.ask(Way::Write, &has_head).await.map_err(failed)?;
        if traces > 0 && is_there == 0 {
            return Err(OpenError::Missing { key: format!("{}head", keys.tag()) });
        }
        let mut make = redis::cmd("SET");
        make.arg(&keys.head()[..]).arg(&Head::new(origin).encode()[..]).arg("NX");
        // Another node that starts at the same time may have been faster.
        let _made: Value = link.ask(Way::Write, &make).await.map_err(failed)?;
    }
    let head = read::head(link, keys).await.map_err(failed)?;
    match head.format {
        found if found > FORMAT => Err(OpenError::Newer { found, known: FORMAT }),
        _ => Ok(head),
    }
}

pub(crate) fn check_log(head: &Head, key: &VerifierKey) -> Result<(), OpenError> {
    let corrupt = |what: &str| Err(OpenError::Corrupt { what: what.to_owned() });
    let Some(note) = &head.note else {
        return if head.log.size() == 0 { Ok(()) } else { corrupt("the newest checkpoint is missing") };
    };
    let changed = || {
        let kept = note.lines().next().unwrap_or_default().to_owned();
        OpenError::LogKeyChanged { kept, given: key.to_string() }
    };
    let checkpoint = Checkpoint::open(note, key.name(), std::slice::from_ref(key)).map_err(|_| changed())?;
    if checkpoint.size != head.log.size() || checkpoint.root != head.log.root() {
        return corrupt("the newest checkpoint does not match the state of the log");
    }
    Ok(())
}

/// From now on no older process under this name writes any more.
async fn take_name(link: &Link, keys: &Keys, node: &str, boot: u64) -> Result<(), Failure> {
    let mut statement = redis::cmd("HSET");
    statement.arg(&keys.one("nodes")[..]).arg(node).arg(format!("{boot}.0"));
    let _new: u64 = link.ask(Way::Write, &statement).await?;
    Ok(())
}

/// The work that this node held when it ended is due again.
async fn release(link: &Link, keys: &Keys, node: &str) -> Result<(), Failure> {
    let mut call = RELEASE.call(&keys.head());
    call.arg(keys.tag()).arg(node);
    if let Value::Int(released @ 1..) = link.run(Way::Write, &RELEASE, &call).await? {
        tracing::info!(leases = released, "leases of before the start are given back");
    }
    Ok(())
}

/// Wakes at `now` whatever waits to be tried again and would wake after `latest`: a clock that ran ahead has set that wake-up.
async fn bring_back(store: &RedisStore, now: Timestamp, latest: Timestamp) -> Result<(), Failure> {
    let mut question = redis::cmd("ZRANGE");
    question.arg(&store.keys.one("lanes")[..]).arg(0).arg(-1);
    let lanes = list(store.link.ask(Way::Read, &question).await?)?.into_iter().map(|lane| text(lane).map(Lane::new));
    let lanes: Vec<Lane> = lanes.collect::<Result<_, _>>()?;
    for lanes in lanes.chunks(LANES_IN_A_QUESTION) {
        let mut questions = Pipeline::new();
        for lane in lanes {
            let question = questions.cmd("ZCOUNT").arg(&store.keys.lane(lane)[..]);
            question.arg(format!("({}", latest.micros())).arg("+inf");
        }
        for (lane, far) in lanes.iter().zip(store.link.ask_all(Way::Read, &questions).await?) {
            if number(far)? > 0 {
                bring_lane_back(store, lane, now, latest).await?;
            }
        }
    }
    Ok(())
}

async fn bring_lane_back(store: &RedisStore, lane: &Lane, now: Timestamp, latest: Timestamp) -> Result<(), Failure> {
    let mut staying = 0;
    loop {
        let mut question = redis::cmd("ZRANGEBYSCORE");
        question.arg(&store.keys.lane(lane)[..]).arg(format!("({}", latest.micros())).arg("+inf");
        question.arg("LIMIT").arg(staying).arg(FAR_ITEMS_IN_A_STEP);
        let found = list(store.link.ask(Way::Read, &question).await?)?;
        if found.is_empty() {
            return Ok(());
        }
        let (count, items) = (found.len(), far_items(store, found).await?);
        staying += count - items.len();
        if !items.is_empty() {
            let moved = items.len();
            let step = Step::BringBack { now, items };
            store.step(step).await.map_err(|error| Failure::Away(error.to_string()))?;
            tracing::warn!(lane = lane.as_str(), rows = moved, "wake-ups that lay too far ahead are brought back");
        }
    }
}

/// Those that wait to be tried again; what is forwarded has a date of its own.
async fn far_items(store: &RedisStore, found: Vec<Value>) -> Result<Vec<FarItem>, Failure> {
    let (mut items, mut places) = (Vec::new(), Vec::new());
    for item in found {
        let item = bytes(item)?;
        match item.split_first() {
            Some((b'd', place)) => places.push(Place::read(place)?),
            Some((b'r', id)) => items.push(FarItem::Return(read_return(id)?)),
            Some(_) | None => {}
        }
    }
    let rows = read::deliveries_at(&store.link, &store.keys, &places).await?;
    let waiting = rows.into_iter().filter(|row| row.state.status() == DeliveryStatus::Waiting);
    items.extend(waiting.map(|row| FarItem::Delivery(row.id)));
    Ok(items)
}

pub(crate) fn refuse(address: &str, unusable: Unusable) -> OpenError {
    match unusable {
        Unusable::Unfit(node, refusal) => {
            let address = if node.is_empty() { address.to_owned() } else { node };
            OpenError::Unfit { address, refusal }
        }
        Unusable::Failed(failure) => broken(address, &failure),
    }
}

pub(crate) fn broken(address: &str, failure: &Failure) -> OpenError {
    let is_passing = match failure {
        Failure::Damaged(damaged) => return OpenError::Corrupt { what: damaged.to_string() },
        Failure::Moved | Failure::Away(_) | Failure::Broken(_) | Failure::Full => true,
        Failure::Conflict(_) | Failure::Bound(_) | Failure::Refused(_) => false,
    };
    OpenError::Unreachable { address: address.to_owned(), problem: failure.to_string(), is_passing }
}
