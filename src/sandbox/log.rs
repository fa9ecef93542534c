//! The log of an account's requests: bounded, and cheap to write. What is to be shown is made when it
//! is asked for.

use super::desk::locked;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use switchboard_channels::kit::http::{Body, Field, Headers, Method, Request};
use switchboard_channels::model::Millis;

/// Requests that are kept.
pub(super) const ENTRIES_MAX: usize = 20_000;

/// Bytes of bodies and headers that are kept in all; the oldest requests go first.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The largest text that is kept of a body; of a larger one only the size is.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What was answered; `None` when nothing was.
    pub(super) status: Option<u16>,
    /// What the emulator said; `None` when it was not asked.
    pub(super) platform_status: Option<u16>,
    /// The fault that hit the request.
    pub(super) fault: Option<&'static str>,
}

/// What is kept of a body.
enum Kept {
    Whole(Body),
    Fields(Vec<KeptField>),
    /// The kind of body and its size.
    Size(&'static str, usize),
}

struct KeptField {
    name: String,
    file_name: Option<String>,
    mime: Option<String>,
    size: usize,
    /// Fields that are no files.
    value: Option<String>,
}

struct Entry {
    seq: u64,
    received_at: Millis,
    method: Method,
    path: String,
    query: Option<String>,
    headers: Headers,
    body: Kept,
    outcome: Outcome,
    bytes: usize,
}

#[derive(Default)]
struct Entries {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    last_seq: u64,
}

/// The last requests of an account.
#[derive(Default)]
pub(super) struct Log(Mutex<Entries>);

impl Log {
    /// Keeps a request. `path` is the platform's own, with its query.
    pub(super) fn push(&self, path: &str, request: Request, received_at: Millis, outcome: Outcome) {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (path.to_owned(), None),
        };
        let body = keep(request.body);
        let head: usize = request.headers.iter().map(|(n, v)| n.len() + v.len()).sum();
        let bytes = body.bytes() + head + path.len() + size_of::<Entry>();
        let mut log = locked(&self.0);
        log.last_seq += 1;
        let entry = Arc::new(Entry {
            seq: log.last_seq,
            received_at,
            method: request.method,
            path,
            query,
            headers: request.headers,
            body,
            outcome,
            bytes,
        });
        log.bytes += bytes;
        log.entries.push_back(entry);
        while log.entries.len() > ENTRIES_MAX || log.bytes > BYTES_MAX {
            let Some(oldest) = log.entries.pop_front() else {
                break;
            };
            log.bytes -= oldest.bytes;
        }
    }

    /// The requests after `after`, oldest first, as JSON; `clear` forgets all.
    pub(super) fn list(&self, after: u64, clear: bool) -> Vec<Value> {
        // Rendered after the lock is given back: twenty thousand take a while.
        let entries = {
            let mut log = locked(&self.0);
            if clear {
                log.bytes = 0;
                std::mem::take(&mut log.entries)
            } else {
                log.entries.clone()
            }
        };
        let wanted = entries.iter().filter(|entry| entry.seq > after);
        wanted.map(|entry| entry.shown()).collect()
    }
}

fn keep(body: Body) -> Kept {
    match body {
        Body::Json(text) if text.len() > TEXT_BYTES_MAX => Kept::Size("json", text.len()),
        Body::Form(pairs) => {
            let size = pairs.iter().map(|(n, v)| n.len() + v.len()).sum();
            if size > TEXT_BYTES_MAX {
                Kept::Size("form", size)
            } else {
                Kept::Whole(Body::Form(pairs))
            }
        }
        Body::Raw(bytes) if bytes.len() > TEXT_BYTES_MAX => Kept::Size("raw", bytes.len()),
        // A copy: the bytes are a piece of the connection's buffer, which this would pin.
        Body::Raw(bytes) => Kept::Whole(Body::Raw(bytes::Bytes::copy_from_slice(&bytes))),
        Body::Multipart(fields) => Kept::Fields(fields.into_iter().map(keep_field).collect()),
        Body::Empty | Body::Json(_) => Kept::Whole(body),
    }
}

fn keep_field(field: Field) -> KeptField {
    let size = field.bytes.len();
    let is_text = field.file_name.is_none() && size <= TEXT_BYTES_MAX;
    KeptField {
        name: field.name,
        file_name: field.file_name,
        mime: field.mime,
        size,
        value: is_text.then(|| String::from_utf8_lossy(&field.bytes).into_owned()),
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        match self {
            Self::Whole(Body::Json(text)) => text.len(),
            Self::Whole(Body::Form(pairs)) => pairs.iter().map(|(n, v)| n.len() + v.len()).sum(),
            Self::Whole(Body::Raw(bytes)) => bytes.len(),
            Self::Whole(Body::Empty | Body::Multipart(_)) | Self::Size(..) => 0,
            Self::Fields(fields) => fields
                .iter()
                .map(|f| size_of::<KeptField>() + f.value.as_ref().map_or(0, String::len))
                .sum(),
        }
    }

    /// The kind of body, and the body decoded.
    fn shown(&self) -> (&'static str, Value) {
        match self {
            Self::Whole(Body::Empty | Body::Multipart(_)) => ("empty", Value::Null),
            Self::Whole(Body::Json(text)) => (
                "json",
                serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())),
            ),
            Self::Whole(Body::Form(pairs)) => ("form", shown_form(pairs)),
            Self::Whole(Body::Raw(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => ("raw", Value::from(text)),
                Err(_) => ("raw", json!({"bytes": bytes.len()})),
            },
            Self::Size(kind, size) => (kind, json!({"bytes": size})),
            Self::Fields(fields) => (
                "multipart",
                fields
                    .iter()
                    .map(|f| {
                        json!({
                            "name": f.name, "file_name": f.file_name, "mime": f.mime,
                            "bytes": f.size, "value": f.value,
                        })
                    })
                    .collect(),
            ),
        }
    }
}

/// A form as an object; a name that comes more than once has a list.
fn shown_form(pairs: &[(String, String)]) -> Value {
    let mut object = Map::new();
    for (name, value) in pairs {
        let value = Value::from(value.as_str());
        match object.get_mut(name) {
            None => {
                object.insert(name.clone(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    Value::Object(object)
}

impl Entry {
    fn shown(&self) -> Value {
        let (kind, body) = self.body.shown();
        let method = match self.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Head => "HEAD",
        };
        let mut headers = Map::new();
        for (name, value) in self.headers.iter() {
            headers.insert(name.to_owned(), Value::from(value));
        }
        json!({
            "seq": self.seq,
            "received_at_ms": self.received_at.0,
            "method": method,
            "path": self.path,
            "query": self.query,
            "headers": headers,
            "body_kind": kind,
            "body": body,
            "status": self.outcome.status,
            "platform_status": self.outcome.platform_status,
            "fault": self.outcome.fault,
        })
    }
}
