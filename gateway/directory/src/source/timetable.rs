//! Calendars and procedures as people write them.

use gateway_model::calendar::Calendar;
use gateway_model::directory::{calendar_name, procedure_name};
use gateway_model::limits;
use gateway_model::procedure::{Limit, Procedure, ProcedureStep};
use gateway_model::working_time::WorkingTime;

use super::Reading;
use crate::reader::Table;
use crate::shape;

impl Reading {
    pub(super) fn calendar(&mut self, table: &Table<'_>) -> Option<Calendar> {
        let id = table.need("id", &shape::CALENDAR);
        let version = table.need_number_to("version", u32::MAX, "a version of at most 4294967295");
        let valid_from = table.text("valid_from", &shape::DAY);
        let agencies = table.texts("agencies", &shape::AGENCY);
        // What is said of no hours are the usual ones; an empty list is a fault of the whole.
        let usual = (!table.has("hours")).then(|| WorkingTime::default().hours().to_vec());
        let hours = usual.unwrap_or_else(|| table.texts("hours", &shape::OFFICE_HOURS));
        let days_off = table.texts("days_off", &shape::DAY);
        let make_up_days = table.texts("make_up_days", &shape::DAY);
        let time = WorkingTime::new(hours, days_off, make_up_days);
        let calendar = Calendar { id: id?, version: version?, valid_from, agencies, time };
        self.stands(&calendar_name(&calendar), table);
        Some(calendar)
    }

    pub(super) fn procedure(&mut self, table: &Table<'_>) -> Option<Procedure> {
        let code = table.need("code", &shape::PROCEDURE_CODE);
        let version = table.need("version", &shape::NAME);
        let valid_from = table.text("valid_from", &shape::DAY);
        let name = table.need("name", &shape::NAME).unwrap_or_default();
        let days = table.number_to("limit_days", limits::LIMIT_DAYS_MAX, "a limit of at most 3660 days");
        let limit = match (days, table.flag("calendar_days")) {
            (Some(days), false) => Some(Limit::WorkingDays(days)),
            (Some(days), true) => Some(Limit::CalendarDays(days)),
            (None, _) => None,
        };
        let steps = self.each(table, "step", Self::step);
        let procedure = Procedure { code: code?, version: version?, valid_from, name, limit, steps };
        self.stands(&procedure_name(&procedure), table);
        Some(procedure)
    }

    fn step(&mut self, table: &Table<'_>) -> Option<ProcedureStep> {
        let step = table.need("step", &shape::NAME);
        let name = table.need("name", &shape::NAME).unwrap_or_default();
        let limit_hours = table.number_to(
            "limit_working_hours",
            limits::LIMIT_HOURS_MAX,
            "a limit of at most 29280 working hours, eight a working day",
        );
        Some(ProcedureStep { step: step?, name, limit_hours })
    }
}
