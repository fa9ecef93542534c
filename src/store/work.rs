//! What a worker does to the truth: begins a part, records what became of it, gives up.
//!
//! A part is *begun* before its request is made and *sent* when its receipt is durable; the receipt
//! of one part and the beginning of the next are one commit. After a crash at most one part is in
//! doubt: begun without a receipt.
//!
//! A worker may be stopped for so long that another one takes over, and then go on. So everything that
//! is recorded names its attempt, and changes nothing when that attempt is not the part's any more. Only
//! a receipt counts whenever it comes: it is evidence that the part arrived.

mod begin;
mod set;
mod taken;
mod turns;

pub use begin::{Begin, Begun, Job, begin};
pub use set::taken_all;
pub use taken::{After, Taken, finish_if_sent, taken};
pub use turns::begin_all;

use super::StoreError;
use super::locks;
use super::mirror::{self, What};
use super::outbox::Unit;
use super::progress::{PartKey, announce, mark_sent};
use super::sql::{Asked, Sql};
use crate::events::payload;
use crate::{changing, vals};
use switchboard_channels::SendError;
use switchboard_channels::model::{ConversationId, MessageId, Millis, UserId};

/// An attempt at a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptKey {
    /// The part.
    pub part: PartKey,
    /// The lease under which it was opened.
    pub fence: i64,
    /// Which attempt at this part it is, from 1.
    pub no: i64,
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

/// Ends an open attempt: the part is in this state from now on. `false`: the attempt is not open any
/// more, because somebody else has taken over, or the part has arrived.
async fn close<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    attempt: AttemptKey,
    state: &str,
) -> Result<bool, StoreError> {
    let changed = sql
        .exec(
            "UPDATE parts SET state = $1, heartbeat_at = $2 WHERE message_id = $3 AND idx = $4
                AND state = 'begun' AND fence = $5 AND attempts = $6",
            vals![
                state,
                unit.now.0,
                attempt.part.message.0,
                attempt.part.idx,
                attempt.fence,
                attempt.no
            ],
        )
        .await?;
    Ok(changed > 0)
}

/// Marks an open attempt as in doubt from now on and records it.
async fn doubt<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    attempt: AttemptKey,
    (code, message): (&str, &str),
) -> Result<bool, StoreError> {
    if !close(sql, unit, attempt, "unsure").await? {
        return Ok(false);
    }
    record(sql, unit, attempt, "unsure", Some((code, message))).await?;
    Ok(true)
}

/// Writes the end of an attempt into the history. `false`: it stands there already, since the answer to
/// an earlier commit was lost and its worker says it again.
async fn record<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    attempt: AttemptKey,
    outcome: &str,
    words: Option<(&str, &str)>,
) -> Result<bool, StoreError> {
    let asked = ask_record(sql, unit, attempt, outcome, words).await?;
    Ok(!sql.answer(asked).await?.is_empty())
}

/// The same: it is new when the answer is a row.
async fn ask_record<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    attempt: AttemptKey,
    outcome: &str,
    words: Option<(&str, &str)>,
) -> Result<Asked, StoreError> {
    sql.ask_changed(
        // When a later attempt is there already, the time is that one's.
        changing!(
            "INSERT INTO attempts (message_id, idx, no, started_at, ended_at, outcome, code, message)
             SELECT message_id, idx, $1,
                CASE WHEN attempts = $1 THEN COALESCE(begun_at, $2) ELSE $2 END, $2, $3, $4, $5
             FROM parts WHERE message_id = $6 AND idx = $7 AND NOT EXISTS (
                SELECT 1 FROM attempts a WHERE a.message_id = $6 AND a.idx = $7 AND a.no = $1
                    AND a.outcome = $3)"
        ),
        vals![
            attempt.no,
            unit.now.0,
            outcome,
            words.map(|w| w.0),
            words.map(|w| w.1),
            attempt.part.message.0,
            attempt.part.idx
        ],
    )
    .await
}

/// A part that was not taken, and is tried again later.
#[derive(Debug, Clone)]
pub struct PutOff {
    /// The attempt.
    pub attempt: AttemptKey,
    /// What went wrong.
    pub error: SendError,
    /// When it is tried again.
    pub next_at: Millis,
    /// It may have arrived: it stays in doubt.
    pub unsure: bool,
    /// Counts as a failure of the message.
    pub counts: bool,
}

/// Records a failed attempt and when the next one is. `false`: somebody else has taken over.
pub async fn put_off<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    put_off: &PutOff,
) -> Result<bool, StoreError> {
    let attempt = put_off.attempt;
    let key = attempt.part;
    locks::of_message(sql, key.message).await?;
    let words = put_off
        .error
        .words
        .as_ref()
        .map(|w| (w.code.as_str(), w.message.as_str()));
    if put_off.unsure {
        let words = words.unwrap_or(("no-answer", "no answer was read"));
        if !doubt(sql, unit, attempt, words).await? {
            return Ok(false);
        }
    } else {
        if !close(sql, unit, attempt, "waiting").await? {
            return Ok(false);
        }
        record(sql, unit, attempt, put_off.error.class.name(), words).await?;
        // The platform said no, but what it sent back meanwhile says that it took the part.
        if has_evidence(sql, key).await? {
            mark_sent(sql, key, None).await?;
            finish_if_sent(sql, unit, key.message).await?;
        }
    }
    sql.later(
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
    Ok(true)
}

/// Gives a begun part back without a try: the lane was paused or a limit came between. `false`: somebody
/// else has taken over.
pub async fn hand_back<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    attempt: AttemptKey,
    next_at: Millis,
) -> Result<bool, StoreError> {
    let key = attempt.part;
    locks::of_message(sql, key.message).await?;
    if !close(sql, unit, attempt, "waiting").await? {
        return Ok(false);
    }
    sql.later(
        "UPDATE parts SET attempts = attempts - 1 WHERE message_id = $1 AND idx = $2",
        vals![key.message.0, key.idx],
    )
    .await?;
    sql.later(
        "UPDATE messages SET next_at = $1 WHERE id = $2 AND open",
        vals![next_at.0, key.message.0],
    )
    .await?;
    Ok(true)
}

/// A part whose last attempt is in doubt is sent once more: back to waiting, and remembered. `false`:
/// somebody else has decided, or it has arrived.
pub async fn resend<S: Sql>(
    sql: &mut S,
    _unit: &mut Unit<'_>,
    attempt: AttemptKey,
) -> Result<bool, StoreError> {
    let key = attempt.part;
    let changed = sql
        .exec(
            "UPDATE parts SET state = 'waiting', unsure_resends = unsure_resends + 1
             WHERE message_id = $1 AND idx = $2 AND state = 'unsure' AND fence = $3
                AND attempts = $4",
            vals![key.message.0, key.idx, attempt.fence, attempt.no],
        )
        .await?;
    Ok(changed > 0)
}

/// Signs of life of an open attempt. `false`: somebody else has taken over.
pub async fn heartbeat<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    attempt: AttemptKey,
) -> Result<bool, StoreError> {
    close(sql, unit, attempt, "begun").await
}

/// Why a message failed for good.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The attempt that failed or is in doubt; `None`: nothing was tried.
    pub attempt: Option<AttemptKey>,
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
            attempt: None,
            class: "dead".to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
            opted_out: false,
        }
    }
}

/// Ends a message as failed, and as a dead letter that an operator may retry. `false`: it had ended
/// already, or somebody else has taken over.
pub async fn fail<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
    failure: &Failure,
) -> Result<bool, StoreError> {
    locks::of_message(sql, message).await?;
    if let Some(attempt) = failure.attempt {
        let key = attempt.part;
        let words = Some((failure.code.as_str(), failure.message.as_str()));
        if close(sql, unit, attempt, "failed").await? {
            record(sql, unit, attempt, &failure.class, words).await?;
        } else {
            let given_up = sql
                .exec(
                    "UPDATE parts SET state = 'failed' WHERE message_id = $1 AND idx = $2
                        AND state = 'unsure' AND fence = $3 AND attempts = $4",
                    vals![key.message.0, key.idx, attempt.fence, attempt.no],
                )
                .await?;
            if given_up == 0 {
                return Ok(false);
            }
        }
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
        return Ok(false);
    }
    announce(sql, unit, message).await?;
    mirror::note_message(sql, unit, message, What::Failed).await?;
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
    Ok(true)
}

/// Asks whether more waits in a conversation, and whether all of it is bulk.
pub(super) async fn ask_more<S: Sql>(
    sql: &mut S,
    conversation: ConversationId,
) -> Result<Asked, StoreError> {
    sql.ask(
        "SELECT MIN(CASE WHEN bulk THEN 1 ELSE 0 END) FROM messages
         WHERE conversation_id = $1 AND open",
        vals![conversation.0],
    )
    .await
}

/// Reads what [`ask_more`] asked. `None`: nothing waits.
pub(super) async fn read_more<S: Sql>(
    sql: &mut S,
    asked: Asked,
) -> Result<Option<bool>, StoreError> {
    let row = sql.answer(asked).await?.into_iter().next();
    let bulk = row.map(|mut row| row.opt_int()).transpose()?.flatten();
    Ok(bulk.map(|bulk| bulk != 0))
}
