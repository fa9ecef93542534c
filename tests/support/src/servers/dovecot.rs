//! A Dovecot of its own: IMAP on a free port, mailboxes as directories, unprivileged.
//!
//! Mail is delivered as a mail server would: written into the mailbox's `tmp`, then moved into `new`.

use super::keeper::{Keeper, folder};
use super::smtp::{CERTIFICATE, KEY};
use crate::{DEADLINE, ports};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Somebody may take the port between the look and the start.
const PORT_TRIES: usize = 5;
/// Dovecot refuses to run as root: there it runs as this user, who has nothing.
const NOBODY: &str = "nobody";

/// Who Dovecot runs as.
#[derive(Debug, Clone)]
struct Account {
    user: String,
    group: String,
    uid: u32,
    gid: u32,
    /// Whether we have to become that user first.
    become_it: bool,
}

impl Account {
    fn of_tests() -> Self {
        let id = |arguments: &[&str]| {
            let output = Command::new("id")
                .args(arguments)
                .output()
                .expect("id runs");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let root = id(&["-u"]) == "0";
        let of = |flag: &str| {
            if root {
                id(&[flag, NOBODY])
            } else {
                id(&[flag])
            }
        };
        Self {
            user: of("-un"),
            group: of("-gn"),
            uid: of("-u").parse().expect("a number"),
            gid: of("-g").parse().expect("a number"),
            become_it: root,
        }
    }
}

/// A running Dovecot. Dropping it ends it and removes its mailboxes.
pub struct Dovecot {
    port: u16,
    tls_port: u16,
    folder: PathBuf,
    account: Account,
    process: Mutex<Option<Keeper>>,
}

impl Dovecot {
    /// Starts a server with these users and passwords.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(users: &[(&str, &str)]) -> Self {
        for _ in 0..PORT_TRIES {
            let server = Self {
                port: ports::free(),
                tls_port: ports::free(),
                folder: folder("dovecot"),
                account: Account::of_tests(),
                process: Mutex::default(),
            };
            server.prepare(users);
            if server.run() {
                return server;
            }
            let log = std::fs::read_to_string(server.folder.join("dovecot.log"));
            eprintln!("dovecot did not start: {}", log.unwrap_or_default());
        }
        panic!("dovecot does not start; are dovecot-core and dovecot-imapd installed?");
    }

    fn prepare(&self, users: &[(&str, &str)]) {
        self.own(&self.folder);
        for name in ["mail", "home"] {
            let path = self.folder.join(name);
            std::fs::create_dir(&path).expect("a folder");
            self.own(&path);
        }
        for (name, text) in [
            ("cert.pem", CERTIFICATE),
            ("key.pem", KEY),
            ("dovecot.conf", self.configuration().as_str()),
        ] {
            self.write(name, text);
        }
        self.set_users(users);
        for (user, _) in users {
            let mailbox = self.mailbox(user);
            std::fs::create_dir(&mailbox).expect("a folder");
            self.own(&mailbox);
            for name in ["cur", "new", "tmp"] {
                let path = mailbox.join(name);
                std::fs::create_dir(&path).expect("a folder");
                self.own(&path);
            }
        }
    }

    fn own(&self, path: &Path) {
        chown(path, Some(self.account.uid), Some(self.account.gid)).expect("an owner can be set");
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("a file can be written");
        self.own(&path);
    }

    fn configuration(&self) -> String {
        let home = self.folder.display();
        let Account {
            user,
            group,
            uid,
            gid,
            ..
        } = &self.account;
        let (port, tls_port) = (self.port, self.tls_port);
        format!(
            "base_dir = {home}/run\nstate_dir = {home}/state\nlog_path = {home}/dovecot.log\n\
             protocols = imap\nlisten = 127.0.0.1\n\
             ssl = yes\nssl_cert = <{home}/cert.pem\nssl_key = <{home}/key.pem\n\
             disable_plaintext_auth = no\nauth_failure_delay = 0\nauth_mechanisms = plain login\n\
             default_internal_user = {user}\ndefault_internal_group = {group}\n\
             default_login_user = {user}\n\
             first_valid_uid = 1\nmail_fsync = never\nmail_max_userip_connections = 100\n\
             mailbox_idle_check_interval = 1 secs\n\
             mail_location = maildir:{home}/mail/%u\n\
             passdb {{\n driver = passwd-file\n \
             args = scheme=PLAIN username_format=%u {home}/users\n}}\n\
             userdb {{\n driver = static\n args = uid={uid} gid={gid} home={home}/home/%u\n}}\n\
             namespace inbox {{\n inbox = yes\n}}\n\
             service imap-login {{\n chroot =\n inet_listener imap {{\n port = {port}\n }}\n \
             inet_listener imaps {{\n port = {tls_port}\n ssl = yes\n }}\n}}\n\
             service anvil {{\n chroot =\n}}\n"
        )
    }

    /// Sets users and passwords; holds for the next login.
    pub fn set_users(&self, users: &[(&str, &str)]) {
        let mut text = String::new();
        for (user, password) in users {
            writeln!(text, "{user}:{password}").expect("a string takes everything");
        }
        self.write("users", &text);
    }

    fn run(&self) -> bool {
        let dovecot = if Path::new("/usr/sbin/dovecot").exists() {
            "/usr/sbin/dovecot"
        } else {
            "dovecot"
        };
        let config = self.folder.join("dovecot.conf").display().to_string();
        let own = ["-F", "-c", &config].map(str::to_owned);
        let keeper = if self.account.become_it {
            let mut arguments = vec![
                format!("--reuid={}", self.account.uid),
                format!("--regid={}", self.account.gid),
                "--clear-groups".to_owned(),
                dovecot.to_owned(),
            ];
            arguments.extend(own);
            Keeper::start("setpriv", &arguments, &self.folder)
        } else {
            Keeper::start(dovecot, &own, &self.folder)
        };
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end && keeper.signal("0") {
            if self.greets() {
                *self.process() = Some(keeper);
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn greets(&self) -> bool {
        let Ok(stream) = TcpStream::connect(self.address()) else {
            return false;
        };
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("* OK")
    }

    fn process(&self) -> MutexGuard<'_, Option<Keeper>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it listens without TLS.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Where it listens with TLS.
    pub fn tls_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.tls_port))
    }

    /// The URL of a mailbox, as `imap_url` wants it.
    pub fn url(&self, user: &str, password: &str) -> String {
        self.url_at("imap", self.address(), user, password)
    }

    /// The same over another scheme and at another address (a proxy).
    pub fn url_at(&self, scheme: &str, address: SocketAddr, user: &str, password: &str) -> String {
        format!("{scheme}://{user}:{password}@localhost:{}", address.port())
    }

    /// Stops it: sessions are ended, nobody listens.
    ///
    /// # Panics
    /// When it does not run, or does not stop.
    pub fn stop(&self) {
        let keeper = self.process().take().expect("the server runs");
        stop(keeper);
    }

    /// Starts it again on the same ports and mailboxes.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        assert!(self.process().is_none(), "the server runs");
        let log = self.folder.join("dovecot.log");
        assert!(self.run(), "dovecot does not start; see {}", log.display());
    }

    fn mailbox(&self, user: &str) -> PathBuf {
        self.folder.join("mail").join(user)
    }

    /// Delivers a mail into a user's inbox.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn deliver(&self, user: &str, mail: &[u8]) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Dovecot numbers new mails in the order of these names.
        let name = format!("{:010}.{}.test", 1_700_000_000 + number, std::process::id());
        let mailbox = self.mailbox(user);
        let half = mailbox.join("tmp").join(&name);
        std::fs::write(&half, mail).expect("a mail can be written");
        self.own(&half);
        std::fs::rename(&half, mailbox.join("new").join(&name)).expect("a mail can be moved");
    }

    /// The flags of a user's mails, as their file names have them (`S` = seen); new ones have none.
    pub fn flags(&self, user: &str) -> Vec<String> {
        self.flags_in(&self.mailbox(user))
    }

    /// The same of another folder of the user.
    pub fn flags_of(&self, user: &str, folder: &str) -> Vec<String> {
        self.flags_in(&self.mailbox(user).join(format!(".{folder}")))
    }

    fn flags_in(&self, mailbox: &Path) -> Vec<String> {
        let mut flags = Vec::new();
        for part in ["new", "cur"] {
            let Ok(files) = std::fs::read_dir(mailbox.join(part)) else {
                continue;
            };
            for file in files.map_while(Result::ok) {
                let name = file.file_name().to_string_lossy().into_owned();
                let given = name.split_once(":2,").map_or("", |(_, flags)| flags);
                flags.push(given.to_owned());
            }
        }
        flags
    }

    /// Makes a folder beside a user's inbox.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn make_folder(&self, user: &str, name: &str) {
        let root = self.mailbox(user).join(format!(".{name}"));
        for path in [
            root.clone(),
            root.join("cur"),
            root.join("new"),
            root.join("tmp"),
        ] {
            std::fs::create_dir(&path).expect("a folder");
            self.own(&path);
        }
    }

    /// Numbers a user's inbox anew: the same numbers, under another `UIDVALIDITY`, may mean other mails. Stops the server while
    /// it does so.
    ///
    /// # Panics
    /// When the index cannot be removed.
    pub fn renumber(&self, user: &str) {
        self.stop();
        let mailbox = self.mailbox(user);
        for file in std::fs::read_dir(&mailbox)
            .expect("a mailbox")
            .map_while(Result::ok)
        {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.starts_with("dovecot") {
                std::fs::remove_file(file.path()).expect("an index can be removed");
            }
        }
        // Its own choice would be the second of now, which may be the old one.
        let list = mailbox.join("dovecot-uidlist");
        let folder_id = "0123456789abcdef0123456789abcdef";
        std::fs::write(&list, format!("3 V1234567 N1 G{folder_id}\n"))
            .expect("an index can be written");
        self.own(&list);
        self.restart();
    }

    /// Whether everything here belongs to the user that it runs as: for the test of the kit.
    #[cfg(test)]
    fn owner(&self) -> u32 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(&self.folder).expect("a folder").uid()
    }
}

/// Ends it with its sessions, whose processes the signal to the first one alone would leave.
fn stop(keeper: Keeper) {
    keeper.signal("TERM");
    let end = Instant::now() + DEADLINE;
    while keeper.signal("0") {
        assert!(Instant::now() < end, "dovecot does not stop");
        std::thread::sleep(Duration::from_millis(10));
    }
    keeper.kill();
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if let Some(keeper) = self.process().take() {
            if std::thread::panicking() {
                let log = std::fs::read_to_string(self.folder.join("dovecot.log"));
                eprintln!("dovecot said:\n{}", log.unwrap_or_default());
                keeper.signal("TERM");
                std::thread::sleep(Duration::from_millis(200));
            } else {
                stop(keeper);
            }
        }
        // What cannot be removed is in the system's folder for such things.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Says these lines after the greeting and gives everything that came until the last is answered.
    fn talk(server: &Dovecot, lines: &[&str]) -> String {
        let stream = TcpStream::connect(server.address()).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).ok();
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut writer = stream;
        let mut all = String::new();
        reader.read_line(&mut all).expect("a greeting");
        for (index, line) in lines.iter().enumerate() {
            writer
                .write_all(format!("a{index} {line}\r\n").as_bytes())
                .expect("it listens");
            loop {
                let mut answer = String::new();
                reader.read_line(&mut answer).expect("an answer");
                all.push_str(&answer);
                if answer.is_empty() || answer.starts_with(&format!("a{index} ")) {
                    break;
                }
            }
        }
        all
    }

    #[test]
    fn it_delivers_renumbers_and_comes_back() {
        let server = Dovecot::start(&[("support", "secret")]);
        assert_eq!(server.owner(), server.account.uid);
        server.deliver("support", b"Subject: one\r\n\r\nHello\r\n");
        let look = [
            "LOGIN support secret",
            "SELECT INBOX",
            "UID FETCH 1:* (FLAGS)",
        ];
        let said = talk(&server, &look);
        assert!(said.contains("UID 1 ") || said.contains("UID 1)"), "{said}");
        assert_eq!(server.flags("support"), [""]);
        server.renumber("support");
        let said = talk(&server, &look);
        assert!(said.contains("UIDVALIDITY 1234567]"), "{said}");
        assert!(said.contains("UID 1 ") || said.contains("UID 1)"), "{said}");
        let said = talk(&server, &["LOGIN support wrong"]);
        assert!(said.contains("a0 NO"), "{said}");
    }
}
