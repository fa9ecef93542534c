//! Parts into requests, each signed with a stamp of its own.

use super::config::{API_BASE, Settings};
use super::oauth::{Stamp, authorization, encode};
use super::plan::{GIF_MAX_BYTES, IMAGE_MAX_BYTES, VIDEO_MAX_BYTES};
use crate::kit::http::{Auth, Field, Request};
use crate::kit::secret::Secret;
use crate::kit::settings::Common;
use crate::model::{AttachmentKind, OutgoingAttachment, Part, PartBody};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// How a credential is named in a request.
pub const AUTHORIZATION: &str = "Authorization";

/// The size of a piece of an upload (X API, "Chunked media upload": 1 to 4 MB).
pub const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// Where the account's calls go, and what they are signed with.
#[derive(Debug, Clone)]
pub struct Api {
    /// The root of the API.
    pub base: String,
    /// The channel's keys.
    pub settings: Settings,
}

impl Api {
    /// The API as configured.
    pub fn new(common: &Common, settings: Settings) -> Self {
        Self {
            base: common.api_base(API_BASE),
            settings,
        }
    }

    /// A request with its signature.
    pub fn signed(&self, request: Request, stamp: &Stamp) -> Request {
        let value = authorization(&self.settings, &request, stamp);
        request.with_auth(Auth::Header {
            name: AUTHORIZATION,
            value: Secret::new(value),
        })
    }

    /// The question who the tokens belong to.
    pub fn me(&self, stamp: &Stamp) -> Request {
        self.signed(Request::get(format!("{}/2/users/me", self.base)), stamp)
    }

    /// The question who somebody is.
    pub fn user(&self, id: &str, stamp: &Stamp) -> Request {
        let fields = "user.fields=name,username,profile_image_url,description";
        let url = format!("{}/2/users/{}?{fields}", self.base, encode(id));
        self.signed(Request::get(url), stamp)
    }

    /// The upload of a picture in one request.
    pub fn upload_image(&self, file: &Upload<'_>, stamp: &Stamp) -> Request {
        let fields = vec![
            text_field("media_category", file.category),
            file_field(file, file.bytes.clone()),
        ];
        self.multipart("/2/media/upload", fields, stamp)
    }

    /// The first step of an upload in pieces.
    pub fn upload_begin(&self, file: &Upload<'_>, stamp: &Stamp) -> Request {
        let url = format!("{}/2/media/upload/initialize", self.base);
        let body = json!({
            "media_type": file.attachment.mime,
            "total_bytes": file.bytes.len(),
            "media_category": file.category,
        });
        self.signed(Request::post_json(url, body.to_string()), stamp)
    }

    /// One piece.
    pub fn upload_piece(
        &self,
        id: &str,
        index: usize,
        file: &Upload<'_>,
        piece: Bytes,
        stamp: &Stamp,
    ) -> Request {
        let fields = vec![
            text_field("segment_index", &index.to_string()),
            file_field(file, piece),
        ];
        self.multipart(&format!("/2/media/upload/{}/append", encode(id)), fields, stamp)
    }

    /// The last step.
    pub fn upload_end(&self, id: &str, stamp: &Stamp) -> Request {
        let url = format!("{}/2/media/upload/{}/finalize", self.base, encode(id));
        let mut request = Request::get(url);
        request.method = crate::kit::http::Method::Post;
        self.signed(request, stamp)
    }

    /// The question whether an upload can be sent.
    pub fn upload_state(&self, id: &str, stamp: &Stamp) -> Request {
        let query = format!("command=STATUS&media_id={}", encode(id));
        let url = format!("{}/2/media/upload?{query}", self.base);
        self.signed(Request::get(url), stamp)
    }

    fn multipart(&self, path: &str, fields: Vec<Field>, stamp: &Stamp) -> Request {
        let request = Request::post_multipart(format!("{}{path}", self.base), fields);
        self.signed(request.with_timeout_ms(Request::MEDIA_TIMEOUT_MS), stamp)
    }
}

fn text_field(name: &str, value: &str) -> Field {
    Field {
        name: name.to_owned(),
        file_name: None,
        mime: None,
        bytes: Bytes::from(value.to_owned()),
    }
}

fn file_field(file: &Upload<'_>, bytes: Bytes) -> Field {
    Field {
        name: "media".to_owned(),
        file_name: Some(file.attachment.name.clone()),
        mime: Some(file.attachment.mime.clone()),
        bytes,
    }
}

/// A file on its way to X.
#[derive(Debug)]
pub struct Upload<'a> {
    /// What it is.
    pub attachment: &'a OutgoingAttachment,
    /// X's name for its use.
    pub category: &'static str,
    /// The content.
    pub bytes: Bytes,
}

/// X's name for the use of an attachment, and the most bytes that it takes of it. `None`: it goes as
/// its link.
pub fn category(attachment: &OutgoingAttachment) -> Option<(&'static str, u64)> {
    match (attachment.kind, attachment.mime.as_str()) {
        (AttachmentKind::Image, "image/gif") => Some(("dm_gif", GIF_MAX_BYTES)),
        (AttachmentKind::Image, _) => Some(("dm_image", IMAGE_MAX_BYTES)),
        (AttachmentKind::Video, _) => Some(("dm_video", VIDEO_MAX_BYTES)),
        _ => None,
    }
}

/// The request of a part; `media` is the id of its uploaded attachment, absent where its link goes.
pub fn render(part: &Part, api: &Api, media: Option<&str>, stamp: &Stamp) -> Request {
    let mut fields = Map::new();
    let text = match (&part.body, media) {
        (PartBody::Media { caption, .. }, Some(_)) => caption.clone().unwrap_or_default(),
        (body, _) => in_words(body),
    };
    if !text.is_empty() {
        fields.insert("text".into(), json!(text));
    }
    if let Some(id) = media {
        fields.insert("attachments".into(), json!([{"media_id": id}]));
    }
    let to = encode(&part.to);
    let url = format!("{}/2/dm_conversations/with/{to}/messages", api.base);
    let body = Value::Object(fields).to_string();
    api.signed(Request::post_json(url, body), stamp)
}

/// A body as text.
fn in_words(body: &PartBody) -> String {
    let linked = |attachment: &OutgoingAttachment| format!("{}: {}", attachment.name, attachment.url);
    let lines = |caption: &Option<String>, links: Vec<String>| {
        let lines: Vec<String> = caption.clone().into_iter().chain(links).collect();
        lines.join("\n")
    };
    match body {
        PartBody::Text { text } => text.clone(),
        PartBody::Media {
            attachment,
            caption,
        } => lines(caption, vec![linked(attachment)]),
        // `plan` makes none of these.
        PartBody::Album {
            attachments,
            caption,
        } => lines(caption, attachments.iter().map(linked).collect()),
        PartBody::Location { location } => location.as_text(),
        PartBody::Contact { contact } => contact.as_text(),
        PartBody::Template { template } => template.name.clone(),
        PartBody::Bundle { bodies } => {
            let lines: Vec<String> = bodies.iter().map(in_words).collect();
            lines.join("\n")
        }
    }
}
