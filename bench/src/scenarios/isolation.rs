//! One of ten lanes hangs; what the other nine lose by it.

use super::outbound::drain;
use crate::report::{Bar, Figure, Report, ratio};
use crate::rig::{LANES, Rig, Setup, middle};
use crate::servers::Pair;
use crate::size::Size;
use anyhow::Result;

/// The share of their speed that the others keep.
const BAR: f64 = 0.95;
/// The lane that hangs.
const HANGS: &str = "/lane0/";

/// Drains nine lanes without and beside one that hangs.
pub fn measure(rig: &Rig, size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    let double = rig.double()?;
    let gateway = rig.gateway(Setup {
        pair,
        double: Some(double.at),
        events: false,
    })?;
    let each = size.of(pair, size.lane_sends);
    let others = each * (LANES - 1);
    let chats = (each / 5).max(1);
    let warm = LANES * chats;
    drain(&gateway, &double, 0..LANES, chats, chats, (0, ""), warm)?;
    let turn = |hangs: bool| -> Result<f64> {
        let (first, hang) = if hangs { (0, HANGS) } else { (1, "") };
        let lanes = first..LANES;
        let (stats, _) = drain(&gateway, &double, lanes, each, chats, (0, hang), others)?;
        if hangs {
            // What hangs is let go, and what waits behind it is over before the next turn.
            double.reset(0, "")?;
            double.until_count(each)?;
        }
        Ok(ratio(stats.count - 1.0, stats.seconds))
    };
    let (mut without, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        let (alone, hung) = (turn(false)?, turn(true)?);
        without.push(alone);
        beside.push(hung);
        ratios.push(ratio(hung, alone));
    }
    report.add(&Figure {
        name: "isolation",
        store: pair.store(),
        queue: pair.queue(),
        value: middle(&beside),
        unit: "sends/s",
        baseline: Some(middle(&without)),
        ratio: Some(middle(&ratios)),
        bar: Some(Bar::RatioAtLeast(BAR)),
        more: Vec::new(),
    })
}
