//! The chat backend: receives events, believes none without its signature, and can have a bad day.

use crate::ports;
use crate::until;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What signs: a Standard Webhooks secret as an operator would write it.
pub const KEY: &str = "whsec_dGVzdGtpdC1iYWNrZW5kLWtleS0zMi1ieXRlcy0h";

/// How the backend feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Takes events.
    Takes,
    /// Answers this status.
    Answers(u16),
    /// Does not answer at all, until the mood changes; then 503.
    Hangs,
}

/// One event as it was posted, taken or not.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `webhook-id`.
    pub id: String,
    /// `function`.
    pub name: String,
    /// `data`.
    pub data: Value,
    /// The whole body.
    pub body: Value,
    /// Whether it was answered with 200.
    pub taken: bool,
}

impl Delivery {
    /// A text out of the data; empty when it is not there.
    pub fn word(&self, name: &str) -> String {
        self.data[name].as_str().unwrap_or_default().to_owned()
    }
}

struct State {
    deliveries: Mutex<Vec<Delivery>>,
    complaints: Mutex<Vec<String>>,
    mood: watch::Sender<Mood>,
}

/// A receiver of events.
pub struct Backend {
    port: u16,
    state: Arc<State>,
    server: Mutex<Option<actix_web::dev::ServerHandle>>,
}

impl Backend {
    /// Starts it on a free port. Must be called inside a tokio runtime.
    pub async fn start() -> Self {
        let state = Arc::new(State {
            deliveries: Mutex::default(),
            complaints: Mutex::default(),
            mood: watch::Sender::new(Mood::Takes),
        });
        let backend = Self {
            port: ports::free(),
            state,
            server: Mutex::new(None),
        };
        backend.listen().await;
        backend
    }

    /// Where events are to be posted.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks/switchboard", self.port)
    }

    /// A link to a file of this name on the backend's own server, which really hands it out.
    pub fn file(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/files/{name}", self.port)
    }

    /// Listens (again) on its port.
    pub async fn listen(&self) {
        let state = web::Data::from(Arc::clone(&self.state));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .app_data(web::PayloadConfig::new(16 << 20))
                .route("/hooks/switchboard", web::post().to(receive))
                .route("/files/{name}", web::get().to(file))
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", self.port))
        .expect("the backend's port")
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        *locked(&self.server) = Some(handle);
    }

    /// Goes away: connections are refused until [`listen`](Self::listen).
    pub async fn leave(&self) {
        let handle = locked(&self.server).take();
        if let Some(handle) = handle {
            handle.stop(false).await;
        }
    }

    /// Changes how it feels.
    pub fn mood(&self, mood: Mood) {
        self.state.mood.send_replace(mood);
    }

    /// Every delivery, in the order in which they came, those included that were not taken.
    pub fn deliveries(&self) -> Vec<Delivery> {
        locked(&self.state.deliveries).clone()
    }

    /// The events that were taken, each once, in the order in which they were taken first.
    pub fn events(&self) -> Vec<Delivery> {
        let mut seen = HashSet::new();
        let taken = self.deliveries().into_iter().filter(|d| d.taken);
        taken.filter(|d| seen.insert(d.id.clone())).collect()
    }

    /// The events of this name.
    pub fn named(&self, name: &str) -> Vec<Delivery> {
        let events = self.events().into_iter();
        events.filter(|e| e.name == name).collect()
    }

    /// The events about this message, `new-conversation-created` not among them.
    pub fn about(&self, message: &str) -> Vec<Delivery> {
        let events = self.events().into_iter();
        events.filter(|e| e.word("message_id") == message).collect()
    }

    /// The statuses that were told of this message, in order.
    pub fn statuses(&self, message: &str) -> Vec<String> {
        let about = self.about(message).into_iter();
        let updates = about.filter(|e| e.name == "message-status-updated");
        updates.map(|e| e.word("status")).collect()
    }

    /// Waits for so many events of this name, and gives all of them.
    pub async fn wait(&self, name: &str, count: usize) -> Vec<Delivery> {
        until(&format!("{count} events {name}"), || async {
            Some(self.named(name)).filter(|events| events.len() >= count)
        })
        .await
    }

    /// Waits until this status of this message was told; gives all that were told.
    pub async fn wait_status(&self, message: &str, status: &str) -> Vec<String> {
        until(&format!("status {status} of message {message}"), || async {
            Some(self.statuses(message)).filter(|told| told.iter().any(|s| s == status))
        })
        .await
    }

    /// What was wrong with deliveries: signatures, envelopes. A world looks at its own backend's when
    /// it is dropped; whoever starts another one looks here.
    pub fn complaints(&self) -> Vec<String> {
        locked(&self.state.complaints).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that agents attach: any name, its type by the extension.
async fn file(name: web::Path<String>) -> HttpResponse {
    let mime = match name.rsplit('.').next() {
        Some("jpg") => "image/jpeg",
        Some("pdf") => "application/pdf",
        _ => "application/octet-stream",
    };
    HttpResponse::Ok()
        .content_type(mime)
        .body(format!("the bytes of {name}"))
}

async fn receive(state: web::Data<State>, http: HttpRequest, body: web::Bytes) -> HttpResponse {
    let parsed: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if let Err(complaint) = check(&http, &body, &parsed) {
        let what = format!("{complaint}: {}", String::from_utf8_lossy(&body));
        locked(&state.complaints).push(what);
    }
    let header = |name: &str| {
        let value = http.headers().get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let mut mood = state.mood.subscribe();
    let now = *mood.borrow_and_update();
    let delivery = Delivery {
        id: header("webhook-id"),
        name: parsed["function"].as_str().unwrap_or_default().to_owned(),
        data: parsed["data"].clone(),
        body: parsed,
        taken: now == Mood::Takes,
    };
    locked(&state.deliveries).push(delivery);
    match now {
        Mood::Takes => HttpResponse::Ok().finish(),
        Mood::Answers(status) => {
            let status = actix_web::http::StatusCode::from_u16(status);
            HttpResponse::build(status.expect("a status")).finish()
        }
        Mood::Hangs => {
            // Fails only when the backend is gone.
            mood.changed().await.ok();
            HttpResponse::ServiceUnavailable().finish()
        }
    }
}

/// The Standard Webhooks signature, computed here and not with the gateway's own code, and the
/// envelope.
fn check(http: &HttpRequest, body: &[u8], parsed: &Value) -> Result<(), String> {
    let header = |name: &str| {
        let value = http.headers().get(name).and_then(|v| v.to_str().ok());
        value.ok_or_else(|| format!("no header {name}"))
    };
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    let secret = KEY.strip_prefix("whsec_").expect("the prefix");
    let secret = STANDARD.decode(secret).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let signatures = header("webhook-signature")?;
    if !signatures.split(' ').any(|s| s == expected) {
        return Err("a wrong signature".to_owned());
    }
    let sent: u64 = timestamp.parse().map_err(|_| "a timestamp".to_owned())?;
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).expect("1970");
    if now.abs_diff(Duration::from_secs(sent)) > Duration::from_secs(300) {
        return Err(format!("the timestamp {sent} is not of now"));
    }
    if parsed["key"] != KEY || !parsed["function"].is_string() || parsed["data"].is_null() {
        return Err("not the envelope".to_owned());
    }
    if !parsed["sender-url"]
        .as_str()
        .is_some_and(|u| u.starts_with("http://127.0.0.1:"))
    {
        return Err("no sender-url".to_owned());
    }
    Ok(())
}
