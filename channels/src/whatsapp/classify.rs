//! Answers -> receipt or class. Decided on `error.code`, never on its words; the codes are those of
//! Meta's page "Error codes" (read November 2026). The same table classifies the errors of `failed`
//! statuses.

use super::wire;
use crate::error::{Class, LimitScope, SendError, SetupScope, Words};
use crate::kit::http::{Headers, Response};
use crate::kit::{json, status};
use crate::model::Receipt;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Rest after "application request limit reached" when no usage header says how long.
const APP_LIMIT: Duration = Duration::from_secs(60);
/// Rest after the throughput of a number was exceeded; it is counted per second.
const THROUGHPUT: Duration = Duration::from_secs(1);
/// Rest after the limit of a pair of numbers: one message per six seconds is what a pair may do.
const PAIR: Duration = Duration::from_secs(6);
/// Rest after a limit for spam or quality, which Meta lifts after hours at the earliest.
const QUALITY: Duration = Duration::from_secs(3600);
/// Rest after a form was throttled to ten messages per hour.
const FLOW: Duration = Duration::from_secs(360);

/// The code of an object that does not exist or that the token may not see.
pub const NO_SUCH_OBJECT: (i64, i64) = (100, 33);
/// The code of a template that does not exist in the language.
pub const NO_SUCH_TEMPLATE: &str = "132001";
/// The code of a recipient who does not want marketing.
pub const OPTED_OUT: i64 = 131_050;

const fn limited(after: Duration, scope: LimitScope) -> Option<Class> {
    Some(Class::Limited {
        after: Some(after),
        scope,
    })
}

/// What a code means; `None` for codes that are not in Meta's table.
pub const fn class_of(code: i64) -> Option<Class> {
    const ACCOUNT: Class = Class::Setup {
        scope: SetupScope::Account,
    };
    const MESSAGE: Class = Class::Setup {
        scope: SetupScope::Message,
    };
    match code {
        // Token expired, revoked, or without the permission: a new token mends it.
        0 | 3 | 10 | 190 | 200..=299 | 131_005 => Some(Class::Credentials),
        // "Unknown": mostly passing; the schedule bounds how often it is tried.
        1 => Some(Class::Retry),
        // Down, unavailable or in maintenance, and said so: not processed.
        2 | 131_000 | 131_016 | 131_057 | 133_004 => Some(Class::Retry),
        // Fetching our link failed at their side; our host may be back at the next try.
        131_053 => Some(Class::Retry),
        // Limits on the app, on the business account, on the number.
        4 | 80_007 => limited(APP_LIMIT, LimitScope::Lane),
        130_429 => limited(THROUGHPUT, LimitScope::Lane),
        // Limit on messages between these two numbers.
        131_056 => limited(PAIR, LimitScope::Recipient),
        // Spam or quality; registering too often.
        131_048 | 131_064 | 133_016 => limited(QUALITY, LimitScope::Lane),
        // One form, or one group, is throttled: the conversation waits, the lane goes on.
        132_069 => limited(FLOW, LimitScope::Recipient),
        131_208 => limited(APP_LIMIT, LimitScope::Recipient),
        // Account restricted or locked.
        368 | 131_031 => Some(ACCOUNT),
        // The number's id was deleted; display name, payment, certificate; not registered.
        33 | 131_037 | 131_042 | 131_045 | 133_010 => Some(ACCOUNT),
        // PIN and registration.
        133_005 | 133_006 | 133_008 | 133_009 | 133_015 => Some(ACCOUNT),
        // A test number writes to listed recipients only; the others on the list still get theirs.
        131_030 => Some(MESSAGE),
        // Marketing is switched off; other messages go.
        131_063 => Some(MESSAGE),
        // Template missing, against policy, paused, disabled; form blocked.
        132_001 | 132_007 | 132_015 | 132_016 | 132_068 => Some(MESSAGE),
        // Not on WhatsApp, country not allowed, ourselves, another person since, wants no marketing.
        130_497 | 131_021 | 131_026 | 131_050 | 137_000 => Some(Class::Recipient),
        // Held back from this person for now (experiment, cap on marketing): not before a day, which is
        // longer than a message waits.
        130_472 | 131_049 => Some(Class::Recipient),
        // Group with nobody else, unknown, or suspended.
        131_020 | 131_041 | 131_207 => Some(Class::Recipient),
        131_047 => Some(Class::Window),
        // A parameter, a type or a size that will be as wrong next time.
        100 | 131_008 | 131_009 | 131_051 | 131_052 | 131_062 => Some(Class::Content),
        132_000 | 132_005 | 132_008 | 132_012 | 132_018 | 135_000 => Some(Class::Content),
        _ => None,
    }
}

/// The words of an error: the sentence and, where they say more, the details.
pub fn words(error: &wire::Error<'_>) -> Words {
    let code = wire::whole(error.code).map_or_else(|| "unknown".to_owned(), |c| c.to_string());
    let sentence = error.message.as_deref().or(error.title.as_deref());
    let details = error.error_data.as_ref().and_then(|d| d.details.as_deref());
    match (sentence, details) {
        (Some(sentence), Some(details)) if sentence != details => {
            Words::new(code, format!("{sentence}: {details}"))
        }
        (sentence, details) => Words::new(code, sentence.or(details).unwrap_or_default()),
    }
}

/// What a `failed` status means. The platform has given up, so a code that we do not know is about
/// this message.
pub fn failure(error: &wire::Error<'_>) -> (Class, Words) {
    let class = wire::whole(error.code)
        .and_then(class_of)
        .unwrap_or(Class::Content);
    (class, words(error))
}

#[derive(Deserialize)]
struct Failed<'a> {
    #[serde(borrow)]
    error: wire::Error<'a>,
}

#[derive(Deserialize)]
struct Accepted {
    #[serde(default)]
    contacts: Vec<AcceptedContact>,
    messages: Vec<AcceptedMessage>,
}

#[derive(Deserialize)]
struct AcceptedContact {
    input: Option<String>,
    wa_id: Option<String>,
}

#[derive(Deserialize)]
struct AcceptedMessage {
    id: String,
}

/// Reads the answer to a message.
///
/// # Errors
/// With the class of the platform's code; of the HTTP status where there is none. A success without
/// a message id is `Unsure`.
pub fn classify(response: &Response) -> Result<Receipt, SendError> {
    if !response.is_success() {
        return Err(error_of(response));
    }
    let Ok(accepted) = serde_json::from_slice::<Accepted>(&response.body) else {
        return Err(status::default_error(response));
    };
    let ids: Vec<String> = accepted
        .messages
        .into_iter()
        .map(|m| m.id)
        .filter(|id| !id.is_empty())
        .collect();
    if ids.is_empty() {
        return Err(status::default_error(response));
    }
    let alias = accepted.contacts.into_iter().next().and_then(alias);
    Ok(Receipt {
        platform_ids: ids,
        answer: json::answer_text(&response.body),
        alias,
    })
}

/// The number as WhatsApp knows it, where that is not the one addressed (Brazil, Mexico, Argentina;
/// or a business-scoped id was addressed).
fn alias(contact: AcceptedContact) -> Option<String> {
    let digits = |s: &str| s.chars().filter(char::is_ascii_digit).collect::<String>();
    let known = contact.wa_id?;
    let asked = contact.input?;
    let is_number = asked.chars().all(|c| !c.is_ascii_alphabetic());
    let same = is_number && digits(&asked) == digits(&known);
    (!same && known != asked && !known.is_empty()).then_some(known)
}

/// The error of an answer that is none of what was asked for.
pub fn error_of(response: &Response) -> SendError {
    let Ok(failed) = serde_json::from_slice::<Failed<'_>>(&response.body) else {
        return with_usage(status::default_error(response), response);
    };
    let error = failed.error;
    let words = words(&error);
    let code = wire::whole(error.code);
    let subcode = wire::whole(error.error_subcode);
    let class = match code {
        // Wrong id of the number, or a token that may not see it: every send would fail.
        Some(c) if Some(NO_SUCH_OBJECT) == subcode.map(|s| (c, s)) => Class::Setup {
            scope: SetupScope::Account,
        },
        Some(c) => class_of(c).unwrap_or_else(|| unknown(&error, response)),
        None => unknown(&error, response),
    };
    // Whatever the code, 429 means: slower.
    let class = match class {
        Class::Limited { .. } => class,
        _ if response.status == 429 => status::default_class(429, &response.headers),
        _ => class,
    };
    let failure = SendError {
        class,
        words: Some(words),
        opted_out: code == Some(OPTED_OUT),
    };
    with_usage(failure, response)
}

/// A code that Meta has added since: worth another try only when Meta says so.
fn unknown(error: &wire::Error<'_>, response: &Response) -> Class {
    match response.status {
        _ if error.is_transient == Some(true) => Class::Retry,
        401 | 408 | 425 | 429 | 500.. | 0..=399 => {
            status::default_class(response.status, &response.headers)
        }
        _ => Class::Content,
    }
}

/// Puts the time that the usage headers state into a limit: it is Meta's word against our guess.
fn with_usage(mut error: SendError, response: &Response) -> SendError {
    if let Class::Limited { after, scope } = error.class {
        let stated = regain_access(&response.headers).or(status::retry_after(&response.headers));
        error.class = Class::Limited {
            after: stated.or(after),
            scope,
        };
    }
    error
}

#[derive(Deserialize)]
struct Usage {
    /// Minutes.
    estimated_time_to_regain_access: Option<u32>,
}

/// The longest time that `X-Business-Use-Case-Usage` says to wait. `X-App-Usage` holds percentages
/// only, no time.
fn regain_access(headers: &Headers) -> Option<Duration> {
    let usage = headers.get("x-business-use-case-usage")?;
    let usage: BTreeMap<String, Vec<Usage>> = serde_json::from_str(usage).ok()?;
    usage
        .into_values()
        .flatten()
        .filter_map(|u| u.estimated_time_to_regain_access)
        .max()
        .filter(|minutes| *minutes > 0)
        .map(|minutes| Duration::from_secs(u64::from(minutes) * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> SendError {
        classify(&Response::json(status, body)).unwrap_err()
    }

    #[test]
    fn unknown_codes_follow_the_transient_mark_and_the_status() {
        let body = |transient| {
            format!(r#"{{"error":{{"code":999999,"message":"new","is_transient":{transient}}}}}"#)
        };
        assert_eq!(answer(400, &body(true)).class, Class::Retry);
        assert_eq!(answer(400, &body(false)).class, Class::Content);
        assert_eq!(answer(403, &body(false)).class, Class::Content);
        assert_eq!(answer(401, &body(false)).class, Class::Credentials);
        assert_eq!(answer(500, &body(false)).class, Class::Unsure);
        assert_eq!(answer(503, &body(false)).class, Class::Retry);
    }

    #[test]
    fn a_success_without_an_id_is_in_doubt() {
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"messages":[]}"#,
            r#"{"messages":[{"id":""}]}"#,
            r#"{"messages":{}}"#,
            "[]",
        ] {
            assert_eq!(answer(200, body).class, Class::Unsure, "{body}");
        }
    }

    #[test]
    fn the_alias_is_what_differs() {
        let alias = |input: &str, wa_id: &str| {
            let body = format!(
                r#"{{"contacts":[{{"input":"{input}","wa_id":"{wa_id}"}}],"messages":[{{"id":"w"}}]}}"#
            );
            classify(&Response::json(200, body)).unwrap().alias
        };
        assert_eq!(alias("15550142233", "15550142233"), None);
        assert_eq!(alias("+1 555 014-2233", "15550142233"), None);
        assert_eq!(alias("+16315551234", "+16315551234"), None);
        assert_eq!(alias("5511987654321", "551187654321").unwrap(), "551187654321");
        assert_eq!(alias("US.15550142233", "15550142233").unwrap(), "15550142233");
    }

    #[test]
    fn usage_headers_state_the_wait() {
        let limited = |usage: &str| {
            let response = Response::json(400, r#"{"error":{"code":80007}}"#)
                .with_header("X-Business-Use-Case-Usage", usage);
            match error_of(&response).class {
                Class::Limited { after, .. } => after.unwrap().as_secs(),
                other => panic!("{other:?}"),
            }
        };
        let two = r#"{"1":[{"type":"messaging","estimated_time_to_regain_access":3},{}],"2":[{"estimated_time_to_regain_access":7}]}"#;
        assert_eq!(limited(two), 420);
        assert_eq!(limited(r#"{"1":[{"estimated_time_to_regain_access":0}]}"#), 60);
        assert_eq!(limited(r#"{"1":[{"estimated_time_to_regain_access":-1}]}"#), 60);
        assert_eq!(limited("nonsense"), 60);
    }
}
