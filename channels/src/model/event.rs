//! What a platform told us, in our terms.

use super::ids::Millis;
use super::mail::ThreadClue;
use super::message::{Attachment, ContactCard, Location, Structured};
use crate::error::{Class, Words};
use crate::kit::http::Reply;
use serde::{Deserialize, Serialize};

/// What is known of the person behind an event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// Given name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Link of a picture that anybody may fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// Language code as the platform gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Further details: slug, name and value, as `get-user-extra` shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<(String, String, String)>,
}

/// The contact whom an event concerns: who wrote, or, for an outbound echo, who was written to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sender {
    /// The platform's ids of this person, the best first; two ids in one event join them.
    pub ids: Vec<String>,
    /// Telephone number in E.164 (`+` and digits).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Name, picture and the rest.
    #[serde(default)]
    pub profile: Profile,
}

/// A platform's one-time right to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyToken {
    /// What the platform wants to see.
    pub token: String,
    /// After this it is worth nothing.
    pub expires_at: Millis,
}

/// Which conversation an event belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Thread {
    /// `None`: the conversation with the sender. Else the group, topic or mail thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where an answer goes: becomes `Recipient::address`.
    pub address: String,
    /// The conversation's title, where the platform has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The conversation's `extra` (Telegram: the chat id; Messenger: the page id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<String>,
    /// A one-time right to answer, where the platform gives one (LINE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_token: Option<ReplyToken>,
    /// Another source code than the channel's first (Instagram threads of a Messenger channel).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the message says about the conversation that it continues, the surest first. Where none
    /// leads anywhere, `key` begins one (mail).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clues: Vec<ThreadClue>,
    /// Addresses of others who take part from now on: those to whom the message went too (mail).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<String>,
}

/// A message that a person wrote.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct InboundMessage {
    /// The platform's id. Unique within the channel.
    pub platform_id: String,
    /// The text, possibly empty.
    #[serde(default)]
    pub text: String,
    /// Attachments in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// A place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Contact cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<ContactCard>,
    /// The platform's id of the message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// A pressed button or a chosen row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured: Option<Structured>,
    /// What the platform carries and we do not: its name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
    /// A second id that names the content too, where the sender chooses the platform's ids (mail): two
    /// messages under one id are told apart by it, and one that came twice is recognised by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct_id: Option<String>,
    /// Written by a machine: an out-of-office notice, a newsletter. It opens no archived conversation
    /// and asks nobody for an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// Written on our side, by a person in the platform's own app or inbox.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_us: bool,
    /// Our own reference that came back in an echo: `Part::idempotency_key` or the message id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub our_reference: Option<String>,
    /// Further facts: name and value. Shown in the message's payload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<(String, String)>,
}

/// How far a message of ours has come. Ordered: a status only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// The platform has passed it on.
    Sent,
    /// The platform gave up. Only a message that was not delivered can fail.
    Failed,
    /// It is on the recipient's device.
    Delivered,
    /// The recipient has seen it.
    Read,
}

impl DeliveryStatus {
    /// The name under which the status is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}

/// News of a message of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusUpdate {
    /// The platform's id of the item. Empty where only a watermark is given.
    pub platform_id: String,
    /// How far it has come.
    pub status: DeliveryStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<(Class, Words)>,
    /// Our own reference that the platform handed back: proof that an unsure part arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub our_reference: Option<String>,
    /// Everything sent to this sender up to and including this time has this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Millis>,
}

/// A message was changed by its author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The platform's id of the changed message.
    pub target: String,
    /// The text it has now.
    pub text: String,
    /// The attachments it has now; `None` when they did not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<Attachment>>,
}

/// A message was taken back by its author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// The platform's id of the deleted message.
    pub target: String,
}

/// A reaction was put on a message or taken off it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// The platform's id of the message.
    pub target: String,
    /// The emoji; empty when all reactions of this person are gone and the platform does not say which.
    pub emoji: String,
    /// Whether it was put on (`true`) or taken off.
    pub added: bool,
}

/// Something about the contact changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum UserChange {
    /// Began or resumed listening: pressed Start, followed, joined.
    Subscribed {
        /// What the link that brought them carried.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        referral: Option<String>,
    },
    /// Left or blocked us.
    Unsubscribed,
    /// Said STOP.
    OptedOut,
    /// Agreed to be written to.
    OptedIn,
    /// Name, picture or id changed; the new ones are in the event's sender.
    Profile {
        /// The ids under which the person was known before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        previous_ids: Vec<String>,
    },
    /// The whole conversation moved to a new key (a Telegram group became a supergroup).
    ThreadMoved {
        /// The thread's key before.
        from: String,
        /// The thread's key now.
        to: String,
    },
}

/// The platform told the operator, not the conversation: template refused, quality fell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountNotice {
    /// What it is about, in the platform's terms.
    pub topic: String,
    /// What it says.
    pub detail: String,
}

/// What happened.
#[expect(
    clippy::large_enum_variant,
    reason = "most events are messages: a box for them would be paid for by the common case"
)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventBody {
    /// A person wrote.
    Message(InboundMessage),
    /// News of a message of ours.
    Status(StatusUpdate),
    /// A message was changed.
    Edit(Edit),
    /// A message was taken back.
    Delete(Delete),
    /// A reaction was put on or taken off.
    Reaction(Reaction),
    /// The person is typing.
    Typing,
    /// Something about the contact changed.
    User(UserChange),
    /// News for the operator.
    Notice(AccountNotice),
    /// Nothing that we know; kept raw and counted.
    Unknown {
        /// What the platform calls it, as far as could be seen.
        what: String,
        /// The element, verbatim (JSON of the one element where the webhook carried many).
        raw: String,
    },
}

impl EventBody {
    /// The name under which the event is counted.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Status(_) => "status",
            Self::Edit(_) => "edit",
            Self::Delete(_) => "delete",
            Self::Reaction(_) => "reaction",
            Self::Typing => "typing",
            Self::User(_) => "user",
            Self::Notice(_) => "notice",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// One thing that happened at a platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// De-duplicates within the channel: made from the platform's own ids, never from the time of
    /// arrival. A redelivered webhook repeats it exactly.
    pub key: String,
    /// When it happened, by the platform's clock.
    pub at: Millis,
    /// The account that it is meant for, where one URL serves several: one of
    /// `Channel::account_keys` of the right channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whom it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// Which conversation it belongs to. `None` for statuses and notices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// What happened.
    pub body: EventBody,
}

/// Something that must follow an event without being a message. Committed with the events and run
/// on the channel's lane, best effort, for a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Tell the platform that a pressed button was seen, so that it stops spinning.
    AnswerCallback {
        /// The platform's id of the press.
        id: String,
    },
    /// Fetch name and picture of a person.
    FetchProfile {
        /// The platform's id of the person.
        user: String,
    },
    /// Mark a message as read.
    MarkRead {
        /// The platform's id of the message.
        message: String,
        /// Whom the message came from.
        address: String,
    },
    /// Show the person that somebody is writing.
    ShowTyping {
        /// Whom: `Recipient::address`.
        address: String,
    },
}

/// A webhook, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What happened, in the platform's order.
    pub events: Vec<Event>,
    /// What must follow.
    pub effects: Vec<Effect>,
    /// What the platform expects to hear.
    pub reply: Reply,
}

impl Parsed {
    /// Events without effects, acknowledged with an empty 200.
    pub fn events(events: Vec<Event>) -> Self {
        Self {
            events,
            effects: Vec::new(),
            reply: Reply::empty(200),
        }
    }
}
