//! Commits: shared by units that wait together, and each unit for itself.

use super::*;
use std::sync::Arc;
use std::sync::mpsc;

type Step = Box<dyn FnMut(&mut Tx<'_>) -> Result<(), StoreError> + Send>;

/// Writes a marker into a table that nothing else in the test touches.
pub(super) fn mark(tx: &mut Tx<'_>, lane: &str) -> Result<(), StoreError> {
    at_once(async {
        tx.exec(
            "INSERT INTO paused_lanes (lane, reason, message, since) VALUES ($1, '', '', 0)",
            vals![lane],
        )
        .await
        .map(drop)
    })
}

impl Bench {
    pub(super) async fn marks(&self) -> Vec<String> {
        self.texts("SELECT lane FROM paused_lanes ORDER BY lane")
            .await
    }

    /// Runs units in one commit: the writer is held until all of them wait.
    pub(super) async fn grouped(&self, units: Vec<Step>) -> Vec<Result<(), StoreError>> {
        let (open, gate) = mpsc::channel::<()>();
        let mut calls: Vec<futures_util::future::BoxFuture<'_, _>> = Vec::new();
        let held = self.store().write(move |_, _| {
            gate.recv().ok();
            Ok(())
        });
        for mut unit in units {
            let write = self.store().write(move |tx, _| unit(tx));
            calls.push(Box::pin(async move { write.await.map(|(value, _)| value) }));
        }
        let open = async move {
            // All calls were polled once by now, and wait for their results.
            tokio::task::yield_now().await;
            drop(open);
        };
        let (held, all, ()) = tokio::join!(held, futures_util::future::join_all(calls), open);
        // It is part of the group, too, and of no interest.
        held.ok();
        all
    }
}

pub(super) fn ok(lane: &'static str) -> Step {
    Box::new(move |tx| mark(tx, lane))
}

#[tokio::test]
async fn a_failing_unit_is_rolled_back_alone() {
    let bench = Bench::open().await;
    bench.unit(|tx, _| mark(tx, "taken")).await;
    let all = bench
        .grouped(vec![
            ok("a"),
            Box::new(|tx| {
                mark(tx, "half")?;
                Err(StoreError::Corrupt("on purpose".to_owned()))
            }),
            ok("b"),
            Box::new(|tx| {
                mark(tx, "half2")?;
                mark(tx, "taken")
            }),
            ok("c"),
        ])
        .await;
    let fine: Vec<bool> = all.iter().map(Result::is_ok).collect();
    assert_eq!(fine, [true, false, true, false, true]);
    assert!(matches!(all[1], Err(StoreError::Corrupt(_))));
    assert!(matches!(all[3], Err(StoreError::Taken(_))), "{:?}", all[3]);
    assert_eq!(bench.marks().await, ["a", "b", "c", "taken"]);
}

#[tokio::test]
async fn a_panicking_unit_takes_no_other_with_it() {
    let bench = Bench::open().await;
    let all = bench
        .grouped(vec![
            ok("a"),
            Box::new(|tx| {
                mark(tx, "half")?;
                panic!("on purpose");
            }),
            ok("b"),
        ])
        .await;
    assert!(matches!(all[1], Err(StoreError::Unavailable(_))));
    assert_eq!(bench.marks().await, ["a", "b"]);
    for _ in 0..10 {
        let panics = bench.store().read::<(), _>(|_| panic!("on purpose"));
        assert!(panics.await.is_err());
    }
    assert_eq!(bench.marks().await, ["a", "b"]);
    bench.unit(|tx, _| mark(tx, "c")).await;
    assert_eq!(bench.marks().await, ["a", "b", "c"]);
}

#[tokio::test]
async fn two_hundred_writers_at_once() {
    let bench = Arc::new(Bench::open().await);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let bench = Arc::clone(&bench);
        tasks.spawn(async move {
            let lane = format!("lane-{n:03}");
            let own = lane.clone();
            bench.unit(move |tx, _| mark(tx, &lane)).await;
            // What was written is read at once.
            let seen = bench.read(move |tx| {
                at_once(async {
                    let sql = "SELECT COUNT(*) FROM paused_lanes WHERE lane = $1";
                    tx.one(sql, vals![&own]).await?.int()
                })
            });
            assert_eq!(seen.await, 1);
            bench
                .came(wrote(&format!("user-{}", n % 20), &format!("m{n}")))
                .await
        });
    }
    let fates = tasks.join_all().await;
    assert!(fates.iter().all(|f| *f == Fate::Applied));
    assert_eq!(bench.marks().await.len(), 200);
    assert_eq!(bench.number("SELECT COUNT(*) FROM messages").await, 200);
    assert_eq!(bench.number("SELECT COUNT(*) FROM conversations").await, 20);
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let mut bench = Bench::open().await;
    bench.came(wrote("ann", "m1")).await;
    let gateway_key = "SELECT value FROM meta WHERE key = 'gateway_key'";
    let key = bench.texts(gateway_key).await;
    // Units whose callers went away are committed all the same, before the lock goes.
    for n in 0..50 {
        let lane = format!("lane-{n:02}");
        let write = bench.store().write(move |tx, _| mark(tx, &lane));
        let gone = tokio::time::timeout(std::time::Duration::ZERO, write).await;
        drop(gone);
    }
    drop(bench.store.take());
    bench.store = Some(bench.again().await.unwrap());
    assert_eq!(bench.messages(ConversationId(1)).await.len(), 1);
    assert_eq!(bench.texts(gateway_key).await, key);
    assert_eq!(bench.marks().await.len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_go_away_keep_nobody_out() {
    let bench = Bench::open().await;
    for _ in 0..40 {
        let slow = bench.store().read(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            Ok(())
        });
        let gone = tokio::time::timeout(std::time::Duration::from_millis(1), slow).await;
        assert!(gone.is_err());
    }
    assert_eq!(bench.number("SELECT 1").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_one_state() {
    let bench = Bench::open().await;
    let (reading, read_once) = mpsc::channel();
    let (written, go_on) = mpsc::channel::<()>();
    let count = |tx: &mut Tx<'_>| {
        at_once(async {
            let sql = "SELECT COUNT(*) FROM paused_lanes";
            tx.one(sql, &[]).await?.int()
        })
    };
    let reader = bench.read(move |tx| {
        let before = count(tx)?;
        reading.send(()).unwrap();
        go_on.recv().ok();
        Ok((before, count(tx)?))
    });
    let writer = async {
        tokio::task::block_in_place(|| read_once.recv()).unwrap();
        bench.unit(|tx, _| mark(tx, "a")).await;
        drop(written);
    };
    let (seen, ()) = tokio::join!(reader, writer);
    assert_eq!(seen, (0, 0));
    assert_eq!(bench.marks().await, ["a"]);
}

#[tokio::test]
async fn readers_cannot_write() {
    let bench = Bench::open().await;
    let write = bench.store().read(|tx| mark(tx, "a")).await;
    assert!(write.is_err());
    bench.store().ping().await.unwrap();
}
