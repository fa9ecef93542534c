//! What is measured.

mod footprint;
mod growth;
mod inbound;
mod isolation;
mod outbound;
mod queue;

use crate::report::Report;
use crate::rig::Rig;
use crate::servers::Pair;
use crate::size::Size;
use anyhow::{Result, bail};

/// Every scenario, in the order in which they are measured.
pub const ALL: [&str; 12] = [
    "ready",
    "idle-memory",
    "inbound-single",
    "inbound-batch",
    "outbound-instant",
    "outbound-100ms",
    "five-parts-50ms",
    "queue-memory-depth",
    "queue-redis-depth",
    "isolation",
    "growth",
    "queued-100k-memory",
];

/// Measures one scenario.
pub fn run(name: &'static str, rig: &Rig, size: &Size, report: &mut Report) -> Result<()> {
    if !name.starts_with("queue-") {
        for pair in rig.pairs(name, report)? {
            over(name, rig, size, pair, report)?;
        }
        return Ok(());
    }
    match name {
        "queue-memory-depth" => queue::memory(size, report),
        "queue-redis-depth" => queue::redis(size, report),
        other => bail!("there is no scenario {other}"),
    }
}

fn over(name: &str, rig: &Rig, size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    match name {
        "inbound-single" => inbound::single(rig, size, pair, report),
        "inbound-batch" => inbound::batch(rig, size, pair, report),
        "outbound-instant" => outbound::instant(rig, size, pair, report),
        "outbound-100ms" => outbound::slow(rig, size, pair, report),
        "five-parts-50ms" => outbound::five_parts(rig, size, pair, report),
        "isolation" => isolation::measure(rig, size, pair, report),
        "growth" => growth::measure(rig, size, pair, report),
        "idle-memory" => footprint::idle(rig, size, pair, report),
        "queued-100k-memory" => footprint::queued(rig, size, pair, report),
        "ready" => footprint::ready(rig, size, pair, report),
        other => bail!("there is no scenario {other}"),
    }
}
