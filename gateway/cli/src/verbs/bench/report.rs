//! The bench's table: figures, the floor, and ratios between them.

use std::time::Duration;

use super::echo::EchoFloor;
use super::floor::Cost;
use super::load::Run;
use super::memory::{Parts, Stage};
use super::redis::{self, OnRedis};
use super::search::Answered;
use crate::outln;
use crate::output::{self, Form};

/// What the machine can do.
#[derive(Clone, Debug)]
pub struct Floor {
    /// Cores that this program may use.
    pub cores: usize,
    /// One signature check on a parsed key.
    pub check: Cost,
    /// One gRPC echo of the same bytes, both ends.
    pub echo: EchoFloor,
    /// One record in a bare batched append with fsync.
    pub append: Cost,
    /// One lone append with fsync.
    pub sync: Duration,
}

impl Floor {
    /// Envelopes a second that nothing could beat: cores ÷ (check + echo + append).
    pub fn per_second(&self) -> f64 {
        self.cores as f64 / (self.check.cpu + self.echo.cost.cpu + self.append.cpu).as_secs_f64()
    }

    /// The time in which nobody could acknowledge faster: one fsync, one check, one echo.
    pub fn alone(&self) -> Duration {
        self.sync + self.check.wall + self.echo.alone.p50
    }
}

/// What the gateway does.
#[derive(Clone, Debug)]
pub struct Ours {
    /// One in flight.
    pub alone: Run,
    /// Sixteen in flight.
    pub sixteen: Run,
    /// 256 in flight, one call each.
    pub many: Run,
    /// 256 in flight over SubmitMany streams.
    pub pipelined: Run,
    /// Resident memory of the gateway at the end.
    pub memory: Option<u64>,
}

/// One kind of key.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub keys: String,
    /// What the machine can do.
    pub floor: Floor,
    /// What the gateway does.
    pub ours: Ours,
    /// From the first door into the last folder, over three gateways on this one machine.
    pub across: Option<Run>,
    /// Memory by size of parts.
    pub parts: Option<Parts>,
    /// Rate and memory by envelopes kept.
    pub stages: Vec<Stage>,
    /// The gateway on Redis.
    pub on_redis: Option<OnRedis>,
}

/// Prints the reports.
///
/// # Errors
/// When they cannot be written as JSON.
pub fn print(reports: &[Report], form: Form) -> anyhow::Result<()> {
    if form != Form::Table {
        return output::print_json(form, &reports.iter().map(json).collect::<Vec<_>>());
    }
    for report in reports {
        let floor = &report.floor;
        outln!("\n{}: {} cores, client and gateway on this machine", report.keys, floor.cores);
        outln!(
            "floor: {:.0} envelopes/s = {} ÷ (signature check {:.1?} + gRPC echo {:.1?} + batched append {:.1?} of CPU)",
            floor.per_second(),
            floor.cores,
            floor.check.cpu,
            floor.echo.cost.cpu,
            floor.append.cpu
        );
        outln!(
            "floor alone: {:.0?} = fsync {:.0?} + check {:.0?} + echo {:.0?}",
            floor.alone(),
            floor.sync,
            floor.check.wall,
            floor.echo.alone.p50
        );
        outln!("{}", table(report));
        print_memory(report);
        if let Some(memory) = report.ours.memory {
            outln!("gateway's resident memory after {} envelopes: {} MiB", kept(&report.ours), memory / 1_048_576);
        }
        report.on_redis.iter().for_each(|on| redis::print(on, floor, &report.keys));
    }
    Ok(())
}

fn print_memory(report: &Report) {
    if let Some(parts) = &report.parts {
        outln!(
            "peak memory after a part of {} MiB: {} MiB; of {} MiB: {} MiB",
            parts.small_mib,
            parts.after_small / 1_048_576,
            parts.large_mib,
            parts.after_large / 1_048_576
        );
    }
    for stage in &report.stages {
        outln!("{} kept: {:.0}/s, resident {} MiB", stage.kept, stage.run.per_second, stage.resident / 1_048_576);
        let line = |one: &Answered| format!("{} {:.1?} (at most {:.1?})", one.what, one.p50, one.max);
        outln!("  an operator waits: {}", stage.answered.iter().map(line).collect::<Vec<_>>().join(", "));
    }
}

fn table(report: &Report) -> comfy_table::Table {
    let mut table = output::table(&["4 KiB envelopes", "per second", "of the floor", "p50", "p99"]);
    let floor = report.floor.per_second();
    let mut row = |name: &str, run: &Run, ratio: String| {
        table.add_row([
            name.to_owned(),
            format!("{:.0}", run.per_second),
            ratio,
            format!("{:.2?}", run.p50),
            format!("{:.2?}", run.p99),
        ]);
    };
    let share = |run: &Run| format!("{:.2}", run.per_second / floor);
    row("1 in flight", &report.ours.alone, format!("{:.2} × floor alone", alone_ratio(report)));
    row("16 in flight", &report.ours.sixteen, share(&report.ours.sixteen));
    row("256 in flight, one call each", &report.ours.many, share(&report.ours.many));
    row("256 in flight, pipelined", &report.ours.pipelined, share(&report.ours.pipelined));
    if let Some(across) = &report.across {
        row("over three levels into the folder", across, share(across));
    }
    table
}

fn alone_ratio(report: &Report) -> f64 {
    report.ours.alone.p50.as_secs_f64() / report.floor.alone().as_secs_f64()
}

fn kept(ours: &Ours) -> usize {
    ours.alone.count + ours.sixteen.count + ours.many.count + ours.pipelined.count
}

fn json(report: &Report) -> serde_json::Value {
    let floor = report.floor.per_second();
    let run = |run: &Run| {
        serde_json::json!({
            "per_second": run.per_second, "of_the_floor": run.per_second / floor,
            "p50_seconds": run.p50.as_secs_f64(), "p99_seconds": run.p99.as_secs_f64(), "count": run.count,
        })
    };
    serde_json::json!({
        "keys": report.keys, "cores": report.floor.cores, "floor_per_second": floor,
        "floor_cpu_seconds": {
            "check": report.floor.check.cpu.as_secs_f64(), "echo": report.floor.echo.cost.cpu.as_secs_f64(),
            "append": report.floor.append.cpu.as_secs_f64(),
        },
        "floor_alone_seconds": report.floor.alone().as_secs_f64(), "alone_ratio": alone_ratio(report),
        "in_flight_1": run(&report.ours.alone), "in_flight_16": run(&report.ours.sixteen),
        "in_flight_256": run(&report.ours.many), "pipelined_256": run(&report.ours.pipelined),
        "part_peak_bytes": report.parts.map(|p| serde_json::json!({ "small": p.after_small, "large": p.after_large })),
        "fill": report.stages.iter().map(|s| serde_json::json!({
            "kept": s.kept, "per_second": s.run.per_second, "resident_bytes": s.resident,
            "answers": s.answered.iter().map(|one| serde_json::json!({
                "what": one.what, "p50_seconds": one.p50.as_secs_f64(), "max_seconds": one.max.as_secs_f64(),
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "on_redis": report.on_redis.as_ref().map(|on| redis::json(on, &report.floor)),
        "three_levels": report.across.as_ref().map(run), "memory_bytes": report.ours.memory,
    })
}
