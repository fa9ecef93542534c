//! What is known of a spool without looking at its files.

use super::frame::{HEADER, Marker};
use std::collections::{BTreeMap, HashMap};

/// A place in the spool: records that end at or before it are replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// A segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) marker: Marker,
    /// Up to here it is durable.
    pub(super) length: u64,
    /// Whether there is damage in it, so that it is kept.
    pub(super) damaged: bool,
}

/// The state that writer, replay and callers share.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) segments: BTreeMap<u64, Segment>,
    pub(super) position: Position,
    /// The number of the next file. Grows, so that no file takes the place of another.
    pub(super) next_number: u64,
    /// Records that wait, by each channel that they touch. No entry is 0.
    pub(super) channels: HashMap<String, u64>,
    pub(super) records: u64,
    /// When the first record that waits arrived.
    pub(super) oldest: Option<i64>,
    /// Records and bytes that were set aside.
    pub(super) aside: u64,
    pub(super) aside_bytes: u64,
    /// Bytes of segments with damage, which are kept.
    pub(super) damaged_bytes: u64,
    /// The store did not answer the last time that a record was replayed.
    pub(super) down: bool,
    /// Why the last record was not kept.
    pub(super) refused: Option<String>,
}

/// What is in a spool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that wait.
    pub records: u64,
    /// Bytes on disk, in all.
    pub bytes: u64,
    /// When the first record that waits arrived, in milliseconds.
    pub oldest: Option<i64>,
    /// Records that could not be replayed and are kept.
    pub aside: u64,
    /// Why the last record was not kept, if it was not.
    pub refused: Option<String>,
}

impl State {
    pub(super) fn bytes(&self) -> u64 {
        let segments: u64 = self.segments.values().map(|s| s.length).sum();
        segments + self.aside_bytes + self.damaged_bytes
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            records: self.records,
            bytes: self.bytes(),
            oldest: self.oldest.filter(|_| self.records > 0),
            aside: self.aside,
            refused: self.refused.clone(),
        }
    }

    /// One more record waits.
    pub(super) fn came(&mut self, channels: &[String], at: i64) {
        self.records += 1;
        if self.records == 1 {
            self.oldest = Some(at);
        }
        for channel in channels {
            *self.channels.entry(channel.clone()).or_default() += 1;
        }
    }

    /// A record waits no longer.
    pub(super) fn went(&mut self, channels: &[String]) {
        self.records = self.records.saturating_sub(1);
        for channel in channels {
            if let Some(count) = self.channels.get_mut(channel) {
                *count -= 1;
                if *count == 0 {
                    self.channels.remove(channel);
                }
            }
        }
    }

    /// The next place from which there is something to read: the segment, and where.
    pub(super) fn next(&self, after: Position) -> Option<(u64, Segment, u64)> {
        self.segments
            .range(after.segment..)
            .map(|(number, segment)| {
                let from = if *number == after.segment {
                    after.offset
                } else {
                    0
                };
                // Behind the header there is nothing yet, or a record.
                (*number, *segment, from.max(HEADER as u64))
            })
            .find(|(_, segment, from)| *from < segment.length)
    }
}
