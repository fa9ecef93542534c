//! The keys of a Google Business Messages channel.

use super::wire::ServiceAccount;
use crate::error::SettingsError;
use crate::kit::jwt;
use crate::kit::secret::{Secret, Secrets};
use crate::kit::settings::{self, Common};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

/// Google's own API; `api_base` of the configuration replaces it.
pub const API_BASE: &str = "https://businessmessages.googleapis.com";

/// Where a service account gets access tokens when its key file does not say.
pub const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

/// What an access token is asked for. The one thing that the flow of RCS for Business has otherwise.
pub const SCOPE: &str = "https://www.googleapis.com/auth/businessmessages";

/// Where the emulator and proxies give tokens, below `api_base`.
pub const TOKEN_PATH: &str = "/token";

/// A name is a line above a bubble: longer ones are no names. Our own rule.
const NAME_MAX: usize = 100;

/// The account of the sandbox. Its key was made for this and protects nothing.
const SANDBOX_ACCOUNT: &str = include_str!("sandbox/service_account.json");

/// As whom the gateway speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RepresentativeType {
    /// A program.
    #[default]
    Bot,
    /// A person.
    Human,
}

impl RepresentativeType {
    /// Google's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bot => "BOT",
            Self::Human => "HUMAN",
        }
    }
}

/// What a Google Business Messages channel is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The agent: `brands/…/agents/…`, or its last word alone.
    pub agent_id: String,
    /// The brand, where `agent_id` does not name it.
    #[serde(default)]
    pub brand_id: Option<String>,
    /// The key file of the service account, whole, as JSON text.
    pub service_account_json: Secret,
    /// Signs webhooks. A list while it is being changed: all are accepted.
    #[serde(default)]
    pub partner_key: Option<Secrets>,
    /// What the webhook was saved with. Signs webhooks, too: Google's pages disagree about which of
    /// the two does.
    #[serde(default)]
    pub client_token: Option<Secrets>,
    /// Where access tokens are to be had.
    #[serde(default)]
    pub token_url: Option<String>,
    /// As whom the gateway speaks.
    #[serde(default)]
    pub representative_type: RepresentativeType,
    /// The name above our messages.
    #[serde(default)]
    pub representative_name: Option<String>,
    /// The picture beside our messages.
    #[serde(default)]
    pub representative_avatar: Option<String>,
    /// Marks messages as read when they arrive.
    #[serde(default)]
    pub mark_as_read: bool,
    /// Shows that somebody is typing when a message arrives.
    #[serde(default)]
    pub show_typing: bool,
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
    /// When a value is not of the form in which Google gives or takes it.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let words: Vec<&str> = self.agent_id.split('/').collect();
        let whole = matches!(words.as_slice(), ["brands", brand, "agents", agent]
            if is_word(brand) && is_word(agent));
        if !whole && !is_word(&self.agent_id) {
            let allowed = "brands/…/agents/…, or what stands behind agents/";
            return Err(SettingsError::new("agent_id", found(&self.agent_id), allowed));
        }
        if let Some(brand) = &self.brand_id {
            if !is_word(brand) {
                let allowed = "what stands behind brands/ in the name of the agent";
                return Err(SettingsError::new("brand_id", found(brand), allowed));
            }
            if whole && words.get(1) != Some(&brand.as_str()) {
                let allowed = "the brand in agent_id";
                return Err(SettingsError::new("brand_id", "another brand", allowed));
            }
        }
        self.account()?;
        if self.keys().next().is_none() {
            let allowed = "the partner key (or a client_token)";
            return Err(SettingsError::new("partner_key", "nothing", allowed));
        }
        if let Some(url) = &self.token_url
            && !is_link(url, &["http", "https"])
        {
            return Err(SettingsError::new("token_url", found(url), "a http or https link"));
        }
        if let Some(name) = &self.representative_name
            && (name.trim().is_empty() || name.chars().count() > NAME_MAX)
        {
            let allowed = "a name of up to 100 characters";
            return Err(SettingsError::new("representative_name", found(name), allowed));
        }
        if let Some(link) = &self.representative_avatar
            && !is_link(link, &["https"])
        {
            let allowed = "a https link of a picture of 1024 x 1024 pixels and at most 50 KB";
            return Err(SettingsError::new("representative_avatar", found(link), allowed));
        }
        Ok(())
    }

    /// The service account of the key file.
    ///
    /// # Errors
    /// When it is none, or its key cannot sign.
    pub fn account(&self) -> Result<ServiceAccount, SettingsError> {
        let key = "service_account_json";
        let text = self.service_account_json.expose();
        let account = serde_json::from_str::<ServiceAccount>(text).ok();
        let account = account.filter(|account| !account.client_email.trim().is_empty());
        let account = account.ok_or_else(|| {
            let allowed = "the key file of a service account: JSON with client_email and private_key";
            SettingsError::new(key, found(text), allowed)
        })?;
        jwt::check_key(account.private_key.expose()).map_err(|bad| {
            SettingsError::new(key, "a private_key that cannot sign", bad.to_string())
        })?;
        let uri = account.token_uri.as_deref();
        if uri.is_some_and(|uri| !is_link(uri, &["http", "https"])) {
            let allowed = "a token_uri that is a link, or none";
            return Err(SettingsError::new(key, "another token_uri", allowed));
        }
        Ok(account)
    }

    /// The agent without its brand: what tells channels apart.
    pub fn agent(&self) -> &str {
        self.agent_id.rsplit('/').next().unwrap_or(&self.agent_id)
    }

    /// The brand, where it is known.
    pub fn brand(&self) -> Option<&str> {
        let named = self.agent_id.strip_prefix("brands/");
        let named = named.and_then(|rest| rest.split('/').next());
        named.or(self.brand_id.as_deref())
    }

    /// All keys that a webhook may be signed with.
    pub fn keys(&self) -> impl Iterator<Item = &Secret> {
        let both = [&self.client_token, &self.partner_key];
        both.into_iter().flatten().flat_map(Secrets::iter)
    }

    /// What the challenge must name: the client token or, where none is configured, the partner key.
    pub fn challenge_tokens(&self) -> impl Iterator<Item = &Secret> {
        let token = self.client_token.as_ref().filter(|token| token.first().is_some());
        token.or(self.partner_key.as_ref()).into_iter().flat_map(Secrets::iter)
    }

    /// Where access tokens are to be had. A configured root that is not Google's gives them itself,
    /// so that an emulator or proxy needs one address.
    pub fn token_url(&self, common: &Common, account: &ServiceAccount) -> String {
        let base = common.api_base(API_BASE);
        match &self.token_url {
            Some(url) => url.clone(),
            None if base != API_BASE => format!("{base}{TOKEN_PATH}"),
            None => account.audience().to_owned(),
        }
    }
}

/// Whether this can be a word of a resource's name.
fn is_word(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !text.is_empty() && text.bytes().all(plain)
}

fn is_link(link: &str, schemes: &[&str]) -> bool {
    Url::parse(link).is_ok_and(|url| schemes.contains(&url.scheme()) && url.has_host())
}

/// A word for what was found: the values may be secrets.
fn found(value: &str) -> &'static str {
    if value.trim().is_empty() {
        "nothing"
    } else {
        "a value of another form"
    }
}

/// The keys of a sandbox channel. No secrets: the emulator that takes them listens on the loopback.
pub fn sandbox_settings() -> Value {
    json!({
        "agent_id": "brands/5a0db0c5-0000-4000-8000-000000000001/agents/5a0db0c5-0000-4000-8000-000000000002",
        "service_account_json": SANDBOX_ACCOUNT,
        "partner_key": "sandbox-gbm-partner-key",
        "client_token": "sandbox-gbm-client-token",
        "representative_name": "Sandbox",
        "show_typing": true,
        "mark_as_read": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(changes: Value) -> Result<Settings, SettingsError> {
        let mut value = sandbox_settings();
        value["partner_key"] = json!("hunter2");
        for (key, change) in changes.as_object().unwrap() {
            value[key] = change.clone();
        }
        Settings::read(value)
    }

    fn account(change: impl Fn(&mut Value)) -> Value {
        let mut account: Value = serde_json::from_str(SANDBOX_ACCOUNT).unwrap();
        change(&mut account);
        json!({"service_account_json": account.to_string()})
    }

    #[test]
    fn sandbox_settings_are_valid() {
        let settings = Settings::read(sandbox_settings()).unwrap();
        assert_eq!(settings.agent(), "5a0db0c5-0000-4000-8000-000000000002");
        assert_eq!(settings.brand(), Some("5a0db0c5-0000-4000-8000-000000000001"));
        assert_eq!(settings.keys().count(), 2);
    }

    #[test]
    fn errors_name_the_key_and_never_the_value() {
        let cases = [
            (json!({"agent_id": "hunter/2"}), "agent_id: found a value of another form"),
            (json!({"agent_id": ""}), "agent_id: found nothing"),
            (json!({"brand_id": "hunter"}), "brand_id: found another brand"),
            (json!({"partner_key": "", "client_token": null}), "partner_key: found nothing"),
            (json!({"service_account_json": "hunter"}), "service_account_json: found a value"),
            (account(|a| a["private_key"] = json!("hunter")), "service_account_json: found a private"),
            (account(|a| a["client_email"] = json!(" ")), "service_account_json: found a value"),
            (account(|a| a["token_uri"] = json!("hunter")), "service_account_json: found another"),
            (json!({"token_url": "hunter"}), "token_url: found a value of another form"),
            (json!({"representative_name": " "}), "representative_name: found nothing"),
            (json!({"representative_avatar": "http://hunter.example"}), "representative_avatar: found"),
            (json!({"representative_type": "hunter"}), "representative_type: found"),
            (json!({"api_key": "hunter"}), "api_key: found an unknown key"),
        ];
        for (value, expected) in cases {
            let error = with(value).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn either_key_will_do() {
        let bare = with(json!({"agent_id": "8888", "brand_id": "1111", "client_token": null}));
        let bare = bare.unwrap();
        assert_eq!((bare.agent(), bare.brand()), ("8888", Some("1111")));
        let challenge: Vec<&str> = bare.challenge_tokens().map(Secret::expose).collect();
        assert_eq!(challenge, ["hunter2"]);
        let both = with(json!({"client_token": ["new", "old"]})).unwrap();
        let challenge: Vec<&str> = both.challenge_tokens().map(Secret::expose).collect();
        assert_eq!(challenge, ["new", "old"]);
        assert_eq!(both.keys().count(), 3);
    }

    #[test]
    fn tokens_come_from_where_the_api_is() {
        let url = |api_base: Option<&str>, changes: Value| {
            let settings = with(changes).unwrap();
            let common = Common {
                id: "desk".into(),
                api_base: api_base.map(str::to_owned),
                webhook_url: "https://gw.example.net/webhooks/desk".into(),
            };
            settings.token_url(&common, &settings.account().unwrap())
        };
        assert_eq!(url(None, json!({})), TOKEN_URL);
        assert_eq!(url(Some(API_BASE), json!({})), TOKEN_URL);
        assert_eq!(url(Some("http://127.0.0.1:1/x/"), json!({})), "http://127.0.0.1:1/x/token");
        let own = json!({"token_url": "https://tokens.example.net/t"});
        assert_eq!(url(None, own), "https://tokens.example.net/t");
        assert_eq!(url(None, account(|a| a["token_uri"] = Value::Null)), TOKEN_URL);
    }
}
