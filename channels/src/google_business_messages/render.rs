//! Parts into requests. `content` and what it is made of (texts, pictures, cards, suggestions) are the
//! same for RCS for Business; `Api` holds what differs: addresses, scope, the names of the calls.

use super::config::{API_BASE, SCOPE, Settings};
use super::plan::{
    CARD_SUGGESTIONS_MAX, Opens, SUGGESTIONS_MAX, TEXT, TITLE_MAX, action, as_link, e164,
};
use super::parse::LIVE_AGENT;
use super::wire::ServiceAccount;
use crate::error::SettingsError;
use crate::kit::http::{Method, Request};
use crate::kit::jwt;
use crate::kit::secret::Secret;
use crate::kit::settings::Common;
use crate::kit::sign::named_uuid;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Choice, ContactCard, Millis, OutgoingAttachment, Part, PartBody,
};
use serde_json::{Map, Value, json};
use url::Url;

/// An assertion may be used for so long, in seconds ("Using OAuth 2.0 for server to server
/// applications": one hour at most).
const ASSERTION_SECONDS: i64 = 3600;

/// How a service account asks for a token (RFC 7523).
pub const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The name space of the ids that we give to messages and events: version 4, made for this.
const NAME_SPACE: [u8; 16] = 0x7d8b_9b5e_4f0d_4b5b_8a53_0f0d_2f4a_6c01_u128.to_be_bytes();

/// Where Google keeps what people send.
const STORAGE_HOSTS: [&str; 3] = [
    "storage.googleapis.com",
    "storage.cloud.google.com",
    "googleusercontent.com",
];

/// Where an emulator keeps what people send, below `api_base`.
pub const MEDIA_PATH: &str = "/media/";

/// Where a channel's calls go, and who makes them.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    token_url: String,
    account: ServiceAccount,
    pub settings: Settings,
    /// The name under which the account's token is shared. Channels with one service account have
    /// one token.
    pub token_name: String,
}

impl Api {
    /// The API as configured.
    ///
    /// # Errors
    /// When the key file cannot be used.
    pub fn new(common: &Common, settings: Settings) -> Result<Self, SettingsError> {
        let account = settings.account()?;
        let token_url = settings.token_url(common, &account);
        Ok(Self {
            base: common.api_base(API_BASE),
            token_name: format!("google:{SCOPE}:{}:{token_url}", account.client_email),
            token_url,
            account,
            settings,
        })
    }

    /// Whether calls go to Google's own host, which no longer answers.
    pub fn is_googles(&self) -> bool {
        self.base == API_BASE
    }

    /// How an operator recognises the account.
    pub fn agent_name(&self) -> String {
        match self.settings.brand() {
            Some(brand) => format!("brands/{brand}/agents/{}", self.settings.agent()),
            None => self.settings.agent().to_owned(),
        }
    }

    /// The request for an access token.
    ///
    /// # Errors
    /// When the assertion cannot be signed.
    pub fn token(&self, now: Millis) -> Result<Request, jwt::BadKey> {
        let seconds = now.0.div_euclid(1000);
        let header = json!({"typ": "JWT", "kid": self.account.private_key_id});
        let claims = json!({
            "iss": self.account.client_email, "scope": SCOPE, "aud": self.account.audience(),
            "iat": seconds, "exp": seconds.saturating_add(ASSERTION_SECONDS),
        });
        let assertion = jwt::rs256(header, &claims, self.account.private_key.expose())?;
        let form = vec![
            ("grant_type".to_owned(), GRANT.to_owned()),
            ("assertion".to_owned(), assertion),
        ];
        Ok(Request::post_form(&self.token_url, form))
    }

    /// A call about a conversation.
    fn about(&self, conversation: &str, what: &str, body: &Value) -> Request {
        let url = format!("{}/v1/conversations/{conversation}/{what}", self.base);
        Request::post_json(url, body.to_string())
    }

    /// As whom we speak.
    fn representative(&self) -> Value {
        let settings = &self.settings;
        let mut representative = Map::new();
        let kind = settings.representative_type.name();
        representative.insert("representativeType".into(), json!(kind));
        if let Some(name) = &settings.representative_name {
            representative.insert("displayName".into(), json!(name));
        }
        if let Some(avatar) = &settings.representative_avatar {
            representative.insert("avatarImage".into(), json!(avatar));
        }
        Value::Object(representative)
    }

    /// Shows that somebody is typing. `nonce` makes the event another than those before.
    pub fn typing(&self, conversation: &str, nonce: &str) -> Request {
        let id = named_uuid(&NAME_SPACE, &format!("typing:{conversation}:{nonce}"));
        let body = json!({"eventType": "TYPING_STARTED", "representative": self.representative()});
        self.about(conversation, &format!("events?eventId={id}"), &body)
    }

    /// Marks a message of the person's as read.
    pub fn mark_read(&self, conversation: &str, message: &str) -> Request {
        let message: String = form_urlencoded::byte_serialize(message.as_bytes()).collect();
        let what = format!("messages/{message}/receipt");
        let mut request = self.about(conversation, &what, &json!({"receiptType": "READ"}));
        request.method = Method::Patch;
        request
    }

    /// Whether a text is nothing but the link of a picture that a person sent.
    pub fn is_picture(&self, text: &str) -> bool {
        let text = text.trim();
        if text.contains(char::is_whitespace) {
            return false;
        }
        if self.is_home(text) {
            return true;
        }
        Url::parse(text).is_ok_and(|url| url.scheme() == "https" && is_storage(&url))
    }

    /// Whether this is a file of an emulator that stands in for Google.
    pub fn is_home(&self, link: &str) -> bool {
        let rest = link.strip_prefix(&self.base);
        !self.is_googles() && rest.is_some_and(|rest| rest.starts_with(MEDIA_PATH))
    }
}

/// Whether a link leads to where Google keeps what people send.
pub fn is_storage(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    STORAGE_HOSTS.iter().any(|known| {
        host.strip_suffix(known)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// The id of a part: the same in every attempt, so that Google takes it once. It follows from the
/// content too: a gateway whose store was begun anew, and with it the numbers of its messages, would
/// else send what Google takes for repetitions.
pub fn message_id(part: &Part) -> String {
    let content = json!([part.idempotency_key(), part.to, part.body, part.choices]);
    named_uuid(&NAME_SPACE, &content.to_string())
}

/// The request of a part.
pub fn render(part: &Part, api: &Api) -> Request {
    message(part, api, content(part))
}

/// The request of a part in words alone, for apps that can show no more. `None`: it is so already.
pub fn render_plain(part: &Part, api: &Api) -> Option<Request> {
    let rich = content(part);
    let plain = rich.get("text").is_some() && rich.get("suggestions").is_none();
    let fallback = rich.get("fallback").cloned().unwrap_or_default();
    (!plain).then(|| {
        let mut content = Map::new();
        content.insert("text".into(), fallback);
        message(part, api, content)
    })
}

fn message(part: &Part, api: &Api, mut content: Map<String, Value>) -> Request {
    content.insert("messageId".into(), json!(message_id(part)));
    content.insert("representative".into(), api.representative());
    api.about(&part.to, "messages", &Value::Object(content))
}

/// What a part says: a text, a picture, a card or a carousel; what stands for it where that cannot be
/// shown; and suggestions.
pub fn content(part: &Part) -> Map<String, Value> {
    let mut content = Map::new();
    let mut suggestions: Vec<Value> = part.choices.iter().map(suggestion).collect();
    let words = words(&part.body);
    match &part.body {
        PartBody::Media { attachment, caption } if attachment.kind == AttachmentKind::Image => {
            if caption.is_none() && suggestions.is_empty() {
                let image = json!({"contentInfo": content_info(attachment)});
                content.insert("image".into(), image);
            } else {
                let card = card(attachment, caption.as_deref(), &mut suggestions);
                let card = json!({"standaloneCard": {"cardContent": card}});
                content.insert("richCard".into(), card);
            }
        }
        PartBody::Album { attachments, .. } => {
            let (last, others) = match attachments.split_last() {
                Some((last, others)) => (Some(last), others),
                None => (None, &[][..]),
            };
            let plain = |a: &OutgoingAttachment| card(a, None, &mut Vec::new());
            let mut cards: Vec<Value> = others.iter().map(plain).collect();
            cards.extend(last.map(|a| card(a, None, &mut suggestions)));
            let carousel = json!({"carouselCard": {"cardWidth": "MEDIUM", "cardContents": cards}});
            content.insert("richCard".into(), carousel);
        }
        PartBody::Contact { contact } => {
            content.insert("text".into(), json!(words));
            let room = SUGGESTIONS_MAX.saturating_sub(suggestions.len());
            suggestions.extend(calls(contact).take(room));
        }
        _ => {
            content.insert("text".into(), json!(words));
        }
    }
    content.insert("fallback".into(), json!(fallback(words, &part.choices)));
    if !suggestions.is_empty() {
        content.insert("suggestions".into(), Value::Array(suggestions));
    }
    content
}

/// A part in words.
fn words(body: &PartBody) -> String {
    match body {
        PartBody::Text { text } => text.clone(),
        PartBody::Media { attachment, caption } => match caption {
            Some(caption) => format!("{caption}\n{}", attachment.url),
            None => as_link(attachment),
        },
        PartBody::Album { attachments, .. } => {
            let links: Vec<&str> = attachments.iter().map(|a| a.url.as_str()).collect();
            links.join("\n")
        }
        PartBody::Contact { contact } => contact.as_text(),
        PartBody::Location { location } => location.as_text(),
        // `plan` makes none of these; what another release planned is for Google to refuse.
        PartBody::Template { template } => template.name.clone(),
        PartBody::Bundle { bodies } => bodies.iter().map(words).collect::<Vec<_>>().join("\n"),
    }
}

/// The words with what could be chosen below them, within what Google takes.
fn fallback(words: String, choices: &[Choice]) -> String {
    let titles: Vec<&str> = choices
        .iter()
        .map(|choice| choice.title.as_str())
        .filter(|title| !title.trim().is_empty())
        .collect();
    let longer = format!("{words}\n{}", titles.join(" / "));
    if !titles.is_empty() && TEXT.fits(&longer) {
        return longer;
    }
    let first = split(&words, TEXT).first().copied();
    first.unwrap_or_default().to_owned()
}

/// A card with a picture, what is said of it, and as many of the suggestions as it holds: those it
/// takes are gone from the list.
fn card(
    attachment: &OutgoingAttachment,
    caption: Option<&str>,
    suggestions: &mut Vec<Value>,
) -> Value {
    let mut card = Map::new();
    let media = json!({"height": "MEDIUM", "contentInfo": content_info(attachment)});
    card.insert("media".into(), media);
    if let Some(caption) = caption {
        card.insert("description".into(), json!(caption));
    }
    let held = suggestions.len().min(CARD_SUGGESTIONS_MAX);
    let held: Vec<Value> = suggestions.drain(..held).collect();
    if !held.is_empty() {
        card.insert("suggestions".into(), Value::Array(held));
    }
    Value::Object(card)
}

fn content_info(attachment: &OutgoingAttachment) -> Value {
    json!({"fileUrl": attachment.url, "altText": attachment.name, "forceRefresh": false})
}

/// A choice as Google has it.
fn suggestion(choice: &Choice) -> Value {
    let Choice { title, payload, url } = choice;
    let opens = url.as_deref().and_then(action);
    let postback = if payload.trim().is_empty() { title } else { payload };
    match (url, opens) {
        (None, _) if payload == LIVE_AGENT => json!({"liveAgentRequest": {}}),
        (Some(_), Some(Opens::Call(number))) => call(title, postback, &number),
        (Some(url), _) => json!({"action": {
            "text": title, "postbackData": postback, "openUrlAction": {"url": url},
        }}),
        (None, _) => json!({"reply": {"text": title, "postbackData": postback}}),
    }
}

fn call(title: &str, postback: &str, number: &str) -> Value {
    json!({"action": {
        "text": title, "postbackData": postback, "dialAction": {"phoneNumber": number},
    }})
}

/// Buttons that call the numbers of a card.
fn calls(contact: &ContactCard) -> impl Iterator<Item = Value> {
    let numbers = contact.phones.iter().filter_map(|phone| e164(phone));
    numbers.map(|number| {
        let title: String = number.chars().take(TITLE_MAX).collect();
        call(&title, &format!("tel:{number}"), &number)
    })
}

/// The token for whom it is meant.
pub fn authorised(request: &Request, token: &Secret) -> Request {
    use crate::kit::http::Auth;
    request.clone().with_auth(Auth::Bearer(token.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::google_business_messages::config::sandbox_settings;
    use crate::google_business_messages::plan::plan;
    use crate::model::{MessageId, Outgoing};

    fn api(base: Option<&str>) -> Api {
        let common = Common {
            id: "desk".into(),
            api_base: base.map(str::to_owned),
            webhook_url: "https://gw.example.net/webhooks/desk".into(),
        };
        Api::new(&common, Settings::read(sandbox_settings()).unwrap()).unwrap()
    }

    fn part(message: i64, text: &str) -> Part {
        let mut message = Outgoing::new(MessageId(message), "c-1");
        message.text = text.into();
        plan(&message).unwrap().remove(0)
    }

    #[test]
    fn message_ids_repeat_and_differ() {
        let id = message_id(&part(1, "hi"));
        assert_eq!(id, message_id(&part(1, "hi")));
        assert_ne!(id, message_id(&part(2, "hi")));
        assert_ne!(id, message_id(&part(1, "ho")));
        let next = Part { index: 1, ..part(1, "hi") };
        assert_ne!(id, message_id(&next));
        let shape: String = id
            .chars()
            .map(|c| if c.is_ascii_hexdigit() { 'x' } else { c })
            .collect();
        assert_eq!(shape, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
        assert_eq!(id.as_bytes()[14], b'5');
    }

    #[test]
    fn pictures_are_links_of_google_and_nothing_else() {
        let google = api(None);
        for link in [
            "https://storage.googleapis.com/bucket/a?sig=1",
            "https://business-messages-us.storage.googleapis.com/a",
            " https://lh3.googleusercontent.com/a ",
        ] {
            assert!(google.is_picture(link), "{link}");
        }
        for other in [
            "http://storage.googleapis.com/a",
            "https://storage.googleapis.com.evil.example/a",
            "https://evilgoogleusercontent.com/a",
            "see https://storage.googleapis.com/a",
            "https://businessmessages.googleapis.com/media/1",
            "",
        ] {
            assert!(!google.is_picture(other), "{other}");
        }
        let emulator = api(Some("http://127.0.0.1:8081/sandbox-gbm"));
        assert!(emulator.is_picture("http://127.0.0.1:8081/sandbox-gbm/media/1/a.jpg"));
        assert!(!emulator.is_picture("http://127.0.0.1:8081/other/media/1/a.jpg"));
    }

    #[test]
    fn the_assertion_says_who_asks_for_what() {
        let request = api(None).token(Millis(1_795_000_100_000)).unwrap();
        assert_eq!(request.url, "https://oauth2.googleapis.com/token");
        let crate::kit::http::Body::Form(form) = &request.body else {
            panic!("no form")
        };
        assert_eq!(form[0], ("grant_type".to_owned(), GRANT.to_owned()));
        let account = &api(None).account;
        let (header, claims) = jwt::read_rs256(&form[1].1, account.private_key.expose()).unwrap();
        assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "sandbox-key-1"}));
        assert_eq!(claims, json!({
            "iss": "gateway@sandbox.example.net", "scope": SCOPE,
            "aud": "https://oauth2.googleapis.com/token",
            "iat": 1_795_000_100, "exp": 1_795_003_700,
        }));
    }

    #[test]
    fn channels_of_one_account_share_its_token() {
        assert_eq!(api(None).token_name, api(Some(API_BASE)).token_name);
        assert_ne!(api(None).token_name, api(Some("http://127.0.0.1:1")).token_name);
    }
}
