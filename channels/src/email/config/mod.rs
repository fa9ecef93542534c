//! The keys of an e-mail channel.

mod server;

use super::wire::address::{self, Address};
use crate::error::SettingsError;
use crate::kit::mail::{After, MailServer, Mailbox, StartFrom};
use crate::kit::secret::{Secret, Secrets};
use crate::kit::settings::{self, Common};
use serde::Deserialize;
use serde_json::{Value, json};

/// Where the sandbox is by default; `api_base` of the configuration replaces it.
const RELAY_BASE: &str = "http://127.0.0.1:8081/sandbox-email";

/// What large providers take of one mail is 20 to 25 MB after base64.
const SENT_BYTES: u64 = 20 * 1024 * 1024;
/// Below this not even a page of text with its headers fits.
const BYTES_MIN: u64 = 64 * 1024;
/// The parser holds a mail in memory, and offsets in it are 32 bits wide.
const BYTES_MAX: u64 = 200 * 1024 * 1024;
/// RFC 2177: servers may hang up after half an hour.
const IDLE_SECONDS_MAX: u64 = 1740;
/// A first run that goes back further imports an archive; nobody is waiting in it.
const START_DAYS_MAX: u32 = 365;
/// A key that can be guessed signs nothing.
const TOKEN_KEY_MIN: usize = 16;
/// Shown names are a few words.
const NAME_MAX_CHARS: usize = 100;

/// What the configuration says, field for field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    smtp_url: Option<Secret>,
    imap_url: Option<Secret>,
    address: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    folder: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    mail_domain: Option<String>,
    #[serde(default)]
    reply_address: Option<String>,
    #[serde(default)]
    plus_addressing: bool,
    #[serde(default)]
    subject_tag: bool,
    #[serde(default)]
    token_key: Option<Secrets>,
    #[serde(default)]
    default_subject: Option<String>,
    #[serde(default)]
    receiving_host: Option<String>,
    #[serde(default)]
    imap_after: Option<String>,
    #[serde(default)]
    imap_idle_secs: Option<u64>,
    #[serde(default)]
    imap_poll_secs: Option<u64>,
    #[serde(default)]
    imap_max_message_bytes: Option<u64>,
    #[serde(default)]
    smtp_max_message_bytes: Option<u64>,
    #[serde(default)]
    start_from: Option<String>,
    #[serde(default)]
    relay_secret: Option<Secrets>,
}

/// How mail leaves us.
#[derive(Debug, Clone)]
pub enum Way {
    /// To a submission server.
    Smtp(MailServer),
    /// Over HTTP, to the sandbox: what is posted is signed with this secret in both directions.
    Relay {
        /// Root of the relay.
        base: String,
        /// The secrets that are accepted; the first one signs.
        secrets: Secrets,
    },
}

/// What an e-mail channel is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The channel's id: part of what reply tokens sign.
    pub channel: String,
    /// How mail leaves us.
    pub way: Way,
    /// Where mail comes from; `None`: this account only sends.
    pub mailbox: Option<Mailbox>,
    /// Who we are.
    pub address: Address,
    /// The shown name.
    pub name: Option<String>,
    /// All addresses that are us, the first one included.
    pub own: Vec<Address>,
    /// The right side of our Message-IDs.
    pub mail_domain: String,
    /// Where answers go; the base of reply tokens.
    pub reply_address: Address,
    /// Whether answers go to an address that carries the conversation.
    pub plus_addressing: bool,
    /// Whether subjects carry the conversation.
    pub subject_tag: bool,
    /// What signs reply tokens.
    pub token_key: Option<Secrets>,
    /// The subject of a mail that has none.
    pub default_subject: String,
    /// Whose `Authentication-Results` are believed.
    pub receiving_host: Option<String>,
    /// The largest mail that is sent.
    pub sent_bytes: u64,
}

impl Settings {
    /// Reads and checks the keys.
    ///
    /// # Errors
    /// When a key is missing, unknown, of the wrong type or of the wrong form.
    pub fn read(common: &Common, value: Value) -> Result<Self, SettingsError> {
        let keys: Keys = settings::read(value)?;
        let way = keys.way(common)?;
        let own_address = |key: &'static str, text: &str| {
            Address::read(text).ok_or_else(|| {
                let found = if text.is_empty() {
                    "nothing"
                } else {
                    "a value that is no address"
                };
                SettingsError::new(key, found, "an e-mail address")
            })
        };
        let address = own_address("address", &keys.address)?;
        let reply_address = match &keys.reply_address {
            Some(text) => own_address("reply_address", text)?,
            None => address.clone(),
        };
        let mut own = vec![address.clone(), reply_address.clone()];
        for alias in &keys.aliases {
            own.push(own_address("aliases", alias)?);
        }
        own.dedup();
        let mail_domain = match &keys.mail_domain {
            Some(text) => address::domain(text).ok_or_else(|| {
                SettingsError::new("mail_domain", "a value that is no domain", "a domain of ours")
            })?,
            None => address.domain().to_owned(),
        };
        let name = keys.line("name", keys.name.as_deref())?;
        let default_subject = keys
            .line("default_subject", keys.default_subject.as_deref())?
            .unwrap_or_else(|| {
                let whom = name.as_deref().unwrap_or_else(|| address.text());
                format!("Message from {whom}")
            });
        if (keys.plus_addressing || keys.subject_tag) && keys.token_key.is_none() {
            let key = if keys.plus_addressing {
                "plus_addressing"
            } else {
                "subject_tag"
            };
            return Err(SettingsError::new(key, "true without `token_key`", "true with `token_key`"));
        }
        keys.check_token_key()?;
        Ok(Self {
            channel: common.id.clone(),
            way,
            mailbox: keys.mailbox()?,
            name,
            own,
            mail_domain,
            reply_address,
            plus_addressing: keys.plus_addressing,
            subject_tag: keys.subject_tag,
            default_subject,
            receiving_host: keys.line("receiving_host", keys.receiving_host.as_deref())?,
            sent_bytes: bytes("smtp_max_message_bytes", keys.smtp_max_message_bytes, SENT_BYTES)?,
            token_key: keys.token_key,
            address,
        })
    }

    /// Whether an address is ours, with or without something behind a plus sign.
    pub fn is_own(&self, address: &Address) -> bool {
        self.own.iter().any(|own| own.is_base_of(address))
    }
}

impl Keys {
    fn way(&self, common: &Common) -> Result<Way, SettingsError> {
        if let Some(secrets) = &self.relay_secret {
            if secrets.first().is_none() {
                return Err(SettingsError::new("relay_secret", "nothing", "a secret"));
            }
            return Ok(Way::Relay {
                base: common.api_base(RELAY_BASE),
                secrets: secrets.clone(),
            });
        }
        let url = self.smtp_url.as_ref();
        let url = url.ok_or_else(|| SettingsError::new("smtp_url", "nothing", "a value"))?;
        server::read("smtp_url", url.expose(), &server::SMTP).map(Way::Smtp)
    }

    fn mailbox(&self) -> Result<Option<Mailbox>, SettingsError> {
        let Some(url) = &self.imap_url else {
            return Ok(None);
        };
        let server = server::read("imap_url", url.expose(), &server::IMAP)?;
        let mut mailbox = Mailbox::inbox(server);
        if let Some(folder) = self.line("folder", self.folder.as_deref())? {
            mailbox.folder = folder;
        }
        mailbox.after = match self.imap_after.as_deref() {
            None | Some("seen") => After::Seen,
            Some("none") => After::Nothing,
            Some(other) => match other.strip_prefix("move:") {
                Some(folder) if is_line(folder) => After::Move(folder.to_owned()),
                _ => {
                    let allowed = "\"seen\", \"none\" or \"move:FOLDER\"";
                    return Err(SettingsError::new("imap_after", "another value", allowed));
                }
            },
        };
        let days = |text: &str| text.strip_prefix("days:")?.parse().ok();
        mailbox.start_from = match self.start_from.as_deref() {
            None | Some("now") => StartFrom::Now,
            Some(text) => match days(text).filter(|d| (1..=START_DAYS_MAX).contains(d)) {
                Some(days) => StartFrom::Days(days),
                None => {
                    let allowed = format!("\"now\" or \"days:N\", N from 1 to {START_DAYS_MAX}");
                    return Err(SettingsError::new("start_from", "another value", allowed));
                }
            },
        };
        let seconds = |key: &'static str, given: Option<u64>, default: u64| match given {
            None => Ok(default),
            Some(n) if (1..=IDLE_SECONDS_MAX).contains(&n) => Ok(n),
            Some(n) => {
                let allowed = format!("1 to {IDLE_SECONDS_MAX}");
                Err(SettingsError::new(key, n.to_string(), allowed))
            }
        };
        mailbox.idle_seconds = seconds("imap_idle_secs", self.imap_idle_secs, mailbox.idle_seconds)?;
        mailbox.poll_seconds = seconds("imap_poll_secs", self.imap_poll_secs, mailbox.poll_seconds)?;
        mailbox.max_message_bytes = bytes(
            "imap_max_message_bytes",
            self.imap_max_message_bytes,
            mailbox.max_message_bytes,
        )?;
        Ok(Some(mailbox))
    }

    /// A text that goes into a header or a command: one line, of sensible length.
    fn line(&self, key: &'static str, text: Option<&str>) -> Result<Option<String>, SettingsError> {
        let Some(text) = text.map(str::trim).filter(|t| !t.is_empty()) else {
            return Ok(None);
        };
        if is_line(text) {
            Ok(Some(text.to_owned()))
        } else {
            let allowed = format!("one line of at most {NAME_MAX_CHARS} characters");
            Err(SettingsError::new(key, "a value of another form", allowed))
        }
    }

    fn check_token_key(&self) -> Result<(), SettingsError> {
        let Some(keys) = &self.token_key else {
            return Ok(());
        };
        let allowed = format!("{TOKEN_KEY_MIN} random characters or more");
        if keys.first().is_none() {
            return Err(SettingsError::new("token_key", "nothing", allowed));
        }
        if keys.iter().any(|k| k.expose().len() < TOKEN_KEY_MIN) {
            return Err(SettingsError::new("token_key", "a shorter value", allowed));
        }
        Ok(())
    }
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= NAME_MAX_CHARS && !text.chars().any(char::is_control)
}

fn bytes(key: &'static str, given: Option<u64>, default: u64) -> Result<u64, SettingsError> {
    match given {
        None => Ok(default),
        Some(n) if (BYTES_MIN..=BYTES_MAX).contains(&n) => Ok(n),
        Some(n) => {
            let allowed = format!("{BYTES_MIN} to {BYTES_MAX}");
            Err(SettingsError::new(key, n.to_string(), allowed))
        }
    }
}

/// The keys of a sandbox channel. No secrets: the emulator that takes them listens on the loopback.
pub fn sandbox_settings() -> Value {
    json!({
        "address": "support@sandbox.example",
        "name": "Sandbox Support",
        "plus_addressing": true,
        "token_key": "sandbox-email-token-key",
        "relay_secret": "sandbox-email-relay-secret",
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What every channel of these tests is told.
    pub fn common() -> Common {
        Common {
            id: "support".to_owned(),
            api_base: Some("http://127.0.0.1:8081/support".to_owned()),
            webhook_url: "https://gw.example.net/webhooks/support".to_owned(),
        }
    }

    fn minimal() -> Value {
        json!({"smtp_url": "smtps://u:p@mail.example.net", "address": "support@example.net"})
    }

    fn with(key: &str, value: Value) -> Value {
        let mut keys = minimal();
        keys.as_object_mut().unwrap().insert(key.to_owned(), value);
        keys
    }

    #[test]
    fn sandbox_settings_are_valid() {
        let settings = Settings::read(&common(), sandbox_settings()).unwrap();
        assert!(matches!(settings.way, Way::Relay { .. }));
        assert!(settings.mailbox.is_none());
    }

    #[test]
    fn what_is_not_said_follows_from_the_address() {
        let settings = Settings::read(&common(), minimal()).unwrap();
        assert_eq!(settings.mail_domain, "example.net");
        assert_eq!(settings.reply_address, settings.address);
        assert_eq!(settings.default_subject, "Message from support@example.net");
        assert!(settings.mailbox.is_none());
        let keys = with("imap_url", json!("imaps://u:p@mail.example.net"));
        let mailbox = Settings::read(&common(), keys).unwrap().mailbox.unwrap();
        assert_eq!((mailbox.folder.as_str(), mailbox.server.port), ("INBOX", 993));
        assert_eq!(mailbox.after, After::Seen);
        assert_eq!(mailbox.start_from, StartFrom::Now);
    }

    #[test]
    fn errors_name_the_key_and_never_the_value() {
        let imap = |key: &str, value: Value| {
            let mut keys = with(key, value);
            let url = json!("imaps://u:hunter2@mail.example.net");
            keys.as_object_mut().unwrap().insert("imap_url".to_owned(), url);
            keys
        };
        let cases = [
            (json!({"address": "a@x.se"}), "smtp_url: found nothing"),
            (json!({"smtp_url": "smtps://u:p@x.se"}), "address: found nothing"),
            (with("address", json!("hunter2")), "address: found a value that is no address"),
            (with("aliases", json!(["hunter2 @"])), "aliases: found a value"),
            (with("plus_addressing", json!(true)), "plus_addressing: found true without"),
            (with("subject_tag", json!(true)), "subject_tag: found true without"),
            (with("token_key", json!("hunter2")), "token_key: found a shorter value"),
            (with("token_key", json!("")), "token_key: found nothing"),
            (with("name", json!("a\r\nBcc: hunter2")), "name: found a value of another form"),
            (with("mail_domain", json!("a b")), "mail_domain: found a value"),
            (with("smtp_max_message_bytes", json!(1)), "smtp_max_message_bytes: found 1"),
            (with("imap_url", json!("imap://u:hunter2@x.se")), "imap_url: found a URL without TLS"),
            (imap("imap_after", json!("delete")), "imap_after: found another value"),
            (imap("imap_after", json!("move:")), "imap_after: found another value"),
            (imap("start_from", json!("days:0")), "start_from: found another value"),
            (imap("imap_idle_secs", json!(1800)), "imap_idle_secs: found 1800"),
            (with("relay_secret", json!("")), "relay_secret: found nothing"),
            (with("smtp", json!(1)), "smtp: found an unknown key"),
        ];
        for (value, expected) in cases {
            let error = Settings::read(&common(), value).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
