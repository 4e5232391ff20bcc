//! `lienthong bench`: the machine's floor and the gateway, measured in one run, client included, reported as ratios.

mod echo;
mod floor;
mod load;
mod memory;
mod redis;
mod report;
mod search;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use certs_dev::KeyKind;
use certs_dev::province::Plan;
use clap::{Args, ValueEnum};
use gateway_server::config::Config;
use gateway_server::tls::Identity;
use tonic::transport::Channel;

use crate::connect::Profile;
use crate::errln;
use crate::exit::Exit;
use crate::local::{Local, Options};
use crate::output::Form;
use crate::trusted;
use load::{Correspondents, Run, Supply};
use memory::{Parts, Stage};
use report::{Floor, Ours, Report};

/// Connections of the load.
const CHANNELS: usize = 4;

/// Quotas out of the way, and nothing in the logs but faults.
const OPEN_QUOTAS: &str =
    "[quota]\nrequests_per_second = 1000000\nbytes_per_second = \"3GiB\"\n\n[telemetry]\nlog = \"warn\"\n";

/// Measures the machine's floor and the gateway, in one run: verified, durable and receipted envelopes of 4 KiB.
#[derive(Args, Debug)]
pub struct Bench {
    /// Seconds a run.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Kinds of signing keys.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Keys::P256, Keys::Rsa2048])]
    keys: Vec<Keys>,
    /// Envelopes sent over all three levels; 0 leaves that part out.
    #[arg(long, default_value_t = 2_000)]
    levels: usize,
    /// Size in MiB of the large part whose memory is compared with one of 5 MiB; 0 leaves that part out.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=512))]
    part_mib: u64,
    /// Fills a store with so many envelopes that wait, and shows rate, memory and the time of an operator's questions at each power of ten (10^6
    /// takes minutes and 10 GB of disk).
    #[arg(long, default_value_t = 0)]
    fill: usize,
    /// Measures the gateway on a Redis of its own too, on one node and on two; needs redis-server. With `--fill`, so many deliveries wait there.
    #[arg(long)]
    redis: bool,
    /// Folder for stores, on the disk that is to be measured. Default: a temporary one.
    #[arg(long, value_name = "DIR")]
    folder: Option<std::path::PathBuf>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

/// Kinds of signing keys that the bench knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Keys {
    /// ECDSA P-256.
    P256,
    /// RSA-2048.
    Rsa2048,
}

impl Keys {
    fn kind(self) -> KeyKind {
        match self {
            Self::P256 => KeyKind::P256,
            Self::Rsa2048 => KeyKind::Rsa2048,
        }
    }
}

impl Bench {
    /// Measures and prints.
    ///
    /// # Errors
    /// When a gateway does not start or anything is refused.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let base = self
            .folder
            .clone()
            .unwrap_or_else(|| std::env::temp_dir().join(format!("lienthong-bench-{}", std::process::id())));
        anyhow::ensure!(!base.exists(), "{} exists; the bench makes and removes its folder", base.display());
        let result = self.measure(&base).await;
        if base.exists() {
            std::fs::remove_dir_all(&base).with_context(|| format!("cannot remove {}", base.display()))?;
        }
        report::print(&result?, self.output)?;
        Ok(Exit::Success)
    }

    async fn measure(&self, base: &Path) -> anyhow::Result<Vec<Report>> {
        let mut reports = Vec::new();
        for &keys in &self.keys {
            errln!("{keys:?}: making a province, signing envelopes, measuring the floor …");
            let folder = base.join(format!("{keys:?}").to_lowercase());
            let plan = Plan::province().with_keys(keys.kind());
            let options = Options { extra_config: OPEN_QUOTAS.to_owned(), ..Options::default() };
            let mut local = Local::lay_out(&folder, plan, &options)?;
            let floor = self.floor(&local).await?;
            errln!("{keys:?}: measuring the gateway …");
            let ours = self.ours(&mut local, &floor).await?;
            let across = if self.levels > 0 { Some(self.across_levels(&mut local).await?) } else { None };
            // With the first kind of keys only, beside the floor of that kind.
            let on_redis =
                if self.redis && reports.is_empty() { Some(self.on_redis(base, keys.kind()).await?) } else { None };
            let keys = format!("{keys:?}");
            reports.push(Report { keys, floor, ours, across, parts: None, stages: Vec::new(), on_redis });
        }
        if let Some(last) = reports.last_mut()
            && !self.redis
        {
            (last.parts, last.stages) = self.memory(&base.join("memory")).await?;
        }
        Ok(reports)
    }

    /// A gateway of its own, so that what came before does not show.
    async fn memory(&self, folder: &Path) -> anyhow::Result<(Option<Parts>, Vec<Stage>)> {
        if self.part_mib == 0 && self.fill == 0 {
            return Ok((None, Vec::new()));
        }
        errln!("measuring memory …");
        let options = Options {
            extra_config: format!("{OPEN_QUOTAS}\n[limits]\npart_bytes = \"512MiB\"\n"),
            ..Options::default()
        };
        let mut local = Local::lay_out(folder, Plan::province(), &options)?;
        local.spawn(0)?;
        local.wait_until_ready(0).await?;
        let sender = local.province.cast.commune.clone();
        let parts = if self.part_mib > 0 { Some(memory::parts(&local, &sender, self.part_mib).await?) } else { None };
        let mut stages = Vec::new();
        if self.fill > 0 {
            let channels = open(&local.system_profile(&sender)?).await?;
            stages = memory::fill(&local, &channels, self.fill, &|count| self.supply(&local, count)).await?;
        }
        local.stop(0)?;
        Ok((parts, stages))
    }

    async fn on_redis(&self, base: &Path, keys: KeyKind) -> anyhow::Result<redis::OnRedis> {
        let options = Options { extra_config: OPEN_QUOTAS.to_owned(), ..Options::default() };
        let mut local = Local::lay_out(&base.join("on-redis"), Plan::province().with_keys(keys), &options)?;
        let sign = |local: &Local, count: usize| self.supply(local, count);
        redis::measure(&mut local, Duration::from_secs(self.seconds), self.fill, &sign).await
    }

    async fn floor(&self, local: &Local) -> anyhow::Result<Floor> {
        let supply = self.supply(local, 20_000)?;
        let sample = supply.sample()?.envelope.clone().context("an envelope")?;
        let seal = &local.province.agency(&local.province.cast.commune).context("the commune")?.seal.credential;
        let record = prost::Message::encode_to_vec(&sample);
        let check = floor::signature_check(seal, &sample.envelope)?;
        let append = floor::batched_append(&local.folder, &record)?;
        let sync = floor::lone_sync(&local.folder, &record)?;
        let gateway = local.gateways.first().context("a gateway")?;
        let identity = identity_of(gateway)?;
        let profile = local.system_profile(&local.province.cast.commune)?;
        let echo = echo::measure(&identity, &profile, supply).await?;
        Ok(Floor { cores: std::thread::available_parallelism().map_or(1, usize::from), check, echo, append, sync })
    }

    /// Acceptance alone: the gateway above is down, so that nothing is handed on while we measure.
    async fn ours(&self, local: &mut Local, floor: &Floor) -> anyhow::Result<Ours> {
        local.spawn(0)?;
        local.wait_until_ready(0).await?;
        let profile = local.system_profile(&local.province.cast.commune)?;
        let channels = open(&profile).await?;
        let lasting = Duration::from_secs(self.seconds);
        let enough = (floor.per_second() * self.seconds as f64) as usize;
        // The first of them are cold: certificates are judged, files grow.
        load::unary(&channels, &Arc::new(self.supply(local, 2_000)?), 64, lasting).await?;
        let alone = load::unary(&channels[..1], &Arc::new(self.supply(local, enough / 4)?), 1, lasting).await?;
        let sixteen = load::unary(&channels, &Arc::new(self.supply(local, enough)?), 16, lasting).await?;
        let many = load::unary(&channels, &Arc::new(self.supply(local, enough)?), 256, lasting).await?;
        let pipelined = load::pipelined(&channels, &Arc::new(self.supply(local, enough)?), 256, lasting).await?;
        let memory = local.process(0).and_then(|process| memory::of_process(process, "VmRSS:"));
        local.stop(0)?;
        Ok(Ours { alone, sixteen, many, pipelined, memory })
    }

    /// From the commune's door into the land office's folder, over three gateways.
    async fn across_levels(&self, local: &mut Local) -> anyhow::Result<Run> {
        std::fs::remove_dir_all(&local.gateways[0].store).context("cannot empty the first store")?;
        local.start().await?;
        let cast = &local.province.cast;
        let channels = open(&local.system_profile(&cast.commune)?).await?;
        let office = vec![cast.land_office.to_string()];
        let supply = Arc::new(self.signed(local, self.levels, &office)?);
        let start = Instant::now();
        let accepted = load::pipelined(&channels, &supply, 256, Duration::from_secs(600)).await?;
        let incoming = local.system_folder(&local.gateways[0].id, &cast.land_office).join("incoming");
        while count_entries(&incoming) < accepted.count {
            anyhow::ensure!(start.elapsed() < Duration::from_secs(600), "not everything arrived within ten minutes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = start.elapsed();
        Ok(Run { per_second: accepted.count as f64 / took.as_secs_f64(), ..accepted })
    }

    /// Envelopes to agencies behind the gateway above.
    fn supply(&self, local: &Local, count: usize) -> anyhow::Result<Supply> {
        let cast = &local.province.cast;
        self.signed(local, count, &[cast.district.to_string(), cast.province.to_string(), cast.department.to_string()])
    }

    fn signed(&self, local: &Local, count: usize, to: &[String]) -> anyhow::Result<Supply> {
        let commune = local.province.agency(&local.province.cast.commune).context("the commune")?;
        let who = Correspondents { seal: &commune.seal.credential, from: commune.id.as_str(), to };
        Supply::sign(count.max(1), &who, trusted::now())
    }
}

async fn open(profile: &Profile) -> anyhow::Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        channels.push(profile.open().await?);
    }
    Ok(channels)
}

/// The TLS identity of a gateway of the federation, as its configuration names it.
fn identity_of(gateway: &crate::local::LocalGateway) -> anyhow::Result<Identity> {
    let config = Config::load(&gateway.config, []).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the generated configuration has faults:\n{}", lines.join("\n"))
    })?;
    Ok(Identity::read(&config.tls)?)
}

fn count_entries(folder: &Path) -> usize {
    std::fs::read_dir(folder)
        .map_or(0, |entries| entries.flatten().filter(|e| !e.file_name().to_string_lossy().starts_with('.')).count())
}
