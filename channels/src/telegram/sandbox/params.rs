//! The parameters of a call, from wherever the Bot API takes them: the query, JSON, a form or a
//! multipart form. In the last two everything is text, nested values JSON text.

use super::Failure;
use crate::kit::http::{Body, Field, Request};
use serde_json::Value;
use std::collections::BTreeMap;
use url::Url;

/// The parameters by name.
#[derive(Debug, Default)]
pub struct Params {
    values: BTreeMap<String, Value>,
    /// Uploaded files by the name of their field.
    files: BTreeMap<String, Field>,
}

impl Params {
    /// Reads the parameters of a request. Unknown ones are ignored, as the Bot API does.
    ///
    /// # Errors
    /// When the body says that it is JSON and is not an object.
    pub fn of(request: &Request) -> Result<Self, Failure> {
        let mut params = Self::default();
        if let Ok(url) = Url::parse(&request.url) {
            for (name, value) in url.query_pairs() {
                params.text(&name, value.into_owned());
            }
        }
        match &request.body {
            Body::Empty => {}
            Body::Json(text) => match serde_json::from_str(text) {
                Ok(Value::Object(fields)) => params.values.extend(fields),
                _ => return Err(Failure::bad("can't parse JSON object")),
            },
            Body::Form(fields) => {
                for (name, value) in fields {
                    params.text(name, value.clone());
                }
            }
            Body::Multipart(fields) => {
                for field in fields {
                    if field.file_name.is_some() {
                        params.files.insert(field.name.clone(), field.clone());
                    } else {
                        let text = String::from_utf8_lossy(&field.bytes).into_owned();
                        params.text(&field.name, text);
                    }
                }
            }
            // An empty body with a type is common; anything else is of a type that is not read.
            Body::Raw(bytes) if bytes.is_empty() => {}
            Body::Raw(_) => return Err(Failure::bad("unsupported content type of the request")),
        }
        params.values.retain(|_, value| !value.is_null());
        Ok(params)
    }

    fn text(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), Value::String(value));
    }

    /// A text; a number counts as its digits. Empty counts as absent.
    pub fn str(&self, name: &str) -> Option<String> {
        let text = match self.values.get(name)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => return None,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// A whole number, also as text.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.values.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A number, also as text.
    pub fn float(&self, name: &str) -> Option<f64> {
        match self.values.get(name)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|number| number.is_finite())
    }

    /// A flag; the Bot API takes `true`, `yes`, `1` and the like, everything else is false.
    pub fn flag(&self, name: &str) -> bool {
        match self.values.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => {
                matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "1")
            }
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => false,
        }
    }

    /// A nested value, real or as JSON text.
    ///
    /// # Errors
    /// When it is text that is no JSON.
    pub fn nested(&self, name: &str) -> Result<Option<Value>, Failure> {
        match self.values.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::String(text)) => match serde_json::from_str(text) {
                Ok(Value::Null) => Ok(None),
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(Failure::bad(format!("can't parse {name} JSON object"))),
            },
            Some(value) => Ok(Some(value.clone())),
        }
    }

    /// An uploaded file.
    pub fn file(&self, name: &str) -> Option<&Field> {
        self.files.get(name)
    }
}
