//! Beginning a part: whose turn it is, under which lease, and with which rights.

use super::super::StoreError;
use super::super::outbox::Unit;
use super::super::progress::{PartKey, mark_sent};
use super::super::rows::from_json;
use super::super::sql::{Asked, Row, Sql};
use super::taken::finish_sent;
use super::{AttemptKey, Failure, close, doubt, fail, has_evidence, record};
use crate::vals;
use switchboard_channels::model::{ConversationId, MessageId, Millis, Part};

/// A part to be delivered.
#[derive(Debug, Clone)]
pub struct Job {
    /// Whose.
    pub conversation: ConversationId,
    /// The part as planned.
    pub part: Part,
    /// The lease under which the attempt was opened.
    pub fence: i64,
    /// Which attempt at this part this is, from 1.
    pub attempt: i64,
    /// How often the part was sent again although it may have arrived.
    pub unsure_resends: u32,
    /// Failures of the message that counted.
    pub failures: u32,
    /// When the message first failed.
    pub first_failed_at: Option<Millis>,
    /// When it is too old.
    pub deadline_at: Millis,
    /// When it was accepted.
    pub accepted_at: Millis,
    /// When this attempt began.
    pub begun_at: Millis,
    /// A one-time right to answer, taken from the conversation for this attempt.
    pub reply_token: Option<String>,
    /// What the platform wants to see in place of the id of the message that the part answers.
    pub quote_token: Option<String>,
    /// Until when the platform takes free text.
    pub window_until: Option<Millis>,
    /// Whether another message waited behind this one.
    pub more: bool,
}

impl Job {
    /// The attempt that stands in the rows.
    pub(super) fn of(
        now: Millis,
        conversation: ConversationId,
        head: &Head,
        part: &PartRow,
    ) -> Result<Self, StoreError> {
        let mut planned: Part = from_json(&part.body)?;
        planned.message = head.message;
        Ok(Self {
            conversation,
            part: planned,
            fence: part.fence,
            attempt: part.attempts,
            unsure_resends: u32::try_from(part.unsure_resends).unwrap_or(u32::MAX),
            failures: u32::try_from(head.failures).unwrap_or(u32::MAX),
            first_failed_at: head.first_failed_at,
            deadline_at: head.deadline_at,
            accepted_at: head.accepted_at,
            begun_at: part.begun_at.map_or(now, Millis),
            reply_token: None,
            quote_token: None,
            window_until: None,
            more: head.more,
        })
    }

    /// The part's key.
    pub fn key(&self) -> PartKey {
        PartKey {
            message: self.part.message,
            idx: i64::from(self.part.index),
        }
    }

    /// The attempt that this is about.
    pub fn attempt_key(&self) -> AttemptKey {
        AttemptKey {
            part: self.key(),
            fence: self.fence,
            no: self.attempt,
        }
    }
}

/// What a worker finds when it turns to a conversation.
#[derive(Debug, Clone)]
pub enum Begun {
    /// Nothing waits.
    Nothing,
    /// This part is begun: deliver it.
    Deliver(Box<Job>),
    /// This part may have arrived; nobody is at it, and evidence may still come until the time.
    InDoubt {
        /// The part.
        job: Box<Job>,
        /// Since when it is in doubt.
        since: Millis,
    },
    /// A higher lease was here: this one has lapsed.
    Stale {
        /// The fence that the store has seen.
        fence: i64,
    },
    /// The head's attempt is open and its worker still gives signs of life.
    Busy {
        /// When it counts as dead unless it gives another.
        until: Millis,
    },
}

/// How a conversation is begun.
#[derive(Debug, Clone, Copy)]
pub struct Begin {
    /// Which.
    pub conversation: ConversationId,
    /// The lease.
    pub fence: i64,
    /// An open attempt is somebody else's until its heartbeat is this old.
    pub dead_after_ms: i64,
}

/// Takes the lowest unfinished part of a conversation and opens an attempt at it.
pub async fn begin<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    begin: &Begin,
) -> Result<Begun, StoreError> {
    // Whether the fence is ours decides only what is done with the head.
    let fence = ask_fence(sql, begin).await?;
    let head = ask_head(sql, begin.conversation).await?;
    begin_for(sql, unit, begin, (fence, Some(head)), false).await
}

/// The compare-and-set that keeps a stalled worker from sending beside its successor.
pub(super) async fn ask_fence<S: Sql>(sql: &mut S, begin: &Begin) -> Result<Asked, StoreError> {
    sql.ask(
        "UPDATE conversations SET fence = $1 WHERE id = $2 AND fence <= $1
         RETURNING window_until, reply_token, reply_token_until",
        vals![begin.fence, begin.conversation.0],
    )
    .await
}

/// The same, once the fence is asked for, and perhaps the head; `repeated` says that whoever asks may have
/// begun a part under this fence without hearing of it.
pub(super) async fn begin_for<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    begin: &Begin,
    (fence, mut head): (Asked, Option<Asked>),
    repeated: bool,
) -> Result<Begun, StoreError> {
    let conversation = begin.conversation;
    let won = sql.answer(fence).await?.into_iter().next();
    unit.holds(conversation.0);
    let Some(mut won) = won else {
        let row = sql
            .row(
                "SELECT fence FROM conversations WHERE id = $1",
                vals![conversation.0],
            )
            .await?;
        return match row {
            None => Ok(Begun::Nothing),
            Some(mut row) => Ok(Begun::Stale { fence: row.int()? }),
        };
    };
    let rights = Rights {
        window_until: won.opt_int()?.map(Millis),
        token: won.opt_text()?,
        token_until: Millis(won.opt_int()?.unwrap_or(0)),
    };
    loop {
        let asked = match head.take() {
            Some(asked) => asked,
            None => ask_head(sql, conversation).await?,
        };
        let Some((head, part)) = read_head(sql, asked).await? else {
            return Ok(Begun::Nothing);
        };
        let message = head.message;
        let Some(part) = part else {
            finish_sent(sql, unit, message).await?;
            continue;
        };
        let key = PartKey {
            message,
            idx: part.idx,
        };
        let (state, fence, heartbeat) = (part.state.as_str(), part.fence, part.heartbeat);
        let attempts = part.attempts;
        let mut job = Job::of(unit.now, conversation, &head, &part)?;
        if job.part.to.is_empty() {
            // Planned before its place was known (a mirror's): it goes where the conversation is now.
            job.part.to = address(sql, conversation).await?;
        }
        if repeated && state == "begun" && fence == begin.fence {
            // A sign of life: it begins now, however long the answers were lost.
            close(sql, unit, job.attempt_key(), "begun").await?;
            job.begun_at = unit.now;
            rights.grant(sql, unit, &mut job).await?;
            return Ok(Begun::Deliver(Box::new(job)));
        }
        if state == "begun" || state == "unsure" {
            if state == "begun" && fence != begin.fence {
                let until = heartbeat.saturating_add(begin.dead_after_ms);
                if until > unit.now.0 {
                    return Ok(Begun::Busy {
                        until: Millis(until),
                    });
                }
            }
            let attempt = job.attempt_key();
            if has_evidence(sql, key).await? {
                if state == "begun" {
                    let words = ("evidence", "no answer was read, but it has arrived");
                    record(sql, unit, attempt, "sent", Some(words)).await?;
                }
                mark_sent(sql, key, None).await?;
                continue;
            }
            if state == "begun" {
                // Its worker is gone between the request and the record.
                let words = (
                    "interrupted",
                    "the gateway stopped while the answer was awaited",
                );
                doubt(sql, unit, attempt, words).await?;
                return Ok(Begun::InDoubt {
                    job: Box::new(job),
                    since: unit.now,
                });
            }
            return Ok(Begun::InDoubt {
                job: Box::new(job),
                since: Millis(heartbeat),
            });
        }
        if head.deadline_at <= unit.now {
            let dead = Failure::dead("too-old", "its time was over before it could be sent");
            fail(sql, unit, message, &dead).await?;
            continue;
        }
        open_attempt(sql, unit, key, begin.fence).await?;
        if head.status == "queued" {
            sql.later(
                "UPDATE messages SET status = 'sending' WHERE id = $1",
                vals![message.0],
            )
            .await?;
        }
        (job.fence, job.attempt) = (begin.fence, attempts + 1);
        job.begun_at = unit.now;
        rights.grant(sql, unit, &mut job).await?;
        return Ok(Begun::Deliver(Box::new(job)));
    }
}

async fn address<S: Sql>(sql: &mut S, id: ConversationId) -> Result<String, StoreError> {
    let mut row = sql
        .one(
            "SELECT address FROM conversations WHERE id = $1",
            vals![id.0],
        )
        .await?;
    row.text()
}

/// The message that a conversation's turn is about.
pub(super) struct Head {
    pub(super) message: MessageId,
    pub(super) status: String,
    pub(super) deadline_at: Millis,
    pub(super) failures: i64,
    pub(super) first_failed_at: Option<Millis>,
    pub(super) accepted_at: Millis,
    /// Another one waits behind it.
    pub(super) more: bool,
}

/// Its first part that is not sent yet.
pub(super) struct PartRow {
    pub(super) idx: i64,
    pub(super) body: String,
    pub(super) state: String,
    pub(super) fence: i64,
    pub(super) attempts: i64,
    pub(super) unsure_resends: i64,
    pub(super) begun_at: Option<i64>,
    pub(super) heartbeat: i64,
}

/// The lowest unfinished message of a conversation with its first unsent part, if it has one; the columns
/// are those of [`Head::read`].
macro_rules! head_of {
    ($conversation:literal) => {
        concat!(
            "SELECT m.id, m.status, m.deadline_at, m.failures, m.first_failed_at, m.accepted_at,
                EXISTS (SELECT 1 FROM messages n WHERE n.conversation_id = m.conversation_id
                    AND n.open AND n.seq > m.seq) AS more,
                p.idx, p.body, p.state, p.fence, p.attempts, p.unsure_resends, p.begun_at,
                p.heartbeat_at
             FROM messages m LEFT JOIN parts p ON p.message_id = m.id AND p.state <> 'sent'
             WHERE m.id = (SELECT h.id FROM messages h WHERE h.conversation_id = ",
            $conversation,
            " AND h.open ORDER BY h.seq LIMIT 1)
             ORDER BY p.idx LIMIT 1"
        )
    };
}
pub(super) use head_of;

/// Asks for the lowest unfinished message of a conversation with its first unsent part, if it has one.
pub(super) async fn ask_head<S: Sql>(
    sql: &mut S,
    conversation: ConversationId,
) -> Result<Asked, StoreError> {
    sql.ask(head_of!("$1"), vals![conversation.0]).await
}

/// Reads what [`ask_head`] asked.
async fn read_head<S: Sql>(
    sql: &mut S,
    asked: Asked,
) -> Result<Option<(Head, Option<PartRow>)>, StoreError> {
    let row = sql.answer(asked).await?.into_iter().next();
    row.map(|mut row| Head::read(&mut row)).transpose()
}

impl Head {
    /// Reads the columns of [`head_of!`].
    pub(super) fn read(row: &mut Row) -> Result<(Self, Option<PartRow>), StoreError> {
        let head = Self {
            message: MessageId(row.int()?),
            status: row.text()?,
            deadline_at: Millis(row.int()?),
            failures: row.int()?,
            first_failed_at: row.opt_int()?.map(Millis),
            accepted_at: Millis(row.int()?),
            more: row.bool()?,
        };
        let Some(idx) = row.opt_int()? else {
            return Ok((head, None));
        };
        let part = PartRow {
            idx,
            body: row.text()?,
            state: row.text()?,
            fence: row.int()?,
            attempts: row.int()?,
            unsure_resends: row.int()?,
            begun_at: row.opt_int()?,
            heartbeat: row.opt_int()?.unwrap_or(0),
        };
        Ok((head, Some(part)))
    }
}

/// What the conversation allows.
struct Rights {
    window_until: Option<Millis>,
    token: Option<String>,
    token_until: Millis,
}

impl Rights {
    /// Gives the job the reply window, what it quotes by, and the reply token, which is taken: no other
    /// attempt gets it.
    async fn grant<S: Sql>(
        self,
        sql: &mut S,
        unit: &Unit<'_>,
        job: &mut Job,
    ) -> Result<(), StoreError> {
        job.window_until = self.window_until;
        if let Some(answered) = &job.part.reply_to {
            job.quote_token = quote_token(sql, job.conversation, answered).await?;
        }
        let Some(token) = self.token else {
            return Ok(());
        };
        sql.later(
            "UPDATE conversations SET reply_token = NULL WHERE id = $1",
            vals![job.conversation.0],
        )
        .await?;
        // A later attempt goes by the platform's idempotency key, which a reply has not.
        let good = self.token_until > unit.now && job.attempt == 1;
        job.reply_token = Some(token).filter(|_| good);
        Ok(())
    }
}

/// The fact that a message of this conversation brought for whoever quotes it. A message that was taken
/// back has none any more.
async fn quote_token<S: Sql>(
    sql: &mut S,
    conversation: ConversationId,
    platform_id: &str,
) -> Result<Option<String>, StoreError> {
    // By the conversation's channel: the same id may stand for another message elsewhere.
    let row = sql
        .row(
            "SELECT m.payload FROM conversations c
             JOIN platform_messages p ON p.channel_id = c.channel_id AND p.platform_id = $1
             JOIN messages m ON m.id = p.message_id AND m.conversation_id = c.id
             WHERE c.id = $2",
            vals![platform_id, conversation.0],
        )
        .await?;
    let Some(mut row) = row else { return Ok(None) };
    let payload: serde_json::Value = serde_json::from_str(&row.text()?).unwrap_or_default();
    let token = payload.get(QUOTE_TOKEN).and_then(serde_json::Value::as_str);
    Ok(token.map(str::to_owned))
}

/// The name of that fact, as adapters give it.
const QUOTE_TOKEN: &str = "quote_token";

async fn open_attempt<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    key: PartKey,
    fence: i64,
) -> Result<(), StoreError> {
    sql.later(
        "UPDATE parts SET state = 'begun', fence = $1, attempts = attempts + 1, begun_at = $2,
            heartbeat_at = $2 WHERE message_id = $3 AND idx = $4",
        vals![fence, unit.now.0, key.message.0, key.idx],
    )
    .await?;
    Ok(())
}
