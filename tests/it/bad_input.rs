//! Bad input, over every door: each case with its exact answer. What is refused leaves nothing behind.

use crate::world;
use reqwest::Method;
use serde_json::{Value, json};
use switchboard_testkit::Setup;

/// A call of the Web API, and what it is answered: HTTP status, error code, message.
struct Call {
    function: &'static str,
    arguments: Value,
    status: u16,
    code: &'static str,
    message: &'static str,
}

fn call(
    function: &'static str,
    arguments: Value,
    status: u16,
    code: &'static str,
    message: &'static str,
) -> Call {
    Call {
        function,
        arguments,
        status,
        code,
        message,
    }
}

fn setup() -> Setup {
    world()
        .channel("bot", "telegram")
        .channel("wa", "whatsapp")
        .channel("sms", "twilio-sms")
        .channel("sms-two", "twilio-sms")
}

/// Stands for the sentence that lists every source code.
const SOURCES: &str = "SOURCES";

fn sources() -> String {
    let codes: Vec<&str> = switchboard_channels::KINDS
        .iter()
        .flat_map(|k| k.sources)
        .copied()
        .collect();
    format!(
        "`source`: found \"zz\"; expected one of {}",
        codes.join(", ")
    )
}

/// Calls about things that are not there, or written wrong.
fn calls() -> Vec<Call> {
    let bad = 400;
    let invalid = "invalid-argument";
    let missing = "missing-argument";
    vec![
        call(
            "",
            json!({}),
            bad,
            missing,
            "the argument `function` is missing",
        ),
        call(
            "no-such",
            json!({}),
            404,
            "function-not-found",
            "there is no function \"no-such\"; the functions are listed at /docs",
        ),
        call(
            "get-usr",
            json!({}),
            404,
            "function-not-found",
            "there is no function \"get-usr\"; did you mean `get-user`?",
        ),
        call(
            "get-user",
            json!({}),
            bad,
            missing,
            "the argument `user_id` is missing",
        ),
        call(
            "get-user",
            json!({"user_id": "x"}),
            bad,
            invalid,
            "`user_id`: found \"x\"; expected a positive whole number",
        ),
        call(
            "get-user",
            json!({"user_id": -5}),
            bad,
            invalid,
            "`user_id`: found -5; expected a positive whole number",
        ),
        call(
            "get-user",
            json!({"user_id": 1.5}),
            bad,
            invalid,
            "`user_id`: found 1.5; expected a positive whole number",
        ),
        call(
            "get-user",
            json!({"user_id": [1]}),
            bad,
            invalid,
            "`user_id`: found a list; expected a positive whole number",
        ),
        call(
            "get-user",
            json!({"user_id": "99999999999999999999"}),
            bad,
            invalid,
            "`user_id`: found \"99999999999999999999\"; expected a positive whole number",
        ),
        call(
            "get-user",
            json!({"user_id": 1, "extra": "perhaps"}),
            bad,
            invalid,
            "`extra`: found \"perhaps\"; expected true or false",
        ),
        call(
            "get-message",
            json!({"message_id": 77}),
            404,
            "message-not-found",
            "there is no message 77",
        ),
        call(
            "get-conversations",
            json!({"status_code": 9}),
            bad,
            "invalid-status-code",
            "`status_code`: found 9; expected 0, 1, 2, 3 or 4",
        ),
        call(
            "get-conversations",
            json!({"pagination": -1}),
            bad,
            invalid,
            "`pagination`: found -1; expected a whole number from 0 to 1000000",
        ),
        call(
            "get-new-messages",
            json!({"conversation_id": 1}),
            bad,
            missing,
            "the argument `datetime` is missing",
        ),
        call(
            "get-new-messages",
            json!({"conversation_id": 1, "datetime": "yesterday"}),
            bad,
            invalid,
            "`datetime`: found \"yesterday\"; expected an id, YYYY-MM-DD HH:MM:SS or YYYY-MM-DD (UTC)",
        ),
        call(
            "search-users",
            json!({}),
            bad,
            missing,
            "the argument `search` is missing",
        ),
        call(
            "update-conversation-status",
            json!({"conversation_id": 5, "status_code": 3}),
            404,
            "conversation-not-found",
            "there is no conversation 5",
        ),
        call(
            "update-conversation-status",
            json!({"conversation_id": 5, "status_code": "done"}),
            bad,
            "invalid-status-code",
            "`status_code`: found \"done\"; expected 0, 1, 2, 3 or 4",
        ),
        call(
            "add-user",
            json!({"user_type": "king"}),
            bad,
            "invalid-user-type",
            "`user_type`: found \"king\"; expected visitor, lead, user, agent or admin",
        ),
        call(
            "add-user",
            json!({"email": "not an address"}),
            bad,
            invalid,
            "`email`: expected an e-mail address",
        ),
        call(
            "update-user",
            json!({"user_id": 5, "first_name": "A"}),
            404,
            "user-not-found",
            "there is no user 5",
        ),
        call(
            "delete-user",
            json!({"user_id": 1}),
            404,
            "user-not-found",
            "there is no user 1",
        ),
        call(
            "new-conversation",
            json!({"user_id": 5}),
            404,
            "user-not-found",
            "there is no user 5",
        ),
        call(
            "send-message",
            json!({"user_id": 1, "conversation_id": 9, "message": "x"}),
            404,
            "conversation-not-found",
            "there is no conversation 9",
        ),
        call(
            "messaging-platforms-send-message",
            json!({"message": "x"}),
            bad,
            missing,
            "the argument `conversation_id` is missing; `source` with a chat id, `user`, or `channel` and `to` would do too",
        ),
        call(
            "messaging-platforms-send-message",
            json!({"conversation_id": 9, "message": "x"}),
            404,
            "conversation-not-found",
            "there is no conversation 9",
        ),
        call(
            "messaging-platforms-send-message",
            json!({"user": 9, "message": "x"}),
            404,
            "user-not-found",
            "there is no user 9",
        ),
        call(
            "messaging-platforms-send-message",
            json!({"user": 1, "message": "x"}),
            404,
            "conversation-not-found",
            "user 1 has no conversation on a platform to write to",
        ),
        call(
            "messaging-platforms-send-message",
            json!({"source": {"source": "zz", "chat_id": "1"}, "message": "x"}),
            bad,
            invalid,
            SOURCES,
        ),
        call(
            "messaging-platforms-send-message",
            json!({"source": {"source": "tx", "id": "+12025550142"}, "message": "x"}),
            bad,
            invalid,
            "`channel`: several are of source tx: sms, sms-two",
        ),
        call(
            "messaging-platforms-send-message",
            json!({"channel": "nope", "to": "1", "message": "x"}),
            404,
            "channel-not-found",
            "there is no channel nope",
        ),
        call(
            "messaging-platforms-send-message",
            json!({"to": "1", "message": "x"}),
            bad,
            missing,
            "the argument `channel` is missing; `source` would do too",
        ),
        call(
            "send-sms",
            json!({"to": "+12025550142", "message": "x"}),
            bad,
            invalid,
            "`channel`: there are several of kind twilio-sms: sms, sms-two",
        ),
        call(
            "send-sms",
            json!({"to": "12", "message": "x", "channel": "sms"}),
            bad,
            invalid,
            "`to`: a number without its country; write it as +46701740605",
        ),
        call(
            "send-sms",
            json!({"to": "+12025550142", "channel": "sms"}),
            bad,
            invalid,
            "`message`: there is nothing to send",
        ),
        call(
            "send-sms",
            json!({"to": "+12025550142", "message": "x", "channel": "bot"}),
            bad,
            invalid,
            "`channel`: bot is of kind telegram, not twilio-sms",
        ),
        call(
            "telegram-send-message",
            json!({"message": "x"}),
            bad,
            missing,
            "the argument `chat_id` is missing",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "Dana", "message": "x"}),
            bad,
            invalid,
            "`chat_id`: not a Telegram chat: use a chat id (5550001001), a topic (-1001900000001:77) or the @name of a public group or channel",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001"}),
            bad,
            invalid,
            "`message`: there is nothing to send",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001", "message": "x", "attachments": [["a", "ftp://example.net/a"]]}),
            bad,
            invalid,
            "`attachments[0]`: found \"ftp://example.net/a\"; expected an absolute http or https link",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001", "message": "x", "attachments": "[[1,2"}),
            bad,
            invalid,
            "`attachments`: found \"[[1,2\"; expected a list, or a list as JSON text",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001", "message": "x", "send_at": "tomorrow"}),
            bad,
            invalid,
            "`send_at`: found \"tomorrow\"; expected YYYY-MM-DD HH:MM:SS (UTC)",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001", "message": "x", "expires_in": 0}),
            bad,
            invalid,
            "`expires_in`: found 0; expected a whole number from 1 to 31536000",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001", "message": "x", "priority": "high"}),
            bad,
            invalid,
            "`priority`: found \"high\"; expected normal or bulk",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001", "message": "x", "wait": 100_000}),
            bad,
            invalid,
            "`wait`: found 100000; expected a whole number from 0 to 300",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001", "message": "x", "reply_to": 123}),
            404,
            "message-not-found",
            "there is no message 123",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001", "message": "x", "message_id": 123}),
            404,
            "message-not-found",
            "there is no message 123",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001", "message": "x", "quick_replies": [{"title": "a", "payload": "0123456789012345678901234567890123456789012345678901234567890123456789"}]}),
            bad,
            invalid,
            "`quick_replies`: a: the payload must have 1 to 64 bytes, this has 70",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001", "message": "x", "location": {"latitude": 200, "longitude": 0}}),
            bad,
            invalid,
            "`location`: expected {\"latitude\": -90 to 90, \"longitude\": -180 to 180}",
        ),
        call(
            "telegram-send-message",
            json!({"chat_id": "5550001001", "message": "x", "contacts": [{"phones": ["1"]}]}),
            bad,
            invalid,
            "`contacts`: expected [{\"name\": …, \"phones\": […]}, …]",
        ),
        call(
            "whatsapp-send-message",
            json!({"to": "abc", "message": "x"}),
            bad,
            invalid,
            "`to`: it is neither a telephone number nor a WhatsApp user id",
        ),
        call(
            "whatsapp-send-message",
            json!({"to": "+15550142233", "message": "x", "phone_id": "1"}),
            404,
            "channel-not-found",
            "`phone_id`: no channel of kind whatsapp has 1",
        ),
        call(
            "whatsapp-send-template",
            json!({"to": "+15550142233"}),
            bad,
            missing,
            "the argument `template_name` is missing",
        ),
        call(
            "whatsapp-send-template",
            json!({"to": "+15550142233", "template_name": "a", "parameters": ["1", "2", "3", "4"]}),
            bad,
            invalid,
            "`parameters`: expected at most three texts: of the header, the body, the buttons",
        ),
        call(
            "viber-send-message",
            json!({"viber_id": "a", "message": "x"}),
            409,
            "channel-not-configured",
            "no channel of kind viber is configured",
        ),
        call(
            "line-send-message",
            json!({"message": "x"}),
            bad,
            missing,
            "the argument `line_id` is missing",
        ),
    ]
}

#[tokio::test]
async fn the_web_api_names_what_is_wrong() {
    let world = setup().start().await;
    let mut wrong = Vec::new();
    for case in calls() {
        let answer = world.api(case.function, case.arguments.clone()).await;
        let found = (
            answer.status,
            answer.word("response"),
            answer.word("message"),
        );
        let message = if case.message == SOURCES {
            sources()
        } else {
            case.message.to_owned()
        };
        let expected = (case.status, case.code.to_owned(), message);
        if found != expected {
            wrong.push(format!(
                "{} {}\n   {found:?}",
                case.function, case.arguments
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        calls().len(),
        wrong.join("\n")
    );
    let conversations = world.api("get-conversations", json!({})).await;
    assert_eq!(
        conversations.response(),
        &json!([]),
        "a refused call left something behind"
    );
}

/// A request to a path, and its answer: status, and what the body says.
struct Knock {
    method: Method,
    path: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    status: u16,
    says: &'static str,
}

fn knock(
    method: Method,
    path: &'static str,
    content_type: &'static str,
    body: impl Into<Vec<u8>>,
    status: u16,
    says: &'static str,
) -> Knock {
    Knock {
        method,
        path,
        content_type,
        body: body.into(),
        status,
        says,
    }
}

fn knocks() -> Vec<Knock> {
    let (get, post) = (Method::GET, Method::POST);
    let json_type = "application/json";
    let form = "application/x-www-form-urlencoded";
    let mut deep = "[".repeat(3000);
    deep.insert_str(0, "{\"function\":\"get-user\",\"user_id\":");
    vec![
        knock(
            get.clone(),
            "/nothing",
            "",
            "",
            404,
            "there is nothing at /nothing",
        ),
        knock(
            Method::DELETE,
            "/api",
            "",
            "",
            405,
            "DELETE is not served at /api",
        ),
        knock(
            get.clone(),
            "/api",
            "",
            "",
            405,
            "GET is not served at /api",
        ),
        knock(
            Method::PUT,
            "/webhooks/bot",
            "",
            "",
            405,
            "PUT is not served at /webhooks/bot",
        ),
        knock(
            post.clone(),
            "/api",
            json_type,
            "{\"function\":",
            400,
            "the body is not JSON: EOF while parsing a value at line 1 column 12",
        ),
        knock(
            post.clone(),
            "/api",
            json_type,
            "[1,2]",
            400,
            "the body is JSON, but not an object of arguments",
        ),
        knock(
            post.clone(),
            "/api",
            json_type,
            deep,
            400,
            "the body is not JSON: recursion limit exceeded at line 1 column 160",
        ),
        knock(
            post.clone(),
            "/api",
            form,
            "function=get-user&user_id=%ff",
            400,
            "`user_id`: not UTF-8",
        ),
        knock(
            post.clone(),
            "/api",
            "text/xml",
            "<a/>",
            400,
            "the content type: found \"text/xml\"; expected application/x-www-form-urlencoded, multipart/form-data or application/json",
        ),
        knock(
            post.clone(),
            "/api",
            "multipart/form-data",
            "x",
            400,
            "the body is not a multipart form: multipart boundary not found in Content-Type",
        ),
        knock(
            post.clone(),
            "/api",
            form,
            "function=get-bot-id",
            401,
            "an API token is needed: the argument `token`, or Authorization: Bearer",
        ),
        knock(
            post.clone(),
            "/api",
            form,
            "function=get-bot-id&token=wrong",
            401,
            "the API token is not known",
        ),
        knock(
            post.clone(),
            "/api",
            form,
            vec![b'a'; 5_000_000],
            413,
            "the body has more than 4194304 bytes",
        ),
        knock(
            get.clone(),
            "/admin/lanes",
            "",
            "",
            401,
            "an API token is needed: the argument `token`, or Authorization: Bearer",
        ),
        knock(
            post.clone(),
            "/admin/retry",
            json_type,
            "{}",
            401,
            "an API token is needed: the argument `token`, or Authorization: Bearer",
        ),
        knock(
            get.clone(),
            "/media/nothing.jpg",
            "",
            "",
            404,
            "there is no such attachment",
        ),
        knock(
            get.clone(),
            "/media/0a1b-9999999999-00.jpg",
            "",
            "",
            404,
            "there is no such attachment",
        ),
        knock(
            post.clone(),
            "/webhooks/unknown",
            json_type,
            "{}",
            404,
            "there is no channel unknown",
        ),
        knock(
            get.clone(),
            "/webhooks/unknown",
            "",
            "",
            404,
            "there is no channel unknown",
        ),
        knock(
            post.clone(),
            "/webhooks/bot",
            json_type,
            "{}",
            401,
            "the signature is missing",
        ),
        knock(
            post.clone(),
            "/webhooks/wa",
            json_type,
            "{}",
            401,
            "the signature is missing",
        ),
        knock(
            post.clone(),
            "/webhooks/sms",
            form,
            "Body=hi",
            401,
            "the signature is missing",
        ),
        knock(
            get.clone(),
            "/webhooks/wa?hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1",
            "",
            "",
            403,
            "",
        ),
        knock(
            get.clone(),
            "/webhooks/bot",
            "",
            "",
            403,
            "the handshake does not match this channel",
        ),
        knock(
            post.clone(),
            "/webhooks/wa",
            json_type,
            vec![b'x'; 5_000_000],
            413,
            "the body has more than 4194304 bytes",
        ),
    ]
}

#[tokio::test]
async fn every_door_says_why_it_stays_shut() {
    let world = setup().start().await;
    world.announce_error("");
    let client = reqwest::Client::new();
    let mut wrong = Vec::new();
    for case in knocks() {
        let mut request = client.request(
            case.method.clone(),
            format!("{}{}", world.root(), case.path),
        );
        if !case.content_type.is_empty() {
            request = request.header("content-type", case.content_type);
        }
        let answer = request.body(case.body.clone()).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let said = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|v| v["message"].as_str().map(str::to_owned))
            .unwrap_or(text);
        if (status, said.as_str()) != (case.status, case.says) {
            wrong.push(format!(
                "{} {} {:?}\n   {status} {said:?}",
                case.method,
                case.path,
                String::from_utf8_lossy(&case.body)
                    .chars()
                    .take(40)
                    .collect::<String>()
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        knocks().len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn the_command_line_and_the_configuration_name_what_is_wrong() {
    let world = world().channel("bot", "telegram").start().await;
    let folder = world.folder().join("bad");
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let bot = "[[channels]]\nid = \"a\"\nkind = \"telegram\"\nbot_token = \"1:x\"\n";
    let unknown_key = file("unknown.toml", "[server]\nlisen = \"127.0.0.1:1\"\n");
    let no_toml = file("broken.toml", "[server\n");
    let kind = file(
        "kind.toml",
        "[[channels]]\nid = \"a\"\nkind = \"telegrm\"\n",
    );
    let no_secret = file("secret.toml", bot);
    let twice = file(
        "twice.toml",
        "[[webhooks]]\nid = \"a\"\nurl = \"https://x.example\"\nkey = \"k\"\n[[webhooks]]\nid = \"a\"\nurl = \"https://x.example\"\nkey = \"k\"\n",
    );
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (
            vec!["no-such-command"],
            2,
            "unrecognized subcommand 'no-such-command'",
        ),
        (
            vec!["serve", "--role", "king"],
            2,
            "invalid value 'king' for '--role <ROLE>'",
        ),
        (
            vec!["serve", "--config", "/nowhere/x.toml"],
            2,
            "/nowhere/x.toml: found no such file; allowed: a readable file in TOML",
        ),
        (
            vec!["serve", "--config", &unknown_key],
            2,
            "server.lisen: found an unknown key; allowed: listen, public_url, drain_seconds, body_limit_bytes; did you mean `listen`?",
        ),
        (
            vec!["serve", "--config", &no_toml],
            2,
            "broken.toml: line 1, column 8: found something that is no TOML (unclosed table, expected `]`); allowed: TOML, with text in quotes",
        ),
        (
            vec!["serve", "--config", &kind],
            2,
            "channels.a.kind: found \"telegrm\"; allowed: ",
        ),
        (
            vec!["serve", "--config", &no_secret],
            2,
            "channels.a.webhook_secret: found nothing; allowed: a value",
        ),
        (
            vec!["serve", "--config", &twice],
            2,
            "webhooks.a.id: found the same id twice; allowed: an id of its own for each",
        ),
        (vec!["queue", "retry"], 2, "required"),
        (
            vec!["queue", "retry", "1", "--all"],
            2,
            "cannot be used with",
        ),
        (vec!["queue", "drop", "12345"], 1, "not found: 12345"),
        (vec!["send", "--channel", "bot"], 2, "--to <ADDRESS>"),
        (
            vec!["send", "--channel", "nope", "--to", "1", "--text", "x"],
            1,
            "not sent: channel-not-found: there is no channel nope",
        ),
        (
            vec!["queue", "stats", "--url", "http://127.0.0.1:1"],
            1,
            "cannot reach the service at http://127.0.0.1:1 (Connection refused (os error 111)): is it running?",
        ),
    ];
    let mut wrong = Vec::new();
    for (arguments, code, part) in &cases {
        let exit = world.run(arguments).await;
        let said = format!("{}{}", exit.stdout, exit.stderr);
        if exit.code != Some(*code) || !said.contains(part) || said.contains("panicked") {
            wrong.push(format!("{arguments:?}\n   {:?} {said}", exit.code));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
