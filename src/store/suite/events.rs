//! Events on their way to the receivers: in order, until taken or given up.

use super::*;
use crate::store::deliveries::{self, Delivery};
use crate::store::upkeep;

impl Bench {
    async fn load(&self, webhook: &'static str, group: i64) -> Vec<Delivery> {
        self.read(move |tx| at_once(deliveries::load(tx, webhook, group)))
            .await
    }

    async fn done(&self, webhook: &'static str, event: i64) {
        let told = [deliveries::Told {
            webhook: webhook.into(),
            event,
        }];
        self.unit(move |tx, unit| at_once(deliveries::done(tx, unit, &told)))
            .await;
    }

    pub(super) async fn refused(&self, event: i64, next_at: Option<i64>) {
        self.unit(move |tx, unit| {
            let next = next_at.map(Millis);
            at_once(deliveries::failed(tx, unit, "backend", event, "503", next))
        })
        .await;
    }
}

#[tokio::test]
async fn events_of_a_conversation_come_in_order_and_once() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    bench.came(wrote("bob", "m2")).await;
    bench.came(wrote("ann", "m3")).await;
    let all = bench.load("backend", 1).await;
    let names: Vec<&str> = all.iter().map(|d| d.function.as_str()).collect();
    let wanted = [
        "new-conversation-created",
        "message-sent",
        "new-messages",
        "message-sent",
        "new-messages",
    ];
    assert_eq!(names, wanted);
    assert!(all.is_sorted_by_key(|d| d.event));
    assert!(all.iter().all(|d| d.attempts == 0 && d.first_at.is_none()));
    bench.done("backend", all[0].event).await;
    let rest = bench.load("backend", 1).await;
    assert_eq!(rest.len(), 4);
    assert_eq!(rest[0].uid, all[1].uid);
    assert_eq!(bench.load("backend", 2).await.len(), 3);
    assert!(bench.load("nobody", 1).await.is_empty());
}

#[tokio::test]
async fn receivers_are_apart() {
    let bench = Bench::with(vec![receiver("backend", &[]), receiver("log", &[])]).await;
    bench.came(wrote("ann", "m1")).await;
    let (ours, theirs) = (bench.load("backend", 1).await, bench.load("log", 1).await);
    let uids = |all: &[Delivery]| all.iter().map(|d| d.uid.clone()).collect::<Vec<_>>();
    assert_eq!(uids(&ours), uids(&theirs), "one event, one id");
    bench.done("backend", ours[0].event).await;
    bench.refused(ours[1].event, None).await;
    assert_eq!(bench.load("backend", 1).await.len(), 1);
    assert_eq!(bench.load("log", 1).await.len(), 3);
}

#[tokio::test]
async fn a_failed_event_keeps_its_place_its_id_and_its_first_time() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    let first = bench.load("backend", 1).await.remove(0);
    bench.refused(first.event, Some(T0 + 100)).await;
    bench.pass(100);
    bench.refused(first.event, Some(T0 + 400)).await;
    let again = bench.load("backend", 1).await.remove(0);
    assert_eq!((&again.uid, again.event), (&first.uid, first.event));
    assert_eq!((again.attempts, again.first_at), (2, Some(Millis(T0))));
    assert_eq!(again.data, first.data, "frozen when written");
    let due = bench.read(|tx| at_once(upkeep::due_deliveries(tx, "backend", -1)));
    let due = due.await;
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].next_at, due[0].retry), (Millis(T0 + 400), true));
}

#[tokio::test]
async fn a_given_up_event_lets_the_next_one_through() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    let all = bench.load("backend", 1).await;
    bench.refused(all[0].event, None).await;
    let rest = bench.load("backend", 1).await;
    assert_eq!(rest[0].event, all[1].event);
    for delivery in rest {
        bench.done("backend", delivery.event).await;
    }
    let due = bench.read(|tx| at_once(upkeep::due_deliveries(tx, "backend", -1)));
    assert_eq!(due.await, []);
}

#[tokio::test]
async fn a_long_queue_is_read_in_bites() {
    let bench = Bench::open().await;
    for n in 0..12 {
        bench.came(wrote("ann", &format!("m{n}"))).await;
    }
    let mut seen = Vec::new();
    loop {
        let bite = bench.load("backend", 1).await;
        assert!(bite.len() <= 16);
        if bite.is_empty() {
            break;
        }
        for delivery in bite {
            bench.done("backend", delivery.event).await;
            seen.push(delivery.event);
        }
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn the_events_of_channels_have_a_group_of_their_own() {
    let bench = Bench::open().await;
    let pause = |lane: &'static str| {
        bench.unit(move |tx, unit| at_once(upkeep::pause(tx, unit, lane, "credentials", "expired")))
    };
    assert!(pause("bot").await.0);
    assert!(!pause("bot").await.0, "once is enough");
    // Lanes of our own making are nobody else's business.
    assert!(pause("media:bot").await.0);
    let paused = bench.read(|tx| at_once(upkeep::paused(tx))).await;
    let lanes: Vec<&str> = paused.iter().map(|p| p.lane.as_str()).collect();
    assert_eq!(lanes, ["bot", "media:bot"]);
    let resume = || bench.unit(|tx, unit| at_once(upkeep::resume(tx, unit, "bot")));
    assert!(resume().await.0);
    assert!(!resume().await.0);
    let told = bench.load("backend", 0).await;
    let names: Vec<&str> = told.iter().map(|d| d.function.as_str()).collect();
    assert_eq!(names, ["channel-paused", "channel-resumed"]);
    let due = bench.read(|tx| at_once(upkeep::due_deliveries(tx, "backend", -1)));
    assert_eq!(due.await[0].group, 0);
}
