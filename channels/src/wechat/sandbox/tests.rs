//! The emulator's own strictness.

use super::*;
use crate::kit::http::{Body, Field};
use crate::wechat::config::sandbox_settings;
use crate::wechat::crypt;
use crate::wechat::xml;
use serde_json::{Value, json};

const BASE: &str = "http://127.0.0.1:8081/sandbox-wechat";
const NOW: Millis = Millis(1_795_000_100_000);
const HOUR: i64 = 3_600_000;

fn sandbox(changes: Value) -> Sandbox {
    let mut settings = sandbox_settings();
    for (key, value) in changes.as_object().unwrap() {
        settings[key] = value.clone();
    }
    let common = Common {
        id: "sandbox-wechat".into(),
        api_base: Some(BASE.into()),
        webhook_url: "http://127.0.0.1:8080/webhooks/sandbox-wechat".into(),
    };
    Sandbox::new(&common, Settings::read(settings).unwrap())
}

fn answer(sandbox: &mut Sandbox, request: &Request, now: Millis) -> Value {
    let response = sandbox.handle(request, now).response;
    serde_json::from_slice(&response.body).unwrap_or_else(|_| json!(response.status))
}

fn post(sandbox: &mut Sandbox, path: &str, token: &str, body: Value, now: Millis) -> Value {
    let url = format!("{BASE}/cgi-bin/{path}?access_token={token}");
    answer(sandbox, &Request::post_json(url, body.to_string()), now)
}

fn ask_token(sandbox: &mut Sandbox, force: bool, now: Millis) -> Value {
    let body = json!({"grant_type": "client_credential", "appid": "wx5a0db0c5a0db0c57",
        "secret": "sandbox-wechat-app-secret", "force_refresh": force});
    let url = format!("{BASE}/cgi-bin/stable_token");
    answer(sandbox, &Request::post_json(url, body.to_string()), now)
}

fn token(sandbox: &mut Sandbox, now: Millis) -> String {
    ask_token(sandbox, false, now)["access_token"].as_str().unwrap().to_owned()
}

fn say(sandbox: &mut Sandbox, action: Value, now: Millis) -> Result<Vec<Hook>, String> {
    let action: Action = serde_json::from_value(action).unwrap();
    sandbox.act(&action, now).map_err(|cannot| cannot.0)
}

fn text(to: &str) -> Value {
    json!({"touser": to, "msgtype": "text", "text": {"content": "hi"}})
}

const SEND: &str = "message/custom/send";

#[test]
fn tokens_are_stable_expire_and_are_replaced() {
    let mut sandbox = sandbox(json!({}));
    let first = token(&mut sandbox, NOW);
    assert_eq!(token(&mut sandbox, NOW.plus(HOUR)), first);
    let send = |sandbox: &mut Sandbox, token: &str, now| post(sandbox, SEND, token, text(CUSTOMER), now)["errcode"].clone();
    assert_eq!(send(&mut sandbox, &first, NOW), 0);
    // Nearly over: another one, and both are good.
    let later = NOW.plus(2 * HOUR - 200_000);
    let second = token(&mut sandbox, later);
    assert_ne!(first, second);
    assert_eq!((send(&mut sandbox, &first, later), send(&mut sandbox, &second, later)), (json!(0), json!(0)));
    assert_eq!(send(&mut sandbox, &first, NOW.plus(2 * HOUR)), 42001);
    assert_eq!(send(&mut sandbox, "made-up", NOW), 40001);
    assert_eq!(send(&mut sandbox, "", NOW), 41001);
    // By force: the one before is worth nothing at once, and not too often.
    let third = ask_token(&mut sandbox, true, later)["access_token"].as_str().unwrap().to_owned();
    assert_eq!((send(&mut sandbox, &second, later), send(&mut sandbox, &third, later)), (json!(40001), json!(0)));
    for _ in 1..20 {
        ask_token(&mut sandbox, true, later);
    }
    assert_eq!(ask_token(&mut sandbox, true, later)["errcode"], 45009);
}

#[test]
fn only_the_account_gets_a_token() {
    let mut sandbox = sandbox(json!({}));
    let good = json!({"grant_type": "client_credential", "appid": "wx5a0db0c5a0db0c57",
        "secret": "sandbox-wechat-app-secret"});
    for (key, value, code) in [
        ("grant_type", json!("password"), 40002),
        ("appid", json!("wx0000000000000000"), 40013),
        ("appid", json!(null), 41002),
        ("secret", json!("wrong"), 40125),
        ("secret", json!(null), 41004),
    ] {
        let mut body = good.clone();
        body[key] = value;
        let url = format!("{BASE}/cgi-bin/stable_token");
        let request = Request::post_json(url, body.to_string());
        assert_eq!(answer(&mut sandbox, &request, NOW)["errcode"], code, "{body}");
    }
    let classic = format!("{BASE}/cgi-bin/token?grant_type=client_credential&appid=wx5a0db0c5a0db0c57&secret=sandbox-wechat-app-secret");
    let given = answer(&mut sandbox, &Request::get(classic), NOW);
    assert_eq!(given["expires_in"], 7200);
}

#[test]
fn messages_are_checked_as_wechat_does() {
    let mut sandbox = sandbox(json!({}));
    let token = token(&mut sandbox, NOW);
    let with = |kind: &str, content: Value| json!({"touser": CUSTOMER, "msgtype": kind, kind: content});
    let article = json!({"title": "t", "url": "https://a.example"});
    let cases = [
        (text(CUSTOMER), 0),
        (text("oNobodyIsHere_00000000000001"), 40003),
        (json!({"msgtype": "text", "text": {"content": "hi"}}), 40003),
        (json!({"touser": CUSTOMER}), 40008),
        (with("sticker", json!({})), 40008),
        (with("text", json!({})), 44004),
        (with("text", json!({"content": ""})), 44004),
        (with("text", json!({"content": 5})), 47001),
        (with("text", json!({"content": "好".repeat(682)})), 0),
        (with("text", json!({"content": "好".repeat(683)})), 45002),
        (with("image", json!({"media_id": "unknown"})), 40007),
        (with("image", json!({})), 41006),
        (with("news", json!({"articles": [article]})), 0),
        (with("news", json!({"articles": [article, article]})), 45008),
        (with("news", json!({"articles": [{"url": "https://a.example"}]})), 45003),
        (with("msgmenu", json!({"head_content": "?", "list": []})), 47001),
        (with("msgmenu", json!({"head_content": "?", "list": [{"id": "1"}]})), 47001),
        (json!({"touser": CUSTOMER, "msgtype": "text", "text": {"content": "x"}, "safe": 1}), 47001),
    ];
    for (body, code) in cases {
        assert_eq!(post(&mut sandbox, SEND, &token, body.clone(), NOW)["errcode"], code, "{body}");
    }
    let url = format!("{BASE}/cgi-bin/{SEND}?access_token={token}");
    for (body, code) in [
        (format!(r#"{{"touser":"{CUSTOMER}","msgtype":"text","text":{{"content":"\u4f60"}}}}"#), 40033),
        (format!(r#"{{"touser":"{CUSTOMER}","msgtype":"text","text":{{"content":"\u000b"}}}}"#), 0),
        ("{".into(), 47001),
    ] {
        let request = Request::post_json(&url, body.clone());
        assert_eq!(answer(&mut sandbox, &request, NOW)["errcode"], code, "{body}");
    }
    assert_eq!(answer(&mut sandbox, &Request::get(&url), NOW)["errcode"], 43001);
    let elsewhere = Request::get(format!("{BASE}/nothing"));
    assert_eq!(answer(&mut sandbox, &elsewhere, NOW), 404);
}

#[test]
fn the_window_is_open_for_two_days_and_so_many_messages() {
    let mut sandbox = sandbox(json!({}));
    let send = |sandbox: &mut Sandbox, who: &str, now: Millis| {
        let token = token(sandbox, now);
        post(sandbox, SEND, &token, text(who), now)["errcode"].as_i64().unwrap()
    };
    for _ in 0..MESSAGES_AFTER_MESSAGE {
        assert_eq!(send(&mut sandbox, CUSTOMER, NOW), 0);
    }
    assert_eq!(send(&mut sandbox, CUSTOMER, NOW), 45047);
    say(&mut sandbox, json!({"do": "say", "text": "hello"}), NOW.plus(HOUR)).unwrap();
    assert_eq!(send(&mut sandbox, CUSTOMER, NOW.plus(49 * HOUR - 1)), 0);
    assert_eq!(send(&mut sandbox, CUSTOMER, NOW.plus(49 * HOUR)), 45015);
    // A tap opens it for a minute and three messages.
    let later = NOW.plus(50 * HOUR);
    let hooks = say(&mut sandbox, json!({"do": "press", "button": "menu:HELP"}), later).unwrap();
    assert_eq!(hooks.len(), 1);
    for code in [0, 0, 0, 45047] {
        assert_eq!(send(&mut sandbox, CUSTOMER, later.plus(59_999)), code);
    }
    assert_eq!(send(&mut sandbox, CUSTOMER, later.plus(60_000)), 45015);
}

#[test]
fn files_are_uploaded_kept_for_three_days_and_handed_out() {
    let mut sandbox = sandbox(json!({}));
    let token = token(&mut sandbox, NOW);
    let upload = |sandbox: &mut Sandbox, kind: &str, name: Option<&str>, bytes: usize| {
        let field = Field {
            name: "media".into(),
            file_name: name.map(str::to_owned),
            mime: Some("image/jpeg".into()),
            bytes: vec![b'x'; bytes].into(),
        };
        let url = format!("{BASE}/cgi-bin/media/upload?access_token={token}&type={kind}");
        answer(sandbox, &Request::post_multipart(url, vec![field]), NOW)
    };
    for (kind, name, bytes, code) in [
        ("file", Some("a.jpg"), 4, 40004),
        ("image", Some("a.webp"), 4, 40005),
        ("image", Some("a"), 4, 40005),
        ("image", None, 4, 41005),
        ("image", Some("a.jpg"), 0, 44001),
        ("image", Some("a.jpg"), 10 * 1024 * 1024 + 1, 40009),
        ("voice", Some("a.mp3"), 2 * 1024 * 1024 + 1, 40010),
        ("thumb", Some("a.jpg"), 64 * 1024 + 1, 40012),
    ] {
        assert_eq!(upload(&mut sandbox, kind, name, bytes)["errcode"], code, "{kind} {name:?}");
    }
    assert!(upload(&mut sandbox, "thumb", Some("a.jpg"), 4)["thumb_media_id"].is_string());
    let id = upload(&mut sandbox, "image", Some("a.jpg"), 4)["media_id"].as_str().unwrap().to_owned();
    let body = |kind: &str| json!({"touser": CUSTOMER, "msgtype": kind, kind: {"media_id": id}});
    assert_eq!(post(&mut sandbox, SEND, &token, body("image"), NOW)["errcode"], 0);
    assert_eq!(post(&mut sandbox, SEND, &token, body("voice"), NOW)["errcode"], 40004);
    let old = NOW.plus(72 * HOUR);
    let fresh = ask_token(&mut sandbox, false, old)["access_token"].as_str().unwrap().to_owned();
    assert_eq!(post(&mut sandbox, SEND, &fresh, body("image"), old)["errcode"], 40007);
    assert_eq!(sandbox.phone()[0].extras, ["image: a.jpg"]);
}

#[test]
fn templates_report_back_and_typing_has_its_rules() {
    let mut sandbox = sandbox(json!({}));
    let token = token(&mut sandbox, NOW);
    let url = format!("{BASE}/cgi-bin/message/template/send?access_token={token}");
    let body = json!({"touser": CUSTOMER, "template_id": "T1", "data": {"thing1": {"value": "Parcel"}}});
    let exchange = sandbox.handle(&Request::post_json(&url, body.to_string()), NOW);
    let id: Value = serde_json::from_slice(&exchange.response.body).unwrap();
    let told = opened(&sandbox, &exchange.hooks[0]);
    assert_eq!(told.text("MsgID"), Some(id["msgid"].to_string().as_str()));
    assert_eq!(told.text("Status"), Some("success"));
    assert_eq!(sandbox.phone()[0].text, "thing1: Parcel");
    for (change, code) in [
        (json!({"template_id": "unknown-1"}), 40037),
        (json!({"data": {"thing1": "Parcel"}}), 47003),
        (json!({"data": null}), 47003),
        (json!({"touser": "oNobodyIsHere_00000000000001"}), 40003),
    ] {
        let mut wrong = body.clone();
        for (key, value) in change.as_object().unwrap() {
            wrong[key] = value.clone();
        }
        let request = Request::post_json(&url, wrong.to_string());
        assert_eq!(answer(&mut sandbox, &request, NOW)["errcode"], code, "{change}");
    }
    let typing = |sandbox: &mut Sandbox, command: &str, now: Millis| {
        let body = json!({"touser": CUSTOMER, "command": command});
        post(sandbox, "message/custom/typing", &token, body, now)["errcode"].clone()
    };
    for (command, seconds, code) in [
        ("Typing", 0, 0),
        ("Typing", 14, 45081),
        ("Typing", 15, 0),
        ("CancelTyping", 16, 0),
        ("Typing", 17, 0),
        ("Nodding", 18, 45072),
        ("Typing", 40, 45080),
    ] {
        let now = NOW.plus(seconds * 1000);
        assert_eq!(typing(&mut sandbox, command, now), code, "{command} at {seconds}");
    }
}

/// The content of a callback, opened with the account's key.
fn opened(sandbox: &Sandbox, hook: &Hook) -> xml::Node {
    let Body::Raw(body) = &hook.request.body else {
        panic!("{hook:?}")
    };
    let outer = xml::read(body).unwrap();
    let Some(sealed) = outer.text("Encrypt") else {
        return outer;
    };
    let key = sandbox.settings.keys().next().unwrap();
    xml::read(&crypt::open(&key, sealed, &sandbox.settings.app_id).unwrap()).unwrap()
}

#[test]
fn callbacks_are_as_the_mode_says() {
    for (mode, plain, sealed) in [
        ("plaintext", true, false),
        ("compat", true, true),
        ("safe", false, true),
    ] {
        let mut sandbox = sandbox(json!({"mode": mode}));
        let hooks = say(&mut sandbox, json!({"do": "say", "text": "]]> & <b>"}), NOW).unwrap();
        let Body::Raw(body) = &hooks[0].request.body else {
            panic!("{mode}")
        };
        let outer = xml::read(body).unwrap();
        assert_eq!(outer.text("Content").is_some(), plain, "{mode}");
        assert_eq!(outer.text("Encrypt").is_some(), sealed, "{mode}");
        assert_eq!(hooks[0].request.url.contains("encrypt_type=aes"), sealed, "{mode}");
        assert_eq!(opened(&sandbox, &hooks[0]).text("Content"), Some("]]> & <b>"));
    }
}

#[test]
fn people_do_what_wechat_lets_them_do() {
    let mut sandbox = sandbox(json!({}));
    for (action, why) in [
        (json!({"do": "read"}), "read"),
        (json!({"do": "react", "emoji": "👍"}), "reactions"),
        (json!({"do": "edit", "text": "x"}), "changed"),
        (json!({"do": "press", "button": "No"}), "No"),
        (json!({"do": "say", "text": "x", "reply_to": "1"}), "answer"),
        (json!({"do": "say", "text": ""}), "nothing"),
        (json!({"do": "say", "from": "+46701740605", "text": "x"}), "openid"),
        (json!({"do": "say", "attachment": {"name": "a.pdf", "mime": "application/pdf"}}), "files"),
    ] {
        let error = say(&mut sandbox, action.clone(), NOW).unwrap_err();
        assert!(error.contains(why), "{action}: {error}");
    }
    let film = json!({"do": "say", "attachment": {"name": "a.mp4", "mime": "video/mp4", "content": "m"}});
    let hooks = say(&mut sandbox, film, NOW).unwrap();
    let film = opened(&sandbox, &hooks[0]);
    let token = token(&mut sandbox, NOW);
    let url = format!("{BASE}/cgi-bin/media/get?access_token={token}&media_id={}", film.text("MediaId").unwrap());
    let link = answer(&mut sandbox, &Request::get(url), NOW);
    let link = link["video_url"].as_str().unwrap().to_owned();
    assert_eq!(sandbox.handle(&Request::get(link), NOW).response.body.as_ref(), b"m");

    let left = say(&mut sandbox, json!({"do": "block"}), NOW).unwrap();
    assert_eq!(opened(&sandbox, &left[0]).text("Event"), Some("unsubscribe"));
    assert_eq!(post(&mut sandbox, SEND, &token, text(CUSTOMER), NOW)["errcode"], 43004);
    assert!(say(&mut sandbox, json!({"do": "say", "text": "x"}), NOW).is_err());
    let info = Request::get(format!("{BASE}/cgi-bin/user/info?access_token={token}&openid={CUSTOMER}"));
    assert_eq!(answer(&mut sandbox, &info, NOW)["subscribe"], 0);
    say(&mut sandbox, json!({"do": "unblock"}), NOW).unwrap();
    assert_eq!(answer(&mut sandbox, &info, NOW)["language"], "en");
}

/// A gateway remembers ids: neither a reset nor a new start may repeat one. And state has an end.
#[test]
fn ids_never_repeat_and_phones_end() {
    let id = |sandbox: &mut Sandbox, now| {
        let hooks = say(sandbox, json!({"do": "say", "text": "x"}), now).unwrap();
        opened(sandbox, &hooks[0]).text("MsgId").unwrap().parse::<i64>().unwrap()
    };
    let mut first = sandbox(json!({}));
    let one = id(&mut first, NOW);
    first.reset();
    let two = id(&mut first, NOW);
    let three = id(&mut sandbox(json!({})), NOW.plus(1000));
    assert!(one < two && two < three, "{one} {two} {three}");
    for _ in 0..PHONE_LINES_MAX + 5 {
        id(&mut first, NOW);
    }
    assert_eq!(first.phone().len(), PHONE_LINES_MAX);
}
