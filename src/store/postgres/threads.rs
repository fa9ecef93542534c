//! What the store's threads do all day.

use super::super::{StoreError, Tx};
use super::session::{Broken, Session};
use super::{Call, Waiting};
use std::time::{Duration, Instant};

/// Units that share one wait for the disk, and how long the first of them may wait for the last.
/// Beyond that, another thread's wait begins beside this one's, and the server joins the two.
const GROUP_MAX: usize = 64;
const GROUP_TIME: Duration = Duration::from_millis(5);

/// Runs of a unit before its error is its caller's. What comes in its way is committed by then, so
/// the second run sees it; a third is for bad luck.
const RUNS: usize = 4;

/// For units.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// For questions: one snapshot for all statements, so that what is read fits together.
const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
/// A commit that does not wait for the disk: a later one of this thread will.
const COMMIT_SOON: &str = "SET LOCAL synchronous_commit = off; COMMIT";
/// A commit that does. A transaction that wrote nothing would not wait: the message, which nobody
/// reads, is something to write.
const COMMIT: &str = "SELECT pg_logical_emit_message(true, 'switchboard', ''); COMMIT";
/// The same when the last unit of a group has failed.
const FLUSH: &str = "BEGIN; SELECT pg_logical_emit_message(true, 'switchboard', ''); COMMIT";

/// Takes units as they come, commits each, waits once for all of them, hands out the results.
pub(super) fn write(mut session: Session, waiting: &Waiting) {
    // Connected before the first caller comes; one that fails is made again with the first unit.
    drop(session.connect());
    let mut done: Vec<Box<dyn Call>> = Vec::with_capacity(GROUP_MAX);
    while let Some(first) = session.idle(async { waiting.lock().await.recv().await }) {
        let began = Instant::now();
        let mut next = Some(first);
        while let Some(mut unit) = next.take() {
            let ran = run(&mut session, unit.as_mut(), || {
                if done.len() + 1 < GROUP_MAX && began.elapsed() < GROUP_TIME {
                    // Somebody else who waits for units takes them as well as we would.
                    next = waiting.try_lock().ok().and_then(|mut w| w.try_recv().ok());
                }
                next.is_none()
            });
            match ran {
                Ok(durable) => {
                    done.push(unit);
                    if durable {
                        tell(&mut done, &Ok(()));
                    }
                }
                Err(error) => unit.reply(Err(error)),
            }
        }
        if !done.is_empty() {
            // The last one failed, and took its commit with it.
            let flushed = session.connect().and_then(|()| session.finish(FLUSH));
            tell(&mut done, &flushed.map_err(|e| unknown(&e)));
        }
    }
}

fn tell(done: &mut Vec<Box<dyn Call>>, result: &Result<(), StoreError>) {
    for unit in done.drain(..) {
        unit.reply(result.clone());
    }
}

/// Runs one unit until it is committed or failed; `last` says, once it ran, whether this commit is to
/// wait for the disk. Gives whether it did.
fn run(
    session: &mut Session,
    unit: &mut dyn Call,
    mut last: impl FnMut() -> bool,
) -> Result<bool, StoreError> {
    let mut durable = None;
    for more in (0..RUNS).rev() {
        session.begin(BEGIN)?;
        let result = caught(|| unit.run(&mut Tx::postgres(session)));
        let error = match result {
            // What it sent and did not wait for may have failed.
            Some(Ok(())) if session.broken().is_none() => {
                let durable = *durable.get_or_insert_with(&mut last);
                let commit = if durable { COMMIT } else { COMMIT_SOON };
                match session.finish(commit) {
                    Ok(()) => return Ok(durable),
                    Err(error) if session.broken() == Some(Broken::Lost) => {
                        return Err(unknown(&error));
                    }
                    Err(error) => error,
                }
            }
            Some(Ok(())) => StoreError::Corrupt("a statement failed unnoticed".to_owned()),
            Some(Err(error)) => error,
            None => StoreError::Unavailable("the unit panicked".to_owned()),
        };
        let broken = session.broken();
        if broken != Some(Broken::Lost) {
            drop(session.finish("ROLLBACK"));
        }
        if broken != Some(Broken::Again) || more == 0 {
            return Err(error);
        }
        tracing::debug!(%error, "a unit is run again");
    }
    Err(StoreError::Unavailable("the unit was not run".to_owned()))
}

/// A commit whose answer was lost: done or not, nobody knows.
fn unknown(error: &StoreError) -> StoreError {
    StoreError::Unknown(error.to_string())
}

/// Answers questions as they come.
pub(super) fn read(mut session: Session, waiting: &Waiting) {
    drop(session.connect());
    while let Some(mut question) = session.idle(async { waiting.lock().await.recv().await }) {
        let result = session.begin(BEGIN_READING).and_then(|()| {
            caught(|| question.run(&mut Tx::postgres(&mut session)))
                .unwrap_or_else(|| Err(StoreError::Unavailable("the unit panicked".to_owned())))
        });
        // Nothing is to be committed; nobody waits for the end.
        session.end();
        question.reply(result);
    }
}

/// Runs a unit; `None` when it panicked, which is logged by the panic itself.
fn caught<T>(unit: impl FnOnce() -> T) -> Option<T> {
    // What the unit leaves half done is in the transaction, which its caller rolls back.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(unit)).ok()
}
