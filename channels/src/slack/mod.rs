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
    Capabilities, ConversationId, Effect, Found, Health, Media, MediaRef, Mirror, Outgoing, Parsed,
    Part, Question, Receipt, Recipient, Sender, UserId,
};
use async_trait::async_trait;
use config::Layout;
use render::Api;
use serde_json::Value;
use std::sync::Arc;
use wire::parse_message;

/// One app in one workspace.
#[derive(Debug)]
struct Slack {
    api: Api,
    capabilities: Capabilities,
    mirror: Mirror,
}

/// Builds a channel from its own keys.
///
/// # Errors
/// When a key is missing, unknown or of the wrong form.
pub fn build(common: &Common, settings: Value) -> Result<Arc<dyn Channel>, SettingsError> {
    let settings = Settings::read(settings)?;
    let agent = |(member, user): (&String, &String)| {
        Some((member.clone(), user.parse().map(UserId).ok()?))
    };
    let mirror = Mirror {
        channels: settings.mirror.clone(),
        internal_prefix: settings.internal_prefix.clone(),
        shows_author: settings.post_as_customer,
        agents: settings.agents.iter().filter_map(agent).collect(),
    };
    Ok(Arc::new(Slack {
        api: Api::new(common, settings),
        capabilities: plan::capabilities(),
        mirror,
    }))
}

/// Builds the emulator of an account with these settings.
///
/// # Errors
/// As [`build`].
pub fn emulator(common: &Common, settings: Value) -> Result<Box<dyn Emulator>, SettingsError> {
    let settings = Settings::read(settings)?;
    Ok(Box::new(sandbox::Sandbox::new(common, &settings)))
}

#[async_trait]
impl Channel for Slack {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Installations of one app share its request URL: events name their workspace.
    fn account_keys(&self) -> Vec<&str> {
        self.api.settings.team_id.as_deref().into_iter().collect()
    }

    fn verify(&self, request: &Inbound) -> Result<(), Rejected> {
        verify::verify(&self.api.settings, request)
    }

    /// The challenge is signed like everything else, and answered by `parse`.
    fn handshake(&self, _: &Inbound) -> Option<Reply> {
        None
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Parsed, Malformed> {
        parse::parse(&self.api.settings, request.request())
    }

    fn recipient(&self, address: &str) -> Result<Recipient, Refused> {
        plan::recipient(&self.api.settings, address)
    }

    fn plan(&self, message: &Outgoing) -> Result<Vec<Part>, Refused> {
        plan::plan(&self.api.settings, message)
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

    async fn find_sent(&self, part: &Part, ctx: &Ctx<'_>) -> Result<Option<Receipt>, SendError> {
        client::find_sent(&self.api, part, ctx).await
    }

    fn mirror(&self) -> Option<&Mirror> {
        Some(&self.mirror)
    }

    fn mirror_begins(&self, person: &str, conversation: ConversationId) -> Option<String> {
        let settings = &self.api.settings;
        match settings.layout {
            Layout::Thread => settings.default_channel.clone(),
            Layout::Channel => {
                let name = plan::place_name(settings, person, conversation.0);
                Some(format!("+{name}"))
            }
        }
    }

    fn mirror_goes_on(&self, first: &str) -> Option<String> {
        let (place, _) = parse_message(first)?;
        Some(match self.api.settings.layout {
            Layout::Thread => first.to_owned(),
            Layout::Channel => place.to_owned(),
        })
    }

    async fn ask(&self, question: &Question, ctx: &Ctx<'_>) -> Result<Found, SendError> {
        client::ask(&self.api, question, ctx).await
    }
}
