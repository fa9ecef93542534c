//! The same from outside with the store on PostgreSQL: what is said, in which order, once, through kills.

#![expect(clippy::duplicate_mod, reason = "the same tests over another database")]

#[path = "crash.rs"]
mod crash;
#[path = "order.rs"]
mod order;
#[path = "repeats.rs"]
mod repeats;
#[path = "statuses.rs"]
mod statuses;
#[path = "talk.rs"]
mod talk;

use super::{CUSTOMER, PHONE, number, word};
use switchboard_testkit::Setup;

/// A world with the binary under test, and a database of its own.
fn world() -> Setup {
    super::world().postgres()
}
