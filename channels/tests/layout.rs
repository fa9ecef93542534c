//! The platforms' folders are alike, pure, and documented: whoever knows one knows all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use switchboard_channels::KINDS;

/// Modules that every folder has, as `NAME.rs` or `NAME/mod.rs`.
const MODULES: [&str; 9] = [
    "config", "wire", "verify", "parse", "plan", "render", "classify", "client", "sandbox",
];

/// Other things that every folder has.
const ENTRIES: [&str; 7] = [
    "README.md",
    "mod.rs",
    "fixtures/settings.json",
    "fixtures/SOURCES.md",
    "fixtures/inbound",
    "fixtures/outbound",
    "fixtures/answers",
];

/// Folders of `src` that are no platform.
const SHARED: [&str; 2] = ["kit", "model"];

/// What the crate must not reach for, and why.
const FORBIDDEN: [(&str, &str); 15] = [
    ("SystemTime", "time comes in as data"),
    ("Instant::now", "time comes in as data"),
    ("rand::", "what is random cannot be repeated"),
    ("uuid::", "what is random cannot be repeated"),
    ("reqwest", "requests go through the transport"),
    ("actix", "no framework crosses into this crate"),
    ("tokio::", "nothing here waits"),
    ("std::net", "requests go through the transport"),
    ("std::fs", "nothing here touches a disk"),
    ("std::env", "settings come in as data"),
    ("std::thread", "nothing here waits"),
    ("std::process", "nothing here starts anything"),
    ("println!", "only the command line prints"),
    ("print!", "only the command line prints"),
    ("dbg!", "only the command line prints"),
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn folders() -> Vec<(&'static str, PathBuf)> {
    assert!(
        !KINDS.is_empty(),
        "no kind is registered: nothing was tested"
    );
    let of = |name: &'static str| (name, src().join(name.replace('-', "_")));
    KINDS.iter().map(|k| of(k.name)).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let name = |e: fs::DirEntry| e.file_name().into_string().unwrap();
    let mut names: Vec<String> = entries.map(|e| name(e.unwrap())).collect();
    names.sort();
    names
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All `.rs` files below a folder.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for name in names(dir) {
        let path = dir.join(&name);
        if path.is_dir() {
            out.extend(sources(&path));
        } else if name.ends_with(".rs") {
            out.push(path);
        }
    }
    out
}

/// The code of a file with its line numbers: no comments, and nothing from the test module on.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = read(path);
    let tested = text.split_once("#[cfg(test)]\nmod tests");
    tested
        .map_or(text.as_str(), |(code, _)| code)
        .lines()
        .enumerate()
        .map(|(i, line)| {
            (
                i + 1,
                line.split("//").next().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_folder_is_a_kind_and_every_kind_a_folder() {
    let kinds: BTreeSet<PathBuf> = folders().into_iter().map(|(_, dir)| dir).collect();
    let found: BTreeSet<PathBuf> = names(&src())
        .into_iter()
        .filter(|name| !SHARED.contains(&name.as_str()))
        .map(|name| src().join(name))
        .filter(|path| path.is_dir())
        .collect();
    assert_eq!(kinds, found, "registered in `kinds!`, and found in src");
    let distinct: BTreeSet<_> = KINDS.iter().map(|k| k.name).collect();
    assert_eq!(distinct.len(), KINDS.len(), "two kinds have one name");
}

#[test]
fn folders_have_the_same_files() {
    let mut faults = Vec::new();
    for (kind, dir) in folders() {
        for module in MODULES {
            let file = dir.join(format!("{module}.rs")).is_file();
            let folder = dir.join(module).join("mod.rs").is_file();
            if file == folder {
                let what = if file { "twice" } else { "not at all" };
                faults.push(format!("{kind}: {module} is there {what}"));
            }
        }
        for entry in ENTRIES {
            if !dir.join(entry).exists() {
                faults.push(format!("{kind}: {entry} is missing"));
            }
        }
        for name in names(&dir) {
            let module = name.strip_suffix(".rs").unwrap_or(&name);
            let is_module = dir.join(module).join("mod.rs").is_file() || name.ends_with(".rs");
            if !is_module && name != "README.md" && name != "fixtures" {
                faults.push(format!("{kind}: {name} belongs to nothing"));
            }
        }
        let root = read(&dir.join("mod.rs"));
        if !root.contains("#![doc = include_str!(\"README.md\")]") {
            faults.push(format!(
                "{kind}: README.md is not the documentation of mod.rs"
            ));
        }
    }
    report(&faults);
}

/// Keys of the structs in `config` that are read from the configuration.
fn settings_keys(dir: &Path) -> BTreeSet<String> {
    let single = dir.join("config.rs");
    let files = if single.is_file() {
        vec![single]
    } else {
        sources(&dir.join("config"))
    };
    let mut keys = BTreeSet::new();
    for file in files {
        // Between a derive of Deserialize and the end of the item that follows it.
        let (mut derived, mut inside, mut renamed) = (false, false, None);
        for (_, line) in code(&file) {
            let line = line.trim();
            if line.starts_with("#[derive(") {
                derived = line.contains("Deserialize");
            } else if derived && line.contains("struct ") && line.ends_with('{') {
                inside = true;
            } else if line == "}" {
                (inside, derived) = (false, false);
            } else if inside && let Some((_, rest)) = line.split_once("rename = \"") {
                renamed = rest.split('"').next().map(str::to_owned);
            } else if inside && !line.starts_with('#') {
                let field = line.split_once(':').map(|(name, _)| name);
                let name = field.and_then(|f| f.split_whitespace().last());
                keys.extend(renamed.take().or(name.map(str::to_owned)));
            }
        }
    }
    keys
}

#[test]
fn readmes_name_every_setting() {
    let mut faults = Vec::new();
    for (kind, dir) in folders() {
        let readme = read(&dir.join("README.md"));
        let keys = settings_keys(&dir);
        assert!(!keys.is_empty(), "{kind}: no key was found in config");
        for key in keys {
            let mut words = readme.split(|c: char| !c.is_alphanumeric() && c != '_');
            if !words.any(|word| word == key) {
                faults.push(format!("{kind}: README.md does not mention `{key}`"));
            }
        }
        // The other way round: what the fixtures configure is a key that was found.
        let settings = read(&dir.join("fixtures/settings.json"));
        let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
        for key in settings["settings"].as_object().unwrap().keys() {
            if !settings_keys(&dir).contains(key) {
                faults.push(format!(
                    "{kind}: `{key}` of settings.json was not found in config"
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn nothing_reaches_out() {
    let mut faults = Vec::new();
    for file in sources(&src()) {
        for (number, line) in code(&file) {
            for (word, why) in FORBIDDEN {
                if line.contains(word) {
                    faults.push(format!("{}:{number}: {word}: {why}", file.display()));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn only_clients_call_the_transport() {
    let mut faults = Vec::new();
    let mut clients = 0;
    for (kind, dir) in folders() {
        let mut calls = 0;
        for file in sources(&dir) {
            let inside = file.strip_prefix(&dir).unwrap();
            let client = inside == Path::new("client.rs") || inside.starts_with("client");
            let lines = code(&file).into_iter();
            // The dot may stand on the next line: `ctx` and `.transport` count alone.
            for (number, line) in lines.filter(|(_, l)| l.contains(".transport")) {
                if client {
                    calls += 1;
                } else {
                    faults.push(format!("{}:{number}: {}", file.display(), line.trim()));
                }
            }
        }
        assert!(
            calls > 0,
            "{kind}: the client calls nothing: the search is wrong"
        );
        clients += 1;
    }
    assert_eq!(clients, KINDS.len());
    report(&faults);
}

/// A `clippy.toml` replaces the one above it, so ours has to repeat the workspace's.
#[test]
fn clippy_settings_repeat_the_workspaces() {
    let ours = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("clippy.toml"));
    let root = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../clippy.toml"));
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let settings = root
        .lines()
        .filter(|l| l.contains(" = ") && !l.starts_with([' ', '#']));
    let mut count = 0;
    for line in settings {
        count += 1;
        // A list may have more entries here than there: its name is what must be repeated.
        let wanted = if line.trim_end().ends_with('[') {
            line.split('=').next().unwrap_or(line).trim()
        } else {
            line
        };
        assert!(
            flat(&ours).contains(&flat(wanted)),
            "clippy.toml lacks: {line}"
        );
    }
    assert!(
        count > 0,
        "the workspace's clippy.toml has no setting: the search is wrong"
    );
    for method in ["std::time::SystemTime::now", "std::time::Instant::now"] {
        assert!(ours.contains(method), "clippy.toml does not ban {method}");
    }
}
