use super::*;
use crate::kit::emulator::ActionAttachment;
use crate::kit::http::{Auth, Body};
use crate::kit::secret::Secret;
use crate::slack::config::sandbox_settings;

const NOW: Millis = Millis(1_795_000_100_000);
const BASE: &str = "http://127.0.0.1:8081/sandbox/desk";

fn sandbox() -> Sandbox {
    let common = Common {
        id: "desk".into(),
        api_base: Some(BASE.into()),
        webhook_url: "https://gw.example.net/webhooks/desk".into(),
    };
    let settings = Settings::read(sandbox_settings()).unwrap();
    Sandbox::new(&common, &settings)
}

fn authorised(request: Request) -> Request {
    request.with_auth(Auth::Bearer(Secret::new("xoxb-sandbox-slack-bot-token")))
}

fn call(sandbox: &mut Sandbox, method: &str, fields: Value) -> Value {
    let request = Request::post_json(format!("{BASE}/{method}"), fields.to_string());
    let exchange = sandbox.handle(&authorised(request), NOW);
    assert_eq!(exchange.response.status, 200, "failures have HTTP 200, too");
    serde_json::from_slice(&exchange.response.body).unwrap()
}

fn error(sandbox: &mut Sandbox, method: &str, fields: Value) -> String {
    let answer = call(sandbox, method, fields);
    assert_eq!(answer["ok"], json!(false), "{answer}");
    answer["error"].as_str().unwrap().to_owned()
}

#[test]
fn what_slack_refuses_is_refused_in_its_words() {
    let mut s = sandbox();
    let button = |id: &str, title: &str| {
        json!({"type": "button", "action_id": id, "text": {"type": "plain_text", "text": title}})
    };
    let actions = |elements: Value| json!([{"type": "actions", "elements": elements}]);
    let cases = [
        ("chat.postMessage", json!({"text": "x"}), "invalid_arguments"),
        ("chat.postMessage", json!({"channel": "C0SANDBOX1"}), "no_text"),
        ("chat.postMessage", json!({"channel": "#support", "text": "x"}), "channel_not_found"),
        ("chat.postMessage", json!({"channel": "C0RANDOM01", "text": "x"}), "not_in_channel"),
        ("chat.postMessage", json!({"channel": "C0SANDBOX1", "text": "x", "thread_ts": "1.2"}), "message_not_found"),
        ("chat.postMessage", json!({"channel": "C0SANDBOX1", "text": "x", "metadata": {"event_type": "x"}}), "invalid_metadata_format"),
        ("chat.postMessage", json!({"channel": "C0SANDBOX1", "blocks": 7}), "invalid_blocks_format"),
        ("chat.postMessage", json!({"channel": "C0SANDBOX1", "blocks": actions(json!([button("a", &"x".repeat(76))]))}), "invalid_blocks"),
        ("chat.postMessage", json!({"channel": "C0SANDBOX1", "blocks": actions(json!([button("a", "x"), button("a", "y")]))}), "invalid_blocks"),
        ("chat.postMessage", json!({"channel": "C0SANDBOX1", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x".repeat(3001)}}]}), "invalid_blocks"),
        ("conversations.create", json!({"name": "Support Desk"}), "invalid_name_specials"),
        ("conversations.create", json!({"name": "x".repeat(81)}), "invalid_name_maxlength"),
        ("conversations.create", json!({"name": "support"}), "name_taken"),
        ("conversations.invite", json!({"channel": "C0SANDBOX1", "users": "U0SANDBOXB"}), "cant_invite_self"),
        ("conversations.list", json!({"types": "all"}), "invalid_types"),
        ("conversations.list", json!({"limit": 1000}), "invalid_limit"),
        ("files.getUploadURLExternal", json!({"filename": "a", "length": 0}), "invalid_arguments"),
        ("files.completeUploadExternal", json!({"files": [{"id": "F0X"}], "channel_id": "C0SANDBOX1"}), "file_not_found"),
        ("users.info", json!({"user": "U0NOBODY"}), "user_not_found"),
        ("reactions.remove", json!({"channel": "C0SANDBOX1", "timestamp": "1.2", "name": "x"}), "message_not_found"),
        ("files.upload", json!({}), "unknown_method"),
    ];
    for (method, fields, expected) in cases {
        assert_eq!(error(&mut s, method, fields.clone()), expected, "{method} {fields}");
    }
    let plain = Request::post_json(format!("{BASE}/auth.test"), "{}".into());
    for (auth, expected) in [(Auth::None, "not_authed"), (Auth::Bearer(Secret::new("x")), "invalid_auth")] {
        let answer = s.handle(&plain.clone().with_auth(auth), NOW).response;
        assert!(answer.text().contains(expected), "{}", answer.text());
    }
}

#[test]
fn an_agent_answers_in_the_thread() {
    let mut s = sandbox();
    let fields = json!({"channel": "C0SANDBOX1", "text": "Dana: hi"});
    let root = call(&mut s, "chat.postMessage", fields);
    let ts = root["ts"].as_str().unwrap().to_owned();
    let say = Action::Say {
        from: Some("U0AGENT001".into()),
        name: None,
        text: "a < b".into(),
        attachment: Some(ActionAttachment {
            name: "a.txt".into(),
            mime: "text/plain".into(),
            content: "abc".into(),
        }),
        location: None,
        reply_to: Some(format!("C0SANDBOX1:{ts}")),
    };
    let hooks = s.act(&say, NOW).unwrap();
    let Body::Json(body) = &hooks[0].request.body else {
        panic!("events are JSON");
    };
    let envelope: Value = serde_json::from_str(body).unwrap();
    let event = &envelope["event"];
    assert_eq!(event["thread_ts"], json!(ts));
    assert_eq!(event["text"], json!("a &lt; b"));
    let link = event["files"][0]["url_private_download"].as_str().unwrap();
    let got = s.handle(&authorised(Request::get(link)), NOW).response;
    assert_eq!(got.body.as_ref(), b"abc");
    // Without the token it is a page for people, and HTTP says 200.
    let page = s.handle(&Request::get(link), NOW).response;
    assert_eq!((page.status, page.headers.get("content-type")), (200, Some("text/html; charset=utf-8")));
    let line = s.phone().pop().unwrap();
    assert!(line.extras.contains(&format!("in thread C0SANDBOX1:{ts}")), "{line:?}");
    assert_eq!(line.text, "a < b");
}

#[test]
fn files_go_up_in_three_steps_and_once() {
    let mut s = sandbox();
    let begun = call(&mut s, "files.getUploadURLExternal", json!({"filename": "a.pdf", "length": 3}));
    let (link, id) = (begun["upload_url"].as_str().unwrap(), begun["file_id"].clone());
    let bytes = |content: &str| {
        let mut request = Request::post_json(link, String::new());
        request.body = Body::Raw(content.to_owned().into());
        request
    };
    let fields = json!({"files": [{"id": id, "title": "A"}], "channel_id": "C0SANDBOX1", "initial_comment": "look"});
    assert_eq!(error(&mut s, "files.completeUploadExternal", fields.clone()), "file_not_found");
    assert_eq!(s.handle(&bytes("four"), NOW).response.status, 400);
    assert_eq!(s.handle(&bytes("abc"), NOW).response.status, 200);
    let done = call(&mut s, "files.completeUploadExternal", fields.clone());
    assert_eq!(done["files"][0]["title"], json!("A"));
    assert_eq!(error(&mut s, "files.completeUploadExternal", fields), "file_not_found");
    let info = call(&mut s, "files.info", json!({"file": id}));
    let ts = info["file"]["shares"]["public"]["C0SANDBOX1"][0]["ts"].as_str().unwrap();
    let line = s.phone().pop().unwrap();
    assert_eq!(line.id, format!("C0SANDBOX1:{ts}"));
    assert_eq!((line.text.as_str(), line.extras.as_slice()), ("look", &["a.pdf".to_owned()][..]));
}

#[test]
fn rooms_are_made_listed_and_put_away() {
    let mut s = sandbox();
    let made = call(&mut s, "conversations.create", json!({"name": "cust-dana-1"}));
    let id = made["channel"]["id"].as_str().unwrap().to_owned();
    call(&mut s, "conversations.invite", json!({"channel": id, "users": "U0AGENT001,U0NOBODY", "force": true}));
    let again = error(&mut s, "conversations.invite", json!({"channel": id, "users": "U0AGENT001"}));
    assert_eq!(again, "already_in_channel");
    let first = call(&mut s, "conversations.list", json!({"limit": 2}));
    let cursor = first["response_metadata"]["next_cursor"].clone();
    let second = call(&mut s, "conversations.list", json!({"limit": 2, "cursor": cursor}));
    let count = |page: &Value| page["channels"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second)), (2, 1));
    call(&mut s, "conversations.archive", json!({"channel": id}));
    assert_eq!(error(&mut s, "conversations.archive", json!({"channel": id})), "already_archived");
    assert_eq!(error(&mut s, "chat.postMessage", json!({"channel": id, "text": "x"})), "is_archived");
    call(&mut s, "conversations.unarchive", json!({"channel": id}));
    call(&mut s, "chat.postMessage", json!({"channel": id, "text": "x"}));
    call(&mut s, "conversations.join", json!({"channel": "C0RANDOM01"}));
    call(&mut s, "chat.postMessage", json!({"channel": "C0RANDOM01", "text": "x"}));
}

#[test]
fn history_shows_metadata_to_who_asks() {
    let mut s = sandbox();
    let metadata = json!({"event_type": "gateway_message", "event_payload": {"id": "sb-1-0"}});
    let post = json!({"channel": "C0SANDBOX1", "text": "x", "metadata": metadata});
    let root = call(&mut s, "chat.postMessage", post.clone());
    let mut reply = post;
    reply["thread_ts"] = root["ts"].clone();
    call(&mut s, "chat.postMessage", reply);
    let asked = json!({"channel": "C0SANDBOX1", "include_all_metadata": "true", "oldest": "1795000000.000000"});
    let history = call(&mut s, "conversations.history", asked.clone());
    assert_eq!(history["messages"].as_array().unwrap().len(), 1, "answers are in their thread");
    assert_eq!(history["messages"][0]["metadata"]["event_payload"]["id"], json!("sb-1-0"));
    let mut in_thread = asked;
    in_thread["ts"] = root["ts"].clone();
    let replies = call(&mut s, "conversations.replies", in_thread);
    assert_eq!(replies["messages"].as_array().unwrap().len(), 2);
    let plain = call(&mut s, "conversations.history", json!({"channel": "C0SANDBOX1"}));
    assert_eq!(plain["messages"][0]["metadata"], Value::Null);
}
