//! Google's answers: a receipt, or what the error means.
//!
//! Errors are `google.rpc.Status`: the name of its code decides, not the HTTP status, which several
//! codes share (reference, "Error handling", read November 2026). The same table serves RCS for
//! Business.

use super::render::message_id;
use super::wire::{Failed, Sent, Status, TokenAnswer, last_word};
use crate::error::{Class, LimitScope, SendError, SetupScope, Words};
use crate::kit::http::{Headers, Response};
use crate::kit::json::answer_text;
use crate::kit::secret::Secret;
use crate::kit::status::{default_error, retry_after};
use crate::model::{Part, Receipt};
use serde_json::Value;
use std::time::Duration;

/// The whole account is affected.
const ACCOUNT: Class = Class::Setup {
    scope: SetupScope::Account,
};

/// Reasons (`google.rpc.ErrorInfo`) for which PERMISSION_DENIED is about every call: the API is not
/// switched on in the project, the project is suspended, or the token is for other APIs.
const OF_THE_ACCOUNT: [&str; 4] = [
    "SERVICE_DISABLED",
    "CONSUMER_INVALID",
    "CONSUMER_SUSPENDED",
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
];

/// A send's answer.
///
/// # Errors
/// With the class that decides what happens next.
pub fn classify(response: &Response, part: &Part) -> Result<Receipt, SendError> {
    let status = failed(response);
    // The id is ours: who has it already, has the message.
    let repeated = response.status == 409 && named(status.as_ref(), "ALREADY_EXISTS");
    let id = if repeated { Some(message_id(part)) } else { sent(response) };
    match id {
        Some(id) => Ok(Receipt {
            platform_ids: vec![id],
            answer: answer_text(&response.body),
            alias: None,
        }),
        None => Err(error(response)),
    }
}

/// The id of what was taken.
fn sent(response: &Response) -> Option<String> {
    let sent: Sent = serde_json::from_slice(&response.body).ok()?;
    let of_name = sent.name.as_deref().map(last_word).map(str::to_owned);
    let id = sent.message_id.or(of_name);
    id.filter(|id| response.is_success() && !id.is_empty())
}

/// What a failure means.
pub fn error(response: &Response) -> SendError {
    let mut error = default_error(response);
    let Some(status) = failed(response).filter(|_| !response.is_success()) else {
        return error;
    };
    if let Some(class) = class(&status, &response.headers) {
        error.class = class;
    }
    let code = match status.status.as_str() {
        "" => response.status.to_string(),
        name => name.chars().take(CODE_MAX).collect(),
    };
    error.words = Some(Words::new(code, status.message.unwrap_or_default()));
    error
}

/// How much of a code's name is kept.
const CODE_MAX: usize = 64;

/// What a code means; `None`: not one that Google lists, so that the HTTP status decides.
fn class(status: &Status, headers: &Headers) -> Option<Class> {
    Some(match status.status.as_str() {
        "INVALID_ARGUMENT" | "OUT_OF_RANGE" => Class::Content,
        // The person's app cannot show it, not even in words: those were sent before this is asked.
        "FAILED_PRECONDITION" => Class::Content,
        "UNAUTHENTICATED" => Class::Credentials,
        "PERMISSION_DENIED" if is_of_the_account(status) => ACCOUNT,
        // Not ours, ended, or silent for more than 30 days.
        "PERMISSION_DENIED" => Class::Window,
        "NOT_FOUND" => Class::Recipient,
        "RESOURCE_EXHAUSTED" => Class::Limited {
            after: retry_after(headers).or_else(|| retry_delay(status)),
            scope: LimitScope::Lane,
        },
        // With the same id nothing is sent twice.
        "ABORTED" | "CANCELLED" | "INTERNAL" | "UNKNOWN" | "DATA_LOSS" | "UNAVAILABLE"
        | "DEADLINE_EXCEEDED" => Class::Retry,
        "UNIMPLEMENTED" => ACCOUNT,
        _ => return None,
    })
}

fn is_of_the_account(status: &Status) -> bool {
    let reasons = status.details.iter().filter_map(|d| d.get("reason")?.as_str());
    let mut reasons = reasons.filter(|reason| OF_THE_ACCOUNT.contains(reason));
    reasons.next().is_some()
}

/// How long Google says to wait: `google.rpc.RetryInfo`, seconds with an `s` behind them.
fn retry_delay(status: &Status) -> Option<Duration> {
    let mut delays = status.details.iter().filter_map(|d| d.get("retryDelay"));
    let seconds = delays.next().and_then(Value::as_str)?.strip_suffix('s')?;
    Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
}

/// Whether the access token was refused, so that nothing was done.
pub fn token_refused(response: &Response) -> bool {
    response.status == 401
}

/// Whether the person's app cannot show what the message holds.
pub fn cannot_be_shown(response: &Response) -> bool {
    response.status == 400 && named(failed(response).as_ref(), "FAILED_PRECONDITION")
}

fn failed(response: &Response) -> Option<Status> {
    let failed: Failed = serde_json::from_slice(&response.body).ok()?;
    Some(failed.error)
}

fn named(status: Option<&Status>, name: &str) -> bool {
    status.is_some_and(|status| status.status == name)
}

/// An access token and its life in seconds.
///
/// # Errors
/// When there is none: `Credentials` where the account was refused.
pub fn token(response: &Response) -> Result<(Secret, u64), SendError> {
    let answer = serde_json::from_slice::<TokenAnswer>(&response.body).ok();
    if response.is_success() {
        let token = answer.and_then(|a| Some((a.access_token?, a.expires_in?)));
        return token
            .filter(|(token, _)| !token.is_empty())
            .ok_or_else(|| default_error(response));
    }
    let mut error = default_error(response);
    if let Some(code) = answer.as_ref().and_then(|a| a.error.clone()) {
        // Clock, key or account are wrong: `invalid_grant`, `invalid_client` and their kin.
        if (400..404).contains(&response.status) {
            error.class = Class::Credentials;
        }
        let code: String = code.chars().take(CODE_MAX).collect();
        let words = answer.and_then(|a| a.error_description);
        error.words = Some(Words::new(code, words.unwrap_or_default()));
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_refusals() {
        let of = |status, body: &str| token(&Response::json(status, body));
        let (value, seconds) = of(200, r#"{"access_token":"ya29","expires_in":3599}"#).unwrap();
        assert_eq!((value.expose(), seconds), ("ya29", 3599));
        for (status, body, class, code) in [
            (400, r#"{"error":"invalid_grant","error_description":"Invalid JWT"}"#, Class::Credentials, "invalid_grant"),
            (401, r#"{"error":"invalid_client"}"#, Class::Credentials, "invalid_client"),
            (503, r#"{"error":"temporarily_unavailable"}"#, Class::Retry, "temporarily_unavailable"),
            (500, "", Class::Unsure, "500"),
            (200, r#"{"access_token":"","expires_in":1}"#, Class::Unsure, "200"),
        ] {
            let error = of(status, body).unwrap_err();
            assert_eq!(error.class, class, "{body}");
            assert_eq!(error.words.unwrap().code, code);
        }
    }

    #[test]
    fn waits_are_read_from_either_place() {
        let body = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3.5s"}]}}"#;
        let after = |response: Response| match error(&response).class {
            Class::Limited { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after(Response::json(429, body)), Some(Duration::from_millis(3500)));
        let header = Response::json(429, body).with_header("Retry-After", "7");
        assert_eq!(after(header), Some(Duration::from_secs(7)));
        for odd in ["-1s", "1e99s", "soon", "NaNs"] {
            let odd = body.replace("3.5s", odd);
            assert_eq!(after(Response::json(429, odd)), None);
        }
    }
}
