//! Webhook -> events. Total: an element that cannot be read becomes an `Unknown` event of its own and
//! the others go through.

mod attachment;
mod event;
mod message;
#[cfg(test)]
mod tests;

use super::config::{Settings, StandbyMode, is_id};
use super::plan::{Address, Platform};
use super::wire::{self, Raw};
use crate::error::Malformed;
use crate::kit::http::{Inbound, Reply};
use crate::kit::json::{read, shape};
use crate::kit::sign::sha256_hex;
use crate::model::{Effect, Event, EventBody, Millis, Parsed, Sender, Thread};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};

/// The last millisecond of the year 9999: a time beyond is none.
const MILLIS_MAX: i64 = 253_402_300_799_999;

/// How much of a name that Meta gave is kept in `Unknown::what`: it becomes a label.
const NAME_MAX: usize = 64;

/// Understands a webhook.
///
/// # Errors
/// When the body is no JSON at all.
pub fn parse(settings: &Settings, request: &Inbound) -> Result<Parsed, Malformed> {
    let malformed = |detail| Malformed {
        expected: "JSON",
        detail,
    };
    let text = std::str::from_utf8(&request.body)
        .map_err(|e| malformed(format!("no UTF-8 from byte {}", e.valid_up_to())))?;
    let body: &RawValue = serde_json::from_str(text).map_err(|e| malformed(shape(&e)))?;
    // Meta posts one envelope; its test tool and its samples also a list of them.
    let envelopes: Vec<Raw<'_>> = read(body).unwrap_or_else(|_| vec![body]);
    let mut events = Vec::new();
    for raw in envelopes {
        events.extend(envelope(settings, raw, request.received_at));
    }
    if events.is_empty() {
        events.push(unknown(None, request.received_at, "an empty webhook", body));
    }
    // A platform that repeats an element within one webhook means it once; keys must not repeat.
    let mut seen = HashSet::new();
    events.retain(|event| seen.insert(event.key.clone()));
    Ok(Parsed {
        effects: effects(settings, &events),
        events,
        reply: Reply::empty(200),
    })
}

fn envelope(settings: &Settings, raw: Raw<'_>, now: Millis) -> Vec<Event> {
    let Ok(envelope) = read::<wire::Envelope<'_>>(raw) else {
        return vec![unknown(None, now, "body", raw)];
    };
    let platform = match envelope.object.as_deref() {
        Some("page") => Platform::Messenger,
        Some("instagram") => Platform::Instagram,
        _ => return vec![unknown(None, now, "object", raw)],
    };
    let entries = envelope.entry.unwrap_or_default();
    if entries.is_empty() {
        return vec![unknown(None, now, "body without entry", raw)];
    }
    let entries = entries.into_iter();
    entries
        .flat_map(|raw| entry(settings, platform, raw, now))
        .collect()
}

fn entry(settings: &Settings, platform: Platform, raw: Raw<'_>, now: Millis) -> Vec<Event> {
    let Ok(entry) = read::<wire::Entry<'_>>(raw) else {
        return vec![unknown(None, now, "entry", raw)];
    };
    let scope = Scope {
        settings,
        platform,
        now: time(entry.time.as_deref()).unwrap_or(now),
        entry: entry.id,
        standby: false,
    };
    let mut events = Vec::new();
    for raw in entry.messaging {
        events.extend(scope.element(raw));
    }
    let standby = Scope {
        standby: true,
        entry: scope.entry.clone(),
        ..scope
    };
    for raw in entry.standby {
        match settings.standby_mode {
            StandbyMode::Observe => events.extend(standby.element(raw)),
            StandbyMode::Ignore => events.push(scope.unknown("standby", raw)),
        }
    }
    for raw in entry.changes {
        events.extend(scope.change(raw));
    }
    if events.is_empty() {
        events.push(scope.unknown("entry", raw));
    }
    events
}

/// A time of the platform: milliseconds, in tests also seconds.
fn time(text: Option<&str>) -> Option<Millis> {
    let number: i64 = text?.parse().ok()?;
    let at = Millis::from_seconds_or_millis(number);
    (1..=MILLIS_MAX).contains(&at.0).then_some(at)
}

/// A key for what has no id: the same bytes give the same key.
fn digest(prefix: &str, content: &[&str]) -> String {
    let hex: String = sha256_hex(content.concat().as_bytes())
        .chars()
        .take(32)
        .collect();
    format!("{prefix}:{hex}")
}

fn unknown(account: Option<String>, at: Millis, what: &str, raw: Raw<'_>) -> Event {
    Event {
        key: digest("u", &[raw.get()]),
        at,
        account,
        sender: None,
        thread: None,
        body: EventBody::Unknown {
            what: what.chars().take(NAME_MAX).collect(),
            raw: raw.get().to_owned(),
        },
    }
}

/// Asks for the profile of everybody who wrote: names are never in a webhook; and shows them what the
/// settings say. Only for our own page, since this channel's token opens no other page's people.
fn effects(settings: &Settings, events: &[Event]) -> Vec<Effect> {
    let mut seen = HashSet::new();
    let wrote = |event: &&Event| event.account.as_ref() == Some(&settings.page_id);
    let mut effects = Vec::new();
    for event in events.iter().filter(wrote) {
        let EventBody::Message(message) = &event.body else {
            continue;
        };
        let person = event.sender.as_ref().and_then(|sender| sender.ids.first());
        let Some(person) = person.filter(|_| !message.from_us) else {
            continue;
        };
        // Of one person's five messages one is enough: what is shown concerns all of them.
        if !seen.insert(person) {
            continue;
        }
        effects.push(Effect::FetchProfile {
            user: person.clone(),
        });
        // In a thread that another app owns that app shows what there is to show.
        let standby = message.facts.iter().any(|(name, _)| name == "standby");
        if settings.mark_as_read && !standby {
            effects.push(Effect::MarkRead {
                message: message.platform_id.clone(),
                address: person.clone(),
            });
        }
        if settings.show_typing && !standby {
            effects.push(Effect::ShowTyping {
                address: person.clone(),
            });
        }
    }
    effects
}

/// What the elements of one entry share.
struct Scope<'a> {
    settings: &'a Settings,
    platform: Platform,
    /// The account that the entry is about, as Meta names it.
    entry: Option<String>,
    /// When Meta sent it, or else when it arrived; stands in for a time that an element lacks.
    now: Millis,
    /// Whether another app owns the thread.
    standby: bool,
}

/// What an element has beside its kind.
struct Frame {
    at: Millis,
    /// The person, where one is named.
    person: Option<Address>,
    /// Whether the account wrote it.
    from_us: bool,
}

impl Scope<'_> {
    /// Whether the entry is about this channel's page or its Instagram account.
    fn is_ours(&self) -> bool {
        let id = self.entry.as_deref();
        id.is_some() && (id == Some(self.settings.page_id.as_str()) || id == self.instagram_id())
    }

    fn instagram_id(&self) -> Option<&str> {
        self.settings.instagram_id.as_deref()
    }

    /// The account by which the service finds the channel: the page for both of its faces.
    fn account(&self) -> Option<String> {
        if self.is_ours() {
            Some(self.settings.page_id.clone())
        } else {
            self.entry.clone()
        }
    }

    /// Whether an id is that of the account, not of a person.
    fn is_account(&self, id: &str) -> bool {
        self.entry.as_deref() == Some(id)
            || match self.platform {
                Platform::Messenger => id == self.settings.page_id,
                Platform::Instagram => self.instagram_id() == Some(id),
            }
    }

    /// An element of `changes`: what the dashboard's test button posts, or a matter of the page that
    /// is no message.
    fn change(&self, raw: Raw<'_>) -> Vec<Event> {
        let Ok(change) = read::<wire::Change<'_>>(raw) else {
            return vec![self.unknown("change", raw)];
        };
        let field = change.field.unwrap_or_default();
        match change.value {
            // `messages`, `messaging_postbacks`, `message_reactions`…
            Some(value) if field.starts_with("messag") => self.element(value),
            _ => vec![self.unknown(&format!("changes.{field}"), raw)],
        }
    }

    /// An element of `messaging`: one kind of thing that happened, usually.
    fn element(&self, raw: Raw<'_>) -> Vec<Event> {
        let (Ok(frame), Ok(fields)) = (
            read::<wire::Frame>(raw),
            read::<BTreeMap<String, Raw<'_>>>(raw),
        ) else {
            return vec![self.unknown("messaging", raw)];
        };
        let frame = self.frame(frame, &fields);
        let mut events = Vec::new();
        for (kind, value) in &fields {
            let understood = match kind.as_str() {
                "message" => self.message(&frame, raw, value),
                "postback" => self.postback(&frame, raw, value),
                "referral" => self.referral(&frame, raw, value),
                "reaction" => self.reaction(&frame, raw, value),
                "message_edit" => self.edit(&frame, value),
                "delivery" => self.delivery(&frame, value),
                "read" => self.read(&frame, value),
                "optin" => self.opt_in(&frame, raw, value),
                "account_linking" => self.account_linking(&frame, raw, value),
                "pass_thread_control"
                | "take_thread_control"
                | "request_thread_control"
                | "app_roles"
                | "policy_enforcement" => Some(vec![self.notice(&frame, kind, raw, value)]),
                _ => continue,
            };
            events.extend(understood.unwrap_or_else(|| vec![self.unknown(kind, raw)]));
        }
        if events.is_empty() {
            let about = [
                "sender",
                "recipient",
                "timestamp",
                "hop_context",
                "prior_message",
            ];
            let kind = fields.keys().find(|kind| !about.contains(&kind.as_str()));
            let what = kind.map_or("messaging", String::as_str);
            events.push(self.unknown(what, raw));
        }
        events
    }

    fn frame(&self, frame: wire::Frame, fields: &BTreeMap<String, Raw<'_>>) -> Frame {
        let sender = frame.sender.and_then(|party| party.id);
        let recipient = frame.recipient.and_then(|party| party.id);
        let echo = fields
            .get("message")
            .and_then(|raw| read::<wire::Message<'_>>(raw).ok())
            .is_some_and(|message| message.is_echo);
        // Not every echo says that it is one: what the account sent, or sent to itself, is ours.
        let from_us = echo
            || sender.as_deref().is_some_and(|id| self.is_account(id))
            || (sender.is_some() && sender == recipient);
        let person = if from_us { recipient } else { sender };
        Frame {
            at: time(frame.timestamp.as_deref()).unwrap_or(self.now),
            person: person.filter(|id| is_id(id)).map(|id| Address {
                platform: self.platform,
                id,
            }),
            from_us,
        }
    }

    /// An event that concerns nobody in particular.
    fn event(&self, key: String, at: Millis, body: EventBody) -> Event {
        Event {
            key,
            at,
            account: self.account(),
            sender: None,
            thread: None,
            body,
        }
    }

    /// An event of a person.
    fn event_of(&self, key: String, at: Millis, person: &Address, body: EventBody) -> Event {
        Event {
            sender: Some(Sender {
                ids: vec![person.to_string()],
                ..Sender::default()
            }),
            thread: Some(self.thread(person)),
            ..self.event(key, at, body)
        }
    }

    fn thread(&self, person: &Address) -> Thread {
        let instagram = person.platform == Platform::Instagram;
        Thread {
            address: person.to_string(),
            extra: self.account(),
            source: instagram.then(|| "ig".to_owned()),
            ..Thread::default()
        }
    }

    /// An element that is not understood, known by its content.
    fn unknown(&self, what: &str, raw: Raw<'_>) -> Event {
        unknown(self.account(), self.now, what, raw)
    }

    /// A key for what has no id: account and element together are one.
    fn digest(&self, prefix: &str, raw: Raw<'_>) -> String {
        digest(
            prefix,
            &[self.entry.as_deref().unwrap_or_default(), raw.get()],
        )
    }
}
