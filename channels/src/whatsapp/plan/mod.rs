//! Message -> parts: what goes with what, where text is cut, and what is refused.

mod address;
mod choices;
mod template;
mod text;

pub use address::{Address, GROUP, is_user_id, is_wa_id};
pub use choices::{BUTTONS_MAX, Offer, ROWS_MAX, numbered, offer, payload};
pub use template::languages;

use super::config::Settings;
use crate::error::Refused;
use crate::model::{
    AttachmentKind, Capabilities, Idempotency, IdentityScope, MediaLimit, Outgoing, Pacing, Part,
    PartBody, Support, TextLimit, Unit,
};
use choices::CHOICES_MAX;

const MIB: u64 = 1024 * 1024;

/// Types of sound. As a voice note only the last one is shown; the others are plain sound.
const SOUND: &[&str] = &[
    "audio/aac",
    "audio/amr",
    "audio/mpeg",
    "audio/mp4",
    VOICE_NOTE,
];
/// The type that voice notes have.
pub const VOICE_NOTE: &str = "audio/ogg";

/// Attachments (page "Media", read November 2026). A type that is not listed goes as a document.
const MEDIA: &[MediaLimit] = &[
    MediaLimit {
        kind: AttachmentKind::Image,
        mimes: &["image/jpeg", "image/png"],
        max_bytes: 5 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::Video,
        mimes: &["video/mp4", "video/3gpp"],
        max_bytes: 16 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::Audio,
        mimes: SOUND,
        max_bytes: 16 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::Voice,
        mimes: SOUND,
        max_bytes: 16 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::Sticker,
        mimes: &["image/webp"],
        max_bytes: 500 * 1024,
    },
    MediaLimit {
        kind: AttachmentKind::File,
        mimes: &[],
        max_bytes: 100 * MIB,
    },
];

const fn chars(max: usize) -> TextLimit {
    TextLimit {
        max,
        unit: Unit::Chars,
    }
}

/// Text of one message.
pub const TEXT: TextLimit = chars(4096);
/// Text with an attachment.
pub const CAPTION: TextLimit = chars(1024);
/// Text above buttons or a list.
pub const INTERACTIVE: TextLimit = chars(1024);
/// What a channel of this kind can do.
pub fn capabilities() -> Capabilities {
    Capabilities {
        text: TEXT,
        caption: Some(CAPTION),
        media: MEDIA,
        album: 1,
        location: Support::Native,
        contact: Support::Native,
        reply: Support::Native,
        choices: Support::Native,
        max_choices: CHOICES_MAX,
        template: Support::Native,
        statuses: &["sent", "delivered", "read", "failed"],
        inbound: &[
            "message", "status", "edit", "delete", "reaction", "user", "notice", "unknown",
        ],
        window_hours: Some(24),
        idempotency: Idempotency::None,
        identity: IdentityScope::Phone,
        pacing: Pacing {
            // Meta takes 80 per second, inbound included (page "Throughput", read November 2026).
            rate_per_second: 70.0,
            rate_burst: 80,
            rate_per_recipient_per_second: Some(1.0 / 6.0),
            recipient_burst: 10,
            max_in_flight: 32,
        },
    }
}

/// Whether this kind of attachment can be shown with text.
pub fn has_caption(kind: AttachmentKind) -> bool {
    matches!(
        kind,
        AttachmentKind::Image | AttachmentKind::Video | AttachmentKind::File
    )
}

fn is_web(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
}

/// Cuts a message into parts.
///
/// # Errors
/// When WhatsApp cannot carry it; names the argument.
pub fn plan(
    message: &Outgoing,
    settings: &Settings,
    capabilities: &Capabilities,
) -> Result<Vec<Part>, Refused> {
    Address::parse(&message.to)?;
    if message.is_empty() {
        return Err(Refused::new("message", "there is nothing to send"));
    }
    if let Some(template) = &message.template {
        template::check(message, template, settings)?;
        let template = template.clone();
        return Ok(Part::sequence(message, vec![PartBody::Template { template }]));
    }
    choices::check(message)?;
    let mut bodies = attachments(message, capabilities)?;
    if let Some(location) = &message.location {
        if !location.is_valid() {
            let reason = "latitude must be within -90..90 and longitude within -180..180";
            return Err(Refused::new("location", reason));
        }
        let location = location.clone();
        bodies.push(PartBody::Location { location });
    }
    for contact in &message.contacts {
        if contact.name.trim().is_empty() {
            return Err(Refused::new("contacts", "WhatsApp takes no card without a name"));
        }
        let contact = contact.clone();
        bodies.push(PartBody::Contact { contact });
    }
    texts(message, &mut bodies);
    Ok(Part::sequence(message, bodies))
}

/// The attachments, one part each. A single one takes the text as its caption where that fits.
fn attachments(
    message: &Outgoing,
    capabilities: &Capabilities,
) -> Result<Vec<PartBody>, Refused> {
    let mut bodies = Vec::with_capacity(message.attachments.len() + 1);
    for attachment in &message.attachments {
        if !is_web(&attachment.url) {
            let reason = format!("the link of {} is no http or https link", attachment.name);
            return Err(Refused::new("attachments", reason));
        }
        let Some(kind) = capabilities.carried_as(attachment.kind, &attachment.mime) else {
            let reason = format!("WhatsApp carries no {}", attachment.mime);
            return Err(Refused::new("attachments", reason));
        };
        let mut attachment = attachment.clone();
        attachment.kind = kind;
        bodies.push(PartBody::Media {
            attachment,
            caption: None,
        });
    }
    Ok(bodies)
}

/// The text: as the caption of a single attachment, or as parts of its own after the rest, the last one
/// with the choices.
fn texts(message: &Outgoing, bodies: &mut Vec<PartBody>) {
    let text = message.text.as_str();
    if text.trim().is_empty() {
        return;
    }
    let offered = (!message.choices.is_empty()).then(|| offer(&message.choices));
    // Above buttons an attachment is a header; lists and numbered lines have none.
    let headed = matches!(offered, None | Some(Offer::Buttons | Offer::Link));
    // Choices go on the last part, so there an attachment must be the only one.
    let single = message.attachments.len() == 1 && (offered.is_none() || bodies.len() == 1);
    if let Some(PartBody::Media { attachment, caption }) = bodies.first_mut()
        && single
        && headed
        && has_caption(attachment.kind)
        && CAPTION.fits(text)
    {
        *caption = Some(text.to_owned());
        return;
    }
    let last = match offered {
        None => TEXT,
        Some(Offer::Numbered) => {
            chars(TEXT.max.saturating_sub(TEXT.unit.len(&numbered(&message.choices))))
        }
        Some(Offer::Buttons | Offer::Link | Offer::List) => INTERACTIVE,
    };
    let pieces = text::split_ending(text, last);
    bodies.extend(pieces.into_iter().map(|text| PartBody::Text { text }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Choice, MessageId};
    use crate::whatsapp::config::sandbox_settings;

    fn choice(title: &str) -> Choice {
        Choice {
            title: title.to_owned(),
            payload: format!("id-{title}"),
            url: None,
        }
    }

    fn planned(message: &Outgoing) -> Result<Vec<Part>, Refused> {
        let settings = Settings::read(sandbox_settings()).unwrap();
        plan(message, &settings, &capabilities())
    }

    fn texts_of(parts: &[Part]) -> Vec<usize> {
        let length = |p: &Part| match &p.body {
            PartBody::Text { text } => text.chars().count(),
            other => panic!("{other:?}"),
        };
        parts.iter().map(length).collect()
    }

    #[test]
    fn the_text_above_choices_is_short_and_what_is_before_goes_first() {
        let mut message = Outgoing::new(MessageId(1), "15550142233");
        message.choices = vec![choice("Yes"), choice("No")];
        for (length, expected) in [
            (1024, vec![1024]),
            (1025, vec![1024, 1]),
            (4096, vec![3072, 1024]),
            (4097, vec![4096, 1]),
            (9000, vec![4096, 4096, 808]),
            (10_000, vec![4096, 4096, 1024, 784]),
        ] {
            message.text = "x".repeat(length);
            assert_eq!(texts_of(&planned(&message).unwrap()), expected, "{length}");
        }
        // Numbered lines need room of their own.
        message.choices = (0..12).map(|i| choice(&format!("Choice {i}"))).collect();
        let room = 4096 - numbered(&message.choices).chars().count();
        message.text = "x".repeat(4096);
        assert_eq!(texts_of(&planned(&message).unwrap()), [room, 4096 - room]);
    }

    #[test]
    fn no_part_is_blank_and_no_text_is_lost() {
        let mut message = Outgoing::new(MessageId(1), "15550142233");
        for text in [
            format!("{} word{}", "x".repeat(4000), " ".repeat(500)),
            format!("{} last{}", "x".repeat(4091), "\n"),
            format!("{}\n\n", "x ".repeat(2048)),
        ] {
            message.text = text.clone();
            let parts = planned(&message).unwrap();
            let pieces: Vec<&str> = parts
                .iter()
                .map(|p| match &p.body {
                    PartBody::Text { text } => text.as_str(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert!(pieces.iter().all(|p| !p.trim().is_empty() && TEXT.fits(p)), "{pieces:?}");
            assert_eq!(pieces.concat(), text);
        }
        message.text = format!("a{}b", " ".repeat(9000));
        let parts = planned(&message).unwrap();
        assert!(texts_of(&parts).iter().all(|n| (1..=4096).contains(n)));
    }
}
