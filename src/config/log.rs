//! `[log]`: what is written to standard error, and how.

use super::value::{self, Text, deserialize_text};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// Which lines, as `RUST_LOG` writes it; `RUST_LOG` itself goes before.
    #[serde(deserialize_with = "filter")]
    pub filter: String,
    /// Whether the text of messages may stand in log lines.
    pub content: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
            content: false,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Text for LogFormat {
    const ALLOWED: &'static str = "\"text\" or \"json\"";

    fn read(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}
deserialize_text!(LogFormat);

/// A filter that the subscriber understands.
struct Filter(String);

impl Text for Filter {
    const ALLOWED: &'static str = "a level (error, warn, info, debug, trace, off) or directives such as info,switchboard=debug";

    fn read(text: &str) -> Option<Self> {
        // The parser takes any word for the name of a module, so a misspelt level would silence
        // everything without a word.
        let misspelt = |part: &str| {
            let part = part.trim();
            !part.contains(['=', '[', ':'])
                && part.parse::<tracing::level_filters::LevelFilter>().is_err()
        };
        let fits = EnvFilter::try_new(text).is_ok() && !text.split(',').any(misspelt);
        fits.then(|| Self(text.to_owned()))
    }
}

fn filter<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    value::text(deserializer).map(|Filter(text)| text)
}
