//! Accepting a send: durable, numbered, once.

use super::*;
use crate::store::rows::status_code;
use crate::store::sends::{Idempotency, NewConversation, StoreMessage};

#[tokio::test]
async fn a_send_to_a_stranger_makes_the_conversation_and_tells() {
    let bench = Bench::open().await;
    let (accepted, wakes) = bench.try_accept(&send_to("ann", 2)).await;
    let wanted = Accepted::New {
        message: MessageId(1),
        conversation: ConversationId(1),
        scheduled: false,
    };
    assert_eq!(accepted, wanted);
    assert_eq!(wakes.sends, [("bot".to_owned(), 1, false)]);
    let told = ["new-conversation-created", "message-sent"];
    assert_eq!(bench.news().await, told);
    let outcome = bench.outcome(MessageId(1)).await;
    assert_eq!((outcome.status.as_str(), outcome.open), ("queued", true));
    let history = bench.history(MessageId(1)).await;
    assert_eq!(history.parts.len(), 2);
    assert!(history.parts.iter().all(|p| p.state == "waiting"));
    let row = bench.conversation(ConversationId(1)).await.unwrap();
    assert_eq!(row.status_code, status_code::WAITING_USER);
    assert_eq!(row.last_message_id, MessageId(1));
    // The next one goes into the same conversation.
    bench.accept(&send_to("ann", 1)).await;
    assert_eq!(bench.news().await, ["message-sent"]);
}

#[tokio::test]
async fn a_conversation_that_is_gone_is_named() {
    let bench = Bench::open().await;
    let send = AcceptSend {
        target: Target::Conversation(ConversationId(7)),
        ..send_to("ann", 1)
    };
    let accepted = bench.try_accept(&send).await.0;
    assert_eq!(accepted, Accepted::Gone("conversation"));
    assert_eq!(bench.number("SELECT COUNT(*) FROM messages").await, 0);
}

#[tokio::test]
async fn messages_go_out_in_the_order_of_their_acceptance() {
    let bench = Bench::open().await;
    let mut accepted = Vec::new();
    for _ in 0..5 {
        accepted.push(bench.accept(&send_to("ann", 1)).await.0);
    }
    let mut sent = Vec::new();
    for n in 0..5 {
        let job = bench.deliver(ConversationId(1), 1).await;
        sent.push(job.part.message);
        bench.taken(&job, &format!("p{n}")).await;
    }
    assert_eq!(sent, accepted);
    assert!(matches!(
        bench.begin(ConversationId(1), 1).await,
        Begun::Nothing
    ));
}

#[tokio::test]
async fn callers_at_the_same_moment_take_numbers_of_their_own() {
    let bench = Bench::open().await;
    let send = send_to("ann", 1);
    let all = futures_util::future::join_all((0..50).map(|_| bench.accept(&send))).await;
    assert!(all.iter().all(|(_, conversation)| conversation.0 == 1));
    let by_number = "SELECT CAST(id AS TEXT) FROM messages ORDER BY seq";
    let mut ids: Vec<i64> = all.iter().map(|(message, _)| message.0).collect();
    ids.sort_unstable();
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    assert_eq!(bench.texts(by_number).await, ids);
    let numbers = "SELECT COUNT(DISTINCT seq) FROM messages";
    assert_eq!(bench.number(numbers).await, 50);
}

fn keyed(key: &str, arguments: &str) -> AcceptSend {
    AcceptSend {
        idempotency: Some(Idempotency {
            key: key.to_owned(),
            arguments: arguments.to_owned(),
        }),
        ..send_to("ann", 1)
    }
}

#[tokio::test]
async fn the_same_key_is_the_same_message() {
    let bench = Bench::open().await;
    let (message, _) = bench.accept(&keyed("k", "args")).await;
    bench.news().await;
    let (again, wakes) = bench.try_accept(&keyed("k", "args")).await;
    assert_eq!(again, Accepted::Known { message });
    assert!(wakes.sends.is_empty());
    assert_eq!(bench.news().await, [] as [&str; 0]);
    let other = bench.try_accept(&keyed("k", "other")).await.0;
    assert_eq!(other, Accepted::Conflict);
    let function = AcceptSend {
        function: "line-send-message".to_owned(),
        ..keyed("k", "args")
    };
    assert_eq!(bench.try_accept(&function).await.0, Accepted::Conflict);
    bench.accept(&keyed("k2", "args")).await;
    assert_eq!(bench.number("SELECT COUNT(*) FROM messages").await, 2);
}

#[tokio::test]
async fn calls_with_one_key_at_the_same_moment_make_one_message() {
    let bench = Bench::open().await;
    let send = keyed("k", "args");
    let calls = (0..20).map(|_| bench.try_accept(&send));
    let all = futures_util::future::join_all(calls).await;
    let new = |a: &&(Accepted, Wakes)| matches!(a.0, Accepted::New { .. });
    assert_eq!(all.iter().filter(new).count(), 1);
    assert_eq!(bench.number("SELECT COUNT(*) FROM messages").await, 1);
}

#[tokio::test]
async fn a_refused_call_leaves_its_key_free() {
    let bench = Bench::open().await;
    let refused = AcceptSend {
        target: Target::Conversation(ConversationId(7)),
        ..keyed("k", "args")
    };
    bench.try_accept(&refused).await;
    bench.accept(&keyed("k", "other")).await;
}

async fn store_one(bench: &Bench, conversation: ConversationId) -> MessageId {
    let message = StoreMessage {
        conversation,
        author: BOT,
        text: "kept".to_owned(),
        attachments: Vec::new(),
        payload: String::new(),
        status_code: None,
    };
    let stored = bench.unit(move |tx, unit| at_once(sends::store_message(tx, unit, &message)));
    stored.await.0.unwrap()
}

#[tokio::test]
async fn a_stored_message_is_delivered_and_not_stored_again() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    let conversation = ConversationId(1);
    let stored = store_one(&bench, conversation).await;
    assert_eq!(bench.status(stored).await, "stored");
    assert!(matches!(bench.begin(conversation, 1).await, Begun::Nothing));
    bench.came(wrote("ann", "m2")).await;
    bench.news().await;
    let send = AcceptSend {
        target: Target::Conversation(conversation),
        stored: Some(stored),
        ..send_to("ann", 1)
    };
    let (message, _) = bench.accept(&send).await;
    assert_eq!(message, stored);
    // It was told when it was stored, and is not the last message for being sent now.
    assert_eq!(bench.news().await, [] as [&str; 0]);
    let row = bench.conversation(conversation).await.unwrap();
    assert_eq!(row.last_message_id, MessageId(3));
    let job = bench.deliver(conversation, 1).await;
    assert_eq!(job.part.message, stored);
    bench.taken(&job, "p1").await;
    assert_eq!(bench.status(stored).await, "sent");
    // Once.
    let again = bench.try_accept(&send).await.0;
    assert_eq!(again, Accepted::Gone("message"));
}

#[tokio::test]
async fn a_send_of_a_stored_message_that_is_gone_leaves_nothing_behind() {
    let bench = Bench::open().await;
    let send = AcceptSend {
        stored: Some(MessageId(7)),
        ..send_to("ann", 1)
    };
    let refused = bench.try_accept(&send).await.0;
    assert_eq!(refused, Accepted::Gone("message"));
    assert_eq!(bench.number("SELECT COUNT(*) FROM users").await, 1);
    assert_eq!(bench.number("SELECT COUNT(*) FROM conversations").await, 0);
}

#[tokio::test]
async fn what_the_contact_wrote_is_never_stored_for_delivery() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    let message = StoreMessage {
        conversation: ConversationId(1),
        author: UserId(2),
        text: "from the contact".to_owned(),
        attachments: Vec::new(),
        payload: String::new(),
        status_code: Some(status_code::ARCHIVE),
    };
    let stored = bench.unit(move |tx, unit| at_once(sends::store_message(tx, unit, &message)));
    let id = stored.await.0.unwrap();
    let row = bench.message(id).await;
    assert_eq!((row.status.as_str(), row.outbound), ("received", false));
    let conversation = bench.conversation(ConversationId(1)).await.unwrap();
    assert_eq!(conversation.status_code, status_code::ARCHIVE);
    let send = AcceptSend {
        stored: Some(id),
        ..send_to("ann", 1)
    };
    let refused = bench.try_accept(&send).await.0;
    assert_eq!(refused, Accepted::Gone("message"));
}

#[tokio::test]
async fn a_scheduled_message_waits_outside_and_takes_its_number_when_due() {
    let bench = Bench::open().await;
    let at = |ms: i64| AcceptSend {
        send_at: Some(Millis(T0 + ms)),
        ..send_to("ann", 1)
    };
    let (late, wakes) = bench.try_accept(&at(2000)).await;
    assert!(matches!(
        late,
        Accepted::New {
            scheduled: true,
            ..
        }
    ));
    assert!(wakes.sends.is_empty());
    let (soon, conversation) = bench.accept(&at(1000)).await;
    let (now, _) = bench.accept(&send_to("ann", 1)).await;
    let first = bench.deliver(conversation, 1).await;
    assert_eq!(first.part.message, now);
    bench.taken(&first, "p1").await;
    assert!(matches!(bench.begin(conversation, 1).await, Begun::Nothing));

    let release = || bench.unit(|tx, unit| at_once(sends::release_scheduled(tx, unit)));
    bench.pass(999);
    let ((count, next), _) = release().await;
    assert_eq!((count, next), (0, Some(Millis(T0 + 1000))));
    bench.pass(1);
    let ((count, next), wakes) = release().await;
    assert_eq!((count, next), (1, Some(Millis(T0 + 2000))));
    assert_eq!(wakes.sends, [("bot".to_owned(), conversation.0, false)]);
    // A message accepted before the later one is due goes before it.
    let (between, _) = bench.accept(&send_to("ann", 1)).await;
    bench.pass(5000);
    let ((count, next), _) = release().await;
    assert_eq!((count, next), (1, None));
    let mut order = Vec::new();
    for n in 2..5 {
        let job = bench.deliver(conversation, 1).await;
        bench.taken(&job, &format!("p{n}")).await;
        order.push(job.part.message);
    }
    assert_eq!(order, [soon, between, MessageId(1)]);
    // A time that is over is no time to wait for.
    let past = bench.try_accept(&at(-1)).await.0;
    assert!(matches!(
        past,
        Accepted::New {
            scheduled: false,
            ..
        }
    ));
}

#[tokio::test]
async fn a_group_is_nobody_new() {
    let bench = Bench::open().await;
    bench.came(in_thread(wrote("ann", "m1"), "group")).await;
    let to = |thread: &str| AcceptSend {
        target: Target::Recipient(Recipient {
            ids: Vec::new(),
            thread: Some(thread.to_owned()),
            ..recipient(thread)
        }),
        ..send_to(thread, 1)
    };
    for _ in 0..3 {
        let (_, conversation) = bench.accept(&to("group")).await;
        assert_eq!(conversation, ConversationId(1));
    }
    assert_eq!(bench.number("SELECT COUNT(*) FROM users").await, 2);
    // A group that never wrote is made once.
    let first = bench.accept(&to("silent")).await.1;
    assert_eq!(bench.accept(&to("silent")).await.1, first);
    assert_eq!(bench.number("SELECT COUNT(*) FROM users").await, 3);
}

#[tokio::test]
async fn a_conversation_without_a_platform_is_its_own() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    let user = bench.user(UserId(2)).await.unwrap();
    let fields = NewConversation {
        tags: Some("vip".to_owned()),
        ..NewConversation::default()
    };
    let made = bench.unit(move |tx, unit| {
        at_once(sends::new_conversation(
            tx, unit, &user, "web", "Title", 0, &fields,
        ))
    });
    let id = made.await.0;
    let row = bench.conversation(id).await.unwrap();
    assert_eq!(
        (row.title.as_str(), row.tags.as_deref()),
        ("Title", Some("vip"))
    );
    bench.came(wrote("ann", "m2")).await;
    assert_eq!(bench.messages(id).await, []);
}
