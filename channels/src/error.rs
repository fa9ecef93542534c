//! What can go wrong at a platform, sorted by what is to be done about it.
//!
//! A [`Class`] alone decides what happens after a failed delivery; the platform's own words ride
//! along for the operator and decide nothing.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The platform's own code and text, verbatim, for the person who has to understand it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// The platform's error code, or the HTTP status where it gave none.
    pub code: String,
    /// The platform's text, cut at [`Words::MAX_CHARS`].
    pub message: String,
}

impl Words {
    /// A platform's explanation is a sentence; anything longer is an error page, of which the
    /// beginning is enough.
    pub const MAX_CHARS: usize = 500;

    /// Words with the text cut at [`Words::MAX_CHARS`].
    pub fn new(code: impl Into<String>, message: impl AsRef<str>) -> Self {
        let message = message
            .as_ref()
            .trim()
            .chars()
            .take(Self::MAX_CHARS)
            .collect();
        Self {
            code: code.into(),
            message,
        }
    }
}

/// What a limit of the platform applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// Only the recipient of this message.
    Recipient,
    /// The whole account, hence the whole lane.
    Lane,
}

/// What a wrong set-up applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetupScope {
    /// Every message of this account: suspended, unpaid, permission missing.
    Account,
    /// This message alone: unknown template, wrong page.
    Message,
}

/// What a failure means. The only thing that decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Not done, and worth another try: 5xx that says so, connection refused, "try again".
    Retry,
    /// The platform said slow down. Not an attempt.
    Limited {
        /// How long the platform said to wait; `None` when it did not say.
        after: Option<Duration>,
        /// Whom the limit concerns.
        scope: LimitScope,
    },
    /// The request went out and no answer was read: it may have been done.
    Unsure,
    /// Token expired, revoked or wrong.
    Credentials,
    /// Blocked, unknown or unreachable recipient.
    Recipient,
    /// Outside the platform's reply window.
    Window,
    /// The platform refuses what is in the message.
    Content,
    /// The account or the message refers to something that is not set up.
    Setup {
        /// Whether every message or only this one is hit.
        scope: SetupScope,
    },
}

impl Class {
    /// The name under which the class is stored, counted and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Limited { .. } => "limited",
            Self::Unsure => "unsure",
            Self::Credentials => "credentials",
            Self::Recipient => "recipient",
            Self::Window => "window",
            Self::Content => "content",
            Self::Setup { .. } => "setup",
        }
    }
}

/// A delivery, fetch or probe that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", class.name(), .words.as_ref().map_or("no words from the platform", |w| w.message.as_str()))]
pub struct SendError {
    /// Decides what happens next.
    pub class: Class,
    /// What the platform said, if it said anything.
    pub words: Option<Words>,
    /// Set when the platform told us that the recipient does not want to hear from us: the
    /// service records a `User` event beside the failure.
    pub opted_out: bool,
}

impl SendError {
    /// An error of this class with the platform's words.
    pub fn new(class: Class, code: impl Into<String>, message: impl AsRef<str>) -> Self {
        Self {
            class,
            words: Some(Words::new(code, message)),
            opted_out: false,
        }
    }

    /// Marks that the platform reported the recipient as having blocked or left us.
    #[must_use]
    pub fn with_opt_out(mut self) -> Self {
        self.opted_out = true;
        self
    }
}

/// Why a request to a webhook was not believed. Carries nothing of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The signature, or the header that should hold it, is absent.
    #[error("the signature is missing")]
    Missing,
    /// The header is there but is not of the platform's form.
    #[error("the signature is malformed")]
    Malformed,
    /// The signature was made with another key or over other bytes.
    #[error("the signature does not match")]
    Mismatch,
}

/// A verified body that is no JSON, XML or form at all. Anything that can be read but is of an
/// unknown kind is an `Unknown` event instead, and acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body is not {expected}: {detail}")]
pub struct Malformed {
    /// What was expected: `JSON`, `a form`, `XML`.
    pub expected: &'static str,
    /// Where the reading stopped; never the content.
    pub detail: String,
}

/// A message that a platform cannot carry, found before anything was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{argument}: {reason}")]
pub struct Refused {
    /// The argument of the Web API that the platform cannot carry: `message`, `attachments`, `to`…
    pub argument: &'static str,
    /// Why, for a person.
    pub reason: String,
}

impl Refused {
    /// A refusal that names the argument and says why.
    pub fn new(argument: &'static str, reason: impl Into<String>) -> Self {
        Self {
            argument,
            reason: reason.into(),
        }
    }
}

/// A channel's settings that cannot be used, found while loading the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: found {found}; allowed: {allowed}")]
pub struct SettingsError {
    /// The key inside the channel's table, `""` for the table itself.
    pub key: String,
    /// What was found: a value that is no secret, or a word such as `nothing`.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

impl SettingsError {
    /// An error for `key`.
    pub fn new(
        key: impl Into<String>,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            found: found.into(),
            allowed: allowed.into(),
        }
    }
}
