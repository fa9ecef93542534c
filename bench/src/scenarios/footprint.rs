//! What the gateway takes before it does anything, and while much waits.

use crate::report::{Bar, Figure, Report};
use crate::rig::{Place, Rig, Setup, middle};
use crate::servers::Pair;
use crate::size::Size;
use anyhow::Result;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// An idle gateway stays under so many MiB.
const IDLE_BAR: f64 = 30.0;
/// 100,000 messages that wait take less than so many MiB more.
const QUEUED_BAR: f64 = 100.0;
/// Ready within so many milliseconds.
const READY_BAR: f64 = 300.0;
/// A started gateway is idle once its memory has stood still for so long,
const STILL: Duration = Duration::from_millis(300);
/// and is looked at no longer than this.
const SETTLE_MAX: Duration = Duration::from_secs(3);
/// Messages that wait in one conversation.
const EACH: i64 = 10;
/// The bar is per so many messages.
const PER: f64 = 100_000.0;
const MIB: f64 = 1_048_576.0;

fn figure(pair: Pair, name: &'static str, value: f64, unit: &'static str, bar: f64) -> Figure {
    Figure {
        name,
        store: pair.store(),
        queue: pair.queue(),
        value,
        unit,
        baseline: None,
        ratio: None,
        bar: Some(Bar::Below(bar)),
        more: Vec::new(),
    }
}

/// From the start of the process to the first answer of `/readyz`, on an empty store.
pub fn ready(rig: &Rig, size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..size.starts {
        let place = rig.configured(Setup {
            pair,
            ..Setup::default()
        })?;
        let (_gateway, took) = rig.serve(&place)?;
        times.push(took.as_secs_f64() * 1000.0);
    }
    report.add(&figure(pair, "ready", middle(&times), "ms", READY_BAR))
}

/// Resident memory of a gateway that does nothing.
fn resident(rig: &Rig, place: &Place) -> Result<f64> {
    let (gateway, _) = rig.serve(place)?;
    let begun = Instant::now();
    let mut before = gateway.resident()?;
    loop {
        std::thread::sleep(STILL);
        let now = gateway.resident()?;
        if now <= before || begun.elapsed() > SETTLE_MAX {
            return Ok(now);
        }
        before = now;
    }
}

/// The same of one whose store is empty, and the place of that; measured once in a run.
fn resident_idle(rig: &Rig, pair: Pair) -> Result<(f64, Rc<Place>)> {
    let known = rig.idle.borrow().iter().find(|(p, ..)| *p == pair).cloned();
    if let Some((_, idle, place)) = known {
        return Ok((idle, place));
    }
    let place = Rc::new(rig.configured(Setup {
        pair,
        ..Setup::default()
    })?);
    rig.run(&place, "migrate")?;
    let idle = resident(rig, &place)?;
    let known = (pair, idle, Rc::clone(&place));
    rig.idle.borrow_mut().push(known);
    Ok((idle, place))
}

/// Resident memory of a gateway that has done nothing yet.
pub fn idle(rig: &Rig, _size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    let (idle, _) = resident_idle(rig, pair)?;
    report.add(&Figure {
        more: vec![("binary_mib", rig.binary_bytes()? as f64 / MIB)],
        ..figure(pair, "idle-memory", idle, "MiB", IDLE_BAR)
    })
}

/// Fills a store with messages that wait in a paused lane, as the gateway itself would have left them.
fn fill(place: &Place, queued: i64) -> Result<()> {
    let now = i64::try_from(crate::double::micros() / 1000)?;
    let conversations = (queued / EACH).max(1);
    let numbers = |count: i64| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})"
        )
    };
    let message = r#"{"message":0,"index":0,"of":1,"to":"5550100000","body":{"kind":"text","text":"a short message"}}"#;
    place.fill(&[
        format!(
            "INSERT INTO conversations (id, user_id, channel_id, source, thread_key, thread_live,
                status_code, address, creation_time, last_update_time, next_seq,
                updated_hour)
             {} SELECT i + 1, 1, 'bot0', 'tg', 'user:' || i, TRUE, 1, '5550100000', {now}, {now}, 100,
                {now} / 3600000 FROM n",
            numbers(conversations)
        ),
        format!(
            "INSERT INTO messages (id, conversation_id, user_id, outbound, text, status, creation_time,
                function, channel_id, open, seq, accepted_at, deadline_at, parts)
             {} SELECT i + 1, i % {conversations} + 1, 1, TRUE, 'a short message', 'queued', {now},
                'telegram-send-message', 'bot0', TRUE, i, {now}, {now} + 86400000, 1 FROM n",
            numbers(queued)
        ),
        format!(
            "INSERT INTO parts (message_id, idx, body, state)
             {} SELECT i + 1, 0, '{message}', 'waiting' FROM n",
            numbers(queued)
        ),
        format!(
            "INSERT INTO paused_lanes (lane, reason, message, since)
             VALUES ('bot0', 'operator', '', {now})"
        ),
    ])
}

/// What 100,000 messages that wait take more than none.
pub fn queued(rig: &Rig, size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    let (none, place) = resident_idle(rig, pair)?;
    fill(&place, size.queued)?;
    let much = resident(rig, &place)?;
    let more = (much - none) * PER / size.queued as f64;
    report.add(&figure(pair, "queued-100k-memory", more, "MiB", QUEUED_BAR))
}
