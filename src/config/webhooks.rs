//! `[[webhooks]]`: the chat backend's receivers of events.

use super::value::{self, Id, Text, deserialize_text};
use serde::Deserialize;
use std::fmt;
use switchboard_channels::kit::secret::Secret;
use switchboard_channels::kit::sign;
use url::Url;

/// The events that the chat backend may ask for.
pub const EVENTS: [&str; 15] = [
    "message-sent",
    "new-messages",
    "sms-sent",
    "email-sent",
    "slack-message-sent",
    "new-conversation-created",
    "conversation-status-updated",
    "message-status-updated",
    "message-updated",
    "message-deleted",
    "message-reaction",
    "user-updated",
    "user-deleted",
    "channel-paused",
    "channel-resumed",
];

/// One `[[webhooks]]`.
#[derive(Clone, Deserialize)]
#[serde(from = "Keys")]
pub struct WebhookConfig {
    /// Its name; the lane is `events:{id}`.
    pub id: String,
    /// Where events are posted. May hold a secret.
    pub url: Url,
    /// Sent with each event, and signs it.
    pub key: WebhookKey,
    /// The events it wants; empty = all.
    pub events: Vec<EventName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    id: Id,
    #[serde(deserialize_with = "value::text")]
    url: Receiver,
    key: WebhookKey,
    #[serde(default)]
    events: Vec<EventName>,
}

impl From<Keys> for WebhookConfig {
    fn from(keys: Keys) -> Self {
        Self {
            id: keys.id.0,
            url: keys.url.0,
            key: keys.key,
            events: keys.events,
        }
    }
}

impl WebhookConfig {
    /// Whether it wants this event.
    pub fn wants(&self, event: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|e| e.0 == event)
    }
}

impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig")
            .field("id", &self.id)
            .field("url", &value::without_secrets(self.url.as_str()))
            .field("key", &self.key)
            .field("events", &self.events)
            .finish()
    }
}

struct Receiver(Url);

impl Text for Receiver {
    const ALLOWED: &'static str = "an http or https URL";

    fn read(text: &str) -> Option<Self> {
        value::http_url(text).map(Self)
    }

    fn found(text: &str) -> String {
        value::url_words(text)
    }
}

/// Name of an event, one of [`EVENTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventName(&'static str);

impl EventName {
    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl Text for EventName {
    const ALLOWED: &'static str = "names of events: message-sent, new-messages, sms-sent, \
        email-sent, slack-message-sent, new-conversation-created, conversation-status-updated, \
        message-status-updated, message-updated, message-deleted, message-reaction, user-updated, \
        user-deleted, channel-paused, channel-resumed";

    fn read(text: &str) -> Option<Self> {
        EVENTS.iter().find(|e| **e == text).copied().map(Self)
    }
}
deserialize_text!(EventName);

/// What a receiver knows us by.
#[derive(Debug, Clone)]
pub struct WebhookKey(Secret);

impl WebhookKey {
    /// Stands before a key in base64.
    pub const BASE64_PREFIX: &str = "whsec_";

    /// The key as it is sent along.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The bytes that sign: those of the key or, after `whsec_`, those behind the base64.
    pub fn signing_bytes(&self) -> Vec<u8> {
        Self::bytes(self.expose()).unwrap_or_default()
    }

    fn bytes(text: &str) -> Option<Vec<u8>> {
        match text.strip_prefix(Self::BASE64_PREFIX) {
            Some(base64) => sign::from_base64(base64),
            None => Some(text.as_bytes().to_vec()),
        }
        .filter(|bytes| !bytes.is_empty())
    }
}

impl Text for WebhookKey {
    const ALLOWED: &'static str = "text that is not empty, or whsec_ and base64 with padding";

    fn read(text: &str) -> Option<Self> {
        Self::bytes(text).map(|_| Self(Secret::new(text)))
    }

    fn found(text: &str) -> String {
        if text.is_empty() {
            "an empty string".to_owned()
        } else {
            "whsec_ and something that is no base64".to_owned()
        }
    }
}
deserialize_text!(WebhookKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_lists_every_event() {
        let (_, list) = EventName::ALLOWED.split_once(": ").unwrap();
        assert_eq!(list.split(", ").collect::<Vec<_>>(), EVENTS);
    }

    #[test]
    fn keys_sign_with_their_bytes_or_with_what_the_base64_holds() {
        let bytes = |text: &str| WebhookKey::read(text).map(|k| k.signing_bytes());
        assert_eq!(bytes("secret"), Some(b"secret".to_vec()));
        assert_eq!(bytes("whsec_c2VjcmV0"), Some(b"secret".to_vec()));
        assert_eq!(bytes("whsec_"), None);
        assert_eq!(bytes("whsec_no base64"), None);
        assert_eq!(bytes(""), None);
    }
}
