//! A message into parts: one text message, or one MMS, each.

use super::address::is_e164;
use super::config::Settings;
use super::render::{self, Carriage};
use super::segments;
use crate::error::Refused;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Capabilities, Idempotency, IdentityScope, MediaLimit, Outgoing,
    OutgoingAttachment, Pacing, Part, PartBody, Support, TextLimit, Unit,
};

/// Twilio refuses a longer `Body` (21617). Counted in UTF-16 units to be on the safe side.
pub const BODY_MAX: usize = 1600;

/// Media of one message (21623 beyond).
pub const MEDIA_MAX: usize = 10;

/// Text and media of one message together; the media are most of it.
const MEDIA_MAX_BYTES: u64 = 5_000_000;

/// A numbered list of more than this is no longer answered with a number.
const CHOICES_MAX: usize = 10;

const fn media(kind: AttachmentKind) -> MediaLimit {
    MediaLimit {
        kind,
        // What MMS does not take goes as a link.
        mimes: &[],
        max_bytes: MEDIA_MAX_BYTES,
    }
}

/// What an account with these settings can do.
pub fn capabilities(settings: &Settings) -> Capabilities {
    let text = TextLimit {
        max: segments::Encoding::Gsm7
            .capacity(settings.max_segments)
            .min(BODY_MAX),
        unit: Unit::Utf16,
    };
    Capabilities {
        text,
        caption: Some(text),
        media: const {
            &[
                media(AttachmentKind::Image),
                media(AttachmentKind::Video),
                media(AttachmentKind::Audio),
                media(AttachmentKind::File),
            ]
        },
        album: MEDIA_MAX,
        location: Support::Fallback("name, address and a link to a map, as text"),
        contact: Support::Fallback("name, numbers and addresses, as text"),
        reply: Support::Fallback("sent without the quotation"),
        choices: Support::Fallback("a numbered list under the text"),
        max_choices: CHOICES_MAX,
        template: Support::No,
        statuses: &["sent", "delivered", "failed"],
        inbound: &["message", "status", "user"],
        window_hours: None,
        idempotency: Idempotency::None,
        identity: IdentityScope::Phone,
        pacing: Pacing {
            rate_per_second: 10.0,
            rate_burst: 20,
            rate_per_recipient_per_second: None,
            recipient_burst: 1,
            max_in_flight: 10,
        },
    }
}

/// Cuts a message into parts.
///
/// # Errors
/// When SMS cannot carry it.
pub fn plan(message: &Outgoing, settings: &Settings) -> Result<Vec<Part>, Refused> {
    let carried = capabilities(settings);
    refuse(message, &carried)?;
    let first_room = segments::encoding(&message.text)
        .capacity(settings.max_segments)
        .min(BODY_MAX);
    let mut cut = Cut {
        room: first_room,
        apart: false,
    };
    loop {
        let bodies = cut.bodies(message, &carried);
        if u16::try_from(bodies.len()).is_err() {
            return Err(Refused::new("message", "it is too long to be sent"));
        }
        let parts = Part::sequence(message, bodies);
        // Prefix, links and choices are added when a part is rendered: whether it fits shows there.
        let excess = |part: &Part| {
            let body = render::body(part, Carriage::Best);
            excess(&body, settings.max_segments)
        };
        let worst = parts
            .iter()
            .map(|part| (excess(part), part))
            .max_by_key(|(excess, _)| *excess);
        let Some((excess, part)) = worst.filter(|(excess, _)| *excess > 0) else {
            return Ok(parts);
        };
        // A character costs up to two units, so that cutting off half of the excess is never too
        // much; what remains is cut off in the next round.
        let smaller = cut.room.saturating_sub(excess.div_ceil(2));
        if has_text(part) && smaller >= first_room / 8 {
            cut.room = smaller;
        } else if has_links(part) && has_text(part) && !cut.apart {
            cut = Cut {
                room: first_room,
                apart: true,
            };
        } else {
            return Err(too_long(part));
        }
    }
}

/// Refuses what the capabilities do not claim.
fn refuse(message: &Outgoing, carried: &Capabilities) -> Result<(), Refused> {
    let refuse = |argument, why: &str| Err(Refused::new(argument, why));
    if message.is_empty() {
        return refuse("message", "there is nothing to send");
    }
    if message.template.is_some() {
        return refuse("template", "SMS has no templates");
    }
    if !is_e164(&message.to) {
        return refuse("to", "SMS goes to a telephone number such as +46701740605");
    }
    if message.choices.len() > carried.max_choices {
        let why = format!("more than {CHOICES_MAX} choices are no list for a text message");
        return refuse("quick_replies", &why);
    }
    let link = |a: &OutgoingAttachment| carried.carried_as(a.kind, &a.mime).is_some();
    match message.attachments.iter().find(|a| !link(a)) {
        Some(a) => refuse("attachments", &format!("SMS carries no {}", a.kind.name())),
        None => Ok(()),
    }
}

/// How a message is cut: tried with more and more room left for what rendering adds.
struct Cut {
    /// The most UTF-16 units of one piece of text.
    room: usize,
    /// Whether attachments go behind the text instead of with its beginning.
    apart: bool,
}

impl Cut {
    fn bodies(&self, message: &Outgoing, carried: &Capabilities) -> Vec<PartBody> {
        let text = match message.text.trim().is_empty() {
            true => "",
            false => message.text.as_str(),
        };
        let limit = TextLimit {
            max: self.room,
            unit: Unit::Utf16,
        };
        let mut pieces = split(text, limit).into_iter().map(str::to_owned).peekable();
        let mut files = chunks(message, carried).into_iter().peekable();
        let mut bodies = Vec::new();
        if !self.apart && pieces.peek().is_some() {
            bodies.extend(files.next().map(|chunk| media_body(chunk, pieces.next())));
        }
        bodies.extend(pieces.map(|text| PartBody::Text { text }));
        bodies.extend(files.map(|chunk| media_body(chunk, None)));
        let location = message.location.clone();
        bodies.extend(location.map(|location| PartBody::Location { location }));
        let contacts = message.contacts.iter().cloned();
        bodies.extend(contacts.map(|contact| PartBody::Contact { contact }));
        bodies
    }
}

/// Attachments as they go together: ten at most, and no more links than one text message holds.
fn chunks(message: &Outgoing, carried: &Capabilities) -> Vec<Vec<OutgoingAttachment>> {
    // The other half is for the text beside them.
    let links_max = carried.text.max / 2;
    let mut chunks: Vec<Vec<OutgoingAttachment>> = Vec::new();
    let mut links = 0;
    for attachment in &message.attachments {
        let link = match render::goes_as_media(&message.to, attachment) {
            true => 0,
            false => attachment.url.len() + 1,
        };
        let mut attachment = attachment.clone();
        let kind = carried.carried_as(attachment.kind, &attachment.mime);
        attachment.kind = kind.unwrap_or(attachment.kind);
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < MEDIA_MAX && links + link <= links_max => {
                links += link;
                chunk.push(attachment);
            }
            _ => {
                links = link;
                chunks.push(vec![attachment]);
            }
        }
    }
    chunks
}

fn media_body(mut chunk: Vec<OutgoingAttachment>, caption: Option<String>) -> PartBody {
    match (chunk.pop(), chunk.is_empty()) {
        (Some(attachment), true) => PartBody::Media {
            attachment,
            caption,
        },
        (last, _) => {
            chunk.extend(last);
            PartBody::Album {
                attachments: chunk,
                caption,
            }
        }
    }
}

/// By how many units a rendered text is too long; 0 where it fits.
fn excess(body: &str, max_segments: usize) -> usize {
    let count = segments::count(body);
    let over_segments = if count.segments > max_segments {
        let capacity = count.encoding.capacity(max_segments);
        // Characters that moved whole into the next segment are not counted in the units.
        count.units.saturating_sub(capacity).max(1)
    } else {
        0
    };
    let over_body = body.encode_utf16().count().saturating_sub(BODY_MAX);
    over_segments.max(over_body)
}

fn has_text(part: &Part) -> bool {
    match &part.body {
        PartBody::Text { .. } => true,
        PartBody::Media { caption, .. } | PartBody::Album { caption, .. } => caption.is_some(),
        PartBody::Location { .. }
        | PartBody::Contact { .. }
        | PartBody::Template { .. }
        | PartBody::Bundle { .. } => false,
    }
}

fn has_links(part: &Part) -> bool {
    matches!(part.body, PartBody::Media { .. } | PartBody::Album { .. })
}

/// Why a part that cannot be made shorter does not go.
fn too_long(part: &Part) -> Refused {
    let argument = match &part.body {
        _ if !part.choices.is_empty() => "quick_replies",
        PartBody::Location { .. } => "location",
        PartBody::Contact { .. } => "contacts",
        PartBody::Media { .. } | PartBody::Album { .. } => "attachments",
        PartBody::Text { .. } | PartBody::Template { .. } | PartBody::Bundle { .. } => "message",
    };
    Refused::new(argument, "too long for one text message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Choice, ContactCard, MessageId};
    use serde_json::json;

    fn settings(max_segments: usize) -> Settings {
        let mut settings = super::super::sandbox_settings();
        settings["max_segments"] = json!(max_segments);
        Settings::read(settings).unwrap()
    }

    fn message(to: &str, text: &str) -> Outgoing {
        let mut message = Outgoing::new(MessageId(42), to);
        message.text = text.to_owned();
        message
    }

    /// Everything that is rendered fits, and the pieces give the text back.
    fn check(message: &Outgoing, max_segments: usize) -> Vec<Part> {
        let parts = plan(message, &settings(max_segments)).unwrap();
        let mut joined = String::new();
        for part in &parts {
            let body = render::body(part, Carriage::Best);
            let count = segments::count(&body);
            assert!(count.segments <= max_segments, "{count:?} of {max_segments}");
            assert!(body.encode_utf16().count() <= BODY_MAX);
            match &part.body {
                PartBody::Text { text } => joined.push_str(text),
                PartBody::Media { caption, .. } | PartBody::Album { caption, .. } => {
                    joined.extend(caption.clone());
                }
                _ => {}
            }
        }
        assert_eq!(joined, message.text);
        parts
    }

    #[test]
    fn long_texts_stay_within_their_segments() {
        let texts = [
            "a".repeat(1530),
            "a".repeat(1531),
            "words and more words. ".repeat(700),
            "€".repeat(2000),
            "😀".repeat(2000),
            "a😀".repeat(900),
            "a".repeat(160),
            "a".repeat(161),
        ];
        for text in texts {
            for max_segments in [1, 2, 10, 24] {
                let parts = check(&message("+14165550142", &text), max_segments);
                let whole = segments::count(&text).segments;
                assert_eq!(
                    parts.len() == 1,
                    whole <= max_segments && text.encode_utf16().count() <= BODY_MAX,
                    "{whole} segments in {} parts of {max_segments}",
                    parts.len()
                );
            }
        }
    }

    #[test]
    fn choices_links_and_the_number_find_room() {
        let long = "word ".repeat(305);
        let mut asked = message("+14165550142", &long);
        asked.choices = (1..=10)
            .map(|i| Choice {
                title: format!("Choice {i} with € in it"),
                payload: i.to_string(),
                url: None,
            })
            .collect();
        assert!(check(&asked, 10).len() > 1);
        asked.choices.iter_mut().for_each(|c| c.title = "x".repeat(200));
        let refused = plan(&asked, &settings(10)).unwrap_err();
        assert_eq!(refused.argument, "quick_replies");

        // Sweden has no MMS: the link stands in the text, or behind it where both do not fit.
        let link = format!("https://gw.example.net/media/{}.pdf", "k".repeat(100));
        let mut linked = message("+46701740605", &long);
        linked.attachments = vec![OutgoingAttachment::new("a.pdf", link.as_str()); 12];
        let parts = check(&linked, 10);
        let sent: usize = parts
            .iter()
            .map(|p| match &p.body {
                PartBody::Media { .. } => 1,
                PartBody::Album { attachments, .. } => attachments.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(sent, 12);
        check(&linked, 2);
        let endless = format!("https://gw.example.net/{}", "k".repeat(1600));
        linked.attachments = vec![OutgoingAttachment::new("a.pdf", endless.as_str())];
        let refused = plan(&linked, &settings(10)).unwrap_err();
        assert_eq!(refused.argument, "attachments");
        linked.to = "+14165550142".to_owned();
        assert!(plan(&linked, &settings(10)).is_ok());
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let mut carded = message("+14165550142", "");
        carded.contacts = vec![ContactCard {
            name: "n".repeat(2000),
            ..ContactCard::default()
        }];
        let refused = plan(&carded, &settings(10)).unwrap_err();
        assert_eq!(refused.argument, "contacts");
    }
}
