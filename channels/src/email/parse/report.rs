//! Mail by which servers and programs report on mail of ours: delivered, failed, read, complained of.
//!
//! Anybody can write such a mail. It counts only for a message whose Message-ID is of our pattern, and
//! a status only moves forward.

use super::letter::Letter;
use super::limits;
use crate::email::classify;
use crate::email::config::Settings;
use crate::email::wire::address::Address;
use crate::email::wire::ids;
use crate::error::Words;
use crate::model::{
    AccountNotice, DeliveryStatus, Event, EventBody, Millis, Sender, StatusUpdate, UserChange,
};
use mail_parser::{MimeHeaders, PartType};

/// What kind of report a mail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On delivery (RFC 3464).
    Delivery,
    /// On reading (RFC 8098).
    Disposition,
    /// On a complaint (RFC 5965).
    Feedback,
    /// A bounce in words only.
    Bounce,
}

/// Whether a mail is a report.
pub fn kind(letter: &Letter<'_>, from: Option<&Address>) -> Option<Kind> {
    let typed = letter.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if typed.starts_with("multipart/report") {
        for (name, kind) in [
            ("delivery-status", Kind::Delivery),
            ("disposition-notification", Kind::Disposition),
            ("feedback-report", Kind::Feedback),
        ] {
            if typed.contains(name) {
                return Some(kind);
            }
        }
    }
    let daemon = from.is_some_and(|a| matches!(a.local(), "mailer-daemon" | "postmaster"));
    let bounced = letter.header("x-failed-recipients").is_some()
        || (daemon && super::automatic::null_sender(letter));
    bounced.then_some(Kind::Bounce)
}

/// What a report says.
pub fn events(
    settings: &Settings,
    letter: &Letter<'_>,
    kind: Kind,
    key: &str,
    at: Millis,
) -> Vec<Event> {
    let report = Report {
        settings,
        letter,
        key,
        at,
    };
    match kind {
        Kind::Delivery => report.delivery(),
        Kind::Disposition => report.disposition(),
        Kind::Feedback => report.feedback(),
        Kind::Bounce => vec![report.bounce()],
    }
}

struct Report<'l, 'a> {
    settings: &'l Settings,
    letter: &'l Letter<'a>,
    key: &'l str,
    at: Millis,
}

/// The fields of one block: lower-case name and value.
type Block = Vec<(String, String)>;

impl Report<'_, '_> {
    fn event(&self, number: usize, body: EventBody) -> Event {
        Event {
            key: format!("{}#{number}", self.key),
            at: self.at,
            account: None,
            sender: None,
            thread: None,
            body,
        }
    }

    /// A report that nothing of ours is known to belong to, for the operator.
    fn notice(&self, number: usize, topic: &str, detail: &str) -> Event {
        let detail = limits::chars(detail.trim(), Words::MAX_CHARS);
        let topic = topic.to_owned();
        self.event(number, EventBody::Notice(AccountNotice { topic, detail }))
    }

    fn delivery(&self) -> Vec<Event> {
        let blocks = self.blocks("delivery-status");
        let message = self.message_id();
        let mut events = Vec::new();
        let per_recipient = blocks.iter().filter(|b| field(b, "action").is_some());
        for (number, block) in per_recipient.enumerate().take(limits::REPORTED) {
            let action = field(block, "action").unwrap_or_default().to_ascii_lowercase();
            let whom = field(block, "final-recipient").or(field(block, "original-recipient"));
            let whom = whom.and_then(|w| w.rsplit(';').next()).unwrap_or_default().trim();
            let diagnostic = field(block, "diagnostic-code").unwrap_or_default();
            let text = if diagnostic.is_empty() {
                format!("{action}: {whom}")
            } else {
                format!("{whom}: {diagnostic}")
            };
            let status = match action.split_whitespace().next() {
                Some("failed") => DeliveryStatus::Failed,
                Some("delivered" | "relayed" | "expanded") => DeliveryStatus::Delivered,
                _ => {
                    events.push(self.notice(number, "mail delayed", &text));
                    continue;
                }
            };
            let Some(id) = &message else {
                events.push(self.notice(number, "report on a mail that is not ours", &text));
                continue;
            };
            let code = field(block, "status").unwrap_or_default();
            let error = (status == DeliveryStatus::Failed).then(|| {
                let class = classify::reported(enhanced(code), diagnostic);
                (class, Words::new(code, &text))
            });
            events.push(self.event(number, update(id, status, error)));
        }
        if events.is_empty() {
            return vec![self.bounce()];
        }
        events
    }

    /// A bounce without fields: an id of ours and a status code anywhere in its text.
    fn bounce(&self) -> Event {
        let text = self.text();
        let code = enhanced_in(&text);
        let words = code.map_or_else(String::new, |(a, b, c)| format!("{a}.{b}.{c}"));
        let failed = self.letter.header("x-failed-recipients").unwrap_or_default();
        let line = text.lines().find(|l| enhanced_in(l).is_some()).unwrap_or_default();
        let detail = format!("{failed} {line}");
        match self.message_id() {
            Some(id) => {
                let class = classify::reported(code, line);
                let error = Some((class, Words::new(words, detail)));
                self.event(0, update(&id, DeliveryStatus::Failed, error))
            }
            None => self.notice(0, "bounce of a mail that is not ours", &detail),
        }
    }

    fn disposition(&self) -> Vec<Event> {
        let blocks = self.blocks("disposition-notification");
        let find = |name: &str| blocks.iter().find_map(|b| field(b, name));
        let disposition = find("disposition").unwrap_or_default().to_ascii_lowercase();
        let named = find("original-message-id").map(|id| id.trim_matches(['<', '>', ' ']).to_owned());
        let message = named.filter(|id| self.is_ours(id)).or_else(|| self.message_id());
        match message {
            Some(id) if disposition.contains("displayed") => {
                vec![self.event(0, update(&id, DeliveryStatus::Read, None))]
            }
            _ => vec![self.notice(0, "disposition of a mail", &disposition)],
        }
    }

    /// A complaint: whoever clicked on "spam" wants nothing more.
    fn feedback(&self) -> Vec<Event> {
        let blocks = self.blocks("feedback-report");
        let find = |name: &str| blocks.iter().find_map(|b| field(b, name));
        let whom = find("original-rcpt-to").or(find("removal-recipient"));
        let whom = whom.and_then(|w| Address::read(w.trim_matches(['<', '>', ' '])));
        let kind = find("feedback-type").unwrap_or_default().to_ascii_lowercase();
        let (Some(whom), Some(_), "abuse" | "opt-out" | "opt-out-list") =
            (whom, self.message_id(), kind.trim())
        else {
            return vec![self.notice(0, "feedback", &kind)];
        };
        let mut event = self.event(0, EventBody::User(UserChange::OptedOut));
        event.sender = Some(Sender {
            ids: vec![whom.text().to_owned()],
            email: Some(whom.text().to_owned()),
            ..Sender::default()
        });
        vec![event]
    }

    /// The blocks of fields in the machine's part of the report.
    fn blocks(&self, subtype: &str) -> Vec<Block> {
        let parts = self.letter.message.parts.iter().take(limits::PARTS);
        let part = parts.into_iter().find(|p| p.is_content_type("message", subtype));
        let Some(part) = part else { return Vec::new() };
        let text = match &part.body {
            PartType::Text(text) | PartType::Html(text) => text.to_string(),
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            PartType::Message(_) | PartType::Multipart(_) => return Vec::new(),
        };
        let mut blocks: Vec<Block> = vec![Vec::new()];
        for line in limits::head(&text, limits::SEARCHED_BYTES).lines() {
            if line.trim().is_empty() {
                if blocks.last().is_some_and(|b| !b.is_empty()) {
                    blocks.push(Vec::new());
                }
                continue;
            }
            let Some(block) = blocks.last_mut() else { continue };
            if line.starts_with([' ', '\t'])
                && let Some((_, value)) = block.last_mut()
            {
                value.push(' ');
                value.push_str(line.trim());
            } else if let Some((name, value)) = line.split_once(':') {
                block.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        blocks
    }

    fn is_ours(&self, id: &str) -> bool {
        ids::read_message_id(self.settings, id).is_some()
    }

    /// The id of the mail of ours that is reported on: that of the returned part, else one that is
    /// referred to, else one anywhere in the text.
    fn message_id(&self) -> Option<String> {
        for part in self.letter.message.parts.iter().take(limits::PARTS) {
            let found = match &part.body {
                PartType::Message(message) if !message.parts.is_empty() => {
                    message.message_id().map(str::to_owned)
                }
                PartType::Text(text) if part.is_content_type("text", "rfc822-headers") => {
                    self.in_text(text)
                }
                _ => None,
            };
            if let Some(id) = found.filter(|id| self.is_ours(id)) {
                return Some(id);
            }
        }
        let referred = ["in-reply-to", "references"].into_iter();
        let referred = referred.flat_map(|name| self.letter.ids(name));
        let found = referred.into_iter().find(|id| self.is_ours(id));
        found.or_else(|| self.in_text(&self.text()))
    }

    /// An id of ours in a text.
    fn in_text(&self, text: &str) -> Option<String> {
        let text = limits::head(text, limits::SEARCHED_BYTES);
        let mut words = text.split(|c: char| c.is_whitespace() || "<>()[]\"',;:".contains(c));
        words.find(|w| self.is_ours(w)).map(str::to_owned)
    }

    /// All text of the report, as far as it is searched.
    fn text(&self) -> String {
        let mut text = String::new();
        for part in self.letter.message.parts.iter().take(limits::PARTS) {
            match &part.body {
                PartType::Text(t) => text.push_str(limits::head(t, limits::SEARCHED_BYTES)),
                PartType::Html(t) => text.push_str(&super::html::to_text(t, false).text),
                PartType::Binary(bytes) => {
                    let head = bytes.get(..limits::SEARCHED_BYTES).unwrap_or(bytes);
                    text.push_str(&String::from_utf8_lossy(head));
                }
                _ => {}
            }
            text.push('\n');
            if text.len() > limits::SEARCHED_BYTES {
                break;
            }
        }
        limits::head(&text, limits::SEARCHED_BYTES).to_owned()
    }
}

fn update(
    id: &str,
    status: DeliveryStatus,
    error: Option<(crate::error::Class, Words)>,
) -> EventBody {
    EventBody::Status(StatusUpdate {
        platform_id: id.to_owned(),
        status,
        error,
        our_reference: None,
        watermark: None,
    })
}

fn field<'b>(block: &'b Block, name: &str) -> Option<&'b str> {
    block.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

/// An enhanced status code.
fn enhanced(text: &str) -> Option<classify::Enhanced> {
    let mut fields = text.split_whitespace().next()?.split('.');
    let class: u8 = fields.next()?.parse().ok()?;
    let (subject, detail) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (fields.next().is_none() && matches!(class, 2 | 4 | 5)).then_some((class, subject, detail))
}

/// The first failure's code anywhere in a text.
fn enhanced_in(text: &str) -> Option<classify::Enhanced> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    let mut codes = words.map(|w| w.trim_matches('.')).filter_map(enhanced);
    codes.find(|(class, ..)| *class != 2)
}
