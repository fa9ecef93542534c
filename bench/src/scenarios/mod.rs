//! What is measured.

mod footprint;
mod growth;
mod inbound;
mod isolation;
mod outbound;
mod queue;

use crate::report::Report;
use crate::rig::Rig;
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
pub fn run(name: &str, rig: &Rig, size: &Size, report: &mut Report) -> Result<()> {
    match name {
        "inbound-single" => inbound::single(rig, size, report),
        "inbound-batch" => inbound::batch(rig, size, report),
        "outbound-instant" => outbound::instant(rig, size, report),
        "outbound-100ms" => outbound::slow(rig, size, report),
        "five-parts-50ms" => outbound::five_parts(rig, size, report),
        "queue-memory-depth" => queue::memory(size, report),
        "queue-redis-depth" => queue::redis(rig, size, report),
        "isolation" => isolation::measure(rig, size, report),
        "growth" => growth::measure(rig, size, report),
        "idle-memory" => footprint::idle(rig, size, report),
        "queued-100k-memory" => footprint::queued(rig, size, report),
        "ready" => footprint::ready(rig, size, report),
        other => bail!("there is no scenario {other}"),
    }
}
