//! The law of signatures: a flipped bit in anything signed is refused.

use super::fixture::Subject;
use switchboard_channels::kit::http::{Headers, Inbound, Via};
use switchboard_channels::{Channel, Verified};

/// A piece of a request that a platform may leave unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The body.
    Body,
    /// Path and query.
    Url,
}

/// What platforms do not sign. Everything else must be refused when a bit of it flips; and a kind
/// that is listed here must really accept the change, so that no entry outlives its reason.
pub const UNSIGNED: &[(&str, Piece, &str)] = &[
    (
        "telegram",
        Piece::Body,
        "the header is a shared secret, not a MAC over the body",
    ),
    (
        "telegram",
        Piece::Url,
        "the header is a shared secret, not a MAC over the URL",
    ),
    (
        "messenger",
        Piece::Url,
        "X-Hub-Signature-256 covers the raw body alone",
    ),
    (
        "whatsapp",
        Piece::Url,
        "X-Hub-Signature-256 covers the raw body alone",
    ),
    (
        "viber",
        Piece::Url,
        "X-Viber-Content-Signature covers the raw body alone",
    ),
    (
        "wechat",
        Piece::Body,
        "msg_signature covers the text of Encrypt alone, and plain bodies are not signed at all",
    ),
    (
        "wechat",
        Piece::Url,
        "the signatures cover parameters, not the URL",
    ),
    (
        "line",
        Piece::Url,
        "X-Line-Signature covers the raw body alone",
    ),
    (
        "slack",
        Piece::Url,
        "X-Slack-Signature covers the time and the raw body",
    ),
    (
        "twitter",
        Piece::Url,
        "x-twitter-webhooks-signature covers the raw body alone",
    ),
    (
        "google-business-messages",
        Piece::Url,
        "X-Goog-Signature covers the raw body alone",
    ),
];

/// Kinds whose proof is in the query, and the parameters that are signed or a signature. A fixture
/// need not have all of them.
const PROOF_IN_QUERY: &[(&str, &[&str])] = &[(
    "wechat",
    &["signature", "timestamp", "nonce", "msg_signature"],
)];

/// The parameters of a kind that prove something; none where headers do.
pub fn proof_in_query(kind: &str) -> &'static [&'static str] {
    let found = PROOF_IN_QUERY.iter().find(|(k, _)| *k == kind);
    found.map_or(&[], |(_, parameters)| parameters)
}

/// Headers that steer the reading of a body and prove nothing: a flipped bit in them may be harmless.
const NO_PROOF: [&str; 3] = ["content-type", "content-length", "host"];

/// Flips bits of everything that should be signed, one at a time, and adds to it.
pub fn flipped(subject: &Subject, name: &str) -> Result<(), String> {
    let channel = subject.channel()?;
    let channel = channel.as_ref();
    let request = subject.inbound(name)?;
    if channel.handshake(&request).is_some() {
        return Ok(());
    }
    if Verified::check(channel, &request).is_err() {
        return still_refused(channel, &request);
    }
    if request.via == Via::Mailbox {
        return fetched(channel, &request);
    }
    let signed = |piece| {
        !UNSIGNED
            .iter()
            .any(|(kind, p, _)| *kind == subject.kind.name && *p == piece)
    };
    body(channel, &request, signed(Piece::Body))?;
    url(channel, &request, signed(Piece::Url))?;
    match proof_in_query(subject.kind.name) {
        [] => proofs(channel, &request),
        parameters => parameters_prove(channel, &request, parameters),
    }
}

/// Mail is signed by nobody: that our own loop fetched it is the whole proof. The same bytes over HTTP
/// are refused, whatever headers come with them.
fn fetched(channel: &dyn Channel, request: &Inbound) -> Result<(), String> {
    let mut posted = request.clone();
    posted.via = Via::Web;
    if channel.verify(&posted).is_ok() {
        return Err("a mail is believed that somebody posted".into());
    }
    for signature in ["", "00", &"0".repeat(64)] {
        posted.headers = request.headers.clone();
        posted.headers.push("x-switchboard-signature", signature);
        if channel.verify(&posted).is_ok() {
            return Err(format!("a mail is believed that is signed {signature:?}"));
        }
    }
    Ok(())
}

/// A refused request is not let in by what comes after the refusal.
fn still_refused(channel: &dyn Channel, request: &Inbound) -> Result<(), String> {
    let mut empty = request.clone();
    empty.body = bytes::Bytes::new();
    if channel.verify(&empty).is_ok() {
        return Err("the refused request is believed without its body".into());
    }
    Ok(())
}

/// The bit that is flipped in a byte, by its place. Not bit 5: it turns `%2B` into `%2b`, which is
/// the same form.
const BITS: [u8; 2] = [0x01, 0x80];

/// Bytes that are hashed for one fixture at most. Every byte of a body of 2 KB is flipped; of larger
/// ones an even selection, since the work grows with the square of the length.
const HASHED: usize = 8_000_000;

fn body(channel: &dyn Channel, request: &Inbound, signed: bool) -> Result<(), String> {
    let refuses = |bytes: Vec<u8>| {
        let mut changed = request.clone();
        changed.body = bytes.into();
        channel.verify(&changed).is_err()
    };
    let mut longer = request.body.to_vec();
    longer.push(b'x');
    if !signed {
        return if refuses(longer) {
            Err("the body is listed as unsigned, yet a change is refused".into())
        } else {
            Ok(())
        };
    }
    if !refuses(longer) {
        return Err("a longer body is believed".into());
    }
    if !request.body.is_empty() && !refuses(Vec::new()) {
        return Err("the request is believed without its body".into());
    }
    let length = request.body.len();
    let step = (length * length / HASHED).max(1);
    for (i, byte) in request.body.iter().enumerate().step_by(step) {
        let bit = BITS[(i / step) % BITS.len()];
        let mut bytes = request.body.to_vec();
        bytes[i] = byte ^ bit;
        if !refuses(bytes) {
            let around = &request.body[i.saturating_sub(20)..(i + 20).min(length)];
            let around = String::from_utf8_lossy(around);
            return Err(format!(
                "bit {bit:#x} of body byte {i} may flip, in {around:?}"
            ));
        }
    }
    Ok(())
}

fn url(channel: &dyn Channel, request: &Inbound, signed: bool) -> Result<(), String> {
    let start = request.url.find("://").map_or(0, |i| i + 3);
    let start = request.url[start..].find('/').map_or(0, |i| i + start);
    let refuses = |url: String| {
        let mut changed = request.clone();
        changed.query = url
            .split_once('?')
            .map_or_else(String::new, |(_, q)| q.to_owned());
        changed.url = url;
        channel.verify(&changed).is_err()
    };
    if !signed {
        return if refuses(format!("{}x", request.url)) {
            Err("the URL is listed as unsigned, yet a change is refused".into())
        } else {
            Ok(())
        };
    }
    for (i, byte) in request.url.bytes().enumerate().skip(start) {
        let mut url = request.url.clone().into_bytes();
        url[i] = byte ^ 0x01;
        let Ok(url) = String::from_utf8(url) else {
            continue;
        };
        if !refuses(url.clone()) {
            return Err(format!("the URL may become {url}"));
        }
    }
    if !refuses(format!("{}x", request.url)) {
        return Err("a longer URL is believed".into());
    }
    Ok(())
}

/// Headers without which the request is refused hold the proof: there must be one, and none of its
/// bytes may flip.
fn proofs(channel: &dyn Channel, request: &Inbound) -> Result<(), String> {
    let rebuilt = |which: &str, value: Option<&str>| {
        let mut changed = request.clone();
        changed.headers = Headers::default();
        for (name, old) in request.headers.iter() {
            match (name == which, value) {
                (false, _) => changed.headers.push(name, old),
                (true, Some(new)) => changed.headers.push(name, new),
                (true, None) => {}
            }
        }
        channel.verify(&changed)
    };
    let mut proven = false;
    for (name, value) in request.headers.iter() {
        if NO_PROOF.contains(&name) || rebuilt(name, None).is_ok() {
            continue;
        }
        proven = true;
        let longer = format!("{value}x");
        if rebuilt(name, Some("")).is_ok() || rebuilt(name, Some(&longer)).is_ok() {
            return Err(format!("{name} may be empty or longer"));
        }
        for (i, byte) in value.bytes().enumerate() {
            let mut flipped = value.as_bytes().to_vec();
            flipped[i] = byte ^ 0x01;
            let Ok(flipped) = String::from_utf8(flipped) else {
                continue;
            };
            if rebuilt(name, Some(&flipped)).is_ok() {
                return Err(format!("byte {i} of {name} may flip: {flipped:?}"));
            }
        }
    }
    if proven {
        Ok(())
    } else {
        Err("no header is needed for the request to be believed".into())
    }
}

/// Signed parameters and signatures: each that is there is needed, and none of its bytes may flip.
fn parameters_prove(
    channel: &dyn Channel,
    request: &Inbound,
    parameters: &[&str],
) -> Result<(), String> {
    let pairs: Vec<&str> = request.query.split('&').collect();
    let rebuilt = |which: usize, value: Option<&str>| {
        let mut query: Vec<String> = pairs.iter().map(|p| (*p).to_owned()).collect();
        match value {
            Some(value) => query[which] = value.to_owned(),
            None => drop(query.remove(which)),
        }
        let mut changed = request.clone();
        changed.query = query.join("&");
        channel.verify(&changed)
    };
    let mut proven = 0;
    for (which, pair) in pairs.iter().enumerate() {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !parameters.contains(&name) {
            continue;
        }
        proven += 1;
        let with = |value: &str| rebuilt(which, Some(&format!("{name}={value}")));
        if rebuilt(which, None).is_ok() || with("").is_ok() || with(&format!("{value}x")).is_ok() {
            return Err(format!("{name} may be missing, empty or longer"));
        }
        for (i, byte) in value.bytes().enumerate() {
            let mut flipped = value.as_bytes().to_vec();
            flipped[i] = byte ^ 0x01;
            if String::from_utf8(flipped).is_ok_and(|flipped| with(&flipped).is_ok()) {
                return Err(format!("byte {i} of {name} may flip"));
            }
        }
    }
    if proven == 0 {
        return Err("no parameter is needed for the request to be believed".into());
    }
    Ok(())
}

/// Entries of [`UNSIGNED`] name kinds that exist.
pub fn table_is_current() -> Result<(), String> {
    let stale = UNSIGNED
        .iter()
        .find(|(kind, _, _)| switchboard_channels::kind(kind).is_none());
    stale.map_or(Ok(()), |(kind, _, _)| {
        Err(format!("UNSIGNED names {kind:?}, which is no kind"))
    })
}
