//! The pairs of store and queue, and the servers that the second one needs.

use anyhow::{Context, Result, bail, ensure};
use std::cell::Cell;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use switchboard_testkit::servers::RedisServer;
use tokio_postgres::{Client, NoTls};

/// A store and a queue that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pair {
    /// SQLite and memory: one process.
    #[default]
    Embedded,
    /// PostgreSQL and Redis: any number of processes.
    ScaledOut,
}

impl Pair {
    /// The name of the store.
    pub const fn store(self) -> &'static str {
        match self {
            Self::Embedded => "sqlite",
            Self::ScaledOut => "postgres",
        }
    }

    /// The name of the queue.
    pub const fn queue(self) -> &'static str {
        match self {
            Self::Embedded => "memory",
            Self::ScaledOut => "redis",
        }
    }
}

/// PostgreSQL and Redis, of the system's packages, for this run alone.
pub struct Servers {
    postgres: Postgres,
    redis: RedisServer,
    made: Cell<usize>,
}

/// The database that is there from the start.
const FIRST: &str = "postgres";
/// Databases of a Redis server as it comes.
const REDIS_DATABASES: usize = 16;

impl Servers {
    /// Starts both.
    pub fn start(folder: &Path) -> Result<Self> {
        if !in_path("redis-server") {
            bail!("redis-server is not installed");
        }
        Ok(Self {
            postgres: Postgres::start(folder)?,
            redis: RedisServer::start(),
            made: Cell::new(0),
        })
    }

    /// A database for tables that get in nobody's way.
    pub fn common(&self) -> String {
        self.postgres.url(FIRST)
    }

    /// A new, empty database, and a schedule that nobody else uses. A database is hundreds of files:
    /// on a busy disk it takes a second to come and to go.
    pub fn place(&self) -> Result<(String, String)> {
        let number = self.made.get() + 1;
        self.made.set(number);
        let name = format!("bench{number}");
        run(
            &self.postgres.url(FIRST),
            &format!("CREATE DATABASE {name}"),
        )?;
        let redis = self.redis.url();
        let redis = redis.trim_end_matches("/0");
        Ok((
            self.postgres.url(&name),
            format!("{redis}/{}", number % REDIS_DATABASES),
        ))
    }
}

/// Where Debian puts PostgreSQL's own programs.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Who a server that root starts runs as: it refuses to be root.
const ACCOUNT: &str = "postgres";
/// A server that does not take connections after so long will not.
const START_MAX: Duration = Duration::from_secs(60);

/// Whether a program is installed where programs are looked for.
pub fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// The folder of PostgreSQL's programs.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|v| v.path().join("bin")).collect();
    folders.sort();
    folders.into_iter().rfind(|f| f.join("initdb").exists())
}

/// A PostgreSQL that waits for the disk as it comes, but for nothing else of the machine's.
struct Postgres {
    child: Child,
    port: u16,
}

impl Postgres {
    fn start(folder: &Path) -> Result<Self> {
        let programs = programs().context("PostgreSQL is not installed")?;
        let folder = folder.join("postgres");
        std::fs::create_dir(&folder)?;
        // Only root may give a folder away, and only root has to.
        let root = Command::new("chown")
            .arg(ACCOUNT)
            .arg(&folder)
            .stderr(Stdio::null())
            .status();
        let root = root.is_ok_and(|status| status.success());
        let command = |program: &str| {
            let program = programs.join(program);
            let mut command = if root {
                let mut command = Command::new("setpriv");
                command
                    .args([
                        "--reuid",
                        ACCOUNT,
                        "--regid",
                        ACCOUNT,
                        "--init-groups",
                        "--",
                    ])
                    .arg(program);
                command
            } else {
                Command::new(program)
            };
            command
                .current_dir(&folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        };
        let data = folder.join("data");
        let mut initdb = command("initdb");
        initdb
            .arg("-D")
            .arg(&data)
            .args(["-A", "trust", "-U", ACCOUNT, "-E", "UTF8"]);
        let made = initdb.args(["--locale=C.UTF-8", "--no-sync"]).status()?;
        ensure!(made.success(), "initdb failed");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = command("postgres");
        server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
        ] {
            server.args(["-c", setting]);
        }
        let server = Self {
            child: server.spawn()?,
            port,
        };
        let begun = Instant::now();
        while run(&server.url(FIRST), "SELECT 1").is_err() {
            ensure!(begun.elapsed() < START_MAX, "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{ACCOUNT}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Postgres {
    /// Asked, not killed: its own children end with it, and nothing of it is left in memory. Asked
    /// to be quick: what it would carry to the disk first is thrown away next.
    fn drop(&mut self) {
        let asked = Command::new("kill")
            .args(["-QUIT", &self.child.id().to_string()])
            .status();
        if asked.is_err() {
            self.child.kill().ok();
        }
        self.child.wait().ok();
    }
}

/// A connection to a database of PostgreSQL, served by a task of this runtime.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .context("PostgreSQL does not answer")?;
    tokio::spawn(connection);
    Ok(client)
}

/// Runs statements without parameters.
pub fn run(url: &str, statements: &str) -> Result<()> {
    crate::load::alone(async { Ok(connect(url).await?.batch_execute(statements).await?) })
}
