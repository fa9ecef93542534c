//! Parts into requests.

use super::config::{API_BASE, Settings};
use super::wire::{Address, ChatId, parse_message};
use crate::kit::http::{Field, Request};
use crate::kit::secret::Secret;
use crate::kit::settings::Common;
use crate::model::{
    AttachmentKind, Choice, ContactCard, Location, Media, OutgoingAttachment, Part, PartBody,
};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// A call that moves no file is answered within a second or two; 15 seconds are given up on.
const TEXT_TIMEOUT_MS: u64 = 15_000;

/// Where the bot's calls go: `{base}/bot{token}/{method}`.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    token: Secret,
}

impl Api {
    /// The API as configured.
    pub fn new(common: &Common, settings: &Settings) -> Self {
        Self {
            base: common.api_base(API_BASE),
            token: settings.bot_token.clone(),
        }
    }

    /// A call of a method with JSON.
    pub fn call(&self, method: &str, fields: Map<String, Value>) -> Request {
        let url = self.url("/bot", method, self.token.expose());
        Request::post_json(url, Value::Object(fields).to_string())
            .with_redacted_url(self.url("/bot", method, "***"))
            .with_timeout_ms(TEXT_TIMEOUT_MS)
    }

    /// The same with files: what is nested in the fields goes as JSON text.
    fn upload(&self, method: &str, fields: Map<String, Value>, files: Vec<Field>) -> Request {
        let field = |(name, value): (String, Value)| Field {
            name,
            file_name: None,
            mime: None,
            bytes: Bytes::from(match value {
                Value::String(text) => text,
                other => other.to_string(),
            }),
        };
        let fields = fields.into_iter().map(field).chain(files).collect();
        Request::post_multipart(self.url("/bot", method, self.token.expose()), fields)
            .with_redacted_url(self.url("/bot", method, "***"))
            .with_timeout_ms(Request::MEDIA_TIMEOUT_MS)
    }

    /// The download of a file that `getFile` named.
    pub fn download(&self, path: &str, max_bytes: usize) -> Request {
        let mut request = Request::get(self.url("/file/bot", path, self.token.expose()))
            .with_redacted_url(self.url("/file/bot", path, "***"))
            .with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
        request.max_response_bytes = max_bytes;
        request
    }

    /// The token may be in a text that an error brought along: it is taken out.
    pub fn redact(&self, text: &str) -> String {
        text.replace(self.token.expose(), "***")
    }

    fn url(&self, prefix: &str, rest: &str, token: &str) -> String {
        format!("{}{prefix}{token}/{rest}", self.base)
    }
}

/// How a part is sent: as planned, or with what Telegram's first refusal made necessary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct How {
    /// The id that the chat has now, where it has moved.
    pub moved_to: Option<i64>,
    /// Whether the message answered is named.
    pub reply: bool,
    /// Whether the topic is named.
    pub topic: bool,
    /// The attachments' bytes, in order, where Telegram cannot fetch them itself.
    pub files: Vec<Media>,
    /// Whether pictures and films go as documents.
    pub as_documents: bool,
}

impl Default for How {
    fn default() -> Self {
        Self {
            moved_to: None,
            reply: true,
            topic: true,
            files: Vec::new(),
            as_documents: false,
        }
    }
}

/// The request of a part.
pub fn render(part: &Part, api: &Api, how: &How) -> Request {
    let mut fields = frame(part, how);
    let mut set = |name: &str, value: Value| fields.insert(name.into(), value);
    let mut media = false;
    let method = match &part.body {
        PartBody::Text { text } => {
            set("text", json!(text));
            "sendMessage"
        }
        PartBody::Media {
            attachment,
            caption,
        } => {
            media = true;
            let (method, parameter) = method(attachment, how.as_documents);
            if how.files.is_empty() {
                set(parameter, json!(attachment.url));
            }
            if let Some(caption) = caption {
                set("caption", json!(caption));
            }
            match parameter {
                "video" => {
                    set("supports_streaming", json!(true));
                }
                // Else Telegram shows an uploaded film as a film again.
                "document" => {
                    set("disable_content_type_detection", json!(true));
                }
                _ => {}
            }
            method
        }
        PartBody::Album {
            attachments,
            caption,
        } => {
            media = true;
            set("media", album(attachments, caption.as_deref(), how));
            "sendMediaGroup"
        }
        PartBody::Location { location } => {
            set("latitude", json!(location.latitude));
            set("longitude", json!(location.longitude));
            match venue(location) {
                Some((title, address)) => {
                    set("title", json!(title));
                    set("address", json!(address));
                    "sendVenue"
                }
                None => "sendLocation",
            }
        }
        PartBody::Contact { contact } => {
            set("phone_number", json!(contact.phones.first()));
            let first = contact.first_name.as_deref();
            let first = first.filter(|name| !name.trim().is_empty());
            set("first_name", json!(first.unwrap_or(&contact.name)));
            if let (Some(_), Some(last)) = (first, &contact.last_name) {
                set("last_name", json!(last));
            }
            if let Some(vcard) = vcard(contact) {
                set("vcard", json!(vcard));
            }
            "sendContact"
        }
        // `plan` refuses templates; one that another release planned is sent by its name, so that
        // the platform's refusal says what is wrong.
        PartBody::Template { template } => {
            set("text", json!(template.name));
            "sendMessage"
        }
        // `plan` makes none.
        PartBody::Bundle { .. } => "sendMessage",
    };
    if media && !how.files.is_empty() {
        let files = files(part, how);
        return api.upload(method, fields, files);
    }
    let request = api.call(method, fields);
    if media {
        // Telegram fetches the link during the call.
        return request.with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
    }
    request
}

/// What every send has: where to, what it answers, buttons.
fn frame(part: &Part, how: &How) -> Map<String, Value> {
    let address = Address::parse(&part.to).unwrap_or(Address {
        // `plan` has checked it. What another release wrote is for Telegram to refuse.
        chat: ChatId::Name(part.to.clone()),
        connection: None,
        topic: None,
    });
    let mut fields = Map::new();
    let chat = match (how.moved_to, address.chat) {
        (Some(id), _) | (None, ChatId::Number(id)) => json!(id),
        (None, ChatId::Name(name)) => json!(name),
    };
    fields.insert("chat_id".into(), chat);
    if let Some(connection) = address.connection {
        fields.insert("business_connection_id".into(), json!(connection));
    }
    if let Some(topic) = address.topic.filter(|_| how.topic) {
        fields.insert("message_thread_id".into(), json!(topic));
    }
    let answered = part.reply_to.as_deref().and_then(parse_message);
    if let Some((_, id)) = answered.filter(|_| how.reply) {
        let reply = json!({"message_id": id, "allow_sending_without_reply": true});
        fields.insert("reply_parameters".into(), reply);
    }
    if !part.choices.is_empty() {
        let rows: Vec<Value> = part.choices.iter().map(|c| json!([button(c)])).collect();
        fields.insert("reply_markup".into(), json!({"inline_keyboard": rows}));
    }
    fields
}

/// One button; each has a row of its own, so that no title is cut.
fn button(choice: &Choice) -> Value {
    match &choice.url {
        Some(url) => json!({"text": choice.title, "url": url}),
        None => json!({"text": choice.title, "callback_data": choice.payload}),
    }
}

/// The method and its parameter for one file.
fn method(file: &OutgoingAttachment, as_documents: bool) -> (&'static str, &'static str) {
    match file.kind {
        _ if as_documents => ("sendDocument", "document"),
        AttachmentKind::Image => ("sendPhoto", "photo"),
        AttachmentKind::Video => ("sendVideo", "video"),
        AttachmentKind::Audio => ("sendAudio", "audio"),
        AttachmentKind::Voice => ("sendVoice", "voice"),
        AttachmentKind::Sticker => ("sendSticker", "sticker"),
        // A GIF is a file that moves: as a photo it would stand still.
        AttachmentKind::File if file.mime == "image/gif" => ("sendAnimation", "animation"),
        AttachmentKind::File => ("sendDocument", "document"),
    }
}

/// The items of an album; the caption of the first is shown for all.
fn album(attachments: &[OutgoingAttachment], caption: Option<&str>, how: &How) -> Value {
    let item = |(i, attachment): (usize, &OutgoingAttachment)| {
        let (_, kind) = method(attachment, how.as_documents);
        let media = if how.files.is_empty() {
            attachment.url.clone()
        } else {
            format!("attach://file{i}")
        };
        let mut item = json!({"type": kind, "media": media});
        if let (0, Some(caption), Some(item)) = (i, caption, item.as_object_mut()) {
            item.insert("caption".into(), json!(caption));
        }
        item
    };
    attachments.iter().enumerate().map(item).collect()
}

/// The attachments' bytes as fields of a form.
fn files(part: &Part, how: &How) -> Vec<Field> {
    let one = |name: String, attachment: &OutgoingAttachment, media: &Media| Field {
        name,
        file_name: Some(attachment.name.clone()),
        mime: Some(media.mime.clone().unwrap_or(attachment.mime.clone())),
        bytes: media.bytes.clone(),
    };
    match &part.body {
        PartBody::Media { attachment, .. } => {
            let (_, parameter) = method(attachment, how.as_documents);
            let first = how.files.first();
            first
                .map(|media| one(parameter.into(), attachment, media))
                .into_iter()
                .collect()
        }
        PartBody::Album { attachments, .. } => attachments
            .iter()
            .zip(&how.files)
            .enumerate()
            .map(|(i, (attachment, media))| one(format!("file{i}"), attachment, media))
            .collect(),
        _ => Vec::new(),
    }
}

/// Title and address of a place that has either: a venue needs both, and the coordinates stand in.
fn venue(location: &Location) -> Option<(String, String)> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let coordinates = || format!("{}, {}", location.latitude, location.longitude);
    match (given(&location.name), given(&location.address)) {
        (Some(title), Some(address)) => Some((title, address)),
        (Some(only), None) | (None, Some(only)) => Some((only, coordinates())),
        (None, None) => None,
    }
}

/// The card as vCard 3.0 (RFC 2426), where it says more than a name and a number.
pub fn vcard(card: &ContactCard) -> Option<String> {
    if card.phones.len() < 2 && card.emails.is_empty() && card.organisation.is_none() {
        return None;
    }
    let escape = |text: &str| {
        text.replace('\\', "\\\\")
            .replace(';', "\\;")
            .replace(',', "\\,")
            .replace(['\r', '\n'], " ")
    };
    let first = card.first_name.as_deref().unwrap_or(&card.name);
    let last = card.last_name.as_deref().unwrap_or_default();
    let mut lines = vec![
        "BEGIN:VCARD".to_owned(),
        "VERSION:3.0".to_owned(),
        format!("N:{};{};;;", escape(last), escape(first)),
        format!("FN:{}", escape(&card.name)),
    ];
    let organisation = card.organisation.iter();
    lines.extend(organisation.map(|name| format!("ORG:{}", escape(name))));
    lines.extend(card.phones.iter().map(|n| format!("TEL:{}", escape(n))));
    lines.extend(card.emails.iter().map(|a| format!("EMAIL:{}", escape(a))));
    lines.push("END:VCARD".to_owned());
    Some(lines.join("\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::Body;
    use crate::model::{MessageId, Outgoing};
    use crate::telegram::config::sandbox_settings;
    use crate::telegram::plan::plan;

    fn api() -> Api {
        let settings = Settings::read(sandbox_settings()).unwrap();
        let common = Common {
            id: "desk".into(),
            api_base: Some("http://127.0.0.1:8081/".into()),
            webhook_url: "https://gw.example.net/webhooks/desk".into(),
        };
        Api::new(&common, &settings)
    }

    fn part(kind: AttachmentKind, name: &str) -> Part {
        let url = format!("https://files.example.net/{name}");
        let mut message = Outgoing::new(MessageId(1), "5550001001");
        message.attachments = vec![OutgoingAttachment {
            kind,
            ..OutgoingAttachment::new(name, url)
        }];
        message.text = "look".into();
        plan(&message).unwrap().remove(0)
    }

    /// Kinds that no file name suggests, which fixtures cannot write.
    #[test]
    fn notes_and_stickers_go_as_what_they_are() {
        let cases = [
            (AttachmentKind::Voice, "note.ogg", "sendVoice", "voice", true),
            (AttachmentKind::Voice, "note.wav", "sendDocument", "document", true),
            (AttachmentKind::Sticker, "wave.webp", "sendSticker", "sticker", false),
            (AttachmentKind::Sticker, "wave.png", "sendDocument", "document", true),
            (AttachmentKind::Image, "wave.webp", "sendPhoto", "photo", true),
        ];
        for (kind, name, method, parameter, captioned) in cases {
            let request = render(&part(kind, name), &api(), &How::default());
            assert!(request.url.ends_with(&format!("/{method}")), "{name}");
            let Body::Json(body) = &request.body else {
                panic!("{request:?}")
            };
            let body: Value = serde_json::from_str(body).unwrap();
            assert!(body[parameter].is_string(), "{name}: {body}");
            assert_eq!(body.get("caption").is_some(), captioned, "{name}: {body}");
        }
    }

    #[test]
    fn the_token_is_in_the_url_and_nowhere_else() {
        let request = render(&part(AttachmentKind::Image, "a.jpg"), &api(), &How::default());
        let token = "7000000001:sandbox-token-of-35-characters-abcde";
        assert_eq!(
            request.url,
            format!("http://127.0.0.1:8081/bot{token}/sendPhoto")
        );
        assert_eq!(request.shown_url(), "http://127.0.0.1:8081/bot***/sendPhoto");
        let shown = format!("{request:?} {:?}", api());
        assert!(!shown.contains("sandbox-token"), "{shown}");
        let download = api().download("photos/file_1.jpg", 5);
        assert_eq!(
            download.shown_url(),
            "http://127.0.0.1:8081/file/bot***/photos/file_1.jpg"
        );
        assert_eq!(
            api().redact(&format!("no answer from {}", request.url)),
            "no answer from http://127.0.0.1:8081/bot***/sendPhoto"
        );
    }

    #[test]
    fn nested_values_of_an_upload_are_json_text() {
        let how = How {
            files: vec![Media {
                bytes: Bytes::from_static(b"jpeg"),
                mime: Some("image/jpeg".into()),
                name: None,
            }],
            ..How::default()
        };
        let mut part = part(AttachmentKind::Image, "a.jpg");
        part.reply_to = Some("5550001001:13".into());
        let Body::Multipart(fields) = render(&part, &api(), &how).body else {
            panic!("no form")
        };
        let text = |name: &str| {
            let field = fields.iter().find(|f| f.name == name).unwrap();
            String::from_utf8(field.bytes.to_vec()).unwrap()
        };
        assert_eq!(text("chat_id"), "5550001001");
        assert_eq!(text("caption"), "look");
        let reply: Value = serde_json::from_str(&text("reply_parameters")).unwrap();
        assert_eq!(reply["message_id"], 13);
        let file = fields.iter().find(|f| f.name == "photo").unwrap();
        assert_eq!(file.file_name.as_deref(), Some("a.jpg"));
        assert_eq!(file.bytes.as_ref(), b"jpeg");
    }
}
