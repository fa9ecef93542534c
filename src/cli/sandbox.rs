//! `switchboard sandbox`: the platform emulators alone.

use super::Outcome;
use crate::app;
use crate::config::Sources;

pub(super) fn run(sources: &Sources) -> anyhow::Result<Outcome> {
    let config = super::start(sources)?;
    super::block_on(app::sandbox(config))?;
    Ok(Outcome::Done)
}
