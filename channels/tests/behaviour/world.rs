//! The world as the laws give it to a channel: transports that record, answer and never wait.

use super::fixture::{NOW, Subject};
use bytes::Bytes;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use switchboard_channels::kit::http::{
    Auth, Body, Ctx, Headers, Inbound, Reply, Request, Response, Transport, TransportError, Via,
};
use switchboard_channels::kit::secret::Secret;
use switchboard_channels::kit::tokens::{MemoryTokens, Refresh, Token, Tokens};
use switchboard_channels::model::{
    Capabilities, Health, Media, MediaRef, MessageId, Outgoing, Parsed, Part, Receipt, Recipient,
};
use switchboard_channels::{Channel, Malformed, Refused, Rejected, SendError, Verified};

/// What every public link answers.
pub const LINKED: &[u8] = b"the content";

/// A channel that has made so many requests without being looked at will never stop.
const CALLS_MAX: usize = 2000;

/// How a [`Fake`] answers.
type Answer<'a> = Box<dyn FnMut(&Request) -> Response + Send + 'a>;

/// A transport that records what it is asked and answers at once.
pub struct Fake<'a> {
    answer: Mutex<Answer<'a>>,
    calls: Mutex<Vec<Request>>,
    fetched: Mutex<Vec<String>>,
    tokens: Kept,
}

/// The shared access token that some other worker has fetched already, so that an answer in a
/// fixture is one to the send and not one to the call for a token.
pub const KEPT_TOKEN: &str = "kept-access-token";

/// Shared tokens that are there from the start, and can be refreshed.
#[derive(Default)]
struct Kept(MemoryTokens);

#[async_trait::async_trait]
impl Tokens for Kept {
    async fn get(&self, name: &str) -> Option<Token> {
        match self.0.get(name).await {
            Some(token) => Some(token),
            // What a channel remembers of an upload is no access token, and is not there at first.
            None if name.starts_with("upload:") => None,
            None => Some(
                self.keep(name, Secret::new(KEPT_TOKEN), Duration::MAX)
                    .await,
            ),
        }
    }

    async fn refresh(&self, name: &str, failed: Option<i64>) -> Refresh {
        self.0.refresh(name, failed).await
    }

    async fn keep(&self, name: &str, value: Secret, lives: Duration) -> Token {
        self.0.keep(name, value, lives).await
    }

    async fn give_up(&self, name: &str) {
        self.0.give_up(name).await;
    }
}

impl<'a> Fake<'a> {
    /// Answers as `answer` says.
    pub fn new(answer: impl FnMut(&Request) -> Response + Send + 'a) -> Self {
        Self {
            answer: Mutex::new(Box::new(answer)),
            calls: Mutex::default(),
            fetched: Mutex::default(),
            tokens: Kept::default(),
        }
    }

    /// Answers every request alike.
    pub fn always(response: Response) -> Self {
        Self::new(move |_| response.clone())
    }

    /// The requests since the last time.
    pub fn take_calls(&self) -> Vec<Request> {
        std::mem::take(&mut *lock(&self.calls))
    }

    /// The public links that were fetched since the last time.
    pub fn take_fetched(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.fetched))
    }

    /// The world with this transport in it.
    pub fn ctx(&self) -> Ctx<'_> {
        // Differs at every call, as the service's does: some platforms refuse a repeated nonce.
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let nonce = CALLS.fetch_add(1, Ordering::Relaxed);
        Ctx {
            nonce: format!("{nonce:x}"),
            tokens: &self.tokens,
            ..Ctx::new(self, NOW)
        }
    }
}

#[async_trait::async_trait]
impl Transport for Fake<'_> {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let response = (lock(&self.answer))(&request);
        let mut calls = lock(&self.calls);
        calls.push(request);
        assert!(calls.len() < CALLS_MAX, "the channel asks and asks");
        Ok(response)
    }

    async fn fetch_public(&self, url: &str, _max: usize) -> Result<Media, TransportError> {
        lock(&self.fetched).push(url.to_owned());
        Ok(Media {
            bytes: Bytes::from_static(LINKED),
            mime: None,
            name: None,
        })
    }
}

/// The lock, also after a panic in another trial's closure: the data is still what was recorded.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs an adapter's future. The fakes answer at once, so that a future which still waits does so
/// for something that no adapter may touch: a timer, a socket, a task.
pub fn run<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err("the channel waits for something that is not its transport".into()),
    }
}

/// Runs something that must not panic.
pub fn calm<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("panics: {}", text.unwrap_or("without words"))
    })
}

/// Delivers a part and gives back the outcome.
pub fn deliver(
    channel: &dyn Channel,
    part: &Part,
    fake: &Fake<'_>,
) -> Result<Result<Receipt, SendError>, String> {
    run(channel.deliver(part, &fake.ctx()))
}

/// The one part of a plain text to the address of `settings.json`.
pub fn text_part(subject: &Subject, channel: &dyn Channel) -> Result<Part, String> {
    let to = subject.setup()?.to;
    let to = channel
        .recipient(&to)
        .map_err(|e| format!("`to` of settings.json is refused: {e}"))?;
    let mut message = Outgoing::new(MessageId(42), to.address);
    message.text = "hello".to_owned();
    let parts = channel
        .plan(&message)
        .map_err(|e| format!("a plain text is refused: {e}"))?;
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next()) {
        (Some(part), None) => Ok(part),
        _ => Err("a short text is not exactly one part".into()),
    }
}

/// A channel that believes every signature: the only way to show `parse` a body that nobody can
/// sign, since only [`Verified::check`] makes a [`Verified`].
pub struct Trusting<'a>(pub &'a dyn Channel);

#[async_trait::async_trait]
impl Channel for Trusting<'_> {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    fn verify(&self, _: &Inbound) -> Result<(), Rejected> {
        Ok(())
    }

    fn handshake(&self, request: &Inbound) -> Option<Reply> {
        self.0.handshake(request)
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Parsed, Malformed> {
        self.0.parse(request)
    }

    fn recipient(&self, address: &str) -> Result<Recipient, Refused> {
        self.0.recipient(address)
    }

    fn plan(&self, message: &Outgoing) -> Result<Vec<Part>, Refused> {
        self.0.plan(message)
    }

    async fn deliver(&self, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
        self.0.deliver(part, ctx).await
    }

    async fn fetch_media(&self, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
        self.0.fetch_media(media, ctx).await
    }

    async fn probe(&self, ctx: &Ctx<'_>) -> Result<Health, SendError> {
        self.0.probe(ctx).await
    }
}

/// Parses a request whatever its signature.
pub fn parse_unverified(channel: &dyn Channel, request: &Inbound) -> Result<Parsed, Malformed> {
    match Verified::check(&Trusting(channel), request) {
        Ok(verified) => channel.parse(&verified),
        Err(_) => unreachable!("a trusting channel believes everything"),
    }
}

/// A webhook of an emulator as it arrives: what the service's HTTP side makes of it.
pub fn arrived(hook: &Request) -> Result<Inbound, String> {
    let mut headers = Headers::default();
    for (name, value) in hook.headers.iter() {
        headers.push(name, value);
    }
    if !matches!(hook.auth, Auth::None) {
        return Err("webhooks are signed, not authorised".into());
    }
    let (kind, body) = match &hook.body {
        Body::Empty => (None, Vec::new()),
        Body::Json(text) => (Some("application/json"), text.clone().into_bytes()),
        Body::Form(pairs) => (
            Some("application/x-www-form-urlencoded"),
            form_urlencoded::Serializer::new(String::new())
                .extend_pairs(pairs)
                .finish()
                .into_bytes(),
        ),
        Body::Raw(bytes) => (None, bytes.to_vec()),
        Body::Multipart(_) => return Err("no platform posts multipart webhooks".into()),
    };
    if let Some(kind) = kind
        && headers.get("content-type").is_none()
    {
        headers.push("content-type", kind);
    }
    let query = hook.url.split_once('?').map_or("", |(_, query)| query);
    Ok(Inbound {
        via: Via::Web,
        method: hook.method,
        url: hook.url.clone(),
        query: query.to_owned(),
        headers,
        body: body.into(),
        received_at: NOW,
    })
}
