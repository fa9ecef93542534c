//! Messages as proptest makes them: everything that a caller may write, and what of it a channel
//! with certain capabilities must refuse.

use super::fixture::Subject;
use super::outbound::Written;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;
use switchboard_channels::model::{
    AttachmentKind, Capabilities, Choice, ContactCard, Location, MessageId, Millis, Outgoing,
    OutgoingAttachment, Support, Template,
};

/// What only a platform's own fixtures can give: ids and names in its own form.
#[derive(Debug, Clone)]
pub struct Samples {
    /// Where messages go.
    pub to: String,
    /// The platform's id of a message.
    pub reply_to: String,
    /// A template.
    pub template: Template,
}

impl Samples {
    /// From the outbound fixtures; stand-ins where the kind has nothing of the sort.
    pub fn of(subject: &Subject) -> Result<Self, String> {
        let channel = subject.channel()?;
        let to = channel
            .recipient(&subject.setup()?.to)
            .map_err(|e| e.to_string())?;
        let mut samples = Self {
            to: to.address,
            reply_to: String::new(),
            template: Template {
                name: "welcome".to_owned(),
                languages: vec!["en".to_owned()],
                header: Vec::new(),
                body: Vec::new(),
                buttons: Vec::new(),
            },
        };
        for name in subject.census().outbound {
            let written = Written::read(subject, &name)?;
            if channel.plan(&written.outgoing()).is_ok() {
                samples.reply_to = written.reply_to.unwrap_or(samples.reply_to);
                samples.template = written.template.unwrap_or(samples.template);
            }
        }
        if samples.reply_to.is_empty() && channel.capabilities().reply != Support::No {
            return Err("no outbound fixture has a `reply_to` to take as a sample".into());
        }
        Ok(samples)
    }
}

/// Pieces of text that splitters get wrong: graphemes of many units, marks, borders of all kinds.
const PIECES: [&str; 20] = [
    "word",
    "a",
    " ",
    " ",
    "\n",
    "\n\n",
    ". ",
    "! ",
    "。",
    "é",
    "e\u{301}",
    "ß",
    "語",
    "👍🏽",
    "👨‍👩‍👧",
    "🇸🇪",
    "नि",
    "https://example.net/a?b=c",
    "&<>\"'",
    "*_`~",
];

fn text() -> impl Strategy<Value = String> {
    // Up to 6000 units: more than any platform takes at once.
    let joined = |pieces: Vec<&'static str>| {
        let mut units = 0;
        let fits = |piece: &&str| {
            units += piece.encode_utf16().count();
            units <= 6000
        };
        pieces.into_iter().take_while(fits).collect::<String>()
    };
    prop_oneof![
        2 => Just(String::new()),
        4 => "[a-zA-Z ,.é]{1,60}",
        2 => "\\PC{0,300}",
        3 => vec(select(&PIECES[..]), 1..60).prop_map(joined),
        3 => vec(select(&PIECES[..]), 200..2500).prop_map(joined),
        1 => (select(&PIECES[..]), 500usize..3000).prop_map(move |(p, n)| joined(vec![p; n])),
    ]
}

const FILES: [&str; 16] = [
    "a.jpg", "b.png", "c.gif", "d.webp", "e.mp4", "f.webm", "g.mov", "h.mp3", "i.ogg", "j.m4a",
    "k.pdf", "l.zip", "m.txt", "n.docx", "o.vcf", "p",
];

fn attachment() -> impl Strategy<Value = OutgoingAttachment> {
    let plain = (select(&FILES[..]), 0..1000).prop_map(|(name, n)| {
        OutgoingAttachment::new(name, format!("https://files.example.net/{n}/{name}"))
    });
    // Kinds that no file name suggests: notes and stickers are called so by whoever made them.
    let special = (any::<bool>(), 0..1000).prop_map(|(voice, n)| {
        let (name, kind) = if voice {
            ("note.ogg", AttachmentKind::Voice)
        } else {
            ("wave.webp", AttachmentKind::Sticker)
        };
        let url = format!("https://files.example.net/{n}/{name}");
        let plain = OutgoingAttachment::new(name, url);
        OutgoingAttachment { kind, ..plain }
    });
    prop_oneof![6 => plain, 1 => special]
}

fn choices(max: usize) -> impl Strategy<Value = Vec<Choice>> {
    prop_oneof![3 => Just(0), 2 => 0..=max + 2].prop_map(|n| {
        let choice = |i| Choice {
            title: format!("Choice {i}"),
            payload: format!("choice-{i}"),
            url: None,
        };
        (1..=n).map(choice).collect()
    })
}

fn location() -> impl Strategy<Value = Location> {
    let name = weighted(0.5, "[A-Z][a-z]{2,8}");
    (-90.0..90.0f64, -180.0..180.0f64, name).prop_map(|(latitude, longitude, name)| Location {
        latitude: (latitude * 1e4).round() / 1e4,
        longitude: (longitude * 1e4).round() / 1e4,
        address: name.as_ref().map(|n| format!("{n} Street 1")),
        name,
    })
}

fn contact() -> impl Strategy<Value = ContactCard> {
    ("[A-Z][a-z]{2,8}", "[A-Z][a-z]{2,8}", 1_000_000..9_999_999).prop_map(|(first, last, n)| {
        ContactCard {
            name: format!("{first} {last}"),
            phones: vec![format!("+4670{n}")],
            first_name: Some(first),
            last_name: Some(last),
            ..ContactCard::default()
        }
    })
}

/// Messages for a channel with these capabilities, among them some that it must refuse.
pub fn message(declared: &Capabilities, samples: Samples) -> impl Strategy<Value = Outgoing> {
    let plain = (
        text(),
        prop_oneof![3 => vec(attachment(), 0..1), 3 => vec(attachment(), 1..3), 1 => vec(attachment(), 0..13)],
        weighted(0.1, location()),
        prop_oneof![9 => vec(contact(), 0..1), 1 => vec(contact(), 1..3)],
        any::<(bool, bool)>(),
        choices(declared.max_choices),
    );
    let Samples {
        to,
        reply_to,
        template,
    } = samples;
    let empty = Outgoing::new(MessageId(42), to);
    let approved = Outgoing {
        template: Some(template),
        ..empty.clone()
    };
    let plain = plain.prop_map(
        move |(text, attachments, location, contacts, (replies, expires), choices)| Outgoing {
            text,
            attachments,
            location,
            contacts,
            reply_to: (replies && expires).then(|| reply_to.clone()),
            choices,
            expires_at: expires.then_some(Millis(1_795_000_700_000)),
            ..empty.clone()
        },
    );
    prop_oneof![19 => plain, 1 => Just(approved)]
}

/// The arguments for which a channel with these capabilities must refuse the message.
pub fn refusals(declared: &Capabilities, message: &Outgoing) -> BTreeSet<&'static str> {
    let carried = |a: &OutgoingAttachment| declared.carried_as(a.kind, &a.mime).is_some();
    let offered = message.choices.len();
    let no_choices = declared.choices == Support::No || offered > declared.max_choices;
    let no = |support: Support| support == Support::No;
    [
        ("message", message.is_empty()),
        ("attachments", !message.attachments.iter().all(carried)),
        ("quick_replies", offered > 0 && no_choices),
        (
            "location",
            message.location.is_some() && no(declared.location),
        ),
        (
            "contacts",
            !message.contacts.is_empty() && no(declared.contact),
        ),
        ("reply_to", message.reply_to.is_some() && no(declared.reply)),
        (
            "template",
            message.template.is_some() && no(declared.template),
        ),
    ]
    .into_iter()
    .filter_map(|(argument, refused)| refused.then_some(argument))
    .collect()
}

/// Whether the platforms differ over a message that no capability speaks about: choices need a text
/// to stand under, and some platforms cannot put one there for us.
pub fn debatable(message: &Outgoing) -> bool {
    !message.choices.is_empty() && message.text.trim().is_empty()
}
