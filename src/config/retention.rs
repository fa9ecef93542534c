//! `[retention]`: how long what has done its work is kept, in days.

use super::value;
use serde::Deserialize;

/// `[retention]`, in days. Platform message ids are kept for good.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Raw bodies of webhooks.
    #[serde(deserialize_with = "value::whole::<_, _, 1, 36_500>")]
    pub raw_events: u32,
    /// Events that the chat backend has taken.
    #[serde(deserialize_with = "value::whole::<_, _, 1, 36_500>")]
    pub delivered_events: u32,
    /// Keys that recognise a redelivered webhook. Meta redelivers for 7 days.
    #[serde(deserialize_with = "value::whole::<_, _, 1, 36_500>")]
    pub dedup_keys: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            raw_events: 30,
            delivered_events: 7,
            dedup_keys: 8,
        }
    }
}
