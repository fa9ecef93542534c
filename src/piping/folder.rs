//! One folder of a mail server, over one session.
//!
//! Commands are sent and their answers read by hand: the crate's own `uid_search` and `uid_fetch` take
//! a refusal for an empty result, and a mailbox that seems empty would be passed by.

use crate::mail::imap::{self, COMMAND_TIMEOUT, ImapError, ImapSession, failed, in_time};
use crate::mail::stream::Connector;
use async_imap::extensions::idle::IdleResponse;
use async_imap::imap_proto::{
    AttributeValue, MailboxDatum, MessageSection, Response, ResponseCode, SectionPath, Status,
};
use async_imap::types::{Capabilities, UnsolicitedResponse};
use bytes::Bytes;
use std::fmt::Write as _;
use std::time::Duration;
use switchboard_channels::kit::mail::{After, Mailbox};
use switchboard_channels::model::Millis;

/// Bodies come in their own time: 30 MB over a slow line.
const FETCH_TIMEOUT: Duration = Duration::from_secs(600);
/// The most of a header block that is fetched where the mail is too large: mail-parser and we read no
/// more of one.
const HEAD_MAX_BYTES: u32 = 256 * 1024;
/// What every server writes before a date.
const DATE_FORMAT: &str = "%d-%b-%Y %H:%M:%S %z";

/// What a mailbox says of a mail before it is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub uid: u32,
    /// Its size in bytes.
    pub size: u64,
    /// When the mailbox took it.
    pub came_at: Option<Millis>,
}

/// A selected folder.
pub struct Folder {
    session: Option<ImapSession>,
    can_idle: bool,
    can_move: bool,
    can_expunge: bool,
    /// Under which the numbers hold.
    pub uid_validity: u32,
    /// The number that the next mail will have at least.
    pub uid_next: Option<u32>,
    /// Whether mail was announced since the last search.
    news: bool,
}

impl Folder {
    /// Logs in and selects.
    ///
    /// # Errors
    /// When any of it fails.
    pub async fn open(connector: &Connector, mailbox: &Mailbox) -> Result<Self, ImapError> {
        let (session, capabilities) = imap::open(connector, &mailbox.server).await?;
        let has = |c: &Capabilities, name: &str| c.has_str(name);
        let mut folder = Self {
            session: Some(session),
            can_idle: has(&capabilities, "IDLE"),
            can_move: has(&capabilities, "MOVE"),
            can_expunge: has(&capabilities, "UIDPLUS"),
            uid_validity: 0,
            uid_next: None,
            news: false,
        };
        folder.select(&mailbox.folder).await?;
        Ok(folder)
    }

    fn session(&mut self) -> Result<&mut ImapSession, ImapError> {
        let lost = || ImapError::Unavailable("the session is lost".to_owned());
        self.session.as_mut().ok_or_else(lost)
    }

    async fn select(&mut self, name: &str) -> Result<(), ImapError> {
        let command = format!("SELECT {}", quoted(name)?);
        let (mut validity, mut next) = (None, None);
        self.run(&command, COMMAND_TIMEOUT, |response| {
            if let Response::Data { outcome, .. } = response {
                match outcome.code {
                    Some(ResponseCode::UidValidity(n)) => validity = Some(n),
                    Some(ResponseCode::UidNext(n)) => next = Some(n),
                    _ => {}
                }
            }
        })
        .await?;
        self.uid_validity = validity.ok_or_else(|| {
            ImapError::Unavailable("the server numbers its mails for nobody".to_owned())
        })?;
        self.uid_next = next;
        Ok(())
    }

    /// Runs a command to its end and shows each answer on the way. A refusal is an error.
    async fn run(
        &mut self,
        command: &str,
        limit: Duration,
        mut each: impl FnMut(&Response<'_>),
    ) -> Result<(), ImapError> {
        let mut news = false;
        let session = self.session()?;
        let work = async {
            let id = session.run_command(command).await.map_err(failed)?;
            loop {
                let response = match session.read_response().await {
                    Ok(Some(response)) => response,
                    Ok(None) => {
                        return Err(ImapError::Unavailable("the server hung up".to_owned()));
                    }
                    Err(error) => return Err(ImapError::Unavailable(error.to_string())),
                };
                match response.parsed() {
                    Response::Done {
                        tag,
                        status,
                        outcome,
                    } if *tag == id => {
                        if *status == Status::Ok {
                            return Ok(());
                        }
                        let words = outcome.information.as_deref().unwrap_or_default();
                        return Err(ImapError::Unavailable(format!(
                            "the server refused {}: {words}",
                            command.split(' ').next().unwrap_or_default()
                        )));
                    }
                    Response::Data {
                        status: Status::Bye,
                        ..
                    } => {
                        return Err(ImapError::Unavailable("the server says bye".to_owned()));
                    }
                    Response::MailboxData(MailboxDatum::Exists(_)) => news = true,
                    other => each(other),
                }
            }
        };
        let done = tokio::time::timeout(limit, work).await;
        self.news |= news;
        match done {
            Ok(Ok(())) => Ok(()),
            // Cut off or refused: what is still under way is unknown, and nobody may read it.
            Ok(Err(error)) => {
                self.session = None;
                Err(error)
            }
            Err(_elapsed) => {
                self.session = None;
                let seconds = limit.as_secs();
                Err(ImapError::Unavailable(format!("no answer in {seconds} s")))
            }
        }
    }

    /// The numbers above this one, ascending; with `since`, only of mails that came on that day or
    /// later.
    ///
    /// # Errors
    /// When the server refuses or breaks off.
    pub async fn above(&mut self, last: u32, since: Option<Millis>) -> Result<Vec<u32>, ImapError> {
        let Some(first) = last.checked_add(1) else {
            return Ok(Vec::new());
        };
        // What is announced from here on is not in the answer.
        self.news = false;
        let mut command = format!("UID SEARCH UID {first}:*");
        if let Some(day) = since.and_then(day) {
            // Writing into a string does not fail.
            write!(command, " SINCE {day}").ok();
        }
        let mut uids = Vec::new();
        self.run(&command, COMMAND_TIMEOUT, |response| {
            if let Response::MailboxData(MailboxDatum::Search(found)) = response {
                // `n:*` means the last mail too, even when its number is below n.
                uids.extend(found.iter().copied().filter(|uid| *uid > last));
            }
        })
        .await?;
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }

    /// Sizes and dates. A mail that is gone is missing.
    ///
    /// # Errors
    /// When the server refuses or breaks off.
    pub async fn heads(&mut self, uids: &[u32]) -> Result<Vec<Head>, ImapError> {
        let command = format!("UID FETCH {} (UID RFC822.SIZE INTERNALDATE)", set(uids));
        let mut heads = Vec::with_capacity(uids.len());
        self.run(&command, COMMAND_TIMEOUT, |response| {
            let Response::Fetch(_, attributes) = response else {
                return;
            };
            let (mut uid, mut size, mut came_at) = (None, None, None);
            for attribute in attributes {
                match attribute {
                    AttributeValue::Uid(n) => uid = Some(*n),
                    AttributeValue::Rfc822Size(n) => size = Some(u64::from(*n)),
                    AttributeValue::InternalDate(text) => came_at = date(text),
                    _ => {}
                }
            }
            // Others say that somebody else has marked a mail.
            if let (Some(uid), Some(size)) = (uid, size)
                && uids.contains(&uid)
            {
                heads.push(Head { uid, size, came_at });
            }
        })
        .await?;
        heads.sort_unstable_by_key(|h| h.uid);
        heads.dedup_by_key(|h| h.uid);
        Ok(heads)
    }

    /// Whole mails, by number. One that is gone is missing.
    ///
    /// # Errors
    /// When the server refuses or breaks off.
    pub async fn bodies(&mut self, uids: &[u32]) -> Result<Vec<(u32, Bytes)>, ImapError> {
        // PEEK: the mail is not marked as read by being fetched.
        let command = format!("UID FETCH {} (UID BODY.PEEK[])", set(uids));
        let mut bodies = Vec::with_capacity(uids.len());
        self.run(&command, FETCH_TIMEOUT, |response| {
            bodies.extend(section(response, |s| s.is_none()));
        })
        .await?;
        Ok(bodies)
    }

    /// The beginning of a mail's header block.
    ///
    /// # Errors
    /// When the server refuses or breaks off.
    pub async fn header(&mut self, uid: u32) -> Result<Option<Bytes>, ImapError> {
        let command = format!("UID FETCH {uid} (UID BODY.PEEK[HEADER]<0.{HEAD_MAX_BYTES}>)");
        let mut header = None;
        self.run(&command, FETCH_TIMEOUT, |response| {
            let wanted = Some(SectionPath::Full(MessageSection::Header));
            if let Some((_, bytes)) = section(response, |s| *s == wanted) {
                header = Some(bytes);
            }
        })
        .await?;
        Ok(header)
    }

    /// Marks or moves mails whose content is committed.
    ///
    /// # Errors
    /// When the server refuses or breaks off; nothing is lost by it.
    pub async fn file(&mut self, uids: &[u32], after: &After) -> Result<(), ImapError> {
        let set = set(uids);
        let target = match after {
            After::Nothing => return Ok(()),
            After::Seen => None,
            After::Move(folder) => Some(quoted(folder)?),
        };
        let mut run = Vec::with_capacity(3);
        match target {
            Some(folder) if self.can_move => run.push(format!("UID MOVE {set} {folder}")),
            Some(folder) if self.can_expunge => {
                run.push(format!("UID COPY {set} {folder}"));
                run.push(format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)"));
                run.push(format!("UID EXPUNGE {set}"));
            }
            // An EXPUNGE without numbers would also remove what somebody else has marked.
            Some(_) | None => run.push(format!("UID STORE {set} +FLAGS.SILENT (\\Seen)")),
        }
        for command in run {
            self.run(&command, COMMAND_TIMEOUT, |_| {}).await?;
        }
        Ok(())
    }

    /// Waits until there may be news: the server says something, `wanted` is done, or the time of the
    /// mailbox is over.
    ///
    /// # Errors
    /// When the session breaks.
    pub async fn wait(
        &mut self,
        mailbox: &Mailbox,
        wanted: impl Future<Output = ()>,
    ) -> Result<(), ImapError> {
        if self.news {
            return Ok(());
        }
        if !self.can_idle {
            let pause = Duration::from_secs(mailbox.poll_seconds);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = wanted => {}
            }
            // Many servers tell of new mail only when they are spoken to.
            return self.run("NOOP", COMMAND_TIMEOUT, |_| {}).await;
        }
        let lost = || ImapError::Unavailable("the session is lost".to_owned());
        // Back only when all went well: whatever breaks takes the session with it.
        let session = self.session.take().ok_or_else(lost)?;
        let unsolicited = session.unsolicited_responses.clone();
        while unsolicited.try_recv().is_ok() {}
        let mut idle = session.idle();
        in_time(idle.init()).await?.map_err(failed)?;
        // What came while IDLE began was put there, and nobody will say it again.
        let mut early = false;
        while let Ok(said) = unsolicited.try_recv() {
            early |= matches!(said, UnsolicitedResponse::Exists(_));
        }
        if !early {
            let limit = Duration::from_secs(mailbox.idle_seconds);
            // The crate's own limit begins again with each "still here" of the server.
            let (news, stop) = idle.wait_with_timeout(limit);
            let said = tokio::select! {
                said = tokio::time::timeout(limit, news) => said.ok(),
                () = wanted => None,
            };
            drop(stop);
            if let Some(said) = said {
                match said.map_err(failed)? {
                    IdleResponse::NewData(_)
                    | IdleResponse::Timeout
                    | IdleResponse::ManualInterrupt => {}
                }
            }
        }
        self.session = Some(in_time(idle.done()).await?.map_err(failed)?);
        Ok(())
    }
}

/// A name as IMAP wants it; non-ASCII ones in its own UTF-7.
fn quoted(name: &str) -> Result<String, ImapError> {
    if name.chars().any(char::is_control) {
        let what = "the folder's name holds control characters";
        return Err(ImapError::Unavailable(what.to_owned()));
    }
    let escaped = utf7(name).replace('\\', "\\\\").replace('"', "\\\"");
    Ok(format!("\"{escaped}\""))
}

/// RFC 3501, section 5.1.3: UTF-16 in base64 with a comma for the slash, between `&` and `-`.
fn utf7(name: &str) -> String {
    use base64::Engine as _;
    use base64::alphabet::IMAP_MUTF7;
    use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};
    let engine = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);
    let mut out = String::new();
    let mut shifted = String::new();
    let flush = |shifted: &mut String, out: &mut String| {
        if !shifted.is_empty() {
            let bytes: Vec<u8> = shifted.encode_utf16().flat_map(u16::to_be_bytes).collect();
            out.push('&');
            out.push_str(&engine.encode(bytes));
            out.push('-');
            shifted.clear();
        }
    };
    for c in name.chars() {
        if c.is_ascii() {
            flush(&mut shifted, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            shifted.push(c);
        }
    }
    flush(&mut shifted, &mut out);
    out
}

/// Numbers as a set: runs are written as ranges.
fn set(uids: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &uid in uids {
        match ranges.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(uid) => *end = uid,
            _ => ranges.push((uid, uid)),
        }
    }
    let words = ranges.into_iter().map(|(from, to)| {
        if from == to {
            from.to_string()
        } else {
            format!("{from}:{to}")
        }
    });
    words.collect::<Vec<_>>().join(",")
}

/// The number and the bytes of the section that is wanted.
fn section(
    response: &Response<'_>,
    wanted: impl Fn(&Option<SectionPath>) -> bool,
) -> Option<(u32, Bytes)> {
    let Response::Fetch(_, attributes) = response else {
        return None;
    };
    let (mut uid, mut bytes) = (None, None);
    for attribute in attributes {
        match attribute {
            AttributeValue::Uid(n) => uid = Some(*n),
            AttributeValue::BodySection {
                section,
                data: Some(data),
                ..
            } if wanted(section) => bytes = Some(Bytes::copy_from_slice(data)),
            _ => {}
        }
    }
    Some((uid?, bytes?))
}

fn date(text: &str) -> Option<Millis> {
    // A day below ten has a space before it.
    let read = jiff::fmt::strtime::parse(DATE_FORMAT, text.trim()).ok()?;
    read.to_timestamp().ok().map(|t| Millis(t.as_millisecond()))
}

/// A day as `SINCE` wants it. The server reads it in its own time zone: ask for a day more.
fn day(at: Millis) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(at.0).ok()?;
    let day = time.to_zoned(jiff::tz::TimeZone::UTC).date();
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = usize::try_from(day.month() - 1).ok()?;
    Some(format!(
        "{}-{}-{}",
        day.day(),
        MONTHS.get(month)?,
        day.year()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_short() {
        assert_eq!(set(&[1]), "1");
        assert_eq!(set(&[1, 2, 3, 7, 9, 10, u32::MAX]), "1:3,7,9:10,4294967295");
    }

    #[test]
    fn dates_are_read_and_written_as_servers_do() {
        let at = Millis(1_782_035_065_000); // 2026-06-21 09:44:25 UTC
        assert_eq!(date("21-Jun-2026 02:44:25 -0700"), Some(at));
        assert_eq!(
            date(" 1-Jul-2026 00:00:00 +0000"),
            Some(Millis(1_782_864_000_000))
        );
        assert_eq!(date("tomorrow"), None);
        assert_eq!(day(at).as_deref(), Some("21-Jun-2026"));
    }

    #[test]
    fn names_of_folders_in_any_language() {
        for (name, wire) in [
            ("INBOX", "\"INBOX\""),
            ("Bounced mail", "\"Bounced mail\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("Entwürfe", "\"Entw&APw-rfe\""),
            ("台北", "\"&U,BTFw-\""),
            ("R&D", "\"R&-D\""),
        ] {
            assert_eq!(quoted(name).unwrap(), wire);
        }
        assert!(quoted("a\r\nb").is_err());
    }
}
