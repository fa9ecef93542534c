//! Inbound files: links that are signed in themselves, so that no token goes with them.

use super::{call, harmless};
use crate::error::{Class, SendError};
use crate::kit::http::{Ctx, Request, Response, TransportError};
use crate::kit::status::{default_error, transport_error};
use crate::messenger::config::Account;
use crate::model::{Media, MediaRef};
use url::Url;

/// Meta's file hosts. Every other host is asked through the guard against private addresses, also
/// where Meta itself names it.
const FILE_HOSTS: [&str; 3] = ["fbcdn.net", "fbsbx.com", "cdninstagram.com"];

/// Redirections followed for a file.
const REDIRECTS_MAX: usize = 3;

/// Fetches a file behind a link. Links live from a day (stories) to a few days.
///
/// # Errors
/// `Content` when the link has expired or leads to no file; `Retry` for what may be better next time.
pub async fn fetch_media(
    account: &Account,
    media: &MediaRef,
    ctx: &Ctx<'_>,
) -> Result<Media, SendError> {
    let no_link = || SendError::new(Class::Content, "link", "not the link of a file");
    let mut url = Url::parse(&media.reference).or(Err(no_link()))?;
    for _ in 0..=REDIRECTS_MAX {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(no_link());
        }
        if !is_metas(&url) && !is_own(&url, account) {
            return guarded(&url, ctx).await;
        }
        let answer = call(get(&url, ctx), ctx).await.map_err(of_file)?;
        if (300..400).contains(&answer.status) {
            let next = answer.headers.get("location");
            url = next
                .and_then(|next| url.join(next).ok())
                .ok_or_else(no_link)?;
            continue;
        }
        return file(answer, &url);
    }
    let words = "too many redirections";
    Err(SendError::new(Class::Content, "redirects", words))
}

/// Whether a link leads to one of Meta's file hosts.
fn is_metas(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let of = |suffix: &&str| {
        let before = host.strip_suffix(*suffix);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    url.scheme() == "https" && url.port().is_none() && FILE_HOSTS.iter().any(of)
}

/// Whether a link leads below the API's own root, where the emulator has its files.
fn is_own(url: &Url, account: &Account) -> bool {
    let below = url.as_str().strip_prefix(account.base.as_str());
    below.is_some_and(|below| below.starts_with('/'))
}

/// A link is as good as a token to whoever sees it, so that its query is not shown.
fn get(url: &Url, ctx: &Ctx<'_>) -> Request {
    let mut shown = url.clone();
    if shown.query().is_some() {
        shown.set_query(Some("***"));
    }
    let mut request = Request::get(url.as_str())
        .with_redacted_url(shown)
        .with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
    request.max_response_bytes = ctx.max_media_bytes;
    request
}

async fn guarded(url: &Url, ctx: &Ctx<'_>) -> Result<Media, SendError> {
    let fetched = ctx
        .transport
        .fetch_public(url.as_str(), ctx.max_media_bytes);
    let media = fetched.await.map_err(|error| match error {
        TransportError::TooLarge(_) => too_large(),
        other => harmless(transport_error(&other)),
    })?;
    Ok(Media {
        // Links end in ids as often as in names.
        name: None,
        ..media
    })
}

fn file(answer: Response, url: &Url) -> Result<Media, SendError> {
    match answer.status {
        200..300 if answer.body.is_empty() => Err(SendError::new(
            Class::Retry,
            "empty",
            "the file came without content",
        )),
        200..300 => Ok(Media {
            mime: mime(&answer, url),
            name: None,
            bytes: answer.body,
        }),
        403 | 404 | 410 => {
            let code = answer.status.to_string();
            Err(SendError::new(Class::Content, code, "the link has expired"))
        }
        _ => {
            let mut error = harmless(default_error(&answer));
            if error.class == Class::Credentials {
                // No credential was shown: it is about the file.
                error.class = Class::Content;
            }
            if matches!(error.class, Class::Setup { .. }) {
                error.class = Class::Content;
            }
            Err(error)
        }
    }
}

/// The type that the host states; the path's extension where it states none.
fn mime(answer: &Response, url: &Url) -> Option<String> {
    let stated = answer.headers.get("content-type");
    let stated = stated.map(|mime| mime.split(';').next().unwrap_or(mime).trim());
    let stated = stated.filter(|mime| !mime.is_empty() && *mime != "application/octet-stream");
    stated.map(str::to_owned).or_else(|| {
        let guess = mime_guess::from_path(url.path()).first();
        guess.map(|mime| mime.essence_str().to_owned())
    })
}

fn too_large() -> SendError {
    SendError::new(
        Class::Content,
        "too-large",
        "the file is larger than the gateway takes",
    )
}

fn of_file(error: SendError) -> SendError {
    let too_big = error
        .words
        .as_ref()
        .is_some_and(|words| words.code == "answer-too-large");
    if too_big {
        too_large()
    } else {
        harmless(error)
    }
}
