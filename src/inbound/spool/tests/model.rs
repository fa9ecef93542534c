//! The spool against a list: any order of records, replays, restarts and torn ends.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Debug, Clone)]
enum Step {
    /// A record of so many bytes is kept.
    Append(usize),
    /// So many of the next records are replayed.
    Replay(usize),
    /// The process ends and another begins; before that, the last segment gets bytes that nobody
    /// acknowledged.
    Restart(usize),
    /// The same, and the position is lost.
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3000usize).prop_map(Step::Append),
        3 => (1..5usize).prop_map(Step::Replay),
        1 => (0..30usize).prop_map(Step::Restart),
        1 => Just(Step::Forget),
    ];
    prop::collection::vec(step, 1..40)
}

/// Small, so that segments roll.
const SMALL: u64 = 40_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn it_behaves_like_a_list(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}

async fn check(steps: Vec<Step>) {
    let folder = Folder::new();
    let mut spool = Spool::open(&folder.0, SMALL).unwrap().0;
    let mut waiting: VecDeque<String> = VecDeque::new();
    let mut replayed: Vec<String> = Vec::new();
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Append(size) => {
                let text = format!("{n}:{}", "x".repeat(size));
                match spool.append(&record("bot", text.clone())).await {
                    Ok(()) => waiting.push_back(text),
                    Err(SpoolError::Full { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Replay(most) => {
                let window = spool.window().await.unwrap();
                let some = window.get(..most.min(window.len())).unwrap();
                for found in some {
                    let expected = waiting.pop_front().unwrap();
                    assert_eq!(body(found.record.as_ref().unwrap()), expected);
                    replayed.push(expected);
                }
                spool.done(some).await.unwrap();
            }
            Step::Restart(torn) => {
                drop(spool);
                if let Some(last) = folder.files("spool").last() {
                    use std::io::Write;
                    let mut file = File::options().append(true).open(last).unwrap();
                    file.write_all(&vec![0xEE; torn]).unwrap();
                }
                let (opened, repair) = Spool::open(&folder.0, SMALL).unwrap();
                assert_eq!(repair.damaged_bytes, 0);
                spool = opened;
            }
            Step::Forget => {
                drop(spool);
                drop(std::fs::remove_file(folder.0.join("position")));
                spool = Spool::open(&folder.0, SMALL).unwrap().0;
                // More comes again than had to: what was replayed last, in order, before the rest.
                let more = usize::try_from(spool.stats().records).unwrap() - waiting.len();
                for text in replayed.iter().rev().take(more) {
                    waiting.push_front(text.clone());
                }
                replayed.truncate(replayed.len() - more);
            }
        }
        assert_eq!(spool.stats().records, waiting.len() as u64);
        assert_eq!(spool.behind(["bot"]), !waiting.is_empty());
    }
    let notes = Notes::default();
    drain(&spool, &notes).await;
    assert!(notes.taken() == waiting.into_iter().collect::<Vec<_>>());
    assert!(folder.files("spool").is_empty());
}
