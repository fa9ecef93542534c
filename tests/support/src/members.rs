//! Further processes of a world, beside the gateway that it begins with: other roles, other versions,
//! on the same store and queue.

use crate::process::{self, Process};
use crate::world::{World, locked};
use crate::{DEADLINE, http, ports, until};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// A process beside the gateway.
pub(crate) struct Member {
    process: Process,
    port: u16,
}

impl World {
    /// Starts another process of the same configuration with these arguments of `serve`, and waits
    /// until it lives. It listens on a port of its own and has a spool of its own, both of which it
    /// gets again under the same name.
    ///
    /// # Panics
    /// When it does not start, or one of this name runs.
    pub async fn join(&self, name: &'static str, arguments: &[&str]) {
        let binary = self.binary().to_owned();
        self.join_with(name, &binary, arguments, &[]).await;
    }

    /// The same with another binary or a further environment.
    ///
    /// # Panics
    /// When it does not start, or one of this name runs.
    pub async fn join_with(
        &self,
        name: &'static str,
        binary: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) {
        assert!(!locked(&self.members).contains_key(name), "{name} runs");
        let port = ports::free();
        let mut command = process::command(binary, self.folder());
        command
            .arg("--config")
            .arg(self.config_file())
            .arg("serve")
            .args(arguments)
            .env("SWITCHBOARD__SERVER__LISTEN", format!("127.0.0.1:{port}"))
            .env("SWITCHBOARD__SPOOL__PATH", self.spool_of(name))
            .envs(environment.iter().copied());
        let process = Process::start(command, name, self.log_handle());
        locked(&self.members).insert(name, Member { process, port });
        let url = format!("{}/healthz", self.root_of(name));
        until(&format!("{name} to live"), || async {
            let ended = match locked(&self.members).get_mut(name) {
                Some(member) => member.process.ended(),
                None => None,
            };
            assert!(
                ended.is_none(),
                "{name} ended: {ended:?}\n{}",
                self.shown_log()
            );
            let answer = http::send(self.client().get(&url)).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// The folder of a member's spool.
    pub fn spool_of(&self, name: &str) -> PathBuf {
        self.folder().join(format!("data/spool-{name}"))
    }

    /// `http://HOST:PORT` of a member.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn root_of(&self, name: &str) -> String {
        let members = locked(&self.members);
        let member = members.get(name);
        let member = member.unwrap_or_else(|| panic!("there is no {name}"));
        format!("http://127.0.0.1:{}", member.port)
    }

    /// Ends a member as a power cut would.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn kill_of(&self, name: &str) {
        let member = locked(&self.members).remove(name);
        member.expect("the member runs").process.kill();
    }

    /// Sends a member a signal (`TERM`, `STOP`, `CONT`).
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn signal_of(&self, name: &str, signal: &str) {
        let members = locked(&self.members);
        members
            .get(name)
            .expect("the member runs")
            .process
            .signal(signal);
    }

    /// Waits for a member's end.
    ///
    /// # Panics
    /// When there is none of this name, or it does not end.
    pub fn wait_end_of(&self, name: &str) -> ExitStatus {
        let member = locked(&self.members).remove(name);
        member.expect("the member runs").process.wait(DEADLINE)
    }
}
