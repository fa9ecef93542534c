//! Redis goes away, freezes, forgets: sends are accepted, webhooks go on, and what was scheduled is
//! scheduled again from the store.

use super::ledger::{Ledger, back};
use super::rig::{Rig, ledger_world};
use crate::word;
use serde_json::json;

/// Customers who write and are written to.
const PEOPLE: i64 = 6;
const EACH: usize = 4;

async fn traffic(rig: &Rig, ledger: &Ledger) {
    let world = &rig.world;
    let doors = [world.root()];
    for _ in 0..EACH {
        let all = (0..PEOPLE).map(async |n| {
            ledger.say(world, &doors, 8000 + n).await + ledger.send(world, &doors, 8000 + n).await
        });
        let refused = futures_util::future::join_all(all).await;
        assert_eq!(refused.iter().sum::<usize>(), 0, "something was refused");
    }
}

async fn outage(rig: &Rig, begin: impl FnOnce(&Rig), end: impl FnOnce(&Rig)) {
    let world = &rig.world;
    world.announce_error("queue");
    let ledger = Ledger::default();
    ledger.meet(world, 8000..8000 + PEOPLE).await;
    traffic(rig, &ledger).await;
    begin(rig);
    // At once, although the caller would have waited.
    let sent = world
        .text("bot", "8000", "out 8000 patience", json!({"wait": 30}))
        .await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    traffic(rig, &ledger).await;
    let ready = world.get("/readyz").await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_eq!(word(&ready.json, "store"), "ok");
    assert_ne!(word(&ready.json, "queue"), "ok");
    world.get("/healthz").await.expect(200);
    end(rig);
    back("the queue to be back", world).await;
    traffic(rig, &ledger).await;
    ledger.settle(world).await.expect_kept();
    world.message_when(&sent.word("message_id"), "sent").await;
}

#[tokio::test]
async fn while_redis_is_down_sends_are_accepted_and_go_out_when_it_is_back() {
    let rig = Rig::start(ledger_world()).await;
    // It keeps nothing on disk: when it comes back it is empty.
    outage(&rig, |rig| rig.queue.kill(), |rig| rig.queue.restart()).await;
}

#[tokio::test]
async fn while_redis_is_frozen_sends_are_accepted_and_go_out_when_it_is_back() {
    let rig = Rig::start(ledger_world()).await;
    outage(&rig, |rig| rig.queue.freeze(), |rig| rig.queue.thaw()).await;
}

#[tokio::test]
async fn redis_emptied_in_full_traffic_loses_and_doubles_nothing() {
    let rig = Rig::start(ledger_world()).await;
    let world = &rig.world;
    world.announce_error("queue");
    let bot = world.emulator("bot");
    bot.fault(json!({"fault": "delay", "ms": 150, "path_contains": "sendMessage"}))
        .await;
    let ledger = Ledger::default();
    ledger.meet(world, 8000..8000 + PEOPLE).await;
    for _ in 0..3 {
        traffic(&rig, &ledger).await;
        // Work waits and is under way.
        rig.queue.flush();
    }
    traffic(&rig, &ledger).await;
    bot.mend().await;
    ledger.settle(world).await.expect_kept();
}

#[tokio::test]
async fn connections_to_redis_that_are_cut_cost_nothing() {
    let rig = Rig::start(ledger_world()).await;
    let world = &rig.world;
    world.announce_error("queue");
    let ledger = Ledger::default();
    ledger.meet(world, 8000..8000 + PEOPLE).await;
    for _ in 0..5 {
        rig.to_queue.cut();
        traffic(&rig, &ledger).await;
    }
    ledger.settle(world).await.expect_kept();
}
