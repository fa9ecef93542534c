//! What a strict server takes of a mail (RFC 5322, 2045), and what of it is shown.

use super::super::wire::address::Address;
use crate::kit::emulator::PhoneLine;
use crate::model::Millis;
use mail_parser::{HeaderValue, MessageParser, MimeHeaders, PartType};

/// RFC 5322, 2.1.1: octets of a line without its end.
const LINE_MAX: usize = 998;
/// Headers that every mail has exactly once (RFC 5322, 3.6; `Message-ID` and `To` by custom).
const ONCE: [&str; 6] = ["From", "To", "Date", "Message-ID", "Subject", "MIME-Version"];

/// A mail that was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Its Message-ID, without brackets.
    pub id: String,
    /// Its subject.
    pub subject: String,
    /// Where an answer goes.
    pub reply_to: Address,
    /// What it refers to.
    pub references: Vec<String>,
    /// Its text.
    pub text: String,
    extras: Vec<String>,
}

impl Taken {
    /// The mail on somebody's screen.
    pub fn line(&self, to: &Address, at: Millis) -> PhoneLine {
        PhoneLine {
            customer: to.text().to_owned(),
            name: to.text().to_owned(),
            id: self.id.clone(),
            from_gateway: true,
            text: self.text.clone(),
            extras: self.extras.clone(),
            buttons: Vec::new(),
            reactions: Vec::new(),
            at,
        }
    }
}

/// Reads a mail as strictly as its readers might.
///
/// # Errors
/// With what is wrong with it.
pub fn taken(raw: &[u8], from: &Address) -> Result<Taken, String> {
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|b| *b == b'\n') {
        let line = rest.get(..at).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err("a line ends without a carriage return".to_owned());
        };
        if line.len() > LINE_MAX || line.contains(&b'\r') || line.contains(&0) {
            return Err("a line is too long or holds what no line may".to_owned());
        }
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    let message = MessageParser::default().parse(raw);
    let message = message.ok_or("there is no header")?;
    let root = message.parts.first().ok_or("there is no part")?;
    for name in ONCE {
        let count = root.headers.iter().filter(|h| h.name.as_str().eq_ignore_ascii_case(name)).count();
        if count != 1 {
            return Err(format!("{name} is there {count} times"));
        }
    }
    let header_end = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(raw.len());
    if !raw.get(..header_end).unwrap_or_default().is_ascii() {
        return Err("the header is not ASCII".to_owned());
    }
    let address = |list: Option<&mail_parser::Address<'_>>| {
        list.and_then(|l| l.first()).and_then(|a| a.address.as_deref()).and_then(Address::read)
    };
    if address(message.from()).as_ref() != Some(from) {
        return Err("From is somebody else".to_owned());
    }
    if message.parts.iter().any(|p| p.is_encoding_problem) {
        return Err("a part cannot be decoded".to_owned());
    }
    let mut bodies = message.text_body.iter().filter_map(|i| {
        match &message.parts.get(usize::try_from(*i).ok()?)?.body {
            PartType::Text(text) => Some(text.replace("\r\n", "\n")),
            _ => None,
        }
    });
    let text = bodies.next().ok_or("there is no plain text")?;
    if message.html_body.is_empty() {
        return Err("there is no HTML alternative".to_owned());
    }
    let mut extras = Vec::new();
    for part in message.attachments() {
        let name = part.attachment_name().ok_or("an attachment has no name")?;
        extras.push(format!("{name} ({} bytes)", part.contents().len()));
    }
    let id = message.message_id().ok_or("the Message-ID cannot be read")?;
    if !id.contains('@') {
        return Err("the Message-ID is none".to_owned());
    }
    let references = match message.references() {
        HeaderValue::Text(id) => vec![id.to_string()],
        HeaderValue::TextList(ids) => ids.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    Ok(Taken {
        id: id.to_owned(),
        subject: message.subject().unwrap_or_default().to_owned(),
        reply_to: address(message.reply_to()).unwrap_or_else(|| from.clone()),
        references,
        text: text.trim_end_matches('\n').to_owned(),
        extras,
    })
}
