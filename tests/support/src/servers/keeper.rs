//! A server's process that does not outlive the tests, however they end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Starts the server in the background, says its process id, and kills it when the pipe from us
/// closes: even a test binary that is killed itself, or that keeps its server in a static, leaves
/// nothing behind.
const SCRIPT: &str =
    r#"exec 3<&0; "$@" <&- >&2 & pid=$!; echo "$pid"; cat <&3 >/dev/null; kill -9 "$pid"; wait"#;

/// A server's process.
pub(crate) struct Keeper {
    shell: Child,
    pid: u32,
}

impl Keeper {
    /// Starts a program in a folder; what it says goes to `server.log` there.
    ///
    /// # Panics
    /// When it cannot be started.
    pub(crate) fn start(program: &str, arguments: &[String], folder: &Path) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join("server.log"))
            .expect("a log can be written");
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh", program])
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("sh runs");
        let mut line = String::new();
        let said = shell.stdout.take().expect("a pipe");
        BufReader::new(said)
            .read_line(&mut line)
            .expect("the shell says the process id");
        let pid = line.trim().parse().expect("a process id");
        Self { shell, pid }
    }

    /// Sends a signal by its name (`KILL`, `STOP`, `CONT`, `TERM`). `false`: it is gone already.
    pub(crate) fn signal(&self, name: &str) -> bool {
        Command::new("sh")
            .args(["-c", &format!("kill -{name} {} 2>/dev/null", self.pid)])
            .status()
            .expect("sh runs")
            .success()
    }

    /// Ends it at once, as a power cut would, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.shell.stdin.take());
        // The shell ends when its server has.
        self.shell.wait().ok();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}

/// A new folder among the system's temporary ones.
pub(crate) fn folder(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("switchboard-{name}-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}
