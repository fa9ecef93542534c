//! Mailboxes: who reads them, up to where they were read, and the raw mails that were kept.
//!
//! Invariants:
//! - One reader at a time: a reader holds a lease, and every unit of it names the lease's fence. One
//!   that was overtaken changes nothing any more.
//! - `last_uid` moves in the transaction that stores what the mail carried, and only forward, so a mail
//!   becomes exactly one message wherever a process dies.

use super::StoreError;
use super::inbound::{self, Fate, InboundBatch};
use super::outbox::Unit;
use super::sql::Sql;
use crate::vals;
use switchboard_channels::model::{EventBody, Millis};

/// Kept mails that one round of pruning looks at.
const KEPT_PAGE: i64 = 200;

/// The right to read a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The channel that it belongs to.
    pub channel: String,
    /// The folder.
    pub folder: String,
    /// Higher than that of any earlier reader.
    pub fence: i64,
}

/// Up to where a mailbox was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Under which the numbers hold; 0: the mailbox was never opened.
    pub uid_validity: i64,
    /// The highest number that was taken.
    pub last_uid: i64,
    /// When the newest mail that was taken came.
    pub newest_at: Millis,
    /// How often somebody began to read since something was taken last.
    pub starts: i64,
}

/// Takes a mailbox for reading; `None`: somebody else reads it.
pub async fn claim<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    channel: &str,
    folder: &str,
    lease_ms: i64,
) -> Result<Option<(Claim, Position)>, StoreError> {
    let row = sql
        .row(
            "INSERT INTO mailboxes (channel_id, folder, fence, lease_until, starts)
             VALUES ($1, $2, 1, $3, 1)
             ON CONFLICT (channel_id, folder) DO UPDATE SET fence = mailboxes.fence + 1,
                lease_until = excluded.lease_until, starts = mailboxes.starts + 1
             WHERE mailboxes.lease_until <= $4
             RETURNING fence, uid_validity, last_uid, newest_at, starts",
            vals![channel, folder, unit.now.plus(lease_ms).0, unit.now.0],
        )
        .await?;
    let Some(mut row) = row else { return Ok(None) };
    let claim = Claim {
        channel: channel.to_owned(),
        folder: folder.to_owned(),
        fence: row.int()?,
    };
    let position = Position {
        uid_validity: row.int()?,
        last_uid: row.int()?,
        newest_at: Millis(row.int()?),
        starts: row.int()?,
    };
    Ok(Some((claim, position)))
}

/// Lengthens a lease, and says when somebody last asked for a look. `None`: it is lost.
pub async fn renew<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    claim: &Claim,
    lease_ms: i64,
) -> Result<Option<Millis>, StoreError> {
    let row = sql
        .row(
            "UPDATE mailboxes SET lease_until = $1
             WHERE channel_id = $2 AND folder = $3 AND fence = $4 RETURNING wanted_at",
            vals![
                unit.now.plus(lease_ms).0,
                &claim.channel,
                &claim.folder,
                claim.fence
            ],
        )
        .await?;
    row.map(|mut row| row.int().map(Millis)).transpose()
}

/// Gives a lease back.
pub async fn release<S: Sql>(sql: &mut S, claim: &Claim) -> Result<(), StoreError> {
    sql.later(
        "UPDATE mailboxes SET lease_until = 0
         WHERE channel_id = $1 AND folder = $2 AND fence = $3",
        vals![&claim.channel, &claim.folder, claim.fence],
    )
    .await?;
    Ok(())
}

/// At the start of the only process: nobody reads any mailbox.
pub async fn forget_leases<S: Sql>(sql: &mut S) -> Result<(), StoreError> {
    sql.later("UPDATE mailboxes SET lease_until = 0", vals![])
        .await?;
    Ok(())
}

/// Sets where reading begins, under these numbers. `false`: the lease is lost.
pub async fn begin_at<S: Sql>(
    sql: &mut S,
    claim: &Claim,
    position: &Position,
) -> Result<bool, StoreError> {
    let set = sql
        .exec(
            "UPDATE mailboxes SET uid_validity = $1, last_uid = $2, newest_at = $3
             WHERE channel_id = $4 AND folder = $5 AND fence = $6",
            vals![
                position.uid_validity,
                position.last_uid,
                position.newest_at.0,
                &claim.channel,
                &claim.folder,
                claim.fence
            ],
        )
        .await?;
    Ok(set > 0)
}

/// Notes that a mail is about to be read that may have ended a process before. Gives how often it was
/// tried, this time included; `None`: the lease is lost.
pub async fn trying<S: Sql>(
    sql: &mut S,
    claim: &Claim,
    uid: i64,
) -> Result<Option<i64>, StoreError> {
    let row = sql
        .row(
            "UPDATE mailboxes SET trying_uid = $1,
                tries = CASE WHEN trying_uid = $1 THEN tries + 1 ELSE 1 END
             WHERE channel_id = $2 AND folder = $3 AND fence = $4 RETURNING tries",
            vals![uid, &claim.channel, &claim.folder, claim.fence],
        )
        .await?;
    row.map(|mut row| row.int()).transpose()
}

/// A mail, parsed.
#[derive(Debug, Clone)]
pub struct PipedMail {
    /// Under which key it is kept; `None`: it is not.
    pub kept: Option<String>,
    /// What it carried.
    pub batches: Vec<InboundBatch>,
}

/// What one look at a mailbox brought, in the order of the mailbox.
#[derive(Debug, Clone)]
pub struct Taking {
    /// By what right.
    pub claim: Claim,
    /// Under which the numbers hold.
    pub uid_validity: i64,
    /// The highest number.
    pub last_uid: i64,
    /// When the newest of them came.
    pub newest_at: Millis,
    /// The mails.
    pub mails: Vec<PipedMail>,
}

/// Stores what mails carried, and that they were taken. `None`: the lease is lost, or somebody has
/// taken them already; nothing was changed then.
pub async fn take<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    taking: &Taking,
) -> Result<Option<Vec<Vec<Vec<Fate>>>>, StoreError> {
    let moved = sql
        .exec(
            "UPDATE mailboxes SET last_uid = $1, starts = 0,
                newest_at = CASE WHEN newest_at < $2 THEN $2 ELSE newest_at END
             WHERE channel_id = $3 AND folder = $4 AND fence = $5 AND uid_validity = $6
                AND last_uid < $1",
            vals![
                taking.last_uid,
                taking.newest_at.0,
                &taking.claim.channel,
                &taking.claim.folder,
                taking.claim.fence,
                taking.uid_validity
            ],
        )
        .await?;
    if moved == 0 {
        return Ok(None);
    }
    let mut fates = Vec::with_capacity(taking.mails.len());
    for mail in &taking.mails {
        fates.push(inbound::apply(sql, unit, &mail.batches).await?);
        if let Some(key) = &mail.kept {
            keep(sql, unit, key, &mail.batches).await?;
        }
    }
    Ok(Some(fates))
}

/// Records a kept mail with the message that it became, so that it goes when the message goes.
async fn keep<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    key: &str,
    batches: &[InboundBatch],
) -> Result<(), StoreError> {
    let mut message = None;
    let messages = batches.iter().flat_map(|batch| {
        let channel = batch.channel.id.as_str();
        batch.events.iter().filter_map(move |e| match &e.body {
            EventBody::Message(message) => Some((channel, message.platform_id.as_str())),
            _ => None,
        })
    });
    for (channel, platform_id) in messages {
        let row = sql
            .row(
                "SELECT message_id FROM platform_messages
                 WHERE channel_id = $1 AND platform_id = $2",
                vals![channel, platform_id],
            )
            .await?;
        if let Some(mut row) = row {
            message = Some(row.int()?);
        }
    }
    sql.later(
        "INSERT INTO kept_mails (key, message_id, kept_at) VALUES ($1, $2, $3)
         ON CONFLICT (key) DO UPDATE SET message_id = excluded.message_id",
        vals![key, message, unit.now.0],
    )
    .await?;
    Ok(())
}

/// Notes that a mailbox was read to its end.
pub async fn looked<S: Sql>(sql: &mut S, unit: &Unit<'_>, claim: &Claim) -> Result<(), StoreError> {
    sql.later(
        "UPDATE mailboxes SET looked_at = $1
         WHERE channel_id = $2 AND folder = $3 AND fence = $4",
        vals![unit.now.0, &claim.channel, &claim.folder, claim.fence],
    )
    .await?;
    Ok(())
}

/// Asks for a look at a mailbox. Gives when it was read to its end last.
pub async fn want<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    channel: &str,
    folder: &str,
) -> Result<(), StoreError> {
    sql.later(
        "INSERT INTO mailboxes (channel_id, folder, wanted_at) VALUES ($1, $2, $3)
         ON CONFLICT (channel_id, folder) DO UPDATE SET wanted_at = excluded.wanted_at",
        vals![channel, folder, unit.now.0],
    )
    .await?;
    Ok(())
}

/// When a mailbox was read to its end last; 0: never.
pub async fn looked_at<S: Sql>(
    sql: &mut S,
    channel: &str,
    folder: &str,
) -> Result<Millis, StoreError> {
    let row = sql
        .row(
            "SELECT looked_at FROM mailboxes WHERE channel_id = $1 AND folder = $2",
            vals![channel, folder],
        )
        .await?;
    row.map_or(Ok(Millis(0)), |mut row| row.int().map(Millis))
}

/// Keys of kept mails whose time is over and of which no attachment is still to be cut out.
pub async fn expired_kept<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    keep_ms: i64,
) -> Result<Vec<String>, StoreError> {
    let rows = sql
        .rows(
            "SELECT k.key FROM kept_mails k WHERE k.kept_at < $1 AND NOT EXISTS (
                SELECT 1 FROM media m WHERE m.message_id = k.message_id AND m.state = 'pending')
             ORDER BY k.kept_at LIMIT $2",
            vals![unit.now.plus(-keep_ms).0, KEPT_PAGE],
        )
        .await?;
    rows.into_iter().map(|mut row| row.text()).collect()
}

/// Forgets a kept mail whose bytes are gone.
pub async fn forget_kept<S: Sql>(sql: &mut S, key: &str) -> Result<(), StoreError> {
    sql.later("DELETE FROM kept_mails WHERE key = $1", vals![key])
        .await?;
    Ok(())
}
