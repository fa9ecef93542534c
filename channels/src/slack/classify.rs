//! Slack's answers. HTTP says 200 even to failures: the field `ok` decides, then the name of the error.

use super::wire::{Answer, Posted};
use crate::error::{Class, LimitScope, SendError, SetupScope, Words};
use crate::kit::http::Response;
use crate::kit::json::answer_text;
use crate::kit::status::{default_class, retry_after};
use crate::model::Receipt;
use std::time::Duration;

const ACCOUNT: Class = Class::Setup {
    scope: SetupScope::Account,
};
const MESSAGE: Class = Class::Setup {
    scope: SetupScope::Message,
};

/// How long a lane rests when the workspace's plan is used up: Slack counts over days.
const PLAN_REST: Duration = Duration::from_secs(3600);

/// How long a place rests where Slack says too much and not for how long (1 to 30 seconds).
const POST_REST: Duration = Duration::from_secs(5);

/// A receipt of a posted message, or what the error means.
///
/// # Errors
/// Whatever is not a success that names the message.
pub fn classify(response: &Response) -> Result<Receipt, SendError> {
    let posted = serde_json::from_slice::<Posted>(&response.body).ok();
    let posted = posted.filter(|p| !p.channel.is_empty() && !p.ts.is_empty());
    match posted.filter(|_| is_ok(response)) {
        Some(posted) => Ok(Receipt {
            platform_ids: vec![format!("{}:{}", posted.channel, posted.ts)],
            answer: answer_text(&response.body),
            alias: None,
        }),
        None => Err(error(response)),
    }
}

/// Whether a method did what it was asked.
pub fn is_ok(response: &Response) -> bool {
    let answer = serde_json::from_slice::<Answer>(&response.body).ok();
    response.is_success() && answer.is_some_and(|answer| answer.ok == Some(true))
}

/// The error of an answer that is not taken for a success.
pub fn error(response: &Response) -> SendError {
    let answer: Answer = serde_json::from_slice(&response.body).unwrap_or_default();
    let name = answer.error.filter(|_| answer.ok != Some(true));
    let after = retry_after(&response.headers);
    let class = match (response.status, name.as_deref()) {
        (429, _) => Class::Limited {
            after,
            scope: LimitScope::Lane,
        },
        (500..=599, None) => default_class(response.status, &response.headers),
        (200..=299, Some(name)) => class_of(name, after),
        // An error status with one of Slack's names: a proxy does not make those up.
        (_, Some(name)) if is_listed(name) => class_of(name, after),
        // Nothing that Slack would write: a page of somebody in between.
        (200..=299, None) => Class::Unsure,
        (status, _) => default_class(status, &response.headers),
    };
    let remarks = answer.response_metadata.unwrap_or_default().messages;
    let mut words = remarks.join("; ");
    if let Some(needed) = answer.needed {
        words = format!("the scope {needed} is missing; {words}");
    }
    let code: String = match &name {
        Some(name) => name.chars().take(CODE_MAX).collect(),
        None => response.status.to_string(),
    };
    let text = match (name, words.trim().is_empty()) {
        (Some(name), true) => name,
        (Some(name), false) => format!("{name}: {words}"),
        (None, _) => response.text().into_owned(),
    };
    SendError {
        class,
        words: Some(Words::new(code, text)),
        opted_out: false,
    }
}

/// How much of an error's name is kept.
const CODE_MAX: usize = 64;

/// Errors by name. Names that end in `*` stand for all that begin so.
const ERRORS: &[(&str, Class)] = &[
    // Slow down.
    ("ratelimited", LIMITED),
    ("rate_limited", PLACE_LIMITED),
    ("message_limit_exceeded", PLAN_LIMITED),
    // "It's possible some aspect of the operation succeeded before the error was raised."
    ("internal_error", Class::Unsure),
    ("fatal_error", Class::Unsure),
    // Not done, and may be in a moment.
    ("service_unavailable", Class::Retry),
    ("request_timeout", Class::Retry),
    ("team_added_to_org", Class::Retry),
    ("org_login_required", Class::Retry),
    ("external_channel_migrating", Class::Retry),
    ("update_failed", Class::Retry),
    ("file_update_failed", Class::Retry),
    // The token.
    ("invalid_auth", Class::Credentials),
    ("not_authed", Class::Credentials),
    ("account_inactive", Class::Credentials),
    ("token_revoked", Class::Credentials),
    ("token_expired", Class::Credentials),
    ("two_factor_setup_required", Class::Credentials),
    // The app or the workspace: nothing goes until somebody changes it.
    ("missing_scope", ACCOUNT),
    ("not_allowed_token_type", ACCOUNT),
    ("no_permission", ACCOUNT),
    ("access_denied", ACCOUNT),
    ("accesslimited", ACCOUNT),
    ("app_access_restricted", ACCOUNT),
    ("ekm_access_denied", ACCOUNT),
    ("enterprise_is_restricted", ACCOUNT),
    ("team_access_not_granted", ACCOUNT),
    ("team_not_found", ACCOUNT),
    ("method_deprecated", ACCOUNT),
    ("unknown_method", ACCOUNT),
    // This place or this message: the others go.
    ("restricted_action_thread_locked", Class::Recipient),
    ("restricted_action*", MESSAGE),
    ("not_in_channel", MESSAGE),
    ("channel_not_found", MESSAGE),
    ("is_archived", MESSAGE),
    ("posting_to_channel_denied", MESSAGE),
    ("messages_tab_disabled", MESSAGE),
    ("file_uploads_disabled", MESSAGE),
    ("file_uploads_except_images_disabled", MESSAGE),
    ("storage_limit_reached", MESSAGE),
    ("name_taken", MESSAGE),
    ("invalid_name*", MESSAGE),
    // The person, or the message that is answered.
    ("user_not_found", Class::Recipient),
    ("users_not_found", Class::Recipient),
    ("user_disabled", Class::Recipient),
    ("user_not_visible", Class::Recipient),
    ("cannot_dm_bot", Class::Recipient),
    ("cant_invite", Class::Recipient),
    ("invalid_user_combination", Class::Recipient),
    ("cannot_reply_to_message", Class::Recipient),
    ("message_not_found", Class::Recipient),
    ("cant_update_message", Class::Recipient),
    ("cant_delete_message", Class::Recipient),
    ("edit_window_closed", Class::Recipient),
    // What is in it.
    ("no_text", Class::Content),
    ("msg_too_long", Class::Content),
    ("msg_blocks_too_long", Class::Content),
    ("invalid_blocks*", Class::Content),
    ("too_many_attachments", Class::Content),
    ("attachment_payload_limit_exceeded", Class::Content),
    ("invalid_metadata_*", Class::Content),
    ("metadata_too_large", Class::Content),
    ("markdown_text_conflict", Class::Content),
    ("file_type_not_allowed", Class::Content),
    ("file_upload_size_restricted", Class::Content),
    ("snippet_too_large", Class::Content),
    ("file_not_found", Class::Content),
    ("missing_argument", Class::Content),
    ("invalid_arg*", Class::Content),
    ("invalid_array_arg", Class::Content),
    ("invalid_charset", Class::Content),
    ("invalid_form_data", Class::Content),
    ("invalid_post_type", Class::Content),
    ("invalid_json", Class::Content),
    ("slack_connect_*", Class::Content),
];

const LIMITED: Class = Class::Limited {
    after: None,
    scope: LimitScope::Lane,
};
const PLACE_LIMITED: Class = Class::Limited {
    after: Some(POST_REST),
    scope: LimitScope::Recipient,
};
const PLAN_LIMITED: Class = Class::Limited {
    after: Some(PLAN_REST),
    scope: LimitScope::Lane,
};

fn row(name: &str) -> Option<Class> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    // The first that fits: whole names stand before the beginnings that cover them.
    let found = ERRORS.iter().find(|(pattern, _)| fits(pattern));
    found.map(|(_, class)| *class)
}

/// Whether Slack is known to say this.
fn is_listed(name: &str) -> bool {
    row(name).is_some()
}

/// The class of an error by its name. What is not known is taken for the message's fault: Slack adds
/// names for new kinds of content.
fn class_of(name: &str, after: Option<Duration>) -> Class {
    match row(name) {
        // What Slack says beats what we guess.
        Some(Class::Limited { after: guess, scope }) => Class::Limited {
            after: after.or(guess),
            scope,
        },
        Some(class) => class,
        None => Class::Content,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_row_hides_another() {
        let names: BTreeSet<&str> = ERRORS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), ERRORS.len());
        for (name, class) in ERRORS {
            let plain = name.trim_end_matches('*');
            assert_eq!(row(plain), Some(*class), "{name}");
        }
    }
}
