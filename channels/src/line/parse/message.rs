//! Messages: text, pictures, films, recordings, files, places, stickers.

use crate::kit::json::read;
use crate::line::wire::{Message, Raw};
use crate::model::{Attachment, AttachmentKind, EventBody, InboundMessage, Location, MediaRef};
use serde_json::value::RawValue;

/// The fact that `markAsRead` wants.
pub const READ_TOKEN: &str = "mark_as_read_token";

/// A message as an event. `None`: it has not what its kind must have.
pub fn message(raw: &RawValue, mode: Option<&str>) -> Option<EventBody> {
    let message: &Message = &read(raw).ok()?;
    if message.id.is_empty() {
        return None;
    }
    let mut ours = InboundMessage {
        platform_id: message.id.clone(),
        reply_to: message.quoted_message_id.clone(),
        facts: facts(message, mode),
        ..InboundMessage::default()
    };
    match message.kind.as_str() {
        "text" => ours.text = message.text.clone()?,
        "image" => ours.attachments = vec![file(message, AttachmentKind::Image)],
        "video" => ours.attachments = vec![file(message, AttachmentKind::Video)],
        "audio" => ours.attachments = vec![file(message, AttachmentKind::Audio)],
        "file" => ours.attachments = vec![file(message, AttachmentKind::File)],
        "location" => {
            let place = Location {
                latitude: message.latitude?,
                longitude: message.longitude?,
                name: message.title.clone(),
                address: message.address.clone(),
            };
            if !place.is_valid() {
                return None;
            }
            ours.location = Some(place);
        }
        "sticker" => {
            // What was written onto the sticker. The picture itself LINE does not hand out.
            ours.text = message.text.clone().unwrap_or_default();
            ours.attachments = vec![Attachment {
                kind: AttachmentKind::Sticker,
                name: None,
                mime: None,
                size_bytes: None,
                media: None,
            }];
        }
        other => {
            let name: String = other.chars().take(super::NAME_MAX).collect();
            ours.facts.push((name.clone(), raw.get().to_owned()));
            ours.unsupported = Some(name);
            ours.text = message.text.clone().unwrap_or_default();
        }
    }
    Some(EventBody::Message(ours))
}

/// A file and where it is to be had: by the message's id, or at the link of whoever keeps it.
fn file(message: &Message, kind: AttachmentKind) -> Attachment {
    let provider = message.content_provider.as_ref();
    let external = provider.filter(|provider| provider.kind != "line");
    let media = match external {
        None => Some(MediaRef::new(&message.id)),
        Some(provider) => {
            let link = provider.original_content_url.as_ref();
            link.map(|link| MediaRef {
                reference: link.clone(),
                scope: Some(EXTERNAL.into()),
            })
        }
    };
    Attachment {
        kind,
        name: message.file_name.clone(),
        mime: None,
        size_bytes: message.file_size,
        media,
    }
}

/// The scope of a reference that is a link of somebody else's.
pub const EXTERNAL: &str = "external";

/// Further facts, by name.
fn facts(message: &Message, mode: Option<&str>) -> Vec<(String, String)> {
    let json = |raw: &Raw| raw.as_ref().map(|raw| raw.get().to_owned());
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let set = message.image_set.as_ref();
    let all = [
        ("quote_token", message.quote_token.clone()),
        (READ_TOKEN, message.mark_as_read_token.clone()),
        ("emojis", json(&message.emojis)),
        ("mention", json(&message.mention)),
        ("group_id", set.map(|set| set.id.clone())),
        ("group_index", set.and_then(|set| number(set.index))),
        ("group_total", set.and_then(|set| number(set.total))),
        ("duration_ms", number(message.duration)),
        ("package_id", message.package_id.clone()),
        ("sticker_id", message.sticker_id.clone()),
        ("sticker_type", message.sticker_resource_type.clone()),
        ("keywords", message.keywords.as_ref().map(|words| words.join(", "))),
    ];
    let named = all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    standby(mode).into_iter().chain(named).collect()
}

/// The fact that another module owns the chat, so that nobody here answers.
pub fn standby(mode: Option<&str>) -> Option<(String, String)> {
    let mode = mode.filter(|mode| *mode == "standby")?;
    Some(("mode".into(), mode.into()))
}
