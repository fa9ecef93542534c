//! The `data` of each event to the chat backend.

use super::answers::{conversation, error};
use super::told::{MessageSent, NewMessages};
use super::{ConversationRow, MessageRow, MessageStatus, attachments_list};
use serde_json::{Value, json};
use switchboard_channels::Words;
use switchboard_channels::model::{ConversationId, MessageId, UserId};

macro_rules! events {
    ($($variant:ident, $name:literal, $meaning:literal;)*) => {
        /// An event that the chat backend can receive.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventName {
            $(#[doc = $meaning] $variant,)*
        }

        impl EventName {
            /// Every event, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The `function` of the request.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// When it fires, for the documentation.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

events! {
    MessageSent, "message-sent", "A message was received from a contact, or accepted for one.";
    NewMessages, "new-messages", "A message was received from a contact; with the conversation's details.";
    NewConversationCreated, "new-conversation-created", "A conversation has begun; with its first message.";
    ConversationStatusUpdated, "conversation-status-updated", "The status code of a conversation changed.";
    MessageDeleted, "message-deleted", "A message was taken back by its author; the data is its id.";
    UserDeleted, "user-deleted", "A user was deleted; the data is its id.";
    SmsSent, "sms-sent", "The provider has taken an SMS.";
    EmailSent, "email-sent", "The mail server has taken an e-mail.";
    SlackMessageSent, "slack-message-sent", "Slack has taken a message.";
    MessageStatusUpdated, "message-status-updated", "A message of ours came a step further, or failed.";
    MessageUpdated, "message-updated", "Text or attachments of a message changed.";
    MessageReaction, "message-reaction", "A contact put a reaction on a message, or took it off.";
    UserUpdated, "user-updated", "A contact subscribed, unsubscribed, opted out or in, or changed the profile.";
    ChannelPaused, "channel-paused", "A channel stopped sending; its messages wait.";
    ChannelResumed, "channel-resumed", "A channel sends again.";
}

impl EventName {
    /// The event of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|e| e.name() == name)
    }
}

/// `message-sent`.
pub const fn message_sent<'a>(
    conversation: &'a ConversationRow,
    message: &'a MessageRow,
) -> MessageSent<'a> {
    MessageSent {
        conversation,
        message,
    }
}

/// `new-messages`: the conversation with its last message, and the new messages.
pub fn new_messages<'a>(
    conversation: &'a ConversationRow,
    messages: &'a [MessageRow],
) -> NewMessages<'a> {
    NewMessages::of(conversation, messages)
}

/// `new-conversation-created`.
pub fn new_conversation_created(row: &ConversationRow, messages: &[MessageRow]) -> Value {
    conversation(row, messages)
}

/// `conversation-status-updated`.
pub fn conversation_status_updated(id: ConversationId, status_code: u8) -> Value {
    json!({"conversation_id": id.to_string(), "status_code": status_code.to_string()})
}

/// `message-deleted`.
pub fn message_deleted(id: MessageId) -> Value {
    json!(id.to_string())
}

/// `user-deleted`.
pub fn user_deleted(id: UserId) -> Value {
    json!(id.to_string())
}

/// `sms-sent`. `response` is the provider's own answer; `recipent_id` is spelt as callers know it.
pub fn sms_sent(recipient: UserId, text: &str, from: &str, to: &str, response: Value) -> Value {
    json!({
        "recipent_id": recipient.to_string(),
        "message": text,
        "Body": text,
        "From": from,
        "To": to,
        "response": response,
    })
}

/// `email-sent`.
pub fn email_sent(recipient: UserId, text: &str, attachments: &[(String, String)]) -> Value {
    json!({
        "recipient_id": recipient.to_string(),
        "message": text,
        "attachments": attachments_list(attachments),
    })
}

/// `slack-message-sent`. `channel` is Slack's.
pub fn slack_message_sent(text: &str, conversation: ConversationId, channel: &str) -> Value {
    json!({
        "message": text,
        "conversation_id": conversation.to_string(),
        "slack_channel": channel,
    })
}

/// How far a message of ours has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusStep<'a> {
    /// The message.
    pub message: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Where it is now: sent, delivered, read or failed.
    pub status: MessageStatus,
    /// The platform's ids so far.
    pub platform_ids: &'a [String],
    /// Parts that the platform has taken.
    pub parts_sent: u16,
    /// Parts of the message.
    pub parts: u16,
    /// Class of the failure, `recipient`, and the platform's words.
    pub error: Option<(&'a str, Option<&'a Words>)>,
}

/// `message-status-updated`. `error` is there only when it failed.
pub fn message_status_updated(step: &StatusStep<'_>) -> Value {
    let mut data = json!({
        "message_id": step.message.to_string(),
        "conversation_id": step.conversation.to_string(),
        "status": step.status.name(),
        "platform_ids": step.platform_ids,
        "parts_sent": step.parts_sent,
        "parts": step.parts,
    });
    if let (Some((class, words)), Some(object)) = (step.error, data.as_object_mut()) {
        object.insert("error".into(), error(Some(class), words));
    }
    data
}

/// `message-updated`.
pub fn message_updated(message: &MessageRow) -> Value {
    json!({
        "message_id": message.id.to_string(),
        "conversation_id": message.conversation_id.to_string(),
        "message": message.text,
        "attachments": attachments_list(&message.attachments),
    })
}

/// `message-reaction`.
pub fn message_reaction(
    message: MessageId,
    conversation: ConversationId,
    user: UserId,
    reaction: &str,
    added: bool,
) -> Value {
    json!({
        "message_id": message.to_string(),
        "conversation_id": conversation.to_string(),
        "user_id": user.to_string(),
        "reaction": reaction,
        "action": if added { "added" } else { "removed" },
    })
}

/// What changed about a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserNews {
    /// Began or resumed a subscription.
    Subscribed,
    /// Ended it.
    Unsubscribed,
    /// Wants to hear nothing more.
    OptedOut,
    /// Wants to hear from us again.
    OptedIn,
    /// Name or picture changed.
    Profile,
}

impl UserNews {
    /// The name under which it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::Unsubscribed => "unsubscribed",
            Self::OptedOut => "opted-out",
            Self::OptedIn => "opted-in",
            Self::Profile => "profile",
        }
    }
}

/// `user-updated`. A contact may have no conversation yet.
pub fn user_updated(user: UserId, conversation: Option<ConversationId>, change: UserNews) -> Value {
    json!({
        "user_id": user.to_string(),
        "conversation_id": conversation.map(|id| id.to_string()),
        "change": change.name(),
    })
}

/// Why a channel stopped sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// The platform refuses the credentials.
    Credentials,
    /// The account is suspended, unpaid or lacks a permission.
    Account,
    /// A person paused it.
    Operator,
}

impl PauseReason {
    /// The name under which it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Account => "account",
            Self::Operator => "operator",
        }
    }
}

/// `channel-paused`.
pub fn channel_paused(channel: &str, reason: PauseReason, message: &str) -> Value {
    json!({"channel": channel, "reason": reason.name(), "message": message})
}

/// `channel-resumed`.
pub fn channel_resumed(channel: &str) -> Value {
    json!({"channel": channel})
}
