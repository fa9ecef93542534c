//! A receiver's lane: posts its events, in order per conversation, until it takes them.

use super::sign;
use crate::gateway::{Gateway, Hook};
use crate::outbound::lanes::Work;
use crate::outbound::policy;
use crate::queue::{Due, Lease, Outcome, Priority, Refused};
use crate::store::at_once;
use crate::store::deliveries::{self, Delivery, Told};
use crate::telemetry::names;
use async_trait::async_trait;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::kit::http::{Request, Transport};
use switchboard_channels::model::Millis;
use tokio_util::sync::CancellationToken;

/// A receiver has so long to answer (contract).
const TIMEOUT_MS: u64 = 15_000;
/// An event is given up after so long (contract: 72 h).
const GIVE_UP_MS: i64 = 72 * 3_600_000;
/// One that the receiver refuses as such is given up after so long (contract: 10 minutes).
const REFUSED_MS: i64 = 10 * 60_000;
/// While the store does not answer, a delivered event waits so long before its turn comes again.
const STORE_RETRY: Duration = Duration::from_millis(500);
/// What a receiver answers is not read further than this.
const ANSWER_MAX: usize = 64 * 1024;

/// The work of a receiver's lane.
pub struct EventWork {
    /// The service.
    pub gateway: Arc<Gateway>,
    /// The receiver.
    pub hook: Arc<Hook>,
}

/// The envelope of every event.
#[derive(serde::Serialize)]
struct Envelope<'a> {
    function: &'a str,
    key: &'a str,
    #[serde(rename = "sender-url")]
    sender_url: &'a str,
    data: &'a RawValue,
}

/// Why a delivery did not succeed.
struct Refusal {
    text: String,
    /// The receiver will not take this event, whatever is tried.
    refused: bool,
}

#[async_trait]
impl Work for EventWork {
    async fn turn(&self, lease: Lease, stop: &CancellationToken) -> Option<Due> {
        loop {
            let (hook, group) = (self.hook.id.clone(), lease.group);
            let loaded = self
                .gateway
                .store
                .read(move |tx| at_once(deliveries::load(tx, &hook, group)))
                .await;
            let batch = match loaded {
                Ok(batch) if batch.is_empty() => return None,
                Ok(batch) => batch,
                Err(error) => {
                    tracing::error!(%error, "events cannot be read");
                    return Some(Due::after(lease.group, STORE_RETRY, Priority::Normal));
                }
            };
            for delivery in batch {
                if stop.is_cancelled() {
                    return Some(Due::now(lease.group, Priority::Normal));
                }
                if let Err(due) = self.one(&delivery, lease.group).await {
                    return Some(due);
                }
            }
            // Not at each event, which would cost a round trip to the queue: what was read is told.
            if self.is_closed(lease.group).await {
                return Some(Due::now(lease.group, Priority::Normal));
            }
        }
    }
}

impl EventWork {
    /// Whether the lane was paused or rests since the turn began. Without an answer it goes on: what it
    /// has claimed is its to deliver.
    async fn is_closed(&self, group: i64) -> bool {
        let token = self.gateway.queue.take(&self.hook.lane, group, 1).await;
        matches!(token, Ok(Err(Refused::Closed)))
    }

    /// Delivers one event and records it; `Err` says when the group's turn comes again.
    async fn one(&self, delivery: &Delivery, group: i64) -> Result<(), Due> {
        let result = self.post(delivery).await;
        let outcome = match &result {
            Ok(()) => "delivered",
            Err(Refusal { refused: true, .. }) => "refused",
            Err(_) => "failed",
        };
        metrics::counter!(names::EVENT_DELIVERIES_TOTAL,
            "webhook" => self.hook.id.clone(), "outcome" => outcome)
        .increment(1);
        let (hook, event) = (self.hook.id.clone(), delivery.event);
        let Err(refusal) = result else {
            self.report(Outcome::Works).await;
            let webhook = Arc::from(hook);
            // Delivered but not recorded: it is delivered again, with the same id.
            return match self.gateway.store.told(Told { webhook, event }).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    tracing::error!(%error, "a delivery is not recorded");
                    Err(Due::after(group, STORE_RETRY, Priority::Normal))
                }
            };
        };
        // A refusal of this one event says nothing about the receiver.
        self.report(if refusal.refused {
            Outcome::Works
        } else {
            Outcome::Failed
        })
        .await;
        let now = crate::store::now();
        let first = delivery.first_at.unwrap_or(now);
        let attempts = u32::try_from(delivery.attempts).unwrap_or(u32::MAX);
        let wait = policy::delay(&self.gateway.limits.schedule, attempts, rand::random());
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let limit = if refusal.refused {
            REFUSED_MS
        } else {
            GIVE_UP_MS
        };
        let next_at = now.plus(wait_ms);
        let dead = next_at.since(first) > limit;
        if dead {
            tracing::error!(webhook.id = %self.hook.id, event.id = %delivery.uid,
                error = %refusal.text, "an event was given up");
        } else {
            tracing::warn!(webhook.id = %self.hook.id, event.id = %delivery.uid,
                error = %refusal.text, "an event is delivered later");
        }
        let next: Option<Millis> = (!dead).then_some(next_at);
        let written = self
            .gateway
            .store
            .write(move |tx, unit| {
                at_once(deliveries::failed(
                    tx,
                    unit,
                    &hook,
                    event,
                    &refusal.text,
                    next,
                ))
            })
            .await;
        if let Err(error) = written {
            tracing::error!(%error, "a failed delivery is not recorded");
        }
        if dead {
            Ok(())
        } else {
            Err(Due::retry(group, wait, Priority::Normal))
        }
    }

    async fn report(&self, outcome: Outcome) {
        if let Err(error) = self.gateway.queue.report(&self.hook.lane, outcome).await {
            tracing::warn!(%error, "the breaker was not told");
        }
    }

    async fn post(&self, delivery: &Delivery) -> Result<(), Refusal> {
        let failed = |text: String| Refusal {
            text,
            refused: false,
        };
        let data = RawValue::from_string(delivery.data.clone())
            .map_err(|e| failed(format!("the stored event cannot be read: {e}")))?;
        let envelope = Envelope {
            function: &delivery.function,
            key: &self.hook.key,
            sender_url: &self.gateway.limits.public_url,
            data: &data,
        };
        let body = serde_json::to_string(&envelope).map_err(|e| failed(e.to_string()))?;
        let seconds = crate::store::now().0 / 1000;
        let signature = sign::signature(&self.hook.signing_key, &delivery.uid, seconds, &body);
        let mut request = Request::post_json(&self.hook.url, body)
            .with_header("webhook-id", &delivery.uid)
            .with_header("webhook-timestamp", seconds.to_string())
            .with_header("webhook-signature", signature)
            .with_timeout_ms(TIMEOUT_MS);
        request.max_response_bytes = ANSWER_MAX;
        let response = self
            .gateway
            .transport
            .call(request)
            .await
            .map_err(|e| failed(e.to_string()))?;
        if response.is_success() {
            return Ok(());
        }
        Err(Refusal {
            text: format!("the receiver answered {}", response.status),
            refused: matches!(response.status, 400 | 413 | 422),
        })
    }
}
