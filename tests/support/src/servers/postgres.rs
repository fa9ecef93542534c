//! PostgreSQL from the system's packages.

use super::smtp::{CA, CERTIFICATE, KEY};
use crate::ports;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Starting includes the making of a cluster; a busy machine takes its time.
const START_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who a server that root started runs as: the server refuses to be root.
const ACCOUNT: &str = "postgres";

/// A server. Ended, with everything in it, when it is dropped or the process of the test ends.
pub struct PostgresServer {
    binaries: PathBuf,
    folder: PathBuf,
    port: u16,
    settings: Vec<&'static str>,
    server: Mutex<Option<Child>>,
    made: AtomicU32,
    /// Its end is how the guard learns of ours, whichever way it comes.
    guard: Option<(Child, ChildStdin)>,
}

impl PostgresServer {
    /// The server of this process of tests. It writes to no disk in time: what it holds need not
    /// survive the machine.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&["fsync=off", "full_page_writes=off"]))
    }

    /// Starts a server with these settings (`name=value`).
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub fn start(settings: &[&'static str]) -> Self {
        Self::start_with(settings, &[])
    }

    /// Starts a server that speaks TLS, with the certificate of the tests' own authority; `app` is let in
    /// with a password and over TLS only.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub fn with_tls(password: &str) -> Self {
        let rules = format!(
            "host all {ACCOUNT} 127.0.0.1/32 trust\nhostssl all app 127.0.0.1/32 scram-sha-256\n"
        );
        let files = [
            ("pg_hba.conf", rules.as_str()),
            ("server.crt", CERTIFICATE),
            ("server.key", KEY),
        ];
        let server = Self::start_with(&["fsync=off", "ssl=on"], &files);
        let sql = format!("CREATE ROLE app LOGIN SUPERUSER PASSWORD '{password}'");
        server.sql(ACCOUNT, &sql);
        server
    }

    /// Writes the certificate of the tests' own authority, for `sslrootcert`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn authority(&self) -> PathBuf {
        let file = self.folder.join("ca.pem");
        std::fs::write(&file, CA).expect("a certificate is written");
        file
    }

    fn start_with(settings: &[&'static str], files: &[(&str, &str)]) -> Self {
        let binaries = binaries();
        let name = format!(
            "switchboard-postgres-{}-{}",
            std::process::id(),
            ports::free()
        );
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).expect("a folder for the server");
        if is_root() {
            run(Command::new("chown").arg(ACCOUNT).arg(&folder));
        }
        let mut server = Self {
            guard: Some(guard(&folder)),
            port: ports::free(),
            settings: settings.to_vec(),
            server: Mutex::default(),
            made: AtomicU32::new(0),
            binaries,
            folder,
        };
        let mut initdb = server.command("initdb");
        initdb.arg("-D").arg(server.data());
        initdb.args(["-A", "trust", "-U", ACCOUNT, "-E", "UTF8"]);
        run(initdb.args(["--locale=C.UTF-8", "--no-sync"]));
        for (name, text) in files {
            let file = server.data().join(name);
            std::fs::write(&file, text).expect("a file of the server is written");
            // A key that others can read it refuses.
            run(Command::new("chmod").arg("600").arg(&file));
            if is_root() {
                run(Command::new("chown").arg(ACCOUNT).arg(&file));
            }
        }
        for last in [false, false, true] {
            server.serve();
            if server.wait() {
                break;
            }
            assert!(!last, "PostgreSQL does not start:\n{}", server.log());
            // Somebody was quicker at the port.
            server.kill();
            server.port = ports::free();
        }
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A program of the server's, as the account that it runs as.
    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let mut command;
        if is_root() {
            // Executes in place: the child's number is the server's.
            command = Command::new("setpriv");
            command.args([
                &format!("--reuid={ACCOUNT}"),
                &format!("--regid={ACCOUNT}"),
                "--init-groups",
                "--",
            ]);
            command.arg(program);
        } else {
            command = Command::new(program);
        }
        command.current_dir(&self.folder).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            // The tester's own servers are none of the test's business.
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
    }

    fn serve(&self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("the server's log");
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        command.args(["-p", &self.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=64MB",
            // What a test waits for in vain is to be seen in the log.
            "log_lock_waits=on",
            // A circle of locks is looked for after this; the server's own second is long in a test.
            "deadlock_timeout=200ms",
        ]
        .iter()
        .chain(&self.settings)
        {
            command.args(["-c", setting]);
        }
        command.stdout(log.try_clone().expect("the server's log"));
        command.stderr(log);
        let child = command.spawn().expect("postgres runs");
        *self.locked() = Some(child);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it takes connections; `false` when it has ended instead.
    fn wait(&self) -> bool {
        let end = Instant::now() + START_MAX;
        loop {
            if self.answers() {
                return true;
            }
            let ended = match self.locked().as_mut() {
                Some(child) => child.try_wait().expect("a child").is_some(),
                None => true,
            };
            if ended {
                return false;
            }
            assert!(Instant::now() < end, "no answer:\n{}", self.log());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn answers(&self) -> bool {
        // The port first: the other program costs more.
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            && self.psql("postgres", "SELECT 1").is_ok()
    }

    /// The port on the loopback.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `postgres://…` of a database of this server.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ACCOUNT}@127.0.0.1:{}/{database}", self.port)
    }

    /// A new, empty database, which goes when it is dropped.
    pub fn database(&self) -> PostgresDatabase<'_> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        PostgresDatabase { server: self, name }
    }

    /// Runs SQL as the owner of everything and gives what it says, a row each line.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.psql(database, sql)
            .unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let output = psql.arg(self.url(database)).output();
        let output = output.map_err(|e| e.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Ends the server as a power cut would: every process of it at once.
    pub fn kill(&self) {
        let child = self.locked().take();
        if let Some(mut child) = child {
            let all = family(child.id());
            signal("KILL", &all);
            child.wait().ok();
            let end = Instant::now() + START_MAX;
            while all.iter().any(|pid| lives(*pid)) {
                assert!(Instant::now() < end, "the server does not end");
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    /// Starts it again on the same data and port.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub fn restart(&self) {
        assert!(self.locked().is_none(), "the server runs");
        self.serve();
        assert!(self.wait(), "it does not start again:\n{}", self.log());
    }

    /// Stops every process of it in its tracks: connections stay open and nobody answers.
    pub fn pause(&self) {
        self.signal_all("STOP");
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal_all("CONT");
    }

    fn signal_all(&self, name: &str) {
        let id = self.locked().as_ref().expect("the server runs").id();
        signal(name, &family(id));
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
        if let Some((mut guard, ours)) = self.guard.take() {
            drop(ours);
            guard.wait().ok();
        }
    }
}

/// A database of a server.
pub struct PostgresDatabase<'a> {
    server: &'a PostgresServer,
    name: String,
}

impl PostgresDatabase<'_> {
    /// `postgres://…`
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Runs SQL in it.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }
}

impl Drop for PostgresDatabase<'_> {
    fn drop(&mut self) {
        // A server that the test has ended takes it along.
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        self.server.psql("postgres", &sql).ok();
    }
}

/// Where the server's programs are: the newest of Debian's folders, else wherever `initdb` is found.
fn binaries() -> PathBuf {
    let has_all = |folder: &Path| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|p| folder.join(p).is_file())
    };
    let mut folders: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .chain(std::env::split_paths(&path))
        .find(|folder| has_all(folder))
        .expect("PostgreSQL (initdb, postgres, psql) is needed by the tests: apt-get install postgresql")
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    // The owner of this process, without asking the C library.
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

fn run(command: &mut Command) {
    let output = command.output().expect("a program of the system runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// A process that outlives ours by a moment: when its input ends, because we closed it or are gone,
/// it ends the server and clears the folder.
fn guard(folder: &Path) -> (Child, ChildStdin) {
    let script = r#"cat >/dev/null
        if pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null); then
            kill -CONT "$pid" 2>/dev/null; kill -QUIT "$pid" 2>/dev/null
            for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
        fi
        rm -rf "$1""#;
    let mut guard = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs");
    let input = guard.stdin.take().expect("its input");
    (guard, input)
}

/// A process and its children.
fn family(parent: u32) -> Vec<u32> {
    let mut all = vec![parent];
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // `pid (name) state parent …`; the name may hold anything.
        let after = stat.rsplit(") ").next().unwrap_or_default();
        if after.split(' ').nth(1).and_then(|p| p.parse().ok()) == Some(parent) {
            all.push(pid);
        }
    }
    all
}

fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // One that nobody has waited for yet is dead all the same.
    !stat.is_empty() && !stat.contains(") Z ")
}

fn signal(name: &str, pids: &[u32]) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    // One of them may have ended by itself.
    Command::new("sh")
        .args([
            "-c",
            &format!("kill -{name} {} 2>/dev/null", pids.join(" ")),
        ])
        .status()
        .expect("sh runs");
}
