//! SQLite: one file, one writer thread that groups commits, a few readers.
//!
//! # Invariants
//! - Only this process has the file open: an advisory lock on `FILE.lock` is held while it runs.
//! - A unit's result is handed out only after the commit that made it durable (`synchronous=FULL`).
//! - A unit that fails is rolled back alone, to its savepoint; the others of its group commit.

use super::sql::{Cell, Row, Val};
use super::{StoreError, Tx};
use crate::lockfile;
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OpenFlags, StatementStatus, ToSql};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Units that one commit takes. More would make the first of them wait for the last; fewer would
/// pay the fsync more often. 256 units take a few milliseconds.
const GROUP_MAX: usize = 256;
/// Units that may wait for the writer before callers wait themselves.
const WAITING_MAX: usize = 4096;
/// Statements kept prepared per connection: every statement of the service fits.
const STATEMENTS: usize = 256;
/// Connections for reading. Reads are short; two cores need no more.
const READERS: usize = 4;
/// Memory for pages of the writer, in KiB: what a busy hour touches again and again. SQLite's own
/// 2 MiB would have it read most of them from the system every time.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// Pages of the log before they are carried over into the file, each once however often it was
/// written: 32 MiB. With SQLite's own 1000 pages half of the writer's time goes into that.
const LOG_PAGES: i64 = 8192;
/// The file is ours alone, so a lock inside it is only ever held for the length of a checkpoint.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the writer does: run the unit, then, after the commit, hand out its result.
type Unit = Box<dyn FnOnce(&mut Tx<'_>) -> Result<Reply, Reply> + Send>;
/// Hands a unit's result out, or the error of the commit that would have made it durable.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// An open database.
pub struct Sqlite {
    /// Always there until the store is dropped.
    units: Option<mpsc::Sender<Unit>>,
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
        let (units, queue) = mpsc::channel(WAITING_MAX);
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_loop(&mut writer, queue))
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

    /// Runs a unit in the next grouped commit and waits until it is durable.
    ///
    /// # Errors
    /// The unit's own error, or that of the commit.
    ///
    /// # Cancel safety
    /// A unit whose caller goes away is committed all the same.
    pub async fn write<T, F>(&self, unit: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, result) = oneshot::channel();
        let unit: Unit = Box::new(move |tx| match unit(tx) {
            Ok(value) => Ok(Box::new(move |committed| {
                drop(reply.send(committed.map(|()| value)));
            })),
            Err(error) => Err(Box::new(move |_| {
                drop(reply.send(Err(error)));
            })),
        });
        let stopped = || StoreError::Unavailable("the store's writer has stopped".to_owned());
        let units = self.units.as_ref().ok_or_else(stopped)?;
        units.send(unit).await.map_err(|_closed| stopped())?;
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
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        // What a savepoint keeps of pages is small and short-lived: no file for it.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
    }
    Ok(connection)
}

/// Takes units as they come, commits all that wait together, then hands out the results.
fn write_loop(connection: &mut Connection, mut queue: mpsc::Receiver<Unit>) {
    let mut replies: Vec<(bool, Reply)> = Vec::with_capacity(GROUP_MAX);
    while let Some(first) = queue.blocking_recv() {
        let mut next = Some(first);
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            // Nothing can be written now (disk full, I/O error): every waiting caller is told.
            let error = StoreError::from(error);
            while let Some(unit) = next.take() {
                refuse(unit, &error);
                next = queue.try_recv().ok();
            }
            continue;
        }
        while let Some(unit) = next.take() {
            replies.push(run(connection, unit));
            // On some errors (disk full, I/O) SQLite rolls the whole transaction back by itself. Then
            // the next savepoint would be a transaction of its own, committed behind our back.
            if replies.len() < GROUP_MAX && !connection.is_autocommit() {
                next = queue.try_recv().ok();
            }
        }
        let committed = if connection.is_autocommit() {
            let lost = "the transaction was rolled back";
            Err(StoreError::Unavailable(lost.to_owned()))
        } else {
            connection.execute_batch("COMMIT").map_err(StoreError::from)
        };
        if let Err(error) = &committed {
            tracing::error!(%error, "a grouped commit failed; its callers were told");
            if !connection.is_autocommit() {
                drop(connection.execute_batch("ROLLBACK"));
            }
        }
        for (_, reply) in replies.drain(..) {
            reply(committed.clone());
        }
    }
}

/// Runs one unit inside its savepoint.
fn run(connection: &Connection, unit: Unit) -> (bool, Reply) {
    let run = |sql: &'static str| {
        connection
            .prepare_cached(sql)
            .and_then(|mut s| s.execute([]))
    };
    if let Err(error) = run("SAVEPOINT unit") {
        let error = StoreError::from(error);
        return (false, failing(unit, error));
    }
    // A panic takes its own unit with it and no other: nobody could write after the writer's end.
    let result =
        caught(|| unit(&mut Tx::sqlite(connection))).unwrap_or_else(|| Err(Box::new(|_| ())));
    match result {
        Ok(reply) => match run("RELEASE unit") {
            Ok(_) => (true, reply),
            Err(error) => {
                let error = StoreError::from(error);
                (false, Box::new(move |_| reply(Err(error))))
            }
        },
        Err(reply) => {
            if let Err(error) = run("ROLLBACK TO unit").and_then(|_| run("RELEASE unit")) {
                tracing::error!(%error, "a unit could not be rolled back");
                // Half a unit must not be committed with the others: all are told that it failed.
                if !connection.is_autocommit() {
                    drop(connection.execute_batch("ROLLBACK"));
                }
            }
            (false, reply)
        }
    }
}

/// Runs a unit; `None` when it panicked, which is logged by the panic itself.
fn caught<T>(unit: impl FnOnce() -> T) -> Option<T> {
    // What the unit leaves half done is in the transaction, which its caller rolls back.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(unit)).ok()
}

/// A unit that cannot be run: its caller gets the error.
fn failing(unit: Unit, error: StoreError) -> Reply {
    Box::new(move |_| refuse(unit, &error))
}

/// Tells a unit's caller that nothing was done, by dropping the unit and with it the reply channel;
/// the caller reports the store as unavailable.
fn refuse(unit: Unit, error: &StoreError) {
    tracing::error!(%error, "the store cannot be written");
    drop(unit);
}

impl ToSql for Val<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match *self {
            Val::Null => ToSqlOutput::Owned(Value::Null),
            Val::Int(v) => ToSqlOutput::Owned(Value::Integer(v)),
            Val::Bool(v) => ToSqlOutput::Owned(Value::Integer(i64::from(v))),
            Val::Text(v) => ToSqlOutput::Borrowed(ValueRef::Text(v.as_bytes())),
            Val::Ints(_) | Val::Texts(_) => {
                let no_sets = "SQLite is given no sets";
                return Err(rusqlite::Error::ToSqlConversionFailure(no_sets.into()));
            }
        })
    }
}

/// Runs a statement and says how many rows it changed.
pub(super) fn exec(
    connection: &Connection,
    sql: &'static str,
    vals: &[Val<'_>],
) -> Result<u64, StoreError> {
    if sql.is_empty() {
        return Ok(0);
    }
    let mut statement = connection.prepare_cached(sql)?;
    check_placeholders(&statement);
    let changed = statement.execute(rusqlite::params_from_iter(vals))?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

/// Runs a query and reads all of its rows.
pub(super) fn rows(
    connection: &Connection,
    sql: &'static str,
    vals: &[Val<'_>],
) -> Result<Vec<Row>, StoreError> {
    if sql.is_empty() {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(sql)?;
    check_placeholders(&statement);
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(vals))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let mut cells = Vec::with_capacity(columns);
        for i in 0..columns {
            cells.push(match row.get_ref(i)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(v) => Cell::Int(v),
                ValueRef::Text(v) => Cell::Text(String::from_utf8_lossy(v).into_owned()),
                ValueRef::Real(_) | ValueRef::Blob(_) => {
                    return Err(StoreError::Corrupt("a column of no known type".to_owned()));
                }
            });
        }
        out.push(Row::new(cells));
    }
    Ok(out)
}

/// `$n` are names to SQLite, numbered by their first appearance; a statement that mentions `$2`
/// before `$1` would bind them the other way round. Found by every test that runs the statement.
fn check_placeholders(statement: &rusqlite::Statement<'_>) {
    if cfg!(debug_assertions) {
        for i in 1..=statement.parameter_count() {
            debug_assert_eq!(statement.parameter_name(i), Some(format!("${i}").as_str()));
        }
        let again = statement.get_status(StatementStatus::RePrepare);
        debug_assert_eq!(again, 0, "{statement:?} is planned again and again");
    }
}
