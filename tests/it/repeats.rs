//! What is repeated happens once: calls with a key, webhooks.

use super::{PHONE, world};
use serde_json::{Value, json};
use std::sync::Arc;
use switchboard_testkit::{Answer, TOKEN, World, until};
use tokio::sync::Semaphore;

/// A send with a key in the header, as a client would repeat it.
async fn keyed(world: &World, key: &str, text: &str, more: Value) -> Answer {
    let mut body = more;
    body["function"] = json!("messaging-platforms-send-message");
    body["channel"] = json!("sms");
    body["to"] = json!(PHONE);
    body["message"] = json!(text);
    let request = world
        .client()
        .post(format!("{}/api", world.root()))
        .bearer_auth(TOKEN);
    world
        .send(request.header("idempotency-key", key).json(&body))
        .await
}

#[tokio::test]
async fn one_key_fifty_times_at_once_is_one_message_and_fifty_equal_answers() {
    let world = world()
        .channel("sms", "twilio-sms")
        .emulators_apart()
        .start()
        .await;
    let sms = world.emulator("sms");
    // Slow, so that all of them really are at it at once.
    sms.fault(json!({"fault": "delay", "ms": 500, "count": 1, "path_contains": "Messages"}))
        .await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let body = json!({
            "function": "messaging-platforms-send-message", "channel": "sms", "to": PHONE,
            "message": "only once",
        });
        let request = world
            .client()
            .post(format!("{}/api", world.root()))
            .bearer_auth(TOKEN);
        let request = request.header("idempotency-key", "key-1").json(&body);
        running.spawn(async move {
            let answer = request.send().await.unwrap();
            (
                answer.status().as_u16(),
                answer.json::<Value>().await.unwrap(),
            )
        });
    }
    let answers = running.join_all().await;
    assert_eq!(answers.len(), 50);
    for answer in &answers {
        // Statuses of the platform come meanwhile, so `status` may already be further.
        let mut answer = answer.clone();
        let status = answer.1["status"].take();
        assert!(
            ["sent", "delivered"].contains(&status.as_str().unwrap()),
            "{status}"
        );
        let mut first = answers[0].clone();
        first.1["status"].take();
        assert_eq!(answer, first);
        assert_eq!(answer.0, 200);
    }
    world.quiet().await;
    assert_eq!(sms.sends().await.len(), 1);
    assert_eq!(sms.texts().await, ["only once"]);
    let first = &answers[0].1;

    // `wait` is no part of what is compared; everything else is.
    let again = keyed(&world, "key-1", "only once", json!({"wait": 1}))
        .await
        .expect(200);
    assert_eq!(again.json["message_id"], first["message_id"]);
    let other = keyed(&world, "key-1", "something else", json!({}))
        .await
        .expect(409);
    assert_eq!(other.word("response"), "idempotency-conflict");

    world.kill();
    world.restart().await;
    let again = keyed(&world, "key-1", "only once", json!({}))
        .await
        .expect(200);
    assert_eq!(again.json["message_id"], first["message_id"]);
    assert_eq!(again.response(), &first["response"]);
    keyed(&world, "key-1", "something else", json!({}))
        .await
        .expect(409);
    world.quiet().await;
    assert_eq!(sms.sends().await.len(), 1);
    let told = world.backend().named("message-sent");
    assert_eq!(told.len(), 1);
}

#[tokio::test]
async fn a_refused_call_leaves_its_key_free() {
    let world = world().channel("sms", "twilio-sms").start().await;
    keyed(&world, "key-2", "", json!({})).await.expect(400);
    let unknown = keyed(&world, "key-2", "now with text", json!({"reply_to": 12345})).await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    keyed(&world, "key-2", "now with text", json!({}))
        .await
        .expect(200);
    assert_eq!(world.emulator("sms").texts().await, ["now with text"]);
}

#[tokio::test]
async fn a_caller_whose_gateway_died_repeats_with_its_key_and_sends_once() {
    let world = world()
        .channel("sms", "twilio-sms")
        .emulators_apart()
        .start()
        .await;
    let sms = world.emulator("sms");
    sms.fault(json!({"fault": "hang", "seconds": 60, "path_contains": "Messages.json"}))
        .await;
    let client = world.client().clone();
    let request = client
        .post(format!("{}/api", world.root()))
        .bearer_auth(TOKEN)
        .json(&json!({
            "function": "send-sms", "to": PHONE, "message": "are you there", "template": false,
            "idempotency_key": "key-3",
        }));
    let call = tokio::spawn(request.send());
    until("the send to hang", || async {
        sms.sends()
            .await
            .iter()
            .any(|r| r["fault"] == "hang")
            .then_some(())
    })
    .await;
    world.kill();
    assert!(
        call.await.unwrap().is_err(),
        "the caller saw the connection break"
    );
    world.restart().await;
    let arguments = json!({
        "to": PHONE, "message": "are you there", "template": false, "idempotency_key": "key-3",
    });
    let again = world.api("send-sms", arguments).await.expect(200);
    world
        .message_when(&again.word("message_id"), "delivered")
        .await;
    world.quiet().await;
    assert_eq!(sms.texts().await, ["are you there"]);
    assert_eq!(world.backend().named("message-sent").len(), 1);
}

/// A message as Telegram posts it.
fn update(id: i64) -> Value {
    let person = json!({"id": 777, "is_bot": false, "first_name": "Robin"});
    json!({"update_id": id, "message": {
        "message_id": 12, "from": person, "date": 1_760_000_000,
        "chat": {"id": 777, "type": "private", "first_name": "Robin"}, "text": "knock knock",
    }})
}

#[tokio::test]
async fn a_webhook_delivered_a_thousand_times_is_one_message_and_one_event_each() {
    const COPIES: usize = 1000;
    let secret = "the-secret-of-this-test";
    let world = world()
        .channel_with("bot", "telegram", json!({"webhook_secret": secret}))
        .start()
        .await;
    let body = update(991_001).to_string();
    let url = format!("{}/webhooks/bot", world.root());
    let at_once = Arc::new(Semaphore::new(64));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..COPIES {
        let request = world
            .client()
            .post(&url)
            .header("x-telegram-bot-api-secret-token", secret)
            .header("content-type", "application/json")
            .body(body.clone());
        let at_once = Arc::clone(&at_once);
        running.spawn(async move {
            let _permit = at_once.acquire_owned().await.unwrap();
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        });
    }
    let answers = running.join_all().await;
    assert_eq!(answers.len(), COPIES);
    assert!(
        answers.iter().all(|a| *a == answers[0] && a.0 == 200),
        "{:?}",
        answers[0]
    );
    world.backend().wait("new-messages", 1).await;
    world.quiet().await;
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
    let found = world.backend().named("message-sent")[0].word("conversation_id");
    let listed = world
        .api("get-conversation", json!({"conversation_id": found}))
        .await
        .expect(200);
    let messages = listed.response()["messages"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let counted = |result: &str| {
        format!(
            "switchboard_webhooks_total{{channel=\"bot\",kind=\"telegram\",result=\"{result}\"}}"
        )
    };
    assert_eq!(world.metric(&counted("accepted")).await, 1.0);
    assert_eq!(world.metric(&counted("duplicate")).await, 999.0);
}

#[tokio::test]
async fn a_redelivered_webhook_after_a_restart_is_still_known() {
    let secret = "the-secret-of-this-test";
    let world = world()
        .channel_with("bot", "telegram", json!({"webhook_secret": secret}))
        .start()
        .await;
    let post = async || {
        let request = world
            .client()
            .post(format!("{}/webhooks/bot", world.root()))
            .header("x-telegram-bot-api-secret-token", secret)
            .json(&update(991_002));
        world.send(request).await.expect(200)
    };
    post().await;
    world.backend().wait("new-messages", 1).await;
    world.kill();
    world.restart().await;
    post().await;
    world.quiet().await;
    assert_eq!(world.backend().events().len(), 3);
}

#[tokio::test]
async fn concurrent_first_messages_of_one_person_are_one_conversation() {
    let world = world()
        .channel_with("bot", "telegram", json!({"webhook_secret": "a-secret"}))
        .start()
        .await;
    let mut running = tokio::task::JoinSet::new();
    for n in 0..40_i64 {
        let mut body = update(992_000 + n);
        body["message"]["message_id"] = json!(100 + n);
        body["message"]["chat"]["id"] = json!(5_000 + n % 2);
        body["message"]["from"]["id"] = json!(5_000 + n % 2);
        let request = world
            .client()
            .post(format!("{}/webhooks/bot", world.root()))
            .header("x-telegram-bot-api-secret-token", "a-secret")
            .json(&body);
        running.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let statuses = running.join_all().await;
    assert!(statuses.iter().all(|s| *s == 200), "{statuses:?}");
    world.backend().wait("new-messages", 40).await;
    world.quiet().await;
    assert_eq!(world.backend().named("new-conversation-created").len(), 2);
    assert_eq!(world.backend().named("message-sent").len(), 40);
}

#[tokio::test]
async fn a_failed_call_repeats_its_failure_and_tries_nothing() {
    let world = world().channel("sms", "twilio-sms").start().await;
    // Twilio's number of somebody who has said STOP.
    let arguments = json!({
        "to": "+15005550004", "message": "hello", "template": false, "idempotency_key": "key-4",
    });
    let first = world.api("send-sms", arguments.clone()).await.expect(422);
    let again = world.api("send-sms", arguments).await.expect(422);
    assert_eq!(first.json, again.json);
    assert_eq!(world.emulator("sms").sends().await.len(), 1);
}

#[tokio::test]
async fn calls_that_do_not_wait_are_one_message_too() {
    let world = world().channel("sms", "twilio-sms").start().await;
    let calls = (0..20).map(|_| keyed(&world, "key-5", "only once", json!({"wait": 0})));
    let answers = futures_util::future::join_all(calls).await;
    let ids: Vec<String> = answers.iter().map(|a| a.word("message_id")).collect();
    assert!(
        answers.iter().all(|a| matches!(a.status, 200 | 202)),
        "{answers:?}"
    );
    assert!(
        ids.iter().all(|id| *id == ids[0] && !id.is_empty()),
        "{ids:?}"
    );
    world.message_when(&ids[0], "delivered").await;
    assert_eq!(world.emulator("sms").texts().await, ["only once"]);
}
