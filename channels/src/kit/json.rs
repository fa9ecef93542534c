//! Small help for reading JSON that strangers wrote.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Reads `T` from a raw element, or says where it stopped; never quotes content.
///
/// # Errors
/// When the element is not of this shape.
pub fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|e| shape(&e))
}

/// A serde error without the values in it: category and place.
pub fn shape(error: &serde_json::Error) -> String {
    format!(
        "{:?} at line {} column {}",
        error.classify(),
        error.line(),
        error.column()
    )
}

/// A platform's answer as JSON text for the store: verbatim when it is JSON, a JSON string when not.
pub fn answer_text(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(_) => text.into_owned(),
        Err(_) => Value::String(text.chars().take(2000).collect()).to_string(),
    }
}
