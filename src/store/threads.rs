//! Mail threads: which conversation a mail continues, who may continue it, and where an answer of
//! ours stands in it.

use super::StoreError;
use super::people::ChannelInfo;
use super::rows::{ConversationRow, from_json, json};
use super::sends::AcceptSend;
use super::sql::Sql;
use crate::{conversation_columns, holding, vals};
use switchboard_channels::model::{
    ConversationId, MailThread, MessageId, Millis, Part, Sender, Thread, ThreadClue, UserId,
    base_subject, subject_key,
};

/// Conversations of one person that are compared by title; whoever has more going on at once is told
/// apart by ids or not at all.
const RECENT_MAX: i64 = 20;

/// Ids that stand for a mail without one, made from its content: nobody else knows them.
const MADE_UP: &str = "h:";

/// Finds the live conversation that a mail continues: the first clue that leads to one of this channel
/// in which its sender takes part. A token or an id that came into a stranger's hands opens nothing.
pub async fn continued<S: Sql>(
    sql: &mut S,
    now: Millis,
    channel: &ChannelInfo,
    user: UserId,
    thread: &Thread,
) -> Result<Option<ConversationRow>, StoreError> {
    for clue in &thread.clues {
        let found = match clue {
            ThreadClue::Conversation { id } => Some(*id),
            ThreadClue::Message { platform_id } => by_message(sql, channel, platform_id).await?,
            ThreadClue::Sent { message } => by_sent(sql, *message).await?,
            ThreadClue::Recent { title, within_ms } => {
                by_title(sql, channel, user, title, now.plus(-within_ms)).await?
            }
        };
        if let Some(id) = found
            && let Some(conversation) = live(sql, channel, id).await?
            && takes_part(sql, &conversation, user).await?
        {
            return Ok(Some(conversation));
        }
    }
    Ok(None)
}

async fn by_message<S: Sql>(
    sql: &mut S,
    channel: &ChannelInfo,
    platform_id: &str,
) -> Result<Option<ConversationId>, StoreError> {
    let row = sql
        .row(
            "SELECT m.conversation_id FROM platform_messages p JOIN messages m ON m.id = p.message_id
             WHERE p.channel_id = $1 AND p.platform_id = $2",
            vals![&channel.id, platform_id],
        )
        .await?;
    row.map(|mut r| r.int().map(ConversationId)).transpose()
}

async fn by_sent<S: Sql>(
    sql: &mut S,
    message: MessageId,
) -> Result<Option<ConversationId>, StoreError> {
    let row = sql
        .row(
            "SELECT conversation_id FROM messages WHERE id = $1 AND outbound",
            vals![message.0],
        )
        .await?;
    row.map(|mut r| r.int().map(ConversationId)).transpose()
}

async fn by_title<S: Sql>(
    sql: &mut S,
    channel: &ChannelInfo,
    user: UserId,
    title: &str,
    since: Millis,
) -> Result<Option<ConversationId>, StoreError> {
    let wanted = subject_key(title);
    if wanted.is_empty() {
        return Ok(None);
    }
    let rows = sql
        .rows(
            "SELECT id, title FROM conversations
             WHERE user_id = $1 AND channel_id = $2 AND thread_live AND last_update_time >= $3
             ORDER BY last_update_time DESC, id DESC LIMIT $4",
            vals![user.0, &channel.id, since.0, RECENT_MAX],
        )
        .await?;
    for mut row in rows {
        let (id, title) = (row.int()?, row.text()?);
        if subject_key(&title) == wanted {
            return Ok(Some(ConversationId(id)));
        }
    }
    Ok(None)
}

async fn live<S: Sql>(
    sql: &mut S,
    channel: &ChannelInfo,
    id: ConversationId,
) -> Result<Option<ConversationRow>, StoreError> {
    let row = sql
        .row(
            holding!(
                "c",
                "SELECT ",
                conversation_columns!(),
                " FROM conversations c WHERE c.id = $1 AND c.channel_id = $2 AND c.thread_live"
            ),
            vals![id.0, &channel.id],
        )
        .await?;
    row.map(|mut row| ConversationRow::read(&mut row))
        .transpose()
}

async fn takes_part<S: Sql>(
    sql: &mut S,
    conversation: &ConversationRow,
    user: UserId,
) -> Result<bool, StoreError> {
    if conversation.user_id == user {
        return Ok(true);
    }
    let row = sql
        .row(
            "SELECT 1 FROM participants p JOIN identities i ON i.platform_user_id = p.address
             WHERE p.conversation_id = $1 AND i.user_id = $2 LIMIT 1",
            vals![conversation.id.0, user.0],
        )
        .await?;
    Ok(row.is_some())
}

/// Writes down who takes part in a conversation: whoever wrote, and whomever they wrote to as well.
pub async fn joined<S: Sql>(
    sql: &mut S,
    conversation: ConversationId,
    sender: &Sender,
    people: &[String],
) -> Result<(), StoreError> {
    let addresses = sender.ids.iter().chain(&sender.email).chain(people);
    for address in addresses {
        sql.later(
            "INSERT INTO participants (conversation_id, address) VALUES ($1, $2)
             ON CONFLICT (conversation_id, address) DO NOTHING",
            vals![conversation.0, &address.to_lowercase()],
        )
        .await?;
    }
    Ok(())
}

/// Gives the parts of a mail their place in its thread, for good: a retry must send the same bytes,
/// whatever has come in between. Whom it goes to takes part from now on.
pub async fn placed<S: Sql>(
    sql: &mut S,
    now: Millis,
    send: &AcceptSend,
    conversation: &mut ConversationRow,
) -> Result<Vec<String>, StoreError> {
    let mut parts = send
        .parts
        .iter()
        .map(|text| from_json::<Part>(text))
        .collect::<Result<Vec<_>, _>>()?;
    let subject = parts.iter().find_map(|p| p.mail.subject.as_deref());
    if let Some(subject) = subject
        && conversation.title.is_empty()
    {
        conversation.title = base_subject(subject).to_owned();
        sql.later(
            "UPDATE conversations SET title = $1 WHERE id = $2",
            vals![&conversation.title, conversation.id.0],
        )
        .await?;
    }
    let mut thread = MailThread {
        conversation: conversation.id,
        at: send.send_at.map_or(now, |at| at.max(now)),
        subject: base_subject(&conversation.title).to_owned(),
        in_reply_to: None,
        references: Vec::new(),
    };
    if let Some(answered) = answered(sql, send, conversation.id).await?
        && let Some(id) = public_id(sql, send, answered).await?
    {
        thread.references = references(sql, answered).await?;
        thread.references.retain(|r| *r != id);
        thread.references.push(id.clone());
        thread.in_reply_to = Some(id);
    }
    let mut people: Vec<String> = Vec::new();
    for part in &mut parts {
        part.thread = Some(thread.clone());
        people.extend(part.to.split(',').map(|a| a.trim().to_owned()));
    }
    people.sort();
    people.dedup();
    people.retain(|a| !a.is_empty());
    joined(sql, conversation.id, &Sender::default(), &people).await?;
    parts.iter().map(json).collect()
}

/// The message that a send answers: the one it names, else the last that came in, else the last that
/// went out, so that what we add to our own mail stands under it.
async fn answered<S: Sql>(
    sql: &mut S,
    send: &AcceptSend,
    conversation: ConversationId,
) -> Result<Option<MessageId>, StoreError> {
    if send.reply_to.is_some() {
        return Ok(send.reply_to);
    }
    for statement in [
        "SELECT id FROM messages WHERE conversation_id = $1 AND NOT outbound AND NOT deleted
         ORDER BY id DESC LIMIT 1",
        "SELECT id FROM messages WHERE conversation_id = $1 AND outbound
            AND status IN ('sent', 'delivered', 'read') ORDER BY id DESC LIMIT 1",
    ] {
        if let Some(mut row) = sql.row(statement, vals![conversation.0]).await? {
            return Ok(Some(MessageId(row.int()?)));
        }
    }
    Ok(None)
}

/// The Message-ID of a message, as its sender's mail program knows it.
async fn public_id<S: Sql>(
    sql: &mut S,
    send: &AcceptSend,
    message: MessageId,
) -> Result<Option<String>, StoreError> {
    let id = super::reads::platform_id(sql, &send.channel.id, message).await?;
    // What follows a space tells two mails under one id apart, for us alone.
    let plain = id.map(|id| id.split(' ').next().unwrap_or_default().to_owned());
    Ok(plain.filter(|id| !id.starts_with(MADE_UP) && id.contains('@')))
}

/// What a message referred to: its mail's header where it came in, its place where we sent it.
async fn references<S: Sql>(sql: &mut S, message: MessageId) -> Result<Vec<String>, StoreError> {
    let Some(mut row) = sql
        .row(
            "SELECT m.outbound, m.payload,
                (SELECT body FROM parts WHERE message_id = m.id AND idx = 0)
             FROM messages m WHERE m.id = $1",
            vals![message.0],
        )
        .await?
    else {
        return Ok(Vec::new());
    };
    let (outbound, payload, part) = (row.bool()?, row.text()?, row.opt_text()?);
    if outbound {
        let part = part.and_then(|body| from_json::<Part>(&body).ok());
        return Ok(part
            .and_then(|p| p.thread)
            .map_or_else(Vec::new, |t| t.references));
    }
    let payload: serde_json::Value = serde_json::from_str(&payload).unwrap_or_default();
    let ids = payload.get("references").and_then(|r| r.as_str());
    Ok(ids
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect())
}
