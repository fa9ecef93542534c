//! Requests to the emulated platforms.

use super::convert::{self, Unread};
use super::desk::{Desk, Site, now};
use super::faults::Fault;
use super::log::Outcome;
use super::routes::Failure;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use std::time::Duration;
use switchboard_channels::kit::http::{Request, Response};
use switchboard_channels::model::Millis;

/// The largest body: uploads go up to 50 MB on the platforms that we have.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// `ANY /{account}/{path…}`
pub(super) async fn emulate(
    site: web::Data<Site>,
    http: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let received_at = now();
    // The raw path, byte for byte: platforms sign it, and secrets in it may be encoded.
    let whole = http.uri().path_and_query().map_or("/", |p| p.as_str());
    let inside = whole.strip_prefix('/').unwrap_or(whole);
    let (id, path) = inside.split_at(inside.find(['/', '?']).unwrap_or(inside.len()));
    let desk = site
        .desk(id)
        .ok_or_else(|| Failure::no_account(&site, id))?;
    let Some(method) = convert::method(http.method()) else {
        return Err(Failure::new(405, "no platform uses this method"));
    };
    let body = convert::read_body(http.headers(), payload, BODY_BYTES_MAX)
        .await
        .map_err(|unread| match unread {
            Unread::TooLarge => Failure::new(413, "the body is larger than 64 MiB"),
            Unread::Broken => Failure::new(400, "the body cannot be read"),
        })?;
    let url = format!("{}{whole}", site.base_url);
    let request = convert::request(method, url, http.headers(), body).await;
    let call = Call {
        desk,
        path,
        request,
        received_at,
    };
    Ok(call.answer().await)
}

/// A request on its way through an account.
struct Call<'a> {
    desk: &'a Desk,
    /// The platform's own path, with the query.
    path: &'a str,
    request: Request,
    received_at: Millis,
}

impl Call<'_> {
    async fn answer(self) -> HttpResponse {
        let Some(fault) = self.desk.faults.hit(self.path, &self.request.body) else {
            let response = self.desk.handle(&self.request);
            self.log(Some(response.status), Some(response.status), None);
            return convert::answer(response);
        };
        let name = Some(fault.name());
        match fault {
            Fault::RateLimit { retry_after } => {
                self.log(Some(429), None, name);
                convert::answer(limited(retry_after))
            }
            Fault::Error { status, body } => {
                self.log(Some(status), None, name);
                convert::answer(failed(status, body))
            }
            Fault::Hang { seconds } => {
                self.log(None, None, name);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                convert::cut()
            }
            Fault::Reset => {
                let response = self.desk.handle(&self.request);
                self.log(None, Some(response.status), name);
                convert::cut()
            }
            Fault::Delay { ms } => {
                let response = self.desk.handle(&self.request);
                self.log(Some(response.status), Some(response.status), name);
                tokio::time::sleep(Duration::from_millis(ms)).await;
                convert::answer(response)
            }
        }
    }

    fn log(self, status: Option<u16>, platform_status: Option<u16>, fault: Option<&'static str>) {
        if let Some(log) = &self.desk.log {
            let outcome = Outcome {
                status,
                platform_status,
                fault,
            };
            log.push(self.path, self.request, self.received_at, outcome);
        }
    }
}

/// In Telegram's words, which say it all: the other platforms' say less.
fn limited(retry_after: u64) -> Response {
    let body = json!({
        "ok": false,
        "error_code": 429,
        "description": format!("Too Many Requests: retry after {retry_after}"),
        "parameters": {"retry_after": retry_after},
    });
    Response::json(429, body.to_string()).with_header("retry-after", retry_after.to_string())
}

fn failed(status: u16, body: Option<String>) -> Response {
    let body = body.unwrap_or_else(|| {
        let known = actix_web::http::StatusCode::from_u16(status).ok();
        let words = known.and_then(|s| s.canonical_reason());
        json!({
            "ok": false,
            "error_code": status,
            "description": words.unwrap_or("an error that was asked for"),
        })
        .to_string()
    });
    Response::json(status, body)
}
