//! The emulator refuses what Telegram refuses, in its words, and answers in its shapes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use super::*;
use crate::telegram::verify::SECRET_HEADER;
use crate::kit::http::{Body, Field};
use crate::telegram::config::sandbox_settings;

const NOW: Millis = Millis(1_795_000_100_000);
const TOKEN: &str = "7000000001:sandbox-token-of-35-characters-abcde";
const BASE: &str = "http://127.0.0.1:8081/sandbox/desk";

fn sandbox() -> Sandbox {
    let common = Common {
        id: "desk".into(),
        api_base: Some(BASE.into()),
        webhook_url: "http://127.0.0.1:8080/webhooks/desk".into(),
    };
    Sandbox::new(&common, &Settings::read(sandbox_settings()).unwrap())
}

fn url(method: &str) -> String {
    format!("{BASE}/bot{TOKEN}/{method}")
}

fn ask(sandbox: &mut Sandbox, request: &Request) -> (u16, Value) {
    let response = sandbox.handle(request, NOW).response;
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body["ok"], json!(response.status == 200), "{body}");
    (response.status, body)
}

fn call(sandbox: &mut Sandbox, method: &str, fields: Value) -> (u16, Value) {
    ask(sandbox, &Request::post_json(url(method), fields.to_string()))
}

fn result(sandbox: &mut Sandbox, method: &str, fields: Value) -> Value {
    let (status, body) = call(sandbox, method, fields);
    assert_eq!(status, 200, "{method}: {body}");
    body["result"].clone()
}

fn act(sandbox: &mut Sandbox, action: Value) -> Result<Vec<Value>, String> {
    let action: Action = serde_json::from_value(action).unwrap();
    let hooks = sandbox.act(&action, NOW).map_err(|cannot| cannot.0)?;
    let update = |hook: &Hook| match &hook.request.body {
        Body::Json(text) => serde_json::from_str(text).unwrap(),
        other => panic!("{other:?}"),
    };
    Ok(hooks.iter().map(update).collect())
}

#[test]
fn refusals_have_telegrams_words() {
    let long = "x".repeat(4097);
    let emoji = "👍".repeat(2049); // 4098 UTF-16 units, 2049 characters
    let keyboard = |button: Value| json!({"inline_keyboard": [[button]]});
    let dana = 5_550_001_001_i64;
    let photo = "https://files.example.net/a.jpg";
    let item = |kind: &str| json!({"type": kind, "media": photo});
    let cases = [
        ("sendMessage", json!({"text": "x"}), "chat_id is empty"),
        ("sendMessage", json!({"chat_id": 1, "text": "x"}), "chat not found"),
        ("sendMessage", json!({"chat_id": "@nobody", "text": "x"}), "chat not found"),
        ("sendMessage", json!({"chat_id": -100, "text": "x"}), "chat not found"),
        ("sendMessage", json!({"chat_id": dana}), "message text is empty"),
        ("sendMessage", json!({"chat_id": dana, "text": " \n"}), "message text is empty"),
        ("sendMessage", json!({"chat_id": dana, "text": long}), "message is too long"),
        ("sendMessage", json!({"chat_id": dana, "text": emoji}), "message is too long"),
        ("sendMessage", json!({"chat_id": dana, "text": "x", "parse_mode": "rtf"}), "unsupported parse_mode"),
        ("sendMessage", json!({"chat_id": dana, "text": "x", "message_thread_id": 7}), "message thread not found"),
        ("sendMessage", json!({"chat_id": dana, "text": "x", "reply_parameters": {"message_id": 99}}), "message to be replied not found"),
        ("sendMessage", json!({"chat_id": dana, "text": "x", "reply_markup": keyboard(json!({"text": "A", "callback_data": "é".repeat(33)}))}), "BUTTON_DATA_INVALID"),
        ("sendMessage", json!({"chat_id": dana, "text": "x", "reply_markup": keyboard(json!({"text": "A", "callback_data": ""}))}), "BUTTON_DATA_INVALID"),
        ("sendMessage", json!({"chat_id": dana, "text": "x", "reply_markup": keyboard(json!({"text": "A", "url": "http://localhost/"}))}), "Wrong HTTP URL"),
        ("sendMessage", json!({"chat_id": dana, "text": "x", "reply_markup": keyboard(json!({"text": "A"}))}), "exactly one action"),
        ("sendMessage", json!({"chat_id": dana, "text": "x", "reply_markup": "{broken"}), "can't parse reply_markup"),
        ("sendPhoto", json!({"chat_id": dana}), "there is no photo in the request"),
        ("sendPhoto", json!({"chat_id": dana, "photo": "AgAC-unknown"}), "wrong file identifier/HTTP URL specified"),
        ("sendPhoto", json!({"chat_id": dana, "photo": "ftp://x.example/a"}), "wrong file identifier/HTTP URL specified"),
        ("sendPhoto", json!({"chat_id": dana, "photo": "https://gone.invalid/a.jpg"}), "failed to get HTTP URL content"),
        ("sendPhoto", json!({"chat_id": dana, "photo": photo, "caption": "x".repeat(1025)}), "caption is too long"),
        ("sendVideoNote", json!({"chat_id": dana, "video_note": photo}), "wrong type of the web page content"),
        ("sendMediaGroup", json!({"chat_id": dana, "media": [item("photo")]}), "2 to 10"),
        ("sendMediaGroup", json!({"chat_id": dana, "media": [item("photo"), item("document")]}), "document can't be mixed"),
        ("sendMediaGroup", json!({"chat_id": dana, "media": [item("photo"), item("sticker")]}), "type must be"),
        ("sendLocation", json!({"chat_id": dana, "latitude": 91, "longitude": 0}), "latitude is invalid"),
        ("sendVenue", json!({"chat_id": dana, "latitude": 1, "longitude": 1, "title": "x"}), "address is empty"),
        ("sendContact", json!({"chat_id": dana, "phone_number": "+1"}), "first_name is empty"),
        ("sendChatAction", json!({"chat_id": dana, "action": "dance"}), "wrong parameter action"),
        ("answerCallbackQuery", json!({"callback_query_id": "1"}), "query is too old"),
        ("getFile", json!({"file_id": "x"}), "wrong file_id or the file is temporarily unavailable"),
        ("getUserProfilePhotos", json!({"user_id": 1}), "user not found"),
        ("editMessageText", json!({"chat_id": dana, "message_id": 9, "text": "x"}), "message to edit not found"),
        ("deleteMessage", json!({"chat_id": dana, "message_id": 9}), "message to delete not found"),
        ("setMessageReaction", json!({"chat_id": dana, "message_id": 9, "reaction": [{"type": "emoji", "emoji": "🥦"}]}), "REACTION_INVALID"),
        ("setWebhook", json!({"url": "http://elsewhere.example/"}), "An HTTPS URL must be provided"),
        ("setWebhook", json!({"url": "https://elsewhere.example:444/"}), "only on ports"),
        ("setWebhook", json!({"url": "https://elsewhere.example/", "secret_token": "a b"}), "unallowed characters"),
    ];
    let mut sandbox = sandbox();
    for (method, fields, words) in cases {
        let (status, body) = call(&mut sandbox, method, fields.clone());
        assert_eq!(status, 400, "{method} {fields}: {body}");
        assert_eq!(body["error_code"], 400);
        let description = body["description"].as_str().unwrap();
        assert!(description.starts_with("Bad Request: "), "{description}");
        assert!(description.contains(words), "{method} {fields}: {description}");
    }
    assert!(sandbox.phone().is_empty(), "what is refused is not sent");
}

#[test]
fn tokens_and_methods_are_checked() {
    let cases = [
        ("/bot7000000001:another-token/getMe", 401, "Unauthorized"),
        ("/botnonsense/getMe", 404, "Not Found"),
        ("/getMe", 404, "Not Found"),
        ("/file/bot7000000001:another-token/photos/file_1.jpg", 401, "Unauthorized"),
    ];
    let mut sandbox = sandbox();
    for (path, status, words) in cases {
        let (got, body) = ask(&mut sandbox, &Request::get(format!("{BASE}{path}")));
        assert_eq!((got, body["description"].as_str()), (status, Some(words)));
    }
    let (status, body) = call(&mut sandbox, "sendTelepathy", json!({}));
    assert_eq!((status, &body["error_code"]), (404, &json!(404)));
    // An escaped colon and any case are the same to the Bot API.
    let escaped = format!("{BASE}/bot{}/GETME?x=1", TOKEN.replace(':', "%3A"));
    let (_, body) = ask(&mut sandbox, &Request::get(escaped));
    assert_eq!(body["result"]["id"], json!(7_000_000_001_i64));
}

#[test]
fn json_forms_and_multipart_mean_the_same() {
    let mut sandbox = sandbox();
    let reply = json!({"inline_keyboard": [[{"text": "Yes", "callback_data": "Y"}]]});
    let json = json!({"chat_id": 5_550_001_001_i64, "text": "Hi", "reply_markup": reply});
    let pairs = [
        ("chat_id", "5550001001".to_owned()),
        ("text", "Hi".to_owned()),
        ("reply_markup", reply.to_string()),
    ];
    let form = pairs.clone().map(|(n, v)| (n.to_owned(), v)).to_vec();
    let field = |(name, value): (&str, String)| Field {
        name: name.into(),
        file_name: None,
        mime: None,
        bytes: value.into(),
    };
    let query: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&pairs)
        .finish();
    let requests = [
        Request::post_json(url("sendMessage"), json.to_string()),
        Request::post_form(url("sendmessage"), form),
        Request::post_multipart(url("SendMessage"), pairs.map(field).to_vec()),
        Request::get(format!("{}?{query}", url("sendMessage"))),
    ];
    let mut shown = requests.map(|request| {
        let (status, mut body) = ask(&mut sandbox, &request);
        assert_eq!(status, 200, "{body}");
        body["result"]["message_id"] = json!(0);
        body
    });
    assert!(shown.iter().all(|body| *body == shown[0]), "{shown:?}");
    assert_eq!(
        std::mem::take(&mut shown[0]),
        json!({"ok": true, "result": {
            "message_id": 0, "date": 1_795_000_100, "text": "Hi",
            "from": {"id": 7_000_000_001_i64, "is_bot": true, "first_name": "Sandbox", "username": "sandbox_bot"},
            "chat": {"id": 5_550_001_001_i64, "type": "private", "first_name": "Dana", "last_name": "Fields", "username": "danaf"},
            "reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "Y"}]]},
        }})
    );
}

#[test]
fn uploads_are_kept_and_can_be_sent_again() {
    let mut sandbox = sandbox();
    let field = |name: &str, file: Option<&str>, bytes: &'static [u8]| Field {
        name: name.into(),
        file_name: file.map(str::to_owned),
        mime: file.map(|_| "application/pdf".into()),
        bytes: Bytes::from_static(bytes),
    };
    let upload = Request::post_multipart(
        url("sendDocument"),
        vec![
            field("chat_id", None, b"5550001001"),
            field("caption", None, b"invoice"),
            field("document", Some("invoice 12.pdf"), b"%PDF"),
        ],
    );
    let (_, body) = ask(&mut sandbox, &upload);
    let document = &body["result"]["document"];
    assert_eq!(document["file_name"], "invoice 12.pdf");
    assert_eq!(document["file_size"], 4);
    let id = document["file_id"].clone();
    let again = json!({"chat_id": 5_550_001_001_i64, "document": id});
    result(&mut sandbox, "sendDocument", again);
    let wrong = json!({"chat_id": 5_550_001_001_i64, "photo": id});
    let (_, body) = call(&mut sandbox, "sendPhoto", wrong);
    let description = body["description"].as_str().unwrap();
    assert!(description.contains("can't use file of type document as photo"), "{description}");

    let file = result(&mut sandbox, "getFile", json!({"file_id": id}));
    let path = file["file_path"].as_str().unwrap();
    let download = Request::get(format!("{BASE}/file/bot{TOKEN}/{path}"));
    assert_eq!(sandbox.handle(&download, NOW).response.body.as_ref(), b"%PDF");

    let album = Request::post_multipart(
        url("sendMediaGroup"),
        vec![
            field("chat_id", None, b"5550001001"),
            field("media", None, br#"[{"type":"photo","media":"attach://a"},{"type":"video","media":"attach://b"}]"#),
            field("a", Some("a.jpg"), b"jpeg"),
            field("b", Some("b.mp4"), b"mpeg"),
        ],
    );
    let (_, body) = ask(&mut sandbox, &album);
    let group = &body["result"][0]["media_group_id"];
    assert!(group.is_string() && *group == body["result"][1]["media_group_id"], "{body}");
    assert!(body["result"][0]["photo"].is_array() && body["result"][1]["video"].is_object());
}

#[test]
fn the_customer_does_what_telegram_lets_people_do() {
    let mut sandbox = sandbox();
    let dana = 5_550_001_001_i64;
    let sent = result(&mut sandbox, "sendMessage", json!({"chat_id": dana, "text": "Confirm?",
        "reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "OPT_YES"}, {"text": "Site", "url": "https://example.net"}]]}}));
    let id = sent["message_id"].as_i64().unwrap();

    let said = act(&mut sandbox, json!({"do": "say", "text": "/start ref_42", "reply_to": format!("{dana}:{id}")})).unwrap();
    assert_eq!(said[0]["message"]["reply_to_message"]["message_id"], json!(id));
    assert_eq!(said[0]["message"]["entities"][0]["length"], 6);

    let pressed = act(&mut sandbox, json!({"do": "press", "button": "Yes"})).unwrap();
    let query = &pressed[0]["callback_query"];
    assert_eq!((&query["data"], &query["message"]["message_id"]), (&json!("OPT_YES"), &json!(id)));
    let answer = json!({"callback_query_id": query["id"]});
    assert_eq!(result(&mut sandbox, "answerCallbackQuery", answer.clone()), json!(true));
    assert_eq!(call(&mut sandbox, "answerCallbackQuery", answer).0, 400, "once only");
    assert!(act(&mut sandbox, json!({"do": "press", "button": "Site"})).unwrap_err().contains("link"));
    assert!(act(&mut sandbox, json!({"do": "press", "button": "No"})).is_err());

    let put_on = act(&mut sandbox, json!({"do": "react", "emoji": "👍"})).unwrap();
    assert_eq!(put_on[0]["message_reaction"]["message_id"], json!(id));
    let changed = act(&mut sandbox, json!({"do": "react", "emoji": "🔥", "message": format!("{dana}:{id}")})).unwrap();
    assert_eq!(changed[0]["message_reaction"]["old_reaction"][0]["emoji"], "👍");
    assert!(act(&mut sandbox, json!({"do": "react", "emoji": "🥦"})).is_err());
    assert_eq!(sandbox.phone()[0].reactions, ["🔥"]);
    act(&mut sandbox, json!({"do": "react", "emoji": ""})).unwrap();
    assert!(sandbox.phone()[0].reactions.is_empty());

    let edited = act(&mut sandbox, json!({"do": "edit", "text": "/start again"})).unwrap();
    assert_eq!(edited[0]["edited_message"]["edit_date"], 1_795_000_100);
    assert!(act(&mut sandbox, json!({"do": "edit", "text": "x", "message": format!("{dana}:{id}")})).is_err());
    assert!(act(&mut sandbox, json!({"do": "read"})).is_err());

    let blocked = act(&mut sandbox, json!({"do": "block"})).unwrap();
    assert_eq!(blocked[0]["my_chat_member"]["new_chat_member"]["status"], "kicked");
    let (status, body) = call(&mut sandbox, "sendMessage", json!({"chat_id": dana, "text": "x"}));
    assert_eq!((status, body["description"].as_str()), (403, Some("Forbidden: bot was blocked by the user")));
    assert!(act(&mut sandbox, json!({"do": "say", "text": "x"})).is_err());
    let back = act(&mut sandbox, json!({"do": "unblock"})).unwrap();
    assert_eq!(back[0]["my_chat_member"]["new_chat_member"]["status"], "member");

    let other = act(&mut sandbox, json!({"do": "say", "from": "77", "name": "Bo Berg", "text": "hello"})).unwrap();
    assert_eq!(other[0]["message"]["chat"]["id"], 77);
    assert_eq!(other[0]["message"]["from"]["last_name"], "Berg");
    for from in ["-77", "bo", "7000000001", "0"] {
        assert!(act(&mut sandbox, json!({"do": "say", "from": from, "text": "x"})).is_err(), "{from}");
    }
}

#[test]
fn our_own_edits_and_deletions_show_on_the_phone() {
    let mut sandbox = sandbox();
    let dana = 5_550_001_001_i64;
    let sent = result(&mut sandbox, "sendMessage", json!({"chat_id": dana, "text": "Hi"}));
    let id = &sent["message_id"];
    let edit = json!({"chat_id": dana, "message_id": id, "text": "Hello"});
    let edited = result(&mut sandbox, "editMessageText", edit.clone());
    assert_eq!((&edited["text"], &edited["edit_date"]), (&json!("Hello"), &json!(1_795_000_100)));
    let (_, body) = call(&mut sandbox, "editMessageText", edit);
    assert!(body["description"].as_str().unwrap().contains("message is not modified"));
    let reaction = json!({"chat_id": dana, "message_id": id, "reaction": [{"type": "emoji", "emoji": "👀"}]});
    result(&mut sandbox, "setMessageReaction", reaction);
    let line = &sandbox.phone()[0];
    assert_eq!((line.text.as_str(), line.reactions.as_slice()), ("Hello", &["👀".to_owned()][..]));
    result(&mut sandbox, "deleteMessage", json!({"chat_id": dana, "message_id": id}));
    assert!(sandbox.phone().is_empty());
}

#[test]
fn updates_wait_while_no_webhook_is_set() {
    let mut sandbox = sandbox();
    let info = result(&mut sandbox, "getWebhookInfo", json!({}));
    assert_eq!(info["url"], "http://127.0.0.1:8080/webhooks/desk");
    assert_eq!(call(&mut sandbox, "getUpdates", json!({})).0, 409);
    result(&mut sandbox, "deleteWebhook", json!({}));
    assert!(act(&mut sandbox, json!({"do": "say", "text": "hi"})).unwrap().is_empty());
    assert_eq!(result(&mut sandbox, "getWebhookInfo", json!({}))["pending_update_count"], 1);
    let waiting = result(&mut sandbox, "getUpdates", json!({}));
    assert_eq!(waiting[0]["message"]["text"], "hi");

    let set = json!({"url": "http://127.0.0.1:8080/webhooks/desk", "secret_token": "new_secret",
        "allowed_updates": ["message"]});
    let exchange = sandbox.handle(&Request::post_json(url("setWebhook"), set.to_string()), NOW);
    let [hook] = exchange.hooks.as_slice() else {
        panic!("what waited is not sent: {exchange:?}")
    };
    assert_eq!(hook.request.headers.get(SECRET_HEADER), Some("new_secret"));
    assert!(exchange.response.text().contains("Webhook was set"));
    assert!(act(&mut sandbox, json!({"do": "block"})).unwrap().is_empty(), "not asked for");
}

#[test]
fn state_is_bounded() {
    let mut sandbox = sandbox();
    for i in 0..PHONE_LINES_MAX + 10 {
        let fields = json!({"chat_id": CUSTOMER, "photo": format!("https://files.example.net/{i}.jpg")});
        result(&mut sandbox, "sendPhoto", fields);
    }
    assert_eq!(sandbox.phone().len(), PHONE_LINES_MAX);
    assert_eq!(sandbox.files.len(), FILES_MAX);
}

/// A gateway remembers ids: neither a reset nor a new start may repeat one.
#[test]
fn ids_never_repeat() {
    let send = |sandbox: &mut Sandbox, now: Millis| {
        let fields = json!({"chat_id": CUSTOMER, "text": "x"});
        let request = Request::post_json(url("sendMessage"), fields.to_string());
        let body = sandbox.handle(&request, now).response.body;
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["result"]["message_id"].as_i64().unwrap()
    };
    let mut first = sandbox();
    let one = send(&mut first, NOW);
    first.reset();
    let two = send(&mut first, NOW);
    let three = send(&mut sandbox(), NOW.plus(1000));
    assert!(one < two && two < three, "{one} {two} {three}");
}
