//! From the class of a failure to what happens next. Pure, total, and the only code that looks at a
//! class to decide: nothing else retries, rests or gives up.

use std::time::Duration;
use switchboard_channels::{Class, LimitScope, SetupScope};

/// What a lane's settings say about failures.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Waits between tries; the last one repeats.
    pub schedule: Vec<Duration>,
    /// Failures of one message, while others of its lane succeed, after which it is stuck.
    pub stuck_after: u32,
    /// How long evidence is awaited after a try whose outcome is unknown.
    pub unsure_wait: Duration,
    /// What then, without evidence.
    pub on_unsure: OnUnsure,
}

/// What to do with a part that may have arrived, when no evidence came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnsure {
    /// Send it once more, then hold.
    Retry,
    /// Never send again what may have arrived.
    Hold,
}

/// What is known when a try has failed.
#[derive(Debug, Clone, Copy)]
pub struct Situation {
    /// Failures of this message that counted, before this one.
    pub failures: u32,
    /// Whether another message of the lane went through since this one first failed.
    pub others_succeed: bool,
    /// How often this part was sent again although it may have arrived.
    pub unsure_resends: u32,
    /// Whether the platform recognises a repeated request.
    pub idempotent: bool,
    /// Time left until the message is too old.
    pub left: Duration,
    /// A number from 0 to 1 that spreads guesses: jitter is the caller's, so that this stays pure.
    pub jitter: f64,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Try the part again after this time; counts as a failure of message and lane.
    Retry(Duration),
    /// The recipient rests; not an attempt.
    RestRecipient(Duration),
    /// The whole lane rests; not an attempt.
    RestLane(Duration),
    /// Wait for evidence, then decide with [`without_evidence`]; counts as a failure of the lane.
    AwaitEvidence(Duration),
    /// Pause the lane until a probe succeeds; the message waits.
    Pause(PauseReason),
    /// Failed for good, for a reason of the recipient, the window or the content.
    Fail,
    /// A dead letter: given up, an operator may retry it.
    Dead(DeadReason),
}

/// Why a lane is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// The credentials do not work.
    Credentials,
    /// The account is suspended, unpaid or lacks a permission.
    Account,
}

/// Why a message was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadReason {
    /// It kept failing while others went through.
    Stuck,
    /// The next try would come after its time.
    TooOld,
    /// It may have arrived, and is not sent again.
    Unsure,
}

impl DeadReason {
    /// The code under which the message's error is stored.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::TooOld => "too-old",
            Self::Unsure => "unsure",
        }
    }
}

/// How long to rest when a platform says slow down and not for how long: the shortest wait that its
/// documents suggest, doubled at each failure by the schedule below when it goes on.
const LIMITED_DEFAULT: Duration = Duration::from_secs(5);
/// Our own guesses are spread by so much to either side, so that a crowd does not come back at once.
const JITTER: f64 = 0.2;

/// What happens after a failure of this class.
pub fn next(class: Class, s: Situation, policy: &Policy) -> Step {
    match class {
        Class::Retry => retry(s, policy),
        // Stated waits are obeyed as stated, capped only by the message's age.
        Class::Limited { after, scope } => {
            let wait = after.unwrap_or_else(|| spread(LIMITED_DEFAULT, s.jitter));
            match scope {
                LimitScope::Recipient if wait >= s.left => Step::Dead(DeadReason::TooOld),
                LimitScope::Recipient => Step::RestRecipient(wait),
                // A lane's rest outlives no other message; this one dies by its deadline.
                LimitScope::Lane => Step::RestLane(wait.min(s.left)),
            }
        }
        Class::Unsure if s.idempotent => retry(s, policy),
        Class::Unsure => Step::AwaitEvidence(policy.unsure_wait.min(s.left)),
        Class::Credentials => Step::Pause(PauseReason::Credentials),
        Class::Setup {
            scope: SetupScope::Account,
        } => Step::Pause(PauseReason::Account),
        Class::Setup {
            scope: SetupScope::Message,
        }
        | Class::Recipient
        | Class::Window
        | Class::Content => Step::Fail,
    }
}

/// What happens to an unsure part after the wait brought no evidence.
pub fn without_evidence(unsure_resends: u32, policy: &Policy) -> Resend {
    match policy.on_unsure {
        OnUnsure::Retry if unsure_resends == 0 => Resend::Once,
        OnUnsure::Retry | OnUnsure::Hold => Resend::Hold,
    }
}

/// Whether an unsure part is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// Once more.
    Once,
    /// No: a dead letter, marked unsure.
    Hold,
}

/// The wait after so many failures, spread by jitter.
pub fn delay(schedule: &[Duration], failures: u32, jitter: f64) -> Duration {
    let index = usize::try_from(failures).unwrap_or(usize::MAX);
    let slot = schedule
        .get(index)
        .or(schedule.last())
        .copied()
        .unwrap_or(LIMITED_DEFAULT);
    spread(slot, jitter)
}

fn retry(s: Situation, policy: &Policy) -> Step {
    if s.others_succeed && s.failures.saturating_add(1) >= policy.stuck_after {
        return Step::Dead(DeadReason::Stuck);
    }
    let wait = delay(&policy.schedule, s.failures, s.jitter);
    if wait >= s.left {
        Step::Dead(DeadReason::TooOld)
    } else {
        Step::Retry(wait)
    }
}

fn spread(wait: Duration, jitter: f64) -> Duration {
    let jitter = if jitter.is_finite() {
        jitter.clamp(0.0, 1.0)
    } else {
        0.5
    };
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            schedule: [2, 10, 30].map(Duration::from_secs).to_vec(),
            stuck_after: 6,
            unsure_wait: Duration::from_secs(5),
            on_unsure: OnUnsure::Retry,
        }
    }

    fn situation() -> Situation {
        Situation {
            failures: 0,
            others_succeed: false,
            unsure_resends: 0,
            idempotent: false,
            left: Duration::from_secs(86_400),
            jitter: 0.5,
        }
    }

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn every_class_has_its_step() {
        let lane = |after| Class::Limited {
            after,
            scope: LimitScope::Lane,
        };
        let cases = [
            (Class::Retry, Step::Retry(secs(2))),
            (lane(Some(secs(7))), Step::RestLane(secs(7))),
            (lane(None), Step::RestLane(LIMITED_DEFAULT)),
            (
                Class::Limited {
                    after: Some(secs(9)),
                    scope: LimitScope::Recipient,
                },
                Step::RestRecipient(secs(9)),
            ),
            (Class::Unsure, Step::AwaitEvidence(secs(5))),
            (Class::Credentials, Step::Pause(PauseReason::Credentials)),
            (
                Class::Setup {
                    scope: SetupScope::Account,
                },
                Step::Pause(PauseReason::Account),
            ),
            (
                Class::Setup {
                    scope: SetupScope::Message,
                },
                Step::Fail,
            ),
            (Class::Recipient, Step::Fail),
            (Class::Window, Step::Fail),
            (Class::Content, Step::Fail),
        ];
        for (class, expected) in cases {
            assert_eq!(next(class, situation(), &policy()), expected, "{class:?}");
        }
    }

    #[test]
    fn the_schedule_is_walked_and_its_last_wait_repeats() {
        let waits: Vec<Duration> = (0..5).map(|n| delay(&policy().schedule, n, 0.5)).collect();
        assert_eq!(waits, [2, 10, 30, 30, 30].map(secs));
        assert_eq!(
            delay(&policy().schedule, 0, 0.0),
            Duration::from_millis(1600)
        );
        assert_eq!(
            delay(&policy().schedule, 0, 1.0),
            Duration::from_millis(2400)
        );
    }

    #[test]
    fn stuck_only_while_others_succeed() {
        let fifth = Situation {
            failures: 5,
            ..situation()
        };
        assert_eq!(next(Class::Retry, fifth, &policy()), Step::Retry(secs(30)));
        let alone = Situation {
            others_succeed: true,
            ..fifth
        };
        assert_eq!(
            next(Class::Retry, alone, &policy()),
            Step::Dead(DeadReason::Stuck)
        );
        let earlier = Situation {
            failures: 4,
            others_succeed: true,
            ..situation()
        };
        assert_eq!(
            next(Class::Retry, earlier, &policy()),
            Step::Retry(secs(30))
        );
    }

    #[test]
    fn nothing_is_put_off_beyond_its_age() {
        let old = Situation {
            left: secs(1),
            ..situation()
        };
        assert_eq!(
            next(Class::Retry, old, &policy()),
            Step::Dead(DeadReason::TooOld)
        );
        let limited = Class::Limited {
            after: Some(secs(60)),
            scope: LimitScope::Recipient,
        };
        assert_eq!(
            next(limited, old, &policy()),
            Step::Dead(DeadReason::TooOld)
        );
        assert_eq!(
            next(Class::Unsure, old, &policy()),
            Step::AwaitEvidence(secs(1))
        );
    }

    #[test]
    fn unsure_is_resent_once_at_most_and_freely_with_a_key() {
        let key = Situation {
            idempotent: true,
            ..situation()
        };
        assert_eq!(next(Class::Unsure, key, &policy()), Step::Retry(secs(2)));
        assert_eq!(without_evidence(0, &policy()), Resend::Once);
        assert_eq!(without_evidence(1, &policy()), Resend::Hold);
        let hold = Policy {
            on_unsure: OnUnsure::Hold,
            ..policy()
        };
        assert_eq!(without_evidence(0, &hold), Resend::Hold);
    }
}
