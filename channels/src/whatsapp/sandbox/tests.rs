//! The emulator is as strict as the platform.

use super::*;
use crate::kit::http::{Auth, Field, Headers, Inbound};
use crate::kit::secret::Secret;
use crate::model::{Event, EventBody};
use crate::whatsapp::config::{Account, sandbox_settings};
use crate::whatsapp::{parse, verify};

const NOW: Millis = Millis(1_795_000_100_000);
const BASE: &str = "http://127.0.0.1:8081/sandbox/wa";
const PHONE: &str = "310987654321098";
const DANA: &str = "15550142233";
const HOUR: i64 = 3_600_000;

fn account() -> Account {
    Account {
        settings: crate::whatsapp::Settings::read(sandbox_settings()).unwrap(),
        base: BASE.to_owned(),
    }
}

fn cloud() -> Cloud {
    Cloud::new(account(), "https://gw.example.net/webhooks/wa".to_owned())
}

fn token() -> Auth {
    Auth::Bearer(Secret::new("sandbox-access-token"))
}

fn post(cloud: &mut Cloud, body: &Value, now: Millis) -> (u16, Value) {
    let url = format!("{BASE}/v25.0/{PHONE}/messages");
    let request = Request::post_json(url, body.to_string()).with_auth(token());
    let answer = cloud.handle(&request, now).response;
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

fn code(answer: &(u16, Value)) -> i64 {
    answer.1["error"]["code"].as_i64().unwrap_or_default()
}

/// A good message to the default customer with this type and content.
fn body(kind: &str, content: Value) -> Value {
    json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": DANA,
        "type": kind,
        kind: content,
    })
}

fn text(to: &str) -> Value {
    let mut text = body("text", json!({"body": "hello"}));
    text["to"] = to.into();
    text
}

fn act(cloud: &mut Cloud, action: Value, now: Millis) -> Result<Vec<Event>, String> {
    let action: Action = serde_json::from_value(action).unwrap();
    let hooks = cloud.act(&action, now).map_err(|e| e.0)?;
    Ok(hooks.iter().flat_map(events).collect())
}

/// What the gateway makes of a webhook of the emulator.
fn events(hook: &Hook) -> Vec<Event> {
    let Body::Json(body) = &hook.request.body else {
        panic!("a webhook without JSON");
    };
    let mut headers = Headers::default();
    for (name, value) in hook.request.headers.iter() {
        headers.push(name, value);
    }
    let request = Inbound {
        via: crate::kit::http::Via::Web,
        method: Method::Post,
        url: hook.request.url.clone(),
        query: String::new(),
        headers,
        body: Bytes::from(body.clone()),
        received_at: NOW,
    };
    verify::verify(&account().settings, &request).unwrap();
    assert!(body.is_ascii(), "Meta escapes what is not ASCII");
    parse::parse(&request).unwrap().events
}

#[test]
fn bodies_that_the_platform_refuses() {
    let button = |id: &str, title: &str| {
        json!({"type": "reply", "reply": {"id": id, "title": title}})
    };
    let buttons = |buttons: Vec<Value>| {
        json!({"type": "button", "body": {"text": "?"}, "action": {"buttons": buttons}})
    };
    let list = |rows: usize| {
        let rows: Vec<Value> = (0..rows)
            .map(|i| json!({"id": format!("r{i}"), "title": format!("Row {i}")}))
            .collect();
        json!({"type": "list", "body": {"text": "?"},
            "action": {"button": "Choose", "sections": [{"rows": rows}]}})
    };
    let template = |name: &str, language: &str, components: Value| {
        body("template", json!({"name": name, "language": {"code": language},
            "components": components}))
    };
    let parameters = |texts: &[&str]| {
        let all: Vec<Value> = texts.iter().map(|t| json!({"type": "text", "text": t})).collect();
        json!([{"type": "body", "parameters": all}])
    };
    let mut cases: Vec<(Value, i64)> = vec![
        (json!([]), 100),
        (json!({}), 131_008),
        (body("text", json!({"body": "ok"})), 0),
        (body("text", json!({"body": "é".repeat(4096)})), 0),
        (body("text", json!({"body": "é".repeat(4097)})), 100),
        (body("text", json!({"body": "  "})), 131_008),
        (body("text", json!({})), 131_008),
        (body("text", json!({"body": 5})), 100),
        (body("text", json!({"body": "x", "colour": "red"})), 100),
        (body("image", json!({"link": "https://cdn.example/a.jpg", "caption": "x".repeat(1024)})), 0),
        (body("image", json!({"link": "https://cdn.example/a.jpg", "caption": "x".repeat(1025)})), 100),
        (body("image", json!({"link": "ftp://cdn.example/a.jpg"})), 131_009),
        (body("image", json!({"link": "https://cdn.example/a.jpg", "id": "1"})), 100),
        (body("image", json!({"link": "https://cdn.example/a.jpg", "filename": "a"})), 100),
        (body("image", json!({"id": "770000"})), 131_009),
        (body("document", json!({"link": "https://cdn.example/a.pdf", "filename": "a.pdf"})), 0),
        (body("audio", json!({"link": "https://cdn.example/a.ogg", "voice": true})), 0),
        (body("audio", json!({"link": "https://cdn.example/a.ogg", "caption": "x"})), 100),
        (body("sticker", json!({"link": "https://cdn.example/a.webp", "voice": true})), 100),
        (body("location", json!({"latitude": 52.37, "longitude": 4.89})), 0),
        (body("location", json!({"latitude": 91, "longitude": 4.89})), 131_009),
        (body("location", json!({"latitude": "52", "longitude": "4"})), 100),
        (body("contacts", json!([])), 131_008),
        (body("contacts", json!([{"name": {"formatted_name": "Ann"}}])), 131_008),
        (body("contacts", json!([{"name": {"formatted_name": "Ann", "first_name": "Ann"}}])), 0),
        (body("contacts", json!([{"name": {"formatted_name": "Ann", "first_name": "Ann"}, "phones": [{"type": "WORK"}]}])), 131_008),
        (body("reaction", json!({"message_id": "wamid.NONE", "emoji": "👍"})), 131_009),
        (body("interactive", buttons(vec![button("a", "Yes"), button("b", "No")])), 0),
        (body("interactive", buttons(vec![])), 100),
        (body("interactive", buttons((0..4).map(|i| button(&i.to_string(), &i.to_string())).collect())), 100),
        (body("interactive", buttons(vec![button("a", "Yes"), button("b", "Yes")])), 131_009),
        (body("interactive", buttons(vec![button("a", "Yes"), button("a", "No")])), 131_009),
        (body("interactive", buttons(vec![button("a", &"x".repeat(21))])), 100),
        (body("interactive", buttons(vec![button(&"x".repeat(257), "Yes")])), 100),
        (body("interactive", list(10)), 0),
        (body("interactive", list(11)), 100),
        (body("interactive", list(0)), 100),
        (body("interactive", json!({"type": "cta_url", "body": {"text": "?"}, "action": {"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://shop.example/"}}})), 0),
        (body("interactive", json!({"type": "cta_url", "body": {"text": "?"}, "action": {"name": "cta_url", "parameters": {"display_text": "Open", "url": "tel:1"}}})), 131_009),
        (body("interactive", json!({"type": "list", "body": {"text": "?"}, "action": {"buttons": [button("a", "Yes")]}})), 100),
        (body("poll", json!({})), 131_051),
        (template("hello_world", "en_US", json!([])), 0),
        (template("hello_world", "en", json!([])), 132_001),
        (template("nothing", "en_US", json!([])), 132_001),
        (template("hello_world", "en_US", parameters(&["x"])), 132_000),
        (template("order_update", "pt_BR", parameters(&["Dana", "5 pm"])), 0),
        (template("order_update", "pt_BR", parameters(&["Dana"])), 132_000),
        (template("order_update", "pt_BR", parameters(&["Dana", ""])), 132_012),
        (template("order_update", "pt_BR", parameters(&["Dana", "5\npm"])), 132_012),
    ];
    let mut long = body("interactive", buttons(vec![button("a", "Yes")]));
    long["interactive"]["body"]["text"] = "x".repeat(1025).into();
    cases.push((long, 100));
    for (key, value, expected) in [
        ("messaging_product", json!("sms"), 100),
        ("messaging_product", Value::Null, 100),
        ("recipient_type", json!("crowd"), 100),
        ("recipient_type", json!("group"), 131_041),
        ("to", json!("hello"), 131_009),
        ("to", json!("+1 555-014-2233"), 0),
        ("to", json!(OUR_NUMBER), 131_021),
        ("to", json!("+19995550100"), 131_026),
        ("type", json!("image"), 100),
        ("image", json!({"link": "https://cdn.example/a.jpg"}), 100),
        ("biz_opaque_callback_data", json!("x".repeat(513)), 100),
        ("context", json!({"message_id": ""}), 131_009),
        ("context", json!({"message_id": "wamid.X"}), 0),
        ("priority", json!("high"), 100),
    ] {
        let mut changed = text(DANA);
        changed[key] = value;
        cases.push((changed, expected));
    }
    let mut to_user = text(DANA);
    to_user.as_object_mut().unwrap().remove("to");
    cases.push((to_user.clone(), 131_008));
    to_user["recipient"] = "US.nobody".into();
    cases.push((to_user.clone(), 131_026));
    to_user["recipient"] = format!("US.9{DANA}").into();
    cases.push((to_user, 0));
    for (body, expected) in cases {
        let answer = post(&mut cloud(), &body, NOW);
        assert_eq!(code(&answer), expected, "{body}: {answer:?}");
        assert_eq!(answer.0 == 200, expected == 0, "{body}: {answer:?}");
    }
}

#[test]
fn requests_that_are_not_ours() {
    let mut cloud = cloud();
    let mut ask = |request: Request| {
        let answer = cloud.handle(&request, NOW).response;
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    };
    let url = |path: &str| format!("{BASE}/v25.0/{path}");
    let good = || Request::get(url(PHONE));
    assert_eq!(ask(good()).0, 401);
    assert_eq!(ask(good().with_auth(Auth::Bearer(Secret::new("other")))).0, 401);
    assert_eq!(ask(good().with_header("Authorization", "Basic x")).0, 401);
    let (status, answer) = ask(good().with_header("Authorization", "Bearer sandbox-access-token"));
    assert_eq!(status, 200);
    assert!(answer.contains("Sandbox"), "{answer}");
    for (request, code, subcode) in [
        (Request::get(url("123")), 100, true),
        (Request::post_json(url("123/messages"), "{}".to_owned()), 100, true),
        (Request::post_json(url(&format!("{PHONE}/dance")), "{}".to_owned()), 100, false),
        (Request::get(format!("{BASE}/{PHONE}")), 100, false),
        (Request::post_form(url(&format!("{PHONE}/messages")), Vec::new()), 100, false),
    ] {
        let shown = request.url.clone();
        let (status, answer) = ask(request.with_auth(token()));
        let error: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(status, 400, "{shown}");
        assert_eq!(error["error"]["code"], code, "{shown}");
        assert_eq!(error["error"].get("error_subcode").is_some(), subcode, "{shown}");
    }
}

#[test]
fn the_window_opens_when_the_customer_writes_and_closes_after_a_day() {
    let mut cloud = cloud();
    let stranger = "46701740605";
    assert_eq!(code(&post(&mut cloud, &text(DANA), NOW)), 0);
    assert_eq!(code(&post(&mut cloud, &text(stranger), NOW)), 131_047);
    let mut template = body(
        "template",
        json!({"name": "hello_world", "language": {"code": "en_US"}}),
    );
    template["to"] = stranger.into();
    let answer = post(&mut cloud, &template, NOW);
    assert_eq!(answer.1["messages"][0]["message_status"], "accepted");
    assert_eq!(code(&post(&mut cloud, &text(stranger), NOW)), 131_047);
    let say = json!({"do": "say", "text": "hi", "from": "+46 70 174 06 05"});
    act(&mut cloud, say, NOW).unwrap();
    assert_eq!(code(&post(&mut cloud, &text(stranger), NOW.plus(24 * HOUR - 1))), 0);
    assert_eq!(code(&post(&mut cloud, &text(stranger), NOW.plus(24 * HOUR))), 131_047);
    act(&mut cloud, json!({"do": "say", "text": "hi"}), NOW).unwrap();
    assert_eq!(code(&post(&mut cloud, &text(DANA), NOW.plus(25 * HOUR))), 131_047);
}

#[test]
fn statuses_follow_and_carry_our_reference() {
    let mut cloud = cloud();
    let send = |cloud: &mut Cloud, body: &Value| {
        let url = format!("{BASE}/v25.0/{PHONE}/messages");
        let request = Request::post_json(url, body.to_string()).with_auth(token());
        let hooks = cloud.handle(&request, NOW).hooks;
        let found: Vec<(String, Option<String>)> = hooks
            .iter()
            .flat_map(events)
            .map(|e| match e.body {
                EventBody::Status(s) => (s.status.name().to_owned(), s.our_reference),
                other => panic!("{other:?}"),
            })
            .collect();
        found
    };
    let mut referred = text(DANA);
    referred["biz_opaque_callback_data"] = "sb-42-0".into();
    let reference = Some("sb-42-0".to_owned());
    let expected = ["sent", "delivered"].map(|s| (s.to_owned(), reference.clone()));
    assert_eq!(send(&mut cloud, &referred), expected);
    let gif = body("image", json!({"link": "https://cdn.example/a.gif"}));
    assert_eq!(send(&mut cloud, &gif), [("failed".to_owned(), None)]);
    assert_eq!(cloud.phone().len(), 1, "what fails is not on the phone");
    let read = act(&mut cloud, json!({"do": "read"}), NOW).unwrap();
    assert_eq!(read.len(), 1);
    assert!(act(&mut cloud, json!({"do": "read"}), NOW).is_err());
}

#[test]
fn customers_do_what_people_do() {
    let mut cloud = cloud();
    let mut buttons = body(
        "interactive",
        json!({"type": "button", "body": {"text": "Right?"}, "action": {"buttons": [
            {"type": "reply", "reply": {"id": "y", "title": "Yes"}}]}}),
    );
    buttons["to"] = DANA.into();
    let (_, sent) = post(&mut cloud, &buttons, NOW);
    let id = sent["messages"][0]["id"].as_str().unwrap().to_owned();
    let one = |cloud: &mut Cloud, action: Value| {
        let mut events = act(cloud, action, NOW).unwrap();
        assert_eq!(events.len(), 1);
        events.remove(0).body
    };
    match one(&mut cloud, json!({"do": "press", "button": "Yes"})) {
        EventBody::Message(m) => {
            let pressed = m.structured.unwrap();
            assert_eq!((pressed.payload.as_str(), pressed.of), ("y", Some(id.clone())));
        }
        other => panic!("{other:?}"),
    }
    match one(&mut cloud, json!({"do": "react", "emoji": "👍"})) {
        EventBody::Reaction(r) => assert_eq!((r.target, r.added), (id.clone(), true)),
        other => panic!("{other:?}"),
    }
    assert_eq!(cloud.phone()[0].reactions, ["👍"]);
    match one(&mut cloud, json!({"do": "react", "emoji": "", "message": id})) {
        EventBody::Reaction(r) => assert!(!r.added),
        other => panic!("{other:?}"),
    }
    assert!(cloud.phone()[0].reactions.is_empty());
    match one(&mut cloud, json!({"do": "say", "text": "sée", "name": "Dana B. Fields", "reply_to": id})) {
        EventBody::Message(m) => assert_eq!((m.text.as_str(), m.reply_to), ("sée", Some(id))),
        other => panic!("{other:?}"),
    }
    match one(&mut cloud, json!({"do": "edit", "text": "seen"})) {
        EventBody::Edit(e) => assert_eq!(e.text, "seen"),
        other => panic!("{other:?}"),
    }
    let late = act(&mut cloud, json!({"do": "edit", "text": "x"}), NOW.plus(HOUR));
    assert!(late.unwrap_err().contains("15 minutes"));
    let sound = json!({"do": "say", "text": "listen", "attachment":
        {"name": "a.mp3", "mime": "audio/mpeg", "content": "la"}});
    let both = act(&mut cloud, sound, NOW).unwrap();
    assert_eq!(both.len(), 2, "sound has no caption");
    for nonsense in [
        json!({"do": "say"}),
        json!({"do": "press", "button": "Maybe"}),
        json!({"do": "react", "emoji": "👍", "message": "wamid.NONE"}),
        json!({"do": "say", "text": "hi", "from": "hello"}),
        json!({"do": "say", "text": "hi", "from": "+19995550100"}),
        json!({"do": "edit", "text": "x", "message": "wamid.NONE"}),
    ] {
        assert!(act(&mut cloud, nonsense.clone(), NOW).is_err(), "{nonsense}");
    }
    one(&mut cloud, json!({"do": "block"}));
    assert_eq!(code(&post(&mut cloud, &text(DANA), NOW)), 131_050);
    one(&mut cloud, json!({"do": "unblock"}));
    assert_eq!(code(&post(&mut cloud, &text(DANA), NOW)), 0);
}

#[test]
fn files_are_handed_out_to_the_token_and_uploads_can_be_sent() {
    let mut cloud = cloud();
    let field = |name: &str, content: &str| Field {
        name: name.to_owned(),
        file_name: None,
        mime: None,
        bytes: Bytes::from(content.to_owned()),
    };
    let upload = |cloud: &mut Cloud, fields: Vec<Field>| {
        let url = format!("{BASE}/v25.0/{PHONE}/media");
        let request = Request::post_multipart(url, fields).with_auth(token());
        let answer = cloud.handle(&request, NOW).response;
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        body["id"].as_str().map(str::to_owned)
    };
    assert_eq!(upload(&mut cloud, vec![field("file", "x")]), None);
    let whole = vec![
        field("messaging_product", "whatsapp"),
        field("type", "image/png"),
        field("file", "picture"),
    ];
    let id = upload(&mut cloud, whole).unwrap();
    let sent = post(&mut cloud, &body("image", json!({"id": id})), NOW);
    assert_eq!(code(&sent), 0);
    let get = |cloud: &mut Cloud, url: &str, auth: Auth| {
        let request = Request::get(url).with_auth(auth);
        cloud.handle(&request, NOW).response
    };
    let about = format!("{BASE}/v25.0/{id}?phone_number_id={PHONE}");
    let info: Value = serde_json::from_slice(&get(&mut cloud, &about, token()).body).unwrap();
    assert_eq!((info["file_size"].as_u64(), info["mime_type"].as_str()), (Some(7), Some("image/png")));
    let link = info["url"].as_str().unwrap();
    assert_eq!(&get(&mut cloud, link, token()).body[..], b"picture");
    assert_eq!(get(&mut cloud, link, Auth::None).status, 401);
    assert_eq!(get(&mut cloud, &format!("{BASE}{FILES_PATH}?mid=1"), token()).status, 404);
    let other = format!("{BASE}/v25.0/{id}?phone_number_id=1");
    assert_eq!(get(&mut cloud, &other, token()).status, 400);
}

#[test]
fn marking_as_read_wants_a_message_that_was_written() {
    let mut cloud = cloud();
    let read = |id: &str| json!({"messaging_product": "whatsapp", "status": "read", "message_id": id});
    assert_eq!(code(&post(&mut cloud, &read("wamid.NONE"), NOW)), 131_009);
    act(&mut cloud, json!({"do": "say", "text": "hi"}), NOW).unwrap();
    let id = cloud.phone()[0].id.clone();
    assert_eq!(post(&mut cloud, &read(&id), NOW).1["success"], true);
    let mut typing = read(&id);
    typing["typing_indicator"] = json!({"type": "text"});
    assert_eq!(post(&mut cloud, &typing, NOW).1["success"], true);
    typing["to"] = DANA.into();
    assert_eq!(code(&post(&mut cloud, &typing, NOW)), 100);
}

#[test]
fn nothing_grows_without_end() {
    let mut cloud = cloud();
    for i in 0..PHONE_LINES_MAX + 50 {
        let from = format!("+4670{i:07}");
        act(&mut cloud, json!({"do": "say", "text": "hi", "from": from}), NOW).unwrap();
    }
    assert_eq!(cloud.phone().len(), PHONE_LINES_MAX);
    assert_eq!(code(&post(&mut cloud, &text(DANA), NOW)), 0, "the default customer stays");
    cloud.reset();
    assert!(cloud.phone().is_empty());
}
