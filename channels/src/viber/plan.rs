//! Messages into parts. Order: attachments, text, places, cards; before a film its text. The
//! keyboard goes with the last part, since only the last message's is shown.

use super::config::{LINK_MAX, TEXT_MAX};
use super::render::{FILE_MAX_BYTES, Form, VIDEO_MAX_BYTES, escape, form, is_card, keyboard};
use crate::error::Refused;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Capabilities, Choice, Idempotency, IdentityScope, Location, MediaLimit,
    Outgoing, OutgoingAttachment, Pacing, Part, PartBody, Recipient, Support, TextLimit, Unit,
};
use serde_json::json;
use url::Url;

/// The text of one message (REST Bot API, "Text message": 7000 characters).
pub const TEXT: TextLimit = TextLimit {
    max: TEXT_MAX,
    unit: Unit::Chars,
};

/// The text below a picture. The REST Bot API says 768, partners' pages 512: what is surely shown.
pub const CAPTION: TextLimit = TextLimit {
    max: 512,
    unit: Unit::Chars,
};

/// The most bytes of a text as JSON. Viber takes requests of 30 KB; a keyboard, tracking data and
/// the sender need the rest.
const TEXT_JSON_MAX: usize = 16_000;

/// The most bytes of a keyboard as JSON, of the same 30 KB.
const KEYBOARD_JSON_MAX: usize = 8_000;

/// The most buttons: twelve rows are shown, and more than two in a row are too narrow for words.
pub const BUTTONS_MAX: usize = 24;

/// What may stand on a button (REST Bot API, "Keyboards": `Text`, 250 characters of HTML).
pub const TITLE_MAX: usize = 250;

/// A person's id: Viber's have 24 characters of base64; libraries show shorter ones.
const ID_LENGTHS: std::ops::RangeInclusive<usize> = 6..=64;

/// What Viber takes (REST Bot API, "Message types"). Sound and voice notes go as files.
const MEDIA: &[MediaLimit] = &[
    MediaLimit {
        kind: AttachmentKind::Image,
        // A GIF is shown as a still picture, so that it goes as a file.
        mimes: &["image/jpeg", "image/png"],
        // 1 MB on iOS, 3 MB on Android.
        max_bytes: 1024 * 1024,
    },
    MediaLimit {
        kind: AttachmentKind::Video,
        mimes: &["video/mp4"],
        max_bytes: VIDEO_MAX_BYTES,
    },
    MediaLimit {
        kind: AttachmentKind::File,
        mimes: &[],
        max_bytes: FILE_MAX_BYTES,
    },
];

/// What Viber carries.
pub fn capabilities() -> Capabilities {
    Capabilities {
        text: TEXT,
        caption: Some(CAPTION),
        media: MEDIA,
        album: 1,
        location: Support::Fallback("a place; its name and address go before it as a text"),
        contact: Support::Native,
        reply: Support::No,
        choices: Support::Native,
        max_choices: BUTTONS_MAX,
        template: Support::No,
        statuses: &["delivered", "read", "failed"],
        inbound: &["message", "status", "user"],
        window_hours: None,
        idempotency: Idempotency::None,
        identity: IdentityScope::Channel,
        // Viber publishes no rate for an account: fifty a second is our own choice. A person is sent
        // a hundred messages an hour until they answer.
        pacing: Pacing {
            rate_per_second: 50.0,
            rate_burst: 50,
            rate_per_recipient_per_second: Some(100.0 / 3600.0),
            recipient_burst: 100,
            max_in_flight: 16,
        },
    }
}

/// Reads an address that a caller wrote: the id under which this bot knows a person.
///
/// # Errors
/// When it is no such id.
pub fn recipient(address: &str) -> Result<Recipient, Refused> {
    let id = address.trim();
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=_-".contains(&b);
    let phone = id.strip_prefix('+').is_some_and(|rest| {
        let digits = rest.bytes().filter(u8::is_ascii_digit).count();
        digits >= 6 && rest.chars().all(|c| c.is_ascii_digit() || " -()./".contains(c))
    });
    if phone {
        let reason = "a bot cannot write to a telephone number: use the Viber id of a person who \
                      has written to it";
        return Err(Refused::new("to", reason));
    }
    if !ID_LENGTHS.contains(&id.len()) || !id.bytes().all(base64) {
        let reason = "not a Viber id: 24 characters such as A1b2C3d4E5f6G7h8I9j0Kg==";
        return Err(Refused::new("to", reason));
    }
    Ok(Recipient {
        address: id.to_owned(),
        ids: vec![id.to_owned()],
        phone: None,
        email: None,
        thread: None,
        extra: None,
    })
}

/// Cuts a message into parts.
///
/// # Errors
/// When Viber cannot carry it; names the argument.
pub fn plan(message: &Outgoing) -> Result<Vec<Part>, Refused> {
    recipient(&message.to)?;
    if message.template.is_some() {
        let reason = "Viber has no templates: send the text itself";
        return Err(Refused::new("template", reason));
    }
    if message.reply_to.is_some() {
        let reason = "Viber's messages cannot answer a certain message";
        return Err(Refused::new("reply_to", reason));
    }
    if message.is_empty() {
        return Err(Refused::new("message", "there is nothing to send"));
    }
    check_choices(&message.choices)?;

    let attachments = carried(&message.attachments)?;
    let text = Some(message.text.as_str()).filter(|text| !text.trim().is_empty());
    let caption = match attachments.as_slice() {
        [one] if form(one) == Form::Picture => text.filter(|text| CAPTION.fits(text)),
        _ => None,
    };
    let texts = match text {
        Some(text) if caption.is_none() => texts(text)?,
        _ => Vec::new(),
    };
    let film = attachments.iter().any(|a| form(a) == Form::Video);
    let files = attachments.into_iter().map(|attachment| PartBody::Media {
        attachment,
        caption: caption.map(str::to_owned),
    });
    let mut bodies: Vec<PartBody> = if film {
        // A film has no caption: what is said of it comes first.
        texts.into_iter().chain(files).collect()
    } else {
        files.chain(texts).collect()
    };
    if let Some(location) = &message.location {
        bodies.extend(place(location)?);
    }
    for contact in &message.contacts {
        if is_card(contact) {
            bodies.push(PartBody::Contact {
                contact: contact.clone(),
            });
        } else if contact.as_text().trim().is_empty() {
            return Err(Refused::new("contacts", "a card without name and number"));
        } else {
            bodies.extend(self::texts(&contact.as_text())?);
        }
    }
    Ok(Part::sequence(message, bodies))
}

/// A place, and before it what it is called.
fn place(location: &Location) -> Result<Vec<PartBody>, Refused> {
    if !location.is_valid() {
        let reason = "latitude must be -90 to 90 and longitude -180 to 180";
        return Err(Refused::new("location", reason));
    }
    let words: Vec<&str> = [&location.name, &location.address]
        .into_iter()
        .flatten()
        .map(|words| words.trim())
        .filter(|words| !words.is_empty())
        .collect();
    let mut bodies = texts(&words.join("\n"))?;
    bodies.push(PartBody::Location {
        location: location.clone(),
    });
    Ok(bodies)
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
        if !TEXT_ROOM.fits(&attachment.url) {
            return Err(refuse("the link is longer than a message of Viber's"));
        }
        let kind = capabilities
            .carried_as(attachment.kind, &attachment.mime)
            .ok_or_else(|| refuse("Viber does not carry this type"))?;
        Ok(OutgoingAttachment {
            kind,
            ..attachment.clone()
        })
    };
    attachments.iter().map(carry).collect()
}

/// A link that has to go as a text must fit beside a caption.
const TEXT_ROOM: TextLimit = TextLimit {
    max: TEXT_MAX - 600,
    unit: Unit::Chars,
};

/// Text as parts: within Viber's limit of characters, and of bytes once it is JSON.
fn texts(text: &str) -> Result<Vec<PartBody>, Refused> {
    let mut pieces = Vec::new();
    for piece in split(text, TEXT) {
        shorten(piece, &mut pieces);
    }
    let part = |piece: &str| {
        if piece.trim().is_empty() {
            // Viber takes no empty text, and dropping the blanks would change what was said.
            let reason = "7000 blanks in a row: Viber takes no message of blanks only";
            return Err(Refused::new("message", reason));
        }
        Ok(PartBody::Text {
            text: piece.to_owned(),
        })
    };
    pieces.into_iter().map(part).collect()
}

/// Cuts a piece in halves until each is short enough as JSON.
fn shorten<'a>(piece: &'a str, pieces: &mut Vec<&'a str>) {
    let half = TextLimit {
        max: piece.len() / 2 + 1,
        unit: Unit::Bytes,
    };
    if json!(piece).to_string().len() <= TEXT_JSON_MAX {
        pieces.push(piece);
    } else {
        split(piece, half)
            .into_iter()
            .for_each(|half| shorten(half, pieces));
    }
}

/// Viber refuses the whole message for one bad button, so it is said before.
fn check_choices(choices: &[Choice]) -> Result<(), Refused> {
    let refuse = |reason: String| Err(Refused::new("quick_replies", reason));
    if choices.len() > BUTTONS_MAX {
        return refuse(format!("Viber shows at most {BUTTONS_MAX} buttons"));
    }
    for choice in choices {
        let title = &choice.title;
        if title.trim().is_empty() {
            return refuse("a button without a title".into());
        }
        if escape(title).chars().count() > TITLE_MAX {
            return refuse(format!("{title}: a title has at most {TITLE_MAX} characters"));
        }
        match &choice.url {
            Some(url) if !is_button_link(url) => {
                return refuse(format!(
                    "{title}: the link must be http, https or viber, of up to {LINK_MAX} characters"
                ));
            }
            None if choice.payload.trim().is_empty() => {
                return refuse(format!("{title}: the payload is empty"));
            }
            _ => {}
        }
    }
    if !choices.is_empty() && keyboard(choices).to_string().len() > KEYBOARD_JSON_MAX {
        return refuse("titles and payloads are too long together: 8000 bytes are taken".into());
    }
    Ok(())
}

/// Whether a button of Viber's can open this link.
fn is_button_link(link: &str) -> bool {
    let scheme = Url::parse(link).ok().map(|url| url.scheme().to_owned());
    let opens = scheme.is_some_and(|s| matches!(s.as_str(), "http" | "https" | "viber"));
    opens && link.chars().count() <= LINK_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MessageId;

    fn message(text: &str) -> Outgoing {
        let mut message = Outgoing::new(MessageId(1), "A1b2C3d4E5f6G7h8I9j0Kg==");
        message.text = text.into();
        message
    }

    #[test]
    fn texts_fit_in_characters_and_as_json() {
        for (text, pieces) in [
            ("a".repeat(7000), 1),
            ("a".repeat(7001), 2),
            ("😀".repeat(4000), 2),  // 4 bytes each
            ("\u{1}".repeat(7000), 4), // 6 bytes each once escaped
        ] {
            let parts = plan(&message(&text)).unwrap();
            let texts: Vec<&str> = parts
                .iter()
                .map(|part| match &part.body {
                    PartBody::Text { text } => text.as_str(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(texts.concat(), text);
            assert_eq!(texts.len(), pieces);
            assert!(texts.iter().all(|t| json!(t).to_string().len() <= TEXT_JSON_MAX));
        }
    }

    #[test]
    fn addresses() {
        let id = "A1b2C3d4E5f6G7h8I9j0Kg==";
        assert_eq!(recipient(&format!(" {id} ")).unwrap().ids, [id]);
        for nonsense in ["", "a", "dana@example.net", "two words", "@dana", &"x".repeat(65)] {
            let error = recipient(nonsense).unwrap_err();
            assert_eq!(error.argument, "to");
            assert!(error.reason.starts_with("not a Viber id"), "{nonsense}");
        }
        for phone in ["+46 70 174-06 05", "+46701740605"] {
            let error = recipient(phone).unwrap_err();
            assert!(error.reason.contains("telephone"), "{phone}");
        }
    }

    #[test]
    fn a_keyboard_too_large_is_refused() {
        let mut message = message("Choose");
        let choice = |n: usize| Choice {
            title: format!("{n} {}", "t".repeat(200)),
            payload: "p".repeat(200),
            url: None,
        };
        message.choices = (0..20).map(choice).collect();
        assert_eq!(plan(&message).unwrap_err().argument, "quick_replies");
    }
}
