//! Webhook -> events. Total: an element that cannot be read becomes an `Unknown` event of its own and
//! the others go through.

mod message;
mod notice;
mod people;
mod status;

use super::wire::{self, Raw};
use crate::error::Malformed;
use crate::kit::http::Inbound;
use crate::kit::{json, sign};
use crate::model::{Event, EventBody, Millis, Parsed, Sender, Thread};
use people::People;
use serde_json::value::RawValue;
use std::collections::HashSet;

/// What a webhook of this platform calls itself.
const OBJECT: &str = "whatsapp_business_account";

/// The last second of the year 9999: a time beyond is none.
const SECONDS_MAX: i64 = 253_402_300_799;

/// Understands a webhook.
///
/// # Errors
/// When the body is no JSON at all.
pub fn parse(request: &Inbound) -> Result<Parsed, Malformed> {
    let malformed = |detail| Malformed {
        expected: "JSON",
        detail,
    };
    let text = std::str::from_utf8(&request.body)
        .map_err(|e| malformed(format!("no UTF-8 from byte {}", e.valid_up_to())))?;
    let body: &RawValue = serde_json::from_str(text).map_err(|e| malformed(json::shape(&e)))?;
    let mut events = envelope(body, request.received_at);
    // A platform that repeats an element within one webhook means it once; keys must not repeat.
    let mut seen = HashSet::new();
    events.retain(|event| seen.insert(event.key.clone()));
    Ok(Parsed::events(events))
}

fn envelope(body: Raw<'_>, now: Millis) -> Vec<Event> {
    let scope = Scope {
        account: None,
        now,
        sent: String::new(),
    };
    let Ok(envelope) = json::read::<wire::Envelope<'_>>(body) else {
        return vec![scope.unknown("body", body)];
    };
    match (envelope.object.as_deref(), envelope.entry) {
        (Some(OBJECT), Some(entries)) => {
            let changes = entries.into_iter().flat_map(|entry| entry_events(&scope, entry));
            changes.collect()
        }
        (Some(OBJECT), None) => vec![scope.unknown("body without entry", body)],
        _ => vec![scope.unknown("object", body)],
    }
}

fn entry_events(scope: &Scope, raw: Raw<'_>) -> Vec<Event> {
    let Ok(wire::Entry {
        time,
        changes: Some(changes),
    }) = json::read(raw)
    else {
        return vec![scope.unknown("entry", raw)];
    };
    let scope = &Scope {
        account: None,
        now: scope.time(time),
        sent: time.map_or_else(String::new, |t| t.get().to_owned()),
    };
    changes
        .into_iter()
        .flat_map(|change| change_events(scope, change))
        .collect()
}

fn change_events(scope: &Scope, raw: Raw<'_>) -> Vec<Event> {
    let Ok(wire::Change {
        field: Some(field),
        value,
    }) = json::read(raw)
    else {
        return vec![scope.unknown("change", raw)];
    };
    let Some(value) = value else {
        return vec![scope.unknown(&field, raw)];
    };
    match field.as_str() {
        "messages" | "smb_message_echoes" | "user_preferences" => {
            value_events(scope, &field, raw, value)
        }
        field if notice::is_notice(field) => vec![notice::notice(scope, field, raw, value)],
        // Calls, history, groups and whatever is added: acknowledged, kept and counted.
        field => vec![scope.unknown(field, raw)],
    }
}

/// The fields that concern people. Which field carried which list is not insisted on.
fn value_events(scope: &Scope, field: &str, change: Raw<'_>, value: Raw<'_>) -> Vec<Event> {
    let Ok(value) = json::read::<wire::Value<'_>>(value) else {
        return vec![scope.unknown(field, change)];
    };
    let scope = Scope {
        account: value.metadata.and_then(|m| m.phone_number_id),
        now: scope.now,
        sent: scope.sent.clone(),
    };
    let people = People::read(value.contacts.unwrap_or_default());
    let lists = [
        &value.messages,
        &value.statuses,
        &value.errors,
        &value.message_echoes,
        &value.user_preferences,
    ];
    if lists.iter().all(|list| list.is_none()) {
        return vec![scope.unknown(field, change)];
    }
    let mut events = Vec::new();
    for raw in value.messages.unwrap_or_default() {
        events.push(message::inbound(&scope, &people, raw));
    }
    for raw in value.message_echoes.unwrap_or_default() {
        events.push(message::echo(&scope, &people, raw));
    }
    for raw in value.statuses.unwrap_or_default() {
        events.extend(status::status(&scope, &people, raw));
    }
    for raw in value.user_preferences.unwrap_or_default() {
        events.push(status::preference(&scope, &people, raw));
    }
    for raw in value.errors.unwrap_or_default() {
        events.push(notice::error(&scope, raw));
    }
    events
}

/// What the elements of one change share.
struct Scope {
    /// The number's id.
    account: Option<String>,
    /// When the platform sent it, or else when it arrived; stands in for a time that an element lacks.
    now: Millis,
    /// When the platform sent it, as it wrote that; tells apart notices that repeat word for word.
    sent: String,
}

impl Scope {
    /// A time of the platform: Unix seconds as a string or a number, tolerated in milliseconds.
    fn time(&self, raw: Option<Raw<'_>>) -> Millis {
        wire::whole(raw)
            .map(Millis::from_seconds_or_millis)
            .filter(|at| (1..=SECONDS_MAX * 1000).contains(&at.0))
            .unwrap_or(self.now)
    }

    fn event(&self, key: String, at: Millis, body: EventBody) -> Event {
        Event {
            key,
            at,
            account: self.account.clone(),
            sender: None,
            thread: None,
            body,
        }
    }

    fn event_of(
        &self,
        key: String,
        at: Millis,
        (sender, thread): (Sender, Thread),
        body: EventBody,
    ) -> Event {
        Event {
            sender: Some(sender),
            thread: Some(thread),
            ..self.event(key, at, body)
        }
    }

    /// An element that is not understood, known by its content.
    fn unknown(&self, what: &str, raw: Raw<'_>) -> Event {
        self.unknown_as(digest("u", &[raw.get()]), what, raw)
    }

    fn unknown_as(&self, key: String, what: &str, raw: Raw<'_>) -> Event {
        let body = EventBody::Unknown {
            what: what.to_owned(),
            raw: raw.get().to_owned(),
        };
        self.event(key, self.now, body)
    }
}

/// A key for what has no id: the same bytes give the same key.
fn digest(prefix: &str, content: &[&str]) -> String {
    let hex: String = sign::sha256_hex(content.concat().as_bytes())
        .chars()
        .take(32)
        .collect();
    format!("{prefix}:{hex}")
}

/// An element as compact JSON with its escapes undone; as it came where it is deeper than is read.
fn compact(raw: Raw<'_>) -> String {
    serde_json::from_str::<serde_json::Value>(raw.get())
        .map_or_else(|_| raw.get().to_owned(), |value| value.to_string())
}


#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::{Headers, Method};
    use bytes::Bytes;

    fn read(body: &str) -> Result<Parsed, Malformed> {
        parse(&Inbound {
            via: crate::kit::http::Via::Web,
            method: Method::Post,
            url: String::new(),
            query: String::new(),
            headers: Headers::default(),
            body: Bytes::from(body.to_owned()),
            received_at: Millis(1_795_000_100_000),
        })
    }

    #[test]
    fn depth_is_no_way_to_the_end_of_the_stack() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        for body in [
            deep(500_000),
            format!(r#"{{"object":"{OBJECT}","entry":{}}}"#, deep(500_000)),
            format!(
                r#"{{"object":"{OBJECT}","entry":[{{"changes":[{{"field":"account_update","value":{}}}]}}]}}"#,
                deep(500_000)
            ),
            format!(
                r#"{{"object":"{OBJECT}","entry":[{{"changes":[{{"field":"messages","value":{{"messages":[{{"id":"w","from":"15550142233","type":"order","order":{{"x":{}}}}}]}}}}]}}]}}"#,
                deep(500_000)
            ),
        ] {
            assert_eq!(read(&body).unwrap().events.len(), 1);
        }
        assert!(read(&"[".repeat(500_000)).is_err());
    }

    #[test]
    fn what_is_no_json_says_where_and_never_what() {
        let malformed = read("{\"secret\": tru").unwrap_err();
        assert_eq!(malformed.expected, "JSON");
        assert!(!malformed.detail.contains("secret"), "{malformed}");
    }

    #[test]
    fn notices_that_repeat_word_for_word_are_told_apart_by_their_time() {
        let at = |time: u32| {
            let body = format!(
                r#"{{"object":"{OBJECT}","entry":[{{"id":"1","time":{time},"changes":[{{"field":"phone_number_quality_update","value":{{"event":"DOWNGRADE"}}}}]}}]}}"#
            );
            read(&body).unwrap().events.remove(0)
        };
        assert_eq!(at(1_795_000_000), at(1_795_000_000));
        assert_ne!(at(1_795_000_000).key, at(1_795_000_001).key);
        assert_eq!(at(1_795_000_000).at, Millis(1_795_000_000_000));
    }
}
