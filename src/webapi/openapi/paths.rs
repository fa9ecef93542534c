//! The paths beside the Web API.

use super::{error_response, schema};
use serde_json::{Map, Value, json};

/// Who may call a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Anyone.
    Open,
    /// The platform, by its signature.
    Signature,
    /// Whoever has the link, while it lasts.
    Link,
    /// A holder of an API token.
    Token,
}

/// A path with its method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// `get` or `post`.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// What it is for.
    pub summary: &'static str,
    /// Who may call it.
    pub auth: Auth,
    /// HTTP statuses of the good answers, and of those that are no error envelope.
    pub answers: &'static [(u16, &'static str)],
    /// HTTP statuses of answers in the error envelope.
    pub errors: &'static [u16],
    /// Whether it takes a JSON object, and of which names.
    pub body: &'static [(&'static str, &'static str)],
    /// Parameters of the query.
    pub query: &'static [&'static str],
}

const BASE: Path = Path {
    method: "get",
    path: "",
    summary: "",
    auth: Auth::Open,
    answers: &[],
    errors: &[],
    body: &[],
    query: &[],
};

const ADMIN: Path = Path {
    auth: Auth::Token,
    answers: &[(200, "Done.")],
    errors: &[400, 401, 404, 429, 500, 503],
    ..BASE
};

/// Every path but the Web API's.
pub static PATHS: &[Path] = &[
    Path {
        path: "/webhooks/{channel}",
        summary: "A platform's handshake.",
        auth: Auth::Signature,
        answers: &[
            (200, "What the platform asked to be sent back."),
            (403, "The handshake failed."),
        ],
        errors: &[404],
        ..BASE
    },
    Path {
        method: "post",
        path: "/webhooks/{channel}",
        summary: "A platform's events. Acknowledged only after they are kept.",
        auth: Auth::Signature,
        answers: &[(200, "Kept. The body is what the platform expects.")],
        errors: &[400, 401, 404, 413, 503],
        ..BASE
    },
    Path {
        path: "/media/{key}",
        summary: "An attachment that the gateway keeps.",
        auth: Auth::Link,
        answers: &[
            (200, "The bytes."),
            (
                410,
                "It could not be had from the platform, or the link is over.",
            ),
        ],
        errors: &[404, 503],
        ..BASE
    },
    Path {
        path: "/healthz",
        summary: "Whether the process lives.",
        answers: &[(200, "It does.")],
        ..BASE
    },
    Path {
        path: "/readyz",
        summary: "Whether store and queue answer.",
        answers: &[(200, "They do."), (503, "One does not; the body names it.")],
        ..BASE
    },
    Path {
        path: "/metrics",
        summary: "Prometheus metrics.",
        answers: &[(200, "Prometheus text.")],
        ..BASE
    },
    Path {
        path: "/openapi.json",
        summary: "This document.",
        answers: &[(200, "The document.")],
        ..BASE
    },
    Path {
        path: "/docs",
        summary: "The Web API for people.",
        answers: &[(200, "A page.")],
        ..BASE
    },
    Path {
        path: "/admin/lanes",
        summary: "Every lane: depth, age of the oldest, whether it is paused and why.",
        ..ADMIN
    },
    Path {
        method: "post",
        path: "/admin/lanes/{lane}/pause",
        summary: "Pauses a lane; its messages wait.",
        ..ADMIN
    },
    Path {
        method: "post",
        path: "/admin/lanes/{lane}/resume",
        summary: "Resumes a lane.",
        ..ADMIN
    },
    Path {
        path: "/admin/dead",
        summary: "The dead letters.",
        query: &["channel"],
        ..ADMIN
    },
    Path {
        method: "post",
        path: "/admin/retry",
        summary: "Puts dead letters, or waiting messages, at the end of their conversations.",
        body: &[
            ("ids", "The messages."),
            ("all", "True for every dead letter."),
        ],
        ..ADMIN
    },
    Path {
        method: "post",
        path: "/admin/drop",
        summary: "Gives up dead letters or waiting messages.",
        body: &[("ids", "The messages.")],
        ..ADMIN
    },
    Path {
        path: "/admin/messages/{id}",
        summary: "One message with its parts and tries.",
        ..ADMIN
    },
];

/// The paths as the document has them.
pub(super) fn rendered() -> Map<String, Value> {
    let mut paths: Map<String, Value> = Map::new();
    for path in PATHS {
        let item = paths
            .entry(path.path.to_owned())
            .or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(path.method.to_owned(), operation(path));
        }
    }
    paths
}

fn operation(path: &Path) -> Value {
    let id = format!("{}{}", path.method, path.path).replace(['/', '.', '-'], "_");
    let mut responses: Map<String, Value> = path
        .answers
        .iter()
        .map(|(status, what)| (status.to_string(), json!({"description": what})))
        .collect();
    for status in path.errors {
        responses.insert(status.to_string(), error_response(*status));
    }
    let tag = match path.auth {
        Auth::Signature | Auth::Link => "Platforms",
        Auth::Open | Auth::Token => "Operation",
    };
    let mut operation = json!({
        "tags": [tag],
        "operationId": id.replace(['{', '}'], ""),
        "summary": path.summary,
        "security": if path.auth == Auth::Token { json!([{"bearer": []}]) } else { json!([]) },
        "parameters": parameters(path),
        "responses": responses,
    });
    if !path.body.is_empty()
        && let Some(object) = operation.as_object_mut()
    {
        let properties: Map<String, Value> = path
            .body
            .iter()
            .map(|(name, what)| {
                let of = if *name == "ids" {
                    schema("Ids")
                } else {
                    schema("Boolean")
                };
                (
                    (*name).to_owned(),
                    json!({"allOf": [of], "description": what}),
                )
            })
            .collect();
        object.insert(
            "requestBody".into(),
            json!({"content": {"application/json": {"schema": {"type": "object", "properties": properties}}}}),
        );
    }
    operation
}

fn parameters(path: &Path) -> Vec<Value> {
    let in_path = path
        .path
        .split('/')
        .filter_map(|step| step.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let in_query = path
        .query
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}));
    in_path.chain(in_query).collect()
}
