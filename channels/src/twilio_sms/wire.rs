//! What Twilio sends, field for field: parameters of webhooks, resources and errors of the API.

use crate::kit::http::{Inbound, Method};
use serde::Deserialize;

/// Decoded parameters in order of arrival.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes a form (or a query, which is one).
    pub fn read(raw: &[u8]) -> Self {
        Self(form_urlencoded::parse(raw).into_owned().collect())
    }

    /// All of them.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The first value under this name, possibly empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The first value under this name, if it is not empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }
}

/// How a webhook carries what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// In the query: an operator configured GET.
    Query,
    /// In the body, as a form.
    Form,
    /// In the body, as JSON.
    Json,
}

impl Shape {
    /// The shape of a request. `verify` and `parse` both ask here, so that nothing is read in another
    /// way than it was verified.
    pub fn of(request: &Inbound) -> Self {
        let essence = request.headers.get("content-type").unwrap_or_default();
        let essence = essence.split(';').next().unwrap_or_default().trim();
        match request.method {
            Method::Get | Method::Head => Self::Query,
            _ if essence.eq_ignore_ascii_case("application/json") => Self::Json,
            _ => Self::Form,
        }
    }
}

/// A message resource, as `Messages.json` gives it.
#[derive(Debug, Deserialize)]
pub struct Message {
    /// `SM…` or `MM…`.
    pub sid: String,
    /// Where it stands.
    #[serde(default)]
    pub status: Option<String>,
    /// Its text.
    #[serde(default)]
    pub body: Option<String>,
    /// How many media it has: a number in a string.
    #[serde(default)]
    pub num_media: Option<String>,
    /// RFC 2822.
    #[serde(default)]
    pub date_created: Option<String>,
    /// `outbound-api`, `inbound`, …
    #[serde(default)]
    pub direction: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub error_code: Option<u32>,
    /// The same in words.
    #[serde(default)]
    pub error_message: Option<String>,
}

/// A page of messages, the newest first.
#[derive(Debug, Deserialize)]
pub struct MessagePage {
    /// The messages.
    pub messages: Vec<Message>,
}

/// An account resource.
#[derive(Debug, Deserialize)]
pub struct Account {
    /// `AC…`
    pub sid: String,
    /// The name that the operator gave it.
    #[serde(default)]
    pub friendly_name: Option<String>,
    /// `active`, `suspended` or `closed`.
    #[serde(default)]
    pub status: Option<String>,
}

/// An error of the API.
#[derive(Debug, Deserialize)]
pub struct ApiError {
    /// Twilio's code.
    pub code: u32,
    /// Twilio's words.
    #[serde(default)]
    pub message: String,
}
