//! # The black-box testkit
//!
//! Boots the real `switchboard` binary on free ports in a folder of its own, with emulated
//! platforms ([`Emulator`]) on one side and a chat backend ([`Backend`]) on the other, and lets a
//! test do what the world does: call, write, press, break, kill.
//!
//! - Nothing sleeps and hopes: [`until`] waits for a condition with a deadline, and
//!   [`World::quiet`] for the moment when nothing is under way any more, so that "and no more than
//!   that" can be asserted.
//! - The [`World`] judges when it is dropped: a log line of level `ERROR` that the test did not
//!   announce, a secret in any log, or an event with a wrong signature fails the test.
//! - It knows the binary only from outside: command line, configuration, HTTP. What it checks
//!   (signatures above all) it computes by itself.

mod backend;
mod config;
mod emulator;
mod http;
mod members;
mod ports;
mod process;
pub mod servers;
pub mod sign;
mod wait;
mod world;

pub use backend::{Backend, Delivery, KEY as HOOK_KEY, Mood};
pub use config::{HOOK_ID, Setup, TOKEN};
pub use emulator::Emulator;
pub use http::Answer;
pub use process::Exit;
pub use wait::{DEADLINE, until, until_within};
pub use world::World;
