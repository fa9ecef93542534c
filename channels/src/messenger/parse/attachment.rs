//! Attachments: files, shared things, places, links.

use super::message::raw_fact;
use crate::kit::json::read;
use crate::messenger::wire::{self, Raw};
use crate::model::{Attachment, AttachmentKind, InboundMessage, Location, MediaRef};
use url::Url;

/// The stickers behind the thumb of Messenger's text field (Messenger webhooks, "messages").
const THUMBS_UP: [&str; 3] = ["369239263222822", "369239343222814", "369239383222810"];

/// Hosts of pages for people. A link to one of them is no file; everything else is handed out by one
/// of Meta's many file hosts.
const PAGE_HOSTS: [&str; 5] = [
    "facebook.com",
    "instagram.com",
    "messenger.com",
    "fb.watch",
    "fb.me",
];

/// What a message is made of, while its attachments are read.
pub struct Content {
    inbound: InboundMessage,
    /// Stickers so far: where they stand, and which.
    stickers: Vec<(usize, String)>,
}

impl Content {
    /// Begins with the text.
    pub fn new(text: String) -> Self {
        Self {
            inbound: InboundMessage {
                text,
                ..InboundMessage::default()
            },
            stickers: Vec::new(),
        }
    }

    /// The message.
    pub fn finish(self) -> InboundMessage {
        self.inbound
    }

    fn fact(&mut self, name: &str, value: Option<String>) {
        let facts = &mut self.inbound.facts;
        facts.extend(value.map(|value| (name.to_owned(), value)));
    }

    /// Adds a line to the text, unless it is there.
    fn line(&mut self, line: &str) {
        let text = &mut self.inbound.text;
        if !text.contains(line) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line);
        }
    }

    fn unsupported(&mut self, name: &str, raw: Raw<'_>) {
        self.inbound
            .unsupported
            .get_or_insert_with(|| name.to_owned());
        self.inbound.facts.extend(raw_fact(name, raw));
    }
}

/// Adds an attachment to what a message is made of.
pub fn add(content: &mut Content, raw: Raw<'_>) {
    let Ok(attachment) = read::<wire::Attachment>(raw) else {
        return content.unsupported("attachment", raw);
    };
    let payload = attachment.payload.unwrap_or_default();
    let url = payload.url.or(attachment.url);
    let title = payload.title.or(attachment.title);
    match attachment.kind.as_deref().unwrap_or_default() {
        "image" | "sticker" if payload.sticker_id.is_some() => {
            sticker(content, url, payload.sticker_id.unwrap_or_default());
        }
        "image" => file(content, AttachmentKind::Image, url),
        "video" => file(content, AttachmentKind::Video, url),
        "audio" => file(content, AttachmentKind::Audio, url),
        "sticker" => file(content, AttachmentKind::Sticker, url),
        "file" => file(content, AttachmentKind::File, url),
        kind @ ("reel" | "ig_reel" | "post" | "ig_post" | "share" | "story_mention"
        | "ig_story") => {
            content.fact("shared", Some(kind.to_owned()));
            content.fact("title", title);
            content.fact("reel_video_id", payload.reel_video_id);
            content.fact("ig_post_media_id", payload.ig_post_media_id);
            let as_kind = if kind.ends_with("reel") {
                AttachmentKind::Video
            } else {
                // A picture or a film: only the file itself tells.
                AttachmentKind::File
            };
            if url.is_some() {
                file(content, as_kind, url);
            } else {
                content.unsupported(kind, raw);
            }
        }
        "location" => match payload.coordinates {
            Some(at) => place(content, at, title, url),
            None => content.unsupported("location", raw),
        },
        "fallback" => match url {
            Some(url) => {
                content.fact("link_title", title);
                content.line(&url);
            }
            None => match title {
                Some(title) => content.line(&title),
                None => content.unsupported("fallback", raw),
            },
        },
        "like_heart" => {
            content.fact("form", Some("like_heart".to_owned()));
            content.line("❤");
        }
        "" => content.unsupported("attachment", raw),
        other => content.unsupported(
            &other.chars().take(super::NAME_MAX).collect::<String>(),
            raw,
        ),
    }
}

/// A file behind a link. A link that nobody can fetch, or that leads to a page for people, stays a link.
fn file(content: &mut Content, kind: AttachmentKind, url: Option<String>) {
    let parsed = url.as_deref().and_then(|url| Url::parse(url).ok());
    let fetched = parsed.as_ref().is_some_and(is_file);
    if let (Some(url), false) = (&url, fetched) {
        return content.line(url);
    }
    content.inbound.attachments.push(Attachment {
        kind,
        name: parsed
            .filter(|_| kind == AttachmentKind::File)
            .and_then(|url| name(&url)),
        mime: None,
        size_bytes: None,
        media: url.map(MediaRef::new),
    });
}

/// Whether this is the link of a file.
fn is_file(url: &Url) -> bool {
    let Some(host) = url
        .host_str()
        .filter(|_| matches!(url.scheme(), "http" | "https"))
    else {
        return false;
    };
    let of = |page: &&str| {
        let before = host.strip_suffix(*page);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    !PAGE_HOSTS.iter().any(of)
}

/// The file's name: the end of the link's path, where that has an extension.
pub(super) fn name(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    // A form's rules undo percent signs; a plus of a path stands for itself.
    let escaped = last.replace('+', "%2B");
    let (name, _) = form_urlencoded::parse(escaped.as_bytes()).next()?;
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty() && !name.contains(['/', '\\']))
        .then(|| name.into_owned())
}

/// A sticker. While Meta changes their form, both forms of one sticker come in one message.
fn sticker(content: &mut Content, url: Option<String>, id: String) {
    if content.stickers.iter().any(|(_, known)| *known == id) {
        return;
    }
    if THUMBS_UP.contains(&id.as_str()) {
        content.fact("form", Some("thumbs_up".to_owned()));
    }
    content.fact("sticker_id", Some(id.clone()));
    content
        .stickers
        .push((content.inbound.attachments.len(), id));
    file(content, AttachmentKind::Sticker, url);
}

fn place(content: &mut Content, at: wire::Coordinates, title: Option<String>, url: Option<String>) {
    let location = Location {
        latitude: at.lat,
        longitude: at.long,
        name: title,
        address: None,
    };
    if location.is_valid() && content.inbound.location.is_none() {
        content.inbound.location = Some(location);
        content.fact("location_url", url);
    } else {
        content.line(&location.as_text());
    }
}
