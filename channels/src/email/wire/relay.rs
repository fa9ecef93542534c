//! Mail over HTTP: what the sandbox speaks in place of SMTP and IMAP. A submission is posted to the
//! relay, which answers what an SMTP server would have said; an arriving mail is posted to our webhook.
//! Both are signed, so that nobody who merely knows the URLs can put mail into a mailbox.

use crate::error::{Class, SendError};
use crate::kit::http::{Auth, Body, Headers, Method, Request, Response};
use crate::kit::mail::{MailError, SmtpReply, Stage, Submission, Submitted, headers};
use crate::kit::secret::{Secret, Secrets};
use crate::kit::sign::{hmac_sha256, same};
use crate::kit::status::default_class;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Signs a request in either direction.
pub const SIGNATURE: &str = "x-switchboard-signature";
/// The envelope's sender.
pub const FROM: &str = "x-switchboard-mail-from";
/// The envelope's recipients, with commas.
pub const TO: &str = "x-switchboard-rcpt-to";
/// What a key of a raw mail begins with when the relay has it.
pub const KEPT: &str = "relay:";
/// Where mail is posted.
pub const SUBMIT: &str = "/submit";
/// Where a relay says that it knows us.
pub const CHECK: &str = "/check";
/// Where a relay hands out the raw mails that it posted.
pub const RAW: &str = "/raw/";

/// What a relay says to one recipient.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refusal {
    /// The recipient.
    pub to: String,
    /// Three digits.
    pub code: u16,
    /// What an SMTP server would have said.
    pub text: String,
}

/// What a relay answers to a submission.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// Three digits, those of the final answer.
    pub code: u16,
    /// What an SMTP server would have said.
    pub text: String,
    /// Whether everybody was refused, as a server does before the message.
    #[serde(default)]
    pub before_data: bool,
    /// Recipients that were refused.
    #[serde(default)]
    pub refused: Vec<Refusal>,
}

/// The signature over everything that steers or is a mail.
pub fn signature(secret: &Secret, facts: &[&str], body: &[u8]) -> String {
    let mut chunks: Vec<&[u8]> = Vec::with_capacity(facts.len() * 2 + 1);
    for fact in facts {
        chunks.push(fact.as_bytes());
        chunks.push(b"\n");
    }
    chunks.push(body);
    hex::encode(hmac_sha256(secret.expose().as_bytes(), &chunks))
}

/// Whether one of the secrets made this signature.
pub fn is_signed(secrets: &Secrets, given: &str, facts: &[&str], body: &[u8]) -> bool {
    // Every secret is tried, also after a match, so that the time does not tell which one it was.
    secrets.iter().fold(false, |found, secret| {
        same(given.as_bytes(), signature(secret, facts, body).as_bytes()) | found
    })
}

fn signed(request: Request, secrets: &Secrets, facts: &[&str], body: &[u8]) -> Request {
    let value = secrets.first().map_or_else(String::new, |s| signature(s, facts, body));
    request.with_auth(Auth::Header {
        name: SIGNATURE,
        value: Secret::new(value),
    })
}

/// A submission as a request.
pub fn submit(base: &str, secrets: &Secrets, submission: &Submission) -> Request {
    let to = submission.to.join(",");
    let mut request = Request::post_json(format!("{base}{SUBMIT}"), String::new())
        .with_header("content-type", "message/rfc822")
        .with_header(FROM, submission.from.clone())
        .with_header(TO, to.clone())
        .with_timeout_ms(submission.timeout_ms);
    request.body = Body::Raw(submission.message.clone());
    signed(request, secrets, &[&submission.from, &to], &submission.message)
}

/// The question whether the relay knows us.
pub fn check(base: &str, secrets: &Secrets) -> Request {
    signed(Request::get(format!("{base}{CHECK}")), secrets, &[], b"")
}

/// The question for a raw mail that the relay posted.
pub fn raw(base: &str, secrets: &Secrets, key: &str, max_bytes: usize) -> Request {
    let id: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut request = Request::get(format!("{base}{RAW}{id}"));
    request.max_response_bytes = max_bytes;
    signed(request, secrets, &[&id], b"")
}

/// The webhook of an arriving mail.
pub fn arrived(webhook_url: &str, secret: &Secret, at: i64, key: &str, mail: Bytes) -> Request {
    let at = at.to_string();
    let value = signature(secret, &[&at, "INBOX", key], &mail);
    Request {
        method: Method::Post,
        headers: Headers::default()
            .with("content-type", "message/rfc822")
            .with(headers::INTERNAL_DATE, at)
            .with(headers::MAILBOX, "INBOX")
            .with(headers::KEPT, key)
            .with(SIGNATURE, value),
        body: Body::Raw(mail),
        ..Request::get(webhook_url)
    }
}

/// What a relay's answer says, in the terms of a mailer.
///
/// # Errors
/// When it is no answer of a relay.
pub fn outcome(response: &Response) -> Result<Result<Submitted, MailError>, SendError> {
    if !response.is_success() {
        let class = default_class(response.status, &response.headers);
        return Err(SendError::new(class, response.status.to_string(), response.text()));
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(&response.body) else {
        // It took the mail, as far as the status goes, and then said something that it never says.
        let text = "the relay's answer cannot be read";
        return Err(SendError::new(Class::Unsure, "unreadable", text));
    };
    let reply = SmtpReply {
        code: answer.code,
        text: answer.text,
    };
    let refused = answer.refused.into_iter();
    let refused: Vec<(String, SmtpReply)> = refused
        .map(|Refusal { to, code, text }| (to, SmtpReply { code, text }))
        .collect();
    Ok(match (reply.code, answer.before_data) {
        (250, false) => Ok(Submitted { reply, refused }),
        (_, before) => Err(MailError::Refused {
            stage: if before { Stage::Recipient } else { Stage::Data },
            reply,
            recipients: refused,
        }),
    })
}
