//! Telephone numbers.

use crate::error::Refused;
use crate::model::Recipient;

/// `+`, no zero, and 7 to 15 digits in all (ITU-T E.164; nobody has fewer than seven).
pub fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Reads a telephone number that a person wrote.
///
/// # Errors
/// When it is none, or its country cannot be known.
pub fn recipient(address: &str) -> Result<Recipient, Refused> {
    let refuse = |why: &str| Err(Refused::new("to", why));
    let trimmed = address.trim();
    let trimmed = trimmed.strip_prefix("tel:").unwrap_or(trimmed);
    if trimmed.contains(':') {
        return refuse("not a telephone number; WhatsApp and RCS are other channels");
    }
    // The zero in brackets is dialled inside the country only.
    let compact: String = trimmed
        .replace("(0)", "")
        .chars()
        .filter(|c| !c.is_whitespace() && !"-()./\u{2010}\u{2011}".contains(*c))
        .collect();
    let (digits, international) = match compact.strip_prefix('+') {
        Some(rest) => (rest, true),
        None => match compact.strip_prefix("00") {
            Some(rest) => (rest, true),
            None => (compact.as_str(), false),
        },
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return refuse("not a telephone number");
    }
    if !international && (digits.starts_with('0') || digits.len() <= 10) {
        return refuse("a number without its country; write it as +46701740605");
    }
    let phone = format!("+{digits}");
    if !is_e164(&phone) {
        return refuse("not a telephone number in international form, such as +46701740605");
    }
    Ok(Recipient {
        address: phone.clone(),
        ids: vec![phone.clone()],
        phone: Some(phone),
        email: None,
        thread: None,
        extra: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        let good = [
            ("+46 70 174-06 05", "+46701740605"),
            ("0046701740605", "+46701740605"),
            ("46701740605", "+46701740605"),
            ("+44 (0)20 7946 0000", "+442079460000"),
            ("tel:+1 (415) 555-0142", "+14155550142"),
            ("15305431221", "+15305431221"),
        ];
        for (written, expected) in good {
            let found = recipient(written).map(|r| r.address);
            assert_eq!(found.as_deref(), Ok(expected), "{written}");
        }
        let bad = [
            "", "+", "0701740605", "4155550142", "71705", "MyShop", "+0701740605", "+123456",
            "+1234567890123456", "whatsapp:+46701740605", "+4670١٢٣٤٥٦٧", "+46+701740605",
        ];
        for written in bad {
            let refused = recipient(written).expect_err(written);
            assert_eq!(refused.argument, "to", "{written}");
        }
    }
}
