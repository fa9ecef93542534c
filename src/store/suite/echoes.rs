//! Echoes that come before the receipt of what they echo, and what people write at the platform itself.

use super::*;
use crate::store::echoes::{any, release};
use crate::store::users;

const HELD_MS: i64 = 30_000;

impl Bench {
    /// Lets echoes go that need not wait.
    async fn released(&self) -> usize {
        let unit = self.unit(move |tx, unit| at_once(release(tx, unit, &[bot()])));
        unit.await.0
    }

    async fn holds(&self) -> bool {
        self.read(move |tx| at_once(any(tx))).await
    }
}

/// The platform tells of something that our side wrote to Ann, without saying whose it is.
fn echo(platform_id: &str) -> Event {
    with(wrote("ann", platform_id), |m| m.from_us = true)
}

#[tokio::test]
async fn an_echo_before_the_receipt_is_recognised_by_it() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    bench.news().await;
    assert_eq!(bench.came(echo("p1")).await, Fate::Kept);
    assert_eq!(bench.came(echo("p1")).await, Fate::Duplicate);
    // While the part is under way nobody knows whose it is.
    assert_eq!(bench.released().await, 0);
    assert_eq!(bench.news().await, [] as [&str; 0]);
    bench.taken(&job, "p1").await;
    assert_eq!(bench.released().await, 1);
    assert_eq!(bench.messages(conversation).await.len(), 1);
    assert_eq!(bench.news().await, ["message-status-updated"]);
    assert_eq!(bench.status(message).await, "sent");
    assert!(!bench.holds().await);
    // Redelivered long after.
    bench.meddle("DELETE FROM dedup_keys").await;
    assert_eq!(bench.came(echo("p1")).await, Fate::Duplicate);
}

#[tokio::test]
async fn what_a_person_wrote_meanwhile_is_a_message_once_the_send_is_recorded() {
    let bench = Bench::open().await;
    let (_, conversation) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    assert_eq!(bench.came(echo("by-hand")).await, Fate::Kept);
    bench.taken(&job, "p1").await;
    bench.news().await;
    assert_eq!(bench.released().await, 1);
    let messages = bench.messages(conversation).await;
    let texts: Vec<&str> = messages.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(texts, ["hello", "text of by-hand"]);
    assert!(messages[1].outbound);
    assert_eq!(bench.news().await, ["message-sent"]);
}

#[tokio::test]
async fn an_echo_waits_no_longer_than_half_a_minute() {
    let bench = Bench::open().await;
    let (_, conversation) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    assert_eq!(bench.came(echo("by-hand")).await, Fate::Kept);
    bench.pass(HELD_MS - 1);
    assert_eq!(bench.released().await, 0);
    bench.pass(1);
    assert_eq!(bench.released().await, 1);
    assert_eq!(bench.messages(conversation).await.len(), 2);
    // The part goes on as if nothing had been.
    bench.taken(&job, "p1").await;
    assert_eq!(bench.messages(conversation).await.len(), 2);
}

#[tokio::test]
async fn where_nothing_is_under_way_an_echo_is_a_message_at_once() {
    let bench = Bench::open().await;
    assert_eq!(bench.came(echo("first")).await, Fate::Applied);
    let (_, conversation) = bench.send("ann", "p1").await;
    assert_eq!(bench.came(echo("second")).await, Fate::Applied);
    // Something is under way to somebody else, and something waits that nobody has begun.
    let (_, other) = bench.accept(&send_to("bob", 1)).await;
    bench.deliver(other, 1).await;
    bench.accept(&send_to("ann", 1)).await;
    assert_eq!(bench.came(echo("third")).await, Fate::Applied);
    assert!(!bench.holds().await);
    assert_eq!(bench.messages(conversation).await.len(), 5);
}

#[tokio::test]
async fn between_two_parts_and_in_doubt_an_echo_waits() {
    let bench = Bench::open().await;
    let (_, conversation) = bench.accept(&send_to("ann", 2)).await;
    let first = bench.deliver(conversation, 1).await;
    let mut taken = receipt(&first, "p1");
    taken.next = Some(begin_at(conversation, 1));
    let (after, _) = bench.taken_unit(taken).await;
    let Begun::Deliver(second) = after.next else {
        panic!("no second part")
    };
    // The echo of the first part comes late, that of the second early.
    assert_eq!(bench.came(echo("p1")).await, Fate::Duplicate);
    assert_eq!(bench.came(echo("p2")).await, Fate::Kept);
    bench.pass(DEAD_AFTER_MS);
    assert!(matches!(
        bench.begin(conversation, 2).await,
        Begun::InDoubt { .. }
    ));
    assert_eq!(bench.came(echo("by-hand")).await, Fate::Kept);
    // The worker was only slow: its receipt comes after all, in time for the later echo.
    bench.taken(&second, "p2").await;
    assert_eq!(bench.released().await, 2);
    let texts: Vec<String> = bench
        .messages(conversation)
        .await
        .into_iter()
        .map(|m| m.text)
        .collect();
    assert_eq!(texts, ["hello", "text of by-hand"]);
}

#[tokio::test]
async fn held_echoes_outlive_the_process() {
    let mut bench = Bench::open().await;
    let (_, conversation) = bench.accept(&send_to("ann", 1)).await;
    bench.deliver(conversation, 1).await;
    assert_eq!(bench.came(echo("by-hand")).await, Fate::Kept);
    drop(bench.store.take());
    bench.store = Some(bench.again().await.unwrap());
    assert!(bench.holds().await);
    bench.pass(HELD_MS);
    assert_eq!(bench.released().await, 1);
    assert_eq!(bench.messages(conversation).await.len(), 2);
}

#[tokio::test]
async fn an_echo_of_another_channel_stays_and_an_erased_persons_goes() {
    let bench = Bench::open().await;
    let (_, conversation) = bench.accept(&send_to("ann", 1)).await;
    bench.deliver(conversation, 1).await;
    assert_eq!(bench.came(echo("by-hand")).await, Fate::Kept);
    bench.pass(HELD_MS);
    let elsewhere = phone("desk", "whatsapp");
    let unit =
        bench.unit(move |tx, unit| at_once(release(tx, unit, std::slice::from_ref(&elsewhere))));
    assert_eq!(unit.await.0, 0);
    assert!(bench.holds().await);
    let user = bench.conversation(conversation).await.unwrap().user_id;
    bench
        .unit(move |tx, unit| at_once(users::delete(tx, unit, user)))
        .await;
    assert!(!bench.holds().await);
}
