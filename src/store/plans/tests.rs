//! The judge is judged; and what it says of a store with five million messages.

#![allow(
    clippy::print_stdout,
    reason = "five million messages end in figures for a person"
)]

use super::{ALLOWED, Plan, flat, forbidden, names, of_a_test, written_down};
use crate::store::postgres::{Place, Postgres, Presence, Session};
use crate::store::sql::{Sql, Val};
use crate::store::{Store, StoreError, at_once, upkeep, users};
use crate::vals;
use std::time::{Duration, Instant};
use switchboard_channels::kit::secret::Secret;
use switchboard_channels::model::UserId;
use switchboard_testkit::servers::PostgresServer;

/// No column of a message's text has an index.
const BY_TEXT: &str = "SELECT id FROM messages WHERE text = $1";
/// Along an index that holds all of them, to the last.
const COUNTED: &str = "SELECT COUNT(*) FROM messages m";
/// What an index leads to.
const BY_NUMBER: &str = "SELECT text FROM messages m WHERE m.conversation_id = $1 AND m.id > $2";

fn place(url: String) -> Place {
    Place {
        url: Secret::new(url),
        connections: 2,
        presence: Presence::Visitor,
    }
}

async fn judged_by(store: &Store) {
    for refused in [BY_TEXT, COUNTED] {
        let asked = store.read(move |tx| {
            let hello = [Val::Text("hello")];
            let vals = &hello[..usize::from(refused.contains('$'))];
            at_once(tx.rows(refused, vals)).map(drop)
        });
        match asked.await {
            Err(StoreError::Corrupt(why)) => {
                assert!(
                    why.starts_with("a statement reads all of messages: "),
                    "{why}"
                );
            }
            other => panic!("{refused}: {other:?}"),
        }
    }
    let fine = store.read(|tx| at_once(tx.rows(BY_NUMBER, vals![1, 2])).map(drop));
    fine.await.unwrap();
}

#[tokio::test]
async fn on_sqlite_a_statement_that_reads_all_of_a_table_is_refused() {
    let name = format!("switchboard-plans-{}", uuid::Uuid::new_v4().simple());
    let folder = std::env::temp_dir().join(name);
    let file = folder.join("s.db");
    let store = Store::open(&file, Vec::new(), "https://gate.example").await;
    judged_by(&store.unwrap()).await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn on_postgres_a_statement_that_reads_all_of_a_table_is_refused() {
    let database = PostgresServer::shared().database();
    let place = place(database.url());
    let store = Store::connect(&place, Vec::new(), "https://gate.example");
    judged_by(&store.await.unwrap()).await;
}

#[test]
fn what_a_test_asks_for_itself_is_its_own_affair() {
    let own = "SELECT user_id FROM messages WHERE text = 'of a test'";
    of_a_test(own);
    let mut c = rusqlite::Connection::open_in_memory().unwrap();
    crate::store::migrate::migrate_sqlite(&mut c).unwrap();
    super::look_on_sqlite(&c, own, &[]).unwrap();
}

#[test]
fn tables_are_known_by_their_names_in_a_statement() {
    let names = names("SELECT 1 FROM messages m JOIN users AS u, (SELECT id FROM events) e");
    assert_eq!(names.get("m").unwrap(), "messages");
    assert_eq!(names.get("u").unwrap(), "users");
    assert_eq!(
        forbidden("SELECT x", ["tokens", "parts"], &[ALLOWED]),
        ["parts"]
    );
    let erased = "DELETE FROM raw_events\n WHERE LOWER(body) LIKE $1";
    assert!(forbidden(erased, ["raw_events"], &[ALLOWED]).is_empty());
    assert_eq!(forbidden(erased, ["users"], &[ALLOWED]), ["users"]);
}

/// Dearer than so many pages is no hot path. The dearest of ours read a page of 5000 groups.
const DEAR: f64 = 50_000.0;

/// A table that is read whole for so little is small, and reading it is right: echoes that are held, jobs
/// that wait.
const CHEAP: f64 = 2_000.0;

/// What costs more is shown.
const SHOWN: f64 = 1_000.0;

/// What a chore may take, on a busy machine: a person waits for it, or conversations do.
const CHORE_MAX: Duration = Duration::from_secs(5);

/// After everything that is there.
const AFTER_ALL_MS: i64 = 100 * 86_400_000;

/// The chores whose cost must not grow with the store, done in earnest.
async fn chores(store: &Store) {
    for person in 7..10 {
        let began = Instant::now();
        let erased = store
            .write(move |tx, unit| at_once(users::delete(tx, unit, UserId(person))))
            .await;
        assert!(erased.unwrap().0.is_some());
        println!("a person is erased in {:?}", began.elapsed());
        // The first time each statement is explained, too.
        assert!(person == 7 || began.elapsed() < CHORE_MAX);
    }
    let keep = upkeep::Retention {
        raw_events_ms: -AFTER_ALL_MS,
        delivered_events_ms: -AFTER_ALL_MS,
        dedup_keys_ms: -AFTER_ALL_MS,
    };
    for round in 0..3 {
        let began = Instant::now();
        let pruned = store.write(move |tx, unit| at_once(upkeep::prune(tx, unit, &keep, 0)));
        let gone = pruned.await.unwrap().0.gone;
        println!("{gone} old rows are pruned in {:?}", began.elapsed());
        assert!(gone > 0);
        assert!(round == 0 || began.elapsed() < CHORE_MAX);
    }
}

/// Every statement that the suite runs, as PostgreSQL goes about it with five million messages: of its
/// own accord, and as the service has it. `tests/plans/run.sh` runs it.
#[test]
#[ignore = "fills several gigabytes and takes minutes: tests/plans/run.sh"]
fn five_million() {
    let statements = written_down();
    assert!(
        statements.len() > 200,
        "only {} statements",
        statements.len()
    );
    let server = PostgresServer::start(&[
        "fsync=off",
        "full_page_writes=off",
        "shared_buffers=512MB",
        "max_wal_size=8GB",
        "autovacuum=off",
    ]);
    let database = server.database();
    let place = place(database.url());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    drop(runtime.block_on(Postgres::open(&place)).unwrap());
    let began = Instant::now();
    database.sql(include_str!("../../../tests/plans/fill.sql"));
    let size = database.sql("SELECT pg_size_pretty(pg_database_size(current_database()))");
    println!("filled in {:?}: {size}", began.elapsed());
    let mut session = Session::open(&place.url).unwrap();
    session.connect().unwrap();
    let mut bad = Vec::new();
    let mut dear = Vec::new();
    for sql in &statements {
        for (how, seqscan) in [
            ("of its own accord", "on"),
            ("as the service has it", "off"),
        ] {
            session
                .texts(&format!("SET enable_seqscan = {seqscan}"))
                .unwrap();
            let plan = Plan::of(&mut session, sql).unwrap();
            let tables = forbidden(sql, plan.reads_all(CHEAP), &[ALLOWED]);
            let text = plan.text();
            if !tables.is_empty() {
                bad.push(format!(
                    "{how}, all of {}: {}\n{text}",
                    tables.join(", "),
                    flat(sql)
                ));
            }
            dear.push((plan.cost(), how, flat(sql), text));
        }
    }
    dear.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("{} statements; the dearest:", statements.len());
    for (cost, how, sql, _) in dear.iter().filter(|d| d.0 > SHOWN) {
        println!(
            "{cost:12.0}  {how}: {}",
            sql.chars().take(150).collect::<String>()
        );
    }
    for (cost, how, sql, text) in dear.iter().filter(|d| d.0 > DEAR) {
        // One that is allowed to read all of a table is as dear as that.
        if ALLOWED.iter().all(|(begin, ..)| !sql.starts_with(begin)) {
            bad.push(format!("{how}, cost {cost}: {sql}\n{text}"));
        }
    }
    assert!(
        bad.is_empty(),
        "{} are wrong:\n{}",
        bad.len(),
        bad.join("\n\n")
    );
    drop(session);
    let store = Store::connect(&place, Vec::new(), "https://gate.example");
    let store = runtime.block_on(store).unwrap();
    runtime.block_on(chores(&store));
}
