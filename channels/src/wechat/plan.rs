//! Messages into parts. Order: attachments, then everything that is words in as few parts as
//! possible, since each of them is counted by WeChat; the menu stands under the last words.

use crate::error::Refused;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Capabilities, Choice, Idempotency, IdentityScope, MediaLimit, Outgoing,
    OutgoingAttachment, Pacing, Part, PartBody, Recipient, Support, Template, TextLimit, Unit,
};
use url::Url;

/// The text of one message. WeChat takes 2048 bytes (errcode 45002 beyond); a little stays free.
pub const TEXT: TextLimit = TextLimit {
    max: 2000,
    unit: Unit::Bytes,
};

/// The most items of a menu. WeChat states no number; ten fit on a screen.
pub const CHOICES_MAX: usize = 10;

const MB: u64 = 1024 * 1024;

/// What is uploaded as which kind ("Temporary media": image 10 MB, voice 2 MB and 60 seconds, video
/// 10 MB). What WeChat has no kind for goes as a card with a link, of which it takes any.
const MEDIA: &[MediaLimit] = &[
    MediaLimit {
        kind: AttachmentKind::Image,
        mimes: &["image/jpeg", "image/png", "image/gif"],
        max_bytes: 10 * MB,
    },
    MediaLimit {
        kind: AttachmentKind::Voice,
        mimes: VOICE_TYPES,
        max_bytes: 2 * MB,
    },
    MediaLimit {
        kind: AttachmentKind::Audio,
        mimes: VOICE_TYPES,
        max_bytes: 2 * MB,
    },
    MediaLimit {
        kind: AttachmentKind::Video,
        mimes: &["video/mp4"],
        max_bytes: 10 * MB,
    },
    MediaLimit {
        kind: AttachmentKind::File,
        mimes: &[],
        max_bytes: u64::MAX,
    },
];

/// What goes as a voice note.
const VOICE_TYPES: &[&str] = &["audio/mpeg", "audio/amr", "audio/AMR"];

/// What WeChat carries.
pub fn capabilities() -> Capabilities {
    Capabilities {
        text: TEXT,
        caption: None,
        media: MEDIA,
        album: 1,
        location: Support::Fallback("name, address and a map link as text"),
        contact: Support::Fallback("name, numbers and addresses as text"),
        reply: Support::No,
        choices: Support::Native,
        max_choices: CHOICES_MAX,
        template: Support::Native,
        // Of templates alone; nothing is told of other messages after they were taken.
        statuses: &["delivered", "failed"],
        inbound: &["message", "status", "user", "notice", "unknown"],
        window_hours: Some(48),
        idempotency: Idempotency::None,
        identity: IdentityScope::Channel,
        // 500 000 custom messages a day are allowed to a verified account, and no more a second than
        // it can bear; five to a person are all that it takes at once.
        pacing: Pacing {
            rate_per_second: 20.0,
            rate_burst: 50,
            rate_per_recipient_per_second: None,
            recipient_burst: 5,
            max_in_flight: 16,
        },
    }
}

/// Reads an address that a caller wrote: an openid.
///
/// # Errors
/// When it cannot be one.
pub fn recipient(address: &str) -> Result<Recipient, Refused> {
    let address = address.trim();
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let named = address.bytes().any(|b| b.is_ascii_alphabetic());
    if !(6..=64).contains(&address.len()) || !named || !address.bytes().all(alphabet) {
        let reason = "not an openid: people are written to under the id (28 characters, beginning \
                      with o) with which they wrote to this account";
        return Err(Refused::new("to", reason));
    }
    Ok(Recipient {
        address: address.to_owned(),
        ids: vec![address.to_owned()],
        phone: None,
        email: None,
        thread: None,
        extra: None,
    })
}

/// Cuts a message into parts.
///
/// # Errors
/// When WeChat cannot carry it; names the argument.
pub fn plan(message: &Outgoing) -> Result<Vec<Part>, Refused> {
    recipient(&message.to)?;
    if message.reply_to.is_some() {
        let reason = "a WeChat message cannot answer a certain other one";
        return Err(Refused::new("reply_to", reason));
    }
    if message.is_empty() {
        return Err(Refused::new("message", "there is nothing to send"));
    }
    check_choices(&message.choices)?;
    if let Some(template) = &message.template {
        return Ok(Part::sequence(message, vec![approved(message, template)?]));
    }
    let mut bodies = attachments(&message.attachments)?;
    let words = words(message)?;
    if words.is_empty() && !message.choices.is_empty() {
        let reason = "the choices need a text to stand under";
        return Err(Refused::new("quick_replies", reason));
    }
    bodies.extend(split(&words, TEXT).into_iter().map(|piece| PartBody::Text {
        text: piece.to_owned(),
    }));
    Ok(Part::sequence(message, bodies))
}

/// Text, place and cards as one text.
fn words(message: &Outgoing) -> Result<String, Refused> {
    let mut words: Vec<String> = Vec::new();
    if !message.text.trim().is_empty() {
        words.push(message.text.clone());
    }
    if let Some(location) = &message.location {
        if !location.is_valid() {
            let reason = "latitude must be -90 to 90 and longitude -180 to 180";
            return Err(Refused::new("location", reason));
        }
        words.push(location.as_text());
    }
    for contact in &message.contacts {
        if contact.as_text().trim().is_empty() {
            return Err(Refused::new("contacts", "a card without name and number"));
        }
        words.push(contact.as_text());
    }
    Ok(words.join("\n\n"))
}

/// The attachments as the kinds as which they go.
fn attachments(attachments: &[OutgoingAttachment]) -> Result<Vec<PartBody>, Refused> {
    let capabilities = capabilities();
    let carry = |attachment: &OutgoingAttachment| {
        let refuse = |reason: &str| {
            let reason = format!("{}: {reason}", attachment.name);
            Refused::new("attachments", reason)
        };
        if !is_link(&attachment.url) {
            return Err(refuse("the link is not http or https"));
        }
        let kind = capabilities
            .carried_as(attachment.kind, &attachment.mime)
            .ok_or_else(|| refuse("WeChat does not carry this type"))?;
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

fn is_link(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// WeChat shows the items of a menu as links that answer, and nothing else.
fn check_choices(choices: &[Choice]) -> Result<(), Refused> {
    let refuse = |reason: String| Err(Refused::new("quick_replies", reason));
    if choices.len() > CHOICES_MAX {
        return refuse(format!("at most {CHOICES_MAX} choices"));
    }
    for choice in choices {
        if choice.title.trim().is_empty() || choice.payload.trim().is_empty() {
            return refuse("a choice without a title or a payload".into());
        }
        if choice.url.is_some() {
            let title = &choice.title;
            return refuse(format!("{title}: an item of a WeChat menu opens no link"));
        }
    }
    Ok(())
}

/// A template goes alone, its parameters by name.
fn approved(message: &Outgoing, template: &Template) -> Result<PartBody, Refused> {
    let refuse = |reason: &str| Err(Refused::new("template", reason));
    let alone = message.text.trim().is_empty()
        && message.attachments.is_empty()
        && message.location.is_none()
        && message.contacts.is_empty()
        && message.choices.is_empty();
    if !alone {
        return refuse("a template goes without text, attachments or choices beside it");
    }
    if template.name.trim().is_empty() {
        return refuse("the name of a template is its template_id");
    }
    let texts = template.header.iter().chain(&template.body);
    if texts.clone().any(|text| text.name.as_deref().is_none_or(str::is_empty)) {
        return refuse("the parameters of WeChat's templates have names, such as thing1");
    }
    match template.buttons.as_slice() {
        [] => {}
        [link] if is_link(&link.text) => {}
        _ => return refuse("the one button of a template is the http or https link that it opens"),
    }
    Ok(PartBody::Template {
        template: template.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Location, MessageId, TemplateText};

    fn message(text: &str) -> Outgoing {
        let mut message = Outgoing::new(MessageId(1), "oDemoOpenId_0000000000000001");
        message.text = text.into();
        message
    }

    #[test]
    fn addresses_are_openids() {
        let found = recipient(" oDemoOpenId_0000000000000001 ").unwrap();
        assert_eq!(found.address, "oDemoOpenId_0000000000000001");
        for wrong in ["", "o1", "+46701740605", "4670174060500", "a b c d e f", "o/../../../x"] {
            assert_eq!(recipient(wrong).unwrap_err().argument, "to", "{wrong}");
        }
    }

    /// Each part is one of the five messages that a person's message allows.
    #[test]
    fn words_go_together() {
        let mut message = message("Here");
        message.location = Some(Location {
            latitude: 1.5,
            longitude: 2.0,
            name: Some("Gate 3".into()),
            address: None,
        });
        let parts = plan(&message).unwrap();
        let expected = "Here\n\nGate 3\nhttps://maps.google.com/?q=1.5,2";
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].body, PartBody::Text { text: expected.into() });
    }

    #[test]
    fn refusals_name_the_argument() {
        let choice = |title: &str, url: Option<&str>| Choice {
            title: title.into(),
            payload: title.into(),
            url: url.map(str::to_owned),
        };
        let template = |body: Vec<TemplateText>, buttons: Vec<TemplateText>| Template {
            name: "T1".into(),
            languages: Vec::new(),
            header: Vec::new(),
            body,
            buttons,
        };
        let text = |name: Option<&str>, text: &str| TemplateText {
            name: name.map(str::to_owned),
            text: text.into(),
        };
        let change = |f: &dyn Fn(&mut Outgoing)| {
            let mut changed = message("");
            f(&mut changed);
            plan(&changed).map_err(|refused| refused.argument)
        };
        assert_eq!(change(&|_| {}), Err("message"));
        assert_eq!(change(&|m| m.to = "+4670".into()), Err("to"));
        assert_eq!(
            change(&|m| {
                m.text = "x".into();
                m.reply_to = Some("1".into());
            }),
            Err("reply_to")
        );
        for choices in [
            vec![choice("a", Some("https://example.net"))],
            vec![choice(" ", None)],
            vec![choice("a", None); CHOICES_MAX + 1],
        ] {
            let refused = change(&|m| {
                m.text = "x".into();
                m.choices.clone_from(&choices);
            });
            assert_eq!(refused, Err("quick_replies"), "{choices:?}");
        }
        let file = OutgoingAttachment::new("a.jpg", "https://files.example.net/a.jpg");
        assert_eq!(
            change(&|m| {
                m.attachments = vec![file.clone()];
                m.choices = vec![choice("a", None)];
            }),
            Err("quick_replies")
        );
        let ftp = OutgoingAttachment::new("a.jpg", "ftp://files.example.net/a.jpg");
        assert_eq!(change(&|m| m.attachments = vec![ftp.clone()]), Err("attachments"));
        let named = || vec![text(Some("thing1"), "x")];
        for refused in [
            template(vec![text(None, "x")], Vec::new()),
            template(named(), vec![text(None, "no link")]),
            template(named(), vec![text(None, "https://a.example"); 2]),
        ] {
            let got = change(&|m| m.template = Some(refused.clone()));
            assert_eq!(got, Err("template"), "{refused:?}");
        }
        let beside = change(&|m| {
            m.template = Some(template(named(), Vec::new()));
            m.text = "x".into();
        });
        assert_eq!(beside, Err("template"));
        let link = vec![text(None, "https://example.net/1")];
        assert_eq!(change(&|m| m.template = Some(template(named(), link.clone()))).unwrap().len(), 1);
    }
}
