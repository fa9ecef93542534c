//! Fetches mail: one loop per mailbox, each by itself, so that a slow or broken one holds up no other.
//!
//! ```text
//! lease ─> log in, select ─> search ─> sizes ─> fetch ─> keep the raw mail (fsync) ─> parse
//!   ^                         ^                                                        │
//!   │ backoff, jitter         │ IDLE, or a pause                 one transaction: events, messages,
//!   └──── any failure ────────┴──── mark or move <── commit <──── and the mailbox's `last_uid`
//! ```
//!
//! - A mail becomes exactly one message wherever a process dies: the number up to which a mailbox was
//!   read commits with what the mail carried, and a reader that was overtaken commits nothing.
//! - Marks and moves come after the commit and are cosmetic: correctness rests on `last_uid` and on the
//!   de-duplication keys. So nobody selects by `UNSEEN`: people read the mailbox, too.
//! - No buffer without a bound: sizes are asked before bodies, and of what is too large only the head
//!   is fetched.
//! - A mail that cannot be read is kept raw and passed by; it never stops its mailbox.
//! - A refused login is tried three times; then the channel pauses, and says so.

mod folder;
mod reader;
mod take;

use crate::gateway::{Gateway, LiveChannel};
use reader::Reader;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts a loop for each channel that has a mailbox; with `only`, for those channels alone.
pub fn start(
    gateway: &Arc<Gateway>,
    only: &[String],
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    for (id, live) in &gateway.channels {
        if !only.is_empty() && !only.contains(id) {
            continue;
        }
        let Some(mailbox) = live.channel.mailbox() else {
            continue;
        };
        let reader = Reader {
            gateway: Arc::clone(gateway),
            live: Arc::clone(live),
            mailbox: mailbox.clone(),
        };
        tasks.spawn(reader.run(stop.clone()));
    }
}

/// The channels that have a mailbox.
pub fn mailboxes(gateway: &Gateway) -> impl Iterator<Item = (&Arc<LiveChannel>, &str)> {
    let all = gateway.channels.values();
    all.filter_map(|live| Some((live, live.channel.mailbox()?.folder.as_str())))
}

#[cfg(test)]
mod tests;
