//! The keys of a Viber channel.

use crate::error::SettingsError;
use crate::kit::secret::Secret;
use crate::kit::settings;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

/// Viber's own API; `api_base` of the configuration replaces it.
pub const API_BASE: &str = "https://chatapi.viber.com/pa";

/// The longest `sender.name` (REST Bot API, "General send message parameters").
pub const SENDER_NAME_MAX: usize = 28;

/// The longest link that we put into a request: that of a `url` message (REST Bot API).
pub const LINK_MAX: usize = 2000;

/// The longest text of a message (REST Bot API).
pub const TEXT_MAX: usize = 7000;

/// Events for which Viber can be asked beside the mandatory `message`.
pub const EVENT_TYPES: [&str; 6] = [
    "delivered",
    "seen",
    "failed",
    "subscribed",
    "unsubscribed",
    "conversation_started",
];

/// What a Viber channel is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The bot's token: header of every call, and the key of every webhook's signature.
    pub auth_token: Secret,
    /// The name that stands over our messages.
    pub sender_name: String,
    /// The picture that stands beside them.
    #[serde(default)]
    pub sender_avatar: Option<String>,
    /// The answer to a person who opens the chat with the bot; none: the chat begins empty.
    #[serde(default)]
    pub welcome_message: Option<String>,
    /// The optional events for which `set_webhook` asks.
    #[serde(default = "all_event_types")]
    pub event_types: Vec<String>,
    /// Whether `set_webhook` asks for the names of people.
    #[serde(default = "yes")]
    pub send_name: bool,
    /// Whether `set_webhook` asks for the pictures of people.
    #[serde(default = "yes")]
    pub send_photo: bool,
    /// The oldest client that is to show our messages.
    #[serde(default = "first_version")]
    pub min_api_version: u8,
}

fn all_event_types() -> Vec<String> {
    EVENT_TYPES.map(str::to_owned).to_vec()
}

const fn yes() -> bool {
    true
}

/// Every client shows what version 1 has: text, files, places, cards and keyboards.
const fn first_version() -> u8 {
    1
}

impl Settings {
    /// Reads and checks the keys.
    ///
    /// # Errors
    /// When a key is missing, unknown, of the wrong type or of the wrong form.
    pub fn read(value: Value) -> Result<Self, SettingsError> {
        let settings: Self = settings::read(value)?;
        settings.validate()?;
        Ok(settings)
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// When a value is empty, too long, or nothing that Viber takes.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let token = self.auth_token.expose();
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            let found = if token.is_empty() {
                "nothing"
            } else {
                "a value of another form"
            };
            let allowed = "the bot's token: ASCII without blanks";
            return Err(SettingsError::new("auth_token", found, allowed));
        }
        let name = self.sender_name.trim();
        if name.is_empty() || name.chars().count() > SENDER_NAME_MAX || !is_line(name) {
            let found = format!("{} characters", name.chars().count());
            let allowed = "one line of 1 to 28 characters";
            return Err(SettingsError::new("sender_name", found, allowed));
        }
        if let Some(avatar) = &self.sender_avatar {
            let https = Url::parse(avatar).is_ok_and(|url| url.scheme() == "https");
            if !https || avatar.len() > LINK_MAX {
                let allowed = "an https link of a picture of up to 100 KB";
                return Err(SettingsError::new("sender_avatar", "another value", allowed));
            }
        }
        if let Some(text) = &self.welcome_message {
            let length = text.chars().count();
            if text.trim().is_empty() || length > TEXT_MAX {
                let found = format!("{length} characters");
                let allowed = "1 to 7000 characters";
                return Err(SettingsError::new("welcome_message", found, allowed));
            }
        }
        let unknown = |kind: &&String| !EVENT_TYPES.contains(&kind.as_str());
        if let Some(kind) = self.event_types.iter().find(unknown) {
            let allowed = EVENT_TYPES.join(", ");
            return Err(SettingsError::new("event_types", kind, allowed));
        }
        if self.min_api_version == 0 {
            return Err(SettingsError::new("min_api_version", "0", "1 or more"));
        }
        Ok(())
    }
}

fn is_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// The keys of a sandbox channel. No secrets: the emulator that takes them listens on the loopback.
pub fn sandbox_settings() -> Value {
    json!({
        "auth_token": "5a4db0c5a4db0c5a-5a4db0c5a4db0c5a-5a4db0c5a4db0c5a",
        "sender_name": "Sandbox",
        "welcome_message": "Hello! Write to us, and somebody will answer.",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_ask_for_everything_and_for_every_client() {
        let settings = Settings::read(json!({"auth_token": "t", "sender_name": "Acme"})).unwrap();
        assert_eq!(settings.event_types, EVENT_TYPES);
        assert!(settings.send_name && settings.send_photo);
        assert_eq!(settings.min_api_version, 1);
        assert_eq!(settings.welcome_message, None);
        Settings::read(sandbox_settings()).unwrap();
    }

    #[test]
    fn errors_name_the_key_and_never_the_token() {
        let cases = [
            (json!({"sender_name": "A"}), "auth_token: found nothing"),
            (json!({"auth_token": "t"}), "sender_name: found nothing"),
            (
                json!({"auth_token": "hunter two", "sender_name": "A"}),
                "auth_token: found a value of another form",
            ),
            (
                json!({"auth_token": "", "sender_name": "A"}),
                "auth_token: found nothing",
            ),
            (
                json!({"auth_token": "t", "sender_name": "x".repeat(29)}),
                "sender_name: found 29 characters",
            ),
            (
                json!({"auth_token": "t", "sender_name": " "}),
                "sender_name: found 0 characters",
            ),
            (
                json!({"auth_token": "t", "sender_name": "A", "sender_avatar": "http://a.example/a.png"}),
                "sender_avatar: found another value",
            ),
            (
                json!({"auth_token": "t", "sender_name": "A", "welcome_message": "x".repeat(7001)}),
                "welcome_message: found 7001 characters",
            ),
            (
                json!({"auth_token": "t", "sender_name": "A", "event_types": ["seen", "typing"]}),
                "event_types: found typing",
            ),
            (
                json!({"auth_token": "t", "sender_name": "A", "min_api_version": 0}),
                "min_api_version: found 0",
            ),
            (
                json!({"auth_token": "t", "sender_name": "A", "webhook_url": "x"}),
                "webhook_url: found an unknown key",
            ),
        ];
        for (value, expected) in cases {
            let error = Settings::read(value).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }
}
