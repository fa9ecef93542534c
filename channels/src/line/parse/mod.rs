//! Events of LINE into ours. Pure and total: whatever is JSON is acknowledged, since LINE suspends
//! endpoints that fail.

mod message;

pub use message::EXTERNAL;

use super::config::{Settings, is_id};
use super::wire::{self, Source, member};
use crate::error::Malformed;
use crate::kit::http::{Inbound, Reply};
use crate::kit::json::{read, shape};
use crate::kit::sign::sha256_hex;
use crate::model::{
    AccountNotice, Delete, Edit, Effect, Event, EventBody, InboundMessage, Millis, Parsed, Profile,
    ReplyToken, Sender, Structured, Thread, UserChange,
};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// How long after its webhook a reply token is used at the latest. LINE takes it for a minute; ten
/// seconds of that are for the way to LINE, a repetition included.
const REPLY_TOKEN_MS: i64 = 50_000;

/// How much of a name that LINE gave is kept in `Unknown::what`: it becomes a label.
const NAME_MAX: usize = 64;

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
    let fields: BTreeMap<String, &RawValue> = read(raw).unwrap_or_default();
    let mut webhook = Webhook {
        settings,
        account: fields.get("destination").and_then(|raw| read(raw).ok()),
        received_at: request.received_at,
        parsed: Parsed {
            events: Vec::new(),
            effects: Vec::new(),
            reply: Reply::empty(200),
        },
        seen: BTreeSet::new(),
    };
    match fields.get("events").map(|raw| read::<Vec<&RawValue>>(raw)) {
        // None at all: the console's "Verify" button.
        Some(Ok(elements)) => elements.into_iter().for_each(|raw| webhook.element(raw)),
        _ => webhook.unknown(raw, "a webhook without events"),
    }
    Ok(webhook.parsed)
}

/// One webhook, and what was made of it so far.
struct Webhook<'a> {
    settings: &'a Settings,
    account: Option<String>,
    received_at: Millis,
    parsed: Parsed,
    /// Effects and keys that are there already.
    seen: BTreeSet<String>,
}

/// Where an event happened and who did it.
struct Place {
    sender: Sender,
    thread: Thread,
    /// The person as an effect names them; `None` where the event names none.
    person: Option<String>,
    /// The person's id, in a chat with them alone.
    private: Option<String>,
}

impl Webhook<'_> {
    /// Understands one event; one that cannot be understood stays raw and the others go through.
    fn element(&mut self, raw: &RawValue) {
        let Ok(event) = read::<wire::Event>(raw) else {
            let kind: Option<wire::Module> = read(raw).ok();
            let kind = kind.map_or_else(|| "an event of another shape".into(), |k| k.kind);
            return self.unknown(raw, &kind);
        };
        let key = match &event.webhook_event_id {
            Some(id) if !id.is_empty() => format!("e:{id}"),
            _ => format!("u:{}", fingerprint(raw)),
        };
        let place = event.source.as_ref().and_then(Place::of);
        match self.body(&event, &key, place.as_ref()) {
            Some(body) => self.push(event, key, place, body),
            None => self.unknown(raw, &event.kind),
        }
    }

    /// What happened. `None`: nothing that we know.
    fn body(&self, event: &wire::Event, key: &str, place: Option<&Place>) -> Option<EventBody> {
        let notice = |detail: String| {
            Some(EventBody::Notice(AccountNotice {
                topic: event.kind.clone(),
                detail,
            }))
        };
        let module = event.module.as_ref().map_or("", |module| &module.kind);
        match event.kind.as_str() {
            "module" => return notice(format!("a module channel was {module}")),
            "activated" => {
                let until = event.chat_control.as_ref().map_or(0, |c| c.expire_at);
                return notice(format!("this module owns the chat until {until} (Unix ms)"));
            }
            "deactivated" => return notice("this module no longer owns the chat".into()),
            "botSuspended" => return notice("LINE has suspended the account".into()),
            "botResumed" => return notice("LINE has lifted the suspension of the account".into()),
            _ => {}
        }
        // Everything else happens in a chat.
        let place = place?;
        let chat = &place.thread.address;
        match event.kind.as_str() {
            "message" => message::message(event.message.as_ref()?, event.mode.as_deref()),
            "messageEdited" => {
                let message: wire::Message = read(event.message.as_ref()?).ok()?;
                Some(EventBody::Edit(Edit {
                    target: message.id,
                    text: message.text?,
                    attachments: None,
                }))
            }
            "unsend" => Some(EventBody::Delete(Delete {
                target: event.unsend.as_ref()?.message_id.clone(),
            })),
            "postback" => Some(postback(event, key)?),
            "follow" | "join" => Some(EventBody::User(UserChange::Subscribed { referral: None })),
            "unfollow" | "leave" => Some(EventBody::User(UserChange::Unsubscribed)),
            "memberJoined" => notice(format!("{} joined {chat}", people(event.joined.as_ref()?))),
            "memberLeft" => notice(format!("{} left {chat}", people(event.left.as_ref()?))),
            // What is told in the sender's details.
            "videoPlayComplete" | "beacon" | "accountLink" | "membership" => {
                detail(event)?;
                Some(EventBody::User(UserChange::Profile { previous_ids: Vec::new() }))
            }
            _ => None,
        }
    }

    /// Keeps an event, and what must follow it.
    fn push(&mut self, event: wire::Event, key: String, place: Option<Place>, body: EventBody) {
        let standby = event.mode.as_deref() == Some("standby");
        if let Some(place) = place.as_ref().filter(|_| !standby) {
            self.follow_up(place, &body);
        }
        let told = !matches!(body, EventBody::Notice(_));
        let place = place.filter(|_| told);
        let (sender, thread) = place.map(|p| (p.sender, p.thread)).unzip();
        let redelivered = event.delivery_context.as_ref().is_some_and(|c| c.is_redelivery);
        let token = event.reply_token.clone().filter(|token| {
            // Another module answers, or the token was used at the first delivery.
            !token.is_empty() && !standby && !redelivered
        });
        let expires_at = self.received_at.plus(REPLY_TOKEN_MS);
        self.keep(Event {
            key,
            at: Millis(event.timestamp),
            account: self.account(),
            sender: sender.map(|mut sender: Sender| {
                sender.profile.details.extend(detail(&event));
                sender
            }),
            thread: thread.map(|thread: Thread| Thread {
                reply_token: token.map(|token| ReplyToken { token, expires_at }),
                ..thread
            }),
            body,
        });
    }

    /// Keeps an event, unless the webhook has it twice.
    fn keep(&mut self, event: Event) {
        if self.seen.insert(event.key.clone()) {
            self.parsed.events.push(event);
        }
    }

    /// What must follow an event.
    fn follow_up(&mut self, place: &Place, body: &EventBody) {
        let mut effects = Vec::new();
        let new = matches!(
            body,
            EventBody::Message(_) | EventBody::User(UserChange::Subscribed { .. })
        );
        if let Some(user) = place.person.clone().filter(|_| new) {
            effects.push(Effect::FetchProfile { user });
        }
        let token = match body {
            EventBody::Message(message) if self.settings.mark_as_read => {
                let mut facts = message.facts.iter();
                facts.find(|(name, _)| name == message::READ_TOKEN)
            }
            _ => None,
        };
        if let Some((_, token)) = token {
            let message = token.clone();
            let address = place.thread.address.clone();
            effects.push(Effect::MarkRead { message, address });
        }
        if matches!(body, EventBody::Message(_)) && self.settings.loading_seconds.is_some() {
            // LINE shows it in chats with one person only.
            let address = place.private.clone();
            effects.extend(address.map(|address| Effect::ShowTyping { address }));
        }
        for effect in effects {
            // Of one person's five messages one is enough to fetch the profile.
            if self.seen.insert(format!("{effect:?}")) {
                self.parsed.effects.push(effect);
            }
        }
    }

    /// The account that the webhook is for, where the configuration says which one is ours.
    fn account(&self) -> Option<String> {
        self.settings.bot_user_id.as_ref()?;
        self.account.clone()
    }

    /// An element that nothing was made of.
    fn unknown(&mut self, raw: &RawValue, what: &str) {
        let id = read::<BTreeMap<String, &RawValue>>(raw).ok();
        let id = id.and_then(|fields| read::<String>(fields.get("webhookEventId")?).ok());
        let key = match id {
            Some(id) if !id.is_empty() => format!("e:{id}"),
            _ => format!("u:{}", fingerprint(raw)),
        };
        self.keep(Event {
            key,
            at: self.received_at,
            account: self.account(),
            sender: None,
            thread: None,
            body: EventBody::Unknown {
                what: what.chars().take(NAME_MAX).collect(),
                raw: raw.get().to_owned(),
            },
        });
    }
}

/// Stands for an element without an id: the same when the element is delivered again, which differs
/// in its `deliveryContext`.
fn fingerprint(raw: &RawValue) -> String {
    let hash = match serde_json::from_str::<Value>(raw.get()) {
        Ok(Value::Object(mut fields)) => {
            fields.remove("deliveryContext");
            sha256_hex(Value::Object(fields).to_string().as_bytes())
        }
        _ => sha256_hex(raw.get().as_bytes()),
    };
    hash.chars().take(32).collect()
}

impl Place {
    /// The chat and person of an event. `None`: ids of no form that can be written to.
    fn of(source: &Source) -> Option<Self> {
        let (group, user) = match source {
            Source::User { user_id } => (None, Some(user_id)),
            Source::Group { group_id, user_id } => (Some(group_id), user_id.as_ref()),
            Source::Room { room_id, user_id } => (Some(room_id), user_id.as_ref()),
        };
        let user = user.filter(|user| is_id(user, "U"));
        if group.is_some_and(|group| !is_id(group, "CR")) {
            return None;
        }
        // Somebody in a group who has not agreed to be named speaks as the group.
        let id = user.or(group)?;
        Some(Self {
            sender: Sender {
                ids: vec![id.clone()],
                ..Sender::default()
            },
            thread: Thread {
                key: group.cloned(),
                address: group.unwrap_or(id).clone(),
                ..Thread::default()
            },
            person: user.map(|user| member(group.map(String::as_str), user)),
            private: user.filter(|_| group.is_none()).cloned(),
        })
    }
}

/// A pressed button, a chosen date, a switched rich menu.
fn postback(event: &wire::Event, key: &str) -> Option<EventBody> {
    let postback = event.postback.as_ref()?;
    let (payload, title) = wire::read_button_data(&postback.data);
    let text = title.clone().unwrap_or_else(|| payload.clone());
    let mut facts = Vec::new();
    facts.extend(message::standby(event.mode.as_deref()));
    facts.extend(postback.params.clone().into_iter().flatten());
    Some(EventBody::Message(InboundMessage {
        platform_id: format!("postback:{}", key.get(2..).unwrap_or(key)),
        text,
        structured: Some(Structured {
            payload,
            title,
            of: None,
        }),
        facts,
        ..InboundMessage::default()
    }))
}

/// What an event tells about a person, as a detail of theirs: slug, name, value.
fn detail(event: &wire::Event) -> Option<(String, String, String)> {
    let (slug, name, value) = match event.kind.as_str() {
        "videoPlayComplete" => {
            let video = event.video_play_complete.as_ref()?;
            ("line_video", "LINE film seen to the end", video.tracking_id.clone())
        }
        "beacon" => {
            let beacon = event.beacon.as_ref()?;
            let dm = beacon.dm.as_ref().map(|dm| format!(" {dm}"));
            let value = format!("{} {}{}", beacon.kind, beacon.hwid, dm.unwrap_or_default());
            ("line_beacon", "LINE Beacon", value)
        }
        "accountLink" => {
            let link = event.link.as_ref()?;
            let value = format!("{} {}", link.result, link.nonce);
            ("line_account_link", "LINE account link", value)
        }
        "membership" => {
            let membership = event.membership.as_ref()?;
            let value = format!("{} {}", membership.kind, membership.membership_id);
            ("line_membership", "LINE membership", value)
        }
        _ => return None,
    };
    Some((slug.into(), name.into(), value))
}

/// Members of a group in words.
fn people(members: &wire::Members) -> String {
    let ids = members.members.iter().map(|member| member.user_id.as_str());
    ids.collect::<Vec<_>>().join(", ")
}

/// A person as `FetchProfile` brings them.
pub fn profile(person: wire::UserProfile) -> Sender {
    let detail = |text: String| ("line_status".into(), "LINE status".into(), text);
    let there = |text: &String| !text.trim().is_empty();
    Sender {
        ids: vec![person.user_id],
        profile: Profile {
            first_name: person.display_name.filter(there),
            image_url: person.picture_url.filter(there),
            language: person.language,
            details: person.status_message.filter(there).map(detail).into_iter().collect(),
            ..Profile::default()
        },
        ..Sender::default()
    }
}
