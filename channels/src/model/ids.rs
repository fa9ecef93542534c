//! Identifiers and times as types of their own, so that swapped arguments do not compile.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A message, in either direction. Unique over the whole gateway.
    MessageId
);
id!(
    /// A conversation with one contact over one channel.
    ConversationId
);
id!(
    /// A person: contact, agent or bot.
    UserId
);

/// Milliseconds since 1970-01-01 00:00:00 UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// From a platform's Unix seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// From a Unix time that some platforms give in seconds and sometimes in milliseconds: values
    /// of 10^12 and more (the year 33658 in seconds) are milliseconds.
    pub const fn from_seconds_or_millis(value: i64) -> Self {
        if value >= 1_000_000_000_000 {
            Self(value)
        } else {
            Self::from_seconds(value)
        }
    }

    /// This time moved by so many milliseconds.
    #[must_use]
    pub const fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this; negative when `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}
