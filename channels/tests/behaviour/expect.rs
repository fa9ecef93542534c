//! Comparing what was found with what a fixture expects, so that a person sees the difference.

use super::fixture::with;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// So many differences are shown; the rest is in the `.failed` file.
const SHOWN: usize = 30;

/// Compares, and on a mismatch writes the actual value to `NAME.failed` and shows the differences.
/// A match removes the `.failed` of an earlier run.
pub fn same(fixture: &Path, expected: &Value, actual: &Value) -> Result<(), String> {
    let failed = with(fixture, "failed");
    let mut differences = Vec::new();
    diff("", expected, actual, &mut differences);
    if differences.is_empty() {
        return match fs::remove_file(&failed) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("{}: {e}", failed.display()))
            }
            _ => Ok(()),
        };
    }
    let pretty = serde_json::to_string_pretty(actual).map_err(|e| e.to_string())?;
    fs::write(&failed, pretty + "\n").map_err(|e| format!("{}: {e}", failed.display()))?;
    let more = differences.len().saturating_sub(SHOWN);
    differences.truncate(SHOWN);
    if more > 0 {
        differences.push(format!("… and {more} more"));
    }
    Err(format!(
        "{}\nactual value: {}",
        differences.join("\n"),
        failed.display()
    ))
}

/// The places at which two values differ, one line each.
fn diff(path: &str, expected: &Value, actual: &Value, out: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(e), Value::Object(a)) => {
            for (key, value) in e {
                match a.get(key) {
                    Some(other) => diff(&format!("{path}.{key}"), value, other, out),
                    None => out.push(format!(
                        "{path}.{key}: expected {}, found nothing",
                        cut(value)
                    )),
                }
            }
            for (key, value) in a.iter().filter(|(k, _)| !e.contains_key(*k)) {
                out.push(format!(
                    "{path}.{key}: expected nothing, found {}",
                    cut(value)
                ));
            }
        }
        (Value::Array(e), Value::Array(a)) => {
            for (i, (value, other)) in e.iter().zip(a).enumerate() {
                diff(&format!("{path}[{i}]"), value, other, out);
            }
            for (i, value) in e.iter().enumerate().skip(a.len()) {
                out.push(format!(
                    "{path}[{i}]: expected {}, found nothing",
                    cut(value)
                ));
            }
            for (i, value) in a.iter().enumerate().skip(e.len()) {
                out.push(format!(
                    "{path}[{i}]: expected nothing, found {}",
                    cut(value)
                ));
            }
        }
        // A fixture may write 5 where the model has 5.0.
        (Value::Number(e), Value::Number(a)) if e.as_f64() == a.as_f64() => {}
        _ if expected == actual => {}
        _ => out.push(format!(
            "{}: expected {}, found {}",
            if path.is_empty() { "." } else { path },
            cut(expected),
            cut(actual)
        )),
    }
}

/// A value on one line, not longer than a line.
fn cut(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 160 {
        return text;
    }
    text.chars().take(160).chain(['…']).collect()
}

/// Reads a hand-written value as `T` and writes it again, so that omitted defaults compare equal.
/// What the type does not know is an error: a misspelt key would otherwise expect nothing.
pub fn typed<T: DeserializeOwned + Serialize>(written: &Value) -> Result<Value, String> {
    let value: T = serde_json::from_value(written.clone())
        .map_err(|e| format!("the expectation cannot be read: {e}: {}", cut(written)))?;
    let normal = serde_json::to_value(value).map_err(|e| e.to_string())?;
    within("", written, &normal)?;
    Ok(normal)
}

/// Whether everything written is in the normal form; `null` may stand for an absent key.
fn within(path: &str, written: &Value, normal: &Value) -> Result<(), String> {
    match (written, normal) {
        (Value::Object(w), Value::Object(n)) => w.iter().try_for_each(|(key, value)| {
            let path = format!("{path}.{key}");
            match n.get(key) {
                Some(other) => within(&path, value, other),
                None if is_default(value) => Ok(()),
                None => Err(format!("the expectation has an unknown key {path}")),
            }
        }),
        (Value::Array(w), Value::Array(n)) => w
            .iter()
            .zip(n)
            .enumerate()
            .try_for_each(|(i, (value, other))| within(&format!("{path}[{i}]"), value, other)),
        _ => Ok(()),
    }
}

/// What the model leaves out when it writes: nothing, no, an empty list.
fn is_default(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false)) || value.as_array().is_some_and(Vec::is_empty)
}
