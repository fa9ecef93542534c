#![doc = include_str!("README.md")]

mod classify;
mod client;
mod config;
mod dates;
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
    Capabilities, Effect, Health, Media, MediaRef, Outgoing, Parsed, Part, Receipt, Recipient,
    Sender,
};
use async_trait::async_trait;
use render::Api;
use serde_json::Value;
use std::sync::Arc;

/// One agent.
#[derive(Debug)]
struct GoogleBusinessMessages {
    api: Api,
    capabilities: Capabilities,
}

/// Builds a channel from its own keys.
///
/// # Errors
/// When a key is missing, unknown or of the wrong form.
pub fn build(common: &Common, settings: Value) -> Result<Arc<dyn Channel>, SettingsError> {
    let settings = Settings::read(settings)?;
    Ok(Arc::new(GoogleBusinessMessages {
        api: Api::new(common, settings)?,
        capabilities: plan::capabilities(),
    }))
}

/// Builds the emulator of an agent with these settings.
///
/// # Errors
/// As [`build`].
pub fn emulator(common: &Common, settings: Value) -> Result<Box<dyn Emulator>, SettingsError> {
    let settings = Settings::read(settings)?;
    let account = settings.account()?;
    Ok(Box::new(sandbox::Sandbox::new(common, settings, account)))
}

#[async_trait]
impl Channel for GoogleBusinessMessages {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn account_keys(&self) -> Vec<&str> {
        vec![self.api.settings.agent()]
    }

    fn verify(&self, request: &Inbound) -> Result<(), Rejected> {
        verify::verify(&self.api.settings, request)
    }

    fn handshake(&self, request: &Inbound) -> Option<Reply> {
        verify::handshake(&self.api.settings, request)
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
        client::fetch_media(&self.api, media, ctx).await
    }

    async fn probe(&self, ctx: &Ctx<'_>) -> Result<Health, SendError> {
        client::probe(&self.api, ctx).await
    }

    async fn perform(&self, effect: &Effect, ctx: &Ctx<'_>) -> Result<Option<Sender>, SendError> {
        client::perform(&self.api, effect, ctx).await
    }
}
