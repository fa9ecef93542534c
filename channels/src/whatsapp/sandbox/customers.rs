//! The people whom the emulated number knows.

use super::{NOT_ON_WHATSAPP, WINDOW_MILLIS};
use crate::kit::emulator::{CannotAct, PHONE_LINES_MAX};
use crate::model::Millis;
use crate::whatsapp::plan::Address;
use std::collections::BTreeMap;

/// The customer who is meant when none is named. Has written already, so that a first send works.
pub const DEFAULT: &str = "15550142233";
const DEFAULT_NAME: &str = "Dana Fields";

/// One customer.
#[derive(Debug, Clone)]
pub struct Customer {
    /// The number, digits only.
    pub wa_id: String,
    /// The business-scoped id.
    pub user_id: String,
    /// The name that they gave themselves.
    pub name: String,
    /// Said STOP.
    pub blocked: bool,
    /// When they last wrote.
    wrote: Wrote,
}

#[derive(Debug, Clone, Copy)]
enum Wrote {
    Never,
    BeforeWeCame,
    At(Millis),
}

impl Customer {
    /// Whether free text is taken for them.
    pub fn window_is_open(&self, now: Millis) -> bool {
        match self.wrote {
            Wrote::Never => false,
            Wrote::BeforeWeCame => true,
            Wrote::At(at) => now.since(at) < WINDOW_MILLIS,
        }
    }

    /// They write: the window opens.
    pub fn writes(&mut self, now: Millis) {
        self.wrote = Wrote::At(now);
    }
}

/// All customers, by number.
pub struct Customers(BTreeMap<String, Customer>);

impl Customers {
    /// The default customer alone.
    pub fn new() -> Self {
        let mut customers = Self(BTreeMap::new());
        let first = customers.meet(DEFAULT, Some(DEFAULT_NAME));
        first.wrote = Wrote::BeforeWeCame;
        customers
    }

    /// A customer who is known.
    pub fn get(&self, wa_id: &str) -> Option<&Customer> {
        self.0.get(wa_id)
    }

    /// The number behind a business-scoped id.
    pub fn by_user_id(&self, user_id: &str) -> Option<String> {
        let found = self.0.values().find(|c| c.user_id == user_id)?;
        Some(found.wa_id.clone())
    }

    /// A customer, known from now on; `name` replaces the one they had.
    pub fn meet(&mut self, wa_id: &str, name: Option<&str>) -> &mut Customer {
        // As many people as lines on the phones: nobody in sight is forgotten.
        if self.0.len() >= PHONE_LINES_MAX && !self.0.contains_key(wa_id) {
            let other = self.0.keys().find(|k| *k != DEFAULT).cloned();
            other.and_then(|k| self.0.remove(&k));
        }
        let customer = self
            .0
            .entry(wa_id.to_owned())
            .or_insert_with(|| Customer {
                wa_id: wa_id.to_owned(),
                user_id: format!("US.9{wa_id}"),
                name: format!("Customer {wa_id}"),
                blocked: false,
                wrote: Wrote::Never,
            });
        if let Some(name) = name {
            name.clone_into(&mut customer.name);
        }
        customer
    }
}

/// A number in any usual spelling as digits.
pub fn digits(address: &str) -> Option<String> {
    match Address::parse(address) {
        Ok(Address::Phone(digits)) => Some(digits),
        _ => None,
    }
}

/// The customer who acts: by number, by business-scoped id, or the default one.
pub fn actor(customers: &Customers, from: Option<&str>) -> Result<String, CannotAct> {
    let Some(from) = from else {
        return Ok(DEFAULT.to_owned());
    };
    let known = customers.by_user_id(from).or_else(|| digits(from));
    match known {
        Some(number) if number.starts_with(NOT_ON_WHATSAPP) => {
            Err(CannotAct(format!("{from} is not on WhatsApp")))
        }
        Some(number) => Ok(number),
        None => Err(CannotAct(format!(
            "{from} is neither a telephone number with country code nor a known user id"
        ))),
    }
}
