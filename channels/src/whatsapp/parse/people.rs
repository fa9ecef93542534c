//! Who is who: a person has a number, a business-scoped id, or both.

use crate::kit::json;
use crate::model::{Profile, Sender, Thread};
use crate::whatsapp::plan::{GROUP, is_user_id, is_wa_id};
use crate::whatsapp::wire::{Contact, Raw};

/// The people named beside the elements of one change.
pub struct People(Vec<Contact>);

impl People {
    /// Reads the contacts; one that cannot be read names nobody.
    pub fn read(raw: Vec<Raw<'_>>) -> Self {
        Self(raw.into_iter().filter_map(|r| json::read(r).ok()).collect())
    }

    /// The person with this number or this business-scoped id. Matched by id, since the platform does
    /// not promise that people stand in the order of the elements. `None` when neither is given.
    pub fn find(&self, number: Option<&str>, user_id: Option<&str>) -> Option<Sender> {
        let number = number.filter(|n| !n.is_empty());
        let user_id = user_id.filter(|u| !u.is_empty());
        // A withheld number is sometimes given as the business-scoped id.
        let (number, user_id) = match (number, user_id) {
            (Some(n), None) if is_user_id(n) => (None, Some(n)),
            (Some(n), Some(_)) if is_user_id(n) => (None, user_id),
            both => both,
        };
        if number.is_none() && user_id.is_none() {
            return None;
        }
        let same = |a: Option<&str>, b: &Option<String>| a.is_some() && a == b.as_deref();
        let contact = self
            .0
            .iter()
            .find(|c| same(number, &c.wa_id) || same(user_id, &c.user_id));
        let of = |field: fn(&Contact) -> &Option<String>| {
            contact
                .and_then(|c| field(c).as_deref())
                .filter(|id| !id.is_empty())
        };
        let user_id = user_id.or(of(|c| &c.user_id));
        let number = number.or(of(|c| &c.wa_id));
        let mut sender = person(number, user_id);
        sender.profile = contact.map(profile).unwrap_or_default();
        Some(sender)
    }
}

/// A person of whom only the ids are known. The business-scoped id comes first: it stays when the
/// number is withheld.
pub fn person(number: Option<&str>, user_id: Option<&str>) -> Sender {
    let ids = user_id.into_iter().chain(number);
    Sender {
        ids: ids.map(str::to_owned).collect(),
        phone: number.filter(|n| is_wa_id(n)).map(|n| format!("+{n}")),
        email: None,
        profile: Profile::default(),
    }
}

/// Where an answer goes: to the group, to the number, else to the business-scoped id.
pub fn thread(sender: &Sender, group: Option<&str>) -> Thread {
    let number = sender.phone.as_ref().map(|p| p.trim_start_matches('+'));
    let own = number.or(sender.ids.first().map(String::as_str));
    Thread {
        key: group.map(str::to_owned),
        address: match group {
            Some(group) => format!("{GROUP}{group}"),
            None => own.unwrap_or_default().to_owned(),
        },
        ..Thread::default()
    }
}

/// A profile has one name; its first word is taken for the given name.
fn profile(contact: &Contact) -> Profile {
    let Some(profile) = &contact.profile else {
        return Profile::default();
    };
    let name = profile.name.as_deref().unwrap_or_default().trim();
    let (first, last) = name
        .split_once(char::is_whitespace)
        .map_or((name, ""), |(first, last)| (first, last.trim()));
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let username = profile.username.as_deref().and_then(some);
    Profile {
        first_name: some(first),
        last_name: some(last),
        details: username
            .map(|u| ("username".to_owned(), "Username".to_owned(), u))
            .into_iter()
            .collect(),
        ..Profile::default()
    }
}
