//! Recording what a platform took.

use super::super::StoreError;
use super::super::locks::{self, Name};
use super::super::mirror;
use super::super::outbox::{Sent, Unit};
use super::super::progress::{
    PartSent, announce, apply_early, ask_early, ask_mark_part_sent, count_part, read_early,
    reopen_or_finish, settle,
};
use super::super::sql::{Asked, Sql, Text};
use super::begin::{Begin, Begun, ask_fence, ask_head, begin_for};
use super::{AttemptKey, ask_more, ask_record, read_more};
use crate::events::payload;
use crate::{changing, vals};
use switchboard_channels::model::{ConversationId, MessageId, Receipt, UserId};

/// A part that the platform took.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The attempt.
    pub attempt: AttemptKey,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The channel.
    pub channel: String,
    /// How its user ids are scoped, for an alias in the receipt.
    pub alias_scope: String,
    /// The platform's answer.
    pub receipt: Receipt,
    /// Where the conversation goes on, when this was the first message of a mirror.
    pub place: Option<String>,
    /// Go on with what comes next in the conversation, in the same commit.
    pub next: Option<Begin>,
}

impl Taken {
    /// What the caller of a message of one part waits for.
    pub(super) fn sent(&self) -> Sent {
        Sent {
            message: self.attempt.part.message,
            conversation: self.conversation,
            answer: self.receipt.answer.clone(),
        }
    }
}

/// What stands in a conversation after a receipt was recorded.
#[derive(Debug)]
pub struct After {
    /// The next part, when it was to be begun.
    pub next: Begun,
    /// Whether more waits there, and whether all of it is bulk.
    pub more: Option<bool>,
}

/// Records a receipt; finishes the message when it was the last part; begins the next part.
///
/// A receipt that comes late, after somebody else has taken the part over, is as good: the part is sent,
/// whatever has become of it meanwhile, and is not sent again.
pub async fn taken<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    taken: &Taken,
) -> Result<After, StoreError> {
    let key = taken.attempt.part;
    let mut names: Vec<_> = taken.receipt.platform_ids.iter().collect();
    names.sort();
    for id in names {
        // A status may come under it at this moment: whoever comes second sees the first.
        locks::name(sql, Name::PlatformId(&taken.channel, id)).await?;
    }
    if taken.receipt.alias.is_some() {
        // The person must not become another one between the reading and the writing.
        let lock = Text::lock(
            "SELECT 1 FROM conversations c JOIN users u ON u.id = c.user_id
             WHERE c.id = $1 FOR NO KEY UPDATE OF u",
        );
        sql.later(lock, vals![taken.conversation.0]).await?;
    }
    locks::conversation(sql, unit, taken.conversation.0).await?;
    // All that the answers decide comes after them; so they cost one round trip.
    let new = ask_record(sql, unit, taken.attempt, "sent", None).await?;
    let sent = ask_mark_part_sent(sql, key, Some(&taken.receipt.answer)).await?;
    let mut asked = Vec::with_capacity(taken.receipt.platform_ids.len());
    for id in &taken.receipt.platform_ids {
        sql.later(
            "INSERT INTO platform_messages (channel_id, platform_id, message_id, idx)
             VALUES ($1, $2, $3, $4) ON CONFLICT (channel_id, platform_id) DO NOTHING",
            vals![&taken.channel, id, key.message.0, key.idx],
        )
        .await?;
        asked.push(ask_early(sql, &taken.channel, id).await?);
    }
    let fence = match &taken.next {
        Some(next) => Some(ask_fence(sql, next).await?),
        None => None,
    };
    let new = !sql.answer(new).await?.is_empty();
    let sent = PartSent::read(sql, sent).await?;
    let mut early = Vec::new();
    for asked in asked {
        early.extend(read_early(sql, asked).await?);
    }
    if let Some(alias) = &taken.receipt.alias {
        sql.later(
            "INSERT INTO identities (scope, platform_user_id, user_id)
             SELECT $1, $2, c.user_id FROM messages m JOIN conversations c
                ON c.id = m.conversation_id WHERE m.id = $3
             ON CONFLICT (scope, platform_user_id) DO NOTHING",
            vals![&taken.alias_scope, alias, key.message.0],
        )
        .await?;
    }
    let conversation = taken.conversation;
    if let Some(place) = &taken.place {
        // Before the message is told of and the next part begun, which goes there.
        mirror::place(sql, unit, &taken.channel, conversation, place).await?;
    }
    // Nothing was heard of it but that it is sent: what most receipts are. Then most messages have no other
    // part, and what comes next is the head of what is left.
    let plain = matches!(sent, Some(PartSent { fresh: true })) && early.is_empty();
    let (mut head, mut left) = (None, None);
    let whole = if plain {
        let asked = ask_whole(sql, unit, key.message).await?;
        if taken.next.is_some() {
            head = Some(ask_head(sql, conversation).await?);
        } else {
            left = Some(ask_more(sql, conversation).await?);
        }
        !sql.answer(asked).await?.is_empty()
    } else {
        false
    };
    let dead = if whole {
        announce(sql, unit, key.message).await?;
        unit.wakes.sent.push(taken.sent());
        taken_whole(sql, unit, key.message).await?;
        false
    } else {
        left = None;
        let dead = sent.is_some() && count_part(sql, key.message).await?;
        for status in early {
            apply_early(sql, unit, key, status).await?;
        }
        if finish_if_sent(sql, unit, key.message).await? || dead {
            // It is the head no longer, or comes back into the line.
            head = None;
        }
        dead
    };
    if dead && let Some(bulk) = raised(sql, key.message).await? {
        reopen_or_finish(sql, unit, key.message, conversation.0).await?;
        let wake = (taken.channel.clone(), conversation.0, bulk);
        unit.wakes.sends.push(wake);
    }
    let next = match (&taken.next, fence) {
        // Said again, it may have begun the next part the first time: nobody has sent that yet.
        (Some(next), Some(fence)) => begin_for(sql, unit, next, (fence, head), !new).await?,
        _ => Begun::Nothing,
    };
    let more = match (&next, &taken.next) {
        // Its head was looked for.
        (Begun::Nothing, Some(_)) => None,
        (Begun::Nothing, None) => {
            let asked = match left {
                Some(asked) => asked,
                None => ask_more(sql, conversation).await?,
            };
            read_more(sql, asked).await?
        }
        _ => Some(false),
    };
    Ok(After { next, more })
}

/// Whether a dead message is none any more, now that a part of it has arrived after all; and then,
/// whether it is bulk. It is none when it was given up over that part alone, without knowing that it
/// arrived, or when nothing of it is left to be sent.
async fn raised<S: Sql>(sql: &mut S, message: MessageId) -> Result<Option<bool>, StoreError> {
    let row = sql
        .row(
            "SELECT bulk FROM messages WHERE id = $1 AND dead AND (parts_sent = parts
                OR (error_code = 'unsure' AND (SELECT 1 FROM parts p
                    WHERE p.message_id = messages.id AND p.state = 'failed' LIMIT 1) IS NULL))",
            vals![message.0],
        )
        .await?;
    row.map(|mut row| row.bool()).transpose()
}

/// Counts a sent part where it is the only one of its message, and finishes that in the same statement:
/// its status can be nothing but `sent`. Done when the answer is a row.
async fn ask_whole<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    message: MessageId,
) -> Result<Asked, StoreError> {
    sql.ask_changed(
        changing!(
            "UPDATE messages SET parts_sent = 1, open = FALSE, finished_at = $1, status = 'sent'
             WHERE id = $2 AND open AND parts = 1 AND parts_sent = 0
                AND status IN ('queued', 'sending')"
        ),
        vals![unit.now.0, message.0],
    )
    .await
}

/// Closes a message if its parts are all sent, and says whether they are.
pub async fn finish_if_sent<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
) -> Result<bool, StoreError> {
    let left = sql
        .row(
            "SELECT 1 FROM parts WHERE message_id = $1 AND state <> 'sent' LIMIT 1",
            vals![message.0],
        )
        .await?;
    if left.is_none() {
        finish_sent(sql, unit, message).await?;
    }
    Ok(left.is_none())
}

/// Closes a message whose parts are all sent.
pub(super) async fn finish_sent<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
) -> Result<(), StoreError> {
    let closed = sql
        .exec(
            "UPDATE messages SET open = FALSE, finished_at = $1 WHERE id = $2 AND open",
            vals![unit.now.0, message.0],
        )
        .await?;
    if closed > 0 {
        settle(sql, unit, message).await?;
        taken_whole(sql, unit, message).await?;
    }
    Ok(())
}

/// The seeds' events of a message that a platform has taken whole.
pub(super) async fn taken_whole<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
) -> Result<(), StoreError> {
    sms_sent(sql, unit, message).await?;
    email_sent(sql, unit, message).await?;
    slack_message_sent(sql, unit, message).await
}

/// The seeds' event of a text message that went out.
async fn sms_sent<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
) -> Result<(), StoreError> {
    if !unit.wanted("sms-sent") {
        return Ok(());
    }
    let row = sql
        .row(
            "SELECT c.id, c.user_id, m.text, COALESCE(p.answer, '') FROM messages m
             JOIN conversations c ON c.id = m.conversation_id
             JOIN parts p ON p.message_id = m.id AND p.idx = 0
             WHERE m.id = $1 AND c.source = 'tx'",
            vals![message.0],
        )
        .await?;
    let Some(mut row) = row else { return Ok(()) };
    let (group, user) = (row.int()?, UserId(row.int()?));
    let data = payload::sms_sent(user, &row.text()?, &row.text()?);
    unit.emit(sql, "sms-sent", group, &data).await
}

/// The seeds' event of a message that Slack has taken. Of a copy it names the conversation that is
/// shown.
async fn slack_message_sent<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
) -> Result<(), StoreError> {
    // Without a desk there is no Slack, and nobody need look.
    if unit.desks.is_empty() || !unit.wanted("slack-message-sent") {
        return Ok(());
    }
    let row = sql
        .row(
            "SELECT c.id, COALESCE(x.conversation_id, c.id), m.text, c.address FROM messages m
             JOIN conversations c ON c.id = m.conversation_id
             LEFT JOIN mirrors x ON x.mirror_id = c.id
             WHERE m.id = $1 AND c.source = 'sl'",
            vals![message.0],
        )
        .await?;
    let Some(mut row) = row else { return Ok(()) };
    let (group, about) = (row.int()?, ConversationId(row.int()?));
    let (text, address) = (row.text()?, row.text()?);
    let place = address.split(':').next().unwrap_or_default();
    let data = payload::slack_message_sent(&text, about, place);
    unit.emit(sql, "slack-message-sent", group, &data).await
}

/// The seeds' event of an e-mail that went out.
async fn email_sent<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
) -> Result<(), StoreError> {
    if !unit.wanted("email-sent") {
        return Ok(());
    }
    let row = sql
        .row(
            "SELECT c.user_id FROM messages m JOIN conversations c ON c.id = m.conversation_id
             WHERE m.id = $1 AND c.source = 'em'",
            vals![message.0],
        )
        .await?;
    let Some(mut row) = row else { return Ok(()) };
    let user = UserId(row.int()?);
    let Some(message) = super::super::reads::message(sql, message).await? else {
        return Ok(());
    };
    let data = payload::email_sent(user, &message, unit.links, unit.now);
    unit.emit(sql, "email-sent", message.conversation_id.0, &data)
        .await
}
