//! Style, script and icon, compiled in. An address names the content, so that a browser keeps it for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use gateway_model::Digest;

/// One file.
pub(crate) struct Asset {
    /// Its address.
    pub address: String,
    kind: &'static str,
    content: &'static str,
}

/// The look of every page, on screen and on paper.
pub(crate) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("console", "css", "text/css; charset=utf-8", include_str!("assets/console.css")));
/// Refreshes what is shown; nothing needs it.
pub(crate) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("console", "js", "text/javascript; charset=utf-8", include_str!("assets/console.js")));
/// The ladder.
pub(crate) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")));

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, content: &'static str) -> Self {
        let digest = Digest::of(content.as_bytes()).to_string();
        Self { address: format!("/assets/{name}-{}.{ending}", &digest[..16]), kind, content }
    }
}

/// `GET /assets/{name}`.
pub(crate) async fn serve(Path(name): Path<String>) -> Response {
    let assets = [&STYLE, &SCRIPT, &ICON];
    let Some(asset) = assets.into_iter().find(|asset| asset.address.strip_prefix("/assets/") == Some(name.as_str()))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, asset.content).into_response()
}
