//! Laws about webhooks: each fixture is understood as it says, and again in the same way.

use super::expect::{same, typed};
use super::fixture::{Subject, read_json, with};
use super::world::parse_unverified;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use switchboard_channels::kit::http::{Inbound, Reply};
use switchboard_channels::model::{Effect, Event, EventBody, Millis, Parsed};
use switchboard_channels::{Channel, Rejected, Verified};

/// A webhook becomes what its fixture says.
pub fn understood(subject: &Subject, name: &str) -> Result<(), String> {
    let expected = expected(subject, name)?;
    let channel = subject.channel()?;
    let actual = answer(channel.as_ref(), &subject.inbound(name)?)?;
    same(&subject.path("inbound", name), &expected, &actual)
}

/// The same webhook again, later and in another process, gives the same events under the same keys:
/// that is how a redelivery is recognised. Within one webhook no key is used twice.
pub fn repeated(subject: &Subject, name: &str) -> Result<(), String> {
    let first = subject.inbound(name)?;
    let mut later = first.clone();
    later.received_at = Millis(first.received_at.0 + 86_400_123);
    let one = parse_unverified(subject.channel()?.as_ref(), &first);
    let two = parse_unverified(subject.channel()?.as_ref(), &first);
    if one != two {
        return Err(format!("two readings differ:\n{one:?}\n{two:?}"));
    }
    let Ok(one) = one else { return Ok(()) };
    let Ok(redelivered) = parse_unverified(subject.channel()?.as_ref(), &later) else {
        return Err("the redelivered webhook is malformed".into());
    };
    if keys(&one) != keys(&redelivered) {
        return Err(format!(
            "a redelivery has other keys: {:?}, then {:?}",
            keys(&one),
            keys(&redelivered)
        ));
    }
    unique(&one)
}

fn keys(parsed: &Parsed) -> Vec<&str> {
    parsed.events.iter().map(|e| e.key.as_str()).collect()
}

/// Keys are there and differ.
pub fn unique(parsed: &Parsed) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for key in keys(parsed) {
        if key.is_empty() {
            return Err("an event has an empty key".into());
        }
        if !seen.insert(key) {
            return Err(format!("two events share the key {key:?}"));
        }
    }
    Ok(())
}

/// Events say whom they concern: a message has its platform id, a sender and an address to answer
/// to; a telephone number is E.164; only what the capabilities announce comes.
pub fn sound(subject: &Subject, name: &str) -> Result<(), String> {
    let channel = subject.channel()?;
    for event in events(subject, name)? {
        let fault = |what: &str| Err(format!("{}: {what}", event.key));
        let kind = event.body.name();
        // `unknown` is no ability: every channel must be able to say that it does not know.
        if kind != "unknown" && !channel.capabilities().inbound.contains(&kind) {
            return fault(&format!(
                "capabilities().inbound does not announce {kind:?}"
            ));
        }
        let sender = event.sender.as_ref();
        if let EventBody::Message(message) = &event.body {
            if message.platform_id.is_empty() {
                return fault("a message without a platform id");
            }
            if sender.is_none_or(|s| s.ids.iter().all(String::is_empty)) {
                return fault("a message without a sender");
            }
            if event.thread.as_ref().is_none_or(|t| t.address.is_empty()) {
                return fault("a message that cannot be answered");
            }
        }
        if let EventBody::Status(status) = &event.body {
            if status.platform_id.is_empty() && status.watermark.is_none() {
                return fault("a status of no message");
            }
            if !channel
                .capabilities()
                .statuses
                .contains(&status.status.name())
            {
                return fault("capabilities().statuses does not announce this status");
            }
        }
        let e164 = |phone: &str| {
            phone.strip_prefix('+').is_some_and(|digits| {
                (3..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
            })
        };
        if let Some(phone) = sender.and_then(|s| s.phone.as_deref())
            && !e164(phone)
        {
            return fault(&format!("{phone:?} is not E.164"));
        }
    }
    Ok(())
}

/// What a fixture is read as; nothing where it is refused or asks for a handshake.
fn parsed(subject: &Subject, name: &str) -> Result<Parsed, String> {
    let channel = subject.channel()?;
    let request = subject.inbound(name)?;
    let nothing = || Parsed::events(Vec::new());
    if channel.handshake(&request).is_some() {
        return Ok(nothing());
    }
    let Ok(verified) = Verified::check(channel.as_ref(), &request) else {
        return Ok(nothing());
    };
    Ok(channel.parse(&verified).unwrap_or_else(|_| nothing()))
}

/// The events of a fixture.
pub fn events(subject: &Subject, name: &str) -> Result<Vec<Event>, String> {
    parsed(subject, name).map(|p| p.events)
}

/// The effects of all fixtures.
pub fn effects(subject: &Subject) -> Result<Vec<Effect>, String> {
    let mut all = Vec::new();
    for name in subject.census().inbound {
        all.extend(parsed(subject, &name)?.effects);
    }
    Ok(all)
}

/// What the gateway makes of a request, in the terms of the fixtures.
pub fn answer(channel: &dyn Channel, request: &Inbound) -> Result<Value, String> {
    if let Some(reply) = channel.handshake(request) {
        return Ok(json!({"handshake": shown(&reply)}));
    }
    let verified = match Verified::check(channel, request) {
        Ok(verified) => verified,
        Err(rejected) => {
            return Ok(json!({"rejected": match rejected {
                Rejected::Missing => "missing",
                Rejected::Malformed => "malformed",
                Rejected::Mismatch => "mismatch",
            }}));
        }
    };
    match channel.parse(&verified) {
        Err(malformed) => Ok(json!({"malformed": malformed.expected})),
        Ok(parsed) => {
            let written = |e: serde_json::Error| e.to_string();
            Ok(json!({
                "events": serde_json::to_value(&parsed.events).map_err(written)?,
                "effects": serde_json::to_value(&parsed.effects).map_err(written)?,
                "reply": shown(&parsed.reply),
            }))
        }
    }
}

fn shown(reply: &Reply) -> Value {
    json!({"status": reply.status, "content_type": reply.content_type, "body": reply.body})
}

/// The expectation of a fixture with its defaults filled in.
pub fn expected(subject: &Subject, name: &str) -> Result<Value, String> {
    let written: Map<String, Value> = read_json(&with(&subject.path("inbound", name), "json"))?;
    let keys: Vec<&str> = written.keys().map(String::as_str).collect();
    let at = |key: &str| written.get(key).cloned();
    match keys.as_slice() {
        ["handshake"] | ["malformed"] | ["rejected"] => Ok(Value::Object(written)),
        keys if keys.contains(&"events")
            && keys
                .iter()
                .all(|k| ["events", "effects", "reply"].contains(k)) =>
        {
            let empty = || json!([]);
            let plain = || shown(&Reply::empty(200));
            Ok(json!({
                "events": typed::<Vec<Event>>(&at("events").unwrap_or_else(empty))?,
                "effects": typed::<Vec<Effect>>(&at("effects").unwrap_or_else(empty))?,
                "reply": at("reply").unwrap_or_else(plain),
            }))
        }
        other => Err(format!("the expectation has the keys {other:?}")),
    }
}
