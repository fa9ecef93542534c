//! The page with the emulated phone: one file, without anything from elsewhere.

use actix_web::HttpResponse;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use switchboard_channels::kit::sign;

const PAGE: &str = include_str!("page.html");

/// Allows the page's own script and style, by their hashes, and requests to the sandbox itself.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; connect-src 'self'; img-src data:; script-src 'sha256-{}'; \
         style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash_of("script"),
        hash_of("style"),
    )
});

/// The hash of what stands inside the page's only element of this name.
fn hash_of(element: &str) -> String {
    let inside = PAGE
        .split_once(&format!("<{element}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{element}>")))
        .map_or("", |(inside, _)| inside);
    sign::base64(&Sha256::digest(inside))
}

/// `GET /`
pub(super) async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .append_header(("content-security-policy", POLICY.as_str()))
        .append_header(("x-content-type-options", "nosniff"))
        .append_header(("referrer-policy", "no-referrer"))
        .append_header(("cache-control", "no-cache"))
        .body(PAGE)
}
