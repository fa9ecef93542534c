//! What the emulated customers do, and the updates that follow from it.

use super::content::{buttons, insert, shaped};
use super::methods::{REACTIONS, show_reply};
use super::{CALLBACKS_MAX, CUSTOMER, CUSTOMERS_MAX, Customer, Sandbox, Stored};
use crate::kit::emulator::{Action, ActionAttachment, CannotAct, Hook};
use crate::kit::split::split;
use crate::model::{Location, Millis};
use crate::telegram::plan::{CAPTION, TEXT};
use crate::telegram::wire::parse_message;
use serde_json::{Value, json};

fn cannot<T>(words: impl Into<String>) -> Result<T, CannotAct> {
    Err(CannotAct(words.into()))
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
                let chat = self.customer(from.as_deref(), name.as_deref())?;
                let replied = match reply_to {
                    Some(id) => Some(self.stored(chat, id)?.message.clone()),
                    None => None,
                };
                let contents = self.said(text, attachment.as_ref(), location.as_ref())?;
                let mut hooks = Vec::with_capacity(contents.len());
                for (i, content) in contents.into_iter().enumerate() {
                    let mut message = self.keep(chat, false, content, now);
                    show_reply(&mut message, replied.clone().filter(|_| i == 0));
                    hooks.extend(self.update("message", message));
                }
                Ok(hooks)
            }
            Action::Press { from, button } => self.press(from.as_deref(), button, now),
            Action::Read { .. } => cannot("Telegram tells bots nothing of what was read"),
            Action::React {
                from,
                message,
                emoji,
            } => self.react(from.as_deref(), message.as_deref(), emoji, now),
            Action::Edit {
                from,
                message,
                text,
            } => self.edit(from.as_deref(), message.as_deref(), text, now),
            Action::Block { from } => self.block(from.as_deref(), true, now),
            Action::Unblock { from } => self.block(from.as_deref(), false, now),
        }
    }

    /// The id of a customer who writes: known, or new.
    fn customer(&mut self, from: Option<&str>, name: Option<&str>) -> Result<i64, CannotAct> {
        let id = match from.map(|from| from.trim().parse::<i64>()) {
            None => CUSTOMER,
            Some(Ok(id)) if id > 0 && id < 1 << 52 && id != self.bot => id,
            Some(_) => return cannot("a customer of Telegram is a user id: a positive number"),
        };
        if self.customers.len() >= CUSTOMERS_MAX && !self.customers.contains_key(&id) {
            return cannot("too many customers: start over");
        }
        let customer = self.customers.entry(id).or_insert_with(|| Customer {
            first_name: format!("Customer {id}"),
            last_name: None,
            username: None,
            blocked: false,
        });
        if customer.blocked {
            return cannot("this customer has blocked the bot: unblock it first");
        }
        if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) {
            let (first, last) = name.split_once(' ').unwrap_or((name, ""));
            customer.first_name = first.to_owned();
            customer.last_name = Some(last.trim().to_owned()).filter(|last| !last.is_empty());
        }
        Ok(id)
    }

    /// A message of a chat, by its id outside (`chat:message`) or its number in the chat.
    fn stored(&mut self, chat: i64, id: &str) -> Result<&mut Stored, CannotAct> {
        let number = match parse_message(id) {
            Some((address, number)) if address.number() == Some(chat) => Some(number),
            Some(_) => None,
            None => id.trim().parse().ok(),
        };
        let found = self.messages.iter_mut();
        let mut found = found.filter(|stored| stored.chat == chat);
        found
            .find(|stored| Some(stored.id) == number)
            .ok_or_else(|| CannotAct(format!("no message {id} in this chat")))
    }

    /// What is said, as the messages that Telegram's apps make of it.
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
            if CAPTION.fits(text) && !text.trim().is_empty() && content.get("sticker").is_none() {
                insert(&mut content, "caption", json!(text));
                rest = "";
            }
            contents.push(content);
        }
        if let Some(place) = location {
            if !place.is_valid() {
                return cannot("no such place");
            }
            let at = json!({"latitude": place.latitude, "longitude": place.longitude});
            let mut content = json!({"location": at});
            if place.name.is_some() || place.address.is_some() {
                let venue = json!({
                    "location": at,
                    "title": place.name.clone().unwrap_or_default(),
                    "address": place.address.clone().unwrap_or_default(),
                });
                insert(&mut content, "venue", venue);
            }
            contents.push(content);
        }
        let pieces = split(rest, TEXT).into_iter();
        let pieces = pieces.filter(|piece| !piece.trim().is_empty());
        contents.extend(pieces.map(with_command));
        if contents.is_empty() {
            return cannot("there is nothing to say");
        }
        Ok(contents)
    }

    /// A file as the kind that Telegram's apps would send it as.
    fn sent_file(&mut self, file: &ActionAttachment) -> Value {
        let kind = match file.mime.as_str() {
            "image/webp" => "sticker",
            "image/gif" => "animation",
            "audio/ogg" => "voice",
            "image/jpeg" | "image/png" => "photo",
            mime if mime.starts_with("video/") => "video",
            mime if mime.starts_with("audio/") => "audio",
            _ => "document",
        };
        let bytes = bytes::Bytes::from(file.content.clone());
        let shown = self.keep_file(kind, Some(&file.name), &file.mime, bytes);
        shaped(kind, shown)
    }

    /// Presses the last button of this payload or title.
    fn press(
        &mut self,
        from: Option<&str>,
        wanted: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let chat = self.customer(from, None)?;
        let found = self.messages.iter().rev().find_map(|stored| {
            let ours = stored.chat == chat && stored.from_bot;
            let mut buttons = buttons(&stored.message).into_iter().filter(|_| ours);
            let button = buttons
                .find(|b| b.payload.as_deref() == Some(wanted) || b.title == wanted)?;
            Some((stored.message.clone(), button))
        });
        let Some((message, button)) = found else {
            return cannot(format!("no button {wanted} in this chat"));
        };
        if button.writes {
            let written = self.keep(chat, false, with_command(&button.title), now);
            return Ok(self.update("message", written).into_iter().collect());
        }
        let Some(payload) = button.payload else {
            return cannot("that button opens a link: Telegram tells bots nothing of it");
        };
        let id = self.next_id().to_string();
        self.callbacks.push_back(id.clone());
        while self.callbacks.len() > CALLBACKS_MAX {
            self.callbacks.pop_front();
        }
        let (user, _) = self.user_and_chat(chat);
        let query = json!({
            "id": id, "from": user, "message": message,
            "chat_instance": (-chat).to_string(), "data": payload,
        });
        Ok(self.update("callback_query", query).into_iter().collect())
    }

    fn react(
        &mut self,
        from: Option<&str>,
        message: Option<&str>,
        emoji: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let chat = self.customer(from, None)?;
        if !emoji.is_empty() && !REACTIONS.contains(&emoji) {
            return cannot("Telegram does not take this emoji as a reaction");
        }
        let stored = match message {
            Some(id) => self.stored(chat, id)?,
            None => {
                let mut messages = self.messages.iter_mut().rev();
                let last = messages.find(|stored| stored.chat == chat && stored.from_bot);
                last.ok_or_else(|| CannotAct("there is no message to react to".into()))?
            }
        };
        let new = Some(emoji.to_owned()).filter(|emoji| !emoji.is_empty());
        let old = std::mem::replace(&mut stored.reaction, new.clone());
        let id = stored.id;
        if old == new {
            return cannot("that changes nothing");
        }
        let list = |emoji: Option<String>| -> Vec<Value> {
            let one = |emoji| json!({"type": "emoji", "emoji": emoji});
            emoji.map(one).into_iter().collect()
        };
        let (user, chat_object) = self.user_and_chat(chat);
        let change = json!({
            "chat": chat_object, "message_id": id, "user": user,
            "date": now.0.div_euclid(1000),
            "old_reaction": list(old), "new_reaction": list(new),
        });
        Ok(self.update("message_reaction", change).into_iter().collect())
    }

    fn edit(
        &mut self,
        from: Option<&str>,
        message: Option<&str>,
        text: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let chat = self.customer(from, None)?;
        let stored = match message {
            Some(id) => self.stored(chat, id)?,
            None => {
                let mut messages = self.messages.iter_mut().rev();
                let last = messages.find(|stored| stored.chat == chat && !stored.from_bot);
                last.ok_or_else(|| CannotAct("the customer has not written anything".into()))?
            }
        };
        if stored.from_bot {
            return cannot("only the customer's own messages can be changed by the customer");
        }
        let files = super::content::FILE_KINDS;
        let captioned = files.iter().any(|kind| stored.message.get(*kind).is_some());
        let (field, limit) = match stored.message.get("text") {
            Some(_) => ("text", TEXT),
            None if captioned => ("caption", CAPTION),
            None => return cannot("a place cannot be changed"),
        };
        if text.trim().is_empty() || !limit.fits(text) {
            return cannot("the new text is empty or too long");
        }
        if let Some(message) = stored.message.as_object_mut() {
            message.remove("entities");
            message.insert(field.into(), json!(text));
            message.insert("edit_date".into(), json!(now.0.div_euclid(1000)));
        }
        let changed = stored.message.clone();
        Ok(self.update("edited_message", changed).into_iter().collect())
    }

    fn block(
        &mut self,
        from: Option<&str>,
        blocked: bool,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let id = match from.map(|from| from.trim().parse::<i64>()) {
            None => CUSTOMER,
            Some(Ok(id)) => id,
            Some(Err(_)) => return cannot("a customer of Telegram is a user id"),
        };
        let Some(customer) = self.customers.get_mut(&id) else {
            return cannot("no such customer");
        };
        if customer.blocked == blocked {
            return cannot("that changes nothing");
        }
        customer.blocked = blocked;
        let member = json!({"user": self.bot_user(), "status": "member"});
        let kicked = json!({"user": self.bot_user(), "status": "kicked", "until_date": 0});
        let (old, new) = if blocked { (member, kicked) } else { (kicked, member) };
        let (user, chat) = self.user_and_chat(id);
        let change = json!({
            "chat": chat, "from": user, "date": now.0.div_euclid(1000),
            "old_chat_member": old, "new_chat_member": new,
        });
        Ok(self.update("my_chat_member", change).into_iter().collect())
    }
}

/// A text, with the mark that Telegram puts on a command at its beginning.
fn with_command(text: &str) -> Value {
    let mut content = json!({"text": text});
    let command = text.split_whitespace().next().unwrap_or_default();
    if text.starts_with('/') && command.len() > 1 {
        let length = command.encode_utf16().count();
        let entity = json!([{"type": "bot_command", "offset": 0, "length": length}]);
        insert(&mut content, "entities", entity);
    }
    content
}
