//! The platform's JSON, field for field. Everything is optional: what is absent is decided where it
//! is needed, and what is not known here is ignored. Fields that are kept as raw text are either handed
//! on as they are or read leniently.

mod message;

pub use message::*;

use serde::Deserialize;
use serde_json::value::RawValue;

/// An element that was not looked into yet, so that a bad one does not spoil its neighbours.
pub type Raw<'a> = &'a RawValue;

/// A webhook.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// `whatsapp_business_account`
    pub object: Option<String>,
    /// One per business account.
    #[serde(borrow)]
    pub entry: Option<Vec<Raw<'a>>>,
}

/// What happened in one business account.
#[derive(Debug, Deserialize)]
pub struct Entry<'a> {
    /// Unix seconds; with news of the account only.
    #[serde(borrow)]
    pub time: Option<Raw<'a>>,
    /// The changes.
    #[serde(borrow)]
    pub changes: Option<Vec<Raw<'a>>>,
}

/// One change of a field that the app subscribed to.
#[derive(Debug, Deserialize)]
pub struct Change<'a> {
    /// `messages` and others.
    pub field: Option<String>,
    /// What the field says.
    #[serde(borrow)]
    pub value: Option<Raw<'a>>,
}

/// The value of `messages`, `smb_message_echoes` and `user_preferences`.
#[derive(Debug, Deserialize)]
pub struct Value<'a> {
    /// Which number it came to.
    pub metadata: Option<Metadata>,
    /// Who the people are.
    #[serde(borrow)]
    pub contacts: Option<Vec<Raw<'a>>>,
    /// What people wrote.
    #[serde(borrow)]
    pub messages: Option<Vec<Raw<'a>>>,
    /// How far our messages have come.
    #[serde(borrow)]
    pub statuses: Option<Vec<Raw<'a>>>,
    /// What went wrong with the account or with a message that cannot be named.
    #[serde(borrow)]
    pub errors: Option<Vec<Raw<'a>>>,
    /// What we wrote by hand in the app.
    #[serde(borrow)]
    pub message_echoes: Option<Vec<Raw<'a>>>,
    /// What people want to hear.
    #[serde(borrow)]
    pub user_preferences: Option<Vec<Raw<'a>>>,
}

/// Which number a change belongs to.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Meta's id of the number.
    pub phone_number_id: Option<String>,
}

/// A person.
#[derive(Debug, Default, Deserialize)]
pub struct Contact {
    /// The name that they gave themselves.
    pub profile: Option<ContactProfile>,
    /// The number, digits only.
    pub wa_id: Option<String>,
    /// The business-scoped id.
    pub user_id: Option<String>,
}

/// What a person says about themselves.
#[derive(Debug, Default, Deserialize)]
pub struct ContactProfile {
    /// The name as shown.
    pub name: Option<String>,
    /// The user name, for those who have one.
    pub username: Option<String>,
}

/// Just the id, for elements that are otherwise unreadable.
#[derive(Debug, Deserialize)]
pub struct Identified {
    /// The platform's id.
    pub id: Option<String>,
}

/// How far a message of ours has come.
#[derive(Debug, Deserialize)]
pub struct Status<'a> {
    /// The message.
    pub id: Option<String>,
    /// How far.
    pub status: Option<String>,
    /// Unix seconds, as a string.
    #[serde(borrow)]
    pub timestamp: Option<Raw<'a>>,
    /// Number of the recipient, or id of the group.
    pub recipient_id: Option<String>,
    /// Business-scoped id of the recipient.
    pub recipient_user_id: Option<String>,
    /// `group` for groups.
    pub recipient_type: Option<String>,
    /// Number of the group's member.
    pub recipient_participant_id: Option<String>,
    /// Business-scoped id of the group's member.
    pub recipient_participant_user_id: Option<String>,
    /// Our own reference.
    pub biz_opaque_callback_data: Option<String>,
    /// Why it failed.
    #[serde(borrow)]
    pub errors: Option<Vec<Error<'a>>>,
}

/// What a person wants to hear.
#[derive(Debug, Deserialize)]
pub struct Preference<'a> {
    /// Number of the person.
    pub wa_id: Option<String>,
    /// Business-scoped id of the person.
    pub user_id: Option<String>,
    /// What it is about.
    pub category: Option<String>,
    /// `stop`, `resume` or `signup`.
    pub value: Option<String>,
    /// Unix seconds, as a number here.
    #[serde(borrow)]
    pub timestamp: Option<Raw<'a>>,
}

/// An error, in webhooks and in answers alike.
#[derive(Debug, Deserialize)]
pub struct Error<'a> {
    /// Decides.
    #[serde(borrow)]
    pub code: Option<Raw<'a>>,
    /// Distinguishes further.
    #[serde(borrow)]
    pub error_subcode: Option<Raw<'a>>,
    /// A short sentence.
    pub title: Option<String>,
    /// A longer sentence.
    pub message: Option<String>,
    /// Details.
    pub error_data: Option<ErrorData>,
    /// Whether Meta says that it will pass.
    pub is_transient: Option<bool>,
}

/// Details of an error.
#[derive(Debug, Deserialize)]
pub struct ErrorData {
    /// The longest sentence.
    pub details: Option<String>,
}

/// A number as it was written, whether as a number or as a string.
pub fn written(raw: Option<Raw<'_>>) -> Option<&str> {
    raw.map(|raw| raw.get().trim_matches('"'))
}

/// A whole number that the platform writes as a number or as a string; `None` when it is neither.
pub fn whole(raw: Option<Raw<'_>>) -> Option<i64> {
    written(raw)?.parse().ok()
}
