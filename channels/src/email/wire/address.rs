//! Mail addresses in the one form in which they are compared and written.

use std::fmt;
use url::Host;

/// RFC 5321, 4.5.3.1.1: octets of a local part.
const LOCAL_MAX: usize = 64;
/// RFC 5321, 4.5.3.1.3: octets of a path, less its brackets.
const ADDRESS_MAX: usize = 254;

/// An address: lower case, its domain in ASCII. Local parts are case-sensitive by the letter of the
/// standard, and by no provider's practice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    text: String,
    at: usize,
}

impl Address {
    /// Reads `local@domain`. Quoted local parts, comments and everything else that could change the
    /// meaning of a header or a command are refused.
    pub fn read(text: &str) -> Option<Self> {
        let (local, name) = text.trim().rsplit_once('@')?;
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"()<>[]:;,\\\"@".contains(c);
        if local.is_empty() || local.len() > LOCAL_MAX || !local.chars().all(plain) {
            return None;
        }
        let text = format!("{}@{}", local.to_lowercase(), domain(name)?);
        // Lower case may be longer than upper case.
        let at = text.rfind('@')?;
        (text.len() <= ADDRESS_MAX && at <= LOCAL_MAX).then_some(Self { text, at })
    }

    /// The whole address.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands before the at sign.
    pub fn local(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// What stands behind the at sign.
    pub fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }

    /// What stands behind a plus sign in the local part.
    pub fn tag(&self) -> Option<&str> {
        self.local().split_once('+').map(|(_, tag)| tag)
    }

    /// The address with something behind a plus sign; `None` where that is too long.
    pub fn with_tag(&self, tag: &str) -> Option<Self> {
        Self::read(&format!("{}+{tag}@{}", self.local(), self.domain()))
    }

    /// Whether the other one is this one, or this one with something behind a plus sign.
    pub fn is_base_of(&self, other: &Self) -> bool {
        let base = |a: &str| a.split('+').next().unwrap_or_default().to_owned();
        self.domain() == other.domain()
            && (self.local() == other.local() || self.local() == base(other.local()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A domain in ASCII and lower case; `None` where it is none. The URL standard's reading of host names
/// knows punycode, and refuses what no resolver would take.
pub fn domain(name: &str) -> Option<String> {
    if name.contains(['%', '/', '[']) {
        return None;
    }
    match Host::parse(name.trim_end_matches('.')) {
        Ok(Host::Domain(name)) if !name.is_empty() => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for (text, address) in [
            ("a@b.se", Some("a@b.se")),
            (" Anna.Berg@Example.SE ", Some("anna.berg@example.se")),
            ("info@Bücher.example", Some("info@xn--bcher-kva.example")),
            ("jösé@example.net", Some("jösé@example.net")),
            ("a@localhost", Some("a@localhost")),
            ("a+b@x.se", Some("a+b@x.se")),
            ("a@b@x.se", None),
            ("\"a b\"@x.se", None),
            ("a b@x.se", None),
            ("a\r\nBcc:@x.se", None),
            ("<a@x.se>", None),
            ("@x.se", None),
            ("a@", None),
            ("a@x y", None),
            ("a@1.2.3.4", None),
            ("a@[1.2.3.4]", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(Address::read(text).as_ref().map(Address::text), address, "{text:?}");
        }
        assert!(Address::read(&format!("{}@x.se", "a".repeat(65))).is_none());
        assert!(Address::read(&format!("a@{}se", "long.".repeat(60))).is_none());
    }

    #[test]
    fn tags_stand_behind_a_plus_sign() {
        let own = Address::read("support@x.se").unwrap();
        let tagged = own.with_tag("abc").unwrap();
        assert_eq!((tagged.text(), tagged.tag()), ("support+abc@x.se", Some("abc")));
        assert!(own.is_base_of(&tagged) && own.is_base_of(&own));
        assert!(!tagged.is_base_of(&own));
        assert!(!own.is_base_of(&Address::read("support@y.se").unwrap()));
        assert!(own.with_tag(&"a".repeat(70)).is_none());
    }
}
