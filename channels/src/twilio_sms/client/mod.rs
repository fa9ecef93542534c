//! Everything that reaches out to Twilio.

use super::config::Settings;
use super::render::{self, Carriage};
use super::wire::{Account, Message, MessagePage};
use super::{classify, dates};
use crate::error::{Class, SendError, SetupScope};
use crate::kit::http::{Ctx, Request, Response, TransportError};
use crate::kit::settings::Common;
use crate::kit::{json, status};
use crate::model::{Health, Media, MediaRef, Part, Receipt};
use url::Url;

/// How many redirections a media link may take before it is given up.
const REDIRECTS_MAX: usize = 3;

/// How far back a message of ours is looked for. An unsure part was begun a request's time-out, a
/// lease and some waiting ago; the longer the window, the likelier that it holds an earlier message
/// with the same text, which would be taken for this one.
const LOOK_BACK_MS: i64 = 5 * 60 * 1000;

/// The other clock may be ahead or behind by this much, in milliseconds.
const CLOCK_SLACK_MS: i64 = 30_000;

/// Sends a part; once more with links where Twilio has no MMS for us. It refused the first request
/// whole, so that nothing can arrive twice.
pub async fn deliver(
    part: &Part,
    settings: &Settings,
    common: &Common,
    ctx: &Ctx<'_>,
) -> Result<Receipt, SendError> {
    let error = match send(part, settings, common, ctx, Carriage::Best).await {
        Err(error) if classify::wants_links(&error) => error,
        outcome => return outcome,
    };
    let has_media = !render::media(part, Carriage::Best).is_empty();
    let text = render::body(part, Carriage::Links);
    if !has_media || text.encode_utf16().count() > super::plan::BODY_MAX {
        return Err(error);
    }
    send(part, settings, common, ctx, Carriage::Links).await
}

async fn send(
    part: &Part,
    settings: &Settings,
    common: &Common,
    ctx: &Ctx<'_>,
    carriage: Carriage,
) -> Result<Receipt, SendError> {
    let request = render::render(part, settings, common, ctx.now, carriage);
    match ctx.transport.call(request).await {
        Ok(response) => classify::classify(&response),
        Err(error) => Err(status::transport_error(&error)),
    }
}

/// Looks for a part among the messages that Twilio has of ours: same recipient, same text, as many
/// media, written just now. The newest one counts.
pub async fn find_sent(
    part: &Part,
    settings: &Settings,
    common: &Common,
    ctx: &Ctx<'_>,
) -> Result<Option<Receipt>, SendError> {
    let request = render_list(part, settings, common, ctx);
    let response = read(request, ctx).await?;
    let page: MessagePage = understood(&response)?;
    let place = page.messages.iter().position(|m| is(m, part, ctx));
    let Some(message) = place.and_then(|i| page.messages.get(i)) else {
        return Ok(None);
    };
    // Our answer is the one resource, as it would have been at first.
    let raw = serde_json::from_slice::<serde_json::Value>(&response.body).ok();
    let resource = raw.as_ref().and_then(|r| r.get("messages")?.get(place?));
    let answer = resource.map(ToString::to_string).unwrap_or_default();
    Ok(Some(Receipt {
        platform_ids: vec![message.sid.clone()],
        answer: json::answer_text(answer.as_bytes()),
        alias: None,
    }))
}

/// The request for our latest messages to the recipient of a part.
fn render_list(part: &Part, settings: &Settings, common: &Common, ctx: &Ctx<'_>) -> Request {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("To", &part.to);
    if let Some(from) = &settings.from {
        query.append_pair("From", from);
    }
    let since = dates::day(ctx.now.plus(-LOOK_BACK_MS));
    query.append_pair("DateSent>", &since);
    query.append_pair("PageSize", "100");
    let url = render::resource(settings, common, "/Messages.json");
    Request::get(format!("{url}?{}", query.finish())).with_auth(settings.auth())
}

/// Whether a message at Twilio is this part, in either form in which it may have gone.
fn is(message: &Message, part: &Part, ctx: &Ctx<'_>) -> bool {
    let date = message.date_created.as_deref();
    let fresh = date.and_then(dates::from_rfc2822).is_some_and(|at| {
        let age = ctx.now.since(at);
        (-CLOCK_SLACK_MS..=LOOK_BACK_MS).contains(&age)
    });
    let inbound = message.direction.as_deref() == Some("inbound");
    let media = message.num_media.as_deref().unwrap_or("0");
    let same = |carriage| {
        render::body(part, carriage) == message.body.as_deref().unwrap_or_default()
            && render::media(part, carriage).len().to_string() == media
    };
    fresh && !inbound && (same(Carriage::Best) || same(Carriage::Links))
}

/// Asks whether the credentials work: the account by its auth token. An API key of the usual kind may
/// not read the account; it is tried on the list of messages instead.
pub async fn probe(
    settings: &Settings,
    common: &Common,
    ctx: &Ctx<'_>,
) -> Result<Health, SendError> {
    let sender = settings.from.as_ref().or(settings.messaging_service_sid.as_ref());
    let sender = sender.map(String::as_str).unwrap_or_default();
    if settings.api_key_sid.is_some() {
        let url = render::resource(settings, common, "/Messages.json?PageSize=1");
        let response = read(Request::get(url).with_auth(settings.auth()), ctx).await?;
        let _: MessagePage = understood(&response)?;
        return Ok(Health {
            account: format!("{} ({sender})", settings.account_sid),
        });
    }
    let url = render::resource(settings, common, ".json");
    let response = read(Request::get(url).with_auth(settings.auth()), ctx).await?;
    let account: Account = understood(&response)?;
    match account.status.as_deref() {
        None | Some("active") => {}
        Some(other) => {
            let words = "the account is not active";
            return Err(SendError::new(Class::Credentials, other, words));
        }
    }
    let name = account.friendly_name.unwrap_or(account.sid);
    Ok(Health {
        account: format!("{name} ({sender})"),
    })
}

/// Fetches the bytes of an inbound attachment.
pub async fn fetch_media(
    media: &MediaRef,
    settings: &Settings,
    common: &Common,
    ctx: &Ctx<'_>,
) -> Result<Media, SendError> {
    let base = Url::parse(&common.api_base(super::config::API_BASE)).ok();
    let refused = || SendError::new(Class::Content, "address-refused", "no media link of Twilio's");
    let mut url = Url::parse(&media.reference)
        .ok()
        .filter(|url| is_home(url, base.as_ref()))
        .ok_or_else(refused)?;
    for _ in 0..=REDIRECTS_MAX {
        let mut request = Request::get(url.as_str())
            .with_auth(settings.auth())
            .with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
        request.max_response_bytes = ctx.max_media_bytes;
        let response = ctx.transport.call(request).await.map_err(|e| lost(&e))?;
        if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
            return content(response);
        }
        let location = response.headers.get("location").unwrap_or_default();
        let next = match url.join(location) {
            Ok(next) if !location.is_empty() => next,
            _ => return Err(unread(&response)),
        };
        // The storage behind is another host: our credentials are none of its business, and where it
        // is, is for the guard to judge.
        if next.origin() != url.origin() {
            let fetched = ctx.transport.fetch_public(next.as_str(), ctx.max_media_bytes);
            return fetched.await.map_err(|e| lost(&e));
        }
        url = next;
    }
    Err(SendError::new(
        Class::Retry,
        "redirects",
        "the link leads on and on",
    ))
}

/// Whether our credentials may be shown there: the API that we are configured with, or Twilio.
fn is_home(url: &Url, base: Option<&Url>) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    let ours = base.is_some_and(|base| base.origin() == url.origin());
    let twilios = url.scheme() == "https"
        && url.port().is_none()
        && url.host_str().is_some_and(|h| h.ends_with(".twilio.com"));
    plain && (ours || twilios)
}

fn content(response: Response) -> Result<Media, SendError> {
    match response.status {
        200..=299 => {
            let disposition = response.headers.get("content-disposition");
            Ok(Media {
                mime: response.headers.get("content-type").map(str::to_owned),
                name: disposition.and_then(file_name),
                bytes: response.body,
            })
        }
        // Shortly after the message the file may not be there yet.
        404 => {
            let mut error = classify::error(&response);
            error.class = Class::Retry;
            Err(error)
        }
        _ => Err(unread(&response)),
    }
}

/// The name in `inline; filename="x.jpg"`.
fn file_name(disposition: &str) -> Option<String> {
    let (_, rest) = disposition.split_once("filename=")?;
    let name = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(';').next(),
    };
    let name = name?.rsplit(['/', '\\']).next()?.trim();
    (!name.is_empty()).then(|| name.chars().take(120).collect())
}

/// Makes a request that changes nothing.
async fn read(request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let response = ctx.transport.call(request).await.map_err(|e| lost(&e))?;
    if response.is_success() {
        Ok(response)
    } else {
        Err(unread(&response))
    }
}

fn understood<T: serde::de::DeserializeOwned>(response: &Response) -> Result<T, SendError> {
    serde_json::from_slice(&response.body).map_err(|e| {
        let class = Class::Setup {
            scope: SetupScope::Account,
        };
        let words = format!("this is not Twilio's answer: {}", json::shape(&e));
        SendError::new(class, response.status.to_string(), words)
    })
}

/// Reading twice does no harm, so that nothing about it is unsure.
fn unread(response: &Response) -> SendError {
    certain(classify::error(response))
}

fn lost(error: &TransportError) -> SendError {
    let mut found = certain(status::transport_error(error));
    if matches!(error, TransportError::TooLarge(_)) {
        found.class = Class::Content;
    }
    found
}

fn certain(mut error: SendError) -> SendError {
    if error.class == Class::Unsure {
        error.class = Class::Retry;
    }
    error
}

#[cfg(test)]
mod tests;
