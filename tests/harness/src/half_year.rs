//! The half-year of a province, simulated: 19 departments, 10 districts, 112 communes, 50,320 files; with a journal of what was done to each.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use certs_dev::province::{AgencyPlan, Plan, ProcedurePlan};
use gateway_model::Timestamp;
use gateway_model::day::Day;
use gateway_model::id::AgencyId;
use gateway_register::{Batch, Counts, Cursor, File, Register};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Files that came in.
pub const FILES: usize = 50_320;
const DEPARTMENTS: usize = 19;
const DISTRICTS: usize = 10;
const COMMUNES: usize = 112;
const PROCEDURES: usize = 259;
/// Days on which files came in; the last one is yesterday.
const DAYS: i64 = 181;
const FILES_AT_ONCE: usize = 512;

/// A province with the files of half a year.
pub struct HalfYear {
    /// Its agencies and procedures.
    pub plan: Plan,
    /// First day on which files came in.
    pub first: Day,
    /// What the simulator did.
    pub journal: Journal,
    now: Timestamp,
    desks: Vec<Desk>,
}

/// What the simulator did, counted as it did it: by kind of key and key.
#[derive(Debug, Default)]
pub struct Journal(BTreeMap<(&'static str, String), Counts>);

/// An agency that takes files in.
struct Desk {
    id: AgencyId,
    level: String,
    /// The agencies above, the nearest first.
    above: Vec<String>,
}

/// What becomes of a file.
#[derive(Clone, Copy)]
enum Fate {
    Early,
    OnTime,
    Late,
    Ended,
    InWork,
    InWorkLate,
}

impl Journal {
    /// The counts of a kind: `agency`, `level`, `procedure`, `month`, `below` (an agency with those below it), `all`. By key.
    pub fn of(&self, kind: &str) -> Vec<(String, Counts)> {
        self.0.iter().filter(|((of, _), _)| *of == kind).map(|((_, key), counts)| (key.clone(), *counts)).collect()
    }

    fn note(&mut self, kind: &'static str, key: &str, fate: Fate) {
        let counts = self.0.entry((kind, key.to_owned())).or_default();
        counts.received += 1;
        *match fate {
            Fate::Early => &mut counts.early,
            Fate::OnTime => &mut counts.on_time,
            Fate::Late => &mut counts.late,
            Fate::Ended => &mut counts.ended,
            Fate::InWork => &mut counts.in_work,
            Fate::InWorkLate => &mut counts.in_work_late,
        } += 1;
    }
}

impl HalfYear {
    /// The half-year that ended yesterday.
    ///
    /// # Errors
    /// When the plan has no such agencies.
    pub fn until(now: Timestamp) -> anyhow::Result<Self> {
        let plan = plan()?;
        let desks = plan.agencies.iter().filter(|agency| is_desk(agency)).map(|agency| Desk::of(agency, &plan));
        Ok(Self {
            desks: desks.collect::<anyhow::Result<_>>()?,
            first: Day::of(now).plus(-DAYS),
            journal: Journal::default(),
            plan,
            now,
        })
    }

    /// Lets all of it happen, into the register in the folder of a store that follows no log yet.
    ///
    /// # Errors
    /// When the register cannot be written.
    pub fn happen(&mut self, store: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(store)?;
        let (register, mut random) = (Register::new(store), StdRng::seed_from_u64(FILES as u64));
        let files: Vec<File> = (0..FILES).map(|number| self.file(number, &mut random)).collect();
        for files in files.chunks(FILES_AT_ONCE) {
            let file_codes = files.iter().map(|file| file.file_code.clone()).collect();
            let batch = Batch { file_codes, files: files.to_vec(), words: Vec::new(), cursor: Cursor::default() };
            register.put(0, &batch)?;
        }
        Ok(())
    }

    /// One file and what becomes of it: the fate is drawn first, then instants that fit it, often the first or last that do.
    fn file(&mut self, number: usize, random: &mut StdRng) -> File {
        let desk = &self.desks[random.random_range(0..self.desks.len())];
        let procedure_code = procedure_code(random.random_range(0..PROCEDURES));
        let day = self.first.plus(random.random_range(0..DAYS));
        let received_at = later(day.start(), random.random_range(0..86_400_000_000));
        let due_day = day.plus(random.random_range(2..40));
        let due = later(due_day.start(), 17 * 3_600_000_000);
        let today = Day::of(self.now);
        // What is due today or tomorrow is neither: the clock goes on while it is counted.
        let is_over = due_day < today;
        let fate = match random.random_range(0..100) {
            0..58 if is_over => Fate::Early,
            58..88 if is_over => Fate::OnTime,
            88..94 if is_over => Fate::Late,
            94..96 if is_over => Fate::InWorkLate,
            96..98 => Fate::Ended,
            0..66 if due_day > today.plus(1) => Fate::Early,
            _ => Fate::InWork,
        };
        for (kind, key) in [
            ("all", ""),
            ("agency", desk.id.as_str()),
            ("level", &desk.level),
            ("procedure", &procedure_code),
            ("month", &day.to_string()[..7]),
        ] {
            self.journal.note(kind, key, fate);
        }
        desk.above.iter().for_each(|agency| self.journal.note("below", agency, fate));
        self.journal.note("below", desk.id.as_str(), fate);
        let (due_at, finished_at) = self.instants(fate, (received_at, due), is_over, random);
        let file_code = format!("{}-{number:06}", desk.id.as_str().to_uppercase());
        File { file_code, issuer: desk.id.clone(), procedure_code, received_at, due_at, finished_at }
    }

    /// When it is due, and when it ended.
    fn instants(
        &self,
        fate: Fate,
        (received_at, due): (Timestamp, Timestamp),
        is_over: bool,
        random: &mut StdRng,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        let midnight = Day::of(due).start();
        let edge = random.random_bool(0.2);
        let mut between =
            |from: Timestamp, to: Timestamp| later(from, random.random_range(0..=to.micros() - from.micros()));
        match fate {
            Fate::Early if edge => (Some(due), Some(later(midnight, -1))),
            Fate::Early => (Some(due), Some(between(received_at, later(midnight, -1)))),
            Fate::OnTime if edge => (Some(due), Some(midnight)),
            Fate::OnTime => (Some(due), Some(between(midnight, due))),
            Fate::Late if edge => (Some(due), Some(later(due, 1))),
            Fate::Late => (Some(due), Some(between(later(due, 1), later(due, 1_000_000_000_000)))),
            Fate::Ended => (None, Some(between(received_at, due))),
            Fate::InWork if edge || is_over || due < self.now.plus(Duration::from_secs(2 * 86_400)) => (None, None),
            Fate::InWork | Fate::InWorkLate => (Some(due), None),
        }
    }
}

impl Desk {
    fn of(agency: &AgencyPlan, plan: &Plan) -> anyhow::Result<Self> {
        let parent = |agency: &AgencyPlan| {
            let parent = agency.parent.as_ref()?;
            plan.agencies.iter().find(|other| other.id == *parent)
        };
        let mut above = Vec::new();
        let mut next = parent(agency);
        while let Some(at) = next {
            above.push(at.id.clone());
            next = parent(at);
        }
        Ok(Self { id: AgencyId::parse(&agency.id)?, level: agency.level.clone(), above })
    }
}

/// The province of tests, made as large as that half-year's.
fn plan() -> anyhow::Result<Plan> {
    let mut plan = Plan::sized(DISTRICTS, COMMUNES / DISTRICTS);
    let like = |wanted: fn(&AgencyPlan) -> bool| {
        plan.agencies.iter().find(|agency| wanted(agency)).cloned().context("the plan has no such agency")
    };
    let (department, commune) = (like(is_department)?, like(is_commune)?);
    let more = |like: &AgencyPlan, id: String, name: String| AgencyPlan {
        codes: vec![id.to_uppercase()],
        id,
        name,
        name_en: String::new(),
        person: None,
        ..like.clone()
    };
    let departments = plan.agencies.iter().filter(|agency| is_department(agency)).count();
    let communes = plan.agencies.iter().filter(|agency| is_commune(agency)).count();
    let departments = (departments..DEPARTMENTS)
        .map(|number| more(&department, format!("h99.{}", 60 + number), format!("Sở thử nghiệm số {number}")));
    let communes = (communes..COMMUNES).map(|number| {
        more(&commune, format!("h99.30.x{number}"), format!("Ủy ban nhân dân xã thử nghiệm số {number}"))
    });
    let added: Vec<AgencyPlan> = departments.chain(communes).collect();
    plan.agencies.extend(added);
    plan.procedures.extend((0..PROCEDURES).map(procedure));
    Ok(plan)
}

fn is_department(agency: &AgencyPlan) -> bool {
    agency.level == "sở"
}

fn is_district(agency: &AgencyPlan) -> bool {
    agency.parent.as_deref() == Some("h99") && agency.gateway == "gw-district"
}

fn is_commune(agency: &AgencyPlan) -> bool {
    agency.gateway == "gw-commune" && agency.ended_seconds_ago.is_none()
}

fn is_desk(agency: &AgencyPlan) -> bool {
    is_department(agency) || is_district(agency) || is_commune(agency)
}

fn procedure_code(number: usize) -> String {
    format!("9.{:06}", 100_000 + number)
}

fn procedure(number: usize) -> ProcedurePlan {
    ProcedurePlan {
        code: procedure_code(number),
        version: "1".to_owned(),
        valid_from: None,
        name: format!("Thủ tục thử nghiệm số {number}"),
        limit_days: 10,
        calendar_days: false,
        step: Vec::new(),
    }
}

fn later(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(at.micros() + micros)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn the_province_is_as_large_as_it_says() {
        let year = HalfYear::until(Timestamp::from_seconds(1_795_000_000)).unwrap();
        let count = |is: fn(&AgencyPlan) -> bool| year.plan.agencies.iter().filter(|agency| is(agency)).count();
        let counts = [count(is_department), count(is_district), count(is_commune)];
        assert_eq!(counts, [DEPARTMENTS, DISTRICTS, COMMUNES]);
        assert_eq!(year.desks.len(), DEPARTMENTS + DISTRICTS + COMMUNES);
    }
}
