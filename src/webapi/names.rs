//! The functions that the gateway offers: one table, from which dispatch is checked, the OpenAPI
//! document is built and the documentation page is written.

mod table;

#[cfg(test)]
mod tests;

pub use table::FUNCTIONS;

use super::args::{Args, limits};
use super::error::{ApiError, Code};

/// How alike two names must be (1 is equal) for one to be offered in place of the other: below, a
/// hint confuses more than it helps.
const ALIKE: f64 = 0.6;

/// Seconds that a caller may ask a send to wait for its outcome. Longer, and the proxies between us
/// give up before we do.
pub const MAX_WAIT_SECONDS: u64 = 300;

/// The longest `expires_in`, in seconds: a year.
pub const MAX_EXPIRES_IN_SECONDS: u64 = 365 * 24 * 3600;

/// The highest page that can be asked for, of 100 entries each.
pub const MAX_PAGE: u64 = 1_000_000;

/// What an argument holds, and which reader of [`Args`] reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Free text.
    Text,
    /// A code, name or address.
    Word,
    /// An id.
    Id,
    /// A list of ids.
    Ids,
    /// A list of words.
    Words,
    /// True or false.
    Boolean,
    /// A whole number from the first to the second.
    Number(u64, u64),
    /// A time.
    Time,
    /// An id, a time or a day.
    Since,
    /// A list of any content.
    List,
    /// A list or an object of any content.
    Json,
    /// Any value.
    Any,
    /// Attachments with names.
    Attachments,
    /// Attachments with or without names.
    PlainAttachments,
    /// Quick replies.
    QuickReplies,
    /// The status code of a conversation.
    StatusCode,
    /// A user type.
    UserType,
    /// Additional user details.
    Details,
    /// An id, or an object with one.
    User,
    /// A source code, or an object with one.
    Source,
    /// True, or the slugs of the wanted details.
    FlagOrWords,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl Kind {
    /// The kind in words, for people.
    pub fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Word => "word".to_owned(),
            Self::Id => "id".to_owned(),
            Self::Ids => "list of ids".to_owned(),
            Self::Words => "list of words".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Number(from, to) => format!("{from} to {to}"),
            Self::Time => "time".to_owned(),
            Self::Since => "id, time or day".to_owned(),
            Self::List => "list".to_owned(),
            Self::Json => "list or object".to_owned(),
            Self::Any => "anything".to_owned(),
            Self::Attachments => {
                format!(
                    "[[\"name\", \"link\"], …], at most {}",
                    limits::MAX_ATTACHMENTS
                )
            }
            Self::PlainAttachments => format!(
                "[[\"name\", \"link\"], …] or [\"link\", …], at most {}",
                limits::MAX_ATTACHMENTS
            ),
            Self::QuickReplies => {
                "[\"title\", …] or [{\"title\", \"payload\", \"url\"}, …]".to_owned()
            }
            Self::StatusCode => "0, 1, 2, 3 or 4".to_owned(),
            Self::UserType => "visitor, lead, user, agent or admin".to_owned(),
            Self::Details => "{\"slug\": [\"value\", \"Name\"], …}".to_owned(),
            Self::User => "id, or {\"id\": …}".to_owned(),
            Self::Source => "source code, or {\"source\": …}".to_owned(),
            Self::FlagOrWords => "true, or a list of words".to_owned(),
            Self::OneOf(words) => words.join(" or "),
        }
    }
}

/// An argument of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether the function fails without it.
    pub required: bool,
    /// What it is for.
    pub doc: &'static str,
}

/// What a function's `response` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// The platform's own answer to the first part; `true` while the message is still on its way.
    PlatformAnswer,
    /// `true`.
    True,
    /// A number.
    Number,
    /// A user with details, or `false`.
    User,
    /// A list of users.
    Users,
    /// A list of details, or the value of one.
    UserExtra,
    /// A conversation with its messages.
    Conversation,
    /// A list of conversations, each with its last message.
    ConversationItems,
    /// The same of one user.
    UserConversationItems,
    /// A list of messages.
    Messages,
    /// A message with its parts and tries.
    MessageDetail,
    /// That a message was stored.
    StoredMessage,
    /// Slack's channel, in a list.
    SlackPlace,
    /// Members of the workspace, our own people, and who is who.
    SlackUsers,
    /// Slack's list of channels.
    SlackChannels,
    /// Whether somebody is there, or who is.
    SlackPresence,
}

impl Shape {
    /// Every shape.
    pub const ALL: &[Self] = &[
        Self::PlatformAnswer,
        Self::True,
        Self::Number,
        Self::User,
        Self::Users,
        Self::UserExtra,
        Self::Conversation,
        Self::ConversationItems,
        Self::UserConversationItems,
        Self::Messages,
        Self::MessageDetail,
        Self::StoredMessage,
        Self::SlackPlace,
        Self::SlackUsers,
        Self::SlackChannels,
        Self::SlackPresence,
    ];

    /// Its name in the OpenAPI document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PlatformAnswer => "PlatformAnswer",
            Self::True => "True",
            Self::Number => "Number",
            Self::User => "User",
            Self::Users => "Users",
            Self::UserExtra => "UserExtra",
            Self::Conversation => "Conversation",
            Self::ConversationItems => "ConversationItems",
            Self::UserConversationItems => "UserConversationItems",
            Self::Messages => "Messages",
            Self::MessageDetail => "MessageDetail",
            Self::StoredMessage => "StoredMessage",
            Self::SlackPlace => "SlackPlace",
            Self::SlackUsers => "SlackUsers",
            Self::SlackChannels => "SlackChannels",
            Self::SlackPresence => "SlackPresence",
        }
    }

    /// What it is, in words.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::PlatformAnswer => {
                "the platform's own answer to the first part; true while the message is on its way"
            }
            Self::True => "true",
            Self::Number => "an id, as a number",
            Self::User => "the user, or false when there is none",
            Self::Users => "a list of users, [] when there are none",
            Self::UserExtra => {
                "a list of details, [] when there are none; with `slug`, the value of that one, or `default`"
            }
            Self::Conversation => {
                "the conversation with its messages; {\"messages\": [], \"details\": \"\"} when there is none"
            }
            Self::ConversationItems | Self::UserConversationItems => {
                "a list of conversations, each with its last message, [] when there are none"
            }
            Self::Messages => "a list of messages, oldest first, [] when there are none",
            Self::MessageDetail => "the message with its parts, tries and the platform's words",
            Self::StoredMessage => "that the message was stored, and its id",
            Self::SlackPlace => {
                "a list of the Slack channel that it went to; true while the message is on its way"
            }
            Self::SlackUsers => {
                "the members of the workspace, the gateway's agents, and which member is which agent"
            }
            Self::SlackChannels => "Slack's own list of its channels, archived ones included",
            Self::SlackPresence => "online or offline; with `list`, the ids of who is online",
        }
    }
}

/// A function of the Web API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// What callers write as `function`.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its own arguments.
    pub own: &'static [Argument],
    /// Arguments that it shares with others.
    pub shared: &'static [&'static [Argument]],
    /// What it gives.
    pub response: Shape,
    /// Codes that it can give beside those that every function can.
    pub errors: &'static [Code],
}

impl Function {
    /// Its arguments: its own, then the shared ones.
    pub fn arguments(&self) -> impl Iterator<Item = &'static Argument> + use<> {
        self.own.iter().chain(self.shared.iter().copied().flatten())
    }

    /// Whether it stores a message that may go out, so that the answer has `message_id`,
    /// `conversation_id` and `status` beside the response.
    pub fn sends(&self) -> bool {
        !self.shared.is_empty()
    }

    /// Fails when an argument that the function needs is absent.
    ///
    /// # Errors
    /// `missing-argument`, naming the first.
    pub fn require(&self, args: &Args) -> Result<(), ApiError> {
        match self
            .arguments()
            .find(|a| a.required && !args.is_given(a.name, a.kind))
        {
            Some(argument) => Err(args.missing(argument.name)),
            None => Ok(()),
        }
    }
}

/// Codes that every function can give.
pub const COMMON_ERRORS: &[Code] = &[
    Code::MissingArgument,
    Code::InvalidArgument,
    Code::MissingToken,
    Code::InvalidToken,
    Code::RateLimited,
    Code::PayloadTooLarge,
    Code::InternalError,
    Code::Unavailable,
];

/// The function of this name.
///
/// # Errors
/// `function-not-found`, with the nearest name where one is near.
pub fn function(name: &str) -> Result<&'static Function, ApiError> {
    FUNCTIONS.iter().find(|f| f.name == name).ok_or_else(|| {
        let shown: String = name.chars().take(60).collect();
        let hint = nearest(name).map_or_else(
            || "the functions are listed at /docs".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        ApiError::new(
            Code::FunctionNotFound,
            format!("there is no function {shown:?}; {hint}"),
        )
    })
}

/// The offered function whose name is nearest, if one is near.
pub fn nearest(name: &str) -> Option<&'static str> {
    // Comparing takes the product of both lengths: no name is longer than this.
    let name: String = name.trim().to_ascii_lowercase().chars().take(60).collect();
    FUNCTIONS
        .iter()
        .map(|f| {
            (
                strsim::normalized_damerau_levenshtein(&name, f.name),
                f.name,
            )
        })
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, near)| near)
}

impl Args {
    /// The function that is asked for.
    ///
    /// # Errors
    /// `missing-argument` and `function-not-found`.
    pub fn function(&self) -> Result<&'static Function, ApiError> {
        function(&self.str("function")?)
    }

    /// Whether an argument of this kind is given: numbers, booleans and free text keep values that
    /// mean "absent" elsewhere.
    fn is_given(&self, name: &str, kind: Kind) -> bool {
        match kind {
            Kind::Text => {
                matches!(self.opt_text(name), Ok(Some(t)) if !t.trim().is_empty())
                    || self.opt_text(name).is_err()
            }
            Kind::Boolean | Kind::Any => self.has(name),
            _ => self.given(name).is_some(),
        }
    }
}
