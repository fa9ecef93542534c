//! Laws of what is due and in which order.

use super::*;
use std::collections::BTreeSet;

pub(crate) async fn scheduled_twice_is_scheduled_once(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1, 1]).await;
    bench.ready(&[1]).await;
    assert_eq!(bench.stats().await.depth, 1);
    assert_eq!(bench.groups(10).await, [1]);
    assert_eq!(bench.groups(10).await, [] as [Group; 0]);
}

pub(crate) async fn groups_come_in_the_order_in_which_they_became_due(open: Open) {
    let bench = Bench::open(open).await;
    bench
        .schedule(&[later(1, 3), later(2, 1), later(3, 2)])
        .await;
    bench.ready(&[5, 4]).await;
    assert_eq!(bench.groups(1).await, [5]);
    bench.pass(4).await;
    // Nobody looked while they became due; their order is that of their times all the same.
    bench.ready(&[6]).await;
    assert_eq!(bench.groups(10).await, [4, 2, 3, 1, 6]);
}

pub(crate) async fn a_new_message_does_not_hasten_what_was_put_off(open: Open) {
    let bench = Bench::open(open).await;
    bench.schedule(&[later(1, 4)]).await;
    bench.ready(&[1]).await;
    bench.schedule(&[later(1, 1), later(1, 9)]).await;
    let claim = bench.claim(1).await;
    assert_eq!(claim.leases, []);
    about(claim.next, 4);
    bench.pass(3).await;
    assert_eq!(bench.groups(1).await, [] as [Group; 0]);
    bench.pass(1).await;
    assert_eq!(bench.groups(1).await, [1]);
}

pub(crate) async fn an_urgent_message_makes_its_group_urgent_where_it_stands(open: Open) {
    let bench = Bench::open(open).await;
    bench.schedule(&[bulk(1), bulk(2)]).await;
    bench.ready(&[3]).await;
    bench.ready(&[2]).await;
    // Less urgent news takes nothing away.
    bench.schedule(&[bulk(3), bulk(2)]).await;
    assert_eq!(bench.groups(3).await, [2, 3, 1]);
}

pub(crate) async fn an_urgent_message_makes_a_group_urgent_that_waits(open: Open) {
    let bench = Bench::open(open).await;
    let put_off = |group| Due::after(group, UNIT, Priority::Bulk);
    bench.schedule(&[put_off(1), put_off(2)]).await;
    bench.ready(&[2]).await;
    bench.pass(1).await;
    assert_eq!(bench.groups(2).await, [2, 1]);
}

pub(crate) async fn urgent_groups_go_first(open: Open) {
    let bench = Bench::open(open).await;
    bench.schedule(&[bulk(1), bulk(2), normal(3)]).await;
    bench.ready(&[4]).await;
    assert_eq!(bench.groups(3).await, [3, 4, 1]);
}

pub(crate) async fn every_eighth_claim_takes_the_oldest_bulk_group(open: Open) {
    let bench = Bench::open(open).await;
    let due: Vec<Due> = (1..=40).map(bulk).chain((101..=140).map(normal)).collect();
    bench.schedule(&due).await;
    let mut came = Vec::new();
    while came.len() < 32 {
        // In bites of several sizes: the count goes over claims.
        came.extend(bench.groups(1 + came.len() % 5).await);
    }
    let turns: Vec<usize> = (0..came.len()).filter(|i| came[*i] < 100).collect();
    let gaps: Vec<usize> = turns.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(turns[0] < 8, "the first bulk group came at {}", turns[0]);
    assert!(gaps.iter().all(|gap| *gap == 8), "{turns:?}");
    let bulk: Vec<Group> = came.iter().copied().filter(|g| *g < 100).collect();
    let normal: Vec<Group> = came.iter().copied().filter(|g| *g > 100).collect();
    assert!(bulk.is_sorted() && normal.is_sorted(), "{came:?}");
}

pub(crate) async fn looking_in_vain_does_not_move_the_turn_of_the_bulk_groups(open: Open) {
    let bench = Bench::open(open).await;
    let mut calm = Vec::new();
    for _ in 0..2 {
        let due: Vec<Due> = (1..=2).map(bulk).chain((101..=114).map(normal)).collect();
        bench.schedule(&due).await;
        let mut round = Vec::new();
        while round.len() < 16 {
            let lease = bench.one().await;
            round.push(lease.group < 100);
            bench.finish(lease, None).await;
        }
        assert_eq!(bench.groups(3).await, [] as [Group; 0]);
        assert_eq!(bench.groups(1).await, [] as [Group; 0]);
        calm.push(round);
    }
    assert_eq!(calm[0], calm[1]);
}

pub(crate) async fn bulk_goes_when_nothing_else_waits(open: Open) {
    let bench = Bench::open(open).await;
    bench.schedule(&[bulk(1), bulk(2), bulk(3)]).await;
    assert_eq!(bench.groups(2).await, [1, 2]);
    assert_eq!(bench.groups(2).await, [3]);
}

pub(crate) async fn hastened_groups_are_ready_at_once(open: Open) {
    let bench = Bench::open(open).await;
    bench.schedule(&[later(1, 50), retry(2, 60)]).await;
    bench.ready(&[3]).await;
    let hasten = bench.queue.hasten(&bench.lane, &[2, 3, 4]).await;
    hasten.unwrap();
    let came: BTreeSet<Group> = bench.groups(9).await.into_iter().collect();
    assert_eq!(came, BTreeSet::from([2, 3, 4]), "only what was named");
}

pub(crate) async fn lanes_are_apart(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let (media, events) = (LaneId::media("one"), LaneId::events("hook"));
    bench.queue.pause(&bench.lane, true).await.unwrap();
    bench.queue.schedule(&media, &[normal(1)]).await.unwrap();
    bench.queue.rest(&events, UNIT).await.unwrap();
    for _ in 0..FAILURES {
        let outcome = super::super::Outcome::Failed;
        bench.queue.report(&events, outcome).await.unwrap();
    }
    let claim = bench.queue.claim(&media, 9).await.unwrap();
    assert_eq!(claim.leases.len(), 1);
    assert_eq!(bench.queue.stats(&events).await.unwrap().depth, 0);
    assert!(!bench.queue.stats(&media).await.unwrap().paused);
    assert_eq!(bench.queue.stats(&media).await.unwrap().resting, None);
}

pub(crate) async fn an_unknown_lane_is_an_error(open: Open) {
    let bench = Bench::open(open).await;
    let nowhere = LaneId::channel("nowhere");
    assert!(bench.queue.schedule(&nowhere, &[normal(1)]).await.is_err());
    assert!(bench.queue.claim(&nowhere, 1).await.is_err());
    assert!(bench.queue.stats(&nowhere).await.is_err());
    // Whoever waits there is not kept for ever.
    bench.queue.wait(&nowhere, None).await;
}

pub(crate) async fn nothing_is_lost_in_a_crowd(open: Open) {
    const GROUPS: Group = 60;
    let bench = Arc::new(Bench::open(open).await);
    let schedule = |from: Group| {
        let bench = Arc::clone(&bench);
        async move {
            for group in (from..=GROUPS).step_by(3) {
                bench.ready(&[group]).await;
                tokio::task::yield_now().await;
            }
        }
    };
    let work = || {
        let bench = Arc::clone(&bench);
        async move {
            let mut worked = Vec::new();
            for _ in 0..GROUPS {
                for lease in bench.claim(2).await.leases {
                    tokio::task::yield_now().await;
                    worked.push(lease.group);
                    bench.finish(lease, None).await;
                }
                tokio::task::yield_now().await;
            }
            worked
        }
    };
    let ((), (), (), a, b) = tokio::join!(schedule(1), schedule(2), schedule(3), work(), work());
    let mut worked = [a, b, bench.groups(100).await].concat();
    worked.sort_unstable();
    assert_eq!(worked, (1..=GROUPS).collect::<Vec<_>>());
}
