//! The emulator: the Graph API with one page and the Instagram account linked to it, and the phones of
//! those who write to them.
//!
//! Strict as Meta is: token, version, unknown fields, types of messages, lengths, windows, unknown and
//! blocking people, with Meta's codes. Unlike Meta it fetches no links: every `http(s)` link counts as
//! fetched, except those to hosts under `.invalid`, which nobody can reach. What was sent comes back as
//! an echo, on Messenger with our reference and followed by a delivery.

mod act;
mod check;
mod hooks;
mod messages;
#[cfg(test)]
mod tests;

use super::config::Account;
use super::plan::{Address, Platform};
use crate::kit::emulator::{
    Action, CannotAct, Emulator, Exchange, Hook, PHONE_LINES_MAX, PhoneLine, bearer,
};
use crate::kit::http::{Method, Request, Response};
use crate::kit::settings::Common;
use crate::kit::sign;
use crate::model::Millis;
use bytes::Bytes;
use check::Button;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The people who are there from the start, and whose conversations are open.
const CUSTOMER: (&str, &str) = ("7300000000000011", "Dana Fields");
const INSTAGRAM_CUSTOMER: (&str, &str) = ("ig:9900000000000021", "Bo Berg");

/// The app that sends, where the channel does not say.
const APP: &str = "880000000000001";

/// Files that are kept, and the most bytes of all of them together.
const FILES_MAX: usize = 200;
const FILES_MAX_BYTES: usize = 32 * 1024 * 1024;

/// People of whom a phone is kept.
const PEOPLE_MAX: usize = 1000;

/// Where files are, below the API's root.
const FILES_PATH: &str = "/cdn/";

/// What the Graph API says when it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    code: i64,
    subcode: Option<i64>,
    message: String,
}

impl Fault {
    fn new(code: i64, subcode: Option<i64>, message: impl Into<String>) -> Self {
        Self {
            code,
            subcode,
            message: format!("(#{code}) {}", message.into()),
        }
    }

    /// A parameter that is wrong.
    fn parameter(message: impl Into<String>) -> Self {
        Self::new(100, None, message)
    }

    fn response(&self) -> Response {
        let mut error = json!({
            "message": self.message, "type": "OAuthException", "code": self.code,
            "fbtrace_id": "SandboxTrace",
        });
        if let (Some(subcode), Some(fields)) = (self.subcode, error.as_object_mut()) {
            fields.insert("error_subcode".into(), json!(subcode));
        }
        Response::json(400, json!({"error": error}).to_string())
    }
}

/// A person with a phone.
#[derive(Debug, Clone)]
pub struct Person {
    address: Address,
    name: String,
    blocked: bool,
    /// When they last did something that opens the window; `None`: before we came, and it is open.
    acted: Option<Millis>,
}

/// A message on a phone.
#[derive(Debug, Clone)]
pub struct Line {
    shown: PhoneLine,
    buttons: Vec<Button>,
    /// How often it was changed.
    edits: u32,
}

struct File {
    id: i64,
    mime: String,
    bytes: Bytes,
}

/// One page and those who write to it.
pub struct Sandbox {
    account: Account,
    hook_url: String,
    people: BTreeMap<String, Person>,
    lines: VecDeque<Line>,
    files: VecDeque<File>,
    /// The last number that was given to a message or a file; 0: none yet.
    last_id: i64,
}

impl Sandbox {
    /// The emulator of this page; its webhooks go to the channel's URL.
    pub fn new(account: Account, common: &Common) -> Self {
        let mut sandbox = Self {
            account,
            hook_url: common.webhook_url.clone(),
            people: BTreeMap::new(),
            lines: VecDeque::new(),
            files: VecDeque::new(),
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

    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// The id of a message, in the form that its platform has.
    fn next_mid(&mut self, platform: Platform) -> String {
        let number = self.next_id();
        match platform {
            Platform::Messenger => format!("m_SBX{number:x}"),
            Platform::Instagram => format!("aWdfSBX{number:x}"),
        }
    }

    /// The account's own id on this platform.
    fn our_id(&self, platform: Platform) -> &str {
        let settings = &self.account.settings;
        match platform {
            Platform::Messenger => &settings.page_id,
            Platform::Instagram => settings.instagram_id.as_deref().unwrap_or_default(),
        }
    }

    fn app(&self) -> &str {
        self.account.settings.app_id.as_deref().unwrap_or(APP)
    }

    fn meet(&mut self, address: Address, name: &str) {
        let person = Person {
            name: name.to_owned(),
            blocked: false,
            acted: None,
            address,
        };
        self.people.insert(person.address.to_string(), person);
    }

    fn push(&mut self, line: Line) {
        self.lines.push_back(line);
        while self.lines.len() > PHONE_LINES_MAX {
            self.lines.pop_front();
        }
    }

    /// Keeps a file and gives back its link.
    fn keep_file(&mut self, name: &str, mime: &str, bytes: Bytes) -> String {
        let id = self.next_id();
        self.files.push_back(File {
            id,
            mime: mime.to_owned(),
            bytes,
        });
        let too_many = |files: &VecDeque<File>| {
            let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
            files.len() > FILES_MAX || (files.len() > 1 && bytes > FILES_MAX_BYTES)
        };
        while too_many(&self.files) {
            self.files.pop_front();
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let name: String = name
            .chars()
            .map(|c| if plain(c) { c } else { '_' })
            .collect();
        format!("{}{FILES_PATH}{id}/{name}?oe={id:x}", self.account.base)
    }

    /// What follows the API's root in this request's URL: the path, and the query.
    fn route<'a>(&self, url: &'a str) -> (&'a str, &'a str) {
        let below = url.strip_prefix(self.account.base.as_str()).or_else(|| {
            let (_, rest) = url.split_once("://")?;
            rest.find('/').and_then(|at| rest.get(at..))
        });
        let below = below.unwrap_or(url);
        below.split_once('?').unwrap_or((below, ""))
    }

    fn answer(&mut self, request: &Request, now: Millis) -> Result<Exchange, Fault> {
        let (path, query) = self.route(&request.url);
        if let Some(file) = path.strip_prefix(FILES_PATH) {
            return Ok(self.download(file).into());
        }
        let value = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            let found = pairs.find(|(n, _)| n == name);
            found.map(|(_, value)| value.into_owned())
        };
        let given = bearer(request)
            .map(str::to_owned)
            .or_else(|| value("access_token"));
        self.authorize(given.as_deref(), value("appsecret_proof").as_deref())?;
        let mut steps = path.trim_matches('/').split('/');
        let version = steps.next().unwrap_or_default();
        let steps: Vec<&str> = steps.collect();
        let nothing = |path: &str| {
            let words = format!("Unsupported request: no such path {path}");
            Fault::new(100, Some(33), words)
        };
        if !is_version(version) {
            return Err(Fault::new(
                2635,
                None,
                "You are calling no version of the API",
            ));
        }
        let page = self.our_id(Platform::Messenger);
        let ours = |id: &str| id == page || id == "me";
        match (request.method, steps.as_slice()) {
            (Method::Post, [id, "messages"]) if ours(id) => self.messages(request, now),
            (Method::Get, [id, "subscribed_apps"]) if ours(id) => {
                let fields = ["messages", "messaging_postbacks", "message_echoes"];
                let app = json!({"id": self.app(), "name": "Sandbox", "subscribed_fields": fields});
                Ok(Response::json(200, json!({"data": [app]}).to_string()).into())
            }
            (Method::Post, [id, "subscribed_apps"]) if ours(id) => {
                Ok(Response::json(200, json!({"success": true}).to_string()).into())
            }
            (Method::Get, [id]) => {
                let described = self.describe(id, value("fields").as_deref());
                let described = described.ok_or_else(|| nothing(path))?;
                Ok(Response::json(200, described.to_string()).into())
            }
            _ => Err(nothing(path)),
        }
    }

    fn authorize(&self, token: Option<&str>, proof: Option<&str>) -> Result<(), Fault> {
        let settings = &self.account.settings;
        let ours = settings.page_access_token.expose().as_bytes();
        let Some(token) = token else {
            let words = "An access token is required to request this resource.";
            return Err(Fault::new(104, None, words));
        };
        if !sign::same(token.as_bytes(), ours) {
            let words = "Invalid OAuth access token - Cannot parse access token";
            return Err(Fault::new(190, None, words));
        }
        let Some(proof) = proof else {
            return if settings.send_appsecret_proof {
                Err(Fault::parameter(
                    "API calls from the server require an appsecret_proof argument",
                ))
            } else {
                Ok(())
            };
        };
        let right = settings.app_secret.iter().any(|secret| {
            let expected = sign::hmac_sha256(secret.expose().as_bytes(), &[ours]);
            sign::same(hex::encode(expected).as_bytes(), proof.as_bytes())
        });
        if right {
            Ok(())
        } else {
            Err(Fault::parameter(
                "Invalid appsecret_proof provided in the API argument",
            ))
        }
    }

    /// The page, its Instagram account, or a person, in the fields asked for.
    fn describe(&self, id: &str, fields: Option<&str>) -> Option<Value> {
        let settings = &self.account.settings;
        let everything = if id == settings.page_id || id == "me" {
            json!({"id": settings.page_id, "name": "Sandbox Page"})
        } else if Some(id) == settings.instagram_id.as_deref() {
            json!({"id": id, "name": "Sandbox Page", "username": "sandbox_page"})
        } else {
            let person = self.person(id)?;
            let (first, last) = person.name.split_once(' ').unwrap_or((&person.name, ""));
            match person.address.platform {
                Platform::Messenger => json!({"id": id, "first_name": first, "last_name": last}),
                Platform::Instagram => json!({
                    "id": id, "name": person.name, "follower_count": 12,
                    "username": person.name.to_lowercase().replace(' ', "_"),
                }),
            }
        };
        let Some(fields) = fields else {
            return Some(everything);
        };
        let mut shown = json!({"id": everything.get("id")});
        for field in fields.split(',') {
            if let (Some(value), Some(shown)) = (everything.get(field), shown.as_object_mut()) {
                shown.insert(field.to_owned(), value.clone());
            }
        }
        Some(shown)
    }

    /// A person by the id that the API has for them.
    fn person(&self, id: &str) -> Option<&Person> {
        let instagram = || self.people.get(&format!("ig:{id}"));
        self.people
            .get(id)
            .filter(|_| !id.starts_with("ig:"))
            .or_else(instagram)
    }

    fn download(&self, rest: &str) -> Response {
        let id = rest.split('/').next().and_then(|id| id.parse::<i64>().ok());
        match self.files.iter().find(|file| Some(file.id) == id) {
            Some(file) => Response {
                body: file.bytes.clone(),
                ..Response::empty(200).with_header("content-type", file.mime.clone())
            },
            None => Response::empty(403),
        }
    }
}

fn is_version(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.strip_prefix('v')
        .and_then(|version| version.split_once('.'))
        .is_some_and(|(major, minor)| digits(major) && digits(minor))
}

impl Emulator for Sandbox {
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange {
        self.wake(now);
        match self.answer(request, now) {
            Ok(exchange) => exchange,
            Err(fault) => fault.response().into(),
        }
    }

    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        self.wake(now);
        self.person_acts(action, now)
    }

    fn phone(&self) -> Vec<PhoneLine> {
        self.lines.iter().map(|line| line.shown.clone()).collect()
    }

    fn reset(&mut self) {
        self.lines.clear();
        self.files.clear();
        self.people.clear();
        for (address, name) in [CUSTOMER, INSTAGRAM_CUSTOMER] {
            let address = Address::parse(address);
            let there = |address: &Address| !self.our_id(address.platform).is_empty();
            if let Some(address) = address.filter(there) {
                self.meet(address, name);
            }
        }
        // The numbers go on: ids must not repeat, or the gateway takes new messages for old ones.
    }
}
