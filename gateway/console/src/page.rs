//! The frame around every page: head, navigation, who is signed in, the main region that refreshes itself.

use axum::response::Html;
use gateway_model::Timestamp;
use gateway_model::agency::OperatorRole;
use gateway_model::id::OperatorId;
use gateway_model::language::Language;
use maud::{DOCTYPE, Markup, html};

use crate::assets::{ICON, SCRIPT, STYLE};
use crate::fields::Fields;
use crate::look::{Look, Theme};
use crate::show::icon::{Icon, icon};
use crate::show::text::safe;
use crate::show::time;
use crate::visit::TOKEN_FIELD;
use crate::words::{Word, frame as w};

const PRODUCT: &str = "Liên Thông";
/// What gives a link.
pub(crate) const SIGN_IN_COMMAND: &str = "lienthong console --profile operator.toml";

/// One page without its frame.
pub(crate) struct Page {
    title: String,
    section: Option<Section>,
    live_seconds: Option<u32>,
    printed: bool,
    body: Markup,
}

/// Who reads.
pub(crate) struct Reader {
    /// Operator.
    pub operator: OperatorId,
    /// Role, as far as it is known.
    pub role: Option<OperatorRole>,
    /// Gateway; may be empty.
    pub gateway: String,
    /// Its version; may be empty.
    pub version: String,
    /// Token of forms.
    pub form_token: String,
    /// Whether there is a session to end.
    pub by_session: bool,
    /// When.
    pub now: Timestamp,
}

/// The pages that the navigation names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Section {
    /// What needs a person.
    Stuck,
    /// Incidents.
    Incidents,
    /// Search and timelines.
    Search,
    /// Peers and adapters.
    Peers,
    /// Trust.
    Trust,
    /// Bulk actions.
    Bulk,
    /// Statistics.
    Statistics,
    /// Audit.
    Audit,
    /// Health.
    Health,
}

impl Section {
    const ALL: [Self; 9] = [
        Self::Stuck,
        Self::Search,
        Self::Incidents,
        Self::Peers,
        Self::Trust,
        Self::Bulk,
        Self::Statistics,
        Self::Audit,
        Self::Health,
    ];

    fn place(self) -> (&'static str, Word, Icon) {
        match self {
            Self::Stuck => ("/", w::STUCK, Icon::Stuck),
            Self::Incidents => ("/incidents", w::INCIDENTS, Icon::Bell),
            Self::Search => ("/search", w::SEARCH, Icon::Search),
            Self::Peers => ("/peers", w::PEERS, Icon::Ladder),
            Self::Trust => ("/trust", w::TRUST, Icon::Shield),
            Self::Bulk => ("/bulk", w::BULK, Icon::Layers),
            Self::Statistics => ("/statistics", w::STATISTICS, Icon::Chart),
            Self::Audit => ("/audit", w::AUDIT, Icon::Book),
            Self::Health => ("/health", w::HEALTH, Icon::Pulse),
        }
    }
}

impl Page {
    /// An empty page.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), section: None, live_seconds: None, printed: false, body: Markup::default() }
    }

    /// The place in the navigation.
    pub(crate) fn section(self, section: Section) -> Self {
        Self { section: Some(section), ..self }
    }

    /// Refreshes itself every few seconds while somebody looks.
    pub(crate) fn live(self, seconds: u32) -> Self {
        Self { live_seconds: Some(seconds), ..self }
    }

    /// Made for paper, and in Vietnamese whatever the reader's language.
    pub(crate) fn printed(self) -> Self {
        Self { printed: true, ..self }
    }

    /// What stands on it.
    pub(crate) fn body(self, body: Markup) -> Self {
        Self { body, ..self }
    }
}

/// The whole document.
pub(crate) fn render(look: &Look, reader: Option<&Reader>, page: &Page) -> Html<String> {
    let l = look.language;
    let theme = (look.theme != Theme::Automatic).then(|| look.theme.as_str());
    let document = html! {
        (DOCTYPE)
        html lang=(l.tag()) data-theme=[theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) " · " (PRODUCT) }
                link rel="stylesheet" href=(STYLE.address);
                link rel="icon" href=(ICON.address) type="image/svg+xml";
                script src=(SCRIPT.address) defer {}
            }
            body.printed[page.printed] {
                a.skip href="#main" { (w::SKIP.of(l)) }
                (header(look, reader))
                div.columns {
                    @if reader.is_some() { (navigation(l, page.section)) }
                    main #main tabindex="-1" data-live=[page.live_seconds]
                        data-changed=(w::LIVE_CHANGED.of(l)) data-lost=(w::LIVE_LOST.of(l))
                        data-signed-out=(w::LIVE_SIGNED_OUT.of(l)) {
                        (page.body)
                    }
                }
                (footer(l, reader, page))
            }
        }
    };
    Html(document.into_string())
}

fn header(look: &Look, reader: Option<&Reader>) -> Markup {
    let l = look.language;
    html! {
        header.top {
            a.brand href="/" {
                (icon(Icon::Ladder)) " "
                span { b { (PRODUCT) } " " small { (w::CONSOLE.of(l)) } }
            }
            @if let Some(reader) = reader {
                form.find role="search" method="get" action="/search" {
                    label.unseen for="find" { (w::SEARCH_LABEL.of(l)) }
                    input #find type="search" name="q" maxlength="200" placeholder=(w::SEARCH_LABEL.of(l)) autocomplete="off" spellcheck="false";
                    button type="submit" { (icon(Icon::Search)) span.unseen { (w::SEARCH_BUTTON.of(l)) } }
                }
                @if !reader.gateway.is_empty() {
                    span.gateway { (safe(&reader.gateway)) }
                }
            }
            (settings(look))
            @if let Some(reader) = reader { (person(l, reader)) }
        }
    }
}

/// Language and theme: buttons of a form, so that they work without a script.
fn settings(look: &Look) -> Markup {
    let l = look.language;
    html! {
        form.settings method="post" action="/preferences" {
            input type="hidden" name="back" value=(without_language(&look.place));
            fieldset {
                legend.unseen { (w::LANGUAGE.of(l)) }
                @for (language, name, label) in [(Language::Vi, "Tiếng Việt", "VI"), (Language::En, "English", "EN")] {
                    button type="submit" name="lang" value=(language.tag()) lang=(language.tag()) title=(name)
                        aria-label=(name) aria-pressed=(pressed(l == language)) { (label) }
                }
            }
            fieldset {
                legend.unseen { (w::THEME.of(l)) }
                @for theme in Theme::ALL {
                    @let (word, shape) = theme_words(theme);
                    button type="submit" name="theme" value=(theme.as_str()) title=(word.of(l)) aria-label=(word.of(l))
                        aria-pressed=(pressed(look.theme == theme)) { (icon(shape)) }
                }
            }
        }
    }
}

fn person(l: Language, reader: &Reader) -> Markup {
    html! {
        div.person {
            span.unseen { (w::SIGNED_IN_AS.of(l)) " " }
            b { (safe(reader.operator.as_str())) }
            small { (role(reader.role).of(l)) }
            @if reader.by_session {
                form method="post" action="/sign-out" {
                    input type="hidden" name=(TOKEN_FIELD) value=(reader.form_token);
                    button.plain type="submit" { (w::SIGN_OUT.of(l)) }
                }
            }
        }
    }
}

fn navigation(l: Language, here: Option<Section>) -> Markup {
    html! {
        nav.sections aria-label=(w::NAVIGATION.of(l)) {
            ul {
                @for section in Section::ALL {
                    @let (place, word, shape) = section.place();
                    li {
                        a href=(place) aria-current=[(here == Some(section)).then_some("page")] {
                            (icon(shape)) span { (word.of(l)) }
                        }
                    }
                }
            }
        }
    }
}

fn footer(l: Language, reader: Option<&Reader>, page: &Page) -> Markup {
    html! {
        footer.bottom {
            @if let Some(reader) = reader {
                span { (w::AT.of(l)) " " span #now { (time::moment_of(reader.now, l)) } " · " (w::TIME_ZONE.of(l)) }
                @if page.live_seconds.is_some() {
                    span.live { (icon(Icon::Live)) " " (w::LIVE.of(l)) }
                }
                @if !reader.version.is_empty() {
                    span { (w::VERSION.of(l)) " " (safe(&reader.version)) }
                }
            }
            // What the script says to a reader who does not see the page; polite, and only when something has changed.
            span.unseen #said role="status" aria-live="polite" {}
            span.lost #lost hidden {}
        }
    }
}

/// The page for somebody who is not signed in.
pub(crate) fn sign_in_needed(l: Language) -> Page {
    Page::new(w::SIGN_IN_NEEDED.of(l)).body(html! {
        section.card.narrow {
            h1 { (w::SIGN_IN_NEEDED.of(l)) }
            p { (w::SIGN_IN_HOW.of(l)) }
            pre { code { (SIGN_IN_COMMAND) } }
            p { (w::SIGN_IN_COMMAND.of(l)) }
            p.quiet { (w::SIGN_IN_BOUNDS.of(l)) }
        }
    })
}

fn role(role: Option<OperatorRole>) -> Word {
    match role {
        Some(OperatorRole::Viewer) => w::ROLE_VIEWER,
        Some(OperatorRole::Operator) => w::ROLE_OPERATOR,
        Some(OperatorRole::TrustOfficer) => w::ROLE_TRUST_OFFICER,
        None => w::ROLE_UNKNOWN,
    }
}

fn theme_words(theme: Theme) -> (Word, Icon) {
    match theme {
        Theme::Automatic => (w::THEME_AUTO, Icon::HalfMoon),
        Theme::Light => (w::THEME_LIGHT, Icon::Sun),
        Theme::Dark => (w::THEME_DARK, Icon::Moon),
    }
}

fn pressed(pressed: bool) -> &'static str {
    if pressed { "true" } else { "false" }
}

/// The same page without a language in its address, so that the choice counts.
fn without_language(place: &str) -> String {
    match place.split_once('?') {
        Some((path, query)) => Fields::read(query.as_bytes()).without("lang").address(path),
        None => place.to_owned(),
    }
}
