//! A submission server that does as it is told: refuses at any stage, stalls, hangs up, offers or
//! hides `STARTTLS`; and remembers what it was sent.
//!
//! It takes every mail unless a rule says otherwise. Rules hold at once, for connections that are open
//! too.

use crate::ports;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The certification authority of the test servers, in PEM.
pub const CA: &str = include_str!("../../certs/ca.pem");
pub(crate) const CERTIFICATE: &str = include_str!("../../certs/server.pem");
pub(crate) const KEY: &str = include_str!("../../certs/server.key");

/// Somebody may take the port between the look and the start.
const PORT_TRIES: usize = 20;
/// How often a stalled connection looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The user that may log in.
pub const USER: &str = "support@example.net";
/// The password of [`USER`]: with characters that URLs have to encode.
pub const PASSWORD: &str = "smtp p@ss/word";

/// A moment of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum At {
    /// A connection came.
    Connect,
    /// `EHLO`
    Hello,
    /// `STARTTLS`
    StartTls,
    /// `AUTH`, whatever it brings.
    Auth,
    /// `MAIL FROM`
    Sender,
    /// `RCPT TO` of this address.
    Recipient(String),
    /// `DATA`
    Data,
    /// Inside the message.
    Content,
    /// The final dot.
    Dot,
    /// `RSET`
    Reset,
}

/// What happens then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Answers this line, or these lines (`\n` between them), after the code.
    Say(u16, String),
    /// Answers nothing, for as long as the other side stays.
    Stall,
    /// Answers late.
    Slow(Duration),
    /// Hangs up without a word.
    Cut,
    /// Says this and hangs up.
    SayAndCut(u16, String),
}

impl Act {
    /// An answer.
    pub fn say(code: u16, text: &str) -> Self {
        Self::Say(code, text.to_owned())
    }
}

/// A mail that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenMail {
    /// The envelope's sender.
    pub from: String,
    /// The recipients that were not refused.
    pub to: Vec<String>,
    /// The message, its dots unstuffed.
    pub message: String,
    /// Whether it came over TLS.
    pub secure: bool,
    /// The user that was logged in.
    pub user: Option<String>,
    /// Which connection it came over, counted from 1.
    pub connection: usize,
}

/// How connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Not.
    None,
    /// From the first byte.
    Implicit,
    /// After `STARTTLS`, which is offered.
    StartTls,
}

#[derive(Default)]
struct Shared {
    /// Once: the first rule of a moment; then the next. The last of `always` stays.
    once: Mutex<HashMap<At, Vec<Act>>>,
    always: Mutex<HashMap<At, Act>>,
    taken: Mutex<Vec<TakenMail>>,
    commands: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    ended: AtomicBool,
    hide_start_tls: AtomicBool,
    login_only: AtomicBool,
}

impl Shared {
    fn act(&self, at: &At) -> Option<Act> {
        let mut once = locked(&self.once);
        if let Some(acts) = once.get_mut(at)
            && !acts.is_empty()
        {
            return Some(acts.remove(0));
        }
        locked(&self.always).get(at).cloned()
    }
}

/// A running server. Dropping it ends it.
pub struct SmtpServer {
    address: SocketAddr,
    protection: Protection,
    shared: Arc<Shared>,
}

impl SmtpServer {
    /// Starts a server that wants a login.
    ///
    /// # Panics
    /// When no port can be listened on.
    pub fn start(protection: Protection) -> Self {
        let listener = (0..PORT_TRIES)
            .find_map(|_| TcpListener::bind(("127.0.0.1", ports::free())).ok())
            .expect("a port to listen on");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let tls = Arc::new(tls_config());
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if for_thread.ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (shared, tls) = (Arc::clone(&for_thread), Arc::clone(&tls));
                std::thread::spawn(move || serve(stream, protection, &shared, tls));
            }
        });
        Self {
            address,
            protection,
            shared,
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL with user and password, as `smtp_url` wants it.
    pub fn url(&self) -> String {
        self.url_at(self.address)
    }

    /// The same for somebody who reaches it at another address (a proxy).
    pub fn url_at(&self, address: SocketAddr) -> String {
        let scheme = match self.protection {
            Protection::None => "smtp",
            Protection::Implicit => "smtps",
            Protection::StartTls => "smtp+starttls",
        };
        let port = address.port();
        format!("{scheme}://support%40example.net:smtp%20p%40ss%2Fword@localhost:{port}")
    }

    /// Does this once, when that moment comes; several for one moment are done one after another.
    pub fn once(&self, at: At, act: Act) {
        locked(&self.shared.once).entry(at).or_default().push(act);
    }

    /// Does this from now on, whenever that moment comes.
    pub fn always(&self, at: At, act: Act) {
        locked(&self.shared.always).insert(at, act);
    }

    /// Does as it does by itself again.
    pub fn behave(&self) {
        locked(&self.shared.once).clear();
        locked(&self.shared.always).clear();
        self.shared.hide_start_tls.store(false, Ordering::SeqCst);
    }

    /// Offers no `STARTTLS`, as somebody in between would have it.
    pub fn strip_start_tls(&self) {
        self.shared.hide_start_tls.store(true, Ordering::SeqCst);
    }

    /// Offers `AUTH LOGIN` alone.
    pub fn login_only(&self) {
        self.shared.login_only.store(true, Ordering::SeqCst);
    }

    /// The mails that were taken so far.
    pub fn taken(&self) -> Vec<TakenMail> {
        locked(&self.shared.taken).clone()
    }

    /// What was said to it, line by line; messages are left out, and the credentials are not.
    pub fn commands(&self) -> Vec<String> {
        locked(&self.shared.commands).clone()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees the end.
        TcpStream::connect(self.address).ok();
    }
}

fn tls_config() -> ServerConfig {
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate belong together")
}

trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// Why a session ends.
struct Ended;

impl From<std::io::Error> for Ended {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

struct Session<'a> {
    wire: BufReader<Box<dyn Wire>>,
    tcp: TcpStream,
    shared: &'a Shared,
    secure: bool,
    user: Option<String>,
    connection: usize,
    /// The protection that `STARTTLS` may bring.
    offered: bool,
    upgrade: bool,
}

fn serve(tcp: TcpStream, protection: Protection, shared: &Shared, tls: Arc<ServerConfig>) {
    let connection = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
    shared.open.fetch_add(1, Ordering::SeqCst);
    tcp.set_nodelay(true).ok();
    let raw = tcp.try_clone().expect("a second handle");
    let wrap = |stream: TcpStream| -> Box<dyn Wire> {
        let connection = ServerConnection::new(Arc::clone(&tls)).expect("a TLS session");
        Box::new(StreamOwned::new(connection, stream))
    };
    let implicit = protection == Protection::Implicit;
    let mut session = Session {
        wire: BufReader::new(if implicit { wrap(tcp) } else { Box::new(tcp) }),
        tcp: raw,
        shared,
        secure: implicit,
        user: None,
        connection,
        offered: protection == Protection::StartTls,
        upgrade: false,
    };
    // Every end of a session is one that somebody wanted.
    if session
        .act_or(&At::Connect, 220, "mx.example.net ready")
        .is_ok()
    {
        while session.turn().is_ok() {
            if std::mem::take(&mut session.upgrade) {
                let stream = session.tcp.try_clone().expect("a second handle");
                session.wire = BufReader::new(wrap(stream));
                session.secure = true;
                session.offered = false;
            }
        }
    }
    session.tcp.shutdown(Shutdown::Both).ok();
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

impl Session<'_> {
    fn say(&mut self, code: u16, text: &str) -> Result<(), Ended> {
        let lines: Vec<&str> = text.split('\n').collect();
        let mut answer = String::new();
        for (index, line) in lines.iter().enumerate() {
            let more = if index + 1 < lines.len() { '-' } else { ' ' };
            answer.push_str(&format!("{code}{more}{line}\r\n"));
        }
        let wire = self.wire.get_mut();
        wire.write_all(answer.as_bytes())?;
        wire.flush()?;
        Ok(())
    }

    /// Does what the rules say, or answers this. `true`: as if there were no rule.
    fn act_or(&mut self, at: &At, code: u16, text: &str) -> Result<bool, Ended> {
        match self.shared.act(at) {
            None => self.say(code, text).map(|()| true),
            Some(Act::Say(code, text)) => {
                self.say(code, &text)?;
                Ok((200..400).contains(&code))
            }
            Some(Act::SayAndCut(code, text)) => {
                self.say(code, &text)?;
                Err(Ended)
            }
            Some(Act::Cut) => Err(Ended),
            Some(Act::Slow(time)) => {
                std::thread::sleep(time);
                self.say(code, text).map(|()| true)
            }
            Some(Act::Stall) => self.stall(),
        }
    }

    /// Says nothing until the other side hangs up.
    fn stall(&mut self) -> Result<bool, Ended> {
        self.tcp.set_nonblocking(true)?;
        loop {
            let mut byte = [0_u8; 1];
            match self.tcp.peek(&mut byte) {
                Ok(0) => return Err(Ended),
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(Ended),
                _ if self.shared.ended.load(Ordering::SeqCst) => return Err(Ended),
                // Impatient words are not listened to.
                _ => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    fn line(&mut self) -> Result<String, Ended> {
        let mut line = Vec::new();
        self.wire.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(Ended);
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        Ok(text)
    }

    fn command(&mut self) -> Result<String, Ended> {
        let line = self.line()?;
        locked(&self.shared.commands).push(line.clone());
        Ok(line)
    }

    /// Commands until there is a mail, or the protection changes.
    fn turn(&mut self) -> Result<(), Ended> {
        let mut from: Option<String> = None;
        let mut to = Vec::new();
        loop {
            let line = self.command()?;
            let upper = line.to_ascii_uppercase();
            if upper.starts_with("EHLO") {
                let abilities = self.abilities();
                self.act_or(&At::Hello, 250, &abilities)?;
            } else if upper == "STARTTLS" {
                if self.act_or(&At::StartTls, 220, "go ahead")? {
                    self.upgrade = true;
                    return Ok(());
                }
            } else if let Some(rest) = upper.strip_prefix("AUTH ") {
                let plain = rest.starts_with("PLAIN");
                self.log_in(&line, plain)?;
            } else if upper.starts_with("MAIL FROM:") {
                if self.user.is_none() {
                    self.say(530, "5.7.0 log in first")?;
                } else if self.act_or(&At::Sender, 250, "2.1.0 ok")? {
                    from = Some(address(&line));
                    to.clear();
                }
            } else if upper.starts_with("RCPT TO:") {
                let address = address(&line);
                if self.act_or(&At::Recipient(address.clone()), 250, "2.1.5 ok")? {
                    to.push(address);
                }
            } else if upper == "DATA" {
                if self.act_or(&At::Data, 354, "go ahead")? {
                    let from = from.take().unwrap_or_default();
                    return self.content(from, to);
                }
            } else if upper == "RSET" {
                from = None;
                to.clear();
                self.act_or(&At::Reset, 250, "2.0.0 ok")?;
            } else if upper == "QUIT" {
                self.say(221, "2.0.0 bye")?;
                return Err(Ended);
            } else {
                self.say(502, "5.5.1 no such command")?;
            }
        }
    }

    fn abilities(&self) -> String {
        let mut lines = vec!["mx.example.net", "SIZE 31457280", "8BITMIME"];
        if self.offered && !self.shared.hide_start_tls.load(Ordering::SeqCst) {
            lines.push("STARTTLS");
        }
        // Before the protection nobody is asked for a password.
        if !self.offered {
            let login_only = self.shared.login_only.load(Ordering::SeqCst);
            lines.push(if login_only {
                "AUTH LOGIN"
            } else {
                "AUTH PLAIN LOGIN"
            });
        }
        lines.push("ENHANCEDSTATUSCODES");
        lines.join("\n")
    }

    fn log_in(&mut self, line: &str, plain: bool) -> Result<(), Ended> {
        use base64::Engine as _;
        let decode = |text: &str| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim());
            String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
        };
        let (user, password) = if plain {
            let given = decode(line.split(' ').nth(2).unwrap_or_default());
            let mut fields = given.split('\0').skip(1).map(str::to_owned);
            (
                fields.next().unwrap_or_default(),
                fields.next().unwrap_or_default(),
            )
        } else {
            self.say(334, "VXNlcm5hbWU6")?;
            let user = decode(&self.command()?);
            self.say(334, "UGFzc3dvcmQ6")?;
            (user, decode(&self.command()?))
        };
        if user != USER || password != PASSWORD {
            return self.say(535, "5.7.8 wrong user or password");
        }
        if self.act_or(&At::Auth, 235, "2.7.0 welcome")? {
            self.user = Some(user);
        }
        Ok(())
    }

    fn content(&mut self, from: String, to: Vec<String>) -> Result<(), Ended> {
        if let Some(act) = self.shared.act(&At::Content) {
            // A line is read, so that it is the middle of the message.
            self.line()?;
            match act {
                Act::Say(code, text) | Act::SayAndCut(code, text) => self.say(code, &text)?,
                Act::Stall => drop(self.stall()?),
                Act::Slow(_) | Act::Cut => {}
            }
            return Err(Ended);
        }
        let mut message = Vec::new();
        loop {
            let mut line = Vec::new();
            self.wire.read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Err(Ended);
            }
            if line == b".\r\n" {
                break;
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        let mail = TakenMail {
            from,
            to,
            message: String::from_utf8_lossy(&message).into_owned(),
            secure: self.secure,
            user: self.user.clone(),
            connection: self.connection,
        };
        // A server that hangs up after the dot may have taken it: these do.
        let act = self.shared.act(&At::Dot);
        let refuses = matches!(&act,
            Some(Act::Say(code, _) | Act::SayAndCut(code, _)) if *code >= 400);
        if !refuses {
            locked(&self.shared.taken).push(mail);
        }
        match act {
            None => self.say(250, "2.0.0 queued"),
            Some(Act::Say(code, text)) => self.say(code, &text),
            Some(Act::SayAndCut(code, text)) => self.say(code, &text).and(Err(Ended)),
            Some(Act::Cut) => Err(Ended),
            Some(Act::Slow(time)) => {
                std::thread::sleep(time);
                self.say(250, "2.0.0 queued")
            }
            Some(Act::Stall) => self.stall().map(drop),
        }
    }
}

/// What stands between the angle brackets.
fn address(line: &str) -> String {
    let inside = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(address, _)| address.to_owned())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
