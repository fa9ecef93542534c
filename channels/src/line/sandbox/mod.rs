//! The emulator: LINE's API and its API of contents at one address, with one account and its
//! customers' phones.
//!
//! Strict as LINE is: token, message objects field by field, reply tokens that work once and for a
//! minute, retry keys that are remembered for a day, people who are no friends. Like LINE it takes
//! a push to somebody who has blocked the account, and drops it. Unlike LINE it fetches no links,
//! looks at flex messages from outside only, keeps quick replies until another message follows, and
//! knows chats with one person only. Webhooks always go to the channel's own URL.

mod calls;
mod check;
mod customer;
mod send;
#[cfg(test)]
mod tests;

use super::config::{API_BASE, Settings, TokenKind};
use crate::kit::emulator::{
    Action, CannotAct, Emulator, Exchange, Hook, PHONE_LINES_MAX, PhoneLine, bearer,
};
use crate::kit::http::{Body, Method, Request, Response};
use crate::kit::secret::{Secret, Secrets};
use crate::kit::settings::Common;
use crate::kit::sign::{base64, hmac_sha256, sha256_hex};
use crate::model::Millis;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The customer who is there from the start.
const CUSTOMER: &str = "U00000000000000000000005550001001";

/// The account itself, where the configuration does not say.
const BOT: &str = "U00000000000000000000000000000b07";

/// Tokens, keys and files that are remembered.
const REMEMBERED_MAX: usize = 500;

/// The most bytes of all files together.
const FILES_MAX_BYTES: usize = 32 * 1024 * 1024;

/// People of whom a phone is kept.
const CUSTOMERS_MAX: usize = 1000;

/// What LINE says when it refuses.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    status: u16,
    message: String,
    details: Vec<Value>,
}

impl Failure {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            details: Vec::new(),
        }
    }

    fn response(&self) -> Response {
        let mut body = json!({"message": self.message});
        if let Some(body) = body.as_object_mut().filter(|_| !self.details.is_empty()) {
            body.insert("details".into(), json!(self.details));
        }
        Response::json(self.status, body.to_string())
    }
}

/// A person with a phone.
#[derive(Debug, Clone)]
struct Customer {
    name: String,
    blocked: bool,
}

/// A message in a chat.
#[derive(Debug, Clone)]
struct Stored {
    customer: String,
    id: String,
    from_bot: bool,
    /// The message object: as it was sent, or as the webhook told it.
    message: Value,
    quote_token: Option<String>,
    at: Millis,
}

/// A right to answer.
#[derive(Debug, Clone)]
struct Token {
    text: String,
    customer: String,
    at: Millis,
}

/// A request that was accepted under a retry key.
#[derive(Debug, Clone)]
struct Accepted {
    key: String,
    request: String,
    answer: Value,
    at: Millis,
}

/// A file that a customer sent.
#[derive(Debug, Clone)]
struct File {
    message: String,
    mime: String,
    bytes: Bytes,
    /// Films and recordings are being prepared until then.
    ready_at: Millis,
}

/// One account and its customers.
#[derive(Debug)]
pub struct Sandbox {
    base: String,
    token: Secret,
    secrets: Secrets,
    channel_id: Option<String>,
    bot: String,
    hook_url: String,
    customers: BTreeMap<String, Customer>,
    messages: VecDeque<Stored>,
    reply_tokens: VecDeque<Token>,
    accepted: VecDeque<Accepted>,
    files: VecDeque<File>,
    /// Messages that count against a month's quota.
    pushed: u64,
    /// The last number that was given to anything; 0: none yet.
    last: i64,
}

impl Sandbox {
    /// A fresh account.
    pub fn new(common: &Common, settings: &Settings) -> Self {
        let issued = settings.token_kind != TokenKind::Static;
        let by_hand = settings.channel_access_token.clone().filter(|_| !issued);
        let mut sandbox = Self {
            base: common.api_base(API_BASE),
            token: by_hand.unwrap_or_else(|| Secret::new("sandbox-line-issued-token")),
            secrets: settings.channel_secret.clone(),
            channel_id: settings.channel_id.clone(),
            bot: settings.bot_user_id.clone().unwrap_or_else(|| BOT.into()),
            hook_url: common.webhook_url.clone(),
            customers: BTreeMap::new(),
            messages: VecDeque::new(),
            reply_tokens: VecDeque::new(),
            accepted: VecDeque::new(),
            files: VecDeque::new(),
            pushed: 0,
            last: 0,
        };
        sandbox.reset();
        sandbox
    }

    /// Sets where numbers begin: at the milliseconds since 2026, so that an emulator that was started
    /// again does not repeat ids that a gateway remembers and would take for redeliveries.
    fn wake(&mut self, now: Millis) {
        const YEAR_2026: Millis = Millis(1_767_225_600_000);
        if self.last == 0 {
            self.last = now.since(YEAR_2026).max(0);
        }
    }

    /// A number that was not given before.
    fn next(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    /// The id of a new message: 18 digits, as LINE's are.
    fn next_message_id(&mut self) -> String {
        format!("5{:017}", self.next())
    }

    /// Something that nobody guesses, the same in every run.
    fn next_token(&mut self, what: &str) -> String {
        let number = self.next();
        sha256_hex(format!("{what}:{number}").as_bytes()).chars().take(32).collect()
    }

    /// A ULID: 10 characters of time, 16 of our number, in Crockford's alphabet.
    fn next_ulid(&mut self, now: Millis) -> String {
        let base32 = |number: i64, digits: u32| -> String {
            let alphabet: Vec<char> = "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().collect();
            let digit = |place: u32| {
                let shift = (digits - 1 - place) * 5;
                let value = if shift > 63 { 0 } else { number >> shift & 31 };
                usize::try_from(value).ok().and_then(|at| alphabet.get(at)).copied()
            };
            (0..digits).filter_map(digit).collect()
        };
        format!("{}{}", base32(now.0.max(0), 10), base32(self.next(), 16))
    }

    /// Keeps a message in a chat and gives back its id and quote token.
    fn keep(
        &mut self,
        customer: &str,
        from_bot: bool,
        message: Value,
        now: Millis,
    ) -> (String, Option<String>) {
        let id = self.next_message_id();
        let kind = message.get("type").and_then(Value::as_str).unwrap_or_default();
        // Reference: what can be quoted has a token.
        let quotable = ["text", "textV2", "sticker", "image", "video", "template"].contains(&kind);
        let quote_token = quotable.then(|| format!("q-{}", self.next_token("quote")));
        self.messages.push_back(Stored {
            customer: customer.to_owned(),
            id: id.clone(),
            from_bot,
            message,
            quote_token: quote_token.clone(),
            at: now,
        });
        while self.messages.len() > PHONE_LINES_MAX {
            self.messages.pop_front();
        }
        (id, quote_token)
    }

    /// A signed webhook of these events.
    fn hook(&self, events: &[Value]) -> Hook {
        let body = json!({"destination": self.bot, "events": events}).to_string();
        let key = self.secrets.first().map(Secret::expose).unwrap_or_default();
        let signature = base64(&hmac_sha256(key.as_bytes(), &[body.as_bytes()]));
        let request = Request::post_json(&self.hook_url, body)
            .with_header("user-agent", "LineBotWebhook/2.0")
            .with_header("x-line-signature", signature);
        Hook::now(request)
    }

    /// What follows the API's root in this request's URL: path and query.
    fn path(&self, request: &Request) -> (String, String) {
        let rest = request.url.strip_prefix(&self.base).map(str::to_owned);
        let rest = rest.unwrap_or_else(|| {
            let url = url::Url::parse(&request.url).ok();
            url.map(|url| url.path().to_owned()).unwrap_or_default()
        });
        let rest = rest.split('#').next().unwrap_or_default();
        match rest.split_once('?') {
            Some((path, query)) => (path.to_owned(), query.to_owned()),
            None => (rest.to_owned(), String::new()),
        }
    }

    /// Whether the request brings our token.
    fn authorise(&self, request: &Request) -> Result<(), Failure> {
        if bearer(request) == Some(self.token.expose()) {
            return Ok(());
        }
        let words = "Authentication failed. Confirm that the access token in the authorization \
                     header is valid.";
        Err(Failure::new(401, words))
    }

    fn route(&mut self, request: &Request, now: Millis) -> Result<Exchange, Failure> {
        let (path, query) = self.path(request);
        if path.starts_with("/v2/oauth/") || path.starts_with("/oauth2/") {
            return self.oauth(request.method, &path, &query, &request.body);
        }
        self.authorise(request)?;
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let ["v2", "bot", rest @ ..] = segments.as_slice() else {
            return Err(Failure::new(404, "Not found"));
        };
        match (request.method, rest) {
            (Method::Post, ["message", "reply"]) => self.reply(request, now),
            (Method::Post, ["message", "push"]) => self.push(request, now),
            (Method::Post, ["message", "multicast"]) => self.multicast(request, now),
            (Method::Post, ["message", "validate", "reply" | "push" | "multicast"]) => {
                send::validate(request)
            }
            (Method::Get, ["message", id, "content", what @ ..]) => self.content(id, what, now),
            (method, rest) => self.other(method, rest, request),
        }
    }
}

/// The object in a body.
fn object(request: &Request) -> Result<Map<String, Value>, Failure> {
    let malformed = || Failure::new(400, "The request body could not be parsed as JSON");
    match &request.body {
        Body::Json(text) => match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(fields),
            _ => Err(malformed()),
        },
        Body::Empty => Err(malformed()),
        _ => Err(Failure::new(415, "Unsupported media type")),
    }
}

/// An answer of JSON.
fn ok(body: &Value) -> Exchange {
    Response::json(200, body.to_string()).into()
}

impl Emulator for Sandbox {
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange {
        self.wake(now);
        let id = self.next_token("request");
        let mut exchange = match self.route(request, now) {
            Ok(exchange) => exchange,
            Err(failure) => failure.response().into(),
        };
        exchange.response.headers.push("x-line-request-id", id);
        exchange
    }

    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        self.wake(now);
        self.customer_acts(action, now)
    }

    fn phone(&self) -> Vec<PhoneLine> {
        self.messages.iter().map(|stored| self.line(stored)).collect()
    }

    fn reset(&mut self) {
        self.messages.clear();
        self.reply_tokens.clear();
        self.accepted.clear();
        self.files.clear();
        self.customers.clear();
        self.pushed = 0;
        self.customers.insert(
            CUSTOMER.into(),
            Customer {
                name: "Dana Fields".into(),
                blocked: false,
            },
        );
        // The numbers go on: ids must not repeat, or the gateway takes new messages for old ones.
    }
}

impl Sandbox {
    /// A message as it stands on the phone.
    fn line(&self, stored: &Stored) -> PhoneLine {
        let message = &stored.message;
        let word = |name: &str| message.get(name).and_then(Value::as_str);
        let kind = word("type").unwrap_or_default();
        let template = message.get("template");
        let card = template.and_then(|t| t.get("text")).and_then(Value::as_str);
        let text = word("text").or(card).or_else(|| word("altText"));
        let mut extras = Vec::new();
        match kind {
            "text" | "textV2" | "template" => {}
            "location" => {
                let number = |name: &str| message.get(name).and_then(Value::as_f64);
                let (title, address) = (word("title"), word("address"));
                let name = format!("{} {}", title.unwrap_or("-"), address.unwrap_or("-"));
                let (lat, lon) = (number("latitude"), number("longitude"));
                extras.push(format!(
                    "{name} {},{}",
                    lat.unwrap_or_default(),
                    lon.unwrap_or_default()
                ));
            }
            _ => {
                let what = ["originalContentUrl", "fileName", "stickerId", "baseUrl"];
                let what = what.iter().find_map(|name| word(name));
                extras.push(format!("{kind} {}", what.unwrap_or_default()).trim().to_owned());
            }
        }
        let customer = self.customers.get(&stored.customer);
        PhoneLine {
            customer: stored.customer.clone(),
            name: customer.map(|c| c.name.clone()).unwrap_or_default(),
            id: stored.id.clone(),
            from_gateway: stored.from_bot,
            text: text.unwrap_or_default().to_owned(),
            extras,
            buttons: customer::actions(message)
                .filter_map(|action| action.get("label")?.as_str().map(str::to_owned))
                .collect(),
            reactions: Vec::new(),
            at: stored.at,
        }
    }
}
