//! A part that may have arrived: in doubt, settled by evidence, sent once more, or given up.

use super::workers::{put_off, refused};
use super::*;
use crate::store::work::Failure;
use switchboard_channels::Class;
use switchboard_channels::model::DeliveryStatus;

impl Bench {
    /// A worker dies between request and record, and another finds what it left.
    pub(super) async fn interrupted(&self, conversation: ConversationId) -> (Job, Millis) {
        self.deliver(conversation, 1).await;
        self.pass(DEAD_AFTER_MS);
        self.doubted(conversation, 2).await
    }

    pub(super) async fn doubted(&self, conversation: ConversationId, fence: i64) -> (Job, Millis) {
        match self.begin(conversation, fence).await {
            Begun::InDoubt { job, since } => (*job, since),
            other => panic!("{other:?} instead of a doubt"),
        }
    }

    pub(super) async fn resend(&self, job: &Job) -> bool {
        let attempt = job.attempt_key();
        self.unit(move |tx, unit| at_once(work::resend(tx, unit, attempt)))
            .await
            .0
    }

    pub(super) async fn state(&self, key: PartKey) -> String {
        let history = self.history(key.message).await;
        history.parts[usize::try_from(key.idx).unwrap()]
            .state
            .clone()
    }
}

/// The platform shows us our own message, with our reference.
fn echo(key: PartKey, platform_id: &str) -> Event {
    with(wrote("ann", platform_id), |m| {
        m.from_us = true;
        m.our_reference = Some(reference(key));
    })
}

#[tokio::test]
async fn after_an_interruption_exactly_the_begun_part_is_in_doubt() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 3)).await;
    let job = bench.deliver(conversation, 1).await;
    bench.taken(&job, "p0").await;
    let (job, since) = bench.interrupted(conversation).await;
    assert_eq!(job.key(), PartKey { message, idx: 1 });
    assert_eq!(since, bench.now());
    assert_eq!(bench.attempts(message).await, ["sent", "unsure"]);
    // It stays in doubt since then, for whoever looks.
    bench.pass(777);
    let (again, still) = bench.doubted(conversation, 3).await;
    assert_eq!((again.key(), still), (job.key(), since));
    assert_eq!(bench.attempts(message).await, ["sent", "unsure"]);
    bench.resend(&job).await;
    let second = bench.deliver(conversation, 3).await;
    assert_eq!((second.attempt, second.unsure_resends), (2, 1));
    bench.taken(&second, "p1").await;
    let third = bench.deliver(conversation, 3).await;
    bench.taken(&third, "p2").await;
    assert_eq!(bench.status(message).await, "sent");
}

#[tokio::test]
async fn evidence_settles_a_doubt() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let (job, _) = bench.interrupted(conversation).await;
    bench.news().await;
    assert_eq!(bench.came(echo(job.key(), "p1")).await, Fate::Applied);
    assert_eq!(bench.status(message).await, "sent");
    assert_eq!(bench.news().await, ["message-status-updated"]);
    assert!(matches!(bench.begin(conversation, 3).await, Begun::Nothing));
    assert_eq!(bench.messages(conversation).await.len(), 1);
    // A resend that was decided meanwhile does nothing.
    bench.resend(&job).await;
    assert_eq!(bench.state(job.key()).await, "sent");
}

#[tokio::test]
async fn evidence_settles_one_part_and_the_rest_is_sent() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 2)).await;
    let (job, _) = bench.interrupted(conversation).await;
    bench.came(echo(job.key(), "p1")).await;
    assert_eq!(bench.status(message).await, "sending");
    let rest = bench.deliver(conversation, 3).await;
    assert_eq!(rest.key(), PartKey { message, idx: 1 });
    bench.taken(&rest, "p2").await;
    assert_eq!(bench.status(message).await, "sent");
}

#[tokio::test]
async fn evidence_before_the_doubt_settles_it_as_well() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    bench.came(echo(job.key(), "p1")).await;
    // While its worker lives, the part is the worker's.
    assert_eq!(bench.state(job.key()).await, "begun");
    bench.pass(DEAD_AFTER_MS);
    assert!(matches!(bench.begin(conversation, 2).await, Begun::Nothing));
    assert_eq!(bench.status(message).await, "sent");
    assert_eq!(bench.attempts(message).await, ["sent"]);
}

#[tokio::test]
async fn a_status_with_our_reference_is_evidence_and_a_status() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let (job, _) = bench.interrupted(conversation).await;
    let mut update = status_of("p1", DeliveryStatus::Delivered);
    update.our_reference = Some(reference(job.key()));
    let status = event("s1", EventBody::Status(update));
    assert_eq!(bench.came(status).await, Fate::Applied);
    assert_eq!(bench.status(message).await, "delivered");
}

#[tokio::test]
async fn statuses_that_came_before_the_evidence_are_applied_with_it() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let (job, _) = bench.interrupted(conversation).await;
    let early = status_of("p1", DeliveryStatus::Read);
    let fate = bench.came(event("s1", EventBody::Status(early))).await;
    assert_eq!(fate, Fate::Kept);
    bench.came(echo(job.key(), "p1")).await;
    assert_eq!(bench.status(message).await, "read");
}

#[tokio::test]
async fn no_answer_puts_the_part_in_doubt() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    bench.put_off(put_off(&job, Class::Unsure, T0 + 5000)).await;
    assert_eq!(bench.state(job.key()).await, "unsure");
    let (again, since) = bench.doubted(conversation, 1).await;
    assert_eq!((again.key(), since), (job.key(), Millis(T0)));
    assert_eq!(bench.attempts(message).await, ["unsure"]);
}

#[tokio::test]
async fn what_has_arrived_is_not_tried_again_whatever_the_platform_answered() {
    let bench = Bench::open().await;
    // The evidence comes before the answer, which is an error.
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    bench.came(echo(job.key(), "p1")).await;
    bench.put_off(put_off(&job, Class::Retry, T0 + 9)).await;
    assert_eq!(bench.status(message).await, "sent");
    assert!(matches!(bench.begin(conversation, 1).await, Begun::Nothing));
    // And after it, while the part waits for its next try.
    let (message, _) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    bench.put_off(put_off(&job, Class::Retry, T0 + 9)).await;
    bench.came(echo(job.key(), "p2")).await;
    assert_eq!(bench.status(message).await, "sent");
    assert!(matches!(bench.begin(conversation, 1).await, Begun::Nothing));
}

#[tokio::test]
async fn a_stalled_worker_does_not_bring_back_what_its_successor_sent() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 2)).await;
    let (job, _) = bench.interrupted(conversation).await;
    bench.resend(&job).await;
    let second = bench.deliver(conversation, 2).await;
    bench.taken(&second, "p1").await;
    // Now the first worker's request times out.
    bench.put_off(put_off(&job, Class::Unsure, T0)).await;
    assert_eq!(bench.state(job.key()).await, "sent");
    let next = bench.deliver(conversation, 2).await;
    assert_eq!(next.key(), PartKey { message, idx: 1 });
    bench.taken(&next, "p2").await;
    let sent = "SELECT parts_sent FROM messages WHERE id = 1";
    assert_eq!(bench.number(sent).await, 2);
}

#[tokio::test]
async fn two_receipts_of_one_part_count_once() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 2)).await;
    let (job, _) = bench.interrupted(conversation).await;
    bench.resend(&job).await;
    let second = bench.deliver(conversation, 2).await;
    bench.taken(&second, "p1").await;
    bench.taken(&job, "p1-late").await;
    let sent = "SELECT parts_sent FROM messages WHERE id = 1";
    assert_eq!(bench.number(sent).await, 1);
    // Both ids are the message's: a status under either finds it.
    let ids = bench.history(message).await.platform_ids;
    assert_eq!(ids, ["p1", "p1-late"]);
}

#[tokio::test]
async fn late_evidence_overrides_a_message_that_was_given_up() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let (job, _) = bench.interrupted(conversation).await;
    bench.fail(&job, Failure::dead("unsure", "not again")).await;
    assert_eq!(bench.status(message).await, "failed");
    bench.news().await;
    bench.came(echo(job.key(), "p1")).await;
    let outcome = bench.outcome(message).await;
    assert_eq!((outcome.status.as_str(), outcome.error), ("sent", None));
    assert_eq!(bench.news().await, ["message-status-updated"]);
    assert_eq!(
        bench
            .number("SELECT COUNT(*) FROM messages WHERE dead")
            .await,
        0
    );
}

#[tokio::test]
async fn late_evidence_sends_what_is_left_of_a_message_that_was_given_up() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 2)).await;
    let (job, _) = bench.interrupted(conversation).await;
    bench.fail(&job, Failure::dead("unsure", "not again")).await;
    let (second, _) = bench.accept(&send_to("ann", 1)).await;
    bench.came(echo(job.key(), "p1")).await;
    // At the end of the conversation: the second message was promised its place.
    let next = bench.deliver(conversation, 3).await;
    assert_eq!(next.part.message, second);
    bench.taken(&next, "q").await;
    let rest = bench.deliver(conversation, 3).await;
    assert_eq!(rest.key(), PartKey { message, idx: 1 });
    bench.taken(&rest, "p2").await;
    assert_eq!(bench.status(message).await, "sent");
}

#[tokio::test]
async fn evidence_does_not_revive_what_the_platform_refused() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    bench.fail(&job, refused()).await;
    bench.came(echo(job.key(), "p1")).await;
    assert_eq!(bench.status(message).await, "failed");
}

#[tokio::test]
async fn another_channels_reference_is_no_evidence() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let (job, _) = bench.interrupted(conversation).await;
    let other = ChannelInfo {
        id: "other".to_owned(),
        ..bot()
    };
    bench.came_to(&other, vec![echo(job.key(), "p1")]).await;
    assert_eq!(bench.status(message).await, "sending");
    assert_eq!(bench.state(job.key()).await, "unsure");
}
