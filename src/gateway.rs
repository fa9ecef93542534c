//! What every part of the service shares: the truth, the schedule, the channels and the way out.

use crate::inbound::spool::Spool;
use crate::mail::kept::Mails;
use crate::media::files::Files;
use crate::outbound::mailer::SmtpMailer;
use crate::outbound::policy::Policy;
use crate::outbound::transport::HttpTransport;
use crate::queue::{Due, LaneId, News, Priority, Queue};
use crate::store::media_rows;
use crate::store::people::ChannelInfo;
use crate::store::{Sent, Store, Wakes};
use crate::telemetry::names;
use async_trait::async_trait;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use switchboard_channels::kit::http::{Ctx, Request, Response, Transport, TransportError};
use switchboard_channels::model::{Media, MessageId, Millis};
use switchboard_channels::{Channel, Kind};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// A configured channel, built.
pub struct LiveChannel {
    /// What the store needs to know of it.
    pub info: ChannelInfo,
    /// Its kind.
    pub kind: &'static Kind,
    /// The adapter.
    pub channel: Arc<dyn Channel>,
    /// Its lane.
    pub lane: LaneId,
    /// The lane of its attachments.
    pub media_lane: LaneId,
    /// What failures lead to.
    pub policy: Policy,
    /// Requests under way at once.
    pub max_in_flight: usize,
    /// When a part last went through: tells a stuck message from a broken lane.
    last_success: AtomicI64,
}

impl LiveChannel {
    /// A channel that has sent nothing yet.
    pub fn new(
        kind: &'static Kind,
        id: &str,
        channel: Arc<dyn Channel>,
        policy: Policy,
        max_in_flight: usize,
    ) -> Self {
        let capabilities = channel.capabilities();
        let info = ChannelInfo {
            id: id.to_owned(),
            kind: kind.name,
            source: kind.sources.first().copied().unwrap_or(""),
            identity: capabilities.identity,
            window_hours: capabilities.window_hours,
        };
        Self {
            info,
            kind,
            channel,
            lane: LaneId::channel(id),
            media_lane: LaneId::media(id),
            policy,
            max_in_flight,
            last_success: AtomicI64::new(0),
        }
    }

    /// Remembers that a part went through.
    pub fn succeeded(&self, now: Millis) {
        self.last_success.fetch_max(now.0, Ordering::Relaxed);
    }

    /// Whether a part of the lane went through since then.
    pub fn succeeded_since(&self, since: Millis) -> bool {
        self.last_success.load(Ordering::Relaxed) > since.0
    }
}

/// A receiver of events, as the service delivers to it.
pub struct Hook {
    /// Id.
    pub id: String,
    /// Where to.
    pub url: String,
    /// What the body shows as `key`.
    pub key: String,
    /// What signs.
    pub signing_key: Vec<u8>,
    /// Its lane.
    pub lane: LaneId,
}

/// What a caller who waits hears: the outcome, or that there is news to be looked up.
pub type Heard = Option<Arc<Sent>>;

/// Callers who wait for the outcome of a message.
#[derive(Default)]
pub struct Outcomes {
    waiting: Mutex<HashMap<MessageId, Vec<oneshot::Sender<Heard>>>>,
}

impl Outcomes {
    /// Subscribes to the next news of a message. Subscribe first, then read the row: news that came
    /// before is in the row.
    pub fn subscribe(&self, message: MessageId) -> oneshot::Receiver<Heard> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = waiting.entry(message).or_default();
        // Callers that went away leave closed senders behind; a crowd on one key must not pile up.
        senders.retain(|s| !s.is_closed());
        senders.push(sender);
        receiver
    }

    /// Wakes everybody who waits for this message: it is to be looked up.
    pub fn notify(&self, message: MessageId) {
        for sender in self.take(message) {
            // A caller that went away needs no waking.
            sender.send(None).ok();
        }
    }

    /// Tells everybody who waits for this message that it is sent.
    pub fn sent(&self, sent: Sent) {
        let senders = self.take(sent.message);
        if senders.is_empty() {
            return;
        }
        let sent = Arc::new(sent);
        for sender in senders {
            sender.send(Some(Arc::clone(&sent))).ok();
        }
    }

    /// Who waits for this message, and from now on is told.
    fn take(&self, message: MessageId) -> Vec<oneshot::Sender<Heard>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&message).unwrap_or_default()
    }

    /// Wakes everybody, whatever they wait for: news may have been missed.
    pub fn notify_all(&self) {
        let all = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        for sender in all.into_values().flatten() {
            sender.send(None).ok();
        }
    }

    /// Forgets a message that nobody waits for any more.
    pub fn forget(&self, message: MessageId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(senders) = waiting.get_mut(&message) {
            senders.retain(|s| !s.is_closed());
            if senders.is_empty() {
                waiting.remove(&message);
            }
        }
    }
}

/// News between the loops and whoever asks them for something.
#[derive(Debug, Default)]
pub struct Bell {
    /// Somebody wants every mailbox to be looked at now.
    pub look: Notify,
    /// A mailbox was read to its end.
    pub looked: Notify,
}

/// Numbers of the configuration that several parts need.
#[derive(Debug, Clone)]
pub struct Limits {
    /// What platforms call.
    pub public_url: String,
    /// The most bytes of a webhook or of a call to the Web API.
    pub body_limit_bytes: usize,
    /// How long a send waits for its outcome by default.
    pub default_wait: Duration,
    /// Whether `send-message` delivers without being asked.
    pub send_message_delivers: bool,
    /// How long a lease lasts.
    pub lease: Duration,
    /// The most bytes of an attachment.
    pub max_media_bytes: usize,
    /// Age after which a message is a dead letter.
    pub max_age: Duration,
    /// Waits between tries, for events and attachments.
    pub schedule: Vec<Duration>,
}

/// The service's shared state.
pub struct Gateway {
    /// The truth.
    pub store: Store,
    /// The schedule.
    pub queue: Arc<dyn Queue>,
    /// The channels by id.
    pub channels: BTreeMap<String, Arc<LiveChannel>>,
    /// The receivers of events by id.
    pub hooks: BTreeMap<String, Arc<Hook>>,
    /// The way out.
    pub transport: HttpTransport,
    /// The way out of mail.
    pub mailer: Arc<SmtpMailer>,
    /// Kept attachments.
    pub files: Files,
    /// Kept mails.
    pub mails: Mails,
    /// Rings for those who read mailboxes, and when they have.
    pub bell: Bell,
    /// Where webhooks wait while the store does not answer: in api processes whose store is in
    /// another place, from their start on.
    pub spool: std::sync::OnceLock<Spool>,
    /// Callers who wait.
    pub outcomes: Outcomes,
    /// Wakes the scheduler when a message was accepted for later.
    pub scheduled: Notify,
    /// Wakes the pump of mirrored conversations.
    pub mirror: Notify,
    /// Has schedule and truth compared at once.
    pub rebuild: Notify,
    /// Numbers.
    pub limits: Limits,
    /// Says that the process drains: nothing new is begun, nobody waits any longer.
    pub stop: CancellationToken,
}

/// The way out as adapters get it: attachments that the gateway itself keeps are read, not fetched,
/// since its own address is seldom one that it may reach, and the link may not be good yet.
#[async_trait]
impl Transport for Gateway {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        self.transport.call(request).await
    }

    async fn fetch_public(&self, url: &str, max_bytes: usize) -> Result<Media, TransportError> {
        let root = self.limits.public_url.trim_end_matches('/');
        let segment = url
            .strip_prefix(root)
            .and_then(|rest| rest.strip_prefix("/media/"));
        match segment {
            Some(segment) => self.kept(segment, max_bytes).await,
            None => self.transport.fetch_public(url, max_bytes).await,
        }
    }
}

impl Gateway {
    /// The bytes behind a link of our own.
    async fn kept(&self, segment: &str, max_bytes: usize) -> Result<Media, TransportError> {
        let gone = || TransportError::Blocked("a link of ours that is not good".to_owned());
        let later = |error: String| TransportError::NotSent(error);
        let links = self.store.links().map_err(|e| later(e.to_string()))?;
        let key = links.check(segment, crate::store::now());
        let key = key.map_err(|_bad| gone())?;
        let wanted = key.clone();
        let read = self
            .store
            .read(move |tx| crate::store::at_once(media_rows::by_key(tx, &wanted)));
        let row = read
            .await
            .map_err(|e| later(e.to_string()))?
            .ok_or_else(gone)?;
        match row.state.as_str() {
            "stored" => {}
            "pending" => return Err(later("the attachment is still being fetched".to_owned())),
            _ => return Err(gone()),
        }
        let bytes = self
            .files
            .get(&key)
            .await
            .map_err(|e| later(e.to_string()))?;
        if bytes.len() > max_bytes {
            return Err(TransportError::TooLarge(max_bytes));
        }
        Ok(Media {
            bytes,
            mime: row.mime,
            name: Some(row.name),
        })
    }

    /// The world as an adapter gets it.
    pub fn ctx(&self) -> Ctx<'_> {
        Ctx {
            max_media_bytes: self.limits.max_media_bytes,
            tokens: &self.store,
            nonce: uuid::Uuid::new_v4().simple().to_string(),
            mailer: &*self.mailer,
            kept: &self.mails,
            ..Ctx::new(self, crate::store::now())
        }
    }

    /// Erases a kept attachment or mail; one that is not there is no error.
    ///
    /// # Errors
    /// What the system says.
    pub async fn erase(&self, key: &str) -> std::io::Result<()> {
        if crate::mail::kept::is_mail(key) {
            self.mails.remove(key).await
        } else {
            self.files.remove(key).await
        }
    }

    /// A channel by id.
    pub fn channel(&self, id: &str) -> Option<&Arc<LiveChannel>> {
        self.channels.get(id)
    }

    /// Every lane of this service.
    pub fn lanes(&self) -> impl Iterator<Item = &LaneId> {
        let channels = self.channels.values();
        let of_channels = channels.flat_map(|c| [&c.lane, &c.media_lane]);
        of_channels.chain(self.hooks.values().map(|h| &h.lane))
    }

    /// Tells the other processes. What they do not hear of they see for themselves, later.
    pub async fn tell(&self, news: &News) {
        if let Err(error) = self.queue.tell(news).await {
            tracing::debug!(%error, "other processes are not told");
        }
    }

    /// Wakes whatever a commit made due. A queue that does not answer loses nothing: the reconciler
    /// schedules again.
    pub async fn wake(&self, wakes: Wakes) {
        for sent in wakes.sent {
            self.outcomes.sent(sent);
        }
        for message in &wakes.outcomes {
            self.outcomes.notify(*message);
        }
        if !wakes.outcomes.is_empty() {
            let ids = wakes.outcomes.iter().map(|message| message.0).collect();
            self.tell(&News::Outcomes(ids)).await;
        }
        if wakes.mirror {
            self.mirror.notify_one();
        }
        let mut lanes: HashMap<LaneId, Vec<Due>> = HashMap::new();
        for (channel, conversation, bulk) in wakes.sends {
            let priority = if bulk {
                Priority::Bulk
            } else {
                Priority::Normal
            };
            let due = Due::now(conversation, priority);
            lanes
                .entry(LaneId::channel(&channel))
                .or_default()
                .push(due);
        }
        for (channel, id) in wakes.effects {
            let due = Due::now(-id, Priority::Normal);
            lanes
                .entry(LaneId::channel(&channel))
                .or_default()
                .push(due);
        }
        for (channel, id) in wakes.media {
            let due = Due::now(id, Priority::Normal);
            lanes.entry(LaneId::media(&channel)).or_default().push(due);
        }
        for (webhook, group) in wakes.events {
            let due = Due::now(group, Priority::Normal);
            lanes.entry(LaneId::events(&webhook)).or_default().push(due);
        }
        for (lane, due) in lanes {
            if let Err(error) = self.queue.schedule(&lane, &due).await {
                tracing::warn!(lane = %lane, %error, "not scheduled now; the reconciler will");
            }
        }
    }

    /// The same for a caller who may go away in the middle, as those of HTTP requests do: what was written
    /// with it may be others', and is woken all the same.
    pub async fn wake_for_all(self: &Arc<Self>, wakes: Wakes) {
        if wakes.is_empty() {
            return;
        }
        let gateway = Arc::clone(self);
        let woken = tokio::spawn(async move { gateway.wake(wakes).await });
        if let Err(error) = woken.await {
            tracing::error!(%error, "not woken now; the reconciler will");
        }
    }

    /// Pauses a lane: remembered, told, and effective at once.
    pub async fn pause(&self, lane: &LaneId, reason: &'static str, message: &str) {
        let (name, text) = (lane.as_str().to_owned(), message.to_owned());
        let written = self
            .store
            .write(move |tx, unit| {
                crate::store::at_once(crate::store::upkeep::pause(tx, unit, &name, reason, &text))
            })
            .await;
        match written {
            Ok((_, wakes)) => self.wake(wakes).await,
            Err(error) => tracing::error!(lane = %lane, %error, "the pause is not remembered"),
        }
        if let Err(error) = self.queue.pause(lane, true).await {
            tracing::error!(lane = %lane, %error, "the lane is not paused");
        }
        metrics::gauge!(names::LANE_PAUSED, "lane" => lane.to_string()).set(1.0);
        if reason == "operator" {
            tracing::warn!(lane = %lane, reason, "the lane is paused");
        } else {
            // Nothing leaves this lane until somebody mends the account.
            tracing::error!(lane = %lane, reason, message, "the lane is paused");
        }
    }

    /// Resumes a lane. `false`: it was not paused.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn resume(&self, lane: &LaneId) -> Result<bool, crate::store::StoreError> {
        let name = lane.as_str().to_owned();
        let (was, wakes) = self
            .store
            .write(move |tx, unit| {
                crate::store::at_once(crate::store::upkeep::resume(tx, unit, &name))
            })
            .await?;
        self.wake(wakes).await;
        if let Err(error) = self.queue.pause(lane, false).await {
            tracing::error!(lane = %lane, %error, "the lane is not resumed");
        }
        metrics::gauge!(names::LANE_PAUSED, "lane" => lane.to_string()).set(0.0);
        if was {
            tracing::info!(lane = %lane, "the lane is resumed");
        }
        Ok(was)
    }
}
