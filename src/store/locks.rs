//! What keeps units apart that run at the same time: locks that end with their transaction.
//!
//! SQLite has one writer, so there each of these does nothing. On PostgreSQL several threads and
//! processes write at once, and a unit that reads something in order to decide what to write must hold
//! it meanwhile. To lock in one order is to never wait in a circle:
//!
//! 1. names ([`name`]): idempotency keys, ids of platforms, people whom nobody knows yet;
//! 2. users;
//! 3. conversations ([`conversation`], [`of_message`]). Whoever holds one may do as it likes with its
//!    messages, their parts and attempts, and writes its events in order;
//! 4. everything else, by the statements that change it.
//!
//! Where a circle closes all the same (a webhook that brings several people's messages), the server
//! ends one of the units, which is run again. `docs/decisions/0013` goes through all of them.

use super::StoreError;
use super::outbox::Unit;
use super::sql::{Sql, Text};
use crate::vals;
use switchboard_channels::model::MessageId;

/// Something that has no row, or none yet.
#[derive(Debug, Clone, Copy)]
pub enum Name<'a> {
    /// A caller's idempotency key.
    IdempotencyKey(&'a str),
    /// A platform's id of a message: channel and id.
    PlatformId(&'a str, &'a str),
    /// An id of a person: scope and id.
    Identity(&'a str, &'a str),
    /// What one process at a time does for all.
    Chore(&'static str),
}

/// Holds a name until the unit ends.
pub async fn name<S: Sql>(sql: &mut S, name: Name<'_>) -> Result<(), StoreError> {
    let (what, of, id) = match name {
        Name::IdempotencyKey(key) => ("key", "", key),
        Name::PlatformId(channel, id) => ("platform", channel, id),
        Name::Identity(scope, id) => ("identity", scope, id),
        Name::Chore(chore) => ("chore", "", chore),
    };
    // Two names of one hash only wait for each other.
    let lock = Text::lock(
        "SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2 || ' ' || $3, 0))",
    );
    sql.later(lock, vals![what, of, id]).await
}

/// Holds a conversation until the unit ends.
pub async fn conversation<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    id: i64,
) -> Result<(), StoreError> {
    if unit.holds(id) {
        return Ok(());
    }
    let lock = Text::lock("SELECT 1 FROM conversations WHERE id = $1 FOR NO KEY UPDATE");
    sql.later(lock, vals![id]).await
}

/// Holds the conversation that a message stands in until the unit ends.
pub async fn of_message<S: Sql>(sql: &mut S, message: MessageId) -> Result<(), StoreError> {
    let lock = Text::lock(
        "SELECT 1 FROM messages m JOIN conversations c ON c.id = m.conversation_id
         WHERE m.id = $1 FOR NO KEY UPDATE OF c",
    );
    sql.later(lock, vals![message.0]).await
}
