use super::*;
use crate::email::config::{Settings, tests::common};
use crate::model::{ContactCard, ConversationId, MailThread, MessageId, Outgoing};
use bytes::Bytes;
use mail_parser::{HeaderValue, MessageParser, MimeHeaders};
use serde_json::{Value, json};

fn settings(more: Value) -> Settings {
    let mut value = json!({
        "smtp_url": "smtps://u:p@mail.example.net", "address": "support@example.net", "name": "Söpport",
        "token_key": "0123456789abcdef",
    });
    let keys = value.as_object_mut().unwrap();
    keys.extend(more.as_object().unwrap().clone());
    Settings::read(&common(), value).unwrap()
}

fn part(change: impl FnOnce(&mut Outgoing)) -> Part {
    let mut message = Outgoing::new(MessageId(42), "anna@customer.example");
    message.text = "Hej på dig".to_owned();
    change(&mut message);
    let mut parts = crate::email::plan::plan(&message).unwrap();
    assert_eq!(parts.len(), 1);
    let mut part = parts.remove(0);
    part.thread = Some(MailThread {
        conversation: ConversationId(17),
        at: Millis(1_795_745_749_123),
        subject: "My order".to_owned(),
        in_reply_to: None,
        references: Vec::new(),
    });
    part
}

fn written(settings: &Settings, part: &Part, files: &[File]) -> String {
    let draft = Draft::new(settings, part, Millis(0));
    String::from_utf8(draft.write(settings, files).unwrap()).unwrap()
}

fn header(raw: &str, name: &str) -> Option<String> {
    let head = raw.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    let mut found = head.split("\r\n").filter_map(|l| l.split_once(": "));
    found.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned())
}

#[test]
fn the_same_part_is_the_same_bytes() {
    let settings = settings(json!({}));
    let part = part(|_| {});
    let one = written(&settings, &part, &[]);
    assert_eq!(one, written(&settings, &part, &[]));
    assert_eq!(header(&one, "Date").unwrap(), "Fri, 27 Nov 2026 02:15:49 +0000");
    let id = header(&one, "Message-ID").unwrap();
    assert_eq!(id, "<sb.42.0.1a21ac99883@example.net>");
    assert_eq!(
        ids::read_message_id(&settings, id.trim_matches(['<', '>'])),
        Some(MessageId(42))
    );
}

#[test]
fn an_answer_stands_in_its_thread() {
    let settings = settings(json!({"plus_addressing": true}));
    let mut part = part(|_| {});
    let thread = part.thread.as_mut().unwrap();
    thread.in_reply_to = Some("m2@customer.example 0123456789abcdef".to_owned());
    thread.references = vec!["m1@x.se".to_owned(), "m2@customer.example".to_owned()];
    let raw = written(&settings, &part, &[]);
    assert_eq!(header(&raw, "In-Reply-To").unwrap(), "<m2@customer.example>");
    assert_eq!(header(&raw, "References").unwrap(), "<m1@x.se> <m2@customer.example>");
    assert_eq!(header(&raw, "Subject").unwrap(), "Re: My order");
    let reply_to = header(&raw, "Reply-To").unwrap();
    let token = ids::token(&settings, ConversationId(17)).unwrap();
    assert!(reply_to.contains(&format!("<support+{token}@example.net>")), "{reply_to}");
    assert_eq!(header(&raw, "Auto-Submitted"), None);
    assert_eq!(header(&raw, "X-Loop"), None);
}

#[test]
fn a_mail_that_begins_a_thread_has_its_subject() {
    let plain = settings(json!({}));
    let raw = written(&plain, &part(|_| {}), &[]);
    assert_eq!(header(&raw, "Subject").unwrap(), "My order");
    assert_eq!(header(&raw, "Reply-To"), None);
    assert_eq!(header(&raw, "References"), None);
    let mut nameless = part(|_| {});
    nameless.thread.as_mut().unwrap().subject = String::new();
    let raw = written(&settings(json!({"default_subject": "News from us"})), &nameless, &[]);
    assert_eq!(header(&raw, "Subject").unwrap(), "News from us");
    let tagged = settings(json!({"subject_tag": true}));
    let token = ids::token(&tagged, ConversationId(17)).unwrap();
    let raw = written(&tagged, &part(|_| {}), &[]);
    assert_eq!(header(&raw, "Subject").unwrap(), format!("My order [#{token}]"));
}

#[test]
fn long_chains_keep_their_first_and_last() {
    let ids: Vec<String> = (0..50).map(|i| format!("m{i}@x.se")).collect();
    let kept = trimmed(ids.clone());
    assert_eq!(kept.len(), REFERENCES_LAST + 1);
    assert_eq!((kept[0].as_str(), kept[1].as_str(), kept[20].as_str()), ("m0@x.se", "m30@x.se", "m49@x.se"));
    assert_eq!(trimmed(ids[..21].to_vec()), ids[..21]);
    assert_eq!(trimmed(Vec::new()), [] as [String; 0]);
}

#[test]
fn no_value_begins_a_header() {
    let evil = "x\r\nBcc: victim@x.se\r\n\r\nbody\0";
    let settings = settings(json!({}));
    let mut part = part(|m| {
        m.mail.subject = Some(evil.to_owned());
        m.mail.from_name = Some(evil.to_owned());
        m.text = evil.to_owned();
        m.reply_to = Some("a@x.se\r\nBcc: victim@x.se".to_owned());
        m.contacts = vec![ContactCard {
            name: evil.to_owned(),
            ..ContactCard::default()
        }];
    });
    part.thread.as_mut().unwrap().references = vec![format!("<{evil}@x.se>"), "fine@x.se".to_owned()];
    let file = File {
        name: evil.to_owned(),
        mime: evil.to_owned(),
        media: Media {
            bytes: Bytes::from_static(b"\r\n--x\r\nBcc: y"),
            mime: None,
            name: None,
        },
    };
    let raw = written(&settings, &part, &[file]);
    let message = MessageParser::default().parse(raw.as_bytes()).unwrap();
    let names: Vec<&str> = message.headers().iter().map(|h| h.name.as_str()).collect();
    assert!(!names.iter().any(|n| n.eq_ignore_ascii_case("bcc")), "{names:?}");
    assert_eq!(message.subject(), Some("x Bcc: victim@x.se body"));
    for inner in &message.parts {
        assert!(!inner.headers.iter().any(|h| h.name.as_str().eq_ignore_ascii_case("bcc")));
    }
    assert!(raw.split("\r\n\r\n").next().unwrap().is_ascii());
}

#[test]
fn what_is_not_ascii_arrives() {
    let settings = settings(json!({}));
    let file = File {
        name: "Ünterlagen für 日本 и Россия, ein sehr langer Name.pdf".to_owned(),
        mime: "application/pdf".to_owned(),
        media: Media {
            bytes: Bytes::from_static(b"\0\x01\xff ascii? \n"),
            mime: None,
            name: None,
        },
    };
    let part = part(|m| {
        m.text = "Grüße 👍🏽\n> nicht zitiert\n.\n\nあ <b>".to_owned();
        m.mail.subject = Some("Ihre Bestellung – 注文 👍🏽".repeat(4));
        m.mail.from_name = Some("Jörg \"der\" Müller, Jr.".to_owned());
    });
    let raw = written(&settings, &part, std::slice::from_ref(&file));
    let message = MessageParser::default().parse(raw.as_bytes()).unwrap();
    assert_eq!(message.subject().unwrap(), "Ihre Bestellung – 注文 👍🏽".repeat(4));
    let from = message.from().unwrap().first().unwrap();
    assert_eq!(from.name.as_deref(), Some("Jörg \"der\" Müller, Jr."));
    assert_eq!(message.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), part_text(&part));
    let html = message.body_html(0).unwrap();
    assert!(html.contains("Grüße 👍🏽<br>") && html.contains("あ &lt;b&gt;"), "{html}");
    let attachment = message.attachments().next().unwrap();
    assert_eq!(attachment.attachment_name(), Some(file.name.as_str()));
    assert_eq!(attachment.contents(), file.media.bytes.as_ref());
}

fn part_text(part: &Part) -> String {
    content(part).0
}

#[test]
fn automatic_mails_say_so() {
    let settings = settings(json!({}));
    for (automatic, value) in [
        (Automatic::Generated, "auto-generated"),
        (Automatic::Replied, "auto-replied"),
    ] {
        let raw = written(&settings, &part(|m| m.mail.automatic = Some(automatic)), &[]);
        assert_eq!(header(&raw, "Auto-Submitted").unwrap(), value);
        assert_eq!(header(&raw, "X-Loop").unwrap(), "support@example.net");
        assert_eq!(header(&raw, "X-Auto-Response-Suppress").unwrap(), "All");
        assert_eq!(header(&raw, "Precedence").unwrap(), "bulk");
    }
}

#[test]
fn a_callers_html_is_cleaned() {
    let settings = settings(json!({}));
    let html = "<p>Hi <b>there</b></p><script>steal()</script>";
    let raw = written(&settings, &part(|m| m.mail.html = Some(html.to_owned())), &[]);
    let message = MessageParser::default().parse(raw.as_bytes()).unwrap();
    let html = message.body_html(0).unwrap();
    assert!(html.contains("<p>Hi <b>there</b></p>") && !html.contains("steal"), "{html}");
    assert_eq!(message.body_text(0).unwrap().trim_end(), "Hej på dig");
}

#[test]
fn everybody_is_in_to() {
    let settings = settings(json!({}));
    let part = part(|m| m.to = "anna@customer.example, bo@x.se".to_owned());
    let raw = written(&settings, &part, &[]);
    let message = MessageParser::default().parse(raw.as_bytes()).unwrap();
    assert_eq!(message.to().unwrap().iter().count(), 2);
    assert!(matches!(message.references(), HeaderValue::Empty));
}
