//! Viber's JSON, field for field. Unknown fields are ignored; an optional field of another type than
//! the documented one counts as absent, so that it does not take the whole event with it.

use serde::{Deserialize, Deserializer};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

/// The longest id of a person that is believed: Viber's own have 24 characters.
const USER_ID_MAX: usize = 128;

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

/// Whether this can be the id of a person: Viber's are base64.
pub fn is_user_id(id: &str) -> bool {
    (1..=USER_ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

/// A `message_token`: a JSON integer above 2^53, kept as its decimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = match Value::deserialize(deserializer)? {
            Value::Number(number) => number.as_u64().map(|n| n.to_string()),
            Value::String(text) => text.parse::<u64>().ok().map(|n| n.to_string()),
            _ => None,
        };
        let digits = digits.ok_or_else(|| serde::de::Error::custom("no whole number"))?;
        Ok(Self(digits))
    }
}

/// A webhook's body.
#[derive(Debug, Deserialize)]
pub struct Callback<'a> {
    /// What happened.
    #[serde(default, deserialize_with = "lenient")]
    pub event: Option<String>,
    /// When, in Unix milliseconds.
    #[serde(default, deserialize_with = "lenient")]
    pub timestamp: Option<i64>,
    /// The message that it is about.
    #[serde(default, deserialize_with = "lenient")]
    pub message_token: Option<Token>,
    /// Who: in `unsubscribed` and the statuses.
    #[serde(default, deserialize_with = "lenient")]
    pub user_id: Option<String>,
    /// Who: in `subscribed` and `conversation_started`.
    #[serde(default, deserialize_with = "lenient")]
    pub user: Option<User>,
    /// Who: in `message`.
    #[serde(default, deserialize_with = "lenient")]
    pub sender: Option<User>,
    /// What was written.
    #[serde(default, borrow)]
    pub message: Option<&'a RawValue>,
    /// What the deep link carried.
    #[serde(default, deserialize_with = "lenient")]
    pub context: Option<String>,
    /// Why a message failed.
    #[serde(default, deserialize_with = "lenient")]
    pub desc: Option<String>,
    /// Whether the person's client showed no bubble.
    #[serde(default, deserialize_with = "lenient")]
    pub silent: Option<bool>,
    /// `message` or `query`.
    #[serde(default, deserialize_with = "lenient")]
    pub reply_type: Option<String>,
    /// The chat in which an inline message was written.
    #[serde(default, deserialize_with = "lenient")]
    pub chat_id: Option<String>,
}

/// A person.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    /// The id, different at each bot.
    pub id: String,
    /// The name; a placeholder where it is hidden or not asked for.
    #[serde(default, deserialize_with = "lenient")]
    pub name: Option<String>,
    /// Link of the picture.
    #[serde(default, deserialize_with = "lenient")]
    pub avatar: Option<String>,
    /// ISO 3166 alpha-2.
    #[serde(default, deserialize_with = "lenient")]
    pub country: Option<String>,
    /// Language tag.
    #[serde(default, deserialize_with = "lenient")]
    pub language: Option<String>,
    /// What the person's client can show.
    #[serde(default, deserialize_with = "lenient")]
    pub api_version: Option<u32>,
}

/// What was written.
#[derive(Debug, Clone, Deserialize)]
pub struct Content {
    /// `text`, `picture`…
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "lenient")]
    pub text: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub media: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub thumbnail: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub file_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub file_size: Option<u64>,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient")]
    pub size: Option<u64>,
    /// Seconds.
    #[serde(default, deserialize_with = "lenient")]
    pub duration: Option<u64>,
    /// A whole number or text.
    #[serde(default, deserialize_with = "lenient")]
    pub sticker_id: Option<StickerId>,
    #[serde(default, deserialize_with = "lenient")]
    pub contact: Option<Contact>,
    #[serde(default, deserialize_with = "lenient")]
    pub location: Option<Place>,
    /// What our last message to this person carried.
    #[serde(default, deserialize_with = "lenient")]
    pub tracking_data: Option<String>,
}

/// The number of a sticker.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum StickerId {
    /// As documented.
    Number(u64),
    /// As also seen.
    Text(String),
}

impl StickerId {
    /// The digits; `None` for a text that is no number, which must not become part of a link.
    pub fn digits(&self) -> Option<String> {
        match self {
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => text.parse::<u64>().ok().map(|n| n.to_string()),
        }
    }
}

/// A shared card.
#[derive(Debug, Clone, Deserialize)]
pub struct Contact {
    #[serde(default, deserialize_with = "lenient")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub phone_number: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub avatar: Option<String>,
}

/// A shared place.
#[derive(Debug, Clone, Deserialize)]
pub struct Place {
    /// Degrees, north positive.
    pub lat: f64,
    /// Degrees, east positive.
    pub lon: f64,
}

/// What Viber answers to a call: with HTTP 200 also where it refuses.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// 0: done; else the error.
    pub status: i64,
    /// Its name.
    #[serde(default, deserialize_with = "lenient")]
    pub status_message: Option<String>,
    /// The id of what was sent.
    #[serde(default, deserialize_with = "lenient")]
    pub message_token: Option<Token>,
}

/// What `get_account_info` answers beside the status.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// `pa:…`
    pub id: String,
    /// What people see.
    #[serde(default, deserialize_with = "lenient")]
    pub name: Option<String>,
    /// The name in deep links.
    #[serde(default, deserialize_with = "lenient")]
    pub uri: Option<String>,
    /// Where events are posted to.
    #[serde(default, deserialize_with = "lenient")]
    pub webhook: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_beyond_2_to_the_53_keep_every_digit() {
        let token = |text: &str| serde_json::from_str::<Token>(text).ok().map(|t| t.0);
        assert_eq!(token("4912661846655238145").unwrap(), "4912661846655238145");
        assert_eq!(token("18446744073709551615").unwrap(), "18446744073709551615");
        assert_eq!(token("\"4912661846655238145\"").unwrap(), "4912661846655238145");
        for none in ["18446744073709551616", "-1", "1.5", "null", "\"x\"", "[]"] {
            assert_eq!(token(none), None, "{none}");
        }
    }
}
