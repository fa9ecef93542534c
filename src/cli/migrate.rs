//! `switchboard migrate`: brings the store to the current schema.

use super::Outcome;
use super::output::Output;
use crate::app;
use crate::config::Sources;

pub(super) fn run(sources: &Sources, output: &mut Output) -> anyhow::Result<Outcome> {
    let config = super::start(sources)?;
    let done = super::block_on(app::migrate(&config))?;
    output.line(done)?;
    Ok(Outcome::Done)
}
