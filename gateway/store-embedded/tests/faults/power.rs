//! Power loss: from a trace of what was written and synced, the disk is put together as the power may have left it, and opened.
//!
//! A legal state has everything that was synced. What was not synced is there or not, write by write, whole or torn; a name without a sync of
//! its folder is there or not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gateway_model::Digest;
use gateway_store::Store as _;
use gateway_store_conformance::fixture::{OURS, log_signer};
use gateway_store_embedded::{Synchronous, check};

use crate::child::{self, Work, strace};
use crate::trace::{self, Event};

const ENVELOPES: u64 = 60;
/// Moments at which the power fails.
const MOMENTS: usize = 40;
const SECTOR_BYTES: usize = 512;

#[test]
fn every_acknowledged_envelope_outlives_a_loss_of_power() {
    let verdicts = verdicts(Synchronous::Full);
    let lossy: Vec<&Verdict> = verdicts.iter().filter(|verdict| verdict.fault.is_some()).collect();
    assert!(lossy.is_empty(), "of {} states {} are lossy: {:#?}", verdicts.len(), lossy.len(), lossy);
}

#[test]
fn the_same_test_sees_the_loss_when_nothing_is_synced() {
    let verdicts = verdicts(Synchronous::Off);
    let lossy = verdicts.iter().filter(|verdict| verdict.fault.is_some()).count();
    assert!(lossy > verdicts.len() / 4, "of {} states only {lossy} are lossy", verdicts.len());
}

/// What became of one state of the disk.
#[derive(Debug)]
#[allow(dead_code)] // Printed when the test fails.
struct Verdict {
    moment: usize,
    kept: Keep,
    acknowledged: usize,
    fault: Option<String>,
}

/// What is there of what was not synced.
#[derive(Clone, Copy, Debug)]
enum Keep {
    Nothing,
    Everything,
    Some(u64),
}

fn verdicts(synchronous: Synchronous) -> Vec<Verdict> {
    let folder = tempfile::tempdir().unwrap();
    let events = traced(folder.path(), synchronous);
    let acknowledged = events.iter().filter(|event| matches!(event, Event::Acknowledged(_))).count();
    assert_eq!(acknowledged as u64, ENVELOPES, "the trace has every acknowledgement");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut verdicts = Vec::new();
    for moment in moments(&events) {
        for keep in [Keep::Nothing, Keep::Everything, Keep::Some(1), Keep::Some(2)] {
            verdicts.push(runtime.block_on(judge(&events, folder.path(), moment, keep)));
        }
    }
    verdicts
}

fn traced(folder: &Path, synchronous: Synchronous) -> Vec<Event> {
    let files = tempfile::tempdir().unwrap();
    let output = files.path().join("trace");
    let flags = ["-f", "-y", "-xx", "-s", "10000000", "-e", trace::CALLS, "-o", output.to_str().unwrap()];
    let through: Vec<String> = std::iter::once(strace()).chain(flags.map(str::to_owned)).collect();
    let child = child::command(folder, Work { synchronous, envelopes: ENVELOPES, per_start: child::FEW }, &through)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    trace::read(&std::fs::read_to_string(output).unwrap(), folder)
}

/// Half of the moments are right after an acknowledgement, the others anywhere, the first moments included.
fn moments(events: &[Event]) -> Vec<usize> {
    let said = |event: &Event| matches!(event, Event::Acknowledged(_));
    let acknowledgements: Vec<usize> = (0..events.len()).filter(|at| said(&events[*at])).map(|at| at + 1).collect();
    let mut moments: Vec<usize> =
        (0..MOMENTS / 2).map(|at| acknowledgements[at * acknowledgements.len() / (MOMENTS / 2)]).collect();
    moments.extend((0..MOMENTS / 2).map(|at| at * at * events.len() / (MOMENTS * MOMENTS / 4)));
    moments.push(events.len());
    moments
}

async fn judge(events: &[Event], folder: &Path, moment: usize, keep: Keep) -> Verdict {
    let mut disk = Disk::default();
    let mut acknowledged = Vec::new();
    for event in &events[..moment] {
        match event {
            Event::Acknowledged(number) => acknowledged.push(*number),
            other => disk.take(other),
        }
    }
    let left = tempfile::tempdir().unwrap();
    disk.leave(folder, left.path(), keep);
    let fault = match crate::open(left.path()) {
        Err(error) => Some(error.to_string()),
        Ok(store) => {
            let lost = child::lost(&store, &acknowledged).await;
            store.close().await;
            match (lost, check(left.path(), log_signer(OURS).verifier())) {
                (Ok(lost), Ok(report)) if lost.is_empty() => report.findings.first().map(|found| format!("{found:?}")),
                (Ok(lost), Ok(_)) => Some(format!("lost: {lost:?}")),
                (Err(error), _) => Some(error.to_string()),
                (_, Err(error)) => Some(error.to_string()),
            }
        }
    };
    Verdict { moment, kept: keep, acknowledged: acknowledged.len(), fault }
}

/// The disk, as far as it is known: what is on it for certain, and what may be.
#[derive(Default)]
struct Disk {
    files: BTreeMap<PathBuf, File>,
}

#[derive(Default)]
struct File {
    /// Whether the name is there for certain, and whether it was there last.
    named: (bool, bool),
    synced: Vec<u8>,
    pending: Vec<Event>,
}

impl Disk {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Named(path) => self.file(path).named.1 = true,
            Event::Unnamed(path) => {
                let file = self.file(path);
                file.named.1 = false;
                file.pending.push(Event::Cut { path: path.clone(), length: 0 });
            }
            Event::Written { path, .. } | Event::Cut { path, .. } => self.file(path).pending.push(event.clone()),
            Event::Synced(path) if self.files.contains_key(path) => {
                let file = self.file(path);
                for event in std::mem::take(&mut file.pending) {
                    write(&mut file.synced, &event, None);
                }
            }
            Event::Synced(folder) => {
                let inside = self.files.iter_mut().filter(|(path, _)| path.parent() == Some(folder));
                inside.for_each(|(_, file)| file.named.0 = file.named.1);
            }
            Event::Acknowledged(_) => {}
        }
    }

    fn file(&mut self, path: &Path) -> &mut File {
        self.files.entry(path.to_owned()).or_default()
    }

    /// Writes what the power left to another folder.
    fn leave(&self, from: &Path, to: &Path, keep: Keep) {
        let mut dice = Dice { keep, thrown: 0 };
        for (path, file) in &self.files {
            let named = if file.named.0 == file.named.1 || !dice.keeps() { file.named.0 } else { file.named.1 };
            let mut content = file.synced.clone();
            for event in &file.pending {
                if dice.keeps() {
                    write(&mut content, event, dice.tears());
                }
            }
            if named {
                std::fs::write(to.join(path.strip_prefix(from).unwrap()), content).unwrap();
            }
        }
    }
}

/// Decides what stays; the same every time.
struct Dice {
    keep: Keep,
    thrown: u64,
}

impl Dice {
    fn keeps(&mut self) -> bool {
        match self.keep {
            Keep::Nothing => false,
            Keep::Everything => true,
            Keep::Some(_) => self.throw().is_multiple_of(2),
        }
    }

    /// How many sectors of a torn write are there; `None` for all.
    fn tears(&mut self) -> Option<usize> {
        match self.keep {
            Keep::Nothing | Keep::Everything => None,
            Keep::Some(_) => self.throw().is_multiple_of(4).then(|| usize::from(self.throw() % 16)),
        }
    }

    fn throw(&mut self) -> u8 {
        let Keep::Some(seed) = self.keep else { return 0 };
        self.thrown += 1;
        Digest::of_pieces(&[&seed.to_be_bytes(), &self.thrown.to_be_bytes()]).0[0]
    }
}

fn write(content: &mut Vec<u8>, event: &Event, sectors: Option<usize>) {
    match event {
        Event::Written { offset, bytes, .. } => {
            let kept = sectors.map_or(bytes.len(), |sectors| bytes.len().min(sectors * SECTOR_BYTES));
            if content.len() < offset + kept {
                content.resize(offset + kept, 0);
            }
            content[*offset..offset + kept].copy_from_slice(&bytes[..kept]);
        }
        Event::Cut { length, .. } => content.resize(*length, 0),
        Event::Named(_) | Event::Unnamed(_) | Event::Synced(_) | Event::Acknowledged(_) => {}
    }
}
