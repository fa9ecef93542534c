//! A toy platform, whole and law-abiding, that can be given one defect at a time: the suite's own
//! test, since a law that nothing breaks proves nothing.

mod emulator;
mod trials;
mod webhook;

pub use trials::trials;

use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use switchboard_channels::kit::emulator::Emulator;
use switchboard_channels::kit::http::{
    Auth, Ctx, Inbound, Method, Reply, Request, Response, Transport,
};
use switchboard_channels::kit::json::answer_text;
use switchboard_channels::kit::secret::Secret;
use switchboard_channels::kit::settings::{self, Common};
use switchboard_channels::kit::sign::same;
use switchboard_channels::kit::split::split;
use switchboard_channels::kit::status::{default_error, transport_error};
use switchboard_channels::model::{
    AttachmentKind, Capabilities, Health, Media, MediaLimit, MediaRef, Outgoing, Parsed, Part,
    PartBody, Receipt, Recipient, Support, TextLimit, Unit,
};
use switchboard_channels::{
    Channel, Class, Malformed, Refused, Rejected, SendError, SettingsError, Verified,
};
use webhook::signature;

/// What can be wrong with the toy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Defect {
    None,
    BodyUnsigned,
    UrlUnsigned,
    SignatureOptional,
    KeyFromArrival,
    KeysShared,
    ParsePanics,
    ParseGivesUp,
    TextChanged,
    GraphemesCut,
    AttachmentLost,
    ChoicesUnchecked,
    RefusesEmoji,
    RequestChanged,
    OtherHost,
    SecretInBody,
    GoesAnywhere,
    Waits,
    ClassChanged,
    ErrorsSucceed,
    ReceiptUnnamed,
    ClaimsVideo,
    ClaimsEdits,
    AnySetting,
    HooksUnsigned,
    PhoneDisagrees,
    BlockIgnored,
    EmulatorTooStrict,
}

impl Defect {
    /// Those that a channel of this number has.
    pub const fn is(self, number: usize) -> bool {
        self as usize == number
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    token: Secret,
    signing_secret: Secret,
}

#[derive(Debug, Deserialize)]
struct Lax {
    token: Secret,
    signing_secret: Secret,
}

fn read<const D: usize>(value: Value) -> Result<Settings, SettingsError> {
    if Defect::AnySetting.is(D) {
        let lax: Lax = settings::read(value)?;
        return Ok(Settings {
            token: lax.token,
            signing_secret: lax.signing_secret,
        });
    }
    settings::read(value)
}

/// Builds the toy with this defect.
pub fn build<const D: usize>(
    common: &Common,
    value: Value,
) -> Result<Arc<dyn Channel>, SettingsError> {
    const KINDS: &[&str] = &["message", "status"];
    const CLAIMED: &[&str] = &["message", "status", "edit"];
    const fn limit(kind: AttachmentKind, mimes: &'static [&'static str]) -> MediaLimit {
        MediaLimit {
            kind,
            mimes,
            max_bytes: 1000,
        }
    }
    const IMAGE: MediaLimit = limit(AttachmentKind::Image, &["image/jpeg", "image/png"]);
    const FILE: MediaLimit = limit(AttachmentKind::File, &["application/pdf"]);
    const VIDEO: MediaLimit = limit(AttachmentKind::Video, &[]);
    let capabilities = Capabilities {
        text: TextLimit {
            max: 100,
            unit: Unit::Utf16,
        },
        media: if Defect::ClaimsVideo.is(D) {
            &[IMAGE, FILE, VIDEO]
        } else {
            &[IMAGE, FILE]
        },
        location: Support::Fallback("as a text of its own"),
        reply: Support::Native,
        choices: Support::Native,
        max_choices: 3,
        statuses: &["delivered"],
        inbound: if Defect::ClaimsEdits.is(D) {
            CLAIMED
        } else {
            KINDS
        },
        ..Capabilities::default()
    };
    Ok(Arc::new(Toy::<D> {
        settings: read::<D>(value)?,
        api_base: common.api_base("https://api.toy.example"),
        capabilities,
    }))
}

/// Builds the toy's emulator with this defect.
pub fn emulator<const D: usize>(
    common: &Common,
    value: Value,
) -> Result<Box<dyn Emulator>, SettingsError> {
    let settings = read::<D>(value)?;
    Ok(Box::new(emulator::Account::<D>::new(common, settings)))
}

/// The settings of the toy's sandbox.
pub fn sandbox_settings() -> Value {
    json!({"token": "sandbox-token", "signing_secret": "sandbox-signing"})
}

struct Toy<const D: usize> {
    settings: Settings,
    api_base: String,
    capabilities: Capabilities,
}

impl<const D: usize> Toy<D> {
    fn render(&self, part: &Part) -> Request {
        let mut body = json!({"to": part.to});
        match &part.body {
            PartBody::Text { text } => body["text"] = json!(text),
            PartBody::Media { attachment, .. } => body["file"] = json!(attachment.url),
            _ => {}
        }
        if let Some(id) = &part.reply_to {
            body["reply_to"] = json!(id);
        }
        if !part.choices.is_empty() {
            body["buttons"] = json!(part.choices);
        }
        if Defect::SecretInBody.is(D) {
            body["password"] = json!(self.settings.token.expose());
        }
        if Defect::RequestChanged.is(D) {
            body["silent"] = json!(true);
        }
        self.asks(Request::post_json(self.url("send"), body.to_string()))
    }

    fn url(&self, path: &str) -> String {
        if Defect::OtherHost.is(D) {
            return format!("https://elsewhere.example/{path}");
        }
        format!("{}/{path}", self.api_base)
    }

    fn asks(&self, request: Request) -> Request {
        request.with_auth(Auth::Bearer(self.settings.token.clone()))
    }
}

fn classify<const D: usize>(response: &Response) -> Result<Receipt, SendError> {
    let read = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
    let text = |key: &str| read.get(key).and_then(Value::as_str);
    if response.is_success() || Defect::ErrorsSucceed.is(D) {
        let id = match text("id") {
            Some(id) if !id.is_empty() => id,
            _ if Defect::ReceiptUnnamed.is(D) || Defect::ErrorsSucceed.is(D) => "",
            _ => return Err(default_error(response)),
        };
        return Ok(Receipt {
            platform_ids: vec![id.to_owned()],
            answer: answer_text(&response.body),
            alias: None,
        });
    }
    match text("error") {
        Some("blocked") if Defect::ClassChanged.is(D) => {
            Err(SendError::new(Class::Content, "blocked", ""))
        }
        Some("blocked") => Err(SendError::new(Class::Recipient, "blocked", "").with_opt_out()),
        _ => Err(default_error(response)),
    }
}

async fn call(transport: &dyn Transport, request: Request) -> Result<Response, SendError> {
    let answer = transport.call(request).await;
    answer.map_err(|e| transport_error(&e))
}

#[async_trait::async_trait]
impl<const D: usize> Channel for Toy<D> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn verify(&self, request: &Inbound) -> Result<(), Rejected> {
        let Some(given) = request.headers.get("x-toy-signature") else {
            return if Defect::SignatureOptional.is(D) {
                Ok(())
            } else {
                Err(Rejected::Missing)
            };
        };
        // The defects leave the length in, so that only a flipped byte shows them.
        let body = request.body.clone();
        let made = |url: &str, body: &[u8]| signature(&self.settings, url, body);
        let expected = made(&request.url, &body);
        let lax = Defect::BodyUnsigned.is(D) && body.starts_with(b"{")
            || Defect::UrlUnsigned.is(D) && request.url.contains("/webhooks/");
        if same(given.as_bytes(), expected.as_bytes()) || lax {
            return Ok(());
        }
        Err(Rejected::Mismatch)
    }

    fn handshake(&self, request: &Inbound) -> Option<Reply> {
        let word = request.query_value("challenge")?;
        (request.method == Method::Get).then(|| Reply::text(200, word))
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Parsed, Malformed> {
        let request = request.request();
        let malformed = |detail: String| Malformed {
            expected: "JSON",
            detail,
        };
        let body: Value =
            serde_json::from_slice(&request.body).map_err(|e| malformed(e.to_string()))?;
        let whole = vec![body.clone()];
        let items = match body.get("items").and_then(Value::as_array) {
            Some(items) => items,
            None if Defect::ParseGivesUp.is(D) => return Err(malformed("no items".to_owned())),
            None => &whole,
        };
        let event = |raw| self.event(raw, request.received_at);
        Ok(Parsed::events(items.iter().map(event).collect()))
    }

    fn recipient(&self, address: &str) -> Result<Recipient, Refused> {
        if address.is_empty() {
            return Err(Refused::new("to", "an address is missing"));
        }
        Ok(Recipient {
            address: address.to_owned(),
            ids: vec![address.to_owned()],
            phone: None,
            email: None,
            thread: None,
            extra: None,
        })
    }

    fn plan(&self, message: &Outgoing) -> Result<Vec<Part>, Refused> {
        let refuse = |argument, reason: &str| Err(Refused::new(argument, reason));
        if message.is_empty() {
            return refuse("message", "there is nothing to send");
        }
        if message.choices.len() > 3 && !Defect::ChoicesUnchecked.is(D) {
            return refuse("quick_replies", "at most 3");
        }
        if !message.contacts.is_empty() || message.template.is_some() {
            let argument = if message.template.is_some() {
                "template"
            } else {
                "contacts"
            };
            return refuse(argument, "there is nothing of the sort");
        }
        if Defect::RefusesEmoji.is(D) && message.text.contains('👍') {
            return refuse("message", "no thumbs");
        }
        let mut bodies = Vec::new();
        for attachment in &message.attachments {
            let Some(kind) = self
                .capabilities
                .carried_as(attachment.kind, &attachment.mime)
            else {
                return refuse("attachments", "not of a kind that is carried");
            };
            let attachment = switchboard_channels::model::OutgoingAttachment {
                kind,
                ..attachment.clone()
            };
            bodies.push(PartBody::Media {
                attachment,
                caption: None,
            });
        }
        if Defect::AttachmentLost.is(D) {
            bodies.pop();
        }
        let text = |text: &str| PartBody::Text {
            text: text.to_owned(),
        };
        let chars: Vec<char> = message.text.chars().collect();
        if Defect::GraphemesCut.is(D) {
            let pieces = chars.chunks(40).map(|c| text(&String::from_iter(c)));
            bodies.extend(pieces);
        } else if !message.text.trim().is_empty() {
            bodies.extend(
                split(&message.text, self.capabilities.text)
                    .into_iter()
                    .map(text),
            );
        }
        bodies.extend(message.location.as_ref().map(|l| text(&l.as_text())));
        Ok(Part::sequence(message, bodies))
    }

    async fn deliver(&self, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
        if Defect::Waits.is(D) {
            std::future::pending::<()>().await;
        }
        classify::<D>(&call(ctx.transport, self.render(part)).await?)
    }

    async fn fetch_media(&self, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
        let name: String = form_urlencoded::byte_serialize(media.reference.as_bytes()).collect();
        let mut url = self.url(&format!("files/{name}"));
        if Defect::GoesAnywhere.is(D) && media.reference.starts_with("https://") {
            url.clone_from(&media.reference);
        }
        let request = self.asks(Request::get(url));
        let response = call(ctx.transport, request).await?;
        if !response.is_success() {
            return Err(default_error(&response));
        }
        Ok(Media {
            bytes: response.body,
            mime: None,
            name: None,
        })
    }

    async fn probe(&self, ctx: &Ctx<'_>) -> Result<Health, SendError> {
        let response = call(ctx.transport, self.asks(Request::get(self.url("me")))).await?;
        if !response.is_success() {
            return Err(default_error(&response));
        }
        Ok(Health {
            account: "toy".to_owned(),
        })
    }
}
