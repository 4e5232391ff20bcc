//! Statistics: what the register of files counts, under the names and in the tree of the directory in force.

use std::collections::{BTreeMap, HashSet};

use gateway_model::day::Day;
use gateway_model::directory::Directory;
use gateway_model::id::AgencyId;
use gateway_model::language::Language;
use gateway_model::{Reason, Refusal, Timestamp};
use gateway_register::{Counts, Dimension, Query, Row};
use proto::v1;

use super::super::{Caller, Doors, wire};
use super::asked;
use super::stuck::name;

/// Rows of an answer: with names of some hundred bytes they fit into one message.
const ROWS_MAX: usize = 5_000;
/// Key of the row for all beyond those.
const OTHERS: &str = "*";

/// What an operator asks.
pub(super) async fn count(
    doors: &Doors,
    caller: &Caller,
    request: &v1::GetStatisticsRequest,
) -> Result<v1::GetStatisticsResponse, Refusal> {
    let asked = Asked::read(caller.directory(), request)?;
    // Before the rows: they may know more than it says, never less.
    let (as_of, now, query) = (doors.register.as_of(), doors.engine.clock().now(), asked.query.clone());
    let counted = doors.register.with(move |register| register.statistics(&query, now)).await;
    let rows = counted.map_err(|error| {
        tracing::warn!(%error, "the register of files could not be read");
        Refusal::new(Reason::StoreUnavailable).at("statistics")
    })?;
    let (rows, total) = asked.told(rows, caller.directory(), caller.language, now);
    Ok(v1::GetStatisticsResponse { rows, total: Some(total), as_of: as_of.map(wire::timestamp) })
}

/// What is counted, and by what.
struct Asked {
    query: Query,
    by: v1::StatisticsBy,
}

impl Asked {
    fn read(directory: &Directory, request: &v1::GetStatisticsRequest) -> Result<Self, Refusal> {
        let by = v1::StatisticsBy::try_from(request.by);
        let by = by.map_err(|_| asked::malformed("by", "agency, level, procedure or month"))?;
        let instant = |at: &Option<prost_types::Timestamp>, field, open| match at {
            Some(at) => asked::instant(at, field),
            None => Ok(open),
        };
        let issuers = match asked::filled(&request.agency) {
            Some(named) => {
                let unknown = || Refusal::new(Reason::NotFound).at("agency").saw(named);
                let top = directory.agency_named(named).ok_or_else(unknown)?;
                Some(below(directory, &top.id))
            }
            None => None,
        };
        let dimension = match by {
            v1::StatisticsBy::Unspecified | v1::StatisticsBy::Agency | v1::StatisticsBy::Level => Dimension::Issuer,
            v1::StatisticsBy::Procedure => Dimension::Procedure,
            v1::StatisticsBy::Month => Dimension::Month,
        };
        let query = Query {
            since: instant(&request.since, "since", Timestamp::MIN)?,
            until: instant(&request.until, "until", Timestamp::MAX)?,
            by: dimension,
            issuers,
        };
        Ok(Self { query, by })
    }

    /// The rows with their names, and all together.
    fn told(
        &self,
        rows: Vec<Row>,
        directory: &Directory,
        language: Language,
        now: Timestamp,
    ) -> (Vec<v1::StatisticsRow>, v1::StatisticsRow) {
        let mut total = Counts::default();
        rows.iter().for_each(|row| total.add(&row.counts));
        let rows = match self.by {
            v1::StatisticsBy::Level => by_level(rows, directory),
            v1::StatisticsBy::Unspecified
            | v1::StatisticsBy::Agency
            | v1::StatisticsBy::Procedure
            | v1::StatisticsBy::Month => rows,
        };
        let named = |row: Row| {
            let name = match self.by {
                _ if row.key == OTHERS => language.pick("Các mục khác", "All others").to_owned(),
                v1::StatisticsBy::Unspecified | v1::StatisticsBy::Agency => match AgencyId::parse(&row.key) {
                    Ok(id) => name(directory, &id, language),
                    Err(_) => row.key.clone(),
                },
                v1::StatisticsBy::Procedure => {
                    let procedure = directory.procedure(&row.key, Day::of(now));
                    procedure.map(|procedure| procedure.name.clone()).unwrap_or_default()
                }
                v1::StatisticsBy::Level | v1::StatisticsBy::Month => row.key.clone(),
            };
            told(row.key, name, &row.counts)
        };
        let rows = at_most(rows, ROWS_MAX).into_iter().map(named).collect();
        (rows, told(String::new(), String::new(), &total))
    }
}

/// An agency and all below it, those that have ended too.
fn below(directory: &Directory, top: &AgencyId) -> Vec<AgencyId> {
    let mut inside: HashSet<&AgencyId> = HashSet::from([top]);
    for agency in &directory.content().agencies {
        let mut way = Vec::new();
        let mut at = Some(agency);
        while let Some(agency) = at {
            if inside.contains(&agency.id) {
                inside.extend(way);
                break;
            }
            way.push(&agency.id);
            at = agency.parent.as_ref().and_then(|parent| directory.agency(parent));
        }
    }
    inside.into_iter().cloned().collect()
}

/// Desks of one level together; those that the directory does not know have none.
fn by_level(rows: Vec<Row>, directory: &Directory) -> Vec<Row> {
    let mut levels: BTreeMap<String, Counts> = BTreeMap::new();
    for row in rows {
        let agency = AgencyId::parse(&row.key).ok().and_then(|id| directory.agency(&id));
        let level = agency.map(|agency| agency.level.clone()).unwrap_or_default();
        levels.entry(level).or_default().add(&row.counts);
    }
    levels.into_iter().map(|(key, counts)| Row { key, counts }).collect()
}

/// The rows with the most files, by key; all others together.
fn at_most(mut rows: Vec<Row>, max: usize) -> Vec<Row> {
    if rows.len() <= max {
        return rows;
    }
    rows.sort_by(|a, b| b.counts.received.cmp(&a.counts.received).then_with(|| a.key.cmp(&b.key)));
    let mut others = Row { key: OTHERS.to_owned(), counts: Counts::default() };
    rows.drain(max - 1..).for_each(|row| others.counts.add(&row.counts));
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.push(others);
    rows
}

fn told(key: String, name: String, counts: &Counts) -> v1::StatisticsRow {
    v1::StatisticsRow {
        key,
        name,
        received: counts.received,
        early: counts.early,
        on_time: counts.on_time,
        late: counts.late,
        in_work: counts.in_work,
        in_work_late: counts.in_work_late,
        ended: counts.ended,
    }
}

#[cfg(test)]
mod tests;
