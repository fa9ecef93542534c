//! The table is whole, and its names are found.

use super::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const OFFERED: &[&str] = &[
    "whatsapp-send-message",
    "whatsapp-send-template",
    "messenger-send-message",
    "telegram-send-message",
    "viber-send-message",
    "line-send-message",
    "wechat-send-message",
    "gbm-send-message",
    "send-slack-message",
    "slack-users",
    "slack-channels",
    "slack-presence",
    "archive-slack-channels",
    "send-sms",
    "send-email",
    "send-custom-email",
    "email-piping",
    "messaging-platforms-send-message",
    "send-message",
    "get-message",
    "get-conversation",
    "get-conversations",
    "get-new-conversations",
    "get-user-conversations",
    "get-new-messages",
    "get-user",
    "get-user-extra",
    "get-users",
    "search-users",
    "add-user",
    "update-user",
    "delete-user",
    "new-conversation",
    "update-conversation-status",
    "direct-message",
    "get-bot-id",
];

fn args(value: Value) -> Args {
    Args::from(value.as_object().unwrap().clone())
}

#[test]
fn every_offered_function_is_in_the_table_once() {
    let table: Vec<&str> = FUNCTIONS.iter().map(|f| f.name).collect();
    let set: BTreeSet<&str> = table.iter().copied().collect();
    assert_eq!(set, OFFERED.iter().copied().collect());
    assert_eq!(table.len(), set.len());
}

#[test]
fn arguments_are_named_once_and_explained() {
    for f in FUNCTIONS {
        let mut seen = BTreeSet::new();
        assert!(f.summary.ends_with('.'), "{}", f.name);
        for a in f.arguments() {
            assert!(seen.insert(a.name), "{}: {} twice", f.name, a.name);
            assert!(a.doc.ends_with('.'), "{}: {}", f.name, a.name);
            assert!(!["token", "function"].contains(&a.name), "{}", f.name);
            assert!(a.name.len() <= limits::MAX_NAME_BYTES);
        }
    }
}

#[test]
fn own_errors_do_not_repeat_the_common_ones() {
    for f in FUNCTIONS {
        let own: BTreeSet<_> = f.errors.iter().collect();
        assert_eq!(own.len(), f.errors.len(), "{}", f.name);
        assert!(COMMON_ERRORS.iter().all(|c| !own.contains(c)), "{}", f.name);
    }
}

#[test]
fn sends_take_what_every_send_takes() {
    let sends = [
        "channel",
        "reply_to",
        "send_at",
        "expires_in",
        "quick_replies",
        "priority",
        "wait",
        "idempotency_key",
    ];
    for f in FUNCTIONS.iter().filter(|f| f.sends()) {
        let names: Vec<&str> = f.arguments().map(|a| a.name).collect();
        assert!(sends.iter().all(|s| names.contains(s)), "{}", f.name);
    }
    assert_eq!(FUNCTIONS.iter().filter(|f| f.sends()).count(), 14);
}

#[test]
fn a_near_name_is_offered() {
    let message = |name| function(name).unwrap_err().message;
    assert_eq!(
        message("whatsapp-send-mesage"),
        "there is no function \"whatsapp-send-mesage\"; did you mean `whatsapp-send-message`?"
    );
    assert_eq!(
        message("get_conversation"),
        "there is no function \"get_conversation\"; did you mean `get-conversation`?"
    );
    assert_eq!(
        message("xyz"),
        "there is no function \"xyz\"; the functions are listed at /docs"
    );
    assert_eq!(function("get-user").unwrap().name, "get-user");
    assert_eq!(
        args(json!({})).function().unwrap_err().message,
        "the argument `function` is missing"
    );
}

#[test]
fn required_arguments_are_demanded_by_name() {
    let f = function("whatsapp-send-message").unwrap();
    assert_eq!(
        f.require(&args(json!({"message": "x"})))
            .unwrap_err()
            .message,
        "the argument `to` is missing"
    );
    assert!(
        f.require(&args(json!({"to": "+1", "message": "false"})))
            .is_ok()
    );
    let f = function("update-conversation-status").unwrap();
    assert!(
        f.require(&args(json!({"conversation_id": 1, "status_code": 0})))
            .is_ok()
    );
    assert_eq!(
        f.require(&args(json!({"conversation_id": 1})))
            .unwrap_err()
            .message,
        "the argument `status_code` is missing"
    );
}
