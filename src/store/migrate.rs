//! Bringing a database to the schema of this binary.
//!
//! The schema has a version, and a `compatible_from`: the oldest schema version whose binaries can
//! still work with it. A binary runs on a newer schema when its own version is at least that.

use super::StoreError;
use super::postgres::Session;
use rusqlite::{Connection, OptionalExtension};
use std::time::Duration;

/// A step from one schema version to the next.
struct Step {
    version: i64,
    /// The oldest binary that can live with the schema after this step.
    compatible_from: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

const STEPS: &[Step] = &[
    Step {
        version: 1,
        compatible_from: 1,
        sqlite: include_str!("migrations/sqlite/0001_init.sql"),
        postgres: include_str!("migrations/postgres/0001_init.sql"),
    },
    Step {
        version: 2,
        compatible_from: 1,
        sqlite: include_str!("migrations/sqlite/0002_participants.sql"),
        postgres: include_str!("migrations/postgres/0002_participants.sql"),
    },
    Step {
        version: 3,
        compatible_from: 1,
        sqlite: include_str!("migrations/sqlite/0003_fewer_indexes.sql"),
        postgres: include_str!("migrations/postgres/0003_fewer_indexes.sql"),
    },
    Step {
        version: 4,
        compatible_from: 1,
        sqlite: include_str!("migrations/sqlite/0004_mailboxes.sql"),
        postgres: include_str!("migrations/postgres/0004_mailboxes.sql"),
    },
    Step {
        version: 5,
        compatible_from: 1,
        sqlite: include_str!("migrations/sqlite/0005_held_echoes.sql"),
        postgres: include_str!("migrations/postgres/0005_held_echoes.sql"),
    },
    Step {
        version: 6,
        compatible_from: 1,
        sqlite: include_str!("migrations/sqlite/0006_mirror.sql"),
        postgres: include_str!("migrations/postgres/0006_mirror.sql"),
    },
    Step {
        version: 7,
        compatible_from: 1,
        sqlite: include_str!("migrations/sqlite/0007_told_by_group.sql"),
        postgres: include_str!("migrations/postgres/0007_told_by_group.sql"),
    },
    Step {
        version: 8,
        compatible_from: 1,
        sqlite: include_str!("migrations/sqlite/0008_lighter_indexes.sql"),
        postgres: include_str!("migrations/postgres/0008_lighter_indexes.sql"),
    },
];

/// The schema version of this binary.
pub const VERSION: i64 = 8;

/// Refuses a schema of a newer release that this one cannot live with.
fn can_live_with(found: i64, compatible_from: i64) -> Result<(), StoreError> {
    if found > VERSION && compatible_from > VERSION {
        return Err(StoreError::Schema {
            found,
            known: VERSION,
        });
    }
    Ok(())
}

/// Brings the schema to [`VERSION`], each step in a transaction of its own.
///
/// # Errors
/// [`StoreError::Schema`] when the file is of a newer release that this one cannot live with.
pub fn migrate_sqlite(connection: &mut Connection) -> Result<(), StoreError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    )?;
    let number = |c: &Connection, key: &str| -> Result<i64, StoreError> {
        let text: Option<String> = c
            .query_row("SELECT value FROM meta WHERE key = $1", [key], |r| r.get(0))
            .optional()?;
        Ok(text.and_then(|t| t.parse().ok()).unwrap_or(0))
    };
    let found = number(connection, "schema_version")?;
    let compatible_from = number(connection, "compatible_from")?;
    can_live_with(found, compatible_from)?;
    for step in STEPS.iter().filter(|s| s.version > found) {
        let tx = connection.transaction()?;
        tx.execute_batch(step.sqlite)?;
        for (key, value) in [
            ("schema_version", step.version),
            ("compatible_from", step.compatible_from),
        ] {
            tx.execute(
                "INSERT INTO meta (key, value) VALUES ($1, $2)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value.to_string()),
            )?;
        }
        tx.commit()?;
    }
    Ok(())
}

/// A step over many rows takes its time, and so does waiting for another process's.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// Whoever holds this lock changes the schema; the others wait, and find it changed. The number is
/// ours alone: the first bytes of "switchboard".
const LOCK: &str = "SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SELECT pg_advisory_lock(8319395793567416434)";
const UNLOCK: &str = "SELECT pg_advisory_unlock(8319395793567416434)";

/// Brings the schema to [`VERSION`], each step in a transaction of its own, under a lock: of several
/// processes that start at once, one does it.
///
/// # Errors
/// [`StoreError::Schema`] when the database is of a newer release that this one cannot live with.
pub fn migrate_postgres(session: &mut Session) -> Result<(), StoreError> {
    session.be_patient(PATIENCE);
    session.connect()?;
    session.finish(LOCK)?;
    let done = migrate_locked(session);
    // The lock ends with the connection, too, which is dropped after this.
    session.finish(UNLOCK).ok();
    done
}

fn migrate_locked(session: &mut Session) -> Result<(), StoreError> {
    session
        .finish("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")?;
    let mut number = |key: &str| -> Result<i64, StoreError> {
        let rows = session.rows("SELECT value FROM meta WHERE key = $1", crate::vals![key])?;
        let text = rows.into_iter().next().map(|mut row| row.text());
        Ok(text.transpose()?.and_then(|t| t.parse().ok()).unwrap_or(0))
    };
    let found = number("schema_version")?;
    let compatible_from = number("compatible_from")?;
    can_live_with(found, compatible_from)?;
    for step in STEPS.iter().filter(|s| s.version > found) {
        session.finish("BEGIN")?;
        session.finish(step.postgres)?;
        for (key, value) in [
            ("schema_version", step.version),
            ("compatible_from", step.compatible_from),
        ] {
            session.exec(
                "INSERT INTO meta (key, value) VALUES ($1, $2)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                crate::vals![key, &value.to_string()],
            )?;
        }
        session.finish("COMMIT")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_named() {
        let mut c = Connection::open_in_memory().unwrap();
        migrate_sqlite(&mut c).unwrap();
        migrate_sqlite(&mut c).unwrap(); // twice changes nothing
        c.execute(
            "UPDATE meta SET value = '9' WHERE key IN ('schema_version')",
            [],
        )
        .unwrap();
        migrate_sqlite(&mut c).unwrap(); // newer, but compatible with us
        c.execute(
            "UPDATE meta SET value = '9' WHERE key = 'compatible_from'",
            [],
        )
        .unwrap();
        let error = migrate_sqlite(&mut c).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "the store has schema version 9, this release knows {VERSION}: use a newer release"
            )
        );
    }

    #[test]
    fn what_stood_before_lighter_indexes_is_found_by_them() {
        let mut c = Connection::open_in_memory().unwrap();
        let before = STEPS.iter().filter(|step| step.version < 8);
        before.for_each(|step| c.execute_batch(step.sqlite).unwrap());
        let hash = "0123456789abcdef0123456789abcdef";
        c.execute_batch(&format!(
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
             INSERT INTO meta VALUES ('schema_version', '7'), ('compatible_from', '1');
             INSERT INTO conversations (id, user_id, channel_id, source, thread_key, thread_live,
                status_code, address, creation_time, last_update_time)
                VALUES (1, 2, 'bot', 'tg', 'user:2', TRUE, 2, 'ann', 0, 7200001);
             INSERT INTO messages (id, conversation_id, user_id, outbound, text, status, creation_time)
                VALUES (1, 1, 2, FALSE, 'hi', 'received', 7200001);
             INSERT INTO platform_messages VALUES ('bot', 'ffffffffffffffffffffffffffffffff', 1, 0),
                ('bot', 'short', 9, 0), ('bot', '{hash}', 8, 0);"
        ))
        .unwrap();
        migrate_sqlite(&mut c).unwrap();
        let one = |sql: &str| c.query_row(sql, [], |row| row.get::<_, String>(0));
        // Of a message that was erased; what is as long and stands for one that is there is no hash.
        let erased = "SELECT GROUP_CONCAT(channel_id || ' ' || hash) FROM erased_ids";
        assert_eq!(one(erased).unwrap(), format!("bot {hash}"));
        let hour = "SELECT CAST(updated_hour AS TEXT) FROM conversations";
        assert_eq!(one(hour).unwrap(), "2");
        let found = "SELECT text FROM messages WHERE user_id = 2 AND user_id <> 1 AND guest";
        assert_eq!(one(found).unwrap(), "hi");
    }

    /// Table, column; then table and index.
    fn sqlite_names() -> Vec<String> {
        let mut c = Connection::open_in_memory().unwrap();
        migrate_sqlite(&mut c).unwrap();
        let sql =
            "SELECT m.name || '.' || p.name || CASE WHEN p.\"notnull\" OR p.pk THEN ' not null'
                ELSE '' END
             FROM sqlite_master m, pragma_table_info(m.name) p
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'
             UNION ALL SELECT tbl_name || ' by ' || name FROM sqlite_master
             WHERE type = 'index' AND name NOT LIKE 'sqlite_%'";
        let mut statement = c.prepare(sql).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        let mut names: Vec<String> = names.map(Result::unwrap).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn both_databases_end_with_the_same_tables() {
        use switchboard_testkit::servers::PostgresServer;
        let database = PostgresServer::shared().database();
        let place = postgres_place(database.url());
        drop(
            crate::store::postgres::Postgres::open(&place)
                .await
                .unwrap(),
        );
        let names = database.sql(
            "SELECT table_name || '.' || column_name
                || CASE WHEN is_nullable = 'NO' THEN ' not null' ELSE '' END
             FROM information_schema.columns WHERE table_schema = 'public'
             UNION ALL SELECT tablename || ' by ' || indexname FROM pg_indexes
             WHERE schemaname = 'public' AND indexname NOT LIKE '%_pkey'
                AND indexname NOT LIKE '%_key'",
        );
        let mut names: Vec<String> = names.lines().map(str::to_owned).collect();
        names.sort();
        assert!(names.len() > 150, "only {} names", names.len());
        assert_eq!(names, sqlite_names());
    }

    #[tokio::test]
    async fn on_postgres_too_a_newer_schema_is_named() {
        use crate::store::postgres::Postgres;
        use switchboard_testkit::servers::PostgresServer;
        let database = PostgresServer::shared().database();
        let place = postgres_place(database.url());
        // Several at once: one migrates, the others wait and find it done.
        let opened = tokio::join!(
            Postgres::open(&place),
            Postgres::open(&place),
            Postgres::open(&place)
        );
        assert!(opened.0.is_ok() && opened.1.is_ok() && opened.2.is_ok());
        database.sql("UPDATE meta SET value = '9' WHERE key = 'schema_version'");
        drop(Postgres::open(&place).await.unwrap()); // newer, but compatible with us
        database.sql("UPDATE meta SET value = '9' WHERE key = 'compatible_from'");
        let error = Postgres::open(&place).await.err().unwrap();
        assert!(matches!(
            error,
            StoreError::Schema {
                found: 9,
                known: VERSION
            }
        ));
    }

    fn postgres_place(url: String) -> crate::store::postgres::Place {
        crate::store::postgres::Place {
            url: switchboard_channels::kit::secret::Secret::new(url),
            connections: 2,
            presence: crate::store::postgres::Presence::Visitor,
        }
    }
}
