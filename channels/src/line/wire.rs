//! LINE's JSON, field for field, as far as it is read. New fields and kinds appear without notice,
//! so everything else is ignored here and kept raw by `parse`.
//!
//! What an event cannot do without is strict. What is only told beside it ([`lenient`]) is left out
//! when it has an unexpected shape: somebody's words must not be lost for an odd quote.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A part of an element kept as its JSON text.
pub type Raw = Option<Box<RawValue>>;

/// Reads an optional part; `None` when it has an unexpected shape.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let raw = Raw::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}

/// One event of a webhook: what all have, and one part of its own.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    #[serde(rename = "type")]
    pub kind: String,
    /// `active`, or `standby` while another module owns the chat.
    #[serde(default, deserialize_with = "lenient")]
    pub mode: Option<String>,
    /// Milliseconds.
    pub timestamp: i64,
    /// A ULID; the same in a redelivery.
    #[serde(default, deserialize_with = "lenient")]
    pub webhook_event_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub delivery_context: Option<DeliveryContext>,
    #[serde(default, deserialize_with = "lenient")]
    pub source: Option<Source>,
    #[serde(default, deserialize_with = "lenient")]
    pub reply_token: Option<String>,
    /// A [`Message`], kept as it came for kinds that we do not know.
    #[serde(default)]
    pub message: Raw,
    #[serde(default, deserialize_with = "lenient")]
    pub unsend: Option<Unsend>,
    #[serde(default, deserialize_with = "lenient")]
    pub postback: Option<Postback>,
    #[serde(default, deserialize_with = "lenient")]
    pub joined: Option<Members>,
    #[serde(default, deserialize_with = "lenient")]
    pub left: Option<Members>,
    #[serde(default, deserialize_with = "lenient")]
    pub video_play_complete: Option<VideoPlayComplete>,
    #[serde(default, deserialize_with = "lenient")]
    pub beacon: Option<Beacon>,
    #[serde(default, deserialize_with = "lenient")]
    pub link: Option<Link>,
    #[serde(default, deserialize_with = "lenient")]
    pub membership: Option<Membership>,
    #[serde(default, deserialize_with = "lenient")]
    pub module: Option<Module>,
    #[serde(default, deserialize_with = "lenient")]
    pub chat_control: Option<ChatControl>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryContext {
    pub is_redelivery: bool,
}

/// Where an event happened.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Source {
    User {
        user_id: String,
    },
    Group {
        group_id: String,
        /// Absent where the person has not agreed to be named.
        user_id: Option<String>,
    },
    Room {
        room_id: String,
        user_id: Option<String>,
    },
}

/// A message of any kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Digits; too many for a number.
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "lenient")]
    pub text: Option<String>,
    #[serde(default)]
    pub emojis: Raw,
    #[serde(default)]
    pub mention: Raw,
    #[serde(default, deserialize_with = "lenient")]
    pub quote_token: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub quoted_message_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub mark_as_read_token: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub content_provider: Option<ContentProvider>,
    #[serde(default, deserialize_with = "lenient")]
    pub image_set: Option<ImageSet>,
    /// Milliseconds.
    #[serde(default, deserialize_with = "lenient")]
    pub duration: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub file_name: Option<String>,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient")]
    pub file_size: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub title: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub address: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub latitude: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    pub longitude: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    pub package_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub sticker_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub sticker_resource_type: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub keywords: Option<Vec<String>>,
}

/// Who keeps a picture or film: LINE, or whoever sent it from a web page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentProvider {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "lenient")]
    pub original_content_url: Option<String>,
}

/// Pictures that were sent at once, one event each.
#[derive(Debug, Deserialize)]
pub struct ImageSet {
    pub id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub index: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub total: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unsend {
    pub message_id: String,
}

#[derive(Debug, Deserialize)]
pub struct Postback {
    pub data: String,
    /// A chosen date or time, or the rich menu that was switched to.
    #[serde(default, deserialize_with = "lenient")]
    pub params: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
pub struct Members {
    pub members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    pub user_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoPlayComplete {
    pub tracking_id: String,
}

#[derive(Debug, Deserialize)]
pub struct Beacon {
    pub hwid: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "lenient")]
    pub dm: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Link {
    pub result: String,
    pub nonce: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    #[serde(rename = "type")]
    pub kind: String,
    pub membership_id: i64,
}

#[derive(Debug, Deserialize)]
pub struct Module {
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatControl {
    /// Milliseconds.
    pub expire_at: i64,
}

/// The answer to a send.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    pub sent_messages: Vec<SentMessage>,
}

#[derive(Debug, Deserialize)]
pub struct SentMessage {
    pub id: String,
}

/// The answer to a refused request. There is no code in it.
#[derive(Debug, Deserialize)]
pub struct Failure {
    pub message: String,
    #[serde(default, deserialize_with = "lenient")]
    pub details: Option<Vec<FailureDetail>>,
}

#[derive(Debug, Deserialize)]
pub struct FailureDetail {
    #[serde(default, deserialize_with = "lenient")]
    pub message: Option<String>,
    /// A path: `messages[0].text`.
    #[serde(default, deserialize_with = "lenient")]
    pub property: Option<String>,
}

/// `GET /v2/bot/info`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BotInfo {
    pub user_id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub basic_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub display_name: Option<String>,
}

/// A person, alone or as a member of a group.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserProfile {
    pub user_id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub display_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub picture_url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub status_message: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub language: Option<String>,
}

/// How far LINE is with a film or recording.
#[derive(Debug, Deserialize)]
pub struct Transcoding {
    /// `processing`, `succeeded` or `failed`.
    pub status: String,
}

/// An issued access token.
#[derive(Debug, Deserialize)]
pub struct IssuedToken {
    pub access_token: String,
    /// Seconds.
    pub expires_in: u64,
}

/// Whose message an id in an effect is: a person, or a member of a group or room (`C…/U…`).
pub fn member(group: Option<&str>, user: &str) -> String {
    group.map_or_else(|| user.to_owned(), |group| format!("{group}/{user}"))
}

/// What a button carries: its payload and, since LINE's postbacks do not repeat it, its title.
/// Payload alone where both are the same.
pub fn button_data(payload: &str, title: &str) -> String {
    if payload == title {
        return payload.to_owned();
    }
    let pair = serde_json::Value::from(vec![payload, title]);
    format!("{BUTTON_MARK}{pair}")
}

/// Payload and title out of [`button_data`]; data of other makers (rich menus, other tools) is the
/// payload itself.
pub fn read_button_data(data: &str) -> (String, Option<String>) {
    let pair = data.strip_prefix(BUTTON_MARK);
    match pair.and_then(|pair| serde_json::from_str::<(String, String)>(pair).ok()) {
        Some((payload, title)) => (payload, Some(title)),
        None => (data.to_owned(), None),
    }
}

/// What [`button_data`] begins with.
const BUTTON_MARK: &str = "sb:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buttons_bring_their_titles_back() {
        for (payload, title) in [("yes", "はい"), ("a\"b", "c,]"), ("", "x"), ("sb:[\"x\"", "y")] {
            let data = button_data(payload, title);
            assert_eq!(read_button_data(&data), (payload.into(), Some(title.into())));
        }
        assert_eq!(button_data("Yes", "Yes"), "Yes");
        for foreign in ["Yes", "slot=7", "sb:", "sb:[1,2]", "sb:[\"a\"]", "[\"a\",\"b\"]", ""] {
            assert_eq!(read_button_data(foreign), (foreign.to_owned(), None));
        }
    }
}
