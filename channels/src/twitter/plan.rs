//! Messages into parts. X takes one attachment per message, with a text: the text goes with the
//! first attachment, places, cards and choices go in words.

use super::config::is_user_id;
use crate::error::Refused;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Capabilities, Choice, Idempotency, IdentityScope, MediaLimit, Outgoing,
    OutgoingAttachment, Pacing, Part, PartBody, Recipient, Support, TextLimit, Unit,
};
use url::Url;

/// The text of one message. X is known to take 10 000 characters, which API v2 does not document:
/// a tenth less.
pub const TEXT: TextLimit = TextLimit {
    max: 9000,
    unit: Unit::Chars,
};

/// The text that goes with an attachment: leaves room for its link, where that has to be sent.
pub const CAPTION: TextLimit = TextLimit {
    max: 6500,
    unit: Unit::Chars,
};

/// The longest link of an attachment.
const LINK_MAX: usize = 2000;

/// The most choices that are listed: more is no question any more.
pub const CHOICES_MAX: usize = 20;

const MB: u64 = 1024 * 1024;

/// The most bytes of a picture, a GIF and a film (X API, "Media upload": best practices).
pub const IMAGE_MAX_BYTES: u64 = 5 * MB;
pub const GIF_MAX_BYTES: u64 = 15 * MB;
pub const VIDEO_MAX_BYTES: u64 = 512 * MB;

const MEDIA: &[MediaLimit] = &[
    MediaLimit {
        kind: AttachmentKind::Image,
        mimes: &["image/jpeg", "image/png", "image/webp", "image/gif"],
        max_bytes: GIF_MAX_BYTES,
    },
    MediaLimit {
        kind: AttachmentKind::Video,
        mimes: &["video/mp4"],
        max_bytes: VIDEO_MAX_BYTES,
    },
    // Everything else goes as its link, however large it is.
    MediaLimit {
        kind: AttachmentKind::File,
        mimes: &[],
        max_bytes: u64::MAX,
    },
];

/// What X carries.
pub fn capabilities() -> Capabilities {
    Capabilities {
        text: TEXT,
        caption: Some(CAPTION),
        media: MEDIA,
        album: 1,
        location: Support::Fallback("a text with a map link"),
        contact: Support::Fallback("a text"),
        reply: Support::No,
        choices: Support::Fallback("a numbered list below the text"),
        max_choices: CHOICES_MAX,
        template: Support::No,
        statuses: &["read"],
        inbound: &["message", "status", "typing", "user", "notice"],
        window_hours: None,
        idempotency: Idempotency::None,
        identity: IdentityScope::Kind,
        // X API, "Rate limits": 15 messages in 15 minutes and 1440 a day, per account.
        pacing: Pacing {
            rate_per_second: 1.0 / 60.0,
            rate_burst: 15,
            rate_per_recipient_per_second: None,
            recipient_burst: 15,
            max_in_flight: 4,
        },
    }
}

/// Reads an address that a caller wrote: the numeric id of a user.
///
/// # Errors
/// When it is none.
pub fn recipient(address: &str) -> Result<Recipient, Refused> {
    let id = address.trim();
    if !is_user_id(id) {
        let reason = if id.starts_with('@') {
            "X is written to by the numeric id of a user, not by the name"
        } else if id.starts_with('+') {
            "X knows no telephone numbers: use the numeric id of a user"
        } else {
            "not a user of X: a numeric id such as 1000000000000000002"
        };
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
/// When X cannot carry it; names the argument.
pub fn plan(message: &Outgoing) -> Result<Vec<Part>, Refused> {
    recipient(&message.to)?;
    if message.template.is_some() {
        let reason = "X has no templates: send the text itself";
        return Err(Refused::new("template", reason));
    }
    if message.reply_to.is_some() {
        let reason = "X's API cannot answer a certain message";
        return Err(Refused::new("reply_to", reason));
    }
    if message.is_empty() {
        return Err(Refused::new("message", "there is nothing to send"));
    }
    let listed = listed(&message.choices)?;
    let attachments = carried(&message.attachments)?;
    let blank = message.text.trim().is_empty();
    let text = match (blank, listed.is_empty()) {
        (true, _) => listed,
        (false, true) => message.text.clone(),
        (false, false) => format!("{}\n{listed}", message.text),
    };
    // What follows the text is read after it; the list belongs to the end of the whole.
    let caption = Some(text.as_str()).filter(|text| {
        !text.is_empty() && CAPTION.fits(text) && !attachments.is_empty()
    });
    let mut bodies = match caption {
        None => texts(&text)?,
        Some(_) => Vec::new(),
    };
    for (i, attachment) in attachments.into_iter().enumerate() {
        bodies.push(PartBody::Media {
            attachment,
            caption: caption.filter(|_| i == 0).map(str::to_owned),
        });
    }
    if let Some(location) = &message.location {
        if !location.is_valid() {
            let reason = "latitude must be -90 to 90 and longitude -180 to 180";
            return Err(Refused::new("location", reason));
        }
        bodies.extend(texts(&location.as_text())?);
    }
    for contact in &message.contacts {
        let words = contact.as_text();
        if words.trim().is_empty() {
            return Err(Refused::new("contacts", "a card without name and number"));
        }
        bodies.extend(texts(&words)?);
    }
    Ok(Part::sequence(message, bodies))
}

/// Choices as a numbered list: the person answers with words.
fn listed(choices: &[Choice]) -> Result<String, Refused> {
    let refuse = |reason: String| Err(Refused::new("quick_replies", reason));
    if choices.len() > CHOICES_MAX {
        return refuse(format!("at most {CHOICES_MAX} choices are listed"));
    }
    let mut lines = Vec::with_capacity(choices.len());
    for (i, choice) in choices.iter().enumerate() {
        let (number, title) = (i + 1, choice.title.trim());
        if title.is_empty() {
            return refuse("a choice without a title".into());
        }
        lines.push(match &choice.url {
            Some(url) => format!("{number}. {title}: {url}"),
            None => format!("{number}. {title}"),
        });
    }
    Ok(lines.join("\n"))
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
        if attachment.url.chars().count() > LINK_MAX {
            return Err(refuse("the link is longer than 2000 characters"));
        }
        let kind = capabilities
            .carried_as(attachment.kind, &attachment.mime)
            .ok_or_else(|| refuse("X does not carry this type"))?;
        Ok(OutgoingAttachment {
            kind,
            ..attachment.clone()
        })
    };
    attachments.iter().map(carry).collect()
}

/// Text as parts.
fn texts(text: &str) -> Result<Vec<PartBody>, Refused> {
    let part = |piece: &str| {
        if piece.trim().is_empty() {
            // X takes no empty message, and dropping the blanks would change what was said.
            let reason = "9000 blanks in a row: X takes no message of blanks only";
            return Err(Refused::new("message", reason));
        }
        Ok(PartBody::Text {
            text: piece.to_owned(),
        })
    };
    split(text, TEXT).into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let known = recipient(" 1000000000000000002 ").unwrap();
        assert_eq!(known.address, "1000000000000000002");
        let cases = [
            ("@ada", "not by the name"),
            ("+46 70 174-06 05", "telephone"),
            ("", "not a user"),
            ("ada", "not a user"),
            ("12345678901234567890", "not a user"),
        ];
        for (address, words) in cases {
            let error = recipient(address).unwrap_err();
            assert!(error.argument == "to" && error.reason.contains(words), "{address}");
        }
    }
}
