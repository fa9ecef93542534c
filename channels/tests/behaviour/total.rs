//! The law of reading: `parse` is total. Whatever a platform sends, it gives events or says that
//! the body is no JSON, form or XML at all; it never panics, and never calls a readable body
//! unreadable.

use super::fixture::Subject;
use super::inbound::unique;
use super::mutate::{Rng, bytes, form_variants, json_variant, json_variants};
use super::world::{calm, parse_unverified};
use serde_json::Value;
use switchboard_channels::kit::http::Inbound;
use switchboard_channels::model::Parsed;
use switchboard_channels::{Channel, Malformed};

/// Random changes of bytes that each fixture gets.
const RANDOM: usize = 200;

/// Changed documents that each fixture gets: all that there are, or so many of them at random.
const STRUCTURAL: usize = 600;

/// Truncations, random changes and changed structures of a fixture.
pub fn parses(subject: &Subject, name: &str) -> Result<(), String> {
    let channel = subject.channel()?;
    let channel = channel.as_ref();
    let request = subject.inbound(name)?;
    if channel.handshake(&request).is_some() {
        return Ok(());
    }
    let body = request.body.clone();
    let step = (body.len() / RANDOM).max(1);
    for end in (0..body.len()).step_by(step) {
        drop(bounded(channel, &request, body.slice(..end).into())?);
    }
    let mut rng = Rng::new(u64::try_from(name.len() + body.len()).unwrap_or(1));
    for _ in 0..RANDOM {
        drop(bounded(channel, &request, bytes(&mut rng, &body))?);
    }
    if let Ok(document) = serde_json::from_slice::<Value>(&body) {
        let all = json_variants(&document);
        for number in 0..all.min(STRUCTURAL) {
            let number = if all > STRUCTURAL {
                rng.below(all)
            } else {
                number
            };
            let (what, variant) = json_variant(&document, number);
            readable(channel, &request, &what, variant.to_string().into_bytes())?;
        }
    } else if is_form(&request) {
        for (what, variant) in form_variants(&body) {
            readable(channel, &request, &what, variant)?;
        }
    }
    Ok(())
}

fn is_form(request: &Inbound) -> bool {
    request
        .headers
        .get("content-type")
        .is_some_and(|t| t.starts_with("application/x-www-form-urlencoded"))
}

/// A body that can be read is no `Malformed`, and its events can be told apart.
fn readable(
    channel: &dyn Channel,
    request: &Inbound,
    what: &str,
    body: Vec<u8>,
) -> Result<(), String> {
    let parsed = bounded(channel, request, body).map_err(|e| format!("{what}: {e}"))?;
    match parsed {
        Err(malformed) => Err(format!("{what}: called unreadable: {malformed}")),
        // An element that comes twice has its key twice; the store drops the second.
        Ok(_) if what.ends_with("doubled") => Ok(()),
        Ok(parsed) => unique(&parsed).map_err(|e| format!("{what}: {e}")),
    }
}

/// Parses a body twice: no panic, the same twice, and nothing much larger than what came in.
pub fn bounded(
    channel: &dyn Channel,
    request: &Inbound,
    body: Vec<u8>,
) -> Result<Result<Parsed, Malformed>, String> {
    let mut request = request.clone();
    request.body = body.into();
    let shown = || String::from_utf8_lossy(&request.body).into_owned();
    let parse = || calm(|| parse_unverified(channel, &request));
    let one = parse().map_err(|e| format!("{e}, at {}", shown()))?;
    let two = parse().map_err(|e| format!("{e}, at {}", shown()))?;
    if one != two {
        return Err(format!(
            "two readings differ: {one:?}, {two:?}, of {}",
            shown()
        ));
    }
    if let Ok(parsed) = &one {
        let size: usize = parsed
            .events
            .iter()
            .map(|e| serde_json::to_string(e).map_or(usize::MAX, |t| t.len()))
            .fold(0, usize::saturating_add);
        // An event repeats its sender and thread, and Unknown its element: a small factor.
        if size > 20_000 + 20 * request.body.len() {
            return Err(format!("{size} bytes of events from {}", shown()));
        }
        if parsed.reply.body.len() > 10_000 + request.body.len() {
            return Err(format!("the reply has {} bytes", parsed.reply.body.len()));
        }
    }
    Ok(one)
}
