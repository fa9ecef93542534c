//! The spool over folders of its own, with a store that is away when the test says so.

mod faults;
mod format;
mod model;

use super::replay::{Sink, Verdict};
use super::*;
use crate::store::StoreError;
use std::sync::atomic::{AtomicBool, Ordering};
use switchboard_channels::kit::http::{Headers, Inbound, Method, Via};
use switchboard_channels::model::Millis;
use tokio_util::sync::CancellationToken;

/// Room enough for every test that is not about room.
const ROOM: u64 = 64 * 1024 * 1024;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("sb-spool-{}", uuid::Uuid::new_v4());
        Self(std::env::temp_dir().join(name))
    }

    fn open(&self) -> (Spool, Repair) {
        Spool::open(&self.0, ROOM).unwrap()
    }

    /// The files with this extension, in order.
    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
        files.retain(|p| p.extension().is_some_and(|e| e == extension));
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A webhook of this channel.
fn record(channel: &str, body: impl Into<String>) -> Record {
    Record {
        channels: vec![channel.to_owned()],
        request: Inbound {
            via: Via::Web,
            method: Method::Post,
            url: format!("https://gateway.example.com/webhooks/{channel}?a=1"),
            query: "a=1".to_owned(),
            headers: Headers::default()
                .with("X-Signature", "abc")
                .with("x-two", "ü"),
            body: body.into().into_bytes().into(),
            received_at: Millis(1_800_000_000_000),
        },
    }
}

fn body(record: &Record) -> String {
    String::from_utf8(record.request.body.to_vec()).unwrap()
}

/// A store that notes what it takes.
#[derive(Default)]
struct Notes {
    away: AtomicBool,
    taken: Mutex<Vec<String>>,
}

impl Notes {
    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

impl Sink for Notes {
    async fn take(&self, records: &[Record]) -> Result<Vec<Verdict>, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("it is away".to_owned()));
        }
        let verdict = |record: &Record| {
            let body = body(record);
            if body.starts_with("hopeless") {
                return Verdict::Hopeless("its secret has changed".to_owned());
            }
            self.taken.lock().unwrap().push(body);
            Verdict::Done
        };
        Ok(records.iter().map(verdict).collect())
    }
}

/// Replays until nothing waits.
async fn drain(spool: &Spool, sink: &Notes) {
    let stop = CancellationToken::new();
    let empty = async {
        while spool.stats().records > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        stop.cancel();
    };
    tokio::join!(spool.replay(sink, &stop), empty);
}

#[tokio::test]
async fn what_is_kept_comes_back_byte_for_byte_and_in_order() {
    let folder = Folder::new();
    let (spool, repair) = folder.open();
    assert_eq!(repair, Repair::default());
    for n in 0..10 {
        spool
            .append(&record("bot", format!("body {n} \u{0} {}", "é".repeat(n))))
            .await
            .unwrap();
    }
    assert_eq!(spool.stats().records, 10);
    let window = spool.window().await.unwrap();
    for (n, waiting) in window.iter().enumerate() {
        let (found, wanted) = (
            waiting.record.as_ref().unwrap(),
            record("bot", format!("body {n} \u{0} {}", "é".repeat(n))),
        );
        assert_eq!(found.channels, wanted.channels);
        assert_eq!(found.request.body, wanted.request.body);
        assert_eq!(found.request.headers, wanted.request.headers);
        assert_eq!(
            (&found.request.url, &found.request.query),
            (&wanted.request.url, &wanted.request.query)
        );
        assert_eq!(found.request.received_at, wanted.request.received_at);
    }
    assert_eq!(window.len(), 10);
}

#[tokio::test]
async fn a_channel_queues_behind_its_records_until_they_are_replayed() {
    let folder = Folder::new();
    let (spool, _) = folder.open();
    assert!(!spool.behind(["bot"]));
    let mut two = record("bot", "one");
    two.channels.push("other".to_owned());
    spool.append(&two).await.unwrap();
    assert!(spool.behind(["bot"]) && spool.behind(["other"]) && spool.behind(["x", "bot"]));
    assert!(!spool.behind(["third"]));
    let notes = Notes::default();
    drain(&spool, &notes).await;
    assert!(!spool.behind(["bot"]) && !spool.behind(["other"]));
    assert_eq!(notes.taken(), ["one"]);
    assert_eq!(spool.stats(), Stats::default());
    assert!(
        folder.files("spool").is_empty(),
        "what is replayed is removed"
    );
}

#[tokio::test]
async fn while_the_store_is_known_to_be_away_every_channel_queues() {
    let folder = Folder::new();
    let (spool, _) = folder.open();
    let notes = Notes::default();
    notes.away.store(true, Ordering::SeqCst);
    spool.append(&record("bot", "one")).await.unwrap();
    let stop = CancellationToken::new();
    let test = async {
        while !spool.behind(["another"]) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        spool.append(&record("another", "two")).await.unwrap();
        assert_eq!(notes.taken(), [""; 0]);
        notes.away.store(false, Ordering::SeqCst);
        while spool.stats().records > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert!(!spool.behind(["another"]));
        stop.cancel();
    };
    tokio::join!(spool.replay(&notes, &stop), test);
    assert_eq!(notes.taken(), ["one", "two"]);
}

#[tokio::test]
async fn what_waits_and_what_is_replayed_survive_a_restart() {
    let folder = Folder::new();
    let notes = Notes::default();
    let (spool, _) = folder.open();
    for n in 0..5 {
        spool.append(&record("bot", format!("{n}"))).await.unwrap();
    }
    // Two are replayed; the process ends.
    let window = spool.window().await.unwrap();
    spool.done(window.get(..2).unwrap()).await.unwrap();
    drop(spool);
    let (spool, repair) = folder.open();
    assert_eq!(
        repair,
        Repair {
            records: 3,
            ..Repair::default()
        }
    );
    assert!(spool.behind(["bot"]));
    // New ones go behind the old ones, into a segment of this process.
    spool.append(&record("bot", "5")).await.unwrap();
    drain(&spool, &notes).await;
    assert_eq!(notes.taken(), ["2", "3", "4", "5"]);
    drop(spool);
    assert_eq!(folder.open().1, Repair::default());
}

#[tokio::test]
async fn without_its_position_everything_is_replayed_again() {
    let folder = Folder::new();
    let (spool, _) = folder.open();
    for n in 0..3 {
        spool.append(&record("bot", format!("{n}"))).await.unwrap();
    }
    let window = spool.window().await.unwrap();
    spool.done(window.get(..1).unwrap()).await.unwrap();
    drop(spool);
    let position = folder.0.join("position");
    let mut bytes = std::fs::read(&position).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&position, bytes).unwrap();
    let (spool, repair) = folder.open();
    assert_eq!(repair.records, 3);
    let notes = Notes::default();
    drain(&spool, &notes).await;
    assert_eq!(notes.taken(), ["0", "1", "2"]);
}

#[tokio::test]
async fn what_cannot_be_replayed_is_set_aside_and_tried_again_at_the_next_start() {
    let folder = Folder::new();
    let notes = Notes::default();
    let (spool, _) = folder.open();
    for text in ["one", "hopeless", "two"] {
        spool.append(&record("bot", text)).await.unwrap();
    }
    drain(&spool, &notes).await;
    assert_eq!(notes.taken(), ["one", "two"]);
    let stats = spool.stats();
    assert_eq!((stats.records, stats.aside), (0, 1));
    assert!(stats.bytes > 0);
    drop(spool);
    let (spool, repair) = folder.open();
    assert_eq!(
        repair,
        Repair {
            records: 1,
            again: 1,
            ..Repair::default()
        }
    );
    let window = spool.window().await.unwrap();
    assert_eq!(body(window[0].record.as_ref().unwrap()), "hopeless");
    drain(&spool, &notes).await;
    assert_eq!((spool.stats().records, spool.stats().aside), (0, 1));
    assert_eq!(folder.files("aside").len(), 1);
}

#[tokio::test]
async fn segments_are_closed_at_their_size_and_removed_one_by_one() {
    let folder = Folder::new();
    let (spool, _) = Spool::open(&folder.0, 80_000).unwrap();
    for n in 0..20 {
        spool
            .append(&record("bot", format!("{n:02}{}", "x".repeat(3000))))
            .await
            .unwrap();
    }
    let segments = folder.files("spool").len();
    assert!(segments >= 5, "{segments} segments");
    for left in (0..20).rev() {
        let window = spool.window().await.unwrap();
        let expected = format!("{:02}", 19 - left);
        assert!(body(window[0].record.as_ref().unwrap()).starts_with(&expected));
        spool.done(window.get(..1).unwrap()).await.unwrap();
        assert_eq!(spool.stats().records, left);
    }
    assert!(folder.files("spool").is_empty());
    assert_eq!(spool.stats().bytes, 0);
}

#[tokio::test]
async fn a_record_larger_than_what_is_read_at_once_is_replayed() {
    let folder = Folder::new();
    let (spool, _) = folder.open();
    let large = "y".repeat(5 * 1024 * 1024);
    spool.append(&record("bot", large.clone())).await.unwrap();
    spool.append(&record("bot", "small")).await.unwrap();
    let notes = Notes::default();
    drain(&spool, &notes).await;
    assert!(notes.taken() == [large, "small".to_owned()]);
}

#[tokio::test]
async fn one_process_at_a_time() {
    let folder = Folder::new();
    let (spool, _) = folder.open();
    let second = Spool::open(&folder.0, ROOM).err().unwrap();
    assert!(
        matches!(&second, SpoolError::Locked(path) if *path == folder.0),
        "{second}"
    );
    drop(spool);
    folder.open();
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let (spool, _) = folder.open();
    spool.append(&record("bot", "private")).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.0), 0o700);
    assert_eq!(mode(&folder.files("spool")[0]), 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_kept() {
    let folder = Folder::new();
    let (spool, _) = folder.open();
    let spool = Arc::new(spool);
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let spool = Arc::clone(&spool);
            tokio::spawn(async move { spool.append(&record("bot", format!("{n}"))).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let notes = Notes::default();
    drain(&spool, &notes).await;
    let mut taken: Vec<u32> = notes.taken().iter().map(|t| t.parse().unwrap()).collect();
    taken.sort_unstable();
    assert_eq!(taken, (0..500).collect::<Vec<_>>());
}
