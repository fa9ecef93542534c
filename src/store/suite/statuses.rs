//! How far a message has come: forward only, in any order of arrival.

use super::*;
use proptest::prelude::*;
use switchboard_channels::model::DeliveryStatus::{self, Delivered, Failed, Read, Sent};
use switchboard_channels::{Class, Words};

const ALL: [DeliveryStatus; 4] = [Sent, Failed, Delivered, Read];

/// A status of the platform, each time as news of its own.
fn status(platform_id: &str, status: DeliveryStatus) -> Event {
    let mut update = status_of(platform_id, status);
    if status == Failed {
        let words = Words::new("131026", "undeliverable");
        update.error = Some((Class::Recipient, words));
    }
    let key = format!("status-{}", uuid::Uuid::new_v4());
    event(&key, EventBody::Status(update))
}

#[tokio::test]
async fn statuses_move_a_message_forward_only() {
    let bench = Bench::open().await;
    let (message, _) = bench.send("ann", "p1").await;
    assert_eq!(bench.status(message).await, "sent");
    bench.news().await;
    for (step, name) in [(Delivered, "delivered"), (Read, "read")] {
        assert_eq!(bench.came(status("p1", step)).await, Fate::Applied);
        assert_eq!(bench.status(message).await, name);
        let told = bench.told().await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1["status"], name);
        assert_eq!(told[0].1["platform_ids"][0], "p1");
    }
    for step in ALL {
        bench.came(status("p1", step)).await;
        assert_eq!(bench.status(message).await, "read");
    }
    assert_eq!(bench.news().await, [] as [&str; 0]);
}

#[tokio::test]
async fn a_failed_delivery_is_a_dead_letter_with_the_platforms_words() {
    let bench = Bench::open().await;
    let (message, _) = bench.send("ann", "p1").await;
    bench.news().await;
    bench.came(status("p1", Failed)).await;
    let outcome = bench.outcome(message).await;
    assert_eq!(outcome.status, "failed");
    let error = outcome.error.unwrap();
    assert_eq!(
        (error.0.as_str(), error.1.as_str()),
        ("recipient", "131026")
    );
    let told = bench.told().await;
    assert_eq!(told[0].1["error"]["code"], "131026");
    let dead = "SELECT COUNT(*) FROM messages WHERE dead";
    assert_eq!(bench.number(dead).await, 1);
    // It arrived after all.
    bench.came(status("p1", Delivered)).await;
    let outcome = bench.outcome(message).await;
    assert_eq!(
        (outcome.status.as_str(), outcome.error),
        ("delivered", None)
    );
    assert_eq!(bench.number(dead).await, 0);
}

/// Sends a message of one part whose statuses come in this order, the first `early` of them before
/// its receipt, and says how it stands in the end.
async fn ends_as(
    bench: &Bench,
    n: usize,
    order: &[DeliveryStatus],
    early: usize,
) -> (String, bool, Option<(String, String, String)>) {
    let (to, id) = (format!("user-{n}"), format!("p-{n}"));
    let (message, conversation) = bench.accept(&send_to(&to, 1)).await;
    let job = bench.deliver(conversation, 1).await;
    for step in &order[..early] {
        assert_eq!(bench.came(status(&id, *step)).await, Fate::Kept);
    }
    bench.taken(&job, &id).await;
    for step in &order[early..] {
        assert_eq!(bench.came(status(&id, *step)).await, Fate::Applied);
    }
    let outcome = bench.outcome(message).await;
    assert!(!outcome.open);
    let dead = bench
        .read(move |tx| {
            at_once(async {
                let sql = "SELECT dead FROM messages WHERE id = $1";
                tx.one(sql, vals![message.0]).await?.bool()
            })
        })
        .await;
    (outcome.status, dead, outcome.error)
}

#[tokio::test]
async fn any_order_of_statuses_ends_the_same() {
    let bench = Bench::with(vec![]).await;
    let mut n = 0;
    for mask in 1..16_usize {
        let set: Vec<DeliveryStatus> = (0..4)
            .filter(|i| mask >> i & 1 == 1)
            .map(|i| ALL[i])
            .collect();
        let mut ends = Vec::new();
        for order in permutations(&set) {
            for early in 0..=order.len() {
                n += 1;
                ends.push(ends_as(&bench, n, &order, early).await);
            }
        }
        let furthest = set.iter().max().unwrap().name();
        assert!(ends.iter().all(|e| e.0 == furthest), "{set:?}: {ends:?}");
        ends.dedup();
        assert_eq!(ends.len(), 1, "{set:?}: {ends:?}");
    }
}

fn permutations(of: &[DeliveryStatus]) -> Vec<Vec<DeliveryStatus>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for i in 0..of.len() {
        let mut rest = of.to_vec();
        let first = rest.remove(i);
        for tail in permutations(&rest) {
            all.push([vec![first], tail].concat());
        }
    }
    all
}

/// What a message of several parts is, by the statuses that its parts ever had.
fn by_parts(parts: &[Vec<DeliveryStatus>]) -> &'static str {
    let furthest: Vec<DeliveryStatus> = parts
        .iter()
        .map(|p| p.iter().copied().max().unwrap_or(Sent))
        .collect();
    if furthest.contains(&Failed) {
        "failed"
    } else if furthest.last() == Some(&Read) {
        "read"
    } else if furthest.iter().all(|s| *s >= Delivered) {
        "delivered"
    } else {
        "sent"
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_parts_of_a_message_decide_in_any_order(
        cases in proptest::collection::vec(
            proptest::collection::vec((0..3_usize, 0..4_usize), 0..10), 8
        )
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let bench = Bench::with(vec![]).await;
            for (n, updates) in cases.into_iter().enumerate() {
                let to = format!("user-{n}");
                let (message, conversation) = bench.accept(&send_to(&to, 3)).await;
                for i in 0..3 {
                    let job = bench.deliver(conversation, 1).await;
                    bench.taken(&job, &format!("{to}-{i}")).await;
                }
                let mut parts = vec![Vec::new(); 3];
                for (part, step) in updates {
                    parts[part].push(ALL[step]);
                    bench.came(status(&format!("{to}-{part}"), ALL[step])).await;
                    prop_assert_eq!(bench.status(message).await, by_parts(&parts));
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn early_statuses_are_applied_once_with_the_receipt() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 2)).await;
    bench.came(status("p1", Read)).await;
    bench.came(status("p2", Delivered)).await;
    bench.came(status("p2", Sent)).await;
    assert_eq!(bench.number("SELECT COUNT(*) FROM early_statuses").await, 3);
    bench.news().await;
    let first = bench.deliver(conversation, 1).await;
    bench.taken(&first, "p1").await;
    assert_eq!(bench.status(message).await, "sending");
    let second = bench.deliver(conversation, 1).await;
    bench.taken(&second, "p2").await;
    assert_eq!(bench.status(message).await, "delivered");
    assert_eq!(bench.number("SELECT COUNT(*) FROM early_statuses").await, 0);
    assert_eq!(bench.news().await, ["message-status-updated"]);
}

#[tokio::test]
async fn an_early_failure_that_was_none_is_not_told() {
    let bench = Bench::open().await;
    let (message, conversation) = bench.accept(&send_to("ann", 1)).await;
    bench.came(status("p1", Failed)).await;
    bench.came(status("p1", Delivered)).await;
    let job = bench.deliver(conversation, 1).await;
    bench.news().await;
    bench.taken(&job, "p1").await;
    let told = bench.told().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1["status"], "delivered");
    assert_eq!(bench.status(message).await, "delivered");
}

#[tokio::test]
async fn a_status_of_something_we_did_not_send_waits_in_vain() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    assert_eq!(bench.came(status("m1", Read)).await, Fate::Kept);
    assert_eq!(bench.came(status("zzz", Read)).await, Fate::Kept);
    assert_eq!(bench.status(MessageId(1)).await, "received");
}

/// Everything sent to a person up to a time has this status.
fn watermark(who: &str, status: DeliveryStatus, until: i64) -> Event {
    let mut update = status_of("", status);
    update.watermark = Some(Millis(until));
    let key = format!("{who}-{}-{until}", status.name());
    from(who, &key, EventBody::Status(update))
}

#[tokio::test]
async fn a_watermark_moves_everything_up_to_it() {
    let bench = Bench::open().await;
    let mut sent = Vec::new();
    for n in 0..4 {
        sent.push(bench.send("ann", &format!("p{n}")).await.0);
        bench.pass(10_000);
    }
    let (bobs, _) = bench.send("bob", "q").await;
    let states = async || {
        let mut states = Vec::new();
        for id in &sent {
            states.push(bench.status(*id).await);
        }
        states
    };
    let fate = bench.came(watermark("ann", Delivered, T0 + 20_000)).await;
    assert_eq!(fate, Fate::Applied);
    assert_eq!(
        states().await,
        ["delivered", "delivered", "delivered", "sent"]
    );
    bench.came(watermark("ann", Read, T0 + 10_500)).await;
    assert_eq!(states().await, ["read", "read", "delivered", "sent"]);
    // Forward only, and nobody else's.
    bench.came(watermark("ann", Delivered, T0 + 90_000)).await;
    assert_eq!(states().await, ["read", "read", "delivered", "delivered"]);
    assert_eq!(bench.status(bobs).await, "sent");
    // The platform's clock may be a little behind ours.
    bench.came(watermark("ann", Read, T0 + 29_500)).await;
    assert_eq!(states().await, ["read"; 4]);
    assert_eq!(bench.number("SELECT COUNT(*) FROM early_statuses").await, 0);
}

#[tokio::test]
async fn a_watermark_of_a_stranger_makes_nobody() {
    let bench = Bench::open().await;
    let fate = bench.came(watermark("eve", Read, T0)).await;
    assert_eq!(fate, Fate::Kept);
    assert_eq!(bench.number("SELECT COUNT(*) FROM users").await, 1);
    // Known, but never written to.
    bench
        .came_to(
            &ChannelInfo {
                id: "b".to_owned(),
                ..bot()
            },
            vec![wrote("eve", "m")],
        )
        .await;
    let fate = bench.came(watermark("eve", Read, T0 + 1)).await;
    assert_eq!(fate, Fate::Kept);
}
