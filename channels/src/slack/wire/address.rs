//! Where a message goes, and the name of one that is there.

use crate::slack::config::{PLACE_NAME_MAX, is_id, is_place_char};
use std::fmt;

/// A conversation of Slack's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `C…`, `G…` or `D…`: a channel, private channel, group, or direct messages.
    Channel(String),
    /// `U…` or `W…`: a person; Slack finds the direct messages.
    Person(String),
    /// `+name`: a Slack channel that is made when the first message goes there.
    New(String),
}

/// A place, and a thread in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Where.
    pub place: Place,
    /// The `ts` of the thread's first message.
    pub thread: Option<String>,
}

impl Address {
    /// Reads `C0…`, `U0…`, `+name`, or `C0…:1795210000.000100`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(name) = text.strip_prefix('+') {
            let fits = (1..=PLACE_NAME_MAX).contains(&name.len());
            return (fits && name.chars().all(is_place_char)).then(|| Self {
                place: Place::New(name.to_owned()),
                thread: None,
            });
        }
        let (place, thread) = match text.split_once(':') {
            Some((place, thread)) => (place, Some(thread)),
            None => (text, None),
        };
        if is_id(place, "UW") && thread.is_none() {
            return Some(Self {
                place: Place::Person(place.to_owned()),
                thread: None,
            });
        }
        let whole = is_id(place, "CGD") && thread.is_none_or(is_ts);
        whole.then(|| Self {
            place: Place::Channel(place.to_owned()),
            thread: thread.map(str::to_owned),
        })
    }

    /// The id of the place, as Slack's methods take it; `None` for one that is still to be made.
    pub fn place_id(&self) -> Option<&str> {
        match &self.place {
            Place::Channel(id) | Place::Person(id) => Some(id),
            Place::New(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.thread) {
            (Place::New(name), _) => write!(f, "+{name}"),
            (Place::Channel(id) | Place::Person(id), None) => f.write_str(id),
            (Place::Channel(id) | Place::Person(id), Some(thread)) => write!(f, "{id}:{thread}"),
        }
    }
}

/// Whether this is the `ts` of a message: digits, a point, digits. Opaque, never a number: two texts
/// of one value would be two messages.
pub fn is_ts(text: &str) -> bool {
    let digits = |t: &str| (1..=20).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
    text.split_once('.').is_some_and(|(whole, rest)| digits(whole) && digits(rest))
}

/// Reads the platform's id of a message, `channel:ts`. A file that was posted without telling its `ts`
/// is `channel:F…`, and can neither be answered nor found.
pub fn parse_message(id: &str) -> Option<(&str, &str)> {
    let (channel, ts) = id.split_once(':')?;
    (is_id(channel, "CGD") && is_ts(ts)).then_some((channel, ts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ids() {
        for good in ["C0MIRROR01", "D0X", "U0AGENT001", "+cust-dana-12", "C0X:1795210000.000100"] {
            assert_eq!(Address::parse(good).map(|a| a.to_string()).as_deref(), Some(good));
        }
        let bad = ["", "general", "#general", "@dana", "c0mirror01", "C0X:", "C0X:1", "U0X:1.2", "+", "+A", "C"];
        for bad in bad {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
        assert_eq!(parse_message("C0X:1795210000.000100"), Some(("C0X", "1795210000.000100")));
        for bad in ["C0X", "C0X:F0Y", "U0X:1.2", "C0X:1.2.3"] {
            assert_eq!(parse_message(bad), None, "{bad}");
        }
    }
}
