//! What the emulated customers do, and the webhooks that follow from it.

use super::{
    CUSTOMER, CUSTOMERS_MAX, Customer, FILES_MAX_BYTES, File, REMEMBERED_MAX, Sandbox, Token,
};
use crate::kit::emulator::{Action, ActionAttachment, CannotAct, Hook};
use crate::kit::split::split;
use crate::line::config::is_id;
use crate::line::plan::TEXT;
use crate::model::{Location, Millis};
use bytes::Bytes;
use serde_json::{Value, json};

/// How long LINE prepares a film or recording here.
const PREPARING_MS: i64 = 1000;

fn cannot<T>(words: impl Into<String>) -> Result<T, CannotAct> {
    Err(CannotAct(words.into()))
}

/// The actions on a message: quick replies and those of templates.
pub fn actions(message: &Value) -> impl Iterator<Item = &Value> {
    let quick = message.pointer("/quickReply/items").and_then(Value::as_array);
    let quick = quick.into_iter().flatten().filter_map(|item| item.get("action"));
    let own = message.pointer("/template/actions").and_then(Value::as_array);
    let columns = message.pointer("/template/columns").and_then(Value::as_array);
    let columns = columns.into_iter().flatten();
    let columns = columns.flat_map(|column| {
        let list = column.get("actions").and_then(Value::as_array);
        list.into_iter().flatten().chain(column.get("action"))
    });
    own.into_iter().flatten().chain(columns).chain(quick)
}

impl Sandbox {
    /// Lets a customer do something.
    pub fn customer_acts(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        match action {
            Action::Say {
                from,
                name,
                text,
                attachment,
                location,
                reply_to,
            } => {
                let who = self.customer(from.as_deref(), name.as_deref())?;
                if let Some(id) = reply_to {
                    let mut known = self.messages.iter();
                    if !known.any(|stored| stored.customer == who && stored.id == *id) {
                        return cannot(format!("no message {id} in this chat"));
                    }
                }
                self.say(&who, text, attachment.as_ref(), location.as_ref(), reply_to, now)
            }
            Action::Press { from, button } => self.press(from.as_deref(), button, now),
            Action::Read { .. } => cannot("LINE tells accounts nothing of what was read"),
            Action::React { .. } => cannot("LINE tells accounts nothing of reactions"),
            Action::Edit { .. } => {
                cannot("messages to accounts cannot be changed in chats with one person")
            }
            Action::Block { from } => self.block(from.as_deref(), true, now),
            Action::Unblock { from } => self.block(from.as_deref(), false, now),
        }
    }

    /// The id of a customer who does something: known, or new.
    fn customer(&mut self, from: Option<&str>, name: Option<&str>) -> Result<String, CannotAct> {
        let id = from.map_or(CUSTOMER, str::trim).to_owned();
        if !is_id(&id, "U") || id == self.bot {
            return cannot("a customer of LINE is a user id: U and 32 hexadecimal digits");
        }
        if self.customers.len() >= CUSTOMERS_MAX && !self.customers.contains_key(&id) {
            return cannot("too many customers: start over");
        }
        let customer = self.customers.entry(id.clone()).or_insert_with(|| Customer {
            name: format!("Customer {}", id.chars().skip(25).collect::<String>()),
            blocked: false,
        });
        if customer.blocked {
            return cannot("this customer has blocked the account: unblock it first");
        }
        if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) {
            name.clone_into(&mut customer.name);
        }
        Ok(id)
    }

    /// An event of this person, with what is its own.
    fn event(&mut self, who: &str, kind: &str, own: Value, now: Millis) -> Value {
        let mut event = json!({
            "type": kind, "mode": "active", "timestamp": now.0,
            "source": {"type": "user", "userId": who},
            "webhookEventId": self.next_ulid(now),
            "deliveryContext": {"isRedelivery": false},
        });
        let token = (kind != "unfollow").then(|| self.next_token("reply"));
        if let (Some(event), Value::Object(own)) = (event.as_object_mut(), own) {
            event.extend(own);
            if let Some(text) = token {
                event.insert("replyToken".into(), json!(text));
                self.reply_tokens.push_back(Token {
                    text,
                    customer: who.to_owned(),
                    at: now,
                });
                while self.reply_tokens.len() > REMEMBERED_MAX {
                    self.reply_tokens.pop_front();
                }
            }
        }
        event
    }

    /// Messages, in one webhook.
    fn say(
        &mut self,
        who: &str,
        text: &str,
        attachment: Option<&ActionAttachment>,
        location: Option<&Location>,
        reply_to: &Option<String>,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let mut messages = Vec::new();
        messages.extend(attachment.map(sent_file));
        if let Some(place) = location {
            if !place.is_valid() {
                return cannot("no such place");
            }
            let mut message = json!({
                "type": "location", "latitude": place.latitude, "longitude": place.longitude,
            });
            insert(&mut message, "title", place.name.as_deref());
            insert(&mut message, "address", place.address.as_deref());
            messages.push(message);
        }
        let pieces = split(text, TEXT).into_iter();
        let pieces = pieces.filter(|piece| !piece.trim().is_empty());
        messages.extend(pieces.map(|piece| json!({"type": "text", "text": piece})));
        if messages.is_empty() {
            return cannot("there is nothing to say");
        }
        let mut events = Vec::new();
        for mut message in messages {
            if message.get("type").and_then(Value::as_str) == Some("text") && events.is_empty() {
                insert(&mut message, "quotedMessageId", reply_to.as_deref());
            }
            let (id, quote_token) = self.keep(who, false, message.clone(), now);
            if message.get("contentProvider").is_some() || message.get("fileName").is_some() {
                self.keep_file(&id, attachment, now);
            }
            insert(&mut message, "quoteToken", quote_token.as_deref());
            insert(&mut message, "markAsReadToken", Some(&format!("read-{id}")));
            insert(&mut message, "id", Some(&id));
            events.push(self.event(who, "message", json!({"message": message}), now));
        }
        Ok(vec![self.hook(&events)])
    }

    /// Keeps the bytes of a file that was just sent.
    fn keep_file(&mut self, id: &str, file: Option<&ActionAttachment>, now: Millis) {
        let Some(file) = file else { return };
        let slow = file.mime.starts_with("video/") || file.mime.starts_with("audio/");
        self.files.push_back(File {
            message: id.to_owned(),
            mime: file.mime.clone(),
            bytes: Bytes::from(file.content.clone()),
            ready_at: now.plus(if slow { PREPARING_MS } else { 0 }),
        });
        let too_many = |files: &std::collections::VecDeque<File>| {
            let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
            files.len() > REMEMBERED_MAX || (files.len() > 1 && bytes > FILES_MAX_BYTES)
        };
        while too_many(&self.files) {
            self.files.pop_front();
        }
    }

    /// Presses a button: by the payload or the title. Quick replies stand only below the last
    /// message; templates stay.
    fn press(
        &mut self,
        from: Option<&str>,
        wanted: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let who = self.customer(from, None)?;
        let chat = || self.messages.iter().rev().filter(|stored| stored.customer == who);
        // What the customer's own presses show does not push the quick replies away here.
        let last = chat().find(|stored| stored.from_bot).map(|stored| stored.id.clone());
        let typed = chat().find(|stored| !is_press(&stored.message)).map(|s| s.id.clone());
        let found = chat().filter(|stored| stored.from_bot).find_map(|stored| {
            let newest = last.as_ref() == Some(&stored.id) && typed == last;
            let quick = stored.message.pointer("/quickReply/items").is_some();
            let mut actions = actions(&stored.message).filter(|_| newest || !quick);
            let is = |action: &&Value, name: &str| {
                let text = action.get(name).and_then(Value::as_str).unwrap_or_default();
                let data = super::super::wire::read_button_data(text).0;
                text == wanted || name == "data" && data == wanted
            };
            actions.find(|action| is(action, "data") || is(action, "label")).cloned()
        });
        let Some(action) = found else {
            return cannot(format!("no button {wanted} in this chat"));
        };
        let word = |name: &str| action.get(name).and_then(Value::as_str);
        match word("type").unwrap_or_default() {
            "message" => {
                let text = word("text").unwrap_or_default().to_owned();
                self.say(&who, &text, None, None, &None, now)
            }
            "postback" => {
                if let Some(text) = word("displayText") {
                    let shown = json!({"type": "text", "text": text, "pressed": true});
                    self.keep(&who, false, shown, now);
                }
                let data = word("data").unwrap_or_default();
                let own = json!({"postback": {"data": data}});
                let event = self.event(&who, "postback", own, now);
                Ok(vec![self.hook(&[event])])
            }
            "datetimepicker" => {
                let mode = word("mode").unwrap_or("date").to_owned();
                let chosen = match mode.as_str() {
                    "time" => "10:30",
                    "datetime" => "2026-12-01T10:30",
                    _ => "2026-12-01",
                };
                let data = word("data").unwrap_or_default();
                let own = json!({"postback": {"data": data, "params": {mode: chosen}}});
                let event = self.event(&who, "postback", own, now);
                Ok(vec![self.hook(&[event])])
            }
            other => cannot(format!("LINE tells accounts nothing of a {other} button")),
        }
    }

    fn block(
        &mut self,
        from: Option<&str>,
        blocked: bool,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let who = from.map_or(CUSTOMER, str::trim).to_owned();
        let Some(customer) = self.customers.get_mut(&who) else {
            return cannot("no such customer");
        };
        if customer.blocked == blocked {
            return cannot("that changes nothing");
        }
        customer.blocked = blocked;
        let event = if blocked {
            self.event(&who, "unfollow", json!({}), now)
        } else {
            self.event(&who, "follow", json!({"follow": {"isUnblocked": true}}), now)
        };
        Ok(vec![self.hook(&[event])])
    }
}

/// What only the phone shows: a line that a pressed button wrote.
fn is_press(message: &Value) -> bool {
    message.get("pressed").is_some()
}

fn insert(message: &mut Value, name: &str, value: Option<&str>) {
    if let (Some(fields), Some(value)) = (message.as_object_mut(), value) {
        fields.insert(name.into(), json!(value));
    }
}

/// A file as the kind as which LINE's app would send it.
fn sent_file(file: &ActionAttachment) -> Value {
    let line = json!({"type": "line"});
    match file.mime.split('/').next().unwrap_or_default() {
        "image" => json!({"type": "image", "contentProvider": line}),
        "video" => json!({"type": "video", "duration": 3000, "contentProvider": line}),
        "audio" => json!({"type": "audio", "duration": 3000, "contentProvider": line}),
        _ => json!({"type": "file", "fileName": file.name, "fileSize": file.content.len()}),
    }
}
