//! What the people do, and the webhooks that follow from it.

use super::{Line, PEOPLE_MAX, Person, Sandbox};
use crate::kit::emulator::{Action, ActionAttachment, CannotAct, Hook, PhoneLine};
use crate::kit::split::split;
use crate::messenger::plan::{Address, Platform, text_limit};
use crate::model::{Location, Millis};
use serde_json::{Value, json};

/// How often a message may be changed (Messenger webhooks, "message edits").
const EDITS_MAX: u32 = 5;

fn cannot<T>(words: impl Into<String>) -> Result<T, CannotAct> {
    Err(CannotAct(words.into()))
}

impl Sandbox {
    /// Lets a person do something.
    pub fn person_acts(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        match action {
            Action::Say {
                from,
                name,
                text,
                attachment,
                location,
                reply_to,
            } => {
                let person = self.actor(from.as_deref(), name.as_deref())?;
                if let Some(mid) = reply_to
                    && self.line(&person, mid).is_none()
                {
                    return cannot(format!("no message {mid} in this conversation"));
                }
                let said = self.said(&person, text, attachment.as_ref(), location.as_ref())?;
                let mut hooks = Vec::with_capacity(said.len());
                for (i, (mut message, extras)) in said.into_iter().enumerate() {
                    if let (Some(mid), 0) = (reply_to, i) {
                        insert(&mut message, "reply_to", json!({"mid": mid}));
                    }
                    hooks.push(self.writes(&person, message, extras, now));
                }
                Ok(hooks)
            }
            Action::Press { from, button } => self.press(from.as_deref(), button, now),
            Action::Read { from } => self.reads(from.as_deref(), now),
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
            Action::Block { from } => self.block(from.as_deref(), true),
            Action::Unblock { from } => self.block(from.as_deref(), false),
        }
    }

    fn address(&self, from: Option<&str>) -> Result<Address, CannotAct> {
        let (default, _) = super::CUSTOMER;
        let Some(address) = Address::parse(from.unwrap_or(default)) else {
            return cannot("a person is an id of digits, on Instagram with ig: before it");
        };
        let us = self.our_id(address.platform);
        if us.is_empty() {
            return cannot("this channel has no instagram_id");
        }
        if us == address.id {
            return cannot("that is the account itself");
        }
        Ok(address)
    }

    /// The person who acts: known, or new.
    fn actor(&mut self, from: Option<&str>, name: Option<&str>) -> Result<Person, CannotAct> {
        let address = self.address(from)?;
        let key = address.to_string();
        if !self.people.contains_key(&key) {
            if self.people.len() >= PEOPLE_MAX {
                return cannot("too many people: start over");
            }
            let name = format!("Person {}", address.id);
            self.meet(address, &name);
        }
        let Some(person) = self.people.get_mut(&key) else {
            return cannot("no such person");
        };
        if person.blocked {
            return cannot("this person has blocked the page: unblock it first");
        }
        if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) {
            name.clone_into(&mut person.name);
        }
        Ok(person.clone())
    }

    /// The person did something that opens the window.
    fn opens_window(&mut self, person: &Person, now: Millis) {
        if let Some(person) = self.people.get_mut(&person.address.to_string()) {
            person.acted = Some(now);
        }
    }

    /// What is said as messages: their content, and their attachments in words.
    fn said(
        &mut self,
        person: &Person,
        text: &str,
        attachment: Option<&ActionAttachment>,
        location: Option<&Location>,
    ) -> Result<Vec<(Value, Vec<String>)>, CannotAct> {
        let platform = person.address.platform;
        let mut said = Vec::new();
        let mut pieces = split(text, text_limit(platform)).into_iter();
        let pieces: Vec<&str> = pieces
            .by_ref()
            .filter(|piece| !piece.trim().is_empty())
            .collect();
        let mut pieces = pieces.into_iter();
        if let Some(file) = attachment {
            let kind = match file.mime.split('/').next() {
                Some(kind @ ("image" | "video" | "audio")) => kind,
                _ if platform == Platform::Instagram && file.mime != "application/pdf" => {
                    return cannot("people on Instagram send pictures, films, sound and PDF");
                }
                _ => "file",
            };
            let bytes = bytes::Bytes::from(file.content.clone());
            let url = self.keep_file(&file.name, &file.mime, bytes);
            let shown = format!("{kind}: {}", file.name);
            let mut message = json!({"attachments": [{"type": kind, "payload": {"url": url}}]});
            if let Some(text) = pieces.next() {
                insert(&mut message, "text", json!(text));
            }
            said.push((message, vec![shown]));
        }
        if let Some(place) = location {
            if platform == Platform::Instagram {
                return cannot("people on Instagram send no places");
            }
            if !place.is_valid() {
                return cannot("no such place");
            }
            let at = json!({"lat": place.latitude, "long": place.longitude});
            let title = place
                .name
                .clone()
                .unwrap_or_else(|| "Pinned location".into());
            let attachment =
                json!({"type": "location", "title": title, "payload": {"coordinates": at}});
            let shown = format!("location: {}, {}", place.latitude, place.longitude);
            said.push((json!({"attachments": [attachment]}), vec![shown]));
        }
        said.extend(pieces.map(|piece| (json!({"text": piece}), Vec::new())));
        if said.is_empty() {
            return cannot("there is nothing to say");
        }
        Ok(said)
    }

    /// A message of a person: on the phone, and on its way.
    fn writes(
        &mut self,
        person: &Person,
        mut message: Value,
        extras: Vec<String>,
        now: Millis,
    ) -> Hook {
        let mid = self.next_mid(person.address.platform);
        insert(&mut message, "mid", json!(mid));
        let text = message
            .get("text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.push(Line {
            shown: PhoneLine {
                customer: person.address.to_string(),
                name: person.name.clone(),
                id: mid,
                from_gateway: false,
                text: text.to_owned(),
                extras,
                buttons: Vec::new(),
                reactions: Vec::new(),
                at: now,
            },
            buttons: Vec::new(),
            edits: 0,
        });
        self.opens_window(person, now);
        self.by_person(&person.address, "message", message, now)
    }

    /// Presses the last button of this payload or title.
    fn press(
        &mut self,
        from: Option<&str>,
        wanted: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let person = self.actor(from, None)?;
        let customer = person.address.to_string();
        let lines = self.lines.iter().rev();
        let mut buttons = lines
            .filter(|line| line.shown.from_gateway && line.shown.customer == customer)
            .flat_map(|line| &line.buttons);
        let found = buttons
            .find(|button| button.payload.as_deref() == Some(wanted) || button.title == wanted)
            .cloned();
        let Some(button) = found else {
            return cannot(format!("no button {wanted} in this conversation"));
        };
        let Some(payload) = button.payload else {
            return cannot("that button opens a link: Meta tells nothing of it");
        };
        if button.quick {
            let message = json!({"text": button.title, "quick_reply": {"payload": payload}});
            return Ok(vec![self.writes(&person, message, Vec::new(), now)]);
        }
        let mid = self.next_mid(person.address.platform);
        self.opens_window(&person, now);
        let postback = json!({"mid": mid, "title": button.title, "payload": payload});
        Ok(vec![self.by_person(
            &person.address,
            "postback",
            postback,
            now,
        )])
    }

    fn reads(&mut self, from: Option<&str>, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        let person = self.actor(from, None)?;
        let Some(last) = self.last(&person, true) else {
            return cannot("there is nothing to read");
        };
        let read = match person.address.platform {
            Platform::Messenger => json!({"watermark": now.0}),
            Platform::Instagram => json!({"mid": last.shown.id}),
        };
        Ok(vec![self.by_person(&person.address, "read", read, now)])
    }

    /// The last message on this person's phone, of ours or of theirs.
    fn last(&self, person: &Person, from_gateway: bool) -> Option<&Line> {
        let customer = person.address.to_string();
        let mut lines = self.lines.iter().rev();
        lines
            .find(|line| line.shown.from_gateway == from_gateway && line.shown.customer == customer)
    }

    /// The id of the message that is meant.
    fn meant(&self, person: &Person, mid: Option<&str>, ours: bool) -> Result<String, CannotAct> {
        let line = match mid {
            Some(mid) => self.line(person, mid),
            None => self.last(person, ours),
        };
        match line {
            Some(line) => Ok(line.shown.id.clone()),
            None => cannot("no such message in this conversation"),
        }
    }

    fn line_mut(&mut self, mid: &str) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.shown.id == mid)
    }

    fn react(
        &mut self,
        from: Option<&str>,
        message: Option<&str>,
        emoji: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let person = self.actor(from, None)?;
        let mid = self.meant(&person, message, true)?;
        let new: Vec<String> = (!emoji.is_empty())
            .then(|| emoji.to_owned())
            .into_iter()
            .collect();
        match self.line_mut(&mid) {
            Some(line) if line.shown.reactions != new => line.shown.reactions = new,
            _ => return cannot("that changes nothing"),
        }
        self.opens_window(&person, now);
        let reaction = if emoji.is_empty() {
            json!({"mid": mid, "action": "unreact"})
        } else {
            json!({"mid": mid, "action": "react", "reaction": "other", "emoji": emoji})
        };
        Ok(vec![self.by_person(
            &person.address,
            "reaction",
            reaction,
            now,
        )])
    }

    fn edit(
        &mut self,
        from: Option<&str>,
        message: Option<&str>,
        text: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let person = self.actor(from, None)?;
        let mid = self.meant(&person, message, false)?;
        if text.trim().is_empty() || !text_limit(person.address.platform).fits(text) {
            return cannot("the new text is empty or too long");
        }
        let Some(line) = self.line_mut(&mid) else {
            return cannot("no such message in this conversation");
        };
        if line.shown.from_gateway {
            return cannot("people change their own messages only");
        }
        if line.shown.text.is_empty() {
            return cannot("only a text can be changed");
        }
        if line.edits >= EDITS_MAX {
            return cannot(format!("a message can be changed {EDITS_MAX} times"));
        }
        line.edits += 1;
        text.clone_into(&mut line.shown.text);
        let edit = json!({"mid": mid, "text": text, "num_edit": line.edits});
        Ok(vec![self.by_person(
            &person.address,
            "message_edit",
            edit,
            now,
        )])
    }

    /// Meta tells nobody of a block: it shows when we send.
    fn block(&mut self, from: Option<&str>, blocked: bool) -> Result<Vec<Hook>, CannotAct> {
        let address = self.address(from)?;
        match self.people.get_mut(&address.to_string()) {
            Some(person) if person.blocked != blocked => {
                person.blocked = blocked;
                Ok(Vec::new())
            }
            Some(_) => cannot("that changes nothing"),
            None => cannot("no such person"),
        }
    }
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}
