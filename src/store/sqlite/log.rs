//! The write-ahead log is carried over into the file beside the writer, not by it.
//!
//! SQLite would have the writer carry the log over when a commit makes it long, and everybody would wait
//! for that one commit. Here a thread of its own does it while the writer goes on. What the writer has
//! added meanwhile is little; it carries that over itself, and the log begins anew.

use super::super::StoreError;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

/// Pages of the log before they are carried over into the file, each once however often it was
/// written: 128 MiB. With SQLite's own 1000 pages half of the writer's time goes into that; with 8192
/// webhooks cost up to a tenth more, into a full store a sixth. Twice as many gain little more, and a
/// log that a crash left is read at the start.
const LOG_PAGES: u32 = 32_768;

/// The writer's view of the log.
pub(super) struct Log {
    /// Pages in the log after the last commit.
    pages: Arc<AtomicU32>,
    /// Pages that were in it when it was last carried over.
    carried: u32,
    carrier: Option<Carrier>,
    /// The carrier was asked and the writer has not followed yet.
    asked: bool,
}

/// The thread that carries the log over.
struct Carrier {
    wanted: mpsc::Sender<()>,
    done: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

/// Copies what is in the log and nobody needs from there any more; waits for nobody.
fn carry_over(connection: &Connection) {
    let carried = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = carried {
        // It is all in the log as well; the next time does it.
        tracing::warn!(%error, "the log is not carried over into the file");
    }
}

impl Log {
    /// Watches the log of the writer; `beside` is a connection for whoever carries it over.
    pub(super) fn watch(writer: &mut Connection, beside: Connection) -> Result<Self, StoreError> {
        let pages = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&pages);
        // In place of the checkpoint that SQLite would do here.
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let (wanted, asked) = mpsc::channel::<()>();
        let done = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&done);
        let thread = thread::Builder::new()
            .name("store-log".to_owned())
            .spawn(move || {
                while asked.recv().is_ok() {
                    carry_over(&beside);
                    tell.store(true, Ordering::Release);
                }
            })
            .map_err(|e| StoreError::Open(e.to_string()))?;
        let carrier = Some(Carrier {
            wanted,
            done,
            thread,
        });
        Ok(Self {
            pages,
            carried: 0,
            carrier,
            asked: false,
        })
    }

    /// After a commit, when its callers were told: has the log carried over when it is long.
    pub(super) fn look(&mut self, writer: &Connection) {
        let Some(carrier) = &self.carrier else { return };
        let pages = self.pages.load(Ordering::Relaxed);
        if self.asked {
            if carrier.done.swap(false, Ordering::Acquire) {
                carry_over(writer);
                (self.asked, self.carried) = (false, pages);
            }
            return;
        }
        // It has begun anew.
        if pages < self.carried {
            self.carried = 0;
        }
        if pages - self.carried >= LOG_PAGES {
            self.asked = carrier.wanted.send(()).is_ok();
        }
    }
}

impl Drop for Log {
    /// The lock on the file may go only when nobody is at it any more.
    fn drop(&mut self) {
        let Some(Carrier { wanted, thread, .. }) = self.carrier.take() else {
            return;
        };
        drop(wanted);
        if thread.join().is_err() {
            tracing::error!("the thread that carries the log over broke off");
        }
    }
}
