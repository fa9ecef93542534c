//! `[spool]`: where webhooks wait while a store in another place does not answer.

use super::value;
use serde::Deserialize;
use std::path::PathBuf;

/// `[spool]`. The embedded store has none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolConfig {
    /// The folder, on a disk that outlives the process. Each process has its own.
    pub path: PathBuf,
    /// The most bytes of it, beyond which webhooks get 503.
    // Below a MiB a single webhook of Meta would not fit; a TiB is more than a day of any platform.
    #[serde(deserialize_with = "value::whole::<_, _, 1_048_576, 1_099_511_627_776>")]
    pub max_bytes: u64,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("data/spool"),
            max_bytes: 1_073_741_824,
        }
    }
}
