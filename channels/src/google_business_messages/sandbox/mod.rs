//! The emulator: Google's servers with one agent, and the phones of the people who found it on a map.
//!
//! Strict as Google was: assertions whose signature, times, scope and audience are checked, tokens that
//! end, ids that are taken once, lengths in characters, suggestions, cards and carousels field by
//! field, the 30 days. It refuses fields that Google does not document. It fetches no links and posts
//! nowhere but to the channel's own webhook.

mod api;
mod check;
mod customer;
#[cfg(test)]
mod tests;

use super::config::{API_BASE, Settings};
use super::wire::ServiceAccount;
use crate::kit::emulator::{
    Action, CannotAct, Emulator, Exchange, Hook, PHONE_LINES_MAX, PhoneLine,
};
use crate::kit::http::{Request, Response};
use crate::kit::settings::Common;
use crate::kit::sign::named_uuid;
use crate::model::Millis;
use bytes::Bytes;
use check::Offer;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};

/// The conversation that is there from the start.
const CUSTOMER: &str = "5a0db0c5-0000-4000-8000-0000000d0a0a";

/// People of whom a phone is kept, and files.
const CUSTOMERS_MAX: usize = 1000;
const FILES_MAX: usize = 200;

/// Tokens that are good at once.
const TOKENS_MAX: usize = 50;

/// Ids that are remembered, so that none is taken twice.
const IDS_MAX: usize = 20_000;

/// A person's message opens the conversation for 30 days.
const WINDOW_MILLIS: i64 = 30 * 24 * 60 * 60 * 1000;

/// A code of `google.rpc` and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    http: u16,
    status: &'static str,
    words: String,
}

impl Fault {
    fn new(http: u16, status: &'static str, words: impl Into<String>) -> Self {
        let words = words.into();
        Self { http, status, words }
    }

    /// A field that Google would not take.
    fn argument(words: impl Into<String>) -> Self {
        Self::new(400, "INVALID_ARGUMENT", words)
    }

    fn response(&self) -> Response {
        let Self { http, status, words } = self;
        let body = json!({"error": {"code": http, "message": words, "status": status}});
        Response::json(*http, body.to_string())
    }
}

/// A person with a phone.
#[derive(Debug, Clone, Default)]
struct Customer {
    name: String,
    blocked: bool,
    /// When they last did something.
    active: Option<Millis>,
}

/// A message on a phone.
#[derive(Debug, Clone)]
struct Line {
    shown: PhoneLine,
    offers: Vec<Offer>,
    read: bool,
}

/// A file that a person sent.
#[derive(Debug, Clone)]
struct StoredFile {
    path: String,
    mime: String,
    bytes: Bytes,
}

/// One agent and the people who write to it.
#[derive(Debug)]
pub struct Sandbox {
    settings: Settings,
    account: ServiceAccount,
    base: String,
    hook_url: String,
    /// Tokens and until when each is good.
    tokens: VecDeque<(String, Millis)>,
    customers: BTreeMap<String, Customer>,
    lines: VecDeque<Line>,
    files: VecDeque<StoredFile>,
    /// Ids of messages and events that were taken.
    taken: VecDeque<String>,
    /// The last number that was given to anything; 0: none yet.
    last_id: i64,
}

impl Sandbox {
    /// A fresh agent, and somebody who has just found it.
    pub fn new(common: &Common, settings: Settings, account: ServiceAccount) -> Self {
        let mut sandbox = Self {
            settings,
            account,
            base: common.api_base(API_BASE),
            hook_url: common.webhook_url.clone(),
            tokens: VecDeque::new(),
            customers: BTreeMap::new(),
            lines: VecDeque::new(),
            files: VecDeque::new(),
            taken: VecDeque::new(),
            last_id: 0,
        };
        sandbox.reset();
        sandbox
    }

    /// Sets where numbers begin: at the milliseconds since 2026, so that an emulator that was started
    /// again does not repeat ids that a gateway remembers.
    fn wake(&mut self, now: Millis) {
        const YEAR_2026: Millis = Millis(1_767_225_600_000);
        if self.last_id == 0 {
            self.last_id = now.since(YEAR_2026).max(0);
        }
        if let Some(customer) = self.customers.get_mut(CUSTOMER) {
            customer.active.get_or_insert(now);
        }
    }

    /// An id as Google makes them.
    fn next_id(&mut self) -> String {
        self.last_id += 1;
        named_uuid(&[0x5a; 16], &self.last_id.to_string())
    }

    /// Takes an id once.
    fn take(&mut self, id: &str) -> Result<(), Fault> {
        if self.taken.iter().any(|taken| taken == id) {
            let words = format!("Requested entity already exists: {id}");
            return Err(Fault::new(409, "ALREADY_EXISTS", words));
        }
        self.taken.push_back(id.to_owned());
        while self.taken.len() > IDS_MAX {
            self.taken.pop_front();
        }
        Ok(())
    }

    /// Puts a line on a phone.
    fn keep(&mut self, line: Line) {
        self.lines.push_back(line);
        while self.lines.len() > PHONE_LINES_MAX {
            self.lines.pop_front();
        }
    }

    /// A line without anything in it.
    fn line(&self, customer: &str, id: &str, from_gateway: bool, now: Millis) -> PhoneLine {
        let name = self.customers.get(customer).map(|c| c.name.clone());
        PhoneLine {
            customer: customer.to_owned(),
            name: name.unwrap_or_default(),
            id: id.to_owned(),
            from_gateway,
            text: String::new(),
            extras: Vec::new(),
            buttons: Vec::new(),
            reactions: Vec::new(),
            at: now,
        }
    }
}

impl Emulator for Sandbox {
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange {
        self.wake(now);
        self.answer(request, now)
    }

    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        self.wake(now);
        self.customer_acts(action, now)
    }

    fn phone(&self) -> Vec<PhoneLine> {
        self.lines.iter().map(|line| line.shown.clone()).collect()
    }

    fn reset(&mut self) {
        self.lines.clear();
        self.files.clear();
        self.customers.clear();
        // Google remembers ids of conversations that it forgets no sooner than these.
        self.taken.clear();
        let dana = Customer {
            name: "Dana Fields".into(),
            ..Customer::default()
        };
        self.customers.insert(CUSTOMER.into(), dana);
        // Numbers and tokens go on: the account stays.
    }
}
