//! Mail, with a real mailbox server and a submission server that does as it is told.

#![allow(
    clippy::print_stderr,
    reason = "figures for whoever measures; they judge nothing"
)]

use super::*;
use crate::failures::rig::Rig;
use crate::word;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use switchboard_testkit::servers::dovecot::Dovecot;
use switchboard_testkit::servers::smtp::{Act, At, CA, PASSWORD, Protection, SmtpServer};
use switchboard_testkit::{Setup, World, until, until_within};

/// The password of the mailbox.
const SECRET: &str = "mailbox-secret-0815";
/// Long enough for thousands of mails on a busy machine.
const LONG: Duration = Duration::from_secs(240);

/// A world with the channel `mail` between these two servers.
fn mail_world(smtp: &SmtpServer, imap_url: Option<&str>, more: Value) -> Setup {
    let mut keys = json!({
        "smtp_url": smtp.url(), "address": "support@example.net", "name": "Support",
        "imap_poll_secs": 1,
    });
    if let Some(url) = imap_url {
        keys["imap_url"] = json!(url);
    }
    for (name, value) in more.as_object().unwrap() {
        keys[name] = value.clone();
    }
    let setup = world()
        .set("sandbox.enabled", json!(false))
        .set("mail", json!({"trusted_ca": CA}))
        .bare_channel("mail", "email", keys);
    setup.secret(SECRET).secret(PASSWORD)
}

fn letter(number: usize) -> Vec<u8> {
    let sender = number % 40;
    format!(
        "From: Customer {sender} <customer{sender}@example.org>\r\nTo: support@example.net\r\n\
         Subject: Case {number}\r\nMessage-ID: <letter-{number}@example.org>\r\n\
         Date: Fri, 27 Nov 2026 10:00:00 +0000\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nLetter number {number}.\r\n"
    )
    .into_bytes()
}

/// Stands before a server and hangs up in the middle of what it says: on the first connections, after
/// so many bytes.
struct Fuse {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Fuse {
    fn start(server: SocketAddr, blows: usize, after: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&connections);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let number = seen.fetch_add(1, Ordering::SeqCst);
                let limit = if number < blows { after } else { usize::MAX };
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                let (up_in, up_out) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || carry(up_in, up_out, usize::MAX));
                std::thread::spawn(move || carry(server, client, limit));
            }
        });
        Self {
            address,
            connections,
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, mut limit: usize) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        if n >= limit || to.write_all(&bytes[..n]).is_err() {
            break;
        }
        limit -= n;
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}

fn database(world: &World) -> rusqlite::Connection {
    let file = world.folder().join("data/switchboard.db");
    rusqlite::Connection::open(file).unwrap()
}

fn count(db: &rusqlite::Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Mails taken since this process began.
async fn taken(world: &World) -> f64 {
    let name = "switchboard_inbound_events_total{channel=\"mail\",event=\"message\"}";
    world.metric(name).await
}

/// Asks for a look, and waits until the mailbox was read to its end.
async fn pipe(world: &World) {
    let answer = world
        .api("email-piping", json!({"force": true, "wait": 120}))
        .await;
    assert_eq!(answer.expect(200).response(), &json!(true));
}

async fn came(world: &World, text: &str) -> Value {
    let what = format!("{text:?} to come");
    until(&what, || async {
        let news = world.backend().named("message-sent");
        let found = news.iter().find(|d| d.word("message").contains(text));
        found.map(|d| d.data.clone())
    })
    .await
}

#[tokio::test]
async fn five_thousand_mails_become_one_message_each_though_the_process_is_killed_ten_times() {
    const MAILS: usize = 5000;
    const KILLS: usize = 10;
    let smtp = SmtpServer::start(Protection::None);
    let imap = Dovecot::start(&[("support", SECRET)]);
    for number in 0..MAILS {
        imap.deliver("support", &letter(number));
    }
    let url = imap.url("support", SECRET);
    let world = mail_world(&smtp, Some(&url), json!({"start_from": "days:2"}))
        .hook_events(&["channel-paused"])
        .start()
        .await;
    for kill in 0..KILLS {
        // Somewhere within a batch of its own each time: after so many mails of this process.
        let some = 120.0 + 31.0 * kill as f64;
        until_within(LONG, "some mails", || async {
            (taken(&world).await >= some).then_some(())
        })
        .await;
        world.kill();
        world.restart().await;
    }
    until_within(LONG, "the last mail", || async {
        let answer = world
            .api("email-piping", json!({"force": true, "wait": 0}))
            .await;
        answer.expect(202);
        let db = database(&world);
        (count(&db, "SELECT last_uid FROM mailboxes") == MAILS as i64).then_some(())
    })
    .await;
    world.signal("TERM");
    assert!(world.wait_end().success());
    let db = database(&world);
    let all = count(
        &db,
        "SELECT COUNT(*) FROM messages WHERE text LIKE 'Letter number%'",
    );
    let distinct = count(&db, "SELECT COUNT(DISTINCT text) FROM messages");
    assert_eq!((all, distinct), (MAILS as i64, MAILS as i64));
    let broken = count(&db, "SELECT COUNT(*) FROM raw_events");
    assert_eq!(broken, 0);
    // In the order of the mailbox, within each conversation and over all.
    let swapped = count(
        &db,
        "SELECT COUNT(*) FROM messages a JOIN messages b ON b.id = a.id + 1
         WHERE CAST(SUBSTR(a.text, 15) AS INTEGER) > CAST(SUBSTR(b.text, 15) AS INTEGER)",
    );
    assert_eq!(swapped, 0);
}

/// Mails taken by a process since it began.
async fn taken_by(world: &World, name: &str) -> usize {
    let url = format!("{}/metrics", world.root_of(name));
    let metrics = world.send(world.client().get(url)).await.text().to_owned();
    let name = "switchboard_inbound_events_total{channel=\"mail\",event=\"message\"} ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn of_two_processes_one_reads_a_mailbox_and_the_other_goes_on_when_it_is_killed() {
    /// Mails of a round: more than are taken together, so that a reader is killed in the middle of them.
    const ROUND: usize = 400;
    const KILLS: usize = 3;
    const SOME: usize = 60;
    let smtp = SmtpServer::start(Protection::None);
    let imap = Dovecot::start(&[("support", SECRET)]);
    let mut delivered = 0;
    let mut deliver = || {
        for number in delivered..delivered + ROUND {
            imap.deliver("support", &letter(number));
        }
        delivered += ROUND;
        delivered
    };
    deliver();
    let url = imap.url("support", SECRET);
    let setup = mail_world(&smtp, Some(&url), json!({"start_from": "days:2"}));
    let rig = Rig::start(setup.hook_events(&["channel-paused"])).await;
    let world = &rig.world;
    let (mut reads, mut waits) = ("piping", "piping-2");
    world.join(reads, &["--role", "piping"]).await;
    until_within(LONG, "some mails", || async {
        (taken_by(world, reads).await >= SOME).then_some(())
    })
    .await;
    for _ in 0..KILLS {
        world.join(waits, &["--role", "piping"]).await;
        deliver();
        let before = taken_by(world, reads).await;
        until_within(LONG, "more of them", || async {
            (taken_by(world, reads).await >= before + SOME).then_some(())
        })
        .await;
        assert_eq!(taken_by(world, waits).await, 0, "one reads at a time");
        world.kill_of(reads);
        (reads, waits) = (waits, reads);
        until_within(LONG, "the other to go on", || async {
            (taken_by(world, reads).await >= SOME).then_some(())
        })
        .await;
    }
    let all = deliver();
    let read = "SELECT last_uid FROM mailboxes";
    until_within(LONG, "the last mail", || async {
        (rig.store.sql("switchboard", read) == all.to_string()).then_some(())
    })
    .await;
    let counted = "SELECT COUNT(*) || ' ' || COUNT(DISTINCT text) FROM messages
        WHERE text LIKE 'Letter number%'";
    assert_eq!(
        rig.store.sql("switchboard", counted),
        format!("{all} {all}")
    );
    assert_eq!(
        rig.store
            .sql("switchboard", "SELECT COUNT(*) FROM raw_events"),
        "0"
    );
    // In the order of the mailbox.
    let swapped = "SELECT COUNT(*) FROM (SELECT CAST(RTRIM(SUBSTR(text, 15), '.') AS BIGINT) AS n,
            LAG(CAST(RTRIM(SUBSTR(text, 15), '.') AS BIGINT)) OVER (ORDER BY id) AS before
        FROM messages WHERE text LIKE 'Letter number%') numbered WHERE before > n";
    assert_eq!(rig.store.sql("switchboard", swapped), "0");
}

#[tokio::test]
async fn a_mail_is_a_message_with_its_attachment_and_is_marked_only_afterwards() {
    let smtp = SmtpServer::start(Protection::None);
    let imap = Dovecot::start(&[("support", SECRET)]);
    imap.deliver("support", &letter(1)); // before the first start: not ours to answer
    let proxy_free = imap.url_at("imaps", imap.tls_address(), "support", SECRET);
    let world = mail_world(&smtp, Some(&proxy_free), json!({}))
        .start()
        .await;
    pipe(&world).await;
    assert_eq!(imap.flags("support"), [""]);
    imap.deliver(
        "support",
        b"From: =?utf-8?q?=C3=85sa?= <asa@example.se>\r\nTo: support@example.net\r\n\
          Subject: Faktura\r\nMessage-ID: <m1@example.se>\r\nMIME-Version: 1.0\r\n\
          Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
          Content-Type: text/plain; charset=utf-8\r\n\r\nHej!\r\n--b\r\n\
          Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\
          Content-Disposition: attachment; filename=faktura.pdf\r\n\r\nJVBERi0xLjQK\r\n--b--\r\n",
    );
    let message = came(&world, "Hej!").await;
    assert_eq!(message["conversation_source"], "em");
    let link = message["attachments"][0][1].as_str().unwrap().to_owned();
    let file = until("the attachment", || async {
        let answer = world.send(world.client().get(&link)).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(file.text(), "%PDF-1.4\n");
    until("the mark", || async {
        let mut flags = imap.flags("support");
        flags.sort();
        (flags == ["", "S"]).then_some(())
    })
    .await;
    // The answer goes back into the same thread.
    let conversation = word(&message, "conversation_id");
    let sent = world
        .api(
            "messaging-platforms-send-message",
            json!({"conversation_id": conversation, "message": "Tack, \u{e5}tta dagar."}),
        )
        .await;
    sent.expect(200);
    let mail = smtp.taken().pop().unwrap();
    assert_eq!(mail.to, ["asa@example.se"]);
    assert!(
        mail.message.contains("In-Reply-To: <m1@example.se>"),
        "{}",
        mail.message
    );
    world.backend().wait("email-sent", 1).await;
}

#[tokio::test]
async fn a_mailbox_that_is_numbered_anew_is_read_again_and_nothing_comes_twice() {
    let smtp = SmtpServer::start(Protection::None);
    let imap = Dovecot::start(&[("support", SECRET)]);
    for number in 0..7 {
        imap.deliver("support", &letter(number));
    }
    let url = imap.url("support", SECRET);
    let world = mail_world(&smtp, Some(&url), json!({"start_from": "days:2"}))
        .start()
        .await;
    came(&world, "Letter number 6.").await;
    imap.renumber("support");
    imap.deliver("support", &letter(7));
    came(&world, "Letter number 7.").await;
    // The server goes away and comes back under the same numbers.
    imap.stop();
    imap.deliver("support", &letter(8));
    imap.restart();
    came(&world, "Letter number 8.").await;
    pipe(&world).await;
    world.signal("TERM");
    assert!(world.wait_end().success());
    let db = database(&world);
    assert_eq!(count(&db, "SELECT COUNT(*) FROM messages"), 9);
    assert_eq!(count(&db, "SELECT uid_validity FROM mailboxes"), 1_234_567);
}

#[tokio::test]
async fn a_fetch_that_breaks_in_the_middle_is_done_again() {
    let smtp = SmtpServer::start(Protection::None);
    let imap = Dovecot::start(&[("support", SECRET)]);
    let fuse = Fuse::start(imap.address(), 3, 300_000);
    let url = imap.url_at("imap", fuse.address, "support", SECRET);
    let mut large = letter(1);
    large.extend("a line of the letter\r\n".repeat(100_000).into_bytes());
    imap.deliver("support", &large);
    let world = mail_world(&smtp, Some(&url), json!({"start_from": "days:2"}))
        .start()
        .await;
    came(&world, "Letter number 1.").await;
    pipe(&world).await;
    assert_eq!(world.backend().named("new-conversation-created").len(), 1);
    assert!(fuse.connections.load(Ordering::SeqCst) > 3);
}

#[tokio::test]
async fn a_wrong_password_pauses_the_channel_says_so_and_a_right_one_resumes_it() {
    let smtp = SmtpServer::start(Protection::None);
    let imap = Dovecot::start(&[("support", "another-password"), ("other", SECRET)]);
    let url = imap.url("support", SECRET);
    let setup = mail_world(&smtp, Some(&url), json!({}));
    let world = setup
        .bare_channel(
            "other",
            "email",
            json!({
                "smtp_url": smtp.url(), "imap_url": imap.url("other", SECRET),
                "address": "other@example.net",
            }),
        )
        .start()
        .await;
    world.announce_error("the lane is paused");
    let paused = world.backend().wait("channel-paused", 1).await;
    assert_eq!(paused[0].word("channel"), "mail");
    assert_eq!(paused[0].word("reason"), "credentials");
    assert!(paused[0].word("message").contains("refuses the login"));
    // The other mailbox hears all the while.
    imap.deliver("other", &letter(1));
    came(&world, "Letter number 1.").await;
    imap.set_users(&[("support", SECRET), ("other", SECRET)]);
    world
        .post("/admin/lanes/mail/resume", json!({}))
        .await
        .expect(200);
    let resumed = world.backend().wait("channel-resumed", 1).await;
    assert_eq!(resumed[0].word("channel"), "mail");
    until("the mailbox to be read", || async {
        let db = database(&world);
        let looked = "SELECT COUNT(*) FROM mailboxes WHERE channel_id = 'mail' AND looked_at > 0";
        (count(&db, looked) == 1).then_some(())
    })
    .await;
    imap.deliver("support", &letter(2));
    came(&world, "Letter number 2.").await;
}

#[tokio::test]
async fn mails_that_nobody_can_read_and_mails_that_are_too_large_leave_the_mailbox_moving() {
    let smtp = SmtpServer::start(Protection::None);
    let imap = Dovecot::start(&[("support", SECRET)]);
    imap.make_folder("support", "Done");
    let url = imap.url("support", SECRET);
    let more = json!({"imap_after": "move:Done", "imap_max_message_bytes": 65536});
    let world = mail_world(&smtp, Some(&url), more).start().await;
    pipe(&world).await;
    imap.deliver("support", b"");
    imap.deliver("support", b"\0\0\0 no mail at all \0");
    imap.deliver("support", &[0xff; 3000]);
    let mut large = letter(1);
    large.extend(vec![b'x'; 200_000]);
    imap.deliver("support", &large);
    imap.deliver("support", &letter(2));
    came(&world, "Letter number 2.").await;
    until("the mails to be moved", || async {
        (imap.flags("support").is_empty() && imap.flags_of("support", "Done").len() == 5)
            .then_some(())
    })
    .await;
}

async fn custom(world: &World, to: &str, more: Value) -> switchboard_testkit::Answer {
    let mut arguments = more;
    for (name, value) in [
        ("to", to),
        ("subject", "Your order"),
        ("message", "It is on its way."),
    ] {
        arguments[name] = json!(value);
    }
    world.api("send-custom-email", arguments).await
}

#[tokio::test]
async fn mails_to_users_and_to_addresses() {
    let smtp = SmtpServer::start(Protection::StartTls);
    let world = mail_world(&smtp, None, json!({})).start().await;
    let answer = custom(
        &world,
        "kund@example.org",
        json!({"sender_suffix": "Sales"}),
    )
    .await;
    assert_eq!(answer.expect(200).response(), &json!(true));
    let mail = smtp.taken().pop().unwrap();
    assert!(mail.secure);
    assert_eq!(mail.to, ["kund@example.org"]);
    assert!(
        mail.message.contains("Subject: Your order"),
        "{}",
        mail.message
    );
    assert!(mail.message.contains("Sales"), "{}", mail.message);
    assert!(
        mail.message.contains("It is on its way."),
        "{}",
        mail.message
    );
    let user = world
        .api(
            "add-user",
            json!({"first_name": "Ann", "email": "ann@example.org"}),
        )
        .await;
    let user = user.expect(200).response().to_string();
    let answer = world
        .api(
            "send-email",
            json!({"recipient_id": user, "message": "Hello Ann", "sender_id": "1"}),
        )
        .await;
    assert_eq!(answer.expect(200).response(), &json!(true));
    let mail = smtp.taken().pop().unwrap();
    assert_eq!(mail.to, ["ann@example.org"]);
    assert!(mail.message.contains("Hello Ann"), "{}", mail.message);
    let told = world.backend().wait("email-sent", 2).await;
    assert_eq!(told[1].word("recipient_id"), user);
    assert_eq!(told[1].word("message"), "Hello Ann");

    let nameless = world.api("add-user", json!({"first_name": "Bo"})).await;
    let nameless = nameless.expect(200).response().to_string();
    for (arguments, status, code) in [
        (
            json!({"recipient_id": nameless, "message": "x"}),
            404,
            "user-email-not-found",
        ),
        (
            json!({"recipient_id": "9999", "message": "x"}),
            404,
            "user-or-sender-not-found",
        ),
        (
            json!({"recipient_id": user, "message": "x", "sender_id": "9999"}),
            404,
            "user-or-sender-not-found",
        ),
        (json!({"message": "x"}), 400, "missing-user-id-or-message"),
        (
            json!({"recipient_id": user}),
            400,
            "missing-user-id-or-message",
        ),
    ] {
        let answer = world
            .api("send-email", arguments.clone())
            .await
            .expect(status);
        assert_eq!(answer.word("response"), code, "{arguments}");
    }
    let answer = custom(&world, "no address", json!({})).await;
    assert_eq!(answer.expect(400).word("response"), "invalid-argument");
}

#[tokio::test]
async fn what_the_server_says_decides() {
    let smtp = SmtpServer::start(Protection::None);
    let world = mail_world(&smtp, None, json!({})).start().await;
    let at = |name: &str| At::Recipient(format!("{name}@example.org"));
    // For good.
    smtp.always(at("nobody"), Act::say(550, "5.1.1 no such user"));
    let answer = custom(&world, "nobody@example.org", json!({}))
        .await
        .expect(422);
    assert_eq!(answer.word("response"), "recipient-unreachable");
    smtp.once(At::Dot, Act::say(554, "5.7.1 looks like spam"));
    let answer = custom(&world, "a@example.org", json!({})).await.expect(422);
    assert_eq!(answer.word("response"), "content-rejected");
    // For now: greylisting, a full disk, a server that closes.
    for (at, act) in [
        (at("grey"), Act::say(451, "4.7.1 greylisted, try again")),
        (at("grey"), Act::say(450, "4.2.0 busy")),
        (At::Sender, Act::say(452, "4.3.1 no room")),
        (At::Dot, Act::SayAndCut(421, "4.3.2 closing".to_owned())),
        (
            At::Connect,
            Act::SayAndCut(421, "4.3.2 too busy".to_owned()),
        ),
        (At::Sender, Act::Cut),
    ] {
        let before = smtp.taken().len();
        smtp.once(at, act);
        let answer = custom(&world, "grey@example.org", json!({"wait": 0}))
            .await
            .expect(202);
        let id = answer.word("message_id");
        // Greylisting is waited for as long as servers want it; an operator may be faster.
        let retried = until("the retry", || async {
            world.post("/admin/retry", json!({"ids": [id]})).await;
            let message = world.message(&id).await;
            (message["status"] == "sent").then_some(message)
        })
        .await;
        assert_eq!(smtp.taken().len(), before + 1, "{retried}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_unsure_and_the_second_try_is_the_same_mail() {
    let smtp = SmtpServer::start(Protection::None);
    let world = mail_world(&smtp, None, json!({})).start().await;
    smtp.once(At::Dot, Act::Cut);
    let answer = custom(&world, "a@example.org", json!({"wait": 0}))
        .await
        .expect(202);
    let message = world.message_when(&answer.word("message_id"), "sent").await;
    let mails = smtp.taken();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].message, mails[1].message);
    let outcomes = message["attempts"].to_string();
    assert!(outcomes.contains("unsure"), "{message}");
    assert_eq!(world.backend().wait("email-sent", 1).await.len(), 1);
}

#[tokio::test]
async fn nothing_is_told_where_starttls_was_taken_out_and_it_goes_when_it_is_back() {
    let smtp = SmtpServer::start(Protection::StartTls);
    smtp.strip_start_tls();
    let world = mail_world(&smtp, None, json!({})).start().await;
    let answer = custom(&world, "a@example.org", json!({"wait": 0}))
        .await
        .expect(202);
    until("a try", || async {
        smtp.commands()
            .iter()
            .any(|c| c.starts_with("EHLO"))
            .then_some(())
    })
    .await;
    let told: Vec<String> = smtp.commands();
    assert!(
        told.iter().all(|c| c.starts_with("EHLO") || c == "QUIT"),
        "{told:?}"
    );
    smtp.behave();
    world.message_when(&answer.word("message_id"), "sent").await;
    assert!(smtp.taken()[0].secure);
}
