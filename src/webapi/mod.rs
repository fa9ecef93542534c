//! # The Web API without HTTP and without a store
//!
//! What callers may ask ([`names`]), how their requests are read ([`args`]), who they are
//! ([`auth`]), what they get back ([`shapes`], [`error`]) and where it is written down for them
//! ([`openapi`], [`docs`]). The functions themselves, which need the store, are built on top.
//!
//! Invariants:
//! - A request decodes to the same [`args::Args`] whether it came as a form, as a multipart form or
//!   as JSON, so that a function cannot behave differently for one of them.
//! - Each error code has its HTTP status from one table, [`error::Code`], and nowhere else.
//! - Nothing here reads a clock except the rate limiter of [`auth`], and nothing does I/O.

pub mod args;
pub mod auth;
pub mod docs;
pub mod error;
pub mod names;
pub mod openapi;
pub mod shapes;
