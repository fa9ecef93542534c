//! A kind of channel for tests of what handles kinds without knowing them.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use switchboard_channels::kit::emulator::Emulator;
use switchboard_channels::kit::http::{Ctx, Inbound, Reply};
use switchboard_channels::kit::secret::{Secret, Secrets};
use switchboard_channels::kit::settings::{self, Common};
use switchboard_channels::model::{
    AttachmentKind, Capabilities, Health, Media, MediaLimit, MediaRef, Outgoing, Parsed, Part,
    Receipt, Recipient, Support, TextLimit, Unit,
};
use switchboard_channels::{
    Channel, Class, Kind, Malformed, Refused, Rejected, SendError, SettingsError, Verified,
};

/// Two kinds, as `KINDS` has them.
pub(crate) static KINDS: [Kind; 2] = [
    Kind {
        name: "pigeon",
        sources: &["pg"],
        build,
        sandbox_settings,
        emulator,
    },
    Kind {
        name: "heliograph",
        sources: &["hg", "hl"],
        build,
        sandbox_settings,
        emulator,
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Settings {
    ring_secret: Secret,
    #[serde(default)]
    older_secrets: Option<Secrets>,
    #[serde(default)]
    loft: String,
    #[serde(default)]
    altitude: u32,
    #[serde(default)]
    express: bool,
}

fn build(_: &Common, value: Value) -> Result<Arc<dyn Channel>, SettingsError> {
    let settings: Settings = settings::read(value)?;
    if settings.ring_secret.is_empty() {
        return Err(SettingsError::new(
            "ring_secret",
            "an empty value",
            "a value",
        ));
    }
    if settings.loft.contains(' ') {
        let found = format!("{:?}", settings.loft);
        return Err(SettingsError::new("loft", found, "one word"));
    }
    Ok(Arc::new(Pigeon(Capabilities {
        text: TextLimit {
            max: 160,
            unit: Unit::Utf16,
        },
        media: &[MediaLimit {
            kind: AttachmentKind::Image,
            mimes: &[],
            max_bytes: 5_000_000,
        }],
        location: Support::Native,
        contact: Support::Fallback("as a card written by hand"),
        statuses: &["delivered", "read"],
        window_hours: Some(24),
        ..Capabilities::default()
    })))
}

fn sandbox_settings() -> Value {
    json!({"ring_secret": "sandbox-ring"})
}

fn emulator(_: &Common, _: Value) -> Result<Box<dyn Emulator>, SettingsError> {
    Err(SettingsError::new(
        "",
        "a fake kind",
        "a kind with an emulator",
    ))
}

struct Pigeon(Capabilities);

fn flown() -> SendError {
    SendError::new(Class::Retry, "fake", "pigeons do not fly in tests")
}

#[async_trait]
impl Channel for Pigeon {
    fn capabilities(&self) -> &Capabilities {
        &self.0
    }

    fn verify(&self, _: &Inbound) -> Result<(), Rejected> {
        Err(Rejected::Missing)
    }

    fn handshake(&self, _: &Inbound) -> Option<Reply> {
        None
    }

    fn parse(&self, _: &Verified<'_>) -> Result<Parsed, Malformed> {
        Err(Malformed {
            expected: "a pigeon",
            detail: String::new(),
        })
    }

    fn recipient(&self, _: &str) -> Result<Recipient, Refused> {
        Err(Refused::new("to", "a fake kind"))
    }

    fn plan(&self, _: &Outgoing) -> Result<Vec<Part>, Refused> {
        Err(Refused::new("message", "a fake kind"))
    }

    async fn deliver(&self, _: &Part, _: &Ctx<'_>) -> Result<Receipt, SendError> {
        Err(flown())
    }

    async fn fetch_media(&self, _: &MediaRef, _: &Ctx<'_>) -> Result<Media, SendError> {
        Err(flown())
    }

    async fn probe(&self, _: &Ctx<'_>) -> Result<Health, SendError> {
        Err(flown())
    }
}
