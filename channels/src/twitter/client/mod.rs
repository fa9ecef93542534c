//! The only files that do I/O, and only through [`Ctx`].

#[cfg(test)]
mod tests;
mod upload;

use super::classify::{classify, error};
use super::oauth::Stamp;
use super::parse::profile;
use super::render::{Api, render};
use super::wire::UserAnswer;
use crate::error::{Class, SendError, SetupScope};
use crate::kit::http::{Ctx, Request, Response};
use crate::kit::status::{default_error, transport_error};
use crate::model::{Effect, Health, Media, MediaRef, Part, PartBody, Receipt, Sender};
use url::Url;

/// Stamps for the requests of one call: every request is signed with a nonce of its own.
struct Stamps<'a> {
    ctx: &'a Ctx<'a>,
    used: u32,
}

impl<'a> Stamps<'a> {
    const fn new(ctx: &'a Ctx<'a>) -> Self {
        Self { ctx, used: 0 }
    }

    fn next(&mut self) -> Stamp {
        self.used += 1;
        Stamp {
            nonce: format!("{}x{}", self.ctx.nonce, self.used),
            timestamp: self.ctx.now.0.div_euclid(1000),
        }
    }
}

/// Sends one part, having uploaded its attachment.
///
/// # Errors
/// With the class that decides what happens next.
///
/// # Cancel safety
/// A cancelled delivery may have been made: it counts as unsure.
pub async fn deliver(api: &Api, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    let mut stamps = Stamps::new(ctx);
    let media = match &part.body {
        PartBody::Media { attachment, .. } => {
            let key = part.idempotency_key();
            upload::upload(api, attachment, &key, &mut stamps).await?
        }
        _ => None,
    };
    let request = render(part, api, media.as_deref(), &stamps.next());
    let response = call(request, ctx).await?;
    classify(&response, ctx.now)
}

/// Fetches the bytes of an inbound file. Pictures are shown to the account alone: the request is
/// signed as a call is, and goes nowhere but to X.
///
/// # Errors
/// `Retry` for what may be better next time: nothing is changed by asking twice.
pub async fn fetch_media(api: &Api, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
    let refused = || {
        let words = "the reference is no link of X's";
        SendError::new(Class::Content, "no-link", words)
    };
    let link = Url::parse(&media.reference).ok().ok_or_else(refused)?;
    let at_api = media.reference.strip_prefix(&api.base);
    let at_api = at_api.is_some_and(|rest| rest.starts_with('/'));
    let host = link.host_str().unwrap_or_default();
    let secure = link.scheme() == "https";
    let signed = at_api || (secure && host == "ton.twitter.com");
    let open = secure && host.ends_with(".twimg.com");
    if !signed && !open {
        return Err(refused());
    }
    let mut request = Request::get(link.as_str()).with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
    request.max_response_bytes = ctx.max_media_bytes;
    if signed {
        request = api.signed(request, &Stamps::new(ctx).next());
    }
    let response = call(request, ctx).await.map_err(harmless)?;
    if response.status == 404 {
        return Err(SendError::new(Class::Content, "404", "the file is gone"));
    }
    if !response.is_success() {
        return Err(harmless(default_error(&response)));
    }
    let mime = response.headers.get("content-type");
    let mime = mime.map(|mime| mime.split(';').next().unwrap_or(mime).trim());
    let name = link.path().rsplit('/').find(|name| !name.is_empty());
    let guess = || {
        let guess = mime_guess::from_path(link.path()).first();
        guess.map(|mime| mime.essence_str().to_owned())
    };
    Ok(Media {
        mime: mime
            .filter(|mime| !mime.is_empty() && *mime != "application/octet-stream")
            .map(str::to_owned)
            .or_else(guess),
        name: name.map(str::to_owned),
        bytes: response.body,
    })
}

/// Asks who the tokens belong to.
///
/// # Errors
/// When they do not work, belong to another account than the configured one, or X cannot be asked.
pub async fn probe(api: &Api, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    let request = api.me(&Stamps::new(ctx).next());
    let user = ask_user(request, ctx).await?.data;
    let id = user.id.map(|id| id.0).unwrap_or_default();
    let name = user.username.unwrap_or_default();
    if id != api.settings.user_id {
        let scope = SetupScope::Account;
        let words = format!("the tokens belong to account {id}, not to the configured user_id");
        return Err(SendError::new(Class::Setup { scope }, "other-account", words));
    }
    Ok(Health {
        account: format!("@{name} ({id})"),
    })
}

/// Fetches the profile of a person of whom a webhook told the id only.
///
/// # Errors
/// When X cannot be asked now.
pub async fn perform(
    api: &Api,
    effect: &Effect,
    ctx: &Ctx<'_>,
) -> Result<Option<Sender>, SendError> {
    let Effect::FetchProfile { user } = effect else {
        return Ok(None);
    };
    let request = api.user(user, &Stamps::new(ctx).next());
    let described = ask_user(request, ctx).await?.data;
    Ok(Some(Sender {
        ids: vec![user.clone()],
        profile: profile(&described),
        ..Sender::default()
    }))
}

async fn ask_user(request: Request, ctx: &Ctx<'_>) -> Result<UserAnswer, SendError> {
    let response = call(request, ctx).await.map_err(harmless)?;
    let answer = serde_json::from_slice::<UserAnswer>(&response.body).ok();
    let answer = answer.filter(|answer| response.is_success() && answer.data.id.is_some());
    answer.ok_or_else(|| harmless(impersonal(error(&response, ctx.now), SetupScope::Account)))
}

async fn call(request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let answered = ctx.transport.call(request).await;
    answered.map_err(|failed| transport_error(&failed))
}

/// Where no person is concerned, a refusal is not about one.
fn impersonal(error: SendError, scope: SetupScope) -> SendError {
    match error.class {
        Class::Recipient => SendError {
            class: Class::Setup { scope },
            ..error
        },
        _ => error,
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
