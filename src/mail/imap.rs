//! A mailbox, opened and logged in to. What is then read from it is `piping`'s.

use super::stream::{Connector, MailStream};
use async_imap::error::Error;
use async_imap::types::Capabilities;
use async_imap::{Authenticator, Client, Session};
use std::time::Duration;
use switchboard_channels::kit::mail::{MailServer, Security};

/// A command that is not answered by then is not answered: the crate itself waits for ever.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// A session on a mail server.
pub type ImapSession = Session<MailStream>;

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImapError {
    /// User or password are not taken.
    #[error("the server refuses the login: {0}")]
    Login(String),
    /// Anything else: no connection, no TLS, a server that says no or nothing.
    #[error("{0}")]
    Unavailable(String),
}

/// Connects, protects and logs in; gives the session and what the server can.
///
/// # Errors
/// When any of it fails.
pub async fn open(
    connector: &Connector,
    server: &MailServer,
) -> Result<(ImapSession, Capabilities), ImapError> {
    let stream = connector
        .open(server)
        .await
        .map_err(ImapError::Unavailable)?;
    let mut client = Client::new(stream);
    // The crate does not read it, and would take it for the answer to the first command.
    greeting(&mut client).await?;
    if server.security == Security::StartTls {
        client = start_tls(client, connector, &server.host).await?;
    }
    let Some((user, password)) = &server.login else {
        return Err(ImapError::Login("no user and password are set".to_owned()));
    };
    let password = password.expose();
    // A quoted string carries no other characters.
    let login = if user.is_ascii() && password.is_ascii() {
        in_time(client.login(user, password)).await?
    } else {
        let plain = Plain(format!("\0{user}\0{password}"));
        in_time(client.authenticate("PLAIN", plain)).await?
    };
    let mut session = login.map_err(|(error, _client)| login_error(error))?;
    let capabilities = in_time(session.capabilities()).await?.map_err(failed)?;
    Ok((session, capabilities))
}

/// Says goodbye, for a moment.
pub async fn close(mut session: ImapSession) {
    // Whoever closes does not care how that went.
    tokio::time::timeout(Duration::from_secs(2), session.logout())
        .await
        .ok();
}

async fn greeting(client: &mut Client<MailStream>) -> Result<(), ImapError> {
    let unavailable = |what: &str| ImapError::Unavailable(what.to_owned());
    let response = in_time(client.read_response()).await?;
    let response = response.map_err(|e| ImapError::Unavailable(e.to_string()))?;
    let response = response.ok_or_else(|| unavailable("the server hung up"))?;
    let shown = format!("{:?}", response.parsed());
    // `PREAUTH` would be somebody else's mailbox as far as we know.
    if shown.contains("status: Ok") {
        Ok(())
    } else if shown.contains("status: Bye") {
        Err(unavailable("the server takes no connection now"))
    } else {
        Err(unavailable("the server does not greet"))
    }
}

async fn start_tls(
    mut client: Client<MailStream>,
    connector: &Connector,
    host: &str,
) -> Result<Client<MailStream>, ImapError> {
    let granted = in_time(client.run_command_and_check_ok("STARTTLS", None)).await?;
    granted.map_err(|_refused| {
        // Somebody in between may have taken the offer out: the password would be theirs.
        ImapError::Unavailable(
            "the server does not grant STARTTLS, and nothing is sent unprotected".to_owned(),
        )
    })?;
    // What was buffered before the protection goes with the old client: it proves nothing.
    let stream = connector
        .protect(host, client.into_inner())
        .await
        .map_err(ImapError::Unavailable)?;
    Ok(Client::new(stream))
}

/// Whether a refused login speaks of the server's state and not of ours (RFC 5530).
fn login_error(error: Error) -> ImapError {
    const NOT_US: [&str; 4] = ["unavailable", "inuse", "limit", "temporary"];
    match error {
        Error::No(words) => {
            let small = words.to_ascii_lowercase();
            if NOT_US.iter().any(|w| small.contains(w)) {
                ImapError::Unavailable(words)
            } else {
                ImapError::Login(words)
            }
        }
        other => failed(other),
    }
}

/// An error of the crate in our words: its own may show what was sent.
pub fn failed(error: Error) -> ImapError {
    ImapError::Unavailable(match error {
        Error::Io(error) => error.to_string(),
        Error::No(words) => format!("the server said no: {words}"),
        Error::Bad(words) => format!("the server did not understand: {words}"),
        Error::ConnectionLost => "the server hung up".to_owned(),
        Error::Parse(_) => "the server said something that is no IMAP".to_owned(),
        Error::Validate(_) => "a name holds characters that IMAP has no place for".to_owned(),
        _ => "the server failed".to_owned(),
    })
}

/// Bounds a command in time. After the bound the session is out of step: drop it.
///
/// # Errors
/// When the time is over.
pub async fn in_time<T>(command: impl Future<Output = T>) -> Result<T, ImapError> {
    tokio::time::timeout(COMMAND_TIMEOUT, command)
        .await
        .map_err(|_elapsed| {
            let seconds = COMMAND_TIMEOUT.as_secs();
            ImapError::Unavailable(format!("no answer in {seconds} s"))
        })
}

/// `AUTHENTICATE PLAIN`: everything in one answer.
struct Plain(String);

impl Authenticator for Plain {
    type Response = String;

    fn process(&mut self, _challenge: &[u8]) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_in_trouble_is_no_wrong_password() {
        let no = |words: &str| login_error(Error::No(words.to_owned()));
        assert_eq!(
            no("code: None, info: Some(\"[UNAVAILABLE] later\")"),
            ImapError::Unavailable("code: None, info: Some(\"[UNAVAILABLE] later\")".to_owned())
        );
        assert!(matches!(no("Authentication failed."), ImapError::Login(_)));
        let lost = login_error(Error::ConnectionLost);
        assert!(matches!(lost, ImapError::Unavailable(_)));
    }
}
