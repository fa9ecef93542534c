#![doc = include_str!("README.md")]

pub mod address;
pub mod classify;
pub mod client;
pub mod config;
pub mod dates;
pub mod parse;
pub mod plan;
pub mod render;
pub mod sandbox;
pub mod segments;
pub mod verify;
pub mod wire;

use crate::channel::{Channel, Verified};
use crate::error::{Malformed, Refused, Rejected, SendError, SettingsError};
use crate::kit::emulator::Emulator;
use crate::kit::http::{Ctx, Inbound, Reply};
use crate::kit::settings::Common;
use crate::model::{
    Capabilities, Health, Media, MediaRef, Outgoing, Parsed, Part, Receipt, Recipient,
};
use async_trait::async_trait;
use config::Settings;
use serde_json::{Value, json};
use std::sync::Arc;

/// One sender (number, short code, sender id or messaging service) of one Twilio account.
#[derive(Debug)]
pub struct TwilioSms {
    common: Common,
    settings: Settings,
    capabilities: Capabilities,
}

/// Builds a channel from its own keys.
///
/// # Errors
/// When a key is missing, unknown or of the wrong shape.
pub fn build(common: &Common, settings: Value) -> Result<Arc<dyn Channel>, SettingsError> {
    let settings = Settings::read(settings)?;
    Ok(Arc::new(TwilioSms {
        common: common.clone(),
        capabilities: plan::capabilities(&settings),
        settings,
    }))
}

/// The keys of a sandbox channel. The number is the one that Twilio itself keeps for tests.
pub fn sandbox_settings() -> Value {
    json!({
        "account_sid": "AC5a4db0c5a4db0c5a4db0c5a4db0c5a4d",
        "auth_token": "5a4db0c5a4db0c5a4db0c5a4db0c5a4d",
        "from": "+15005550006",
    })
}

/// Builds the emulator of an account with these settings.
///
/// # Errors
/// As [`build`].
pub fn emulator(common: &Common, settings: Value) -> Result<Box<dyn Emulator>, SettingsError> {
    let settings = Settings::read(settings)?;
    Ok(Box::new(sandbox::Sandbox::new(common, settings)))
}

#[async_trait]
impl Channel for TwilioSms {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn verify(&self, request: &Inbound) -> Result<(), Rejected> {
        verify::verify(request, &self.settings)
    }

    fn handshake(&self, _: &Inbound) -> Option<Reply> {
        None
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Parsed, Malformed> {
        parse::parse(request.request(), &self.settings)
    }

    fn recipient(&self, address: &str) -> Result<Recipient, Refused> {
        address::recipient(address)
    }

    fn plan(&self, message: &Outgoing) -> Result<Vec<Part>, Refused> {
        plan::plan(message, &self.settings)
    }

    async fn deliver(&self, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
        client::deliver(part, &self.settings, &self.common, ctx).await
    }

    async fn fetch_media(&self, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
        client::fetch_media(media, &self.settings, &self.common, ctx).await
    }

    async fn probe(&self, ctx: &Ctx<'_>) -> Result<Health, SendError> {
        client::probe(&self.settings, &self.common, ctx).await
    }

    async fn find_sent(&self, part: &Part, ctx: &Ctx<'_>) -> Result<Option<Receipt>, SendError> {
        client::find_sent(part, &self.settings, &self.common, ctx).await
    }
}
