//! Reading a channel's own keys from the configuration, with errors that name the key.

use crate::error::SettingsError;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What every kind is told beside its own keys.
#[derive(Debug, Clone)]
pub struct Common {
    /// The channel's id.
    pub id: String,
    /// Root of the platform's API, without a slash at the end; `None`: the platform's own.
    pub api_base: Option<String>,
    /// The URL under which the platform reaches this channel's webhook.
    pub webhook_url: String,
}

impl Common {
    /// The root of the platform's API: as configured, or this default.
    pub fn api_base(&self, default: &str) -> String {
        self.api_base
            .as_deref()
            .unwrap_or(default)
            .trim_end_matches('/')
            .to_owned()
    }
}

/// Reads a kind's settings. Values of a wrong type are named by key and type, never quoted: they
/// may be secrets.
///
/// # Errors
/// When a key is missing, unknown or of the wrong type.
pub fn read<T: DeserializeOwned>(settings: Value) -> Result<T, SettingsError> {
    serde_path_to_error::deserialize(settings).map_err(|error| {
        let path = error.path().to_string();
        let key = if path == "." { String::new() } else { path };
        explain(&key, &error.inner().to_string())
    })
}

/// Turns serde's sentence into key, found and allowed. The sentences are pinned by a test.
pub fn explain(path: &str, sentence: &str) -> SettingsError {
    let inside = |key: &str| {
        if path.is_empty() || path.rsplit('.').next() == Some(key) {
            if path.is_empty() {
                key.to_owned()
            } else {
                path.to_owned()
            }
        } else {
            format!("{path}.{key}")
        }
    };
    let mut quoted = sentence.split('`').skip(1).step_by(2);
    if sentence.starts_with("unknown field") {
        let key = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        return SettingsError::new(inside(key), "an unknown key", known.join(", "));
    }
    if sentence.starts_with("missing field") {
        return SettingsError::new(
            inside(quoted.next().unwrap_or_default()),
            "nothing",
            "a value",
        );
    }
    if let Some(expected) = sentence.split("expected ").nth(1) {
        let found = sentence
            .split_once(": ")
            .map_or("a value of another type", |(_, rest)| type_of(rest));
        return SettingsError::new(
            path,
            found,
            expected.split(" at line").next().unwrap_or(expected),
        );
    }
    SettingsError::new(path, "a value that cannot be used", sentence)
}

/// The type word that serde puts before a value (`string "x"`, `integer `5``), without the value.
fn type_of(rest: &str) -> &'static str {
    const TYPES: [(&str, &str); 8] = [
        ("string", "a string"),
        ("integer", "a whole number"),
        ("floating point", "a number"),
        ("boolean", "true or false"),
        ("map", "a table"),
        ("sequence", "a list"),
        ("null", "nothing"),
        ("unit", "nothing"),
    ];
    TYPES
        .iter()
        .find(|(t, _)| rest.starts_with(t))
        .map_or("a value of another type", |(_, w)| w)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        token: String,
        #[serde(default)]
        count: u32,
    }

    #[test]
    fn errors_name_the_key_and_not_the_value() {
        let cases = [
            (
                serde_json::json!({}),
                "token: found nothing; allowed: a value",
            ),
            (
                serde_json::json!({"token": "t", "cuont": 1}),
                "cuont: found an unknown key; allowed: token, count",
            ),
            (
                serde_json::json!({"token": 5}),
                "token: found a whole number; allowed: a string",
            ),
            (
                serde_json::json!({"token": "t", "count": "s3cret"}),
                "count: found a string; allowed: u32",
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(read::<Sample>(value).unwrap_err().to_string(), expected);
        }
    }
}
