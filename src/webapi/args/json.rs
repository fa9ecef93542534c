//! Arguments as a JSON object, and arguments whose value is JSON as text.

use super::{ApiError, Gauge};
use serde_json::{Map, Value};

/// Reads a body that is a JSON object.
pub(super) fn decode(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|e| ApiError::invalid(format!("the body is not JSON: {e}")))?;
    let Value::Object(map) = value else {
        return Err(ApiError::invalid(
            "the body is JSON, but not an object of arguments",
        ));
    };
    let mut gauge = Gauge::default();
    for (name, value) in &map {
        Gauge::name(name)?;
        measure(&mut gauge, name, value, 1)?;
    }
    Ok(map)
}

/// Reads the text of an argument as JSON, within the same limits as a body. `None` when it is none.
pub(super) fn from_text(name: &str, text: &str) -> Result<Option<Value>, ApiError> {
    match serde_json::from_str(text) {
        Ok(value) => {
            measure(&mut Gauge::default(), name, &value, 1)?;
            Ok(Some(value))
        }
        Err(_not_json) => Ok(None),
    }
}

/// Holds a tree to the limits. The recursion is bounded: it ends at the depth limit, and
/// `serde_json` has refused anything deeper than 128 levels before.
fn measure(gauge: &mut Gauge, name: &str, value: &Value, depth: usize) -> Result<(), ApiError> {
    Gauge::depth(name, depth)?;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => gauge.value(name, 0),
        Value::String(text) => gauge.value(name, text.len()),
        Value::Array(items) if items.is_empty() => gauge.value(name, 0),
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| measure(gauge, name, item, depth.saturating_add(1))),
        Value::Object(map) if map.is_empty() => gauge.value(name, 0),
        Value::Object(map) => map.iter().try_for_each(|(key, item)| {
            Gauge::name(key)?;
            measure(gauge, name, item, depth.saturating_add(1))
        }),
    }
}
