//! What fixtures cannot show: lost answers, sizes, uploads that take long, foreign links.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use super::*;
use crate::error::LimitScope;
use crate::kit::http::TransportError;
use crate::kit::http::Transport;
use crate::kit::settings::Common;
use crate::kit::tokens::MemoryTokens;
use crate::model::{MessageId, Millis, Outgoing, OutgoingAttachment};
use crate::twitter::config::{Settings, sandbox_settings};
use crate::twitter::plan::plan;
use crate::twitter::render::CHUNK_BYTES;
use async_trait::async_trait;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;
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

