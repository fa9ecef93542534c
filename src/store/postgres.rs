//! PostgreSQL: any number of processes on one database.
//!
//! Units stay what they are on SQLite, functions that run from one end to the other on a thread of
//! the store's; here there are several such threads, each with a connection of its own, and as many
//! units run at once.
//!
//! # Invariants
//! - A unit is one transaction (`READ COMMITTED`), whatever else its thread commits with it: its locks
//!   go with it, and a unit that fails is rolled back alone.
//! - A unit's result is handed out only after a commit that waited for the disk, and for the standbys
//!   where the server has synchronous ones. Units that wait behind each other on one thread share that
//!   wait: all but the last commit without it, and the last one's covers them, since the log is
//!   written in order. The last one always has something to write: a unit that found everything done
//!   before must not be acknowledged while what it found may still be lost.
//! - Nothing else keeps units apart than rows and locks: see `docs/decisions/0013`. A unit that
//!   another one came in the way of (a deadlock, a row that came between) is run again.
//! - Whether a commit happened whose answer was lost nobody knows, and the caller is told so.

mod connect;
mod presence;
mod session;
mod threads;
mod values;

pub use session::Session;
pub(super) use session::ToCome;

use super::{StoreError, Tx};
use connect::Connector;
use std::sync::Arc;
use std::thread;
use switchboard_channels::kit::secret::Secret;
use tokio::sync::{Mutex, mpsc, oneshot};

/// Units that may wait for a thread before callers wait themselves.
const WAITING_MAX: usize = 4096;

/// A unit and its caller.
trait Call: Send {
    /// Runs the unit; what it gave is kept until the commit.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    /// Tells the caller.
    fn reply(self: Box<Self>, result: Result<(), StoreError>);
}

struct Caller<T, F> {
    unit: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Call for Caller<T, F>
where
    T: Send,
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.value = None;
        self.value = Some((self.unit)(tx)?);
        Ok(())
    }

    fn reply(self: Box<Self>, result: Result<(), StoreError>) {
        let nothing = || StoreError::Unavailable("nothing was written".to_owned());
        let Self { value, reply, .. } = *self;
        // Who has gone away is not told.
        drop(reply.send(result.and_then(|()| value.ok_or_else(nothing))));
    }
}

/// What several threads take from.
type Waiting = Arc<Mutex<mpsc::Receiver<Box<dyn Call>>>>;

/// An open database.
pub struct Postgres {
    /// Always there until the store is dropped.
    units: Option<mpsc::Sender<Box<dyn Call>>>,
    questions: Option<mpsc::Sender<Box<dyn Call>>>,
    threads: Vec<thread::JoinHandle<()>>,
    name: Arc<str>,
    /// Ends after the threads.
    _presence: Option<presence::Announced>,
}

/// Where a database is and how many connections this process may have to it.
#[derive(Debug, Clone)]
pub struct Place {
    /// `postgres://user:password@host/database`
    pub url: Secret,
    /// Connections, at least two: one in three reads.
    pub connections: u32,
    /// Beside whom.
    pub presence: Presence,
}

/// Beside whom a process works on a database. It says so by a lock that ends with its connection, so
/// that a schedule in one process's memory never stands beside another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Looks in (`check`, `migrate`), whoever else is there.
    Visitor,
    /// One of several.
    OneOfMany,
    /// The only one.
    Alone,
}

impl Postgres {
    /// Connects and brings the schema up to date.
    ///
    /// # Errors
    /// When the server is not there, does not let us in, or its schema is of another release.
    pub async fn open(place: &Place) -> Result<Self, StoreError> {
        let connector = Connector::new(&place.url)?;
        let to_migrate = connector.clone();
        let migrated = tokio::task::spawn_blocking(move || {
            let mut session = Session::new(to_migrate)?;
            super::migrate::migrate_postgres(&mut session)
                .map_err(|error| session.at_the_start(error))
        });
        migrated
            .await
            .map_err(|e| StoreError::Open(e.to_string()))??;
        let presence = presence::announce(&connector, place.presence).await?;
        let readers = (place.connections / 3).max(1);
        let writers = place.connections.saturating_sub(readers).max(1);
        let (units, of_units) = mpsc::channel(WAITING_MAX);
        let (questions, of_questions) = mpsc::channel(WAITING_MAX);
        let name = Arc::clone(&connector.name);
        let (of_units, of_questions) = (Mutex::new(of_units), Mutex::new(of_questions));
        let (of_units, of_questions) = (Arc::new(of_units), Arc::new(of_questions));
        let mut threads = Vec::new();
        for (what, count, waiting) in [
            ("store-writer", writers, of_units),
            ("store-reader", readers, of_questions),
        ] {
            for _ in 0..count {
                let (connector, waiting) = (connector.clone(), Arc::clone(&waiting));
                let run = move || match Session::new(connector) {
                    Ok(session) if what == "store-writer" => threads::write(session, &waiting),
                    Ok(session) => threads::read(session, &waiting),
                    Err(error) => tracing::error!(%error, "a thread of the store ends"),
                };
                let thread = thread::Builder::new().name(what.to_owned()).spawn(run);
                threads.push(thread.map_err(|e| StoreError::Open(e.to_string()))?);
            }
        }
        Ok(Self {
            units: Some(units),
            questions: Some(questions),
            threads,
            name,
            _presence: presence,
        })
    }

    /// Host and database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a unit in a transaction of its own and waits until it is durable. It may be run more than
    /// once, until one run is committed.
    ///
    /// # Errors
    /// The unit's own error, or that of the commit.
    ///
    /// # Cancel safety
    /// A unit whose caller goes away is committed all the same.
    pub async fn write<T, F>(&self, unit: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        call(self.units.as_ref(), unit).await
    }

    /// Runs a read-only unit on one snapshot. Sees everything whose `write` has returned.
    ///
    /// # Errors
    /// The unit's own error.
    pub async fn read<T, F>(&self, unit: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let mut once = Some(unit);
        call(self.questions.as_ref(), move |tx: &mut Tx<'_>| {
            let twice = || StoreError::Corrupt("a question was asked twice".to_owned());
            once.take().ok_or_else(twice)?(tx)
        })
        .await
    }
}

async fn call<T, F>(to: Option<&mpsc::Sender<Box<dyn Call>>>, unit: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
{
    let stopped = || StoreError::Unavailable("the store has stopped".to_owned());
    let (reply, result) = oneshot::channel();
    let caller = Caller {
        unit,
        value: None,
        reply,
    };
    let to = to.ok_or_else(stopped)?;
    to.send(Box::new(caller))
        .await
        .map_err(|_closed| stopped())?;
    result.await.map_err(|_dropped| stopped())?
}

impl Drop for Postgres {
    /// Waits until what was handed in is committed.
    fn drop(&mut self) {
        self.units = None;
        self.questions = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store broke off");
            }
        }
    }
}
