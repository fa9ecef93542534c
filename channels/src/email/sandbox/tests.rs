use super::super::config::{sandbox_settings, tests::common};
use super::*;
use crate::kit::mail::{MailServer, Security, Submission};
use serde_json::{Value, json};

const NOW: Millis = Millis(1_795_000_000_000);

fn settings() -> Settings {
    Settings::read(&common(), sandbox_settings()).unwrap()
}

fn sandbox() -> Sandbox {
    Sandbox::new(&common(), settings())
}

fn mail() -> String {
    "From: Sandbox Support <support@sandbox.example>\r\nTo: sam@customer.example\r\nSubject: Hi\r\n\
     Date: Fri, 27 Nov 2026 02:15:49 +0000\r\nMessage-ID: <sb.1.0.1@sandbox.example>\r\n\
     MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
     --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n\
     --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>hello</p>\r\n--b--\r\n"
        .to_owned()
}

fn submission(to: &[&str], message: &str) -> Request {
    let Way::Relay { base, secrets } = settings().way else {
        panic!("no relay");
    };
    let submission = Submission {
        server: MailServer {
            host: String::new(),
            port: 0,
            security: Security::Plain,
            login: None,
        },
        hello_name: String::new(),
        from: "support@sandbox.example".to_owned(),
        to: to.iter().map(|t| (*t).to_owned()).collect(),
        message: Bytes::from(message.to_owned()),
        timeout_ms: 1000,
    };
    relay::submit(&base, &secrets, &submission)
}

fn answered(sandbox: &mut Sandbox, to: &[&str], message: &str) -> Value {
    let exchange = sandbox.handle(&submission(to, message), NOW);
    assert_eq!(exchange.response.status, 200);
    serde_json::from_slice(&exchange.response.body).unwrap()
}

#[test]
fn a_good_mail_is_taken_and_shown() {
    let mut sandbox = sandbox();
    let answer = answered(&mut sandbox, &["sam@customer.example"], &mail());
    assert_eq!(answer["code"], 250, "{answer}");
    let phone = sandbox.phone();
    assert_eq!(phone.len(), 1);
    assert_eq!((phone[0].text.as_str(), phone[0].id.as_str()), ("hello", "sb.1.0.1@sandbox.example"));
    assert!(phone[0].extras.is_empty());
}

#[test]
fn a_strict_server_refuses_what_others_would() {
    for (what, from, to) in [
        ("no date", "Date: ", "X-Date: "),
        ("no id", "Message-ID: ", "X-Id: "),
        ("no subject", "Subject: ", "X-Subject: "),
        ("no version", "MIME-Version: ", "X-Version: "),
        ("two subjects", "Subject: Hi", "Subject: Hi\r\nSubject: Ho"),
        ("a bare line feed", "hello", "hel\nlo"),
        ("a NUL", "hello", "hel\0lo"),
        ("a long line", "hello", &"x".repeat(999)),
        ("another sender", "support@sandbox.example>", "eve@sandbox.example>"),
        ("a header beyond ASCII", "Subject: Hi", "Subject: Hö"),
        ("no text", "text/plain", "text/html"),
    ] {
        let mail = mail().replace(from, to);
        let answer = answered(&mut sandbox(), &["sam@customer.example"], &mail);
        assert_eq!(answer["code"], 554, "{what}: {answer}");
    }
    assert!(sandbox().phone().is_empty());
}

#[test]
fn recipients_are_refused_one_by_one() {
    let mut sandbox = sandbox();
    let block = json!({"do": "block", "from": "bo@customer.example"});
    sandbox.act(&serde_json::from_value(block).unwrap(), NOW).unwrap();
    let both = ["sam@customer.example", "bo@customer.example"];
    let answer = answered(&mut sandbox, &both, &mail());
    assert_eq!((&answer["code"], answer["refused"].as_array().unwrap().len()), (&json!(250), 1));
    let answer = answered(&mut sandbox, &["bo@customer.example"], &mail());
    assert_eq!((&answer["code"], &answer["before_data"]), (&json!(550), &json!(true)));
    assert_eq!(answered(&mut sandbox, &["no address"], &mail())["code"], 553);
}

#[test]
fn nobody_without_the_secret_is_answered() {
    let mut sandbox = sandbox();
    let good = submission(&["sam@customer.example"], &mail());
    let mut changed = good.clone();
    changed.headers = Headers::default()
        .with(relay::FROM, "support@sandbox.example")
        .with(relay::TO, "bo@customer.example");
    let mut bare = good;
    bare.auth = crate::kit::http::Auth::None;
    for request in [changed, bare, Request::get("http://x/check"), Request::get("http://x/raw/m1")] {
        assert_eq!(sandbox.handle(&request, NOW).response.status, 401);
    }
    assert_eq!(sandbox.handle(&Request::get("http://x/other"), NOW).response.status, 404);
}
