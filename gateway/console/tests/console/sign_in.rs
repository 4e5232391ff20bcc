//! Who gets in: by certificate or by a link that works once; and how a session ends.

use axum::http::StatusCode;
use gateway_console::sign_in_path;

use crate::house::{Answer, Browser, CERTIFICATE, House, operator};

fn session(answer: &Answer) -> Browser {
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    Browser { cookie, ..Browser::default() }
}

#[tokio::test]
async fn nobody_sees_anything_without_signing_in() {
    let house = House::new("operator");
    let strange = Browser { certificate: Some(gateway_model::Digest([1; 32])), ..Browser::default() };
    let forged = Browser { cookie: format!("__Host-lienthong-session={}", "a".repeat(64)), ..Browser::default() };
    for browser in [Browser::default(), strange, forged] {
        for place in ["/", "/search?q=x", "/timeline?file_code=x", "/statistics.csv", "/bulk/new", "/health"] {
            let answer = house.get(&browser, place).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{place}");
            assert!(answer.text.contains("Cần đăng nhập") && !answer.text.contains("gw-huyen-30"), "{place}");
        }
        let answer = house.post(&browser, "/deliveries/x/retry", "why=x").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    assert!(house.door.asked("GetStatusRequest").is_empty(), "the door was never asked");
    let known = Browser { certificate: Some(CERTIFICATE), ..Browser::default() };
    assert_eq!(house.get(&known, "/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_link_is_redeemed_by_its_button_once_and_by_no_prefetch() {
    let house = House::new("operator");
    let link = house.sessions.link(&operator("op-minh"), house.now());
    let place = sign_in_path(&link.token);
    for _ in 0..3 {
        let page = house.get(&Browser::default(), &place).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(
            page.header("set-cookie").is_empty()
                && page.text.contains(&format!("name=\"token\" value=\"{}\"", link.token))
        );
    }
    let form = format!("token={}", link.token);
    let foreign = house.post(&Browser::default().with("sec-fetch-site", "cross-site"), "/sign-in", &form).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN, "nobody signs somebody else in");
    let answer = house.post(&Browser::default(), "/sign-in", &form).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/"));
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-lienthong-session="));
    for rule in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict", "; Max-Age=28800"] {
        assert!(cookie.contains(rule), "{rule} in {cookie}");
    }
    assert!(!cookie.contains(&link.token) && !cookie.contains("Domain"));
    let page = house.get(&session(&answer), "/").await;
    assert!(page.status == StatusCode::OK && page.text.contains("op-minh"));
    assert_eq!(house.door.asked("ListStuckRequest")[0].operator, "op-minh");
    let again = house.post(&Browser::default(), "/sign-in", &form).await;
    assert_eq!(again.status, StatusCode::GONE);
    assert!(again.header("set-cookie").is_empty() && again.text.contains("không còn dùng được"));
    assert_eq!(house.get(&Browser::default(), &place).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn a_link_is_over_after_two_minutes() {
    let house = House::new("operator");
    let link = house.sessions.link(&operator("op-minh"), house.now());
    house.wait(120);
    assert_eq!(house.get(&Browser::default(), &sign_in_path(&link.token)).await.status, StatusCode::GONE);
    assert_eq!(
        house.post(&Browser::default(), "/sign-in", &format!("token={}", link.token)).await.status,
        StatusCode::GONE
    );
}

#[tokio::test]
async fn a_sign_in_that_cannot_be_written_down_does_not_begin() {
    let house = House::new("operator");
    let link = house.sessions.link(&operator("op-gone"), house.now());
    let answer = house.post(&Browser::default(), "/sign-in", &format!("token={}", link.token)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.header("set-cookie").is_empty() && answer.text.contains("HOP_UNKNOWN"));
}

#[tokio::test]
async fn a_session_ends_when_idle_even_while_its_page_refreshes_itself() {
    let house = House::new("operator");
    let cookie = house.sessions.open(&operator("op-minh"), house.now());
    let browser = Browser { cookie: format!("__Host-lienthong-session={cookie}"), ..Browser::default() };
    let refresh = browser.clone().with("x-lienthong-refresh", "1");
    for _ in 0..5 {
        house.wait(300);
        assert_eq!(house.get(&refresh, "/").await.status, StatusCode::OK);
    }
    assert_eq!(house.get(&browser, "/").await.status, StatusCode::OK, "after 25 minutes, by a person");
    for _ in 0..5 {
        house.wait(300);
        assert_eq!(house.get(&refresh, "/").await.status, StatusCode::OK);
    }
    house.wait(300);
    assert_eq!(house.get(&refresh, "/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn signing_out_ends_the_session_and_needs_its_form() {
    let house = House::new("operator");
    let cookie = house.sessions.open(&operator("op-minh"), house.now());
    let browser = Browser { cookie: format!("__Host-lienthong-session={cookie}"), ..Browser::default() };
    assert_eq!(house.post(&browser, "/sign-out", "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(house.get(&browser, "/").await.status, StatusCode::OK);
    let token = house.form_token(&browser).await;
    let answer = house.post(&browser, "/sign-out", &format!("form_token={token}")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.header("set-cookie").contains("Max-Age=0") && answer.text.contains("Đã đăng xuất"));
    assert_eq!(house.get(&browser, "/").await.status, StatusCode::UNAUTHORIZED);
    let certificate = house.get(&Browser::known(), "/").await.text;
    assert!(!certificate.contains("action=\"/sign-out\""), "a certificate cannot be signed out");
}

#[tokio::test]
async fn language_and_theme_are_kept_in_cookies_and_need_one_of_our_own_pages() {
    let house = House::new("viewer");
    let browser = Browser::known();
    let answer = house.post(&browser, "/preferences", "lang=en&back=%2Fsearch%3Fq%3Dx").await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/search?q=x"));
    assert!(answer.header("set-cookie").starts_with("__Host-lienthong-language=en; Path=/"));
    let answer = house.post(&browser, "/preferences", "theme=dark&back=//evil.example").await;
    assert_eq!(answer.header("location"), "/");
    let page = house.get(&Browser { cookie: session(&answer).cookie, ..browser.clone() }, "/").await.text;
    assert!(page.contains("data-theme=\"dark\"") && page.contains("lang=\"vi\""));
    let answer = house.post(&browser, "/preferences", "theme=%3Cscript%3E&lang=xx").await;
    assert!(answer.header("set-cookie").is_empty());
    let answer = house.post(&browser.clone().with("sec-fetch-site", "cross-site"), "/preferences", "lang=en").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let page = house.get(&browser, "/?lang=en").await.text;
    assert!(
        page.contains("<html lang=\"en\"") && page.contains("name=\"back\" value=\"/\""),
        "the choice is not overruled by the address"
    );
}
