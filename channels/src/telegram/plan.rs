//! Messages into parts. Order: attachments, text, places, cards; the reply goes on the first part
//! and the buttons on the last.

use super::render::vcard;
use super::wire::{Address, parse_message};
use crate::error::Refused;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Capabilities, Choice, Idempotency, IdentityScope, MediaLimit, Outgoing,
    OutgoingAttachment, Pacing, Part, PartBody, Recipient, Support, TextLimit, Unit,
};
use url::Url;

/// The text of one message (Bot API, `sendMessage`: 1-4096 characters after entities parsing).
/// Counted in UTF-16 units, in which Telegram counts entities: never less than it counts itself.
pub const TEXT: TextLimit = TextLimit {
    max: 4096,
    unit: Unit::Utf16,
};

/// The caption of a file (Bot API, `sendPhoto`: 0-1024 characters).
pub const CAPTION: TextLimit = TextLimit {
    max: 1024,
    unit: Unit::Utf16,
};

/// The most items of an album (Bot API, `sendMediaGroup`: 2-10).
pub const ALBUM_MAX: usize = 10;

/// What a button may carry (Bot API, `InlineKeyboardButton.callback_data`: 1-64 bytes).
pub const PAYLOAD_MAX_BYTES: usize = 64;

/// The most buttons of a keyboard. Not documented; found by others.
pub const BUTTONS_MAX: usize = 100;

/// The most bytes of a contact's vCard (Bot API, `sendContact`: 0-2048).
pub const VCARD_MAX_BYTES: usize = 2048;

const MB: u64 = 1024 * 1024;

/// Upload limits (Bot API, "Sending files"): photos 10 MB, everything else 50 MB. By link Telegram
/// takes less (5 and 20 MB) and `deliver` uploads what it refuses.
const MEDIA: &[MediaLimit] = &[
    MediaLimit {
        kind: AttachmentKind::Image,
        mimes: &["image/jpeg", "image/png", "image/webp"],
        max_bytes: 10 * MB,
    },
    MediaLimit {
        kind: AttachmentKind::Video,
        mimes: &["video/mp4"],
        max_bytes: 50 * MB,
    },
    MediaLimit {
        kind: AttachmentKind::Audio,
        mimes: &["audio/mpeg", "audio/mp4", "audio/m4a", "audio/x-m4a"],
        max_bytes: 50 * MB,
    },
    MediaLimit {
        kind: AttachmentKind::Voice,
        mimes: &["audio/ogg", "audio/mpeg", "audio/mp4", "audio/m4a", "audio/x-m4a"],
        max_bytes: 50 * MB,
    },
    MediaLimit {
        kind: AttachmentKind::Sticker,
        mimes: &["image/webp", "video/webm", "application/x-tgsticker"],
        max_bytes: MB / 2,
    },
    MediaLimit {
        kind: AttachmentKind::File,
        mimes: &[],
        max_bytes: 50 * MB,
    },
];

/// What Telegram carries.
pub fn capabilities() -> Capabilities {
    Capabilities {
        text: TEXT,
        caption: Some(CAPTION),
        media: MEDIA,
        album: ALBUM_MAX,
        location: Support::Native,
        contact: Support::Native,
        reply: Support::Native,
        choices: Support::Native,
        max_choices: BUTTONS_MAX,
        template: Support::No,
        statuses: &[],
        inbound: &[
            "message", "edit", "delete", "reaction", "user", "notice", "unknown",
        ],
        window_hours: None,
        idempotency: Idempotency::None,
        identity: IdentityScope::Kind,
        // Telegram's FAQ for bots: 30 messages a second over all chats, one a second in a chat with
        // short bursts tolerated. Five below the figure, since answers to callbacks share it.
        pacing: Pacing {
            rate_per_second: 25.0,
            rate_burst: 30,
            rate_per_recipient_per_second: Some(1.0),
            recipient_burst: 3,
            max_in_flight: 16,
        },
    }
}

/// Reads an address that a caller wrote.
///
/// # Errors
/// When it is no chat of Telegram.
pub fn recipient(address: &str) -> Result<Recipient, Refused> {
    let chat = Address::parse(address).ok_or_else(|| {
        let reason = if address.trim_start().starts_with('+') {
            "a bot cannot write to a telephone number: use the chat id of the conversation"
        } else {
            "not a Telegram chat: use a chat id (5550001001), a topic (-1001900000001:77) or the \
             @name of a public group or channel"
        };
        Refused::new("to", reason)
    })?;
    let private = chat.is_private();
    Ok(Recipient {
        address: chat.to_string(),
        ids: chat
            .number()
            .filter(|id| *id > 0)
            .map(|id| id.to_string())
            .into_iter()
            .collect(),
        phone: None,
        email: None,
        thread: (!private).then(|| chat.to_string()),
        extra: Some(match chat.number() {
            Some(id) => id.to_string(),
            None => chat.to_string(),
        }),
    })
}

/// Cuts a message into parts.
///
/// # Errors
/// When Telegram cannot carry it; names the argument.
pub fn plan(message: &Outgoing) -> Result<Vec<Part>, Refused> {
    let to = recipient(&message.to)?;
    if message.template.is_some() {
        let reason = "Telegram has no templates: send the text itself";
        return Err(Refused::new("template", reason));
    }
    if message.is_empty() {
        return Err(Refused::new("message", "there is nothing to send"));
    }
    check_choices(&message.choices)?;
    check_reply(message, &to)?;

    let attachments = carried(&message.attachments)?;
    let text = Some(message.text.as_str()).filter(|text| !text.trim().is_empty());
    let mut bodies = groups(attachments);
    if let Some(text) = text {
        let captioned = match bodies.as_mut_slice() {
            [body] => CAPTION.fits(text) && set_caption(body, text, &message.choices),
            _ => false,
        };
        if !captioned {
            bodies.extend(texts(text)?);
        }
    } else {
        let nothing_after = message.location.is_none() && message.contacts.is_empty();
        if nothing_after && !message.choices.is_empty() {
            free_last(&mut bodies);
        }
    }
    if let Some(location) = &message.location {
        if !location.is_valid() {
            let reason = "latitude must be -90 to 90 and longitude -180 to 180";
            return Err(Refused::new("location", reason));
        }
        bodies.push(PartBody::Location {
            location: location.clone(),
        });
    }
    for contact in &message.contacts {
        // A card of Telegram's needs a number; another one goes as text.
        let card = !contact.phones.is_empty()
            && !contact.name.trim().is_empty()
            && vcard(contact).is_none_or(|card| card.len() <= VCARD_MAX_BYTES);
        if card {
            bodies.push(PartBody::Contact {
                contact: contact.clone(),
            });
        } else if contact.as_text().trim().is_empty() {
            return Err(Refused::new("contacts", "a card without name and number"));
        } else {
            bodies.extend(texts(&contact.as_text())?);
        }
    }
    Ok(Part::sequence(message, bodies))
}

/// The attachments as the kinds as which they go.
fn carried(attachments: &[OutgoingAttachment]) -> Result<Vec<OutgoingAttachment>, Refused> {
    let capabilities = capabilities();
    let carry = |attachment: &OutgoingAttachment| {
        let refuse = |reason: &str| {
            let reason = format!("{}: {reason}", attachment.name);
            Refused::new("attachments", reason)
        };
        let link = Url::parse(&attachment.url).ok();
        if !link.is_some_and(|link| matches!(link.scheme(), "http" | "https")) {
            return Err(refuse("the link is not http or https"));
        }
        let kind = capabilities
            .carried_as(attachment.kind, &attachment.mime)
            .ok_or_else(|| refuse("Telegram does not carry this type"))?;
        Ok(OutgoingAttachment {
            kind,
            ..attachment.clone()
        })
    };
    attachments.iter().map(carry).collect()
}

/// Attachments as parts, in order: pictures and films that follow each other form albums.
fn groups(attachments: Vec<OutgoingAttachment>) -> Vec<PartBody> {
    let visual = |a: &OutgoingAttachment| {
        matches!(a.kind, AttachmentKind::Image | AttachmentKind::Video)
    };
    let mut bodies: Vec<PartBody> = Vec::new();
    let mut run: Vec<OutgoingAttachment> = Vec::new();
    for attachment in attachments {
        if !visual(&attachment) || run.len() == ALBUM_MAX {
            bodies.extend(album(std::mem::take(&mut run)));
        }
        if visual(&attachment) {
            run.push(attachment);
        } else {
            bodies.extend(album(vec![attachment]));
        }
    }
    bodies.extend(album(run));
    bodies
}

/// One attachment as itself, several as an album, none as nothing.
fn album(mut attachments: Vec<OutgoingAttachment>) -> Option<PartBody> {
    if attachments.len() > 1 {
        return Some(PartBody::Album {
            attachments,
            caption: None,
        });
    }
    attachments.pop().map(|attachment| PartBody::Media {
        attachment,
        caption: None,
    })
}

/// Puts the text beside the file or album, where Telegram shows it there. `false`: it does not.
fn set_caption(body: &mut PartBody, text: &str, choices: &[Choice]) -> bool {
    match body {
        PartBody::Media {
            attachment,
            caption,
        } if attachment.kind != AttachmentKind::Sticker => {
            *caption = Some(text.to_owned());
            true
        }
        // An album takes no buttons: the text that follows it does.
        PartBody::Album { caption, .. } if choices.is_empty() => {
            *caption = Some(text.to_owned());
            true
        }
        _ => false,
    }
}

/// An album takes no buttons: its last item leaves it, to carry them.
fn free_last(bodies: &mut Vec<PartBody>) {
    let Some(PartBody::Album { attachments, .. }) = bodies.last_mut() else {
        return;
    };
    let last = attachments.pop();
    let rest = std::mem::take(attachments);
    bodies.pop();
    bodies.extend(album(rest));
    bodies.extend(last.and_then(|last| album(vec![last])));
}

/// Text as parts.
fn texts(text: &str) -> Result<Vec<PartBody>, Refused> {
    let part = |piece: &str| {
        if piece.trim().is_empty() {
            // Telegram refuses a message of blanks, and dropping them would change the text.
            let reason = "4096 blanks in a row: Telegram takes no message of blanks only";
            return Err(Refused::new("message", reason));
        }
        Ok(PartBody::Text {
            text: piece.to_owned(),
        })
    };
    split(text, TEXT).into_iter().map(part).collect()
}

/// Telegram refuses the whole message for one bad button, so it is said before.
fn check_choices(choices: &[Choice]) -> Result<(), Refused> {
    let refuse = |reason: String| Err(Refused::new("quick_replies", reason));
    if choices.len() > BUTTONS_MAX {
        return refuse(format!("Telegram takes at most {BUTTONS_MAX} buttons"));
    }
    for choice in choices {
        if choice.title.trim().is_empty() {
            return refuse("a button without a title".into());
        }
        let title = &choice.title;
        match &choice.url {
            Some(url) if !is_button_link(url) => {
                return refuse(format!(
                    "{title}: the link must be http, https or tg, with a public host name"
                ));
            }
            Some(_) => {}
            None if !(1..=PAYLOAD_MAX_BYTES).contains(&choice.payload.len()) => {
                return refuse(format!(
                    "{title}: the payload must have 1 to {PAYLOAD_MAX_BYTES} bytes, this has {}",
                    choice.payload.len()
                ));
            }
            None => {}
        }
    }
    Ok(())
}

/// Whether Telegram lets a button open this link.
fn is_button_link(link: &str) -> bool {
    let Ok(url) = Url::parse(link) else {
        return false;
    };
    match url.scheme() {
        "tg" => true,
        "http" | "https" => url
            .host_str()
            .is_some_and(|host| host.contains('.') && !host.ends_with(".localhost")),
        _ => false,
    }
}

/// A message can only answer one of the same chat.
fn check_reply(message: &Outgoing, to: &Recipient) -> Result<(), Refused> {
    let Some(reply_to) = &message.reply_to else {
        return Ok(());
    };
    let refuse = |reason: &str| Err(Refused::new("reply_to", reason));
    let Some((chat, _)) = parse_message(reply_to) else {
        return refuse("not a message that Telegram lets a bot answer");
    };
    let target = Address::parse(&to.address);
    let same = target.is_some_and(|target| match (target.number(), chat.number()) {
        (Some(target_id), Some(id)) => target_id == id && target.connection == chat.connection,
        // A chat addressed by name tells its number only in the answer.
        _ => true,
    });
    if same {
        Ok(())
    } else {
        refuse("that message is in another chat")
    }
}
