//! The truth: users, conversations, messages, parts, attempts, events, deliveries.
//!
//! Everything durable goes through a *unit*: an `async` function over [`sql::Sql`] that runs inside
//! one transaction. Units of several callers share a commit; a unit's result is handed out only
//! after the commit that made it durable. The store knows no queue and no channel: what must be
//! woken after a commit is named in [`Wakes`] and woken by the caller.
//!
//! It does *not* retry, wait, send or decide what a failure means.

pub mod deliveries;
pub mod echoes;
mod gather;
pub mod inbound;
pub mod locks;
pub mod mailboxes;
pub mod media_rows;
pub mod migrate;
pub mod mirror;
pub mod outbox;
pub mod people;
#[cfg(test)]
pub(crate) mod plans;
pub mod postgres;
pub mod progress;
pub mod reads;
pub mod rows;
pub mod sends;
pub mod sql;
pub mod sqlite;
#[cfg(test)]
mod suite;
pub mod threads;
pub mod tokens;
mod tx;
pub mod upkeep;
pub mod users;
pub mod work;

pub use outbox::{Receiver, Sent, Unit, Wakes};
pub use tx::{Tx, at_once};

use crate::media::Links;
use postgres::Postgres;
use serde_json::Value;
use sqlite::Sqlite;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use switchboard_channels::model::Millis;

/// What can go wrong with the truth.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file.
    #[error("{}: another process has this store open", .0.display())]
    Locked(PathBuf),
    /// The file cannot be opened or made.
    #[error("the store cannot be opened: {0}")]
    Open(String),
    /// The schema is of another release.
    #[error(
        "the store has schema version {found}, this release knows {known}: use a newer release"
    )]
    Schema {
        /// What the store has.
        found: i64,
        /// What this binary knows.
        known: i64,
    },
    /// It does not answer, or cannot be written: nothing was done, unless the commit itself broke.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// The connection was lost while the commit was under way.
    #[error("whether it was written is not known: {0}")]
    Unknown(String),
    /// Something in it is not as we wrote it.
    #[error("the store holds something unexpected: {0}")]
    Corrupt(String),
    /// A value that must be unique is taken.
    #[error("already taken: {0}")]
    Taken(String),
}

impl StoreError {
    /// Whether the same unit may go through later, unchanged.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unknown(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => Self::Taken(error.to_string()),
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// The time now.
pub fn now() -> Millis {
    Millis(jiff::Timestamp::now().as_millisecond())
}

/// The database behind the store.
enum Database {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Database {
    async fn write<T, F>(&self, unit: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(unit).await,
            Self::Postgres(postgres) => postgres.write(unit).await,
        }
    }

    async fn read<T, F>(&self, unit: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        match self {
            Self::Sqlite(sqlite) => sqlite.read(unit).await,
            Self::Postgres(postgres) => postgres.read(unit).await,
        }
    }
}

/// What is there once the store was reached.
struct Opened {
    database: Database,
    /// Of the process, in which it was reached.
    runtime: tokio::runtime::Handle,
    links: Arc<Links>,
}

/// The store: open, or, where it is in another place, perhaps not reached yet. Copies are the same store.
#[derive(Clone)]
pub struct Store {
    opened: Arc<OnceLock<Opened>>,
    gathering: Arc<gather::Gathering>,
    /// Where it is when it is in another place.
    place: Option<postgres::Place>,
    public_url: Arc<str>,
    receivers: Arc<[Receiver]>,
    desks: Arc<[mirror::Desk]>,
}

impl Store {
    /// Opens the embedded store.
    ///
    /// # Errors
    /// When the file is locked by another process, cannot be opened or is of another release.
    pub async fn open(
        path: &Path,
        receivers: Vec<Receiver>,
        public_url: &str,
    ) -> Result<Self, StoreError> {
        let database = Database::Sqlite(Sqlite::open(path)?);
        let store = Self::closed(None, receivers, public_url);
        store.over(database).await?;
        Ok(store)
    }

    /// Opens the store on PostgreSQL.
    ///
    /// # Errors
    /// When the server is not there, does not let us in, or its schema is of another release.
    pub async fn connect(
        place: &postgres::Place,
        receivers: Vec<Receiver>,
        public_url: &str,
    ) -> Result<Self, StoreError> {
        let store = Self::later(place, receivers, public_url);
        store.arrive().await?;
        Ok(store)
    }

    /// The store on PostgreSQL, for a process that begins without it: it does not answer until
    /// [`Store::arrive`] has reached it.
    pub fn later(place: &postgres::Place, receivers: Vec<Receiver>, public_url: &str) -> Self {
        Self::closed(Some(place.clone()), receivers, public_url)
    }

    fn closed(place: Option<postgres::Place>, receivers: Vec<Receiver>, public_url: &str) -> Self {
        Self {
            opened: Arc::default(),
            gathering: Arc::default(),
            place,
            public_url: public_url.into(),
            receivers: receivers.into(),
            desks: Arc::default(),
        }
    }

    /// Reaches the store, and brings its schema up to date. Once it is reached, that is all.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the server is not there; anything else will not pass by
    /// waiting: it does not let us in, or its schema is of another release.
    pub async fn arrive(&self) -> Result<(), StoreError> {
        match &self.place {
            Some(place) if self.opened.get().is_none() => {
                self.over(Database::Postgres(Postgres::open(place).await?))
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Whether it was ever reached.
    pub fn is_open(&self) -> bool {
        self.opened.get().is_some()
    }

    fn opened(&self) -> Result<&Opened, StoreError> {
        let never = || StoreError::Unavailable("it was not there since the start".to_owned());
        self.opened.get().ok_or_else(never)
    }

    /// The gateway key, from which link signatures are derived, is made on the first start.
    async fn over(&self, database: Database) -> Result<(), StoreError> {
        let fresh = format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        );
        let key = database
            .write(move |tx| {
                at_once(async {
                    use sql::Sql;
                    tx.exec(
                        "INSERT INTO meta (key, value) VALUES ('gateway_key', $1)
                         ON CONFLICT (key) DO NOTHING",
                        crate::vals![&fresh],
                    )
                    .await?;
                    tx.one("SELECT value FROM meta WHERE key = 'gateway_key'", &[])
                        .await?
                        .text()
                })
            })
            .await?;
        let links = Arc::new(Links::new(&self.public_url, &key));
        let runtime = tokio::runtime::Handle::current();
        self.opened.get_or_init(|| Opened {
            database,
            runtime,
            links,
        });
        Ok(())
    }

    /// With channels at which the conversations of others are shown.
    #[must_use]
    pub fn with_desks(mut self, desks: Vec<mirror::Desk>) -> Self {
        self.desks = desks.into();
        self
    }

    /// Whether this process alone has the store, so that nothing in it can be anybody else's.
    pub fn is_embedded(&self) -> bool {
        self.place.is_none()
    }

    /// Makes links of kept attachments.
    ///
    /// # Errors
    /// While the store was not reached: the key is in it.
    pub fn links(&self) -> Result<&Arc<Links>, StoreError> {
        Ok(&self.opened()?.links)
    }

    /// Runs a unit and waits until it is durable: its result, and what to wake. On PostgreSQL it is run
    /// again when another one came in its way; what a run does must be in its result and its
    /// transaction alone.
    ///
    /// # Errors
    /// The unit's own error, or that of the commit.
    pub async fn write<T, F>(&self, mut unit: F) -> Result<(T, Wakes), StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>, &mut Unit<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let opened = self.opened()?;
        let (receivers, links) = (Arc::clone(&self.receivers), Arc::clone(&opened.links));
        let desks = Arc::clone(&self.desks);
        let started = std::time::Instant::now();
        let result = opened
            .database
            .write(move |tx| {
                let wakes = Wakes::default();
                let mut context = Unit {
                    receivers: &receivers,
                    desks: &desks,
                    links: &links,
                    now: now(),
                    wakes,
                    held: Vec::new(),
                };
                let value = unit(tx, &mut context)?;
                Ok((value, context.wakes))
            })
            .await;
        metrics::histogram!(crate::telemetry::names::STORE_SECONDS, "operation" => "write")
            .record(started.elapsed());
        result
    }

    /// Runs a read-only unit.
    ///
    /// # Errors
    /// The unit's own error.
    pub async fn read<T, F>(&self, unit: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let started = std::time::Instant::now();
        let result = self.opened()?.database.read(unit).await;
        metrics::histogram!(crate::telemetry::names::STORE_SECONDS, "operation" => "read")
            .record(started.elapsed());
        result
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read(|tx| {
            at_once(async {
                use sql::Sql;
                tx.one("SELECT 1", &[]).await.map(drop)
            })
        })
        .await
    }

    /// Writes an event that belongs to no conversation's unit.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn emit(
        &self,
        function: &'static str,
        group: i64,
        data: Value,
    ) -> Result<Wakes, StoreError> {
        let write = self.write(move |tx, unit| at_once(unit.emit(tx, function, group, &data)));
        Ok(write.await?.1)
    }
}
