//! The suite's own trials: the sound toy passes every law, and each defect breaks the law that is
//! there to find it.

use super::{Defect, build, emulator, sandbox_settings};
use crate::fixture::{Census, Subject};
use crate::{ANSWERS, CODES, INBOUND, KIND, OUTBOUND, trial};
use libtest_mimic::Trial;
use std::fs;
use std::path::{Path, PathBuf};
use switchboard_channels::Kind;

/// The kind with this defect.
const fn toy<const D: usize>() -> Kind {
    Kind {
        name: "toy",
        sources: &["toy"],
        build: build::<D>,
        sandbox_settings,
        emulator: emulator::<D>,
    }
}

/// Each defect with the law that must find it.
macro_rules! defects {
    ($($defect:ident => $law:literal;)*) => {
        const BROKEN: &[(Defect, &Kind, &str)] = &[
            $((Defect::$defect, &const { toy::<{ Defect::$defect as usize }>() }, $law)),*
        ];
    };
}

static SOUND: Kind = toy::<{ Defect::None as usize }>();

defects! {
    BodyUnsigned => "signed";
    UrlUnsigned => "signed";
    SignatureOptional => "signed";
    KeyFromArrival => "repeated";
    KeysShared => "repeated";
    ParsePanics => "total";
    ParseGivesUp => "total";
    TextChanged => "understood";
    GraphemesCut => "plan-keeps-what-it-takes";
    AttachmentLost => "plan-keeps-what-it-takes";
    ChoicesUnchecked => "plan-refuses-what-it-must";
    RefusesEmoji => "plan-refuses-what-it-must";
    RequestChanged => "rendered";
    OtherHost => "discreet";
    SecretInBody => "discreet";
    GoesAnywhere => "discreet-elsewhere";
    Waits => "classified";
    ClassChanged => "classified-all";
    ErrorsSucceed => "any-status-classifies";
    ReceiptUnnamed => "any-status-classifies";
    ClaimsVideo => "outbound-claims-are-shown";
    ClaimsEdits => "inbound-claims-are-shown";
    AnySetting => "settings-are-refused-by-name";
    HooksUnsigned => "sandbox-round-trip";
    PhoneDisagrees => "sandbox-round-trip";
    BlockIgnored => "sandbox-blocks";
    EmulatorTooStrict => "sandbox-takes-what-is-planned";
}

/// The trials of the suite itself.
pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = laws()
        .into_iter()
        .map(|law| {
            let name = format!("suite::sound-toy::{law}");
            let (kind, dir) = (&SOUND, fixtures());
            trial(name, move || verdict(&Subject { kind, dir }, law))
        })
        .collect();
    for (defect, kind, law) in BROKEN {
        let name = format!("suite::finds::{defect:?}");
        trials.push(trial(name, move || {
            // In a copy: what fails on purpose leaves nothing beside the real fixtures.
            let dir = scratch(&format!("toy-{defect:?}"));
            copy(&fixtures(), &dir).map_err(|e| e.to_string())?;
            match verdict(&Subject { kind, dir }, law) {
                Err(_) => Ok(()),
                Ok(()) => Err(format!("{law} does not find {defect:?}")),
            }
        }));
    }
    trials.push(trial("suite::finds::orphans".to_owned(), orphans));
    trials
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviour/toy/fixtures")
}

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn laws() -> Vec<&'static str> {
    let of_fixtures = [INBOUND, OUTBOUND, ANSWERS, CODES];
    let of_fixtures = of_fixtures.into_iter().flatten().map(|(law, _)| *law);
    of_fixtures
        .chain(KIND.iter().map(|(law, _)| *law))
        .collect()
}

/// One law over the toy, over all its fixtures where it is about fixtures.
fn verdict(subject: &Subject, wanted: &str) -> Result<(), String> {
    let Census {
        inbound,
        outbound,
        answers,
        codes,
        ..
    } = subject.census();
    let families = [
        (INBOUND, inbound),
        (OUTBOUND, outbound),
        (ANSWERS, answers),
        (CODES, codes),
    ];
    for (laws, names) in families {
        for (_, check) in laws.iter().filter(|(law, _)| *law == wanted) {
            for name in &names {
                check(subject, name).map_err(|e| format!("{name}: {e}"))?;
            }
        }
    }
    let mut laws = KIND.iter().filter(|(law, _)| *law == wanted);
    laws.try_for_each(|(_, check)| check(subject))
}

/// A walker that is shown half pairs, strange files and empty folders complains about each.
fn orphans() -> Result<(), String> {
    let dir = scratch("toy-orphans");
    let write = |name: &str| {
        let path = dir.join(name);
        let parent = path.parent().unwrap_or(&dir);
        fs::create_dir_all(parent)?;
        fs::write(&path, "{}")
    };
    let files = [
        "stray.txt",
        "inbound/half.http",
        "inbound/old.failed",
        "outbound/half.parts.json",
        "outbound/notes.md",
        "answers/half.json",
    ];
    files
        .iter()
        .try_for_each(|f| write(f))
        .map_err(|e| e.to_string())?;
    let faults = Subject { kind: &SOUND, dir }.census().faults.join("\n");
    let wanted = [
        "settings.json",
        "stray.txt",
        "half is an orphan: no .json",
        "inbound has no fixture",
        "half is an orphan: no .json",
        "notes.md",
        "outbound has no fixture",
        "half is an orphan: no .http",
        "answers has no fixture",
    ];
    match wanted.iter().find(|w| !faults.contains(**w)) {
        Some(missing) => Err(format!("no complaint about {missing}:\n{faults}")),
        None if faults.contains("old.failed") => Err("a .failed file is no fixture".into()),
        None => Ok(()),
    }
}
