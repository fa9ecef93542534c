//! Laws of leases: who may work on a group, and what giving it back means.

use super::*;

pub(crate) async fn a_claim_brings_no_more_than_asked_and_says_when_there_is_more(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1, 2, 3]).await;
    bench.schedule(&[later(4, 7)]).await;
    let claim = bench.claim(2).await;
    assert_eq!(claim.leases.len(), 2);
    assert_eq!(claim.next, Some(Duration::ZERO), "one is ready already");
    let claim = bench.claim(2).await;
    assert_eq!(claim.leases.len(), 1);
    about(claim.next, 7);
    bench.schedule(&[later(5, 20)]).await;
    bench.pass(7).await;
    assert_eq!(bench.groups(2).await, [4]);
    // The next thing to happen is that the first leases lapse.
    about(bench.claim(2).await.next, LEASE - 7);
    let empty = Bench::open(open).await;
    assert_eq!(empty.claim(2).await, Claim::default());
}

pub(crate) async fn a_leased_group_is_nobody_elses(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let lease = bench.one().await;
    bench.ready(&[1]).await;
    bench.queue.hasten(&bench.lane, &[1]).await.unwrap();
    assert_eq!(bench.groups(9).await, [] as [Group; 0]);
    assert_eq!(bench.stats().await.leased, 1);
    assert!(bench.extend(lease).await);
}

pub(crate) async fn fences_rise(open: Open) {
    let bench = Bench::open(open).await;
    let mut last = i64::MIN;
    for round in 0..4 {
        bench.ready(&[1, 2, 3]).await;
        let leases = bench.claim(3).await.leases;
        assert_eq!(leases.len(), 3, "round {round}");
        for lease in leases {
            assert!(lease.fence > last);
            last = lease.fence;
            bench.finish(lease, None).await;
        }
    }
}

pub(crate) async fn a_raised_fence_is_passed(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1, 2]).await;
    let first = bench.one().await.fence;
    let seen = first + 1_000_000;
    bench.queue.raise_fence(&bench.lane, seen).await.unwrap();
    bench.queue.raise_fence(&bench.lane, first).await.unwrap();
    assert!(bench.one().await.fence > seen);
}

pub(crate) async fn a_lease_that_is_not_extended_lapses(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let first = bench.one().await;
    bench.pass(LEASE - 1).await;
    assert_eq!(bench.groups(1).await, [] as [Group; 0]);
    bench.pass(1).await;
    assert_eq!(bench.stats().await.leased, 0);
    let second = bench.one().await;
    assert_eq!(second.group, 1);
    assert!(second.fence > first.fence);
}

pub(crate) async fn an_extended_lease_holds(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let lease = bench.one().await;
    for _ in 0..5 {
        bench.pass(LEASE - 1).await;
        assert!(bench.extend(lease).await);
        assert_eq!(bench.groups(1).await, [] as [Group; 0]);
    }
    bench.finish(lease, None).await;
    assert!(!bench.extend(lease).await);
    bench.pass(LEASE * 2).await;
    assert_eq!(bench.groups(1).await, [] as [Group; 0]);
}

pub(crate) async fn a_lapsed_lease_cannot_be_extended(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let lease = bench.one().await;
    bench.pass(LEASE + 1).await;
    // Nobody has claimed the group yet; the lease has lapsed all the same.
    assert!(!bench.extend(lease).await);
    let successor = bench.one().await;
    assert!(!bench.extend(lease).await);
    assert!(bench.extend(successor).await);
}

pub(crate) async fn a_lapsed_lease_finishes_nothing(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let lease = bench.one().await;
    bench.pass(LEASE + 1).await;
    bench.finish(lease, None).await;
    bench.finish(lease, Some(later(1, 50))).await;
    assert_eq!(bench.one().await.group, 1);
}

pub(crate) async fn a_lapsed_lease_finishes_nothing_of_its_successor(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let lease = bench.one().await;
    bench.pass(LEASE + 1).await;
    let successor = bench.one().await;
    bench.finish(lease, None).await;
    bench.finish(lease, Some(normal(1))).await;
    assert_eq!(bench.groups(1).await, [] as [Group; 0]);
    assert!(bench.extend(successor).await);
    bench.finish(successor, None).await;
    bench.finish(lease, Some(normal(1))).await;
    assert_eq!(bench.stats().await.depth, 0);
}

pub(crate) async fn a_lapsed_group_keeps_the_turn_of_its_lapse(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    bench.one().await;
    bench
        .schedule(&[later(2, LEASE + 2), later(3, LEASE - 2)])
        .await;
    bench.pass(LEASE + 4).await;
    assert_eq!(bench.groups(9).await, [3, 1, 2]);
}

pub(crate) async fn a_finished_group_is_gone(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let lease = bench.one().await;
    bench.finish(lease, None).await;
    assert_eq!(bench.stats().await.depth, 0);
    assert_eq!(bench.stats().await.leased, 0);
    bench.pass(LEASE * 2).await;
    assert_eq!(bench.claim(1).await, Claim::default());
    bench.ready(&[1]).await;
    assert_eq!(bench.groups(1).await, [1]);
}

pub(crate) async fn a_finished_group_comes_again_when_it_said(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1, 2]).await;
    let (one, two) = (bench.one().await, bench.one().await);
    bench.finish(one, Some(later(1, 3))).await;
    bench.finish(two, Some(normal(2))).await;
    let claim = bench.claim(9).await;
    assert_eq!(claim.leases.len(), 1);
    assert_eq!(claim.leases[0].group, 2);
    bench.finish(claim.leases[0], None).await;
    about(bench.claim(9).await.next, 3);
    bench.pass(3).await;
    assert_eq!(bench.groups(9).await, [1]);
}

pub(crate) async fn a_wake_up_during_a_lease_makes_the_group_ready_at_its_end(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let lease = bench.one().await;
    bench.ready(&[1]).await;
    bench.finish(lease, None).await;
    let again = bench.one().await;
    assert_eq!(again.group, 1);
    // Once is enough.
    bench.finish(again, None).await;
    assert_eq!(bench.groups(1).await, [] as [Group; 0]);
}

pub(crate) async fn a_wake_up_during_a_lease_does_not_hasten_what_was_put_off(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let lease = bench.one().await;
    bench.ready(&[1]).await;
    bench.finish(lease, Some(retry(1, 4))).await;
    about(bench.claim(1).await.next, 4);
    bench.pass(4).await;
    assert_eq!(bench.groups(1).await, [1]);
}

pub(crate) async fn a_wake_up_during_a_lease_decides_the_priority(open: Open) {
    let bench = Bench::open(open).await;
    bench.schedule(&[bulk(1), normal(2)]).await;
    let leases = bench.claim(2).await.leases;
    let of = |group| *leases.iter().find(|l| l.group == group).unwrap();
    bench.schedule(&[normal(1), bulk(2)]).await;
    bench.finish(of(2), None).await;
    // Its last word was "bulk", but somebody urgent wrote meanwhile.
    bench.finish(of(1), Some(bulk(1))).await;
    assert_eq!(bench.groups(2).await, [1, 2]);
}

pub(crate) async fn a_lane_gives_no_more_leases_than_its_most(open: Open) {
    let most = Limits {
        max_leases: std::num::NonZeroU32::new(2),
        ..limits()
    };
    let bench = Bench::with(open, most).await;
    bench.ready(&[1, 2, 3, 4]).await;
    bench.schedule(&[later(5, 3)]).await;
    let leases = bench.claim(9).await.leases;
    assert_eq!(leases.len(), 2);
    // Two are ready, and nobody can have them now: the next thing to happen is elsewhere.
    let claim = bench.claim(9).await;
    assert_eq!(claim.leases, []);
    about(claim.next, 3);
    bench.finish(leases[0], None).await;
    assert_eq!(bench.groups(9).await, [3]);
    // A lease that lapses frees its place, too.
    bench.pass(LEASE - 1).await;
    assert!(bench.extend(leases[1]).await);
    bench.pass(1).await;
    let claim = bench.claim(9).await;
    assert_eq!(claim.leases.len(), 1);
    assert_eq!(claim.leases[0].group, 4);
    // The media lane has its own count.
    let media = LaneId::media("one");
    bench.queue.schedule(&media, &[normal(1)]).await.unwrap();
    let claim = bench.queue.claim(&media, 9).await.unwrap();
    assert_eq!(claim.leases.len(), 1);
}
