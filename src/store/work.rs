//! What a worker does to the truth: begins a part, records what became of it, gives up.
//!
//! A part is *begun* before its request is made and *sent* when its receipt is durable; the receipt
//! of one part and the beginning of the next are one commit. After a crash at most one part is in
//! doubt: begun without a receipt.

use super::StoreError;
use super::locks::{self, Name};
use super::outbox::Unit;
use super::progress::{PartKey, announce, apply_early, mark_sent, settle};
use super::rows::from_json;
use super::sql::{Sql, Text};
use crate::events::payload;
use crate::vals;
use switchboard_channels::SendError;
use switchboard_channels::model::{ConversationId, MessageId, Millis, Part, Receipt, UserId};

/// A part to be delivered.
#[derive(Debug, Clone)]
pub struct Job {
    /// Whose.
    pub conversation: ConversationId,
    /// The part as planned.
    pub part: Part,
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
    /// Until when the platform takes free text.
    pub window_until: Option<Millis>,
}

impl Job {
    /// The part's key.
    pub fn key(&self) -> PartKey {
        PartKey {
            message: self.part.message,
            idx: i64::from(self.part.index),
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
    let conversation = begin.conversation;
    // The compare-and-set that keeps a stalled worker from sending beside its successor.
    let won = sql
        .exec(
            "UPDATE conversations SET fence = $1 WHERE id = $2 AND fence <= $1",
            vals![begin.fence, conversation.0],
        )
        .await?;
    unit.holds(conversation.0);
    if won == 0 {
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
    }
    loop {
        let head = sql
            .row(
                "SELECT id, status, deadline_at, failures, first_failed_at, accepted_at
                 FROM messages WHERE conversation_id = $1 AND open ORDER BY seq LIMIT 1",
                vals![conversation.0],
            )
            .await?;
        let Some(mut head) = head else {
            return Ok(Begun::Nothing);
        };
        let (message, status) = (MessageId(head.int()?), head.text()?);
        let (deadline_at, failures) = (Millis(head.int()?), head.int()?);
        let (first_failed_at, accepted_at) = (head.opt_int()?.map(Millis), head.int()?);
        let part = sql
            .row(
                "SELECT idx, body, state, fence, attempts, unsure_resends, begun_at, heartbeat_at
                 FROM parts WHERE message_id = $1 AND state <> 'sent' ORDER BY idx LIMIT 1",
                vals![message.0],
            )
            .await?;
        let Some(mut part) = part else {
            finish_sent(sql, unit, message).await?;
            continue;
        };
        let (idx, body, state, fence) = (part.int()?, part.text()?, part.text()?, part.int()?);
        let (attempts, resends) = (part.int()?, part.int()?);
        let (begun_at, heartbeat) = (part.opt_int()?, part.opt_int()?.unwrap_or(0));
        let key = PartKey { message, idx };
        let mut planned: Part = from_json(&body)?;
        planned.message = message;
        let mut job = Job {
            conversation,
            part: planned,
            attempt: attempts,
            unsure_resends: u32::try_from(resends).unwrap_or(u32::MAX),
            failures: u32::try_from(failures).unwrap_or(u32::MAX),
            first_failed_at,
            deadline_at,
            accepted_at: Millis(accepted_at),
            begun_at: Millis(begun_at.unwrap_or(unit.now.0)),
            reply_token: None,
            window_until: None,
        };
        if state == "begun" || state == "unsure" {
            if state == "begun" && fence != begin.fence {
                let until = heartbeat.saturating_add(begin.dead_after_ms);
                if until > unit.now.0 {
                    return Ok(Begun::Busy {
                        until: Millis(until),
                    });
                }
            }
            if has_evidence(sql, key).await? {
                if state == "begun" {
                    let words = ("evidence", "no answer was read, but it has arrived");
                    record(sql, unit, key, "sent", Some(words)).await?;
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
                doubt(sql, unit, key, words).await?;
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
        if deadline_at <= unit.now {
            let dead = Failure::dead("too-old", "its time was over before it could be sent");
            fail(sql, unit, message, &dead).await?;
            continue;
        }
        open_attempt(sql, unit, key, begin.fence).await?;
        if status == "queued" {
            sql.exec(
                "UPDATE messages SET status = 'sending' WHERE id = $1",
                vals![message.0],
            )
            .await?;
        }
        job.attempt = attempts + 1;
        job.begun_at = unit.now;
        rights(sql, unit, &mut job).await?;
        return Ok(Begun::Deliver(Box::new(job)));
    }
}

/// The reply window of the conversation, and its reply token, which is taken: no other attempt gets
/// it.
async fn rights<S: Sql>(sql: &mut S, unit: &Unit<'_>, job: &mut Job) -> Result<(), StoreError> {
    let row = sql
        .row(
            "SELECT window_until, reply_token, reply_token_until FROM conversations WHERE id = $1",
            vals![job.conversation.0],
        )
        .await?;
    let Some(mut row) = row else { return Ok(()) };
    job.window_until = row.opt_int()?.map(Millis);
    let (token, until) = (row.opt_text()?, row.opt_int()?.unwrap_or(0));
    if let Some(token) = token {
        sql.exec(
            "UPDATE conversations SET reply_token = NULL WHERE id = $1",
            vals![job.conversation.0],
        )
        .await?;
        // A later attempt goes by the platform's idempotency key, which a reply has not.
        job.reply_token = Some(token).filter(|_| until > unit.now.0 && job.attempt == 1);
    }
    Ok(())
}

async fn open_attempt<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    key: PartKey,
    fence: i64,
) -> Result<(), StoreError> {
    sql.exec(
        "UPDATE parts SET state = 'begun', fence = $1, attempts = attempts + 1, begun_at = $2,
            heartbeat_at = $2 WHERE message_id = $3 AND idx = $4",
        vals![fence, unit.now.0, key.message.0, key.idx],
    )
    .await?;
    Ok(())
}

async fn has_evidence<S: Sql>(sql: &mut S, key: PartKey) -> Result<bool, StoreError> {
    let row = sql
        .row(
            "SELECT 1 FROM platform_messages WHERE message_id = $1 AND idx = $2 LIMIT 1",
            vals![key.message.0, key.idx],
        )
        .await?;
    Ok(row.is_some())
}

/// Marks an open attempt as in doubt from now on and records it.
async fn doubt<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    key: PartKey,
    (code, message): (&str, &str),
) -> Result<(), StoreError> {
    record(sql, unit, key, "unsure", Some((code, message))).await?;
    sql.exec(
        // Only an open attempt: a stalled worker that gives up late must not bring a part back into
        // doubt that its successor has sent.
        "UPDATE parts SET state = 'unsure', heartbeat_at = $1 WHERE message_id = $2 AND idx = $3
            AND state = 'begun'",
        vals![unit.now.0, key.message.0, key.idx],
    )
    .await?;
    Ok(())
}

/// Writes the end of the open attempt into the history.
async fn record<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    key: PartKey,
    outcome: &str,
    words: Option<(&str, &str)>,
) -> Result<(), StoreError> {
    sql.exec(
        "INSERT INTO attempts (message_id, idx, no, started_at, ended_at, outcome, code, message)
         SELECT message_id, idx, attempts, COALESCE(begun_at, $1), $1, $2, $3, $4 FROM parts
         WHERE message_id = $5 AND idx = $6",
        vals![
            unit.now.0,
            outcome,
            words.map(|w| w.0),
            words.map(|w| w.1),
            key.message.0,
            key.idx
        ],
    )
    .await?;
    Ok(())
}

/// A part that the platform took.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The part.
    pub key: PartKey,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The channel.
    pub channel: String,
    /// How its user ids are scoped, for an alias in the receipt.
    pub alias_scope: String,
    /// The platform's answer.
    pub receipt: Receipt,
    /// Go on with what comes next in the conversation, in the same commit.
    pub next: Option<Begin>,
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
pub async fn taken<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    taken: &Taken,
) -> Result<After, StoreError> {
    let key = taken.key;
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
    record(sql, unit, key, "sent", None).await?;
    mark_sent(sql, key, Some(&taken.receipt.answer)).await?;
    for id in &taken.receipt.platform_ids {
        sql.exec(
            "INSERT INTO platform_messages (channel_id, platform_id, message_id, idx)
             VALUES ($1, $2, $3, $4) ON CONFLICT (channel_id, platform_id) DO NOTHING",
            vals![&taken.channel, id, key.message.0, key.idx],
        )
        .await?;
        apply_early(sql, unit, &taken.channel, id, key).await?;
    }
    if let Some(alias) = &taken.receipt.alias {
        sql.exec(
            "INSERT INTO identities (scope, platform_user_id, user_id)
             SELECT $1, $2, c.user_id FROM messages m JOIN conversations c
                ON c.id = m.conversation_id WHERE m.id = $3
             ON CONFLICT (scope, platform_user_id) DO NOTHING",
            vals![&taken.alias_scope, alias, key.message.0],
        )
        .await?;
    }
    finish_if_sent(sql, unit, key.message).await?;
    let conversation = taken.conversation;
    let next = match &taken.next {
        Some(next) => begin(sql, unit, next).await?,
        None => Begun::Nothing,
    };
    let more = match next {
        Begun::Nothing => more(sql, conversation).await?,
        _ => Some(false),
    };
    Ok(After { next, more })
}

/// Closes a message if its parts are all sent.
pub(super) async fn finish_if_sent<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
) -> Result<(), StoreError> {
    let left = sql
        .row(
            "SELECT 1 FROM parts WHERE message_id = $1 AND state <> 'sent' LIMIT 1",
            vals![message.0],
        )
        .await?;
    if left.is_none() {
        finish_sent(sql, unit, message).await?;
    }
    Ok(())
}

/// Closes a message whose parts are all sent.
async fn finish_sent<S: Sql>(
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
        sms_sent(sql, unit, message).await?;
    }
    Ok(())
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

/// A part that was not taken, and is tried again later.
#[derive(Debug, Clone)]
pub struct PutOff {
    /// The part.
    pub key: PartKey,
    /// What went wrong.
    pub error: SendError,
    /// When it is tried again.
    pub next_at: Millis,
    /// It may have arrived: it stays in doubt.
    pub unsure: bool,
    /// Counts as a failure of the message.
    pub counts: bool,
}

/// Records a failed attempt and when the next one is.
pub async fn put_off<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    put_off: &PutOff,
) -> Result<(), StoreError> {
    let key = put_off.key;
    locks::of_message(sql, key.message).await?;
    let words = put_off
        .error
        .words
        .as_ref()
        .map(|w| (w.code.as_str(), w.message.as_str()));
    if put_off.unsure {
        doubt(
            sql,
            unit,
            key,
            words.unwrap_or(("no-answer", "no answer was read")),
        )
        .await?;
    } else {
        record(sql, unit, key, put_off.error.class.name(), words).await?;
        // The platform said no, but what it sent back meanwhile says that it took the part.
        if has_evidence(sql, key).await? {
            mark_sent(sql, key, None).await?;
            finish_if_sent(sql, unit, key.message).await?;
        }
        sql.exec(
            "UPDATE parts SET state = 'waiting' WHERE message_id = $1 AND idx = $2
                AND state = 'begun'",
            vals![key.message.0, key.idx],
        )
        .await?;
    }
    sql.exec(
        "UPDATE messages SET next_at = $1, failures = failures + $2,
            first_failed_at = CASE WHEN $2 > 0 THEN COALESCE(first_failed_at, $3)
                ELSE first_failed_at END,
            error_class = $4, error_code = $5, error_message = $6
         WHERE id = $7 AND open",
        vals![
            put_off.next_at.0,
            i64::from(put_off.counts),
            unit.now.0,
            put_off.error.class.name(),
            words.map(|w| w.0),
            words.map(|w| w.1),
            key.message.0
        ],
    )
    .await?;
    // The caller who waits is told at once that it will not be done within the wait.
    unit.wakes.outcomes.push(key.message);
    Ok(())
}

/// Gives a begun part back without a try: the lane was paused or a limit came between.
pub async fn hand_back<S: Sql>(
    sql: &mut S,
    _unit: &mut Unit<'_>,
    key: PartKey,
    next_at: Millis,
) -> Result<(), StoreError> {
    locks::of_message(sql, key.message).await?;
    sql.exec(
        "UPDATE parts SET state = 'waiting', attempts = attempts - 1 WHERE message_id = $1
            AND idx = $2 AND state = 'begun'",
        vals![key.message.0, key.idx],
    )
    .await?;
    sql.exec(
        "UPDATE messages SET next_at = $1 WHERE id = $2 AND open",
        vals![next_at.0, key.message.0],
    )
    .await?;
    Ok(())
}

/// An unsure part is sent once more: back to waiting, and remembered.
pub async fn resend<S: Sql>(
    sql: &mut S,
    _unit: &mut Unit<'_>,
    key: PartKey,
) -> Result<(), StoreError> {
    sql.exec(
        "UPDATE parts SET state = 'waiting', unsure_resends = unsure_resends + 1
         WHERE message_id = $1 AND idx = $2 AND state = 'unsure'",
        vals![key.message.0, key.idx],
    )
    .await?;
    Ok(())
}

/// Signs of life of an open attempt.
pub async fn heartbeat<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    key: PartKey,
) -> Result<(), StoreError> {
    sql.exec(
        "UPDATE parts SET heartbeat_at = $1 WHERE message_id = $2 AND idx = $3 AND state = 'begun'",
        vals![unit.now.0, key.message.0, key.idx],
    )
    .await?;
    Ok(())
}

/// Why a message failed for good.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The part that failed, when an attempt at it was open.
    pub part: Option<PartKey>,
    /// Class of the error, or `dead`.
    pub class: String,
    /// Code: the platform's, or ours (`too-old`, `stuck`, `unsure`, `dropped`).
    pub code: String,
    /// For a person.
    pub message: String,
    /// The platform said that the contact does not want to hear from us.
    pub opted_out: bool,
}

impl Failure {
    /// A message given up by us.
    pub fn dead(code: &str, message: &str) -> Self {
        Self {
            part: None,
            class: "dead".to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
            opted_out: false,
        }
    }
}

/// Ends a message as failed, and as a dead letter that an operator may retry.
pub async fn fail<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
    failure: &Failure,
) -> Result<(), StoreError> {
    locks::of_message(sql, message).await?;
    if let Some(key) = failure.part {
        let words = Some((failure.code.as_str(), failure.message.as_str()));
        let open = sql
            .row(
                "SELECT 1 FROM parts WHERE message_id = $1 AND idx = $2 AND state = 'begun'",
                vals![key.message.0, key.idx],
            )
            .await?;
        if open.is_some() {
            record(sql, unit, key, &failure.class, words).await?;
        }
        sql.exec(
            "UPDATE parts SET state = 'failed' WHERE message_id = $1 AND idx = $2
                AND state <> 'sent'",
            vals![key.message.0, key.idx],
        )
        .await?;
    }
    let changed = sql
        .exec(
            "UPDATE messages SET open = FALSE, scheduled = FALSE, status = 'failed', dead = TRUE,
                finished_at = $1, error_class = $2, error_code = $3, error_message = $4
             WHERE id = $5 AND (open OR scheduled)",
            vals![
                unit.now.0,
                &failure.class,
                &failure.code,
                &failure.message,
                message.0
            ],
        )
        .await?;
    if changed == 0 {
        return Ok(());
    }
    announce(sql, unit, message).await?;
    if failure.opted_out {
        let row = sql
            .row(
                "SELECT c.id, c.user_id FROM messages m JOIN conversations c
                    ON c.id = m.conversation_id WHERE m.id = $1",
                vals![message.0],
            )
            .await?;
        if let Some(mut row) = row {
            let (conversation, user) = (ConversationId(row.int()?), UserId(row.int()?));
            let data = payload::user_updated(user, conversation, "unsubscribed");
            unit.emit(sql, "user-updated", conversation.0, &data)
                .await?;
        }
    }
    Ok(())
}

/// Whether more waits in a conversation, and whether all of it is bulk.
pub async fn more<S: Sql>(
    sql: &mut S,
    conversation: ConversationId,
) -> Result<Option<bool>, StoreError> {
    let mut row = sql
        .one(
            "SELECT MIN(CASE WHEN bulk THEN 1 ELSE 0 END) FROM messages
             WHERE conversation_id = $1 AND open",
            vals![conversation.0],
        )
        .await?;
    Ok(row.opt_int()?.map(|bulk| bulk != 0))
}
