//! Webhooks that the store cannot take just now: kept on disk, acknowledged, and replayed in order.
//!
//! # Why
//! Most platforms repeat a webhook that is not acknowledged, but not all (Twilio hardly), none for
//! long without switching the webhook off, and each at its own pace, which costs the order. With
//! a database in another place than this process, its absence must not become the platforms' matter.
//! The embedded store has no spool: a disk that cannot take a row cannot take a record either.
//!
//! # What it promises
//! - A record is acknowledged only after it is flushed to the disk. Records that come together share
//!   a flush.
//! - Records are replayed in the order in which they were acknowledged, and while a channel has any,
//!   its new webhooks queue behind them ([`Spool::behind`]).
//! - A record is forgotten only after the commit of what it carries. A crash in between replays it;
//!   the store's de-duplication makes that harmless. For the same reason a webhook whose commit has an
//!   unknown outcome may be spooled.
//! - What cannot be replayed (its channel is gone, its secret has changed) is *set aside*: kept, told
//!   of and tried again at the next start. Nothing is thrown away.
//! - Over `spool.max_bytes`, or when the disk fails, it takes nothing, and the platform gets its 503.
//!
//! What it does *not* do: keep the order between processes. Each has a folder of its own, under a
//! lock; a proxy that gives each channel's webhooks to one process keeps the order across an outage.
//!
//! # The format, version 1
//! A folder holds segments `NUMBER.spool`, sixteen hexadecimal digits that only grow; what was set
//! aside, `NUMBER.aside`, in the same format; segments with damage that were replayed around it,
//! `NUMBER.damaged`; `position` and `lock`. Numbers are little-endian. A segment is
//!
//! | bytes | field |
//! |---|---|
//! | 8 | `SWBSPOOL` |
//! | 4 | version |
//! | 8 | marker: random, one per segment |
//! | 4 | CRC-32 (IEEE) of the bytes before |
//!
//! and then records without gaps:
//!
//! | bytes | field |
//! |---|---|
//! | 8 | the segment's marker |
//! | 4 | length of the payload |
//! | 4 | CRC-32 of the length's bytes and the payload |
//! | length | payload: 4 bytes length of the head, the head in JSON, the request's body |
//!
//! The marker finds the next whole record behind a damaged one. It is random so that no body, which
//! a stranger may write, can pass for a record; and even then a replayed request is verified again.
//!
//! A segment is begun anew by each process and when the last one has reached its share of
//! `spool.max_bytes`; it is removed when it is replayed. `position` says up to where that is: number,
//! marker, offset (8 bytes each) and their CRC-32. It is replaced by a rename and not flushed: an
//! older one, or none, costs a replay.
//!
//! # After a crash
//! A record whose bytes end too early, with no whole record behind it, was never acknowledged: the
//! segment is cut off behind the last whole record (*torn tail*). Anything else that fits no checksum
//! is damage: what is whole before and behind it is replayed, and the segment is kept as `.damaged`.
//! Both are reported. A segment of a newer version is refused, not skipped.

mod disk;
mod frame;
mod open;
mod record;
pub mod replay;
mod state;
#[cfg(test)]
mod tests;
mod writer;

pub use open::Repair;
pub use record::Record;
pub use state::Stats;

use disk::{Disk, Medium};
use state::{Position, State};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use tokio::sync::{Notify, mpsc, oneshot};
use writer::{Command, Writer};

/// Records that may wait for the writer before callers wait themselves: the connections that a busy
/// process has open.
const WAITING_MAX: usize = 1024;

/// Why the spool took nothing, or cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpoolError {
    /// Another process has the folder.
    #[error("{}: another process has this spool", .0.display())]
    Locked(PathBuf),
    /// It was written by a newer release.
    #[error("{}: written by a newer release (version {version})", .path.display())]
    Version {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// `spool.max_bytes` is reached.
    #[error("the spool is full: {bytes} bytes of at most {most}")]
    Full {
        /// What it holds.
        bytes: u64,
        /// What it may hold.
        most: u64,
    },
    /// The disk does not do what it is told.
    #[error("{}: {reason}", .path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The writer has ended.
    #[error("the spool's writer has ended")]
    Ended,
}

impl SpoolError {
    fn disk(path: &Path, reason: &std::io::Error) -> Self {
        Self::Disk {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// A record that waits, and where it ends.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The record, or why it cannot be read although its checksum holds.
    pub record: Result<Record, String>,
    payload: Vec<u8>,
    end: Position,
}

/// An open spool.
pub struct Spool {
    /// Always there until the spool is dropped.
    commands: Option<mpsc::Sender<Command>>,
    writer: Option<thread::JoinHandle<()>>,
    state: Arc<Mutex<State>>,
    folder: PathBuf,
    /// Wakes the replay when there is something to do.
    came: Arc<Notify>,
    /// Held for the life of the process; dropped last.
    _lock: File,
}

impl Spool {
    /// Opens (or makes) a spool, repairs it and says what was found.
    ///
    /// # Errors
    /// When another process has the folder, a newer release wrote it, or the disk fails.
    pub fn open(folder: &Path, max_bytes: u64) -> Result<(Self, Repair), SpoolError> {
        Self::open_on(folder, max_bytes, Arc::new(Disk))
    }

    fn open_on(
        folder: &Path,
        max_bytes: u64,
        medium: Arc<dyn Medium>,
    ) -> Result<(Self, Repair), SpoolError> {
        let lock = open::lock(folder)?;
        let (state, repair) = open::repair(folder)?;
        let state = Arc::new(Mutex::new(state));
        let came = Arc::new(Notify::new());
        let (commands, queue) = mpsc::channel(WAITING_MAX);
        let writer = Writer::new(
            folder,
            max_bytes,
            medium,
            Arc::clone(&state),
            Arc::clone(&came),
        );
        let thread = thread::Builder::new()
            .name("spool-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|e| SpoolError::disk(folder, &e))?;
        let spool = Self {
            commands: Some(commands),
            writer: Some(thread),
            state,
            folder: folder.to_owned(),
            came,
            _lock: lock,
        };
        Ok((spool, repair))
    }

    /// Keeps a record; returns once it is durable.
    ///
    /// # Errors
    /// When the spool is full or the disk fails: nothing was kept then.
    ///
    /// # Cancel safety
    /// A record whose caller goes away may be kept all the same, which is as good as its redelivery.
    pub async fn append(&self, record: &Record) -> Result<(), SpoolError> {
        let payload = record.encode();
        let channels = record.channels.clone();
        let at = record.request.received_at.0;
        let done = self
            .tell(|reply| {
                Command::Append(writer::Append {
                    payload,
                    channels,
                    at,
                    reply,
                })
            })
            .await;
        done?
    }

    /// Whether a new webhook that touches these channels must queue here: one of them has records
    /// that are not replayed yet, or the store is known not to answer.
    pub fn behind<'c>(&self, channels: impl IntoIterator<Item = &'c str>) -> bool {
        let state = self.state();
        let mut channels = channels.into_iter();
        state.down || channels.any(|channel| state.channels.contains_key(channel))
    }

    /// What is in it.
    pub fn stats(&self) -> Stats {
        self.state().stats()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the writer something to do and waits for its answer.
    async fn tell<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, SpoolError> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or(SpoolError::Ended)?;
        let sent = commands.send(command(reply)).await;
        sent.map_err(|_closed| SpoolError::Ended)?;
        answer.await.map_err(|_dropped| SpoolError::Ended)
    }
}

impl Drop for Spool {
    /// Waits for the writer: only then may the lock go, or the next process would open the folder
    /// beside this one's last writes.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the spool's writer broke off");
        }
    }
}
