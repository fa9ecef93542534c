//! Every route of the sandbox, and the handlers of its own.

use super::convert::{self, Unread};
use super::desk::{Desk, Site};
use super::emulate::emulate;
use super::faults::FaultForm;
use super::hooks::Posted;
use super::page::page;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt;
use std::time::Duration;
use switchboard_channels::kit::emulator::Action;
use tokio::time::{Instant, timeout_at};

/// The largest action or fault; a file that the customer sends is part of its action.
const JSON_BYTES_MAX: usize = 1024 * 1024;

/// How long an action waits for its webhooks unless `?wait=` says otherwise, in seconds.
const WAIT_SECONDS: u64 = 60;

/// The most that `?wait=` may be: all the repetitions of one webhook take about 17 minutes.
const WAIT_SECONDS_MAX: u64 = 1200;

pub(super) fn configure(app: &mut web::ServiceConfig) {
    let faults = only("/{account}/faults", web::get().to(list_faults))
        .route(web::post().to(add_fault))
        .route(web::delete().to(clear_faults));
    app.app_data(web::QueryConfig::default().error_handler(|error, _| {
        Failure::new(400, format!("the query cannot be read: {error}")).into()
    }))
    .service(only("/", web::get().to(page)))
    .service(
        web::scope("/sandbox")
            .wrap(from_fn(refuse_other_sites))
            .service(only("/accounts", web::get().to(accounts)))
            .service(only("/{account}/act", web::post().to(act)))
            .service(only("/{account}/phone", web::get().to(phone)))
            .service(only("/{account}/requests", web::get().to(requests)))
            .service(only("/{account}/reset", web::post().to(reset)))
            .service(faults)
            .default_service(web::to(nothing_here)),
    )
    .default_service(web::to(emulate));
}

/// A path that answers to this method, and says so to others.
fn only(path: &str, route: actix_web::Route) -> actix_web::Resource {
    web::resource(path)
        .route(route)
        .default_service(web::to(wrong_method))
}

/// What is answered instead of what was asked for.
#[derive(Debug)]
pub(super) struct Failure {
    status: u16,
    error: String,
}

impl Failure {
    pub(super) fn new(status: u16, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
        }
    }

    /// 404, naming what there is.
    pub(super) fn no_account(site: &Site, id: &str) -> Self {
        let ids: Vec<&str> = site.desks.iter().map(|desk| desk.id.as_str()).collect();
        Self::new(
            404,
            format!("no account {id:?}; there are: {}", ids.join(", ")),
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code()).json(json!({"ok": false, "error": self.error}))
    }
}

/// Refuses what a page of another site asks for. Browsers say so; other clients say nothing. (A
/// form of another site cannot post JSON, but `reset` has no body and the log can be cleared by a
/// GET.)
async fn refuse_other_sites(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let site = request.headers().get("sec-fetch-site");
    let ours = site.is_none_or(|site| site == "same-origin" || site == "none");
    if !ours {
        return Err(Failure::new(403, "pages of other sites may not ask this").into());
    }
    next.call(request).await
}

async fn nothing_here() -> Result<HttpResponse, Failure> {
    Err(Failure::new(404, "the sandbox has nothing here"))
}

async fn wrong_method() -> Result<HttpResponse, Failure> {
    Err(Failure::new(405, "the sandbox has no such method here"))
}

/// The account that the path names.
fn desk<'a>(site: &'a Site, http: &HttpRequest) -> Result<&'a Desk, Failure> {
    let id = http.match_info().query("account");
    site.desk(id).ok_or_else(|| Failure::no_account(site, id))
}

/// Reads a body that must be JSON and say so: what a plain form of a web page can post is not.
async fn read<T: DeserializeOwned>(
    http: &HttpRequest,
    payload: web::Payload,
) -> Result<T, Failure> {
    if !convert::is_json(http.headers()) {
        return Err(Failure::new(
            415,
            "the content type must be application/json",
        ));
    }
    let body = convert::read_body(http.headers(), payload, JSON_BYTES_MAX)
        .await
        .map_err(|unread| match unread {
            Unread::TooLarge => Failure::new(413, "the body is larger than 1 MiB"),
            Unread::Broken => Failure::new(400, "the body cannot be read"),
        })?;
    serde_json::from_slice(&body).map_err(|e| Failure::new(400, e.to_string()))
}

/// `GET /sandbox/accounts`
async fn accounts(site: web::Data<Site>) -> HttpResponse {
    let shown = |desk: &std::sync::Arc<Desk>| json!({"id": desk.id, "kind": desk.kind, "hooks_waiting": desk.queue.len()});
    HttpResponse::Ok().json(site.desks.iter().map(shown).collect::<Vec<_>>())
}

#[derive(Deserialize)]
struct ActQuery {
    wait: Option<u64>,
}

/// `POST /sandbox/{account}/act`
async fn act(
    site: web::Data<Site>,
    http: HttpRequest,
    query: web::Query<ActQuery>,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let desk = desk(&site, &http)?;
    let action: Action = read(&http, payload).await?;
    let wait = query.wait.unwrap_or(WAIT_SECONDS).min(WAIT_SECONDS_MAX);
    let receivers = desk
        .act(&action)
        .map_err(|cannot| Failure::new(400, cannot.to_string()))?;
    let deadline = Instant::now() + Duration::from_secs(wait);
    let mut posted = Vec::with_capacity(receivers.len());
    let mut pending = 0;
    for receiver in receivers {
        match timeout_at(deadline, receiver).await {
            Ok(Ok(outcome)) => posted.push(outcome),
            // The sender is gone without a word.
            Ok(Err(_)) => posted.push(Posted::dropped()),
            Err(_) => pending += 1,
        }
    }
    Ok(if pending == 0 {
        HttpResponse::Ok().json(json!({"ok": true, "posted": posted}))
    } else {
        HttpResponse::Accepted().json(json!({"ok": true, "posted": posted, "pending": pending}))
    })
}

/// `GET /sandbox/{account}/phone`
async fn phone(site: web::Data<Site>, http: HttpRequest) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(desk(&site, &http)?.phone()))
}

#[derive(Deserialize)]
struct RequestsQuery {
    #[serde(default)]
    after: u64,
    clear: Option<String>,
}

/// `GET /sandbox/{account}/requests`
async fn requests(
    site: web::Data<Site>,
    http: HttpRequest,
    query: web::Query<RequestsQuery>,
) -> Result<HttpResponse, Failure> {
    let Some(log) = &desk(&site, &http)?.log else {
        return Err(Failure::new(409, "the log of requests is switched off"));
    };
    let clear = matches!(query.clear.as_deref(), Some("1" | "true"));
    Ok(HttpResponse::Ok().json(log.list(query.after, clear)))
}

/// `POST /sandbox/{account}/reset`
async fn reset(site: web::Data<Site>, http: HttpRequest) -> Result<HttpResponse, Failure> {
    desk(&site, &http)?.reset();
    Ok(HttpResponse::Ok().json(json!({"ok": true})))
}

/// `GET /sandbox/{account}/faults`
async fn list_faults(site: web::Data<Site>, http: HttpRequest) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(desk(&site, &http)?.faults.list()))
}

/// `POST /sandbox/{account}/faults`
async fn add_fault(
    site: web::Data<Site>,
    http: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let desk = desk(&site, &http)?;
    let form: FaultForm = read(&http, payload).await?;
    let id = desk
        .faults
        .add(form)
        .map_err(|error| Failure::new(400, error))?;
    Ok(HttpResponse::Ok().json(json!({"ok": true, "id": id})))
}

#[derive(Deserialize)]
struct FaultsQuery {
    id: Option<u64>,
}

/// `DELETE /sandbox/{account}/faults`
async fn clear_faults(
    site: web::Data<Site>,
    http: HttpRequest,
    query: web::Query<FaultsQuery>,
) -> Result<HttpResponse, Failure> {
    let cleared = desk(&site, &http)?.faults.clear(query.id);
    Ok(HttpResponse::Ok().json(json!({"ok": true, "cleared": cleared})))
}
