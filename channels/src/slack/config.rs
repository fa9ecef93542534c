//! The keys of a Slack channel.

use crate::error::SettingsError;
use crate::kit::secret::{Secret, Secrets};
use crate::kit::settings;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Slack's own API; `api_base` of the configuration replaces it.
pub const API_BASE: &str = "https://slack.com/api";

/// The longest name of a Slack channel (`conversations.create`: `invalid_name_maxlength`, 80).
pub const PLACE_NAME_MAX: usize = 80;

/// How the conversations of other channels are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Each is a thread in `default_channel`.
    #[default]
    Thread,
    /// Each is a Slack channel of its own.
    Channel,
}

/// What a Slack channel is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The bot token of the installed app: `xoxb-…`.
    pub bot_token: Secret,
    /// Signs webhooks. A list while it is being changed: all are accepted.
    pub signing_secret: Secrets,
    /// The workspace. Needed where one app is installed in several: events name theirs.
    #[serde(default)]
    pub team_id: Option<String>,
    /// Our own app, so that what it posts is not taken for a person's words.
    #[serde(default)]
    pub app_id: Option<String>,
    /// Our own bot, as an author of messages.
    #[serde(default)]
    pub bot_id: Option<String>,
    /// Our own bot, as a member.
    #[serde(default)]
    pub bot_user_id: Option<String>,
    /// Other bots whose messages count as a person's.
    #[serde(default)]
    pub allowed_bots: Vec<String>,
    /// Which of our channels are mirrored into this one: their ids, or `*` for all.
    #[serde(default)]
    pub mirror: Vec<String>,
    /// Where threads of mirrored conversations begin.
    #[serde(default)]
    pub default_channel: Option<String>,
    /// Thread or Slack channel per mirrored conversation.
    #[serde(default)]
    pub layout: Layout,
    /// What the names of made Slack channels begin with.
    #[serde(default = "channel_prefix")]
    pub channel_prefix: String,
    /// Who is invited into made Slack channels.
    #[serde(default)]
    pub invite: Vec<String>,
    /// Messages of a mirrored conversation that begin with this stay among the agents.
    #[serde(default = "internal_prefix")]
    pub internal_prefix: String,
    /// Whether mirrored messages show their writer's name and picture; wants `chat:write.customize`.
    #[serde(default)]
    pub post_as_customer: bool,
    /// Which agent of ours a member of the workspace is: `U…` to the user's id.
    #[serde(default)]
    pub agents: BTreeMap<String, String>,
}

fn channel_prefix() -> String {
    "cust-".to_owned()
}

fn internal_prefix() -> String {
    "note:".to_owned()
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
    /// When a secret is empty or holds blanks, an id is of another form, or a mirror has no place.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let form = |key, fits: bool, allowed: &str| match fits {
            true => Ok(()),
            false => Err(SettingsError::new(key, "a value of another form", allowed)),
        };
        // What goes into a header must not end it.
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let allowed = "the Bot User OAuth Token of the app: xoxb-…";
        if self.bot_token.is_empty() {
            return Err(SettingsError::new("bot_token", "nothing", allowed));
        }
        form("bot_token", plain(self.bot_token.expose()), allowed)?;
        let allowed = "the Signing Secret of the app's Basic Information";
        if self.signing_secret.first().is_none() {
            return Err(SettingsError::new("signing_secret", "nothing", allowed));
        }
        let secrets = self.signing_secret.iter().all(|secret| plain(secret.expose()));
        form("signing_secret", secrets, allowed)?;
        let ids = [
            ("team_id", &self.team_id, "TE", "T and capitals or digits"),
            ("app_id", &self.app_id, "A", "A and capitals or digits"),
            ("bot_id", &self.bot_id, "B", "B and capitals or digits"),
            ("bot_user_id", &self.bot_user_id, "UW", "U or W and capitals or digits"),
            ("default_channel", &self.default_channel, "CG", "an id, not a name: C… or G…"),
        ];
        for (key, id, letters, allowed) in ids {
            form(key, id.as_ref().is_none_or(|id| is_id(id, letters)), allowed)?;
        }
        let bots = self.allowed_bots.iter().all(|id| is_id(id, "B"));
        form("allowed_bots", bots, "ids of bots: B…")?;
        let people = |id: &String| is_id(id, "UW");
        form("invite", self.invite.iter().all(people), "ids of members: U…")?;
        form("agents", self.agents.keys().all(people), "ids of members: U…")?;
        let ours = self.agents.values().all(|id| id.parse::<i64>().is_ok_and(|id| id > 0));
        form("agents", ours, "ids of users of the gateway")?;
        let prefix = self.channel_prefix.len() <= PLACE_NAME_MAX / 2
            && self.channel_prefix.chars().all(is_place_char);
        form("channel_prefix", prefix, "a-z, 0-9, - and _, at most 40")?;
        let placeless = self.layout == Layout::Thread && self.default_channel.is_none();
        if !self.mirror.is_empty() && placeless {
            let allowed = "the id of the Slack channel for the threads, since mirror is set";
            return Err(SettingsError::new("default_channel", "nothing", allowed));
        }
        Ok(())
    }
}

/// Whether this is an id of Slack: one of these letters, then capitals and digits.
pub fn is_id(text: &str, letters: &str) -> bool {
    let mut chars = text.chars();
    let letter = chars.next().is_some_and(|c| letters.contains(c));
    let rest = chars.as_str();
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    // Ids have 9 to 12 characters today; nobody promised it.
    letter && (1..=30).contains(&rest.len()) && rest.bytes().all(plain)
}

/// Whether Slack takes this in the name of a channel.
pub const fn is_place_char(c: char) -> bool {
    matches!(c, 'a'..='z' | '0'..='9' | '-' | '_')
}

/// The keys of a sandbox channel. No secrets: the emulator that takes them listens on the loopback.
pub fn sandbox_settings() -> Value {
    json!({
        "bot_token": "xoxb-sandbox-slack-bot-token",
        "signing_secret": "sandbox0slack0signing0secret0000",
        "team_id": "T0SANDBOX1",
        "default_channel": "C0SANDBOX1",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_keys_of_the_contract_are_enough() {
        let keys = json!({"bot_token": "xoxb-1", "signing_secret": "s"});
        let settings = Settings::read(keys).unwrap();
        assert_eq!(settings.layout, Layout::Thread);
        assert_eq!(settings.internal_prefix, "note:");
    }

    #[test]
    fn errors_name_the_key_and_never_the_value() {
        Settings::read(sandbox_settings()).unwrap();
        let cases = [
            ("bot_token", json!(""), "bot_token: found nothing"),
            ("bot_token", json!("hunter two"), "bot_token: found a value of another form"),
            ("signing_secret", json!([""]), "signing_secret: found nothing"),
            ("signing_secret", json!("hunter\n2"), "signing_secret: found a value"),
            ("team_id", json!("hunter"), "team_id: found a value of another form"),
            ("default_channel", json!("#hunter"), "default_channel: found a value"),
            ("bot_id", json!("U1"), "bot_id: found a value of another form"),
            ("app_id", json!("x"), "app_id: found a value of another form"),
            ("bot_user_id", json!("B1"), "bot_user_id: found a value of another form"),
            ("allowed_bots", json!(["U1"]), "allowed_bots: found a value of another form"),
            ("invite", json!(["hunter"]), "invite: found a value of another form"),
            ("agents", json!({"U1": "hunter"}), "agents: found a value of another form"),
            ("agents", json!({"hunter": "1"}), "agents: found a value of another form"),
            ("channel_prefix", json!("Hunter "), "channel_prefix: found a value"),
            ("layout", json!("table"), "layout: "),
            ("verification_token", json!("x"), "verification_token: found an unknown key"),
        ];
        for (key, value, expected) in cases {
            let mut settings = sandbox_settings();
            settings[key] = value;
            let error = Settings::read(settings).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn a_mirror_has_a_place() {
        let mut settings = sandbox_settings();
        settings["mirror"] = json!(["*"]);
        Settings::read(settings.clone()).unwrap();
        settings["default_channel"] = json!(null);
        let error = Settings::read(settings.clone()).unwrap_err();
        assert_eq!(error.key, "default_channel");
        settings["layout"] = json!("channel");
        Settings::read(settings).unwrap();
    }
}
