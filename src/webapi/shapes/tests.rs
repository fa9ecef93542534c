//! The shapes, name by name, against small examples of both editions.

mod events;

use super::answers::*;
use super::*;
use crate::webapi::names::Shape;
use std::collections::BTreeSet;
use switchboard_channels::Words;
use switchboard_channels::model::{ConversationId, MessageId, UserId};

fn contact() -> Person {
    Person {
        id: UserId(802),
        first_name: "Contact".to_owned(),
        last_name: "One".to_owned(),
        profile_image: "https://chat.example.com/user.svg".to_owned(),
        user_type: "lead".to_owned(),
    }
}

fn agent() -> Person {
    Person {
        id: UserId(377),
        first_name: "Agent".to_owned(),
        last_name: String::new(),
        profile_image: String::new(),
        user_type: "agent".to_owned(),
    }
}

/// 2020-05-04 10:06:30.
const BEGAN: Millis = Millis(1_588_586_790_000);

fn talk() -> ConversationRow {
    ConversationRow {
        id: ConversationId(946),
        user: contact(),
        title: String::new(),
        status_code: 3,
        creation_time: BEGAN,
        department: None,
        agent_id: None,
        source: Some("wa".to_owned()),
        channel: Some("support".to_owned()),
        extra: None,
        extra_2: None,
        extra_3: None,
        tags: vec![],
    }
}

fn said(author: Person) -> MessageRow {
    MessageRow {
        id: MessageId(2044),
        conversation_id: ConversationId(946),
        author,
        text: "Hello!".to_owned(),
        creation_time: BEGAN.plus(3999),
        attachments: vec![],
        status_code: 0,
        status: MessageStatus::Received,
        payload: None,
    }
}

fn with_files() -> MessageRow {
    MessageRow {
        attachments: vec![("a \"b\"".to_owned(), "https://f.example/x.png".to_owned())],
        payload: Some(json!({"key": 1})),
        status_code: 2,
        ..said(agent())
    }
}

/// Everything that is expected is there; what stands beside it is listed.
fn holds(found: &Value, expected: Value, ours: &[&str]) {
    let (found, expected) = (
        found.as_object().unwrap(),
        expected.as_object().unwrap().clone(),
    );
    for (name, value) in &expected {
        assert_eq!(found.get(name), Some(value), "{name}");
    }
    let beside: BTreeSet<&str> = found
        .keys()
        .map(String::as_str)
        .filter(|name| !expected.contains_key(*name))
        .collect();
    assert_eq!(beside, ours.iter().copied().collect());
}

#[test]
fn times_are_utc_and_never_fail() {
    for (at, expected) in [
        (Millis(0), "1970-01-01 00:00:00"),
        (BEGAN, "2020-05-04 10:06:30"),
        (BEGAN.plus(999), "2020-05-04 10:06:30"),
        (Millis(-1), "1969-12-31 23:59:59"),
    ] {
        assert_eq!(time(at), expected);
    }
    assert!(time(Millis(i64::MAX)).starts_with("9999-"));
    assert!(time(Millis(i64::MIN)).starts_with("-9999-"));
}

#[test]
fn statuses_find_their_names() {
    for status in MessageStatus::ALL {
        assert_eq!(MessageStatus::of_name(status.name()), Some(*status));
    }
    assert_eq!(MessageStatus::of_name("lost"), None);
}

#[test]
fn a_user_with_and_without_details() {
    let row = UserRow {
        person: contact(),
        email: None,
        creation_time: BEGAN,
        last_activity: BEGAN.plus(60_000),
        department: Some(2),
    };
    let listed = json!({
        "id": "802", "first_name": "Contact", "last_name": "One", "email": null,
        "profile_image": "https://chat.example.com/user.svg", "user_type": "lead",
        "creation_time": "2020-05-04 10:06:30", "last_activity": "2020-05-04 10:07:30",
        "department": "2", "token": "",
    });
    assert_eq!(user(&row), listed);
    let detail = DetailRow {
        slug: "phone".to_owned(),
        name: "Phone".to_owned(),
        value: "3203057977".to_owned(),
    };
    let details = json!([{"slug": "phone", "name": "Phone", "value": "3203057977"}]);
    assert_eq!(user_extra(std::slice::from_ref(&detail)), details);
    let full = user_with_details(&row, Some(std::slice::from_ref(&detail)));
    holds(&full, listed.clone(), &["password", "details"]);
    assert_eq!(
        (&full["password"], &full["details"]),
        (&json!(""), &details)
    );
    holds(
        &user_with_details(&row, None),
        listed.clone(),
        &["password"],
    );
    holds(
        &listed_user_with_details(&row, std::slice::from_ref(&detail)),
        listed,
        &["details"],
    );
    assert_eq!(
        user_extra_value(std::slice::from_ref(&detail), "phone", &json!(false)),
        json!("3203057977")
    );
    assert_eq!(user_extra_value(&[detail], "city", &json!("x")), json!("x"));
}

#[test]
fn a_message_in_an_answer_has_text_for_attachments_and_payload() {
    let plain = json!({
        "id": "2044", "user_id": "802", "message": "Hello!", "creation_time": "2020-05-04 10:06:33",
        "attachments": "", "status_code": "0", "payload": "", "conversation_id": "946",
        "first_name": "Contact", "last_name": "One",
        "profile_image": "https://chat.example.com/user.svg", "user_type": "lead",
    });
    let found = message(&said(contact()));
    holds(&found, plain, &["status"]);
    assert_eq!(found["status"], "received");
    let files = message(&with_files());
    assert_eq!(
        files["attachments"],
        r#"[["a \"b\"","https://f.example/x.png"]]"#
    );
    assert_eq!(files["payload"], r#"{"key":1}"#);
    assert_eq!(files["status_code"], "2");
}

#[test]
fn a_conversation_has_the_names_of_both_editions() {
    let found = conversation(&talk(), &[said(contact()), with_files()]);
    assert_eq!(found["messages"].as_array().unwrap().len(), 2);
    assert_eq!(found["messages"][0], message(&said(contact())));
    let older = json!({
        "user_id": "802", "first_name": "Contact", "last_name": "One",
        "profile_image": "https://chat.example.com/user.svg", "user_type": "lead", "id": "946",
        "title": "", "conversation_time": "2020-05-04 10:06:30", "conversation_status_code": "3",
        "department": null,
    });
    let newer = [
        "status_code",
        "creation_time",
        "agent_id",
        "source",
        "extra",
        "extra_2",
        "extra_3",
        "tags",
        "busy",
    ];
    holds(
        &found["details"],
        older,
        &[&newer[..], &["channel"]].concat(),
    );
    assert_eq!(found["details"]["status_code"], "3");
    assert_eq!(found["details"]["creation_time"], "2020-05-04 10:06:30");
    assert_eq!(found["details"]["source"], "wa");
    assert_eq!(found["details"]["busy"], false);
    assert_eq!(no_conversation(), json!({"messages": [], "details": ""}));
}

#[test]
fn assigned_and_tagged_conversations_show_it_as_text() {
    let row = ConversationRow {
        department: Some(1),
        agent_id: Some(5),
        tags: vec!["vip".to_owned(), "new".to_owned()],
        extra: Some("123".to_owned()),
        ..talk()
    };
    let details = conversation_details(&row);
    assert_eq!(
        (&details["department"], &details["agent_id"]),
        (&json!("1"), &json!("5"))
    );
    assert_eq!(
        (&details["tags"], &details["extra"]),
        (&json!("vip,new"), &json!("123"))
    );
}

/// The newer edition of a list entry, without what only the list over all users has.
fn newer_item() -> Value {
    json!({
        "message": "Hello!", "message_id": "2044", "attachments": "", "payload": "",
        "message_status_code": "0", "last_update_time": "2020-05-04 10:06:33",
        "message_user_id": "377", "message_first_name": "Agent", "message_last_name": "",
        "message_profile_image": "", "message_user_type": "agent", "conversation_id": "946",
        "conversation_user_id": "802", "conversation_status_code": "3",
        "conversation_creation_time": "2020-05-04 10:06:30", "department": null, "agent_id": null,
        "title": "", "source": "wa", "extra": null, "tags": null,
    })
}

#[test]
fn a_listed_conversation_has_the_names_of_both_editions() {
    let found = conversation_item(&talk(), Some(&said(agent())));
    let of_contact = [
        "conversation_first_name",
        "conversation_last_name",
        "conversation_profile_image",
        "conversation_user_type",
    ];
    let older = [
        "id",
        "user_id",
        "creation_time",
        "status_code",
        "first_name",
        "last_name",
        "profile_image",
        "user_type",
    ];
    holds(
        &found,
        newer_item(),
        &[&of_contact[..], &older, &["channel"]].concat(),
    );
    // The older edition: the message's id and time, the contact's names, the author's type.
    assert_eq!(
        (&found["id"], &found["user_id"]),
        (&json!("2044"), &json!("802"))
    );
    assert_eq!(found["creation_time"], "2020-05-04 10:06:33");
    assert_eq!(
        (&found["first_name"], &found["user_type"]),
        (&json!("Contact"), &json!("lead"))
    );
    assert_eq!(found["conversation_first_name"], "Contact");
}

#[test]
fn a_users_conversation_shows_the_author_under_the_older_names() {
    let found = user_conversation_item(&talk(), Some(&said(agent())));
    let older = [
        "id",
        "user_id",
        "creation_time",
        "status_code",
        "first_name",
        "last_name",
        "profile_image",
        "user_type",
    ];
    holds(&found, newer_item(), &[&older[..], &["channel"]].concat());
    assert_eq!(
        (&found["user_id"], &found["first_name"]),
        (&json!("377"), &json!("Agent"))
    );
    assert_eq!(found["user_type"], "agent");
}

#[test]
fn an_empty_conversation_is_listed_without_a_message() {
    let found = conversation_item(&talk(), None);
    assert_eq!(
        (&found["message"], &found["message_id"], &found["id"]),
        (&json!(""), &Value::Null, &Value::Null)
    );
    assert_eq!(
        (&found["message_user_id"], &found["message_first_name"]),
        (&Value::Null, &json!(""))
    );
    assert_eq!(found["last_update_time"], "2020-05-04 10:06:30");
    assert_eq!(found["user_id"], "802");
}

#[test]
fn a_stored_message_has_its_number() {
    assert_eq!(
        stored_message(MessageId(123_456), "Text"),
        json!({"status": "success", "message-id": 123_456, "queue": false, "notifications": [], "message": "Text"})
    );
    assert_eq!(user_id(UserId(123)), json!(123));
}

#[test]
fn a_message_in_detail_has_its_whole_way() {
    let detail = MessageDetail {
        message: MessageRow {
            status: MessageStatus::Failed,
            ..with_files()
        },
        channel: Some("support".to_owned()),
        source: Some("wa".to_owned()),
        send_at: Some(BEGAN),
        expires_at: None,
        reply_to: Some(MessageId(7)),
        platform_ids: vec!["wamid.1".to_owned()],
        parts: vec![PartRow {
            index: 0,
            kind: "text".to_owned(),
            status: MessageStatus::Sent,
            platform_ids: vec!["wamid.1".to_owned()],
        }],
        attempts: vec![AttemptRow {
            number: 1,
            part: 1,
            started: BEGAN,
            ended: Some(BEGAN.plus(1000)),
            outcome: Some("recipient".to_owned()),
            words: Some(Words::new("131026", "undeliverable")),
        }],
        error_class: Some("recipient".to_owned()),
        error: Some(Words::new("131026", "undeliverable")),
    };
    let found = message_detail(&detail);
    assert_eq!(found["id"], "2044");
    assert_eq!(found["status"], "failed");
    assert_eq!(
        found["attachments"],
        json!([["a \"b\"", "https://f.example/x.png"]])
    );
    assert_eq!(found["payload"], json!({"key": 1}));
    assert_eq!(
        (&found["send_at"], &found["expires_at"]),
        (&json!("2020-05-04 10:06:30"), &Value::Null)
    );
    assert_eq!(found["reply_to"], "7");
    assert_eq!(
        found["parts"],
        json!([{"index": 0, "kind": "text", "status": "sent", "platform_ids": ["wamid.1"]}])
    );
    assert_eq!(
        found["attempts"],
        json!([{
            "number": 1, "part": 1, "started": "2020-05-04 10:06:30", "ended": "2020-05-04 10:06:31",
            "outcome": "recipient", "platform": {"code": "131026", "message": "undeliverable"},
        }])
    );
    assert_eq!(
        found["error"],
        json!({"class": "recipient", "code": "131026", "message": "undeliverable"})
    );
    let fine = MessageDetail {
        error_class: None,
        error: None,
        ..detail
    };
    assert_eq!(message_detail(&fine)["error"], Value::Null);
}

#[test]
fn every_shape_has_an_example() {
    for shape in Shape::ALL {
        assert!(!sample::responses(*shape).is_empty(), "{}", shape.name());
    }
}
