//! Message -> parts: what goes with what, where text is cut, and what is refused. Order: attachments,
//! place, cards, text, so that choices stand under the text.

mod address;
mod choices;
mod template;
mod text;

pub use address::{Address, Platform};
pub use choices::{
    BUTTONS_MAX, Offer, PAYLOAD, QUICK_REPLIES_MAX, TITLE, numbered, offer, payload,
};
pub use template::languages;

use super::config::Settings;
use crate::error::Refused;
use crate::model::{
    AttachmentKind, Capabilities, Idempotency, IdentityScope, MediaLimit, Outgoing,
    OutgoingAttachment, Pacing, Part, PartBody, Support, TextLimit, Unit,
};
use text::split_ending;
use url::Url;

const MIB: u64 = 1024 * 1024;

const fn utf16(max: usize) -> TextLimit {
    TextLimit {
        max,
        unit: Unit::Utf16,
    }
}

const fn bytes(max: usize) -> TextLimit {
    TextLimit {
        max,
        unit: Unit::Bytes,
    }
}

/// Text of one message on Messenger (Send API reference, read November 2026: 2000 characters). Counted in
/// UTF-16 units, which is never less than what Meta counts.
pub const TEXT: TextLimit = utf16(2000);

/// Text of one message on Instagram (Instagram messaging, "Send message": 1000 bytes of UTF-8).
pub const INSTAGRAM_TEXT: TextLimit = bytes(1000);

/// Text above buttons ("Button template": 640 characters). On Instagram the same figure is taken as
/// bytes, since all its texts are counted so.
const BUTTON_TEXT: TextLimit = utf16(640);
const INSTAGRAM_BUTTON_TEXT: TextLimit = bytes(640);

const PICTURES: &[&str] = &["image/jpeg", "image/png", "image/gif"];
const FILMS: &[&str] = &[
    "video/mp4",
    "video/ogg",
    "video/webm",
    "video/quicktime",
    "video/x-msvideo",
    "video/avi",
];
const SOUND: &[&str] = &[
    "audio/aac",
    "audio/m4a",
    "audio/x-m4a",
    "audio/mp4",
    "audio/wav",
    "audio/x-wav",
    "audio/mpeg",
];

/// Attachments of Messenger (Send API and "Saving assets", read November 2026): 25 MB, pictures by link
/// 8 MB. The types are those that Instagram's page lists, and MP3; others go as files.
const MEDIA: &[MediaLimit] = &[
    MediaLimit {
        kind: AttachmentKind::Image,
        mimes: PICTURES,
        max_bytes: 8 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::Video,
        mimes: FILMS,
        max_bytes: 25 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::Audio,
        mimes: SOUND,
        max_bytes: 25 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::Voice,
        mimes: SOUND,
        max_bytes: 25 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::File,
        mimes: &[],
        max_bytes: 25 * MIB,
    },
];

/// What Instagram takes of them: no MP3, and of files PDF alone.
fn instagram_takes(kind: AttachmentKind, mime: &str) -> bool {
    match kind {
        AttachmentKind::File => mime == "application/pdf",
        AttachmentKind::Audio | AttachmentKind::Voice => mime != "audio/mpeg",
        AttachmentKind::Image | AttachmentKind::Video | AttachmentKind::Sticker => true,
    }
}

/// What a channel of this kind can do. Instagram can do less, and `plan` refuses the rest there.
pub fn capabilities() -> Capabilities {
    Capabilities {
        text: TEXT,
        caption: None,
        media: MEDIA,
        album: 1,
        location: Support::Fallback("as text: name, address and a link to a map"),
        contact: Support::Fallback("as text: name, numbers and addresses"),
        reply: Support::Native,
        choices: Support::Native,
        max_choices: choices::CHOICES_MAX,
        template: Support::Native,
        statuses: &["delivered", "read"],
        inbound: &[
            "message", "status", "edit", "delete", "reaction", "user", "notice", "unknown",
        ],
        window_hours: Some(24),
        idempotency: Idempotency::None,
        identity: IdentityScope::Channel,
        pacing: Pacing {
            // Meta takes 300 messages a second and page, but only 10 with sound or film ("Rate limits",
            // read November 2026). A lane has one rate: a third of the former, which the limit on
            // requests under way keeps below the latter wherever Meta has files to fetch.
            rate_per_second: 100.0,
            rate_burst: 200,
            // Our own choice: nobody reads faster.
            rate_per_recipient_per_second: Some(1.0),
            recipient_burst: 5,
            max_in_flight: 16,
        },
    }
}

/// Whether this is a link that Meta may fetch, or a person follow.
pub fn is_web(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// The limit of a text on this platform.
pub const fn text_limit(platform: Platform) -> TextLimit {
    match platform {
        Platform::Messenger => TEXT,
        Platform::Instagram => INSTAGRAM_TEXT,
    }
}

/// The limit of the text above buttons on this platform.
pub const fn button_text_limit(platform: Platform) -> TextLimit {
    match platform {
        Platform::Messenger => BUTTON_TEXT,
        Platform::Instagram => INSTAGRAM_BUTTON_TEXT,
    }
}

/// Cuts a message into parts.
///
/// # Errors
/// When Meta cannot carry it; names the argument.
pub fn plan(
    message: &Outgoing,
    settings: &Settings,
    capabilities: &Capabilities,
) -> Result<Vec<Part>, Refused> {
    let platform = Address::of(&message.to, settings)?.platform;
    if message.is_empty() {
        return Err(Refused::new("message", "there is nothing to send"));
    }
    if message
        .reply_to
        .as_ref()
        .is_some_and(|mid| mid.trim().is_empty())
    {
        return Err(Refused::new("reply_to", "not a message"));
    }
    if let Some(template) = &message.template {
        template::check(message, template, settings, platform)?;
        let template = template.clone();
        return Ok(Part::sequence(
            message,
            vec![PartBody::Template { template }],
        ));
    }
    choices::check(message, platform)?;
    let mut bodies = attachments(&message.attachments, capabilities, platform)?;
    let limit = text_limit(platform);
    let mut texts: Vec<String> = Vec::new();
    if let Some(location) = &message.location {
        if !location.is_valid() {
            let reason = "latitude must be -90 to 90 and longitude -180 to 180";
            return Err(Refused::new("location", reason));
        }
        texts.extend(split_ending(&location.as_text(), limit, limit));
    }
    for contact in &message.contacts {
        let card = contact.as_text();
        if card.trim().is_empty() {
            return Err(Refused::new("contacts", "a card without name and number"));
        }
        texts.extend(split_ending(&card, limit, limit));
    }
    if !message.text.trim().is_empty() {
        let last = choices::room(&message.choices, platform);
        texts.extend(split_ending(&message.text, limit, last));
    } else if !message.choices.is_empty()
        && let Some(end) = texts.pop()
    {
        // The choices stand under the place or card.
        texts.extend(split_ending(
            &end,
            limit,
            choices::room(&message.choices, platform),
        ));
    }
    bodies.extend(texts.into_iter().map(|text| PartBody::Text { text }));
    Ok(Part::sequence(message, bodies))
}

/// The attachments, one part each, as the kinds as which they go. Albums are left alone: on Instagram
/// their limit is not confirmed, on Messenger they are a template with its own rules.
fn attachments(
    attachments: &[OutgoingAttachment],
    capabilities: &Capabilities,
    platform: Platform,
) -> Result<Vec<PartBody>, Refused> {
    let carry = |attachment: &OutgoingAttachment| {
        let refuse = |reason: String| {
            let reason = format!("{}: {reason}", attachment.name);
            Err(Refused::new("attachments", reason))
        };
        if !is_web(&attachment.url) {
            return refuse("the link is not http or https".to_owned());
        }
        let mime = &attachment.mime;
        let Some(kind) = capabilities.carried_as(attachment.kind, mime) else {
            return refuse(format!("Messenger carries no {mime}"));
        };
        if platform == Platform::Instagram && !instagram_takes(kind, mime) {
            return refuse(format!(
                "Instagram carries no {mime}, only common pictures, films and sound, and PDF"
            ));
        }
        let attachment = OutgoingAttachment {
            kind,
            ..attachment.clone()
        };
        Ok(PartBody::Media {
            attachment,
            caption: None,
        })
    };
    attachments.iter().map(carry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messenger::config::sandbox_settings;
    use crate::model::{Choice, ContactCard, MessageId};

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

    fn texts(parts: &[Part]) -> Vec<&str> {
        let mut texts = Vec::new();
        for part in parts {
            match &part.body {
                PartBody::Text { text } => texts.push(text.as_str()),
                other => panic!("{other:?}"),
            }
        }
        texts
    }

    #[test]
    fn each_platform_has_its_own_limit() {
        let lengths = |to: &str, text: &str| {
            let mut message = Outgoing::new(MessageId(1), to);
            message.text = text.to_owned();
            let parts = planned(&message).unwrap();
            assert_eq!(texts(&parts).concat(), text);
            texts(&parts)
                .iter()
                .map(|t| t.chars().count())
                .collect::<Vec<_>>()
        };
        assert_eq!(lengths("7300000000000011", &"x".repeat(2000)), [2000]);
        assert_eq!(lengths("7300000000000011", &"x".repeat(2001)), [2000, 1]);
        assert_eq!(lengths("7300000000000011", &"😀".repeat(1001)), [1000, 1]);
        assert_eq!(lengths("ig:9900000000000021", &"x".repeat(1001)), [1000, 1]);
        assert_eq!(lengths("ig:9900000000000021", &"é".repeat(501)), [500, 1]);
    }

    #[test]
    fn the_text_above_buttons_is_short_and_what_is_before_goes_first() {
        let mut message = Outgoing::new(MessageId(1), "7300000000000011");
        let lengths = |message: &Outgoing| {
            let parts = planned(message).unwrap();
            assert_eq!(parts.last().unwrap().choices, message.choices);
            texts(&parts).iter().map(|t| t.len()).collect::<Vec<_>>()
        };
        message.text = "x".repeat(2000);
        message.choices = vec![choice("Yes"), choice("No")];
        assert_eq!(lengths(&message), [2000], "quick replies take no room");
        message.choices[1].url = Some("https://shop.example/".into());
        assert_eq!(lengths(&message), [1920, 80]);
        message.to = "ig:9900000000000021".into();
        assert_eq!(lengths(&message), [1000, 640, 360]);
        message.to = "7300000000000011".into();
        // Numbered lines need room of their own.
        message.choices = (0..14).map(|i| choice(&format!("Choice {i}"))).collect();
        let room = 2000 - numbered(&message.choices).len();
        assert_eq!(lengths(&message), [room, 2000 - room]);
    }

    #[test]
    fn instagram_takes_less() {
        let refused = |name: &str| {
            let mut message = Outgoing::new(MessageId(1), "ig:9900000000000021");
            let url = format!("https://files.example.net/{name}");
            message.attachments = vec![OutgoingAttachment::new(name, url)];
            planned(&message).err().map(|r| r.argument)
        };
        for name in [
            "a.jpg", "a.gif", "a.mp4", "a.webm", "a.wav", "a.m4a", "a.pdf",
        ] {
            assert_eq!(refused(name), None, "{name}");
        }
        for name in ["a.mp3", "a.zip", "a.webp", "a.ogg", "a"] {
            assert_eq!(refused(name), Some("attachments"), "{name}");
        }
        let mut message = Outgoing::new(MessageId(1), "ig:9900000000000021");
        message.attachments = vec![OutgoingAttachment::new(
            "a.jpg",
            "https://files.example.net/a.jpg",
        )];
        message.choices = vec![choice("Yes")];
        assert_eq!(planned(&message).unwrap_err().argument, "quick_replies");
        message.to = "7300000000000011".into();
        assert_eq!(planned(&message).unwrap().len(), 1);
    }

    #[test]
    fn cards_and_places_carry_choices_too() {
        let mut message = Outgoing::new(MessageId(1), "7300000000000011");
        message.contacts = vec![ContactCard {
            name: "x".repeat(1000),
            ..ContactCard::default()
        }];
        message.choices = vec![choice("Yes")];
        message.choices[0].url = Some("https://shop.example/".into());
        let parts = planned(&message).unwrap();
        assert_eq!(
            texts(&parts).iter().map(|t| t.len()).collect::<Vec<_>>(),
            [640, 360]
        );
        message.contacts[0].name = " ".into();
        assert_eq!(planned(&message).unwrap_err().argument, "contacts");
    }
}
