//! `[[channels]]`: one account of one platform each.
//!
//! The keys that every kind has are taken out here; all others belong to the kind, which reads them
//! when the configuration is loaded and again when the channel is built.

use super::error::ConfigError;
use super::load::{self, Object};
use super::sandbox::SandboxConfig;
use super::value::{self, BaseUrl, Id, Text, deserialize_text};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use switchboard_channels::kit::settings::Common;
use switchboard_channels::{Channel, Kind};

/// One `[[channels]]`. What is `None` comes from the platform's own limits.
#[derive(Clone)]
pub struct ChannelConfig {
    /// Its name, and that of its lane.
    pub id: String,
    /// What kind of channel it is.
    pub kind: &'static Kind,
    /// Root of the platform's API in place of its own, without a slash at the end.
    pub api_base: Option<String>,
    /// Parts per second, shared by all workers.
    pub rate_per_second: Option<f64>,
    /// Parts that may go at once after a rest.
    pub rate_burst: Option<u32>,
    /// Parts per second to one recipient.
    pub rate_per_recipient_per_second: Option<f64>,
    /// Parts that may go to one recipient at once after a rest.
    pub recipient_burst: Option<u32>,
    /// Requests under way at once, per worker process.
    pub max_in_flight: Option<u32>,
    /// Requests under way at once, across all worker processes.
    pub max_in_flight_total: Option<u32>,
    /// What is done with a part that may have arrived.
    pub on_unsure: OnUnsure,
    /// How long evidence is awaited before that.
    pub unsure_wait_seconds: u64,
    /// The kind's own keys. Hold secrets.
    pub settings: Value,
    /// Where the channel is configured, for errors.
    origin: String,
}

/// The keys that every kind has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    id: Id,
    kind: String,
    #[serde(default, deserialize_with = "value::some_text")]
    api_base: Option<BaseUrl>,
    #[serde(default, deserialize_with = "value::some_rate")]
    rate_per_second: Option<f64>,
    #[serde(default, deserialize_with = "value::some_whole::<_, _, 1, 1_000_000>")]
    rate_burst: Option<u32>,
    #[serde(default, deserialize_with = "value::some_rate")]
    rate_per_recipient_per_second: Option<f64>,
    #[serde(default, deserialize_with = "value::some_whole::<_, _, 1, 1_000_000>")]
    recipient_burst: Option<u32>,
    #[serde(default, deserialize_with = "value::some_whole::<_, _, 1, 10_000>")]
    max_in_flight: Option<u32>,
    #[serde(default, deserialize_with = "value::some_whole::<_, _, 1, 100_000>")]
    max_in_flight_total: Option<u32>,
    #[serde(default)]
    on_unsure: OnUnsure,
    #[serde(
        default = "unsure_wait_seconds",
        deserialize_with = "value::whole::<_, _, 0, 3600>"
    )]
    unsure_wait_seconds: u64,
}

/// Names of the fields of [`Keys`]; a test holds the two together.
const COMMON_KEYS: [&str; 11] = [
    "id",
    "kind",
    "api_base",
    "rate_per_second",
    "rate_burst",
    "rate_per_recipient_per_second",
    "recipient_burst",
    "max_in_flight",
    "max_in_flight_total",
    "on_unsure",
    "unsure_wait_seconds",
];

const fn unsure_wait_seconds() -> u64 {
    5
}

/// What is done with a part that may have arrived, when no evidence came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnsure {
    /// It is sent once more, then held.
    #[default]
    Retry,
    /// It is held: nothing that may have arrived is sent again.
    Hold,
}

impl Text for OnUnsure {
    const ALLOWED: &'static str = "\"retry\" or \"hold\"";

    fn read(text: &str) -> Option<Self> {
        match text {
            "retry" => Some(Self::Retry),
            "hold" => Some(Self::Hold),
            _ => None,
        }
    }
}
deserialize_text!(OnUnsure);

impl ChannelConfig {
    /// Reads one table; `key` names it (`channels.support-bot`).
    pub(super) fn read(
        key: &str,
        mut table: Object,
        kinds: &'static [Kind],
        origin: &str,
    ) -> Result<Self, ConfigError> {
        let common: Object = COMMON_KEYS
            .iter()
            .filter_map(|name| table.remove_entry(*name))
            .collect();
        let common: Keys = load::typed(key, Value::Object(common))?;
        let Some(kind) = kinds.iter().find(|k| k.name == common.kind) else {
            let names: Vec<&str> = kinds.iter().map(|k| k.name).collect();
            let allowed = if names.is_empty() {
                "nothing: no kind is built in".to_owned()
            } else {
                names.join(", ")
            };
            let found = value::shown(&common.kind);
            return Err(ConfigError::new(format!("{key}.kind"), found, allowed)
                .with_nearest(&common.kind, names));
        };
        Ok(Self {
            id: common.id.0,
            kind,
            api_base: common.api_base.map(|url| url.as_str().to_owned()),
            rate_per_second: common.rate_per_second,
            rate_burst: common.rate_burst,
            rate_per_recipient_per_second: common.rate_per_recipient_per_second,
            recipient_burst: common.recipient_burst,
            max_in_flight: common.max_in_flight,
            max_in_flight_total: common.max_in_flight_total,
            on_unsure: common.on_unsure,
            unsure_wait_seconds: common.unsure_wait_seconds,
            settings: Value::Object(table),
            origin: origin.to_owned(),
        })
    }

    /// The channel of this kind that talks to its emulator.
    pub(super) fn sandbox(kind: &'static Kind, sandbox: &SandboxConfig) -> Self {
        let id = format!("sandbox-{}", kind.name);
        Self {
            kind,
            api_base: Some(sandbox.api_base(&id)),
            id,
            rate_per_second: None,
            rate_burst: None,
            rate_per_recipient_per_second: None,
            recipient_burst: None,
            max_in_flight: None,
            max_in_flight_total: None,
            on_unsure: OnUnsure::default(),
            unsure_wait_seconds: unsure_wait_seconds(),
            settings: (kind.sandbox_settings)(),
            origin: "the built-in sandbox".to_owned(),
        }
    }

    /// What the kind is told beside its own keys, for the channel itself and for its emulator.
    pub fn common(&self, public_url: &BaseUrl) -> Common {
        Common {
            id: self.id.clone(),
            api_base: self.api_base.clone(),
            webhook_url: format!("{}/webhooks/{}", public_url.as_str(), self.id),
        }
    }

    /// Builds the channel.
    ///
    /// # Errors
    /// When the kind refuses its keys; the loader has found that already for a configuration that
    /// it loaded.
    pub fn build(&self, public_url: &BaseUrl) -> Result<Arc<dyn Channel>, ConfigError> {
        (self.kind.build)(&self.common(public_url), self.settings.clone()).map_err(|error| {
            let mut allowed = error.allowed;
            let key = match error.key.as_str() {
                "" => format!("channels.{}", self.id),
                key => format!("channels.{}.{key}", self.id),
            };
            if error.found == load::UNKNOWN_KEY {
                // The kind knows only its own keys; what was meant may be one of ours.
                allowed = [&allowed, COMMON_KEYS.join(", ").as_str()].join(", ");
            }
            load::with_hint(ConfigError::new(key, error.found, allowed)).in_file(&self.origin)
        })
    }
}

impl fmt::Debug for ChannelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = match &self.settings {
            Value::Object(table) => table.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let api_base = self.api_base.as_deref().map(value::without_secrets);
        f.debug_struct("ChannelConfig")
            .field("id", &self.id)
            .field("kind", &self.kind.name)
            .field("api_base", &api_base)
            .field("rate_per_second", &self.rate_per_second)
            .field("rate_burst", &self.rate_burst)
            .field(
                "rate_per_recipient_per_second",
                &self.rate_per_recipient_per_second,
            )
            .field("recipient_burst", &self.recipient_burst)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_in_flight_total", &self.max_in_flight_total)
            .field("on_unsure", &self.on_unsure)
            .field("unsure_wait_seconds", &self.unsure_wait_seconds)
            .field("settings", &keys)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_those_that_are_read() {
        let unknown = serde_json::json!({"id": "a", "kind": "b", "zz": 1});
        let error = load::typed::<Keys>("", unknown).err().unwrap();
        assert_eq!(error.allowed, COMMON_KEYS.join(", "));
    }
}
