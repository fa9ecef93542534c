//! Kept attachments over HTTP.

use super::{Http, refuse};
use crate::media::BadLink;
use crate::store::at_once;
use crate::store::media_rows;
use crate::webapi::error::{ApiError, Code};
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use std::time::Duration;

/// An attachment that is still being fetched is usually there after so long.
const PENDING: Duration = Duration::from_secs(3);

/// `GET /media/{key}`
pub async fn serve(http: web::Data<Http>, segment: web::Path<String>) -> HttpResponse<BoxBody> {
    let not_found = || refuse(ApiError::new(Code::NotFound, "there is no such attachment"));
    let gone = |text: &'static str| {
        HttpResponse::build(StatusCode::GONE)
            .content_type("text/plain; charset=utf-8")
            .body(text)
    };
    let links = match http.gateway.store.links() {
        Ok(links) => links,
        Err(error) => return refuse(error.into()),
    };
    let key = match links.check(&segment, crate::store::now()) {
        Ok(key) => key,
        Err(BadLink::Wrong) => return not_found(),
        Err(BadLink::Expired) => return gone("this link has expired"),
    };
    let wanted = key.clone();
    let row = http
        .gateway
        .store
        .read(move |tx| at_once(media_rows::by_key(tx, &wanted)))
        .await;
    let row = match row {
        Ok(Some(row)) => row,
        Ok(None) => return not_found(),
        Err(error) => return refuse(error.into()),
    };
    match row.state.as_str() {
        "stored" => {}
        "pending" => {
            let text = "the attachment is still being fetched";
            return refuse(ApiError::unavailable(text, PENDING));
        }
        _ => return gone("the platform did not hand this attachment out"),
    }
    let bytes = match http.gateway.files.get(&key).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!(media.id = row.id, %error, "a kept attachment cannot be read");
            return gone("this attachment is not kept any more");
        }
    };
    // Always a download: what strangers send must not run as a page of ours.
    HttpResponse::Ok()
        .content_type(row.mime.as_deref().unwrap_or("application/octet-stream"))
        .insert_header(("content-disposition", disposition(&row.name)))
        .insert_header(("x-content-type-options", "nosniff"))
        .insert_header(("content-security-policy", "sandbox; default-src 'none'"))
        .insert_header(("cache-control", "private, max-age=86400"))
        .body(bytes)
}

/// `attachment` with the name in both forms of RFC 6266.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && !matches!(c, '"' | '\\') || c == ' ' {
                c
            } else {
                '_'
            }
        })
        .collect();
    let encoded: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    let encoded = encoded.replace('+', "%20");
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::disposition;

    #[test]
    fn names_cannot_break_out_of_the_header() {
        assert_eq!(
            disposition("a \"b\"\r\n.pdf"),
            "attachment; filename=\"a _b___.pdf\"; filename*=UTF-8''a%20%22b%22%0D%0A.pdf"
        );
        assert_eq!(
            disposition("Rechnung ä.pdf"),
            "attachment; filename=\"Rechnung _.pdf\"; filename*=UTF-8''Rechnung%20%C3%A4.pdf"
        );
    }
}
