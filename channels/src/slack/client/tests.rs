use super::*;
use crate::kit::http::{Auth, Body, Transport, TransportError};
use crate::kit::settings::Common;
use crate::kit::tokens::MemoryTokens;
use crate::model::{Found, Media, MediaRef, MessageId, Millis, Outgoing, OutgoingAttachment, Question};
use crate::slack::config::{Settings, sandbox_settings};
use crate::slack::plan::plan;
use async_trait::async_trait;
use serde_json::Value;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

type Step = Result<Response, TransportError>;

/// Answers in order; the links of callers are answered alike.
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
            linked: Ok(Media {
                bytes: "content".into(),
                mime: None,
                name: None,
            }),
            tokens: MemoryTokens::default(),
        }
    }

    fn methods(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let last = |r: &Request| r.shown_url().rsplit('/').next().unwrap_or_default().to_owned();
        asked.iter().map(last).collect()
    }

    fn ctx(&self) -> Ctx<'_> {
        Ctx {
            max_media_bytes: 100,
            tokens: &self.tokens,
            ..Ctx::new(self, Millis(1_795_000_100_000))
        }
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
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
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
    Api::new(&common, settings)
}

fn ok(fields: Value) -> Step {
    let mut body = json!({"ok": true});
    if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
        body.extend(fields);
    }
    Ok(Response::json(200, body.to_string()))
}

fn no(error: &str) -> Step {
    Ok(Response::json(200, json!({"ok": false, "error": error}).to_string()))
}

fn lost() -> Step {
    Err(TransportError::NoAnswer("reset".into()))
}

fn part(to: &str, text: &str, file: Option<&str>) -> Part {
    let settings = Settings::read(sandbox_settings()).unwrap();
    let mut message = Outgoing::new(MessageId(1), to);
    message.text = text.to_owned();
    let link = |name| OutgoingAttachment::new(name, format!("https://files.example.net/{name}"));
    message.attachments = file.map(link).into_iter().collect();
    plan(&settings, &message).unwrap().remove(0)
}

fn upload_steps() -> Vec<Step> {
    let link = "https://files.slack.com/upload/v1/abc";
    vec![
        ok(json!({"upload_url": link, "file_id": "F0A"})),
        Ok(Response {
            body: "OK - 7".into(),
            ..Response::empty(200)
        }),
    ]
}

#[test]
fn the_token_goes_to_slack_and_not_with_the_bytes() {
    let mut steps = upload_steps();
    steps.push(ok(json!({"files": [{"id": "F0A"}]})));
    steps.push(ok(json!({"file": {"id": "F0A", "shares": {"private": {"G0X": [{"ts": "1.1"}, {"ts": "1.2"}]}}}})));
    let fake = Fake::new(steps);
    let receipt = run(deliver(&api(), &part("G0X", "", Some("a.pdf")), &fake.ctx())).unwrap();
    assert_eq!(receipt.platform_ids, ["G0X:1.2"]);
    let asked = fake.asked.lock().unwrap();
    let bare: Vec<bool> = asked.iter().map(|r| matches!(r.auth, Auth::None)).collect();
    assert_eq!(bare, [false, true, false, false]);
    assert!(matches!(&asked[1].body, Body::Raw(bytes) if bytes.as_ref() == b"content"));
}

#[test]
fn an_upload_that_may_have_been_posted_is_looked_for_first() {
    let mut steps = upload_steps();
    steps.push(lost());
    // It is looked for, by whoever asks for evidence and by the next attempt.
    let shared = json!({"file": {"id": "F0A", "shares": {"public": {"C0X": [{"ts": "1.2"}]}}}});
    steps.push(ok(json!({"file": {"id": "F0A", "shares": {}}})));
    steps.push(ok(shared.clone()));
    steps.push(ok(shared));
    let fake = Fake::new(steps);
    let part = part("C0X", "", Some("a.pdf"));
    let error = run(deliver(&api(), &part, &fake.ctx())).unwrap_err();
    assert_eq!(error.class, Class::Unsure);
    assert_eq!(run(find_sent(&api(), &part, &fake.ctx())).unwrap(), None);
    let found = run(find_sent(&api(), &part, &fake.ctx())).unwrap().unwrap();
    assert_eq!(found.platform_ids, ["C0X:1.2"]);
    let again = run(deliver(&api(), &part, &fake.ctx())).unwrap();
    assert_eq!(again.platform_ids, ["C0X:1.2"]);
    assert!(fake.steps.lock().unwrap().is_empty());
}

#[test]
fn before_it_is_posted_a_file_in_doubt_is_none() {
    let mut half = upload_steps();
    half[1] = lost();
    for steps in [vec![lost()], half, vec![no("internal_error")]] {
        let fake = Fake::new(steps);
        let part = part("C0X", "", Some("a.pdf"));
        let error = run(deliver(&api(), &part, &fake.ctx())).unwrap_err();
        assert_eq!(error.class, Class::Retry);
    }
}

#[test]
fn what_is_too_large_goes_as_a_link() {
    let mut fake = Fake::new(vec![ok(json!({"channel": "C0X", "ts": "1.2"}))]);
    fake.linked = Err(TransportError::TooLarge(100));
    run(deliver(&api(), &part("C0X", "", Some("a.pdf")), &fake.ctx())).unwrap();
    assert_eq!(fake.methods(), ["chat.postMessage"]);
    let asked = fake.asked.lock().unwrap();
    assert!(matches!(&asked[0].body, Body::Json(b) if b.contains("https://files.example.net/a.pdf")));
}

#[test]
fn a_message_in_doubt_is_found_by_its_metadata() {
    let other = json!({"ts": "1.1", "metadata": {"event_type": "gateway_message", "event_payload": {"id": "sb-9-0"}}});
    let ours = json!({"ts": "1.2", "metadata": {"event_type": "gateway_message", "event_payload": {"id": "sb-1-0"}}});
    let fake = Fake::new(vec![
        ok(json!({"messages": [other.clone(), ours.clone()]})),
        ok(json!({"messages": [other]})),
        ok(json!({"channel": {"id": "D0X"}})),
        ok(json!({"messages": [ours]})),
        lost(),
    ]);
    let api = api();
    let in_thread = part("C0X:1795000000.000100", "hi", None);
    let found = run(find_sent(&api, &in_thread, &fake.ctx())).unwrap().unwrap();
    assert_eq!(found.platform_ids, ["C0X:1.2"]);
    assert_eq!(run(find_sent(&api, &part("C0X", "hi", None), &fake.ctx())).unwrap(), None);
    let person = run(find_sent(&api, &part("U0X", "hi", None), &fake.ctx())).unwrap().unwrap();
    assert_eq!(person.platform_ids, ["D0X:1.2"]);
    let error = run(find_sent(&api, &part("C0X", "hi", None), &fake.ctx())).unwrap_err();
    assert_eq!(error.class, Class::Retry);
    let expected = [
        "conversations.replies",
        "conversations.history",
        "conversations.open",
        "conversations.history",
        "conversations.history",
    ];
    assert_eq!(fake.methods(), expected);
}

#[test]
fn files_are_what_the_message_said_or_refused() {
    let link = "https://files.slack.com/files-pri/T0-F0/a.pdf";
    let media = |scope: &str| MediaRef {
        reference: link.to_owned(),
        scope: Some(scope.to_owned()),
    };
    let answer = |mime: &str, body: &str| {
        Ok(Response {
            body: body.to_owned().into(),
            ..Response::empty(200).with_header("content-type", mime)
        })
    };
    let good = Fake::new(vec![answer("application/pdf", "%PDF")]);
    let got = run(fetch_media(&api(), &media("F0 application/pdf 4"), &good.ctx())).unwrap();
    assert_eq!((got.bytes.as_ref(), got.name.as_deref()), (&b"%PDF"[..], Some("a.pdf")));

    let info = json!({"file": {"id": "F0", "mimetype": "image/png", "size": 3, "url_private": link}});
    let asked = Fake::new(vec![ok(info), answer("image/png", "png")]);
    let unknown = MediaRef {
        reference: String::new(),
        scope: Some("F0 - -".into()),
    };
    let got = run(fetch_media(&api(), &unknown, &asked.ctx())).unwrap();
    assert_eq!(got.mime.as_deref(), Some("image/png"));

    let cases = [
        (answer("text/html; charset=utf-8", "<html>"), "F0 application/pdf 6", Class::Content),
        (answer("application/pdf", "%PD"), "F0 application/pdf 4", Class::Retry),
        (Ok(Response::empty(302)), "F0 application/pdf 4", Class::Content),
        (Ok(Response::empty(404)), "F0 - -", Class::Content),
        (Ok(Response::empty(500)), "F0 - -", Class::Retry),
        (lost(), "F0 - -", Class::Retry),
    ];
    for (i, (step, scope, class)) in cases.into_iter().enumerate() {
        let fake = Fake::new(vec![step]);
        let error = run(fetch_media(&api(), &media(scope), &fake.ctx())).unwrap_err();
        assert_eq!(error.class, class, "case {i}: {error:?}");
    }
    // A page is what was sent: then it is no page to sign in.
    let page = Fake::new(vec![answer("text/html", "<html>")]);
    run(fetch_media(&api(), &media("F0 text/html 6"), &page.ctx())).unwrap();
    let big = Fake::new(Vec::new());
    let error = run(fetch_media(&api(), &media("F0 - 101"), &big.ctx())).unwrap_err();
    assert_eq!(error.class, Class::Content);
}

#[test]
fn lists_are_read_page_by_page() {
    let user = |id: &str, more: Value| {
        let mut user = json!({"id": id, "profile": {"real_name": "Alex Smith"}});
        if let (Some(user), Value::Object(more)) = (user.as_object_mut(), more) {
            user.extend(more);
        }
        user
    };
    let fake = Fake::new(vec![
        // A page may be empty while there is a next one.
        ok(json!({"members": [], "response_metadata": {"next_cursor": "c1"}})),
        ok(json!({"members": [
            user("U0A", json!({})), user("USLACKBOT", json!({})), user("U0B", json!({"is_bot": true})),
            user("U0C", json!({"deleted": true})),
        ], "response_metadata": {"next_cursor": ""}})),
        ok(json!({"channels": [{"id": "C0A", "z": 1.50}], "response_metadata": {"next_cursor": "c"}})),
        ok(json!({"channels": [{"id": "C0B"}]})),
        ok(json!({"presence": "away"})),
        no("already_archived"),
        no("cant_archive_general"),
    ]);
    let api = api();
    let asked = |question: Question| run(ask(&api, &question, &fake.ctx()));
    let Found::Members(members) = asked(Question::Members).unwrap() else {
        panic!("members were asked for");
    };
    assert_eq!(members.len(), 1);
    assert_eq!((members[0].id.as_str(), members[0].name.as_str()), ("U0A", "Alex Smith"));
    let Found::Places(places) = asked(Question::Places).unwrap() else {
        panic!("places were asked for");
    };
    let places: Value = serde_json::from_str(&places).unwrap();
    assert_eq!(places["channels"].as_array().unwrap().len(), 2);
    let presence = asked(Question::Presence { member: "U0A".into() }).unwrap();
    assert_eq!(presence, Found::Presence(false));
    let archive = || Question::Archive { place: "C0A".into() };
    assert_eq!(asked(archive()).unwrap(), Found::Done);
    assert!(asked(archive()).is_err());
}

#[test]
fn a_probe_names_bot_and_workspace() {
    let me = json!({"team": "Example", "team_id": "T0SANDBOX1", "user": "switchboard"});
    let other = json!({"team": "Other", "team_id": "T0OTHER", "user": "switchboard"});
    let fake = Fake::new(vec![ok(me), ok(other), no("invalid_auth"), lost()]);
    let health = run(probe(&api(), &fake.ctx())).unwrap();
    assert_eq!(health.account, "switchboard at Example (T0SANDBOX1)");
    for name in ["setup", "credentials", "retry"] {
        let error = run(probe(&api(), &fake.ctx())).unwrap_err();
        assert_eq!(error.class.name(), name);
    }
}

#[test]
fn profiles_come_with_name_and_address() {
    let user = json!({"id": "U0A", "profile": {"first_name": "Alex", "last_name": "Smith", "email": "alex@example.net"}});
    let fake = Fake::new(vec![ok(json!({ "user": user }))]);
    let effect = Effect::FetchProfile { user: "U0A".into() };
    let sender = run(perform(&api(), &effect, &fake.ctx())).unwrap().unwrap();
    assert_eq!(sender.email.as_deref(), Some("alex@example.net"));
    assert_eq!(sender.profile.last_name.as_deref(), Some("Smith"));
    let typing = Effect::ShowTyping { address: "C0X".into() };
    assert_eq!(run(perform(&api(), &typing, &fake.ctx())).unwrap(), None);
}
