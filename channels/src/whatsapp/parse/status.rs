//! Statuses of our messages, and what people want to hear.

use super::people::{self, People};
use super::{Scope, digest};
use crate::kit::json;
use crate::model::{DeliveryStatus, Event, EventBody, Sender, StatusUpdate, UserChange};
use crate::whatsapp::classify;
use crate::whatsapp::wire::{self, Raw};

/// A status; and, where the platform gave up since the person wants no more, that too.
pub fn status(scope: &Scope, people: &People, raw: Raw<'_>) -> Vec<Event> {
    let Ok(status) = json::read::<wire::Status<'_>>(raw) else {
        return vec![scope.unknown("status", raw)];
    };
    let (Some(id), Some(name)) = (filled(status.id.as_deref()), filled(status.status.as_deref()))
    else {
        return vec![scope.unknown("status", raw)];
    };
    let group = status.recipient_type.as_deref() == Some("group");
    // In groups the member has the status, the recipient is the group.
    let (number, user_id) = if group {
        (
            status.recipient_participant_id.as_deref(),
            status.recipient_participant_user_id.as_deref(),
        )
    } else {
        (
            status.recipient_id.as_deref(),
            status.recipient_user_id.as_deref(),
        )
    };
    let member = group.then(|| filled(user_id).or(filled(number))).flatten();
    let key = match member {
        Some(member) => format!("s:{id}:{name}:{member}"),
        None => format!("s:{id}:{name}"),
    };
    let known = match name {
        "sent" => DeliveryStatus::Sent,
        "delivered" => DeliveryStatus::Delivered,
        // A voice note was played: it was seen before.
        "read" | "played" => DeliveryStatus::Read,
        "failed" => DeliveryStatus::Failed,
        other => return vec![scope.unknown_as(key, &format!("status {other}"), raw)],
    };
    let at = scope.time(status.timestamp);
    let sender = people.find(number, user_id);
    let errors = status.errors.unwrap_or_default();
    let first = errors.first().filter(|_| known == DeliveryStatus::Failed);
    let opted_out = first
        .filter(|e| wire::whole(e.code) == Some(classify::OPTED_OUT))
        .and(sender.clone())
        .map(|sender| opted_out(scope, &key, at, sender));
    let update = StatusUpdate {
        platform_id: id.to_owned(),
        status: known,
        error: first.map(classify::failure),
        our_reference: status.biz_opaque_callback_data,
        watermark: None,
    };
    let mut event = scope.event(key, at, EventBody::Status(update));
    event.sender = sender;
    std::iter::once(event).chain(opted_out).collect()
}

fn opted_out(scope: &Scope, key: &str, at: crate::model::Millis, sender: Sender) -> Event {
    let thread = people::thread(&sender, None);
    let body = EventBody::User(UserChange::OptedOut);
    scope.event_of(format!("{key}:opted-out"), at, (sender, thread), body)
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.filter(|t| !t.is_empty())
}

/// A person stopped, resumed or asked for marketing messages.
pub fn preference(scope: &Scope, people: &People, raw: Raw<'_>) -> Event {
    let Ok(preference) = json::read::<wire::Preference<'_>>(raw) else {
        return scope.unknown("user_preference", raw);
    };
    let change = match preference.value.as_deref() {
        Some("stop") => UserChange::Unsubscribed,
        Some("resume") => UserChange::Subscribed { referral: None },
        Some("signup") => UserChange::OptedIn,
        _ => return scope.unknown("user_preference", raw),
    };
    let (number, user_id) = (preference.wa_id.as_deref(), preference.user_id.as_deref());
    let Some(sender) = people.find(number, user_id) else {
        return scope.unknown("user_preference", raw);
    };
    // The platform gives no id; person, subject, wish and time together are one.
    let key = match (sender.ids.first(), wire::whole(preference.timestamp)) {
        (Some(person), Some(seconds)) => format!(
            "p:{person}:{}:{}:{seconds}",
            preference.category.as_deref().unwrap_or_default(),
            preference.value.as_deref().unwrap_or_default(),
        ),
        _ => digest("p", &[raw.get()]),
    };
    let thread = people::thread(&sender, None);
    let at = scope.time(preference.timestamp);
    scope.event_of(key, at, (sender, thread), EventBody::User(change))
}
