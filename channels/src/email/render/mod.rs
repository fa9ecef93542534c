//! A part becomes the bytes of a mail, the same at every try: Message-ID, date and boundaries follow
//! from the part, nothing is drawn.

mod alternative;
mod card;

use super::config::Settings;
use super::wire::address::Address;
use super::wire::{date, ids};
use crate::error::{Class, SendError};
use crate::kit::sign::sha256_hex;
use crate::model::{Automatic, Choice, Media, Millis, OutgoingAttachment, Part, PartBody};
use lettre::message::header::{
    ContentTransferEncoding, ContentType, Date, Header, HeaderName, HeaderValue,
};
use lettre::message::{Attachment, Body, Mailbox, MultiPart, SinglePart};
use lettre::{Message, address::Envelope};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Ids in `References`: the first and the last so many. Longer chains are cut by others, anywhere.
const REFERENCES_LAST: usize = 20;
/// Characters of a subject. Mail programs show a hundred.
const SUBJECT_CHARS: usize = 250;
/// Characters of a file name.
const FILE_NAME_CHARS: usize = 120;
/// Characters of a shown name.
const NAME_CHARS: usize = 100;

/// A mail to be written, every value clean.
#[derive(Debug)]
pub struct Draft {
    /// The Message-ID, without brackets.
    pub id: String,
    /// Whom it goes to.
    pub to: Vec<Address>,
    /// Files that must be fetched first.
    pub links: Vec<OutgoingAttachment>,
    at: Millis,
    subject: String,
    from_name: Option<String>,
    reply_to: Address,
    in_reply_to: Option<String>,
    references: Vec<String>,
    automatic: Option<Automatic>,
    text: String,
    html: Option<String>,
    cards: Vec<(String, String)>,
}

/// A file with its bytes.
#[derive(Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its MIME type.
    pub mime: String,
    /// Its bytes.
    pub media: Media,
}

impl Draft {
    /// What a part says. `now` dates a part that no commit has placed.
    pub fn new(settings: &Settings, part: &Part, now: Millis) -> Self {
        let thread = part.thread.as_ref();
        let at = thread.map_or(now, |t| t.at);
        let conversation = thread.map(|t| t.conversation);
        let token = conversation.and_then(|id| ids::token(settings, id));
        let tagged = token.as_deref().filter(|_| settings.plus_addressing);
        let reply_to = tagged.and_then(|t| settings.reply_address.with_tag(t));
        let in_reply_to = part.reply_to.clone().or_else(|| thread?.in_reply_to.clone());
        let in_reply_to = in_reply_to.and_then(|id| public_id(&id));
        let mut references: Vec<String> = thread
            .map_or(&[][..], |t| &t.references)
            .iter()
            .filter_map(|id| public_id(id))
            .collect();
        if let Some(id) = &in_reply_to {
            references.retain(|r| r != id);
            references.push(id.clone());
        }
        let (text, links, cards) = content(part);
        Self {
            id: ids::message_id(settings, part, at),
            to: part.to.split(',').filter_map(Address::read).collect(),
            links,
            at,
            subject: subject(settings, part, in_reply_to.is_some(), token.as_deref()),
            from_name: part.mail.from_name.as_deref().map(|n| line(n, NAME_CHARS)),
            reply_to: reply_to.unwrap_or_else(|| settings.reply_address.clone()),
            in_reply_to,
            references: trimmed(references),
            automatic: part.mail.automatic,
            html: part.mail.html.as_deref().map(alternative::cleaned),
            text,
            cards,
        }
    }

    /// Says where a file can be had, in place of the file.
    pub fn link_instead(&mut self, name: &str, url: &str) {
        let name = line(name, FILE_NAME_CHARS);
        let separator = if self.text.is_empty() { "" } else { "\n\n" };
        self.text.push_str(&format!("{separator}{name}: {url}"));
        if let Some(html) = &mut self.html {
            html.push_str(&alternative::from_text(&format!("{name}: {url}")));
        }
    }

    /// Writes the mail.
    ///
    /// # Errors
    /// When there is something in it that no mail can hold.
    pub fn write(&self, settings: &Settings, files: &[File]) -> Result<Vec<u8>, SendError> {
        // lettre panics on values that it cannot write; ours are clean, and this keeps it from mattering.
        let built = catch_unwind(AssertUnwindSafe(|| self.build(settings, files)));
        let message = match built {
            Ok(result) => result.map_err(|error| {
                SendError::new(Class::Content, "not-a-mail", error.to_string())
            })?,
            Err(_panic) => {
                let text = "the mail cannot be written";
                return Err(SendError::new(Class::Content, "not-a-mail", text));
            }
        };
        Ok(message.formatted())
    }

    fn build(&self, settings: &Settings, files: &[File]) -> Result<Message, Unwritable> {
        let name = self.from_name.as_deref().or(settings.name.as_deref());
        let from = mailbox(name, &settings.address)?;
        let to = self.to.iter().map(|a| mailbox(None, a)).collect::<Result<Vec<_>, _>>()?;
        let envelope = Envelope::new(
            Some(from.email.clone()),
            to.iter().map(|m| m.email.clone()).collect(),
        )?;
        let date = Date::parse(&date::rfc5322(self.at)).map_err(|_no_date| Unwritable("date"))?;
        let mut builder = Message::builder()
            .from(from)
            .envelope(envelope)
            .subject(self.subject.clone())
            .header(date)
            .message_id(Some(format!("<{}>", self.id)));
        for mailbox in to {
            builder = builder.to(mailbox);
        }
        if self.reply_to != settings.address {
            builder = builder.reply_to(mailbox(name, &self.reply_to)?);
        }
        if let Some(id) = &self.in_reply_to {
            builder = builder.in_reply_to(format!("<{id}>"));
        }
        if !self.references.is_empty() {
            let ids: Vec<String> = self.references.iter().map(|id| format!("<{id}>")).collect();
            builder = builder.references(ids.join(" "));
        }
        if let Some(automatic) = self.automatic {
            let value = match automatic {
                Automatic::Generated => "auto-generated",
                Automatic::Replied => "auto-replied",
            };
            for (name, value) in [
                ("Auto-Submitted", value),
                ("X-Auto-Response-Suppress", "All"),
                ("Precedence", "bulk"),
                ("X-Loop", settings.address.text()),
            ] {
                let name = HeaderName::new_from_ascii_str(name);
                builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
            }
        }
        Ok(builder.multipart(self.body(files))?)
    }

    /// `mixed` of an `alternative` and the files; the `alternative` alone where there are none.
    fn body(&self, files: &[File]) -> MultiPart {
        let html = self.html.clone();
        let html = html.unwrap_or_else(|| alternative::from_text(&self.text));
        let boundary = |level: &str| {
            let hash = sha256_hex(format!("{level}:{}", self.id).as_bytes());
            format!("sb_{}", hash.chars().take(32).collect::<String>())
        };
        let alternative = MultiPart::alternative()
            .boundary(boundary("alternative"))
            .singlepart(SinglePart::plain(self.text.clone()))
            .singlepart(SinglePart::html(alternative::page(&html)));
        if files.is_empty() && self.cards.is_empty() {
            return alternative;
        }
        let mut mixed = MultiPart::mixed().boundary(boundary("mixed")).multipart(alternative);
        for (name, card) in &self.cards {
            mixed = mixed.singlepart(attachment(name, "text/vcard; charset=utf-8", card.clone().into_bytes()));
        }
        for file in files {
            mixed = mixed.singlepart(attachment(&file.name, &file.mime, file.media.bytes.to_vec()));
        }
        mixed
    }
}

/// What stands in the way of a mail.
#[derive(Debug, thiserror::Error)]
#[error("{0} cannot be written")]
struct Unwritable(&'static str);

impl From<lettre::error::Error> for Unwritable {
    fn from(_: lettre::error::Error) -> Self {
        Self("the mail")
    }
}

impl From<lettre::address::AddressError> for Unwritable {
    fn from(_: lettre::address::AddressError) -> Self {
        Self("an address")
    }
}

fn mailbox(name: Option<&str>, address: &Address) -> Result<Mailbox, Unwritable> {
    let name = name.map(|n| line(n, NAME_CHARS)).filter(|n| !n.is_empty());
    Ok(Mailbox::new(name, address.text().parse()?))
}

/// A file as a part. Always in base64: bytes that happen to be ASCII would else go as they are, line
/// ends, NUL and all.
fn attachment(name: &str, mime: &str, bytes: Vec<u8>) -> SinglePart {
    let name = file_name(name);
    // Messages and multiparts must not be in base64 (RFC 2046), and are opaque to us anyway.
    let plain = !mime.starts_with("multipart/") && !mime.starts_with("message/");
    let kind = ContentType::parse(mime).ok().filter(|_| plain);
    let kind = kind.or_else(|| ContentType::parse("application/octet-stream").ok());
    let kind = kind.unwrap_or(ContentType::TEXT_PLAIN);
    let body = Body::new_with_encoding(bytes, ContentTransferEncoding::Base64);
    let body = body.unwrap_or_else(Body::new);
    Attachment::new(name).body(body, kind)
}

/// The name without paths, tricks and length.
fn file_name(name: &str) -> String {
    let clean = line(name, usize::MAX);
    let last = clean.rsplit(['/', '\\']).next().unwrap_or_default();
    let last = last.trim().trim_start_matches('.');
    let count = last.chars().count();
    match (count, last.rsplit_once('.')) {
        (0, _) => "file".to_owned(),
        (n, Some((_, extension))) if n > FILE_NAME_CHARS && extension.len() < 10 => {
            let stem: String = last.chars().take(FILE_NAME_CHARS - 10).collect();
            format!("{stem}.{extension}")
        }
        _ => last.chars().take(FILE_NAME_CHARS).collect(),
    }
}

/// A value for a header: on one line, so that nothing can begin another.
fn line(text: &str, most: usize) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    words.join(" ").chars().take(most).collect()
}

/// A Message-ID as it may be written: what follows a space is ours, and what is no id is none.
fn public_id(id: &str) -> Option<String> {
    let id = id.split(' ').next().unwrap_or_default().trim_matches(['<', '>']);
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>');
    (id.contains('@') && id.len() <= 500 && id.chars().all(plain)).then(|| id.to_owned())
}

/// The first and the last ids of a long chain.
fn trimmed(mut references: Vec<String>) -> Vec<String> {
    let surplus = references.len().saturating_sub(REFERENCES_LAST + 1);
    if surplus > 0 {
        references.drain(1..=surplus);
    }
    references
}

fn subject(settings: &Settings, part: &Part, answers: bool, token: Option<&str>) -> String {
    let of_thread = part.thread.as_ref().map_or("", |t| t.subject.as_str());
    let given = part.mail.subject.as_deref().map(|s| line(s, SUBJECT_CHARS));
    let subject = match given.filter(|s| !s.is_empty()) {
        Some(given) => given,
        None if of_thread.is_empty() => settings.default_subject.clone(),
        None if answers => format!("Re: {}", line(of_thread, SUBJECT_CHARS)),
        None => line(of_thread, SUBJECT_CHARS),
    };
    match token.filter(|_| settings.subject_tag) {
        Some(token) if !subject.contains(token) => format!("{subject} [#{token}]"),
        _ => subject,
    }
}

/// A part's text, its links to files, and its cards as files.
fn content(part: &Part) -> (String, Vec<OutgoingAttachment>, Vec<(String, String)>) {
    let mut paragraphs: Vec<String> = Vec::new();
    let (mut links, mut cards) = (Vec::new(), Vec::new());
    for body in part.body.flat() {
        match body {
            PartBody::Text { text } => paragraphs.push(text.clone()),
            PartBody::Media { attachment, caption } => {
                links.push(attachment.clone());
                paragraphs.extend(caption.clone());
            }
            PartBody::Album { attachments, caption } => {
                links.extend(attachments.iter().cloned());
                paragraphs.extend(caption.clone());
            }
            PartBody::Location { location } => paragraphs.push(location.as_text()),
            PartBody::Contact { contact } => {
                paragraphs.push(contact.as_text());
                cards.push((format!("{}.vcf", contact.name), card::vcard(contact)));
            }
            PartBody::Template { .. } | PartBody::Bundle { .. } => {}
        }
    }
    if !part.choices.is_empty() {
        paragraphs.push(numbered(&part.choices));
    }
    (plain(&paragraphs.join("\n\n")), links, cards)
}

fn numbered(choices: &[Choice]) -> String {
    let line = |(i, choice): (usize, &Choice)| match &choice.url {
        Some(url) => format!("{}. {}: {url}", i + 1, choice.title),
        None => format!("{}. {}", i + 1, choice.title),
    };
    choices.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

/// Text with line feeds and nothing else that is no character.
fn plain(text: &str) -> String {
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    unified.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests;
