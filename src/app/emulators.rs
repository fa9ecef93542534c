//! The sandbox as part of the service, or alone.

use super::Signals;
use crate::config::{Config, ConfigError};
use crate::sandbox::{self, Account, HookTarget, Sandbox};
use anyhow::Context;

/// The emulators of every configured channel whose API root is the sandbox's.
fn accounts(config: &Config) -> anyhow::Result<Vec<Account>> {
    let mut accounts = Vec::new();
    for channel in &config.channels {
        let here = config.sandbox.api_base(&channel.id);
        if channel.api_base.as_deref().map(|b| b.trim_end_matches('/')) != Some(here.as_str()) {
            continue;
        }
        let common = channel.common(&config.server.public_url);
        let emulator = (channel.kind.emulator)(&common, channel.settings.clone())
            .map_err(|e| anyhow::anyhow!("channels.{}: {e}", channel.id))?;
        accounts.push(Account {
            id: channel.id.clone(),
            kind: channel.kind.name,
            emulator,
        });
    }
    Ok(accounts)
}

pub(super) fn start_sandbox(config: &Config) -> anyhow::Result<Option<Sandbox>> {
    if !config.sandbox_enabled() {
        return Ok(None);
    }
    let listener = sandbox::Listener::bind(config.sandbox.listen).map_err(|e| {
        ConfigError::new("sandbox.listen", e.to_string(), "an address that is free")
    })?;
    let hooks = HookTarget::Origin(local_origin(config));
    let sandbox = listener.serve(accounts(config)?, hooks, sandbox::Options::default())?;
    Ok(Some(sandbox))
}

/// Where the gateway itself is reached on this machine: the public URL may lead through a proxy.
fn local_origin(config: &Config) -> String {
    let listen = config.server.listen;
    let host = if listen.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        listen.ip().to_string()
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    format!("http://{host}:{}", listen.port())
}

/// Runs the platform emulators alone until they are told to stop.
///
/// # Errors
/// When they cannot listen.
pub async fn sandbox(config: Config) -> anyhow::Result<()> {
    let mut config = config.with_sandbox();
    config.sandbox.enabled = Some(true);
    let sandbox = start_sandbox(&config)?.context("there is nothing to serve")?;
    let handle = sandbox.handle();
    tracing::info!(listen = %config.sandbox.listen, "the emulators listen");
    let serving = tokio::spawn(sandbox.run());
    Signals::new()?.wait().await;
    handle.stop().await;
    serving.await.context("the sandbox broke off")??;
    Ok(())
}
