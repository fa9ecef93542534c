//! Servers as URLs: `smtps://user:password@host:465`.

use crate::error::SettingsError;
use crate::kit::mail::{MailServer, Security};
use crate::kit::secret::Secret;
use url::{Host, Url};

/// A scheme, how it protects the connection, and its usual port.
type Scheme = (&'static str, Security, u16);

/// Submission.
pub const SMTP: [Scheme; 3] = [
    ("smtps", Security::Implicit, 465),
    ("smtp+starttls", Security::StartTls, 587),
    ("smtp", Security::Plain, 25),
];

/// Mailboxes.
pub const IMAP: [Scheme; 3] = [
    ("imaps", Security::Implicit, 993),
    ("imap+starttls", Security::StartTls, 143),
    ("imap", Security::Plain, 143),
];

/// Reads a server's URL. What is wrong is said without the URL, which holds a password.
///
/// # Errors
/// When it is no URL of one of the schemes, names no host, or would send a password in the clear to
/// another machine.
pub fn read(
    key: &'static str,
    text: &str,
    schemes: &[Scheme; 3],
) -> Result<MailServer, SettingsError> {
    let names: Vec<String> = schemes.iter().map(|s| format!("{}://", s.0)).collect();
    let refused = |found: &str| SettingsError::new(key, found, allowed(&names));
    if text.is_empty() {
        return Err(refused("nothing"));
    }
    let url = Url::parse(text).map_err(|_no_url| refused("a value that is no URL"))?;
    let Some((_, security, port)) = schemes.iter().find(|s| s.0 == url.scheme()) else {
        return Err(refused("a URL of another scheme"));
    };
    let host = url.host_str().filter(|h| !h.is_empty());
    let host = host.ok_or_else(|| refused("a URL without a host"))?;
    // Schemes that the URL standard does not know leave the host as it was written.
    let host = Host::parse(host).map_err(|_no_host| refused("a URL whose host is none"))?;
    let extra = url.query().is_some() || url.fragment().is_some();
    if extra || !matches!(url.path(), "" | "/") {
        return Err(refused("a URL with a path"));
    }
    if *security == Security::Plain && !is_loopback(&host) {
        return Err(SettingsError::new(
            key,
            "a URL without TLS to another machine",
            format!("{}; without TLS the loopback only", allowed(&names)),
        ));
    }
    let decoded = |text: &str| decode(text).ok_or_else(|| refused("a URL that is not UTF-8"));
    let (user, password) = (decoded(url.username())?, decoded(url.password().unwrap_or(""))?);
    let login = match (user.is_empty(), password.is_empty()) {
        (true, true) => None,
        (false, false) => Some((user, Secret::new(password))),
        _ => return Err(refused("a URL with half a login")),
    };
    Ok(MailServer {
        host: match host {
            Host::Domain(name) => name,
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        },
        port: url.port().unwrap_or(*port),
        security: *security,
        login,
    })
}

fn allowed(names: &[String]) -> String {
    let scheme = names.first().map_or("", String::as_str);
    format!(
        "{scheme}user:password@host:port, user and password percent-encoded; schemes {}",
        names.join(", ")
    )
}

fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

/// Percent-decoding. A stray `%` stands for itself: passwords have them.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let pair = tail.get(..2).filter(|_| *byte == b'%');
        match pair.and_then(|p| hex::decode(p).ok()) {
            Some(decoded) => {
                out.extend(decoded);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_servers() {
        let server = read("smtp_url", "smtps://me%40x.se:p%3Aw%2F@mail.x.se", &SMTP).unwrap();
        let (user, password) = server.login.unwrap();
        assert_eq!((user.as_str(), password.expose()), ("me@x.se", "p:w/"));
        assert_eq!((server.host.as_str(), server.port), ("mail.x.se", 465));
        assert_eq!(server.security, Security::Implicit);
        for (text, port, security) in [
            ("smtp+starttls://a:b@mail.x.se", 587, Security::StartTls),
            ("smtp+starttls://a:b@mail.x.se:2525", 2525, Security::StartTls),
            ("smtp://127.0.0.1:2525", 2525, Security::Plain),
            ("smtp://[::1]:2525", 2525, Security::Plain),
            ("smtp://localhost", 25, Security::Plain),
        ] {
            let server = read("smtp_url", text, &SMTP).unwrap();
            assert_eq!((server.port, server.security), (port, security), "{text}");
        }
    }

    #[test]
    fn refusals_never_quote() {
        for (text, found) in [
            ("", "nothing"),
            ("hunter2", "no URL"),
            ("https://a:hunter2@x.se", "another scheme"),
            ("imaps://a:hunter2@x.se", "another scheme"),
            ("smtps://a:hunter2@", "no URL"),
            ("smtps:///x", "without a host"),
            ("smtps://a:hunter2@x.se/INBOX", "a path"),
            ("smtp://a:hunter2@x.se", "without TLS"),
            ("smtps://a@x.se", "half a login"),
            ("smtps://a:%ff@x.se", "not UTF-8"),
        ] {
            let error = read("smtp_url", text, &SMTP).unwrap_err().to_string();
            assert!(error.contains(found), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
