//! Opening a spool: its lock, and the repair of what a crash left behind.

use super::SpoolError;
use super::frame::{self, HEADER, Head, Marker, VERSION};
use super::record::Record;
use super::state::{Position, Segment, State};
use crate::lockfile;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What was found, and mended, when a spool was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// Records that wait to be replayed.
    pub records: u64,
    /// Bytes that were cut off: records that were being written, and never acknowledged.
    pub torn_bytes: u64,
    /// Bytes that fit no checksum in the middle of what is whole.
    pub damaged_bytes: u64,
    /// Records that had been set aside and are tried again.
    pub again: u64,
}

/// Extensions of a spool's files.
pub(super) const SEGMENT: &str = "spool";
pub(super) const ASIDE: &str = "aside";
pub(super) const DAMAGED: &str = "damaged";

/// The file of a segment.
pub(super) fn path(folder: &Path, number: u64, extension: &str) -> PathBuf {
    folder.join(format!("{number:016x}.{extension}"))
}

/// The file that remembers what is replayed.
pub(super) fn position_path(folder: &Path) -> PathBuf {
    folder.join("position")
}

/// Makes the folder if need be, for its owner only, and takes its lock.
pub(super) fn lock(folder: &Path) -> Result<File, SpoolError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| SpoolError::disk(folder, &e))?;
    let path = folder.join("lock");
    lockfile::take(&path)
        .map_err(|e| SpoolError::disk(&path, &e))?
        .ok_or_else(|| SpoolError::Locked(folder.to_owned()))
}

/// The numbers of the files with this extension, in order.
fn numbers(folder: &Path, extension: &str) -> Result<Vec<u64>, SpoolError> {
    let failed = |e: std::io::Error| SpoolError::disk(folder, &e);
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == extension) {
            let stem = path.file_stem().and_then(|s| s.to_str());
            // Somebody else's files are left alone.
            numbers.extend(stem.and_then(|s| u64::from_str_radix(s, 16).ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Looks at every segment, mends what a crash left, and counts.
pub(super) fn repair(folder: &Path) -> Result<(State, Repair), SpoolError> {
    let mut state = State::default();
    let mut repair = Repair::default();
    let mut segments = numbers(folder, SEGMENT)?;
    let asides = numbers(folder, ASIDE)?;
    let damaged = numbers(folder, DAMAGED)?;
    let taken = segments.iter().chain(&asides).chain(&damaged).max();
    let mut next = taken.map_or(0, |n| n + 1);
    let mut again = Vec::new();
    for number in asides {
        // Behind all others: whatever order it had is lost, and its number may be replayed already.
        let (old, new) = (path(folder, number, ASIDE), path(folder, next, SEGMENT));
        std::fs::rename(&old, &new).map_err(|e| SpoolError::disk(&old, &e))?;
        segments.push(next);
        again.push(next);
        next += 1;
    }
    state.position = read_position(folder).unwrap_or_default();
    let mut decoded = Vec::new();
    for number in segments {
        let file = path(folder, number, SEGMENT);
        let failed = |e: std::io::Error| SpoolError::disk(&file, &e);
        let bytes = std::fs::read(&file).map_err(failed)?;
        let (marker, whole_head) = match frame::head(&bytes) {
            Head::Whole(marker) => (marker, true),
            Head::Guessed(marker) => (marker, false),
            Head::Version(version) => {
                return Err(SpoolError::Version {
                    path: file,
                    version,
                });
            }
            // Not even a header: a crash while it was begun.
            Head::None => ([0; 8], true),
        };
        let mut scan = frame::scan(&bytes, marker, HEADER.min(bytes.len()));
        let torn = bytes.len() - scan.end;
        let damage: usize = scan.damaged.iter().map(ExactSizeIterator::len).sum();
        // With a damaged header and no record found, nobody can say what the bytes were.
        let lost_head = !whole_head && scan.payloads.is_empty();
        let damaged = damage > 0 || !whole_head;
        scan.payloads.retain(|payload| {
            let end = Position {
                segment: number,
                offset: payload.end as u64,
            };
            end > state.position
        });
        repair.damaged_bytes += damage as u64;
        if lost_head {
            repair.damaged_bytes += bytes.len() as u64;
        } else {
            repair.torn_bytes += torn as u64;
        }
        if scan.payloads.is_empty() {
            // Nothing waits in it. What is whole in it is replayed.
            discard(folder, number, damaged)?;
            continue;
        }
        if torn > 0 {
            let open = File::options().write(true).open(&file).map_err(failed)?;
            open.set_len(scan.end as u64).map_err(failed)?;
            open.sync_all().map_err(failed)?;
        }
        for payload in &scan.payloads {
            let record = Record::decode(bytes.get(payload.clone()).unwrap_or_default());
            decoded.push(record.map(|r| (r.channels, r.request.received_at.0)));
        }
        if again.contains(&number) {
            repair.again += scan.payloads.len() as u64;
        }
        let length = scan.end as u64;
        state.segments.insert(
            number,
            Segment {
                marker,
                length,
                damaged,
            },
        );
    }
    for record in decoded {
        // What cannot be read is counted, and set aside when its turn comes.
        let (channels, at) = record.unwrap_or_default();
        state.came(&channels, at);
    }
    state.next_number = next;
    for number in numbers(folder, DAMAGED)? {
        let size = std::fs::metadata(path(folder, number, DAMAGED)).map_or(0, |m| m.len());
        state.damaged_bytes += size;
    }
    repair.records = state.records;
    Ok((state, repair))
}

/// Removes a segment that is replayed; one with damage is kept under another name.
pub(super) fn discard(folder: &Path, number: u64, damaged: bool) -> Result<(), SpoolError> {
    let file = path(folder, number, SEGMENT);
    let done = if damaged {
        std::fs::rename(&file, path(folder, number, DAMAGED))
    } else {
        std::fs::remove_file(&file)
    };
    done.map_err(|e| SpoolError::disk(&file, &e))
}

/// A position as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) segment: u64,
    pub(super) marker: Marker,
    pub(super) offset: u64,
}

/// Bytes of a kept position.
const KEPT: usize = 28;

/// Reads the position, unless it is damaged or means a segment that is not there: then more is
/// replayed than need be.
fn read_position(folder: &Path) -> Option<Position> {
    let bytes = std::fs::read(position_path(folder)).ok()?;
    let bytes: [u8; KEPT] = bytes.try_into().ok()?;
    let (fields, crc) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(fields) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (segment, rest) = fields.split_first_chunk::<8>()?;
    let (marker, offset) = rest.split_first_chunk::<8>()?;
    let place = Position {
        segment: u64::from_le_bytes(*segment),
        offset: u64::from_le_bytes(offset.try_into().ok()?),
    };
    let segment = std::fs::read(path(folder, place.segment, SEGMENT)).ok()?;
    let known = matches!(frame::head(&segment), Head::Whole(m) | Head::Guessed(m) if m == *marker);
    known.then_some(place)
}

/// Replaces the position.
pub(super) fn write_position(folder: &Path, kept: Kept) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(KEPT);
    bytes.extend_from_slice(&kept.segment.to_le_bytes());
    bytes.extend_from_slice(&kept.marker);
    bytes.extend_from_slice(&kept.offset.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    let fresh = folder.join("position.new");
    std::fs::write(&fresh, &bytes)?;
    std::fs::rename(&fresh, position_path(folder))
}

/// Begins a file of the spool: its header, durable, in a folder that knows of it.
pub(super) fn begin(folder: &Path, file: &Path) -> Result<(File, Marker), SpoolError> {
    use std::io::Write;
    let failed = |e: std::io::Error| SpoolError::disk(file, &e);
    let marker = *uuid::Uuid::new_v4()
        .as_bytes()
        .last_chunk()
        .unwrap_or(&[0; 8]);
    let mut open = File::options()
        .create_new(true)
        .append(true)
        .mode(0o600)
        .open(file)
        .map_err(failed)?;
    open.write_all(&frame::header(marker)).map_err(failed)?;
    open.sync_all().map_err(failed)?;
    let listing = File::open(folder).and_then(|f| f.sync_all());
    listing.map_err(|e| SpoolError::disk(folder, &e))?;
    Ok((open, marker))
}

const _: () = assert!(
    VERSION == 1,
    "a new version needs a reader of the old one here"
);
