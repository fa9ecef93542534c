//! Webhooks that come at the same moment, applied together, on a database where each statement is a
//! round trip: while one group is being written, the next one gathers.
//!
//! On SQLite there is nothing to gain: its writer shares commits already, and its statements cost no
//! round trip.

use super::inbound::{self, Applied, Fate, InboundBatch};
use super::{Store, StoreError, Wakes, at_once};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Webhooks of one group. Beyond some dozens nothing is gained by a larger one, and the first of it would
/// wait for the last.
const GROUP_MAX: usize = 64;
/// Groups written at once: while one waits for the disk, another one is worked on. More would only
/// wait for each other's people and conversations.
const AT_ONCE: usize = 2;

/// A webhook that waits.
struct Waiting {
    webhook: Arc<[InboundBatch]>,
    reply: oneshot::Sender<Result<Applied, StoreError>>,
}

/// What has gathered.
pub(super) struct Gathered {
    waiting: Mutex<VecDeque<Waiting>>,
    writing: Arc<Semaphore>,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            writing: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Gathered {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let count = waiting.len().min(GROUP_MAX);
        waiting.drain(..count).collect()
    }
}

impl Store {
    /// Makes durable what a webhook carried: what became of each event of each batch, and what to wake,
    /// for it and perhaps for others that were written with it.
    ///
    /// # Errors
    /// When it could not be written, or nobody knows whether it was.
    ///
    /// # Cancel safety
    /// A webhook whose caller goes away is written all the same.
    pub async fn take_in(
        &self,
        webhook: Arc<[InboundBatch]>,
    ) -> Result<(Vec<Vec<Fate>>, Wakes), StoreError> {
        if self.is_embedded() {
            return self.alone(webhook).await;
        }
        // Not the caller's own: a group is written for others as well, and the runtime of an HTTP worker
        // ends with the worker's last request.
        let runtime = &self.opened()?.runtime;
        let (reply, result) = oneshot::channel();
        self.gathered
            .waiting()
            .push_back(Waiting { webhook, reply });
        self.gather(runtime);
        let lost = || StoreError::Unavailable("a group of webhooks broke off".to_owned());
        result.await.map_err(|_dropped| lost())?
    }

    async fn alone(&self, webhook: Arc<[InboundBatch]>) -> Result<Applied, StoreError> {
        self.write(move |tx, unit| at_once(inbound::apply(tx, unit, &webhook)))
            .await
    }

    /// Begins to write what waits, unless enough are at it.
    fn gather(&self, runtime: &Handle) {
        if let Ok(permit) = Arc::clone(&self.gathered.writing).try_acquire_owned() {
            runtime.spawn(self.clone().write_groups(permit));
        }
    }

    async fn write_groups(self, permit: OwnedSemaphorePermit) {
        loop {
            let group = self.gathered.next();
            if group.is_empty() {
                break;
            }
            self.write_group(group).await;
        }
        drop(permit);
        // What came between the last look and the permit's return found nobody free.
        if !self.gathered.waiting().is_empty() {
            self.gather(&Handle::current());
        }
    }

    async fn write_group(&self, group: Vec<Waiting>) {
        let webhooks: Vec<_> = group.iter().map(|w| Arc::clone(&w.webhook)).collect();
        let written = self
            .write(move |tx, unit| at_once(inbound::apply_all(tx, unit, &webhooks)))
            .await;
        match written {
            Ok((applied, _)) => {
                // Whoever is there first wakes for all: one call to the queue instead of one each.
                let (fates, of_each): (Vec<_>, Vec<_>) = applied.into_iter().unzip();
                let mut wakes = Wakes::default();
                of_each.into_iter().for_each(|of_one| wakes.extend(of_one));
                for (waiting, fates) in group.into_iter().zip(fates) {
                    let told = waiting.reply.send(Ok((fates, std::mem::take(&mut wakes))));
                    // Who has gone away is not told, and wakes nobody.
                    if let Err(Ok((_, back))) = told {
                        wakes = back;
                    }
                }
            }
            // Written again, what was written after all is found there; but not by this process' count.
            Err(StoreError::Unknown(what)) => {
                for waiting in group {
                    drop(waiting.reply.send(Err(StoreError::Unknown(what.clone()))));
                }
            }
            // One of them may be what cannot be written: it must not take the others with it.
            Err(error) if group.len() > 1 => {
                tracing::debug!(%error, "webhooks are written one by one");
                let alone = group.into_iter().map(|waiting| async {
                    let written = self.alone(waiting.webhook).await;
                    drop(waiting.reply.send(written));
                });
                futures_util::future::join_all(alone).await;
            }
            Err(error) => {
                for waiting in group {
                    drop(waiting.reply.send(Err(error.clone())));
                }
            }
        }
    }
}
