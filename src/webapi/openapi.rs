//! The OpenAPI 3.1 document, built from the tables that the code itself runs on: functions from
//! [`names`](super::names), errors from [`Code`], answers from [`shapes`](super::shapes).

mod paths;
mod schemas;

#[cfg(test)]
mod tests;

pub use paths::{Auth, PATHS, Path};

use super::error::Code;
use super::names::{FUNCTIONS, Function, Shape};
use super::shapes::events::EventName;
use super::shapes::sample;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The content types of a call.
const CONTENT_TYPES: &[&str] = &[
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
];

/// The document, for a gateway that callers reach at this address.
pub fn document(public_url: &str) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Switchboard",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "One door to every messaging platform. All functions are calls to POST /api; the argument `function` says which.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": public_url.trim_end_matches('/')}],
        "tags": [
            {"name": "Web API", "description": "What chat backends call."},
            {"name": "Platforms", "description": "What platforms call."},
            {"name": "Operation", "description": "What operators and their machines call."},
        ],
        "paths": all_paths(),
        "webhooks": webhooks(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API token. The Web API also takes it as the argument `token`, which wins."},
            },
            "schemas": schemas::all(),
            "responses": error_responses(),
        },
    })
}

/// A reference to a schema.
fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The name of the schema of a function's arguments.
fn request_name(function: &Function) -> String {
    format!("Call.{}", function.name)
}

/// The name of the schema of a function's answer.
fn answer_name(shape: Shape, sends: bool) -> String {
    let kind = if sends { "SendAnswer" } else { "Answer" };
    format!("{kind}.{}", shape.name())
}

fn all_paths() -> Value {
    let mut paths = paths::rendered();
    for (i, path) in ["/api", "/include/api.php", "/script/include/api.php"]
        .into_iter()
        .enumerate()
    {
        paths.insert(path.to_owned(), json!({"post": call(i)}));
    }
    Value::Object(paths)
}

/// The call: once under its own path, and under the two that older clients have built in.
fn call(alias: usize) -> Value {
    let mapping: Map<String, Value> = FUNCTIONS
        .iter()
        .map(|f| {
            let target = format!("#/components/schemas/{}", request_name(f));
            (f.name.to_owned(), json!(target))
        })
        .collect();
    let one_of: Vec<Value> = FUNCTIONS.iter().map(|f| schema(&request_name(f))).collect();
    let body = json!({
        "oneOf": one_of,
        "discriminator": {"propertyName": "function", "mapping": mapping},
    });
    let content: Map<String, Value> = CONTENT_TYPES
        .iter()
        .map(|kind| ((*kind).to_owned(), json!({"schema": body})))
        .collect();
    let answers: BTreeSet<String> = FUNCTIONS
        .iter()
        .map(|f| answer_name(f.response, f.sends()))
        .collect();
    let any_of: Vec<Value> = answers.iter().map(|name| schema(name)).collect();
    let mut responses = Map::from_iter([
        (
            "200".to_owned(),
            json!({
                "description": "Done. Which answer belongs to which function is the `x-answer` of its arguments.",
                "content": {"application/json": {"schema": {"anyOf": any_of}}},
            }),
        ),
        (
            "202".to_owned(),
            json!({
                "description": "The message is stored and will be sent.",
                "content": {"application/json": {"schema": schema("Accepted")}},
            }),
        ),
    ]);
    for status in statuses() {
        responses.insert(status.to_string(), error_response(status));
    }
    json!({
        "tags": ["Web API"],
        "operationId": if alias == 0 { "call".to_owned() } else { format!("call_alias_{alias}") },
        "deprecated": alias != 0,
        "summary": if alias == 0 { "Calls a function." } else { "The same as POST /api, for clients that have this path built in." },
        "security": [{"bearer": []}, {}],
        "parameters": [{
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same key sends once. The argument idempotency_key does the same.",
            "schema": {"type": "string"},
        }],
        "requestBody": {"required": true, "content": content},
        "responses": responses,
    })
}

/// The HTTP statuses of errors.
fn statuses() -> BTreeSet<u16> {
    Code::ALL.iter().map(|c| c.http_status()).collect()
}

fn error_response(status: u16) -> Value {
    json!({"$ref": format!("#/components/responses/Error{status}")})
}

/// One response per HTTP status, with its codes.
fn error_responses() -> Value {
    let response = |status: u16| {
        let codes = || Code::ALL.iter().filter(move |c| c.http_status() == status);
        let meanings: Vec<String> = codes()
            .map(|c| format!("`{}`: {}", c.name(), c.meaning()))
            .collect();
        let names: Vec<&str> = codes().map(|c| c.name()).collect();
        let mut response = json!({
            "description": meanings.join("\n\n"),
            "content": {"application/json": {"schema": {
                "allOf": [schema("Error"), {"properties": {"response": {"enum": names}}}],
            }}},
        });
        if matches!(status, 429 | 503)
            && let Some(object) = response.as_object_mut()
        {
            let header = json!({"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}});
            object.insert("headers".into(), header);
        }
        response
    };
    statuses()
        .into_iter()
        .map(|status| (format!("Error{status}"), response(status)))
        .collect::<Map<_, _>>()
        .into()
}

/// The events, which the gateway posts to the chat backend.
fn webhooks() -> Value {
    let header = |name: &str, what: &str| json!({"name": name, "in": "header", "required": true, "description": what, "schema": {"type": "string"}});
    EventName::ALL
        .iter()
        .map(|event| {
            let operation = json!({"post": {
                "tags": ["Web API"],
                "operationId": format!("event_{}", event.name()),
                "summary": event.meaning(),
                "parameters": [
                    header("webhook-id", "The event's id: the same in every delivery."),
                    header("webhook-timestamp", "When this delivery was made, in Unix seconds."),
                    header("webhook-signature", "v1, and the HMAC-SHA256 in base64, as Standard Webhooks has it."),
                ],
                "requestBody": {"content": {"application/json": {
                    "schema": {"allOf": [schema("Event"), {"properties": {
                        "function": {"const": event.name()},
                        "data": schemas::inferred(&[sample::event(*event)]),
                    }}]},
                    "example": {
                        "function": event.name(),
                        "key": "xxxxxxxx",
                        "sender-url": "https://switchboard.example.com",
                        "data": sample::event(*event),
                    },
                }}},
                "responses": {"2XX": {"description": "Received. Anything else, or nothing within 15 seconds, is retried."}},
            }});
            (event.name().to_owned(), operation)
        })
        .collect::<Map<_, _>>()
        .into()
}
