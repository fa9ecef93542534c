//! Replies, pushes and multicasts.

use super::check::{Faults, address};
use super::{Accepted, Exchange, Failure, REMEMBERED_MAX, Sandbox, object, ok};
use crate::kit::http::{Request, Response};
use crate::line::config::is_id;
use crate::model::Millis;
use serde_json::{Map, Value, json};

/// How long a reply token works (Messaging API reference, "Send reply message": one minute).
const REPLY_TOKEN_MS: i64 = 60_000;

/// How long a retry key is remembered (reference, "Retry failed API requests": 24 hours).
const RETRY_KEY_MS: i64 = 24 * 60 * 60 * 1000;

/// The most people that one multicast reaches.
const MULTICAST_MAX: usize = 500;

impl Sandbox {
    pub fn reply(&mut self, request: &Request, now: Millis) -> Result<Exchange, Failure> {
        if request.headers.get("x-line-retry-key").is_some() {
            let words = "The retry key is not allowed for this request";
            return Err(Failure::new(400, words));
        }
        let fields = object(request)?;
        check(&fields, &["replyToken", "messages", "notificationDisabled"])?;
        let token = fields.get("replyToken").and_then(Value::as_str);
        let found = self.reply_tokens.iter().position(|known| {
            Some(known.text.as_str()) == token && now.since(known.at) <= REPLY_TOKEN_MS
        });
        let known = found.and_then(|at| self.reply_tokens.get(at)).cloned();
        let known = known.ok_or_else(|| Failure::new(400, "Invalid reply token"))?;
        self.check_quotes(&fields, &known.customer)?;
        self.reply_tokens.retain(|other| other.text != known.text);
        let answer = self.arrive(&fields, &known.customer, now);
        Ok(ok(&answer))
    }

    pub fn push(&mut self, request: &Request, now: Millis) -> Result<Exchange, Failure> {
        let key = retry_key(request)?;
        let fields = object(request)?;
        if let Some(accepted) = self.accepted_before(key.as_deref(), now) {
            return Ok(accepted.into());
        }
        let known = ["to", "messages", "notificationDisabled", "customAggregationUnits"];
        let to = address(fields.get("to"))?;
        check(&fields, &known)?;
        if !self.customers.contains_key(to) {
            return Err(Failure::new(400, "Failed to send messages"));
        }
        self.check_quotes(&fields, to)?;
        self.pushed += 1;
        let answer = self.arrive(&fields, to, now);
        self.remember(key, &answer, now);
        Ok(ok(&answer))
    }

    pub fn multicast(&mut self, request: &Request, now: Millis) -> Result<Exchange, Failure> {
        let key = retry_key(request)?;
        let fields = object(request)?;
        if let Some(accepted) = self.accepted_before(key.as_deref(), now) {
            return Ok(accepted.into());
        }
        let known = ["to", "messages", "notificationDisabled", "customAggregationUnits"];
        check(&fields, &known)?;
        let to: Option<Vec<String>> = fields
            .get("to")
            .and_then(|to| serde_json::from_value(to.clone()).ok());
        let to = to.filter(|to| {
            (1..=MULTICAST_MAX).contains(&to.len()) && to.iter().all(|id| is_id(id, "U"))
        });
        let Some(to) = to else {
            address(None)?;
            return Err(Failure::new(400, "Failed to send messages"));
        };
        // Who is unknown is passed over without a word.
        for person in to.iter().filter(|id| self.customers.contains_key(*id)).cloned().collect::<Vec<_>>() {
            self.pushed += 1;
            self.arrive(&fields, &person, now);
        }
        self.remember(key, &json!({}), now);
        Ok(ok(&json!({})))
    }

    /// LINE's answer where this key was accepted before, whatever the body is now.
    fn accepted_before(&self, key: Option<&str>, now: Millis) -> Option<Response> {
        let mut known = self.accepted.iter();
        let known = known.find(|known| {
            Some(known.key.as_str()) == key && now.since(known.at) <= RETRY_KEY_MS
        })?;
        let mut body = json!({"message": "The retry key is already accepted"});
        if let (Some(body), Some(answer)) = (body.as_object_mut(), known.answer.as_object()) {
            body.extend(answer.clone());
        }
        let response = Response::json(409, body.to_string());
        Some(response.with_header("x-line-accepted-request-id", &known.request))
    }

    fn remember(&mut self, key: Option<String>, answer: &Value, now: Millis) {
        let Some(key) = key else { return };
        let request = self.next_token("accepted");
        self.accepted.push_back(Accepted {
            key,
            request,
            answer: answer.clone(),
            at: now,
        });
        while self.accepted.len() > REMEMBERED_MAX {
            self.accepted.pop_front();
        }
    }

    /// Quote tokens are of this chat.
    fn check_quotes(&self, fields: &Map<String, Value>, customer: &str) -> Result<(), Failure> {
        let mut faults = Faults::default();
        for (i, message) in listed(fields).iter().enumerate() {
            let Some(token) = message.get("quoteToken").and_then(Value::as_str) else {
                continue;
            };
            let of_chat = self.messages.iter().any(|stored| {
                stored.customer == customer && stored.quote_token.as_deref() == Some(token)
            });
            if !of_chat {
                faults.add(&format!("messages[{i}].quoteToken"), "Invalid quote token");
            }
        }
        faults.result()
    }

    /// Puts messages on a phone, unless its owner has blocked the account; they have ids all the same.
    fn arrive(&mut self, fields: &Map<String, Value>, customer: &str, now: Millis) -> Value {
        let blocked = self.customers.get(customer).is_some_and(|c| c.blocked);
        let mut sent = Vec::new();
        for message in listed(fields) {
            let (id, quote) = self.keep(customer, true, message.clone(), now);
            if blocked {
                self.messages.pop_back();
            }
            let mut one = json!({"id": id});
            if let (Some(one), Some(quote)) = (one.as_object_mut(), quote) {
                one.insert("quoteToken".into(), json!(quote));
            }
            sent.push(one);
        }
        json!({"sentMessages": sent})
    }
}

/// Whether LINE would take the messages.
pub fn validate(request: &Request) -> Result<Exchange, Failure> {
    check(&object(request)?, &["messages"])?;
    Ok(ok(&json!({})))
}

/// Looks at a body from top to bottom.
fn check(fields: &Map<String, Value>, known: &[&str]) -> Result<(), Failure> {
    let mut faults = Faults::default();
    let whole = Value::Object(fields.clone());
    faults.fields(Some(&whole), "", known);
    if known.contains(&"replyToken") {
        faults.text(fields, "", "replyToken", true, 1000);
    }
    faults.flag(fields, "", "notificationDisabled");
    faults.messages(fields);
    let units = fields.get("customAggregationUnits").filter(|units| !units.is_null());
    let named = |unit: &Value| {
        let unit = unit.as_str().unwrap_or_default();
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        (1..=30).contains(&unit.len()) && unit.bytes().all(word)
    };
    if let Some(units) = units
        && !units.as_array().is_some_and(|u| u.len() <= 1 && u.iter().all(named))
    {
        faults.add("customAggregationUnits", "At most one unit of A-Z a-z 0-9 _, 30 characters");
    }
    faults.result()
}

fn listed(fields: &Map<String, Value>) -> &[Value] {
    let list = fields.get("messages").and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// The request's retry key, a UUID in hexadecimal with hyphens.
fn retry_key(request: &Request) -> Result<Option<String>, Failure> {
    let Some(key) = request.headers.get("x-line-retry-key") else {
        return Ok(None);
    };
    let groups: Vec<&str> = key.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let hex = groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()));
    if lengths == [8, 4, 4, 4, 12] && hex {
        return Ok(Some(key.to_ascii_lowercase()));
    }
    Err(Failure::new(400, "The retry key is invalid"))
}
