//! Laws about answers: each fixture is classified as it says, and no answer whatsoever is taken for
//! a success that it is not.

use super::expect::same;
use super::fixture::{Subject, read_json, with};
use super::world::{Fake, calm, deliver, run, text_part};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use switchboard_channels::error::Words;
use switchboard_channels::kit::http::{Headers, Response};
use switchboard_channels::model::{EventBody, MediaRef, Receipt};
use switchboard_channels::{Channel, Class, LimitScope, SendError, SetupScope};

/// One row of `NAME.codes.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The raw body.
    pub body: String,
    /// What it means.
    pub expect: Value,
}

impl Row {
    /// The row as an answer.
    pub fn response(&self) -> Response {
        let mut headers = Headers::default();
        for (name, value) in &self.headers {
            headers.push(name, value);
        }
        Response {
            status: self.status,
            headers,
            body: self.body.clone().into(),
        }
    }
}

/// Reads `NAME.codes.json`.
pub fn rows(subject: &Subject, name: &str) -> Result<Vec<Row>, String> {
    read_json(&with(&subject.path("answers", name), "codes.json"))
}

/// An answer means what its fixture says.
pub fn classified(subject: &Subject, name: &str) -> Result<(), String> {
    let path = subject.path("answers", name);
    let expected = expected(&read_json(&with(&path, "json"))?)?;
    let actual = outcome(subject, subject.answer(name)?)?;
    same(&path, &expected, &actual)
}

/// Each of many answers means what its row says.
pub fn table(subject: &Subject, name: &str) -> Result<(), String> {
    let rows = rows(subject, name)?;
    if rows.is_empty() {
        return Err("the table has no row".into());
    }
    let label = |i: usize, row: &Row| {
        let body: String = row.body.chars().take(60).collect();
        format!("row {i}: {} {body}", row.status)
    };
    let (mut expect, mut actual) = (Map::new(), Map::new());
    for (i, row) in rows.iter().enumerate() {
        let written = self::expected(&row.expect).map_err(|e| format!("{}: {e}", label(i, row)))?;
        expect.insert(label(i, row), written);
        actual.insert(label(i, row), outcome(subject, row.response())?);
    }
    let path = with(&subject.path("answers", name), "codes");
    same(&path, &Value::Object(expect), &Value::Object(actual))
}

/// The expectation with its defaults filled in.
fn expected(written: &Value) -> Result<Value, String> {
    let mut fields = written.as_object().ok_or("no object")?.clone();
    let known: &[(&str, Value)] = if let Some(receipt) = fields.get_mut("receipt") {
        let receipt = receipt.as_object_mut().ok_or("`receipt` is no object")?;
        receipt.entry("alias").or_insert(Value::Null);
        &[("receipt", Value::Null)]
    } else {
        if !fields.contains_key("class") || !fields.contains_key("code") {
            return Err("the expectation has neither `class` and `code` nor `receipt`".into());
        }
        &[
            ("class", Value::Null),
            ("code", Value::Null),
            ("opted_out", Value::Bool(false)),
            ("after_ms", Value::Null),
            ("scope", Value::Null),
        ]
    };
    for (key, default) in known {
        fields.entry(*key).or_insert_with(|| default.clone());
    }
    if fields.len() != known.len() {
        let keys: Vec<&String> = fields.keys().collect();
        return Err(format!("the expectation has the keys {keys:?}"));
    }
    Ok(Value::Object(fields))
}

/// Delivers a text with this answer to every request, in the terms of the fixtures.
fn outcome(subject: &Subject, response: Response) -> Result<Value, String> {
    let channel = subject.channel()?;
    let part = text_part(subject, channel.as_ref())?;
    let fake = Fake::always(response);
    Ok(match deliver(channel.as_ref(), &part, &fake)? {
        Ok(receipt) => json!({"receipt": {
            "platform_ids": receipt.platform_ids,
            "alias": receipt.alias,
        }}),
        Err(error) => shown(&error),
    })
}

fn shown(error: &SendError) -> Value {
    let (after, scope) = match error.class {
        Class::Limited { after, scope } => (
            after.map(|d| d.as_millis()),
            Some(match scope {
                LimitScope::Recipient => "recipient",
                LimitScope::Lane => "lane",
            }),
        ),
        Class::Setup { scope } => (
            None,
            Some(match scope {
                SetupScope::Account => "account",
                SetupScope::Message => "message",
            }),
        ),
        _ => (None, None),
    };
    json!({
        "class": error.class.name(),
        "code": error.words.as_ref().map(|w| w.code.as_str()),
        "opted_out": error.opted_out,
        "after_ms": after.and_then(|ms| u64::try_from(ms).ok()),
        "scope": scope,
    })
}

/// Bodies that no platform's documentation shows, and every platform has sent.
fn oddities() -> Vec<(&'static str, Vec<u8>)> {
    let mut cut = br#"{"ok":true,"messages":[{"id":"#.to_vec();
    cut.push(b'"');
    vec![
        ("an empty body", Vec::new()),
        ("a huge body", vec![b'x'; 2 * 1024 * 1024]),
        ("HTML", b"<html><h1>502 Bad Gateway</h1></html>".to_vec()),
        ("[]", b"[]".to_vec()),
        ("{}", b"{}".to_vec()),
        ("null", b"null".to_vec()),
        ("cut JSON", cut),
        ("binary", vec![0, 159, 146, 150, 255, 0, 10, 13]),
        ("a deep body", vec![b'['; 20_000]),
        (
            "another shape",
            br#"{"error":[1],"code":"x","sid":7,"ok":"no","result":[]}"#.to_vec(),
        ),
    ]
}

/// Every status with every odd body has a class. Nothing but a 2xx that names what it took is a
/// success; a 2xx that cannot be read may have been done; 429 is a limit.
pub fn any_status(subject: &Subject) -> Result<(), String> {
    let channel = subject.channel()?;
    let part = text_part(subject, channel.as_ref())?;
    for status in 100..=599 {
        for (what, body) in oddities() {
            let fake = Fake::always(Response {
                status,
                headers: Headers::default(),
                body: body.into(),
            });
            let run = || deliver(channel.as_ref(), &part, &fake);
            let result = calm(run)
                .flatten()
                .map_err(|e| format!("{status} with {what}: {e}"))?;
            judge(status, what, &result)?;
            if fake.take_calls().len() > 5 {
                return Err(format!("{status} with {what} is asked again and again"));
            }
        }
    }
    Ok(())
}

fn judge(status: u16, what: &str, result: &Result<Receipt, SendError>) -> Result<(), String> {
    let ok = (200..300).contains(&status);
    match result {
        Ok(_) if !ok => Err(format!("{status} with {what} is taken for a success")),
        Ok(receipt) => Err(format!("{status} with {what} gives a receipt: {receipt:?}")),
        Err(e) if ok && e.class != Class::Unsure => {
            Err(format!("{status} with {what} is {:?}, not Unsure", e.class))
        }
        Err(e) if status == 429 && !matches!(e.class, Class::Limited { .. }) => {
            Err(format!("429 with {what} is {:?}", e.class))
        }
        Err(e) => words(e.words.as_ref()).map_err(|e| format!("{status} with {what}: {e}")),
    }
}

/// The platform's words stay words.
pub fn words(words: Option<&Words>) -> Result<(), String> {
    let Some(words) = words else { return Ok(()) };
    if words.message.chars().count() > Words::MAX_CHARS || words.code.chars().count() > 100 {
        return Err("the platform's words have no end".into());
    }
    Ok(())
}

/// Probing and fetching are as careful: no panic, and no success but a 2xx.
pub fn any_status_elsewhere(subject: &Subject) -> Result<(), String> {
    let channel = subject.channel()?;
    let channel = channel.as_ref();
    let media = media(subject)?;
    for status in 100..=599 {
        for (what, body) in oddities() {
            if body.len() > 100_000 && status % 100 != 0 {
                continue;
            }
            let fake = Fake::always(Response {
                status,
                headers: Headers::default(),
                body: body.into(),
            });
            let ok = (200..300).contains(&status);
            let probed = || run(channel.probe(&fake.ctx())).map(|r| r.is_ok());
            let asked = calm(probed)
                .flatten()
                .map_err(|e| format!("probe: {status} with {what}: {e}"))?;
            if asked && !ok {
                return Err(format!("probe: {status} with {what} is a success"));
            }
            for reference in &media {
                let fetched =
                    || run(channel.fetch_media(reference, &fake.ctx())).map(|r| r.is_ok());
                let got = calm(fetched)
                    .flatten()
                    .map_err(|e| format!("fetch_media: {status} with {what}: {e}"))?;
                if got && !ok {
                    return Err(format!("fetch_media: {status} with {what} is a success"));
                }
            }
            if fake.take_calls().len() > 20 * (1 + media.len()) {
                return Err(format!("{status} with {what} is asked again and again"));
            }
        }
    }
    Ok(())
}

/// The first reference to media in the inbound fixtures, and one that means nothing.
pub fn media(subject: &Subject) -> Result<Vec<MediaRef>, String> {
    let mut found = vec![MediaRef::new("nothing/of:ours?#")];
    for name in subject.census().inbound {
        for event in super::inbound::events(subject, &name)? {
            if let EventBody::Message(message) = event.body
                && let Some(media) = message.attachments.into_iter().find_map(|a| a.media)
            {
                found.push(media);
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// A channel never promises what an answer of another account could not hold: the receipt of a
/// success names at least one platform id, none of them empty.
pub fn named(receipt: &Receipt) -> Result<(), String> {
    if receipt.platform_ids.is_empty() || receipt.platform_ids.iter().any(String::is_empty) {
        return Err(format!("a receipt without a platform id: {receipt:?}"));
    }
    serde_json::from_str::<Value>(&receipt.answer)
        .map(drop)
        .map_err(|e| format!("the receipt's answer is no JSON: {e}"))
}

/// The channel of a subject, for the laws that only need one.
pub fn receipts_are_named(subject: &Subject, name: &str) -> Result<(), String> {
    let channel = subject.channel()?;
    let channel: &dyn Channel = channel.as_ref();
    let part = text_part(subject, channel)?;
    match deliver(channel, &part, &Fake::always(subject.answer(name)?))? {
        Ok(receipt) => named(&receipt),
        Err(error) => words(error.words.as_ref()),
    }
}
