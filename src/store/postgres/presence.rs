//! The lock that says who is there.

use super::super::StoreError;
use super::connect::{Connector, explained};
use super::{Presence, Session};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_postgres::error::SqlState;

/// A process that was killed is noticed by the server within moments; only then is its lock free.
const TAKE: &str = "SET lock_timeout = '5s'";
const ALONE: &str = "SELECT pg_advisory_lock(8319395793567416435)";
const ONE_OF_MANY: &str = "SELECT pg_advisory_lock_shared(8319395793567416435)";
/// A lost lock is taken again this often.
const AGAIN_EVERY: Duration = Duration::from_secs(1);

/// The announcement stands until this is dropped.
pub(super) struct Announced {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Takes the lock, on a connection of its own.
///
/// # Errors
/// [`StoreError::Locked`] when others are there that this one cannot be beside.
pub(super) async fn announce(
    connector: &Connector,
    presence: Presence,
) -> Result<Option<Announced>, StoreError> {
    let lock = match presence {
        Presence::Visitor => return Ok(None),
        Presence::OneOfMany => ONE_OF_MANY,
        Presence::Alone => ALONE,
    };
    let connector = connector.clone();
    let (stop, stopped) = oneshot::channel();
    let (first, taken) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("store-presence".to_owned())
        .spawn(move || match Session::new(connector.clone()) {
            Ok(session) => session.idle(hold(&connector, lock, first, stopped)),
            Err(error) => drop(first.send(Err(error))),
        })
        .map_err(|e| StoreError::Open(e.to_string()))?;
    let announced = Announced {
        stop: Some(stop),
        thread: Some(thread),
    };
    let ended = |_| StoreError::Open("the thread of the lock has ended".to_owned());
    taken.await.map_err(ended)??;
    Ok(Some(announced))
}

async fn hold(
    connector: &Connector,
    lock: &'static str,
    first: oneshot::Sender<Result<(), StoreError>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut first = Some(first);
    loop {
        match take(connector, lock).await {
            Ok(client) => {
                if let Some(first) = first.take() {
                    drop(first.send(Ok(())));
                }
                // Nothing is said on this connection any more; it is looked at for its end.
                while !client.is_closed() {
                    tokio::select! {
                        () = tokio::time::sleep(AGAIN_EVERY) => {}
                        _ = &mut stopped => return,
                    }
                }
            }
            Err(error) => match first.take() {
                Some(first) => {
                    drop(first.send(Err(error)));
                    return;
                }
                // Work goes on: the truth is guarded by its own locks, and the server may be down.
                None => tracing::warn!(%error, "the lock on the store is not back yet"),
            },
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN_EVERY) => {}
            _ = &mut stopped => return,
        }
    }
}

async fn take(
    connector: &Connector,
    lock: &'static str,
) -> Result<tokio_postgres::Client, StoreError> {
    let unavailable = |e: tokio_postgres::Error| {
        if e.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            StoreError::Locked(PathBuf::from(&*connector.name))
        } else {
            StoreError::Unavailable(format!(
                "PostgreSQL at {}: {}",
                connector.name,
                explained(&e)
            ))
        }
    };
    let client = connector.connect().await.map_err(unavailable)?;
    client.batch_execute(TAKE).await.map_err(unavailable)?;
    client.batch_execute(lock).await.map_err(unavailable)?;
    Ok(client)
}
