//! Files that one process at a time may hold.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A process that is ending still has its lock, and one that is being started from within this one has
/// all of ours until it has become another program: both for milliseconds. Whoever has it longer is there
/// to stay.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Takes the lock, which is held until the file is closed. `None`: another process has it.
///
/// # Errors
/// When the file cannot be made or opened.
pub fn take(path: &Path) -> io::Result<Option<File>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => thread::sleep(LOOK),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_leaving_is_waited_for_and_who_stays_is_not() {
        let name = format!("sb-lock-{}", uuid::Uuid::new_v4());
        let path = std::env::temp_dir().join(name);
        let held = take(&path).unwrap().unwrap();
        assert!(take(&path).unwrap().is_none());
        let leaving = thread::spawn(move || {
            thread::sleep(LOOK * 5);
            drop(held);
        });
        assert!(take(&path).unwrap().is_some());
        leaving.join().unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
