//! Every way in which the Web API says no: one table of codes, and the envelopes.
//!
//! Nothing else maps a failure to an HTTP status. What went wrong inside the gateway never reaches
//! a caller: `internal-error` carries an id to quote, under which the log has the cause.

#[cfg(test)]
mod tests;

use super::shapes::MessageStatus;
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;
use switchboard_channels::model::{ConversationId, MessageId};
use switchboard_channels::{Class, Refused, Words};

macro_rules! codes {
    ($($variant:ident, $code:literal, $status:literal, $meaning:literal;)*) => {
        /// An error code of the Web API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code as callers see it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The HTTP status of an answer with this code.
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// What it means, for the documentation.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    MissingArgument, "missing-argument", 400, "An argument that the function needs is absent; the message names it.";
    InvalidArgument, "invalid-argument", 400, "An argument, or the body itself, cannot be read; the message says what was found and what is expected.";
    InvalidStatusCode, "invalid-status-code", 400, "The status code of a conversation is none of 0 (live), 1 (waiting for the user), 2 (waiting for an agent), 3 (archive), 4 (trash).";
    InvalidUserType, "invalid-user-type", 400, "The user type is none of visitor, lead, user, agent, admin.";
    MissingUserIdOrMessage, "missing-user-id-or-message", 400, "An e-mail to a user needs both the user and the text.";
    MissingToken, "missing-token", 401, "Neither the argument `token` nor an Authorization header with a bearer token was sent.";
    InvalidToken, "invalid-token", 401, "The API token is not one of the configured ones.";
    SecurityError, "security-error", 403, "The token is good, but the function is not allowed here.";
    FunctionNotFound, "function-not-found", 404, "There is no function of this name; the message names the nearest.";
    NotFound, "not-found", 404, "There is nothing under this path or id.";
    ConversationNotFound, "conversation-not-found", 404, "There is no conversation with this id.";
    UserNotFound, "user-not-found", 404, "There is no user with this id.";
    MessageNotFound, "message-not-found", 404, "There is no message with this id.";
    ChannelNotFound, "channel-not-found", 404, "No channel has this id, account or source.";
    UserEmailNotFound, "user-email-not-found", 404, "The user has no e-mail address.";
    UserOrSenderNotFound, "user-or-sender-not-found", 404, "The recipient or the sender of an e-mail does not exist.";
    MethodNotAllowed, "method-not-allowed", 405, "The path does not take this HTTP method.";
    IdempotencyConflict, "idempotency-conflict", 409, "The idempotency key was used before with another function or other arguments.";
    DuplicateEmail, "duplicate-email", 409, "Another user has this e-mail address.";
    ChannelNotConfigured, "channel-not-configured", 409, "No channel of the kind that this function needs is configured.";
    SlackNotActive, "slack-not-active", 409, "No channel of kind slack is configured.";
    PayloadTooLarge, "payload-too-large", 413, "The body is longer than the gateway takes.";
    ContentRejected, "content-rejected", 422, "The platform refuses what is in the message.";
    RecipientUnreachable, "recipient-unreachable", 422, "The platform knows no such recipient, or the recipient has blocked the account.";
    WindowClosed, "window-closed", 422, "The platform takes no free-form message now: the time to reply is over.";
    RateLimited, "rate-limited", 429, "Too many calls with this token; Retry-After says when to come back.";
    InternalError, "internal-error", 500, "Something broke inside the gateway; the message has an id to quote.";
    PlatformAuthFailed, "platform-auth-failed", 502, "The platform refuses the channel's credentials. Only for calls that store nothing: a stored message waits instead.";
    PlatformError, "platform-error", 502, "The platform failed, or the message was given up after its tries.";
    Unavailable, "unavailable", 503, "The store does not answer, and nothing was accepted; Retry-After says when to come back.";
}

impl Code {
    /// The code of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.name() == name)
    }

    /// The code for a message that was stored and has failed for good. Bad credentials make a stored
    /// message wait; when it ends all the same, its age or an operator ended it.
    pub const fn of_failed_send(class: Class) -> Self {
        match class {
            Class::Recipient => Self::RecipientUnreachable,
            Class::Window => Self::WindowClosed,
            Class::Content => Self::ContentRejected,
            Class::Retry
            | Class::Limited { .. }
            | Class::Unsure
            | Class::Credentials
            | Class::Setup { .. } => Self::PlatformError,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refusal or failure as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// Decides the HTTP status.
    pub code: Code,
    /// What was wrong, for a person.
    pub message: String,
    /// The `Retry-After` header.
    pub retry_after: Option<Duration>,
    /// What the platform said. Boxed: an error is returned by value everywhere.
    pub platform: Option<Box<Words>>,
    /// The stored message that failed.
    pub message_id: Option<MessageId>,
    /// The conversation of that message.
    pub conversation_id: Option<ConversationId>,
    /// How that message ended.
    pub status: Option<MessageStatus>,
}

impl ApiError {
    /// An error of this code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
            platform: None,
            message_id: None,
            conversation_id: None,
            status: None,
        }
    }

    /// An `invalid-argument` error.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// Something broke. The caller gets `id` and nothing else; whoever calls this logs the cause
    /// under the same id.
    pub fn internal(id: impl fmt::Display) -> Self {
        Self::new(
            Code::InternalError,
            format!("something broke inside the gateway; quote {id} to its operator"),
        )
    }

    /// Nothing was accepted; the caller may come back.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(Code::Unavailable, message).with_retry_after(retry_after)
    }

    /// A stored message has failed for good.
    pub fn failed_send(
        class: Class,
        words: Option<Words>,
        message_id: MessageId,
        conversation_id: ConversationId,
    ) -> Self {
        let code = Code::of_failed_send(class);
        let message = match &words {
            Some(words) if !words.message.is_empty() => words.message.clone(),
            _ => code.meaning().to_owned(),
        };
        Self {
            platform: words.map(Box::new),
            message_id: Some(message_id),
            conversation_id: Some(conversation_id),
            status: Some(MessageStatus::Failed),
            ..Self::new(code, message)
        }
    }

    /// The same with a `Retry-After`.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The same with the platform's words.
    #[must_use]
    pub fn with_platform(mut self, words: Words) -> Self {
        self.platform = Some(Box::new(words));
        self
    }

    /// The HTTP status of the answer.
    pub const fn http_status(&self) -> u16 {
        self.code.http_status()
    }

    /// The `Retry-After` header in seconds: rounded up, and never 0, which would invite a call that
    /// comes too early.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|after| {
            let partial = u64::from(after.subsec_nanos() > 0);
            after.as_secs().saturating_add(partial).max(1)
        })
    }

    /// The body of the answer.
    pub fn render(&self) -> Value {
        let mut body = Map::new();
        body.insert("success".into(), json!(false));
        body.insert("response".into(), json!(self.code.name()));
        body.insert("message".into(), json!(self.message));
        if let Some(words) = &self.platform {
            body.insert(
                "platform".into(),
                json!({"code": words.code, "message": words.message}),
            );
        }
        references(
            &mut body,
            self.message_id,
            self.conversation_id,
            self.status,
        );
        Value::Object(body)
    }
}

/// What a platform cannot carry, found before anything was stored, is an argument that is wrong.
impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        Self::invalid(format!("`{}`: {}", refused.argument, refused.reason))
    }
}

/// A call that succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct Success {
    /// What the function gives.
    pub response: Value,
    /// The stored message, for sends.
    pub message_id: Option<MessageId>,
    /// Its conversation.
    pub conversation_id: Option<ConversationId>,
    /// How far it has come.
    pub status: Option<MessageStatus>,
}

impl Success {
    /// The answer of a function that sends nothing.
    pub const fn new(response: Value) -> Self {
        Self {
            response,
            message_id: None,
            conversation_id: None,
            status: None,
        }
    }

    /// The answer to a send.
    pub const fn sent(
        response: Value,
        message_id: MessageId,
        conversation_id: ConversationId,
        status: MessageStatus,
    ) -> Self {
        Self {
            response,
            message_id: Some(message_id),
            conversation_id: Some(conversation_id),
            status: Some(status),
        }
    }

    /// 202 while the message is on its way, 200 otherwise.
    pub const fn http_status(&self) -> u16 {
        match self.status {
            Some(MessageStatus::Queued | MessageStatus::Sending) => 202,
            Some(
                MessageStatus::Received
                | MessageStatus::Sent
                | MessageStatus::Delivered
                | MessageStatus::Read
                | MessageStatus::Failed
                | MessageStatus::Stored,
            )
            | None => 200,
        }
    }

    /// The body of the answer.
    pub fn render(&self) -> Value {
        let mut body = Map::new();
        body.insert("success".into(), json!(true));
        body.insert("response".into(), self.response.clone());
        references(
            &mut body,
            self.message_id,
            self.conversation_id,
            self.status,
        );
        Value::Object(body)
    }
}

fn references(
    body: &mut Map<String, Value>,
    message_id: Option<MessageId>,
    conversation_id: Option<ConversationId>,
    status: Option<MessageStatus>,
) {
    if let Some(id) = message_id {
        body.insert("message_id".into(), json!(id.to_string()));
    }
    if let Some(id) = conversation_id {
        body.insert("conversation_id".into(), json!(id.to_string()));
    }
    if let Some(status) = status {
        body.insert("status".into(), json!(status.name()));
    }
}
