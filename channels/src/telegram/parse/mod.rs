//! Updates into events. Pure and total: whatever is JSON is acknowledged, since Telegram sends the
//! next update of a chat only when this one was taken (head-of-line blocking for 24 hours).

mod content;
mod message;
#[cfg(test)]
mod tests;

use super::config::Settings;
use super::wire::{
    Address, BusinessConnection, BusinessMessagesDeleted, CallbackQuery, Chat, ChatMemberUpdated,
    MessageReaction, ReactionType, User, is_connection,
};
use crate::error::Malformed;
use crate::kit::http::{Inbound, Reply};
use crate::kit::json::{read, shape};
use crate::kit::sign::sha256_hex;
use crate::model::{
    AccountNotice, Delete, Effect, Event, EventBody, InboundMessage, Millis, Parsed, Profile,
    Reaction, Sender, Structured, Thread, UserChange,
};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// How much of a name that Telegram gave is kept in `Unknown::what`: it becomes a label.
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
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    let update = Update {
        settings,
        raw: raw.get(),
        id: fields.get("update_id").and_then(|id| read(id).ok()),
        received_at: request.received_at,
    };

    let mut parsed = Parsed {
        events: Vec::new(),
        effects: Vec::new(),
        // Always empty: a body with a `method` in it would be executed as an API call.
        reply: Reply::empty(200),
    };
    for (kind, element) in &fields {
        if kind == "update_id" {
            continue;
        }
        match update.element(kind, element) {
            Some((events, effects)) if !events.is_empty() => {
                parsed.events.extend(events);
                parsed.effects.extend(effects);
            }
            _ => parsed.events.push(update.unknown(kind, kind)),
        }
    }
    if parsed.events.is_empty() {
        parsed.events.push(update.unknown("", "an update without content"));
    }
    Ok(parsed)
}

/// What an element of an update became.
type Understood = (Vec<Event>, Vec<Effect>);

/// One update: what its events are named after.
struct Update<'a> {
    settings: &'a Settings,
    raw: &'a str,
    id: Option<i64>,
    received_at: Millis,
}

impl Update<'_> {
    /// Understands the element of this kind. `None`: the kind or the shape is not known.
    fn element(&self, kind: &str, raw: &RawValue) -> Option<Understood> {
        match kind {
            "message" | "business_message" => self.message(kind, raw),
            "channel_post" if self.settings.channel_posts => self.message(kind, raw),
            "edited_message" | "edited_business_message" => self.edited(kind, raw),
            "edited_channel_post" if self.settings.channel_posts => self.edited(kind, raw),
            "callback_query" => self.callback(raw),
            "message_reaction" => self.reactions(raw),
            "my_chat_member" => self.membership(raw),
            "business_connection" => self.connection(raw),
            "deleted_business_messages" => self.deleted(raw),
            _ => None,
        }
    }

    /// What makes a key unique beside the ids in it: the update's id, or a hash of the update where
    /// that cannot be read. Stable under redelivery in both cases.
    fn mark(&self) -> String {
        self.id.map_or_else(
            || sha256_hex(self.raw.as_bytes()).chars().take(32).collect(),
            |id| id.to_string(),
        )
    }

    /// An update, or the part of it named by `suffix`, that nothing was made of.
    fn unknown(&self, suffix: &str, what: &str) -> Event {
        let suffix: String = suffix.chars().take(NAME_MAX).collect();
        let colon = if suffix.is_empty() { "" } else { ":" };
        Event {
            key: format!("u:{}{colon}{suffix}", self.mark()),
            at: self.received_at,
            account: None,
            sender: None,
            thread: None,
            body: EventBody::Unknown {
                what: what.chars().take(NAME_MAX).collect(),
                raw: self.raw.to_owned(),
            },
        }
    }

    /// A pressed button.
    fn callback(&self, raw: &RawValue) -> Option<Understood> {
        let query: CallbackQuery = read(raw).ok()?;
        let key = format!("callback:{}", query.id);
        let mut message = InboundMessage {
            platform_id: key.clone(),
            ..InboundMessage::default()
        };
        // A button of a message in a chat answers there; one of an inline message has no chat.
        let thread = match &query.message {
            Some(origin) => {
                let address = address(&origin.chat, origin.business_connection_id.as_deref())?;
                let of = message::id(origin, &address, self);
                message.structured = query.data.as_ref().map(|data| Structured {
                    payload: data.clone(),
                    title: label(origin, data),
                    of: Some(of),
                });
                let topic = origin.message_thread_id;
                let topic = topic.filter(|_| origin.is_topic_message == Some(true));
                thread(&origin.chat, address, topic)
            }
            None => {
                message.structured = query.data.as_ref().map(|data| Structured {
                    payload: data.clone(),
                    title: None,
                    of: None,
                });
                private_thread(query.from.id)
            }
        };
        match &message.structured {
            // Too old a message does not come with its labels: what is behind the button must do.
            Some(pressed) => {
                message.text = pressed.title.clone().unwrap_or(pressed.payload.clone());
            }
            None => {
                message.unsupported = Some("game".into());
                message
                    .facts
                    .extend(query.game_short_name.map(|game| ("game".into(), game)));
            }
        }
        let event = Event {
            key,
            // Telegram does not say when a button was pressed.
            at: self.received_at,
            account: None,
            sender: Some(person(&query.from)),
            thread: Some(thread),
            body: EventBody::Message(message),
        };
        let effect = Effect::AnswerCallback { id: query.id };
        Some((vec![event], vec![effect]))
    }

    /// Changed reactions: an event per difference, what was taken off first.
    fn reactions(&self, raw: &RawValue) -> Option<Understood> {
        let change: MessageReaction = read(raw).ok()?;
        let address = address(&change.chat, None)?;
        let target = address.message(change.message_id);
        let sender = match (&change.user, &change.actor_chat) {
            (Some(user), _) => person(user),
            (None, Some(chat)) => chat_as_sender(chat),
            (None, None) => return None,
        };
        let names = |list: &[ReactionType]| list.iter().map(emoji).collect::<BTreeSet<_>>();
        let (old, new) = (names(&change.old_reaction), names(&change.new_reaction));
        let removed = old.difference(&new).map(|emoji| (emoji, false));
        let added = new.difference(&old).map(|emoji| (emoji, true));
        let event = |(emoji, added): (&String, bool)| Event {
            key: format!(
                "r:{target}:{}:{}{emoji}",
                self.mark(),
                if added { '+' } else { '-' }
            ),
            at: Millis::from_seconds(change.date),
            account: None,
            sender: Some(sender.clone()),
            thread: Some(thread(&change.chat, address.clone(), None)),
            body: EventBody::Reaction(Reaction {
                target: target.clone(),
                emoji: emoji.clone(),
                added,
            }),
        };
        Some((removed.chain(added).map(event).collect(), Vec::new()))
    }

    /// The bot was blocked or started by a person, or came into or went out of a group.
    fn membership(&self, raw: &RawValue) -> Option<Understood> {
        let change: ChatMemberUpdated = read(raw).ok()?;
        let (old, new) = (&change.old_chat_member, &change.new_chat_member);
        let key = format!("member:{}:{}", change.chat.id, self.mark());
        let at = Millis::from_seconds(change.date);
        if !change.chat.is_private() {
            let title = change.chat.title.as_deref().unwrap_or("a chat");
            let (id, was, is) = (change.chat.id, &old.status, &new.status);
            let detail = format!("the bot is now {is} in \"{title}\" ({id}); before: {was}");
            return Some((vec![notice(key, at, "my_chat_member", detail)], Vec::new()));
        }
        let subscribed = match new.status.as_str() {
            "kicked" | "left" => false,
            "member" | "administrator" | "creator" | "restricted" => true,
            _ => return None,
        };
        let change_of_user = if subscribed {
            UserChange::Subscribed { referral: None }
        } else {
            UserChange::Unsubscribed
        };
        let event = Event {
            key,
            at,
            account: None,
            sender: Some(person(&change.from)),
            thread: Some(thread(&change.chat, Address::chat(change.chat.id), None)),
            body: EventBody::User(change_of_user),
        };
        Some((vec![event], Vec::new()))
    }

    /// A person let the bot speak for them, or no longer does.
    fn connection(&self, raw: &RawValue) -> Option<Understood> {
        let connection: BusinessConnection = read(raw).ok()?;
        let state = match connection.is_enabled {
            Some(false) => "disabled",
            _ => "enabled",
        };
        let detail = format!(
            "business connection {} of user {} is {state}",
            connection.id, connection.user.id
        );
        let key = format!("connection:{}", self.mark());
        let at = Millis::from_seconds(connection.date);
        Some((vec![notice(key, at, "business_connection", detail)], Vec::new()))
    }

    /// Messages of a business account were deleted: an event each.
    fn deleted(&self, raw: &RawValue) -> Option<Understood> {
        let deleted: BusinessMessagesDeleted = read(raw).ok()?;
        let address = address(&deleted.chat, Some(&deleted.business_connection_id))?;
        let ids: BTreeSet<i64> = deleted.message_ids.into_iter().collect();
        let event = |id: i64| {
            let target = address.message(id);
            Event {
                key: format!("d:{target}"),
                // Telegram does not say when they were deleted.
                at: self.received_at,
                account: None,
                sender: Some(chat_as_sender(&deleted.chat)),
                thread: Some(thread(&deleted.chat, address.clone(), None)),
                body: EventBody::Delete(Delete { target }),
            }
        };
        Some((ids.into_iter().map(event).collect(), Vec::new()))
    }
}

/// News for the operator.
fn notice(key: String, at: Millis, topic: &str, detail: String) -> Event {
    Event {
        key,
        at,
        account: None,
        sender: None,
        thread: None,
        body: EventBody::Notice(AccountNotice {
            topic: topic.into(),
            detail,
        }),
    }
}

/// The chat of an element, unless the connection's id is of no form that an address can hold.
fn address(chat: &Chat, connection: Option<&str>) -> Option<Address> {
    let fits = connection.is_none_or(is_connection);
    fits.then(|| Address::chat(chat.id).via(connection))
}

/// The conversation of a chat. The bot's own chat with a person is the conversation with them;
/// groups, topics, channels and the chats of a business account are conversations of their own.
fn thread(chat: &Chat, address: Address, topic: Option<i64>) -> Thread {
    let address = Address { topic, ..address };
    let private = chat.is_private() && address.connection.is_none();
    Thread {
        key: (!private).then(|| address.to_string()),
        address: address.to_string(),
        title: chat.title.clone(),
        extra: Some(chat.id.to_string()),
        ..Thread::default()
    }
}

/// The bot's own chat with this person.
fn private_thread(user: i64) -> Thread {
    Thread {
        address: user.to_string(),
        extra: Some(user.to_string()),
        reply_token: None,
        ..Thread::default()
    }
}

/// A person as the sender.
fn person(user: &User) -> Sender {
    Sender {
        ids: vec![user.id.to_string()],
        profile: Profile {
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            language: user.language_code.clone(),
            details: username(user.username.as_deref()),
            ..Profile::default()
        },
        ..Sender::default()
    }
}

/// A channel, an anonymous administrator, or the person of a private chat as the sender.
fn chat_as_sender(chat: &Chat) -> Sender {
    Sender {
        ids: vec![chat.id.to_string()],
        profile: Profile {
            first_name: chat.first_name.clone().or_else(|| chat.title.clone()),
            last_name: chat.last_name.clone(),
            details: username(chat.username.as_deref()),
            ..Profile::default()
        },
        ..Sender::default()
    }
}

/// The public name as a detail of the contact: slug, name, value.
fn username(name: Option<&str>) -> Vec<(String, String, String)> {
    let detail = |name: &str| ("telegram_username".into(), "Telegram".into(), name.into());
    name.map(detail).into_iter().collect()
}

/// What stands on the button that carries this payload.
fn label(message: &super::wire::Message, payload: &str) -> Option<String> {
    let rows = message.reply_markup.as_ref()?.inline_keyboard.iter();
    rows.flatten()
        .find(|button| button.callback_data.as_deref() == Some(payload))
        .map(|button| button.text.clone())
        .filter(|text| !text.is_empty())
}

/// A reaction as one string. Custom emoji are pictures without a character: their id is shown.
fn emoji(reaction: &ReactionType) -> String {
    match (reaction.kind.as_str(), &reaction.emoji, &reaction.custom_emoji_id) {
        ("emoji", Some(emoji), _) => emoji.clone(),
        ("custom_emoji", _, Some(id)) => format!("custom_emoji:{id}"),
        ("paid", ..) => "⭐".to_owned(),
        (other, ..) => other.chars().take(NAME_MAX).collect(),
    }
}
