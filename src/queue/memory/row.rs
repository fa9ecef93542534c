//! A row of ready groups.

use super::groups::Slot;
use std::collections::VecDeque;

/// Ready groups in the order in which they became ready.
///
/// Nearly all come at one end and go at the other, so they lie one beside the next: what is claimed
/// soon is in the cache already, which a tree's nodes are not. Whoever leaves from the middle leaves a
/// gap, and no gap is ever in front.
#[derive(Default)]
pub(super) struct Row {
    places: VecDeque<Option<Ready>>,
    /// The number of the place in front.
    front: u64,
    /// How many places are no gaps.
    len: usize,
}

/// A ready group and since when it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ready {
    /// Nanoseconds since the queue's beginning.
    pub(super) since: u64,
    pub(super) slot: Slot,
}

impl Row {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts a group at the end; the number of its place.
    pub(super) fn push(&mut self, ready: Ready) -> u64 {
        self.places.push_back(Some(ready));
        self.len += 1;
        self.front + self.places.len() as u64 - 1
    }

    /// Who is in front.
    pub(super) fn first(&self) -> Option<Ready> {
        self.places.front().copied().flatten()
    }

    /// Takes who is in front.
    pub(super) fn pop(&mut self) -> Option<Ready> {
        let first = self.first()?;
        self.places.pop_front();
        self.front += 1;
        self.len -= 1;
        self.skip_gaps();
        Some(first)
    }

    /// Takes a group from its place.
    pub(super) fn take(&mut self, number: u64) -> Option<Ready> {
        let index = usize::try_from(number.checked_sub(self.front)?).ok()?;
        let taken = self.places.get_mut(index)?.take()?;
        self.len -= 1;
        self.skip_gaps();
        Some(taken)
    }

    /// Each gap is passed once, so it costs its group's claim no more than it saved.
    fn skip_gaps(&mut self) {
        while matches!(self.places.front(), Some(None)) {
            self.places.pop_front();
            self.front += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(n: u32) -> Ready {
        Ready {
            since: u64::from(n),
            slot: Slot(n),
        }
    }

    #[test]
    fn who_leaves_from_the_middle_moves_nobody() {
        let mut row = Row::default();
        let numbers: Vec<u64> = (0..6).map(|n| row.push(ready(n))).collect();
        assert_eq!(row.pop(), Some(ready(0)));
        assert_eq!(row.take(numbers[3]), Some(ready(3)));
        assert_eq!(row.take(numbers[3]), None, "it has left");
        assert_eq!(row.take(numbers[0]), None, "it has gone in front");
        assert_eq!(row.take(numbers[1]), Some(ready(1)));
        assert_eq!(row.first(), Some(ready(2)), "no gap is in front");
        assert_eq!(row.pop(), Some(ready(2)));
        assert_eq!(row.push(ready(6)), numbers[5] + 1);
        assert_eq!(row.len(), 3);
        let rest: Vec<Ready> = std::iter::from_fn(|| row.pop()).collect();
        assert_eq!(rest, [4, 5, 6].map(ready));
        assert_eq!(row.first(), None);
    }
}
