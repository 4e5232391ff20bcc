//! Papers of a file, ready to print: the control slip (form 06) and the apology notice (form 04). Always in Vietnamese.

use axum::response::Response;
use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use crate::fault::Fault;
use crate::fields::address;
use crate::page::Page;
use crate::show::icon::{Icon, icon};
use crate::show::text::safe;
use crate::show::{state, time};
use crate::visit::Visit;
use crate::words::timeline as w;

/// What stands on paper is for Vietnamese readers.
const VI: Language = Language::Vi;
/// Where a pen goes on.
const DOTS: &str = "……………………";

/// `GET /control-slip?file_code=…`: one line a hand-over.
pub(crate) async fn control_slip<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let custody = custody(&visit).await?;
    let l = visit.look.language;
    let page = Page::new(w::SLIP.of(l)).printed();
    Ok(visit.page(&page.body(match &custody {
        Some(custody) => paper(custody, l, &slip(custody)),
        None => html! { p.card { (w::NO_CUSTODY.of(l)) } },
    })))
}

/// `GET /apology?file_code=…`: only for a late file; names whose hop used the time.
pub(crate) async fn apology<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let custody = custody(&visit).await?;
    let l = visit.look.language;
    let page = Page::new(w::APOLOGY.of(l)).printed();
    Ok(visit.page(&page.body(match &custody {
        Some(custody) if is_late(custody) => paper(custody, l, &letter(custody)),
        Some(_) => html! { p.card { (w::NOT_LATE.of(l)) } },
        None => html! { p.card { (w::NO_CUSTODY.of(l)) } },
    })))
}

async fn custody<D: OperateService>(visit: &Visit<D>) -> Result<Option<v1::CaseCustody>, Fault> {
    let request = v1::TimelineRequest { file_code: visit.query.first("file_code").to_owned(), ..Default::default() };
    Ok(visit.ask(visit.door().timeline(visit.request(request))).await?.custody)
}

fn paper(custody: &v1::CaseCustody, l: Language, body: &Markup) -> Markup {
    html! {
        p.row.screen-only {
            a.button.plain href=(address("/timeline", &[("file_code", &custody.file_code)])) { (w::BACK_TO_TIMELINE.of(l)) }
            button.strong type="button" data-print hidden { (icon(Icon::Print)) " " (w::PRINT.of(l)) }
        }
        article.paper lang="vi" { (body) }
    }
}

fn letterhead(form: &str, agency: &str) -> Markup {
    html! {
        div.letterhead {
            div { p { b { @if agency.is_empty() { (DOTS) } @else { (safe(agency)) } } } p.rule {} }
            div { p { b { "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM" } } p { b { "Độc lập - Tự do - Hạnh phúc" } } p.rule {} }
        }
        p.form-number { (form) }
    }
}

fn slip(custody: &v1::CaseCustody) -> Markup {
    let receiver = custody.holdings.first().map(name_of).unwrap_or_default();
    html! {
        (letterhead("Mẫu số 06", receiver))
        h1 { "PHIẾU KIỂM SOÁT QUÁ TRÌNH GIẢI QUYẾT HỒ SƠ" }
        p { "Mã hồ sơ: " b { (safe(&custody.file_code)) } }
        p { "Thủ tục: " (safe(&procedure(custody))) }
        p {
            "Tiếp nhận: " (hour_and_day(custody.received_at.as_ref())) "; hẹn trả kết quả: " (hour_and_day(custody.due_at.as_ref()))
            @if custody.finished_at.is_some() { "; trả kết quả: " (hour_and_day(custody.finished_at.as_ref())) }
        }
        div.scroll { table {
            thead { tr {
                @for name in ["TT", "Bên giao", "Bên nhận", "Thời gian giao, nhận hồ sơ", "Thời hạn giải quyết", "Kết quả giải quyết", "Ghi chú"] {
                    th scope="col" { (name) }
                }
            } }
            tbody { @for (index, holding) in custody.holdings.iter().enumerate() { (handed(index, holding, custody)) } }
        } }
        p.note { "Kết quả: trước hạn, đúng hạn hoặc trễ hạn. Thời gian đã dùng tính theo giờ làm việc, 8 giờ một ngày, không tính thời gian tạm dừng." }
        div.signatures {
            div { p { b { "NGƯỜI GIAO" } } p { i { "(Ký và ghi rõ họ tên)" } } }
            div { p { b { "NGƯỜI NHẬN" } } p { i { "(Ký và ghi rõ họ tên)" } } }
        }
    }
}

fn handed(index: usize, holding: &v1::Holding, custody: &v1::CaseCustody) -> Markup {
    let giver = match index {
        0 => "Người nộp hồ sơ".to_owned(),
        _ => giver_name(holding, custody),
    };
    html! {
        tr {
            td.number { (index + 1) }
            td { (safe(&giver)) }
            td { (safe(name_of(holding))) @if !holding.step.is_empty() { br; i { (safe(&holding.step)) } } }
            td { (hour_and_day(holding.since.as_ref())) }
            td { @if holding.due_at.is_some() { (hour_and_day(holding.due_at.as_ref())) } @else { "–" } }
            td { b { (state::standing_word(holding.standing()).of(VI)) } br; "đã dùng " (time::worked(holding.working_seconds_used, VI)) }
            td {
                @if holding.until.is_none() && holding.since.is_some() { "đang giữ hồ sơ" br; }
                @if holding.since.is_none() { "hồ sơ đang trên đường chuyển tới" br; }
                @if holding.working_seconds_on_the_way > 0 { "trên đường chuyển: " (time::worked(holding.working_seconds_on_the_way, VI)) }
            }
        }
    }
}

fn letter(custody: &v1::CaseCustody) -> Markup {
    let agency = custody.holdings.first().map(name_of).unwrap_or_default();
    html! {
        (letterhead("Mẫu số 04", agency))
        p.dated { i { (DOTS) ", ngày …… tháng …… năm ………" } }
        h1 { "THƯ XIN LỖI VÀ HẸN LẠI NGÀY TRẢ KẾT QUẢ" }
        p { "Kính gửi: Ông (bà) / tổ chức " (DOTS) (DOTS) }
        p {
            "Vào hồi " (hour_and_day(custody.received_at.as_ref())) ", " (safe(agency)) " đã tiếp nhận hồ sơ mã số "
            b { (safe(&custody.file_code)) } " về thủ tục " (safe(&procedure(custody))) ", hẹn trả kết quả "
            (hour_and_day(custody.due_at.as_ref())) "."
        }
        p {
            @if custody.finished_at.is_some() { "Hồ sơ đã được giải quyết " (hour_and_day(custody.finished_at.as_ref())) ", chậm " }
            @else { "Tuy nhiên đến nay chúng tôi chưa trả được kết quả, chậm " }
            b { (time::worked(custody.working_seconds_left.min(0).unsigned_abs(), VI)) } " so với hẹn."
        }
        p { "Nơi sử dụng quá thời gian: " (cause(custody)) }
        p { "Lý do: " (DOTS) (DOTS) (DOTS) }
        p {
            "Sự chậm trễ này đã gây phiền hà, tốn kém cho Ông (bà) / tổ chức. Chúng tôi xin lỗi Ông (bà) / tổ chức và sẽ trả kết quả vào ngày "
            "…… tháng …… năm ………."
        }
        p { "Mong nhận được sự thông cảm của Ông (bà) / tổ chức." }
        div.signatures { div {} div { p { b { "THỦ TRƯỞNG CƠ QUAN" } } p { i { "(Ký, ghi rõ họ tên và đóng dấu)" } } } }
    }
}

/// Whose hop used the time, in words.
fn cause(custody: &v1::CaseCustody) -> Markup {
    let Some(hop) = slowest(custody) else { return html! { (DOTS) } };
    let (used, allowed) = (hop.working_seconds_used, hop.working_seconds_allowed);
    html! {
        b { (safe(name_of(hop))) } @if !hop.step.is_empty() { " (" (safe(&hop.step)) ")" }
        " đã dùng " (time::worked(used, VI))
        @if allowed > 0 { ", trong khi được dùng " (time::worked(allowed, VI)) }
        @if hop.working_seconds_on_the_way > used { "; hồ sơ ở trên đường chuyển tới nơi này " (time::worked(hop.working_seconds_on_the_way, VI)) }
        "."
    }
}

/// The hop that used the time: the one furthest over what its step allows; where no step says so, the one that used the most.
fn slowest(custody: &v1::CaseCustody) -> Option<&v1::Holding> {
    let over = |holding: &&v1::Holding| holding.working_seconds_used.saturating_sub(holding.working_seconds_allowed);
    let limited = custody.holdings.iter().filter(|holding| holding.working_seconds_allowed > 0);
    limited
        .filter(|holding| over(holding) > 0)
        .max_by_key(over)
        .or_else(|| custody.holdings.iter().max_by_key(|holding| holding.working_seconds_used))
}

fn is_late(custody: &v1::CaseCustody) -> bool {
    match custody.standing() {
        v1::CaseStanding::Late | v1::CaseStanding::InWorkLate => true,
        v1::CaseStanding::Unspecified
        | v1::CaseStanding::InWork
        | v1::CaseStanding::Early
        | v1::CaseStanding::OnTime
        | v1::CaseStanding::Paused
        | v1::CaseStanding::Ended => false,
    }
}

fn giver_name(holding: &v1::Holding, custody: &v1::CaseCustody) -> String {
    let giver = custody.holdings.iter().find(|other| other.agency == holding.from);
    giver.map_or_else(|| holding.from.clone(), |giver| name_of(giver).to_owned())
}

fn name_of(holding: &v1::Holding) -> &str {
    if holding.agency_name.is_empty() { &holding.agency } else { &holding.agency_name }
}

fn procedure(custody: &v1::CaseCustody) -> String {
    match (custody.procedure_code.as_str(), custody.procedure_name.as_str()) {
        ("", "") => DOTS.to_owned(),
        ("", name) => name.to_owned(),
        (code, "") => code.to_owned(),
        (code, name) => format!("{name} (mã {code})"),
    }
}

/// `08 giờ 30 phút, ngày 22/11/2026`, as the form asks; dots where it is not known.
fn hour_and_day(at: Option<&prost_types::Timestamp>) -> String {
    time::read(at).map_or_else(|| DOTS.to_owned(), |at| time::written(at, "%H giờ %M phút, ngày %d/%m/%Y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(agency: &str, used: u64, allowed: u64) -> v1::Holding {
        v1::Holding {
            agency: agency.to_owned(),
            working_seconds_used: used,
            working_seconds_allowed: allowed,
            ..Default::default()
        }
    }

    fn check(holdings: &[v1::Holding], slow: Option<&str>) {
        let custody = v1::CaseCustody { holdings: holdings.to_vec(), ..Default::default() };
        assert_eq!(slowest(&custody).map(|holding| holding.agency.as_str()), slow);
    }

    #[test]
    fn the_hop_that_used_the_time_is_named() {
        check(&[], None);
        check(&[holding("long-but-allowed", 900, 1_000), holding("over", 50, 10)], Some("over"));
        check(&[holding("over", 50, 10), holding("more-over", 90, 10)], Some("more-over"));
        check(&[holding("long", 900, 0), holding("short", 10, 0)], Some("long"));
        check(&[holding("within", 9, 10), holding("longest", 99, 0)], Some("longest"));
    }

    #[test]
    fn the_slip_has_one_line_a_hand_over_with_who_gave_it() {
        let mut second = holding("h99.21", 3_600, 0);
        second.from = "h99.30.01".to_owned();
        second.agency_name = "Văn phòng <Đăng ký>".to_owned();
        let first = v1::Holding { agency_name: "UBND xã".to_owned(), ..holding("h99.30.01", 60, 0) };
        second.since = Some(prost_types::Timestamp { seconds: 1_795_332_366, nanos: 0 });
        let custody =
            v1::CaseCustody { file_code: "H99-1".to_owned(), holdings: vec![first, second], ..Default::default() };
        let drawn = slip(&custody).into_string();
        let known = ["Người nộp hồ sơ", "UBND xã", "Văn phòng &lt;Đăng ký&gt;", "H99-1"];
        for text in known.into_iter().chain(["đang giữ hồ sơ", "hồ sơ đang trên đường chuyển tới"]) {
            assert!(drawn.contains(text), "{text}: {drawn}");
        }
        assert_eq!(drawn.matches("<tr>").count(), 3, "head and two hand-overs");
    }
}
