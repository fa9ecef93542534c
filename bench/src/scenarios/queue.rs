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
use switchboard::queue::{Due, LaneId, Limits, Priority, Queue};
use switchboard_testkit::servers::RedisServer;

/// What an operation at the greatest depth may cost more than at the least.
const MEMORY_BAR: f64 = 2.0;
/// The same in Redis.
const REDIS_BAR: f64 = 1.5;
/// Groups scheduled in one call while the queue is filled.
const FILL: usize = 1000;

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

/// Fills a lane up to a depth. Half of it waits for later, as retries do.
async fn fill(queue: &dyn Queue, lane: &LaneId, depth: i64) -> Result<()> {
    let mut some = Vec::with_capacity(FILL);
    for group in 1..=depth {
        some.push(if group % 2 == 0 {
            Due::now(group, Priority::Normal)
        } else {
            Due::after(group, Duration::from_secs(3600), Priority::Normal)
        });
        if some.len() == FILL || group == depth {
            queue.schedule(lane, &some).await?;
            some.clear();
        }
    }
    Ok(())
}

/// Schedules, claims and finishes; the microseconds of one such round. The depth stays.
async fn turn(queue: &dyn Queue, lane: &LaneId, depth: i64, operations: usize) -> Result<f64> {
    let begun = Instant::now();
    for n in 0..operations {
        let fresh = depth + 1 + i64::try_from(n)?;
        queue
            .schedule(lane, &[Due::now(fresh, Priority::Normal)])
            .await?;
        let claim = queue.claim(lane, 1).await?;
        let lease = claim
            .leases
            .first()
            .copied()
            .context("nothing was claimed")?;
        queue.finish(lane, lease, None).await?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / operations as f64)
}

/// The queue in memory.
pub fn memory(size: &Size, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let lane = LaneId::channel("bench");
    let costs: Vec<(i64, f64)> = runtime.block_on(async {
        let mut queues: Vec<(i64, Arc<MemoryQueue>, Vec<f64>)> = Vec::new();
        for depth in &size.depths {
            let queue = MemoryQueue::new([(lane.clone(), limits())], 0);
            fill(queue.as_ref(), &lane, *depth).await?;
            queues.push((*depth, queue, Vec::new()));
        }
        for _ in 0..=size.rounds {
            for (depth, queue, times) in &mut queues {
                times.push(turn(queue.as_ref(), &lane, *depth, size.operations).await?);
            }
        }
        // The first turn warms up.
        let cost = |times: &[f64]| middle(times.get(1..).unwrap_or_default());
        anyhow::Ok(
            queues
                .iter()
                .map(|(depth, _, times)| (*depth, cost(times)))
                .collect(),
        )
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
    // Where fetching, not computing, takes the time, a tenth of the operations tells as much.
    let operations = (size.operations / 10).max(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (costs, trip) = runtime.block_on(async {
        // A lane for each depth: what is in one is no matter of the others.
        let lane = |depth: i64| LaneId::channel(&format!("depth-{depth}"));
        let lanes = size.depths.iter().map(|depth| (lane(*depth), limits()));
        let queue = RedisQueue::open(&url, lanes.collect::<Vec<_>>(), Options::default()).await?;
        for depth in &size.depths {
            fill(queue.as_ref(), &lane(*depth), *depth).await?;
        }
        let mut times: Vec<(i64, Vec<f64>)> = size
            .depths
            .iter()
            .map(|depth| (*depth, Vec::new()))
            .collect();
        let mut trip = Vec::new();
        for _ in 0..=size.rounds {
            trip.push(trips(&url, operations).await?);
            for (depth, times) in &mut times {
                let lane = lane(*depth);
                times.push(turn(queue.as_ref(), &lane, *depth, operations).await?);
            }
        }
        // The first turn warms up.
        let cost = |times: &[f64]| middle(times.get(1..).unwrap_or_default());
        let costs: Vec<(i64, f64)> = times.iter().map(|(d, times)| (*d, cost(times))).collect();
        anyhow::Ok((costs, cost(&trip)))
    })?;
    let deepest = costs.last().map_or(0.0, |(_, cost)| *cost);
    let more = vec![
        ("three_trivial_scripts_us", trip),
        ("ratio_to_trivial_scripts", ratio(deepest, trip)),
    ];
    add(report, name, "redis", &costs, REDIS_BAR, more)
}
