//! Rows of the store as the shapes want them.

use super::{
    AttemptRow, ConversationRow, DetailRow, MessageDetail, MessageRow, MessageStatus, PartRow,
    Person, UserRow,
};
use crate::media::Links;
use crate::store::reads::History;
use crate::store::rows as stored;
use serde_json::Value;
use switchboard_channels::Words;
use switchboard_channels::model::{Millis, UserId};

/// The status code by which the seeds' clients know a message that was read.
const READ: u8 = 2;

impl Person {
    /// A user, as an author or a contact.
    pub fn of(user: &stored::UserRow) -> Self {
        Self {
            id: user.id,
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            profile_image: user.profile_image.clone(),
            user_type: user.user_type.clone(),
        }
    }
}

impl UserRow {
    /// A user.
    pub fn of(user: &stored::UserRow) -> Self {
        Self {
            person: Person::of(user),
            email: user.email.clone(),
            creation_time: user.creation_time,
            last_activity: user.last_activity,
            department: user.department.as_ref().and_then(|d| d.parse().ok()),
        }
    }
}

impl DetailRow {
    /// A detail.
    pub fn of((slug, name, value): (String, String, String)) -> Self {
        Self { slug, name, value }
    }
}

impl ConversationRow {
    /// A conversation with the contact it is with.
    pub fn of(conversation: &stored::ConversationRow, user: &stored::UserRow) -> Self {
        Self {
            user: Person::of(user),
            ..Self::of_id(conversation)
        }
    }

    /// A conversation of whose contact only the id matters.
    pub fn of_id(conversation: &stored::ConversationRow) -> Self {
        Self {
            id: conversation.id,
            user: Person {
                id: conversation.user_id,
                first_name: String::new(),
                last_name: String::new(),
                profile_image: String::new(),
                user_type: String::new(),
            },
            title: conversation.title.clone(),
            status_code: u8::try_from(conversation.status_code).unwrap_or(0),
            creation_time: conversation.creation_time,
            department: conversation
                .department
                .as_ref()
                .and_then(|d| d.parse().ok()),
            agent_id: conversation.agent_id.as_ref().and_then(|a| a.parse().ok()),
            source: Some(conversation.source.clone()).filter(|s| !s.is_empty()),
            channel: Some(conversation.channel_id.clone()).filter(|c| !c.is_empty()),
            extra: conversation.extra.clone(),
            extra_2: conversation.extra_2.clone(),
            extra_3: conversation.extra_3.clone(),
            tags: conversation
                .tags
                .iter()
                .flat_map(|t| t.split(','))
                .map(|t| t.trim().to_owned())
                .filter(|t| !t.is_empty())
                .collect(),
        }
    }
}

impl MessageRow {
    /// A message, with links of its attachments minted now.
    pub fn of(message: &stored::MessageRow, links: &Links, now: Millis) -> Self {
        let status = MessageStatus::of_name(&message.status).unwrap_or(MessageStatus::Stored);
        Self {
            id: message.id,
            conversation_id: message.conversation_id,
            author: Person {
                id: UserId(message.user_id.0),
                first_name: message.first_name.clone(),
                last_name: message.last_name.clone(),
                profile_image: message.profile_image.clone(),
                user_type: message.user_type.clone(),
            },
            text: message.text.clone(),
            creation_time: message.creation_time,
            attachments: message
                .attachments
                .iter()
                .map(|a| (a.name.clone(), links.of(a, now)))
                .collect(),
            status_code: if status == MessageStatus::Read {
                READ
            } else {
                0
            },
            status,
            payload: serde_json::from_str(&message.payload).ok(),
        }
    }
}

/// A message with its history.
pub fn detail(message: MessageRow, history: &History) -> MessageDetail {
    let words = |code: &str, text: &str| Words::new(code, text);
    MessageDetail {
        message,
        channel: history.channel.clone().filter(|c| !c.is_empty()),
        source: Some(history.source.clone()),
        send_at: history.send_at,
        expires_at: history.deadline_at,
        reply_to: history.reply_to,
        platform_ids: history.platform_ids.clone(),
        parts: history
            .parts
            .iter()
            .map(|part| PartRow {
                index: u16::try_from(part.idx).unwrap_or(u16::MAX),
                kind: kind_of(&part.body),
                status: match (part.state.as_str(), part.delivery.as_deref()) {
                    (_, Some("failed")) | ("failed", _) => MessageStatus::Failed,
                    ("sent", Some("read")) => MessageStatus::Read,
                    ("sent", Some("delivered")) => MessageStatus::Delivered,
                    ("sent", _) => MessageStatus::Sent,
                    ("begun" | "unsure", _) => MessageStatus::Sending,
                    _ => MessageStatus::Queued,
                },
                platform_ids: part.platform_ids.clone(),
            })
            .collect(),
        attempts: history
            .attempts
            .iter()
            .map(|attempt| AttemptRow {
                number: u32::try_from(attempt.no).unwrap_or(u32::MAX),
                part: u16::try_from(attempt.idx).unwrap_or(u16::MAX),
                started: attempt.started_at,
                ended: Some(attempt.ended_at),
                outcome: Some(attempt.outcome.clone()),
                words: attempt
                    .code
                    .as_ref()
                    .map(|code| words(code, attempt.message.as_deref().unwrap_or(""))),
            })
            .collect(),
        error_class: history.error.as_ref().map(|(class, ..)| class.clone()),
        error: history
            .error
            .as_ref()
            .map(|(_, code, text)| words(code, text)),
    }
}

/// What kind of part it is, from its stored form.
fn kind_of(body: &str) -> String {
    let part: Option<Value> = serde_json::from_str(body).ok();
    let kind = part
        .as_ref()
        .and_then(|p| p.get("body")?.get("kind")?.as_str());
    kind.unwrap_or("unknown").to_owned()
}
