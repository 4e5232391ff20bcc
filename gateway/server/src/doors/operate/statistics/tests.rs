//! The half-year of a province, simulated: 19 departments, 10 districts, 112 communes, 50,320 files; every number against the simulator's journal.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gateway_model::agency::Agency;
use gateway_model::directory::DirectoryContent;
use gateway_model::procedure::Procedure;
use gateway_model::time::Validity;
use gateway_register::{Batch, Cursor, File, Register};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

const FILES: usize = 50_320;
const LEAVES_MAX: usize = 512;
/// What the page has to be answered in, with room for a machine that does other things.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// A province with the files of half a year.
struct HalfYear {
    directory: Directory,
    desks: Vec<AgencyId>,
    procedures: Vec<String>,
    journal: Journal,
}

/// What the simulator did, counted as it did it: by kind of key and key.
#[derive(Default)]
struct Journal(BTreeMap<(&'static str, String), Counts>);

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

    fn of(&self, kind: &str) -> Vec<(String, Counts)> {
        self.0.iter().filter(|((of, _), _)| *of == kind).map(|((_, key), counts)| (key.clone(), *counts)).collect()
    }
}

fn instant(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn now() -> Timestamp {
    instant("2026-07-01T08:00:00+07:00")
}

impl HalfYear {
    fn province() -> Self {
        let mut agencies = vec![agency("h99", None, "tỉnh", "Tỉnh Ví Dụ")];
        let mut add = |id: String, parent: &str, level, name: String| {
            agencies.push(agency(&id, Some(parent), level, &name));
        };
        (1..=19).for_each(|n| add(format!("h99.s{n:02}"), "h99", "sở", format!("Sở số {n} (ví dụ)")));
        (1..=10).for_each(|n| add(format!("h99.h{n:02}"), "h99", "huyện", format!("Huyện số {n} (ví dụ)")));
        (1..=112).for_each(|n| {
            let district = format!("h99.h{:02}", n % 10 + 1);
            add(format!("h99.x{n:03}"), &district, "xã", format!("Xã số {n} (ví dụ)"));
        });
        let desks: Vec<AgencyId> = agencies.iter().skip(1).map(|agency| agency.id.clone()).collect();
        let procedures: Vec<String> = (1..=259).map(|n| format!("9.{n:06}")).collect();
        let content = DirectoryContent {
            agencies,
            procedures: procedures.iter().map(|code| procedure(code)).collect(),
            ..DirectoryContent::empty(1, now(), Timestamp::MAX)
        };
        let directory = Directory::new(content).unwrap();
        Self { directory, desks, procedures, journal: Journal::default() }
    }

    /// One file and what becomes of it: the fate is drawn first, then instants that fit it, often the first or last that do.
    fn file(&mut self, number: usize, random: &mut StdRng) -> File {
        let issuer = self.desks[random.random_range(0..self.desks.len())].clone();
        let procedure_code = self.procedures[random.random_range(0..self.procedures.len())].clone();
        let day = Day::parse("2026-01-01").unwrap().plus(random.random_range(0..181));
        let received_at = later(day.start(), random.random_range(0..86_400_000_000));
        let due_day = day.plus(random.random_range(2..40));
        let due = later(due_day.start(), 17 * 3_600_000_000);
        let is_over = due < now();
        let fate = match random.random_range(0..100) {
            0..58 if is_over => Fate::Early,
            58..88 if is_over => Fate::OnTime,
            88..94 if is_over => Fate::Late,
            94..96 if is_over => Fate::InWorkLate,
            96..98 => Fate::Ended,
            0..94 if received_at.plus(Duration::from_secs(1)) < due && !is_over && due_day > Day::of(now()) => {
                if random.random_bool(0.7) { Fate::Early } else { Fate::InWork }
            }
            _ => Fate::InWork,
        };
        let (due_at, finished_at) = self.instants(fate, received_at, due, random);
        for (kind, key) in [
            ("agency", issuer.to_string()),
            ("level", self.directory.agency(&issuer).unwrap().level.clone()),
            ("procedure", procedure_code.clone()),
            ("month", day.to_string()[..7].to_owned()),
        ] {
            self.journal.note(kind, &key, fate);
        }
        let mut above = self.directory.agency(&issuer);
        while let Some(agency) = above {
            self.journal.note("below", agency.id.as_str(), fate);
            above = agency.parent.as_ref().and_then(|parent| self.directory.agency(parent));
        }
        self.journal.note("all", "", fate);
        let file_code = format!("{}-{number:06}", issuer.as_str().to_uppercase());
        File { file_code, issuer, procedure_code, received_at, due_at, finished_at }
    }

    fn instants(
        &self,
        fate: Fate,
        received_at: Timestamp,
        due: Timestamp,
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
            Fate::InWork if edge || due < now() => (None, None),
            Fate::InWork => (Some(due), None),
            Fate::InWorkLate => (Some(due), None),
        }
    }

    fn asked(&self, by: v1::StatisticsBy, agency: &str) -> Asked {
        let wire = |at: Timestamp| prost_types::Timestamp { seconds: at.seconds(), nanos: 0 };
        let request = v1::GetStatisticsRequest {
            since: Some(wire(instant("2026-01-01T00:00:00+07:00"))),
            until: Some(wire(instant("2026-07-01T00:00:00+07:00"))),
            by: by.into(),
            agency: agency.to_owned(),
        };
        Asked::read(&self.directory, &request).unwrap()
    }
}

fn later(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(at.micros() + micros)
}

fn agency(id: &str, parent: Option<&str>, level: &str, name: &str) -> Agency {
    Agency {
        id: AgencyId::parse(id).unwrap(),
        name: name.to_owned(),
        name_en: String::new(),
        codes: Vec::new(),
        parent: parent.map(|parent| AgencyId::parse(parent).unwrap()),
        level: level.to_owned(),
        validity: Validity::ALWAYS,
        succeeded_by: Vec::new(),
        signers: Vec::new(),
        gateway: None,
    }
}

fn procedure(code: &str) -> Procedure {
    let name = format!("Thủ tục {code} (ví dụ)");
    Procedure { code: code.to_owned(), version: "1".to_owned(), valid_from: None, name, limit: None, steps: Vec::new() }
}

fn counts(row: &v1::StatisticsRow) -> Counts {
    Counts {
        received: row.received,
        early: row.early,
        on_time: row.on_time,
        late: row.late,
        ended: row.ended,
        in_work: row.in_work,
        in_work_late: row.in_work_late,
    }
}

#[test]
fn the_half_year_of_a_province_is_counted_as_its_journal_tells() {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::new(folder.path());
    let (mut province, mut random) = (HalfYear::province(), StdRng::seed_from_u64(50_320));
    assert_eq!((province.desks.len(), province.directory.content().agencies.len()), (141, 142));
    let files: Vec<File> = (0..FILES).map(|number| province.file(number, &mut random)).collect();
    let mut begins = 0;
    for files in files.chunks(LEAVES_MAX) {
        let cursor = Cursor { next: begins + files.len() as u64, last: None };
        let file_codes = files.iter().map(|file| file.file_code.clone()).collect();
        register.put(begins, &Batch { file_codes, files: files.to_vec(), words: Vec::new(), cursor }).unwrap();
        begins = cursor.next;
    }
    let kinds = [
        ("agency", v1::StatisticsBy::Agency),
        ("level", v1::StatisticsBy::Level),
        ("procedure", v1::StatisticsBy::Procedure),
        ("month", v1::StatisticsBy::Month),
    ];
    let (_, all) = province.journal.of("all").remove(0);
    assert!(all.received == FILES as u64 && all.early + all.on_time + all.late + all.ended > all.received * 9 / 10);
    for (kind, by) in kinds {
        let (asked, began) = (province.asked(by, ""), Instant::now());
        let rows = register.statistics(&asked.query, now()).unwrap();
        let (rows, total) = asked.told(rows, &province.directory, Language::Vi, now());
        let took = began.elapsed();
        eprintln!("by {kind}: {} rows in {took:?}", rows.len());
        assert!(took < ANSWER_TIME_MAX, "by {kind}: {took:?}");
        let told: Vec<(String, Counts)> = rows.iter().map(|row| (row.key.clone(), counts(row))).collect();
        assert_eq!(told, province.journal.of(kind), "by {kind}");
        assert_eq!(counts(&total), all, "by {kind}");
        for row in rows.iter().chain([&total]) {
            let sum = row.early + row.on_time + row.late + row.ended + row.in_work + row.in_work_late;
            assert_eq!(row.received, sum, "{row:?}");
        }
    }
    // Each agency with those below it: the province, a district with its communes, a department by itself.
    for (agency, expected) in province.journal.of("below") {
        let asked = province.asked(v1::StatisticsBy::Month, &agency);
        let rows = register.statistics(&asked.query, now()).unwrap();
        let (_, total) = asked.told(rows, &province.directory, Language::Vi, now());
        assert_eq!(counts(&total), expected, "{agency}");
    }
}

#[test]
fn rows_have_the_names_of_the_directory() {
    let province = HalfYear::province();
    let row = |key: &str| Row { key: key.to_owned(), counts: Counts { received: 1, in_work: 1, ..Counts::default() } };
    let names = |by, rows| {
        let (rows, _) = province.asked(by, "").told(rows, &province.directory, Language::Vi, now());
        rows.into_iter().map(|row| (row.key, row.name)).collect::<Vec<_>>()
    };
    let own = |key: &str, name: &str| (key.to_owned(), name.to_owned());
    let told = names(v1::StatisticsBy::Agency, vec![row("h99.s01"), row("nobody")]);
    assert_eq!(told, [own("h99.s01", "Sở số 1 (ví dụ)"), own("nobody", "nobody")]);
    let told = names(v1::StatisticsBy::Procedure, vec![row(""), row("9.000001")]);
    assert_eq!(told, [own("", ""), own("9.000001", "Thủ tục 9.000001 (ví dụ)")]);
    let told = names(v1::StatisticsBy::Level, vec![row("h99.s01"), row("h99.s02"), row("nobody")]);
    assert_eq!(told, [own("", ""), own("sở", "sở")]);
    let told = names(v1::StatisticsBy::Month, vec![row("2026-01")]);
    assert_eq!(told, [own("2026-01", "2026-01")]);
}

#[test]
fn too_many_rows_leave_the_largest_and_one_for_all_others() {
    let row = |key: &str, received| Row { key: key.to_owned(), counts: Counts { received, ..Counts::default() } };
    let rows = at_most(vec![row("a", 1), row("b", 9), row("c", 2), row("d", 8)], 3);
    assert_eq!(rows, [row("b", 9), row("d", 8), row(OTHERS, 3)]);
    assert_eq!(at_most(rows.clone(), 3), rows);
}

#[test]
fn what_nobody_can_mean_is_refused_by_its_field() {
    let province = HalfYear::province();
    let refused =
        |request| Asked::read(&province.directory, &request).err().map(|refusal| (refusal.reason, refusal.field));
    let unknown = v1::GetStatisticsRequest { agency: "h98".to_owned(), ..Default::default() };
    assert_eq!(refused(unknown), Some((Reason::NotFound, "agency".to_owned())));
    let moon = v1::GetStatisticsRequest { by: 99, ..Default::default() };
    assert_eq!(refused(moon), Some((Reason::RequestMalformed, "by".to_owned())));
    let never = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    let never = v1::GetStatisticsRequest { since: Some(never), ..Default::default() };
    assert_eq!(refused(never), Some((Reason::RequestMalformed, "since".to_owned())));
}
