//! Parts into requests: one method of the Web API each.

use super::config::{API_BASE, Settings};
use super::parse::text::escaped;
use super::wire::{Address, parse_message};
use crate::kit::http::{Auth, Body, Request};
use crate::kit::settings::Common;
use crate::model::{Choice, Part, PartBody};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// What the metadata of our messages is called; its payload holds the part's key.
pub const METADATA_TYPE: &str = "gateway_message";

/// The most characters of a section's text (Block Kit reference, `section.text`).
const SECTION_MAX: usize = 3000;

/// What our buttons are called; the number makes them differ, as Slack demands.
const ACTION_PREFIX: &str = "gw:opt:";

/// The account as requests need it.
#[derive(Debug)]
pub struct Api {
    /// Root of the API, without a slash at the end.
    pub base: String,
    /// The keys.
    pub settings: Settings,
}

impl Api {
    /// The account of these settings.
    pub fn new(common: &Common, settings: Settings) -> Self {
        Self {
            base: common.api_base(API_BASE),
            settings,
        }
    }

    /// A request with the token.
    pub fn authorised(&self, request: Request) -> Request {
        request.with_auth(Auth::Bearer(self.settings.bot_token.clone()))
    }

    /// A call with JSON.
    pub fn call(&self, method: &str, fields: &Value) -> Request {
        let url = format!("{}/{method}", self.base);
        self.authorised(Request::post_json(url, fields.to_string()))
    }

    /// A call with a form: methods that read take no JSON.
    pub fn form(&self, method: &str, fields: &[(&str, String)]) -> Request {
        let url = format!("{}/{method}", self.base);
        let pairs = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        self.authorised(Request::post_form(url, pairs.collect()))
    }

    /// The bytes of a file to where Slack wants them. No token: the link is the right to upload.
    pub fn upload(&self, link: &str, bytes: Bytes) -> Request {
        let mut request = Request::post_json(link, String::new())
            .with_header("content-type", "application/octet-stream")
            .with_redacted_url(link.split('?').next().unwrap_or(link))
            .with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
        request.body = Body::Raw(bytes);
        request
    }

    /// Posts uploaded files as one message.
    pub fn complete(&self, part: &Part, place: &str, files: &[(String, String)], words: &str) -> Request {
        let file = |(id, title): &(String, String)| json!({"id": id, "title": title});
        let files: Vec<Value> = files.iter().map(file).collect();
        let mut fields = json!({"files": files, "channel_id": place});
        if let Some(fields) = fields.as_object_mut() {
            set_thread(fields, part);
            if !words.is_empty() {
                fields.insert("initial_comment".into(), json!(words));
            }
        }
        self.call("files.completeUploadExternal", &fields)
    }
}

/// Posts a text.
pub fn post(api: &Api, part: &Part, place: &str, text: &str) -> Request {
    let shown = escaped(text);
    let mut fields = Map::new();
    fields.insert("channel".into(), json!(place));
    if !part.choices.is_empty() {
        fields.insert("blocks".into(), blocks(text, &part.choices));
    }
    fields.insert("text".into(), json!(shown));
    set_thread(&mut fields, part);
    // Nothing in a customer's words calls a channel together or unfolds a page.
    fields.insert("parse".into(), json!("none"));
    fields.insert("unfurl_links".into(), json!(false));
    fields.insert("unfurl_media".into(), json!(false));
    let payload = json!({"id": part.idempotency_key()});
    let metadata = json!({"event_type": METADATA_TYPE, "event_payload": payload});
    fields.insert("metadata".into(), metadata);
    if let Some(author) = &part.author {
        fields.insert("username".into(), json!(author.name));
        if let Some(image) = &author.image {
            fields.insert("icon_url".into(), json!(image));
        }
    }
    api.call("chat.postMessage", &Value::Object(fields))
}

/// The text of a part that goes as text.
pub fn text_of(part: &Part) -> Option<String> {
    match &part.body {
        PartBody::Text { text } => Some(text.clone()),
        // Planned by another release, or never: still to be sent, in words.
        PartBody::Location { location } => Some(location.as_text()),
        PartBody::Contact { contact } => Some(contact.as_text()),
        PartBody::Template { template } => Some(template.name.clone()),
        PartBody::Media { .. } | PartBody::Album { .. } | PartBody::Bundle { .. } => None,
    }
}

/// The thread: that of the address, else the one that the answered message begins or is in.
fn set_thread(fields: &mut Map<String, Value>, part: &Part) {
    let of_address = Address::parse(&part.to).and_then(|address| address.thread);
    let answered = part.reply_to.as_deref().and_then(parse_message);
    let thread = of_address.or_else(|| answered.map(|(_, ts)| ts.to_owned()));
    if let Some(thread) = thread {
        fields.insert("thread_ts".into(), json!(thread));
    }
}

/// The text and the buttons under it.
fn blocks(text: &str, choices: &[Choice]) -> Value {
    let mut blocks: Vec<Value> = sections(text)
        .into_iter()
        .map(|text| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}))
        .collect();
    let button = |(i, choice): (usize, &Choice)| {
        let text = json!({"type": "plain_text", "text": choice.title, "emoji": true});
        let id = format!("{ACTION_PREFIX}{i}");
        match &choice.url {
            Some(url) => json!({"type": "button", "action_id": id, "text": text, "url": url}),
            None => {
                json!({"type": "button", "action_id": id, "text": text, "value": choice.payload})
            }
        }
    };
    let buttons: Vec<Value> = choices.iter().enumerate().map(button).collect();
    blocks.push(json!({"type": "actions", "elements": buttons}));
    Value::Array(blocks)
}

/// The text as sections, each within its limit once it is escaped.
fn sections(text: &str) -> Vec<String> {
    let mut sections = vec![String::new()];
    let mut room = SECTION_MAX;
    for c in text.chars() {
        let escaped = escaped(c.encode_utf8(&mut [0; 4]));
        // Escapes are ASCII, so that what was added counts its characters.
        let width = if escaped.len() == c.len_utf8() { 1 } else { escaped.len() };
        if width > room {
            sections.push(String::new());
            room = SECTION_MAX;
        }
        room -= width;
        if let Some(last) = sections.last_mut() {
            last.push_str(&escaped);
        }
    }
    // A section of blanks is refused, and shows nothing.
    sections.retain(|section| !section.trim().is_empty());
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_fit_escaped() {
        let text = format!("{}&&", "x".repeat(2994));
        let sections = sections(&text);
        assert_eq!(sections.len(), 2);
        assert!(sections.iter().all(|s| s.chars().count() <= SECTION_MAX));
        assert_eq!(sections.concat(), escaped(&text));
        assert_eq!(super::sections(&"<".repeat(3900)).len(), 6);
    }
}
