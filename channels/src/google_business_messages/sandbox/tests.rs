use super::*;
use crate::google_business_messages::config::sandbox_settings;
use crate::google_business_messages::render::Api;
use crate::kit::http::{Body, Method};
use serde_json::Value;

const NOW: Millis = Millis(1_795_000_100_000);
const BASE: &str = "http://127.0.0.1:8081/sandbox-gbm";

fn common() -> Common {
    Common {
        id: "sandbox-gbm".into(),
        api_base: Some(BASE.into()),
        webhook_url: "https://gw.example.net/webhooks/sandbox-gbm".into(),
    }
}

fn sandbox() -> Sandbox {
    let settings = Settings::read(sandbox_settings()).unwrap();
    let account = settings.account().unwrap();
    Sandbox::new(&common(), settings, account)
}

fn answer(sandbox: &mut Sandbox, request: &Request, now: Millis) -> (u16, Value) {
    let response = sandbox.handle(request, now).response;
    let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
    (response.status, body)
}

/// A token, as the channel asks for it.
fn token(sandbox: &mut Sandbox, now: Millis) -> String {
    let api = Api::new(&common(), Settings::read(sandbox_settings()).unwrap()).unwrap();
    let (status, body) = answer(sandbox, &api.token(now).unwrap(), now);
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

fn post(path: &str, token: &str, body: &Value) -> Request {
    Request::post_json(format!("{BASE}{path}"), body.to_string())
        .with_header("authorization", format!("Bearer {token}"))
}

fn send_path(to: &str) -> String {
    format!("/v1/conversations/{to}/messages")
}

fn text(id: &str) -> Value {
    json!({"messageId": id, "representative": {"representativeType": "BOT"}, "text": "hi"})
}

fn act(sandbox: &mut Sandbox, action: Value, now: Millis) -> Result<Vec<Value>, CannotAct> {
    let action: Action = serde_json::from_value(action).unwrap();
    let hooks = sandbox.act(&action, now)?;
    let body = |hook: &Hook| match &hook.request.body {
        Body::Json(text) => serde_json::from_str(text).unwrap(),
        other => panic!("{other:?}"),
    };
    Ok(hooks.iter().map(body).collect())
}

#[test]
fn tokens_are_for_who_signs_for_an_hour() {
    let mut sandbox = sandbox();
    let good = token(&mut sandbox, NOW);
    let send = |id: &str, token: &str| post(&send_path(CUSTOMER), token, &text(id));
    assert_eq!(answer(&mut sandbox, &send("m-1", &good), NOW).0, 200);
    let (status, body) = answer(&mut sandbox, &send("m-2", "ya29.guess"), NOW);
    assert_eq!((status, &body["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    let later = NOW.plus(3_600_000);
    assert_eq!(answer(&mut sandbox, &send("m-3", &good), later).0, 401);

    // An old assertion, one for something else, one by somebody else, and none.
    let settings = Settings::read(sandbox_settings()).unwrap();
    let api = Api::new(&common(), settings.clone()).unwrap();
    let old = api.token(NOW).unwrap();
    assert_eq!(answer(&mut sandbox, &old, NOW.plus(4_000_000)).1["error"], "invalid_grant");
    let account = settings.account().unwrap();
    let asks = |header: Value, claims: Value| {
        let assertion =
            crate::kit::jwt::rs256(header, &claims, account.private_key.expose()).unwrap();
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned();
        let form = vec![("grant_type".to_owned(), grant), ("assertion".to_owned(), assertion)];
        Request::post_form(format!("{BASE}/token"), form)
    };
    let seconds = NOW.0 / 1000;
    let claims = |iss: &str, aud: &str, scope: &str, life: i64| {
        json!({"iss": iss, "aud": aud, "scope": scope, "iat": seconds, "exp": seconds + life})
    };
    let kid = || json!({"typ": "JWT", "kid": "sandbox-key-1"});
    let (me, aud) = (account.client_email.as_str(), account.audience());
    let scope = crate::google_business_messages::config::SCOPE;
    assert_eq!(answer(&mut sandbox, &asks(kid(), claims(me, aud, scope, 3600)), NOW).0, 200);
    for (header, claims, code) in [
        (kid(), claims("other@example.net", aud, scope, 3600), "invalid_grant"),
        (json!({"kid": "another"}), claims(me, aud, scope, 3600), "invalid_grant"),
        (kid(), claims(me, "https://elsewhere.example", scope, 3600), "invalid_grant"),
        (kid(), claims(me, aud, "https://www.googleapis.com/auth/drive", 3600), "invalid_scope"),
        (kid(), claims(me, aud, scope, 7200), "invalid_grant"),
    ] {
        let (status, body) = answer(&mut sandbox, &asks(header, claims.clone()), NOW);
        assert_eq!((status, &body["error"]), (400, &json!(code)), "{claims}");
    }
    let none = Request::post_form(format!("{BASE}/token"), Vec::new());
    assert_eq!(answer(&mut sandbox, &none, NOW).1["error"], "unsupported_grant_type");
}

#[test]
fn an_id_is_taken_once_and_a_refused_message_takes_none() {
    let mut sandbox = sandbox();
    let token = token(&mut sandbox, NOW);
    let bad = json!({"messageId": "m-1", "representative": {"representativeType": "BOT"}});
    let to = send_path(CUSTOMER);
    assert_eq!(answer(&mut sandbox, &post(&to, &token, &bad), NOW).0, 400);
    assert_eq!(answer(&mut sandbox, &post(&to, &token, &text("m-1")), NOW).0, 200);
    let (status, body) = answer(&mut sandbox, &post(&to, &token, &text("m-1")), NOW);
    assert_eq!((status, &body["error"]["status"]), (409, &json!("ALREADY_EXISTS")));
    assert_eq!(sandbox.phone().len(), 1);
}

#[test]
fn thirty_days_after_the_person_the_conversation_is_closed() {
    let mut sandbox = sandbox();
    let day = 24 * 60 * 60 * 1000;
    act(&mut sandbox, json!({"do": "say", "text": "hi"}), NOW).unwrap();
    let mut sends = |id: &str, days: i64| {
        let now = NOW.plus(days * day);
        let token = token(&mut sandbox, now);
        let request = post(&send_path(CUSTOMER), &token, &text(id));
        answer(&mut sandbox, &request, now).1["error"]["status"].clone()
    };
    assert_eq!(sends("m-1", 29), Value::Null);
    assert_eq!(sends("m-2", 30), "PERMISSION_DENIED");
    let token = self::token(&mut sandbox, NOW);
    let stranger = post(&send_path("nobody"), &token, &text("m-3"));
    assert_eq!(answer(&mut sandbox, &stranger, NOW).1["error"]["status"], "NOT_FOUND");
}

/// One fault at a time, named by its place.
#[test]
fn messages_are_looked_at_closely() {
    let mut sandbox = sandbox();
    let token = token(&mut sandbox, NOW);
    let with = |more: Value| {
        let mut body = json!({"messageId": "x", "representative": {"representativeType": "BOT"}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let info = json!({"fileUrl": "https://x.example/a.jpg"});
    let media = json!({"height": "MEDIUM", "contentInfo": info});
    let card = |card: Value| with(json!({"richCard": {"standaloneCard": {"cardContent": card}}}));
    let carousel = |cards: Vec<Value>| {
        with(json!({"richCard": {"carouselCard": {"cardWidth": "SMALL", "cardContents": cards}}}))
    };
    let reply = |text: &str| json!({"reply": {"text": text, "postbackData": "p"}});
    let offers = |list: Vec<Value>| with(json!({"text": "x", "suggestions": list}));
    let title = |text: &str| json!({"title": text});
    let good = [
        with(json!({"text": "👍".repeat(3072)})),
        with(json!({"image": {"contentInfo": info}})),
        card(json!({"title": "a", "description": "b", "media": media, "suggestions": [reply("A")]})),
        carousel(vec![title("a"), title("b")]),
        offers(vec![reply(&"x".repeat(25)); 13]),
        offers(vec![json!({"liveAgentRequest": {}})]),
    ];
    let bad = [
        (json!({"text": "x"}), "messageId"),
        (json!({"messageId": "x", "text": "x"}), "representative"),
        (with(json!({})), "one of text"),
        (with(json!({"text": "x", "image": {"contentInfo": info}})), "one of text"),
        (with(json!({"text": " "})), "message.text"),
        (with(json!({"text": "x".repeat(3073)})), "message.text"),
        (with(json!({"text": 5})), "message.text"),
        (with(json!({"text": "x", "txet": "y"})), "txet"),
        (with(json!({"text": "x", "fallback": "x".repeat(3073)})), "fallback"),
        (with(json!({"image": {"contentInfo": {"fileUrl": "http://x.example/a"}}})), "fileUrl"),
        (card(json!({"description": "b"})), "title or media"),
        (card(json!({"title": "x".repeat(201)})), "title"),
        (card(json!({"title": "x", "description": "x".repeat(2001)})), "description"),
        (card(json!({"media": {"contentInfo": info}})), "height"),
        (card(json!({"title": "x", "suggestions": vec![reply("A"); 5]})), "suggestions"),
        (carousel(vec![title("a")]), "cardContents"),
        (carousel(vec![title("a"); 11]), "cardContents"),
        (carousel(vec![title("a"), json!({})]), "cardContents[1]"),
        (offers(vec![reply(&"x".repeat(26))]), "suggestions[0].text"),
        (offers(vec![reply("A"); 14]), "suggestions"),
        (offers(vec![json!({"reply": {"text": "A"}})]), "postbackData"),
        (offers(vec![json!({"shout": {}})]), "suggestions[0]"),
        (offers(vec![json!({"action": {"text": "A", "postbackData": "p"}})]), "action"),
        (
            offers(vec![json!({"action": {"text": "A", "postbackData": "p",
                "dialAction": {"phoneNumber": "112"}}})]),
            "action",
        ),
    ];
    for (i, mut message) in good.into_iter().enumerate() {
        message["messageId"] = json!(format!("good-{i}"));
        let request = post(&send_path(CUSTOMER), &token, &message);
        let (status, body) = answer(&mut sandbox, &request, NOW);
        assert_eq!(status, 200, "{body}");
    }
    for (message, place) in bad {
        let request = post(&send_path(CUSTOMER), &token, &message);
        let (status, body) = answer(&mut sandbox, &request, NOW);
        assert_eq!((status, &body["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
        assert!(body["error"]["message"].as_str().unwrap().contains(place), "{place}: {body}");
    }
}

#[test]
fn events_and_receipts() {
    let mut sandbox = sandbox();
    let token = token(&mut sandbox, NOW);
    let said = act(&mut sandbox, json!({"do": "say", "text": "hi"}), NOW).unwrap();
    let id = said[0]["message"]["messageId"].as_str().unwrap().to_owned();
    let typing = json!({"eventType": "TYPING_STARTED",
        "representative": {"representativeType": "HUMAN", "displayName": "Ana"}});
    let path = |id: &str| format!("/v1/conversations/{CUSTOMER}/events?eventId={id}");
    assert_eq!(answer(&mut sandbox, &post(&path("e-1"), &token, &typing), NOW).0, 200);
    assert_eq!(answer(&mut sandbox, &post(&path("e-1"), &token, &typing), NOW).0, 409);
    assert_eq!(answer(&mut sandbox, &post(&path(""), &token, &typing), NOW).0, 400);
    let mut odd = typing;
    odd["eventType"] = json!("SHOUTING");
    assert_eq!(answer(&mut sandbox, &post(&path("e-2"), &token, &odd), NOW).0, 400);

    let receipt = |message: &str, kind: &str| {
        let path = format!("/v1/conversations/{CUSTOMER}/messages/{message}/receipt");
        let mut request = post(&path, &token, &json!({"receiptType": kind}));
        request.method = Method::Patch;
        request
    };
    assert_eq!(answer(&mut sandbox, &receipt(&id, "READ"), NOW).0, 200);
    assert_eq!(answer(&mut sandbox, &receipt(&id, "EATEN"), NOW).0, 400);
    assert_eq!(answer(&mut sandbox, &receipt("m-0", "READ"), NOW).0, 404);
}

#[test]
fn customers_do_what_there_is_and_nothing_else() {
    let mut sandbox = sandbox();
    let token = token(&mut sandbox, NOW);
    let body = json!({"messageId": "m-1", "representative": {"representativeType": "BOT"},
        "text": "x", "suggestions": [
            {"reply": {"text": "Yes", "postbackData": "gw:yes"}},
            {"action": {"text": "Site", "postbackData": "site",
                "openUrlAction": {"url": "https://example.com"}}},
            {"liveAgentRequest": {}}]});
    let request = post(&send_path(CUSTOMER), &token, &body);
    let exchange = sandbox.handle(&request, NOW);
    assert_eq!(exchange.hooks.len(), 1, "delivered");
    let mut press = |button: &str| act(&mut sandbox, json!({"do": "press", "button": button}), NOW);
    let yes = press("Yes").unwrap();
    assert_eq!(yes[0]["suggestionResponse"]["postbackData"], "gw:yes");
    assert_eq!(yes[0]["suggestionResponse"]["type"], "REPLY");
    assert_eq!(press("site").unwrap()[0]["suggestionResponse"]["type"], "ACTION");
    let agent = press("Live agent").unwrap();
    assert_eq!(agent[0]["userStatus"]["requestedLiveAgent"], true);
    assert!(press("No").is_err());
    let read = act(&mut sandbox, json!({"do": "read"}), NOW).unwrap();
    assert_eq!(read[0]["receipts"]["receipts"][0]["receiptType"], "READ");
    for action in [
        json!({"do": "read"}),
        json!({"do": "react", "emoji": "👍"}),
        json!({"do": "edit", "text": "x"}),
        json!({"do": "unblock"}),
        json!({"do": "say", "text": " "}),
        json!({"do": "say", "text": "x", "reply_to": "m-1"}),
        json!({"do": "say", "text": "x", "from": "a/b"}),
        json!({"do": "say", "text": "", "location": {"latitude": 1.0, "longitude": 2.0}}),
        json!({"do": "say", "attachment": {"name": "a.pdf", "mime": "application/pdf"}}),
    ] {
        let error = act(&mut sandbox, action.clone(), NOW).unwrap_err();
        assert!(!error.0.is_empty(), "{action}");
    }
    act(&mut sandbox, json!({"do": "block"}), NOW).unwrap();
    assert!(act(&mut sandbox, json!({"do": "say", "text": "x"}), NOW).is_err());
}

#[test]
fn ids_never_repeat() {
    let mut seen = std::collections::BTreeSet::new();
    let mut sandbox = sandbox();
    for _ in 0..50 {
        let said = act(&mut sandbox, json!({"do": "say", "text": "x"}), NOW).unwrap();
        assert!(seen.insert(said[0]["requestId"].to_string()));
        assert!(seen.insert(said[0]["message"]["messageId"].to_string()));
        sandbox.reset();
    }
}
