//! What a send carries and the options that every send has, read from the arguments; and how a stored
//! message shows them.

use super::args::{Args, DateOnly, Links};
use super::dispatch::Api;
use super::error::ApiError;
use crate::store::now;
use crate::store::rows::{BOT, StoredAttachment};
use crate::store::sends::Idempotency;
use serde_json::{Value, json};
use std::time::Duration;
use switchboard_channels::model::{
    Author, Choice, ContactCard, Location, MailHead, MessageId, Millis, OutgoingAttachment,
    Template, UserId,
};

/// The longest idempotency key: a UUID is 36 characters, a hash 128.
const KEY_MAX_CHARS: usize = 255;

/// What a send carries, whichever function was called.
#[derive(Debug, Clone)]
pub struct Content {
    /// The text.
    pub text: String,
    /// Attachments.
    pub attachments: Vec<OutgoingAttachment>,
    /// A place.
    pub location: Option<Location>,
    /// Contact cards.
    pub contacts: Vec<ContactCard>,
    /// Choices.
    pub choices: Vec<Choice>,
    /// An approved template.
    pub template: Option<Template>,
    /// In whose name it goes out, where that is not ours.
    pub in_name_of: Option<Author>,
    /// Structured rest that is kept with the message.
    pub payload: String,
    /// What a mail has beside its content.
    pub mail: MailHead,
    /// Who writes it.
    pub author: UserId,
}

/// The options that every send has.
#[derive(Debug, Clone)]
pub struct Options {
    /// The message that is answered.
    pub reply_to: Option<MessageId>,
    /// Not before this.
    pub send_at: Option<Millis>,
    /// Worthless so long after acceptance, or after `send_at`.
    pub expires_in_ms: Option<i64>,
    /// Lets others pass.
    pub bulk: bool,
    /// How long the caller waits for the outcome.
    pub wait: Duration,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// Deliver this stored message.
    pub stored: Option<MessageId>,
}

impl Options {
    /// Reads them; the header's key counts where the arguments have none.
    ///
    /// # Errors
    /// `invalid-argument`, naming the argument.
    pub fn read(api: &Api, args: &Args, header_key: Option<&str>) -> Result<Self, ApiError> {
        let wait = args.opt_u64("wait", 0..=super::names::MAX_WAIT_SECONDS)?;
        let expires = args.opt_u64("expires_in", 1..=super::names::MAX_EXPIRES_IN_SECONDS)?;
        let key = match args.opt_text("idempotency_key")? {
            Some(key) => Some(key),
            None => header_key.map(str::to_owned),
        };
        let key = key.map(|k| k.trim().to_owned()).filter(|k| !k.is_empty());
        if key
            .as_ref()
            .is_some_and(|k| k.chars().count() > KEY_MAX_CHARS)
        {
            let text = format!("`idempotency_key`: expected at most {KEY_MAX_CHARS} characters");
            return Err(ApiError::invalid(text));
        }
        let priority = args.opt_str("priority")?;
        let bulk = match priority.as_deref() {
            None | Some("normal") => false,
            Some("bulk") => true,
            Some(other) => {
                let text = format!("`priority`: found {other:?}; expected normal or bulk");
                return Err(ApiError::invalid(text));
            }
        };
        let stored = match args.opt_id("message_id")? {
            Some(id) => Some(id),
            None => args.opt_id("metadata")?,
        };
        Ok(Self {
            reply_to: args.opt_id("reply_to")?.map(MessageId),
            send_at: args.opt_time("send_at", DateOnly::Refused)?,
            expires_in_ms: expires
                .and_then(|s| i64::try_from(s).ok())
                .map(|s| s * 1000),
            bulk,
            wait: wait.map_or(api.gateway.limits.default_wait, Duration::from_secs),
            key,
            stored: stored.map(MessageId),
        })
    }

    /// The key as the store keeps it, when there is one.
    pub fn idempotency(&self, function: &str, args: &Args) -> Option<Idempotency> {
        self.key.clone().map(|key| Idempotency {
            key,
            arguments: args.fingerprint(function),
        })
    }
}

/// Reads what every function calls the same.
pub fn content(args: &Args, links: Links) -> Result<Content, ApiError> {
    let location = match args.opt_json("location")? {
        None | Some(Value::Null) => None,
        Some(value) => Some(place(value)?),
    };
    let contacts = args
        .array("contacts")?
        .into_iter()
        .map(card)
        .collect::<Result<_, _>>()?;
    Ok(Content {
        text: args.opt_text("message")?.unwrap_or_default(),
        attachments: args.attachments("attachments", links)?,
        location,
        contacts,
        choices: args.quick_replies("quick_replies")?,
        template: None,
        in_name_of: None,
        payload: String::new(),
        mail: MailHead::default(),
        author: BOT,
    })
}

fn place(value: Value) -> Result<Location, ApiError> {
    // A form has only text, so numbers may come as such.
    let number = |name: &str| match value.get(name) {
        Some(Value::Number(n)) => n.as_f64(),
        Some(Value::String(s)) => s.trim().parse().ok(),
        _ => None,
    };
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let (latitude, longitude) = (number("latitude"), number("longitude"));
    latitude
        .zip(longitude)
        .map(|(latitude, longitude)| Location {
            latitude,
            longitude,
            name: text("name"),
            address: text("address"),
        })
        .filter(Location::is_valid)
        .ok_or_else(|| {
            ApiError::invalid(
                "`location`: expected {\"latitude\": -90 to 90, \"longitude\": -180 to 180}",
            )
        })
}

fn card(value: Value) -> Result<ContactCard, ApiError> {
    let wrong = || ApiError::invalid("`contacts`: expected [{\"name\": …, \"phones\": […]}, …]");
    let card: ContactCard = serde_json::from_value(value).map_err(|_shape| wrong())?;
    if card.name.trim().is_empty() {
        Err(wrong())
    } else {
        Ok(card)
    }
}

/// A template is shown by its name; it has no text of ours.
pub fn shown_text(content: &Content) -> String {
    match &content.template {
        Some(template) => {
            let texts: Vec<&str> = template.body.iter().map(|t| t.text.as_str()).collect();
            format!("[{}] {}", template.name, texts.join(", "))
                .trim()
                .to_owned()
        }
        None => content.text.clone(),
    }
}

/// Attachments as they are shown.
pub fn stored_attachments(attachments: &[OutgoingAttachment]) -> Vec<StoredAttachment> {
    attachments
        .iter()
        .map(|a| StoredAttachment {
            name: a.name.clone(),
            link: a.url.clone(),
            media_key: None,
            kind: a.kind,
            mime: Some(a.mime.clone()),
            size_bytes: None,
        })
        .collect()
}

/// The structured rest, as the message keeps it.
pub fn payload(content: &Content) -> String {
    let mut object = serde_json::Map::new();
    if !content.choices.is_empty() {
        object.insert("quick_replies".to_owned(), json!(content.choices));
    }
    if let Some(location) = &content.location {
        object.insert("location".to_owned(), json!(location));
    }
    if !content.contacts.is_empty() {
        object.insert("contacts".to_owned(), json!(content.contacts));
    }
    if let Some(template) = &content.template {
        object.insert("template".to_owned(), json!(template));
    }
    if object.is_empty() {
        content.payload.clone()
    } else {
        Value::Object(object).to_string()
    }
}

/// When a message is too old: its own time, or the gateway's, counted from acceptance or `send_at`.
pub fn deadline(api: &Api, options: &Options) -> Millis {
    let from = options.send_at.unwrap_or_else(now).max(now());
    let max_age = i64::try_from(api.gateway.limits.max_age.as_millis()).unwrap_or(i64::MAX);
    from.plus(
        options
            .expires_in_ms
            .map_or(max_age, |expires| expires.min(max_age)),
    )
}
