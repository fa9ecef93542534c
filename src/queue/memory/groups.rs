//! The groups of a lane, each in a slot.

use super::index::{Index, Tag};
use crate::queue::{Group, Priority};

/// Where a group's entry lies, for as long as it is in the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) u32);

/// Where a group stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// Nowhere: it has no place yet, or none any more.
    Idle,
    /// Waits until a time; the number makes equal times first come, first served.
    Waiting { at: u64, n: u64, retry: bool },
    /// Ready, in the row of its priority.
    Ready { number: u64 },
    /// Ready, in an urgent row of its own since it was raised.
    Raised,
    /// Worked on. `again`: scheduled meanwhile, and how urgently.
    Leased {
        fence: i64,
        until: u64,
        again: Option<Priority>,
    },
}

/// A group and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) group: Group,
    pub(super) place: Place,
    pub(super) priority: Priority,
}

/// So many groups are forgotten together.
///
/// A look into the index of a full lane waits for memory that is in no cache. Looks one after the
/// other wait together; each on its own, between two takings of a lock, waits alone. Tests have few
/// groups, and are to see them forgotten.
const FORGOTTEN_TOGETHER: usize = if cfg!(test) { 3 } else { 64 };

/// Groups by their ids and by their slots.
///
/// A slot that was left is the next to be taken, so that groups of one time lie together.
#[derive(Default)]
pub(super) struct Groups {
    entries: Vec<Entry>,
    /// Slots that were left, and are in the index no more.
    free: Vec<Slot>,
    /// Slots that became idle, and may have been taken by their groups again.
    idle: Vec<Slot>,
    index: Index,
}

fn entry(entries: &[Entry], slot: Slot) -> Option<&Entry> {
    entries.get(slot.0 as usize)
}

impl Groups {
    /// The slot of a group; it may be idle.
    pub(super) fn find(&self, group: Group) -> Option<Slot> {
        self.tagged(self.index.tag(group), group)
    }

    fn tagged(&self, tag: Tag, group: Group) -> Option<Slot> {
        let same = |slot| self.get(slot).is_some_and(|entry| entry.group == group);
        self.index.find(tag, same)
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Entry> {
        entry(&self.entries, slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(slot.0 as usize)
    }

    /// The slot of a group, which is idle when it is new.
    pub(super) fn find_or_add(&mut self, group: Group) -> Slot {
        let tag = self.index.tag(group);
        if let Some(slot) = self.tagged(tag, group) {
            return slot;
        }
        let next = || Slot(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        let slot = self.free.pop().unwrap_or_else(next);
        self.index.insert(tag, slot);
        let new = Entry {
            group,
            place: Place::Idle,
            priority: Priority::Bulk,
        };
        match self.get_mut(slot) {
            Some(old) => *old = new,
            None => self.entries.push(new),
        }
        slot
    }

    /// Makes a group idle, to be forgotten unless it comes again soon.
    pub(super) fn leave(&mut self, slot: Slot) {
        if let Some(entry) = self.get_mut(slot) {
            entry.place = Place::Idle;
        }
        self.idle.push(slot);
        if self.idle.len() >= FORGOTTEN_TOGETHER {
            self.forget();
        }
    }

    fn forget(&mut self) {
        for slot in self.idle.drain(..) {
            let Some(Entry {
                group,
                place: Place::Idle,
                ..
            }) = entry(&self.entries, slot)
            else {
                // It came again.
                continue;
            };
            // One that came and left again is in the list twice, and in the index once.
            if self.index.remove(self.index.tag(*group), slot) {
                self.free.push(slot);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.entries.len()
    }
}
