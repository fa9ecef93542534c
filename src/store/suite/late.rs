//! Workers that were stopped for so long that another one took over, and then go on.

use super::workers::{put_off, refused};
use super::*;
use crate::store::work::Failure;
use switchboard_channels::Class;

impl Bench {
    /// A worker's attempt, and that of its successor, which sends the part again.
    async fn overtaken(&self, conversation: ConversationId) -> (Job, Job) {
        let late = self.deliver(conversation, 1).await;
        self.pass(DEAD_AFTER_MS);
        let (doubted, _) = self.doubted(conversation, 2).await;
        assert!(self.resend(&doubted).await);
        let successor = self.deliver(conversation, 2).await;
        assert_eq!(successor.key(), late.key());
        (late, successor)
    }

    async fn recorded<F>(&self, unit: F) -> bool
    where
        F: FnMut(&mut Tx<'_>, &mut Unit<'_>) -> Result<bool, StoreError> + Send + 'static,
    {
        self.unit(unit).await.0
    }

    async fn try_put_off(&self, job: &Job, class: Class) -> bool {
        let put_off = put_off(job, class, T0 + 777_777);
        self.recorded(move |tx, unit| at_once(work::put_off(tx, unit, &put_off)))
            .await
    }

    async fn try_fail(&self, job: &Job, failure: Failure) -> bool {
        let message = job.part.message;
        let failure = Failure {
            attempt: Some(job.attempt_key()),
            ..failure
        };
        self.recorded(move |tx, unit| at_once(work::fail(tx, unit, message, &failure)))
            .await
    }
}

#[tokio::test]
async fn a_late_failure_changes_nothing_of_the_successors() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 2)).await;
    let (late, successor) = bench.overtaken(conversation).await;
    let before = bench.outcome(message).await;
    bench.news().await;
    for class in [Class::Retry, Class::Unsure] {
        assert!(!bench.try_put_off(&late, class).await);
    }
    let attempt = late.attempt_key();
    let handed = move |tx: &mut Tx<'_>, unit: &mut Unit<'_>| {
        at_once(work::hand_back(tx, unit, attempt, Millis(T0)))
    };
    assert!(!bench.recorded(handed).await);
    assert!(!bench.try_fail(&late, refused()).await);
    assert!(!bench.try_fail(&late, Failure::dead("unsure", "")).await);
    assert!(!bench.resend(&late).await);
    let after = bench.outcome(message).await;
    assert_eq!(
        (after.failures, after.next_at),
        (before.failures, before.next_at)
    );
    assert!(after.open);
    assert_eq!(bench.state(late.key()).await, "begun");
    assert_eq!(bench.news().await, [] as [&str; 0]);
    assert_eq!(bench.attempts(message).await, ["unsure"]);
    // The successor's attempt is as open as before.
    let busy = bench.begin(conversation, 3).await;
    assert!(matches!(busy, Begun::Busy { .. }), "{busy:?}");
    bench.taken(&successor, "p0").await;
    let second = bench.deliver(conversation, 3).await;
    bench.taken(&second, "p1").await;
    assert_eq!(bench.status(message).await, "sent");
    assert_eq!(bench.attempts(message).await, ["unsure", "sent", "sent"]);
}

#[tokio::test]
async fn a_late_sign_of_life_keeps_no_successor_alive() {
    let bench = Bench::open().await;
    let (_, conversation) = bench.accept(&send_to("ann", 1)).await;
    let (late, successor) = bench.overtaken(conversation).await;
    bench.pass(DEAD_AFTER_MS - 1);
    let beat = |job: &Job| {
        let attempt = job.attempt_key();
        move |tx: &mut Tx<'_>, unit: &mut Unit<'_>| at_once(work::heartbeat(tx, unit, attempt))
    };
    assert!(!bench.recorded(beat(&late)).await);
    bench.pass(1);
    assert!(bench.recorded(beat(&successor)).await);
    bench.pass(DEAD_AFTER_MS);
    bench.doubted(conversation, 3).await;
}

#[tokio::test]
async fn an_attempt_of_the_same_lease_is_another_one_all_the_same() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let first = bench.deliver(conversation, 1).await;
    assert!(bench.try_put_off(&first, Class::Retry).await);
    let second = bench.deliver(conversation, 1).await;
    // A write that was repeated because its answer was lost.
    assert!(!bench.try_put_off(&first, Class::Retry).await);
    assert_eq!(bench.state(second.key()).await, "begun");
    assert_eq!(bench.outcome(message).await.failures, 1);
    assert_eq!(bench.attempts(message).await, ["retry"]);
}

#[tokio::test]
async fn a_late_receipt_counts_while_the_successor_sends() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 2)).await;
    let (late, successor) = bench.overtaken(conversation).await;
    // It would go on, and may not: its lease is over.
    let taken = Taken {
        next: Some(begin_at(conversation, 1)),
        ..receipt(&late, "p0")
    };
    let (after, _) = bench.taken_unit(taken).await;
    assert!(matches!(after.next, Begun::Stale { fence: 2 }), "{after:?}");
    assert_eq!(bench.state(late.key()).await, "sent");
    // What the successor brings, it brings for a part that is sent.
    assert!(!bench.try_put_off(&successor, Class::Retry).await);
    assert!(!bench.try_put_off(&successor, Class::Unsure).await);
    assert!(!bench.try_fail(&successor, refused()).await);
    let second = bench.deliver(conversation, 3).await;
    assert_eq!(second.part.index, 1);
    bench.taken(&successor, "p0-again").await;
    bench.taken(&second, "p1").await;
    assert_eq!(bench.status(message).await, "sent");
    let told = bench.told().await;
    assert_eq!(told.last().unwrap().1["parts_sent"], 2);
    assert_eq!(
        told.last().unwrap().1["platform_ids"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn a_late_receipt_settles_a_doubt_before_it_is_sent_again() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let late = bench.deliver(conversation, 1).await;
    bench.pass(DEAD_AFTER_MS);
    let (doubted, _) = bench.doubted(conversation, 2).await;
    bench.taken(&late, "p0").await;
    assert_eq!(bench.status(message).await, "sent");
    assert!(!bench.resend(&doubted).await);
    assert!(!bench.try_fail(&doubted, Failure::dead("unsure", "")).await);
    assert!(matches!(bench.begin(conversation, 2).await, Begun::Nothing));
    assert_eq!(bench.attempts(message).await, ["unsure", "sent"]);
}

#[tokio::test]
async fn a_late_receipt_raises_what_was_given_up_as_unsure() {
    let bench = Bench::open().await;
    for parts in [1, 2] {
        let (message, conversation) = bench.accept(&send_to("ann", parts)).await;
        let fence = bench.now().0;
        let late = bench.deliver(conversation, fence).await;
        bench.pass(DEAD_AFTER_MS);
        let (doubted, _) = bench.doubted(conversation, fence + 1).await;
        assert!(bench.try_fail(&doubted, Failure::dead("unsure", "")).await);
        assert_eq!(bench.status(message).await, "failed");
        let id = format!("p-{parts}");
        let (_, wakes) = bench.taken_unit(receipt(&late, &id)).await;
        assert_eq!(wakes.sends, [("bot".to_owned(), conversation.0, false)]);
        if parts == 2 {
            let rest = bench.deliver(conversation, fence + 2).await;
            assert_eq!((rest.part.message, rest.part.index), (message, 1));
            bench.taken(&rest, "p-rest").await;
        }
        assert_eq!(bench.status(message).await, "sent");
        assert!(bench.outcome(message).await.error.is_none());
    }
}

#[tokio::test]
async fn a_late_receipt_completes_what_the_successor_was_refused() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let (late, successor) = bench.overtaken(conversation).await;
    assert!(bench.try_fail(&successor, refused()).await);
    assert_eq!(bench.status(message).await, "failed");
    bench.taken(&late, "p0").await;
    assert_eq!(bench.status(message).await, "sent");
    // Of two parts the second one is still not sent, and was not wanted: it stays failed, and what
    // arrived is counted.
    let (message, conversation) = bench.accept(&send_to("bob", 2)).await;
    let (late, successor) = bench.overtaken(conversation).await;
    assert!(bench.try_fail(&successor, refused()).await);
    bench.taken(&late, "q0").await;
    assert_eq!(bench.status(message).await, "failed");
    assert_eq!(bench.state(late.key()).await, "sent");
    assert!(matches!(bench.begin(conversation, 9).await, Begun::Nothing));
}
