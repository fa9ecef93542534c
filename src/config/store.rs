//! `[store]`: where the truth is kept.

use super::value::{self, Text, deserialize_text};
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};
use switchboard_channels::kit::secret::Secret;
use url::Url;

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The database.
    pub url: StoreUrl,
    /// Connections of this process to PostgreSQL; one in three reads.
    // One that reads and one that writes are the least; a server's own limit is 100 by default, and
    // beyond a few per core more only wait for each other.
    #[serde(deserialize_with = "value::whole::<_, _, 2, 200>")]
    pub connections: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: StoreUrl::Sqlite(PathBuf::from("data/switchboard.db")),
            connections: 12,
        }
    }
}

impl StoreConfig {
    /// Where a generated API token is kept: beside the SQLite file, else in `data`.
    pub fn api_token_file(&self) -> PathBuf {
        let directory = match &self.url {
            StoreUrl::Sqlite(path) => path.parent().unwrap_or(Path::new("")),
            StoreUrl::Postgres(_) => Path::new("data"),
        };
        directory.join("api-token")
    }
}

/// A database.
#[derive(Clone)]
pub enum StoreUrl {
    /// `sqlite:PATH`
    Sqlite(PathBuf),
    /// `postgres://user:password@host/database`, whole.
    Postgres(Secret),
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => f.write_str(&value::without_secrets(url.expose())),
        }
    }
}

impl PartialEq for StoreUrl {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(a), Self::Sqlite(b)) => a == b,
            (Self::Postgres(a), Self::Postgres(b)) => a.expose() == b.expose(),
            _ => false,
        }
    }
}
impl Eq for StoreUrl {}

impl Text for StoreUrl {
    const ALLOWED: &'static str = "sqlite:PATH, such as sqlite:data/switchboard.db, or postgres://user:password@host/database";

    fn read(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            // A database in memory would lose what was acknowledged; parameters are not taken.
            let fits = !path.is_empty() && !path.ends_with('/') && !path.contains([':', '?']);
            return fits.then(|| Self::Sqlite(PathBuf::from(path)));
        }
        let url = Url::parse(text).ok()?;
        let fits = matches!(url.scheme(), "postgres" | "postgresql") && url.has_host();
        fits.then(|| Self::Postgres(Secret::new(text)))
    }

    fn found(text: &str) -> String {
        if text.starts_with("sqlite:") {
            value::shown(text)
        } else {
            value::url_words(text)
        }
    }
}
deserialize_text!(StoreUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_paths_are_relative_or_absolute() {
        for (text, path) in [
            ("sqlite:data/a.db", "data/a.db"),
            ("sqlite://data/a.db", "data/a.db"),
            ("sqlite:/var/a.db", "/var/a.db"),
            ("sqlite:///var/a.db", "/var/a.db"),
            ("sqlite:a.db", "a.db"),
        ] {
            assert_eq!(
                StoreUrl::read(text),
                Some(StoreUrl::Sqlite(path.into())),
                "{text}"
            );
        }
        for text in [
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a.db?mode=ro",
            "sqlite:data/",
            "a.db",
        ] {
            assert_eq!(StoreUrl::read(text), None, "{text}");
        }
    }

    #[test]
    fn the_token_lies_beside_the_file() {
        for (url, file) in [
            ("sqlite:data/a.db", "data/api-token"),
            ("sqlite:a.db", "api-token"),
            ("sqlite:/srv/x/a.db", "/srv/x/api-token"),
            ("postgres://db/x", "data/api-token"),
        ] {
            let url = StoreUrl::read(url).unwrap();
            let config = StoreConfig {
                url,
                ..StoreConfig::default()
            };
            assert_eq!(config.api_token_file(), PathBuf::from(file));
        }
    }
}
