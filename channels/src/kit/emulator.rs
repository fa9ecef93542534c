//! The platforms' emulators: strict stand-ins that check what we send as the platform would and
//! play its customer. Pure: they get requests and actions, and give answers and webhooks; somebody
//! else listens and posts. A product feature (the sandbox) and the tests' double at once.

use super::http::{Auth, Request, Response};
use super::sign;
use crate::model::{Location, Millis};
use serde::{Deserialize, Serialize};

/// A webhook that the emulated platform wants to have posted to the gateway, signed and all.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The request, its URL being the channel's webhook URL.
    pub request: Request,
    /// How long after now to post it, in milliseconds.
    pub after_ms: u64,
}

impl Hook {
    /// To be posted at once.
    pub fn now(request: Request) -> Self {
        Self {
            request,
            after_ms: 0,
        }
    }
}

/// What an emulator makes of a request.
#[derive(Debug)]
pub struct Exchange {
    /// The platform's answer.
    pub response: Response,
    /// Webhooks that follow from it (statuses).
    pub hooks: Vec<Hook>,
}

impl From<Response> for Exchange {
    fn from(response: Response) -> Self {
        Self {
            response,
            hooks: Vec::new(),
        }
    }
}

/// What the emulated customer does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Writes something.
    Say {
        /// The customer: a telephone number, or a user id of the platform. Emulators have one by
        /// default.
        #[serde(default)]
        from: Option<String>,
        /// The customer's name.
        #[serde(default)]
        name: Option<String>,
        /// The text.
        #[serde(default)]
        text: String,
        /// A file: its link is what the emulated platform hands out.
        #[serde(default)]
        attachment: Option<ActionAttachment>,
        /// A place.
        #[serde(default)]
        location: Option<Location>,
        /// The platform id of the message that this answers.
        #[serde(default)]
        reply_to: Option<String>,
    },
    /// Presses a button or quick reply of a message: by payload or title.
    Press {
        /// The customer.
        #[serde(default)]
        from: Option<String>,
        /// Payload or title of the button; the last message that has it counts.
        button: String,
    },
    /// Reads everything that was sent to it.
    Read {
        /// The customer.
        #[serde(default)]
        from: Option<String>,
    },
    /// Puts a reaction on a message, or takes it off with an empty emoji.
    React {
        /// The customer.
        #[serde(default)]
        from: Option<String>,
        /// The platform id of the message; the last one when absent.
        #[serde(default)]
        message: Option<String>,
        /// The emoji.
        emoji: String,
    },
    /// Changes a message that the customer wrote.
    Edit {
        /// The customer.
        #[serde(default)]
        from: Option<String>,
        /// The platform id of the message; the customer's last one when absent.
        #[serde(default)]
        message: Option<String>,
        /// The new text.
        text: String,
    },
    /// Blocks us, or says STOP: sends to this customer fail from now on.
    Block {
        /// The customer.
        #[serde(default)]
        from: Option<String>,
    },
    /// Takes that back.
    Unblock {
        /// The customer.
        #[serde(default)]
        from: Option<String>,
    },
}

/// A file that the emulated customer sends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionAttachment {
    /// File name.
    pub name: String,
    /// MIME type.
    pub mime: String,
    /// The content as text; kept small, since it lives in memory.
    #[serde(default)]
    pub content: String,
}

/// An action that cannot be done: no such button, no such message, nothing of the kind on this
/// platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotAct(pub String);

/// One line on the emulated phone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhoneLine {
    /// The customer whose phone it is.
    pub customer: String,
    /// The customer's name.
    pub name: String,
    /// The platform id of the message.
    pub id: String,
    /// `true`: came from the gateway; `false`: the customer wrote it.
    pub from_gateway: bool,
    /// The text.
    pub text: String,
    /// Attachments, places, cards, in words or as links.
    pub extras: Vec<String>,
    /// Titles of the buttons on it.
    pub buttons: Vec<String>,
    /// Reactions on it.
    pub reactions: Vec<String>,
    /// When.
    pub at: Millis,
}

/// A strict emulator of one account of one platform.
pub trait Emulator: Send {
    /// Answers a request as the platform would. The URL's path is the platform's own
    /// (`/bot123:abc/sendMessage`); query and headers are as received.
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange;

    /// Lets the customer do something.
    ///
    /// # Errors
    /// When there is nothing to do it to, or the platform has nothing of the kind.
    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct>;

    /// What stands on the emulated phones, oldest first.
    fn phone(&self) -> Vec<PhoneLine>;

    /// Forgets the conversations (the account stays), for tests that start over.
    fn reset(&mut self);
}

/// Keeps the last so many lines of a phone: the sandbox must not grow without end.
pub const PHONE_LINES_MAX: usize = 2000;

/// A credential that has a header to itself: from the request's `auth` when a test handed it over
/// directly, from its headers when it came over the wire.
pub fn header_credential<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    match &request.auth {
        Auth::Header { name: given, value } if given.eq_ignore_ascii_case(name) => {
            Some(value.expose())
        }
        _ => request.headers.get(name),
    }
}

/// User and password of a request's Basic authorization: from its `auth` when a test handed it over
/// directly, from its header when it came over the wire.
pub fn basic(request: &Request) -> Option<(String, String)> {
    match &request.auth {
        Auth::Basic { user, password } => Some((user.clone(), password.expose().to_owned())),
        _ => {
            let header = request.headers.get("authorization")?;
            let (scheme, encoded) = header.split_once(' ')?;
            let pair = String::from_utf8(sign::from_base64(encoded)?).ok()?;
            let (user, password) = pair.split_once(':')?;
            scheme
                .eq_ignore_ascii_case("basic")
                .then(|| (user.to_owned(), password.to_owned()))
        }
    }
}

/// The bearer token of a request: from its header when it came over the wire, from its `auth` when a
/// test handed it over directly.
pub fn bearer(request: &Request) -> Option<&str> {
    match &request.auth {
        Auth::Bearer(token) => Some(token.expose()),
        _ => {
            let header = request.headers.get("authorization")?;
            let (scheme, token) = header.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        }
    }
}
