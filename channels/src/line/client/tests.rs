use super::*;
use crate::kit::http::{Auth, Body, Transport, TransportError};
use crate::kit::settings::Common;
use crate::kit::tokens::{MemoryTokens, Tokens};
use crate::line::config::{Settings, sandbox_settings};
use crate::line::plan::{capabilities, plan};
use crate::model::{MessageId, Millis, Outgoing};
use async_trait::async_trait;
use serde_json::Value;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

type Step = Result<Response, TransportError>;

const DANA: &str = "Uaaaabbbbccccddddeeeeffff00001111";

/// Answers in order.
struct Fake {
    steps: Mutex<Vec<Step>>,
    asked: Mutex<Vec<Request>>,
}

impl Fake {
    fn new(steps: Vec<Step>) -> Self {
        Self {
            steps: Mutex::new(steps),
            asked: Mutex::default(),
        }
    }

    fn paths(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let path = |r: &Request| url::Url::parse(&r.url).unwrap().path().to_owned();
        asked.iter().map(path).collect()
    }

    fn tokens(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let token = |r: &Request| match &r.auth {
            Auth::Bearer(token) => token.expose().to_owned(),
            _ => "-".to_owned(),
        };
        asked.iter().map(token).collect()
    }
}

#[async_trait]
impl Transport for Fake {
    async fn call(&self, request: Request) -> Step {
        self.asked.lock().unwrap().push(request);
        self.steps.lock().unwrap().remove(0)
    }

    async fn fetch_public(&self, url: &str, _: usize) -> Result<Media, TransportError> {
        if url.contains("10.0.0.1") {
            return Err(TransportError::Blocked("10.0.0.1".into()));
        }
        Ok(Media {
            bytes: "theirs".into(),
            mime: Some("image/png".into()),
            name: None,
        })
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

fn api(keys: Value) -> Api {
    let mut settings = sandbox_settings();
    let fields = settings.as_object_mut().unwrap();
    fields.extend(keys.as_object().unwrap().clone());
    let common = Common {
        id: "desk".into(),
        api_base: None,
        webhook_url: "https://gw.example.net/webhooks/desk".into(),
    };
    Api::new(&common, &Settings::read(settings).unwrap())
}

fn part(api: &Api) -> Part {
    let mut message = Outgoing::new(MessageId(1), DANA);
    message.text = "hello".into();
    plan(&message, &capabilities(api.settings())).unwrap().remove(0)
}

fn json(status: u16, body: &str) -> Step {
    Ok(Response::json(status, body))
}

fn sent() -> Step {
    json(200, r#"{"sentMessages":[{"id":"9","quoteToken":"q9"}]}"#)
}

fn no_answer() -> Step {
    Err(TransportError::NoAnswer("reset".into()))
}

fn no_token() -> Step {
    json(400, r#"{"message":"Invalid reply token"}"#)
}

/// Each outcome of a reply, and of its repetition.
#[test]
fn a_reply_is_sent_once_or_in_doubt() {
    const REPLY: &str = "/v2/bot/message/reply";
    const PUSH: &str = "/v2/bot/message/push";
    let api = api(json!({}));
    let receipt = || Ok("9".to_owned());
    let proven = || Ok(format!("reply:{}", retry_key(&part(&api), false)));
    let refused = || Err(TransportError::NotSent("refused".into()));
    let busy = || json(429, r#"{"message":"The API rate limit has been exceeded."}"#);
    let limited = Class::Limited {
        after: None,
        scope: crate::error::LimitScope::Lane,
    };
    let unauthorised = || json(401, r#"{"message":"Authentication failed"}"#);
    type Case<'a> = (Vec<Step>, Result<String, Class>, &'a [&'a str]);
    let cases: Vec<Case<'_>> = vec![
        (vec![sent()], receipt(), &[REPLY]),
        (vec![no_token(), sent()], receipt(), &[REPLY, PUSH]),
        (vec![no_token(), no_answer()], Err(Class::Unsure), &[REPLY, PUSH]),
        (vec![refused()], Err(Class::Retry), &[REPLY]),
        (vec![busy()], Err(limited), &[REPLY]),
        (vec![no_answer(), sent()], receipt(), &[REPLY, REPLY]),
        (vec![no_answer(), no_token()], proven(), &[REPLY, REPLY]),
        (vec![no_answer(), no_answer()], Err(Class::Unsure), &[REPLY, REPLY]),
        // What says nothing of the first attempt leaves it in doubt.
        (vec![no_answer(), refused()], Err(Class::Unsure), &[REPLY, REPLY]),
        (vec![no_answer(), busy()], Err(Class::Unsure), &[REPLY, REPLY]),
        (vec![no_answer(), unauthorised()], Err(Class::Unsure), &[REPLY, REPLY]),
        (vec![json(503, ""), json(503, "")], Err(Class::Unsure), &[REPLY, REPLY]),
        (vec![json(200, "<html>"), no_token()], proven(), &[REPLY, REPLY]),
        // Refused for what is in it: so was the first.
        (vec![no_answer(), json(400, r#"{"message":"x"}"#)], Err(Class::Content), &[REPLY, REPLY]),
    ];
    for (i, (steps, expected, paths)) in cases.into_iter().enumerate() {
        let fake = Fake::new(steps);
        let ctx = Ctx {
            reply_token: Some("rt".into()),
            ..Ctx::new(&fake, Millis(0))
        };
        let outcome = run(deliver(&api, &part(&api), &ctx));
        let outcome = outcome.map(|r| r.platform_ids.concat()).map_err(|e| e.class);
        assert_eq!(outcome, expected, "case {i}");
        assert_eq!(fake.paths(), paths, "case {i}");
        assert!(fake.steps.lock().unwrap().is_empty(), "case {i}");
    }
}

/// A token that was refused is not taken for used when the part goes again without its quote.
#[test]
fn a_dead_token_is_not_asked_twice() {
    let api = api(json!({}));
    let bad_quote = r#"{"message":"Invalid quote token"}"#;
    let fake = Fake::new(vec![no_token(), json(400, bad_quote), sent()]);
    let ctx = Ctx {
        reply_token: Some("rt".into()),
        quote_token: Some("q".into()),
        ..Ctx::new(&fake, Millis(0))
    };
    let part = Part {
        reply_to: Some("500".into()),
        ..part(&api)
    };
    assert_eq!(run(deliver(&api, &part, &ctx)).unwrap().platform_ids, ["9"]);
    assert!(fake.paths().iter().skip(1).all(|path| path.ends_with("/push")));
    let asked = fake.asked.lock().unwrap();
    let keys: Vec<_> = asked.iter().map(|r| r.headers.get("x-line-retry-key")).collect();
    assert_eq!(keys[0], None);
    assert_ne!(keys[1], keys[2], "another body has another key");
}

#[test]
fn contents_come_with_the_token_and_links_of_others_without() {
    let api = api(json!({}));
    let film = Response {
        body: "mp4".into(),
        ..Response::empty(200).with_header("content-type", "video/mp4; x=y")
    };
    let fake = Fake::new(vec![Ok(film)]);
    let ctx = Ctx::new(&fake, Millis(0));
    let media = run(fetch_media(&api, &MediaRef::new("500"), &ctx)).unwrap();
    assert_eq!((media.bytes.as_ref(), media.mime.as_deref()), (&b"mp4"[..], Some("video/mp4")));
    let asked = fake.asked.lock().unwrap();
    assert_eq!(asked[0].url, "https://api-data.line.me/v2/bot/message/500/content");
    let theirs = |url: &str| MediaRef {
        reference: url.into(),
        scope: Some(EXTERNAL.into()),
    };
    let media = run(fetch_media(&api, &theirs("https://x.example/a"), &ctx)).unwrap();
    assert_eq!(media.bytes.as_ref(), b"theirs");
    let blocked = run(fetch_media(&api, &theirs("https://10.0.0.1/a"), &ctx)).unwrap_err();
    assert_eq!(blocked.class, Class::Content);
    assert_eq!(asked.len(), 1, "their servers are not asked by us");
}

#[test]
fn contents_that_are_not_there_say_why() {
    let api = api(json!({}));
    let status = |status: &str| json(200, &format!(r#"{{"status":"{status}"}}"#));
    let cases = [
        ("500", vec![json(202, ""), status("processing")], "retry"),
        ("500", vec![json(202, ""), status("succeeded")], "retry"),
        ("500", vec![json(202, ""), no_answer()], "retry"),
        ("500", vec![json(202, ""), status("failed")], "content"),
        ("500", vec![json(404, r#"{"message":"Not found"}"#)], "content"),
        ("500", vec![json(410, "")], "content"),
        ("500", vec![json(500, "")], "retry"),
        ("500", vec![no_answer()], "retry"),
        (
            "500",
            vec![Err(TransportError::TooLarge(5))],
            "content",
        ),
        ("500", vec![json(401, "{}")], "credentials"),
        ("../profile", vec![], "setup"),
        ("", vec![], "setup"),
    ];
    for (id, steps, class) in cases {
        let fake = Fake::new(steps);
        let ctx = Ctx::new(&fake, Millis(0));
        let error = run(fetch_media(&api, &MediaRef::new(id), &ctx)).unwrap_err();
        assert_eq!(error.class.name(), class, "{id}: {error:?}");
        assert!(fake.steps.lock().unwrap().is_empty(), "{id}");
    }
}

#[test]
fn effects_ask_what_they_say() {
    let api = api(json!({"loading_seconds": 30}));
    let group = "C0123456789abcdef0123456789abcdef";
    let someone = format!(r#"{{"userId":"{DANA}","displayName":"Dana","pictureUrl":"https://p.example/d","statusMessage":"hi","language":"en"}}"#);
    let fetch = |user: String| Effect::FetchProfile { user };
    let typing = Effect::ShowTyping {
        address: DANA.into(),
    };
    let read = Effect::MarkRead {
        message: "token".into(),
        address: DANA.into(),
    };
    let fake = Fake::new(vec![
        json(200, &someone),
        json(200, &someone),
        json(404, r#"{"message":"Not found"}"#),
        json(202, "{}"),
        json(200, "{}"),
    ]);
    let ctx = Ctx::new(&fake, Millis(0));
    let sender = run(perform(&api, &fetch(DANA.into()), &ctx)).unwrap().unwrap();
    assert_eq!(sender.ids, [DANA]);
    assert_eq!(sender.profile.first_name.as_deref(), Some("Dana"));
    assert_eq!(sender.profile.image_url.as_deref(), Some("https://p.example/d"));
    assert_eq!(sender.profile.details[0].2, "hi");
    assert!(run(perform(&api, &fetch(format!("{group}/{DANA}")), &ctx)).unwrap().is_some());
    assert_eq!(run(perform(&api, &fetch(DANA.into()), &ctx)), Ok(None));
    assert_eq!(run(perform(&api, &fetch("../info".into()), &ctx)), Ok(None));
    assert_eq!(run(perform(&api, &typing, &ctx)), Ok(None));
    assert_eq!(run(perform(&api, &read, &ctx)), Ok(None));
    assert_eq!(
        fake.paths(),
        [
            format!("/v2/bot/profile/{DANA}"),
            format!("/v2/bot/group/{group}/member/{DANA}"),
            format!("/v2/bot/profile/{DANA}"),
            "/v2/bot/chat/loading/start".to_owned(),
            "/v2/bot/chat/markAsRead".to_owned(),
        ]
    );
    let asked = fake.asked.lock().unwrap();
    let Body::Json(body) = &asked[3].body else {
        panic!("{:?}", asked[3])
    };
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, json!({"chatId": DANA, "loadingSeconds": 30}));
}

#[test]
fn a_probe_names_the_account_and_knows_its_own() {
    let bot = "U1234567890abcdef1234567890abcdef";
    let info = format!(r#"{{"userId":"{bot}","basicId":"@shop","displayName":"Shop"}}"#);
    let steps = || vec![json(200, &info), json(401, "{}"), json(200, "<html>")];
    let fake = Fake::new(steps());
    let ctx = Ctx::new(&fake, Millis(0));
    let ours = api(json!({"bot_user_id": bot}));
    assert_eq!(run(probe(&ours, &ctx)).unwrap().account, "Shop (@shop)");
    assert_eq!(run(probe(&ours, &ctx)).unwrap_err().class, Class::Credentials);
    assert_eq!(run(probe(&ours, &ctx)).unwrap_err().class, Class::Retry);
    let other = api(json!({"bot_user_id": "U00000000000000000000000000000001"}));
    let fake = Fake::new(steps());
    let error = run(probe(&other, &Ctx::new(&fake, Millis(0)))).unwrap_err();
    assert_eq!(error.class.name(), "setup");
}

fn issued(token: &str) -> Step {
    json(200, &format!(r#"{{"access_token":"{token}","expires_in":899,"token_type":"Bearer"}}"#))
}

#[test]
fn an_issued_token_is_kept_and_renewed_once() {
    let api = api(json!({"token_kind": "stateless", "channel_id": "77"}));
    let fake = Fake::new(vec![
        issued("one"),
        sent(),
        sent(),
        json(401, "{}"),
        issued("two"),
        sent(),
        json(401, "{}"),
        issued("three"),
        json(401, "{}"),
    ]);
    let tokens = MemoryTokens::default();
    let ctx = Ctx {
        tokens: &tokens,
        ..Ctx::new(&fake, Millis(0))
    };
    for _ in 0..3 {
        run(deliver(&api, &part(&api), &ctx)).unwrap();
    }
    let error = run(deliver(&api, &part(&api), &ctx)).unwrap_err();
    assert_eq!(error.class, Class::Credentials);
    assert_eq!(
        fake.tokens(),
        ["-", "one", "one", "one", "-", "two", "two", "-", "three"]
    );
}

#[test]
fn a_token_that_is_not_issued_is_asked_for_again_later() {
    let api = api(json!({"token_kind": "short_lived", "channel_id": "77"}));
    let bad = r#"{"error":"invalid_client","error_description":"invalid client_id"}"#;
    let tokens = MemoryTokens::default();
    let cases = [
        (vec![json(400, bad)], Class::Credentials),
        (vec![json(500, "")], Class::Retry),
        (vec![no_answer()], Class::Retry),
        (vec![json(200, r#"{"access_token":"a b","expires_in":1}"#)], Class::Retry),
    ];
    for (steps, class) in cases {
        let fake = Fake::new(steps);
        let ctx = Ctx {
            tokens: &tokens,
            ..Ctx::new(&fake, Millis(0))
        };
        let error = run(deliver(&api, &part(&api), &ctx)).unwrap_err();
        assert_eq!(error.class, class, "{error:?}");
    }
    // Nobody holds the refresh any longer, until somebody does.
    let refresh = run(tokens.refresh(&api.token_name, None));
    assert!(matches!(refresh, crate::kit::tokens::Refresh::Yours));
    let fake = Fake::new(vec![]);
    let ctx = Ctx {
        tokens: &tokens,
        ..Ctx::new(&fake, Millis(0))
    };
    let error = run(deliver(&api, &part(&api), &ctx)).unwrap_err();
    assert_eq!(error.class, Class::Retry);
    assert!(fake.paths().is_empty());
}
