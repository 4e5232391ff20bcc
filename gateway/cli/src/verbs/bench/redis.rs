//! The gateway on Redis, on one node and on two, against bare pipelined writes of the same bytes to the same Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use prost::Message as _;

use super::load::{self, Run, Supply};
use super::report::Floor;
use super::{CHANNELS, floor, memory};
use crate::connect::Profile;
use crate::errln;
use crate::local::Local;
use crate::local::redis::Redis;
use crate::outln;

/// In flight, of ours and of the bare writes.
const IN_FLIGHT: usize = 256;
/// Bare writes go to so many keys in turn: what is measured is writing, not growing.
const KEYS: usize = 20_000;
/// Envelopes signed at once while a store is filled, so that the load's own memory stays small.
const CHUNK: usize = 20_000;

/// What was measured.
#[derive(Clone, Debug)]
pub struct OnRedis {
    /// Bare writes a second.
    pub bare: f64,
    /// Processor time of one bare write, of Redis and of its client together.
    pub bare_cpu: Duration,
    /// One node, pipelined.
    pub one: Run,
    /// Two nodes, half of the load each.
    pub two: Run,
    /// Share of the cores that each process used while two nodes ran.
    pub busy: Busy,
    /// While nothing is handed on.
    pub waiting: Waiting,
}

/// Share of all cores, 1 for all of them.
#[derive(Clone, Copy, Debug)]
pub struct Busy {
    /// This program, which is the client.
    pub client: f64,
    /// The gateway's nodes together.
    pub nodes: f64,
    /// Redis.
    pub redis: f64,
}

/// Deliveries that wait.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// How many.
    pub deliveries: usize,
    /// Memory of Redis for each, its body included.
    pub redis_bytes_each: u64,
    /// Resident memory of one node.
    pub node_bytes: u64,
    /// Accepted a second at the end.
    pub per_second: f64,
}

/// Signs envelopes for a run.
pub type Sign<'a> = dyn Fn(&Local, usize) -> anyhow::Result<Supply> + Sync + 'a;

/// Measures on a Redis of its own, in the federation's folder; at the end so many deliveries wait as `fill` says, or as there are.
///
/// # Errors
/// When `redis-server` is missing, or anything is refused.
pub async fn measure(local: &mut Local, lasting: Duration, fill: usize, sign: &Sign<'_>) -> anyhow::Result<OnRedis> {
    let redis = Redis::start(&local.folder.join("redis")).await?;
    let other = local.add_node(0, "b")?;
    for number in [0, other] {
        local.gateways[number].environment.extend(redis.environment());
    }
    let sample = sign(local, 1)?;
    let record = sample.sample()?.envelope.clone().context("an envelope")?.encode_to_vec();
    errln!("measuring bare writes to Redis …");
    let cpu = |redis: &Redis| -> anyhow::Result<Duration> {
        Ok(floor::process_cpu()? + memory::cpu_of(redis.process().context("Redis runs")?)?)
    };
    let before = cpu(&redis)?;
    let bare = bare_writes(&redis, &record, lasting).await?;
    let bare_cpu = cpu(&redis)?.saturating_sub(before).div_f64((bare * lasting.as_secs_f64()).max(1.0));
    errln!("measuring the gateway on Redis …");
    let enough = (bare * lasting.as_secs_f64() / 2.0) as usize;
    let empty = used_memory(&redis).await?;
    let (first, second) = (profile_of(local, 0)?, profile_of(local, other)?);
    start(local, 0).await?;
    let channels = open(&first, CHANNELS).await?;
    load::pipelined(&channels, &Arc::new(sign(local, 2_000)?), IN_FLIGHT, lasting).await?;
    let one = load::pipelined(&channels, &Arc::new(sign(local, enough)?), IN_FLIGHT, lasting).await?;
    start(local, other).await?;
    let mut both = open(&first, CHANNELS / 2).await?;
    both.extend(open(&second, CHANNELS / 2).await?);
    load::pipelined(&both, &Arc::new(sign(local, 2_000)?), IN_FLIGHT, lasting).await?;
    let supply = Arc::new(sign(local, enough)?);
    let meter = Meter::start(local, &redis, other)?;
    let two = load::pipelined(&both, &supply, IN_FLIGHT, lasting).await?;
    let busy = meter.stop(local, &redis, other)?;
    local.stop(other)?;
    let waiting = wait(local, &redis, &channels, fill, empty, sign).await?;
    local.stop(0)?;
    Ok(OnRedis { bare, bare_cpu, one, two, busy, waiting })
}

async fn start(local: &mut Local, number: usize) -> anyhow::Result<()> {
    local.spawn(number)?;
    local.wait_until_ready(number).await
}

/// How the commune's system reaches one node.
fn profile_of(local: &Local, number: usize) -> anyhow::Result<Profile> {
    let profile = local.system_profile(&local.province.cast.commune)?;
    Ok(Profile { gateway: format!("https://127.0.0.1:{}", local.gateways[number].port), ..profile })
}

async fn open(profile: &Profile, count: usize) -> anyhow::Result<Vec<tonic::transport::Channel>> {
    let mut channels = Vec::new();
    for _ in 0..count {
        channels.push(profile.open().await?);
    }
    Ok(channels)
}

/// Writes the record again and again, so many in flight on one connection, each answered when it is on the disk.
async fn bare_writes(redis: &Redis, record: &[u8], lasting: Duration) -> anyhow::Result<f64> {
    let mut connection = connect(redis).await?;
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < lasting {
        let mut writes = redis::pipe();
        for number in 0..IN_FLIGHT {
            writes.set(format!("bare:{}", (count + number) % KEYS), record).ignore();
        }
        writes.query_async::<()>(&mut connection).await?;
        count += IN_FLIGHT;
    }
    let took = begun.elapsed();
    redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await?;
    Ok(count as f64 / took.as_secs_f64())
}

/// Fills up with deliveries that wait, since the gateway above is down.
async fn wait(
    local: &Local,
    redis: &Redis,
    channels: &[tonic::transport::Channel],
    fill: usize,
    empty: u64,
    sign: &Sign<'_>,
) -> anyhow::Result<Waiting> {
    let mut connection = connect(redis).await?;
    let mut per_second = 0.0;
    let mut kept = waiting_rows(local, &mut connection).await?;
    while kept < fill {
        let supply = Arc::new(sign(local, CHUNK.min(fill - kept))?);
        let run = load::pipelined(channels, &supply, IN_FLIGHT, Duration::from_secs(600)).await?;
        (kept, per_second) = (kept + run.count, run.per_second);
    }
    let deliveries = waiting_rows(local, &mut connection).await?;
    let used = used_memory(redis).await?.saturating_sub(empty);
    let process = local.process(0).context("the gateway runs")?;
    let node_bytes = memory::of_process(process, "VmRSS:").context("the gateway's memory")?;
    Ok(Waiting { deliveries, redis_bytes_each: used / deliveries.max(1) as u64, node_bytes, per_second })
}

/// Deliveries that wait, by the index of their status.
async fn waiting_rows(local: &Local, connection: &mut redis::aio::MultiplexedConnection) -> anyhow::Result<usize> {
    let key = format!("lienthong:{{{}}}:status:0", local.gateways[0].id);
    Ok(redis::cmd("ZCARD").arg(key).query_async(connection).await?)
}

async fn used_memory(redis: &Redis) -> anyhow::Result<u64> {
    let mut connection = connect(redis).await?;
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.context("Redis does not tell its memory")?.trim().parse().context("Redis' memory")
}

async fn connect(redis: &Redis) -> anyhow::Result<redis::aio::MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://{}", redis.address()))?;
    Ok(client.get_multiplexed_async_connection().await?)
}

/// Processor time of everybody, from a moment on.
struct Meter {
    begun: Instant,
    client: Duration,
    nodes: Duration,
    redis: Duration,
}

impl Meter {
    fn start(local: &Local, redis: &Redis, other: usize) -> anyhow::Result<Self> {
        let of = |process: Option<u32>| memory::cpu_of(process.context("it does not run")?);
        let nodes = of(local.process(0))? + of(local.process(other))?;
        Ok(Self { begun: Instant::now(), client: floor::process_cpu()?, nodes, redis: of(redis.process())? })
    }

    fn stop(self, local: &Local, redis: &Redis, other: usize) -> anyhow::Result<Busy> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let all = self.begun.elapsed().as_secs_f64() * cores;
        let now = Self::start(local, redis, other)?;
        let share = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() / all;
        Ok(Busy {
            client: share(self.client, now.client),
            nodes: share(self.nodes, now.nodes),
            redis: share(self.redis, now.redis),
        })
    }
}

impl OnRedis {
    /// Envelopes a second that nothing could beat here: cores ÷ (check + echo + bare write).
    fn floor(&self, floor: &Floor) -> f64 {
        floor.cores as f64 / (floor.check.cpu + floor.echo.cost.cpu + self.bare_cpu).as_secs_f64()
    }
}

/// Prints the figures.
pub fn print(on: &OnRedis, floor: &Floor, keys: &str) {
    outln!("\non Redis (appendfsync always, on this machine too), 256 in flight, pipelined, {keys}");
    outln!("bare pipelined writes of the same bytes: {:.0}/s", on.bare);
    outln!(
        "floor: {:.0}/s = {} cores ÷ (signature check + gRPC echo + bare write {:.1?} of CPU)",
        on.floor(floor),
        floor.cores,
        on.bare_cpu
    );
    outln!(
        "one node: {:.0}/s, {:.2} of the bare writes, {:.2} of the floor",
        on.one.per_second,
        on.one.per_second / on.bare,
        on.one.per_second / on.floor(floor)
    );
    outln!("two nodes: {:.0}/s, {:.2} × one node", on.two.per_second, on.two.per_second / on.one.per_second);
    outln!(
        "meanwhile of all cores: nodes {:.0} %, client {:.0} %, Redis {:.0} %",
        on.busy.nodes * 100.0,
        on.busy.client * 100.0,
        on.busy.redis * 100.0
    );
    outln!(
        "{} deliveries wait: {} bytes of Redis' memory each, node {} MiB{}",
        on.waiting.deliveries,
        on.waiting.redis_bytes_each,
        on.waiting.node_bytes / 1_048_576,
        if on.waiting.per_second > 0.0 {
            format!(", {:.0}/s at the end", on.waiting.per_second)
        } else {
            String::new()
        }
    );
}

/// The same for programs.
pub fn json(on: &OnRedis, floor: &Floor) -> serde_json::Value {
    serde_json::json!({
        "bare_per_second": on.bare, "floor_per_second": on.floor(floor),
        "one_node_of_the_floor": on.one.per_second / on.floor(floor), "one_node_per_second": on.one.per_second,
        "one_node_of_bare": on.one.per_second / on.bare, "two_nodes_per_second": on.two.per_second,
        "two_nodes_of_one": on.two.per_second / on.one.per_second,
        "busy": { "client": on.busy.client, "nodes": on.busy.nodes, "redis": on.busy.redis },
        "waiting": {
            "deliveries": on.waiting.deliveries, "redis_bytes_each": on.waiting.redis_bytes_each,
            "node_bytes": on.waiting.node_bytes, "per_second": on.waiting.per_second,
        },
    })
}
