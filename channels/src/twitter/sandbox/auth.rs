//! OAuth 1.0a as the platform checks it: every parameter, then the signature, then the nonce.

use super::{Failure, Sandbox};
use crate::kit::emulator::header_credential;
use crate::kit::http::Request;
use crate::kit::sign::same;
use crate::model::Millis;
use crate::twitter::oauth::signature;
use crate::twitter::render::AUTHORIZATION;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How far a clock may be off, in seconds.
const SKEW_SECONDS: i64 = 300;

/// Nonces that are remembered.
const NONCES_MAX: usize = 20_000;

/// Nonces that were used.
#[derive(Debug, Default)]
pub struct Nonces {
    known: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Nonces {
    /// Whether this one is fresh; it is not any more.
    fn take(&mut self, nonce: String) -> bool {
        if !self.known.insert(nonce.clone()) {
            return false;
        }
        self.order.push_back(nonce);
        if self.order.len() > NONCES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// Undoes percent-encoding; `None` where it is none.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// The parameters of an `Authorization: OAuth …` header.
fn parameters(header: &str) -> Option<BTreeMap<String, String>> {
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("oauth") {
        return None;
    }
    let mut parameters = BTreeMap::new();
    for pair in rest.split(',') {
        let (name, value) = pair.trim().split_once('=')?;
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        // A parameter that comes twice means two things.
        if parameters.insert(decode(name)?, decode(value)?).is_some() {
            return None;
        }
    }
    Some(parameters)
}

impl Sandbox {
    /// Checks who asks.
    pub fn authorize(&mut self, request: &Request, now: Millis) -> Result<(), Failure> {
        let refused = |why: &str| Failure::new(401, "Unauthorized", format!("Unauthorized: {why}"));
        let header = header_credential(request, AUTHORIZATION);
        let header = header.ok_or_else(|| refused("no Authorization header"))?;
        if header.to_ascii_lowercase().starts_with("bearer ") {
            return Err(Failure {
                kind: "https://api.x.com/2/problems/unsupported-authentication",
                ..Failure::new(
                    403,
                    "Unsupported Authentication",
                    "Authenticating with OAuth 2.0 Application-Only is forbidden for this endpoint",
                )
            });
        }
        let mut given = parameters(header).ok_or_else(|| refused("the header is malformed"))?;
        let signed = given.remove("oauth_signature");
        let signed = signed.ok_or_else(|| refused("no oauth_signature"))?;
        let mut expect = |name: &'static str, wanted: Option<&str>| {
            let value = given.remove(name).ok_or_else(|| refused(name))?;
            match wanted {
                Some(wanted) if wanted != value => Err(refused(name)),
                _ if value.is_empty() => Err(refused(name)),
                _ => Ok((name, value)),
            }
        };
        let settings = &self.settings;
        let oauth = vec![
            expect("oauth_consumer_key", Some(settings.api_key.expose()))?,
            expect("oauth_nonce", None)?,
            expect("oauth_signature_method", Some("HMAC-SHA1"))?,
            expect("oauth_timestamp", None)?,
            expect("oauth_token", Some(settings.access_token.expose()))?,
            expect("oauth_version", Some("1.0"))?,
        ];
        if !given.is_empty() {
            return Err(refused("parameters that are none of OAuth's"));
        }
        let value = |name: &str| oauth.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
        let seconds = value("oauth_timestamp").and_then(|t| t.parse::<i64>().ok());
        let seconds = seconds.ok_or_else(|| refused("oauth_timestamp"))?;
        if now.0.div_euclid(1000).saturating_sub(seconds).abs() > SKEW_SECONDS {
            return Err(refused("the timestamp is out of bounds"));
        }
        let expected = signature(settings, request, &oauth);
        if !same(expected.as_bytes(), signed.as_bytes()) {
            return Err(refused("the signature does not match"));
        }
        let nonce = format!("{seconds}:{}", value("oauth_nonce").unwrap_or_default());
        if !self.nonces.take(nonce) {
            return Err(refused("the nonce was used before"));
        }
        Ok(())
    }
}
