//! Google's JSON, field for field. Unknown fields are ignored; a member of an unexpected shape spoils
//! only itself. What RCS for Business has under the same names is marked; it can be read by the same
//! structs.

use super::config::TOKEN_URL;
use crate::kit::secret::Secret;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// The key file of a service account.
#[derive(Debug, Clone, Deserialize)]
pub struct ServiceAccount {
    pub client_email: String,
    pub private_key: Secret,
    #[serde(default)]
    pub private_key_id: Option<String>,
    #[serde(default)]
    pub token_uri: Option<String>,
}

impl ServiceAccount {
    /// For whom the account's assertions are meant.
    pub fn audience(&self) -> &str {
        self.token_uri.as_deref().unwrap_or(TOKEN_URL)
    }
}

/// What Google posts when the webhook is saved; the same for RCS.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    pub client_token: String,
    pub secret: String,
}

/// A webhook around which Pub/Sub's wrapper was put, as RCS has it throughout.
#[derive(Debug, Deserialize)]
pub struct Wrapped {
    pub message: WrappedMessage,
}

#[derive(Debug, Deserialize)]
pub struct WrappedMessage {
    pub data: String,
}

/// A webhook: what happened in a conversation. One of the members from `message` on is there.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserMessage<'a> {
    #[serde(default)]
    pub agent: Option<String>,
    #[serde(default)]
    pub custom_agent_id: Option<String>,
    pub conversation_id: String,
    #[serde(default)]
    pub request_id: Option<String>,
    #[serde(default)]
    pub send_time: Option<String>,
    #[serde(borrow, default)]
    pub context: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub suggestion_response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub receipts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub user_status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub survey_response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub authentication_response: Option<&'a RawValue>,
}

/// How and where a person came upon the agent.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    #[serde(default)]
    pub entry_point: Option<String>,
    #[serde(default)]
    pub user_info: Option<UserInfo>,
    #[serde(default)]
    pub resolved_locale: Option<String>,
    #[serde(default)]
    pub custom_context: Option<String>,
    #[serde(default)]
    pub widget: Option<Widget>,
    #[serde(default)]
    pub place_id: Option<String>,
    #[serde(default)]
    pub near_place_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserInfo {
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub user_device_locale: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Widget {
    #[serde(default)]
    pub widget_context: Option<String>,
    #[serde(default)]
    pub url: Option<String>,
}

/// What a person wrote.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    pub message_id: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub create_time: Option<String>,
}

/// What a person pressed; RCS has `postbackData`, `text` and `type`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuggestionResponse {
    #[serde(default)]
    pub message: Option<String>,
    pub postback_data: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub create_time: Option<String>,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// How far our messages have come.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipts<'a> {
    #[serde(borrow)]
    pub receipts: Vec<&'a RawValue>,
    #[serde(default)]
    pub create_time: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    pub message: String,
    pub receipt_type: String,
}

/// What a person is about.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserStatus {
    #[serde(default, deserialize_with = "flag")]
    pub is_typing: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    pub requested_live_agent: Option<bool>,
    #[serde(default)]
    pub create_time: Option<String>,
}

/// An answer to one question of a survey.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SurveyResponse {
    #[serde(default)]
    pub survey: Option<String>,
    #[serde(default)]
    pub survey_question_id: Option<String>,
    #[serde(default)]
    pub question_response_text: Option<String>,
    #[serde(default)]
    pub question_response_postback_data: Option<String>,
    #[serde(default)]
    pub question_type: Option<String>,
    #[serde(default)]
    pub question_index: Option<Value>,
    #[serde(default)]
    pub total_question_count: Option<Value>,
    #[serde(default)]
    pub rating: Option<Value>,
    #[serde(default)]
    pub feedback: Option<Value>,
    #[serde(default)]
    pub survey_trigger_source: Option<String>,
    #[serde(default)]
    pub create_time: Option<String>,
}

/// What came of a request to sign in.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationResponse {
    #[serde(default)]
    pub code: Option<String>,
    #[serde(default)]
    pub redirect_uri: Option<String>,
    #[serde(default)]
    pub error_details: Option<ErrorDetails>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetails {
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub error_description: Option<String>,
}

/// The answer to a send.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    #[serde(default)]
    pub message_id: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
}

/// An error of Google's APIs (`google.rpc.Status`); the same for RCS.
#[derive(Debug, Deserialize)]
pub struct Failed {
    pub error: Status,
}

#[derive(Debug, Deserialize)]
pub struct Status {
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub details: Vec<Value>,
}

/// An access token, or why there is none (RFC 6749, section 5).
#[derive(Debug, Deserialize)]
pub struct TokenAnswer {
    #[serde(default)]
    pub access_token: Option<Secret>,
    #[serde(default)]
    pub expires_in: Option<u64>,
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub error_description: Option<String>,
}

/// A boolean, which Google has written as a word, too.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(flag) => Some(flag),
        Value::String(word) => word.parse().ok(),
        _ => None,
    })
}

/// The last word of a resource's name: `conversations/…/messages/m-1` is `m-1`.
pub fn last_word(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
