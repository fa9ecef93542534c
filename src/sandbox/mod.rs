//! # The sandbox: serves the channels' emulators over HTTP
//!
//! Each account is an emulated platform account ([`Emulator`]) under a path of its own. A channel
//! whose `api_base` is `http://LISTEN/ACCOUNT` talks to it as to the platform, and what the platform
//! would post to the gateway (events, statuses) is posted to the gateway.
//!
//! | method and path | for |
//! |---|---|
//! | any `/{account}/…` | the emulated platform |
//! | `GET /` | a page that shows the emulated phone and plays its customer |
//! | `GET /sandbox/accounts` | `[{"id":"…","kind":"…","hooks_waiting":0}]` |
//! | `POST /sandbox/{account}/act` | the customer does something: `{"do":"say","text":"hi"}`. Answers when its webhooks are posted: `{"ok":true,"posted":[{"status":200,"body":"…"}]}`; after `?wait=` seconds (60) with 202 and `pending` |
//! | `GET /sandbox/{account}/phone` | what stands on the phones, oldest first |
//! | `GET /sandbox/{account}/requests` | the last requests with decoded bodies; `?after=SEQ`, `?clear=1` |
//! | `POST /sandbox/{account}/reset` | forgets the conversations and the webhooks that still wait |
//! | `POST`, `GET`, `DELETE /sandbox/{account}/faults` | adds, lists, clears faults (`?id=` clears one): rate_limit, error, hang, reset, delay |
//!
//! What fails answers `{"ok":false,"error":"…"}`.
//!
//! ## What holds
//!
//! - Webhooks of an account are posted one after the other, in the order in which they arose (those
//!   that ask for a delay, when it is over). One that the gateway does not take is repeated like a
//!   platform would, and those behind it wait.
//! - The log has the requests in the order in which the emulator saw them.
//! - Nothing is kept on disk and nothing grows without end.
//!
//! It is for development: whoever reaches its port can read everything in it. It listens only where
//! it is told to, and refuses what web pages of other sites ask for.

mod convert;
mod desk;
mod emulate;
mod faults;
mod hooks;
mod log;
mod page;
mod routes;
#[cfg(test)]
mod tests;

pub use hooks::HookTarget;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpServer, web};
use desk::{Desk, Site};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::kit::emulator::Emulator;
use tokio::task::JoinSet;

/// One emulated account.
pub struct Account {
    /// The channel's id; also the first segment of the account's path.
    pub id: String,
    /// The channel's kind, for people.
    pub kind: &'static str,
    /// The platform.
    pub emulator: Box<dyn Emulator>,
}

/// What can be chosen about a sandbox.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether requests are kept for `/sandbox/{account}/requests`. Off for benchmarks.
    pub log_requests: bool,
    /// The root of the URLs that the emulators see, without a slash at the end: what `api_base`
    /// begins with where that is not `http://LISTEN` (another host name, a proxy). Platforms that
    /// sign URLs need it to be exact.
    pub base_url: Option<String>,
    /// How long the first repetition of a webhook waits; each further one waits twice as long.
    pub first_retry: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_requests: true,
            base_url: None,
            first_retry: hooks::FIRST_RETRY,
        }
    }
}

/// A sandbox that cannot be started or fell over.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address cannot be had.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// The address asked for.
        listen: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// An account cannot be served under its id.
    #[error("account {id:?}: {reason}")]
    Account {
        /// The id.
        id: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The client that posts webhooks cannot be built.
    #[error("no client for webhooks: {0}")]
    Client(String),
    /// The server fell over while running.
    #[error("the sandbox's server failed: {0}")]
    Serve(#[source] std::io::Error),
}

/// Workers of the server: emulators are quick, and the gateway beside it needs the other cores.
const WORKERS_MAX: usize = 4;

/// Connections in wait for `accept`: a benchmark opens hundreds at once.
const BACKLOG: u32 = 1024;

/// How long idle connections stay open: longer than the 90 s for which reqwest keeps them, so that
/// the gateway never writes into one that is just being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// How long a graceful stop waits for requests that are being answered (a hanging one never is).
const SHUTDOWN_SECONDS: u64 = 2;

/// The segment that the sandbox's own routes begin with; no account can have it as its id.
const OWN_SEGMENT: &str = "sandbox";

/// An address that is listened on, before anything is served: with port 0 the accounts can be built
/// once the address is known.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// Starts to listen. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(listen: SocketAddr) -> Result<Self, SandboxError> {
        let open = || {
            let socket = match listen {
                SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
                SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
            };
            socket.set_reuseaddr(true)?;
            socket.bind(listen)?;
            let socket = socket.listen(BACKLOG)?.into_std()?;
            let addr = socket.local_addr()?;
            Ok(Self { socket, addr })
        };
        open().map_err(|source| SandboxError::Listen { listen, source })
    }

    /// The address, with the port that was given for port 0.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The root under which accounts are reached: an account's `api_base` is this, a slash, its id.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Serves these accounts here once [`Sandbox::run`] is polled. Must be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// When an id cannot be served, or no client for webhooks can be built.
    pub fn serve(
        self,
        accounts: Vec<Account>,
        hooks: HookTarget,
        options: Options,
    ) -> Result<Sandbox, SandboxError> {
        check_ids(&accounts)?;
        let addr = self.addr;
        let poster = Arc::new(hooks::Poster::new(hooks, options.first_retry)?);
        let base_url = options
            .base_url
            .map_or_else(|| self.base_url(), |u| u.trim_end_matches('/').to_owned());
        let mut posting = JoinSet::new();
        let desks = accounts
            .into_iter()
            .map(|account| Arc::new(Desk::new(account, options.log_requests)))
            .inspect(|desk| {
                posting.spawn(hooks::work(
                    desk.id.clone(),
                    Arc::clone(&desk.queue),
                    Arc::clone(&poster),
                ));
            })
            .collect();
        let site = web::Data::new(Site::new(base_url, desks));
        let workers =
            std::thread::available_parallelism().map_or(1, |cores| cores.get().min(WORKERS_MAX));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(site.clone())
                .configure(routes::configure)
        })
        .workers(workers)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(self.socket)
        .map_err(|source| SandboxError::Listen {
            listen: addr,
            source,
        })?
        .run();
        Ok(Sandbox {
            addr,
            server,
            posting,
        })
    }
}

/// Ids go into paths and must be told apart from each other and from our own routes.
fn check_ids(accounts: &[Account]) -> Result<(), SandboxError> {
    let mut seen = HashSet::new();
    for Account { id, .. } in accounts {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let reason = if id.is_empty() || !id.chars().all(plain) {
            "an id is made of a-z, 0-9 and -"
        } else if id == OWN_SEGMENT {
            "this id is taken by the sandbox itself"
        } else if !seen.insert(id.as_str()) {
            "two accounts have this id"
        } else {
            continue;
        };
        return Err(SandboxError::Account {
            id: id.clone(),
            reason,
        });
    }
    Ok(())
}

/// Listens on an address and serves these accounts there, with the default [`Options`].
///
/// # Errors
/// When the address cannot be had, an id cannot be served, or no client for webhooks can be built.
pub async fn bind(
    listen: SocketAddr,
    accounts: Vec<Account>,
    hooks: HookTarget,
) -> Result<Sandbox, SandboxError> {
    Listener::bind(listen)?.serve(accounts, hooks, Options::default())
}

/// A bound sandbox. Nothing is answered before [`run`](Self::run) is polled.
#[must_use = "a sandbox answers nothing unless it is run"]
pub struct Sandbox {
    addr: SocketAddr,
    server: Server,
    /// One task per account; they end with the sandbox.
    posting: JoinSet<()>,
}

impl Sandbox {
    /// The address it listens on.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What stops it, from anywhere.
    pub fn handle(&self) -> SandboxHandle {
        SandboxHandle(self.server.handle())
    }

    /// Serves until it is stopped. Webhooks that still wait then are forgotten, as is everything
    /// else.
    ///
    /// # Errors
    /// When the server falls over.
    ///
    /// # Cancel safety
    /// Dropping it closes the address and ends everything at once.
    pub async fn run(self) -> Result<(), SandboxError> {
        let Self {
            server, posting, ..
        } = self;
        let ended = server.await.map_err(SandboxError::Serve);
        drop(posting);
        ended
    }
}

/// Stops a sandbox that runs.
#[derive(Clone)]
pub struct SandboxHandle(ServerHandle);

impl SandboxHandle {
    /// Takes no new requests, waits two seconds at most for those that are being answered, and lets
    /// [`Sandbox::run`] return.
    pub async fn stop(&self) {
        self.0.stop(true).await;
    }
}
