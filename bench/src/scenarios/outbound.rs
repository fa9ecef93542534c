//! Sends: queued first, then let go, so that what is measured is the way out alone.

use crate::double::{CALLED, micros};
use crate::load::{Connection, alone, flood, paced};
use crate::report::{Bar, Figure, Report, median, ratio};
use crate::rig::{IN_FLIGHT, Rig, Running, Setup, Stats, chat_id, middle, send};
use crate::servers::Pair;
use crate::size::Size;
use anyhow::{Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Calls made at once.
const CONNECTIONS: usize = 64;
/// What is asked of the ratio to bare requests.
const INSTANT_BAR: f64 = 0.25;
/// The share of concurrency over latency that is asked.
const SLOW_BAR: f64 = 0.95;
/// The slow platform's answer takes so long.
const SLOW_MS: u64 = 100;
/// Each of the five parts takes so long.
const PART_MS: u64 = 50;
/// They are to be done within so many milliseconds.
const FIVE_PARTS_BAR: f64 = 500.0;
/// Telegram takes so many characters in one message.
const PART_CHARACTERS: usize = 4096;

/// Queues sends on a paused lane and lets them go; what the double saw, and how many were accepted
/// per second.
pub fn drain(
    gateway: &Running,
    double: &Running,
    lanes: std::ops::Range<usize>,
    each: usize,
    chats: usize,
    (delay_ms, hang): (u64, &str),
    expected: usize,
) -> Result<(Stats, f64)> {
    let names: Vec<String> = lanes.clone().map(|lane| format!("bot{lane}")).collect();
    for lane in &names {
        gateway.lane(lane, "pause")?;
    }
    // Who works on a conversation goes on with its next message in spite of the pause, which would
    // then be sent, and be counted, before its turn begins.
    gateway.until_still(&names)?;
    let calls: Vec<Vec<u8>> = (0..each)
        .flat_map(|n| {
            lanes
                .clone()
                .map(move |lane| send(lane, n % chats, "a short message", 0))
        })
        .collect();
    let accepted = flood(gateway.at, &calls, CONNECTIONS)?.rate();
    double.reset(delay_ms, hang)?;
    for lane in &names {
        gateway.lane(lane, "resume")?;
    }
    Ok((double.until_count(expected)?, accepted))
}

fn per_second(stats: &Stats) -> f64 {
    ratio(stats.count - 1.0, stats.seconds)
}

/// Bare requests: the same bytes, the same concurrency, the same client, and nothing else.
fn bare(double: &Running, count: usize, delay_ms: u64) -> Result<Stats> {
    double.reset(delay_ms, "")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let url = format!(
        "http://{}/lane0/bot7000000000:AAExampleTokenOf35Characters-abc_xyz/sendMessage",
        double.at
    );
    runtime
        .block_on(async {
            let client = reqwest::Client::new();
            let next = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..IN_FLIGHT)
                .map(|_| {
                    let (client, url, next) = (client.clone(), url.clone(), Arc::clone(&next));
                    tokio::spawn(async move {
                        loop {
                            let n = next.fetch_add(1, Ordering::Relaxed);
                            if n >= count {
                                return anyhow::Ok(());
                            }
                            let body =
                                format!(r#"{{"chat_id":{},"text":"a short message"}}"#, chat_id(n));
                            let post = client.post(&url).header("content-type", "application/json");
                            post.body(body).send().await?.bytes().await?;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await??;
            }
            Ok(())
        })
        .and_then(|()| double.stats())
}

/// A platform that answers at once.
pub fn instant(rig: &Rig, size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    let double = rig.double()?;
    let setup = |events| Setup {
        pair,
        double: Some(double.at),
        events,
    };
    let quiet = rig.gateway(setup(false))?;
    let (mut rates, mut limits, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut accepts, mut cpu, mut with_events) = (Vec::new(), Vec::new(), Vec::new());
    let (all, chats) = (size.of(pair, size.sends), size.of(pair, size.chats));
    let turn = |gateway: &Running, sends: usize| {
        drain(gateway, &double, 0..1, sends, chats, (0, ""), sends)
    };
    turn(&quiet, chats)?;
    for _ in 0..size.rounds {
        // As many for both pairs: it is over soon.
        let limit = per_second(&bare(&double, size.sends, 0)?);
        let before = quiet.cpu_seconds()?;
        let (stats, accepted) = turn(&quiet, all)?;
        cpu.push((quiet.cpu_seconds()? - before) * 1e6 / all as f64);
        let rate = per_second(&stats);
        rates.push(rate);
        limits.push(limit);
        ratios.push(ratio(rate, limit));
        accepts.push(accepted);
    }
    let idle = idle_calls(&quiet, &double, size.calls)?;
    let half = waited(&quiet, &double, all / 4, chats)? / 2.0;
    let load = half_load(&quiet, &double, half, size)?;
    // After the others, which what it has yet to tell would slow down.
    let telling = rig.fresh(setup(true))?;
    turn(&telling, chats)?;
    for _ in 0..size.event_rounds {
        settle(&double)?;
        with_events.push(per_second(&turn(&telling, all)?.0));
    }
    drop(telling);
    report.add(&Figure {
        name: "outbound-instant",
        store: pair.store(),
        queue: pair.queue(),
        value: middle(&rates),
        unit: "sends/s",
        baseline: Some(middle(&limits)),
        ratio: Some(middle(&ratios)),
        bar: Some(Bar::RatioAtLeast(INSTANT_BAR)),
        more: vec![
            ("events_on_per_second", middle(&with_events)),
            (
                "events_on_ratio",
                ratio(middle(&with_events), middle(&limits)),
            ),
            ("accepted_per_second", middle(&accepts)),
            ("cpu_us_per_message_accept_and_send", middle(&cpu)),
            ("half_load_per_second", half),
            ("half_load_call_to_platform_p50_ms", load.latency_p50_ms),
            ("half_load_call_to_platform_p99_ms", load.latency_p99_ms),
            ("idle_call_p50_ms", idle.0),
            ("idle_platform_p50_ms", idle.1),
            ("idle_added_p50_ms", idle.0 - idle.1),
        ],
    })
}

/// Waits until the events of a turn are delivered, which would slow down the next.
pub fn settle(double: &Running) -> Result<()> {
    let mut last = -1.0;
    loop {
        let hooks = double.stats()?.hooks;
        if hooks <= last {
            return Ok(());
        }
        last = hooks;
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// One call after the other on an idle gateway, each answered when the platform has taken it; and the
/// same of the platform alone. The medians, in milliseconds.
fn idle_calls(gateway: &Running, double: &Running, calls: usize) -> Result<(f64, f64)> {
    double.reset(0, "")?;
    let mut through = Vec::with_capacity(calls);
    alone(async {
        let mut connection = Connection::open(gateway.at).await?;
        for n in 0..calls {
            let asked = Instant::now();
            let (status, body) = connection.call(&send(0, n, "one", 10)).await?;
            ensure!(status == 200, "{}", String::from_utf8_lossy(body));
            through.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(())
    })?;
    let url = format!("http://{}/lane0/botx/sendMessage", double.at);
    let runtime = tokio::runtime::Runtime::new()?;
    let direct = runtime.block_on(async {
        let client = reqwest::Client::new();
        let mut times = Vec::with_capacity(calls);
        for n in 0..calls {
            let asked = Instant::now();
            let body = format!(r#"{{"chat_id":{},"text":"one"}}"#, chat_id(n));
            client.post(&url).body(body).send().await?.bytes().await?;
            times.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
        anyhow::Ok(times)
    })?;
    Ok((median(through), median(direct)))
}

/// Calls per second that are answered when the platform has taken the message: what the gateway can do of
/// them.
fn waited(gateway: &Running, double: &Running, count: usize, chats: usize) -> Result<f64> {
    double.reset(0, "")?;
    let calls: Vec<Vec<u8>> = (0..count)
        .map(|n| send(0, n % chats, "a short message", 10))
        .collect();
    Ok(flood(gateway.at, &calls, CONNECTIONS)?.rate())
}

/// Calls at half of what the gateway can do; the text says when its call was made.
fn half_load(gateway: &Running, double: &Running, rate: f64, size: &Size) -> Result<Stats> {
    double.reset(0, "")?;
    // Whole and positive: it is the length of a list.
    let count = (rate * size.paced_seconds).max(10.0) as usize;
    let begun = micros() + 50_000;
    let calls: Vec<Vec<u8>> = (0..count)
        .map(|n| {
            // When it is due, which is when a caller would have called.
            let due = begun + (n as f64 / rate * 1e6) as u64;
            send(0, n % size.chats, &format!("{CALLED}{due}"), 10)
        })
        .collect();
    let now = micros();
    std::thread::sleep(Duration::from_micros(begun.saturating_sub(now)));
    paced(gateway.at, &calls, CONNECTIONS * 4, rate)?;
    double.until_count(count)
}

/// A platform that takes 100 ms.
pub fn slow(rig: &Rig, size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    let double = rig.double()?;
    let gateway = rig.gateway(Setup {
        pair,
        double: Some(double.at),
        events: false,
    })?;
    let (sends, chats) = (size.slow_sends, size.chats);
    drain(&gateway, &double, 0..1, chats, chats, (0, ""), chats)?;
    let limit = IN_FLIGHT as f64 * 1000.0 / SLOW_MS as f64;
    let steady = |stats: &Stats| ratio(stats.count * 0.8, stats.steady_seconds);
    let (mut rates, mut bares, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    bares.extend(rig.slow_bare.get());
    for _ in 0..size.slow_rounds {
        if rig.slow_bare.get().is_none() {
            bares.push(steady(&bare(&double, sends, SLOW_MS)?));
        }
        let delay = (SLOW_MS, "");
        let (stats, _) = drain(&gateway, &double, 0..1, sends, chats, delay, sends)?;
        rates.push(steady(&stats));
        whole.push(per_second(&stats));
    }
    let rate = middle(&rates);
    rig.slow_bare.set(Some(middle(&bares)));
    report.add(&Figure {
        name: "outbound-100ms",
        store: pair.store(),
        queue: pair.queue(),
        value: rate,
        unit: "sends/s",
        baseline: Some(limit),
        ratio: Some(ratio(rate, limit)),
        bar: Some(Bar::RatioAtLeast(SLOW_BAR)),
        more: vec![
            ("bare_per_second", middle(&bares)),
            ("ratio_to_bare", ratio(rate, middle(&bares))),
            ("from_first_to_last_per_second", middle(&whole)),
        ],
    })
}

/// One message of five parts.
pub fn five_parts(rig: &Rig, size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    let double = rig.double()?;
    let gateway = rig.gateway(Setup {
        pair,
        double: Some(double.at),
        events: false,
    })?;
    // No blank or end of a sentence at which it would be cut shorter.
    let text = "x".repeat(PART_CHARACTERS * 4 + PART_CHARACTERS / 2);
    let mut times = Vec::new();
    for turn in 0..=size.rounds {
        double.reset(PART_MS, "")?;
        let asked = Instant::now();
        crate::load::once(gateway.at, &send(0, turn, &text, 60))?;
        let took = asked.elapsed().as_secs_f64() * 1000.0;
        let parts = double.stats()?.count;
        ensure!(
            (parts - 5.0).abs() < 0.5,
            "{parts} parts were sent, not five"
        );
        // The first warms up.
        if turn > 0 {
            times.push(took);
        }
    }
    let limit = 5.0 * PART_MS as f64;
    let value = middle(&times);
    report.add(&Figure {
        name: "five-parts-50ms",
        store: pair.store(),
        queue: pair.queue(),
        value,
        unit: "ms",
        baseline: Some(limit),
        ratio: Some(ratio(value, limit)),
        bar: Some(Bar::Below(FIVE_PARTS_BAR)),
        more: Vec::new(),
    })
}
