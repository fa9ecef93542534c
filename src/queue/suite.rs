//! What every back end of the queue promises: a law per sentence of the parent module's page.
//!
//! A law sees a queue only through [`Queue`], and moves time only through [`Clock`], so that it runs
//! unchanged over a queue in this process on a paused clock and over one behind a socket. Waits are
//! whole [`UNIT`]s and answers about time may be off by half of one, because a real clock runs on
//! between two calls. A back end states how it is opened and takes all laws:
//! `every_law!(run_law: open => #[tokio::test])`.

mod breaker;
mod leases;
mod limits;
mod schedule;

pub(super) use breaker::*;
pub(super) use leases::*;
pub(super) use limits::*;
pub(super) use schedule::*;

use super::gcra::Rate;
use super::{Claim, Due, Group, LaneId, Lease, Limits, Priority, Queue, Refused};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// The measure of all waits.
pub(super) const UNIT: Duration = Duration::from_millis(200);
/// How long the leases of [`limits`] last.
pub(super) const LEASE: u32 = 10;
/// How many failures in a row open the breaker of [`limits`].
pub(super) const FAILURES: u32 = 3;
/// For how long it then rests.
pub(super) const REST: u32 = 5;

/// Moves the time of a queue.
#[async_trait]
pub(super) trait Clock: Send + Sync {
    /// Lets so much time pass.
    async fn advance(&self, by: Duration);
}

/// The lanes of a queue to be opened.
pub(super) type Lanes = Vec<(LaneId, Limits)>;
/// Opens an empty queue.
pub(super) type Open = fn(Lanes) -> BoxFuture<'static, (Arc<dyn Queue>, Arc<dyn Clock>)>;

/// Runs a test per law over a back end.
macro_rules! every_law {
    ($open:path => $(#[$attribute:meta])+) => {
        crate::queue::suite::every_law! {
            @each $open, [$(#[$attribute])+]:
            scheduled_twice_is_scheduled_once,
            groups_come_in_the_order_in_which_they_became_due,
            a_new_message_does_not_hasten_what_was_put_off,
            an_urgent_message_makes_its_group_urgent_where_it_stands,
            an_urgent_message_makes_a_group_urgent_that_waits,
            urgent_groups_go_first,
            every_eighth_claim_takes_the_oldest_bulk_group,
            looking_in_vain_does_not_move_the_turn_of_the_bulk_groups,
            bulk_goes_when_nothing_else_waits,
            hastened_groups_are_ready_at_once,
            lanes_are_apart,
            an_unknown_lane_is_an_error,
            nothing_is_lost_in_a_crowd,
            a_claim_brings_no_more_than_asked_and_says_when_there_is_more,
            a_leased_group_is_nobody_elses,
            fences_rise,
            a_raised_fence_is_passed,
            a_lease_that_is_not_extended_lapses,
            an_extended_lease_holds,
            a_lapsed_lease_cannot_be_extended,
            a_lapsed_lease_finishes_nothing,
            a_lapsed_lease_finishes_nothing_of_its_successor,
            a_lapsed_group_keeps_the_turn_of_its_lapse,
            a_finished_group_is_gone,
            a_finished_group_comes_again_when_it_said,
            a_wake_up_during_a_lease_makes_the_group_ready_at_its_end,
            a_wake_up_during_a_lease_does_not_hasten_what_was_put_off,
            a_wake_up_during_a_lease_decides_the_priority,
            a_lane_gives_no_more_leases_than_its_most,
            a_resting_lane_gives_nothing,
            the_later_end_of_two_rests_wins,
            a_paused_lane_gives_nothing_until_it_is_resumed,
            resuming_forgets_rest_and_breaker,
            failures_in_a_row_open_the_breaker,
            a_success_starts_the_count_anew,
            a_probe_goes_alone_until_it_succeeds,
            a_probe_that_fails_lets_the_lane_rest_again,
            a_probe_without_a_verdict_is_followed_by_another,
            a_probe_that_lapses_is_followed_by_another,
            an_old_lease_neither_ends_nor_doubles_the_probe,
            success_makes_the_waiting_retries_ready,
            the_lanes_bucket_is_shared,
            a_recipients_bucket_is_its_own,
            tokens_are_taken_all_or_none,
            a_refused_take_says_when_it_will_be_granted,
            a_closed_lane_hands_out_nothing,
            stats_tell_how_the_lane_is,
            waiting_ends_when_something_is_scheduled,
            waiting_ends_when_a_lease_is_given_back,
            waiting_ends_when_a_lease_of_a_full_lane_is_given_back,
            waiting_ends_when_the_lane_is_resumed,
            waiting_ends_when_it_is_nudged,
            a_wake_up_before_the_wait_is_not_lost,
            waiting_ends_when_its_time_is_over,
            it_answers,
        }
    };
    (@each $open:path, $attributes:tt: $($law:ident,)*) => {
        $(crate::queue::suite::every_law! { @law $open, $attributes, $law })*
    };
    (@law $open:path, [$(#[$attribute:meta])+], $law:ident) => {
        $(#[$attribute])+
        async fn $law() {
            crate::queue::suite::$law($open).await;
        }
    };
}
pub(super) use every_law;

/// Limits that get in nobody's way.
pub(super) fn limits() -> Limits {
    Limits {
        rate: Rate::new(1_000_000.0, 1000),
        recipient: None,
        max_leases: None,
        lease: UNIT * LEASE,
        breaker_failures: FAILURES,
        breaker_rest: UNIT * REST,
    }
}

/// A queue with its clock, and the lane that most laws look at.
pub(super) struct Bench {
    pub(super) queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    pub(super) lane: LaneId,
}

impl Bench {
    pub(super) async fn open(open: Open) -> Self {
        Self::with(open, limits()).await
    }

    pub(super) async fn with(open: Open, limits: Limits) -> Self {
        let lane = LaneId::channel("one");
        let (queue, clock) = open(vec![
            (lane.clone(), limits),
            (LaneId::media("one"), limits),
            (LaneId::events("hook"), limits),
        ])
        .await;
        Self { queue, clock, lane }
    }

    pub(super) async fn pass(&self, units: u32) {
        self.clock.advance(UNIT * units).await;
    }

    pub(super) async fn schedule(&self, due: &[Due]) {
        self.queue.schedule(&self.lane, due).await.unwrap();
    }

    /// Schedules a group for now.
    pub(super) async fn ready(&self, groups: &[Group]) {
        let due: Vec<Due> = groups.iter().map(|g| normal(*g)).collect();
        self.schedule(&due).await;
    }

    pub(super) async fn claim(&self, most: usize) -> Claim {
        self.queue.claim(&self.lane, most).await.unwrap()
    }

    /// The groups of a claim.
    pub(super) async fn groups(&self, most: usize) -> Vec<Group> {
        let claim = self.claim(most).await;
        claim.leases.iter().map(|l| l.group).collect()
    }

    /// Claims one group, which must be there.
    pub(super) async fn one(&self) -> Lease {
        let claim = self.claim(1).await;
        *claim.leases.first().expect("a group is ready")
    }

    pub(super) async fn finish(&self, lease: Lease, next: Option<Due>) {
        self.queue.finish(&self.lane, lease, next).await.unwrap();
    }

    pub(super) async fn extend(&self, lease: Lease) -> bool {
        self.queue.extend(&self.lane, lease).await.unwrap()
    }

    pub(super) async fn report(&self, outcome: super::Outcome) -> bool {
        self.queue.report(&self.lane, outcome).await.unwrap()
    }

    pub(super) async fn take(&self, recipient: Group, parts: u32) -> Result<(), Refused> {
        self.queue.take(&self.lane, recipient, parts).await.unwrap()
    }

    pub(super) async fn stats(&self) -> super::LaneStats {
        self.queue.stats(&self.lane).await.unwrap()
    }
}

pub(super) const fn normal(group: Group) -> Due {
    Due::now(group, Priority::Normal)
}

pub(super) const fn bulk(group: Group) -> Due {
    Due::now(group, Priority::Bulk)
}

pub(super) fn later(group: Group, units: u32) -> Due {
    Due::after(group, UNIT * units, Priority::Normal)
}

pub(super) fn retry(group: Group, units: u32) -> Due {
    Due::retry(group, UNIT * units, Priority::Normal)
}

/// An answer about time is right when it is off by less than half a unit, and never too long.
#[track_caller]
pub(super) fn about(found: Option<Duration>, units: u32) {
    let found = found.expect("a time");
    let wanted = UNIT * units;
    assert!(
        found <= wanted && found + UNIT / 2 > wanted,
        "{found:?} instead of {wanted:?}"
    );
}
