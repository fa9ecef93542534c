//! The connections: one for commands, shared by all, and one that listens.
//!
//! Commands fail at once while there is no connection, instead of piling up behind a reconnect: a send
//! that waits for its outcome is answered `queued` then, and the reconciler schedules it later. That is
//! why the reconnecting is ours, and not that of the client's connection manager.

use super::super::{News, QueueError};
use super::{Channels, Local};
use crate::queue::LaneId;
use deadpool_redis::redis::aio::{MultiplexedConnection, PubSub};
use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, ErrorKind, Msg, RedisError, RedisResult, ServerErrorKind, cmd,
};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

/// A command that takes longer is taken for lost. Far more than any script needs, and short enough
/// that a caller who waits for its send can still be told that it is queued.
const ANSWER: Duration = Duration::from_secs(2);
/// The same for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Waits between tries to connect, from the first to the longest.
const RECONNECT: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
];
/// Both connections are tried out this often, so that one that is dead without a word is noticed, and
/// that a Redis that was emptied is filled again.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Whether a failed command says that its connection is of no use any more. A read-only answer comes
/// from a former primary: the next connection finds the new one.
fn is_broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn lost(what: &str) -> RedisError {
    RedisError::from((ErrorKind::Io, "no answer", what.to_owned()))
}

struct Live {
    connection: MultiplexedConnection,
    /// Tells a connection from its successor: whoever saw an old one fail must not end the new one.
    number: u64,
}

/// How it is noticed that Redis was emptied: a key is gone.
pub(super) struct Alive {
    pub(super) key: String,
    /// What is said then, and where.
    pub(super) channel: String,
    pub(super) rebuild: String,
    /// Whoever looked in vain while there was no connection: they look again once there is one.
    pub(super) lanes: Arc<HashMap<LaneId, Local>>,
}

/// The connection for commands.
pub(super) struct Link {
    client: Client,
    live: Mutex<Option<Live>>,
    broken: Notify,
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            live: Mutex::default(),
            broken: Notify::new(),
        }
    }

    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection for a command, and its number.
    pub(super) fn connection(&self) -> Result<(MultiplexedConnection, u64), QueueError> {
        let live = self.live();
        let live = live
            .as_ref()
            .ok_or_else(|| QueueError("there is no connection to Redis".to_owned()))?;
        Ok((live.connection.clone(), live.number))
    }

    /// Takes note of a failed command; a connection that is of no use is replaced.
    pub(super) fn failed(&self, error: &RedisError, number: u64) -> QueueError {
        if is_broken(error) {
            let mut live = self.live();
            if live.as_ref().is_some_and(|l| l.number == number) {
                *live = None;
                self.broken.notify_one();
            }
        }
        QueueError(error.to_string())
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        cmd("PING").exec_async(&mut connection).await?;
        warn_of_eviction(&mut connection).await;
        Ok(connection)
    }

    async fn listen(&self) -> RedisResult<PubSub> {
        let connected = timeout(CONNECT, self.client.get_async_pubsub()).await;
        connected.map_err(|_late| lost("connecting"))?
    }

    /// Keeps a connection for as long as the queue lives. `first` says when the first try is over.
    pub(super) async fn keep(
        self: Arc<Self>,
        alive: Alive,
        news: mpsc::UnboundedSender<News>,
        first: tokio::sync::oneshot::Sender<()>,
    ) {
        let mut first = Some(first);
        let mut number = 0;
        let mut tries = 0;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    number += 1;
                    let mut own = connection.clone();
                    *self.live() = Some(Live { connection, number });
                    if tries > 0 || number > 1 {
                        tracing::info!("the queue answers again");
                        // The listener's wake-up may have come before this connection did.
                        for local in alive.lanes.values() {
                            local.changed.notify_one();
                        }
                        tell(&news, News::Rebuild);
                    }
                    tries = 0;
                    if let Some(first) = first.take() {
                        first.send(()).ok();
                    }
                    let error = self.watch(&mut own, number, &alive, &news).await;
                    *self.live() = None;
                    tracing::warn!(%error, "the queue does not answer; what is accepted waits");
                }
                Err(error) => {
                    if tries == 0 && number == 0 {
                        tracing::warn!(%error, "the queue does not answer; trying on");
                    } else {
                        tracing::debug!(%error, "the queue does not answer yet");
                    }
                    if let Some(first) = first.take() {
                        first.send(()).ok();
                    }
                    let wait = RECONNECT.get(tries).or(RECONNECT.last());
                    tokio::time::sleep(wait.copied().unwrap_or(CONNECT)).await;
                    tries += 1;
                }
            }
        }
    }

    /// Returns when the connection is of no use any more. Notices meanwhile when Redis was emptied.
    async fn watch(
        &self,
        connection: &mut MultiplexedConnection,
        number: u64,
        alive: &Alive,
        news: &mpsc::UnboundedSender<News>,
    ) -> RedisError {
        let mut fresh = true;
        loop {
            let mut sign = cmd("SET");
            sign.arg(&alive.key).arg("1").arg("NX").arg("GET");
            match sign.query_async::<Option<String>>(connection).await {
                // On a new connection everything is compared anyway.
                Ok(None) if !fresh => {
                    tracing::warn!("Redis was emptied; the schedule is rebuilt");
                    tell(news, News::Rebuild);
                    // This process may be none that rebuilds, and no other one sees what we saw.
                    let mut publish = cmd("PUBLISH");
                    publish.arg(&alive.channel).arg(&alive.rebuild);
                    if let Err(error) = publish.exec_async(connection).await {
                        tracing::debug!(%error, "other processes are not told");
                    }
                }
                Ok(_) => {}
                Err(error) if is_broken(&error) => return error,
                Err(error) => tracing::warn!(%error, "the queue gives no sign of life"),
            }
            fresh = false;
            tokio::select! {
                () = tokio::time::sleep(SIGN_OF_LIFE) => {}
                () = self.broken.notified() => {
                    // A word about its predecessor may come late: this one is still of use then.
                    if self.live().as_ref().is_none_or(|live| live.number != number) {
                        return lost("a command");
                    }
                }
            }
        }
    }
}

/// A Redis that throws keys away when its memory is full would throw away schedules.
async fn warn_of_eviction(connection: &mut MultiplexedConnection) {
    let mut ask = cmd("CONFIG");
    ask.arg("GET").arg("maxmemory-policy");
    // Hosted ones do not tell.
    let policy: HashMap<String, String> = ask.query_async(connection).await.unwrap_or_default();
    if let Some(policy) = policy.values().find(|p| *p != "noeviction") {
        tracing::warn!(
            policy,
            "Redis may throw away what is scheduled: set maxmemory-policy to noeviction"
        );
    }
}

fn tell(news: &mpsc::UnboundedSender<News>, what: News) {
    // Nobody listens any more: the queue is being dropped.
    news.send(what).ok();
}

/// The connection that listens: wake-ups of the lanes that somebody waits for here, and news.
pub(super) struct Listener {
    pub(super) link: Arc<Link>,
    pub(super) lanes: Arc<HashMap<LaneId, Local>>,
    pub(super) channels: Channels,
    /// This process, whose own words come back and are skipped.
    pub(super) own: String,
    pub(super) news: mpsc::UnboundedSender<News>,
    /// Lanes that somebody begins to wait for.
    pub(super) wanted: mpsc::UnboundedReceiver<LaneId>,
}

impl Listener {
    /// Listens for as long as the queue lives.
    pub(super) async fn run(mut self) {
        let mut lanes: Vec<LaneId> = Vec::new();
        let mut tries = 0;
        loop {
            let ended = self.session(&mut lanes, &mut tries).await;
            let Err(error) = ended else { return };
            tracing::debug!(%error, "wake-ups are not heard; connecting again");
            let wait = RECONNECT.get(tries).or(RECONNECT.last());
            tokio::time::sleep(wait.copied().unwrap_or(CONNECT)).await;
            tries += 1;
        }
    }

    /// One connection. `Ok` when the queue is gone.
    async fn session(
        &mut self,
        lanes: &mut Vec<LaneId>,
        tries: &mut usize,
    ) -> Result<(), RedisError> {
        let (mut sink, mut stream) = self.link.listen().await?.split();
        let mut names = vec![self.channels.news.clone()];
        names.extend(lanes.iter().map(|lane| self.channels.wake(lane)));
        answered(sink.subscribe(names)).await?;
        *tries = 0;
        // What was said meanwhile nobody heard: everybody looks for themselves.
        for local in self.lanes.values() {
            local.changed.notify_one();
        }
        tell(&self.news, News::Missed);
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    Some(message) => self.heard(&message),
                    None => return Err(lost("listening")),
                },
                lane = self.wanted.recv() => {
                    let Some(lane) = lane else { return Ok(()) };
                    let channel = self.channels.wake(&lane);
                    lanes.push(lane.clone());
                    answered(sink.subscribe(channel)).await?;
                    // It may have been woken between its look and now.
                    if let Some(local) = self.lanes.get(&lane) {
                        local.changed.notify_one();
                    }
                }
                () = tokio::time::sleep(SIGN_OF_LIFE) => {
                    answered(sink.ping::<deadpool_redis::redis::Value>()).await?;
                }
            }
        }
    }

    fn heard(&self, message: &Msg) {
        let Ok(text) = message.get_payload::<String>() else {
            return;
        };
        let channel = message.get_channel_name();
        if channel == self.channels.news {
            if let Some(what) = News::read(&text, &self.own) {
                tell(&self.news, what);
            }
        } else if text != self.own
            && let Some(lane) = self.channels.lane(channel)
            && let Some(local) = self.lanes.get(lane)
        {
            local.changed.notify_one();
        }
    }
}

/// Waits for an answer on a connection that has no time limit of its own.
async fn answered<T>(asked: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(ANSWER, asked)
        .await
        .map_err(|_late| lost("listening"))?
}
