//! Hands mail to submission servers, over connections that are kept for a while.
//!
//! A connection comes back into the pool only in step with its server, after a finished transaction
//! or an answered `RSET`; whatever was cancelled, timed out or broke is dropped. Otherwise the next
//! user would read each answer one command late, and take the answer to an earlier command for the
//! fate of a message.

use crate::mail::imap;
use crate::mail::smtp::SmtpConnection;
use crate::mail::stream::Connector;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use switchboard_channels::kit::mail::{
    MailError, MailServer, Mailer, Protocol, Security, SmtpReply, Stage, Submission, Submitted,
};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Connections to one server at once. Providers allow about ten; the platform page says four.
const CONNECTIONS: usize = 4;
/// A connection that nobody used for so long is closed: servers hang up after a few minutes.
const IDLE: Duration = Duration::from_secs(60);
/// Idle connections are looked for this often.
const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// Transactions over one connection; many servers end it after a hundred.
const TRANSACTIONS_MAX: u32 = 50;
/// How long a check of the credentials may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// Whom a kept connection belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Account {
    host: String,
    port: u16,
    security: Security,
    user: Option<String>,
    hello_name: String,
}

/// A connection that waits for work.
struct Idle {
    connection: SmtpConnection,
    since: Instant,
}

/// The connections of one account.
struct Door {
    slots: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

impl Door {
    fn new() -> Self {
        Self {
            slots: Semaphore::new(CONNECTIONS),
            idle: Mutex::default(),
        }
    }

    /// The connection that was used last, if one is fresh enough.
    fn take(&self) -> Option<SmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let last = idle.pop().filter(|i| i.since.elapsed() < IDLE)?;
        Some(last.connection)
    }

    fn give_back(&self, connection: SmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle {
            connection,
            since: Instant::now(),
        });
    }

    /// What has idled for at least so long.
    fn expired(&self, age: Duration) -> Vec<SmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (old, fresh) = std::mem::take(&mut *idle)
            .into_iter()
            .partition(|i| i.since.elapsed() >= age);
        *idle = fresh;
        let old: Vec<Idle> = old;
        old.into_iter().map(|i| i.connection).collect()
    }
}

/// The service's mailer.
pub struct SmtpMailer {
    connector: Connector,
    doors: Mutex<HashMap<Account, Arc<Door>>>,
}

impl SmtpMailer {
    /// A mailer without any connection yet.
    pub fn new(connector: Connector) -> Self {
        Self {
            connector,
            doors: Mutex::default(),
        }
    }

    /// How connections are made.
    pub const fn connector(&self) -> &Connector {
        &self.connector
    }

    fn door(&self, mail: &Submission) -> Arc<Door> {
        let server = &mail.server;
        let account = Account {
            host: server.host.clone(),
            port: server.port,
            security: server.security,
            user: server.login.as_ref().map(|(user, _)| user.clone()),
            hello_name: mail.hello_name.clone(),
        };
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let door = doors.entry(account);
        Arc::clone(door.or_insert_with(|| Arc::new(Door::new())))
    }

    async fn submit_by(&self, mail: &Submission, end: Instant) -> Result<Submitted, MailError> {
        let door = self.door(mail);
        let late = |_| MailError::NotSent("no connection was free in time".to_owned());
        let _slot = match timeout_at(end, door.slots.acquire()).await.map_err(late)? {
            Ok(slot) => slot,
            // It is never closed.
            Err(closed) => return Err(MailError::NotSent(closed.to_string())),
        };
        if let Some(kept) = door.take() {
            match transact(&door, kept, mail, end).await {
                // The server hung up while the connection idled. Nothing was sent, so a fresh one may
                // do it.
                Err(MailError::NotSent(_)) => {}
                Err(MailError::Refused {
                    stage: Stage::Sender,
                    reply: SmtpReply { code: 421, .. },
                    ..
                }) => {}
                other => return other,
            }
        }
        let opening = SmtpConnection::open(&self.connector, &mail.server, &mail.hello_name);
        let late = |_| MailError::NotSent("the server did not let us in in time".to_owned());
        let connection = timeout_at(end, opening).await.map_err(late)??;
        transact(&door, connection, mail, end).await
    }

    /// Closes what idles for too long, until it is time to stop; then everything.
    pub async fn sweep(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let stopping = tokio::select! {
                () = tokio::time::sleep(SWEEP_EVERY) => false,
                () = stop.cancelled() => true,
            };
            let doors: Vec<Arc<Door>> = {
                let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
                doors.values().cloned().collect()
            };
            let age = if stopping { Duration::ZERO } else { IDLE };
            for old in doors.iter().flat_map(|door| door.expired(age)) {
                old.quit().await;
            }
            if stopping {
                return;
            }
        }
    }
}

/// One transaction, and then the connection goes back if it is in step.
async fn transact(
    door: &Door,
    mut connection: SmtpConnection,
    mail: &Submission,
    end: Instant,
) -> Result<Submitted, MailError> {
    let result = match timeout_at(end, connection.transact(mail)).await {
        Ok(result) => result,
        Err(_elapsed) => {
            let seconds = Duration::from_millis(mail.timeout_ms).as_secs();
            let what = format!("no answer in {seconds} s");
            // The connection is dropped: an answer that comes late would be the next one's.
            return Err(if connection.dot_sent() {
                MailError::NoAnswer(what)
            } else {
                MailError::NotSent(what)
            });
        }
    };
    if connection.in_step() && connection.transactions() < TRANSACTIONS_MAX {
        door.give_back(connection);
    }
    result
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn submit(&self, mail: Submission) -> Result<Submitted, MailError> {
        let end = Instant::now() + Duration::from_millis(mail.timeout_ms);
        self.submit_by(&mail, end).await
    }

    async fn check(&self, server: &MailServer, protocol: Protocol) -> Result<(), MailError> {
        let late = |_| MailError::NotSent("no answer in time".to_owned());
        let end = Instant::now() + CHECK_TIMEOUT;
        match protocol {
            Protocol::Smtp => {
                let opening = SmtpConnection::open(&self.connector, server, "localhost");
                timeout_at(end, opening).await.map_err(late)??.quit().await;
            }
            Protocol::Imap => {
                let opening = imap::open(&self.connector, server);
                let opened = timeout_at(end, opening).await.map_err(late)?;
                let (session, _) = opened.map_err(|error| match error {
                    imap::ImapError::Login(words) => MailError::Refused {
                        stage: Stage::Auth,
                        reply: SmtpReply {
                            code: 535,
                            text: words,
                        },
                        recipients: Vec::new(),
                    },
                    imap::ImapError::Unavailable(words) => MailError::NotSent(words),
                })?;
                imap::close(session).await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
