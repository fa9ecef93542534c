//! The loop against a real mailbox server, with a channel that parses as little as it must and can be
//! made to fail in every way.

use super::*;
use crate::gateway::{Bell, Limits, Outcomes};
use crate::mail::kept::Mails;
use crate::mail::stream::Connector;
use crate::media::files::Files;
use crate::outbound::mailer::SmtpMailer;
use crate::outbound::policy::{OnUnsure, Policy};
use crate::outbound::transport::HttpTransport;
use crate::queue::memory::MemoryQueue;
use crate::store::sql::Sql;
use crate::store::{Store, at_once};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use switchboard_channels::kit::http::{Ctx, Inbound, Reply, Via};
use switchboard_channels::kit::mail::{
    After, Kept, MailServer, Mailbox, Security, StartFrom, headers,
};
use switchboard_channels::kit::secret::Secret;
use switchboard_channels::model::{
    Capabilities, Event, EventBody, Health, IdentityScope, InboundMessage, Media, MediaRef, Millis,
    Outgoing, Parsed, Part, Receipt, Recipient, Sender, Thread,
};
use switchboard_channels::{Channel, Class, Malformed, Refused, Rejected, SendError, Verified};
use switchboard_testkit::servers::Dovecot;
use switchboard_testkit::servers::smtp::CA;
use switchboard_testkit::until;

const USER: &str = "support";
const PASSWORD: &str = "a \"quoted\\ secret";

/// Reads `Message-ID` and body; breaks where the body says so.
struct Toy {
    mailbox: Mailbox,
    capabilities: Capabilities,
}

fn header<'a>(mail: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = mail.split_once("\r\n\r\n")?;
    let line = head.lines().find_map(|l| l.strip_prefix(name))?;
    Some(line.strip_prefix(':')?.trim())
}

fn nothing() -> SendError {
    SendError::new(Class::Retry, "toy", "a toy sends nothing")
}

#[async_trait]
impl Channel for Toy {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn mailbox(&self) -> Option<&Mailbox> {
        Some(&self.mailbox)
    }

    fn verify(&self, request: &Inbound) -> Result<(), Rejected> {
        match request.via {
            Via::Mailbox => Ok(()),
            Via::Web => Err(Rejected::Missing),
        }
    }

    fn handshake(&self, _: &Inbound) -> Option<Reply> {
        None
    }

    fn parse(&self, request: &Verified<'_>) -> Result<Parsed, Malformed> {
        let request = request.request();
        let mail = String::from_utf8_lossy(&request.body);
        assert!(!mail.contains("panic, please"), "as it was asked to");
        let malformed = || Malformed {
            expected: "a mail",
            detail: "it is none".to_owned(),
        };
        let id = header(&mail, "Message-ID").ok_or_else(malformed)?;
        let from = header(&mail, "From").ok_or_else(malformed)?;
        let body = mail.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let carried = |name: &str| {
            let value = request.headers.get(name).unwrap_or_default();
            (name.to_owned(), value.to_owned())
        };
        let message = InboundMessage {
            platform_id: id.to_owned(),
            text: body.trim().to_owned(),
            facts: vec![
                carried(headers::KEPT),
                carried(headers::TRUNCATED),
                carried(headers::MAILBOX),
                carried(headers::INTERNAL_DATE),
            ],
            ..InboundMessage::default()
        };
        Ok(Parsed::events(vec![Event {
            key: format!("mail:{id}"),
            at: request.received_at,
            account: None,
            sender: Some(Sender {
                ids: vec![from.to_owned()],
                email: Some(from.to_owned()),
                ..Sender::default()
            }),
            thread: Some(Thread {
                address: from.to_owned(),
                ..Thread::default()
            }),
            body: EventBody::Message(message),
        }]))
    }

    fn recipient(&self, _: &str) -> Result<Recipient, Refused> {
        Err(Refused::new("to", "a toy sends nothing"))
    }

    fn plan(&self, _: &Outgoing) -> Result<Vec<Part>, Refused> {
        Err(Refused::new("message", "a toy sends nothing"))
    }

    async fn deliver(&self, _: &Part, _: &Ctx<'_>) -> Result<Receipt, SendError> {
        Err(nothing())
    }

    async fn fetch_media(&self, _: &MediaRef, _: &Ctx<'_>) -> Result<Media, SendError> {
        Err(nothing())
    }

    async fn probe(&self, _: &Ctx<'_>) -> Result<Health, SendError> {
        Err(nothing())
    }
}

/// A gateway with one toy, which reads while there is a loop.
struct Bench {
    gateway: Arc<Gateway>,
    folder: PathBuf,
    tasks: TaskTracker,
    stop: CancellationToken,
}

fn mailbox(server: &Dovecot, security: Security) -> Mailbox {
    let address = match security {
        Security::Implicit => server.tls_address(),
        Security::StartTls | Security::Plain => server.address(),
    };
    Mailbox {
        start_from: StartFrom::Days(2),
        poll_seconds: 1,
        ..Mailbox::inbox(MailServer {
            host: "localhost".to_owned(),
            port: address.port(),
            security,
            login: Some((USER.to_owned(), Secret::new(PASSWORD))),
        })
    }
}

impl Bench {
    async fn of(mailbox: Mailbox) -> Self {
        let name = format!("switchboard-piping-{}", uuid::Uuid::new_v4().simple());
        let folder = std::env::temp_dir().join(name);
        // An earlier test may have chosen it, which is as good.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let store = Store::open(&folder.join("s.db"), Vec::new(), "https://gate.example")
            .await
            .unwrap();
        let toy = Toy {
            mailbox,
            capabilities: Capabilities {
                identity: IdentityScope::Email,
                ..Capabilities::default()
            },
        };
        let policy = Policy {
            schedule: vec![Duration::from_secs(1)],
            stuck_after: 3,
            unsure_wait: Duration::from_secs(1),
            on_unsure: OnUnsure::Retry,
        };
        let kind = switchboard_channels::kind("telegram").unwrap();
        let live = LiveChannel::new(kind, "toy", Arc::new(toy), policy, 1);
        let stop = CancellationToken::new();
        let media = folder.join("media");
        let gateway = Arc::new(Gateway {
            store,
            queue: MemoryQueue::new(Vec::new(), 1),
            channels: BTreeMap::from([("toy".to_owned(), Arc::new(live))]),
            hooks: BTreeMap::new(),
            transport: HttpTransport::new(Vec::new()).unwrap(),
            mailer: Arc::new(SmtpMailer::new(Connector::new(CA).unwrap())),
            files: Files::new(&media),
            mails: Mails::new(Files::new(media.join("mail"))),
            bell: Bell::default(),
            spool: std::sync::OnceLock::new(),
            outcomes: Outcomes::default(),
            scheduled: tokio::sync::Notify::new(),
            mirror: tokio::sync::Notify::new(),
            rebuild: tokio::sync::Notify::new(),
            limits: Limits {
                public_url: "https://gate.example".to_owned(),
                body_limit_bytes: 1 << 20,
                default_wait: Duration::from_secs(1),
                send_message_delivers: false,
                lease: Duration::from_secs(5),
                max_media_bytes: 1 << 20,
                max_age: Duration::from_secs(60),
                schedule: vec![Duration::from_secs(1)],
            },
            stop: stop.clone(),
        });
        Self {
            gateway,
            folder,
            tasks: TaskTracker::new(),
            stop,
        }
    }

    fn read(&self) {
        start(&self.gateway, &[], &self.tasks, &self.stop);
    }

    async fn number(&self, sql: &'static str) -> i64 {
        crate::store::plans::of_a_test(sql);
        self.gateway
            .store
            .read(move |tx| at_once(async { tx.one(sql, &[]).await?.int() }))
            .await
            .unwrap()
    }

    /// The first column of every row.
    async fn texts(&self, sql: &'static str) -> Vec<String> {
        crate::store::plans::of_a_test(sql);
        self.gateway
            .store
            .read(move |tx| {
                at_once(async {
                    let rows = tx.rows(sql, &[]).await?;
                    rows.into_iter().map(|mut r| r.text()).collect()
                })
            })
            .await
            .unwrap()
    }

    async fn until(&self, what: &str, sql: &'static str, wanted: i64) {
        until(what, || async {
            (self.number(sql).await == wanted).then_some(())
        })
        .await;
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

const MESSAGES: &str = "SELECT COUNT(*) FROM messages";
const RAW: &str = "SELECT COUNT(*) FROM raw_events WHERE what = 'mail that cannot be read'";

fn letter(number: u32, body: &str) -> Vec<u8> {
    let head = format!("From: customer{number}@example.org\r\nMessage-ID: <{number}@example.org>");
    format!("{head}\r\n\r\n{body}\r\n").into_bytes()
}

fn server() -> Dovecot {
    Dovecot::start(&[(USER, PASSWORD)])
}

#[tokio::test]
async fn mails_come_in_order_over_every_protection_and_are_kept() {
    for security in [Security::Plain, Security::StartTls, Security::Implicit] {
        let server = server();
        for number in 0..120 {
            server.deliver(USER, &letter(number, &format!("body {number}")));
        }
        let bench = Bench::of(mailbox(&server, security)).await;
        bench.read();
        bench.until("all mails", MESSAGES, 120).await;
        let texts = bench.texts("SELECT text FROM messages ORDER BY id").await;
        let wanted: Vec<String> = (0..120).map(|n| format!("body {n}")).collect();
        assert_eq!(texts, wanted, "{security:?}");
        // While it idles, a new one is noticed.
        server.deliver(USER, &letter(500, "later"));
        bench.until("the new mail", MESSAGES, 121).await;
        let facts = bench
            .texts("SELECT payload FROM messages ORDER BY id DESC LIMIT 1")
            .await;
        let facts: serde_json::Value = serde_json::from_str(&facts[0]).unwrap();
        assert_eq!(facts[headers::MAILBOX], "INBOX");
        assert_eq!(facts[headers::TRUNCATED], "");
        let came: i64 = facts[headers::INTERNAL_DATE]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let age = crate::store::now().since(Millis(came));
        assert!((-5_000..600_000).contains(&age), "{age}");
        let key = facts[headers::KEPT].as_str().unwrap();
        let kept = bench.gateway.mails.kept(key).await.unwrap().unwrap();
        assert_eq!(kept, letter(500, "later"));
        assert_eq!(bench.number("SELECT COUNT(*) FROM kept_mails").await, 121);
        until("the marks", || async {
            let flags = server.flags(USER);
            (flags.len() == 121 && flags.iter().all(|f| f == "S")).then_some(())
        })
        .await;
        bench.end().await;
    }
}

#[tokio::test]
async fn what_was_there_before_is_not_ours_unless_it_is_asked_for() {
    let server = server();
    server.deliver(USER, &letter(1, "old"));
    let bench = Bench::of(Mailbox {
        start_from: StartFrom::Now,
        after: After::Nothing,
        ..mailbox(&server, Security::Plain)
    })
    .await;
    bench.read();
    let looked = "SELECT COUNT(*) FROM mailboxes WHERE looked_at > 0";
    bench.until("a look", looked, 1).await;
    server.deliver(USER, &letter(2, "new"));
    bench.until("the new mail", MESSAGES, 1).await;
    assert_eq!(bench.texts("SELECT text FROM messages").await, ["new"]);
    assert_eq!(server.flags(USER), ["", ""]);
    bench.end().await;
}

#[tokio::test]
async fn a_mail_that_breaks_its_parser_is_kept_and_passed_by() {
    let server = server();
    server.deliver(USER, &letter(1, "before"));
    server.deliver(USER, &letter(2, "panic, please"));
    server.deliver(USER, b"no mail at all");
    server.deliver(USER, b"");
    server.deliver(USER, &letter(3, "after"));
    let bench = Bench::of(mailbox(&server, Security::Plain)).await;
    bench.read();
    bench.until("the good ones", MESSAGES, 2).await;
    assert_eq!(bench.number(RAW).await, 3);
    let raw = bench
        .texts("SELECT body FROM raw_events ORDER BY id LIMIT 1")
        .await;
    let raw: serde_json::Value = serde_json::from_str(&raw[0]).unwrap();
    let kept = bench
        .gateway
        .mails
        .kept(raw["kept"].as_str().unwrap())
        .await;
    assert_eq!(kept.unwrap().unwrap(), letter(2, "panic, please"));
    bench.end().await;
}

#[tokio::test]
async fn of_a_mail_that_is_too_large_the_head_is_fetched_alone() {
    let server = server();
    let body = "x".repeat(70_000);
    server.deliver(USER, &letter(1, &body));
    server.deliver(USER, &letter(2, "small"));
    let bench = Bench::of(Mailbox {
        max_message_bytes: 64 * 1024,
        ..mailbox(&server, Security::Plain)
    })
    .await;
    bench.read();
    bench.until("both", MESSAGES, 2).await;
    assert_eq!(
        bench.texts("SELECT text FROM messages ORDER BY id").await,
        ["", "small"]
    );
    let facts = bench
        .texts("SELECT payload FROM messages ORDER BY id LIMIT 1")
        .await;
    let facts: serde_json::Value = serde_json::from_str(&facts[0]).unwrap();
    let size: usize = facts[headers::TRUNCATED].as_str().unwrap().parse().unwrap();
    assert!(size > 70_000, "{size}");
    bench.end().await;
}

#[tokio::test]
async fn moved_mails_go_to_their_folder_after_the_commit() {
    let server = server();
    server.make_folder(USER, "Done");
    let bench = Bench::of(Mailbox {
        after: After::Move("Done".to_owned()),
        ..mailbox(&server, Security::Plain)
    })
    .await;
    bench.read();
    for number in 0..3 {
        server.deliver(USER, &letter(number, "x"));
    }
    until("the move", || async {
        (server.flags_of(USER, "Done").len() == 3 && server.flags(USER).is_empty()).then_some(())
    })
    .await;
    bench.until("the messages", MESSAGES, 3).await;
    bench.end().await;
}

#[tokio::test]
async fn two_readers_of_one_mailbox_take_turns() {
    let server = server();
    let bench = Bench::of(mailbox(&server, Security::Plain)).await;
    bench.read();
    bench.read();
    for number in 0..200 {
        server.deliver(USER, &letter(number, "x"));
    }
    bench.until("the mails", MESSAGES, 200).await;
    // One has it; the other may not.
    let held = "SELECT COUNT(*) FROM mailboxes WHERE lease_until > 0 AND fence = 1";
    assert_eq!(bench.number(held).await, 1);
    bench.end().await;
}

#[tokio::test]
async fn new_numbers_bring_nothing_twice() {
    let server = server();
    for number in 0..5 {
        server.deliver(USER, &letter(number, "x"));
    }
    let bench = Bench::of(mailbox(&server, Security::Plain)).await;
    bench.read();
    bench.until("the mails", MESSAGES, 5).await;
    server.renumber(USER);
    server.deliver(USER, &letter(5, "x"));
    bench.until("the new one", MESSAGES, 6).await;
    bench
        .until(
            "the new numbers",
            "SELECT uid_validity FROM mailboxes",
            1_234_567,
        )
        .await;
    bench
        .until("the end", "SELECT last_uid FROM mailboxes", 6)
        .await;
    assert_eq!(bench.number(MESSAGES).await, 6);
    bench.end().await;
}

#[tokio::test]
async fn a_refused_login_pauses_the_channel_and_a_resumed_one_reads_on() {
    let server = Dovecot::start(&[(USER, "another")]);
    let bench = Bench::of(mailbox(&server, Security::Plain)).await;
    bench.read();
    let paused = "SELECT COUNT(*) FROM paused_lanes WHERE lane = 'toy' AND reason = 'credentials'";
    bench.until("the pause", paused, 1).await;
    server.set_users(&[(USER, PASSWORD)]);
    server.deliver(USER, &letter(1, "x"));
    let lane = bench.gateway.channel("toy").unwrap().lane.clone();
    assert!(bench.gateway.resume(&lane).await.unwrap());
    bench.until("the mail", MESSAGES, 1).await;
    bench.end().await;
}
