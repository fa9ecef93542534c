//! Mail as an adapter sees it: a message handed to a server, and what the server said at which stage.
//! The service speaks SMTP behind [`Mailer`]; the adapter only builds the bytes and reads the answer.

use super::secret::Secret;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Security {
    /// TLS from the first byte (465, 993).
    Implicit,
    /// TLS after `STARTTLS`; a server that does not offer it is refused and sees no credentials.
    StartTls,
    /// None: loopback only.
    Plain,
}

/// A mail server and how we prove who we are.
#[derive(Clone)]
pub struct MailServer {
    /// Host name, as the certificate must have it.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Protection.
    pub security: Security,
    /// User and password; `None`: the server wants none.
    pub login: Option<(String, Secret)>,
}

impl fmt::Debug for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({:?})", self.host, self.port, self.security)
    }
}

/// A mail to be handed over: the envelope and the finished bytes, the same at every try.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Where to.
    pub server: MailServer,
    /// What `EHLO` says.
    pub hello_name: String,
    /// Envelope sender; empty for the null sender.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// The message with CRLF line ends, not yet dot-stuffed.
    pub message: Bytes,
    /// How long the whole exchange may take, in milliseconds.
    pub timeout_ms: u64,
}

/// Where in the exchange a server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The first line of the server.
    Greeting,
    /// `EHLO` or `STARTTLS`.
    Hello,
    /// `AUTH`
    Auth,
    /// `MAIL FROM`
    Sender,
    /// `RCPT TO`
    Recipient,
    /// `DATA`, and the answer to the final dot.
    Data,
}

/// A server's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpReply {
    /// Three digits.
    pub code: u16,
    /// The lines, joined by a space; begins with the enhanced code where there is one.
    pub text: String,
}

impl SmtpReply {
    /// The enhanced status code (RFC 3463) at the beginning of the text: `5.1.1` is `(5, 1, 1)`.
    pub fn enhanced(&self) -> Option<(u8, u16, u16)> {
        let mut fields = self.text.split_whitespace().next()?.split('.');
        let class: u8 = fields.next()?.parse().ok()?;
        let subject: u16 = fields.next()?.parse().ok()?;
        let detail: u16 = fields.next()?.parse().ok()?;
        (fields.next().is_none() && matches!(class, 2 | 4 | 5)).then_some((class, subject, detail))
    }
}

/// What became of a mail that the server took for at least one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The answer to the final dot.
    pub reply: SmtpReply,
    /// Recipients that were refused while others were taken.
    pub refused: Vec<(String, SmtpReply)>,
}

/// Why a mail was not handed over.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MailError {
    /// Nothing of the message was sent: no connection, no TLS, no common mechanism, or cut off
    /// before `DATA` was answered.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The server said no. At [`Stage::Recipient`]: to every recipient; this is the first answer.
    #[error("refused at {stage:?}: {} {}", reply.code, reply.text)]
    Refused {
        /// Where.
        stage: Stage,
        /// What it said.
        reply: SmtpReply,
        /// Each recipient's own answer, at [`Stage::Recipient`].
        recipients: Vec<(String, SmtpReply)>,
    },
    /// The message was sent, but the answer to the final dot was not read: it may have arrived.
    #[error("sent, but no answer was read: {0}")]
    NoAnswer(String),
}

/// What happens to a mail in its mailbox once what it carried is committed; never before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// It is marked as read.
    Seen,
    /// It goes to this folder.
    Move(String),
    /// It stays as it is.
    Nothing,
}

/// What of a mailbox is taken when it is opened for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFrom {
    /// What comes from now on.
    Now,
    /// What came during the last days too.
    Days(u32),
}

/// A mailbox out of which the service's mailbox loop fetches what a channel parses.
#[derive(Debug, Clone)]
pub struct Mailbox {
    /// Where it is.
    pub server: MailServer,
    /// The folder, `INBOX` as a rule.
    pub folder: String,
    /// What happens to a mail afterwards.
    pub after: After,
    /// Where the first run begins.
    pub start_from: StartFrom,
    /// How long one `IDLE` lasts at most, in seconds.
    pub idle_seconds: u64,
    /// How often a server without `IDLE` is asked, in seconds.
    pub poll_seconds: u64,
    /// Of a larger mail only the header block is fetched.
    pub max_message_bytes: u64,
}

impl Mailbox {
    /// Below the half hour after which servers may hang up (RFC 2177), and short enough for the
    /// boxes in between that forget a silent connection.
    pub const IDLE_SECONDS: u64 = 540;
    /// A minute is what people bear without noticing.
    pub const POLL_SECONDS: u64 = 60;
    /// What the large providers let through (20 to 25 MB) and some room; a mail is held in memory
    /// while it is parsed.
    pub const MAX_MESSAGE_BYTES: u64 = 30 * 1024 * 1024;

    /// The inbox of this server, with everything else as it is by default.
    pub fn inbox(server: MailServer) -> Self {
        Self {
            server,
            folder: "INBOX".to_owned(),
            after: After::Seen,
            start_from: StartFrom::Now,
            idle_seconds: Self::IDLE_SECONDS,
            poll_seconds: Self::POLL_SECONDS,
            max_message_bytes: Self::MAX_MESSAGE_BYTES,
        }
    }
}

/// Speaks SMTP.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Hands a mail over, one transaction for all of its recipients.
    ///
    /// # Errors
    /// When nobody's mail was taken, or that cannot be known.
    async fn submit(&self, submission: Submission) -> Result<Submitted, MailError>;

    /// Connects and logs in, to submission (`smtp`) or to a mailbox (`imap`), and sends nothing.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses us.
    async fn check(&self, server: &MailServer, protocol: Protocol) -> Result<(), MailError>;
}

/// Which protocol a server is asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Submission.
    Smtp,
    /// A mailbox.
    Imap,
}

/// Raw mails that our own mailbox loop kept before it committed what they carried.
#[async_trait]
pub trait Kept: Send + Sync {
    /// The bytes under a key; `None` when there are none.
    ///
    /// # Errors
    /// When they cannot be read now.
    async fn kept(&self, key: &str) -> Result<Option<Bytes>, String>;
}

/// The headers with which our own mailbox loop tells a channel of the mail that it brings.
pub mod headers {
    /// When the mailbox took the mail: milliseconds since 1970.
    pub const INTERNAL_DATE: &str = "x-switchboard-internaldate";
    /// The folder that it lay in.
    pub const MAILBOX: &str = "x-switchboard-mailbox";
    /// Under which key [`super::Kept`] has the raw mail. Absent: it was not kept.
    pub const KEPT: &str = "x-switchboard-kept";
    /// The size of a mail that was too large: the body is its header block only.
    pub const TRUNCATED: &str = "x-switchboard-truncated";
}

/// For a world without mail.
#[derive(Debug)]
pub struct NoMail;

#[async_trait]
impl Mailer for NoMail {
    async fn submit(&self, _: Submission) -> Result<Submitted, MailError> {
        Err(MailError::NotSent("there is no mailer here".to_owned()))
    }

    async fn check(&self, _: &MailServer, _: Protocol) -> Result<(), MailError> {
        Err(MailError::NotSent("there is no mailer here".to_owned()))
    }
}

#[async_trait]
impl Kept for NoMail {
    async fn kept(&self, _: &str) -> Result<Option<Bytes>, String> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::SmtpReply;

    #[test]
    fn enhanced_codes_stand_at_the_beginning() {
        for (text, code) in [
            ("5.1.1 no such user", Some((5, 1, 1))),
            ("4.7.28 slow down", Some((4, 7, 28))),
            ("5.1.1", Some((5, 1, 1))),
            ("no such user 5.1.1", None),
            ("3.1.1 odd", None),
            ("5.1.1.1 odd", None),
            ("", None),
        ] {
            let text = text.to_owned();
            assert_eq!(SmtpReply { code: 550, text }.enhanced(), code);
        }
    }
}
