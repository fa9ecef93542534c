//! Webhooks: acknowledged when everything that they carried is durable.

use super::outbound::settle;
use crate::load::{Run, flood};
use crate::report::{Bar, Figure, Report, median, ratio};
use crate::rig::{Rig, Rows, Running, Setup, middle, webhook};
use crate::servers::Pair;
use crate::size::Size;
use anyhow::Result;
use std::rc::Rc;

/// Platforms' connections.
pub const CONNECTIONS: usize = 64;
/// People who write.
pub const PEOPLE: usize = 2000;
/// Messages of a batch.
const BATCH: usize = 20;
/// What is asked of the ratio to the durable bare endpoint.
const BAR: f64 = 0.35;
/// A warm-up is this part of a turn; but everybody has written once when it is over, as nearly all who
/// write have in a gateway that runs.
const WARM_UP: usize = 4;
/// As long as that takes no more turns than this.
const WARM_UP_MAX: usize = 3;

/// One message in a webhook.
pub fn single(rig: &Rig, size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    let count = size.of(pair, size.hooks);
    measure(rig, size, pair, report, ("inbound-single", count, 1))
}

/// Twenty messages in a webhook.
pub fn batch(rig: &Rig, size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    let count = size.of(pair, size.batches);
    measure(rig, size, pair, report, ("inbound-batch", count, BATCH))
}

fn webhooks(rig: &Rig, count: usize, messages: usize) -> Vec<Vec<u8>> {
    let numbers = rig.numbers(count * messages);
    let of_hook = |hook: usize| {
        let first = numbers.start + hook * messages;
        webhook((first..first + messages).map(|number| (number, number % PEOPLE)))
    };
    (0..count).map(of_hook).collect()
}

/// What one turn of all gave.
struct Turn {
    subject: Run,
    one_row: Run,
    bare: Run,
    /// Where a webhook has more than one message.
    row_per_message: Option<Run>,
}

fn measure(
    rig: &Rig,
    size: &Size,
    pair: Pair,
    report: &mut Report,
    (name, count, messages): (&'static str, usize, usize),
) -> Result<()> {
    let double = rig.double()?;
    let setup = |events| Setup {
        pair,
        double: Some(double.at),
        events,
    };
    let (plain, durable) = (rig.bare(None)?, rig.bare(Some((pair, Rows::PerWebhook)))?);
    let per_message = (messages > 1)
        .then(|| rig.bare(Some((pair, Rows::PerMessage))))
        .transpose()?;
    let gateway = rig.gateway(setup(false))?;
    let everybody = PEOPLE.div_ceil(messages).min(count * WARM_UP_MAX);
    let warm = || webhooks(rig, (count / WARM_UP).max(everybody), messages);
    let hooks = warm();
    for server in [&plain, &durable, &gateway].into_iter().chain(&per_message) {
        flood(server.at, &hooks, CONNECTIONS)?;
    }
    let mut turns: Vec<Turn> = Vec::new();
    let mut cpu = Vec::new();
    for _ in 0..size.rounds {
        let hooks = webhooks(rig, count, messages);
        let turn = |server: &Rc<Running>| flood(server.at, &hooks, CONNECTIONS);
        let (bare, one_row) = (turn(&plain)?, turn(&durable)?);
        let row_per_message = per_message.as_ref().map(turn).transpose()?;
        let before = gateway.cpu_seconds()?;
        let subject = turn(&gateway)?;
        cpu.push((gateway.cpu_seconds()? - before) * 1e6 / (count * messages) as f64);
        turns.push(Turn {
            subject,
            one_row,
            bare,
            row_per_message,
        });
    }
    // After the others, which what it has yet to tell would slow down.
    let telling = rig.fresh(setup(true))?;
    flood(telling.at, &warm(), CONNECTIONS)?;
    // Written with the messages, and told later.
    settle(&double)?;
    telling.lane("events:backend", "pause")?;
    let hooks = webhooks(rig, count, messages);
    let rows_alone = flood(telling.at, &hooks, CONNECTIONS)?.rate();
    telling.lane("events:backend", "resume")?;
    let mut with_events = Vec::new();
    for _ in 0..size.event_rounds {
        settle(&double)?;
        let hooks = webhooks(rig, count, messages);
        with_events.push(flood(telling.at, &hooks, CONNECTIONS)?.rate());
    }
    drop(telling);
    let of = |pick: fn(&Turn) -> f64| median(turns.iter().map(pick).collect());
    let baseline = of(|t| t.one_row.rate());
    let mut more = vec![
        ("p50_ms", of(|t| t.subject.at(500))),
        ("p99_ms", of(|t| t.subject.at(990))),
        ("baseline_p50_ms", of(|t| t.one_row.at(500))),
        ("baseline_p99_ms", of(|t| t.one_row.at(990))),
        (
            "p99_ratio",
            of(|t| ratio(t.subject.at(990), t.one_row.at(990))),
        ),
        ("not_durable_per_second", of(|t| t.bare.rate())),
        (
            "ratio_to_not_durable",
            of(|t| ratio(t.subject.rate(), t.bare.rate())),
        ),
        ("event_rows_per_second", rows_alone),
        ("event_rows_ratio", ratio(rows_alone, baseline)),
        ("events_on_per_second", middle(&with_events)),
        ("events_on_ratio", ratio(middle(&with_events), baseline)),
        ("cpu_us_per_message", middle(&cpu)),
    ];
    if per_message.is_some() {
        let rate = |t: &Turn| t.row_per_message.as_ref().map_or(0.0, Run::rate);
        let rates: Vec<f64> = turns.iter().map(rate).collect();
        let ratios = turns.iter().map(|t| ratio(t.subject.rate(), rate(t)));
        more.push(("row_per_message_per_second", middle(&rates)));
        more.push(("ratio_to_row_per_message", median(ratios.collect())));
    }
    report.add(&Figure {
        name,
        store: pair.store(),
        queue: pair.queue(),
        value: of(|t| t.subject.rate()),
        unit: "webhooks/s",
        baseline: Some(baseline),
        ratio: Some(of(|t| ratio(t.subject.rate(), t.one_row.rate()))),
        bar: Some(Bar::RatioAtLeast(BAR)),
        more,
    })
}
