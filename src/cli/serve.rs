//! `switchboard serve`: runs the service.

use super::Outcome;
use super::output::Output;
use crate::app::{self, Ready, ServeOptions};
use crate::config::{Role, Sources};

#[derive(Debug, Default, clap::Args)]
pub(super) struct Args {
    /// What this process does; may be repeated [default: everything]
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<Role>,
    /// The channels whose lanes this process works [default: all]
    #[arg(long, value_name = "ID,ID", value_delimiter = ',')]
    channels: Vec<String>,
}

impl Args {
    /// The roles, each once, in their own order; all when none is named.
    pub(super) fn roles(&self) -> Vec<Role> {
        let named = |role: &Role| self.roles.is_empty() || self.roles.contains(role);
        Role::ALL.into_iter().filter(named).collect()
    }
}

pub(super) fn run(sources: &Sources, args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let config = super::load(sources)?;
    let roles = args.roles();
    config.check_roles(&roles)?;
    config.check_channels(&args.channels)?;
    crate::telemetry::init(&config.log)?;
    let options = ServeOptions {
        roles,
        channels: args.channels,
    };
    let mut printed = Ok(());
    super::block_on(app::serve(config, options, |ready| {
        printed = print(ready, output)
    }))?;
    printed?;
    Ok(Outcome::Done)
}

/// What a newcomer needs to go on: where it listens, the token, how to send and to receive.
fn print(ready: &Ready, output: &mut Output) -> anyhow::Result<()> {
    output.line(format!("Switchboard listens on {}", ready.listen))?;
    let channels: Vec<&str> = ready.channels.iter().map(|(id, _)| id.as_str()).collect();
    output.line(format!("Channels: {}", channels.join(", ")))?;
    if let Some((token, file)) = &ready.token {
        output.line(format!("API token (kept in {}): {token}", file.display()))?;
    }
    if let Some(sandbox) = &ready.sandbox {
        output.line(format!("Emulated phones: {sandbox}"))?;
    }
    Ok(())
}
