//! Uploads: in one request, and in pieces.

use super::methods::{object, only};
use super::{Failure, Sandbox};
use crate::kit::emulator::Exchange;
use crate::kit::http::{Body, Field, Method, Request, Response};
use crate::model::Millis;
use crate::twitter::plan::{GIF_MAX_BYTES, IMAGE_MAX_BYTES, VIDEO_MAX_BYTES};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

/// Uploads that are kept.
const UPLOADS_MAX: usize = 50;

/// The largest piece.
const PIECE_MAX: usize = 5 * 1024 * 1024;

/// An upload, perhaps not complete.
#[derive(Debug)]
pub struct Uploaded {
    category: String,
    mime: String,
    total: usize,
    bytes: BytesMut,
    pieces: usize,
    /// How often its state was asked for since it was complete; `None`: it is not.
    asked: Option<u32>,
}

/// The types and sizes of a category.
fn allows(category: &str, mime: &str, size: u64) -> Result<(), Failure> {
    let (mimes, max): (&[&str], u64) = match category {
        "dm_image" => (&["image/jpeg", "image/png", "image/webp"], IMAGE_MAX_BYTES),
        "dm_gif" => (&["image/gif"], GIF_MAX_BYTES),
        "dm_video" => (&["video/mp4"], VIDEO_MAX_BYTES),
        _ => return Err(Failure::invalid("media_category: is none of direct messages")),
    };
    if !mimes.contains(&mime) {
        return Err(Failure::invalid(format!("media_type: {mime} is not a {category}")));
    }
    if size == 0 || size > max {
        return Err(Failure::invalid(format!("total_bytes: must be 1 to {max}")));
    }
    Ok(())
}

/// The fields of a multipart body.
fn parts(request: &Request) -> Result<&[Field], Failure> {
    match &request.body {
        Body::Multipart(fields) => Ok(fields),
        _ => Err(Failure::invalid("the body must be multipart/form-data")),
    }
}

fn field<'a>(fields: &'a [Field], name: &str) -> Result<&'a Field, Failure> {
    let found = fields.iter().find(|field| field.name == name);
    found.ok_or_else(|| Failure::invalid(format!("{name}: is required")))
}

fn text(fields: &[Field], name: &str) -> Result<String, Failure> {
    let field = field(fields, name)?;
    Ok(String::from_utf8_lossy(&field.bytes).into_owned())
}

fn answer(status: u16, data: &Value) -> Exchange {
    Response::json(status, json!({"data": data}).to_string()).into()
}

impl Sandbox {
    /// A step of an upload.
    pub fn upload(
        &mut self,
        segments: &[&str],
        request: &Request,
        now: Millis,
    ) -> Result<Exchange, Failure> {
        match (request.method, segments) {
            (Method::Post, [_, _, _]) => {
                let fields = parts(request)?;
                let category = text(fields, "media_category")?;
                let media = field(fields, "media")?;
                if category != "dm_image" {
                    return Err(Failure::invalid("media_category: needs the chunked upload"));
                }
                let mime = media.mime.clone().unwrap_or_default();
                allows(&category, &mime, media.bytes.len() as u64)?;
                let bytes = BytesMut::from(media.bytes.as_ref());
                let id = self.begin(category, mime, bytes.len(), bytes, Some(9), now);
                Ok(answer(200, &json!({
                    "id": id.to_string(), "media_key": format!("3_{id}"), "expires_after_secs": 86400,
                })))
            }
            (Method::Post, [_, _, _, "initialize"]) => {
                let fields = object(request)?;
                only(&fields, &["media_type", "total_bytes", "media_category", "shared"])?;
                let of = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
                let total = fields.get("total_bytes").and_then(Value::as_u64).unwrap_or(0);
                let (category, mime) = (of("media_category"), of("media_type"));
                allows(category, mime, total)?;
                let total = usize::try_from(total).unwrap_or(usize::MAX);
                let (category, mime) = (category.to_owned(), mime.to_owned());
                let id = self.begin(category, mime, total, BytesMut::new(), None, now);
                Ok(answer(200, &json!({
                    "id": id.to_string(), "media_key": format!("7_{id}"), "expires_after_secs": 86400,
                })))
            }
            (Method::Post, [_, _, _, id, "append"]) => {
                let fields = parts(request)?;
                let index = text(fields, "segment_index")?.parse::<usize>().ok();
                let piece = field(fields, "media")?.bytes.clone();
                self.append(id, index, &piece)
            }
            (Method::Post, [_, _, _, id, "finalize"]) => {
                if !matches!(request.body, Body::Empty) {
                    return Err(Failure::invalid("the body must be empty"));
                }
                let (id, upload) = self.find(id)?;
                if upload.asked.is_some() || upload.bytes.len() != upload.total {
                    return Err(Failure::invalid("the upload is not complete"));
                }
                upload.asked = Some(0);
                Ok(answer(200, &json!({
                    "id": id.to_string(),
                    "processing_info": {"state": "pending", "check_after_secs": 1},
                })))
            }
            (Method::Get, [_, _, _]) => {
                let url = url::Url::parse(&request.url).ok();
                let query = |name: &str| {
                    let mut pairs = url.as_ref()?.query_pairs();
                    pairs.find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
                };
                if query("command").as_deref() != Some("STATUS") {
                    return Err(Failure::invalid("command: must be STATUS"));
                }
                let (id, upload) = self.find(&query("media_id").unwrap_or_default())?;
                let asked = upload.asked.as_mut();
                let asked = asked.ok_or_else(|| Failure::invalid("the upload is not complete"))?;
                *asked += 1;
                // Done at the second question, so that somebody has to ask twice.
                let state = if *asked > 1 { "succeeded" } else { "in_progress" };
                Ok(answer(200, &json!({
                    "id": id.to_string(),
                    "processing_info": {"state": state, "check_after_secs": 1},
                })))
            }
            _ => Err(Failure::new(404, "Not Found Error", "no such step")),
        }
    }

    fn begin(
        &mut self,
        category: String,
        mime: String,
        total: usize,
        bytes: BytesMut,
        asked: Option<u32>,
        now: Millis,
    ) -> i64 {
        let id = self.next_id(now);
        let uploaded = Uploaded {
            category,
            mime,
            total,
            bytes,
            pieces: 0,
            asked,
        };
        self.uploads.insert(id, uploaded);
        while self.uploads.len() > UPLOADS_MAX {
            self.uploads.pop_first();
        }
        id
    }

    fn find(&mut self, id: &str) -> Result<(i64, &mut Uploaded), Failure> {
        let number = id.parse::<i64>().ok();
        let found = number.and_then(|number| Some((number, self.uploads.get_mut(&number)?)));
        found.ok_or_else(|| Failure::invalid(format!("media_id: {id} is not a valid media id")))
    }

    fn append(&mut self, id: &str, index: Option<usize>, piece: &Bytes) -> Result<Exchange, Failure> {
        let (_, upload) = self.find(id)?;
        if index != Some(upload.pieces) || upload.pieces > 999 {
            return Err(Failure::invalid("segment_index: must count from 0 to 999"));
        }
        if piece.is_empty() || piece.len() > PIECE_MAX {
            return Err(Failure::new(413, "Payload Too Large", "the piece is too large"));
        }
        if upload.asked.is_some() || upload.bytes.len() + piece.len() > upload.total {
            return Err(Failure::invalid("more bytes than total_bytes"));
        }
        upload.bytes.extend_from_slice(piece);
        upload.pieces += 1;
        Ok(answer(200, &json!({"expires_at": 0})))
    }

    /// The attachment that an upload becomes when it is sent. Each is sent once.
    pub fn attach(&mut self, id: &str, now: Millis) -> Result<Value, Failure> {
        let (number, upload) = self.find(id)?;
        if upload.asked.is_none_or(|asked| asked < 2) {
            return Err(Failure::invalid("the media is not ready"));
        }
        let (kind, extension) = match upload.category.as_str() {
            "dm_image" => ("photo", "jpg"),
            "dm_gif" => ("animated_gif", "gif"),
            _ => ("video", "mp4"),
        };
        let (mime, bytes) = (upload.mime.clone(), std::mem::take(&mut upload.bytes));
        self.uploads.remove(&number);
        let link = self.keep_file(&mime, extension, bytes.freeze(), now);
        Ok(media(kind, &number.to_string(), &link))
    }
}

/// An attachment in the shape of the webhook.
pub fn media(kind: &str, id: &str, link: &str) -> Value {
    let mut media = json!({
        "id_str": id, "type": kind, "url": format!("https://t.co/{id}"), "media_url_https": link,
    });
    if kind != "photo" && let Some(media) = media.as_object_mut() {
        let variant = json!({"bitrate": 832_000, "content_type": "video/mp4", "url": link});
        media.insert("video_info".into(), json!({"variants": [variant]}));
    }
    json!({"type": "media", "media": media})
}
