//! Parts into requests.

use super::config::{API_BASE, Settings, TokenKind};
use super::plan::{PLACE_MAX, as_link};
use super::wire::button_data;
use crate::kit::http::{Auth, Request};
use crate::kit::jwt;
use crate::kit::secret::Secret;
use crate::kit::settings::Common;
use crate::kit::sign::sha256_hex;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Choice, Location, Millis, OutgoingAttachment, Part, PartBody, TextLimit, Unit,
};
use serde_json::{Map, Value, json};

/// A push is answered within a second or two; 15 seconds are given up on.
const PUSH_TIMEOUT_MS: u64 = 15_000;

/// A reply must be repeated before its token ends: used in its 50th second at the latest, it has
/// this long to be answered once and repeated once within LINE's minute.
const REPLY_TIMEOUT_MS: u64 = 4_000;

/// What a bubble of buttons may say (Messaging API reference, "Buttons template": 160 characters
/// without title and picture, 4 actions).
const BUTTONS_TEXT: TextLimit = TextLimit {
    max: 160,
    unit: Unit::Utf16,
};
const BUTTONS_MAX: usize = 4;

/// How long an assertion may be used, and the token behind it lives, in seconds (reference, "Issue
/// channel access token v2.1": at most 30 minutes and 30 days).
const ASSERTION_SECONDS: i64 = 1800;
const ISSUED_SECONDS: i64 = 2_592_000;

/// Where a channel's calls go, and what its messages look like.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    data_base: String,
    settings: Settings,
    /// The name under which an issued token is shared.
    pub token_name: String,
}

impl Api {
    /// The API as configured.
    pub fn new(common: &Common, settings: &Settings) -> Self {
        Self {
            base: common.api_base(API_BASE),
            data_base: settings.data_api_base(common),
            settings: settings.clone(),
            token_name: format!("line:{}", common.id),
        }
    }

    /// The keys.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A call of the API. Authorised when it is made.
    pub fn get(&self, path: &str) -> Request {
        Request::get(format!("{}{path}", self.base)).with_timeout_ms(PUSH_TIMEOUT_MS)
    }

    /// A call of the API with JSON.
    pub fn post(&self, path: &str, body: &Value) -> Request {
        let url = format!("{}{path}", self.base);
        Request::post_json(url, body.to_string()).with_timeout_ms(PUSH_TIMEOUT_MS)
    }

    /// A file that a person sent, or what LINE says of it (`/transcoding`).
    pub fn content(&self, message: &str, what: &str, max_bytes: usize) -> Request {
        let url = format!("{}/v2/bot/message/{message}/content{what}", self.data_base);
        let mut request = Request::get(url).with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
        request.max_response_bytes = max_bytes;
        request
    }

    /// The request for an access token. `None`: the token was issued by hand.
    ///
    /// # Errors
    /// When the assertion cannot be signed.
    pub fn issue(&self, now: Millis) -> Result<Option<Request>, jwt::BadKey> {
        let secret = self.settings.channel_secret.first();
        let secret = secret.map(Secret::expose).unwrap_or_default().to_owned();
        let id = self.settings.channel_id.clone().unwrap_or_default();
        let grant = ("grant_type", "client_credentials".to_owned());
        let with_secret = |grant| vec![grant, ("client_id", id.clone()), ("client_secret", secret)];
        let (path, form) = match self.settings.token_kind {
            TokenKind::Static => return Ok(None),
            TokenKind::ShortLived => ("/v2/oauth/accessToken", with_secret(grant)),
            TokenKind::Stateless => ("/oauth2/v3/token", with_secret(grant)),
            TokenKind::Jwt => {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned();
                let assertion = self.assertion(&id, now)?;
                let form = vec![
                    grant,
                    ("client_assertion_type", kind),
                    ("client_assertion", assertion),
                ];
                ("/oauth2/v2.1/token", form)
            }
        };
        let form = form.into_iter().map(|(name, value)| (name.to_owned(), value));
        let url = format!("{}{path}", self.base);
        let request = Request::post_form(url, form.collect()).with_timeout_ms(PUSH_TIMEOUT_MS);
        Ok(Some(request))
    }

    /// What proves, signed with the operator's own key, that the channel is ours.
    fn assertion(&self, channel_id: &str, now: Millis) -> Result<String, jwt::BadKey> {
        let settings = &self.settings;
        let header = json!({"typ": "JWT", "kid": settings.assertion_kid});
        let claims = json!({
            "iss": channel_id, "sub": channel_id, "aud": "https://api.line.me/",
            "exp": now.0.div_euclid(1000).saturating_add(ASSERTION_SECONDS),
            "token_exp": ISSUED_SECONDS,
        });
        let key = settings.assertion_private_key.as_ref();
        jwt::rs256(header, &claims, key.map(Secret::expose).unwrap_or_default())
    }
}

/// With the token by which LINE knows us.
pub fn authorised(request: &Request, token: &Secret) -> Request {
    request.clone().with_auth(Auth::Bearer(token.clone()))
}

/// By which of LINE's two ways a part goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way<'a> {
    /// An answer to an event, free of charge, by the event's token. Takes no retry key.
    Reply(&'a str),
    /// Of our own accord.
    Push,
}

/// The request of a part. `quote`: the token of the message that it answers.
pub fn render(part: &Part, api: &Api, way: Way<'_>, quote: Option<&str>) -> Request {
    let messages = messages(part, &api.settings, quote);
    match way {
        Way::Reply(token) => {
            let body = json!({"replyToken": token, "messages": messages});
            api.post("/v2/bot/message/reply", &body)
                .with_timeout_ms(REPLY_TIMEOUT_MS)
        }
        Way::Push => {
            let body = json!({"to": part.to, "messages": messages});
            api.post("/v2/bot/message/push", &body)
                .with_header("X-Line-Retry-Key", retry_key(part, quote.is_some()))
        }
    }
}

/// The retry key of a part: the same UUID in every attempt, so that LINE takes the part once. It
/// follows from the content too: LINE wants another key for another body (the one without a quote that
/// it refused), and a gateway whose store was begun anew, and with it the numbers of its messages,
/// would else send what LINE takes for repetitions and drops.
pub fn retry_key(part: &Part, quoted: bool) -> String {
    let content = json!([
        part.idempotency_key(), part.to, part.body, part.choices, part.reply_to, quoted
    ]);
    let hash = sha256_hex(content.to_string().as_bytes());
    let digits = |from: usize, to: usize| hash.get(from..to).unwrap_or_default();
    // Version 8 (RFC 9562: made by a rule of one's own), variant 10.
    format!(
        "{}-{}-8{}-a{}-{}",
        digits(0, 8),
        digits(8, 12),
        digits(12, 15),
        digits(15, 18),
        digits(18, 30)
    )
}

/// The bubbles of a part. The quote goes on the first text, the buttons on the last bubble: quick
/// replies are shown only there.
fn messages(part: &Part, settings: &Settings, quote: Option<&str>) -> Vec<Value> {
    let bodies = part.body.flat();
    let mut messages: Vec<Value> = bodies.iter().map(|body| bubble(body, settings)).collect();
    let text =
        |message: &&mut Value| message.get("type").and_then(Value::as_str) == Some("text");
    if let (Some(quote), Some(first)) = (quote, messages.iter_mut().find(text)) {
        set(first, "quoteToken", json!(quote));
    }
    if let Some(last) = messages.last_mut().filter(|_| !part.choices.is_empty()) {
        match buttons(last, &part.choices) {
            Some(template) => *last = template,
            None => {
                let items = part.choices.iter().map(|c| {
                    json!({"type": "action", "action": action(c)})
                });
                set(last, "quickReply", json!({"items": items.collect::<Vec<_>>()}));
            }
        }
    }
    messages
}

fn set(message: &mut Value, name: &str, value: Value) {
    if let Some(fields) = message.as_object_mut() {
        fields.insert(name.into(), value);
    }
}

/// A bubble of text and buttons, which stays, in place of quick replies, which go: where a button
/// opens a link, and text and buttons fit. A bubble that quotes cannot be one.
fn buttons(last: &Value, choices: &[Choice]) -> Option<Value> {
    let text = last.get("text")?.as_str()?;
    let links = choices.iter().any(|choice| choice.url.is_some());
    let fits = choices.len() <= BUTTONS_MAX && BUTTONS_TEXT.fits(text);
    let quotes = last.get("quoteToken").is_some();
    (links && fits && !quotes).then(|| {
        let actions: Vec<Value> = choices.iter().map(action).collect();
        let template = json!({"type": "buttons", "text": text, "actions": actions});
        // Shown in the list of chats and by apps that know no templates; 160 of LINE's 400.
        json!({"type": "template", "altText": text, "template": template})
    })
}

/// What a button does.
fn action(choice: &Choice) -> Value {
    match &choice.url {
        Some(url) => json!({"type": "uri", "label": choice.title, "uri": url}),
        None => json!({
            "type": "postback", "label": choice.title, "displayText": choice.title,
            "data": button_data(&choice.payload, &choice.title),
        }),
    }
}

/// One bubble.
fn bubble(body: &PartBody, settings: &Settings) -> Value {
    match body {
        PartBody::Text { text } => json!({"type": "text", "text": text}),
        PartBody::Media { attachment, .. } => media(attachment, settings),
        PartBody::Location { location } => place(location),
        PartBody::Contact { contact } => json!({"type": "text", "text": contact.as_text()}),
        // `plan` makes none of these; what another release planned is for LINE to refuse.
        PartBody::Template { template } => json!({"type": "text", "text": template.name}),
        PartBody::Album { .. } | PartBody::Bundle { .. } => Value::Object(Map::new()),
    }
}

/// A picture, film or recording, or the link of anything else.
fn media(attachment: &OutgoingAttachment, settings: &Settings) -> Value {
    let url = &attachment.url;
    match (attachment.kind, &settings.video_preview_url) {
        // LINE demands a small picture beside the picture, and makes none itself.
        (AttachmentKind::Image, _) => {
            json!({"type": "image", "originalContentUrl": url, "previewImageUrl": url})
        }
        (AttachmentKind::Video, Some(preview)) => {
            json!({"type": "video", "originalContentUrl": url, "previewImageUrl": preview})
        }
        (AttachmentKind::Audio | AttachmentKind::Voice, _) => json!({
            "type": "audio", "originalContentUrl": url, "duration": settings.audio_duration_ms,
        }),
        _ => json!({"type": "text", "text": as_link(attachment)}),
    }
}

/// A place: LINE demands title and address, for which the coordinates stand in.
fn place(location: &Location) -> Value {
    let coordinates = format!("{}, {}", location.latitude, location.longitude);
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let (name, address) = (given(&location.name), given(&location.address));
    let title = name.clone().or_else(|| address.clone());
    let short = |text: String| {
        let limit = TextLimit {
            max: PLACE_MAX,
            unit: Unit::Utf16,
        };
        let first = split(&text, limit).first().copied();
        first.unwrap_or_default().trim_end().to_owned()
    };
    json!({
        "type": "location",
        "title": short(title.unwrap_or_else(|| coordinates.clone())),
        "address": short(address.unwrap_or(coordinates)),
        "latitude": location.latitude,
        "longitude": location.longitude,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::config::sandbox_settings;
    use crate::line::plan::{capabilities, plan};
    use crate::model::{MessageId, Outgoing};

    fn api(more: Value) -> Api {
        let mut keys = sandbox_settings();
        let fields = keys.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let common = Common {
            id: "desk".into(),
            api_base: Some("http://127.0.0.1:8081/".into()),
            webhook_url: "https://gw.example.net/webhooks/desk".into(),
        };
        Api::new(&common, &Settings::read(keys).unwrap())
    }

    fn part(message: i64) -> Part {
        let mut message = Outgoing::new(MessageId(message), "Uaaaabbbbccccddddeeeeffff00001111");
        message.text = "hello".into();
        let api = api(json!({}));
        plan(&message, &capabilities(api.settings())).unwrap().remove(0)
    }

    #[test]
    fn retry_keys_are_uuids_that_repeat_and_differ() {
        let key = retry_key(&part(1), false);
        assert_eq!(key, retry_key(&part(1), false));
        assert_ne!(key, retry_key(&part(1), true));
        assert_ne!(key, retry_key(&part(2), false));
        let next = Part { index: 1, ..part(1) };
        assert_ne!(key, retry_key(&next, false));
        let body = PartBody::Text { text: "other words".into() };
        assert_ne!(key, retry_key(&Part { body, ..part(1) }, false));
        let shape: String = key
            .chars()
            .map(|c| if c.is_ascii_hexdigit() { 'x' } else { c })
            .collect();
        assert_eq!(shape, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
        assert_eq!((key.as_bytes()[14], key.as_bytes()[19]), (b'8', b'a'));
        assert_eq!(key, key.to_lowercase());
    }

    #[test]
    fn a_reply_carries_no_retry_key_and_a_push_does() {
        let api = api(json!({}));
        let push = render(&part(1), &api, Way::Push, None);
        assert_eq!(
            push.headers.get("x-line-retry-key"),
            Some(retry_key(&part(1), false).as_str())
        );
        let reply = render(&part(1), &api, Way::Reply("rt"), None);
        assert_eq!(reply.headers.get("x-line-retry-key"), None);
        assert!(reply.timeout_ms * 2 < 10_000, "answered and repeated within ten seconds");
    }

    #[test]
    fn issued_tokens_are_asked_for_as_their_kind_wants() {
        let cases = [
            (json!({}), None),
            (
                json!({"token_kind": "short_lived", "channel_id": "77"}),
                Some("http://127.0.0.1:8081/v2/oauth/accessToken"),
            ),
            (
                json!({"token_kind": "stateless", "channel_id": "77"}),
                Some("http://127.0.0.1:8081/oauth2/v3/token"),
            ),
        ];
        for (keys, url) in cases {
            let request = api(keys).issue(Millis(0)).unwrap();
            assert_eq!(request.as_ref().map(|r| r.url.as_str()), url);
            let Some(crate::kit::http::Body::Form(form)) = request.map(|r| r.body) else {
                continue;
            };
            let pair = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
            assert_eq!(pair("grant_type"), Some("client_credentials"));
            assert_eq!(pair("client_id"), Some("77"));
            assert_eq!(pair("client_secret"), Some("sandbox0line0channel0secret00000"));
        }
    }
}
