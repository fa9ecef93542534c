//! From text to a [`Config`], in layers: the file, the environment over it, `env:` and `file:`
//! values read from where they point, and at last types that cannot be wrong.

use super::channels::ChannelConfig;
use super::error::ConfigError;
use super::overlay::Overlay;
use super::reference::References;
use super::value::{self, Id, Text};
use super::webhooks::WebhookConfig;
use super::{Config, checks};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use switchboard_channels::Kind;
use switchboard_channels::kit::settings;

/// Where the configuration is looked for when the command line does not say.
pub const DEFAULT_FILE: &str = "config/switchboard.toml";

/// What serde's sentence about an unknown key is turned into.
pub(super) const UNKNOWN_KEY: &str = "an unknown key";

/// A table while it has no type yet.
pub(super) type Object = serde_json::Map<String, Value>;

/// The sections, in the order of the documentation.
pub(super) const SECTIONS: [&str; 13] = [
    "server",
    "log",
    "api",
    "store",
    "queue",
    "spool",
    "media",
    "mail",
    "retry",
    "retention",
    "webhooks",
    "sandbox",
    "channels",
];

/// What a configuration is read from.
#[derive(Clone)]
pub struct Sources {
    /// The file that the command line names. It must be there; the default one need not.
    pub file: Option<PathBuf>,
    /// The environment of the process.
    pub environment: BTreeMap<OsString, OsString>,
}

impl Sources {
    /// This file, or the default one, and the environment of this process.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        Self {
            file,
            environment: std::env::vars_os().collect(),
        }
    }

    /// The file's table, and what errors call it. Without a file: nothing, which means defaults.
    fn read(&self) -> Result<(Object, String), ConfigError> {
        let path = self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        let label = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let table = parse(&text).map_err(|error| error.in_file(&label))?;
                Ok((table, label))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.file.is_none() => {
                Ok((Object::new(), "the built-in defaults".to_owned()))
            }
            Err(error) => {
                let found = match error.kind() {
                    io::ErrorKind::NotFound => "no such file".to_owned(),
                    io::ErrorKind::InvalidData => "a file that is not UTF-8".to_owned(),
                    _ => format!("a file that cannot be read ({error})"),
                };
                let allowed = "a readable file in TOML";
                Err(ConfigError::new("", found, allowed).in_file(label))
            }
        }
    }
}

/// Reads the whole configuration.
///
/// # Errors
/// With the first thing that is wrong: in the file, in the environment, in what `env:` and `file:`
/// point to, or between the keys.
pub fn load(sources: &Sources, kinds: &'static [Kind]) -> Result<Config, ConfigError> {
    layered(sources, &SECTIONS, |table, label| {
        finish(table, label, kinds)
    })
}

/// Lays the environment over the file, reads what `env:` and `file:` point to, and hands the
/// sections to `finish`.
///
/// The environment has no types: whether `5` is a number or a string only shows when a type is
/// asked for. So `finish` is repeated with the other reading of a value that it found to be of the
/// wrong type; each value is turned around at most once.
pub(super) fn layered<T>(
    sources: &Sources,
    sections: &[&str],
    finish: impl Fn(Object, &str) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    let (mut base, label) = sources.read()?;
    let mut overlay = Overlay::read(&sources.environment, &base, sections)
        .map_err(|error| in_default_file(error, &label))?;
    // Whoever reads a part only must not fail over another part, unknown sections excepted.
    base.retain(|name, _| sections.contains(&name.as_str()) || !SECTIONS.contains(&name.as_str()));
    loop {
        let mut table = base.clone();
        overlay.apply(&mut table);
        let mut references = References::new(&sources.environment);
        let result = references
            .resolve(&mut table)
            .and_then(|()| finish(table, &label))
            .map_err(|error| references.hide(error));
        match result {
            Err(error) if overlay.turn_around(&error) => {}
            Err(error) => return Err(in_default_file(overlay.attribute(error), &label)),
            Ok(done) => return Ok(done),
        }
    }
}

fn in_default_file(mut error: ConfigError, label: &str) -> ConfigError {
    if error.file.is_empty() {
        label.clone_into(&mut error.file);
    }
    error
}

/// Reads TOML. The error says where and what, and never quotes the line: it may hold a secret.
fn parse(text: &str) -> Result<Object, ConfigError> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let place = before.map_or_else(String::new, |before| {
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!("line {line}, column {column}")
        });
        let message = error.message();
        // The one message that quotes a value: an account number or token without its quotes.
        let message = if message.contains("invalid type") {
            "a number that is too large, or text without quotes".to_owned()
        } else {
            message.replace('\n', ", ")
        };
        let found = format!("something that is no TOML ({message})");
        ConfigError::new(place, found, "TOML, with text in quotes")
    })?;
    table
        .into_iter()
        .map(|(name, value)| Ok((name.clone(), to_json(&name, value)?)))
        .collect()
}

/// TOML's values as JSON's, which is what the kinds of channels read.
pub(super) fn to_json(key: &str, value: toml::Value) -> Result<Value, ConfigError> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| ConfigError::new(key, number.to_string(), "a finite number"))?,
        toml::Value::Boolean(flag) => flag.into(),
        // No key is a date; the type that is asked for will say so.
        toml::Value::Datetime(date) => Value::String(date.to_string()),
        toml::Value::Array(values) => values
            .into_iter()
            .map(|value| to_json(key, value))
            .collect::<Result<_, _>>()?,
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(name, value)| {
                let value = to_json(&format!("{key}.{name}"), value)?;
                Ok((name, value))
            })
            .collect::<Result<Object, ConfigError>>()?
            .into(),
    })
}

fn finish(mut table: Object, label: &str, kinds: &'static [Kind]) -> Result<Config, ConfigError> {
    known_sections(&table)?;
    let webhooks = tables("webhooks", &mut table)?
        .into_iter()
        .map(|(key, webhook)| typed(&key, Value::Object(webhook)))
        .collect::<Result<Vec<WebhookConfig>, _>>()?;
    let channels = tables("channels", &mut table)?
        .into_iter()
        .map(|(key, channel)| ChannelConfig::read(&key, channel, kinds, label))
        .collect::<Result<Vec<ChannelConfig>, _>>()?;
    let config = Config {
        server: section("server", &mut table)?,
        log: section("log", &mut table)?,
        api: section("api", &mut table)?,
        store: section("store", &mut table)?,
        queue: section("queue", &mut table)?,
        spool: section("spool", &mut table)?,
        media: section("media", &mut table)?,
        mail: section("mail", &mut table)?,
        retry: section("retry", &mut table)?,
        retention: section("retention", &mut table)?,
        sandbox: section("sandbox", &mut table)?,
        webhooks,
        channels,
        file: label.to_owned(),
    };
    checks::all(&config)?;
    Ok(config)
}

/// Refuses sections that nobody reads.
pub(super) fn known_sections(table: &Object) -> Result<(), ConfigError> {
    let unknown = table.keys().find(|name| !SECTIONS.contains(&name.as_str()));
    unknown.map_or(Ok(()), |name| {
        let error = ConfigError::new(name, "an unknown section", SECTIONS.join(", "));
        Err(error.with_nearest(name, SECTIONS))
    })
}

/// Takes a section out of the table and reads it; a missing one has its defaults.
pub(super) fn section<T: DeserializeOwned>(
    name: &str,
    table: &mut Object,
) -> Result<T, ConfigError> {
    let value = table
        .remove(name)
        .unwrap_or_else(|| Value::Object(Object::new()));
    typed(name, value)
}

/// Takes a list of tables out of the table, each with the key that errors call it.
fn tables(name: &str, table: &mut Object) -> Result<Vec<(String, Object)>, ConfigError> {
    let allowed = format!("tables that begin with [[{name}]]");
    let elements = match table.remove(name) {
        None => return Ok(Vec::new()),
        Some(Value::Array(elements)) => elements,
        Some(other) => return Err(ConfigError::new(name, value::type_words(&other), allowed)),
    };
    let name_and_table = |(index, element): (usize, Value)| {
        let key = element_key(name, index, &element);
        match element {
            Value::Object(table) => Ok((key, table)),
            other => Err(ConfigError::new(key, value::type_words(&other), &allowed)),
        }
    };
    elements
        .into_iter()
        .enumerate()
        .map(name_and_table)
        .collect()
}

/// What errors call an element: by its id (`channels.support-bot`), by its place without one.
pub(super) fn element_key(list: &str, index: usize, element: &Value) -> String {
    let id = element.get("id").and_then(Value::as_str).and_then(Id::read);
    id.map_or_else(
        || format!("{list}[{index}]"),
        |Id(id)| format!("{list}.{id}"),
    )
}

/// Reads a value as a type; `prefix` is the key of the value itself.
pub(super) fn typed<T: DeserializeOwned>(prefix: &str, value: Value) -> Result<T, ConfigError> {
    if !value.is_object() {
        let allowed = format!("a table that begins with [{prefix}]");
        return Err(ConfigError::new(prefix, value::type_words(&value), allowed));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        let sentence = error.inner().to_string();
        let (key, found, allowed) = match value::problem_in(&sentence) {
            Some((found, allowed)) => (path, found.to_owned(), allowed.to_owned()),
            None => {
                let error = settings::explain(&path, &sentence);
                (error.key, error.found, in_words(error.allowed))
            }
        };
        let key = match (prefix, key.as_str()) {
            (prefix, "") => prefix.to_owned(),
            ("", key) => key.to_owned(),
            (prefix, key) => format!("{prefix}.{key}"),
        };
        with_hint(ConfigError::new(key, found, allowed))
    })
}

/// serde's names of types in the words of the documentation.
fn in_words(allowed: String) -> String {
    match allowed.as_str() {
        "a sequence" => "a list, such as [\"a\", \"b\"]".to_owned(),
        "a boolean" => "true or false".to_owned(),
        _ => allowed,
    }
}

/// Adds the nearest known key to an error about an unknown one.
pub(super) fn with_hint(error: ConfigError) -> ConfigError {
    if error.found != UNKNOWN_KEY {
        return error;
    }
    let known = error.allowed.clone();
    let name = error.key.rsplit('.').next().unwrap_or_default().to_owned();
    error.with_nearest(&name, known.split(", "))
}
