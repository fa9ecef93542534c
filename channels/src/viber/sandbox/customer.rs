//! What the emulated customers do, and the events that follow from it.

use super::content::{self, buttons};
use super::methods::person;
use super::{CUSTOMER, CUSTOMERS_MAX, Customer, FILES_MAX, Sandbox, StoredFile};
use crate::kit::emulator::{Action, ActionAttachment, CannotAct, Hook};
use crate::kit::split::split;
use crate::model::{Location, Millis};
use crate::viber::plan::{CAPTION, TEXT};
use crate::viber::render::PRESS_PREFIX;
use crate::viber::wire::is_user_id;
use serde_json::{Value, json};

fn cannot<T>(words: impl Into<String>) -> Result<T, CannotAct> {
    Err(CannotAct(words.into()))
}

fn set(message: &mut Value, name: &str, value: Value) {
    if let Some(message) = message.as_object_mut() {
        message.insert(name.to_owned(), value);
    }
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
                if reply_to.is_some() {
                    return cannot("bots on Viber are not told which message is answered");
                }
                let id = known_form(from.as_deref())?;
                let contents = self.said(text, attachment.as_ref(), location.as_ref())?;
                let mut hooks = self.arrives(&id, name.as_deref(), now)?;
                for content in contents {
                    hooks.extend(self.writes(&id, content, false, now));
                }
                Ok(hooks)
            }
            Action::Press { from, button } => self.press(from.as_deref(), button, now),
            Action::Read { from } => self.read(from.as_deref(), now),
            Action::React { .. } => cannot("bots on Viber are told nothing of reactions"),
            Action::Edit { .. } => cannot("bots on Viber are told nothing of edits"),
            Action::Block { from } => self.subscribe(from.as_deref(), false, now),
            Action::Unblock { from } => self.subscribe(from.as_deref(), true, now),
        }
    }

    /// Somebody opens the chat. Who is new is announced, and subscribes by writing.
    fn arrives(
        &mut self,
        id: &str,
        name: Option<&str>,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let name = name.map(str::trim).filter(|name| !name.is_empty());
        if let Some(customer) = self.customers.get_mut(id) {
            if !customer.subscribed {
                return cannot("this customer has left the bot: unblock it first");
            }
            if let Some(name) = name {
                name.clone_into(&mut customer.name);
            }
            return Ok(Vec::new());
        }
        if self.customers.len() >= CUSTOMERS_MAX {
            return cannot("too many customers: start over");
        }
        let customer = Customer::new(name.unwrap_or("Somebody New"), true);
        let user = person(id, &customer);
        self.customers.insert(id.to_owned(), customer);
        let fields = json!({"type": "open", "user": user, "subscribed": false});
        let token = self.next_token();
        let opened = self.event("conversation_started", token, fields, now);
        Ok(opened.into_iter().collect())
    }

    /// A message of the customer's on its way to the gateway.
    fn writes(
        &mut self,
        id: &str,
        mut content: Value,
        silent: bool,
        now: Millis,
    ) -> Option<Hook> {
        // The client hands back what the bot's last message carried.
        let mut messages = self.messages.iter().rev();
        let last = messages.find(|m| m.customer == id && m.from_bot);
        let tracked = last.and_then(|m| m.message.get("tracking_data")?.as_str());
        let tracked = tracked.unwrap_or_default().to_owned();
        set(&mut content, "tracking_data", json!(tracked));
        let token = self.keep(id, false, content.clone(), now);
        let customer = self.customers.get_mut(id)?;
        customer.unanswered = 0;
        let sender = person(id, customer);
        let fields = json!({"sender": sender, "message": content, "silent": silent});
        self.event("message", token, fields, now)
    }

    /// What is said, as the messages that Viber's apps make of it.
    fn said(
        &mut self,
        text: &str,
        attachment: Option<&ActionAttachment>,
        location: Option<&Location>,
    ) -> Result<Vec<Value>, CannotAct> {
        let mut contents = Vec::new();
        let mut rest = text;
        if let Some(file) = attachment {
            let mut content = self.sent_file(file);
            let picture = content.get("type").and_then(Value::as_str) == Some("picture");
            if picture && CAPTION.fits(text) && !text.trim().is_empty() {
                set(&mut content, "text", json!(text));
                rest = "";
            }
            contents.push(content);
        }
        if let Some(place) = location {
            if !place.is_valid() {
                return cannot("no such place");
            }
            let at = json!({"lat": place.latitude, "lon": place.longitude});
            contents.push(json!({"type": "location", "location": at}));
        }
        let pieces = split(rest, TEXT).into_iter();
        let pieces = pieces.filter(|piece| !piece.trim().is_empty());
        contents.extend(pieces.map(|piece| json!({"type": "text", "text": piece})));
        if contents.is_empty() {
            return cannot("there is nothing to say");
        }
        Ok(contents)
    }

    /// A file as the kind that Viber's apps would send it as, its link the emulator's own.
    fn sent_file(&mut self, file: &ActionAttachment) -> Value {
        let number = self.next_token();
        let extension = file.name.rsplit_once('.').map(|(_, extension)| extension);
        let extension = extension
            .filter(|e| !e.is_empty() && e.bytes().all(|b| b.is_ascii_alphanumeric()))
            .unwrap_or("bin");
        let path = format!("/media/{number}.{extension}");
        let link = format!("{}{path}", self.base);
        let size = file.content.len();
        self.files.push_back(StoredFile {
            path,
            mime: file.mime.clone(),
            bytes: file.content.clone().into(),
        });
        while self.files.len() > FILES_MAX {
            self.files.pop_front();
        }
        match file.mime.as_str() {
            "image/jpeg" | "image/png" | "image/gif" => json!({
                "type": "picture", "media": link, "thumbnail": link, "file_name": file.name,
                "size": size,
            }),
            "video/mp4" => json!({
                "type": "video", "media": link, "thumbnail": link, "size": size, "duration": 1,
            }),
            _ => json!({
                "type": "file", "media": link, "file_name": file.name, "file_size": size,
            }),
        }
    }

    /// Presses a button of the keyboard that is shown: that of the bot's last message.
    fn press(
        &mut self,
        from: Option<&str>,
        wanted: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let id = known_form(from)?;
        let mut messages = self.messages.iter().rev();
        let last = messages.find(|m| m.customer == id && m.from_bot);
        let shown = last.map(|m| buttons(&m.message)).unwrap_or_default();
        let meant = |button: &content::Button| {
            button.title == wanted
                || button.body == wanted
                || button.body.strip_prefix(PRESS_PREFIX) == Some(wanted)
        };
        let Some(button) = shown.into_iter().find(meant) else {
            return cannot(format!("no button {wanted} on the keyboard that is shown"));
        };
        match button.action.as_str() {
            // The client opens the link, and tells the bot so by sending it.
            "reply" | "open-url" => {
                let mut hooks = self.arrives(&id, None, now)?;
                let content = json!({"type": "text", "text": button.body});
                hooks.extend(self.writes(&id, content, true, now));
                Ok(hooks)
            }
            "share-phone" => {
                let mut hooks = self.arrives(&id, None, now)?;
                let card = json!({"name": "", "phone_number": "46700000001"});
                let content = json!({"type": "contact", "contact": card});
                hooks.extend(self.writes(&id, content, false, now));
                Ok(hooks)
            }
            other => cannot(format!("a {other} button needs a map or does nothing")),
        }
    }

    /// Reads everything that was sent to the customer.
    fn read(&mut self, from: Option<&str>, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        let id = known_form(from)?;
        let mut tokens = Vec::new();
        for stored in &mut self.messages {
            if stored.customer == id && stored.from_bot && !stored.seen {
                stored.seen = true;
                tokens.push(stored.token);
            }
        }
        if tokens.is_empty() {
            return cannot("there is nothing to read");
        }
        let seen = |token| self.event("seen", token, json!({"user_id": id}), now);
        Ok(tokens.into_iter().filter_map(seen).collect())
    }

    fn subscribe(
        &mut self,
        from: Option<&str>,
        subscribed: bool,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let id = known_form(from)?;
        let Some(customer) = self.customers.get_mut(&id) else {
            return cannot("no such customer");
        };
        if customer.subscribed == subscribed {
            return cannot("that changes nothing");
        }
        customer.subscribed = subscribed;
        let user = person(&id, customer);
        let token = self.next_token();
        let event = if subscribed {
            self.event("subscribed", token, json!({"user": user}), now)
        } else {
            self.event("unsubscribed", token, json!({"user_id": id}), now)
        };
        Ok(event.into_iter().collect())
    }
}

/// The customer who acts; the one who is always there when nobody is named.
fn known_form(from: Option<&str>) -> Result<String, CannotAct> {
    let id = from.map_or(CUSTOMER, str::trim);
    if is_user_id(id) && crate::viber::plan::recipient(id).is_ok() {
        return Ok(id.to_owned());
    }
    cannot("a customer of Viber is an id of 6 to 64 characters of base64")
}
