//! Kills, drains and doubles: nothing acknowledged is lost, and at most one part is in doubt.

use super::{CUSTOMER, world};
use serde_json::json;
use std::time::Duration;
use switchboard_testkit::{Emulator, World, until};

/// Telegram's limit of one message, in UTF-16 units.
const PART: usize = 4096;

/// A text that Telegram takes in five parts, a letter each.
fn five_parts() -> (String, Vec<String>) {
    let parts: Vec<String> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|letter| letter.repeat(PART))
        .collect();
    (parts.concat(), parts)
}

/// Waits until the platform got so many sends, the fault's own included, and one of them is held up
/// by this fault.
async fn held_up(bot: &Emulator, fault: &str) {
    until(&format!("a send held up by {fault}"), || async {
        bot.sends()
            .await
            .iter()
            .any(|r| r["fault"] == fault)
            .then_some(())
    })
    .await;
}

/// Sends five parts, kills the gateway while the third hangs, and starts it again; gives what stands
/// on the phone then.
async fn killed_at_part_three(fault: serde_json::Value) -> (World, Vec<String>) {
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    let name = fault["fault"].as_str().unwrap().to_owned();
    bot.fault(fault).await;
    let (text, _) = five_parts();
    let id = world.text_later("bot", CUSTOMER, &text).await;
    // A second message, so that order is kept between messages too.
    let after = world.text_later("bot", CUSTOMER, "the end").await;
    held_up(&bot, &name).await;
    world.kill();
    world.restart().await;
    world.message_when(&id, "sent").await;
    world.message_when(&after, "sent").await;
    world.quiet().await;
    assert_eq!(world.backend().statuses(&id), ["sent"]);
    let message = world.message(&id).await;
    assert_eq!(
        message["parts"].as_array().map(Vec::len),
        Some(5),
        "{message}"
    );
    let texts = bot.texts().await;
    (world, texts)
}

#[tokio::test]
async fn killed_while_part_three_of_five_hangs_it_resumes_there() {
    let hang = json!({"fault": "hang", "seconds": 60, "after": 2, "path_contains": "sendMessage"});
    let (_world, texts) = killed_at_part_three(hang).await;
    let (_, mut expected) = five_parts();
    expected.push("the end".to_owned());
    assert!(texts == expected, "{:?}", initials(&texts));
}

#[tokio::test]
async fn killed_before_the_answer_to_part_three_was_read_only_part_three_is_sent_twice() {
    // The platform takes the third part; the answer comes too late for the gateway that dies.
    let late = json!({
        "fault": "delay", "ms": 60_000, "after": 2, "count": 1, "path_contains": "sendMessage",
    });
    let (_world, texts) = killed_at_part_three(late).await;
    let (_, mut expected) = five_parts();
    expected.insert(2, expected[2].clone());
    expected.push("the end".to_owned());
    assert!(texts == expected, "{:?}", initials(&texts));
}

/// Texts by their first letters, for messages about failures.
fn initials(texts: &[String]) -> Vec<String> {
    texts
        .iter()
        .map(|t| format!("{}… ({})", t.chars().take(8).collect::<String>(), t.len()))
        .collect()
}

#[tokio::test]
async fn killed_under_load_it_loses_nothing_and_doubts_one_part_per_conversation() {
    const PEOPLE: usize = 8;
    const EACH: usize = 6;
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .start()
        .await;
    let bot = world.emulator("bot");
    for person in 0..PEOPLE {
        bot.say_as(&format!("{}", 2000 + person), "hi").await;
    }
    bot.fault(json!({"fault": "delay", "ms": 600, "path_contains": "sendMessage"}))
        .await;
    for n in 0..EACH {
        for person in 0..PEOPLE {
            world
                .text_later("bot", &format!("{}", 2000 + person), &format!("text {n}"))
                .await;
        }
    }
    bot.sends_when(PEOPLE * 2).await;
    world.kill();
    let before = bot.sends().await.len();
    assert!(
        before < PEOPLE * EACH,
        "everything was sent before the kill"
    );
    bot.mend().await;
    world.restart().await;
    until("every text on every phone", || async {
        for person in 0..PEOPLE {
            let texts = bot.texts_to(&format!("{}", 2000 + person)).await;
            texts.iter().find(|t| *t == &format!("text {}", EACH - 1))?;
        }
        Some(())
    })
    .await;
    world.quiet().await;
    for person in 0..PEOPLE {
        let texts = bot.texts_to(&format!("{}", 2000 + person)).await;
        let mut once = texts.clone();
        once.dedup();
        let expected: Vec<String> = (0..EACH).map(|n| format!("text {n}")).collect();
        assert_eq!(once, expected, "{texts:?}");
        assert!(texts.len() <= EACH + 1, "{texts:?}");
    }
    let failed = world.backend().named("message-status-updated");
    assert_eq!(failed.len(), PEOPLE * EACH);
    assert!(failed.iter().all(|e| e.word("status") == "sent"));
}

#[tokio::test]
async fn what_was_acknowledged_inbound_survives_a_kill() {
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .start()
        .await;
    let bot = world.emulator("bot");
    world.backend().leave().await;
    for n in 0..25 {
        // Answers when the gateway has acknowledged it.
        bot.say_as(&format!("{}", 3000 + n % 5), &format!("kept {n}"))
            .await;
    }
    world.kill();
    world.backend().listen().await;
    world.restart().await;
    world.backend().wait("new-messages", 25).await;
    world.quiet().await;
    let told = world.backend().named("message-sent");
    let mut texts: Vec<String> = told.iter().map(|e| e.word("message")).collect();
    texts.sort_by_key(|t| t.trim_start_matches("kept ").parse::<u32>().unwrap());
    assert_eq!(
        texts,
        (0..25).map(|n| format!("kept {n}")).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_second_process_on_the_same_store_is_refused() {
    let world = world().channel("bot", "telegram").start().await;
    let second = world.run(&["serve"]).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("switchboard.db"), "{second:?}");
    assert!(
        second.stderr.to_lowercase().contains("another process"),
        "{second:?}"
    );
    assert!(!second.stderr.contains("panicked"), "{second:?}");
    // And the first one does not mind.
    world.emulator("bot").say("still there?").await;
    world
        .text("bot", CUSTOMER, "yes", json!({}))
        .await
        .expect(200);
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight() {
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world.quiet().await;
    bot.fault(json!({"fault": "delay", "ms": 1500, "count": 1, "path_contains": "sendMessage"}))
        .await;
    let id = world.text_later("bot", CUSTOMER, "in flight").await;
    held_up(&bot, "delay").await;
    world.signal("TERM");
    let end = world.wait_end();
    assert_eq!(end.code(), Some(0));
    world.restart().await;
    // Not a moment later: it was recorded before the end.
    assert_eq!(world.message(&id).await["status"], "sent");
    world.backend().wait_status(&id, "sent").await;
    world.quiet().await;
    assert_eq!(bot.texts().await, ["in flight"]);
    assert_eq!(world.backend().statuses(&id), ["sent"]);
}

#[tokio::test]
async fn sigterm_leaves_what_waits_to_the_next_start() {
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(json!({"fault": "delay", "ms": 400, "path_contains": "sendMessage"}))
        .await;
    let texts: Vec<String> = (0..20).map(|n| format!("text {n}")).collect();
    for text in &texts {
        world.text_later("bot", CUSTOMER, text).await;
    }
    // Somebody waits for the last one's outcome while the gateway drains.
    let waiting = world.text("bot", CUSTOMER, "the last", json!({"wait": 20}));
    let (waited, ()) = tokio::join!(waiting, async {
        bot.sends_when(4).await;
        world.signal("TERM");
    });
    assert_eq!(waited.status, 202, "{}", waited.text());
    assert_eq!(world.wait_end().code(), Some(0));
    let sent = bot.texts().await.len();
    assert!(sent < 20, "nothing was left");
    bot.mend().await;
    world.restart().await;
    world.message_when(&waited.word("message_id"), "sent").await;
    world.quiet().await;
    let mut expected = texts;
    expected.push("the last".to_owned());
    assert_eq!(bot.texts().await, expected);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .set("server.drain_seconds", json!(120))
        .start()
        .await;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    bot.fault(json!({"fault": "hang", "seconds": 100, "path_contains": "sendMessage"}))
        .await;
    let id = world.text_later("bot", CUSTOMER, "held up").await;
    held_up(&bot, "hang").await;
    world.signal("TERM");
    until("the gateway to drain", || async {
        world
            .log()
            .iter()
            .any(|l| l.contains("draining"))
            .then_some(())
    })
    .await;
    world.signal("INT");
    world.wait_end_within(Duration::from_secs(15));
    world.restart().await;
    world.message_when(&id, "sent").await;
    assert_eq!(bot.texts().await, ["held up"]);
}
