//! The queue of one process: a lane behind each lock, rebuilt from the store at start.
//!
//! No lock is held across an await. What is ready is claimed and finished at the cost of a few places
//! in memory, however much is there; putting a group off costs the logarithm of how many are put off,
//! and mending a lane what its retries cost.

mod groups;
mod index;
mod lane;
mod row;

use self::lane::{Lane, nanos};
use super::{
    Claim, Due, Group, LaneId, LaneStats, Lease, Limits, News, Outcome, Queue, QueueError, Refused,
};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

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
        Ok(self.shared(lane)?.lock())
    }

    /// Nanoseconds since the queue's beginning.
    fn now(&self) -> u64 {
        nanos(self.epoch.elapsed())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lane> {
        // A panic under this lock is impossible by construction, and a lane that is poisoned all the
        // same is better worked on than lost: the store still has the truth.
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn schedule(&self, lane: &LaneId, due: &[Due]) -> Result<(), QueueError> {
        let (shared, now) = (self.shared(lane)?, self.now());
        {
            let mut held = shared.lock();
            due.iter().for_each(|due| held.schedule(due, now));
        }
        shared.changed.notify_one();
        Ok(())
    }

    async fn hasten(&self, lane: &LaneId, groups: &[Group]) -> Result<(), QueueError> {
        let shared = self.shared(lane)?;
        shared.lock().hasten(groups, self.now());
        shared.changed.notify_one();
        Ok(())
    }

    async fn claim(&self, lane: &LaneId, most: usize) -> Result<Claim, QueueError> {
        Ok(self.lock(lane)?.claim(most, self.now(), &self.fence))
    }

    async fn extend(&self, lane: &LaneId, lease: Lease) -> Result<bool, QueueError> {
        Ok(self.lock(lane)?.extend(lease, self.now()))
    }

    async fn finish(
        &self,
        lane: &LaneId,
        lease: Lease,
        next: Option<Due>,
    ) -> Result<(), QueueError> {
        let shared = self.shared(lane)?;
        shared.lock().finish(lease, next, self.now());
        shared.changed.notify_one();
        Ok(())
    }

    async fn take(
        &self,
        lane: &LaneId,
        recipient: Group,
        parts: u32,
    ) -> Result<Result<(), Refused>, QueueError> {
        Ok(self.lock(lane)?.take(recipient, parts, self.now()))
    }

    async fn rest(&self, lane: &LaneId, rest: Duration) -> Result<(), QueueError> {
        self.lock(lane)?.rest(self.now(), rest);
        Ok(())
    }

    async fn pause(&self, lane: &LaneId, paused: bool) -> Result<(), QueueError> {
        let shared = self.shared(lane)?;
        shared.lock().pause(paused, self.now());
        shared.changed.notify_one();
        Ok(())
    }

    async fn report(&self, lane: &LaneId, outcome: Outcome) -> Result<bool, QueueError> {
        let shared = self.shared(lane)?;
        let (rests, mended) = {
            let mut held = shared.lock();
            let probing = held.probing();
            (
                held.report(outcome, self.now()),
                probing && outcome == Outcome::Works,
            )
        };
        if mended {
            shared.changed.notify_one();
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
        if let Ok(shared) = self.shared(lane) {
            shared.changed.notify_one();
        }
    }

    async fn stats(&self, lane: &LaneId) -> Result<LaneStats, QueueError> {
        Ok(self.lock(lane)?.stats(self.now()))
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
mod tests;
