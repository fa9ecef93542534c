//! The published table, and the envelopes.

use super::*;
use switchboard_channels::SetupScope;

/// The published list, spelt out a second time: a code that changes breaks callers.
const PUBLISHED: &[(u16, &[&str])] = &[
    (
        400,
        &[
            "missing-argument",
            "invalid-argument",
            "invalid-status-code",
            "invalid-user-type",
            "missing-user-id-or-message",
        ],
    ),
    (401, &["missing-token", "invalid-token"]),
    (403, &["security-error"]),
    (
        404,
        &[
            "function-not-found",
            "not-found",
            "conversation-not-found",
            "user-not-found",
            "message-not-found",
            "channel-not-found",
            "user-email-not-found",
            "user-or-sender-not-found",
        ],
    ),
    (405, &["method-not-allowed"]),
    (
        409,
        &[
            "idempotency-conflict",
            "duplicate-email",
            "channel-not-configured",
            "slack-not-active",
        ],
    ),
    (413, &["payload-too-large"]),
    (
        422,
        &["content-rejected", "recipient-unreachable", "window-closed"],
    ),
    (429, &["rate-limited"]),
    (500, &["internal-error"]),
    (502, &["platform-auth-failed", "platform-error"]),
    (503, &["unavailable"]),
];

#[test]
fn the_table_is_the_published_list() {
    let published: Vec<(u16, &str)> = PUBLISHED
        .iter()
        .flat_map(|(status, codes)| codes.iter().map(|code| (*status, *code)))
        .collect();
    let table: Vec<(u16, &str)> = Code::ALL
        .iter()
        .map(|c| (c.http_status(), c.name()))
        .collect();
    assert_eq!(table, published);
}

#[test]
fn names_find_their_codes() {
    for code in Code::ALL {
        assert_eq!(Code::of_name(code.name()), Some(*code));
    }
    assert_eq!(Code::of_name("no-such-code"), None);
}

#[test]
fn an_error_is_an_envelope() {
    let error = ApiError::new(Code::MissingArgument, "the argument `to` is missing");
    assert_eq!(error.http_status(), 400);
    assert_eq!(
        error.render(),
        json!({"success": false, "response": "missing-argument", "message": "the argument `to` is missing"})
    );
}

#[test]
fn a_failed_send_shows_message_and_platform() {
    let error = ApiError::failed_send(
        Class::Recipient,
        Some(Words::new("131026", "Message undeliverable")),
        MessageId(9),
        ConversationId(4),
    );
    assert_eq!(error.http_status(), 422);
    assert_eq!(
        error.render(),
        json!({
            "success": false,
            "response": "recipient-unreachable",
            "message": "Message undeliverable",
            "platform": {"code": "131026", "message": "Message undeliverable"},
            "message_id": "9",
            "conversation_id": "4",
            "status": "failed",
        })
    );
}

#[test]
fn each_class_has_its_code() {
    let scope = SetupScope::Message;
    for (class, code) in [
        (Class::Recipient, Code::RecipientUnreachable),
        (Class::Window, Code::WindowClosed),
        (Class::Content, Code::ContentRejected),
        (Class::Setup { scope }, Code::PlatformError),
        (Class::Credentials, Code::PlatformError),
        (Class::Retry, Code::PlatformError),
        (Class::Unsure, Code::PlatformError),
    ] {
        assert_eq!(Code::of_failed_send(class), code, "{class:?}");
    }
}

#[test]
fn an_internal_error_says_only_its_id() {
    let error = ApiError::internal("0192-ab");
    assert_eq!(error.http_status(), 500);
    assert_eq!(
        error.message,
        "something broke inside the gateway; quote 0192-ab to its operator"
    );
    assert_eq!(error.platform, None);
}

#[test]
fn retry_after_is_rounded_up_and_never_zero() {
    let after = |d| ApiError::unavailable("x", d).retry_after_seconds();
    assert_eq!(after(Duration::ZERO), Some(1));
    assert_eq!(after(Duration::from_millis(1)), Some(1));
    assert_eq!(after(Duration::from_secs(2)), Some(2));
    assert_eq!(after(Duration::from_millis(2001)), Some(3));
    assert_eq!(ApiError::invalid("x").retry_after_seconds(), None);
}

#[test]
fn a_refused_message_names_its_argument() {
    let error = ApiError::from(Refused::new("attachments", "SMS carries at most 10"));
    assert_eq!(error.code, Code::InvalidArgument);
    assert_eq!(error.message, "`attachments`: SMS carries at most 10");
}

#[test]
fn a_send_shows_its_references_and_how_far_it_came() {
    let sent = Success::sent(
        json!({"ok": true}),
        MessageId(9),
        ConversationId(4),
        MessageStatus::Sent,
    );
    assert_eq!(sent.http_status(), 200);
    assert_eq!(
        sent.render(),
        json!({"success": true, "response": {"ok": true}, "message_id": "9", "conversation_id": "4", "status": "sent"})
    );
    let queued = Success {
        status: Some(MessageStatus::Queued),
        ..sent
    };
    assert_eq!(queued.http_status(), 202);
    let plain = Success::new(json!(false));
    assert_eq!(plain.http_status(), 200);
    assert_eq!(plain.render(), json!({"success": true, "response": false}));
}
