//! The calls that the emulator knows.

use super::content;
use super::{Customer, Failure, HOST, Sandbox};
use crate::kit::emulator::Hook;
use crate::model::Millis;
use crate::viber::config::EVENT_TYPES;
use serde_json::{Map, Value, json};
use url::Url;

/// What can be called.
pub const METHODS: [&str; 6] = [
    "set_webhook",
    "send_message",
    "broadcast_message",
    "get_account_info",
    "get_user_details",
    "get_online",
];

/// Messages that a person gets in an hour without answering.
const UNANSWERED_MAX: u32 = 100;
const HOUR_MS: i64 = 3_600_000;

/// Questions about one person in twelve hours.
const DETAILS_MAX: u32 = 2;

/// People about whom one question may be.
const ONLINE_MAX: usize = 100;

/// What an emulated client can show.
const CLIENT_VERSION: u64 = 10;

/// An answer and what follows from it.
type Done = Result<(Value, Vec<Hook>), Failure>;

fn ok(mut answer: Value) -> Value {
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("status".into(), json!(0));
        answer.insert("status_message".into(), json!("ok"));
        answer.insert("chat_hostname".into(), json!(HOST));
    }
    answer
}

/// A required text.
fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, Failure> {
    match fields.get(name) {
        None | Some(Value::Null) => Err(Failure::missing(name)),
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(Value::String(_)) => Err(Failure::missing(name)),
        Some(_) => Err(Failure::bad(format!("{name} is no text"))),
    }
}

/// Refuses fields that are not documented.
fn only(fields: &Map<String, Value>, known: &[&str]) -> Result<(), Failure> {
    let stray = fields.keys().find(|name| !known.contains(&name.as_str()));
    stray.map_or(Ok(()), |name| {
        Err(Failure::bad(format!("unknown field {name}")))
    })
}

impl Sandbox {
    /// Calls a method.
    pub fn method(&mut self, name: &str, fields: Map<String, Value>, now: Millis) -> Done {
        match name {
            "set_webhook" => self.set_webhook(&fields, now),
            "send_message" => self.send_message(fields, now),
            "broadcast_message" => Err(Failure::new(20, "broadcastNotAllowed")),
            "get_account_info" => self.account(&fields),
            "get_user_details" => self.details(&fields, now),
            _ => self.online(&fields),
        }
    }

    fn set_webhook(&mut self, fields: &Map<String, Value>, now: Millis) -> Done {
        only(fields, &["url", "event_types", "send_name", "send_photo", "is_inline"])?;
        let url = match fields.get("url") {
            Some(Value::String(url)) => url.clone(),
            Some(_) => return Err(Failure::bad("url is no text")),
            None => return Err(Failure::missing("url")),
        };
        for flag in ["send_name", "send_photo", "is_inline"] {
            if fields.get(flag).is_some_and(|flag| !flag.is_boolean()) {
                return Err(Failure::bad(format!("{flag} is neither true nor false")));
            }
        }
        let wanted = match fields.get("event_types") {
            None | Some(Value::Null) => EVENT_TYPES.map(str::to_owned).to_vec(),
            Some(kinds) => serde_json::from_value::<Vec<String>>(kinds.clone())
                .map_err(|e| Failure::bad(format!("event_types: {e}")))?,
        };
        let known = |kind: &String| EVENT_TYPES.contains(&kind.as_str()) || kind == "message";
        if let Some(kind) = wanted.iter().find(|kind| !known(kind)) {
            return Err(Failure::bad(format!("event_types: {kind} is unknown")));
        }
        if url.is_empty() {
            self.webhook = None;
            return Ok((ok(json!({"event_types": []})), Vec::new()));
        }
        // The channel's own URL may be plain http on this machine; Viber itself wants https.
        let https = Url::parse(&url).is_ok_and(|url| url.scheme() == "https");
        if url != self.hook_url && !https {
            return Err(Failure::new(1, "invalidUrl"));
        }
        if url != self.hook_url {
            // The handshake would have to reach another machine, which the emulator does not.
            return Err(Failure::new(1, "Result verification for the webhook request failed"));
        }
        self.webhook = Some(url);
        self.event_types.clone_from(&wanted);
        let token = self.next_token();
        let handshake = self.event("webhook", token, json!({}), now);
        let answer = ok(json!({"event_types": wanted}));
        Ok((answer, handshake.into_iter().collect()))
    }

    fn send_message(&mut self, fields: Map<String, Value>, now: Millis) -> Done {
        if self.webhook.is_none() {
            return Err(Failure::new(10, "webhookNotSet"));
        }
        let receiver = text(&fields, "receiver")?.to_owned();
        let version = frame(&fields)?;
        content::check(&fields)?;
        let Some(customer) = self.customers.get_mut(&receiver) else {
            return Err(Failure::new(5, "receiverNotRegistered"));
        };
        if !customer.subscribed {
            return Err(Failure::new(6, "receiverNotSubscribed"));
        }
        if version > CLIENT_VERSION {
            return Err(Failure::new(14, "incompatibleWithVersion"));
        }
        if now.since(customer.hour) >= HOUR_MS {
            (customer.hour, customer.unanswered) = (now, 0);
        }
        if customer.unanswered >= UNANSWERED_MAX {
            return Err(Failure::new(12, "tooManyRequests"));
        }
        customer.unanswered += 1;
        let token = self.keep(&receiver, true, Value::Object(fields), now);
        let delivered = self.event("delivered", token, json!({"user_id": receiver}), now);
        let answer = ok(json!({"message_token": token, "billing_status": 1}));
        Ok((answer, delivered.into_iter().collect()))
    }

    fn account(&self, fields: &Map<String, Value>) -> Done {
        only(fields, &[])?;
        let subscribers = self.customers.values().filter(|c| c.subscribed).count();
        let answer = ok(json!({
            "id": "pa:75346594275468546724",
            "name": self.settings.sender_name,
            "uri": "sandbox",
            "category": "Companies, Brands & Products",
            "country": "SE",
            "webhook": self.webhook.clone().unwrap_or_default(),
            "event_types": self.event_types,
            "subscribers_count": subscribers,
            "members": [],
        }));
        Ok((answer, Vec::new()))
    }

    fn details(&mut self, fields: &Map<String, Value>, now: Millis) -> Done {
        only(fields, &["id"])?;
        let id = text(fields, "id")?.to_owned();
        let Some(customer) = self.customers.get_mut(&id) else {
            return Err(Failure::new(5, "receiverNotRegistered"));
        };
        if !customer.subscribed {
            return Err(Failure::new(6, "receiverNotSubscribed"));
        }
        let (since, times) = customer.asked;
        customer.asked = if times == 0 || now.since(since) >= 12 * HOUR_MS {
            (now, 1)
        } else {
            (since, times + 1)
        };
        if customer.asked.1 > DETAILS_MAX {
            return Err(Failure::new(12, "tooManyRequests"));
        }
        let mut user = person(&id, customer);
        if let Some(user) = user.as_object_mut() {
            user.insert("primary_device_os".into(), json!("android 16"));
            user.insert("viber_version".into(), json!("27.1.0"));
            user.insert("device_type".into(), json!("sandbox"));
            user.insert("mcc".into(), json!(240));
            user.insert("mnc".into(), json!(1));
        }
        Ok((ok(json!({"user": user})), Vec::new()))
    }

    fn online(&self, fields: &Map<String, Value>) -> Done {
        only(fields, &["ids"])?;
        let ids = fields.get("ids").ok_or_else(|| Failure::missing("ids"))?;
        let ids: Vec<String> = serde_json::from_value(ids.clone())
            .map_err(|e| Failure::bad(format!("ids: {e}")))?;
        if ids.is_empty() || ids.len() > ONLINE_MAX {
            return Err(Failure::bad("ids: 1 to 100 are taken"));
        }
        let users: Vec<Value> = ids
            .iter()
            .map(|id| match self.customers.get(id).filter(|c| c.subscribed) {
                Some(_) => json!({"id": id, "online_status": 0, "online_status_message": "online"}),
                None => {
                    json!({"id": id, "online_status": 4, "online_status_message": "unavailable"})
                }
            })
            .collect();
        Ok((ok(json!({"users": users})), Vec::new()))
    }
}

/// A person as events and answers describe them.
pub fn person(id: &str, customer: &Customer) -> Value {
    json!({
        "id": id, "name": customer.name, "country": "SE", "language": "en",
        "api_version": CLIENT_VERSION,
    })
}

/// Checks what stands around every message; gives the oldest client that it is for.
fn frame(fields: &Map<String, Value>) -> Result<u64, Failure> {
    let sender = match fields.get("sender") {
        None | Some(Value::Null) => return Err(Failure::missing("sender")),
        Some(Value::Object(sender)) => sender,
        Some(_) => return Err(Failure::bad("sender is no object")),
    };
    only(sender, &["name", "avatar"])?;
    if text(sender, "name")?.chars().count() > 28 {
        return Err(Failure::bad("sender.name is longer than 28 characters"));
    }
    if let Some(avatar) = sender.get("avatar").filter(|avatar| !avatar.is_null()) {
        let link = avatar.as_str().and_then(|link| Url::parse(link).ok());
        if !link.is_some_and(|link| matches!(link.scheme(), "http" | "https")) {
            return Err(Failure::bad("sender.avatar is no link"));
        }
    }
    if let Some(data) = fields.get("tracking_data") {
        let data = data.as_str().ok_or_else(|| Failure::bad("tracking_data is no text"))?;
        if data.chars().count() > 4000 {
            return Err(Failure::bad("tracking_data is longer than 4000 characters"));
        }
    }
    match fields.get("min_api_version") {
        None => Ok(1),
        Some(version) => match version.as_u64() {
            Some(0) | None => Err(Failure::bad("min_api_version is no version")),
            // Newer than anything that exists.
            Some(version) if version > 100 => Err(Failure::new(13, "apiVersionNotSupported")),
            Some(version) => Ok(version),
        },
    }
}
