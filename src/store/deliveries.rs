//! Events on their way to the chat backend.

use super::StoreError;
use super::outbox::Unit;
use super::sql::{Sql, set};
use crate::vals;
use std::sync::Arc;
use switchboard_channels::model::Millis;

/// An event to be delivered to one receiver.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Row of the event.
    pub event: i64,
    /// `webhook-id`.
    pub uid: String,
    /// The event's name.
    pub function: String,
    /// Frozen JSON.
    pub data: String,
    /// When the event was written.
    pub created_at: Millis,
    /// Tries so far.
    pub attempts: i64,
    /// When the first try was.
    pub first_at: Option<Millis>,
}

/// Events read for one turn of a group: enough to keep a connection busy, few enough that the rest
/// of a long queue is not held in memory.
const BATCH: i64 = 16;

/// The oldest undelivered events of a group, in order.
pub async fn load<S: Sql>(
    sql: &mut S,
    webhook: &str,
    group: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let rows = sql
        .rows(
            "SELECT e.id, e.uid, e.function, e.data, e.created_at, d.attempts, d.first_at
             FROM deliveries d JOIN events e ON e.id = d.event_id
             WHERE d.webhook_id = $1 AND d.group_id = $2 AND d.open ORDER BY d.event_id LIMIT $3",
            vals![webhook, group, BATCH],
        )
        .await?;
    rows.into_iter()
        .map(|mut r| {
            Ok(Delivery {
                event: r.int()?,
                uid: r.text()?,
                function: r.text()?,
                data: r.text()?,
                created_at: Millis(r.int()?),
                attempts: r.int()?,
                first_at: r.opt_int()?.map(Millis),
            })
        })
        .collect()
}

/// An event that its receiver has taken.
#[derive(Debug, Clone)]
pub struct Told {
    /// The receiver.
    pub webhook: Arc<str>,
    /// Row of the event.
    pub event: i64,
}

/// Marks events as delivered.
pub async fn done<S: Sql>(sql: &mut S, unit: &Unit<'_>, all: &[Told]) -> Result<(), StoreError> {
    if sql.takes_sets() {
        let events: Vec<_> = all.iter().map(|told| Some(told.event)).collect();
        let webhooks: Vec<_> = all.iter().map(|told| Some(&*told.webhook)).collect();
        return sql
            .later(
                set("UPDATE deliveries d SET open = FALSE, finished_at = $1,
                        attempts = d.attempts + 1, error = NULL
                     FROM unnest($2::bigint[], $3::text[]) AS q (event, webhook)
                     WHERE d.event_id = q.event AND d.webhook_id = q.webhook"),
                vals![unit.now.0, &events[..], &webhooks[..]],
            )
            .await;
    }
    for told in all {
        sql.later(
            "UPDATE deliveries SET open = FALSE, finished_at = $1, attempts = attempts + 1,
                error = NULL WHERE event_id = $2 AND webhook_id = $3",
            vals![unit.now.0, told.event, &*told.webhook],
        )
        .await?;
    }
    Ok(())
}

/// Records a failed try; `dead` gives the event up.
pub async fn failed<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    webhook: &str,
    event: i64,
    error: &str,
    next_at: Option<Millis>,
) -> Result<(), StoreError> {
    let dead = next_at.is_none();
    sql.later(
        "UPDATE deliveries SET attempts = attempts + 1, first_at = COALESCE(first_at, $1),
            error = $2, next_at = $3, open = $4, dead = $5,
            finished_at = CASE WHEN $5 THEN $1 ELSE NULL END
         WHERE event_id = $6 AND webhook_id = $7",
        vals![
            unit.now.0,
            error,
            next_at.unwrap_or(unit.now).0,
            !dead,
            dead,
            event,
            webhook
        ],
    )
    .await?;
    Ok(())
}
