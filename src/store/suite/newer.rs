//! Rows of a newer release that works beside us: they are left to it, and stop nothing else.

use super::*;
use crate::store::echoes::release;
use crate::store::{mirror, upkeep};
use switchboard_channels::model::{AttachmentKind, DeliveryStatus, Effect};

const HOUR_MS: i64 = 3_600_000;

/// Puts a word into a column that this release does not know.
async fn rewrite(bench: &Bench, sql: &'static str) {
    bench.meddle(sql).await;
}

#[tokio::test]
async fn a_part_of_an_unknown_kind_waits_and_holds_nobody_else_up() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    rewrite(
        &bench,
        "UPDATE parts SET body = REPLACE(body, '\"kind\":\"text\"', '\"kind\":\"hologram\"')",
    )
    .await;
    let begin = begin_at(conversation, 1);
    let begun = bench.try_unit(move |tx, unit| at_once(work::begin(tx, unit, &begin)));
    let refused = begun.await.map(|(begun, _)| begun);
    assert!(
        matches!(&refused, Err(StoreError::Corrupt(why)) if why.contains("hologram")),
        "{refused:?}"
    );
    assert_eq!(bench.status(message).await, "queued");
    assert!(bench.attempts(message).await.is_empty());
    bench.send("bob", "p1").await;
    // Whoever can read it delivers it.
    rewrite(
        &bench,
        "UPDATE parts SET body = REPLACE(body, 'hologram', 'text') WHERE state = 'waiting'",
    )
    .await;
    let job = bench.deliver(conversation, 2).await;
    bench.taken(&job, "p2").await;
    assert_eq!(bench.status(message).await, "sent");
}

#[tokio::test]
async fn what_nobody_can_read_is_given_up_when_its_time_is_over() {
    let bench = Bench::open().await;
    let (message, _) = bench.accept(&send_to("ann", 1)).await;
    rewrite(&bench, "UPDATE parts SET body = '{}'").await;
    bench.pass(DAY_MS + 1);
    let (given_up, _) = bench
        .unit(|tx, unit| at_once(upkeep::expire(tx, unit)))
        .await;
    assert_eq!(given_up, 1);
    assert_eq!(bench.status(message).await, "failed");
}

#[tokio::test]
async fn an_unknown_effect_is_left_for_its_minute_and_others_are_done() {
    let bench = Bench::open().await;
    let batch = InboundBatch {
        channel: bot(),
        events: vec![wrote("ann", "m1")],
        effects: vec![
            Effect::AnswerCallback { id: "1".to_owned() },
            Effect::AnswerCallback { id: "2".to_owned() },
        ],
    };
    let (_, wakes) = bench
        .unit(move |tx, unit| at_once(apply(tx, unit, std::slice::from_ref(&batch))))
        .await;
    rewrite(
        &bench,
        "UPDATE effects SET body = REPLACE(body, 'answer_callback', 'wave') WHERE body LIKE '%\"1\"%'",
    )
    .await;
    let ids: Vec<i64> = wakes.effects.iter().map(|(_, id)| *id).collect();
    let load = |id: i64| bench.try_unit(move |tx, unit| at_once(upkeep::effect(tx, unit, id)));
    assert!(matches!(load(ids[0]).await, Err(StoreError::Corrupt(_))));
    assert!(load(ids[1]).await.unwrap().0.is_some());
    // Both are still due to whoever asks.
    let (due, _) = bench
        .unit(|tx, unit| at_once(upkeep::due_effects(tx, unit)))
        .await;
    assert_eq!(due.len(), 2);
    bench.pass(60_001);
    assert!(load(ids[0]).await.unwrap().0.is_none());
}

#[tokio::test]
async fn an_echo_that_cannot_be_read_is_kept_and_the_others_go() {
    let bench = Bench::open().await;
    let (_, conversation) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    for id in ["of-tomorrow", "by-hand"] {
        let echo = with(wrote("ann", id), |m| m.from_us = true);
        assert_eq!(bench.came(echo).await, Fate::Kept);
    }
    rewrite(
        &bench,
        "UPDATE held_echoes SET event = '{\"hologram\":1}' WHERE platform_id = 'of-tomorrow'",
    )
    .await;
    bench.taken(&job, "p1").await;
    let released = async || {
        let unit = bench.unit(|tx, unit| at_once(release(tx, unit, &[bot()])));
        unit.await.0
    };
    assert_eq!(released().await, 1);
    assert_eq!(bench.messages(conversation).await.len(), 2);
    assert_eq!(released().await, 0);
    // Nobody came who could read it.
    bench.pass(HOUR_MS + 30_000);
    assert_eq!(released().await, 1);
    let raw = bench.texts("SELECT body FROM raw_events").await;
    assert_eq!(raw, ["{\"hologram\":1}"]);
}

#[tokio::test]
async fn a_receipt_is_recorded_whatever_an_early_status_says() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let early = status_of("p1", DeliveryStatus::Read);
    bench.came(event("s1", EventBody::Status(early))).await;
    rewrite(&bench, "UPDATE early_statuses SET error = '{\"shade\":3}'").await;
    let job = bench.deliver(conversation, 1).await;
    bench.taken(&job, "p1").await;
    assert_eq!(bench.status(message).await, "read");
}

#[tokio::test]
async fn an_attachment_of_an_unknown_kind_is_a_file() {
    let bench = Bench::open().await;
    let picture = super::messages::picture("f1");
    bench
        .came(with(wrote("ann", "m1"), |m| m.attachments = vec![picture]))
        .await;
    rewrite(
        &bench,
        "UPDATE messages SET attachments = REPLACE(attachments, '\"image\"', '\"hologram\"')",
    )
    .await;
    let stored = bench.texts("SELECT attachments FROM messages").await;
    assert!(stored[0].contains("hologram"), "{stored:?}");
    let messages = bench.messages(ConversationId(1)).await;
    assert_eq!(messages[0].attachments[0].kind, AttachmentKind::File);
}

#[tokio::test]
async fn an_unknown_mirror_job_is_nobodys_of_ours() {
    let bench = Bench::open().await;
    rewrite(
        &bench,
        "INSERT INTO mirror_jobs (conversation_id, message_id, what, created_at)
         VALUES (7, 1, 'painted', 0), (8, 2, 'new', 0)",
    )
    .await;
    let jobs = bench.read(|tx| at_once(mirror::jobs(tx))).await;
    let of: Vec<i64> = jobs.iter().map(|job| job.conversation.0).collect();
    assert_eq!(of, [8]);
    assert_eq!(bench.number("SELECT COUNT(*) FROM mirror_jobs").await, 2);
}
