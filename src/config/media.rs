//! `[media]`: where attachments are kept, and which addresses may be fetched.

use super::value::{self, Text, deserialize_text};
use serde::Deserialize;
use std::net::IpAddr;
use std::path::PathBuf;
use url::Url;

/// `[media]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaConfig {
    /// Where attachments are kept.
    pub url: MediaUrl,
    /// The most bytes of one attachment.
    // 2 GiB is the most that any platform carries (Telegram, through a server of one's own).
    #[serde(deserialize_with = "value::whole::<_, _, 1, 2_147_483_648>")]
    pub max_bytes: u64,
    /// Hosts that may be fetched from although their addresses are private.
    pub allow_private_hosts: Vec<HostPattern>,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            url: MediaUrl::Dir(PathBuf::from("data/media")),
            max_bytes: 25 * 1024 * 1024,
            allow_private_hosts: Vec::new(),
        }
    }
}

/// A media store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaUrl {
    /// `file:PATH`
    Dir(PathBuf),
    /// `s3://bucket/prefix` and the like; its credentials come from the environment.
    Object(String),
}

impl Text for MediaUrl {
    const ALLOWED: &'static str =
        "file:PATH, such as file:data/media, or s3://bucket/prefix without user and query";

    fn read(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("file:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return (!path.is_empty()).then(|| Self::Dir(PathBuf::from(path)));
        }
        let url = Url::parse(text).ok()?;
        // What is kept here is shown: it must not carry credentials.
        let fits = matches!(url.scheme(), "s3" | "gs" | "az" | "azblob" | "gcs")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none();
        fits.then(|| Self::Object(text.to_owned()))
    }

    fn found(text: &str) -> String {
        value::url_words(text)
    }
}
deserialize_text!(MediaUrl);

/// A host that is exempt from the guard against private addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This name, lower-case.
    Name(String),
    /// Every address whose first `bits` bits are those of `address`.
    Net {
        /// The network.
        address: IpAddr,
        /// The length of its prefix.
        bits: u8,
    },
}

impl HostPattern {
    /// Whether this is the name of the host.
    pub fn is_name(&self, host: &str) -> bool {
        matches!(self, Self::Name(name) if name.eq_ignore_ascii_case(host.trim_end_matches('.')))
    }

    /// Whether the address lies in this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let Self::Net { address: net, bits } = self else {
            return false;
        };
        let differ = match (net, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
            (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
            _ => return false,
        };
        differ.leading_zeros() >= u32::from(*bits)
    }
}

impl Text for HostPattern {
    const ALLOWED: &'static str =
        "a host name, an address or a network such as 10.0.0.0/8, without scheme and port";

    fn read(text: &str) -> Option<Self> {
        if let Some((address, bits)) = text.split_once('/') {
            let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
            let most = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= most).then_some(Self::Net { address, bits });
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return Some(Self::Net { address, bits });
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let fits = !text.is_empty() && text.bytes().all(allowed);
        fits.then(|| Self::Name(text.trim_end_matches('.').to_ascii_lowercase()))
    }
}
deserialize_text!(HostPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_hold_what_they_say_and_no_more() {
        let holds = |pattern: &str, address: &str| {
            let pattern = HostPattern::read(pattern).unwrap();
            pattern.contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.1.2"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(!holds("10.0.0.0/8", "fe80::1"));
        assert!(holds("fd00::/8", "fdab::1"));
        assert!(!holds("fd00::/8", "fe80::1"));
        assert!(holds("192.168.1.5", "192.168.1.5"));
        assert!(!holds("192.168.1.5", "192.168.1.4"));
        assert!(holds("0.0.0.0/0", "8.8.8.8"));
        let name = HostPattern::read("Files.Internal").unwrap();
        assert!(name.is_name("files.internal.") && !name.is_name("internal"));
        for wrong in [
            "10.0.0.0/33",
            "http://x",
            "host:80",
            "",
            "a b",
            "10.0.0.0/x",
        ] {
            assert_eq!(HostPattern::read(wrong), None, "{wrong}");
        }
    }
}
