//! Whether everything can be measured. No figure is judged: the machine that runs this is slow, and
//! what it runs is not optimised.

#![allow(clippy::unwrap_used, reason = "a test may panic: that is how it fails")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// The names that whoever reads the figures relies on.
const NAMES: [&str; 12] = [
    "inbound-single",
    "inbound-batch",
    "outbound-instant",
    "outbound-100ms",
    "five-parts-50ms",
    "queue-memory-depth",
    "queue-redis-depth",
    "isolation",
    "growth",
    "idle-memory",
    "queued-100k-memory",
    "ready",
];

/// Those that are compared with nothing.
const WITHOUT_BASELINE: [&str; 3] = ["idle-memory", "queued-100k-memory", "ready"];

fn list<'v>(report: &'v Value, name: &str) -> &'v [Value] {
    report[name].as_array().unwrap()
}

#[test]
fn everything_can_be_measured() {
    let bench = Path::new(env!("CARGO_BIN_EXE_bench"));
    let mut command = Command::new(bench);
    // The one that the other tests of the workspace run; without them it is built.
    let gateway = bench.with_file_name("switchboard");
    if gateway.exists() {
        command.arg("--binary").arg(gateway);
    }
    let output = command
        .args([
            "all",
            "--quick",
            "--smoke",
            "--json",
            "--folder",
            env!("CARGO_TARGET_TMPDIR"),
        ])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let measured = list(&report, "scenarios");
    let left_out = list(&report, "left_out");
    for name in NAMES {
        let of_name = |v: &&Value| v["name"] == name;
        let figures: Vec<&Value> = measured.iter().filter(of_name).collect();
        if figures.is_empty() {
            let why = left_out.iter().find(of_name).expect(name);
            assert!(!why["why"].as_str().unwrap().is_empty(), "{why}");
        }
        for figure in figures {
            assert!(figure["value"].is_number(), "{figure}");
            assert!(!figure["unit"].as_str().unwrap().is_empty(), "{figure}");
            assert!(
                figure["store"].is_string() && figure["queue"].is_string(),
                "{figure}"
            );
            let compared = figure["ratio"].as_f64().is_some_and(|r| r > 0.0)
                && figure["baseline"].as_f64().is_some_and(|b| b > 0.0);
            assert!(compared || WITHOUT_BASELINE.contains(&name), "{figure}");
        }
    }
    // The embedded pair needs no server, so nothing of it may be left out.
    for name in NAMES.iter().filter(|n| **n != "queue-redis-depth") {
        let embedded = |v: &Value| v["name"] == *name && v["queue"] != "redis";
        assert!(measured.iter().any(embedded), "{name} is not measured");
    }
    let leftovers = std::fs::read_dir(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    assert_eq!(leftovers.count(), 0, "databases are left behind");
}
