//! One conversation keeps its order; scheduled and urgent messages keep to their rules.

use super::{CUSTOMER, number, word, world};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use switchboard_testkit::{World, until};

/// Sends texts one after the other without waiting for their outcomes; gives the ids.
async fn send_all(world: &World, to: &str, texts: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for text in texts {
        ids.push(world.text_later("bot", to, text).await);
    }
    ids
}

/// The first message is refused for now by `fault`; the later ones must wait for it.
async fn later_messages_wait(fault: Value) {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(fault).await;
    let texts = ["one", "two", "three", "four"];
    let ids = send_all(&world, CUSTOMER, &texts).await;
    assert_eq!(bot.texts_when(4).await, texts);
    for id in &ids {
        world.backend().wait_status(id, "sent").await;
    }
    world.quiet().await;
    let told: Vec<String> = world
        .backend()
        .named("message-status-updated")
        .iter()
        .map(|e| e.word("message_id"))
        .collect();
    assert_eq!(
        told, ids,
        "outcomes are told in the order of the conversation"
    );
    assert_eq!(bot.texts().await, texts);
    assert_eq!(bot.faults().await, Vec::<Value>::new(), "the fault was met");
}

#[tokio::test]
async fn later_messages_wait_while_the_first_is_refused_with_503() {
    later_messages_wait(json!({
        "fault": "error", "status": 503, "count": 2, "body_contains": "one",
    }))
    .await;
}

#[tokio::test]
async fn later_messages_wait_while_the_first_is_refused_with_500() {
    later_messages_wait(json!({
        "fault": "error", "status": 500, "count": 2, "body_contains": "one",
    }))
    .await;
}

#[tokio::test]
async fn later_messages_wait_while_the_first_is_refused_with_429() {
    later_messages_wait(json!({
        "fault": "rate_limit", "retry_after": 1, "count": 1, "body_contains": "one",
    }))
    .await;
}

#[tokio::test]
async fn another_conversation_does_not_wait_for_a_stuck_one() {
    let world = world()
        .channel("bot", "telegram")
        .set("retry.breaker_failures", json!(1000))
        .set("retry.stuck_after", json!(1000))
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say_as("101", "hi").await;
    bot.say_as("102", "hi").await;
    bot.fault(json!({"fault": "error", "status": 503, "count": 0, "body_contains": "poison"}))
        .await;
    world.text_later("bot", "101", "poison").await;
    world.text_later("bot", "101", "after the poison").await;
    for n in 0..5 {
        let text = format!("free {n}");
        world.text("bot", "102", &text, json!({})).await.expect(200);
    }
    assert_eq!(bot.texts_to("102").await.len(), 5);
    assert_eq!(bot.texts_to("101").await, Vec::<String>::new());
    bot.mend().await;
    bot.texts_when(7).await;
    assert_eq!(bot.texts_to("101").await, ["poison", "after the poison"]);
}

#[tokio::test]
async fn inbound_messages_of_a_conversation_are_told_in_order() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    let texts: Vec<String> = (0..30).map(|n| format!("message {n}")).collect();
    for text in &texts {
        bot.say(text).await;
    }
    world.backend().wait("new-messages", 30).await;
    let told = world.backend().named("message-sent");
    let told: Vec<String> = told.iter().map(|e| e.word("message")).collect();
    assert_eq!(told, texts);
}

/// `YYYY-MM-DD HH:MM:SS`, UTC, so many seconds from now.
fn in_seconds(seconds: u64) -> String {
    let at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + seconds;
    let timestamp = jiff::Timestamp::from_second(i64::try_from(at).unwrap()).unwrap();
    timestamp.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[tokio::test]
async fn a_scheduled_message_waits_outside_its_conversation() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    let at = in_seconds(3);
    let later = world
        .text("bot", CUSTOMER, "scheduled", json!({"send_at": at}))
        .await
        .expect(202);
    assert_eq!(later.word("status"), "queued");
    // Accepted after it, and gone before it.
    world
        .text("bot", CUSTOMER, "at once", json!({}))
        .await
        .expect(200);
    assert_eq!(bot.texts().await, ["at once"]);
    assert_eq!(bot.texts_when(2).await, ["at once", "scheduled"]);
    let due: jiff::Timestamp = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", &at)
        .unwrap()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .unwrap()
        .timestamp();
    let tried = number(bot.sends().await.last().unwrap(), "received_at_ms");
    assert!(tried >= due.as_millisecond(), "sent before its time");
}

#[tokio::test]
async fn a_scheduled_message_survives_a_restart() {
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    let more = json!({"send_at": in_seconds(2)});
    let later = world
        .text("bot", CUSTOMER, "scheduled", more)
        .await
        .expect(202);
    world.kill();
    world.restart().await;
    world.message_when(&later.word("message_id"), "sent").await;
    assert_eq!(bot.texts().await, ["scheduled"]);
}

#[tokio::test]
async fn what_expires_while_it_waits_becomes_a_dead_letter() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world
        .post("/admin/lanes/bot/pause", json!({}))
        .await
        .expect(200);
    let sent = world
        .text(
            "bot",
            CUSTOMER,
            "worthless tomorrow",
            json!({"expires_in": 1}),
        )
        .await
        .expect(202);
    let id = sent.word("message_id");
    world.message_when(&id, "failed").await;
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(word(&dead[0], "id"), id);
    assert_eq!(word(&dead[0], "class"), "too-old");
    world
        .post("/admin/lanes/bot/resume", json!({}))
        .await
        .expect(200);
    world
        .text("bot", CUSTOMER, "still good", json!({}))
        .await
        .expect(200);
    assert_eq!(bot.texts().await, ["still good"]);
    let failed = world.backend().wait_status(&id, "failed").await;
    assert_eq!(failed, ["failed"]);
}

#[tokio::test]
async fn bulk_messages_let_normal_ones_pass() {
    let world = world()
        .channel_with("sms", "twilio-sms", json!({"max_in_flight": 1}))
        .start()
        .await;
    let sms = world.emulator("sms");
    world
        .post("/admin/lanes/sms/pause", json!({}))
        .await
        .expect(200);
    for n in 0..30 {
        let to = format!("+12025550{:03}", 200 + n);
        let more = json!({"priority": "bulk", "wait": 0});
        world.text("sms", &to, "a campaign", more).await.expect(202);
    }
    for n in 0..5 {
        let to = format!("+12025550{:03}", 300 + n);
        world
            .text("sms", &to, "an answer", json!({"wait": 0}))
            .await
            .expect(202);
    }
    world
        .post("/admin/lanes/sms/resume", json!({}))
        .await
        .expect(200);
    let texts = sms.texts_when(35).await;
    // Every eighth claim takes a bulk one, wherever the count of claims stands.
    let passed = texts.iter().take(7).filter(|t| *t == "an answer").count();
    assert_eq!(passed, 5, "{texts:?}");
}

#[tokio::test]
async fn a_broken_channel_slows_no_other() {
    let world = world()
        .channel("broken", "telegram")
        .channel("sound", "telegram")
        .start()
        .await;
    let (broken, sound) = (world.emulator("broken"), world.emulator("sound"));
    for n in 0..40 {
        broken.say_as(&format!("{}", 1000 + n), "hi").await;
    }
    sound.say("hi").await;
    broken
        .fault(json!({"fault": "hang", "seconds": 60, "count": 0, "path_contains": "/send"}))
        .await;
    // More than it has slots, so that every slot hangs.
    for n in 0..40 {
        world
            .text_later("broken", &format!("{}", 1000 + n), "into the void")
            .await;
    }
    until("the broken channel to hang in all its slots", || async {
        (number(&world.lane("broken").await, "in_flight") >= 16).then_some(())
    })
    .await;
    for n in 0..50 {
        let text = format!("in time {n}");
        world
            .text("sound", CUSTOMER, &text, json!({}))
            .await
            .expect(200);
    }
    assert_eq!(sound.texts().await.len(), 50);
    assert_eq!(broken.texts().await.len(), 0);
    assert_eq!(number(&world.lane("broken").await, "depth"), 40);
    world.kill();
}
