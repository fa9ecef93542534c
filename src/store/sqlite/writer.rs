//! The one writer: takes units as they come, commits all that wait together, then hands out results.
//!
//! A unit that fails must undo what it did, and nothing that the others of its commit did. A savepoint
//! around each would do that, at the price of a copy of every page that a unit touches first; hardly
//! any fails after it has changed something. So units run without, and when one does fail, the whole
//! group is run again with savepoints.

use super::super::{StoreError, Tx};
use super::log::Log;
use super::statements::{Runs, Statements};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

/// Units that one commit takes. More would make the first of them wait for the last; fewer would
/// pay the fsync more often. 256 units take a few milliseconds.
const GROUP_MAX: usize = 256;

/// A unit on its way through the writer.
pub(super) trait Job: Send {
    /// Runs it, also once more when what it did was undone with its group. `false`: it failed.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;

    /// Hands out its result, or the error of the commit that would have made it durable.
    fn reply(self: Box<Self>, committed: &Result<(), StoreError>);
}

/// A unit, what came of it, and who waits for that.
pub(super) struct Waiting<T, F> {
    unit: F,
    /// `None`: it was not run, or panicked.
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Waiting<T, F> {
    pub(super) fn new(unit: F) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, waits) = oneshot::channel();
        let waiting = Self {
            unit,
            result: None,
            reply,
        };
        (waiting, waits)
    }
}

impl<T, F> Job for Waiting<T, F>
where
    T: Send,
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        // A panic takes its own unit with it and no other: nobody could write after the writer's end.
        self.result = super::caught(|| (self.unit)(tx));
        matches!(self.result, Some(Ok(_)))
    }

    /// Without a result the reply is dropped: the caller reports the store as unavailable.
    fn reply(self: Box<Self>, committed: &Result<(), StoreError>) {
        let told = match (self.result, committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Ok(_)), Err(error)) => Err(error.clone()),
            (Some(Err(error)), _) => Err(error),
            (None, _) => return,
        };
        drop(self.reply.send(told));
    }
}

/// Serves units until nobody can hand in any more.
pub(super) fn serve(
    connection: &Connection,
    mut log: Log,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
) {
    let statements = Statements::new(connection);
    let mut group: Vec<Box<dyn Job>> = Vec::with_capacity(GROUP_MAX);
    while let Some(first) = queue.blocking_recv() {
        group.push(first);
        let committed = write_group(&statements, connection, &mut group, &mut queue);
        if let Err(error) = &committed {
            tracing::error!(%error, "a grouped commit failed; its callers were told");
            if !connection.is_autocommit() {
                drop(statements.exec("ROLLBACK", &[]));
            }
        }
        for job in group.drain(..) {
            job.reply(&committed);
        }
        log.look(connection);
    }
}

/// Runs what waits, and what comes meanwhile, and commits it.
fn write_group(
    statements: &Statements<'_>,
    connection: &Connection,
    group: &mut Vec<Box<dyn Job>>,
    queue: &mut mpsc::Receiver<Box<dyn Job>>,
) -> Result<(), StoreError> {
    let begin = || statements.exec("BEGIN IMMEDIATE", &[]);
    if let Err(error) = begin() {
        // Nothing can be written now (disk full, I/O error): every waiting caller is told.
        while let Ok(job) = queue.try_recv() {
            group.push(job);
        }
        return Err(error);
    }
    let mut done = 0;
    while let Some(job) = group.get_mut(done) {
        let before = connection.total_changes();
        let well = job.run(&mut Tx::sqlite(statements));
        // On some errors (disk full, I/O) SQLite rolls the whole transaction back by itself. Then the
        // next unit would be a transaction of its own, committed behind our back.
        in_transaction(connection)?;
        if !well && connection.total_changes() != before {
            statements.exec("ROLLBACK", &[])?;
            begin()?;
            run_apart(statements, connection, group)?;
            break;
        }
        done += 1;
        if done == group.len() && done < GROUP_MAX {
            group.extend(queue.try_recv());
        }
    }
    statements.exec("COMMIT", &[]).map(drop)
}

fn in_transaction(connection: &Connection) -> Result<(), StoreError> {
    if connection.is_autocommit() {
        let lost = "the transaction was rolled back";
        return Err(StoreError::Unavailable(lost.to_owned()));
    }
    Ok(())
}

/// Runs each unit of a group in a savepoint of its own, so that one which fails is undone alone.
fn run_apart(
    statements: &Statements<'_>,
    connection: &Connection,
    group: &mut [Box<dyn Job>],
) -> Result<(), StoreError> {
    for job in group {
        statements.exec("SAVEPOINT unit", &[])?;
        let well = job.run(&mut Tx::sqlite(statements));
        in_transaction(connection)?;
        if !well {
            // Half a unit must not be committed with the others: when this fails, all are told so.
            statements.exec("ROLLBACK TO unit", &[])?;
        }
        statements.exec("RELEASE unit", &[])?;
    }
    Ok(())
}
