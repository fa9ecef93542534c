//! Webhooks: acknowledged when everything that they carried is durable.

use crate::load::{Run, flood};
use crate::report::{Bar, Figure, Report, median, ratio};
use crate::rig::{Rig, Running, Setup, middle, webhook};
use crate::servers::Pair;
use crate::size::Size;
use anyhow::Result;

/// Platforms' connections.
pub const CONNECTIONS: usize = 64;
/// People who write.
pub const PEOPLE: usize = 2000;
/// Messages of a batch.
const BATCH: usize = 20;
/// What is asked of the ratio to the durable bare endpoint.
const BAR: f64 = 0.35;
/// A warm-up is this part of a turn.
const WARM_UP: usize = 4;

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

fn measure(
    rig: &Rig,
    size: &Size,
    pair: Pair,
    report: &mut Report,
    (name, count, messages): (&'static str, usize, usize),
) -> Result<()> {
    let double = rig.double()?;
    let (plain, durable) = (rig.bare(None)?, rig.bare(Some(pair))?);
    let gateway = rig.gateway(Setup {
        pair,
        double: Some(double.at),
        events: false,
    })?;
    let warm = webhooks(rig, (count / WARM_UP).max(1), messages);
    for server in [&plain, &durable, &gateway] {
        flood(server.at, &warm, CONNECTIONS)?;
    }
    let mut turns: Vec<[Run; 3]> = Vec::new();
    let mut cpu = Vec::new();
    for _ in 0..size.rounds {
        let hooks = webhooks(rig, count, messages);
        let turn = |server: &Running| flood(server.at, &hooks, CONNECTIONS);
        let (bare, one_row) = (turn(&plain)?, turn(&durable)?);
        let before = gateway.cpu_seconds()?;
        let subject = turn(&gateway)?;
        cpu.push((gateway.cpu_seconds()? - before) * 1e6 / (count * messages) as f64);
        turns.push([subject, one_row, bare]);
    }
    let of = |pick: fn(&[Run; 3]) -> f64| median(turns.iter().map(pick).collect());
    report.add(&Figure {
        name,
        store: pair.store(),
        queue: pair.queue(),
        value: of(|[s, _, _]| s.rate()),
        unit: "webhooks/s",
        baseline: Some(of(|[_, d, _]| d.rate())),
        ratio: Some(of(|[s, d, _]| ratio(s.rate(), d.rate()))),
        bar: Some(Bar::RatioAtLeast(BAR)),
        more: vec![
            ("p50_ms", of(|[s, _, _]| s.at(500))),
            ("p99_ms", of(|[s, _, _]| s.at(990))),
            ("baseline_p50_ms", of(|[_, d, _]| d.at(500))),
            ("baseline_p99_ms", of(|[_, d, _]| d.at(990))),
            ("p99_ratio", of(|[s, d, _]| ratio(s.at(990), d.at(990)))),
            ("not_durable_per_second", of(|[_, _, b]| b.rate())),
            (
                "ratio_to_not_durable",
                of(|[s, _, b]| ratio(s.rate(), b.rate())),
            ),
            ("cpu_us_per_message", middle(&cpu)),
        ],
    })
}
