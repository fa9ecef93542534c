//! `[sandbox]`: the platform emulators.

use super::value;
use serde::Deserialize;
use std::net::SocketAddr;

/// `[sandbox]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxConfig {
    /// Whether the emulators run beside the service; when not said: if no channel is configured.
    pub enabled: Option<bool>,
    /// Where the emulators are served.
    #[serde(deserialize_with = "value::text")]
    pub listen: SocketAddr,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            enabled: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
        }
    }
}

impl SandboxConfig {
    /// The root of an emulated platform's API, as this machine reaches it.
    pub fn api_base(&self, channel: &str) -> String {
        format!("http://{}/{channel}", value::reachable(self.listen))
    }
}
