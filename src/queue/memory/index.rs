//! From a group to its slot.

use super::groups::Slot;
use crate::queue::Group;
use foldhash::fast::RandomState;
use std::hash::BuildHasher;

/// Of the places not more than three quarters are taken, or searches grow long.
const FULL: (usize, usize) = (3, 4);
const PLACES_MIN: usize = 64;

/// A hash table that is open to the next place, in which an operation touches one line of memory.
///
/// In a lane of a million groups that line is in no cache, and waiting for it is most of what an
/// operation costs: tables that keep tags apart from values wait twice. A place has the slot and half
/// of the hash, which tells groups apart nearly always and moves places without a look at the groups.
pub(super) struct Index {
    /// The hash above, the slot plus one below; 0: nobody's. A power of two of them.
    places: Vec<u64>,
    len: usize,
    /// Ids come from the store, not from strangers: a quick hash will do.
    state: RandomState,
}

/// Half of a group's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u32);

fn write(tag: Tag, slot: Slot) -> u64 {
    u64::from(tag.0) << 32 | (u64::from(slot.0) + 1)
}

fn tag_of(place: u64) -> Tag {
    Tag(u32::try_from(place >> 32).unwrap_or_default())
}

fn slot_of(place: u64) -> Slot {
    Slot(u32::try_from((place & u64::from(u32::MAX)) - 1).unwrap_or_default())
}

impl Default for Index {
    fn default() -> Self {
        Self {
            places: vec![0; PLACES_MIN],
            len: 0,
            state: RandomState::default(),
        }
    }
}

impl Index {
    pub(super) fn tag(&self, group: Group) -> Tag {
        // The lower half: the places of a table are counted from its lowest bits.
        Tag(u32::try_from(self.state.hash_one(group) & u64::from(u32::MAX)).unwrap_or_default())
    }

    fn mask(&self) -> usize {
        self.places.len() - 1
    }

    fn home(&self, tag: Tag) -> usize {
        tag.0 as usize & self.mask()
    }

    /// The first place from a tag's own that is nobody's or satisfies.
    fn seek(&self, tag: Tag, mut satisfies: impl FnMut(u64) -> bool) -> (usize, u64) {
        let mut at = self.home(tag);
        loop {
            let place = self.places.get(at).copied().unwrap_or(0);
            if place == 0 || satisfies(place) {
                return (at, place);
            }
            at = (at + 1) & self.mask();
        }
    }

    /// The slot with that tag that is the same.
    pub(super) fn find(&self, tag: Tag, mut same: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let (_, place) = self.seek(tag, |place| tag_of(place) == tag && same(slot_of(place)));
        (place != 0).then(|| slot_of(place))
    }

    /// Adds a slot that is not there yet.
    pub(super) fn insert(&mut self, tag: Tag, slot: Slot) {
        if (self.len + 1) * FULL.1 > self.places.len() * FULL.0 {
            self.grow();
        }
        self.put(write(tag, slot));
        self.len += 1;
    }

    fn put(&mut self, new: u64) {
        let (at, _) = self.seek(tag_of(new), |_| false);
        self.set(at, new);
    }

    fn set(&mut self, at: usize, new: u64) {
        if let Some(place) = self.places.get_mut(at) {
            *place = new;
        }
    }

    fn grow(&mut self) {
        let larger = vec![0; self.places.len() * 2];
        for place in std::mem::replace(&mut self.places, larger) {
            if place != 0 {
                self.put(place);
            }
        }
    }

    /// Takes a slot out. `false`: it is not there.
    pub(super) fn remove(&mut self, tag: Tag, slot: Slot) -> bool {
        let gone = write(tag, slot);
        let (mut hole, place) = self.seek(tag, |place| place == gone);
        if place == 0 {
            return false;
        }
        self.len -= 1;
        // A hole would end the search for what lies behind it: whatever may move into it does.
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask();
            let place = self.places.get(at).copied().unwrap_or(0);
            if place == 0 {
                break;
            }
            let from_home = at.wrapping_sub(self.home(tag_of(place))) & self.mask();
            if from_home >= at.wrapping_sub(hole) & self.mask() {
                self.set(hole, place);
                hole = at;
            }
        }
        self.set(hole, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Tags of few bits, so that they meet; at the end of the table, too.
        #[test]
        fn it_finds_what_a_map_finds(
            steps in proptest::collection::vec((any::<bool>(), 0..200_u32, 0..8_u32), 0..600)
        ) {
            let (mut index, mut map) = (Index::default(), BTreeMap::new());
            let tag = |slot: u32, bits: u32| Tag((slot % (1 << bits)).wrapping_sub(2));
            for (adds, slot, bits) in steps {
                if adds && !map.contains_key(&slot) {
                    map.insert(slot, tag(slot, bits));
                    index.insert(tag(slot, bits), Slot(slot));
                } else if !adds {
                    let gone = map.remove(&slot);
                    let tag = gone.unwrap_or_else(|| tag(slot, bits));
                    prop_assert_eq!(index.remove(tag, Slot(slot)), gone.is_some());
                }
                for (slot, tag) in &map {
                    let slot = Slot(*slot);
                    prop_assert_eq!(index.find(*tag, |other| other == slot), Some(slot));
                }
                prop_assert_eq!(index.len, map.len());
            }
            let taken = index.places.iter().filter(|place| **place != 0).count();
            prop_assert_eq!(taken, map.len());
        }
    }
}
