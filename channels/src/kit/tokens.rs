//! Access tokens that a platform hands out for a while (WeChat, Google), shared by all workers and
//! refreshed by one of them: a refresh by each would invalidate the others' on some platforms.

use super::secret::Secret;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A token, and which one it is.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token itself.
    pub value: Secret,
    /// Counts up with every refresh: tells a token that failed from its successor.
    pub version: i64,
}

/// Who is to refresh a token.
#[derive(Debug, Clone)]
pub enum Refresh {
    /// The caller: nobody else does meanwhile. Ends with [`Tokens::keep`] or [`Tokens::give_up`].
    Yours,
    /// Nobody: this one is newer than the one that failed.
    Newer(Token),
    /// Somebody else is at it; try again in a moment.
    Busy,
}

/// Where shared tokens are kept.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// The token kept under this name, unless its time is over.
    async fn get(&self, name: &str) -> Option<Token>;

    /// Asks to refresh a token that is absent or failed; `failed` is the version that failed.
    async fn refresh(&self, name: &str, failed: Option<i64>) -> Refresh;

    /// Keeps a fresh token for so long, and ends the refresh.
    async fn keep(&self, name: &str, value: Secret, lives: Duration) -> Token;

    /// Ends a refresh that failed.
    async fn give_up(&self, name: &str);
}

/// Tokens of one process that forgets them: for tests and for channels that need none. Knows no
/// clock, so tokens live until a refresh is asked for.
#[derive(Default)]
pub struct MemoryTokens(Mutex<HashMap<String, (Option<Token>, bool)>>);

impl MemoryTokens {
    fn with<T>(&self, name: &str, f: impl FnOnce(&mut (Option<Token>, bool)) -> T) -> T {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(map.entry(name.to_owned()).or_default())
    }
}

#[async_trait]
impl Tokens for MemoryTokens {
    async fn get(&self, name: &str) -> Option<Token> {
        self.with(name, |(token, _)| token.clone())
    }

    async fn refresh(&self, name: &str, failed: Option<i64>) -> Refresh {
        self.with(name, |(token, busy)| match token {
            Some(token) if Some(token.version) != failed => Refresh::Newer(token.clone()),
            _ if *busy => Refresh::Busy,
            _ => {
                *busy = true;
                Refresh::Yours
            }
        })
    }

    async fn keep(&self, name: &str, value: Secret, _lives: Duration) -> Token {
        self.with(name, |(token, busy)| {
            let version = token.as_ref().map_or(0, |t| t.version) + 1;
            *busy = false;
            let fresh = Token { value, version };
            *token = Some(fresh.clone());
            fresh
        })
    }

    async fn give_up(&self, name: &str) {
        self.with(name, |(_, busy)| *busy = false);
    }
}
