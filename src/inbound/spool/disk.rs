//! What the writer asks of a disk, so that tests can have one that fails.

use std::fs::File;
use std::io::{self, Write};

/// Writing and flushing.
pub(super) trait Medium: Send + Sync {
    /// Writes all of it, or fails after any part of it.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;

    /// Flushes what was written.
    fn flush(&self, file: &File) -> io::Result<()>;
}

/// The real one.
pub(super) struct Disk;

impl Medium for Disk {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}
