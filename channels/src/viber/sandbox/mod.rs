//! The emulator: Viber's REST Bot API with one bot, and the phones of its customers.
//!
//! Strict as Viber is: token, required fields, lengths in characters, extensions, the shape of
//! keyboards, unknown and unsubscribed people, a hundred unanswered messages an hour, requests of
//! 30 KB; with HTTP 200 and Viber's own status. It refuses fields that Viber does not document. It
//! fetches no links and posts nowhere but to the channel's own webhook.

mod content;
mod customer;
mod methods;
#[cfg(test)]
mod tests;

use super::config::{API_BASE, Settings};
use super::verify::{SIGNATURE_HEADER, sign};
use crate::kit::emulator::{
    Action, CannotAct, Emulator, Exchange, Hook, PHONE_LINES_MAX, PhoneLine, header_credential,
};
use crate::kit::http::{Body, Method, Request, Response};
use crate::kit::settings::Common;
use crate::model::Millis;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The customer who is there from the start.
const CUSTOMER: &str = "SbxDanaFields0000000000w==";

/// Files that are kept.
const FILES_MAX: usize = 200;

/// People of whom a phone is kept.
const CUSTOMERS_MAX: usize = 1000;

/// The most bytes of a request (REST Bot API: 30 KB).
const REQUEST_MAX: usize = 30 * 1024;

/// The name of the machine that Viber's answers and events mention.
const HOST: &str = "SN-SANDBOX-01_";

/// What Viber says when it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(i64, String);

impl Failure {
    fn new(status: i64, words: impl Into<String>) -> Self {
        Self(status, words.into())
    }

    /// A malformed or oversize field.
    fn bad(words: impl Into<String>) -> Self {
        Self::new(3, words)
    }

    /// A required field that is absent.
    fn missing(field: &str) -> Self {
        Self::new(4, format!("missing {field}"))
    }

    fn response(&self) -> Response {
        let body = json!({"status": self.0, "status_message": self.1, "chat_hostname": HOST});
        Response::json(200, body.to_string())
    }
}

/// A person with a phone.
#[derive(Debug, Clone)]
struct Customer {
    name: String,
    /// Has written to the bot, and not left it since.
    subscribed: bool,
    /// Messages that the person has not answered, in this hour.
    unanswered: u32,
    /// When this hour began.
    hour: Millis,
    /// When details were asked for last, and how often in these twelve hours.
    asked: (Millis, u32),
}

/// A message in a chat.
#[derive(Debug, Clone)]
struct Stored {
    customer: String,
    token: u64,
    from_bot: bool,
    /// The message as it was sent, by either side.
    message: Value,
    seen: bool,
    at: Millis,
}

/// A file that a customer sent.
#[derive(Debug, Clone)]
struct StoredFile {
    path: String,
    mime: String,
    bytes: Bytes,
}

/// One bot and its customers.
#[derive(Debug)]
pub struct Sandbox {
    base: String,
    settings: Settings,
    hook_url: String,
    /// `None`: not set, and Viber sends nothing for the bot.
    webhook: Option<String>,
    event_types: Vec<String>,
    customers: BTreeMap<String, Customer>,
    messages: VecDeque<Stored>,
    files: VecDeque<StoredFile>,
    /// The last token that was given; 0: none yet.
    last_token: u64,
}

impl Sandbox {
    /// A fresh server on which this bot lives, its webhook set to the channel's URL.
    pub fn new(common: &Common, settings: &Settings) -> Self {
        let mut sandbox = Self {
            base: common.api_base(API_BASE),
            settings: settings.clone(),
            hook_url: common.webhook_url.clone(),
            webhook: Some(common.webhook_url.clone()),
            event_types: settings.event_types.clone(),
            customers: BTreeMap::new(),
            messages: VecDeque::new(),
            files: VecDeque::new(),
            last_token: 0,
        };
        sandbox.reset();
        sandbox
    }

    /// Sets where tokens begin: far enough above those of an emulator that was started a millisecond
    /// earlier, since a gateway remembers tokens and would take repeated ones for redeliveries.
    fn wake(&mut self, now: Millis) {
        const TOKENS_PER_MILLISECOND: u64 = 2_500_000;
        if self.last_token == 0 {
            let now = u64::try_from(now.0).unwrap_or(0);
            self.last_token = now.saturating_mul(TOKENS_PER_MILLISECOND);
        }
    }

    /// A token that was not given before.
    fn next_token(&mut self) -> u64 {
        self.last_token = self.last_token.wrapping_add(1).max(1);
        self.last_token
    }

    /// Keeps a message.
    fn keep(&mut self, customer: &str, from_bot: bool, message: Value, now: Millis) -> u64 {
        let token = self.next_token();
        self.messages.push_back(Stored {
            customer: customer.to_owned(),
            token,
            from_bot,
            message,
            seen: false,
            at: now,
        });
        while self.messages.len() > PHONE_LINES_MAX {
            self.messages.pop_front();
        }
        token
    }

    /// An event on its way to the gateway. `None`: no webhook is set, or the bot did not ask for it.
    fn event(&self, kind: &str, token: u64, fields: Value, now: Millis) -> Option<Hook> {
        self.webhook.as_ref()?;
        let mandatory = matches!(kind, "message" | "webhook" | "subscribed" | "unsubscribed");
        if !mandatory && !self.event_types.iter().any(|wanted| wanted == kind) {
            return None;
        }
        let mut event = Map::new();
        event.insert("event".into(), json!(kind));
        event.insert("timestamp".into(), json!(now.0));
        event.insert("chat_hostname".into(), json!(HOST));
        event.insert("message_token".into(), json!(token));
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        let body = Value::Object(event).to_string();
        let signature = sign(&self.settings, body.as_bytes());
        let request = Request::post_json(&self.hook_url, body);
        Some(Hook::now(request.with_header(SIGNATURE_HEADER, signature)))
    }

    /// What follows the API's root in this request's URL, without the query.
    fn path(&self, request: &Request) -> String {
        let rest = request.url.strip_prefix(&self.base).map(str::to_owned);
        let rest = rest.unwrap_or_else(|| {
            let url = url::Url::parse(&request.url).ok();
            url.map(|url| url.path().to_owned()).unwrap_or_default()
        });
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        path.to_owned()
    }

    /// The fields of a call, once the token is checked: it may stand in the header or, as older
    /// libraries have it, in the body.
    fn fields(&self, request: &Request) -> Result<Map<String, Value>, Failure> {
        let text = match &request.body {
            Body::Json(text) => text.clone(),
            Body::Raw(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Empty => String::new(),
            _ => return Err(Failure::bad("the body is not JSON")),
        };
        let fields = match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) => Some(fields),
            _ => None,
        };
        let written = fields.as_ref().and_then(|fields| fields.get("auth_token"));
        let written = written.and_then(Value::as_str);
        let given = header_credential(request, super::render::TOKEN_HEADER).or(written);
        match given {
            None | Some("") => return Err(Failure::new(2, "missingAuthToken")),
            Some(given) if given != self.settings.auth_token.expose() => {
                return Err(Failure::new(2, "invalidAuthToken"));
            }
            Some(_) => {}
        }
        if text.len() > REQUEST_MAX {
            return Err(Failure::bad("the request is larger than 30 KB"));
        }
        let mut fields = fields.ok_or_else(|| Failure::bad("the body is no JSON object"))?;
        fields.remove("auth_token");
        Ok(fields)
    }

    /// The bytes of a file.
    fn download(&self, path: &str) -> Response {
        match self.files.iter().find(|file| file.path == path) {
            Some(file) => Response {
                body: file.bytes.clone(),
                ..Response::empty(200).with_header("content-type", &file.mime)
            },
            None => Response::empty(404),
        }
    }
}

impl Emulator for Sandbox {
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange {
        self.wake(now);
        let path = self.path(request);
        if path.starts_with("/media/") && request.method == Method::Get {
            return self.download(&path).into();
        }
        let method = path.trim_start_matches('/');
        if !methods::METHODS.contains(&method) {
            return Response::empty(404).into();
        }
        if request.method != Method::Post {
            return Response::empty(405).into();
        }
        let outcome = self.fields(request);
        match outcome.and_then(|fields| self.method(method, fields, now)) {
            Ok((answer, hooks)) => Exchange {
                response: Response::json(200, answer.to_string()),
                hooks,
            },
            Err(failure) => failure.response().into(),
        }
    }

    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        self.wake(now);
        self.customer_acts(action, now)
    }

    fn phone(&self) -> Vec<PhoneLine> {
        self.messages.iter().map(|m| self.line(m)).collect()
    }

    fn reset(&mut self) {
        self.messages.clear();
        self.files.clear();
        self.customers.clear();
        self.customers
            .insert(CUSTOMER.to_owned(), Customer::new("Dana Fields", true));
        // Tokens go on: they must not repeat, or the gateway takes new messages for old ones.
    }
}

impl Customer {
    fn new(name: &str, subscribed: bool) -> Self {
        Self {
            name: name.to_owned(),
            subscribed,
            unanswered: 0,
            hour: Millis(0),
            asked: (Millis(0), 0),
        }
    }
}

impl Sandbox {
    /// A message as it stands on the phone.
    fn line(&self, stored: &Stored) -> PhoneLine {
        let customer = self.customers.get(&stored.customer);
        let text = stored.message.get("text").and_then(Value::as_str);
        PhoneLine {
            customer: stored.customer.clone(),
            name: customer.map(|c| c.name.clone()).unwrap_or_default(),
            id: stored.token.to_string(),
            from_gateway: stored.from_bot,
            text: text.unwrap_or_default().to_owned(),
            extras: content::in_words(&stored.message),
            buttons: content::buttons(&stored.message)
                .into_iter()
                .map(|button| button.title)
                .collect(),
            reactions: Vec::new(),
            at: stored.at,
        }
    }
}
