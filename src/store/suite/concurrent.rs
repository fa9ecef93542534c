//! Several processes on one database, at the same moment.

use super::*;
use crate::store::locks::{self, Name};
use crate::store::{upkeep, users};
use std::sync::Arc;
use switchboard_channels::kit::tokens::{Refresh, Tokens};
use switchboard_channels::model::DeliveryStatus;
use tokio::task::JoinSet;

/// Processes that write at once; each has several writers.
const DOORS: usize = 3;

/// So many stores on a bench's database.
pub(super) async fn doors(bench: &Bench) -> Vec<Arc<Store>> {
    let mut doors = Vec::new();
    for _ in 0..DOORS {
        let store = bench.place.open(vec![receiver("backend", &[])]).await;
        doors.push(Arc::new(store.unwrap()));
    }
    doors
}

/// Runs a unit at the bench's first moment.
async fn at<T, F>(store: &Store, mut unit: F) -> T
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>, &mut Unit<'_>) -> Result<T, StoreError> + Send + 'static,
{
    let write = store.write(move |tx, context| {
        context.now = Millis(T0);
        unit(tx, context)
    });
    write.await.unwrap().0
}

async fn came(store: &Store, event: Event) -> Fate {
    let batch = InboundBatch {
        channel: bot(),
        events: vec![event],
        effects: Vec::new(),
    };
    let fates = at(store, move |tx, unit| {
        at_once(apply(tx, unit, std::slice::from_ref(&batch)))
    });
    fates.await[0][0]
}

async fn accepted(store: &Store, send: AcceptSend) -> Accepted {
    at(store, move |tx, unit| {
        at_once(sends::accept(tx, unit, &send))
    })
    .await
}

/// Does something so many times at every door, all of it at once.
pub(super) async fn everywhere<T, Do, Done>(doors: &[Arc<Store>], times: usize, deed: Do) -> Vec<T>
where
    T: Send + 'static,
    Do: Fn(Arc<Store>, usize) -> Done,
    Done: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for n in 0..times {
        for door in doors {
            tasks.spawn(deed(Arc::clone(door), n));
        }
    }
    tasks.join_all().await
}

#[tokio::test]
async fn a_message_that_comes_at_every_door_is_one() {
    let bench = Bench::open().await;
    let doors = doors(&bench).await;
    let fates = everywhere(&doors, 40, |door, n| async move {
        came(&door, wrote(&format!("user-{}", n % 4), &format!("m{n}"))).await
    });
    let fates = fates.await;
    let applied = fates.iter().filter(|f| **f == Fate::Applied).count();
    assert_eq!(applied, 40);
    assert_eq!(fates.len(), 40 * DOORS);
    assert_eq!(bench.number("SELECT COUNT(*) FROM messages").await, 40);
    assert_eq!(bench.number("SELECT COUNT(*) FROM users").await, 5);
    assert_eq!(bench.number("SELECT COUNT(*) FROM conversations").await, 4);
    // Four beginnings, and two events of each message.
    assert_eq!(bench.news().await.len(), 4 + 2 * 40);
}

#[tokio::test]
async fn the_first_words_in_a_group_begin_one_conversation() {
    let bench = Bench::open().await;
    let doors = doors(&bench).await;
    let fates = everywhere(&doors, 5, |door, n| async move {
        let who = format!("{n} at {:p}", Arc::as_ptr(&door));
        came(&door, in_thread(wrote(&who, &format!("m {who}")), "group")).await
    });
    assert!(fates.await.iter().all(|f| *f == Fate::Applied));
    assert_eq!(bench.number("SELECT COUNT(*) FROM conversations").await, 1);
    let messages = bench.number("SELECT COUNT(*) FROM messages").await;
    assert_eq!(messages, i64::try_from(5 * DOORS).unwrap());
}

/// Whoever reads must never see an event and later one before it: it would be delivered too late.
#[tokio::test]
async fn events_of_a_conversation_become_visible_in_their_order() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m")).await;
    let doors = doors(&bench).await;
    let writing = everywhere(&doors, 30, |door, n| async move {
        came(
            &door,
            wrote("ann", &format!("m{n} {:p}", Arc::as_ptr(&door))),
        )
        .await
    });
    let read =
        || bench.texts("SELECT CAST(d.event_id AS TEXT) FROM deliveries d ORDER BY d.event_id");
    let mut seen = Vec::new();
    let mut writing = std::pin::pin!(writing);
    loop {
        tokio::select! {
            biased;
            _ = &mut writing => break,
            list = read() => seen.push(list),
        }
    }
    let all = read().await;
    assert!(seen.len() > 3, "only {} looks", seen.len());
    for list in &seen {
        assert_eq!(list[..], all[..list.len()]);
    }
}

#[tokio::test]
async fn numbers_are_taken_once_and_in_a_row() {
    let bench = Bench::open().await;
    let doors = doors(&bench).await;
    let sends = everywhere(&doors, 20, |door, _| async move {
        accepted(&door, send_to("ann", 1)).await
    });
    let count = sends.await.len();
    let numbers = bench
        .texts("SELECT CAST(m.seq AS TEXT) FROM messages m ORDER BY m.seq")
        .await;
    let row: Vec<String> = (1..=count).map(|n| n.to_string()).collect();
    assert_eq!(numbers, row);
    assert_eq!(bench.number("SELECT COUNT(*) FROM conversations").await, 1);
}

#[tokio::test]
async fn the_same_key_at_every_door_is_one_message() {
    let bench = Bench::open().await;
    let doors = doors(&bench).await;
    let sends = everywhere(&doors, 10, |door, n| async move {
        let keyed = AcceptSend {
            idempotency: Some(sends::Idempotency {
                key: format!("key {}", n % 2),
                arguments: "same".to_owned(),
            }),
            // Two people, so that nothing but the key is in common.
            ..send_to(&format!("user {:p} {n}", Arc::as_ptr(&door)), 1)
        };
        accepted(&door, keyed).await
    });
    let sends = sends.await;
    let new = sends.iter().filter(|s| matches!(s, Accepted::New { .. }));
    assert_eq!(new.count(), 2);
    let known = sends.iter().filter(|s| matches!(s, Accepted::Known { .. }));
    assert_eq!(known.count(), 10 * DOORS - 2);
    assert_eq!(bench.number("SELECT COUNT(*) FROM messages").await, 2);
}

#[tokio::test]
async fn a_status_finds_its_send_however_close_they_are() {
    let bench = Bench::open().await;
    let doors = doors(&bench).await;
    for n in 0..30 {
        let (message, conversation) = bench.accept(&send_to(&format!("user-{n}"), 1)).await;
        let job = bench.deliver(conversation, 1).await;
        let id = format!("p{n}");
        let status = event(
            &format!("s{n}"),
            EventBody::Status(status_of(&id, DeliveryStatus::Delivered)),
        );
        let taken = receipt(&job, &id);
        let record = at(&doors[0], move |tx, unit| {
            at_once(work::taken(tx, unit, &taken)).map(drop)
        });
        let ((), _) = tokio::join!(record, came(&doors[1], status));
        assert_eq!(
            bench.status(message).await,
            "delivered",
            "message {message}"
        );
    }
    assert_eq!(bench.number("SELECT COUNT(*) FROM early_statuses").await, 0);
}

#[tokio::test]
async fn of_many_workers_one_begins_a_part() {
    let bench = Bench::open().await;
    let doors = doors(&bench).await;
    for n in 0..10 {
        let (_, conversation) = bench.accept(&send_to(&format!("user-{n}"), 1)).await;
        let begun = everywhere(&doors, 4, |door, fence| async move {
            let begin = begin_at(conversation, i64::try_from(fence).unwrap() + 1);
            at(&door, move |tx, unit| {
                at_once(work::begin(tx, unit, &begin))
            })
            .await
        });
        let begun = begun.await;
        let delivered = begun.iter().filter(|b| matches!(b, Begun::Deliver(_)));
        assert_eq!(delivered.count(), 1, "{begun:?}");
    }
    assert_eq!(bench.number("SELECT MAX(attempts) FROM parts").await, 1);
}

#[tokio::test]
async fn two_people_become_one_while_they_write() {
    let bench = Bench::open().await;
    let doors = doors(&bench).await;
    for n in 0..8 {
        let (a, b) = (format!("a{n}"), format!("b{n}"));
        bench.came(wrote(&a, &format!("first of {a}"))).await;
        bench.came(wrote(&b, &format!("first of {b}"))).await;
        let both = everywhere(&doors, 3, |door, k| {
            let (a, b) = (a.clone(), b.clone());
            async move {
                let key = format!("{a} {b} {k} {:p}", Arc::as_ptr(&door));
                let mut event = match k {
                    0 => wrote(&a, &key),
                    1 => wrote(&b, &key),
                    _ => wrote(&a, &key),
                };
                if let (2, Some(sender)) = (k, &mut event.sender) {
                    sender.ids = vec![a, b];
                }
                came(&door, event).await
            }
        });
        assert!(both.await.iter().all(|f| *f == Fate::Applied));
    }
    assert_eq!(bench.number("SELECT COUNT(*) FROM users").await, 1 + 8);
    for orphans in [
        "SELECT COUNT(*) FROM messages m LEFT JOIN users u ON u.id = m.user_id WHERE u.id IS NULL",
        "SELECT COUNT(*) FROM conversations c LEFT JOIN users u ON u.id = c.user_id
         WHERE u.id IS NULL",
        "SELECT COUNT(*) FROM identities i LEFT JOIN users u ON u.id = i.user_id WHERE u.id IS NULL",
    ] {
        assert_eq!(bench.number(orphans).await, 0, "{orphans}");
    }
    let live = "SELECT COUNT(*) FROM conversations WHERE thread_live";
    assert_eq!(bench.number(live).await, 8);
}

#[tokio::test]
async fn somebody_who_is_erased_while_writing_leaves_nothing_half() {
    let bench = Bench::open().await;
    let doors = doors(&bench).await;
    for n in 0..8 {
        bench.came(wrote("ann", &format!("first {n}"))).await;
        let user = bench.number("SELECT MAX(user_id) FROM identities").await;
        let all = everywhere(&doors, 2, |door, k| async move {
            if k == 0 {
                let key = format!("m{n} {:p}", Arc::as_ptr(&door));
                came(&door, wrote("ann", &key)).await;
            } else {
                at(&door, move |tx, unit| {
                    at_once(users::delete(tx, unit, UserId(user)))
                })
                .await;
            }
        });
        all.await;
    }
    for orphans in [
        "SELECT COUNT(*) FROM messages m LEFT JOIN conversations c ON c.id = m.conversation_id
         WHERE c.id IS NULL",
        "SELECT COUNT(*) FROM conversations c LEFT JOIN users u ON u.id = c.user_id
         WHERE u.id IS NULL",
        "SELECT COUNT(*) FROM identities i LEFT JOIN users u ON u.id = i.user_id WHERE u.id IS NULL",
    ] {
        assert_eq!(bench.number(orphans).await, 0, "{orphans}");
    }
}

#[tokio::test]
async fn of_many_workers_one_refreshes_a_token() {
    let bench = Bench::open().await;
    let doors = doors(&bench).await;
    let turns = everywhere(&doors, 5, |door, _| async move {
        door.refresh("wx", None).await
    });
    let turns = turns.await;
    let ours = turns.iter().filter(|t| matches!(t, Refresh::Yours));
    assert_eq!(ours.count(), 1);
    let busy = turns.iter().filter(|t| matches!(t, Refresh::Busy));
    assert_eq!(busy.count(), 5 * DOORS - 1);
}

#[tokio::test]
async fn scheduled_messages_are_released_once() {
    let bench = Bench::open().await;
    for n in 0..30 {
        let later = AcceptSend {
            send_at: Some(Millis(T0 + 1000 + n)),
            ..send_to(&format!("user-{}", n % 3), 1)
        };
        bench.accept(&later).await;
    }
    let doors = doors(&bench).await;
    let released = everywhere(&doors, 2, |door, _| async move {
        let write = door.write(|tx, unit| {
            unit.now = Millis(T0 + 5000);
            at_once(sends::release_scheduled(tx, unit))
        });
        write.await.unwrap().0.0
    });
    assert_eq!(released.await.iter().sum::<usize>(), 30);
    let numbers = "SELECT COUNT(DISTINCT conversation_id * 1000 + seq) FROM messages WHERE open";
    assert_eq!(bench.number(numbers).await, 30);
}

#[tokio::test]
async fn deadlines_and_workers_do_not_cross() {
    let bench = Bench::open().await;
    for n in 0..20 {
        bench.accept(&send_to(&format!("user-{n}"), 1)).await;
    }
    let doors = doors(&bench).await;
    let late = Millis(T0 + DAY_MS);
    let all = everywhere(&doors, 21, |door, n| async move {
        let write = door.write(move |tx, unit| {
            if n == 20 {
                unit.now = late;
                return at_once(upkeep::expire(tx, unit)).map(drop);
            }
            unit.now = Millis(T0);
            let conversation = ConversationId(i64::try_from(n).unwrap() + 1);
            at_once(work::begin(tx, unit, &begin_at(conversation, 1))).map(drop)
        });
        write.await.unwrap();
    });
    all.await;
    // Given up, or begun; never both.
    let both = "SELECT COUNT(*) FROM messages m JOIN parts p ON p.message_id = m.id
        WHERE m.dead AND p.state = 'begun'";
    assert_eq!(bench.number(both).await, 0);
    let neither = "SELECT COUNT(*) FROM messages m JOIN parts p ON p.message_id = m.id
        WHERE m.open AND p.state = 'waiting'";
    assert_eq!(bench.number(neither).await, 0);
}

/// The order of locks leaves out whatever one webhook brings of several people.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_that_wait_in_a_circle_both_go_through() {
    let bench = Bench::open().await;
    let doors = doors(&bench).await;
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let crossing = |door: &Arc<Store>, first: &'static str, second: &'static str| {
        let (door, barrier) = (Arc::clone(door), Arc::clone(&barrier));
        let mut met = false;
        async move {
            at(&door, move |tx, _| {
                at_once(async {
                    locks::name(tx, Name::Chore(first)).await?;
                    tx.row("SELECT 1", &[]).await?;
                    if !std::mem::replace(&mut met, true) {
                        barrier.wait();
                    }
                    locks::name(tx, Name::Chore(second)).await?;
                    tx.exec(
                        "INSERT INTO paused_lanes (lane, reason, message, since) VALUES ($1, '', '', 0)",
                        vals![first],
                    )
                    .await
                })
            })
            .await
        }
    };
    let (one, other) = tokio::join!(crossing(&doors[0], "a", "b"), crossing(&doors[1], "b", "a"));
    assert_eq!((one, other), (1, 1));
}
