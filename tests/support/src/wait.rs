//! Waiting for a condition, never for a time.

use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// How long a test waits for something that should come soon. Generous: the machine may be busy, and
/// a test that passes never waits that long.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Between two looks: short against everything that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks again and again until there is something, and gives it.
///
/// # Panics
/// When there is nothing within [`DEADLINE`], naming `what` was awaited.
pub async fn until<T, F, Look>(what: &str, look: F) -> T
where
    F: FnMut() -> Look,
    Look: Future<Output = Option<T>>,
{
    until_within(DEADLINE, what, look).await
}

/// The same with a deadline of its own.
///
/// # Panics
/// When there is nothing within `deadline`.
pub async fn until_within<T, F, Look>(deadline: Duration, what: &str, mut look: F) -> T
where
    F: FnMut() -> Look,
    Look: Future<Output = Option<T>>,
{
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            Instant::now() < end,
            "waited {deadline:?} in vain for {what}"
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
