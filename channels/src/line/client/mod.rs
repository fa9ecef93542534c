//! All I/O, and only through [`Ctx`].

mod token;

use super::classify::{classify, error, quote_refused, reply_token_refused};
use super::parse::{EXTERNAL, profile};
use super::render::{Api, Way, render, retry_key};
use super::wire::{BotInfo, Transcoding, UserProfile};
use crate::error::{Class, SendError, SetupScope};
use crate::kit::http::{Ctx, Request, Response};
use crate::kit::json::answer_text;
use crate::kit::status::transport_error;
use crate::model::{Effect, Health, Media, MediaRef, Part, Receipt, Sender};
use serde::de::DeserializeOwned;
use serde_json::json;
use token::call;

/// Sends one part: as a reply where there is a token for it, else as a push.
///
/// A push carries a retry key, so that repeating it never sends twice. A reply takes none, but its
/// token works once, which does the same for as long as it lives. So, when a reply's outcome is not
/// known, it is repeated once with its token, at once:
///
/// - taken: it is sent, once; whatever became of the first attempt, it was not this;
/// - "Invalid reply token": the token, too young to have ended, was used by the first attempt: it is
///   sent, and LINE will not say under which ids;
/// - no answer again: `Unsure`. The token is lost to us then, and the next attempt is a push with
///   its key. That is the one case in which a person may read a part twice; the other choice would
///   be to lose it.
///
/// A token that is refused at the first attempt was used or has ended: nothing was sent, so the part
/// is pushed. A quote that is refused (the message is gone, or in another chat) is left out.
///
/// # Errors
/// With the class that decides what happens next.
///
/// # Cancel safety
/// A cancelled delivery may have been made: it counts as unsure.
pub async fn deliver(api: &Api, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    let mut token = ctx.reply_token.as_deref();
    let quote = ctx.quote_token.as_deref();
    let quote = quote.filter(|_| part.reply_to.is_some());
    let mut outcome = send(api, part, ctx, &mut token, quote).await?;
    if let Outcome::Answered(response) = &outcome
        && quote.is_some()
        && quote_refused(response)
    {
        outcome = send(api, part, ctx, &mut token, None).await?;
    }
    match outcome {
        Outcome::Answered(response) => classify(&response),
        Outcome::Proven(response) => Ok(Receipt {
            // The retry key is an id of ours that no other part has.
            platform_ids: vec![format!("reply:{}", retry_key(part, false))],
            answer: answer_text(&response.body),
            alias: None,
        }),
    }
}

/// What became of a send.
enum Outcome {
    /// What this answer says.
    Answered(Response),
    /// It was sent by a first reply, which had no answer, as this refusal of the second proves.
    Proven(Response),
}

/// Replies with the token, or pushes where there is none or LINE refuses it.
async fn send(
    api: &Api,
    part: &Part,
    ctx: &Ctx<'_>,
    token: &mut Option<&str>,
    quote: Option<&str>,
) -> Result<Outcome, SendError> {
    if let Some(text) = *token {
        let request = render(part, api, Way::Reply(text), quote);
        let first = call(api, &request, ctx).await;
        if in_doubt(&first) {
            return again(api, &request, ctx).await;
        }
        let first = first?;
        if !reply_token_refused(&first) {
            return Ok(Outcome::Answered(first));
        }
        // Used or ended before we came: not asked again.
        *token = None;
    }
    let push = render(part, api, Way::Push, quote);
    call(api, &push, ctx).await.map(Outcome::Answered)
}

/// Repeats a reply of which nobody knows whether it was sent.
async fn again(api: &Api, reply: &Request, ctx: &Ctx<'_>) -> Result<Outcome, SendError> {
    let unsure = |error| SendError {
        class: Class::Unsure,
        ..error
    };
    let second = call(api, reply, ctx).await.map_err(unsure)?;
    match second.status {
        // Not looked at: this says nothing of the first.
        401 | 408 | 425 | 429 | 500.. => Err(unsure(error(&second))),
        _ if reply_token_refused(&second) => Ok(Outcome::Proven(second)),
        _ => Ok(Outcome::Answered(second)),
    }
}

/// Whether a reply may have been sent and does not say so. Every 5xx counts, also those that a proxy
/// means as "not processed": the token tells.
fn in_doubt(outcome: &Result<Response, SendError>) -> bool {
    match outcome {
        Ok(response) => {
            response.status >= 500 || response.is_success() && classify(response).is_err()
        }
        Err(error) => error.class == Class::Unsure,
    }
}

/// Fetches what a person sent: from LINE by the message's id, or from whoever keeps it.
///
/// # Errors
/// `Retry` while LINE prepares a film or recording, and for what may be better next time: nothing is
/// changed by asking twice.
pub async fn fetch_media(api: &Api, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
    if media.scope.as_deref() == Some(EXTERNAL) {
        // Somebody else's server: it gets no token, and the guard looks at its address.
        let fetched = ctx.transport.fetch_public(&media.reference, ctx.max_media_bytes);
        return fetched.await.map_err(|error| unfetched(transport_error(&error)));
    }
    let id = &media.reference;
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) {
        let scope = SetupScope::Message;
        let words = "not a message of LINE's";
        return Err(SendError::new(Class::Setup { scope }, "media-ref", words));
    }
    let request = api.content(id, "", ctx.max_media_bytes);
    let response = call(api, &request, ctx).await.map_err(unfetched)?;
    match response.status {
        202 => Err(preparing(api, id, ctx).await),
        // Taken back by its sender, or kept longer than LINE keeps it.
        404 | 410 => Err(SendError::new(
            Class::Content,
            response.status.to_string(),
            "LINE no longer has the content",
        )),
        _ if response.is_success() => Ok(Media {
            mime: response
                .headers
                .get("content-type")
                .map(|mime| mime.split(';').next().unwrap_or(mime).trim().to_owned())
                .filter(|mime| !mime.is_empty()),
            bytes: response.body,
            name: None,
        }),
        _ => Err(harmless(error(&response))),
    }
}

/// Why a file was not fetched: too large a one will be so next time.
fn unfetched(error: SendError) -> SendError {
    match words_code(&error) {
        Some("answer-too-large") => SendError {
            class: Class::Content,
            ..error
        },
        _ => harmless(error),
    }
}

/// Why a film or recording is not there yet: LINE is at it, or has failed for good.
async fn preparing(api: &Api, message: &str, ctx: &Ctx<'_>) -> SendError {
    let request = api.content(message, "/transcoding", Request::MAX_RESPONSE_BYTES);
    let answer = ask::<Transcoding>(api, &request, ctx).await;
    if answer.is_ok_and(|transcoding| transcoding.status == "failed") {
        let words = "LINE could not prepare the content";
        return SendError::new(Class::Content, "transcoding-failed", words);
    }
    SendError::new(Class::Retry, "202", "LINE is still preparing the content")
}

/// Asks whose token it is.
///
/// # Errors
/// When the token does not work, is another account's, or LINE cannot be asked.
pub async fn probe(api: &Api, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    let bot: BotInfo = ask(api, &api.get("/v2/bot/info"), ctx).await?;
    let expected = api.settings().bot_user_id.as_ref();
    if expected.is_some_and(|expected| *expected != bot.user_id) {
        let scope = SetupScope::Account;
        let words = format!("the token belongs to {}, not to bot_user_id", bot.user_id);
        return Err(SendError::new(Class::Setup { scope }, "bot-user-id", words));
    }
    let name = bot.display_name.unwrap_or_default();
    let id = bot.basic_id.unwrap_or(bot.user_id);
    Ok(Health {
        account: format!("{name} ({id})").trim_start().to_owned(),
    })
}

/// Fetches a profile, shows that we are writing, marks as read.
///
/// # Errors
/// When it could not be done and may be next time.
pub async fn perform(
    api: &Api,
    effect: &Effect,
    ctx: &Ctx<'_>,
) -> Result<Option<Sender>, SendError> {
    let request = match effect {
        Effect::FetchProfile { user } => {
            let Some(path) = profile_path(user) else {
                return Ok(None);
            };
            return match ask::<UserProfile>(api, &api.get(&path), ctx).await {
                Ok(person) => Ok(Some(profile(person))),
                // No friend of the account's, or one that has blocked it: there is nothing to know.
                Err(error) if words_code(&error) == Some("404") => Ok(None),
                Err(error) => Err(error),
            };
        }
        Effect::ShowTyping { address } => {
            let seconds = api.settings().loading_seconds.unwrap_or(LOADING_SECONDS);
            let body = json!({"chatId": address, "loadingSeconds": seconds});
            api.post("/v2/bot/chat/loading/start", &body)
        }
        Effect::MarkRead { message, .. } => {
            let body = json!({"markAsReadToken": message});
            api.post("/v2/bot/chat/markAsRead", &body)
        }
        Effect::AnswerCallback { .. } => return Ok(None),
    };
    let response = call(api, &request, ctx).await.map_err(harmless)?;
    match response.is_success() {
        true => Ok(None),
        false => Err(harmless(error(&response))),
    }
}

/// How long a person sees that we are writing, where the configuration says nothing (Messaging API
/// reference, "Display a loading indicator": 20 seconds).
const LOADING_SECONDS: u8 = 20;

/// Where the profile of a person (`U…`), a member of a group (`C…/U…`) or of a room (`R…/U…`) is.
fn profile_path(user: &str) -> Option<String> {
    use super::config::is_id;
    let (group, user) = match user.split_once('/') {
        Some((group, user)) => (Some(group), user),
        None => (None, user),
    };
    if !is_id(user, "U") {
        return None;
    }
    match group {
        None => Some(format!("/v2/bot/profile/{user}")),
        Some(id) if is_id(id, "C") => Some(format!("/v2/bot/group/{id}/member/{user}")),
        Some(id) if is_id(id, "R") => Some(format!("/v2/bot/room/{id}/member/{user}")),
        Some(_) => None,
    }
}

fn words_code(error: &SendError) -> Option<&str> {
    error.words.as_ref().map(|words| words.code.as_str())
}

/// Calls what changes nothing when it is called twice, and reads its answer.
async fn ask<T: DeserializeOwned>(
    api: &Api,
    request: &Request,
    ctx: &Ctx<'_>,
) -> Result<T, SendError> {
    let response = call(api, request, ctx).await.map_err(harmless)?;
    let answer = serde_json::from_slice(&response.body).ok();
    answer
        .filter(|_| response.is_success())
        .ok_or_else(|| harmless(error(&response)))
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
