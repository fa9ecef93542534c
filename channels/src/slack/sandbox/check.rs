//! Arguments as Slack takes them, and blocks as it checks them.

use super::Failure;
use crate::kit::http::{Body, Request};
use crate::slack::plan::{BUTTONS_MAX, LINK_MAX, PAYLOAD_MAX, TITLE_MAX};
use serde_json::{Map, Value, json};

/// The most blocks of a message (Block Kit reference).
const BLOCKS_MAX: usize = 50;

/// The most characters of a section's text.
const SECTION_MAX: usize = 3000;

/// The arguments of a call: of its query and its body, whatever form that has.
#[derive(Debug, Default)]
pub struct Params(Map<String, Value>);

impl Params {
    /// Reads them.
    pub fn of(request: &Request) -> Self {
        let mut fields = Map::new();
        let query = request.url.split_once('?').map_or("", |(_, query)| query);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            fields.insert(name.into_owned(), json!(value));
        }
        match &request.body {
            Body::Json(text) => {
                if let Ok(Value::Object(given)) = serde_json::from_str(text) {
                    fields.extend(given);
                }
            }
            Body::Form(pairs) => {
                let pair = |(name, value): &(String, String)| (name.clone(), json!(value));
                fields.extend(pairs.iter().map(pair));
            }
            Body::Multipart(parts) => {
                for part in parts.iter().filter(|part| part.file_name.is_none()) {
                    let text = String::from_utf8_lossy(&part.bytes);
                    fields.insert(part.name.clone(), json!(text));
                }
            }
            Body::Empty | Body::Raw(_) => {}
        }
        Self(fields)
    }

    /// An argument in words; numbers and truth values as they are written.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    /// An argument that must be there.
    pub fn needed(&self, name: &str) -> Result<String, Failure> {
        let value = self.text(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            Failure::because("invalid_arguments", format!("missing required field: {name}"))
        })
    }

    /// A structured argument: JSON itself or, in a form, its text.
    pub fn json(&self, name: &str) -> Option<Value> {
        match self.0.get(name)? {
            Value::String(text) => serde_json::from_str(text).ok(),
            Value::Null => None,
            other => Some(other.clone()),
        }
    }

    /// Whether an argument is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether an argument is true.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.text(name).as_deref(), Some("true" | "1"))
    }
}

/// A button of a message.
#[derive(Debug, Clone)]
pub struct Button {
    /// What stands on it.
    pub title: String,
    /// What it gives back.
    pub value: Option<String>,
    /// Its name.
    pub action_id: String,
}

/// The buttons of blocks.
pub fn buttons(blocks: Option<&Value>) -> Vec<Button> {
    let elements = |block: &Value| block.get("elements").and_then(Value::as_array).cloned();
    let actions = |block: &&Value| block.get("type").and_then(Value::as_str) == Some("actions");
    let list = blocks.and_then(Value::as_array).into_iter().flatten();
    let all = list.filter(actions).filter_map(elements).flatten();
    all.filter_map(|button| {
        let text = |name: &str| button.get(name).and_then(Value::as_str);
        let title = button.pointer("/text/text").and_then(Value::as_str)?;
        Some(Button {
            title: title.to_owned(),
            value: text("value").map(str::to_owned),
            action_id: text("action_id").unwrap_or_default().to_owned(),
        })
    })
    .collect()
}

/// Checks blocks as far as our own kinds go; others are taken.
pub fn check_blocks(blocks: &Value) -> Result<(), Failure> {
    let refuse = |remark: String| Err(Failure::because("invalid_blocks", remark));
    let Some(list) = blocks.as_array() else {
        return Err(Failure::new("invalid_blocks_format"));
    };
    if list.len() > BLOCKS_MAX {
        return refuse(format!("no more than {BLOCKS_MAX} items allowed"));
    }
    let mut names = Vec::new();
    for (i, block) in list.iter().enumerate() {
        match block.get("type").and_then(Value::as_str) {
            Some("section") => {
                let text = block.pointer("/text/text").and_then(Value::as_str).unwrap_or_default();
                if text.trim().is_empty() || text.chars().count() > SECTION_MAX {
                    return refuse(format!("/blocks/{i}/text/text: 1 to {SECTION_MAX} characters"));
                }
            }
            Some("actions") => {
                let elements = block.get("elements").and_then(Value::as_array);
                let count = elements.map_or(0, Vec::len);
                if !(1..=BUTTONS_MAX).contains(&count) {
                    return refuse(format!("/blocks/{i}/elements: 1 to {BUTTONS_MAX} items"));
                }
                for element in elements.into_iter().flatten() {
                    names.push(check_button(element)?);
                }
            }
            Some(_) => {}
            None => return refuse(format!("/blocks/{i}: missing required field: type")),
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    if names.len() != count {
        return refuse("action_id must be unique within a message".to_owned());
    }
    Ok(())
}

/// Checks a button and gives its name.
fn check_button(button: &Value) -> Result<String, Failure> {
    let refuse = |remark: &str| Err(Failure::because("invalid_blocks", remark));
    let text = |pointer: &str| button.pointer(pointer).and_then(Value::as_str);
    let length = |pointer: &str| text(pointer).map_or(0, |t| t.chars().count());
    if text("/type") != Some("button") {
        return refuse("only buttons are known here");
    }
    if text("/text/type") != Some("plain_text") || !(1..=TITLE_MAX).contains(&length("/text/text")) {
        return refuse("a button's text is plain_text of 1 to 75 characters");
    }
    if length("/value") > PAYLOAD_MAX || length("/url") > LINK_MAX {
        return refuse("a button's value or url is too long");
    }
    match text("/action_id") {
        Some(name) if !name.is_empty() && name.chars().count() <= 255 => Ok(name.to_owned()),
        _ => refuse("missing required field: action_id"),
    }
}

/// Checks metadata: a type and an object.
pub fn check_metadata(metadata: &Value) -> Result<(), Failure> {
    let kind = metadata.get("event_type").and_then(Value::as_str);
    let payload = metadata.get("event_payload").is_some_and(Value::is_object);
    if kind.is_none_or(str::is_empty) || !payload {
        return Err(Failure::new("invalid_metadata_format"));
    }
    Ok(())
}
