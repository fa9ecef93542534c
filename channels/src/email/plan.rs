//! A message becomes one mail, as a rule: text and files together. Only a text beyond any letter is cut.

use super::wire::address::Address;
use crate::error::Refused;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Capabilities, Idempotency, IdentityScope, MediaLimit, Outgoing, Pacing, Part,
    PartBody, Recipient, Support, TextLimit, Unit,
};

/// The text of one mail. Providers take 20 MB; a letter of half a megabyte is a book already.
const TEXT_BYTES: usize = 500_000;
/// The largest file: 20 MB less what base64 adds, with room for text and headers.
const FILE_BYTES: u64 = 14 * 1024 * 1024;
/// Recipients of one mail. Lists are written to with one message each.
const RECIPIENTS: usize = 50;
/// Choices that a numbered list can hold and still be read.
const CHOICES: usize = 20;

/// Any file; mail knows no kinds of them.
static MEDIA: [MediaLimit; 1] = [MediaLimit {
    kind: AttachmentKind::File,
    mimes: &[],
    max_bytes: FILE_BYTES,
}];

/// What mail can carry.
pub fn capabilities() -> Capabilities {
    Capabilities {
        text: TextLimit {
            max: TEXT_BYTES,
            unit: Unit::Bytes,
        },
        caption: None,
        media: &MEDIA,
        album: 1,
        location: Support::Fallback("words and a map link under the text"),
        contact: Support::Native,
        reply: Support::Native,
        choices: Support::Fallback("a numbered list under the text"),
        max_choices: CHOICES,
        template: Support::No,
        statuses: &["delivered", "failed", "read"],
        inbound: &["message", "status", "user", "notice"],
        window_hours: None,
        // A Message-ID that comes twice is dropped by most receivers, and by no rule.
        idempotency: Idempotency::None,
        identity: IdentityScope::Email,
        pacing: Pacing {
            rate_per_second: 1.0,
            rate_burst: 10,
            rate_per_recipient_per_second: Some(0.5),
            recipient_burst: 5,
            max_in_flight: 4,
        },
    }
}

/// Reads one address or several, with commas; shown names are dropped.
///
/// # Errors
/// When one of them is no address, or there are none or too many.
pub fn recipient(text: &str) -> Result<Recipient, Refused> {
    let mut addresses: Vec<Address> = Vec::new();
    for entry in text.split([',', ';']).map(str::trim).filter(|e| !e.is_empty()) {
        let inside = entry.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>'));
        let address = Address::read(inside.unwrap_or(entry));
        let address = address.ok_or_else(|| Refused::new("to", "this is no e-mail address"))?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let Some(first) = addresses.first() else {
        return Err(Refused::new("to", "there is no e-mail address"));
    };
    if addresses.len() > RECIPIENTS {
        let reason = format!("a mail goes to at most {RECIPIENTS} addresses");
        return Err(Refused::new("to", reason));
    }
    let first = first.text().to_owned();
    let all: Vec<&str> = addresses.iter().map(Address::text).collect();
    Ok(Recipient {
        address: all.join(", "),
        ids: vec![first.clone()],
        phone: None,
        email: Some(first),
        thread: None,
        extra: None,
    })
}

/// Plans a message.
///
/// # Errors
/// When mail cannot carry it.
pub fn plan(message: &Outgoing) -> Result<Vec<Part>, Refused> {
    recipient(&message.to)?;
    if message.template.is_some() {
        return Err(Refused::new("template", "mail has no approved templates"));
    }
    if message.is_empty() {
        return Err(Refused::new("message", "there is nothing to send"));
    }
    if message.choices.len() > CHOICES {
        let reason = format!("a mail offers at most {CHOICES} choices");
        return Err(Refused::new("quick_replies", reason));
    }
    if message.location.as_ref().is_some_and(|l| !l.is_valid()) {
        return Err(Refused::new("location", "these are no coordinates"));
    }
    for attachment in &message.attachments {
        let scheme = attachment.url.split(':').next().unwrap_or_default();
        if !matches!(scheme, "http" | "https") {
            let reason = format!("{:?} is no http link", attachment.name);
            return Err(Refused::new("attachments", reason));
        }
    }
    let limit = capabilities().text;
    let text = if message.text.trim().is_empty() { "" } else { &message.text };
    let mut texts: Vec<PartBody> = split(text, limit)
        .into_iter()
        .map(|text| PartBody::Text {
            text: text.to_owned(),
        })
        .collect();
    // What belongs to the text goes with its end.
    let mut bodies: Vec<PartBody> = texts.pop().into_iter().collect();
    bodies.extend(message.location.clone().map(|location| PartBody::Location { location }));
    bodies.extend(message.contacts.iter().cloned().map(|contact| PartBody::Contact { contact }));
    bodies.extend(message.attachments.iter().cloned().map(|attachment| PartBody::Media {
        attachment,
        caption: None,
    }));
    texts.push(match <[PartBody; 1]>::try_from(bodies) {
        Ok([one]) => one,
        Err(bodies) => PartBody::Bundle { bodies },
    });
    Ok(Part::sequence(message, texts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_one_or_several() {
        for (text, address) in [
            ("a@x.se", "a@x.se"),
            ("Anna Berg <Anna@X.se>", "anna@x.se"),
            ("a@x.se, b@x.se; A@x.se", "a@x.se, b@x.se"),
        ] {
            assert_eq!(recipient(text).unwrap().address, address);
        }
        for text in ["", ",", "a", "a@x.se, b", "a@x.se\r\nBcc: b@x.se", "<a@x.se> b"] {
            assert_eq!(recipient(text).unwrap_err().argument, "to", "{text}");
        }
        let many: Vec<String> = (0..=RECIPIENTS).map(|i| format!("a{i}@x.se")).collect();
        assert!(recipient(&many.join(",")).is_err());
    }
}
