//! What a platform can carry, as plain data: `plan` must agree with it, and the suite holds it to
//! that.

use super::message::AttachmentKind;
use serde::Serialize;

/// In which unit a platform counts a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Unicode scalar values.
    Chars,
    /// UTF-16 code units: an emoji counts two or more.
    Utf16,
    /// Bytes of UTF-8.
    Bytes,
}

impl Unit {
    /// The length of `text` in this unit.
    pub fn len(self, text: &str) -> usize {
        match self {
            Self::Chars => text.chars().count(),
            Self::Utf16 => text.encode_utf16().count(),
            Self::Bytes => text.len(),
        }
    }
}

/// How long a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TextLimit {
    /// The most that one part takes.
    pub max: usize,
    /// What is counted.
    pub unit: Unit,
}

impl TextLimit {
    /// Whether `text` fits into one part.
    pub fn fits(&self, text: &str) -> bool {
        self.unit.len(text) <= self.max
    }
}

/// How a feature is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// The platform has it.
    Native,
    /// The platform has it not; we convert, and this says how.
    Fallback(&'static str),
    /// Refused by `plan`, or never seen inbound.
    No,
}

/// What a platform takes of one kind of attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MediaLimit {
    /// The kind.
    pub kind: AttachmentKind,
    /// MIME types that go as this kind; empty = any. Others go as a file where files are carried.
    pub mimes: &'static [&'static str],
    /// The most bytes that the platform takes.
    pub max_bytes: u64,
}

/// How fast a platform wants to be spoken to. The defaults of a channel's lane.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pacing {
    /// Parts per second over the whole account.
    pub rate_per_second: f64,
    /// Parts that may go at once after a rest.
    pub rate_burst: u32,
    /// Parts per second to one recipient; `None` where the platform has no such limit.
    pub rate_per_recipient_per_second: Option<f64>,
    /// Parts that may go to one recipient at once after a rest.
    pub recipient_burst: u32,
    /// Requests under way at once, per worker process.
    pub max_in_flight: u32,
}

/// Whether a repeated request can be recognised by the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Idempotency {
    /// No: a repeated request sends twice.
    None,
    /// Yes: the same key sends once.
    Key,
}

/// Among whom a platform's user id names one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityScope {
    /// Within one channel: another account of the same kind sees another id.
    Channel,
    /// Over all channels of the kind.
    Kind,
    /// The id is, or comes with, a telephone number: shared with every phone-based kind.
    Phone,
    /// The id is an e-mail address.
    Email,
}

/// What a channel can do. The default claims nothing.
#[derive(Debug, Clone, Serialize)]
pub struct Capabilities {
    /// The text of one part.
    pub text: TextLimit,
    /// The text that goes with an attachment; `None`: it goes as a part of its own.
    pub caption: Option<TextLimit>,
    /// Attachments, by kind. A kind that is not listed is refused.
    pub media: &'static [MediaLimit],
    /// Attachments that one part can hold.
    pub album: usize,
    /// Places, outbound.
    pub location: Support,
    /// Contact cards, outbound.
    pub contact: Support,
    /// Answering a certain message.
    pub reply: Support,
    /// Choices offered with a message.
    pub choices: Support,
    /// The most choices that one message may offer.
    pub max_choices: usize,
    /// Approved templates.
    pub template: Support,
    /// Statuses that the platform reports after it accepted a message.
    pub statuses: &'static [&'static str],
    /// Inbound kinds of event that the channel produces: names of `EventBody`.
    pub inbound: &'static [&'static str],
    /// Hours after the person's last message during which free text is taken; `None`: always.
    pub window_hours: Option<u32>,
    /// Whether a repeated request is recognised.
    pub idempotency: Idempotency,
    /// Among whom a user id names one person.
    pub identity: IdentityScope,
    /// How fast the platform wants to be spoken to.
    pub pacing: Pacing,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            text: TextLimit {
                max: 0,
                unit: Unit::Chars,
            },
            caption: None,
            media: &[],
            album: 1,
            location: Support::No,
            contact: Support::No,
            reply: Support::No,
            choices: Support::No,
            max_choices: 0,
            template: Support::No,
            statuses: &[],
            inbound: &[],
            window_hours: None,
            idempotency: Idempotency::None,
            identity: IdentityScope::Channel,
            pacing: Pacing {
                rate_per_second: 1.0,
                rate_burst: 1,
                rate_per_recipient_per_second: None,
                recipient_burst: 1,
                max_in_flight: 1,
            },
        }
    }
}

impl Capabilities {
    /// What the platform takes of this kind.
    pub fn media_limit(&self, kind: AttachmentKind) -> Option<&'static MediaLimit> {
        self.media.iter().find(|m| m.kind == kind)
    }

    /// As which kind an attachment of this kind and type can go: as itself where the type is
    /// listed, else as a file, else not at all.
    pub fn carried_as(&self, kind: AttachmentKind, mime: &str) -> Option<AttachmentKind> {
        let takes = |m: &&MediaLimit| m.mimes.is_empty() || m.mimes.contains(&mime);
        self.media_limit(kind)
            .filter(takes)
            .or_else(|| self.media_limit(AttachmentKind::File).filter(takes))
            .map(|m| m.kind)
    }
}
