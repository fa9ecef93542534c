//! Many workers that die, stall and lose their connections, over one Redis. Their history is checked
//! afterwards: no message lost, none sent twice without a doubt, order kept, never two holders of a
//! group at once, the limits kept over all of them.
//!
//! Each worker is a client of its own, as a process is. A small truth stands for the store: it gives
//! what a conversation's next message is, and lets nobody begin with a fence below one that it has
//! seen. The seed is printed; `CHAOS_SEED` repeats the plan (not the scheduling of threads).

use super::super::suite::limits;
use super::super::{Claim, Priority};
use super::*;
use crate::queue::gcra::Rate;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex as Locked, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};
use switchboard_testkit::servers::{Proxy, RedisServer, Way};
use switchboard_testkit::until_within;
use tokio::task::JoinSet;

const GROUPS: Group = 24;
const MESSAGES: usize = 14;
const WORKERS: usize = 6;
const SLOTS: usize = 3;
const LEASE: Duration = Duration::from_millis(400);
/// Fewer than all workers' slots together.
const MOST_LEASES: u32 = 9;
const PER_SECOND: f64 = 150.0;
const BURST: u32 = 20;
/// For all of it; a run takes a few seconds on an idle machine.
const END: Duration = Duration::from_secs(120);

/// A conversation as the store has it.
#[derive(Default)]
struct Conversation {
    accepted: usize,
    /// The messages that are done, as they were recorded.
    done: Vec<usize>,
    fence: i64,
    /// The attempt that is open, and its last sign of life.
    open: Option<(i64, Instant)>,
    /// Attempts that were given up as in doubt: each may have sent its message.
    doubts: usize,
    /// What the platform saw.
    sends: Vec<usize>,
}

/// A lease, as its worker saw it.
#[derive(Debug, Clone)]
struct Held {
    group: Group,
    fence: i64,
    /// Order of events: when the claim came back, and when the first finish was begun.
    claimed: u64,
    finished: Option<u64>,
    /// It held at least from this moment on for a lease's length, in microseconds of the wall clock.
    renewed: i64,
}

/// What happened.
struct World {
    conversations: Vec<Locked<Conversation>>,
    order: AtomicU64,
    held: Locked<Vec<Held>>,
    /// Tokens granted, each between two moments.
    tokens: Locked<Vec<(Instant, Instant)>>,
    rng: Locked<StdRng>,
}

fn lock<T>(mutex: &Locked<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wall_micros() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_micros()).unwrap()
}

fn lane() -> LaneId {
    LaneId::channel("one")
}

fn lane_limits() -> Limits {
    Limits {
        rate: Rate::new(PER_SECOND, BURST),
        max_leases: NonZeroU32::new(MOST_LEASES),
        lease: LEASE,
        ..limits()
    }
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            conversations: (0..GROUPS).map(|_| Locked::default()).collect(),
            order: AtomicU64::new(0),
            held: Locked::default(),
            tokens: Locked::default(),
            rng: Locked::new(StdRng::seed_from_u64(seed)),
        })
    }

    fn conversation(&self, group: Group) -> MutexGuard<'_, Conversation> {
        lock(&self.conversations[usize::try_from(group).unwrap() - 1])
    }

    fn next(&self) -> u64 {
        self.order.fetch_add(1, Ordering::SeqCst)
    }

    fn chance(&self, of: f64) -> bool {
        lock(&self.rng).random_bool(of)
    }

    fn millis(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(lock(&self.rng).random_range(range))
    }

    fn done(&self) -> usize {
        (1..=GROUPS).map(|g| self.conversation(g).done.len()).sum()
    }

    fn note(&self, lease: Lease, change: impl FnOnce(&mut Held)) {
        let mut held = lock(&self.held);
        let found = held.iter_mut().find(|h| h.fence == lease.fence);
        change(found.expect("a lease that was claimed"));
    }
}

/// What to do with a conversation.
enum Begin {
    Nothing,
    Stale(i64),
    Busy,
    Message(usize),
}

/// How a worker's turn ended.
enum End {
    Finish(Option<Due>),
    /// The whole worker is gone.
    Killed,
}

impl World {
    fn begin(&self, lease: Lease) -> Begin {
        let mut it = self.conversation(lease.group);
        if lease.fence < it.fence {
            return Begin::Stale(it.fence);
        }
        it.fence = lease.fence;
        let head = it.done.len();
        if head == it.accepted {
            return Begin::Nothing;
        }
        if let Some((fence, alive)) = it.open
            && fence != lease.fence
        {
            if alive.elapsed() < LEASE * 2 {
                return Begin::Busy;
            }
            it.doubts += 1;
        }
        it.open = Some((lease.fence, Instant::now()));
        Begin::Message(head)
    }

    /// Records that a message is sent. An attempt that somebody else has taken over records nothing.
    fn record(&self, lease: Lease, message: usize) {
        let mut it = self.conversation(lease.group);
        if it.open.is_some_and(|(fence, _)| fence == lease.fence) {
            assert_eq!(it.done.len(), message, "order in {}", lease.group);
            it.done.push(message);
            it.open = None;
        }
    }

    async fn turn(&self, queue: &RedisQueue, lease: Lease) -> End {
        let group = lease.group;
        for _ in 0..4 {
            let before = Instant::now();
            match queue.take(&lane(), group, 1).await {
                Ok(Ok(())) => lock(&self.tokens).push((before, Instant::now())),
                Ok(Err(Refused::Closed)) => {
                    return End::Finish(Some(Due::now(group, Priority::Normal)));
                }
                Ok(Err(Refused::Wait(wait))) => {
                    return End::Finish(Some(Due::after(group, wait, Priority::Normal)));
                }
                Err(_) => return End::Finish(Some(Due::after(group, LEASE / 4, Priority::Normal))),
            }
            let message = match self.begin(lease) {
                Begin::Nothing => return End::Finish(None),
                Begin::Stale(fence) => {
                    // Without an answer the next one will do it.
                    queue.raise_fence(&lane(), fence).await.ok();
                    return End::Finish(Some(Due::now(group, Priority::Normal)));
                }
                Begin::Busy => {
                    return End::Finish(Some(Due::after(group, LEASE / 2, Priority::Normal)));
                }
                Begin::Message(message) => message,
            };
            tokio::time::sleep(self.millis(1..12)).await;
            if self.chance(0.02) {
                return End::Killed;
            }
            if self.chance(0.02) {
                tokio::time::sleep(self.millis(1..4) * 400).await;
            }
            self.conversation(group).sends.push(message);
            if self.chance(0.02) {
                return End::Killed;
            }
            self.record(lease, message);
            let moment = wall_micros();
            if matches!(queue.extend(&lane(), lease).await, Ok(true)) {
                self.note(lease, |held| held.renewed = moment);
            }
        }
        End::Finish(Some(Due::now(group, Priority::Normal)))
    }

    async fn finish(&self, queue: &RedisQueue, lease: Lease, next: Option<Due>) {
        let begun = self.next();
        self.note(lease, |held| held.finished = Some(begun));
        let started = Instant::now();
        while queue.finish(&lane(), lease, next).await.is_err() && started.elapsed() < LEASE {
            tokio::time::sleep(LEASE / 8).await;
        }
    }

    fn claimed(&self, claim: &Claim) {
        let claimed = self.next();
        for lease in &claim.leases {
            lock(&self.held).push(Held {
                group: lease.group,
                fence: lease.fence,
                claimed,
                finished: None,
                renewed: lease.fence,
            });
        }
    }

    /// A worker until it is killed.
    async fn work(self: Arc<Self>, queue: Arc<RedisQueue>) {
        let mut turns = JoinSet::new();
        loop {
            while let Some(ended) = turns.try_join_next() {
                if ended.unwrap() {
                    return;
                }
            }
            let free = SLOTS - turns.len();
            let mut next = Some(LEASE / 4);
            if free > 0
                && let Ok(claim) = queue.claim(&lane(), free).await
            {
                self.claimed(&claim);
                next = claim.next;
                for lease in claim.leases {
                    let (world, queue) = (Arc::clone(&self), Arc::clone(&queue));
                    turns.spawn(async move {
                        let killed = match world.turn(&queue, lease).await {
                            End::Finish(next) => {
                                world.finish(&queue, lease, next).await;
                                false
                            }
                            End::Killed => true,
                        };
                        queue.nudge(&lane());
                        killed
                    });
                }
            }
            let next = if SLOTS == turns.len() { None } else { next };
            queue.wait(&lane(), next).await;
        }
    }

    /// Accepts all messages, each group's in order, and schedules their groups until it is heard.
    async fn produce(self: Arc<Self>, queue: Arc<RedisQueue>) {
        let mut left: Vec<Group> = (1..=GROUPS).flat_map(|g| [g; MESSAGES]).collect();
        while !left.is_empty() {
            let at = lock(&self.rng).random_range(0..left.len());
            let group = left.swap_remove(at);
            self.conversation(group).accepted += 1;
            let priority = if self.chance(0.3) {
                Priority::Bulk
            } else {
                Priority::Normal
            };
            let due = [Due::now(group, priority)];
            while queue.schedule(&lane(), &due).await.is_err() {
                tokio::time::sleep(LEASE / 8).await;
            }
            if self.chance(0.2) {
                tokio::time::sleep(self.millis(1..20)).await;
            }
        }
    }

    /// Never more leases at once than the lane may give.
    async fn watch(queue: Arc<RedisQueue>) {
        loop {
            if let Ok(stats) = queue.stats(&lane()).await {
                assert!(stats.leased <= MOST_LEASES as usize, "{stats:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn check_messages(&self) {
        for group in 1..=GROUPS {
            let it = self.conversation(group);
            assert_eq!(it.done, (0..MESSAGES).collect::<Vec<_>>(), "{group}");
            // As the platform saw them: in order, and again only where it was in doubt.
            assert!(it.sends.len() <= MESSAGES + it.doubts, "{:?}", it.sends);
            let mut once = it.sends.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once, it.done, "{group}");
        }
    }

    fn check_tokens(&self) {
        let mut tokens = lock(&self.tokens).clone();
        tokens.sort_unstable_by_key(|(_, after)| *after);
        for (from, _) in &tokens {
            let mut count = 0;
            for (before, after) in &tokens {
                if before < from {
                    continue;
                }
                count += 1;
                let span = after.duration_since(*from).as_secs_f64();
                let allowed = f64::from(BURST) + PER_SECOND * span + 0.01;
                assert!(f64::from(count) <= allowed, "{count} tokens in {span} s");
            }
        }
    }

    /// Nobody got a group while somebody else's lease of it held.
    fn check_leases(&self) {
        let mut held = lock(&self.held).clone();
        held.sort_unstable_by_key(|h| (h.group, h.fence));
        for pair in held.windows(2) {
            let [first, second] = pair else { continue };
            if first.group != second.group {
                continue;
            }
            assert!(second.fence > first.fence);
            let given_back = first.finished.is_some_and(|at| at < second.claimed);
            let lapse = i64::try_from(LEASE.as_micros()).unwrap();
            assert!(
                given_back || second.fence >= first.renewed + lapse,
                "{first:?} and {second:?}"
            );
        }
        let mut fences: Vec<i64> = held.iter().map(|h| h.fence).collect();
        let all = fences.len();
        fences.sort_unstable();
        fences.dedup();
        assert_eq!(fences.len(), all, "a fence was given twice");
    }
}

#[expect(
    clippy::print_stderr,
    reason = "shown when the run fails, to repeat it"
)]
fn say(words: &str) {
    eprintln!("{words}");
}

async fn open(url: &str) -> Arc<RedisQueue> {
    // Lost wake-ups are seen to soon, as they would be in the long run.
    let options = Options {
        recheck: LEASE,
        ..Options::default()
    };
    let lanes = [(lane(), lane_limits())];
    RedisQueue::open(url, lanes, options).await.unwrap()
}

/// A run; `flush` empties Redis now and then while a reconciler rebuilds the schedule.
async fn run(flush: bool) -> Arc<World> {
    let seed = std::env::var("CHAOS_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    say(&format!("CHAOS_SEED={seed}"));
    let world = World::new(seed);
    let server = RedisServer::start();
    let proxy = Proxy::start(server.address());
    let (direct, broken) = (server.url(), server.url_at(proxy.address()));
    let mut beside = JoinSet::new();
    let mut workers = JoinSet::new();
    for n in 0..WORKERS {
        let url = if n % 2 == 0 { &direct } else { &broken };
        let (world, queue, url) = (Arc::clone(&world), open(url).await, url.clone());
        workers.spawn(async move {
            let mut queue = queue;
            loop {
                Arc::clone(&world).work(queue).await;
                queue = open(&url).await;
            }
        });
    }
    beside.spawn(World::watch(open(&direct).await));
    beside.spawn(Arc::clone(&world).produce(open(&broken).await));
    let (faults, calm) = (Arc::clone(&world), open(&direct).await);
    let emptied = async {
        loop {
            tokio::time::sleep(faults.millis(50..300)).await;
            match lock(&faults.rng).random_range(0..4) {
                0 => proxy.stall(Way::Down),
                1 => proxy.half_close(Way::Both),
                _ => proxy.cut(),
            }
            tokio::time::sleep(faults.millis(10..200)).await;
            proxy.pass();
            if flush && faults.chance(0.3) {
                server.flush();
            }
            if flush {
                let open = (1..=GROUPS).filter(|g| {
                    let it = faults.conversation(*g);
                    it.done.len() < it.accepted
                });
                let due: Vec<Due> = open.map(|g| Due::now(g, Priority::Normal)).collect();
                calm.schedule(&lane(), &due).await.ok();
            }
        }
    };
    let started = Instant::now();
    let finished = async {
        while world.done() < MESSAGES * usize::try_from(GROUPS).unwrap() {
            for tasks in [&mut beside, &mut workers] {
                // One that ended failed an assertion, or has nothing left to produce.
                while let Some(ended) = tasks.try_join_next() {
                    ended.unwrap();
                }
            }
            assert!(started.elapsed() < END, "not everything was sent");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = finished => {}
        () = emptied => {}
    }
    proxy.pass();
    // What the dead left behind lapses, and nothing remains.
    let rest = open(&direct).await;
    until_within(END, "an empty lane", || async {
        let stats = rest.stats(&lane()).await.ok()?;
        (stats.depth == 0 && stats.leased == 0).then_some(())
    })
    .await;
    workers.shutdown().await;
    beside.shutdown().await;
    world.check_messages();
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_among_workers_that_die() {
    let world = run(false).await;
    world.check_tokens();
    world.check_leases();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_redis_is_emptied() {
    run(true).await;
}
