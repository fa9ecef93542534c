//! Receipts, many at once: where each statement is a round trip, those that came at the same moment are
//! looked up together and written together.
//!
//! A receipt is plain when it ends a message of one part of which nothing else was heard; most are.
//! Whatever is not is left to the way of one by one, afterwards. Of a conversation only the first can be
//! plain: nothing overtakes anything else there.

use super::super::StoreError;
use super::super::locks::{self, Name};
use super::super::outbox::{News, Unit, Wakes};
use super::super::sql::{Asked, Sql, Text, set};
use super::begin::{Begin, Begun};
use super::taken::{After, Taken, taken};
use super::turns::{ask_turns, begin_apart, begin_plain, hold};
use crate::events::payload::{self, StatusNews};
use crate::vals;
use std::collections::{HashMap, HashSet};

/// Records receipts that came at the same moment, as [`taken`] does one after the other; says of each
/// what stands in its conversation then, and what it wakes.
pub async fn taken_all<S: Sql, T: AsRef<Taken>>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    all: &[T],
) -> Result<Vec<(After, Wakes)>, StoreError> {
    let all: Vec<&Taken> = all.iter().map(AsRef::as_ref).collect();
    let mut done: Vec<Option<(After, Wakes)>> = all.iter().map(|_| None).collect();
    if sql.takes_sets() && all.len() > 1 {
        taken_plain(sql, unit, &all, &mut done).await?;
    }
    let mut ended = Vec::with_capacity(all.len());
    for (one, done) in all.into_iter().zip(done) {
        ended.push(match done {
            Some(done) => done,
            None => {
                let before = std::mem::take(&mut unit.wakes);
                let after = taken(sql, unit, one).await?;
                (after, std::mem::replace(&mut unit.wakes, before))
            }
        });
    }
    Ok(ended)
}

/// The receipts that may be plain, as far as can be told without looking, and their places.
fn may_be_plain<'a>(all: &[&'a Taken]) -> Vec<(usize, &'a Taken)> {
    let mut conversations = HashSet::new();
    let mut ids: HashSet<(&str, &str)> = HashSet::new();
    let mut found = Vec::with_capacity(all.len());
    for (place, taken) in all.iter().enumerate() {
        let mut plain = conversations.insert(taken.conversation.0);
        for id in &taken.receipt.platform_ids {
            // Of two messages under one id the first has it.
            plain &= ids.insert((&taken.channel, id));
        }
        plain &= taken.attempt.part.idx == 0
            && taken.receipt.alias.is_none()
            && taken.place.is_none()
            && taken
                .next
                .is_none_or(|next| next.conversation == taken.conversation);
        if plain {
            found.push((place, *taken));
        }
    }
    found
}

/// Holds everything that these receipts are about, in the order of [`locks`]: also what the ones that are
/// not plain take once more afterwards.
async fn hold_all<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    all: &[&Taken],
) -> Result<(), StoreError> {
    let names = all.iter().flat_map(|taken| {
        let ids = taken.receipt.platform_ids.iter();
        ids.map(|id| Name::PlatformId(&taken.channel, id))
    });
    locks::names(sql, names).await?;
    let aliased = all.iter().filter(|taken| taken.receipt.alias.is_some());
    let aliased: Vec<_> = aliased.map(|taken| Some(taken.conversation.0)).collect();
    if !aliased.is_empty() {
        let lock = Text::lock(
            "SELECT 1 FROM users u WHERE u.id IN (SELECT c.user_id FROM conversations c
                WHERE c.id = ANY($1)) ORDER BY u.id FOR NO KEY UPDATE",
        );
        sql.later(lock, vals![&aliased[..]]).await?;
    }
    hold(sql, unit, all.iter().map(|taken| taken.conversation)).await
}

/// Holds everything, and finds out which receipts are plain.
async fn look_up<'a, S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    all: &[&'a Taken],
) -> Result<Vec<(usize, &'a Taken)>, StoreError> {
    hold_all(sql, unit, all).await?;
    let candidates = may_be_plain(all);
    let (mut numbers, mut messages) = (Vec::new(), Vec::new());
    let (mut attempts, mut conversations) = (Vec::new(), Vec::new());
    let (mut of, mut channels, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for (place, taken) in &candidates {
        let number = i64::try_from(*place).ok();
        numbers.push(number);
        messages.push(Some(taken.attempt.part.message.0));
        attempts.push(Some(taken.attempt.no));
        conversations.push(Some(taken.conversation.0));
        for id in &taken.receipt.platform_ids {
            of.push(number);
            channels.push(Some(taken.channel.as_str()));
            ids.push(Some(id.as_str()));
        }
    }
    let plain = sql
        .ask(
            set("SELECT q.no, c.source
                 FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
                    AS q (no, message, attempt, conversation)
                 JOIN messages m ON m.id = q.message AND m.conversation_id = q.conversation
                 JOIN parts p ON p.message_id = q.message AND p.idx = 0
                 JOIN conversations c ON c.id = q.conversation
                 WHERE m.open AND m.parts = 1 AND m.parts_sent = 0
                    AND m.status IN ('queued', 'sending') AND m.mirror_of IS NULL
                    AND p.state <> 'sent' AND p.delivery IS NULL
                    AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.message_id = q.message
                        AND a.idx = 0 AND a.no = q.attempt AND a.outcome = 'sent')"),
            vals![
                &numbers[..],
                &messages[..],
                &attempts[..],
                &conversations[..]
            ],
        )
        .await?;
    let early = sql
        .ask(
            set(
                "SELECT q.no FROM unnest($1::bigint[], $2::text[], $3::text[])
                    AS q (no, channel, id)
                 JOIN early_statuses e ON e.channel_id = q.channel AND e.platform_id = q.id",
            ),
            vals![&of[..], &channels[..], &ids[..]],
        )
        .await?;
    let mut found = HashSet::new();
    for mut row in sql.answer(plain).await? {
        let (number, source) = (row.int()?, row.text()?);
        if !told_apart(unit, &source) {
            found.insert(number);
        }
    }
    for mut row in sql.answer(early).await? {
        found.remove(&row.int()?);
    }
    let is_plain = |(place, _): &(usize, &Taken)| {
        i64::try_from(*place).is_ok_and(|number| found.contains(&number))
    };
    Ok(candidates.into_iter().filter(is_plain).collect())
}

/// Whether somebody wants one of the seeds' own events of what goes out there.
fn told_apart(unit: &Unit<'_>, source: &str) -> bool {
    match source {
        "tx" => unit.wanted("sms-sent"),
        "em" => unit.wanted("email-sent"),
        "sl" => !unit.desks.is_empty() && unit.wanted("slack-message-sent"),
        _ => false,
    }
}

/// Records the plain ones, and notes what came of them.
async fn taken_plain<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    all: &[&Taken],
    done: &mut [Option<(After, Wakes)>],
) -> Result<(), StoreError> {
    let (places, plain): (Vec<usize>, Vec<&Taken>) =
        look_up(sql, unit, all).await?.into_iter().unzip();
    if plain.is_empty() {
        return Ok(());
    }
    let messages = write(sql, unit, &plain).await?;
    let told = ask_told(sql, unit, &messages).await?;
    let begins: Vec<Begin> = plain.iter().filter_map(|taken| taken.next).collect();
    let turns = ask_turns(sql, &begins).await?;
    let left = ask_left(sql, &plain).await?;
    let mut wakes: Vec<Wakes> = plain.iter().map(|_| Wakes::default()).collect();
    for (wakes, taken) in wakes.iter_mut().zip(&plain) {
        wakes.outcomes.push(taken.attempt.part.message);
        wakes.sent.push(taken.sent());
    }
    if let Some(told) = told {
        let news = read_told(sql, &plain, told).await?;
        for (of, wake) in unit.emit_all(sql, &news).await? {
            if let Some(wakes) = wakes.get_mut(of) {
                wakes.add_event(wake);
            }
        }
    }
    let mut begun = begin_plain(sql, unit, &begins, turns).await?.into_iter();
    let left = read_left(sql, left).await?;
    for ((taken, place), mut wakes) in plain.iter().zip(places).zip(wakes) {
        let after = match &taken.next {
            None => After {
                next: Begun::Nothing,
                more: left.get(&taken.conversation.0).copied(),
            },
            Some(next) => {
                let next = match begun.next().flatten() {
                    Some(begun) => begun,
                    None => {
                        let begun;
                        (begun, wakes) = begin_apart(sql, unit, next, wakes).await?;
                        begun
                    }
                };
                let more = (!matches!(next, Begun::Nothing)).then_some(false);
                After { next, more }
            }
        };
        if let Some(done) = done.get_mut(place) {
            *done = Some((after, wakes));
        }
    }
    Ok(())
}

/// Writes attempts, parts, ids and messages, and gives the numbers of the latter.
async fn write<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    plain: &[&Taken],
) -> Result<Vec<Option<i64>>, StoreError> {
    let messages: Vec<_> = plain
        .iter()
        .map(|t| Some(t.attempt.part.message.0))
        .collect();
    let attempts: Vec<_> = plain.iter().map(|t| Some(t.attempt.no)).collect();
    let answers: Vec<_> = plain
        .iter()
        .map(|t| Some(t.receipt.answer.as_str()))
        .collect();
    sql.later(
        set(
            "INSERT INTO attempts (message_id, idx, no, started_at, ended_at, outcome)
             SELECT p.message_id, p.idx, q.no,
                CASE WHEN p.attempts = q.no THEN COALESCE(p.begun_at, $3) ELSE $3 END, $3, 'sent'
             FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS q (message, no, place)
             JOIN parts p ON p.message_id = q.message AND p.idx = 0 ORDER BY q.place",
        ),
        vals![&messages[..], &attempts[..], unit.now.0],
    )
    .await?;
    sql.later(
        set(
            "UPDATE parts p SET state = 'sent', delivery = 'sent', answer = q.answer
             FROM unnest($1::bigint[], $2::text[]) AS q (message, answer)
             WHERE p.message_id = q.message AND p.idx = 0",
        ),
        vals![&messages[..], &answers[..]],
    )
    .await?;
    let (mut channels, mut ids, mut of) = (Vec::new(), Vec::new(), Vec::new());
    for (taken, message) in plain.iter().zip(&messages) {
        for id in &taken.receipt.platform_ids {
            channels.push(Some(taken.channel.as_str()));
            ids.push(Some(id.as_str()));
            of.push(*message);
        }
    }
    sql.later(
        set(
            "INSERT INTO platform_messages (channel_id, platform_id, message_id, idx)
             SELECT q.channel, q.id, q.message, 0
             FROM unnest($1::text[], $2::text[], $3::bigint[]) AS q (channel, id, message)
             ON CONFLICT (channel_id, platform_id) DO NOTHING",
        ),
        vals![&channels[..], &ids[..], &of[..]],
    )
    .await?;
    sql.later(
        set(
            "UPDATE messages SET parts_sent = 1, open = FALSE, finished_at = $2, status = 'sent'
             WHERE id = ANY($1)",
        ),
        vals![&messages[..], unit.now.0],
    )
    .await?;
    Ok(messages)
}

/// Asks for the ids that messages are known under, where their new status is told.
async fn ask_told<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    messages: &[Option<i64>],
) -> Result<Option<Asked>, StoreError> {
    if !unit.wanted("message-status-updated") {
        return Ok(None);
    }
    let asked = sql
        .ask(
            set(
                "SELECT p.message_id, p.platform_id FROM unnest($1::bigint[]) AS q (message)
                 CROSS JOIN LATERAL (SELECT i.message_id, i.platform_id FROM platform_messages i
                    WHERE i.message_id = q.message ORDER BY i.idx, i.platform_id) p",
            ),
            vals![messages],
        )
        .await?;
    Ok(Some(asked))
}

/// The events of messages that became sent, each with the place of its receipt.
async fn read_told<S: Sql>(
    sql: &mut S,
    plain: &[&Taken],
    told: Asked,
) -> Result<Vec<(usize, News)>, StoreError> {
    let mut ids: HashMap<i64, Vec<String>> = HashMap::new();
    for mut row in sql.answer(told).await? {
        ids.entry(row.int()?).or_default().push(row.text()?);
    }
    let news = plain.iter().enumerate().map(|(of, taken)| {
        let message = taken.attempt.part.message;
        let data = payload::message_status_updated(&StatusNews {
            message,
            conversation: taken.conversation,
            status: "sent".to_owned(),
            parts: 1,
            parts_sent: 1,
            // Of a message that failed alone it is told.
            error: None,
            platform_ids: ids.remove(&message.0).unwrap_or_default(),
        });
        let news = News {
            function: "message-status-updated",
            group: taken.conversation.0,
            data: data.to_string(),
        };
        (of, news)
    });
    Ok(news.collect())
}

/// Asks what is left in the conversations that do not go on at once.
async fn ask_left<S: Sql>(sql: &mut S, plain: &[&Taken]) -> Result<Option<Asked>, StoreError> {
    let stay = plain.iter().filter(|taken| taken.next.is_none());
    let stay: Vec<_> = stay.map(|taken| Some(taken.conversation.0)).collect();
    if stay.is_empty() {
        return Ok(None);
    }
    let asked = sql
        .ask(
            set(
                "SELECT conversation_id, MIN(CASE WHEN bulk THEN 1 ELSE 0 END) FROM messages
                 WHERE conversation_id = ANY($1) AND open GROUP BY conversation_id",
            ),
            vals![&stay[..]],
        )
        .await?;
    Ok(Some(asked))
}

/// Whether all of what is left is bulk, by conversation.
async fn read_left<S: Sql>(
    sql: &mut S,
    left: Option<Asked>,
) -> Result<HashMap<i64, bool>, StoreError> {
    let Some(left) = left else {
        return Ok(HashMap::new());
    };
    let rows = sql.answer(left).await?.into_iter();
    rows.map(|mut row| Ok((row.int()?, row.int()? != 0)))
        .collect()
}
