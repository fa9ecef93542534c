//! The suite over PostgreSQL, and what several writers at once make a promise of its own.

#![expect(clippy::duplicate_mod, reason = "the same tests over another database")]

#[path = "accept.rs"]
mod accept;
#[path = "commits.rs"]
mod commits;
#[path = "concurrent.rs"]
mod concurrent;
#[path = "conversations.rs"]
mod conversations;
#[path = "doubts.rs"]
mod doubts;
#[path = "echoes.rs"]
mod echoes;
#[path = "events.rs"]
mod events;
#[path = "inbound.rs"]
mod inbound;
#[path = "late.rs"]
mod late;
#[path = "letters.rs"]
mod letters;
#[path = "lost.rs"]
mod lost;
#[path = "mailboxes.rs"]
mod mailboxes;
#[path = "media.rs"]
mod media;
#[path = "messages.rs"]
mod messages;
#[path = "mirror.rs"]
mod mirror;
#[path = "newer.rs"]
mod newer;
#[path = "people.rs"]
mod people;
#[path = "quotes.rs"]
mod quotes;
#[path = "sent_at_once.rs"]
mod sent_at_once;
#[path = "sent_sets.rs"]
mod sent_sets;
#[path = "sets.rs"]
mod sets;
#[path = "statuses.rs"]
mod statuses;
#[path = "threads.rs"]
mod threads;
#[path = "users.rs"]
mod users;
#[path = "workers.rs"]
mod workers;

use super::*;
use crate::store::postgres::Presence;
use std::sync::Mutex;
use switchboard_channels::kit::secret::Secret;
use switchboard_testkit::servers::{PostgresDatabase, PostgresServer};

type Bench = super::Bench<Own>;

/// A database of its own on the server of this process.
struct Own(Option<PostgresDatabase<'static>>);

/// Databases whose tests are over. Making one costs many times what emptying one does.
static USED: Mutex<Vec<PostgresDatabase<'static>>> = Mutex::new(Vec::new());

/// As the first migration leaves it.
const EMPTY: &str = "DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'meta' LOOP
        EXECUTE 'DELETE FROM ' || name;
    END LOOP;
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
        EXECUTE 'ALTER SEQUENCE ' || name || ' RESTART';
    END LOOP;
    DELETE FROM meta WHERE key = 'gateway_key';
    INSERT INTO users (id, first_name, last_name, user_type, token, creation_time, last_activity)
        VALUES (1, 'Switchboard', '', 'bot', '', 0, 0);
    ALTER TABLE users ALTER COLUMN id RESTART WITH 2;
END $$";

/// Of each store: one that reads and three that write at once.
const CONNECTIONS: u32 = 4;

impl Own {
    fn database(&self) -> &PostgresDatabase<'static> {
        self.0.as_ref().unwrap()
    }
}

impl Place for Own {
    fn new() -> Self {
        let used = USED.lock().unwrap().pop();
        if let Some(used) = &used {
            used.sql(EMPTY);
        }
        Self(Some(
            used.unwrap_or_else(|| PostgresServer::shared().database()),
        ))
    }

    async fn open(&self, receivers: Vec<Receiver>) -> Result<Store, StoreError> {
        let place = crate::store::postgres::Place {
            url: Secret::new(self.database().url()),
            connections: CONNECTIONS,
            presence: Presence::OneOfMany,
        };
        Store::connect(&place, receivers, "https://gate.example").await
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // A test that failed may have left it in any state.
        if !std::thread::panicking() {
            USED.lock().unwrap().extend(self.0.take());
        }
    }
}

#[tokio::test]
async fn one_process_alone_is_beside_no_other() {
    let database = PostgresServer::shared().database();
    let place = |presence| crate::store::postgres::Place {
        url: Secret::new(database.url()),
        connections: 2,
        presence,
    };
    let open =
        async |presence| Store::connect(&place(presence), Vec::new(), "https://g.example").await;
    let many = (
        open(Presence::OneOfMany).await,
        open(Presence::OneOfMany).await,
    );
    assert!(many.0.is_ok() && many.1.is_ok());
    let refused = open(Presence::Alone).await.err();
    assert!(
        matches!(refused, Some(StoreError::Locked(_))),
        "{refused:?}"
    );
    drop(many);
    let alone = open(Presence::Alone).await;
    assert!(alone.is_ok());
    let refused = open(Presence::OneOfMany).await.err();
    assert!(
        matches!(refused, Some(StoreError::Locked(_))),
        "{refused:?}"
    );
    open(Presence::Visitor).await.unwrap();
}

#[tokio::test]
async fn over_tls_with_a_password_it_works_and_nothing_less_is_let_in() {
    let server = PostgresServer::with_tls("s3cret-of-app");
    let database = server.database();
    let plain = database.url().replace("postgres@", "app:s3cret-of-app@");
    let authority = server.authority();
    let whole = format!(
        "{plain}?sslmode=require&sslrootcert={}",
        authority.display()
    );
    let open = async |url: &str| {
        let place = crate::store::postgres::Place {
            url: Secret::new(url),
            connections: 2,
            presence: Presence::Visitor,
        };
        Store::connect(&place, Vec::new(), "https://g.example").await
    };
    let store = open(&whole).await.unwrap();
    store.ping().await.unwrap();
    let encrypted = "SELECT COUNT(*) > 0 AND bool_and(s.ssl) FROM pg_stat_ssl s
        JOIN pg_stat_activity a ON a.pid = s.pid WHERE a.usename = 'app'";
    assert_eq!(database.sql(encrypted), "t");
    for (url, why) in [
        (
            whole.replace("s3cret-of-app", "wr0ng-of-app"),
            "password authentication failed",
        ),
        // Signed by nobody whom the public authorities know.
        (format!("{plain}?sslmode=require"), "certificate"),
        (plain, "no encryption"),
    ] {
        let refused = open(&url).await.err().unwrap();
        // Not a server that is away: waiting would not mend it.
        assert!(matches!(refused, StoreError::Open(_)), "{refused:?}");
        let said = refused.to_string();
        assert!(said.contains(why), "{said}");
        assert!(!said.contains("-of-app"), "{said}");
    }
}
