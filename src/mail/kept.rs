//! Raw mails, kept as they were fetched: attachments are cut out of them later.

use crate::media::files::Files;
use async_trait::async_trait;
use bytes::Bytes;
use switchboard_channels::kit::mail::Kept;

/// Keys of kept mails begin with this, so that they never meet those of attachments.
pub const PREFIX: &str = "mail/";

/// Raw mails, as they were fetched.
pub struct Mails(Files);

impl Mails {
    /// Keeps them here, a directory of their own.
    pub const fn new(files: Files) -> Self {
        Self(files)
    }

    /// Keeps a mail: when this returns, it is on disk.
    ///
    /// # Errors
    /// What the system says.
    pub async fn put(&self, key: &str, mail: Bytes) -> std::io::Result<()> {
        self.0.put(name(key), mail).await
    }

    /// Erases a mail; one that is not there is no error.
    ///
    /// # Errors
    /// What the system says.
    pub async fn remove(&self, key: &str) -> std::io::Result<()> {
        self.0.remove(name(key)).await
    }
}

/// Whether a key names a kept mail, and not an attachment.
pub fn is_mail(key: &str) -> bool {
    key.starts_with(PREFIX)
}

fn name(key: &str) -> &str {
    key.strip_prefix(PREFIX).unwrap_or(key)
}

#[async_trait]
impl Kept for Mails {
    async fn kept(&self, key: &str) -> Result<Option<Bytes>, String> {
        match self.0.get(name(key)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn mails_are_kept_apart_from_attachments() {
        let root = std::env::temp_dir().join(format!("sb-mails-{}", uuid::Uuid::new_v4()));
        let mails = Mails::new(Files::new(&root));
        let key = format!("{PREFIX}0a1b2c");
        assert!(is_mail(&key) && !is_mail("0a1b2c"));
        assert_eq!(mails.kept(&key).await, Ok(None));
        mails
            .put(&key, Bytes::from_static(b"Subject: a"))
            .await
            .unwrap();
        assert_eq!(
            mails.kept(&key).await,
            Ok(Some(Bytes::from_static(b"Subject: a")))
        );
        mails.remove(&key).await.unwrap();
        mails.remove(&key).await.unwrap();
        assert_eq!(mails.kept(&key).await, Ok(None));
        mails.kept("mail/../../etc/passwd").await.unwrap_err();
        std::fs::remove_dir_all(root).unwrap();
    }
}
