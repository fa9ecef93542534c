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
use crate::kit::settings::Common;
use crate::model::{
    Capabilities, Health, Media, MediaRef, Outgoing, Parsed, Part, Receipt, Recipient,
};
use async_trait::async_trait;
use render::Api;
use serde_json::Value;
use std::sync::Arc;

/// One bot.
#[derive(Debug)]
struct Viber {
    api: Api,
    capabilities: Capabilities,
}

/// Builds a channel from its own keys.
///
/// # Errors
/// When a key is missing, unknown or of the wrong form.
pub fn build(common: &Common, settings: Value) -> Result<Arc<dyn Channel>, SettingsError> {
    let settings = Settings::read(settings)?;
    Ok(Arc::new(Viber {
        api: Api::new(common, settings),
        capabilities: plan::capabilities(),
    }))
}

/// Builds the emulator of a bot with these settings.
///
/// # Errors
/// As [`build`].
pub fn emulator(common: &Common, settings: Value) -> Result<Box<dyn Emulator>, SettingsError> {
    let settings = Settings::read(settings)?;
    Ok(Box::new(sandbox::Sandbox::new(common, &settings)))
}

#[async_trait]
impl Channel for Viber {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn verify(&self, request: &Inbound) -> Result<(), Rejected> {
        verify::verify(&self.api.settings, request)
    }

    /// Viber's handshake is a signed event like all others.
    fn handshake(&self, _: &Inbound) -> Option<Reply> {
        None
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Parsed, Malformed> {
        parse::parse(&self.api, request.request())
    }

    fn recipient(&self, address: &str) -> Result<Recipient, Refused> {
        plan::recipient(address)
    }

    fn plan(&self, message: &Outgoing) -> Result<Vec<Part>, Refused> {
        plan::plan(message)
    }

    async fn deliver(&self, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
        client::deliver(&self.api, part, ctx).await
    }

    async fn fetch_media(&self, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
        client::fetch_media(media, ctx).await
    }

    async fn probe(&self, ctx: &Ctx<'_>) -> Result<Health, SendError> {
        client::probe(&self.api, ctx).await
    }
}
