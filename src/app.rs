//! The composition root: what the command line starts.

use crate::config::{Config, Role};

/// What `serve` was told on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// The roles of this process, each once.
    pub roles: Vec<Role>,
    /// The channels whose lanes this process works; empty = all.
    pub channels: Vec<String>,
}

/// One thing that `check` looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it holds.
    pub ok: bool,
    /// What was looked at: `store`, `channel support-bot`…
    pub subject: String,
    /// What was found, for a person.
    pub detail: String,
}

/// Runs the service until it is told to stop.
///
/// # Errors
/// When it cannot start, or fails while running.
pub async fn serve(config: Config, options: ServeOptions) -> anyhow::Result<()> {
    drop((config, options));
    anyhow::bail!("this build has no service")
}

/// Looks whether what the configuration names can be used; `offline` asks no platform.
///
/// # Errors
/// When the looking itself fails.
pub async fn check(config: Config, offline: bool) -> anyhow::Result<Vec<Finding>> {
    drop((config, offline));
    anyhow::bail!("this build has no service")
}

/// Brings the store to the current schema and says what was done.
///
/// # Errors
/// When the store cannot be opened or changed.
pub async fn migrate(config: &Config) -> anyhow::Result<String> {
    anyhow::bail!("this build has no store for {:?}", config.store)
}

/// Runs the platform emulators alone until they are told to stop.
///
/// # Errors
/// When they cannot listen.
pub async fn sandbox(config: Config) -> anyhow::Result<()> {
    drop(config);
    anyhow::bail!("this build has no sandbox")
}
