//! The suite and the model over a real Redis, and what only a queue behind a socket can get wrong.
//!
//! For the laws the clock of the scripts is a key that stands still until a law moves it; everything
//! else here runs on the server's own.

use super::super::suite::{Clock, Lanes, every_law, limits};
use super::super::{Priority, model_test};
use super::*;
use crate::queue::gcra::Rate;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use std::sync::OnceLock;
use switchboard_testkit::servers::{Proxy, RedisServer, Way};
use switchboard_testkit::{DEADLINE, until};

/// One server for all tests of this binary; each test has a prefix of its own.
fn server() -> &'static RedisServer {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    SERVER.get_or_init(RedisServer::start)
}

/// No sleeper looks without being woken, so that a test sees whether it is.
const NEVER: Duration = Duration::from_secs(3600);

fn own() -> Options {
    Options {
        prefix: format!("{}:", uuid::Uuid::new_v4().simple()),
        recheck: NEVER,
    }
}

/// A clock that stands still: a key.
struct Still {
    queue: Arc<RedisQueue>,
    key: String,
}

impl Still {
    async fn move_by(&self, micros: i64) {
        let (mut connection, _) = self.queue.link.connection().unwrap();
        let mut add = cmd("INCRBY");
        add.arg(&self.key).arg(micros);
        add.exec_async(&mut connection).await.unwrap();
    }
}

#[async_trait]
impl Clock for Still {
    async fn advance(&self, by: Duration) {
        self.move_by(i64::try_from(by.as_micros()).unwrap()).await;
    }
}

async fn still(lanes: Lanes) -> (Arc<RedisQueue>, Still) {
    let options = own();
    let key = format!("{}clock", options.prefix);
    let script = format!("local function clock() return tonumber(redis.call('GET', '{key}')) end");
    let url = server().url();
    let queue = RedisQueue::with_clock(&url, lanes, options, &script);
    let queue = queue.await.unwrap();
    let clock = Still {
        queue: Arc::clone(&queue),
        key,
    };
    clock.advance(Duration::from_secs(1_700_000_000)).await;
    (queue, clock)
}

fn open(lanes: Lanes) -> BoxFuture<'static, (Arc<dyn Queue>, Arc<dyn Clock>)> {
    Box::pin(async {
        let (queue, clock) = still(lanes).await;
        (queue as Arc<dyn Queue>, Arc::new(clock) as Arc<dyn Clock>)
    })
}

every_law!(open => #[tokio::test]);

#[test]
fn it_does_what_its_model_does() {
    model_test::check(120, open, || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    });
}

fn lane() -> LaneId {
    LaneId::channel("one")
}

fn due(group: Group) -> Due {
    Due::now(group, Priority::Normal)
}

/// A queue on the server's own clock.
async fn at(url: &str, options: &Options) -> Arc<RedisQueue> {
    let lanes = [(lane(), limits())];
    RedisQueue::open(url, lanes, options.clone()).await.unwrap()
}

/// Sleeps, woken by others alone, until there is a group.
async fn await_group(queue: &RedisQueue) -> Lease {
    loop {
        if let Ok(claim) = queue.claim(&lane(), 1).await
            && let Some(lease) = claim.leases.first()
        {
            return *lease;
        }
        let lane = lane();
        let wait = queue.wait(&lane, None);
        let woken = tokio::time::timeout(DEADLINE, wait).await;
        woken.expect("a wake-up");
    }
}

#[tokio::test]
async fn other_processes_are_woken() {
    let (url, options) = (server().url(), own());
    let (one, other) = (at(&url, &options).await, at(&url, &options).await);
    // In the first rounds the other may look because it has just begun to listen.
    for group in 1..=20 {
        let (lease, ()) = tokio::join!(await_group(&other), async {
            tokio::task::yield_now().await;
            one.schedule(&lane(), &[due(group)]).await.unwrap();
        });
        assert_eq!(lease.group, group);
        // Scheduled meanwhile: given back, it is ready at once, and whoever sleeps hears of it.
        one.schedule(&lane(), &[due(group)]).await.unwrap();
        let (lease, ()) = tokio::join!(await_group(&one), async {
            tokio::task::yield_now().await;
            other.finish(&lane(), lease, None).await.unwrap();
        });
        assert_eq!(lease.group, group);
        one.finish(&lane(), lease, None).await.unwrap();
        let after = Due::retry(group, NEVER, Priority::Normal);
        one.schedule(&lane(), &[after]).await.unwrap();
        one.pause(&lane(), true).await.unwrap();
        let (lease, ()) = tokio::join!(await_group(&other), async {
            tokio::task::yield_now().await;
            one.pause(&lane(), false).await.unwrap();
        });
        other.finish(&lane(), lease, None).await.unwrap();
    }
}

/// The next news that is not of the beginning of listening.
async fn news(queue: &RedisQueue, wanted: &News) {
    let heard = async { while queue.news().await != *wanted {} };
    let heard = tokio::time::timeout(DEADLINE, heard).await;
    heard.unwrap_or_else(|_| panic!("no {wanted:?}"));
}

#[tokio::test]
async fn what_one_process_tells_the_others_hear() {
    let (url, options) = (server().url(), own());
    let (one, other) = (at(&url, &options).await, at(&url, &options).await);
    // It listens.
    news(&one, &News::Missed).await;
    news(&other, &News::Missed).await;
    other.tell(&News::Scheduled).await.unwrap();
    one.tell(&News::Outcomes(vec![4, 17])).await.unwrap();
    news(&other, &News::Outcomes(vec![4, 17])).await;
    // Not its own words, which came first.
    assert_eq!(one.news().await, News::Scheduled);
}

#[tokio::test]
async fn after_a_lost_connection_everybody_looks_again() {
    let options = own();
    let proxy = Proxy::start(server().address());
    let one = at(&server().url(), &options).await;
    let other = at(&server().url_at(proxy.address()), &options).await;
    // It sleeps, and listens to its lane.
    one.schedule(&lane(), &[due(1)]).await.unwrap();
    assert_eq!(await_group(&other).await.group, 1);
    news(&other, &News::Missed).await;
    // Nothing is under way: a claim whose answer is cut off would have the group.
    let quiet = Duration::from_millis(100);
    while tokio::time::timeout(quiet, other.wait(&lane(), None))
        .await
        .is_ok()
    {}
    let woken = async {
        other.wait(&lane(), None).await;
        await_group(&other).await
    };
    let (lease, ()) = tokio::join!(tokio::time::timeout(DEADLINE, woken), async {
        tokio::task::yield_now().await;
        proxy.refuse();
        // Nobody hears this.
        one.schedule(&lane(), &[due(2)]).await.unwrap();
        proxy.pass();
    });
    let lease = lease.expect("a wake-up");
    assert_eq!(lease.group, 2);
    news(&other, &News::Rebuild).await;
}

#[tokio::test]
async fn without_a_connection_it_says_so_at_once_and_mends() {
    let options = own();
    let proxy = Proxy::start(server().address());
    let queue = at(&server().url_at(proxy.address()), &options).await;
    queue.ping().await.unwrap();
    // Connections that are open and silent: the first to notice waits, the others need not.
    proxy.stall(Way::Both);
    let error = queue.schedule(&lane(), &[due(1)]).await.unwrap_err();
    assert!(queue.connection_is_lost(), "{error}");
    for _ in 0..1000 {
        assert!(queue.stats(&lane()).await.is_err());
    }
    proxy.pass();
    until("an answer", || async { queue.ping().await.ok() }).await;
    proxy.refuse();
    until("the loss", || async { queue.ping().await.err() }).await;
    proxy.pass();
    until("an answer", || async { queue.ping().await.ok() }).await;
    proxy.half_close(Way::Down);
    until("a new connection", || async { queue.ping().await.ok() }).await;
    queue.schedule(&lane(), &[due(1)]).await.unwrap();
    assert_eq!(await_group(&queue).await.group, 1);
}

#[tokio::test]
async fn a_queue_opens_before_its_server_and_outlives_it() {
    let server = RedisServer::start();
    server.kill();
    let queue = at(&server.url(), &own()).await;
    assert!(queue.schedule(&lane(), &[due(1)]).await.is_err());
    server.restart();
    until("an answer", || async { queue.ping().await.ok() }).await;
    news(&queue, &News::Rebuild).await;
    queue.schedule(&lane(), &[due(1)]).await.unwrap();
    let first = await_group(&queue).await;
    // Everything is forgotten, the scripts too.
    server.kill();
    server.restart();
    until("an answer", || async { queue.ping().await.ok() }).await;
    news(&queue, &News::Rebuild).await;
    queue.schedule(&lane(), &[due(1)]).await.unwrap();
    let second = await_group(&queue).await;
    assert!(second.fence > first.fence, "{second:?} after {first:?}");
    // The connections live, and yet everything is gone.
    server.flush();
    server.command(&["SCRIPT", "FLUSH"]);
    news(&queue, &News::Rebuild).await;
    queue.schedule(&lane(), &[due(1)]).await.unwrap();
    assert!(await_group(&queue).await.fence > second.fence);
    assert!(!queue.extend(&lane(), second).await.unwrap());
}

#[tokio::test]
async fn a_password_is_used_and_told_to_nobody() {
    let server = RedisServer::with_password("s3cret-pass");
    let queue = at(&server.url(), &own()).await;
    queue.ping().await.unwrap();
    for wrong in ["wr0ng-pass", ""] {
        let url = server.url().replace("s3cret-pass", wrong);
        let error = at(&url, &own()).await.ping().await.unwrap_err().to_string();
        assert!(!error.contains("pass"), "{error}");
    }
    for url in [
        "redis:",
        "http://:s3cret-pass@host/0",
        "redis://:s3cret-pass@host/x",
    ] {
        let error = RedisQueue::open(url, [], own()).await.err().unwrap();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn over_tls_it_claims_and_finishes_and_a_stranger_is_not_trusted() {
    let server = RedisServer::with_tls("s3cret-pass");
    let options = own();
    let queue = at(&server.tls_url(), &options).await;
    queue.schedule(&lane(), &[due(1), due(2)]).await.unwrap();
    let leases = queue.claim(&lane(), 9).await.unwrap().leases;
    assert_eq!(leases.len(), 2);
    for lease in leases {
        assert!(queue.extend(&lane(), lease).await.unwrap());
        queue.finish(&lane(), lease, None).await.unwrap();
    }
    assert_eq!(queue.stats(&lane()).await.unwrap().depth, 0);
    // What is listened to goes the same way.
    let other = at(&server.tls_url(), &options).await;
    let waits = Arc::clone(&queue);
    let woken = tokio::spawn(async move { waits.wait(&lane(), None).await });
    until("the wake-up", || async {
        other.schedule(&lane(), &[due(3)]).await.unwrap();
        woken.is_finished().then_some(())
    })
    .await;
    // All of it went through the port that speaks TLS.
    let plain = server.command(&["CLIENT", "LIST"]);
    let port = format!("laddr={}", server.address());
    let on_plain = plain
        .lines()
        .filter(|client| client.contains(&port))
        .count();
    assert_eq!(on_plain, 1, "this one alone:\n{plain}");
    let (encrypted, _) = server
        .tls_url()
        .split_once('?')
        .map(|(u, q)| (u.to_owned(), q.to_owned()))
        .unwrap();
    for refused in [
        // Nobody has heard of that authority, the password is another one's, or TLS was forgotten.
        encrypted.clone(),
        server.tls_url().replace("s3cret-pass", "wr0ng-pass"),
        encrypted.replace("rediss://", "redis://"),
    ] {
        let error = at(&refused, &own()).await.ping().await.unwrap_err();
        assert!(!error.to_string().contains("pass"), "{error}");
    }
}

#[tokio::test]
async fn databases_of_a_server_are_apart() {
    let options = own();
    let url = server().url();
    let one = at(&url, &options).await;
    let other = at(&url.replace("/0", "/3"), &options).await;
    assert_ne!(one.channels.news, other.channels.news);
    one.schedule(&lane(), &[due(1)]).await.unwrap();
    assert_eq!(other.stats(&lane()).await.unwrap().depth, 0);
    assert_eq!(one.stats(&lane()).await.unwrap().depth, 1);
}

#[tokio::test]
async fn the_lanes_time_never_goes_back() {
    let (queue, clock) = still(vec![(lane(), limits())]).await;
    let hour = 3_600_000_000;
    let second = Duration::from_secs(1);
    queue
        .schedule(
            &lane(),
            &[due(1), Due::after(2, second * 3, Priority::Normal)],
        )
        .await
        .unwrap();
    let one = queue.claim(&lane(), 1).await.unwrap().leases[0];
    assert_eq!(queue.take(&lane(), 1, 1).await.unwrap(), Ok(()));
    clock.move_by(-hour).await;
    assert_eq!(queue.take(&lane(), 1, 1).await.unwrap(), Ok(()));
    assert!(queue.extend(&lane(), one).await.unwrap());
    // A lease of two seconds, and a group that is due in three.
    clock.advance(second * 2).await;
    assert!(!queue.extend(&lane(), one).await.unwrap());
    let again = queue.claim(&lane(), 9).await.unwrap();
    assert_eq!(again.leases.len(), 1);
    assert!(again.leases[0].fence > one.fence);
    assert_eq!(again.next, Some(second));
    clock.move_by(-hour).await;
    // The step is noticed by the next look; time that nobody looked at is lost.
    assert_eq!(queue.claim(&lane(), 0).await.unwrap().next, Some(second));
    clock.advance(second).await;
    assert_eq!(queue.claim(&lane(), 9).await.unwrap().leases[0].group, 2);
}

#[tokio::test]
async fn on_the_servers_clock_leases_lapse_and_rests_end() {
    let short = Limits {
        lease: Duration::from_millis(300),
        ..limits()
    };
    let url = server().url();
    let queue = RedisQueue::open(&url, [(lane(), short)], own())
        .await
        .unwrap();
    queue
        .schedule(
            &lane(),
            &[due(1), Due::after(2, short.lease, Priority::Normal)],
        )
        .await
        .unwrap();
    let first = queue.claim(&lane(), 1).await.unwrap();
    assert!(first.next.unwrap() <= short.lease);
    let lease = first.leases[0];
    let micros = crate::store::now().0 * 1000;
    assert!(
        (lease.fence - micros).abs() < 60_000_000,
        "a fence tells the time"
    );
    let again = until("the lapse", || async {
        queue
            .wait(&lane(), queue.claim(&lane(), 0).await.unwrap().next)
            .await;
        let leases = queue.claim(&lane(), 9).await.unwrap().leases;
        leases.into_iter().find(|l| l.group == 1)
    })
    .await;
    assert!(again.fence - lease.fence >= 300_000, "not before its time");
    assert!(!queue.extend(&lane(), lease).await.unwrap());
    queue.rest(&lane(), short.lease).await.unwrap();
    queue.schedule(&lane(), &[due(3)]).await.unwrap();
    let claim = queue.claim(&lane(), 1).await.unwrap();
    assert_eq!(claim.leases, []);
    assert!(claim.next.unwrap() <= short.lease);
    until("the end of the rest", || async {
        queue
            .claim(&lane(), 9)
            .await
            .unwrap()
            .leases
            .into_iter()
            .find(|l| l.group == 3)
    })
    .await;
}

#[tokio::test]
async fn what_a_later_version_adds_is_tolerated() {
    let (queue, _clock) = still(vec![(lane(), limits())]).await;
    let local = queue.local(&lane()).unwrap();
    let retry = Due::retry(2, limits().lease, Priority::Bulk);
    queue.schedule(&lane(), &[due(1), retry]).await.unwrap();
    let lease = queue.claim(&lane(), 1).await.unwrap().leases[0];
    let [state, groups, ..] = &local.keys;
    for group in ["1", "2"] {
        let record = server().command(&["HGET", groups, group]);
        server().command(&["HSET", groups, group, &format!("{record}:more:words")]);
    }
    server().command(&["HSET", state, "waltz", "3/4", "paused", ""]);
    assert!(queue.extend(&lane(), lease).await.unwrap());
    queue.finish(&lane(), lease, Some(due(1))).await.unwrap();
    queue.schedule(&lane(), &[due(2)]).await.unwrap();
    queue.hasten(&lane(), &[2]).await.unwrap();
    let leases = queue.claim(&lane(), 9).await.unwrap().leases;
    assert_eq!(leases.len(), 2);
    assert_eq!(server().command(&["HGET", state, "waltz"]), "3/4");
}

#[tokio::test]
async fn many_retries_are_made_ready_in_steps_and_each_once() {
    const MANY: Group = 1700;
    let (queue, _clock) = still(vec![(lane(), limits())]).await;
    let unit = Duration::from_secs(60);
    let priority = |g: Group| {
        if g % 5 == 0 {
            Priority::Bulk
        } else {
            Priority::Normal
        }
    };
    let wait = |g: Group| unit * u32::try_from(MANY - g).unwrap() + unit;
    let retries: Vec<Due> = (1..=MANY)
        .map(|g| Due::retry(g, wait(g), priority(g)))
        .collect();
    queue.schedule(&lane(), &retries).await.unwrap();
    queue
        .schedule(&lane(), &[Due::after(9001, unit, Priority::Normal)])
        .await
        .unwrap();
    queue.pause(&lane(), false).await.unwrap();
    // What fails from now on waits for its own time, also while the others are still being moved.
    let later = Due::retry(9002, unit, Priority::Normal);
    queue.schedule(&lane(), &[later]).await.unwrap();
    let mut came = Vec::new();
    loop {
        let claim = queue.claim(&lane(), 100).await.unwrap();
        if claim.leases.is_empty() {
            break;
        }
        for lease in claim.leases {
            came.push(lease.group);
            queue.finish(&lane(), lease, None).await.unwrap();
        }
    }
    let of = |wanted: Priority| {
        let groups = came.iter().copied().filter(|g| priority(*g) == wanted);
        groups.collect::<Vec<_>>()
    };
    for wanted in [Priority::Normal, Priority::Bulk] {
        let expected: Vec<Group> = (1..=MANY)
            .rev()
            .filter(|g| priority(*g) == wanted)
            .collect();
        assert_eq!(of(wanted), expected);
    }
    assert_eq!(queue.stats(&lane()).await.unwrap().depth, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Takes in random numbers after random waits: the script grants what `gcra.rs` grants.
    #[test]
    fn the_script_counts_tokens_as_the_queue_of_one_process_does(
        rate in (0.5..2000.0f64, 1..50u32),
        recipient in proptest::option::of((0.5..50.0f64, 1..5u32)),
        takes in proptest::collection::vec((0..500_000u32, 1..6u32), 1..40),
    ) {
        let limits = Limits {
            rate: Rate::new(rate.0, rate.1),
            recipient: recipient.map(|r| Rate::new(r.0, r.1)),
            ..limits()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (queue, clock) = still(vec![(lane(), limits)]).await;
            let (mut now, mut lane_full, mut one_full) = (1_000_000_000_000_000u64, 0, 0);
            for (wait, parts) in takes {
                let wait = Duration::from_micros(wait.into());
                clock.advance(wait).await;
                now += u64::try_from(wait.as_nanos()).unwrap();
                let found = match queue.take(&lane(), 7, parts).await.unwrap() {
                    Ok(()) => Ok(()),
                    Err(Refused::Wait(wait)) => Err(wait),
                    Err(Refused::Closed) => return Err(TestCaseError::fail("it is open")),
                };
                let lane = limits.rate.take(lane_full, now, parts);
                let one = limits.recipient.map_or(Ok(0), |r| r.take(one_full, now, parts));
                match (lane, one) {
                    (Ok(lane), Ok(one)) => {
                        // To the microsecond the two may differ on whether the time has come.
                        let close = found.err().unwrap_or_default() < Duration::from_micros(5);
                        prop_assert!(close, "{found:?} instead of tokens");
                        if found.is_err() {
                            return Ok(());
                        }
                        (lane_full, one_full) = (lane, one);
                    }
                    (lane, one) => {
                        let wait = lane.err().unwrap_or_default().max(one.err().unwrap_or_default());
                        let found = found.err().unwrap_or_default();
                        let close = found.abs_diff(wait) < Duration::from_micros(5);
                        prop_assert!(close, "{found:?} instead of {wait:?}");
                        if found.is_zero() {
                            return Ok(());
                        }
                    }
                }
            }
            Ok(())
        })?;
    }
}
