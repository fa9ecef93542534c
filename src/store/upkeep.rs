//! What keeps the truth in shape: the schedule's rebuild, deadlines, pauses, dead letters, pruning.

use super::StoreError;
use super::locks::{self, Name};
use super::outbox::Unit;
use super::rows::from_json;
use super::sends::take_number;
use super::sql::{Sql, Text};
use super::work::{Failure, fail};
use crate::vals;
use serde_json::json;
use switchboard_channels::model::{Effect, MessageId, Millis};

/// A group that the store calls due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueGroup {
    /// Channel or webhook id.
    pub owner: String,
    /// Conversation, media row or effect row.
    pub group: i64,
    /// When.
    pub next_at: Millis,
    /// Whether all of it is bulk.
    pub bulk: bool,
    /// Whether the head failed before.
    pub retry: bool,
}

/// Groups read at once by the reconciler.
pub const PAGE: i64 = 5000;

/// Conversations with something to send, after this one.
pub async fn due_conversations<S: Sql>(
    sql: &mut S,
    after: i64,
) -> Result<Vec<DueGroup>, StoreError> {
    let rows = sql
        .rows(
            "SELECT m.channel_id, m.conversation_id, m.next_at, g.bulk, m.failures
             FROM (SELECT conversation_id, MIN(seq) AS seq,
                        MIN(CASE WHEN bulk THEN 1 ELSE 0 END) AS bulk
                   FROM messages WHERE open AND conversation_id > $1
                   GROUP BY conversation_id ORDER BY conversation_id LIMIT $2) g
             JOIN messages m ON m.conversation_id = g.conversation_id AND m.seq = g.seq AND m.open
             ORDER BY m.conversation_id",
            vals![after, PAGE],
        )
        .await?;
    rows.into_iter().map(|mut r| read_due(&mut r)).collect()
}

fn read_due(r: &mut super::sql::Row) -> Result<DueGroup, StoreError> {
    Ok(DueGroup {
        owner: r.text()?,
        group: r.int()?,
        next_at: Millis(r.int()?),
        bulk: r.bool()?,
        retry: r.bool()?,
    })
}

/// Groups of a receiver with undelivered events, after this one.
pub async fn due_deliveries<S: Sql>(
    sql: &mut S,
    webhook: &str,
    after: i64,
) -> Result<Vec<DueGroup>, StoreError> {
    let rows = sql
        .rows(
            "SELECT d.webhook_id, d.group_id, d.next_at, 0, d.attempts
             FROM (SELECT group_id, MIN(event_id) AS event_id FROM deliveries
                   WHERE webhook_id = $1 AND open AND group_id > $2
                   GROUP BY group_id ORDER BY group_id LIMIT $3) g
             JOIN deliveries d ON d.event_id = g.event_id AND d.webhook_id = $1
             ORDER BY d.group_id",
            vals![webhook, after, PAGE],
        )
        .await?;
    rows.into_iter().map(|mut r| read_due(&mut r)).collect()
}

/// Attachments of a channel that are not fetched yet, after this one.
pub async fn due_media<S: Sql>(
    sql: &mut S,
    channel: &str,
    after: i64,
) -> Result<Vec<DueGroup>, StoreError> {
    let rows = sql
        .rows(
            "SELECT channel_id, id, next_at, 0, failures FROM media
             WHERE channel_id = $1 AND state = 'pending' AND id > $2 ORDER BY id LIMIT $3",
            vals![channel, after, PAGE],
        )
        .await?;
    rows.into_iter().map(|mut r| read_due(&mut r)).collect()
}

/// Effects that are still worth doing.
pub async fn due_effects<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = sql
        .rows(
            "SELECT channel_id, id FROM effects WHERE expires_at > $1 ORDER BY id LIMIT 5000",
            vals![unit.now.0],
        )
        .await?;
    rows.into_iter()
        .map(|mut r| Ok((r.text()?, r.int()?)))
        .collect()
}

/// An effect, unless its time is over.
pub async fn effect<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    id: i64,
) -> Result<Option<Effect>, StoreError> {
    let row = sql
        .row(
            "SELECT body FROM effects WHERE id = $1 AND expires_at > $2",
            vals![id, unit.now.0],
        )
        .await?;
    row.map(|mut r| from_json(&r.text()?)).transpose()
}

/// Forgets an effect.
pub async fn effect_done<S: Sql>(sql: &mut S, id: i64) -> Result<(), StoreError> {
    sql.later("DELETE FROM effects WHERE id = $1", vals![id])
        .await?;
    Ok(())
}

/// At the start of the only process: no attempt can be anybody's, so none is waited for.
pub async fn forget_heartbeats<S: Sql>(sql: &mut S) -> Result<u64, StoreError> {
    sql.exec(
        "UPDATE parts SET heartbeat_at = 0 WHERE state = 'begun' AND message_id IN
        (SELECT id FROM messages WHERE open)",
        vals![],
    )
    .await
}

/// Gives up what is too old and not being sent right now, in paused lanes too. Returns how many.
pub async fn expire<S: Sql>(sql: &mut S, unit: &mut Unit<'_>) -> Result<usize, StoreError> {
    let rows = sql
        .rows(
            // Not as `NOT EXISTS`, which may be planned as a comparison with all parts.
            "SELECT m.id, m.conversation_id FROM messages m
             WHERE m.open AND m.deadline_at <= $1 AND (SELECT 1 FROM parts p
                WHERE p.message_id = m.id AND p.state IN ('begun', 'unsure') LIMIT 1) IS NULL
             ORDER BY m.deadline_at LIMIT 500",
            vals![unit.now.0],
        )
        .await?;
    let mut late = Vec::with_capacity(rows.len());
    for mut row in rows {
        let (message, conversation) = (row.int()?, row.int()?);
        late.push((conversation, message));
    }
    // By conversation, which is the order of locks; within one, the oldest deadline still comes first.
    late.sort_by_key(|(conversation, _)| *conversation);
    let mut count = 0;
    for (conversation, message) in late {
        locks::conversation(sql, unit, conversation).await?;
        // A worker may have begun it since.
        let still = sql
            .row(
                "SELECT 1 FROM messages m WHERE m.id = $1 AND m.open AND NOT EXISTS (
                    SELECT 1 FROM parts p WHERE p.message_id = m.id
                        AND p.state IN ('begun', 'unsure'))",
                vals![message],
            )
            .await?;
        if still.is_some() {
            let dead = Failure::dead("too-old", "its time was over before it could be sent");
            fail(sql, unit, MessageId(message), &dead).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// A paused lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// The lane.
    pub lane: String,
    /// `credentials`, `account` or `operator`.
    pub reason: String,
    /// For a person.
    pub message: String,
    /// Since when.
    pub since: Millis,
}

/// The lanes that are paused.
pub async fn paused<S: Sql>(sql: &mut S) -> Result<Vec<Paused>, StoreError> {
    let rows = sql
        .rows(
            "SELECT lane, reason, message, since FROM paused_lanes ORDER BY lane",
            vals![],
        )
        .await?;
    rows.into_iter()
        .map(|mut r| {
            Ok(Paused {
                lane: r.text()?,
                reason: r.text()?,
                message: r.text()?,
                since: Millis(r.int()?),
            })
        })
        .collect()
}

/// Remembers a pause and tells of it. `false`: the lane was paused already.
pub async fn pause<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    lane: &str,
    reason: &str,
    message: &str,
) -> Result<bool, StoreError> {
    let new = sql
        .exec(
            "INSERT INTO paused_lanes (lane, reason, message, since) VALUES ($1, $2, $3, $4)
             ON CONFLICT (lane) DO NOTHING",
            vals![lane, reason, message, unit.now.0],
        )
        .await?;
    if new > 0 && !lane.contains(':') {
        let data = json!({"channel": lane, "reason": reason, "message": message});
        unit.emit(sql, "channel-paused", 0, &data).await?;
    }
    Ok(new > 0)
}

/// Forgets a pause and tells of it. `false`: the lane was not paused.
pub async fn resume<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    lane: &str,
) -> Result<bool, StoreError> {
    let gone = sql
        .exec("DELETE FROM paused_lanes WHERE lane = $1", vals![lane])
        .await?;
    if gone > 0 && !lane.contains(':') {
        unit.emit(sql, "channel-resumed", 0, &json!({"channel": lane}))
            .await?;
    }
    Ok(gone > 0)
}

/// A dead letter.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// `9` for a message, `event:12:backend` for the delivery of an event to a receiver.
    pub id: String,
    /// Its lane.
    pub lane: String,
    /// Its conversation, or 0.
    pub conversation: i64,
    /// Where it was to go.
    pub to: String,
    /// Why, for a person.
    pub reason: String,
    /// Class of the error.
    pub class: String,
    /// Tries.
    pub attempts: i64,
    /// When it was given up.
    pub died_at: Millis,
}

/// Dead letters listed at once.
const DEAD_LISTED: i64 = 1000;

/// What is listed of a dead message.
macro_rules! dead_messages {
    () => {
        "SELECT m.id, m.channel_id, m.conversation_id, c.address, COALESCE(m.error_message, ''), \
         COALESCE(m.error_code, m.error_class, ''), \
         (SELECT CAST(COALESCE(SUM(p.attempts), 0) AS BIGINT) FROM parts p \
            WHERE p.message_id = m.id), \
         COALESCE(m.finished_at, 0) \
         FROM messages m JOIN conversations c ON c.id = m.conversation_id"
    };
}

/// The dead letters that died last, of one channel or of all.
pub async fn dead_letters<S: Sql>(
    sql: &mut S,
    channel: Option<&str>,
) -> Result<Vec<DeadLetter>, StoreError> {
    // One text per access path, so that each follows its own index.
    let rows = match channel {
        Some(channel) => {
            let text = concat!(
                dead_messages!(),
                " WHERE m.dead AND m.channel_id = $1
                 ORDER BY m.finished_at DESC, m.id DESC LIMIT $2"
            );
            sql.rows(text, vals![channel, DEAD_LISTED]).await?
        }
        None => {
            let text = concat!(
                dead_messages!(),
                " WHERE m.dead ORDER BY m.finished_at DESC, m.id DESC LIMIT $1"
            );
            sql.rows(text, vals![DEAD_LISTED]).await?
        }
    };
    let mut letters = Vec::with_capacity(rows.len());
    for mut r in rows {
        letters.push(DeadLetter {
            id: r.int()?.to_string(),
            lane: r.text()?,
            conversation: r.int()?,
            to: r.text()?,
            reason: r.text()?,
            class: r.text()?,
            attempts: r.int()?,
            died_at: Millis(r.int()?),
        });
    }
    if channel.is_none() {
        let rows = sql
            .rows(
                "SELECT d.event_id, d.webhook_id, d.group_id, COALESCE(d.error, ''), d.attempts,
                    COALESCE(d.finished_at, 0)
                 FROM deliveries d WHERE d.dead ORDER BY d.finished_at DESC, d.event_id DESC LIMIT $1",
                vals![DEAD_LISTED],
            )
            .await?;
        for mut r in rows {
            let (event, webhook) = (r.int()?, r.text()?);
            letters.push(DeadLetter {
                id: format!("event:{event}:{webhook}"),
                lane: format!("events:{webhook}"),
                conversation: r.int()?,
                to: webhook,
                reason: r.text()?,
                class: "event".to_owned(),
                attempts: r.int()?,
                died_at: Millis(r.int()?),
            });
        }
    }
    Ok(letters)
}

/// Dead letters per lane, for the metrics.
pub async fn dead_counts<S: Sql>(sql: &mut S) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = sql
        .rows(
            "SELECT COALESCE(channel_id, ''), COUNT(*) FROM messages WHERE dead GROUP BY channel_id
             UNION ALL
             SELECT 'events:' || webhook_id, COUNT(*) FROM deliveries WHERE dead
             GROUP BY webhook_id",
            vals![],
        )
        .await?;
    rows.into_iter()
        .map(|mut r| Ok((r.text()?, r.int()?)))
        .collect()
}

/// Reads `event:12:backend`.
fn delivery_id(id: &str) -> Option<(i64, &str)> {
    let (event, webhook) = id.strip_prefix("event:")?.split_once(':')?;
    Some((event.parse().ok()?, webhook))
}

/// Sends a dead letter again, at the end of its conversation, from the part that failed; a waiting
/// message at once. `false`: there is no such letter.
pub async fn retry<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    id: &str,
    max_age_ms: i64,
) -> Result<bool, StoreError> {
    if let Some((event, webhook)) = delivery_id(id) {
        let row = sql
            .row(
                "UPDATE deliveries SET open = TRUE, dead = FALSE, first_at = NULL, attempts = 0,
                    next_at = $1, finished_at = NULL
                 WHERE event_id = $2 AND webhook_id = $3 AND dead RETURNING group_id",
                vals![unit.now.0, event, webhook],
            )
            .await?;
        let Some(mut row) = row else { return Ok(false) };
        unit.wakes.events.push((webhook.to_owned(), row.int()?));
        return Ok(true);
    }
    let Ok(message) = id.parse::<i64>() else {
        return Ok(false);
    };
    locks::of_message(sql, MessageId(message)).await?;
    let row = sql
        .row(
            "SELECT conversation_id, channel_id, bulk, dead, open FROM messages
             WHERE id = $1 AND (dead OR open)",
            vals![message],
        )
        .await?;
    let Some(mut row) = row else { return Ok(false) };
    let (conversation, channel, bulk) = (row.int()?, row.text()?, row.bool()?);
    let (dead, _open) = (row.bool()?, row.bool()?);
    if dead {
        sql.later(
            "UPDATE messages SET dead = FALSE, open = TRUE, status = 'queued', failures = 0,
                first_failed_at = NULL, finished_at = NULL, next_at = $1, deadline_at = $2,
                error_class = NULL, error_code = NULL, error_message = NULL WHERE id = $3",
            vals![unit.now.0, unit.now.plus(max_age_ms).0, message],
        )
        .await?;
        // A part that the platform took and then failed to deliver is sent anew.
        sql.later(
            "UPDATE parts SET state = 'waiting', delivery = NULL, unsure_resends = 0
             WHERE message_id = $1 AND (state <> 'sent' OR delivery = 'failed')",
            vals![message],
        )
        .await?;
        sql.later(
            "UPDATE messages SET parts_sent = (SELECT COUNT(*) FROM parts p
                WHERE p.message_id = messages.id AND p.state = 'sent') WHERE id = $1",
            vals![message],
        )
        .await?;
        // The ids of failed deliveries are no evidence for the new attempt.
        sql.later(
            "DELETE FROM platform_messages WHERE message_id = $1 AND idx IN
                (SELECT idx FROM parts WHERE message_id = $1 AND state = 'waiting')",
            vals![message],
        )
        .await?;
        take_number(sql, MessageId(message), conversation).await?;
    }
    unit.wakes.sends.push((channel, conversation, bulk));
    Ok(true)
}

/// Gives up a waiting message, or strikes a dead letter off the list. `false`: there is none.
pub async fn drop_letter<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    id: &str,
) -> Result<bool, StoreError> {
    if let Some((event, webhook)) = delivery_id(id) {
        let gone = sql
            .row(
                "UPDATE deliveries SET dead = FALSE, open = FALSE, finished_at = $1
                 WHERE event_id = $2 AND webhook_id = $3 AND (dead OR open) RETURNING group_id",
                vals![unit.now.0, event, webhook],
            )
            .await?;
        let Some(mut gone) = gone else {
            return Ok(false);
        };
        let group = gone.int()?;
        let before = sql
            .row(
                "SELECT 1 FROM deliveries WHERE webhook_id = $1 AND group_id = $2 AND open
                    AND event_id < $3 LIMIT 1",
                vals![webhook, group, event],
            )
            .await?;
        if before.is_none() {
            // Those behind it waited for it.
            unit.wakes.events.push((webhook.to_owned(), group));
        }
        return Ok(true);
    }
    let Ok(message) = id.parse::<i64>() else {
        return Ok(false);
    };
    locks::of_message(sql, MessageId(message)).await?;
    let struck = sql
        .exec(
            "UPDATE messages SET dead = FALSE WHERE id = $1 AND dead",
            vals![message],
        )
        .await?;
    if struck > 0 {
        return Ok(true);
    }
    // Not one that is just being sent: it may arrive, and would have been called dropped.
    let waiting = sql
        .row(
            "SELECT m.channel_id, m.conversation_id, m.open AND (
                SELECT 1 FROM messages b WHERE b.conversation_id = m.conversation_id AND b.open
                    AND b.seq < m.seq LIMIT 1) IS NULL
             FROM messages m
             WHERE m.id = $1 AND (m.open OR m.scheduled) AND NOT EXISTS (
                SELECT 1 FROM parts p WHERE p.message_id = m.id AND p.state = 'begun')",
            vals![message],
        )
        .await?;
    let Some(mut waiting) = waiting else {
        return Ok(false);
    };
    let dropped = Failure::dead("dropped", "dropped by an operator");
    fail(sql, unit, MessageId(message), &dropped).await?;
    sql.later(
        "UPDATE messages SET dead = FALSE WHERE id = $1",
        vals![message],
    )
    .await?;
    let (channel, conversation, first) = (waiting.text()?, waiting.int()?, waiting.bool()?);
    if first {
        // Those behind it waited for it. Whether all of them are bulk is not looked up: an urgent
        // wake-up of one bulk group costs nobody much.
        unit.wakes.sends.push((channel, conversation, false));
    }
    Ok(true)
}

/// How long things are kept, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Raw events.
    pub raw_events_ms: i64,
    /// Delivered events.
    pub delivered_events_ms: i64,
    /// De-duplication keys.
    pub dedup_keys_ms: i64,
}

/// Statuses without a send are kept for so long (design: 7 days).
const EARLY_STATUSES_MS: i64 = 7 * 86_400_000;
/// Idempotency keys answer for so long after the outcome (contract: 24 h).
const IDEMPOTENCY_MS: i64 = 86_400_000;

/// What a round of pruning came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Rows that went.
    pub gone: u64,
    /// The event that was not looked at any more, though it is old as well; `None`: all were.
    pub next: Option<i64>,
}

/// Forgets what is past its time, a bounded number of rows at once; events from this one on. Whoever goes on
/// with the next one gets by any number of old events that still wait.
pub async fn prune<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    keep: &Retention,
    from: i64,
) -> Result<Pruned, StoreError> {
    let now = unit.now.0;
    // Several processes would only wait for each other's rows.
    locks::name(sql, Name::Chore("old rows")).await?;
    let mut gone = 0;
    gone += sql
        .exec(
            "DELETE FROM raw_events WHERE id IN (SELECT id FROM raw_events WHERE received_at < $1
                ORDER BY received_at LIMIT 1000)",
            vals![now - keep.raw_events_ms],
        )
        .await?;
    gone += sql
        .exec(
            "DELETE FROM dedup_keys WHERE seen_at < $1 AND (channel_id, key) IN
                (SELECT channel_id, key FROM dedup_keys WHERE seen_at < $1
                 ORDER BY seen_at LIMIT 1000)",
            vals![now - keep.dedup_keys_ms],
        )
        .await?;
    gone += sql
        .exec(
            "DELETE FROM early_statuses WHERE received_at < $1",
            vals![now - EARLY_STATUSES_MS],
        )
        .await?;
    gone += sql
        .exec("DELETE FROM effects WHERE expires_at < $1", vals![now])
        .await?;
    let (events, next) = told_events(sql, now - keep.delivered_events_ms, from).await?;
    gone += events;
    gone += sql
        .exec(
            "DELETE FROM idempotency_keys WHERE created_at < $1 AND key IN
                (SELECT k.key FROM idempotency_keys k LEFT JOIN messages m ON m.id = k.message_id
                 WHERE k.created_at < $1 AND (m.id IS NULL OR m.finished_at < $1)
                 ORDER BY k.created_at LIMIT 1000)",
            vals![now - IDEMPOTENCY_MS],
        )
        .await?;
    Ok(Pruned { gone, next })
}

/// Forgets events from before then that wait nowhere, and their deliveries, among the next thousand from
/// this one on; says how many rows went, and where to go on. The events first, so that their deliveries are
/// found by what went: which events have none left, no index knows.
async fn told_events<S: Sql>(
    sql: &mut S,
    before: i64,
    from: i64,
) -> Result<(u64, Option<i64>), StoreError> {
    let Some(end) = first_event_since(sql, before).await? else {
        return Ok((0, None));
    };
    let next = sql
        .ask(
            "SELECT id FROM events WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 1 OFFSET 1000",
            vals![from, end],
        )
        .await?;
    let rows = sql
        .ask(
            "DELETE FROM events WHERE id IN (SELECT e.id FROM (SELECT id FROM events
                WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 1000) e
                WHERE (SELECT 1 FROM deliveries d
                    WHERE d.event_id = e.id AND (d.open OR d.dead) LIMIT 1) IS NULL)
             RETURNING id",
            vals![from, end],
        )
        .await?;
    let next = match sql.answer(next).await?.into_iter().next() {
        Some(mut row) => Some(row.int()?),
        None => None,
    };
    let mut gone = Vec::new();
    for mut row in sql.answer(rows).await? {
        gone.push(row.int()?);
    }
    if gone.is_empty() {
        return Ok((0, next));
    }
    let ids = super::rows::json(&gone)?;
    let deliveries = Text::each(
        "DELETE FROM deliveries WHERE event_id IN (SELECT value FROM json_each($1))",
        "DELETE FROM deliveries WHERE event_id IN
            (SELECT CAST(id AS BIGINT) FROM json_array_elements_text(CAST($1 AS JSON)) id)",
    );
    let deliveries = sql.exec(deliveries, vals![&ids]).await?;
    let events = u64::try_from(gone.len()).unwrap_or(u64::MAX);
    Ok((deliveries.saturating_add(events), next))
}

/// The number below which events are older than a time; `None`: none is. Their numbers are in the order of
/// their times, so halving finds it, and no index of times has to be kept.
async fn first_event_since<S: Sql>(sql: &mut S, time: i64) -> Result<Option<i64>, StoreError> {
    let mut ends = sql
        .one(
            "SELECT (SELECT MIN(id) FROM events), (SELECT MAX(id) FROM events)",
            vals![],
        )
        .await?;
    let (Some(first), Some(last)) = (ends.opt_int()?, ends.opt_int()?) else {
        return Ok(None);
    };
    let (mut low, mut high) = (first, last.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let next = sql
            .row(
                "SELECT id, created_at FROM events WHERE id >= $1 ORDER BY id LIMIT 1",
                vals![middle],
            )
            .await?;
        let next = match next {
            Some(mut row) => Some((row.int()?, row.int()?)),
            // Erased meanwhile, with whom it was about.
            None => None,
        };
        match next {
            Some((id, at)) if at < time => low = id.saturating_add(1),
            _ => high = middle,
        }
    }
    Ok((low > first).then_some(low))
}
