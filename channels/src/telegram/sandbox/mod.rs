//! The emulator: a Bot API server with one bot, and its customers' phones.
//!
//! Strict as Telegram is: token, required parameters, lengths in UTF-16 units, buttons, unknown and
//! blocking people, with Telegram's own words. Like Telegram it ignores parameters that it does not
//! know and takes method names in any case. Unlike Telegram it fetches no links: every `http(s)`
//! link counts as fetched, except those to hosts under `.invalid`, which nobody can reach. There are
//! private chats only. Webhooks go to the channel's own URL for as long as one is set.

mod content;
mod customer;
mod methods;
mod params;
#[cfg(test)]
mod tests;
mod webhook;

use super::config::{API_BASE, Settings};
use super::wire::Address;
use crate::kit::emulator::{
    Action, CannotAct, Emulator, Exchange, Hook, PHONE_LINES_MAX, PhoneLine,
};
use crate::kit::http::{Request, Response};
use crate::kit::secret::Secret;
use crate::kit::settings::Common;
use crate::model::Millis;
use bytes::Bytes;
use params::Params;
use webhook::Webhook;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The customer who is there from the start.
const CUSTOMER: i64 = 5_550_001_001;

/// Files that are kept, and the most bytes of all of them together.
const FILES_MAX: usize = 200;
const FILES_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Pressed buttons that wait for their answer.
const CALLBACKS_MAX: usize = 200;

/// People of whom a phone is kept.
const CUSTOMERS_MAX: usize = 1000;

/// What Telegram says when it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: u16,
    description: String,
}

impl Failure {
    /// A refusal of what was asked for.
    fn bad(description: impl Into<String>) -> Self {
        Self {
            code: 400,
            description: format!("Bad Request: {}", description.into()),
        }
    }

    fn new(code: u16, description: &str) -> Self {
        Self {
            code,
            description: description.to_owned(),
        }
    }

    fn response(&self) -> Response {
        let body = json!({
            "ok": false, "error_code": self.code, "description": self.description,
        });
        Response::json(self.code, body.to_string())
    }
}

/// A person with a phone.
#[derive(Debug, Clone)]
struct Customer {
    first_name: String,
    last_name: Option<String>,
    username: Option<String>,
    blocked: bool,
}

/// A message in a private chat.
#[derive(Debug, Clone)]
struct Stored {
    chat: i64,
    id: i64,
    from_bot: bool,
    /// As the Bot API shows it, without the message that it answers.
    message: Value,
    /// What the customer put on it.
    reaction: Option<String>,
    /// What the bot put on it.
    bot_reaction: Option<String>,
    at: Millis,
}

/// A file that somebody sent.
#[derive(Debug, Clone)]
struct StoredFile {
    id: String,
    unique_id: String,
    path: String,
    bytes: Bytes,
    /// What it was sent as: `photo`, `document`…
    kind: String,
}

/// One bot and its customers.
#[derive(Debug)]
pub struct Sandbox {
    base: String,
    token: Secret,
    bot: i64,
    hook_url: String,
    webhook: Webhook,
    customers: BTreeMap<i64, Customer>,
    messages: VecDeque<Stored>,
    files: VecDeque<StoredFile>,
    callbacks: VecDeque<String>,
    pending: VecDeque<Value>,
    /// The last number that was given to a message, an update, a file or a press; 0: none yet.
    last_id: i64,
}

impl Sandbox {
    /// A fresh server on which this bot lives, its webhook set to the channel's URL.
    pub fn new(common: &Common, settings: &Settings) -> Self {
        let mut sandbox = Self {
            base: common.api_base(API_BASE),
            token: settings.bot_token.clone(),
            bot: settings.bot_id().unwrap_or_default(),
            hook_url: common.webhook_url.clone(),
            webhook: Webhook::new(common, settings),
            customers: BTreeMap::new(),
            messages: VecDeque::new(),
            files: VecDeque::new(),
            callbacks: VecDeque::new(),
            pending: VecDeque::new(),
            last_id: 0,
        };
        sandbox.reset();
        sandbox
    }

    /// Sets where numbers begin: at the milliseconds since 2026, so that an emulator that was started
    /// again does not repeat ids that a gateway remembers and would take for redeliveries.
    fn wake(&mut self, now: Millis) {
        const YEAR_2026: Millis = Millis(1_767_225_600_000);
        if self.last_id == 0 {
            self.last_id = now.since(YEAR_2026).max(0);
        }
    }

    /// A number that was not given before.
    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// The bot as a user.
    fn bot_user(&self) -> Value {
        json!({
            "id": self.bot, "is_bot": true, "first_name": "Sandbox", "username": "sandbox_bot",
        })
    }

    /// A customer as a user and as a chat.
    fn user_and_chat(&self, id: i64) -> (Value, Value) {
        let mut user = json!({"id": id, "is_bot": false, "language_code": "en"});
        let mut chat = json!({"id": id, "type": "private"});
        if let Some(customer) = self.customers.get(&id) {
            let names = [
                ("first_name", Some(&customer.first_name)),
                ("last_name", customer.last_name.as_ref()),
                ("username", customer.username.as_ref()),
            ];
            for object in [&mut user, &mut chat] {
                for (name, value) in names {
                    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
                        object.insert(name.into(), json!(value));
                    }
                }
            }
        }
        (user, chat)
    }

    /// Keeps a message and gives it back as the Bot API shows it.
    fn keep(&mut self, chat: i64, from_bot: bool, content: Value, now: Millis) -> Value {
        let id = self.next_id();
        let (user, chat_object) = self.user_and_chat(chat);
        let mut message = json!({
            "message_id": id,
            "from": if from_bot { self.bot_user() } else { user },
            "chat": chat_object,
            "date": now.0.div_euclid(1000),
        });
        if let (Some(message), Value::Object(content)) = (message.as_object_mut(), content) {
            message.extend(content);
        }
        self.messages.push_back(Stored {
            chat,
            id,
            from_bot,
            message: message.clone(),
            reaction: None,
            bot_reaction: None,
            at: now,
        });
        while self.messages.len() > PHONE_LINES_MAX {
            self.messages.pop_front();
        }
        message
    }

    /// Keeps a file and gives back what a message says of it.
    fn keep_file(&mut self, kind: &str, name: Option<&str>, mime: &str, bytes: Bytes) -> Value {
        let number = self.next_id();
        let extension = match (kind, name.and_then(|name| name.rsplit_once('.'))) {
            ("photo", _) => "jpg",
            (_, Some((_, extension))) if extension.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                extension
            }
            ("voice", _) => "oga",
            ("video" | "video_note" | "animation", _) => "mp4",
            ("sticker", _) => "webp",
            _ => "bin",
        };
        let file = StoredFile {
            id: format!("SBX-{kind}-{number}"),
            unique_id: format!("SBXU{number}"),
            path: format!("{kind}s/file_{number}.{extension}"),
            kind: kind.to_owned(),
            bytes,
        };
        let mut shown = json!({
            "file_id": file.id, "file_unique_id": file.unique_id, "file_size": file.bytes.len(),
        });
        if let Some(shown) = shown.as_object_mut() {
            if kind != "photo" && kind != "sticker" && kind != "video_note" {
                shown.insert("mime_type".into(), json!(mime));
            }
            if let ("document" | "video" | "audio" | "animation", Some(name)) = (kind, name) {
                shown.insert("file_name".into(), json!(name));
            }
        }
        self.files.push_back(file);
        let too_many = |files: &VecDeque<StoredFile>| {
            let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
            files.len() > FILES_MAX || (files.len() > 1 && bytes > FILES_MAX_BYTES)
        };
        while too_many(&self.files) {
            self.files.pop_front();
        }
        shown
    }

    /// What follows the API's root in this request's URL, decoded, without the query.
    fn path(&self, request: &Request) -> String {
        let rest = request.url.strip_prefix(&self.base).map(str::to_owned);
        let rest = rest.unwrap_or_else(|| {
            let url = url::Url::parse(&request.url).ok();
            url.map(|url| url.path().to_owned()).unwrap_or_default()
        });
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        // Only the colon of the token is ever escaped by clients.
        path.replace("%3A", ":").replace("%3a", ":")
    }

    /// Checks the token of a path `/bot<token>/<rest>` and gives the rest.
    fn authorize<'a>(&self, path: &'a str, prefix: &str) -> Result<&'a str, Failure> {
        let not_found = || Failure::new(404, "Not Found");
        let rest = path.strip_prefix(prefix).ok_or_else(not_found)?;
        let (token, rest) = rest.split_once('/').ok_or_else(not_found)?;
        if token == self.token.expose() {
            return Ok(rest);
        }
        let digits = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
        match token.split_once(':') {
            Some((id, key)) if digits(id) && !key.is_empty() => {
                Err(Failure::new(401, "Unauthorized"))
            }
            _ => Err(not_found()),
        }
    }

    /// The bytes of a file; the CDN states no type.
    fn download(&self, path: &str) -> Response {
        match self.files.iter().find(|file| file.path == path) {
            Some(file) => Response {
                body: file.bytes.clone(),
                ..Response::empty(200).with_header("content-type", "application/octet-stream")
            },
            None => Failure::new(404, "Not Found").response(),
        }
    }
}

impl Emulator for Sandbox {
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange {
        self.wake(now);
        let path = self.path(request);
        if path.starts_with("/file/bot") {
            let response = match self.authorize(&path, "/file/bot") {
                Ok(file) => self.download(file),
                Err(failure) => failure.response(),
            };
            return response.into();
        }
        let outcome = self
            .authorize(&path, "/bot")
            .and_then(|method| {
                // `/test/` selects Telegram's test servers; here both are the same.
                let method = method.strip_prefix("test/").unwrap_or(method);
                Ok((method.to_ascii_lowercase(), Params::of(request)?))
            })
            .and_then(|(method, params)| self.method(&method, &params, now));
        match outcome {
            Ok(done) => {
                let mut body = json!({"ok": true, "result": done.result});
                if let (Some(words), Some(body)) = (done.description, body.as_object_mut()) {
                    body.insert("description".into(), json!(words));
                }
                Exchange {
                    response: Response::json(200, body.to_string()),
                    hooks: done.hooks,
                }
            }
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
        self.callbacks.clear();
        self.pending.clear();
        self.customers.clear();
        self.customers.insert(
            CUSTOMER,
            Customer {
                first_name: "Dana".into(),
                last_name: Some("Fields".into()),
                username: Some("danaf".into()),
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
        let words = ["text", "caption"];
        let text = words.iter().find_map(|name| message.get(*name)?.as_str());
        let name = self.customers.get(&stored.chat).map(|customer| {
            let last = customer.last_name.as_deref().unwrap_or_default();
            format!("{} {last}", customer.first_name).trim().to_owned()
        });
        PhoneLine {
            customer: stored.chat.to_string(),
            name: name.unwrap_or_default(),
            id: Address::chat(stored.chat).message(stored.id),
            from_gateway: stored.from_bot,
            text: text.unwrap_or_default().to_owned(),
            extras: content::in_words(message),
            buttons: content::buttons(message)
                .into_iter()
                .map(|button| button.title)
                .collect(),
            reactions: [&stored.reaction, &stored.bot_reaction]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            at: stored.at,
        }
    }
}
