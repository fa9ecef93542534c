//! The environment over the file: `SWITCHBOARD__SECTION__KEY` and
//! `SWITCHBOARD__CHANNELS__ID__KEY` (webhooks alike), the id in upper case with `_` for `-`.

use super::error::ConfigError;
use super::load::{Object, SECTIONS, to_json};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// Begins the name of every variable that sets a key.
const PREFIX: &str = "SWITCHBOARD__";
/// Stands between the levels of a name.
const LEVELS: &str = "__";
/// The sections that are lists of tables with ids.
const LISTS: [&str; 2] = ["channels", "webhooks"];

/// Every value that the environment sets.
pub(super) struct Overlay(Vec<Override>);

struct Override {
    variable: String,
    section: &'static str,
    /// The element of a list, by its place in the file.
    element: Option<(usize, String)>,
    key: String,
    value: Value,
    /// The other reading, until it was tried.
    other: Option<Value>,
}

impl Override {
    /// The key as errors call it.
    fn path(&self) -> String {
        match &self.element {
            Some((_, id)) => format!("{}.{id}.{}", self.section, self.key),
            None => format!("{}.{}", self.section, self.key),
        }
    }
}

impl Overlay {
    /// Finds the variables that set keys of these sections. `base` is the file, whose channels and
    /// webhooks can be named.
    pub(super) fn read(
        environment: &BTreeMap<OsString, OsString>,
        base: &Object,
        sections: &[&str],
    ) -> Result<Self, ConfigError> {
        let mut overrides = Vec::new();
        for (name, value) in environment {
            let Some(variable) = name.to_str() else {
                continue;
            };
            let Some(rest) = variable.strip_prefix(PREFIX) else {
                continue;
            };
            let label = |error: ConfigError| error.in_file(in_environment(variable));
            let Some(value) = value.to_str() else {
                return Err(label(ConfigError::new(
                    "",
                    "bytes that are not UTF-8",
                    "text",
                )));
            };
            let (section, element, key) = place(rest, base).map_err(label)?;
            if !sections.contains(&section) {
                continue;
            }
            let (value, other) = readings(value);
            overrides.push(Override {
                variable: variable.to_owned(),
                section,
                element,
                key,
                value,
                other,
            });
        }
        Ok(Self(overrides))
    }

    /// Writes the values into the table.
    pub(super) fn apply(&self, table: &mut Object) {
        for set in &self.0 {
            let mut target = table
                .entry(set.section)
                .or_insert_with(|| Value::Object(Object::new()));
            if let Some((index, _)) = &set.element {
                let Some(element) = target.get_mut(index) else {
                    continue;
                };
                target = element;
            }
            // A section that is no table is refused later, with its own name.
            if let Value::Object(target) = target {
                target.insert(set.key.clone(), set.value.clone());
            }
        }
    }

    /// Whether the error says that a value of the environment is of the wrong type, and there is
    /// another reading, which is taken from now on.
    pub(super) fn turn_around(&mut self, error: &ConfigError) -> bool {
        if !matches!(error.found.as_str(), "a string" | "a list") {
            return false;
        }
        let set = self.0.iter_mut().find(|set| set.path() == error.key);
        set.and_then(|set| set.other.take().map(|other| set.value = other))
            .is_some()
    }

    /// Says that the environment is to blame, where it is.
    pub(super) fn attribute(&self, error: ConfigError) -> ConfigError {
        let inside = |path: &str| {
            let rest = error.key.strip_prefix(path);
            rest.is_some_and(|r| r.is_empty() || r.starts_with(['.', '[']))
        };
        match self.0.iter().find(|set| inside(&set.path())) {
            Some(set) => error.in_file(in_environment(&set.variable)),
            None => error,
        }
    }
}

fn in_environment(variable: &str) -> String {
    format!("environment variable {variable}")
}

/// Section, element of a list and key that the rest of a variable's name stands for.
type Place = (&'static str, Option<(usize, String)>, String);

fn place(rest: &str, base: &Object) -> Result<Place, ConfigError> {
    let (section, rest) = rest.split_once(LEVELS).unwrap_or((rest, ""));
    let name = section.to_ascii_lowercase();
    let Some(section) = SECTIONS.iter().find(|s| **s == name).copied() else {
        let error = ConfigError::new(&name, "an unknown section", SECTIONS.join(", "));
        return Err(error.with_nearest(&name, SECTIONS));
    };
    if LISTS.contains(&section) {
        return element(section, rest, base);
    }
    if rest.is_empty() || rest.contains(LEVELS) {
        let allowed = format!("{PREFIX}SECTION{LEVELS}KEY");
        return Err(ConfigError::new(section, "a name of another form", allowed));
    }
    Ok((section, None, rest.to_ascii_lowercase()))
}

/// The element of a list that a name means. Ids may hold `-` twice in a row, so that the name
/// cannot just be cut at `__`: it is compared with the ids that there are, longest first.
fn element(section: &'static str, rest: &str, base: &Object) -> Result<Place, ConfigError> {
    let elements = base.get(section).and_then(Value::as_array);
    let mut ids: Vec<(usize, &str, String)> = elements
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(index, e)| Some((index, e.get("id")?.as_str()?)))
        .map(|(index, id)| (index, id, id.to_ascii_uppercase().replace('-', "_")))
        .collect();
    ids.sort_by_key(|(_, _, name)| std::cmp::Reverse(name.len()));
    for (index, id, name) in &ids {
        let key = rest.strip_prefix(name.as_str());
        match key.and_then(|key| key.strip_prefix(LEVELS)) {
            Some(key) if !key.is_empty() => {
                let element = Some((*index, (*id).to_owned()));
                return Ok((section, element, key.to_ascii_lowercase()));
            }
            _ => {}
        }
    }
    ids.sort_by_key(|(index, ..)| *index);
    let names: Vec<String> = ids
        .into_iter()
        .map(|(_, _, name)| {
            format!(
                "{PREFIX}{}{LEVELS}{name}{LEVELS}KEY",
                section.to_uppercase()
            )
        })
        .collect();
    let allowed = if names.is_empty() {
        format!("nothing: the file has no [[{section}]]")
    } else {
        names.join(", ")
    };
    Err(ConfigError::new(
        section,
        "an id that the file does not have",
        allowed,
    ))
}

/// The two readings of a value: what is tried first, and what is tried when that is of the wrong
/// type. A list is tried as a list first, because a secret may be a string or a list of them.
fn readings(text: &str) -> (Value, Option<Value>) {
    let plain = Value::String(text.to_owned());
    let parsed = text.trim().parse::<toml::Value>().ok();
    let Some(parsed) = parsed.filter(|v| !v.is_str() && !v.is_table() && !v.is_datetime()) else {
        return (plain, None);
    };
    let list = parsed.is_array();
    match to_json("", parsed) {
        Ok(parsed) if list => (parsed, Some(plain)),
        Ok(parsed) => (plain, Some(parsed)),
        Err(_) => (plain, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_have_two_readings() {
        let text = |text: &str| Value::String(text.to_owned());
        for (value, first, second) in [
            ("abc", text("abc"), None),
            ("5", text("5"), Some(json!(5))),
            ("0.5", text("0.5"), Some(json!(0.5))),
            ("true", text("true"), Some(json!(true))),
            (
                "[\"a\", \"b\"]",
                json!(["a", "b"]),
                Some(text("[\"a\", \"b\"]")),
            ),
            ("\"quoted\"", text("\"quoted\""), None),
            ("{a = 1}", text("{a = 1}"), None),
            ("2026-01-01", text("2026-01-01"), None),
            ("nan", text("nan"), None),
            ("1\nx = 2", text("1\nx = 2"), None),
            ("", text(""), None),
        ] {
            assert_eq!(readings(value), (first, second), "{value}");
        }
    }

    #[test]
    fn names_find_ids_with_dashes() {
        let base =
            json!({"channels": [{"id": "a"}, {"id": "a--b"}, {"id": "a-"}, {"id": "sms-eu"}]});
        let base = base.as_object().unwrap();
        for (rest, index, key) in [
            ("CHANNELS__A__TOKEN", 0, "token"),
            ("CHANNELS__A__B__TOKEN", 1, "token"),
            ("CHANNELS__A___TOKEN", 2, "token"),
            ("CHANNELS__SMS_EU__AUTH_TOKEN", 3, "auth_token"),
        ] {
            let (_, element, found) = place(rest, base).unwrap();
            assert_eq!((element.unwrap().0, found.as_str()), (index, key), "{rest}");
        }
    }
}
