//! The channel's own keys.

use crate::error::SettingsError;
use crate::kit::secret::{Secret, Secrets};
use crate::kit::settings::{self, Common};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// Root of the Graph API.
pub const API_BASE: &str = "https://graph.facebook.com";

/// The version of the Graph API that is called. Supported by Meta until 29 July 2028 (changelog of
/// the Graph API, read November 2026).
pub const API_VERSION: &str = "v25.0";

/// What the configuration says about one number.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Meta's id of the number; not the number.
    #[serde(deserialize_with = "digits")]
    pub phone_number_id: String,
    /// Token of a system user.
    pub access_token: Secret,
    /// Secret of the Meta app; two while it is being rotated.
    pub app_secret: Secrets,
    /// What we told Meta to say in its handshake.
    pub verify_token: Secret,
    /// Version of the Graph API, `v25.0`.
    #[serde(default = "api_version")]
    pub api_version: String,
    /// `name:language` of a template with one body parameter, sent in place of a text that comes too
    /// late for free text.
    #[serde(default)]
    pub fallback_template: Option<String>,
    /// Meta's id of the business account; shown to the operator only.
    #[serde(default, deserialize_with = "maybe_digits")]
    pub waba_id: Option<String>,
    /// Languages tried for a template when it exists in none of those asked for.
    #[serde(default)]
    pub template_language_chain: Vec<String>,
}

fn api_version() -> String {
    API_VERSION.to_owned()
}

/// Ids are long rows of digits, which people (and environment variables) write without quotes.
fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a string of digits")]
    enum Id {
        Text(String),
        Number(u64),
    }
    Ok(match Id::deserialize(deserializer)? {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    })
}

fn maybe_digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    digits(deserializer).map(Some)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_version(text: &str) -> bool {
    text.strip_prefix('v')
        .and_then(|v| v.split_once('.'))
        .is_some_and(|(major, minor)| is_digits(major) && is_digits(minor))
}

impl Settings {
    /// Reads and checks the keys.
    ///
    /// # Errors
    /// When a key is missing, unknown, of the wrong type or cannot be right.
    pub fn read(value: Value) -> Result<Self, SettingsError> {
        let settings: Self = settings::read(value)?;
        settings.validate()?;
        Ok(settings)
    }

    /// Finds what a type cannot: empty secrets, ids that are none.
    ///
    /// # Errors
    /// Names the first key that cannot be right.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let refuse = |key: &str, found: &str, allowed: &str| {
            Err(SettingsError::new(key, format!("\"{found}\""), allowed))
        };
        let empty = |key| Err(SettingsError::new(key, "an empty value", "a value"));
        if !is_digits(&self.phone_number_id) {
            let allowed = "the id of the number: digits only, without +";
            return refuse("phone_number_id", &self.phone_number_id, allowed);
        }
        if self.access_token.is_empty() {
            return empty("access_token");
        }
        if self.app_secret.first().is_none() {
            return empty("app_secret");
        }
        if self.verify_token.is_empty() {
            return empty("verify_token");
        }
        if !is_version(&self.api_version) {
            return refuse("api_version", &self.api_version, "a version such as v25.0");
        }
        if let Some(fallback) = &self.fallback_template
            && self.fallback().is_none()
        {
            return refuse("fallback_template", fallback, "name:language");
        }
        if let Some(waba) = self.waba_id.as_ref().filter(|w| !is_digits(w)) {
            return refuse(
                "waba_id",
                waba,
                "the id of the business account: digits only",
            );
        }
        if self
            .template_language_chain
            .iter()
            .any(|l| l.trim().is_empty())
        {
            let allowed = "language codes such as pt_BR";
            return refuse("template_language_chain", "", allowed);
        }
        Ok(())
    }

    /// Name and language of the fallback template.
    pub fn fallback(&self) -> Option<(&str, &str)> {
        let (name, language) = self.fallback_template.as_deref()?.split_once(':')?;
        let (name, language) = (name.trim(), language.trim());
        (!name.is_empty() && !language.is_empty()).then_some((name, language))
    }
}

/// One number, and where its API is.
#[derive(Debug, Clone)]
pub struct Account {
    /// The channel's own keys.
    pub settings: Settings,
    /// Root of the API, without a slash at the end.
    pub base: String,
}

impl Account {
    /// Reads an account.
    ///
    /// # Errors
    /// When a key is missing, unknown, of the wrong type or cannot be right.
    pub fn read(common: &Common, value: Value) -> Result<Self, SettingsError> {
        Ok(Self {
            settings: Settings::read(value)?,
            base: common.api_base(API_BASE),
        })
    }

    /// The URL of a path below the API's version.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{}/{path}", self.base, self.settings.api_version)
    }
}

/// The keys of a sandbox channel.
pub fn sandbox_settings() -> Value {
    json!({
        "phone_number_id": "310987654321098",
        "access_token": "sandbox-access-token",
        "app_secret": "sandbox-app-secret",
        "verify_token": "sandbox-verify-token",
        "waba_id": "204455667788990",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(changes: Value) -> Result<Settings, String> {
        let mut value = sandbox_settings();
        for (key, change) in changes.as_object().unwrap() {
            if change.is_null() {
                value.as_object_mut().unwrap().remove(key);
            } else {
                value[key] = change.clone();
            }
        }
        Settings::read(value).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_and_forms() {
        let settings = with(json!({"phone_number_id": 310_987_654_321_098_u64})).unwrap();
        assert_eq!(settings.phone_number_id, "310987654321098");
        assert_eq!(settings.api_version, "v25.0");
        assert_eq!(settings.fallback(), None);
        let settings = with(json!({"fallback_template": "late:pt_BR"})).unwrap();
        assert_eq!(settings.fallback(), Some(("late", "pt_BR")));
        let rotated = with(json!({"app_secret": ["new", "old"]})).unwrap();
        assert_eq!(rotated.app_secret.iter().count(), 2);
    }

    #[test]
    fn errors_name_key_and_what_is_allowed() {
        let cases = [
            (json!({"phone_number_id": "+1555"}), "phone_number_id: "),
            (json!({"phone_number_id": true}), "phone_number_id: "),
            (json!({"phone_number_id": null}), "phone_number_id: found nothing"),
            (json!({"access_token": ""}), "access_token: found an empty value"),
            (json!({"app_secret": ["", ""]}), "app_secret: found an empty value"),
            (json!({"verify_token": ""}), "verify_token: found an empty value"),
            (json!({"api_version": "25"}), "api_version: found \"25\""),
            (json!({"api_version": "v25.0/x"}), "api_version: "),
            (json!({"fallback_template": "late"}), "fallback_template: found \"late\""),
            (json!({"fallback_template": ":en"}), "fallback_template: "),
            (json!({"waba_id": "abc"}), "waba_id: "),
            (json!({"template_language_chain": [""]}), "template_language_chain: "),
            (json!({"phone_id": "1"}), "phone_id: found an unknown key"),
        ];
        for (changes, expected) in cases {
            let error = with(changes.clone()).unwrap_err();
            assert!(error.starts_with(expected), "{changes}: {error}");
        }
    }

    #[test]
    fn debug_hides_every_secret() {
        let shown = format!("{:?}", with(json!({})).unwrap());
        assert!(!shown.contains("sandbox-"), "{shown}");
    }
}
