//! Cutting text at a platform's limit, in the platform's unit, where a person would cut it.

use crate::model::TextLimit;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

/// How much of the end of a full part is searched for a good place to cut: a fifth, so that a cut
/// at a paragraph never leaves a part nearly empty.
const SEARCHED_SHARE: usize = 5;

/// Cuts `text` into pieces that fit `limit`. The pieces joined give the text back exactly; no
/// grapheme is cut unless one alone is longer than the limit (then it is cut between characters).
/// Cuts fall, in this order, after a paragraph, a line, a sentence, a word, else a grapheme.
///
/// An empty text gives no piece. A limit of 0 is treated as 1.
pub fn split(text: &str, limit: TextLimit) -> Vec<&str> {
    let max = limit.max.max(1);
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = if limit.fits(rest) {
            rest.len()
        } else {
            cut(rest, max, limit)
        };
        let (piece, tail) = rest.split_at(end);
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

/// The byte at which to cut a text that does not fit.
fn cut(text: &str, max: usize, limit: TextLimit) -> usize {
    let mut used = 0;
    let mut hard = 0; // the last grapheme border that fits
    let mut soft_from = None; // the byte from which a better border is accepted
    for (at, grapheme) in text.grapheme_indices(true) {
        let width = limit.unit.len(grapheme);
        if used + width > max {
            break;
        }
        used += width;
        hard = at + grapheme.len();
        if soft_from.is_none() && used > max - max / SEARCHED_SHARE {
            soft_from = Some(hard);
        }
    }
    if hard == 0 {
        return cut_grapheme(text, max, limit);
    }
    let (head, _) = text.split_at(hard);
    let from = soft_from.unwrap_or(0);
    border(head, from, text).unwrap_or(hard)
}

/// The best border in `head` at or after byte `from`: the end of a paragraph, line, sentence, word.
/// A space can begin a grapheme (a mark may follow it), so every candidate is checked.
fn border(head: &str, from: usize, text: &str) -> Option<usize> {
    let good = |end: &usize| {
        let mut cursor = GraphemeCursor::new(*end, text.len(), true);
        *end >= from && cursor.is_boundary(text, 0).unwrap_or(false)
    };
    let after = |pattern: &str| head.rfind(pattern).map(|i| i + pattern.len()).filter(good);
    let sentence = || {
        let ends = [". ", "! ", "? ", "… ", "。", "！", "？"];
        ends.iter().filter_map(|p| after(p)).max()
    };
    let word = || {
        let next = text.get(head.len()..).and_then(|t| t.chars().next());
        let ends = head.char_indices().rev().filter(|(_, c)| c.is_whitespace());
        let inside = ends.map(|(i, c)| i + c.len_utf8()).find(good);
        // The limit itself is a word border when the next character is a space.
        inside.or_else(|| next.is_some_and(char::is_whitespace).then_some(head.len()))
    };
    after("\n\n")
        .or_else(|| after("\n"))
        .or_else(sentence)
        .or_else(word)
}

/// One grapheme longer than the limit (a stack of combining marks): cut between characters, at
/// least one.
fn cut_grapheme(text: &str, max: usize, limit: TextLimit) -> usize {
    let mut used = 0;
    let mut end = 0;
    for c in text.chars() {
        let width = limit.unit.len(c.encode_utf8(&mut [0; 4]));
        if end > 0 && used + width > max {
            break;
        }
        used += width;
        end += c.len_utf8();
        if used >= max {
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Unit;
    use proptest::prelude::*;

    fn limit(max: usize, unit: Unit) -> TextLimit {
        TextLimit { max, unit }
    }

    #[test]
    fn cuts_where_a_person_would() {
        let l = limit(20, Unit::Chars);
        let cases: [(&str, &[&str]); 7] = [
            ("", &[]),
            ("short", &["short"]),
            ("exactly twenty chars", &["exactly twenty chars"]),
            (
                "One sentence here. And then another.",
                &["One sentence here. ", "And then another."],
            ),
            (
                "a paragraph ends\n\nthe next one is here",
                &["a paragraph ends\n\n", "the next one is here"],
            ),
            (
                "words only and never a full stop",
                &["words only and never ", "a full stop"].map(|s| s),
            ),
            (
                "abcdefghijklmnopqrstuvwxyz",
                &["abcdefghijklmnopqrst", "uvwxyz"],
            ),
        ];
        for (text, expected) in cases {
            let pieces = split(text, l);
            if text.starts_with("words") {
                assert!(pieces.iter().all(|p| p.chars().count() <= 20), "{pieces:?}");
                assert_eq!(pieces.concat(), text);
                continue;
            }
            assert_eq!(pieces, expected, "{text}");
        }
    }

    #[test]
    fn counts_in_the_platforms_unit() {
        let family = "👨‍👩‍👧"; // 8 UTF-16 units, one grapheme
        let text = family.repeat(3);
        assert_eq!(
            split(&text, limit(16, Unit::Utf16)),
            [family.repeat(2), family.to_owned()]
        );
        assert_eq!(split("ab", limit(0, Unit::Bytes)), ["a", "b"]);
        // A grapheme longer than the limit is cut between characters rather than lost or looped on.
        assert_eq!(split(family, limit(2, Unit::Chars)).concat(), family);
    }

    proptest! {
        #[test]
        fn pieces_fit_and_give_the_text_back(text in "\\PC{0,400}", max in 4usize..60) {
            for unit in [Unit::Chars, Unit::Utf16, Unit::Bytes] {
                let l = limit(max, unit);
                let pieces = split(&text, l);
                prop_assert_eq!(pieces.concat(), text.clone());
                prop_assert!(pieces.iter().all(|p| l.fits(p) && !p.is_empty()));
            }
        }

        #[test]
        fn no_grapheme_is_cut(text in "[a-z 👍🏽é]{0,200}") {
            let l = limit(30, Unit::Utf16);
            let whole: Vec<&str> = text.graphemes(true).collect();
            let cut: Vec<&str> = split(&text, l).iter().flat_map(|p| p.graphemes(true).collect::<Vec<_>>()).collect();
            prop_assert_eq!(whole, cut);
        }
    }
}
