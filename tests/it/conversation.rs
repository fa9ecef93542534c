//! Sending and receiving.

use crate::world;
use serde_json::json;

#[tokio::test]
async fn telegram_texts_go_both_ways_and_are_told_in_the_contracts_order() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hello").await;
    world.backend().wait("new-messages", 1).await;
    let names: Vec<String> = world
        .backend()
        .events()
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert_eq!(
        names,
        ["new-conversation-created", "message-sent", "new-messages"]
    );
    let conversation = world.backend().named("message-sent")[0].word("conversation_id");
    let sent = world
        .api(
            "messaging-platforms-send-message",
            json!({"conversation_id": conversation, "message": "good day"}),
        )
        .await
        .expect(200);
    assert_eq!(bot.texts().await, ["good day"]);
    world
        .backend()
        .wait_status(&sent.word("message_id"), "sent")
        .await;
    world.quiet().await;
}
