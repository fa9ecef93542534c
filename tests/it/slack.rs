//! Slack: conversations of other channels shown in it, answers brought back, and its own functions.

use crate::{CUSTOMER, world};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use switchboard_channels::kit::sign::hmac_sha256;
use switchboard_testkit::{Emulator, Setup, World, until};

/// A telegram bot whose conversations are shown in Slack.
fn shown_in_slack() -> Setup {
    let keys = json!({"mirror": ["bot"], "agents": {"U0AGENT001": "1"}});
    world()
        .channel("bot", "telegram")
        .channel_with("desk", "slack", keys)
}

/// The lines on Slack's side that the gateway posted, once there are so many.
async fn copies(slack: &Emulator, count: usize) -> Vec<Value> {
    until(&format!("{count} copies in Slack"), || async {
        let lines = slack.phone().await.into_iter();
        let ours: Vec<Value> = lines.filter(|l| l["from_gateway"] == json!(true)).collect();
        Some(ours).filter(|ours| ours.len() >= count)
    })
    .await
}

fn texts(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|l| l["text"].as_str()).collect()
}

/// An agent writes in the thread of this message.
async fn answer(slack: &Emulator, root: &Value, text: &str) {
    let say = json!({"do": "say", "from": "U0AGENT001", "text": text, "reply_to": root["id"]});
    slack.act(say).await;
}

#[tokio::test]
async fn a_customer_is_shown_in_a_thread_and_answered_from_it() {
    let world = shown_in_slack().start().await;
    let (bot, slack) = (world.emulator("bot"), world.emulator("desk"));
    bot.say("Do you open today?").await;
    bot.say("Hello?").await;
    let shown = copies(&slack, 2).await;
    assert_eq!(
        texts(&shown),
        [
            "*Dana Fields* · bot\n*Dana Fields*: Do you open today?",
            "*Dana Fields*: Hello?"
        ]
    );
    let root = shown[0]["id"].as_str().unwrap();
    assert_eq!(shown[1]["extras"], json!([format!("in thread {root}")]));

    answer(&slack, &shown[0], "Until 18 <today>").await;
    assert_eq!(bot.texts_when(1).await, ["Until 18 <today>"]);
    // The chat backend hears of the answer once, as ours, and of no copy.
    let sent = world.backend().wait("message-sent", 3).await;
    world.quiet().await;
    let sent_texts: Vec<String> = sent.iter().map(|e| e.word("message")).collect();
    assert_eq!(
        sent_texts,
        ["Do you open today?", "Hello?", "Until 18 <today>"]
    );
    assert_eq!(
        sent[2].word("conversation_id"),
        sent[0].word("conversation_id")
    );
    assert_eq!(world.backend().named("new-messages").len(), 2);
    assert_eq!(world.backend().named("new-conversation-created").len(), 1);
    let told = world.backend().wait("slack-message-sent", 2).await;
    assert_eq!(told[0].word("slack_channel"), "C0SANDBOX1");
    assert_eq!(
        told[0].word("conversation_id"),
        sent[0].word("conversation_id")
    );

    // What the chat backend sends is shown too; what was shown is not shown again.
    world
        .text("bot", CUSTOMER, "by the bot", json!({}))
        .await
        .expect(200);
    let shown = copies(&slack, 3).await;
    assert!(
        shown[2]["text"].as_str().unwrap().ends_with(": by the bot"),
        "{}",
        shown[2]
    );
    world.quiet().await;
    assert_eq!(copies(&slack, 3).await.len(), 3);
    assert_eq!(bot.texts().await.len(), 2);
}

#[tokio::test]
async fn notes_stay_changes_are_told_and_failures_come_back() {
    let world = shown_in_slack().start().await;
    let (bot, slack) = (world.emulator("bot"), world.emulator("desk"));
    bot.say("frist").await;
    let shown = copies(&slack, 1).await;
    answer(&slack, &shown[0], "note: a difficult one").await;
    answer(&slack, &shown[0], "Hello").await;
    assert_eq!(bot.texts_when(1).await, ["Hello"]);

    bot.act(json!({"do": "edit", "text": "first"})).await;
    let shown = copies(&slack, 2).await;
    assert_eq!(shown[1]["text"], "*Dana Fields* changed a message: first");
    slack
        .act(json!({"do": "edit", "from": "U0AGENT001", "text": "Hello Dana"}))
        .await;
    assert_eq!(bot.texts_when(2).await, ["Hello", "* Hello Dana"]);
    // The corrected note stays a note.
    assert!(!bot.texts().await.iter().any(|t| t.contains("difficult")));

    bot.act(json!({"do": "block"})).await;
    answer(&slack, &shown[0], "are you there?").await;
    let shown = copies(&slack, 3).await;
    let told = shown[2]["text"].as_str().unwrap();
    assert!(
        told.starts_with("Not delivered: “are you there?” ("),
        "{told}"
    );
    assert_eq!(
        shown[2]["extras"],
        json!([format!("in thread {}", shown[0]["id"].as_str().unwrap())])
    );
}

#[tokio::test]
async fn files_go_both_ways() {
    let world = shown_in_slack().start().await;
    let (bot, slack) = (world.emulator("bot"), world.emulator("desk"));
    let file = json!({"name": "dent.jpg", "mime": "image/jpeg", "content": "not a picture"});
    bot.act(json!({"do": "say", "text": "look", "attachment": file}))
        .await;
    let shown = copies(&slack, 2).await;
    assert!(
        shown[0]["text"].as_str().unwrap().ends_with("look"),
        "{}",
        shown[0]
    );
    let extras = shown[1]["extras"].as_array().unwrap();
    assert_eq!(extras.len(), 2, "{extras:?}");
    assert!(extras[0].as_str().unwrap().ends_with(".jpg"), "{extras:?}");
    let root = shown[0]["id"].as_str().unwrap();
    assert_eq!(extras[1], format!("in thread {root}"));

    let file = json!({"name": "prices.pdf", "mime": "application/pdf", "content": "%PDF"});
    let say = json!({"do": "say", "from": "U0AGENT001", "text": "", "attachment": file,
        "reply_to": root});
    slack.act(say).await;
    let line = until("the file at the customer", || async {
        let lines = bot.phone().await.into_iter();
        lines.into_iter().find(|l| l["from_gateway"] == json!(true))
    })
    .await;
    assert!(line["extras"].to_string().contains(".pdf"), "{line}");
}

/// Kills the gateway while Slack's answer to the first copy is awaited, and starts it again.
#[tokio::test]
async fn killed_in_between_each_copy_is_there_once_and_in_order() {
    let world = shown_in_slack().emulators_apart().start().await;
    let (bot, slack) = (world.emulator("bot"), world.emulator("desk"));
    // Slack takes the first copy; the answer comes too late for the gateway that dies.
    slack
        .fault(json!({"fault": "delay", "ms": 60_000, "count": 1, "path_contains": "postMessage"}))
        .await;
    for text in ["one", "two", "three"] {
        bot.say(text).await;
    }
    copies(&slack, 1).await;
    // Meanwhile somebody answers in a thread whose name the gateway has not read.
    let root = copies(&slack, 1).await.remove(0);
    answer(&slack, &root, "answered early").await;
    world.kill();
    slack.mend().await;
    world.restart().await;
    let shown = copies(&slack, 3).await;
    assert_eq!(bot.texts_when(1).await, ["answered early"]);
    world.quiet().await;
    let shown_now = copies(&slack, 3).await;
    assert_eq!(shown_now.len(), 3, "{:?}", texts(&shown));
    let endings: Vec<bool> = ["one", "two", "three"]
        .iter()
        .zip(&shown_now)
        .map(|(text, line)| line["text"].as_str().unwrap().ends_with(text))
        .collect();
    assert_eq!(endings, [true; 3], "{:?}", texts(&shown_now));
    let thread = json!(format!("in thread {}", root["id"].as_str().unwrap()));
    assert!(
        shown_now[1]["extras"].as_array().unwrap().contains(&thread),
        "{}",
        shown_now[1]
    );

    // The other way round: the answer reaches the customer, and the gateway dies before it knows.
    bot.fault(json!({"fault": "hang", "seconds": 60, "count": 1, "path_contains": "sendMessage"}))
        .await;
    answer(&slack, &root, "second answer").await;
    answer(&slack, &root, "third answer").await;
    until("the send that hangs", || async {
        let sends = bot.sends().await;
        sends.iter().any(|r| r["fault"] == "hang").then_some(())
    })
    .await;
    world.kill();
    bot.mend().await;
    world.restart().await;
    bot.texts_when(3).await;
    world.quiet().await;
    assert_eq!(
        bot.texts().await,
        ["answered early", "second answer", "third answer"]
    );
}

/// A signed event as Slack posts it, so many times, as its retries.
async fn posted(world: &World, event: &Value, times: u32) {
    let body = json!({
        "type": "event_callback", "team_id": "T0SANDBOX1", "api_app_id": "A0SANDBOX1",
        "event_id": "Ev0REPEATED", "event": event,
    });
    let body = body.to_string();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        .to_string();
    let chunks: [&[u8]; 4] = [b"v0:", now.as_bytes(), b":", body.as_bytes()];
    let mac = hmac_sha256(b"sandbox0slack0signing0secret0000", &chunks);
    let hex: String = mac.iter().map(|b| format!("{b:02x}")).collect();
    for retry in 0..times {
        let request = world
            .client()
            .post(format!("{}/webhooks/desk", world.root()))
            .header("content-type", "application/json")
            .header("x-slack-request-timestamp", &now)
            .header("x-slack-signature", format!("v0={hex}"))
            .header("x-slack-retry-num", retry.to_string())
            .body(body.clone());
        assert_eq!(world.send(request).await.status, 200);
    }
}

#[tokio::test]
async fn a_redelivered_event_is_brought_back_once() {
    let world = shown_in_slack().start().await;
    let (bot, slack) = (world.emulator("bot"), world.emulator("desk"));
    bot.say("hi").await;
    let root = copies(&slack, 1).await.remove(0);
    world.quiet().await;
    let (channel, thread) = root["id"].as_str().unwrap().split_once(':').unwrap();
    let event = json!({
        "type": "message", "user": "U0AGENT002", "channel": channel, "channel_type": "channel",
        "ts": "1900000000.000100", "thread_ts": thread, "text": "once",
    });
    posted(&world, &event, 4).await;
    assert_eq!(bot.texts_when(1).await, ["once"]);
    world.quiet().await;
    assert_eq!(bot.texts().await, ["once"]);
}

#[tokio::test]
async fn each_conversation_can_have_a_slack_channel_of_its_own() {
    let keys = json!({"mirror": ["*"], "layout": "channel", "invite": ["U0AGENT001"]});
    let world = world()
        .channel("bot", "telegram")
        .channel_with("desk", "slack", keys)
        .start()
        .await;
    let (bot, slack) = (world.emulator("bot"), world.emulator("desk"));
    bot.say("one").await;
    bot.say("two").await;
    bot.act(json!({"do": "say", "from": "5550001002", "name": "Bo", "text": "three"}))
        .await;
    let shown = copies(&slack, 3).await;
    let place = |line: &Value| line["customer"].as_str().unwrap().to_owned();
    let of = |text: &str| {
        let line = shown
            .iter()
            .find(|l| l["text"].as_str().unwrap().ends_with(text));
        place(line.expect("it is shown"))
    };
    assert_eq!(of("one"), of("two"));
    assert_ne!(of("one"), of("three"));
    let channels = world.api("slack-channels", json!({})).await.expect(200);
    let names = channels.response()["channels"].to_string();
    assert!(
        names.contains("cust-dana-fields-") && names.contains("cust-bo-"),
        "{names}"
    );
    // Words in the thread of a message answer that message.
    let two = shown
        .iter()
        .find(|l| l["text"].as_str().unwrap().ends_with("two"))
        .unwrap();
    world.quiet().await;
    answer(&slack, two, "to two").await;
    assert_eq!(bot.texts_when(1).await, ["to two"]);
    let quoted = bot.sends().await[0]["body"]["reply_parameters"].to_string();
    assert!(quoted.contains("message_id"), "{quoted}");
}

#[tokio::test]
async fn the_functions_of_the_seeds_answer_as_they_say() {
    let world = shown_in_slack().start().await;
    let (bot, slack) = (world.emulator("bot"), world.emulator("desk"));
    let users = world.api("slack-users", json!({})).await.expect(200);
    let users = users.response();
    let names = users["slack_users"].to_string();
    assert!(
        names.contains(r#"{"id":"U0AGENT001","name":"Alex Smith"}"#),
        "{names}"
    );
    assert!(
        !names.contains("slackbot") && !names.contains("switchboard"),
        "{names}"
    );
    assert_eq!(users["saved"], json!({"U0AGENT001": "1"}));
    assert!(users["agents"].is_array());

    let one = world
        .api("slack-presence", json!({"agent_id": "1"}))
        .await
        .expect(200);
    assert_eq!(*one.response(), "online");
    let away = world
        .api("slack-presence", json!({"agent_id": "U0AGENT002"}))
        .await
        .expect(200);
    assert_eq!(*away.response(), "offline");
    let list = world
        .api("slack-presence", json!({"list": true}))
        .await
        .expect(200);
    assert_eq!(*list.response(), json!(["1"]));
    let nobody = world
        .api("slack-presence", json!({"agent_id": "77"}))
        .await
        .expect(404);
    assert_eq!(nobody.word("response"), "user-not-found");

    // Into a Slack channel; with a sender; the seeds' answer is a list of the channel.
    let fields = [
        ("channel", "C0SANDBOX1"),
        ("message", "from <us>"),
        ("full_name", "Alex"),
    ];
    let sent = world.form("send-slack-message", &fields).await.expect(200);
    assert_eq!(*sent.response(), json!(["C0SANDBOX1"]));
    assert_eq!(copies(&slack, 1).await[0]["text"], "*Alex*: from <us>");
    let nowhere = [("channel", "C0NOWHERE1"), ("message", "x")];
    let refused = world.form("send-slack-message", &nowhere).await.expect(502);
    assert_eq!(refused.word("response"), "platform-error");
    assert!(
        refused.text().contains("channel_not_found"),
        "{}",
        refused.text()
    );

    // To where a user's conversation is shown.
    bot.say("hi").await;
    let news = world.backend().wait("new-messages", 1).await.remove(0);
    let user = news.data["details"]["user_id"].clone();
    let root = copies(&slack, 2).await.remove(1);
    let about = json!({"user_id": user, "message": "about Dana"});
    let sent = world.api("send-slack-message", about).await.expect(200);
    assert_eq!(*sent.response(), json!(["C0SANDBOX1"]));
    let line = copies(&slack, 3).await.remove(2);
    let thread = format!("in thread {}", root["id"].as_str().unwrap());
    assert_eq!(
        (&line["text"], &line["extras"]),
        (&json!("about Dana"), &json!([thread]))
    );
    world.quiet().await;
    assert!(
        bot.texts().await.is_empty(),
        "what we tell each other is not for the customer"
    );

    // By the general functions, too.
    world
        .text("desk", "U0CUSTOMER", "a direct one", json!({}))
        .await
        .expect(200);
    world
        .text("desk", "C0SANDBOX1", "a loud one", json!({}))
        .await
        .expect(200);
    assert_eq!(slack.texts_to("U0CUSTOMER").await, ["a direct one"]);

    let archived = world
        .api("archive-slack-channels", json!({}))
        .await
        .expect(200);
    assert_eq!(*archived.response(), true);
    let channels = world.api("slack-channels", json!({})).await.expect(200);
    let channels = channels.response()["channels"].as_array().unwrap().clone();
    for channel in &channels {
        let is_kept = channel["id"] == "C0SANDBOX1";
        assert_eq!(channel["is_archived"], json!(!is_kept), "{channel}");
    }
}

#[tokio::test]
async fn without_slack_or_its_credentials_callers_are_told() {
    let without = world().channel("bot", "telegram").start().await;
    for function in [
        "slack-users",
        "slack-channels",
        "slack-presence",
        "archive-slack-channels",
    ] {
        let refused = without.api(function, json!({})).await.expect(409);
        assert_eq!(refused.word("response"), "slack-not-active", "{function}");
    }
    let send = json!({"channel": "C0SANDBOX1", "message": "x"});
    let refused = without.api("send-slack-message", send).await.expect(409);
    assert_eq!(refused.word("response"), "slack-not-active");

    let with = world().channel("desk", "slack").start().await;
    let slack = with.emulator("desk");
    let body = r#"{"ok":false,"error":"invalid_auth"}"#;
    slack
        .fault(json!({"fault": "error", "status": 200, "body": body}))
        .await;
    let refused = with.api("slack-users", json!({})).await.expect(502);
    assert_eq!(refused.word("response"), "platform-auth-failed");
    assert!(
        refused.text().contains("invalid_auth"),
        "{}",
        refused.text()
    );
    let missing = with
        .api("send-slack-message", json!({"message": "x"}))
        .await
        .expect(400);
    assert_eq!(missing.word("response"), "missing-argument");
}
