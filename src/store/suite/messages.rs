//! Changes to messages: edits, deletions, reactions, on targets known and unknown.

use super::*;
use switchboard_channels::model::{
    Attachment, AttachmentKind, Delete, Edit, Location, MediaRef, Reaction,
};

fn edited(target: &str, key: &str, text: &str) -> Event {
    let edit = Edit {
        target: target.to_owned(),
        text: text.to_owned(),
        attachments: None,
    };
    from("ann", key, EventBody::Edit(edit))
}

fn deleted(target: &str, key: &str) -> Event {
    let target = target.to_owned();
    from("ann", key, EventBody::Delete(Delete { target }))
}

fn reacted(who: &str, target: &str, key: &str, emoji: &str, added: bool) -> Event {
    let reaction = Reaction {
        target: target.to_owned(),
        emoji: emoji.to_owned(),
        added,
    };
    from(who, key, EventBody::Reaction(reaction))
}

pub(super) fn picture(reference: &str) -> Attachment {
    Attachment {
        kind: AttachmentKind::Image,
        name: None,
        mime: Some("image/jpeg".to_owned()),
        size_bytes: None,
        media: Some(MediaRef::new(reference)),
    }
}

#[tokio::test]
async fn an_edit_changes_the_text() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    bench.news().await;
    assert_eq!(bench.came(edited("m1", "e1", "new")).await, Fate::Applied);
    let told = bench.told().await;
    assert_eq!(told[0].0, "message-updated");
    assert_eq!(told[0].1["message"], "new");
    assert_eq!(bench.message(MessageId(1)).await.text, "new");
    assert_eq!(bench.came(edited("m1", "e1", "x")).await, Fate::Duplicate);
}

#[tokio::test]
async fn an_older_edit_that_comes_late_changes_nothing() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    let at = |event: Event, ms: i64| Event {
        at: Millis(T0 + ms),
        ..event
    };
    bench.came(at(edited("m1", "e2", "second"), 20)).await;
    let late = bench.came(at(edited("m1", "e1", "first"), 10)).await;
    assert_eq!(late, Fate::Duplicate);
    assert_eq!(bench.message(MessageId(1)).await.text, "second");
    // Platforms tell whole seconds: of the same second the later to come counts.
    bench.came(at(edited("m1", "e3", "third"), 20)).await;
    assert_eq!(bench.message(MessageId(1)).await.text, "third");
}

#[tokio::test]
async fn an_edit_replaces_attachments_only_when_it_names_some() {
    let bench = Bench::open().await;
    let event = with(wrote("ann", "m1"), |m| {
        m.attachments = vec![picture("f1"), picture("f2")];
    });
    bench.came(event).await;
    bench.came(edited("m1", "e1", "new")).await;
    assert_eq!(bench.message(MessageId(1)).await.attachments.len(), 2);
    let edit = Edit {
        target: "m1".to_owned(),
        text: "newer".to_owned(),
        attachments: Some(vec![picture("f3")]),
    };
    bench.came(from("ann", "e2", EventBody::Edit(edit))).await;
    assert_eq!(bench.message(MessageId(1)).await.attachments.len(), 1);
    assert_eq!(bench.number("SELECT COUNT(*) FROM media").await, 3);
}

#[tokio::test]
async fn a_deletion_takes_the_content_and_cannot_be_undone_by_an_edit() {
    let bench = Bench::open().await;
    let event = with(wrote("ann", "m1"), |m| m.attachments = vec![picture("f")]);
    bench.came(event).await;
    bench.news().await;
    assert_eq!(bench.came(deleted("m1", "d1")).await, Fate::Applied);
    let told = bench.told().await;
    assert_eq!(told, [("message-deleted".to_owned(), Value::from("1"))]);
    bench.came(deleted("m1", "d2")).await;
    bench.came(edited("m1", "e1", "back again")).await;
    assert_eq!(bench.told().await, []);
    let row = bench.message(MessageId(1)).await;
    assert!(row.text.is_empty() && row.attachments.is_empty());
    assert_eq!(bench.messages(ConversationId(1)).await, []);
}

#[tokio::test]
async fn reactions_are_put_on_and_taken_off() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    bench.news().await;
    bench.came(reacted("ann", "m1", "r1", "👍", true)).await;
    bench.came(reacted("ann", "m1", "r2", "🎉", true)).await;
    bench.came(reacted("bob", "m1", "r3", "👍", true)).await;
    bench.came(reacted("ann", "m1", "r4", "👍", false)).await;
    let left = "SELECT user_id || emoji FROM reactions ORDER BY user_id";
    assert_eq!(bench.texts(left).await, ["2🎉", "3👍"]);
    let told = bench.told().await;
    let told = told.iter().map(|(name, data)| {
        assert_eq!(name, "message-reaction");
        let text = |field: &str| data[field].as_str().unwrap().to_owned();
        format!(
            "{} {} {}",
            text("user_id"),
            text("action"),
            text("reaction")
        )
    });
    let wanted = ["2 added 👍", "2 added 🎉", "3 added 👍", "2 removed 👍"];
    assert_eq!(told.collect::<Vec<_>>(), wanted);
    // A platform that does not say which means all of this person's.
    bench.came(reacted("ann", "m1", "r5", "", false)).await;
    assert_eq!(bench.texts(left).await, ["3👍"]);
    assert_eq!(bench.told().await[0].1["reaction"], "🎉");
}

#[tokio::test]
async fn what_names_an_unknown_message_is_kept() {
    let bench = Bench::open().await;
    let events = [
        edited("nowhere", "e1", "text"),
        deleted("nowhere", "d1"),
        reacted("ann", "nowhere", "r1", "👍", true),
    ];
    for event in events {
        assert_eq!(bench.came(event.clone()).await, Fate::Kept);
        assert_eq!(bench.came(event).await, Fate::Duplicate);
    }
    assert_eq!(bench.number("SELECT COUNT(*) FROM raw_events").await, 3);
    assert_eq!(bench.number("SELECT COUNT(*) FROM users").await, 1);
    assert_eq!(bench.news().await, [] as [&str; 0]);
}

#[tokio::test]
async fn a_message_keeps_its_structure() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    let event = with(wrote("ann", "m2"), |m| {
        m.reply_to = Some("m1".to_owned());
        m.location = Some(Location {
            latitude: 50.5,
            longitude: 7.25,
            name: None,
            address: None,
        });
        m.unsupported = Some("poll".to_owned());
        m.facts = vec![("forwarded".to_owned(), "yes".to_owned())];
    });
    bench.came(event).await;
    let payload: Value = serde_json::from_str(&bench.message(MessageId(2)).await.payload).unwrap();
    assert_eq!(payload["location"]["latitude"], 50.5);
    assert_eq!(payload["unsupported"], "poll");
    assert_eq!(payload["forwarded"], "yes");
    let history = bench.history(MessageId(2)).await;
    assert_eq!(history.reply_to, Some(MessageId(1)));
    assert_eq!(bench.message(MessageId(1)).await.payload, "");
}
