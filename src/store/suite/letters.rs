//! Dead letters, effects, and what is forgotten after its time.

use super::workers::refused;
use super::*;
use crate::store::upkeep::{self, DeadLetter, Retention};
use crate::store::work::Failure;
use switchboard_channels::model::{DeliveryStatus, Effect};

impl Bench {
    async fn letters(&self, channel: Option<&'static str>) -> Vec<DeadLetter> {
        self.read(move |tx| at_once(upkeep::dead_letters(tx, channel)))
            .await
    }

    async fn retry(&self, id: &str) -> (bool, Wakes) {
        let id = id.to_owned();
        self.unit(move |tx, unit| at_once(upkeep::retry(tx, unit, &id, DAY_MS)))
            .await
    }

    async fn drop_letter(&self, id: &str) -> bool {
        let id = id.to_owned();
        self.unit(move |tx, unit| at_once(upkeep::drop_letter(tx, unit, &id)))
            .await
            .0
    }

    /// A message that failed at its second part of three.
    async fn failed_halfway(&self, to: &str) -> (MessageId, ConversationId) {
        let (message, conversation) = self.accept(&send_to(to, 3)).await;
        let job = self.deliver(conversation, 1).await;
        self.taken(&job, &format!("{to}-0")).await;
        let job = self.deliver(conversation, 1).await;
        self.fail(&job, refused()).await;
        (message, conversation)
    }
}

#[tokio::test]
async fn a_dead_letter_names_where_why_and_how_often() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.failed_halfway("ann").await;
    let other = AcceptSend {
        channel: ChannelInfo {
            id: "other".to_owned(),
            ..bot()
        },
        ..send_to("bob", 1)
    };
    let (_, elsewhere) = bench.accept(&other).await;
    let job = bench.deliver(elsewhere, 1).await;
    bench
        .fail(&job, Failure::dead("stuck", "kept failing"))
        .await;
    bench.refused(1, None).await;
    let letters = bench.letters(None).await;
    let seen: Vec<_> = letters
        .iter()
        .map(|l| (l.id.as_str(), l.lane.as_str()))
        .collect();
    let wanted = [
        ("2", "other"),
        ("1", "bot"),
        ("event:1:backend", "events:backend"),
    ];
    assert_eq!(seen, wanted);
    let letter = &letters[1];
    assert_eq!(letter.id, message.to_string());
    assert_eq!(letter.conversation, conversation.0);
    assert_eq!((letter.to.as_str(), letter.attempts), ("ann", 2));
    assert_eq!(
        (letter.class.as_str(), letter.reason.as_str()),
        ("403", "blocked")
    );
    assert_eq!(letter.died_at, Millis(T0));
    assert_eq!(bench.letters(Some("bot")).await.len(), 1);
    assert_eq!(bench.letters(Some("other")).await[0].id, "2");
    let mut counts = bench.read(|tx| at_once(upkeep::dead_counts(tx))).await;
    counts.sort();
    let count = |lane: &str| (lane.to_owned(), 1);
    assert_eq!(
        counts,
        [count("bot"), count("events:backend"), count("other")]
    );
}

#[tokio::test]
async fn a_retried_message_joins_the_end_and_resumes_where_it_failed() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.failed_halfway("ann").await;
    let (second, _) = bench.accept(&send_to("ann", 1)).await;
    bench.pass(DAY_MS * 2);
    let (found, wakes) = bench.retry(&message.to_string()).await;
    assert!(found);
    assert_eq!(wakes.sends, [("bot".to_owned(), conversation.0, false)]);
    assert!(bench.letters(None).await.is_empty());
    let outcome = bench.outcome(message).await;
    assert_eq!((outcome.status.as_str(), outcome.failures), ("queued", 0));
    assert_eq!(outcome.error, None);
    // The second is too old by now; the retried one has a new day.
    let job = bench.deliver(conversation, 1).await;
    assert_eq!(job.key(), PartKey { message, idx: 1 });
    assert_eq!(bench.status(second).await, "failed");
    bench.taken(&job, "p1").await;
    let job = bench.deliver(conversation, 1).await;
    bench.taken(&job, "p2").await;
    assert_eq!(bench.status(message).await, "sent");
    let numbers = "SELECT parts_sent FROM messages WHERE id = 1";
    assert_eq!(bench.number(numbers).await, 3);
}

#[tokio::test]
async fn a_failed_delivery_is_sent_anew() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.send("ann", "p1").await;
    let failed = |key: &str| {
        let update = status_of("p1", DeliveryStatus::Failed);
        event(key, EventBody::Status(update))
    };
    bench.came(failed("s1")).await;
    assert!(bench.retry(&message.to_string()).await.0);
    // What is still told of the old attempt does not concern the new one.
    bench.came(failed("s2")).await;
    assert_eq!(bench.status(message).await, "queued");
    let job = bench.deliver(conversation, 1).await;
    assert_eq!((job.part.index, job.attempt), (0, 2));
    bench.taken(&job, "p2").await;
    assert_eq!(bench.status(message).await, "sent");
    let history = bench.history(message).await;
    assert_eq!(history.platform_ids, ["p2"]);
}

#[tokio::test]
async fn a_waiting_message_can_be_hastened_and_nothing_else() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let (found, wakes) = bench.retry(&message.to_string()).await;
    assert!(found);
    assert_eq!(wakes.sends, [("bot".to_owned(), conversation.0, false)]);
    let (sent, _) = bench.send("bob", "p").await;
    let sent = sent.to_string();
    for id in [
        sent.as_str(),
        "99",
        "-1",
        "x",
        "event:9:backend",
        "event:x:y",
        "",
    ] {
        assert!(!bench.retry(id).await.0, "{id}");
        assert!(!bench.drop_letter(id).await, "{id}");
    }
}

#[tokio::test]
async fn a_retried_event_starts_anew() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    bench.refused(1, None).await;
    let (found, wakes) = bench.retry("event:1:backend").await;
    assert!(found);
    assert_eq!(wakes.events, [("backend".to_owned(), 1)]);
    assert!(bench.letters(None).await.is_empty());
    let row = "SELECT attempts FROM deliveries WHERE event_id = 1 AND open AND first_at IS NULL";
    assert_eq!(bench.number(row).await, 0);
    assert!(!bench.retry("event:1:backend").await.0);
}

#[tokio::test]
async fn dropping_strikes_off_gives_up_and_cancels() {
    let bench = Bench::open().await;
    let (dead, _) = bench.failed_halfway("ann").await;
    assert!(bench.drop_letter(&dead.to_string()).await);
    assert!(!bench.drop_letter(&dead.to_string()).await);
    assert!(!bench.retry(&dead.to_string()).await.0);

    let (waiting, conversation) = bench.accept(&send_to("bob", 1)).await;
    let later = AcceptSend {
        send_at: Some(Millis(T0 + 9)),
        ..send_to("cid", 1)
    };
    let (scheduled, _) = bench.accept(&later).await;
    bench.news().await;
    assert!(bench.drop_letter(&waiting.to_string()).await);
    assert!(bench.drop_letter(&scheduled.to_string()).await);
    assert_eq!(bench.news().await, ["message-status-updated"; 2]);
    assert!(matches!(bench.begin(conversation, 1).await, Begun::Nothing));
    bench.pass(DAY_MS);
    let released = bench.unit(|tx, unit| at_once(sends::release_scheduled(tx, unit)));
    assert_eq!(released.await.0, (0, None));
    let outcome = bench.outcome(waiting).await;
    assert_eq!((outcome.status.as_str(), outcome.open), ("failed", false));
    assert_eq!(outcome.error.unwrap().1, "dropped");

    bench.came(wrote("dan", "m1")).await;
    assert!(bench.drop_letter("event:1:backend").await);
    assert!(!bench.drop_letter("event:1:backend").await);
    assert!(bench.letters(None).await.is_empty());
}

#[tokio::test]
async fn an_effect_is_worth_doing_for_a_minute() {
    let bench = Bench::open().await;
    let batch = InboundBatch {
        channel: bot(),
        events: Vec::new(),
        effects: vec![Effect::FetchProfile {
            user: "ann".to_owned(),
        }],
    };
    let (_, wakes) = bench
        .unit(move |tx, unit| at_once(apply(tx, unit, std::slice::from_ref(&batch))))
        .await;
    let (channel, id) = wakes.effects[0].clone();
    let load = || bench.unit(move |tx, unit| at_once(upkeep::effect(tx, unit, id)));
    let due = || bench.unit(|tx, unit| at_once(upkeep::due_effects(tx, unit)));
    assert!(matches!(load().await.0, Some(Effect::FetchProfile { .. })));
    assert_eq!(due().await.0, [(channel, id)]);
    bench.pass(60_000);
    assert_eq!(load().await.0, None);
    assert!(due().await.0.is_empty());
    bench.pass(-1);
    assert!(load().await.0.is_some());
    bench
        .unit(move |tx, _| at_once(upkeep::effect_done(tx, id)))
        .await;
    assert_eq!(load().await.0, None);
}

const KEEP: Retention = Retention {
    raw_events_ms: 30 * DAY_MS,
    delivered_events_ms: 7 * DAY_MS,
    dedup_keys_ms: 8 * DAY_MS,
};

impl Bench {
    async fn prune(&self) -> u64 {
        self.prune_from(0).await.gone
    }

    async fn prune_from(&self, from: i64) -> upkeep::Pruned {
        self.unit(move |tx, unit| at_once(upkeep::prune(tx, unit, &KEEP, from)))
            .await
            .0
    }

    async fn counts(&self) -> [i64; 6] {
        [
            self.number("SELECT COUNT(*) FROM raw_events").await,
            self.number("SELECT COUNT(*) FROM dedup_keys").await,
            self.number("SELECT COUNT(*) FROM early_statuses").await,
            self.number("SELECT COUNT(*) FROM deliveries").await,
            self.number("SELECT COUNT(*) FROM events").await,
            self.number("SELECT COUNT(*) FROM idempotency_keys").await,
        ]
    }
}

#[tokio::test]
async fn everything_is_forgotten_in_its_time_and_not_before() {
    let bench = Bench::with(vec![receiver("backend", &["new-messages"])]).await;
    let unknown = EventBody::Unknown {
        what: "w".to_owned(),
        raw: "{}".to_owned(),
    };
    let early = EventBody::Status(status_of("p", DeliveryStatus::Read));
    bench.came(event("u", unknown)).await;
    bench.came(event("s", early)).await;
    bench.came(wrote("ann", "m1")).await; // its event will be delivered
    bench.came(wrote("ann", "m2")).await; // this one waits
    bench.came(wrote("ann", "m3")).await; // this one is a dead letter
    bench
        .meddle("UPDATE deliveries SET open = FALSE WHERE event_id = 1")
        .await;
    bench.refused(3, None).await;
    let keyed = |key: &str| AcceptSend {
        idempotency: Some(sends::Idempotency {
            key: key.to_owned(),
            arguments: String::new(),
        }),
        ..send_to("ann", 1)
    };
    let (_, conversation) = bench.accept(&keyed("done")).await;
    let job = bench.deliver(conversation, 1).await;
    bench.taken(&job, "p1").await;
    bench.accept(&keyed("waits")).await;
    assert_eq!(bench.counts().await, [1, 2, 1, 3, 3, 2]);
    assert_eq!(bench.prune().await, 0);
    bench.pass(DAY_MS + 1);
    bench.prune().await;
    assert_eq!(bench.counts().await, [1, 2, 1, 3, 3, 1]);
    assert_eq!(
        bench.texts("SELECT key FROM idempotency_keys").await,
        ["waits"]
    );
    bench.pass(6 * DAY_MS);
    bench.prune().await;
    assert_eq!(bench.counts().await, [1, 2, 0, 2, 2, 1]);
    bench.pass(DAY_MS);
    bench.prune().await;
    assert_eq!(bench.counts().await, [1, 0, 0, 2, 2, 1]);
    bench.pass(22 * DAY_MS);
    bench.prune().await;
    assert_eq!(bench.counts().await, [0, 0, 0, 2, 2, 1]);
    assert_eq!(bench.prune().await, 0);
    // What people said stays.
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 5);
}

#[tokio::test]
async fn the_keys_of_erased_messages_are_forgotten_like_the_others() {
    let bench = Bench::open().await;
    let keyed = AcceptSend {
        idempotency: Some(sends::Idempotency {
            key: "k".to_owned(),
            arguments: String::new(),
        }),
        ..send_to("ann", 1)
    };
    bench.accept(&keyed).await;
    let erase = |tx: &mut Tx<'_>, unit: &mut Unit<'_>| {
        at_once(crate::store::users::delete(tx, unit, UserId(2)))
    };
    bench.unit(erase).await;
    bench.pass(DAY_MS + 1);
    bench.prune().await;
    assert_eq!(
        bench.texts("SELECT key FROM idempotency_keys").await,
        [""; 0]
    );
}

#[tokio::test]
async fn pruning_takes_a_bounded_bite() {
    let bench = Bench::with(vec![]).await;
    bench
        .meddle(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
             INSERT INTO dedup_keys SELECT 'bot', 'k' || i, 0 FROM n",
        )
        .await;
    let mut bites = Vec::new();
    loop {
        match bench.prune().await {
            0 => break,
            bite => bites.push(bite),
        }
    }
    assert_eq!(bites, [1000, 1000, 500]);
}

#[tokio::test]
async fn told_events_are_found_by_their_times_among_gaps() {
    let bench = Bench::with(vec![receiver("backend", &["new-messages"])]).await;
    for n in 0..9 {
        bench.came(wrote("ann", &format!("m{n}"))).await;
        bench.pass(DAY_MS);
    }
    bench
        .meddle("UPDATE deliveries SET open = FALSE WHERE event_id <> 2")
        .await;
    bench
        .meddle("DELETE FROM events WHERE id IN (1, 4, 5, 9)")
        .await;
    bench
        .meddle("DELETE FROM deliveries WHERE event_id IN (1, 4, 5, 9)")
        .await;
    // Kept for a week: the first two and the one that waits are older, and two of them are there.
    bench.pass(DAY_MS);
    bench.prune().await;
    let left = async || {
        bench
            .texts("SELECT CAST(id AS TEXT) FROM events ORDER BY id")
            .await
    };
    assert_eq!(left().await, ["2", "6", "7", "8"]);
    bench.pass(20 * DAY_MS);
    bench.prune().await;
    assert_eq!(left().await, ["2"]);
}

#[tokio::test]
async fn old_events_that_wait_hide_none_behind_them() {
    let bench = Bench::open().await;
    bench
        .meddle(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2501)
             INSERT INTO events (uid, function, data, created_at)
             SELECT 'e' || i, 'message-sent', '{}', 0 FROM n",
        )
        .await;
    // A receiver that was paused long ago has not taken all but the last.
    bench
        .meddle(
            "INSERT INTO deliveries (event_id, webhook_id, group_id, open, next_at)
             SELECT id, 'backend', 1, id < 2501, 0 FROM events",
        )
        .await;
    let next = |next| upkeep::Pruned { gone: 0, next };
    assert_eq!(bench.prune_from(0).await, next(Some(1001)));
    assert_eq!(bench.prune_from(1001).await, next(Some(2001)));
    let last = upkeep::Pruned {
        gone: 2,
        next: None,
    };
    assert_eq!(bench.prune_from(2001).await, last);
    assert_eq!(bench.number("SELECT COUNT(*) FROM events").await, 2500);
}
