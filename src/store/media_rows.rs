//! Attachments that are fetched and kept.

use super::StoreError;
use super::outbox::Unit;
use super::rows::{MessageRow, attachments_text, from_json};
use super::sql::{Sql, Text};
use super::{inbound, reads};
use crate::vals;
use switchboard_channels::model::{MediaRef, MessageId, Millis};

/// An attachment to be fetched.
#[derive(Debug, Clone)]
pub struct MediaRow {
    /// Row.
    pub id: i64,
    /// Key in the media store, and in links.
    pub key: String,
    /// The channel that can fetch it.
    pub channel_id: String,
    /// Its message.
    pub message: MessageId,
    /// Which attachment of it.
    pub idx: i64,
    /// What the channel needs.
    pub source: MediaRef,
    /// File name.
    pub name: String,
    /// MIME type, when known.
    pub mime: Option<String>,
    /// `pending`, `stored` or `failed`.
    pub state: String,
    /// Tries that failed.
    pub failures: i64,
    /// When it was announced.
    pub created_at: Millis,
}

/// An attachment by row.
pub async fn by_id<S: Sql>(sql: &mut S, id: i64) -> Result<Option<MediaRow>, StoreError> {
    let row = sql
        .row(
            "SELECT id, key, channel_id, message_id, idx, source, name, mime, state, failures,
                created_at FROM media WHERE id = $1",
            vals![id],
        )
        .await?;
    row.map(read).transpose()
}

/// An attachment by key.
pub async fn by_key<S: Sql>(sql: &mut S, key: &str) -> Result<Option<MediaRow>, StoreError> {
    let row = sql
        .row(
            "SELECT id, key, channel_id, message_id, idx, source, name, mime, state, failures,
                created_at FROM media WHERE key = $1",
            vals![key],
        )
        .await?;
    row.map(read).transpose()
}

fn read(mut r: super::sql::Row) -> Result<MediaRow, StoreError> {
    Ok(MediaRow {
        id: r.int()?,
        key: r.text()?,
        channel_id: r.text()?,
        message: MessageId(r.int()?),
        idx: r.int()?,
        source: from_json(&r.text()?)?,
        name: r.text()?,
        mime: r.opt_text()?,
        state: r.text()?,
        failures: r.int()?,
        created_at: Millis(r.int()?),
    })
}

/// What a fetch brought.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Row.
    pub id: i64,
    /// MIME type.
    pub mime: Option<String>,
    /// File name.
    pub name: String,
    /// Bytes.
    pub size_bytes: i64,
}

/// The bytes are in the media store: the message learns name, type and size.
pub async fn stored<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    fetched: &Fetched,
) -> Result<(), StoreError> {
    // Two attachments of one message may be stored at the same moment, and both change its list.
    sql.later(
        Text::lock(
            "SELECT 1 FROM media d JOIN messages m ON m.id = d.message_id
                JOIN conversations c ON c.id = m.conversation_id
             WHERE d.id = $1 FOR NO KEY UPDATE OF c",
        ),
        vals![fetched.id],
    )
    .await?;
    let row = sql
        .row(
            "UPDATE media SET state = 'stored', mime = $1, name = $2, size_bytes = $3, error = NULL
             WHERE id = $4 AND state = 'pending' RETURNING message_id, idx, key",
            vals![
                fetched.mime.as_ref(),
                &fetched.name,
                fetched.size_bytes,
                fetched.id
            ],
        )
        .await?;
    let Some(mut row) = row else { return Ok(()) };
    // A copy may wait for it.
    unit.wakes.mirror |= !unit.desks.is_empty();
    let (message, idx, key) = (MessageId(row.int()?), row.int()?, row.text()?);
    let Some(mut message_row) = reads::message(sql, message).await? else {
        return Ok(());
    };
    if !learn(&mut message_row, idx, &key, fetched) {
        return Ok(());
    }
    sql.later(
        "UPDATE messages SET attachments = $1 WHERE id = $2",
        vals![&attachments_text(&message_row.attachments)?, message.0],
    )
    .await?;
    inbound::announce_update(sql, unit, message).await
}

/// Writes what became known into the message's attachment. `false`: nothing new.
fn learn(message: &mut MessageRow, idx: i64, key: &str, fetched: &Fetched) -> bool {
    // An edit may have put another attachment in its place while it was fetched.
    let attachment = usize::try_from(idx)
        .ok()
        .and_then(|i| message.attachments.get_mut(i))
        .filter(|a| a.media_key.as_deref() == Some(key));
    let Some(attachment) = attachment else {
        return false;
    };
    let size = u64::try_from(fetched.size_bytes).ok();
    let news = attachment.name != fetched.name
        || attachment.mime != fetched.mime
        || attachment.size_bytes != size;
    attachment.name.clone_from(&fetched.name);
    attachment.mime.clone_from(&fetched.mime);
    attachment.size_bytes = size;
    news
}

/// Records a failed fetch; `next_at` is `None` when it is given up.
pub async fn failed<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    id: i64,
    error: &str,
    next_at: Option<Millis>,
) -> Result<(), StoreError> {
    sql.later(
        "UPDATE media SET failures = failures + 1, error = $1, next_at = $2, state = $3
         WHERE id = $4 AND state = 'pending'",
        vals![
            error,
            next_at.unwrap_or(unit.now).0,
            if next_at.is_some() {
                "pending"
            } else {
                "failed"
            },
            id
        ],
    )
    .await?;
    Ok(())
}
