//! What the shapes are made from: rows as a store can join them, without a store.

use serde_json::Value;
use switchboard_channels::Words;
use switchboard_channels::model::{ConversationId, MessageId, Millis, UserId};

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageStatus {
    /// From a contact.
    Received,
    /// Stored, waiting for its turn.
    Queued,
    /// Being delivered.
    Sending,
    /// The platform has taken every part.
    Sent,
    /// Every part is on the recipient's device.
    Delivered,
    /// The recipient has seen it.
    Read,
    /// Given up.
    Failed,
    /// Only stored: nobody asked to deliver it.
    Stored,
}

impl MessageStatus {
    /// Every status, in the order in which a message passes them.
    pub const ALL: &[Self] = &[
        Self::Received,
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::Delivered,
        Self::Read,
        Self::Failed,
        Self::Stored,
    ];

    /// The name under which the status is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
            Self::Stored => "stored",
        }
    }

    /// The status of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|s| s.name() == name)
    }
}

/// What is shown of a person beside what they wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub id: UserId,
    /// Given name.
    pub first_name: String,
    /// Family name, possibly empty.
    pub last_name: String,
    /// Link of the picture, possibly empty.
    pub profile_image: String,
    /// `visitor`, `lead`, `user`, `agent`, `admin` or `bot`.
    pub user_type: String,
}

impl Person {
    /// Both names, without a blank where one is empty.
    pub fn full_name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
            .trim()
            .to_owned()
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Id, names, picture and type.
    pub person: Person,
    /// E-mail address.
    pub email: Option<String>,
    /// When the user was first seen.
    pub creation_time: Millis,
    /// When the user was last seen.
    pub last_activity: Millis,
    /// Department, for agents.
    pub department: Option<i64>,
}

/// One additional detail of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetailRow {
    /// The detail's id: `phone`.
    pub slug: String,
    /// Its name for people: `Phone`.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A conversation with the contact it is with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationRow {
    /// Id.
    pub id: ConversationId,
    /// The contact.
    pub user: Person,
    /// Title, possibly empty.
    pub title: String,
    /// 0 live, 1 waiting for the user, 2 waiting for an agent, 3 archive, 4 trash.
    pub status_code: u8,
    /// When it began.
    pub creation_time: Millis,
    /// Department it is assigned to.
    pub department: Option<i64>,
    /// Agent it is assigned to.
    pub agent_id: Option<i64>,
    /// Source code of the platform: `wa`.
    pub source: Option<String>,
    /// Id of our channel, where it is tied to one.
    pub channel: Option<String>,
    /// What platform calls need: Telegram's chat id, Messenger's page id.
    pub extra: Option<String>,
    /// More of it.
    pub extra_2: Option<String>,
    /// More of it.
    pub extra_3: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// A message with its author.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    /// Id.
    pub id: MessageId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Who wrote it.
    pub author: Person,
    /// The text, possibly empty.
    pub text: String,
    /// When it was written.
    pub creation_time: Millis,
    /// `(name, link)` of each attachment.
    pub attachments: Vec<(String, String)>,
    /// The status code of the shapes' old clients: 0, or 2 once it was read.
    pub status_code: u8,
    /// How far it has come.
    pub status: MessageStatus,
    /// Structured content: quick replies, a pressed button.
    pub payload: Option<Value>,
}

/// One part of a message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
    /// Which part, from 0.
    pub index: u16,
    /// `text`, `media`, `album`, `location`, `contact`, `template`.
    pub kind: String,
    /// Whether the platform has taken it.
    pub status: MessageStatus,
    /// The platform's ids, one per item.
    pub platform_ids: Vec<String>,
}

/// One try to deliver one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// Which try of the message, from 1.
    pub number: u32,
    /// Which part was tried.
    pub part: u16,
    /// When it began.
    pub started: Millis,
    /// When its outcome was known; `None` while it is open.
    pub ended: Option<Millis>,
    /// `ok`, or the class of the failure: `retry`, `recipient`…; `None` while it is open.
    pub outcome: Option<String>,
    /// What the platform said.
    pub words: Option<Words>,
}

/// A message with all that is known of its way.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageDetail {
    /// The message.
    pub message: MessageRow,
    /// Id of our channel.
    pub channel: Option<String>,
    /// Source code.
    pub source: Option<String>,
    /// When it is to be sent, where that was asked for.
    pub send_at: Option<Millis>,
    /// After this it is worthless.
    pub expires_at: Option<Millis>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// The platform's ids of the whole message, in order.
    pub platform_ids: Vec<String>,
    /// Its parts, for outbound messages.
    pub parts: Vec<PartRow>,
    /// Its tries, oldest first.
    pub attempts: Vec<AttemptRow>,
    /// Class of the failure that ended it.
    pub error_class: Option<String>,
    /// What the platform said to end it.
    pub error: Option<Words>,
}
