//! The emulator: X's API v2 with one account, and its customers.
//!
//! Strict as X is: every OAuth 1.0a signature is computed again from the request as it arrived, with
//! its nonce and timestamp; unknown fields, text lengths, media categories and sizes, unknown and
//! blocking people, the day's 1440 messages. Webhooks are those of the X Activity API. Unlike X it
//! does not enforce the window of 15 messages in 15 minutes, which the lane's own pacing keeps.

mod auth;
mod customer;
mod methods;
#[cfg(test)]
mod tests;
mod upload;

use super::config::{API_BASE, Settings};
use super::parse::{SNOWFLAKE_EPOCH_MS, SNOWFLAKE_LOW_BITS};
use super::verify::{SIGNATURE_HEADER, sign};
use crate::kit::emulator::{
    Action, CannotAct, Emulator, Exchange, Hook, PHONE_LINES_MAX, PhoneLine,
};
use crate::kit::http::{Request, Response};
use crate::kit::settings::Common;
use crate::model::Millis;
use auth::Nonces;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use upload::Uploaded;

/// The customer who is there from the start.
const CUSTOMER: &str = "1500000000000000002";

/// Files that are kept.
const FILES_MAX: usize = 200;

/// People of whom a phone is kept.
const CUSTOMERS_MAX: usize = 1000;

/// What X says when it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    status: u16,
    title: &'static str,
    detail: String,
    kind: &'static str,
    headers: Vec<(&'static str, String)>,
}

impl Failure {
    fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            title,
            detail: detail.into(),
            kind: "about:blank",
            headers: Vec::new(),
        }
    }

    /// What was asked for is malformed.
    fn invalid(detail: impl Into<String>) -> Self {
        Self {
            kind: "https://api.x.com/2/problems/invalid-request",
            ..Self::new(400, "Invalid Request", detail)
        }
    }

    fn response(&self) -> Response {
        let body = json!({
            "title": self.title, "detail": self.detail, "type": self.kind, "status": self.status,
        });
        let mut response = Response::json(self.status, body.to_string());
        for (name, value) in &self.headers {
            response = response.with_header(name, value.clone());
        }
        response
    }
}

/// A person.
#[derive(Debug, Clone)]
struct Customer {
    name: String,
    username: String,
    blocked: bool,
}

/// A message in a conversation.
#[derive(Debug, Clone)]
struct Stored {
    customer: String,
    id: i64,
    from_us: bool,
    text: String,
    /// The attachment, in the shape of the webhook.
    attachment: Option<Value>,
    read: bool,
    at: Millis,
}

/// A file that somebody sent.
#[derive(Debug, Clone)]
struct StoredFile {
    path: String,
    mime: String,
    bytes: Bytes,
}

/// One account and its customers.
#[derive(Debug)]
pub struct Sandbox {
    base: String,
    settings: Settings,
    hook_url: String,
    nonces: Nonces,
    customers: BTreeMap<String, Customer>,
    messages: VecDeque<Stored>,
    files: VecDeque<StoredFile>,
    uploads: BTreeMap<i64, Uploaded>,
    /// Messages of this day, and when it began.
    day: (Millis, u32),
    /// The last id that was given; 0: none yet.
    last_id: i64,
}

impl Sandbox {
    /// A fresh platform on which this account lives, its events subscribed.
    pub fn new(common: &Common, settings: &Settings) -> Self {
        let mut sandbox = Self {
            base: common.api_base(API_BASE),
            settings: settings.clone(),
            hook_url: common.webhook_url.clone(),
            nonces: Nonces::default(),
            customers: BTreeMap::new(),
            messages: VecDeque::new(),
            files: VecDeque::new(),
            uploads: BTreeMap::new(),
            day: (Millis(0), 0),
            last_id: 0,
        };
        sandbox.reset();
        sandbox
    }

    /// An id that was not given before: the time and a count, as X makes them, so that an emulator
    /// that was started again does not repeat ids that a gateway remembers.
    fn next_id(&mut self, now: Millis) -> i64 {
        let since = now.0.saturating_sub(SNOWFLAKE_EPOCH_MS).max(1);
        let from_time = since.saturating_mul(1 << SNOWFLAKE_LOW_BITS);
        self.last_id = from_time.max(self.last_id.saturating_add(1));
        self.last_id
    }

    /// Keeps a message.
    fn keep(&mut self, stored: Stored) {
        self.messages.push_back(stored);
        while self.messages.len() > PHONE_LINES_MAX {
            self.messages.pop_front();
        }
    }

    /// Keeps a file and gives back its link.
    fn keep_file(&mut self, mime: &str, extension: &str, bytes: Bytes, now: Millis) -> String {
        let (message, media) = (self.next_id(now), self.next_id(now));
        let path = format!("/1.1/ton/data/dm/{message}/{media}/sandbox.{extension}");
        let link = format!("{}{path}", self.base);
        self.files.push_back(StoredFile {
            path,
            mime: mime.to_owned(),
            bytes,
        });
        while self.files.len() > FILES_MAX {
            self.files.pop_front();
        }
        link
    }

    /// A person as webhooks and answers describe them.
    fn person(&self, id: &str) -> Value {
        if id == self.settings.user_id {
            return json!({"id": id, "name": "Sandbox", "username": "sandbox"});
        }
        let customer = self.customers.get(id);
        json!({
            "id": id,
            "name": customer.map(|c| c.name.as_str()).unwrap_or_default(),
            "username": customer.map(|c| c.username.as_str()).unwrap_or_default(),
            "profile_image_url": "https://pbs.twimg.com/profile_images/1/sandbox_normal.jpg",
        })
    }

    /// An event on its way to the gateway.
    fn event(&mut self, kind: &str, payload: &Value, now: Millis) -> Hook {
        let event = json!({"data": {
            "event_uuid": self.next_id(now).to_string(),
            "filter": {"user_id": self.settings.user_id},
            "event_type": kind,
            "tag": "sandbox",
            "payload": payload,
        }});
        let body = event.to_string();
        let signature = sign(&self.settings, body.as_bytes());
        let request = Request::post_json(&self.hook_url, body);
        Hook::now(request.with_header(SIGNATURE_HEADER, signature))
    }

    /// The event of a message.
    fn message_event(&mut self, stored: &Stored, now: Millis) -> Hook {
        let (customer, ours) = (stored.customer.clone(), self.settings.user_id.clone());
        let (from, to) = if stored.from_us {
            (&ours, &customer)
        } else {
            (&customer, &ours)
        };
        // X escapes texts, and lets a shortened link stand for the attachment.
        let mut text = escape(&stored.text);
        let tail = stored.attachment.as_ref().and_then(|a| a.pointer("/media/url")?.as_str());
        if let Some(tail) = tail {
            text = format!("{text} {tail}").trim_start().to_owned();
        }
        let mut data = json!({
            "text": text,
            "entities": {"hashtags": [], "symbols": [], "user_mentions": [], "urls": []},
        });
        if let (Some(data), Some(attachment)) = (data.as_object_mut(), &stored.attachment) {
            data.insert("attachment".into(), attachment.clone());
        }
        let payload = json!({
            "direct_message_events": [{
                "type": "message_create",
                "id": stored.id.to_string(),
                "created_timestamp": now.0.to_string(),
                "message_create": {
                    "target": {"recipient_id": to}, "sender_id": from, "message_data": data,
                },
            }],
            "users": {
                customer.clone(): {"data": self.person(&customer)},
                ours.clone(): {"data": self.person(&ours)},
            },
        });
        let kind = if stored.from_us { "dm.sent" } else { "dm.received" };
        self.event(kind, &payload, now)
    }

    /// What follows the API's root in this request's URL, without the query.
    fn path(&self, request: &Request) -> String {
        let rest = request.url.strip_prefix(&self.base).map(str::to_owned);
        let rest = rest.unwrap_or_else(|| {
            let url = url::Url::parse(&request.url).ok();
            url.map(|url| url.path().to_owned()).unwrap_or_default()
        });
        rest.split(['?', '#']).next().unwrap_or_default().to_owned()
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Emulator for Sandbox {
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange {
        let path = self.path(request);
        let outcome = self
            .authorize(request, now)
            .and_then(|()| self.answer(&path, request, now));
        match outcome {
            Ok(exchange) => exchange,
            Err(failure) => failure.response().into(),
        }
    }

    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        self.customer_acts(action, now)
    }

    fn phone(&self) -> Vec<PhoneLine> {
        let line = |stored: &Stored| PhoneLine {
            customer: stored.customer.clone(),
            name: self
                .customers
                .get(&stored.customer)
                .map(|c| c.name.clone())
                .unwrap_or_default(),
            id: stored.id.to_string(),
            from_gateway: stored.from_us,
            text: stored.text.clone(),
            extras: stored.attachment.iter().map(in_words).collect(),
            buttons: Vec::new(),
            reactions: Vec::new(),
            at: stored.at,
        };
        self.messages.iter().map(line).collect()
    }

    fn reset(&mut self) {
        self.messages.clear();
        self.files.clear();
        self.uploads.clear();
        self.customers.clear();
        self.day = (Millis(0), 0);
        self.customers.insert(
            CUSTOMER.to_owned(),
            Customer {
                name: "Dana Fields".into(),
                username: "danaf".into(),
                blocked: false,
            },
        );
        // Ids go on, and nonces stay used: neither may repeat.
    }
}

/// An attachment as a person sees it.
fn in_words(attachment: &Value) -> String {
    let at = |pointer: &str| attachment.pointer(pointer);
    let text = |pointer: &str| at(pointer).and_then(Value::as_str).unwrap_or_default();
    match at("/location/shared_coordinate/coordinates/coordinates") {
        Some(point) => format!("location (longitude, latitude): {point}"),
        None => format!("{}: {}", text("/media/type"), text("/media/media_url_https")),
    }
}
