use super::*;
use crate::email::config::tests::common;
use crate::kit::http::Transport;
use crate::kit::mail::{Kept, MailServer, Mailer, SmtpReply, Stage};
use crate::kit::tokens::MemoryTokens;
use crate::model::{MessageId, Millis, Outgoing, OutgoingAttachment};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Mutex;

/// A server that answers as it was told, and remembers what it was given.
struct Server {
    answers: Mutex<VecDeque<Result<Submitted, MailError>>>,
    seen: Mutex<Vec<Submission>>,
}

#[async_trait]
impl Mailer for Server {
    async fn submit(&self, submission: Submission) -> Result<Submitted, MailError> {
        self.seen.lock().unwrap().push(submission);
        self.answers.lock().unwrap().pop_front().unwrap()
    }

    async fn check(&self, server: &MailServer, protocol: Protocol) -> Result<(), MailError> {
        match (server.host.as_str(), protocol) {
            ("mail.example.net", _) => Ok(()),
            _ => Err(refused(Stage::Auth, 535, "5.7.8 bad credentials", &[])),
        }
    }
}

struct Web(Mutex<VecDeque<Result<Media, TransportError>>>);

#[async_trait]
impl Transport for Web {
    async fn call(&self, _: Request) -> Result<Response, TransportError> {
        panic!("mail calls nothing over HTTP")
    }

    async fn fetch_public(&self, _: &str, _: usize) -> Result<Media, TransportError> {
        self.0.lock().unwrap().pop_front().unwrap()
    }
}

struct Shelf;

#[async_trait]
impl Kept for Shelf {
    async fn kept(&self, key: &str) -> Result<Option<Bytes>, String> {
        match key {
            "broken" => Err("no disk".to_owned()),
            "there" => Ok(Some(Bytes::from_static(
                b"From: a@x.se\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
                  Content-Type: text/plain\r\n\r\nhi\r\n--b\r\nContent-Type: image/png\r\n\
                  Content-Disposition: attachment; filename=a.png\r\n\r\nbytes\r\n--b--\r\n",
            ))),
            _ => Ok(None),
        }
    }
}

/// Runs a future whose fakes answer at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

fn reply(code: u16, text: &str) -> SmtpReply {
    SmtpReply {
        code,
        text: text.to_owned(),
    }
}

fn refused(stage: Stage, code: u16, text: &str, recipients: &[(&str, u16, &str)]) -> MailError {
    let of = |(to, code, text): &(&str, u16, &str)| ((*to).to_owned(), reply(*code, text));
    MailError::Refused {
        stage,
        reply: reply(code, text),
        recipients: recipients.iter().map(of).collect(),
    }
}

fn taken(refused: &[(&str, u16, &str)]) -> Result<Submitted, MailError> {
    let of = |(to, code, text): &(&str, u16, &str)| ((*to).to_owned(), reply(*code, text));
    Ok(Submitted {
        reply: reply(250, "2.0.0 queued as 4Xk2"),
        refused: refused.iter().map(of).collect(),
    })
}

fn settings(imap: &str) -> Settings {
    let value = json!({
        "smtp_url": "smtps://u:p@mail.example.net", "address": "support@example.net",
        "imap_url": format!("imaps://u:p@{imap}"), "smtp_max_message_bytes": 3_000_000,
    });
    Settings::read(&common(), value).unwrap()
}

fn part(to: &str, files: &[&str]) -> Part {
    let mut message = Outgoing::new(MessageId(42), to);
    message.text = "hello".to_owned();
    let url = |name: &&str| OutgoingAttachment::new(*name, format!("https://files.example.net/{name}"));
    message.attachments = files.iter().map(url).collect();
    crate::email::plan::plan(&message).unwrap().remove(0)
}

struct World {
    server: Server,
    web: Web,
    tokens: MemoryTokens,
}

impl World {
    fn new(answers: Vec<Result<Submitted, MailError>>) -> Self {
        Self {
            server: Server {
                answers: Mutex::new(answers.into()),
                seen: Mutex::default(),
            },
            web: Web(Mutex::default()),
            tokens: MemoryTokens::default(),
        }
    }

    fn ctx(&self) -> Ctx<'_> {
        Ctx {
            mailer: &self.server,
            kept: &Shelf,
            tokens: &self.tokens,
            ..Ctx::new(&self.web, Millis(1_795_000_000_000))
        }
    }

    fn deliver(&self, part: &Part) -> Result<Receipt, SendError> {
        now(deliver(&settings("mail.example.net"), part, &self.ctx()))
    }

    fn recipients(&self) -> Vec<Vec<String>> {
        self.server.seen.lock().unwrap().iter().map(|s| s.to.clone()).collect()
    }
}

#[test]
fn a_mail_that_is_taken_has_our_id() {
    let world = World::new(vec![taken(&[])]);
    let receipt = world.deliver(&part("anna@x.se", &[])).unwrap();
    let [id] = receipt.platform_ids.as_slice() else {
        panic!("{receipt:?}");
    };
    let answer: Value = serde_json::from_str(&receipt.answer).unwrap();
    assert_eq!(answer, json!({"code": 250, "text": "2.0.0 queued as 4Xk2"}));
    let seen = world.server.seen.lock().unwrap();
    let [mail] = seen.as_slice() else {
        panic!("{} mails", seen.len());
    };
    assert_eq!((mail.from.as_str(), mail.to.as_slice()), ("support@example.net", &["anna@x.se".to_owned()][..]));
    assert_eq!(mail.hello_name, "example.net");
    let text = String::from_utf8(mail.message.to_vec()).unwrap();
    assert!(text.contains(&format!("Message-ID: <{id}>\r\n")), "{text}");
}

#[test]
fn one_who_is_refused_for_good_hides_nobody() {
    let world = World::new(vec![taken(&[("b@x.se", 550, "5.1.1 no such user")])]);
    let receipt = world.deliver(&part("a@x.se, b@x.se", &[])).unwrap();
    let answer: Value = serde_json::from_str(&receipt.answer).unwrap();
    let expected = json!([{"to": "b@x.se", "code": 550, "text": "5.1.1 no such user"}]);
    assert_eq!(answer["refused"], expected);
}

#[test]
fn who_is_put_off_is_tried_again_alone() {
    let busy = ("b@x.se", 450, "4.2.1 busy");
    let world = World::new(vec![
        taken(&[busy]),
        Err(refused(Stage::Recipient, 450, "4.2.1 busy", &[busy])),
        Err(MailError::NoAnswer("cut".to_owned())),
        taken(&[]),
    ]);
    let part = part("a@x.se, b@x.se", &[]);
    assert_eq!(world.deliver(&part).unwrap_err().class, Class::Retry);
    assert_eq!(world.deliver(&part).unwrap_err().class, Class::Retry);
    assert_eq!(world.deliver(&part).unwrap_err().class, Class::Unsure);
    world.deliver(&part).unwrap();
    let both = vec!["a@x.se".to_owned(), "b@x.se".to_owned()];
    let alone = vec!["b@x.se".to_owned()];
    assert_eq!(world.recipients(), [both, alone.clone(), alone.clone(), alone]);
    // The bytes are the same at every try.
    let seen = world.server.seen.lock().unwrap();
    assert!(seen.iter().all(|s| s.message == seen[0].message));
}

#[test]
fn whoever_has_it_has_it_when_the_rest_is_refused_for_good() {
    let world = World::new(vec![
        taken(&[("b@x.se", 450, "4.2.1 busy")]),
        Err(refused(Stage::Recipient, 550, "5.1.1 gone", &[("b@x.se", 550, "5.1.1 gone")])),
    ]);
    let part = part("a@x.se, b@x.se", &[]);
    world.deliver(&part).unwrap_err();
    let receipt = world.deliver(&part).unwrap();
    assert!(receipt.answer.contains("5.1.1 gone"), "{}", receipt.answer);
}

#[test]
fn what_is_refused_has_a_class() {
    for (error, class, code) in [
        (refused(Stage::Recipient, 550, "5.1.1 no", &[]), Class::Recipient, "550 5.1.1"),
        (refused(Stage::Data, 451, "4.3.0 later", &[]), Class::Retry, "451 4.3.0"),
        (refused(Stage::Auth, 535, "no", &[]), Class::Credentials, "535"),
        (MailError::NotSent("refused".to_owned()), Class::Retry, "not-sent"),
        (MailError::NoAnswer("cut".to_owned()), Class::Unsure, "no-answer"),
    ] {
        let world = World::new(vec![Err(error)]);
        let error = world.deliver(&part("a@x.se", &[])).unwrap_err();
        assert_eq!(error.class, class);
        assert_eq!(error.words.unwrap().code, code);
    }
}

fn file(bytes: usize) -> Result<Media, TransportError> {
    Ok(Media {
        bytes: Bytes::from(vec![b'x'; bytes]),
        mime: None,
        name: None,
    })
}

#[test]
fn files_are_attached_or_linked() {
    let world = World::new(vec![taken(&[])]);
    *world.web.0.lock().unwrap() = [
        file(1000),
        Err(TransportError::TooLarge(1)),
        // More than what the first one left of the mail.
        file(700_000),
    ]
    .into();
    world.deliver(&part("a@x.se", &["a.pdf", "b.pdf", "c.pdf"])).unwrap();
    let seen = world.server.seen.lock().unwrap();
    let raw = seen[0].message.to_vec();
    let message = mail_parser::MessageParser::default().parse(&raw).unwrap();
    assert_eq!(message.attachment_count(), 1);
    let text = message.body_text(0).unwrap();
    assert!(text.contains("b.pdf: https://files.example.net/b.pdf"), "{text}");
    assert!(text.contains("c.pdf: https://files.example.net/c.pdf"), "{text}");
}

#[test]
fn a_file_that_cannot_be_had_sends_nothing() {
    for (error, class) in [
        (TransportError::NotSent("x".to_owned()), Class::Retry),
        (TransportError::NoAnswer("x".to_owned()), Class::Retry),
        (TransportError::Blocked("x".to_owned()), Class::Content),
    ] {
        let world = World::new(Vec::new());
        *world.web.0.lock().unwrap() = [Err(error)].into();
        assert_eq!(world.deliver(&part("a@x.se", &["a.pdf"])).unwrap_err().class, class);
        assert!(world.recipients().is_empty());
    }
}

#[test]
fn attachments_come_out_of_the_kept_mail() {
    let world = World::new(Vec::new());
    let settings = settings("mail.example.net");
    let fetch = |reference: &str, scope: &str| {
        let media = MediaRef {
            reference: reference.to_owned(),
            scope: Some(scope.to_owned()),
        };
        now(fetch_media(&settings, &media, &world.ctx()))
    };
    let media = fetch("there", "2").unwrap();
    assert_eq!((media.bytes.as_ref(), media.name.as_deref()), (&b"bytes"[..], Some("a.png")));
    assert_eq!(media.mime.as_deref(), Some("image/png"));
    for (reference, scope, class) in [
        ("there", "7", Class::Content),
        ("gone", "2", Class::Content),
        ("broken", "2", Class::Retry),
        // A relay's key means nothing to an account without one.
        ("relay:m1", "2", Class::Content),
    ] {
        assert_eq!(fetch(reference, scope).unwrap_err().class, class, "{reference}");
    }
}

#[test]
fn a_probe_logs_in_to_both() {
    let world = World::new(Vec::new());
    let health = now(probe(&settings("mail.example.net"), &world.ctx())).unwrap();
    assert_eq!(health.account, "support@example.net");
    let error = now(probe(&settings("other.example.net"), &world.ctx())).unwrap_err();
    assert_eq!(error.class, Class::Credentials);
}
