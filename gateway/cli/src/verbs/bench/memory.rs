//! Memory: it follows neither the size of a part nor the number of envelopes kept.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gateway_model::id::AgencyId;
use proto::v1::submit_service_client::SubmitServiceClient;
use tonic::transport::Channel;

use super::load::{self, Run, Supply};
use super::search::{self, Answered, Needle};
use crate::errln;
use crate::local::Local;
use crate::submit::{PartFile, upload_missing};

/// Envelopes signed at once, so that the load's own memory stays small.
const CHUNK: usize = 20_000;

/// Peak memory after a small part and after a large one.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Size of the small part in MiB.
    pub small_mib: u64,
    /// Peak resident memory after it.
    pub after_small: u64,
    /// Size of the large part in MiB.
    pub large_mib: u64,
    /// Peak resident memory after it.
    pub after_large: u64,
}

/// One stage of filling a store.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Envelopes kept at its end.
    pub kept: usize,
    /// The last chunk of it.
    pub run: Run,
    /// Resident memory of the gateway at its end.
    pub resident: u64,
    /// How long an operator waits at its end.
    pub answered: Vec<Answered>,
}

/// Uploads a part of 5 MiB and one of `large_mib`, and looks at the gateway's peak after each.
///
/// # Errors
/// When a part is refused.
pub async fn parts(local: &Local, sender: &AgencyId, large_mib: u64) -> anyhow::Result<Parts> {
    let process = local.process(0).context("the gateway runs")?;
    let mut client = SubmitServiceClient::new(local.system_profile(sender)?.open().await?);
    let mut after = Vec::new();
    for mib in [5, large_mib] {
        let path = local.folder.join(format!("{mib}.part"));
        std::fs::File::create(&path)?.set_len(mib * 1_048_576)?;
        let part = PartFile::read(&path).await?;
        upload_missing(&mut client, &[part], &|_| {}).await?;
        after.push(of_process(process, "VmHWM:").context("the gateway's memory")?);
        std::fs::remove_file(&path)?;
    }
    Ok(Parts { small_mib: 5, after_small: after[0], large_mib, after_large: after[1] })
}

/// Fills the store with `count` envelopes and looks at rate and memory at each power of ten.
///
/// # Errors
/// When an envelope is refused.
pub async fn fill(
    local: &Local,
    channels: &[Channel],
    count: usize,
    supply: &(dyn Fn(usize) -> anyhow::Result<Supply> + Sync),
) -> anyhow::Result<Vec<Stage>> {
    let process = local.process(0).context("the gateway runs")?;
    let needle = Needle::submit(local).await?;
    let mut stages = Vec::new();
    let (mut kept, mut next) = (0, 10_000);
    while kept < count {
        let chunk = CHUNK.min(next - kept).min(count - kept);
        let run = load::pipelined(channels, &Arc::new(supply(chunk)?), 256, Duration::from_secs(600)).await?;
        kept += run.count;
        if kept >= next || kept >= count {
            let resident = of_process(process, "VmRSS:").context("the gateway's memory")?;
            errln!("{kept} kept: {:.0}/s, {} MiB", run.per_second, resident / 1_048_576);
            let answered = search::measure(local, &needle).await?;
            stages.push(Stage { kept, run, resident, answered });
            next *= 10;
        }
    }
    Ok(stages)
}

/// A figure of /proc/PID/status, in bytes.
pub fn of_process(process: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Processor time that a process has used, all threads.
///
/// # Errors
/// When it does not run.
pub fn cpu_of(process: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold spaces; user and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')').context("the process's figures")?;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks.iter().sum::<u64>() as f64 / per_second as f64))
}
