//! Where text is cut.

use crate::kit::split::split;
use crate::model::TextLimit;
use unicode_segmentation::UnicodeSegmentation;

/// Splits at `limit`, but so that the last piece fits `last`.
pub fn split_ending(text: &str, limit: TextLimit, last: TextLimit) -> Vec<String> {
    let mut pieces = seen(split(text, limit), limit);
    if let Some(end) = pieces.pop_if(|piece| !last.fits(piece)) {
        // Cut at the shorter limit; all but the last of it go together, as one piece.
        let mut ends = seen(split(&end, last), last);
        let tail = ends.pop().unwrap_or_default();
        pieces.extend(split(&ends.concat(), limit).into_iter().map(str::to_owned));
        pieces.push(tail);
    }
    pieces
}

/// Pieces in each of which there is something to see: Meta refuses blank messages. A blank piece takes
/// the last word of the one before; where there is none to take, or both would not fit together
/// (thousands of blanks), it is left out, since nobody would miss it.
fn seen(pieces: Vec<&str>, limit: TextLimit) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if !piece.trim().is_empty() {
            out.push(piece.to_owned());
            continue;
        }
        let Some(before) = out.last_mut() else {
            continue;
        };
        let Some(at) = last_word(before) else {
            continue;
        };
        let moved = format!("{}{piece}", before.get(at..).unwrap_or_default());
        if limit.fits(&moved) {
            before.truncate(at);
            out.push(moved);
        }
    }
    out
}

/// Where the last word begins, with the blank before it, unless nothing to see would be left.
fn last_word(text: &str) -> Option<usize> {
    let blank = |grapheme: &str| grapheme.trim().is_empty();
    let mut graphemes = text.trim_end().grapheme_indices(true).rev();
    let (at, _) = graphemes.find(|(_, grapheme)| blank(grapheme))?;
    graphemes
        .any(|(_, grapheme)| !blank(grapheme))
        .then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Unit;

    const LIMIT: TextLimit = TextLimit {
        max: 20,
        unit: Unit::Utf16,
    };
    const LAST: TextLimit = TextLimit {
        max: 8,
        unit: Unit::Utf16,
    };

    #[test]
    fn no_piece_is_blank_and_no_text_is_lost() {
        for text in [
            "twenty characters..\n\n".to_owned(),
            format!("two words {}", " ".repeat(12)),
            format!("{}\r\n{}", "x ".repeat(9), " ".repeat(9)),
        ] {
            let pieces = split_ending(&text, LIMIT, LIMIT);
            assert_eq!(pieces.concat(), text);
            assert!(
                pieces.iter().all(|p| !p.trim().is_empty() && LIMIT.fits(p)),
                "{pieces:?}"
            );
        }
    }

    #[test]
    fn blanks_that_belong_to_no_word_are_left_out() {
        let text = format!("{}word{}", " ".repeat(40), " ".repeat(60));
        let pieces = split_ending(&text, LIMIT, LIMIT);
        assert_eq!(pieces.concat().trim(), "word");
        assert!(pieces.iter().all(|p| !p.trim().is_empty()), "{pieces:?}");
    }

    #[test]
    fn the_last_piece_fits_what_stands_under_it() {
        let pieces = split_ending("one two three four five six", LIMIT, LAST);
        assert_eq!(pieces.concat(), "one two three four five six");
        assert!(LAST.fits(pieces.last().unwrap()), "{pieces:?}");
        assert!(pieces.iter().all(|piece| LIMIT.fits(piece)));
    }
}
