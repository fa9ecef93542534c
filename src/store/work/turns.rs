//! Beginnings, many at once, as receipts are recorded in [`super::set`].
//!
//! A beginning is plain when the lease is good and the part that is next waits, with nothing to be looked
//! up or taken for it. Whatever is not is begun one by one.

use super::super::StoreError;
use super::super::outbox::{Unit, Wakes};
use super::super::sql::{Asked, Sql, Text, set};
use super::begin::{Begin, Begun, Head, Job, PartRow, begin, head_of};
use crate::vals;
use std::collections::{HashMap, HashSet};
use switchboard_channels::model::{ConversationId, Millis};

/// Begins conversations that came to their turn at the same moment, as [`begin`] does one after the
/// other.
pub async fn begin_all<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    all: &[Begin],
) -> Result<Vec<(Begun, Wakes)>, StoreError> {
    let mut done: Vec<Option<Begun>> = all.iter().map(|_| None).collect();
    if sql.takes_sets() && all.len() > 1 {
        let mut seen = HashSet::new();
        let (places, firsts): (Vec<usize>, Vec<Begin>) = all
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, begin)| seen.insert(begin.conversation.0))
            .unzip();
        hold(sql, unit, firsts.iter().map(|b| b.conversation)).await?;
        let turns = ask_turns(sql, &firsts).await?;
        let begun = begin_plain(sql, unit, &firsts, turns).await?;
        for (place, begun) in places.into_iter().zip(begun) {
            if let Some(done) = done.get_mut(place) {
                *done = begun;
            }
        }
    }
    let mut all_begun = Vec::with_capacity(all.len());
    for (one, done) in all.iter().zip(done) {
        all_begun.push(match done {
            Some(begun) => (begun, Wakes::default()),
            None => begin_apart(sql, unit, one, Wakes::default()).await?,
        });
    }
    Ok(all_begun)
}

/// Begins one; what it wakes is added to its own.
pub(super) async fn begin_apart<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    one: &Begin,
    wakes: Wakes,
) -> Result<(Begun, Wakes), StoreError> {
    let before = std::mem::replace(&mut unit.wakes, wakes);
    let begun = begin(sql, unit, one).await?;
    Ok((begun, std::mem::replace(&mut unit.wakes, before)))
}

/// Holds conversations, in the one order.
pub(super) async fn hold<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    conversations: impl Iterator<Item = ConversationId>,
) -> Result<(), StoreError> {
    let ids: Vec<_> = conversations.map(|c| Some(c.0)).collect();
    for id in ids.iter().flatten() {
        unit.holds(*id);
    }
    let lock =
        Text::lock("SELECT 1 FROM conversations WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE");
    sql.later(lock, vals![&ids[..]]).await
}

/// What was asked about conversations that are to be begun: their fences, raised by the way, and their
/// heads.
pub(super) struct Turns {
    fences: Asked,
    heads: Asked,
}

/// Asks for all that a beginning depends on, of conversations that this unit holds, none of them twice.
pub(super) async fn ask_turns<S: Sql>(
    sql: &mut S,
    begins: &[Begin],
) -> Result<Option<Turns>, StoreError> {
    if begins.is_empty() {
        return Ok(None);
    }
    let conversations: Vec<_> = begins.iter().map(|b| Some(b.conversation.0)).collect();
    let fences: Vec<_> = begins.iter().map(|b| Some(b.fence)).collect();
    let fences = sql
        .ask(
            set("UPDATE conversations c SET fence = q.fence
                 FROM unnest($1::bigint[], $2::bigint[]) AS q (id, fence)
                 WHERE c.id = q.id AND c.fence <= q.fence
                 RETURNING c.id, c.window_until, c.reply_token IS NOT NULL"),
            vals![&conversations[..], &fences[..]],
        )
        .await?;
    let heads = sql
        .ask(
            set(concat!(
                "SELECT q.conversation, h.* FROM unnest($1::bigint[]) AS q (conversation)
                 CROSS JOIN LATERAL (",
                head_of!("q.conversation"),
                ") h"
            )),
            vals![&conversations[..]],
        )
        .await?;
    Ok(Some(Turns { fences, heads }))
}

/// Begins the plain ones. `None`: it is to be begun one by one.
pub(super) async fn begin_plain<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    begins: &[Begin],
    turns: Option<Turns>,
) -> Result<Vec<Option<Begun>>, StoreError> {
    let Some(turns) = turns else {
        return Ok(Vec::new());
    };
    // Of each whose lease is good, until when the platform takes free text.
    let mut windows: HashMap<i64, Option<Millis>> = HashMap::new();
    for mut row in sql.answer(turns.fences).await? {
        let (conversation, window) = (row.int()?, row.opt_int()?.map(Millis));
        // A right to answer once is taken by whoever begins.
        if !row.bool()? {
            windows.insert(conversation, window);
        }
    }
    let mut heads: HashMap<i64, (Head, Option<PartRow>)> = HashMap::new();
    for mut row in sql.answer(turns.heads).await? {
        heads.insert(row.int()?, Head::read(&mut row)?);
    }
    let (mut messages, mut parts, mut fences) = (Vec::new(), Vec::new(), Vec::new());
    let mut queued = Vec::new();
    let mut all_begun = Vec::with_capacity(begins.len());
    for begin in begins {
        let Some(window) = windows.get(&begin.conversation.0) else {
            all_begun.push(None);
            continue;
        };
        let Some((head, part)) = heads.get(&begin.conversation.0) else {
            all_begun.push(Some(Begun::Nothing));
            continue;
        };
        let Some(mut job) = plain_job(unit, begin.conversation, head, part.as_ref())? else {
            all_begun.push(None);
            continue;
        };
        (job.fence, job.attempt) = (begin.fence, job.attempt + 1);
        job.begun_at = unit.now;
        job.window_until = *window;
        messages.push(Some(head.message.0));
        parts.push(Some(job.key().idx));
        fences.push(Some(begin.fence));
        if head.status == "queued" {
            queued.push(Some(head.message.0));
        }
        all_begun.push(Some(Begun::Deliver(Box::new(job))));
    }
    if !messages.is_empty() {
        sql.later(
            set(
                "UPDATE parts p SET state = 'begun', fence = q.fence, attempts = p.attempts + 1,
                    begun_at = $4, heartbeat_at = $4
                 FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS q (message, idx, fence)
                 WHERE p.message_id = q.message AND p.idx = q.idx",
            ),
            vals![&messages[..], &parts[..], &fences[..], unit.now.0],
        )
        .await?;
    }
    if !queued.is_empty() {
        sql.later(
            set("UPDATE messages SET status = 'sending' WHERE id = ANY($1)"),
            vals![&queued[..]],
        )
        .await?;
    }
    Ok(all_begun)
}

/// The part that is next, where all that is left is to begin it.
fn plain_job(
    unit: &Unit<'_>,
    conversation: ConversationId,
    head: &Head,
    part: Option<&PartRow>,
) -> Result<Option<Job>, StoreError> {
    let Some(part) = part.filter(|p| p.state == "waiting" && head.deadline_at > unit.now) else {
        return Ok(None);
    };
    let job = Job::of(unit.now, conversation, head, part)?;
    let plain = !job.part.to.is_empty() && job.part.reply_to.is_none();
    Ok(plain.then_some(job))
}
