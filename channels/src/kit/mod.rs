//! What several platforms need and none should write again.

pub mod emulator;
pub mod http;
pub mod json;
pub mod jwt;
pub mod mail;
pub mod secret;
pub mod settings;
pub mod sign;
pub mod split;
pub mod status;
pub mod tokens;
