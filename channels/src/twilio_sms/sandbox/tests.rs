use super::*;
use crate::kit::http::{Auth, Body, Method, Response};
use crate::kit::secret::Secret;
use crate::twilio_sms::sandbox_settings;
use serde_json::{Value, json};

const NOW: Millis = Millis(1_795_168_800_000);
const ROOT: &str =
    "http://127.0.0.1:8081/x/2010-04-01/Accounts/AC5a4db0c5a4db0c5a4db0c5a4db0c5a4d";

fn sandbox(change: impl FnOnce(&mut Value)) -> Sandbox {
    let mut settings = sandbox_settings();
    change(&mut settings);
    let common = Common {
        id: "sms".to_owned(),
        api_base: Some("http://127.0.0.1:8081/x".to_owned()),
        webhook_url: "http://127.0.0.1:8080/webhooks/sms".to_owned(),
    };
    Sandbox::new(&common, Settings::read(settings).unwrap())
}

fn ask(sandbox: &mut Sandbox, method: Method, path: &str, form: &[(&str, &str)]) -> (u16, Value, Vec<Hook>) {
    let pairs = form.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    let mut request = Request::post_form(format!("{ROOT}{path}"), pairs.collect());
    request.method = method;
    request.auth = sandbox.settings.auth();
    let Exchange { response, hooks } = sandbox.handle(&request, NOW);
    let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
    (response.status, body, hooks)
}

fn statuses(hooks: &[Hook]) -> Vec<String> {
    let status = |hook: &Hook| match &hook.request.body {
        Body::Form(pairs) => {
            let found = pairs.iter().find(|(n, _)| n == "MessageStatus");
            found.map(|(_, v)| v.clone()).unwrap_or_default()
        }
        other => panic!("{other:?}"),
    };
    hooks.iter().map(status).collect()
}

const TO: (&str, &str) = ("To", "+12025550142");
const FROM: (&str, &str) = ("From", "+15005550006");

#[test]
fn creation_is_strict() {
    let picture = ("MediaUrl", "https://gw.example.net/a.jpg");
    let long = "x".repeat(1601);
    let hi = ("Body", "hi");
    let cases: Vec<(Vec<(&str, &str)>, u64)> = vec![
        (vec![FROM, hi], 21604),
        (vec![("To", "0701740605"), FROM, hi], 21211),
        (vec![("To", "+15005550001"), FROM, hi], 21211),
        (vec![("To", "+15005550002"), FROM, hi], 21612),
        (vec![("To", "+15005550003"), FROM, hi], 21408),
        (vec![("To", "+15005550004"), FROM, hi], 21610),
        (vec![("To", "+15005550009"), FROM, hi], 21614),
        (vec![TO, hi], 21603),
        (vec![TO, ("From", "+15005550001"), hi], 21212),
        (vec![TO, ("From", "+15005550007"), hi], 21606),
        (vec![TO, ("From", "+15005550008"), hi], 21611),
        (vec![TO, ("MessagingServiceSid", "MG1"), hi], 21701),
        (vec![TO, FROM], 21602),
        (vec![TO, FROM, ("Body", " ")], 21602),
        (vec![TO, FROM, ("Body", &long)], 21617),
        (vec![TO, FROM, ("MediaUrl", "a.jpg")], 21620),
        ([TO, FROM].into_iter().chain([picture; 11]).collect(), 21623),
        (vec![TO, FROM, hi, ("StatusCallback", "/relative")], 21609),
        (vec![TO, FROM, hi, ("StatusCallback", "https://a_b.example/")], 21609),
        (vec![TO, FROM, hi, ("ValidityPeriod", "0")], 21624),
        (vec![TO, FROM, hi, ("ScheduleType", "fixed"), ("SendAt", "x")], 20422),
        (vec![TO, FROM, hi, ("Boddy", "x")], 20001),
    ];
    let mut sandbox = sandbox(|_| {});
    for (form, code) in cases {
        let (status, body, hooks) = ask(&mut sandbox, Method::Post, "/Messages.json", &form);
        assert_eq!((status, &body["code"]), (400, &json!(code)), "{form:?}");
        assert!(hooks.is_empty() && sandbox.phone().is_empty());
    }
}

#[test]
fn only_its_own_credentials_and_paths() {
    let mut sandbox = sandbox(|s| {
        s["api_key_sid"] = json!("SK1");
        s["api_key_secret"] = json!("key secret");
    });
    let basic = |user: &str, password: &str| Auth::Basic {
        user: user.to_owned(),
        password: Secret::new(password),
    };
    let (account, token) = (
        "AC5a4db0c5a4db0c5a4db0c5a4db0c5a4d",
        "5a4db0c5a4db0c5a4db0c5a4db0c5a4d",
    );
    let list = "/Messages.json";
    let cases = [
        (basic(account, token), list, Method::Get, 200),
        (basic(account, token), ".json", Method::Get, 200),
        (basic("SK1", "key secret"), list, Method::Get, 200),
        (basic("SK1", "key secret"), ".json", Method::Get, 401),
        (basic("SK1", token), list, Method::Get, 401),
        (basic(account, "wrong"), list, Method::Get, 401),
        (Auth::Bearer(Secret::new(token)), list, Method::Get, 401),
        (Auth::None, list, Method::Get, 401),
        (basic(account, token), list, Method::Put, 405),
        (basic(account, token), "/Calls.json", Method::Get, 404),
        (basic(account, token), "0/Messages.json", Method::Get, 404),
        (basic(account, token), "/Messages/SM1.json", Method::Get, 404),
        (basic(account, token), "/Messages/SM1", Method::Get, 404),
        (basic(account, token), "/Messages/SM1/Media/ME1", Method::Get, 404),
    ];
    for (auth, path, method, expected) in cases {
        let mut request = Request::get(format!("{ROOT}{path}")).with_auth(auth);
        request.method = method;
        let Response { status, .. } = sandbox.handle(&request, NOW).response;
        assert_eq!(status, expected, "{path} {:?}", request.auth);
    }
    let header = format!("Basic {}", crate::kit::sign::base64(format!("{account}:{token}").as_bytes()));
    let request = Request::get(format!("{ROOT}{list}")).with_header("Authorization", header);
    assert_eq!(sandbox.handle(&request, NOW).response.status, 200);
}

#[test]
fn a_service_picks_the_number_later() {
    let service = "MG00112233445566778899aabbccddeeff";
    let mut sandbox = sandbox(|s| {
        s["from"] = Value::Null;
        s["messaging_service_sid"] = json!(service);
    });
    let callback = ("StatusCallback", "http://127.0.0.1:8080/webhooks/sms?gw=sb-1-0");
    let form = [TO, ("MessagingServiceSid", service), ("Body", "hi"), callback];
    let (status, body, hooks) = ask(&mut sandbox, Method::Post, "/Messages.json", &form);
    assert_eq!((status, &body["status"], &body["from"]), (201, &json!("accepted"), &Value::Null));
    assert_eq!(statuses(&hooks), ["queued", "sent", "delivered"]);
    assert!(hooks.iter().all(|h| h.request.url == callback.1));
    assert!(hooks.is_sorted_by_key(|h| h.after_ms));

    let later = [("SendAt", "2026-12-01T00:00:00Z"), ("ScheduleType", "fixed")];
    let form: Vec<_> = form.into_iter().chain(later).collect();
    let (_, body, hooks) = ask(&mut sandbox, Method::Post, "/Messages.json", &form);
    assert_eq!((&body["status"], hooks.len()), (&json!("scheduled"), 0));
    let path = format!("/Messages/{}.json", body["sid"].as_str().unwrap());
    let cancel = [("Status", "canceled")];
    let (status, body, hooks) = ask(&mut sandbox, Method::Post, &path, &cancel);
    assert_eq!((status, &body["status"]), (200, &json!("canceled")));
    assert_eq!(statuses(&hooks), ["canceled"]);
    let (status, body, _) = ask(&mut sandbox, Method::Post, &path, &cancel);
    assert_eq!((status, &body["code"]), (409, &json!(20409)));
    assert_eq!(sandbox.phone().len(), 1, "what was canceled never arrives");
}

#[test]
fn messages_can_be_listed_emptied_and_deleted() {
    let mut sandbox = sandbox(|_| {});
    for text in ["one", "two"] {
        let form = [TO, FROM, ("Body", text)];
        ask(&mut sandbox, Method::Post, "/Messages.json", &form);
    }
    let say = serde_json::from_value(json!({"do": "say", "text": "three"})).unwrap();
    sandbox.act(&say, NOW).unwrap();
    let query = "/Messages.json?To=%2B12025550142&DateSent%3E=2026-11-20&PageSize=5";
    let (_, body, _) = ask(&mut sandbox, Method::Get, query, &[]);
    let texts: Vec<&str> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["body"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["two", "one"], "the newest first, and none that came in");
    let (_, none, _) = ask(&mut sandbox, Method::Get, "/Messages.json?DateSent%3E=2026-11-21", &[]);
    assert_eq!(none["messages"], json!([]));

    let sid = body["messages"][0]["sid"].as_str().unwrap();
    let path = format!("/Messages/{sid}.json");
    let (status, body, _) = ask(&mut sandbox, Method::Post, &path, &[("Body", "")]);
    assert_eq!((status, &body["body"]), (200, &json!("")));
    let (status, _, _) = ask(&mut sandbox, Method::Post, &path, &[("Body", "other")]);
    assert_eq!(status, 400);
    let (status, _, _) = ask(&mut sandbox, Method::Delete, &path, &[]);
    assert_eq!(status, 204);
    let (status, _, _) = ask(&mut sandbox, Method::Get, &path, &[]);
    assert_eq!(status, 404);
}

#[test]
fn what_sms_has_not_cannot_be_done() {
    let mut sandbox = sandbox(|_| {});
    for action in [
        json!({"do": "press", "button": "Yes"}),
        json!({"do": "read"}),
        json!({"do": "react", "emoji": "👍"}),
        json!({"do": "edit", "text": "x"}),
        json!({"do": "say"}),
        json!({"do": "say", "text": "x", "from": "bob"}),
        json!({"do": "say", "text": "x", "reply_to": "SM1"}),
        json!({"do": "say", "location": {"latitude": 1.0, "longitude": 2.0}}),
    ] {
        let parsed = serde_json::from_value(action.clone()).unwrap();
        assert!(sandbox.act(&parsed, NOW).is_err(), "{action}");
    }
    assert!(sandbox.phone().is_empty());
}

#[test]
fn memory_has_an_end() {
    let mut sandbox = sandbox(|_| {});
    let say = json!({"do": "say", "text": "x", "attachment": {"name": "a", "mime": "text/plain"}});
    let say = serde_json::from_value(say).unwrap();
    for _ in 0..PHONE_LINES_MAX + 5 {
        sandbox.act(&say, NOW).unwrap();
    }
    assert_eq!(sandbox.phone().len(), PHONE_LINES_MAX);
    assert!(sandbox.files.len() <= 100);
}
