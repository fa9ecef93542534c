//! The clock steps while work is under way: leases and the schedule run on durations.
//!
//! The wall clock of the gateway is really another one, through `libfaketime`; its monotonic clock,
//! which no step of a real one moves either, is left alone. What this cannot show is the clock of
//! another machine: of PostgreSQL none is read, and Redis' own is tried by the queue's tests.

use crate::{CUSTOMER, world};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Where Debian's package `faketime` puts its library.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// A wall clock that steps.
struct Clock(PathBuf);

impl Clock {
    fn new() -> Self {
        let name = format!("switchboard-clock-{}", std::process::id());
        let clock = Self(std::env::temp_dir().join(name));
        clock.is_off_by(0);
        clock
    }

    /// Steps to so many seconds beside the real one.
    fn is_off_by(&self, seconds: i64) {
        let fresh = self.0.with_extension("new");
        std::fs::write(&fresh, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(&fresh, &self.0).unwrap();
    }

    fn environment(&self) -> Vec<(String, String)> {
        let library = LIBRARIES.iter().find(|l| Path::new(l).exists());
        let library = library.expect("the library of the package faketime");
        [
            ("LD_PRELOAD", (*library).to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.0.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

#[tokio::test]
async fn leases_and_schedules_survive_a_clock_that_steps() {
    let clock = Clock::new();
    let world = world()
        .channel("bot", "telegram")
        .emulators_apart()
        .environment(clock.environment())
        .start()
        .await;
    let bot = world.emulator("bot");
    for customer in [CUSTOMER, "777"] {
        bot.say_as(customer, "hi").await;
    }
    world.quiet().await;
    let mut expected: [Vec<String>; 2] = Default::default();
    // Further than any lease or retry of this configuration, and within what receivers of signed
    // events take for now. Forward, back to before the real time, and forward again.
    for (n, step) in [240, -240, 0].into_iter().enumerate() {
        // One under way, for longer than a third of its lease, so that it is renewed, too.
        bot.fault(json!({"fault": "delay", "ms": 2500, "count": 1, "body_contains": "under way"}))
            .await;
        // And one that waits for its next try.
        bot.fault(json!({"fault": "error", "status": 500, "count": 2, "body_contains": "again"}))
            .await;
        let texts = [format!("under way {n}"), format!("again {n}")];
        let under_way = world.text_later("bot", CUSTOMER, &texts[0]).await;
        let again = world.text_later("bot", "777", &texts[1]).await;
        let queued = world.text_later("bot", "777", "behind it").await;
        bot.sends_when(expected.iter().map(Vec::len).sum::<usize>() + 2 * n + 2)
            .await;
        clock.is_off_by(step);
        for id in [under_way, again, queued] {
            world.message_when(&id, "sent").await;
        }
        let [first, second] = texts;
        expected[0].push(first);
        expected[1].extend([second, "behind it".to_owned()]);
        assert_eq!(bot.texts_to(CUSTOMER).await, expected[0]);
        assert_eq!(bot.texts_to("777").await, expected[1]);
        // Inbound goes on, and is told.
        bot.say_as("777", &format!("after step {n}")).await;
        world.backend().wait("new-messages", 3 + n).await;
        world.quiet().await;
    }
}
