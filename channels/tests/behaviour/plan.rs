//! Laws about planning: `plan` refuses exactly what the capabilities refuse, and loses, doubles,
//! reorders and cuts nothing of what it takes.

use super::fixture::Subject;
use super::messages::{Samples, debatable, message, refusals};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use std::cell::Cell;
use switchboard_channels::Channel;
use switchboard_channels::model::{
    Capabilities, Outgoing, OutgoingAttachment, Part, PartBody, Support,
};
use unicode_segmentation::UnicodeSegmentation;

/// Messages per kind and run.
const CASES: u32 = 300;

/// The most characters of a failure that are shown.
const SHOWN: usize = 3000;

/// Whether a law had anything to say about a message.
pub enum Judged {
    /// It held.
    Yes,
    /// The message is none of its business.
    No,
}

/// Runs `law` over generated messages; failing seeds are kept beside the suite and run first. The law
/// says whether it had anything to judge. `PROPTEST_CASES` asks for more than `cases`.
pub fn over_messages(
    subject: &Subject,
    cases: u32,
    law: impl Fn(&dyn Channel, &Outgoing) -> Result<Judged, String>,
) -> Result<(), String> {
    let channel = subject.channel()?;
    let declared = channel.capabilities();
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/behaviour.seeds");
    let asked = std::env::var("PROPTEST_CASES").map_or(0, |n| n.parse().unwrap_or(0));
    let mut runner = TestRunner::new(Config {
        cases: asked.max(cases),
        // The toy fails on purpose, which is nothing to remember.
        failure_persistence: switchboard_channels::kind(subject.kind.name)
            .map(|_| Box::new(FileFailurePersistence::Direct(seeds)) as _),
        // Shrinking is a kindness to the reader; five seconds of it are enough.
        max_shrink_time: 5_000,
        ..Config::default()
    });
    let strategy = message(declared, Samples::of(subject)?);
    let judged = Cell::new(0);
    let checked = |m: Outgoing| match law(channel.as_ref(), &m) {
        Ok(Judged::Yes) => {
            judged.set(judged.get() + 1);
            Ok(())
        }
        Ok(Judged::No) => Ok(()),
        Err(fault) => Err(TestCaseError::fail(fault)),
    };
    runner.run(&strategy, checked).map_err(|e| {
        // A message of 6000 characters helps nobody; its beginning and its fault do.
        e.to_string().chars().take(SHOWN).collect::<String>()
    })?;
    if judged.get() == 0 {
        return Err("not one generated message was judged".into());
    }
    Ok(())
}

/// The law of refusals.
pub fn refuses(subject: &Subject) -> Result<(), String> {
    over_messages(subject, CASES, |channel, message| {
        let expected = refusals(channel.capabilities(), message);
        match channel.plan(message) {
            Ok(_) if expected.is_empty() => Ok(Judged::Yes),
            Ok(_) => Err(format!("{expected:?} should be refused")),
            Err(r) if r.reason.trim().is_empty() => Err(format!("{} for no reason", r.argument)),
            Err(r) if expected.contains(r.argument) => Ok(Judged::Yes),
            Err(r) if debatable(message) && r.argument == "quick_replies" => Ok(Judged::No),
            Err(r) => Err(format!("refused ({r}), which no capability says")),
        }
    })
}

/// The laws of what is taken.
pub fn keeps(subject: &Subject) -> Result<(), String> {
    over_messages(subject, CASES, |channel, message| {
        let Ok(parts) = channel.plan(message) else {
            return Ok(Judged::No);
        };
        if channel.plan(message).as_ref() != Ok(&parts) {
            return Err("two plans of one message differ".into());
        }
        let declared = channel.capabilities();
        numbered(message, &parts)?;
        stored(&parts)?;
        fitting(declared, &parts)?;
        attached(declared, message, &parts)?;
        extras(declared, message, &parts)?;
        text(declared, message, &parts)?;
        Ok(Judged::Yes)
    })
}

/// Parts know their place; the reply is on the first, the choices on the last.
fn numbered(message: &Outgoing, parts: &[Part]) -> Result<(), String> {
    if parts.is_empty() {
        return Err("a message of no parts is never sent".into());
    }
    for (i, part) in parts.iter().enumerate() {
        let place = (usize::from(part.index), usize::from(part.of));
        if place != (i, parts.len()) {
            return Err(format!("part {i} of {} says it is {place:?}", parts.len()));
        }
        if part.message != message.id || part.to != message.to {
            return Err(format!("part {i} is of another message"));
        }
        if part.reply_to.is_some() && (i > 0 || part.reply_to != message.reply_to) {
            return Err(format!("part {i} answers {:?}", part.reply_to));
        }
        if !part.choices.is_empty() && (i + 1 < parts.len() || part.choices != message.choices) {
            return Err(format!("part {i} has choices that are not its own"));
        }
        if part.expires_at != message.expires_at {
            return Err(format!("part {i} expires at another time"));
        }
    }
    Ok(())
}

/// Parts survive being stored.
fn stored(parts: &[Part]) -> Result<(), String> {
    for part in parts {
        let text = serde_json::to_string(part).map_err(|e| e.to_string())?;
        let back: Part = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        if back != *part {
            return Err(format!("a stored part comes back changed: {text}"));
        }
    }
    Ok(())
}

/// The texts of a part, and whether each is a caption.
fn texts_of(part: &Part) -> impl Iterator<Item = (&str, bool)> {
    part.body.flat().iter().filter_map(|body| match body {
        PartBody::Text { text } => Some((text.as_str(), false)),
        PartBody::Media { caption, .. } | PartBody::Album { caption, .. } => {
            caption.as_deref().map(|c| (c, true))
        }
        PartBody::Location { .. }
        | PartBody::Contact { .. }
        | PartBody::Template { .. }
        | PartBody::Bundle { .. } => None,
    })
}

/// Each part is within the limits.
fn fitting(declared: &Capabilities, parts: &[Part]) -> Result<(), String> {
    for part in parts {
        for (text, is_caption) in texts_of(part) {
            let limit = if is_caption {
                declared.caption.ok_or("a caption, but none is declared")?
            } else {
                declared.text
            };
            if text.is_empty() || !limit.fits(text) {
                let length = limit.unit.len(text);
                return Err(format!("part {} has a text of {length}", part.index));
            }
        }
        if let PartBody::Album { attachments, .. } = &part.body
            && !(2..=declared.album).contains(&attachments.len())
        {
            return Err(format!("an album of {}", attachments.len()));
        }
    }
    Ok(())
}

/// Each attachment goes once, in order, as the kind that the capabilities say.
fn attached(declared: &Capabilities, message: &Outgoing, parts: &[Part]) -> Result<(), String> {
    let sent: Vec<&OutgoingAttachment> = parts
        .iter()
        .flat_map(|part| part.body.flat())
        .flat_map(|body| match body {
            PartBody::Media { attachment, .. } => vec![attachment],
            PartBody::Album { attachments, .. } => attachments.iter().collect(),
            _ => Vec::new(),
        })
        .collect();
    let same = |a: &OutgoingAttachment, b: &OutgoingAttachment| {
        let kinds = [Some(a.kind), declared.carried_as(a.kind, &a.mime)];
        a.name == b.name && a.url == b.url && kinds.contains(&Some(b.kind))
    };
    let all = message
        .attachments
        .iter()
        .zip(&sent)
        .all(|(a, b)| same(a, b));
    if all && sent.len() == message.attachments.len() {
        return Ok(());
    }
    Err(format!("{:?} go out as {sent:?}", message.attachments))
}

/// Places, cards, choices and templates are there: as themselves, or in words where that is the
/// declared fallback.
fn extras(declared: &Capabilities, message: &Outgoing, parts: &[Part]) -> Result<(), String> {
    let (mut places, mut cards, mut templates) = (Vec::new(), Vec::new(), Vec::new());
    for body in parts.iter().flat_map(|part| part.body.flat()) {
        match body {
            PartBody::Location { location } => places.push(location),
            PartBody::Contact { contact } => cards.push(contact),
            PartBody::Template { template } => templates.push(template),
            _ => {}
        }
    }
    let words: String = parts.iter().flat_map(texts_of).map(|(t, _)| t).collect();
    let in_words =
        |support, text: &str| matches!(support, Support::Fallback(_)) && words.contains(text);
    let place = message.location.as_ref();
    if places != Vec::from_iter(place)
        && !place.is_some_and(|p| places.is_empty() && in_words(declared.location, &p.as_text()))
    {
        return Err(format!("the place {place:?} goes out as {places:?}"));
    }
    let named = |c: &switchboard_channels::model::ContactCard| in_words(declared.contact, &c.name);
    if cards != Vec::from_iter(&message.contacts)
        && !(cards.is_empty() && message.contacts.iter().all(named))
    {
        return Err(format!(
            "the cards {:?} go out as {cards:?}",
            message.contacts
        ));
    }
    if templates != Vec::from_iter(message.template.as_ref()) {
        return Err(format!("the template goes out as {templates:?}"));
    }
    let offered = parts.last().is_some_and(|p| p.choices == message.choices);
    let titled = |c: &switchboard_channels::model::Choice| in_words(declared.choices, &c.title);
    if !offered && !message.choices.iter().all(titled) {
        return Err("the choices are lost".into());
    }
    Ok(())
}

/// The texts joined give the text back, and no grapheme is cut.
fn text(declared: &Capabilities, message: &Outgoing, parts: &[Part]) -> Result<(), String> {
    let pieces: Vec<&str> = parts.iter().flat_map(texts_of).map(|(t, _)| t).collect();
    let joined = pieces.concat();
    if message.text.trim().is_empty() && joined.trim().is_empty() {
        return Ok(()); // Nobody sees a blank text: it may be left out.
    }
    let fallback = |used: bool, support| used && matches!(support, Support::Fallback(_));
    let added = fallback(message.location.is_some(), declared.location)
        || fallback(!message.contacts.is_empty(), declared.contact)
        || fallback(!message.choices.is_empty(), declared.choices);
    let start = if added {
        joined.find(message.text.trim())
    } else {
        (joined == message.text).then_some(0)
    };
    let Some(start) = start else {
        return Err(format!("the text goes out as {pieces:?}"));
    };
    // A grapheme that is longer than a whole part has to be cut; nothing else has.
    let limit = declared.caption.unwrap_or(declared.text);
    if joined.graphemes(true).any(|g| !limit.fits(g)) {
        return Ok(());
    }
    let borders: std::collections::BTreeSet<usize> =
        joined.grapheme_indices(true).map(|(i, _)| i).collect();
    let mut at = 0;
    for piece in pieces {
        if at > start && !borders.contains(&at) {
            return Err(format!("a grapheme is cut before {piece:?}"));
        }
        at += piece.len();
    }
    Ok(())
}
