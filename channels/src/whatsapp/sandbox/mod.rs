//! The emulator: one number of the Cloud API and the phones of its customers.
//!
//! As strict as the platform where the platform's behaviour is documented: authorization, shape and
//! limits of every message, the 24 hour window, numbers that are not on WhatsApp, blocked customers,
//! templates that do not exist. What Meta does later and elsewhere (fetching links, reviewing
//! templates, metering) is not emulated, but a link to a picture of the wrong type fails afterwards, as
//! there.

mod act;
mod check;
mod customers;
mod hooks;
mod templates;

use super::config::Account;
use crate::kit::emulator::{
    Action, CannotAct, Emulator, Exchange, Hook, PHONE_LINES_MAX, PhoneLine, bearer,
};
use crate::kit::http::{Body, Method, Request, Response};
use crate::kit::sign;
use crate::model::{Choice, Millis};
use bytes::Bytes;
use check::{Accepted, Fault};
use customers::Customers;
use hooks::Hooks;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// The number that customers see.
const OUR_NUMBER: &str = "15550107788";
/// Numbers that begin so are not on WhatsApp.
const NOT_ON_WHATSAPP: &str = "1999";
/// Free text is taken so long after the customer's last message.
const WINDOW_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// Files kept at once; the oldest goes first.
const FILES_MAX: usize = 100;
/// Where the emulated file host is, below the API's root.
const FILES_PATH: &str = "/whatsapp_business/attachments/";

/// A message on a phone, with what is needed to answer to it.
struct Line {
    shown: PhoneLine,
    choices: Vec<Choice>,
    /// What kind of answer a press gives.
    press: Press,
    /// Our own reference, echoed in statuses.
    reference: Option<String>,
    read: bool,
}

/// What kind of answer the buttons of a message give.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Press {
    #[default]
    Button,
    Row,
    Template,
}

struct File {
    id: String,
    mime: String,
    bytes: Bytes,
}

/// The emulator of one number.
pub struct Cloud {
    account: Account,
    hooks: Hooks,
    customers: Customers,
    lines: VecDeque<Line>,
    files: VecDeque<File>,
    counter: u64,
}

impl Cloud {
    /// An emulator of `account` whose webhooks go to `webhook_url`.
    pub fn new(account: Account, webhook_url: String) -> Self {
        Self {
            hooks: Hooks::new(&account, webhook_url),
            account,
            customers: Customers::new(),
            lines: VecDeque::new(),
            files: VecDeque::new(),
            counter: 0,
        }
    }

    /// Numbers begin at the time of the first use: an emulator that was restarted must not repeat the
    /// ids of its predecessor, which the gateway remembers for good.
    fn begin(&mut self, now: Millis) {
        if self.counter == 0 {
            self.counter = u64::try_from(now.0).unwrap_or(0);
        }
    }

    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn message_id(&mut self) -> String {
        let number = self.number();
        format!("wamid.SANDBOX{number:08}AA==")
    }

    fn push(&mut self, line: Line) {
        self.lines.push_back(line);
        while self.lines.len() > PHONE_LINES_MAX {
            self.lines.pop_front();
        }
    }

    fn keep_file(&mut self, mime: String, bytes: Bytes) -> String {
        let id = format!("77{:011}", self.number());
        self.files.push_back(File {
            id: id.clone(),
            mime,
            bytes,
        });
        while self.files.len() > FILES_MAX {
            self.files.pop_front();
        }
        id
    }

    fn file(&self, id: &str) -> Option<&File> {
        self.files.iter().find(|f| f.id == id)
    }

    /// The path below the API's root, and the query.
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
        let query = |name: &str| {
            form_urlencoded::parse(query.as_bytes())
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.into_owned())
        };
        let token = bearer(request).unwrap_or_default();
        let ours = self.account.settings.access_token.expose();
        if path == FILES_PATH {
            // The file host speaks plain HTTP: no JSON, no codes.
            let file = query("mid").and_then(|id| self.file(&id));
            return Ok(match file {
                _ if !sign::same(token.as_bytes(), ours.as_bytes()) => Response::empty(401),
                Some(file) => Response {
                    body: file.bytes.clone(),
                    ..Response::empty(200).with_header("content-type", file.mime.clone())
                },
                None => Response::empty(404),
            }
            .into());
        }
        if !sign::same(token.as_bytes(), ours.as_bytes()) {
            return Err(Fault::token());
        }
        let mut steps = path.trim_matches('/').split('/');
        let version = steps.next().unwrap_or_default();
        if !version.starts_with('v') {
            return Err(Fault::path(path));
        }
        let steps: Vec<&str> = steps.collect();
        let our_id = self.account.settings.phone_number_id.as_str();
        match (request.method, steps.as_slice()) {
            (Method::Post, [id, "messages"]) if *id == our_id => self.messages(request, now),
            (Method::Post, [id, "media"]) if *id == our_id => self.upload(request),
            (Method::Get, [id]) if *id == our_id => Ok(self.describe(query("fields")).into()),
            (Method::Get, [id]) => {
                let number = query("phone_number_id");
                if number.is_some_and(|n| n != our_id) {
                    return Err(Fault::no_object(id));
                }
                match self.file(id) {
                    Some(file) => Ok(self.file_info(file).into()),
                    None => Err(Fault::no_object(id)),
                }
            }
            (_, [id, ..]) if *id != our_id => Err(Fault::no_object(id)),
            _ => Err(Fault::path(path)),
        }
    }

    fn describe(&self, fields: Option<String>) -> Response {
        let fields = fields.unwrap_or_else(|| "display_phone_number,verified_name".to_owned());
        let all = json!({
            "display_phone_number": "+1 555-010-7788",
            "verified_name": "Sandbox",
            "quality_rating": "GREEN",
        });
        let mut shown = json!({"id": self.account.settings.phone_number_id});
        for field in fields.split(',') {
            if let (Some(value), Value::Object(map)) = (all.get(field), &mut shown) {
                map.insert(field.to_owned(), value.clone());
            }
        }
        Response::json(200, shown.to_string())
    }

    fn file_info(&self, file: &File) -> Response {
        let info = json!({
            "messaging_product": "whatsapp",
            "url": format!("{}{FILES_PATH}?mid={}", self.account.base, file.id),
            "mime_type": file.mime,
            "sha256": sign::sha256_hex(&file.bytes),
            "file_size": file.bytes.len(),
            "id": file.id,
        });
        Response::json(200, info.to_string())
    }

    fn upload(&mut self, request: &Request) -> Result<Exchange, Fault> {
        let Body::Multipart(fields) = &request.body else {
            return Err(Fault::invalid("a multipart form is required"));
        };
        let field = |name: &str| fields.iter().find(|f| f.name == name);
        if field("messaging_product").is_none_or(|f| f.bytes != "whatsapp") {
            return Err(Fault::missing("messaging_product"));
        }
        let file = field("file").ok_or_else(|| Fault::missing("file"))?;
        let stated = field("type").map(|f| String::from_utf8_lossy(&f.bytes).into_owned());
        let mime = stated
            .or_else(|| file.mime.clone())
            .ok_or_else(|| Fault::missing("type"))?;
        let bytes = file.bytes.clone();
        let id = self.keep_file(mime, bytes);
        Ok(Response::json(200, json!({"id": id}).to_string()).into())
    }

    fn messages(&mut self, request: &Request, now: Millis) -> Result<Exchange, Fault> {
        let Body::Json(text) = &request.body else {
            return Err(Fault::invalid("a JSON body is required"));
        };
        match check::check(text)? {
            Accepted::Read { message_id } => {
                let known = self.lines.iter().any(|l| l.shown.id == message_id);
                if !known {
                    return Err(Fault::value("message_id is none of a message that we received"));
                }
                Ok(Response::json(200, r#"{"success":true}"#).into())
            }
            Accepted::Message(message) => self.accept(*message, now),
        }
    }

    /// Takes a message, or refuses it for what it is sent to.
    fn accept(&mut self, message: check::Message, now: Millis) -> Result<Exchange, Fault> {
        let to = self.addressed(&message)?;
        let customer = self.customers.get(&to);
        let template = message.template.is_some();
        if customer.is_some_and(|c| c.blocked) {
            return Err(Fault::blocked());
        }
        if !template && !customer.is_some_and(|c| c.window_is_open(now)) {
            return Err(Fault::window());
        }
        if let Some(id) = &message.media_id
            && self.file(id).is_none()
        {
            return Err(Fault::value("the media id is unknown"));
        }
        if let Some(target) = &message.target
            && !self.lines.iter().any(|l| l.shown.id == *target)
        {
            return Err(Fault::value("message_id is unknown"));
        }
        let customer = self.customers.meet(&to, None).clone();
        let id = self.message_id();
        let mut sent = vec!["sent", "delivered"];
        if message.fetch_fails {
            sent = vec!["failed"];
        }
        let status = |status: &&str| hooks::status(&customer, &id, status, &message, now);
        let hooks = (1..)
            .zip(&sent)
            .map(|(place, name)| self.hooks.messages_after(status(name), place * 20))
            .collect();
        let mut accepted = json!({"id": id});
        if template && let Value::Object(map) = &mut accepted {
            map.insert("message_status".to_owned(), "accepted".into());
        }
        let answer = json!({
            "messaging_product": "whatsapp",
            "contacts": [{
                "input": message.address(),
                "wa_id": customer.wa_id,
                "user_id": customer.user_id,
            }],
            "messages": [accepted],
        });
        self.show(message, &customer, id, now);
        Ok(Exchange {
            response: Response::json(200, answer.to_string()),
            hooks,
        })
    }

    /// The number of whom a message is for.
    fn addressed(&self, message: &check::Message) -> Result<String, Fault> {
        if message.group {
            return Err(Fault::unknown_group());
        }
        let number = match (&message.to, &message.recipient) {
            (Some(to), _) => customers::digits(to)
                .ok_or_else(|| Fault::value("to is no telephone number with country code"))?,
            (None, Some(user_id)) => self
                .customers
                .by_user_id(user_id)
                .ok_or_else(Fault::undeliverable)?,
            (None, None) => return Err(Fault::missing("to")),
        };
        if number == OUR_NUMBER {
            return Err(Fault::ourselves());
        }
        if number.starts_with(NOT_ON_WHATSAPP) {
            return Err(Fault::undeliverable());
        }
        Ok(number)
    }

    /// Puts an accepted message on the customer's phone.
    fn show(
        &mut self,
        message: check::Message,
        customer: &customers::Customer,
        id: String,
        now: Millis,
    ) {
        if let Some(target) = &message.target {
            for line in &mut self.lines {
                if line.shown.id == *target {
                    line.shown.reactions.clear();
                    line.shown.reactions.extend(message.emoji.clone());
                }
            }
            return;
        }
        if message.fetch_fails {
            return; // it never reaches the phone
        }
        self.push(Line {
            shown: PhoneLine {
                customer: customer.wa_id.clone(),
                name: customer.name.clone(),
                id,
                from_gateway: true,
                text: message.text,
                extras: message.extras,
                buttons: message.choices.iter().map(|c| c.title.clone()).collect(),
                reactions: Vec::new(),
                at: now,
            },
            choices: message.choices,
            press: message.press,
            reference: message.reference,
            read: false,
        });
    }
}

impl Emulator for Cloud {
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange {
        self.begin(now);
        match self.answer(request, now) {
            Ok(exchange) => exchange,
            Err(fault) => {
                let trace = self.number();
                fault.response(trace).into()
            }
        }
    }

    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        self.begin(now);
        self.acted(action, now)
    }

    fn phone(&self) -> Vec<PhoneLine> {
        self.lines.iter().map(|l| l.shown.clone()).collect()
    }

    fn reset(&mut self) {
        self.customers = Customers::new();
        self.lines.clear();
        self.files.clear();
    }
}


#[cfg(test)]
mod tests;
