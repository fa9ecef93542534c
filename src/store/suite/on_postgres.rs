//! The suite over PostgreSQL, and what several writers at once make a promise of its own.

#![expect(clippy::duplicate_mod, reason = "the same tests over another database")]

#[path = "accept.rs"]
mod accept;
#[path = "commits.rs"]
mod commits;
#[path = "conversations.rs"]
mod conversations;
#[path = "doubts.rs"]
mod doubts;
#[path = "events.rs"]
mod events;
#[path = "inbound.rs"]
mod inbound;
#[path = "letters.rs"]
mod letters;
#[path = "media.rs"]
mod media;
#[path = "messages.rs"]
mod messages;
#[path = "people.rs"]
mod people;
#[path = "statuses.rs"]
mod statuses;
#[path = "users.rs"]
mod users;
#[path = "workers.rs"]
mod workers;

use super::*;
use switchboard_channels::kit::secret::Secret;
use switchboard_testkit::servers::{PostgresDatabase, PostgresServer};

type Bench = super::Bench<Own>;

/// A database of its own on the server of this process.
struct Own(PostgresDatabase<'static>);

/// Of each store: one that reads and three that write at once.
const CONNECTIONS: u32 = 4;

impl Place for Own {
    fn new() -> Self {
        Self(PostgresServer::shared().database())
    }

    async fn open(&self, receivers: Vec<Receiver>) -> Result<Store, StoreError> {
        let place = crate::store::postgres::Place {
            url: Secret::new(self.0.url()),
            connections: CONNECTIONS,
        };
        Store::connect(&place, receivers, "https://gate.example").await
    }
}
