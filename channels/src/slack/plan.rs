//! Messages into parts. Order: text, files, places, cards; with buttons the text comes after the files,
//! since buttons stand under a text. The reply goes on the first part and the buttons on the last.

use super::config::{PLACE_NAME_MAX, Settings, is_place_char};
use super::wire::{Address, Place, parse_message};
use crate::error::Refused;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Capabilities, Choice, Idempotency, IdentityScope, MediaLimit, Outgoing,
    OutgoingAttachment, Pacing, Part, PartBody, Recipient, Support, TextLimit, Unit,
};
use url::Url;

/// The text of one message. Slack advises 4000 characters, shortens beyond 40 000, and clients may
/// split between the two (`chat.postMessage`, "Truncating content", read November 2026).
pub const TEXT: TextLimit = TextLimit {
    max: 3900,
    unit: Unit::Chars,
};

/// Files that one message holds. Slack takes more; ten is what its own apps send at once.
pub const ALBUM_MAX: usize = 10;

/// The most buttons of a message: the elements of one `actions` block (Block Kit reference).
pub const BUTTONS_MAX: usize = 25;

/// The most characters on a button (Block Kit reference, `button.text`).
pub const TITLE_MAX: usize = 75;

/// The most characters that a button gives back (Block Kit reference, `button.value`).
pub const PAYLOAD_MAX: usize = 2000;

/// The longest link that a button opens (Block Kit reference, `button.url`).
pub const LINK_MAX: usize = 3000;

/// The most bytes of a file (Slack help, "Add files to Slack": 1 GB).
const FILE_MAX_BYTES: u64 = 1024 * 1024 * 1024;

const fn takes(kind: AttachmentKind) -> MediaLimit {
    MediaLimit {
        kind,
        mimes: &[],
        max_bytes: FILE_MAX_BYTES,
    }
}

/// To Slack everything is a file.
const MEDIA: &[MediaLimit] = &[
    takes(AttachmentKind::Image),
    takes(AttachmentKind::Video),
    takes(AttachmentKind::Audio),
    takes(AttachmentKind::Voice),
    takes(AttachmentKind::Sticker),
    takes(AttachmentKind::File),
];

/// What Slack carries.
pub fn capabilities() -> Capabilities {
    Capabilities {
        text: TEXT,
        caption: None,
        media: MEDIA,
        album: ALBUM_MAX,
        location: Support::Fallback("in words, with a map link"),
        contact: Support::Fallback("in words"),
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
        identity: IdentityScope::Channel,
        // Slack, "Rate limits": one message a second and channel, short bursts tolerated; several
        // hundred a minute in a workspace.
        pacing: Pacing {
            rate_per_second: 5.0,
            rate_burst: 20,
            rate_per_recipient_per_second: Some(1.0),
            recipient_burst: 3,
            max_in_flight: 8,
        },
    }
}

/// Reads an address that a caller wrote.
///
/// # Errors
/// When it is no conversation or person of Slack.
pub fn recipient(settings: &Settings, address: &str) -> Result<Recipient, Refused> {
    let read = Address::parse(address).ok_or_else(|| {
        let reason = if address.trim_start().starts_with(['#', '@']) {
            "Slack's names change hands: use the id (Copy link or About shows it): C…, G…, D… or U…"
        } else {
            "not a place in Slack: use the id of a channel (C0123ABCD), of a thread in one \
             (C0123ABCD:1795210000.000100), of a person (U0123ABCD), or +name for a new channel"
        };
        Refused::new("to", reason)
    })?;
    let shown = read.to_string();
    let ids = match &read.place {
        Place::Person(user) => {
            let team = settings.team_id.as_ref().map(|team| format!("{team}:{user}"));
            team.into_iter().chain([user.clone()]).collect()
        }
        _ => Vec::new(),
    };
    let thread = match &read.place {
        Place::Person(_) => None,
        _ => Some(shown.clone()),
    };
    Ok(Recipient {
        address: shown,
        ids,
        phone: None,
        email: None,
        thread,
        extra: read.place_id().map(str::to_owned),
    })
}

/// Cuts a message into parts.
///
/// # Errors
/// When Slack cannot carry it; names the argument.
pub fn plan(settings: &Settings, message: &Outgoing) -> Result<Vec<Part>, Refused> {
    let to = recipient(settings, &message.to)?;
    if message.template.is_some() {
        let reason = "Slack has no templates: send the text itself";
        return Err(Refused::new("template", reason));
    }
    if message.is_empty() {
        return Err(Refused::new("message", "there is nothing to send"));
    }
    check_choices(&message.choices)?;
    check_reply(message, &to)?;
    let mut files = files(&message.attachments)?;
    let text = Some(message.text.as_str()).filter(|text| !text.trim().is_empty());
    let texts = text.map(texts).transpose()?.unwrap_or_default();
    let mut bodies = Vec::new();
    if message.choices.is_empty() {
        bodies.extend(texts);
        bodies.append(&mut files);
    } else {
        bodies.append(&mut files);
        bodies.extend(texts);
    }
    if let Some(location) = &message.location {
        if !location.is_valid() {
            let reason = "latitude must be -90 to 90 and longitude -180 to 180";
            return Err(Refused::new("location", reason));
        }
        bodies.extend(self::texts(&location.as_text())?);
    }
    for contact in &message.contacts {
        let words = contact.as_text();
        if words.trim().is_empty() {
            return Err(Refused::new("contacts", "a card without name and number"));
        }
        bodies.extend(self::texts(&words)?);
    }
    let under_text = matches!(bodies.last(), Some(PartBody::Text { .. }));
    if !message.choices.is_empty() && !under_text {
        let reason = "buttons stand under a text: send one with them";
        return Err(Refused::new("quick_replies", reason));
    }
    Ok(Part::sequence(message, bodies))
}

/// Text as parts.
fn texts(text: &str) -> Result<Vec<PartBody>, Refused> {
    let part = |piece: &str| {
        if piece.trim().is_empty() {
            // Slack refuses a message of blanks, and dropping them would change the text.
            let reason = "3900 blanks in a row: Slack takes no message of blanks only";
            return Err(Refused::new("message", reason));
        }
        Ok(PartBody::Text {
            text: piece.to_owned(),
        })
    };
    split(text, TEXT).into_iter().map(part).collect()
}

/// Files as parts, in order: up to ten in a message.
fn files(attachments: &[OutgoingAttachment]) -> Result<Vec<PartBody>, Refused> {
    for attachment in attachments {
        let link = Url::parse(&attachment.url).ok();
        if !link.is_some_and(|link| matches!(link.scheme(), "http" | "https")) {
            let reason = format!("{}: the link is not http or https", attachment.name);
            return Err(Refused::new("attachments", reason));
        }
    }
    let body = |chunk: &[OutgoingAttachment]| match chunk {
        [attachment] => PartBody::Media {
            attachment: attachment.clone(),
            caption: None,
        },
        several => PartBody::Album {
            attachments: several.to_vec(),
            caption: None,
        },
    };
    Ok(attachments.chunks(ALBUM_MAX).map(body).collect())
}

/// Slack refuses the whole message for one bad button, so it is said before.
fn check_choices(choices: &[Choice]) -> Result<(), Refused> {
    let refuse = |reason: String| Err(Refused::new("quick_replies", reason));
    if choices.len() > BUTTONS_MAX {
        return refuse(format!("Slack takes at most {BUTTONS_MAX} buttons"));
    }
    for choice in choices {
        let title = choice.title.trim();
        if title.is_empty() {
            return refuse("a button without a title".into());
        }
        if choice.title.chars().count() > TITLE_MAX {
            return refuse(format!("{title}: a title has at most {TITLE_MAX} characters"));
        }
        match &choice.url {
            Some(url) => {
                let link = Url::parse(url).ok();
                let web = link.is_some_and(|link| matches!(link.scheme(), "http" | "https"));
                if !web || url.chars().count() > LINK_MAX {
                    return refuse(format!("{title}: the link must be http or https, up to {LINK_MAX} characters"));
                }
            }
            None if !(1..=PAYLOAD_MAX).contains(&choice.payload.chars().count()) => {
                return refuse(format!("{title}: the payload must have 1 to {PAYLOAD_MAX} characters"));
            }
            None => {}
        }
    }
    Ok(())
}

/// A message can only answer one of the same place.
fn check_reply(message: &Outgoing, to: &Recipient) -> Result<(), Refused> {
    let Some(reply_to) = &message.reply_to else {
        return Ok(());
    };
    let refuse = |reason: &str| Err(Refused::new("reply_to", reason));
    let Some((channel, _)) = parse_message(reply_to) else {
        return refuse("not a message that Slack lets a bot answer");
    };
    let place = Address::parse(&to.address).map(|address| address.place);
    match place {
        Some(Place::Channel(id)) if id == channel => Ok(()),
        // A person's direct messages tell their id only in the answer.
        Some(Place::Person(_)) if channel.starts_with('D') => Ok(()),
        _ => refuse("that message is somewhere else in Slack"),
    }
}

/// The name of the Slack channel that is made for a conversation: what is plain in the name of the
/// person, and the conversation's number, so that it is the only one.
pub fn place_name(settings: &Settings, person: &str, number: i64) -> String {
    let mut slug = String::new();
    for c in person.chars().flat_map(char::to_lowercase) {
        if is_place_char(c) {
            slug.push(c);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let ending = format!("-{number}");
    let room = PLACE_NAME_MAX - settings.channel_prefix.len() - ending.len();
    let slug: String = slug.trim_matches('-').chars().take(room).collect();
    let slug = if slug.is_empty() { "customer" } else { slug.as_str() };
    format!("{}{slug}{ending}", settings.channel_prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::config::sandbox_settings;

    #[test]
    fn places_are_named_as_slack_allows() {
        let settings = Settings::read(sandbox_settings()).unwrap();
        assert_eq!(place_name(&settings, "Dana  Fields", 12), "cust-dana-fields-12");
        assert_eq!(place_name(&settings, "Гарри", 7), "cust-customer-7");
        let long = place_name(&settings, &"x".repeat(200), i64::MAX);
        assert_eq!(long.len(), PLACE_NAME_MAX);
        for name in [place_name(&settings, "Åsa & Co.", 1), long] {
            assert!(Address::parse(&format!("+{name}")).is_some(), "{name}");
        }
    }

    #[test]
    fn people_are_found_under_both_their_ids() {
        let settings = Settings::read(sandbox_settings()).unwrap();
        let person = recipient(&settings, " U0AGENT001 ").unwrap();
        assert_eq!(person.ids, ["T0SANDBOX1:U0AGENT001", "U0AGENT001"]);
        assert_eq!(person.thread, None);
        let thread = recipient(&settings, "C0X:1795210000.000100").unwrap();
        assert_eq!(thread.thread.as_deref(), Some("C0X:1795210000.000100"));
        assert_eq!(thread.extra.as_deref(), Some("C0X"));
        assert!(recipient(&settings, "#general").unwrap_err().reason.contains("id"));
    }
}
