//! What people wrote, and what we wrote by hand in the platform's app.

use super::people::{self, People};
use super::{Scope, compact};
use crate::kit::json;
use crate::model::{
    Attachment, AttachmentKind, ContactCard, Delete, Edit, Event, EventBody, InboundMessage,
    Location, MediaRef, Reaction, Sender, Structured, UserChange,
};
use crate::whatsapp::classify;
use crate::whatsapp::wire::{self, Raw};

/// A message that a person wrote.
pub fn inbound(scope: &Scope, people: &People, raw: Raw<'_>) -> Event {
    element(scope, raw, |message| {
        let from = message.from.as_deref();
        let sender = people.find(from, message.from_user_id.as_deref());
        if message.kind.as_deref() == Some("system") {
            return system(message, sender);
        }
        Some((sender?, body(scope, message)?))
    })
}

/// A message that one of us wrote by hand; the contact is whom it went to.
pub fn echo(scope: &Scope, people: &People, raw: Raw<'_>) -> Event {
    element(scope, raw, |message| {
        let to = message.to.as_deref();
        let sender = people.find(to, message.to_user_id.as_deref())?;
        let body = match body(scope, message)? {
            EventBody::Message(message) => EventBody::Message(InboundMessage {
                from_us: true,
                ..message
            }),
            // The model's reactions are the contact's; one of ours changes nothing for the backend.
            EventBody::Reaction(_) => return None,
            other => other,
        };
        Some((sender, body))
    })
}

/// Reads an element; what is not understood is kept under its id where that can be read.
fn element(
    scope: &Scope,
    raw: Raw<'_>,
    understand: impl FnOnce(&wire::Message<'_>) -> Option<(Sender, EventBody)>,
) -> Event {
    let id = json::read::<wire::Identified>(raw).ok().and_then(|i| i.id);
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return scope.unknown("message", raw);
    };
    let key = format!("m:{id}");
    let Ok(message) = json::read::<wire::Message<'_>>(raw) else {
        return scope.unknown_as(key, "message", raw);
    };
    match understand(&message) {
        Some((sender, body)) => {
            let thread = people::thread(&sender, message.group_id.as_deref());
            scope.event_of(key, scope.time(message.timestamp), (sender, thread), body)
        }
        None => {
            let kind = message.kind.as_deref().unwrap_or("without type");
            scope.unknown_as(key, &format!("message {kind}"), raw)
        }
    }
}

/// The person's number or id changed, or their encryption key.
/// Where the number is withheld, only the ids in the element itself say who it was.
fn system(message: &wire::Message<'_>, sender: Option<Sender>) -> Option<(Sender, EventBody)> {
    let system = message.system.as_ref()?;
    let change = |previous_ids| EventBody::User(UserChange::Profile { previous_ids });
    match system.kind.as_deref()? {
        "user_changed_number" | "customer_changed_number" | "user_changed_user_id" => {
            let number = system.wa_id.as_deref().or(system.new_wa_id.as_deref());
            let mut now = people::person(number, system.user_id.as_deref());
            if now.ids.is_empty() {
                return None;
            }
            let sender = sender.unwrap_or_default();
            now.profile = sender.profile;
            let before = system.previous_user_id.iter().chain(&sender.ids);
            let mut previous: Vec<String> = Vec::new();
            for id in before {
                if !now.ids.contains(id) && !previous.contains(id) {
                    previous.push(id.clone());
                }
            }
            Some((now, change(previous)))
        }
        "customer_identity_changed" => {
            let mut sender = sender?;
            let hash = message.identity.as_ref().and_then(|i| i.hash.clone());
            sender.profile.details.extend(hash.map(|hash| {
                let (slug, name) = ("identity-key", "Identity key");
                (slug.to_owned(), name.to_owned(), hash)
            }));
            Some((sender, change(Vec::new())))
        }
        _ => None,
    }
}

/// What the message is; `None` when its content is not what its type promises.
fn body(scope: &Scope, message: &wire::Message<'_>) -> Option<EventBody> {
    match message.kind.as_deref()? {
        "reaction" => {
            let reaction = message.reaction.as_ref()?;
            let emoji = reaction.emoji.clone().unwrap_or_default();
            Some(EventBody::Reaction(Reaction {
                target: filled(&reaction.message_id)?,
                added: !emoji.is_empty(),
                emoji,
            }))
        }
        "edit" => {
            let edit = message.edit.as_ref()?;
            let now: wire::Message<'_> = json::read(edit.message?).ok()?;
            let content = content(scope, now.kind.as_deref()?, &now)?;
            if content.unsupported.is_some() {
                return None; // an edit to nothing would wipe what the message said
            }
            Some(EventBody::Edit(Edit {
                target: filled(&edit.original_message_id)?,
                text: content.text,
                attachments: Some(content.attachments).filter(|a| !a.is_empty()),
            }))
        }
        "revoke" => Some(EventBody::Delete(Delete {
            target: filled(&message.revoke.as_ref()?.original_message_id)?,
        })),
        kind => {
            let content = content(scope, kind, message);
            let content = content.or_else(|| failed(kind, message))?;
            Some(EventBody::Message(finish(content, message)))
        }
    }
}

fn filled(text: &Option<String>) -> Option<String> {
    text.clone().filter(|t| !t.is_empty())
}

/// The id, what is answered, and the facts that every type can have.
fn finish(mut content: InboundMessage, message: &wire::Message<'_>) -> InboundMessage {
    content.platform_id = message.id.clone().unwrap_or_default();
    content.our_reference = message.biz_opaque_callback_data.clone();
    if let Some(context) = &message.context {
        content.reply_to = filled(&context.id);
        if context.forwarded == Some(true) {
            fact(&mut content, "forwarded", "true");
        }
        if context.frequently_forwarded == Some(true) {
            fact(&mut content, "frequently_forwarded", "true");
        }
        if let Some(product) = context.referred_product {
            fact(&mut content, "referred_product", compact(product));
        }
    }
    if let Some(structured) = &mut content.structured {
        structured.of = content.reply_to.clone();
    }
    if let Some(referral) = message.referral {
        fact(&mut content, "referral", compact(referral));
    }
    for error in message.errors.iter().flatten() {
        let words = classify::words(error);
        fact(
            &mut content,
            "error",
            format!("{}: {}", words.code, words.message),
        );
    }
    content
}

fn fact(content: &mut InboundMessage, name: &str, value: impl Into<String>) {
    content.facts.push((name.to_owned(), value.into()));
}

/// A message whose content is missing since the platform could not hand it on, and says so.
fn failed(kind: &str, message: &wire::Message<'_>) -> Option<InboundMessage> {
    message.errors.as_ref().filter(|e| !e.is_empty())?;
    Some(unsupported(kind))
}

fn unsupported(name: &str) -> InboundMessage {
    InboundMessage {
        unsupported: Some(name.to_owned()),
        ..InboundMessage::default()
    }
}

/// The content by type.
fn content(scope: &Scope, kind: &str, message: &wire::Message<'_>) -> Option<InboundMessage> {
    let media = |kind, object: &Option<wire::MediaObject>| media(scope, kind, object.as_ref()?);
    match kind {
        "text" => Some(InboundMessage {
            text: message.text.as_ref()?.body.clone()?,
            ..InboundMessage::default()
        }),
        "image" => media(AttachmentKind::Image, &message.image),
        "video" => media(AttachmentKind::Video, &message.video),
        "audio" => media(AttachmentKind::Audio, &message.audio),
        "voice" => media(AttachmentKind::Voice, &message.voice),
        "document" => media(AttachmentKind::File, &message.document),
        "sticker" => media(AttachmentKind::Sticker, &message.sticker),
        "location" => place(message.location.as_ref()?),
        "contacts" => cards(message.contacts.as_ref()?),
        "interactive" => match &message.interactive {
            Some(object) => interactive(object),
            // The platform leaves it out when it failed to hand it on.
            None => Some(unsupported(kind)),
        },
        "button" => {
            let button = message.button.as_ref()?;
            pressed(button.payload.as_ref(), button.text.as_ref())
        }
        "order" => order(message.order?),
        "unsupported" | "unknown" => {
            let named = message.unsupported.as_ref().and_then(|u| u.kind.as_deref());
            Some(unsupported(named.unwrap_or(kind)))
        }
        // Kinds of message that were added since, and known ones where they make no sense (the
        // reaction or edit inside an edit).
        "system" | "reaction" | "edit" | "revoke" => None,
        other => Some(unsupported(other)),
    }
}

/// A file. Without an id the platform will not hand it out, but it was sent.
fn media(
    scope: &Scope,
    kind: AttachmentKind,
    object: &wire::MediaObject,
) -> Option<InboundMessage> {
    let kind = match kind {
        AttachmentKind::Audio if object.voice == Some(true) => AttachmentKind::Voice,
        kind => kind,
    };
    let attachment = Attachment {
        kind,
        name: filled(&object.filename),
        mime: filled(&object.mime_type),
        size_bytes: None,
        media: filled(&object.id).map(|id| MediaRef {
            reference: id,
            scope: scope.account.clone(),
        }),
    };
    let mut content = InboundMessage {
        text: object.caption.clone().unwrap_or_default(),
        attachments: vec![attachment],
        ..InboundMessage::default()
    };
    if object.animated == Some(true) {
        fact(&mut content, "animated", "true");
    }
    Some(content)
}

fn place(place: &wire::Place) -> Option<InboundMessage> {
    let location = Location {
        latitude: place.latitude?,
        longitude: place.longitude?,
        name: filled(&place.name),
        address: filled(&place.address),
    };
    let mut content = InboundMessage {
        location: Some(location).filter(Location::is_valid),
        ..InboundMessage::default()
    };
    content.location.as_ref()?;
    if let Some(url) = filled(&place.url) {
        fact(&mut content, "location_url", url);
    }
    Some(content)
}

fn cards(cards: &[wire::Card]) -> Option<InboundMessage> {
    let mut content = InboundMessage {
        contacts: cards.iter().filter_map(card).collect(),
        ..InboundMessage::default()
    };
    if content.contacts.is_empty() {
        return None;
    }
    // The answer to our question for the person's number.
    if let Some(origin) = cards.iter().find_map(|c| filled(&c.origin)) {
        fact(&mut content, "origin", origin);
    }
    Some(content)
}

/// A card is known by its name, else by its first number or address; without any there is none.
fn card(card: &wire::Card) -> Option<ContactCard> {
    let none = wire::CardName::default();
    let name = card.name.as_ref().unwrap_or(&none);
    let phones: Vec<String> = card
        .phones
        .iter()
        .flatten()
        .filter_map(|p| filled(&p.phone).or(filled(&p.wa_id).map(|w| format!("+{w}"))))
        .collect();
    let emails: Vec<String> = card
        .emails
        .iter()
        .flatten()
        .filter_map(|e| filled(&e.email))
        .collect();
    let pieces = [filled(&name.first_name), filled(&name.last_name)];
    let joined = pieces.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let shown = filled(&name.formatted_name)
        .or(Some(joined).filter(|j| !j.is_empty()))
        .or_else(|| phones.first().cloned())
        .or_else(|| emails.first().cloned());
    Some(ContactCard {
        name: shown?,
        first_name: filled(&name.first_name),
        last_name: filled(&name.last_name),
        phones,
        emails,
        organisation: card.org.as_ref().and_then(|o| filled(&o.company)),
    })
}

/// A pressed button or chosen row: what we put behind it, and what stood on it.
fn pressed(payload: Option<&String>, title: Option<&String>) -> Option<InboundMessage> {
    let payload = payload.or(title)?;
    Some(InboundMessage {
        text: title.unwrap_or(payload).clone(),
        structured: Some(Structured {
            payload: payload.clone(),
            title: title.cloned(),
            of: None,
        }),
        ..InboundMessage::default()
    })
}

fn interactive(interactive: &wire::Interactive<'_>) -> Option<InboundMessage> {
    match interactive.kind.as_deref()? {
        "button_reply" => {
            let reply = interactive.button_reply.as_ref()?;
            pressed(reply.id.as_ref(), reply.title.as_ref())
        }
        "list_reply" => {
            let reply = interactive.list_reply.as_ref()?;
            let mut content = pressed(reply.id.as_ref(), reply.title.as_ref())?;
            if let Some(description) = filled(&reply.description) {
                fact(&mut content, "description", description);
            }
            Some(content)
        }
        "nfm_reply" => {
            let form = interactive.nfm_reply.as_ref()?;
            let mut content = pressed(Some(&fields(form.response_json?)), form.body.as_ref())?;
            content.text = form.body.clone().unwrap_or_default();
            if let Some(name) = filled(&form.name) {
                fact(&mut content, "form", name);
            }
            Some(content)
        }
        other => Some(unsupported(&format!("interactive {other}"))),
    }
}

/// The fields of a form: compact JSON where the string holds an object, else the string as it came.
fn fields(raw: Raw<'_>) -> String {
    let Ok(text) = json::read::<String>(raw) else {
        return compact(raw);
    };
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(object @ serde_json::Value::Object(_)) => object.to_string(),
        _ => text,
    }
}

/// An order in words, with the whole of it as a fact.
fn order(raw: Raw<'_>) -> Option<InboundMessage> {
    let order: wire::Order<'_> = json::read(raw).ok()?;
    let mut lines: Vec<String> = filled(&order.text).into_iter().collect();
    for item in order.product_items.iter().flatten() {
        let mut line = String::new();
        if let Some(quantity) = wire::written(item.quantity) {
            line.push_str(&format!("{quantity} × "));
        }
        line.push_str(item.product_retailer_id.as_deref().unwrap_or("?"));
        if let Some(price) = wire::written(item.item_price) {
            let currency = item.currency.as_deref().unwrap_or_default();
            line.push_str(format!(" ({price} {currency}").trim_end());
            line.push(')');
        }
        lines.push(line);
    }
    let mut content = InboundMessage {
        text: lines.join("\n"),
        ..InboundMessage::default()
    };
    fact(&mut content, "order", compact(raw));
    Some(content)
}
