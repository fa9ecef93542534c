//! A webhook as a record: a head in JSON, which later releases may add to, and the raw body.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use switchboard_channels::kit::http::{Headers, Inbound, Method, Via};
use switchboard_channels::model::Millis;

/// A verified webhook that waits for the store.
#[derive(Debug, Clone)]
pub struct Record {
    /// The channels that it touches, the one that it was posted to first.
    pub channels: Vec<String>,
    /// The request, byte for byte.
    pub request: Inbound,
}

#[derive(Serialize, Deserialize)]
struct Head {
    channels: Vec<String>,
    method: Verb,
    url: String,
    query: String,
    headers: Vec<(String, String)>,
    received_at: i64,
}

/// Methods by name, so that no order of an enum gets onto a disk.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Head,
}

impl Record {
    /// The channel that it was posted to.
    pub fn channel(&self) -> &str {
        self.channels.first().map_or("", String::as_str)
    }

    /// The payload of the record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let request = &self.request;
        let head = Head {
            channels: self.channels.clone(),
            method: match request.method {
                Method::Get => Verb::Get,
                Method::Post => Verb::Post,
                Method::Put => Verb::Put,
                Method::Patch => Verb::Patch,
                Method::Delete => Verb::Delete,
                Method::Head => Verb::Head,
            },
            url: request.url.clone(),
            query: request.query.clone(),
            headers: request
                .headers
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            received_at: request.received_at.0,
        };
        // Strings and numbers always become JSON.
        let head = serde_json::to_vec(&head).unwrap_or_default();
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
        let mut payload = Vec::with_capacity(4 + head.len() + request.body.len());
        payload.extend_from_slice(&length.to_le_bytes());
        payload.extend_from_slice(&head);
        payload.extend_from_slice(&request.body);
        payload
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// When it is none: its checksum held, so that this is a mistake in a release.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, String> {
        let cut = || "a payload that ends too early".to_owned();
        let (length, rest) = payload.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|e| e.to_string())?;
        let (head, body) = rest.split_at_checked(length).ok_or_else(cut)?;
        let head: Head = serde_json::from_slice(head).map_err(|e| e.to_string())?;
        let mut headers = Headers::default();
        for (name, value) in head.headers {
            headers.push(name, value);
        }
        Ok(Self {
            channels: head.channels,
            request: Inbound {
                // Nothing else is spooled: our own loops can wait with what they bring.
                via: Via::Web,
                method: match head.method {
                    Verb::Get => Method::Get,
                    Verb::Post => Method::Post,
                    Verb::Put => Method::Put,
                    Verb::Patch => Method::Patch,
                    Verb::Delete => Method::Delete,
                    Verb::Head => Method::Head,
                },
                url: head.url,
                query: head.query,
                headers,
                body: Bytes::copy_from_slice(body),
                received_at: Millis(head.received_at),
            },
        })
    }
}
