//! `switchboard serve`: runs the service.

use super::Outcome;
use crate::app::{self, ServeOptions};
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

pub(super) fn run(sources: &Sources, args: Args) -> anyhow::Result<Outcome> {
    let config = super::load(sources)?;
    let roles = args.roles();
    config.check_roles(&roles)?;
    config.check_channels(&args.channels)?;
    crate::telemetry::init(&config.log)?;
    let options = ServeOptions {
        roles,
        channels: args.channels,
    };
    super::block_on(app::serve(config, options))?;
    Ok(Outcome::Done)
}
