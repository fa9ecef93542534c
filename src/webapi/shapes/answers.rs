//! The `response` of each function that reads or stores.

use super::{
    AttemptRow, ConversationRow, DetailRow, MessageDetail, MessageRow, PartRow, Person, UserRow,
    attachments_list, attachments_text, opt_id, payload_text, time,
};
use serde_json::{Map, Value, json};
use switchboard_channels::Words;
use switchboard_channels::model::{MessageId, UserId};

/// A user as in `get-users` and `search-users`.
///
/// `token` was the user's own log-in: the gateway knows no logins, so it is empty.
pub fn user(user: &UserRow) -> Value {
    let mut object = user_object(user);
    object.remove("password");
    Value::Object(object)
}

/// A user as in `get-user`, with the details when they were asked for.
pub fn user_with_details(user: &UserRow, details: Option<&[DetailRow]>) -> Value {
    let mut object = user_object(user);
    if let Some(details) = details {
        object.insert("details".into(), user_extra(details));
    }
    Value::Object(object)
}

/// A user as in `get-users` with `extra`: with the details, without the password field.
pub fn listed_user_with_details(user: &UserRow, details: &[DetailRow]) -> Value {
    let mut object = user_object(user);
    object.remove("password");
    object.insert("details".into(), user_extra(details));
    Value::Object(object)
}

fn user_object(user: &UserRow) -> Map<String, Value> {
    let mut object = person(&user.person);
    object.extend([
        ("id".to_owned(), json!(user.person.id.to_string())),
        ("email".to_owned(), json!(user.email)),
        ("creation_time".to_owned(), json!(time(user.creation_time))),
        ("last_activity".to_owned(), json!(time(user.last_activity))),
        ("department".to_owned(), opt_id(user.department)),
        ("token".to_owned(), json!("")),
        ("password".to_owned(), json!("")),
    ]);
    object
}

/// The details of a user: `get-user-extra` without a slug.
pub fn user_extra(details: &[DetailRow]) -> Value {
    details
        .iter()
        .map(|d| json!({"slug": d.slug, "name": d.name, "value": d.value}))
        .collect()
}

/// One detail of a user, or `default` when there is none: `get-user-extra` with a slug.
pub fn user_extra_value(details: &[DetailRow], slug: &str, default: &Value) -> Value {
    details
        .iter()
        .find(|d| d.slug == slug)
        .map_or_else(|| default.clone(), |d| json!(d.value))
}

/// A message as in `get-conversation` and `get-new-messages`.
pub fn message(message: &MessageRow) -> Value {
    Value::Object(message_object(message))
}

fn message_object(message: &MessageRow) -> Map<String, Value> {
    let mut object = person(&message.author);
    object.extend([
        ("id".to_owned(), json!(message.id.to_string())),
        ("user_id".to_owned(), json!(message.author.id.to_string())),
        ("message".to_owned(), json!(message.text)),
        (
            "creation_time".to_owned(),
            json!(time(message.creation_time)),
        ),
        (
            "attachments".to_owned(),
            json!(attachments_text(&message.attachments)),
        ),
        (
            "status_code".to_owned(),
            json!(message.status_code.to_string()),
        ),
        (
            "payload".to_owned(),
            json!(payload_text(message.payload.as_ref())),
        ),
        (
            "conversation_id".to_owned(),
            json!(message.conversation_id.to_string()),
        ),
        // Ours: the old status code knows only "read".
        ("status".to_owned(), json!(message.status.name())),
    ]);
    object
}

/// A conversation's details as in `get-conversation` and `new-conversation-created`.
pub fn conversation_details(conversation: &ConversationRow) -> Value {
    let created = time(conversation.creation_time);
    let status = conversation.status_code.to_string();
    let mut object = person(&conversation.user);
    object.extend(origin(conversation));
    object.extend([
        (
            "user_id".to_owned(),
            json!(conversation.user.id.to_string()),
        ),
        ("id".to_owned(), json!(conversation.id.to_string())),
        ("conversation_time".to_owned(), json!(created)),
        ("creation_time".to_owned(), json!(created)),
        ("conversation_status_code".to_owned(), json!(status)),
        ("status_code".to_owned(), json!(status)),
        ("extra_2".to_owned(), json!(conversation.extra_2)),
        ("extra_3".to_owned(), json!(conversation.extra_3)),
        // Whether an agent has it open: nobody has anything open here.
        ("busy".to_owned(), json!(false)),
    ]);
    Value::Object(object)
}

/// A conversation with its messages: `get-conversation`, `new-conversation`.
pub fn conversation(conversation: &ConversationRow, messages: &[MessageRow]) -> Value {
    json!({
        "messages": messages.iter().map(message).collect::<Value>(),
        "details": conversation_details(conversation),
    })
}

/// `get-conversation` when there is none.
pub fn no_conversation() -> Value {
    json!({"messages": [], "details": ""})
}

/// A conversation with its last message as in `get-conversations` and `get-new-conversations`: the
/// older edition's `user_id` and names are the contact's.
pub fn conversation_item(conversation: &ConversationRow, last: Option<&MessageRow>) -> Value {
    let mut object = last_message(conversation, last);
    object.extend(person(&conversation.user));
    object.extend(prefixed("conversation_", person(&conversation.user)));
    object.insert("user_id".into(), json!(conversation.user.id.to_string()));
    Value::Object(object)
}

/// The same as in `get-user-conversations`: the older edition's `user_id` and names are those of the
/// last message's author.
pub fn user_conversation_item(conversation: &ConversationRow, last: Option<&MessageRow>) -> Value {
    let mut object = last_message(conversation, last);
    let author = last.map_or(&conversation.user, |m| &m.author);
    object.extend(person(author));
    object.insert("user_id".into(), json!(author.id.to_string()));
    Value::Object(object)
}

/// What both lists have in common: both editions' names of the last message and the conversation.
fn last_message(conversation: &ConversationRow, last: Option<&MessageRow>) -> Map<String, Value> {
    let mut object = message_summary(conversation, last);
    object.extend(origin(conversation));
    let status = last.map_or(0, |m| m.status_code).to_string();
    let written = time(last.map_or(conversation.creation_time, |m| m.creation_time));
    object.extend([
        ("id".to_owned(), opt_id(last.map(|m| m.id.0))),
        ("creation_time".to_owned(), json!(written)),
        ("status_code".to_owned(), json!(status)),
        (
            "conversation_id".to_owned(),
            json!(conversation.id.to_string()),
        ),
        (
            "conversation_user_id".to_owned(),
            json!(conversation.user.id.to_string()),
        ),
        (
            "conversation_status_code".to_owned(),
            json!(conversation.status_code.to_string()),
        ),
        (
            "conversation_creation_time".to_owned(),
            json!(time(conversation.creation_time)),
        ),
    ]);
    object
}

/// The last message under the newer edition's names; empty text and `null` where there is none.
fn message_summary(
    conversation: &ConversationRow,
    last: Option<&MessageRow>,
) -> Map<String, Value> {
    let written = time(last.map_or(conversation.creation_time, |m| m.creation_time));
    let attachments = last
        .map(|m| attachments_text(&m.attachments))
        .unwrap_or_default();
    let payload = payload_text(last.and_then(|m| m.payload.as_ref()));
    let author = last.map_or_else(
        || {
            ["first_name", "last_name", "profile_image", "user_type"]
                .into_iter()
                .map(|name| (name.to_owned(), json!("")))
                .collect()
        },
        |m| person(&m.author),
    );
    let mut object = prefixed("message_", author);
    object.extend([
        ("message".to_owned(), json!(last.map_or("", |m| &m.text))),
        ("message_id".to_owned(), opt_id(last.map(|m| m.id.0))),
        ("attachments".to_owned(), json!(attachments)),
        ("payload".to_owned(), json!(payload)),
        (
            "message_status_code".to_owned(),
            json!(last.map_or(0, |m| m.status_code).to_string()),
        ),
        ("last_update_time".to_owned(), json!(written)),
        (
            "message_user_id".to_owned(),
            opt_id(last.map(|m| m.author.id.0)),
        ),
    ]);
    object
}

/// Where a conversation belongs and comes from.
fn origin(conversation: &ConversationRow) -> Map<String, Value> {
    let tags = (!conversation.tags.is_empty()).then(|| conversation.tags.join(","));
    [
        ("department", opt_id(conversation.department)),
        ("agent_id", opt_id(conversation.agent_id)),
        ("title", json!(conversation.title)),
        ("source", json!(conversation.source)),
        ("extra", json!(conversation.extra)),
        ("tags", json!(tags)),
        // Ours: which of our channels, for the argument `channel`.
        ("channel", json!(conversation.channel)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn person(person: &Person) -> Map<String, Value> {
    [
        ("first_name", &person.first_name),
        ("last_name", &person.last_name),
        ("profile_image", &person.profile_image),
        ("user_type", &person.user_type),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), json!(value)))
    .collect()
}

fn prefixed(prefix: &str, object: Map<String, Value>) -> Map<String, Value> {
    object
        .into_iter()
        .map(|(name, value)| (format!("{prefix}{name}"), value))
        .collect()
}

/// `send-message`: stored. `message-id` is a number, as both editions show it.
pub fn stored_message(id: MessageId, text: &str) -> Value {
    json!({
        "status": "success",
        "message-id": id.0,
        "queue": false,
        "notifications": [],
        "message": text,
    })
}

/// `add-user` and `get-bot-id`: a number, as both editions show it.
pub fn user_id(id: UserId) -> Value {
    json!(id.0)
}

/// `get-message`: one message with its parts, its tries and the platform's words.
pub fn message_detail(detail: &MessageDetail) -> Value {
    let mut object = message_object(&detail.message);
    object.extend([
        (
            "attachments".to_owned(),
            attachments_list(&detail.message.attachments),
        ),
        ("payload".to_owned(), json!(detail.message.payload)),
        ("channel".to_owned(), json!(detail.channel)),
        ("source".to_owned(), json!(detail.source)),
        ("send_at".to_owned(), json!(detail.send_at.map(time))),
        ("expires_at".to_owned(), json!(detail.expires_at.map(time))),
        (
            "reply_to".to_owned(),
            opt_id(detail.reply_to.map(|id| id.0)),
        ),
        ("platform_ids".to_owned(), json!(detail.platform_ids)),
        ("parts".to_owned(), detail.parts.iter().map(part).collect()),
        (
            "attempts".to_owned(),
            detail.attempts.iter().map(attempt).collect(),
        ),
        (
            "error".to_owned(),
            error(detail.error_class.as_deref(), detail.error.as_ref()),
        ),
    ]);
    Value::Object(object)
}

fn part(part: &PartRow) -> Value {
    json!({
        "index": part.index,
        "kind": part.kind,
        "status": part.status.name(),
        "platform_ids": part.platform_ids,
    })
}

fn attempt(attempt: &AttemptRow) -> Value {
    json!({
        "number": attempt.number,
        "part": attempt.part,
        "started": time(attempt.started),
        "ended": attempt.ended.map(time),
        "outcome": attempt.outcome,
        "platform": attempt.words.as_ref().map(|w| json!({"code": w.code, "message": w.message})),
    })
}

/// Why a message failed: class and the platform's words; `null` when it did not.
pub(super) fn error(class: Option<&str>, words: Option<&Words>) -> Value {
    if class.is_none() && words.is_none() {
        return Value::Null;
    }
    json!({
        "class": class,
        "code": words.map_or("", |w| &w.code),
        "message": words.map_or("", |w| &w.message),
    })
}
