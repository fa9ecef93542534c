//! Parts into requests. The access token goes into the query of each, as WeChat wants it, and is
//! left out of what is shown.

use super::config::{API_BASE, Settings};
use super::plan::TEXT;
use crate::kit::http::{Field, Request};
use crate::kit::secret::Secret;
use crate::kit::settings::Common;
use crate::model::{AttachmentKind, Media, OutgoingAttachment, Part, PartBody, Template};
use serde_json::{Map, Value, json};

/// A call that moves no file is answered within a second or two; 15 seconds are given up on.
const TEXT_TIMEOUT_MS: u64 = 15_000;

/// The longest title of a card, in characters. Not documented; longer ones are cut on screens.
const TITLE_MAX_CHARS: usize = 64;

/// Where the account's calls go, and who it is.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    /// The account's AppID.
    pub app_id: String,
    secret: Secret,
}

impl Api {
    /// The API as configured.
    pub fn new(common: &Common, settings: &Settings) -> Self {
        Self {
            base: common.api_base(API_BASE),
            app_id: settings.app_id.clone(),
            secret: settings.app_secret.clone(),
        }
    }

    /// Asks for the access token: the one that is good, or with `force` another, which makes that
    /// one worthless at once (20 times a day).
    pub fn stable_token(&self, force: bool) -> Request {
        let fields = json!({
            "grant_type": "client_credential",
            "appid": self.app_id,
            "secret": self.secret.expose(),
            "force_refresh": force,
        });
        let url = format!("{}/cgi-bin/stable_token", self.base);
        Request::post_json(url, fields.to_string()).with_timeout_ms(TEXT_TIMEOUT_MS)
    }

    /// Asks for a file that somebody sent.
    pub fn media(&self, token: &str, id: &str, max_bytes: usize) -> Request {
        let (url, shown) = self.url("/cgi-bin/media/get", token, &[("media_id", id)]);
        let mut request = Request::get(url)
            .with_redacted_url(shown)
            .with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
        request.max_response_bytes = max_bytes;
        request
    }

    /// Asks about a person.
    pub fn user_info(&self, token: &str, openid: &str) -> Request {
        let query = [("openid", openid), ("lang", "en")];
        let (url, shown) = self.url("/cgi-bin/user/info", token, &query);
        Request::get(url)
            .with_redacted_url(shown)
            .with_timeout_ms(TEXT_TIMEOUT_MS)
    }

    /// Whether a link is on the host that the calls go to.
    pub fn is_home(&self, link: &str) -> bool {
        let origin = |url: &str| url::Url::parse(url).ok().map(|url| url.origin());
        origin(link).is_some_and(|there| Some(there) == origin(&self.base))
    }

    /// What a transport says of its failure may hold the URL, and the URL holds the token.
    pub fn redact(&self, text: &str, token: &str) -> String {
        let text = text.replace(self.secret.expose(), "***");
        if token.is_empty() {
            return text;
        }
        text.replace(token, "***")
    }

    fn post(&self, path: &str, token: &str, fields: Value) -> Request {
        let (url, shown) = self.url(path, token, &[]);
        Request::post_json(url, fields.to_string())
            .with_redacted_url(shown)
            .with_timeout_ms(TEXT_TIMEOUT_MS)
    }

    /// The URL of a call, and how it may be shown.
    fn url(&self, path: &str, token: &str, query: &[(&str, &str)]) -> (String, String) {
        let with = |token: &str| {
            let mut pairs = form_urlencoded::Serializer::new(String::new());
            pairs.append_pair("access_token", token);
            pairs.extend_pairs(query);
            format!("{}{path}?{}", self.base, pairs.finish())
        };
        (with(token), with("***"))
    }
}

/// As what a file is uploaded before the part that shows it. `None`: it goes as a link.
pub fn upload_type(attachment: &OutgoingAttachment) -> Option<&'static str> {
    match attachment.kind {
        AttachmentKind::Image => Some("image"),
        AttachmentKind::Voice | AttachmentKind::Audio => Some("voice"),
        AttachmentKind::Video => Some("video"),
        AttachmentKind::Sticker | AttachmentKind::File => None,
    }
}

/// Uploads a file, which WeChat keeps for three days.
pub fn upload(attachment: &OutgoingAttachment, kind: &str, media: &Media, api: &Api, token: &str) -> Request {
    let (url, shown) = api.url("/cgi-bin/media/upload", token, &[("type", kind)]);
    let file = Field {
        name: "media".into(),
        // WeChat goes by the extension; the name itself is shown to nobody.
        file_name: Some(format!("file.{}", extension(&attachment.mime))),
        mime: Some(attachment.mime.clone()),
        bytes: media.bytes.clone(),
    };
    Request::post_multipart(url, vec![file])
        .with_redacted_url(shown)
        .with_timeout_ms(Request::MEDIA_TIMEOUT_MS)
}

/// The extension of a type that `plan` uploads.
fn extension(mime: &str) -> &'static str {
    match mime {
        "image/png" => "png",
        "image/gif" => "gif",
        "audio/mpeg" => "mp3",
        "audio/amr" | "audio/AMR" => "amr",
        "video/mp4" => "mp4",
        _ => "jpg",
    }
}

/// The request of a part; `media` is the id of its file, where it has one that was uploaded.
pub fn render(part: &Part, media: Option<&str>, api: &Api, token: &str) -> Request {
    if let PartBody::Template { template } = &part.body {
        let fields = template_fields(part, template);
        return api.post("/cgi-bin/message/template/send", token, fields);
    }
    let (kind, content) = content(part, media);
    let mut fields = Map::new();
    fields.insert("touser".into(), json!(part.to));
    fields.insert("msgtype".into(), json!(kind));
    fields.insert(kind.into(), content);
    api.post("/cgi-bin/message/custom/send", token, Value::Object(fields))
}

/// Type and content of a custom message.
fn content(part: &Part, media: Option<&str>) -> (&'static str, Value) {
    match (&part.body, media) {
        (PartBody::Media { attachment, .. }, Some(id)) => match upload_type(attachment) {
            Some("voice") => ("voice", json!({"media_id": id})),
            // A still may be named too, and has to be uploaded as well; without one WeChat takes one.
            Some("video") => ("video", json!({"media_id": id, "title": attachment.name})),
            _ => ("image", json!({"media_id": id})),
        },
        (PartBody::Media { attachment, .. }, None) => {
            let title: String = attachment.name.chars().take(TITLE_MAX_CHARS).collect();
            let article = json!({"title": title, "description": "", "url": attachment.url});
            ("news", json!({"articles": [article]}))
        }
        (body, _) => {
            let text = words(body);
            if part.choices.is_empty() {
                return ("text", json!({"content": text}));
            }
            let item = |choice: &crate::model::Choice| {
                json!({"id": choice.payload, "content": choice.title})
            };
            let list: Vec<Value> = part.choices.iter().map(item).collect();
            ("msgmenu", json!({"head_content": text, "list": list}))
        }
    }
}

/// The words of a part. `plan` makes no other parts than text; what another release planned goes as
/// the text that it would be.
fn words(body: &PartBody) -> String {
    match body {
        PartBody::Text { text } => text.clone(),
        PartBody::Location { location } => location.as_text(),
        PartBody::Contact { contact } => contact.as_text(),
        PartBody::Album { attachments, .. } => {
            let links: Vec<&str> = attachments.iter().map(|a| a.url.as_str()).collect();
            links.join("\n")
        }
        PartBody::Bundle { bodies } => {
            let all: Vec<String> = bodies.iter().map(words).collect();
            let mut text = all.join("\n");
            while !TEXT.fits(&text) {
                text.pop();
            }
            text
        }
        PartBody::Media { attachment, .. } => attachment.url.clone(),
        PartBody::Template { template } => template.name.clone(),
    }
}

/// A template: parameters of header and body by name, and the link that it opens.
fn template_fields(part: &Part, template: &Template) -> Value {
    let mut data = Map::new();
    for text in template.header.iter().chain(&template.body) {
        let name = text.name.clone().unwrap_or_default();
        data.insert(name, json!({"value": text.text}));
    }
    let mut fields = json!({
        "touser": part.to,
        "template_id": template.name,
        // WeChat takes a second send with the same one for a repetition, for a time that it does not
        // state: a help, not a promise.
        "client_msg_id": part.idempotency_key(),
        "data": data,
    });
    if let (Some(link), Some(fields)) = (template.buttons.first(), fields.as_object_mut()) {
        fields.insert("url".into(), json!(link.text));
    }
    fields
}
