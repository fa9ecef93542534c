//! Processes come and go: killed, drained, added, and in other roles.

use super::ledger::Ledger;
use super::rig::{Rig, ledger_world};
use crate::{CUSTOMER, world};
use serde_json::json;
use switchboard_testkit::{TOKEN, until};

#[tokio::test]
async fn a_worker_killed_mid_send_is_followed_by_another() {
    let rig = Rig::start(ledger_world()).await;
    let world = &rig.world;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    // Five parts, of which the third hangs.
    let parts: Vec<String> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|l| l.repeat(4096))
        .collect();
    bot.fault(json!({"fault": "hang", "seconds": 60, "after": 2, "path_contains": "sendMessage"}))
        .await;
    let id = world.text_later("bot", CUSTOMER, &parts.concat()).await;
    let after = world.text_later("bot", CUSTOMER, "the end").await;
    until("the third part to hang", || async {
        let sends = bot.sends().await;
        sends.iter().any(|r| r["fault"] == "hang").then_some(())
    })
    .await;
    world.join("worker-2", &["--role", "worker"]).await;
    world.kill_of("worker");
    bot.mend().await;
    world.message_when(&id, "sent").await;
    world.message_when(&after, "sent").await;
    world.quiet().await;
    let mut expected = parts;
    expected.push("the end".to_owned());
    assert!(
        bot.texts().await == expected,
        "{} texts",
        bot.texts().await.len()
    );
    assert_eq!(world.backend().statuses(&id), ["sent"]);
}

#[tokio::test]
async fn a_worker_that_stalls_cannot_send_beside_its_successor() {
    let rig = Rig::start(ledger_world()).await;
    let world = &rig.world;
    world.announce_error("lease");
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world.quiet().await;
    bot.fault(json!({"fault": "delay", "ms": 800, "path_contains": "sendMessage"}))
        .await;
    let texts: Vec<String> = (0..6).map(|n| format!("text {n}")).collect();
    let mut ids = Vec::new();
    for text in &texts {
        ids.push(world.text_later("bot", CUSTOMER, text).await);
    }
    bot.sends_when(2).await;
    // Stopped in its tracks for longer than its lease; the other one takes over, and then it wakes.
    world.signal_of("worker", "STOP");
    world.join("worker-2", &["--role", "worker"]).await;
    bot.sends_when(4).await;
    world.signal_of("worker", "CONT");
    for id in &ids {
        world.message_when(id, "sent").await;
    }
    world.quiet().await;
    // The one that was under way when it stalled was in doubt, and may be there twice; no other.
    let found = bot.texts().await;
    let mut once = found.clone();
    once.dedup();
    assert_eq!(once, texts, "{found:?}");
    assert!(found.len() <= texts.len() + 1, "{found:?}");
}

#[tokio::test]
async fn a_caller_whose_api_process_died_repeats_at_another_and_sends_once() {
    let rig = Rig::start(ledger_world()).await;
    let world = &rig.world;
    world.join("api-2", &["--role", "api"]).await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world.quiet().await;
    bot.fault(json!({"fault": "delay", "ms": 3000, "count": 1, "path_contains": "sendMessage"}))
        .await;
    let call = |root: String| {
        let request = world
            .client()
            .post(format!("{root}/api"))
            .bearer_auth(TOKEN)
            .json(&json!({
                "function": "messaging-platforms-send-message", "channel": "bot", "to": CUSTOMER,
                "message": "once", "wait": 20, "idempotency_key": "key-of-this-call",
            }));
        world.try_send(request)
    };
    let first = call(world.root_of("api-2"));
    let (first, ()) = tokio::join!(first, async {
        // Committed, and its outcome awaited.
        bot.sends_when(1).await;
        world.kill_of("api-2");
    });
    assert!(first.is_err(), "the caller saw the connection break");
    let again = call(world.root()).await.unwrap().expect(200);
    // The one that waits is told by the worker, over the queue, and not by its own deadline.
    assert_eq!(again.word("status"), "sent", "{}", again.text());
    world.quiet().await;
    assert_eq!(bot.texts().await, ["once"]);
    let sent = world.backend().named("message-sent");
    assert_eq!(
        sent.iter().filter(|e| e.word("message") == "once").count(),
        1
    );
}

#[tokio::test]
async fn a_worker_for_one_busy_channel_is_added_and_removed_while_traffic_flows() {
    let setup = ledger_world().channel("sms", "twilio-sms");
    let rig = Rig::start(setup).await;
    let world = &rig.world;
    let bot = world.emulator("bot");
    bot.fault(json!({"fault": "delay", "ms": 60, "path_contains": "sendMessage"}))
        .await;
    let ledger = Ledger::default();
    ledger.meet(world, 9000..9008).await;
    let doors = [world.root()];
    let round = async || {
        for _ in 0..4 {
            let all = (0..8).map(async |n| {
                ledger.say(world, &doors, 9000 + n).await;
                ledger.send(world, &doors, 9000 + n).await;
            });
            futures_util::future::join_all(all).await;
        }
    };
    round().await;
    let busy = ["--role", "worker", "--channels", "bot"];
    tokio::join!(round(), world.join("busy", &busy));
    // The first worker goes: the channel's own one keeps the channel alive, and nobody the other.
    world.signal_of("worker", "TERM");
    assert_eq!(world.wait_end_of("worker").code(), Some(0));
    let id = world
        .text_later("sms", crate::PHONE, "waits for a worker")
        .await;
    let direct = world
        .text(
            "bot",
            "9000",
            "out 9000 by the busy one",
            json!({"wait": 20}),
        )
        .await;
    assert_eq!(direct.status, 200, "{}", direct.text());
    round().await;
    assert_eq!(world.message(&id).await["status"], "queued");
    world.join("worker", &["--role", "worker"]).await;
    world.message_when(&id, "delivered").await;
    // And the busy one goes again, in the middle of it.
    tokio::join!(round(), async {
        world.signal_of("busy", "TERM");
        assert_eq!(world.wait_end_of("busy").code(), Some(0));
    });
    bot.mend().await;
    ledger.settle(world).await.expect_kept();
}

#[tokio::test]
async fn the_command_line_works_lanes_of_other_processes() {
    let rig = Rig::start(ledger_world().set("retry.stuck_after", json!(1))).await;
    let world = &rig.world;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world.quiet().await;
    // Paused by an operator at an api process: the worker obeys.
    world
        .post("/admin/lanes/bot/pause", json!({}))
        .await
        .expect(200);
    let id = world.text_later("bot", CUSTOMER, "held").await;
    until("the lane to hold it", || async {
        let lane = world.lane("bot").await;
        (lane["depth"] == 1 && lane["paused"].is_object()).then_some(())
    })
    .await;
    assert!(bot.texts().await.is_empty());
    let stats = world.run(&["queue", "stats"]).await;
    assert_eq!(stats.code, Some(0), "{stats:?}");
    assert!(stats.stdout.contains("bot"), "{stats:?}");
    world
        .post("/admin/lanes/bot/resume", json!({}))
        .await
        .expect(200);
    world.message_when(&id, "sent").await;
    assert_eq!(bot.texts().await, ["held"]);
    // A worker answers for itself and for nothing else.
    let worker = world.root_of("worker");
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/api", 404),
        ("/webhooks/bot", 404),
        ("/admin/lanes", 404),
    ] {
        let answer = world
            .send(world.client().get(format!("{worker}{path}")))
            .await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    let health = world.run(&["health"]).await;
    assert_eq!(health.code, Some(0), "{health:?}");
    let health = world.run(&["health", "--ready", "--url", &worker]).await;
    assert_eq!(health.code, Some(0), "{health:?}");
    assert!(health.stdout.contains("\"store\":\"ok\""), "{health:?}");
}

#[tokio::test]
async fn roles_apart_are_refused_where_nobody_could_do_the_rest() {
    let world = world().channel("bot", "telegram").start().await;
    for role in ["api", "worker", "piping"] {
        let refused = world.run(&["serve", "--role", role]).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("memory:"), "{refused:?}");
        assert!(refused.stderr.contains("leave --role out"), "{refused:?}");
    }
    let health = world.run(&["health"]).await;
    assert_eq!(health.code, Some(0), "{health:?}");
    let nobody = world.run(&["health", "--url", "http://127.0.0.1:9"]).await;
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
}
