//! The channel's own keys.

use crate::error::SettingsError;
use crate::kit::http::Auth;
use crate::kit::secret::{Secret, Secrets};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Root of Twilio's API.
pub const API_BASE: &str = "https://api.twilio.com";

/// Segments that one text message may be cut into by the carriers. Twilio's limit of 1600 characters
/// allows a few more; from about 320 characters on, deliverability falls.
pub const MAX_SEGMENTS: usize = 10;

/// 1600 characters, the most that Twilio takes, are 24 segments of 67 units.
const MAX_SEGMENTS_ALLOWED: usize = 24;

/// The longest that Twilio keeps a message in its own queue, in seconds; also Twilio's default.
pub const VALIDITY_SECONDS_MAX: u32 = 36_000;

/// The keys of a `twilio-sms` channel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `AC…`: the account, and part of every path.
    pub account_sid: String,
    /// Signs classic webhooks, and authorises requests where there is no API key. May be left out
    /// only where both are done by something else: an API key and shared keys.
    #[serde(default)]
    pub auth_token: Option<Secrets>,
    /// Accepted for signatures while the secondary token is being promoted.
    #[serde(default)]
    pub auth_token_previous: Option<Secret>,
    /// `SK…`: an API key, preferred for requests. It cannot verify webhooks.
    #[serde(default)]
    pub api_key_sid: Option<String>,
    /// The secret of the API key.
    #[serde(default)]
    pub api_key_secret: Option<Secret>,
    /// Ids and secrets of the keys that sign webhooks in the SharedKey scheme.
    #[serde(default)]
    pub webhook_shared_keys: BTreeMap<String, Secret>,
    /// Our number (E.164), short code or alphanumeric sender id.
    #[serde(default)]
    pub from: Option<String>,
    /// `MG…`: the service that picks the number.
    #[serde(default)]
    pub messaging_service_sid: Option<String>,
    /// How long Twilio may keep a message in its queue, in seconds: 1 to [`VALIDITY_SECONDS_MAX`].
    #[serde(default)]
    pub validity_period: Option<u32>,
    /// The most segments per text message.
    #[serde(default = "max_segments")]
    pub max_segments: usize,
}

const fn max_segments() -> usize {
    MAX_SEGMENTS
}

impl Settings {
    /// Reads and validates the keys.
    ///
    /// # Errors
    /// When a key is missing, unknown, of the wrong type or of the wrong shape.
    pub fn read(settings: Value) -> Result<Self, SettingsError> {
        let settings: Self = crate::kit::settings::read(settings)?;
        settings.validate()?;
        Ok(settings)
    }

    /// Checks shapes, and the keys against each other.
    ///
    /// # Errors
    /// Naming the first key that is wrong.
    pub fn validate(&self) -> Result<(), SettingsError> {
        sid("account_sid", &self.account_sid, "AC")?;
        if let Some(service) = &self.messaging_service_sid {
            sid("messaging_service_sid", service, "MG")?;
        }
        match &self.from {
            Some(from) if !is_sender(from) => {
                let allowed = "a number such as +15005550006, a short code of 3 to 8 digits, or a \
                               sender id of up to 11 letters and digits";
                return Err(SettingsError::new("from", from, allowed));
            }
            None if self.messaging_service_sid.is_none() => {
                let allowed = "our number here, or a service in messaging_service_sid";
                return Err(SettingsError::new("from", "nothing", allowed));
            }
            _ => {}
        }
        self.validate_credentials()?;
        if let Some(seconds) = self.validity_period
            && !(1..=VALIDITY_SECONDS_MAX).contains(&seconds)
        {
            let allowed = format!("1 to {VALIDITY_SECONDS_MAX} (seconds)");
            let found = seconds.to_string();
            return Err(SettingsError::new("validity_period", found, allowed));
        }
        if !(1..=MAX_SEGMENTS_ALLOWED).contains(&self.max_segments) {
            let allowed = format!("1 to {MAX_SEGMENTS_ALLOWED}");
            let found = self.max_segments.to_string();
            return Err(SettingsError::new("max_segments", found, allowed));
        }
        Ok(())
    }

    fn validate_credentials(&self) -> Result<(), SettingsError> {
        let secret = self.api_key_secret.as_ref().filter(|s| !s.is_empty());
        match (&self.api_key_sid, secret) {
            (Some(key), _) if sid("api_key_sid", key, "SK").is_err() => {
                return sid("api_key_sid", key, "SK");
            }
            (Some(_), None) => {
                let allowed = "the secret that belongs to api_key_sid";
                return Err(SettingsError::new("api_key_secret", "nothing", allowed));
            }
            (None, Some(_)) => {
                let allowed = "the key that api_key_secret belongs to";
                return Err(SettingsError::new("api_key_sid", "nothing", allowed));
            }
            _ => {}
        }
        if self.webhook_shared_keys.values().any(Secret::is_empty) {
            let allowed = "a secret for every key";
            return Err(SettingsError::new(
                "webhook_shared_keys",
                "an empty secret",
                allowed,
            ));
        }
        let has_token = self.auth_token.as_ref().and_then(Secrets::first).is_some();
        let replaced = self.api_key_sid.is_some() && !self.webhook_shared_keys.is_empty();
        if !has_token && !replaced {
            let allowed = "the account's auth token; without it, both an API key (api_key_sid, \
                           api_key_secret) and webhook_shared_keys";
            return Err(SettingsError::new("auth_token", "nothing", allowed));
        }
        Ok(())
    }

    /// Every token that a classic signature may have been made with.
    pub fn signing_tokens(&self) -> impl Iterator<Item = &Secret> {
        let previous = self.auth_token_previous.iter().filter(|s| !s.is_empty());
        self.auth_token
            .iter()
            .flat_map(Secrets::iter)
            .chain(previous)
    }

    /// How requests prove who we are: the API key, else the auth token.
    pub fn auth(&self) -> Auth {
        if let (Some(user), Some(secret)) = (&self.api_key_sid, &self.api_key_secret) {
            return Auth::Basic {
                user: user.clone(),
                password: secret.clone(),
            };
        }
        match self.auth_token.as_ref().and_then(Secrets::first) {
            Some(token) => Auth::Basic {
                user: self.account_sid.clone(),
                password: token.clone(),
            },
            None => Auth::None, // `validate` does not let it come to this.
        }
    }
}

/// A SID: its two letters, then letters and digits (32 of them, at Twilio itself).
fn sid(key: &'static str, value: &str, prefix: &str) -> Result<(), SettingsError> {
    let fits = value.strip_prefix(prefix).is_some_and(|rest| {
        (1..=62).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    if fits {
        return Ok(());
    }
    let found: String = value.chars().take(40).collect();
    let allowed = format!("{prefix} and 32 hexadecimal digits");
    Err(SettingsError::new(key, format!("{found:?}"), allowed))
}

/// Whether this can be a sender: E.164, short code, or alphanumeric id.
fn is_sender(from: &str) -> bool {
    let digits = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    let id = (1..=11).contains(&from.len())
        && from.bytes().any(|b| b.is_ascii_alphabetic())
        && from
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b" &+-_".contains(&b));
    super::address::is_e164(from) || digits(from, 3..=8) || id
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn complaint(change: impl FnOnce(&mut Value)) -> String {
        let mut settings = super::super::sandbox_settings();
        change(&mut settings);
        Settings::read(settings).map_or_else(|e| e.to_string(), |_| "fine".to_owned())
    }

    #[test]
    fn names_what_is_wrong() {
        type Change = fn(&mut Value);
        let cases: &[(Change, &str)] = &[
            (|_| {}, "fine"),
            (|s| s["account_sid"] = json!("SK12"), "account_sid: found \"SK12\""),
            (|s| s["account_sid"] = json!("AC/../x"), "account_sid: found"),
            (|s| s["from"] = json!(null), "from: found nothing"),
            (|s| s["from"] = json!("0701740605x!"), "from: found 0701740605x!"),
            (|s| s["from"] = json!("Bob's shop"), "from: found Bob's shop"),
            (|s| s["from"] = json!("My Shop"), "fine"),
            (|s| s["from"] = json!("71705"), "fine"),
            (|s| s["auth_token"] = json!(""), "auth_token: found nothing"),
            (|s| s["api_key_sid"] = json!("SK1"), "api_key_secret: found nothing"),
            (|s| s["api_key_secret"] = json!("x"), "api_key_sid: found nothing"),
            (|s| s["validity_period"] = json!(36001), "validity_period: found 36001"),
            (|s| s["max_segments"] = json!(0), "max_segments: found 0"),
            (
                |s| s["webhook_shared_keys"] = json!({"k": ""}),
                "webhook_shared_keys: found an empty secret",
            ),
            (
                |s| {
                    s["auth_token"] = json!(null);
                    s["api_key_sid"] = json!("SK1");
                    s["api_key_secret"] = json!("x");
                    s["webhook_shared_keys"] = json!({"k": "v"});
                },
                "fine",
            ),
            (
                |s| {
                    s["from"] = json!(null);
                    s["messaging_service_sid"] = json!("MG00112233445566778899aabbccddeeff");
                },
                "fine",
            ),
        ];
        for (change, expected) in cases {
            let found = complaint(change);
            assert!(found.starts_with(expected), "{found} is not {expected}");
        }
    }

    #[test]
    fn the_api_key_is_preferred_and_nothing_is_shown() {
        let mut settings = super::super::sandbox_settings();
        settings["api_key_sid"] = json!("SK0123");
        settings["api_key_secret"] = json!("hidden-secret");
        let settings = Settings::read(settings).unwrap();
        assert!(matches!(settings.auth(), Auth::Basic { user, .. } if user == "SK0123"));
        assert!(!format!("{settings:?}").contains("hidden-secret"));
    }
}
