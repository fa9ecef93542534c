//! Uploading an attachment before it is sent: in one request, or in pieces and with patience.

use super::{Stamps, call, harmless, impersonal};
use crate::error::{Class, LimitScope, SendError, SetupScope};
use crate::kit::http::{Ctx, Request, Response, TransportError};
use crate::kit::secret::Secret;
use crate::kit::status::transport_error;
use crate::model::OutgoingAttachment;
use crate::twitter::classify::error;
use crate::twitter::render::{Api, CHUNK_BYTES, Upload, category};
use crate::twitter::wire::{Processing, UploadAnswer};
use std::time::Duration;

/// How often the state of an upload is asked for at once. There is no waiting here: what takes longer
/// is put off, and the upload is remembered.
const POLLS: usize = 3;

/// How long an upload is put off when X does not say (X API: `check_after_secs`), and at most.
const CHECK_AFTER_SECONDS: u64 = 5;
const CHECK_AFTER_MAX_SECONDS: u64 = 60;

/// How long an upload is good for (X API: `expires_after_secs` is a day), less an hour.
const UPLOAD_LIVES: Duration = Duration::from_secs(23 * 3600);

/// Uploads an attachment and gives its id. `None`: X does not take it, so that its link goes.
pub async fn upload(
    api: &Api,
    attachment: &OutgoingAttachment,
    key: &str,
    stamps: &mut Stamps<'_>,
) -> Result<Option<String>, SendError> {
    let Some((category, max)) = category(attachment) else {
        return Ok(None);
    };
    let ctx = stamps.ctx;
    let kept = format!("upload:{key}");
    if let Some(token) = ctx.tokens.get(&kept).await {
        // An earlier attempt had uploaded it, and X was not done with it.
        let id = token.value.expose().to_owned();
        await_processing(api, &id, None, stamps).await?;
        return Ok(Some(id));
    }
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let max = max.min(ctx.max_media_bytes);
    let media = match ctx.transport.fetch_public(&attachment.url, max).await {
        Ok(media) => media,
        Err(TransportError::TooLarge(_)) => return Ok(None),
        Err(failed) => return Err(harmless(transport_error(&failed))),
    };
    if media.bytes.is_empty() || media.bytes.len() > max {
        return Ok(None);
    }
    let file = Upload {
        attachment,
        category,
        bytes: media.bytes,
    };
    let (id, processing) = if category == "dm_image" {
        let answer = step(api.upload_image(&file, &stamps.next()), ctx).await?;
        (id_of(&answer, ctx)?, None)
    } else {
        upload_pieces(api, &file, stamps).await?
    };
    if let Some(processing) = processing {
        let done = await_processing(api, &id, Some(processing), stamps).await;
        if let Err(SendError { class: Class::Limited { .. }, .. }) = &done {
            ctx.tokens.keep(&kept, Secret::new(&id), UPLOAD_LIVES).await;
        }
        done?;
    }
    Ok(Some(id))
}

/// Uploads a film or GIF in pieces.
async fn upload_pieces(
    api: &Api,
    file: &Upload<'_>,
    stamps: &mut Stamps<'_>,
) -> Result<(String, Option<Processing>), SendError> {
    let ctx = stamps.ctx;
    let begun = step(api.upload_begin(file, &stamps.next()), ctx).await?;
    let id = id_of(&begun, ctx)?;
    let mut rest = file.bytes.clone();
    let mut index = 0;
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(CHUNK_BYTES));
        step(api.upload_piece(&id, index, file, piece, &stamps.next()), ctx).await?;
        index += 1;
    }
    let ended = step(api.upload_end(&id, &stamps.next()), ctx).await?;
    let answer = serde_json::from_slice::<UploadAnswer>(&ended.body).ok();
    Ok((id, answer.and_then(|answer| answer.data.processing_info)))
}

/// Asks a few times whether X is done with an upload.
async fn await_processing(
    api: &Api,
    id: &str,
    mut state: Option<Processing>,
    stamps: &mut Stamps<'_>,
) -> Result<(), SendError> {
    let ctx = stamps.ctx;
    let mut polls = 0;
    loop {
        if let Some(processing) = &state {
            match processing.state.as_str() {
                "succeeded" => return Ok(()),
                "failed" => {
                    let words = processing.error.as_ref().map(ToString::to_string);
                    let words = words.unwrap_or_else(|| "X could not use the file".into());
                    return Err(SendError::new(Class::Content, "media-failed", words));
                }
                _ if polls >= POLLS => {
                    let after = processing.check_after_secs.unwrap_or(CHECK_AFTER_SECONDS);
                    let after = Duration::from_secs(after.min(CHECK_AFTER_MAX_SECONDS));
                    let scope = LimitScope::Recipient;
                    let class = Class::Limited {
                        after: Some(after),
                        scope,
                    };
                    let words = "X is still working on the uploaded file";
                    return Err(SendError::new(class, "media-pending", words));
                }
                _ => {}
            }
        }
        polls += 1;
        let asked = step(api.upload_state(id, &stamps.next()), ctx).await?;
        let answer = serde_json::from_slice::<UploadAnswer>(&asked.body).ok();
        state = answer.and_then(|answer| answer.data.processing_info);
        if state.is_none() {
            // Nothing to wait for.
            return Ok(());
        }
    }
}

/// A step of an upload: nothing reaches the person by it.
async fn step(request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let response = call(request, ctx).await.map_err(harmless)?;
    if response.is_success() {
        return Ok(response);
    }
    Err(harmless(impersonal(
        error(&response, ctx.now),
        SetupScope::Message,
    )))
}

fn id_of(response: &Response, ctx: &Ctx<'_>) -> Result<String, SendError> {
    let answer = serde_json::from_slice::<UploadAnswer>(&response.body).ok();
    let id = answer.and_then(|answer| answer.data.id).map(|id| id.0);
    id.ok_or_else(|| harmless(error(response, ctx.now)))
}
