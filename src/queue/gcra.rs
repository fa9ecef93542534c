//! The generic cell rate algorithm: a token bucket in one number.
//!
//! The number is the *theoretical arrival time*: when the bucket would be full again. The same few
//! lines run in Lua where several processes share a bucket.

use std::time::Duration;

/// A rate with a burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Nanoseconds per token.
    interval_nanos: u64,
    /// Nanoseconds that may be borrowed: (burst - 1) tokens.
    tolerance_nanos: u64,
}

impl Rate {
    /// The slowest rate: a token a day. Slower than that is a pause.
    pub const MIN_PER_SECOND: f64 = 1.0 / 86_400.0;
    /// The fastest rate: a token a microsecond, which no platform takes.
    pub const MAX_PER_SECOND: f64 = 1_000_000.0;

    /// So many tokens a second, with so many at once after a rest.
    pub fn new(per_second: f64, burst: u32) -> Self {
        // What is no number passes through `clamp`, and TOML knows `nan`.
        let per_second = if per_second.is_nan() {
            Self::MIN_PER_SECOND
        } else {
            per_second.clamp(Self::MIN_PER_SECOND, Self::MAX_PER_SECOND)
        };
        let interval_nanos = Duration::from_secs_f64(1.0 / per_second).as_nanos();
        let interval_nanos = u64::try_from(interval_nanos).unwrap_or(u64::MAX);
        let borrowed = u64::from(burst.max(1)) - 1;
        Self {
            interval_nanos,
            tolerance_nanos: interval_nanos.saturating_mul(borrowed),
        }
    }

    /// Interval and tolerance in microseconds, for the same algorithm elsewhere.
    pub(super) fn micros(&self) -> (f64, f64) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "far below what a limit is exact to"
        )]
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        (micros(self.interval_nanos), micros(self.tolerance_nanos))
    }

    /// Takes `tokens` at `now` from a bucket that is full at `full_at`: the new `full_at`, or how
    /// long to wait. A request for more than the burst is let through from a full bucket, else it
    /// would wait for ever; the debt is paid afterwards.
    ///
    /// # Errors
    /// How long to wait until the tokens are there.
    pub fn take(&self, full_at: u64, now: u64, tokens: u32) -> Result<u64, Duration> {
        let cost = self.interval_nanos.saturating_mul(u64::from(tokens.max(1)));
        let start = full_at.max(now);
        let debt = start - now;
        let allowed = self
            .tolerance_nanos
            .saturating_sub(cost - self.interval_nanos);
        if debt <= allowed {
            Ok(start.saturating_add(cost))
        } else {
            Err(nanos(debt - allowed))
        }
    }
}

fn nanos(n: u64) -> Duration {
    Duration::from_nanos(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate::new(2.0, 3);
        let mut full_at = 0;
        for _ in 0..3 {
            full_at = rate.take(full_at, SECOND, 1).unwrap();
        }
        assert_eq!(
            rate.take(full_at, SECOND, 1),
            Err(Duration::from_millis(500))
        );
        full_at = rate.take(full_at, SECOND + SECOND / 2, 1).unwrap();
        assert_eq!(
            rate.take(full_at, SECOND + SECOND / 2, 1),
            Err(Duration::from_millis(500))
        );
        // After a rest the whole burst is there again, and no more.
        for _ in 0..3 {
            full_at = rate.take(full_at, 100 * SECOND, 1).unwrap();
        }
        assert!(rate.take(full_at, 100 * SECOND, 1).is_err());
    }

    #[test]
    fn more_than_the_burst_goes_from_a_full_bucket() {
        let rate = Rate::new(1.0, 2);
        let full_at = rate.take(0, SECOND, 5).unwrap();
        assert_eq!(rate.take(full_at, SECOND, 1), Err(Duration::from_secs(4)));
    }

    #[test]
    fn no_rate_breaks_the_arithmetic() {
        for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-30, 1e30] {
            let rate = Rate::new(per_second, u32::MAX);
            assert!(rate.take(u64::MAX - 1, 5, u32::MAX).is_err());
            assert!(rate.take(0, 5, u32::MAX).is_ok());
        }
    }
}
