//! One lane: its groups, where each stands, and what makes it go or rest.
//!
//! Times are nanoseconds since the queue's beginning. Whoever calls holds the lane's lock.

use super::groups::{Entry, Groups, Place, Slot};
use super::row::{Ready, Row};
use crate::queue::{Claim, Due, Group, LaneStats, Lease, Limits, Outcome, Priority, Refused};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Every so many claims the oldest bulk group goes first, so that a campaign is slow but not starved.
const BULK_EVERY: u64 = 8;
/// Recipients' buckets are looked through for full ones when so many more have come.
const BUCKETS_SWEEP: usize = 1024;

/// The breaker of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaker {
    /// Failures in a row so far.
    Closed(u32),
    /// One lease at a time until one succeeds: the fence of the one that is out. Known by its fence,
    /// because a lease from before the breaker opened may end, or fail, while the probe is out.
    Probing { probe: Option<i64> },
}

/// What is due when, and whose.
type Times = BTreeSet<(u64, u64, Slot)>;

pub(super) struct Lane {
    limits: Limits,
    groups: Groups,
    /// Who waits for a retry, apart from whom else waits: when the lane works again they are ready,
    /// and nobody else has to be looked at.
    retries: Times,
    waiting: Times,
    leases: BTreeSet<(u64, Slot)>,
    /// Where leased groups are: few, so that finding them waits for no memory.
    leased: HashMap<Group, Slot, RandomState>,
    /// Nothing becomes due, and no lease lapses, before this.
    quiet_until: u64,
    normal: Row,
    bulk: Row,
    /// Who became urgent in the bulk row: by the place there, which keeps its turn.
    raised: BTreeMap<(u64, u64), Slot>,
    counter: u64,
    claims: u64,
    paused: bool,
    rest_until: Option<u64>,
    breaker: Breaker,
    lane_full_at: u64,
    recipients: HashMap<Group, u64, RandomState>,
    swept_at_len: usize,
}

/// Whole nanoseconds; five centuries are as good as for ever.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Lane {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            groups: Groups::default(),
            retries: Times::new(),
            waiting: Times::new(),
            leases: BTreeSet::new(),
            leased: HashMap::default(),
            quiet_until: u64::MAX,
            normal: Row::default(),
            bulk: Row::default(),
            raised: BTreeMap::new(),
            counter: 0,
            claims: 0,
            paused: false,
            rest_until: None,
            breaker: Breaker::Closed(0),
            lane_full_at: 0,
            recipients: HashMap::default(),
            swept_at_len: BUCKETS_SWEEP,
        }
    }

    fn times(&mut self, retry: bool) -> &mut Times {
        if retry {
            &mut self.retries
        } else {
            &mut self.waiting
        }
    }

    fn place_ready(&mut self, slot: Slot, since: u64, priority: Priority) {
        let row = match priority {
            Priority::Normal => &mut self.normal,
            Priority::Bulk => &mut self.bulk,
        };
        let number = row.push(Ready { since, slot });
        if let Some(entry) = self.groups.get_mut(slot) {
            entry.place = Place::Ready { number };
            entry.priority = priority;
        }
    }

    fn place(&mut self, slot: Slot, due: &Due, now: u64) {
        if due.after.is_zero() {
            return self.place_ready(slot, now, due.priority);
        }
        self.counter += 1;
        let (at, n, retry) = (
            now.saturating_add(nanos(due.after)),
            self.counter,
            due.retry,
        );
        self.times(retry).insert((at, n, slot));
        self.quiet_until = self.quiet_until.min(at);
        if let Some(entry) = self.groups.get_mut(slot) {
            entry.place = Place::Waiting { at, n, retry };
            entry.priority = due.priority;
        }
    }

    pub(super) fn schedule(&mut self, due: &Due, now: u64) {
        self.advance(now);
        let slot = self.groups.find_or_add(due.group);
        let Some(entry) = self.groups.get_mut(slot) else {
            return;
        };
        match &mut entry.place {
            Place::Idle => self.place(slot, due, now),
            Place::Leased { again, .. } => {
                *again = Some(again.map_or(due.priority, |p| p.min(due.priority)));
            }
            place if due.priority < entry.priority => {
                entry.priority = due.priority;
                if let Place::Ready { number } = *place {
                    // It keeps its turn, in the more urgent row. Not at the end, which is why it has
                    // one of its own.
                    *place = Place::Raised;
                    if let Some(ready) = self.bulk.take(number) {
                        self.raised.insert((ready.since, number), ready.slot);
                    }
                }
            }
            _ => {}
        }
    }

    /// The earliest time at which a group is due or a lease lapses.
    fn next_time(&self) -> Option<u64> {
        let waiting = [self.retries.first(), self.waiting.first()];
        let waiting = waiting.into_iter().flatten().map(|(at, ..)| *at);
        waiting
            .chain(self.leases.first().map(|(until, _)| *until))
            .min()
    }

    /// Moves what became due, and lapsed leases, to the ready rows, in the order of their times. Every
    /// operation that looks at a group's place begins with it, so that a lease lapses when its time is
    /// over and not only when the next claim comes by.
    fn advance(&mut self, now: u64) {
        if now < self.quiet_until {
            return;
        }
        while let Some(time) = self.next_time().filter(|time| *time <= now) {
            for retry in [true, false] {
                while let Some(&key) = self.times(retry).first()
                    && key.0 == time
                {
                    self.times(retry).remove(&key);
                    self.make_ready(key.2, time);
                }
            }
            while let Some(&(until, slot)) = self.leases.first()
                && until == time
            {
                self.leases.remove(&(until, slot));
                // Its turn counts from when the lease lapsed, not from when somebody looked.
                self.make_ready(slot, time);
            }
        }
        self.quiet_until = self.next_time().unwrap_or(u64::MAX);
    }

    /// Makes a group ready that was taken from among those that wait or are worked on.
    fn make_ready(&mut self, slot: Slot, since: u64) {
        let Some(&Entry {
            group,
            place,
            mut priority,
        }) = self.groups.get(slot)
        else {
            return;
        };
        if let Place::Leased { fence, again, .. } = place {
            self.leased.remove(&group);
            self.lease_ended(fence);
            priority = again.map_or(priority, |p| p.min(priority));
        }
        self.place_ready(slot, since, priority);
    }

    fn lease_ended(&mut self, fence: i64) {
        if self.breaker == (Breaker::Probing { probe: Some(fence) }) {
            self.breaker = Breaker::Probing { probe: None };
        }
    }

    /// The first of the urgent ones.
    fn pop_normal(&mut self) -> Option<Slot> {
        let raised = self.raised.first_key_value();
        if let Some((&(since, number), &slot)) = raised
            && self.normal.first().is_none_or(|first| since <= first.since)
        {
            self.raised.remove(&(since, number));
            return Some(slot);
        }
        self.normal.pop().map(|ready| ready.slot)
    }

    fn pop_bulk(&mut self) -> Option<Slot> {
        self.bulk.pop().map(|ready| ready.slot)
    }

    fn next_ready(&mut self) -> Option<Slot> {
        let bulk_first = (self.claims + 1).is_multiple_of(BULK_EVERY);
        let slot = if bulk_first {
            self.pop_bulk().or_else(|| self.pop_normal())?
        } else {
            self.pop_normal().or_else(|| self.pop_bulk())?
        };
        // Looking in vain is no claim: it would move the bulk's turn at random.
        self.claims += 1;
        Some(slot)
    }

    /// Since when the oldest ready group is ready.
    fn oldest_ready(&self) -> Option<u64> {
        let rows = [self.normal.first(), self.bulk.first()];
        let rows = rows.into_iter().flatten().map(|ready| ready.since);
        let raised = self.raised.first_key_value();
        rows.chain(raised.map(|((since, _), _)| *since)).min()
    }

    /// How many more leases there may be.
    fn free_leases(&self) -> usize {
        self.limits.max_leases.map_or(usize::MAX, |most| {
            let most = usize::try_from(most.get()).unwrap_or(usize::MAX);
            most.saturating_sub(self.leases.len())
        })
    }

    fn lease_end(&self, now: u64) -> u64 {
        now.saturating_add(nanos(self.limits.lease))
    }

    pub(super) fn claim(&mut self, most: usize, now: u64, fence: &AtomicI64) -> Claim {
        if self.paused {
            return Claim::default();
        }
        if let Some(until) = self.rest_until {
            if until > now {
                return Claim {
                    leases: Vec::new(),
                    next: Some(Duration::from_nanos(until - now)),
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
        let until = self.lease_end(now);
        while leases.len() < most {
            let Some(slot) = self.next_ready() else {
                break;
            };
            let Some(entry) = self.groups.get_mut(slot) else {
                continue;
            };
            let fence = fence.fetch_add(1, Ordering::Relaxed) + 1;
            entry.place = Place::Leased {
                fence,
                until,
                again: None,
            };
            let group = entry.group;
            leases.push(Lease { group, fence });
            self.leases.insert((until, slot));
            self.leased.insert(group, slot);
            self.quiet_until = self.quiet_until.min(until);
            if let Breaker::Probing { probe } = &mut self.breaker {
                *probe = Some(fence);
            }
        }
        let more = self.oldest_ready().is_some();
        let next = if more && matches!(self.breaker, Breaker::Closed(_)) && self.free_leases() > 0 {
            // The caller wanted no more than it got, but there is more.
            Some(Duration::ZERO)
        } else {
            self.next_time()
                .map(|at| Duration::from_nanos(at.saturating_sub(now)))
        };
        Claim { leases, next }
    }

    pub(super) fn extend(&mut self, lease: Lease, now: u64) -> bool {
        self.advance(now);
        let new = self.lease_end(now);
        let Some((slot, until, _)) = self.held(lease) else {
            return false;
        };
        if let Some(Entry {
            place: Place::Leased { until, .. },
            ..
        }) = self.groups.get_mut(slot)
        {
            *until = new;
        }
        self.leases.remove(&(until, slot));
        self.leases.insert((new, slot));
        true
    }

    /// Where the group of a lease that still holds is, until when it holds, and what came meanwhile.
    fn held(&self, lease: Lease) -> Option<(Slot, u64, Option<Priority>)> {
        let slot = *self.leased.get(&lease.group)?;
        match self.groups.get(slot)?.place {
            Place::Leased {
                fence,
                until,
                again,
            } if fence == lease.fence => Some((slot, until, again)),
            _ => None,
        }
    }

    pub(super) fn finish(&mut self, lease: Lease, next: Option<Due>, now: u64) {
        self.advance(now);
        let Some((slot, until, again)) = self.held(lease) else {
            return;
        };
        self.leases.remove(&(until, slot));
        self.leased.remove(&lease.group);
        self.lease_ended(lease.fence);
        match (next, again) {
            (Some(due), Some(urgent)) => {
                let priority = due.priority.min(urgent);
                self.place(slot, &Due { priority, ..due }, now);
            }
            (Some(due), None) => self.place(slot, &due, now),
            // What made it urgent before is done; only what came meanwhile counts.
            (None, Some(priority)) => self.place_ready(slot, now, priority),
            (None, None) => self.groups.leave(slot),
        }
    }

    /// Tells the breaker. `true`: the lane rests from now on.
    pub(super) fn report(&mut self, outcome: Outcome, now: u64) -> bool {
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

    /// Whether the breaker is open.
    pub(super) fn probing(&self) -> bool {
        matches!(self.breaker, Breaker::Probing { .. })
    }

    fn trip(&mut self, now: u64) -> bool {
        if !self.probing() {
            self.breaker = Breaker::Probing { probe: None };
        }
        self.rest(now, self.limits.breaker_rest);
        true
    }

    pub(super) fn rest(&mut self, now: u64, rest: Duration) {
        let until = now.saturating_add(nanos(rest));
        self.rest_until = Some(self.rest_until.map_or(until, |old| old.max(until)));
    }

    pub(super) fn pause(&mut self, paused: bool, now: u64) {
        self.paused = paused;
        if !paused {
            // What made it rest or fail is over, a person or a probe says.
            self.rest_until = None;
            self.breaker = Breaker::Closed(0);
            self.retry_now(now);
        }
    }

    /// Makes every group ready that waits for a retry: the lane works again. Each is moved once for
    /// each time that it was put off; who waits for something else is not looked at.
    fn retry_now(&mut self, now: u64) {
        self.advance(now);
        for (_, _, slot) in std::mem::take(&mut self.retries) {
            self.make_ready(slot, now);
        }
    }

    pub(super) fn hasten(&mut self, groups: &[Group], now: u64) {
        self.advance(now);
        for &group in groups {
            let slot = self.groups.find(group);
            let found = slot.and_then(|slot| Some((slot, self.groups.get(slot)?.place)));
            match found {
                Some((slot, Place::Waiting { at, n, retry })) => {
                    self.times(retry).remove(&(at, n, slot));
                    self.make_ready(slot, now);
                }
                Some((_, Place::Ready { .. } | Place::Raised)) => {}
                Some((_, Place::Leased { .. } | Place::Idle)) | None => {
                    self.schedule(&Due::now(group, Priority::Normal), now);
                }
            }
        }
    }

    pub(super) fn take(&mut self, recipient: Group, parts: u32, now: u64) -> Result<(), Refused> {
        if self.paused || self.rest_until.is_some_and(|until| until > now) {
            return Err(Refused::Closed);
        }
        let lane = self.limits.rate.take(self.lane_full_at, now, parts);
        let Some(rate) = self.limits.recipient else {
            self.lane_full_at = lane.map_err(Refused::Wait)?;
            return Ok(());
        };
        let full_at = self.recipients.get(&recipient).copied().unwrap_or(0);
        match (lane, rate.take(full_at, now, parts)) {
            (Ok(lane_full_at), Ok(full_at)) => {
                self.lane_full_at = lane_full_at;
                self.recipients.insert(recipient, full_at);
            }
            // The longer of two waits: after the shorter one the other would refuse.
            (Err(lane), Err(one)) => return Err(Refused::Wait(lane.max(one))),
            (Err(wait), Ok(_)) | (Ok(_), Err(wait)) => return Err(Refused::Wait(wait)),
        }
        if self.recipients.len() >= self.swept_at_len {
            self.recipients.retain(|_, full_at| *full_at > now);
            self.swept_at_len = self.recipients.len() * 2 + BUCKETS_SWEEP;
        }
        Ok(())
    }

    pub(super) fn stats(&mut self, now: u64) -> LaneStats {
        self.advance(now);
        let since = |time: u64| Duration::from_nanos(now.saturating_sub(time));
        let resting = self.rest_until.filter(|until| *until > now);
        LaneStats {
            depth: self.retries.len()
                + self.waiting.len()
                + self.normal.len()
                + self.bulk.len()
                + self.raised.len(),
            leased: self.leases.len(),
            oldest_ready: self.oldest_ready().map(since),
            paused: self.paused,
            resting: resting.map(|until| Duration::from_nanos(until - now)),
        }
    }

    /// How many recipients have a bucket.
    #[cfg(test)]
    pub(super) fn buckets(&self) -> usize {
        self.recipients.len()
    }

    /// How many groups have room.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.groups.slots()
    }
}
