use super::*;
use crate::line::config::sandbox_settings;

const NOW: Millis = Millis(1_795_000_100_000);
const BASE: &str = "http://127.0.0.1:8081/sandbox-line";
const KEY: &str = "123e4567-e89b-12d3-a456-426614174000";

fn sandbox() -> Sandbox {
    let common = Common {
        id: "sandbox-line".into(),
        api_base: Some(BASE.into()),
        webhook_url: "https://gw.example.net/webhooks/sandbox-line".into(),
    };
    Sandbox::new(&common, &Settings::read(sandbox_settings()).unwrap())
}

fn post(path: &str, body: &Value) -> Request {
    Request::post_json(format!("{BASE}{path}"), body.to_string())
        .with_header("authorization", "Bearer sandbox-line-channel-access-token")
}

fn answer(sandbox: &mut Sandbox, request: &Request, now: Millis) -> (u16, Value) {
    let response = sandbox.handle(request, now).response;
    let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
    (response.status, body)
}

fn act(sandbox: &mut Sandbox, action: Value, now: Millis) -> Result<Vec<Value>, CannotAct> {
    let action: Action = serde_json::from_value(action).unwrap();
    let hooks = sandbox.act(&action, now)?;
    let events = hooks.iter().flat_map(|hook| {
        let Body::Json(body) = &hook.request.body else {
            panic!("no JSON")
        };
        let body: Value = serde_json::from_str(body).unwrap();
        body["events"].as_array().unwrap().clone()
    });
    Ok(events.collect())
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[test]
fn reply_tokens_work_once_and_for_a_minute() {
    let mut sandbox = sandbox();
    let mut token = || {
        let said = act(&mut sandbox, json!({"do": "say", "text": "hi"}), NOW).unwrap();
        said[0]["replyToken"].as_str().unwrap().to_owned()
    };
    let (one, two) = (token(), token());
    let reply = |token: &str| {
        post("/v2/bot/message/reply", &json!({"replyToken": token, "messages": [text("yes")]}))
    };
    let refused = json!({"message": "Invalid reply token"});
    assert_eq!(answer(&mut sandbox, &reply(&one), NOW.plus(60_000)).0, 200);
    assert_eq!(answer(&mut sandbox, &reply(&one), NOW.plus(60_000)), (400, refused.clone()));
    assert_eq!(answer(&mut sandbox, &reply(&two), NOW.plus(60_001)), (400, refused.clone()));
    assert_eq!(answer(&mut sandbox, &reply("made up"), NOW), (400, refused));
    let keyed = reply(&two).with_header("X-Line-Retry-Key", KEY);
    assert_eq!(answer(&mut sandbox, &keyed, NOW).0, 400);
    assert_eq!(sandbox.phone().iter().filter(|line| line.from_gateway).count(), 1);
}

#[test]
fn a_retry_key_is_accepted_once_a_day() {
    let mut sandbox = sandbox();
    let push = |to: &str, key: &str| {
        post("/v2/bot/message/push", &json!({"to": to, "messages": [text("a"), text("b")]}))
            .with_header("X-Line-Retry-Key", key)
    };
    // What is refused does not use the key up.
    let stranger = "Uffffffffffffffffffffffffffffffff";
    assert_eq!(answer(&mut sandbox, &push(stranger, KEY), NOW).0, 400);
    let (status, first) = answer(&mut sandbox, &push(CUSTOMER, KEY), NOW);
    assert_eq!(status, 200);
    let again = sandbox.handle(&push(CUSTOMER, KEY), NOW.plus(1000)).response;
    assert_eq!(again.status, 409);
    assert!(again.headers.get("x-line-accepted-request-id").is_some());
    let body: Value = serde_json::from_slice(&again.body).unwrap();
    assert_eq!(body["sentMessages"], first["sentMessages"]);
    assert_eq!(sandbox.phone().len(), 2);
    let next_day = NOW.plus(24 * 60 * 60 * 1000 + 1);
    assert_eq!(answer(&mut sandbox, &push(CUSTOMER, KEY), next_day).0, 200);
    for odd in ["", "123e4567", "123e4567-e89b-12d3-a456-42661417400g"] {
        assert_eq!(answer(&mut sandbox, &push(CUSTOMER, odd), NOW).0, 400, "{odd}");
    }
}

/// One fault at a time, named by its place.
#[test]
fn message_objects_are_looked_at_closely() {
    let https = "https://x.example/a.jpg";
    let action = |label: &str| json!({"type": "postback", "label": label, "data": "d"});
    let buttons = |text: &str, actions: Vec<Value>| {
        json!({"type": "template", "altText": "a",
               "template": {"type": "buttons", "text": text, "actions": actions}})
    };
    let quick = |items: Value| json!({"type": "text", "text": "x", "quickReply": {"items": items}});
    let item = |action: Value| json!({"type": "action", "action": action});
    let column = |title: Option<&str>| {
        json!({"title": title, "text": "t", "actions": [action("A")]})
    };
    let carousel = |columns: Vec<Value>| {
        json!({"type": "template", "altText": "a",
               "template": {"type": "carousel", "columns": columns}})
    };
    let good = [
        text(&"👍".repeat(2500)),
        json!({"type": "text", "text": "$", "emojis": [{"index": 0, "productId": "p", "emojiId": "1"}]}),
        json!({"type": "text", "text": "x", "sender": {"name": "Cony", "iconUrl": https}}),
        json!({"type": "sticker", "packageId": "446", "stickerId": "1988"}),
        json!({"type": "image", "originalContentUrl": https, "previewImageUrl": https}),
        buttons(&"x".repeat(160), vec![action("A"), json!({"type": "uri", "label": "B", "uri": "tel:1"})]),
        carousel(vec![column(Some("a")), column(Some("b"))]),
        quick(json!([item(json!({"type": "location", "label": "Here"}))])),
        json!({"type": "flex", "altText": "a", "contents": {"type": "bubble"}}),
        json!({"type": "imagemap", "altText": "a", "baseUrl": https,
               "baseSize": {"width": 1040, "height": 500},
               "actions": [{"type": "message", "text": "x",
                            "area": {"x": 0, "y": 0, "width": 5, "height": 5}}]}),
    ];
    let mut sandbox = sandbox();
    let mut validate = |message: &Value| {
        let request = post("/v2/bot/message/validate/push", &json!({"messages": [message]}));
        answer(&mut sandbox, &request, NOW)
    };
    for message in &good {
        assert_eq!(validate(message), (200, json!({})), "{message}");
    }
    let bad = [
        (json!({"type": "file"}), "messages[0].type"),
        (text(" "), "messages[0].text"),
        (text(&"👍".repeat(2501)), "messages[0].text"),
        (json!({"type": "text", "text": 5}), "messages[0].text"),
        (json!({"type": "text", "text": "x", "txet": "y"}), "messages[0].txet"),
        (json!({"type": "text", "text": "x", "emojis": [{"index": 0, "productId": "p", "emojiId": "1"}]}), "messages[0].emojis[0].index"),
        (json!({"type": "image", "originalContentUrl": https}), "messages[0].previewImageUrl"),
        (json!({"type": "image", "originalContentUrl": "http://x.example/a", "previewImageUrl": https}), "messages[0].originalContentUrl"),
        (json!({"type": "audio", "originalContentUrl": https}), "messages[0].duration"),
        (json!({"type": "location", "title": "x".repeat(101), "address": "a", "latitude": 1, "longitude": 2}), "messages[0].title"),
        (json!({"type": "location", "title": "x", "address": "a", "latitude": 91, "longitude": 2}), "messages[0].latitude"),
        (buttons(&"x".repeat(161), vec![action("A")]), "messages[0].template.text"),
        (buttons("x", vec![]), "messages[0].template.actions"),
        (buttons("x", vec![action("A title of more than twenty")]), "messages[0].template.actions[0].label"),
        (buttons("x", vec![json!({"type": "camera", "label": "C"})]), "messages[0].template.actions[0].type"),
        (buttons("x", vec![json!({"type": "uri", "label": "C", "uri": "ftp://x.example"})]), "messages[0].template.actions[0].uri"),
        (carousel(vec![column(Some("a")), column(None)]), "messages[0].template.columns"),
        (quick(json!([])), "messages[0].quickReply.items"),
        (quick(json!([item(json!({"type": "postback", "label": "x", "data": "d".repeat(301)}))])), "messages[0].quickReply.items[0].action.data"),
        (json!({"type": "text", "text": "x", "sender": {"name": "x".repeat(21)}}), "messages[0].sender.name"),
        (json!({"type": "flex", "altText": "a", "contents": {"type": "box"}}), "messages[0].contents.type"),
    ];
    for (message, place) in bad {
        let (status, body) = validate(&message);
        assert_eq!(status, 400, "{message}");
        assert_eq!(body["details"][0]["property"], place, "{body}");
        assert_eq!(body["message"], "The request body has 1 error(s)", "{body}");
    }
    let six = json!({"messages": vec![text("x"); 6]});
    let (status, body) = answer(&mut sandbox, &post("/v2/bot/message/validate/push", &six), NOW);
    assert_eq!((status, &body["details"][0]["property"]), (400, &json!("messages")));
}

#[test]
fn who_may_not_ask_and_what_is_not_there() {
    let mut sandbox = sandbox();
    let body = json!({"to": CUSTOMER, "messages": [text("x")]});
    let stranger = Request::post_json(format!("{BASE}/v2/bot/message/push"), body.to_string());
    assert_eq!(answer(&mut sandbox, &stranger, NOW).0, 401);
    let wrong = stranger.with_header("authorization", "Bearer guess");
    assert_eq!(answer(&mut sandbox, &wrong, NOW).0, 401);
    for path in ["/v2/bot/message/shout", "/v3/bot/message/push", "/"] {
        assert_eq!(answer(&mut sandbox, &post(path, &body), NOW).0, 404, "{path}");
    }
    let to = |to: &str| post("/v2/bot/message/push", &json!({"to": to, "messages": [text("x")]}));
    let (status, body) = answer(&mut sandbox, &to("+46701740605"), NOW);
    assert_eq!(status, 400);
    assert!(body["message"].as_str().unwrap().starts_with("The property, 'to',"));
    let unknown = to("Uffffffffffffffffffffffffffffffff");
    let failed = json!({"message": "Failed to send messages"});
    assert_eq!(answer(&mut sandbox, &unknown, NOW), (400, failed));
}

#[test]
fn quote_tokens_are_of_the_chat() {
    let mut sandbox = sandbox();
    let other = "U00000000000000000000000000000002";
    let hi = |from: &str| json!({"do": "say", "from": from, "text": "hi"});
    let here = act(&mut sandbox, hi(CUSTOMER), NOW).unwrap();
    let there = act(&mut sandbox, hi(other), NOW).unwrap();
    let push = |event: &Value| {
        let token = &event["message"]["quoteToken"];
        let message = json!({"type": "text", "text": "x", "quoteToken": token});
        post("/v2/bot/message/push", &json!({"to": CUSTOMER, "messages": [message]}))
    };
    assert_eq!(answer(&mut sandbox, &push(&here[0]), NOW).0, 200);
    let (status, body) = answer(&mut sandbox, &push(&there[0]), NOW);
    assert_eq!((status, &body["details"][0]["property"]), (400, &json!("messages[0].quoteToken")));
}

#[test]
fn customers_do_what_line_has_and_nothing_else() {
    let mut sandbox = sandbox();
    let film = json!({"do": "say", "attachment": {"name": "a.mp4", "mime": "video/mp4", "content": "film"}});
    let sent = act(&mut sandbox, film, NOW).unwrap();
    let id = sent[0]["message"]["id"].as_str().unwrap().to_owned();
    let get = |what: &str| {
        Request::get(format!("{BASE}/v2/bot/message/{id}/content{what}"))
            .with_header("authorization", "Bearer sandbox-line-channel-access-token")
    };
    assert_eq!(sandbox.handle(&get(""), NOW).response.status, 202);
    assert_eq!(answer(&mut sandbox, &get("/transcoding"), NOW).1["status"], "processing");
    let later = NOW.plus(1000);
    assert_eq!(sandbox.handle(&get(""), later).response.body.as_ref(), b"film");
    assert_eq!(answer(&mut sandbox, &get("/transcoding"), later).1["status"], "succeeded");

    for action in [
        json!({"do": "read"}),
        json!({"do": "react", "emoji": "👍"}),
        json!({"do": "edit", "text": "x"}),
        json!({"do": "press", "button": "Yes"}),
        json!({"do": "say", "from": "dana", "text": "x"}),
        json!({"do": "say", "text": "x", "reply_to": "1"}),
        json!({"do": "unblock"}),
    ] {
        let error = act(&mut sandbox, action.clone(), NOW).unwrap_err();
        assert!(!error.0.is_empty(), "{action}");
    }
    let event = act(&mut sandbox, json!({"do": "block"}), NOW).unwrap();
    assert_eq!(event[0]["type"], "unfollow");
    assert!(event[0].get("replyToken").is_none());
    assert!(act(&mut sandbox, json!({"do": "say", "text": "x"}), NOW).is_err());
    let event = act(&mut sandbox, json!({"do": "unblock"}), NOW).unwrap();
    assert_eq!((&event[0]["type"], &event[0]["follow"]["isUnblocked"]), (&json!("follow"), &json!(true)));
}

/// Quick replies go when the next message comes; templates stay.
#[test]
fn old_quick_replies_cannot_be_pressed() {
    let mut sandbox = sandbox();
    let action = |label: &str| json!({"type": "postback", "label": label, "data": label});
    let items = json!([{"type": "action", "action": action("Quick")}]);
    let quick = json!({"type": "text", "text": "x", "quickReply": {"items": items}});
    let template = json!({"type": "template", "altText": "a",
        "template": {"type": "confirm", "text": "t", "actions": [action("Stay"), action("No")]}});
    let push = |message: &Value| {
        post("/v2/bot/message/push", &json!({"to": CUSTOMER, "messages": [message]}))
    };
    assert_eq!(answer(&mut sandbox, &push(&template), NOW).0, 200);
    assert_eq!(answer(&mut sandbox, &push(&quick), NOW).0, 200);
    let press = |button: &str| json!({"do": "press", "button": button});
    let pressed = act(&mut sandbox, press("Quick"), NOW).unwrap();
    assert_eq!(pressed[0]["postback"]["data"], "Quick");
    assert!(act(&mut sandbox, press("Stay"), NOW).is_ok());
    act(&mut sandbox, json!({"do": "say", "text": "no"}), NOW).unwrap();
    assert!(act(&mut sandbox, press("Quick"), NOW).is_err());
    assert!(act(&mut sandbox, press("Stay"), NOW).is_ok());
}

#[test]
fn ids_never_repeat() {
    let mut seen = std::collections::BTreeSet::new();
    let mut sandbox = sandbox();
    for _ in 0..50 {
        let events = act(&mut sandbox, json!({"do": "say", "text": "x"}), NOW).unwrap();
        let id = events[0]["webhookEventId"].as_str().unwrap().to_owned();
        assert_eq!(id.len(), 26);
        assert!(seen.insert(id));
        assert!(seen.insert(events[0]["message"]["id"].to_string()));
        sandbox.reset();
    }
}
