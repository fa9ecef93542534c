//! Paused lanes and dead letters, over HTTP and by the command line.

use super::{CUSTOMER, world};
use serde_json::{Value, json};
use std::time::Duration;
use switchboard_testkit::{World, until, until_within};

/// What Telegram says to a token that was revoked.
fn unauthorized() -> Value {
    let body = json!({"ok": false, "error_code": 401, "description": "Unauthorized"});
    json!({"fault": "error", "status": 401, "count": 0, "body": body.to_string()})
}

#[tokio::test]
async fn refused_credentials_pause_the_lane_until_an_operator_resumes_it() {
    let world = world()
        .channel("bot", "telegram")
        .channel("other", "telegram")
        .start()
        .await;
    world.announce_error("the lane is paused");
    let (bot, other) = (world.emulator("bot"), world.emulator("other"));
    bot.say("hi").await;
    other.say("hi").await;
    bot.fault(unauthorized()).await;
    let first = world
        .text("bot", CUSTOMER, "one", json!({"wait": 10}))
        .await
        .expect(202);
    assert_eq!(first.word("status"), "queued");
    let paused = world.backend().wait("channel-paused", 1).await[0].clone();
    assert_eq!(paused.word("channel"), "bot");
    assert_eq!(paused.word("reason"), "credentials");
    let ids = [
        first.word("message_id"),
        world.text_later("bot", CUSTOMER, "two").await,
        world.text_later("bot", CUSTOMER, "three").await,
    ];
    // The other channel is not concerned.
    world
        .text("other", CUSTOMER, "as ever", json!({}))
        .await
        .expect(200);
    let tries = bot.sends().await.len();
    assert_eq!(tries, 1, "a paused lane tries nothing");
    let lane = world.lane("bot").await;
    assert_eq!(lane["paused"]["reason"], "credentials", "{lane}");
    assert_eq!(
        world.metric("switchboard_lane_paused{lane=\"bot\"}").await,
        1.0
    );
    assert!(world.dead().await.is_empty());

    bot.mend().await;
    world
        .post("/admin/lanes/bot/resume", json!({}))
        .await
        .expect(200);
    assert_eq!(bot.texts_when(3).await, ["one", "two", "three"]);
    for id in &ids {
        world.backend().wait_status(id, "sent").await;
    }
    let resumed = world.backend().wait("channel-resumed", 1).await;
    assert_eq!(resumed[0].word("channel"), "bot");
    assert_eq!(
        world.metric("switchboard_lane_paused{lane=\"bot\"}").await,
        0.0
    );
    world.quiet().await;
    assert_eq!(world.backend().named("channel-paused").len(), 1);
    assert_eq!(world.backend().named("channel-resumed").len(), 1);
}

#[tokio::test]
async fn a_pause_survives_a_restart() {
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .start()
        .await;
    world.announce_error("the lane is paused");
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(unauthorized()).await;
    let id = world.text_later("bot", CUSTOMER, "waits").await;
    world.backend().wait("channel-paused", 1).await;
    world.kill();
    world.restart().await;
    assert_eq!(world.lane("bot").await["paused"]["reason"], "credentials");
    assert_eq!(bot.sends().await.len(), 1);
    bot.mend().await;
    world
        .post("/admin/lanes/bot/resume", json!({}))
        .await
        .expect(200);
    world.message_when(&id, "sent").await;
}

#[tokio::test]
async fn an_operators_pause_holds_messages_and_is_told() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world
        .post("/admin/lanes/bot/pause", json!({}))
        .await
        .expect(200);
    let paused = world.backend().wait("channel-paused", 1).await;
    assert_eq!(paused[0].word("reason"), "operator");
    let sent = world
        .text("bot", CUSTOMER, "patience", json!({"wait": 5}))
        .await
        .expect(202);
    assert!(bot.sends().await.is_empty());
    let answer = world
        .post("/admin/lanes/bot/resume", json!({}))
        .await
        .expect(200);
    assert_eq!(answer.response(), &json!(true));
    world.message_when(&sent.word("message_id"), "sent").await;
    let again = world
        .post("/admin/lanes/bot/resume", json!({}))
        .await
        .expect(200);
    assert_eq!(again.response(), &json!(false));
    world
        .post("/admin/lanes/nowhere/resume", json!({}))
        .await
        .expect(404);
}

/// A text of three parts, a letter each: the first arrives, the second is refused for now.
fn three_parts() -> [String; 3] {
    ["x", "y", "z"].map(|letter| letter.repeat(4096))
}

/// A world in which a message of three parts is stuck at its second and has become a dead letter,
/// while its lane's others went through; with the letter's id.
async fn stuck() -> (World, String) {
    let world = world()
        .channel("bot", "telegram")
        .set("retry.stuck_after", json!(3))
        .set("retry.breaker_failures", json!(1000))
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.say_as("102", "hi").await;
    bot.fault(json!({"fault": "error", "status": 503, "count": 0, "body_contains": "yyyyyyyy"}))
        .await;
    let id = world
        .text_later("bot", CUSTOMER, &three_parts().concat())
        .await;
    world.text_later("bot", CUSTOMER, "life goes on").await;
    // Others of its lane succeed, again and again: it is the message, not the lane.
    until("the message to be given up", || async {
        world.text_later("bot", "102", "fine").await;
        (world.message(&id).await["status"] == "failed").then_some(())
    })
    .await;
    until("the rest of its conversation", || async {
        bot.texts_to(CUSTOMER)
            .await
            .contains(&"life goes on".to_owned())
            .then_some(())
    })
    .await;
    world.quiet().await;
    assert_eq!(
        bot.texts_to(CUSTOMER).await,
        [three_parts()[0].clone(), "life goes on".to_owned()]
    );
    (world, id)
}

#[tokio::test]
async fn a_stuck_message_becomes_a_dead_letter_and_its_retry_resumes_at_the_failed_part() {
    let (world, id) = stuck().await;
    let bot = world.emulator("bot");
    world.backend().wait_status(&id, "failed").await;
    let failed = world.backend().about(&id);
    let failed = failed
        .iter()
        .find(|e| e.word("status") == "failed")
        .expect("an event");
    assert_eq!(
        (&failed.data["parts"], &failed.data["parts_sent"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(
        world.metric("switchboard_dead_letters{lane=\"bot\"}").await,
        1.0
    );

    let listed = world.run(&["queue", "dead"]).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let line = listed
        .stdout
        .lines()
        .find(|l| l.contains("stuck"))
        .expect("the letter");
    assert!(line.split_whitespace().any(|w| w == id), "{line}");
    let elsewhere = world.run(&["queue", "dead", "--channel", "nowhere"]).await;
    assert_eq!(elsewhere.code, Some(1), "{elsewhere:?}");

    bot.mend().await;
    let retried = world.run(&["queue", "retry", &id]).await;
    assert_eq!(retried.code, Some(0), "{retried:?}");
    world.message_when(&id, "sent").await;
    let [one, two, three] = three_parts();
    assert_eq!(
        bot.texts_to(CUSTOMER).await,
        [one, "life goes on".to_owned(), two, three]
    );
    let listed = world.run(&["queue", "dead"]).await;
    assert!(!listed.stdout.contains("stuck"), "{listed:?}");
    assert_eq!(
        world.metric("switchboard_dead_letters{lane=\"bot\"}").await,
        0.0
    );
    world.backend().wait_status(&id, "sent").await;
    assert_eq!(world.backend().statuses(&id), ["failed", "sent"]);
}

#[tokio::test]
async fn a_dropped_dead_letter_is_gone_for_good() {
    let (world, id) = stuck().await;
    let bot = world.emulator("bot");
    bot.mend().await;
    let before = bot.sends().await.len();
    let dropped = world.run(&["queue", "drop", &id]).await;
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    assert!(world.dead().await.is_empty());
    let again = world.run(&["queue", "retry", &id]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains(&id), "{again:?}");
    world.quiet().await;
    assert_eq!(bot.sends().await.len(), before);
    assert_eq!(world.message(&id).await["status"], "failed");
}

#[tokio::test]
async fn every_dead_letter_is_retried_in_the_order_of_its_conversation() {
    let world = world()
        .channel_with("bot", "telegram", json!({"on_unsure": "hold"}))
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    // Held one by one: each may have arrived, which the phone knows and we do not.
    bot.fault(json!({"fault": "reset", "count": 3, "path_contains": "sendMessage"}))
        .await;
    for text in ["one", "two", "three"] {
        let id = world.text_later("bot", CUSTOMER, text).await;
        world.message_when(&id, "failed").await;
    }
    assert_eq!(world.dead().await.len(), 3);
    let retried = world.run(&["queue", "retry", "--all"]).await;
    assert_eq!(retried.code, Some(0), "{retried:?}");
    assert_eq!(bot.texts_when(6).await[3..], ["one", "two", "three"]);
    world.quiet().await;
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn an_operator_drops_or_hastens_a_message_that_still_waits() {
    let world = world()
        .channel("bot", "telegram")
        .set("retry.schedule_seconds", json!([600]))
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(json!({"fault": "error", "status": 503, "count": 1, "body_contains": "first"}))
        .await;
    let first = world.text_later("bot", CUSTOMER, "first").await;
    let second = world.text_later("bot", CUSTOMER, "second").await;
    let third = world.text_later("bot", CUSTOMER, "third").await;
    until("the first try to fail", || async {
        (bot.sends().await.len() == 1).then_some(())
    })
    .await;
    let dropped = world.run(&["queue", "drop", &second]).await;
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    // Ten minutes from now, says the schedule; now, says the operator.
    let hastened = world.run(&["queue", "retry", &first]).await;
    assert_eq!(hastened.code, Some(0), "{hastened:?}");
    world.message_when(&first, "sent").await;
    world.message_when(&third, "sent").await;
    assert_eq!(bot.texts().await, ["first", "third"]);
    assert_eq!(world.message(&second).await["status"], "failed");
}

#[tokio::test]
async fn the_command_line_shows_lanes_and_sends() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    let stats = world.run(&["queue", "stats"]).await;
    assert_eq!(stats.code, Some(0), "{stats:?}");
    for lane in ["bot", "media:bot", "events:backend"] {
        assert!(
            stats.stdout.lines().any(|l| l.starts_with(lane)),
            "{stats:?}"
        );
    }
    let sent = world
        .run(&[
            "send",
            "--channel",
            "bot",
            "--to",
            CUSTOMER,
            "--text",
            "from a shell",
        ])
        .await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert_eq!(bot.texts().await, ["from a shell"]);
    let refused = world
        .run(&["send", "--channel", "bot", "--to", "1", "--text", "x"])
        .await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let wrong = world
        .run(&["queue", "stats", "--token", "not-the-token-at-all"])
        .await;
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(!world.tells_a_secret(&wrong.stderr), "{wrong:?}");
}

#[tokio::test]
async fn dropping_the_message_that_all_wait_for_lets_the_others_go_at_once() {
    let world = world()
        .channel("bot", "telegram")
        .set("retry.schedule_seconds", json!([600]))
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(json!({"fault": "error", "status": 503, "count": 0, "body_contains": "first"}))
        .await;
    let first = world
        .text("bot", CUSTOMER, "first", json!({}))
        .await
        .expect(202);
    let second = world.text_later("bot", CUSTOMER, "second").await;
    let dropped = world
        .run(&["queue", "drop", &first.word("message_id")])
        .await;
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    world.message_when(&second, "sent").await;
    assert_eq!(bot.texts().await, ["second"]);
}

#[tokio::test]
async fn a_message_that_is_just_being_sent_is_not_dropped() {
    let world = world().channel("bot", "telegram").start().await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(json!({"fault": "delay", "ms": 2000, "count": 1, "path_contains": "/send"}))
        .await;
    let id = world.text_later("bot", CUSTOMER, "on its way").await;
    bot.texts_when(1).await;
    // It stands on the phone already: to call it dropped would be untrue.
    let dropped = world
        .post("/admin/drop", json!({"ids": [id.clone()]}))
        .await
        .expect(200);
    assert_eq!(
        dropped.response(),
        &json!({"dropped": [], "not_found": [id.clone()]})
    );
    world.message_when(&id, "sent").await;
    world.quiet().await;
    assert_eq!(world.backend().statuses(&id), ["sent"]);
}

#[tokio::test]
async fn a_lane_paused_for_its_credentials_is_probed_and_resumes_by_itself() {
    let world = world().channel("bot", "telegram").start().await;
    world.announce_error("the lane is paused");
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(unauthorized()).await;
    let id = world.text_later("bot", CUSTOMER, "patience").await;
    world.backend().wait("channel-paused", 1).await;
    bot.mend().await;
    // Somebody has mended the token; within a minute a probe notices.
    until_within(Duration::from_secs(90), "the lane to resume", || async {
        world.backend().named("channel-resumed").pop()
    })
    .await;
    world.message_when(&id, "sent").await;
}
