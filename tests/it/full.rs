//! A full disk: nothing is acknowledged that is not kept, and nothing breaks.

use crate::{CUSTOMER, word, world};
use serde_json::json;
use switchboard_testkit::until;

#[tokio::test]
async fn on_a_full_disk_nothing_is_acknowledged_and_what_was_is_kept() {
    let secret = "the-secret-of-this-test";
    let world = world()
        .channel_with("bot", "telegram", json!({"webhook_secret": secret}))
        .emulators_apart()
        .file_limit_kib(1200)
        .start()
        .await;
    // Somebody must act, and the log says so.
    world.announce_error("the store does not answer");
    world.announce_error("the store unavailable");
    world.announce_error("the store cannot be written");
    let post = async |n: i64| {
        let filling = "x".repeat(3000);
        let body = json!({"update_id": 5_000 + n, "message": {
            "message_id": 100 + n, "date": 1_760_000_000, "text": format!("kept {n} {filling}"),
            "chat": {"id": 777, "type": "private"},
            "from": {"id": 777, "is_bot": false, "first_name": "Robin"},
        }});
        let request = world
            .client()
            .post(format!("{}/webhooks/bot", world.root()))
            .header("x-telegram-bot-api-secret-token", secret)
            .json(&body);
        world.send(request).await
    };
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for n in 0..1000 {
        let answer = post(n).await;
        match answer.status {
            200 => acknowledged.push(n),
            503 => {
                assert!(answer.header("retry-after").is_some(), "{}", answer.text());
                refused += 1;
            }
            other => panic!("{other}: {}", answer.text()),
        }
        if refused >= 5 {
            break;
        }
    }
    assert!(
        refused >= 5 && !acknowledged.is_empty(),
        "{} kept, {refused} refused",
        acknowledged.len()
    );
    // It lives and says what it can.
    let sent = world
        .text("bot", CUSTOMER, &"y".repeat(4000), json!({"wait": 0}))
        .await;
    assert_eq!(sent.status, 503, "{}", sent.text());
    assert_eq!(sent.word("response"), "unavailable");
    world.get("/healthz").await.expect(200);

    // Room again: everything that was acknowledged is there, and it works.
    world.kill();
    world.restart().await;
    let last = *acknowledged.last().unwrap();
    world
        .backend()
        .wait("new-messages", acknowledged.len())
        .await;
    until("the last acknowledged message to be told", || async {
        let told = world.backend().named("message-sent");
        told.iter()
            .any(|e| e.word("message").starts_with(&format!("kept {last} ")))
            .then_some(())
    })
    .await;
    world.quiet().await;
    let told = world.backend().named("message-sent");
    let told: Vec<i64> = told
        .iter()
        .map(|e| {
            e.word("message")
                .split(' ')
                .nth(1)
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(
        told, acknowledged,
        "in order, each once, and nothing that was refused"
    );
    // What was refused is taken when the platform delivers it again.
    let again = acknowledged.len() as i64;
    post(again).await.expect(200);
    let bot = world.emulator("bot");
    bot.say_as("778", "hi").await;
    world
        .text("bot", "778", "room again", json!({}))
        .await
        .expect(200);
    assert_eq!(bot.texts().await, ["room again"]);
    assert_eq!(
        word(&world.get("/readyz").await.expect(200).json, "store"),
        "ok"
    );
}
