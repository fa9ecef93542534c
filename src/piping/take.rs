//! From numbers in a mailbox to messages in the store.

use super::folder::{Folder, Head};
use crate::gateway::{Gateway, LiveChannel};
use crate::inbound;
use crate::mail::imap::ImapError;
use crate::mail::kept::PREFIX;
use crate::store::inbound::InboundBatch;
use crate::store::mailboxes::{self, Claim, PipedMail, Position, Taking};
use crate::store::{StoreError, at_once};
use crate::telemetry::names;
use bytes::Bytes;
use futures_util::future::try_join_all;
use serde_json::json;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::Verified;
use switchboard_channels::kit::http::{Headers, Inbound, Method, Via};
use switchboard_channels::kit::mail::{Mailbox, headers};
use switchboard_channels::kit::sign::sha256_hex;
use switchboard_channels::model::{Event, EventBody, Millis};

/// Mails that share a commit. More would save little, and hold more memory.
const TOGETHER: usize = 50;
/// Bytes of mails that are held at once; a larger mail is held alone.
const TOGETHER_BYTES: u64 = 8 * 1024 * 1024;
/// A mail that takes longer to parse is built to take long.
const PARSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Tries before a mail is kept raw and passed by.
const TRIES: u32 = 3;

/// Why mails were not taken.
pub enum Failed {
    /// The server or the network.
    Imap(ImapError),
    /// Somebody else reads the mailbox now.
    Overtaken,
    /// The store or the media directory cannot be written.
    Store(String),
}

impl From<ImapError> for Failed {
    fn from(error: ImapError) -> Self {
        Self::Imap(error)
    }
}

/// A mail as it was fetched.
struct Fetched {
    uid: u32,
    came_at: Millis,
    size: u64,
    /// The header block alone, because the mail is too large.
    truncated: bool,
    body: Bytes,
    /// Under which key it is kept.
    key: String,
}

/// Takes mails out of one mailbox.
pub struct Take<'a> {
    gateway: &'a Arc<Gateway>,
    live: &'a Arc<LiveChannel>,
    mailbox: &'a Mailbox,
    claim: &'a Claim,
    /// The next mail may have ended the process before: it is taken alone, and counted first.
    suspicious: bool,
}

impl<'a> Take<'a> {
    /// For this mailbox, by this right.
    pub const fn new(
        gateway: &'a Arc<Gateway>,
        live: &'a Arc<LiveChannel>,
        mailbox: &'a Mailbox,
        claim: &'a Claim,
        suspicious: bool,
    ) -> Self {
        Self {
            gateway,
            live,
            mailbox,
            claim,
            suspicious,
        }
    }

    /// Takes all of these mails, some at a time, and moves the position on.
    pub async fn all(
        &mut self,
        folder: &mut Folder,
        position: &mut Position,
        uids: &[u32],
    ) -> Result<(), Failed> {
        if self.suspicious
            && let Some((first, _)) = uids.split_first()
        {
            let by = self.claim.clone();
            let uid = i64::from(*first);
            let tries = self
                .write(move |tx, _| at_once(mailboxes::trying(tx, &by, uid)))
                .await?
                .ok_or(Failed::Overtaken)?;
            self.suspicious = false;
            let pass_by = tries > i64::from(TRIES);
            let heads = folder.heads(&[*first]).await?;
            self.some(folder, position, &heads, *first, pass_by).await?;
            return Ok(());
        }
        for page in uids.chunks(TOGETHER) {
            let Some(last) = page.last() else { break };
            let heads = folder.heads(page).await?;
            let mut rest = heads.as_slice();
            loop {
                let (now, later) = rest.split_at(self.fitting(rest));
                // What has gone meanwhile is passed by with the last of the page.
                let up_to = if later.is_empty() {
                    *last
                } else {
                    now.last().map_or(*last, |h| h.uid)
                };
                self.some(folder, position, now, up_to, false).await?;
                if later.is_empty() {
                    break;
                }
                rest = later;
            }
        }
        Ok(())
    }

    /// How many of these fit into memory together: at least one.
    fn fitting(&self, heads: &[Head]) -> usize {
        let mut bytes = 0_u64;
        let held = |h: &Head| h.size.min(self.mailbox.max_message_bytes);
        let count = heads
            .iter()
            .take_while(|h| {
                bytes = bytes.saturating_add(held(h));
                bytes <= TOGETHER_BYTES
            })
            .count();
        count.max(1).min(heads.len())
    }

    /// Takes these mails in one commit, then marks or moves them.
    async fn some(
        &self,
        folder: &mut Folder,
        position: &mut Position,
        heads: &[Head],
        up_to: u32,
        pass_by: bool,
    ) -> Result<(), Failed> {
        let fetched = self.fetch(folder, heads).await?;
        self.keep(&fetched).await?;
        let mut mails = Vec::with_capacity(fetched.len());
        for mail in &fetched {
            let batches = if pass_by {
                vec![self.passed_by(mail, "it ended the process")]
            } else {
                self.parse(mail).await
            };
            mails.push(PipedMail {
                kept: Some(mail.key.clone()),
                batches,
            });
        }
        let newest = fetched.iter().map(|m| m.came_at).max();
        let taking = Taking {
            claim: self.claim.clone(),
            uid_validity: position.uid_validity,
            last_uid: i64::from(up_to),
            newest_at: newest.unwrap_or(position.newest_at),
            mails,
        };
        match self.commit(taking.clone()).await {
            Ok(()) => {}
            Err(Refusal::Fatal(failed)) => return Err(failed),
            Err(Refusal::Unit(_)) => self.one_by_one(&fetched, taking).await?,
        }
        position.last_uid = i64::from(up_to);
        position.newest_at = position.newest_at.max(newest.unwrap_or(Millis(0)));
        position.starts = 0;
        let uids: Vec<u32> = fetched.iter().map(|m| m.uid).collect();
        if !uids.is_empty() {
            folder.file(&uids, &self.mailbox.after).await?;
        }
        Ok(())
    }

    /// The store refuses something of these mails: each for itself, and the one that it is about is
    /// passed by.
    async fn one_by_one(&self, fetched: &[Fetched], taking: Taking) -> Result<(), Failed> {
        let last = fetched.len();
        for (index, (mail, piped)) in fetched.iter().zip(taking.mails).enumerate() {
            let alone = Taking {
                last_uid: if index + 1 == last {
                    taking.last_uid
                } else {
                    i64::from(mail.uid)
                },
                newest_at: mail.came_at,
                claim: taking.claim.clone(),
                uid_validity: taking.uid_validity,
                mails: vec![piped],
            };
            let mut tries = 0;
            loop {
                match self.commit(alone.clone()).await {
                    Ok(()) => break,
                    Err(Refusal::Fatal(failed)) => return Err(failed),
                    Err(Refusal::Unit(error)) => {
                        tries += 1;
                        if tries < TRIES {
                            continue;
                        }
                        let kept = PipedMail {
                            kept: Some(mail.key.clone()),
                            batches: vec![self.passed_by(mail, &error.to_string())],
                        };
                        let passed = Taking {
                            mails: vec![kept],
                            ..alone
                        };
                        match self.commit(passed).await {
                            Ok(()) => break,
                            Err(Refusal::Fatal(failed)) => return Err(failed),
                            Err(Refusal::Unit(error)) => {
                                return Err(Failed::Store(error.to_string()));
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn fetch(&self, folder: &mut Folder, heads: &[Head]) -> Result<Vec<Fetched>, Failed> {
        let fits = |h: &&Head| h.size <= self.mailbox.max_message_bytes;
        let whole: Vec<u32> = heads.iter().filter(fits).map(|h| h.uid).collect();
        let bodies = if whole.is_empty() {
            Vec::new()
        } else {
            folder.bodies(&whole).await?
        };
        let mut bodies: std::collections::HashMap<u32, Bytes> = bodies.into_iter().collect();
        let mut fetched = Vec::with_capacity(heads.len());
        for head in heads {
            let truncated = !fits(&head);
            let body = if truncated {
                folder.header(head.uid).await?
            } else {
                bodies.remove(&head.uid)
            };
            // Somebody has removed it since its size was asked.
            let Some(body) = body else { continue };
            fetched.push(Fetched {
                uid: head.uid,
                came_at: head.came_at.unwrap_or_else(crate::store::now),
                size: head.size,
                truncated,
                body,
                key: self.key(folder.uid_validity, head.uid),
            });
        }
        Ok(fetched)
    }

    /// The same mail has the same key at every try, so that a crash leaves no second copy.
    fn key(&self, uid_validity: u32, uid: u32) -> String {
        let place = format!(
            "{}\0{}\0{uid_validity}\0{uid}",
            self.claim.channel, self.claim.folder
        );
        let hash = sha256_hex(place.as_bytes());
        format!("{PREFIX}{}", hash.get(..40).unwrap_or(&hash))
    }

    /// Puts the raw mails on disk, all at once: each waits for its own flush.
    async fn keep(&self, fetched: &[Fetched]) -> Result<(), Failed> {
        let puts = fetched
            .iter()
            .map(|mail| self.gateway.mails.put(&mail.key, mail.body.clone()));
        let kept = try_join_all(puts).await;
        kept.map(drop)
            .map_err(|e| Failed::Store(format!("a mail cannot be kept: {e}")))
    }

    fn request(&self, mail: &Fetched) -> Inbound {
        let mut carried = Headers::default()
            .with(headers::INTERNAL_DATE, mail.came_at.0.to_string())
            .with(headers::MAILBOX, self.claim.folder.clone())
            .with(headers::KEPT, mail.key.clone());
        if mail.truncated {
            carried.push(headers::TRUNCATED, mail.size.to_string());
        }
        Inbound {
            via: Via::Mailbox,
            method: Method::Post,
            url: format!(
                "{}/webhooks/{}",
                self.gateway.limits.public_url, self.claim.channel
            ),
            query: String::new(),
            headers: carried,
            body: mail.body.clone(),
            received_at: crate::store::now(),
        }
    }

    /// What a mail says. Total: whatever cannot be understood becomes an event that keeps it.
    async fn parse(&self, mail: &Fetched) -> Vec<InboundBatch> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let (request, live) = (self.request(mail), Arc::clone(self.live));
            let gateway = Arc::clone(self.gateway);
            // Not on a thread that others wait for: a hostile mail may take its time.
            let work = tokio::task::spawn_blocking(move || {
                std::panic::catch_unwind(AssertUnwindSafe(|| {
                    let verified = Verified::check(live.channel.as_ref(), &request)
                        .map_err(|e| e.to_string())?;
                    let parsed = live.channel.parse(&verified).map_err(|e| e.to_string())?;
                    Ok(inbound::route(
                        &gateway,
                        &live,
                        &request,
                        parsed.events,
                        parsed.effects,
                    ))
                }))
            });
            let parsed: Result<Vec<InboundBatch>, String> =
                match tokio::time::timeout(PARSE_TIMEOUT, work).await {
                    Ok(Ok(Ok(parsed))) => parsed,
                    Ok(Ok(Err(_panic))) => Err("its parser broke off".to_owned()),
                    Ok(Err(joined)) => Err(joined.to_string()),
                    Err(_elapsed) => Err(format!("not parsed in {} s", PARSE_TIMEOUT.as_secs())),
                };
            match parsed {
                Ok(batches) => return batches,
                Err(error) => why = error,
            }
        }
        vec![self.passed_by(mail, &why)]
    }

    /// The event of a mail that nobody can read: the raw mail stays kept.
    fn passed_by(&self, mail: &Fetched, why: &str) -> InboundBatch {
        tracing::warn!(channel.id = %self.claim.channel, mail.uid = mail.uid, why,
            "a mail cannot be read: it is kept and passed by");
        let raw = json!({
            "folder": self.claim.folder, "uid": mail.uid, "size": mail.size, "kept": mail.key,
            "why": why,
        });
        InboundBatch {
            channel: self.live.info.clone(),
            events: vec![Event {
                key: format!("unread:{}", mail.key),
                at: mail.came_at,
                account: None,
                sender: None,
                thread: None,
                body: EventBody::Unknown {
                    what: "mail that cannot be read".to_owned(),
                    raw: raw.to_string(),
                },
            }],
            effects: Vec::new(),
        }
    }

    async fn commit(&self, taking: Taking) -> Result<(), Refusal> {
        let taking = Arc::new(taking);
        let to_write = Arc::clone(&taking);
        let written = self
            .gateway
            .store
            .write(move |tx, unit| at_once(mailboxes::take(tx, unit, &to_write)))
            .await;
        let (fates, wakes) = match written {
            Ok((Some(fates), wakes)) => (fates, wakes),
            Ok((None, _)) => return Err(Refusal::Fatal(Failed::Overtaken)),
            Err(error @ (StoreError::Corrupt(_) | StoreError::Taken(_))) => {
                return Err(Refusal::Unit(error));
            }
            Err(error) => return Err(Refusal::Fatal(Failed::Store(error.to_string()))),
        };
        for (mail, fates) in taking.mails.iter().zip(&fates) {
            inbound::count(&mail.batches, fates);
            metrics::counter!(names::WEBHOOKS_TOTAL, "channel" => self.live.info.id.clone(),
                "kind" => self.live.info.kind, "result" => inbound::taken(fates))
            .increment(1);
        }
        self.gateway.wake(wakes).await;
        Ok(())
    }

    async fn write<T, F>(&self, unit: F) -> Result<T, Failed>
    where
        T: Send + 'static,
        F: FnMut(&mut crate::store::Tx<'_>, &mut crate::store::Unit<'_>) -> Result<T, StoreError>
            + Send
            + 'static,
    {
        let written = self.gateway.store.write(unit).await;
        let (value, _) = written.map_err(|e| Failed::Store(e.to_string()))?;
        Ok(value)
    }
}

/// Why a commit was refused.
enum Refusal {
    /// Something in these mails: others may go through.
    Unit(StoreError),
    /// Everything would be refused now.
    Fatal(Failed),
}
