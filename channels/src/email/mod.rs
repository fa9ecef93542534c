#![doc = include_str!("README.md")]

mod classify;
mod client;
mod config;
mod parse;
mod plan;
mod render;
mod sandbox;
mod verify;
mod wire;

pub use config::{Settings, sandbox_settings};

use crate::channel::{Channel, Verified};
use crate::error::{Malformed, Refused, Rejected, SendError, SettingsError};
use crate::kit::emulator::Emulator;
use crate::kit::http::{Ctx, Inbound, Reply};
use crate::kit::mail::Mailbox;
use crate::kit::settings::Common;
use crate::model::{
    Capabilities, Health, Media, MediaRef, Outgoing, Parsed, Part, Receipt, Recipient,
};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;

/// Providers lock an account out that tries a wrong password every minute.
const PROBE_SECONDS: u64 = 1800;

/// One mailbox.
#[derive(Debug)]
struct Email {
    settings: Settings,
    capabilities: Capabilities,
}

/// Builds a channel from its own keys.
///
/// # Errors
/// When a key is missing, unknown or of the wrong form.
pub fn build(common: &Common, settings: Value) -> Result<Arc<dyn Channel>, SettingsError> {
    Ok(Arc::new(Email {
        settings: Settings::read(common, settings)?,
        capabilities: plan::capabilities(),
    }))
}

/// Builds the emulator of an account with these settings.
///
/// # Errors
/// As [`build`].
pub fn emulator(common: &Common, settings: Value) -> Result<Box<dyn Emulator>, SettingsError> {
    let settings = Settings::read(common, settings)?;
    Ok(Box::new(sandbox::Sandbox::new(common, settings)))
}

#[async_trait]
impl Channel for Email {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn mailbox(&self) -> Option<&Mailbox> {
        self.settings.mailbox.as_ref()
    }

    fn sender_name(&self) -> Option<&str> {
        self.settings.name.as_deref()
    }

    fn probe_seconds(&self) -> u64 {
        PROBE_SECONDS
    }

    fn verify(&self, request: &Inbound) -> Result<(), Rejected> {
        verify::verify(&self.settings, request)
    }

    /// Mail is fetched; nobody asks anything of our webhook.
    fn handshake(&self, _: &Inbound) -> Option<Reply> {
        None
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Parsed, Malformed> {
        parse::parse(&self.settings, request.request())
    }

    fn recipient(&self, address: &str) -> Result<Recipient, Refused> {
        plan::recipient(address)
    }

    fn plan(&self, message: &Outgoing) -> Result<Vec<Part>, Refused> {
        plan::plan(message)
    }

    async fn deliver(&self, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
        client::deliver(&self.settings, part, ctx).await
    }

    async fn fetch_media(&self, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
        client::fetch_media(&self.settings, media, ctx).await
    }

    async fn probe(&self, ctx: &Ctx<'_>) -> Result<Health, SendError> {
        client::probe(&self.settings, ctx).await
    }
}
