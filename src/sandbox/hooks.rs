//! Posts the emulated platforms' webhooks to the gateway: one queue and one task per account, so
//! that the order is kept and a slow account hurts no other.

use super::SandboxError;
use super::desk::locked;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use switchboard_channels::kit::emulator::Hook;
use switchboard_channels::kit::http::{Auth, Body, Method, Request};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

/// Where webhooks are posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookTarget {
    /// To the URL that the emulator was told.
    AsWritten,
    /// To this scheme, host and port instead (`http://127.0.0.1:8080`), with the path and query
    /// that the emulator was told: for gateways whose public URL cannot be reached from here.
    /// Signatures are over the URL that the emulator was told.
    Origin(String),
}

impl HookTarget {
    /// The URL to post to.
    pub(super) fn url(&self, told: &str) -> String {
        match self {
            Self::AsWritten => told.to_owned(),
            Self::Origin(origin) => {
                let rest = told.split_once("://").map_or(told, |(_, rest)| rest);
                let path = rest.find(['/', '?']).and_then(|at| rest.get(at..));
                format!("{}{}", origin.trim_end_matches('/'), path.unwrap_or("/"))
            }
        }
    }
}

/// Repetitions of a webhook that the gateway did not take.
const RETRIES: u32 = 10;

/// How long the first repetition waits; each further one waits twice as long (1, 2, 4 … 512 s).
pub(super) const FIRST_RETRY: Duration = Duration::from_secs(1);

/// How long the gateway may take: platforms give up between 5 and 20 seconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long after an answer the webhooks that follow from it are posted at the earliest, so that a
/// sender has read the answer before the status comes, as is usual with real platforms.
pub(super) const HOOK_LAG: Duration = Duration::from_millis(10);

/// Webhooks of an account that can wait; the gateway is gone for good when there are more, and what
/// comes then is dropped.
const WAITING_MAX: usize = 100_000;

/// How much is kept of what the gateway answers to a webhook.
const REPLY_BYTES_MAX: usize = 64 * 1024;

/// What became of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Posted {
    /// The gateway's status; `None` when it was never reached.
    pub(super) status: Option<u16>,
    /// What the gateway said.
    pub(super) body: String,
    /// Why it was not posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

impl Posted {
    fn failed(why: impl Into<String>) -> Self {
        Self {
            status: None,
            body: String::new(),
            error: Some(why.into()),
        }
    }

    /// A webhook that was dropped before it was posted.
    pub(super) fn dropped() -> Self {
        Self::failed("dropped: the account was reset, or too many webhooks wait")
    }
}

struct Job {
    request: Request,
    /// Whoever waits for the outcome.
    done: Option<oneshot::Sender<Posted>>,
}

#[derive(Default)]
struct Waiting {
    /// By due time, then by number.
    jobs: BTreeMap<(Instant, u64), Job>,
    next_number: u64,
    /// Whether one was taken out and is being posted.
    posting: bool,
    /// When the last webhook without a delay of its own is due: no later one may be due before it.
    last_prompt: Option<Instant>,
    /// Whether the queue is full and that was said.
    full: bool,
}

/// The webhooks of one account that are to be posted.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Wakes the one task that posts.
    wake: Notify,
    /// Counts the resets: a webhook that is being posted or repeated then is given up.
    resets: watch::Sender<u64>,
}

impl Queue {
    /// Queues webhooks, to be posted `lag` from now at the earliest.
    pub(super) fn push(&self, hooks: Vec<Hook>, lag: Duration) {
        if !hooks.is_empty() {
            let mut waiting = locked(&self.waiting);
            for hook in hooks {
                waiting.push(hook, lag, None);
            }
            drop(waiting);
            self.wake.notify_one();
        }
    }

    /// Queues webhooks and tells what becomes of each.
    pub(super) fn push_watched(
        &self,
        hooks: Vec<Hook>,
        lag: Duration,
    ) -> Vec<oneshot::Receiver<Posted>> {
        let mut waiting = locked(&self.waiting);
        let receivers = hooks
            .into_iter()
            .map(|hook| {
                let (sender, receiver) = oneshot::channel();
                waiting.push(hook, lag, Some(sender));
                receiver
            })
            .collect();
        drop(waiting);
        self.wake.notify_one();
        receivers
    }

    /// Webhooks that are not posted yet, the one that is just being posted included.
    pub(super) fn len(&self) -> usize {
        let waiting = locked(&self.waiting);
        waiting.jobs.len() + usize::from(waiting.posting)
    }

    /// Forgets them all, and the one that is being posted.
    pub(super) fn clear(&self) {
        let mut waiting = locked(&self.waiting);
        waiting.jobs.clear();
        // Under the lock: see `next`.
        self.resets.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// The next webhook, once it is due; the one before it is done with. For one task only: the
    /// wake-up goes to one.
    async fn next(&self) -> (Job, u64) {
        loop {
            let due = {
                let mut waiting = locked(&self.waiting);
                waiting.posting = false;
                match waiting.jobs.first_entry() {
                    Some(first) if first.key().0 <= Instant::now() => {
                        // Read under the lock that `clear` empties the queue under: a job taken
                        // out before a reset never carries the number of after it.
                        let job = first.remove();
                        waiting.posting = true;
                        return (job, *self.resets.borrow());
                    }
                    Some(first) => Some(first.key().0),
                    None => None,
                }
            };
            // A wake-up between the look and the wait is not lost: `notify_one` leaves a permit.
            match due {
                None => self.wake.notified().await,
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(due) => (),
                    () = self.wake.notified() => (),
                },
            }
        }
    }

    /// Returns when there was a reset since `seen`.
    async fn cleared_since(&self, seen: u64) {
        let mut resets = self.resets.subscribe();
        // It only fails when the sender is gone, which is in `self`.
        if resets.wait_for(|now| *now != seen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Waiting {
    fn push(&mut self, hook: Hook, lag: Duration, done: Option<oneshot::Sender<Posted>>) {
        if self.jobs.len() >= WAITING_MAX {
            if !self.full {
                self.full = true;
                tracing::warn!(waiting = WAITING_MAX, "webhooks are dropped: too many wait");
            }
            return;
        }
        self.full = false;
        let mut due = Instant::now() + lag + Duration::from_millis(hook.after_ms);
        if hook.after_ms == 0 {
            due = self.last_prompt.map_or(due, |last| last.max(due));
            self.last_prompt = Some(due);
        }
        let job = Job {
            request: hook.request,
            done,
        };
        self.jobs.insert((due, self.next_number), job);
        self.next_number += 1;
    }
}

/// Posts the webhooks of an account one after the other, for as long as it is polled.
pub(super) async fn work(
    account: String,
    queue: std::sync::Arc<Queue>,
    poster: std::sync::Arc<Poster>,
) {
    loop {
        let (job, seen) = queue.next().await;
        let posted = tokio::select! {
            posted = poster.post(&account, &job.request) => posted,
            () = queue.cleared_since(seen) => Posted::dropped(),
        };
        if let Some(done) = job.done {
            // Whoever asked may have gone.
            drop(done.send(posted));
        }
    }
}

/// Posts webhooks: one client for all accounts.
pub(super) struct Poster {
    client: reqwest::Client,
    target: HookTarget,
    first_retry: Duration,
}

impl Poster {
    pub(super) fn new(target: HookTarget, first_retry: Duration) -> Result<Self, SandboxError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // The client's builder would panic.
            return Err(SandboxError::Client(
                "no TLS provider is installed in this process".to_owned(),
            ));
        }
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|e| SandboxError::Client(e.to_string()))?;
        Ok(Self {
            client,
            target,
            first_retry,
        })
    }

    /// Posts a webhook, and again while the gateway cannot be reached or answers 5xx.
    async fn post(&self, account: &str, request: &Request) -> Posted {
        let mut wait = self.first_retry;
        let mut retries = 0;
        loop {
            let posted = match self.build(request) {
                Ok(built) => self.once(built).await,
                Err(error) => {
                    let error = error.without_url();
                    tracing::warn!(channel.id = account, %error, "a webhook cannot be posted");
                    return Posted::failed(error.to_string());
                }
            };
            match posted.status {
                Some(200..=299) => return posted,
                Some(status) if status < 500 => {
                    tracing::warn!(
                        channel.id = account,
                        status,
                        "the gateway refused a webhook"
                    );
                    return posted;
                }
                status => {
                    let error = posted.error.as_deref();
                    if retries == RETRIES {
                        tracing::warn!(channel.id = account, status, error, "gave a webhook up");
                        return posted;
                    }
                    retries += 1;
                    tracing::info!(
                        channel.id = account,
                        status,
                        error,
                        attempt.no = retries,
                        "the gateway did not take a webhook; it is repeated"
                    );
                }
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn once(&self, request: reqwest::Request) -> Posted {
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => return Posted::failed(error.without_url().to_string()),
        };
        let mut body = Vec::new();
        // Read to the end in any case, so that the connection can be used again.
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() < REPLY_BYTES_MAX => {
                    body.extend(chunk.iter().take(REPLY_BYTES_MAX - body.len()));
                }
                Ok(Some(_)) => (),
                Ok(None) => break,
                Err(error) => return Posted::failed(error.without_url().to_string()),
            }
        }
        Posted {
            status: Some(response.status().as_u16()),
            body: String::from_utf8_lossy(&body).into_owned(),
            error: None,
        }
    }

    fn build(&self, request: &Request) -> Result<reqwest::Request, reqwest::Error> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
            Method::Head => reqwest::Method::HEAD,
        };
        let mut builder = self.client.request(method, self.target.url(&request.url));
        for (name, value) in request.headers.iter() {
            builder = builder.header(name, value);
        }
        let typed = request.headers.get("content-type").is_some();
        let of_type = |builder: reqwest::RequestBuilder, mime: &'static str| {
            if typed {
                builder
            } else {
                builder.header("content-type", mime)
            }
        };
        builder = match &request.body {
            Body::Empty => builder,
            Body::Json(text) => of_type(builder, "application/json").body(text.clone()),
            Body::Form(pairs) => {
                let text = form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(pairs)
                    .finish();
                of_type(builder, "application/x-www-form-urlencoded").body(text)
            }
            Body::Multipart(fields) => builder.multipart(multipart(fields)?),
            Body::Raw(bytes) => builder.body(bytes.clone()),
        };
        builder = match &request.auth {
            Auth::None => builder,
            Auth::Bearer(token) => builder.bearer_auth(token.expose()),
            Auth::Basic { user, password } => builder.basic_auth(user, Some(password.expose())),
            Auth::Header { name, value } => builder.header(*name, value.expose()),
        };
        builder.build()
    }
}

fn multipart(
    fields: &[switchboard_channels::kit::http::Field],
) -> Result<reqwest::multipart::Form, reqwest::Error> {
    let mut form = reqwest::multipart::Form::new();
    for field in fields {
        let length = field.bytes.len() as u64;
        let mut part = reqwest::multipart::Part::stream_with_length(field.bytes.clone(), length);
        if let Some(file_name) = &field.file_name {
            part = part.file_name(file_name.clone());
        }
        if let Some(mime) = &field.mime {
            part = part.mime_str(mime)?;
        }
        form = form.part(field.name.clone(), part);
    }
    Ok(form)
}
