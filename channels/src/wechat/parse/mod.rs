//! Callbacks into events. Pure and total: what is XML is acknowledged.

mod content;
mod happenings;
#[cfg(test)]
mod tests;

use super::config::Settings;
use super::verify::body;
use super::wire::Push;
use super::xml;
use crate::error::Malformed;
use crate::kit::http::{Inbound, Reply};
use crate::kit::sign::sha256_hex;
use crate::model::{Effect, Event, EventBody, Millis, Parsed, Profile, Sender, Thread};

/// How much of a name that WeChat gave is kept in `Unknown::what`: it becomes a label.
const NAME_MAX: usize = 64;

/// What WeChat wants to hear. An empty body would do; anything else shows the person a notice that
/// the account is out of service.
const REPLY: &str = "success";

/// Understands a callback.
///
/// # Errors
/// When the body is no XML that is safe to read, or does not open.
pub fn parse(settings: &Settings, request: &Inbound) -> Result<Parsed, Malformed> {
    let malformed = |detail: String| Malformed {
        expected: "XML",
        detail,
    };
    let body = body(settings, request).ok_or_else(|| malformed("it does not open".into()))?;
    let document = xml::document(&body).map_err(malformed)?;
    let raw = String::from_utf8_lossy(&body);
    let mut parsed = Parsed {
        events: Vec::new(),
        effects: Vec::new(),
        reply: Reply::text(200, REPLY),
    };
    let push = Push::read(&document);
    let what = match &push {
        Some(push) => {
            let (events, effects) = match push.kind.as_str() {
                "event" => happenings::happened(push),
                _ => (content::message(push, &raw).into_iter().collect(), Vec::new()),
            };
            parsed.events = events;
            parsed.effects = effects;
            match push.event() {
                Some(event) => format!("event.{event}"),
                None => push.kind.clone(),
            }
        }
        None => "a callback of another shape".to_owned(),
    };
    if parsed.events.is_empty() {
        let created = push.as_ref().map(|push| Millis::from_seconds(push.created));
        parsed.events.push(Event {
            key: format!("u:{}", hash(&raw)),
            at: created.unwrap_or(request.received_at),
            account: None,
            sender: None,
            thread: None,
            body: EventBody::Unknown {
                what: what.chars().take(NAME_MAX).collect(),
                raw: raw.into_owned(),
            },
        });
    }
    if settings.original_id.is_some() {
        // Whatever names another account is not for us, though it was signed with our token.
        let account = push.and_then(|push| push.to).map(str::to_owned);
        for event in &mut parsed.events {
            event.account.clone_from(&account);
        }
    }
    Ok(parsed)
}

/// What a callback became.
type Understood = (Vec<Event>, Vec<Effect>);

/// An event about the person who wrote or did something.
fn event(push: &Push<'_>, key: String, body: EventBody) -> Event {
    Event {
        key,
        at: Millis::from_seconds(push.created),
        account: None,
        sender: Some(person(push.from)),
        thread: Some(Thread {
            address: push.from.to_owned(),
            ..Thread::default()
        }),
        body,
    }
}

/// A person of whom only the id is known: WeChat tells no names.
fn person(openid: &str) -> Sender {
    Sender {
        ids: vec![openid.to_owned()],
        profile: Profile::default(),
        ..Sender::default()
    }
}

/// A name for a text of any length.
fn hash(text: &str) -> String {
    sha256_hex(text.as_bytes()).chars().take(32).collect()
}
