//! Reading single values: what is allowed is said here, once per type, and a value that is refused
//! is described without being quoted where it may be a secret.
//!
//! serde carries errors as sentences only. What a reader here finds wrong travels inside such a
//! sentence between separators that no configuration contains ([`problem`]), and the loader takes
//! it out again ([`problem_in`]); the path of the key comes from `serde_path_to_error`.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::net::SocketAddr;
use url::Url;

/// Stands before each half of a [`problem`]: the "unit separator" of ASCII.
const MARK: char = '\u{1f}';

/// The most characters of a value that an error shows.
const SHOWN_CHARS: usize = 60;

/// An error for serde that says what was found and what is allowed.
pub(super) fn problem<E: Error>(found: &str, allowed: &str) -> E {
    E::custom(format!("{MARK}{found}{MARK}{allowed}"))
}

/// What [`problem`] put into a sentence.
pub(super) fn problem_in(sentence: &str) -> Option<(&str, &str)> {
    sentence.split_once(MARK)?.1.split_once(MARK)
}

/// A value that is no secret, as errors show it.
pub(super) fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(SHOWN_CHARS).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        cut.push('…');
    }
    format!("{cut:?}")
}

/// The type of a value in words.
pub(super) fn type_words(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
    }
}

/// A type that is written as a string.
pub(super) trait Text: Sized {
    /// What is allowed, in words.
    const ALLOWED: &'static str;

    /// Reads it; `None` when the text is not of this type.
    fn read(text: &str) -> Option<Self>;

    /// What an error says was found. Types that may hold a secret say something that does not
    /// quote the text.
    fn found(text: &str) -> String {
        shown(text)
    }
}

/// Reads a [`Text`].
pub(super) fn text<'de, D: Deserializer<'de>, T: Text>(deserializer: D) -> Result<T, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => T::read(&text).ok_or_else(|| problem(&T::found(&text), T::ALLOWED)),
        // A number may be a secret whose quotes were forgotten.
        Value::Number(_) => Err(problem("a number", T::ALLOWED)),
        other => Err(problem(&type_words(&other), T::ALLOWED)),
    }
}

/// Reads a [`Text`] that need not be there.
pub(super) fn some_text<'de, D: Deserializer<'de>, T: Text>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    text(deserializer).map(Some)
}

/// Lets serde read a [`Text`], so that lists of it name the index of a wrong element.
macro_rules! deserialize_text {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::value::text(deserializer)
            }
        }
    };
}
pub(super) use deserialize_text;

/// Reads a whole number from `MIN` to `MAX`, both included.
pub(super) fn whole<'de, D, T, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let value = Value::deserialize(deserializer)?;
    value
        .as_u64()
        .filter(|number| (MIN..=MAX).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| {
            let allowed = format!("a whole number from {MIN} to {MAX}");
            problem(&type_words(&value), &allowed)
        })
}

/// Reads a [`whole`] number that need not be there.
pub(super) fn some_whole<'de, D, T, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    whole::<D, T, MIN, MAX>(deserializer).map(Some)
}

/// The slowest rate: one in a quarter of an hour. Slower ones are meant to be a pause.
const RATE_MIN: f64 = 0.001;
/// The fastest rate: beyond it the clock is not fine enough to tell one from the next.
const RATE_MAX: f64 = 1_000_000.0;

/// Reads a rate per second.
pub(super) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number(deserializer, RATE_MIN, RATE_MAX)
}

/// Reads a rate per second that need not be there.
pub(super) fn some_rate<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    rate(deserializer).map(Some)
}

/// Reads a number from `min` to `max`, both included.
pub(super) fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
    min: f64,
    max: f64,
) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    value
        .as_f64()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| {
            let allowed = format!("a number from {min} to {max}");
            problem(&type_words(&value), &allowed)
        })
}

impl Text for SocketAddr {
    const ALLOWED: &'static str =
        "an address with a port from 1 to 65535, such as 127.0.0.1:8080 or [::1]:8080";

    fn read(text: &str) -> Option<Self> {
        // Port 0 would be chosen anew at each start, and nobody could be told it.
        text.parse().ok().filter(|a: &Self| a.port() != 0)
    }
}

/// Name of a channel or of a webhook: `^[a-z0-9][a-z0-9-]{0,62}$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id(pub String);

impl Text for Id {
    const ALLOWED: &'static str = "1 to 63 characters of a-z, 0-9 and -, the first of them no -";

    fn read(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits =
            (1..=63).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed);
        fits.then(|| Self(text.to_owned()))
    }
}
deserialize_text!(Id);

/// An `http` or `https` URL without query and fragment, and without a slash at the end: something
/// to put paths behind. `Debug` leaves out a user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// The URL, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&without_secrets(&self.0))
    }
}

impl std::fmt::Display for BaseUrl {
    /// The whole URL: a secret in it is written out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Text for BaseUrl {
    const ALLOWED: &'static str =
        "an http or https URL without query and fragment, such as https://gateway.example.com";

    fn read(text: &str) -> Option<Self> {
        let url = http_url(text)?;
        let plain = url.query().is_none() && url.fragment().is_none();
        plain.then(|| Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    fn found(text: &str) -> String {
        url_words(text)
    }
}
deserialize_text!(BaseUrl);

impl std::str::FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        <Self as Text>::read(text).ok_or_else(|| format!("allowed is {}", Self::ALLOWED))
    }
}

impl From<SocketAddr> for BaseUrl {
    /// The URL under which this machine reaches what listens there.
    fn from(listen: SocketAddr) -> Self {
        Self(format!("http://{}", reachable(listen)))
    }
}

/// Where this machine reaches what listens on `listen`: "every address" is none to call.
pub(super) fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}

/// Reads an `http` or `https` URL with a host.
pub(super) fn http_url(text: &str) -> Option<Url> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// What an error says of a URL, which may hold a password: its scheme.
pub(super) fn url_words(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) => format!("another URL, of the scheme {}:", url.scheme()),
        Err(_) if text.is_empty() => "an empty string".to_owned(),
        Err(reason) => format!("a string that is no URL ({reason})"),
    }
}

/// A URL as `Debug` shows it: without user, password, query and fragment.
pub(super) fn without_secrets(url: &str) -> String {
    let Ok(url) = Url::parse(url) else {
        return "***".to_owned();
    };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    format!("{}://{host}{port}{path}", url.scheme())
}
