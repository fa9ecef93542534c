//! The queue of one process: maps behind a lock per lane, rebuilt from the store at start.
//!
//! No lock is held across an await, and every operation costs the logarithm of the lane's depth.

use super::{
    Claim, Due, Group, LaneId, LaneStats, Lease, Limits, News, Outcome, Priority, Queue, QueueError,
};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Every so many claims the oldest bulk group goes first, so that a campaign is slow but not starved.
const BULK_EVERY: u64 = 8;
/// Recipients' buckets are looked through for full ones when so many more have come.
const BUCKETS_SWEEP: usize = 1024;

/// Where a group stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Waits until a time; the number makes equal times first come, first served.
    Waiting { at: Instant, n: u64, retry: bool },
    /// Ready since a time.
    Ready { since: Instant, n: u64 },
    /// Worked on. `again`: scheduled meanwhile, and how urgently.
    Leased {
        fence: i64,
        until: Instant,
        again: Option<Priority>,
    },
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    place: Place,
    priority: Priority,
}

/// The breaker of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaker {
    /// Failures in a row so far.
    Closed(u32),
    /// One lease at a time until one succeeds: the fence of the one that is out. Known by its fence,
    /// because a lease from before the breaker opened may end, or fail, while the probe is out.
    Probing { probe: Option<i64> },
}

struct Lane {
    limits: Limits,
    groups: HashMap<Group, Entry>,
    waiting: BTreeSet<(Instant, u64, Group)>,
    normal: BTreeMap<(Instant, u64), Group>,
    bulk: BTreeMap<(Instant, u64), Group>,
    leases: BTreeSet<(Instant, Group)>,
    counter: u64,
    claims: u64,
    paused: bool,
    rest_until: Option<Instant>,
    breaker: Breaker,
    lane_full_at: u64,
    recipients: HashMap<Group, u64>,
    swept_at_len: usize,
}

struct Shared {
    lane: Mutex<Lane>,
    /// Wakes the one runner of the lane; a permit is kept when nobody waits, so no wake-up is lost.
    changed: Notify,
}

/// The queue of one process.
pub struct MemoryQueue {
    lanes: HashMap<LaneId, Shared>,
    fence: AtomicI64,
    epoch: Instant,
}

impl MemoryQueue {
    /// A queue with these lanes. `fence` is where fences begin: the wall clock in microseconds, so
    /// that a restarted process goes on above its predecessor; where that fails (the clock stepped
    /// back) the store says so and `raise_fence` mends it.
    pub fn new(lanes: impl IntoIterator<Item = (LaneId, Limits)>, fence: i64) -> Arc<Self> {
        let lanes = lanes
            .into_iter()
            .map(|(id, limits)| {
                let lane = Mutex::new(Lane::new(limits));
                (
                    id,
                    Shared {
                        lane,
                        changed: Notify::new(),
                    },
                )
            })
            .collect();
        Arc::new(Self {
            lanes,
            fence: AtomicI64::new(fence),
            epoch: Instant::now(),
        })
    }

    fn shared(&self, lane: &LaneId) -> Result<&Shared, QueueError> {
        self.lanes
            .get(lane)
            .ok_or_else(|| QueueError(format!("there is no lane {lane}")))
    }

    fn lock(&self, lane: &LaneId) -> Result<MutexGuard<'_, Lane>, QueueError> {
        // A panic under this lock is impossible by construction, and a lane that is poisoned all the
        // same is better worked on than lost: the store still has the truth.
        Ok(self
            .shared(lane)?
            .lane
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }

    fn wake(&self, lane: &LaneId) {
        if let Some(shared) = self.lanes.get(lane) {
            shared.changed.notify_one();
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from((now - self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Lane {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            groups: HashMap::new(),
            waiting: BTreeSet::new(),
            normal: BTreeMap::new(),
            bulk: BTreeMap::new(),
            leases: BTreeSet::new(),
            counter: 0,
            claims: 0,
            paused: false,
            rest_until: None,
            breaker: Breaker::Closed(0),
            lane_full_at: 0,
            recipients: HashMap::new(),
            swept_at_len: BUCKETS_SWEEP,
        }
    }

    fn ready(&mut self, priority: Priority) -> &mut BTreeMap<(Instant, u64), Group> {
        match priority {
            Priority::Normal => &mut self.normal,
            Priority::Bulk => &mut self.bulk,
        }
    }

    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Takes a group out of wherever it stands.
    fn remove(&mut self, group: Group) -> Option<Entry> {
        let entry = self.groups.remove(&group)?;
        match entry.place {
            Place::Waiting { at, n, .. } => {
                self.waiting.remove(&(at, n, group));
            }
            Place::Ready { since, n } => {
                self.ready(entry.priority).remove(&(since, n));
            }
            Place::Leased { until, .. } => {
                self.leases.remove(&(until, group));
            }
        }
        Some(entry)
    }

    fn place_ready(&mut self, group: Group, since: Instant, priority: Priority) {
        let n = self.number();
        self.ready(priority).insert((since, n), group);
        self.groups.insert(
            group,
            Entry {
                place: Place::Ready { since, n },
                priority,
            },
        );
    }

    fn place(&mut self, due: &Due, now: Instant) {
        if due.after.is_zero() {
            self.place_ready(due.group, now, due.priority);
        } else {
            let (at, n) = (now + due.after, self.number());
            self.waiting.insert((at, n, due.group));
            let place = Place::Waiting {
                at,
                n,
                retry: due.retry,
            };
            self.groups.insert(
                due.group,
                Entry {
                    place,
                    priority: due.priority,
                },
            );
        }
    }

    fn schedule(&mut self, due: &Due, now: Instant) {
        self.advance(now);
        match self.groups.get_mut(&due.group) {
            None => self.place(due, now),
            Some(Entry {
                place: Place::Leased { again, .. },
                ..
            }) => {
                *again = Some(again.map_or(due.priority, |p| p.min(due.priority)));
            }
            Some(entry) if due.priority < entry.priority => {
                entry.priority = due.priority;
                if let Place::Ready { since, n } = entry.place {
                    // It keeps its turn, in the more urgent row.
                    self.bulk.remove(&(since, n));
                    self.normal.insert((since, n), due.group);
                }
            }
            Some(_) => {}
        }
    }

    /// Moves what became due, and lapsed leases, to the ready rows. Every operation that looks at a
    /// group's place begins with it, so that a lease lapses when its time is over and not only when
    /// the next claim comes by.
    fn advance(&mut self, now: Instant) {
        while let Some(&(at, n, group)) = self.waiting.first() {
            if at > now {
                break;
            }
            self.waiting.remove(&(at, n, group));
            let priority = self
                .groups
                .get(&group)
                .map_or(Priority::Normal, |e| e.priority);
            self.place_ready(group, at, priority);
        }
        while let Some(&(until, group)) = self.leases.first() {
            if until > now {
                break;
            }
            let entry = self.remove(group);
            let mut priority = entry.map_or(Priority::Normal, |e| e.priority);
            if let Some(Place::Leased { fence, again, .. }) = entry.map(|e| e.place) {
                self.lease_ended(fence);
                priority = again.map_or(priority, |p| p.min(priority));
            }
            // Its turn counts from when the lease lapsed, not from when somebody looked.
            self.place_ready(group, until, priority);
        }
    }

    fn lease_ended(&mut self, fence: i64) {
        if self.breaker == (Breaker::Probing { probe: Some(fence) }) {
            self.breaker = Breaker::Probing { probe: None };
        }
    }

    fn next_ready(&mut self) -> Option<Group> {
        let bulk_first = (self.claims + 1).is_multiple_of(BULK_EVERY);
        let (first, second) = if bulk_first {
            (&mut self.bulk, &mut self.normal)
        } else {
            (&mut self.normal, &mut self.bulk)
        };
        let (_, group) = first.pop_first().or_else(|| second.pop_first())?;
        // Looking in vain is no claim: it would move the bulk's turn at random.
        self.claims += 1;
        Some(group)
    }

    /// How many more leases there may be.
    fn free_leases(&self) -> usize {
        self.limits.max_leases.map_or(usize::MAX, |most| {
            let most = usize::try_from(most.get()).unwrap_or(usize::MAX);
            most.saturating_sub(self.leases.len())
        })
    }

    fn claim(&mut self, most: usize, now: Instant, fence: &AtomicI64) -> Claim {
        if self.paused {
            return Claim::default();
        }
        if let Some(until) = self.rest_until {
            if until > now {
                return Claim {
                    leases: Vec::new(),
                    next: Some(until - now),
                };
            }
            self.rest_until = None;
        }
        self.advance(now);
        let mut leases = Vec::new();
        let most = match self.breaker {
            Breaker::Closed(_) => most,
            Breaker::Probing { probe: None } => most.min(1),
            Breaker::Probing { probe: Some(_) } => 0,
        };
        let most = most.min(self.free_leases());
        while leases.len() < most {
            let Some(group) = self.next_ready() else {
                break;
            };
            let fence = fence.fetch_add(1, Ordering::Relaxed) + 1;
            let until = now + self.limits.lease;
            if let Breaker::Probing { probe } = &mut self.breaker {
                *probe = Some(fence);
            }
            let priority = self
                .groups
                .get(&group)
                .map_or(Priority::Normal, |e| e.priority);
            let place = Place::Leased {
                fence,
                until,
                again: None,
            };
            self.groups.insert(group, Entry { place, priority });
            self.leases.insert((until, group));
            leases.push(Lease { group, fence });
        }
        let more = !(self.normal.is_empty() && self.bulk.is_empty());
        if more && matches!(self.breaker, Breaker::Closed(_)) && self.free_leases() > 0 {
            // The caller wanted no more than it got, but there is more.
            return Claim {
                leases,
                next: Some(Duration::ZERO),
            };
        }
        let waiting = self.waiting.first().map(|(at, ..)| *at);
        let lapse = self.leases.first().map(|(until, _)| *until);
        let next = waiting
            .into_iter()
            .chain(lapse)
            .min()
            .map(|at| at.saturating_duration_since(now));
        Claim { leases, next }
    }

    /// The entry of a lease that still holds.
    fn held(&mut self, lease: Lease) -> Option<&mut Entry> {
        self.groups
            .get_mut(&lease.group)
            .filter(|e| matches!(e.place, Place::Leased { fence, .. } if fence == lease.fence))
    }

    fn extend(&mut self, lease: Lease, now: Instant) -> bool {
        self.advance(now);
        let length = self.limits.lease;
        let Some(Entry {
            place: Place::Leased { until, .. },
            ..
        }) = self.held(lease)
        else {
            return false;
        };
        let (old, new) = (*until, now + length);
        *until = new;
        self.leases.remove(&(old, lease.group));
        self.leases.insert((new, lease.group));
        true
    }

    fn finish(&mut self, lease: Lease, next: Option<Due>, now: Instant) {
        self.advance(now);
        if self.held(lease).is_none() {
            return;
        }
        let Some(entry) = self.remove(lease.group) else {
            return;
        };
        let Place::Leased { again, .. } = entry.place else {
            return;
        };
        self.lease_ended(lease.fence);
        match (next, again) {
            (Some(due), Some(urgent)) => {
                let priority = due.priority.min(urgent);
                self.place(&Due { priority, ..due }, now);
            }
            (Some(due), None) => self.place(&due, now),
            // What made it urgent before is done; only what came meanwhile counts.
            (None, Some(priority)) => self.place_ready(lease.group, now, priority),
            (None, None) => {}
        }
    }

    fn report(&mut self, outcome: Outcome, now: Instant) -> bool {
        match (outcome, self.breaker) {
            (Outcome::Works, Breaker::Closed(_)) => self.breaker = Breaker::Closed(0),
            (Outcome::Works, Breaker::Probing { .. }) => {
                self.breaker = Breaker::Closed(0);
                self.retry_now(now);
            }
            (Outcome::Failed, Breaker::Closed(failures)) => {
                let failures = failures.saturating_add(1);
                self.breaker = Breaker::Closed(failures);
                if failures >= self.limits.breaker_failures {
                    return self.trip(now);
                }
            }
            (Outcome::Failed, Breaker::Probing { .. }) => return self.trip(now),
        }
        false
    }

    fn trip(&mut self, now: Instant) -> bool {
        if matches!(self.breaker, Breaker::Closed(_)) {
            self.breaker = Breaker::Probing { probe: None };
        }
        self.rest(now + self.limits.breaker_rest);
        true
    }

    fn rest(&mut self, until: Instant) {
        self.rest_until = Some(self.rest_until.map_or(until, |old| old.max(until)));
    }

    /// Makes every group ready that waits for a retry: the lane works again.
    fn retry_now(&mut self, now: Instant) {
        let retries: Vec<Group> = self
            .waiting
            .iter()
            .map(|(_, _, group)| *group)
            .filter(|group| {
                let entry = self.groups.get(group);
                entry.is_some_and(|e| matches!(e.place, Place::Waiting { retry: true, .. }))
            })
            .collect();
        self.hasten(&retries, now);
    }

    fn hasten(&mut self, groups: &[Group], now: Instant) {
        self.advance(now);
        for &group in groups {
            match self.groups.get(&group).map(|e| e.place) {
                Some(Place::Waiting { .. }) => {
                    let priority = self.remove(group).map_or(Priority::Normal, |e| e.priority);
                    self.place_ready(group, now, priority);
                }
                Some(Place::Ready { .. }) => {}
                Some(Place::Leased { .. }) | None => {
                    self.schedule(&Due::now(group, Priority::Normal), now);
                }
            }
        }
    }

    fn take(&mut self, recipient: Group, parts: u32, now: u64) -> Result<(), Duration> {
        let lane = self.limits.rate.take(self.lane_full_at, now, parts);
        let Some(rate) = self.limits.recipient else {
            self.lane_full_at = lane?;
            return Ok(());
        };
        let full_at = self.recipients.get(&recipient).copied().unwrap_or(0);
        match (lane, rate.take(full_at, now, parts)) {
            (Ok(lane_full_at), Ok(full_at)) => {
                self.lane_full_at = lane_full_at;
                self.recipients.insert(recipient, full_at);
            }
            // The longer of two waits: after the shorter one the other would refuse.
            (Err(lane), Err(one)) => return Err(lane.max(one)),
            (Err(wait), Ok(_)) | (Ok(_), Err(wait)) => return Err(wait),
        }
        if self.recipients.len() >= self.swept_at_len {
            self.recipients.retain(|_, full_at| *full_at > now);
            self.swept_at_len = self.recipients.len() * 2 + BUCKETS_SWEEP;
        }
        Ok(())
    }

    fn stats(&mut self, now: Instant) -> LaneStats {
        self.advance(now);
        let oldest = [self.normal.first_key_value(), self.bulk.first_key_value()];
        let oldest = oldest
            .into_iter()
            .flatten()
            .map(|((since, _), _)| *since)
            .min();
        LaneStats {
            depth: self.groups.len() - self.leases.len(),
            leased: self.leases.len(),
            oldest_ready: oldest.map(|since| now.saturating_duration_since(since)),
            paused: self.paused,
            resting: self
                .rest_until
                .filter(|until| *until > now)
                .map(|until| until - now),
        }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn schedule(&self, lane: &LaneId, due: &[Due]) -> Result<(), QueueError> {
        let now = Instant::now();
        {
            let mut held = self.lock(lane)?;
            due.iter().for_each(|due| held.schedule(due, now));
        }
        self.wake(lane);
        Ok(())
    }

    async fn hasten(&self, lane: &LaneId, groups: &[Group]) -> Result<(), QueueError> {
        self.lock(lane)?.hasten(groups, Instant::now());
        self.wake(lane);
        Ok(())
    }

    async fn claim(&self, lane: &LaneId, most: usize) -> Result<Claim, QueueError> {
        Ok(self.lock(lane)?.claim(most, Instant::now(), &self.fence))
    }

    async fn extend(&self, lane: &LaneId, lease: Lease) -> Result<bool, QueueError> {
        Ok(self.lock(lane)?.extend(lease, Instant::now()))
    }

    async fn finish(
        &self,
        lane: &LaneId,
        lease: Lease,
        next: Option<Due>,
    ) -> Result<(), QueueError> {
        self.lock(lane)?.finish(lease, next, Instant::now());
        self.wake(lane);
        Ok(())
    }

    async fn take(
        &self,
        lane: &LaneId,
        recipient: Group,
        parts: u32,
    ) -> Result<Result<(), Duration>, QueueError> {
        let now = self.nanos(Instant::now());
        Ok(self.lock(lane)?.take(recipient, parts, now))
    }

    async fn rest(&self, lane: &LaneId, rest: Duration) -> Result<(), QueueError> {
        self.lock(lane)?.rest(Instant::now() + rest);
        Ok(())
    }

    async fn pause(&self, lane: &LaneId, paused: bool) -> Result<(), QueueError> {
        {
            let mut held = self.lock(lane)?;
            held.paused = paused;
            if !paused {
                // What made it rest or fail is over, a person or a probe says.
                held.rest_until = None;
                held.breaker = Breaker::Closed(0);
                held.retry_now(Instant::now());
            }
        }
        self.wake(lane);
        Ok(())
    }

    async fn report(&self, lane: &LaneId, outcome: Outcome) -> Result<bool, QueueError> {
        let (rests, mended) = {
            let mut held = self.lock(lane)?;
            let probing = matches!(held.breaker, Breaker::Probing { .. });
            (
                held.report(outcome, Instant::now()),
                probing && outcome == Outcome::Works,
            )
        };
        if mended {
            self.wake(lane);
        }
        Ok(rests)
    }

    async fn raise_fence(&self, lane: &LaneId, fence: i64) -> Result<(), QueueError> {
        self.shared(lane)?;
        self.fence.fetch_max(fence, Ordering::Relaxed);
        Ok(())
    }

    async fn wait(&self, lane: &LaneId, most: Option<Duration>) {
        let Ok(shared) = self.shared(lane) else {
            return;
        };
        match most {
            Some(most) => drop(tokio::time::timeout(most, shared.changed.notified()).await),
            None => shared.changed.notified().await,
        }
    }

    fn nudge(&self, lane: &LaneId) {
        self.wake(lane);
    }

    async fn stats(&self, lane: &LaneId) -> Result<LaneStats, QueueError> {
        Ok(self.lock(lane)?.stats(Instant::now()))
    }

    async fn ping(&self) -> Result<(), QueueError> {
        Ok(())
    }

    async fn tell(&self, _news: &News) -> Result<(), QueueError> {
        // There is no other process.
        Ok(())
    }

    async fn news(&self) -> News {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite::{Clock, Lanes, every_law};
    use super::*;
    use futures_util::future::BoxFuture;

    /// The paused clock of the runtime.
    struct Paused;

    #[async_trait]
    impl Clock for Paused {
        async fn advance(&self, by: Duration) {
            tokio::time::advance(by).await;
        }
    }

    fn open(lanes: Lanes) -> BoxFuture<'static, (Arc<dyn Queue>, Arc<dyn Clock>)> {
        Box::pin(async {
            let queue: Arc<dyn Queue> = MemoryQueue::new(lanes, 0);
            let clock: Arc<dyn Clock> = Arc::new(Paused);
            (queue, clock)
        })
    }

    every_law!(open => #[tokio::test(start_paused = true)]);

    #[test]
    fn it_does_what_its_model_does() {
        super::super::model_test::check(1500, open, || {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap()
        });
    }

    #[tokio::test(start_paused = true)]
    async fn full_buckets_are_swept() {
        let second = super::super::gcra::Rate::new(1.0, 1);
        let limits = Limits {
            rate: super::super::gcra::Rate::new(1e6, 1_000_000),
            recipient: Some(second),
            max_leases: None,
            lease: Duration::from_secs(60),
            breaker_failures: 5,
            breaker_rest: Duration::from_secs(30),
        };
        let lane = LaneId::channel("one");
        let queue = MemoryQueue::new([(lane.clone(), limits)], 0);
        for recipient in 0..20_000 {
            assert_eq!(queue.take(&lane, recipient, 1).await.unwrap(), Ok(()));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        // A thousand recipients are still owed a pause; the others need no bucket.
        let kept = queue.lock(&lane).unwrap().recipients.len();
        assert!((1000..5000).contains(&kept), "{kept} buckets are kept");
        assert!(queue.take(&lane, 19_999, 1).await.unwrap().is_err());
        assert_eq!(queue.take(&lane, 1, 1).await.unwrap(), Ok(()));
    }
}
