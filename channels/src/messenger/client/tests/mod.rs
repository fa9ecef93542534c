//! Deliveries, files, probes and effects over a transport that answers from a list.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

mod media;

use super::*;
use crate::kit::http::{Auth, Body, Transport, TransportError};
use crate::kit::settings::Common;
use crate::messenger::config::sandbox_settings;
use crate::model::{Media, MediaRef, MessageId, Outgoing, OutgoingAttachment, Template};
use serde_json::{Value, json};
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

type Step = Result<Response, TransportError>;

/// Answers in order, and remembers what it was asked and with what proof.
struct Fake {
    steps: Mutex<Vec<Step>>,
    asked: Mutex<Vec<Request>>,
    guarded: Mutex<Vec<String>>,
}

impl Fake {
    fn new(steps: Vec<Step>) -> Self {
        Self {
            steps: Mutex::new(steps),
            asked: Mutex::default(),
            guarded: Mutex::default(),
        }
    }

    fn bodies(&self) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        let body = |request: &Request| match &request.body {
            Body::Json(text) => serde_json::from_str(text).unwrap(),
            _ => Value::Null,
        };
        asked.iter().map(body).collect()
    }
}

#[async_trait::async_trait]
impl Transport for Fake {
    async fn call(&self, request: Request) -> Step {
        let most = request.max_response_bytes;
        self.asked.lock().unwrap().push(request);
        let answer = self.steps.lock().unwrap().remove(0)?;
        if answer.body.len() > most {
            return Err(TransportError::TooLarge(most));
        }
        Ok(answer)
    }

    async fn fetch_public(&self, url: &str, _: usize) -> Result<Media, TransportError> {
        self.guarded.lock().unwrap().push(url.to_owned());
        Ok(Media {
            bytes: "guarded".into(),
            mime: Some("image/png".into()),
            name: Some("x".into()),
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

fn account(changes: Value) -> Account {
    let mut settings = sandbox_settings();
    for (key, value) in changes.as_object().unwrap() {
        settings[key] = value.clone();
    }
    let common = Common {
        id: "fb".into(),
        api_base: Some("https://graph.example:8443/root".into()),
        webhook_url: String::new(),
    };
    Account::read(&common, settings).unwrap()
}

const NOW: Millis = Millis(1_795_000_100_000);
const DAY: i64 = 24 * 60 * 60 * 1000;

fn ctx(fake: &Fake, window_until: Option<Millis>) -> Ctx<'_> {
    Ctx {
        window_until,
        max_media_bytes: 10,
        ..Ctx::new(fake, NOW)
    }
}

fn sent() -> Step {
    Ok(Response::json(
        200,
        r#"{"recipient_id":"7300000000000011","message_id":"m_1"}"#,
    ))
}

fn refused(code: i64, subcode: i64) -> Step {
    let error = json!({"error": {"message": "no", "code": code, "error_subcode": subcode}});
    Ok(Response::json(400, error.to_string()))
}

fn part(fill: impl FnOnce(&mut Outgoing)) -> Part {
    let mut message = Outgoing::new(MessageId(42), "7300000000000011");
    fill(&mut message);
    let account = account(json!({}));
    let parts = plan::plan(&message, &account.settings, &plan::capabilities());
    parts.unwrap().remove(0)
}

fn text() -> Part {
    part(|message| message.text = "hello".into())
}

/// What was sent, and how it ended.
fn delivered(
    account: &Account,
    part: &Part,
    window_until: Option<Millis>,
    steps: Vec<Step>,
) -> (Vec<Value>, Result<Receipt, SendError>) {
    let fake = Fake::new(steps);
    let outcome = run(deliver(account, part, &ctx(&fake, window_until)));
    assert!(
        fake.steps.lock().unwrap().is_empty(),
        "an answer is left over"
    );
    (fake.bodies(), outcome)
}

#[test]
fn the_type_follows_the_window() {
    let people = account(json!({}));
    let bots = account(json!({"human_agent_enabled": false}));
    let cases = [
        (&people, None, "RESPONSE"),
        (&people, Some(0), "RESPONSE"),
        (&people, Some(-1), "MESSAGE_TAG"),
        (&people, Some(-6 * DAY), "MESSAGE_TAG"),
        // Too late for anybody: Meta says so in its own words.
        (&people, Some(-6 * DAY - 1), "RESPONSE"),
        (&bots, Some(-1), "RESPONSE"),
    ];
    for (account, left, expected) in cases {
        let until = left.map(|left| NOW.plus(left));
        let (asked, outcome) = delivered(account, &text(), until, vec![sent()]);
        assert_eq!(outcome.unwrap().platform_ids, ["m_1"]);
        assert_eq!(asked[0]["messaging_type"], expected, "{left:?}");
        let tagged = expected == "MESSAGE_TAG";
        assert_eq!(asked[0].get("tag").is_some(), tagged, "{left:?}");
    }
}

#[test]
fn a_window_that_meta_calls_closed_is_tried_once_as_a_person() {
    let closed = || refused(10, 2_018_278);
    let people = account(json!({}));
    let (asked, outcome) = delivered(&people, &text(), None, vec![closed(), sent()]);
    assert!(outcome.is_ok());
    assert_eq!(asked[1]["tag"], "HUMAN_AGENT");
    let (_, outcome) = delivered(&people, &text(), None, vec![closed(), closed()]);
    assert_eq!(outcome.unwrap_err().class, Class::Window);
    let long_ago = Some(NOW.plus(-8 * DAY));
    let (_, outcome) = delivered(&people, &text(), long_ago, vec![closed()]);
    assert_eq!(outcome.unwrap_err().class, Class::Window);
    let bots = account(json!({"human_agent_enabled": false}));
    let (_, outcome) = delivered(&bots, &text(), None, vec![closed()]);
    assert_eq!(outcome.unwrap_err().class, Class::Window);
}

#[test]
fn a_link_that_was_not_fetched_is_tried_twice() {
    let account = account(json!({}));
    let photo = part(|message| {
        let photo = OutgoingAttachment::new("a.jpg", "https://files.example.net/a.jpg");
        message.attachments = vec![photo];
    });
    let not_fetched = || refused(100, NOT_FETCHED);
    let (asked, outcome) = delivered(&account, &photo, None, vec![not_fetched(), sent()]);
    assert!(outcome.is_ok());
    assert_eq!(asked[0], asked[1]);
    let steps = vec![not_fetched(), not_fetched()];
    let (_, outcome) = delivered(&account, &photo, None, steps);
    assert_eq!(outcome.unwrap_err().class, Class::Content);
    let (_, outcome) = delivered(&account, &photo, None, vec![refused(100, 2_018_047)]);
    assert_eq!(outcome.unwrap_err().class, Class::Content);
}

#[test]
fn a_template_is_tried_in_each_of_its_languages() {
    let account = account(json!({"template_language_chain": ["en", "sv"]}));
    let template = part(|message| {
        message.template = Some(Template {
            name: "order_update".into(),
            languages: vec!["sv".into()],
            header: Vec::new(),
            body: Vec::new(),
            buttons: Vec::new(),
        });
    });
    let missing = || {
        Ok(Response::json(
            400,
            r#"{"error":{"code":100,"message":"no such template"}}"#,
        ))
    };
    let late = Some(NOW.plus(-1));
    let (asked, outcome) = delivered(&account, &template, late, vec![missing(), sent()]);
    assert!(outcome.is_ok());
    let languages: Vec<&Value> = asked
        .iter()
        .map(|body| &body["message"]["template"]["language"]["code"])
        .collect();
    assert_eq!(languages, ["sv", "en"]);
    assert!(asked.iter().all(|body| body["messaging_type"] == "UTILITY"));
    let (_, outcome) = delivered(&account, &template, late, vec![missing(), missing()]);
    assert_eq!(outcome.unwrap_err().class, Class::Content);
    let (_, outcome) = delivered(&account, &template, late, vec![refused(10, 2_018_278)]);
    assert_eq!(outcome.unwrap_err().class, Class::Window);
}

#[test]
fn a_request_without_an_answer_is_in_doubt_only_when_it_went_out() {
    let account = account(json!({}));
    let class = |error| {
        let (_, outcome) = delivered(&account, &text(), None, vec![Err(error)]);
        outcome.unwrap_err().class
    };
    assert_eq!(
        class(TransportError::NotSent("refused".into())),
        Class::Retry
    );
    assert_eq!(
        class(TransportError::NoAnswer("reset".into())),
        Class::Unsure
    );
}

#[test]
fn the_answer_may_name_the_person_otherwise() {
    let account = account(json!({}));
    let other = || {
        Ok(Response::json(
            200,
            r#"{"recipient_id":"7300000000000099","message_id":"m_1"}"#,
        ))
    };
    let (_, outcome) = delivered(&account, &text(), None, vec![other()]);
    assert_eq!(outcome.unwrap().alias.as_deref(), Some("7300000000000099"));
    let mut part = text();
    part.to = "ig:7300000000000099".into();
    let (asked, outcome) = delivered(&account, &part, None, vec![other()]);
    assert_eq!(outcome.unwrap().alias, None);
    assert_eq!(asked[0].get("messaging_type"), None);
    part.to = "dana".into();
    let (_, outcome) = delivered(&account, &part, None, Vec::new());
    assert_eq!(outcome.unwrap_err().class.name(), "setup");
}

#[test]
fn a_probe_names_the_page_and_says_when_nothing_comes() {
    let probed = |steps: Vec<Step>| {
        let fake = Fake::new(steps);
        run(probe(&account(json!({})), &ctx(&fake, None)))
    };
    let page = || {
        Ok(Response::json(
            200,
            r#"{"id":"104200000000001","name":"Corner Shop"}"#,
        ))
    };
    let apps = |body: &str| Ok(Response::json(200, body));
    let name = |steps| probed(steps).unwrap().account;
    let plain = "Corner Shop (104200000000001)";
    assert_eq!(
        name(vec![page(), apps(r#"{"data":[{"id":"880000000000001"}]}"#)]),
        plain
    );
    assert_eq!(name(vec![page(), refused(200, 0)]), plain);
    let silent = name(vec![page(), apps(r#"{"data":[]}"#)]);
    assert!(silent.ends_with("so that no events come"), "{silent}");
    assert_eq!(
        probed(vec![refused(190, 463)]).unwrap_err().class,
        Class::Credentials
    );
    assert_eq!(
        probed(vec![refused(100, 33)]).unwrap_err().class.name(),
        "setup"
    );
    assert_eq!(probed(vec![apps("[]")]).unwrap_err().class, Class::Retry);
    let cut = Err(TransportError::NoAnswer("reset".into()));
    assert_eq!(probed(vec![cut]).unwrap_err().class, Class::Retry);
}

#[test]
fn profiles_are_told_in_our_terms() {
    let performed = |user: &str, body: &str| {
        let fake = Fake::new(vec![Ok(Response::json(200, body))]);
        let effect = Effect::FetchProfile { user: user.into() };
        let sender = run(perform(&account(json!({})), &effect, &ctx(&fake, None))).unwrap();
        let asked = fake.asked.lock().unwrap();
        (sender, asked[0].url.clone())
    };
    let dana = r#"{"first_name":"Dana","last_name":"Fields","profile_pic":"https://platform-lookaside.fbsbx.com/x","id":"7"}"#;
    let (sender, url) = performed("7300000000000011", dana);
    let sender = sender.unwrap();
    assert_eq!(
        url,
        "https://graph.example:8443/root/v25.0/7300000000000011?fields=first_name,last_name,profile_pic"
    );
    assert_eq!(sender.ids, ["7300000000000011"]);
    assert_eq!(sender.profile.first_name.as_deref(), Some("Dana"));
    let shop =
        r#"{"name":"Bo's Bikes","username":"bosbikes","profile_pic":"x","follower_count":7}"#;
    let (sender, _) = performed("ig:9900000000000021", shop);
    let sender = sender.unwrap();
    assert_eq!(sender.ids, ["ig:9900000000000021"]);
    assert_eq!(sender.profile.first_name.as_deref(), Some("Bo's Bikes"));
    assert_eq!(sender.profile.image_url, None);
    assert_eq!(sender.profile.details[1].2, "7");
    assert_eq!(performed("7300000000000011", r#"{"id":"7"}"#).0, None);
}

#[test]
fn a_message_is_shown_as_seen() {
    let fake = Fake::new(vec![
        Ok(Response::json(200, r#"{"recipient_id":"7"}"#)),
        refused(551, 1_545_041),
    ]);
    let effect = Effect::MarkRead {
        message: "m_1".into(),
        address: "ig:9900000000000021".into(),
    };
    let account = account(json!({}));
    assert_eq!(run(perform(&account, &effect, &ctx(&fake, None))), Ok(None));
    let expected = json!({"recipient": {"id": "9900000000000021"}, "sender_action": "mark_seen"});
    assert_eq!(fake.bodies(), [expected]);
    let error = run(perform(&account, &effect, &ctx(&fake, None))).unwrap_err();
    assert_eq!(error.class, Class::Recipient);
    let typing = Fake::new(vec![Ok(Response::json(200, r#"{"recipient_id":"7"}"#))]);
    let effect = Effect::ShowTyping {
        address: "7300000000000011".into(),
    };
    assert_eq!(run(perform(&account, &effect, &ctx(&typing, None))), Ok(None));
    let expected = json!({"recipient": {"id": "7300000000000011"}, "sender_action": "typing_on"});
    assert_eq!(typing.bodies(), [expected]);
    for effect in [
        Effect::AnswerCallback { id: "1".into() },
        Effect::FetchProfile { user: "x".into() },
    ] {
        assert_eq!(run(perform(&account, &effect, &ctx(&fake, None))), Ok(None));
    }
}
