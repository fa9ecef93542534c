//! Messages that people write.

use super::{event, hash};
use crate::model::{
    Attachment, AttachmentKind, Event, EventBody, InboundMessage, Location, MediaRef, Structured,
};
use crate::wechat::wire::Push;

/// How much of a message that we do not carry is kept with it.
const RAW_FACT_MAX_BYTES: usize = 4000;

/// Understands a message. `None`: it lacks what its kind must have.
pub(super) fn message(push: &Push<'_>, raw: &str) -> Option<Event> {
    // Every message has a number; one without is told apart by its whole text.
    let id = push.word("MsgId").map_or_else(|| hash(raw), str::to_owned);
    let mut message = InboundMessage {
        platform_id: id.clone(),
        facts: facts(push, &[("MsgDataId", "article"), ("Idx", "article_index")]),
        ..InboundMessage::default()
    };
    let fact = |names: &[(&str, &str)]| facts(push, names);
    match push.kind.as_str() {
        "text" => {
            message.text = push.fields.text("Content")?.to_owned();
            // A tapped item of a menu that we sent: its id comes back with its text.
            message.structured = push.word("bizmsgmenuid").map(|id| Structured {
                payload: id.to_owned(),
                title: Some(message.text.clone()),
                of: None,
            });
        }
        "image" => {
            message.attachments = vec![attachment(push, AttachmentKind::Image, None)?];
            message.facts.extend(fact(&[("PicUrl", "picture_url")]));
        }
        "voice" => {
            let mime = push.word("Format").map(voice_type);
            message.attachments = vec![attachment(push, AttachmentKind::Voice, mime)?];
            message.facts.extend(fact(&[
                ("Recognition", "transcript"),
                ("MediaId16K", "media_id_16k"),
            ]));
        }
        "video" | "shortvideo" => {
            let mime = Some("video/mp4".to_owned());
            message.attachments = vec![attachment(push, AttachmentKind::Video, mime)?];
            message.facts.extend(fact(&[("ThumbMediaId", "thumb_media_id")]));
            if push.kind == "shortvideo" {
                message.facts.push(("form".into(), "shortvideo".into()));
            }
        }
        "location" => {
            let degrees = |name: &str| push.word(name)?.parse::<f64>().ok();
            let place = Location {
                // WeChat's X is the latitude.
                latitude: degrees("Location_X")?,
                longitude: degrees("Location_Y")?,
                name: None,
                address: push.word("Label").map(str::to_owned),
            };
            message.location = Some(place).filter(Location::is_valid);
            message.location.as_ref()?;
            message.facts.extend(fact(&[("Scale", "map_scale")]));
        }
        "link" => {
            let lines = ["Title", "Description", "Url"].map(|name| push.word(name));
            let lines: Vec<&str> = lines.into_iter().flatten().collect();
            message.text = lines.join("\n");
            message.facts.extend(fact(&[("Url", "link_url")]));
        }
        other => {
            message.unsupported = Some(other.chars().take(super::NAME_MAX).collect());
            if raw.len() <= RAW_FACT_MAX_BYTES {
                message.facts.push(("xml".into(), raw.to_owned()));
            }
        }
    }
    Some(event(push, format!("m:{id}"), EventBody::Message(message)))
}

/// A file that the person sent, to be fetched by its id.
fn attachment(push: &Push<'_>, kind: AttachmentKind, mime: Option<String>) -> Option<Attachment> {
    Some(Attachment {
        kind,
        name: None,
        mime,
        size_bytes: None,
        media: Some(MediaRef::new(push.word("MediaId")?)),
    })
}

/// The type of a voice note: WeChat says `amr` or `speex`.
fn voice_type(format: &str) -> String {
    format!("audio/{}", format.to_ascii_lowercase())
}

/// Elements as facts: WeChat's name of each and ours.
pub(super) fn facts(push: &Push<'_>, names: &[(&str, &str)]) -> Vec<(String, String)> {
    let fact = |(theirs, ours): &(&str, &str)| {
        let value = push.deep(theirs)?;
        Some(((*ours).to_owned(), value.to_owned()))
    };
    names.iter().filter_map(fact).collect()
}
