//! Laws of rest, pause and breaker.

use super::super::Outcome;
use super::*;

pub(crate) async fn a_resting_lane_gives_nothing(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    bench.queue.rest(&bench.lane, UNIT * 4).await.unwrap();
    let claim = bench.claim(1).await;
    assert_eq!(claim.leases, []);
    about(claim.next, 4);
    about(bench.stats().await.resting, 4);
    bench.pass(4).await;
    assert_eq!(bench.stats().await.resting, None);
    assert_eq!(bench.groups(1).await, [1]);
}

pub(crate) async fn the_later_end_of_two_rests_wins(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    bench.queue.rest(&bench.lane, UNIT * 4).await.unwrap();
    bench.queue.rest(&bench.lane, UNIT).await.unwrap();
    about(bench.claim(1).await.next, 4);
    bench.queue.rest(&bench.lane, UNIT * 6).await.unwrap();
    about(bench.claim(1).await.next, 6);
}

pub(crate) async fn a_paused_lane_gives_nothing_until_it_is_resumed(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let lease = bench.one().await;
    bench.queue.pause(&bench.lane, true).await.unwrap();
    bench.queue.pause(&bench.lane, true).await.unwrap();
    bench.ready(&[2]).await;
    assert!(bench.stats().await.paused);
    assert_eq!(bench.claim(9).await, Claim::default());
    // What is under way goes on.
    assert!(bench.extend(lease).await);
    bench.finish(lease, None).await;
    bench.pass(100).await;
    assert_eq!(bench.claim(9).await, Claim::default());
    bench.queue.pause(&bench.lane, false).await.unwrap();
    assert!(!bench.stats().await.paused);
    assert_eq!(bench.groups(9).await, [2]);
}

pub(crate) async fn resuming_forgets_rest_and_breaker(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1, 2]).await;
    bench.schedule(&[retry(3, 90), later(4, 90)]).await;
    fail(&bench, FAILURES).await;
    bench.queue.pause(&bench.lane, true).await.unwrap();
    bench.queue.pause(&bench.lane, false).await.unwrap();
    assert_eq!(bench.stats().await.resting, None);
    assert_eq!(bench.groups(9).await, [1, 2, 3]);
    // The count begins anew, too.
    assert!(!bench.report(Outcome::Failed).await);
}

async fn fail(bench: &Bench, times: u32) {
    for n in 1..=times {
        assert_eq!(bench.report(Outcome::Failed).await, n == FAILURES, "{n}");
    }
}

pub(crate) async fn failures_in_a_row_open_the_breaker(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    fail(&bench, FAILURES - 1).await;
    assert_eq!(bench.stats().await.resting, None);
    assert!(bench.report(Outcome::Failed).await);
    about(bench.stats().await.resting, REST);
    let claim = bench.claim(1).await;
    assert_eq!(claim.leases, []);
    about(claim.next, REST);
    bench.pass(REST).await;
    assert_eq!(bench.groups(1).await, [1]);
}

pub(crate) async fn a_success_starts_the_count_anew(open: Open) {
    let bench = Bench::open(open).await;
    for _ in 0..3 {
        fail(&bench, FAILURES - 1).await;
        assert!(!bench.report(Outcome::Works).await);
    }
    assert_eq!(bench.stats().await.resting, None);
}

/// A lane whose rest after the breaker has just ended, with these groups ready.
async fn probing(open: Open, groups: &[Group]) -> Bench {
    let bench = Bench::open(open).await;
    fail(&bench, FAILURES).await;
    bench.ready(groups).await;
    bench.pass(REST).await;
    bench
}

pub(crate) async fn a_probe_goes_alone_until_it_succeeds(open: Open) {
    let bench = probing(open, &[1, 2, 3]).await;
    let claim = bench.claim(9).await;
    assert_eq!(claim.leases.len(), 1);
    assert_ne!(claim.next, Some(Duration::ZERO), "there is nothing to get");
    assert_eq!(bench.groups(9).await, [] as [Group; 0]);
    assert!(!bench.report(Outcome::Works).await);
    assert_eq!(bench.groups(9).await, [2, 3]);
}

pub(crate) async fn a_probe_that_fails_lets_the_lane_rest_again(open: Open) {
    let bench = probing(open, &[1, 2]).await;
    for _ in 0..3 {
        let probe = bench.one().await;
        // One failure is enough now.
        assert!(bench.report(Outcome::Failed).await);
        bench.finish(probe, Some(normal(probe.group))).await;
        let claim = bench.claim(9).await;
        assert_eq!(claim.leases, []);
        about(claim.next, REST);
        bench.pass(REST).await;
    }
}

pub(crate) async fn a_probe_without_a_verdict_is_followed_by_another(open: Open) {
    let bench = probing(open, &[1, 2]).await;
    let probe = bench.one().await;
    bench.finish(probe, None).await;
    assert_eq!(bench.groups(9).await, [2]);
}

pub(crate) async fn a_probe_that_lapses_is_followed_by_another(open: Open) {
    let bench = probing(open, &[1, 2]).await;
    let probe = bench.one().await;
    bench.pass(LEASE - 1).await;
    assert_eq!(bench.groups(9).await, [] as [Group; 0]);
    bench.pass(1).await;
    let next = bench.claim(9).await.leases;
    assert_eq!(next.len(), 1);
    bench.finish(probe, None).await;
    assert_eq!(bench.groups(9).await, [] as [Group; 0]);
}

pub(crate) async fn an_old_lease_neither_ends_nor_doubles_the_probe(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1, 2]).await;
    let (old, older) = (bench.one().await, bench.one().await);
    fail(&bench, FAILURES).await;
    bench.ready(&[3, 4]).await;
    bench.pass(REST).await;
    let probe = bench.one().await;
    bench.finish(old, None).await;
    assert_eq!(bench.groups(9).await, [] as [Group; 0]);
    // A request from before the breaker opened fails only now: the lane rests longer, and when it
    // has rested, the probe is still the only one.
    assert!(bench.report(Outcome::Failed).await);
    bench.finish(older, None).await;
    assert!(bench.extend(probe).await);
    bench.pass(REST).await;
    assert_eq!(bench.groups(9).await, [] as [Group; 0]);
    bench.finish(probe, None).await;
    assert_eq!(bench.groups(9).await, [4]);
}

pub(crate) async fn success_makes_the_waiting_retries_ready(open: Open) {
    let bench = Bench::open(open).await;
    bench
        .schedule(&[retry(1, 92), retry(2, 91), later(3, 90)])
        .await;
    // Outside the breaker a success hastens nothing.
    bench.report(Outcome::Works).await;
    assert_eq!(bench.groups(9).await, [] as [Group; 0]);
    fail(&bench, FAILURES).await;
    bench.ready(&[4]).await;
    bench.pass(REST).await;
    assert_eq!(bench.groups(9).await, [4]);
    bench.report(Outcome::Works).await;
    assert_eq!(bench.groups(9).await, [2, 1]);
}
