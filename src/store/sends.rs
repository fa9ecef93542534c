//! Accepting a send: one unit that makes key, message, number, parts and event durable together.

mod rows;
mod set;

pub use set::accept_all;

use super::StoreError;
use super::locks::{self, Name};
use super::mirror::{self, What};
use super::outbox::Unit;
use super::people::{
    self, ChannelInfo, Origin, find_conversation, from_recipient, resolve_conversation,
    resolve_user, set_status, thread_key,
};
use super::rows::{
    BOT, ConversationRow, MessageRow, StoredAttachment, UserRow, attachments_text, hour,
    status_code,
};
use super::sql::{Sql, Text};
use super::{inbound, reads, threads};
use crate::events::payload;
use crate::{inserting, vals};
use switchboard_channels::model::{
    ConversationId, IdentityScope, MessageId, Millis, Recipient, UserId,
};

/// Whom a send goes to.
#[derive(Debug, Clone)]
pub enum Target {
    /// A conversation that exists.
    Conversation(ConversationId),
    /// Somebody by address: found, or made with a conversation.
    Recipient(Recipient),
}

/// The key that makes a repeated call recognisable.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// As the caller gave it.
    pub key: String,
    /// Hash of the arguments.
    pub arguments: String,
}

/// A send, checked and planned, to be made durable.
#[derive(Debug, Clone)]
pub struct AcceptSend {
    /// Over which channel.
    pub channel: ChannelInfo,
    /// To whom.
    pub target: Target,
    /// Who writes.
    pub author: UserId,
    /// The function of the Web API that was called.
    pub function: String,
    /// The text.
    pub text: String,
    /// Attachments as they are shown.
    pub attachments: Vec<StoredAttachment>,
    /// Structured rest, a JSON object or empty.
    pub payload: String,
    /// The message that this one answers.
    pub reply_to: Option<MessageId>,
    /// The planned parts as JSON; their message id is filled in when they are read.
    pub parts: Vec<String>,
    /// Whether it may wait for others.
    pub bulk: bool,
    /// Not before this.
    pub send_at: Option<Millis>,
    /// Worthless after this.
    pub deadline_at: Millis,
    /// The caller's key.
    pub idempotency: Option<Idempotency>,
    /// Deliver this stored message instead of making one.
    pub stored: Option<MessageId>,
    /// The message of another conversation that this one is a copy of.
    pub mirror_of: Option<MessageId>,
}

/// What became of an accepted send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is durable.
    New {
        /// The message.
        message: MessageId,
        /// Its conversation.
        conversation: ConversationId,
        /// Whether it waits for its time.
        scheduled: bool,
    },
    /// The same call was accepted before.
    Known {
        /// The message of that call.
        message: MessageId,
    },
    /// The key was used with other arguments.
    Conflict,
    /// The conversation, or the stored message, is gone, or was sent before.
    Gone(&'static str),
}

/// Looks whether a key was used before.
pub async fn known<S: Sql>(
    sql: &mut S,
    function: &str,
    idempotency: &Idempotency,
) -> Result<Option<Accepted>, StoreError> {
    let row = sql
        .row(
            "SELECT function, arguments, message_id FROM idempotency_keys WHERE key = $1",
            vals![&idempotency.key],
        )
        .await?;
    let Some(mut row) = row else { return Ok(None) };
    // Read one by one: a comparison that stops early would leave a column unread.
    let (of_function, arguments, message) = (row.text()?, row.text()?, row.int()?);
    let same = of_function == function && arguments == idempotency.arguments;
    Ok(Some(if same {
        Accepted::Known {
            message: MessageId(message),
        }
    } else {
        Accepted::Conflict
    }))
}

/// Accepts a send.
pub async fn accept<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    send: &AcceptSend,
) -> Result<Accepted, StoreError> {
    if let Some(idempotency) = &send.idempotency {
        // The same call at the same moment waits here, and finds what the first one made.
        locks::name(sql, Name::IdempotencyKey(&idempotency.key)).await?;
    }
    if let Some(idempotency) = &send.idempotency
        && let Some(known) = known(sql, &send.function, idempotency).await?
    {
        return Ok(known);
    }
    // Looked at before anything is made: a refused send leaves no user or conversation behind.
    if let Some(stored) = send.stored
        && !is_stored(sql, stored).await?
    {
        return Ok(Accepted::Gone("message"));
    }
    let (mut conversation, user, created) = match &send.target {
        Target::Conversation(id) => {
            locks::conversation(sql, unit, id.0).await?;
            let Some(conversation) = reads::conversation(sql, *id).await? else {
                return Ok(Accepted::Gone("conversation"));
            };
            (conversation, None, false)
        }
        Target::Recipient(recipient) => {
            let (sender, thread) = from_recipient(recipient);
            // A group has no id of a person: whose it is, its conversation knows.
            let group = match &thread.key {
                Some(key) if sender.ids.is_empty() => {
                    let key = thread_key(BOT, Some(key));
                    find_conversation(sql, &send.channel.id, &key).await?
                }
                _ => None,
            };
            // Nothing is learnt of a person by writing to them, so one who is known is only looked up.
            let key = thread.key.as_deref();
            let known = match group {
                Some(conversation) => Some(conversation),
                None if send.channel.identity == IdentityScope::Email => None,
                None => people::known(sql, unit, &send.channel, &sender, key, "")
                    .await?
                    .map(|known| known.conversation),
            };
            match known {
                Some(conversation) => (conversation, None, false),
                None => {
                    let user = resolve_user(sql, unit, &send.channel, &sender).await?.user;
                    let found = resolve_conversation(
                        sql,
                        unit,
                        &send.channel,
                        user.id,
                        &thread,
                        Origin::Us,
                    )
                    .await?;
                    (found.conversation, Some(user), found.created)
                }
            }
        }
    };
    let scheduled = send.send_at.is_some_and(|at| at > unit.now);
    let message = match send.stored {
        Some(stored) => {
            open_stored(sql, unit, send, stored, scheduled).await?;
            stored
        }
        None => insert_message(sql, unit, send, conversation.id, scheduled).await?,
    };
    let at_desk = mirror::is_desk(unit.desks, &send.channel.id);
    if !scheduled && !at_desk && send.mirror_of.is_none() {
        mirror::note(
            sql,
            unit,
            &send.channel.id,
            conversation.id,
            message,
            What::New,
        )
        .await?;
    }
    let placed = match send.channel.identity {
        IdentityScope::Email => {
            Some(threads::placed(sql, unit.now, send, &mut conversation).await?)
        }
        _ => None,
    };
    for (idx, body) in placed.as_ref().unwrap_or(&send.parts).iter().enumerate() {
        sql.later(
            "INSERT INTO parts (message_id, idx, body, state) VALUES ($1, $2, $3, 'waiting')",
            vals![message.0, i64::try_from(idx).unwrap_or(i64::MAX), body],
        )
        .await?;
    }
    if let Some(idempotency) = &send.idempotency {
        sql.later(
            "INSERT INTO idempotency_keys (key, function, arguments, message_id, created_at)
             VALUES ($1, $2, $3, $4, $5)",
            vals![
                &idempotency.key,
                &send.function,
                &idempotency.arguments,
                message.0,
                unit.now.0
            ],
        )
        .await?;
    }
    // A message that was stored long ago is not the last one for being sent now.
    conversation.last_message_id = conversation.last_message_id.max(message);
    conversation.last_update_time = unit.now;
    // The message has taken the number, so it is counted here, in one change of the row.
    sql.later(
        "UPDATE conversations SET last_message_id = $1, last_update_time = $2,
            next_seq = next_seq + $3 WHERE id = $4",
        vals![
            conversation.last_message_id.0,
            unit.now.0,
            i64::from(!scheduled),
            conversation.id.0
        ],
    )
    .await?;
    conversation.list_under_hour(sql, unit.now).await?;
    let id = conversation.id;
    tell(
        sql,
        unit,
        send,
        message,
        &conversation,
        user.filter(|_| created),
    )
    .await?;
    if !scheduled {
        unit.wakes
            .sends
            .push((send.channel.id.clone(), id.0, send.bulk));
    }
    Ok(Accepted::New {
        message,
        conversation: id,
        scheduled,
    })
}

/// The events of an accepted message: a conversation that began with it, then the message, unless
/// it was told of when `send-message` stored it.
async fn tell<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    send: &AcceptSend,
    message: MessageId,
    conversation: &ConversationRow,
    created_for: Option<UserRow>,
) -> Result<(), StoreError> {
    let shown = send.mirror_of.is_some() && mirror::is_desk(unit.desks, &send.channel.id);
    if send.stored.is_some() || unit.receivers.is_empty() || shown {
        return Ok(());
    }
    let row = reads::message(sql, message)
        .await?
        .ok_or_else(|| StoreError::Corrupt("a message vanished in its own commit".to_owned()))?;
    if let Some(user) = created_for {
        inbound::announce_conversation(sql, unit, conversation, &user, Some(&row)).await?;
    }
    message_sent(sql, unit, conversation, &row).await
}

/// The event of a message, from either side.
pub async fn message_sent<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    conversation: &ConversationRow,
    row: &MessageRow,
) -> Result<(), StoreError> {
    if !unit.wanted("message-sent") {
        return Ok(());
    }
    let told = payload::Told::of(conversation, None, row, unit.links, unit.now);
    unit.emit(sql, "message-sent", conversation.id.0, told.message_sent()?)
        .await
}

async fn insert_message<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    send: &AcceptSend,
    conversation: ConversationId,
    scheduled: bool,
) -> Result<MessageId, StoreError> {
    let id = sql
        .insert(
            inserting!(
                "INSERT INTO messages (conversation_id, user_id, outbound, text, attachments, payload,
                status, creation_time, reply_to, function, channel_id, open, bulk, send_at,
                scheduled, accepted_at, deadline_at, next_at, parts, seq, mirror_of)
             VALUES ($1, $2, TRUE, $3, $4, $5, 'queued', $6, $7, $8, $9, $10, $11, $12, $13, $6,
                $14, $15, $16,
                CASE WHEN $10 THEN (SELECT next_seq FROM conversations WHERE id = $1) END, $17)"
            ),
            vals![
                conversation.0,
                send.author.0,
                &send.text,
                &attachments_text(&send.attachments)?,
                &send.payload,
                unit.now.0,
                send.reply_to.map(|m| m.0),
                &send.function,
                &send.channel.id,
                !scheduled,
                send.bulk,
                send.send_at.map(|t| t.0),
                scheduled,
                send.deadline_at.0,
                send.send_at.map_or(unit.now.0, |t| t.0.max(unit.now.0)),
                i64::try_from(send.parts.len()).unwrap_or(i64::MAX),
                send.mirror_of.map(|m| m.0)
            ],
        )
        .await?;
    Ok(MessageId(id))
}

/// Whether a message is only stored so far.
async fn is_stored<S: Sql>(sql: &mut S, message: MessageId) -> Result<bool, StoreError> {
    let row = sql
        .row(
            "SELECT 1 FROM messages WHERE id = $1 AND status = 'stored' AND NOT deleted",
            vals![message.0],
        )
        .await?;
    Ok(row.is_some())
}

/// Turns a stored message into one that waits to be sent.
async fn open_stored<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    send: &AcceptSend,
    stored: MessageId,
    scheduled: bool,
) -> Result<(), StoreError> {
    sql.later(
        "UPDATE messages SET outbound = TRUE, status = 'queued', function = $1, channel_id = $2,
                open = $3, bulk = $4, send_at = $5, scheduled = $6, accepted_at = $7,
                deadline_at = $8, next_at = $9, parts = $10,
                seq = CASE WHEN $3 THEN (SELECT next_seq FROM conversations c
                    WHERE c.id = messages.conversation_id) END
             WHERE id = $11",
        vals![
            &send.function,
            &send.channel.id,
            !scheduled,
            send.bulk,
            send.send_at.map(|t| t.0),
            scheduled,
            unit.now.0,
            send.deadline_at.0,
            send.send_at.map_or(unit.now.0, |t| t.0.max(unit.now.0)),
            i64::try_from(send.parts.len()).unwrap_or(i64::MAX),
            stored.0
        ],
    )
    .await?;
    Ok(())
}

/// Takes a conversation's next number: what orders a message among the others, for good.
async fn next_number<S: Sql>(sql: &mut S, conversation: i64) -> Result<i64, StoreError> {
    let mut row = sql
        .one(
            "UPDATE conversations SET next_seq = next_seq + 1 WHERE id = $1 RETURNING next_seq - 1",
            vals![conversation],
        )
        .await?;
    row.int()
}

/// Gives a message that is stored already the conversation's next number.
pub async fn take_number<S: Sql>(
    sql: &mut S,
    message: MessageId,
    conversation: i64,
) -> Result<(), StoreError> {
    let number = next_number(sql, conversation).await?;
    sql.later(
        "UPDATE messages SET seq = $1 WHERE id = $2",
        vals![number, message.0],
    )
    .await?;
    Ok(())
}

/// Opens scheduled messages whose time has come, oldest first. Returns how many, and when the next
/// one is due.
pub async fn release_scheduled<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
) -> Result<(usize, Option<Millis>), StoreError> {
    /// Messages released in one commit.
    const BATCH: usize = 500;
    // One process at a time, and no conversation whose messages somebody changes meanwhile.
    locks::name(sql, Name::Chore("scheduled messages")).await?;
    sql.later(
        Text::lock(
            "SELECT 1 FROM conversations WHERE id IN (SELECT conversation_id FROM messages
                WHERE scheduled AND send_at <= $1 ORDER BY send_at, id LIMIT 500)
             ORDER BY id FOR NO KEY UPDATE",
        ),
        vals![unit.now.0],
    )
    .await?;
    let rows = sql
        .rows(
            "SELECT id, conversation_id, channel_id, bulk FROM messages
             WHERE scheduled AND send_at <= $1 ORDER BY send_at, id LIMIT 500",
            vals![unit.now.0],
        )
        .await?;
    let count = rows.len();
    for mut row in rows {
        let (id, conversation) = (row.int()?, row.int()?);
        let (channel, bulk) = (row.text()?, row.bool()?);
        sql.later(
            "UPDATE messages SET scheduled = FALSE, open = TRUE, next_at = $1 WHERE id = $2",
            vals![unit.now.0, id],
        )
        .await?;
        take_number(sql, MessageId(id), conversation).await?;
        if !mirror::is_desk(unit.desks, &channel) {
            let (of, message) = (ConversationId(conversation), MessageId(id));
            mirror::note(sql, unit, &channel, of, message, What::New).await?;
        }
        unit.wakes.sends.push((channel, conversation, bulk));
    }
    if count == BATCH {
        return Ok((count, Some(unit.now)));
    }
    let mut next = sql
        .one("SELECT MIN(send_at) FROM messages WHERE scheduled", vals![])
        .await?;
    Ok((count, next.opt_int()?.map(Millis)))
}

/// A message that is only stored: `send-message`.
#[derive(Debug, Clone)]
pub struct StoreMessage {
    /// Where.
    pub conversation: ConversationId,
    /// Who writes.
    pub author: UserId,
    /// The text.
    pub text: String,
    /// Attachments.
    pub attachments: Vec<StoredAttachment>,
    /// Structured rest.
    pub payload: String,
    /// The conversation's status code from now on.
    pub status_code: Option<i64>,
}

/// Stores a message without sending it. `None`: there is no such conversation.
pub async fn store_message<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: &StoreMessage,
) -> Result<Option<MessageId>, StoreError> {
    locks::conversation(sql, unit, message.conversation.0).await?;
    let Some(mut conversation) = reads::conversation(sql, message.conversation).await? else {
        return Ok(None);
    };
    let from_contact = message.author == conversation.user_id;
    let mut row = sql
        .one(
            "INSERT INTO messages (conversation_id, user_id, outbound, text, attachments, payload,
                status, creation_time)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
            vals![
                conversation.id.0,
                message.author.0,
                !from_contact,
                &message.text,
                &attachments_text(&message.attachments)?,
                &message.payload,
                if from_contact { "received" } else { "stored" },
                unit.now.0
            ],
        )
        .await?;
    let id = MessageId(row.int()?);
    sql.later(
        "UPDATE conversations SET last_message_id = $1, last_update_time = $2 WHERE id = $3",
        vals![id.0, unit.now.0, conversation.id.0],
    )
    .await?;
    conversation.list_under_hour(sql, unit.now).await?;
    if let Some(code) = message.status_code {
        set_status(sql, unit, &mut conversation, code).await?;
    }
    if !unit.receivers.is_empty()
        && let Some(row) = reads::message(sql, id).await?
    {
        message_sent(sql, unit, &conversation, &row).await?;
    }
    Ok(Some(id))
}

/// Makes a conversation for a user without a platform (or with one, to be written to later).
pub async fn new_conversation<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    user: &UserRow,
    source: &str,
    title: &str,
    code: i64,
    fields: &NewConversation,
) -> Result<ConversationId, StoreError> {
    let live = code != status_code::TRASH;
    let mut row = sql
        .one(
            "INSERT INTO conversations (user_id, channel_id, source, thread_key, thread_live, title,
                status_code, department, agent_id, extra, extra_2, extra_3, tags, address,
                creation_time, last_update_time, updated_hour)
             VALUES ($1, '', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, '', $13, $13, $14)
             RETURNING id",
            vals![
                user.id.0,
                source,
                // No platform's events come here, so its thread is its own.
                &format!("own:{}", uuid::Uuid::now_v7()),
                live,
                title,
                code,
                fields.department.as_ref(),
                fields.agent_id.as_ref(),
                fields.extra.as_ref(),
                fields.extra_2.as_ref(),
                fields.extra_3.as_ref(),
                fields.tags.as_ref(),
                unit.now.0,
                hour(unit.now)
            ],
        )
        .await?;
    let id = ConversationId(row.int()?);
    unit.holds(id.0);
    if let Some(conversation) = reads::conversation(sql, id).await? {
        inbound::announce_conversation(sql, unit, &conversation, user, None).await?;
    }
    Ok(id)
}

/// The optional fields of [`new_conversation`].
#[derive(Debug, Clone, Default)]
pub struct NewConversation {
    /// Department.
    pub department: Option<String>,
    /// Agent.
    pub agent_id: Option<String>,
    /// Free.
    pub extra: Option<String>,
    /// Free.
    pub extra_2: Option<String>,
    /// Free.
    pub extra_3: Option<String>,
    /// Tags.
    pub tags: Option<String>,
}
