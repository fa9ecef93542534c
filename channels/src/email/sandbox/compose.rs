//! The mails that come to us: a customer's, as a mail program writes it, and the reports of servers
//! and readers.

use super::super::wire::address::Address;
use super::super::wire::date::rfc5322;
use super::Taken;
use crate::kit::sign::base64;
use crate::model::{Millis, base_subject};

/// RFC 2045, 6.8: characters of a line of base64.
const BASE64_LINE: usize = 76;

/// A file in a customer's mail.
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its type.
    pub mime: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// A customer's mail.
pub struct Mail {
    /// Its Message-ID, without brackets.
    pub id: String,
    /// Who writes.
    pub from: Address,
    /// Their name.
    pub name: String,
    /// To whom, unless it answers.
    pub to: Address,
    /// What they write.
    pub text: String,
    /// The mail that is answered.
    pub answers: Option<Taken>,
    /// A file.
    pub attachment: Option<Part>,
}

impl Mail {
    /// The mail, byte for byte.
    pub fn written(&self, now: Millis) -> Vec<u8> {
        let mut out = String::new();
        let mut header = |name: &str, value: &str| out.push_str(&format!("{name}: {value}\r\n"));
        header("Date", &rfc5322(now));
        header("From", &format!("{} <{}>", encoded(&self.name), self.from));
        let to = self.answers.as_ref().map_or(&self.to, |a| &a.reply_to);
        header("To", &format!("<{to}>"));
        header("Message-ID", &format!("<{}>", self.id));
        let mut text = self.text.clone();
        match &self.answers {
            None => header("Subject", &encoded("A question")),
            Some(answered) => {
                let base = base_subject(&answered.subject);
                header("Subject", &encoded(&format!("Re: {base}")));
                header("In-Reply-To", &format!("<{}>", answered.id));
                let ids = answered.references.iter().chain([&answered.id]);
                let ids: Vec<String> = ids.map(|id| format!("<{id}>")).collect();
                header("References", &ids.join("\r\n "));
                text.push_str(&format!("\n\nOn {}, <{}> wrote:\n", rfc5322(now), self.to));
                for line in answered.text.lines() {
                    text.push_str(&format!("> {line}\n"));
                }
            }
        }
        header("MIME-Version", "1.0");
        let text = body("text/plain; charset=utf-8", "", text.as_bytes());
        match &self.attachment {
            None => out.push_str(&text),
            Some(part) => {
                let boundary = format!("sb_{}", self.id.split('@').next().unwrap_or_default());
                let name = encoded(&part.name);
                let file = body(
                    &one_line(&part.mime),
                    &format!("Content-Disposition: attachment; filename=\"{name}\"\r\n"),
                    &part.content,
                );
                out.push_str(&multipart("mixed", "", &boundary, &[text, file]));
            }
        }
        out.into_bytes()
    }
}

/// A server's report that a mail was delivered (RFC 3464).
pub fn delivered(us: &Address, to: &Address, mail: &Taken, now: Millis) -> Vec<u8> {
    let fields = format!(
        "Reporting-MTA: dns; mail.sandbox.example\r\n\r\nFinal-Recipient: rfc822; {to}\r\n\
         Action: delivered\r\nStatus: 2.0.0\r\n"
    );
    report(us, "delivery-status", "delivery-status", "Delivered", &fields, mail, to, now)
}

/// A reader's report that a mail was shown (RFC 8098).
pub fn displayed(us: &Address, by: &Address, mail: &Taken, now: Millis) -> Vec<u8> {
    let fields = format!(
        "Final-Recipient: rfc822; {by}\r\nOriginal-Message-ID: <{}>\r\n\
         Disposition: manual-action/MDN-sent-manually; displayed\r\n",
        mail.id
    );
    let kind = "disposition-notification";
    report(us, kind, kind, "Read", &fields, mail, by, now)
}

#[expect(clippy::too_many_arguments, reason = "two callers, and every one a line of the report")]
fn report(
    us: &Address,
    kind: &str,
    subtype: &str,
    word: &str,
    fields: &str,
    mail: &Taken,
    whom: &Address,
    now: Millis,
) -> Vec<u8> {
    let id = format!("{}.{whom}", word.to_lowercase());
    let mut out = format!(
        "Date: {}\r\nFrom: <mailer-daemon@{}>\r\nTo: <{us}>\r\nMessage-ID: <{id}.{}>\r\n\
         Subject: {}\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n",
        rfc5322(now),
        whom.domain(),
        mail.id,
        encoded(&format!("{word}: {}", mail.subject)),
    );
    let parts = [
        body("text/plain; charset=utf-8", "", format!("{word}.\r\n").as_bytes()),
        format!("Content-Type: message/{subtype}\r\n\r\n{fields}"),
        format!("Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{}>\r\n", mail.id),
    ];
    out.push_str(&multipart("report", &format!("; report-type={kind}"), "sb_report", &parts));
    out.into_bytes()
}

fn multipart(subtype: &str, parameters: &str, boundary: &str, parts: &[String]) -> String {
    let mut out = format!(
        "Content-Type: multipart/{subtype}{parameters}; boundary=\"{boundary}\"\r\n\r\n"
    );
    for part in parts {
        out.push_str(&format!("--{boundary}\r\n{part}\r\n"));
    }
    out.push_str(&format!("--{boundary}--\r\n"));
    out
}

/// A part with its headers, in base64.
fn body(mime: &str, headers: &str, content: &[u8]) -> String {
    let mut out = format!("Content-Type: {mime}\r\n{headers}Content-Transfer-Encoding: base64\r\n\r\n");
    for (i, c) in base64(content).chars().enumerate() {
        if i > 0 && i % BASE64_LINE == 0 {
            out.push_str("\r\n");
        }
        out.push(c);
    }
    out.push_str("\r\n");
    out
}

/// A header's value in ASCII (RFC 2047), in words of at most 75 characters.
fn encoded(text: &str) -> String {
    /// Bytes that make no more than 60 characters of base64.
    const WORD_BYTES: usize = 45;
    let text = one_line(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || " -_.'".contains(c);
    if text.chars().all(plain) && text.len() < 200 {
        return text;
    }
    let mut words = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (word, tail) = rest.split_at(rest.floor_char_boundary(WORD_BYTES));
        words.push(format!("=?utf-8?B?{}?=", base64(word.as_bytes())));
        rest = tail;
    }
    words.join("\r\n ")
}

fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.trim().to_owned()
}
