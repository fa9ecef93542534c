//! Requests and answers of our own, in both directions, so that no framework crosses into this
//! crate; and the traits through which an adapter reaches the world.

use super::mail::{Kept, Mailer, NoMail};
use super::secret::Secret;
use super::tokens::{MemoryTokens, Tokens};
use crate::model::{Media, Millis};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::sync::LazyLock;

/// HTTP methods that platforms use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
    /// HEAD
    Head,
}

/// Headers by lower-case name, in order of arrival.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value under this name (any case).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// Adds a header.
    pub fn push(&mut self, name: impl AsRef<str>, value: impl Into<String>) {
        self.0
            .push((name.as_ref().to_ascii_lowercase(), value.into()));
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        self.push(name, value);
        self
    }

    /// All headers: lower-case name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }
}

impl fmt::Debug for Headers {
    /// Names only: values may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.0.iter().map(|(n, _)| n))
            .finish()
    }
}

/// How a request came to us. Mail carries no signature: its channel believes only what our own
/// mailbox loop brought, whoever else knows the webhook's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Over HTTP, from whoever knows the URL.
    Web,
    /// From our own mailbox loop: a mail fetched from the mailbox of the channel. Headers tell of the
    /// fetch ([`super::mail::headers`]), the body is the raw mail.
    Mailbox,
}

/// A request that came to a webhook, byte for byte.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// How it came. Only our own loops say anything but [`Via::Web`].
    pub via: Via,
    /// How it was asked.
    pub method: Method,
    /// The URL as the platform was told it: our configured public URL with the raw path and query
    /// of the request. Never built from what a stranger writes into `Host`.
    pub url: String,
    /// The raw query, without `?`.
    pub query: String,
    /// The headers.
    pub headers: Headers,
    /// The raw body.
    pub body: Bytes,
    /// When it arrived, by our clock.
    pub received_at: Millis,
}

impl Inbound {
    /// The first value of a query parameter, decoded.
    pub fn query_value(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.into_owned())
    }
}

/// What a webhook answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, where there is a body.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// An answer without a body.
    pub const fn empty(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            body: String::new(),
        }
    }

    /// An answer of plain text.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: Some("text/plain; charset=utf-8"),
            body: body.into(),
        }
    }

    /// An answer of XML.
    pub fn xml(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: Some("text/xml; charset=utf-8"),
            body: body.into(),
        }
    }

    /// An answer of JSON.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: Some("application/json"),
            body: body.into(),
        }
    }
}

/// One field of a multipart form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The field's name.
    pub name: String,
    /// The file name, for files.
    pub file_name: Option<String>,
    /// The MIME type, for files.
    pub mime: Option<String>,
    /// The content.
    pub bytes: Bytes,
}

/// The body of a request that we make (or that an emulator receives).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// None.
    Empty,
    /// JSON text.
    Json(String),
    /// `application/x-www-form-urlencoded`, in order.
    Form(Vec<(String, String)>),
    /// `multipart/form-data`, in order.
    Multipart(Vec<Field>),
    /// Anything else; the type is in the headers.
    Raw(Bytes),
}

/// How a request proves who we are.
#[derive(Debug, Clone)]
pub enum Auth {
    /// It does not, or its URL does.
    None,
    /// `Authorization: Bearer …`
    Bearer(Secret),
    /// `Authorization: Basic …`
    Basic {
        /// The user name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A header of the platform's own, or an `Authorization` of another scheme (OAuth 1.0a). Here
    /// and not among the headers, which may be shown.
    Header {
        /// The header's name.
        name: &'static str,
        /// Its value.
        value: Secret,
    },
}

/// A request to a platform.
#[derive(Clone)]
pub struct Request {
    /// How to ask.
    pub method: Method,
    /// The whole URL. May hold a secret (Telegram): `Debug` shows [`Request::shown_url`] only.
    pub url: String,
    /// The same URL with its secret replaced, for logs and errors; `None` when there is none in it.
    pub redacted_url: Option<String>,
    /// Headers beside type, length and authorization.
    pub headers: Headers,
    /// How the request proves who we are.
    pub auth: Auth,
    /// What is sent.
    pub body: Body,
    /// The most that the answer's body may have, in bytes.
    pub max_response_bytes: usize,
    /// How long the whole exchange may take, in milliseconds.
    pub timeout_ms: u64,
}

impl Request {
    /// Answers of platform APIs are a few KB; a megabyte is an error page gone wild.
    pub const MAX_RESPONSE_BYTES: usize = 1024 * 1024;
    /// Platforms answer within a few seconds; half a minute is given up on.
    pub const TIMEOUT_MS: u64 = 30_000;
    /// Requests during which the platform itself fetches a file take longer.
    pub const MEDIA_TIMEOUT_MS: u64 = 90_000;

    fn new(method: Method, url: String, body: Body) -> Self {
        Self {
            method,
            url,
            redacted_url: None,
            headers: Headers::default(),
            auth: Auth::None,
            body,
            max_response_bytes: Self::MAX_RESPONSE_BYTES,
            timeout_ms: Self::TIMEOUT_MS,
        }
    }

    /// GET
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url.into(), Body::Empty)
    }

    /// POST of JSON.
    pub fn post_json(url: impl Into<String>, json: String) -> Self {
        Self::new(Method::Post, url.into(), Body::Json(json))
    }

    /// POST of a form.
    pub fn post_form(url: impl Into<String>, form: Vec<(String, String)>) -> Self {
        Self::new(Method::Post, url.into(), Body::Form(form))
    }

    /// POST of a multipart form.
    pub fn post_multipart(url: impl Into<String>, fields: Vec<Field>) -> Self {
        Self::new(Method::Post, url.into(), Body::Multipart(fields))
    }

    /// With this proof of who we are.
    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// With this header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// With a form of the URL that may be shown.
    #[must_use]
    pub fn with_redacted_url(mut self, url: impl Into<String>) -> Self {
        self.redacted_url = Some(url.into());
        self
    }

    /// With this time limit.
    #[must_use]
    pub fn with_timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = timeout_ms;
        self
    }

    /// The URL as it may be shown.
    pub fn shown_url(&self) -> &str {
        self.redacted_url.as_deref().unwrap_or(&self.url)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.shown_url())
            .finish_non_exhaustive()
    }
}

/// A platform's answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    /// The body, whole.
    pub body: Bytes,
}

impl Response {
    /// An answer of JSON.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Headers::default().with("content-type", "application/json"),
            body: Bytes::from(body.into()),
        }
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Headers::default(),
            body: Bytes::new(),
        }
    }

    /// With this header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Whether the status is 2xx.
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The body as text, with replacement characters where it is none.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nothing of the request reached the platform: name not resolved, connection refused.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The request may have reached the platform, but no answer was read.
    #[error("sent, but no answer was read: {0}")]
    NoAnswer(String),
    /// The answer is larger than `max_response_bytes`.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The guard refuses this address (private, link-local or not http).
    #[error("address refused: {0}")]
    Blocked(String),
}

/// Makes requests. The service has one over real connections; the tests have fakes.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Makes a request to a platform.
    ///
    /// # Errors
    /// When there is no answer; says whether the request may have arrived.
    async fn call(&self, request: Request) -> Result<Response, TransportError>;

    /// Fetches a link that a caller gave us, through the guard against private addresses.
    ///
    /// # Errors
    /// When the link is refused, too large or does not answer 200.
    async fn fetch_public(&self, url: &str, max_bytes: usize) -> Result<Media, TransportError>;
}

/// All that an adapter gets of the world while it delivers.
pub struct Ctx<'a> {
    /// Makes the requests.
    pub transport: &'a dyn Transport,
    /// The time now.
    pub now: Millis,
    /// The most bytes of an attachment.
    pub max_media_bytes: usize,
    /// Access tokens that are shared by all workers.
    pub tokens: &'a dyn Tokens,
    /// Differs at every call: for protocols that want a nonce.
    pub nonce: String,
    /// A platform's one-time right to answer for free, when the conversation has a fresh one. Taken:
    /// no other delivery gets it.
    pub reply_token: Option<String>,
    /// What the platform wants to see in place of the id when a message is answered: the fact
    /// `quote_token` of the message that `Part::reply_to` names, where it has one (LINE).
    pub quote_token: Option<String>,
    /// Until when the platform takes free text in this conversation.
    pub window_until: Option<Millis>,
    /// Hands mail over, for channels that speak SMTP.
    pub mailer: &'a dyn Mailer,
    /// What our own mailbox loop kept before its commit: raw mails, by key.
    pub kept: &'a dyn Kept,
}

/// Where tests and channels without shared tokens keep none.
static NO_TOKENS: LazyLock<MemoryTokens> = LazyLock::new(MemoryTokens::default);

impl<'a> Ctx<'a> {
    /// Attachments up to this size, when the configuration says nothing else (contract: 25 MiB).
    pub const MAX_MEDIA_BYTES: usize = 25 * 1024 * 1024;

    /// A world of this transport at this time, and nothing else.
    pub fn new(transport: &'a dyn Transport, now: Millis) -> Self {
        Self {
            transport,
            now,
            max_media_bytes: Self::MAX_MEDIA_BYTES,
            tokens: &*NO_TOKENS,
            nonce: format!("{:x}", now.0),
            reply_token: None,
            quote_token: None,
            window_until: None,
            mailer: &NoMail,
            kept: &NoMail,
        }
    }
}
