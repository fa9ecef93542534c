//! The mailer against a server that does as it is told.

use super::*;
use bytes::Bytes;
use switchboard_channels::kit::secret::Secret;
use switchboard_testkit::servers::smtp::{Act, At, CA, PASSWORD, Protection, SmtpServer, USER};

/// Longer than anything here takes, shorter than a person waits.
const PATIENCE_MS: u64 = 20_000;
/// For servers that never answer.
const IMPATIENCE_MS: u64 = 700;

fn mailer() -> SmtpMailer {
    SmtpMailer::new(Connector::new(CA).unwrap())
}

fn server_of(server: &SmtpServer, security: Security) -> MailServer {
    MailServer {
        host: "localhost".to_owned(),
        port: server.address().port(),
        security,
        login: Some((USER.to_owned(), Secret::new(PASSWORD))),
    }
}

fn mail(server: &SmtpServer, security: Security, to: &[&str]) -> Submission {
    Submission {
        server: server_of(server, security),
        hello_name: "mail.example.net".to_owned(),
        from: "support@example.net".to_owned(),
        to: to.iter().map(|&a| a.to_owned()).collect(),
        message: Bytes::from_static(b"Subject: hello\r\n\r\n.dot\r\nlast line\r\n"),
        timeout_ms: PATIENCE_MS,
    }
}

fn plain(server: &SmtpServer) -> Submission {
    mail(server, Security::Plain, &["a@example.org"])
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_over_every_protection() {
    for (protection, security) in [
        (Protection::None, Security::Plain),
        (Protection::Implicit, Security::Implicit),
        (Protection::StartTls, Security::StartTls),
    ] {
        let server = SmtpServer::start(protection);
        let mut mail = mail(&server, security, &["a@example.org", "b@example.org"]);
        mail.message = Bytes::from("Subject: é\r\n\r\n.\r\n..\r\nno end".to_owned());
        let submitted = mailer().submit(mail).await.unwrap();
        assert_eq!(submitted.reply.code, 250);
        assert_eq!(submitted.refused, []);
        let taken = server.taken();
        assert_eq!(taken.len(), 1, "{protection:?}");
        assert_eq!(taken[0].from, "support@example.net");
        assert_eq!(taken[0].to, ["a@example.org", "b@example.org"]);
        assert_eq!(taken[0].message, "Subject: é\r\n\r\n.\r\n..\r\nno end\r\n");
        assert_eq!(taken[0].secure, protection != Protection::None);
        assert_eq!(taken[0].user.as_deref(), Some(USER));
    }
}

#[tokio::test]
async fn the_old_login_and_the_null_sender_work_too() {
    let server = SmtpServer::start(Protection::None);
    server.login_only();
    let mail = Submission {
        from: String::new(),
        ..plain(&server)
    };
    mailer().submit(mail).await.unwrap();
    assert_eq!(server.taken()[0].from, "");
    assert!(server.commands().iter().any(|c| c == "AUTH LOGIN"));
}

#[tokio::test]
async fn a_refusal_names_its_stage() {
    let stages = [
        (At::Connect, Stage::Greeting),
        (At::Hello, Stage::Hello),
        (At::Auth, Stage::Auth),
        (At::Sender, Stage::Sender),
        (At::Recipient("a@example.org".to_owned()), Stage::Recipient),
        (At::Data, Stage::Data),
        (At::Dot, Stage::Data),
    ];
    for (at, stage) in stages {
        for code in [421, 450, 451, 452, 550, 552, 554] {
            let server = SmtpServer::start(Protection::None);
            let act = if code == 421 {
                Act::SayAndCut(code, "4.3.2 not\n4.3.2 now".to_owned())
            } else {
                Act::say(code, "4.3.2 not\n4.3.2 now")
            };
            server.once(at.clone(), act);
            let mailer = mailer();
            let error = mailer.submit(plain(&server)).await.unwrap_err();
            let MailError::Refused {
                stage: found,
                reply,
                recipients,
            } = error
            else {
                panic!("{at:?} {code}: {error:?}");
            };
            assert_eq!((found, reply.code), (stage, code), "{at:?}");
            assert_eq!(reply.text, "4.3.2 not now");
            assert_eq!(reply.enhanced(), Some((4, 3, 2)));
            // 421 ends the session, so nobody is told which recipients it would have refused.
            let named = usize::from(stage == Stage::Recipient && code != 421);
            assert_eq!(recipients.len(), named, "{at:?} {code}");
            assert_eq!(server.taken(), [], "{at:?} {code}");
            // The next one goes through: over the same connection where it is still good.
            mailer.submit(plain(&server)).await.unwrap();
            let kept = matches!(stage, Stage::Sender | Stage::Recipient | Stage::Data);
            let connections = if kept && code != 421 { 1 } else { 2 };
            assert_eq!(server.connections(), connections, "{at:?} {code}");
        }
    }
}

#[tokio::test]
async fn one_refused_recipient_hides_no_other() {
    let server = SmtpServer::start(Protection::None);
    let bad = |name: &str| At::Recipient(format!("{name}@example.org"));
    server.always(bad("b"), Act::say(550, "5.1.1 nobody"));
    server.always(bad("d"), Act::say(452, "4.2.2 full"));
    let to = ["a", "b", "c", "d"].map(|n| format!("{n}@example.org"));
    let to: Vec<&str> = to
        .iter()
        .map(String::as_str)
        .chain(["no address"])
        .collect();
    let mailer = mailer();
    let submitted = mailer
        .submit(mail(&server, Security::Plain, &to))
        .await
        .unwrap();
    assert_eq!(server.taken()[0].to, ["a@example.org", "c@example.org"]);
    let mut refused: Vec<(&str, u16)> = submitted
        .refused
        .iter()
        .map(|(address, reply)| (address.as_str(), reply.code))
        .collect();
    refused.sort_unstable();
    let wanted = [
        ("b@example.org", 550),
        ("d@example.org", 452),
        ("no address", 553),
    ];
    assert_eq!(refused, wanted);
    // And when nobody is left, nothing is sent.
    let all = mail(
        &server,
        Security::Plain,
        &["b@example.org", "d@example.org"],
    );
    let MailError::Refused {
        stage, recipients, ..
    } = mailer.submit(all).await.unwrap_err()
    else {
        panic!("not refused");
    };
    assert_eq!((stage, recipients.len()), (Stage::Recipient, 2));
    assert_eq!(server.taken().len(), 1);
}

#[tokio::test]
async fn where_starttls_is_stripped_nothing_is_told() {
    let server = SmtpServer::start(Protection::StartTls);
    server.strip_start_tls();
    let mail = mail(&server, Security::StartTls, &["a@example.org"]);
    let error = mailer().submit(mail).await.unwrap_err();
    assert!(matches!(error, MailError::NotSent(_)), "{error:?}");
    assert_eq!(server.commands().len(), 1, "{:?}", server.commands());
    assert!(server.commands()[0].starts_with("EHLO"));
}

#[tokio::test]
async fn a_certificate_of_nobody_we_trust_is_not_taken() {
    let server = SmtpServer::start(Protection::Implicit);
    let stranger = SmtpMailer::new(Connector::new("").unwrap());
    let mail = mail(&server, Security::Implicit, &["a@example.org"]);
    let error = stranger.submit(mail).await.unwrap_err();
    assert!(matches!(error, MailError::NotSent(_)), "{error:?}");
    assert_eq!(server.commands(), Vec::<String>::new());
}

#[tokio::test]
async fn silence_before_the_dot_is_not_sent_and_after_it_unsure() {
    for at in [
        At::Connect,
        At::Hello,
        At::Auth,
        At::Sender,
        At::Recipient("a@example.org".to_owned()),
        At::Data,
        At::Dot,
    ] {
        for act in [Act::Cut, Act::Stall] {
            let server = SmtpServer::start(Protection::None);
            server.once(at.clone(), act.clone());
            let mailer = mailer();
            let mut first = plain(&server);
            if act == Act::Stall {
                first.timeout_ms = IMPATIENCE_MS;
            }
            let error = mailer.submit(first).await.unwrap_err();
            let unsure = matches!(error, MailError::NoAnswer(_));
            let not_sent = matches!(error, MailError::NotSent(_));
            assert!(unsure || not_sent, "{at:?} {act:?}: {error:?}");
            assert_eq!(unsure, at == At::Dot, "{at:?} {act:?}: {error:?}");
            assert_eq!(server.taken().len(), usize::from(unsure), "{at:?} {act:?}");
            // The connection is not used again.
            mailer.submit(plain(&server)).await.unwrap();
            assert_eq!(server.connections(), 2, "{at:?} {act:?}");
            assert_eq!(server.taken().last().unwrap().connection, 2);
        }
    }
}

#[tokio::test]
async fn a_message_that_is_cut_in_the_middle_was_not_sent() {
    // More than fits into the buffers between us, so that writing it cannot end unread.
    let large: String = "x".repeat(78) + "\r\n";
    let large = Bytes::from(large.repeat(400_000));
    for act in [Act::Cut, Act::SayAndCut(552, "5.3.4 too large".to_owned())] {
        let server = SmtpServer::start(Protection::None);
        server.once(At::Content, act.clone());
        let mail = Submission {
            message: large.clone(),
            ..plain(&server)
        };
        match mailer().submit(mail).await.unwrap_err() {
            // Whether its last words are read depends on who is faster.
            MailError::NotSent(_) => {}
            MailError::Refused { stage, reply, .. } => {
                assert_eq!((stage, reply.code), (Stage::Data, 552));
            }
            MailError::NoAnswer(words) => panic!("{act:?}: {words}"),
        }
        assert_eq!(server.taken(), []);
    }
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let server = SmtpServer::start(Protection::None);
    let slow = Act::Slow(Duration::from_millis(300));
    server.always(At::Sender, slow.clone());
    server.always(At::Dot, slow);
    mailer().submit(plain(&server)).await.unwrap();
    assert_eq!(server.taken().len(), 1);
}

#[tokio::test]
async fn connections_are_kept_and_replaced_when_the_server_hangs_up() {
    let server = SmtpServer::start(Protection::None);
    let mailer = mailer();
    for _ in 0..3 {
        mailer.submit(plain(&server)).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
    // The server ends it while it idles: the next mail goes over a new one, unnoticed.
    server.once(At::Sender, Act::Cut);
    mailer.submit(plain(&server)).await.unwrap();
    server.once(At::Sender, Act::SayAndCut(421, "4.4.2 idle".to_owned()));
    mailer.submit(plain(&server)).await.unwrap();
    assert_eq!((server.connections(), server.taken().len()), (3, 5));
}

#[tokio::test]
async fn a_cancelled_transaction_takes_its_connection_with_it() {
    let server = SmtpServer::start(Protection::None);
    let mailer = Arc::new(mailer());
    mailer.submit(plain(&server)).await.unwrap();
    server.once(At::Dot, Act::Slow(Duration::from_millis(500)));
    let (cancelled, mail) = (Arc::clone(&mailer), plain(&server));
    let sending = tokio::spawn(async move { cancelled.submit(mail).await });
    switchboard_testkit::until("the mail to be taken", || async {
        (server.taken().len() == 2).then_some(())
    })
    .await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    // An answer that is one too late would make this one look sent.
    server.once(At::Dot, Act::say(554, "5.7.1 no"));
    let error = mailer.submit(plain(&server)).await.unwrap_err();
    assert!(matches!(error, MailError::Refused { .. }), "{error:?}");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn no_more_connections_than_allowed() {
    let server = SmtpServer::start(Protection::None);
    server.always(At::Dot, Act::Slow(Duration::from_millis(50)));
    let mailer = Arc::new(mailer());
    let sends = (0..20).map(|_| {
        let (mailer, mail) = (Arc::clone(&mailer), plain(&server));
        tokio::spawn(async move { mailer.submit(mail).await })
    });
    for send in sends.collect::<Vec<_>>() {
        send.await.unwrap().unwrap();
    }
    assert_eq!(server.taken().len(), 20);
    assert!(
        server.connections() <= CONNECTIONS,
        "{}",
        server.connections()
    );
    // And all of them are closed in the end.
    let stop = CancellationToken::new();
    stop.cancel();
    mailer.sweep(stop).await;
    switchboard_testkit::until("no connection", || async {
        (server.open() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_at_the_login() {
    let server = SmtpServer::start(Protection::None);
    let wrong = MailServer {
        login: Some((USER.to_owned(), Secret::new("another"))),
        ..server_of(&server, Security::Plain)
    };
    let mailer = mailer();
    let error = mailer.check(&wrong, Protocol::Smtp).await.unwrap_err();
    let MailError::Refused { stage, reply, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((stage, reply.code), (Stage::Auth, 535));
    let right = server_of(&server, Security::Plain);
    mailer.check(&right, Protocol::Smtp).await.unwrap();
}
