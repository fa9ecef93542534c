//! What is in a message: checked as Viber checks it, and shown as a phone shows it.

use super::Failure;
use crate::viber::render::REFUSED_EXTENSIONS;
use serde_json::{Map, Value};
use url::Url;

/// Fields that stand around every message. `from` and `chat_id` are what older libraries send.
const FRAME: [&str; 9] = [
    "receiver", "sender", "type", "tracking_data", "min_api_version", "keyboard", "alt_text",
    "from", "chat_id",
];

/// A button on a keyboard or a carousel.
pub struct Button {
    /// `reply`, `open-url`…
    pub action: String,
    /// What a press sends.
    pub body: String,
    /// What stands on it.
    pub title: String,
}

/// Checks a message.
pub fn check(fields: &Map<String, Value>) -> Result<(), Failure> {
    if let Some(keyboard) = fields.get("keyboard").filter(|k| !k.is_null()) {
        check_keyboard(keyboard, version(fields))?;
    }
    let kind = match fields.get("type") {
        // A keyboard may come alone.
        None if fields.get("keyboard").is_some() => return stray(fields, &[]),
        None => return Err(Failure::missing("type")),
        Some(kind) => kind.as_str().unwrap_or_default(),
    };
    match kind {
        "text" => {
            stray(fields, &["text"])?;
            length("text", text(fields, "text")?, 1, 7000)
        }
        "picture" => {
            stray(fields, &["text", "media", "thumbnail"])?;
            let caption = fields.get("text").ok_or_else(|| Failure::missing("text"))?;
            let caption = caption.as_str().ok_or_else(|| Failure::bad("text is no text"))?;
            length("text", caption, 0, 768)?;
            ends_in(fields, &["jpg", "jpeg", "png", "gif"])
        }
        "video" => {
            stray(fields, &["media", "size", "duration", "thumbnail", "text"])?;
            size(fields, 26 * 1024 * 1024)?;
            let duration = fields.get("duration").filter(|d| !d.is_null());
            if duration.is_some_and(|d| d.as_u64().is_none_or(|seconds| seconds > 180)) {
                return Err(Failure::bad("duration is not 0 to 180 seconds"));
            }
            ends_in(fields, &["mp4"])
        }
        "file" => {
            stray(fields, &["media", "size", "file_name"])?;
            size(fields, 50 * 1024 * 1024)?;
            let name = text(fields, "file_name")?;
            length("file_name", name, 1, 256)?;
            let extension = extension(name).ok_or_else(|| Failure::bad("file_name has no extension"))?;
            if REFUSED_EXTENSIONS.contains(&extension.as_str()) {
                return Err(Failure::bad(format!("files of type {extension} are not taken")));
            }
            ends_in(fields, &[&extension])
        }
        "location" => {
            stray(fields, &["location"])?;
            let place = fields.get("location").ok_or_else(|| Failure::missing("location"))?;
            let degrees = |name| place.get(name).and_then(Value::as_f64);
            match (degrees("lat"), degrees("lon")) {
                (Some(lat), Some(lon)) if lat.abs() <= 90.0 && lon.abs() <= 180.0 => Ok(()),
                (None, _) | (_, None) => Err(Failure::missing("location.lat or location.lon")),
                _ => Err(Failure::bad("location is not on the globe")),
            }
        }
        "contact" => {
            stray(fields, &["contact"])?;
            let card = fields.get("contact").and_then(Value::as_object);
            let card = card.ok_or_else(|| Failure::missing("contact"))?;
            length("contact.name", text(card, "name")?, 1, 28)?;
            length("contact.phone_number", text(card, "phone_number")?, 1, 18)
        }
        "sticker" => {
            stray(fields, &["sticker_id"])?;
            let id = fields.get("sticker_id").ok_or_else(|| Failure::missing("sticker_id"))?;
            id.as_u64().map(drop).ok_or_else(|| Failure::bad("sticker_id is no number"))
        }
        "url" => {
            stray(fields, &["media"])?;
            length("media", link(fields)?, 1, 2000)
        }
        "rich_media" => {
            stray(fields, &["rich_media"])?;
            if version(fields) < 2 {
                return Err(Failure::bad("rich_media needs min_api_version 2"));
            }
            let media = fields.get("rich_media").ok_or_else(|| Failure::missing("rich_media"))?;
            if media.get("Type").and_then(Value::as_str) != Some("rich_media") {
                return Err(Failure::bad("rich_media.Type is not rich_media"));
            }
            check_buttons(media, 7)
        }
        _ => Err(Failure::bad(format!("type {kind} is unknown"))),
    }
}

fn version(fields: &Map<String, Value>) -> u64 {
    fields.get("min_api_version").and_then(Value::as_u64).unwrap_or(1)
}

/// Refuses fields that neither every message nor this kind has.
fn stray(fields: &Map<String, Value>, own: &[&str]) -> Result<(), Failure> {
    let known = |name: &str| FRAME.contains(&name) || own.contains(&name);
    let stray = fields.keys().find(|name| !known(name));
    stray.map_or(Ok(()), |name| Err(Failure::bad(format!("unknown field {name}"))))
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, Failure> {
    match fields.get(name) {
        None | Some(Value::Null) => Err(Failure::missing(name)),
        Some(Value::String(text)) if text.trim().is_empty() => Err(Failure::missing(name)),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Failure::bad(format!("{name} is no text"))),
    }
}

/// Viber counts characters.
fn length(name: &str, text: &str, min: usize, max: usize) -> Result<(), Failure> {
    if (min..=max).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(Failure::bad(format!("{name} has not {min} to {max} characters")))
}

fn size(fields: &Map<String, Value>, max: u64) -> Result<(), Failure> {
    match fields.get("size") {
        None | Some(Value::Null) => Err(Failure::missing("size")),
        Some(size) => match size.as_u64() {
            Some(size) if size <= max => Ok(()),
            _ => Err(Failure::bad(format!("size is not 0 to {max} bytes"))),
        },
    }
}

/// The link of a message.
fn link(fields: &Map<String, Value>) -> Result<&str, Failure> {
    let media = text(fields, "media")?;
    let url = Url::parse(media).ok();
    match url {
        Some(url) if matches!(url.scheme(), "http" | "https") => Ok(media),
        _ => Err(Failure::bad("media is no link")),
    }
}

/// The last segment of the link's path must end like this.
fn ends_in(fields: &Map<String, Value>, extensions: &[&str]) -> Result<(), Failure> {
    let url = Url::parse(link(fields)?).ok();
    let found = url.and_then(|url| extension(url.path()));
    if found.is_some_and(|found| extensions.contains(&found.as_str())) {
        return Ok(());
    }
    Err(Failure::bad(format!("media does not end in {}", extensions.join(" or "))))
}

fn extension(name: &str) -> Option<String> {
    let name = name.rsplit('/').next()?;
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then(|| extension.to_ascii_lowercase())
}

/// Fields of a keyboard and of a button: PascalCase.
const KEYBOARD: [&str; 9] = [
    "Type", "Buttons", "DefaultHeight", "BgColor", "CustomDefaultHeight", "HeightScale",
    "ButtonsGroupColumns", "ButtonsGroupRows", "InputFieldState",
];
const BUTTON: [&str; 15] = [
    "Columns", "Rows", "ActionType", "ActionBody", "Text", "TextSize", "TextHAlign", "TextVAlign",
    "TextOpacity", "BgColor", "BgMedia", "BgMediaType", "Image", "OpenURLType", "Silent",
];

fn check_keyboard(keyboard: &Value, version: u64) -> Result<(), Failure> {
    if keyboard.get("Type").and_then(Value::as_str) != Some("keyboard") {
        return Err(Failure::bad("keyboard.Type is not keyboard"));
    }
    let needs = [("InputFieldState", 4), ("CustomDefaultHeight", 3), ("HeightScale", 3)];
    for (name, needed) in needs {
        if keyboard.get(name).is_some() && version < needed {
            return Err(Failure::bad(format!("{name} needs min_api_version {needed}")));
        }
    }
    check_buttons(keyboard, 2)
}

fn check_buttons(holder: &Value, rows_max: u64) -> Result<(), Failure> {
    let fields = holder.as_object().into_iter().flat_map(Map::keys);
    if let Some(name) = fields.into_iter().find(|n| !KEYBOARD.contains(&n.as_str())) {
        return Err(Failure::bad(format!("unknown field {name}")));
    }
    let buttons = holder.get("Buttons").and_then(Value::as_array);
    let buttons = buttons.ok_or_else(|| Failure::missing("Buttons"))?;
    if buttons.is_empty() {
        return Err(Failure::missing("Buttons"));
    }
    for button in buttons {
        let button = button.as_object().ok_or_else(|| Failure::bad("a button is no object"))?;
        if let Some(name) = button.keys().find(|n| !BUTTON.contains(&n.as_str())) {
            return Err(Failure::bad(format!("unknown field {name}")));
        }
        let within = |name: &str, max: u64| match button.get(name) {
            None => Ok(()),
            Some(n) if n.as_u64().is_some_and(|n| (1..=max).contains(&n)) => Ok(()),
            Some(_) => Err(Failure::bad(format!("{name} is not 1 to {max}"))),
        };
        within("Columns", 6)?;
        within("Rows", rows_max)?;
        let action = button.get("ActionType").and_then(Value::as_str).unwrap_or("reply");
        let known = ["reply", "open-url", "location-picker", "share-phone", "none"];
        if !known.contains(&action) {
            return Err(Failure::bad(format!("ActionType {action} is unknown")));
        }
        if action != "none" {
            text(button, "ActionBody")?;
        }
        if let Some(title) = button.get("Text") {
            let title = title.as_str().ok_or_else(|| Failure::bad("Text is no text"))?;
            length("Text", title, 0, 250)?;
        }
    }
    Ok(())
}

/// The buttons below a message, or on it.
pub fn buttons(message: &Value) -> Vec<Button> {
    let holders = ["keyboard", "rich_media"].into_iter();
    let lists = holders.filter_map(|holder| message.get(holder)?.get("Buttons")?.as_array());
    let field = |button: &Value, name: &str| {
        let value = button.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    lists
        .flatten()
        .map(|button| Button {
            action: match field(button, "ActionType") {
                action if action.is_empty() => "reply".to_owned(),
                action => action,
            },
            body: field(button, "ActionBody"),
            title: unescape(&field(button, "Text")),
        })
        .collect()
}

/// Button texts are HTML; a phone shows what it means.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// What is on a message beside its text.
pub fn in_words(message: &Value) -> Vec<String> {
    let field = |name: &str| message.get(name);
    let mut words = Vec::new();
    let kind = field("type").and_then(Value::as_str).unwrap_or_default();
    let name = field("file_name").and_then(Value::as_str);
    if let Some(media) = field("media").and_then(Value::as_str) {
        words.push(match name {
            Some(name) => format!("{kind}: {name} {media}"),
            None => format!("{kind}: {media}"),
        });
    }
    if let Some(place) = field("location") {
        let degrees = |name: &str| place.get(name).map(Value::to_string).unwrap_or_default();
        words.push(format!("location: {}, {}", degrees("lat"), degrees("lon")));
    }
    if let Some(card) = field("contact") {
        let of = |name: &str| card.get(name).and_then(Value::as_str).unwrap_or_default();
        words.push(format!("contact: {} {}", of("name"), of("phone_number")));
    }
    if let Some(id) = field("sticker_id") {
        words.push(format!("sticker: {id}"));
    }
    words
}
