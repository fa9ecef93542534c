//! Whom a message goes to: a person on Messenger, or one on Instagram.

use crate::error::Refused;
use crate::messenger::config::{Settings, is_id};
use crate::model::Recipient;
use std::fmt;

/// Where a conversation is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Messenger: people have page-scoped ids.
    Messenger,
    /// Instagram: people have Instagram-scoped ids, which have nothing to do with the others.
    Instagram,
}

/// What stands before the id of a person on Instagram, outside of Meta's API.
const INSTAGRAM: &str = "ig:";

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Where they write.
    pub platform: Platform,
    /// Their id there: digits.
    pub id: String,
}

impl Address {
    /// Reads an address: `7300000000000011`, or `ig:9900000000000021`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (platform, id) = match text.strip_prefix(INSTAGRAM) {
            Some(id) => (Platform::Instagram, id),
            None => (Platform::Messenger, text),
        };
        is_id(id).then(|| Self {
            platform,
            id: id.to_owned(),
        })
    }

    /// Reads an address that a caller wrote.
    ///
    /// # Errors
    /// When it is no person of this page; says why.
    pub fn of(text: &str, settings: &Settings) -> Result<Self, Refused> {
        let refuse = |reason: &str| Err(Refused::new("to", reason));
        match Self::parse(text) {
            Some(address) if address.is_ours(settings) => {
                refuse("that is the page or the Instagram account itself")
            }
            Some(Self {
                platform: Platform::Instagram,
                ..
            }) if settings.instagram_id.is_none() => {
                refuse("this channel has no instagram_id, hence no conversations on Instagram")
            }
            Some(address) => Ok(address),
            None if text.trim_start().starts_with('+') => {
                refuse("Messenger reaches nobody by telephone number: the person must write first")
            }
            None => refuse(
                "not a person on Messenger (7300000000000011) or Instagram (ig:9900000000000021): \
                 the id that came with what they wrote",
            ),
        }
    }

    fn is_ours(&self, settings: &Settings) -> bool {
        match self.platform {
            Platform::Messenger => self.id == settings.page_id,
            Platform::Instagram => Some(&self.id) == settings.instagram_id.as_ref(),
        }
    }

    /// The address as it is kept; `page_id` is what callers find in the conversation's `extra`.
    pub fn recipient(&self, page_id: &str) -> Recipient {
        Recipient {
            address: self.to_string(),
            ids: vec![self.to_string()],
            phone: None,
            email: None,
            thread: None,
            extra: Some(page_id.to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.platform {
            Platform::Messenger => f.write_str(&self.id),
            Platform::Instagram => write!(f, "{INSTAGRAM}{}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messenger::config::sandbox_settings;

    #[test]
    fn people_of_both_platforms_and_nothing_else() {
        let mut settings = Settings::read(sandbox_settings()).unwrap();
        let read = |text: &str, settings: &Settings| Address::of(text, settings);
        for text in ["7300000000000011", " ig:9900000000000021 "] {
            let address = read(text, &settings).unwrap();
            let recipient = address.recipient(&settings.page_id);
            assert_eq!(recipient.address, text.trim());
            assert_eq!(recipient.ids, [text.trim()]);
            assert_eq!(recipient.extra.as_deref(), Some("104200000000001"));
            assert_eq!(Address::parse(&recipient.address), Some(address));
        }
        for text in [
            "",
            "ig:",
            "fb:1",
            "dana",
            "+4670174",
            "73 00",
            "ig:dana",
            "IG:1",
            "104200000000001",
            "ig:17841400000000001",
            "\u{0661}",
            "123456789012345678901234567890123",
        ] {
            assert_eq!(read(text, &settings).unwrap_err().argument, "to", "{text}");
        }
        settings.instagram_id = None;
        assert!(read("ig:9900000000000021", &settings).is_err());
        assert!(read("7300000000000011", &settings).is_ok());
    }
}
