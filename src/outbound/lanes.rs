//! Running a lane: claim what is due, work on it in so many slots, give it back. What is done with a
//! group is somebody else's; how lanes are kept apart is here.

use crate::queue::{Due, LaneId, Lease, Queue};
use async_trait::async_trait;
use futures_util::FutureExt;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When the queue does not answer, it is asked again after so long.
const QUEUE_DOWN: Duration = Duration::from_secs(1);
/// Renewals per lease: two may fail before it lapses.
const RENEWALS: u32 = 3;

/// What is done with the groups of a lane.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    /// Works on a group. Says when it is due again, if it is. `stop` asks to begin nothing new.
    async fn turn(&self, lease: Lease, stop: &CancellationToken) -> Option<Due>;
}

/// A lane to be run.
pub struct Runner {
    /// The schedule.
    pub queue: Arc<dyn Queue>,
    /// Which lane.
    pub lane: LaneId,
    /// Groups worked on at once.
    pub slots: usize,
    /// How long a lease lasts.
    pub lease: Duration,
    /// What is done.
    pub work: Arc<dyn Work>,
}

impl Runner {
    /// Runs the lane until `stop`, then waits for what is under way.
    pub async fn run(self, stop: CancellationToken) {
        let runner = Arc::new(self);
        let slots = Arc::new(Semaphore::new(runner.slots.max(1)));
        let tasks = TaskTracker::new();
        while !stop.is_cancelled() {
            let free = slots.available_permits();
            let next = if free == 0 {
                None
            } else {
                runner.claim(free, &slots, &tasks, &stop).await
            };
            // A finish wakes the lane too, so a full lane sleeps until a slot is free.
            let wait = runner.queue.wait(&runner.lane, next);
            tokio::select! {
                () = wait => {}
                () = stop.cancelled() => {}
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Claims and starts turns; returns when to look again.
    async fn claim(
        self: &Arc<Self>,
        free: usize,
        slots: &Arc<Semaphore>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Option<Duration> {
        let claim = match self.queue.claim(&self.lane, free).await {
            Ok(claim) => claim,
            Err(error) => {
                tracing::warn!(lane = %self.lane, %error, "nothing can be claimed");
                return Some(QUEUE_DOWN);
            }
        };
        let brought = claim.leases.len();
        for lease in claim.leases {
            let Ok(permit) = Arc::clone(slots).try_acquire_owned() else {
                break;
            };
            let (runner, stop) = (Arc::clone(self), stop.clone());
            tasks.spawn(async move {
                runner.turn(lease, &stop).await;
                drop(permit);
                // The slot is free only now, after `finish` has woken the lane.
                runner.queue.nudge(&runner.lane);
            });
        }
        // A full claim may have left more behind.
        if brought == free {
            Some(Duration::ZERO)
        } else {
            claim.next
        }
    }

    /// One turn: works while the lease is renewed, then gives it back.
    async fn turn(self: &Arc<Self>, lease: Lease, stop: &CancellationToken) {
        // A panic ends the turn and not the lane.
        let turn = AssertUnwindSafe(self.work.turn(lease, stop)).catch_unwind();
        let held = Mutex::new(Instant::now());
        let ended = tokio::select! {
            ended = turn => ended,
            never = self.renew(lease, &held) => match never {},
        };
        let next = ended.unwrap_or_else(|_panic| {
            tracing::error!(lane = %self.lane, "a turn broke off");
            let normal = crate::queue::Priority::Normal;
            Some(Due::after(lease.group, self.lease, normal))
        });
        let held = held.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Until the lease has lapsed by itself: otherwise the conversation would rest for the whole of
        // it after a moment without an answer. Giving it back twice is the same as once.
        while let Err(error) = self.queue.finish(&self.lane, lease, next).await {
            if stop.is_cancelled() || held.elapsed() >= self.lease {
                tracing::warn!(lane = %self.lane, %error, "a lease is not given back; it will lapse");
                break;
            }
            tracing::debug!(lane = %self.lane, %error, "a lease is not given back yet");
            tokio::select! {
                () = tokio::time::sleep(QUEUE_DOWN) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Renews a lease for as long as this is waited for; notes when it last did.
    async fn renew(&self, lease: Lease, held: &Mutex<Instant>) -> Infallible {
        let period = self.lease / RENEWALS;
        // The first tick of a plain interval comes at once, which is up to a millisecond from now.
        let mut renewal = tokio::time::interval_at(Instant::now() + period, period);
        loop {
            renewal.tick().await;
            match self.queue.extend(&self.lane, lease).await {
                Ok(true) => *held.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now(),
                // The store's fence keeps us from doing harm; what is under way is recorded.
                Ok(false) => tracing::warn!(lane = %self.lane, "a lease has lapsed"),
                Err(error) => tracing::warn!(lane = %self.lane, %error, "not renewed"),
            }
        }
    }
}
