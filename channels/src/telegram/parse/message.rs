//! Messages and their edits: whose they are, where they belong, what they answer.

use super::content::{Content, content};
use super::{Understood, Update, address, chat_as_sender, person, thread};
use crate::kit::json::read;
use crate::model::{Edit, Event, EventBody, InboundMessage, Millis, Sender, Thread, UserChange};
use crate::telegram::wire::{Address, Message, Raw};
use serde_json::value::RawValue;

impl Update<'_> {
    /// A new message, or one of the events that Telegram writes as messages.
    pub(super) fn message(&self, kind: &str, raw: &RawValue) -> Option<Understood> {
        let message: Message = read(raw).ok()?;
        let frame = Frame::of(self, &message)?;
        let at = Millis::from_seconds(message.date);
        let event = |key: String, body: EventBody| Event {
            key,
            at,
            account: None,
            sender: Some(frame.sender.clone()),
            thread: Some(frame.thread.clone()),
            body,
        };
        let events = match content(&message, raw) {
            Content::Carried(mut carried) => {
                complete(&mut carried, &message, &frame);
                let mut events = Vec::with_capacity(2);
                if let Some(referral) = started(&message, &carried) {
                    let body = EventBody::User(UserChange::Subscribed { referral });
                    events.push(event(format!("s:{}", frame.id), body));
                }
                let body = EventBody::Message(*carried);
                events.push(event(format!("m:{}", frame.id), body));
                events
            }
            Content::OptedIn => {
                let body = EventBody::User(UserChange::OptedIn);
                vec![event(format!("o:{}", frame.id), body)]
            }
            // Telegram tells it twice, in the old group and in the new one: the key is the same.
            Content::Moved { from, to } => {
                let (from, to) = (from.to_string(), to.to_string());
                let mut event = event(
                    format!("moved:{from}:{to}"),
                    EventBody::User(UserChange::ThreadMoved {
                        from: from.clone(),
                        to: to.clone(),
                    }),
                );
                // The conversation is still known under its old key; answers go to the new one.
                event.thread = Some(Thread {
                    key: Some(from),
                    address: to.clone(),
                    title: message.chat.title.clone(),
                    extra: Some(to),
                    ..Thread::default()
                });
                vec![event]
            }
            Content::Service(name) => vec![self.unknown(kind, &format!("{kind}.{name}"))],
        };
        Some((events, Vec::new()))
    }

    /// A changed message, whole. Telegram also reports changes that nobody sees; telling whether
    /// text or attachments differ needs the message as it was, which the store has.
    pub(super) fn edited(&self, kind: &str, raw: &RawValue) -> Option<Understood> {
        let message: Message = read(raw).ok()?;
        let frame = Frame::of(self, &message)?;
        let carried = match content(&message, raw) {
            Content::Carried(carried) => carried,
            Content::Service(name) => {
                let unknown = self.unknown(kind, &format!("{kind}.{name}"));
                return Some((vec![unknown], Vec::new()));
            }
            Content::OptedIn | Content::Moved { .. } => return None,
        };
        // A live location moves every few seconds, a poll counts votes: nothing that an `Edit` says.
        let still = carried.location.as_ref().map(|_| "location");
        let still = still.or(carried.unsupported.as_deref());
        if let Some(name) = still.or((!carried.contacts.is_empty()).then_some("contact")) {
            let unknown = self.unknown(kind, &format!("{kind}.{name}"));
            return Some((vec![unknown], Vec::new()));
        }
        let attachments = (!carried.attachments.is_empty()).then_some(carried.attachments);
        let event = Event {
            // Two changes can fall into one second, so the date alone would hide the second.
            key: format!("e:{}:{}", frame.id, self.mark()),
            at: Millis::from_seconds(message.edit_date.unwrap_or(message.date)),
            account: None,
            sender: Some(frame.sender),
            thread: Some(frame.thread),
            body: EventBody::Edit(Edit {
                target: frame.id,
                text: carried.text,
                attachments,
            }),
        };
        Some((vec![event], Vec::new()))
    }
}

/// What surrounds the content of a message.
struct Frame {
    /// Our form of the message's id.
    id: String,
    address: Address,
    sender: Sender,
    thread: Thread,
    /// Written on our side: by the owner of a business account, or by the bot itself.
    from_us: bool,
}

impl Frame {
    fn of(update: &Update<'_>, message: &Message) -> Option<Self> {
        let address = address(&message.chat, message.business_connection_id.as_deref())?;
        let author = message.from.as_ref().map(|user| user.id);
        // In a business account's chat the chat is the customer, and whoever else writes is the
        // owner or a bot of theirs.
        let owner = address.connection.is_some() && author.is_some_and(|id| id != message.chat.id);
        let from_us = owner || (author.is_some() && author == update.settings.bot_id());
        let mut sender = match (&message.sender_chat, &message.from) {
            _ if from_us => chat_as_sender(&message.chat),
            (Some(chat), _) => chat_as_sender(chat),
            (None, Some(user)) => person(user),
            (None, None) => chat_as_sender(&message.chat),
        };
        sender.phone = own_number(message);
        let topic = message.message_thread_id;
        let topic = topic.filter(|_| message.is_topic_message == Some(true));
        Some(Self {
            id: id(message, &address, update),
            thread: thread(&message.chat, address.clone(), topic),
            address,
            sender,
            from_us,
        })
    }
}

/// The message's id. Ephemeral messages have the number 0 and another id beside it.
pub(super) fn id(message: &Message, address: &Address, update: &Update<'_>) -> String {
    match (message.message_id, message.ephemeral_message_id) {
        (0, Some(ephemeral)) => address.message(format_args!("e{ephemeral}")),
        (0, None) => address.message(format_args!("u{}", update.mark())),
        (id, _) => address.message(id),
    }
}

/// Adds what the frame tells to the content: ids, the message answered, further facts.
fn complete(carried: &mut InboundMessage, message: &Message, frame: &Frame) {
    carried.platform_id = frame.id.clone();
    carried.from_us = frame.from_us;
    if let Some(referred) = &message.reply_to_message {
        // Every message of a topic "answers" the service message that opened the topic.
        let opening = frame.thread.key.is_some()
            && message.is_topic_message == Some(true)
            && message.message_thread_id == Some(referred.message_id);
        let elsewhere = referred
            .chat
            .as_ref()
            .is_some_and(|chat| chat.id != message.chat.id);
        if referred.message_id > 0 && !opening && !elsewhere {
            carried.reply_to = Some(frame.address.message(referred.message_id));
        }
    }

    let mut fact = |name: &str, value: Option<String>| {
        carried.facts.extend(value.map(|value| (name.into(), value)));
    };
    let raw = |raw: &Raw| raw.as_ref().map(|raw| raw.get().to_owned());
    fact("group_id", message.media_group_id.clone());
    fact("quote", message.quote.as_ref().map(|q| q.text.clone()));
    fact("external_reply", raw(&message.external_reply));
    fact("reply_to_story", raw(&message.reply_to_story));
    fact("forwarded_from", forwarded_from(message));
    let via = message.via_bot.as_ref();
    fact("via_bot", via.and_then(|bot| bot.username.clone()));
    fact("author_signature", message.author_signature.clone());
    let protected = message.has_protected_content == Some(true);
    fact("protected", protected.then(|| "true".into()));
    fact("business_connection", message.business_connection_id.clone());
    let bot = message.sender_business_bot.as_ref();
    fact("sent_by_bot", bot.and_then(|bot| bot.username.clone()));
    // The stand-in of an anonymous administrator or a channel is no bot that speaks.
    let author = message.from.as_ref().filter(|_| message.sender_chat.is_none());
    let is_bot = author.is_some_and(|user| user.is_bot == Some(true));
    fact("from_bot", is_bot.then(|| "true".into()));
    let entities = match message.text {
        Some(_) => &message.entities,
        None => &message.caption_entities,
    };
    fact("entities", raw(entities));
}

/// Who wrote a forwarded message first.
fn forwarded_from(message: &Message) -> Option<String> {
    let origin = message.forward_origin.as_ref()?;
    let user = origin.sender_user.as_ref().map(|user| {
        let names = [user.first_name.as_deref(), user.last_name.as_deref()];
        names.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    let chat = origin.sender_chat.as_ref().or(origin.chat.as_ref());
    user.or_else(|| origin.sender_user_name.clone())
        .or_else(|| chat.and_then(|chat| chat.title.clone()))
        .or_else(|| Some("unknown".into()))
}

/// The sender's own number, which Telegram has verified: a shared contact that is the sender.
fn own_number(message: &Message) -> Option<String> {
    let contact = message.contact.as_ref()?;
    let author = message.from.as_ref()?;
    (contact.user_id == Some(author.id)).then_some(())?;
    let digits: String = contact
        .phone_number
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    // E.164: at most 15 digits; shorter than 7 is no subscriber's number.
    (7..=15)
        .contains(&digits.len())
        .then(|| format!("+{digits}"))
}

/// `Some` when a person pressed Start in the bot's own chat: with what the link carried, if any.
fn started(message: &Message, carried: &InboundMessage) -> Option<Option<String>> {
    let own_chat = message.chat.is_private() && message.business_connection_id.is_none();
    if !own_chat || carried.from_us || message.forward_origin.is_some() {
        return None;
    }
    let rest = message.text.as_deref()?.strip_prefix("/start")?;
    match rest.chars().next() {
        None => Some(None),
        Some(c) if c.is_whitespace() => {
            Some(Some(rest.trim().to_owned()).filter(|payload| !payload.is_empty()))
        }
        Some(_) => None,
    }
}
