//! A gateway with everything around it, in a folder of its own.

use crate::backend::Backend;
use crate::config::{Addresses, Setup, TOKEN, environment};
use crate::emulator::Emulator;
use crate::http::{self, Answer};
use crate::members::Member;
use crate::process::{self, Exit, Log, Process};
use crate::{DEADLINE, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a port that was free and is not any more is replaced.
const PORT_TRIES: usize = 5;

/// Lines of the log that a failing test shows.
const SHOWN_LINES: usize = 60;

/// A running world. Dropping it ends everything, and judges.
pub struct World {
    setup: Setup,
    folder: PathBuf,
    addresses: Addresses,
    client: reqwest::Client,
    log: Log,
    gateway: Mutex<Option<Process>>,
    emulators: Mutex<Option<Process>>,
    /// Processes beside the gateway, by name.
    pub(crate) members: Mutex<BTreeMap<&'static str, Member>>,
    backend: Backend,
    /// Parts of error lines that the test brings about on purpose.
    announced: Mutex<Vec<String>>,
}

impl World {
    pub(crate) async fn start(setup: Setup) -> Self {
        let backend = Backend::start().await;
        let world = Self {
            folder: folder(),
            addresses: Addresses::free(),
            client: http::client(),
            log: Log::default(),
            gateway: Mutex::default(),
            emulators: Mutex::default(),
            members: Mutex::default(),
            backend,
            announced: Mutex::default(),
            setup,
        };
        let mut world = world;
        for last in (0..PORT_TRIES).rev() {
            world.write_config();
            let started = world.start_emulators().await && world.start_gateway_first().await;
            if started {
                return world;
            }
            let taken = |line: &String| line.contains("an address that is free");
            assert!(
                last > 0 && world.log.lines().iter().any(taken),
                "the world does not begin:\n{}",
                world.shown_log()
            );
            // Somebody was quicker: elsewhere, with nothing left of this try.
            world.gateway = Mutex::default();
            world.emulators = Mutex::default();
            world.log = Log::default();
            world.addresses = Addresses::free();
        }
        unreachable!("the last try returns or panics")
    }

    fn write_config(&self) {
        let toml = self
            .setup
            .toml(&self.folder, self.addresses, &self.backend.url());
        std::fs::write(self.config_file(), toml).expect("the configuration is written");
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.join("switchboard.toml")
    }

    async fn start_emulators(&self) -> bool {
        if !self.setup.apart {
            return true;
        }
        self.spawn(&self.emulators, "sandbox", &["sandbox"]);
        let url = format!("{}/sandbox/accounts", self.sandbox_root());
        self.answers(&self.emulators, &url).await
    }

    async fn start_gateway(&self) -> bool {
        let roles = self.setup.roles.iter().flat_map(|role| ["--role", role]);
        let arguments: Vec<&str> = ["serve"].into_iter().chain(roles).collect();
        self.spawn(&self.gateway, "gateway", &arguments);
        self.is_ready().await
    }

    /// The first start, which may have a limit on files.
    async fn start_gateway_first(&self) -> bool {
        let Some(most) = self.setup.file_limit_kib else {
            return self.start_gateway().await;
        };
        // The signal that usually comes with the limit is ignored, and so is inherited as ignored:
        // then a write beyond it fails with an error, which is what a full disk does. The shell of
        // POSIX counts in blocks of 512 bytes.
        let script = r#"trap "" XFSZ; ulimit -f "$1"; shift; exec "$@""#;
        let mut limited = process::command(Path::new("sh"), &self.folder);
        limited.args(["-c", script, "sh", &(most * 2).to_string()]);
        limited.arg(&self.setup.binary);
        limited.arg("--config").arg(self.config_file()).arg("serve");
        *locked(&self.gateway) = Some(Process::start(limited, "gateway", &self.log));
        self.is_ready().await
    }

    async fn is_ready(&self) -> bool {
        let url = format!("{}/readyz", self.root());
        self.answers(&self.gateway, &url).await
    }

    fn spawn(&self, into: &Mutex<Option<Process>>, name: &'static str, arguments: &[&str]) {
        let mut command = self.command(arguments);
        if name == "gateway" {
            command.envs(self.setup.environment.iter().cloned());
        }
        let process = Process::start(command, name, &self.log);
        *locked(into) = Some(process);
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = process::command(&self.setup.binary, &self.folder);
        if self.setup.bare {
            command.envs(environment(self.addresses));
        } else {
            command.arg("--config").arg(self.config_file());
        }
        command.args(arguments);
        command
    }

    /// Waits until a URL answers 200; `false` when the process ended instead.
    async fn answers(&self, process: &Mutex<Option<Process>>, url: &str) -> bool {
        until(url, || async {
            let ended = match locked(process).as_mut() {
                Some(process) => process.ended().is_some(),
                None => true,
            };
            if ended {
                // What it said last is read after its end.
                locked(process).take();
                return Some(false);
            }
            let answer = http::send(self.client.get(url)).await.ok()?;
            (answer.status == 200).then_some(true)
        })
        .await
    }

    /// `http://HOST:PORT` of the gateway.
    pub fn root(&self) -> String {
        format!("http://127.0.0.1:{}", self.addresses.gateway)
    }

    fn sandbox_root(&self) -> String {
        format!("http://127.0.0.1:{}", self.addresses.sandbox)
    }

    /// The API token: the configured one, or the one that the gateway made for itself.
    pub fn token(&self) -> String {
        if !self.setup.bare {
            return TOKEN.to_owned();
        }
        let kept = std::fs::read_to_string(self.folder.join("data/api-token"));
        kept.expect("the gateway keeps its token").trim().to_owned()
    }

    /// The folder that the gateway runs in; its data is in `data/`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.setup.binary
    }

    pub(crate) const fn log_handle(&self) -> &Log {
        &self.log
    }

    /// The chat backend.
    pub const fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The emulated platform of a channel.
    pub fn emulator(&self, channel: &str) -> Emulator {
        Emulator::new(self.client.clone(), self.sandbox_root(), channel)
    }

    /// A client for requests that are out of the ordinary.
    pub const fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Makes a request. `Err` when there is no answer.
    ///
    /// # Errors
    /// When the connection is refused or breaks.
    pub async fn try_send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, reqwest::Error> {
        http::send(request).await
    }

    /// Makes a request.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = self.try_send(request).await;
        answer.unwrap_or_else(|e| panic!("no answer ({e:?})\n{}", self.shown_log()))
    }

    /// Calls a function of the Web API, in JSON.
    pub async fn api(&self, function: &str, arguments: Value) -> Answer {
        let mut arguments = arguments;
        arguments["function"] = Value::from(function);
        let request = self.client.post(format!("{}/api", self.root()));
        self.send(request.bearer_auth(self.token()).json(&arguments))
            .await
    }

    /// The same as a form, the token among the fields, as the seeds' clients do.
    pub async fn form(&self, function: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token();
        let mut form = vec![("token", token.as_str()), ("function", function)];
        form.extend(fields);
        let request = self.client.post(format!("{}/include/api.php", self.root()));
        self.send(request.form(&form)).await
    }

    /// Sends a text to an address over a channel.
    pub async fn text(&self, channel: &str, to: &str, text: &str, more: Value) -> Answer {
        let mut arguments = more;
        for (name, value) in [("channel", channel), ("to", to), ("message", text)] {
            arguments[name] = Value::from(value);
        }
        self.api("messaging-platforms-send-message", arguments)
            .await
    }

    /// The same without waiting for the outcome; gives the message's id.
    pub async fn text_later(&self, channel: &str, to: &str, text: &str) -> String {
        let answer = self
            .text(channel, to, text, serde_json::json!({"wait": 0}))
            .await;
        assert!(matches!(answer.status, 200 | 202), "{}", answer.text());
        answer.word("message_id")
    }

    /// Gets a path, with the token.
    pub async fn get(&self, path: &str) -> Answer {
        let request = self.client.get(format!("{}{path}", self.root()));
        self.send(request.bearer_auth(self.token())).await
    }

    /// Posts JSON to a path, with the token.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let request = self.client.post(format!("{}{path}", self.root()));
        self.send(request.bearer_auth(self.token()).json(&body))
            .await
    }

    /// A message with its parts and attempts.
    pub async fn message(&self, id: &str) -> Value {
        let answer = self.get(&format!("/admin/messages/{id}")).await.expect(200);
        answer.response().clone()
    }

    /// Waits until a message has this status, and gives it.
    pub async fn message_when(&self, id: &str, status: &str) -> Value {
        until(&format!("message {id} to be {status}"), || async {
            Some(self.message(id).await).filter(|m| m["status"] == status)
        })
        .await
    }

    /// A lane as operators see it.
    ///
    /// # Panics
    /// When there is no such lane.
    pub async fn lane(&self, name: &str) -> Value {
        let lanes = self.get("/admin/lanes").await.expect(200);
        let lanes = lanes.response().as_array().cloned().unwrap_or_default();
        let lane = lanes.into_iter().find(|l| l["lane"] == name);
        lane.unwrap_or_else(|| panic!("no lane {name}"))
    }

    /// The dead letters.
    pub async fn dead(&self) -> Vec<Value> {
        let dead = self.get("/admin/dead").await.expect(200);
        dead.response().as_array().cloned().unwrap_or_default()
    }

    /// The value of a metric with these labels (`name{label="value"}`), 0 when it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").await.expect(200).text();
        let line = metrics
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.trim().parse().expect("a number"))
    }

    /// Waits until nothing is under way any more: no lane has anything that is due or waits for its
    /// time, and no webhook of a platform is still to be posted. (Messages scheduled for later, and
    /// those of paused lanes, are in no such place.)
    pub async fn quiet(&self) {
        until("quiet", || async {
            // What one look misses because it just moved on, the next one sees where it went.
            for _ in 0..2 {
                if !(self.hooks_are_posted().await && self.lanes_are_empty().await) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    async fn hooks_are_posted(&self) -> bool {
        let url = format!("{}/sandbox/accounts", self.sandbox_root());
        let accounts = self.send(self.client.get(url)).await.expect(200).json;
        let accounts = accounts.as_array().cloned().unwrap_or_default();
        accounts.iter().all(|a| a["hooks_waiting"] == 0)
    }

    async fn lanes_are_empty(&self) -> bool {
        let lanes = self.get("/admin/lanes").await.expect(200);
        let lanes = lanes.response().as_array().cloned().unwrap_or_default();
        lanes.iter().all(|lane| lane["depth"] == 0)
    }

    /// Ends the gateway as a power cut would.
    pub fn kill(&self) {
        let process = locked(&self.gateway).take();
        process.expect("the gateway runs").kill();
    }

    /// Sends the gateway a signal (`TERM`, `INT`).
    pub fn signal(&self, name: &str) {
        let gateway = locked(&self.gateway);
        gateway.as_ref().expect("the gateway runs").signal(name);
    }

    /// Waits for the gateway's end.
    pub fn wait_end(&self) -> ExitStatus {
        self.wait_end_within(DEADLINE)
    }

    /// The same with a deadline of its own.
    pub fn wait_end_within(&self, deadline: Duration) -> ExitStatus {
        let process = locked(&self.gateway).take();
        process.expect("the gateway runs").wait(deadline)
    }

    /// Starts the gateway again on the same data and ports.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn restart(&self) {
        assert!(locked(&self.gateway).is_none(), "the gateway runs");
        let started = self.start_gateway().await;
        assert!(
            started,
            "the gateway does not start again:\n{}",
            self.shown_log()
        );
    }

    /// Starts the gateway again, and waits only until it lives: what it needs may be away.
    ///
    /// # Panics
    /// When it does not live.
    pub async fn restart_unready(&self) {
        assert!(locked(&self.gateway).is_none(), "the gateway runs");
        self.spawn(&self.gateway, "gateway", &["serve"]);
        let url = format!("{}/healthz", self.root());
        assert!(
            self.answers(&self.gateway, &url).await,
            "{}",
            self.shown_log()
        );
    }

    /// Runs the binary beside the gateway, with the same configuration, to its end.
    pub async fn run(&self, arguments: &[&str]) -> Exit {
        self.run_with(arguments, &[]).await
    }

    /// The same with a further environment.
    pub async fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Exit {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("it runs").expect("the binary starts");
        let exit = Exit {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        for line in exit.stderr.lines() {
            self.log.push("beside", line);
        }
        exit
    }

    /// Announces error lines that hold this text: the test brings them about on purpose.
    pub fn announce_error(&self, part: &str) {
        locked(&self.announced).push(part.to_owned());
    }

    /// The log lines of all processes so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    pub(crate) fn shown_log(&self) -> String {
        let lines = self.log.lines();
        let from = lines.len().saturating_sub(SHOWN_LINES);
        lines.into_iter().skip(from).collect::<Vec<_>>().join("\n")
    }

    /// What speaks against the run.
    fn judgement(&self) -> Vec<String> {
        let announced = locked(&self.announced).clone();
        let mut charges = self.backend.complaints();
        for line in self.log.lines() {
            let error = line.contains(" ERROR ") && !announced.iter().any(|a| line.contains(a));
            if error {
                charges.push(format!("an error was logged: {line}"));
            }
            if line.contains("panicked at") {
                charges.push(format!("a panic: {line}"));
            }
            if self.setup.secrets.iter().any(|s| line.contains(s.as_str())) {
                charges.push(format!("a secret was logged: {line}"));
            }
        }
        charges
    }

    /// Whether a text holds a secret of this world.
    pub fn tells_a_secret(&self, text: &str) -> bool {
        self.setup.secrets.iter().any(|s| text.contains(s.as_str()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // First the end, so that all that was said is in the log.
        locked(&self.members).clear();
        locked(&self.gateway).take();
        locked(&self.emulators).take();
        if std::thread::panicking() {
            eprintln!("the last lines of the log:\n{}", self.shown_log());
        } else {
            let charges = self.judgement();
            assert!(charges.is_empty(), "{}", charges.join("\n"));
        }
        // What cannot be removed is in the system's folder for such things.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new folder among the system's temporary ones.
fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("switchboard-it-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}
