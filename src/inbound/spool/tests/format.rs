//! Segments after truncation, bit flips and garbage: what is whole is found, nothing else is.

use super::super::frame::{self, HEADER, Head, head, header, push, scan};
use proptest::prelude::*;

const MARKER: [u8; 8] = [7, 0xF5, 3, 99, 0xAA, 1, 2, 3];

/// A segment with these payloads, and where each record begins and ends.
fn segment(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let mut bytes = header(MARKER);
    let mut places = Vec::new();
    for payload in payloads {
        let begin = bytes.len();
        push(&mut bytes, MARKER, payload);
        places.push((begin, bytes.len()));
    }
    (bytes, places)
}

/// What is found in a segment as it is opened.
fn found(bytes: &[u8]) -> Vec<Vec<u8>> {
    let marker = match head(bytes) {
        Head::Whole(marker) | Head::Guessed(marker) => marker,
        Head::Version(_) | Head::None => return Vec::new(),
    };
    let scan = scan(bytes, marker, HEADER.min(bytes.len()));
    let payload = |range: std::ops::Range<usize>| bytes[range].to_vec();
    scan.payloads.into_iter().map(payload).collect()
}

/// What a disk may do to a file.
#[derive(Debug, Clone)]
enum Harm {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Zeros(prop::sample::Index, usize),
    Garbage(Vec<u8>),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Harm::Cut),
        (any::<prop::sample::Index>(), 0..8u8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        (any::<prop::sample::Index>(), 1..40usize).prop_map(|(at, many)| Harm::Zeros(at, many)),
        prop::collection::vec(any::<u8>(), 1..60).prop_map(Harm::Garbage),
    ]
}

/// Harms the bytes; gives the ranges that may have changed. What is cut off has changed too.
fn apply(bytes: &mut Vec<u8>, harm: &Harm) -> (usize, usize) {
    let length = bytes.len();
    match harm {
        Harm::Cut(at) => {
            let at = at.index(length + 1);
            bytes.truncate(at);
            (at, usize::MAX)
        }
        Harm::Flip(at, bit) if length > 0 => {
            let at = at.index(length);
            bytes[at] ^= 1 << bit;
            (at, at + 1)
        }
        Harm::Zeros(at, many) if length > 0 => {
            let at = at.index(length);
            let end = (at + many).min(length);
            bytes[at..end].fill(0);
            (at, end)
        }
        Harm::Garbage(garbage) => {
            bytes.extend_from_slice(garbage);
            (length, length)
        }
        Harm::Flip(..) | Harm::Zeros(..) => (0, 0),
    }
}

proptest! {
    #[test]
    fn what_is_whole_is_found_in_order_and_nothing_else(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..12),
        harms in prop::collection::vec(harm(), 0..4),
    ) {
        let (mut bytes, places) = segment(&payloads);
        let before = bytes.clone();
        for harm in &harms {
            apply(&mut bytes, harm);
        }
        // A record is whole when its bytes are what they were, whatever was done to them.
        let same = |begin: usize, end: usize| bytes.get(begin..end) == before.get(begin..end);
        let known = same(0, HEADER) || places.first().is_some_and(|(b, _)| same(*b, *b + 8));
        let whole: Vec<Vec<u8>> = payloads
            .iter()
            .zip(&places)
            .filter(|(_, (begin, end))| same(*begin, *end))
            .map(|(payload, _)| payload.clone())
            .collect();
        let found = found(&bytes);
        if known {
            prop_assert_eq!(found, whole);
        } else {
            // Little to go by, but nothing is made up.
            let mut all = payloads.iter();
            prop_assert!(found.iter().all(|f| all.any(|p| p == f)));
        }
    }

    #[test]
    fn no_bytes_at_all_are_taken_for_records(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(found(&bytes).is_empty());
    }
}

#[test]
fn every_truncation_leaves_the_whole_records_before_it() {
    let payloads: Vec<Vec<u8>> = (0..4).map(|n| vec![n; 3 + usize::from(n) * 7]).collect();
    let (bytes, places) = segment(&payloads);
    for cut in 0..=bytes.len() {
        let whole = places.iter().filter(|(_, end)| *end <= cut).count();
        assert_eq!(found(&bytes[..cut]), payloads[..whole], "cut at {cut}");
    }
}

#[test]
fn every_bit_flip_costs_one_record_at_most() {
    let payloads: Vec<Vec<u8>> = (0..4).map(|n| vec![n; 5]).collect();
    let (bytes, places) = segment(&payloads);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let hit = places
            .iter()
            .position(|(begin, end)| (*begin..*end).contains(&(bit / 8)));
        let mut expected = payloads.clone();
        if let Some(hit) = hit {
            expected.remove(hit);
        }
        assert_eq!(found(&flipped), expected, "bit {bit}");
    }
}

#[test]
fn damage_is_told_from_a_torn_tail() {
    let (bytes, places) = segment(&[vec![1; 9], vec![2; 9], vec![3; 9]]);
    let torn = scan(&bytes[..bytes.len() - 1], MARKER, HEADER);
    assert_eq!((torn.damaged.len(), torn.end), (0, places[1].1));
    let mut damaged = bytes.clone();
    damaged[places[1].0 + 20] ^= 1;
    let damaged = scan(&damaged, MARKER, HEADER);
    assert_eq!(damaged.damaged.len(), 1);
    assert_eq!(damaged.damaged[0], places[1].0..places[1].1);
    assert_eq!(damaged.end, bytes.len());
}

#[test]
fn a_body_that_looks_like_a_record_is_none() {
    // Somebody who knew the format but not the marker wrote a record into a body, and then the disk
    // damaged the record around it.
    let mut forged = Vec::new();
    push(&mut forged, [0x53; 8], b"forged");
    let (mut bytes, places) = segment(&[forged, b"mine".to_vec()]);
    bytes[places[0].0 + 9] ^= 0x10;
    assert_eq!(found(&bytes), [b"mine".to_vec()]);
}

#[test]
fn a_newer_version_is_known_as_one() {
    let mut bytes = header(MARKER);
    bytes[8] = 2;
    let crc = crc32fast::hash(&bytes[..HEADER - 4]);
    bytes[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(head(&bytes), Head::Version(2));
    assert_eq!(head(&header(MARKER)), Head::Whole(MARKER));
    assert_eq!(frame::VERSION, 1);
}
