//! The configuration: one file per section, all checked before anything starts.
//!
//! [`load`] reads the file, lays the environment over it, follows `env:` and `file:` values and
//! gives types that cannot be wrong, or one [`ConfigError`] that names file, key, what was found and
//! what is allowed. No error and no `Debug` output shows a value that may be a secret.
//!
//! Nothing here opens a connection: whether a store or a platform answers is `check`'s to say.

mod api;
mod channels;
mod checks;
pub mod client;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod load;
mod log;
mod mail;
mod media;
mod overlay;
mod queue;
mod reference;
mod retention;
mod retry;
mod sandbox;
mod server;
mod spool;
mod store;
#[cfg(test)]
mod tests;
mod value;
mod webhooks;

pub use api::{ApiConfig, TokenHash, new_token};
pub use channels::{ChannelConfig, OnUnsure};
pub use error::ConfigError;
pub use load::{DEFAULT_FILE, Sources, load};
pub use log::{LogConfig, LogFormat};
pub use mail::MailConfig;
pub use media::{HostPattern, MediaConfig, MediaUrl};
pub use queue::{QueueConfig, QueueUrl};
pub use retention::RetentionConfig;
pub use retry::{RetryConfig, Schedule};
pub use sandbox::SandboxConfig;
pub use server::ServerConfig;
pub use spool::SpoolConfig;
pub use store::{StoreConfig, StoreUrl};
pub use value::BaseUrl;
pub use webhooks::{EVENTS, EventName, WebhookConfig, WebhookKey};

use switchboard_channels::{KINDS, Kind};

/// The whole configuration. The default is what runs without a file.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[log]`
    pub log: LogConfig,
    /// `[api]`
    pub api: ApiConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[queue]`
    pub queue: QueueConfig,
    /// `[spool]`
    pub spool: SpoolConfig,
    /// `[media]`
    pub media: MediaConfig,
    /// `[mail]`
    pub mail: MailConfig,
    /// `[retry]`
    pub retry: RetryConfig,
    /// `[retention]`
    pub retention: RetentionConfig,
    /// `[[webhooks]]`, ids unique.
    pub webhooks: Vec<WebhookConfig>,
    /// `[sandbox]`
    pub sandbox: SandboxConfig,
    /// `[[channels]]`, ids unique.
    pub channels: Vec<ChannelConfig>,
    /// What the configuration was read from, for messages.
    pub file: String,
}

impl Config {
    /// Whether the emulators run beside the service.
    pub fn sandbox_enabled(&self) -> bool {
        self.sandbox.enabled.unwrap_or(self.channels.is_empty())
    }

    /// With no channel configured: one sandbox channel per kind (`sandbox-KIND`) that talks to its
    /// emulator. Changes nothing when there are channels or the sandbox is switched off, so that
    /// calling it again is harmless.
    #[must_use]
    pub fn with_sandbox(self) -> Self {
        self.with_sandbox_of(KINDS)
    }

    fn with_sandbox_of(mut self, kinds: &'static [Kind]) -> Self {
        if self.channels.is_empty() && self.sandbox_enabled() {
            let sandbox = &self.sandbox;
            self.channels = kinds
                .iter()
                .map(|kind| ChannelConfig::sandbox(kind, sandbox))
                .collect();
            self.sandbox.enabled = Some(true);
        }
        self
    }

    /// The channel of this id.
    pub fn channel(&self, id: &str) -> Option<&ChannelConfig> {
        self.channels.iter().find(|c| c.id == id)
    }

    /// Refuses roles that leave work which no other process could do.
    ///
    /// # Errors
    /// When a role is missing and store or queue belong to this process alone.
    pub fn check_roles(&self, roles: &[Role]) -> Result<(), ConfigError> {
        checks::roles(self, roles)
    }

    /// Refuses ids of channels that are not configured.
    ///
    /// # Errors
    /// With the first unknown id.
    pub fn check_channels(&self, ids: &[String]) -> Result<(), ConfigError> {
        let unknown = ids.iter().find(|id| self.channel(id).is_none());
        unknown.map_or(Ok(()), |id| {
            let known: Vec<&str> = self.channels.iter().map(|c| c.id.as_str()).collect();
            let found = format!("{}, which is not configured", value::shown(id));
            let allowed = match known.join(", ") {
                none if none.is_empty() => "nothing: no channel is configured".to_owned(),
                some => some,
            };
            Err(ConfigError::new("--channels", found, allowed)
                .in_file("the command line")
                .with_nearest(id, known))
        })
    }
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// HTTP: webhooks, Web API, console.
    Api,
    /// Outbound lanes and event delivery.
    Worker,
    /// Fetching mail.
    Piping,
}

impl Role {
    /// Every role, the default of a process.
    pub const ALL: [Self; 3] = [Self::Api, Self::Worker, Self::Piping];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Piping => "piping",
        }
    }
}
