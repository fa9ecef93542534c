//! The emulator refuses what X refuses.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use super::*;
use crate::kit::http::{Auth, Field};
use crate::kit::secret::Secret;
use crate::twitter::config::sandbox_settings;
use crate::twitter::oauth::Stamp;
use crate::twitter::render::{AUTHORIZATION, Api};

const NOW: Millis = Millis(1_795_000_100_000);
const BASE: &str = "http://127.0.0.1:8081/sandbox-twitter";

fn common() -> Common {
    Common {
        id: "sandbox-twitter".into(),
        api_base: Some(BASE.into()),
        webhook_url: "http://127.0.0.1:8080/webhooks/sandbox-twitter".into(),
    }
}

fn settings() -> Settings {
    Settings::read(sandbox_settings()).unwrap()
}

fn api() -> Api {
    Api::new(&common(), settings())
}

/// An account, and the nonces that were used with it.
struct World {
    sandbox: Sandbox,
    nonce: u32,
}

impl World {
    fn new() -> Self {
        Self {
            sandbox: Sandbox::new(&common(), &settings()),
            nonce: 0,
        }
    }

    fn stamp(&mut self) -> Stamp {
        self.nonce += 1;
        Stamp {
            nonce: format!("n{}", self.nonce),
            timestamp: NOW.0 / 1000,
        }
    }

    fn raw(&mut self, request: &Request) -> (u16, Value, Exchange) {
        let exchange = self.sandbox.handle(request, NOW);
        let body = serde_json::from_slice(&exchange.response.body).unwrap_or_default();
        (exchange.response.status, body, exchange)
    }

    fn call(&mut self, request: Request) -> (u16, Value) {
        let stamp = self.stamp();
        let (status, body, _) = self.raw(&api().signed(request, &stamp));
        (status, body)
    }

    fn post(&mut self, path: &str, fields: &Value) -> (u16, Value) {
        self.call(Request::post_json(format!("{BASE}{path}"), fields.to_string()))
    }

    fn send(&mut self, fields: &Value) -> (u16, Value) {
        self.post(&format!("/2/dm_conversations/with/{CUSTOMER}/messages"), fields)
    }
}

#[test]
fn only_the_right_signature_passes() {
    let mut world = World::new();
    let url = format!("{BASE}/2/users/{CUSTOMER}?user.fields=name,username");
    let stamp = world.stamp();
    let good = api().signed(Request::get(&url), &stamp);
    let header = |request: &Request| match &request.auth {
        Auth::Header { value, .. } => value.expose().to_owned(),
        other => panic!("{other:?}"),
    };
    let fresh = |world: &mut World| {
        let stamp = world.stamp();
        header(&api().signed(Request::get(&url), &stamp))
    };
    let with = |value: String| {
        Request::get(&url).with_auth(Auth::Header {
            name: AUTHORIZATION,
            value: Secret::new(value),
        })
    };
    assert_eq!(world.raw(&good).0, 200);
    assert_eq!(world.raw(&good).0, 401, "the nonce was used");

    let over_the_wire = Request::get(&url).with_header("authorization", fresh(&mut world));
    assert_eq!(world.raw(&over_the_wire).0, 200);

    let mut late = world.stamp();
    late.timestamp -= 301;
    assert_eq!(world.raw(&api().signed(Request::get(&url), &late)).0, 401);

    let other_url = format!("{url},description");
    let stolen = Request::get(other_url).with_auth(with(fresh(&mut world)).auth);
    assert_eq!(world.raw(&stolen).0, 401, "the query is signed");

    for (from, to) in [
        ("HMAC-SHA1", "PLAINTEXT"),
        ("oauth_version=\"1.0\"", "oauth_version=\"2.0\""),
        ("sandboxConsumerKey0001", "anotherKey"),
        ("1500000000000000001-sandboxAccess01", "another-token"),
        ("OAuth ", "Bearer "),
        ("OAuth ", "Basic "),
        ("oauth_nonce=", "oauth_nonsense="),
        ("oauth_version=\"1.0\"", "oauth_version=\"1.0\", oauth_body_hash=\"x\""),
        ("oauth_version=\"1.0\"", "oauth_version=\"1.0\", oauth_version=\"1.0\""),
    ] {
        let changed = fresh(&mut world).replacen(from, to, 1);
        let (status, ..) = world.raw(&with(changed));
        assert!(status == 401 || status == 403, "{to}: {status}");
    }
    assert_eq!(world.raw(&Request::get(&url)).0, 401);

    let mut stranger = settings();
    stranger.access_token_secret = Secret::new("another");
    let stamp = world.stamp();
    let request = Api::new(&common(), stranger).signed(Request::get(&url), &stamp);
    assert_eq!(world.raw(&request).0, 401);
}

#[test]
fn what_x_refuses_is_refused() {
    let cases = [
        (json!({}), "is required"),
        (json!({"text": " "}), "empty"),
        (json!({"text": 5}), "string"),
        (json!({"text": "é".repeat(10_001)}), "max character limit"),
        (json!({"text": "x", "reply_to": "1"}), "[reply_to] is not a valid property"),
        (json!({"attachments": []}), "exactly one"),
        (json!({"attachments": [{"media_id": "1"}, {"media_id": "2"}]}), "exactly one"),
        (json!({"attachments": [{"media_id": "77"}]}), "not a valid media id"),
        (json!({"attachments": [{"media_id": 77}]}), "is required"),
    ];
    let mut world = World::new();
    for (fields, words) in cases {
        let (status, body) = world.send(&fields);
        assert_eq!(status, 400, "{fields}: {body}");
        assert!(body["detail"].as_str().unwrap().contains(words), "{fields}: {body}");
    }
    let nobody = "/2/dm_conversations/with/42/messages";
    assert_eq!(world.post(nobody, &json!({"text": "x"})).0, 404);
    assert_eq!(world.post("/2/no/such/path", &json!({})).0, 404);
    assert!(world.sandbox.phone().is_empty(), "what is refused is not sent");

    let (status, body) = world.send(&json!({"text": "x"}));
    assert_eq!(status, 201);
    assert_eq!(
        body["data"]["dm_conversation_id"],
        format!("1500000000000000001-{CUSTOMER}")
    );
    let known = format!("/2/dm_conversations/1500000000000000001-{CUSTOMER}/messages");
    let (status, body) = world.post(&known, &json!({"text": "y"}));
    assert_eq!(status, 201);
    let id = body["data"]["dm_event_id"].as_str().unwrap().to_owned();
    let url = format!("{BASE}/2/dm_conversations/with/{CUSTOMER}/dm_events");
    let (_, listed) = world.call(Request::get(url));
    assert_eq!(listed["data"][0]["text"], "y");
    let mut delete = Request::get(format!("{BASE}/2/dm_events/{id}"));
    delete.method = crate::kit::http::Method::Delete;
    assert_eq!(world.call(delete.clone()).1["data"]["deleted"], true);
    assert_eq!(world.call(delete).0, 404);
}

#[test]
fn uploads_are_checked_and_films_take_their_time() {
    let mut world = World::new();
    let begin = |category: &str, mime: &str, total: u64| {
        json!({"media_category": category, "media_type": mime, "total_bytes": total})
    };
    for fields in [
        begin("tweet_video", "video/mp4", 5),
        begin("dm_video", "video/quicktime", 5),
        begin("dm_gif", "image/gif", 15 * 1024 * 1024 + 1),
        begin("dm_video", "video/mp4", 0),
    ] {
        assert_eq!(world.post("/2/media/upload/initialize", &fields).0, 400, "{fields}");
    }
    let (_, begun) = world.post("/2/media/upload/initialize", &begin("dm_video", "video/mp4", 6));
    let id = begun["data"]["id"].as_str().unwrap().to_owned();
    let piece = |index: &str, bytes: &'static [u8]| {
        let field = |name: &str, bytes: &'static [u8], file: Option<&str>| Field {
            name: name.into(),
            file_name: file.map(str::to_owned),
            mime: None,
            bytes: Bytes::from_static(bytes),
        };
        let index = Field {
            bytes: Bytes::from(index.to_owned()),
            ..field("segment_index", b"", None)
        };
        let fields = vec![index, field("media", bytes, Some("a.mp4"))];
        Request::post_multipart(format!("{BASE}/2/media/upload/{id}/append"), fields)
    };
    let end = || {
        let mut request = Request::get(format!("{BASE}/2/media/upload/{id}/finalize"));
        request.method = crate::kit::http::Method::Post;
        request
    };
    assert_eq!(world.call(piece("1", b"abc")).0, 400, "pieces count from 0");
    assert_eq!(world.call(piece("0", b"abc")).0, 200);
    assert_eq!(world.call(end()).0, 400, "not complete");
    assert_eq!(world.call(piece("1", b"too much")).0, 400);
    assert_eq!(world.call(piece("1", b"def")).0, 200);
    assert_eq!(world.call(end()).1["data"]["processing_info"]["state"], "pending");
    let send = json!({"attachments": [{"media_id": id}]});
    assert_eq!(world.send(&send).0, 400, "not ready");
    let state = || Request::get(format!("{BASE}/2/media/upload?command=STATUS&media_id={id}"));
    assert_eq!(world.call(state()).1["data"]["processing_info"]["state"], "in_progress");
    assert_eq!(world.call(state()).1["data"]["processing_info"]["state"], "succeeded");
    assert_eq!(world.send(&send).0, 201);
    assert_eq!(world.send(&send).0, 400, "each upload is sent once");
}

#[test]
fn the_day_ends_at_1440_messages() {
    let mut world = World::new();
    for _ in 0..1440 {
        assert_eq!(world.send(&json!({"text": "x"})).0, 201);
    }
    let stamp = world.stamp();
    let url = format!("{BASE}/2/dm_conversations/with/{CUSTOMER}/messages");
    let request = Request::post_json(url, json!({"text": "x"}).to_string());
    let (status, _, exchange) = world.raw(&api().signed(request, &stamp));
    assert_eq!(status, 429);
    let error = crate::twitter::classify::error(&exchange.response, NOW);
    let crate::error::Class::Limited { after, .. } = error.class else {
        panic!("{error:?}");
    };
    assert_eq!(after.unwrap().as_secs(), 86_400);
}

#[test]
fn what_x_does_not_tell_cannot_be_done() {
    let mut world = World::new();
    for action in [
        json!({"do": "react", "emoji": "👍"}),
        json!({"do": "edit", "text": "x"}),
        json!({"do": "press", "button": "Yes"}),
        json!({"do": "say", "text": "x", "reply_to": "1"}),
        json!({"do": "say"}),
        json!({"do": "say", "from": "ada", "text": "x"}),
        json!({"do": "say", "attachment": {"name": "a.pdf", "mime": "application/pdf"}}),
        json!({"do": "read"}),
        json!({"do": "unblock"}),
    ] {
        let action: Action = serde_json::from_value(action).unwrap();
        assert!(!world.sandbox.act(&action, NOW).unwrap_err().0.is_empty());
    }
}
