//! The command line as an operator meets it: what is refused, and what is said to the service.

use super::*;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

fn arguments(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

#[test]
fn bad_command_lines_are_refused_with_one_message() {
    for (line, message) in [
        (
            "switchboard start",
            "error: unrecognized subcommand 'start'",
        ),
        (
            "switchboard --conf a.toml",
            "error: unexpected argument '--conf' found\n\n  tip: a similar argument exists: '--config'",
        ),
        (
            "switchboard --config",
            "error: a value is required for '--config <FILE>' but none was supplied",
        ),
        (
            "switchboard serve --role boss",
            "error: invalid value 'boss' for '--role <ROLE>'\n  [possible values: api, worker, piping]",
        ),
        (
            "switchboard serve --roles api",
            "error: unexpected argument '--roles' found\n\n  tip: a similar argument exists: '--role'",
        ),
        (
            "switchboard serve extra",
            "error: unexpected argument 'extra' found",
        ),
        (
            "switchboard check --online",
            "error: unexpected argument '--online' found\n\n  tip: a similar argument exists: '--offline'",
        ),
        (
            "switchboard queue",
            "error: 'switchboard queue' requires a subcommand but one was not provided\n  [subcommands: stats, dead, retry, drop]",
        ),
        (
            "switchboard queue retry",
            "error: the following required arguments were not provided:\n  <ID>...",
        ),
        (
            "switchboard queue retry 9 --all",
            "error: the argument '[ID]...' cannot be used with '--all'",
        ),
        (
            "switchboard queue drop",
            "error: the following required arguments were not provided:\n  <ID>...",
        ),
        (
            "switchboard queue dead --lane x",
            "error: unexpected argument '--lane' found\n\n  tip: a similar argument exists: '--channel'",
        ),
        (
            "switchboard queue stats --url localhost",
            "error: invalid value 'localhost' for '--url <URL>': allowed is an http or https URL without query and fragment, such as https://gateway.example.com",
        ),
        (
            "switchboard send --channel a --text x",
            "error: the following required arguments were not provided:\n  --to <ADDRESS>",
        ),
        (
            "switchboard send --channel a --to b",
            "error: the following required arguments were not provided:\n  <--text <TEXT>|--attach <URL>>",
        ),
        (
            "switchboard send --channel a --to b --attach file.png",
            "error: invalid value 'file.png' for '--attach <URL>': relative URL without a base",
        ),
        (
            "switchboard token 5",
            "error: unexpected argument '5' found",
        ),
    ] {
        let error = parse(arguments(line)).unwrap_err();
        let text = error.to_string();
        // What follows is the usage, which is the same as that of --help.
        let (first, _) = text.split_once("\n\nUsage").unwrap_or((&text, ""));
        let (first, _) = first.split_once("\n\nFor more").unwrap_or((first, ""));
        assert_eq!(first, message, "{line}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn good_command_lines_are_understood() {
    for line in [
        "switchboard",
        "switchboard --config a.toml",
        "switchboard serve --config a.toml --role api --role worker --channels a,b",
        "switchboard --config a.toml serve",
        "switchboard check --offline",
        "switchboard channels --json",
        "switchboard queue stats",
        "switchboard queue --url http://gateway:8080 dead --channel a --token t",
        "switchboard queue retry 9 event:12",
        "switchboard queue retry --all",
        "switchboard queue drop 9",
        "switchboard send --channel a --to -1001 --text x --attach https://x.example.com/a.png --attach https://x.example.com/b.png",
        "switchboard sandbox",
        "switchboard token",
        "switchboard migrate --config a.toml",
    ] {
        assert!(parse(arguments(line)).is_ok(), "{line}");
    }
}

#[test]
fn roles_are_taken_once_each() {
    let roles = |line: &str| match parse(arguments(line)).unwrap().command {
        Some(Command::Serve(args)) => args.roles(),
        other => panic!("{other:?}"),
    };
    use crate::config::Role::{Api, Piping, Worker};
    assert_eq!(roles("switchboard serve"), [Api, Worker, Piping]);
    assert_eq!(
        roles("switchboard serve --role worker,api --role api"),
        [Api, Worker]
    );
}

#[test]
fn tokens_are_not_shown() {
    let cli = parse(arguments("switchboard queue stats --token s3cret")).unwrap();
    assert!(!format!("{cli:?}").contains("s3cret"));
}

#[test]
fn errors_come_to_exit_codes() {
    use anyhow::Context;
    let wrong = ConfigError::new("server.listen", "nothing", "something").in_file("a.toml");
    let text = "a.toml: server.listen: found nothing; allowed: something".to_owned();
    let error: anyhow::Error = wrong.into();
    assert_eq!(explain(&error), (2, Some(text.clone())));
    let wrapped = Err::<(), _>(error).context("cannot start").unwrap_err();
    assert_eq!(explain(&wrapped), (2, Some(text)));
    let failed = anyhow::anyhow!("disk full").context("cannot open the store");
    let text = "cannot open the store: disk full".to_owned();
    assert_eq!(explain(&failed), (1, Some(text)));
    let closed = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
    assert_eq!(explain(&closed), (0, None));
    assert_eq!(finish(&Ok(Outcome::Done)), ExitCode::SUCCESS);
    assert_eq!(finish(&Ok(Outcome::Failed)), ExitCode::from(1));
}

/// A service that gives one answer and tells what it was asked.
struct Service {
    url: String,
    asked: JoinHandle<Asked>,
}

struct Asked {
    line: String,
    headers: Vec<String>,
    body: Value,
}

fn service(status: u16, answer: impl ToString) -> Service {
    let answer = answer.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut lines = reader.by_ref().lines().map(Result::unwrap);
        let line = lines.next().unwrap();
        let headers: Vec<String> = lines.take_while(|l| !l.is_empty()).collect();
        let length = headers
            .iter()
            .find_map(|h| h.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |l| l.parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        write!(
            stream,
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
            answer.len()
        )
        .unwrap();
        Asked {
            line,
            headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    });
    Service { url, asked }
}

/// Runs a command line; gives what it printed, and its exit code and message when it failed.
fn command(line: &str, url: &str) -> (String, Option<(u8, String)>) {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let (mut output, written) = Output::captured();
    let cli = parse(arguments(&format!("{line} --url {url} --token t0ken"))).unwrap();
    let error = execute(cli, &mut output).err().map(|error| {
        let (code, message) = explain(&error);
        (code, message.unwrap_or_default().replace(url, "URL"))
    });
    (written.text(), error)
}

#[test]
fn stats_are_a_table() {
    let service = service(
        200,
        json!({"success": true, "response": [
            {"lane": "support-bot", "depth": 3, "oldest_seconds": 12, "paused": null, "resting_until": null, "dead": 1},
            {"lane": "events:backend", "depth": 0, "oldest_seconds": null, "dead": 0,
             "paused": {"reason": "credentials", "message": "401: Unauthorized", "since": "2026-11-02 10:00:00"},
             "resting_until": "2026-11-02 10:05:00"},
        ]}),
    );
    let (printed, error) = command("switchboard queue stats", &service.url);
    assert_eq!(error, None);
    assert_eq!(
        printed,
        "\
lane            depth  oldest  dead  resting until        paused
support-bot     3      12 s    1     -                    -
events:backend  0      -       0     2026-11-02 10:05:00  credentials since 2026-11-02 10:00:00: 401: Unauthorized
"
    );
    let asked = service.asked.join().unwrap();
    assert_eq!(asked.line, "GET /admin/lanes HTTP/1.1");
    assert!(
        asked
            .headers
            .contains(&"authorization: Bearer t0ken".to_owned())
    );
}

#[test]
fn dead_letters_are_a_table() {
    let service = service(
        200,
        json!({"success": true, "response": [
            {"id": "9", "lane": "a&b", "conversation_id": "4", "to": "+15550100", "reason": "blocked\u{1b}[2J",
             "class": "recipient", "attempts": 6, "died_at": "2026-11-02 10:00:00"},
        ]}),
    );
    let (printed, error) = command("switchboard queue dead --channel a&b", &service.url);
    assert_eq!(error, None);
    assert_eq!(
        printed,
        "\
id  lane  conversation  to         class      attempts  died                 reason
9   a&b   4             +15550100  recipient  6         2026-11-02 10:00:00  blocked [2J
"
    );
    let asked = service.asked.join().unwrap();
    assert_eq!(asked.line, "GET /admin/dead?channel=a%26b HTTP/1.1");
}

#[test]
fn retry_and_drop_say_what_was_done_and_what_was_not() {
    let answer = |done: &str, ids: &[&str], missing: &[&str]| json!({"success": true, "response": {done: ids, "not_found": missing}});

    let retried = service(200, answer("retried", &["9", "event:12"], &["7", "8"]));
    let (printed, error) = command("switchboard queue retry 9 event:12 7 8", &retried.url);
    assert_eq!(printed, "retried 9\nretried event:12\n");
    assert_eq!(error, Some((1, "not found: 7, 8".to_owned())));
    let asked = retried.asked.join().unwrap();
    assert_eq!(asked.line, "POST /admin/retry HTTP/1.1");
    assert_eq!(asked.body, json!({"ids": ["9", "event:12", "7", "8"]}));

    let none = service(200, answer("retried", &[], &[]));
    let (printed, error) = command("switchboard queue retry --all", &none.url);
    assert_eq!((printed.as_str(), error), ("nothing retried\n", None));
    assert_eq!(none.asked.join().unwrap().body, json!({"all": true}));

    let dropped = service(200, answer("dropped", &["9"], &[]));
    let (printed, error) = command("switchboard queue drop 9", &dropped.url);
    assert_eq!((printed.as_str(), error), ("dropped 9\n", None));
    let asked = dropped.asked.join().unwrap();
    assert_eq!(asked.line, "POST /admin/drop HTTP/1.1");
    assert_eq!(asked.body, json!({"ids": ["9"]}));
}

#[test]
fn a_send_prints_its_receipt() {
    let service = service(
        202,
        json!({"success": true, "response": {"ok": true}, "message_id": "9", "conversation_id": "4", "status": "queued"}),
    );
    let line =
        "switchboard send --channel a --to 7 --text hello --attach https://x.example.com/p/a.png";
    let (printed, error) = command(line, &service.url);
    assert_eq!(error, None);
    assert_eq!(
        printed,
        "message_id: 9\nstatus: queued\nresponse: {\"ok\":true}\n"
    );
    let asked = service.asked.join().unwrap();
    assert_eq!(asked.line, "POST /api HTTP/1.1");
    assert_eq!(
        asked.body,
        json!({
            "function": "messaging-platforms-send-message", "channel": "a", "to": "7", "message": "hello",
            "attachments": [["a.png", "https://x.example.com/p/a.png"]],
        })
    );
}

#[test]
fn a_send_that_failed_says_why() {
    let service = service(
        422,
        json!({"success": false, "response": "recipient-unreachable", "message": "the recipient blocked us",
               "message_id": "9", "status": "failed", "platform": {"code": "403", "message": "Forbidden"}}),
    );
    let (printed, error) = command("switchboard send --channel a --to 7 --text x", &service.url);
    assert_eq!(
        printed,
        "message_id: 9\nstatus: failed\nplatform: {\"code\":\"403\",\"message\":\"Forbidden\"}\n"
    );
    let message = "not sent: recipient-unreachable: the recipient blocked us";
    assert_eq!(error, Some((1, message.to_owned())));
}

#[test]
fn a_service_that_does_not_answer_is_one_line() {
    let refused = service(
        401,
        json!({"success": false, "response": "invalid-token", "message": "unknown token"}),
    );
    let (_, error) = command("switchboard queue stats", &refused.url);
    let message = "the service at URL refuses the API token (invalid-token: unknown token): give \
                   --token or set SWITCHBOARD_TOKEN";
    assert_eq!(error, Some((1, message.to_owned())));

    let stranger = service(200, "<html>");
    let (_, error) = command("switchboard queue stats", &stranger.url);
    let message = "what answers at URL is not the gateway (HTTP 200): check --url";
    assert_eq!(error, Some((1, message.to_owned())));

    let denied = service(
        429,
        json!({"success": false, "response": "rate-limited", "message": "slow down"}),
    );
    let (_, error) = command("switchboard queue stats", &denied.url);
    let message = "the service refuses: rate-limited: slow down";
    assert_eq!(error, Some((1, message.to_owned())));

    // A port that was free a moment ago: nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (_, error) = command("switchboard queue stats", &url);
    let message =
        "cannot reach the service at URL (Connection refused (os error 111)): is it running?";
    assert_eq!(error, Some((1, message.to_owned())));
}
