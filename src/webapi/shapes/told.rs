//! The two events of every message that comes, as structures that are written to text as they stand: a
//! tree of values made first would cost more than keeping the message. Fields are in the order of the
//! alphabet, as everywhere else.

use super::{ConversationRow, MessageRow, Person, attachments_text, payload_text, time};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::fmt::Display;

/// Shown as text: ids and codes.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// `message-sent`.
pub struct MessageSent<'a> {
    pub(super) conversation: &'a ConversationRow,
    pub(super) message: &'a MessageRow,
}

impl Serialize for MessageSent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (conversation, message) = (self.conversation, self.message);
        let status = Shown(conversation.status_code);
        let mut data = serializer.serialize_struct("MessageSent", 9)?;
        data.serialize_field("attachments", &message.attachments)?;
        data.serialize_field("conversation_id", &Shown(conversation.id))?;
        data.serialize_field("conversation_source", &conversation.source)?;
        // The older edition's name.
        data.serialize_field("conversation_status", &status)?;
        data.serialize_field("conversation_status_code", &status)?;
        data.serialize_field("conversation_user_id", &Shown(conversation.user.id))?;
        data.serialize_field("message", &message.text)?;
        data.serialize_field("message_id", &Shown(message.id))?;
        data.serialize_field("user_id", &Shown(message.author.id))?;
        data.end()
    }
}

/// `new-messages`: the conversation with its last message, and the new messages.
#[derive(Serialize)]
pub struct NewMessages<'a> {
    details: Details<'a>,
    messages: Vec<Item<'a>>,
}

impl<'a> NewMessages<'a> {
    pub(super) fn of(conversation: &'a ConversationRow, messages: &'a [MessageRow]) -> Self {
        let last = messages.last();
        Self {
            details: Details { conversation, last },
            messages: messages.iter().map(|m| Item { details: New(m) }).collect(),
        }
    }
}

/// A conversation with its last message, under the newer edition's names: what
/// [`message_summary`](super::answers::message_summary) is to answers.
struct Details<'a> {
    conversation: &'a ConversationRow,
    last: Option<&'a MessageRow>,
}

impl Serialize for Details<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (conversation, last) = (self.conversation, self.last);
        let author = last.map(|m| &m.author);
        let of_author = |field: fn(&Person) -> &str| author.map_or("", field);
        let tags = (!conversation.tags.is_empty()).then(|| conversation.tags.join(","));
        let attachments = last.map(|m| attachments_text(&m.attachments));
        let payload = payload_text(last.and_then(|m| m.payload.as_ref()));
        let written = last.map_or(conversation.creation_time, |m| m.creation_time);
        let mut data = serializer.serialize_struct("Details", 22)?;
        data.serialize_field("agent_id", &conversation.agent_id.map(Shown))?;
        data.serialize_field("attachments", &attachments.unwrap_or_default())?;
        data.serialize_field("channel", &conversation.channel)?;
        data.serialize_field("creation_time", &time(conversation.creation_time))?;
        data.serialize_field("department", &conversation.department.map(Shown))?;
        data.serialize_field("extra", &conversation.extra)?;
        data.serialize_field("id", &Shown(conversation.id))?;
        data.serialize_field("last_update_time", &time(written))?;
        data.serialize_field("message", last.map_or("", |m| &m.text))?;
        data.serialize_field("message_first_name", of_author(|a| &a.first_name))?;
        data.serialize_field("message_id", &last.map(|m| Shown(m.id)))?;
        data.serialize_field("message_last_name", of_author(|a| &a.last_name))?;
        data.serialize_field("message_profile_image", of_author(|a| &a.profile_image))?;
        let code = Shown(last.map_or(0, |m| m.status_code));
        data.serialize_field("message_status_code", &code)?;
        data.serialize_field("message_user_id", &author.map(|a| Shown(a.id)))?;
        data.serialize_field("message_user_type", of_author(|a| &a.user_type))?;
        data.serialize_field("payload", &payload)?;
        data.serialize_field("source", &conversation.source)?;
        data.serialize_field("status_code", &Shown(conversation.status_code))?;
        data.serialize_field("tags", &tags)?;
        data.serialize_field("title", &conversation.title)?;
        data.serialize_field("user_id", &Shown(conversation.user.id))?;
        data.end()
    }
}

#[derive(Serialize)]
struct Item<'a> {
    details: New<'a>,
}

/// A message in `new-messages`: its payload is real here, `{}` when there is none.
struct New<'a>(&'a MessageRow);

impl Serialize for New<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = self.0;
        let none = Value::Object(serde_json::Map::new());
        let mut data = serializer.serialize_struct("New", 13)?;
        data.serialize_field("attachments", &attachments_text(&message.attachments))?;
        data.serialize_field("conversation_id", &Shown(message.conversation_id))?;
        data.serialize_field("creation_time", &time(message.creation_time))?;
        data.serialize_field("first_name", &message.author.first_name)?;
        data.serialize_field("full_name", &message.author.full_name())?;
        data.serialize_field("id", &Shown(message.id))?;
        data.serialize_field("last_name", &message.author.last_name)?;
        data.serialize_field("message", &message.text)?;
        data.serialize_field("payload", message.payload.as_ref().unwrap_or(&none))?;
        data.serialize_field("profile_image", &message.author.profile_image)?;
        data.serialize_field("status_code", &Shown(message.status_code))?;
        data.serialize_field("user_id", &Shown(message.author.id))?;
        data.serialize_field("user_type", &message.author.user_type)?;
        data.end()
    }
}
