//! The file: one process, a transaction that all units of a group share, a disk that is full.

use super::commits::{mark, ok};
use super::*;

#[tokio::test]
async fn a_transaction_that_is_lost_is_lost_for_all_of_it_and_nobody_else() {
    let bench = Bench::open().await;
    let all = bench
        .grouped(vec![
            ok("a"),
            Box::new(|tx| {
                mark(tx, "half")?;
                // As SQLite does by itself when the disk is full.
                at_once(async { tx.exec("ROLLBACK", &[]).await })?;
                Err(StoreError::Unavailable("disk full".to_owned()))
            }),
            ok("b"),
            ok("c"),
        ])
        .await;
    assert!(all[0].is_err(), "its commit never came");
    assert!(all[1].is_err());
    // Whoever was told "done" is there, whoever was told otherwise is not.
    let told: Vec<&str> = ["a", "half", "b", "c"]
        .into_iter()
        .zip(&all)
        .filter_map(|(lane, result)| result.is_ok().then_some(lane))
        .collect();
    assert_eq!(bench.marks().await, told);
    assert_eq!(told, ["b", "c"]);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let bench = Bench::open().await;
    let second = bench.again().await;
    match second {
        Err(StoreError::Locked(path)) => assert_eq!(path, bench.place.file()),
        Err(other) => panic!("{other} instead of a lock"),
        Ok(_) => panic!("two stores on one file"),
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_breaks_nothing() {
    let bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    let pages = |limit: &'static str| {
        bench.unit(move |tx, _| at_once(async { tx.rows(limit, &[]).await.map(drop) }))
    };
    pages("PRAGMA max_page_count = 1").await;
    let big = with(wrote("ann", "m2"), |m| m.text = "x".repeat(4_000_000));
    let batch = InboundBatch {
        channel: bot(),
        events: vec![big.clone()],
        effects: Vec::new(),
    };
    let refused =
        bench.try_unit(move |tx, unit| at_once(apply(tx, unit, std::slice::from_ref(&batch))));
    assert!(matches!(refused.await, Err(StoreError::Unavailable(_))));
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 1);
    pages("PRAGMA max_page_count = 1000000").await;
    // The platform delivers it again.
    assert_eq!(bench.came(big).await, Fate::Applied);
    assert_eq!(bench.texts("PRAGMA integrity_check").await, ["ok"]);
}

#[tokio::test]
async fn the_log_begins_anew_however_much_is_written() {
    const MIB: u64 = 1 << 20;
    let bench = Bench::open().await;
    let mut longest = 0;
    for n in 0..110 {
        let text = "x".repeat(4 << 20);
        bench
            .unit(move |tx, unit| {
                let channel = bot();
                at_once(crate::store::inbound::raw(tx, unit, &channel, "big", &text))
            })
            .await;
        let log = std::fs::metadata(bench.place.file().with_extension("db-wal"));
        longest = longest.max(log.unwrap().len());
        assert!(
            longest < 300 * MIB,
            "after {n} times 4 MiB the log has {longest} bytes"
        );
    }
    assert!(longest > 120 * MIB, "it was carried over with every commit");
    let kept = bench.number("SELECT COUNT(*) FROM raw_events WHERE LENGTH(body) = 4194304");
    assert_eq!(kept.await, 110);
    assert_eq!(bench.texts("PRAGMA integrity_check").await, ["ok"]);
}
