//! The composition root: opens store and queue, builds channels, starts the roles, drains.

use crate::config::{
    ChannelConfig, Config, ConfigError, MediaUrl, OnUnsure, QueueUrl, Role, StoreUrl,
};
use crate::events::deliver::EventWork;
use crate::gateway::{Gateway, Hook, Limits as GatewayLimits, LiveChannel, Outcomes};
use crate::http::Http;
use crate::media::fetch::MediaWork;
use crate::media::files::Files;
use crate::outbound::lanes::{Runner, Work};
use crate::outbound::policy::{self, Policy};
use crate::outbound::transport::HttpTransport;
use crate::outbound::worker::ChannelWork;
use crate::queue::gcra::Rate;
use crate::queue::memory::MemoryQueue;
use crate::queue::{LaneId, Limits, Queue};
use crate::sandbox::{self, Account, HookTarget, Sandbox, SandboxHandle};
use crate::store::sqlite::at_once;
use crate::store::upkeep::Retention;
use crate::store::{Receiver, Store, StoreError, upkeep as store_upkeep};
use crate::telemetry::Metrics;
use crate::webapi::auth::Tokens;
use crate::webapi::dispatch::Api;
use crate::{reconcile, upkeep};
use anyhow::Context;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::kit::http::Ctx;
use switchboard_channels::model::Pacing;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Events delivered at once to one receiver: enough for a chat backend to be busy, few enough that
/// it is not flooded after an outage.
const EVENTS_IN_FLIGHT: usize = 16;
/// Attachments fetched at once from one platform.
const MEDIA_IN_FLIGHT: usize = 4;
/// Our own lanes (events, attachments) have no platform's limit; this keeps the arithmetic honest.
const OWN_RATE: f64 = 100_000.0;
/// Histogram samples are moved into their buckets this often, asked for or not.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
const DAY_MS: i64 = 86_400_000;

/// What `serve` was told on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// The roles of this process, each once.
    pub roles: Vec<Role>,
    /// The channels whose lanes this process works; empty = all.
    pub channels: Vec<String>,
}

/// What a person wants to know once the service runs.
#[derive(Debug)]
pub struct Ready {
    /// Where it listens.
    pub listen: String,
    /// Where the sandbox's page is, when it runs.
    pub sandbox: Option<String>,
    /// A token that was generated because none is configured, and its file.
    pub token: Option<(String, PathBuf)>,
    /// Ids and kinds of the channels.
    pub channels: Vec<(String, &'static str)>,
}

/// One thing that `check` looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it holds.
    pub ok: bool,
    /// What was looked at: `store`, `channel support-bot`…
    pub subject: String,
    /// What was found, for a person.
    pub detail: String,
}

/// Runs the service until it is told to stop.
///
/// # Errors
/// When it cannot start, or fails while running.
pub async fn serve(
    config: Config,
    options: ServeOptions,
    ready: impl FnOnce(&Ready),
) -> anyhow::Result<()> {
    let config = config.with_sandbox();
    let metrics = Metrics::install()?;
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let gateway = open(&config, stop.clone()).await?;
    let (tokens, generated) = tokens(&config)?;
    let works = |role| options.roles.contains(&role);
    let sandbox = start_sandbox(&config)?;
    let sandbox_url = sandbox
        .as_ref()
        .map(|_| format!("http://{}/", config.sandbox.listen));
    let sandbox_handle = sandbox.as_ref().map(Sandbox::handle);
    if let Some(sandbox) = sandbox {
        tasks.spawn(async move {
            if let Err(error) = sandbox.run().await {
                tracing::error!(%error, "the sandbox has ended");
            }
        });
    }
    upkeep::restore_pauses(&gateway).await?;
    let due = reconcile::reconcile(&gateway).await?;
    if due > 0 {
        tracing::info!(due, "waiting work was found in the store");
    }
    if works(Role::Worker) {
        start_lanes(&gateway, &options.channels, &tasks, &stop);
    }
    start_upkeep(&gateway, &config, metrics.clone(), &tasks, &stop);
    let http = Http {
        api: Arc::new(Api {
            gateway: Arc::clone(&gateway),
            tokens,
            sms_template: config.api.sms_template.clone(),
        }),
        gateway: Arc::clone(&gateway),
        metrics,
    };
    let server = http.bind(config.server.listen).map_err(|e| {
        let found = format!("{} ({e})", config.server.listen);
        ConfigError::new("server.listen", found, "an address that is free")
    })?;
    let handle = server.handle();
    let serving = tokio::spawn(server);
    ready(&Ready {
        listen: format!("http://{}", config.server.listen),
        sandbox: sandbox_url,
        token: generated,
        channels: config
            .channels
            .iter()
            .map(|c| (c.id.clone(), c.kind.name))
            .collect(),
    });
    tracing::info!(listen = %config.server.listen, channels = config.channels.len(), "ready");
    Signals::new()?.wait().await;
    tracing::info!("draining: what is in flight is finished, nothing new is begun");
    stop.cancel();
    tasks.close();
    let drain = Duration::from_secs(config.server.drain_seconds);
    let drained = drain_all(&tasks, &handle, sandbox_handle.as_ref());
    tokio::select! {
        done = tokio::time::timeout(drain, drained) => match done {
            Ok(()) => tracing::info!("drained"),
            // Leases of what is cut off here lapse; the next start resumes at the right part.
            Err(_late) => tracing::warn!(seconds = drain.as_secs(), "not drained in time"),
        },
        () = Signals::again() => tracing::warn!("a second signal: ending at once"),
    }
    serving.abort();
    Ok(())
}

/// Finishes lanes and requests, then ends the sandbox: the lanes still talk to it while they drain.
async fn drain_all(
    tasks: &TaskTracker,
    server: &actix_web::dev::ServerHandle,
    sandbox: Option<&SandboxHandle>,
) {
    server.stop(true).await;
    if let Some(sandbox) = sandbox {
        // The sandbox is one of the tasks, so it is told to end before they are waited for; requests
        // that it is answering it still answers.
        sandbox.stop().await;
    }
    tasks.wait().await;
}

/// SIGTERM and SIGINT.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let open = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self {
            term: open(SignalKind::terminate())?,
            int: open(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// Waits for another signal; for ever, when it cannot listen any more.
    async fn again() {
        match Self::new() {
            Ok(mut signals) => signals.wait().await,
            Err(_cannot_listen) => std::future::pending().await,
        }
    }
}

/// Opens the store and builds everything around it.
async fn open(config: &Config, stop: CancellationToken) -> anyhow::Result<Arc<Gateway>> {
    let path = sqlite_path(config)?;
    let receivers = config
        .webhooks
        .iter()
        .map(|w| Receiver {
            id: w.id.clone(),
            events: w.events.iter().map(|e| e.as_str().to_owned()).collect(),
        })
        .collect();
    let store = Store::open(&path, receivers, config.server.public_url.as_str()).await?;
    // This process alone has the store, so no attempt that is open in it is anybody's.
    store
        .write(|tx, _| at_once(store_upkeep::forget_heartbeats(tx)))
        .await?;
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
        QueueUrl::Redis(_) => anyhow::bail!("queue.url: Redis is not built into this release"),
    };
    let files = match &config.media.url {
        MediaUrl::Dir(path) => Files::new(path),
        MediaUrl::Object(_) => {
            anyhow::bail!("media.url: object stores are not built into this release")
        }
    };
    Ok(Arc::new(Gateway {
        store,
        queue,
        channels,
        hooks,
        transport: HttpTransport::new(config.media.allow_private_hosts.clone())?,
        files,
        outcomes: Outcomes::default(),
        scheduled: tokio::sync::Notify::new(),
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

fn sqlite_path(config: &Config) -> anyhow::Result<PathBuf> {
    match &config.store.url {
        StoreUrl::Sqlite(path) => Ok(path.clone()),
        StoreUrl::Postgres(_) => {
            anyhow::bail!("store.url: PostgreSQL is not built into this release")
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
    // One process is all there is, so the total over all processes bounds this one.
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
        lease: Duration::from_secs(config.queue.lease_seconds),
        breaker_failures: config.retry.breaker_failures,
        breaker_rest: Duration::from_secs(config.retry.breaker_rest_seconds),
    }
}

/// The tokens that may call; one is made and kept when none is configured.
fn tokens(config: &Config) -> anyhow::Result<(Tokens, Option<(String, PathBuf)>)> {
    let mut configured: Vec<String> = config
        .api
        .tokens
        .iter()
        .map(crate::config::TokenHash::to_config)
        .collect();
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

fn start_lanes(
    gateway: &Arc<Gateway>,
    only: &[String],
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let run = |lane: &LaneId, slots: usize, work: Arc<dyn Work>| {
        let runner = Runner {
            queue: Arc::clone(&gateway.queue),
            lane: lane.clone(),
            slots,
            lease: gateway.limits.lease,
            work,
        };
        tasks.spawn(runner.run(stop.clone()));
    };
    for (id, live) in &gateway.channels {
        if !only.is_empty() && !only.contains(id) {
            continue;
        }
        let (gateway, live) = (Arc::clone(gateway), Arc::clone(live));
        let sends = ChannelWork {
            gateway: Arc::clone(&gateway),
            live: Arc::clone(&live),
        };
        run(&live.lane, live.max_in_flight, Arc::new(sends));
        let media = MediaWork {
            gateway,
            live: Arc::clone(&live),
        };
        run(&live.media_lane, MEDIA_IN_FLIGHT, Arc::new(media));
    }
    if only.is_empty() {
        for hook in gateway.hooks.values() {
            let work = EventWork {
                gateway: Arc::clone(gateway),
                hook: Arc::clone(hook),
            };
            run(&hook.lane, EVENTS_IN_FLIGHT, Arc::new(work));
        }
    }
}

fn start_upkeep(
    gateway: &Arc<Gateway>,
    config: &Config,
    metrics: Metrics,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let days = |days: u32| i64::from(days).saturating_mul(DAY_MS);
    let keep = Retention {
        raw_events_ms: days(config.retention.raw_events),
        delivered_events_ms: days(config.retention.delivered_events),
        dedup_keys_ms: days(config.retention.dedup_keys),
    };
    tasks.spawn(upkeep::reconciler(Arc::clone(gateway), stop.clone()));
    tasks.spawn(upkeep::scheduler(Arc::clone(gateway), stop.clone()));
    tasks.spawn(upkeep::expirer(Arc::clone(gateway), stop.clone()));
    tasks.spawn(upkeep::prober(Arc::clone(gateway), stop.clone()));
    tasks.spawn(upkeep::pruner(Arc::clone(gateway), keep, stop.clone()));
    let stop = stop.clone();
    tasks.spawn(async move {
        while !stop.is_cancelled() {
            metrics.upkeep();
            tokio::select! {
                () = tokio::time::sleep(METRICS_UPKEEP) => {}
                () = stop.cancelled() => {}
            }
        }
    });
}

/// The emulators of every configured channel whose API root is the sandbox's.
fn accounts(config: &Config) -> anyhow::Result<Vec<Account>> {
    let mut accounts = Vec::new();
    for channel in &config.channels {
        let here = config.sandbox.api_base(&channel.id);
        if channel.api_base.as_deref().map(|b| b.trim_end_matches('/')) != Some(here.as_str()) {
            continue;
        }
        let common = channel.common(&config.server.public_url);
        let emulator = (channel.kind.emulator)(&common, channel.settings.clone())
            .map_err(|e| anyhow::anyhow!("channels.{}: {e}", channel.id))?;
        accounts.push(Account {
            id: channel.id.clone(),
            kind: channel.kind.name,
            emulator,
        });
    }
    Ok(accounts)
}

fn start_sandbox(config: &Config) -> anyhow::Result<Option<Sandbox>> {
    if !config.sandbox_enabled() {
        return Ok(None);
    }
    let listener = sandbox::Listener::bind(config.sandbox.listen).map_err(|e| {
        ConfigError::new("sandbox.listen", e.to_string(), "an address that is free")
    })?;
    let hooks = HookTarget::Origin(local_origin(config));
    let sandbox = listener.serve(accounts(config)?, hooks, sandbox::Options::default())?;
    Ok(Some(sandbox))
}

/// Where the gateway itself is reached on this machine: the public URL may lead through a proxy.
fn local_origin(config: &Config) -> String {
    let listen = config.server.listen;
    let host = if listen.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        listen.ip().to_string()
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    format!("http://{host}:{}", listen.port())
}

/// Looks whether what the configuration names can be used; `offline` asks no platform.
///
/// # Errors
/// When the looking itself fails.
pub async fn check(config: Config, offline: bool) -> anyhow::Result<Vec<Finding>> {
    let config = config.with_sandbox();
    let path = sqlite_path(&config)?;
    let store = match Store::open(&path, Vec::new(), config.server.public_url.as_str()).await {
        Ok(store) => store.ping().await.map(|()| "opens and answers".to_owned()),
        // The running service has it: then it is open, and the service says how it is.
        Err(StoreError::Locked(_)) => Ok("is open in another process".to_owned()),
        Err(error) => Err(error),
    };
    let mut findings = vec![finding("store", store.map_err(|e| e.to_string()))];
    findings.push(finding("queue", Ok("lives inside the service".to_owned())));
    let transport = HttpTransport::new(config.media.allow_private_hosts.clone())?;
    for channel in &config.channels {
        let subject = format!("channel {}", channel.id);
        let built = channel.build(&config.server.public_url);
        let found = match built {
            Err(error) => Err(error.to_string()),
            Ok(_) if offline => Ok("is configured".to_owned()),
            Ok(adapter) => adapter
                .probe(&Ctx::new(&transport, crate::store::now()))
                .await
                .map(|health| format!("works as {}", health.account))
                .map_err(|error| error.to_string()),
        };
        findings.push(finding(&subject, found));
    }
    Ok(findings)
}

fn finding(subject: &str, result: Result<String, String>) -> Finding {
    let (ok, detail) = match result {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    Finding {
        ok,
        subject: subject.to_owned(),
        detail,
    }
}

/// Brings the store to the current schema and says what was done.
///
/// # Errors
/// When the store cannot be opened or changed.
pub async fn migrate(config: &Config) -> anyhow::Result<String> {
    let path = sqlite_path(config)?;
    Store::open(&path, Vec::new(), config.server.public_url.as_str()).await?;
    let version = crate::store::migrate::VERSION;
    Ok(format!("{}: schema version {version}", path.display()))
}

/// Runs the platform emulators alone until they are told to stop.
///
/// # Errors
/// When they cannot listen.
pub async fn sandbox(config: Config) -> anyhow::Result<()> {
    let mut config = config.with_sandbox();
    config.sandbox.enabled = Some(true);
    let sandbox = start_sandbox(&config)?.context("there is nothing to serve")?;
    let handle = sandbox.handle();
    tracing::info!(listen = %config.sandbox.listen, "the emulators listen");
    let serving = tokio::spawn(sandbox.run());
    Signals::new()?.wait().await;
    handle.stop().await;
    serving.await.context("the sandbox broke off")??;
    Ok(())
}
