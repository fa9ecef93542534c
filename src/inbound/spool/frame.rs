//! Segments as bytes: headers, records, and finding what is whole. Pure.

use std::ops::Range;

const MAGIC: &[u8; 8] = b"SWBSPOOL";
/// The format that is written.
pub(super) const VERSION: u32 = 1;
/// Bytes of a segment's header.
pub(super) const HEADER: usize = 24;
/// Bytes before a record's payload.
pub(super) const FRAME: usize = 16;

/// What every record of a segment begins with.
pub(super) type Marker = [u8; 8];

/// The header of a segment.
pub(super) fn header(marker: Marker) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&marker);
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Appends a record.
pub(super) fn push(bytes: &mut Vec<u8>, marker: Marker, payload: &[u8]) {
    // A payload is bounded by the body limit (64 MiB) and the headers' limits.
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    bytes.extend_from_slice(&marker);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&checksum(length, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

/// Some bytes of a fixed number.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// It is whole.
    Whole(Marker),
    /// It is whole and of another version.
    Version(u32),
    /// It is damaged, but the first record's place shows a marker.
    Guessed(Marker),
    /// There is nothing to go by.
    None,
}

/// Reads the header of a segment.
pub(super) fn head(bytes: &[u8]) -> Head {
    let whole = bytes.get(..HEADER - 4).map(crc32fast::hash)
        == array(bytes, HEADER - 4).map(u32::from_le_bytes);
    if whole && bytes.starts_with(MAGIC) {
        match array(bytes, 8).map(u32::from_le_bytes) {
            Some(VERSION) => array(bytes, 12).map_or(Head::None, Head::Whole),
            Some(other) => Head::Version(other),
            None => Head::None,
        }
    } else {
        array(bytes, HEADER).map_or(Head::None, Head::Guessed)
    }
}

/// What was found in a segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The payloads of whole records, in order. A record ends where its payload does.
    pub(super) payloads: Vec<Range<usize>>,
    /// Bytes between whole records that belong to none.
    pub(super) damaged: Vec<Range<usize>>,
    /// Where the last whole record ends.
    pub(super) end: usize,
}

/// The payload of the record that begins here, if it is whole.
fn whole(bytes: &[u8], marker: Marker, at: usize) -> Option<Range<usize>> {
    if array(bytes, at)? != marker {
        return None;
    }
    let length: [u8; 4] = array(bytes, at + 8)?;
    let crc = u32::from_le_bytes(array(bytes, at + 12)?);
    let begin = at + FRAME;
    let end = begin.checked_add(usize::try_from(u32::from_le_bytes(length)).ok()?)?;
    let payload = bytes.get(begin..end)?;
    (checksum(length, payload) == crc).then_some(begin..end)
}

/// Finds the whole records from here on.
pub(super) fn scan(bytes: &[u8], marker: Marker, from: usize) -> Scan {
    let mut found = Scan {
        end: from,
        ..Scan::default()
    };
    while found.end < bytes.len() {
        let at = found.end;
        if let Some(payload) = whole(bytes, marker, at) {
            found.end = payload.end;
            found.payloads.push(payload);
            continue;
        }
        // Damage, if a whole record follows; else the end of what is whole.
        let next = (at + 1..bytes.len()).find(|next| whole(bytes, marker, *next).is_some());
        let Some(next) = next else { break };
        found.damaged.push(at..next);
        found.end = next;
    }
    found
}
