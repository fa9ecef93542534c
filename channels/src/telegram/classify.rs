//! Telegram's answers: a receipt, or what the error means and whether something can be changed.
//!
//! Only `error_code` and `parameters` are stable; descriptions are matched without regard to case,
//! by a part of them, in one table. Errors from inside Telegram (`CHAT_WRITE_FORBIDDEN`) come with
//! 400 also where they mean 403.

use super::wire::{Address, Answer, Sent, is_connection};
use crate::error::{Class, LimitScope, SendError, SetupScope, Words};
use crate::kit::http::Response;
use crate::kit::json::{answer_text, read};
use crate::kit::status::{default_class, default_error, retry_after};
use crate::model::Receipt;
use std::time::Duration;

/// What can be changed before the part is sent once more. Each at most once: Telegram has refused
/// the request before whole, so nothing is sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Leave out the message answered: it is gone.
    WithoutReply,
    /// Leave out the topic: it is gone or closed.
    WithoutTopic,
    /// Use the id that the chat has now.
    Moved(i64),
    /// Fetch the files and upload them: Telegram cannot fetch or use the links.
    Upload,
    /// The same, as documents: Telegram cannot show these pictures.
    UploadAsDocuments,
}

/// What a row of [`REFUSALS`] means.
#[derive(Debug, Clone, Copy)]
enum Means {
    /// This person or chat cannot be written to.
    Recipient,
    /// What is in the message is refused.
    Content,
    /// The account is set up wrongly.
    Account,
    /// Refused, unless the remedy helps.
    Unless(Remedy, Class),
}

/// Errors of code 400, by a part of the description in lower case. The first that fits counts.
const REFUSALS: &[(&str, Means)] = &[
    // The chat: unknown to this bot, or closed to it.
    ("chat not found", Means::Recipient), // covers "private chat not found"
    ("user not found", Means::Recipient),
    ("have no access to the user", Means::Recipient),
    ("peer_id_invalid", Means::Recipient),
    ("chat_id is empty", Means::Recipient),
    ("chat_write_forbidden", Means::Recipient),
    ("not enough rights", Means::Recipient),
    ("chat_send_", Means::Recipient), // CHAT_SEND_PHOTOS_FORBIDDEN and its kin
    ("voice_messages_forbidden", Means::Recipient), // a setting of the person's
    // What the message refers to is gone: the rest of it can go.
    ("message thread not found", Means::Unless(Remedy::WithoutTopic, Class::Recipient)),
    ("topic_closed", Means::Unless(Remedy::WithoutTopic, Class::Recipient)),
    ("message to be replied not found", Means::Unless(Remedy::WithoutReply, Class::Content)),
    ("replied message not found", Means::Unless(Remedy::WithoutReply, Class::Content)),
    // The text or the buttons. No entities are ever sent, so there is nothing to send plainly.
    ("can't parse entities", Means::Content),
    ("message text is empty", Means::Content),
    ("message is too long", Means::Content),
    ("caption is too long", Means::Content),
    ("reply markup is too long", Means::Content),
    ("inline keyboard button url", Means::Content), // before the links of files
    ("button_", Means::Content),                    // BUTTON_DATA_INVALID and its kin
    // The file: Telegram could not fetch the link, or does not take from a link what it would take
    // as an upload.
    ("photo_invalid_dimensions", Means::Unless(Remedy::UploadAsDocuments, Class::Content)),
    ("wrong file_id", Means::Unless(Remedy::Upload, Class::Content)),
    ("wrong file identifier", Means::Unless(Remedy::Upload, Class::Content)),
    ("wrong http url", Means::Unless(Remedy::Upload, Class::Content)),
    ("failed to get http url content", Means::Unless(Remedy::Upload, Class::Content)),
    ("wrong type of the web page content", Means::Unless(Remedy::Upload, Class::Content)),
    ("can't upload file by url", Means::Unless(Remedy::Upload, Class::Content)),
    ("file is too big", Means::Unless(Remedy::Upload, Class::Content)),
    ("webpage_", Means::Unless(Remedy::Upload, Class::Content)), // the same three, from albums
    // Edits, deletions and callbacks. No part is one of these, so none of them is a success here,
    // not even an edit that changes nothing.
    ("message is not modified", Means::Content),
    ("message to edit not found", Means::Content),
    ("message to delete not found", Means::Content),
    ("message can't be", Means::Content),
    ("message_id_invalid", Means::Content),
    ("query is too old", Means::Content),
    // The account's own webhook.
    ("bad webhook", Means::Account),
    ("invalid webhook url", Means::Account),
    ("secret token", Means::Account),
];

/// Words of a 403 that say that the person has left us, not only that we cannot reach them.
const LEFT: &[&str] = &["bot was blocked by the user", "user is deactivated"];

/// A receipt, or what the error means.
///
/// # Errors
/// Whatever is not an `ok` answer of Telegram's.
pub fn classify(response: &Response) -> Result<Receipt, SendError> {
    let accepted = answer(response).filter(|answer| answer.ok && response.is_success());
    // An `ok` that names no message may have been done, and cannot be recognised when it shows up.
    let platform_ids = accepted.map_or_else(Vec::new, |answer| ids(&answer));
    if platform_ids.is_empty() {
        return Err(error(response));
    }
    Ok(Receipt {
        platform_ids,
        answer: answer_text(&response.body),
        alias: None,
    })
}

/// The error of an answer that is not taken for a receipt.
pub fn error(response: &Response) -> SendError {
    match answer(response) {
        Some(answer) => refusal(&answer, response),
        None => unreadable(response),
    }
}

/// What can be changed so that Telegram takes the part, if anything.
pub fn remedy(response: &Response) -> Option<Remedy> {
    let answer = answer(response).filter(|answer| !answer.ok)?;
    let parameters = answer.parameters.clone().unwrap_or_default();
    if let Some(id) = parameters.migrate_to_chat_id {
        return Some(Remedy::Moved(id));
    }
    match means(&answer, response.status)? {
        Means::Unless(remedy, _) => Some(remedy),
        _ => None,
    }
}

/// The body as Telegram writes it.
pub fn answer(response: &Response) -> Option<Answer> {
    serde_json::from_slice(&response.body).ok()
}

/// An answer that is not Telegram's: a proxy's page, or half an answer.
fn unreadable(response: &Response) -> SendError {
    let mut error = default_error(response);
    if response.status == 421 {
        // Misdirected request: says that it was not processed.
        error.class = Class::Retry;
    }
    error
}

/// What a description means, for the one code that has many.
fn means(answer: &Answer, status: u16) -> Option<Means> {
    let bad_request = answer.error_code.unwrap_or(status) == 400;
    let words = answer.description.as_deref()?.to_lowercase();
    let row = REFUSALS.iter().find(|(part, _)| words.contains(part));
    row.filter(|_| bad_request && !answer.ok)
        .map(|(_, means)| *means)
}

/// The error that a refusal is.
fn refusal(answer: &Answer, response: &Response) -> SendError {
    let code = answer.error_code.unwrap_or(response.status);
    let parameters = answer.parameters.clone().unwrap_or_default();
    let description = answer.description.as_deref().unwrap_or_default();
    let account = Class::Setup {
        scope: SetupScope::Account,
    };
    let mut opted_out = false;
    let class = match code {
        // A group that has moved is sent to once more under its new id; a second move is no answer.
        400 if parameters.migrate_to_chat_id.is_some() => Class::Recipient,
        400 => match means(answer, response.status) {
            Some(Means::Recipient) => Class::Recipient,
            Some(Means::Account) => account,
            Some(Means::Unless(_, class)) => class,
            Some(Means::Content) | None => Class::Content,
        },
        // The token was revoked.
        401 => Class::Credentials,
        // Blocked, deactivated, thrown out, or never started: it is always about the chat.
        403 => {
            let words = description.to_lowercase();
            opted_out = LEFT.iter().any(|left| words.contains(left));
            Class::Recipient
        }
        // No such bot: the token's form or `api_base` is wrong. Or no such method.
        404 => account,
        // Frozen account or flood of a kind that waiting does not mend.
        406 | 420 => account,
        // Another program polls with this token.
        409 => account,
        413 => Class::Content,
        // Usually this chat alone; several chats that are limited rest one by one.
        429 => Class::Limited {
            after: parameters
                .retry_after
                .map(Duration::from_secs)
                .or_else(|| retry_after(&response.headers)),
            scope: LimitScope::Recipient,
        },
        // Said by Telegram's own server in its own form: it is restarting or overloaded.
        421 | 500 | 502 | 503 | 504 => Class::Retry,
        _ => default_class(code, &response.headers),
    };
    SendError {
        class,
        words: Some(Words::new(code.to_string(), description)),
        opted_out,
    }
}

/// The ids of what was sent: of one message, or of each item of an album.
fn ids(answer: &Answer) -> Vec<String> {
    let Some(result) = &answer.result else {
        return Vec::new();
    };
    let sent = read::<Sent>(result)
        .map(|one| vec![one])
        .or_else(|_| read::<Vec<Sent>>(result))
        .unwrap_or_default();
    sent.iter().map(id).collect()
}

fn id(sent: &Sent) -> String {
    let connection = sent.business_connection_id.as_deref();
    Address::chat(sent.chat.id)
        .via(connection.filter(|id| is_connection(id)))
        .message(sent.message_id)
}
