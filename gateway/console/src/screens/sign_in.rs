//! Signing in by a one-time link, signing out, and the reader's choice of language and theme.

use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gateway_model::language::Language;
use maud::html;
use proto::v1::operate_service_server::OperateService;

use crate::fault::{self, Fault};
use crate::fields::Fields;
use crate::guard::{self, Unread};
use crate::look::{self, LANGUAGE_COOKIE, Look, THEME_COOKIE, Theme};
use crate::page::{self, Page};
use crate::sessions::SESSION_TIME;
use crate::visit::{Form, SESSION_COOKIE};
use crate::words::frame as w;
use crate::{Caller, Console, SignedIn};

/// How long a browser remembers language and theme: a year, in seconds.
const CHOICE_SECONDS: u64 = 365 * 24 * 3600;

/// `GET /sign-in?token=…`: shows a button and spends nothing, so that a program which fetches links ahead does no harm.
pub(crate) async fn show<D: OperateService>(State(console): State<Console<D>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let look = Look::of(&parts, console.parts.language);
    let query = Fields::read(parts.uri.query().unwrap_or_default().as_bytes());
    let token = query.first("token");
    let open = console.parts.sessions.is_open(token, (console.parts.clock)());
    let page = match (token.is_empty(), open) {
        (true, _) => page::sign_in_needed(look.language),
        (false, true) => button(token, look.language),
        (false, false) => over(look.language),
    };
    let status = if open || token.is_empty() { StatusCode::OK } else { StatusCode::GONE };
    // The token does not travel on in the forms of the frame.
    let look = Look { place: "/".to_owned(), ..look };
    (status, page::render(&look, None, &page)).into_response()
}

/// `POST /sign-in`: spends the link and begins a session.
///
/// # Cancellation
/// The link may be spent; nobody is signed in.
pub(crate) async fn redeem<D: OperateService>(
    State(console): State<Console<D>>,
    request: Request,
) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    let look = Look { place: "/".to_owned(), ..Look::of(&parts, console.parts.language) };
    let fields = match guard::form(&parts, body).await {
        Ok(bytes) => Fields::read(&bytes),
        Err(unread) => return Err(refuse(&look, unread)),
    };
    let now = (console.parts.clock)();
    let operator = console.parts.sessions.spend(fields.first("token"), now);
    let (Some(operator), Some(caller)) = (operator, parts.extensions.get::<Caller>()) else {
        return Err(Fault::new((StatusCode::GONE, page::render(&look, None, &over(look.language))).into_response()));
    };
    let signed_in = SignedIn { operator, language: look.language, address: caller.address };
    if let Err(status) = console.parts.people.signed_in(&signed_in).await {
        let page = page::render(&look, None, &fault::refusal(look.language, &status));
        return Err(Fault::new((fault::http_status(&status), page).into_response()));
    }
    let cookie = console.parts.sessions.open(&signed_in.operator, now);
    Ok(with_cookie(see("/"), SESSION_COOKIE, &cookie, SESSION_TIME.as_secs()))
}

/// `POST /sign-out`.
pub(crate) async fn sign_out<D: OperateService>(
    State(console): State<Console<D>>,
    request: Request,
) -> Result<Response, Fault> {
    let cookie = look::cookie(request.headers(), SESSION_COOKIE).to_owned();
    let form = Form::<D>::from_request(request, &console).await?;
    console.parts.sessions.sign_out(&cookie, form.visit.now);
    let l = form.visit.look.language;
    let page = Page::new(w::SIGNED_OUT.of(l)).body(html! {
        section.card.narrow { h1 { (w::SIGNED_OUT.of(l)) } p { (w::SIGNED_OUT_TEXT.of(l)) } }
    });
    let look = Look { place: "/".to_owned(), ..form.visit.look };
    Ok(with_cookie(page::render(&look, None, &page).into_response(), SESSION_COOKIE, "", 0))
}

/// `POST /preferences`: keeps language or theme in a cookie. Needs nobody to be signed in, but one of our own pages.
pub(crate) async fn preferences<D: OperateService>(
    State(console): State<Console<D>>,
    request: Request,
) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    let look = Look::of(&parts, console.parts.language);
    let fields = match guard::form(&parts, body).await {
        Ok(bytes) => Fields::read(&bytes),
        Err(unread) => return Err(refuse(&look, unread)),
    };
    let mut answer = see(look::local(fields.first("back")));
    if let Some(language) = look::language(fields.first("lang")) {
        answer = with_cookie(answer, LANGUAGE_COOKIE, language.tag(), CHOICE_SECONDS);
    }
    if let Some(theme) = Theme::parse(fields.first("theme")) {
        answer = with_cookie(answer, THEME_COOKIE, theme.as_str(), CHOICE_SECONDS);
    }
    Ok(answer)
}

/// Goes on to a page by GET.
pub(crate) fn see(place: &str) -> Response {
    let place = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

fn refuse(look: &Look, unread: Unread) -> Fault {
    let (status, page) = fault::unread(look.language, unread);
    Fault::new((status, page::render(look, None, &page)).into_response())
}

fn button(token: &str, l: Language) -> Page {
    Page::new(w::LINK_TITLE.of(l)).body(html! {
        section.card.narrow {
            h1 { (w::LINK_TITLE.of(l)) }
            p { (w::LINK_TEXT.of(l)) }
            form method="post" action="/sign-in" {
                input type="hidden" name="token" value=(token);
                button.strong type="submit" { (w::LINK_BUTTON.of(l)) }
            }
            p.quiet { (w::SIGN_IN_BOUNDS.of(l)) }
        }
    })
}

fn over(l: Language) -> Page {
    Page::new(w::LINK_OVER.of(l)).body(html! {
        section.card.narrow { h1 { (w::LINK_OVER.of(l)) } p { (w::LINK_OVER_TEXT.of(l)) } pre { code { (page::SIGN_IN_COMMAND) } } }
    })
}

/// `value` is ours: hexadecimal digits or one of our names.
fn with_cookie(mut answer: Response, name: &str, value: &str, seconds: u64) -> Response {
    let line = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Strict");
    if let Ok(line) = HeaderValue::from_str(&line) {
        answer.headers_mut().append(header::SET_COOKIE, line);
    }
    answer
}
