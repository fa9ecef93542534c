//! The schemas: of arguments by their kind, of functions by their table entry, of answers by what
//! the builders make.

use super::{answer_name, request_name, schema};
use crate::webapi::args::limits::{
    MAX_ATTACHMENTS, MAX_LINK_BYTES, MAX_QUICK_REPLIES, MAX_QUICK_REPLY_CHARS, MAX_VALUE_BYTES,
};
use crate::webapi::error::Code;
use crate::webapi::names::{Argument, FUNCTIONS, Function, Kind, Shape};
use crate::webapi::shapes::sample;
use crate::webapi::shapes::{MessageStatus, events::EventName};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Names whose content is the caller's or the platform's: nothing can be said about it.
const OPEN: &[&str] = &["payload", "response"];

/// Every schema of the document.
pub(super) fn all() -> Value {
    let mut schemas = of_kinds();
    schemas.extend(envelopes());
    for function in FUNCTIONS {
        schemas.insert(request_name(function), of_call(function));
        let name = answer_name(function.response, function.sends());
        schemas.insert(name, of_answer(function.response, function.sends()));
    }
    for shape in Shape::ALL {
        schemas.insert(shape.name().to_owned(), of_shape(*shape));
    }
    Value::Object(schemas)
}

/// A function's arguments.
fn of_call(function: &Function) -> Value {
    let mut properties = Map::from_iter([
        ("function".to_owned(), json!({"const": function.name})),
        (
            "token".to_owned(),
            json!({"type": "string", "description": "The API token, unless it is in the header."}),
        ),
    ]);
    let mut required = vec!["function"];
    for argument in function.arguments() {
        properties.insert(argument.name.to_owned(), of_argument(argument));
        if argument.required {
            required.push(argument.name);
        }
    }
    let errors: Vec<&str> = function.errors.iter().map(|c| c.name()).collect();
    json!({
        "type": "object",
        "title": function.name,
        "description": function.summary,
        "required": required,
        "properties": properties,
        "x-answer": schema(&answer_name(function.response, function.sends())),
        "x-errors": errors,
    })
}

fn of_argument(argument: &Argument) -> Value {
    json!({"allOf": [of_kind(argument.kind)], "description": argument.doc})
}

/// A kind as a schema: most by reference, so that the document says each once.
fn of_kind(kind: Kind) -> Value {
    match kind {
        Kind::Text => schema("Text"),
        Kind::Word => schema("Word"),
        Kind::Id => schema("Id"),
        Kind::Ids => schema("Ids"),
        Kind::Words => schema("Words"),
        Kind::Boolean => schema("Boolean"),
        Kind::Number(from, to) => json!({"anyOf": [
            {"type": "integer", "minimum": from, "maximum": to},
            {"type": "string", "pattern": "^[0-9]+$"},
        ]}),
        Kind::Time => schema("Time"),
        Kind::Since => {
            json!({"anyOf": [schema("Id"), schema("Time"), {"type": "string", "format": "date"}]})
        }
        Kind::List => json!({"anyOf": [{"type": "array"}, {"type": "string"}]}),
        Kind::Json => json!({"anyOf": [{"type": "array"}, {"type": "object"}, {"type": "string"}]}),
        Kind::Any => json!({}),
        Kind::Attachments => schema("Attachments"),
        Kind::PlainAttachments => schema("PlainAttachments"),
        Kind::QuickReplies => schema("QuickReplies"),
        Kind::StatusCode => schema("StatusCode"),
        Kind::UserType => json!({"enum": ["visitor", "lead", "user", "agent", "admin"]}),
        Kind::Details => schema("Details"),
        Kind::User => {
            json!({"anyOf": [schema("Id"), {"type": "object", "properties": {"id": schema("Id")}}]})
        }
        Kind::Source => {
            json!({"anyOf": [{"type": "string"}, {"type": "object", "properties": {"source": {"type": "string"}}}]})
        }
        Kind::FlagOrWords => json!({"anyOf": [schema("Boolean"), schema("Words")]}),
        Kind::OneOf(words) => json!({"enum": words}),
    }
}

fn of_kinds() -> Map<String, Value> {
    let link = json!({"type": "string", "format": "uri", "maxLength": MAX_LINK_BYTES, "pattern": "^[hH][tT][tT][pP][sS]?://"});
    let pair = json!({"type": "array", "prefixItems": [{"type": "string"}, link], "minItems": 2, "maxItems": 2});
    let as_text =
        json!({"type": "string", "description": "The same as JSON text; an empty one is none."});
    let no = json!({"const": false, "description": "None."});
    let short = json!({"type": "string", "minLength": 1, "maxLength": MAX_QUICK_REPLY_CHARS});
    let named = json!({"type": "array", "maxItems": MAX_ATTACHMENTS, "items": pair});
    let plain = json!({"type": "array", "maxItems": MAX_ATTACHMENTS, "items": link});
    let many = |items: Value| json!({"anyOf": [{"type": "array", "items": items}, {"type": "string", "description": "JSON text, or with commas between them."}, {"type": "integer"}]});
    let entries = [
        (
            "Text",
            json!({"type": ["string", "number", "null"], "maxLength": MAX_VALUE_BYTES}),
        ),
        (
            "Word",
            json!({"type": ["string", "number", "null", "boolean"], "description": "false, null and empty text mean: absent."}),
        ),
        (
            "Id",
            json!({"anyOf": [{"type": "integer", "minimum": -1}, {"type": "string", "pattern": "^(-1|[0-9]+|false|)$"}, {"type": "null"}, no], "description": "A positive number. Where it may be absent: false, null, 0 and -1 mean so."}),
        ),
        ("Ids", many(schema("Id"))),
        ("Words", many(json!({"type": "string"}))),
        (
            "Boolean",
            json!({"enum": [true, false, 1, 0, "true", "false", "1", "0", ""]}),
        ),
        (
            "Time",
            json!({"type": "string", "description": "YYYY-MM-DD HH:MM:SS in UTC, or RFC 3339.", "examples": ["2026-01-02 03:04:05", "2026-01-02T03:04:05+01:00"]}),
        ),
        ("Attachments", json!({"anyOf": [named, as_text, no]})),
        (
            "PlainAttachments",
            json!({"anyOf": [named, plain, as_text, no]}),
        ),
        (
            "QuickReplies",
            json!({"anyOf": [
                {"type": "array", "maxItems": MAX_QUICK_REPLIES, "items": {"anyOf": [short, {
                    "type": "object",
                    "required": ["title"],
                    "properties": {"title": short, "payload": short, "url": link},
                }]}},
                as_text,
                no,
            ]}),
        ),
        (
            "StatusCode",
            json!({"enum": [0, 1, 2, 3, 4, "0", "1", "2", "3", "4", "skip", "all", false], "description": "0 live, 1 waiting for the user, 2 waiting for an agent, 3 archive, 4 trash."}),
        ),
        (
            "Details",
            json!({"anyOf": [{"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 2}]}}, as_text]}),
        ),
    ];
    entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn envelopes() -> Map<String, Value> {
    let codes: Vec<&str> = Code::ALL.iter().map(|c| c.name()).collect();
    let events: Vec<&str> = EventName::ALL.iter().map(|e| e.name()).collect();
    let statuses: Vec<&str> = MessageStatus::ALL.iter().map(|s| s.name()).collect();
    let entries = [
        ("MessageStatus", json!({"enum": statuses})),
        (
            "References",
            json!({
                "type": "object",
                "properties": {
                    "message_id": {"type": "string", "description": "The stored message."},
                    "conversation_id": {"type": "string", "description": "Its conversation."},
                    "status": schema("MessageStatus"),
                },
            }),
        ),
        (
            "Accepted",
            json!({
                "allOf": [schema("References"), {
                    "type": "object",
                    "required": ["success", "response", "message_id", "conversation_id", "status"],
                    "properties": {"success": {"const": true}, "response": {}, "status": {"enum": ["queued", "sending"]}},
                }],
            }),
        ),
        (
            "Error",
            json!({
                "allOf": [schema("References"), {
                    "type": "object",
                    "required": ["success", "response", "message"],
                    "properties": {
                        "success": {"const": false},
                        "response": {"enum": codes},
                        "message": {"type": "string", "description": "What was wrong, for a person."},
                        "platform": {
                            "type": "object",
                            "description": "What the platform said.",
                            "required": ["code", "message"],
                            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
                        },
                    },
                }],
            }),
        ),
        (
            "Event",
            json!({
                "type": "object",
                "required": ["function", "key", "sender-url", "data"],
                "properties": {
                    "function": {"enum": events},
                    "key": {"type": "string", "description": "The receiver's key."},
                    "sender-url": {"type": "string", "description": "The gateway's address."},
                    "data": {},
                },
            }),
        ),
    ];
    entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The envelope around a shape.
fn of_answer(shape: Shape, sends: bool) -> Value {
    let envelope = json!({
        "type": "object",
        "required": ["success", "response"],
        "properties": {"success": {"const": true}, "response": schema(shape.name())},
    });
    if sends {
        json!({"allOf": [schema("References"), envelope]})
    } else {
        envelope
    }
}

/// A shape, with the values that stand for "nothing found".
fn of_shape(shape: Shape) -> Value {
    let samples = sample::responses(shape);
    let described = match shape {
        Shape::PlatformAnswer => json!({}),
        Shape::User => json!({"anyOf": [inferred(&samples), {"const": false}]}),
        Shape::UserExtra => json!({"anyOf": [inferred(&samples), {}]}),
        Shape::Conversation => json!({"anyOf": [
            inferred(&samples),
            {"type": "object", "properties": {"messages": {"type": "array", "maxItems": 0}, "details": {"const": ""}}},
        ]}),
        Shape::True
        | Shape::Number
        | Shape::Users
        | Shape::ConversationItems
        | Shape::UserConversationItems
        | Shape::Messages
        | Shape::MessageDetail
        | Shape::StoredMessage
        | Shape::SlackPlace
        | Shape::SlackUsers
        | Shape::SlackPresence => inferred(&samples),
        // Slack's own, and as Slack changes it.
        Shape::SlackChannels => json!({"type": "object"}),
    };
    json!({
        "description": shape.describe(),
        "examples": samples.into_iter().take(1).collect::<Vec<_>>(),
        "allOf": [described],
    })
}

/// The schema that all these values have: types joined, names of objects required where all have
/// them.
pub(super) fn inferred(values: &[Value]) -> Value {
    let mut types: BTreeSet<&str> = BTreeSet::new();
    let mut items: Vec<Value> = Vec::new();
    let mut fields: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut objects = 0_usize;
    for value in values {
        types.insert(match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(found) => {
                items.extend(found.iter().cloned());
                "array"
            }
            Value::Object(map) => {
                objects = objects.saturating_add(1);
                for (name, field) in map {
                    fields.entry(name).or_default().push(field.clone());
                }
                "object"
            }
        });
    }
    let mut schema = Map::from_iter([("type".to_owned(), json!(types))]);
    if let [only] = types.iter().collect::<Vec<_>>().as_slice() {
        schema.insert("type".into(), json!(only));
    }
    if !items.is_empty() {
        schema.insert("items".into(), inferred(&items));
    }
    if !fields.is_empty() {
        let required: Vec<&str> = fields
            .iter()
            .filter(|(_, found)| found.len() == objects)
            .map(|(name, _)| *name)
            .collect();
        let properties: Map<String, Value> = fields
            .iter()
            .map(|(name, found)| {
                let open = OPEN.contains(name);
                (
                    (*name).to_owned(),
                    if open { json!({}) } else { inferred(found) },
                )
            })
            .collect();
        schema.insert("required".into(), json!(required));
        schema.insert("properties".into(), Value::Object(properties));
    }
    Value::Object(schema)
}
