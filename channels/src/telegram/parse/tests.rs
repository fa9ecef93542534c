//! What fixtures cannot show: the setting, and two updates side by side.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use super::*;
use crate::kit::http::{Headers, Method};
use serde_json::{Value, json};

fn parse_with(channel_posts: bool, update: &Value) -> Parsed {
    let settings = json!({
        "bot_token": "7000000001:abc", "webhook_secret": "s", "channel_posts": channel_posts,
    });
    let request = Inbound {
        via: crate::kit::http::Via::Web,
        method: Method::Post,
        url: "https://gw.example.net/webhooks/desk".into(),
        query: String::new(),
        headers: Headers::default(),
        body: update.to_string().into(),
        received_at: Millis(1_795_000_100_000),
    };
    parse(&Settings::read(settings).unwrap(), &request).unwrap()
}

fn channel() -> Value {
    json!({"id": -1_001_900_000_009_i64, "title": "News", "type": "channel"})
}

#[test]
fn channel_posts_are_messages_where_that_is_wanted() {
    let post = json!({"message_id": 301, "sender_chat": channel(), "chat": channel(),
        "date": 1_795_000_020, "text": "Update 1"});
    let update = json!({"update_id": 1, "channel_post": post});
    assert_eq!(parse_with(false, &update).events[0].body.name(), "unknown");
    let parsed = parse_with(true, &update);
    let [event] = parsed.events.as_slice() else {
        panic!("{parsed:?}")
    };
    assert_eq!(event.key, "m:-1001900000009:301");
    assert_eq!(event.sender.as_ref().unwrap().ids, ["-1001900000009"]);
    let thread = event.thread.as_ref().unwrap();
    assert_eq!(thread.key.as_deref(), Some("-1001900000009"));
    assert_eq!(thread.title.as_deref(), Some("News"));

    let mut edited = post.clone();
    edited["text"] = json!("Update 1b");
    let update = json!({"update_id": 2, "edited_channel_post": edited});
    assert_eq!(parse_with(false, &update).events[0].body.name(), "unknown");
    assert_eq!(parse_with(true, &update).events[0].body.name(), "edit");
}

/// The old group and the new one both tell of a move: whichever comes second is a duplicate.
#[test]
fn a_move_is_told_once() {
    let group = |id: i64| json!({"id": id, "title": "Small", "type": "group"});
    let old = json!({"update_id": 1, "message": {"message_id": 55, "chat": group(-4),
        "date": 1, "migrate_to_chat_id": -1009}});
    let new = json!({"update_id": 2, "message": {"message_id": 1, "chat": group(-1009),
        "date": 1, "migrate_from_chat_id": -4}});
    let (old, new) = (parse_with(false, &old), parse_with(false, &new));
    assert_eq!(old.events[0].key, "moved:-4:-1009");
    assert_eq!(old.events[0].key, new.events[0].key);
    assert_eq!(old.events[0].body, new.events[0].body);
}

/// Two changes within one second, and the same change delivered twice.
#[test]
fn edits_are_told_apart_by_their_update() {
    let edit = |update: i64| {
        let message = json!({"message_id": 5, "chat": {"id": 7, "type": "private"},
            "from": {"id": 7}, "date": 1, "edit_date": 2, "text": "x"});
        let parsed = parse_with(false, &json!({"update_id": update, "edited_message": message}));
        parsed.events[0].key.clone()
    };
    assert_ne!(edit(1), edit(2));
    assert_eq!(edit(1), edit(1));
}

/// The bot's own messages, where Telegram shows them, are ours and concern the person.
#[test]
fn the_bots_own_messages_are_ours() {
    let parsed = parse_with(
        false,
        &json!({"update_id": 1, "message": {"message_id": 5, "text": "x", "date": 1,
            "from": {"id": 7_000_000_001_i64, "is_bot": true, "first_name": "Desk"},
            "chat": {"id": 7, "type": "private", "first_name": "Dana"}}}),
    );
    let event = &parsed.events[0];
    assert_eq!(event.sender.as_ref().unwrap().ids, ["7"]);
    assert!(matches!(&event.body, EventBody::Message(m) if m.from_us));
}

#[test]
fn a_huge_raw_content_is_not_copied_into_facts() {
    let parsed = parse_with(
        false,
        &json!({"update_id": 1, "message": {"message_id": 5, "date": 1, "from": {"id": 7},
            "chat": {"id": 7, "type": "private"}, "poll": "x".repeat(5000)}}),
    );
    let EventBody::Message(message) = &parsed.events[0].body else {
        panic!("{parsed:?}")
    };
    assert_eq!(message.unsupported.as_deref(), Some("poll"));
    assert!(message.facts.is_empty());
}
