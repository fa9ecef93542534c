//! Files: uploaded by us, sent by followers, handed out again.

use super::Sandbox;
use super::api::{Call, Done, Fault};
use crate::kit::emulator::Exchange;
use crate::kit::http::{Body, Response};
use crate::model::Millis;
use bytes::Bytes;
use serde_json::json;

/// Files that are kept, and the most bytes of all of them together.
const FILES_MAX: usize = 200;
const FILES_MAX_BYTES: usize = 32 * 1024 * 1024;

/// A file is kept for three days.
const FILE_MILLIS: i64 = 3 * 24 * 60 * 60 * 1000;

const MB: usize = 1024 * 1024;

/// A file that somebody sent.
#[derive(Debug, Clone)]
pub struct StoredFile {
    pub id: String,
    /// `image`, `voice`, `video` or `thumb`.
    pub kind: String,
    pub name: String,
    mime: String,
    bytes: Bytes,
    until: Millis,
}

impl Sandbox {
    /// Keeps a file and gives its id.
    pub fn keep_file(
        &mut self,
        kind: &str,
        name: &str,
        mime: &str,
        bytes: Bytes,
        now: Millis,
    ) -> String {
        let id = format!("SBX_MEDIA_{}", self.next_id());
        self.files.push_back(StoredFile {
            id: id.clone(),
            kind: kind.into(),
            name: name.into(),
            mime: mime.into(),
            bytes,
            until: now.plus(FILE_MILLIS),
        });
        let too_many = |sandbox: &Self| {
            let bytes: usize = sandbox.files.iter().map(|file| file.bytes.len()).sum();
            sandbox.files.len() > FILES_MAX || (sandbox.files.len() > 1 && bytes > FILES_MAX_BYTES)
        };
        while too_many(self) {
            self.files.pop_front();
        }
        id
    }

    /// The file of this id, if it is of this kind and still kept.
    pub fn file(&self, id: &str, kind: &str, now: Millis) -> Result<&StoredFile, Fault> {
        let file = self.files.iter().find(|file| file.id == id);
        let file = file.filter(|file| now < file.until).ok_or(Fault::MEDIA)?;
        if file.kind == kind {
            Ok(file)
        } else {
            Err(Fault(40004, "invalid media type"))
        }
    }

    pub fn upload(&mut self, call: &Call<'_>, now: Millis) -> Done {
        let kind = call.query("type").unwrap_or_default().to_owned();
        let (max, too_large, extensions): (usize, Fault, &[&str]) = match kind.as_str() {
            "image" => (10 * MB, Fault(40009, "invalid image size"), &["jpg", "jpeg", "png", "gif"]),
            "voice" => (2 * MB, Fault(40010, "invalid voice size"), &["amr", "mp3"]),
            "video" => (10 * MB, Fault(40011, "invalid video size"), &["mp4"]),
            "thumb" => (MB / 16, Fault(40012, "invalid thumb size"), &["jpg", "jpeg"]),
            _ => return Err(Fault(40004, "invalid media type")),
        };
        let missing = Fault(41005, "media data missing");
        let Body::Multipart(fields) = &call.request.body else {
            return Err(missing);
        };
        let field = fields.iter().find(|field| field.name == "media");
        let field = field.ok_or(missing)?;
        // Without a name WeChat does not see a file.
        let name = field.file_name.clone().ok_or(missing)?;
        if field.bytes.is_empty() {
            return Err(Fault(44001, "empty media data"));
        }
        let extension = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
        if !extension.is_some_and(|e| extensions.contains(&e.as_str())) {
            return Err(Fault(40005, "invalid file type"));
        }
        if field.bytes.len() > max {
            return Err(too_large);
        }
        let mime = field.mime.clone().unwrap_or_default();
        let id = self.keep_file(&kind, &name, &mime, field.bytes.clone(), now);
        let created = now.0.div_euclid(1000);
        let named = if kind == "thumb" { "thumb_media_id" } else { "media_id" };
        let body = json!({"type": kind, named: id, "created_at": created});
        Ok(Response::json(200, body.to_string()).into())
    }

    /// Hands out a file; a film as a link.
    pub fn media(&self, id: Option<&str>, now: Millis) -> Done {
        let id = id.ok_or(Fault(41006, "media_id missing"))?;
        let file = self.files.iter().find(|file| file.id == id);
        let file = file.filter(|file| now < file.until).ok_or(Fault::MEDIA)?;
        if file.kind == "video" {
            let link = format!("{}/sandbox-video/{}", self.base, file.id);
            let body = json!({"video_url": link});
            return Ok(Response::json(200, body.to_string()).into());
        }
        Ok(download(file).into())
    }

    /// The film behind such a link.
    pub fn film(&self, path: &str) -> Exchange {
        let id = path.rsplit('/').next().unwrap_or_default();
        match self.files.iter().find(|file| file.id == id) {
            Some(file) => download(file).into(),
            None => Response::empty(404).into(),
        }
    }
}

fn download(file: &StoredFile) -> Response {
    // A name with a quote or a line break would end the header early.
    let name: String = file.name.chars().filter(|c| !c.is_control() && *c != '"').collect();
    Response {
        body: file.bytes.clone(),
        ..Response::empty(200)
            .with_header("content-type", file.mime.as_str())
            .with_header("content-disposition", format!("attachment; filename=\"{name}\""))
    }
}
