//! The queue alone: what scheduling, claiming and finishing cost when much is in it.

use crate::report::{Bar, Figure, Report, ratio};
use crate::rig::middle;
use crate::size::Size;
use anyhow::{Context, Result, ensure};
use deadpool_redis::redis;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switchboard::queue::gcra::Rate;
use switchboard::queue::memory::MemoryQueue;
use switchboard::queue::redis::{Options, RedisQueue};
use switchboard::queue::{Due, Group, LaneId, Limits, Priority, Queue};
use switchboard_testkit::servers::RedisServer;

/// What an operation at the greatest depth may cost more than at the least.
const MEMORY_BAR: f64 = 2.0;
/// The same in Redis.
const REDIS_BAR: f64 = 1.5;
/// Groups scheduled in one call while the queue is filled.
const FILL: usize = 1000;
/// A time is taken of so many operations: short enough that, in memory, most are over before the
/// machine does something else, which the median then leaves out.
const SAMPLE: usize = 500;

fn limits() -> Limits {
    Limits {
        rate: Rate::new(1e6, 1_000_000),
        recipient: None,
        max_leases: None,
        lease: Duration::from_secs(600),
        breaker_failures: 5,
        breaker_rest: Duration::from_secs(30),
    }
}

/// An id as a store's are where conversations write as they please: none is beside the one before.
fn group(n: i64) -> Group {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed())
}

/// A lane of a queue that is filled up to a depth.
struct Filled<'a> {
    queue: &'a dyn Queue,
    lane: LaneId,
    depth: i64,
    /// Groups that were scheduled so far.
    scheduled: i64,
    /// Microseconds of an operation, of each sample.
    times: Vec<f64>,
}

impl<'a> Filled<'a> {
    /// Fills a lane. Half of it waits for later, as retries do.
    async fn new(queue: &'a dyn Queue, lane: LaneId, depth: i64) -> Result<Self> {
        let mut some = Vec::with_capacity(FILL);
        for n in 1..=depth {
            some.push(if n % 2 == 0 {
                Due::now(group(n), Priority::Normal)
            } else {
                Due::after(group(n), Duration::from_secs(3600), Priority::Normal)
            });
            if some.len() == FILL || n == depth {
                queue.schedule(&lane, &some).await?;
                some.clear();
            }
        }
        Ok(Self {
            queue,
            lane,
            depth,
            scheduled: depth,
            times: Vec::new(),
        })
    }

    /// Schedules a group that was never there, claims the oldest and finishes it, so many times. The
    /// depth stays.
    async fn turn(&mut self, operations: usize) -> Result<()> {
        for _ in 0..operations.div_ceil(SAMPLE) {
            let begun = Instant::now();
            for _ in 0..SAMPLE {
                self.scheduled += 1;
                let fresh = Due::now(group(self.scheduled), Priority::Normal);
                self.queue.schedule(&self.lane, &[fresh]).await?;
                let claim = self.queue.claim(&self.lane, 1).await?;
                let lease = claim.leases.first().copied();
                let lease = lease.context("nothing was claimed")?;
                self.queue.finish(&self.lane, lease, None).await?;
            }
            let took = begun.elapsed().as_secs_f64();
            self.times.push(took * 1e6 / SAMPLE as f64);
        }
        Ok(())
    }

    /// Depth and cost.
    fn cost(&self) -> (i64, f64) {
        (self.depth, middle(&self.times))
    }
}

/// The queue in memory.
pub fn memory(size: &Size, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let lane = LaneId::channel("bench");
    let costs: Vec<(i64, f64)> = runtime.block_on(async {
        let queues: Vec<(i64, Arc<MemoryQueue>)> = size
            .depths
            .iter()
            .map(|depth| (*depth, MemoryQueue::new([(lane.clone(), limits())], 0)))
            .collect();
        let mut filled = Vec::new();
        for (depth, queue) in &queues {
            filled.push(Filled::new(queue.as_ref(), lane.clone(), *depth).await?);
        }
        for turn in 0..=size.rounds {
            for filled in &mut filled {
                filled.turn(size.operations).await?;
                if turn == 0 {
                    filled.times.clear();
                }
            }
        }
        anyhow::Ok(filled.iter().map(Filled::cost).collect())
    })?;
    add(
        report,
        "queue-memory-depth",
        "memory",
        &costs,
        MEMORY_BAR,
        Vec::new(),
    )
}

/// One figure out of the costs at several depths: the deepest beside the shallowest.
fn add(
    report: &mut Report,
    name: &'static str,
    queue: &'static str,
    costs: &[(i64, f64)],
    bar: f64,
    mut more: Vec<(&'static str, f64)>,
) -> Result<()> {
    ensure!(costs.len() > 1, "one depth alone compares with nothing");
    let first = costs.first().map_or(0.0, |(_, cost)| *cost);
    let (depth, last) = costs.last().copied().unwrap_or_default();
    more.push(("depth", depth as f64));
    more.push(("rounds_per_second", ratio(1e6, last)));
    report.add(&Figure {
        name,
        store: "none",
        queue,
        value: last,
        unit: "us",
        baseline: Some(first),
        ratio: Some(ratio(last, first)),
        bar: Some(Bar::RatioAtMost(bar)),
        more,
    })
}

/// Round trips of a script that does next to nothing: what three operations of the queue cannot do
/// without. The microseconds of three of them.
async fn trips(url: &str, count: usize) -> Result<f64> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let script = redis::Script::new("return redis.call('INCR', KEYS[1])");
    let begun = Instant::now();
    for _ in 0..count * 3 {
        let _: i64 = script.key("bench").invoke_async(&mut connection).await?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / count as f64)
}

/// The queue in Redis.
pub fn redis(size: &Size, report: &mut Report) -> Result<()> {
    let name = "queue-redis-depth";
    if !crate::servers::in_path("redis-server") {
        return report.leave_out(name, "redis", "redis-server is not installed");
    }
    let server = RedisServer::start();
    let url = server.url();
    // Where fetching, not computing, takes the time, a twentieth of the operations tells as much.
    let operations = (size.operations / 20).max(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (costs, trip) = runtime.block_on(async {
        // A lane for each depth: what is in one is no matter of the others.
        let lane = |depth: i64| LaneId::channel(&format!("depth-{depth}"));
        let lanes = size
            .redis_depths
            .iter()
            .map(|depth| (lane(*depth), limits()));
        let queue = RedisQueue::open(&url, lanes.collect::<Vec<_>>(), Options::default()).await?;
        let mut filled = Vec::new();
        for depth in &size.redis_depths {
            filled.push(Filled::new(queue.as_ref(), lane(*depth), *depth).await?);
        }
        let mut trip = Vec::new();
        for turn in 0..=size.rounds {
            trip.push(trips(&url, operations).await?);
            for filled in &mut filled {
                filled.turn(operations).await?;
                if turn == 0 {
                    filled.times.clear();
                }
            }
        }
        let costs: Vec<(i64, f64)> = filled.iter().map(Filled::cost).collect();
        anyhow::Ok((costs, middle(trip.get(1..).unwrap_or_default())))
    })?;
    let deepest = costs.last().map_or(0.0, |(_, cost)| *cost);
    let more = vec![
        ("three_trivial_scripts_us", trip),
        ("ratio_to_trivial_scripts", ratio(deepest, trip)),
    ];
    add(report, name, "redis", &costs, REDIS_BAR, more)
}
