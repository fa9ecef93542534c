//! What the behaviour suite does not ask: Meta's refusals one by one, and what people can do.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

mod people;

use super::*;
use crate::kit::http::{Auth, Body};
use crate::kit::secret::Secret;
use crate::messenger::config::sandbox_settings;

const NOW: Millis = Millis(1_795_000_100_000);
const HOUR: i64 = 60 * 60 * 1000;
const BASE: &str = "http://127.0.0.1:8081/sandbox-messenger";
const DANA: &str = "7300000000000011";
const BO: &str = "9900000000000021";

fn sandbox_with(changes: Value) -> Sandbox {
    let mut settings = sandbox_settings();
    for (key, value) in changes.as_object().unwrap() {
        settings[key] = value.clone();
    }
    let common = Common {
        id: "sandbox-messenger".into(),
        api_base: Some(BASE.into()),
        webhook_url: "http://127.0.0.1:8080/webhooks/sandbox-messenger".into(),
    };
    Sandbox::new(Account::read(&common, settings).unwrap(), &common)
}

fn sandbox() -> Sandbox {
    sandbox_with(json!({}))
}

fn token() -> Auth {
    Auth::Bearer(Secret::new("sandbox-page-access-token"))
}

fn post(sandbox: &mut Sandbox, body: &Value, now: Millis) -> (Value, Vec<Value>) {
    let url = format!("{BASE}/v25.0/104200000000001/messages");
    let request = Request::post_json(url, body.to_string()).with_auth(token());
    let exchange = sandbox.handle(&request, now);
    let answer = serde_json::from_slice(&exchange.response.body).unwrap();
    (answer, exchange.hooks.iter().map(element).collect())
}

fn get(sandbox: &mut Sandbox, path: &str) -> (u16, Value) {
    let request = Request::get(format!("{BASE}{path}")).with_auth(token());
    let response = sandbox.handle(&request, NOW).response;
    (
        response.status,
        serde_json::from_slice(&response.body).unwrap_or_default(),
    )
}

/// The element of `messaging` in a webhook.
fn element(hook: &Hook) -> Value {
    let Body::Json(text) = &hook.request.body else {
        panic!("{hook:?}")
    };
    assert!(text.is_ascii(), "Meta escapes what is not ASCII: {text}");
    let body: Value = serde_json::from_str(text).unwrap();
    body["entry"][0]["messaging"][0].clone()
}

fn act(sandbox: &mut Sandbox, action: Value) -> Result<Vec<Value>, String> {
    let action = serde_json::from_value(action).unwrap();
    let hooks = sandbox.act(&action, NOW).map_err(|e| e.0)?;
    Ok(hooks.iter().map(element).collect())
}

fn text_to(id: &str, text: &str) -> Value {
    let mut body = json!({"recipient": {"id": id}, "message": {"text": text}});
    if id == DANA {
        body["messaging_type"] = json!("RESPONSE");
    }
    body
}

fn message(content: Value) -> Value {
    json!({"recipient": {"id": DANA}, "messaging_type": "RESPONSE", "message": content})
}

/// Code and subcode of a refusal; `(0, 0)`: it was taken.
fn code(answer: &Value) -> (i64, i64) {
    let error = &answer["error"];
    let number = |name: &str| error[name].as_i64().unwrap_or_default();
    (number("code"), number("error_subcode"))
}

#[test]
fn what_is_wrong_is_refused_with_metas_code() {
    let buttons = |buttons: Value| {
        message(json!({"attachment": {"type": "template", "payload":
            {"template_type": "button", "text": "Go", "buttons": buttons}}}))
    };
    let image = |url: &str| {
        message(
            json!({"attachment": {"type": "image", "payload": {"url": url, "is_reusable": false}}}),
        )
    };
    let replies = |n: usize, title: &str| {
        let reply = json!({"content_type": "text", "title": title, "payload": "p"});
        message(json!({"text": "x", "quick_replies": vec![reply; n]}))
    };
    let mut untyped = text_to(DANA, "x");
    untyped.as_object_mut().unwrap().remove("messaging_type");
    let mut typed = text_to(BO, "x");
    typed["messaging_type"] = json!("RESPONSE");
    let mut dead = text_to(DANA, "x");
    dead["messaging_type"] = json!("MESSAGE_TAG");
    dead["tag"] = json!("ACCOUNT_UPDATE");
    let mut lost = text_to(DANA, "x");
    lost["reply_to"] = json!({"mid": "m_nobody"});
    let with = |name: &str, value: Value| {
        let mut body = text_to(DANA, "x");
        body[name] = value;
        body
    };
    let cases = [
        (text_to(DANA, &"😀".repeat(1000)), (0, 0)),
        (text_to(DANA, &"x".repeat(2001)), (100, 0)),
        (text_to(BO, &"é".repeat(500)), (0, 0)),
        (text_to(BO, &"é".repeat(501)), (100, 0)),
        (text_to(DANA, " \n"), (100, 2_018_015)),
        (message(json!({})), (100, 2_018_015)),
        (message(json!({"text": 5})), (100, 0)),
        (message(json!({"text": "x", "colour": "red"})), (100, 0)),
        (
            message(json!({"text": "x", "metadata": "x".repeat(1001)})),
            (100, 0),
        ),
        (text_to("123", "x"), (100, 2_018_001)),
        (untyped, (100, 0)),
        (typed, (100, 0)),
        (dead, (100, 1_893_061)),
        (lost, (100, 0)),
        (with("recipient", json!("7300000000000011")), (100, 0)),
        (
            with("recipient", json!({"id": DANA, "name": "x"})),
            (100, 0),
        ),
        (with("extra", json!(1)), (100, 0)),
        (with("message", json!("x")), (100, 0)),
        (replies(13, "x"), (0, 0)),
        (replies(14, "x"), (100, 0)),
        (replies(0, "x"), (100, 0)),
        (replies(1, "twenty-one characters"), (100, 0)),
        (image("https://files.example.net/a.jpg"), (0, 0)),
        (image("https://nowhere.invalid/a.jpg"), (100, 2_018_008)),
        (image("a.jpg"), (100, 2_018_008)),
        (
            message(json!({"attachment": {"type": "image"}})),
            (100, 2_018_040),
        ),
        (
            message(json!({"attachment": {"type": "gif", "payload": {}}})),
            (100, 0),
        ),
        (
            buttons(json!([{"type": "postback", "title": "A", "payload": "a"}])),
            (0, 0),
        ),
        (
            buttons(json!([{"type": "web_url", "title": "A", "url": "nowhere"}])),
            (100, 2_018_041),
        ),
        (
            buttons(json!([{"type": "postback", "title": "", "payload": "a"}])),
            (100, 2_018_053),
        ),
        (buttons(json!([])), (100, 0)),
    ];
    let mut sandbox = sandbox();
    for (body, expected) in cases {
        let (answer, hooks) = post(&mut sandbox, &body, NOW);
        assert_eq!(code(&answer), expected, "{body}: {answer}");
        assert_eq!(hooks.is_empty(), expected != (0, 0));
    }
}

#[test]
fn only_the_pages_token_opens_the_api() {
    let mut sandbox = sandbox();
    let url = format!("{BASE}/v25.0/me?fields=name");
    let mut asked = |request: Request| {
        let body = sandbox.handle(&request, NOW).response.body;
        let answer: Value = serde_json::from_slice(&body).unwrap();
        code(&answer).0
    };
    assert_eq!(asked(Request::get(&url)), 104);
    let wrong = Auth::Bearer(Secret::new("other"));
    assert_eq!(asked(Request::get(&url).with_auth(wrong)), 190);
    assert_eq!(asked(Request::get(&url).with_auth(token())), 0);
    let header = "Bearer sandbox-page-access-token";
    assert_eq!(
        asked(Request::get(&url).with_header("Authorization", header)),
        0
    );
    let query = format!("{url}&access_token=sandbox-page-access-token");
    assert_eq!(asked(Request::get(query)), 0);
    assert_eq!(
        asked(Request::get(format!("{BASE}/me")).with_auth(token())),
        2635
    );
    let other = format!("{BASE}/v25.0/5/messages");
    assert_eq!(
        asked(Request::post_json(other, "{}".into()).with_auth(token())),
        100
    );
}

#[test]
fn the_proof_of_the_secret_is_checked_where_it_is_demanded() {
    let mut sandbox = sandbox_with(json!({"send_appsecret_proof": true}));
    assert_eq!(code(&get(&mut sandbox, "/v25.0/me").1).0, 100);
    assert_eq!(
        code(&get(&mut sandbox, "/v25.0/me?appsecret_proof=00").1).0,
        100
    );
    let account = sandbox.account.clone();
    let request = crate::messenger::render::call(&account, Request::get, "me?fields=name");
    assert_eq!(sandbox.handle(&request, NOW).response.status, 200);
}

#[test]
fn windows_close_after_a_day_and_for_people_after_seven() {
    let mut sandbox = sandbox();
    act(&mut sandbox, json!({"do": "say", "text": "hi"})).unwrap();
    act(
        &mut sandbox,
        json!({"do": "say", "from": "ig:9900000000000021", "text": "hola"}),
    )
    .unwrap();
    let tagged = |id: &str| {
        let mut body = text_to(id, "late");
        body["messaging_type"] = json!("MESSAGE_TAG");
        body["tag"] = json!("HUMAN_AGENT");
        body
    };
    for (id, closed) in [(DANA, (10, 2_018_278)), (BO, (10, 2_534_022))] {
        let mut sent = |body: &Value, hours: i64| {
            let (answer, _) = post(&mut sandbox, body, NOW.plus(hours * HOUR));
            code(&answer)
        };
        assert_eq!(sent(&text_to(id, "in time"), 24), (0, 0));
        assert_eq!(sent(&text_to(id, "late"), 25), closed);
        assert_eq!(sent(&tagged(id), 25), (0, 0));
        assert_eq!(sent(&tagged(id), 7 * 24), (0, 0));
        assert_eq!(sent(&tagged(id), 7 * 24 + 1), closed);
    }
    let template = |language: &str, body: &[&str]| {
        let texts: Vec<Value> = body
            .iter()
            .map(|t| json!({"type": "text", "text": t}))
            .collect();
        let header = json!({"type": "header", "parameters": [{"type": "text", "text": "Order"}]});
        json!({"recipient": {"id": DANA}, "messaging_type": "UTILITY", "message": {"template":
            {"name": "order_update", "language": {"code": language},
             "components": [header, {"type": "body", "parameters": texts}]}}})
    };
    let mut late = |body: &Value| code(&post(&mut sandbox, body, NOW.plus(900 * HOUR)).0);
    assert_eq!(late(&template("en", &["confirmed", "5 pm"])), (0, 0));
    assert_eq!(late(&template("pt", &["confirmed", "5 pm"])), (100, 0));
    assert_eq!(late(&template("en", &["confirmed"])), (100, 0));
}

#[test]
fn what_is_sent_comes_back_as_an_echo() {
    let mut sandbox = sandbox();
    let mut body = text_to(DANA, "Grüße");
    body["message"]["metadata"] = json!("sb-42-0");
    let (answer, hooks) = post(&mut sandbox, &body, NOW);
    let mid = &answer["message_id"];
    assert_eq!(answer["recipient_id"], DANA);
    let [echo, delivery] = hooks.as_slice() else {
        panic!("{hooks:?}")
    };
    assert_eq!(echo["recipient"]["id"], DANA);
    assert_eq!(
        echo["message"],
        json!({"mid": mid, "text": "Grüße", "is_echo": true,
        "app_id": 880_000_000_000_001_u64, "metadata": "sb-42-0"})
    );
    assert_eq!(
        delivery["delivery"],
        json!({"mids": [mid], "watermark": NOW.0})
    );

    let (answer, hooks) = post(&mut sandbox, &text_to(BO, "hola"), NOW);
    let [echo] = hooks.as_slice() else {
        panic!("{hooks:?}")
    };
    let expected = json!({"mid": answer["message_id"], "text": "hola", "is_echo": true});
    assert_eq!(echo["message"], expected);
}

#[test]
fn actions_of_ours_are_signs_and_reactions() {
    let mut sandbox = sandbox();
    let said = act(&mut sandbox, json!({"do": "say", "text": "hi"})).unwrap();
    let mid = &said[0]["message"]["mid"];
    let action = |action: &str, payload: Value| {
        let mut body = json!({"recipient": {"id": DANA}, "sender_action": action});
        if !payload.is_null() {
            body["payload"] = payload;
        }
        body
    };
    let cases = [
        (action("typing_on", Value::Null), 0),
        (action("typing_off", Value::Null), 0),
        (action("mark_seen", Value::Null), 0),
        (action("mark_seen", json!({})), 100),
        (action("dance", Value::Null), 100),
        (
            action("react", json!({"message_id": mid, "reaction": "love"})),
            0,
        ),
        (action("react", json!({"message_id": mid})), 100),
        (
            action("react", json!({"message_id": "m_x", "reaction": "love"})),
            100,
        ),
    ];
    for (body, expected) in cases {
        let (answer, hooks) = post(&mut sandbox, &body, NOW);
        assert_eq!(code(&answer).0, expected, "{body}");
        assert!(hooks.is_empty());
    }
    assert_eq!(sandbox.phone()[0].reactions, ["❤"]);
    let undone = action("unreact", json!({"message_id": mid}));
    assert_eq!(code(&post(&mut sandbox, &undone, NOW).0), (0, 0));
    assert!(sandbox.phone()[0].reactions.is_empty());
}

#[test]
fn people_and_page_describe_themselves() {
    let mut sandbox = sandbox();
    let (_, page) = get(&mut sandbox, "/v25.0/104200000000001?fields=id,name");
    assert_eq!(
        page,
        json!({"id": "104200000000001", "name": "Sandbox Page"})
    );
    let (_, dana) = get(
        &mut sandbox,
        &format!("/v25.0/{DANA}?fields=first_name,last_name"),
    );
    assert_eq!(
        dana,
        json!({"id": DANA, "first_name": "Dana", "last_name": "Fields"})
    );
    let (_, bo) = get(&mut sandbox, &format!("/v25.0/{BO}?fields=name,username"));
    assert_eq!(
        bo,
        json!({"id": BO, "name": "Bo Berg", "username": "bo_berg"})
    );
    let (status, nobody) = get(&mut sandbox, "/v25.0/5");
    assert_eq!((status, code(&nobody)), (400, (100, 33)));
    let (_, apps) = get(&mut sandbox, "/v25.0/me/subscribed_apps");
    assert_eq!(apps["data"].as_array().unwrap().len(), 1);
}

#[test]
fn state_is_bounded_and_ids_never_repeat() {
    let mut first = sandbox();
    for i in 0..PHONE_LINES_MAX + 10 {
        let file = json!({"name": "a.jpg", "mime": "image/jpeg", "content": "x"});
        let say = json!({"do": "say", "text": i.to_string(), "attachment": file});
        act(&mut first, say).unwrap();
    }
    assert_eq!(first.phone().len(), PHONE_LINES_MAX);
    assert_eq!(first.files.len(), FILES_MAX);

    let send = |sandbox: &mut Sandbox, now: Millis| {
        let (answer, _) = post(sandbox, &text_to(DANA, "x"), now);
        answer["message_id"].as_str().unwrap().to_owned()
    };
    let mut fresh = sandbox();
    let one = send(&mut fresh, NOW);
    fresh.reset();
    let two = send(&mut fresh, NOW);
    let three = send(&mut sandbox(), NOW.plus(1000));
    assert!(one < two && two < three, "{one} {two} {three}");
}
