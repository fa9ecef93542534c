//! Mailboxes: one reader at a time, each mail once, and raw mails that go with their message.

use super::*;
use crate::store::mailboxes::{self, Claim, PipedMail, Position, Taking};
use crate::store::users;
use switchboard_channels::model::{Attachment, AttachmentKind, MediaRef};

const LEASE_MS: i64 = 60_000;

async fn claim(bench: &Bench) -> Option<(Claim, Position)> {
    let unit = bench
        .unit(|tx, unit| at_once(mailboxes::claim(tx, unit, "mail", "INBOX", LEASE_MS)))
        .await;
    unit.0
}

/// A claim on a mailbox that was opened under the numbers 7.
async fn opened(bench: &Bench) -> Claim {
    let (claim, position) = claim(bench).await.unwrap();
    let begun = Position {
        uid_validity: 7,
        ..position
    };
    let by = claim.clone();
    let set = bench.unit(move |tx, _| at_once(mailboxes::begin_at(tx, &by, &begun)));
    assert!(set.await.0);
    claim
}

fn taking(claim: &Claim, last_uid: i64, ids: &[&str]) -> Taking {
    let mails = ids.iter().map(|id| PipedMail {
        kept: Some(format!("mail/{id}")),
        batches: vec![InboundBatch {
            channel: bot(),
            events: vec![wrote("ann", id)],
            effects: Vec::new(),
        }],
    });
    Taking {
        claim: claim.clone(),
        uid_validity: 7,
        last_uid,
        newest_at: Millis(T0),
        mails: mails.collect(),
    }
}

async fn take(bench: &Bench, taking: Taking) -> Option<Vec<Fate>> {
    let done = bench.unit(move |tx, unit| at_once(mailboxes::take(tx, unit, &taking)));
    done.await
        .0
        .map(|f| f.into_iter().flatten().flatten().collect())
}

#[tokio::test]
async fn a_mailbox_has_one_reader_until_its_lease_ends() {
    let bench = Bench::open().await;
    let (first, position) = claim(&bench).await.unwrap();
    assert_eq!((position.uid_validity, position.last_uid), (0, 0));
    assert!(claim(&bench).await.is_none());
    bench.pass(LEASE_MS / 2);
    let by = first.clone();
    let renewed = bench.unit(move |tx, unit| at_once(mailboxes::renew(tx, unit, &by, LEASE_MS)));
    assert!(renewed.await.0.is_some());
    bench.pass(LEASE_MS - 1);
    assert!(claim(&bench).await.is_none());
    bench.pass(1);
    let (second, _) = claim(&bench).await.unwrap();
    assert!(second.fence > first.fence);
    // The first is late for everything now.
    let by = first.clone();
    let renewed = bench.unit(move |tx, unit| at_once(mailboxes::renew(tx, unit, &by, LEASE_MS)));
    assert_eq!(renewed.await.0, None);
    let (by, begin) = (first.clone(), position);
    let set = bench.unit(move |tx, _| at_once(mailboxes::begin_at(tx, &by, &begin)));
    assert!(!set.await.0);
    let by = first.clone();
    let tried = bench.unit(move |tx, _| at_once(mailboxes::trying(tx, &by, 1)));
    assert_eq!(tried.await.0, None);
    assert_eq!(take(&bench, taking(&first, 1, &["m1"])).await, None);
    bench
        .unit(move |tx, _| at_once(mailboxes::release(tx, &first)))
        .await;
    assert!(claim(&bench).await.is_none());
    // Given back, it is free at once.
    bench
        .unit(move |tx, _| at_once(mailboxes::release(tx, &second)))
        .await;
    assert!(claim(&bench).await.is_some());
    assert_eq!(bench.number("SELECT COUNT(*) FROM messages").await, 0);
}

#[tokio::test]
async fn mails_are_taken_once_and_the_position_only_moves_on() {
    let bench = Bench::open().await;
    let claim = opened(&bench).await;
    let two = taking(&claim, 2, &["m1", "m2"]);
    let fates = take(&bench, two.clone()).await;
    assert_eq!(fates, Some(vec![Fate::Applied, Fate::Applied]));
    // Again, as after a commit whose answer was lost; or an older look; or under other numbers.
    assert_eq!(take(&bench, two.clone()).await, None);
    assert_eq!(take(&bench, taking(&claim, 1, &["m1"])).await, None);
    let other = Taking {
        uid_validity: 8,
        ..taking(&claim, 9, &["m9"])
    };
    assert_eq!(take(&bench, other).await, None);
    // The same mail under a new number is a duplicate, and the position moves on.
    let again = take(&bench, taking(&claim, 3, &["m2"])).await;
    assert_eq!(again, Some(vec![Fate::Duplicate]));
    assert_eq!(bench.number("SELECT last_uid FROM mailboxes").await, 3);
    assert_eq!(bench.number("SELECT COUNT(*) FROM messages").await, 2);
}

#[tokio::test]
async fn starts_and_tries_are_counted_until_something_is_taken() {
    let bench = Bench::open().await;
    let mut starts = Vec::new();
    for _ in 0..3 {
        let (claim, position) = claim(&bench).await.unwrap();
        starts.push(position.starts);
        bench
            .unit(move |tx, _| at_once(mailboxes::release(tx, &claim)))
            .await;
    }
    assert_eq!(starts, [1, 2, 3]);
    let claim_now = opened(&bench).await;
    let mut tries = Vec::new();
    for uid in [5, 5, 6] {
        let by = claim_now.clone();
        let tried = bench.unit(move |tx, _| at_once(mailboxes::trying(tx, &by, uid)));
        tries.push(tried.await.0.unwrap());
    }
    assert_eq!(tries, [1, 2, 1]);
    take(&bench, taking(&claim_now, 6, &["m1"])).await.unwrap();
    bench
        .unit(move |tx, _| at_once(mailboxes::release(tx, &claim_now)))
        .await;
    assert_eq!(claim(&bench).await.unwrap().1.starts, 1);
}

#[tokio::test]
async fn kept_mails_go_after_their_time_but_not_while_an_attachment_waits() {
    let bench = Bench::open().await;
    let claim = opened(&bench).await;
    let mut mails = taking(&claim, 2, &["m1", "m2"]);
    mails.mails[1].batches[0].events = vec![with(wrote("bob", "m2"), |message| {
        message.attachments = vec![Attachment {
            kind: AttachmentKind::File,
            name: None,
            mime: None,
            size_bytes: None,
            media: Some(MediaRef::new("mail/m2")),
        }];
    })];
    take(&bench, mails).await.unwrap();
    let expired = || async {
        let keys = bench.unit(|tx, unit| at_once(mailboxes::expired_kept(tx, unit, DAY_MS)));
        keys.await.0
    };
    assert_eq!(expired().await, [] as [&str; 0]);
    bench.pass(DAY_MS + 1);
    assert_eq!(expired().await, ["mail/m1"]);
    bench.meddle("UPDATE media SET state = 'stored'").await;
    assert_eq!(expired().await, ["mail/m1", "mail/m2"]);
    bench
        .unit(|tx, _| at_once(mailboxes::forget_kept(tx, "mail/m1")))
        .await;
    assert_eq!(expired().await, ["mail/m2"]);
    // And a mail goes with the person who wrote it.
    let bob = bench
        .number("SELECT m.user_id FROM messages m JOIN media a ON a.message_id = m.id")
        .await;
    let gone = bench.unit(move |tx, unit| at_once(users::delete(tx, unit, UserId(bob))));
    let keys = gone.await.0.unwrap();
    assert!(keys.contains(&"mail/m2".to_owned()), "{keys:?}");
    assert_eq!(bench.number("SELECT COUNT(*) FROM kept_mails").await, 0);
}

#[tokio::test]
async fn a_look_is_asked_for_and_reported() {
    let bench = Bench::open().await;
    bench
        .unit(|tx, unit| at_once(mailboxes::want(tx, unit, "mail", "INBOX")))
        .await;
    let claim = opened(&bench).await;
    let by = claim.clone();
    let wanted = bench.unit(move |tx, unit| at_once(mailboxes::renew(tx, unit, &by, LEASE_MS)));
    assert_eq!(wanted.await.0, Some(Millis(T0)));
    let looked = || bench.read(|tx| at_once(mailboxes::looked_at(tx, "mail", "INBOX")));
    assert_eq!(looked().await, Millis(0));
    bench.pass(5);
    bench
        .unit(move |tx, unit| at_once(mailboxes::looked(tx, unit, &claim)))
        .await;
    assert_eq!(looked().await, Millis(T0 + 5));
}
