//! From a webhook to the truth: verify, parse, one transaction, reply. Nothing is done after the
//! reply that could be lost.
//!
//! Where the store is in another place, what it cannot take just now waits in the [`spool`].

mod again;
pub mod spool;

use crate::gateway::{Gateway, LiveChannel};
use crate::store::StoreError;
use crate::store::Wakes;
use crate::store::inbound::{Fate, InboundBatch};
use crate::telemetry::names;
use spool::{Record, SpoolError};
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::kit::http::{Inbound, Method, Reply, Via};
use switchboard_channels::model::{Effect, Event, EventBody, Parsed};
use switchboard_channels::{Malformed, Rejected, Verified};

/// How long a webhook waits for its commit before it goes to the spool. Slack wants its answer
/// within 3 seconds, the strictest of the platforms.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Why a webhook was not acknowledged.
#[derive(Debug)]
pub enum NotTaken {
    /// There is no such channel.
    NoChannel,
    /// A set-up request that does not know our verify token.
    Handshake,
    /// The signature.
    Rejected(Rejected),
    /// No JSON, form or XML at all.
    Malformed(Malformed),
    /// The store cannot be written: the platform delivers again.
    Unavailable(StoreError),
    /// Neither the store nor the spool can.
    NotSpooled(SpoolError),
}

impl NotTaken {
    /// The name under which it is counted.
    const fn name(&self) -> &'static str {
        match self {
            Self::NoChannel => "no-channel",
            Self::Handshake => "handshake-failed",
            Self::Rejected(_) => "rejected",
            Self::Malformed(_) => "malformed",
            Self::Unavailable(_) | Self::NotSpooled(_) => "unavailable",
        }
    }
}

pub use again::replay;

/// Takes a webhook.
///
/// # Errors
/// When it is not acknowledged; nothing of it was stored then.
pub async fn receive(
    gateway: &Arc<Gateway>,
    id: &str,
    request: Inbound,
) -> Result<Reply, NotTaken> {
    let live = gateway.channel(id).ok_or(NotTaken::NoChannel)?;
    let result = receive_for(gateway, live, &request).await;
    let outcome = match &result {
        Ok((_, outcome)) => outcome,
        Err(error) => error.name(),
    };
    metrics::counter!(names::WEBHOOKS_TOTAL,
        "channel" => live.info.id.clone(), "kind" => live.info.kind, "result" => outcome)
    .increment(1);
    if let Err(error) = &result {
        tracing::warn!(channel.id = %live.info.id, result = error.name(), ?error,
            "a webhook was not taken");
    }
    result.map(|(reply, _)| reply)
}

async fn receive_for(
    gateway: &Arc<Gateway>,
    live: &Arc<LiveChannel>,
    request: &Inbound,
) -> Result<(Reply, &'static str), NotTaken> {
    if let Some(reply) = live.channel.handshake(request) {
        let outcome = if reply.status < 400 {
            "handshake"
        } else {
            "handshake-failed"
        };
        return Ok((reply, outcome));
    }
    let (batches, reply) = understand(gateway, live, request)?;
    if batches
        .iter()
        .all(|b| b.events.is_empty() && b.effects.is_empty())
    {
        return Ok((reply, "empty"));
    }
    let outcome = keep(gateway, request, batches).await?;
    Ok((reply, outcome))
}

/// Verifies and parses a request and finds the channels that it is for. Pure, and the same when the
/// request comes out of the spool.
fn understand(
    gateway: &Gateway,
    live: &Arc<LiveChannel>,
    request: &Inbound,
) -> Result<(Vec<InboundBatch>, Reply), NotTaken> {
    let verified = Verified::check(live.channel.as_ref(), request).map_err(|rejected| {
        // A GET that no platform signs is a set-up request that went wrong.
        match request.method {
            Method::Get => NotTaken::Handshake,
            _ => NotTaken::Rejected(rejected),
        }
    })?;
    let Parsed {
        events,
        effects,
        reply,
    } = live.channel.parse(&verified).map_err(NotTaken::Malformed)?;
    Ok((route(gateway, live, request, events, effects), reply))
}

/// Makes durable what a request carries: in the store, or, where that does not answer or is behind,
/// in the spool. Says how it is counted.
async fn keep(
    gateway: &Arc<Gateway>,
    request: &Inbound,
    batches: Vec<InboundBatch>,
) -> Result<&'static str, NotTaken> {
    // Mail waits in its mailbox as well as it would here.
    let spool = gateway.spool.get().filter(|_| request.via == Via::Web);
    let record = spool.map(|_| Record {
        channels: batches.iter().map(|b| b.channel.id.clone()).collect(),
        request: request.clone(),
    });
    let Some((spool, record)) = spool.zip(record) else {
        let (fates, wakes) = apply(gateway, &batches.into())
            .await
            .map_err(NotTaken::Unavailable)?;
        gateway.wake_for_all(wakes).await;
        return Ok(taken(&fates));
    };
    // Before its predecessors are in the store, nothing of a channel may overtake them.
    if !spool.behind(record.channels.iter().map(String::as_str)) {
        let batches = batches.into();
        let written = tokio::time::timeout(STORE_PATIENCE, apply(gateway, &batches)).await;
        let late = || StoreError::Unavailable(format!("no commit within {STORE_PATIENCE:?}"));
        match written.unwrap_or_else(|_late| Err(late())) {
            Ok((fates, wakes)) => {
                gateway.wake_for_all(wakes).await;
                return Ok(taken(&fates));
            }
            // It may have been written after all: then the replay finds it there.
            Err(error) if error.may_pass() => {
                tracing::warn!(channel.id = record.channel(), %error, "a webhook goes to the spool");
            }
            Err(error) => return Err(NotTaken::Unavailable(error)),
        }
    }
    spool.append(&record).await.map_err(NotTaken::NotSpooled)?;
    Ok("spooled")
}

/// What became of the events of each batch.
type Fates = Vec<Vec<Fate>>;

/// Writes batches in one transaction, and counts what was new.
async fn apply(
    gateway: &Gateway,
    batches: &Arc<[InboundBatch]>,
) -> Result<(Fates, Wakes), StoreError> {
    let (fates, wakes) = gateway.store.take_in(Arc::clone(batches)).await?;
    count(batches, &fates);
    Ok((fates, wakes))
}

/// How a request is counted whose events became this.
pub(crate) fn taken(fates: &[Vec<Fate>]) -> &'static str {
    if fates.iter().flatten().any(|fate| *fate != Fate::Duplicate) {
        "accepted"
    } else {
        "duplicate"
    }
}

/// Counts what was new.
pub(crate) fn count(batches: &[InboundBatch], fates: &[Vec<Fate>]) {
    for (batch, fates) in batches.iter().zip(fates) {
        for (event, fate) in batch.events.iter().zip(fates) {
            if *fate == Fate::Duplicate {
                continue;
            }
            metrics::counter!(names::INBOUND_EVENTS_TOTAL,
                "channel" => batch.channel.id.clone(), "event" => event.body.name())
            .increment(1);
            if let EventBody::Unknown { what, .. } = &event.body {
                tracing::info!(channel.id = %batch.channel.id, what, "an unknown event was kept");
            }
        }
    }
}

/// Sorts the events by the account that they are for. Only channels that hold the very secret that
/// verified the request can be meant; what is for none of them is kept raw. What is for another channel
/// is read by that channel: it knows its own account best, and what must follow is its own, too.
pub(crate) fn route(
    gateway: &Gateway,
    live: &Arc<LiveChannel>,
    request: &Inbound,
    events: Vec<Event>,
    effects: Vec<Effect>,
) -> Vec<InboundBatch> {
    let batch = |live: &LiveChannel, events, effects| InboundBatch {
        channel: live.info.clone(),
        events,
        effects,
    };
    let own = live.channel.account_keys();
    let is_own = |event: &Event| {
        let account = event.account.as_deref();
        account.is_none_or(|account| own.contains(&account))
    };
    if own.is_empty() || events.iter().all(is_own) {
        return vec![batch(live, events, effects)];
    }
    let mut others: Vec<InboundBatch> = Vec::new();
    let mut kept = Vec::with_capacity(events.len());
    for mut event in events {
        let account = event.account.as_deref().filter(|_| !is_own(&event));
        let Some(account) = account else {
            kept.push(event);
            continue;
        };
        let other = meant(gateway, live, request, account);
        if let Some(other) = other {
            if others.iter().any(|b| b.channel.id == other.info.id) {
                continue; // Read already, all at once.
            }
            let (events, effects) = read_by(other, request, &effects);
            if !events.is_empty() {
                others.push(batch(other, events, effects));
                continue;
            }
        }
        let raw = serde_json::to_string(&event).unwrap_or_default();
        event.body = EventBody::Unknown {
            what: "event of an unknown account".to_owned(),
            raw,
        };
        kept.push(event);
    }
    others.insert(0, batch(live, kept, effects));
    others
}

/// What another channel reads in a request that came to a neighbour's URL: the events of its own account,
/// and what must follow them beyond what follows for the neighbour.
fn read_by(other: &LiveChannel, request: &Inbound, said: &[Effect]) -> (Vec<Event>, Vec<Effect>) {
    let Ok(verified) = Verified::check(other.channel.as_ref(), request) else {
        return (Vec::new(), Vec::new());
    };
    let Ok(parsed) = other.channel.parse(&verified) else {
        return (Vec::new(), Vec::new());
    };
    let keys = other.channel.account_keys();
    let mine = |event: &Event| {
        let account = event.account.as_deref();
        account.is_some_and(|account| keys.contains(&account))
    };
    let events = parsed.events.into_iter().filter(mine).collect();
    let mut effects = parsed.effects;
    effects.retain(|effect| !said.contains(effect));
    (events, effects)
}

/// The channel of the same kind with this account that would have believed the request too.
fn meant<'g>(
    gateway: &'g Gateway,
    live: &LiveChannel,
    request: &Inbound,
    account: &str,
) -> Option<&'g Arc<LiveChannel>> {
    gateway.channels.values().find(|other| {
        other.info.kind == live.info.kind
            && other.info.id != live.info.id
            && other.channel.account_keys().contains(&account)
            && other.channel.verify(request).is_ok()
    })
}
