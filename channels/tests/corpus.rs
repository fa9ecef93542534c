//! Mails that others collected: those that the MIME parser's own package brings along (RFC examples,
//! old ones, malformed ones, other parsers' trials). Our fixtures say what is understood of a mail; here
//! it is shown that whatever comes, something is made of it, and the same each time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use switchboard_channels::kit::http::{Headers, Inbound, Method, Via};
use switchboard_channels::kit::mail::headers;
use switchboard_channels::kit::settings::Common;
use switchboard_channels::model::{EventBody, Millis};
use switchboard_channels::{Channel, Verified, kind};

/// The package had 107 when this was written; far fewer would mean that they were not found.
const AT_LEAST: usize = 100;

/// Where cargo keeps the parser's package.
fn package() -> PathBuf {
    // Packages of other platforms were never fetched.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let answer = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo answers");
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success(), "{said}");
    let metadata: Value = serde_json::from_slice(&answer.stdout).expect("metadata");
    let packages = metadata["packages"].as_array().expect("packages");
    let parser = packages.iter().find(|p| p["name"] == "mail-parser");
    let manifest = parser.expect("the parser is a dependency")["manifest_path"].as_str();
    Path::new(manifest.expect("a path"))
        .parent()
        .expect("a folder")
        .to_owned()
}

/// All mails below a folder, in the order of their paths.
fn mails(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("a folder of mails");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            mails(&path, found);
        } else if path.extension().is_some_and(|e| e == "eml") {
            found.push(path);
        }
    }
}

fn understood(channel: &dyn Channel, raw: Vec<u8>) -> Vec<EventBody> {
    let request = Inbound {
        via: Via::Mailbox,
        method: Method::Post,
        url: String::new(),
        query: String::new(),
        headers: Headers::default()
            .with(headers::INTERNAL_DATE, "1795000000000")
            .with(headers::MAILBOX, "INBOX")
            .with(headers::KEPT, "mail/corpus"),
        body: raw.into(),
        received_at: Millis(1_795_000_000_000),
    };
    let verified = Verified::check(channel, &request).expect("it comes from our own loop");
    let parsed = channel
        .parse(&verified)
        .expect("a mail is never malformed as a request");
    parsed.events.into_iter().map(|e| e.body).collect()
}

#[test]
fn something_is_made_of_every_mail_of_the_corpus() {
    let mut found = Vec::new();
    mails(&package().join("resources/eml"), &mut found);
    assert!(found.len() >= AT_LEAST, "{} mails", found.len());
    let common = Common {
        id: "support".to_owned(),
        api_base: None,
        webhook_url: "https://gw.example.net/webhooks/support".to_owned(),
    };
    let settings = json!({
        "address": "support@example.net",
        "smtp_url": "smtps://u:p@smtp.example.net:465",
        "imap_url": "imaps://u:p@imap.example.net:993",
    });
    let channel = (kind("email").expect("the kind").build)(&common, settings).expect("settings");
    let (mut messages, mut texts) = (0, 0);
    for path in &found {
        let raw = std::fs::read(path).expect("a mail");
        let events = understood(channel.as_ref(), raw.clone());
        let again = understood(channel.as_ref(), raw);
        assert_eq!(
            format!("{events:?}"),
            format!("{again:?}"),
            "{}",
            path.display()
        );
        assert!(!events.is_empty(), "{}", path.display());
        for event in events {
            if let EventBody::Message(message) = event {
                messages += 1;
                texts += usize::from(!message.text.trim().is_empty());
            }
        }
    }
    // Most of them are ordinary letters with something to read.
    assert!(
        messages >= AT_LEAST / 2 && texts * 10 >= messages * 8,
        "{messages} with {texts} texts"
    );
}
