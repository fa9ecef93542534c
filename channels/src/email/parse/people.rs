//! Who wrote a mail, to whom, and whether that can be believed.

use super::letter::{Letter, one_line};
use super::limits;
use crate::email::config::Settings;
use crate::email::wire::address::Address;
use crate::email::wire::ids;
use crate::model::{ConversationId, Profile, Sender};

/// Headers in which servers and mailing lists note to whom a mail was delivered, the surest first.
const DELIVERED: [&str; 7] = [
    "delivered-to", "x-original-to", "envelope-to", "x-forwarded-to", "x-envelope-to", "to", "cc",
];

/// An address with the name shown beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The address.
    pub address: Address,
    /// The name, on one line.
    pub name: String,
}

/// What the receiving server found about the sender's claim to be who they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// DMARC passed.
    Verified,
    /// DMARC failed.
    Unverified,
    /// Nobody whom we believe looked.
    Unknown,
}

/// The people of a header that have an address.
pub fn people(letter: &Letter<'_>, header: &str) -> Vec<Person> {
    let mut found = Vec::new();
    for (name, address) in letter.addresses(header) {
        if let Some(address) = Address::read(address) {
            let name = one_line(name.unwrap_or_default());
            let name = limits::chars(name.trim_matches(['"', '\'']), limits::NAME_CHARS);
            found.push(Person { address, name });
        }
    }
    found
}

/// Everybody to whom a mail was delivered or sent.
pub fn recipients(letter: &Letter<'_>) -> Vec<Address> {
    let mut found = Vec::new();
    for header in DELIVERED {
        found.extend(people(letter, header).into_iter().map(|p| p.address));
        // Some of these are no address lists to the parser.
        let raw = letter.all(header).flat_map(|v| v.split(','));
        found.extend(raw.filter_map(|text| {
            let text = text.rsplit('<').next().unwrap_or_default();
            Address::read(text.trim_end_matches('>'))
        }));
    }
    let mut seen = Vec::new();
    for address in found {
        if !seen.contains(&address) && seen.len() < limits::PEOPLE {
            seen.push(address);
        }
    }
    seen
}

/// The conversation that one of our addresses carries.
pub fn token(settings: &Settings, recipients: &[Address]) -> Option<ConversationId> {
    let ours = recipients.iter().filter(|a| settings.is_own(a));
    ours.filter_map(Address::tag).find_map(|tag| ids::read_token(settings, tag))
}

/// What the topmost `Authentication-Results` of our own receiving host says; all others may have been
/// written by the sender.
pub fn trust(settings: &Settings, letter: &Letter<'_>) -> Trust {
    let Some(host) = &settings.receiving_host else {
        return Trust::Unknown;
    };
    let ours = letter.all("authentication-results").find(|value| {
        let id = value.split(';').next().unwrap_or_default();
        let id = id.split_whitespace().next().unwrap_or_default();
        id.eq_ignore_ascii_case(host)
    });
    let verdict = ours.and_then(|value| {
        value.split(';').find_map(|part| {
            let result = part.trim().strip_prefix("dmarc=")?;
            result.split([' ', '(', ';']).next().map(str::to_ascii_lowercase)
        })
    });
    match verdict.as_deref() {
        Some("pass") => Trust::Verified,
        Some("fail") => Trust::Unverified,
        _ => Trust::Unknown,
    }
}

/// A person as the model has them. Whoever is not who they say must not change what is known of whom
/// they name.
pub fn sender(person: &Person, trust: Trust) -> Sender {
    let mut profile = Profile::default();
    if trust != Trust::Unverified && !person.name.contains('@') {
        (profile.first_name, profile.last_name) = names(&person.name);
    }
    Sender {
        ids: vec![person.address.text().to_owned()],
        phone: None,
        email: Some(person.address.text().to_owned()),
        profile,
    }
}

/// Given and family name: `Anna Berg`, or `Berg, Anna`.
fn names(name: &str) -> (Option<String>, Option<String>) {
    let some = |text: &str| Some(text.trim().to_owned()).filter(|t| !t.is_empty());
    if let Some((last, first)) = name.split_once(',') {
        return match (some(first), some(last)) {
            (None, last) => (last, None),
            both => both,
        };
    }
    match name.rsplit_once(' ') {
        Some((first, last)) => (some(first), some(last)),
        None => (some(name), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_and_family() {
        for (name, first, last) in [
            ("Anna Berg", Some("Anna"), Some("Berg")),
            ("Anna Maria Berg", Some("Anna Maria"), Some("Berg")),
            ("Berg, Anna", Some("Anna"), Some("Berg")),
            ("Example AB,", Some("Example AB"), None),
            ("Anna", Some("Anna"), None),
            ("田中太郎", Some("田中太郎"), None),
            ("", None, None),
        ] {
            let found = names(name);
            assert_eq!((found.0.as_deref(), found.1.as_deref()), (first, last), "{name}");
        }
    }
}
