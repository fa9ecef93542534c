//! Inbound files: an id gives a link, the link gives the bytes.

use super::{authorised, call};
use crate::error::{Class, SendError};
use crate::kit::http::{Ctx, Request, Response, TransportError};
use crate::kit::status::transport_error;
use crate::model::{Media, MediaRef};
use crate::whatsapp::classify;
use crate::whatsapp::config::Account;
use serde::Deserialize;
use url::Url;

/// The host from which Meta hands out files, beside the API's own.
const MEDIA_HOST: &str = "lookaside.fbsbx.com";
/// Redirections followed for a file.
const REDIRECTS_MAX: usize = 3;
/// Meta's file host refuses clients that do not say what they are.
const USER_AGENT: &str = "Mozilla/5.0 (compatible; Switchboard)";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::{Auth, Transport};
    use crate::kit::settings::Common;
    use crate::model::Millis;
    use bytes::Bytes;
    use serde_json::json;
    use std::sync::Mutex;

    /// Answers from a list and remembers who was shown the token.
    struct Script {
        answers: Mutex<Vec<Response>>,
        seen: Mutex<Vec<String>>,
    }

    impl Script {
        fn new(answers: Vec<Response>) -> Self {
            Self {
                answers: Mutex::new(answers),
                seen: Mutex::default(),
            }
        }

        fn note(&self, how: &str, url: &str) {
            self.seen.lock().unwrap().push(format!("{how} {url}"));
        }
    }

    #[async_trait::async_trait]
    impl Transport for Script {
        async fn call(&self, request: Request) -> Result<Response, TransportError> {
            let how = match request.auth {
                Auth::Bearer(_) => "token",
                _ => "plain",
            };
            self.note(how, &request.url);
            assert!(!request.shown_url().contains("hash="));
            let answer = self.answers.lock().unwrap().remove(0);
            if answer.body.len() > request.max_response_bytes {
                return Err(TransportError::TooLarge(request.max_response_bytes));
            }
            Ok(answer)
        }

        async fn fetch_public(&self, url: &str, _: usize) -> Result<Media, TransportError> {
            self.note("guarded", url);
            Ok(Media {
                bytes: Bytes::from_static(b"guarded"),
                mime: Some("text/html".to_owned()),
                name: None,
            })
        }
    }

    fn info(url: &str) -> Response {
        let info = json!({"url": url, "mime_type": "image/jpeg", "file_size": "5", "id": "77"});
        Response::json(200, info.to_string())
    }

    fn file(content: &str) -> Response {
        Response {
            body: Bytes::from(content.to_owned()),
            ..Response::empty(200)
        }
    }

    fn fetched(answers: Vec<Response>, reference: &str) -> (Result<Media, SendError>, Vec<String>) {
        let common = Common {
            id: "wa".to_owned(),
            api_base: Some("https://graph.example:8443".to_owned()),
            webhook_url: String::new(),
        };
        let settings = crate::whatsapp::config::sandbox_settings();
        let account = Account::read(&common, settings).unwrap();
        let script = Script::new(answers);
        let ctx = Ctx { max_media_bytes: 10, ..Ctx::new(&script, Millis(0)) };
        let media = MediaRef {
            reference: reference.to_owned(),
            scope: Some("310".to_owned()),
        };
        let run = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = run.block_on(fetch_media(&account, &media, &ctx));
        let seen = script.seen.lock().unwrap().clone();
        (outcome, seen)
    }

    const ASKED: &str = "token https://graph.example:8443/v25.0/77?phone_number_id=310";
    const FILE: &str = "https://lookaside.fbsbx.com/wa/?mid=77&hash=s3cret";

    #[test]
    fn the_link_is_asked_for_and_then_fetched() {
        let (media, seen) = fetched(vec![info(FILE), file("bytes")], "77");
        let media = media.unwrap();
        assert_eq!(&media.bytes[..], b"bytes");
        assert_eq!(media.mime.as_deref(), Some("image/jpeg"));
        assert_eq!(seen, [ASKED.to_owned(), format!("token {FILE}")]);
    }

    #[test]
    fn the_token_goes_to_no_other_host() {
        for link in [
            "https://evil.example/wa/?mid=77",
            "http://lookaside.fbsbx.com/wa/",
            "https://lookaside.fbsbx.com:444/wa/",
            "https://lookaside.fbsbx.com.evil.example/",
            "https://lookaside.fbsbx.com@evil.example/",
            "https://graph.example/wa/",
            "http://graph.example:8443/wa/",
            "file:///etc/passwd",
            "nonsense",
        ] {
            let (_, seen) = fetched(vec![info(link)], "77");
            assert_eq!(seen, [ASKED.to_owned(), format!("guarded {link}")]);
        }
        let away = Response::empty(302).with_header("location", "//evil.example/x");
        let (_, seen) = fetched(vec![info(FILE), away], "77");
        assert_eq!(seen.last().unwrap(), "guarded https://evil.example/x");
        let own = "https://graph.example:8443/files/77";
        let (media, seen) = fetched(vec![info(own), file("own")], "77");
        assert_eq!(&media.unwrap().bytes[..], b"own");
        assert_eq!(seen.last().unwrap(), &format!("token {own}"));
    }

    #[test]
    fn a_dead_link_is_asked_for_again_once() {
        let dead = || Response::empty(404);
        let (media, seen) = fetched(vec![info(FILE), dead(), info(FILE), file("late")], "77");
        assert_eq!(&media.unwrap().bytes[..], b"late");
        assert_eq!(seen.len(), 4);
        let (error, seen) = fetched(vec![info(FILE), dead(), info(FILE), dead()], "77");
        assert_eq!((error.unwrap_err().class, seen.len()), (Class::Content, 4));
    }

    #[test]
    fn failures_are_about_the_file() {
        let gone = Response::json(400, r#"{"error":{"code":100,"error_subcode":33}}"#);
        let down = Response::empty(500);
        let expired = Response::json(401, r#"{"error":{"code":190}}"#);
        let loops = Response::empty(302).with_header("location", FILE);
        let big = json!({"url": FILE, "file_size": 11}).to_string();
        let cases = [
            (vec![gone], Class::Content),
            (vec![down.clone()], Class::Retry),
            (vec![expired], Class::Credentials),
            (vec![Response::json(200, "{}")], Class::Retry),
            (vec![Response::json(200, big)], Class::Content),
            (vec![info(FILE), file("eleven byte")], Class::Content),
            (vec![info(FILE), down], Class::Retry),
            (vec![info(FILE), Response::empty(302)], Class::Retry),
            (
                vec![info(FILE), loops.clone(), loops.clone(), loops.clone(), loops],
                Class::Retry,
            ),
        ];
        for (answers, class) in cases {
            let shown = format!("{answers:?}");
            assert_eq!(fetched(answers, "77").0.unwrap_err().class, class, "{shown}");
        }
        for reference in ["", "../me", "77?fields=x", "77/messages"] {
            let (error, seen) = fetched(Vec::new(), reference);
            assert_eq!(error.unwrap_err().class, Class::Content);
            assert!(seen.is_empty(), "{reference}");
        }
    }
}
