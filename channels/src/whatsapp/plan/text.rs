//! Where text is cut.

use super::TEXT;
use crate::kit::split::split;
use crate::model::TextLimit;

/// Splits at the limit of texts, but so that the last piece fits `last`.
pub fn split_ending(text: &str, last: TextLimit) -> Vec<String> {
    let mut pieces = seen(split(text, TEXT), TEXT);
    if let Some(end) = pieces.pop_if(|p| !last.fits(p)) {
        let mut ends = seen(split(&end, last), last);
        let tail = ends.pop().unwrap_or_default();
        pieces.extend([ends.concat(), tail]);
    }
    pieces
}

/// Pieces in each of which there is something to see: the platform refuses blank ones. A blank piece
/// takes the last word of the one before; where that is no help (thousands of spaces) it is left out,
/// since nobody would miss it.
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
        let words = before.trim_end();
        let word = words.rfind(char::is_whitespace).filter(|at| {
            words.get(..*at).is_some_and(|head| !head.trim().is_empty())
        });
        let Some(at) = word else { continue };
        let moved = before.split_off(at) + piece;
        if limit.fits(&moved) {
            out.push(moved);
        } else {
            let back = moved.strip_suffix(piece).unwrap_or(&moved);
            before.push_str(back);
        }
    }
    out
}
