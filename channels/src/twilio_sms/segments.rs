//! How carriers cut a text: GSM-7 or UCS-2, 160 or 70 units alone, 153 or 67 where there are several.
//! After 3GPP TS 23.038 (alphabets) and TS 23.040 (the header of a concatenated message takes 6 octets).

/// The alphabet that a text goes out in. One character that GSM-7 has not makes the whole text UCS-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 7 bits; characters of the extension table cost two septets.
    Gsm7,
    /// UTF-16 code units.
    Ucs2,
}

impl Encoding {
    /// Units of a message that goes alone.
    const fn single(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// Units of each segment where there are several.
    const fn each(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }

    /// Units that fit into so many segments, if no character has to move whole into the next one.
    pub const fn capacity(self, segments: usize) -> usize {
        if segments <= 1 {
            self.single()
        } else {
            self.each().saturating_mul(segments)
        }
    }
}

/// What a text costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Its alphabet.
    pub encoding: Encoding,
    /// Its length in units of that alphabet.
    pub units: usize,
    /// The segments that it is cut into; 0 for an empty text.
    pub segments: usize,
}

/// The alphabet of a text.
pub fn encoding(text: &str) -> Encoding {
    if text.chars().all(|c| septets(c).is_some()) {
        Encoding::Gsm7
    } else {
        Encoding::Ucs2
    }
}

/// Counts units and segments.
pub fn count(text: &str) -> Count {
    let encoding = encoding(text);
    let width = |c: char| match encoding {
        Encoding::Gsm7 => septets(c).unwrap_or(1),
        Encoding::Ucs2 => c.len_utf16(),
    };
    let units: usize = text.chars().map(width).sum();
    if units <= encoding.single() {
        return Count {
            encoding,
            units,
            segments: usize::from(units > 0),
        };
    }
    let (mut segments, mut used) = (1, 0);
    for c in text.chars() {
        // A character of two units is never split: it moves whole and leaves a unit empty.
        if used + width(c) > encoding.each() {
            segments += 1;
            used = 0;
        }
        used += width(c);
    }
    Count {
        encoding,
        units,
        segments,
    }
}

/// What a character costs in GSM-7; `None` where it is not in the alphabet.
const fn septets(c: char) -> Option<usize> {
    match c {
        '\u{c}' | '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' => Some(2),
        '\n' | '\r' | ' '..='Z' | '_' | 'a'..='z' => Some(1),
        '£' | '¥' | 'è' | 'é' | 'ù' | 'ì' | 'ò' | 'Ç' | 'Ø' | 'ø' | 'Å' | 'å' | 'Δ' | 'Φ' | 'Γ'
        | 'Λ' | 'Ω' | 'Π' | 'Ψ' | 'Σ' | 'Θ' | 'Ξ' | 'Æ' | 'æ' | 'ß' | 'É' | '¤' | '¡' | 'Ä'
        | 'Ö' | 'Ñ' | 'Ü' | '§' | '¿' | 'ä' | 'ö' | 'ñ' | 'ü' | 'à' => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Encoding::{Gsm7, Ucs2};

    #[test]
    fn the_table() {
        let a = |n: usize| "a".repeat(n);
        let cases = [
            (String::new(), Gsm7, 0, 0),
            (a(160), Gsm7, 160, 1),
            (a(161), Gsm7, 161, 2),
            (a(306), Gsm7, 306, 2),
            (a(307), Gsm7, 307, 3),
            ("€".repeat(80), Gsm7, 160, 1),
            ("€".repeat(81), Gsm7, 162, 2),
            ("ş".repeat(70), Ucs2, 70, 1),
            ("ş".repeat(71), Ucs2, 71, 2),
            ("😀".repeat(35), Ucs2, 70, 1),
            ("😀".repeat(36), Ucs2, 72, 2),
            (a(159) + "’", Ucs2, 160, 3),
            (a(152) + "€" + &a(152), Gsm7, 306, 3),
        ];
        for (text, encoding, units, segments) in cases {
            let expected = Count {
                encoding,
                units,
                segments,
            };
            assert_eq!(count(&text), expected, "{text}");
        }
    }

    #[test]
    fn the_alphabet() {
        let basic = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ!\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà\n\r 09AZaz";
        assert!(basic.chars().all(|c| septets(c) == Some(1)));
        assert!("\u{c}^{}\\[~]|€".chars().all(|c| septets(c) == Some(2)));
        let others = "`çáíóúê\t“”–—\u{a0}\u{0}語😀";
        assert!(others.chars().all(|c| septets(c).is_none()));
    }
}
