//! What the emulated customers do.

use super::customers::{Customer, actor};
use super::{Cloud, Line, Press, hooks};
use crate::kit::emulator::{Action, ActionAttachment, CannotAct, Hook, PhoneLine};
use crate::kit::sign;
use crate::model::{AttachmentKind, Choice, Location, Millis};
use crate::whatsapp::plan::has_caption;
use bytes::Bytes;
use serde_json::{Value, json};

/// How long after writing a message can be changed.
const EDIT_MILLIS: i64 = 15 * 60 * 1000;
/// Our own number, as it is named in what is answered.
use super::OUR_NUMBER;

fn cannot<T>(why: impl Into<String>) -> Result<T, CannotAct> {
    Err(CannotAct(why.into()))
}

impl Cloud {
    pub(super) fn acted(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        let from = match action {
            Action::Say { from, .. }
            | Action::Press { from, .. }
            | Action::Read { from }
            | Action::React { from, .. }
            | Action::Edit { from, .. }
            | Action::Block { from }
            | Action::Unblock { from } => from.as_deref(),
        };
        let who = actor(&self.customers, from)?;
        match action {
            Action::Say {
                name,
                text,
                attachment,
                location,
                reply_to,
                ..
            } => {
                let contents = self.contents(text, attachment.as_ref(), location.as_ref());
                if contents.is_empty() {
                    return cannot("there is nothing to say");
                }
                self.customers.meet(&who, name.as_deref());
                Ok(self.say(&who, contents, reply_to.as_deref(), now))
            }
            Action::Press { button, .. } => self.press(&who, button, now),
            Action::Read { .. } => self.read(&who, now),
            Action::React { message, emoji, .. } => {
                self.react(&who, message.as_deref(), emoji, now)
            }
            Action::Edit { message, text, .. } => self.edit(&who, message.as_deref(), text, now),
            Action::Block { .. } => Ok(self.wants(&who, false, now)),
            Action::Unblock { .. } => Ok(self.wants(&who, true, now)),
        }
    }

    /// What is said, as messages of the platform: type, content, and how a phone shows it.
    fn contents(
        &mut self,
        text: &str,
        attachment: Option<&ActionAttachment>,
        location: Option<&Location>,
    ) -> Vec<Content> {
        let mut contents = Vec::new();
        let mut text = text;
        if let Some(attachment) = attachment {
            let content = self.file_content(attachment, text);
            if !content.text.is_empty() {
                text = "";
            }
            contents.push(content);
        }
        if let Some(location) = location {
            contents.push(Content {
                kind: "location",
                value: json!(location),
                text: String::new(),
                extras: vec![location.as_text()],
            });
        }
        if !text.is_empty() {
            contents.insert(0, Content::text(text));
        }
        contents
    }

    fn file_content(&mut self, attachment: &ActionAttachment, caption: &str) -> Content {
        let kind = AttachmentKind::from_mime(&attachment.mime);
        let bytes = Bytes::from(attachment.content.clone());
        let digest = hex::decode(sign::sha256_hex(&bytes)).unwrap_or_default();
        let id = self.keep_file(attachment.mime.clone(), bytes);
        let mut object = json!({
            "id": id,
            "mime_type": attachment.mime,
            "sha256": sign::base64(&digest),
        });
        let (name, more) = match kind {
            AttachmentKind::Image => ("image", None),
            AttachmentKind::Video => ("video", None),
            AttachmentKind::Audio => ("audio", Some(("voice", Value::Bool(false)))),
            _ => ("document", Some(("filename", attachment.name.as_str().into()))),
        };
        let shown = if has_caption(kind) { caption } else { "" };
        if let Value::Object(map) = &mut object {
            map.extend(more.map(|(key, value)| (key.to_owned(), value)));
            if !shown.is_empty() {
                map.insert("caption".to_owned(), shown.into());
            }
        }
        Content {
            kind: name,
            value: object,
            text: shown.to_owned(),
            extras: vec![attachment.name.clone()],
        }
    }

    /// Writes messages, one webhook for all.
    fn say(
        &mut self,
        who: &str,
        contents: Vec<Content>,
        reply_to: Option<&str>,
        now: Millis,
    ) -> Vec<Hook> {
        let customer = self.customers.meet(who, None);
        customer.writes(now);
        let customer = customer.clone();
        let mut messages = Vec::new();
        for content in contents {
            let id = self.message_id();
            let mut message = base(&customer, &id, content.kind, content.value, now);
            if let (Some(reply_to), Value::Object(map)) = (reply_to, &mut message) {
                let context = json!({"from": OUR_NUMBER, "id": reply_to});
                map.insert("context".to_owned(), context);
            }
            messages.push(message);
            self.push(Line {
                shown: PhoneLine {
                    customer: customer.wa_id.clone(),
                    name: customer.name.clone(),
                    id,
                    from_gateway: false,
                    text: content.text,
                    extras: content.extras,
                    buttons: Vec::new(),
                    reactions: Vec::new(),
                    at: now,
                },
                choices: Vec::new(),
                press: Press::Button,
                reference: None,
                read: false,
            });
        }
        vec![self.hook(&customer, messages)]
    }

    fn hook(&self, customer: &Customer, messages: Vec<Value>) -> Hook {
        let contacts = hooks::contacts(customer);
        let content = json!({"contacts": contacts, "messages": messages});
        self.hooks.messages(content)
    }

    fn press(&mut self, who: &str, button: &str, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        let is = |c: &&Choice| c.payload == button || c.title == button;
        let found = self
            .lines
            .iter()
            .rev()
            .filter(|l| l.shown.from_gateway && l.shown.customer == who)
            .find_map(|l| Some((l, l.choices.iter().find(is)?.clone())));
        let Some((line, choice)) = found else {
            return cannot(format!("no message to {who} has a button {button}"));
        };
        if let Some(url) = &choice.url {
            return cannot(format!("this button opens {url} and sends nothing"));
        }
        let (id, press) = (line.shown.id.clone(), line.press);
        let reply = json!({"id": choice.payload, "title": choice.title});
        let (kind, value) = match press {
            Press::Button => (
                "interactive",
                json!({"type": "button_reply", "button_reply": reply}),
            ),
            Press::Row => (
                "interactive",
                json!({"type": "list_reply", "list_reply": reply}),
            ),
            Press::Template => (
                "button",
                json!({"payload": choice.payload, "text": choice.title}),
            ),
        };
        let content = Content {
            kind,
            value,
            text: choice.title,
            extras: Vec::new(),
        };
        Ok(self.say(who, vec![content], Some(&id), now))
    }

    fn read(&mut self, who: &str, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        let customer = self.customers.meet(who, None).clone();
        let mut statuses = Vec::new();
        for line in &mut self.lines {
            if !line.shown.from_gateway || line.shown.customer != who || line.read {
                continue;
            }
            line.read = true;
            let mut status = json!({
                "id": line.shown.id,
                "status": "read",
                "timestamp": hooks::seconds(now),
                "recipient_id": customer.wa_id,
            });
            if let (Some(reference), Value::Object(map)) = (&line.reference, &mut status) {
                let reference = reference.as_str().into();
                map.insert("biz_opaque_callback_data".to_owned(), reference);
            }
            statuses.push(status);
        }
        if statuses.is_empty() {
            return cannot(format!("there is nothing unread on the phone of {who}"));
        }
        let contacts = hooks::contacts(&customer);
        let content = json!({"contacts": contacts, "statuses": statuses});
        Ok(vec![self.hooks.messages(content)])
    }

    fn react(
        &mut self,
        who: &str,
        message: Option<&str>,
        emoji: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let meant = |l: &Line| match message {
            Some(id) => l.shown.id == id,
            None => l.shown.from_gateway,
        };
        let line = self
            .lines
            .iter_mut()
            .rev()
            .find(|l| l.shown.customer == who && meant(l));
        let Some(line) = line else {
            return cannot(format!("there is no such message on the phone of {who}"));
        };
        line.shown.reactions.clear();
        let mut reaction = json!({"message_id": line.shown.id});
        if let (false, Value::Object(map)) = (emoji.is_empty(), &mut reaction) {
            line.shown.reactions.push(emoji.to_owned());
            map.insert("emoji".to_owned(), emoji.into());
        }
        let id = self.message_id();
        let customer = self.customers.meet(who, None);
        customer.writes(now);
        let customer = customer.clone();
        let message = base(&customer, &id, "reaction", reaction, now);
        Ok(vec![self.hook(&customer, vec![message])])
    }

    /// Changes a message, as on numbers that are used in the app too.
    fn edit(
        &mut self,
        who: &str,
        message: Option<&str>,
        text: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let meant = |l: &Line| match message {
            Some(id) => l.shown.id == id,
            None => l.shown.extras.is_empty(),
        };
        let line = self
            .lines
            .iter_mut()
            .rev()
            .find(|l| l.shown.customer == who && !l.shown.from_gateway && meant(l));
        let Some(line) = line else {
            return cannot(format!("{who} wrote no such message"));
        };
        if !line.shown.extras.is_empty() {
            return cannot("only texts can be changed here");
        }
        if now.since(line.shown.at) > EDIT_MILLIS {
            return cannot("a message can be changed for 15 minutes");
        }
        if text.trim().is_empty() {
            return cannot("there is nothing to change it to");
        }
        text.clone_into(&mut line.shown.text);
        let edit = json!({
            "original_message_id": line.shown.id,
            "message": {"type": "text", "text": {"body": text}},
        });
        let id = self.message_id();
        let customer = self.customers.meet(who, None).clone();
        let message = base(&customer, &id, "edit", edit, now);
        Ok(vec![self.hook(&customer, vec![message])])
    }

    fn wants(&mut self, who: &str, to_hear: bool, now: Millis) -> Vec<Hook> {
        let customer = self.customers.meet(who, None);
        customer.blocked = !to_hear;
        let customer = customer.clone();
        let value = if to_hear { "resume" } else { "stop" };
        let content = json!({
            "contacts": hooks::contacts(&customer),
            "user_preferences": [{
                "wa_id": customer.wa_id,
                "user_id": customer.user_id,
                "detail": value,
                "category": "marketing_messages",
                "value": value,
                "timestamp": now.0.div_euclid(1000),
            }],
        });
        vec![self.hooks.preferences(content)]
    }
}

/// One message of a customer.
struct Content {
    kind: &'static str,
    value: Value,
    text: String,
    extras: Vec<String>,
}

impl Content {
    fn text(text: &str) -> Self {
        Self {
            kind: "text",
            value: json!({"body": text}),
            text: text.to_owned(),
            extras: Vec::new(),
        }
    }
}

/// What every message of a customer has.
fn base(customer: &Customer, id: &str, kind: &str, content: Value, now: Millis) -> Value {
    let mut message = json!({
        "from": customer.wa_id,
        "from_user_id": customer.user_id,
        "id": id,
        "timestamp": hooks::seconds(now),
        "type": kind,
    });
    if let Value::Object(map) = &mut message {
        map.insert(kind.to_owned(), content);
    }
    message
}
