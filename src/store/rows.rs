//! The rows of the truth as the rest of the service sees them.

use super::StoreError;
use super::sql::{Row, Sql};
use crate::vals;
use serde::{Deserialize, Serialize};
use switchboard_channels::model::{AttachmentKind, ConversationId, MessageId, Millis, UserId};

/// The bot: author of what is sent without saying by whom. Made by the first migration.
pub const BOT: UserId = UserId(1);

/// Status codes of a conversation, as in the Web API.
pub mod status_code {
    /// Live.
    pub const LIVE: i64 = 0;
    /// Waiting for the user.
    pub const WAITING_USER: i64 = 1;
    /// Waiting for an agent.
    pub const WAITING_AGENT: i64 = 2;
    /// Archived; a new message opens it again.
    pub const ARCHIVE: i64 = 3;
    /// In the trash; a new message begins another conversation.
    pub const TRASH: i64 = 4;
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Id.
    pub id: UserId,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone number in E.164.
    pub phone: Option<String>,
    /// Link of a picture, or empty.
    pub profile_image: String,
    /// `visitor`, `lead`, `user`, `agent`, `admin` or `bot`.
    pub user_type: String,
    /// Language code.
    pub language: Option<String>,
    /// Department.
    pub department: Option<String>,
    /// The seeds show one; ours opens nothing.
    pub token: String,
    /// When it was made.
    pub creation_time: Millis,
    /// When it was last heard of.
    pub last_activity: Millis,
}

/// The columns of [`UserRow::read`], of table or alias `u`.
#[macro_export]
macro_rules! user_columns {
    () => {
        "u.id, u.first_name, u.last_name, u.email, u.phone, u.profile_image, u.user_type, \
         u.language, u.department, u.token, u.creation_time, u.last_activity"
    };
}

impl UserRow {
    /// Reads the columns of [`user_columns!`].
    ///
    /// # Errors
    /// When they are of other types.
    pub fn read(row: &mut Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: UserId(row.int()?),
            first_name: row.text()?,
            last_name: row.text()?,
            email: row.opt_text()?,
            phone: row.opt_text()?,
            profile_image: row.text()?,
            user_type: row.text()?,
            language: row.opt_text()?,
            department: row.opt_text()?,
            token: row.text()?,
            creation_time: Millis(row.int()?),
            last_activity: Millis(row.int()?),
        })
    }
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationRow {
    /// Id.
    pub id: ConversationId,
    /// Whose it is.
    pub user_id: UserId,
    /// The channel it runs over.
    pub channel_id: String,
    /// Source code.
    pub source: String,
    /// Title.
    pub title: String,
    /// See [`status_code`].
    pub status_code: i64,
    /// Department.
    pub department: Option<String>,
    /// Agent.
    pub agent_id: Option<String>,
    /// The platform's key that the seeds' clients look for.
    pub extra: Option<String>,
    /// Free.
    pub extra_2: Option<String>,
    /// Free.
    pub extra_3: Option<String>,
    /// Tags, separated by commas.
    pub tags: Option<String>,
    /// Where an answer goes.
    pub address: String,
    /// Until when the platform takes free text.
    pub window_until: Option<Millis>,
    /// When it began.
    pub creation_time: Millis,
    /// When the last message came or went.
    pub last_update_time: Millis,
    /// The last message.
    pub last_message_id: MessageId,
    /// The [`hour`] under which lists find it.
    pub updated_hour: i64,
}

/// The hour of a time, from 1970 on: lists of conversations are kept by it.
pub const fn hour(at: Millis) -> i64 {
    at.0 / 3_600_000
}

/// The columns of [`ConversationRow::read`], of table or alias `c`.
#[macro_export]
macro_rules! conversation_columns {
    () => {
        "c.id, c.user_id, c.channel_id, c.source, c.title, c.status_code, c.department, \
         c.agent_id, c.extra, c.extra_2, c.extra_3, c.tags, c.address, c.window_until, \
         c.creation_time, c.last_update_time, c.last_message_id, c.updated_hour"
    };
}

impl ConversationRow {
    /// Reads the columns of [`conversation_columns!`].
    ///
    /// # Errors
    /// When they are of other types.
    pub fn read(row: &mut Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: ConversationId(row.int()?),
            user_id: UserId(row.int()?),
            channel_id: row.text()?,
            source: row.text()?,
            title: row.text()?,
            status_code: row.int()?,
            department: row.opt_text()?,
            agent_id: row.opt_text()?,
            extra: row.opt_text()?,
            extra_2: row.opt_text()?,
            extra_3: row.opt_text()?,
            tags: row.opt_text()?,
            address: row.text()?,
            window_until: row.opt_int()?.map(Millis),
            creation_time: Millis(row.int()?),
            last_update_time: Millis(row.int()?),
            last_message_id: MessageId(row.int()?),
            updated_hour: row.int()?,
        })
    }

    /// Moves the conversation to the hour that it is now, when that is another one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn list_under_hour<S: Sql>(
        &mut self,
        sql: &mut S,
        now: Millis,
    ) -> Result<(), StoreError> {
        if self.updated_hour == hour(now) {
            return Ok(());
        }
        self.updated_hour = hour(now);
        sql.later(
            "UPDATE conversations SET updated_hour = $1 WHERE id = $2",
            vals![self.updated_hour, self.id.0],
        )
        .await
    }
}

/// An attachment of a stored message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAttachment {
    /// File name.
    pub name: String,
    /// Public link, for what the chat backend sent; empty for what we keep ourselves.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub link: String,
    /// Key in the media store, from which a link is made whenever one is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_key: Option<String>,
    /// What it is.
    #[serde(deserialize_with = "known_kind")]
    pub kind: AttachmentKind,
    /// MIME type, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// Size, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// What only a newer release tells from a file is a file to this one.
fn known_kind<'de, D: serde::Deserializer<'de>>(from: D) -> Result<AttachmentKind, D::Error> {
    let name = serde_json::Value::deserialize(from)?;
    Ok(AttachmentKind::deserialize(name).unwrap_or(AttachmentKind::File))
}

/// A message with its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRow {
    /// Id.
    pub id: MessageId,
    /// Where it stands.
    pub conversation_id: ConversationId,
    /// Who wrote it.
    pub user_id: UserId,
    /// Whether it goes to the contact.
    pub outbound: bool,
    /// The text.
    pub text: String,
    /// Attachments.
    pub attachments: Vec<StoredAttachment>,
    /// Structured rest, a JSON object, or empty.
    pub payload: String,
    /// `received`, `queued`, `sending`, `sent`, `delivered`, `read`, `failed` or `stored`.
    pub status: String,
    /// When it was written.
    pub creation_time: Millis,
    /// Author's given name.
    pub first_name: String,
    /// Author's family name.
    pub last_name: String,
    /// Author's picture.
    pub profile_image: String,
    /// Author's type.
    pub user_type: String,
}

/// The columns of [`MessageRow::read`], of `m` (messages) joined with `a` (its author).
#[macro_export]
macro_rules! message_columns {
    () => {
        "m.id, m.conversation_id, m.user_id, m.outbound, m.text, m.attachments, m.payload, \
         m.status, m.creation_time, a.first_name, a.last_name, a.profile_image, a.user_type"
    };
}

impl MessageRow {
    /// Reads the columns of [`message_columns!`].
    ///
    /// # Errors
    /// When they are of other types.
    pub fn read(row: &mut Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: MessageId(row.int()?),
            conversation_id: ConversationId(row.int()?),
            user_id: UserId(row.int()?),
            outbound: row.bool()?,
            text: row.text()?,
            attachments: attachments_from(&row.text()?)?,
            payload: row.text()?,
            status: row.text()?,
            creation_time: Millis(row.int()?),
            first_name: row.text()?,
            last_name: row.text()?,
            profile_image: row.text()?,
            user_type: row.text()?,
        })
    }
}

/// Attachments as they are stored: JSON, or nothing for none.
pub fn attachments_text(attachments: &[StoredAttachment]) -> Result<String, StoreError> {
    if attachments.is_empty() {
        Ok(String::new())
    } else {
        json(&attachments)
    }
}

fn attachments_from(text: &str) -> Result<Vec<StoredAttachment>, StoreError> {
    if text.is_empty() {
        Ok(Vec::new())
    } else {
        from_json(text)
    }
}

/// Writes JSON for a TEXT column.
///
/// # Errors
/// Never for our types; said rather than panicked.
pub fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// Reads JSON from a TEXT column.
///
/// # Errors
/// When it is of another shape.
pub fn from_json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(e.to_string()))
}
