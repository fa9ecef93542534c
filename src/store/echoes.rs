//! Echoes: what was written on our side, as the platform tells it back. One of a send of our own is no
//! news, but it may come before the answer to that send does, and not every platform says whose it is. So
//! an echo that nothing is known of waits while a part of its conversation is under way: the receipt
//! brings the id by which it is recognised. What is still unknown then was written by a person at the
//! platform.
//!
//! The wait is a row, so that it outlives the process; sends pay nothing for it.

use super::inbound::{Fate, message_came};
use super::outbox::Unit;
use super::people::{ChannelInfo, find_conversation, known_user, thread_key};
use super::rows::{from_json, json};
use super::sql::Sql;
use super::{StoreError, inbound};
use crate::vals;
use switchboard_channels::model::{Event, EventBody, InboundMessage};

/// An echo waits at most so long (design: 30 s).
const HELD_MS: i64 = 30_000;

/// One that this release cannot read is a newer one's, and left to it for so long beyond its time.
const FOREIGN_MS: i64 = 3_600_000;

/// The most echoes that are let go in one unit.
const BATCH: i64 = 100;

/// Holds an echo while a part of its conversation is begun and has no receipt. `None`: there is none, so
/// that it counts as it stands.
pub async fn hold<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    channel: &ChannelInfo,
    event: &Event,
    message: &InboundMessage,
) -> Result<Option<Fate>, StoreError> {
    let Some(sender) = &event.sender else {
        return Ok(None);
    };
    // To somebody whom nobody knows nothing is under way.
    let Some(user) = known_user(sql, channel, sender).await? else {
        return Ok(None);
    };
    let thread = event.thread.as_ref().and_then(|t| t.key.as_deref());
    let key = thread_key(user, thread);
    let Some(conversation) = find_conversation(sql, &channel.id, &key).await? else {
        return Ok(None);
    };
    let begun = sql
        .row(
            "SELECT 1 FROM messages m JOIN parts p ON p.message_id = m.id
             WHERE m.conversation_id = $1 AND m.open AND p.state IN ('begun', 'unsure') LIMIT 1",
            vals![conversation.id.0],
        )
        .await?;
    if begun.is_none() {
        return Ok(None);
    }
    let new = sql
        .exec(
            "INSERT INTO held_echoes (channel_id, platform_id, conversation_id, event, until)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (channel_id, platform_id) DO NOTHING",
            vals![
                &channel.id,
                &message.platform_id,
                conversation.id.0,
                &json(event)?,
                unit.now.plus(HELD_MS).0
            ],
        )
        .await?;
    Ok(Some(if new == 0 {
        Fate::Duplicate
    } else {
        Fate::Kept
    }))
}

/// Lets echoes go that need not wait any longer: those of our sends, whose ids are known by now, vanish;
/// the others are messages. Echoes of channels that are not configured (any more) stay. Says how many
/// went.
pub async fn release<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channels: &[ChannelInfo],
) -> Result<usize, StoreError> {
    let mut released = 0;
    for channel in channels {
        let rows = sql
            .rows(
                // Not as `NOT EXISTS`: of that the planner may make a list of all that are open.
                "SELECT h.platform_id, h.event, h.until FROM held_echoes h
                 WHERE h.channel_id = $1 AND (h.until <= $2 OR (
                    SELECT 1 FROM messages m JOIN parts p ON p.message_id = m.id
                    WHERE m.conversation_id = h.conversation_id AND m.open
                        AND p.state IN ('begun', 'unsure') LIMIT 1) IS NULL)
                 ORDER BY h.until LIMIT $3",
                vals![&channel.id, unit.now.0, BATCH],
            )
            .await?;
        for mut row in rows {
            let (platform_id, text, until) = (row.text()?, row.text()?, row.int()?);
            let event: Option<Event> = from_json(&text).ok();
            if event.is_none() && unit.now.0 < until + FOREIGN_MS {
                continue;
            }
            let ours = sql
                .exec(
                    "DELETE FROM held_echoes WHERE channel_id = $1 AND platform_id = $2",
                    vals![&channel.id, &platform_id],
                )
                .await?;
            if ours == 0 {
                continue; // Another process was quicker.
            }
            released += 1;
            let Some(event) = event else {
                inbound::raw(sql, unit, channel, "echo that cannot be read", &text).await?;
                continue;
            };
            match (&event.body, &event.sender, &event.thread) {
                (EventBody::Message(message), Some(sender), Some(thread)) => {
                    let about = (message, sender, thread);
                    let fate = message_came(sql, unit, channel, &event, about, true).await?;
                    if fate == Fate::Applied {
                        tracing::debug!(channel.id = %channel.id, "an echo is a person's message");
                    }
                }
                // Nothing else is ever held.
                (other, ..) => inbound::raw(sql, unit, channel, other.name(), &text).await?,
            }
        }
    }
    Ok(released)
}

/// Whether any echo waits: the usual case is none, and costs a read.
pub async fn any<S: Sql>(sql: &mut S) -> Result<bool, StoreError> {
    let row = sql.row("SELECT 1 FROM held_echoes LIMIT 1", &[]).await?;
    Ok(row.is_some())
}
