//! What pages show: every screen in both languages, hostile text made harmless, strict headers on every answer.

use axum::http::StatusCode;
use gateway_model::language::Language;
use prost::Message as _;
use proto::v1;

use crate::house::{Answer, Browser, House};
use crate::sample::{DELIVERY, ENVELOPE, FILE, TRACE};

/// Every page of somebody who is signed in.
const PAGES: [&str; 20] = [
    "/",
    "/incidents",
    "/search",
    "/search?q=7816%2FVPCP-TT%C4%90T&state=held&state=waiting&sender=h99.30.01&since=2026-11-01&until=2026-11-22",
    "/search?q=kh%C3%B4ng+c%C3%B3",
    "/timeline?file_code=H99.30.01-261120-0976",
    "/timeline?file_code=unknown",
    "/timeline?sender=h99.30.01&envelope_id=0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b",
    "/control-slip?file_code=H99.30.01-261120-0976",
    "/apology?file_code=H99.30.01-261120-0976",
    "/peers",
    "/trust?within=90&agency=h99.30",
    "/bulk",
    "/bulk/new?state=held&reason=TRUST_CHANGED",
    "/bulk/b-1",
    "/bulk/running",
    "/statistics",
    "/statistics?by=month&since=2024-01-01&until=2026-06-30",
    "/audit?operator=op-lan",
    "/health",
];

fn check_harmless(place: &str, answer: &Answer) {
    let text = &answer.text;
    assert_eq!(text.matches("<script").count(), 1, "{place}: only our own script");
    for bad in ["<img", "onerror=alert(1)>", "\u{202e}", " style=", "javascript:", " onclick"] {
        assert!(!text.contains(bad), "{place}: {bad}");
    }
}

fn check_headers(place: &str, answer: &Answer) {
    let policy = answer.header("content-security-policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(rule), "{place}: {rule} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{place}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{place}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{place}");
    let kept = answer.header("cache-control");
    assert!(kept == "no-store" || (place.starts_with("/assets/") && kept.contains("immutable")), "{place}: {kept}");
}

#[tokio::test]
async fn every_page_is_shown_in_both_languages_and_does_nothing_that_a_subject_says() {
    let house = House::new("operator");
    for language in [Language::Vi, Language::En] {
        let cookie = format!("__Host-lienthong-language={}", language.tag());
        let browser = Browser { cookie, ..Browser::known() };
        for place in PAGES {
            let answer = house.get(&browser, place).await;
            assert_eq!(answer.status, StatusCode::OK, "{place}");
            assert!(answer.text.contains(&format!("<html lang=\"{}\"", language.tag())), "{place}");
            assert!(answer.text.contains("<h1>") || answer.text.contains("class=\"card\""), "{place}");
            check_harmless(place, &answer);
            check_headers(place, &answer);
        }
    }
    let asked = house.door.asked("ListStuckRequest");
    let languages: Vec<(Language, &str)> = asked.iter().map(|a| (a.languages.0, a.languages.1.as_str())).collect();
    assert_eq!(languages, [(Language::Vi, "vi"), (Language::En, "en")], "the door is asked in the reader's language");
    assert!(asked.iter().all(|asked| asked.operator == "op-lan"));
}

#[tokio::test]
async fn what_somebody_wrote_is_shown_as_they_wrote_it() {
    let house = House::new("operator");
    let page = house.get(&Browser::known(), &format!("/timeline?file_code={FILE}")).await.text;
    assert!(page.contains("&lt;script&gt;alert('x')&lt;/script&gt;[U+202E]&quot;&gt;&lt;img src=x"), "{page}");
}

#[tokio::test]
async fn a_stuck_handoff_says_why_who_must_act_what_to_do_and_leads_to_its_deliveries() {
    let house = House::new("operator");
    let page = house.get(&Browser::known(), "/").await.text;
    for text in [
        "Nơi nhận không lấy về",
        "Chi cục Thuế khu vực (ví dụ)",
        "NOT_PICKED_UP",
        "quá hạn",
        "còn 2 giờ 30 phút làm việc",
        "Cần làm",
        "href=\"/search?state=waiting&amp;recipient=h99.40\"",
        "1.204",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[tokio::test]
async fn what_an_adapter_could_not_take_in_is_shown_with_its_reason_and_how_much_there_is() {
    let page = House::new("viewer").get(&Browser::known(), "/peers").await.text;
    for text in ["để riêng (21)", "goi-0042.edxml", "EDXML_DATE"] {
        assert!(page.contains(text), "{text}");
    }
}

#[tokio::test]
async fn a_neighbour_tells_how_much_it_takes_its_version_and_the_days_of_its_certificate_or_a_dash() {
    let page = House::new("viewer").get(&Browser::known(), "/peers").await.text;
    let row = |gateway: &str| {
        let (_, rest) = page.split_once(&format!("<bdi>{gateway}</bdi>")).unwrap();
        rest.split("</tr>").next().unwrap().to_owned()
    };
    assert!(page.contains("Nhận mỗi phút") && page.contains("Chứng thư số còn (ngày)"), "{page}");
    let met = row("gw-xa-30-01");
    for text in ["<td class=\"number\">1.260</td>", "Phiên bản: <bdi>0.9.1</bdi>", "Chứng thư số còn (ngày): 41"]
    {
        assert!(met.contains(text), "{text} in {met}");
    }
    let not_met = row("gw-xa-30-02");
    let dash = "<span class=\"quiet\">–</span>";
    for word in ["Phiên bản", "Chứng thư số còn (ngày)"] {
        assert!(not_met.contains(&format!("{word}: {dash}")), "{not_met}");
    }
}

#[tokio::test]
async fn the_audit_says_from_where_somebody_acted_where_it_is_noted() {
    let page = House::new("viewer").get(&Browser::known(), "/audit").await.text;
    assert!(page.contains(">Từ đâu</th>"), "{page}");
    let body = page.split_once("<tbody>").unwrap().1;
    let rows: Vec<&str> = body.split("</tr>").filter(|row| row.contains("<td")).collect();
    let noted = rows.iter().filter(|row| row.contains("<td><code><bdi>10.20.0.7:50112</bdi></code></td>")).count();
    assert_eq!((rows.len(), noted), (5, 4), "one entry is of the time before");
}

#[tokio::test]
async fn the_trust_page_gives_the_command_that_checks_a_signed_file_as_of_a_day() {
    let house = House::new("viewer");
    let page = house.get(&Browser::known(), "/trust?at=2026-03-05T08:30").await.text;
    let command = "lienthong verify --content tệp-đã-ký --signature tệp-đã-ký.p7s \
                   --directory '/var/lib/liên thông/directory.last' --authority danh-ba+0a1b2c3d+AdV9/x= \
                   --at 2026-03-05T08:30:00+07:00";
    assert!(page.contains(command) && page.contains("value=\"2026-03-05T08:30\""), "{page}");
    let english = house.get(&Browser::known(), "/trust?at=soon&lang=en").await.text;
    assert!(english.contains("--at 2026-11-22T14:26:06+07:00"), "as of now: {english}");
    assert!(english.contains("against the trust of that day") && !english.contains("value=\"soon\""), "{english}");
}

#[tokio::test]
async fn a_timeline_names_the_trace_of_each_envelope_once() {
    let page = House::new("viewer").get(&Browser::known(), &format!("/timeline?file_code={FILE}")).await.text;
    let envelopes = page.split_once("id=\"envelopes\"").unwrap().1;
    let told = envelopes.split("</section>").next().unwrap().matches(&format!("Mã vết <code><bdi>{TRACE}")).count();
    assert_eq!(told, 1, "two gateways told of the same: {page}");
}

#[tokio::test]
async fn a_timeline_keeps_receipts_and_business_statuses_apart_and_marks_what_is_only_local() {
    let house = House::new("operator");
    let page = house
        .get(&Browser::known().with("accept", "text/html"), &format!("/timeline?file_code={FILE}&lang=en"))
        .await
        .text;
    let block = |id: &str| {
        let (_, rest) = page.split_once(&format!("id=\"{id}\" data-region")).unwrap();
        rest.split("</section>").next().unwrap().to_owned()
    };
    let (receipts, statuses) = (block("receipts"), block("statuses"));
    assert!(receipts.contains("verified the signatures") && !receipts.contains("assigned"));
    assert!(
        statuses.contains("assigned") && statuses.contains("<code><bdi>04</bdi></code>") && !statuses.contains("leaf")
    );
    assert!(page.contains("did not answer: only local knowledge") && page.contains("gw-tinh"));
    assert!(block("ladder").contains("rung lacking"), "the picture marks it too");
    for text in ["1 d 4 h<", "holds it now", "form 06", "form 04", "PEER_UNREACHABLE"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains(&format!("action=\"/deliveries/{DELIVERY}/retry\"")));
}

#[tokio::test]
async fn the_receipts_of_a_timeline_come_as_a_file_for_the_verifier() {
    let house = House::new("viewer");
    let page = house.get(&Browser::known(), &format!("/timeline?file_code={FILE}&done=retry")).await.text;
    assert!(page.contains(&format!("href=\"/receipts.bin?file_code={FILE}\"")));
    let file = house.get(&Browser::known(), &format!("/receipts.bin?file_code={FILE}")).await;
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"receipts.bin\"");
    let read = v1::GetReceiptResponse::decode(file.bytes.as_slice()).unwrap();
    let events: Vec<v1::Event> = read.receipts.into_iter().map(|r| v1::Event::decode(r.event).unwrap()).collect();
    assert_eq!((events.len(), events[0].gateway.as_str()), (11, "gw-xa-30-01"));
}

#[tokio::test]
async fn one_box_asks_for_every_kind_of_key() {
    let house = House::new("operator");
    let digest = "ab".repeat(32);
    for (key, asked) in [
        (FILE, format!("file_code: \"{FILE}\"")),
        (ENVELOPE, format!("envelope_id: \"{ENVELOPE}\"")),
        ("7816%2FVPCP", "document_code: \"7816/VPCP\"".to_owned()),
        (&digest, "sha256: b\"\\xab\\xab".to_owned()),
        ("kh%C3%B4ng+c%C3%B3", "document_code: \"không có\"".to_owned()),
    ] {
        house.get(&Browser::known(), &format!("/search?q={key}&utm_source=x&state=nonsense")).await;
        let last = house.door.asked("ListRequest").pop().unwrap().message;
        assert!(last.contains(&asked), "{asked} in {last}");
    }
}

#[tokio::test]
async fn the_next_page_keeps_the_filter_in_its_address() {
    let house = House::new("viewer");
    let page = house.get(&Browser::known(), "/search?state=held&reason=trust_changed&page=old").await.text;
    assert!(page.contains("/search?state=held&amp;reason=trust_changed&amp;page=bmV4dA%2B%2F%3D"), "{page}");
    assert!(house.door.asked("ListRequest")[0].message.contains("page_token: \"old\""));
}

#[tokio::test]
async fn papers_are_in_vietnamese_whatever_the_reader_speaks() {
    let house = House::new("viewer");
    let slip = house.get(&Browser::known(), &format!("/control-slip?file_code={FILE}&lang=en")).await.text;
    for text in [
        "PHIẾU KIỂM SOÁT QUÁ TRÌNH GIẢI QUYẾT HỒ SƠ",
        "UBND xã Mường Lạn",
        "trễ hạn",
        "trước hạn",
        "Mẫu số 06",
        "lang=\"vi\"",
    ] {
        assert!(slip.contains(text), "{text}");
    }
    let letter = house.get(&Browser::known(), &format!("/apology?file_code={FILE}&lang=en")).await.text;
    let cause = "Nơi sử dụng quá thời gian: <b><bdi>Phòng Tài nguyên huyện (ví dụ)</bdi></b> (<bdi>thẩm định</bdi>) đã dùng 1 ngày 4 giờ làm việc, trong khi được dùng 4 giờ làm việc";
    assert!(letter.contains("THƯ XIN LỖI") && letter.contains(cause), "{letter}");
    let none = house.get(&Browser::known(), "/apology?file_code=unknown").await.text;
    assert!(none.contains("Chưa biết ai giữ hồ sơ này"));
}

#[tokio::test]
async fn statistics_come_as_a_chart_a_table_and_a_spreadsheet() {
    let house = House::new("viewer");
    let page = house.get(&Browser::known(), "/statistics?since=2018-01-01&until=2018-06-30").await.text;
    assert!(page.contains("class=\"part early\"") && page.contains("url(#of-late)") && page.contains("<tfoot>"));
    assert!(page.contains("href=\"/statistics.csv?since=2018-01-01&amp;until=2018-06-30&amp;by=agency\""));
    let csv = house.get(&Browser::known(), "/statistics.csv?since=2018-01-01&until=2018-06-30&by=level").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(
        csv.header("content-disposition"),
        "attachment; filename=\"statistics-level-2018-01-01-2018-06-30.csv\""
    );
    assert_eq!(csv.text.lines().count(), 32, "header, 30 rows, total");
    let none = house.get(&Browser::known(), "/statistics?agency=none").await;
    assert!(none.status == StatusCode::OK && none.text.contains("Không có hồ sơ nào trong kỳ này"));
}

#[tokio::test]
async fn assets_are_found_by_their_content_and_kept_for_ever() {
    let house = House::new("viewer");
    let page = house.get(&Browser::default(), "/sign-in").await;
    let mut found = 0;
    for part in page.text.split('"').filter(|part| part.starts_with("/assets/")) {
        let asset = house.get(&Browser::default(), part).await;
        assert_eq!(asset.status, StatusCode::OK, "{part}");
        assert!(
            !asset.text.is_empty() && !asset.text.contains("http://") || part.ends_with(".svg"),
            "{part}: nothing from outside"
        );
        check_headers(part, &asset);
        found += 1;
    }
    assert_eq!(found, 3);
    assert_eq!(
        house.get(&Browser::default(), "/assets/console-0000000000000000.css").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn wrong_addresses_and_methods_have_pages_with_the_same_headers() {
    let house = House::new("operator");
    for (place, status) in [
        ("/nowhere", StatusCode::NOT_FOUND),
        ("/deliveries/x/retry", StatusCode::METHOD_NOT_ALLOWED),
        ("/sign-out", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let answer = house.get(&Browser::known(), place).await;
        assert_eq!(answer.status, status, "{place}");
        assert!(answer.text.contains("role=\"alert\""), "{place}");
        check_headers(place, &answer);
    }
    let answer = house.post(&Browser::known(), "/health", "").await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD"));
}

#[tokio::test]
async fn a_timeline_of_nothing_leads_to_the_search() {
    let house = House::new("viewer");
    let answer = house.get(&Browser::known(), "/timeline?only_here=&x=1").await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/search"));
}

#[tokio::test]
async fn unknown_and_broken_parameters_do_no_harm() {
    let house = House::new("viewer");
    for query in
        ["?x=%ff%fe&&&==", "?page=%00&since=soon&within=-1&by=moon&lang=xx", "?lang=en&lang=vi&q=%22%3E%3Cscript%3E"]
    {
        for place in ["/", "/search", "/trust", "/statistics", "/audit", "/timeline", "/bulk/new", "/sign-in"] {
            let place = if place == "/timeline" { "/timeline?file_code=unknown" } else { place };
            let query = if place.contains('?') { query.replace('?', "&") } else { query.to_owned() };
            let answer = house.get(&Browser::known(), &format!("{place}{query}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{place}{query}");
            check_harmless(place, &answer);
        }
    }
}
