//! What a directory holds, in a screen.

use std::collections::BTreeSet;

use gateway_model::calendar::Calendar;
use gateway_model::day::Day;
use gateway_model::directory::{AnchorPurpose, Directory, DirectoryContent};
use gateway_model::language::Language;
use gateway_model::time::Timestamp;

use crate::{certificate, shape};

/// A directory in numbers and names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Rises with every issue.
    pub version: u64,
    /// When it was made.
    pub issued_at: Timestamp,
    /// After this nobody trusts it.
    pub expires_at: Timestamp,
    /// Whether its time is over.
    pub expired: bool,
    /// Agencies alive now.
    pub agencies_alive: usize,
    /// Agencies that have ended, or have not begun.
    pub agencies_other: usize,
    /// Agencies alive now that no gateway serves.
    pub agencies_without_gateway: usize,
    /// Agencies alive now for which no certificate may sign now.
    pub agencies_without_signer: usize,
    /// Systems.
    pub systems: usize,
    /// Operators.
    pub operators: usize,
    /// Id, address and parent of every gateway.
    pub gateways: Vec<String>,
    /// Purpose of every anchor; its subject and end.
    pub anchors: Vec<(AnchorPurpose, String)>,
    /// Subject and end of every intermediate.
    pub intermediates: Vec<String>,
    /// Issuer and times of every revocation list.
    pub revocation_lists: Vec<String>,
    /// Id, version, begin and days of every calendar.
    pub calendars: Vec<CalendarSummary>,
    /// Procedures that have a version in force today.
    pub procedures: usize,
    /// Versions of procedures that are over, or have not begun.
    pub procedures_other: usize,
}

/// A version of a calendar in numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CalendarSummary {
    /// Its id and version.
    pub name: String,
    /// First day of the version; `None` means always.
    pub valid_from: Option<Day>,
    /// Office hours.
    pub hours: String,
    /// Days off.
    pub days_off: usize,
    /// Days made up for.
    pub make_up_days: usize,
    /// The last day that it lists: after it nobody has said which days are off.
    pub last_day: Option<Day>,
}

/// Sums `directory` up as of `now`.
pub fn summarize(directory: &Directory, now: Timestamp) -> Summary {
    let content = directory.content();
    let alive = || content.agencies.iter().filter(|agency| agency.is_alive(now));
    let agencies_alive = alive().count();
    let codes: BTreeSet<&str> = content.procedures.iter().map(|procedure| procedure.code.as_str()).collect();
    let in_force = codes.into_iter().filter(|code| directory.procedure(code, Day::of(now)).is_some()).count();
    Summary {
        version: content.version,
        issued_at: content.issued_at,
        expires_at: content.expires_at,
        expired: now >= content.expires_at,
        agencies_alive,
        agencies_other: content.agencies.len() - agencies_alive,
        agencies_without_gateway: alive().filter(|agency| directory.gateway_of(&agency.id).is_none()).count(),
        agencies_without_signer: alive().filter(|a| !a.signers.iter().any(|s| s.validity.contains(now))).count(),
        systems: content.systems.len(),
        operators: content.operators.len(),
        gateways: gateways(content),
        anchors: content
            .anchors
            .iter()
            .map(|anchor| (anchor.purpose, certificate::describe_certificate(&anchor.certificate)))
            .collect(),
        intermediates: content.intermediates.iter().map(|der| certificate::describe_certificate(der)).collect(),
        revocation_lists: content.crls.iter().map(|der| certificate::describe_revocation_list(der)).collect(),
        calendars: content.calendars.iter().map(calendar).collect(),
        procedures: in_force,
        procedures_other: content.procedures.len() - in_force,
    }
}

impl Summary {
    /// The summary in lines.
    pub fn lines(&self, language: Language) -> Vec<String> {
        let pick = |vi, en| language.pick(vi, en);
        let expiry = if self.expired { pick(" (ĐÃ HẾT HẠN)", " (EXPIRED)") } else { "" };
        let mut lines = vec![
            format!("{}: {}", pick("phiên bản", "version"), self.version),
            format!("{}: {}", pick("ban hành lúc", "issued at"), self.issued_at),
            format!("{}: {}{expiry}", pick("có hiệu lực đến", "expires at"), self.expires_at),
            format!("{}: {}", pick("cơ quan đang hoạt động", "agencies alive"), self.agencies_alive),
            format!(
                "{}: {}",
                pick("cơ quan đã chấm dứt hoặc chưa bắt đầu hoạt động", "agencies ended or not begun"),
                self.agencies_other
            ),
            format!(
                "{}: {}",
                pick("cơ quan chưa có trục liên thông phục vụ", "agencies without a gateway"),
                self.agencies_without_gateway
            ),
            format!(
                "{}: {}",
                pick("cơ quan chưa có chứng thư số", "agencies without a certificate"),
                self.agencies_without_signer
            ),
            format!("{}: {}", pick("hệ thống", "systems"), self.systems),
            format!("{}: {}", pick("người vận hành", "operators"), self.operators),
            format!("{}: {}", pick("thủ tục hành chính đang áp dụng", "procedures in force"), self.procedures),
            format!(
                "{}: {}",
                pick("phiên bản thủ tục cũ hoặc chưa áp dụng", "older or future versions of procedures"),
                self.procedures_other
            ),
        ];
        let anchors: Vec<String> = self
            .anchors
            .iter()
            .map(|(purpose, text)| format!("{}: {text}", purpose_words(*purpose, language)))
            .collect();
        let calendars: Vec<String> = self.calendars.iter().map(|calendar| calendar.line(language)).collect();
        let lists = [
            (pick("trục liên thông", "gateways"), &self.gateways),
            (pick("chứng thư số gốc", "anchors"), &anchors),
            (pick("chứng thư số trung gian", "intermediates"), &self.intermediates),
            (pick("danh sách thu hồi", "revocation lists"), &self.revocation_lists),
            (pick("lịch làm việc", "calendars"), &calendars),
        ];
        for (title, items) in lists {
            lines.push(format!("{title}: {}", items.len()));
            lines.extend(items.iter().map(|item| format!("  {item}")));
        }
        lines
    }
}

impl CalendarSummary {
    /// `h99 2, từ 2026-01-01: 07:30-11:30 13:30-17:00; 9 ngày nghỉ, 1 ngày làm bù, đến 2026-09-02`.
    fn line(&self, language: Language) -> String {
        let from = self.valid_from.map_or_else(String::new, |day| format!(", {} {day}", language.pick("từ", "from")));
        let until = self.last_day.map_or_else(String::new, |day| format!(", {} {day}", language.pick("đến", "until")));
        let (off, made_up) = (language.pick("ngày nghỉ", "days off"), language.pick("ngày làm bù", "make-up days"));
        format!("{}{from}: {}; {} {off}, {} {made_up}{until}", self.name, self.hours, self.days_off, self.make_up_days)
    }
}

fn calendar(calendar: &Calendar) -> CalendarSummary {
    let time = &calendar.time;
    let hours: Vec<String> = time.hours().iter().map(ToString::to_string).collect();
    CalendarSummary {
        name: format!("{} {}", calendar.id, calendar.version),
        valid_from: calendar.valid_from,
        hours: hours.join(" "),
        days_off: time.days_off().len(),
        make_up_days: time.make_up_days().len(),
        last_day: time.days_off().last().max(time.make_up_days().last()).copied(),
    }
}

fn purpose_words(purpose: AnchorPurpose, language: Language) -> &'static str {
    match (purpose, language) {
        (AnchorPurpose::Sign, Language::Vi) => "ký số",
        (AnchorPurpose::Tls, Language::Vi) => "kết nối TLS",
        (_, Language::En) => shape::purpose_name(purpose),
    }
}

fn gateways(content: &DirectoryContent) -> Vec<String> {
    let line = |gateway: &gateway_model::agency::Gateway| match &gateway.parent {
        Some(parent) => format!("{} {} ↑ {parent}", gateway.id, gateway.address),
        None => format!("{} {}", gateway.id, gateway.address),
    };
    content.gateways.iter().map(line).collect()
}
