//! The emulator: one Twilio account with one sender, as strict as the real one, and the customers
//! who have its number.

mod api;
mod create;
mod customer;

use super::config::Settings;
use super::verify::{self, Digest};
use crate::kit::emulator::{Action, CannotAct, Emulator, Exchange, Hook, PHONE_LINES_MAX, PhoneLine};
use crate::kit::http::Request;
use crate::kit::settings::Common;
use crate::model::Millis;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The number of a messaging service's pool, and what customers write to where the configured sender
/// is a name. Twilio keeps it for tests.
const POOL_NUMBER: &str = "+15005550006";

/// The customer who acts when none is named; 555-01xx numbers belong to nobody.
const CUSTOMER: &str = "+12025550142";

/// A message in either direction.
struct Line {
    sid: String,
    /// Whose phone it is on.
    customer: String,
    /// Our side of it; `None` while a service has not picked a number.
    ours: Option<String>,
    from_gateway: bool,
    text: String,
    /// Links of its media.
    media: Vec<String>,
    status: &'static str,
    callback: Option<String>,
    at: Millis,
}

/// A file that a customer sent.
struct File {
    sid: String,
    message: String,
    name: String,
    mime: String,
    bytes: Bytes,
}

/// The emulated account.
pub struct Sandbox {
    settings: Settings,
    api_base: String,
    webhook_url: String,
    /// Counts everything that gets an id. Goes on over a reset, so that no id comes twice.
    counter: u64,
    lines: VecDeque<Line>,
    files: VecDeque<File>,
    opted_out: BTreeSet<String>,
    names: BTreeMap<String, String>,
}

impl Sandbox {
    /// An account on which nothing has happened.
    pub fn new(common: &Common, settings: Settings) -> Self {
        Self {
            settings,
            api_base: common.api_base(super::config::API_BASE),
            webhook_url: common.webhook_url.clone(),
            counter: 0,
            lines: VecDeque::new(),
            files: VecDeque::new(),
            opted_out: BTreeSet::new(),
            names: BTreeMap::new(),
        }
    }

    /// A new id: the time keeps it apart from those of an earlier run, the counter from others now.
    fn sid(&mut self, prefix: &str, now: Millis) -> String {
        self.counter += 1;
        format!("{prefix}{:016x}{:016x}", now.0, self.counter)
    }

    fn keep(&mut self, line: Line) {
        self.lines.push_back(line);
        if self.lines.len() > PHONE_LINES_MAX {
            self.lines.pop_front();
        }
    }

    /// The number that customers see.
    fn number(&self) -> &str {
        match &self.settings.from {
            Some(from) if from.starts_with('+') => from,
            _ => POOL_NUMBER,
        }
    }

    /// A signed webhook. Without an auth token the account signs with its first shared key.
    fn hook(&self, url: &str, params: Vec<(&str, String)>, after_ms: u64) -> Hook {
        let form: Vec<(String, String)> = params
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let token = self.settings.signing_tokens().next();
        let shared = self.settings.webhook_shared_keys.first_key_value();
        let mut request = Request::post_form(url, form.clone());
        if let Some(token) = token {
            let signature = verify::sign(Digest::Sha1, token, url, &form);
            request.headers.push(verify::SIGNATURE, signature);
        } else if let Some((id, key)) = shared {
            let signature = verify::sign(Digest::Sha256, key, url, &form);
            request.headers.push(verify::SIGNATURE, signature);
            let settings = format!("key={id},algorithm=HMAC_SHA256");
            request.headers.push(verify::SETTINGS, settings);
        }
        Hook { request, after_ms }
    }
}

impl Emulator for Sandbox {
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange {
        api::handle(self, request, now)
    }

    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        customer::act(self, action, now)
    }

    fn phone(&self) -> Vec<PhoneLine> {
        let line = |line: &Line| PhoneLine {
            customer: line.customer.clone(),
            name: self
                .names
                .get(&line.customer)
                .unwrap_or(&line.customer)
                .clone(),
            id: line.sid.clone(),
            from_gateway: line.from_gateway,
            text: line.text.clone(),
            extras: line.media.clone(),
            buttons: Vec::new(),
            reactions: Vec::new(),
            at: line.at,
        };
        let arrived = |line: &&Line| !matches!(line.status, "scheduled" | "canceled");
        self.lines.iter().filter(arrived).map(line).collect()
    }

    fn reset(&mut self) {
        self.lines.clear();
        self.files.clear();
        self.opted_out.clear();
        self.names.clear();
    }
}

#[cfg(test)]
mod tests;
