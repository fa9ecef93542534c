//! `[queue]`: the schedule over the store.

use super::value::{self, Text, deserialize_text};
use serde::Deserialize;
use std::fmt;
use switchboard_channels::kit::secret::Secret;
use url::Url;

/// `[queue]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Where the schedule is kept.
    pub url: QueueUrl,
    /// How long a worker holds a conversation without a sign of life; renewed every third of it.
    // Below 5 s a pause of the machine would look like a dead worker; beyond a day nobody waits.
    #[serde(deserialize_with = "value::whole::<_, _, 5, 86_400>")]
    pub lease_seconds: u64,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            url: QueueUrl::Memory,
            lease_seconds: 60,
        }
    }
}

/// A queue.
#[derive(Clone)]
pub enum QueueUrl {
    /// `memory:`: inside this process, rebuilt from the store at start.
    Memory,
    /// `redis://host:6379/0` or `rediss://…`, whole.
    Redis(Secret),
}

impl fmt::Debug for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Redis(url) => f.write_str(&value::without_secrets(url.expose())),
        }
    }
}

impl PartialEq for QueueUrl {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory, Self::Memory) => true,
            (Self::Redis(a), Self::Redis(b)) => a.expose() == b.expose(),
            _ => false,
        }
    }
}
impl Eq for QueueUrl {}

impl Text for QueueUrl {
    const ALLOWED: &'static str = "memory: or redis://host:6379/0 (rediss:// for TLS)";

    fn read(text: &str) -> Option<Self> {
        if text == "memory:" {
            return Some(Self::Memory);
        }
        let url = Url::parse(text).ok()?;
        let fits = matches!(url.scheme(), "redis" | "rediss") && url.has_host();
        fits.then(|| Self::Redis(Secret::new(text)))
    }

    fn found(text: &str) -> String {
        value::url_words(text)
    }
}
deserialize_text!(QueueUrl);
