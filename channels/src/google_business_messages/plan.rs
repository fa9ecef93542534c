//! Messages into parts. Order: text, attachments, places, cards, as callers of `gbm-send-message` know
//! the answers; the suggestions go on the last part, since only the last message's are shown.

use super::parse::LIVE_AGENT;
use crate::error::Refused;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Capabilities, Choice, Idempotency, IdentityScope, MediaLimit, Outgoing,
    OutgoingAttachment, Pacing, Part, PartBody, Recipient, Support, TextLimit, Unit,
};
use url::Url;

/// The text of one message (reference, `conversations.messages`: 3072 characters).
pub const TEXT: TextLimit = TextLimit {
    max: 3072,
    unit: Unit::Chars,
};

/// What is said on a card (reference, `CardContent.description`: 2000 characters).
pub const CAPTION: TextLimit = TextLimit {
    max: 2000,
    unit: Unit::Chars,
};

/// The most suggestions of a message, and those on a card (reference, "Suggestions": 13 and 4).
pub const SUGGESTIONS_MAX: usize = 13;
pub const CARD_SUGGESTIONS_MAX: usize = 4;

/// The most cards that are turned over in one message; a single one is no carousel (reference,
/// `CarouselCard`: 2 to 10).
pub const CAROUSEL_MAX: usize = 10;

/// What stands on a suggestion, and what comes back when it is pressed (reference,
/// `SuggestedReply`: 25 and 2048 characters).
pub const TITLE_MAX: usize = 25;
pub const POSTBACK_MAX: usize = 2048;

/// The longest id of a conversation that is believed: Google's are UUIDs.
const CONVERSATION_MAX: usize = 128;

const MB: u64 = 1024 * 1024;

/// Pictures (reference, `ContentInfo`: JPEG and PNG of 5 MB). Everything else goes as a link in a text,
/// so that no size is too big.
const MEDIA: &[MediaLimit] = &[
    MediaLimit {
        kind: AttachmentKind::Image,
        mimes: &["image/jpeg", "image/png"],
        max_bytes: 5 * MB,
    },
    MediaLimit {
        kind: AttachmentKind::File,
        mimes: &[],
        max_bytes: u64::MAX,
    },
];

/// What Google Business Messages carries.
pub fn capabilities() -> Capabilities {
    Capabilities {
        text: TEXT,
        caption: Some(CAPTION),
        media: MEDIA,
        album: CAROUSEL_MAX,
        location: Support::Fallback("a link of the map goes as text"),
        contact: Support::Fallback("the card goes as text, with buttons that call its numbers"),
        choices: Support::Native,
        max_choices: SUGGESTIONS_MAX,
        statuses: &["delivered", "read"],
        inbound: &["message", "status", "typing"],
        window_hours: Some(30 * 24),
        idempotency: Idempotency::Key,
        // A conversation is of one person with one agent.
        identity: IdentityScope::Channel,
        // Google has published no rates: ten messages a second are our own choice.
        pacing: Pacing {
            rate_per_second: 10.0,
            rate_burst: 20,
            rate_per_recipient_per_second: None,
            recipient_burst: 1,
            max_in_flight: 16,
        },
        ..Capabilities::default()
    }
}

/// Reads an address that a caller wrote: the id of a conversation.
///
/// # Errors
/// When it is no such id.
pub fn recipient(address: &str) -> Result<Recipient, Refused> {
    let id = address.trim();
    let id = id.strip_prefix("conversations/").unwrap_or(id);
    if !is_conversation(id) {
        let reason = if id.starts_with('+') {
            "an agent cannot write to a telephone number: use the conversation id of a person who has \
             written to it"
        } else {
            "not a conversation of Google's: letters, digits and hyphens"
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

/// Whether this can be the id of a conversation: it stands in the path of every call.
pub fn is_conversation(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=CONVERSATION_MAX).contains(&id.len()) && id.bytes().all(plain)
}

/// Cuts a message into parts.
///
/// # Errors
/// When Google cannot carry it; names the argument.
pub fn plan(message: &Outgoing) -> Result<Vec<Part>, Refused> {
    recipient(&message.to)?;
    if message.template.is_some() {
        let reason = "Google Business Messages has no templates: send the text itself";
        return Err(Refused::new("template", reason));
    }
    if message.reply_to.is_some() {
        let reason = "messages of an agent cannot answer a certain message";
        return Err(Refused::new("reply_to", reason));
    }
    if message.is_empty() {
        return Err(Refused::new("message", "there is nothing to send"));
    }
    check_choices(&message.choices)?;

    let mut files = carried(&message.attachments)?;
    let text = Some(message.text.as_str()).filter(|text| !text.trim().is_empty());
    // More suggestions than a card holds want a text to stand under.
    let many = message.choices.len() > CARD_SUGGESTIONS_MAX;
    let caption = text.filter(|text| CAPTION.fits(text) && !many);
    if let ([PartBody::Media { attachment, caption: none }], Some(text)) =
        (files.as_mut_slice(), caption)
        && attachment.kind == AttachmentKind::Image
    {
        *none = Some(text.to_owned());
    }
    let captioned = matches!(files.as_slice(), [PartBody::Media { caption: Some(_), .. }]);
    let texts = match text {
        Some(text) if !captioned => texts("message", text)?,
        _ => Vec::new(),
    };
    let mut words = Vec::new();
    if let Some(location) = &message.location {
        if !location.is_valid() {
            let reason = "latitude must be -90 to 90 and longitude -180 to 180";
            return Err(Refused::new("location", reason));
        }
        words.extend(self::texts("location", &location.as_text())?);
    }
    for contact in &message.contacts {
        let card = contact.as_text();
        if card.trim().is_empty() {
            return Err(Refused::new("contacts", "a card without name and number"));
        }
        if TEXT.fits(&card) {
            let contact = contact.clone();
            words.push(PartBody::Contact { contact });
        } else {
            words.extend(self::texts("contacts", &card)?);
        }
    }
    let on_a_card = many && words.is_empty() && files.last().is_some_and(is_card);
    if on_a_card && texts.is_empty() {
        let reason = format!(
            "more than {CARD_SUGGESTIONS_MAX} choices need a text: a card holds no more of them"
        );
        return Err(Refused::new("quick_replies", reason));
    }
    let first = if on_a_card { (files, texts) } else { (texts, files) };
    let bodies = first.0.into_iter().chain(first.1).chain(words);
    Ok(Part::sequence(message, bodies.collect()))
}

/// Whether suggestions of a part would stand on a card.
fn is_card(body: &PartBody) -> bool {
    match body {
        PartBody::Media { attachment, .. } => attachment.kind == AttachmentKind::Image,
        PartBody::Album { .. } => true,
        _ => false,
    }
}

/// The attachments in order: pictures that follow one another as carousels, everything else alone.
fn carried(attachments: &[OutgoingAttachment]) -> Result<Vec<PartBody>, Refused> {
    let attachments: Vec<OutgoingAttachment> =
        attachments.iter().map(carry).collect::<Result<_, _>>()?;
    let mut bodies = Vec::new();
    let image = |a: &OutgoingAttachment| a.kind == AttachmentKind::Image;
    for run in attachments.chunk_by(|a, b| image(a) && image(b)) {
        for cards in run.chunks(CAROUSEL_MAX) {
            bodies.push(match cards {
                [one] => PartBody::Media {
                    attachment: one.clone(),
                    caption: None,
                },
                several => PartBody::Album {
                    attachments: several.to_vec(),
                    caption: None,
                },
            });
        }
    }
    Ok(bodies)
}

/// An attachment as the kind as which it goes.
fn carry(attachment: &OutgoingAttachment) -> Result<OutgoingAttachment, Refused> {
    let refuse = |reason: &str| {
        let reason = format!("{}: {reason}", attachment.name);
        Refused::new("attachments", reason)
    };
    let link = Url::parse(&attachment.url).ok();
    let scheme = link.map(|link| link.scheme().to_owned()).unwrap_or_default();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(refuse("the link is not http or https"));
    }
    let kind = capabilities()
        .carried_as(attachment.kind, &attachment.mime)
        .ok_or_else(|| refuse("Google Business Messages does not carry this type"))?;
    // Google fetches pictures by https only; a link in a text may be anything.
    let kind = if scheme == "https" { kind } else { AttachmentKind::File };
    let attachment = OutgoingAttachment {
        kind,
        ..attachment.clone()
    };
    if !TEXT.fits(&as_link(&attachment)) {
        return Err(refuse("name and link have more than 3072 characters"));
    }
    Ok(attachment)
}

/// A file in words: its name, unless the link shows it, and its link.
pub fn as_link(attachment: &OutgoingAttachment) -> String {
    let OutgoingAttachment { name, url, .. } = attachment;
    if name.trim().is_empty() || url.ends_with(&format!("/{name}")) {
        return url.clone();
    }
    format!("{name}\n{url}")
}

/// Text as parts.
fn texts(argument: &'static str, text: &str) -> Result<Vec<PartBody>, Refused> {
    let body = |piece: &str| {
        if piece.trim().is_empty() {
            // Google takes no empty text, and dropping the blanks would change what was said.
            let reason = "3072 blanks in a row: Google takes no message of blanks only";
            return Err(Refused::new(argument, reason));
        }
        Ok(PartBody::Text {
            text: piece.to_owned(),
        })
    };
    split(text, TEXT).into_iter().map(body).collect()
}

/// Google refuses the whole message for one bad suggestion, so it is said before.
fn check_choices(choices: &[Choice]) -> Result<(), Refused> {
    let refuse = |reason: String| Err(Refused::new("quick_replies", reason));
    if choices.len() > SUGGESTIONS_MAX {
        return refuse(format!("Google takes at most {SUGGESTIONS_MAX} suggestions"));
    }
    for choice in choices {
        let title = &choice.title;
        if choice.url.is_none() && choice.payload == LIVE_AGENT {
            continue; // Google's own button, with Google's own words on it.
        }
        if title.trim().is_empty() {
            return refuse("a suggestion without a title".into());
        }
        if title.chars().count() > TITLE_MAX {
            return refuse(format!("{title}: a title has at most {TITLE_MAX} characters"));
        }
        if choice.payload.chars().count() > POSTBACK_MAX {
            return refuse(format!("{title}: a payload has at most {POSTBACK_MAX} characters"));
        }
        match &choice.url {
            Some(url) if action(url).is_none() => {
                let links = "http, https, or tel with a number such as +15550100002";
                return refuse(format!("{title}: the link must be {links}"));
            }
            None if choice.payload.trim().is_empty() => {
                return refuse(format!("{title}: the payload is empty"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a suggestion with a link does.
#[derive(Debug, PartialEq, Eq)]
pub enum Opens {
    /// A page.
    Page,
    /// A call of this number in E.164.
    Call(String),
}

/// What a suggestion with this link does. `None`: nothing that Google can.
pub fn action(link: &str) -> Option<Opens> {
    let url = Url::parse(link).ok()?;
    match url.scheme() {
        "http" | "https" => Some(Opens::Page),
        "tel" => e164(url.path()).map(Opens::Call),
        _ => None,
    }
}

/// A telephone number as Google wants it, of one that was written with blanks and hyphens.
pub fn e164(number: &str) -> Option<String> {
    let ornament = |c: char| matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}');
    let number: String = number.chars().filter(|c| !ornament(*c)).collect();
    let digits = number.strip_prefix('+')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    ((7..=15).contains(&digits.len()) && plain).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MessageId;

    fn message(text: &str, files: &[&str], choices: usize) -> Outgoing {
        let mut message = Outgoing::new(MessageId(1), "3fb4a6f2-1d0e-4c55-9a77-6c1b7d0c9e10");
        message.text = text.into();
        let file = |name: &&str| {
            OutgoingAttachment::new(*name, format!("https://x.example/{name}"))
        };
        message.attachments = files.iter().map(file).collect();
        let choice = |n: usize| Choice {
            title: format!("Choice {n}"),
            payload: format!("c{n}"),
            url: None,
        };
        message.choices = (0..choices).map(choice).collect();
        message
    }

    /// A letter for each part: text, picture, link, carousel; a capital one with a caption.
    fn shape(message: &Outgoing) -> String {
        let letter = |part: &Part| match &part.body {
            PartBody::Text { .. } => 't',
            PartBody::Album { .. } => 'c',
            PartBody::Media { attachment, caption } => match (attachment.kind, caption) {
                (AttachmentKind::Image, None) => 'p',
                (AttachmentKind::Image, Some(_)) => 'P',
                (_, None) => 'l',
                (_, Some(_)) => 'L',
            },
            _ => '?',
        };
        plan(message).unwrap().iter().map(letter).collect()
    }

    #[test]
    fn pictures_and_words_find_their_places() {
        for (text, files, choices, expected) in [
            ("hi", &["a.jpg"][..], 0, "P"),
            ("hi", &["a.jpg"], 4, "P"),
            ("hi", &["a.jpg"], 5, "pt"),
            ("", &["a.jpg"], 4, "p"),
            ("hi", &["a.jpg", "b.png"], 0, "tc"),
            ("hi", &["a.jpg", "b.png"], 5, "ct"),
            ("hi", &["a.jpg", "b.pdf", "c.jpg"], 0, "tplp"),
            ("hi", &["a.gif"], 5, "tl"),
            (&"x".repeat(2001), &["a.jpg"], 0, "tp"),
        ] {
            assert_eq!(shape(&message(text, files, choices)), expected, "{files:?} {choices}");
        }
        let eleven = ["a.jpg"; 11];
        assert_eq!(shape(&message("", &eleven, 0)), "cp");
        let refused = plan(&message("", &["a.jpg"], 5)).unwrap_err();
        assert_eq!(refused.argument, "quick_replies");
    }

    #[test]
    fn addresses() {
        let id = "3fb4a6f2-1d0e-4c55-9a77-6c1b7d0c9e10";
        assert_eq!(recipient(&format!(" {id} ")).unwrap().ids, [id]);
        assert_eq!(recipient(&format!("conversations/{id}")).unwrap().address, id);
        for odd in ["", "a/b", "..", "dana@example.net", "two words", &"x".repeat(129)] {
            let error = recipient(odd).unwrap_err();
            assert!(error.reason.starts_with("not a conversation"), "{odd}");
        }
        assert!(recipient("+46701740605").unwrap_err().reason.contains("telephone"));
    }

    #[test]
    fn links_open_pages_or_call() {
        assert_eq!(action("https://example.com/a"), Some(Opens::Page));
        let call = || Some(Opens::Call("+15550100002".into()));
        assert_eq!(action("tel:+1-555-010-0002"), call());
        for odd in ["tel:112", "mailto:a@b.example", "nonsense", "javascript:x"] {
            assert_eq!(action(odd), None, "{odd}");
        }
    }
}
