//! Webhooks into events. Pure and total: whatever is JSON is acknowledged.

use super::render::{self, Api};
use super::wire::{Callback, Content, User, filled, is_user_id};
use crate::error::{Class, Malformed, Words};
use crate::kit::http::{Inbound, Reply};
use crate::kit::json::{read, shape};
use crate::kit::sign::sha256_hex;
use crate::model::{
    Attachment, AttachmentKind, ContactCard, DeliveryStatus, Event, EventBody, InboundMessage,
    Location, MediaRef, Millis, Parsed, Profile, Sender, StatusUpdate, Structured, Thread,
    UserChange,
};
use serde_json::value::RawValue;

/// How much of a name that Viber gave is kept in `Unknown::what`: it becomes a label.
const NAME_MAX: usize = 64;

/// Where the pictures of stickers lie that come without a link.
const STICKERS: &str = "https://viber.github.io/docs/img/stickers";

/// Understands a webhook.
///
/// # Errors
/// When the body is no JSON.
pub fn parse(api: &Api, request: &Inbound) -> Result<Parsed, Malformed> {
    let malformed = |detail: String| Malformed {
        expected: "JSON",
        detail,
    };
    let text = std::str::from_utf8(&request.body).map_err(|e| malformed(e.to_string()))?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|e| malformed(shape(&e)))?;
    let Ok(callback) = serde_json::from_str::<Callback<'_>>(raw.get()) else {
        return Ok(Parsed::events(vec![unknown(raw, "", request)]));
    };
    let kind = callback.event.clone().unwrap_or_default();
    // The handshake of `set_webhook`, and the news of payments, which we do not take.
    if matches!(kind.as_str(), "webhook" | "client_status") {
        return Ok(Parsed::events(Vec::new()));
    }
    let Some((key, sender, body)) = understand(&kind, &callback) else {
        return Ok(Parsed::events(vec![unknown(raw, &kind, request)]));
    };
    let address = sender.ids.first().cloned().unwrap_or_default();
    let threaded = !matches!(body, EventBody::Status(_));
    let event = Event {
        key,
        at: callback.timestamp.map_or(request.received_at, Millis),
        account: None,
        thread: threaded.then(|| Thread {
            address,
            ..Thread::default()
        }),
        sender: Some(sender),
        body,
    };
    let welcome = if kind == "conversation_started" {
        render::welcome(api)
    } else {
        None
    };
    Ok(Parsed {
        // The answer to the opening of a chat is the one that may hold a message.
        reply: welcome.map_or_else(|| Reply::empty(200), |body| Reply::json(200, body)),
        ..Parsed::events(vec![event])
    })
}

/// A webhook that nothing was made of.
fn unknown(raw: &RawValue, kind: &str, request: &Inbound) -> Event {
    let hash: String = sha256_hex(raw.get().as_bytes()).chars().take(32).collect();
    let what = if kind.is_empty() { "callback" } else { kind };
    Event {
        key: format!("u:{hash}"),
        at: request.received_at,
        account: None,
        sender: None,
        thread: None,
        body: EventBody::Unknown {
            what: what.chars().take(NAME_MAX).collect(),
            raw: raw.get().to_owned(),
        },
    }
}

/// Key, person and body of an event. `None`: its kind or its shape is not known.
///
/// `message_token` alone is no key: statuses repeat that of the message which they are about, and
/// `delivered` comes once per device.
fn understand(kind: &str, callback: &Callback<'_>) -> Option<(String, Sender, EventBody)> {
    let token = &callback.message_token.as_ref()?.0;
    let status = |status: DeliveryStatus, error| {
        EventBody::Status(StatusUpdate {
            platform_id: token.clone(),
            status,
            error,
            our_reference: None,
            watermark: None,
        })
    };
    let (sender, body) = match kind {
        "message" => {
            let sender = person(callback.sender.as_ref()?)?;
            (sender, EventBody::Message(message(token, callback)?))
        }
        "delivered" => (by_id(callback)?, status(DeliveryStatus::Delivered, None)),
        "seen" => (by_id(callback)?, status(DeliveryStatus::Read, None)),
        "failed" => {
            let words = filled(callback.desc.clone());
            let words = words.unwrap_or_else(|| "Viber could not deliver it".into());
            // Viber says in words only why; what it accepted and gave up is given up.
            let error = (Class::Recipient, Words::new("failed", words));
            (by_id(callback)?, status(DeliveryStatus::Failed, Some(error)))
        }
        "subscribed" => {
            let sender = person(callback.user.as_ref()?)?;
            (sender, EventBody::User(UserChange::Subscribed { referral: None }))
        }
        "unsubscribed" => (by_id(callback)?, EventBody::User(UserChange::Unsubscribed)),
        // Not a subscription: the person opened the chat, and may be sent nothing but the welcome
        // until they write. What we learn of them is kept.
        "conversation_started" => {
            let mut sender = person(callback.user.as_ref()?)?;
            let referral = filled(callback.context.clone());
            sender.profile.details.extend(
                referral.map(|referral| detail("viber-context", "Viber deep link", referral)),
            );
            let previous_ids = Vec::new();
            (sender, EventBody::User(UserChange::Profile { previous_ids }))
        }
        _ => return None,
    };
    let letter = match kind {
        "message" => "m",
        _ => kind,
    };
    let person = sender.ids.first()?;
    Some((format!("{letter}:{token}:{person}"), sender, body))
}

/// A person of whom only the id is told.
fn by_id(callback: &Callback<'_>) -> Option<Sender> {
    let id = callback.user_id.as_ref().filter(|id| is_user_id(id))?;
    Some(Sender {
        ids: vec![id.clone()],
        ..Sender::default()
    })
}

/// A person as Viber describes them.
fn person(user: &User) -> Option<Sender> {
    if !is_user_id(&user.id) {
        return None;
    }
    let name = filled(user.name.clone()).unwrap_or_default();
    let (first, last) = name.trim().split_once(' ').unwrap_or((name.trim(), ""));
    let some = |text: &str| filled(Some(text.trim().to_owned()));
    let country = filled(user.country.clone());
    let version = user.api_version.map(|version| version.to_string());
    Some(Sender {
        ids: vec![user.id.clone()],
        phone: None,
        email: None,
        profile: Profile {
            first_name: some(first),
            last_name: some(last),
            image_url: filled(user.avatar.clone()).filter(|link| is_link(link)),
            language: filled(user.language.clone()),
            details: country
                .map(|country| detail("country", "Country", country))
                .into_iter()
                .chain(version.map(|v| detail("viber-api-version", "Viber API version", v)))
                .collect(),
        },
    })
}

fn detail(slug: &str, name: &str, value: String) -> (String, String, String) {
    (slug.to_owned(), name.to_owned(), value)
}

fn is_link(link: &str) -> bool {
    link.starts_with("https://") || link.starts_with("http://")
}

/// What a person wrote.
fn message(token: &str, callback: &Callback<'_>) -> Option<InboundMessage> {
    let raw = callback.message?;
    let content: Content = read(raw).ok()?;
    let mut message = InboundMessage {
        platform_id: token.to_owned(),
        ..InboundMessage::default()
    };
    fill(&mut message, &content, raw);
    let tracked = filled(content.tracking_data.clone());
    if let Some(tracked) = &tracked {
        // Our own reference of the last message that the person has: it did arrive.
        message.our_reference = render::reference(tracked);
    }
    let mut fact = |name: &str, value: Option<String>| {
        message.facts.extend(value.map(|value| (name.to_owned(), value)));
    };
    fact("tracking_data", tracked);
    fact("thumbnail", filled(content.thumbnail.clone()));
    fact("duration_seconds", content.duration.map(|d| d.to_string()));
    fact("reply_type", filled(callback.reply_type.clone()));
    fact("chat_id", filled(callback.chat_id.clone()));
    let silent = callback.silent.filter(|silent| *silent);
    fact("silent", silent.map(|_| "true".to_owned()));
    Some(message)
}

/// Fills in what the message holds.
fn fill(message: &mut InboundMessage, content: &Content, raw: &RawValue) {
    let text = content.text.clone().unwrap_or_default();
    let unsupported = |message: &mut InboundMessage| {
        let kind: String = content.kind.chars().take(NAME_MAX).collect();
        message.facts.push(("raw".into(), raw.get().to_owned()));
        message.unsupported = Some(kind);
    };
    match content.kind.as_str() {
        "text" if content.text.is_some() => {
            message.structured = pressed(&text, content.tracking_data.as_deref());
            message.text = match &message.structured {
                Some(pressed) => pressed.title.clone().unwrap_or_else(|| pressed.payload.clone()),
                None => text,
            };
        }
        "picture" | "video" | "file" => {
            message.attachments.push(attachment(content));
            message.text = text;
        }
        "sticker" => {
            let digits = content.sticker_id.as_ref().and_then(|id| id.digits());
            let link = filled(content.media.clone()).filter(|link| is_link(link));
            let link = link.or_else(|| Some(format!("{STICKERS}/{}.png", digits.as_ref()?)));
            message.attachments.push(Attachment {
                kind: AttachmentKind::Sticker,
                name: None,
                mime: None,
                size_bytes: None,
                media: link.map(MediaRef::new),
            });
            message
                .facts
                .extend(digits.map(|digits| ("sticker_id".to_owned(), digits)));
        }
        "contact" => match &content.contact {
            Some(contact) => {
                message.contacts.push(ContactCard {
                    name: filled(contact.name.clone()).unwrap_or_default(),
                    phones: filled(contact.phone_number.clone()).into_iter().collect(),
                    ..ContactCard::default()
                });
                let avatar = filled(contact.avatar.clone());
                let avatar = avatar.map(|link| ("contact_avatar".to_owned(), link));
                message.facts.extend(avatar);
            }
            None => unsupported(message),
        },
        "location" => {
            let place = content.location.as_ref().map(|place| Location {
                latitude: place.lat,
                longitude: place.lon,
                name: None,
                address: None,
            });
            match place.filter(Location::is_valid) {
                Some(place) => message.location = Some(place),
                None => unsupported(message),
            }
        }
        "url" => match filled(content.media.clone()) {
            Some(link) if text.trim().is_empty() || text == link => message.text = link,
            Some(link) => message.text = format!("{text}\n{link}"),
            None => unsupported(message),
        },
        _ => unsupported(message),
    }
}

/// A picture, a film or any other file. Voice notes come as files: the name tells what they are.
fn attachment(content: &Content) -> Attachment {
    let name = filled(content.file_name.clone());
    let mime = name.as_deref().and_then(|name| mime_guess::from_path(name).first());
    let mime = mime.map(|mime| mime.essence_str().to_owned());
    let kind = match content.kind.as_str() {
        "picture" => AttachmentKind::Image,
        "video" => AttachmentKind::Video,
        _ => AttachmentKind::from_mime(mime.as_deref().unwrap_or_default()),
    };
    let link = filled(content.media.clone()).filter(|link| is_link(link));
    Attachment {
        kind,
        name,
        mime,
        size_bytes: content.file_size.or(content.size),
        media: link.map(MediaRef::new),
    }
}

/// A pressed button: a text that is what we put behind one. Viber does not mark presses; the text
/// carries our prefix, or our last message's tracking data names it.
fn pressed(text: &str, tracking_data: Option<&str>) -> Option<Structured> {
    let known = tracking_data.and_then(|data| {
        let mut buttons = render::tracked_buttons(data).into_iter();
        buttons.find(|button| button.body == text)
    });
    match known {
        Some(button) => Some(Structured {
            payload: button.payload,
            title: Some(button.title),
            of: None,
        }),
        None => text
            .strip_prefix(render::PRESS_PREFIX)
            .filter(|payload| !payload.is_empty())
            .map(|payload| Structured {
                payload: payload.to_owned(),
                title: None,
                of: None,
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presses_are_known_by_prefix_and_by_what_was_offered() {
        let data = r#"sb-7-0
[["Yes","Yes","Yes"],["gw:no","no","No, thanks"],["https://a.example/","site","Our site"]]"#;
        let of = |text: &str, data| pressed(text, data).map(|p| (p.payload, p.title));
        let named = |payload: &str, title: &str| Some((payload.to_owned(), Some(title.to_owned())));
        assert_eq!(of("Yes", Some(data)), named("Yes", "Yes"));
        assert_eq!(of("gw:no", Some(data)), named("no", "No, thanks"));
        assert_eq!(of("https://a.example/", Some(data)), named("site", "Our site"));
        assert_eq!(of("gw:other", Some(data)), Some(("other".into(), None)));
        assert_eq!(of("gw:no", None), Some(("no".into(), None)));
        for none in ["Yes", "yes", "gw:", "no", ""] {
            assert_eq!(of(none, None), None, "{none}");
        }
        assert_eq!(of("Yes", Some("sb-7-0")), None);
        assert_eq!(of("Yes", Some("sb-7-0\n[[")), None);
    }
}
