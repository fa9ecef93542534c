//! What a webhook carries: once, whole, for the right person.

use super::*;
use switchboard_channels::model::{AccountNotice, Effect};

#[tokio::test]
async fn a_message_makes_user_and_conversation_and_tells_in_order() {
    let bench = Bench::open().await;
    let mut event = wrote("ann", "m1");
    event.sender.as_mut().unwrap().profile.first_name = Some("Ann".to_owned());
    assert_eq!(bench.came(event).await, Fate::Applied);
    let told = bench.told().await;
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    let order = ["new-conversation-created", "message-sent", "new-messages"];
    assert_eq!(names, order);
    let conversation = bench.conversation(ConversationId(1)).await.unwrap();
    assert_eq!(conversation.status_code, 2);
    assert_eq!(conversation.address, "ann");
    let messages = bench.messages(conversation.id).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].id, conversation.last_message_id);
    assert_eq!(messages[0].user_id, conversation.user_id);
    assert_eq!(messages[0].status, "received");
    assert_eq!(messages[0].first_name, "Ann");
    // The second message finds both.
    assert_eq!(bench.came(wrote("ann", "m2")).await, Fate::Applied);
    assert_eq!(bench.news().await, ["message-sent", "new-messages"]);
    assert_eq!(bench.messages(conversation.id).await.len(), 2);
    assert_eq!(bench.number("SELECT COUNT(*) FROM users").await, 2);
}

#[tokio::test]
async fn a_redelivered_webhook_changes_nothing() {
    let bench = Bench::open().await;
    let webhook = InboundBatch {
        channel: bot(),
        events: vec![wrote("ann", "m1"), wrote("bob", "m2")],
        effects: vec![Effect::AnswerCallback { id: "1".to_owned() }],
    };
    let again = webhook.clone();
    let first =
        bench.unit(move |tx, unit| at_once(apply(tx, unit, std::slice::from_ref(&webhook))));
    let (fates, wakes) = first.await;
    assert_eq!(fates, [[Fate::Applied, Fate::Applied]]);
    assert_eq!(wakes.effects.len(), 1);
    bench.news().await;
    let second = bench.unit(move |tx, unit| at_once(apply(tx, unit, std::slice::from_ref(&again))));
    let (fates, wakes) = second.await;
    assert_eq!(fates, [[Fate::Duplicate, Fate::Duplicate]]);
    assert!(wakes.effects.is_empty() && wakes.events.is_empty());
    assert_eq!(bench.news().await, [] as [&str; 0]);
    assert_eq!(bench.number("SELECT COUNT(*) FROM effects").await, 1);
    assert_eq!(bench.number("SELECT COUNT(*) FROM messages").await, 2);
}

#[tokio::test]
async fn copies_at_the_same_moment_make_one_message() {
    let bench = Bench::open().await;
    let copies = (0..20).map(|_| bench.came(wrote("ann", "m1")));
    let fates = futures_util::future::join_all(copies).await;
    let applied = fates.iter().filter(|f| **f == Fate::Applied).count();
    assert_eq!(applied, 1);
    assert_eq!(bench.number("SELECT COUNT(*) FROM messages").await, 1);
}

#[tokio::test]
async fn a_platforms_id_is_known_for_good() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    bench.meddle("DELETE FROM dedup_keys").await;
    assert_eq!(bench.came(wrote("ann", "m1")).await, Fate::Duplicate);
    let mut renamed = wrote("ann", "m1");
    renamed.key = "another-key".to_owned();
    assert_eq!(bench.came(renamed).await, Fate::Duplicate);
    assert_eq!(bench.number("SELECT COUNT(*) FROM messages").await, 1);
}

#[tokio::test]
async fn keys_and_ids_are_the_channels_own() {
    let bench = Bench::open().await;
    let other = ChannelInfo {
        id: "other-bot".to_owned(),
        ..bot()
    };
    assert_eq!(bench.came(wrote("ann", "m1")).await, Fate::Applied);
    let fates = bench.came_to(&other, vec![wrote("ann", "m1")]).await;
    assert_eq!(fates, [Fate::Applied]);
    let conversations = "SELECT COUNT(*) FROM conversations";
    assert_eq!(bench.number(conversations).await, 2);
}

#[tokio::test]
async fn one_webhook_may_serve_several_channels() {
    let bench = Bench::open().await;
    let batch = |id: &str, events: Vec<Event>| InboundBatch {
        channel: ChannelInfo {
            id: id.to_owned(),
            ..bot()
        },
        events,
        effects: Vec::new(),
    };
    let batches = [
        batch("a", vec![wrote("ann", "m1"), wrote("ann", "m1")]),
        batch("b", vec![wrote("ann", "m1"), wrote("bob", "m2")]),
        batch("c", vec![]),
    ];
    let (fates, wakes) = bench
        .unit(move |tx, unit| at_once(apply(tx, unit, &batches)))
        .await;
    let wanted: [&[Fate]; 3] = [
        &[Fate::Applied, Fate::Duplicate],
        &[Fate::Applied, Fate::Applied],
        &[],
    ];
    assert_eq!(fates, wanted);
    let of = bench.texts("SELECT channel_id FROM conversations ORDER BY id");
    assert_eq!(of.await, ["a", "b", "b"]);
    assert_eq!(wakes.events.len(), 3, "{:?}", wakes.events);
}

#[tokio::test]
async fn what_cannot_be_applied_is_kept_raw_and_the_rest_goes_on() {
    let bench = Bench::open().await;
    let unknown = EventBody::Unknown {
        what: "poll".to_owned(),
        raw: "{\"poll\":1}".to_owned(),
    };
    let notice = EventBody::Notice(AccountNotice {
        topic: "quality".to_owned(),
        detail: "low".to_owned(),
    });
    let mut nobodys = wrote("ann", "m2");
    nobodys.sender = None;
    let events = vec![
        event("u1", unknown),
        event("n1", notice),
        nobodys,
        from("ann", "t1", EventBody::Typing),
        wrote("ann", "m3"),
    ];
    let fates = bench.came_to(&bot(), events.clone()).await;
    let (kept, applied) = (Fate::Kept, Fate::Applied);
    assert_eq!(fates, [kept, kept, kept, applied, applied]);
    assert_eq!(bench.came_to(&bot(), events).await, [Fate::Duplicate; 5]);
    let raw = bench.texts("SELECT what || ': ' || body FROM raw_events ORDER BY id LIMIT 2");
    assert_eq!(raw.await, ["poll: {\"poll\":1}", "notice: quality: low"]);
    assert_eq!(bench.number("SELECT COUNT(*) FROM raw_events").await, 3);
}

#[tokio::test]
async fn the_reply_window_follows_the_contact_and_never_shrinks() {
    let bench = Bench::open().await;
    let channel = phone("wa", "whatsapp");
    let at = |key: &str, ms: i64| Event {
        at: Millis(ms),
        ..wrote("4915", key)
    };
    let window = async || {
        let row = bench.conversation(ConversationId(1)).await;
        row.unwrap().window_until
    };
    bench.came_to(&channel, vec![at("m1", T0)]).await;
    assert_eq!(window().await, Some(Millis(T0 + DAY_MS)));
    bench.came_to(&channel, vec![at("m0", T0 - 5000)]).await;
    assert_eq!(window().await, Some(Millis(T0 + DAY_MS)));
    bench.came_to(&channel, vec![at("m2", T0 + 7)]).await;
    assert_eq!(window().await, Some(Millis(T0 + DAY_MS + 7)));
    let echo = with(at("m3", T0 + 99), |m| m.from_us = true);
    bench.came_to(&channel, vec![echo]).await;
    assert_eq!(window().await, Some(Millis(T0 + DAY_MS + 7)));
}

#[tokio::test]
async fn what_a_colleague_wrote_at_the_platform_is_ours() {
    let bench = Bench::open().await;
    let echo = with(wrote("ann", "m1"), |m| m.from_us = true);
    assert_eq!(bench.came(echo).await, Fate::Applied);
    let told = bench.news().await;
    assert_eq!(told, ["new-conversation-created", "message-sent"]);
    let row = &bench.messages(ConversationId(1)).await[0];
    assert_eq!((row.user_id, row.outbound), (BOT, true));
    assert_eq!(row.status, "sent");
    // Nobody waits for us because of it.
    let conversation = bench.conversation(ConversationId(1)).await.unwrap();
    assert_eq!(conversation.status_code, 1);
    let user = bench.user(conversation.user_id).await.unwrap();
    assert_eq!(user.user_type, "lead");
}

#[tokio::test]
async fn the_echo_of_our_own_send_is_no_message() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.send("ann", "p1").await;
    let echo = with(wrote("ann", "p1"), |m| m.from_us = true);
    assert_eq!(bench.came(echo).await, Fate::Duplicate);
    // Also when it comes under another id, but with our reference.
    let key = PartKey { message, idx: 0 };
    let echo = with(wrote("ann", "p1-echo"), |m| {
        m.from_us = true;
        m.our_reference = Some(reference(key));
    });
    assert_eq!(bench.came(echo).await, Fate::Applied);
    assert_eq!(bench.messages(conversation).await.len(), 1);
    // A reference that is not ours, or another channel's, proves nothing.
    for (id, claim) in [("x1", "sb-999-0"), ("x2", "theirs"), ("x3", "sb-1-7")] {
        let echo = with(wrote("ann", id), |m| {
            m.from_us = true;
            m.our_reference = Some(claim.to_owned());
        });
        assert_eq!(bench.came(echo).await, Fate::Applied);
    }
    assert_eq!(bench.messages(conversation).await.len(), 4);
}

#[tokio::test]
async fn a_receiver_hears_only_what_it_wants() {
    let receivers = vec![
        receiver("all", &[]),
        receiver("some", &["new-messages", "user-updated"]),
    ];
    let bench = Bench::with(receivers).await;
    bench.came(wrote("ann", "m1")).await;
    let told = "SELECT d.webhook_id || ' ' || e.function FROM deliveries d
        JOIN events e ON e.id = d.event_id ORDER BY e.id, d.webhook_id";
    let wanted = [
        "all new-conversation-created",
        "all message-sent",
        "all new-messages",
        "some new-messages",
    ];
    assert_eq!(bench.texts(told).await, wanted);
    let deaf = Bench::with(vec![receiver("none", &["sms-sent"])]).await;
    deaf.came(wrote("ann", "m1")).await;
    assert_eq!(deaf.number("SELECT COUNT(*) FROM events").await, 0);
    assert_eq!(deaf.messages(ConversationId(1)).await.len(), 1);
}
