use super::*;
use crate::kit::http::{Auth, Headers, Transport};
use crate::model::{MessageId, Millis, Outgoing, OutgoingAttachment};
use crate::twilio_sms::{plan, sandbox_settings};
use bytes::Bytes;
use serde_json::{Value, json};
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

/// Answers in order and records what it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<Vec<Result<Response, TransportError>>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Result<Response, TransportError>>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Self {
            answers: Mutex::new(answers),
            asked: Mutex::default(),
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Transport for Script {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let user = match &request.auth {
            Auth::Basic { user, .. } => user.chars().take(2).collect(),
            _ => String::new(),
        };
        self.asked
            .lock()
            .unwrap()
            .push(format!("{user} {}", request.url));
        self.answers.lock().unwrap().pop().unwrap()
    }

    async fn fetch_public(&self, url: &str, _: usize) -> Result<Media, TransportError> {
        self.asked.lock().unwrap().push(format!("public {url}"));
        Ok(Media {
            bytes: Bytes::from_static(b"from afar"),
            mime: None,
            name: None,
        })
    }
}

/// Runs a future that waits for nothing but the script, which answers at once.
fn run<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for something that is not its transport"),
    }
}

/// Fri, 20 Nov 2026 10:00:00 UTC
const NOW: Millis = Millis(1_795_168_800_000);

fn common() -> Common {
    Common {
        id: "sms".to_owned(),
        api_base: None,
        webhook_url: "https://gw.example.net/webhooks/sms".to_owned(),
    }
}

fn settings() -> Settings {
    Settings::read(sandbox_settings()).unwrap()
}

fn ctx(script: &Script) -> Ctx<'_> {
    Ctx { max_media_bytes: 1000, ..Ctx::new(script, NOW) }
}

const MEDIA: &str = "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1";

fn redirect(to: &str) -> Result<Response, TransportError> {
    Ok(Response::empty(307).with_header("Location", to))
}

fn file() -> Result<Response, TransportError> {
    let mut response = Response::empty(200)
        .with_header("Content-Type", "image/jpeg")
        .with_header("Content-Disposition", "inline; filename=\"../a b.jpg\"");
    response.body = Bytes::from_static(b"bytes");
    Ok(response)
}

fn fetch(
    url: &str,
    answers: Vec<Result<Response, TransportError>>,
) -> (Result<Media, SendError>, Vec<String>) {
    let script = Script::of(answers);
    let (settings, common, media) = (settings(), common(), MediaRef::new(url));
    let found = run(fetch_media(&media, &settings, &common, &ctx(&script)));
    (found, script.asked())
}

#[test]
fn media_come_with_their_name() {
    let (found, asked) = fetch(MEDIA, vec![redirect("/elsewhere/ME1"), file()]);
    let media = found.unwrap();
    assert_eq!(media.name.as_deref(), Some("a b.jpg"));
    assert_eq!(media.mime.as_deref(), Some("image/jpeg"));
    let second = "AC https://api.twilio.com/elsewhere/ME1";
    assert_eq!(asked, [format!("AC {MEDIA}").as_str(), second]);
}

#[test]
fn other_hosts_never_see_the_credentials() {
    let (found, asked) = fetch(MEDIA, vec![redirect("https://cdn.example.net/x?sig=1")]);
    assert_eq!(found.unwrap().bytes, "from afar");
    assert_eq!(asked[1], "public https://cdn.example.net/x?sig=1");
    let elsewhere = [
        "https://evil.example/ME1",
        "https://eviltwilio.com/ME1",
        "http://api.twilio.com/ME1",
        "https://api.twilio.com:8443/ME1",
        "https://a:b@media.twilio.com/ME1",
        "file:///etc/passwd",
        "ME1",
        "",
    ];
    for url in elsewhere {
        let (found, asked) = fetch(url, vec![]);
        assert_eq!(found.unwrap_err().class, Class::Content, "{url}");
        assert!(asked.is_empty(), "{url}");
    }
    let (found, _) = fetch("https://media.us1.twilio.com/ME1", vec![file()]);
    assert!(found.is_ok());
}

#[test]
fn what_goes_wrong_with_media() {
    let not_yet = json!({"code": 20404, "message": "not found", "status": 404}).to_string();
    let cases: Vec<(Vec<Result<Response, TransportError>>, Class)> = vec![
        (vec![Ok(Response::json(404, not_yet))], Class::Retry),
        (vec![Ok(Response::empty(502))], Class::Retry),
        (vec![Ok(Response::empty(401))], Class::Credentials),
        (vec![Err(TransportError::TooLarge(1000))], Class::Content),
        (vec![Err(TransportError::NoAnswer("reset".into()))], Class::Retry),
        ((0..4).map(|_| redirect("/on")).collect(), Class::Retry),
        (vec![Ok(Response::empty(302))], Class::Retry),
    ];
    for (i, (answers, expected)) in cases.into_iter().enumerate() {
        let (found, _) = fetch(MEDIA, answers);
        assert_eq!(found.unwrap_err().class, expected, "case {i}");
    }
}

fn part(text: &str, attachments: &[&str]) -> Part {
    let mut message = Outgoing::new(MessageId(42), "+14165550142");
    message.text = text.to_owned();
    message.attachments = attachments
        .iter()
        .map(|url| OutgoingAttachment::new("", *url))
        .collect();
    plan::plan(&message, &settings()).unwrap().remove(0)
}

fn found(part: &Part, messages: Value) -> Result<Option<Receipt>, SendError> {
    let body = json!({ "messages": messages }).to_string();
    let script = Script::of([Ok(Response::json(200, body))]);
    let (settings, common) = (settings(), common());
    let outcome = run(find_sent(part, &settings, &common, &ctx(&script)));
    let expected = "AC https://api.twilio.com/2010-04-01/Accounts/\
                    AC5a4db0c5a4db0c5a4db0c5a4db0c5a4d/Messages.json?To=%2B14165550142\
                    &From=%2B15005550006&DateSent%3E=2026-11-20&PageSize=100";
    assert_eq!(script.asked(), [expected]);
    outcome
}

#[test]
fn an_unsure_part_is_found_by_its_text() {
    let there = |sid: &str, body: &str, media: &str, date: &str| {
        json!({"sid": sid, "status": "sent", "body": body, "num_media": media,
            "date_created": date, "direction": "outbound-api"})
    };
    let now = "Fri, 20 Nov 2026 09:59:30 +0000";
    let old = "Fri, 20 Nov 2026 09:54:00 +0000";
    let hello = part("hello", &[]);
    let list = json!([
        there("SM1", "other", "0", now),
        there("SM2", "hello", "0", now),
        there("SM3", "hello", "0", now),
    ]);
    let receipt = found(&hello, list).unwrap().unwrap();
    assert_eq!(receipt.platform_ids, ["SM2"]);
    let answer: Value = serde_json::from_str(&receipt.answer).unwrap();
    assert_eq!(answer["sid"], "SM2");

    for none in [
        json!([]),
        json!([there("SM1", "hello", "0", old)]),
        json!([there("SM1", "hello", "0", "yesterday")]),
        json!([there("SM1", "hello", "1", now)]),
    ] {
        assert_eq!(found(&hello, none), Ok(None));
    }

    let link = "https://gw.example.net/media/a.jpg";
    let pictured = part("look", &[link]);
    let as_media = json!([there("MM1", "look", "1", now)]);
    assert!(found(&pictured, as_media).unwrap().is_some());
    let as_link = json!([there("SM1", &format!("look\n{link}"), "0", now)]);
    assert!(found(&pictured, as_link).unwrap().is_some());
}

#[test]
fn a_probe_asks_with_what_will_send() {
    let account = |status: &str| {
        json!({"sid": "AC1", "friendly_name": "Shop", "status": status}).to_string()
    };
    let script = Script::of([
        Ok(Response::json(200, account("active"))),
        Ok(Response::json(200, account("suspended"))),
        Ok(Response::json(200, "[]")),
    ]);
    let health = run(probe(&settings(), &common(), &ctx(&script))).unwrap();
    assert_eq!(health.account, "Shop (+15005550006)");
    let error = run(probe(&settings(), &common(), &ctx(&script))).unwrap_err();
    assert_eq!(error.class, Class::Credentials);
    assert!(run(probe(&settings(), &common(), &ctx(&script))).is_err());

    let mut keyed = sandbox_settings();
    keyed["api_key_sid"] = json!("SK1");
    keyed["api_key_secret"] = json!("secret");
    let keyed = Settings::read(keyed).unwrap();
    let script = Script::of([Ok(Response::json(200, r#"{"messages":[]}"#))]);
    run(probe(&keyed, &common(), &ctx(&script))).unwrap();
    assert!(script.asked()[0].starts_with("SK "));
    assert!(script.asked()[0].ends_with("/Messages.json?PageSize=1"));
}

#[test]
fn links_are_tried_once_and_only_where_they_fit() {
    let refusal = || {
        let body = json!({"code": 21621, "message": "no MMS", "status": 400}).to_string();
        Ok(Response {
            status: 400,
            headers: Headers::default(),
            body: body.into(),
        })
    };
    let sent = || Ok(Response::json(201, r#"{"sid":"SM1"}"#));
    let picture = "https://gw.example.net/media/a.jpg";
    let long = format!("https://gw.example.net/{}.jpg", "a".repeat(1600));
    let cases = [
        (part("look", &[picture]), vec![refusal(), sent()], true),
        (part("look", &[picture]), vec![refusal(), refusal()], false),
        (part("look", &[long.as_str()]), vec![refusal()], false),
        (part("look", &[]), vec![refusal()], false),
    ];
    for (i, (part, answers, expected)) in cases.into_iter().enumerate() {
        let calls = answers.len();
        let script = Script::of(answers);
        let outcome = run(deliver(&part, &settings(), &common(), &ctx(&script)));
        assert_eq!(outcome.is_ok(), expected, "case {i}: {outcome:?}");
        assert_eq!(script.asked().len(), calls, "case {i}");
    }
}
