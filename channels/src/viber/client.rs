//! The only file that does I/O, and only through [`Ctx`].

use super::classify::{Remedy, answer, classify, error, remedy};
use super::render::{Api, FILE_MAX_BYTES, How, form, render};
use super::wire::Account;
use crate::error::{Class, SendError};
use crate::kit::http::{Ctx, Request, Response, TransportError};
use crate::kit::status::{default_error, transport_error};
use crate::model::{Health, Media, MediaRef, OutgoingAttachment, Part, PartBody, Receipt};
use serde_json::json;
use url::Url;

/// Sends one part: as planned and, where Viber refuses it for something that can be changed, once
/// more with that changed. A refused request did nothing, so nothing goes out twice.
///
/// # Errors
/// With the class that decides what happens next.
///
/// # Cancel safety
/// A cancelled delivery may have been made: it counts as unsure.
pub async fn deliver(api: &Api, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    let mut how = How {
        size: size(part, ctx).await?,
        ..How::default()
    };
    let mut webhook_set = false;
    loop {
        let response = call(render(part, api, &how), ctx).await?;
        let before = (how.clone(), webhook_set);
        match remedy(&response) {
            Some(Remedy::SetWebhook) if !webhook_set => {
                set_webhook(api, ctx).await?;
                webhook_set = true;
            }
            // A plain text without a keyboard is as plain as can be.
            Some(Remedy::Plain) => how.plain |= !is_plain(part),
            Some(Remedy::AnyClient) => how.any_client |= api.settings.min_api_version > 1,
            _ => {}
        }
        // Every change is one that a second refusal cannot ask for again: the loop ends.
        if before == (how.clone(), webhook_set) {
            return classify(&response);
        }
    }
}

fn is_plain(part: &Part) -> bool {
    matches!(part.body, PartBody::Text { .. }) && part.choices.is_empty()
}

/// The true size of a part's attachment, which Viber wants to be told of films and files. `None`: it
/// does not want to, or the file is larger than we or Viber take, so that its link goes instead.
async fn size(part: &Part, ctx: &Ctx<'_>) -> Result<Option<u64>, SendError> {
    let PartBody::Media { attachment, .. } = &part.body else {
        return Ok(None);
    };
    if !form(attachment).is_measured() {
        return Ok(None);
    }
    measure(attachment, ctx).await
}

async fn measure(
    attachment: &OutgoingAttachment,
    ctx: &Ctx<'_>,
) -> Result<Option<u64>, SendError> {
    let viber = usize::try_from(FILE_MAX_BYTES).unwrap_or(usize::MAX);
    let max = ctx.max_media_bytes.min(viber);
    match ctx.transport.fetch_public(&attachment.url, max).await {
        Ok(media) => Ok(Some(media.bytes.len() as u64)),
        Err(TransportError::TooLarge(_)) => Ok(None),
        // Nothing was sent to Viber yet.
        Err(failed) => Err(harmless(transport_error(&failed))),
    }
}

/// Tells Viber where to post.
async fn set_webhook(api: &Api, ctx: &Ctx<'_>) -> Result<(), SendError> {
    let response = call(api.set_webhook(), ctx).await.map_err(harmless)?;
    let done = answer(&response).is_some_and(|a| a.status == 0 && response.is_success());
    if done {
        Ok(())
    } else {
        Err(harmless(error(&response)))
    }
}

/// Fetches the bytes of an inbound file: a plain link that is good for an hour.
///
/// # Errors
/// `Retry` for what may be better next time: nothing is changed by asking twice.
pub async fn fetch_media(media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError> {
    let link = Url::parse(&media.reference).ok();
    let Some(link) = link.filter(|link| matches!(link.scheme(), "http" | "https")) else {
        let words = "the reference is no link";
        return Err(SendError::new(Class::Content, "no-link", words));
    };
    // The link comes from Viber, in a signed event, and gets no credential.
    let mut request = Request::get(link.as_str()).with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
    request.max_response_bytes = ctx.max_media_bytes;
    let response = call(request, ctx).await.map_err(harmless)?;
    if (300..400).contains(&response.status) {
        let target = response.headers.get("location");
        let target = target.and_then(|target| link.join(target).ok());
        let Some(target) = target else {
            return Err(harmless(default_error(&response)));
        };
        let fetched = ctx.transport.fetch_public(target.as_str(), ctx.max_media_bytes);
        return fetched.await.map_err(|e| harmless(transport_error(&e)));
    }
    match response.status {
        200..=299 => {}
        // The hour is over, or the sticker has no picture.
        401 | 403 | 404 | 410 => {
            let words = "the link is not, or no longer, good";
            let code = response.status.to_string();
            return Err(SendError::new(Class::Content, code, words));
        }
        _ => return Err(harmless(default_error(&response))),
    }
    let mime = response.headers.get("content-type").map(|mime| {
        let mime = mime.split(';').next().unwrap_or(mime);
        mime.trim().to_owned()
    });
    let guess = || {
        let guess = mime_guess::from_path(link.path()).first();
        guess.map(|mime| mime.essence_str().to_owned())
    };
    Ok(Media {
        mime: mime
            .filter(|mime| !mime.is_empty() && mime != "application/octet-stream")
            .or_else(guess),
        name: None,
        bytes: response.body,
    })
}

/// Asks which bot the token belongs to, and where its events go.
///
/// # Errors
/// When the token does not work, or Viber cannot be asked.
pub async fn probe(api: &Api, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    let request = api.call("get_account_info", &json!({}));
    let response = call(request, ctx).await.map_err(harmless)?;
    let done = answer(&response).is_some_and(|a| a.status == 0 && response.is_success());
    let account: Option<Account> = serde_json::from_slice(&response.body).ok();
    let Some(account) = account.filter(|_| done) else {
        return Err(harmless(error(&response)));
    };
    let name = account.name.unwrap_or_else(|| account.id.clone());
    let uri = account.uri.unwrap_or(account.id);
    // Sends work whatever the webhook is; that nothing comes in is worth a word all the same.
    let webhook = account.webhook.unwrap_or_default();
    let remark = match webhook.as_str() {
        "" => ", no webhook is set",
        url if url == api.webhook_url => "",
        _ => ", its webhook is another URL",
    };
    Ok(Health {
        account: format!("{name} ({uri}){remark}"),
    })
}

async fn call(request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let answered = ctx.transport.call(request).await;
    answered.map_err(|failed| transport_error(&failed))
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
    use crate::kit::http::{Body, Transport};
    use crate::kit::settings::Common;
    use crate::model::{MessageId, Millis, Outgoing};
    use crate::viber::config::{Settings, sandbox_settings};
    use crate::viber::plan::plan;
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

    fn fake(linked: Result<usize, TransportError>, steps: Vec<Step>) -> Fake {
        Fake {
            steps: Mutex::new(steps),
            asked: Mutex::default(),
            linked,
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
            id: "acme".into(),
            api_base: None,
            webhook_url: "https://gw.example.net/webhooks/acme".into(),
        };
        Api::new(&common, Settings::read(sandbox_settings()).unwrap())
    }

    fn file(name: &str) -> Part {
        let mut message = Outgoing::new(MessageId(1), "A1b2C3d4E5f6G7h8I9j0Kg==");
        let link = format!("https://files.example.net/{name}");
        message.attachments = vec![OutgoingAttachment::new(name, link)];
        plan(&message).unwrap().remove(0)
    }

    fn json(status: u16, body: &str) -> Step {
        Ok(Response::json(status, body))
    }

    const SENT: &str = r#"{"status":0,"status_message":"ok","message_token":7}"#;

    #[test]
    fn a_file_goes_as_what_its_size_allows() {
        let mb = 1024 * 1024;
        let cases = [
            ("a.mp4", Ok(26 * mb), "video"),
            ("a.mp4", Ok(26 * mb + 1), "file"),
            ("a.mp4", Err(TransportError::TooLarge(1)), "url"),
            ("a.pdf", Ok(50 * mb), "file"),
            ("a.pdf", Ok(50 * mb + 1), "url"),
            ("a.pdf", Err(TransportError::TooLarge(1)), "url"),
        ];
        for (name, linked, kind) in cases {
            let fake = fake(linked, vec![json(200, SENT)]);
            run(deliver(&api(), &file(name), &Ctx::new(&fake, Millis(0)))).unwrap();
            let asked = fake.asked.lock().unwrap();
            let Body::Json(body) = &asked[0].body else {
                panic!()
            };
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["type"], kind, "{name}");
        }
    }

    #[test]
    fn a_link_that_cannot_be_measured_sends_nothing() {
        let cases = [
            (TransportError::NotSent("refused".into()), Class::Retry),
            (TransportError::NoAnswer("reset".into()), Class::Retry),
            (TransportError::Blocked("10.0.0.1".into()), Class::Content),
        ];
        for (failed, class) in cases {
            let fake = fake(Err(failed), Vec::new());
            let error = run(deliver(&api(), &file("a.pdf"), &Ctx::new(&fake, Millis(0))));
            assert_eq!(error.unwrap_err().class, class);
            assert!(fake.asked.lock().unwrap().is_empty());
        }
    }

    #[test]
    fn a_send_without_an_answer_is_unsure_and_a_webhook_is_not() {
        let lost = || Err(TransportError::NoAnswer("reset".into()));
        let not_set = || json(200, r#"{"status":10,"status_message":"webhookNotSet"}"#);
        let cases = [
            (vec![lost()], Class::Unsure),
            (vec![not_set(), lost()], Class::Retry),
            (vec![not_set(), json(200, r#"{"status":0}"#), lost()], Class::Unsure),
        ];
        for (steps, class) in cases {
            let fake = fake(Ok(1), steps);
            let error = run(deliver(&api(), &file("a.jpg"), &Ctx::new(&fake, Millis(0))));
            assert_eq!(error.unwrap_err().class, class);
            assert!(fake.steps.lock().unwrap().is_empty());
        }
    }

    #[test]
    fn a_probe_names_the_bot_and_says_where_its_events_go() {
        let account = |webhook: &str| {
            let body = format!(
                r#"{{"status":0,"id":"pa:1","name":"Acme","uri":"acme","webhook":"{webhook}"}}"#
            );
            json(200, &body)
        };
        let steps = vec![
            account("https://gw.example.net/webhooks/acme"),
            account(""),
            account("https://elsewhere.example/"),
            json(200, r#"{"status":2,"status_message":"invalidAuthToken"}"#),
            json(200, "{}"),
        ];
        let fake = fake(Ok(1), steps);
        let probe = || run(probe(&api(), &Ctx::new(&fake, Millis(0))));
        assert_eq!(probe().unwrap().account, "Acme (acme)");
        assert_eq!(probe().unwrap().account, "Acme (acme), no webhook is set");
        assert_eq!(probe().unwrap().account, "Acme (acme), its webhook is another URL");
        assert_eq!(probe().unwrap_err().class, Class::Credentials);
        assert_eq!(probe().unwrap_err().class, Class::Retry);
    }

    #[test]
    fn media_come_without_credentials_and_by_one_redirection() {
        let moved = Response::empty(302).with_header("location", "/b.jpg");
        let picture = Response {
            body: "x".into(),
            ..Response::empty(200).with_header("content-type", "image/jpeg; q=1")
        };
        let fake = fake(Ok(3), vec![Ok(picture), Ok(moved), Ok(Response::empty(404)), Ok(Response::empty(502))]);
        let fetch = || {
            let media = MediaRef::new("https://media.example.net/a.jpg");
            run(fetch_media(&media, &Ctx::new(&fake, Millis(0))))
        };
        assert_eq!(fetch().unwrap().mime.as_deref(), Some("image/jpeg"));
        assert_eq!(fetch().unwrap().bytes.len(), 3);
        assert_eq!(fetch().unwrap_err().class, Class::Content);
        assert_eq!(fetch().unwrap_err().class, Class::Retry);
        let asked = fake.asked.lock().unwrap();
        assert!(asked.iter().all(|r| matches!(r.auth, crate::kit::http::Auth::None)));
    }
}
