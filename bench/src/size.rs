//! How much is measured: the forms of a run.

/// The numbers of a form.
#[derive(Debug, Clone)]
pub struct Size {
    /// Turns that subject and baseline take; the median counts.
    pub rounds: usize,
    /// Webhooks of one message in a turn.
    pub hooks: usize,
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
    /// What a quiet machine does in some minutes.
    pub fn full(long: bool) -> Self {
        Self {
            rounds: 5,
            hooks: 20_000,
            batches: 1500,
            sends: 20_000,
            chats: 2000,
            slow_sends: 6400,
            calls: 500,
            paced_seconds: 5.0,
            lane_sends: 1000,
            depths: vec![1000, 100_000, 1_000_000],
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

    /// Under a minute.
    pub fn quick() -> Self {
        Self {
            rounds: 3,
            hooks: 5000,
            batches: 300,
            sends: 3000,
            chats: 300,
            slow_sends: 1600,
            calls: 150,
            paced_seconds: 1.0,
            lane_sends: 200,
            depths: vec![1000, 1_000_000],
            operations: 20_000,
            stored: vec![10_000, 100_000],
            queued: 100_000,
            starts: 5,
        }
    }

    /// Seconds, also without optimisation.
    pub fn smoke() -> Self {
        Self {
            rounds: 1,
            hooks: 100,
            batches: 5,
            sends: 60,
            chats: 20,
            slow_sends: 60,
            calls: 5,
            paced_seconds: 0.2,
            lane_sends: 10,
            depths: vec![100, 1000],
            operations: 100,
            stored: vec![1000, 2000],
            queued: 1000,
            starts: 1,
        }
    }
}
