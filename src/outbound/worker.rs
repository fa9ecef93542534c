//! A channel's lane: takes the lowest unfinished part of a conversation, sends it, records what
//! became of it.

use super::lanes::Work;
use super::policy::{self, DeadReason, PauseReason, Resend, Situation, Step};
use crate::gateway::{Gateway, LiveChannel};
use crate::queue::{Due, Lease, Outcome, Priority, Refused};
use crate::store::at_once;
use crate::store::work::{self, After, AttemptKey, Begin, Begun, Failure, Job, PutOff, Taken};
use crate::store::{StoreError, Wakes, people, upkeep};
use crate::telemetry::names;
use async_trait::async_trait;
use futures_util::FutureExt;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::kit::http::Ctx;
use switchboard_channels::model::{
    ConversationId, Idempotency, IdentityScope, Millis, Receipt, Sender,
};
use switchboard_channels::{Class, SendError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A wait longer than this puts the conversation off instead of holding a slot (design).
const HELD_WAIT: Duration = Duration::from_secs(1);
/// Messages of one conversation sent under one lease, so that others get their turn.
const TURNS: usize = 16;
/// While the store does not answer, a receipt is tried to be written this often.
const STORE_RETRY: Duration = Duration::from_millis(500);
/// An effect is tried again after so long, within its minute.
const EFFECT_RETRY: Duration = Duration::from_secs(5);

/// The work of a channel's lane.
pub struct ChannelWork {
    /// The service.
    pub gateway: Arc<Gateway>,
    /// The channel.
    pub live: Arc<LiveChannel>,
}

/// How a turn goes on.
enum Next {
    /// With what comes next in the conversation.
    Again,
    /// With this, which is begun already.
    Begun(Begun),
    /// Not now.
    Stop(Option<Due>),
}

#[async_trait]
impl Work for ChannelWork {
    async fn turn(&self, lease: Lease, stop: &CancellationToken) -> Option<Due> {
        if lease.group < 0 {
            return self.effect(lease.group).await;
        }
        let conversation = ConversationId(lease.group);
        let mut begun: Option<Begun> = None;
        for turn in 1..=TURNS {
            let now = match begun.take() {
                Some(begun) => begun,
                None if stop.is_cancelled() => {
                    return Some(Due::now(lease.group, Priority::Normal));
                }
                None => match self.begin(lease).await {
                    Ok(begun) => begun,
                    Err(due) => return Some(due),
                },
            };
            let next = match now {
                Begun::Nothing => return None,
                Begun::Stale { fence } => {
                    tracing::warn!(channel.id = %self.live.info.id, "a lease came too late");
                    if let Err(error) = self.gateway.queue.raise_fence(&self.live.lane, fence).await
                    {
                        tracing::warn!(%error, "the fence is not raised");
                    }
                    Next::Stop(Some(Due::now(lease.group, Priority::Normal)))
                }
                Begun::Busy { until } => {
                    let wait = millis(until.since(crate::store::now()));
                    Next::Stop(Some(Due::after(lease.group, wait, Priority::Normal)))
                }
                Begun::InDoubt { job, since } => self.doubt(*job, since).await,
                Begun::Deliver(job) => {
                    // Nothing is begun that this lease has no turn for.
                    let goes_on = turn < TURNS && !stop.is_cancelled();
                    self.deliver(*job, lease, stop, goes_on).await
                }
            };
            match next {
                Next::Again => {}
                Next::Begun(next) => begun = Some(next),
                Next::Stop(due) => return due,
            }
        }
        // What was begun within the last turn must not be left open.
        match begun {
            Some(Begun::Deliver(job)) => {
                self.hand_back(job.attempt_key(), crate::store::now()).await;
                Some(Due::now(conversation.0, Priority::Normal))
            }
            Some(Begun::Nothing) => None,
            _ => Some(Due::now(conversation.0, Priority::Normal)),
        }
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

impl ChannelWork {
    fn begin_at(&self, lease: Lease) -> Begin {
        let lease_ms = i64::try_from(self.gateway.limits.lease.as_millis()).unwrap_or(i64::MAX);
        Begin {
            conversation: ConversationId(lease.group),
            fence: lease.fence,
            // Two leases after the last sign of life, as the reconciler has it.
            dead_after_ms: lease_ms.saturating_mul(2),
        }
    }

    /// Takes a token; short waits are slept, longer ones put the conversation off.
    async fn token(&self, group: i64) -> Result<(), Due> {
        loop {
            match self.gateway.queue.take(&self.live.lane, group, 1).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Refused::Wait(wait))) if wait <= HELD_WAIT => tokio::time::sleep(wait).await,
                Ok(Err(Refused::Wait(wait))) => {
                    return Err(Due::after(group, wait, Priority::Normal));
                }
                // It waits in the lane until that is open again.
                Ok(Err(Refused::Closed)) => return Err(Due::now(group, Priority::Normal)),
                Err(error) => {
                    tracing::warn!(%error, "no token");
                    return Err(Due::after(group, HELD_WAIT, Priority::Normal));
                }
            }
        }
    }

    async fn begin(&self, lease: Lease) -> Result<Begun, Due> {
        self.token(lease.group).await?;
        let begin = self.begin_at(lease);
        match self.gateway.store.begin(begin).await {
            Ok((begun, wakes)) => {
                self.gateway.wake(wakes).await;
                Ok(begun)
            }
            Err(error) => {
                tracing::error!(conversation.id = lease.group, %error, "nothing can be begun");
                Err(Due::after(lease.group, HELD_WAIT, Priority::Normal))
            }
        }
    }

    /// Sends a begun part and records what became of it.
    async fn deliver(
        &self,
        job: Job,
        lease: Lease,
        stop: &CancellationToken,
        goes_on: bool,
    ) -> Next {
        let started = std::time::Instant::now();
        let result = self.request(&job).await;
        let outcome = result.as_ref().map_or_else(|e| e.class.name(), |_| "sent");
        let (channel, kind) = (self.live.info.id.clone(), self.live.info.kind);
        metrics::histogram!(names::SEND_SECONDS, "channel" => channel.clone())
            .record(started.elapsed());
        metrics::counter!(names::SENDS_TOTAL,
            "channel" => channel.clone(), "kind" => kind, "outcome" => outcome)
        .increment(1);
        tracing::debug!(
            channel.id = %channel, message.id = %job.part.message, part.index = job.part.index,
            attempt.no = job.attempt, outcome, "a part was tried"
        );
        match result {
            Ok(receipt) => {
                let goes_on = goes_on && !stop.is_cancelled();
                self.taken(job, receipt, lease, stop, goes_on).await
            }
            Err(error) => self.failed(job, error).await,
        }
    }

    /// The request itself, with signs of life while it lasts. A panic in an adapter is an unsure
    /// outcome: it may have come after the request was made.
    async fn request(&self, job: &Job) -> Result<Receipt, SendError> {
        let ctx = Ctx {
            reply_token: job.reply_token.clone(),
            quote_token: job.quote_token.clone(),
            window_until: job.window_until,
            ..self.gateway.ctx()
        };
        let request = AssertUnwindSafe(self.live.channel.deliver(&job.part, &ctx)).catch_unwind();
        let done = tokio::select! {
            done = request => done,
            never = self.signs_of_life(job.attempt_key()) => match never {},
        };
        done.unwrap_or_else(|_panic| {
            tracing::error!(channel.id = %self.live.info.id, "an adapter broke off");
            let words = "the adapter broke off";
            Err(SendError::new(Class::Unsure, "adapter", words))
        })
    }

    /// Shows that somebody is at an attempt, for as long as this is waited for.
    async fn signs_of_life(&self, attempt: AttemptKey) -> Infallible {
        let period = self.gateway.limits.lease / 3;
        // The first tick of a plain interval comes at once, which is up to a millisecond from now.
        let mut alive = tokio::time::interval_at(Instant::now() + period, period);
        loop {
            alive.tick().await;
            let written = self
                .gateway
                .store
                .write(move |tx, unit| at_once(work::heartbeat(tx, unit, attempt)))
                .await;
            match written {
                Ok((held, _)) => self.in_time(held),
                Err(error) => tracing::warn!(%error, "no sign of life"),
            }
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        unit: impl Fn(&mut crate::store::Tx<'_>, &mut crate::store::Unit<'_>) -> Result<T, StoreError>
        + Clone
        + Send
        + 'static,
    ) -> T {
        self.until_written(|| self.gateway.store.write(unit.clone()))
            .await
    }

    /// Records a receipt.
    async fn record(&self, taken: Taken) -> After {
        let taken = Arc::new(taken);
        self.until_written(|| self.gateway.store.taken(Arc::clone(&taken)))
            .await
    }

    /// Writes until the store takes it: a worker keeps its receipt while the store is down.
    async fn until_written<T, W>(&self, write: impl Fn() -> W) -> T
    where
        W: Future<Output = Result<(T, Wakes), StoreError>>,
    {
        loop {
            match write().await {
                Ok((value, wakes)) => {
                    self.gateway.wake(wakes).await;
                    return value;
                }
                Err(error) => {
                    tracing::error!(%error, "an outcome is not written yet; trying on");
                    tokio::time::sleep(STORE_RETRY).await;
                }
            }
        }
    }

    async fn taken(
        &self,
        job: Job,
        receipt: Receipt,
        lease: Lease,
        stop: &CancellationToken,
        goes_on: bool,
    ) -> Next {
        self.live.succeeded(crate::store::now());
        // Where something is known to follow, and with a token at hand, its beginning rides in the same
        // commit as this receipt.
        let follows = goes_on && (job.part.index + 1 < job.part.of || job.more);
        let at_hand = follows
            && matches!(
                self.gateway
                    .queue
                    .take(&self.live.lane, lease.group, 1)
                    .await,
                Ok(Ok(()))
            );
        let scope = match self.live.info.identity {
            IdentityScope::Channel => format!("channel:{}", self.live.info.id),
            _ => format!("kind:{}", self.live.info.kind),
        };
        let taken = Taken {
            attempt: job.attempt_key(),
            conversation: job.conversation,
            channel: self.live.info.id.clone(),
            alias_scope: scope,
            place: self.place(&receipt),
            receipt,
            next: at_hand.then(|| self.begin_at(lease)),
        };
        let recorded = self.record(taken);
        let (After { next, more }, ()) = tokio::join!(recorded, self.report(Outcome::Works));
        match (next, more) {
            (Begun::Nothing, None) => Next::Stop(None),
            (Begun::Nothing, Some(bulk)) if stop.is_cancelled() => {
                let priority = if bulk {
                    Priority::Bulk
                } else {
                    Priority::Normal
                };
                Next::Stop(Some(Due::now(lease.group, priority)))
            }
            (Begun::Nothing, Some(_)) => Next::Again,
            (begun, _) => Next::Begun(begun),
        }
    }

    /// Where a conversation goes on that began with this receipt, at a desk.
    fn place(&self, receipt: &Receipt) -> Option<String> {
        let first = receipt.platform_ids.first()?;
        self.live.channel.mirror_goes_on(first)
    }

    async fn report(&self, outcome: Outcome) {
        match self.gateway.queue.report(&self.live.lane, outcome).await {
            Ok(true) => tracing::warn!(lane = %self.live.lane, "the lane rests: it keeps failing"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the breaker was not told"),
        }
    }

    fn situation(&self, job: &Job) -> Situation {
        let now = crate::store::now();
        let since = job.first_failed_at;
        Situation {
            failures: job.failures,
            others_succeed: since.is_some_and(|since| self.live.succeeded_since(since)),
            unsure_resends: job.unsure_resends,
            idempotent: self.live.channel.capabilities().idempotency == Idempotency::Key,
            left: millis(job.deadline_at.since(now)),
            jitter: rand::random(),
        }
    }

    async fn failed(&self, job: Job, error: SendError) -> Next {
        let step = policy::next(error.class, self.situation(&job), &self.live.policy);
        let group = job.conversation.0;
        let lane = &self.live.lane;
        match step {
            Step::Retry(wait) => {
                self.retried(&error);
                self.report(Outcome::Failed).await;
                self.put_off(&job, error, wait, false, true).await;
                Next::Stop(Some(Due::retry(group, wait, Priority::Normal)))
            }
            Step::AwaitEvidence(wait) => {
                self.retried(&error);
                self.report(Outcome::Failed).await;
                self.put_off(&job, error, wait, true, true).await;
                Next::Stop(Some(Due::after(group, wait, Priority::Normal)))
            }
            Step::RestRecipient(wait) => {
                self.retried(&error);
                self.put_off(&job, error, wait, false, false).await;
                Next::Stop(Some(Due::after(group, wait, Priority::Normal)))
            }
            Step::RestLane(wait) => {
                self.retried(&error);
                // The lane rests before the group is due again, so nobody claims it in between.
                if let Err(error) = self.gateway.queue.rest(lane, wait).await {
                    tracing::warn!(%error, "the lane does not rest");
                }
                self.put_off(&job, error, wait, false, false).await;
                Next::Stop(Some(Due::now(group, Priority::Normal)))
            }
            Step::Pause(reason) => {
                let text = error
                    .words
                    .as_ref()
                    .map_or("", |w| w.message.as_str())
                    .to_owned();
                let reason = match reason {
                    PauseReason::Credentials => "credentials",
                    PauseReason::Account => "account",
                };
                self.gateway.pause(lane, reason, &text).await;
                self.put_off(&job, error, Duration::ZERO, false, false)
                    .await;
                Next::Stop(Some(Due::now(group, Priority::Normal)))
            }
            Step::Fail => {
                self.report(Outcome::Works).await;
                let words = error
                    .words
                    .unwrap_or_else(|| switchboard_channels::Words::new(error.class.name(), ""));
                let failure = Failure {
                    attempt: Some(job.attempt_key()),
                    class: error.class.name().to_owned(),
                    code: words.code,
                    message: words.message,
                    opted_out: error.opted_out,
                };
                self.fail(&job, failure).await;
                Next::Again
            }
            Step::Dead(reason) => {
                self.report(Outcome::Failed).await;
                self.give_up(&job, reason, Some(&error)).await;
                Next::Again
            }
        }
    }

    fn retried(&self, error: &SendError) {
        metrics::counter!(names::RETRIES_TOTAL,
            "lane" => self.live.lane.to_string(), "class" => error.class.name())
        .increment(1);
    }

    async fn put_off(
        &self,
        job: &Job,
        error: SendError,
        wait: Duration,
        unsure: bool,
        counts: bool,
    ) {
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let put_off = PutOff {
            attempt: job.attempt_key(),
            error,
            next_at: crate::store::now().plus(wait_ms),
            unsure,
            counts,
        };
        let recorded = self
            .write(move |tx, unit| at_once(work::put_off(tx, unit, &put_off)))
            .await;
        self.in_time(recorded);
    }

    async fn hand_back(&self, attempt: AttemptKey, next_at: Millis) {
        let recorded = self
            .write(move |tx, unit| at_once(work::hand_back(tx, unit, attempt, next_at)))
            .await;
        self.in_time(recorded);
    }

    /// Says when somebody else has taken over: then nothing was recorded, and nothing is lost.
    fn in_time(&self, recorded: bool) {
        if !recorded {
            tracing::warn!(
                channel.id = %self.live.info.id,
                "an attempt went on for longer than its lease; another worker has taken over"
            );
        }
    }

    async fn give_up(&self, job: &Job, reason: DeadReason, error: Option<&SendError>) {
        let words = error.and_then(|e| e.words.as_ref());
        let said = words
            .map(|w| format!(" ({}: {})", w.code, w.message))
            .unwrap_or_default();
        let why = match reason {
            DeadReason::Stuck => "it kept failing while other messages went through",
            DeadReason::TooOld => "its time would be over before the next try",
            DeadReason::Unsure => "it may have arrived, and is not sent again",
        };
        let failure = Failure {
            attempt: Some(job.attempt_key()),
            ..Failure::dead(reason.code(), &format!("{why}{said}"))
        };
        self.fail(job, failure).await;
    }

    async fn fail(&self, job: &Job, failure: Failure) {
        tracing::warn!(
            channel.id = %self.live.info.id, message.id = %job.part.message, code = %failure.code,
            class = %failure.class, "a message failed"
        );
        let message = job.part.message;
        let recorded = self
            .write(move |tx, unit| at_once(work::fail(tx, unit, message, &failure)))
            .await;
        self.in_time(recorded);
    }

    /// A part that may have arrived: waits for evidence, asks the platform, then decides.
    async fn doubt(&self, job: Job, since: Millis) -> Next {
        let group = job.conversation.0;
        let idempotent = self.live.channel.capabilities().idempotency == Idempotency::Key;
        let waited = millis(crate::store::now().since(since));
        if !idempotent && waited < self.live.policy.unsure_wait {
            let left = self.live.policy.unsure_wait - waited;
            return Next::Stop(Some(Due::after(group, left, Priority::Normal)));
        }
        let ctx = self.gateway.ctx();
        match self.live.channel.find_sent(&job.part, &ctx).await {
            Ok(Some(receipt)) => {
                let taken = Taken {
                    attempt: job.attempt_key(),
                    conversation: job.conversation,
                    channel: self.live.info.id.clone(),
                    alias_scope: String::new(),
                    place: self.place(&receipt),
                    receipt: Receipt {
                        alias: None,
                        ..receipt
                    },
                    next: None,
                };
                self.record(taken).await;
                return Next::Again;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(channel.id = %self.live.info.id, %error, "cannot ask for evidence");
            }
        }
        let resend = idempotent
            || policy::without_evidence(job.unsure_resends, &self.live.policy) == Resend::Once;
        if resend {
            let attempt = job.attempt_key();
            let recorded = self
                .write(move |tx, unit| at_once(work::resend(tx, unit, attempt)))
                .await;
            self.in_time(recorded);
        } else {
            self.give_up(&job, DeadReason::Unsure, None).await;
        }
        Next::Again
    }

    /// Does what must follow an event, best effort.
    async fn effect(&self, group: i64) -> Option<Due> {
        let id = -group;
        let loaded = self
            .gateway
            .store
            .write(move |tx, unit| at_once(upkeep::effect(tx, unit, id)))
            .await;
        let effect = match loaded {
            Ok((Some(effect), _)) => effect,
            Ok((None, _)) => return None,
            Err(_unavailable) => return Some(Due::after(group, EFFECT_RETRY, Priority::Normal)),
        };
        match self
            .live
            .channel
            .perform(&effect, &self.gateway.ctx())
            .await
        {
            Ok(sender) => self.effect_done(id, sender).await,
            Err(SendError {
                class: Class::Retry | Class::Limited { .. },
                ..
            }) => {
                return Some(Due::after(group, EFFECT_RETRY, Priority::Normal));
            }
            Err(error) => {
                tracing::info!(channel.id = %self.live.info.id, %error, "an effect was dropped");
                self.effect_done(id, None).await;
            }
        }
        None
    }

    async fn effect_done(&self, id: i64, sender: Option<Sender>) {
        let channel = self.live.info.clone();
        self.write(move |tx, unit| {
            at_once(async {
                upkeep::effect_done(tx, id).await?;
                if let Some(sender) = &sender {
                    let found = people::resolve_user(tx, unit, &channel, sender).await?;
                    if found.changed {
                        let data =
                            crate::events::payload::user_change(found.user.id, None, "profile");
                        unit.emit(tx, "user-updated", 0, &data).await?;
                    }
                }
                Ok(())
            })
        })
        .await;
    }
}
