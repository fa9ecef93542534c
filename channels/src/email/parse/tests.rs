//! The bounds on hostile mail, one by one. Each of these is too large, or too odd in its bytes, for a
//! fixture that a person could read.

use super::*;
use crate::email::config::{Settings, tests::common};
use crate::kit::http::{Headers, Method, Via};
use crate::kit::sign::base64;
use serde_json::json;

fn settings() -> Settings {
    let value = json!({"smtp_url": "smtps://u:p@mail.example.net", "address": "support@example.net"});
    Settings::read(&common(), value).unwrap()
}

fn request(raw: impl Into<bytes::Bytes>) -> Inbound {
    Inbound {
        via: Via::Mailbox,
        method: Method::Post,
        url: common().webhook_url,
        query: String::new(),
        headers: Headers::default()
            .with(headers::INTERNAL_DATE, "1795000000000")
            .with(headers::MAILBOX, "INBOX")
            .with(headers::KEPT, "kept/1"),
        body: raw.into(),
        received_at: Millis(1_795_000_100_000),
    }
}

fn events(raw: impl Into<bytes::Bytes>) -> Vec<Event> {
    parse(&settings(), &request(raw)).unwrap().events
}

/// The one message of a mail.
fn message(raw: impl Into<bytes::Bytes>) -> (Event, InboundMessage) {
    let mut events = events(raw).into_iter();
    let (Some(event), None) = (events.next(), events.next()) else {
        panic!("not one event");
    };
    match event.body.clone() {
        EventBody::Message(message) => (event, message),
        other => panic!("no message: {other:?}"),
    }
}

fn fact<'m>(message: &'m InboundMessage, name: &str) -> Option<&'m str> {
    message.facts.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

/// A mail with these headers in addition.
fn mail(headers: &str, body: &str) -> String {
    format!(
        "From: Anna <anna@customer.example>\r\nTo: support@example.net\r\nSubject: s\r\n\
         Message-ID: <1@customer.example>\r\n{headers}\r\n{body}"
    )
}

#[test]
fn nothing_is_no_mail() {
    for raw in ["", "\r\n", "\r\n\r\nbody"] {
        assert_eq!(parse(&settings(), &request(raw)).unwrap_err().expected, "a mail", "{raw:?}");
    }
}

#[test]
fn a_mail_whose_body_was_not_fetched_is_its_header() {
    let mut request = request(mail("Content-Type: text/plain\r\n", ""));
    request.headers.push(headers::TRUNCATED, "52428800");
    let parsed = parse(&settings(), &request).unwrap();
    let [event] = parsed.events.as_slice() else {
        panic!("{parsed:?}");
    };
    let EventBody::Message(message) = &event.body else {
        panic!("{event:?}");
    };
    assert_eq!(fact(message, "truncated"), Some("52428800"));
    assert_eq!(message.text, "s");
}

#[test]
fn fifty_megabytes_are_read_and_seventy_are_not() {
    let line = format!("{}\r\n", "x".repeat(998));
    let (_, large) = message(mail("", &line.repeat(50 * 1024 * 1024 / 1000)));
    assert_eq!(large.text.chars().count(), limits::SHOWN_CHARS);
    assert_eq!(fact(&large, "original").map(str::len), Some(limits::ORIGINAL_BYTES));
    let (_, huge) = message(mail("", &line.repeat(limits::MAIL_BYTES / 1000 + 2)));
    assert_eq!(huge.text, "s");
    assert!(fact(&huge, "truncated").is_some());
}

#[test]
fn ten_thousand_parts_are_some_attachments() {
    let mut body = String::new();
    for i in 0..10_000 {
        body.push_str(&format!(
            "--b\r\nContent-Type: application/x-thing\r\nContent-Disposition: attachment; filename=f{i}\r\n\r\nx\r\n"
        ));
    }
    body.push_str("--b--\r\n");
    let (_, message) = message(mail("Content-Type: multipart/mixed; boundary=b\r\n", &body));
    assert_eq!(message.attachments.len(), limits::ATTACHMENTS);
    assert_eq!(message.attachments[0].name.as_deref(), Some("f0"));
    let left = (10_000 - limits::ATTACHMENTS).to_string();
    assert_eq!(fact(&message, "attachments_left_out"), Some(left.as_str()));
}

#[test]
fn text_beyond_the_last_part_is_not_read() {
    let mut body = String::new();
    for i in 0..=limits::PARTS + 10 {
        body.push_str(&format!("--b\r\nContent-Type: text/plain\r\n\r\npart {i}.\r\n"));
    }
    let (_, message) = message(mail("Content-Type: multipart/mixed; boundary=b\r\n", &body));
    assert!(message.text.contains(&format!("part {}.", limits::PARTS - 1)));
    assert!(!message.text.contains(&format!("part {}.", limits::PARTS + 1)));
}

#[test]
fn a_thousand_levels_are_their_header() {
    let deep = |levels: usize| {
        let inner = "Content-Type: message/rfc822\r\n\r\n".repeat(levels);
        mail("", "").trim_end().to_owned() + "\r\n" + &inner + "Subject: x\r\n\r\nend"
    };
    let (_, nested) = message(deep(50));
    assert_eq!(nested.attachments.len(), 1);
    for levels in [1_000, 50_000] {
        let (_, nested) = message(deep(levels));
        assert_eq!(nested.text, "s");
        assert!(fact(&nested, "truncated").is_some());
    }
    let mut multipart = String::new();
    for i in 0..1_000 {
        multipart.push_str(&format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n"));
    }
    let raw = mail("", "").trim_end().to_owned() + "\r\n" + &multipart + "\r\nend\r\n";
    drop(message(raw));
    let digest = "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n".repeat(20_000);
    drop(message(mail("", "").trim_end().to_owned() + "\r\n" + &digest));
}

#[test]
fn headers_of_a_hundred_kilobytes_are_cut() {
    let long = "x ".repeat(50 * 1024);
    let many: String = (0..5_000).map(|i| format!("X-H{i}: v\r\n")).collect();
    let ids: String = (0..5_000).map(|i| format!(" <{i}@x.se>\r\n")).collect();
    let people: String = (0..5_000).map(|i| format!(" p{i}@x.se,\r\n")).collect();
    let raw = format!(
        "From: {long}<anna@customer.example>\r\nSubject: {long}\r\nMessage-ID: <1@x.se>\r\n\
         References:\r\n{ids}To: support@example.net,\r\n{people} z@x.se\r\nX-Long: {long}\r\n{many}\r\nhi"
    );
    let (event, message) = message(raw);
    assert_eq!(message.text, "hi");
    let thread = event.thread.unwrap();
    assert!(thread.title.unwrap().chars().count() <= limits::SUBJECT_CHARS);
    assert!(thread.people.len() <= limits::PEOPLE);
    assert!(thread.clues.len() <= limits::REFERENCES + 2);
    let profile = event.sender.unwrap().profile;
    assert!(profile.first_name.unwrap().chars().count() <= limits::NAME_CHARS);
    let references = fact(&message, "references").unwrap();
    assert_eq!(references.split(' ').count(), limits::REFERENCES);
    assert!(references.ends_with("4999@x.se"));
}

#[test]
fn an_endless_message_id_is_none() {
    let long = "x".repeat(limits::ID_BYTES);
    let raw = format!("From: a@x.se\r\nMessage-ID: <{long}@x.se>\r\n\r\nhi");
    let (_, message) = message(raw);
    assert!(message.platform_id.starts_with(MADE_UP));
    assert_eq!(message.distinct_id, None);
}

#[test]
fn nul_bytes_and_other_controls_are_left_out() {
    let (_, message) = message(mail("", "a\0b\u{7}c\u{1b}[31md\r\n"));
    assert_eq!(message.text, "abc[31md");
    let (_, message) = self::message(mail("Content-Type: text/html\r\n", "<p>a\0b</p>"));
    assert_eq!(message.text, "ab");
}

#[test]
fn every_byte_is_a_mail_of_some_kind() {
    let all: Vec<u8> = (0..=255).collect();
    for headers in ["", "Content-Transfer-Encoding: base64\r\n", "Content-Transfer-Encoding: quoted-printable\r\n"] {
        for charset in ["utf-8", "utf-7", "utf-16", "iso-2022-jp", "gb18030", "big5", "x-none", "\"", ""] {
            let mut raw = mail(&format!("Content-Type: text/plain; charset={charset}\r\n{headers}"), "").into_bytes();
            raw.extend(&all);
            drop(message(raw));
        }
    }
}

#[test]
fn a_long_text_is_cut_and_a_long_line_is_no_pattern() {
    let html = format!("<p>{}</p>", "word ".repeat(600_000));
    let (_, message) = message(mail("Content-Type: text/html\r\n", &html));
    assert_eq!(message.text.chars().count(), limits::SHOWN_CHARS);
    drop(self::message(mail("", &"On ".repeat(1_000_000))));
}

#[test]
fn an_attachment_beyond_the_bound_is_named_and_not_handed_out() {
    let content = "A".repeat(limits::ATTACHMENT_BYTES / 3 * 4 + 8);
    let body = format!(
        "--b\r\nContent-Type: application/zip\r\nContent-Disposition: attachment; filename=a.zip\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{content}\r\n--b--\r\n"
    );
    let (_, message) = message(mail("Content-Type: multipart/mixed; boundary=b\r\n", &body));
    let [attachment] = message.attachments.as_slice() else {
        panic!("{:?}", message.attachments.len());
    };
    assert_eq!((attachment.name.as_deref(), &attachment.media), (Some("a.zip"), &None));
}

#[test]
fn attachments_are_the_bytes_that_were_attached() {
    let latin: &[u8] = b"Gr\xfc\xdfe\r\n\0";
    let body = format!(
        "--b\r\nContent-Type: text/plain\r\n\r\nsee\r\n\
         --b\r\nContent-Type: text/plain; charset=iso-8859-1; name=a.txt\r\nContent-Disposition: attachment\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n\
         --b\r\nContent-Type: text/html; name=q.html\r\nContent-Disposition: attachment\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>=FC=\r\n</p>\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@x.se\r\nSubject: inner\r\n\r\nits text\r\n--b--\r\n",
        base64(latin)
    );
    let raw = mail("Content-Type: multipart/mixed; boundary=b\r\n", &body);
    let (_, message) = message(raw.clone());
    let bytes: Vec<_> = message
        .attachments
        .iter()
        .map(|a| {
            let media = a.media.as_ref().unwrap();
            assert_eq!(media.reference, "kept/1");
            file(raw.as_bytes(), media.scope.as_deref().unwrap()).unwrap()
        })
        .collect();
    assert_eq!(bytes[0].bytes.as_ref(), latin);
    assert_eq!(bytes[1].bytes.as_ref(), b"<p>\xfc</p>");
    assert_eq!(bytes[2].bytes.as_ref(), b"From: a@x.se\r\nSubject: inner\r\n\r\nits text");
    assert_eq!(bytes[2].name.as_deref(), Some("inner.eml"));
    for scope in ["", "0", "99", "-1", "x"] {
        assert_eq!(file(raw.as_bytes(), scope), None, "{scope}");
    }
    assert_eq!(file(b"", "1"), None);
}

#[test]
fn the_same_mail_to_two_addresses_is_one() {
    let one = message(mail("Delivered-To: support@example.net\r\nReceived: x\r\n", "hi"));
    let two = message(mail("Delivered-To: help@example.net\r\nReceived: y\r\n", "hi"));
    assert_eq!(one.0.key, two.0.key);
    let other = message(mail("Delivered-To: support@example.net\r\n", "ho"));
    assert_ne!(one.0.key, other.0.key);
    assert_eq!(one.1.platform_id, other.1.platform_id);
    assert_ne!(one.1.distinct_id, other.1.distinct_id);
}

#[test]
fn times_are_the_mailboxs() {
    let raw = mail("Date: Fri, 01 Jan 1990 00:00:00 +0000\r\n", "hi");
    assert_eq!(message(raw.clone()).0.at, Millis(1_795_000_000_000));
    let mut request = request(raw);
    request.headers = Headers::default();
    let parsed = parse(&settings(), &request).unwrap();
    assert_eq!(parsed.events[0].at, request.received_at);
}
