//! The content of a message: exactly one kind, except for the pairs that are tested in this order:
//! `animation` before `document`, `live_photo` before `photo`, `venue` before `location`.

use crate::kit::json::read;
use crate::model::{
    Attachment, AttachmentKind, ContactCard, InboundMessage, Location, MediaRef, Structured,
};
use crate::telegram::wire::{self, File, Message};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The most that `getFile` hands out: 20 MB (Bot API, `getFile`). Larger files are announced only.
pub(super) const DOWNLOAD_MAX_BYTES: u64 = 20 * 1024 * 1024;

/// How much raw JSON of content that we do not carry is kept with the message.
const RAW_FACT_MAX_BYTES: usize = 4000;

/// What a person wrote that we do not carry: shown as a message that says so.
const UNSUPPORTED: &[&str] = &[
    "chat_shared",
    "checklist",
    "dice",
    "game",
    "gift",
    "giveaway",
    "giveaway_winners",
    "invoice",
    "live_photo",
    "paid_media",
    "passport_data",
    "photo",
    "poll",
    "refunded_payment",
    "rich_message",
    "story",
    "successful_payment",
    "unique_gift",
    "user_shared",
    "users_shared",
];

/// What Telegram itself writes into a chat: nobody said it, so it is kept raw and not shown.
const SERVICE: &[&str] = &[
    "boost_added",
    "channel_chat_created",
    "chat_background_set",
    "chat_owner_changed",
    "chat_owner_left",
    "checklist_tasks_added",
    "checklist_tasks_done",
    "community_chat_added",
    "community_chat_joined",
    "community_chat_removed",
    "connected_website",
    "delete_chat_photo",
    "direct_message_price_changed",
    "forum_topic_closed",
    "forum_topic_created",
    "forum_topic_edited",
    "forum_topic_reopened",
    "general_forum_topic_hidden",
    "general_forum_topic_unhidden",
    "gift_upgrade_sent",
    "giveaway_completed",
    "giveaway_created",
    "group_chat_created",
    "left_chat_member",
    "left_chat_participant",
    "managed_bot_created",
    "message_auto_delete_timer_changed",
    "new_chat_member",
    "new_chat_members",
    "new_chat_participant",
    "new_chat_photo",
    "new_chat_title",
    "paid_message_price_changed",
    "pinned_message",
    "poll_option_added",
    "poll_option_deleted",
    "proximity_alert_triggered",
    "suggested_post_approval_failed",
    "suggested_post_approved",
    "suggested_post_declined",
    "suggested_post_paid",
    "suggested_post_refunded",
    "supergroup_chat_created",
    "video_chat_ended",
    "video_chat_participants_invited",
    "video_chat_scheduled",
    "video_chat_started",
];

/// What surrounds content: a message of nothing else is empty.
const FRAME: &[&str] = &[
    "author_signature",
    "business_connection_id",
    "caption",
    "caption_entities",
    "chat",
    "date",
    "direct_messages_topic",
    "edit_date",
    "effect_id",
    "entities",
    "ephemeral_message_id",
    "external_reply",
    "forward_date",
    "forward_from",
    "forward_from_chat",
    "forward_from_message_id",
    "forward_origin",
    "forward_sender_name",
    "forward_signature",
    "from",
    "guest_bot_caller_chat",
    "guest_bot_caller_user",
    "guest_query_id",
    "has_media_spoiler",
    "has_protected_content",
    "is_automatic_forward",
    "is_from_offline",
    "is_paid_post",
    "is_topic_message",
    "link_preview_options",
    "media_group_id",
    "message_id",
    "message_thread_id",
    "paid_star_count",
    "quote",
    "receiver_user",
    "reply_markup",
    "reply_to_checklist_task_id",
    "reply_to_message",
    "reply_to_poll_option_id",
    "reply_to_story",
    "sender_boost_count",
    "sender_business_bot",
    "sender_chat",
    "sender_tag",
    "show_caption_above_media",
    "suggested_post_info",
    "text",
    "via_bot",
];

/// What a message turned out to be.
pub(super) enum Content {
    /// Somebody's words, files, places.
    Carried(Box<InboundMessage>),
    /// A person agreed to be written to.
    OptedIn,
    /// The group has another id now.
    Moved {
        /// The id before.
        from: i64,
        /// The id now.
        to: i64,
    },
    /// Nothing that a person said: Telegram's name for it.
    Service(String),
}

/// Reads the content. The frame is not touched.
pub(super) fn content(message: &Message, raw: &RawValue) -> Content {
    let mut out = InboundMessage {
        text: words(message),
        ..InboundMessage::default()
    };
    if let Some((attachment, facts)) = media(message) {
        out.attachments.push(attachment);
        out.facts = facts;
    } else if let Some(venue) = &message.venue {
        out.location = Some(Location {
            name: venue.title.clone(),
            address: venue.address.clone(),
            ..place(&venue.location)
        });
    } else if let Some(location) = &message.location {
        let live = location.live_period.map(|seconds| seconds.to_string());
        out.facts
            .extend(live.map(|seconds| ("live_period_seconds".into(), seconds)));
        out.location = Some(place(location));
    } else if let Some(contact) = &message.contact {
        out.contacts.push(card(contact));
        let user = contact.user_id.map(|id| id.to_string());
        out.facts
            .extend(user.map(|id| ("contact_user_id".into(), id)));
        let vcard = contact.vcard.clone();
        out.facts
            .extend(vcard.map(|vcard| ("contact_vcard".into(), vcard)));
    } else if let Some(app) = &message.web_app_data {
        out.text = app.button_text.clone().unwrap_or_default();
        out.structured = Some(Structured {
            payload: app.data.clone(),
            title: app.button_text.clone(),
            of: None,
        });
    } else if message.text.as_deref().is_none_or(str::is_empty) {
        return other(message, raw, out);
    }
    Content::Carried(Box::new(out))
}

/// Text, or what stands beside a file.
fn words(message: &Message) -> String {
    let text = message.text.as_ref().or(message.caption.as_ref());
    text.cloned().unwrap_or_default()
}

/// The one file of a message, with facts about it.
fn media(message: &Message) -> Option<(Attachment, Vec<(String, String)>)> {
    use AttachmentKind::{Audio, File as AnyFile, Image, Sticker, Video, Voice};
    let jpeg = Some("image/jpeg"); // photos are recompressed to JPEG by Telegram
    if let Some(file) = &message.animation {
        return Some(attachment(file, Video, Some("video/mp4"), Some("animation")));
    }
    if let Some(live) = &message.live_photo {
        #[derive(Deserialize)]
        struct Still {
            photo: Vec<File>,
        }
        let still: Option<Still> = read(live).ok();
        let sizes = message.photo.as_ref().or(still.as_ref().map(|s| &s.photo));
        if let Some(file) = sizes.and_then(|sizes| sizes.last()) {
            return Some(attachment(file, Image, jpeg, Some("live_photo")));
        }
        let film: File = read(live).ok()?;
        return Some(attachment(&film, Video, Some("video/mp4"), Some("live_photo")));
    }
    if let Some(file) = message.photo.as_ref().and_then(|sizes| sizes.last()) {
        return Some(attachment(file, Image, jpeg, None));
    }
    if let Some(file) = &message.video {
        return Some(attachment(file, Video, Some("video/mp4"), None));
    }
    if let Some(file) = &message.audio {
        return Some(attachment(file, Audio, Some("audio/mpeg"), None));
    }
    if let Some(file) = &message.voice {
        return Some(attachment(file, Voice, Some("audio/ogg"), None));
    }
    if let Some(file) = &message.video_note {
        return Some(attachment(file, Video, Some("video/mp4"), Some("video_note")));
    }
    if let Some(file) = &message.sticker {
        let mime = match (file.is_animated, file.is_video) {
            (Some(true), _) => "application/x-tgsticker",
            (_, Some(true)) => "video/webm",
            _ => "image/webp",
        };
        return Some(attachment(file, Sticker, Some(mime), None));
    }
    let file = message.document.as_ref()?;
    Some(attachment(file, AnyFile, None, None))
}

/// A file as an attachment; `form` is what sets it apart from others of its kind.
fn attachment(
    file: &File,
    kind: AttachmentKind,
    mime: Option<&str>,
    form: Option<&str>,
) -> (Attachment, Vec<(String, String)>) {
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut fact = |name: &str, value: Option<String>| {
        facts.extend(value.map(|value| (name.into(), value)));
    };
    fact("form", form.map(str::to_owned));
    fact("file_unique_id", file.file_unique_id.clone());
    fact("duration_seconds", file.duration.map(|s| s.to_string()));
    fact("performer", file.performer.clone());
    fact("title", file.title.clone());
    fact("sticker_emoji", file.emoji.clone());
    fact("sticker_set", file.set_name.clone());
    let too_big = file.file_size.is_some_and(|size| size > DOWNLOAD_MAX_BYTES);
    let stated = file.mime_type.clone();
    let attachment = Attachment {
        kind,
        name: file.file_name.clone(),
        mime: stated.or_else(|| mime.map(str::to_owned)),
        size_bytes: file.file_size,
        media: (!too_big).then(|| MediaRef::new(&file.file_id)),
    };
    (attachment, facts)
}

fn place(location: &wire::Location) -> Location {
    Location {
        latitude: location.latitude,
        longitude: location.longitude,
        name: None,
        address: None,
    }
}

fn card(contact: &wire::Contact) -> ContactCard {
    let names = [contact.first_name.as_deref(), contact.last_name.as_deref()];
    let names: Vec<&str> = names.into_iter().flatten().collect();
    ContactCard {
        name: names.join(" "),
        first_name: contact.first_name.clone(),
        last_name: contact.last_name.clone(),
        phones: vec![contact.phone_number.clone()],
        ..ContactCard::default()
    }
}

/// A message without anything that we carry.
fn other(message: &Message, raw: &RawValue, mut out: InboundMessage) -> Content {
    if let Some(to) = message.migrate_to_chat_id {
        let from = message.chat.id;
        return Content::Moved { from, to };
    }
    if let Some(from) = message.migrate_from_chat_id {
        let to = message.chat.id;
        return Content::Moved { from, to };
    }
    if message.write_access_allowed.is_some() {
        return Content::OptedIn;
    }
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    let set = |name: &&&str| fields.get(**name).is_some_and(|v| v.get() != "null");
    if let Some(name) = SERVICE.iter().find(set) {
        return Content::Service((*name).to_owned());
    }
    // What is not listed at all is newer than this list: rather shown than lost.
    let unlisted = || {
        let known = |name: &str| FRAME.contains(&name) || is_content(name);
        fields
            .iter()
            .find(|(name, value)| !known(name) && value.get() != "null")
            .map(|(name, _)| name.chars().take(super::NAME_MAX).collect::<String>())
    };
    let name = UNSUPPORTED.iter().find(set).map(|name| (*name).to_owned());
    let Some(name) = name.or_else(unlisted) else {
        return Content::Service("empty".into());
    };
    if let Some(value) = fields.get(name.as_str())
        && value.get().len() <= RAW_FACT_MAX_BYTES {
            out.facts.push((name.clone(), value.get().to_owned()));
        }
    out.unsupported = Some(name);
    Content::Carried(Box::new(out))
}

/// Whether `content` reads a field of this name, so that it is not new to us.
fn is_content(name: &str) -> bool {
    const READ: &[&str] = &[
        "animation",
        "audio",
        "contact",
        "document",
        "location",
        "migrate_from_chat_id",
        "migrate_to_chat_id",
        "sticker",
        "venue",
        "video",
        "video_note",
        "voice",
        "web_app_data",
        "write_access_allowed",
    ];
    READ.contains(&name)
}
