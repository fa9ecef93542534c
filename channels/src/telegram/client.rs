//! The only file that does I/O, and only through [`Ctx`].

use super::classify::{Remedy, answer, classify, error, remedy};
use super::render::{Api, How, render};
use super::wire::{Address, FileInfo, Me, parse_message};
use crate::error::{Class, SendError, SetupScope, Words};
use crate::kit::http::{Ctx, Request, Response};
use crate::kit::json::read;
use crate::kit::status::{default_error, transport_error};
use crate::model::{Effect, Health, Media, MediaRef, OutgoingAttachment, Part, PartBody, Receipt};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Sends one part: as planned and, where Telegram refuses it for something that can be changed,
/// once more with each such change. A refused request did nothing, so nothing goes out twice.
///
/// # Errors
/// With the class that decides what happens next.
///
/// # Cancel safety
/// A cancelled delivery may have been made: it counts as unsure.
pub async fn deliver(api: &Api, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    let mut how = How::default();
    loop {
        let response = call(api, render(part, api, &how), ctx).await?;
        let changed = match remedy(&response) {
            Some(remedy) => change(how.clone(), remedy, part, ctx).await,
            None => None,
        };
        match changed {
            Some(changed) => how = changed,
            None => return classify(&response).map(|receipt| with_alias(receipt, part)),
        }
    }
}

/// The next way to send a part. `None`: the remedy was tried, or there is nothing to apply it to,
/// so the refusal stands. Every change is one that a second refusal cannot ask for again: the loop
/// ends.
async fn change(mut how: How, remedy: Remedy, part: &Part, ctx: &Ctx<'_>) -> Option<How> {
    let before = how.clone();
    match remedy {
        Remedy::WithoutReply => how.reply &= part.reply_to.is_none(),
        Remedy::WithoutTopic => {
            let topic = Address::parse(&part.to).and_then(|address| address.topic);
            how.topic &= topic.is_none();
        }
        // Once: an id that moves again and again is not one to follow.
        Remedy::Moved(id) => how.moved_to = how.moved_to.or(Some(id)),
        Remedy::Upload | Remedy::UploadAsDocuments => {
            if how.files.is_empty() {
                how.files = fetch_all(part, ctx).await?;
            }
            how.as_documents |= remedy == Remedy::UploadAsDocuments;
        }
    }
    (how != before).then_some(how)
}

/// Fetches the attachments of a part. `None`: there are none, or one is not to be had; then the
/// platform, which could not fetch it either, has the last word.
async fn fetch_all(part: &Part, ctx: &Ctx<'_>) -> Option<Vec<Media>> {
    let attachments: &[OutgoingAttachment] = match &part.body {
        PartBody::Media { attachment, .. } => std::slice::from_ref(attachment),
        PartBody::Album { attachments, .. } => attachments,
        _ => return None,
    };
    let mut files = Vec::with_capacity(attachments.len());
    for attachment in attachments {
        let fetched = ctx.transport.fetch_public(&attachment.url, ctx.max_media_bytes);
        files.push(fetched.await.ok()?);
    }
    Some(files)
}

/// Names the chat as the answer does, where that is not how it was addressed: a group that has
/// moved, a chat addressed by its name.
fn with_alias(receipt: Receipt, part: &Part) -> Receipt {
    let answered = receipt.platform_ids.first().and_then(|id| parse_message(id));
    let asked = Address::parse(&part.to);
    let alias = match (answered, asked) {
        (Some((answered, _)), Some(asked)) if answered.number() != asked.number() => {
            Some(answered.to_string())
        }
        _ => None,
    };
    Receipt { alias, ..receipt }
}

/// Fetches the bytes of an inbound file: `getFile`, then the path that it names.
///
/// # Errors
/// `Retry` for what may be better next time: nothing is changed by asking twice.
pub async fn fetch_media(api: &Api, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
    let file: FileInfo = ask(api, "getFile", json!({"file_id": media.reference}), ctx).await?;
    let path = file.file_path.unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
    if path.is_empty() || path.starts_with('/') || path.contains("..") || !path.chars().all(plain) {
        // A server of one's own that was started with --local names a file on its own disk.
        let scope = SetupScope::Message;
        let words = "getFile named no path that can be downloaded (a server with --local?)";
        return Err(SendError::new(Class::Setup { scope }, "file-path", words));
    }
    if file.file_size.is_some_and(|size| size > ctx.max_media_bytes as u64) {
        let words = "the file is larger than the gateway takes";
        return Err(SendError::new(Class::Content, "too-large", words));
    }
    let request = api.download(&path, ctx.max_media_bytes);
    let response = call(api, request, ctx).await.map_err(harmless)?;
    if response.status == 404 {
        // The link lives for an hour: the next try gets a fresh one.
        return Err(SendError::new(Class::Retry, "404", "the link has expired"));
    }
    if !response.is_success() {
        return Err(harmless(default_error(&response)));
    }
    Ok(Media {
        mime: mime(&response, &path),
        name: path.rsplit('/').next().map(str::to_owned),
        bytes: response.body,
    })
}

/// The type of a downloaded file. Telegram answers `application/octet-stream` for many: then the
/// path's extension tells more.
fn mime(response: &Response, path: &str) -> Option<String> {
    let stated = response.headers.get("content-type");
    let stated = stated.map(|mime| mime.split(';').next().unwrap_or(mime).trim());
    stated
        .filter(|mime| !mime.is_empty() && *mime != "application/octet-stream")
        .map(str::to_owned)
        .or_else(|| {
            let guess = mime_guess::from_path(path).first();
            guess.map(|mime| mime.essence_str().to_owned())
        })
}

/// Asks who the bot is.
///
/// # Errors
/// When the token does not work, or Telegram cannot be asked.
pub async fn probe(api: &Api, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    let me: Me = ask(api, "getMe", json!({}), ctx).await?;
    let account = match me.username {
        Some(name) => format!("@{name} ({})", me.id),
        None => me.id.to_string(),
    };
    Ok(Health { account })
}

/// Answers a pressed button, so that it stops spinning. Everything else needs nothing here.
///
/// # Errors
/// When it could not be answered and may be next time.
pub async fn perform(api: &Api, effect: &Effect, ctx: &Ctx<'_>) -> Result<(), SendError> {
    let Effect::AnswerCallback { id } = effect else {
        return Ok(());
    };
    let fields = json!({"callback_query_id": id});
    match ask::<bool>(api, "answerCallbackQuery", fields, ctx).await {
        // Too old to be answered, and so no longer spinning.
        Err(error) if says(&error, "query is too old") => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Calls a method that changes nothing when it is called twice, and reads its result.
async fn ask<T: DeserializeOwned>(
    api: &Api,
    method: &str,
    fields: Value,
    ctx: &Ctx<'_>,
) -> Result<T, SendError> {
    let fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let request = api.call(method, fields);
    let response = call(api, request, ctx).await.map_err(harmless)?;
    let result = answer(&response).filter(|answer| answer.ok && response.is_success());
    let result = result.and_then(|answer| read(&answer.result?).ok());
    result.ok_or_else(|| {
        let error = harmless(error(&response));
        // "wrong file_id or the file is temporarily unavailable": one of the two passes.
        if says(&error, "temporarily unavailable") {
            return SendError {
                class: Class::Retry,
                ..error
            };
        }
        error
    })
}

/// One call. What a transport says of its failure may hold the URL, and the URL holds the token.
async fn call(api: &Api, request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    ctx.transport.call(request).await.map_err(|error| {
        let mut error = transport_error(&error);
        error.words = error
            .words
            .map(|words| Words::new(words.code, api.redact(&words.message)));
        error
    })
}

/// Where repeating does no harm, not knowing is no more than not done.
fn harmless(error: SendError) -> SendError {
    match error.class {
        Class::Unsure => SendError {
            class: Class::Retry,
            ..error
        },
        _ => error,
    }
}

/// Whether the platform's words hold this.
fn says(error: &SendError, words: &str) -> bool {
    let said = error.words.as_ref();
    said.is_some_and(|said| said.message.to_lowercase().contains(words))
}
