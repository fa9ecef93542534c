//! What is wrong with a configuration, in one message.

use std::fmt;

/// A configuration that cannot be used. Says where (file and key), what was found and what is
/// allowed; never a value that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigError {
    /// The file, the environment variable or the command line that said it.
    pub file: String,
    /// The key with its section, `""` where the whole file is meant.
    pub key: String,
    /// What was found there.
    pub found: String,
    /// What is allowed there.
    pub allowed: String,
    /// The known name that is nearest to an unknown one.
    pub nearest: Option<String>,
}

impl ConfigError {
    /// An error at `key`; the loader fills in the file.
    pub fn new(
        key: impl Into<String>,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self {
            file: String::new(),
            key: key.into(),
            found: found.into(),
            allowed: allowed.into(),
            nearest: None,
        }
    }

    /// Says where the key stands.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = file.into();
        self
    }

    /// Adds the known name that is nearest to what was found, if one is near.
    #[must_use]
    pub fn with_nearest<'a>(
        mut self,
        found: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        self.nearest = nearest(found, known).map(str::to_owned);
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in [&self.file, &self.key] {
            if !place.is_empty() {
                write!(f, "{place}: ")?;
            }
        }
        write!(f, "found {}; allowed: {}", self.found, self.allowed)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The known name that a person most likely meant: a third of its letters may be wrong, and two in
/// a short one.
fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_names_everything() {
        let error = ConfigError::new("server.listn", "an unknown key", "listen, public_url")
            .in_file("a.toml")
            .with_nearest("listn", ["listen", "public_url"]);
        assert_eq!(
            error.to_string(),
            "a.toml: server.listn: found an unknown key; allowed: listen, public_url; \
             did you mean `listen`?"
        );
    }

    #[test]
    fn what_is_far_is_not_suggested() {
        let known = ["listen", "public_url", "drain_seconds"];
        assert_eq!(nearest("drain_second", known), Some("drain_seconds"));
        assert_eq!(nearest("publicurl", known), Some("public_url"));
        assert_eq!(nearest("colour", known), None);
    }
}
