//! Where the bytes are kept: one file per attachment in a directory, named by its key.

use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};

/// Characters of a key that name the sub-directory: 256 of them keep each listing short.
const FAN_OUT: usize = 2;

/// A directory of attachments.
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// Keeps files under this directory, which is made when the first one comes.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, key: &str) -> io::Result<PathBuf> {
        let safe = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric());
        let fan = key.get(..FAN_OUT).filter(|_| safe);
        let fan = fan.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "bad key"))?;
        Ok(self.root.join(fan).join(key))
    }

    /// Writes a file whole: it is there with all of its bytes on disk, or not at all.
    ///
    /// # Errors
    /// What the system says; a half-written file is left under another name and overwritten by the
    /// next try.
    pub async fn put(&self, key: &str, bytes: Bytes) -> io::Result<()> {
        let path = self.path(key)?;
        let written = tokio::task::spawn_blocking(move || write_whole(&path, &bytes));
        written.await.map_err(io::Error::other)?
    }

    /// Reads a file.
    ///
    /// # Errors
    /// What the system says; `NotFound` when it was never kept or was erased.
    pub async fn get(&self, key: &str) -> io::Result<Bytes> {
        tokio::fs::read(self.path(key)?).await.map(Bytes::from)
    }

    /// Erases a file; one that is not there is no error.
    ///
    /// # Errors
    /// What the system says.
    pub async fn remove(&self, key: &str) -> io::Result<()> {
        match tokio::fs::remove_file(self.path(key)?).await {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let folder = path.parent().ok_or_else(|| io::Error::other("no folder"))?;
    std::fs::create_dir_all(folder)?;
    let half = path.with_extension("part");
    let mut file = std::fs::File::create(&half)?;
    file.write_all(bytes)?;
    // The row says "stored" after this returns, so the bytes must be there after a power cut too.
    file.sync_all()?;
    std::fs::rename(&half, path)?;
    // The name is of the folder, which has its own place on disk.
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn puts_gets_and_removes() {
        let root = std::env::temp_dir().join(format!("sb-files-{}", uuid::Uuid::new_v4()));
        let files = Files::new(&root);
        files
            .put("abc123", Bytes::from_static(b"hello"))
            .await
            .unwrap();
        assert_eq!(files.get("abc123").await.unwrap(), "hello");
        files.remove("abc123").await.unwrap();
        files.remove("abc123").await.unwrap();
        assert_eq!(
            files.get("abc123").await.unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        for bad in ["", "../x", "a/b", "a"] {
            assert_eq!(
                files.get(bad).await.unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
