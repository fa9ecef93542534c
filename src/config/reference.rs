//! String values that point elsewhere: `env:NAME` and `file:PATH`.

use super::error::ConfigError;
use super::load::{Object, element_key};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The one key whose own values begin with `file:`.
const FILE_URL: &str = "media.url";

/// Reads what values point to, and remembers which did.
pub(super) struct References<'a> {
    environment: &'a BTreeMap<OsString, OsString>,
    followed: Vec<(String, String)>,
}

impl<'a> References<'a> {
    /// With the environment that `env:` means.
    pub(super) fn new(environment: &'a BTreeMap<OsString, OsString>) -> Self {
        Self {
            environment,
            followed: Vec::new(),
        }
    }

    /// Replaces every value that points elsewhere. What is read there is not followed further.
    ///
    /// # Errors
    /// When a variable or file is missing or is not text; names the key and the variable or file.
    pub(super) fn resolve(&mut self, table: &mut Object) -> Result<(), ConfigError> {
        for (name, value) in table {
            self.value(name, value)?;
        }
        Ok(())
    }

    fn value(&mut self, key: &str, value: &mut Value) -> Result<(), ConfigError> {
        match value {
            Value::String(text) => {
                if let Some(read) = self.follow(key, text)? {
                    self.followed.push((key.to_owned(), text.clone()));
                    *text = read;
                }
            }
            Value::Array(elements) => {
                for (index, element) in elements.iter_mut().enumerate() {
                    let key = element_key(key, index, element);
                    self.value(&key, element)?;
                }
            }
            Value::Object(table) => {
                for (name, value) in table {
                    self.value(&format!("{key}.{name}"), value)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    fn follow(&self, key: &str, text: &str) -> Result<Option<String>, ConfigError> {
        let error = |found: String, allowed: &str| Err(ConfigError::new(key, found, allowed));
        if let Some(name) = text.strip_prefix("env:") {
            let allowed = "env: and the name of a variable that is set, to text";
            return match self.environment.get(OsStr::new(name)).map(|v| v.to_str()) {
                Some(Some(value)) => Ok(Some(value.to_owned())),
                Some(None) => error(format!("env:{name}, which is not UTF-8"), allowed),
                None => error(format!("env:{name}, which is not set"), allowed),
            };
        }
        let Some(path) = text.strip_prefix("file:").filter(|_| key != FILE_URL) else {
            return Ok(None);
        };
        match std::fs::read_to_string(path) {
            Ok(mut content) => {
                // Editors and `echo` end a file with a line break that is not part of the secret.
                if content.ends_with('\n') {
                    content.pop();
                    if content.ends_with('\r') {
                        content.pop();
                    }
                }
                Ok(Some(content))
            }
            Err(reason) => error(
                format!("file:{path}, which cannot be read ({reason})"),
                "file: and the path of a readable text file",
            ),
        }
    }

    /// Takes a value out of an error when it came from elsewhere: whatever the key is, a variable
    /// or file that was mixed up may hold a secret.
    pub(super) fn hide(&self, mut error: ConfigError) -> ConfigError {
        let inside = |key: &str| {
            let rest = key.strip_prefix(error.key.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        };
        let source = self.followed.iter().find(|(key, _)| inside(key));
        if let Some((_, source)) = source {
            error.found = if error.found.contains('"') {
                format!("what {source} holds, which is something else")
            } else {
                format!("{} ({source})", error.found)
            };
            error.nearest = None;
        }
        error
    }
}
