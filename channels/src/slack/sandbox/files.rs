//! Files: the link to upload to, the bytes, the call that posts them, and the download.

use super::check::Params;
use super::methods::Done;
use super::{Failure, Sandbox, Stored};
use crate::kit::http::{Body, Method, Request, Response};
use crate::model::Millis;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Files that are kept, and the most bytes of all of them together.
const FILES_MAX: usize = 200;
const FILES_MAX_BYTES: usize = 32 * 1024 * 1024;

/// A file, from the call for its link on.
#[derive(Debug, Clone)]
pub struct StoredFile {
    pub id: String,
    pub name: String,
    title: String,
    mime: String,
    length: usize,
    /// There once it was uploaded.
    bytes: Option<Bytes>,
    /// Where it was posted: room and `ts`.
    shares: Vec<(String, String)>,
}

impl Sandbox {
    /// A file as messages and answers show it.
    pub fn file(&self, id: &str) -> Option<Value> {
        let file = self.files.iter().find(|file| file.id == id)?;
        let link = |way: &str| {
            format!("{}/files-pri/{}-{}/{way}{}", self.base, self.team, file.id, encoded(&file.name))
        };
        let mut shares = json!({});
        for (room, ts) in &file.shares {
            if let Some(shares) = shares.as_object_mut() {
                shares.insert(room.clone(), json!([{"ts": ts}]));
            }
        }
        Some(json!({
            "id": file.id, "name": file.name, "title": file.title, "mimetype": file.mime,
            "size": file.length, "mode": "hosted", "is_external": false,
            "url_private": link(""), "url_private_download": link("download/"),
            "shares": {"public": shares},
        }))
    }

    fn keep_file(&mut self, file: StoredFile) {
        self.files.push_back(file);
        let too_many = |files: &VecDeque<StoredFile>| {
            let bytes: usize = files.iter().filter_map(|f| f.bytes.as_ref()).map(Bytes::len).sum();
            files.len() > FILES_MAX || (files.len() > 1 && bytes > FILES_MAX_BYTES)
        };
        while too_many(&self.files) {
            self.files.pop_front();
        }
    }

    /// A file that a member posts.
    pub fn posted_file(&mut self, name: &str, mime: &str, bytes: Bytes, now: Millis) -> String {
        let id = self.next_id("F", now);
        self.keep_file(StoredFile {
            id: id.clone(),
            name: name.to_owned(),
            title: name.to_owned(),
            mime: mime.to_owned(),
            length: bytes.len(),
            bytes: Some(bytes),
            shares: Vec::new(),
        });
        id
    }

    pub fn upload_url(&mut self, params: &Params, now: Millis) -> Result<Done, Failure> {
        let name = params.needed("filename")?;
        let length = params.needed("length")?.parse::<usize>().unwrap_or(0);
        if length == 0 {
            let remark = "length: must be a whole number above 0";
            return Err(Failure::because("invalid_arguments", remark));
        }
        let mime = mime_guess::from_path(&name).first_or_octet_stream();
        let id = self.next_id("F", now);
        self.keep_file(StoredFile {
            id: id.clone(),
            title: name.clone(),
            name,
            mime: mime.essence_str().to_owned(),
            length,
            bytes: None,
            shares: Vec::new(),
        });
        let link = format!("{}/upload/v1/{id}", self.base);
        Ok((json!({"upload_url": link, "file_id": id}), Vec::new()))
    }

    /// Takes the bytes. The answer is no JSON.
    pub fn take_upload(&mut self, id: &str, request: &Request) -> Response {
        let refuse = |status, words: &str| Response {
            body: words.to_owned().into(),
            ..Response::empty(status)
        };
        if request.method != Method::Post {
            return refuse(405, "POST only");
        }
        let bytes = match &request.body {
            Body::Raw(bytes) => bytes.clone(),
            Body::Multipart(fields) => match fields.iter().find(|f| f.file_name.is_some()) {
                Some(field) => field.bytes.clone(),
                None => return refuse(400, "no file"),
            },
            Body::Json(text) => Bytes::from(text.clone()),
            Body::Empty | Body::Form(_) => return refuse(400, "no bytes"),
        };
        let Some(file) = self.files.iter_mut().find(|file| file.id == id) else {
            return refuse(404, "no such upload");
        };
        if file.bytes.is_some() || bytes.len() != file.length {
            return refuse(400, "not as many bytes as announced, or a second time");
        }
        let length = bytes.len();
        file.bytes = Some(bytes);
        refuse(200, &format!("OK - {length}"))
    }

    pub fn complete(&mut self, params: &Params, now: Millis) -> Result<Done, Failure> {
        let missing = |what: &str| {
            Failure::because("invalid_arguments", format!("missing required field: {what}"))
        };
        let files = params.json("files").ok_or_else(|| missing("files"))?;
        let files = files.as_array().filter(|files| !files.is_empty());
        let mut ids = Vec::new();
        for given in files.ok_or_else(|| missing("files"))? {
            let id = given.get("id").and_then(Value::as_str).ok_or_else(|| missing("id"))?;
            let file = self.files.iter_mut().find(|file| file.id == id);
            let file = file.filter(|file| file.bytes.is_some() && file.shares.is_empty());
            let file = file.ok_or_else(|| Failure::new("file_not_found"))?;
            if let Some(title) = given.get("title").and_then(Value::as_str) {
                title.clone_into(&mut file.title);
            }
            ids.push(id.to_owned());
        }
        let places = params.text("channel_id").or_else(|| params.text("channels"));
        let mut hooks = Vec::new();
        for place in places.iter().flat_map(|p| p.split(',')).filter(|p| !p.is_empty()) {
            // Only ids of rooms: a person's id is refused here.
            if self.people.contains_key(place) {
                return Err(Failure::new("channel_not_found"));
            }
            let room = self.open_room(place, now)?;
            let thread_ts = self.thread(&room, params)?;
            let stored = Stored {
                ts: self.next_ts(now),
                room,
                thread_ts,
                user: None,
                username: None,
                text: params.text("initial_comment").unwrap_or_default(),
                blocks: None,
                metadata: None,
                files: ids.clone(),
                reactions: Vec::new(),
                at: now,
            };
            for file in &mut self.files {
                if ids.contains(&file.id) {
                    file.shares.push((stored.room.clone(), stored.ts.clone()));
                }
            }
            self.keep(stored.clone());
            hooks.push(self.message_event(&stored, now));
        }
        let shown = |id: &String| {
            let file = self.files.iter().find(|file| file.id == *id)?;
            Some(json!({"id": file.id, "title": file.title}))
        };
        let files: Vec<Value> = ids.iter().filter_map(shown).collect();
        Ok((json!({"files": files}), hooks))
    }

    /// The bytes of a file; without the token a page for people, with status 200.
    pub fn download(&self, path: &str, authorised: bool) -> Response {
        if !authorised {
            let page = "<!DOCTYPE html><html><title>Sign in</title></html>";
            return Response {
                body: page.into(),
                ..Response::empty(200).with_header("content-type", "text/html; charset=utf-8")
            };
        }
        let id = path.split('/').next().and_then(|first| first.rsplit('-').next());
        let file = self.files.iter().find(|file| Some(file.id.as_str()) == id);
        match file.and_then(|file| Some((file, file.bytes.clone()?))) {
            Some((file, bytes)) => Response {
                body: bytes,
                ..Response::empty(200).with_header("content-type", &file.mime)
            },
            None => Response::empty(404),
        }
    }
}

/// A file name as a piece of a path.
fn encoded(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

