//! One suite over every kind of channel: a named trial per kind, law and fixture.
//!
//! `cargo test -p switchboard-channels --test behaviour -- telegram` runs one kind. A fixture that
//! does not hold leaves its actual value in `NAME.failed` beside it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may panic: that is how it fails"
)]

#[path = "behaviour/answers.rs"]
mod answers;
#[path = "behaviour/config.rs"]
mod config;
#[path = "behaviour/declared.rs"]
mod declared;
#[path = "behaviour/elsewhere.rs"]
mod elsewhere;
#[path = "behaviour/expect.rs"]
mod expect;
#[path = "behaviour/fixture.rs"]
mod fixture;
#[path = "behaviour/inbound.rs"]
mod inbound;
#[path = "behaviour/messages.rs"]
mod messages;
#[path = "behaviour/mutate.rs"]
mod mutate;
#[path = "behaviour/outbound.rs"]
mod outbound;
#[path = "behaviour/plan.rs"]
mod plan;
#[path = "behaviour/sandbox.rs"]
mod sandbox;
#[path = "behaviour/signed.rs"]
mod signed;
#[path = "behaviour/total.rs"]
mod total;
#[path = "behaviour/toy/mod.rs"]
mod toy;
#[path = "behaviour/world.rs"]
mod world;

use fixture::Subject;
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// A law about one fixture.
type OfFixture = fn(&Subject, &str) -> Result<(), String>;
/// A law about a whole kind.
type OfKind = fn(&Subject) -> Result<(), String>;

const INBOUND: &[(&str, OfFixture)] = &[
    ("understood", inbound::understood),
    ("repeated", inbound::repeated),
    ("sound", inbound::sound),
    ("signed", signed::flipped),
    ("total", total::parses),
];

const OUTBOUND: &[(&str, OfFixture)] = &[
    ("rendered", outbound::rendered),
    ("discreet", outbound::discreet),
];

const ANSWERS: &[(&str, OfFixture)] = &[
    ("classified", answers::classified),
    ("named", answers::receipts_are_named),
];

const CODES: &[(&str, OfFixture)] = &[("classified-all", answers::table)];

const KIND: &[(&str, OfKind)] = &[
    ("every-file-is-a-fixture", census),
    ("settings-are-refused-by-name", config::refused_by_name),
    ("inbound-claims-are-shown", declared::inbound),
    ("outbound-claims-are-shown", declared::outbound),
    ("any-status-classifies", answers::any_status),
    ("any-status-elsewhere", answers::any_status_elsewhere),
    ("discreet-elsewhere", elsewhere::discreet),
    ("plan-refuses-what-it-must", plan::refuses),
    ("plan-keeps-what-it-takes", plan::keeps),
    ("sandbox-round-trip", sandbox::round_trip),
    ("sandbox-customer-sends", sandbox::customer_sends),
    ("sandbox-presses", sandbox::presses),
    ("sandbox-blocks", sandbox::blocks),
    ("sandbox-takes-what-is-planned", sandbox::takes),
    ("sandbox-repeats", sandbox::repeats),
];

/// A trial that is not run.
struct Skip {
    /// Its whole name.
    trial: &'static str,
    /// Why, and until when.
    reason: &'static str,
}

/// Trials that are not run. An entry that names no trial fails the suite.
const SKIPS: &[Skip] = &[];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let subjects = Subject::all();
    let mut trials = Vec::new();
    for subject in &subjects {
        trials.extend(trials_of(subject));
    }
    let names: Vec<String> = trials.iter().map(|t| t.name().to_owned()).collect();
    let kinds = subjects.len();
    trials.push(trial("suite::has-kinds".to_owned(), move || {
        if kinds == 0 {
            return Err("no kind is registered: nothing was tested".into());
        }
        Ok(())
    }));
    trials.push(trial("suite::skips-are-current".to_owned(), move || {
        let stale = |s: &&Skip| s.reason.is_empty() || !names.iter().any(|n| n == s.trial);
        match SKIPS.iter().find(stale) {
            Some(skip) => Err(format!("{} is no trial, or has no reason", skip.trial)),
            None => Ok(()),
        }
    }));
    trials.push(trial(
        "suite::unsigned-is-current".to_owned(),
        signed::table_is_current,
    ));
    trials.extend(toy::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What the walker found wrong.
fn census(subject: &Subject) -> Result<(), String> {
    let faults = subject.census().faults;
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.join("\n"))
}

fn trials_of(subject: &Subject) -> Vec<Trial> {
    let census = subject.census();
    let mut trials = Vec::new();
    for (laws, names) in [
        (INBOUND, &census.inbound),
        (OUTBOUND, &census.outbound),
        (ANSWERS, &census.answers),
        (CODES, &census.codes),
    ] {
        for (law, check) in laws {
            for name in names {
                let full = format!("{}::{law}::{name}", subject.kind.name);
                let (subject, name) = (subject.clone(), name.clone());
                trials.push(trial(full, move || check(&subject, &name)));
            }
        }
    }
    for (law, check) in KIND {
        let full = format!("{}::{law}", subject.kind.name);
        let subject = subject.clone();
        trials.push(trial(full, move || check(&subject)));
    }
    trials
}

fn trial(name: String, check: impl FnOnce() -> Result<(), String> + Send + 'static) -> Trial {
    let skipped = SKIPS.iter().any(|s| s.trial == name);
    Trial::test(name, move || check().map_err(Into::into)).with_ignored_flag(skipped)
}
