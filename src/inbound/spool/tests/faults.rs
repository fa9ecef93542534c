//! Disks that fail, are full, or were torn and damaged: 503 instead of a promise, and a report.

use super::*;
use crate::inbound::spool::disk::Medium;
use std::io::{self, Write};

/// A disk that writes half of what it is given and fails, or fails to flush.
#[derive(Default)]
struct Bad {
    write: AtomicBool,
    flush: AtomicBool,
}

impl Medium for Bad {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if self.write.load(Ordering::SeqCst) {
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all(bytes)
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        if self.flush.load(Ordering::SeqCst) {
            return Err(io::Error::other("the flush failed"));
        }
        file.sync_data()
    }
}

#[tokio::test]
async fn what_a_failing_disk_does_not_keep_is_refused_and_the_rest_survives() {
    let folder = Folder::new();
    let bad = Arc::new(Bad::default());
    let (spool, _) = Spool::open_on(&folder.0, ROOM, Arc::<Bad>::clone(&bad)).unwrap();
    spool.append(&record("bot", "one")).await.unwrap();
    for fault in [&bad.write, &bad.flush] {
        fault.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let refused = spool.append(&record("bot", "refused")).await.unwrap_err();
            assert!(matches!(refused, SpoolError::Disk { .. }), "{refused}");
        }
        assert!(spool.stats().refused.is_some());
        fault.store(false, Ordering::SeqCst);
        spool.append(&record("bot", "kept")).await.unwrap();
        assert_eq!(spool.stats().refused, None);
    }
    assert_eq!(spool.stats().records, 3);
    drop(spool);
    let (spool, repair) = folder.open();
    assert_eq!(
        repair,
        Repair {
            records: 3,
            ..Repair::default()
        }
    );
    let notes = Notes::default();
    drain(&spool, &notes).await;
    assert_eq!(notes.taken(), ["one", "kept", "kept"]);
}

#[tokio::test]
async fn a_full_spool_refuses_and_takes_again_when_there_is_room() {
    let folder = Folder::new();
    let (spool, _) = Spool::open(&folder.0, 20_000).unwrap();
    let mut kept = Vec::new();
    let full = loop {
        let text = format!("{:02}{}", kept.len(), "x".repeat(1000));
        match spool.append(&record("bot", text.clone())).await {
            Ok(()) => kept.push(text),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(full, SpoolError::Full { most: 20_000, .. }),
        "{full}"
    );
    assert!(kept.len() > 10, "{}", kept.len());
    assert!(spool.stats().bytes <= 20_000);
    let notes = Notes::default();
    drain(&spool, &notes).await;
    assert!(notes.taken() == kept);
    spool.append(&record("bot", "room again")).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_gone_takes_nothing() {
    let folder = Folder::new();
    let (spool, _) = folder.open();
    std::fs::remove_dir_all(&folder.0).unwrap();
    let refused = spool.append(&record("bot", "one")).await.unwrap_err();
    assert!(matches!(refused, SpoolError::Disk { .. }), "{refused}");
    assert_eq!(spool.stats().records, 0);
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_and_reported() {
    let folder = Folder::new();
    let (spool, _) = folder.open();
    for text in ["one", "two", "three"] {
        spool.append(&record("bot", text)).await.unwrap();
    }
    drop(spool);
    let file = folder.files("spool").remove(0);
    let length = std::fs::metadata(&file).unwrap().len();
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(length - 3)
        .unwrap();
    let (spool, repair) = folder.open();
    assert_eq!((repair.records, repair.damaged_bytes), (2, 0));
    assert!(repair.torn_bytes > 0);
    spool.append(&record("bot", "four")).await.unwrap();
    let notes = Notes::default();
    drain(&spool, &notes).await;
    assert_eq!(notes.taken(), ["one", "two", "four"]);
    drop(spool);
    assert_eq!(folder.open().1, Repair::default());
}

#[tokio::test]
async fn damage_in_the_middle_costs_what_it_hit_and_the_bytes_are_kept() {
    let folder = Folder::new();
    let (spool, _) = folder.open();
    for text in ["one", "second", "three"] {
        spool.append(&record("bot", text)).await.unwrap();
    }
    drop(spool);
    let file = folder.files("spool").remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(6).position(|w| w == b"second").unwrap();
    bytes[at] ^= 0x40;
    std::fs::write(&file, &bytes).unwrap();
    for _restart in 0..2 {
        let (_, repair) = folder.open();
        assert_eq!((repair.records, repair.torn_bytes), (2, 0));
        assert!(repair.damaged_bytes > 0);
    }
    let (spool, _) = folder.open();
    let notes = Notes::default();
    drain(&spool, &notes).await;
    assert_eq!(notes.taken(), ["one", "three"]);
    let kept = folder.files("damaged");
    assert_eq!(std::fs::read(&kept[0]).unwrap(), bytes);
    assert!(spool.stats().bytes >= bytes.len() as u64);
}

#[tokio::test]
async fn a_segment_of_a_newer_release_is_refused_and_left_alone() {
    let folder = Folder::new();
    let (spool, _) = folder.open();
    spool.append(&record("bot", "one")).await.unwrap();
    drop(spool);
    let file = folder.files("spool").remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[8] = 9;
    let crc = crc32fast::hash(&bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&file, &bytes).unwrap();
    let error = Spool::open(&folder.0, ROOM).err().unwrap();
    assert!(
        matches!(error, SpoolError::Version { version: 9, .. }),
        "{error}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}
