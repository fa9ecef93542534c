//! # The Web API without HTTP
//!
//! What callers may ask ([`names`]), how their requests are read ([`args`]), who they are
//! ([`auth`]), what they get back ([`shapes`], [`error`]) and where it is written down for them
//! ([`openapi`], [`docs`]). [`dispatch`] leads a call to its function in [`sends`],
//! [`mail`], [`conversations`] or [`people`].
//!
//! Invariants:
//! - A request decodes to the same [`args::Args`] whether it came as a form, as a multipart form or
//!   as JSON, so that a function cannot behave differently for one of them.
//! - Each error code has its HTTP status from one table, [`error::Code`], and nowhere else.
//! - What decodes and renders reads no clock and does no I/O; only the functions reach the store.

pub mod args;
pub mod auth;
pub mod content;
pub mod conversations;
pub mod dispatch;
pub mod docs;
pub mod error;
pub mod mail;
pub mod names;
pub mod openapi;
pub mod outcome;
pub mod people;
pub mod sends;
pub mod shapes;
pub mod slack;
pub mod target;
pub mod template;
