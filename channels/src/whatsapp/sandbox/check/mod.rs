//! Whether a body is a message that the platform would take.

mod content;
mod fault;

pub use fault::Fault;

use super::Press;
use super::templates;
use crate::model::{Choice, TextLimit, Unit};
use content::{Card, Interactive, Place, Reaction, Sound, Text, Visual};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Characters of `biz_opaque_callback_data`.
const REFERENCE_MAX: usize = 512;

/// A body that is well formed.
pub enum Accepted {
    /// Marks a message as read, perhaps showing that we type.
    Read {
        /// The message.
        message_id: String,
    },
    /// A message.
    Message(Box<Message>),
}

/// A message whose content is in order.
#[derive(Default)]
pub struct Message {
    /// The number as it was written.
    pub to: Option<String>,
    /// The business-scoped id.
    pub recipient: Option<String>,
    /// To a group.
    pub group: bool,
    /// Our own reference.
    pub reference: Option<String>,
    /// What the phone shows as text.
    pub text: String,
    /// What the phone shows beside it.
    pub extras: Vec<String>,
    /// The buttons or rows.
    pub choices: Vec<Choice>,
    /// What kind of answer they give.
    pub press: Press,
    /// Set for templates.
    pub template: Option<()>,
    /// An uploaded file that is used.
    pub media_id: Option<String>,
    /// The message that a reaction is put on.
    pub target: Option<String>,
    /// The reaction; `None` takes it off.
    pub emoji: Option<String>,
    /// The link leads to what the platform will not take, as it finds out later.
    pub fetch_fails: bool,
}

impl Message {
    /// Whom it was addressed to, as it was written.
    pub fn address(&self) -> &str {
        let address = self.to.as_deref().or(self.recipient.as_deref());
        address.unwrap_or_default()
    }
}

/// Everything that a body has beside its content.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    messaging_product: String,
    recipient_type: Option<String>,
    to: Option<String>,
    recipient: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    context: Option<Context>,
    biz_opaque_callback_data: Option<String>,
    status: Option<String>,
    message_id: Option<String>,
    typing_indicator: Option<Typing>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    message_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typing {
    #[serde(rename = "type")]
    kind: String,
}

/// The types of message, each of which has its content under its own name.
const TYPES: [&str; 11] = [
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "interactive",
    "template",
];

fn limit(max: usize) -> TextLimit {
    TextLimit {
        max,
        unit: Unit::Chars,
    }
}

/// Reads a structure strictly: unknown keys, missing ones and wrong types are the platform's errors.
fn read<T: DeserializeOwned>(value: Value, place: &str) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let sentence = error.inner().to_string();
        let place = match (place, path.as_str()) {
            (place, ".") => place.to_owned(),
            ("", path) => path.to_owned(),
            (place, path) => format!("{place}.{path}"),
        };
        if sentence.starts_with("missing field") {
            Fault::missing(&format!("{place}: {sentence}"))
        } else {
            Fault::invalid(&format!("{place}: {sentence}"))
        }
    })
}

/// Checks a body.
pub fn check(text: &str) -> Result<Accepted, Fault> {
    let Ok(Value::Object(mut body)) = serde_json::from_str(text) else {
        return Err(Fault::invalid("the body is no JSON object"));
    };
    if let Some(Value::String(kind)) = body.get("type")
        && !TYPES.contains(&kind.as_str())
    {
        return Err(Fault::unsupported(kind));
    }
    let contents: Vec<(&str, Value)> = TYPES
        .iter()
        .filter_map(|name| body.remove(*name).map(|content| (*name, content)))
        .collect();
    let head: Head = read(Value::Object(body), "")?;
    if head.messaging_product != "whatsapp" {
        return Err(Fault::invalid("messaging_product must be whatsapp"));
    }
    if let Some(status) = &head.status {
        return check_read(&head, status, contents.is_empty());
    }
    let mut message = Message {
        group: match head.recipient_type.as_deref() {
            None | Some("individual") => false,
            Some("group") => true,
            Some(_) => return Err(Fault::invalid("recipient_type must be individual or group")),
        },
        ..Message::default()
    };
    if head.to.is_none() && head.recipient.is_none() {
        return Err(Fault::missing("to"));
    }
    if head.message_id.is_some() || head.typing_indicator.is_some() {
        return Err(Fault::invalid("message_id and typing_indicator belong to status"));
    }
    if head.context.is_some_and(|c| c.message_id.trim().is_empty()) {
        return Err(Fault::value("context.message_id is empty"));
    }
    let reference = head.biz_opaque_callback_data;
    if reference.as_ref().is_some_and(|r| !limit(REFERENCE_MAX).fits(r)) {
        return Err(Fault::invalid("biz_opaque_callback_data has at most 512 characters"));
    }
    (message.to, message.recipient, message.reference) = (head.to, head.recipient, reference);
    let kind = head.kind.as_deref().unwrap_or("text");
    let mut contents = contents.into_iter();
    match (contents.next(), contents.next()) {
        (Some((name, content)), None) if name == kind => content_of(kind, content, &mut message)?,
        (None, _) => return Err(Fault::missing(kind)),
        _ => return Err(Fault::invalid("the content must be that of the type, and nothing else")),
    }
    Ok(Accepted::Message(Box::new(message)))
}

fn check_read(head: &Head, status: &str, alone: bool) -> Result<Accepted, Fault> {
    if status != "read" || !alone || head.to.is_some() || head.kind.is_some() {
        return Err(Fault::invalid("status must be read and stand without a message"));
    }
    if head.typing_indicator.as_ref().is_some_and(|t| t.kind != "text") {
        return Err(Fault::invalid("typing_indicator.type must be text"));
    }
    match &head.message_id {
        Some(message_id) => Ok(Accepted::Read {
            message_id: message_id.clone(),
        }),
        None => Err(Fault::missing("message_id")),
    }
}

fn content_of(kind: &str, content: Value, message: &mut Message) -> Result<(), Fault> {
    match kind {
        "text" => read::<Text>(content, kind)?.into_message(message),
        "image" | "video" | "document" => read::<Visual>(content, kind)?.into_message(kind, message),
        "audio" | "sticker" => read::<Sound>(content, kind)?.into_message(kind, message),
        "location" => read::<Place>(content, kind)?.into_message(message),
        "contacts" => {
            let cards: Vec<Card> = read(content, kind)?;
            if cards.is_empty() {
                return Err(Fault::missing("contacts"));
            }
            cards.into_iter().try_for_each(|c| c.into_message(message))
        }
        "reaction" => {
            read::<Reaction>(content, kind)?.into_message(message);
            Ok(())
        }
        "interactive" => read::<Interactive>(content, kind)?.into_message(message),
        _ => {
            let sent: templates::Sent = read(content, kind)?;
            let shown = templates::fill(&sent)?;
            message.template = Some(());
            message.press = Press::Template;
            message.text = shown.text;
            message.extras = shown.extras;
            message.choices = shown.choices;
            Ok(())
        }
    }
}

/// A header of an interactive message is one of three kinds of file, or text.
fn header_of(mut header: Map<String, Value>, message: &mut Message) -> Result<(), Fault> {
    let kind = match header.remove("type") {
        Some(Value::String(kind)) => kind,
        _ => return Err(Fault::missing("interactive.header.type")),
    };
    let content = header
        .remove(&kind)
        .ok_or_else(|| Fault::missing(&format!("interactive.header.{kind}")))?;
    if !header.is_empty() {
        return Err(Fault::invalid("interactive.header: unknown key"));
    }
    match (kind.as_str(), content) {
        ("text", Value::String(text)) if !text.is_empty() && limit(60).fits(&text) => {
            message.extras.push(text);
            Ok(())
        }
        ("image" | "video" | "document", content) => {
            let body = std::mem::take(&mut message.text);
            let file: Visual = read(content, "interactive.header")?;
            if file.has_caption() {
                return Err(Fault::invalid("interactive.header: a header has no caption"));
            }
            file.into_message(&kind, message)?;
            message.text = body;
            Ok(())
        }
        _ => Err(Fault::invalid("interactive.header")),
    }
}
