//! The arguments of a request: one tree, whatever the encoding was.
//!
//! [`Args::decode`] takes the content type and the collected body and gives the arguments as one
//! tree of text, numbers, booleans, lists and objects. Forms are read by PHP's rules, since the
//! clients of this API are written with `http_build_query`: `attachments[0][1]=…`, `a[]=x`, the last
//! of several equal names wins. The query string is no source of arguments.
//!
//! The readers ([`Args::text`], [`Args::id`], [`Args::opt_time`]…) give typed values and errors that
//! name the argument, what was found and what was expected. They undo the differences between the
//! encodings: a form has only text, and PHP writes `false` as `0`.
//!
//! What counts as absent for an optional argument: nothing, `null`, `false`, `""` and `"false"`, as
//! the seeds write their defaults. Free text ([`Args::opt_text`]) is the exception: a message may
//! well read "false".

mod form;
mod json;
pub mod limits;
mod multipart;
mod read;
mod special;

#[cfg(test)]
mod tests;

pub use read::DateOnly;
pub use special::{Change, Detail, Links, Since};

use super::error::{ApiError, Code};
use limits::{MAX_ARGUMENTS, MAX_DEPTH, MAX_NAME_BYTES, MAX_VALUE_BYTES};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;

/// Arguments that are about the call, not about what it does: they do not count when two calls
/// with one idempotency key are compared.
const ABOUT_THE_CALL: &[&str] = &["token", "wait", "idempotency_key", "function"];

/// The arguments of one request, or of an object inside it.
///
/// `Debug` shows the names only: values are tokens and people's messages.
#[derive(Clone, PartialEq, Default)]
pub struct Args {
    map: Map<String, Value>,
    /// Where this object stands in the request: `source` makes errors read `source[chat_id]`.
    within: String,
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.map.keys()).finish()
    }
}

impl Args {
    /// Reads the body of a request.
    ///
    /// Without a content type a body that begins with `{` is JSON, and any other a form.
    ///
    /// # Errors
    /// `invalid-argument` when the content type is none of the three, the body is not what it says,
    /// a limit of [`limits`] is passed, or a multipart form carries a file.
    pub fn decode(content_type: Option<&str>, body: &[u8]) -> Result<Self, ApiError> {
        let content_type = content_type.map(str::trim).filter(|c| !c.is_empty());
        let essence = content_type.map(|c| {
            c.split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        });
        let looks_like_json = body.trim_ascii_start().starts_with(b"{");
        let map = match essence.as_deref() {
            None if looks_like_json => json::decode(body)?,
            // The usual slip with curl, whose default is a form: an error that says so helps more
            // than "the argument `token` is missing".
            Some("application/x-www-form-urlencoded") if looks_like_json => {
                return Err(ApiError::invalid(
                    "the body is JSON, but the content type says it is a form: send Content-Type: application/json",
                ));
            }
            None | Some("application/x-www-form-urlencoded") => form::decode(body)?,
            Some("multipart/form-data") => {
                multipart::decode(content_type.unwrap_or_default(), body)?
            }
            Some("application/json" | "text/json") => json::decode(body)?,
            Some(vendor) if vendor.starts_with("application/") && vendor.ends_with("+json") => {
                json::decode(body)?
            }
            Some(other) => {
                return Err(ApiError::invalid(format!(
                    "the content type: found {}; expected application/x-www-form-urlencoded, multipart/form-data or application/json",
                    quoted(other)
                )));
            }
        };
        Ok(Self::from(map))
    }

    /// The value under this name as it came, `null` included.
    pub fn raw(&self, name: &str) -> Option<&Value> {
        self.map.get(name)
    }

    /// Whether the name was given at all, with whatever value.
    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// The names in the request, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    /// SHA-256, in hexadecimal, over the function and its arguments: the same for the same call in
    /// any encoding and order. `token`, `wait` and `idempotency_key` do not count.
    pub fn fingerprint(&self, function: &str) -> String {
        let mut map = self.map.clone();
        for name in ABOUT_THE_CALL {
            map.remove(*name);
        }
        let mut hash = Sha256::new();
        hash.update(function.as_bytes());
        hash.update([0]);
        hash.update(
            canonical(&Value::Object(map))
                .unwrap_or_default()
                .as_bytes(),
        );
        hex::encode(hash.finalize())
    }

    /// How errors call the argument.
    fn label(&self, name: &str) -> String {
        if self.within.is_empty() {
            name.to_owned()
        } else {
            format!("{}[{name}]", self.within)
        }
    }

    /// The `missing-argument` error for a name.
    pub fn missing(&self, name: &str) -> ApiError {
        ApiError::new(
            Code::MissingArgument,
            format!("the argument `{}` is missing", self.label(name)),
        )
    }

    /// The `invalid-argument` error for a name: what was found and what was expected.
    pub fn unexpected(&self, name: &str, found: &Value, expected: &str) -> ApiError {
        ApiError::invalid(format!(
            "`{}`: found {}; expected {expected}",
            self.label(name),
            shown(found)
        ))
    }

    fn nested(&self, name: &str, map: Map<String, Value>) -> Self {
        Self {
            map,
            within: self.label(name),
        }
    }
}

impl From<Map<String, Value>> for Args {
    fn from(map: Map<String, Value>) -> Self {
        Self {
            map,
            within: String::new(),
        }
    }
}

/// A found value in an error: short, and a container only by its kind.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => quoted(s),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Text in quotes, cut at 40 characters: enough to recognise it.
fn quoted(text: &str) -> String {
    const SHOWN_CHARS: usize = 40;
    let mut short: String = text.chars().take(SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// The tree in one spelling: scalars as the text that PHP would write into a form, lists as objects
/// of their indices, names in order, and nothing for what a form cannot carry (`null` and empty
/// containers).
fn canonical(value: &Value) -> Option<String> {
    fn object<'a>(entries: impl Iterator<Item = (String, &'a Value)>) -> Option<String> {
        let mut entries: Vec<String> = entries
            .filter_map(|(name, value)| {
                Some(format!("{}:{}", Value::String(name), canonical(value)?))
            })
            .collect();
        entries.sort();
        (!entries.is_empty()).then(|| format!("{{{}}}", entries.join(",")))
    }
    match value {
        Value::Null => None,
        Value::Bool(b) => Some(Value::from(if *b { "1" } else { "0" }).to_string()),
        Value::Number(n) => Some(Value::String(n.to_string()).to_string()),
        Value::String(_) => Some(value.to_string()),
        Value::Array(items) => object(items.iter().enumerate().map(|(i, v)| (i.to_string(), v))),
        Value::Object(map) => object(map.iter().map(|(k, v)| (k.clone(), v))),
    }
}

/// Counts values and measures them while a tree is read.
#[derive(Default)]
struct Gauge {
    values: usize,
}

impl Gauge {
    fn name(name: &str) -> Result<(), ApiError> {
        if name.len() > MAX_NAME_BYTES {
            return Err(ApiError::invalid(format!(
                "{}: a name of {} bytes; at most {MAX_NAME_BYTES} are allowed",
                quoted(name),
                name.len()
            )));
        }
        Ok(())
    }

    fn depth(name: &str, depth: usize) -> Result<(), ApiError> {
        if depth > MAX_DEPTH {
            return Err(ApiError::invalid(format!(
                "`{name}`: nested too deep; at most {MAX_DEPTH} levels are allowed"
            )));
        }
        Ok(())
    }

    fn value(&mut self, name: &str, bytes: usize) -> Result<(), ApiError> {
        self.values = self.values.saturating_add(1);
        if self.values > MAX_ARGUMENTS {
            return Err(ApiError::invalid(format!(
                "the request holds too many values; at most {MAX_ARGUMENTS} are allowed"
            )));
        }
        if bytes > MAX_VALUE_BYTES {
            return Err(ApiError::invalid(format!(
                "`{name}`: a value of {bytes} bytes; at most {MAX_VALUE_BYTES} are allowed"
            )));
        }
        Ok(())
    }
}
