//! What a worker does: begins, records, gives back, gives up.

use super::*;
use crate::store::upkeep;
use crate::store::work::{Failure, PutOff};
use switchboard_channels::{Class, SendError};

pub(super) fn put_off(job: &Job, class: Class, next_at: i64) -> PutOff {
    PutOff {
        attempt: job.attempt_key(),
        error: SendError::new(class, "500", "try again"),
        next_at: Millis(next_at),
        unsure: class == Class::Unsure,
        counts: true,
    }
}

impl Bench {
    pub(super) async fn put_off(&self, put_off: PutOff) -> Wakes {
        self.unit(move |tx, unit| at_once(work::put_off(tx, unit, &put_off)))
            .await
            .1
    }

    pub(super) async fn fail(&self, job: &Job, failure: Failure) {
        let message = job.part.message;
        let failure = Failure {
            attempt: Some(job.attempt_key()),
            ..failure
        };
        self.unit(move |tx, unit| at_once(work::fail(tx, unit, message, &failure)))
            .await;
    }

    pub(super) async fn more(&self, conversation: ConversationId) -> Option<bool> {
        self.read(move |tx| {
            at_once(async {
                let asked = work::ask_more(tx, conversation).await?;
                work::read_more(tx, asked).await
            })
        })
        .await
    }
}

pub(super) fn refused() -> Failure {
    Failure {
        attempt: None,
        class: "recipient".to_owned(),
        code: "403".to_owned(),
        message: "blocked".to_owned(),
        opted_out: false,
    }
}

#[tokio::test]
async fn a_receipt_and_the_next_parts_beginning_are_one_commit() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 3)).await;
    bench.news().await;
    let mut job = bench.deliver(conversation, 7).await;
    assert_eq!(bench.status(message).await, "sending");
    assert_eq!((job.attempt, job.part.index, job.part.of), (1, 0, 3));
    for n in 0..2 {
        let taken = Taken {
            next: Some(begin_at(conversation, 7)),
            ..receipt(&job, &format!("p{n}"))
        };
        let (after, wakes) = bench.taken_unit(taken).await;
        assert!(wakes.outcomes.is_empty(), "it is not done yet");
        assert_eq!(after.more, Some(false));
        let Begun::Deliver(next) = after.next else {
            panic!("{:?} instead of the next part", after.next);
        };
        job = *next;
        assert_eq!(
            job.key(),
            PartKey {
                message,
                idx: n + 1
            }
        );
        let states = bench.history(message).await.parts;
        let states: Vec<String> = states.into_iter().map(|p| p.state).collect();
        assert_eq!(states[usize::try_from(n).unwrap()], "sent");
        assert_eq!(states[usize::try_from(n).unwrap() + 1], "begun");
    }
    let taken = Taken {
        next: Some(begin_at(conversation, 7)),
        ..receipt(&job, "p2")
    };
    let (after, wakes) = bench.taken_unit(taken).await;
    assert!(matches!(after.next, Begun::Nothing));
    assert_eq!(after.more, None);
    assert_eq!(wakes.outcomes, [message]);
    let outcome = bench.outcome(message).await;
    assert_eq!((outcome.status.as_str(), outcome.open), ("sent", false));
    assert_eq!(outcome.answers.len(), 3);
    let told = bench.told().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1["parts_sent"], 3);
    assert_eq!(told[0].1["platform_ids"].as_array().unwrap().len(), 3);
    assert_eq!(bench.attempts(message).await, ["sent"; 3]);
}

#[tokio::test]
async fn a_part_begun_for_the_next_message_rides_along() {
    let bench = Bench::open().await;
    let (_, conversation) = bench.accept(&send_to("ann", 1)).await;
    let (second, _) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    let taken = Taken {
        next: Some(begin_at(conversation, 1)),
        ..receipt(&job, "p1")
    };
    let (after, _) = bench.taken_unit(taken).await;
    let Begun::Deliver(next) = after.next else {
        panic!("{:?}", after.next);
    };
    assert_eq!(next.part.message, second);
}

#[tokio::test]
async fn a_lower_fence_comes_too_late() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 9).await;
    bench.put_off(put_off(&job, Class::Retry, T0)).await;
    let stale = bench.begin(conversation, 8).await;
    assert!(matches!(stale, Begun::Stale { fence: 9 }), "{stale:?}");
    assert_eq!(bench.attempts(message).await, ["retry"]);
    // The same fence, and a higher one, may go on.
    let job = bench.deliver(conversation, 9).await;
    bench.put_off(put_off(&job, Class::Retry, T0)).await;
    assert_eq!(bench.deliver(conversation, 10).await.attempt, 3);
    let nowhere = bench.begin(ConversationId(99), 1).await;
    assert!(matches!(nowhere, Begun::Nothing));
}

#[tokio::test]
async fn an_open_attempt_is_its_workers_while_it_gives_signs_of_life() {
    let bench = Bench::open().await;
    let (_, conversation) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    bench.pass(DEAD_AFTER_MS - 1);
    let busy = bench.begin(conversation, 2).await;
    let until = Millis(T0 + DEAD_AFTER_MS);
    assert!(
        matches!(busy, Begun::Busy { until: u } if u == until),
        "{busy:?}"
    );
    let attempt = job.attempt_key();
    bench
        .unit(move |tx, unit| at_once(work::heartbeat(tx, unit, attempt)))
        .await;
    bench.pass(DEAD_AFTER_MS - 1);
    assert!(matches!(
        bench.begin(conversation, 3).await,
        Begun::Busy { .. }
    ));
    bench.pass(1);
    let found = bench.begin(conversation, 4).await;
    assert!(matches!(found, Begun::InDoubt { .. }), "{found:?}");
}

#[tokio::test]
async fn at_the_start_of_the_only_process_no_attempt_is_anybodys() {
    let bench = Bench::open().await;
    let (_, conversation) = bench.accept(&send_to("ann", 1)).await;
    bench.deliver(conversation, 1).await;
    bench
        .unit(|tx, _| at_once(upkeep::forget_heartbeats(tx)))
        .await;
    let found = bench.begin(conversation, 2).await;
    assert!(matches!(found, Begun::InDoubt { .. }), "{found:?}");
}

#[tokio::test]
async fn what_is_put_off_keeps_its_place_and_its_history() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 2)).await;
    bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    bench.taken(&job, "p1").await;
    let job = bench.deliver(conversation, 1).await;
    let wakes = bench.put_off(put_off(&job, Class::Retry, T0 + 500)).await;
    assert_eq!(wakes.outcomes, [message], "the caller need not wait on");
    let outcome = bench.outcome(message).await;
    assert!(outcome.open);
    assert_eq!((outcome.failures, outcome.next_at), (1, Millis(T0 + 500)));
    assert_eq!(outcome.error.unwrap().1, "500");
    // It resumes at the second part, before the second message.
    bench.pass(500);
    let again = bench.deliver(conversation, 2).await;
    assert_eq!(again.key(), job.key());
    assert_eq!((again.attempt, again.failures), (2, 1));
    assert_eq!(again.first_failed_at, Some(Millis(T0)));
    // A limit of the platform is not a failure.
    let limited = PutOff {
        counts: false,
        ..put_off(&again, Class::Retry, T0 + 900)
    };
    bench.put_off(limited).await;
    assert_eq!(bench.outcome(message).await.failures, 1);
    let last = bench.deliver(conversation, 2).await;
    bench.taken(&last, "p2").await;
    assert_eq!(bench.status(message).await, "sent");
    let history = bench.attempts(message).await;
    assert_eq!(history, ["sent", "retry", "retry", "sent"]);
}

#[tokio::test]
async fn what_is_handed_back_was_no_attempt() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    let attempt = job.attempt_key();
    bench
        .unit(move |tx, unit| at_once(work::hand_back(tx, unit, attempt, Millis(T0 + 9))))
        .await;
    assert_eq!(bench.attempts(message).await, [] as [&str; 0]);
    assert_eq!(bench.outcome(message).await.next_at, Millis(T0 + 9));
    assert_eq!(bench.deliver(conversation, 2).await.attempt, 1);
}

#[tokio::test]
async fn a_refused_message_ends_and_the_next_one_goes_on() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 3)).await;
    let (second, _) = bench.accept(&send_to("ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    bench.taken(&job, "p1").await;
    let job = bench.deliver(conversation, 1).await;
    bench.news().await;
    let opted_out = Failure {
        opted_out: true,
        ..refused()
    };
    bench.fail(&job, opted_out).await;
    let outcome = bench.outcome(message).await;
    assert_eq!((outcome.status.as_str(), outcome.open), ("failed", false));
    let told = bench.told().await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].1["parts_sent"], 1);
    assert_eq!(told[0].1["error"]["class"], "recipient");
    assert_eq!(told[1].1["change"], "unsubscribed");
    assert_eq!(bench.attempts(message).await, ["sent", "recipient"]);
    assert_eq!(bench.deliver(conversation, 1).await.part.message, second);
    // Twice is the same as once.
    bench.fail(&job, refused()).await;
    assert_eq!(bench.told().await, []);
}

#[tokio::test]
async fn a_message_whose_time_is_over_is_given_up_when_its_turn_comes() {
    let bench = Bench::open().await;
    let short = AcceptSend {
        deadline_at: Millis(T0 + 100),
        ..send_to("ann", 1)
    };
    let (old, conversation) = bench.accept(&short).await;
    let (young, _) = bench.accept(&send_to("ann", 1)).await;
    bench.pass(100);
    assert_eq!(bench.deliver(conversation, 1).await.part.message, young);
    let outcome = bench.outcome(old).await;
    assert_eq!(outcome.status, "failed");
    assert_eq!(outcome.error.unwrap().1, "too-old");
    assert_eq!(bench.attempts(old).await, [] as [&str; 0]);
}

#[tokio::test]
async fn expiry_leaves_alone_what_is_being_sent() {
    let bench = Bench::open().await;
    let short = |to: &str| AcceptSend {
        deadline_at: Millis(T0 + 100),
        ..send_to(to, 1)
    };
    let (waits, _) = bench.accept(&short("ann")).await;
    let (begun, busy) = bench.accept(&short("bob")).await;
    let (later, _) = bench.accept(&send_to("cid", 1)).await;
    let job = bench.deliver(busy, 1).await;
    let expire = || bench.unit(|tx, unit| at_once(upkeep::expire(tx, unit)));
    assert_eq!(expire().await.0, 0);
    bench.pass(100);
    let (count, wakes) = expire().await;
    assert_eq!(count, 1);
    assert_eq!(wakes.outcomes, [waits]);
    assert_eq!(bench.status(waits).await, "failed");
    assert_eq!(bench.status(begun).await, "sending");
    assert_eq!(bench.status(later).await, "queued");
    bench.taken(&job, "p").await;
    assert_eq!(bench.status(begun).await, "sent");
    assert_eq!(expire().await.0, 0);
}

#[tokio::test]
async fn more_says_whether_something_waits_and_how_urgently() {
    let bench = Bench::open().await;
    let bulk = AcceptSend {
        bulk: true,
        ..send_to("ann", 1)
    };
    let (_, conversation) = bench.accept(&bulk).await;
    assert_eq!(bench.more(conversation).await, Some(true));
    bench.accept(&send_to("ann", 1)).await;
    assert_eq!(bench.more(conversation).await, Some(false));
    let job = bench.deliver(conversation, 1).await;
    assert_eq!(bench.taken(&job, "p1").await.more, Some(false));
    let job = bench.deliver(conversation, 1).await;
    assert_eq!(bench.taken(&job, "p2").await.more, None);
    assert_eq!(bench.more(conversation).await, None);
}

#[tokio::test]
async fn the_platforms_name_for_a_recipient_leads_to_the_same_person() {
    let bench = Bench::open().await;
    let (_, conversation) = bench.accept(&send_to("@ann", 1)).await;
    let job = bench.deliver(conversation, 1).await;
    let mut taken = receipt(&job, "p1");
    taken.receipt.alias = Some("4711".to_owned());
    bench.taken_unit(taken).await;
    bench.came(wrote("4711", "m1")).await;
    assert_eq!(bench.messages(conversation).await.len(), 2);
    assert_eq!(bench.number("SELECT COUNT(*) FROM users").await, 2);
}

#[tokio::test]
async fn the_schedule_can_be_rebuilt() {
    let bench = Bench::open().await;
    let (_, first) = bench.accept(&send_to("ann", 1)).await;
    let bulk = AcceptSend {
        bulk: true,
        ..send_to("bob", 1)
    };
    let (_, second) = bench.accept(&bulk).await;
    let later = AcceptSend {
        send_at: Some(Millis(T0 + 9)),
        ..send_to("cid", 1)
    };
    bench.accept(&later).await;
    let (_, done) = bench.send("dan", "p").await;
    let job = bench.deliver(first, 1).await;
    bench.put_off(put_off(&job, Class::Retry, T0 + 700)).await;
    bench.accept(&send_to("ann", 1)).await;
    let page = |after: i64| bench.read(move |tx| at_once(upkeep::due_conversations(tx, after)));
    let due = page(0).await;
    let seen: Vec<_> = due
        .iter()
        .map(|d| (d.group, d.next_at.0, d.bulk, d.retry))
        .collect();
    let wanted = [
        (first.0, T0 + 700, false, true),
        (second.0, T0, true, false),
    ];
    assert_eq!(seen, wanted);
    assert!(due.iter().all(|d| d.owner == "bot" && d.group != done.0));
    assert_eq!(page(first.0).await.len(), 1);
    assert_eq!(page(second.0).await, []);
}

/// The answer to a commit was lost, so the worker says the same again.
#[tokio::test]
async fn what_is_said_twice_counts_once() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 3)).await;
    let job = bench.deliver(conversation, 1).await;
    let taken = Taken {
        next: Some(begin_at(conversation, 1)),
        ..receipt(&job, "p1")
    };
    let mut second = Vec::new();
    for _ in 0..2 {
        match bench.taken_unit(taken.clone()).await.0.next {
            Begun::Deliver(job) => second.push(job),
            other => panic!("{other:?} instead of the second part"),
        }
    }
    let begun: Vec<_> = second.iter().map(|job| job.attempt_key()).collect();
    let key = PartKey { message, idx: 1 };
    let once = work::AttemptKey {
        part: key,
        fence: 1,
        no: 1,
    };
    assert_eq!(begun, [once, once]);
    assert_eq!(bench.attempts(message).await, ["sent"]);
    let Some(job) = second.pop() else {
        panic!("no second part");
    };
    for new in [true, false] {
        let refused = put_off(&job, Class::Retry, T0 + 1000);
        let recorded = bench.unit(move |tx, unit| at_once(work::put_off(tx, unit, &refused)));
        assert_eq!(recorded.await.0, new);
    }
    assert_eq!(bench.outcome(message).await.failures, 1);
    assert_eq!(bench.attempts(message).await, ["sent", "retry"]);
}
