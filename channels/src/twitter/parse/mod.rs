//! Webhooks into events. Pure and total: whatever is JSON is acknowledged.

mod message;
mod text;

use super::config::Settings;
use super::wire::{
    Activity, Direct, Encrypted, Indication, MessageEvent, Revoke, User, filled,
};
use crate::error::Malformed;
use crate::kit::http::Inbound;
use crate::kit::json::{read, shape};
use crate::kit::sign::sha256_hex;
use crate::model::{
    AccountNotice, DeliveryStatus, Effect, Event, EventBody, InboundMessage, Millis, Parsed,
    Profile, Sender, StatusUpdate, Thread, UserChange,
};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// How much of a name that X gave is kept in `Unknown::what`: it becomes a label.
const NAME_MAX: usize = 64;

/// When the ids of X begin to count: the milliseconds since then are in the upper bits of each.
pub const SNOWFLAKE_EPOCH_MS: i64 = 1_288_834_974_657;

/// The bits of an id below its time.
pub const SNOWFLAKE_LOW_BITS: u32 = 22;

/// Understands a webhook.
///
/// # Errors
/// When the body is no JSON.
pub fn parse(settings: &Settings, request: &Inbound) -> Result<Parsed, Malformed> {
    let malformed = |detail: String| Malformed {
        expected: "JSON",
        detail,
    };
    let text = std::str::from_utf8(&request.body).map_err(|e| malformed(e.to_string()))?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|e| malformed(shape(&e)))?;
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    let mut reading = Reading {
        settings,
        account: None,
        users: BTreeMap::new(),
        received_at: request.received_at,
        parsed: Parsed::events(Vec::new()),
    };
    if let Some(data) = fields.get("data") {
        reading.activity(data);
    } else if let Some(event) = fields.get("user_event") {
        let revoke = read::<BTreeMap<String, &RawValue>>(event).ok();
        let revoke = revoke.and_then(|event| event.get("revoke").copied());
        reading.revoked(event, revoke);
    } else if let Some(job) = fields.get("replay_job_status") {
        let key = format!("replay:{}", hash(job));
        let detail = job.get().chars().take(500).collect();
        reading.notice(key, "replay_job_status", detail);
    } else if fields.contains_key("for_user_id") {
        reading.direct(raw, "for_user_id", true);
    } else {
        reading.unknown(raw, "webhook");
    }
    Ok(reading.parsed)
}

/// The first half of a hash: names what has no id of its own.
fn hash(raw: &RawValue) -> String {
    sha256_hex(raw.get().as_bytes()).chars().take(32).collect()
}

/// The time in an id. `None`: it holds none.
pub fn time_of(id: i64) -> Option<Millis> {
    let millis = id.checked_shr(SNOWFLAKE_LOW_BITS)?;
    (millis > 0).then(|| Millis(SNOWFLAKE_EPOCH_MS).plus(millis))
}

/// Understands one element of a list. `None`: it does not.
type Understand<R> = fn(&mut R, &RawValue) -> Option<()>;

/// What is understood so far.
struct Reading<'a> {
    settings: &'a Settings,
    /// For which of the app's accounts the webhook is.
    account: Option<String>,
    users: BTreeMap<String, Value>,
    received_at: Millis,
    parsed: Parsed,
}

impl Reading<'_> {
    /// The envelope of the X Activity API.
    fn activity(&mut self, data: &RawValue) {
        let Ok(activity) = read::<Activity<'_>>(data) else {
            return self.unknown(data, "activity");
        };
        self.account = activity.filter.and_then(|f| f.user_id).map(|id| id.0);
        let kind = activity.event_type.as_str();
        let Some(payload) = activity.payload else {
            return self.unknown(data, kind);
        };
        match kind {
            "dm.received" | "dm.sent" | "dm.read" | "dm.indicate_typing" => {
                let before = self.parsed.events.len();
                self.direct(payload, kind, false);
                if self.parsed.events.len() == before {
                    self.unknown(data, kind);
                }
            }
            "chat.received" | "chat.sent" => self.encrypted(data, payload, kind),
            "follow.follow" | "follow.unfollow" => {
                let uuid = activity.event_uuid.unwrap_or_else(|| hash(data));
                self.follow(data, payload, kind, &uuid);
            }
            "oauth.revoke" => self.revoked(data, Some(payload)),
            // Who blocks or mutes whom is the account's own doing.
            "block.block" | "mute.mute" => {}
            other => self.unknown(data, other),
        }
    }

    /// Messages, readings and typing, in whichever envelope.
    fn direct(&mut self, raw: &RawValue, kind: &str, outermost: bool) {
        let Ok(direct) = read::<Direct<'_>>(raw) else {
            return self.unknown(raw, kind);
        };
        if outermost {
            self.account = direct.for_user_id.map(|id| id.0);
        }
        self.users = direct.users.unwrap_or_default();
        let before = self.parsed.events.len();
        let lists: [(_, Understand<Self>); 3] = [
            (direct.direct_message_events, Self::message),
            (direct.direct_message_mark_read_events, Self::was_read),
            (direct.direct_message_indicate_typing_events, Self::typing),
        ];
        for (list, understand) in lists {
            let Some(list) = list else { continue };
            let Ok(elements) = read::<Vec<&RawValue>>(list) else {
                self.unknown(list, kind);
                continue;
            };
            for element in elements {
                if understand(self, element).is_none() {
                    self.unknown(element, kind);
                }
            }
        }
        if outermost && self.parsed.events.len() == before {
            // Posts, likes and follows of the Account Activity API.
            self.unknown(raw, kind);
        }
    }

    /// Adds an event, unless the webhook holds it already.
    fn push(&mut self, event: Event) {
        if self.parsed.events.iter().all(|known| known.key != event.key) {
            self.parsed.events.push(event);
        }
    }

    fn event(&self, key: String, at: Millis, sender: Sender, body: EventBody) -> Event {
        let address = sender.ids.first().cloned().unwrap_or_default();
        let threaded = !matches!(body, EventBody::Status(_));
        Event {
            key,
            at,
            account: self.account.clone(),
            sender: Some(sender),
            thread: threaded.then(|| Thread {
                address,
                ..Thread::default()
            }),
            body,
        }
    }

    /// Something that nothing was made of.
    fn unknown(&mut self, raw: &RawValue, what: &str) {
        let event = Event {
            key: format!("u:{}", hash(raw)),
            at: self.received_at,
            account: self.account.clone(),
            sender: None,
            thread: None,
            body: EventBody::Unknown {
                what: what.chars().take(NAME_MAX).collect(),
                raw: raw.get().to_owned(),
            },
        };
        self.push(event);
    }

    fn notice(&mut self, key: String, topic: &str, detail: String) {
        let event = Event {
            key,
            at: self.received_at,
            account: self.account.clone(),
            sender: None,
            thread: None,
            body: EventBody::Notice(AccountNotice {
                topic: topic.to_owned(),
                detail,
            }),
        };
        self.push(event);
    }

    /// Which account an event is for: as it says, else ours.
    fn ours(&self) -> &str {
        self.account.as_deref().unwrap_or(&self.settings.user_id)
    }

    /// A direct message, written to us or by us.
    fn message(&mut self, raw: &RawValue) -> Option<()> {
        let event: MessageEvent = read(raw).ok()?;
        if event.kind != "message_create" {
            return None;
        }
        let create = &event.message_create;
        let from_us = create.sender_id.0 == self.ours();
        let contact = if from_us {
            &create.target.recipient_id.0
        } else {
            &create.sender_id.0
        };
        let sender = self.person(contact);
        if !from_us && sender.profile == Profile::default() {
            self.parsed.effects.push(Effect::FetchProfile {
                user: contact.clone(),
            });
        }
        let stated = event.created_timestamp.as_ref().and_then(|at| at.number());
        let at = stated.map(Millis).or_else(|| time_of(event.id.number()?));
        let mut message = message::content(&event);
        message.from_us = from_us;
        let key = format!("m:{}", event.id.0);
        let at = at.unwrap_or(self.received_at);
        let event = self.event(key, at, sender, EventBody::Message(message));
        self.push(event);
        Some(())
    }

    /// The other side has read up to a message. Everything that was sent before is read as well: the
    /// time of reading serves as the watermark, else the time in the id.
    fn was_read(&mut self, raw: &RawValue) -> Option<()> {
        let reading: Indication = read(raw).ok()?;
        let last = reading.last_read_event_id?;
        if reading.sender_id.0 == self.ours() {
            // Somebody read at our own side.
            return None;
        }
        let stated = reading.created_timestamp.and_then(|at| at.number());
        let stated = stated.map(Millis);
        let body = EventBody::Status(StatusUpdate {
            platform_id: last.0.clone(),
            status: DeliveryStatus::Read,
            error: None,
            our_reference: None,
            watermark: stated.or_else(|| time_of(last.number()?)),
        });
        let key = format!("s:{}:read:{}", last.0, reading.sender_id.0);
        let sender = self.person(&reading.sender_id.0);
        let at = stated.unwrap_or(self.received_at);
        let event = self.event(key, at, sender, body);
        self.push(event);
        Some(())
    }

    fn typing(&mut self, raw: &RawValue) -> Option<()> {
        let typing: Indication = read(raw).ok()?;
        let at = typing.created_timestamp?.number()?;
        let key = format!("t:{}:{at}", typing.sender_id.0);
        let sender = self.person(&typing.sender_id.0);
        let event = self.event(key, Millis(at), sender, EventBody::Typing);
        self.push(event);
        Some(())
    }

    /// An encrypted message: that there is one is all that can be told.
    fn encrypted(&mut self, data: &RawValue, payload: &RawValue, kind: &str) {
        let understood = read::<Encrypted>(payload).ok().and_then(|chat| {
            let from_us = chat.sender_id.0 == self.ours();
            let other = |id: &&str| *id != self.ours() && super::config::is_user_id(id);
            let contact = if from_us {
                let both = chat.conversation_id.as_deref().unwrap_or_default();
                both.split([':', '-']).find(other)?.to_owned()
            } else {
                chat.sender_id.0.clone()
            };
            let plain = (1..=128).contains(&chat.id.len());
            plain.then_some((chat, contact, from_us))
        });
        let Some((chat, contact, from_us)) = understood else {
            return self.unknown(data, kind);
        };
        let sender = self.person(&contact);
        if !from_us {
            self.parsed
                .effects
                .push(Effect::FetchProfile { user: contact });
        }
        let message = InboundMessage {
            platform_id: chat.id.clone(),
            unsupported: Some("encrypted_chat".into()),
            from_us,
            ..InboundMessage::default()
        };
        let at = chat.created_at_msec.and_then(|at| at.number());
        let at = at.map_or(self.received_at, Millis);
        let key = format!("c:{}", chat.id);
        let event = self.event(key, at, sender, EventBody::Message(message));
        self.push(event);
    }

    /// Somebody follows the account, or no longer does.
    fn follow(&mut self, data: &RawValue, payload: &RawValue, kind: &str, uuid: &str) {
        let payload: Value = serde_json::from_str(payload.get()).unwrap_or_default();
        let side = |name: &str| {
            let side = payload.get(name)?;
            let user = side.get("data").unwrap_or(side);
            let id = user.get("id").and_then(Value::as_str)?;
            super::config::is_user_id(id).then(|| (id.to_owned(), user.clone()))
        };
        let (Some((source, user)), Some((target, _))) = (side("source"), side("target")) else {
            return self.unknown(data, kind);
        };
        if target != self.ours() || source == target {
            // The account follows somebody itself.
            return;
        }
        self.users.insert(source.clone(), user);
        let change = if kind == "follow.follow" {
            UserChange::Subscribed { referral: None }
        } else {
            UserChange::Unsubscribed
        };
        let mark: String = uuid.chars().take(NAME_MAX).collect();
        let sender = self.person(&source);
        let key = format!("{kind}:{mark}");
        let event = self.event(key, self.received_at, sender, EventBody::User(change));
        self.push(event);
    }

    /// The account has taken its permission back: nothing works until it is given again.
    fn revoked(&mut self, raw: &RawValue, revoke: Option<&RawValue>) {
        let revoke = revoke.and_then(|revoke| read::<Revoke>(revoke).ok());
        let user = revoke.as_ref().and_then(|revoke| {
            let source = revoke.source.as_ref().and_then(|s| s.user_id.as_ref());
            Some(revoke.user_id.as_ref().or(source)?.0.clone())
        });
        let (Some(revoke), Some(user)) = (revoke, user) else {
            return self.unknown(raw, "revoke");
        };
        let when = filled(revoke.date_time).unwrap_or_default();
        let when: String = when.chars().take(NAME_MAX).collect();
        let detail = format!("account {user} has revoked the app's access {when}");
        self.account = Some(user);
        self.notice(format!("revoke:{}", hash(raw)), "oauth.revoke", detail.trim_end().to_owned());
    }

    /// A person, as far as the webhook describes them.
    fn person(&self, id: &str) -> Sender {
        let described = self.users.get(id).map(|user| user.get("data").unwrap_or(user));
        let user = described.and_then(|user| serde_json::from_value::<User>(user.clone()).ok());
        Sender {
            ids: vec![id.to_owned()],
            profile: user.as_ref().map(profile).unwrap_or_default(),
            ..Sender::default()
        }
    }
}

/// What is known of a person.
pub fn profile(user: &User) -> Profile {
    let name = filled(user.name.clone()).unwrap_or_default();
    let (first, last) = name.trim().split_once(' ').unwrap_or((name.trim(), ""));
    let some = |text: &str| filled(Some(text.trim().to_owned()));
    let picture = user.profile_image_url_https.clone();
    let picture = filled(picture.or_else(|| user.profile_image_url.clone()));
    let username = filled(user.username.clone()).or_else(|| filled(user.screen_name.clone()));
    let detail = |slug: &str, name: &str, value: String| (slug.to_owned(), name.to_owned(), value);
    let about = filled(user.description.clone());
    Profile {
        first_name: some(first),
        last_name: some(last),
        image_url: picture.filter(|link| link.starts_with("https://")),
        language: None,
        details: username
            .map(|name| detail("x-username", "X username", name))
            .into_iter()
            .chain(about.map(|about| detail("x-description", "X description", about)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_their_time() {
        // A published example: a post of June 2022 and the time in its id.
        assert_eq!(time_of(1_541_815_603_606_036_480), Some(Millis(1_656_432_460_105)));
        for none in [0, -5, 4_194_303] {
            assert_eq!(time_of(none), None, "{none}");
        }
    }
}
