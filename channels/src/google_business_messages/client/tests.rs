//! Tokens, words in place of cards, and pictures, over transports that answer in order.

use super::*;
use crate::google_business_messages::config::{Settings, sandbox_settings};
use crate::google_business_messages::plan::plan;
use crate::kit::http::Transport;
use crate::kit::settings::Common;
use crate::kit::tokens::{MemoryTokens, Tokens};
use crate::model::{MessageId, Millis, Outgoing, OutgoingAttachment};
use async_trait::async_trait;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

type Step = Result<Response, TransportError>;

/// Answers in order.
struct Fake {
    steps: Mutex<Vec<Step>>,
    asked: Mutex<Vec<Request>>,
    tokens: MemoryTokens,
}

impl Fake {
    fn new(steps: Vec<Step>) -> Self {
        Self {
            steps: Mutex::new(steps),
            asked: Mutex::default(),
            tokens: MemoryTokens::default(),
        }
    }

    fn ctx(&self) -> Ctx<'_> {
        Ctx {
            tokens: &self.tokens,
            ..Ctx::new(self, Millis(1_795_000_100_000))
        }
    }

    /// The last words of the paths that were asked since the last time, with the token.
    fn asked(&self) -> Vec<String> {
        use crate::kit::emulator::bearer;
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let last = |r: &Request| {
            let path = r.url.split('?').next().unwrap().rsplit('/').next().unwrap();
            format!("{path} {}", bearer(r).unwrap_or("-"))
        };
        asked.iter().map(last).collect()
    }
}

#[async_trait]
impl Transport for Fake {
    async fn call(&self, request: Request) -> Step {
        self.asked.lock().unwrap().push(request);
        self.steps.lock().unwrap().remove(0)
    }

    async fn fetch_public(&self, url: &str, _: usize) -> Result<Media, TransportError> {
        Err(TransportError::Blocked(url.to_owned()))
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

fn api(api_base: Option<&str>) -> Api {
    let common = Common {
        id: "desk".into(),
        api_base: api_base.map(str::to_owned),
        webhook_url: "https://gw.example.net/webhooks/desk".into(),
    };
    Api::new(&common, Settings::read(sandbox_settings()).unwrap()).unwrap()
}

fn token(value: &str) -> Step {
    let body = format!(r#"{{"access_token":"{value}","expires_in":3599}}"#);
    Ok(Response::json(200, body))
}

fn sent() -> Step {
    Ok(Response::json(200, r#"{"messageId":"m-1"}"#))
}

fn failed(http: u16, status: &str) -> Step {
    let body = format!(r#"{{"error":{{"code":{http},"message":"words","status":"{status}"}}}}"#);
    Ok(Response::json(http, body))
}

fn part(picture: bool) -> Part {
    let mut message = Outgoing::new(MessageId(1), "c-1");
    message.text = "hi".into();
    if picture {
        let file = OutgoingAttachment::new("a.jpg", "https://files.example.net/a.jpg");
        message.attachments = vec![file];
    }
    plan(&message).unwrap().remove(0)
}

#[test]
fn a_token_is_fetched_once_and_shared() {
    let fake = Fake::new(vec![token("T1"), sent(), sent()]);
    for _ in 0..2 {
        run(deliver(&api(None), &part(false), &fake.ctx())).unwrap();
    }
    assert_eq!(fake.asked(), ["token -", "messages T1", "messages T1"]);
}

#[test]
fn a_refused_token_is_renewed_once() {
    let refused = || failed(401, "UNAUTHENTICATED");
    let fake = Fake::new(vec![token("T1"), refused(), token("T2"), sent()]);
    run(deliver(&api(None), &part(false), &fake.ctx())).unwrap();
    assert_eq!(fake.asked(), ["token -", "messages T1", "token -", "messages T2"]);
    let fake = Fake::new(vec![token("T1"), refused(), token("T2"), refused()]);
    let error = run(deliver(&api(None), &part(false), &fake.ctx())).unwrap_err();
    assert_eq!(error.class, Class::Credentials);
}

#[test]
fn while_another_worker_renews_nothing_is_asked() {
    let fake = Fake::new(vec![token("T3"), sent()]);
    let google = api(None);
    assert!(matches!(run(fake.tokens.refresh(&google.token_name, None)), Refresh::Yours));
    let error = run(deliver(&google, &part(false), &fake.ctx())).unwrap_err();
    assert_eq!(error.class, Class::Retry);
    assert!(fake.asked().is_empty());
    // The other one failed, and says so.
    run(fake.tokens.give_up(&google.token_name));
    run(deliver(&google, &part(false), &fake.ctx())).unwrap();
}

#[test]
fn an_account_that_is_refused_gives_the_refresh_back() {
    let grant = Ok(Response::json(400, r#"{"error":"invalid_grant"}"#));
    let fake = Fake::new(vec![grant, token("T1"), sent()]);
    let error = run(deliver(&api(None), &part(false), &fake.ctx())).unwrap_err();
    assert_eq!(error.class, Class::Credentials);
    run(deliver(&api(None), &part(false), &fake.ctx())).unwrap();
}

#[test]
fn what_cannot_be_shown_goes_in_words_under_the_same_id() {
    let fake = Fake::new(vec![token("T"), failed(400, "FAILED_PRECONDITION"), sent()]);
    run(deliver(&api(None), &part(true), &fake.ctx())).unwrap();
    let asked = fake.asked.lock().unwrap();
    let body = |i: usize| match &asked[i].body {
        crate::kit::http::Body::Json(text) => {
            serde_json::from_str::<serde_json::Value>(text).unwrap()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(body(1)["messageId"], body(2)["messageId"]);
    assert!(body(1)["richCard"].is_object());
    assert_eq!(body(2)["text"], "hi\nhttps://files.example.net/a.jpg");
    drop(asked);
    // Words alone cannot become plainer.
    let fake = Fake::new(vec![token("T"), failed(400, "FAILED_PRECONDITION")]);
    let error = run(deliver(&api(None), &part(false), &fake.ctx())).unwrap_err();
    assert_eq!(error.class, Class::Content);
}

#[test]
fn googles_own_host_is_gone_for_good_and_any_other_may_come_back() {
    let refused = || Err(TransportError::NotSent("connection refused".into()));
    let page = || Ok(Response::empty(404));
    for (base, step, class) in [
        (None, refused(), RETIRED),
        (None, page(), RETIRED),
        (Some("http://127.0.0.1:1"), refused(), Class::Retry),
        (Some("http://127.0.0.1:1"), failed(404, "NOT_FOUND"), Class::Recipient),
    ] {
        let fake = Fake::new(vec![token("T"), step]);
        let error = run(deliver(&api(base), &part(false), &fake.ctx())).unwrap_err();
        assert_eq!(error.class, class, "{base:?}");
    }
    let fake = Fake::new(vec![token("T")]);
    let health = run(probe(&api(None), &fake.ctx())).unwrap();
    assert!(health.account.contains("retired"), "{}", health.account);
}

#[test]
fn pictures_are_fetched_without_a_credential() {
    let link = "https://storage.googleapis.com/bucket/a?sig=1";
    let picture = Response::empty(200).with_header("content-type", "image/png; x=y");
    let moved = Response::empty(302).with_header("location", "http://10.0.0.1/a");
    let steps = vec![
        Ok(Response { body: "png".into(), ..picture }),
        Ok(moved),
        Ok(Response::empty(403)),
        Ok(Response::empty(500)),
        Err(TransportError::TooLarge(7)),
    ];
    let fake = Fake::new(steps);
    let fetch = |link: &str| run(fetch_media(&api(None), &MediaRef::new(link), &fake.ctx()));
    let media = fetch(link).unwrap();
    assert_eq!((media.bytes.as_ref(), media.mime.as_deref()), (&b"png"[..], Some("image/png")));
    let classes = [Class::Content, Class::Content, Class::Retry, Class::Content];
    for class in classes {
        assert_eq!(fetch(link).unwrap_err().class, class);
    }
    // Not Google's storage: through the guard, which refuses here.
    assert_eq!(fetch("https://stranger.example/a").unwrap_err().class, Class::Content);
    assert_eq!(fetch("no link").unwrap_err().class, Class::Content);
    assert_eq!(fake.asked(), vec!["a -"; 5]);
}

#[test]
fn effects_are_calls_about_the_conversation() {
    let fake = Fake::new(vec![token("T"), Ok(Response::json(200, "{}")), failed(404, "NOT_FOUND")]);
    let typing = Effect::ShowTyping { address: "c-1".into() };
    run(perform(&api(None), &typing, &fake.ctx())).unwrap();
    let read = Effect::MarkRead { message: "m/1".into(), address: "c-1".into() };
    let error = run(perform(&api(None), &read, &fake.ctx())).unwrap_err();
    assert_eq!(error.class, Class::Recipient);
    let asked = fake.asked.lock().unwrap();
    let base = "https://businessmessages.googleapis.com/v1/conversations/c-1";
    assert!(asked[1].url.starts_with(&format!("{base}/events?eventId=")));
    assert_eq!(asked[2].url, format!("{base}/messages/m%2F1/receipt"));
    assert_eq!(asked[2].method, crate::kit::http::Method::Patch);
}
