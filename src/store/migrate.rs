//! Bringing a database to the schema of this binary.
//!
//! The schema has a version, and a `compatible_from`: the oldest schema version whose binaries can
//! still work with it. A binary runs on a newer schema when its own version is at least that.

use super::StoreError;
use rusqlite::{Connection, OptionalExtension};

/// A step from one schema version to the next.
struct Step {
    version: i64,
    /// The oldest binary that can live with the schema after this step.
    compatible_from: i64,
    sql: &'static str,
}

const STEPS: &[Step] = &[
    Step {
        version: 1,
        compatible_from: 1,
        sql: include_str!("migrations/sqlite/0001_init.sql"),
    },
    Step {
        version: 2,
        compatible_from: 1,
        sql: include_str!("migrations/sqlite/0002_participants.sql"),
    },
    Step {
        version: 3,
        compatible_from: 1,
        sql: include_str!("migrations/sqlite/0003_fewer_indexes.sql"),
    },
    Step {
        version: 4,
        compatible_from: 1,
        sql: include_str!("migrations/sqlite/0004_mailboxes.sql"),
    },
    Step {
        version: 5,
        compatible_from: 1,
        sql: include_str!("migrations/sqlite/0005_mirror.sql"),
    },
];

/// The schema version of this binary.
pub const VERSION: i64 = 5;

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
    if found > VERSION && compatible_from > VERSION {
        return Err(StoreError::Schema {
            found,
            known: VERSION,
        });
    }
    for step in STEPS.iter().filter(|s| s.version > found) {
        let tx = connection.transaction()?;
        tx.execute_batch(step.sql)?;
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
}
