//! The keys of a Telegram channel.

use crate::error::SettingsError;
use crate::kit::secret::{Secret, Secrets};
use crate::kit::settings;
use serde::Deserialize;
use serde_json::{Value, json};

/// Telegram's own API; `api_base` of the configuration replaces it.
pub const API_BASE: &str = "https://api.telegram.org";

/// The longest bot token (section "Authorizing your bot" shows 45 characters; the server stops
/// reading at 80).
const TOKEN_MAX: usize = 80;

/// The longest `secret_token` of `setWebhook`.
const WEBHOOK_SECRET_MAX: usize = 256;

/// What a Telegram channel is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The token that @BotFather gave: `<bot id>:<35 characters>`. Sits in the path of every call.
    pub bot_token: Secret,
    /// The `secret_token` of `setWebhook`. A list while it is being changed: all are accepted.
    pub webhook_secret: Secrets,
    /// Whether posts in channels, where the bot is an administrator, count as messages. Off: a
    /// channel speaks to its readers, not to us.
    #[serde(default)]
    pub channel_posts: bool,
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
    /// When the token is not of the documented form, or a webhook secret is empty or holds
    /// characters that Telegram does not take.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let token = self.bot_token.expose();
        let well_formed = token.len() <= TOKEN_MAX
            && self.bot_id().is_some()
            && token
                .split_once(':')
                .is_some_and(|(_, key)| !key.is_empty() && key.bytes().all(is_word));
        if !well_formed {
            let found = if token.is_empty() {
                "nothing"
            } else {
                "a value of another form"
            };
            let allowed = "the token from @BotFather: digits, a colon, then A-Z a-z 0-9 _ -";
            return Err(SettingsError::new("bot_token", found, allowed));
        }
        let allowed = "1 to 256 characters of A-Z a-z 0-9 _ -";
        if self.webhook_secret.first().is_none() {
            return Err(SettingsError::new("webhook_secret", "nothing", allowed));
        }
        for secret in self.webhook_secret.iter() {
            if !is_webhook_secret(secret.expose()) {
                let found = "a value of another form";
                return Err(SettingsError::new("webhook_secret", found, allowed));
            }
        }
        Ok(())
    }

    /// The bot's own user id: the digits of the token. `None` only before `validate`.
    pub fn bot_id(&self) -> Option<i64> {
        let (digits, _) = self.bot_token.expose().split_once(':')?;
        let id = digits.bytes().all(|b| b.is_ascii_digit());
        id.then(|| digits.parse().ok())?.filter(|id| *id > 0)
    }
}

/// Whether Telegram would take this as `secret_token`.
pub fn is_webhook_secret(text: &str) -> bool {
    (1..=WEBHOOK_SECRET_MAX).contains(&text.len()) && text.bytes().all(is_word)
}

/// The alphabet of tokens and secrets.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// The keys of a sandbox channel. No secrets: the emulator that takes them listens on the loopback.
pub fn sandbox_settings() -> Value {
    json!({
        "bot_token": "7000000001:sandbox-token-of-35-characters-abcde",
        "webhook_secret": "sandbox-telegram-webhook-secret",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_settings_are_valid() {
        let settings = Settings::read(sandbox_settings()).unwrap();
        assert_eq!(settings.bot_id(), Some(7_000_000_001));
        assert!(!settings.channel_posts);
    }

    #[test]
    fn errors_name_the_key_and_never_the_value() {
        let token = "1:abc";
        let cases = [
            (json!({"webhook_secret": "s"}), "bot_token: found nothing"),
            (json!({"bot_token": token}), "webhook_secret: found nothing"),
            (
                json!({"bot_token": token, "webhook_secret": ""}),
                "webhook_secret: found nothing",
            ),
            (
                json!({"bot_token": token, "webhook_secret": [""]}),
                "webhook_secret: found nothing",
            ),
            (
                json!({"bot_token": token, "webhook_secret": "hunter two"}),
                "webhook_secret: found a value of another form",
            ),
            (
                json!({"bot_token": token, "webhook_secret": ["fine", "x".repeat(257)]}),
                "webhook_secret: found a value of another form",
            ),
            (
                json!({"bot_token": "", "webhook_secret": "s"}),
                "bot_token: found nothing",
            ),
            (
                json!({"bot_token": "hunter2", "webhook_secret": "s"}),
                "bot_token: found a value of another form",
            ),
            (
                json!({"bot_token": "12:hunter2/../x", "webhook_secret": "s"}),
                "bot_token: found a value of another form",
            ),
            (
                json!({"bot_token": format!("1:{}", "x".repeat(80)), "webhook_secret": "s"}),
                "bot_token: found a value of another form",
            ),
            (
                json!({"bot_token": token, "webhook_secret": "s", "max_connections": 40}),
                "max_connections: found an unknown key",
            ),
        ];
        for (value, expected) in cases {
            let error = Settings::read(value).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn a_secret_may_be_a_list_while_it_is_changed() {
        let value = json!({"bot_token": "1:abc", "webhook_secret": ["new", "old"]});
        assert_eq!(
            Settings::read(value)
                .unwrap()
                .webhook_secret
                .iter()
                .count(),
            2
        );
    }
}
