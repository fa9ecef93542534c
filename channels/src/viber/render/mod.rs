//! Parts into requests.

mod buttons;

pub use buttons::{PRESS_PREFIX, escape, keyboard, reference, tracked_buttons};

use buttons::tracking_data;
use super::config::{API_BASE, Settings, TEXT_MAX};
use crate::kit::http::{Auth, Request};
use crate::kit::settings::Common;
use crate::model::{AttachmentKind, ContactCard, OutgoingAttachment, Part, PartBody};
use serde_json::{Map, Value, json};
use url::Url;

/// The header that carries the bot's token. Never the body, where older libraries put it.
pub const TOKEN_HEADER: &str = "X-Viber-Auth-Token";

/// The longest name of a file (REST Bot API, "File message").
const FILE_NAME_MAX: usize = 256;

/// The most bytes of a film: 26 MB (REST Bot API, "Video message").
pub const VIDEO_MAX_BYTES: u64 = 26 * 1024 * 1024;

/// The most bytes of a file: 50 MB (REST Bot API, "File message").
pub const FILE_MAX_BYTES: u64 = 50 * 1024 * 1024;

/// A card's name and number (REST Bot API, "Contact message").
const CARD_NAME_MAX: usize = 28;
const CARD_PHONE_MAX: usize = 18;

/// Extensions that Viber refuses (REST Bot API, "Forbidden file formats").
pub const REFUSED_EXTENSIONS: [&str; 44] = [
    "action", "apk", "app", "bat", "bin", "cmd", "com", "command", "cpl", "csh", "exe", "gadget", "inf1", "ins", "inx", "ipa", "isu", "job", "jse", "ksh", "lnk", "msc", "msi", "msp", "mst", "osx", "out", "paf", "pif", "ps1", "reg", "rgs", "run", "sct", "shb", "shs", "u3p", "vb", "vbe", "vbs", "vbscript", "workflow", "ws", "wsf",
];

/// Where the bot's calls go, and what they say.
#[derive(Debug, Clone)]
pub struct Api {
    /// The root of the API.
    pub base: String,
    /// Our webhook's URL, for `set_webhook`.
    pub webhook_url: String,
    /// The channel's keys.
    pub settings: Settings,
}

impl Api {
    /// The API as configured.
    pub fn new(common: &Common, settings: Settings) -> Self {
        Self {
            base: common.api_base(API_BASE),
            webhook_url: common.webhook_url.clone(),
            settings,
        }
    }

    /// A call. All are POST, also those that only ask.
    pub fn call(&self, method: &str, body: &Value) -> Request {
        Request::post_json(format!("{}/{method}", self.base), body.to_string()).with_auth(
            Auth::Header {
                name: TOKEN_HEADER,
                value: self.settings.auth_token.clone(),
            },
        )
    }

    /// The call that tells Viber where to post. Viber posts a handshake there before it answers.
    pub fn set_webhook(&self) -> Request {
        let settings = &self.settings;
        let body = json!({
            "url": self.webhook_url,
            "event_types": settings.event_types,
            "send_name": settings.send_name,
            "send_photo": settings.send_photo,
        });
        self.call("set_webhook", &body)
            .with_timeout_ms(Request::MEDIA_TIMEOUT_MS)
    }

    /// What every message says of its sender.
    fn frame(&self, min_api_version: u8) -> Map<String, Value> {
        let mut sender = json!({"name": self.settings.sender_name.trim()});
        if let (Some(sender), Some(avatar)) = (sender.as_object_mut(), &self.settings.sender_avatar)
        {
            sender.insert("avatar".into(), json!(avatar));
        }
        let mut frame = Map::new();
        frame.insert("min_api_version".into(), json!(min_api_version));
        frame.insert("sender".into(), sender);
        frame
    }
}

/// How a part is sent: as planned, or with what Viber's first refusal made necessary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct How {
    /// The size of the attachment, where Viber wants to know it; `None`: not known, or too large.
    pub size: Option<u64>,
    /// As a text that every client shows.
    pub plain: bool,
    /// For clients of version 1.
    pub any_client: bool,
}

/// The request of a part.
pub fn render(part: &Part, api: &Api, how: &How) -> Request {
    let version = if how.any_client || how.plain {
        1
    } else {
        api.settings.min_api_version
    };
    let mut fields = api.frame(version);
    fields.insert("receiver".into(), json!(part.to));
    fields.insert("tracking_data".into(), json!(tracking_data(part)));
    let content = if how.plain {
        text_of(&in_words(part))
    } else {
        content(&part.body, how.size)
    };
    if let Value::Object(content) = content {
        fields.extend(content);
    }
    if !how.plain && !part.choices.is_empty() {
        fields.insert("keyboard".into(), keyboard(&part.choices));
    }
    api.call("send_message", &Value::Object(fields))
}

/// The body of the answer to `conversation_started`: a message without receiver.
pub fn welcome(api: &Api) -> Option<String> {
    let text = api.settings.welcome_message.as_deref()?;
    let mut fields = api.frame(api.settings.min_api_version);
    fields.insert("type".into(), json!("text"));
    fields.insert("text".into(), json!(text));
    Some(Value::Object(fields).to_string())
}

fn text_of(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// What is sent.
fn content(body: &PartBody, size: Option<u64>) -> Value {
    match body {
        PartBody::Text { text } => text_of(text),
        PartBody::Media {
            attachment,
            caption,
        } => media(attachment, caption.as_deref(), size),
        PartBody::Location { location } => json!({
            "type": "location",
            "location": {"lat": location.latitude, "lon": location.longitude},
        }),
        PartBody::Contact { contact } => json!({
            "type": "contact",
            "contact": {"name": contact.name.trim(), "phone_number": card_phone(contact)},
        }),
        // `plan` makes none of these.
        PartBody::Album { .. } | PartBody::Template { .. } | PartBody::Bundle { .. } => {
            text_of(&body_in_words(body))
        }
    }
}

/// An attachment as what Viber takes it as; where it takes it as nothing, its link.
fn media(attachment: &OutgoingAttachment, caption: Option<&str>, size: Option<u64>) -> Value {
    match (form(attachment), size) {
        (Form::Picture, _) => json!({
            "type": "picture",
            "text": caption.unwrap_or_default(),
            "media": attachment.url,
        }),
        (Form::Video, Some(size)) if size <= VIDEO_MAX_BYTES => json!({
            "type": "video",
            "media": attachment.url,
            "size": size,
        }),
        (Form::Video | Form::File, Some(size)) if size <= FILE_MAX_BYTES => json!({
            "type": "file",
            "media": attachment.url,
            "size": size,
            "file_name": file_name(attachment),
        }),
        _ => match caption {
            Some(caption) => text_of(&format!("{caption}\n{}", attachment.url)),
            // The limit of a `url` message is that of our own settings' links, too.
            None if attachment.url.chars().count() <= super::config::LINK_MAX => {
                json!({"type": "url", "media": attachment.url})
            }
            None => text_of(&attachment.url),
        },
    }
}

/// As what an attachment can go, size aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Shown in the chat, with a caption.
    Picture,
    /// Played in the chat.
    Video,
    /// To be downloaded.
    File,
    /// A link: Viber takes no file whose name and path do not end in the same, true extension.
    Link,
}

impl Form {
    /// Whether Viber wants to be told the size.
    pub const fn is_measured(self) -> bool {
        matches!(self, Self::Video | Self::File)
    }
}

/// As what an attachment can go, by the end of its link's path, which Viber looks at.
pub fn form(attachment: &OutgoingAttachment) -> Form {
    let Some(extension) = path_extension(&attachment.url) else {
        return Form::Link;
    };
    match (attachment.kind, extension.as_str()) {
        (AttachmentKind::Image, "jpg" | "jpeg" | "png" | "gif") => Form::Picture,
        (AttachmentKind::Video, "mp4") => Form::Video,
        _ if REFUSED_EXTENSIONS.contains(&extension.as_str()) => Form::Link,
        _ => match name_extension(&attachment.name) {
            Some(named) if named != extension => Form::Link,
            _ => Form::File,
        },
    }
}

/// The extension of the last segment of a link's path, in lower case.
fn path_extension(link: &str) -> Option<String> {
    let url = Url::parse(link).ok()?;
    name_extension(url.path().rsplit('/').next()?)
}

/// The extension of a file's name, in lower case.
fn name_extension(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    let plain = (1..=10).contains(&extension.len())
        && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain && !stem.is_empty()).then(|| extension.to_ascii_lowercase())
}

/// The file's name with its extension, within the limit.
fn file_name(attachment: &OutgoingAttachment) -> String {
    let extension = path_extension(&attachment.url).unwrap_or_default();
    let name = attachment.name.trim();
    let stem = match name.rsplit_once('.') {
        Some((stem, end)) if end.eq_ignore_ascii_case(&extension) => stem,
        _ => name,
    };
    let room = FILE_NAME_MAX.saturating_sub(extension.len() + 1);
    let stem: String = stem.chars().take(room).collect();
    format!("{stem}.{extension}")
}

/// The number of a card as Viber takes it: digits with a plus. `None`: it does not fit.
pub fn card_phone(contact: &ContactCard) -> Option<String> {
    let written = contact.phones.first()?;
    let phone: String = written
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '/' | '\u{a0}'))
        .collect();
    let digits = phone.strip_prefix('+').unwrap_or(&phone);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (plain && phone.len() <= CARD_PHONE_MAX).then_some(phone)
}

/// Whether a card of Viber's holds all that is on this one.
pub fn is_card(contact: &ContactCard) -> bool {
    let name = contact.name.trim();
    let nothing_else =
        contact.phones.len() == 1 && contact.emails.is_empty() && contact.organisation.is_none();
    nothing_else
        && (1..=CARD_NAME_MAX).contains(&name.chars().count())
        && card_phone(contact).is_some()
}

/// A part as text, for a client that cannot show it.
fn in_words(part: &Part) -> String {
    let text = body_in_words(&part.body);
    let titles = part.choices.iter().map(|choice| match &choice.url {
        Some(url) => format!("\n• {}: {url}", choice.title),
        None => format!("\n• {}", choice.title),
    });
    let with_choices = titles.fold(text.clone(), |text, title| text + &title);
    if with_choices.chars().count() <= TEXT_MAX {
        with_choices
    } else {
        text
    }
}

fn body_in_words(body: &PartBody) -> String {
    let captioned = |caption: &Option<String>, links: Vec<&str>| {
        let lines = caption.as_deref().into_iter().chain(links);
        lines.collect::<Vec<_>>().join("\n")
    };
    match body {
        PartBody::Text { text } => text.clone(),
        PartBody::Media {
            attachment,
            caption,
        } => captioned(caption, vec![&attachment.url]),
        PartBody::Album {
            attachments,
            caption,
        } => captioned(caption, attachments.iter().map(|a| a.url.as_str()).collect()),
        PartBody::Location { location } => location.as_text(),
        PartBody::Contact { contact } => contact.as_text(),
        PartBody::Template { template } => template.name.clone(),
        PartBody::Bundle { bodies } => {
            let lines: Vec<String> = bodies.iter().map(body_in_words).collect();
            lines.join("\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_follow_the_end_of_the_path() {
        let cases = [
            ("a.jpg", "https://x.example/1/a.jpg", Form::Picture),
            ("a.jpg", "https://x.example/1/a.JPG?sig=1.2", Form::Picture),
            ("a.jpg", "https://x.example/1", Form::Link),
            ("a.gif", "https://x.example/a.gif", Form::Picture),
            ("a.mp4", "https://x.example/a.mp4", Form::Video),
            ("a.mov", "https://x.example/a.mov", Form::File),
            ("a.pdf", "https://x.example/a.pdf", Form::File),
            ("report", "https://x.example/a.pdf", Form::File),
            ("a.pdf", "https://x.example/get.php?id=3", Form::Link),
            ("a.exe", "https://x.example/a.exe", Form::Link),
            ("p", "https://x.example/p", Form::Link),
            (".pdf", "https://x.example/.pdf", Form::Link),
        ];
        for (name, url, expected) in cases {
            assert_eq!(form(&OutgoingAttachment::new(name, url)), expected, "{name} {url}");
        }
        let named = |name: &str| file_name(&OutgoingAttachment::new(name, "https://x.example/a.pdf"));
        assert_eq!(named("Invoice.PDF"), "Invoice.pdf");
        assert_eq!(named("report"), "report.pdf");
        assert_eq!(named(&"é".repeat(300)).chars().count(), 256);
    }
}
