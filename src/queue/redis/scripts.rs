//! The scripts, and what goes in and out of them as text.

use super::super::{Claim, Due, LaneStats, Lease, Priority};
use deadpool_redis::redis::Script;
use std::time::Duration;

/// The production clock: that of the server.
pub(super) const SERVER_CLOCK: &str = include_str!("../lua/clock.lua");
/// What all scripts share.
const LANE: &str = include_str!("../lua/lane.lua");

/// A script per operation. Each is the clock, the shared part and its own file in one, because a
/// script cannot call another.
pub(super) struct Scripts {
    pub(super) schedule: Script,
    pub(super) hasten: Script,
    pub(super) claim: Script,
    pub(super) extend: Script,
    pub(super) finish: Script,
    pub(super) take: Script,
    pub(super) rest: Script,
    pub(super) pause: Script,
    pub(super) report: Script,
    pub(super) raise_fence: Script,
    pub(super) stats: Script,
}

impl Scripts {
    pub(super) fn new(clock: &str) -> Self {
        let script = |own: &str| Script::new(&format!("{clock}\n{LANE}\n{own}"));
        Self {
            schedule: script(include_str!("../lua/schedule.lua")),
            hasten: script(include_str!("../lua/hasten.lua")),
            claim: script(include_str!("../lua/claim.lua")),
            extend: script(include_str!("../lua/extend.lua")),
            finish: script(include_str!("../lua/finish.lua")),
            take: script(include_str!("../lua/take.lua")),
            rest: script(include_str!("../lua/rest.lua")),
            pause: script(include_str!("../lua/pause.lua")),
            report: script(include_str!("../lua/report.lua")),
            raise_fence: script(include_str!("../lua/raise_fence.lua")),
            stats: script(include_str!("../lua/stats.lua")),
        }
    }
}

/// Times beyond this are one and the same: a number of Lua holds microseconds until the year 2255.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A time as the scripts take it: whole microseconds.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.min(FOREVER).as_micros()).unwrap_or(u64::MAX)
}

/// A priority as the scripts have it.
pub(super) const fn number(priority: Priority) -> u8 {
    match priority {
        Priority::Normal => 0,
        Priority::Bulk => 1,
    }
}

/// After, priority and retry, as the scripts take them.
pub(super) fn due(due: &Due) -> (u64, u8, u8) {
    (micros(due.after), number(due.priority), u8::from(due.retry))
}

fn after(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_micros)
}

/// The answer of `claim.lua`.
pub(super) fn claim(answer: &[String]) -> Option<Claim> {
    let (next, leases) = answer.split_first()?;
    let lease = |pair: &[String]| match pair {
        [group, fence] => Some(Lease {
            group: group.parse().ok()?,
            fence: fence.parse().ok()?,
        }),
        _ => None,
    };
    Some(Claim {
        leases: leases.chunks(2).map(lease).collect::<Option<_>>()?,
        next: after(next),
    })
}

/// The answer of `stats.lua`.
pub(super) fn stats(answer: &[String]) -> Option<LaneStats> {
    let [depth, leased, oldest, paused, rest] = answer else {
        return None;
    };
    Some(LaneStats {
        depth: depth.parse().ok()?,
        leased: leased.parse().ok()?,
        oldest_ready: after(oldest),
        paused: paused == "1",
        resting: after(rest).filter(|rest| !rest.is_zero()),
    })
}
