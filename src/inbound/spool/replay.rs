//! From the spool to the store, in order, as long as there is anything.

use super::frame;
use super::record::Record;
use super::state::{Position, Segment};
use super::{Command, Spool, SpoolError, Waiting};
use crate::store::StoreError;
use std::future::Future;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Records that are replayed together: enough for their commits to be shared.
const WINDOW_RECORDS: usize = 256;
/// Bytes that are read for them, unless one record is larger.
const WINDOW_BYTES: u64 = 4 * 1024 * 1024;
/// While the store does not answer it is asked again after so long, doubling, up to the second: a
/// database that comes back is seen at once, one that is gone for a day costs nothing.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
const AGAIN_MOST: Duration = Duration::from_secs(2);

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// What it carries is in the store.
    Done,
    /// It can never be: why, for a person.
    Hopeless(String),
}

/// Where records go.
pub trait Sink: Send + Sync {
    /// Takes records, in order; says what became of each once it is durable.
    ///
    /// # Errors
    /// When the store does not answer. Any of the records may be in it nevertheless, and all come
    /// again.
    fn take(
        &self,
        records: &[Record],
    ) -> impl Future<Output = Result<Vec<Verdict>, StoreError>> + Send;
}

impl Spool {
    /// Replays what comes, until it is told to stop. What is left then is replayed by the next
    /// process that opens the folder.
    pub async fn replay<S: Sink>(&self, sink: &S, stop: &CancellationToken) {
        let mut again = AGAIN_FIRST;
        let mut replayed: u64 = 0;
        while !stop.is_cancelled() {
            // Listened to before it is looked: what comes in between is not slept through.
            let came = self.came.notified();
            let wait = match self.window().await {
                Ok(window) if window.is_empty() => {
                    if replayed > 0 {
                        tracing::info!(replayed, "the spool is empty again");
                        replayed = 0;
                    }
                    None
                }
                Ok(window) => match self.replay_window(sink, &window).await {
                    Ok(()) => {
                        replayed += window.len() as u64;
                        again = AGAIN_FIRST;
                        continue;
                    }
                    Err(error) => {
                        if again == AGAIN_FIRST {
                            let waiting = self.stats().records;
                            tracing::warn!(%error, waiting, "the spool is not replayed yet");
                        }
                        Some(again)
                    }
                },
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be read");
                    Some(AGAIN_MOST)
                }
            };
            match wait {
                None => tokio::select! {
                    () = came => {}
                    () = stop.cancelled() => {}
                },
                Some(wait) => {
                    again = (again * 2).min(AGAIN_MOST);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
    }

    async fn replay_window<S: Sink>(&self, sink: &S, window: &[Waiting]) -> anyhow::Result<()> {
        let readable: Vec<Record> = window
            .iter()
            .filter_map(|w| w.record.clone().ok())
            .collect();
        let taken = sink.take(&readable).await;
        // Whoever comes while the store is known to be away need not wait for it.
        self.state().down = taken.is_err();
        let mut verdicts = taken?.into_iter();
        for waiting in window {
            let (verdict, channel) = match &waiting.record {
                Ok(record) => {
                    let verdict = verdicts.next();
                    let missing = || Verdict::Hopeless("nobody said what became of it".to_owned());
                    (verdict.unwrap_or_else(missing), record.channel())
                }
                Err(why) => (Verdict::Hopeless(why.clone()), ""),
            };
            if let Verdict::Hopeless(reason) = verdict {
                self.set_aside(waiting).await?;
                // It was acknowledged and is not in the store: somebody must see to it.
                tracing::error!(
                    channel.id = channel,
                    reason,
                    "a spooled webhook is set aside"
                );
            }
        }
        self.done(window).await?;
        Ok(())
    }

    /// The next records that wait; none when there are none.
    pub(super) async fn window(&self) -> Result<Vec<Waiting>, SpoolError> {
        let mut after = self.state().position;
        loop {
            let next = self.state().next(after);
            let Some((number, segment, from)) = next else {
                return Ok(Vec::new());
            };
            let folder = self.folder.clone();
            let read = tokio::task::spawn_blocking(move || read(&folder, number, segment, from));
            let window = read.await.map_err(|_broken| SpoolError::Ended)??;
            if let Some(first) = window.first() {
                if let Ok(record) = &first.record {
                    self.state().oldest = Some(record.request.received_at.0);
                }
                return Ok(window);
            }
            // Damage up to its end.
            after = Position {
                segment: number,
                offset: segment.length,
            };
        }
    }

    async fn set_aside(&self, waiting: &Waiting) -> Result<(), SpoolError> {
        let payload = waiting.payload.clone();
        self.tell(|reply| Command::Aside { payload, reply }).await?
    }

    /// Forgets the records of a window.
    pub(super) async fn done(&self, window: &[Waiting]) -> Result<(), SpoolError> {
        let Some(last) = window.last() else {
            return Ok(());
        };
        let upto = last.end;
        let channels = window
            .iter()
            .map(|w| {
                w.record
                    .as_ref()
                    .map(|r| r.channels.clone())
                    .unwrap_or_default()
            })
            .collect();
        self.tell(|reply| Command::Done {
            upto,
            channels,
            reply,
        })
        .await
    }
}

/// Reads records of a segment from a place in it.
fn read(
    folder: &Path,
    number: u64,
    segment: Segment,
    from: u64,
) -> Result<Vec<Waiting>, SpoolError> {
    let path: PathBuf = super::open::path(folder, number, super::open::SEGMENT);
    let failed = |e: std::io::Error| SpoolError::disk(&path, &e);
    let mut file = std::fs::File::open(&path).map_err(failed)?;
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    let left = segment.length.saturating_sub(from);
    let mut bytes = Vec::new();
    let mut file = file.take(left.min(WINDOW_BYTES));
    file.read_to_end(&mut bytes).map_err(failed)?;
    let mut scan = frame::scan(&bytes, segment.marker, 0);
    if scan.payloads.is_empty() && left > WINDOW_BYTES {
        // One record that is larger, or damage.
        file.set_limit(left - WINDOW_BYTES);
        file.read_to_end(&mut bytes).map_err(failed)?;
        scan = frame::scan(&bytes, segment.marker, 0);
    }
    Ok(scan
        .payloads
        .into_iter()
        .take(WINDOW_RECORDS)
        .map(|range| {
            let end = Position {
                segment: number,
                offset: from + range.end as u64,
            };
            let payload = bytes.get(range).unwrap_or_default().to_vec();
            Waiting {
                record: Record::decode(&payload),
                payload,
                end,
            }
        })
        .collect())
}
