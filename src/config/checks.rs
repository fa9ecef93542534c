//! What can only be seen between keys.

use super::error::ConfigError;
use super::media::MediaUrl;
use super::queue::QueueUrl;
use super::store::StoreUrl;
use super::{Config, Role};

/// Every check that needs nothing but the configuration.
pub(super) fn all(config: &Config) -> Result<(), ConfigError> {
    built_in(config)?;
    unique("webhooks", config.webhooks.iter().map(|w| w.id.as_str()))?;
    unique("channels", config.channels.iter().map(|c| c.id.as_str()))?;
    if config.sandbox_enabled() && config.sandbox.listen == config.server.listen {
        let found = format!(
            "{}, where the service itself listens",
            config.sandbox.listen
        );
        let allowed = "another port than that of server.listen, or sandbox.enabled = false";
        return Err(ConfigError::new("sandbox.listen", found, allowed));
    }
    for channel in &config.channels {
        // Building is how a kind reads its own keys; nothing is opened by it.
        drop(channel.build(&config.server.public_url)?);
    }
    Ok(())
}

/// Refuses what the configuration knows and this release does not have.
fn built_in(config: &Config) -> Result<(), ConfigError> {
    let refuse = |key: &str, found: &str, allowed: &str| {
        let found = format!("{found}, which is not built into this release");
        Err(ConfigError::new(key, found, allowed))
    };
    if matches!(config.media.url, MediaUrl::Object(_)) {
        return refuse("media.url", "an object store", "file:PATH");
    }
    Ok(())
}

fn unique<'a>(list: &str, ids: impl Iterator<Item = &'a str>) -> Result<(), ConfigError> {
    let mut seen = std::collections::BTreeSet::new();
    for id in ids {
        if !seen.insert(id) {
            let key = format!("{list}.{id}.id");
            return Err(ConfigError::new(
                key,
                "the same id twice",
                "an id of its own for each",
            ));
        }
    }
    Ok(())
}

/// Whether a process with these roles can be the whole of what the configuration describes.
pub(super) fn roles(config: &Config, roles: &[Role]) -> Result<(), ConfigError> {
    let missing: Vec<&str> = Role::ALL
        .iter()
        .filter(|role| !roles.contains(role))
        .map(|role| role.name())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let reason = if config.queue.url == QueueUrl::Memory {
        "queue.url is memory:, which lives inside one process, so that no other process could do \
         the rest"
    } else if matches!(config.store.url, StoreUrl::Sqlite(_)) {
        "store.url is a SQLite file, which one process holds alone, so that no other process \
         could do the rest"
    } else {
        return Ok(());
    };
    let found = format!("no {}, while {reason}", missing.join(" and no "));
    let allowed = "all roles in this process: leave --role out";
    Err(ConfigError::new("--role", found, allowed).in_file("the command line"))
}
