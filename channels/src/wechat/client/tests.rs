//! Tokens and files, over transports that answer in order.

use super::*;
use crate::error::SetupScope;
use crate::kit::http::{Body, Transport, TransportError};
use crate::kit::settings::Common;
use crate::kit::tokens::{MemoryTokens, Tokens};
use crate::model::{MessageId, Millis, Outgoing};
use crate::wechat::config::{Settings, sandbox_settings};
use crate::wechat::plan::plan;
use async_trait::async_trait;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

type Step = Result<Response, TransportError>;

/// Answers in order.
struct Fake {
    steps: Mutex<Vec<Step>>,
    asked: Mutex<Vec<Request>>,
    linked: Result<Media, TransportError>,
    tokens: MemoryTokens,
}

impl Fake {
    fn new(steps: Vec<Step>) -> Self {
        Self {
            steps: Mutex::new(steps),
            asked: Mutex::default(),
            linked: Err(TransportError::Blocked("10.0.0.1".into())),
            tokens: MemoryTokens::default(),
        }
    }

    fn ctx(&self) -> Ctx<'_> {
        Ctx {
            max_media_bytes: 100,
            tokens: &self.tokens,
            ..Ctx::new(self, Millis(0))
        }
    }

    /// What was asked since the last time: paths, and the token's place.
    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let path = |r: &Request| r.url.replace("https://api.weixin.qq.com/cgi-bin/", "");
        asked.iter().map(path).collect()
    }
}

#[async_trait]
impl Transport for Fake {
    async fn call(&self, request: Request) -> Step {
        self.asked.lock().unwrap().push(request);
        self.steps.lock().unwrap().remove(0)
    }

    async fn fetch_public(&self, url: &str, _: usize) -> Result<Media, TransportError> {
        assert!(!url.contains("weixin.qq.com"));
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

fn json(body: &str) -> Step {
    Ok(Response::json(200, body))
}

fn token(value: &str) -> Step {
    json(&format!(r#"{{"access_token":"{value}","expires_in":7200}}"#))
}

fn code(code: i64) -> Step {
    json(&format!(r#"{{"errcode":{code},"errmsg":"words"}}"#))
}

fn part(file: Option<&str>) -> Part {
    let mut message = Outgoing::new(MessageId(1), "oDemoOpenId_0000000000000001");
    message.text = "hi".into();
    if let Some(name) = file {
        message.text.clear();
        let link = format!("https://files.example.net/{name}");
        message.attachments = vec![OutgoingAttachment::new(name, link)];
    }
    plan(&message).unwrap().remove(0)
}

const SEND: &str = "message/custom/send?access_token=";

#[test]
fn a_token_is_fetched_once_and_shared() {
    let fake = Fake::new(vec![token("T1"), code(0), code(0)]);
    for _ in 0..2 {
        run(deliver(&api(), &part(None), &fake.ctx())).unwrap();
    }
    let send = format!("{SEND}T1");
    assert_eq!(fake.asked(), ["stable_token", &send, &send]);
}

#[test]
fn a_refused_token_is_renewed_by_one_worker() {
    let fake = Fake::new(vec![token("T1"), code(0)]);
    run(deliver(&api(), &part(None), &fake.ctx())).unwrap();
    fake.asked();

    // Somebody else has it in hand: this one waits for another try, and asks nothing.
    assert!(matches!(
        run(fake.tokens.refresh("wechat:wx5a0db0c5a0db0c57", Some(1))),
        Refresh::Yours
    ));
    *fake.steps.lock().unwrap() = vec![code(42001)];
    let error = run(deliver(&api(), &part(None), &fake.ctx())).unwrap_err();
    assert_eq!((error.class, error.words.unwrap().code.as_str()), (Class::Retry, "token-busy"));
    assert_eq!(fake.asked(), [format!("{SEND}T1")]);
    run(fake.tokens.give_up("wechat:wx5a0db0c5a0db0c57"));

    // WeChat goes on handing out the one that it refuses: only then by force.
    *fake.steps.lock().unwrap() = vec![code(40001), token("T1"), token("T2"), code(0)];
    run(deliver(&api(), &part(None), &fake.ctx())).unwrap();
    let forced = fake.asked.lock().unwrap()[2].clone();
    assert!(matches!(&forced.body, Body::Json(b) if b.contains(r#""force_refresh":true"#)));
    let (first, second) = (format!("{SEND}T1"), format!("{SEND}T2"));
    assert_eq!(fake.asked(), [&first, "stable_token", "stable_token", &second]);

    // Refused again: that is all.
    *fake.steps.lock().unwrap() = vec![code(40014), token("T3"), code(40014)];
    let error = run(deliver(&api(), &part(None), &fake.ctx())).unwrap_err();
    assert_eq!(error.class, Class::Credentials);
    assert_eq!(fake.asked().len(), 3);
}

/// A failed renewal is over: the next worker may try, and nothing counts as perhaps sent.
#[test]
fn a_failed_renewal_says_why_and_ends() {
    let account = Class::Setup {
        scope: SetupScope::Account,
    };
    let cases = [
        (code(40125), account),
        (code(40164), account),
        (code(40001), Class::Credentials),
        (code(-1), Class::Retry),
        (json("{}"), Class::Retry),
        (Ok(Response::empty(502)), Class::Retry),
        (Err(TransportError::NoAnswer("reset".into())), Class::Retry),
    ];
    for (step, class) in cases {
        let shown = format!("{step:?}");
        let fake = Fake::new(vec![step, token("T1"), code(0)]);
        let error = run(deliver(&api(), &part(None), &fake.ctx())).unwrap_err();
        assert_eq!(error.class, class, "{shown}");
        run(deliver(&api(), &part(None), &fake.ctx())).unwrap();
    }
}

#[test]
fn only_the_send_itself_is_ever_in_doubt() {
    let lost = || Err(TransportError::NoAnswer("reading from …access_token=T1&…".into()));
    let uploaded = || json(r#"{"type":"image","media_id":"M","created_at":1}"#);
    let picture = Media {
        bytes: "jpeg".into(),
        mime: None,
        name: None,
    };
    for (steps, class) in [
        (vec![token("T1"), lost()], Class::Retry),
        (vec![token("T1"), uploaded(), lost()], Class::Unsure),
        (vec![token("T1"), uploaded(), Ok(Response::empty(500))], Class::Unsure),
        (vec![token("T1"), code(40009)], Class::Content),
        (vec![token("T1"), json(r#"{"errcode":0}"#)], Class::Retry),
        (vec![token("T1"), uploaded(), code(40007), uploaded(), code(40007)], Class::Content),
    ] {
        let fake = Fake {
            linked: Ok(picture.clone()),
            ..Fake::new(steps)
        };
        let error = run(deliver(&api(), &part(Some("a.jpg")), &fake.ctx())).unwrap_err();
        assert_eq!(error.class, class, "{error:?}");
        assert!(!format!("{error:?}").contains("T1"), "{error:?}");
        assert!(fake.steps.lock().unwrap().is_empty());
    }
}

#[test]
fn a_file_that_cannot_be_had_sends_nothing() {
    for (linked, class) in [
        (TransportError::Blocked("10.0.0.1".into()), Class::Content),
        (TransportError::TooLarge(100), Class::Content),
        (TransportError::NotSent("refused".into()), Class::Retry),
        (TransportError::NoAnswer("404".into()), Class::Retry),
    ] {
        let fake = Fake {
            linked: Err(linked),
            ..Fake::new(Vec::new())
        };
        let error = run(deliver(&api(), &part(Some("a.jpg")), &fake.ctx())).unwrap_err();
        assert_eq!(error.class, class);
        assert!(fake.asked().is_empty());
    }
}

#[test]
fn inbound_files_come_as_bytes_or_by_a_link() {
    let picture = Response {
        body: "jpeg".into(),
        ..Response::empty(200)
            .with_header("content-type", "image/jpeg")
            .with_header("content-disposition", "attachment; filename=\"abc.jpg\"")
    };
    let film = Response {
        body: "mpeg".into(),
        ..Response::empty(200).with_header("content-type", "video/mp4")
    };
    let linked = Media {
        bytes: "from elsewhere".into(),
        mime: None,
        name: None,
    };
    let link = |host: &str| json(&format!(r#"{{"video_url":"https://{host}/v/1"}}"#));
    let fake = Fake {
        linked: Ok(linked.clone()),
        ..Fake::new(vec![
            token("T1"),
            Ok(picture),
            link("api.weixin.qq.com"),
            Ok(film),
            link("vod.example.cn"),
            code(40007),
            Ok(Response::empty(503)),
        ])
    };
    let fetch = || run(fetch_media(&api(), &MediaRef::new("a b&c"), &fake.ctx()));
    let first = fetch().unwrap();
    assert_eq!((first.name.as_deref(), first.mime.as_deref()), (Some("abc.jpg"), Some("image/jpeg")));
    assert_eq!(fetch().unwrap().bytes.as_ref(), b"mpeg");
    assert_eq!(fetch().unwrap(), linked);
    assert_eq!(fetch().unwrap_err().class, Class::Content);
    assert_eq!(fetch().unwrap_err().class, Class::Retry);
    let asked = fake.asked();
    assert_eq!(asked[1], "media/get?access_token=T1&media_id=a+b%26c");
    assert_eq!(asked[3], "https://api.weixin.qq.com/v/1");
}

#[test]
fn profiles_hold_what_wechat_still_tells() {
    let follower = r#"{"subscribe":1,"openid":"o1","unionid":"u1","language":"zh_CN","remark":"VIP",
        "subscribe_scene":"ADD_SCENE_QR_CODE","qr_scene_str":""}"#;
    let fake = Fake::new(vec![
        token("T1"),
        json(follower),
        json(r#"{"subscribe":0,"openid":"o1"}"#),
        code(40003),
        json(r#"{"subscribe":1,"openid":"other"}"#),
    ]);
    let effect = Effect::FetchProfile { user: "o1".into() };
    let ask = || run(perform(&api(), &effect, &fake.ctx()));
    let sender = ask().unwrap().unwrap();
    assert_eq!(sender.ids, ["o1", "u1"]);
    assert_eq!(sender.profile.language.as_deref(), Some("zh_CN"));
    let slugs: Vec<&str> = sender.profile.details.iter().map(|(slug, ..)| slug.as_str()).collect();
    assert_eq!(slugs, ["wechat_remark", "wechat_source"]);
    assert_eq!(ask().unwrap(), None);
    assert_eq!(ask().unwrap_err().class, Class::Recipient);
    assert!(ask().is_err());
    let other = Effect::AnswerCallback { id: "1".into() };
    assert_eq!(run(perform(&api(), &other, &fake.ctx())), Ok(None));
}

#[test]
fn a_probe_tries_the_account() {
    let fake = Fake::new(vec![token("T1"), code(40125)]);
    let health = run(probe(&api(), &fake.ctx())).unwrap();
    assert_eq!(health.account, "wx5a0db0c5a0db0c57");
    assert_eq!(run(probe(&api(), &fake.ctx())).unwrap_err().class.name(), "setup");
}
