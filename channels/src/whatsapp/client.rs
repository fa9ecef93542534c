//! The only file that reaches out, through [`Ctx`].

use super::classify::{self, NO_SUCH_TEMPLATE};
use super::config::{Account, Settings};
use super::plan;
use super::render::{render, render_fallback, render_read};
use crate::error::{Class, SendError, SetupScope};
use crate::kit::http::{Auth, Ctx, Request, Response, TransportError};
use crate::kit::status::transport_error;
use crate::model::{Effect, Health, Media, MediaRef, Part, PartBody, Receipt};
use serde::Deserialize;
use url::Url;

/// The host from which Meta hands out files, beside the API's own.
const MEDIA_HOST: &str = "lookaside.fbsbx.com";
/// Redirections followed for a file.
const REDIRECTS_MAX: usize = 3;
/// Meta's file host refuses clients that do not say what they are.
const USER_AGENT: &str = "Mozilla/5.0 (compatible; Switchboard)";

async fn call(request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let answer = ctx.transport.call(request).await;
    answer.map_err(|error| transport_error(&error))
}

async fn send(request: Request, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    classify::classify(&call(request, ctx).await?)
}

/// Sends a part: a template in the first of its languages that exists; a text, where the window has
/// closed and a fallback template is set, as that template, once.
pub async fn deliver(account: &Account, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    if let PartBody::Template { template } = &part.body {
        return deliver_template(account, part, plan::languages(template, &account.settings), ctx)
            .await;
    }
    if let PartBody::Album { .. } = &part.body {
        return Err(SendError::new(Class::Content, "album", "WhatsApp carries no albums"));
    }
    let outcome = send(render(part, account, ""), ctx).await;
    match (&outcome, &part.body, account.settings.fallback()) {
        // The platform refused the text whole, so nothing is sent twice.
        (Err(error), PartBody::Text { text }, Some(template)) if error.class == Class::Window => {
            send(render_fallback(part, account, text, template), ctx).await
        }
        _ => outcome,
    }
}

/// Tries the languages in order, going on only when the template does not exist in one.
async fn deliver_template(
    account: &Account,
    part: &Part,
    languages: Vec<String>,
    ctx: &Ctx<'_>,
) -> Result<Receipt, SendError> {
    let mut outcome = Err(no_language());
    for language in &languages {
        outcome = send(render(part, account, language), ctx).await;
        let missing = |e: &SendError| e.words.as_ref().is_some_and(|w| w.code == NO_SUCH_TEMPLATE);
        if !outcome.as_ref().is_err_and(missing) {
            break;
        }
    }
    outcome
}

/// The configured languages went away between plan and delivery.
fn no_language() -> SendError {
    let scope = SetupScope::Message;
    let words = "no language is named, and the channel has no template_language_chain";
    SendError::new(Class::Setup { scope }, NO_SUCH_TEMPLATE, words)
}

/// What the platform says about a file.
#[derive(Deserialize)]
struct MediaInfo {
    url: String,
    mime_type: Option<String>,
    #[serde(default)]
    file_size: serde_json::Value,
}

impl MediaInfo {
    /// The size, which comes as a number or as a string.
    fn bytes(&self) -> Option<usize> {
        match &self.file_size {
            serde_json::Value::Number(n) => n.as_u64().and_then(|n| usize::try_from(n).ok()),
            serde_json::Value::String(s) => s.parse().ok(),
            _ => None,
        }
    }
}

/// Fetches a file: its id gives a link that lives five minutes, the link gives the bytes.
pub async fn fetch_media(
    account: &Account,
    media: &MediaRef,
    ctx: &Ctx<'_>,
) -> Result<Media, SendError> {
    let first = resolve(account, media, ctx).await?;
    match download(account, &first, ctx).await {
        // The link died between the two requests: a new one is had for the asking, once.
        Err(error) if is_stale(&error) => {
            let second = resolve(account, media, ctx).await?;
            download(account, &second, ctx).await
        }
        outcome => outcome,
    }
    .map_err(of_media)
}

fn is_stale(error: &SendError) -> bool {
    let code = error.words.as_ref().map(|w| w.code.as_str());
    matches!(code, Some("401" | "404"))
}

async fn resolve(
    account: &Account,
    media: &MediaRef,
    ctx: &Ctx<'_>,
) -> Result<MediaInfo, SendError> {
    let gone = || SendError::new(Class::Content, "media", "the reference is none of WhatsApp");
    if media.reference.is_empty() || !media.reference.bytes().all(is_id) {
        return Err(gone());
    }
    let number = media
        .scope
        .as_deref()
        .filter(|scope| scope.bytes().all(is_id))
        .unwrap_or(&account.settings.phone_number_id);
    let url = account.url(&format!("{}?phone_number_id={number}", media.reference));
    let answer = call(authorised(account, Request::get(url)), ctx)
        .await
        .map_err(of_media)?;
    if !answer.is_success() {
        return Err(of_media(classify::error_of(&answer)));
    }
    let info: MediaInfo = serde_json::from_slice(&answer.body)
        .map_err(|e| SendError::new(Class::Retry, "media", crate::kit::json::shape(&e)))?;
    if info.bytes().is_some_and(|size| size > ctx.max_media_bytes) {
        return Err(too_large());
    }
    Ok(info)
}

/// Ids of files are digits today; nothing in them may change the path of a URL.
const fn is_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn too_large() -> SendError {
    SendError::new(Class::Content, "media", "the file is larger than the gateway takes")
}

/// A file that cannot be had is about that file: it must neither pause the channel nor count as a
/// message in doubt.
fn of_media(mut error: SendError) -> SendError {
    error.class = match error.class {
        Class::Unsure => Class::Retry,
        Class::Setup { .. } => Class::Content,
        class => class,
    };
    error
}

async fn download(
    account: &Account,
    info: &MediaInfo,
    ctx: &Ctx<'_>,
) -> Result<Media, SendError> {
    let mut link = info.url.clone();
    for _ in 0..=REDIRECTS_MAX {
        if !may_see_token(&link, &account.base) {
            // Not a host that we know: without the token, and through the guard.
            let fetched = ctx.transport.fetch_public(&link, ctx.max_media_bytes).await;
            let mut media = fetched.map_err(|e| transfer_error(&e))?;
            media.mime = info.mime_type.clone().or(media.mime);
            return Ok(media);
        }
        let mut request = authorised(account, Request::get(&link))
            .with_header("User-Agent", USER_AGENT)
            .with_redacted_url(without_query(&link))
            .with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
        request.max_response_bytes = ctx.max_media_bytes;
        let answer = ctx.transport.call(request).await;
        let answer = answer.map_err(|e| transfer_error(&e))?;
        match answer.status {
            200..=299 => {
                let stated = answer.headers.get("content-type").map(str::to_owned);
                return Ok(Media {
                    mime: info.mime_type.clone().or(stated),
                    name: None,
                    bytes: answer.body,
                });
            }
            301 | 302 | 303 | 307 | 308 => match redirected(&link, &answer) {
                Some(next) => link = next,
                None => return Err(of_file(&answer)),
            },
            _ => return Err(of_file(&answer)),
        }
    }
    Err(SendError::new(Class::Retry, "media", "too many redirections"))
}

fn transfer_error(error: &TransportError) -> SendError {
    match error {
        TransportError::TooLarge(_) => too_large(),
        error => of_media(transport_error(error)),
    }
}

/// The file host answers in plain HTTP: a dead link is 401 or 404 and says nothing about the token,
/// which has just got us the link.
fn of_file(answer: &Response) -> SendError {
    let class = match answer.status {
        401 | 403 | 404 | 410 => Class::Content,
        status => crate::kit::status::default_class(status, &answer.headers),
    };
    SendError::new(class, answer.status.to_string(), "the file was not handed out")
}

fn redirected(from: &str, answer: &Response) -> Option<String> {
    let location = answer.headers.get("location")?;
    Some(Url::parse(from).ok()?.join(location).ok()?.into())
}

/// The token goes to Meta's file host over TLS and to the API's own origin, nowhere else: a link in a
/// platform's answer is not proof of where it leads.
fn may_see_token(link: &str, base: &str) -> bool {
    let (Ok(link), Ok(base)) = (Url::parse(link), Url::parse(base)) else {
        return false;
    };
    let media_host = link.scheme() == "https"
        && link.host_str() == Some(MEDIA_HOST)
        && link.port_or_known_default() == Some(443);
    media_host || link.origin() == base.origin()
}

/// The query of a file's link is as good as a key while it lives.
fn without_query(link: &str) -> String {
    let bare = link.split(['?', '#']).next().unwrap_or_default();
    format!("{bare}?…")
}

fn authorised(account: &Account, request: Request) -> Request {
    request.with_auth(Auth::Bearer(account.settings.access_token.clone()))
}

/// The number as Meta shows it.
#[derive(Deserialize)]
struct Number {
    display_phone_number: Option<String>,
    verified_name: Option<String>,
}

/// Asks for the number's name: works when id, token and permission do.
pub async fn probe(account: &Account, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    let Settings {
        phone_number_id: id,
        ..
    } = &account.settings;
    let url = account.url(&format!("{id}?fields=display_phone_number,verified_name"));
    let answer = call(authorised(account, Request::get(url)), ctx).await?;
    if !answer.is_success() {
        return Err(classify::error_of(&answer));
    }
    let number: Number = serde_json::from_slice(&answer.body)
        .map_err(|e| SendError::new(Class::Retry, "probe", crate::kit::json::shape(&e)))?;
    let account = match (number.verified_name, number.display_phone_number) {
        (Some(name), Some(phone)) => format!("{name} ({phone})"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => id.clone(),
    };
    Ok(Health { account })
}

/// Marks as read; there is nothing else to do after an event.
pub async fn perform(account: &Account, effect: &Effect, ctx: &Ctx<'_>) -> Result<(), SendError> {
    let Effect::MarkRead { message, .. } = effect else {
        return Ok(());
    };
    let answer = call(render_read(message, account), ctx).await?;
    if answer.is_success() {
        Ok(())
    } else {
        Err(classify::error_of(&answer))
    }
}
