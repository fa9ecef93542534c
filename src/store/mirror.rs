//! Conversations shown at a *desk* (Slack, where our own people sit), and their answers brought back.
//!
//! What is to be shown or brought back is noted as a *job*, in the transaction of the message that it
//! is about. A pump makes messages of jobs, in order within each conversation; making the copy and
//! striking the job off is one transaction, so that after a crash a job is either still there or done.
//! A copy names the message that it is one of (`mirror_of`) and is never noted itself: nothing goes
//! round in circles.
//!
//! A mirror is a conversation of its own at the desk. Until its first message has been posted it has
//! no thread; what is planned for it meanwhile has no address and gets the conversation's when it is
//! begun ([`super::work`]).

use super::outbox::Unit;
use super::people::{ChannelInfo, find_conversation};
use super::reads;
use super::rows::{BOT, ConversationRow, MessageRow, UserRow, hour, status_code};
use super::sends::{self, AcceptSend, Target};
use super::sql::Sql;
use super::{StoreError, locks};
use crate::{conversation_columns, vals};
use switchboard_channels::model::{ConversationId, MessageId, Millis, UserId};

/// A channel at which other channels' conversations are shown.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The channel.
    pub channel: String,
    /// Ids of the channels that are shown there; `*` for all.
    pub shows: Vec<String>,
}

impl Desk {
    /// Whether this channel is shown here. Desks show no desks.
    fn shows(&self, channel: &str) -> bool {
        self.shows.iter().any(|id| id == "*" || id == channel)
    }
}

/// Whether this channel is a desk.
pub fn is_desk(desks: &[Desk], channel: &str) -> bool {
    desks.iter().any(|desk| desk.channel == channel)
}

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It was written.
    New,
    /// Its author changed it.
    Edited,
    /// Its author took it back.
    Deleted,
    /// An answer that was brought back did not reach the contact.
    Failed,
}

impl What {
    const ALL: [Self; 4] = [Self::New, Self::Edited, Self::Deleted, Self::Failed];

    const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Failed => "failed",
        }
    }
}

/// Notes what happened to a message, where anybody is to be shown or told.
pub async fn note<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &str,
    conversation: ConversationId,
    message: MessageId,
    what: What,
) -> Result<(), StoreError> {
    let desks = unit.desks;
    let at_desk = is_desk(desks, channel);
    let concerned = at_desk || desks.iter().any(|desk| desk.shows(channel));
    // Conversations that a caller has mirrored are shown, whatever the configuration says.
    if !concerned && (desks.is_empty() || !is_shown(sql, conversation).await?) {
        return Ok(());
    }
    sql.later(
        "INSERT INTO mirror_jobs (conversation_id, message_id, what, created_at)
         VALUES ($1, $2, $3, $4)",
        vals![conversation.0, message.0, what.name(), unit.now.0],
    )
    .await?;
    unit.wakes.mirror = true;
    Ok(())
}

async fn is_shown<S: Sql>(sql: &mut S, conversation: ConversationId) -> Result<bool, StoreError> {
    let row = sql
        .row(
            "SELECT 1 FROM mirrors WHERE conversation_id = $1 LIMIT 1",
            vals![conversation.0],
        )
        .await?;
    Ok(row.is_some())
}

/// The same of a message whose conversation is not at hand. Copies are nobody's news, but for those
/// that failed.
pub async fn note_message<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
    what: What,
) -> Result<(), StoreError> {
    if unit.desks.is_empty() {
        return Ok(());
    }
    let row = sql
        .row(
            "SELECT c.id, c.channel_id, m.mirror_of FROM messages m
             JOIN conversations c ON c.id = m.conversation_id WHERE m.id = $1",
            vals![message.0],
        )
        .await?;
    let Some(mut row) = row else { return Ok(()) };
    let (conversation, channel) = (ConversationId(row.int()?), row.text()?);
    let is_copy = row.opt_int()?.is_some();
    if is_copy != (what == What::Failed) || (is_copy && is_desk(unit.desks, &channel)) {
        return Ok(());
    }
    note(sql, unit, &channel, conversation, message, what).await
}

/// Whether a conversation shows another one.
pub async fn is_mirror<S: Sql>(sql: &mut S, id: ConversationId) -> Result<bool, StoreError> {
    let row = sql
        .row("SELECT 1 FROM mirrors WHERE mirror_id = $1", vals![id.0])
        .await?;
    Ok(row.is_some())
}

/// Whether a message is a copy at a desk: those are no news for the chat backend.
pub async fn is_shown_copy<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    message: MessageId,
) -> Result<bool, StoreError> {
    if unit.desks.is_empty() {
        return Ok(false);
    }
    let row = sql
        .row(
            "SELECT c.channel_id FROM messages m JOIN conversations c ON c.id = m.conversation_id
             WHERE m.id = $1 AND m.mirror_of IS NOT NULL",
            vals![message.0],
        )
        .await?;
    match row {
        Some(mut row) => Ok(is_desk(unit.desks, &row.text()?)),
        None => Ok(false),
    }
}

/// Something that is to be shown or brought back.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its number: jobs of a conversation are done in their order.
    pub id: i64,
    /// The conversation of the message.
    pub conversation: ConversationId,
    /// The message.
    pub message: MessageId,
    /// What happened to it.
    pub what: What,
    /// When it was noted.
    pub created_at: Millis,
}

/// The first job of each conversation, oldest first.
pub async fn jobs<S: Sql>(sql: &mut S) -> Result<Vec<Job>, StoreError> {
    let rows = sql
        .rows(
            "SELECT j.id, j.conversation_id, j.message_id, j.what, j.created_at FROM mirror_jobs j
             WHERE NOT EXISTS (SELECT 1 FROM mirror_jobs b
                WHERE b.conversation_id = j.conversation_id AND b.id < j.id)
             ORDER BY j.id LIMIT 200",
            &[],
        )
        .await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for mut row in rows {
        let (id, conversation, message) = (row.int()?, row.int()?, row.int()?);
        let (name, created_at) = (row.text()?, row.int()?);
        let what = What::ALL.into_iter().find(|what| what.name() == name);
        jobs.push(Job {
            id,
            conversation: ConversationId(conversation),
            message: MessageId(message),
            // Only a newer release writes other names, and its pump does those jobs.
            what: match what {
                Some(what) => what,
                None => continue,
            },
            created_at: Millis(created_at),
        });
    }
    Ok(jobs)
}

/// Everything that a job is decided by.
#[derive(Debug)]
pub struct Scene {
    /// The message.
    pub message: MessageRow,
    /// Whether it was taken back.
    pub deleted: bool,
    /// What a failed one failed of.
    pub error: Option<String>,
    /// Its conversation.
    pub conversation: ConversationRow,
    /// Whose conversation that is.
    pub contact: Option<UserRow>,
    /// States of the attachments that are fetched from a platform: `pending`, `stored`, `failed`.
    pub media: Vec<String>,
    /// The conversation that this one shows.
    pub shows: Option<ConversationRow>,
    /// What the message that this one answers is called on the channel of the shown conversation.
    pub answers: Option<(MessageId, String)>,
    /// What the author is called at the desk.
    pub known_as: Vec<String>,
}

/// Reads the scene of a job. `None`: the message is gone.
pub async fn scene<S: Sql>(sql: &mut S, job: &Job) -> Result<Option<Scene>, StoreError> {
    let Some(message) = reads::message(sql, job.message).await? else {
        return Ok(None);
    };
    let Some(conversation) = reads::conversation(sql, message.conversation_id).await? else {
        return Ok(None);
    };
    let mut more = sql
        .one(
            "SELECT deleted, error_message, reply_to FROM messages WHERE id = $1",
            vals![job.message.0],
        )
        .await?;
    let (deleted, error, reply_to) = (more.bool()?, more.opt_text()?, more.opt_int()?);
    let media = sql
        .rows(
            "SELECT state FROM media WHERE message_id = $1 ORDER BY idx",
            vals![job.message.0],
        )
        .await?;
    let media = media
        .into_iter()
        .map(|mut r| r.text())
        .collect::<Result<_, _>>()?;
    let shown = sql
        .row(
            concat!(
                "SELECT ",
                conversation_columns!(),
                " FROM mirrors x JOIN conversations c ON c.id = x.conversation_id
                  WHERE x.mirror_id = $1"
            ),
            vals![conversation.id.0],
        )
        .await?;
    let shows = shown
        .map(|mut row| ConversationRow::read(&mut row))
        .transpose()?;
    let answers = match (&shows, reply_to) {
        (Some(shown), Some(copy)) => original(sql, shown, copy).await?,
        _ => None,
    };
    let contact = reads::user(sql, conversation.user_id).await?;
    let known_as = reads::identities(sql, message.user_id).await?;
    Ok(Some(Scene {
        message,
        deleted,
        error,
        conversation,
        contact,
        media,
        shows,
        answers,
        known_as: known_as.into_iter().map(|(_, id)| id).collect(),
    }))
}

/// What a copy is one of, and what that is called on its channel.
async fn original<S: Sql>(
    sql: &mut S,
    shown: &ConversationRow,
    copy: i64,
) -> Result<Option<(MessageId, String)>, StoreError> {
    let row = sql
        .row(
            "SELECT o.id, p.platform_id FROM messages c JOIN messages o ON o.id = c.mirror_of
             JOIN platform_messages p ON p.message_id = o.id AND p.channel_id = $1
             WHERE c.id = $2 AND o.conversation_id = $3 ORDER BY p.idx LIMIT 1",
            vals![&shown.channel_id, copy, shown.id.0],
        )
        .await?;
    row.map(|mut row| Ok((MessageId(row.int()?), row.text()?)))
        .transpose()
}

/// The mirror of a conversation at a desk, and whether it has a place there.
pub async fn mirror_of<S: Sql>(
    sql: &mut S,
    conversation: ConversationId,
    desk: &str,
) -> Result<Option<(ConversationRow, bool)>, StoreError> {
    let row = sql
        .row(
            concat!(
                "SELECT x.placed, ",
                conversation_columns!(),
                " FROM mirrors x JOIN conversations c ON c.id = x.mirror_id
                  WHERE x.conversation_id = $1 AND x.desk = $2"
            ),
            vals![conversation.0, desk],
        )
        .await?;
    row.map(|mut row| {
        let placed = row.bool()?;
        Ok((ConversationRow::read(&mut row)?, placed))
    })
    .transpose()
}

/// Whether the first message of some mirror is on its way: its thread can be answered before we know
/// its name.
pub async fn is_being_placed<S: Sql>(sql: &mut S, desk: &str) -> Result<bool, StoreError> {
    let row = sql
        .row(
            "SELECT 1 FROM mirrors x JOIN messages m ON m.conversation_id = x.mirror_id AND m.open
             JOIN parts p ON p.message_id = m.id AND p.state IN ('begun', 'unsure')
             WHERE x.desk = $1 AND NOT x.placed LIMIT 1",
            vals![desk],
        )
        .await?;
    Ok(row.is_some())
}

/// Strikes a job off. `false`: another pump was quicker, or an earlier job of the conversation is
/// still there.
pub async fn strike<S: Sql>(sql: &mut S, job: &Job) -> Result<bool, StoreError> {
    let struck = sql
        .exec(
            "DELETE FROM mirror_jobs WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM mirror_jobs b
                WHERE b.conversation_id = $2 AND b.id < $1)",
            vals![job.id, job.conversation.0],
        )
        .await?;
    Ok(struck > 0)
}

/// A mirror that is to begin.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// The conversation that is to be shown.
    pub shown: ConversationId,
    /// Where it begins, in the desk's terms.
    pub address: String,
    /// What it is called.
    pub title: String,
}

/// A copy of a message, planned.
#[derive(Debug, Clone)]
pub struct Copy {
    /// The mirror that it begins, unless there is one by now.
    pub begins: Option<Beginning>,
    /// The copy.
    pub send: AcceptSend,
}

/// Does a job: strikes it off and makes its copies, all of them or none. `false`: the job is not
/// there to be done.
pub async fn copy<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    job: &Job,
    copies: &[Copy],
) -> Result<bool, StoreError> {
    // Whoever does a job of the conversation meanwhile is waited for.
    locks::conversation(sql, unit, job.conversation.0).await?;
    if !strike(sql, job).await? {
        return Ok(false);
    }
    for copy in copies {
        let mut send = copy.send.clone();
        if let Some(beginning) = &copy.begins {
            let mirror = begin(sql, unit, &send.channel, beginning).await?;
            send.target = Target::Conversation(mirror);
        }
        // Where the other conversation is gone, its messages are gone with it.
        sends::accept(sql, unit, &send).await?;
    }
    Ok(true)
}

/// The mirror of a conversation, made when there is none.
pub async fn begin<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    desk: &ChannelInfo,
    beginning: &Beginning,
) -> Result<ConversationId, StoreError> {
    locks::conversation(sql, unit, beginning.shown.0).await?;
    if let Some((mirror, _)) = mirror_of(sql, beginning.shown, &desk.id).await? {
        return Ok(mirror.id);
    }
    // The bot's, not the contact's: what is looked for under the contact is what the contact sees.
    let mut row = sql
        .one(
            "INSERT INTO conversations (user_id, channel_id, source, thread_key, thread_live, title,
                status_code, address, creation_time, last_update_time, updated_hour)
             VALUES ($1, $2, $3, $4, TRUE, $5, $6, $7, $8, $8, $9) RETURNING id",
            vals![
                BOT.0,
                &desk.id,
                desk.source,
                &format!("mirror:{}", beginning.shown),
                &beginning.title,
                status_code::LIVE,
                &beginning.address,
                unit.now.0,
                hour(unit.now)
            ],
        )
        .await?;
    let mirror = ConversationId(row.int()?);
    sql.later(
        "INSERT INTO mirrors (conversation_id, desk, mirror_id) VALUES ($1, $2, $3)",
        vals![beginning.shown.0, &desk.id, mirror.0],
    )
    .await?;
    Ok(mirror)
}

/// Gives a mirror the place that its first message got. Answers that came before the name of the
/// place was known began a conversation of their own: they move here.
pub async fn place<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    desk: &str,
    mirror: ConversationId,
    address: &str,
) -> Result<(), StoreError> {
    let placed = sql
        .exec(
            "UPDATE mirrors SET placed = TRUE WHERE mirror_id = $1 AND NOT placed",
            vals![mirror.0],
        )
        .await?;
    if placed == 0 {
        return Ok(());
    }
    let key = format!("thread:{address}");
    if let Some(early) = find_conversation(sql, desk, &key).await? {
        for statement in [
            "UPDATE messages SET conversation_id = $1 WHERE conversation_id = $2 AND NOT outbound",
            "UPDATE mirror_jobs SET conversation_id = $1 WHERE conversation_id = $2",
        ] {
            sql.later(statement, vals![mirror.0, early.id.0]).await?;
        }
        sql.later(
            "UPDATE conversations SET thread_live = FALSE WHERE id = $1",
            vals![early.id.0],
        )
        .await?;
    }
    let extra = address.split(':').next().unwrap_or(address);
    sql.later(
        "UPDATE conversations SET thread_key = $1, address = $2, extra = $3 WHERE id = $4",
        vals![&key, address, extra, mirror.0],
    )
    .await?;
    unit.wakes.mirror = true;
    Ok(())
}

/// The conversation that a user used last and that can be shown.
pub async fn last_of<S: Sql>(
    sql: &mut S,
    user: UserId,
) -> Result<Option<ConversationRow>, StoreError> {
    let conversations = reads::live_conversations(sql, user).await?;
    Ok(conversations.into_iter().find(|c| !c.channel_id.is_empty()))
}

/// Erases the mirrors of a user's conversations, before those go themselves.
pub async fn erase<S: Sql>(sql: &mut S, user: UserId) -> Result<(), StoreError> {
    const OF_USER: &str = "SELECT mirror_id FROM mirrors WHERE conversation_id IN
        (SELECT id FROM conversations WHERE user_id = $1)";
    let rows = sql.rows(OF_USER, vals![user.0]).await?;
    for mut row in rows {
        let mirror = row.int()?;
        for statement in [
            "DELETE FROM media WHERE message_id IN
                (SELECT id FROM messages WHERE conversation_id = $1)",
            "DELETE FROM attempts WHERE message_id IN
                (SELECT id FROM messages WHERE conversation_id = $1)",
            "DELETE FROM parts WHERE message_id IN
                (SELECT id FROM messages WHERE conversation_id = $1)",
            "DELETE FROM reactions WHERE message_id IN
                (SELECT id FROM messages WHERE conversation_id = $1)",
            "DELETE FROM messages WHERE conversation_id = $1",
            "DELETE FROM mirror_jobs WHERE conversation_id = $1",
            "DELETE FROM mirrors WHERE mirror_id = $1",
            "DELETE FROM conversations WHERE id = $1",
        ] {
            sql.later(statement, vals![mirror]).await?;
        }
    }
    sql.later(
        "DELETE FROM mirror_jobs WHERE conversation_id IN
            (SELECT id FROM conversations WHERE user_id = $1)",
        vals![user.0],
    )
    .await?;
    Ok(())
}
