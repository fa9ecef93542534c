//! The service from outside: the real binary, emulated platforms, a chat backend. One binary, so that
//! it is linked once; a module per family, a test per promise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests may unwrap"
)]

mod accounts;
mod backend;
mod bad_input;
mod conversation;
mod crash;
mod door;
mod everybody;
mod files;
mod full;
mod limits;
mod mail;
mod on_redis;
mod operators;
mod order;
mod redis;
mod repeats;
mod slack;
mod start;
mod statuses;
mod talk;
mod unsure;

use serde_json::Value;
use switchboard_testkit::Setup;

/// A customer of the emulated Telegram.
const CUSTOMER: &str = "5550001001";

/// A telephone number that belongs to nobody.
const PHONE: &str = "+12025550142";

/// A world with the binary under test.
fn world() -> Setup {
    Setup::new(env!("CARGO_BIN_EXE_switchboard"))
}

/// A text out of an object; empty when it is not there.
fn word(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// A number out of an object.
fn number(value: &Value, name: &str) -> i64 {
    value[name]
        .as_i64()
        .unwrap_or_else(|| panic!("no number {name} in {value}"))
}
