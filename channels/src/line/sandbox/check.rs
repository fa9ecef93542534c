//! Whether LINE would take a list of message objects: fields, types, lengths in UTF-16 units, links.
//! Every fault is named with its place, as LINE names it. Flex messages are looked at from outside
//! only.

use super::Failure;
use crate::line::config::is_id;
use crate::line::plan::{BUBBLES_MAX, QUICK_REPLIES_MAX};
use serde_json::{Map, Value, json};
use url::Url;

type Fields = Map<String, Value>;

/// The most a text of some kind may have; `altText` to the figure that is always safe.
const ALT_MAX: usize = 400;

/// What is wrong with a body, and where.
#[derive(Debug, Default)]
pub struct Faults(Vec<Value>);

impl Faults {
    pub fn add(&mut self, property: &str, message: impl Into<String>) {
        let message: String = message.into();
        self.0.push(json!({"message": message, "property": property}));
    }

    /// Nothing wrong, or LINE's answer.
    pub fn result(self) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let message = format!("The request body has {} error(s)", self.0.len());
        Err(Failure {
            details: self.0,
            ..Failure::new(400, message)
        })
    }

    /// The fields of an object of which these are known.
    pub fn fields<'v>(
        &mut self,
        value: Option<&'v Value>,
        path: &str,
        known: &[&str],
    ) -> Option<&'v Fields> {
        let Some(fields) = value.and_then(Value::as_object) else {
            self.add(path, "Must be an object");
            return None;
        };
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            self.add(&join(path, name), "Unknown property");
        }
        Some(fields)
    }

    /// A text of 1 to `max` UTF-16 units.
    pub fn text(&mut self, fields: &Fields, path: &str, name: &str, needed: bool, max: usize) {
        let place = join(path, name);
        match fields.get(name) {
            None | Some(Value::Null) if !needed => {}
            Some(Value::String(text)) if !text.trim().is_empty() => {
                if text.encode_utf16().count() > max {
                    self.add(&place, format!("Length must be between 0 and {max}"));
                }
            }
            None | Some(Value::Null | Value::String(_)) => self.add(&place, "May not be empty"),
            Some(_) => self.add(&place, "Must be a string"),
        }
    }

    /// A link of one of these schemes.
    fn link(&mut self, fields: &Fields, path: &str, name: &str, needed: bool, schemes: &[&str]) {
        let max = if schemes == HTTPS { 2000 } else { 1000 };
        self.text(fields, path, name, needed, max);
        let Some(text) = fields.get(name).and_then(Value::as_str) else {
            return;
        };
        if !Url::parse(text).is_ok_and(|url| schemes.contains(&url.scheme())) {
            self.add(&join(path, name), format!("Must be a URL of {}", schemes.join(", ")));
        }
    }

    fn number(&mut self, fields: &Fields, path: &str, name: &str, range: [f64; 2]) {
        let number = fields.get(name).and_then(Value::as_f64);
        if !number.is_some_and(|number| (range[0]..=range[1]).contains(&number)) {
            let [from, to] = range;
            self.add(&join(path, name), format!("Must be a number from {from} to {to}"));
        }
    }

    fn one_of(&mut self, fields: &Fields, path: &str, name: &str, values: &[&str]) {
        let value = fields.get(name).and_then(Value::as_str).unwrap_or_default();
        if !values.contains(&value) {
            let words = format!("Must be one of the following values: [{}]", values.join(", "));
            self.add(&join(path, name), words);
        }
    }

    /// The elements of a list of so many.
    fn list<'v>(
        &mut self,
        fields: &'v Fields,
        path: &str,
        name: &str,
        sizes: [usize; 2],
    ) -> &'v [Value] {
        let list = fields.get(name).and_then(Value::as_array);
        let list = list.map_or(&[][..], Vec::as_slice);
        if !(sizes[0]..=sizes[1]).contains(&list.len()) {
            let [from, to] = sizes;
            self.add(&join(path, name), format!("Size must be between {from} and {to}"));
        }
        list
    }

    /// An optional flag.
    pub fn flag(&mut self, fields: &Fields, path: &str, name: &str) {
        if !matches!(fields.get(name), None | Some(Value::Null | Value::Bool(_))) {
            self.add(&join(path, name), "Must be a boolean");
        }
    }

    /// The message objects of a request.
    pub fn messages(&mut self, fields: &Fields) {
        let messages = self.list(fields, "", "messages", [1, BUBBLES_MAX]);
        for (i, message) in messages.iter().enumerate() {
            self.message(message, &format!("messages[{i}]"));
        }
    }

    fn message(&mut self, message: &Value, path: &str) {
        const COMMON: [&str; 3] = ["type", "quickReply", "sender"];
        let kind = message.get("type").and_then(Value::as_str).unwrap_or_default();
        let own: &[&str] = match kind {
            "text" => &["text", "emojis", "quoteToken"],
            "textV2" => &["text", "substitution", "quoteToken"],
            "sticker" => &["packageId", "stickerId", "quoteToken"],
            "image" => &["originalContentUrl", "previewImageUrl"],
            "video" => &["originalContentUrl", "previewImageUrl", "trackingId"],
            "audio" => &["originalContentUrl", "duration"],
            "location" => &["title", "address", "latitude", "longitude"],
            "template" => &["altText", "template"],
            "flex" => &["altText", "contents"],
            "imagemap" => &["altText", "baseUrl", "baseSize", "video", "actions"],
            _ => {
                let words = "Must be one of the following values: [text, textV2, image, video, \
                             audio, location, sticker, template, imagemap, flex]";
                return self.add(&join(path, "type"), words);
            }
        };
        let known = [&COMMON[..], own].concat();
        let Some(fields) = self.fields(Some(message), path, &known) else {
            return;
        };
        match kind {
            "text" | "textV2" => {
                self.text(fields, path, "text", true, 5000);
                self.emojis(fields, path);
            }
            "sticker" => {
                self.text(fields, path, "packageId", true, 20);
                self.text(fields, path, "stickerId", true, 20);
            }
            "image" | "video" => {
                self.link(fields, path, "originalContentUrl", true, HTTPS);
                self.link(fields, path, "previewImageUrl", true, HTTPS);
                self.text(fields, path, "trackingId", false, 100);
            }
            "audio" => {
                self.link(fields, path, "originalContentUrl", true, HTTPS);
                self.number(fields, path, "duration", [1.0, 1e10]);
            }
            "location" => {
                self.text(fields, path, "title", true, 100);
                self.text(fields, path, "address", true, 100);
                self.number(fields, path, "latitude", [-90.0, 90.0]);
                self.number(fields, path, "longitude", [-180.0, 180.0]);
            }
            _ => {
                self.text(fields, path, "altText", true, ALT_MAX);
                match kind {
                    "template" => self.template(fields.get("template"), &join(path, "template")),
                    "flex" => self.flex(fields.get("contents"), &join(path, "contents")),
                    _ => self.imagemap(fields, path),
                }
            }
        }
        self.text(fields, path, "quoteToken", false, 1000);
        if let Some(sender) = fields.get("sender").filter(|s| !s.is_null()) {
            let path = join(path, "sender");
            if let Some(fields) = self.fields(Some(sender), &path, &["name", "iconUrl"]) {
                self.text(fields, &path, "name", false, 20);
                self.link(fields, &path, "iconUrl", false, HTTPS);
            }
        }
        self.quick_reply(fields.get("quickReply"), &join(path, "quickReply"));
    }

    fn emojis(&mut self, fields: &Fields, path: &str) {
        let Some(list) = fields.get("emojis").filter(|list| !list.is_null()) else {
            return;
        };
        let units: Vec<u16> = fields
            .get("text")
            .and_then(Value::as_str)
            .map(|text| text.encode_utf16().collect())
            .unwrap_or_default();
        let place = join(path, "emojis");
        let emojis = self.list(fields, path, "emojis", [0, 20]);
        if !list.is_array() {
            self.add(&place, "Must be an array");
        }
        for (i, emoji) in emojis.iter().enumerate() {
            let place = format!("{place}[{i}]");
            let known = ["index", "productId", "emojiId"];
            let Some(fields) = self.fields(Some(emoji), &place, &known) else {
                continue;
            };
            let index = fields.get("index").and_then(Value::as_u64);
            let index = index.and_then(|index| usize::try_from(index).ok());
            if index.and_then(|index| units.get(index)) != Some(&u16::from(b'$')) {
                self.add(&join(&place, "index"), "Must point to $ in the text");
            }
            self.text(fields, &place, "productId", true, 100);
            self.text(fields, &place, "emojiId", true, 100);
        }
    }

    fn quick_reply(&mut self, value: Option<&Value>, path: &str) {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return;
        };
        let Some(fields) = self.fields(Some(value), path, &["items"]) else {
            return;
        };
        let items = self.list(fields, path, "items", [1, QUICK_REPLIES_MAX]);
        for (i, item) in items.iter().enumerate() {
            let path = format!("{path}.items[{i}]");
            let known = ["type", "imageUrl", "action"];
            if let Some(fields) = self.fields(Some(item), &path, &known) {
                self.one_of(fields, &path, "type", &["action"]);
                self.link(fields, &path, "imageUrl", false, HTTPS);
                self.action(fields.get("action"), &join(&path, "action"), &QUICK_ONLY);
            }
        }
    }

    /// An action; `also` are kinds that only this place takes.
    fn action(&mut self, value: Option<&Value>, path: &str, also: &[&str]) {
        let kind = value.and_then(|value| value.get("type"));
        let kind = kind.and_then(Value::as_str).unwrap_or_default();
        let own: &[&str] = match kind {
            "message" => &["text"],
            "postback" => &["data", "displayText", "text", "inputOption", "fillInText"],
            "uri" => &["uri", "altUri"],
            "datetimepicker" => &["data", "mode", "initial", "min", "max"],
            "clipboard" => &["clipboardText"],
            kind if also.contains(&kind) => &[],
            _ => return self.add(&join(path, "type"), "No action that can stand here"),
        };
        let known = [&["type", "label"][..], own].concat();
        let Some(fields) = self.fields(value, path, &known) else {
            return;
        };
        self.text(fields, path, "label", true, 20);
        match kind {
            "message" => self.text(fields, path, "text", true, 300),
            "postback" => {
                self.text(fields, path, "data", true, 300);
                self.text(fields, path, "displayText", false, 300);
                self.text(fields, path, "text", false, 300);
                self.text(fields, path, "fillInText", false, 300);
            }
            "uri" => self.link(fields, path, "uri", true, &["http", "https", "tel", "line"]),
            "datetimepicker" => {
                self.text(fields, path, "data", true, 300);
                self.one_of(fields, path, "mode", &["date", "time", "datetime"]);
            }
            "clipboard" => self.text(fields, path, "clipboardText", true, 1000),
            _ => {}
        }
    }

    fn actions(&mut self, fields: &Fields, path: &str, sizes: [usize; 2]) {
        for (i, action) in self.list(fields, path, "actions", sizes).iter().enumerate() {
            self.action(Some(action), &format!("{path}.actions[{i}]"), &[]);
        }
    }

    fn template(&mut self, value: Option<&Value>, path: &str) {
        const LOOKS: [&str; 3] = ["imageAspectRatio", "imageSize", "imageBackgroundColor"];
        const CARD: [&str; 5] = ["title", "text", "thumbnailImageUrl", "defaultAction", "actions"];
        let kind = value.and_then(|value| value.get("type"));
        let kind = kind.and_then(Value::as_str).unwrap_or_default();
        let own: &[&str] = match kind {
            "buttons" => &CARD,
            "confirm" => &["text", "actions"],
            "carousel" | "image_carousel" => &["columns"],
            _ => {
                let words = "Must be one of the following values: [buttons, confirm, carousel, \
                             image_carousel]";
                return self.add(&join(path, "type"), words);
            }
        };
        let known = [&["type"][..], &LOOKS[..], own].concat();
        let Some(fields) = self.fields(value, path, &known) else {
            return;
        };
        match kind {
            "buttons" => self.card(fields, path, [160, 60], [1, 4]),
            "confirm" => {
                self.text(fields, path, "text", true, 240);
                self.actions(fields, path, [2, 2]);
            }
            _ => {
                let columns = self.list(fields, path, "columns", [1, 10]);
                let mut shapes = Vec::new();
                for (i, column) in columns.iter().enumerate() {
                    let path = format!("{path}.columns[{i}]");
                    if kind == "image_carousel" {
                        let known = ["imageUrl", "action"];
                        if let Some(fields) = self.fields(Some(column), &path, &known) {
                            self.link(fields, &path, "imageUrl", true, HTTPS);
                            self.action(fields.get("action"), &join(&path, "action"), &[]);
                        }
                        continue;
                    }
                    let known = [&CARD[..], &LOOKS[..]].concat();
                    if let Some(fields) = self.fields(Some(column), &path, &known) {
                        self.card(fields, &path, [120, 60], [1, 3]);
                        let there = |name| fields.get(name).is_some_and(|v| !v.is_null());
                        let actions = fields.get("actions").and_then(Value::as_array);
                        let count = actions.map(Vec::len);
                        shapes.push((there("title"), there("thumbnailImageUrl"), count));
                    }
                }
                shapes.dedup();
                if shapes.len() > 1 {
                    self.add(&join(path, "columns"), "Columns must be alike");
                }
            }
        }
    }

    /// A bubble of text and actions; the text is shorter beside a title or a picture.
    fn card(&mut self, fields: &Fields, path: &str, text: [usize; 2], actions: [usize; 2]) {
        let there = |name| fields.get(name).is_some_and(|value: &Value| !value.is_null());
        let with = there("title") || there("thumbnailImageUrl");
        let max = if with { text[1] } else { text[0] };
        self.text(fields, path, "text", true, max);
        self.text(fields, path, "title", false, 40);
        self.link(fields, path, "thumbnailImageUrl", false, HTTPS);
        if there("defaultAction") {
            self.action(fields.get("defaultAction"), &join(path, "defaultAction"), &[]);
        }
        self.actions(fields, path, actions);
    }

    fn flex(&mut self, value: Option<&Value>, path: &str) {
        let kind = value.and_then(|value| value.get("type"));
        match (kind.and_then(Value::as_str), value.and_then(Value::as_object)) {
            (Some("bubble"), _) => {}
            (Some("carousel"), Some(fields)) => {
                self.list(fields, path, "contents", [1, 12]);
            }
            _ => self.add(&join(path, "type"), "Must be one of the following values: [bubble, carousel]"),
        }
    }

    fn imagemap(&mut self, fields: &Fields, path: &str) {
        self.link(fields, path, "baseUrl", true, HTTPS);
        let size = join(path, "baseSize");
        if let Some(size_fields) = self.fields(fields.get("baseSize"), &size, &["width", "height"]) {
            self.number(size_fields, &size, "width", [1040.0, 1040.0]);
            self.number(size_fields, &size, "height", [1.0, 1e6]);
        }
        let actions = self.list(fields, path, "actions", [1, 50]);
        for (i, action) in actions.iter().enumerate() {
            let path = format!("{path}.actions[{i}]");
            let known = ["type", "label", "linkUri", "text", "clipboardText", "area"];
            if let Some(fields) = self.fields(Some(action), &path, &known) {
                self.one_of(fields, &path, "type", &["uri", "message", "clipboard"]);
                let area = join(&path, "area");
                let sides = ["x", "y", "width", "height"];
                if let Some(fields) = self.fields(fields.get("area"), &area, &sides) {
                    for side in sides {
                        self.number(fields, &area, side, [0.0, 1e6]);
                    }
                }
            }
        }
    }
}

/// Links that LINE's apps fetch.
const HTTPS: &[&str] = &["https"];

/// Actions that only quick replies take.
const QUICK_ONLY: [&str; 3] = ["camera", "cameraRoll", "location"];

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return name.to_owned();
    }
    format!("{path}.{name}")
}

/// Whether a push can be addressed to this at all.
pub fn address(to: Option<&Value>) -> Result<&str, Failure> {
    let to = to.and_then(Value::as_str).filter(|to| is_id(to, "UCR"));
    to.ok_or_else(|| {
        let words = "The property, 'to', in the request body is invalid (line: -, column: -)";
        Failure::new(400, words)
    })
}
