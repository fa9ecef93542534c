//! `[api]`: who may use the Web API, and how much.

use super::value::{self, Text, deserialize_text};
use serde::Deserialize;
use switchboard_channels::kit::sign;

/// `[api]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Who may call.
    pub tokens: Vec<TokenHash>,
    /// Calls per second and token; twice as many at once after a rest.
    #[serde(deserialize_with = "value::rate")]
    pub rate_per_second: f64,
    /// How long a send waits for its outcome when the caller does not say; 0 = not at all.
    #[serde(deserialize_with = "value::whole::<_, _, 0, 300>")]
    pub default_wait_seconds: u64,
    /// Whether `send-message` delivers what it stores.
    pub send_message_delivers: bool,
    /// The text around a text message of `send-sms`; `{message}` is the message.
    #[serde(deserialize_with = "sms_template")]
    pub sms_template: String,
}

/// A template without the message would send something else.
fn sms_template<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.contains("{message}") {
        return Ok(text);
    }
    let found = serde::de::Unexpected::Other("a text without {message}");
    Err(serde::de::Error::invalid_value(
        found,
        &"a text with {message} in it",
    ))
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            rate_per_second: 200.0,
            default_wait_seconds: 10,
            send_message_delivers: false,
            sms_template: "{message}".to_owned(),
        }
    }
}

/// The SHA-256 of an API token: all that the service keeps of it. `Debug` shows nothing, since the
/// hash of a short token can be guessed back.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

/// Random bytes of a token: as many as its hash has.
const TOKEN_BYTES: usize = 32;

/// A token that nobody can guess.
pub fn new_token() -> String {
    hex::encode(rand::random::<[u8; TOKEN_BYTES]>())
}

impl TokenHash {
    /// Stands before a hash in the configuration.
    pub const PREFIX: &str = "sha256:";
    /// The least characters of a token in plain text: fewer can be guessed.
    pub const PLAIN_MIN_CHARS: usize = 16;

    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        use sha2::{Digest, Sha256};
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether this is the hash of `token`, taking the same time wherever they differ.
    pub fn matches(&self, token: &str) -> bool {
        sign::same(&Self::of(token).0, &self.0)
    }

    /// As the configuration writes it.
    pub fn to_config(&self) -> String {
        format!("{}{}", Self::PREFIX, hex::encode(self.0))
    }

    /// Whether a configured token is in plain text.
    pub(super) fn is_plain(text: &str) -> bool {
        !text.starts_with(Self::PREFIX)
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Text for TokenHash {
    const ALLOWED: &'static str = "sha256: and 64 hexadecimal digits (`switchboard token` makes \
                                   one), or plain text of at least 16 characters without blanks";

    fn read(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_prefix(Self::PREFIX) {
            return hex::decode(digits).ok()?.try_into().ok().map(Self);
        }
        let fits = text.chars().count() >= Self::PLAIN_MIN_CHARS
            && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        fits.then(|| Self::of(text))
    }

    fn found(text: &str) -> String {
        if !Self::is_plain(text) {
            "sha256: and something else".to_owned()
        } else if text.is_empty() {
            "an empty string".to_owned()
        } else {
            "plain text that is too short or has blanks in it".to_owned()
        }
    }
}
deserialize_text!(TokenHash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_hashed_tokens_are_the_same() {
        let plain = TokenHash::read("correct-horse-battery").unwrap();
        let hashed = TokenHash::read(&plain.to_config()).unwrap();
        assert_eq!(plain, hashed);
        assert!(hashed.matches("correct-horse-battery"));
        assert!(!hashed.matches("correct-horse-battery "));
        assert!(!hashed.matches(""));
    }
}
