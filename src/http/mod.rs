//! What listens. Handlers translate between HTTP and the service; they decide nothing.

mod admin;
mod api;
mod health;
mod media;
mod routes;
mod webhooks;

use crate::gateway::Gateway;
use crate::telemetry::Metrics;
use crate::webapi::dispatch::{Answer, Api};
use crate::webapi::error::{ApiError, Code};
use actix_web::body::BoxBody;
use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, RETRY_AFTER};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A client that sends its headers slower than this is cut off.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are kept longer than proxies keep theirs (60 s), so that the proxy closes first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Workers of the HTTP server: its handlers wait for the store, they do not compute.
const WORKERS_MAX: usize = 8;

/// Everything that handlers need.
#[derive(Clone)]
pub struct Http {
    /// The Web API.
    pub api: Arc<Api>,
    /// The service.
    pub gateway: Arc<Gateway>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Which routes there are.
    pub serves: Serves,
}

/// What a process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// All of it: the role `api`.
    Everything,
    /// Health and metrics alone: the other roles, which are watched the same way.
    Health,
}

impl Http {
    /// Starts to listen; nothing is served until the server is awaited.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(self, listen: SocketAddr) -> std::io::Result<Server> {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let serves = self.serves;
        let data = web::Data::new(self);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .configure(|app| routes::configure(app, serves))
        })
        .workers(workers.min(WORKERS_MAX))
        .client_request_timeout(HEADERS_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .disable_signals()
        .bind(listen)?;
        Ok(server.run())
    }
}

/// Reads a body up to the configured size.
async fn body(http: &Http, payload: &mut web::Payload) -> Result<Bytes, ApiError> {
    let most = http.gateway.limits.body_limit_bytes;
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|e| ApiError::invalid(format!("the body could not be read: {e}")))?;
        if body.len() + chunk.len() > most {
            let text = format!("the body has more than {most} bytes");
            return Err(ApiError::new(Code::PayloadTooLarge, text));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// A header as text.
fn header<'r>(headers: &'r HeaderMap, name: &str) -> Option<&'r str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// An answer of the Web API as HTTP has it.
fn respond(answer: &Answer) -> HttpResponse<BoxBody> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if let Some(seconds) = answer.retry_after {
        response.insert_header((RETRY_AFTER, seconds.to_string()));
    }
    response.json(&answer.body)
}

/// An error in the Web API's envelope.
fn refuse(error: ApiError) -> HttpResponse<BoxBody> {
    respond(&Answer::from(Err(error)))
}

/// A path or method that nobody serves.
async fn not_found(request: HttpRequest) -> HttpResponse<BoxBody> {
    refuse(ApiError::new(
        Code::NotFound,
        format!("there is nothing at {}", request.path()),
    ))
}

async fn method_not_allowed(request: HttpRequest) -> HttpResponse<BoxBody> {
    let text = format!("{} is not served at {}", request.method(), request.path());
    refuse(ApiError::new(Code::MethodNotAllowed, text))
}
