//! All kinds at once: conversations on every platform that is built in, in both directions at the same
//! time, while three platforms have a bad day. Nothing is lost, nothing comes twice, nothing overtakes.
//!
//! The kinds are read from the one list, so that a new one joins by itself.

use crate::{word, world};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use switchboard_channels::{KINDS, Kind};
use switchboard_testkit::{Delivery, World, until};

/// Kinds that cannot take part by nature, and why. An entry that names no kind fails the test.
const APART: &[(&str, &str)] = &[];

/// Messages in each direction, per kind.
const MESSAGES: usize = 6;

/// What goes wrong, and with whom: platforms that recognise a repeated request lose an answer too.
const BAD_DAYS: [(&str, &str); 3] = [
    (
        "telegram",
        r#"{"fault": "rate_limit", "retry_after": 1, "count": 1, "after": 1, "path_contains": "sendMessage"}"#,
    ),
    (
        "whatsapp",
        r#"{"fault": "error", "status": 503, "count": 2, "after": 1, "path_contains": "/messages"}"#,
    ),
    (
        "google-business-messages",
        r#"{"fault": "reset", "count": 2, "after": 2, "path_contains": "/messages"}"#,
    ),
];

fn taking_part() -> Vec<&'static Kind> {
    for (kind, reason) in APART {
        assert!(
            switchboard_channels::kind(kind).is_some() && !reason.is_empty(),
            "{kind}"
        );
    }
    let apart = |kind: &&Kind| APART.iter().any(|(name, _)| *name == kind.name);
    KINDS.iter().filter(|kind| !apart(kind)).collect()
}

async fn every_kind() -> World {
    let kinds = taking_part();
    let with =
        |setup: switchboard_testkit::Setup, kind: &&Kind| setup.channel(kind.name, kind.name);
    kinds.iter().fold(world(), with).start().await
}

/// The customer of each kind says hello; gives the conversations.
async fn begun(world: &World) -> BTreeMap<&'static str, Delivery> {
    let kinds = taking_part();
    for kind in &kinds {
        let hello = format!("hello from {}", kind.name);
        world.emulator(kind.name).say(&hello).await;
    }
    world.backend().wait("new-messages", kinds.len()).await;
    let told = world.backend().named("message-sent");
    let of = |kind: &&'static Kind| {
        let hello = format!("hello from {}", kind.name);
        let event = told.iter().find(|e| e.word("message") == hello);
        (
            kind.name,
            event.unwrap_or_else(|| panic!("no {hello:?}")).clone(),
        )
    };
    kinds.iter().map(of).collect()
}

/// The `n`th message of a kind in a direction: it differs from all others.
fn text(kind: &str, direction: &str, n: usize) -> String {
    format!("{direction} {n} of {kind} 👍🏽")
}

fn texts(kind: &str, direction: &str) -> Vec<String> {
    (0..MESSAGES).map(|n| text(kind, direction, n)).collect()
}

/// Waits until a message is told to have gone out: as sent, or further, where a quick status overtook the
/// answer to the send.
async fn gone_out(world: &World, id: &str) {
    let told = until(&format!("message {id} to go out"), || async {
        Some(world.backend().statuses(id)).filter(|told| !told.is_empty())
    })
    .await;
    assert_ne!(told[0], "failed", "message {id}");
}

#[tokio::test]
async fn every_kind_at_once_in_both_directions_with_faults_in_three() {
    let world = every_kind().await;
    let conversations = begun(&world).await;
    assert!(conversations.len() >= 9, "{}", conversations.len());
    for (kind, fault) in BAD_DAYS {
        let fault: Value = serde_json::from_str(fault).expect("JSON");
        world.emulator(kind).fault(fault).await;
    }
    // One after the other within a conversation, all conversations and both directions at once.
    let everybody = &world;
    let inbound = conversations.keys().map(|kind| async move {
        for n in 0..MESSAGES {
            everybody.emulator(kind).say(&text(kind, "in", n)).await;
        }
    });
    let outbound = conversations.iter().map(|(kind, begun)| async move {
        let mut ids = Vec::new();
        for n in 0..MESSAGES {
            let arguments = json!({
                "conversation_id": begun.word("conversation_id"),
                "message": text(kind, "out", n), "wait": 0,
            });
            let answer = everybody
                .api("messaging-platforms-send-message", arguments)
                .await;
            assert!(
                matches!(answer.status, 200 | 202),
                "{kind}: {}",
                answer.text()
            );
            ids.push(answer.word("message_id"));
        }
        (*kind, ids)
    });
    let (_, sent) = tokio::join!(join_all(inbound), join_all(outbound));
    for (kind, ids) in &sent {
        for id in ids {
            gone_out(&world, id).await;
        }
        assert_eq!(ids.len(), MESSAGES, "{kind}");
    }
    let heard = conversations.len() * (1 + MESSAGES);
    world.backend().wait("new-messages", heard).await;
    world.quiet().await;

    let told = world.backend().named("message-sent");
    for (kind, begun) in &conversations {
        // Out: each once, in order, on the customer's own phone.
        let shown = world.emulator(kind).texts().await;
        assert_eq!(shown, texts(kind, "out"), "{kind}");
        // In: the same, as the chat backend is told.
        let conversation = begun.word("conversation_id");
        let words: Vec<String> = told
            .iter()
            .filter(|e| e.word("conversation_id") == conversation)
            .map(|e| e.word("message"))
            .filter(|text| text.starts_with("in "))
            .collect();
        assert_eq!(words, texts(kind, "in"), "{kind}");
        assert_eq!(
            world.emulator(kind).faults().await,
            Vec::<Value>::new(),
            "{kind}"
        );
    }
    // Counts in are counts out: nothing was told that nobody wrote.
    let both = conversations.len() * (1 + 2 * MESSAGES);
    assert_eq!(told.len(), both);
    assert_eq!(world.backend().named("new-messages").len(), heard);
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn one_direct_message_reaches_people_on_every_kind() {
    let world = every_kind().await;
    let conversations = begun(&world).await;
    let users: Vec<String> = conversations.values().map(|e| e.word("user_id")).collect();
    let distinct: std::collections::BTreeSet<&String> = users.iter().collect();
    let arguments = json!({"user_ids": users, "message": "to all of you"});
    world.api("direct-message", arguments).await.expect(200);
    let mut reached = 0;
    for kind in conversations.keys() {
        // A person who wrote over two platforms is reached where they wrote last.
        let theirs = conversations[kind].word("user_id");
        let last = conversations
            .iter()
            .filter(|(_, event)| event.word("user_id") == theirs)
            .max_by_key(|(_, event)| event.word("message_id").parse::<i64>().unwrap());
        if last.is_none_or(|(last, _)| last != kind) {
            continue;
        }
        world.emulator(kind).texts_when(1).await;
        reached += 1;
    }
    world.quiet().await;
    assert_eq!(reached, distinct.len());
    let all = conversations.keys().map(|kind| world.emulator(kind));
    let shown = join_all(all.map(|emulator| async move { emulator.texts().await })).await;
    let shown: Vec<String> = shown.concat();
    assert!(
        shown.iter().all(|text| text == "to all of you"),
        "{shown:?}"
    );
    // By user, as often as a user was named.
    assert_eq!(shown.len(), users.len());
}

#[tokio::test]
async fn every_source_code_leads_to_its_platform() {
    let world = every_kind().await;
    let conversations = begun(&world).await;
    for (kind, begun) in &conversations {
        // By user and source, as the seeds' clients do.
        let source = begun.word("conversation_source");
        let arguments = json!({
            "user": begun.word("user_id"), "source": {"source": source}, "message": "by source",
        });
        let answer = world
            .api("messaging-platforms-send-message", arguments)
            .await;
        answer.expect(200);
        assert_eq!(world.emulator(kind).texts().await, ["by source"], "{kind}");
    }
    world.quiet().await;
}

/// A link into our own network: platforms that fetch it themselves are told it, or it goes as words; where
/// we would have to fetch it the guard says no, at once and for good.
#[tokio::test]
async fn no_platform_makes_the_gateway_fetch_from_its_own_network() {
    let kinds = taking_part();
    let with =
        |setup: switchboard_testkit::Setup, kind: &&Kind| setup.channel(kind.name, kind.name);
    let setup = kinds.iter().fold(world(), with);
    let world = setup
        .set("media.allow_private_hosts", json!([]))
        .start()
        .await;
    let conversations = begun(&world).await;
    let mut refused = Vec::new();
    for (kind, begun) in &conversations {
        // Nobody listens there: what is tried in spite of the guard fails for now, not for good.
        let arguments = json!({
            "conversation_id": begun.word("conversation_id"), "message": "",
            "attachments": [["a.jpg", "http://127.0.0.1:9/a.jpg"]],
        });
        let answer = world
            .api("messaging-platforms-send-message", arguments)
            .await;
        match answer.status {
            200 => {}
            422 => {
                assert_eq!(answer.word("response"), "content-rejected", "{kind}");
                refused.push(*kind);
            }
            other => panic!("{kind}: {other} {}", answer.text()),
        }
    }
    // These upload every picture themselves.
    for kind in ["wechat", "twitter"] {
        assert!(refused.contains(&kind), "{refused:?}");
    }
    world.quiet().await;
}

#[tokio::test]
async fn tickets_are_stored_and_reach_no_platform() {
    let world = every_kind().await;
    let conversations = begun(&world).await;
    let user = conversations["telegram"].word("user_id");
    let arguments = json!({"user_id": user, "source": "tk", "title": "A broken door"});
    let ticket = world.api("new-conversation", arguments).await.expect(200);
    let ticket = word(&ticket.response()["details"], "id");
    let arguments = json!({"conversation_id": ticket, "message": "It is repaired"});
    let answer = world
        .api("messaging-platforms-send-message", arguments)
        .await
        .expect(200);
    assert_eq!(answer.response(), &json!(true));
    assert_eq!(answer.word("conversation_id"), ticket);
    let id = answer.word("message_id");
    world.quiet().await;
    let kept = world
        .api("get-conversation", json!({"conversation_id": ticket}))
        .await
        .expect(200);
    let messages = kept.response()["messages"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let texts: Vec<String> = messages.iter().map(|m| word(m, "message")).collect();
    assert_eq!(texts, ["It is repaired"], "{}", kept.text());
    assert_eq!(word(&kept.response()["details"], "source"), "tk");
    let told: Vec<String> = world
        .backend()
        .about(&id)
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert_eq!(told, ["message-sent"]);
    for kind in conversations.keys() {
        assert_eq!(
            world.emulator(kind).texts().await,
            Vec::<String>::new(),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn on_line_an_answer_to_a_certain_message_quotes_it() {
    let world = world().channel("desk", "line").start().await;
    let desk = world.emulator("desk");
    desk.say("which door is it?").await;
    desk.say("and which key?").await;
    world.backend().wait("new-messages", 2).await;
    let told = world.backend().named("message-sent");
    let asked = &told[0];
    let arguments = json!({
        "conversation_id": asked.word("conversation_id"), "message": "the blue one",
        "reply_to": asked.word("message_id"),
    });
    world
        .api("messaging-platforms-send-message", arguments)
        .await
        .expect(200);
    assert_eq!(desk.texts().await, ["the blue one"]);
    let requests = desk.requests().await;
    let quoting: Vec<String> = requests
        .iter()
        .map(|r| r["body"].to_string())
        .filter(|body| body.contains("quoteToken"))
        .collect();
    assert_eq!(quoting.len(), 1, "{requests:?}");
    // What was answered without saying to what quotes nothing.
    let arguments = json!({
        "conversation_id": asked.word("conversation_id"), "message": "anything else?",
    });
    world
        .api("messaging-platforms-send-message", arguments)
        .await
        .expect(200);
    world.quiet().await;
    let requests = desk.requests().await;
    let quotes = |r: &&Value| r["body"].to_string().contains("quoteToken");
    assert_eq!(requests.iter().filter(quotes).count(), 1);
}

/// Echoes that the gateway still holds, as they stand in its store.
fn held_echoes(world: &World) -> i64 {
    let file = world.folder().join("data/switchboard.db");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let store = rusqlite::Connection::open_with_flags(file, flags).expect("the store opens");
    store
        .query_row("SELECT COUNT(*) FROM held_echoes", [], |row| row.get(0))
        .expect("a number")
}

#[tokio::test]
async fn the_echo_of_our_own_send_is_shown_once_also_when_it_comes_first() {
    let world = world().channel("page", "messenger").start().await;
    let page = world.emulator("page");
    // Messenger's echo carries our reference, Instagram's says nothing of whose it is.
    let people = [
        ("7300000000000011", "on Messenger"),
        ("ig:9900000000000021", "on Instagram"),
    ];
    for (n, (person, text)) in people.into_iter().enumerate() {
        page.say_as(person, &format!("hi {text}")).await;
        world.backend().wait("new-messages", n + 1).await;
        let told = world.backend().named("message-sent");
        let hi = told
            .iter()
            .find(|e| e.word("message") == format!("hi {text}"));
        let conversation = hi.expect("it is told").word("conversation_id");
        // The webhooks of a delayed send do not wait for its answer: the echo comes before it.
        page.fault(json!({
            "fault": "delay", "ms": 1500, "count": 1, "path_contains": "/messages",
        }))
        .await;
        let arguments = json!({"conversation_id": conversation, "message": text});
        let sent = world
            .api("messaging-platforms-send-message", arguments)
            .await
            .expect(200);
        gone_out(&world, &sent.word("message_id")).await;
        world.quiet().await;
        until("no echo to be held", || async {
            (held_echoes(&world) == 0).then_some(())
        })
        .await;
        world.quiet().await;
        let told = world.backend().named("message-sent");
        let of_ours = told.iter().filter(|e| e.word("message") == text).count();
        assert_eq!(of_ours, 1, "{text}");
        assert_eq!(told.len(), 2 * (n + 1), "{text}");
    }
    assert_eq!(page.texts().await, ["on Messenger", "on Instagram"]);
}
