//! A part that may have arrived: evidence first, then once more at most, or not at all.

use super::{CUSTOMER, PHONE, word, world};
use serde_json::{Value, json};
use switchboard_testkit::World;

/// The platform takes the send and closes the connection without an answer, so many times.
fn reset(count: u64, path: &str) -> Value {
    json!({"fault": "reset", "count": count, "path_contains": path})
}

/// Outcomes of a message's attempts.
async fn outcomes(world: &World, id: &str) -> Vec<String> {
    let message = world.message(id).await;
    let attempts = message["attempts"].as_array().cloned().unwrap_or_default();
    attempts.iter().map(|a| word(a, "outcome")).collect()
}

#[tokio::test]
async fn an_sms_that_arrived_without_an_answer_is_sent_once() {
    let world = world().channel("sms", "twilio-sms").start().await;
    let sms = world.emulator("sms");
    sms.fault(reset(1, "Messages.json")).await;
    let id = world.text_later("sms", PHONE, "one of a kind").await;
    let after = world.text_later("sms", PHONE, "the next").await;
    world.message_when(&id, "delivered").await;
    world.message_when(&after, "delivered").await;
    world.quiet().await;
    assert_eq!(sms.texts().await, ["one of a kind", "the next"]);
    let told = world.backend().statuses(&id);
    assert_eq!(
        told.last().map(String::as_str),
        Some("delivered"),
        "{told:?}"
    );
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn a_whatsapp_message_that_arrived_without_an_answer_is_sent_once() {
    let world = world().channel("wa", "whatsapp").start().await;
    let wa = world.emulator("wa");
    wa.say("hi").await;
    world.backend().wait("message-sent", 1).await;
    let conversation = world.backend().named("message-sent")[0].word("conversation_id");
    wa.fault(reset(1, "/messages")).await;
    let arguments = json!({"conversation_id": conversation, "message": "one of a kind"});
    let sent = world
        .api("messaging-platforms-send-message", arguments)
        .await;
    world
        .message_when(&sent.word("message_id"), "delivered")
        .await;
    world.quiet().await;
    assert_eq!(wa.texts().await, ["one of a kind"]);
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn a_telegram_message_in_doubt_is_sent_once_more() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(reset(1, "sendMessage")).await;
    let id = world.text_later("bot", CUSTOMER, "perhaps twice").await;
    let after = world.text_later("bot", CUSTOMER, "afterwards").await;
    world.message_when(&id, "sent").await;
    world.message_when(&after, "sent").await;
    assert_eq!(
        bot.texts().await,
        ["perhaps twice", "perhaps twice", "afterwards"]
    );
    assert_eq!(outcomes(&world, &id).await, ["unsure", "sent"]);
    assert_eq!(world.backend().wait_status(&id, "sent").await, ["sent"]);
}

#[tokio::test]
async fn a_telegram_message_in_doubt_twice_is_held_as_unsure() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(reset(2, "sendMessage")).await;
    let id = world.text_later("bot", CUSTOMER, "perhaps").await;
    let after = world.text_later("bot", CUSTOMER, "afterwards").await;
    world.message_when(&id, "failed").await;
    world.message_when(&after, "sent").await;
    world.quiet().await;
    // Twice with an unknown outcome, and no third time.
    assert_eq!(bot.sends().await.len(), 3);
    assert_eq!(bot.texts().await, ["perhaps", "perhaps", "afterwards"]);
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(
        (word(&dead[0], "id"), word(&dead[0], "class")),
        (id.clone(), "unsure".into())
    );
    let told = world.backend().about(&id);
    let failed = told
        .iter()
        .find(|e| e.word("status") == "failed")
        .expect("an event");
    assert_eq!(failed.data["error"]["code"], "unsure", "{}", failed.data);
}

#[tokio::test]
async fn with_hold_a_message_in_doubt_is_never_sent_again_by_itself() {
    let world = world()
        .channel_with("bot", "telegram", json!({"on_unsure": "hold"}))
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(reset(1, "sendMessage")).await;
    let id = world.text_later("bot", CUSTOMER, "perhaps").await;
    let after = world.text_later("bot", CUSTOMER, "afterwards").await;
    world.message_when(&id, "failed").await;
    world.message_when(&after, "sent").await;
    world.quiet().await;
    assert_eq!(bot.texts().await, ["perhaps", "afterwards"]);
    let dead = world.dead().await;
    assert_eq!(
        (word(&dead[0], "id"), word(&dead[0], "class")),
        (id.clone(), "unsure".into())
    );
    assert_eq!(outcomes(&world, &id).await, ["unsure"]);
    // An operator decides: it joins the end of the conversation.
    world
        .post("/admin/retry", json!({"ids": [id]}))
        .await
        .expect(200);
    world.message_when(&id, "sent").await;
    assert_eq!(bot.texts().await, ["perhaps", "afterwards", "perhaps"]);
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn a_refused_connection_is_no_doubt_and_is_retried() {
    // Nobody listens there: the request was never sent, so it is simply tried again.
    let world = world()
        .channel_with(
            "bot",
            "telegram",
            json!({"api_base": "http://127.0.0.1:9", "on_unsure": "hold"}),
        )
        .set("retry.max_age_seconds", json!(4))
        .start()
        .await;
    let id = world.text_later("bot", CUSTOMER, "hello?").await;
    world.message_when(&id, "failed").await;
    let dead = world.dead().await;
    assert_eq!(word(&dead[0], "class"), "too-old", "{dead:?}");
    let mut outcomes = outcomes(&world, &id).await;
    // Given up at its last try, or between two of them.
    if outcomes.last().is_some_and(|o| o == "dead") {
        outcomes.pop();
    }
    assert!(
        outcomes.len() > 1 && outcomes.iter().all(|o| o == "retry"),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn later_evidence_overrides_a_message_that_was_held() {
    // No wait for evidence, and the platform cannot be asked: held at once. Its status comes later.
    let keys = json!({"on_unsure": "hold", "unsure_wait_seconds": 0});
    let world = world()
        .channel_with("sms", "twilio-sms", keys)
        .start()
        .await;
    let sms = world.emulator("sms");
    sms.fault(reset(1, "Messages.json")).await;
    sms.fault(
        json!({"fault": "error", "status": 500, "count": 0, "path_contains": "Messages.json"}),
    )
    .await;
    let id = world.text_later("sms", PHONE, "it did arrive").await;
    world.message_when(&id, "delivered").await;
    world.quiet().await;
    assert!(world.dead().await.is_empty());
    assert_eq!(sms.texts().await, ["it did arrive"]);
    let told = world.backend().statuses(&id);
    assert_eq!(
        told.last().map(String::as_str),
        Some("delivered"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_doubt_in_the_middle_of_a_message_is_about_that_part_alone() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(json!({
        "fault": "reset", "count": 1, "after": 1, "path_contains": "sendMessage",
    }))
    .await;
    let [a, b, c] = ["a", "b", "c"].map(|letter| letter.repeat(4096));
    let id = world
        .text_later("bot", CUSTOMER, &[a.as_str(), &b, &c].concat())
        .await;
    world.message_when(&id, "sent").await;
    let texts = bot.texts().await;
    assert!(texts == [a, b.clone(), b, c], "{} texts", texts.len());
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_a_doubt() {
    let world = world()
        .channel_with("bot", "telegram", json!({"on_unsure": "hold"}))
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(json!({
        "fault": "error", "status": 200, "body": "<html>welcome</html>", "path_contains": "/send",
    }))
    .await;
    let id = world.text_later("bot", CUSTOMER, "did it?").await;
    world.message_when(&id, "failed").await;
    assert_eq!(word(&world.dead().await[0], "class"), "unsure");
}
