//! What a message holds, checked as Telegram checks it and written as Telegram writes it.

use super::params::Params;
use super::{Failure, Sandbox};
use crate::kit::http::Field;
use crate::telegram::plan::{BUTTONS_MAX, CAPTION, PAYLOAD_MAX_BYTES, TEXT, VCARD_MAX_BYTES};
use bytes::Bytes;
use serde_json::{Value, json};
use url::Url;

/// A button on a phone.
pub struct Button {
    pub title: String,
    /// What comes back; `None`: it opens a link, or is a line of a reply keyboard.
    pub payload: Option<String>,
    /// A line of a reply keyboard: pressing it writes its title.
    pub writes: bool,
}

/// The content of a text.
pub fn text(params: &Params) -> Result<Value, Failure> {
    let text = params.str("text").unwrap_or_default();
    if text.trim().is_empty() {
        return Err(Failure::bad("message text is empty"));
    }
    if !TEXT.fits(&text) {
        return Err(Failure::bad("message is too long"));
    }
    check_parse_mode(params)?;
    let mut content = json!({"text": text});
    with_entities(&mut content, params, "entities")?;
    Ok(content)
}

/// The content of a place.
pub fn location(params: &Params) -> Result<Value, Failure> {
    let part = |name: &str, max: f64| {
        let value = params.float(name).filter(|v| v.abs() <= max);
        value.ok_or_else(|| Failure::bad(format!("{name} is invalid")))
    };
    let (latitude, longitude) = (part("latitude", 90.0)?, part("longitude", 180.0)?);
    Ok(json!({"location": {"latitude": latitude, "longitude": longitude}}))
}

/// The content of a place with a name.
pub fn venue(params: &Params) -> Result<Value, Failure> {
    let mut content = location(params)?;
    let need = |name: &str| {
        let text = params.str(name).filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| Failure::bad(format!("venue {name} is empty")))
    };
    let (title, address) = (need("title")?, need("address")?);
    let place = content.get("location").cloned();
    let venue = json!({"location": place, "title": title, "address": address});
    insert(&mut content, "venue", venue);
    Ok(content)
}

/// The content of a card.
pub fn contact(params: &Params) -> Result<Value, Failure> {
    let need = |name: &str| {
        let text = params.str(name).filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| Failure::bad(format!("contact {name} is empty")))
    };
    let mut card = json!({
        "phone_number": need("phone_number")?, "first_name": need("first_name")?,
    });
    for name in ["last_name", "vcard"] {
        if let Some(value) = params.str(name) {
            if name == "vcard" && value.len() > VCARD_MAX_BYTES {
                return Err(Failure::bad("contact vCard is too long"));
            }
            insert(&mut card, name, json!(value));
        }
    }
    Ok(json!({"contact": card}))
}

/// The caption beside a file.
pub fn caption(content: &mut Value, params: &Params) -> Result<(), Failure> {
    let Some(caption) = params.str("caption") else {
        return Ok(());
    };
    if !CAPTION.fits(&caption) {
        return Err(Failure::bad("message caption is too long"));
    }
    check_parse_mode(params)?;
    insert(content, "caption", json!(caption));
    with_entities(content, params, "caption_entities")
}

/// Parse modes are known, not applied: the text is shown as it was sent.
fn check_parse_mode(params: &Params) -> Result<(), Failure> {
    match params.str("parse_mode").map(|mode| mode.to_ascii_lowercase()) {
        None => Ok(()),
        Some(mode) if ["html", "markdown", "markdownv2"].contains(&mode.as_str()) => Ok(()),
        Some(_) => Err(Failure::bad("unsupported parse_mode")),
    }
}

fn with_entities(content: &mut Value, params: &Params, name: &str) -> Result<(), Failure> {
    if let Some(entities) = params.nested(name)? {
        if !entities.is_array() {
            return Err(Failure::bad("expected an Array of MessageEntity"));
        }
        insert(content, name, entities);
    }
    Ok(())
}

/// The buttons of a send. The markup, if it is one that stays with the message.
pub fn markup(params: &Params) -> Result<Option<Value>, Failure> {
    let Some(markup) = params.nested("reply_markup")? else {
        return Ok(None);
    };
    let known = ["inline_keyboard", "keyboard", "remove_keyboard", "force_reply"];
    let Some(name) = known.iter().find(|name| markup.get(**name).is_some()) else {
        return match markup.as_object() {
            Some(fields) if fields.is_empty() => Ok(None),
            _ => Err(Failure::bad("object expected as reply markup")),
        };
    };
    let Some(rows) = markup.get(*name).filter(|_| name.ends_with("keyboard")) else {
        return Ok(None);
    };
    if *name == "remove_keyboard" {
        return Ok(None);
    }
    let rows = rows.as_array().ok_or_else(|| {
        Failure::bad(format!("field \"{name}\" of the reply markup must be an Array of Arrays"))
    })?;
    let mut count = 0;
    for row in rows {
        let row = row
            .as_array()
            .ok_or_else(|| Failure::bad("can't parse keyboard: Array of Arrays expected"))?;
        for button in row {
            count += 1;
            check_button(button, *name == "inline_keyboard")?;
        }
    }
    if count > BUTTONS_MAX {
        return Err(Failure::bad("reply markup is too long"));
    }
    Ok((count > 0).then_some(markup))
}

fn check_button(button: &Value, inline: bool) -> Result<(), Failure> {
    if !inline && button.is_string() {
        return Ok(());
    }
    let text = button.get("text").and_then(Value::as_str).unwrap_or_default();
    if text.trim().is_empty() {
        return Err(Failure::bad("can't parse keyboard button: text must be non-empty"));
    }
    if !inline {
        return Ok(());
    }
    let actions = [
        "callback_data",
        "url",
        "web_app",
        "login_url",
        "switch_inline_query",
        "switch_inline_query_current_chat",
        "switch_inline_query_chosen_chat",
        "copy_text",
        "callback_game",
        "pay",
    ];
    let set: Vec<&str> = actions
        .into_iter()
        .filter(|name| button.get(*name).is_some_and(|v| !v.is_null()))
        .collect();
    let [action] = set.as_slice() else {
        return Err(Failure::bad(
            "can't parse inline keyboard button: exactly one action must be set",
        ));
    };
    let value = button.get(*action).and_then(Value::as_str);
    match *action {
        "callback_data" => match value.map(str::len) {
            Some(1..=PAYLOAD_MAX_BYTES) => Ok(()),
            _ => Err(Failure::bad("BUTTON_DATA_INVALID")),
        },
        "url" => {
            let url = value.unwrap_or_default();
            let fits = Url::parse(url).is_ok_and(|url| match url.scheme() {
                "tg" => true,
                "http" | "https" => url.host_str().is_some_and(|host| host.contains('.')),
                _ => false,
            });
            let words = format!("inline keyboard button URL '{url}' is invalid: Wrong HTTP URL");
            if fits { Ok(()) } else { Err(Failure::bad(words)) }
        }
        _ => Ok(()),
    }
}

/// The buttons on a message.
pub fn buttons(message: &Value) -> Vec<Button> {
    let Some(markup) = message.get("reply_markup") else {
        return Vec::new();
    };
    let inline = markup.get("inline_keyboard").and_then(Value::as_array);
    let keyboard = markup.get("keyboard").and_then(Value::as_array);
    let rows = inline.or(keyboard).into_iter().flatten();
    rows.filter_map(Value::as_array)
        .flatten()
        .map(|button| {
            let text = |name: &str| button.get(name).and_then(Value::as_str).map(str::to_owned);
            let title = text("text").or_else(|| button.as_str().map(str::to_owned));
            Button {
                title: title.unwrap_or_default(),
                payload: text("callback_data"),
                writes: inline.is_none(),
            }
        })
        .collect()
}

/// Files, places and cards of a message in words.
pub fn in_words(message: &Value) -> Vec<String> {
    let file = |kind: &str| {
        let file = message.get(kind)?;
        let file = file.as_array().map_or(Some(file), |sizes| sizes.last())?;
        let name = ["file_name", "emoji", "file_id"];
        let name = name.iter().find_map(|n| file.get(*n)?.as_str());
        Some(format!("{kind}: {}", name.unwrap_or_default()))
    };
    let mut words: Vec<String> = FILE_KINDS
        .iter()
        .filter(|kind| **kind != "document" || message.get("animation").is_none())
        .filter_map(|kind| file(kind))
        .collect();
    let text = |value: &Value, name: &str| {
        let value = value.get(name);
        value.map_or_else(String::new, |value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    if let Some(location) = message.get("location") {
        let venue = message.get("venue");
        let title = venue.map(|v| format!(" {}, {}", text(v, "title"), text(v, "address")));
        words.push(format!(
            "location: {}, {}{}",
            text(location, "latitude"),
            text(location, "longitude"),
            title.unwrap_or_default()
        ));
    }
    if let Some(contact) = message.get("contact") {
        let (name, number) = (text(contact, "first_name"), text(contact, "phone_number"));
        words.push(format!("contact: {name}, {number}"));
    }
    words
}

/// The kinds of file that a message can hold, as parameters and as fields of a message.
pub const FILE_KINDS: &[&str] = &[
    "photo", "video", "animation", "audio", "voice", "video_note", "sticker", "document",
];

impl Sandbox {
    /// The content of a file parameter: an upload, a file that is known, or a link.
    pub fn file_content(
        &mut self,
        kind: &str,
        given: Option<&str>,
        upload: Option<&Field>,
        params: &Params,
    ) -> Result<Value, Failure> {
        let attached = given.and_then(|given| given.strip_prefix("attach://"));
        let upload = match attached {
            Some(name) => Some(params.file(name).ok_or_else(|| {
                Failure::bad("wrong file identifier/HTTP URL specified")
            })?),
            None => upload,
        };
        let file = match (upload, given) {
            (Some(upload), _) => {
                if upload.bytes.is_empty() {
                    return Err(Failure::bad("file must be non-empty"));
                }
                self.uploaded(kind, upload)
            }
            (None, Some(given)) => match self.known(kind, given)? {
                Some(file) => file,
                None => self.linked(kind, given)?,
            },
            (None, None) => {
                return Err(Failure::bad(format!("there is no {kind} in the request")));
            }
        };
        Ok(shaped(kind, file))
    }

    fn uploaded(&mut self, kind: &str, upload: &Field) -> Value {
        let mime = upload.mime.as_deref().unwrap_or("application/octet-stream");
        self.keep_file(kind, upload.file_name.as_deref(), mime, upload.bytes.clone())
    }

    /// A file sent before, by its id. `None`: no such id.
    fn known(&self, kind: &str, id: &str) -> Result<Option<Value>, Failure> {
        let Some(file) = self.files.iter().find(|file| file.id == id) else {
            return Ok(None);
        };
        if file.kind != kind {
            let words = format!("can't use file of type {} as {kind}", file.kind);
            return Err(Failure::bad(words));
        }
        Ok(Some(json!({
            "file_id": file.id, "file_unique_id": file.unique_id, "file_size": file.bytes.len(),
        })))
    }

    /// A file behind a link, not fetched: the link itself is what is kept of it.
    fn linked(&mut self, kind: &str, link: &str) -> Result<Value, Failure> {
        let wrong = || Failure::bad("wrong file identifier/HTTP URL specified");
        let url = Url::parse(link).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(wrong)?;
        let host = url.host_str().ok_or_else(wrong)?;
        if kind == "video_note" {
            // Bot API, `sendVideoNote`: sending by a link is not supported.
            return Err(Failure::bad("wrong type of the web page content"));
        }
        if host.ends_with(".invalid") {
            return Err(Failure::bad("failed to get HTTP URL content"));
        }
        let name = url.path_segments().and_then(|mut segments| segments.next_back());
        let name = name.filter(|name| !name.is_empty()).unwrap_or("file").to_owned();
        let mime = mime_guess::from_path(&name).first_or_octet_stream();
        let bytes = Bytes::from(link.to_owned());
        Ok(self.keep_file(kind, Some(&name), mime.essence_str(), bytes))
    }
}

/// A file with what its kind has beside: sizes and durations, which nobody measured.
pub fn shaped(kind: &str, mut file: Value) -> Value {
    let mut set = |name: &str, value: Value| insert(&mut file, name, value);
    match kind {
        "photo" => {
            set("width", json!(1280));
            set("height", json!(960));
            return json!({"photo": [file]});
        }
        "video" | "animation" => {
            set("width", json!(640));
            set("height", json!(480));
            set("duration", json!(1));
        }
        "audio" | "voice" => set("duration", json!(1)),
        "video_note" => {
            set("length", json!(384));
            set("duration", json!(1));
        }
        "sticker" => {
            set("width", json!(512));
            set("height", json!(512));
            set("is_animated", json!(false));
            set("is_video", json!(false));
            set("type", json!("regular"));
        }
        _ => {}
    }
    let mut content = json!({});
    if kind == "animation" {
        // Telegram sets both.
        insert(&mut content, "document", file.clone());
    }
    insert(&mut content, kind, file);
    content
}

/// Sets a field of an object.
pub fn insert(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.into(), value);
    }
}
