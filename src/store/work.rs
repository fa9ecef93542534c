//! What a worker does to the truth: begins a part, records what became of it, gives up.
//!
//! A part is *begun* before its request is made and *sent* when its receipt is durable; the receipt
//! of one part and the beginning of the next are one commit. After a crash at most one part is in
//! doubt: begun without a receipt.
//!
//! A worker may be stopped for so long that another one takes over, and then go on. So everything that
//! is recorded names its attempt, and changes nothing when that attempt is not the part's any more. Only
//! a receipt counts whenever it comes: it is evidence that the part arrived.

use super::StoreError;
use super::locks::{self, Name};
use super::mirror::{self, What};
use super::outbox::Unit;
use super::progress::{
    PartKey, PartSent, announce, apply_early, ask_early, ask_mark_part_sent, count_part, mark_sent,
    read_early, reopen_or_finish, settle,
};
use super::rows::from_json;
use super::sql::{Asked, Sql, Text};
use crate::events::payload;
use crate::vals;
use switchboard_channels::SendError;
use switchboard_channels::model::{ConversationId, MessageId, Millis, Part, Receipt, UserId};

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
async fn ask_fence<S: Sql>(sql: &mut S, begin: &Begin) -> Result<Asked, StoreError> {
    sql.ask(
        "UPDATE conversations SET fence = $1 WHERE id = $2 AND fence <= $1
         RETURNING window_until, reply_token, reply_token_until",
        vals![begin.fence, begin.conversation.0],
    )
    .await
}

/// The same, once the fence is asked for, and perhaps the head; `repeated` says that whoever asks may have
/// begun a part under this fence without hearing of it.
async fn begin_for<S: Sql>(
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
        let PartRow {
            idx,
            body,
            state,
            fence,
            attempts,
            begun_at,
            heartbeat,
            ..
        } = part;
        let key = PartKey { message, idx };
        let mut planned: Part = from_json(&body)?;
        planned.message = message;
        if planned.to.is_empty() {
            // Planned before its place was known (a mirror's): it goes where the conversation is now.
            planned.to = address(sql, conversation).await?;
        }
        let mut job = Job {
            conversation,
            part: planned,
            fence,
            attempt: attempts,
            unsure_resends: u32::try_from(part.unsure_resends).unwrap_or(u32::MAX),
            failures: u32::try_from(head.failures).unwrap_or(u32::MAX),
            first_failed_at: head.first_failed_at,
            deadline_at: head.deadline_at,
            accepted_at: head.accepted_at,
            begun_at: Millis(begun_at.unwrap_or(unit.now.0)),
            reply_token: None,
            quote_token: None,
            window_until: None,
            more: head.more,
        };
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
struct Head {
    message: MessageId,
    status: String,
    deadline_at: Millis,
    failures: i64,
    first_failed_at: Option<Millis>,
    accepted_at: Millis,
    /// Another one waits behind it.
    more: bool,
}

/// Its first part that is not sent yet.
struct PartRow {
    idx: i64,
    body: String,
    state: String,
    fence: i64,
    attempts: i64,
    unsure_resends: i64,
    begun_at: Option<i64>,
    heartbeat: i64,
}

/// Asks for the lowest unfinished message of a conversation with its first unsent part, if it has one.
async fn ask_head<S: Sql>(sql: &mut S, conversation: ConversationId) -> Result<Asked, StoreError> {
    sql.ask(
        "SELECT m.id, m.status, m.deadline_at, m.failures, m.first_failed_at, m.accepted_at,
                EXISTS (SELECT 1 FROM messages n WHERE n.conversation_id = m.conversation_id
                    AND n.open AND n.seq > m.seq),
                p.idx, p.body, p.state, p.fence, p.attempts, p.unsure_resends, p.begun_at,
                p.heartbeat_at
             FROM messages m LEFT JOIN parts p ON p.message_id = m.id AND p.state <> 'sent'
             WHERE m.id = (SELECT h.id FROM messages h WHERE h.conversation_id = $1 AND h.open
                ORDER BY h.seq LIMIT 1)
             ORDER BY p.idx LIMIT 1",
        vals![conversation.0],
    )
    .await
}

/// Reads what [`ask_head`] asked.
async fn read_head<S: Sql>(
    sql: &mut S,
    asked: Asked,
) -> Result<Option<(Head, Option<PartRow>)>, StoreError> {
    let row = sql.answer(asked).await?.into_iter().next();
    let Some(mut row) = row else { return Ok(None) };
    let head = Head {
        message: MessageId(row.int()?),
        status: row.text()?,
        deadline_at: Millis(row.int()?),
        failures: row.int()?,
        first_failed_at: row.opt_int()?.map(Millis),
        accepted_at: Millis(row.int()?),
        more: row.bool()?,
    };
    let Some(idx) = row.opt_int()? else {
        return Ok(Some((head, None)));
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
    Ok(Some((head, Some(part))))
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
    sql.ask(
        // When a later attempt is there already, the time is that one's.
        "INSERT INTO attempts (message_id, idx, no, started_at, ended_at, outcome, code, message)
         SELECT message_id, idx, $1, CASE WHEN attempts = $1 THEN COALESCE(begun_at, $2) ELSE $2 END,
            $2, $3, $4, $5 FROM parts WHERE message_id = $6 AND idx = $7 AND NOT EXISTS (
            SELECT 1 FROM attempts a WHERE a.message_id = $6 AND a.idx = $7 AND a.no = $1
                AND a.outcome = $3)
         RETURNING no",
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
    let mut head = None;
    let whole = if plain {
        let asked = ask_whole(sql, unit, key.message).await?;
        if taken.next.is_some() {
            head = Some(ask_head(sql, conversation).await?);
        }
        !sql.answer(asked).await?.is_empty()
    } else {
        false
    };
    let dead = if whole {
        announce(sql, unit, key.message).await?;
        taken_whole(sql, unit, key.message).await?;
        false
    } else {
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
        (Begun::Nothing, None) => more(sql, conversation).await?,
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
    sql.ask(
        "UPDATE messages SET parts_sent = 1, open = FALSE, finished_at = $1, status = 'sent'
         WHERE id = $2 AND open AND parts = 1 AND parts_sent = 0
            AND status IN ('queued', 'sending') RETURNING id",
        vals![unit.now.0, message.0],
    )
    .await
}

/// Closes a message if its parts are all sent, and says whether they are.
pub(super) async fn finish_if_sent<S: Sql>(
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
        taken_whole(sql, unit, message).await?;
    }
    Ok(())
}

/// The seeds' events of a message that a platform has taken whole.
async fn taken_whole<S: Sql>(
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
    let Some(message) = super::reads::message(sql, message).await? else {
        return Ok(());
    };
    let data = payload::email_sent(user, &message, unit.links, unit.now);
    unit.emit(sql, "email-sent", message.conversation_id.0, &data)
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
