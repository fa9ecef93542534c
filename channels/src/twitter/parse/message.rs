//! What is in a direct message.

use super::text;
use crate::model::{
    Attachment, AttachmentKind, InboundMessage, Location, MediaRef, Structured,
};
use crate::twitter::wire::{AttachedMedia, MessageEvent, filled};
use serde_json::Value;

/// The message of an event, direction aside.
pub fn content(event: &MessageEvent) -> InboundMessage {
    let create = &event.message_create;
    let data = &create.message_data;
    let mut message = InboundMessage {
        platform_id: event.id.0.clone(),
        ..InboundMessage::default()
    };
    let attached = data.attachment.as_ref().filter(|attached| !attached.is_null());
    let tail = attached.and_then(|attached| attach(&mut message, attached));
    let urls = data.entities.as_ref().and_then(|entities| entities.urls.as_deref());
    let written = data.text.as_deref().unwrap_or_default();
    message.text = text::clean(written, urls.unwrap_or_default(), tail.as_deref());
    let chosen = data.quick_reply_response.as_ref();
    if let Some(payload) = chosen.and_then(|chosen| filled(chosen.metadata.clone())) {
        message.structured = Some(Structured {
            payload,
            title: filled(Some(message.text.clone())),
            of: None,
        });
    }
    let via = event.initiated_via.as_ref();
    let facts = [
        ("initiated_via_tweet", via.and_then(|via| via.tweet_id.as_ref())),
        ("welcome_message", via.and_then(|via| via.welcome_message_id.as_ref())),
        ("source_app_id", create.source_app_id.as_ref()),
    ];
    for (name, value) in facts {
        message
            .facts
            .extend(value.map(|digits| (name.to_owned(), digits.0.clone())));
    }
    message
}

/// Adds an attachment. Gives the shortened link that stands for it at the end of the text.
fn attach(message: &mut InboundMessage, attached: &Value) -> Option<String> {
    let kind = attached.get("type").and_then(Value::as_str);
    let media = attached.get("media").cloned();
    let media = media.and_then(|media| serde_json::from_value::<AttachedMedia>(media).ok());
    match (kind, media) {
        (Some("media"), Some(media)) => {
            if let Some(attachment) = file(&media) {
                if media.kind == "animated_gif" {
                    message.facts.push(("form".into(), "animated_gif".into()));
                }
                let id = filled(media.id_str);
                message
                    .facts
                    .extend(id.map(|id| ("media_id".to_owned(), id)));
                message.attachments.push(attachment);
                return filled(media.url);
            }
            unsupported(message, &media.kind, attached);
            return filled(media.url);
        }
        (Some("location"), _) => match place(attached) {
            Some(place) => message.location = Some(place),
            None => unsupported(message, "location", attached),
        },
        (kind, _) => unsupported(message, kind.unwrap_or("attachment"), attached),
    }
    None
}

fn unsupported(message: &mut InboundMessage, kind: &str, raw: &Value) {
    message.facts.push(("raw".into(), raw.to_string()));
    message.unsupported = Some(kind.chars().take(64).collect());
}

/// A picture, or the best form of a film. `None`: a kind that we do not know.
fn file(media: &AttachedMedia) -> Option<Attachment> {
    let (kind, mime, link) = match media.kind.as_str() {
        "photo" => (AttachmentKind::Image, None, media.media_url_https.clone()),
        "video" | "animated_gif" => {
            let variants = media.video_info.iter().flat_map(|info| &info.variants);
            let mp4 = variants.filter(|v| v.content_type.as_deref() == Some("video/mp4"));
            let best = mp4.max_by_key(|variant| variant.bitrate.unwrap_or(0));
            let link = best.map(|variant| variant.url.clone());
            (AttachmentKind::Video, Some("video/mp4".to_owned()), link)
        }
        _ => return None,
    };
    let is_link = |link: &String| link.starts_with("https://") || link.starts_with("http://");
    Some(Attachment {
        kind,
        name: None,
        mime,
        size_bytes: None,
        media: filled(link).filter(is_link).map(MediaRef::new),
    })
}

/// A shared place: GeoJSON, longitude first.
fn place(attached: &Value) -> Option<Location> {
    let location = attached.get("location")?;
    let shared = ["shared_coordinate", "shared_place"];
    let shared = shared.iter().find_map(|name| location.get(name));
    let point = shared.unwrap_or(location).get("coordinates")?;
    let point = point.get("coordinates").unwrap_or(point).as_array()?;
    let [longitude, latitude] = point.as_slice() else {
        return None;
    };
    let place = Location {
        latitude: latitude.as_f64()?,
        longitude: longitude.as_f64()?,
        name: None,
        address: None,
    };
    place.is_valid().then_some(place)
}
