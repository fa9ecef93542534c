//! Answers -> receipt or class. Decided on subcode, then code, then `is_transient`, then HTTP status; the
//! codes are those of Meta's page "Error codes" of the Messenger platform (read November 2026). The
//! status says little: nearly every refusal is a 400.

use super::wire::{Failed, GraphError, Sent};
use crate::error::{Class, LimitScope, SendError, SetupScope, Words};
use crate::kit::http::{Headers, Response};
use crate::kit::{json, status};
use crate::model::Receipt;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Rest after a limit when no header says how long.
const LIMIT: Duration = Duration::from_secs(60);
/// Rest after Meta restricted the page for a while; hours are usual.
const RESTRICTED: Duration = Duration::from_secs(3600);

/// Subcode of "could not fetch the file behind the link".
pub const NOT_FETCHED: i64 = 2_018_008;

const ACCOUNT: Class = Class::Setup {
    scope: SetupScope::Account,
};
const MESSAGE: Class = Class::Setup {
    scope: SetupScope::Message,
};

const fn lane(after: Duration) -> Class {
    Class::Limited {
        after: Some(after),
        scope: LimitScope::Lane,
    }
}

/// What a subcode means, whatever its code; `None` for those that are not in the table.
const fn class_of_subcode(code: i64, subcode: i64) -> Option<Class> {
    Some(match subcode {
        // Outside of the window: two of Messenger's, one of Instagram's. A tag that is no longer taken.
        2_018_278 | 2_018_065 | 2_534_022 | 1_893_061 => Class::Window,
        // Does not receive messages now; no such person, or of another page; no such person on
        // Instagram; has blocked us or left.
        2_018_108 | 2_018_001 | 2_534_014 | 1_545_041 => Class::Recipient,
        // The page is restricted for a while.
        1_893_063 => lane(RESTRICTED),
        // Too many sends to telephone numbers.
        2_018_022 => lane(LIMIT),
        // Our link could not be fetched: `deliver` has tried twice.
        NOT_FETCHED => Class::Content,
        // The file is not of the type that it was sent as; the upload failed, its id is void, it is
        // too large.
        2_018_047 | 2_018_007 | 2_018_074 | 2_018_109 => Class::Content,
        // Nothing in the message, no payload, no link or title of a button.
        2_018_015 | 2_018_040 | 2_018_041 | 2_018_053 => Class::Content,
        // A private reply: used, expired, or its comment is gone.
        2_534_039 | 2_534_040 => Class::Content,
        // The app is not published and the person has no role in it: others may have one.
        2_018_028 => MESSAGE,
        // Wrong id of the page, or a token that may not see it: every send would fail.
        33 if code == 100 => ACCOUNT,
        _ => return None,
    })
}

/// What a code means when its subcode says nothing better; `None` for those that are not in the table.
const fn class_of_code(code: i64) -> Option<Class> {
    Some(match code {
        // Unknown or passing, and said so: not processed.
        -2 | -1 | 1 | 2 | 1200 => Class::Retry,
        // Limits of the app, the user, the page, our own; of page, Instagram and Messenger as
        // business use cases.
        4 | 17 | 32 | 613 | 80_001 | 80_002 | 80_006 => lane(LIMIT),
        // Unavailable, blocked us, deactivated: Meta does not say which.
        551 => Class::Recipient,
        // No such person on Instagram.
        2_534_014 => Class::Recipient,
        // A private reply: used, expired, or its comment is gone.
        2_534_039 | 2_534_040 | 10_900 | 10_903 => Class::Content,
        // Token expired, revoked, void since the password changed.
        102 | 190 => Class::Credentials,
        // A permission or feature that the token has not.
        3 | 10 | 200 | 230 | 299 => Class::Credentials,
        // Blocked for what was sent: nothing more for hours.
        368 => ACCOUNT,
        // A parameter that will be as wrong next time.
        100 => Class::Content,
        _ => return None,
    })
}

/// Reads the answer to a message.
///
/// # Errors
/// With the class of Meta's code; of the HTTP status where there is none. A success without a message
/// id is `Unsure`.
pub fn classify(response: &Response) -> Result<Receipt, SendError> {
    if !response.is_success() {
        return Err(error_of(response));
    }
    let sent = serde_json::from_slice::<Sent>(&response.body).ok();
    let Some(id) = sent.and_then(|sent| sent.message_id) else {
        return Err(status::default_error(response));
    };
    Ok(Receipt {
        platform_ids: vec![id],
        answer: json::answer_text(&response.body),
        alias: None,
    })
}

/// Whom the platform says that the message went to.
pub fn recipient_of(receipt: &Receipt) -> Option<String> {
    serde_json::from_str::<Sent>(&receipt.answer)
        .ok()?
        .recipient_id
}

/// The error of an answer that is none of what was asked for.
pub fn error_of(response: &Response) -> SendError {
    let mut error = match serde_json::from_slice::<Failed>(&response.body) {
        Ok(failed) if failed.error.code.is_some() => SendError {
            class: class_of(&failed.error, response),
            words: Some(words(&failed.error)),
            opted_out: false,
        },
        _ => status::default_error(response),
    };
    // Whatever the code, 429 means: slower.
    if response.status == 429 && !matches!(error.class, Class::Limited { .. }) {
        error.class = status::default_class(429, &response.headers);
    }
    // Meta's word on how long to rest goes before our guess.
    if let Class::Limited { after, scope } = error.class {
        let stated = regain_access(&response.headers).or(status::retry_after(&response.headers));
        let after = stated.max(after.filter(|after| *after > LIMIT)).or(after);
        error.class = Class::Limited { after, scope };
    }
    error
}

fn number(text: Option<&String>) -> Option<i64> {
    text?.parse().ok()
}

fn class_of(error: &GraphError, response: &Response) -> Class {
    let code = number(error.code.as_ref());
    let subcode = number(error.error_subcode.as_ref());
    let known = code.and_then(|code| {
        let by_subcode = subcode.and_then(|subcode| class_of_subcode(code, subcode));
        by_subcode.or_else(|| class_of_code(said(code, error.message.as_deref())))
    });
    match (known, response.status) {
        // A parameter that is wrong only for now is said to be so.
        (Some(Class::Content) | None, _) if error.is_transient => Class::Retry,
        (Some(class), _) => class,
        // A code that Meta has added since: final, unless the status says that it may pass.
        (None, 401 | 408 | 425 | 429 | 500.. | 0..=399) => {
            status::default_class(response.status, &response.headers)
        }
        (None, _) => Class::Content,
    }
}

/// The code that the words begin with, where it says more than the field: "(#551) This person isn't
/// available right now" comes with code 200, which would be a missing permission.
fn said(code: i64, message: Option<&str>) -> i64 {
    let inside = || {
        let (number, _) = message?.strip_prefix("(#")?.split_once(')')?;
        number.parse::<i64>().ok()
    };
    match inside() {
        Some(551) if code == 200 => 551,
        _ => code,
    }
}

/// Code and subcode; the sentence, what Meta would show to a user, and the id that its support asks for.
fn words(error: &GraphError) -> Words {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    let code: String = part(&error.code).chars().take(20).collect();
    let code = match &error.error_subcode {
        Some(subcode) => format!("{code}/{}", subcode.chars().take(20).collect::<String>()),
        None => code,
    };
    let mut message = part(&error.message);
    let more = error
        .error_user_msg
        .as_ref()
        .filter(|more| !message.contains(*more));
    if let Some(more) = more {
        message = format!("{message}: {more}");
    }
    if let Some(trace) = &error.fbtrace_id {
        message = format!("{message} (fbtrace_id {trace})");
    }
    Words::new(code, message)
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
        .filter_map(|usage| usage.estimated_time_to_regain_access)
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
    fn a_transient_mark_undoes_no_verdict_on_person_window_or_token() {
        let class = |code: i64, subcode: i64| {
            let error = format!(
                r#"{{"error":{{"code":{code},"error_subcode":{subcode},"is_transient":true}}}}"#
            );
            answer(400, &error).class
        };
        assert_eq!(class(10, 2_018_278), Class::Window);
        assert_eq!(class(551, 1_545_041), Class::Recipient);
        assert_eq!(class(190, 463), Class::Credentials);
        assert_eq!(class(100, 0), Class::Retry);
    }

    #[test]
    fn a_success_without_an_id_is_in_doubt() {
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"recipient_id":"7"}"#,
            r#"{"message_id":""}"#,
            "[]",
        ] {
            assert_eq!(answer(200, body).class, Class::Unsure, "{body}");
        }
    }

    #[test]
    fn codes_are_numbers_or_strings_and_words_say_everything() {
        let body = r#"{"error":{"message":"(#10) Outside","type":"OAuthException","code":"10",
            "error_subcode":2018278,"error_user_msg":"Too late","fbtrace_id":"AbC"}}"#;
        let error = answer(400, body);
        assert_eq!(error.class, Class::Window);
        let words = error.words.unwrap();
        assert_eq!(words.code, "10/2018278");
        assert_eq!(words.message, "(#10) Outside: Too late (fbtrace_id AbC)");
    }

    #[test]
    fn usage_headers_state_the_wait() {
        let limited = |code: &str, usage: &str| {
            let body = format!(r#"{{"error":{{{code}}}}}"#);
            let response =
                Response::json(400, body).with_header("X-Business-Use-Case-Usage", usage);
            match error_of(&response).class {
                Class::Limited { after, .. } => after.unwrap().as_secs(),
                other => panic!("{other:?}"),
            }
        };
        let usage = r#"{"1":[{"type":"messenger","estimated_time_to_regain_access":3},{}],"2":[{"estimated_time_to_regain_access":7}]}"#;
        assert_eq!(limited(r#""code":80006"#, usage), 420);
        let none = r#"{"1":[{"estimated_time_to_regain_access":0}]}"#;
        assert_eq!(limited(r#""code":80006"#, none), 60);
        assert_eq!(limited(r#""code":4"#, "nonsense"), 60);
        // A restriction of the page lasts an hour at least, whatever the meter of calls says.
        assert_eq!(limited(r#""code":10,"error_subcode":1893063"#, usage), 3600);
    }
}
