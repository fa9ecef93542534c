//! A server that goes away, and comes back.

use super::commits::mark;
use super::*;
use crate::store::postgres::Place as Address;
use std::sync::Arc;
use switchboard_testkit::until;

async fn connected(url: String) -> Store {
    let address = Address {
        url: Secret::new(url),
        connections: 2,
        presence: Presence::OneOfMany,
    };
    let store = Store::connect(&address, Vec::new(), "https://gate.example");
    store.await.unwrap()
}

async fn lanes(store: &Store) -> Vec<String> {
    let read = store.read(|tx| {
        at_once(async {
            let rows = tx.rows("SELECT lane FROM paused_lanes ORDER BY lane", &[]);
            rows.await?.into_iter().map(|mut r| r.text()).collect()
        })
    });
    read.await.unwrap()
}

#[tokio::test]
async fn a_server_that_was_killed_is_found_again() {
    let server = PostgresServer::start(&["fsync=off"]);
    let database = server.database();
    let store = connected(database.url()).await;
    store.write(|tx, _| mark(tx, "before")).await.unwrap();
    server.kill();
    let refused = store.write(|tx, _| mark(tx, "meanwhile")).await;
    assert!(
        matches!(&refused, Err(error) if error.may_pass()),
        "{refused:?}"
    );
    assert!(store.ping().await.is_err());
    server.restart();
    until("an answer", || async { store.ping().await.ok() }).await;
    until("a write", || async {
        store.write(|tx, _| mark(tx, "after")).await.ok()
    })
    .await;
    assert_eq!(lanes(&store).await, ["after", "before"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_whose_connection_breaks_leaves_nothing() {
    let bench = Bench::open().await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle in transaction'";
    let url = bench.place.database().url();
    let name = url.rsplit('/').next().unwrap().to_owned();
    let broken = bench
        .try_unit(move |tx, _| {
            mark(tx, "half")?;
            PostgresServer::shared().sql(&name, cut);
            mark(tx, "rest")
        })
        .await;
    assert!(matches!(broken, Err(StoreError::Unavailable(_))));
    bench.unit(|tx, _| mark(tx, "next")).await;
    assert_eq!(bench.marks().await, ["next"]);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_said_to_be_unknown() {
    let bench = Bench::open().await;
    // Its connection ends at the commit, and nowhere before.
    bench.place.database().sql(
        "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER leave AFTER INSERT ON paused_lanes
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.lane = 'cut') EXECUTE FUNCTION leave()",
    );
    let lost = bench.try_unit(|tx, _| mark(tx, "cut")).await;
    bench
        .place
        .database()
        .sql("DROP TRIGGER leave ON paused_lanes; DROP FUNCTION leave()");
    assert!(
        matches!(lost, Err(StoreError::Unknown(_))),
        "{:?}",
        lost.err()
    );
    bench.unit(|tx, _| mark(tx, "next")).await;
    assert_eq!(bench.marks().await, ["next"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_so_without_the_password() {
    let address = Address {
        url: Secret::new("postgres://ann:s3cret@127.0.0.1:1/db"),
        connections: 2,
        presence: Presence::OneOfMany,
    };
    let refused = Store::connect(&address, Vec::new(), "https://gate.example").await;
    let words = refused.err().unwrap().to_string();
    assert!(words.contains("127.0.0.1"), "{words}");
    assert!(!words.contains("s3cret"), "{words}");
    for (query, wanted) in [
        ("sslmode=maybe", "sslmode maybe"),
        ("sslmode=require&sslrootcert=/nowhere", "/nowhere"),
        ("colour=red", "colour"),
    ] {
        let url = format!("postgres://ann:s3cret@127.0.0.1:1/db?{query}");
        let address = Address {
            url: Secret::new(url),
            ..address.clone()
        };
        let refused = Store::connect(&address, Vec::new(), "https://gate.example").await;
        let words = refused.err().unwrap().to_string();
        assert!(words.contains(wanted), "{words}");
        assert!(!words.contains("s3cret"), "{words}");
    }
}

/// PostgreSQL's text holds no NUL, and platforms pass them on.
#[tokio::test]
async fn a_nul_in_a_message_is_no_reason_to_refuse_it() {
    let bench = Bench::open().await;
    let odd = with(wrote("ann", "m1"), |m| m.text = "a\0b".to_owned());
    assert_eq!(bench.came(odd).await, Fate::Applied);
    let messages = bench.messages(ConversationId(1)).await;
    assert_eq!(messages[0].text, "a\u{fffd}b");
}

/// What was sent and not waited for fails where something is waited for, at the latest at the commit.
#[tokio::test]
async fn a_statement_that_nobody_waited_for_fails_its_unit() {
    let bench = Bench::open().await;
    bench.unit(|tx, _| mark(tx, "taken")).await;
    let twice = "INSERT INTO paused_lanes (lane, reason, message, since) VALUES ($1, '', '', 0)";
    let failed = bench.try_unit(move |tx, _| {
        mark(tx, "half")?;
        at_once(tx.later(twice, vals!["taken"]))
    });
    assert!(matches!(failed.await, Err(StoreError::Taken(_))));
    assert_eq!(bench.marks().await, ["taken"]);
    let store = Arc::new(bench.again().await.unwrap());
    store.write(|tx, _| mark(tx, "next")).await.unwrap();
    assert_eq!(bench.marks().await, ["next", "taken"]);
}

/// Long answers come in many pieces, and the connection reads on only while somebody takes them in.
#[tokio::test]
async fn whatever_is_asked_may_be_answered_at_length() {
    const LONG: &str = "SELECT REPEAT('x', 10000) FROM generate_series(1, 200)";
    const SHORT: &str = "SELECT COUNT(*) FROM users";
    plans::of_a_test(LONG);
    plans::of_a_test(SHORT);
    let bench = Bench::open().await;
    let read = bench.unit(|tx, _| {
        at_once(async {
            tx.later(LONG, &[]).await?;
            let first = tx.ask(LONG, &[]).await?;
            let second = tx.ask(SHORT, &[]).await?;
            let between = tx.one(SHORT, &[]).await?.int()?;
            let unread = tx.ask(LONG, &[]).await?;
            let second = tx.answer(second).await?.len();
            drop(unread);
            Ok((between, second, tx.answer(first).await?.len()))
        })
    });
    assert_eq!(read.await.0, (1, 1, 200));
}

#[tokio::test]
async fn a_webhook_that_cannot_be_written_takes_no_other_with_it() {
    let bench = Bench::open().await;
    for person in ["ann", "bob"] {
        let first = format!("first of {person}");
        bench.came(wrote(person, &first)).await;
    }
    bench
        .meddle("ALTER TABLE messages ADD CONSTRAINT no_bad CHECK (text NOT LIKE '%bad%')")
        .await;
    let take = |person: &'static str, key: &'static str| {
        let hook = InboundBatch {
            channel: bot(),
            events: vec![wrote(person, key)],
            effects: Vec::new(),
        };
        bench.store().take_in(vec![hook].into())
    };
    let (one, bad, two, copy, new) = tokio::join!(
        take("ann", "one"),
        take("bob", "bad"),
        take("bob", "two"),
        take("ann", "one"),
        take("cid", "three"),
    );
    // The database goes to another test afterwards.
    bench
        .meddle("ALTER TABLE messages DROP CONSTRAINT no_bad")
        .await;
    assert!(matches!(bad, Err(StoreError::Taken(_))), "{bad:?}");
    let fate = |taken: Result<(Vec<Vec<Fate>>, Wakes), StoreError>| taken.unwrap().0.concat();
    assert_eq!(fate(two), [Fate::Applied]);
    assert_eq!(fate(new), [Fate::Applied]);
    let mut copies = [fate(one), fate(copy)].concat();
    copies.sort_by_key(|fate| fate.name());
    assert_eq!(copies, [Fate::Applied, Fate::Duplicate]);
}
