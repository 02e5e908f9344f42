//! The page and the description of the service: files within the program, without a word to the internet.

use super::service::Service;
use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;

/// The page loads nothing from anywhere else; pictures that it makes itself are `blob:` and `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse + Clone {
    let headers: [(HeaderName, &'static str); 4] = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        // A new version of the program brings its own page.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}

macro_rules! asset {
    ($kind:literal, $name:literal) => {
        get(async || file($kind, include_str!(concat!("../../assets/serve/", $name))))
    };
}

pub fn router() -> Router<Arc<Service>> {
    Router::new()
        .route("/", asset!("text/html; charset=utf-8", "index.html"))
        .route("/page.css", asset!("text/css; charset=utf-8", "page.css"))
        .route("/page.js", asset!("text/javascript; charset=utf-8", "page.js"))
        .route("/words.js", asset!("text/javascript; charset=utf-8", "words.js"))
        .route("/docs", asset!("text/html; charset=utf-8", "docs.html"))
        .route("/docs.js", asset!("text/javascript; charset=utf-8", "docs.js"))
        .route("/openapi.json", asset!("application/json", "openapi.json"))
        .route("/icon.svg", get(async || file("image/svg+xml", include_str!("../../assets/icon/lesionlens.svg"))))
}
