//! More workers deliver more: a platform that takes 100 ms for every request, and few requests at once
//! per worker, so that the platform and not this machine is what is waited for.
//!
//! CI sends a handful and looks that each arrives once and in order; the figures are printed and not
//! judged, since a busy machine has its own. For figures:
//!
//! ```sh
//! SWITCHBOARD_SCALE_MESSAGES=400 cargo test --test it scale -- --nocapture --test-threads 1
//! ```

use crate::failures::rig::{Rig, ledger_world_with};
use serde_json::json;
use std::time::Duration;
use switchboard_testkit::until_within;
use tokio::time::Instant;

/// What the platform takes for a request.
const LATENCY_MS: u64 = 100;
/// Requests that one worker has under way: one, so that ten a second are the most it can do.
const IN_FLIGHT: usize = 1;
/// Conversations: enough that four workers are never without one.
const PEOPLE: usize = 40;
/// Messages of a round in CI.
const MESSAGES: usize = 40;

fn messages() -> usize {
    let asked = std::env::var("SWITCHBOARD_SCALE_MESSAGES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(MESSAGES)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_two_and_four_workers_share_a_lane() {
    let setup = ledger_world_with(json!({"max_in_flight": IN_FLIGHT}))
        // What is measured is the platform's time, not the log's.
        .set("log.filter", json!("warn"));
    let rig = Rig::start(setup).await;
    let world = &rig.world;
    let bot = world.emulator("bot");
    for person in 0..PEOPLE {
        // The platform lets nobody be written to who has not written.
        bot.say_as(&(5000 + person).to_string(), "hi").await;
    }
    bot.fault(json!({"fault": "delay", "ms": LATENCY_MS, "path_contains": "sendMessage"}))
        .await;
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); PEOPLE];
    let mut first_rate = None;
    for (workers, fresh) in [
        (1, &[][..]),
        (2, &["worker-2"]),
        (4, &["worker-3", "worker-4"]),
    ] {
        for name in fresh {
            world.join(name, &["--role", "worker"]).await;
        }
        world
            .post("/admin/lanes/bot/pause", json!({}))
            .await
            .expect(200);
        for n in 0..messages() {
            let (person, text) = (n % PEOPLE, format!("{workers} workers, {n}"));
            world
                .text_later("bot", &(5000 + person).to_string(), &text)
                .await;
            expected[person].push(text);
        }
        let before = bot.texts().await.len();
        let started = Instant::now();
        world
            .post("/admin/lanes/bot/resume", json!({}))
            .await
            .expect(200);
        until_within(Duration::from_secs(600), "all to be delivered", || async {
            (bot.texts().await.len() - before >= messages()).then_some(())
        })
        .await;
        let took = started.elapsed();
        let rate = messages() as f64 / took.as_secs_f64();
        let first = *first_rate.get_or_insert(rate);
        println!(
            "{workers} workers: {} messages in {took:.2?}, {rate:.0} a second, {:.2}x",
            messages(),
            rate / first
        );
    }
    bot.mend().await;
    world.quiet().await;
    for (person, texts) in expected.iter().enumerate() {
        assert_eq!(bot.texts_to(&(5000 + person).to_string()).await, *texts);
    }
}
