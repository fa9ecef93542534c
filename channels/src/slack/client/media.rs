//! Inbound files: a private link that is good with the token alone.

use super::upload::is_ours;
use super::{call, harmless, query};
use crate::error::{Class, SendError};
use crate::kit::http::{Ctx, Request};
use crate::kit::status::default_error;
use crate::model::{Media, MediaRef};
use crate::slack::render::Api;
use crate::slack::wire::FileInfo;

/// What the message said of a file.
struct Told {
    id: Option<String>,
    mime: Option<String>,
    size: Option<usize>,
}

impl Told {
    /// From `MediaRef::scope`: id, type and size, `-` where one was not told.
    fn read(media: &MediaRef) -> Self {
        let mut words = media.scope.as_deref().unwrap_or_default().split(' ');
        let mut next = || words.next().filter(|w| !w.is_empty() && *w != "-");
        Self {
            id: next().map(str::to_owned),
            mime: next().map(str::to_owned),
            size: next().and_then(|size| size.parse().ok()),
        }
    }
}

/// Fetches the bytes of an inbound file.
///
/// # Errors
/// `Retry` for what may be better next time: nothing is changed by asking twice.
pub async fn fetch_media(api: &Api, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
    let mut told = Told::read(media);
    let mut link = media.reference.clone();
    if link.is_empty() {
        // Slack Connect: nothing is known of a file before it was asked for.
        let id = told.id.clone().unwrap_or_default();
        let info: FileInfo = query(api.form("files.info", &[("file", id)]), ctx).await?;
        let file = info.file;
        link = file.url_private_download.or(file.url_private).unwrap_or_default();
        told.mime = file.mimetype;
        told.size = file.size.and_then(|size| usize::try_from(size).ok());
    }
    // The token goes nowhere but to Slack.
    if !is_ours(&link, &api.base) {
        let words = "the reference is no link of Slack's";
        return Err(SendError::new(Class::Content, "no-link", words));
    }
    if told.size.is_some_and(|size| size > ctx.max_media_bytes) {
        let words = "the file is larger than the gateway takes";
        return Err(SendError::new(Class::Content, "too-large", words));
    }
    let mut request = api.authorised(Request::get(&link));
    request.max_response_bytes = ctx.max_media_bytes;
    request.timeout_ms = Request::MEDIA_TIMEOUT_MS;
    let response = call(request, ctx).await.map_err(harmless)?;
    let sign_in = || {
        let words = "Slack shows a page to sign in: the app lacks files:read, or is not in the channel";
        SendError::new(Class::Content, "sign-in-page", words)
    };
    match response.status {
        200..=299 => {}
        // The link leads to a page for people.
        300..=399 => return Err(sign_in()),
        404 | 410 => return Err(SendError::new(Class::Content, "404", "the file is gone")),
        _ => return Err(harmless(default_error(&response))),
    }
    let stated = response.headers.get("content-type");
    let stated = stated.map(|mime| mime.split(';').next().unwrap_or(mime).trim().to_owned());
    let is_page = stated.as_deref() == Some("text/html") && told.mime.as_deref() != Some("text/html");
    if is_page {
        return Err(sign_in());
    }
    if told.size.is_some_and(|size| size != response.body.len()) {
        let words = "the bytes are not as many as Slack had said";
        return Err(SendError::new(Class::Retry, "other-size", words));
    }
    let name = link.split(['?', '#']).next().and_then(|path| path.rsplit('/').next());
    let stated = stated.filter(|mime| !mime.is_empty() && mime != "application/octet-stream");
    Ok(Media {
        mime: told.mime.or(stated),
        name: name.filter(|name| !name.is_empty()).map(str::to_owned),
        bytes: response.body,
    })
}
