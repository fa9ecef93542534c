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
    Capabilities, Effect, Health, Media, MediaRef, Outgoing, Parsed, Part, Receipt, Recipient,
    Sender,
};
use async_trait::async_trait;
use config::Account;
use serde_json::Value;
use std::sync::Arc;

/// One page, and the Instagram account that is linked to it.
#[derive(Debug)]
struct Messenger {
    account: Account,
    capabilities: Capabilities,
}

/// Builds a channel from its own keys.
///
/// # Errors
/// Names the key that is missing, unknown or wrong.
pub fn build(common: &Common, settings: Value) -> Result<Arc<dyn Channel>, SettingsError> {
    Ok(Arc::new(Messenger {
        account: Account::read(common, settings)?,
        capabilities: plan::capabilities(),
    }))
}

/// Builds the emulator of a page.
///
/// # Errors
/// As [`build`].
pub fn emulator(common: &Common, settings: Value) -> Result<Box<dyn Emulator>, SettingsError> {
    let account = Account::read(common, settings)?;
    Ok(Box::new(sandbox::Sandbox::new(account, common)))
}

#[async_trait]
impl Channel for Messenger {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn account_keys(&self) -> Vec<&str> {
        let settings = &self.account.settings;
        let instagram = settings.instagram_id.as_deref();
        std::iter::once(settings.page_id.as_str()).chain(instagram).collect()
    }

    fn verify(&self, request: &Inbound) -> Result<(), Rejected> {
        verify::verify(&self.account.settings, request)
    }

    fn handshake(&self, request: &Inbound) -> Option<Reply> {
        verify::handshake(&self.account.settings, request)
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Parsed, Malformed> {
        parse::parse(&self.account.settings, request.request())
    }

    fn recipient(&self, address: &str) -> Result<Recipient, Refused> {
        let settings = &self.account.settings;
        let address = plan::Address::of(address, settings)?;
        Ok(address.recipient(&settings.page_id))
    }

    fn plan(&self, message: &Outgoing) -> Result<Vec<Part>, Refused> {
        plan::plan(message, &self.account.settings, &self.capabilities)
    }

    async fn deliver(&self, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
        client::deliver(&self.account, part, ctx).await
    }

    async fn fetch_media(&self, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
        client::fetch_media(&self.account, media, ctx).await
    }

    async fn probe(&self, ctx: &Ctx<'_>) -> Result<Health, SendError> {
        client::probe(&self.account, ctx).await
    }

    async fn perform(&self, effect: &Effect, ctx: &Ctx<'_>) -> Result<Option<Sender>, SendError> {
        client::perform(&self.account, effect, ctx).await
    }
}
