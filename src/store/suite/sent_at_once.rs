//! Sets of sends beside whatever else is written at the same moment.

use super::concurrent::{doors, everywhere};
use super::sent_sets::accepted;
use super::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What is looked up for all of a set may be another thing once one of them is accepted.
#[tokio::test]
async fn two_who_turn_out_to_be_one_are_one_for_whatever_follows() {
    let to = |id: &str, number: Option<&str>| AcceptSend {
        channel: phone("phone", "whatsapp"),
        target: Target::Recipient(Recipient {
            phone: number.map(str::to_owned),
            ..recipient(id)
        }),
        ..send_to(id, 1)
    };
    let mut ways = Vec::new();
    for together in [false, true] {
        let bench = Bench::open().await;
        bench.accept(&to("ann", None)).await;
        bench.accept(&to("bob", Some("+49301"))).await;
        let sends = vec![
            to("bob", None),
            to("ann", None),
            to("ann", Some("+49301")),
            to("bob", None),
            to("bob", None),
        ];
        let done = accepted(&bench, together, sends).await;
        let conversations = done.into_iter().map(|(accepted, _)| match accepted {
            Accepted::New { conversation, .. } => conversation.0,
            other => panic!("{other:?} instead of a new message"),
        });
        ways.push(conversations.collect::<Vec<_>>());
    }
    assert_eq!(ways, [[2, 1, 1, 1, 1], [2, 1, 1, 1, 1]]);
}

/// Delivers what waits in a conversation, from one end to the other; the messages in their order.
async fn drained(door: Arc<Store>, conversation: ConversationId) -> Vec<MessageId> {
    let begin = begin_at(conversation, 1);
    let mut sent = Vec::new();
    let mut begun = door.begin(begin).await.unwrap().0;
    while let Begun::Deliver(job) = begun {
        sent.push(job.part.message);
        let taken = Taken {
            next: Some(begin),
            ..receipt(&job, &format!("p{}", job.part.message))
        };
        begun = door.taken(Arc::new(taken)).await.unwrap().0.next;
    }
    assert!(matches!(begun, Begun::Nothing), "{begun:?}");
    sent
}

#[tokio::test]
async fn what_is_sent_at_every_door_goes_out_once_and_in_its_order() {
    let bench = Bench::open().await;
    let doors = doors(&bench).await;
    for person in ["person-0", "person-2", "person-4"] {
        bench.accept(&send_to(person, 1)).await;
    }
    let sends = everywhere(&doors, 60, |door, n| async move {
        let send = send_to(&format!("person-{}", n % 6), 1);
        door.accept(send).await.unwrap().0
    });
    let fresh = |accepted: &Accepted| matches!(accepted, Accepted::New { .. });
    assert!(sends.await.iter().all(fresh));
    let wrong =
        "SELECT COUNT(*) FROM (SELECT conversation_id FROM messages GROUP BY conversation_id
        HAVING COUNT(DISTINCT seq) <> COUNT(*) OR MAX(seq) <> COUNT(*)) x";
    assert_eq!(bench.number(wrong).await, 0);
    let ids = "SELECT CAST(id AS TEXT) FROM conversations ORDER BY id";
    let mut workers = JoinSet::new();
    for (n, id) in bench.texts(ids).await.iter().enumerate() {
        let door = Arc::clone(&doors[n % doors.len()]);
        workers.spawn(drained(door, ConversationId(id.parse().unwrap())));
    }
    let sent = workers.join_all().await;
    assert_eq!(sent.len(), 6);
    assert!(sent.iter().all(|messages| messages.is_sorted()));
    assert_eq!(sent.concat().len(), 3 + 60 * doors.len());
    let left = "SELECT COUNT(*) FROM messages WHERE open OR status <> 'sent'";
    assert_eq!(bench.number(left).await, 0);
    let attempts = "SELECT COUNT(*) FROM attempts";
    assert_eq!(bench.number(attempts).await, 3 + 60 * 3);
    // Of each message its acceptance and its receipt, and three beginnings of conversations.
    let told = bench.news().await;
    let of = |name: &str| told.iter().filter(|t| *t == name).count();
    assert_eq!(of("message-sent"), 3 + 60 * 3);
    assert_eq!(of("message-status-updated"), 3 + 60 * 3);
    assert_eq!(of("new-conversation-created"), 6);
}

/// Messages that come and messages that are sent hold people before conversations, and both in the order of
/// their ids: also where the later person has the earlier conversation.
#[tokio::test]
async fn what_comes_and_what_is_sent_to_the_same_people_do_not_wait_in_a_circle() {
    const PEOPLE: usize = 4;
    // Of nobody before: the server counts circles for as long as a database stands.
    let database = PostgresServer::shared().database();
    let bench = Bench::at(Own(Some(database)), vec![receiver("backend", &[])]).await;
    let sessions = "SELECT COUNT(*) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend'";
    let own = bench.number(sessions).await;
    let doors = doors(&bench).await;
    let channel = |id: &str| phone(id, "whatsapp");
    let came = |channel: ChannelInfo, people: Vec<usize>, turn: String| {
        let wrote = |n: usize| wrote(&format!("person-{n}"), &format!("m-{turn}-{n}"));
        let events = people.into_iter().map(wrote).collect();
        let effects = Vec::new();
        Arc::from([InboundBatch {
            channel,
            events,
            effects,
        }])
    };
    let one_way: Vec<usize> = (0..PEOPLE).collect();
    let other_way: Vec<usize> = (0..PEOPLE).rev().collect();
    // Known in one order, and begun to write to the second number in the other.
    for (id, people) in [("first", &one_way), ("second", &other_way)] {
        let webhook = came(channel(id), people.clone(), id.to_owned());
        doors[0].take_in(webhook).await.unwrap();
    }
    let everybody = everywhere(&doors, 80, |door, n| {
        let (one_way, second) = (one_way.clone(), channel("second"));
        let webhook = came(
            second.clone(),
            one_way,
            format!("{n}-{:p}", Arc::as_ptr(&door)),
        );
        async move {
            let sends = (0..PEOPLE).map(|person| AcceptSend {
                channel: second.clone(),
                ..send_to(&format!("person-{person}"), 1)
            });
            let sends = sends.map(|send| door.accept(send));
            let sends = futures_util::future::join_all(sends);
            let (came, sent) = tokio::join!(door.take_in(webhook), sends);
            came.unwrap();
            sent.into_iter().all(|sent| sent.is_ok())
        }
    });
    assert!(everybody.await.iter().all(|all_sent| *all_sent));
    // Sessions tell the server what they met when they end.
    drop(doors);
    let ended = async {
        while bench.number(sessions).await > own {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended)
        .await
        .expect("the sessions of dropped stores end");
    let met = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(bench.number(met).await, 0);
}
