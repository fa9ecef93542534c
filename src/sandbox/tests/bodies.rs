//! Requests arrive at the emulator as they were sent, and its answers as it gave them.

use super::Lab;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the toy saw of a request.
async fn seen(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test]
async fn every_kind_of_body_is_decoded() {
    let lab = Lab::new().await;
    let post = || lab.client.post(lab.url("/toy/m"));
    let typed = |mime: &str, body: &'static [u8]| post().header("content-type", mime).body(body);
    let cases = [
        (
            typed("application/json", br#"{"a": 1}"#),
            r#"Json("{\"a\": 1}")"#,
        ),
        (
            typed("Application/JSON; charset=utf-8", b"[]"),
            r#"Json("[]")"#,
        ),
        (typed("application/vnd.x+json", b"[]"), r#"Json("[]")"#),
        (typed("application/json", b"\xff"), r#"Raw(b"\xff")"#),
        (typed("application/json", b""), "Empty"),
        (
            typed(
                "application/x-www-form-urlencoded",
                b"b=2&a=x+y%26&b=%C3%A9",
            ),
            r#"Form([("b", "2"), ("a", "x y&"), ("b", "é")])"#,
        ),
        (typed("application/x-www-form-urlencoded", b""), "Form([])"),
        (typed("image/png", b"\x89PNG"), r#"Raw(b"\x89PNG")"#),
        (
            typed("multipart/form-data", b"no boundary"),
            r#"Raw(b"no boundary")"#,
        ),
        (
            typed("multipart/form-data; boundary=x", b"cut"),
            r#"Raw(b"cut")"#,
        ),
        (post(), "Empty"),
    ];
    for (request, expected) in cases {
        assert_eq!(seen(request).await["body"], expected);
    }
}

#[tokio::test]
async fn multipart_keeps_order_names_types_and_bytes() {
    let lab = Lab::new().await;
    let boundary = "=_x";
    let body = b"--=_x\r\nContent-Disposition: form-data; name=\"chat_id\"\r\n\r\n5\r\n\
        --=_x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a b.png\"\r\n\
        Content-Type: image/png\r\n\r\n\x00\x01\r\n--=_\r\n\
        --=_x\r\nContent-Disposition: form-data; name=\"doc\"; filename*=UTF-8''na%C3%AFve.txt\r\n\
        Content-Type: text/plain\r\n\r\n\r\n--=_x--\r\n";
    let request = lab
        .client
        .post(lab.url("/toy/m"))
        .header(
            "content-type",
            format!("multipart/form-data; boundary=\"{boundary}\""),
        )
        .body(&body[..]);
    let expected = r#"Multipart([Field { name: "chat_id", file_name: None, mime: None, bytes: b"5" }, Field { name: "photo", file_name: Some("a b.png"), mime: Some("image/png"), bytes: b"\0\x01\r\n--=_" }, Field { name: "doc", file_name: Some("naïve.txt"), mime: Some("text/plain"), bytes: b"" }])"#;
    assert_eq!(seen(request).await["body"], expected);
    let log = lab.log().await;
    assert_eq!(log[0]["body_kind"], "multipart");
    assert_eq!(
        log[0]["body"][0],
        json!({"name": "chat_id", "file_name": null, "mime": null, "bytes": 1, "value": "5"})
    );
    assert_eq!(log[0]["body"][1]["bytes"], 8);
    assert_eq!(log[0]["body"][1]["value"], Value::Null);
}

#[tokio::test]
async fn an_upload_of_several_megabytes_arrives_whole() {
    let lab = Lab::new().await;
    let big: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let part = reqwest::multipart::Part::bytes(big).file_name("big.bin");
    let form = reqwest::multipart::Form::new().part("file", part);
    let request = lab.client.post(lab.url("/toy/m")).multipart(form);
    let body = seen(request).await["body"].as_str().unwrap().to_owned();
    assert_eq!(body.matches(r"\xfe\xff\0\x01").count(), 5_000_000 / 256);
    assert_eq!(lab.log().await[0]["body"][0]["bytes"], 5_000_000);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let lab = Lab::new().await;
    // Only announced: what counts first is the declared length.
    let mut raw = tokio::net::TcpStream::connect(lab.addr).await.unwrap();
    raw.write_all(b"POST /toy/m HTTP/1.1\r\nhost: x\r\ncontent-length: 67108865\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    raw.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(lab.log().await.len(), 0);
}

#[tokio::test]
async fn url_headers_and_authorization_arrive_as_they_were_sent() {
    let lab = Lab::new().await;
    let raw = "GET /toy/bot1%3Aabc/a%2Fb//c?q=%20x+y&q=&%C3%A9 HTTP/1.1\r\nHost: evil.example\r\n\
        X-Retry-Key: K1\r\nAuthorization: Basic dTpwOnE=\r\nConnection: close\r\n\r\n";
    let mut stream = tokio::net::TcpStream::connect(lab.addr).await.unwrap();
    stream.write_all(raw.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    // The emulator's `content-length: 7` would have cut the answer.
    assert!(head.contains("x-toy: yes"), "{head}");
    assert_eq!(head.matches("content-length").count(), 1, "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        body["url"],
        lab.url("/toy/bot1%3Aabc/a%2Fb//c?q=%20x+y&q=&%C3%A9")
    );
    assert_eq!(body["method"], "Get");
    assert_eq!(body["auth"], json!(["basic", "u", "p:q"]));
    let headers = body["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["x-retry-key", "K1"])));
    assert!(headers.contains(&json!(["authorization", "Basic dTpwOnE="])));

    let bearer = lab
        .client
        .put(lab.url("/toy/m"))
        .bearer_auth("tok")
        .body("x");
    let body = seen(bearer).await;
    assert_eq!(body["auth"], json!(["bearer", "tok"]));
    assert_eq!(body["method"], "Put");
    let names: Vec<_> = body["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| &h[0])
        .collect();
    assert!(!names.contains(&&json!("content-length")), "{names:?}");
}

#[tokio::test]
async fn a_configured_base_url_is_what_the_emulator_sees() {
    let lab = Lab::with(super::Options {
        base_url: Some("http://sandbox.example:81/".to_owned()),
        ..Default::default()
    })
    .await;
    let body = seen(lab.client.get(lab.url("/toy/m?a"))).await;
    assert_eq!(body["url"], "http://sandbox.example:81/toy/m?a");
}

#[tokio::test]
async fn files_of_the_platform_cannot_act_for_the_page() {
    let lab = Lab::new().await;
    let response = lab.client.get(lab.url("/toy/file")).send().await.unwrap();
    assert_eq!(response.headers()["content-security-policy"], "sandbox");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()["content-type"], "text/html");
    assert_eq!(response.text().await.unwrap(), "<script>alert(1)</script>");
}

#[tokio::test]
async fn a_panicking_emulator_answers_500_and_goes_on() {
    let lab = Lab::new().await;
    let (status, body) = lab.get("/toy/panic").await;
    assert_eq!((status, &body["ok"]), (500, &json!(false)));
    assert_eq!(lab.get("/toy/m").await.0, 200);
}
