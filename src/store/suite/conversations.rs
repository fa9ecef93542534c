//! Where a message goes: archived, trashed, threads, moves.

use super::*;
use crate::store::people::set_status;
use crate::store::rows::status_code;
use switchboard_channels::model::UserChange;

async fn set(bench: &Bench, id: i64, code: i64) {
    let mut row = bench.conversation(ConversationId(id)).await.unwrap();
    bench
        .unit(move |tx, unit| at_once(set_status(tx, unit, &mut row, code)))
        .await;
}

async fn code(bench: &Bench, id: i64) -> i64 {
    let row = bench.conversation(ConversationId(id)).await.unwrap();
    row.status_code
}

#[tokio::test]
async fn the_contact_opens_an_archived_conversation() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    set(&bench, 1, status_code::ARCHIVE).await;
    bench.news().await;
    bench.came(wrote("ann", "m2")).await;
    let told = [
        "conversation-status-updated",
        "message-sent",
        "new-messages",
    ];
    assert_eq!(bench.news().await, told);
    assert_eq!(code(&bench, 1).await, status_code::WAITING_AGENT);
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 2);
}

#[tokio::test]
async fn we_do_not_open_it_by_writing() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    set(&bench, 1, status_code::ARCHIVE).await;
    bench
        .came(with(wrote("ann", "m2"), |m| m.from_us = true))
        .await;
    bench.accept(&send_to("ann", 1)).await;
    assert_eq!(code(&bench, 1).await, status_code::ARCHIVE);
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 3);
}

#[tokio::test]
async fn a_trashed_conversation_is_left_and_a_new_one_begins() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    set(&bench, 1, status_code::TRASH).await;
    bench.news().await;
    bench.came(wrote("ann", "m2")).await;
    assert_eq!(bench.news().await[0], "new-conversation-created");
    assert_eq!(code(&bench, 1).await, status_code::TRASH);
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 1);
    assert_eq!(bench.messages(ConversationId(2)).await.len(), 1);
    // Out of the trash it can be read, but the thread belongs to the new one.
    set(&bench, 1, status_code::LIVE).await;
    bench.came(wrote("ann", "m3")).await;
    assert_eq!(bench.messages(ConversationId(2)).await.len(), 2);
    // Once the new one is gone, too, the old one may have it back.
    set(&bench, 2, status_code::TRASH).await;
    set(&bench, 1, status_code::WAITING_USER).await;
    bench.came(wrote("ann", "m4")).await;
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 2);
}

#[tokio::test]
async fn the_same_status_is_not_told_twice() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    bench.news().await;
    set(&bench, 1, status_code::ARCHIVE).await;
    set(&bench, 1, status_code::ARCHIVE).await;
    assert_eq!(bench.news().await, ["conversation-status-updated"]);
}

#[tokio::test]
async fn a_thread_is_a_conversation_of_its_own() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    bench.came(in_thread(wrote("ann", "m2"), "group")).await;
    bench.came(in_thread(wrote("bob", "m3"), "group")).await;
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 1);
    let said = bench.messages(ConversationId(2)).await;
    assert_eq!(said.iter().map(|m| m.user_id.0).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn a_moved_thread_goes_on_under_its_new_key() {
    let bench = Bench::open().await;
    bench.came(in_thread(wrote("ann", "m1"), "group")).await;
    let moved = |key: &str| {
        let (from, to) = ("group".to_owned(), "super".to_owned());
        event(key, EventBody::User(UserChange::ThreadMoved { from, to }))
    };
    assert_eq!(bench.came(moved("c1")).await, Fate::Applied);
    // The platform says so in both chats.
    assert_eq!(bench.came(moved("c2")).await, Fate::Duplicate);
    bench.came(in_thread(wrote("ann", "m2"), "super")).await;
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 2);
    let row = bench.conversation(ConversationId(1)).await.unwrap();
    assert_eq!(row.address, "super");
}

#[tokio::test]
async fn lists_are_bounded_and_know_since_when() {
    let bench = Bench::open().await;
    for (n, who) in ["ann", "bob", "cid"].into_iter().enumerate() {
        bench.pass(1000);
        bench.came(wrote(who, &format!("m{n}"))).await;
    }
    set(&bench, 2, status_code::ARCHIVE).await;
    let list = async |filter: reads::Filter| {
        let rows = bench.read(move |tx| at_once(reads::conversations(tx, &filter)));
        let ids = rows
            .await
            .into_iter()
            .map(|(c, _, last)| (c.id.0, last.unwrap().id.0));
        ids.collect::<Vec<_>>()
    };
    let all = reads::Filter {
        status_code: Some(-1),
        ..reads::Filter::default()
    };
    assert_eq!(list(all.clone()).await, [(3, 3), (2, 2), (1, 1)]);
    assert_eq!(list(reads::Filter::default()).await, [(3, 3), (1, 1)]);
    let since = reads::Filter {
        since: Some(Since::Time(Millis(T0 + 2000))),
        ..all.clone()
    };
    assert_eq!(list(since).await, [(3, 3), (2, 2)]);
    let anns = reads::Filter {
        user: Some(UserId(2)),
        ..all
    };
    assert_eq!(list(anns).await, [(1, 1)]);
}

#[tokio::test]
async fn lists_are_in_order_over_the_hours() {
    const HOUR_MS: i64 = 3_600_000;
    let bench = Bench::open().await;
    // Three within one hour, one that goes on in the next, and one that is sent to in the one after.
    for (n, who) in ["ann", "bob", "cid"].into_iter().enumerate() {
        bench.pass(1000);
        bench.came(wrote(who, &format!("m{n}"))).await;
    }
    bench.pass(HOUR_MS);
    bench.came(wrote("bob", "later")).await;
    bench.pass(HOUR_MS - 2000);
    bench.accept(&send_to("ann", 1)).await;
    let list = async |since: Option<i64>| {
        let filter = reads::Filter {
            status_code: Some(-1),
            since: since.map(|at| Since::Time(Millis(at))),
            ..reads::Filter::default()
        };
        let rows = bench.read(move |tx| at_once(reads::conversations(tx, &filter)));
        let ids = rows.await.into_iter().map(|(c, ..)| c.id.0);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(list(None).await, [1, 2, 3]);
    assert_eq!(list(Some(T0 + 3000)).await, [1, 2, 3]);
    assert_eq!(list(Some(T0 + 3001)).await, [1, 2]);
    assert_eq!(list(Some(bench.now().0)).await, [1]);
    assert_eq!(list(Some(bench.now().0 + 1)).await, [0; 0]);
    // Whoever lists by the hour finds each under its own.
    let wrong =
        "SELECT COUNT(*) FROM conversations WHERE updated_hour <> last_update_time / 3600000";
    assert_eq!(bench.number(wrong).await, 0);
}
