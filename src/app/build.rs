//! From the configuration to a gateway: store, queue, channels, receivers, tokens.

use crate::config::{
    ChannelConfig, Config, ConfigError, MediaUrl, OnUnsure, QueueUrl, StoreUrl, TokenHash,
};
use crate::gateway::{Bell, Gateway, Hook, Limits as GatewayLimits, LiveChannel, Outcomes};
use crate::mail::kept::Mails;
use crate::mail::stream::Connector;
use crate::media::files::Files;
use crate::outbound::mailer::SmtpMailer;
use crate::outbound::policy::{self, Policy};
use crate::outbound::transport::HttpTransport;
use crate::queue::gcra::Rate;
use crate::queue::memory::MemoryQueue;
use crate::queue::redis::{Options, RedisQueue};
use crate::queue::{LaneId, Limits, Queue};
use crate::store::at_once;
use crate::store::mailboxes;
use crate::store::mirror::Desk;
use crate::store::postgres::{Place, Presence};
use crate::store::{Receiver, Store, StoreError, upkeep as store_upkeep};
use crate::webapi::auth::Tokens;
use anyhow::Context;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::kit::secret::Secret;
use switchboard_channels::model::Pacing;
use tokio_util::sync::CancellationToken;

/// Our own lanes (events, attachments) have no platform's limit; this keeps the arithmetic honest.
const OWN_RATE: f64 = 100_000.0;

/// How this process stands beside others on its store.
pub(super) fn presence(config: &Config) -> Presence {
    match config.queue.url {
        QueueUrl::Memory => Presence::Alone,
        QueueUrl::Redis(_) => Presence::OneOfMany,
    }
}

/// Opens the store and builds everything around it. `patient`: a store in another place that does not
/// answer is waited for by the caller.
pub(super) async fn open(
    config: &Config,
    patient: bool,
    stop: CancellationToken,
) -> anyhow::Result<Arc<Gateway>> {
    let receivers = config
        .webhooks
        .iter()
        .map(|w| Receiver {
            id: w.id.clone(),
            events: w.events.iter().map(|e| e.as_str().to_owned()).collect(),
        })
        .collect();
    let store = match &config.store.url {
        StoreUrl::Postgres(url) if patient => {
            let place = place(config, url, presence(config));
            let store = Store::later(&place, receivers, config.server.public_url.as_str());
            match store.arrive().await {
                Err(error) if error.may_pass() => {
                    tracing::warn!(%error, "begins without its store: webhooks go to the spool");
                }
                other => other?,
            }
            store
        }
        _ => open_store(config, receivers, presence(config)).await?,
    };
    let mut channels = BTreeMap::new();
    let mut lanes = Vec::new();
    for channel in &config.channels {
        let live = live_channel(config, channel)?;
        lanes.push((live.lane.clone(), channel_limits(config, channel, &live)));
        lanes.push((live.media_lane.clone(), own_limits(config)));
        channels.insert(channel.id.clone(), Arc::new(live));
    }
    let mut hooks = BTreeMap::new();
    for webhook in &config.webhooks {
        let lane = LaneId::events(&webhook.id);
        lanes.push((lane.clone(), own_limits(config)));
        let hook = Hook {
            id: webhook.id.clone(),
            url: webhook.url.to_string(),
            key: webhook.key.expose().to_owned(),
            signing_key: webhook.key.signing_bytes(),
            lane,
        };
        hooks.insert(webhook.id.clone(), Arc::new(hook));
    }
    let fence = crate::store::now().0.saturating_mul(1000);
    let queue: Arc<dyn Queue> = match &config.queue.url {
        QueueUrl::Memory => MemoryQueue::new(lanes, fence),
        QueueUrl::Redis(url) => RedisQueue::open(url.expose(), lanes, Options::default())
            .await
            .map_err(|e| {
                ConfigError::new("queue.url", e.0, "redis://host:6379/0 (rediss:// for TLS)")
            })?,
    };
    let (files, mails) = match &config.media.url {
        MediaUrl::Dir(path) => (Files::new(path), Mails::new(Files::new(path.join("mail")))),
        MediaUrl::Object(_) => {
            anyhow::bail!("media.url: object stores are not built into this release")
        }
    };
    // The store notes what is to be shown; which channels show others, only they know.
    let desk = |live: &Arc<LiveChannel>| {
        let mirror = live.channel.mirror()?;
        Some(Desk {
            channel: live.info.id.clone(),
            shows: mirror.channels.clone(),
        })
    };
    let store = store.with_desks(channels.values().filter_map(desk).collect());
    Ok(Arc::new(Gateway {
        store,
        queue,
        channels,
        hooks,
        transport: HttpTransport::new(config.media.allow_private_hosts.clone())?,
        mailer: Arc::new(SmtpMailer::new(connector(config)?)),
        files,
        mails,
        bell: Bell::default(),
        spool: std::sync::OnceLock::new(),
        outcomes: Outcomes::default(),
        scheduled: tokio::sync::Notify::new(),
        mirror: tokio::sync::Notify::new(),
        rebuild: tokio::sync::Notify::new(),
        limits: GatewayLimits {
            public_url: config.server.public_url.as_str().to_owned(),
            body_limit_bytes: config.server.body_limit_bytes,
            default_wait: Duration::from_secs(config.api.default_wait_seconds),
            send_message_delivers: config.api.send_message_delivers,
            lease: Duration::from_secs(config.queue.lease_seconds),
            max_media_bytes: usize::try_from(config.media.max_bytes).unwrap_or(usize::MAX),
            max_age: Duration::from_secs(config.retry.max_age_seconds),
            schedule: config.retry.schedule.pauses().to_vec(),
        },
        stop,
    }))
}

/// How mail servers are connected to.
pub(super) fn connector(config: &Config) -> Result<Connector, ConfigError> {
    Connector::new(&config.mail.trusted_ca)
        .map_err(|e| ConfigError::new("mail.trusted_ca", e, "certificates in PEM"))
}

/// What is to be done once the store is open, before anything else is done with it.
pub(super) async fn take_over(config: &Config, store: &Store) -> Result<(), StoreError> {
    if presence(config) == Presence::Alone {
        // This process alone has the store, so no attempt that is open in it is anybody's.
        store
            .write(|tx, _| at_once(store_upkeep::forget_heartbeats(tx)))
            .await?;
        // Nor does anybody read a mailbox.
        store
            .write(|tx, _| at_once(mailboxes::forget_leases(tx)))
            .await?;
    }
    Ok(())
}

fn place(config: &Config, url: &Secret, presence: Presence) -> Place {
    Place {
        url: url.clone(),
        connections: config.store.connections,
        presence,
    }
}

/// Opens the store that the configuration names.
pub(super) async fn open_store(
    config: &Config,
    receivers: Vec<Receiver>,
    presence: Presence,
) -> Result<Store, StoreError> {
    let public_url = config.server.public_url.as_str();
    match &config.store.url {
        StoreUrl::Sqlite(path) => Store::open(path, receivers, public_url).await,
        StoreUrl::Postgres(url) => {
            let place = place(config, url, presence);
            Store::connect(&place, receivers, public_url).await
        }
    }
}

fn live_channel(config: &Config, channel: &ChannelConfig) -> anyhow::Result<LiveChannel> {
    let adapter = channel.build(&config.server.public_url)?;
    let policy = Policy {
        schedule: config.retry.schedule.pauses().to_vec(),
        stuck_after: config.retry.stuck_after,
        unsure_wait: Duration::from_secs(channel.unsure_wait_seconds),
        on_unsure: match channel.on_unsure {
            OnUnsure::Retry => policy::OnUnsure::Retry,
            OnUnsure::Hold => policy::OnUnsure::Hold,
        },
    };
    let in_flight = channel
        .max_in_flight
        .unwrap_or(adapter.capabilities().pacing.max_in_flight);
    // More than the total over all processes this one never gets.
    let in_flight = channel
        .max_in_flight_total
        .map_or(in_flight, |total| total.min(in_flight));
    let in_flight = usize::try_from(in_flight).unwrap_or(usize::MAX);
    Ok(LiveChannel::new(
        channel.kind,
        &channel.id,
        adapter,
        policy,
        in_flight,
    ))
}

fn channel_limits(config: &Config, channel: &ChannelConfig, live: &LiveChannel) -> Limits {
    let Pacing {
        rate_per_second,
        rate_burst,
        rate_per_recipient_per_second,
        recipient_burst,
        ..
    } = live.channel.capabilities().pacing;
    let per_second = channel.rate_per_second.unwrap_or(rate_per_second);
    // A rate that the operator chose brings a burst of a second's worth, unless that is chosen too.
    let burst = channel.rate_burst.unwrap_or_else(|| {
        if channel.rate_per_second.is_some() {
            second_of(per_second)
        } else {
            rate_burst
        }
    });
    let recipient = channel
        .rate_per_recipient_per_second
        .or(rate_per_recipient_per_second);
    Limits {
        rate: Rate::new(per_second, burst),
        max_leases: channel.max_in_flight_total.and_then(NonZeroU32::new),
        recipient: recipient
            .map(|r| Rate::new(r, channel.recipient_burst.unwrap_or(recipient_burst))),
        ..own_limits(config)
    }
}

/// The parts of one second at this rate, at least one.
fn second_of(per_second: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped before"
    )]
    let whole = per_second.clamp(1.0, f64::from(u32::MAX)) as u32;
    whole
}

fn own_limits(config: &Config) -> Limits {
    Limits {
        rate: Rate::new(OWN_RATE, u32::MAX),
        recipient: None,
        max_leases: None,
        lease: Duration::from_secs(config.queue.lease_seconds),
        breaker_failures: config.retry.breaker_failures,
        breaker_rest: Duration::from_secs(config.retry.breaker_rest_seconds),
    }
}

/// The tokens that may call; one is made and kept when none is configured.
pub(super) fn tokens(config: &Config) -> anyhow::Result<(Tokens, Option<(String, PathBuf)>)> {
    let mut configured: Vec<String> = config.api.tokens.iter().map(TokenHash::to_config).collect();
    let mut generated = None;
    if configured.is_empty() {
        let file = config.store.api_token_file();
        let token = kept_token(&file)?;
        configured.push(token.clone());
        generated = Some((token, file));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped before"
    )]
    let rate = config
        .api
        .rate_per_second
        .ceil()
        .clamp(1.0, f64::from(u32::MAX)) as u32;
    let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
    let tokens = Tokens::new(&configured, rate)
        .map_err(|bad| ConfigError::new("api.tokens", bad.to_string(), "sha256:HEX or text"))?;
    Ok((tokens, generated))
}

/// Reads the kept token, or makes one that only its owner can read.
fn kept_token(file: &Path) -> anyhow::Result<String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::read_to_string(file) {
        Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| file.display().to_string()),
    }
    if let Some(folder) = file.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let token = crate::config::new_token();
    let mut out = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .with_context(|| file.display().to_string())?;
    writeln!(out, "{token}").with_context(|| file.display().to_string())?;
    Ok(token)
}
