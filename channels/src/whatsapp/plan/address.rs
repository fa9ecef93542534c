//! Whom a message goes to: numbers in every spelling, user ids, groups.

use crate::error::Refused;
use crate::model::Recipient;

/// Whom a message goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A telephone number: digits with the country code, no plus.
    Phone(String),
    /// A business-scoped user id.
    User(String),
    /// A group.
    Group(String),
}

/// What marks a group's id in an address.
pub const GROUP: &str = "group:";

/// Whether this is a business-scoped user id: country, a full stop, letters and digits; the form of a
/// parent portfolio has `ENT.` between.
pub fn is_user_id(text: &str) -> bool {
    let Some((country, rest)) = text.split_once('.') else {
        return false;
    };
    let rest = rest.strip_prefix("ENT.").unwrap_or(rest);
    country.len() == 2
        && country.bytes().all(|b| b.is_ascii_uppercase())
        && (1..=128).contains(&rest.len())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Whether this is a number as WhatsApp writes it: E.164 without the plus.
pub fn is_wa_id(text: &str) -> bool {
    (7..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

impl Address {
    /// Reads an address: a number in any usual spelling, a user id, or `group:` and a group's id.
    ///
    /// # Errors
    /// When it is none of them; says why.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let text = text.trim();
        if let Some(group) = text.strip_prefix(GROUP) {
            return if group.is_empty() || group.contains(char::is_whitespace) {
                Err(Refused::new("to", "group: must be followed by the group's id"))
            } else {
                Ok(Self::Group(group.to_owned()))
            };
        }
        if is_user_id(text) {
            return Ok(Self::User(text.to_owned()));
        }
        let separator = |c: char| c.is_whitespace() || matches!(c, '-' | '(' | ')' | '.' | '/');
        let bare: String = text.chars().filter(|c| !separator(*c)).collect();
        let digits = bare
            .strip_prefix('+')
            .or_else(|| bare.strip_prefix("00"))
            .unwrap_or(&bare);
        let why = if digits.is_empty() {
            "there is no number"
        } else if !digits.bytes().all(|b| b.is_ascii_digit()) {
            "it is neither a telephone number nor a WhatsApp user id"
        } else if digits.starts_with('0') {
            "the number must begin with the country code, not with 0"
        } else if !is_wa_id(digits) {
            "a telephone number has 7 to 15 digits with the country code"
        } else {
            return Ok(Self::Phone(digits.to_owned()));
        };
        Err(Refused::new("to", why))
    }

    /// The address as it is kept.
    pub fn recipient(self) -> Recipient {
        match self {
            Self::Phone(digits) => Recipient {
                phone: Some(format!("+{digits}")),
                ids: vec![digits.clone()],
                address: digits,
                email: None,
                thread: None,
                extra: None,
            },
            Self::User(id) => Recipient {
                phone: None,
                ids: vec![id.clone()],
                address: id,
                email: None,
                thread: None,
                extra: None,
            },
            Self::Group(id) => Recipient {
                address: format!("{GROUP}{id}"),
                ids: Vec::new(),
                phone: None,
                email: None,
                thread: Some(id),
                extra: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_spelling() {
        let phone = |text: &str| Address::parse(text).map(Address::recipient);
        for text in ["+46 70 174-06 05", "0046701740605", "(46) 70.174/0605", "46701740605"] {
            let recipient = phone(text).unwrap();
            assert_eq!(recipient.address, "46701740605", "{text}");
            assert_eq!(recipient.phone.as_deref(), Some("+46701740605"));
            assert_eq!(recipient.ids, ["46701740605"]);
        }
        let user = phone("US.90817263544536271").unwrap();
        assert_eq!((user.address.as_str(), user.phone), ("US.90817263544536271", None));
        assert_eq!(phone("DE.ENT.abc12").unwrap().address, "DE.ENT.abc12");
        let group = phone("group:Y2FwaV9ncm91cA").unwrap();
        assert_eq!(group.thread.as_deref(), Some("Y2FwaV9ncm91cA"));
        assert!(group.ids.is_empty());
        for text in [
            "",
            " ",
            "+",
            "hello",
            "070-174 06 05",
            "123456",
            "1234567890123456",
            "+46a70174",
            "us.123",
            "US.",
            "group:",
            "group:a b",
            "4670\u{0661}740605",
        ] {
            assert_eq!(phone(text).unwrap_err().argument, "to", "{text}");
        }
    }
}
