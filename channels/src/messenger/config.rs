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

/// What the button "Get started" carries, unless the page's profile was set up otherwise.
pub const GET_STARTED: &str = "GET_STARTED";

/// The most digits of an id. Meta's are 15 to 18 today; room for what may come.
const ID_DIGITS_MAX: usize = 32;

/// What becomes of events of threads that another app owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandbyMode {
    /// They are kept raw and counted.
    #[default]
    Ignore,
    /// They are events like others; messages carry the fact `standby`.
    Observe,
}

/// What the configuration says about one page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Meta's id of the page.
    #[serde(deserialize_with = "digits")]
    pub page_id: String,
    /// Meta's id of the Instagram professional account that is linked to the page.
    #[serde(default, deserialize_with = "maybe_digits")]
    pub instagram_id: Option<String>,
    /// Token of the page.
    pub page_access_token: Secret,
    /// Secret of the Meta app; two while it is being rotated.
    pub app_secret: Secrets,
    /// What we told Meta to say in its handshake.
    pub verify_token: Secret,
    /// Version of the Graph API, `v25.0`.
    #[serde(default = "api_version")]
    pub api_version: String,
    /// Meta's id of the app: tells echoes of our sends from those of other apps.
    #[serde(default, deserialize_with = "maybe_digits")]
    pub app_id: Option<String>,
    /// Whether the app has the Human Agent feature and only people write over this channel: then what
    /// comes later than a day after the person's last message goes with that tag, up to seven days.
    #[serde(default)]
    pub human_agent_enabled: bool,
    /// What becomes of events of threads that another app owns.
    #[serde(default)]
    pub standby_mode: StandbyMode,
    /// Whether every call carries `appsecret_proof`, for apps that demand it.
    #[serde(default)]
    pub send_appsecret_proof: bool,
    /// The payload of the page's button "Get started".
    #[serde(default = "get_started")]
    pub get_started_payload: String,
    /// Whether messages are marked as seen when they arrive.
    #[serde(default)]
    pub mark_as_read: bool,
    /// Whether a person is shown that somebody is writing when a message of theirs arrives.
    #[serde(default)]
    pub show_typing: bool,
    /// Languages tried for a template after those that the caller named.
    #[serde(default)]
    pub template_language_chain: Vec<String>,
}

fn api_version() -> String {
    API_VERSION.to_owned()
}

fn get_started() -> String {
    GET_STARTED.to_owned()
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

/// Whether this can be an id of Meta's: digits only.
pub fn is_id(text: &str) -> bool {
    (1..=ID_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_version(text: &str) -> bool {
    text.strip_prefix('v')
        .and_then(|version| version.split_once('.'))
        .is_some_and(|(major, minor)| is_id(major) && is_id(minor))
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
        let ids = [
            (
                "page_id",
                Some(&self.page_id),
                "the id of the page: digits only",
            ),
            (
                "instagram_id",
                self.instagram_id.as_ref(),
                "the id of the Instagram account: digits only",
            ),
            (
                "app_id",
                self.app_id.as_ref(),
                "the id of the app: digits only",
            ),
        ];
        for (key, id, allowed) in ids {
            if let Some(id) = id.filter(|id| !is_id(id)) {
                return refuse(key, id, allowed);
            }
        }
        if self.instagram_id.as_ref() == Some(&self.page_id) {
            let allowed = "the id of the Instagram account, which is not that of the page";
            return refuse("instagram_id", &self.page_id, allowed);
        }
        if self.page_access_token.is_empty() {
            return empty("page_access_token");
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
        let chain = &self.template_language_chain;
        if chain.iter().any(|language| language.trim().is_empty()) {
            return refuse(
                "template_language_chain",
                "",
                "language codes such as pt_BR",
            );
        }
        Ok(())
    }
}

/// One page, and where its API is.
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
}

/// The keys of a sandbox channel. No secrets: the emulator that takes them listens on the loopback.
pub fn sandbox_settings() -> Value {
    json!({
        "page_id": "104200000000001",
        "instagram_id": "17841400000000001",
        "page_access_token": "sandbox-page-access-token",
        "app_secret": "sandbox-app-secret",
        "verify_token": "sandbox-verify-token",
        "app_id": "880000000000001",
        "human_agent_enabled": true,
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
        let settings = with(json!({
            "page_id": 104_200_000_000_001_u64, "human_agent_enabled": null, "app_id": null,
        }))
        .unwrap();
        assert_eq!(settings.page_id, "104200000000001");
        assert_eq!(settings.api_version, "v25.0");
        assert_eq!(settings.get_started_payload, "GET_STARTED");
        assert_eq!(settings.standby_mode, StandbyMode::Ignore);
        assert!(!settings.human_agent_enabled && !settings.send_appsecret_proof);
        let observing = with(json!({"standby_mode": "observe"})).unwrap();
        assert_eq!(observing.standby_mode, StandbyMode::Observe);
        let rotated = with(json!({"app_secret": ["new", "old"]})).unwrap();
        assert_eq!(rotated.app_secret.iter().count(), 2);
        assert_eq!(
            with(json!({"instagram_id": null})).unwrap().instagram_id,
            None
        );
    }

    #[test]
    fn errors_name_key_and_what_is_allowed() {
        let cases = [
            (
                json!({"page_id": "corner-shop"}),
                "page_id: found \"corner-shop\"",
            ),
            (json!({"page_id": true}), "page_id: "),
            (json!({"page_id": null}), "page_id: found nothing"),
            (json!({"instagram_id": "@shop"}), "instagram_id: "),
            (json!({"instagram_id": "104200000000001"}), "instagram_id: "),
            (
                json!({"page_access_token": ""}),
                "page_access_token: found an empty value",
            ),
            (
                json!({"app_secret": ["", ""]}),
                "app_secret: found an empty value",
            ),
            (
                json!({"verify_token": ""}),
                "verify_token: found an empty value",
            ),
            (json!({"api_version": "25"}), "api_version: found \"25\""),
            (json!({"api_version": "v25.0/x"}), "api_version: "),
            (json!({"app_id": ""}), "app_id: "),
            (json!({"standby_mode": "listen"}), "standby_mode: "),
            (
                json!({"template_language_chain": [" "]}),
                "template_language_chain: ",
            ),
            (
                json!({"ig_access_token": "x"}),
                "ig_access_token: found an unknown key",
            ),
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
