//! The suite over SQLite, and what a file alone promises.

#![expect(clippy::duplicate_mod, reason = "the same tests over another database")]

#[path = "accept.rs"]
mod accept;
#[path = "commits.rs"]
mod commits;
#[path = "conversations.rs"]
mod conversations;
#[path = "doubts.rs"]
mod doubts;
#[path = "echoes.rs"]
mod echoes;
#[path = "events.rs"]
mod events;
#[path = "file.rs"]
mod file;
#[path = "inbound.rs"]
mod inbound;
#[path = "late.rs"]
mod late;
#[path = "letters.rs"]
mod letters;
#[path = "mailboxes.rs"]
mod mailboxes;
#[path = "media.rs"]
mod media;
#[path = "messages.rs"]
mod messages;
#[path = "mirror.rs"]
mod mirror;
#[path = "newer.rs"]
mod newer;
#[path = "people.rs"]
mod people;
#[path = "quotes.rs"]
mod quotes;
#[path = "sets.rs"]
mod sets;
#[path = "statuses.rs"]
mod statuses;
#[path = "threads.rs"]
mod threads;
#[path = "users.rs"]
mod users;
#[path = "workers.rs"]
mod workers;

use super::*;
use std::path::PathBuf;

type Bench = super::Bench<Folder>;

/// A folder of its own.
struct Folder(PathBuf);

impl Folder {
    fn file(&self) -> PathBuf {
        self.0.join("s.db")
    }
}

impl Place for Folder {
    fn new() -> Self {
        let name = format!("switchboard-store-{}", uuid::Uuid::new_v4().simple());
        Self(std::env::temp_dir().join(name))
    }

    async fn open(&self, receivers: Vec<Receiver>) -> Result<Store, StoreError> {
        Store::open(&self.file(), receivers, "https://gate.example").await
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
