//! Attachments that are hard to get.

use crate::world;
use serde_json::json;
use switchboard_testkit::{Emulator, World, until};

/// The customer sends a file; gives its link out of the event.
async fn sent(world: &World, bot: &Emulator) -> String {
    let file = json!({"name": "a.pdf", "mime": "application/pdf", "content": "%PDF of a test"});
    bot.act(json!({"do": "say", "text": "", "attachment": file}))
        .await;
    let told = world.backend().wait("message-sent", 1).await;
    told[0].data["attachments"][0][1]
        .as_str()
        .expect("a link")
        .to_owned()
}

#[tokio::test]
async fn a_file_that_cannot_be_had_at_first_is_fetched_later() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.fault(json!({"fault": "error", "status": 502, "count": 2, "path_contains": "getFile"}))
        .await;
    bot.fault(json!({"fault": "reset", "count": 1, "path_contains": "/file/"}))
        .await;
    let link = sent(&world, &bot).await;
    let pending = world.send(world.client().get(&link)).await;
    assert_eq!(pending.status, 503, "{}", pending.text());
    assert!(pending.header("retry-after").is_some());
    let served = until("the file", || async {
        Some(world.send(world.client().get(&link)).await).filter(|a| a.status != 503)
    })
    .await
    .expect(200);
    assert_eq!(served.bytes, b"%PDF of a test");
    assert_eq!(served.header("content-type"), Some("application/pdf"));
    assert!(bot.faults().await.is_empty());
}

#[tokio::test]
async fn a_file_that_is_refused_for_good_is_gone_and_its_message_is_not() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    let words = json!({
        "ok": false, "error_code": 400, "description": "Bad Request: file is too big",
    });
    bot.fault(json!({
        "fault": "error", "status": 400, "count": 0, "path_contains": "getFile",
        "body": words.to_string(),
    }))
    .await;
    let link = sent(&world, &bot).await;
    let answer = until("the file to be given up", || async {
        Some(world.send(world.client().get(&link)).await).filter(|a| a.status != 503)
    })
    .await;
    assert_eq!(answer.status, 410, "{}", answer.text());
    world.quiet().await;
    assert_eq!(world.backend().named("new-messages").len(), 1);
}

#[tokio::test]
async fn a_fetch_that_a_kill_cut_off_is_made_after_the_restart() {
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.fault(json!({"fault": "hang", "seconds": 60, "path_contains": "getFile"}))
        .await;
    let link = sent(&world, &bot).await;
    until("the fetch to hang", || async {
        bot.requests()
            .await
            .iter()
            .any(|r| r["fault"] == "hang")
            .then_some(())
    })
    .await;
    world.kill();
    world.restart().await;
    let served = until("the file", || async {
        Some(world.send(world.client().get(&link)).await).filter(|a| a.status != 503)
    })
    .await
    .expect(200);
    assert_eq!(served.bytes, b"%PDF of a test");
}

#[tokio::test]
async fn slow_files_hold_up_no_messages() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.fault(json!({"fault": "hang", "seconds": 60, "count": 0, "path_contains": "getFile"}))
        .await;
    for _ in 0..8 {
        let file = json!({"name": "a.pdf", "mime": "application/pdf", "content": "%PDF"});
        bot.act(json!({"do": "say", "text": "", "attachment": file}))
            .await;
    }
    world
        .text("bot", crate::CUSTOMER, "meanwhile", json!({}))
        .await
        .expect(200);
    world.backend().wait("new-messages", 8).await;
    assert_eq!(bot.texts().await, ["meanwhile"]);
}
