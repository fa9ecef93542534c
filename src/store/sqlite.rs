//! SQLite: one file, one writer thread that groups commits, a few readers.
//!
//! # Invariants
//! - Only this process has the file open: an advisory lock on `FILE.lock` is held while it runs.
//! - A unit's result is handed out only after the commit that made it durable (`synchronous=FULL`).
//! - A unit that fails is undone alone; the others of its group commit.

mod log;
mod statements;
mod writer;

pub(super) use statements::Runs;

use super::{StoreError, Tx};
use crate::lockfile;
use log::Log;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;
use writer::{Job, Waiting};

/// Units that may wait for the writer before callers wait themselves.
const WAITING_MAX: usize = 4096;
/// Statements kept prepared per reading connection: every one that only reads fits.
const STATEMENTS: usize = 256;
/// Connections for reading. Reads are short; two cores need no more.
const READERS: usize = 4;
/// Memory for pages of the writer, in KiB: what a busy hour touches again and again. SQLite's own
/// 2 MiB would have it read most of them from the system every time.
const WRITER_CACHE_KIB: i64 = 32 * 1024;
/// The file is ours alone, so a lock inside it is only ever held for the length of a checkpoint.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// An open database.
pub struct Sqlite {
    /// Always there until the store is dropped.
    units: Option<mpsc::Sender<Box<dyn Job>>>,
    writer: Option<thread::JoinHandle<()>>,
    readers: Arc<Mutex<Vec<Connection>>>,
    reading: Arc<tokio::sync::Semaphore>,
    path: PathBuf,
    /// Held for the life of the process; dropped last.
    _lock: File,
}

impl Sqlite {
    /// Opens (or makes) the file and takes its lock.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it; else what the system says.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| StoreError::Open(e.to_string()))?;
        }
        let lock = take_lock(path)?;
        let mut writer = connect(path, false)?;
        super::migrate::migrate_sqlite(&mut writer)?;
        let readers = (0..READERS)
            .map(|_| connect(path, true))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let log = Log::watch(&mut writer, connect(path, false)?)?;
        let (units, queue) = mpsc::channel(WAITING_MAX);
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer::serve(&writer, log, queue))
            .map_err(|e| StoreError::Open(e.to_string()))?;
        Ok(Self {
            units: Some(units),
            writer: Some(thread),
            readers: Arc::new(Mutex::new(readers)),
            reading: Arc::new(tokio::sync::Semaphore::new(READERS)),
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a unit in the next grouped commit and waits until it is durable. It may be run again, when
    /// another one of its group failed; what the first run did is undone then.
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
        let (job, result) = Waiting::new(unit);
        let stopped = || StoreError::Unavailable("the store's writer has stopped".to_owned());
        let units = self.units.as_ref().ok_or_else(stopped)?;
        units
            .send(Box::new(job))
            .await
            .map_err(|_closed| stopped())?;
        // The writer drops what it cannot run.
        result
            .await
            .map_err(|_dropped| StoreError::Unavailable("nothing was written".to_owned()))?
    }

    /// Runs a read-only unit. Sees everything whose `write` has returned.
    ///
    /// # Errors
    /// The unit's own error.
    pub async fn read<T, F>(&self, unit: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let stopped = |what: &str| StoreError::Unavailable(format!("reading: {what}"));
        let permit = Arc::clone(&self.reading)
            .acquire_owned()
            .await
            .map_err(|e| stopped(&e.to_string()))?;
        let readers = Arc::clone(&self.readers);
        let done = tokio::task::spawn_blocking(move || {
            // Held as long as the connection, not as long as the caller: one that goes away in the
            // middle must not let the next one in before there is a connection for it.
            let _permit = permit;
            let taken = readers.lock().map_err(|e| stopped(&e.to_string()))?.pop();
            let connection = taken.ok_or_else(|| stopped("no connection is free"))?;
            // One snapshot for all statements of the unit: what it reads fits together.
            let result = match connection.execute_batch("BEGIN") {
                Ok(()) => caught(|| unit(&mut Tx::sqlite(&connection))),
                Err(error) => Some(Err(error.into())),
            };
            if !connection.is_autocommit() {
                drop(connection.execute_batch("ROLLBACK"));
            }
            readers
                .lock()
                .map_err(|e| stopped(&e.to_string()))?
                .push(connection);
            result.unwrap_or_else(|| Err(stopped("the unit panicked")))
        });
        done.await.map_err(|e| stopped(&e.to_string()))?
    }
}

impl Drop for Sqlite {
    /// Waits until what was handed in is committed: only then may the lock go, or the next process
    /// would open the file beside this one's last writes.
    fn drop(&mut self) {
        self.units = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer broke off");
        }
    }
}

/// Takes the lock that keeps a second process off the file.
fn take_lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    lockfile::take(Path::new(&name))
        .map_err(|e| StoreError::Open(format!("{}: {e}", PathBuf::from(&name).display())))?
        .ok_or_else(|| StoreError::Locked(path.to_owned()))
}

fn connect(path: &Path, read_only: bool) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX
        | if read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        };
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A plan must not depend on the parameters that it was made with: SQLite would make it anew, at
    // several times the cost of running it, whenever they change.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if !read_only {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What is acknowledged must survive the machine, not only the process.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        // What a savepoint keeps of pages, where a group is run again, is short-lived: no file for it.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
    }
    Ok(connection)
}

/// Runs a unit; `None` when it panicked, which is logged by the panic itself.
fn caught<T>(unit: impl FnOnce() -> T) -> Option<T> {
    // What the unit leaves half done is in the transaction, which its caller rolls back.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(unit)).ok()
}
