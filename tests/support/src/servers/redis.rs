//! A Redis server of its own: `redis-server` on a free port, its data in a temporary folder.

use super::keeper::{Keeper, folder};
use super::smtp::{CA, CERTIFICATE, KEY};
use crate::{DEADLINE, ports};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Somebody may take the port between the look and the start.
const PORT_TRIES: usize = 5;
/// Worlds that may share a server, each with a database of its own.
const DATABASES: &str = "4096";
/// An answer of a server on this machine, which may be busy.
const ANSWER: Duration = Duration::from_secs(10);

/// A running Redis. Dropping it ends it and removes its data.
pub struct RedisServer {
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    password: Option<String>,
    /// Where it speaks TLS, if it does.
    tls_port: Option<u16>,
    /// Databases that were given away.
    databases: AtomicU32,
    process: Mutex<Option<Keeper>>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk: killed, it has forgotten everything.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        Self::with(&[], None)
    }

    /// Starts a server that writes each change to disk before it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn persistent() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"], None)
    }

    /// Starts a server that wants a password.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with_password(password: &str) -> Self {
        Self::with(&["--requirepass", password], Some(password))
    }

    /// Starts a server that wants a password and speaks TLS on a second port, with the certificate of
    /// the tests' own authority.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with_tls(password: &str) -> Self {
        Self::start_with(&["--requirepass", password], Some(password), true)
    }

    /// Starts a server with further arguments of `redis-server`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with(arguments: &[&str], password: Option<&str>) -> Self {
        Self::start_with(arguments, password, false)
    }

    fn start_with(arguments: &[&str], password: Option<&str>, tls: bool) -> Self {
        for _ in 0..PORT_TRIES {
            let server = Self {
                tls_port: tls.then(ports::free),
                port: ports::free(),
                folder: folder("redis"),
                arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
                password: password.map(str::to_owned),
                databases: AtomicU32::new(0),
                process: Mutex::default(),
            };
            if server.run() {
                return server;
            }
        }
        panic!("redis-server does not start; is it installed?");
    }

    fn run(&self) -> bool {
        let port = self.port.to_string();
        let base = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--databases",
            DATABASES,
        ];
        let base = base.iter().map(|&a| a.to_owned());
        let mut arguments: Vec<String> = base.chain(self.arguments.iter().cloned()).collect();
        if let Some(port) = self.tls_port {
            for (name, text) in [
                ("ca.pem", CA),
                ("server.pem", CERTIFICATE),
                ("server.key", KEY),
            ] {
                std::fs::write(self.folder.join(name), text).expect("a certificate is written");
            }
            let port = port.to_string();
            let tls = ["--tls-port", &port, "--tls-cert-file", "server.pem"];
            let more = [
                "--tls-key-file",
                "server.key",
                "--tls-ca-cert-file",
                "ca.pem",
            ];
            let own = ["--tls-auth-clients", "no"];
            arguments.extend(tls.iter().chain(&more).chain(&own).map(|&a| a.to_owned()));
        }
        let keeper = Keeper::start("redis-server", &arguments, &self.folder);
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end && keeper.signal("0") {
            if self.try_command(&["PING"]).is_ok_and(|a| a == "PONG") {
                *self.process() = Some(keeper);
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Keeper>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its URL, with the password if it wants one.
    pub fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// The same with a database that nobody else was given.
    pub fn own_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed) + 1;
        let url = self.url();
        format!("{}/{number}", url.trim_end_matches("/0"))
    }

    /// The same for somebody who reaches it at another address (a proxy).
    pub fn url_at(&self, address: SocketAddr) -> String {
        let password = self.password.as_ref();
        let user = password.map_or(String::new(), |p| format!(":{p}@"));
        format!("redis://{user}{address}/0")
    }

    /// `rediss://…` with the password, and the file of the authority that is to be trusted.
    ///
    /// # Panics
    /// When it speaks no TLS.
    pub fn tls_url(&self) -> String {
        let port = self.tls_port.expect("it speaks TLS");
        let ca = self.folder.join("ca.pem");
        let plain = self.url_at(SocketAddr::from(([127, 0, 0, 1], port)));
        format!(
            "{}?ca={}",
            plain.replace("redis://", "rediss://"),
            ca.display()
        )
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        let process = self.process().take();
        process.expect("the server runs").kill();
    }

    /// Starts it again on the same port and data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        assert!(self.process().is_none(), "the server runs");
        assert!(
            self.run(),
            "redis-server does not start again; see {}",
            self.folder.display()
        );
    }

    /// Stops it in its tracks: connections stay open and nobody answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let process = self.process();
        assert!(process.as_ref().expect("the server runs").signal(name));
    }

    /// Forgets everything: `FLUSHALL`.
    pub fn flush(&self) {
        assert_eq!(self.command(&["FLUSHALL"]), "OK");
    }

    /// Runs a command on a connection of its own. Answers of several lines are joined by `\n`.
    ///
    /// # Panics
    /// When there is no answer, or an error.
    pub fn command(&self, words: &[&str]) -> String {
        let answer = self.try_command(words);
        answer.unwrap_or_else(|e| panic!("{words:?}: {e}"))
    }

    fn try_command(&self, words: &[&str]) -> Result<String, String> {
        let text = |e: std::io::Error| e.to_string();
        let mut stream = TcpStream::connect_timeout(&self.address(), ANSWER).map_err(text)?;
        stream.set_read_timeout(Some(ANSWER)).map_err(text)?;
        let mut reader = BufReader::new(stream.try_clone().map_err(text)?);
        if let Some(password) = &self.password {
            stream
                .write_all(&request(&["AUTH", password]))
                .map_err(text)?;
            answer(&mut reader)?;
        }
        stream.write_all(&request(words)).map_err(text)?;
        answer(&mut reader)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.process().take();
        // What cannot be removed is in the system's folder for such things.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// A request in Redis' protocol.
fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    bytes
}

/// An answer in Redis' protocol, as text.
fn answer(reader: &mut impl BufRead) -> Result<String, String> {
    let mut line = String::new();
    reader.read_line(&mut line).map_err(|e| e.to_string())?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).ok_or("no answer")?;
    let length = || rest.parse::<i64>().map_err(|e| e.to_string());
    match kind {
        "+" | ":" => Ok(rest.to_owned()),
        "$" => {
            let Ok(length) = usize::try_from(length()?) else {
                return Ok(String::new());
            };
            let mut bytes = vec![0; length + 2];
            reader.read_exact(&mut bytes).map_err(|e| e.to_string())?;
            bytes.truncate(length);
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        "*" => {
            let lines: Result<Vec<_>, _> = (0..length()?).map(|_| answer(reader)).collect();
            Ok(lines?.join("\n"))
        }
        _ => Err(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_it_is_told_to_and_wants_its_password() {
        let server = RedisServer::with_password("a-password");
        assert!(server.url().contains(":a-password@"));
        assert_eq!(server.command(&["SET", "a", "b c"]), "OK");
        assert_eq!(server.command(&["GET", "a"]), "b c");
        server.kill();
        server.restart();
        assert_eq!(server.command(&["GET", "a"]), "");

        let server = RedisServer::persistent();
        server.command(&["RPUSH", "l", "1", "2"]);
        server.kill();
        server.restart();
        assert_eq!(server.command(&["LRANGE", "l", "0", "-1"]), "1\n2");
        server.freeze();
        server.thaw();
        server.flush();
        assert_eq!(server.command(&["DBSIZE"]), "0");
    }
}
