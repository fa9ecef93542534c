//! What a message holds, checked as Meta checks it.

use super::Fault;
use crate::messenger::plan::{
    BUTTONS_MAX, PAYLOAD, Platform, QUICK_REPLIES_MAX, TITLE, button_text_limit, is_web, text_limit,
};
use crate::model::{TextLimit, Unit};
use serde_json::{Map, Value};
use url::Url;

/// What `message.metadata` may have. Not documented for certain.
const METADATA: TextLimit = chars(1000);
/// Title and subtitle of a card ("Generic template", read November 2026).
const CARD_TITLE: TextLimit = chars(80);
/// Cards of one message ("Generic template").
const CARDS_MAX: usize = 10;

/// The templates that the page has: name, language, parameters of header and body.
const TEMPLATES: &[(&str, &str, usize, usize)] = &[
    ("order_update", "en", 1, 2),
    ("order_update", "sv", 1, 2),
    ("hello", "en", 0, 0),
];

const fn chars(max: usize) -> TextLimit {
    TextLimit {
        max,
        unit: Unit::Chars,
    }
}

/// A button on a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    pub title: String,
    /// What comes back; `None`: it opens a link or calls a number.
    pub payload: Option<String>,
    /// Whether it is a quick reply, which is answered with a message.
    pub quick: bool,
}

/// A message that Meta takes.
#[derive(Debug, Default)]
pub struct Accepted {
    pub text: String,
    /// Attachments in words.
    pub extras: Vec<String>,
    pub buttons: Vec<Button>,
    pub metadata: Option<String>,
    /// As the echo shows it.
    pub attachment: Option<Value>,
}

type Object = Map<String, Value>;

/// Refuses fields that are not known.
pub fn known(object: &Object, parameter: &str, fields: &[&str]) -> Result<(), Fault> {
    match object.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(key) => Err(Fault::parameter(format!(
            "Invalid keys \"{key}\" were found in param \"{parameter}\""
        ))),
        None => Ok(()),
    }
}

/// A field that must be an object.
pub fn object<'a>(parent: &'a Object, name: &str) -> Result<Option<&'a Object>, Fault> {
    match parent.get(name) {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Fault::parameter(format!("Param {name} must be an object"))),
    }
}

/// A field that must be a string, within a limit.
pub fn string<'a>(
    parent: &'a Object,
    name: &str,
    limit: TextLimit,
) -> Result<Option<&'a str>, Fault> {
    match parent.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if limit.fits(text) => Ok(Some(text)),
        Some(Value::String(_)) => Err(Fault::parameter(format!(
            "Length of param {name} must be less than or equal to {}",
            limit.max
        ))),
        Some(_) => Err(Fault::parameter(format!("Param {name} must be a string"))),
    }
}

fn required<'a>(parent: &'a Object, name: &str, limit: TextLimit) -> Result<&'a str, Fault> {
    let text = string(parent, name, limit)?.filter(|text| !text.trim().is_empty());
    text.ok_or_else(|| Fault::parameter(format!("param {name} must be non-empty")))
}

fn list<'a>(parent: &'a Object, name: &str, max: usize) -> Result<Vec<&'a Object>, Fault> {
    let items = match parent.get(name) {
        Some(Value::Array(items)) if (1..=max).contains(&items.len()) => items,
        _ => {
            let words = format!("param {name} must have 1 to {max} elements");
            return Err(Fault::parameter(words));
        }
    };
    let item = |item: &'a Value| {
        let words = || Fault::parameter(format!("elements of {name} must be objects"));
        item.as_object().ok_or_else(words)
    };
    items.iter().map(item).collect()
}

/// Checks a message.
pub fn message(message: &Object, platform: Platform, utility: bool) -> Result<Accepted, Fault> {
    let fields: &[&str] = match platform {
        Platform::Messenger => &[
            "text",
            "attachment",
            "quick_replies",
            "metadata",
            "template",
        ],
        Platform::Instagram => &["text", "attachment", "quick_replies"],
    };
    known(message, "message", fields)?;
    let mut accepted = Accepted {
        metadata: string(message, "metadata", METADATA)?.map(str::to_owned),
        ..Accepted::default()
    };
    let text = string(message, "text", text_limit(platform))?;
    let attachment = object(message, "attachment")?;
    let template = object(message, "template")?;
    if utility != template.is_some() {
        return Err(Fault::parameter(
            "UTILITY messages are those with a template",
        ));
    }
    match (text, attachment, template) {
        (Some(text), None, None) if !text.trim().is_empty() => accepted.text = text.to_owned(),
        (None, Some(attachment), None) => {
            attach(&mut accepted, attachment, platform)?;
            accepted.attachment = message.get("attachment").cloned();
        }
        (None, None, Some(template)) => named(&mut accepted, template)?,
        (Some(_), Some(_), _) | (_, Some(_), Some(_)) | (Some(_), _, Some(_)) => {
            return Err(Fault::parameter(
                "A message has a text, an attachment or a template",
            ));
        }
        _ => {
            return Err(Fault::new(
                100,
                Some(2_018_015),
                "The message cannot be empty",
            ));
        }
    }
    if message.contains_key("quick_replies") {
        if template.is_some() || (platform == Platform::Instagram && text.is_none()) {
            return Err(Fault::parameter(
                "quick_replies cannot go with this message",
            ));
        }
        for reply in list(message, "quick_replies", QUICK_REPLIES_MAX)? {
            accepted.buttons.push(quick_reply(reply)?);
        }
    }
    Ok(accepted)
}

fn quick_reply(reply: &Object) -> Result<Button, Fault> {
    known(
        reply,
        "quick_replies",
        &["content_type", "title", "payload", "image_url"],
    )?;
    match reply.get("content_type").and_then(Value::as_str) {
        Some("text") => Ok(Button {
            title: required(reply, "title", TITLE)?.to_owned(),
            payload: Some(required(reply, "payload", PAYLOAD)?.to_owned()),
            quick: true,
        }),
        Some(kind @ ("user_phone_number" | "user_email")) => Ok(Button {
            title: kind.to_owned(),
            payload: Some(kind.to_owned()),
            quick: true,
        }),
        _ => Err(Fault::parameter("quick_replies need a known content_type")),
    }
}

fn attach(accepted: &mut Accepted, attachment: &Object, platform: Platform) -> Result<(), Fault> {
    known(attachment, "attachment", &["type", "payload"])?;
    let kind = required(attachment, "type", PAYLOAD)?;
    if (kind, platform) == ("like_heart", Platform::Instagram) {
        accepted.text = "❤".to_owned();
        return Ok(());
    }
    let payload = object(attachment, "payload")?
        .ok_or_else(|| Fault::new(100, Some(2_018_040), "The payload cannot be empty"))?;
    match kind {
        "image" | "video" | "audio" | "file" => {
            known(payload, "payload", &["url", "is_reusable"])?;
            if payload
                .get("is_reusable")
                .is_some_and(|value| !value.is_boolean())
            {
                return Err(Fault::parameter("Param is_reusable must be a boolean"));
            }
            let url = fetched(required(payload, "url", chars(8192))?)?;
            let pdf = url.path().to_lowercase().ends_with(".pdf");
            if kind == "file" && platform == Platform::Instagram && !pdf {
                let words = "The type of the attachment does not match the file";
                return Err(Fault::new(100, Some(2_018_047), words));
            }
            accepted.extras.push(format!("{kind}: {url}"));
            Ok(())
        }
        "template" => template(accepted, payload, platform),
        _ => Err(Fault::parameter(format!(
            "there is no attachment of type {kind}"
        ))),
    }
}

/// A link, fetched as far as that is done here.
fn fetched(link: &str) -> Result<Url, Fault> {
    let not_fetched = || {
        Fault::new(
            100,
            Some(2_018_008),
            "Failed to fetch the file from the url",
        )
    };
    let url = Url::parse(link).or(Err(not_fetched()))?;
    let host = url.host_str().unwrap_or_default();
    if is_web(link) && !host.ends_with(".invalid") {
        Ok(url)
    } else {
        Err(not_fetched())
    }
}

fn template(accepted: &mut Accepted, payload: &Object, platform: Platform) -> Result<(), Fault> {
    match payload.get("template_type").and_then(Value::as_str) {
        Some("button") => {
            known(payload, "payload", &["template_type", "text", "buttons"])?;
            accepted.text = required(payload, "text", button_text_limit(platform))?.to_owned();
            for button in list(payload, "buttons", BUTTONS_MAX)? {
                accepted.buttons.push(self::button(button)?);
            }
        }
        Some("generic") => {
            known(payload, "payload", &["template_type", "elements"])?;
            for card in list(payload, "elements", CARDS_MAX)? {
                let fields = [
                    "title",
                    "subtitle",
                    "image_url",
                    "default_action",
                    "buttons",
                ];
                known(card, "elements", &fields)?;
                let title = required(card, "title", CARD_TITLE)?;
                let subtitle = string(card, "subtitle", CARD_TITLE)?.unwrap_or_default();
                accepted
                    .extras
                    .push(format!("card: {title} {subtitle}").trim().to_owned());
                if card.contains_key("buttons") {
                    for button in list(card, "buttons", BUTTONS_MAX)? {
                        accepted.buttons.push(self::button(button)?);
                    }
                }
            }
        }
        _ => return Err(Fault::parameter("there is no such template_type")),
    }
    Ok(())
}

fn button(button: &Object) -> Result<Button, Fault> {
    known(button, "buttons", &["type", "title", "payload", "url"])?;
    let title = required(button, "title", TITLE).or(Err(Fault::new(
        100,
        Some(2_018_053),
        "A button needs a title",
    )))?;
    let payload = match button.get("type").and_then(Value::as_str) {
        Some("postback") => Some(required(button, "payload", PAYLOAD)?.to_owned()),
        Some("phone_number") => {
            required(button, "payload", PAYLOAD)?;
            None
        }
        Some("web_url") => {
            let url = string(button, "url", chars(8192))?.unwrap_or_default();
            if !is_web(url) {
                return Err(Fault::new(
                    100,
                    Some(2_018_041),
                    "A button needs a valid url",
                ));
            }
            None
        }
        _ => return Err(Fault::parameter("there is no such type of button")),
    };
    Ok(Button {
        title: title.to_owned(),
        payload,
        quick: false,
    })
}

/// A utility template, by its name and language.
fn named(accepted: &mut Accepted, template: &Object) -> Result<(), Fault> {
    known(template, "template", &["name", "language", "components"])?;
    let name = required(template, "name", chars(512))?;
    let language = object(template, "language")?.and_then(|language| language.get("code"));
    let language = language.and_then(Value::as_str).unwrap_or_default();
    let known_as = |(n, l, ..): &&(&str, &str, usize, usize)| (*n, *l) == (name, language);
    let Some((.., header, body)) = TEMPLATES.iter().find(known_as) else {
        return Err(Fault::parameter(format!(
            "there is no template {name} in {language}"
        )));
    };
    let mut counts = (0, 0);
    let mut words = vec![format!("[{name}]")];
    if template.contains_key("components") {
        for component in list(template, "components", 3)? {
            known(component, "components", &["type", "parameters"])?;
            let kind = required(component, "type", chars(20))?;
            let parameters = list(component, "parameters", 20)?;
            match kind {
                "header" => counts.0 = parameters.len(),
                "body" => counts.1 = parameters.len(),
                "buttons" => continue,
                _ => return Err(Fault::parameter(format!("there is no component {kind}"))),
            }
            for parameter in parameters {
                known(parameter, "parameters", &["type", "text", "parameter_name"])?;
                words.push(required(parameter, "text", chars(1024))?.to_owned());
            }
        }
    }
    if counts != (*header, *body) {
        let words = "the number of parameters does not match the template";
        return Err(Fault::parameter(words));
    }
    accepted.text = words.join(" ");
    Ok(())
}
