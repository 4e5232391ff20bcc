//! What forms do: roles, form tokens, origins, bounds, and the way back.

use axum::body::Body;
use axum::http::{Method, StatusCode};

use crate::house::{Browser, House, own_origin};
use crate::sample::{DELIVERY, FILE};

const RETRY: &str = "/deliveries/5e7a0c1d2b3f4a5b6c7d8e9fa0b1c2d3/retry";

#[tokio::test]
async fn an_operator_acts_with_a_reason_and_returns_to_the_page() {
    let house = House::new("operator");
    let browser = Browser::known();
    let token = house.form_token(&browser).await;
    for (action, message) in [
        ("retry", "RetryRequest"),
        ("hold", "HoldRequest"),
        ("release", "ReleaseRequest"),
        ("return", "ReturnToSenderRequest"),
        ("reroute", "RerouteRequest"),
    ] {
        let form = format!(
            "form_token={token}&back=%2Ftimeline%3Ffile_code%3D{FILE}%26done%3Dhold&why=%C4%91%C3%A3+g%E1%BB%8Di+huy%E1%BB%87n&via=gw-tinh"
        );
        let answer = house.post(&browser, &format!("/deliveries/{DELIVERY}/{action}"), &form).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{action}: {}", answer.text);
        assert_eq!(answer.header("location"), format!("/timeline?file_code={FILE}&done={action}"));
        let asked = house.door.asked(message).pop().unwrap().message;
        assert!(asked.contains(DELIVERY) && asked.contains("đã gọi huyện"), "{asked}");
        let page = house.get(&browser, answer.header("location")).await.text;
        assert!(page.contains("notice good"), "the page says what was done");
    }
    assert!(house.door.asked("RerouteRequest")[0].message.contains("via: \"gw-tinh\""));
    let answer = house.post(&browser, &format!("/deliveries/{DELIVERY}/delete"), &format!("form_token={token}")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_viewer_sees_no_buttons_and_the_door_refuses_what_is_posted_all_the_same() {
    let (viewer, operator) = (House::new("viewer"), House::new("operator"));
    let browser = Browser::known();
    for place in [&format!("/timeline?file_code={FILE}"), "/peers", "/bulk/b-1", "/bulk/new", "/search"] {
        let pages = [viewer.get(&browser, place).await.text, operator.get(&browser, place).await.text];
        let acts = pages.map(|page| {
            page.contains("action=\"/deliveries/")
                || page.contains("action=\"/destinations/")
                || page.contains("action=\"/bulk")
                || page.contains("href=\"/bulk/new")
        });
        assert_eq!(acts, [false, true], "{place}");
    }
    // The token is that of any form of this reader, such as the one of a session's sign-out.
    let cookie = viewer.sessions.open(&crate::house::operator("op-xem"), viewer.now());
    let browser = Browser { cookie: format!("__Host-lienthong-session={cookie}"), ..Browser::default() };
    let page = viewer.get(&browser, "/").await.text;
    let token = page.split_once("name=\"form_token\" value=\"").unwrap().1.split('"').next().unwrap().to_owned();
    for lang in ["vi", "en"] {
        let browser =
            Browser { cookie: format!("{}; __Host-lienthong-language={lang}", browser.cookie), ..Browser::default() };
        let answer = viewer.post(&browser, RETRY, &format!("form_token={token}&why=x")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        let words = if lang == "vi" {
            "Hệ thống kết nối không được dùng cửa này."
        } else {
            "The caller may not use this door."
        };
        assert!(answer.text.contains("HOP_NOT_ALLOWED") && answer.text.contains(words), "{}", answer.text);
        assert!(answer.text.contains("role &lt;operator&gt; is needed"));
    }
    assert!(viewer.door.asked("RetryRequest").is_empty());
}

#[tokio::test]
async fn a_form_without_its_token_or_from_elsewhere_does_nothing() {
    let house = House::new("operator");
    let browser = Browser::known();
    let token = house.form_token(&browser).await;
    let good = format!("form_token={token}&why=x&back=/");
    for form in [
        "",
        "why=x",
        "form_token=&why=x",
        &format!("form_token={}&why=x", "0".repeat(64)),
        &format!("form_token={}", &token[1..]),
    ] {
        assert_eq!(house.post(&browser, RETRY, form).await.status, StatusCode::FORBIDDEN, "{form}");
    }
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.example"),
    ] {
        let answer = house.post(&browser.clone().with(name, value), RETRY, &good).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert!(answer.text.contains("Yêu cầu không đến từ bảng điều khiển"));
    }
    let old = browser.clone().with("sec-fetch-site", "").with("origin", "");
    assert_eq!(house.post(&old, RETRY, &good).await.status, StatusCode::FORBIDDEN, "nobody can tell");
    assert!(house.door.asked("RetryRequest").is_empty(), "nothing was done");
    let old = browser.clone().with("sec-fetch-site", "").with("origin", own_origin());
    assert_eq!(
        house.post(&old, RETRY, &good).await.status,
        StatusCode::SEE_OTHER,
        "a browser that only sends its origin"
    );
    let cookie = house.sessions.open(&crate::house::operator("op-minh"), house.now());
    let session = Browser { cookie: format!("__Host-lienthong-session={cookie}"), ..Browser::default() };
    assert_eq!(house.post(&session, RETRY, &good).await.status, StatusCode::FORBIDDEN, "the token of somebody else");
}

#[tokio::test]
async fn an_oversized_or_foreign_body_is_refused() {
    let house = House::new("operator");
    let browser = Browser::known();
    let token = house.form_token(&browser).await;
    let large = format!("form_token={token}&why={}", "x".repeat(17 * 1024));
    assert_eq!(house.post(&browser, RETRY, &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let chunks = (0..40).map(|_| Ok::<_, std::io::Error>("x".repeat(1024)));
    let answer = house.send(&browser, Method::POST, RETRY, Body::from_stream(tokio_stream::iter(chunks))).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "without a length");
    let json = browser.with("content-type", "application/json");
    assert_eq!(house.post(&json, RETRY, "{}").await.status, StatusCode::BAD_REQUEST);
    assert!(house.door.asked("RetryRequest").is_empty());
}

#[tokio::test]
async fn a_form_leads_back_to_the_console_and_nowhere_else() {
    let house = House::new("operator");
    let browser = Browser::known();
    let token = house.form_token(&browser).await;
    for back in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2F%5Cevil.example", ""] {
        let answer = house.post(&browser, RETRY, &format!("form_token={token}&why=x&back={back}")).await;
        assert_eq!(answer.header("location"), "/?done=retry", "{back}");
    }
}

#[tokio::test]
async fn a_destination_is_paused_resumed_and_pinged() {
    let house = House::new("operator");
    let browser = Browser::known();
    let token = house.form_token(&browser).await;
    let form = format!("form_token={token}&back=/peers&destination=gateway%3Agw-tinh&why=b%E1%BA%A3o+tr%C3%AC");
    for (action, message) in [("pause", "PauseRequest"), ("resume", "ResumeRequest")] {
        let answer = house.post(&browser, &format!("/destinations/{action}"), &form).await;
        assert_eq!(answer.header("location"), format!("/peers?done={action}"));
        let asked = house.door.asked(message).pop().unwrap().message;
        assert!(asked.contains("gateway:gw-tinh") && asked.contains("bảo trì"), "{asked}");
    }
    let answer = house.post(&browser, "/destinations/ping", &form).await;
    assert!(answer.text.contains("gw-tinh") && answer.text.contains("3,2 ms"), "{}", answer.text);
    assert_eq!(house.post(&browser, "/destinations/explode", &form).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_plan_is_made_from_a_search_approved_by_somebody_else_run_and_stopped() {
    let house = House::new("operator");
    let browser = Browser::known();
    let page = house.get(&browser, "/bulk/new?state=held&reason=TRUST_CHANGED&sender=h99.30.01").await.text;
    assert!(page.contains("name=\"reason\" value=\"TRUST_CHANGED\"") && page.contains("name=\"why\""));
    let token = house.form_token(&browser).await;
    let form =
        format!("form_token={token}&state=held&reason=TRUST_CHANGED&action=release&why=%C4%91%C3%A3+x%C3%A1c+minh");
    let answer = house.post(&browser, "/bulk", &form).await;
    assert_eq!(answer.header("location"), "/bulk/b-20261122-1?done=plan");
    let asked = house.door.asked("PlanBulkRequest")[0].message.clone();
    for text in ["action: Release", "reason: \"đã xác minh\"", "reason: \"TRUST_CHANGED\"", "statuses: [Held]"] {
        assert!(asked.contains(text), "{text} in {asked}");
    }
    let others = house.get(&browser, "/bulk/b-1").await.text;
    assert!(others.contains("action=\"/bulk/b-1/approve\"") && !others.contains("/b-1/run"));
    let own = house.get(&browser, "/bulk/mine").await.text;
    assert!(own.contains("người khác phải duyệt") && !own.contains("/mine/approve"));
    let running = house.get(&browser, "/bulk/running").await.text;
    assert!(
        running.contains("700 / 1.204") && running.contains("/running/stop") && running.contains("STATE_NOT_ALLOWED")
    );
    for (action, message) in [("approve", "ApproveBulkRequest"), ("run", "RunBulkRequest"), ("stop", "StopBulkRequest")]
    {
        let answer = house.post(&browser, &format!("/bulk/b-1/{action}"), &format!("form_token={token}")).await;
        assert_eq!(answer.header("location"), format!("/bulk/b-1?done={action}"));
        assert_eq!(house.door.asked(message).len(), 1);
    }
}
