//! The processes that are measured and measured against, in a folder that goes when they go.

use crate::load::{self, Connection, request};
use crate::report::Report;
use crate::report::median;
use crate::servers::{self, Pair, Servers};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use switchboard_channels::kit::sign::hmac_sha256;

/// What takes longer than this has failed.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Lanes that the gateway has; the outbound scenarios use the first.
pub const LANES: usize = 10;
/// Requests under way at once in a lane, and connections of the baseline.
pub const IN_FLIGHT: usize = 64;
/// The gateway's token.
const TOKEN: &str = "bench-token-0123456789";
/// What signs webhooks.
pub const SECRET: &str = "bench-app-secret";
/// How often a figure of a running process is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// Clock ticks of `/proc/PID/stat` per second, on every Linux that we know.
const TICKS: f64 = 100.0;

/// Where everything is.
pub struct Rig {
    binary: PathBuf,
    folder: PathBuf,
    /// Numbers the folders.
    made: Cell<usize>,
    /// Numbers the messages: no id comes twice in a run.
    next: Cell<usize>,
    /// PostgreSQL and Redis, started when a scenario first asks for them; or why not.
    servers: OnceCell<Result<Servers, String>>,
    /// Whether the gateway starts over them.
    able: OnceCell<bool>,
    /// Whether a scenario goes on with what the one before has started.
    shares: bool,
    /// What was started to be shared, by how it is set up.
    shared: RefCell<Vec<(Shared, Rc<Running>)>>,
    /// Resident memory of an idle gateway, where it was measured already, and its place.
    pub idle: RefCell<Vec<(Pair, f64, Rc<Place>)>>,
    /// What bare requests to a slow platform reach, which is the same beside every gateway.
    pub slow_bare: Cell<Option<f64>>,
}

/// What scenarios can share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shared {
    Double,
    Bare(Option<(Pair, Rows)>),
    Gateway(Setup),
}

/// What the bare endpoint makes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// A row per webhook.
    PerWebhook,
    /// A row per message.
    PerMessage,
}

/// A process that ends with its owner.
pub struct Running {
    child: RefCell<Child>,
    /// Where it listens.
    pub at: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        child.kill().ok();
        child.wait().ok();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Then what uses them, then the servers, whose data is in the folder.
        self.shared.take().clear();
        drop(self.servers.take());
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// The gateway that comes with this program: beside it, brought up to date when it is ours to build.
fn built() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let binary = here.with_file_name("switchboard");
    let profile = here.parent().and_then(Path::file_name);
    // Only where cargo runs us does it know the sources; a copied program measures its neighbour.
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut command = Command::new(cargo);
        command.args([
            "build",
            "--quiet",
            "--package",
            "switchboard",
            "--bin",
            "switchboard",
        ]);
        if profile.is_some_and(|p| p == "release") {
            command.arg("--release");
        }
        ensure!(command.status()?.success(), "the gateway does not build");
    }
    Ok(binary)
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// How a gateway is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Setup {
    /// Over which store and queue.
    pub pair: Pair,
    /// Where the double listens.
    pub double: Option<SocketAddr>,
    /// Whether somebody receives events.
    pub events: bool,
}

impl Rig {
    /// Finds or builds the gateway and makes a folder.
    pub fn new(binary: Option<PathBuf>, folder: Option<PathBuf>, shares: bool) -> Result<Self> {
        let binary = match binary {
            Some(binary) => binary,
            None => built()?,
        };
        ensure!(binary.exists(), "{} is missing", binary.display());
        let name = format!("switchboard-bench-{}", std::process::id());
        let folder = folder.unwrap_or_else(std::env::temp_dir).join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            binary: binary.canonicalize()?,
            folder,
            made: Cell::new(0),
            next: Cell::new(0),
            servers: OnceCell::new(),
            able: OnceCell::new(),
            shares,
            shared: RefCell::default(),
            idle: RefCell::default(),
            slow_bare: Cell::new(None),
        })
    }

    /// The measured program, in bytes.
    pub fn binary_bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.binary)?.len())
    }

    /// A new folder.
    pub fn place(&self) -> Result<PathBuf> {
        self.made.set(self.made.get() + 1);
        let place = self.folder.join(self.made.get().to_string());
        std::fs::create_dir_all(&place)?;
        Ok(place)
    }

    /// The servers of [`Pair::ScaledOut`], once they were asked for.
    fn scaled_out(&self) -> Option<&Servers> {
        self.servers.get()?.as_ref().ok()
    }

    /// The pairs that can be measured; says why where one cannot.
    pub fn pairs(&self, name: &'static str, report: &mut Report) -> Result<Vec<Pair>> {
        let started = self
            .servers
            .get_or_init(|| Servers::start(&self.folder).map_err(|e| format!("{e:#}")));
        let why = match started {
            Err(why) => why.clone(),
            Ok(_) if self.able() => return Ok(vec![Pair::Embedded, Pair::ScaledOut]),
            Ok(_) => "this gateway does not start on PostgreSQL and Redis".to_owned(),
        };
        report.leave_out(name, "postgres and redis", &why)?;
        Ok(vec![Pair::Embedded])
    }

    /// Whether the gateway works over both servers.
    fn able(&self) -> bool {
        *self.able.get_or_init(|| {
            let one = self.double().and_then(|double| {
                self.gateway(Setup {
                    pair: Pair::ScaledOut,
                    double: Some(double.at),
                    events: false,
                })
            });
            one.is_ok()
        })
    }

    /// The next numbers of messages.
    pub fn numbers(&self, count: usize) -> std::ops::Range<usize> {
        let first = self.next.get();
        self.next.set(first + count);
        first..first + count
    }

    fn start(&self, mut command: Command, at: SocketAddr) -> Result<Running> {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        Ok(Running {
            child: RefCell::new(child),
            at,
        })
    }

    /// What is shared, or what is started for the one who asks.
    fn share(&self, what: Shared, start: impl FnOnce() -> Result<Running>) -> Result<Rc<Running>> {
        let there = self
            .shared
            .borrow()
            .iter()
            .find(|(s, _)| *s == what)
            .cloned();
        if let Some((_, running)) = there {
            return Ok(running);
        }
        let running = Rc::new(start()?);
        if self.shares {
            self.shared.borrow_mut().push((what, Rc::clone(&running)));
        }
        Ok(running)
    }

    /// The platform's double.
    pub fn double(&self) -> Result<Rc<Running>> {
        self.share(Shared::Double, || self.start_double())
    }

    fn start_double(&self) -> Result<Running> {
        let at = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["double", "--port", &at.port().to_string()]);
        let running = self.start(command, at)?;
        running.until(&request("GET", "/ctl/stats", &[], ""))?;
        Ok(running)
    }

    /// The bare endpoint; `durable` adds rows in that store.
    pub fn bare(&self, durable: Option<(Pair, Rows)>) -> Result<Rc<Running>> {
        self.share(Shared::Bare(durable), || self.start_bare(durable))
    }

    fn start_bare(&self, durable: Option<(Pair, Rows)>) -> Result<Running> {
        let at = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", "--secret", SECRET, "--port", &at.port().to_string()]);
        if matches!(durable, Some((_, Rows::PerMessage))) {
            command.arg("--per-message");
        }
        match (durable.map(|(pair, _)| pair), self.scaled_out()) {
            (Some(Pair::Embedded), _) => {
                command.arg("--sqlite").arg(self.place()?.join("bare.db"));
            }
            (Some(Pair::ScaledOut), Some(servers)) => {
                command.arg("--postgres").arg(servers.common());
            }
            _ => {}
        }
        let running = self.start(command, at)?;
        running.until(&request("GET", "/readyz", &[], ""))?;
        Ok(running)
    }

    /// Writes a configuration into a folder.
    pub fn configure(&self, place: &Path, setup: Setup) -> Result<Place> {
        let at = free_port()?;
        let double = setup.double.unwrap_or(at);
        let (store, queue) = match (setup.pair, self.scaled_out()) {
            (Pair::ScaledOut, Some(servers)) => servers.place()?,
            _ => ("sqlite:bench.db".to_owned(), "memory:".to_owned()),
        };
        let mut text = format!(
            r#"
[server]
listen = "{at}"
[api]
tokens = ["{TOKEN}"]
rate_per_second = 1000000
[store]
url = "{store}"
[queue]
url = "{queue}"
[log]
filter = "error"
[sandbox]
enabled = false
[[channels]]
id = "wa"
kind = "whatsapp"
api_base = "http://{double}/wa"
phone_number_id = "310987654321098"
access_token = "bench-access-token"
app_secret = "{SECRET}"
verify_token = "bench-verify"
"#
        );
        for lane in 0..LANES {
            write!(
                text,
                r#"
[[channels]]
id = "bot{lane}"
kind = "telegram"
api_base = "http://{double}/lane{lane}"
bot_token = "700000000{lane}:AAExampleTokenOf35Characters-abc_xyz"
webhook_secret = "bench-webhook-secret"
max_in_flight = {IN_FLIGHT}
rate_per_second = 1000000
rate_burst = 1000000
rate_per_recipient_per_second = 1000000
recipient_burst = 1000000
"#
            )?;
        }
        if setup.events {
            write!(
                text,
                "[[webhooks]]\nid = \"backend\"\nurl = \"http://{double}/hook\"\nkey = \"bench-hook-key-0123456789\"\n"
            )?;
        }
        std::fs::write(place.join("bench.toml"), text)?;
        Ok(Place {
            folder: place.to_owned(),
            at,
            store,
        })
    }

    /// Runs a command of the gateway to its end.
    pub fn run(&self, place: &Place, command: &str) -> Result<()> {
        let status = Command::new(&self.binary)
            .args([command, "--config", "bench.toml"])
            .current_dir(&place.folder)
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "switchboard {command} failed");
        Ok(())
    }

    /// Starts a configured gateway; says how long it took until it was ready.
    pub fn serve(&self, place: &Place) -> Result<(Running, Duration)> {
        let mut command = Command::new(&self.binary);
        command
            .args(["serve", "--config", "bench.toml"])
            .current_dir(&place.folder);
        let begun = Instant::now();
        let running = self.start(command, place.at)?;
        running.until(&request("GET", "/readyz", &[], ""))?;
        Ok((running, begun.elapsed()))
    }

    /// A gateway; on an empty store, unless it is shared.
    pub fn gateway(&self, setup: Setup) -> Result<Rc<Running>> {
        self.share(Shared::Gateway(setup), || self.fresh(setup))
    }

    /// A gateway on an empty store, for one scenario alone.
    pub fn fresh(&self, setup: Setup) -> Result<Running> {
        Ok(self.serve(&self.configured(setup)?)?.0)
    }

    /// A configured gateway in a folder of its own.
    pub fn configured(&self, setup: Setup) -> Result<Place> {
        self.configure(&self.place()?, setup)
    }
}

/// A configured gateway.
pub struct Place {
    folder: PathBuf,
    at: SocketAddr,
    store: String,
}

impl Place {
    /// Runs statements in its store, in one transaction.
    pub fn fill(&self, statements: &[String]) -> Result<()> {
        let all = format!("BEGIN; {}; COMMIT", statements.join(";\n"));
        if self.store.starts_with("postgres") {
            return servers::run(&self.store, &all);
        }
        let connection = rusqlite::Connection::open(self.folder.join("bench.db"))?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "cache_size", -262_144)?;
        connection.execute_batch(&all)?;
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
        Ok(())
    }

    /// Brings the numbers that PostgreSQL gives above those that were filled in.
    pub fn renumber(&self) -> Result<()> {
        if self.store.starts_with("postgres") {
            for table in ["users", "conversations", "messages"] {
                let renumber = format!(
                    "SELECT setval(pg_get_serial_sequence('{table}', 'id'),
                        (SELECT MAX(id) FROM {table})); ANALYZE {table}"
                );
                servers::run(&self.store, &renumber)?;
            }
        }
        Ok(())
    }
}

impl Running {
    /// Waits until it answers a request with success.
    fn until(&self, request: &[u8]) -> Result<()> {
        load::alone(async {
            let begun = Instant::now();
            while begun.elapsed() < PATIENCE {
                if let Ok(mut connection) = Connection::open(self.at).await
                    && let Ok((200..300, _)) = connection.call(request).await
                {
                    return Ok(());
                }
                let ended = self.child.borrow_mut().try_wait()?;
                ensure!(ended.is_none(), "what was started has ended at once");
                tokio::time::sleep(LOOK).await;
            }
            bail!("{} does not answer", self.at)
        })
    }

    fn status(&self, field: &str) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.borrow().id()))?;
        let line = text.lines().find(|l| l.starts_with(field));
        let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
        Ok(kib.context("/proc says nothing of memory")? / 1024.0)
    }

    /// Resident memory, in MiB.
    pub fn resident(&self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// Seconds of CPU that it has used.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.borrow().id()))?;
        // The name in brackets may hold blanks; user and system time are the 12th and 13th behind it.
        let (_, rest) = text.rsplit_once(')').context("/proc says nothing")?;
        let ticks = rest.split_whitespace().skip(11).take(2);
        let ticks: Vec<f64> = ticks.filter_map(|t| t.parse().ok()).collect();
        Ok(ticks.iter().sum::<f64>() / TICKS)
    }

    /// Sets the double up anew.
    pub fn reset(&self, delay_ms: u64, hang: &str) -> Result<()> {
        let path = format!("/ctl/reset?delay={delay_ms}&hang={hang}");
        load::once(self.at, &request("GET", &path, &[], "")).map(drop)
    }

    /// What the double has seen.
    pub fn stats(&self) -> Result<Stats> {
        let text = load::once(self.at, &request("GET", "/ctl/stats", &[], ""))?;
        let value: Value = serde_json::from_str(&text)?;
        let number = |name: &str| value.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        Ok(Stats {
            count: number("count"),
            hooks: number("hooks"),
            seconds: (number("last") - number("first")) / 1e6,
            steady_seconds: (number("nine_tenths") - number("tenth")) / 1e6,
            latency_p50_ms: number("latency_p50") / 1e3,
            latency_p99_ms: number("latency_p99") / 1e3,
        })
    }

    /// Waits until the double has seen so many requests.
    pub fn until_count(&self, count: usize) -> Result<Stats> {
        let begun = Instant::now();
        loop {
            let stats = self.stats()?;
            if stats.count >= count as f64 {
                return Ok(stats);
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "{} of {count} messages came",
                stats.count
            );
            std::thread::sleep(LOOK * 10);
        }
    }

    /// Waits until nothing is under way in lanes of the gateway.
    pub fn until_still(&self, names: &[String]) -> Result<()> {
        let begun = Instant::now();
        loop {
            let text = load::once(self.at, &authorized("GET", "/admin/lanes", ""))?;
            let answer: Value = serde_json::from_str(&text)?;
            let lanes = answer.get("response").and_then(Value::as_array);
            let lanes = lanes.context("the gateway says nothing of its lanes")?;
            let moves = |lane: &Value| {
                let named = |name: &String| lane.get("lane").is_some_and(|l| l == name.as_str());
                names.iter().any(named) && lane.get("in_flight").is_none_or(|n| *n != 0)
            };
            if !lanes.iter().any(moves) {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "a paused lane goes on");
            std::thread::sleep(LOOK * 10);
        }
    }

    /// Pauses or resumes a lane of the gateway.
    pub fn lane(&self, lane: &str, what: &str) -> Result<()> {
        let path = format!("/admin/lanes/{lane}/{what}");
        load::once(self.at, &authorized("POST", &path, "")).map(drop)
    }
}

/// What the double has seen.
pub struct Stats {
    /// Messages.
    pub count: f64,
    /// Events.
    pub hooks: f64,
    /// From the first message to the last.
    pub seconds: f64,
    /// From the tenth part of them to nine tenths.
    pub steady_seconds: f64,
    /// From the call to the platform's request.
    pub latency_p50_ms: f64,
    /// The same, of the slowest hundredth.
    pub latency_p99_ms: f64,
}

fn authorized(method: &str, path: &str, body: &str) -> Vec<u8> {
    let token = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
    ];
    request(method, path, &headers, body)
}

/// A call that sends a text to a chat.
pub fn send(lane: usize, chat: usize, text: &str, wait: u32) -> Vec<u8> {
    let body = format!(
        r#"{{"function":"telegram-send-message","channel":"bot{lane}","chat_id":"{}","message":"{text}","wait":{wait}}}"#,
        chat_id(chat)
    );
    authorized("POST", "/api", &body)
}

/// A chat of the double.
pub fn chat_id(chat: usize) -> usize {
    5_550_100_000 + chat
}

/// A signed WhatsApp webhook of about a kilobyte per message; each message is of another person.
pub fn webhook(messages: impl Iterator<Item = (usize, usize)>) -> Vec<u8> {
    let (mut contacts, mut list) = (String::new(), String::new());
    for (number, person) in messages {
        let from = phone(person);
        let comma = if list.is_empty() { "" } else { "," };
        let text = "lorem ipsum dolor sit amet ".repeat(18);
        // Writing into a string does not fail.
        write!(
            contacts,
            r#"{comma}{{"profile":{{"name":"Dana Fields"}},"wa_id":"{from}"}}"#
        )
        .ok();
        write!(
            list,
            r#"{comma}{{"from":"{from}","id":"{}","timestamp":"1795000001","type":"text","text":{{"body":"message {number} {text}"}}}}"#,
            platform_id(number)
        )
        .ok();
    }
    let body = format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"204455667788990","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550107788","phone_number_id":"310987654321098"}},"contacts":[{contacts}],"messages":[{list}]}}}}]}}]}}"#
    );
    let signature = hex::encode(hmac_sha256(SECRET.as_bytes(), &[body.as_bytes()]));
    let signature = format!("sha256={signature}");
    let headers = [
        ("content-type", "application/json"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    request("POST", "/webhooks/wa", &headers, &body)
}

/// A person's number on WhatsApp.
pub fn phone(person: usize) -> usize {
    15_550_000_000 + person
}

/// As WhatsApp's ids are: long, and in no order.
fn platform_id(number: usize) -> String {
    let mixed = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("wamid.HBgLMTU1NTAwMDAwMDAVAgASGBQ{mixed:016X}{number:08X}AA==")
}

/// The middle of what some turns gave.
pub fn middle(turns: &[f64]) -> f64 {
    median(turns.to_vec())
}
