//! Waiting for what becomes of a send, and the answer that its caller gets.

use super::dispatch::{Api, missing};
use super::error::{ApiError, Code, Success};
use super::shapes::{MessageStatus, answers};
use crate::gateway::Heard;
use crate::store::now;
use crate::store::reads::{self, Outcome};
use crate::store::{Sent, at_once};
use serde_json::{Value, json};
use std::time::Duration;
use switchboard_channels::model::{ConversationId, MessageId};
use switchboard_channels::{Class, LimitScope, SetupScope, Words};
use tokio::time::Instant;

/// Waits for the outcome of a message that another call accepted.
pub async fn wait_for(
    api: &Api,
    function: &'static str,
    message: MessageId,
    most: Duration,
) -> Result<Success, ApiError> {
    let news = api.gateway.outcomes.subscribe(message);
    wait(api, function, message, most, news).await
}

/// Waits until the outcome is final, the time is over, or it is clear that nothing will come in time.
pub async fn wait(
    api: &Api,
    function: &'static str,
    message: MessageId,
    most: Duration,
    mut news: tokio::sync::oneshot::Receiver<Heard>,
) -> Result<Success, ApiError> {
    let gateway = &api.gateway;
    let deadline = Instant::now() + most;
    loop {
        let outcome = gateway
            .store
            .read(move |tx| at_once(reads::outcome(tx, message)))
            .await?;
        let Some(outcome) = outcome else {
            return Err(missing(Code::MessageNotFound, "message", message));
        };
        if !outcome.open && !outcome.scheduled {
            gateway.outcomes.forget(message);
            return finished(function, message, &outcome);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || will_not_come(api, &outcome, left).await {
            drop(news);
            gateway.outcomes.forget(message);
            return Ok(queued(message, &outcome));
        }
        tokio::select! {
            heard = &mut news => {
                if let Ok(Some(sent)) = heard {
                    return Ok(taken(function, &sent));
                }
                // A closed channel is news too: the row says what it is.
            }
            () = tokio::time::sleep(left) => {}
            () = gateway.stop.cancelled() => {
                gateway.outcomes.forget(message);
                return Ok(queued(message, &outcome));
            }
        }
        // Subscribed again before the row is read again.
        news = gateway.outcomes.subscribe(message);
    }
}

/// Whether nothing can come within the time that is left.
async fn will_not_come(api: &Api, outcome: &Outcome, left: Duration) -> bool {
    let left_ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
    if outcome.scheduled || (outcome.failures > 0 && outcome.next_at.since(now()) > left_ms) {
        return true;
    }
    // A channel that is not configured any more sends nothing now.
    let Some(live) = api.gateway.channel(&outcome.channel) else {
        return true;
    };
    match api.gateway.queue.stats(&live.lane).await {
        Ok(stats) => stats.paused || stats.resting.is_some(),
        Err(_down) => true,
    }
}

fn queued(message: MessageId, outcome: &Outcome) -> Success {
    accepted(message, outcome.conversation)
}

/// The answer to a message that waits, for a caller who does not.
pub fn accepted(message: MessageId, conversation: ConversationId) -> Success {
    Success::sent(json!(true), message, conversation, MessageStatus::Queued)
}

/// The answer to a message that is sent or has failed.
fn finished(
    function: &'static str,
    message: MessageId,
    outcome: &Outcome,
) -> Result<Success, ApiError> {
    let status = MessageStatus::of_name(&outcome.status).unwrap_or(MessageStatus::Sent);
    if status == MessageStatus::Failed {
        let (class, code, text) = outcome.error.clone().unwrap_or_default();
        let words = Words::new(code, text);
        return Err(ApiError::failed_send(
            class_of(&class),
            Some(words),
            message,
            outcome.conversation,
        ));
    }
    let response = answer(function, message, &outcome.answers);
    Ok(Success::sent(
        response,
        message,
        outcome.conversation,
        status,
    ))
}

/// The answer to a message of one part that is sent, as its worker told it.
pub fn taken(function: &'static str, sent: &Sent) -> Success {
    let answers = std::slice::from_ref(&sent.answer);
    let response = answer(function, sent.message, answers);
    Success::sent(
        response,
        sent.message,
        sent.conversation,
        MessageStatus::Sent,
    )
}

/// What a function answers when everything is sent: the platform's own answer to the first part, in
/// the shape that callers know.
fn answer(function: &str, message: MessageId, answers: &[String]) -> Value {
    let read = |text: &String| serde_json::from_str(text).unwrap_or(Value::Null);
    let first = || answers.first().map_or(Value::Null, read);
    match function {
        "messaging-platforms-send-message"
        | "direct-message"
        | "send-email"
        | "send-custom-email" => json!(true),
        "send-message" => answers::stored_message(message, ""),
        // The ids of all parts, as if they had been one request.
        "line-send-message" => {
            let sent: Vec<Value> = answers
                .iter()
                .map(read)
                .filter_map(|a: Value| a.get("sentMessages").and_then(Value::as_array).cloned())
                .flatten()
                .collect();
            json!({"sentMessages": sent})
        }
        // The platform's token that stood last here is the gateway's own business now: empty.
        "wechat-send-message" => json!([first().to_string(), ""]),
        // Slack's channel; the caller fills it in where the answer does not name it.
        "send-slack-message" => first()
            .get("channel")
            .map_or_else(|| json!([]), |channel| json!([channel])),
        "gbm-send-message" => {
            let attachments = answers.get(1..).unwrap_or_default();
            json!([first().to_string(), attachments, ""])
        }
        _ => first(),
    }
}

/// A class by its stored name. What we gave up ourselves counts as the platform's error.
fn class_of(name: &str) -> Class {
    match name {
        "recipient" => Class::Recipient,
        "window" => Class::Window,
        "content" => Class::Content,
        "credentials" => Class::Credentials,
        "limited" => Class::Limited {
            after: None,
            scope: LimitScope::Lane,
        },
        "unsure" => Class::Unsure,
        "setup" => Class::Setup {
            scope: SetupScope::Message,
        },
        _ => Class::Retry,
    }
}
