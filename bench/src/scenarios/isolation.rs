//! One of ten lanes hangs; what the other nine lose by it.

use super::outbound::drain;
use crate::report::{Bar, Figure, Report, ratio};
use crate::rig::{LANES, Rig, Setup, Stats, middle};
use crate::servers::Pair;
use crate::size::Size;
use anyhow::Result;

/// The share of their speed that the others keep.
const BAR: f64 = 0.95;
/// The lane that hangs.
const HANGS: &str = "/lane0/";

/// Drains nine lanes without and beside one that hangs. A gateway of its own for each turn, since
/// what hangs hangs for half a minute.
pub fn measure(rig: &Rig, size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    let double = rig.double()?;
    let others = size.lane_sends * (LANES - 1);
    let turn = |hangs: bool| -> Result<f64> {
        let gateway = rig.gateway(Setup {
            pair,
            double: Some(double.at),
            events: false,
        })?;
        let chats = (size.lane_sends / 5).max(1);
        let warm = LANES * chats;
        drain(&gateway, &double, 0..LANES, chats, chats, (0, ""), warm)?;
        let (first, hang) = if hangs { (0, HANGS) } else { (1, "") };
        let lanes = first..LANES;
        let (stats, _): (Stats, f64) = drain(
            &gateway,
            &double,
            lanes,
            size.lane_sends,
            chats,
            (0, hang),
            others,
        )?;
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
