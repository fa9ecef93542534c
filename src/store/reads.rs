//! Questions to the truth. Every list is bounded; every hot one follows an index.

use super::StoreError;
use super::rows::{ConversationRow, MessageRow, UserRow};
use super::sql::{Row, Sql};
use crate::{conversation_columns, message_columns, user_columns, vals};
use switchboard_channels::model::{ConversationId, MessageId, Millis, UserId};

/// Rows of one page of a list, as the seeds have it.
pub const PAGE: i64 = 100;
/// Messages of a conversation that are shown at once: the newest.
pub const MESSAGES_MAX: i64 = 1000;

fn all<T>(
    rows: Vec<Row>,
    read: impl Fn(&mut Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    rows.into_iter().map(|mut row| read(&mut row)).collect()
}

/// A user.
pub async fn user<S: Sql>(sql: &mut S, id: UserId) -> Result<Option<UserRow>, StoreError> {
    let row = sql
        .row(
            concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id = $1"),
            vals![id.0],
        )
        .await?;
    row.map(|mut r| UserRow::read(&mut r)).transpose()
}

/// Additional details of a user: slug, name, value.
pub async fn details<S: Sql>(
    sql: &mut S,
    id: UserId,
) -> Result<Vec<(String, String, String)>, StoreError> {
    let rows = sql
        .rows(
            "SELECT slug, name, value FROM user_details WHERE user_id = $1 ORDER BY slug LIMIT 500",
            vals![id.0],
        )
        .await?;
    all(rows, |r| Ok((r.text()?, r.text()?, r.text()?)))
}

/// The ids under which platforms know a user: scope and id.
pub async fn identities<S: Sql>(
    sql: &mut S,
    id: UserId,
) -> Result<Vec<(String, String)>, StoreError> {
    let rows = sql
        .rows(
            "SELECT scope, platform_user_id FROM identities WHERE user_id = $1
             ORDER BY scope, platform_user_id LIMIT 100",
            vals![id.0],
        )
        .await?;
    all(rows, |r| Ok((r.text()?, r.text()?)))
}

/// Users whose name, address, number, detail or platform id contains the text, newest first.
pub async fn search_users<S: Sql>(sql: &mut S, text: &str) -> Result<Vec<UserRow>, StoreError> {
    let like = like(text);
    let rows = sql
        .rows(
            concat!(
                "SELECT ",
                user_columns!(),
                " FROM users u WHERE u.id <> 1 AND (
                    LOWER(u.first_name || ' ' || u.last_name) LIKE $1 ESCAPE '\\'
                    OR LOWER(COALESCE(u.email, '')) LIKE $1 ESCAPE '\\'
                    OR COALESCE(u.phone, '') LIKE $1 ESCAPE '\\'
                    OR EXISTS (SELECT 1 FROM user_details d WHERE d.user_id = u.id
                        AND LOWER(d.value) LIKE $1 ESCAPE '\\')
                    OR EXISTS (SELECT 1 FROM identities i WHERE i.user_id = u.id
                        AND i.platform_user_id = $2))
                 ORDER BY u.id DESC LIMIT 100"
            ),
            vals![&like, text],
        )
        .await?;
    all(rows, UserRow::read)
}

/// The pattern of a search: what the person typed, nothing of it special.
pub(super) fn like(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Users, newest first, page by page from 1.
pub async fn users<S: Sql>(
    sql: &mut S,
    types: &str,
    page: i64,
) -> Result<Vec<UserRow>, StoreError> {
    let offset = page.max(1).saturating_sub(1).saturating_mul(PAGE);
    let rows = sql
        .rows(
            concat!(
                "SELECT ",
                user_columns!(),
                " FROM users u WHERE $1 = '' OR $1 LIKE '%,' || u.user_type || ',%'
                 ORDER BY u.id DESC LIMIT $2 OFFSET $3"
            ),
            vals![types, PAGE, offset],
        )
        .await?;
    all(rows, UserRow::read)
}

/// A conversation.
pub async fn conversation<S: Sql>(
    sql: &mut S,
    id: ConversationId,
) -> Result<Option<ConversationRow>, StoreError> {
    let row = sql
        .row(
            concat!(
                "SELECT ",
                conversation_columns!(),
                " FROM conversations c WHERE c.id = $1"
            ),
            vals![id.0],
        )
        .await?;
    row.map(|mut r| ConversationRow::read(&mut r)).transpose()
}

/// A message with its author.
pub async fn message<S: Sql>(sql: &mut S, id: MessageId) -> Result<Option<MessageRow>, StoreError> {
    let row = sql
        .row(
            concat!(
                "SELECT ",
                message_columns!(),
                " FROM messages m JOIN users a ON a.id = m.user_id WHERE m.id = $1"
            ),
            vals![id.0],
        )
        .await?;
    row.map(|mut r| MessageRow::read(&mut r)).transpose()
}

/// From where a list of messages or conversations is wanted.
#[derive(Debug, Clone, Copy)]
pub enum Since {
    /// After this id.
    Id(i64),
    /// At or after this time.
    Time(Millis),
}

/// Messages of a conversation, oldest first; the newest [`MESSAGES_MAX`] of them.
pub async fn messages<S: Sql>(
    sql: &mut S,
    conversation: ConversationId,
    since: Since,
) -> Result<Vec<MessageRow>, StoreError> {
    let (id, time) = match since {
        Since::Id(id) => (id, 0),
        Since::Time(time) => (0, time.0),
    };
    let rows = sql
        .rows(
            concat!(
                "SELECT ",
                message_columns!(),
                " FROM messages m JOIN users a ON a.id = m.user_id
                 WHERE m.conversation_id = $1 AND m.id > $2 AND m.creation_time >= $3
                    AND NOT m.deleted ORDER BY m.id DESC LIMIT $4"
            ),
            vals![conversation.0, id, time, MESSAGES_MAX],
        )
        .await?;
    let mut messages = all(rows, MessageRow::read)?;
    messages.reverse();
    Ok(messages)
}

/// A conversation with its user and its last message.
pub type Listed = (ConversationRow, UserRow, Option<MessageRow>);

/// Which conversations are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this user.
    pub user: Option<UserId>,
    /// Not this one.
    pub exclude: Option<ConversationId>,
    /// Only with this status code; `None`: all but archive and trash; -1: all.
    pub status_code: Option<i64>,
    /// Only of this source.
    pub source: Option<String>,
    /// Only of this department.
    pub department: Option<String>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only with something new since then.
    pub since: Option<Since>,
    /// From 0.
    pub page: i64,
}

/// Conversations, latest first, each with its user and last message.
pub async fn conversations<S: Sql>(
    sql: &mut S,
    filter: &Filter,
) -> Result<Vec<Listed>, StoreError> {
    let (id, time) = match filter.since {
        None => (0, 0),
        Some(Since::Id(id)) => (id, 0),
        Some(Since::Time(time)) => (0, time.0),
    };
    let status = filter.status_code.unwrap_or(-2);
    let offset = filter.page.max(0).saturating_mul(PAGE);
    let tag = filter.tag.as_ref().map(|t| format!("%,{},%", t.trim()));
    let tag = tag.as_deref().unwrap_or("");
    let source = filter.source.as_deref().unwrap_or("");
    let department = filter.department.as_deref().unwrap_or("");
    let exclude = filter.exclude.map_or(0, |c| c.0);
    // One text per access path, so that each follows its own index.
    let rows = match filter.user {
        None => {
            let sql_text = concat!(
                "SELECT ",
                conversation_columns!(),
                " FROM conversations c
                 WHERE ($1 = -1 OR c.status_code = $1 OR ($1 = -2 AND c.status_code < 3))
                    AND ($2 = '' OR c.source = $2)
                    AND ($3 = '' OR COALESCE(c.department, '') = $3)
                    AND ($4 = '' OR ',' || COALESCE(c.tags, '') || ',' LIKE $4)
                    AND c.id > $5 AND c.last_update_time >= $6
                    AND c.updated_hour >= $6 / 3600000
                 ORDER BY c.updated_hour DESC, c.last_update_time DESC, c.id DESC LIMIT $7 OFFSET $8"
            );
            let args = vals![status, source, department, tag, id, time, PAGE, offset];
            sql.rows(sql_text, args).await?
        }
        Some(user) => {
            let sql_text = concat!(
                "SELECT ",
                conversation_columns!(),
                " FROM conversations c
                 WHERE c.user_id = $1 AND c.id <> $2 AND c.id > $3 AND c.last_update_time >= $4
                    AND ($5 = -1 OR c.status_code = $5 OR ($5 = -2 AND c.status_code < 4))
                 ORDER BY c.last_update_time DESC, c.id DESC LIMIT $6 OFFSET $7"
            );
            sql.rows(
                sql_text,
                vals![user.0, exclude, id, time, status, PAGE, offset],
            )
            .await?
        }
    };
    let mut listed = Vec::with_capacity(rows.len());
    for mut row in rows {
        let conversation = ConversationRow::read(&mut row)?;
        let Some(owner) = self::user(sql, conversation.user_id).await? else {
            continue;
        };
        let last = message(sql, conversation.last_message_id).await?;
        listed.push((conversation, owner, last));
    }
    Ok(listed)
}

/// How a message stands, for the caller who waits.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its status.
    pub status: String,
    /// Waits to be sent.
    pub open: bool,
    /// Waits for its time.
    pub scheduled: bool,
    /// When it is tried next.
    pub next_at: Millis,
    /// Failures so far.
    pub failures: i64,
    /// The channel that it goes over.
    pub channel: String,
    /// Class, code and text of the last error.
    pub error: Option<(String, String, String)>,
    /// The platform's answers to the parts that were sent, in order.
    pub answers: Vec<String>,
}

/// How a message stands.
pub async fn outcome<S: Sql>(sql: &mut S, id: MessageId) -> Result<Option<Outcome>, StoreError> {
    let row = sql
        .ask(
            "SELECT conversation_id, status, open, scheduled, next_at, failures,
                COALESCE(channel_id, ''), error_class, COALESCE(error_code, ''),
                COALESCE(error_message, '') FROM messages WHERE id = $1",
            vals![id.0],
        )
        .await?;
    let answers = sql
        .ask(
            "SELECT COALESCE(answer, 'null') FROM parts WHERE message_id = $1 AND state = 'sent'
             ORDER BY idx",
            vals![id.0],
        )
        .await?;
    let row = sql.answer(row).await?.into_iter().next();
    let Some(mut r) = row else { return Ok(None) };
    let answers = sql.answer(answers).await?;
    Ok(Some(Outcome {
        conversation: ConversationId(r.int()?),
        status: r.text()?,
        open: r.bool()?,
        scheduled: r.bool()?,
        next_at: Millis(r.int()?),
        failures: r.int()?,
        channel: r.text()?,
        error: {
            let (class, code, message) = (r.opt_text()?, r.text()?, r.text()?);
            class.map(|class| (class, code, message))
        },
        answers: all(answers, Row::text)?,
    }))
}

/// One part of a message's history.
#[derive(Debug, Clone)]
pub struct PartHistory {
    /// Which part.
    pub idx: i64,
    /// The planned part as JSON.
    pub body: String,
    /// `waiting`, `begun`, `unsure`, `sent` or `failed`.
    pub state: String,
    /// What the platform reported.
    pub delivery: Option<String>,
    /// The platform's ids.
    pub platform_ids: Vec<String>,
}

/// One attempt of a message's history.
#[derive(Debug, Clone)]
pub struct AttemptHistory {
    /// Which part.
    pub idx: i64,
    /// Which attempt at it.
    pub no: i64,
    /// When it began.
    pub started_at: Millis,
    /// When it ended.
    pub ended_at: Millis,
    /// `sent` or the class of the failure.
    pub outcome: String,
    /// The platform's code.
    pub code: Option<String>,
    /// The platform's words.
    pub message: Option<String>,
}

/// What is known of a message beside the message.
#[derive(Debug, Clone)]
pub struct History {
    /// Its channel.
    pub channel: Option<String>,
    /// Its source code.
    pub source: String,
    /// Not before this.
    pub send_at: Option<Millis>,
    /// Worthless after this.
    pub deadline_at: Option<Millis>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// Class, code and text of the last error.
    pub error: Option<(String, String, String)>,
    /// The platform's ids.
    pub platform_ids: Vec<String>,
    /// Its parts.
    pub parts: Vec<PartHistory>,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptHistory>,
}

/// The history of a message.
pub async fn history<S: Sql>(sql: &mut S, id: MessageId) -> Result<Option<History>, StoreError> {
    let row = sql
        .row(
            "SELECT COALESCE(m.channel_id, c.channel_id), c.source, m.send_at, m.deadline_at,
                m.reply_to, m.error_class, COALESCE(m.error_code, ''),
                COALESCE(m.error_message, '')
             FROM messages m JOIN conversations c ON c.id = m.conversation_id WHERE m.id = $1",
            vals![id.0],
        )
        .await?;
    let Some(mut r) = row else { return Ok(None) };
    let ids = sql
        .rows(
            "SELECT idx, platform_id FROM platform_messages WHERE message_id = $1
             ORDER BY idx, platform_id",
            vals![id.0],
        )
        .await?;
    let ids = all(ids, |r| Ok((r.int()?, r.text()?)))?;
    let parts = sql
        .rows(
            "SELECT idx, body, state, delivery FROM parts WHERE message_id = $1 ORDER BY idx",
            vals![id.0],
        )
        .await?;
    let parts = all(parts, |r| {
        let idx = r.int()?;
        let platform_ids = ids
            .iter()
            .filter(|(i, _)| *i == idx)
            .map(|(_, id)| id.clone())
            .collect();
        let (body, state, delivery) = (r.text()?, r.text()?, r.opt_text()?);
        Ok(PartHistory {
            idx,
            body,
            state,
            delivery,
            platform_ids,
        })
    })?;
    let attempts = sql
        .rows(
            "SELECT idx, no, started_at, ended_at, outcome, code, message FROM attempts
             WHERE message_id = $1 ORDER BY id LIMIT 1000",
            vals![id.0],
        )
        .await?;
    let attempts = all(attempts, |r| {
        Ok(AttemptHistory {
            idx: r.int()?,
            no: r.int()?,
            started_at: Millis(r.int()?),
            ended_at: Millis(r.int()?),
            outcome: r.text()?,
            code: r.opt_text()?,
            message: r.opt_text()?,
        })
    })?;
    Ok(Some(History {
        channel: r.opt_text()?,
        source: r.text()?,
        send_at: r.opt_int()?.map(Millis),
        deadline_at: r.opt_int()?.map(Millis),
        reply_to: r.opt_int()?.map(MessageId),
        error: {
            let (class, code, message) = (r.opt_text()?, r.text()?, r.text()?);
            class.map(|class| (class, code, message))
        },
        platform_ids: ids.into_iter().map(|(_, id)| id).collect(),
        parts,
        attempts,
    }))
}

/// The platform's id of a message within a channel: of its first item.
pub async fn platform_id<S: Sql>(
    sql: &mut S,
    channel: &str,
    message: MessageId,
) -> Result<Option<String>, StoreError> {
    let row = sql
        .row(
            "SELECT platform_id FROM platform_messages WHERE message_id = $1 AND channel_id = $2
             ORDER BY idx, platform_id LIMIT 1",
            vals![message.0, channel],
        )
        .await?;
    row.map(|mut r| r.text()).transpose()
}

/// The live conversations of a user, latest first: channel and conversation.
pub async fn live_conversations<S: Sql>(
    sql: &mut S,
    user: UserId,
) -> Result<Vec<ConversationRow>, StoreError> {
    let rows = sql
        .rows(
            concat!(
                "SELECT ",
                conversation_columns!(),
                " FROM conversations c WHERE c.user_id = $1 AND c.thread_live
                 ORDER BY c.last_update_time DESC, c.id DESC LIMIT 100"
            ),
            vals![user.0],
        )
        .await?;
    all(rows, ConversationRow::read)
}

/// The live conversation whose answers go to this address.
pub async fn conversation_by_extra<S: Sql>(
    sql: &mut S,
    channel: &str,
    extra: &str,
) -> Result<Option<ConversationRow>, StoreError> {
    let row = sql
        .row(
            concat!(
                "SELECT ",
                conversation_columns!(),
                " FROM conversations c WHERE c.channel_id = $1 AND c.thread_key = $2
                    AND c.thread_live LIMIT 1"
            ),
            vals![channel, &format!("thread:{extra}")],
        )
        .await?;
    row.map(|mut r| ConversationRow::read(&mut r)).transpose()
}
