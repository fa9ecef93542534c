//! PostgreSQL goes away: webhooks are spooled, sends refused, receipts kept; and comes back.

use super::ledger::{Ledger, SECRET, back};
use super::rig::{Rig, ledger_world};
use crate::{CUSTOMER, word};
use serde_json::json;
use switchboard_testkit::servers::Way;
use switchboard_testkit::{until, until_within};

/// Customers who write.
const PEOPLE: i64 = 4;
/// Messages of each before the store goes away, while it is away, and after.
const EACH: usize = 5;

/// Announces what a store that is away makes everybody say.
fn announce(rig: &Rig) {
    for part in ["store", "not remembered", "spool"] {
        rig.world.announce_error(part);
    }
}

/// Traffic before, during and after an outage, each customer's messages one after the other.
async fn outage(rig: &Rig, begin: impl FnOnce(&Rig), end: impl FnOnce(&Rig)) {
    announce(rig);
    let world = &rig.world;
    let ledger = Ledger::default();
    ledger.meet(world, 7000..7000 + PEOPLE).await;
    let doors = [world.root()];
    let write = async || {
        for _ in 0..EACH {
            let all = (0..PEOPLE).map(|n| ledger.say(world, &doors, 7000 + n));
            let refused = futures_util::future::join_all(all).await;
            assert_eq!(refused.iter().sum::<usize>(), 0, "a webhook was refused");
        }
    };
    write().await;
    for n in 0..PEOPLE {
        ledger.send(world, &doors, 7000 + n).await;
    }
    begin(rig);
    // Whatever the store says or does not say, platforms get their 200.
    write().await;
    let ready = world.get("/readyz").await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_ne!(word(&ready.json, "store"), "ok");
    assert!(
        word(&ready.json, "spool").contains("wait"),
        "{}",
        ready.text()
    );
    world.get("/healthz").await.expect(200);
    assert_eq!(
        world.metric("switchboard_spool_records").await,
        (PEOPLE as usize * EACH) as f64
    );
    assert!(world.metric("switchboard_spool_bytes").await > 0.0);
    let sent = world
        .text("bot", "7000", "not now", json!({"wait": 0}))
        .await;
    assert_eq!(sent.status, 503, "{}", sent.text());
    assert_eq!(sent.word("response"), "unavailable");
    assert!(sent.header("retry-after").is_some(), "{}", sent.text());
    end(rig);
    // Not a moment's gap: what comes while the spool is replayed queues behind it.
    write().await;
    back("the store to be back", world).await;
    until_within(
        std::time::Duration::from_secs(60),
        "the spool to be empty",
        || async { (world.metric("switchboard_spool_records").await == 0.0).then_some(()) },
    )
    .await;
    write().await;
    for n in 0..PEOPLE {
        ledger.send(world, &doors, 7000 + n).await;
    }
    let report = ledger.settle(world).await;
    report.expect_kept();
    assert_eq!(report.inbound, PEOPLE as usize * EACH * 4, "{report}");
    let ready = world.get("/readyz").await.expect(200);
    assert_eq!(word(&ready.json, "spool"), "empty");
    assert!(
        std::fs::read_dir(world.folder().join("data/spool"))
            .unwrap()
            .count()
            <= 2
    );
}

#[tokio::test]
async fn while_the_store_is_killed_webhooks_are_spooled_and_replayed_in_order() {
    let rig = Rig::start(ledger_world()).await;
    outage(&rig, |rig| rig.store.kill(), |rig| rig.store.restart()).await;
}

#[tokio::test]
async fn while_the_store_is_frozen_webhooks_are_spooled_and_replayed_in_order() {
    let rig = Rig::start(ledger_world()).await;
    outage(&rig, |rig| rig.store.pause(), |rig| rig.store.resume()).await;
}

#[tokio::test]
async fn while_the_store_is_cut_off_webhooks_are_spooled_and_replayed_in_order() {
    let rig = Rig::start(ledger_world()).await;
    outage(&rig, |rig| rig.to_store.refuse(), |rig| rig.to_store.pass()).await;
}

#[tokio::test]
async fn answers_that_never_come_are_doubts_and_nothing_is_doubled() {
    // What the store did, it did; nobody hears of it.
    let rig = Rig::start(ledger_world()).await;
    outage(
        &rig,
        |rig| rig.to_store.stall(Way::Down),
        |rig| rig.to_store.pass(),
    )
    .await;
}

#[tokio::test]
async fn connections_that_are_cut_or_half_closed_cost_nothing() {
    let rig = Rig::start(ledger_world()).await;
    announce(&rig);
    let world = &rig.world;
    let ledger = Ledger::default();
    ledger.meet(world, 7000..7000 + PEOPLE).await;
    let doors = [world.root()];
    for round in 0..12 {
        match round % 3 {
            0 => rig.to_store.cut(),
            1 => rig.to_store.half_close(Way::Up),
            _ => rig.to_store.half_close(Way::Down),
        }
        for n in 0..PEOPLE {
            ledger.say(world, &doors, 7000 + n).await;
            ledger.send(world, &doors, 7000 + n).await;
        }
    }
    ledger.settle(world).await.expect_kept();
}

#[tokio::test]
async fn a_worker_keeps_its_receipt_until_the_store_takes_it() {
    let rig = Rig::start(ledger_world()).await;
    announce(&rig);
    let world = &rig.world;
    let bot = world.emulator("bot");
    bot.say("hi").await;
    world.quiet().await;
    // The platform takes it, and its answer comes when the store is away.
    bot.fault(json!({"fault": "delay", "ms": 1500, "count": 1, "path_contains": "sendMessage"}))
        .await;
    let id = world.text_later("bot", CUSTOMER, "kept").await;
    bot.sends_when(1).await;
    rig.to_store.refuse();
    // Longer than a lease: it is renewed in the queue, which answers.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    rig.to_store.pass();
    back("the store to be back", world).await;
    world.message_when(&id, "sent").await;
    world.quiet().await;
    assert_eq!(
        bot.texts().await,
        ["kept"],
        "sent once, although its receipt came late"
    );
}

#[tokio::test]
async fn killed_with_a_spool_it_replays_at_the_next_start() {
    let rig = Rig::start(ledger_world()).await;
    announce(&rig);
    let world = &rig.world;
    let ledger = Ledger::default();
    ledger.meet(world, 7000..7000 + PEOPLE).await;
    let doors = [world.root()];
    rig.to_store.refuse();
    for _ in 0..EACH {
        for n in 0..PEOPLE {
            assert_eq!(ledger.say(world, &doors, 7000 + n).await, 0);
        }
    }
    world.kill();
    // The machine went down in the middle of a write.
    let mut segments: Vec<_> = std::fs::read_dir(world.folder().join("data/spool"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "spool"))
        .collect();
    segments.sort();
    let last = segments.last().expect("a segment");
    let mut bytes = std::fs::read(last).unwrap();
    let torn = bytes.get(24..70).unwrap().to_vec();
    bytes.extend(torn);
    std::fs::write(last, bytes).unwrap();
    rig.to_store.pass();
    world.restart().await;
    let report = ledger.settle(world).await;
    report.expect_kept();
    assert_eq!(report.inbound, PEOPLE as usize * EACH);
    until("the torn end to be reported", || async {
        let log = world.log();
        log.iter()
            .any(|l| l.contains("torn end was cut off"))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_spool_acknowledges_nothing_more() {
    let rig = Rig::start(ledger_world().set("spool.max_bytes", json!(1_048_576))).await;
    announce(&rig);
    let world = &rig.world;
    rig.to_store.refuse();
    let filling = "x".repeat(60_000);
    let post = async |n: i64| {
        let body = json!({"update_id": 5_000 + n, "message": {
            "message_id": 100 + n, "date": 1_760_000_000, "text": format!("kept {n} {filling}"),
            "chat": {"id": 777, "type": "private"},
            "from": {"id": 777, "is_bot": false, "first_name": "Robin"},
        }});
        let request = world
            .client()
            .post(format!("{}/webhooks/bot", world.root()))
            .header("x-telegram-bot-api-secret-token", SECRET)
            .json(&body);
        world.send(request).await
    };
    let mut kept = Vec::new();
    let refused = loop {
        let n = kept.len() as i64;
        let answer = post(n).await;
        match answer.status {
            200 => kept.push(n),
            _ => break answer,
        }
        assert!(n < 100, "it never gets full");
    };
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert!(kept.len() >= 10, "{} fit", kept.len());
    let ready = world.get("/readyz").await;
    assert!(
        word(&ready.json, "spool").contains("full"),
        "{}",
        ready.text()
    );
    rig.to_store.pass();
    back("the store to be back", world).await;
    let told = world.backend().wait("new-messages", kept.len()).await;
    assert_eq!(told.len(), kept.len());
    // The platform repeats what was refused.
    until("room", || async {
        (post(kept.len() as i64).await.status == 200).then_some(())
    })
    .await;
    world.quiet().await;
    let told = world.backend().named("message-sent");
    let told: Vec<i64> = told
        .iter()
        .map(|e| {
            e.word("message")
                .split(' ')
                .nth(1)
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    kept.push(kept.len() as i64);
    assert_eq!(told, kept, "in order, each once");
}

#[tokio::test]
async fn a_second_process_on_the_same_spool_is_refused() {
    let rig = Rig::start(ledger_world()).await;
    // The same configuration, the same folder; only the port differs.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = free.local_addr().unwrap().to_string();
    drop(free);
    let second = rig
        .world
        .run_with(
            &["serve", "--role", "api"],
            &[("SWITCHBOARD__SERVER__LISTEN", &listen)],
        )
        .await;
    assert_eq!(second.code, Some(2), "{second:?}");
    assert!(second.stderr.contains("spool.path"), "{second:?}");
    assert!(second.stderr.contains("another process"), "{second:?}");
}
