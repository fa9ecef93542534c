//! WeChat's answers: a receipt, or what the error means.
//!
//! HTTP is always 200; the truth is in `errcode`. Answers may call themselves `text/plain`.

use super::wire::Answer;
use crate::error::{Class, LimitScope, SendError, SetupScope};
use crate::kit::http::Response;
use crate::kit::json::answer_text;
use crate::kit::status::default_error;
use crate::model::{Millis, Part, Receipt};
use std::time::Duration;

/// How long a call rests that was made too often within a minute.
const MINUTE: Duration = Duration::from_secs(60);

/// The code of a file that has expired or never was.
pub const NO_SUCH_MEDIA: i64 = 40007;

/// A receipt, or what the error means.
///
/// # Errors
/// Whatever is not a plain `errcode` 0.
pub fn classify(response: &Response, part: &Part, now: Millis) -> Result<Receipt, SendError> {
    let answer = answer(response).filter(|_| response.is_success());
    let id = match &answer {
        // Templates have a number, by which their outcome is told.
        Some(Answer { errcode: Some(0), msgid: Some(id), .. }) => id.to_string(),
        // Custom messages have none: it is ours. 45065: a template that has gone out before under
        // this `client_msg_id`.
        Some(Answer { errcode: Some(0 | 45065), .. }) => format!("local:{}", part.idempotency_key()),
        _ => return Err(error(response, now)),
    };
    Ok(Receipt {
        platform_ids: vec![id],
        answer: answer_text(&response.body),
        alias: None,
    })
}

/// The error of an answer that is not taken for a success.
pub fn error(response: &Response, now: Millis) -> SendError {
    let answer = answer(response);
    let code = answer.as_ref().and_then(|answer| answer.errcode);
    let Some(code) = code.filter(|code| *code != 0) else {
        return default_error(response);
    };
    let words = answer.and_then(|answer| answer.errmsg).unwrap_or_default();
    let error = SendError::new(class(code, now), code.to_string(), words);
    match code {
        // Unfollowed, or shut off: nothing is to be sent there any more.
        43004 | 50005 | 48002 => error.with_opt_out(),
        _ => error,
    }
}

/// What a code means.
fn class(code: i64, now: Millis) -> Class {
    let account = Class::Setup {
        scope: SetupScope::Account,
    };
    match code {
        // System busy.
        -1 => Class::Retry,
        // Token wrong, invalid or expired; as an answer to the call for a token: wrong secret.
        40001 | 40014 | 42001 => Class::Credentials,
        // Grant type, AppID or AppSecret wrong; token, AppID or AppSecret missing.
        40002 | 40013 | 40125 | 41001 | 41002 | 41004 => account,
        // Our address is not on the account's list; it is in the words.
        40164 => account,
        // No such person; not a follower; on the account's blacklist; refuses messages.
        40003 | 46004 | 43004 | 50005 | 43019 | 48002 => Class::Recipient,
        // Refused notices of this template.
        43101 => Class::Recipient,
        // More than 48 hours since the person did something, or as many messages as that allows.
        45015 | 45047 => Class::Window,
        // Type or size of a file; a file that has expired or never was.
        40004..=40007 | 40009..=40012 => Class::Content,
        // Message type, characters, template id.
        40008 | 40033 | 40037 => Class::Content,
        // File or its id missing, empty file or text, broken JSON, argument of a template.
        41005 | 41006 | 44002 | 44004 | 47001 | 47003 => Class::Content,
        // Too much: file, text, title, description, link, picture's link, seconds, articles.
        45001..=45008 => Class::Content,
        // The day's calls are used up: they count anew at midnight in Beijing.
        45009 => Class::Limited {
            after: Some(until_midnight_in_beijing(now)),
            scope: LimitScope::Lane,
        },
        45011 => Class::Limited {
            after: Some(MINUTE),
            scope: LimitScope::Lane,
        },
        // Repeated too fast under one `clientmsgid`; a `clientmsgid` that is too long.
        45066 => Class::Retry,
        45067 => Class::Content,
        // The typing notice: too early, not allowed, repeated. No message is one.
        45072 | 45080 | 45081 | 45083 => Class::Content,
        // This kind of account may not use this kind of message (menus: verified accounts only).
        40200 => Class::Setup {
            scope: SetupScope::Message,
        },
        // Not authorised for this API; banned, suspended or limited; wrong signature.
        48001 | 48004 | 48006 | 48008 | 50002 | 87009 => account,
        // Not done, and not known to be final.
        _ => Class::Retry,
    }
}

/// How long until calls count anew.
fn until_midnight_in_beijing(now: Millis) -> Duration {
    const DAY: i64 = 86_400_000;
    const EIGHT_HOURS: i64 = 8 * 3_600_000;
    let today = now.plus(EIGHT_HOURS).0.rem_euclid(DAY);
    Duration::from_millis(u64::try_from(DAY - today).unwrap_or_default())
}

/// The body as WeChat writes it, whatever its type says.
pub fn answer(response: &Response) -> Option<Answer> {
    serde_json::from_slice(&response.body).ok()
}

/// Whether the access token is what was refused.
pub fn token_refused(response: &Response) -> bool {
    let code = answer(response).and_then(|answer| answer.errcode);
    matches!(code, Some(40001 | 40014 | 42001))
}

/// A fresh access token and the seconds for which it is good.
///
/// # Errors
/// When there is none.
pub fn token(response: &Response, now: Millis) -> Result<(String, u64), SendError> {
    let answer = answer(response).filter(|_| response.is_success());
    let token = answer.and_then(|answer| Some((answer.access_token?, answer.expires_in?)));
    let token = token.filter(|(token, _)| !token.is_empty());
    token.ok_or_else(|| error(response, now))
}

/// The id of an uploaded file.
///
/// # Errors
/// When there is none.
pub fn uploaded(response: &Response, now: Millis) -> Result<String, SendError> {
    let answer = answer(response).filter(|_| response.is_success());
    let id = answer.and_then(|answer| answer.media_id);
    id.filter(|id| !id.is_empty()).ok_or_else(|| error(response, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_ends_at_midnight_in_beijing() {
        let hours = |h: i64| Millis(1_795_132_800_000 + h * 3_600_000); // 20 November 2026, 00:00 UTC
        let rest = |now| until_midnight_in_beijing(now).as_secs() / 3600;
        assert_eq!(rest(hours(0)), 16);
        assert_eq!(rest(hours(15)), 1);
        assert_eq!(rest(hours(16)), 24);
        assert_eq!(until_midnight_in_beijing(Millis(hours(16).0 - 1)).as_millis(), 1);
    }
}
