//! `[server]`: where the service listens and how it is reached.

use super::value::{self, BaseUrl};
use serde::Deserialize;
use std::net::SocketAddr;

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Keys")]
pub struct ServerConfig {
    /// Where webhooks, Web API and console are served.
    pub listen: SocketAddr,
    /// What platforms call; signatures over URLs use it. Default: `listen`, seen from this machine.
    pub public_url: BaseUrl,
    /// How long work in flight may take after a signal to stop.
    pub drain_seconds: u64,
    /// The most bytes of a request's body.
    pub body_limit_bytes: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    #[serde(deserialize_with = "value::text")]
    listen: SocketAddr,
    #[serde(deserialize_with = "value::some_text")]
    public_url: Option<BaseUrl>,
    #[serde(deserialize_with = "value::whole::<_, _, 0, 3600>")]
    drain_seconds: u64,
    // From 64 KiB, below which ordinary batches of events would be refused, to 64 MiB, since a body
    // is held in memory while it is verified.
    #[serde(deserialize_with = "value::whole::<_, _, 65_536, 67_108_864>")]
    body_limit_bytes: usize,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            drain_seconds: 25,
            // Meta posts up to 3 MB.
            body_limit_bytes: 4 * 1024 * 1024,
        }
    }
}

impl From<Keys> for ServerConfig {
    fn from(keys: Keys) -> Self {
        Self {
            listen: keys.listen,
            public_url: keys.public_url.unwrap_or_else(|| keys.listen.into()),
            drain_seconds: keys.drain_seconds,
            body_limit_bytes: keys.body_limit_bytes,
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Keys::default().into()
    }
}
