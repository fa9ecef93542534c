//! The rows of sends that are accepted together; see [`super::set`].

use super::super::StoreError;
use super::super::outbox::Unit;
use super::super::rows::{ConversationRow, attachments_text, hour};
use super::super::sql::{Sql, set};
use super::set::Placed;
use crate::vals;
use std::collections::BTreeMap;
use switchboard_channels::model::MessageId;

/// Inserts the messages and gives their ids. Each takes its conversation's next number.
pub(super) async fn insert<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    placed: &[Placed<'_>],
) -> Result<Vec<MessageId>, StoreError> {
    let int = |of: fn(&Placed<'_>) -> Option<i64>| placed.iter().map(of).collect::<Vec<_>>();
    let text = |of: for<'x> fn(&'x Placed<'_>) -> &'x str| {
        placed.iter().map(|p| Some(of(p))).collect::<Vec<_>>()
    };
    let attachments = placed
        .iter()
        .map(|(send, _)| attachments_text(&send.attachments))
        .collect::<Result<Vec<_>, _>>()?;
    let attachments: Vec<_> = attachments.iter().map(|a| Some(a.as_str())).collect();
    let rows = sql
        .rows(
            // The ids are taken in the order of the rows.
            set(
                "INSERT INTO messages (conversation_id, user_id, outbound, text, attachments,
                    payload, status, creation_time, reply_to, function, channel_id, open, bulk,
                    send_at, scheduled, accepted_at, deadline_at, next_at, parts, seq)
                 SELECT q.conversation, q.author, TRUE, q.text, q.attachments,
                    q.payload, 'queued', $1, q.reply_to, q.function, q.channel, TRUE, q.bulk <> 0,
                    q.send_at, FALSE, $1, q.deadline, $1, q.parts,
                    c.next_seq - 1 + ROW_NUMBER() OVER (PARTITION BY q.conversation ORDER BY q.no)
                 FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[],
                    $7::bigint[], $8::text[], $9::text[], $10::bigint[], $11::bigint[],
                    $12::bigint[], $13::bigint[])
                    WITH ORDINALITY AS q (conversation, author, text, attachments, payload,
                        reply_to, function, channel, bulk, send_at, deadline, parts, no)
                 JOIN conversations c ON c.id = q.conversation
                 ORDER BY q.no RETURNING id",
            ),
            vals![
                unit.now.0,
                &int(|(_, conversation)| Some(conversation.id.0))[..],
                &int(|(send, _)| Some(send.author.0))[..],
                &text(|(send, _)| &send.text)[..],
                &attachments[..],
                &text(|(send, _)| &send.payload)[..],
                &int(|(send, _)| send.reply_to.map(|m| m.0))[..],
                &text(|(send, _)| &send.function)[..],
                &text(|(send, _)| &send.channel.id)[..],
                &int(|(send, _)| Some(i64::from(send.bulk)))[..],
                &int(|(send, _)| send.send_at.map(|t| t.0))[..],
                &int(|(send, _)| Some(send.deadline_at.0))[..],
                &int(|(send, _)| i64::try_from(send.parts.len()).ok())[..]
            ],
        )
        .await?;
    if rows.len() != placed.len() {
        return Err(StoreError::Corrupt("messages are missing".to_owned()));
    }
    let id = |mut row: super::super::sql::Row| row.int().map(MessageId);
    rows.into_iter().map(id).collect()
}

/// Inserts what is planned of each message, and under which key its call is known.
pub(super) async fn insert_parts_and_keys<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    placed: &[Placed<'_>],
    ids: &[MessageId],
) -> Result<(), StoreError> {
    let (mut messages, mut numbers, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    let (mut keys, mut functions) = (Vec::new(), Vec::new());
    let (mut arguments, mut keyed) = (Vec::new(), Vec::new());
    for ((send, _), id) in placed.iter().zip(ids) {
        for (idx, body) in send.parts.iter().enumerate() {
            messages.push(Some(id.0));
            numbers.push(i64::try_from(idx).ok());
            bodies.push(Some(body.as_str()));
        }
        if let Some(idempotency) = &send.idempotency {
            keys.push(Some(idempotency.key.as_str()));
            functions.push(Some(send.function.as_str()));
            arguments.push(Some(idempotency.arguments.as_str()));
            keyed.push(Some(id.0));
        }
    }
    sql.later(
        set("INSERT INTO parts (message_id, idx, body, state)
             SELECT q.message, q.idx, q.body, 'waiting'
             FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS q (message, idx, body)"),
        vals![&messages[..], &numbers[..], &bodies[..]],
    )
    .await?;
    if keys.is_empty() {
        return Ok(());
    }
    sql.later(
        set(
            "INSERT INTO idempotency_keys (key, function, arguments, message_id, created_at)
             SELECT q.key, q.function, q.arguments, q.message, $5
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
                AS q (key, function, arguments, message)",
        ),
        vals![
            &keys[..],
            &functions[..],
            &arguments[..],
            &keyed[..],
            unit.now.0
        ],
    )
    .await
}

/// Moves each conversation to its last message, and counts the numbers that were taken.
pub(super) async fn move_on<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    conversations: &BTreeMap<i64, (ConversationRow, i64)>,
) -> Result<(), StoreError> {
    let rows = || conversations.values();
    let ids: Vec<_> = rows().map(|(c, _)| Some(c.id.0)).collect();
    let last: Vec<_> = rows().map(|(c, _)| Some(c.last_message_id.0)).collect();
    let counts: Vec<_> = rows().map(|(_, count)| Some(*count)).collect();
    sql.later(
        // Beside `accept`, this is where a send moves `last_update_time`: what goes with that goes in both.
        set(
            "UPDATE conversations c SET last_message_id = q.message, last_update_time = $4,
                next_seq = c.next_seq + q.count, updated_hour = $5
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS q (id, message, count)
             WHERE c.id = q.id",
        ),
        vals![&ids[..], &last[..], &counts[..], unit.now.0, hour(unit.now)],
    )
    .await
}
