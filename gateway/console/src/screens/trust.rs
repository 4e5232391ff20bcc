//! Trust: certificates, revocation lists and the directory, the nearest end first.

use axum::response::Response;
use gateway_model::Timestamp;
use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use crate::fault::Fault;
use crate::page::{Page, Section};
use crate::show::icon::Icon;
use crate::show::text::{code, digest, safe, safe_or_dash};
use crate::show::{state, time};
use crate::visit::Visit;
use crate::words::{Word, frame, trust as w};

const LIMIT: u32 = 500;
const DAY_SECONDS: u64 = 24 * 3600;
/// Days before an end from which a line is marked.
const DAYS_SOON: u64 = 30;

/// `GET /trust`.
pub(crate) async fn show<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let agency = visit.query.first("agency").to_owned();
    let within_days = visit.query.first("within").parse().unwrap_or(0);
    let request = v1::ListTrustRequest { within_days, agency, limit: LIMIT };
    let trust = visit.ask(visit.door().list_trust(visit.request(request))).await?;
    let l = visit.look.language;
    let page = Page::new(w::TITLE.of(l)).section(Section::Trust);
    Ok(visit.page(&page.body(html! {
        div.head { h1 { (w::TITLE.of(l)) } p.lead { (w::LEAD.of(l)) } }
        form.card.row method="get" action="/trust" {
            label { span { (w::WITHIN.of(l)) } input type="number" name="within" min="0" max="36500" value=[(within_days > 0).then_some(within_days)]; }
            label { span { (w::AGENCY.of(l)) } input type="text" name="agency" maxlength="64" value=(visit.query.first("agency")); }
            button type="submit" { (w::APPLY.of(l)) }
        }
        @if trust.entries.is_empty() { p.card { (frame::NOTHING.of(l)) } } @else {
            div.scroll tabindex="0" role="region" aria-label=(w::CAPTION.of(l)) {
                table {
                    caption { (w::CAPTION.of(l)) }
                    thead { tr {
                        @for word in [w::DAYS_LEFT, w::ENDS, w::KIND, w::AGENCY, w::NAME, w::BEGINS, w::ROLES, w::SHA256] { th scope="col" { (word.of(l)) } }
                    } }
                    tbody { @for entry in &trust.entries { (row(entry, visit.now, l)) } }
                }
            }
        }
        @if trust.cut { p.quiet { (frame::CUT.of(l)) } }
        (check(&visit))
    })))
}

/// The command that checks a signed file, ready to be copied.
fn check<D: OperateService>(visit: &Visit<D>) -> Markup {
    let l = visit.look.language;
    let Some(status) = visit.status.as_ref().filter(|status| !status.directory_file.is_empty()) else {
        return html! {};
    };
    let asked = Some(visit.query.first("at")).filter(|text| time::begin(text).is_some());
    let at = asked.and_then(time::begin).unwrap_or(visit.now);
    let (file, at) = (w::CHECK_FILE.of(l), time::written(at, "%Y-%m-%dT%H:%M:%S%:z"));
    let (directory, authority) = (quoted(&status.directory_file), quoted(&status.directory_authority));
    let command = format!(
        "lienthong verify --content {file} --signature {file}.p7s --directory {directory} --authority {authority} --at {at}"
    );
    html! {
        section.card #check aria-labelledby="check-title" {
            h2 #check-title { (w::CHECK.of(l)) }
            p { (w::CHECK_TEXT.of(l)) }
            form.row method="get" action="/trust" {
                label { span { (w::CHECK_AT.of(l)) } input type="datetime-local" name="at" value=[asked]; }
                button type="submit" { (w::CHECK_SHOW.of(l)) }
            }
            p { code.long { (command) } }
        }
    }
}

/// As a shell reads it for what it is.
fn quoted(text: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "/._-+=:@".contains(character);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn row(entry: &v1::TrustEntry, now: Timestamp, l: Language) -> Markup {
    html! {
        tr {
            td { (days_left(entry.valid_until.as_ref(), now, l)) }
            td { @if entry.valid_until.is_some() { (time::moment(entry.valid_until.as_ref(), l)) } @else { span.quiet { (w::UNKNOWN_END.of(l)) } } }
            th.wide scope="row" { (kind(entry.kind()).of(l)) }
            td.wide { @if entry.agency.is_empty() { (crate::show::text::dash()) } @else { (safe_or_dash(&entry.agency_name)) br; small { (code(&entry.agency)) } } }
            td.wide { (safe_or_dash(&entry.name)) }
            td { (time::day(entry.valid_from.as_ref(), l)) }
            td {
                @if entry.kind() == v1::TrustKind::Signer {
                    @if entry.roles.is_empty() { span.quiet { (w::ANY_ROLE.of(l)) } } @else { (safe(&entry.roles.join(", "))) }
                }
            }
            td { (digest(&entry.sha256)) }
        }
    }
}

/// Whole days until an end, marked when it is near; a dash when nobody knows it.
pub(super) fn days_left(end: Option<&prost_types::Timestamp>, now: Timestamp, l: Language) -> Markup {
    let Some(until) = time::read(end) else { return crate::show::text::dash() };
    if until <= now {
        return state::badge("bad", Icon::Cross, w::OVER, l);
    }
    let days = until.since(now).as_secs() / DAY_SECONDS;
    html! {
        @if days <= DAYS_SOON { span class="badge warn" { (crate::show::icon::icon(Icon::Hourglass)) span { (days) } } } @else { (days) }
    }
}

fn kind(kind: v1::TrustKind) -> Word {
    match kind {
        v1::TrustKind::Signer => w::SIGNER,
        v1::TrustKind::Anchor => w::ANCHOR,
        v1::TrustKind::Intermediate => w::INTERMEDIATE,
        v1::TrustKind::RevocationList => w::REVOCATION_LIST,
        v1::TrustKind::Directory => w::DIRECTORY,
        v1::TrustKind::Tls => w::TLS,
        v1::TrustKind::Unspecified => crate::words::state::UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_path_for_what_it_is() {
        for (path, expected) in [
            ("/var/lib/lienthong/directory.last", "/var/lib/lienthong/directory.last"),
            ("/kho dữ liệu/$(id)", "'/kho dữ liệu/$(id)'"),
            ("/it's/here", r"'/it'\''s/here'"),
        ] {
            assert_eq!(quoted(path), expected);
        }
    }
}
