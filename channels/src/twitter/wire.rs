//! X's JSON, field for field: the envelope of the X Activity API, the older one of the Account
//! Activity API, the direct messages that are the same in both, and the answers of API v2. Unknown
//! fields are ignored; an optional field of another type than the documented one counts as absent.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A value if it is of the wanted type, else nothing.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// Text that has something in it.
pub fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

/// A number that X writes as text, and sometimes as a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits(pub String);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::Number(number) => number.as_u64().map(|n| n.to_string()),
            Value::String(text) => Some(text),
            _ => None,
        };
        // Ids have 19 digits; twenty are the most that 64 bits hold.
        let digits = text.filter(|text| {
            (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        });
        digits.map(Self).ok_or_else(|| serde::de::Error::custom("no digits"))
    }
}

impl Digits {
    /// The number; `None` beyond 63 bits.
    pub fn number(&self) -> Option<i64> {
        self.0.parse().ok()
    }
}

/// The envelope of the X Activity API.
#[derive(Debug, Deserialize)]
pub struct Activity<'a> {
    /// A signed 64-bit number as text.
    #[serde(default, deserialize_with = "lenient")]
    pub event_uuid: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub filter: Option<Filter>,
    /// `dm.received`…
    pub event_type: String,
    #[serde(default, borrow)]
    pub payload: Option<&'a RawValue>,
}

/// For whom an event was subscribed.
#[derive(Debug, Deserialize)]
pub struct Filter {
    /// The account.
    #[serde(default, deserialize_with = "lenient")]
    pub user_id: Option<Digits>,
}

/// Direct messages and what belongs to them: payload of the new envelope, whole body of the old one.
#[derive(Debug, Default, Deserialize)]
pub struct Direct<'a> {
    /// The account, in the old envelope.
    #[serde(default, deserialize_with = "lenient")]
    pub for_user_id: Option<Digits>,
    #[serde(default, borrow)]
    pub direct_message_events: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub direct_message_mark_read_events: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub direct_message_indicate_typing_events: Option<&'a RawValue>,
    /// People by id.
    #[serde(default, deserialize_with = "lenient")]
    pub users: Option<BTreeMap<String, Value>>,
}

/// A person, as both envelopes and API v2 describe them.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    #[serde(default, deserialize_with = "lenient")]
    pub id: Option<Digits>,
    #[serde(default, deserialize_with = "lenient")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub username: Option<String>,
    /// The old envelope's `username`.
    #[serde(default, deserialize_with = "lenient")]
    pub screen_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub profile_image_url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub profile_image_url_https: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub description: Option<String>,
}

/// One element of `direct_message_events`.
#[derive(Debug, Deserialize)]
pub struct MessageEvent {
    /// `message_create`
    #[serde(rename = "type")]
    pub kind: String,
    pub id: Digits,
    /// Milliseconds as text.
    #[serde(default, deserialize_with = "lenient")]
    pub created_timestamp: Option<Digits>,
    #[serde(default, deserialize_with = "lenient")]
    pub initiated_via: Option<InitiatedVia>,
    pub message_create: MessageCreate,
}

/// Where a conversation began.
#[derive(Debug, Deserialize)]
pub struct InitiatedVia {
    #[serde(default, deserialize_with = "lenient")]
    pub tweet_id: Option<Digits>,
    #[serde(default, deserialize_with = "lenient")]
    pub welcome_message_id: Option<Digits>,
}

/// Who wrote what to whom.
#[derive(Debug, Deserialize)]
pub struct MessageCreate {
    pub target: Target,
    pub sender_id: Digits,
    #[serde(default, deserialize_with = "lenient")]
    pub source_app_id: Option<Digits>,
    pub message_data: MessageData,
}

/// To whom.
#[derive(Debug, Deserialize)]
pub struct Target {
    pub recipient_id: Digits,
}

/// What.
#[derive(Debug, Deserialize)]
pub struct MessageData {
    /// HTML-escaped, with links shortened.
    #[serde(default, deserialize_with = "lenient")]
    pub text: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub entities: Option<Entities>,
    #[serde(default, deserialize_with = "lenient")]
    pub attachment: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    pub quick_reply_response: Option<QuickReply>,
}

/// What is in the text.
#[derive(Debug, Deserialize)]
pub struct Entities {
    #[serde(default, deserialize_with = "lenient")]
    pub urls: Option<Vec<ShortUrl>>,
}

/// A shortened link.
#[derive(Debug, Deserialize)]
pub struct ShortUrl {
    pub url: String,
    #[serde(default, deserialize_with = "lenient")]
    pub expanded_url: Option<String>,
}

/// A chosen quick reply.
#[derive(Debug, Deserialize)]
pub struct QuickReply {
    #[serde(default, deserialize_with = "lenient")]
    pub metadata: Option<String>,
}

/// An attached picture or film.
#[derive(Debug, Deserialize)]
pub struct AttachedMedia {
    #[serde(default, deserialize_with = "lenient")]
    pub id_str: Option<String>,
    /// `photo`, `video` or `animated_gif`
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "lenient")]
    pub media_url_https: Option<String>,
    /// The shortened link that stands at the end of the text.
    #[serde(default, deserialize_with = "lenient")]
    pub url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub video_info: Option<VideoInfo>,
}

/// The forms in which a film is to be had.
#[derive(Debug, Deserialize)]
pub struct VideoInfo {
    #[serde(default)]
    pub variants: Vec<Variant>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub struct Variant {
    #[serde(default, deserialize_with = "lenient")]
    pub bitrate: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub content_type: Option<String>,
    pub url: String,
}

/// Somebody read or types.
#[derive(Debug, Deserialize)]
pub struct Indication {
    #[serde(default, deserialize_with = "lenient")]
    pub created_timestamp: Option<Digits>,
    pub sender_id: Digits,
    #[serde(default, deserialize_with = "lenient")]
    pub last_read_event_id: Option<Digits>,
}

/// An encrypted message, whose text we cannot read.
#[derive(Debug, Deserialize)]
pub struct Encrypted {
    pub id: String,
    pub sender_id: Digits,
    /// `a:b` or `a-b`
    #[serde(default, deserialize_with = "lenient")]
    pub conversation_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub created_at_msec: Option<Digits>,
}

/// A revoked permission: of the new envelope, and of the old one.
#[derive(Debug, Deserialize)]
pub struct Revoke {
    #[serde(default, deserialize_with = "lenient")]
    pub user_id: Option<Digits>,
    #[serde(default, deserialize_with = "lenient")]
    pub source: Option<RevokeSource>,
    #[serde(default, deserialize_with = "lenient")]
    pub date_time: Option<String>,
}

/// Whose permission it was.
#[derive(Debug, Deserialize)]
pub struct RevokeSource {
    #[serde(default, deserialize_with = "lenient")]
    pub user_id: Option<Digits>,
}

/// An answer of API v2 to a send.
#[derive(Debug, Deserialize)]
pub struct SentAnswer {
    pub data: Sent,
}

/// What was sent.
#[derive(Debug, Deserialize)]
pub struct Sent {
    pub dm_event_id: Digits,
}

/// An answer that describes a person.
#[derive(Debug, Deserialize)]
pub struct UserAnswer {
    pub data: User,
}

/// An answer to a step of an upload.
#[derive(Debug, Deserialize)]
pub struct UploadAnswer {
    pub data: Upload,
}

/// An upload.
#[derive(Debug, Deserialize)]
pub struct Upload {
    #[serde(default, deserialize_with = "lenient")]
    pub id: Option<Digits>,
    #[serde(default, deserialize_with = "lenient")]
    pub processing_info: Option<Processing>,
}

/// What X does with an uploaded film before it can be sent.
#[derive(Debug, Deserialize)]
pub struct Processing {
    /// `pending`, `in_progress`, `succeeded`, `failed`
    pub state: String,
    #[serde(default, deserialize_with = "lenient")]
    pub check_after_secs: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub error: Option<Value>,
}

/// A refusal: a problem of API v2, or errors in the style of API v1.1.
#[derive(Debug, Default, Deserialize)]
pub struct Problem {
    #[serde(default, deserialize_with = "lenient")]
    pub title: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub detail: Option<String>,
    /// `https://api.x.com/2/problems/…`
    #[serde(default, rename = "type", deserialize_with = "lenient")]
    pub kind: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub errors: Option<Vec<ErrorItem>>,
}

/// One of several errors.
#[derive(Debug, Deserialize)]
pub struct ErrorItem {
    #[serde(default, deserialize_with = "lenient")]
    pub code: Option<u32>,
    #[serde(default, deserialize_with = "lenient")]
    pub message: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub detail: Option<String>,
    #[serde(default, rename = "type", deserialize_with = "lenient")]
    pub kind: Option<String>,
}
