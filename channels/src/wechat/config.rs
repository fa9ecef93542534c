//! The keys of a WeChat channel.

use super::crypt;
use crate::error::SettingsError;
use crate::kit::secret::{Secret, Secrets};
use crate::kit::settings;
use serde::Deserialize;
use serde_json::{Value, json};

/// WeChat's own API; `api_base` of the configuration replaces it (regional roots such as
/// `https://hk.api.weixin.qq.com` too).
pub const API_BASE: &str = "https://api.weixin.qq.com";

/// An app id is `wx` and 16 hexadecimal digits.
const APP_ID_DIGITS: usize = 16;

/// What the console calls the mode of message encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Callbacks are readable and their bodies unsigned. Encrypted ones are taken too, where a key
    /// is configured.
    Plaintext,
    /// Callbacks carry everything twice; only the encrypted copy, which is signed, is read.
    Compat,
    /// Callbacks are encrypted.
    #[default]
    Safe,
}

/// What a WeChat channel is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The account's AppID.
    pub app_id: String,
    /// The account's AppSecret. Goes into the call for an access token and nowhere else.
    pub app_secret: Secret,
    /// The word that callbacks are signed with; not the access token. A list while it is being
    /// changed: all are accepted.
    pub token: Secrets,
    /// The EncodingAESKey. Optional in the mode `plaintext` alone.
    #[serde(default)]
    pub encoding_aes_key: Option<Secret>,
    /// The key before: the platform goes on with it for a while after a change.
    #[serde(default)]
    pub previous_encoding_aes_key: Option<Secret>,
    /// The mode chosen in the console.
    #[serde(default)]
    pub mode: Mode,
    /// The account's `gh_…` id, to which callbacks are addressed: others are kept apart.
    #[serde(default)]
    pub original_id: Option<String>,
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
    /// When a value is not of the form in which WeChat gives or takes it, or the mode asks for a
    /// key that is not there.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !is_app_id(&self.app_id) {
            let allowed = "wx and 16 hexadecimal digits";
            return Err(SettingsError::new("app_id", found(&self.app_id), allowed));
        }
        if self.app_secret.expose().trim().is_empty() {
            return Err(SettingsError::new("app_secret", "nothing", "the AppSecret"));
        }
        let allowed = "3 to 32 letters and digits";
        if self.token.first().is_none() {
            return Err(SettingsError::new("token", "nothing", allowed));
        }
        for token in self.token.iter().map(Secret::expose) {
            let word = token.bytes().all(|b| b.is_ascii_alphanumeric());
            if !(3..=32).contains(&token.len()) || !word {
                return Err(SettingsError::new("token", found(token), allowed));
            }
        }
        for (name, key) in [
            ("encoding_aes_key", &self.encoding_aes_key),
            ("previous_encoding_aes_key", &self.previous_encoding_aes_key),
        ] {
            let Some(key) = key else { continue };
            if crypt::key(key.expose()).is_none() {
                let allowed = "the 43 letters and digits of the console";
                return Err(SettingsError::new(name, found(key.expose()), allowed));
            }
        }
        if self.encoding_aes_key.is_none() && self.mode != Mode::Plaintext {
            let allowed = "the 43 letters and digits of the console (or mode = \"plaintext\")";
            return Err(SettingsError::new("encoding_aes_key", "nothing", allowed));
        }
        match &self.original_id {
            Some(id) if !id.starts_with("gh_") => {
                let allowed = "the gh_… id of the account";
                Err(SettingsError::new("original_id", found(id), allowed))
            }
            _ => Ok(()),
        }
    }

    /// The keys that callbacks may be encrypted with, the current one first.
    pub fn keys(&self) -> impl Iterator<Item = crypt::Key> {
        [&self.encoding_aes_key, &self.previous_encoding_aes_key]
            .into_iter()
            .flatten()
            .filter_map(|key| crypt::key(key.expose()))
    }
}

/// A word for what was found: the values may be secrets.
fn found(value: &str) -> &'static str {
    if value.is_empty() {
        "nothing"
    } else {
        "a value of another form"
    }
}

/// Whether this is of the form of an AppID.
pub fn is_app_id(text: &str) -> bool {
    text.strip_prefix("wx").is_some_and(|digits| {
        digits.len() == APP_ID_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// The keys of a sandbox channel. No secrets: the emulator that takes them listens on the loopback.
pub fn sandbox_settings() -> Value {
    json!({
        "app_id": "wx5a0db0c5a0db0c57",
        "app_secret": "sandbox-wechat-app-secret",
        "token": "sandboxWechatToken",
        "encoding_aes_key": "U2FuZGJveEtleU9mVGhlV2VDaGF0RW11bGF0b3IwMDE",
        "original_id": "gh_5a0db0c5a0db",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Zm9yVGVzdE9ubHlLZXkwMTIzNDU2Nzg5QWJDZEVmR2h";

    fn with(changes: Value) -> Result<Settings, SettingsError> {
        let mut value = json!({
            "app_id": "wx0123456789abcdef", "app_secret": "hunter2", "token": "demoToken2026",
            "encoding_aes_key": KEY,
        });
        for (key, change) in changes.as_object().unwrap() {
            value[key] = change.clone();
        }
        Settings::read(value)
    }

    #[test]
    fn sandbox_settings_are_valid() {
        let settings = Settings::read(sandbox_settings()).unwrap();
        assert_eq!((settings.mode, settings.keys().count()), (Mode::Safe, 1));
    }

    #[test]
    fn errors_name_the_key_and_never_the_value() {
        let cases = [
            (json!({"app_id": "hunter2"}), "app_id: found a value of another form"),
            (json!({"app_id": "wx0123456789abcdeg"}), "app_id: found a value of another form"),
            (json!({"app_secret": ""}), "app_secret: found nothing"),
            (json!({"token": "hunter 2"}), "token: found a value of another form"),
            (json!({"token": ""}), "token: found nothing"),
            (json!({"token": ["fine", "hunter 2"]}), "token: found a value of another form"),
            (json!({"token": "x".repeat(33)}), "token: found a value of another form"),
            (json!({"encoding_aes_key": "hunter"}), "encoding_aes_key: found a value of another"),
            (json!({"encoding_aes_key": null}), "encoding_aes_key: found nothing"),
            (
                json!({"encoding_aes_key": null, "mode": "compat"}),
                "encoding_aes_key: found nothing",
            ),
            (
                json!({"previous_encoding_aes_key": format!("{KEY}=")}),
                "previous_encoding_aes_key: found a value of another form",
            ),
            (json!({"mode": "hunter"}), "mode: found"),
            (json!({"original_id": "hunter"}), "original_id: found a value of another form"),
            (json!({"token_mode": "classic"}), "token_mode: found an unknown key"),
        ];
        for (value, expected) in cases {
            let error = with(value).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn plaintext_needs_no_key_and_a_change_has_two() {
        let plain = with(json!({"encoding_aes_key": null, "mode": "plaintext"})).unwrap();
        assert_eq!(plain.keys().count(), 0);
        let other = "U2FuZGJveEtleU9mVGhlV2VDaGF0RW11bGF0b3IwMDE";
        let changing = with(json!({"previous_encoding_aes_key": other})).unwrap();
        let keys: Vec<_> = changing.keys().collect();
        assert_eq!(keys[0], crypt::key(KEY).unwrap());
        assert_eq!(keys.len(), 2);
    }
}
