//! Who calls: API tokens, and how often each may.
//!
//! Only the SHA-256 of a token is kept. A presented token is hashed and compared with every
//! configured hash in constant time, so that neither the time nor the number of tokens tells a
//! stranger anything.

use super::args::Args;
use super::error::{ApiError, Code};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use sha2::{Digest, Sha256};
use std::fmt;
use std::num::NonZeroU32;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// How many times a second's calls may come at once.
const BURST_FACTOR: u32 = 2;

/// Which of the configured tokens a caller holds: its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenId(u32);

/// A token of the configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("token {position}: {reason}")]
pub struct BadToken {
    /// Which one, from 1: the token itself is not to be shown.
    pub position: usize,
    /// Why.
    pub reason: &'static str,
}

/// The configured tokens with their rate limits. `C` is the clock of the limits.
pub struct Tokens<C: Clock = DefaultClock> {
    entries: Vec<Entry<C>>,
    clock: C,
}

struct Entry<C: Clock> {
    hash: [u8; 32],
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
}

impl<C: Clock> fmt::Debug for Tokens<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.entries.len())
    }
}

/// `sha256:` and the hexadecimal hash of a token: what goes into the configuration.
pub fn configuration_entry(token: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(token.as_bytes())))
}

impl Tokens {
    /// Reads the tokens of the configuration: `sha256:…` or plain text.
    ///
    /// # Errors
    /// A token that is empty, or a hash that is none.
    pub fn new<S: AsRef<str>>(
        configured: &[S],
        rate_per_second: NonZeroU32,
    ) -> Result<Self, BadToken> {
        Self::with_clock(configured, rate_per_second, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Tokens<C> {
    /// The same with another clock.
    ///
    /// # Errors
    /// As [`Tokens::new`].
    pub fn with_clock<S: AsRef<str>>(
        configured: &[S],
        rate_per_second: NonZeroU32,
        clock: C,
    ) -> Result<Self, BadToken> {
        let burst =
            rate_per_second.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_FACTOR - 1));
        let quota = Quota::per_second(rate_per_second).allow_burst(burst);
        let entries = configured
            .iter()
            .enumerate()
            .map(|(i, token)| {
                let hash = hash_of(token.as_ref()).map_err(|reason| BadToken {
                    position: i.saturating_add(1),
                    reason,
                })?;
                let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
                Ok(Entry { hash, limiter })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { entries, clock })
    }
}

impl<C: Clock> Tokens<C> {
    /// Finds the caller's token: the argument `token`, or else the `Authorization` header. Where
    /// both are there, the argument decides, even when it is wrong.
    ///
    /// # Errors
    /// `missing-token` and `invalid-token`.
    pub fn authenticate(
        &self,
        args: &Args,
        authorization: Option<&str>,
    ) -> Result<TokenId, ApiError> {
        let argument = args.opt_text("token")?;
        let presented = match &argument {
            Some(token) => Some(token.trim()),
            None => authorization.and_then(bearer),
        };
        match presented {
            Some(token) if !token.is_empty() => self
                .find(token)
                .ok_or_else(|| ApiError::new(Code::InvalidToken, "the API token is not known")),
            _ => Err(ApiError::new(
                Code::MissingToken,
                "an API token is needed: the argument `token`, or Authorization: Bearer",
            )),
        }
    }

    /// Which token this is. Every entry is compared, whichever one it is.
    fn find(&self, token: &str) -> Option<TokenId> {
        let presented: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = u32::MAX;
        let mut any = Choice::from(0);
        for (entry, position) in self.entries.iter().zip(0_u32..) {
            let same = entry.hash.ct_eq(&presented);
            found.conditional_assign(&position, same);
            any |= same;
        }
        bool::from(any).then_some(TokenId(found))
    }

    /// Takes one call from the token's budget.
    ///
    /// # Errors
    /// `rate-limited`, with the time until a call would pass.
    pub fn admit(&self, token: TokenId) -> Result<(), ApiError> {
        let place = usize::try_from(token.0).unwrap_or(usize::MAX);
        let Some(entry) = self.entries.get(place) else {
            return Ok(());
        };
        entry.limiter.check().map_err(|until| {
            ApiError::new(Code::RateLimited, "too many calls with this token")
                .with_retry_after(until.wait_time_from(self.clock.now()))
        })
    }
}

/// The hash of a configured token.
fn hash_of(configured: &str) -> Result<[u8; 32], &'static str> {
    let configured = configured.trim();
    if configured.is_empty() {
        return Err("it is empty");
    }
    match configured.strip_prefix("sha256:") {
        Some(digits) => {
            let mut hash = [0; 32];
            hex::decode_to_slice(digits, &mut hash)
                .map_err(|_odd| "`sha256:` wants the 64 hexadecimal digits of a SHA-256")?;
            Ok(hash)
        }
        None => Ok(Sha256::digest(configured.as_bytes()).into()),
    }
}

/// The token of an `Authorization: Bearer` header. The scheme's case does not matter (RFC 9110,
/// section 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use serde_json::json;
    use std::time::Duration;

    fn rate(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    fn args(token: Option<&str>) -> Args {
        Args::from(json!({"token": token}).as_object().unwrap().clone())
    }

    fn tokens() -> Tokens {
        let hashed = configuration_entry("s3cret");
        Tokens::new(&["plain one".to_owned(), hashed], rate(10)).unwrap()
    }

    #[test]
    fn the_configuration_entry_is_the_sha256() {
        assert_eq!(
            configuration_entry("abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn hashed_and_plain_tokens_are_accepted() {
        let tokens = tokens();
        assert_eq!(
            tokens.authenticate(&args(Some("plain one")), None),
            Ok(TokenId(0))
        );
        assert_eq!(
            tokens.authenticate(&args(Some("s3cret")), None),
            Ok(TokenId(1))
        );
        assert_eq!(
            tokens.authenticate(&args(None), Some("Bearer s3cret")),
            Ok(TokenId(1))
        );
        assert_eq!(
            tokens.authenticate(&args(None), Some("bearer  s3cret ")),
            Ok(TokenId(1))
        );
    }

    #[test]
    fn the_hash_itself_is_no_token() {
        let error = tokens()
            .authenticate(&args(Some(&configuration_entry("s3cret"))), None)
            .unwrap_err();
        assert_eq!(error.code, Code::InvalidToken);
    }

    #[test]
    fn the_argument_decides_over_the_header() {
        let tokens = tokens();
        let both = |token, header| tokens.authenticate(&args(Some(token)), Some(header));
        assert_eq!(both("s3cret", "Bearer nonsense"), Ok(TokenId(1)));
        assert_eq!(
            both("nonsense", "Bearer s3cret").unwrap_err().code,
            Code::InvalidToken
        );
    }

    #[test]
    fn no_token_and_a_wrong_one_differ() {
        let code = |token, header| {
            tokens()
                .authenticate(&args(token), header)
                .unwrap_err()
                .code
        };
        assert_eq!(code(None, None), Code::MissingToken);
        assert_eq!(code(Some(""), None), Code::MissingToken);
        assert_eq!(code(None, Some("Bearer ")), Code::MissingToken);
        assert_eq!(code(None, Some("Basic czNjcmV0")), Code::MissingToken);
        assert_eq!(code(Some("x"), None), Code::InvalidToken);
        assert_eq!(code(None, Some("Bearer x")), Code::InvalidToken);
    }

    #[test]
    fn without_tokens_nobody_gets_in() {
        let none = Tokens::new(&[] as &[&str], rate(1)).unwrap();
        assert_eq!(
            none.authenticate(&args(Some("x")), None).unwrap_err().code,
            Code::InvalidToken
        );
    }

    #[test]
    fn unusable_tokens_are_refused_by_position() {
        let reason = |list: &[&str]| Tokens::new(list, rate(1)).unwrap_err().to_string();
        assert_eq!(reason(&["a", " "]), "token 2: it is empty");
        assert_eq!(
            reason(&["sha256:abc"]),
            "token 1: `sha256:` wants the 64 hexadecimal digits of a SHA-256"
        );
    }

    #[test]
    fn nothing_of_a_token_is_in_debug() {
        assert_eq!(format!("{:?}", tokens()), "Tokens(2)");
    }

    #[test]
    fn a_burst_of_twice_the_rate_then_the_rate() {
        let clock = FakeRelativeClock::default();
        let tokens = Tokens::with_clock(&["a", "b"], rate(10), clock.clone()).unwrap();
        let (a, b) = (TokenId(0), TokenId(1));
        for _ in 0..20 {
            tokens.admit(a).unwrap();
        }
        let error = tokens.admit(a).unwrap_err();
        assert_eq!(error.code, Code::RateLimited);
        assert_eq!(error.retry_after, Some(Duration::from_millis(100)));
        assert_eq!(error.retry_after_seconds(), Some(1));
        // The other token has its own budget.
        tokens.admit(b).unwrap();
        clock.advance(Duration::from_millis(100));
        tokens.admit(a).unwrap();
        assert!(tokens.admit(a).is_err());
    }
}
