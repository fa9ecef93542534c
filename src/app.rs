//! The composition root: opens store and queue, builds channels, starts the roles, drains.

mod build;
mod check;
mod emulators;

pub use check::{Finding, check};
pub use emulators::sandbox;

use crate::config::{Config, ConfigError, Role, StoreUrl};
use crate::events::deliver::EventWork;
use crate::gateway::Gateway;
use crate::http::{Http, Serves};
use crate::inbound::spool::Spool;
use crate::media::fetch::MediaWork;
use crate::outbound::lanes::{Runner, Work};
use crate::outbound::worker::ChannelWork;
use crate::queue::LaneId;
use crate::sandbox::{Sandbox, SandboxHandle};
use crate::store::StoreError;
use crate::store::postgres::Presence;
use crate::store::upkeep::Retention;
use crate::telemetry::Metrics;
use crate::webapi::dispatch::Api;
use crate::{inbound, mirror, piping, reconcile, upkeep};
use anyhow::Context;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Events delivered at once to one receiver: enough for a chat backend to be busy, few enough that
/// it is not flooded after an outage.
const EVENTS_IN_FLIGHT: usize = 16;
/// Attachments fetched at once from one platform.
const MEDIA_IN_FLIGHT: usize = 4;
/// Histogram samples are moved into their buckets this often, asked for or not.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// A process that began without its store asks for it this often.
const ARRIVE_EVERY: Duration = Duration::from_secs(1);
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

/// Runs the service until it is told to stop.
///
/// # Errors
/// When it cannot start, or fails while running.
pub async fn serve(
    config: Config,
    options: ServeOptions,
    ready: impl FnOnce(&Ready),
) -> anyhow::Result<()> {
    // First of all, so that a signal during the start ends in a drain too.
    let mut signals = Signals::new()?;
    let config = config.with_sandbox();
    let metrics = Metrics::install()?;
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let works = |role| options.roles.contains(&role);
    // Whoever takes webhooks takes them without a store, too.
    let gateway = build::open(&config, works(Role::Api), stop.clone()).await?;
    let (tokens, generated) = build::tokens(&config)?;
    let sandbox = emulators::start_sandbox(&config)?;
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
    let serves = if works(Role::Api) {
        Serves::Everything
    } else {
        Serves::Health
    };
    // Listening before anything is sent: a start that fails for a taken port must not leave parts in
    // doubt. Who calls meanwhile waits to be accepted.
    let http = Http {
        api: Arc::new(Api {
            gateway: Arc::clone(&gateway),
            tokens,
            sms_template: config.api.sms_template.clone(),
        }),
        gateway: Arc::clone(&gateway),
        metrics: metrics.clone(),
        serves,
    };
    let server = http.bind(config.server.listen).map_err(|e| {
        let found = format!("{} ({e})", config.server.listen);
        ConfigError::new("server.listen", found, "an address that is free")
    })?;
    if works(Role::Api) {
        open_spool(&gateway, &config)?;
        tasks.spawn(inbound::replay(Arc::clone(&gateway), stop.clone()));
    }
    tasks.spawn(upkeep::listener(Arc::clone(&gateway), stop.clone()));
    let work = StoreWork {
        gateway: Arc::clone(&gateway),
        config: config.clone(),
        options,
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let (fail, mut failed) = tokio::sync::mpsc::channel(1);
    if gateway.store.is_open() {
        work.begin().await?;
    } else {
        let fail = fail.clone();
        tasks.spawn(async move {
            if let Err(error) = work.begin_later().await {
                // Nobody listens any more when the process ends for another reason.
                fail.send(error).await.ok();
            }
        });
    }
    tasks.spawn(keep_metrics(metrics, stop.clone()));
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
    let failed = tokio::select! {
        () = signals.wait() => None,
        // Not before `fail` is dropped, and that is below.
        failed = failed.recv() => failed,
    };
    drop(fail);
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
        () = signals.wait() => tracing::warn!("a second signal: ending at once"),
    }
    serving.abort();
    failed.map_or(Ok(()), Err)
}

/// What a process does by its roles as soon as its store is there.
struct StoreWork {
    gateway: Arc<Gateway>,
    config: Config,
    options: ServeOptions,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl StoreWork {
    async fn begin(&self) -> anyhow::Result<()> {
        let Self {
            gateway,
            config,
            options,
            tasks,
            stop,
        } = self;
        build::take_over(config, &gateway.store).await?;
        if options.roles.contains(&Role::Worker) {
            upkeep::match_pauses(gateway).await?;
            let due = reconcile::reconcile(gateway).await?;
            if due > 0 {
                tracing::info!(due, "waiting work was found in the store");
            }
            start_lanes(gateway, &options.channels, tasks, stop);
            start_upkeep(gateway, config, tasks, stop);
            if gateway
                .channels
                .values()
                .any(|c| c.channel.mirror().is_some())
            {
                tasks.spawn(mirror::pump(Arc::clone(gateway), stop.clone()));
            }
        }
        if options.roles.contains(&Role::Piping) {
            piping::start(gateway, &options.channels, tasks, stop);
        }
        Ok(())
    }

    /// The same in a process that began without its store.
    async fn begin_later(&self) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ARRIVE_EVERY) => {}
                () = self.stop.cancelled() => return Ok(()),
            }
            let begun = match self.gateway.store.arrive().await {
                Ok(()) => self.begin().await,
                Err(error) => Err(error.into()),
            };
            match begun {
                Err(error) if may_pass(&error) => tracing::debug!(%error, "still no store"),
                Ok(()) => {
                    tracing::info!("the store is there");
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<StoreError>()
        .is_some_and(StoreError::may_pass)
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
    tasks.spawn(upkeep::echoer(Arc::clone(gateway), stop.clone()));
    tasks.spawn(upkeep::prober(Arc::clone(gateway), stop.clone()));
    tasks.spawn(Arc::clone(&gateway.mailer).sweep(stop.clone()));
    tasks.spawn(upkeep::pruner(Arc::clone(gateway), keep, stop.clone()));
}

async fn keep_metrics(metrics: Metrics, stop: CancellationToken) {
    while !stop.is_cancelled() {
        metrics.upkeep();
        tokio::select! {
            () = tokio::time::sleep(METRICS_UPKEEP) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Opens the spool where there is one: with the store in another place.
fn open_spool(gateway: &Gateway, config: &Config) -> anyhow::Result<()> {
    if !matches!(config.store.url, StoreUrl::Postgres(_)) {
        return Ok(());
    }
    let path = &config.spool.path;
    let (spool, repair) = Spool::open(path, config.spool.max_bytes).map_err(|e| {
        let allowed = "a folder of this process's own that can be written";
        ConfigError::new("spool.path", e.to_string(), allowed)
    })?;
    if repair.torn_bytes > 0 {
        // A crash in the middle of a write; nobody was told that it was kept.
        tracing::warn!(
            bytes = repair.torn_bytes,
            "the spool's torn end was cut off"
        );
    }
    if repair.damaged_bytes > 0 {
        let bytes = repair.damaged_bytes;
        tracing::error!(bytes, path = %path.display(), "the spool is damaged: what is whole is replayed, and the damaged files are kept");
    }
    if repair.records > 0 {
        let (records, again) = (repair.records, repair.again);
        tracing::info!(records, again, "webhooks wait in the spool");
    }
    gateway.spool.get_or_init(|| spool);
    Ok(())
}

/// Brings the store to the current schema and says what was done.
///
/// # Errors
/// When the store cannot be opened or changed.
pub async fn migrate(config: &Config) -> anyhow::Result<String> {
    build::open_store(config, Vec::new(), Presence::Visitor).await?;
    let version = crate::store::migrate::VERSION;
    let store = match &config.store.url {
        StoreUrl::Sqlite(path) => path.display().to_string(),
        url @ StoreUrl::Postgres(_) => format!("{url:?}"),
    };
    Ok(format!("{store}: schema version {version}"))
}
