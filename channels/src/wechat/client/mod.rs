//! The only file that does I/O, and only through [`Ctx`].

use super::classify::{NO_SUCH_MEDIA, answer, classify, error, token, token_refused, uploaded};
use super::plan::capabilities;
use super::render::{Api, render, upload, upload_type};
use super::wire::UserInfo;
use crate::error::{Class, SendError, Words};
use crate::kit::http::{Ctx, Request, Response};
use crate::kit::secret::Secret;
use crate::kit::status::{default_error, transport_error};
use crate::kit::tokens::{Refresh, Token};
use crate::model::{
    Effect, Health, Media, MediaRef, OutgoingAttachment, Part, PartBody, Profile, Receipt, Sender,
};
use std::time::Duration;

/// A token is used for this much less than WeChat says: for five minutes after it hands out the next
/// one both are good.
const TOKEN_MARGIN_SECONDS: u64 = 300;

/// Sends one part: its file first, where it has one. A token that WeChat no longer takes is renewed
/// and a file that it no longer has is uploaded again, each once; neither refusal sent anything.
///
/// # Errors
/// With the class that decides what happens next.
///
/// # Cancel safety
/// A cancelled delivery may have been made: it counts as unsure.
pub async fn deliver(api: &Api, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    let file = match &part.body {
        PartBody::Media { attachment, .. } => match upload_type(attachment) {
            Some(kind) => Some((attachment, kind, fetch_link(attachment, ctx).await?)),
            None => None,
        },
        _ => None,
    };
    let mut again = file.is_some();
    loop {
        let id = match &file {
            Some((attachment, kind, media)) => {
                let request = |token: &str| upload(attachment, kind, media, api, token);
                let response = call(api, ctx, &request).await.map_err(harmless)?;
                Some(uploaded(&response, ctx.now).map_err(harmless)?)
            }
            None => None,
        };
        let request = |token: &str| render(part, id.as_deref(), api, token);
        let response = call(api, ctx, &request).await?;
        let gone = answer(&response).and_then(|a| a.errcode) == Some(NO_SUCH_MEDIA);
        if !(gone && again) {
            return classify(&response, part, ctx.now);
        }
        again = false;
    }
}

/// Fetches the file behind a caller's link, as far as WeChat would take it.
async fn fetch_link(file: &OutgoingAttachment, ctx: &Ctx<'_>) -> Result<Media, SendError> {
    let limit = capabilities().media_limit(file.kind).map(|limit| limit.max_bytes);
    let limit = limit.and_then(|bytes| usize::try_from(bytes).ok());
    let limit = limit.unwrap_or(usize::MAX).min(ctx.max_media_bytes);
    let fetched = ctx.transport.fetch_public(&file.url, limit).await;
    fetched.map_err(|error| {
        use crate::kit::http::TransportError::TooLarge;
        let too_large = matches!(error, TooLarge(_));
        let mut error = harmless(transport_error(&error));
        if too_large {
            error.class = Class::Content;
        }
        error
    })
}

/// A call that carries the access token. When WeChat refuses the token it is renewed, and the call
/// made once more.
async fn call(
    api: &Api,
    ctx: &Ctx<'_>,
    request: &(dyn Fn(&str) -> Request + Sync),
) -> Result<Response, SendError> {
    let token = match ctx.tokens.get(&name(api)).await {
        Some(token) => token,
        None => renew(api, ctx, None).await?,
    };
    let response = exchange(api, ctx, request(token.value.expose()), &token).await?;
    if !token_refused(&response) {
        return Ok(response);
    }
    let token = renew(api, ctx, Some(&token)).await?;
    exchange(api, ctx, request(token.value.expose()), &token).await
}

async fn exchange(
    api: &Api,
    ctx: &Ctx<'_>,
    request: Request,
    token: &Token,
) -> Result<Response, SendError> {
    let response = ctx.transport.call(request).await;
    response.map_err(|e| redacted(api, transport_error(&e), token.value.expose()))
}

/// The name under which the account's token is shared.
fn name(api: &Api) -> String {
    format!("wechat:{}", api.app_id)
}

/// Gets another token than the one that failed: from whoever has renewed it meanwhile, or from
/// WeChat. Never by more than one worker at once.
async fn renew(api: &Api, ctx: &Ctx<'_>, failed: Option<&Token>) -> Result<Token, SendError> {
    let name = name(api);
    match ctx.tokens.refresh(&name, failed.map(|token| token.version)).await {
        Refresh::Newer(token) => Ok(token),
        Refresh::Busy => {
            let words = "another worker is renewing the access token";
            Err(SendError::new(Class::Retry, "token-busy", words))
        }
        Refresh::Yours => match fresh(api, ctx, failed).await {
            Ok((value, seconds)) => {
                let lives = Duration::from_secs(seconds.saturating_sub(TOKEN_MARGIN_SECONDS));
                Ok(ctx.tokens.keep(&name, Secret::new(value), lives).await)
            }
            Err(error) => {
                ctx.tokens.give_up(&name).await;
                Err(error)
            }
        },
    }
}

/// Asks WeChat for a token: for the current one, and only if that is the one that failed for
/// another, which is allowed 20 times a day.
async fn fresh(
    api: &Api,
    ctx: &Ctx<'_>,
    failed: Option<&Token>,
) -> Result<(String, u64), SendError> {
    let (value, seconds) = ask_token(api, ctx, false).await?;
    if failed.is_some_and(|failed| failed.value.expose() == value) {
        return ask_token(api, ctx, true).await;
    }
    Ok((value, seconds))
}

async fn ask_token(api: &Api, ctx: &Ctx<'_>, force: bool) -> Result<(String, u64), SendError> {
    let response = ctx.transport.call(api.stable_token(force)).await;
    let response = response.map_err(|e| redacted(api, harmless(transport_error(&e)), ""))?;
    token(&response, ctx.now).map_err(harmless)
}

/// Fetches the bytes of an inbound file. Films come by a link of their own.
///
/// # Errors
/// `Retry` for what may be better next time: nothing is changed by asking twice.
pub async fn fetch_media(api: &Api, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
    let limit = ctx.max_media_bytes;
    let request = |token: &str| api.media(token, &media.reference, limit);
    let response = call(api, ctx, &request).await.map_err(harmless)?;
    if !response.is_success() {
        return Err(harmless(default_error(&response)));
    }
    if !in_words(&response) {
        return Ok(file(response));
    }
    let answer = answer(&response).filter(|answer| answer.errcode.unwrap_or(0) == 0);
    let Some(link) = answer.and_then(|answer| answer.video_url) else {
        return Err(harmless(error(&response, ctx.now)));
    };
    let failed = |e| harmless(transport_error(&e));
    if !api.is_home(&link) {
        return ctx.transport.fetch_public(&link, limit).await.map_err(failed);
    }
    // The guard against private addresses would refuse an API that the operator put there.
    let mut request = Request::get(link).with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
    request.max_response_bytes = limit;
    let response = ctx.transport.call(request).await.map_err(failed)?;
    match response.is_success() {
        true => Ok(file(response)),
        false => Err(harmless(default_error(&response))),
    }
}

/// Whether an answer is JSON rather than a file. WeChat calls it `text/plain` at times.
fn in_words(response: &Response) -> bool {
    let kind = response.headers.get("content-type").unwrap_or_default();
    kind.is_empty() || kind.starts_with("application/json") || kind.starts_with("text/plain")
}

/// A file with the type and the name that its headers state.
fn file(response: Response) -> Media {
    let kind = response.headers.get("content-type");
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim().to_owned());
    let disposition = response.headers.get("content-disposition");
    let name = disposition.and_then(|d| d.split_once("filename="));
    let name = name.map(|(_, name)| name.split(';').next().unwrap_or(name));
    let name = name.map(|name| name.trim().trim_matches('"').to_owned());
    Media {
        mime: kind.filter(|kind| !kind.is_empty()),
        name: name.filter(|name| !name.is_empty()),
        bytes: response.body,
    }
}

/// Asks for the access token, which tells whether AppID, AppSecret and our address are taken.
///
/// # Errors
/// When they are not, or WeChat cannot be asked.
pub async fn probe(api: &Api, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    ask_token(api, ctx, false).await?;
    Ok(Health {
        account: api.app_id.clone(),
    })
}

/// Fetches what WeChat still tells about a person: language, the id over several accounts, how they
/// came.
///
/// # Errors
/// When it cannot be asked and may be next time.
pub async fn perform(
    api: &Api,
    effect: &Effect,
    ctx: &Ctx<'_>,
) -> Result<Option<Sender>, SendError> {
    let Effect::FetchProfile { user } = effect else {
        return Ok(None);
    };
    let request = |token: &str| api.user_info(token, user);
    let response = call(api, ctx, &request).await.map_err(harmless)?;
    let info = serde_json::from_slice::<UserInfo>(&response.body).ok();
    let info = info.filter(|info| response.is_success() && info.openid == *user);
    let info = info.ok_or_else(|| harmless(error(&response, ctx.now)))?;
    Ok((info.subscribe == Some(1)).then(|| sender(info)))
}

fn sender(info: UserInfo) -> Sender {
    let detail = |slug: &str, name: &str, value: Option<String>| {
        let value = value.filter(|value| !value.trim().is_empty());
        value.map(|value| (slug.to_owned(), name.to_owned(), value))
    };
    let details = [
        detail("wechat_remark", "WeChat remark", info.remark),
        detail("wechat_source", "WeChat source", info.subscribe_scene),
        detail("wechat_scene", "WeChat scene", info.qr_scene_str),
    ];
    Sender {
        ids: [Some(info.openid), info.unionid].into_iter().flatten().collect(),
        profile: Profile {
            language: info.language.filter(|language| !language.is_empty()),
            details: details.into_iter().flatten().collect(),
            ..Profile::default()
        },
        ..Sender::default()
    }
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

fn redacted(api: &Api, mut error: SendError, token: &str) -> SendError {
    error.words = error
        .words
        .map(|words| Words::new(words.code, api.redact(&words.message, token)));
    error
}

#[cfg(test)]
mod tests;
