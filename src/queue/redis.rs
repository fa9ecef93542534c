//! The queue of many processes: a script per operation over the keys of one lane in Redis.
//!
//! - Every operation is one round trip (`EVALSHA`; a server that does not know the script is taught it),
//!   and atomic, because a script is. A lane's keys share a hash tag, so a script touches one lane only.
//! - The time is that of the server, so that all processes have one; a lane's own time never goes back.
//! - Wake-ups come by publish/subscribe on a connection of their own. They may get lost: after every
//!   new connection everybody looks again, and nobody sleeps longer than [`RECHECK`] without a look.
//! - Limits are given by each process with each call; they are not kept in Redis.
//! - The keys begin with a version. A later layout begins with another, so that old and new processes
//!   run side by side, each over a schedule of its own; the fences of the store keep them apart.
//!
//! The layout and its reasons: `docs/decisions`. What it does *not* do: keep anything that the store
//! does not know. Emptied, it is filled again by the reconciler.

#[cfg(test)]
mod chaos;
mod link;
mod scripts;
#[cfg(test)]
mod tests;

use super::gcra::Rate;
use super::{
    Claim, Due, Group, LaneId, LaneStats, Lease, Limits, News, Outcome, Queue, QueueError, Refused,
};
use async_trait::async_trait;
use deadpool_redis::redis::{
    Client, FromRedisValue, IntoConnectionInfo, ScriptInvocation, TlsCertificates, cmd,
};
use link::{Alive, Link, Listener};
use scripts::{SERVER_CLOCK, Scripts};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

/// What the keys begin with: the layout's version.
pub const PREFIX: &str = "switchboard:q1:";
/// However quiet a lane is, whoever waits for it looks again after so long: so much a lost wake-up
/// costs at most. One cheap script per lane and process.
pub const RECHECK: Duration = Duration::from_secs(15);
/// Every so many claims the oldest bulk group goes first, as in the queue of one process.
const BULK_EVERY: u32 = 8;
/// Groups that one script schedules, and the most that one claims: no script runs for long, because
/// nobody else is served meanwhile.
const STEP: usize = 250;

/// How a queue on Redis is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the keys begin with.
    pub prefix: String,
    /// The longest sleep without a look.
    pub recheck: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: PREFIX.to_owned(),
            recheck: RECHECK,
        }
    }
}

/// Names of the channels of publish/subscribe. They hold the database's number: channels, unlike keys,
/// are shared by all databases of a server.
#[derive(Debug, Clone)]
struct Channels {
    prefix: String,
    news: String,
    lanes: HashMap<String, LaneId>,
}

impl Channels {
    fn wake(&self, lane: &LaneId) -> String {
        format!("{}{{{lane}}}:wake", self.prefix)
    }

    fn lane(&self, channel: &str) -> Option<&LaneId> {
        self.lanes.get(channel)
    }
}

/// A lane as this process sees it.
struct Local {
    limits: Limits,
    /// The keys of its scripts, and the beginning of its recipients' buckets.
    keys: [String; 7],
    buckets: String,
    wake: String,
    /// Wakes the one runner of the lane; a permit is kept when nobody waits, so no wake-up is lost.
    changed: Notify,
    /// Whether its channel was subscribed to: not before somebody waits.
    listened: AtomicBool,
}

impl Local {
    fn new(prefix: &str, lane: &LaneId, limits: Limits, wake: String) -> Self {
        let key = |name: &str| format!("{prefix}{{{lane}}}:{name}");
        Self {
            limits,
            keys: [
                key("state"),
                key("groups"),
                key("leases"),
                key("due"),
                key("due-bulk"),
                key("retries"),
                key("retries-bulk"),
            ],
            buckets: key("bucket"),
            wake,
            changed: Notify::new(),
            listened: AtomicBool::new(false),
        }
    }

    /// The most leases over all processes, as the scripts take it: 0 for any number.
    fn total(&self) -> u32 {
        self.limits.max_leases.map_or(0, std::num::NonZeroU32::get)
    }
}

/// The queue of many processes.
pub struct RedisQueue {
    link: Arc<Link>,
    scripts: Scripts,
    lanes: Arc<HashMap<LaneId, Local>>,
    channels: Channels,
    /// This process, for the others.
    own: String,
    recheck: Duration,
    wanted: mpsc::UnboundedSender<LaneId>,
    news: Mutex<mpsc::UnboundedReceiver<News>>,
    tasks: Vec<JoinHandle<()>>,
}

impl RedisQueue {
    /// Opens a queue with these lanes, and waits for the first try to connect. A server that does not
    /// answer is no error: what is accepted meanwhile waits in the store.
    ///
    /// # Errors
    /// When the URL is none of Redis.
    pub async fn open(
        url: &str,
        lanes: impl IntoIterator<Item = (LaneId, Limits)>,
        options: Options,
    ) -> Result<Arc<Self>, QueueError> {
        Self::with_clock(url, lanes, options, SERVER_CLOCK).await
    }

    async fn with_clock(
        url: &str,
        lanes: impl IntoIterator<Item = (LaneId, Limits)>,
        options: Options,
        clock: &str,
    ) -> Result<Arc<Self>, QueueError> {
        let client = client(url)?;
        let db = client.get_connection_info().redis_settings().db();
        let mut channels = Channels {
            prefix: format!("{}{db}:", options.prefix),
            news: format!("{}{db}:news", options.prefix),
            lanes: HashMap::new(),
        };
        let mut locals = HashMap::new();
        for (lane, limits) in lanes {
            let wake = channels.wake(&lane);
            channels.lanes.insert(wake.clone(), lane.clone());
            let local = Local::new(&options.prefix, &lane, limits, wake);
            locals.insert(lane, local);
        }
        let (wanted, wants) = mpsc::unbounded_channel();
        let (tell, news) = mpsc::unbounded_channel();
        let (link, lanes) = (Arc::new(Link::new(client)), Arc::new(locals));
        let own = uuid::Uuid::new_v4().simple().to_string();
        let listener = Listener {
            link: Arc::clone(&link),
            lanes: Arc::clone(&lanes),
            channels: channels.clone(),
            own: own.clone(),
            news: tell.clone(),
            wanted: wants,
        };
        let (first, tried) = oneshot::channel();
        let alive = Alive {
            key: format!("{}alive", options.prefix),
            channel: channels.news.clone(),
            rebuild: News::Rebuild.write(&own).unwrap_or_default(),
            lanes: Arc::clone(&lanes),
        };
        let tasks = vec![
            tokio::spawn(Arc::clone(&link).keep(alive, tell, first)),
            tokio::spawn(listener.run()),
        ];
        // A sender that is gone is a task that is gone; every call will say so.
        tried.await.ok();
        Ok(Arc::new(Self {
            link,
            scripts: Scripts::new(clock),
            lanes,
            channels,
            own,
            recheck: options.recheck,
            wanted,
            news: Mutex::new(news),
            tasks,
        }))
    }

    fn local(&self, lane: &LaneId) -> Result<&Local, QueueError> {
        self.lanes
            .get(lane)
            .ok_or_else(|| QueueError(format!("there is no lane {lane}")))
    }

    async fn run<T: FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
    ) -> Result<T, QueueError> {
        let (mut connection, number) = self.link.connection()?;
        let answer = invocation.invoke_async(&mut connection).await;
        answer.map_err(|error| self.link.failed(&error, number))
    }

    #[cfg(test)]
    fn connection_is_lost(&self) -> bool {
        self.link.connection().is_err()
    }

    /// Wakes this process' own runner; the others are woken by the script.
    fn wake(&self, lane: &LaneId) {
        if let Some(local) = self.lanes.get(lane) {
            local.changed.notify_one();
        }
    }
}

impl Drop for RedisQueue {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A client for a URL. Beside what the client library reads of it, `?ca=FILE` names the certificate
/// authority (PEM) of a server whose certificate is not of a public one.
fn client(url: &str) -> Result<Client, QueueError> {
    let wrong = |error: &dyn std::fmt::Display| QueueError(format!("queue.url: {error}"));
    let mut url = url::Url::parse(url).map_err(|e| wrong(&e))?;
    let (mut authority, mut kept) = (None, Vec::new());
    for (name, value) in url.query_pairs() {
        if name == "ca" {
            authority = Some(value.into_owned());
        } else {
            kept.push((name.into_owned(), value.into_owned()));
        }
    }
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    let info = url.into_connection_info().map_err(|e| wrong(&e))?;
    let client = match authority {
        None => Client::open(info),
        Some(file) => {
            let root_cert = std::fs::read(&file).map_err(|e| wrong(&format!("{file}: {e}")))?;
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(root_cert),
            };
            Client::build_with_tls(info, certificates)
        }
    };
    client.map_err(|e| wrong(&e))
}

/// The arguments that begin a script's invocation: the lane's keys.
fn on<'a>(script: &'a deadpool_redis::redis::Script, local: &Local) -> ScriptInvocation<'a> {
    let mut invocation = script.prepare_invoke();
    for key in &local.keys {
        invocation.key(key);
    }
    invocation
}

fn unreadable(answer: &[String]) -> QueueError {
    QueueError(format!("a script answered {answer:?}"))
}

#[async_trait]
impl Queue for RedisQueue {
    async fn schedule(&self, lane: &LaneId, due: &[Due]) -> Result<(), QueueError> {
        let local = self.local(lane)?;
        for some in due.chunks(STEP) {
            let mut script = on(&self.scripts.schedule, local);
            script.arg(&local.wake).arg(&self.own);
            for due in some {
                let (after, priority, retry) = scripts::due(due);
                script.arg(due.group).arg(after).arg(priority).arg(retry);
            }
            self.run::<i64>(&script).await?;
            self.wake(lane);
        }
        Ok(())
    }

    async fn hasten(&self, lane: &LaneId, groups: &[Group]) -> Result<(), QueueError> {
        let local = self.local(lane)?;
        for some in groups.chunks(STEP) {
            let mut script = on(&self.scripts.hasten, local);
            script.arg(&local.wake).arg(&self.own).arg(some);
            self.run::<i64>(&script).await?;
            self.wake(lane);
        }
        Ok(())
    }

    async fn claim(&self, lane: &LaneId, most: usize) -> Result<Claim, QueueError> {
        let local = self.local(lane)?;
        let mut script = on(&self.scripts.claim, local);
        script
            .arg(most.min(STEP))
            .arg(scripts::micros(local.limits.lease))
            .arg(local.total())
            .arg(BULK_EVERY);
        let answer: Vec<String> = self.run(&script).await?;
        scripts::claim(&answer).ok_or_else(|| unreadable(&answer))
    }

    async fn extend(&self, lane: &LaneId, lease: Lease) -> Result<bool, QueueError> {
        let local = self.local(lane)?;
        let mut script = on(&self.scripts.extend, local);
        script
            .arg(lease.group)
            .arg(lease.fence)
            .arg(scripts::micros(local.limits.lease));
        Ok(self.run::<i64>(&script).await? == 1)
    }

    async fn finish(
        &self,
        lane: &LaneId,
        lease: Lease,
        next: Option<Due>,
    ) -> Result<(), QueueError> {
        let local = self.local(lane)?;
        let mut script = on(&self.scripts.finish, local);
        script
            .arg(&local.wake)
            .arg(&self.own)
            .arg(lease.group)
            .arg(lease.fence)
            .arg(local.total());
        if let Some(next) = next {
            let (after, priority, retry) = scripts::due(&next);
            script.arg(after).arg(priority).arg(retry);
        }
        self.run::<i64>(&script).await?;
        self.wake(lane);
        Ok(())
    }

    async fn take(
        &self,
        lane: &LaneId,
        recipient: Group,
        parts: u32,
    ) -> Result<Result<(), Refused>, QueueError> {
        let local = self.local(lane)?;
        let mut script = on(&self.scripts.take, local);
        script
            .key(&local.buckets)
            .key(format!("{}:{recipient}", local.buckets))
            .arg(parts.max(1));
        let mut limit = |rate: Rate| {
            let (interval, tolerance) = rate.micros();
            script.arg(interval).arg(tolerance);
        };
        limit(local.limits.rate);
        if let Some(rate) = local.limits.recipient {
            limit(rate);
        }
        let wait: String = self.run(&script).await?;
        let wait: i64 = wait
            .parse()
            .map_err(|_unreadable| unreadable(std::slice::from_ref(&wait)))?;
        Ok(match u64::try_from(wait) {
            Ok(0) => Ok(()),
            Ok(wait) => Err(Refused::Wait(Duration::from_micros(wait))),
            Err(_negative) => Err(Refused::Closed),
        })
    }

    async fn rest(&self, lane: &LaneId, rest: Duration) -> Result<(), QueueError> {
        let mut script = on(&self.scripts.rest, self.local(lane)?);
        script.arg(scripts::micros(rest));
        self.run::<i64>(&script).await.map(drop)
    }

    async fn pause(&self, lane: &LaneId, paused: bool) -> Result<(), QueueError> {
        let local = self.local(lane)?;
        let mut script = on(&self.scripts.pause, local);
        script.arg(&local.wake).arg(&self.own).arg(u8::from(paused));
        self.run::<i64>(&script).await?;
        self.wake(lane);
        Ok(())
    }

    async fn report(&self, lane: &LaneId, outcome: Outcome) -> Result<bool, QueueError> {
        let local = self.local(lane)?;
        let mut script = on(&self.scripts.report, local);
        script
            .arg(&local.wake)
            .arg(&self.own)
            .arg(u8::from(outcome == Outcome::Works))
            .arg(local.limits.breaker_failures)
            .arg(scripts::micros(local.limits.breaker_rest));
        let answer: i64 = self.run(&script).await?;
        if answer == 2 {
            self.wake(lane);
        }
        Ok(answer == 1)
    }

    async fn raise_fence(&self, lane: &LaneId, fence: i64) -> Result<(), QueueError> {
        let mut script = on(&self.scripts.raise_fence, self.local(lane)?);
        script.arg(fence);
        self.run::<i64>(&script).await.map(drop)
    }

    async fn wait(&self, lane: &LaneId, most: Option<Duration>) {
        let Ok(local) = self.local(lane) else {
            return;
        };
        if !local.listened.swap(true, Ordering::Relaxed) {
            // The listener wakes the lane once it listens: what came before that is seen by the next
            // look. A listener that is gone is a queue that is gone.
            self.wanted.send(lane.clone()).ok();
        }
        let most = most.unwrap_or(self.recheck).min(self.recheck);
        drop(tokio::time::timeout(most, local.changed.notified()).await);
    }

    fn nudge(&self, lane: &LaneId) {
        self.wake(lane);
    }

    async fn stats(&self, lane: &LaneId) -> Result<LaneStats, QueueError> {
        let script = on(&self.scripts.stats, self.local(lane)?);
        let answer: Vec<String> = self.run(&script).await?;
        scripts::stats(&answer).ok_or_else(|| unreadable(&answer))
    }

    async fn ping(&self) -> Result<(), QueueError> {
        let (mut connection, number) = self.link.connection()?;
        let pong = cmd("PING").exec_async(&mut connection).await;
        pong.map_err(|error| self.link.failed(&error, number))
    }

    async fn tell(&self, news: &News) -> Result<(), QueueError> {
        let Some(text) = news.write(&self.own) else {
            return Ok(());
        };
        let (mut connection, number) = self.link.connection()?;
        let mut publish = cmd("PUBLISH");
        publish.arg(&self.channels.news).arg(text);
        let told = publish.exec_async(&mut connection).await;
        told.map_err(|error| self.link.failed(&error, number))
    }

    async fn news(&self) -> News {
        match self.news.lock().await.recv().await {
            Some(news) => news,
            // The tasks live as long as the queue.
            None => std::future::pending().await,
        }
    }
}
