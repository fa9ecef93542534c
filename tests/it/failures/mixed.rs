//! Everything at once: customers write, agents answer, and every few seconds something breaks.
//!
//! Forty seconds in CI. The long form:
//!
//! ```sh
//! SWITCHBOARD_MIXED_SECONDS=600 cargo test --test it failures::mixed -- --nocapture --test-threads 1
//! ```
//!
//! It prints its seed; `SWITCHBOARD_MIXED_SEED` repeats the order of the faults.

use super::ledger::{Ledger, back};
use super::rig::{Rig, ledger_world};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use switchboard_testkit::servers::Way;
use switchboard_testkit::{Mood, World};
use tokio::time::Instant;

/// Customers who write and are written to, all at once.
const PEOPLE: i64 = 12;
/// How long it takes in CI, in seconds.
const SECONDS: u64 = 40;
/// Between two messages of one customer, in milliseconds, at most.
const PAUSE_MS: u64 = 400;
/// How long a fault lasts, in milliseconds, at most.
const FAULT_MS: u64 = 2500;

fn seconds() -> u64 {
    number("SWITCHBOARD_MIXED_SECONDS").unwrap_or(SECONDS)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Numbers that repeat with their seed (xorshift).
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let fresh = || {
            std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .unwrap()
                .as_nanos() as u64
        };
        let seed = number("SWITCHBOARD_MIXED_SEED")
            .unwrap_or_else(fresh)
            .max(1);
        println!("mixed load for {} s, seed {seed}", seconds());
        Self(seed)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Reads the phones until the end: they keep the last few thousand lines only.
async fn watch(world: &World, ledger: &Ledger, end: Instant) {
    while Instant::now() < end {
        ledger.look(world).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Both directions until the end, through all doors.
async fn load(world: &World, ledger: &Ledger, doors: &[String], end: Instant) {
    let customers = (0..PEOPLE).map(async |n| {
        let customer = 6000 + n;
        let mut dice = Dice(n.unsigned_abs() * 7919 + 1);
        // Each customer's webhooks go through one door, as the proxy of operations.md does it.
        let mut doors = doors.to_vec();
        let first = usize::try_from(n).unwrap() % doors.len();
        doors.rotate_left(first);
        while Instant::now() < end {
            ledger.say(world, &doors[..1], customer).await;
            ledger.send(world, &doors, customer).await;
            tokio::time::sleep(Duration::from_millis(dice.below(PAUSE_MS))).await;
        }
    });
    futures_util::future::join_all(customers).await;
}

/// What the log may say while everything breaks.
fn announce(world: &World) {
    for part in [
        "store",
        "queue",
        "spool",
        "lease",
        "not remembered",
        "paused",
        "connection",
    ] {
        world.announce_error(part);
    }
}

async fn platform_fault(world: &World, dice: &mut Dice) -> &'static str {
    let bot = world.emulator("bot");
    let (name, fault) = match dice.below(4) {
        0 => (
            "platform says 429",
            json!({"fault": "rate_limit", "retry_after": 1, "count": 3}),
        ),
        1 => (
            "platform says 500",
            json!({"fault": "error", "status": 500, "count": 10}),
        ),
        2 => (
            "platform hangs",
            json!({"fault": "hang", "seconds": 2, "count": 5}),
        ),
        _ => (
            "platform cuts its answers",
            json!({"fault": "reset", "count": 2}),
        ),
    };
    let mut fault = fault;
    fault["path_contains"] = json!("sendMessage");
    bot.fault(fault).await;
    name
}

async fn backend_fault(world: &World, dice: &mut Dice, lasts: Duration) -> &'static str {
    let (name, mood) = match dice.below(2) {
        0 => ("backend says 500", Mood::Answers(500)),
        _ => ("backend hangs", Mood::Hangs),
    };
    world.backend().mood(mood);
    tokio::time::sleep(lasts).await;
    world.backend().mood(Mood::Takes);
    name
}

fn print(pair: &str, report: &super::ledger::Report, faults: &BTreeMap<&str, usize>) {
    let count: usize = faults.values().sum();
    println!("{pair}: {report}; {count} faults: {faults:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_under_mixed_load_and_random_faults_keeps_its_promises() {
    let world = ledger_world().emulators_apart().start().await;
    announce(&world);
    let ledger = Ledger::default();
    ledger.meet(&world, 6000..6000 + PEOPLE).await;
    let end = Instant::now() + Duration::from_secs(seconds());
    let doors = [world.root()];
    let faults = async {
        let mut dice = Dice::new();
        let mut faults = BTreeMap::new();
        while Instant::now() < end {
            let lasts = Duration::from_millis(dice.below(FAULT_MS));
            let name = match dice.below(4) {
                0 => {
                    world.kill();
                    tokio::time::sleep(lasts).await;
                    world.restart().await;
                    "gateway killed"
                }
                1 => backend_fault(&world, &mut dice, lasts).await,
                _ => platform_fault(&world, &mut dice).await,
            };
            *faults.entry(name).or_insert(0) += 1;
            tokio::time::sleep(Duration::from_millis(500 + dice.below(FAULT_MS))).await;
        }
        world.emulator("bot").mend().await;
        faults
    };
    let load = load(&world, &ledger, &doors, end);
    let ((), (), faults) = tokio::join!(load, watch(&world, &ledger, end), faults);
    let report = ledger.settle(&world).await;
    print("SQLite + memory", &report, &faults);
    report.expect_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_under_mixed_load_and_random_faults_keep_their_promises() {
    let rig = Rig::start(ledger_world()).await;
    let world = &rig.world;
    announce(world);
    world.join("api-2", &["--role", "api"]).await;
    world.join("worker-2", &["--role", "worker"]).await;
    let ledger = Ledger::default();
    ledger.meet(world, 6000..6000 + PEOPLE).await;
    let end = Instant::now() + Duration::from_secs(seconds());
    // The second one keeps its port only as long as it lives, so it is no door of webhooks.
    let doors = [world.root()];
    let faults = async {
        let mut dice = Dice::new();
        let mut faults = BTreeMap::new();
        while Instant::now() < end {
            let lasts = Duration::from_millis(dice.below(FAULT_MS));
            let name = one_fault(&rig, &mut dice, lasts).await;
            *faults.entry(name).or_insert(0) += 1;
            tokio::time::sleep(Duration::from_millis(500 + dice.below(FAULT_MS))).await;
        }
        world.emulator("bot").mend().await;
        faults
    };
    let load = load(world, &ledger, &doors, end);
    let ((), (), faults) = tokio::join!(load, watch(world, &ledger, end), faults);
    back("everything to be back", world).await;
    let report = ledger.settle(world).await;
    print("PostgreSQL + Redis", &report, &faults);
    report.expect_kept();
}

async fn one_fault(rig: &Rig, dice: &mut Dice, lasts: Duration) -> &'static str {
    let world = &rig.world;
    match dice.below(16) {
        0 => {
            rig.store.kill();
            tokio::time::sleep(lasts).await;
            rig.store.restart();
            "store killed"
        }
        1 => {
            rig.store.pause();
            tokio::time::sleep(lasts).await;
            rig.store.resume();
            "store frozen"
        }
        2 => {
            rig.to_store.cut();
            "store's connections cut"
        }
        3 => {
            rig.to_store.stall(Way::Down);
            tokio::time::sleep(lasts).await;
            rig.to_store.pass();
            "store's answers held back"
        }
        4 => {
            rig.to_store.half_close(Way::Up);
            "store's connections half closed"
        }
        5 => {
            rig.queue.kill();
            tokio::time::sleep(lasts).await;
            rig.queue.restart();
            "queue killed, and empty"
        }
        6 => {
            rig.queue.freeze();
            tokio::time::sleep(lasts).await;
            rig.queue.thaw();
            "queue frozen"
        }
        7 => {
            rig.to_queue.cut();
            "queue's connections cut"
        }
        8 => {
            rig.queue.flush();
            "queue emptied"
        }
        9 | 10 => {
            let name = if dice.below(2) == 0 {
                "worker"
            } else {
                "worker-2"
            };
            world.kill_of(name);
            tokio::time::sleep(lasts).await;
            back("the store to be back", world).await;
            world.join(name, &["--role", "worker"]).await;
            "worker killed"
        }
        11 => {
            world.kill();
            tokio::time::sleep(lasts).await;
            world.restart().await;
            "api killed"
        }
        12 | 13 => backend_fault(world, dice, lasts).await,
        _ => platform_fault(world, dice).await,
    }
}
