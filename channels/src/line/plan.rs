//! Messages into parts. LINE takes up to five bubbles in one request, whole or not at all, and counts
//! them as one message of the monthly quota: so five bubbles are one part. Order: attachments, text,
//! place, cards; the reply goes on the first part and the buttons on the last.

use super::config::{Settings, is_id};
use super::wire::button_data;
use crate::error::Refused;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Capabilities, Choice, Idempotency, IdentityScope, MediaLimit, Outgoing,
    OutgoingAttachment, Pacing, Part, PartBody, Recipient, Support, TextLimit, Unit,
};
use url::Url;

/// The text of one bubble (Messaging API reference, "Text message": 5000 UTF-16 code units).
pub const TEXT: TextLimit = TextLimit {
    max: 5000,
    unit: Unit::Utf16,
};

/// The most bubbles of a request (Messaging API reference, "Send push message": 5).
pub const BUBBLES_MAX: usize = 5;

/// The most quick replies below a bubble (reference, "Quick reply": 13).
pub const QUICK_REPLIES_MAX: usize = 13;

/// The label of a button (reference, "Action objects": 20 characters).
pub const LABEL: TextLimit = TextLimit {
    max: 20,
    unit: Unit::Utf16,
};

/// What a postback carries, and the link of a button (reference, "Postback action": 300 characters;
/// "URI action": 1000).
pub const DATA_MAX: usize = 300;
pub const LINK_MAX: usize = 1000;

/// The link of a picture, film or recording (reference, "Image message": 2000 characters, https).
pub const MEDIA_LINK_MAX: usize = 2000;

/// Title and address of a place (reference, "Location message": 100 characters).
pub const PLACE_MAX: usize = 100;

const MB: u64 = 1024 * 1024;

const IMAGE: MediaLimit = MediaLimit {
    kind: AttachmentKind::Image,
    mimes: &["image/jpeg", "image/png"],
    max_bytes: 10 * MB,
};
const VIDEO: MediaLimit = MediaLimit {
    kind: AttachmentKind::Video,
    mimes: &["video/mp4"],
    max_bytes: 200 * MB,
};
const AUDIO_MIMES: &[&str] = &["audio/mpeg", "audio/mp4", "audio/m4a", "audio/x-m4a"];
const AUDIO: MediaLimit = MediaLimit {
    kind: AttachmentKind::Audio,
    mimes: AUDIO_MIMES,
    max_bytes: 200 * MB,
};
const VOICE: MediaLimit = MediaLimit {
    kind: AttachmentKind::Voice,
    mimes: AUDIO_MIMES,
    max_bytes: 200 * MB,
};
/// LINE has no files from accounts: the link goes as text, so no size is too big.
const FILE: MediaLimit = MediaLimit {
    kind: AttachmentKind::File,
    mimes: &[],
    max_bytes: u64::MAX,
};

/// Limits of the reference, "Image message" and following.
const MEDIA: &[MediaLimit] = &[IMAGE, VIDEO, AUDIO, VOICE, FILE];
/// The same without a picture that could stand for a film.
const MEDIA_WITHOUT_FILMS: &[MediaLimit] = &[IMAGE, AUDIO, VOICE, FILE];

/// What LINE carries.
pub fn capabilities(settings: &Settings) -> Capabilities {
    Capabilities {
        text: TEXT,
        media: match settings.video_preview_url {
            Some(_) => MEDIA,
            None => MEDIA_WITHOUT_FILMS,
        },
        location: Support::Native,
        contact: Support::Fallback("the card goes as text"),
        reply: Support::Native,
        choices: Support::Native,
        max_choices: QUICK_REPLIES_MAX,
        inbound: &["message", "edit", "delete", "user", "notice", "unknown"],
        idempotency: Idempotency::Key,
        // One person has the same id at all channels of a provider, and another at those of others.
        identity: IdentityScope::Channel,
        // Reference, "Rate limits": 2000 a second per channel and endpoint. A quarter of that, since
        // other programs may use the channel.
        pacing: Pacing {
            rate_per_second: 500.0,
            rate_burst: 1000,
            rate_per_recipient_per_second: None,
            recipient_burst: 1,
            max_in_flight: 16,
        },
        ..Capabilities::default()
    }
}

/// Reads an address that a caller wrote.
///
/// # Errors
/// When it is no user, group or room of LINE.
pub fn recipient(address: &str) -> Result<Recipient, Refused> {
    let address = address.trim();
    if !is_id(address, "UCR") {
        let reason = if address.starts_with('+') || address.starts_with('@') {
            "an account cannot write to telephone numbers or LINE IDs: use the user id of the \
             conversation (U and 32 hexadecimal digits)"
        } else {
            "not a LINE id: U (person), C (group) or R (room) and 32 hexadecimal digits in lower case"
        };
        return Err(Refused::new("to", reason));
    }
    let person = address.starts_with('U');
    Ok(Recipient {
        address: address.to_owned(),
        ids: person.then(|| address.to_owned()).into_iter().collect(),
        phone: None,
        email: None,
        thread: (!person).then(|| address.to_owned()),
        extra: None,
    })
}

/// Cuts a message into parts.
///
/// # Errors
/// When LINE cannot carry it; names the argument.
pub fn plan(message: &Outgoing, capabilities: &Capabilities) -> Result<Vec<Part>, Refused> {
    recipient(&message.to)?;
    if message.template.is_some() {
        let reason = "LINE has no approved templates: send the text itself";
        return Err(Refused::new("template", reason));
    }
    if message.is_empty() {
        return Err(Refused::new("message", "there is nothing to send"));
    }
    check_choices(&message.choices)?;
    if let Some(id) = &message.reply_to
        && (id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()))
    {
        let reason = "not a message that LINE lets an account quote";
        return Err(Refused::new("reply_to", reason));
    }

    let mut bodies = Vec::new();
    for attachment in &message.attachments {
        bodies.push(media(attachment, capabilities)?);
    }
    if !message.text.trim().is_empty() {
        bodies.extend(texts("message", &message.text)?);
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
        let card = contact.as_text();
        if card.trim().is_empty() {
            return Err(Refused::new("contacts", "a card without name and number"));
        }
        bodies.extend(texts("contacts", &card)?);
    }
    Ok(Part::sequence(message, bundles(bodies)))
}

/// Bodies in groups of five, in order.
fn bundles(bodies: Vec<PartBody>) -> Vec<PartBody> {
    let mut rest = bodies.into_iter().peekable();
    let mut out = Vec::new();
    while rest.peek().is_some() {
        let mut bodies: Vec<PartBody> = rest.by_ref().take(BUBBLES_MAX).collect();
        let one = if bodies.len() == 1 { bodies.pop() } else { None };
        out.push(one.unwrap_or(PartBody::Bundle { bodies }));
    }
    out
}

/// An attachment as the kind as which it goes.
fn media(
    attachment: &OutgoingAttachment,
    capabilities: &Capabilities,
) -> Result<PartBody, Refused> {
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
        .ok_or_else(|| refuse("LINE does not carry this type"))?;
    // LINE's apps fetch by https only; a link in a text may be anything.
    let kind = match kind {
        kind if is_media_link(&attachment.url) => kind,
        _ => AttachmentKind::File,
    };
    let attachment = OutgoingAttachment {
        kind,
        ..attachment.clone()
    };
    if kind == AttachmentKind::File && !TEXT.fits(&as_link(&attachment)) {
        return Err(refuse("name and link have more than 5000 characters"));
    }
    Ok(PartBody::Media {
        attachment,
        caption: None,
    })
}

/// Whether LINE's apps would fetch a picture, film or recording from this link.
pub fn is_media_link(url: &str) -> bool {
    let https = Url::parse(url).is_ok_and(|url| url.scheme() == "https");
    https && url.encode_utf16().count() <= MEDIA_LINK_MAX
}

/// A file in words: its name, unless the link shows it, and its link.
pub fn as_link(attachment: &OutgoingAttachment) -> String {
    let OutgoingAttachment { name, url, .. } = attachment;
    if name.trim().is_empty() || url.ends_with(&format!("/{name}")) {
        return url.clone();
    }
    format!("{name}\n{url}")
}

/// Text as bubbles.
fn texts(argument: &'static str, text: &str) -> Result<Vec<PartBody>, Refused> {
    let body = |piece: &str| {
        if piece.trim().is_empty() {
            // LINE refuses a bubble of blanks, and dropping it would change the text.
            let reason = "5000 blanks in a row: LINE takes no bubble of blanks only";
            return Err(Refused::new(argument, reason));
        }
        Ok(PartBody::Text {
            text: piece.to_owned(),
        })
    };
    split(text, TEXT).into_iter().map(body).collect()
}

/// LINE refuses the whole request for one bad button, so it is said before.
fn check_choices(choices: &[Choice]) -> Result<(), Refused> {
    let refuse = |reason: String| Err(Refused::new("quick_replies", reason));
    if choices.len() > QUICK_REPLIES_MAX {
        return refuse(format!("LINE takes at most {QUICK_REPLIES_MAX} buttons"));
    }
    for choice in choices {
        let title = &choice.title;
        if title.trim().is_empty() {
            return refuse("a button without a title".into());
        }
        if !LABEL.fits(title) {
            return refuse(format!("{title}: LINE takes titles of at most 20 characters"));
        }
        match &choice.url {
            Some(url) if !is_button_link(url) => {
                return refuse(format!(
                    "{title}: the link must be http, https, tel or line, of at most {LINK_MAX} \
                     characters"
                ));
            }
            Some(_) => {}
            None if choice.payload.trim().is_empty() => {
                return refuse(format!("{title}: the payload is empty"));
            }
            None => {
                let length = button_data(&choice.payload, title).encode_utf16().count();
                if length > DATA_MAX {
                    return refuse(format!(
                        "{title}: payload and title take {length} characters of LINE's {DATA_MAX}"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Whether LINE lets a button open this link.
pub fn is_button_link(link: &str) -> bool {
    let known = |url: Url| matches!(url.scheme(), "http" | "https" | "tel" | "line");
    link.encode_utf16().count() <= LINK_MAX && Url::parse(link).is_ok_and(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::config::sandbox_settings;
    use crate::model::MessageId;

    const DANA: &str = "Uaaaabbbbccccddddeeeeffff00001111";

    fn kinds(url: &str, kind: AttachmentKind, name: &str, preview: bool) -> AttachmentKind {
        let mut settings = Settings::read(sandbox_settings()).unwrap();
        if !preview {
            settings.video_preview_url = None;
        }
        let mut message = Outgoing::new(MessageId(1), DANA);
        message.attachments = vec![OutgoingAttachment {
            kind,
            ..OutgoingAttachment::new(name, url)
        }];
        let parts = plan(&message, &capabilities(&settings)).unwrap();
        match &parts[0].body {
            PartBody::Media { attachment, .. } => attachment.kind,
            other => panic!("{other:?}"),
        }
    }

    /// Attachments go as what LINE's apps can show, everything else as a link.
    #[test]
    fn what_cannot_be_shown_goes_as_a_link() {
        use AttachmentKind::{Audio, File, Image, Sticker, Video, Voice};
        let long = format!("https://files.example.net/{}.jpg", "a".repeat(2000));
        let cases = [
            ("https://x.example/a.jpg", Image, "a.jpg", true, Image),
            ("http://x.example/a.jpg", Image, "a.jpg", true, File),
            (&long, Image, "a.jpg", true, File),
            ("https://x.example/a.gif", Image, "a.gif", true, File),
            ("https://x.example/a.mp4", Video, "a.mp4", true, Video),
            ("https://x.example/a.mp4", Video, "a.mp4", false, File),
            ("https://x.example/a.m4a", Voice, "a.m4a", true, Voice),
            ("https://x.example/a.mp3", Audio, "a.mp3", true, Audio),
            ("https://x.example/a.webp", Sticker, "a.webp", true, File),
            ("https://x.example/a.pdf", File, "a.pdf", true, File),
        ];
        for (url, kind, name, preview, expected) in cases {
            assert_eq!(kinds(url, kind, name, preview), expected, "{url}");
        }
    }

    #[test]
    fn eleven_bubbles_are_three_requests() {
        let settings = Settings::read(sandbox_settings()).unwrap();
        let mut message = Outgoing::new(MessageId(1), DANA);
        message.attachments = (0..11)
            .map(|i| OutgoingAttachment::new("a.jpg", format!("https://x.example/{i}.jpg")))
            .collect();
        let parts = plan(&message, &capabilities(&settings)).unwrap();
        let sizes: Vec<usize> = parts.iter().map(|part| part.body.flat().len()).collect();
        assert_eq!(sizes, [5, 5, 1]);
        assert!(matches!(parts[2].body, PartBody::Media { .. }));
    }
}
