//! The sandbox's own routes: actions, log, page, and what they refuse.

use super::{Lab, tls, toy};
use crate::sandbox::{HookTarget, Listener, Options, SandboxError, bind};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn an_action_is_done_and_shown_on_the_phone_until_reset() {
    let lab = Lab::new().await;
    let (status, body) = lab
        .post("/sandbox/toy/act", json!({"do": "say", "text": "hi"}))
        .await;
    assert_eq!(status, 200);
    let posted = json!({"ok": true, "posted": [{"status": 200, "body": "taken"}]});
    assert_eq!(body, posted);
    let (_, phone) = lab.get("/sandbox/toy/phone").await;
    assert_eq!(phone[0]["text"], "hi");
    assert_eq!(phone[0]["from_gateway"], false);
    assert!(phone[0]["at"].as_i64().unwrap() > 1_700_000_000_000);
    assert_eq!(lab.get("/sandbox/other/phone").await.1, json!([]));
    lab.post("/sandbox/toy/reset", json!({})).await;
    assert_eq!(lab.get("/sandbox/toy/phone").await, (200, json!([])));
    // Nothing to tell the gateway.
    let read = lab.post("/sandbox/toy/act", json!({"do": "read"})).await;
    assert_eq!(read, (200, json!({"ok": true, "posted": []})));
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let lab = Lab::new().await;
    for (action, words) in [
        (json!({"do": "press", "button": "Yes"}), "no button \"Yes\""),
        (json!({"do": "dance"}), "unknown variant `dance`"),
        (json!({"do": "say", "texxt": "x"}), "unknown field `texxt`"),
        (json!([]), "missing field `do`"),
    ] {
        let (status, body) = lab.post("/sandbox/toy/act", action).await;
        assert_eq!((status, &body["ok"]), (400, &json!(false)), "{body}");
        assert!(body["error"].as_str().unwrap().contains(words), "{body}");
    }
    let say = json!({"do": "say", "text": "x"});
    let (status, body) = lab.post("/sandbox/tyo/act", say.clone()).await;
    assert_eq!(status, 404);
    assert_eq!(body["error"], "no account \"tyo\"; there are: toy, other");
    assert_eq!(lab.get("/tyo/m").await, (404, body));
    assert_eq!(lab.get("/sandbox/toy/act").await.0, 405);
    assert_eq!(lab.get("/sandbox/toy/dance").await.0, 404);
    assert_eq!(lab.post("/sandbox/toy/act?wait=x", say).await.0, 400);
    let trace = lab
        .client
        .request(reqwest::Method::TRACE, lab.url("/toy/m"));
    assert_eq!(trace.send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn pages_of_other_sites_can_do_nothing() {
    let lab = Lab::new().await;
    let text = r#"{"do":"say","text":"x"}"#;
    for path in ["act", "faults"] {
        for mime in ["text/plain", "application/x-www-form-urlencoded"] {
            let url = lab.url(&format!("/sandbox/toy/{path}"));
            let request = lab.client.post(url).header("content-type", mime).body(text);
            assert_eq!(request.send().await.unwrap().status(), 415);
        }
    }
    for path in ["/sandbox/toy/reset", "/sandbox/toy/act"] {
        let request = lab.client.post(lab.url(path)).json(&json!({"do": "read"}));
        let response = request
            .header("sec-fetch-site", "cross-site")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 403);
        assert!(
            response
                .headers()
                .get("access-control-allow-origin")
                .is_none()
        );
        let request = lab.client.post(lab.url(path)).json(&json!({"do": "read"}));
        let response = request
            .header("sec-fetch-site", "same-origin")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    }
    let preflight = lab
        .client
        .request(reqwest::Method::OPTIONS, lab.url("/sandbox/toy/act"))
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST")
        .send()
        .await
        .unwrap();
    assert!(!preflight.status().is_success());
    assert!(
        preflight
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );
}

#[tokio::test]
async fn the_log_has_what_came_and_can_be_cleared() {
    let lab = Lab::new().await;
    lab.post("/toy/bot1:secret/send?a=%20", json!({"n": 1}))
        .await;
    let form = [("a", "1"), ("b", "2"), ("a", "3")];
    let sent = lab
        .client
        .post(lab.url("/toy/form"))
        .form(&form)
        .send()
        .await;
    assert_eq!(sent.unwrap().status(), 200);
    lab.client.delete(lab.url("/toy")).send().await.unwrap();
    let raw = lab.client.post(lab.url("/toy/raw")).body("plain");
    raw.send().await.unwrap();
    let log = lab.log().await;
    let short = |entry: &Value| {
        [
            "seq",
            "method",
            "path",
            "query",
            "body_kind",
            "body",
            "status",
        ]
        .map(|key| entry[key].clone())
    };
    let expected = [
        json!([1, "POST", "/bot1:secret/send", "a=%20", "json", {"n": 1}, 200]),
        json!([2, "POST", "/form", null, "form", {"a": ["1", "3"], "b": "2"}, 200]),
        json!([3, "DELETE", "", null, "empty", null, 200]),
        json!([4, "POST", "/raw", null, "raw", "plain", 200]),
    ];
    let shown: Vec<Value> = log.iter().map(|e| json!(short(e))).collect();
    assert_eq!(shown, expected);
    assert!(log[0]["received_at_ms"].as_i64().unwrap() > 1_700_000_000_000);
    assert_eq!(log[0]["headers"]["content-type"], "application/json");

    let (_, later) = lab.get("/sandbox/toy/requests?after=3").await;
    assert_eq!(later.as_array().unwrap().len(), 1);
    let (_, all) = lab.get("/sandbox/toy/requests?clear=1").await;
    assert_eq!(all.as_array().unwrap().len(), 4);
    assert_eq!(lab.log().await.len(), 0);
    lab.get("/toy/m").await;
    assert_eq!(lab.log().await[0]["seq"], 5);
}

#[test]
fn the_log_is_bounded_in_number_and_in_bytes() {
    use crate::sandbox::log::{ENTRIES_MAX, Log, Outcome};
    use switchboard_channels::kit::http::Request;
    use switchboard_channels::model::Millis;
    let outcome = Outcome {
        status: Some(200),
        platform_status: Some(200),
        fault: None,
    };
    let log = Log::default();
    let fill = |text: &str, n: usize| {
        for _ in 0..n {
            let request = Request::post_json("http://x/y", text.to_owned());
            log.push("/y", request, Millis(0), outcome);
        }
    };
    fill("1", ENTRIES_MAX + 5);
    let list = log.list(0, false);
    assert_eq!(list.len(), ENTRIES_MAX);
    assert_eq!(list[0]["seq"], 6);
    let text = format!("\"{}\"", "x".repeat(64 * 1024 - 2));
    fill(&text, 2000);
    let list = log.list(0, true);
    assert!((500..1024).contains(&list.len()), "{}", list.len());
    assert_eq!(list.last().unwrap()["seq"], ENTRIES_MAX + 2005);
    assert_eq!(
        list.last().unwrap()["body"].as_str().unwrap().len(),
        64 * 1024 - 2
    );
    // Too large to keep: its size is.
    fill(&"x".repeat(64 * 1024 + 1), 1);
    assert_eq!(
        log.list(0, false)[0]["body"],
        json!({"bytes": 64 * 1024 + 1})
    );
}

#[tokio::test]
async fn the_log_can_be_switched_off() {
    let lab = Lab::with(Options {
        log_requests: false,
        ..Options::default()
    })
    .await;
    assert_eq!(lab.get("/toy/m").await.0, 200);
    let (status, body) = lab.get("/sandbox/toy/requests").await;
    assert_eq!(status, 409);
    assert_eq!(body["error"], "the log of requests is switched off");
}

#[tokio::test]
async fn the_page_is_served_and_brings_all_it_needs() {
    let lab = Lab::new().await;
    let response = lab.client.get(lab.url("/")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["content-type"],
        "text/html; charset=utf-8"
    );
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = response.text().await.unwrap();
    assert!(page.contains("Switchboard sandbox"));
    // Nothing from elsewhere, and nothing that would write what strangers say as HTML.
    for banned in [
        "src=",
        "@import",
        "url(",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "style=",
    ] {
        assert!(!page.contains(banned), "{banned}");
    }
    // The policy's hashes are over the first element of each kind: there must be no second.
    for element in ["<script", "<style"] {
        assert_eq!(page.matches(element).count(), 1, "{element}");
    }
}

#[tokio::test]
async fn it_refuses_ids_that_it_cannot_serve() {
    tls();
    let gateway = "127.0.0.1:9".parse().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    for (ids, words) in [
        (vec!["a", "a"], "two accounts"),
        (vec!["sandbox"], "taken by the sandbox"),
        (vec![""], "made of"),
        (vec!["a/b"], "made of"),
        (vec!["Ä"], "made of"),
    ] {
        let accounts = ids.into_iter().map(|id| toy(id, gateway)).collect();
        let Err(error) = bind(any, accounts, HookTarget::AsWritten).await else {
            panic!("{words}");
        };
        assert!(error.to_string().contains(words), "{error}");
    }
    let taken = Listener::bind(any).unwrap();
    let Err(error) = bind(taken.addr(), Vec::new(), HookTarget::AsWritten).await else {
        panic!("two listen on one address");
    };
    assert!(matches!(error, SandboxError::Listen { listen, .. } if listen == taken.addr()));
}

#[tokio::test]
async fn it_stops_when_told_to_even_while_a_request_hangs() {
    let lab = Lab::new().await;
    let hang = json!({"fault": "hang", "seconds": 3600});
    assert_eq!(lab.post("/sandbox/toy/faults", hang).await.0, 200);
    let hanging = tokio::spawn(lab.client.get(lab.url("/toy/m")).send());
    while lab.log().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stop = async {
        lab.sandbox.stop().await;
        lab.running.await.unwrap().unwrap();
    };
    tokio::time::timeout(Duration::from_secs(10), stop)
        .await
        .unwrap();
    assert!(hanging.await.unwrap().is_err());
    assert!(tokio::net::TcpStream::connect(lab.addr).await.is_err());
    lab.gateway_server.stop(false).await;
}
