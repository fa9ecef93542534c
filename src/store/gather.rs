//! Units of one kind that come at the same moment, written together, on a database where each statement
//! is a round trip: while one group is being written, the next one gathers, so nobody waits for company.
//!
//! On SQLite there is nothing to gain: its writer shares commits already, and its statements cost no
//! round trip.

use super::deliveries::{self, Told};
use super::inbound::{self, Fate, InboundBatch};
use super::sends::{self, AcceptSend, Accepted};
use super::work::{self, After, Begin, Begun, Taken};
use super::{Store, StoreError, Tx, Unit, Wakes, at_once};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Units of one group. Beyond some dozens nothing is gained by a larger one, and the first of it would
/// wait for the last.
const GROUP_MAX: usize = 64;
/// Groups of one kind written at once: while one waits for the disk, another one is worked on. More would
/// only wait for each other's people and conversations.
const AT_ONCE: usize = 2;

/// A unit of which several may be written as one.
trait Together: Clone + Send + Sync + Sized + 'static {
    /// What comes of it.
    type Done: Send + 'static;

    /// Where those of its kind gather.
    fn gathered(all: &Gathering) -> &Gathered<Self>;

    /// Does all of them, as if one after the other; of each what came of it, and what it wakes.
    fn write_all(
        tx: &mut Tx<'_>,
        unit: &mut Unit<'_>,
        all: &[Self],
    ) -> Result<Vec<(Self::Done, Wakes)>, StoreError>;
}

/// What gathers, by kind.
#[derive(Default)]
pub(super) struct Gathering {
    webhooks: Gathered<Arc<[InboundBatch]>>,
    receipts: Gathered<Arc<Taken>>,
    begins: Gathered<Begin>,
    sends: Gathered<Arc<AcceptSend>>,
    told: Gathered<Told>,
}

impl Together for Arc<[InboundBatch]> {
    type Done = Vec<Vec<Fate>>;

    fn gathered(all: &Gathering) -> &Gathered<Self> {
        &all.webhooks
    }

    fn write_all(
        tx: &mut Tx<'_>,
        unit: &mut Unit<'_>,
        all: &[Self],
    ) -> Result<Vec<(Self::Done, Wakes)>, StoreError> {
        at_once(inbound::apply_all(tx, unit, all))
    }
}

impl Together for Arc<Taken> {
    type Done = After;

    fn gathered(all: &Gathering) -> &Gathered<Self> {
        &all.receipts
    }

    fn write_all(
        tx: &mut Tx<'_>,
        unit: &mut Unit<'_>,
        all: &[Self],
    ) -> Result<Vec<(Self::Done, Wakes)>, StoreError> {
        at_once(work::taken_all(tx, unit, all))
    }
}

impl Together for Begin {
    type Done = Begun;

    fn gathered(all: &Gathering) -> &Gathered<Self> {
        &all.begins
    }

    fn write_all(
        tx: &mut Tx<'_>,
        unit: &mut Unit<'_>,
        all: &[Self],
    ) -> Result<Vec<(Self::Done, Wakes)>, StoreError> {
        at_once(work::begin_all(tx, unit, all))
    }
}

impl Together for Arc<AcceptSend> {
    type Done = Accepted;

    fn gathered(all: &Gathering) -> &Gathered<Self> {
        &all.sends
    }

    fn write_all(
        tx: &mut Tx<'_>,
        unit: &mut Unit<'_>,
        all: &[Self],
    ) -> Result<Vec<(Self::Done, Wakes)>, StoreError> {
        at_once(sends::accept_all(tx, unit, all))
    }
}

impl Together for Told {
    type Done = ();

    fn gathered(all: &Gathering) -> &Gathered<Self> {
        &all.told
    }

    fn write_all(
        tx: &mut Tx<'_>,
        unit: &mut Unit<'_>,
        all: &[Self],
    ) -> Result<Vec<(Self::Done, Wakes)>, StoreError> {
        at_once(deliveries::done(tx, unit, all))?;
        Ok(all.iter().map(|_| ((), Wakes::default())).collect())
    }
}

/// Who waits to be told, and of what.
type Reply<T> = oneshot::Sender<Result<(<T as Together>::Done, Wakes), StoreError>>;

/// A unit that waits.
struct Waiting<T: Together> {
    one: T,
    reply: Reply<T>,
}

/// What has gathered of one kind.
struct Gathered<T: Together> {
    waiting: Mutex<VecDeque<Waiting<T>>>,
    writing: Arc<Semaphore>,
}

impl<T: Together> Default for Gathered<T> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            writing: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl<T: Together> Gathered<T> {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting<T>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Vec<Waiting<T>> {
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
        self.together(webhook).await
    }

    /// Records a receipt ([`work::taken`]): what stands in its conversation then, and what to wake, for it
    /// and perhaps for others that were written with it.
    ///
    /// # Errors
    /// When it could not be written, or nobody knows whether it was.
    ///
    /// # Cancel safety
    /// A receipt whose worker goes away is written all the same.
    pub async fn taken(&self, receipt: Arc<Taken>) -> Result<(After, Wakes), StoreError> {
        self.together(receipt).await
    }

    /// Begins what is next in a conversation ([`work::begin`]): what was found, and what to wake, for it
    /// and perhaps for others that were begun with it.
    ///
    /// # Errors
    /// When it could not be written, or nobody knows whether it was.
    ///
    /// # Cancel safety
    /// A conversation whose worker goes away is begun all the same, as if that had died a moment later.
    pub async fn begin(&self, begin: Begin) -> Result<(Begun, Wakes), StoreError> {
        self.together(begin).await
    }

    /// Accepts a send ([`sends::accept`]): what became of it, and what to wake, for it and perhaps for
    /// others that were accepted with it.
    ///
    /// # Errors
    /// When it could not be written, or nobody knows whether it was.
    ///
    /// # Cancel safety
    /// A send whose caller goes away is accepted all the same.
    pub async fn accept(&self, send: AcceptSend) -> Result<(Accepted, Wakes), StoreError> {
        self.together(Arc::new(send)).await
    }

    /// Marks an event as delivered ([`deliveries::done`]).
    ///
    /// # Errors
    /// When it could not be written, or nobody knows whether it was.
    ///
    /// # Cancel safety
    /// It is marked all the same.
    pub async fn told(&self, told: Told) -> Result<(), StoreError> {
        self.together(told).await.map(drop)
    }

    async fn together<T: Together>(&self, one: T) -> Result<(T::Done, Wakes), StoreError> {
        if self.is_embedded() {
            return self.alone(one).await;
        }
        // Not the caller's own: a group is written for others as well, and the runtime of an HTTP worker
        // ends with the worker's last request.
        let runtime = &self.opened()?.runtime;
        let (reply, result) = oneshot::channel();
        let gathered = T::gathered(&self.gathering);
        gathered.waiting().push_back(Waiting { one, reply });
        self.gather::<T>(runtime);
        let lost = || StoreError::Unavailable("a group of units broke off".to_owned());
        result.await.map_err(|_dropped| lost())?
    }

    async fn alone<T: Together>(&self, one: T) -> Result<(T::Done, Wakes), StoreError> {
        let (mut done, _) = self
            .write(move |tx, unit| T::write_all(tx, unit, std::slice::from_ref(&one)))
            .await?;
        let lost = || StoreError::Corrupt("a unit came to nothing".to_owned());
        done.pop().ok_or_else(lost)
    }

    /// Begins to write what waits, unless enough are at it.
    fn gather<T: Together>(&self, runtime: &Handle) {
        let writing = &T::gathered(&self.gathering).writing;
        if let Ok(permit) = Arc::clone(writing).try_acquire_owned() {
            runtime.spawn(self.clone().write_groups::<T>(permit));
        }
    }

    async fn write_groups<T: Together>(self, permit: OwnedSemaphorePermit) {
        loop {
            let group = T::gathered(&self.gathering).next();
            if group.is_empty() {
                break;
            }
            self.write_group(group).await;
        }
        drop(permit);
        // What came between the last look and the permit's return found nobody free.
        if !T::gathered(&self.gathering).waiting().is_empty() {
            self.gather::<T>(&Handle::current());
        }
    }

    async fn write_group<T: Together>(&self, group: Vec<Waiting<T>>) {
        let (all, replies): (Vec<T>, Vec<Reply<T>>) =
            group.into_iter().map(|w| (w.one, w.reply)).unzip();
        let units = all.clone();
        let written = self
            .write(move |tx, unit| T::write_all(tx, unit, &units))
            .await;
        match written {
            Ok((done, _)) => {
                // Whoever is there first wakes for all: one call to the queue instead of one each.
                let (done, of_each): (Vec<_>, Vec<_>) = done.into_iter().unzip();
                let mut wakes = Wakes::default();
                of_each.into_iter().for_each(|of_one| wakes.extend(of_one));
                for (reply, done) in replies.into_iter().zip(done) {
                    // Who has gone away is not told, and wakes nobody.
                    if let Err(Ok((_, back))) = reply.send(Ok((done, std::mem::take(&mut wakes)))) {
                        wakes = back;
                    }
                }
            }
            // Written again, what was written after all is found there; but not by this process' count.
            Err(StoreError::Unknown(what)) => {
                for reply in replies {
                    drop(reply.send(Err(StoreError::Unknown(what.clone()))));
                }
            }
            // One of them may be what cannot be written: it must not take the others with it.
            Err(error) if replies.len() > 1 => {
                tracing::debug!(%error, "units are written one by one");
                let alone = all.into_iter().zip(replies).map(|(one, reply)| async {
                    drop(reply.send(self.alone(one).await));
                });
                futures_util::future::join_all(alone).await;
            }
            Err(error) => {
                for reply in replies {
                    drop(reply.send(Err(error.clone())));
                }
            }
        }
    }
}
