//! A parsed mail with bounds on everything that is asked of it.

use super::limits;
use crate::kit::sign::sha256_hex;
use mail_parser::{Address as Addresses, HeaderValue, Message, MessageParser};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

static PARSER: LazyLock<MessageParser> = LazyLock::new(MessageParser::default);

/// A mail.
pub struct Letter<'a> {
    /// As the parser read it.
    pub message: Message<'a>,
    /// Byte for byte.
    pub raw: &'a [u8],
    /// Whether the body was left unread: it is too large, or nested too deep.
    pub headers_only: bool,
    headers: Vec<(String, String)>,
}

/// A name and an address as they were written.
pub type Written<'a> = (Option<&'a str>, &'a str);

impl<'a> Letter<'a> {
    /// Reads a mail; `None`: there is not one header in it. `truncated`: the body is missing.
    pub fn read(raw: &'a [u8], truncated: bool) -> Option<Self> {
        let headers_only =
            truncated || raw.len() > limits::MAIL_BYTES || nested(raw) > limits::NESTED;
        let whole = || {
            if headers_only {
                return None;
            }
            // The parser promises not to panic; a mail that proves it wrong must not stop the mailbox.
            catch_unwind(AssertUnwindSafe(|| PARSER.parse(raw))).ok()
        };
        let (message, headers_only) = match whole() {
            Some(message) => (message?, false),
            None => {
                let block = raw.get(..limits::HEADER_BLOCK_BYTES).unwrap_or(raw);
                let read = catch_unwind(AssertUnwindSafe(|| PARSER.parse_headers(block)));
                (read.ok()??.into_owned(), true)
            }
        };
        let root = message.parts.first();
        let fields = root.map_or(&[][..], |p| p.headers.as_slice());
        let mut headers = Vec::new();
        for header in fields.iter().take(limits::HEADERS) {
            let from = usize::try_from(header.offset_start).unwrap_or(usize::MAX);
            let to = usize::try_from(header.offset_end).unwrap_or(usize::MAX);
            let value = raw.get(from..to).unwrap_or_default();
            let value = value.get(..limits::HEADER_BYTES).unwrap_or(value);
            let value = String::from_utf8_lossy(value);
            let unfolded: Vec<&str> = value.split_whitespace().collect();
            headers.push((header.name.as_str().to_ascii_lowercase(), unfolded.join(" ")));
        }
        if headers.is_empty() {
            return None;
        }
        Some(Self {
            message,
            raw,
            headers_only,
            headers,
        })
    }

    /// The topmost value of a header, unfolded and not decoded.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a header, from the top.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let found = self.headers.iter().filter(move |(n, _)| n == name);
        found.map(|(_, v)| v.as_str())
    }

    fn value(&self, name: &str) -> Option<&HeaderValue<'a>> {
        let root = self.message.parts.first()?;
        let mut found = root.headers.iter().filter(|h| h.name.as_str().eq_ignore_ascii_case(name));
        found.next().map(|h| &h.value)
    }

    /// Names and addresses of a header.
    pub fn addresses(&self, name: &str) -> Vec<Written<'_>> {
        let Some(HeaderValue::Address(list)) = self.value(name) else {
            return Vec::new();
        };
        let addresses: Vec<_> = match list {
            Addresses::List(list) => list.iter().collect(),
            Addresses::Group(groups) => groups.iter().flat_map(|g| &g.addresses).collect(),
        };
        addresses
            .into_iter()
            .filter_map(|a| Some((a.name.as_deref(), a.address.as_deref()?)))
            .collect()
    }

    /// Message-IDs of a header, without brackets.
    pub fn ids(&self, name: &str) -> Vec<String> {
        let texts: Vec<&str> = match self.value(name) {
            Some(HeaderValue::Text(text)) => vec![text],
            Some(HeaderValue::TextList(list)) => list.iter().map(AsRef::as_ref).collect(),
            _ => return Vec::new(),
        };
        texts
            .into_iter()
            .flat_map(|t| t.split(|c: char| c.is_whitespace() || c == ',' || c == '<' || c == '>'))
            .filter(|id| !id.is_empty() && id.len() <= limits::ID_BYTES)
            .map(|id| id.chars().filter(|c| !c.is_control()).collect())
            .collect()
    }

    /// The decoded subject on one line.
    pub fn subject(&self) -> String {
        let text = match self.value("subject") {
            Some(HeaderValue::Text(text)) => text.as_ref(),
            _ => "",
        };
        limits::chars(&one_line(text), limits::SUBJECT_CHARS)
    }

    /// Tells this mail from another one with the same Message-ID: what was written, by whom and when.
    /// Not what servers add on the way, so that the copies to two of our addresses are one.
    pub fn fingerprint(&self) -> String {
        let mut text: Vec<u8> = Vec::new();
        for name in ["from", "date", "subject"] {
            text.extend(self.header(name).unwrap_or_default().as_bytes());
            text.push(0);
        }
        let body = body(self.raw);
        text.extend(body.get(..limits::HASHED_BYTES).unwrap_or(body));
        sha256_hex(&text)
    }
}

/// A text on one line, without what no eye sees.
pub fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
        .filter(|c| !matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}'))
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands below the header block.
fn body(raw: &[u8]) -> &[u8] {
    let mut at = 0;
    for line in raw.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        if line == b"\n" || line == b"\r\n" {
            break;
        }
    }
    raw.get(at..).unwrap_or_default()
}

/// How often a mail says that another is inside: at least as often as one is.
fn nested(raw: &[u8]) -> usize {
    // Each in lower case; what a digest holds are messages without saying so.
    const WORDS: [&[u8]; 3] = [b"rfc822", b"/global", b"/digest"];
    let mut count = 0;
    for word in WORDS {
        let (Some(first), length) = (word.first(), word.len()) else { continue };
        let upper = first.to_ascii_uppercase();
        let mut rest = raw;
        while let Some(at) = rest.iter().position(|b| b == first || *b == upper) {
            rest = rest.get(at..).unwrap_or_default();
            let hit = rest.get(..length).is_some_and(|w| w.eq_ignore_ascii_case(word));
            count += usize::from(hit);
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    count
}
