//! What `queue` and `send` need to find the running service: a few keys, so that an operator's
//! shell without the service's secrets can still talk to it.

use super::api::{ApiConfig, TokenHash};
use super::error::ConfigError;
use super::load::{self, Sources};
use super::server::ServerConfig;
use super::store::StoreConfig;
use super::value::BaseUrl;
use serde_json::Value;
use std::path::PathBuf;
use switchboard_channels::kit::secret::Secret;

/// Where this machine reaches the service.
///
/// # Errors
/// When `[server]` cannot be used.
pub fn service_url(sources: &Sources) -> Result<BaseUrl, ConfigError> {
    load::layered(sources, &["server"], |mut table, _| {
        load::known_sections(&table)?;
        let server: ServerConfig = load::section("server", &mut table)?;
        Ok(server.listen.into())
    })
}

/// The first API token in plain text, if the configuration has one.
///
/// # Errors
/// When `[api]` cannot be used.
pub fn plain_token(sources: &Sources) -> Result<Option<Secret>, ConfigError> {
    load::layered(sources, &["api"], |mut table, _| {
        load::known_sections(&table)?;
        let tokens = table.get("api").and_then(|api| api.get("tokens")).cloned();
        // Checked as the service checks it, so that both refuse the same.
        let _checked: ApiConfig = load::section("api", &mut table)?;
        let tokens = tokens.as_ref().and_then(Value::as_array);
        let plain = tokens
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|token| TokenHash::is_plain(token));
        Ok(plain.map(Secret::new))
    })
}

/// Where the service keeps the token that it generated.
///
/// # Errors
/// When `[store]` cannot be used.
pub fn token_file(sources: &Sources) -> Result<PathBuf, ConfigError> {
    load::layered(sources, &["store"], |mut table, _| {
        load::known_sections(&table)?;
        let store: StoreConfig = load::section("store", &mut table)?;
        Ok(store.api_token_file())
    })
}
