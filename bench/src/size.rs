//! How much is measured: the forms of a run.

use crate::servers::Pair;

/// The numbers of a form.
#[derive(Debug, Clone)]
pub struct Size {
    /// Turns that subject and baseline take; the median counts.
    pub rounds: usize,
    /// Turns with somebody who receives events.
    pub event_rounds: usize,
    /// Turns of seconds that the platform takes, whatever the machine does.
    pub slow_rounds: usize,
    /// PostgreSQL and Redis, which take longer for the same, get this part of it.
    pub scaled_out_part: usize,
    /// Scenarios go on with the gateway of the one before, instead of one on an empty store.
    pub shares: bool,
    /// Webhooks of one message in a turn.
    pub hooks: usize,
    /// The same in a turn of the growth of the store.
    pub growth_hooks: usize,
    /// Webhooks of twenty messages in a turn.
    pub batches: usize,
    /// Sends queued for a platform that answers at once.
    pub sends: usize,
    /// Conversations that they go to.
    pub chats: usize,
    /// Sends queued for a platform that takes its time.
    pub slow_sends: usize,
    /// Calls on an idle gateway.
    pub calls: usize,
    /// Seconds of calls at half the load.
    pub paced_seconds: f64,
    /// Sends queued for each lane beside one that hangs.
    pub lane_sends: usize,
    /// Depths of the queue.
    pub depths: Vec<i64>,
    /// Depths of the queue in Redis, which takes longer to be filled than to be measured.
    pub redis_depths: Vec<i64>,
    /// Operations on the queue in a turn.
    pub operations: usize,
    /// Messages in the store before it is measured.
    pub stored: Vec<i64>,
    /// Messages that wait.
    pub queued: i64,
    /// Starts of an empty gateway.
    pub starts: usize,
}

impl Size {
    /// So many, or the part of them that a slower pair gets.
    pub fn of(&self, pair: Pair, count: usize) -> usize {
        match pair {
            Pair::Embedded => count,
            Pair::ScaledOut => (count / self.scaled_out_part).max(1),
        }
    }

    /// What a quiet machine does in some minutes.
    pub fn full(long: bool) -> Self {
        Self {
            rounds: 5,
            // A turn leaves tens of thousands of events, which the next would have to wait for.
            event_rounds: 1,
            slow_rounds: 3,
            scaled_out_part: 1,
            shares: false,
            hooks: 20_000,
            growth_hooks: 20_000,
            batches: 1500,
            sends: 20_000,
            chats: 2000,
            slow_sends: 6400,
            calls: 500,
            paced_seconds: 5.0,
            lane_sends: 1000,
            depths: vec![1000, 100_000, 1_000_000],
            redis_depths: vec![1000, 100_000, 1_000_000],
            operations: 50_000,
            stored: if long {
                vec![10_000, 100_000, 1_000_000, 5_000_000]
            } else {
                vec![10_000, 100_000, 1_000_000]
            },
            queued: 100_000,
            starts: 7,
        }
    }

    /// Well under a minute: rougher, and with less to grow.
    pub fn quick() -> Self {
        Self {
            rounds: 3,
            event_rounds: 1,
            slow_rounds: 1,
            scaled_out_part: 3,
            shares: true,
            hooks: 2400,
            growth_hooks: 1500,
            batches: 120,
            sends: 1500,
            chats: 150,
            // Thirty rows of those in flight: a tenth and nine tenths of them lie within a row, and a row
            // more or less is a thirtieth.
            slow_sends: 1920,
            calls: 40,
            paced_seconds: 0.5,
            lane_sends: 120,
            depths: vec![1000, 1_000_000],
            redis_depths: vec![1000, 100_000],
            operations: 20_000,
            stored: vec![10_000, 20_000],
            queued: 50_000,
            starts: 3,
        }
    }

    /// Seconds, also without optimisation.
    pub fn smoke() -> Self {
        Self {
            rounds: 1,
            event_rounds: 1,
            slow_rounds: 1,
            scaled_out_part: 1,
            shares: true,
            hooks: 100,
            growth_hooks: 100,
            batches: 5,
            sends: 60,
            chats: 20,
            slow_sends: 60,
            calls: 5,
            paced_seconds: 0.2,
            lane_sends: 10,
            depths: vec![100, 1000],
            redis_depths: vec![100, 1000],
            operations: 100,
            stored: vec![1000, 2000],
            queued: 1000,
            starts: 1,
        }
    }
}
