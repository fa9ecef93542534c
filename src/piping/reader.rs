//! The loop of one mailbox: takes its lease, reads it, waits, and begins anew when anything breaks.

use super::folder::Folder;
use super::take::{Failed, Take};
use crate::gateway::{Gateway, LiveChannel};
use crate::mail::imap::ImapError;
use crate::store::mailboxes::{self, Claim, Position};
use crate::store::{StoreError, at_once, upkeep};
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::kit::mail::{Mailbox, StartFrom};
use switchboard_channels::model::Millis;
use tokio_util::sync::CancellationToken;

/// The first pause after a failure; each further one is twice as long.
const BACKOFF: Duration = Duration::from_secs(1);
/// A server that is down for long is asked this often.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Refused logins before the channel pauses: one may be the server's mistake, and many lock the account.
const LOGINS_MAX: u32 = 3;
/// A paused channel, or one that somebody else reads, is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// While the store does not answer, it is asked again after so long.
const STORE_DOWN: Duration = Duration::from_secs(1);
/// Mailboxes that were given new numbers are read from so long before the newest mail on: servers sort
/// by their own days, and mail may be filed late.
const OVERLAP_MS: i64 = 2 * 86_400_000;
/// Starts without anything being taken after which the next mail is suspected of ending the process.
const STARTS_SUSPICIOUS: i64 = 3;
const DAY_MS: i64 = 86_400_000;
/// How the message of such a pause begins: it tells it from one of the submission server.
const REFUSED: &str = "the mailbox refuses the login";

/// Why a session ended.
enum End {
    /// User or password are not taken.
    Login(String),
    /// The server, the network.
    Broken(String),
    /// Somebody else reads the mailbox now.
    Overtaken,
    /// The store cannot be written.
    Store(String),
}

impl From<ImapError> for End {
    fn from(error: ImapError) -> Self {
        match error {
            ImapError::Login(words) => Self::Login(words),
            ImapError::Unavailable(words) => Self::Broken(words),
        }
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<Failed> for End {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Imap(error) => error.into(),
            Failed::Overtaken => Self::Overtaken,
            Failed::Store(words) => Self::Store(words),
        }
    }
}

/// How things went so far.
#[derive(Default)]
struct History {
    failures: u32,
    logins: u32,
    /// Whether the mailbox was given up for its login, until the channel is resumed.
    refused: bool,
}

/// The loop of one mailbox.
pub struct Reader {
    /// The service.
    pub gateway: Arc<Gateway>,
    /// The channel.
    pub live: Arc<LiveChannel>,
    /// Where and how.
    pub mailbox: Mailbox,
}

impl Reader {
    /// Reads until it is time to stop. Cut off at any point it loses nothing.
    pub async fn run(self, stop: CancellationToken) {
        let mut history = History::default();
        while !stop.is_cancelled() {
            let held = tokio::select! {
                held = self.claim(&mut history) => held,
                () = stop.cancelled() => return,
            };
            let Some((claim, position)) = held else {
                continue;
            };
            tokio::select! {
                () = self.hold(&claim, position, &mut history) => {}
                () = self.keep_alive(&claim) => {
                    tracing::info!(channel.id = %self.live.info.id,
                        "the mailbox is read by another process now");
                }
                () = stop.cancelled() => {}
            }
            self.release(claim).await;
        }
    }

    fn lease_ms(&self) -> i64 {
        i64::try_from(self.gateway.limits.lease.as_millis()).unwrap_or(i64::MAX)
    }

    /// Takes the mailbox once the channel is not paused and nobody else has it.
    async fn claim(&self, history: &mut History) -> Option<(Claim, Position)> {
        if self.is_paused(history.refused).await {
            tokio::time::sleep(LOOK_EVERY).await;
            return None;
        }
        history.refused = false;
        let (id, folder) = (self.live.info.id.clone(), self.mailbox.folder.clone());
        let lease = self.lease_ms();
        let claimed = self
            .gateway
            .store
            .write(move |tx, unit| at_once(mailboxes::claim(tx, unit, &id, &folder, lease)))
            .await;
        match claimed {
            Ok((Some(held), _)) => Some(held),
            Ok((None, _)) => {
                tokio::time::sleep(LOOK_EVERY).await;
                None
            }
            Err(error) => {
                tracing::warn!(channel.id = %self.live.info.id, %error,
                    "the mailbox's place cannot be read");
                tokio::time::sleep(STORE_DOWN).await;
                None
            }
        }
    }

    /// Whether the channel waits for a mailbox that lets us in. A channel that an operator paused, or
    /// whose submission server refuses us, sends nothing and still hears.
    async fn is_paused(&self, refused: bool) -> bool {
        match self
            .gateway
            .store
            .read(|tx| at_once(upkeep::paused(tx)))
            .await
        {
            Ok(paused) => paused
                .iter()
                .filter(|p| p.lane == self.live.lane.as_str() && p.reason != "operator")
                .any(|p| refused || p.message.starts_with(REFUSED)),
            // It cannot be told; whoever cannot read cannot take a mailbox either.
            Err(_) => true,
        }
    }

    async fn release(&self, claim: Claim) {
        let released = self
            .gateway
            .store
            .write(move |tx, _| at_once(mailboxes::release(tx, &claim)))
            .await;
        if let Err(error) = released {
            tracing::warn!(channel.id = %self.live.info.id, %error,
                "the mailbox is not given back; it is free when its lease ends");
        }
    }

    /// Lengthens the lease, until it is lost.
    async fn keep_alive(&self, claim: &Claim) {
        let started = crate::store::now();
        let mut heard = Millis(0);
        loop {
            tokio::time::sleep(self.gateway.limits.lease / 3).await;
            let (claim, lease) = (claim.clone(), self.lease_ms());
            let renewed = self
                .gateway
                .store
                .write(move |tx, unit| at_once(mailboxes::renew(tx, unit, &claim, lease)))
                .await;
            match renewed {
                Ok((Some(wanted), _)) => {
                    // Another process was asked for a look.
                    if wanted > heard && wanted > started {
                        heard = wanted;
                        self.gateway.bell.look.notify_waiters();
                    }
                }
                Ok((None, _)) => return,
                // Nothing can be taken meanwhile either; the fence sees to that.
                Err(error) => tracing::warn!(channel.id = %self.live.info.id, %error,
                    "the lease of the mailbox is not renewed"),
            }
        }
    }

    /// Reads, session after session, until the mailbox is lost or the channel pauses.
    async fn hold(&self, claim: &Claim, mut position: Position, history: &mut History) {
        let channel = self.live.info.id.as_str();
        loop {
            match self.read(claim, &mut position, history).await {
                End::Login(words) => {
                    history.logins += 1;
                    tracing::warn!(channel.id = channel, try.no = history.logins, words,
                        "the mailbox does not let us in");
                    if history.logins >= LOGINS_MAX {
                        history.logins = 0;
                        history.refused = true;
                        let message = format!("{REFUSED}: {words}");
                        self.gateway
                            .pause(&self.live.lane, "credentials", &message)
                            .await;
                        return;
                    }
                }
                End::Overtaken => return,
                End::Broken(words) => {
                    tracing::warn!(
                        channel.id = channel,
                        words,
                        "the mailbox cannot be read now"
                    );
                }
                End::Store(words) => {
                    tracing::warn!(channel.id = channel, words, "mail cannot be stored now");
                }
            }
            tokio::time::sleep(backoff(history.failures, rand::random())).await;
            history.failures = history.failures.saturating_add(1);
        }
    }

    /// One session.
    async fn read(&self, claim: &Claim, position: &mut Position, history: &mut History) -> End {
        match self.session(claim, position, history).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn session(
        &self,
        claim: &Claim,
        position: &mut Position,
        history: &mut History,
    ) -> Result<std::convert::Infallible, End> {
        let connector = self.gateway.mailer.connector();
        let mut folder = Folder::open(connector, &self.mailbox).await?;
        history.logins = 0;
        self.orient(claim, position, &mut folder).await?;
        let suspicious = position.starts >= STARTS_SUSPICIOUS;
        let mut take = Take::new(&self.gateway, &self.live, &self.mailbox, claim, suspicious);
        loop {
            // Before the search, so that whoever asks meanwhile is answered by another one.
            let wanted = self.gateway.bell.look.notified();
            tokio::pin!(wanted);
            wanted.as_mut().enable();
            loop {
                let last = u32::try_from(position.last_uid).unwrap_or(u32::MAX);
                let uids = folder.above(last, None).await?;
                if uids.is_empty() {
                    break;
                }
                take.all(&mut folder, position, &uids).await?;
                history.failures = 0;
            }
            self.looked(claim).await?;
            // A server that answers to the end is well again.
            history.failures = 0;
            folder.wait(&self.mailbox, wanted).await?;
        }
    }

    /// Finds where to go on: where we were, unless the numbers are new.
    async fn orient(
        &self,
        claim: &Claim,
        position: &mut Position,
        folder: &mut Folder,
    ) -> Result<(), End> {
        let validity = i64::from(folder.uid_validity);
        if position.uid_validity == validity {
            return Ok(());
        }
        let now = crate::store::now();
        let first = position.uid_validity == 0;
        let since = match (first, self.mailbox.start_from) {
            (true, StartFrom::Now) => None,
            (true, StartFrom::Days(days)) => {
                Some(now.plus(-i64::from(days).saturating_mul(DAY_MS)))
            }
            (false, _) => Some(position.newest_at.plus(-OVERLAP_MS)),
        };
        let last_uid = match since {
            Some(since) => match folder.above(0, Some(since)).await?.first() {
                Some(first) => i64::from(*first) - 1,
                None => end(folder).await?,
            },
            None => end(folder).await?,
        };
        if !first {
            tracing::warn!(channel.id = %self.live.info.id,
                "the server has numbered the mailbox anew: it is read again, and what is known is passed by");
        }
        let next = Position {
            uid_validity: validity,
            last_uid,
            newest_at: if first { now } else { position.newest_at },
            starts: position.starts,
        };
        let by = claim.clone();
        let (held, _) = self
            .gateway
            .store
            .write(move |tx, _| at_once(mailboxes::begin_at(tx, &by, &next)))
            .await?;
        if !held {
            return Err(End::Overtaken);
        }
        *position = next;
        Ok(())
    }

    async fn looked(&self, claim: &Claim) -> Result<(), End> {
        let claim = claim.clone();
        self.gateway
            .store
            .write(move |tx, unit| at_once(mailboxes::looked(tx, unit, &claim)))
            .await?;
        self.gateway.bell.looked.notify_waiters();
        Ok(())
    }
}

/// The number of the last mail that is there.
async fn end(folder: &mut Folder) -> Result<i64, End> {
    let last = match folder.uid_next {
        Some(next) => Some(next.saturating_sub(1)),
        None => folder.above(0, None).await?.last().copied(),
    };
    Ok(last.map_or(0, i64::from))
}

/// The pause after so many failures: doubled each time, and between half and all of it, so that
/// mailboxes of one server do not come back in step. `chance` is from 0 to 1.
fn backoff(failures: u32, chance: f64) -> Duration {
    let whole = BACKOFF
        .saturating_mul(2_u32.saturating_pow(failures.min(16)))
        .min(BACKOFF_MAX);
    whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        assert_eq!(backoff(0, 1.0), BACKOFF);
        assert_eq!(backoff(0, 0.0), BACKOFF / 2);
        assert_eq!(backoff(3, 1.0), BACKOFF * 8);
        assert_eq!(backoff(9, 1.0), BACKOFF_MAX);
        assert_eq!(backoff(u32::MAX, 1.0), BACKOFF_MAX);
    }
}
