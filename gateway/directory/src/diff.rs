//! What changed from one directory to the next, in lines that a person reads before publishing.

use std::collections::BTreeMap;

use gateway_model::agency::{Agency, Gateway, Operator, SignerRegistration, System};
use gateway_model::calendar::Calendar;
use gateway_model::directory::{Anchor, Directory, DirectoryContent};
use gateway_model::hash::Digest;
use gateway_model::language::Language;
use gateway_model::procedure::{Limit, Procedure, ProcedureStep};
use gateway_model::time::{Timestamp, Validity};

use crate::{certificate, shape};

/// One thing that is not as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// What happened to it.
    pub change: Change,
    /// What it is.
    pub noun: Noun,
    /// Its id; for certificates and lists their SHA-256.
    pub id: String,
    /// Its name for a person; may be empty.
    pub name: String,
    /// Fields that differ; empty unless it changed or ended.
    pub fields: Vec<FieldDifference>,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Change {
    /// It is new.
    Added,
    /// An agency was given an end.
    Ended,
    /// It is otherwise than it was.
    Changed,
    /// It is not there any more.
    Removed,
}

/// What a directory holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Noun {
    /// An agency.
    Agency,
    /// A system.
    System,
    /// A gateway.
    Gateway,
    /// An operator.
    Operator,
    /// A trust anchor.
    Anchor,
    /// An intermediate certificate.
    Intermediate,
    /// A revocation list.
    RevocationList,
    /// A version of a calendar.
    Calendar,
    /// A version of a procedure.
    Procedure,
}

/// A field of something that changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldDifference {
    /// Its key in the source.
    pub field: &'static str,
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
}

/// Everything that differs between `old` and `new`, agencies first, each kind in the order of ids.
pub fn diff(old: &Directory, new: &Directory) -> Vec<Difference> {
    let (old, new) = (old.content(), new.content());
    let mut out = Vec::new();
    compare(Noun::Agency, facts(&old.agencies, agency), facts(&new.agencies, agency), &mut out);
    compare(Noun::System, facts(&old.systems, system), facts(&new.systems, system), &mut out);
    compare(Noun::Gateway, facts(&old.gateways, gateway), facts(&new.gateways, gateway), &mut out);
    compare(Noun::Operator, facts(&old.operators, operator), facts(&new.operators, operator), &mut out);
    compare(Noun::Anchor, facts(&old.anchors, anchor), facts(&new.anchors, anchor), &mut out);
    let intermediates = |content: &DirectoryContent| facts(&content.intermediates, |der| intermediate(der));
    compare(Noun::Intermediate, intermediates(old), intermediates(new), &mut out);
    let lists = |content: &DirectoryContent| facts(&content.crls, |der| revocation_list(der));
    compare(Noun::RevocationList, lists(old), lists(new), &mut out);
    compare(Noun::Calendar, facts(&old.calendars, calendar), facts(&new.calendars, calendar), &mut out);
    compare(Noun::Procedure, facts(&old.procedures, procedure), facts(&new.procedures, procedure), &mut out);
    out
}

impl Difference {
    /// One line for the thing and one for each field: `~ cơ quan h99 (…)`, `    codes: H99 → H99, 000.00.00.H99`.
    pub fn lines(&self, language: Language) -> Vec<String> {
        let name = if self.name.is_empty() { String::new() } else { format!(" ({})", self.name) };
        let head = format!("{} {} {}{name}", self.change.mark(), self.noun.label(language), self.id);
        let nothing = language.pick("(không có)", "(none)");
        let or_nothing = |text: &str| if text.is_empty() { nothing.to_owned() } else { text.to_owned() };
        let field = |field: &FieldDifference| {
            format!("    {}: {} → {}", field.field, or_nothing(&field.before), or_nothing(&field.after))
        };
        std::iter::once(head).chain(self.fields.iter().map(field)).collect()
    }
}

impl Change {
    /// One character at the start of a line.
    pub fn mark(self) -> char {
        match self {
            Self::Added => '+',
            Self::Ended => '†',
            Self::Changed => '~',
            Self::Removed => '-',
        }
    }
}

impl Noun {
    /// The word for it.
    pub fn label(self, language: Language) -> &'static str {
        match self {
            Self::Agency => language.pick("cơ quan", "agency"),
            Self::System => language.pick("hệ thống", "system"),
            Self::Gateway => language.pick("trục liên thông", "gateway"),
            Self::Operator => language.pick("người vận hành", "operator"),
            Self::Anchor => language.pick("chứng thư số gốc", "anchor"),
            Self::Intermediate => language.pick("chứng thư số trung gian", "intermediate"),
            Self::RevocationList => language.pick("danh sách thu hồi", "revocation list"),
            Self::Calendar => language.pick("lịch làm việc", "calendar"),
            Self::Procedure => language.pick("thủ tục hành chính", "procedure"),
        }
    }
}

/// A thing as its fields in text, so that all things are compared alike.
struct Facts {
    id: String,
    name: String,
    fields: Vec<(&'static str, String)>,
}

const UNTIL: &str = "valid_until";

fn facts<T>(items: &[T], describe: fn(&T) -> Facts) -> BTreeMap<String, Facts> {
    items.iter().map(describe).map(|facts| (facts.id.clone(), facts)).collect()
}

fn compare(noun: Noun, mut old: BTreeMap<String, Facts>, new: BTreeMap<String, Facts>, out: &mut Vec<Difference>) {
    for (id, after) in new {
        let Some(before) = old.remove(&id) else {
            out.push(Difference { change: Change::Added, noun, id, name: after.name, fields: Vec::new() });
            continue;
        };
        let pairs = before.fields.into_iter().zip(after.fields);
        let fields: Vec<_> = pairs
            .filter(|((_, before), (_, after))| before != after)
            .map(|((field, before), (_, after))| FieldDifference { field, before, after })
            .collect();
        let ended = fields.iter().any(|f| f.field == UNTIL && f.before.is_empty());
        let change = if ended { Change::Ended } else { Change::Changed };
        if !fields.is_empty() {
            out.push(Difference { change, noun, id, name: after.name, fields });
        }
    }
    for (id, before) in old {
        out.push(Difference { change: Change::Removed, noun, id, name: before.name, fields: Vec::new() });
    }
}

fn agency(agency: &Agency) -> Facts {
    let signers: Vec<String> = agency.signers.iter().map(signer).collect();
    Facts {
        id: agency.id.to_string(),
        name: agency.name.clone(),
        fields: vec![
            ("name", agency.name.clone()),
            ("name_en", agency.name_en.clone()),
            ("codes", agency.codes.join(", ")),
            ("parent", optional(agency.parent.as_ref())),
            ("level", agency.level.clone()),
            ("gateway", optional(agency.gateway.as_ref())),
            ("valid_from", instant(agency.validity.from)),
            (UNTIL, instant(agency.validity.until)),
            ("succeeded_by", list(&agency.succeeded_by)),
            ("signer", signers.join(", ")),
        ],
    }
}

fn signer(signer: &SignerRegistration) -> String {
    let mut text = brief(&signer.certificate);
    let roles: Vec<&str> = signer.roles.iter().map(|role| role.as_str()).collect();
    if !roles.is_empty() {
        text.push_str(&format!(" [{}]", roles.join(" ")));
    }
    if signer.validity != Validity::ALWAYS {
        text.push_str(&format!(" {} … {}", instant(signer.validity.from), instant(signer.validity.until)));
    }
    if signer.legacy_without_signing_certificate {
        text.push_str(" legacy_without_signing_certificate");
    }
    text
}

fn system(system: &System) -> Facts {
    let fields = vec![("tls", briefs(&system.tls_certificates)), ("speaks_for", list(&system.speaks_for))];
    Facts { id: system.id.to_string(), name: String::new(), fields }
}

fn gateway(gateway: &Gateway) -> Facts {
    Facts {
        id: gateway.id.to_string(),
        name: gateway.address.clone(),
        fields: vec![
            ("address", gateway.address.clone()),
            ("parent", optional(gateway.parent.as_ref())),
            ("tls", briefs(&gateway.tls_certificates)),
            ("log_keys", list(&gateway.log_keys)),
            ("direct_links", list(&gateway.direct_links)),
        ],
    }
}

fn operator(operator: &Operator) -> Facts {
    Facts {
        id: operator.id.to_string(),
        name: String::new(),
        fields: vec![
            ("role", operator.role.as_str().to_owned()),
            ("tls", briefs(&operator.tls_certificates)),
            ("gateways", list(&operator.gateways)),
        ],
    }
}

fn anchor(anchor: &Anchor) -> Facts {
    let purpose = shape::purpose_name(anchor.purpose);
    Facts {
        // One certificate may anchor both signatures and TLS, under different rules.
        id: format!("{purpose}:{}", brief(&Digest::of(&anchor.certificate))),
        name: certificate::describe_certificate(&anchor.certificate),
        fields: vec![
            ("algorithms", anchor.algorithms.join(", ")),
            ("policies", anchor.policies.join(", ")),
            ("revocation_grace", format!("{}s", anchor.revocation_grace.as_secs())),
        ],
    }
}

fn intermediate(der: &[u8]) -> Facts {
    Facts { id: brief(&Digest::of(der)), name: certificate::describe_certificate(der), fields: Vec::new() }
}

fn revocation_list(der: &[u8]) -> Facts {
    Facts { id: brief(&Digest::of(der)), name: certificate::describe_revocation_list(der), fields: Vec::new() }
}

fn calendar(calendar: &Calendar) -> Facts {
    let time = &calendar.time;
    Facts {
        id: format!("{} {}", calendar.id, calendar.version),
        name: String::new(),
        fields: vec![
            ("valid_from", optional(calendar.valid_from.as_ref())),
            ("agencies", list(&calendar.agencies)),
            ("hours", list(time.hours())),
            ("days_off", list(time.days_off())),
            ("make_up_days", list(time.make_up_days())),
        ],
    }
}

fn procedure(procedure: &Procedure) -> Facts {
    let (days, in_calendar_days) = match procedure.limit {
        None => (None, false),
        Some(Limit::WorkingDays(days)) => (Some(days), false),
        Some(Limit::CalendarDays(days)) => (Some(days), true),
    };
    let step = |step: &ProcedureStep| match step.limit_hours {
        Some(hours) => format!("{} ({}): {hours}", step.step, step.name),
        None => format!("{} ({})", step.step, step.name),
    };
    let steps: Vec<String> = procedure.steps.iter().map(step).collect();
    Facts {
        id: format!("{} {}", procedure.code, procedure.version),
        name: procedure.name.clone(),
        fields: vec![
            ("name", procedure.name.clone()),
            ("valid_from", optional(procedure.valid_from.as_ref())),
            ("limit_days", optional(days.as_ref())),
            ("calendar_days", in_calendar_days.to_string()),
            ("step", steps.join(", ")),
        ],
    }
}

/// The first 16 hexadecimal digits: enough to tell two certificates of one directory apart.
fn brief(digest: &Digest) -> String {
    digest.to_string().chars().take(16).collect()
}

fn briefs(digests: &[Digest]) -> String {
    digests.iter().map(brief).collect::<Vec<_>>().join(", ")
}

fn list<'i, T: ToString + 'i>(items: impl IntoIterator<Item = &'i T>) -> String {
    items.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn optional(item: Option<&impl ToString>) -> String {
    item.map(ToString::to_string).unwrap_or_default()
}

fn instant(at: Option<Timestamp>) -> String {
    optional(at.as_ref())
}
