//! X's answers: a receipt, or what the error means.
//!
//! Numeric codes are a heritage of API v1.1; API v2 says most with the HTTP status and the `type` of
//! its problem. Codes decide first, then types, then the status.

use super::wire::{Problem, SentAnswer};
use crate::error::{Class, LimitScope, SendError, SetupScope, Words};
use crate::kit::http::{Headers, Response};
use crate::kit::json::answer_text;
use crate::kit::status::{default_class, retry_after};
use crate::model::{Millis, Receipt};
use std::time::Duration;

const ACCOUNT: Class = Class::Setup {
    scope: SetupScope::Account,
};
const MESSAGE: Class = Class::Setup {
    scope: SetupScope::Message,
};

/// How long the account rests when X thinks that it behaves like a machine, or has used up its day,
/// and does not say until when.
const REST: Duration = Duration::from_secs(3600);

const RESTING: Class = Class::Limited {
    after: Some(REST),
    scope: LimitScope::Lane,
};

/// A receipt, or what the error means.
///
/// # Errors
/// Whatever is not a success that names the message.
pub fn classify(response: &Response, now: Millis) -> Result<Receipt, SendError> {
    let sent = serde_json::from_slice::<SentAnswer>(&response.body).ok();
    match sent.filter(|_| response.is_success()) {
        // A success may carry `errors` beside `data`: it was sent all the same.
        Some(sent) => Ok(Receipt {
            platform_ids: vec![sent.data.dm_event_id.0],
            answer: answer_text(&response.body),
            alias: None,
        }),
        None => Err(error(response, now)),
    }
}

/// The error of an answer that is not taken for a success.
pub fn error(response: &Response, now: Millis) -> SendError {
    let problem: Problem = serde_json::from_slice(&response.body).unwrap_or_default();
    let items = problem.errors.as_deref().unwrap_or_default();
    let code = items.iter().find_map(|item| item.code);
    let kinds = items.iter().filter_map(|item| item.kind.as_deref());
    let kinds: Vec<&str> = problem.kind.as_deref().into_iter().chain(kinds).collect();
    let kind = |name: &str| kinds.iter().any(|kind| kind.rsplit('/').next() == Some(name));
    let class = match response.status {
        // May have been done, whatever the body says of it.
        500..=599 => Class::Unsure,
        200..=299 => Class::Unsure,
        402 => ACCOUNT,
        403 | 429 if kind("usage-capped") => ACCOUNT,
        429 => limited(&response.headers, now),
        status => {
            let by_code = code.and_then(class_of);
            let by_code = by_code.map(|class| match class {
                Class::Limited { after: None, .. } => limited(&response.headers, now),
                class => class,
            });
            let by_name = || registration(&problem);
            let by_kind = || {
                if kind("rate-limit-exceeded") {
                    return Some(limited(&response.headers, now));
                }
                let account = kind("client-forbidden") || kind("unsupported-authentication");
                let content = kind("invalid-request");
                let content = content.then_some(Class::Content);
                account.then_some(ACCOUNT).or(content)
            };
            by_code
                .or_else(by_name)
                .or_else(by_kind)
                .unwrap_or_else(|| by_status(status, &response.headers))
        }
    };
    let said = items.iter().find_map(|item| item.message.as_deref().or(item.detail.as_deref()));
    let said = problem.detail.as_deref().or(said).or(problem.title.as_deref());
    let text = response.text();
    let words = said.unwrap_or(&text);
    let code = code.map_or_else(|| response.status.to_string(), |code| code.to_string());
    SendError {
        class,
        words: Some(Words::new(code, words)),
        opted_out: false,
    }
}

/// What a status means where X says nothing better.
fn by_status(status: u16, headers: &Headers) -> Class {
    match status {
        // Blocked, no messages from strangers, not following: on a send it is about the person.
        403 => Class::Recipient,
        // No such person.
        404 => Class::Recipient,
        409 => Class::Retry,
        _ => default_class(status, headers),
    }
}

/// The class of a code of API v1.1; `None` for what is not listed.
pub const fn class_of(code: u32) -> Option<Class> {
    Some(match code {
        32 => Class::Credentials,  // could not authenticate
        89 => Class::Credentials,  // token expired or revoked
        135 => Class::Credentials, // timestamp or nonce
        64 => Class::Credentials,  // account suspended
        326 => Class::Credentials, // account locked
        93 => ACCOUNT,             // the app has no permission for direct messages
        453 => ACCOUNT,            // the app's access does not include this
        34 => Class::Recipient,    // no such page: no such person
        50 => Class::Recipient,    // no such user
        108 => Class::Recipient,   // cannot find that user
        150 => Class::Recipient,   // does not follow us
        349 => Class::Recipient,   // cannot be written to
        186 => Class::Content,     // too long
        214 => Class::Content,     // bad request
        324 => Class::Content,     // the media cannot be used
        325 => Class::Content,     // no such media
        354 => Class::Content,     // the text is too long
        88 => Class::Limited {
            // rate limit
            after: None,
            scope: LimitScope::Lane,
        },
        226 => RESTING,       // looks automated
        344 => RESTING,       // the day's messages are used up
        130 => Class::Unsure, // over capacity
        131 => Class::Unsure, // internal error
        _ => return None,
    })
}

/// Errors of registering webhooks and subscriptions, which have names instead of codes. We register
/// nothing ourselves; whoever proxies our calls may.
fn registration(problem: &Problem) -> Option<Class> {
    const NAMES: &[(&str, Class)] = &[
        ("CrcValidationFailed", ACCOUNT),
        ("UrlValidationFailed", ACCOUNT),
        ("DuplicateUrlFailed", ACCOUNT),
        ("WebhookLimitExceeded", ACCOUNT),
        ("WebhookIdInvalid", ACCOUNT),
        ("SubscriptionLimitExceeded", ACCOUNT),
        // As good as done; nothing that a message could cause.
        ("DuplicateSubscriptionFailed", MESSAGE),
    ];
    let messages = problem.errors.iter().flatten().filter_map(|e| e.message.as_deref());
    let words = [problem.title.as_deref(), problem.detail.as_deref()];
    let words: Vec<&str> = words.into_iter().flatten().chain(messages).collect();
    let row = NAMES
        .iter()
        .find(|(name, _)| words.iter().any(|words| words.contains(name)));
    row.map(|(_, class)| *class)
}

/// How long X wants us to wait: until its window ends, or, where the window has room left, until the
/// day does.
fn limited(headers: &Headers, now: Millis) -> Class {
    let number = |name: &str| headers.get(name)?.trim().parse::<i64>().ok();
    let until = |name: &str| {
        let wait = Millis::from_seconds(number(name)?).since(now);
        Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
    };
    let room_left = number("x-rate-limit-remaining").is_some_and(|left| left > 0);
    let after = if room_left {
        let user = until("x-user-limit-24hour-reset");
        user.or_else(|| until("x-app-limit-24hour-reset"))
            .or(Some(REST))
    } else {
        until("x-rate-limit-reset").or_else(|| retry_after(headers))
    };
    Class::Limited {
        after,
        scope: LimitScope::Lane,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_end_when_x_says() {
        let now = Millis::from_seconds(1_795_000_100);
        let after = |headers: &[(&str, &str)]| {
            let mut all = Headers::default();
            headers.iter().for_each(|(name, value)| all.push(name, *value));
            match limited(&all, now) {
                Class::Limited { after, .. } => after.map(|after| after.as_secs()),
                other => panic!("{other:?}"),
            }
        };
        let window = ("x-rate-limit-reset", "1795000160");
        let day = ("x-user-limit-24hour-reset", "1795040100");
        assert_eq!(after(&[window]), Some(60));
        assert_eq!(after(&[window, ("x-rate-limit-remaining", "0"), day]), Some(60));
        assert_eq!(after(&[window, ("x-rate-limit-remaining", "3"), day]), Some(40_000));
        assert_eq!(after(&[window, ("x-rate-limit-remaining", "3")]), Some(3600));
        assert_eq!(after(&[("x-rate-limit-reset", "1795000000")]), Some(0));
        assert_eq!(after(&[("x-rate-limit-reset", "-9223372036854775808")]), Some(0));
        assert_eq!(after(&[("retry-after", "7")]), Some(7));
        assert_eq!(after(&[]), None);
    }
}
