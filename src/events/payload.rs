//! Payloads of events, frozen when the event is written. Pure: rows in, JSON out.

use crate::media::Links;
use crate::store::StoreError;
use crate::store::rows::{ConversationRow, MessageRow, UserRow, json as json_text};
use crate::webapi::shapes::{self, events as shape};
use serde_json::{Value, json};
use switchboard_channels::model::{ConversationId, MessageId, Millis, UserId};

/// A message as its events show it, made once for all of them.
pub struct Told {
    conversation: shapes::ConversationRow,
    message: [shapes::MessageRow; 1],
}

impl Told {
    /// A message from either side. The contact matters where it was received.
    pub fn of(
        conversation: &ConversationRow,
        user: Option<&UserRow>,
        message: &MessageRow,
        links: &Links,
        now: Millis,
    ) -> Self {
        let conversation = match user {
            Some(user) => shapes::ConversationRow::of(conversation, user),
            None => shapes::ConversationRow::of_id(conversation),
        };
        Self {
            conversation,
            message: [shapes::MessageRow::of(message, links, now)],
        }
    }

    /// `message-sent`: from either side.
    ///
    /// # Errors
    /// As for everything that becomes JSON; this does.
    pub fn message_sent(&self) -> Result<String, StoreError> {
        let [message] = &self.message;
        json_text(&shape::message_sent(&self.conversation, message))
    }

    /// `new-messages`: from the contact, with the conversation as it is now.
    ///
    /// # Errors
    /// As for everything that becomes JSON; this does.
    pub fn new_messages(&self) -> Result<String, StoreError> {
        json_text(&shape::new_messages(&self.conversation, &self.message))
    }
}

/// `new-conversation-created`.
pub fn new_conversation_created(
    conversation: &ConversationRow,
    user: &UserRow,
    message: Option<&MessageRow>,
    links: &Links,
    now: Millis,
) -> Value {
    let messages: Vec<shapes::MessageRow> = message
        .map(|m| shapes::MessageRow::of(m, links, now))
        .into_iter()
        .collect();
    shape::new_conversation_created(&shapes::ConversationRow::of(conversation, user), &messages)
}

/// `conversation-status-updated`.
pub fn conversation_status_updated(conversation: &ConversationRow) -> Value {
    json!({
        "conversation_id": conversation.id.to_string(),
        "status_code": conversation.status_code.to_string(),
    })
}

/// `message-updated`.
pub fn message_updated(message: &MessageRow, links: &Links, now: Millis) -> Value {
    shape::message_updated(&shapes::MessageRow::of(message, links, now))
}

/// `message-reaction`.
pub fn message_reaction(
    message: MessageId,
    conversation: ConversationId,
    user: UserId,
    reaction: &str,
    action: &str,
) -> Value {
    json!({
        "message_id": message.to_string(),
        "conversation_id": conversation.to_string(),
        "user_id": user.to_string(),
        "reaction": reaction,
        "action": action,
    })
}

/// `user-updated`.
pub fn user_updated(user: UserId, conversation: ConversationId, change: &str) -> Value {
    user_change(user, Some(conversation), change)
}

/// `user-updated` of somebody who may have no conversation yet.
pub fn user_change(user: UserId, conversation: Option<ConversationId>, change: &str) -> Value {
    json!({
        "user_id": user.to_string(),
        "conversation_id": conversation.map(|c| c.to_string()),
        "change": change,
    })
}

/// What `message-status-updated` tells.
#[derive(Debug)]
pub struct StatusNews {
    /// The message.
    pub message: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// `sent`, `delivered`, `read` or `failed`.
    pub status: String,
    /// Parts of the message.
    pub parts: i64,
    /// Parts that the platform took.
    pub parts_sent: i64,
    /// Class, code and text of what went wrong.
    pub error: Option<(String, String, String)>,
    /// The platform's ids.
    pub platform_ids: Vec<String>,
}

/// `message-status-updated`.
pub fn message_status_updated(news: &StatusNews) -> Value {
    let mut data = json!({
        "message_id": news.message.to_string(),
        "conversation_id": news.conversation.to_string(),
        "status": news.status,
        "platform_ids": news.platform_ids,
        "parts_sent": news.parts_sent,
        "parts": news.parts,
    });
    if let (Some((class, code, message)), "failed", Some(object)) =
        (&news.error, news.status.as_str(), data.as_object_mut())
    {
        let error = json!({"class": class, "code": code, "message": message});
        object.insert("error".to_owned(), error);
    }
    data
}

/// `slack-message-sent`.
pub fn slack_message_sent(text: &str, conversation: ConversationId, place: &str) -> Value {
    shape::slack_message_sent(text, conversation, place)
}

/// `email-sent`.
pub fn email_sent(user: UserId, message: &MessageRow, links: &Links, now: Millis) -> Value {
    let shown = shapes::MessageRow::of(message, links, now);
    shape::email_sent(user, &shown.text, &shown.attachments)
}

/// `sms-sent`: the provider's own answer beside the text.
pub fn sms_sent(user: UserId, text: &str, answer: &str) -> Value {
    let response: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
    let field = |name: &str| {
        response
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let (from, to) = (field("from"), field("to"));
    shape::sms_sent(user, text, &from, &to, response)
}
