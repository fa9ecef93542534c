//! `[retry]`: how long a lane goes on trying.

use super::value;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// `[retry]`: the defaults of every lane.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Pauses between tries.
    #[serde(rename = "schedule_seconds")]
    pub schedule: Schedule,
    /// From acceptance (or the scheduled time): a message that is older is a dead letter.
    #[serde(deserialize_with = "value::whole::<_, _, 1, 31_536_000>")]
    pub max_age_seconds: u64,
    /// Failures of one message, while its lane's others succeed, that make it a dead letter.
    #[serde(deserialize_with = "value::whole::<_, _, 1, 1000>")]
    pub stuck_after: u32,
    /// Failures in a row after which the lane rests.
    #[serde(deserialize_with = "value::whole::<_, _, 1, 1000>")]
    pub breaker_failures: u32,
    /// How long it rests before a probe.
    #[serde(deserialize_with = "value::whole::<_, _, 1, 86_400>")]
    pub breaker_rest_seconds: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            schedule: Schedule(
                [2, 10, 30, 120, 600, 1800, 3600]
                    .map(Duration::from_secs)
                    .to_vec(),
            ),
            max_age_seconds: 86_400,
            stuck_after: 6,
            breaker_failures: 5,
            breaker_rest_seconds: 30,
        }
    }
}

/// Pauses between tries, never none; the last one repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

impl Schedule {
    /// The pause after so many failures (from 1), before jitter.
    pub fn pause(&self, failures: u32) -> Duration {
        let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        let pause = self.0.get(index).or(self.0.last());
        pause.copied().unwrap_or_default()
    }

    /// The pauses in order.
    pub fn pauses(&self) -> &[Duration] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pauses: Vec<Pause> = Vec::deserialize(deserializer)?;
        if pauses.is_empty() {
            return Err(value::problem(
                "an empty list",
                "at least one number of seconds",
            ));
        }
        Ok(Self(pauses.into_iter().map(|Pause(p)| p).collect()))
    }
}

/// One pause: from a millisecond to a week.
struct Pause(Duration);

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        value::number(deserializer, 0.001, 604_800.0).map(|s| Self(Duration::from_secs_f64(s)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pause_repeats() {
        let schedule = RetryConfig::default().schedule;
        let seconds = [0, 1, 2, 7, 8, u32::MAX].map(|n| schedule.pause(n).as_secs());
        assert_eq!(seconds, [2, 2, 10, 3600, 3600, 3600]);
    }
}
