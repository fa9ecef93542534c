//! The service from outside: the real binary, emulated platforms, a chat backend. One binary, so that
//! it is linked once; a module per family, a test per promise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests may unwrap"
)]

mod conversation;

use switchboard_testkit::Setup;

/// A world with the binary under test.
fn world() -> Setup {
    Setup::new(env!("CARGO_BIN_EXE_switchboard"))
}
