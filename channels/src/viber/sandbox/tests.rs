//! The emulator refuses what Viber refuses, in Viber's words.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use super::*;
use crate::kit::http::Auth;
use crate::kit::secret::Secret;
use crate::viber::config::sandbox_settings;
use crate::viber::render::TOKEN_HEADER;

const NOW: Millis = Millis(1_795_000_100_000);
const BASE: &str = "http://127.0.0.1:8081/sandbox-viber";

fn sandbox() -> Sandbox {
    let common = Common {
        id: "sandbox-viber".into(),
        api_base: Some(BASE.into()),
        webhook_url: "http://127.0.0.1:8080/webhooks/sandbox-viber".into(),
    };
    Sandbox::new(&common, &Settings::read(sandbox_settings()).unwrap())
}

fn token() -> String {
    sandbox_settings()["auth_token"].as_str().unwrap().to_owned()
}

fn call_at(sandbox: &mut Sandbox, method: &str, fields: &Value, now: Millis) -> (Value, Vec<Hook>) {
    let request = Request::post_json(format!("{BASE}/{method}"), fields.to_string());
    let request = request.with_header(TOKEN_HEADER, token());
    let exchange = sandbox.handle(&request, now);
    assert_eq!(exchange.response.status, 200);
    let answer = serde_json::from_slice(&exchange.response.body).unwrap();
    (answer, exchange.hooks)
}

fn call(sandbox: &mut Sandbox, method: &str, fields: &Value) -> Value {
    call_at(sandbox, method, fields, NOW).0
}

/// A message that is taken, with these fields over it; null removes one.
fn message(changes: Value) -> Value {
    let mut message = json!({"receiver": CUSTOMER, "sender": {"name": "Acme"}, "type": "text",
        "text": "hi", "tracking_data": "sb-1-0", "min_api_version": 1});
    let fields = message.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(fields.remove(name)),
            value => drop(fields.insert(name.clone(), value.clone())),
        }
    }
    message
}

fn body(hook: &Hook) -> Value {
    match &hook.request.body {
        Body::Json(text) => serde_json::from_str(text).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_viber_refuses_is_refused_with_its_status() {
    let file = "https://files.example.net/a.pdf";
    let video = "https://files.example.net/a.mp4";
    let keyboard = |button: Value| json!({"keyboard": {"Type": "keyboard", "Buttons": [button]}});
    let cases = [
        (json!({"receiver": null}), 4, "receiver"),
        (json!({"receiver": "NobodyAtAll=="}), 5, "receiverNotRegistered"),
        (json!({"sender": null}), 4, "sender"),
        (json!({"sender": {"avatar": "https://a.example/a.png"}}), 4, "name"),
        (json!({"sender": {"name": "x".repeat(29)}}), 3, "28"),
        (json!({"type": null}), 4, "type"),
        (json!({"type": "poll"}), 3, "type poll is unknown"),
        (json!({"text": null}), 4, "text"),
        (json!({"text": ""}), 4, "text"),
        (json!({"text": "é".repeat(7001)}), 3, "7000"),
        (json!({"text": "😀".repeat(8000)}), 3, "30 KB"),
        (json!({"bogus": 1}), 3, "unknown field bogus"),
        (json!({"tracking_data": "x".repeat(4001)}), 3, "4000"),
        (json!({"min_api_version": 0}), 3, "min_api_version"),
        (json!({"min_api_version": 11}), 14, "incompatibleWithVersion"),
        (json!({"min_api_version": 101}), 13, "apiVersionNotSupported"),
        (json!({"type": "picture", "text": null, "media": "https://a.example/a.jpg"}), 4, "text"),
        (json!({"type": "picture", "media": "https://a.example/a.webp"}), 3, "does not end in"),
        (json!({"type": "picture", "media": "ftp://a.example/a.jpg"}), 3, "no link"),
        (json!({"type": "picture", "text": "x".repeat(769), "media": "https://a.example/a.jpg"}), 3, "768"),
        (json!({"type": "video", "text": null, "media": video}), 4, "size"),
        (json!({"type": "video", "text": null, "media": video, "size": 27_262_977}), 3, "size"),
        (json!({"type": "video", "text": null, "media": video, "size": 1, "duration": 181}), 3, "duration"),
        (json!({"type": "file", "text": null, "media": file, "size": 1}), 4, "file_name"),
        (json!({"type": "file", "text": null, "media": file, "size": 1, "file_name": "a"}), 3, "extension"),
        (json!({"type": "file", "text": null, "media": file, "size": 1, "file_name": "a.exe"}), 3, "exe"),
        (json!({"type": "file", "text": null, "media": file, "size": 1, "file_name": "a.doc"}), 3, "does not end in doc"),
        (json!({"type": "file", "text": null, "media": file, "size": 52_428_801, "file_name": "a.pdf"}), 3, "size"),
        (json!({"type": "location", "text": null}), 4, "location"),
        (json!({"type": "location", "text": null, "location": {"lat": 91, "lon": 0}}), 3, "globe"),
        (json!({"type": "contact", "text": null, "contact": {"name": "Bo"}}), 4, "phone_number"),
        (json!({"type": "contact", "text": null, "contact": {"name": "x".repeat(29), "phone_number": "+1"}}), 3, "28"),
        (json!({"type": "sticker", "text": null, "sticker_id": "x"}), 3, "sticker_id"),
        (json!({"type": "url", "text": null, "media": format!("https://a.example/{}", "x".repeat(2000))}), 3, "2000"),
        (json!({"type": "rich_media", "text": null, "rich_media": {"Type": "rich_media", "Buttons": []}}), 3, "min_api_version 2"),
        (json!({"keyboard": {"Buttons": [{"ActionBody": "a"}]}}), 3, "Type"),
        (json!({"keyboard": {"Type": "keyboard", "Buttons": []}}), 4, "Buttons"),
        (keyboard(json!({"Text": "a"})), 4, "ActionBody"),
        (keyboard(json!({"ActionBody": "a", "Columns": 7})), 3, "Columns"),
        (keyboard(json!({"ActionBody": "a", "ActionType": "explode"})), 3, "explode"),
        (keyboard(json!({"ActionBody": "a", "text": "a"})), 3, "unknown field text"),
        (keyboard(json!({"ActionBody": "a", "Text": "x".repeat(251)})), 3, "Text"),
        (json!({"keyboard": {"Type": "keyboard", "InputFieldState": "hidden", "Buttons": [{"ActionBody": "a"}]}}), 3, "min_api_version 4"),
    ];
    let mut sandbox = sandbox();
    for (changes, status, words) in cases {
        let answer = call(&mut sandbox, "send_message", &message(changes.clone()));
        assert_eq!(answer["status"], status, "{answer}");
        let said = answer["status_message"].as_str().unwrap();
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(sandbox.phone().is_empty(), "what is refused is not sent");
    let answer = call(&mut sandbox, "send_message", &message(json!({})));
    assert_eq!(answer["status"], 0);
    assert!(answer["message_token"].is_u64());
}

#[test]
fn the_token_is_checked_wherever_it_stands() {
    let mut sandbox = sandbox();
    let post = |body: &str| Request::post_json(format!("{BASE}/get_account_info"), body.into());
    let header = |value: String| Auth::Header {
        name: TOKEN_HEADER,
        value: Secret::new(value),
    };
    let in_body = json!({"auth_token": token()}).to_string();
    let raw = Request {
        body: Body::Raw(in_body.clone().into()),
        ..post("")
    };
    let cases = [
        (post("{}").with_auth(header(token())), 0),
        (post("{}").with_header("x-viber-auth-token", token()), 0),
        (post(&in_body), 0),
        (raw, 0),
        (post("{}").with_auth(header("other".into())), 2),
        (post("{}"), 2),
        (post("no json").with_auth(header(token())), 3),
        (post("[]").with_auth(header(token())), 3),
    ];
    for (request, status) in cases {
        let exchange = sandbox.handle(&request, NOW);
        let answer: Value = serde_json::from_slice(&exchange.response.body).unwrap();
        assert_eq!(answer["status"], status, "{answer}");
    }
    let other = Request::get(format!("{BASE}/get_account_info"));
    assert_eq!(sandbox.handle(&other, NOW).response.status, 405);
    let other = Request::post_json(format!("{BASE}/no_such_method"), "{}".into());
    assert_eq!(sandbox.handle(&other, NOW).response.status, 404);
}

#[test]
fn a_bot_without_a_webhook_sends_nothing() {
    let mut sandbox = sandbox();
    assert_eq!(call(&mut sandbox, "set_webhook", &json!({"url": ""}))["status"], 0);
    assert_eq!(call(&mut sandbox, "send_message", &message(json!({})))["status"], 10);
    for url in ["http://elsewhere.example/", "https://elsewhere.example/", "nonsense"] {
        let answer = call(&mut sandbox, "set_webhook", &json!({"url": url}));
        assert_eq!(answer["status"], 1, "{url}");
    }
    let ours = "http://127.0.0.1:8080/webhooks/sandbox-viber";
    let fields = json!({"url": ours, "event_types": ["failed"]});
    let (answer, hooks) = call_at(&mut sandbox, "set_webhook", &fields, NOW);
    assert_eq!(answer["event_types"], json!(["failed"]));
    assert_eq!(body(&hooks[0])["event"], "webhook");
    let (_, hooks) = call_at(&mut sandbox, "send_message", &message(json!({})), NOW);
    assert!(hooks.is_empty(), "nobody asked for delivered");
    let bad = json!({"url": ours, "event_types": ["typing"]});
    assert_eq!(call(&mut sandbox, "set_webhook", &bad)["status"], 3);
}

#[test]
fn a_hundred_unanswered_messages_an_hour() {
    let mut sandbox = sandbox();
    for _ in 0..100 {
        assert_eq!(call(&mut sandbox, "send_message", &message(json!({})))["status"], 0);
    }
    assert_eq!(call(&mut sandbox, "send_message", &message(json!({})))["status"], 12);
    let say = serde_json::from_value(json!({"do": "say", "text": "yes?"})).unwrap();
    sandbox.act(&say, NOW).unwrap();
    for _ in 0..100 {
        assert_eq!(call(&mut sandbox, "send_message", &message(json!({})))["status"], 0);
    }
    let later = NOW.plus(3_600_000);
    assert_eq!(call(&mut sandbox, "send_message", &message(json!({})))["status"], 12);
    let (answer, _) = call_at(&mut sandbox, "send_message", &message(json!({})), later);
    assert_eq!(answer["status"], 0);
}

#[test]
fn people_are_described_twice_in_twelve_hours() {
    let mut sandbox = sandbox();
    let who = json!({"id": CUSTOMER});
    for status in [0, 0, 12] {
        assert_eq!(call(&mut sandbox, "get_user_details", &who)["status"], status);
    }
    let (answer, _) = call_at(&mut sandbox, "get_user_details", &who, NOW.plus(43_200_000));
    assert_eq!(answer["user"]["name"], "Dana Fields");
    let online = call(&mut sandbox, "get_online", &json!({"ids": [CUSTOMER, "nobody"]}));
    let states: Vec<&Value> = (0..2).map(|i| &online["users"][i]["online_status"]).collect();
    assert_eq!(states, [0, 4]);
    assert_eq!(call(&mut sandbox, "broadcast_message", &json!({}))["status"], 20);
}

#[test]
fn who_is_new_opens_the_chat_first_and_gets_tracking_data_back() {
    let mut sandbox = sandbox();
    let say = json!({"do": "say", "from": "BrandNewPerson==", "name": "Bo Li", "text": "hi"});
    let say: Action = serde_json::from_value(say).unwrap();
    let hooks = sandbox.act(&say, NOW).unwrap();
    let events: Vec<Value> = hooks.iter().map(body).collect();
    assert_eq!(events[0]["event"], "conversation_started");
    assert_eq!(events[1]["event"], "message");
    assert_eq!(events[1]["sender"]["name"], "Bo Li");
    assert_eq!(events[1]["message"]["tracking_data"], "");
    let send = message(json!({"receiver": "BrandNewPerson=="}));
    assert_eq!(call(&mut sandbox, "send_message", &send)["status"], 0);
    let hooks = sandbox.act(&say, NOW).unwrap();
    assert_eq!(hooks.len(), 1);
    assert_eq!(body(&hooks[0])["message"]["tracking_data"], "sb-1-0");
}

#[test]
fn what_viber_does_not_tell_bots_cannot_be_done() {
    let mut sandbox = sandbox();
    for action in [
        json!({"do": "react", "emoji": "👍"}),
        json!({"do": "edit", "text": "x"}),
        json!({"do": "say", "text": "x", "reply_to": "1"}),
        json!({"do": "say"}),
        json!({"do": "press", "button": "Yes"}),
        json!({"do": "read"}),
        json!({"do": "unblock"}),
        json!({"do": "say", "from": "x y", "text": "x"}),
    ] {
        let action: Action = serde_json::from_value(action).unwrap();
        assert!(!sandbox.act(&action, NOW).unwrap_err().0.is_empty());
    }
}

#[test]
fn tokens_do_not_repeat_after_a_restart_a_moment_later() {
    let first = call(&mut sandbox(), "send_message", &message(json!({})));
    let (second, _) = call_at(&mut sandbox(), "send_message", &message(json!({})), NOW.plus(1));
    let number = |answer: &Value| answer["message_token"].as_u64().unwrap();
    assert!(number(&second) > number(&first) + 1_000_000);
    assert!(number(&first) > 1 << 53, "as large as Viber's own");
}
