//! All I/O, and only through [`Ctx`].

use super::classify::{cannot_be_shown, classify, error, token, token_refused};
use super::render::{Api, authorised, is_storage, render, render_plain};
use crate::error::{Class, SendError, SetupScope, Words};
use crate::kit::http::{Ctx, Request, Response, TransportError};
use crate::kit::secret::Secret;
use crate::kit::status::{default_error, transport_error};
use crate::kit::tokens::{Refresh, Token};
use crate::model::{Effect, Health, Media, MediaRef, Part, Receipt, Sender};
use std::time::Duration;
use url::Url;

/// A token is used for this much less than Google says: five minutes.
const TOKEN_MARGIN_SECONDS: u64 = 300;

/// Sends one part. What the person's app cannot show goes once more in words alone, under the same id:
/// the refusal sent nothing.
///
/// # Errors
/// With the class that decides what happens next.
///
/// # Cancel safety
/// A cancelled delivery may have been made: it counts as unsure, and its repetition has the same id.
pub async fn deliver(api: &Api, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    let mut response = call(api, ctx, &render(part, api)).await?;
    if cannot_be_shown(&response)
        && let Some(plain) = render_plain(part, api)
    {
        response = call(api, ctx, &plain).await?;
    }
    classify(&response, part).map_err(|error| gone(api, &response, error))
}

/// A call with the access token. When Google refuses the token it is renewed, and the call made once
/// more.
async fn call(api: &Api, ctx: &Ctx<'_>, request: &Request) -> Result<Response, SendError> {
    let token = match ctx.tokens.get(&api.token_name).await {
        Some(token) => token,
        None => renew(api, ctx, None).await?,
    };
    let response = exchange(api, ctx, authorised(request, &token.value)).await?;
    if !token_refused(&response) {
        return Ok(response);
    }
    let token = renew(api, ctx, Some(token.version)).await?;
    exchange(api, ctx, authorised(request, &token.value)).await
}

async fn exchange(api: &Api, ctx: &Ctx<'_>, request: Request) -> Result<Response, SendError> {
    let response = ctx.transport.call(request).await;
    response.map_err(|error| unanswered(api, &error))
}

/// Why there is no answer: Google's own host has none for anybody, and will not have.
fn unanswered(api: &Api, failure: &TransportError) -> SendError {
    let mut error = transport_error(failure);
    if matches!(failure, TransportError::NotSent(_)) && api.is_googles() {
        error.class = RETIRED;
    }
    error
}

/// A page where an answer should be: the API is not there any more.
fn gone(api: &Api, response: &Response, mut error: SendError) -> SendError {
    if response.status == 404 && api.is_googles() && error.class == RETIRED {
        let words = "Google has retired Business Messages: nothing answers under this address";
        error.words = Some(Words::new("404", words));
    }
    error
}

/// Every message is affected.
const RETIRED: Class = Class::Setup {
    scope: SetupScope::Account,
};

/// Gets another token than the one that failed: from whoever has renewed it meanwhile, or from Google.
/// Never by more than one worker at once.
async fn renew(api: &Api, ctx: &Ctx<'_>, failed: Option<i64>) -> Result<Token, SendError> {
    let name = &api.token_name;
    match ctx.tokens.refresh(name, failed).await {
        Refresh::Newer(token) => Ok(token),
        Refresh::Busy => {
            let words = "another worker is renewing the access token";
            Err(SendError::new(Class::Retry, "token-busy", words))
        }
        Refresh::Yours => match ask_token(api, ctx).await {
            Ok((value, seconds)) => {
                let lives = Duration::from_secs(seconds.saturating_sub(TOKEN_MARGIN_SECONDS));
                Ok(ctx.tokens.keep(name, value, lives).await)
            }
            Err(error) => {
                ctx.tokens.give_up(name).await;
                Err(error)
            }
        },
    }
}

async fn ask_token(api: &Api, ctx: &Ctx<'_>) -> Result<(Secret, u64), SendError> {
    let request = api.token(ctx.now).map_err(|bad| {
        SendError::new(Class::Credentials, "private-key", bad.to_string())
    })?;
    let response = ctx.transport.call(request).await;
    let response = response.map_err(|error| harmless(transport_error(&error)))?;
    token(&response).map_err(harmless)
}

/// Fetches a picture that a person sent. Its link is signed and needs no credential.
///
/// # Errors
/// `Retry` for what may be better next time: nothing is changed by asking twice.
pub async fn fetch_media(api: &Api, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
    let link = Url::parse(&media.reference).ok();
    let Some(link) = link.filter(|link| matches!(link.scheme(), "http" | "https")) else {
        let words = "the reference is no link";
        return Err(SendError::new(Class::Content, "no-link", words));
    };
    if !is_storage(&link) && !api.is_home(&media.reference) {
        return public(link.as_str(), ctx).await;
    }
    let mut request = Request::get(link.as_str()).with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
    request.max_response_bytes = ctx.max_media_bytes;
    let response = ctx.transport.call(request).await.map_err(|error| unfetched(&error))?;
    if (300..400).contains(&response.status) {
        let target = response.headers.get("location");
        let target = target.and_then(|target| link.join(target).ok());
        let target = target.ok_or_else(|| harmless(default_error(&response)))?;
        return public(target.as_str(), ctx).await;
    }
    match response.status {
        200..=299 => Ok(Media {
            mime: response
                .headers
                .get("content-type")
                .map(|mime| mime.split(';').next().unwrap_or(mime).trim().to_owned())
                .filter(|mime| !mime.is_empty() && mime != "application/octet-stream"),
            bytes: response.body,
            name: None,
        }),
        // The link has had its days.
        400 | 401 | 403 | 404 | 410 => Err(SendError::new(
            Class::Content,
            response.status.to_string(),
            "the link is not, or no longer, good",
        )),
        _ => Err(harmless(default_error(&response))),
    }
}

/// From a host that is not Google's storage: through the guard against private addresses.
async fn public(link: &str, ctx: &Ctx<'_>) -> Result<Media, SendError> {
    let fetched = ctx.transport.fetch_public(link, ctx.max_media_bytes).await;
    fetched.map_err(|error| unfetched(&error))
}

/// Why a file was not fetched: too large a one will be so next time.
fn unfetched(failure: &TransportError) -> SendError {
    let mut error = harmless(transport_error(failure));
    if matches!(failure, TransportError::TooLarge(_)) {
        error.class = Class::Content;
    }
    error
}

/// Asks for an access token, which tells whether the service account is good.
///
/// # Errors
/// When it is not, or Google cannot be asked.
pub async fn probe(api: &Api, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    ask_token(api, ctx).await?;
    let note = if api.is_googles() {
        " (retired by Google in July 2024: nothing can be sent)"
    } else {
        ""
    };
    Ok(Health {
        account: format!("{}{note}", api.agent_name()),
    })
}

/// Marks as read, shows that we are typing.
///
/// # Errors
/// When it could not be done and may be next time.
pub async fn perform(
    api: &Api,
    effect: &Effect,
    ctx: &Ctx<'_>,
) -> Result<Option<Sender>, SendError> {
    let request = match effect {
        Effect::MarkRead { message, address } => api.mark_read(address, message),
        Effect::ShowTyping { address } => api.typing(address, &ctx.nonce),
        Effect::AnswerCallback { .. } | Effect::FetchProfile { .. } => return Ok(None),
    };
    let response = call(api, ctx, &request).await.map_err(harmless)?;
    match response.is_success() {
        true => Ok(None),
        false => Err(harmless(error(&response))),
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

#[cfg(test)]
mod tests;
