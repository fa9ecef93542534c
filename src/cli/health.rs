//! `switchboard health`: asks the running process how it is, for the health checks of containers,
//! which have no other client.

use super::Outcome;
use super::client::Service;
use super::output::Output;
use crate::config::Sources;
use std::time::Duration;

/// A process that is well answers within milliseconds; one that does not within this is not well.
const TIMEOUT: Duration = Duration::from_millis(2500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Asks whether store and queue answer, too
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    service: Service,
}

pub(super) fn run(sources: &Sources, args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let client = args.service.client(sources, TIMEOUT)?;
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let (status, body) = super::block_on(client.look(client.get(path)))?;
    output.line(body)?;
    Ok(if status == 200 {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}
