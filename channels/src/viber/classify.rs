//! Viber's answers: HTTP 200 for nearly everything, so `status` in the body decides.

use super::wire::Answer;
use crate::error::{Class, LimitScope, SendError, SetupScope};
use crate::kit::http::Response;
use crate::kit::json::answer_text;
use crate::kit::status::{default_class, default_error, retry_after};
use crate::model::Receipt;
use std::time::Duration;

/// A person is sent a hundred messages an hour until they answer; Viber does not say how much of the
/// hour is left (REST Bot API, "Error codes": `tooManyRequests`).
const HOUR: Duration = Duration::from_secs(3600);

const ACCOUNT: Class = Class::Setup {
    scope: SetupScope::Account,
};
const MESSAGE: Class = Class::Setup {
    scope: SetupScope::Message,
};

/// What can be changed before the part is sent once more. Each at most once: Viber has refused the
/// request before whole, so nothing is sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Tell Viber where to post: it sends nothing for a bot that does not listen.
    SetWebhook,
    /// Send it as a text that every client shows.
    Plain,
    /// Ask for no newer client than the first.
    AnyClient,
}

/// A receipt, or what the error means.
///
/// # Errors
/// Whatever is not an answer of status 0 that names the message.
pub fn classify(response: &Response) -> Result<Receipt, SendError> {
    let accepted = answer(response).filter(|a| a.status == 0 && response.is_success());
    // What was taken but not named cannot be recognised when its statuses come.
    let Some(token) = accepted.and_then(|answer| answer.message_token) else {
        return Err(error(response));
    };
    Ok(Receipt {
        platform_ids: vec![token.0],
        answer: answer_text(&response.body),
        alias: None,
    })
}

/// The error of an answer that is not taken for a receipt.
pub fn error(response: &Response) -> SendError {
    if response.status == 429 {
        let class = Class::Limited {
            after: retry_after(&response.headers),
            scope: LimitScope::Lane,
        };
        return SendError { class, ..default_error(response) };
    }
    let refusal = answer(response).filter(|answer| answer.status != 0 && response.status < 500);
    let Some(answer) = refusal else {
        return default_error(response);
    };
    let class = class_of(answer.status);
    let class = class.unwrap_or_else(|| match response.status {
        // "General error": worth another try.
        200..=299 => Class::Retry,
        _ => default_class(response.status, &response.headers),
    });
    let words = answer.status_message.unwrap_or_default();
    let error = SendError::new(class, answer.status.to_string(), words);
    if answer.status == 6 {
        return error.with_opt_out();
    }
    error
}

/// What can be changed so that Viber takes the part, if anything.
pub fn remedy(response: &Response) -> Option<Remedy> {
    match answer(response)?.status {
        10 => Some(Remedy::SetWebhook),
        11 | 14 => Some(Remedy::Plain),
        13 => Some(Remedy::AnyClient),
        _ => None,
    }
}

/// Reads an answer. `None`: it is none of Viber's API.
pub fn answer(response: &Response) -> Option<Answer> {
    serde_json::from_slice(&response.body).ok()
}

/// The class of a status (REST Bot API, "Error codes"); `None` for 0 and for what is not listed.
pub const fn class_of(status: i64) -> Option<Class> {
    Some(match status {
        1 => ACCOUNT,           // invalidUrl: our webhook was refused, or its handshake failed
        2 => Class::Credentials, // invalidAuthToken
        3 => Class::Content,    // badData
        4 => Class::Content,    // missingData
        5 => Class::Recipient,  // receiverNotRegistered: no such person
        6 => Class::Recipient,  // receiverNotSubscribed: until they write or subscribe again
        7 => ACCOUNT,           // publicAccountBlocked
        8 => ACCOUNT,           // publicAccountNotFound: no bot has this token
        9 => ACCOUNT,           // publicAccountSuspended
        10 => ACCOUNT,          // webhookNotSet, and it could not be set
        11 => Class::Recipient, // receiverNoSuitableDevice: not even a text is shown
        12 => Class::Limited {
            // tooManyRequests: a hundred unanswered messages
            after: Some(HOUR),
            scope: LimitScope::Recipient,
        },
        13 => Class::Content,   // apiVersionNotSupported
        14 => Class::Content,   // incompatibleWithVersion
        15 => ACCOUNT,          // publicAccountNotAuthorized
        16 => Class::Content,   // inchatReplyMessageNotAllowed
        17 => MESSAGE,          // publicAccountIsNotInline: other messages are taken
        18 => MESSAGE,          // noPublicChat
        19 => MESSAGE,          // cannotSendBroadcast
        20 => MESSAGE,          // broadcastNotAllowed
        21 => Class::Recipient, // unsupportedCountry
        22 => Class::Content,   // paymentUnsupported
        23 => ACCOUNT,          // freeMessagesExceeded: until the month ends or somebody pays
        24 => ACCOUNT,          // noBalance
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_the_documentation_has_a_class_and_no_other() {
        for status in -5..100 {
            assert_eq!(class_of(status).is_some(), (1..=24).contains(&status), "{status}");
        }
    }

    #[test]
    fn a_status_in_the_body_does_not_hide_the_http_status() {
        let of = |status, body: &str| error(&Response::json(status, body)).class.name();
        assert_eq!(of(200, r#"{"status":0}"#), "unsure");
        assert_eq!(of(200, r#"{"status":99}"#), "retry");
        assert_eq!(of(429, r#"{"status":3}"#), "limited");
        assert_eq!(of(500, r#"{"status":3}"#), "unsure");
        assert_eq!(of(503, "busy"), "retry");
        assert_eq!(of(403, r#"{"status":2}"#), "credentials");
        assert_eq!(of(404, r#"{"status":99}"#), "setup");
    }
}
