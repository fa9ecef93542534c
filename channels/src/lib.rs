//! # The platforms of Switchboard
//!
//! One folder per platform, all behind one trait, [`Channel`]. This crate knows how platforms
//! speak; it does not listen, store, wait or look at a clock.
//!
//! ## The life of a message
//!
//! **Inbound.** A platform posts to its webhook. The service hands the raw request to
//! [`Verified::check`], which calls [`Channel::verify`]; [`Channel::parse`] turns the verified bytes
//! into [`model::Event`]s, each with a key that de-duplicates it, and the reply that the platform
//! expects. The service stores the events and only then replies.
//!
//! **Outbound.** The service fills a [`model::Outgoing`]; [`Channel::plan`] cuts it into
//! [`model::Part`]s, each one request that the platform takes or refuses whole. A worker hands the
//! parts one by one to [`Channel::deliver`], which renders a request, makes it through the
//! [`Transport`](kit::http::Transport) it was given, and classifies the answer as a
//! [`model::Receipt`] or a [`SendError`] whose [`Class`] alone decides what happens next.
//!
//! ## Adding a platform
//!
//! Copy `telegram/`, the reference folder, and add one line to `kinds!` below. Nothing else
//! changes: configuration, behaviour suite, fuzzer, `switchboard channels` and the sandbox read
//! [`KINDS`].

pub mod channel;
pub mod error;
pub mod kit;
pub mod model;

pub use channel::{Channel, Verified};
pub use error::{
    Class, LimitScope, Malformed, Refused, Rejected, SendError, SettingsError, SetupScope, Words,
};

use kit::emulator::Emulator;
use kit::settings::Common;
use serde_json::Value;
use std::sync::Arc;

/// Makes something of a kind from what every channel is told and the kind's own keys.
pub type Build<T> = fn(&Common, Value) -> Result<T, SettingsError>;

/// A kind of channel: what the configuration calls it and how one is built.
pub struct Kind {
    /// The `kind` of the configuration and the name of the folder (`_` for `-`).
    pub name: &'static str,
    /// Source codes of its conversations, the usual one first.
    pub sources: &'static [&'static str],
    /// Builds a channel from its own keys.
    pub build: Build<Arc<dyn Channel>>,
    /// The keys of a sandbox channel: what `build` takes and `emulator` expects.
    pub sandbox_settings: fn() -> Value,
    /// Builds the emulator of an account with these settings. Hooks go to `Common::webhook_url`;
    /// `Common::api_base` is where the emulator itself is served.
    pub emulator: Build<Box<dyn Emulator>>,
}

/// Registers the kinds: module, name, source codes. The module has a `Settings` with
/// `sandbox_settings`, and functions `build` and `emulator`.
macro_rules! kinds {
    ($($module:ident, $name:literal, [$($source:literal),+];)*) => {
        $(pub mod $module;)*

        /// Every kind that is built in, in the order of the documentation.
        pub static KINDS: &[Kind] = &[$(Kind {
            name: $name,
            sources: &[$($source),+],
            build: $module::build,
            sandbox_settings: $module::sandbox_settings,
            emulator: $module::emulator,
        }),*];
    };
}

kinds! {
    whatsapp, "whatsapp", ["wa"];
    line, "line", ["ln"];
    messenger, "messenger", ["fb", "ig"];
    slack, "slack", ["sl"];
    telegram, "telegram", ["tg"];
    viber, "viber", ["vb"];
    twitter, "twitter", ["tw"];
    twilio_sms, "twilio-sms", ["tx"];
    wechat, "wechat", ["wc"];
    google_business_messages, "google-business-messages", ["gb"];
    email, "email", ["em"];
}

/// The kind of this name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.name == name)
}
