//! The keys of an X (Twitter) channel.

use crate::error::SettingsError;
use crate::kit::secret::Secret;
use crate::kit::settings;
use serde::Deserialize;
use serde_json::{Value, json};

/// X's own API; `api_base` of the configuration replaces it.
pub const API_BASE: &str = "https://api.x.com";

/// The most digits of a user id (OpenAPI description of the X API: `^[0-9]{1,19}$`).
const USER_ID_MAX: usize = 19;

/// What an X channel is told. OAuth 1.0a user context: its tokens do not expire.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The app's API key (consumer key).
    pub api_key: Secret,
    /// The app's API secret (consumer secret). The only key of challenges and webhook signatures.
    pub api_secret: Secret,
    /// The account's access token.
    pub access_token: Secret,
    /// The account's access token secret.
    pub access_token_secret: Secret,
    /// The account's own id, by which its events are told from those of the app's other accounts.
    pub user_id: String,
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
    /// When a secret is empty or holds blanks, or the user id is none.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let secrets = [
            ("api_key", &self.api_key),
            ("api_secret", &self.api_secret),
            ("access_token", &self.access_token),
            ("access_token_secret", &self.access_token_secret),
        ];
        for (key, secret) in secrets {
            let value = secret.expose();
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) {
                let found = if value.is_empty() {
                    "nothing"
                } else {
                    "a value of another form"
                };
                return Err(SettingsError::new(key, found, "ASCII without blanks"));
            }
        }
        if !is_user_id(&self.user_id) {
            let allowed = "the numeric id of the account: 1 to 19 digits";
            return Err(SettingsError::new("user_id", "another value", allowed));
        }
        Ok(())
    }
}

/// Whether this is the id of a user.
pub fn is_user_id(id: &str) -> bool {
    (1..=USER_ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit())
}

/// The keys of a sandbox channel. No secrets: the emulator that takes them listens on the loopback.
pub fn sandbox_settings() -> Value {
    json!({
        "api_key": "sandboxConsumerKey0001",
        "api_secret": "sandboxConsumerSecret0001",
        "access_token": "1500000000000000001-sandboxAccess01",
        "access_token_secret": "sandboxAccessSecret0001",
        "user_id": "1500000000000000001",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_key_and_never_the_value() {
        Settings::read(sandbox_settings()).unwrap();
        let cases = [
            ("api_key", json!(""), "api_key: found nothing"),
            ("api_secret", json!("hunter two"), "api_secret: found a value of another form"),
            ("access_token", json!(5), "access_token: found a whole number"),
            ("access_token_secret", json!(""), "access_token_secret: found nothing"),
            ("user_id", json!("@hunter"), "user_id: found another value"),
            ("user_id", json!("1".repeat(20)), "user_id: found another value"),
            ("bearer_token", json!("x"), "bearer_token: found an unknown key"),
        ];
        for (key, value, expected) in cases {
            let mut settings = sandbox_settings();
            settings[key] = value;
            let error = Settings::read(settings).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }
}
