//! What a platform is told and asked where our own people sit at it.

use super::ids::UserId;
use std::collections::BTreeMap;

/// How conversations of other channels are shown at a platform, and answers taken from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirror {
    /// Ids of the channels that are shown; `*` for all. Empty: only what a caller mirrors.
    pub channels: Vec<String>,
    /// What is written with this at its beginning stays among us.
    pub internal_prefix: String,
    /// Whether a copy can show its writer's name and picture beside it; else the name stands in it.
    pub shows_author: bool,
    /// Who of our own people a member of the platform is.
    pub agents: BTreeMap<String, UserId>,
}

impl Mirror {
    /// Whether this channel is shown.
    pub fn shows(&self, channel: &str) -> bool {
        self.channels.iter().any(|id| id == "*" || id == channel)
    }
}

/// What may be asked of such a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Who is there.
    Members,
    /// Which places there are.
    Places,
    /// Whether somebody is there now.
    Presence {
        /// The platform's id of the member.
        member: String,
    },
    /// Put a place away.
    Archive {
        /// The platform's id of the place.
        place: String,
    },
}

/// Somebody at such a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The platform's id.
    pub id: String,
    /// The name as shown.
    pub name: String,
    /// The e-mail address, where we may see it.
    pub email: Option<String>,
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// To `Members`.
    Members(Vec<Member>),
    /// To `Places`: the platform's own JSON.
    Places(String),
    /// To `Presence`.
    Presence(bool),
    /// To `Archive`.
    Done,
}
