//! From a request to a function and from its result to an answer.

use super::args::Args;
use super::auth::Tokens;
use super::error::{ApiError, Code, Success};
use super::{conversations, mail, people, sends, slack};
use crate::gateway::Gateway;
use crate::store::StoreError;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// When the store does not answer, callers are asked to come back after so long.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What a function needs.
pub struct Api {
    /// The service.
    pub gateway: Arc<Gateway>,
    /// Who may call.
    pub tokens: Tokens,
    /// The text around a text message.
    pub sms_template: String,
}

/// An answer, ready for HTTP.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Value,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

impl From<Result<Success, ApiError>> for Answer {
    fn from(result: Result<Success, ApiError>) -> Self {
        match result {
            Ok(success) => Self {
                status: success.http_status(),
                body: success.render(),
                retry_after: None,
            },
            Err(error) => Self {
                status: error.http_status(),
                body: error.render(),
                retry_after: error.retry_after_seconds(),
            },
        }
    }
}

/// A call as it came over HTTP.
#[derive(Debug, Default)]
pub struct Call<'a> {
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<&'a str>,
    /// Body.
    pub body: &'a [u8],
}

impl Api {
    /// Answers a call.
    pub async fn call(&self, call: Call<'_>) -> Answer {
        self.answer(call).await.into()
    }

    async fn answer(&self, call: Call<'_>) -> Result<Success, ApiError> {
        let args = Args::decode(call.content_type, call.body)?;
        let token = self.tokens.authenticate(&args, call.authorization)?;
        self.tokens.admit(token)?;
        let function = args.function()?;
        function.require(&args)?;
        let name = function.name;
        match name {
            "whatsapp-send-message"
            | "whatsapp-send-template"
            | "messenger-send-message"
            | "telegram-send-message"
            | "viber-send-message"
            | "line-send-message"
            | "wechat-send-message"
            | "gbm-send-message"
            | "send-sms"
            | "messaging-platforms-send-message" => {
                sends::send(self, name, &args, call.idempotency_key).await
            }
            "send-email" => mail::send_email(self, &args, call.idempotency_key).await,
            "send-custom-email" => mail::send_custom_email(self, &args, call.idempotency_key).await,
            "email-piping" => mail::email_piping(self, &args).await,
            "send-message" => sends::send_message(self, &args, call.idempotency_key).await,
            "direct-message" => sends::direct_message(self, &args, call.idempotency_key).await,
            slack::SEND => slack::send(self, &args, call.idempotency_key).await,
            "slack-users" => slack::users(self, &args).await,
            "slack-channels" => slack::channels(self, &args).await,
            "slack-presence" => slack::presence(self, &args).await,
            "archive-slack-channels" => slack::archive(self, &args).await,
            "get-message" => conversations::get_message(self, &args).await,
            "get-conversation" => conversations::get_conversation(self, &args).await,
            "get-conversations" => conversations::get_conversations(self, &args).await,
            "get-new-conversations" => conversations::get_new_conversations(self, &args).await,
            "get-user-conversations" => conversations::get_user_conversations(self, &args).await,
            "get-new-messages" => conversations::get_new_messages(self, &args).await,
            "new-conversation" => conversations::new_conversation(self, &args).await,
            "update-conversation-status" => conversations::update_status(self, &args).await,
            "get-user" => people::get_user(self, &args).await,
            "get-user-extra" => people::get_user_extra(self, &args).await,
            "get-users" => people::get_users(self, &args).await,
            "search-users" => people::search_users(self, &args).await,
            "add-user" => people::add_user(self, &args).await,
            "update-user" => people::update_user(self, &args).await,
            "delete-user" => people::delete_user(self, &args).await,
            "get-bot-id" => Ok(people::get_bot_id()),
            _ => Err(internal(&format!("{name} is in the table but has no code"))),
        }
    }
}

/// An error of ours: logged with an id that the caller gets to quote.
pub fn internal(what: &str) -> ApiError {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let id = id.get(..12).unwrap_or_default().to_owned();
    tracing::error!(error.id = %id, what, "a call broke");
    ApiError::internal(id)
}

/// The store's errors as a caller sees them.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(text) => {
                tracing::error!(error = %text, "a call found the store unavailable");
                Self::unavailable(
                    "the store does not answer, nothing is known to be accepted: repeat with the \
                     same idempotency key",
                    RETRY_AFTER,
                )
            }
            StoreError::Unknown(text) => {
                tracing::error!(error = %text, "a commit's answer was lost");
                Self::unavailable(
                    "the connection to the store was lost during the commit: whether this was \
                     accepted is not known; repeat with the same idempotency key",
                    RETRY_AFTER,
                )
            }
            other => internal(&other.to_string()),
        }
    }
}

/// A thing that is not there.
pub fn missing(code: Code, what: &str, id: impl std::fmt::Display) -> ApiError {
    ApiError::new(code, format!("there is no {what} {id}"))
}
