//! The events.

use super::*;
use crate::webapi::shapes::events::{self, EventName, PauseReason, StatusStep, UserNews};

#[test]
fn message_sent_has_real_attachments() {
    assert_eq!(
        json!(events::message_sent(&talk(), &with_files())),
        json!({
            "user_id": "377", "conversation_user_id": "802", "conversation_id": "946",
            "conversation_status_code": "3", "conversation_status": "3", "conversation_source": "wa",
            "message_id": "2044", "message": "Hello!",
            "attachments": [["a \"b\"", "https://f.example/x.png"]],
        })
    );
    assert_eq!(
        json!(events::message_sent(&talk(), &said(contact())))["attachments"],
        json!([])
    );
}

#[test]
fn new_messages_have_the_conversation_and_each_message() {
    let messages = [said(contact()), with_files()];
    let found = json!(events::new_messages(&talk(), &messages));
    holds(
        &found["details"],
        json!({
            "message": "Hello!", "message_id": "2044",
            "attachments": r#"[["a \"b\"","https://f.example/x.png"]]"#, "payload": r#"{"key":1}"#,
            "message_status_code": "2", "last_update_time": "2020-05-04 10:06:33",
            "message_user_id": "377", "message_first_name": "Agent", "message_last_name": "",
            "message_profile_image": "", "message_user_type": "agent", "department": null,
            "agent_id": null, "title": "", "source": "wa", "extra": null, "tags": null,
            "id": "946", "user_id": "802", "creation_time": "2020-05-04 10:06:30", "status_code": "3",
        }),
        &["channel"],
    );
    assert_eq!(
        found["messages"][0],
        json!({"details": {
            "message": "Hello!", "attachments": "", "payload": {}, "status_code": "0", "id": "2044",
            "profile_image": "https://chat.example.com/user.svg", "first_name": "Contact",
            "last_name": "One", "user_id": "802", "user_type": "lead", "full_name": "Contact One",
            "creation_time": "2020-05-04 10:06:33", "conversation_id": "946",
        }})
    );
    assert_eq!(found["messages"][1]["details"]["full_name"], "Agent");
    assert_eq!(
        found["messages"][1]["details"]["payload"],
        json!({"key": 1})
    );
}

#[test]
fn a_new_conversation_is_shown_as_get_conversation_shows_it() {
    let messages = [said(contact())];
    assert_eq!(
        events::new_conversation_created(&talk(), &messages),
        conversation(&talk(), &messages)
    );
}

#[test]
fn small_events() {
    let (message, talk_id, user) = (MessageId(9), ConversationId(4), UserId(7));
    let files = [("n".to_owned(), "https://f.example/x".to_owned())];
    let table = [
        (
            events::conversation_status_updated(talk_id, 0),
            json!({"conversation_id": "4", "status_code": "0"}),
        ),
        (events::message_deleted(message), json!("9")),
        (events::user_deleted(user), json!("7")),
        (
            events::sms_sent(
                user,
                "Hi",
                "+15104564545",
                "+15305431221",
                json!({"sid": "SM1"}),
            ),
            json!({"recipent_id": "7", "message": "Hi", "Body": "Hi", "From": "+15104564545", "To": "+15305431221", "response": {"sid": "SM1"}}),
        ),
        (
            events::email_sent(user, "Hi", &files),
            json!({"recipient_id": "7", "message": "Hi", "attachments": [["n", "https://f.example/x"]]}),
        ),
        (
            events::slack_message_sent("Hi", talk_id, "C028BGU6TTT"),
            json!({"message": "Hi", "conversation_id": "4", "slack_channel": "C028BGU6TTT"}),
        ),
        (
            events::message_updated(&with_files()),
            json!({"message_id": "2044", "conversation_id": "946", "message": "Hello!", "attachments": [["a \"b\"", "https://f.example/x.png"]]}),
        ),
        (
            events::message_reaction(message, talk_id, user, "👍", false),
            json!({"message_id": "9", "conversation_id": "4", "user_id": "7", "reaction": "👍", "action": "removed"}),
        ),
        (
            events::user_updated(user, None, UserNews::OptedOut),
            json!({"user_id": "7", "conversation_id": null, "change": "opted-out"}),
        ),
        (
            events::channel_paused("support-bot", PauseReason::Account, "suspended"),
            json!({"channel": "support-bot", "reason": "account", "message": "suspended"}),
        ),
        (
            events::channel_resumed("support-bot"),
            json!({"channel": "support-bot"}),
        ),
    ];
    for (found, expected) in table {
        assert_eq!(found, expected);
    }
}

#[test]
fn a_status_step_has_an_error_only_when_it_failed() {
    let ids = ["wamid.1".to_owned()];
    let step = StatusStep {
        message: MessageId(9),
        conversation: ConversationId(4),
        status: MessageStatus::Delivered,
        platform_ids: &ids,
        parts_sent: 1,
        parts: 1,
        error: None,
    };
    assert_eq!(
        events::message_status_updated(&step),
        json!({"message_id": "9", "conversation_id": "4", "status": "delivered", "platform_ids": ["wamid.1"], "parts_sent": 1, "parts": 1})
    );
    let words = Words::new("131026", "undeliverable");
    let failed = StatusStep {
        status: MessageStatus::Failed,
        error: Some(("recipient", Some(&words))),
        ..step
    };
    assert_eq!(
        events::message_status_updated(&failed)["error"],
        json!({"class": "recipient", "code": "131026", "message": "undeliverable"})
    );
}

#[test]
fn events_find_their_names() {
    for event in EventName::ALL {
        assert_eq!(EventName::of_name(event.name()), Some(*event));
    }
    assert_eq!(EventName::of_name("nonsense"), None);
}
