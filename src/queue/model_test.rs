//! A queue against a model of it that is too simple to be wrong: a list of groups, searched from end to
//! end, on a clock that counts milliseconds and moves only when a step says so.
//!
//! Random steps run on both. What the queue answers must be what the model allows; where two groups
//! became due at the same moment, either may come first. After the last step everything that was
//! scheduled is worked off, so that a group that was lost on the way is missed.

use super::gcra::Rate;
use super::suite::{Clock, Lanes, Open};
use super::{Due, Group, LaneId, Lease, Limits, Outcome, Priority, Queue};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

const LEASE_MS: u64 = 1000;
const REST_MS: u64 = 700;
const FAILURES: u32 = 3;
/// Few, so that the steps meet one another.
const GROUPS: Group = 7;
/// Some lanes have a most of leases.
const MOST: u32 = 2;

#[derive(Debug, Clone)]
enum Step {
    Schedule(Group, u64, Priority, bool),
    Hasten(Group),
    Claim(usize),
    /// The lease to finish, counted over all that were ever given; when it is due again.
    Finish(usize, Option<(u64, Priority, bool)>),
    Extend(usize),
    Report(Outcome),
    Rest(u64),
    Pause(bool),
    RaiseFence(i64),
    Advance(u64),
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![2 => Just(Priority::Normal), 1 => Just(Priority::Bulk)]
}

fn wait_ms() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 2 => 1..1500u64]
}

fn step() -> impl Strategy<Value = Step> {
    let due = (wait_ms(), priority(), any::<bool>());
    let outcome = prop_oneof![3 => Just(Outcome::Failed), 1 => Just(Outcome::Works)];
    prop_oneof![
        6 => (1..=GROUPS, wait_ms(), priority(), any::<bool>())
            .prop_map(|(g, w, p, r)| Step::Schedule(g, w, p, r)),
        1 => (1..=GROUPS).prop_map(Step::Hasten),
        6 => (0..4usize).prop_map(Step::Claim),
        5 => (0..64usize, proptest::option::of(due)).prop_map(|(l, d)| Step::Finish(l, d)),
        2 => (0..64usize).prop_map(Step::Extend),
        4 => outcome.prop_map(Step::Report),
        1 => (1..900u64).prop_map(Step::Rest),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => (0..1000i64).prop_map(Step::RaiseFence),
        5 => (1..1200u64).prop_map(Step::Advance),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Due {
        at: u64,
        retry: bool,
        priority: Priority,
    },
    Leased {
        fence: i64,
        until: u64,
        priority: Priority,
        /// The most urgent wake-up meanwhile.
        again: Option<Priority>,
    },
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    /// The most leases at once.
    most: Option<NonZeroU32>,
    groups: BTreeMap<Group, State>,
    given: u64,
    highest_fence: i64,
    paused: bool,
    rest_until: u64,
    failures: u32,
    /// The breaker is open; the fence of the probe that is out.
    probing: bool,
    probe: Option<i64>,
}

fn more_urgent(a: Priority, b: Option<Priority>) -> Priority {
    b.map_or(a, |b| a.min(b))
}

impl Model {
    /// Leases whose time is over are none any more.
    fn lapse(&mut self) {
        for state in self.groups.values_mut() {
            if let State::Leased {
                fence,
                until,
                priority,
                again,
            } = *state
                && until <= self.now
            {
                if self.probe == Some(fence) {
                    self.probe = None;
                }
                *state = State::Due {
                    at: until,
                    retry: false,
                    priority: more_urgent(priority, again),
                };
            }
        }
    }

    fn schedule(&mut self, group: Group, after: u64, urgency: Priority, retry: bool) {
        let at = self.now + after;
        match self.groups.get_mut(&group) {
            None => {
                let priority = urgency;
                let due = State::Due {
                    at,
                    retry,
                    priority,
                };
                self.groups.insert(group, due);
            }
            Some(State::Due { priority, .. }) => *priority = (*priority).min(urgency),
            Some(State::Leased { again, .. }) => *again = Some(more_urgent(urgency, *again)),
        }
    }

    fn hasten(&mut self, group: Group) {
        let now = self.now;
        match self.groups.get_mut(&group) {
            Some(State::Due { at, retry, .. }) => {
                if *at > now {
                    *at = now;
                }
                *retry = false;
            }
            _ => self.schedule(group, 0, Priority::Normal, false),
        }
    }

    fn retries_now(&mut self) {
        let now = self.now;
        for state in self.groups.values_mut() {
            if let State::Due {
                at, retry: true, ..
            } = state
            {
                *at = (*at).min(now);
            }
        }
    }

    fn ready(&self, wanted: Priority) -> impl Iterator<Item = (Group, u64)> {
        self.groups
            .iter()
            .filter_map(move |(group, state)| match *state {
                State::Due { at, priority, .. } if at <= self.now && priority == wanted => {
                    Some((*group, at))
                }
                _ => None,
            })
    }

    /// How many leases a claim may give.
    fn allowed(&self, most: usize) -> usize {
        if self.paused || self.rest_until > self.now || (self.probing && self.probe.is_some()) {
            return 0;
        }
        let ready = self.ready(Priority::Normal).count() + self.ready(Priority::Bulk).count();
        let most = if self.probing { most.min(1) } else { most };
        most.min(ready).min(self.free())
    }

    /// How many more leases the lane may give.
    fn free(&self) -> usize {
        let leased = |s: &&State| matches!(s, State::Leased { .. });
        let leased = self.groups.values().filter(leased).count();
        self.most
            .map_or(usize::MAX, |most| most.get() as usize - leased)
    }

    /// Checks that this lease is the one that had to come, and gives it.
    fn give(&mut self, lease: Lease) -> Result<(), TestCaseError> {
        prop_assert!(lease.fence > self.highest_fence, "fences rise");
        self.highest_fence = lease.fence;
        self.given += 1;
        let (first, second) = if self.given.is_multiple_of(8) {
            (Priority::Bulk, Priority::Normal)
        } else {
            (Priority::Normal, Priority::Bulk)
        };
        let class = if self.ready(first).next().is_some() {
            first
        } else {
            second
        };
        let oldest = self.ready(class).map(|(_, at)| at).min();
        let found = self.ready(class).find(|(group, _)| *group == lease.group);
        prop_assert_eq!(
            found.map(|(_, at)| at),
            oldest,
            "{} of {:?} came, in {:?}",
            lease.group,
            class,
            self
        );
        if self.probing {
            self.probe = Some(lease.fence);
        }
        let state = State::Leased {
            fence: lease.fence,
            until: self.now + LEASE_MS,
            priority: class,
            again: None,
        };
        self.groups.insert(lease.group, state);
        Ok(())
    }

    fn holds(&self, lease: Lease) -> bool {
        matches!(self.groups.get(&lease.group),
            Some(State::Leased { fence, .. }) if *fence == lease.fence)
    }

    fn finish(&mut self, lease: Lease, next: Option<(u64, Priority, bool)>) {
        if !self.holds(lease) {
            return;
        }
        if self.probe == Some(lease.fence) {
            self.probe = None;
        }
        let Some(State::Leased { again, .. }) = self.groups.remove(&lease.group) else {
            return;
        };
        match (next, again) {
            (Some((after, urgency, retry)), again) => {
                self.schedule(lease.group, after, more_urgent(urgency, again), retry);
            }
            (None, Some(urgency)) => self.schedule(lease.group, 0, urgency, false),
            (None, None) => {}
        }
    }

    /// Whether the lane rests from now on.
    fn report(&mut self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Works => {
                self.failures = 0;
                if std::mem::take(&mut self.probing) {
                    self.probe = None;
                    self.retries_now();
                }
                false
            }
            Outcome::Failed => {
                self.failures += 1;
                if !self.probing && self.failures < FAILURES {
                    return false;
                }
                self.probing = true;
                self.rest_until = self.rest_until.max(self.now + REST_MS);
                true
            }
        }
    }

    fn resume(&mut self) {
        self.rest_until = 0;
        self.failures = 0;
        self.probing = false;
        self.probe = None;
        self.retries_now();
    }

    /// When something may be got, by the model; `None`: only after a wake-up.
    fn next(&self) -> Option<u64> {
        if self.paused {
            return None;
        }
        if self.rest_until > self.now {
            return Some(self.rest_until - self.now);
        }
        let ready = |at: u64| at <= self.now;
        let times = self.groups.values().filter_map(|state| match *state {
            State::Due { at, .. } if ready(at) && (self.probing || self.free() == 0) => None,
            State::Due { at, .. } => Some(at.saturating_sub(self.now)),
            State::Leased { until, .. } => Some(until - self.now),
        });
        times.min()
    }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

struct Run {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    lane: LaneId,
    model: Model,
    leases: Vec<Lease>,
}

impl Run {
    async fn new(open: Open, most: Option<NonZeroU32>) -> Self {
        let lane = LaneId::channel("one");
        let limits = Limits {
            rate: Rate::new(1e6, 1000),
            recipient: None,
            max_leases: most,
            lease: ms(LEASE_MS),
            breaker_failures: FAILURES,
            breaker_rest: ms(REST_MS),
        };
        let lanes: Lanes = vec![(lane.clone(), limits)];
        let (queue, clock) = open(lanes).await;
        let model = Model {
            most,
            ..Model::default()
        };
        Self {
            queue,
            clock,
            lane,
            model,
            leases: Vec::new(),
        }
    }

    async fn claim(&mut self, most: usize) -> Result<usize, TestCaseError> {
        let allowed = self.model.allowed(most);
        let claim = self.queue.claim(&self.lane, most).await.unwrap();
        prop_assert_eq!(claim.leases.len(), allowed, "{:?}", self.model);
        for lease in claim.leases {
            self.model.give(lease)?;
            self.leases.push(lease);
        }
        prop_assert_eq!(claim.next, self.model.next().map(ms), "{:?}", self.model);
        Ok(allowed)
    }

    async fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        self.model.lapse();
        let (queue, lane) = (Arc::clone(&self.queue), self.lane.clone());
        let nth =
            |n: usize, leases: &[Lease]| (!leases.is_empty()).then(|| leases[n % leases.len()]);
        match step {
            Step::Schedule(group, wait, priority, retry) => {
                let after = ms(wait);
                let due = Due {
                    group,
                    after,
                    priority,
                    retry,
                };
                queue.schedule(&lane, &[due]).await.unwrap();
                self.model.schedule(group, wait, priority, retry);
            }
            Step::Hasten(group) => {
                queue.hasten(&lane, &[group]).await.unwrap();
                self.model.hasten(group);
            }
            Step::Claim(most) => {
                self.claim(most).await?;
            }
            Step::Finish(n, next) => {
                if let Some(lease) = nth(n, &self.leases) {
                    let due = next.map(|(wait, priority, retry)| Due {
                        group: lease.group,
                        after: ms(wait),
                        priority,
                        retry,
                    });
                    queue.finish(&lane, lease, due).await.unwrap();
                    self.model.finish(lease, next);
                }
            }
            Step::Extend(n) => {
                if let Some(lease) = nth(n, &self.leases) {
                    let held = queue.extend(&lane, lease).await.unwrap();
                    prop_assert_eq!(held, self.model.holds(lease));
                    let until = self.model.now + LEASE_MS;
                    if let (true, Some(State::Leased { until: end, .. })) =
                        (held, self.model.groups.get_mut(&lease.group))
                    {
                        *end = until;
                    }
                }
            }
            Step::Report(outcome) => {
                let rests = queue.report(&lane, outcome).await.unwrap();
                prop_assert_eq!(rests, self.model.report(outcome));
            }
            Step::Rest(wait) => {
                queue.rest(&lane, ms(wait)).await.unwrap();
                self.model.rest_until = self.model.rest_until.max(self.model.now + wait);
            }
            Step::Pause(paused) => {
                queue.pause(&lane, paused).await.unwrap();
                self.model.paused = paused;
                if !paused {
                    self.model.resume();
                }
            }
            Step::RaiseFence(fence) => {
                queue.raise_fence(&lane, fence).await.unwrap();
                self.model.highest_fence = self.model.highest_fence.max(fence);
            }
            Step::Advance(wait) => {
                self.clock.advance(ms(wait)).await;
                self.model.now += wait;
            }
        }
        self.model.lapse();
        self.same_numbers().await
    }

    async fn same_numbers(&self) -> Result<(), TestCaseError> {
        let (stats, model) = (self.queue.stats(&self.lane).await.unwrap(), &self.model);
        let leased = |s: &&State| matches!(s, State::Leased { .. });
        let leased = model.groups.values().filter(leased).count();
        prop_assert_eq!(stats.leased, leased);
        prop_assert_eq!(stats.depth, model.groups.len() - leased);
        prop_assert_eq!(stats.paused, model.paused);
        let resting = model.rest_until.checked_sub(model.now).filter(|r| *r > 0);
        prop_assert_eq!(stats.resting, resting.map(ms));
        let since = [Priority::Normal, Priority::Bulk];
        let since = since
            .into_iter()
            .flat_map(|p| model.ready(p))
            .map(|(_, at)| at);
        prop_assert_eq!(stats.oldest_ready, since.min().map(|at| ms(model.now - at)));
        Ok(())
    }

    /// Everything that is scheduled gets its turn once the lane works.
    async fn drain(&mut self) -> Result<(), TestCaseError> {
        self.step(Step::Pause(false)).await?;
        for _ in 0..GROUPS {
            self.step(Step::Advance(LEASE_MS + 1500)).await?;
            while self.claim(9).await? > 0 {
                while let Some(lease) = self.leases.pop() {
                    self.queue.finish(&self.lane, lease, None).await.unwrap();
                    self.model.finish(lease, None);
                }
            }
        }
        prop_assert!(
            self.model.groups.is_empty(),
            "lost: {:?}",
            self.model.groups
        );
        prop_assert_eq!(self.queue.stats(&self.lane).await.unwrap().depth, 0);
        Ok(())
    }
}

/// Runs so many cases of steps over a queue, each on a runtime of its own.
pub(super) fn check(cases: u32, open: Open, runtime: fn() -> tokio::runtime::Runtime) {
    let most = prop_oneof![3 => Just(None), 1 => Just(NonZeroU32::new(MOST))];
    let steps = (most, proptest::collection::vec(step(), 1..120));
    let config = ProptestConfig {
        cases,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let checked = runner.run(&steps, |(most, steps)| {
        runtime().block_on(async {
            let mut run = Run::new(open, most).await;
            for step in steps {
                run.step(step).await?;
            }
            run.drain().await
        })
    });
    if let Err(error) = checked {
        panic!("{error}\n{runner}");
    }
}
