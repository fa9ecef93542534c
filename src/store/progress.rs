//! How far our messages have come: statuses, evidence, and what a message's status follows from.

use super::StoreError;
use super::inbound::Fate;
use super::locks::{self, Name};
use super::mirror;
use super::outbox::Unit;
use super::people::{ChannelInfo, find_conversation, known_user, thread_key};
use super::sql::{Asked, Sql};
use crate::events::payload;
use crate::vals;
use switchboard_channels::model::{DeliveryStatus, Event, MessageId, Millis, StatusUpdate};
use switchboard_channels::{Class, Words};

/// A part by message and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartKey {
    /// The message.
    pub message: MessageId,
    /// Which part, from 0.
    pub idx: i64,
}

impl PartKey {
    /// Reads `Part::idempotency_key`.
    pub fn from_reference(reference: &str) -> Option<Self> {
        let (message, idx) = reference.strip_prefix("sb-")?.split_once('-')?;
        Some(Self {
            message: MessageId(message.parse().ok()?),
            idx: idx.parse().ok()?,
        })
    }
}

fn delivery(name: &str) -> Option<DeliveryStatus> {
    match name {
        "sent" => Some(DeliveryStatus::Sent),
        "failed" => Some(DeliveryStatus::Failed),
        "delivered" => Some(DeliveryStatus::Delivered),
        "read" => Some(DeliveryStatus::Read),
        _ => None,
    }
}

/// Applies a status that came, or keeps it until its send is recorded.
pub async fn status_came<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    info: &ChannelInfo,
    event: &Event,
    status: &StatusUpdate,
) -> Result<Fate, StoreError> {
    let channel = info.id.as_str();
    if let Some(until) = status.watermark {
        return up_to(sql, unit, info, event, status.status, until).await;
    }
    let part = match find_part(sql, channel, &status.platform_id).await? {
        Some(part) => Some(part),
        // Its send may be being recorded at this moment: whoever comes second sees the first.
        None => match find_part_for_sure(sql, channel, status).await? {
            Some(part) => Some(part),
            None => match status
                .our_reference
                .as_deref()
                .and_then(PartKey::from_reference)
            {
                // Proof that the part arrived, perhaps before its answer was read.
                Some(part) if arrived(sql, unit, channel, part, &status.platform_id).await? => {
                    Some(part)
                }
                _ => None,
            },
        },
    };
    let Some(part) = part else {
        let error = match &status.error {
            Some(error) => Some(super::rows::json(error)?),
            None => None,
        };
        sql.later(
            "INSERT INTO early_statuses (channel_id, platform_id, status, error, received_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (channel_id, platform_id, status) DO NOTHING",
            vals![
                channel,
                &status.platform_id,
                status.status.name(),
                error.as_ref(),
                unit.now.0
            ],
        )
        .await?;
        return Ok(Fate::Kept);
    };
    locks::of_message(sql, part.message).await?;
    advance(sql, unit, part, status.status, status.error.as_ref()).await?;
    Ok(Fate::Applied)
}

async fn find_part_for_sure<S: Sql>(
    sql: &mut S,
    channel: &str,
    status: &StatusUpdate,
) -> Result<Option<PartKey>, StoreError> {
    locks::name(sql, Name::PlatformId(channel, &status.platform_id)).await?;
    find_part(sql, channel, &status.platform_id).await
}

/// A watermark is compared with our own time of sending; the two clocks may differ by so much.
const CLOCKS_MS: i64 = 1000;

/// Moves forward everything that was sent to a person up to a time: the watermarks of platforms that
/// name no messages. Looks at the newest messages of the conversation only, so that its length costs
/// nothing; older ones were behind an earlier watermark.
async fn up_to<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &ChannelInfo,
    event: &Event,
    status: DeliveryStatus,
    until: Millis,
) -> Result<Fate, StoreError> {
    let Some(sender) = &event.sender else {
        return Ok(Fate::Kept);
    };
    // Somebody whom nobody knows was sent nothing, and reading is no reason to make a user.
    let Some(user) = known_user(sql, channel, sender).await? else {
        return Ok(Fate::Kept);
    };
    let thread = event.thread.as_ref().and_then(|t| t.key.as_deref());
    let key = thread_key(user, thread);
    let Some(conversation) = find_conversation(sql, &channel.id, &key).await? else {
        return Ok(Fate::Kept);
    };
    let rows = sql
        .rows(
            "SELECT p.message_id, p.idx FROM (SELECT id FROM messages WHERE conversation_id = $1
                    AND outbound ORDER BY id DESC LIMIT 500) newest
             JOIN parts p ON p.message_id = newest.id
             WHERE p.state = 'sent' AND p.begun_at <= $2 ORDER BY p.message_id, p.idx",
            vals![conversation.id.0, until.plus(CLOCKS_MS).0],
        )
        .await?;
    for mut row in rows {
        let part = PartKey {
            message: MessageId(row.int()?),
            idx: row.int()?,
        };
        advance(sql, unit, part, status, None).await?;
    }
    Ok(Fate::Applied)
}

async fn find_part<S: Sql>(
    sql: &mut S,
    channel: &str,
    platform_id: &str,
) -> Result<Option<PartKey>, StoreError> {
    let row = sql
        .row(
            "SELECT p.message_id, p.idx FROM platform_messages p
             JOIN messages m ON m.id = p.message_id
             WHERE p.channel_id = $1 AND p.platform_id = $2 AND m.outbound",
            vals![channel, platform_id],
        )
        .await?;
    row.map(|mut r| {
        Ok(PartKey {
            message: MessageId(r.int()?),
            idx: r.int()?,
        })
    })
    .transpose()
}

/// Moves a part's delivery forward, never back, and the message with it.
async fn advance<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    part: PartKey,
    to: DeliveryStatus,
    error: Option<&(Class, Words)>,
) -> Result<(), StoreError> {
    let row = sql
        .row(
            "SELECT delivery FROM parts WHERE message_id = $1 AND idx = $2",
            vals![part.message.0, part.idx],
        )
        .await?;
    let Some(mut row) = row else { return Ok(()) };
    let now = row.opt_text()?.as_deref().and_then(delivery);
    if now.is_some_and(|now| now >= to) {
        return Ok(());
    }
    sql.later(
        "UPDATE parts SET delivery = $1 WHERE message_id = $2 AND idx = $3",
        vals![to.name(), part.message.0, part.idx],
    )
    .await?;
    if let (DeliveryStatus::Failed, Some((class, words))) = (to, error) {
        sql.later(
            "UPDATE messages SET error_class = $1, error_code = $2, error_message = $3
             WHERE id = $4",
            vals![class.name(), &words.code, &words.message, part.message.0],
        )
        .await?;
    }
    settle(sql, unit, part.message).await
}

/// Evidence by our own reference that a part arrived. `false`: the reference is not of this channel.
pub async fn evidence<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &str,
    reference: &str,
    platform_id: &str,
) -> Result<bool, StoreError> {
    let Some(part) = PartKey::from_reference(reference) else {
        return Ok(false);
    };
    arrived(sql, unit, channel, part, platform_id).await
}

/// Records that a part arrived under this id. Settles an unsure part, also one that was given up.
async fn arrived<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &str,
    part: PartKey,
    platform_id: &str,
) -> Result<bool, StoreError> {
    locks::name(sql, Name::PlatformId(channel, platform_id)).await?;
    locks::of_message(sql, part.message).await?;
    let row = sql
        .row(
            "SELECT p.state, p.attempts, m.failures, m.conversation_id, m.bulk, m.dead,
                COALESCE(m.error_code, '')
             FROM parts p JOIN messages m ON m.id = p.message_id
             WHERE p.message_id = $1 AND p.idx = $2 AND m.channel_id = $3",
            vals![part.message.0, part.idx, channel],
        )
        .await?;
    let Some(mut row) = row else { return Ok(false) };
    let (state, attempts, failures) = (row.text()?, row.int()?, row.int()?);
    let (conversation, bulk, dead, code) = (row.int()?, row.bool()?, row.bool()?, row.text()?);
    sql.later(
        "INSERT INTO platform_messages (channel_id, platform_id, message_id, idx)
         VALUES ($1, $2, $3, $4) ON CONFLICT (channel_id, platform_id) DO NOTHING",
        vals![channel, platform_id, part.message.0, part.idx],
    )
    .await?;
    // A part that is being sent right now is settled by its worker, which looks for this row.
    let given_up = dead && code == "unsure" && state == "failed";
    // One that waits for another try after a failure is not sent again. (After an operator's retry
    // nothing has failed yet; what comes then may still be of the attempts before.)
    let refuted = state == "waiting" && attempts > 0 && failures > 0;
    if state == "unsure" || refuted || given_up {
        mark_sent(sql, part, None).await?;
        if given_up {
            reopen_or_finish(sql, unit, part.message, conversation).await?;
        } else {
            super::work::finish_if_sent(sql, unit, part.message).await?;
        }
        unit.wakes
            .sends
            .push((channel.to_owned(), conversation, bulk));
    }
    // Statuses that came under this id before anybody knew whose it was.
    if let Some(early) = take_early(sql, channel, platform_id).await? {
        apply_early(sql, unit, part, early).await?;
    }
    Ok(true)
}

/// A part that has become sent just now.
pub(super) struct PartSent {
    /// Nothing further was reported of it before.
    pub fresh: bool,
}

/// Marks a part as sent; the message does not count it yet. `None`: it was sent before.
async fn mark_part_sent<S: Sql>(
    sql: &mut S,
    part: PartKey,
    answer: Option<&str>,
) -> Result<Option<PartSent>, StoreError> {
    let asked = ask_mark_part_sent(sql, part, answer).await?;
    PartSent::read(sql, asked).await
}

/// The same, to be read by [`PartSent::read`].
pub(super) async fn ask_mark_part_sent<S: Sql>(
    sql: &mut S,
    part: PartKey,
    answer: Option<&str>,
) -> Result<Asked, StoreError> {
    sql.ask(
        "UPDATE parts SET state = 'sent', delivery = COALESCE(delivery, 'sent'),
            answer = COALESCE($1, answer)
         WHERE message_id = $2 AND idx = $3 AND state <> 'sent' RETURNING delivery",
        vals![answer, part.message.0, part.idx],
    )
    .await
}

impl PartSent {
    /// Whether a part has become sent, as asked by [`ask_mark_part_sent`].
    pub(super) async fn read<S: Sql>(
        sql: &mut S,
        asked: Asked,
    ) -> Result<Option<Self>, StoreError> {
        let row = sql.answer(asked).await?.into_iter().next();
        row.map(|mut row| {
            Ok(Self {
                fresh: row.text()? == "sent",
            })
        })
        .transpose()
    }
}

/// Counts a part that was marked as sent. Says whether the message is a dead letter.
pub(super) async fn count_part<S: Sql>(
    sql: &mut S,
    message: MessageId,
) -> Result<bool, StoreError> {
    let row = sql
        .row(
            "UPDATE messages SET parts_sent = parts_sent + 1 WHERE id = $1 RETURNING dead",
            vals![message.0],
        )
        .await?;
    row.map_or(Ok(false), |mut row| row.bool())
}

/// Marks a part as sent and counts it.
pub async fn mark_sent<S: Sql>(
    sql: &mut S,
    part: PartKey,
    answer: Option<&str>,
) -> Result<(), StoreError> {
    if mark_part_sent(sql, part, answer).await?.is_some() {
        count_part(sql, part.message).await?;
    }
    Ok(())
}

/// A message that was given up as unsure arrived after all: finished, or open again for the rest.
pub(super) async fn reopen_or_finish<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
    conversation: i64,
) -> Result<(), StoreError> {
    sql.later(
        "UPDATE messages SET dead = FALSE, status = 'sent', error_class = NULL, error_code = NULL,
            error_message = NULL WHERE id = $1",
        vals![message.0],
    )
    .await?;
    let left = sql
        .exec(
            "UPDATE messages SET open = TRUE, status = 'sending', finished_at = NULL
             WHERE id = $1 AND parts_sent < parts",
            vals![message.0],
        )
        .await?;
    if left > 0 {
        super::sends::take_number(sql, message, conversation).await?;
        return Ok(());
    }
    // The status did not change to `sent` through `settle`, so it is told here.
    sql.later(
        "UPDATE messages SET status = 'sending' WHERE id = $1",
        vals![message.0],
    )
    .await?;
    settle(sql, unit, message).await
}

/// Derives a finished message's status from its parts and tells when it changed.
///
/// Failed when a part is; delivered when all parts are; read when the last one is.
pub async fn settle<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
) -> Result<(), StoreError> {
    let row = sql
        .row(
            "SELECT m.status, m.open,
                (SELECT COUNT(*) FROM parts p WHERE p.message_id = m.id AND p.state <> 'sent'),
                (SELECT COUNT(*) FROM parts p WHERE p.message_id = m.id AND p.delivery = 'failed'),
                (SELECT COUNT(*) FROM parts p WHERE p.message_id = m.id
                    AND p.delivery IN ('delivered', 'read')),
                (SELECT p.delivery FROM parts p WHERE p.message_id = m.id
                    ORDER BY p.idx DESC LIMIT 1),
                m.parts
             FROM messages m WHERE m.id = $1",
            vals![message.0],
        )
        .await?;
    let Some(mut row) = row else { return Ok(()) };
    let (status, open, unsent, failed) = (row.text()?, row.bool()?, row.int()?, row.int()?);
    let (delivered, last, parts) = (row.int()?, row.opt_text()?, row.int()?);
    if failed == 0 && (open || unsent > 0) {
        return Ok(()); // still on its way; settled when the last part is sent
    }
    let new = if failed > 0 {
        "failed"
    } else if last.as_deref() == Some("read") {
        "read"
    } else if delivered == parts {
        "delivered"
    } else {
        "sent"
    };
    if new == status {
        return Ok(());
    }
    if new == "failed" {
        sql.later(
            "UPDATE messages SET status = 'failed', dead = TRUE, open = FALSE, finished_at = $1
             WHERE id = $2",
            vals![unit.now.0, message.0],
        )
        .await?;
    } else {
        sql.later(
            // What was said of a failure that was none would depend on which came first.
            "UPDATE messages SET dead = FALSE,
                error_class = CASE WHEN status = 'failed' THEN NULL ELSE error_class END,
                error_code = CASE WHEN status = 'failed' THEN NULL ELSE error_code END,
                error_message = CASE WHEN status = 'failed' THEN NULL ELSE error_message END,
                status = $1 WHERE id = $2",
            vals![new, message.0],
        )
        .await?;
    }
    announce(sql, unit, message).await
}

/// The event of a message's new status.
pub async fn announce<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
) -> Result<(), StoreError> {
    unit.wakes.outcomes.push(message);
    if !unit.wanted("message-status-updated") || mirror::is_shown_copy(sql, unit, message).await? {
        return Ok(());
    }
    let row = sql
        .row(
            "SELECT conversation_id, status, parts, parts_sent, error_class, error_code,
                error_message FROM messages WHERE id = $1",
            vals![message.0],
        )
        .await?;
    let Some(mut row) = row else { return Ok(()) };
    let ids = sql
        .rows(
            "SELECT platform_id FROM platform_messages WHERE message_id = $1
             ORDER BY idx, platform_id",
            vals![message.0],
        )
        .await?;
    let platform_ids = ids
        .into_iter()
        .map(|mut r| r.text())
        .collect::<Result<Vec<_>, _>>()?;
    let conversation = row.int()?;
    let data = payload::message_status_updated(&payload::StatusNews {
        message,
        conversation: switchboard_channels::model::ConversationId(conversation),
        status: row.text()?,
        parts: row.int()?,
        parts_sent: row.int()?,
        error: row.opt_text()?.map(|class| {
            let code = row.opt_text().ok().flatten().unwrap_or_default();
            let message = row.opt_text().ok().flatten().unwrap_or_default();
            (class, code, message)
        }),
        platform_ids,
    });
    unit.emit(sql, "message-status-updated", conversation, &data)
        .await
}

/// A status that came before its send was recorded.
pub(super) type Early = (DeliveryStatus, Option<(Class, Words)>);

/// Takes the statuses that came before this id was recorded.
async fn take_early<S: Sql>(
    sql: &mut S,
    channel: &str,
    platform_id: &str,
) -> Result<Option<Early>, StoreError> {
    let asked = ask_early(sql, channel, platform_id).await?;
    read_early(sql, asked).await
}

/// The same, to be read by [`read_early`].
pub(super) async fn ask_early<S: Sql>(
    sql: &mut S,
    channel: &str,
    platform_id: &str,
) -> Result<Asked, StoreError> {
    sql.ask(
        "DELETE FROM early_statuses WHERE channel_id = $1 AND platform_id = $2
         RETURNING status, error",
        vals![channel, platform_id],
    )
    .await
}

/// The furthest of them alone counts: a failure that was delivered after all is none to tell of.
pub(super) async fn read_early<S: Sql>(
    sql: &mut S,
    asked: Asked,
) -> Result<Option<Early>, StoreError> {
    let rows = sql.answer(asked).await?;
    let mut found = Vec::with_capacity(rows.len());
    for mut row in rows {
        let (name, error) = (row.text()?, row.opt_text()?);
        // Words that only a newer release can read are no reason to lose the receipt that they meet.
        let error: Option<(Class, Words)> = error.and_then(|e| super::rows::from_json(&e).ok());
        found.extend(delivery(&name).map(|status| (status, error)));
    }
    Ok(found.into_iter().max_by_key(|(status, _)| *status))
}

/// Applies a status that came early.
pub(super) async fn apply_early<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    part: PartKey,
    (status, error): Early,
) -> Result<(), StoreError> {
    advance(sql, unit, part, status, error.as_ref()).await
}
