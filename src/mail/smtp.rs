//! One SMTP connection: opened, logged in to, and used for one transaction after another.
//!
//! The commands are lettre's; the conversation is ours, because two things must be known exactly.
//! *What each recipient was answered*, so that one who is refused does not hide the others. And
//! *whether the final dot was sent*: before it nothing of a message can have been taken, after it
//! a message without an answer may have arrived. A client that only says "it failed" leaves both
//! open.
//!
//! A connection is good for another transaction only while it is in step: every command has had its
//! answer. [`SmtpConnection::in_step`] says so, and whoever keeps connections asks it. A transaction
//! that is cancelled leaves the connection out of step for good.

use super::stream::{Connector, MailStream};
use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::{Auth, Data, Ehlo, Mail, Quit, Rcpt, Rset, Starttls};
use lettre::transport::smtp::extension::{ClientId, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use std::fmt::Display;
use std::time::Duration;
use switchboard_channels::kit::mail::{
    MailError, MailServer, Security, SmtpReply, Stage, Submission, Submitted,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

/// A line of an answer; RFC 5321 says 512, some servers say more.
const LINE_MAX_BYTES: usize = 4096;
/// Lines of one answer: the longest are those to `EHLO`, with a few dozen.
const LINES_MAX: usize = 200;
/// The most text of an answer that is kept.
const TEXT_MAX_BYTES: usize = 4096;
/// Answers that `AUTH LOGIN` may ask for: user and password, and one to spare.
const CHALLENGES_MAX: usize = 3;
/// A message is written in pieces of this size, so that no second copy of it is made.
const PIECE_BYTES: usize = 64 * 1024;
/// How long a server that hung up while we were writing is listened to: it may have said why.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A polite end is not waited for longer.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

/// What the server can, as it said after `EHLO`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Abilities {
    start_tls: bool,
    plain: bool,
    login: bool,
    eight_bit: bool,
    utf8: bool,
    size: bool,
}

impl Abilities {
    fn read(lines: &[String]) -> Self {
        let mut able = Self::default();
        for line in lines.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            // Some very old servers write `AUTH=LOGIN`.
            let mut words = line.split([' ', '=']).filter(|w| !w.is_empty());
            match words.next() {
                Some("STARTTLS") => able.start_tls = true,
                Some("8BITMIME") => able.eight_bit = true,
                Some("SMTPUTF8") => able.utf8 = true,
                Some("SIZE") => able.size = true,
                Some("AUTH") => {
                    for mechanism in words {
                        able.plain |= mechanism == "PLAIN";
                        able.login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        able
    }
}

/// An answer, line by line.
struct Answer {
    code: u16,
    lines: Vec<String>,
}

impl Answer {
    const fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    /// The lines as one text; an enhanced code that every line repeats stands at the beginning only.
    fn reply(self) -> SmtpReply {
        let mut text = String::new();
        let enhanced = self
            .lines
            .first()
            .and_then(|l| l.split_once(' '))
            .map(|(word, _)| word.to_owned())
            .filter(|word| word.chars().all(|c| c.is_ascii_digit() || c == '.'));
        for (index, line) in self.lines.iter().enumerate() {
            let again = enhanced.as_deref().filter(|_| index > 0);
            let line = again.map_or(line.as_str(), |e| line.strip_prefix(e).unwrap_or(line));
            if index > 0 {
                text.push(' ');
            }
            text.push_str(line.trim());
            if text.len() > TEXT_MAX_BYTES {
                break;
            }
        }
        SmtpReply {
            code: self.code,
            text,
        }
    }
}

/// Why there is no answer.
enum Broken {
    /// The connection ended or broke.
    Ended(String),
    /// What came is no SMTP.
    Garbled(&'static str),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended(why) => write!(f, "the connection broke: {why}"),
            Self::Garbled(what) => write!(f, "the server does not speak SMTP: {what}"),
        }
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Ended(error.to_string())
    }
}

impl From<Broken> for MailError {
    /// Before the final dot nothing was sent.
    fn from(broken: Broken) -> Self {
        Self::NotSent(broken.to_string())
    }
}

/// A connection to a submission server.
pub struct SmtpConnection {
    stream: BufReader<MailStream>,
    able: Abilities,
    in_step: bool,
    dot_sent: bool,
    transactions: u32,
}

impl SmtpConnection {
    /// Connects, protects, says hello and logs in. The caller bounds the time.
    ///
    /// # Errors
    /// [`MailError::NotSent`] or [`MailError::Refused`]: nothing of any message was sent.
    pub async fn open(
        connector: &Connector,
        server: &MailServer,
        hello_name: &str,
    ) -> Result<Self, MailError> {
        let stream = connector.open(server).await.map_err(MailError::NotSent)?;
        let mut connection = Self {
            stream: BufReader::new(stream),
            able: Abilities::default(),
            in_step: false,
            dot_sent: false,
            transactions: 0,
        };
        let greeting = connection.answer().await?;
        if greeting.is_refusal() {
            return Err(refused(Stage::Greeting, greeting));
        }
        connection.hello(hello_name).await?;
        if server.security == Security::StartTls {
            connection = connection.start_tls(connector, &server.host).await?;
            // What was said before the protection proves nothing.
            connection.hello(hello_name).await?;
        }
        if let Some((user, password)) = &server.login {
            connection.log_in(user, password.expose()).await?;
        }
        connection.in_step = true;
        Ok(connection)
    }

    async fn hello(&mut self, name: &str) -> Result<(), MailError> {
        let answer = self
            .command(Ehlo::new(ClientId::Domain(name.to_owned())))
            .await?;
        if answer.is_refusal() {
            return Err(refused(Stage::Hello, answer));
        }
        self.able = Abilities::read(&answer.lines);
        Ok(())
    }

    async fn start_tls(mut self, connector: &Connector, host: &str) -> Result<Self, MailError> {
        if !self.able.start_tls {
            // Somebody in between may have taken the offer out: credentials would be theirs.
            return Err(MailError::NotSent(
                "the server does not offer STARTTLS, and nothing is sent unprotected".to_owned(),
            ));
        }
        let answer = self.command(Starttls).await?;
        if answer.is_refusal() {
            return Err(refused(Stage::Hello, answer));
        }
        if !self.stream.buffer().is_empty() {
            // Words put in before the protection would be taken for the server's.
            return Err(MailError::NotSent(
                "something was said between STARTTLS and TLS".to_owned(),
            ));
        }
        let stream = connector
            .protect(host, self.stream.into_inner())
            .await
            .map_err(MailError::NotSent)?;
        self.stream = BufReader::new(stream);
        Ok(self)
    }

    async fn log_in(&mut self, user: &str, password: &str) -> Result<(), MailError> {
        let mechanism = if self.able.plain {
            Mechanism::Plain
        } else if self.able.login {
            Mechanism::Login
        } else {
            return Err(MailError::NotSent(
                "the server offers neither AUTH PLAIN nor AUTH LOGIN".to_owned(),
            ));
        };
        let credentials = Credentials::new(user.to_owned(), password.to_owned());
        // An error of lettre's may show what it was made of.
        let no_login = |_| MailError::NotSent("the login dialogue went wrong".to_owned());
        let first = Auth::new(mechanism, credentials.clone(), None).map_err(no_login)?;
        let mut answer = self.command(first).await?;
        for _ in 0..CHALLENGES_MAX {
            if answer.code != 334 {
                break;
            }
            let asked: Response = format!("334 {}\r\n", answer.lines.join(" "))
                .parse()
                .map_err(no_login)?;
            let next = Auth::new_from_response(mechanism, credentials.clone(), &asked)
                .map_err(no_login)?;
            answer = self.command(next).await?;
        }
        if answer.is_refusal() {
            return Err(refused(Stage::Auth, answer));
        }
        if answer.code != 235 {
            return Err(MailError::NotSent(
                "the login dialogue does not end".to_owned(),
            ));
        }
        Ok(())
    }

    /// Whether another transaction can be begun.
    pub const fn in_step(&self) -> bool {
        self.in_step
    }

    /// Transactions so far.
    pub const fn transactions(&self) -> u32 {
        self.transactions
    }

    /// Whether the message of the last transaction was sent whole: without an answer it may have
    /// arrived.
    pub const fn dot_sent(&self) -> bool {
        self.dot_sent
    }

    /// Hands one mail over. Afterwards [`SmtpConnection::in_step`] says whether the connection can be
    /// kept.
    ///
    /// # Errors
    /// As [`Mailer::submit`](switchboard_channels::kit::mail::Mailer::submit).
    ///
    /// # Cancel safety
    /// Not: a cancelled transaction leaves the connection out of step, and whether the message went
    /// out is told by [`SmtpConnection::dot_sent`].
    pub async fn transact(&mut self, mail: &Submission) -> Result<Submitted, MailError> {
        self.in_step = false;
        self.dot_sent = false;
        self.transactions = self.transactions.saturating_add(1);
        let result = self.transaction(mail).await;
        let reset = match &result {
            // The transaction is over on both sides.
            Ok(_) => {
                self.in_step = true;
                false
            }
            // 421: the server hangs up.
            Err(MailError::Refused { reply, .. }) => reply.code != 421,
            Err(MailError::NotSent(_) | MailError::NoAnswer(_)) => false,
        };
        if reset && let Ok(answer) = self.command(Rset).await {
            self.in_step = !answer.is_refusal();
        }
        result
    }

    async fn transaction(&mut self, mail: &Submission) -> Result<Submitted, MailError> {
        let Envelope { from, to, bad } = Envelope::read(mail, self.able)?;
        let parameters = self.parameters(mail);
        let answer = self.command(Mail::new(from, parameters)).await?;
        if answer.is_refusal() {
            return Err(refused(Stage::Sender, answer));
        }
        let mut refusals = bad;
        let mut taken = 0_usize;
        for address in to {
            let name = address.to_string();
            let answer = self.command(Rcpt::new(address, Vec::new())).await?;
            if answer.code == 421 {
                return Err(refused(Stage::Recipient, answer));
            }
            if answer.is_refusal() {
                refusals.push((name, answer.reply()));
            } else {
                taken += 1;
            }
        }
        if taken == 0 {
            let first = refusals.first().map(|(_, reply)| reply.clone());
            return Err(MailError::Refused {
                stage: Stage::Recipient,
                reply: first.unwrap_or_else(|| no_address("no recipient at all")),
                recipients: refusals,
            });
        }
        let answer = self.command(Data).await?;
        if answer.is_refusal() {
            return Err(refused(Stage::Data, answer));
        }
        if answer.code != 354 {
            return Err(MailError::NotSent(format!(
                "DATA was answered with {}",
                answer.code
            )));
        }
        let reply = self.content(&mail.message).await?;
        Ok(Submitted {
            reply,
            refused: refusals,
        })
    }

    fn parameters(&self, mail: &Submission) -> Vec<MailParameter> {
        let mut parameters = Vec::new();
        if self.able.size {
            // The server says no before the bytes are sent rather than after.
            parameters.push(MailParameter::Size(mail.message.len()));
        }
        if self.able.eight_bit && !mail.message.is_ascii() {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let ascii = mail.from.is_ascii() && mail.to.iter().all(|a| a.is_ascii());
        if self.able.utf8 && !ascii {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        parameters
    }

    async fn content(&mut self, message: &[u8]) -> Result<SmtpReply, MailError> {
        let mut stuffing = Stuffing::default();
        for piece in message.chunks(PIECE_BYTES) {
            if let Err(error) = self.write(&stuffing.stuff(piece)).await {
                // A server that will not have it may say so and hang up while we are writing.
                let words = tokio::time::timeout(LAST_WORDS, self.answer()).await;
                return match words {
                    Ok(Ok(answer)) if answer.is_refusal() => Err(refused(Stage::Data, answer)),
                    _ => Err(error.into()),
                };
            }
        }
        // From here on it may arrive, whatever we hear.
        self.dot_sent = true;
        let end: &[u8] = if stuffing.at_line_start() {
            b".\r\n"
        } else {
            b"\r\n.\r\n"
        };
        let unsure = |broken: Broken| MailError::NoAnswer(broken.to_string());
        self.write(end).await.map_err(unsure)?;
        let answer = self.answer().await.map_err(unsure)?;
        if answer.is_refusal() {
            return Err(refused(Stage::Data, answer));
        }
        if answer.code != 250 {
            let odd = format!("the message was answered with {}", answer.code);
            return Err(MailError::NoAnswer(odd));
        }
        Ok(answer.reply())
    }

    /// Says goodbye, for a moment.
    pub async fn quit(mut self) {
        // Whoever closes does not care how that went.
        tokio::time::timeout(QUIT_TIMEOUT, self.command(Quit))
            .await
            .ok();
    }

    async fn command(&mut self, command: impl Display) -> Result<Answer, Broken> {
        self.write(command.to_string().as_bytes()).await?;
        self.answer().await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).await?;
        stream.flush().await?;
        Ok(())
    }

    async fn answer(&mut self) -> Result<Answer, Broken> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let (Some(code), rest) = (line.get(..3), line.get(3..).unwrap_or_default()) else {
                return Err(Broken::Garbled("a line without a code"));
            };
            let code: u16 = code
                .parse()
                .map_err(|_no_number| Broken::Garbled("a line without a code"))?;
            if !(200..600).contains(&code) {
                return Err(Broken::Garbled("a code that does not exist"));
            }
            let last = !rest.starts_with('-');
            lines.push(rest.get(1..).unwrap_or_default().to_owned());
            if last {
                return Ok(Answer { code, lines });
            }
            if lines.len() >= LINES_MAX {
                return Err(Broken::Garbled("an answer without an end"));
            }
        }
    }

    /// A line without its end. Bytes that are no UTF-8 are replaced: servers speak many languages.
    async fn line(&mut self) -> Result<String, Broken> {
        let mut line = Vec::new();
        loop {
            let byte = match self.stream.read_u8().await {
                Ok(byte) => byte,
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Err(Broken::Ended("the server hung up".to_owned()));
                }
                Err(error) => return Err(error.into()),
            };
            match byte {
                b'\n' => break,
                _ if line.len() >= LINE_MAX_BYTES => {
                    return Err(Broken::Garbled("a line without an end"));
                }
                byte => line.push(byte),
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

fn refused(stage: Stage, answer: Answer) -> MailError {
    MailError::Refused {
        stage,
        reply: answer.reply(),
        recipients: Vec::new(),
    }
}

/// What a server would say to an address that cannot be put to it.
fn no_address(why: &str) -> SmtpReply {
    SmtpReply {
        code: 553,
        text: format!("5.1.3 {why} (not asked)"),
    }
}

/// The envelope as it is put to the server.
struct Envelope {
    from: Option<Address>,
    to: Vec<Address>,
    /// What cannot be put to it.
    bad: Vec<(String, SmtpReply)>,
}

impl Envelope {
    fn read(mail: &Submission, able: Abilities) -> Result<Self, MailError> {
        let from = match mail.from.as_str() {
            "" => None,
            from => Some(from.parse().map_err(|_bad| MailError::Refused {
                stage: Stage::Sender,
                reply: SmtpReply {
                    code: 553,
                    text: "5.1.7 the sender is no address (not asked)".to_owned(),
                },
                recipients: Vec::new(),
            })?),
        };
        let (mut to, mut bad) = (Vec::new(), Vec::new());
        for address in &mail.to {
            match address.parse::<Address>() {
                Ok(_) if !address.is_ascii() && !able.utf8 => {
                    let text = "5.6.7 the server takes no such characters (not asked)".to_owned();
                    bad.push((address.clone(), SmtpReply { code: 553, text }));
                }
                Ok(read) => to.push(read),
                Err(_) => bad.push((address.clone(), no_address("no address"))),
            }
        }
        Ok(Self { from, to, bad })
    }
}

/// Doubles the dots at the beginnings of lines, piece by piece.
struct Stuffing {
    last: [u8; 2],
}

impl Default for Stuffing {
    fn default() -> Self {
        Self { last: *b"\r\n" }
    }
}

impl Stuffing {
    fn at_line_start(&self) -> bool {
        self.last == *b"\r\n"
    }

    fn stuff(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + piece.len() / 64);
        for &byte in piece {
            if byte == b'.' && self.at_line_start() {
                out.push(b'.');
            }
            out.push(byte);
            self.last = [self.last[1], byte];
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuffed(message: &[u8], piece: usize) -> Vec<u8> {
        let mut stuffing = Stuffing::default();
        let mut out = Vec::new();
        for piece in message.chunks(piece.max(1)) {
            out.extend(stuffing.stuff(piece));
        }
        if !stuffing.at_line_start() {
            out.extend(b"\r\n");
        }
        out
    }

    #[test]
    fn dots_at_the_beginnings_of_lines_are_doubled() {
        for (message, wire) in [
            ("", ""),
            (".", "..\r\n"),
            ("a.b\r\n", "a.b\r\n"),
            (".\r\n.\r\n", "..\r\n..\r\n"),
            ("a\r\n.b", "a\r\n..b\r\n"),
            ("a\n.b\r\n", "a\n.b\r\n"),
            ("a\r\n\r\n..\r\n", "a\r\n\r\n...\r\n"),
        ] {
            for piece in 1..4 {
                let out = stuffed(message.as_bytes(), piece);
                assert_eq!(out, wire.as_bytes(), "{message:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_message_can_end_itself(message in "[.\r\na]{0,40}", piece in 1_usize..8) {
            let out = stuffed(message.as_bytes(), piece);
            let text = String::from_utf8(out).unwrap();
            prop_assert!(!format!("\r\n{text}").contains("\r\n.\r\n"), "{text:?}");
            // And what the server takes off again is what was given.
            let lines: Vec<&str> = text.split("\r\n")
                .map(|l| l.strip_prefix('.').unwrap_or(l)).collect();
            let back = lines.join("\r\n");
            let ended = format!("{message}\r\n");
            prop_assert!(back == message || back == ended);
        }
    }

    #[test]
    fn an_enhanced_code_stands_once() {
        let reply = |lines: &[&str]| {
            let lines = lines.iter().map(|l| (*l).to_owned()).collect();
            Answer { code: 550, lines }.reply().text
        };
        assert_eq!(reply(&["5.7.1 a", "5.7.1 b"]), "5.7.1 a b");
        assert_eq!(reply(&["5.7.1 a", "b"]), "5.7.1 a b");
        assert_eq!(reply(&["hello a", "hello b"]), "hello a hello b");
        assert_eq!(reply(&[]), "");
    }

    #[test]
    fn abilities_are_read_in_any_case() {
        let lines = [
            "mx",
            "Size 100",
            "auth=LOGIN",
            "AUTH plain cram-md5",
            "8bitmime",
        ];
        let lines: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        let able = Abilities::read(&lines);
        let wanted = Abilities {
            plain: true,
            login: true,
            eight_bit: true,
            size: true,
            ..Abilities::default()
        };
        assert_eq!(able, wanted);
        // The first line is the server's name.
        assert_eq!(
            Abilities::read(&["STARTTLS".to_owned()]),
            Abilities::default()
        );
    }
}
