//! The schedule: which conversation is due in which lane, who works on it, and how fast.
//!
//! The queue is a schedule over the truth, which is the store, and can be rebuilt from it at any
//! time: it holds ids and times, no messages. Losing it costs time, never a message or an order.
//!
//! # Semantics, the same for every back end
//!
//! - A **lane** is what is isolated: one per channel, `media:{channel}`, `events:{webhook}`. It has
//!   its own limits, its own rest and pause, and nothing in it waits for another lane.
//! - A lane holds **groups** (conversations), not messages. A group is *waiting* for a time, *ready*,
//!   or *leased*. Scheduling a group that waits or is ready changes nothing but its priority: a
//!   message put off puts its group off, and a new message does not hasten it.
//! - `claim` leases ready groups, most urgent first, in the order in which they became due; every
//!   eighth claim takes the oldest bulk group. A lease has a **fence**, higher than every fence that
//!   the lane gave before. A lease that is not extended lapses, and its group is ready again.
//! - `finish` gives a lease back and says when the group is due again, if it is. When it is not, but
//!   it was scheduled meanwhile, it is ready at once. A finish with a lapsed lease changes nothing.
//!   What came meanwhile decides how urgent the group is from then on, together with what `finish` says.
//! - A **resting** lane gives no leases until its time has come; a **paused** one until it is resumed,
//!   which ends its rest, forgets its failures and makes ready what waits for a retry.
//! - After `breaker_failures` failures in a row a lane rests; then it gives one lease at a time (the
//!   probe) until one succeeds, which makes all groups ready that wait for a retry.
//! - Limits are token buckets (GCRA): one for the lane and one per recipient, taken together.
//! - A lane may have a most of leases at once, over all workers; beyond it a claim gives none.
//! - Times are relative to now, so a stepping clock moves nothing.

pub mod gcra;
pub mod memory;
#[cfg(test)]
mod model_test;
pub mod news;
pub mod redis;
#[cfg(test)]
mod suite;

pub use news::News;

use async_trait::async_trait;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// The name of a lane: a channel id, `media:{channel}` or `events:{webhook}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(Arc<str>);

impl LaneId {
    /// The lane of a channel's sends.
    pub fn channel(id: &str) -> Self {
        Self(id.into())
    }
    /// The lane that fetches a channel's attachments.
    pub fn media(channel: &str) -> Self {
        Self(format!("media:{channel}").into())
    }
    /// The lane that tells a receiver about events.
    pub fn events(webhook: &str) -> Self {
        Self(format!("events:{webhook}").into())
    }
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What keeps an order inside a lane: a conversation. Negative numbers are effects.
pub type Group = i64;

/// How urgent a group is: as urgent as the most urgent message that waits in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A person waits.
    Normal,
    /// A campaign: goes when nobody waits, but never starves.
    Bulk,
}

/// A group and when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The group.
    pub group: Group,
    /// From now.
    pub after: Duration,
    /// How urgent it is.
    pub priority: Priority,
    /// Waits for a retry: made ready at once when the lane works again.
    pub retry: bool,
}

impl Due {
    /// Due at once.
    pub const fn now(group: Group, priority: Priority) -> Self {
        Self {
            group,
            after: Duration::ZERO,
            priority,
            retry: false,
        }
    }

    /// Due after a time, for a reason other than a failure.
    pub const fn after(group: Group, after: Duration, priority: Priority) -> Self {
        Self {
            group,
            after,
            priority,
            retry: false,
        }
    }

    /// Due for another try.
    pub const fn retry(group: Group, after: Duration, priority: Priority) -> Self {
        Self {
            group,
            after,
            priority,
            retry: true,
        }
    }
}

/// The right to work on a group for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The group.
    pub group: Group,
    /// Higher than every fence given before in this lane.
    pub fence: i64,
}

/// What a claim brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// The groups that are ours now.
    pub leases: Vec<Lease>,
    /// When there may be more, from now; `None`: only after a wake-up.
    pub next: Option<Duration>,
}

/// Limits of a lane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Parts per second over the whole lane.
    pub rate: gcra::Rate,
    /// Parts per second to one recipient.
    pub recipient: Option<gcra::Rate>,
    /// The most leases at once, over all workers.
    pub max_leases: Option<NonZeroU32>,
    /// How long a lease lasts unless it is extended.
    pub lease: Duration,
    /// That many failures in a row and the lane rests.
    pub breaker_failures: u32,
    /// For so long.
    pub breaker_rest: Duration,
}

/// What became of one try, for the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The platform took it, or refused it for a reason of its own: it works.
    Works,
    /// It may be down.
    Failed,
}

/// How a lane is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Groups that wait or are ready.
    pub depth: usize,
    /// Groups that are worked on.
    pub leased: usize,
    /// For how long the oldest ready group has been ready.
    pub oldest_ready: Option<Duration>,
    /// Whether it is paused.
    pub paused: bool,
    /// How long it still rests.
    pub resting: Option<Duration>,
}

/// The queue does not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the queue does not answer: {0}")]
pub struct QueueError(pub String);

/// Why no tokens are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The limits say so: there will be some after this.
    Wait(Duration),
    /// The lane is paused or rests. What is due waits in it, also what somebody holds and would go on with.
    Closed,
}

/// The schedule. See the module's page for what it promises.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Makes groups due, unless they are due already. Twice is the same as once.
    ///
    /// # Errors
    /// When the queue does not answer; nothing is lost, the reconciler schedules again.
    async fn schedule(&self, lane: &LaneId, due: &[Due]) -> Result<(), QueueError>;

    /// Makes groups ready now, even those that were put off: an operator said so.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn hasten(&self, lane: &LaneId, groups: &[Group]) -> Result<(), QueueError>;

    /// Leases up to `most` ready groups.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn claim(&self, lane: &LaneId, most: usize) -> Result<Claim, QueueError>;

    /// Keeps a lease for another length. `false`: it has lapsed and somebody else may work there.
    ///
    /// # Errors
    /// When the queue does not answer; the lease lapses unless a later call succeeds.
    async fn extend(&self, lane: &LaneId, lease: Lease) -> Result<bool, QueueError>;

    /// Gives a lease back; `next` says when the group is due again.
    ///
    /// # Errors
    /// When the queue does not answer; the lease lapses by itself.
    async fn finish(
        &self,
        lane: &LaneId,
        lease: Lease,
        next: Option<Due>,
    ) -> Result<(), QueueError>;

    /// Takes `parts` tokens for a recipient, or says why not. Takes all or nothing.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn take(
        &self,
        lane: &LaneId,
        recipient: Group,
        parts: u32,
    ) -> Result<Result<(), Refused>, QueueError>;

    /// Lets the whole lane rest for so long (a later end wins).
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn rest(&self, lane: &LaneId, rest: Duration) -> Result<(), QueueError>;

    /// Pauses or resumes a lane.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn pause(&self, lane: &LaneId, paused: bool) -> Result<(), QueueError>;

    /// Tells the breaker what became of a try. `true`: the lane rests from now on.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn report(&self, lane: &LaneId, outcome: Outcome) -> Result<bool, QueueError>;

    /// Raises the lane's fence over `fence`: the store has seen that one already.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn raise_fence(&self, lane: &LaneId, fence: i64) -> Result<(), QueueError>;

    /// Sleeps until something in the lane changed or the time is over. May wake for nothing.
    async fn wait(&self, lane: &LaneId, most: Option<Duration>);

    /// Wakes whoever waits for the lane in this process: a slot became free.
    fn nudge(&self, lane: &LaneId);

    /// How a lane is.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn stats(&self, lane: &LaneId) -> Result<LaneStats, QueueError>;

    /// Whether the queue answers.
    ///
    /// # Errors
    /// When it does not.
    async fn ping(&self) -> Result<(), QueueError>;

    /// Tells the other processes. Best effort: whoever waits for news looks for itself, too, in the
    /// end.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn tell(&self, news: &News) -> Result<(), QueueError>;

    /// Waits for what another process told, or what happened to the queue. One listener per process.
    async fn news(&self) -> News;
}
