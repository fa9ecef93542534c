//! The doors: health, metrics, errors of webhooks and of the Web API; and that none tells a secret.

use crate::{CUSTOMER, PHONE, world};
use serde_json::{Value, json};
use switchboard_testkit::{Answer, TOKEN, World};

/// A webhook as somebody posts it.
async fn post(world: &World, channel: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let url = format!("{}/webhooks/{channel}", world.root());
    let mut request = world.client().post(url).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request).await
}

#[tokio::test]
async fn health_readiness_and_the_names_of_the_metrics() {
    let world = world()
        .channel("bot", "telegram")
        .channel("sms", "twilio-sms")
        .start()
        .await;
    let plain = async |path: &str| {
        let request = world.client().get(format!("{}{path}", world.root()));
        world.send(request).await
    };
    plain("/healthz").await.expect(200);
    let ready = plain("/readyz").await.expect(200);
    assert_eq!(ready.json, json!({"store": "ok", "queue": "ok"}));

    // Something of everything, so that every counter has been moved.
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(json!({"fault": "error", "status": 503, "path_contains": "/send"}))
        .await;
    world
        .text("bot", CUSTOMER, "hello", json!({}))
        .await
        .expect(200);
    world
        .text("sms", PHONE, "hello", json!({}))
        .await
        .expect(200);
    world.quiet().await;
    let metrics = plain("/metrics").await.expect(200);
    let kind = metrics
        .header("content-type")
        .unwrap_or_default()
        .to_owned();
    assert!(kind.starts_with("text/plain"), "{kind}");
    let text = metrics.text();
    for name in [
        "switchboard_webhooks_total{channel=\"bot\",kind=\"telegram\",result=\"accepted\"}",
        "switchboard_inbound_events_total{channel=\"bot\",event=\"message\"}",
        "switchboard_sends_total{channel=\"bot\",kind=\"telegram\",outcome=\"sent\"}",
        "switchboard_send_seconds_bucket{channel=\"bot\"",
        "switchboard_send_seconds_count{channel=\"bot\"}",
        "switchboard_lane_depth{lane=\"bot\"}",
        "switchboard_lane_depth{lane=\"media:bot\"}",
        "switchboard_lane_depth{lane=\"events:backend\"}",
        "switchboard_lane_oldest_seconds{lane=\"bot\"}",
        "switchboard_lane_paused{lane=\"bot\"}",
        "switchboard_dead_letters{lane=\"bot\"}",
        "switchboard_retries_total{lane=\"bot\",class=\"retry\"}",
        "switchboard_event_deliveries_total{webhook=\"backend\",outcome=\"delivered\"}",
        "switchboard_store_seconds_count{operation=",
    ] {
        assert!(text.contains(name), "{name} is missing in:\n{text}");
    }
    assert!(!world.tells_a_secret(&text));
}

#[tokio::test]
async fn webhooks_are_refused_with_the_contracts_statuses() {
    let secret = "the-secret-of-this-test";
    let world = world()
        .channel_with("bot", "telegram", json!({"webhook_secret": secret}))
        .channel("sms", "twilio-sms")
        .set("server.body_limit_bytes", json!(65_536))
        .start()
        .await;
    let good = ("x-telegram-bot-api-secret-token", secret);
    let json_type = ("content-type", "application/json");
    let update = json!({"update_id": 1, "message": {
        "message_id": 1, "date": 1, "chat": {"id": 9, "type": "private"},
        "from": {"id": 9, "is_bot": false, "first_name": "A"}, "text": "never stored",
    }})
    .to_string();

    post(&world, "nobody", &[good, json_type], &update)
        .await
        .expect(404);
    post(&world, "bot", &[json_type], &update).await.expect(401);
    let wrong = (
        "x-telegram-bot-api-secret-token",
        "the-secret-of-another-tes",
    );
    post(&world, "bot", &[wrong, json_type], &update)
        .await
        .expect(401);
    post(&world, "sms", &[], "Body=hi&From=%2B12025550142")
        .await
        .expect(401);
    let forged = ("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let form = ("content-type", "application/x-www-form-urlencoded");
    post(
        &world,
        "sms",
        &[forged, form],
        "Body=hi&From=%2B12025550142",
    )
    .await
    .expect(401);
    let url = format!("{}/webhooks/bot?hub.mode=subscribe", world.root());
    world.send(world.client().get(url)).await.expect(403);
    post(&world, "bot", &[good, json_type], &"x".repeat(70_000))
        .await
        .expect(413);
    post(&world, "bot", &[good, json_type], "this is no JSON")
        .await
        .expect(400);
    let put = world.client().put(format!("{}/webhooks/bot", world.root()));
    world.send(put).await.expect(405);
    world.quiet().await;
    assert!(world.backend().events().is_empty(), "something was stored");

    // Of unknown kind or unexpected shape: acknowledged, kept and counted.
    for odd in [
        json!({"update_id": 2, "something_new": {"of": "the future"}}),
        json!({"update_id": 3, "message": {"text": 5}}),
        json!({"update_id": 4}),
    ] {
        post(&world, "bot", &[good, json_type], &odd.to_string())
            .await
            .expect(200);
    }
    world.quiet().await;
    assert!(world.backend().events().is_empty());
    let unknown = "switchboard_inbound_events_total{channel=\"bot\",event=\"unknown\"}";
    assert!(world.metric(unknown).await >= 2.0);
    post(&world, "bot", &[good, json_type], &update)
        .await
        .expect(200);
    world.backend().wait("new-messages", 1).await;
}

#[tokio::test]
async fn whatsapps_handshake_answers_to_its_token_alone() {
    let kind = switchboard_channels::kind("whatsapp").unwrap();
    let token = crate::word(&(kind.sandbox_settings)(), "verify_token");
    let world = world().channel("wa", "whatsapp").start().await;
    let ask = async |token: &str| {
        let request = world
            .client()
            .get(format!("{}/webhooks/wa", world.root()))
            .query(&[
                ("hub.mode", "subscribe"),
                ("hub.verify_token", token),
                ("hub.challenge", "1158201444"),
            ]);
        world.send(request).await
    };
    assert_eq!(ask(&token).await.expect(200).text(), "1158201444");
    let refused = ask("not-the-token").await.expect(403);
    assert!(!refused.text().contains("1158201444"));
}

#[tokio::test]
async fn the_web_api_is_closed_without_a_token_and_wraps_every_error() {
    let world = world().channel("bot", "telegram").start().await;
    let url = |path: &str| format!("{}{path}", world.root());
    let call = async |token: Option<&str>, body: Value| {
        let request = world.client().post(url("/api")).json(&body);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        world.send(request).await
    };
    let get_bot = json!({"function": "get-bot-id"});
    let code = |answer: &Answer| {
        assert_eq!(answer.json["success"], json!(false), "{}", answer.text());
        answer.word("response")
    };
    assert_eq!(
        code(&call(None, get_bot.clone()).await.expect(401)),
        "missing-token"
    );
    assert_eq!(
        code(&call(Some("a-token-of-somebody"), get_bot).await.expect(401)),
        "invalid-token"
    );
    let unknown = json!({"function": "telegram-send-mesage"});
    assert_eq!(
        code(&call(Some(TOKEN), unknown).await.expect(404)),
        "function-not-found"
    );
    let incomplete = json!({"function": "telegram-send-message"});
    assert_eq!(
        code(&call(Some(TOKEN), incomplete).await.expect(400)),
        "missing-argument"
    );
    assert_eq!(
        code(
            &world
                .send(world.client().get(url("/api")))
                .await
                .expect(405)
        ),
        "method-not-allowed"
    );
    assert_eq!(
        code(
            &world
                .send(world.client().get(url("/nothing")))
                .await
                .expect(404)
        ),
        "not-found"
    );
    for path in ["/admin/lanes", "/admin/dead", "/admin/messages/1"] {
        assert_eq!(
            code(&world.send(world.client().get(url(path))).await.expect(401)),
            "missing-token"
        );
    }
    for path in [
        "/admin/lanes/bot/pause",
        "/admin/lanes/bot/resume",
        "/admin/retry",
        "/admin/drop",
    ] {
        let request = world.client().post(url(path)).json(&json!({"ids": ["1"]}));
        assert_eq!(
            code(&world.send(request).await.expect(401)),
            "missing-token",
            "{path}"
        );
    }
    world
        .send(world.client().get(url("/openapi.json")))
        .await
        .expect(200);
    world
        .send(world.client().get(url("/docs")))
        .await
        .expect(200);
}

#[tokio::test]
async fn failures_are_answered_with_the_platforms_own_words() {
    let world = world()
        .channel("bot", "telegram")
        .channel("sms", "twilio-sms")
        .start()
        .await;
    // Telegram does not know this person.
    let stranger = world
        .text("bot", "424242", "hello", json!({}))
        .await
        .expect(422);
    assert_eq!(stranger.word("response"), "recipient-unreachable");
    assert_eq!(stranger.word("status"), "failed");
    let words = stranger.json["platform"].to_string();
    assert!(words.contains("chat not found"), "{words}");
    assert!(!stranger.word("message_id").is_empty());
    // Twilio's number for an opt-out.
    let stopped = world
        .text("sms", "+15005550004", "hello", json!({}))
        .await
        .expect(422);
    assert!(
        stopped.json["platform"].to_string().contains("21610"),
        "{}",
        stopped.text()
    );
    // Somebody who blocks us.
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.act(json!({"do": "block"})).await;
    let blocked = world
        .text("bot", CUSTOMER, "hello", json!({}))
        .await
        .expect(422);
    assert_eq!(blocked.word("response"), "recipient-unreachable");
    world.backend().wait("user-updated", 1).await;
    // Failed for good is no dead letter of ours to retry by itself, but it is told.
    let id = blocked.word("message_id");
    assert_eq!(world.backend().wait_status(&id, "failed").await, ["failed"]);
}

#[tokio::test]
async fn no_answer_and_no_log_line_tells_a_secret() {
    // Nobody listens at the platform's address: errors of connections love to show URLs, and
    // Telegram's hold the token.
    let nowhere = json!({"api_base": "http://127.0.0.1:9"});
    let world = world()
        .channel_with("bot", "telegram", nowhere.clone())
        .channel_with("sms", "twilio-sms", nowhere)
        .channel("sound", "telegram")
        .start()
        .await;
    let bot = world
        .text("bot", CUSTOMER, "tell nobody", json!({"wait": 1}))
        .await;
    let sms = world
        .text("sms", PHONE, "tell nobody", json!({"wait": 1}))
        .await;
    assert_eq!((bot.status, sms.status), (202, 202));
    let sound = world.emulator("sound");
    sound.say("hi").await;
    let file = json!({"name": "a.pdf", "mime": "application/pdf", "content": "%PDF"});
    sound.act(json!({"do": "say", "attachment": file})).await;
    sound
        .fault(json!({"fault": "reset", "path_contains": "/send"}))
        .await;
    world
        .text("sound", CUSTOMER, "tell nobody", json!({"wait": 1}))
        .await;
    let mut shown = Vec::new();
    for path in [
        "/metrics",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/admin/lanes",
        "/admin/dead",
    ] {
        shown.push(world.get(path).await.text());
    }
    for answer in [&bot, &sms] {
        shown.push(answer.text());
        let id = answer.word("message_id");
        shown.push(world.message(&id).await.to_string());
        shown.push(
            world
                .api("get-message", json!({"message_id": id}))
                .await
                .text(),
        );
    }
    for command in [&["channels"][..], &["check"], &["queue", "stats"]] {
        let exit = world.run(command).await;
        shown.push(exit.stdout);
        shown.push(exit.stderr);
    }
    for text in &shown {
        assert!(!world.tells_a_secret(text), "{text}");
    }
    // And what people write stands in no log line either.
    let lines = world.log();
    let told: Vec<&String> = lines.iter().filter(|l| l.contains("tell nobody")).collect();
    assert!(told.is_empty(), "{told:?}");
}
