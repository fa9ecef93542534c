//! Laws of the token buckets, of what a lane tells of itself, and of waiting for it.

use super::*;

/// Two tokens a unit with a burst of four for the lane, one a unit with two for a recipient.
fn limited() -> Limits {
    let per_second = 1.0 / UNIT.as_secs_f64();
    Limits {
        rate: Rate::new(2.0 * per_second, 4),
        recipient: Some(Rate::new(per_second, 2)),
        ..limits()
    }
}

pub(crate) async fn the_lanes_bucket_is_shared(open: Open) {
    let bench = Bench::with(open, limited()).await;
    for recipient in 1..=4 {
        assert_eq!(bench.take(recipient, 1).await, Ok(()));
    }
    assert!(bench.take(5, 1).await.is_err());
    bench.pass(1).await;
    assert_eq!(bench.take(5, 1).await, Ok(()));
    assert_eq!(bench.take(6, 1).await, Ok(()));
    assert!(bench.take(7, 1).await.is_err());
    bench.pass(50).await;
    // After a rest the whole burst is there, and no more.
    assert_eq!(bench.take(8, 2).await, Ok(()));
    assert_eq!(bench.take(9, 2).await, Ok(()));
    assert!(bench.take(10, 1).await.is_err());
}

pub(crate) async fn a_recipients_bucket_is_its_own(open: Open) {
    let bench = Bench::with(open, limited()).await;
    assert_eq!(bench.take(1, 2).await, Ok(()));
    about(refused(bench.take(1, 1).await), 1);
    assert_eq!(bench.take(2, 1).await, Ok(()));
    bench.pass(1).await;
    assert_eq!(bench.take(1, 1).await, Ok(()));
}

pub(crate) async fn tokens_are_taken_all_or_none(open: Open) {
    let bench = Bench::with(open, limited()).await;
    assert_eq!(bench.take(1, 2).await, Ok(()));
    // Refused for the recipient's sake: the lane's tokens stay.
    for _ in 0..5 {
        assert!(bench.take(1, 1).await.is_err());
    }
    assert_eq!(bench.take(2, 2).await, Ok(()));
    // Refused for the lane's sake: the recipient's tokens stay.
    for _ in 0..5 {
        assert!(bench.take(3, 2).await.is_err());
    }
    bench.pass(1).await;
    assert_eq!(bench.take(3, 2).await, Ok(()));
}

pub(crate) async fn a_refused_take_says_when_it_will_be_granted(open: Open) {
    let bench = Bench::with(open, limited()).await;
    assert_eq!(bench.take(1, 2).await, Ok(()));
    assert_eq!(bench.take(2, 2).await, Ok(()));
    // The lane has a token again in half a unit, the recipient two in two.
    about(refused(bench.take(1, 2).await), 2);
    bench.pass(2).await;
    assert_eq!(bench.take(1, 2).await, Ok(()));
}

/// How long a refusal says to wait.
fn refused(take: Result<(), Refused>) -> Option<std::time::Duration> {
    match take {
        Err(Refused::Wait(wait)) => Some(wait),
        _ => None,
    }
}

pub(crate) async fn a_closed_lane_hands_out_nothing(open: Open) {
    let bench = Bench::with(open, limited()).await;
    bench.queue.pause(&bench.lane, true).await.unwrap();
    assert_eq!(bench.take(1, 1).await, Err(Refused::Closed));
    bench.queue.pause(&bench.lane, false).await.unwrap();
    bench.queue.rest(&bench.lane, UNIT * 3).await.unwrap();
    assert_eq!(bench.take(1, 1).await, Err(Refused::Closed));
    bench.pass(3).await;
    // Nothing was taken meanwhile.
    assert_eq!(bench.take(1, 2).await, Ok(()));
}

pub(crate) async fn stats_tell_how_the_lane_is(open: Open) {
    let bench = Bench::open(open).await;
    assert_eq!(bench.stats().await, super::super::LaneStats::default());
    bench.ready(&[1, 2]).await;
    bench.schedule(&[later(4, 3), later(5, 99)]).await;
    let lease = bench.one().await;
    bench.pass(4).await;
    let stats = bench.stats().await;
    assert_eq!((stats.depth, stats.leased), (3, 1));
    assert!(!stats.paused && stats.resting.is_none());
    let oldest = stats.oldest_ready.unwrap();
    assert!(oldest >= UNIT * 4 && oldest < UNIT * 5, "{oldest:?}");
    assert_eq!(bench.groups(1).await, [2]);
    bench.finish(lease, None).await;
    let stats = bench.stats().await;
    assert_eq!((stats.depth, stats.leased), (2, 1));
    let oldest = stats.oldest_ready.unwrap();
    assert!(oldest >= UNIT && oldest < UNIT * 2, "{oldest:?}");
}

/// How long anything may take that should come at once.
const SOON: Duration = Duration::from_secs(10);

/// Waits without a limit; meanwhile something happens that must end the wait.
async fn woken(bench: &Bench, happens: impl Future<Output = ()>) {
    // What happened before may have left a wake-up behind.
    bench.queue.wait(&bench.lane, Some(UNIT)).await;
    let wait = bench.queue.wait(&bench.lane, None);
    let both = async {
        tokio::join!(wait, async {
            tokio::task::yield_now().await;
            happens.await;
        })
    };
    tokio::time::timeout(SOON, both).await.expect("a wake-up");
}

pub(crate) async fn waiting_ends_when_something_is_scheduled(open: Open) {
    let bench = Bench::open(open).await;
    woken(&bench, bench.ready(&[1])).await;
    woken(&bench, async {
        bench.queue.hasten(&bench.lane, &[2]).await.unwrap();
    })
    .await;
}

pub(crate) async fn waiting_ends_when_a_lease_is_given_back(open: Open) {
    let bench = Bench::open(open).await;
    bench.ready(&[1]).await;
    let lease = bench.one().await;
    woken(&bench, bench.finish(lease, Some(later(1, 1)))).await;
}

pub(crate) async fn waiting_ends_when_a_lease_of_a_full_lane_is_given_back(open: Open) {
    let one = Limits {
        max_leases: std::num::NonZeroU32::MIN.into(),
        ..limits()
    };
    let bench = Bench::with(open, one).await;
    bench.ready(&[1, 2]).await;
    let lease = bench.one().await;
    assert_eq!(bench.groups(1).await, [] as [Group; 0]);
    woken(&bench, bench.finish(lease, None)).await;
    assert_eq!(bench.groups(1).await, [2]);
}

pub(crate) async fn waiting_ends_when_the_lane_is_resumed(open: Open) {
    let bench = Bench::open(open).await;
    bench.queue.pause(&bench.lane, true).await.unwrap();
    woken(&bench, async {
        bench.queue.pause(&bench.lane, false).await.unwrap();
    })
    .await;
}

pub(crate) async fn waiting_ends_when_it_is_nudged(open: Open) {
    let bench = Bench::open(open).await;
    woken(&bench, async { bench.queue.nudge(&bench.lane) }).await;
}

pub(crate) async fn a_wake_up_before_the_wait_is_not_lost(open: Open) {
    let bench = Bench::open(open).await;
    // A runner that looked, found nothing and is about to wait.
    assert_eq!(bench.claim(1).await, Claim::default());
    bench.ready(&[1]).await;
    let wait = bench.queue.wait(&bench.lane, None);
    tokio::time::timeout(SOON, wait).await.expect("a wake-up");
}

pub(crate) async fn waiting_ends_when_its_time_is_over(open: Open) {
    let bench = Bench::open(open).await;
    // It may wake for nothing when a waiter is new, but nothing happens here again and again.
    for _ in 0..9 {
        let started = tokio::time::Instant::now();
        bench.queue.wait(&bench.lane, Some(UNIT * 2)).await;
        assert!(started.elapsed() < SOON);
        if started.elapsed() >= UNIT * 2 {
            return;
        }
    }
    panic!("no wait lasts");
}

pub(crate) async fn it_answers(open: Open) {
    let bench = Bench::open(open).await;
    bench.queue.ping().await.unwrap();
}
