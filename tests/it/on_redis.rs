//! The promises of order, crashes, doubts, limits and operators once more, with the schedule in Redis.

#![allow(clippy::duplicate_mod, reason = "the same tests over another queue")]

use crate::{CUSTOMER, PHONE, number, word};
use std::sync::OnceLock;
use switchboard_testkit::Setup;
use switchboard_testkit::servers::RedisServer;

#[path = "crash.rs"]
mod crash;
#[path = "limits.rs"]
mod limits;
#[path = "operators.rs"]
mod operators;
#[path = "order.rs"]
mod order;
#[path = "unsure.rs"]
mod unsure;

/// One server for all of them; each world has a database of its own.
fn world() -> Setup {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    crate::world().redis(SERVER.get_or_init(RedisServer::start))
}
