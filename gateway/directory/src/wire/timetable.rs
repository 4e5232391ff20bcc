//! Calendars and procedures on the wire.

use gateway_model::calendar::Calendar;
use gateway_model::day::Day;
use gateway_model::limits;
use gateway_model::procedure::{Limit, Procedure, ProcedureStep};
use gateway_model::working_time::{OfficeHours, WorkingTime};
use proto::v1;

use super::{Misfit, Read, each, misfit, names, text, text_or_none, texts};
use crate::shape;

pub(super) fn calendar_to_wire(calendar: &Calendar) -> v1::Calendar {
    let hours = |hours: &OfficeHours| v1::OfficeHours {
        from_minute: hours.from_minute.into(),
        until_minute: hours.until_minute.into(),
    };
    v1::Calendar {
        id: calendar.id.to_string(),
        version: calendar.version,
        valid_from: day_to_wire(calendar.valid_from),
        agencies: names(&calendar.agencies),
        hours: calendar.time.hours().iter().map(hours).collect(),
        days_off: calendar.time.days_off().iter().map(ToString::to_string).collect(),
        make_up_days: calendar.time.make_up_days().iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn calendar(wire: v1::Calendar) -> Read<Calendar> {
    if wire.version == 0 {
        return Err(misfit("version", "is missing"));
    }
    let days_off = texts("days_off", &wire.days_off, &shape::DAY)?;
    let make_up_days = texts("make_up_days", &wire.make_up_days, &shape::DAY)?;
    let hours = each("hours", wire.hours, limits::OFFICE_HOURS_MAX, office_hours)?;
    Ok(Calendar {
        id: text("id", &wire.id, &shape::CALENDAR)?,
        version: wire.version,
        valid_from: text_or_none("valid_from", &wire.valid_from, &shape::DAY)?,
        agencies: texts("agencies", &wire.agencies, &shape::AGENCY)?,
        time: WorkingTime::new(hours, days_off, make_up_days),
    })
}

/// Whether they are in order and inside of a day is a question of the whole.
fn office_hours(wire: v1::OfficeHours) -> Read<OfficeHours> {
    let minute = |field: &str, minute: u32| u16::try_from(minute).map_err(|_| misfit(field, "is no minute of a day"));
    Ok(OfficeHours {
        from_minute: minute("from_minute", wire.from_minute)?,
        until_minute: minute("until_minute", wire.until_minute)?,
    })
}

pub(super) fn procedure_to_wire(procedure: &Procedure) -> v1::Procedure {
    let step = |step: &ProcedureStep| v1::ProcedureStep {
        step: step.step.clone(),
        name: step.name.clone(),
        limit_working_hours: step.limit_hours.unwrap_or_default(),
    };
    let (limit_days, calendar_days) = match procedure.limit {
        None => (0, false),
        Some(Limit::WorkingDays(days)) => (days, false),
        Some(Limit::CalendarDays(days)) => (days, true),
    };
    v1::Procedure {
        code: procedure.code.clone(),
        version: procedure.version.clone(),
        valid_from: day_to_wire(procedure.valid_from),
        name: procedure.name.clone(),
        limit_days,
        calendar_days,
        steps: procedure.steps.iter().map(step).collect(),
    }
}

pub(super) fn procedure(wire: v1::Procedure) -> Read<Procedure> {
    let limit = bounded("limit_days", wire.limit_days, limits::LIMIT_DAYS_MAX)?;
    let limit = match (limit, wire.calendar_days) {
        (None, true) => return Err(misfit("calendar_days", "is said of no limit")),
        (None, false) => None,
        (Some(days), false) => Some(Limit::WorkingDays(days)),
        (Some(days), true) => Some(Limit::CalendarDays(days)),
    };
    Ok(Procedure {
        code: text("code", &wire.code, &shape::PROCEDURE_CODE)?,
        version: text("version", &wire.version, &shape::NAME)?,
        valid_from: text_or_none("valid_from", &wire.valid_from, &shape::DAY)?,
        name: text("name", &wire.name, &shape::NAME)?,
        limit,
        steps: each("steps", wire.steps, limits::PROCEDURE_STEPS_MAX, step)?,
    })
}

fn step(wire: v1::ProcedureStep) -> Read<ProcedureStep> {
    Ok(ProcedureStep {
        step: text("step", &wire.step, &shape::NAME)?,
        name: text("name", &wire.name, &shape::NAME)?,
        limit_hours: bounded("limit_working_hours", wire.limit_working_hours, limits::LIMIT_HOURS_MAX)?,
    })
}

/// A limit; 0 means that nothing is said.
fn bounded(field: &str, value: u32, max: u32) -> Read<Option<u32>> {
    if value > max {
        return Err(Misfit { field: field.to_owned(), detail: format!("{value}, more than {max}") });
    }
    Ok((value > 0).then_some(value))
}

fn day_to_wire(day: Option<Day>) -> String {
    day.as_ref().map(ToString::to_string).unwrap_or_default()
}
