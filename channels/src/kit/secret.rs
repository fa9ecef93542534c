//! A string that cannot be printed.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// A credential. No `Serialize`, no `Display`; `Debug` shows `***`.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The value, for signing or sending; never for showing.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether nothing was configured: an empty secret must never verify anything.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// One secret or, while it is being rotated, several: `"…"` or `["new", "old"]` in the configuration.
#[derive(Clone, Debug)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// All that are accepted, none of them empty.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter().filter(|s| !s.is_empty())
    }

    /// The one that we sign with ourselves.
    pub fn first(&self) -> Option<&Secret> {
        self.iter().next()
    }
}

impl From<Secret> for Secrets {
    fn from(secret: Secret) -> Self {
        Self(vec![secret])
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string or a list of strings")]
        enum OneOrMany {
            One(Secret),
            Many(Vec<Secret>),
        }
        Ok(match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(secret) => Self(vec![secret]),
            OneOrMany::Many(secrets) => Self(secrets),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_value() {
        let secrets: Secrets = serde_json::from_str(r#"["hunter2", "older"]"#).unwrap();
        assert_eq!(format!("{secrets:?}"), "Secrets([***, ***])");
        assert_eq!(secrets.first().unwrap().expose(), "hunter2");
    }

    #[test]
    fn empty_secrets_are_never_offered() {
        let secrets: Secrets = serde_json::from_str(r#"["", "x"]"#).unwrap();
        assert_eq!(secrets.iter().count(), 1);
    }
}
