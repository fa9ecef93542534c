//! The only file that does I/O, and only through [`Ctx`].

use super::classify::{classify, error};
use super::oauth::Stamp;
use super::parse::profile;
use super::render::{Api, CHUNK_BYTES, Upload, category, render};
use super::wire::{Processing, UploadAnswer, UserAnswer};
use crate::error::{Class, LimitScope, SendError, SetupScope};
use crate::kit::http::{Ctx, Request, Response, TransportError};
use crate::kit::secret::Secret;
use crate::kit::status::{default_error, transport_error};
use crate::model::{
    Effect, Health, Media, MediaRef, OutgoingAttachment, Part, PartBody, Receipt, Sender,
};
use std::time::Duration;
use url::Url;

/// How often the state of an upload is asked for at once. There is no waiting here: what takes longer
/// is put off, and the upload is remembered.
const POLLS: usize = 3;

/// How long an upload is put off when X does not say (X API: `check_after_secs`), and at most.
const CHECK_AFTER_SECONDS: u64 = 5;
const CHECK_AFTER_MAX_SECONDS: u64 = 60;

/// How long an upload is good for (X API: `expires_after_secs` is a day), less an hour.
const UPLOAD_LIVES: Duration = Duration::from_secs(23 * 3600);

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
            upload(api, attachment, &key, &mut stamps).await?
        }
        _ => None,
    };
    let request = render(part, api, media.as_deref(), &stamps.next());
    let response = call(request, ctx).await?;
    classify(&response, ctx.now)
}

/// Uploads an attachment and gives its id. `None`: X does not take it, so that its link goes.
async fn upload(
    api: &Api,
    attachment: &OutgoingAttachment,
    key: &str,
    stamps: &mut Stamps<'_>,
) -> Result<Option<String>, SendError> {
    let Some((category, max)) = category(attachment) else {
        return Ok(None);
    };
    let ctx = stamps.ctx;
    let kept = format!("upload:{key}");
    if let Some(token) = ctx.tokens.get(&kept).await {
        // An earlier attempt had uploaded it, and X was not done with it.
        let id = token.value.expose().to_owned();
        await_processing(api, &id, None, stamps).await?;
        return Ok(Some(id));
    }
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let max = max.min(ctx.max_media_bytes);
    let media = match ctx.transport.fetch_public(&attachment.url, max).await {
        Ok(media) => media,
        Err(TransportError::TooLarge(_)) => return Ok(None),
        Err(failed) => return Err(harmless(transport_error(&failed))),
    };
    if media.bytes.is_empty() || media.bytes.len() > max {
        return Ok(None);
    }
    let file = Upload {
        attachment,
        category,
        bytes: media.bytes,
    };
    let (id, processing) = if category == "dm_image" {
        let answer = step(api.upload_image(&file, &stamps.next()), ctx).await?;
        (id_of(&answer, ctx)?, None)
    } else {
        upload_pieces(api, &file, stamps).await?
    };
    if let Some(processing) = processing {
        let done = await_processing(api, &id, Some(processing), stamps).await;
        if let Err(SendError { class: Class::Limited { .. }, .. }) = &done {
            ctx.tokens.keep(&kept, Secret::new(&id), UPLOAD_LIVES).await;
        }
        done?;
    }
    Ok(Some(id))
}

/// Uploads a film or GIF in pieces.
async fn upload_pieces(
    api: &Api,
    file: &Upload<'_>,
    stamps: &mut Stamps<'_>,
) -> Result<(String, Option<Processing>), SendError> {
    let ctx = stamps.ctx;
    let begun = step(api.upload_begin(file, &stamps.next()), ctx).await?;
    let id = id_of(&begun, ctx)?;
    let mut rest = file.bytes.clone();
    let mut index = 0;
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(CHUNK_BYTES));
        step(api.upload_piece(&id, index, file, piece, &stamps.next()), ctx).await?;
        index += 1;
    }
    let ended = step(api.upload_end(&id, &stamps.next()), ctx).await?;
    let answer = serde_json::from_slice::<UploadAnswer>(&ended.body).ok();
    Ok((id, answer.and_then(|answer| answer.data.processing_info)))
}

/// Asks a few times whether X is done with an upload.
async fn await_processing(
    api: &Api,
    id: &str,
    mut state: Option<Processing>,
    stamps: &mut Stamps<'_>,
) -> Result<(), SendError> {
    let ctx = stamps.ctx;
    let mut polls = 0;
    loop {
        if let Some(processing) = &state {
            match processing.state.as_str() {
                "succeeded" => return Ok(()),
                "failed" => {
                    let words = processing.error.as_ref().map(ToString::to_string);
                    let words = words.unwrap_or_else(|| "X could not use the file".into());
                    return Err(SendError::new(Class::Content, "media-failed", words));
                }
                _ if polls >= POLLS => {
                    let after = processing.check_after_secs.unwrap_or(CHECK_AFTER_SECONDS);
                    let after = Duration::from_secs(after.min(CHECK_AFTER_MAX_SECONDS));
                    let scope = LimitScope::Recipient;
                    let class = Class::Limited {
                        after: Some(after),
                        scope,
                    };
                    let words = "X is still working on the uploaded file";
                    return Err(SendError::new(class, "media-pending", words));
                }
                _ => {}
            }
        }
        polls += 1;
        let asked = step(api.upload_state(id, &stamps.next()), ctx).await?;
        let answer = serde_json::from_slice::<UploadAnswer>(&asked.body).ok();
        state = answer.and_then(|answer| answer.data.processing_info);
        if state.is_none() {
            // Nothing to wait for.
            return Ok(());
        }
    }
}

/// A step of an upload: nothing reaches the person by it.
async fn step(request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let response = call(request, ctx).await.map_err(harmless)?;
    if response.is_success() {
        return Ok(response);
    }
    Err(harmless(impersonal(
        error(&response, ctx.now),
        SetupScope::Message,
    )))
}

fn id_of(response: &Response, ctx: &Ctx<'_>) -> Result<String, SendError> {
    let answer = serde_json::from_slice::<UploadAnswer>(&response.body).ok();
    let id = answer.and_then(|answer| answer.data.id).map(|id| id.0);
    id.ok_or_else(|| harmless(error(response, ctx.now)))
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
    let link = Url::parse(&media.reference).map_err(|_| refused());
    let link = link?;
    let at_api = media.reference.strip_prefix(&api.base);
    let at_api = at_api.is_some_and(|rest| rest.starts_with('/'));
    let host = link.host_str().unwrap_or_default();
    let secure = link.scheme() == "https";
    let signed = at_api || (secure && host == "ton.twitter.com");
    if !signed && !(secure && host.ends_with(".twimg.com")) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::Transport;
    use crate::kit::settings::Common;
    use crate::kit::tokens::MemoryTokens;
    use crate::model::{MessageId, Millis, Outgoing};
    use crate::twitter::config::{Settings, sandbox_settings};
    use crate::twitter::plan::plan;
    use async_trait::async_trait;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    type Step = Result<Response, TransportError>;

    /// Answers in order; links are of so many bytes, or fail.
    struct Fake {
        steps: Mutex<Vec<Step>>,
        asked: Mutex<Vec<Request>>,
        linked: Result<usize, TransportError>,
    }

    #[async_trait]
    impl Transport for Fake {
        async fn call(&self, request: Request) -> Step {
            self.asked.lock().unwrap().push(request);
            self.steps.lock().unwrap().remove(0)
        }

        async fn fetch_public(&self, _: &str, _: usize) -> Result<Media, TransportError> {
            self.linked.clone().map(|length| Media {
                bytes: vec![0; length].into(),
                mime: None,
                name: None,
            })
        }
    }

    impl Fake {
        fn new(linked: Result<usize, TransportError>, steps: Vec<Step>) -> Self {
            Self {
                steps: Mutex::new(steps),
                asked: Mutex::default(),
                linked,
            }
        }

        fn paths(&self) -> Vec<String> {
            let asked = self.asked.lock().unwrap();
            let path = |request: &Request| request.url.replace("https://api.x.com/2/", "");
            asked.iter().map(path).collect()
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
        let common = Common {
            id: "shop".into(),
            api_base: None,
            webhook_url: "https://gw.example.net/webhooks/shop".into(),
        };
        Api::new(&common, Settings::read(sandbox_settings()).unwrap())
    }

    fn file(name: &str) -> Part {
        let mut message = Outgoing::new(MessageId(1), "1500000000000000002");
        let link = format!("https://files.example.net/{name}");
        message.attachments = vec![OutgoingAttachment::new(name, link)];
        plan(&message).unwrap().remove(0)
    }

    fn ok(body: &str) -> Step {
        Ok(Response::json(200, body))
    }

    const UPLOAD: &str = r#"{"data":{"id":"77"}}"#;
    const WORKING: &str = r#"{"data":{"id":"77","processing_info":{"state":"in_progress","check_after_secs":9}}}"#;
    const DONE: &str = r#"{"data":{"id":"77","processing_info":{"state":"succeeded"}}}"#;
    const SENT: &str = r#"{"data":{"dm_conversation_id":"1-2","dm_event_id":"88"}}"#;

    #[test]
    fn an_upload_that_takes_long_is_remembered() {
        let tokens = MemoryTokens::default();
        let ctx = |fake| Ctx {
            tokens: &tokens,
            ..Ctx::new(fake, Millis(0))
        };
        let steps = vec![ok(UPLOAD), ok("{}"), ok(WORKING), ok(WORKING), ok(WORKING), ok(WORKING)];
        let fake = Fake::new(Ok(5), steps);
        let error = run(deliver(&api(), &file("a.mp4"), &ctx(&fake))).unwrap_err();
        let after = Some(Duration::from_secs(9));
        let scope = LimitScope::Recipient;
        assert_eq!(error.class, Class::Limited { after, scope });
        assert!(fake.steps.lock().unwrap().is_empty());

        let fake = Fake::new(Ok(5), vec![ok(WORKING), ok(DONE), ok(SENT)]);
        let receipt = run(deliver(&api(), &file("a.mp4"), &ctx(&fake))).unwrap();
        assert_eq!(receipt.platform_ids, ["88"]);
        let state = "media/upload?command=STATUS&media_id=77";
        let send = "dm_conversations/with/1500000000000000002/messages";
        assert_eq!(fake.paths(), [state, state, send]);
    }

    #[test]
    fn large_files_go_in_pieces_and_too_large_ones_as_links() {
        let steps = vec![ok(UPLOAD), ok("{}"), ok("{}"), ok(UPLOAD), ok(SENT)];
        let fake = Fake::new(Ok(CHUNK_BYTES + 1), steps);
        run(deliver(&api(), &file("a.gif"), &Ctx::new(&fake, Millis(0)))).unwrap();
        assert_eq!(fake.paths().len(), 5);
        for linked in [Ok(0), Ok(5 * 1024 * 1024 + 1), Err(TransportError::TooLarge(1))] {
            let fake = Fake::new(linked, vec![ok(SENT)]);
            run(deliver(&api(), &file("a.jpg"), &Ctx::new(&fake, Millis(0)))).unwrap();
        }
    }

    #[test]
    fn nothing_is_in_doubt_before_the_send() {
        let lost = || Err(TransportError::NoAnswer("reset".into()));
        let forbidden = r#"{"title":"Forbidden","detail":"no","type":"about:blank"}"#;
        let setup = Class::Setup {
            scope: SetupScope::Message,
        };
        let cases = [
            (Err(TransportError::NoAnswer("x".into())), vec![], Class::Retry),
            (Err(TransportError::Blocked("x".into())), vec![], Class::Content),
            (Ok(5), vec![lost()], Class::Retry),
            (Ok(5), vec![Ok(Response::empty(500))], Class::Retry),
            (Ok(5), vec![ok("{}")], Class::Retry),
            (Ok(5), vec![Ok(Response::json(403, forbidden))], setup),
            (Ok(5), vec![ok(UPLOAD), lost()], Class::Unsure),
            (Ok(5), vec![ok(UPLOAD), Ok(Response::json(403, forbidden))], Class::Recipient),
        ];
        for (i, (linked, steps, class)) in cases.into_iter().enumerate() {
            let fake = Fake::new(linked, steps);
            let error = run(deliver(&api(), &file("a.jpg"), &Ctx::new(&fake, Millis(0))));
            assert_eq!(error.unwrap_err().class, class, "case {i}");
        }
    }

    #[test]
    fn every_request_is_signed_with_a_nonce_of_its_own() {
        let fake = Fake::new(Ok(5), vec![ok(UPLOAD), ok(SENT)]);
        run(deliver(&api(), &file("a.jpg"), &Ctx::new(&fake, Millis(0)))).unwrap();
        let asked = fake.asked.lock().unwrap();
        let nonces: Vec<String> = asked
            .iter()
            .map(|request| match &request.auth {
                crate::kit::http::Auth::Header { value, .. } => {
                    let nonce = value.expose().split("oauth_nonce=").nth(1).unwrap();
                    nonce.split(',').next().unwrap().to_owned()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_ne!(nonces[0], nonces[1]);
    }

    #[test]
    fn files_are_fetched_from_x_alone() {
        let cases = [
            ("https://ton.twitter.com/1.1/ton/data/dm/1/2/a.jpg", Some(true)),
            ("https://video.twimg.com/a.mp4", Some(false)),
            ("https://api.x.com/2/dm_conversations/media/1/2/a.jpg", Some(true)),
            ("http://ton.twitter.com/a.jpg", None),
            ("https://twimg.com.example/a.jpg", None),
            ("https://api.x.com.example/a.jpg", None),
            ("file:///etc/passwd", None),
        ];
        for (link, signed) in cases {
            let fake = Fake::new(Ok(1), vec![ok("x")]);
            let fetched = run(fetch_media(&api(), &MediaRef::new(link), &Ctx::new(&fake, Millis(0))));
            let asked = fake.asked.lock().unwrap();
            let was = asked.first().map(|r| !matches!(r.auth, crate::kit::http::Auth::None));
            assert_eq!(was, signed, "{link}");
            assert_eq!(fetched.is_ok(), signed.is_some(), "{link}");
        }
    }

    #[test]
    fn a_probe_names_the_account_and_knows_a_wrong_one() {
        let me = |id: &str| ok(&format!(r#"{{"data":{{"id":"{id}","username":"shop"}}}}"#));
        let steps = vec![me("1500000000000000001"), me("5"), Ok(Response::empty(401))];
        let fake = Fake::new(Ok(1), steps);
        let probe = || run(probe(&api(), &Ctx::new(&fake, Millis(0))));
        assert_eq!(probe().unwrap().account, "@shop (1500000000000000001)");
        assert_eq!(probe().unwrap_err().class.name(), "setup");
        assert_eq!(probe().unwrap_err().class, Class::Credentials);
    }

    #[test]
    fn a_profile_is_fetched_when_it_is_asked_for() {
        let body = r#"{"data":{"id":"5","name":"Ada Exempel","username":"ada"}}"#;
        let fake = Fake::new(Ok(1), vec![ok(body)]);
        let effect = Effect::FetchProfile { user: "5".into() };
        let sender = run(perform(&api(), &effect, &Ctx::new(&fake, Millis(0))));
        let sender = sender.unwrap().unwrap();
        assert_eq!(sender.ids, ["5"]);
        assert_eq!(sender.profile.last_name.as_deref(), Some("Exempel"));
    }
}
