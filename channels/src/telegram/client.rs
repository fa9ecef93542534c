//! The only file that does I/O, and only through [`Ctx`].

use super::classify::{Remedy, answer, classify, error, remedy};
use super::render::{Api, How, render};
use super::wire::{Address, FileInfo, Me, parse_message};
use crate::error::{Class, SendError, SetupScope, Words};
use crate::kit::http::{Ctx, Request, Response};
use crate::kit::json::read;
use crate::kit::status::{default_error, transport_error};
use crate::model::{Effect, Health, Media, MediaRef, OutgoingAttachment, Part, PartBody, Receipt};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Sends one part: as planned and, where Telegram refuses it for something that can be changed,
/// once more with each such change. A refused request did nothing, so nothing goes out twice.
///
/// # Errors
/// With the class that decides what happens next.
///
/// # Cancel safety
/// A cancelled delivery may have been made: it counts as unsure.
pub async fn deliver(api: &Api, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    let mut how = How::default();
    loop {
        let response = call(api, render(part, api, &how), ctx).await?;
        let changed = match remedy(&response) {
            Some(remedy) => change(how.clone(), remedy, part, ctx).await,
            None => None,
        };
        match changed {
            Some(changed) => how = changed,
            None => return classify(&response).map(|receipt| with_alias(receipt, part)),
        }
    }
}

/// The next way to send a part. `None`: the remedy was tried, or there is nothing to apply it to,
/// so the refusal stands. Every change is one that a second refusal cannot ask for again: the loop
/// ends.
async fn change(mut how: How, remedy: Remedy, part: &Part, ctx: &Ctx<'_>) -> Option<How> {
    let before = how.clone();
    match remedy {
        Remedy::WithoutReply => how.reply &= part.reply_to.is_none(),
        Remedy::WithoutTopic => {
            let topic = Address::parse(&part.to).and_then(|address| address.topic);
            how.topic &= topic.is_none();
        }
        // Once: an id that moves again and again is not one to follow.
        Remedy::Moved(id) => how.moved_to = how.moved_to.or(Some(id)),
        Remedy::Upload | Remedy::UploadAsDocuments => {
            if how.files.is_empty() {
                how.files = fetch_all(part, ctx).await?;
            }
            how.as_documents |= remedy == Remedy::UploadAsDocuments;
        }
    }
    (how != before).then_some(how)
}

/// Fetches the attachments of a part. `None`: there are none, or one is not to be had; then the
/// platform, which could not fetch it either, has the last word.
async fn fetch_all(part: &Part, ctx: &Ctx<'_>) -> Option<Vec<Media>> {
    let attachments: &[OutgoingAttachment] = match &part.body {
        PartBody::Media { attachment, .. } => std::slice::from_ref(attachment),
        PartBody::Album { attachments, .. } => attachments,
        _ => return None,
    };
    let mut files = Vec::with_capacity(attachments.len());
    for attachment in attachments {
        let fetched = ctx.transport.fetch_public(&attachment.url, ctx.max_media_bytes);
        files.push(fetched.await.ok()?);
    }
    Some(files)
}

/// Names the chat as the answer does, where that is not how it was addressed: a group that has
/// moved, a chat addressed by its name.
fn with_alias(receipt: Receipt, part: &Part) -> Receipt {
    let answered = receipt.platform_ids.first().and_then(|id| parse_message(id));
    let asked = Address::parse(&part.to);
    let alias = match (answered, asked) {
        (Some((answered, _)), Some(asked)) if answered.number() != asked.number() => {
            Some(answered.to_string())
        }
        _ => None,
    };
    Receipt { alias, ..receipt }
}

/// Fetches the bytes of an inbound file: `getFile`, then the path that it names.
///
/// # Errors
/// `Retry` for what may be better next time: nothing is changed by asking twice.
pub async fn fetch_media(api: &Api, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
    let file: FileInfo = ask(api, "getFile", json!({"file_id": media.reference}), ctx).await?;
    let path = file.file_path.unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
    if path.is_empty() || path.starts_with('/') || path.contains("..") || !path.chars().all(plain) {
        // A server of one's own that was started with --local names a file on its own disk.
        let scope = SetupScope::Message;
        let words = "getFile named no path that can be downloaded (a server with --local?)";
        return Err(SendError::new(Class::Setup { scope }, "file-path", words));
    }
    if file.file_size.is_some_and(|size| size > ctx.max_media_bytes as u64) {
        let words = "the file is larger than the gateway takes";
        return Err(SendError::new(Class::Content, "too-large", words));
    }
    let request = api.download(&path, ctx.max_media_bytes);
    let response = call(api, request, ctx).await.map_err(harmless)?;
    if response.status == 404 {
        // The link lives for an hour: the next try gets a fresh one.
        return Err(SendError::new(Class::Retry, "404", "the link has expired"));
    }
    if !response.is_success() {
        return Err(harmless(default_error(&response)));
    }
    Ok(Media {
        mime: mime(&response, &path),
        name: path.rsplit('/').next().map(str::to_owned),
        bytes: response.body,
    })
}

/// The type of a downloaded file. Telegram answers `application/octet-stream` for many: then the
/// path's extension tells more.
fn mime(response: &Response, path: &str) -> Option<String> {
    let stated = response.headers.get("content-type");
    let stated = stated.map(|mime| mime.split(';').next().unwrap_or(mime).trim());
    stated
        .filter(|mime| !mime.is_empty() && *mime != "application/octet-stream")
        .map(str::to_owned)
        .or_else(|| {
            let guess = mime_guess::from_path(path).first();
            guess.map(|mime| mime.essence_str().to_owned())
        })
}

/// Asks who the bot is.
///
/// # Errors
/// When the token does not work, or Telegram cannot be asked.
pub async fn probe(api: &Api, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    let me: Me = ask(api, "getMe", json!({}), ctx).await?;
    let account = match me.username {
        Some(name) => format!("@{name} ({})", me.id),
        None => me.id.to_string(),
    };
    Ok(Health { account })
}

/// Answers a pressed button, so that it stops spinning. Everything else needs nothing here.
///
/// # Errors
/// When it could not be answered and may be next time.
pub async fn perform(api: &Api, effect: &Effect, ctx: &Ctx<'_>) -> Result<(), SendError> {
    let Effect::AnswerCallback { id } = effect else {
        return Ok(());
    };
    let fields = json!({"callback_query_id": id});
    match ask::<bool>(api, "answerCallbackQuery", fields, ctx).await {
        // Too old to be answered, and so no longer spinning.
        Err(error) if says(&error, "query is too old") => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Calls a method that changes nothing when it is called twice, and reads its result.
async fn ask<T: DeserializeOwned>(
    api: &Api,
    method: &str,
    fields: Value,
    ctx: &Ctx<'_>,
) -> Result<T, SendError> {
    let fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let request = api.call(method, fields);
    let response = call(api, request, ctx).await.map_err(harmless)?;
    let result = answer(&response).filter(|answer| answer.ok && response.is_success());
    let result = result.and_then(|answer| read(&answer.result?).ok());
    result.ok_or_else(|| {
        let error = harmless(error(&response));
        // "wrong file_id or the file is temporarily unavailable": one of the two passes.
        if says(&error, "temporarily unavailable") {
            return SendError {
                class: Class::Retry,
                ..error
            };
        }
        error
    })
}

/// One call. What a transport says of its failure may hold the URL, and the URL holds the token.
async fn call(api: &Api, request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    ctx.transport.call(request).await.map_err(|error| {
        let mut error = transport_error(&error);
        error.words = error
            .words
            .map(|words| Words::new(words.code, api.redact(&words.message)));
        error
    })
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

/// Whether the platform's words hold this.
fn says(error: &SendError, words: &str) -> bool {
    let said = error.words.as_ref();
    said.is_some_and(|said| said.message.to_lowercase().contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::{Body, Transport, TransportError};
    use crate::kit::settings::Common;
    use crate::model::{MessageId, Millis, Outgoing};
    use crate::telegram::config::{Settings, sandbox_settings};
    use crate::telegram::plan::plan;
    use async_trait::async_trait;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    type Step = Result<Response, TransportError>;

    /// Answers in order; the links of callers are refused or answered alike.
    struct Fake {
        steps: Mutex<Vec<Step>>,
        asked: Mutex<Vec<Request>>,
        linked: Result<Media, TransportError>,
    }

    impl Fake {
        fn new(steps: Vec<Step>) -> Self {
            Self {
                steps: Mutex::new(steps),
                asked: Mutex::default(),
                linked: Err(TransportError::Blocked("10.0.0.1".into())),
            }
        }

        fn asked(&self) -> Vec<String> {
            let asked = self.asked.lock().unwrap();
            asked.iter().map(|r| r.shown_url().to_owned()).collect()
        }
    }

    #[async_trait]
    impl Transport for Fake {
        async fn call(&self, request: Request) -> Step {
            self.asked.lock().unwrap().push(request);
            self.steps.lock().unwrap().remove(0)
        }

        async fn fetch_public(&self, _: &str, _: usize) -> Result<Media, TransportError> {
            self.linked.clone()
        }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        match pin!(future)
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a fake never waits"),
        }
    }

    fn api() -> Api {
        let settings = Settings::read(sandbox_settings()).unwrap();
        let common = Common {
            id: "desk".into(),
            api_base: None,
            webhook_url: "https://gw.example.net/webhooks/desk".into(),
        };
        Api::new(&common, &settings)
    }

    fn ctx(fake: &Fake) -> Ctx<'_> {
        Ctx { max_media_bytes: 100, ..Ctx::new(fake, Millis(0)) }
    }

    fn ok(result: &str) -> Step {
        let body = format!(r#"{{"ok":true,"result":{result}}}"#);
        Ok(Response::json(200, body))
    }

    fn bad(code: u16, description: &str) -> Step {
        let body = json!({"ok": false, "error_code": code, "description": description});
        Ok(Response::json(code, body.to_string()))
    }

    fn photo() -> Part {
        let mut message = Outgoing::new(MessageId(1), "5550001001");
        let link = OutgoingAttachment::new("a.jpg", "https://files.example.net/a.jpg");
        message.attachments = vec![link];
        plan(&message).unwrap().remove(0)
    }

    #[test]
    fn a_file_that_nobody_can_fetch_is_refused_in_telegrams_words() {
        let words = "Bad Request: failed to get HTTP URL content";
        let fake = Fake::new(vec![bad(400, words)]);
        let error = run(deliver(&api(), &photo(), &ctx(&fake))).unwrap_err();
        assert_eq!(error.class, Class::Content);
        assert_eq!(error.words.unwrap().message, words);
        assert_eq!(fake.asked().len(), 1);
    }

    #[test]
    fn what_the_transport_says_loses_the_token() {
        let api = api();
        let url = render(&photo(), &api, &How::default()).url;
        let fake = Fake::new(vec![
            Err(TransportError::NotSent(format!("connecting to {url}"))),
            Err(TransportError::NoAnswer(format!("reading from {url}"))),
        ]);
        for class in [Class::Retry, Class::Unsure] {
            let error = run(deliver(&api, &photo(), &ctx(&fake))).unwrap_err();
            assert_eq!(error.class, class);
            assert!(!format!("{error:?}").contains("sandbox-token"), "{error:?}");
        }
    }

    #[test]
    fn files_come_by_the_path_that_telegram_names() {
        let named = r#"{"file_id":"F","file_unique_id":"U","file_path":"voice/file_7.oga"}"#;
        let stored = Response {
            body: "OggS".into(),
            ..Response::empty(200).with_header("content-type", "application/octet-stream")
        };
        let fake = Fake::new(vec![ok(named), Ok(stored)]);
        let media = run(fetch_media(&api(), &MediaRef::new("F"), &ctx(&fake))).unwrap();
        assert_eq!(media.bytes.as_ref(), b"OggS");
        assert_eq!(media.name.as_deref(), Some("file_7.oga"));
        assert_eq!(media.mime.as_deref(), Some("audio/ogg"));
        assert_eq!(
            fake.asked(),
            [
                "https://api.telegram.org/bot***/getFile",
                "https://api.telegram.org/file/bot***/voice/file_7.oga"
            ]
        );
        assert_eq!(fake.asked.lock().unwrap()[1].max_response_bytes, 100);
    }

    #[test]
    fn files_that_cannot_be_had_say_why() {
        let path = |path: &str, size: u64| {
            ok(&json!({"file_id": "F", "file_path": path, "file_size": size}).to_string())
        };
        let unavailable = "Bad Request: wrong file_id or the file is temporarily unavailable";
        let message = Class::Setup {
            scope: SetupScope::Message,
        };
        let cases = [
            (vec![bad(400, "Bad Request: file is too big")], Class::Content),
            (vec![bad(400, unavailable)], Class::Retry),
            (vec![bad(401, "Unauthorized")], Class::Credentials),
            (vec![Ok(Response::empty(500))], Class::Retry),
            (vec![Err(TransportError::NoAnswer("reset".into()))], Class::Retry),
            (vec![path("/var/lib/bot/photos/file_1.jpg", 1)], message),
            (vec![path("photos/../../secret", 1)], message),
            (vec![path("photos/a b?x#y", 1)], message),
            (vec![path("photos/file_1.jpg", 101)], Class::Content),
            (vec![path("photos/file_1.jpg", 1), Ok(Response::empty(404))], Class::Retry),
            (vec![path("photos/file_1.jpg", 1), Ok(Response::empty(502))], Class::Retry),
        ];
        for (i, (steps, class)) in cases.into_iter().enumerate() {
            let fake = Fake::new(steps);
            let error = run(fetch_media(&api(), &MediaRef::new("F"), &ctx(&fake))).unwrap_err();
            assert_eq!(error.class, class, "case {i}: {error:?}");
            assert!(fake.steps.lock().unwrap().is_empty(), "case {i}");
        }
    }

    #[test]
    fn a_probe_names_the_bot() {
        let me = r#"{"id":7000000001,"is_bot":true,"first_name":"Desk","username":"desk_test_bot"}"#;
        let fake = Fake::new(vec![ok(me), bad(401, "Unauthorized"), bad(404, "Not Found")]);
        let health = run(probe(&api(), &ctx(&fake))).unwrap();
        assert_eq!(health.account, "@desk_test_bot (7000000001)");
        let error = run(probe(&api(), &ctx(&fake))).unwrap_err();
        assert_eq!(error.class, Class::Credentials);
        let error = run(probe(&api(), &ctx(&fake))).unwrap_err();
        assert_eq!(error.class.name(), "setup");
    }

    #[test]
    fn a_press_is_answered_and_may_be_too_old_for_it() {
        let too_old = "Bad Request: query is too old and response timeout expired or query ID is invalid";
        let fake = Fake::new(vec![
            ok("true"),
            bad(400, too_old),
            Err(TransportError::NoAnswer("reset".into())),
        ]);
        let effect = Effect::AnswerCallback { id: "77".into() };
        run(perform(&api(), &effect, &ctx(&fake))).unwrap();
        run(perform(&api(), &effect, &ctx(&fake))).unwrap();
        let error = run(perform(&api(), &effect, &ctx(&fake))).unwrap_err();
        assert_eq!(error.class, Class::Retry);
        let asked = fake.asked.lock().unwrap();
        assert!(matches!(&asked[0].body, Body::Json(b) if b == r#"{"callback_query_id":"77"}"#));

        let other = Effect::FetchProfile { user: "7".into() };
        run(perform(&api(), &other, &ctx(&fake))).unwrap();
        assert_eq!(asked.len(), 3, "nothing is asked for other effects");
    }
}
