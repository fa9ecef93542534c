//! Webhooks are posted in order, and again until the gateway takes them.

use super::{Gateway, Lab, tls, toy};
use crate::sandbox::{HookTarget, Listener, Options};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn webhooks_follow_requests_in_order() {
    let lab = Lab::new().await;
    for n in 0..40 {
        assert_eq!(lab.post("/toy/send", json!({"n": n})).await.0, 200);
    }
    lab.gateway.has(40).await;
    let expected: Vec<Value> = (0..40).map(|n| json!({"status": n})).collect();
    assert_eq!(lab.gateway.bodies(), expected);
    assert_eq!(lab.gateway.received()[0].0, "/webhooks/toy?x=1");
}

#[tokio::test]
async fn one_that_fails_is_repeated_and_those_behind_it_wait() {
    let lab = Lab::new().await;
    lab.gateway.answers(&[503, 500]);
    let began = Instant::now();
    let (status, body) = lab
        .post("/sandbox/toy/act", json!({"do": "say", "text": "a b"}))
        .await;
    // Two waits, the second twice as long as the first.
    assert!(began.elapsed() >= Duration::from_millis(60));
    assert_eq!(status, 200);
    let taken = json!({"status": 200, "body": "taken"});
    assert_eq!(body, json!({"ok": true, "posted": [taken, taken]}));
    let says = ["a", "a", "a", "b"].map(|w| json!({"say": w}));
    assert_eq!(lab.gateway.bodies(), says);
}

#[tokio::test]
async fn a_refusal_is_final() {
    let lab = Lab::new().await;
    lab.gateway.answers(&[401]);
    let (status, body) = lab
        .post("/sandbox/toy/act", json!({"do": "say", "text": "a b"}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(body["posted"][0]["status"], 401);
    assert_eq!(body["posted"][1]["status"], 200);
    assert_eq!(lab.gateway.received().len(), 2);
}

#[tokio::test]
async fn it_is_given_up_after_ten_repetitions() {
    let lab = Lab::with(Options {
        first_retry: Duration::from_micros(100),
        ..Options::default()
    })
    .await;
    lab.gateway.answers(&[500; 11]);
    let (_, body) = lab
        .post("/sandbox/toy/act", json!({"do": "say", "text": "a b"}))
        .await;
    assert_eq!(body["posted"][0]["status"], 500);
    assert_eq!(body["posted"][1]["status"], 200);
    assert_eq!(lab.gateway.received().len(), 12);
}

#[tokio::test]
async fn an_unreachable_gateway_is_tried_until_it_is_there() {
    tls();
    // An address that nobody listens on, for now.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway_addr = free.local_addr().unwrap();
    drop(free);
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base = listener.base_url();
    // The emulator was told a public address; it is posted to the one that can be reached.
    let told = "192.0.2.1:1".parse().unwrap();
    let options = Options {
        first_retry: Duration::from_millis(20),
        ..Options::default()
    };
    let target = HookTarget::Origin(format!("http://{gateway_addr}/"));
    let sandbox = listener
        .serve(vec![toy("toy", told)], target, options)
        .unwrap();
    tokio::spawn(sandbox.run());
    let client = reqwest::Client::new();
    let act = |wait| {
        client
            .post(format!("{base}/sandbox/toy/act?wait={wait}"))
            .json(&json!({"do": "say", "text": "x"}))
            .send()
    };
    let pending = act(0).await.unwrap();
    assert_eq!(pending.status(), 202);
    let pending: Value = pending.json().await.unwrap();
    assert_eq!(pending, json!({"ok": true, "posted": [], "pending": 1}));

    let gateway = Gateway::default();
    gateway.serve_at(gateway_addr);
    assert_eq!(act(30).await.unwrap().status(), 200);
    let path = "/webhooks/toy?x=1".to_owned();
    let body = json!({"say": "x"}).to_string();
    assert_eq!(gateway.received(), vec![(path, body); 2]);
}

#[tokio::test]
async fn accounts_do_not_wait_for_each_other() {
    let lab = Lab::with(Options {
        first_retry: Duration::from_secs(60),
        ..Options::default()
    })
    .await;
    lab.gateway.answers(&[500]);
    lab.post("/toy/send", json!({"n": 1})).await;
    lab.gateway.has(1).await;
    let say = json!({"do": "say", "text": "x"});
    let (_, body) = lab.post("/sandbox/other/act", say).await;
    assert_eq!(body["posted"][0]["status"], 200);
    let (_, accounts) = lab.get("/sandbox/accounts").await;
    let expected = json!([
        {"id": "toy", "kind": "toy", "hooks_waiting": 1},
        {"id": "other", "kind": "toy", "hooks_waiting": 0},
    ]);
    assert_eq!(accounts, expected);

    // A reset gives up what waits, and what comes then is posted.
    assert_eq!(lab.post("/sandbox/toy/reset", json!({})).await.0, 200);
    lab.post("/toy/send", json!({"n": 2})).await;
    lab.gateway.has(3).await;
    let last = lab.gateway.bodies().pop().unwrap();
    assert_eq!(last, json!({"status": 2}));
}

#[tokio::test]
async fn an_action_whose_webhooks_are_forgotten_is_told_so() {
    let lab = Lab::with(Options {
        first_retry: Duration::from_secs(60),
        ..Options::default()
    })
    .await;
    lab.gateway.answers(&[500]);
    let act = lab.post("/sandbox/toy/act", json!({"do": "say", "text": "a b"}));
    let reset = async {
        lab.gateway.has(1).await;
        lab.post("/sandbox/toy/reset", json!({})).await
    };
    let ((status, body), _) = tokio::join!(act, reset);
    assert_eq!(status, 200);
    for posted in body["posted"].as_array().unwrap() {
        assert_eq!(posted["status"], Value::Null);
        assert!(posted["error"].as_str().unwrap().starts_with("dropped"));
    }
    assert_eq!(body["posted"].as_array().unwrap().len(), 2);
    assert_eq!(lab.gateway.received().len(), 1);
}

#[tokio::test]
async fn a_webhook_with_a_delay_holds_no_other_up() {
    let lab = Lab::new().await;
    let began = Instant::now();
    lab.post("/toy/slow-send", json!({"n": 1})).await;
    lab.post("/toy/send", json!({"n": 2})).await;
    lab.gateway.has(2).await;
    assert!(began.elapsed() >= Duration::from_millis(700));
    let statuses = [2, 1].map(|n| json!({"status": n}));
    assert_eq!(lab.gateway.bodies(), statuses);
}

#[test]
fn only_the_origin_of_a_webhook_is_replaced() {
    let target = HookTarget::Origin("http://127.0.0.1:8080/".to_owned());
    for (told, expected) in [
        ("https://a.example/webhooks/x?y=%20z", "/webhooks/x?y=%20z"),
        ("https://a.example?y", "?y"),
        ("https://a.example", "/"),
    ] {
        assert_eq!(target.url(told), format!("http://127.0.0.1:8080{expected}"));
        assert_eq!(HookTarget::AsWritten.url(told), told);
    }
}
