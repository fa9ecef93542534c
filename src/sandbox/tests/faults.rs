//! Every fault, as the client sees it.

use super::Lab;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn fault(lab: &Lab, fault: Value) {
    let (status, body) = lab.post("/sandbox/toy/faults", fault).await;
    assert_eq!((status, &body["ok"]), (200, &json!(true)), "{body}");
}

#[tokio::test]
async fn rate_limit_says_so_in_header_and_body_and_passes_then() {
    let lab = Lab::new().await;
    fault(&lab, json!({"fault": "rate_limit", "retry_after": 7})).await;
    let request = lab.client.post(lab.url("/toy/send")).json(&json!({"n": 1}));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    let body: Value = response.json().await.unwrap();
    let expected = json!({
        "ok": false, "error_code": 429, "description": "Too Many Requests: retry after 7",
        "parameters": {"retry_after": 7},
    });
    assert_eq!(body, expected);
    assert_eq!(lab.post("/toy/send", json!({"n": 2})).await.0, 200);
    // The platform never saw the first.
    lab.gateway.has(1).await;
    assert_eq!(lab.gateway.bodies(), [json!({"status": 2})]);
    let log = lab.log().await;
    assert_eq!(
        (
            &log[0]["status"],
            &log[0]["platform_status"],
            &log[0]["fault"]
        ),
        (&json!(429), &json!(null), &json!("rate_limit"))
    );
    assert_eq!(
        (
            &log[1]["status"],
            &log[1]["platform_status"],
            &log[1]["fault"]
        ),
        (&json!(200), &json!(200), &json!(null))
    );
}

#[tokio::test]
async fn error_answers_the_status_and_the_body_asked_for() {
    let lab = Lab::new().await;
    fault(&lab, json!({"fault": "error", "status": 503})).await;
    fault(
        &lab,
        json!({"fault": "error", "status": 200, "body": "{\"errcode\":45009}"}),
    )
    .await;
    let (status, body) = lab.get("/toy/m").await;
    assert_eq!(status, 503);
    assert_eq!(
        body,
        json!({"ok": false, "error_code": 503, "description": "Service Unavailable"})
    );
    assert_eq!(lab.get("/toy/m").await, (200, json!({"errcode": 45009})));
    assert_eq!(lab.get("/toy/m").await.1["method"], "Get");
}

#[tokio::test]
async fn hang_says_nothing_does_nothing_and_closes() {
    let lab = Lab::new().await;
    fault(&lab, json!({"fault": "hang", "seconds": 1})).await;
    let began = Instant::now();
    let mut stream = tokio::net::TcpStream::connect(lab.addr).await.unwrap();
    let body = r#"{"n":1}"#;
    let request = format!(
        "POST /toy/send HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(answer, b"");
    let log = lab.log().await;
    assert_eq!(log[0]["body"], json!({"n": 1}));
    assert_eq!(
        (&log[0]["status"], &log[0]["platform_status"]),
        (&json!(null), &json!(null))
    );
    assert_eq!(lab.get("/sandbox/accounts").await.1[0]["hooks_waiting"], 0);
    assert_eq!(lab.gateway.received().len(), 0);
}

#[tokio::test]
async fn reset_does_it_and_cuts_the_connection() {
    let lab = Lab::new().await;
    fault(&lab, json!({"fault": "reset", "count": 2})).await;
    let request = lab.client.post(lab.url("/toy/send")).json(&json!({"n": 1}));
    let error = request.send().await.unwrap_err();
    assert!(
        error.is_request() && !error.is_timeout() && !error.is_connect(),
        "{error:?}"
    );
    // Not one byte of an answer, and the connection is closed.
    let mut stream = tokio::net::TcpStream::connect(lab.addr).await.unwrap();
    stream
        .write_all(b"GET /toy/m HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, b"");
    lab.gateway.has(1).await;
    assert_eq!(lab.gateway.bodies(), [json!({"status": 1})]);
    let log = lab.log().await;
    assert_eq!(
        (
            &log[0]["status"],
            &log[0]["platform_status"],
            &log[0]["fault"]
        ),
        (&json!(null), &json!(200), &json!("reset"))
    );
    assert_eq!(lab.get("/toy/m").await.0, 200);
}

#[tokio::test]
async fn delay_does_it_at_once_and_answers_later_until_cleared() {
    let lab = Lab::new().await;
    fault(&lab, json!({"fault": "delay", "ms": 800})).await;
    let began = Instant::now();
    let send = lab.post("/toy/send", json!({"n": 1}));
    let hooked = async {
        lab.gateway.has(1).await;
        began.elapsed()
    };
    let (_, hooked) = tokio::join!(send, hooked);
    assert!(hooked < Duration::from_millis(800), "{hooked:?}");
    assert!(began.elapsed() >= Duration::from_millis(800));
    let began = Instant::now();
    assert_eq!(lab.get("/toy/m").await.0, 200);
    assert!(
        began.elapsed() >= Duration::from_millis(800),
        "not only once"
    );
    let cleared = lab.client.delete(lab.url("/sandbox/toy/faults"));
    let cleared: Value = cleared.send().await.unwrap().json().await.unwrap();
    assert_eq!(cleared, json!({"ok": true, "cleared": 1}));
    let began = Instant::now();
    assert_eq!(lab.get("/toy/m").await.0, 200);
    assert!(began.elapsed() < Duration::from_millis(800));
}

#[tokio::test]
async fn faults_hit_what_they_are_for_and_as_often_as_asked() {
    let lab = Lab::new().await;
    fault(
        &lab,
        json!({"fault": "error", "status": 501, "path_contains": "/send?a", "after": 1, "count": 2}),
    )
    .await;
    fault(
        &lab,
        json!({"fault": "error", "status": 502, "body_contains": "\"n\":7", "count": 0}),
    )
    .await;
    let at = async |path: &str, n: u32| lab.post(path, json!({"n": n})).await.0;
    assert_eq!(at("/toy/send", 1).await, 200);
    assert_eq!(at("/toy/send?a", 1).await, 200, "skipped");
    assert_eq!(at("/toy/send?a", 1).await, 501);
    assert_eq!(at("/toy/send?a", 7).await, 501, "the first that matches");
    assert_eq!(at("/toy/send?a", 7).await, 502, "the first is used up");
    assert_eq!(at("/toy/send", 7).await, 502);
    assert_eq!(at("/toy/send", 8).await, 200);
    assert_eq!(at("/other/send", 7).await, 200, "another account");
    let (_, list) = lab.get("/sandbox/toy/faults").await;
    let left = json!([{
        "id": 2, "fault": "error", "status": 502, "after": 0, "count": 0, "hits": 2,
        "body_contains": "\"n\":7",
    }]);
    assert_eq!(list, left);

    // Forms by decoded values, and one fault is cleared by its number.
    fault(
        &lab,
        json!({"fault": "error", "status": 503, "body_contains": "To=+49 1", "count": 0}),
    )
    .await;
    let form = || lab.client.post(lab.url("/toy/m")).form(&[("To", "+49 1")]);
    assert_eq!(form().send().await.unwrap().status(), 503);
    let one = lab.client.delete(lab.url("/sandbox/toy/faults?id=3"));
    let cleared: Value = one.send().await.unwrap().json().await.unwrap();
    assert_eq!(cleared["cleared"], 1);
    assert_eq!(form().send().await.unwrap().status(), 200);
    assert_eq!(at("/toy/send", 7).await, 502);
}

#[tokio::test]
async fn faults_that_make_no_sense_are_refused() {
    let lab = Lab::new().await;
    for (fault, words) in [
        (json!({"fault": "explode"}), "allowed: rate_limit, error"),
        (
            json!({"fault": "hang", "ms": 5}),
            "ms: belongs to the fault delay",
        ),
        (
            json!({"fault": "error", "status": 99}),
            "allowed: 200 to 599",
        ),
        (
            json!({"fault": "hang", "seconds": 99_999}),
            "allowed: up to 3600",
        ),
        (
            json!({"fault": "delay", "ms": 99_999_999}),
            "allowed: up to 3600000",
        ),
        (
            json!({"fault": "reset", "often": 1}),
            "unknown field `often`",
        ),
        (json!({}), "missing field `fault`"),
    ] {
        let (status, body) = lab.post("/sandbox/toy/faults", fault).await;
        assert_eq!((status, &body["ok"]), (400, &json!(false)));
        assert!(body["error"].as_str().unwrap().contains(words), "{body}");
    }
    assert_eq!(lab.get("/sandbox/toy/faults").await.1, json!([]));
}
