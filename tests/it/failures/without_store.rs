//! Processes that begin while PostgreSQL is away.

use super::ledger::SECRET;
use super::rig::{Rig, ledger_world};
use crate::word;
use serde_json::json;
use switchboard_testkit::{until, until_within};

/// A customer who writes while there is no store.
const WRITER: i64 = 4_711;
/// A database that no gateway has seen, and one of a release to come.
const FRESH: &str = "fresh";
const NEWER: &str = "newer";

/// A rig with further databases, whose server is gone.
async fn without_its_server() -> Rig {
    let rig = Rig::start(ledger_world()).await;
    for part in ["store", "not remembered", "spool"] {
        rig.world.announce_error(part);
    }
    for database in [FRESH, NEWER] {
        let create = format!("CREATE DATABASE {database}");
        rig.store.sql("postgres", &create);
    }
    rig.store.sql(
        NEWER,
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
         INSERT INTO meta VALUES ('schema_version', '99'), ('compatible_from', '99')",
    );
    rig.store.kill();
    rig
}

/// Where a process finds the database, and a schedule of its own.
fn places(rig: &Rig, database: &str, schedule: &str) -> [(&'static str, String); 2] {
    let store = format!("postgres://postgres@{}/{database}", rig.to_store.address());
    let queue = rig.queue.url_at(rig.to_queue.address());
    let queue = format!("{}/{schedule}", queue.trim_end_matches("/0"));
    [
        ("SWITCHBOARD__STORE__URL", store),
        ("SWITCHBOARD__QUEUE__URL", queue),
    ]
}

async fn join(rig: &Rig, name: &'static str, arguments: &[&str], places: &[(&str, String)]) {
    let places: Vec<_> = places.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_switchboard"));
    rig.world.join_with(name, binary, arguments, &places).await;
}

/// Telegram delivers a message of the writer; gives the status.
async fn deliver(rig: &Rig, root: &str, number: i64) -> u16 {
    let body = json!({"update_id": 9_000 + number, "message": {
        "message_id": 500 + number, "date": 1_760_000_000, "text": format!("written {number}"),
        "chat": {"id": WRITER, "type": "private"},
        "from": {"id": WRITER, "is_bot": false, "first_name": "Robin"},
    }});
    let request = rig
        .world
        .client()
        .post(format!("{root}/webhooks/bot"))
        .header("x-telegram-bot-api-secret-token", SECRET)
        .json(&body);
    rig.world.send(request).await.status
}

async fn readiness(rig: &Rig, root: &str) -> switchboard_testkit::Answer {
    let request = rig.world.client().get(format!("{root}/readyz"));
    rig.world.send(request).await
}

#[tokio::test]
async fn a_process_that_begins_without_its_store_spools_and_goes_on_when_it_is_there() {
    let rig = without_its_server().await;
    let places = places(&rig, FRESH, "5");
    // One that only takes webhooks, and one that does everything else as well, once it can.
    join(&rig, "taker", &["--role", "api"], &places).await;
    join(&rig, "all", &["--role", "api", "--role", "worker"], &places).await;
    let roots = [rig.world.root_of("taker"), rig.world.root_of("all")];
    for root in &roots {
        let ready = readiness(&rig, root).await;
        assert_eq!(ready.status, 503, "{}", ready.text());
        assert_eq!(word(&ready.json, "store"), "does not answer");
        assert_eq!(word(&ready.json, "spool"), "empty");
    }
    for number in 0..5 {
        assert_eq!(deliver(&rig, &roots[0], number).await, 200);
    }
    // What the platform delivers once more, because its first try was too slow for it.
    assert_eq!(deliver(&rig, &roots[0], 4).await, 200);
    let ready = readiness(&rig, &roots[0]).await;
    assert_eq!(word(&ready.json, "spool"), "6 webhooks wait");
    let send = rig
        .world
        .client()
        .post(format!("{}/api", roots[0]))
        .bearer_auth(switchboard_testkit::TOKEN)
        .json(
            &json!({"function": "messaging-platforms-send-message", "channel": "bot",
            "to": "1", "message": "not now"}),
        );
    let refused = rig.world.send(send).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.word("response"), "unavailable");
    rig.store.restart();
    for root in &roots {
        until_within(
            std::time::Duration::from_secs(60),
            "the store to be reached",
            || async { (readiness(&rig, root).await.status == 200).then_some(()) },
        )
        .await;
    }
    until("the spool to be empty", || async {
        let ready = readiness(&rig, &roots[0]).await;
        (word(&ready.json, "spool") == "empty").then_some(())
    })
    .await;
    assert_eq!(deliver(&rig, &roots[1], 5).await, 200);
    let expected: Vec<String> = (0..6).map(|n| format!("written {n}")).collect();
    // Told by the worker that began without its store, in order, each once.
    rig.world.backend().wait("new-messages", 6).await;
    let told: Vec<String> = rig
        .world
        .backend()
        .named("message-sent")
        .iter()
        .map(|event| event.word("message"))
        .collect();
    assert_eq!(told, expected);
    let kept = rig
        .store
        .sql(FRESH, "SELECT text FROM messages ORDER BY id");
    assert_eq!(kept.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_process_that_began_without_its_store_ends_when_that_is_of_a_newer_release() {
    let rig = without_its_server().await;
    let places = places(&rig, NEWER, "6");
    join(&rig, "old", &["--role", "api"], &places).await;
    assert_eq!(deliver(&rig, &rig.world.root_of("old"), 1).await, 200);
    rig.store.restart();
    assert_eq!(rig.world.wait_end_of("old").code(), Some(1));
    let log = rig.world.log();
    let why = "the store has schema version 99, this release knows";
    assert!(log.iter().any(|line| line.contains(why)), "{log:#?}");
    let spool = std::fs::read_dir(rig.world.spool_of("old")).unwrap();
    assert!(spool.count() > 0, "what was acknowledged is kept");
    // And what was wrong from the beginning is said at the beginning.
    for (database, why) in [(NEWER, "schema version 99"), ("nowhere", "does not exist")] {
        let places = self::places(&rig, database, "6");
        let places: Vec<_> = places.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let refused = rig.world.run_with(&["serve", "--role", "api"], &places);
        let refused = refused.await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
}
