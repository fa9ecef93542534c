//! What else happens in a conversation: changes, reactions, windows, stored messages, its end.

use super::{CUSTOMER, PHONE, world};
use serde_json::{Value, json};

#[tokio::test]
async fn edits_reactions_and_blocks_are_told() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("frist").await;
    let sent = world
        .text("bot", CUSTOMER, "hello", json!({}))
        .await
        .expect(200);
    let theirs = world.backend().wait("message-sent", 2).await[0].word("message_id");

    bot.act(json!({"do": "edit", "text": "first"})).await;
    let updated = world.backend().wait("message-updated", 1).await[0].clone();
    assert_eq!(
        (updated.word("message_id"), updated.word("message")),
        (theirs, "first".into())
    );

    bot.act(json!({"do": "react", "emoji": "👍"})).await;
    bot.act(json!({"do": "react", "emoji": ""})).await;
    let reactions = world.backend().wait("message-reaction", 2).await;
    let told: Vec<(String, String)> = reactions
        .iter()
        .map(|r| (r.word("message_id"), r.word("action")))
        .collect();
    let ours = sent.word("message_id");
    assert_eq!(
        told,
        [
            (ours.clone(), "added".to_owned()),
            (ours, "removed".to_owned())
        ]
    );
    assert_eq!(reactions[0].word("reaction"), "👍");

    bot.act(json!({"do": "block"})).await;
    bot.act(json!({"do": "unblock"})).await;
    let changes = world.backend().wait("user-updated", 2).await;
    assert_eq!(changes[0].word("change"), "unsubscribed");
    assert_eq!(changes[1].word("change"), "subscribed");
}

#[tokio::test]
async fn an_answer_quotes_the_message_that_it_answers() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("which one?").await;
    let question = world.backend().wait("message-sent", 1).await[0].word("message_id");
    let more = json!({"reply_to": question});
    world
        .text("bot", CUSTOMER, "that one", more)
        .await
        .expect(200);
    let sends = bot.sends().await;
    let asked = bot.phone().await[0]["id"].as_str().unwrap().to_owned();
    let number = asked.rsplit(':').next().unwrap();
    assert!(
        sends[0]["body"]["reply_parameters"]
            .to_string()
            .contains(number),
        "{}",
        sends[0]
    );
    let unknown = world
        .text("bot", CUSTOMER, "what?", json!({"reply_to": 999_999}))
        .await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
}

#[tokio::test]
async fn whatsapps_window_closes_free_text_and_lets_templates_through() {
    let world = world().channel("wa", "whatsapp").start().await;
    let wa = world.emulator("wa");
    let fields = [("to", PHONE), ("message", "out of the blue")];
    let refused = world
        .form("whatsapp-send-message", &fields)
        .await
        .expect(422);
    assert_eq!(refused.word("response"), "window-closed");
    assert!(
        refused.json["platform"].to_string().contains("131047"),
        "{}",
        refused.text()
    );
    let template = [
        ("to", PHONE),
        ("template_name", "hello_world"),
        ("template_languages", "en_US"),
    ];
    world
        .form("whatsapp-send-template", &template)
        .await
        .expect(200);
    wa.act(json!({"do": "say", "from": PHONE, "text": "who is this?"}))
        .await;
    world
        .form("whatsapp-send-message", &fields)
        .await
        .expect(200);
    assert_eq!(
        wa.texts().await.last().map(String::as_str),
        Some("out of the blue")
    );
}

#[tokio::test]
async fn a_stored_message_is_delivered_once_by_the_platforms_send() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    let conversation = world.backend().wait("message-sent", 1).await[0].word("conversation_id");
    let me = world
        .api("get-bot-id", json!({}))
        .await
        .expect(200)
        .response()
        .clone();
    let arguments =
        json!({"conversation_id": conversation, "user_id": me, "message": "stored first"});
    let stored = world
        .api("send-message", arguments.clone())
        .await
        .expect(200);
    world.quiet().await;
    assert!(bot.sends().await.is_empty(), "storing delivers nothing");
    let id = stored.word("message_id");
    let deliver = json!({"chat_id": CUSTOMER, "message": "stored first", "metadata": id.clone()});
    let sent = world
        .api("telegram-send-message", deliver.clone())
        .await
        .expect(200);
    assert_eq!(sent.word("message_id"), id);
    assert_eq!(bot.texts().await, ["stored first"]);
    // It is not waiting any more.
    world
        .api("telegram-send-message", deliver)
        .await
        .expect(400);
    assert_eq!(bot.texts().await, ["stored first"]);
    // Or both in one call.
    let mut at_once = arguments;
    at_once["deliver"] = json!(true);
    at_once["message"] = json!("in one go");
    world.api("send-message", at_once).await.expect(200);
    assert_eq!(bot.texts().await, ["stored first", "in one go"]);
    world.quiet().await;
    let told = world.backend().named("message-sent");
    assert_eq!(
        told.len(),
        3,
        "{:?}",
        told.iter().map(|e| e.word("message")).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn an_archived_conversation_opens_again_and_a_trashed_one_is_left_behind() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("one").await;
    let first = world.backend().wait("message-sent", 1).await[0].word("conversation_id");
    let set = async |code: u8| {
        let arguments = json!({"conversation_id": first.clone(), "status_code": code});
        world
            .api("update-conversation-status", arguments)
            .await
            .expect(200);
    };
    set(3).await;
    bot.say("two").await;
    let told = world.backend().wait("message-sent", 2).await;
    assert_eq!(told[1].word("conversation_id"), first);
    assert_ne!(told[1].word("conversation_status_code"), "3");
    set(4).await;
    bot.say("three").await;
    let told = world.backend().wait("message-sent", 3).await;
    assert_ne!(told[2].word("conversation_id"), first);
    world.backend().wait("new-conversation-created", 2).await;
}

#[tokio::test]
async fn a_receiver_gets_the_events_that_it_asked_for_alone() {
    let world = world()
        .channel("bot", "telegram")
        .hook_events(&["message-status-updated"])
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    let sent = world
        .text("bot", CUSTOMER, "hello", json!({}))
        .await
        .expect(200);
    world
        .backend()
        .wait_status(&sent.word("message_id"), "sent")
        .await;
    world.quiet().await;
    let names: Vec<String> = world
        .backend()
        .events()
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert_eq!(names, ["message-status-updated"]);
}

#[tokio::test]
async fn a_caller_is_not_kept_waiting_for_what_cannot_come_in_time() {
    let world = world()
        .channel("bot", "telegram")
        .set("retry.schedule_seconds", json!([600]))
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(json!({"fault": "error", "status": 503, "path_contains": "/send"}))
        .await;
    let begun = std::time::Instant::now();
    let answer = world
        .text("bot", CUSTOMER, "later then", json!({"wait": 50}))
        .await
        .expect(202);
    assert!(begun.elapsed().as_secs() < 25, "it waited");
    assert_eq!(answer.word("status"), "queued");
    let message = world.message(&answer.word("message_id")).await;
    let attempts: &Vec<Value> = message["attempts"].as_array().unwrap();
    assert_eq!(attempts[0]["platform"]["code"], "503", "{message}");
}

#[tokio::test]
async fn what_the_contact_wrote_is_never_delivered() {
    let world = world()
        .channel("bot", "telegram")
        .set("api.send_message_delivers", json!(true));
    let world = world.start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    let told = world.backend().wait("message-sent", 1).await[0].clone();
    let arguments = json!({
        "conversation_id": told.word("conversation_id"), "user_id": told.word("user_id"),
        "message": "as if by the contact", "deliver": true,
    });
    world.api("send-message", arguments).await.expect(200);
    world.quiet().await;
    assert!(bot.sends().await.is_empty());
}

#[tokio::test]
async fn a_deleted_users_waiting_messages_are_not_sent() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    let user = world.backend().wait("message-sent", 1).await[0].word("user_id");
    world
        .post("/admin/lanes/bot/pause", json!({}))
        .await
        .expect(200);
    world.text_later("bot", CUSTOMER, "too late").await;
    world
        .api("delete-user", json!({"user_id": user}))
        .await
        .expect(200);
    world
        .post("/admin/lanes/bot/resume", json!({}))
        .await
        .expect(200);
    world.quiet().await;
    assert!(bot.sends().await.is_empty());
    let gone = world.api("get-user", json!({"user_id": user})).await;
    assert_eq!(gone.response(), &json!(false), "{}", gone.text());
}
