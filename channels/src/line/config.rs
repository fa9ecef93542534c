//! The keys of a LINE channel.

use crate::error::SettingsError;
use crate::kit::jwt;
use crate::kit::secret::{Secret, Secrets};
use crate::kit::settings::{self, Common};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

/// LINE's own API; `api_base` of the configuration replaces it.
pub const API_BASE: &str = "https://api.line.me";

/// Where LINE keeps what people send; `data_api_base` replaces it.
pub const DATA_API_BASE: &str = "https://api-data.line.me";

/// What a recording claims to last until it is played: LINE demands a figure, and a link does not
/// tell. One minute.
const AUDIO_DURATION_MS: u32 = 60_000;

/// How a channel comes by its access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Issued by hand in the developers console; never expires.
    #[default]
    Static,
    /// Issued with channel id and secret; 30 days, 30 at a time.
    ShortLived,
    /// Issued with a JSON Web Token that the operator's own key signs; 30 days, 30 at a time.
    #[serde(rename = "jwt_v2_1")]
    Jwt,
    /// Issued with channel id and secret; 15 minutes, any number.
    Stateless,
}

/// What a LINE channel is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The long-lived token of the developers console, for `token_kind = "static"`.
    #[serde(default)]
    pub channel_access_token: Option<Secret>,
    /// Signs webhooks. A list while it is being changed: all are accepted.
    pub channel_secret: Secrets,
    /// Root of the API of contents.
    #[serde(default)]
    pub data_api_base: Option<String>,
    /// How the access token is come by.
    #[serde(default)]
    pub token_kind: TokenKind,
    /// Digits; the client id where tokens are issued.
    #[serde(default)]
    pub channel_id: Option<String>,
    /// The private key behind the assertion, RSA in PEM, for `token_kind = "jwt_v2_1"`.
    #[serde(default)]
    pub assertion_private_key: Option<Secret>,
    /// The id that LINE gave to that key.
    #[serde(default)]
    pub assertion_kid: Option<String>,
    /// The account's own user id: `U` and 32 hexadecimal digits. Webhooks for another one are not
    /// taken for this channel's.
    #[serde(default)]
    pub bot_user_id: Option<String>,
    /// A picture that stands for every film until it is played. Without it films go as links.
    #[serde(default)]
    pub video_preview_url: Option<String>,
    /// What a recording claims to last, in milliseconds.
    #[serde(default = "audio_duration_ms")]
    pub audio_duration_ms: u32,
    /// After a message the person sees for so long that we are writing: 5 to 60 in steps of 5.
    #[serde(default)]
    pub loading_seconds: Option<u8>,
    /// Whether messages are marked as read when they arrive.
    #[serde(default)]
    pub mark_as_read: bool,
}

const fn audio_duration_ms() -> u32 {
    AUDIO_DURATION_MS
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
    /// When a key lacks that the kind of token needs, or a value is of another form.
    pub fn validate(&self) -> Result<(), SettingsError> {
        // What goes into a header must not end it.
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let form = |key, fits: bool, allowed: &str| match fits {
            true => Ok(()),
            false => Err(SettingsError::new(key, "a value of another form", allowed)),
        };
        if self.channel_secret.first().is_none() {
            let allowed = "the channel secret of the developers console";
            return Err(SettingsError::new("channel_secret", "nothing", allowed));
        }
        let token = self.channel_access_token.as_ref().map(Secret::expose);
        let allowed = "the channel access token of the developers console, without blanks";
        form("channel_access_token", token.is_none_or(plain), allowed)?;
        let digits = |id: &String| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
        form("channel_id", self.channel_id.as_ref().is_none_or(digits), "digits")?;
        let kid = self.assertion_kid.as_deref();
        form("assertion_kid", kid.is_none_or(plain), "the key's id")?;
        let key = self.assertion_private_key.as_ref();
        let signs = key.is_none_or(|key| jwt::check_key(key.expose()).is_ok());
        form("assertion_private_key", signs, "an RSA private key in PEM")?;
        let bot = self.bot_user_id.as_deref();
        let allowed = "U and 32 hexadecimal digits in lower case";
        form("bot_user_id", bot.is_none_or(|id| is_id(id, "U")), allowed)?;
        let base = self.data_api_base.as_deref();
        form("data_api_base", base.is_none_or(is_http), "an http or https URL")?;
        let preview = self.video_preview_url.as_deref();
        let allowed = "an https URL of at most 2000 characters";
        form("video_preview_url", preview.is_none_or(super::plan::is_media_link), allowed)?;
        form("audio_duration_ms", self.audio_duration_ms > 0, "1 or more")?;
        let loading = self.loading_seconds;
        let fits = loading.is_none_or(|s| (5..=60).contains(&s) && s.is_multiple_of(5));
        form("loading_seconds", fits, "5 to 60 in steps of 5")?;
        self.complete()
    }

    /// Checks that the kind of token has what it needs.
    fn complete(&self) -> Result<(), SettingsError> {
        let needs = |key, there: bool, why: &str| match there {
            true => Ok(()),
            false => Err(SettingsError::new(key, "nothing", why)),
        };
        let channel_id = self.channel_id.is_some();
        match self.token_kind {
            TokenKind::Static => {
                let there = self.channel_access_token.is_some();
                needs("channel_access_token", there, "a value, unless token_kind says otherwise")
            }
            TokenKind::ShortLived | TokenKind::Stateless => {
                needs("channel_id", channel_id, "the channel id, since tokens are issued")
            }
            TokenKind::Jwt => {
                needs("channel_id", channel_id, "the channel id, since tokens are issued")?;
                let key = self.assertion_private_key.is_some();
                needs("assertion_private_key", key, "the key that signs the assertion")?;
                needs("assertion_kid", self.assertion_kid.is_some(), "the key's id")
            }
        }
    }

    /// Root of the API of contents: as configured; LINE's own for LINE's own API; else the same as
    /// `api_base`, so that an emulator or a proxy needs one address only.
    pub fn data_api_base(&self, common: &Common) -> String {
        let api = common.api_base(API_BASE);
        let configured = self.data_api_base.clone();
        let base = configured.unwrap_or(match api == API_BASE {
            true => DATA_API_BASE.to_owned(),
            false => api,
        });
        base.trim_end_matches('/').to_owned()
    }
}

/// Whether this is an id of LINE: one of these letters and 32 hexadecimal digits.
pub fn is_id(text: &str, letters: &str) -> bool {
    let mut chars = text.chars();
    let letter = chars.next().is_some_and(|c| letters.contains(c));
    let rest = chars.as_str();
    letter && rest.len() == 32 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_http(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// The keys of a sandbox channel. No secrets: the emulator that takes them listens on the loopback.
pub fn sandbox_settings() -> Value {
    json!({
        "channel_access_token": "sandbox-line-channel-access-token",
        "channel_secret": "sandbox0line0channel0secret00000",
        "video_preview_url": "https://files.example.net/film.jpg",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(api_base: Option<&str>) -> Common {
        Common {
            id: "desk".into(),
            api_base: api_base.map(str::to_owned),
            webhook_url: "https://gw.example.net/webhooks/desk".into(),
        }
    }

    #[test]
    fn contents_come_from_where_the_api_is() {
        let cases = [
            (None, None, DATA_API_BASE),
            (Some("https://api.line.me/"), None, DATA_API_BASE),
            (Some("http://127.0.0.1:8081/line/"), None, "http://127.0.0.1:8081/line"),
            (Some("https://proxy.example"), Some("https://data.example/"), "https://data.example"),
            (None, Some("https://data.example"), "https://data.example"),
        ];
        for (api, data, expected) in cases {
            let mut value = sandbox_settings();
            value["data_api_base"] = json!(data);
            let settings = Settings::read(value).unwrap();
            assert_eq!(settings.data_api_base(&common(api)), expected);
        }
    }

    #[test]
    fn each_kind_of_token_needs_its_own_keys() {
        let cases = [
            (json!({}), "channel_access_token: found nothing"),
            (json!({"token_kind": "stateless"}), "channel_id: found nothing"),
            (json!({"token_kind": "short_lived"}), "channel_id: found nothing"),
            (json!({"token_kind": "jwt_v2_1"}), "channel_id: found nothing"),
            (
                json!({"token_kind": "jwt_v2_1", "channel_id": "1"}),
                "assertion_private_key: found nothing",
            ),
            (json!({"token_kind": "eternal"}), "token_kind: "),
            (json!({"channel_id": "x1"}), "channel_id: found a value of another form"),
            (json!({"channel_secret": ""}), "channel_secret: found nothing"),
            (
                json!({"channel_access_token": "hunter2\r\nx: y"}),
                "channel_access_token: found a value of another form",
            ),
            (json!({"bot_user_id": "U1"}), "bot_user_id: found a value of another form"),
            (json!({"data_api_base": "hunter"}), "data_api_base: found a value"),
            (json!({"loading_seconds": 7}), "loading_seconds: found a value"),
            (json!({"loading_seconds": 65}), "loading_seconds: found a value"),
            (json!({"video_preview_url": "http://x.example/a.jpg"}), "video_preview_url: found"),
            (json!({"audio_duration_ms": 0}), "audio_duration_ms: found a value"),
            (
                json!({"assertion_private_key": "-----BEGIN PRIVATE KEY-----\nhunter\n"}),
                "assertion_private_key: found a value of another form",
            ),
        ];
        for (changes, expected) in cases {
            let mut value = json!({"channel_secret": "s"});
            let fields = value.as_object_mut().unwrap();
            fields.extend(changes.as_object().unwrap().clone());
            let error = Settings::read(value).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
        let issued = json!({"channel_secret": "s", "token_kind": "stateless", "channel_id": "7"});
        assert!(Settings::read(issued).is_ok());
    }
}
