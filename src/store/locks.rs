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

impl<'a> Name<'a> {
    /// What is locked: its kind, whose it is, and which.
    const fn words(self) -> (&'static str, &'a str, &'a str) {
        match self {
            Self::IdempotencyKey(key) => ("key", "", key),
            Self::PlatformId(channel, id) => ("platform", channel, id),
            Self::Identity(scope, id) => ("identity", scope, id),
            Self::Chore(chore) => ("chore", "", chore),
        }
    }
}

/// Holds several names until the unit ends, taken in the one order.
pub(super) async fn names<'a, S: Sql>(
    sql: &mut S,
    names: impl Iterator<Item = Name<'a>>,
) -> Result<(), StoreError> {
    let mut words: Vec<_> = names.map(Name::words).collect();
    words.sort_unstable();
    words.dedup();
    if words.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&(&'static str, &'a str, &'a str)) -> &'a str| {
        words.iter().map(|w| Some(of(w))).collect::<Vec<_>>()
    };
    // The rows come in the order of the arrays, and nothing sorts them.
    let lock = Text::lock(
        "SELECT pg_advisory_xact_lock(hashtextextended(q.kind || ' ' || q.whose || ' ' || q.id, 0))
         FROM unnest($1::text[], $2::text[], $3::text[]) AS q (kind, whose, id)",
    );
    let (kinds, whose, ids) = (column(|w| w.0), column(|w| w.1), column(|w| w.2));
    sql.later(lock, vals![&kinds[..], &whose[..], &ids[..]])
        .await
}

/// Holds a name until the unit ends.
pub async fn name<S: Sql>(sql: &mut S, name: Name<'_>) -> Result<(), StoreError> {
    let (what, of, id) = name.words();
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

/// Holds those whom these ids stand for, each in its scope, until the unit ends; in the one order, which a
/// look-up that finds conversations as well does not keep.
pub(super) async fn people<S: Sql>(
    sql: &mut S,
    scopes: &[Option<&str>],
    ids: &[Option<&str>],
) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let lock = Text::lock(
        "SELECT 1 FROM users WHERE id IN (SELECT i.user_id
            FROM unnest($1::text[], $2::text[]) AS q (scope, id)
            JOIN identities i ON i.scope = q.scope AND i.platform_user_id = q.id)
         ORDER BY id FOR NO KEY UPDATE",
    );
    sql.later(lock, vals![scopes, ids]).await
}
