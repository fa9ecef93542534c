//! Files: a link to upload to, the bytes there, then one call that posts them together.
//!
//! Only the last of the three shows anything to anybody. What was uploaded is remembered before it, so
//! that an attempt whose answer was not read can be looked for by its files.

use super::{call, harmless, opened, place_of, post_text, query, step};
use crate::error::{Class, SendError, SetupScope};
use crate::kit::http::{Ctx, TransportError};
use crate::kit::json::answer_text;
use crate::kit::secret::Secret;
use crate::kit::status::{default_error, transport_error};
use crate::model::{Media, OutgoingAttachment, Part, PartBody, Receipt};
use crate::slack::classify::{error, is_ok};
use crate::slack::parse::text::escaped;
use crate::slack::render::Api;
use crate::slack::wire::{Address, FileInfo, Place, UploadUrl};
use std::time::Duration;
use url::Url;

/// Where Slack takes files, beside the API's own host.
const UPLOAD_HOST: &str = "files.slack.com";

/// How long an upload is remembered: an attempt in doubt is settled long before.
const UPLOAD_LIVES: Duration = Duration::from_secs(24 * 3600);

/// Posts the attachments of a part as one message. What Slack or the gateway finds too large, or
/// empty, goes as its link.
pub async fn deliver(api: &Api, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    let (attachments, caption) = attachments(part);
    let place = opened(api, place_of(api, part, ctx).await?, ctx).await?;
    if let Some(posted) = posted(api, part, &place, ctx).await? {
        // An earlier attempt had posted them, and its answer was not read.
        return Ok(posted);
    }
    let mut files = Vec::new();
    let mut words: Vec<String> = caption.map(str::to_owned).into_iter().collect();
    for attachment in attachments {
        match upload(api, attachment, ctx).await? {
            Some(id) => files.push((id, attachment.name.clone())),
            None => words.push(format!("{}: {}", attachment.name, attachment.url)),
        }
    }
    let words = words.join("\n");
    if files.is_empty() {
        return post_text(api, part, &place, &words, ctx).await;
    }
    let ids: Vec<&str> = files.iter().map(|(id, _)| id.as_str()).collect();
    ctx.tokens.keep(&kept(part), Secret::new(ids.join(",")), UPLOAD_LIVES).await;
    let response = call(api.complete(part, &place, &files, &escaped(&words)), ctx).await?;
    if !is_ok(&response) {
        return Err(error(&response));
    }
    // Slack shares files a moment later. Where it has not yet, the file's id stands for the message's.
    let first = ids.first().copied().unwrap_or_default();
    let ts = shared(api, first, &place, ctx).await.ok().flatten();
    let id = ts.unwrap_or_else(|| first.to_owned());
    Ok(Receipt {
        platform_ids: vec![format!("{place}:{id}")],
        answer: answer_text(&response.body),
        alias: None,
    })
}

/// Looks whether the files of an unsure part were posted.
pub async fn find(api: &Api, part: &Part, ctx: &Ctx<'_>) -> Result<Option<Receipt>, SendError> {
    let address = Address::parse(&part.to);
    let place = match address.map(|address| address.place) {
        Some(Place::Channel(id) | Place::Person(id)) => opened(api, id, ctx).await?,
        _ => return Ok(None),
    };
    posted(api, part, &place, ctx).await
}

/// The name under which an upload is remembered.
fn kept(part: &Part) -> String {
    format!("upload:{}", part.idempotency_key())
}

/// The receipt of files that were remembered and have been posted.
async fn posted(
    api: &Api,
    part: &Part,
    place: &str,
    ctx: &Ctx<'_>,
) -> Result<Option<Receipt>, SendError> {
    let Some(token) = ctx.tokens.get(&kept(part)).await else {
        return Ok(None);
    };
    let ids = token.value.expose();
    let first = ids.split(',').next().unwrap_or(ids);
    let ts = shared(api, first, place, ctx).await?;
    Ok(ts.map(|ts| Receipt {
        platform_ids: vec![format!("{place}:{ts}")],
        answer: serde_json::json!({"ok": true, "files": [{"id": first}]}).to_string(),
        alias: None,
    }))
}

/// The message by which a file was posted into a place, once it was.
async fn shared(
    api: &Api,
    file: &str,
    place: &str,
    ctx: &Ctx<'_>,
) -> Result<Option<String>, SendError> {
    let request = api.form("files.info", &[("file", file.to_owned())]);
    let info: FileInfo = query(request, ctx).await?;
    Ok(info.file.shares.and_then(|shares| shares.ts(place)))
}

fn attachments(part: &Part) -> (&[OutgoingAttachment], Option<&str>) {
    match &part.body {
        PartBody::Media {
            attachment,
            caption,
        } => (std::slice::from_ref(attachment), caption.as_deref()),
        PartBody::Album {
            attachments,
            caption,
        } => (attachments, caption.as_deref()),
        _ => (&[], None),
    }
}

/// Uploads one file and gives its id. `None`: it goes as a link.
async fn upload(
    api: &Api,
    attachment: &OutgoingAttachment,
    ctx: &Ctx<'_>,
) -> Result<Option<String>, SendError> {
    let fetched = ctx.transport.fetch_public(&attachment.url, ctx.max_media_bytes).await;
    let Media { bytes, .. } = match fetched {
        Ok(media) => media,
        Err(TransportError::TooLarge(_)) => return Ok(None),
        Err(failed) => return Err(harmless(transport_error(&failed))),
    };
    if bytes.is_empty() || bytes.len() > ctx.max_media_bytes {
        return Ok(None);
    }
    let fields = [
        ("filename", attachment.name.clone()),
        ("length", bytes.len().to_string()),
    ];
    let target: UploadUrl = query(api.form("files.getUploadURLExternal", &fields), ctx).await?;
    if !is_ours(&target.upload_url, &api.base) || target.file_id.is_empty() {
        let scope = SetupScope::Message;
        let words = "Slack names a place for the upload that is not its own";
        return Err(SendError::new(Class::Setup { scope }, "upload-url", words));
    }
    let sent = call(api.upload(&target.upload_url, bytes), ctx).await;
    let response = sent.map_err(harmless)?;
    if !response.is_success() {
        return Err(harmless(default_error(&response)));
    }
    Ok(Some(target.file_id))
}

/// Whether a link leads to Slack's files or to the host of the API.
pub fn is_ours(link: &str, base: &str) -> bool {
    let Ok(link) = Url::parse(link) else {
        return false;
    };
    let same = Url::parse(base).is_ok_and(|base| base.origin() == link.origin());
    let files = link.scheme() == "https" && link.host_str() == Some(UPLOAD_HOST);
    (same || files) && link.username().is_empty() && link.password().is_none()
}

/// A call whose answer is of no interest beyond its success.
pub async fn done(request: crate::kit::http::Request, ctx: &Ctx<'_>) -> Result<(), SendError> {
    step(request, ctx).await.map(drop)
}
