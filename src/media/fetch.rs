//! A channel's media lane: fetches announced attachments, keeps them, tells the message.

use crate::gateway::{Gateway, LiveChannel};
use crate::outbound::lanes::Work;
use crate::outbound::policy;
use crate::queue::{Due, Lease, Priority};
use crate::store::at_once;
use crate::store::media_rows::{self, Fetched, MediaRow};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::{Class, SendError};
use tokio_util::sync::CancellationToken;

/// Attachments are tried for a day: the platforms keep them at least that long.
const GIVE_UP_MS: i64 = 86_400_000;
/// While store or directory cannot be written, the fetch is repeated after so long.
const STORE_RETRY: Duration = Duration::from_secs(2);
/// Names are shown and used as file names: longer ones are cut.
const NAME_MAX_CHARS: usize = 150;

/// The work of a media lane.
pub struct MediaWork {
    /// The service.
    pub gateway: Arc<Gateway>,
    /// The channel.
    pub live: Arc<LiveChannel>,
}

#[async_trait]
impl Work for MediaWork {
    async fn turn(&self, lease: Lease, _stop: &CancellationToken) -> Option<Due> {
        let id = lease.group;
        let loaded = self
            .gateway
            .store
            .read(move |tx| at_once(media_rows::by_id(tx, id)))
            .await;
        let row = match loaded {
            Ok(Some(row)) if row.state == "pending" => row,
            Ok(_) => return None,
            Err(error) => {
                tracing::error!(%error, "an attachment's row cannot be read");
                return Some(Due::after(id, STORE_RETRY, Priority::Normal));
            }
        };
        match self
            .live
            .channel
            .fetch_media(&row.source, &self.gateway.ctx())
            .await
        {
            Ok(media) => self.keep(row, media).await,
            Err(error) => self.failed(row, error).await,
        }
    }
}

impl MediaWork {
    async fn keep(&self, row: MediaRow, media: switchboard_channels::model::Media) -> Option<Due> {
        let size = media.bytes.len();
        if let Err(error) = self.gateway.files.put(&row.key, media.bytes).await {
            tracing::error!(media.id = row.id, %error, "an attachment cannot be kept");
            return Some(Due::after(row.id, STORE_RETRY, Priority::Normal));
        }
        let name = media.name.filter(|n| !n.is_empty() && row.name.is_empty());
        let fetched = Fetched {
            id: row.id,
            // What the platform announced beats what its file server calls it, which is often
            // `application/octet-stream`.
            mime: row.mime.or(media.mime),
            name: clean_name(&name.unwrap_or(row.name)),
            size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
        };
        let id = row.id;
        let written = self
            .gateway
            .store
            .write(move |tx, unit| at_once(media_rows::stored(tx, unit, &fetched)))
            .await;
        match written {
            Ok(((), wakes)) => {
                self.gateway.wake(wakes).await;
                None
            }
            Err(error) => {
                tracing::error!(media.id = id, %error, "a kept attachment is not recorded");
                Some(Due::after(id, STORE_RETRY, Priority::Normal))
            }
        }
    }

    async fn failed(&self, row: MediaRow, error: SendError) -> Option<Due> {
        let now = crate::store::now();
        let again = match error.class {
            Class::Retry | Class::Unsure | Class::Credentials | Class::Limited { .. } => true,
            Class::Recipient | Class::Window | Class::Content | Class::Setup { .. } => false,
        };
        let wait = match error.class {
            Class::Limited {
                after: Some(after), ..
            } => after,
            _ => {
                let failures = u32::try_from(row.failures).unwrap_or(u32::MAX);
                policy::delay(&self.gateway.limits.schedule, failures, rand::random())
            }
        };
        let next_at = now.plus(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        let again = again && next_at.since(row.created_at) < GIVE_UP_MS;
        tracing::warn!(media.id = row.id, %error, again, "an attachment was not fetched");
        let (id, text) = (row.id, error.to_string());
        let written = self
            .gateway
            .store
            .write(move |tx, unit| {
                at_once(media_rows::failed(
                    tx,
                    unit,
                    id,
                    &text,
                    again.then_some(next_at),
                ))
            })
            .await;
        if let Err(error) = written {
            tracing::error!(media.id = id, %error, "a failed fetch is not recorded");
        }
        again.then(|| Due::retry(id, wait, Priority::Normal))
    }
}

/// A file name without paths and control characters.
fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last
        .chars()
        .filter(|c| !c.is_control())
        .take(NAME_MAX_CHARS)
        .collect();
    let clean = clean.trim().trim_start_matches('.').to_owned();
    if clean.is_empty() {
        "file".to_owned()
    } else {
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::clean_name;

    #[test]
    fn names_lose_paths_and_control_characters() {
        for (name, clean) in [
            ("a.pdf", "a.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\y.txt", "y.txt"),
            ("a\r\nb.txt", "ab.txt"),
            ("..", "file"),
            ("", "file"),
            (".htaccess", "htaccess"),
        ] {
            assert_eq!(clean_name(name), clean, "{name:?}");
        }
    }
}
