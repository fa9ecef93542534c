//! The emulator: WeChat's servers with one verified account, and its followers' phones.
//!
//! Strict as WeChat is: access tokens that are checked, expire and are replaced, types, sizes and
//! bytes, files that must have been uploaded, the 48 hours and the number of messages, people who do
//! not follow. Callbacks are signed, and encrypted as the account's mode says. Only the sandbox counts
//! to 20 messages after a message, WeChat's figure until June 2023, where it would count to 5 now: a
//! demonstration should not end after the fifth.

mod api;
mod customer;
mod media;
mod send;
#[cfg(test)]
mod tests;

use super::config::{API_BASE, Settings};
use crate::kit::emulator::{
    Action, CannotAct, Emulator, Exchange, Hook, PHONE_LINES_MAX, PhoneLine,
};
use crate::kit::http::Request;
use crate::kit::settings::Common;
use crate::model::Millis;
use media::StoredFile;
use std::collections::{BTreeMap, VecDeque};

/// The follower who is there from the start.
const CUSTOMER: &str = "oSandboxDanaFields0000000001";

/// People of whom a phone is kept.
const CUSTOMERS_MAX: usize = 1000;

/// A person's messages open the conversation for so long, and for so many of ours.
const WINDOW_MILLIS: i64 = 48 * 60 * 60 * 1000;
const MESSAGES_AFTER_MESSAGE: u32 = 20;

/// Following, scanning and the account's menu do it for a minute.
const TAP_MILLIS: i64 = 60 * 1000;
const MESSAGES_AFTER_TAP: u32 = 3;

/// What a person did last, and how many messages it still allows.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    at: Millis,
    left: u32,
}

impl Allowance {
    fn of(at: Millis, left: u32) -> Self {
        Self { at, left }
    }

    fn is_open(&self, now: Millis, millis: i64) -> bool {
        now.since(self.at) < millis
    }
}

/// A person with a phone.
#[derive(Debug, Clone, Default)]
struct Customer {
    name: String,
    /// Follows the account.
    follows: bool,
    wrote: Option<Allowance>,
    tapped: Option<Allowance>,
    /// Until when they see that somebody is typing.
    typing_until: Option<Millis>,
}

/// A message on a phone.
#[derive(Debug, Clone)]
struct Line {
    shown: PhoneLine,
    /// Id and text of the items of its menu.
    menu: Vec<(String, String)>,
}

/// A token and until when it is good.
#[derive(Debug, Clone)]
struct Issued {
    value: String,
    until: Millis,
}

/// One account and its followers.
#[derive(Debug)]
pub struct Sandbox {
    settings: Settings,
    base: String,
    hook_url: String,
    /// Tokens that are good, the last one being the current one.
    tokens: VecDeque<Issued>,
    forced: u32,
    customers: BTreeMap<String, Customer>,
    lines: VecDeque<Line>,
    files: VecDeque<StoredFile>,
    /// The last number that was given to anything; 0: none yet.
    last_id: i64,
}

impl Sandbox {
    /// A fresh account with its first follower.
    pub fn new(common: &Common, settings: Settings) -> Self {
        let mut sandbox = Self {
            settings,
            base: common.api_base(API_BASE),
            hook_url: common.webhook_url.clone(),
            tokens: VecDeque::new(),
            forced: 0,
            customers: BTreeMap::new(),
            lines: VecDeque::new(),
            files: VecDeque::new(),
            last_id: 0,
        };
        sandbox.reset();
        sandbox
    }

    /// Sets where numbers begin: at the milliseconds since 2026, so that an emulator that was started
    /// again does not repeat ids that a gateway remembers. Whoever follows from the start has just
    /// written.
    fn wake(&mut self, now: Millis) {
        const YEAR_2026: Millis = Millis(1_767_225_600_000);
        if self.last_id == 0 {
            self.last_id = now.since(YEAR_2026).max(0);
        }
        if let Some(customer) = self.customers.get_mut(CUSTOMER) {
            let wrote = || Allowance::of(now, MESSAGES_AFTER_MESSAGE);
            customer.wrote.get_or_insert_with(wrote);
        }
    }

    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// Puts a line on a phone.
    fn keep(&mut self, line: Line) {
        self.lines.push_back(line);
        while self.lines.len() > PHONE_LINES_MAX {
            self.lines.pop_front();
        }
    }

    /// A line without anything in it.
    fn line(&mut self, customer: &str, from_gateway: bool, now: Millis) -> PhoneLine {
        let name = self.customers.get(customer).map(|c| c.name.clone());
        PhoneLine {
            customer: customer.to_owned(),
            name: name.unwrap_or_default(),
            id: self.next_id().to_string(),
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
        let dana = Customer {
            name: "Dana Fields".into(),
            follows: true,
            ..Customer::default()
        };
        self.customers.insert(CUSTOMER.into(), dana);
        // Numbers and tokens go on: the account stays.
    }
}
