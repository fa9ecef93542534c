//! Mail threads: the right conversation, for the right people, and answers that stand in it for good.

use super::*;
use switchboard_channels::model::{MailThread, ThreadClue};

const WEEK_MS: i64 = 7 * DAY_MS;

fn mailbox() -> ChannelInfo {
    ChannelInfo {
        id: "support".to_owned(),
        kind: "email",
        source: "em",
        identity: IdentityScope::Email,
        window_hours: None,
    }
}

/// A mail of somebody, with clues; its subject is its title.
fn mail(from: &str, id: &str, title: &str, clues: Vec<ThreadClue>) -> Event {
    let mut event = wrote(from, id);
    if let Some(sender) = &mut event.sender {
        sender.email = Some(from.to_owned());
    }
    if let Some(thread) = &mut event.thread {
        thread.key = Some(format!("{id} 1"));
        thread.title = Some(title.to_owned());
        thread.clues = clues;
    }
    with(event, |m| m.distinct_id = Some(format!("{id} 1")))
}

fn answers(id: &str) -> ThreadClue {
    ThreadClue::Message {
        platform_id: id.to_owned(),
    }
}

impl Bench {
    async fn mailed(&self, event: Event) -> Fate {
        let fates = self.came_to(&mailbox(), vec![event]).await;
        assert_eq!(fates.len(), 1);
        fates[0]
    }

    /// The conversation of each message, in order.
    async fn conversations_of_messages(&self) -> Vec<i64> {
        self.texts("SELECT CAST(conversation_id AS TEXT) FROM messages ORDER BY id")
            .await
            .iter()
            .map(|t| t.parse().unwrap())
            .collect()
    }

    /// The thread of each part, in order.
    async fn threads(&self) -> Vec<MailThread> {
        let bodies = self
            .texts("SELECT body FROM parts ORDER BY message_id, idx")
            .await;
        let part = |b: &String| serde_json::from_str::<Part>(b).unwrap();
        bodies.iter().map(|b| part(b).thread.unwrap()).collect()
    }
}

fn reply_in(conversation: i64) -> AcceptSend {
    AcceptSend {
        channel: mailbox(),
        target: Target::Conversation(ConversationId(conversation)),
        parts: vec![part("ann@a.example", 0, 1)],
        ..send_to("ann@a.example", 1)
    }
}

#[tokio::test]
async fn a_mail_continues_what_it_answers_and_nothing_else() {
    let bench = Bench::open().await;
    bench
        .mailed(mail("ann@a.example", "m1@a", "Order", vec![]))
        .await;
    bench
        .mailed(mail("ann@a.example", "m2@a", "Other", vec![]))
        .await;
    let clues = vec![answers("gone@x"), answers("m1@a"), answers("m2@a")];
    bench
        .mailed(mail("ann@a.example", "m3@a", "Re: Order", clues))
        .await;
    let unknown = vec![answers("gone@x")];
    bench
        .mailed(mail("ann@a.example", "m4@a", "Re: Order", unknown))
        .await;
    assert_eq!(bench.conversations_of_messages().await, [1, 2, 1, 3]);
}

#[tokio::test]
async fn a_stranger_with_an_id_or_a_token_begins_a_conversation_of_their_own() {
    let bench = Bench::open().await;
    bench
        .mailed(mail("ann@a.example", "m1@a", "Order", vec![]))
        .await;
    let conversation = ThreadClue::Conversation {
        id: ConversationId(1),
    };
    let clues = vec![conversation.clone(), answers("m1@a")];
    bench
        .mailed(mail("eve@e.example", "e1@e", "Re: Order", clues))
        .await;
    assert_eq!(bench.conversations_of_messages().await, [1, 2]);
    // The same token in Ann's own mail leads home, and so does it in a mail of whom she wrote to.
    let mut own = mail(
        "ann@a.example",
        "m2@a",
        "Re: Order",
        vec![conversation.clone()],
    );
    own.thread.as_mut().unwrap().people = vec!["Bob@B.example".to_owned()];
    bench.mailed(own).await;
    bench
        .mailed(mail(
            "bob@b.example",
            "b1@b",
            "Re: Order",
            vec![conversation],
        ))
        .await;
    assert_eq!(bench.conversations_of_messages().await, [1, 2, 1, 1]);
    let authors = "SELECT COUNT(DISTINCT user_id) FROM messages WHERE conversation_id = 1";
    assert_eq!(bench.number(authors).await, 2);
}

#[tokio::test]
async fn clues_lead_to_live_conversations_of_the_channel() {
    let bench = Bench::open().await;
    bench
        .mailed(mail("ann@a.example", "m1@a", "Order", vec![]))
        .await;
    let other = ChannelInfo {
        id: "sales".to_owned(),
        ..mailbox()
    };
    let there = mail("ann@a.example", "m2@a", "Re: Order", vec![answers("m1@a")]);
    bench.came_to(&other, vec![there]).await;
    bench
        .meddle("UPDATE conversations SET thread_live = FALSE WHERE id = 1")
        .await;
    bench
        .mailed(mail(
            "ann@a.example",
            "m3@a",
            "Re: Order",
            vec![answers("m1@a")],
        ))
        .await;
    assert_eq!(bench.conversations_of_messages().await, [1, 2, 3]);
}

#[tokio::test]
async fn the_same_title_within_a_week_is_the_same_matter() {
    let bench = Bench::open().await;
    let recent = |title: &str| {
        vec![ThreadClue::Recent {
            title: title.to_owned(),
            within_ms: WEEK_MS,
        }]
    };
    bench
        .mailed(mail("ann@a.example", "m1@a", "My  Order", vec![]))
        .await;
    bench.pass(WEEK_MS - 1);
    bench
        .mailed(mail(
            "ann@a.example",
            "m2@a",
            "Re: my order",
            recent("my order"),
        ))
        .await;
    bench
        .mailed(mail(
            "bob@b.example",
            "b1@b",
            "Re: my order",
            recent("my order"),
        ))
        .await;
    bench.pass(WEEK_MS + 1);
    bench
        .mailed(mail(
            "ann@a.example",
            "m3@a",
            "Re: my order",
            recent("my order"),
        ))
        .await;
    bench
        .mailed(mail("ann@a.example", "m4@a", "", recent("")))
        .await;
    assert_eq!(bench.conversations_of_messages().await, [1, 1, 2, 3, 4]);
}

#[tokio::test]
async fn one_id_with_two_contents_is_two_messages() {
    let bench = Bench::open().await;
    bench
        .mailed(mail("ann@a.example", "m1@a", "Order", vec![]))
        .await;
    let mut hostile = with(mail("eve@e.example", "m1@a", "Order", vec![]), |m| {
        m.distinct_id = Some("m1@a 2".to_owned());
    });
    hostile.key = "another".to_owned();
    hostile.thread.as_mut().unwrap().key = Some("m1@a 2".to_owned());
    assert_eq!(bench.mailed(hostile.clone()).await, Fate::Applied);
    assert_eq!(bench.conversations_of_messages().await, [1, 2]);
    // Both are known for good, also when the keys are forgotten.
    bench.meddle("DELETE FROM dedup_keys").await;
    assert_eq!(bench.mailed(hostile).await, Fate::Duplicate);
    let first = mail("ann@a.example", "m1@a", "Order", vec![]);
    assert_eq!(bench.mailed(first).await, Fate::Duplicate);
}

#[tokio::test]
async fn machines_open_nothing_and_are_not_answered() {
    let bench = Bench::open().await;
    bench
        .mailed(mail("ann@a.example", "m1@a", "Order", vec![]))
        .await;
    bench
        .meddle("UPDATE conversations SET status_code = 3")
        .await;
    bench.news().await;
    let mut away = mail("ann@a.example", "m2@a", "Away", vec![answers("m1@a")]);
    away.thread.as_mut().unwrap().address = "no-reply@a.example".to_owned();
    bench.mailed(with(away, |m| m.automatic = true)).await;
    assert_eq!(bench.news().await, ["message-sent"]);
    let conversation = bench.conversation(ConversationId(1)).await.unwrap();
    assert_eq!(conversation.status_code, 3);
    assert_eq!(conversation.address, "ann@a.example");
    bench
        .mailed(mail("ann@a.example", "m3@a", "Re", vec![answers("m1@a")]))
        .await;
    let told = bench.news().await;
    assert!(
        told.contains(&"conversation-status-updated".to_owned()),
        "{told:?}"
    );
    assert!(told.contains(&"new-messages".to_owned()), "{told:?}");
}

#[tokio::test]
async fn an_answer_stands_where_it_stood_when_it_was_accepted() {
    let bench = Bench::open().await;
    let first = with(mail("ann@a.example", "m1@a", "Order", vec![]), |m| {
        m.facts = vec![("references".to_owned(), "r1@a r2@a".to_owned())];
    });
    bench.mailed(first).await;
    let send = reply_in(1);
    bench
        .unit(move |tx, unit| at_once(sends::accept(tx, unit, &send)))
        .await;
    bench
        .mailed(mail(
            "ann@a.example",
            "m2@a",
            "Re: Order",
            vec![answers("m1@a")],
        ))
        .await;
    let send = reply_in(1);
    bench
        .unit(move |tx, unit| at_once(sends::accept(tx, unit, &send)))
        .await;
    let threads = bench.threads().await;
    let expected = |id: &str, references: &[&str]| MailThread {
        conversation: ConversationId(1),
        at: Millis(T0),
        subject: "Order".to_owned(),
        in_reply_to: Some(id.to_owned()),
        references: references.iter().map(|r| (*r).to_owned()).collect(),
    };
    assert_eq!(
        threads,
        [
            expected("m1@a", &["r1@a", "r2@a", "m1@a"]),
            expected("m2@a", &["m2@a"])
        ]
    );
}

#[tokio::test]
async fn a_mail_of_ours_that_begins_a_thread_gives_it_its_title_and_its_people() {
    let bench = Bench::open().await;
    let mut send = reply_in(0);
    send.target = Target::Recipient(Recipient {
        email: Some("ann@a.example".to_owned()),
        ..recipient("ann@a.example")
    });
    let mut planned: Part =
        serde_json::from_str(&part("ann@a.example, bob@b.example", 0, 1)).unwrap();
    planned.mail.subject = Some("Re: Invoice 7".to_owned());
    send.parts = vec![serde_json::to_string(&planned).unwrap()];
    bench
        .unit(move |tx, unit| at_once(sends::accept(tx, unit, &send)))
        .await;
    let conversation = bench.conversation(ConversationId(1)).await.unwrap();
    assert_eq!(conversation.title, "Invoice 7");
    let thread = &bench.threads().await[0];
    assert_eq!(
        (thread.in_reply_to.as_deref(), thread.subject.as_str()),
        (None, "Invoice 7")
    );
    // Bob answers; the id of our mail tells which of ours it was, sent or not.
    let sent = vec![ThreadClue::Sent {
        message: MessageId(1),
    }];
    bench
        .mailed(mail("bob@b.example", "b1@b", "Re: Invoice 7", sent))
        .await;
    assert_eq!(bench.conversations_of_messages().await, [1, 1]);
}

#[tokio::test]
async fn whoever_is_erased_takes_part_no_more() {
    let bench = Bench::open().await;
    let mut first = mail("ann@a.example", "m1@a", "Order", vec![]);
    first.thread.as_mut().unwrap().people = vec!["bob@b.example".to_owned()];
    bench.mailed(first).await;
    bench
        .mailed(mail(
            "bob@b.example",
            "b1@b",
            "Re: Order",
            vec![answers("m1@a")],
        ))
        .await;
    let bob = UserId(bench.number("SELECT MAX(id) FROM users").await);
    bench
        .unit(move |tx, unit| at_once(crate::store::users::delete(tx, unit, bob)))
        .await;
    let left = bench.texts("SELECT address FROM participants").await;
    assert_eq!(left, ["ann@a.example"]);
}
