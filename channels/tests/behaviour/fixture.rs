//! The walker: finds the fixtures of every kind on disk and reads them.
//!
//! It trusts nothing that it finds: a file that belongs to no fixture, half of a pair or a name that
//! no rule knows is a fault, because a fixture that nobody runs looks exactly like one that passes.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use switchboard_channels::kit::http::{Headers, Inbound, Method, Response, Via};
use switchboard_channels::kit::mail;
use switchboard_channels::kit::settings::Common;
use switchboard_channels::model::Millis;
use switchboard_channels::{Channel, KINDS, Kind};

/// The time at which every fixture arrives and every part is delivered.
pub const NOW: Millis = Millis(1_795_000_100_000);

/// When the mailbox took every mail of the fixtures: a minute and a half before it is fetched.
const MAIL_TAKEN_AT: i64 = NOW.0 - 90_000;

/// `fixtures/settings.json`: the account that the fixtures belong to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The channel's id.
    pub id: String,
    /// Root of the platform's API.
    pub api_base: String,
    /// The URL of the channel's webhook.
    pub webhook_url: String,
    /// The kind's own keys.
    pub settings: Value,
    /// An address that can be written to.
    pub to: String,
}

impl Setup {
    /// What every kind is told beside its own keys.
    pub fn common(&self) -> Common {
        Common {
            id: self.id.clone(),
            api_base: Some(self.api_base.clone()),
            webhook_url: self.webhook_url.clone(),
        }
    }

    /// Values that must not be shown: every string under a key that speaks of a token, secret, key
    /// or password, also inside a text that is JSON (a key file). Ids of keys are not secret
    /// (`api_key_sid`), nor is where something is to be had (`token_url`).
    pub fn secrets(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect_secrets(&self.settings, false, &mut found);
        found
    }
}

fn collect_secrets(value: &Value, secret: bool, found: &mut Vec<String>) {
    match value {
        Value::String(text) if secret && !text.is_empty() => found.push(text.clone()),
        Value::String(text) => {
            if let Ok(inner @ Value::Object(_)) = serde_json::from_str(text) {
                collect_secrets(&inner, false, found);
            }
            // A server's URL with a login in it.
            let url = url::Url::parse(text).ok();
            found.extend(url.and_then(|u| u.password().map(str::to_owned)));
        }
        Value::Array(items) => items.iter().for_each(|v| collect_secrets(v, secret, found)),
        Value::Object(fields) => {
            for (key, v) in fields {
                let speaks = ["token", "secret", "key", "password", "pin"]
                    .iter()
                    .any(|word| key.contains(word));
                let public = ["_sid", "_id", "_url", "_uri"];
                let is_id = public.iter().any(|end| key.ends_with(end));
                collect_secrets(v, secret || (speaks && !is_id), found);
            }
        }
        _ => {}
    }
}

/// One kind and its fixtures.
#[derive(Clone)]
pub struct Subject {
    /// The kind.
    pub kind: &'static Kind,
    /// Its `fixtures` folder.
    pub dir: PathBuf,
}

impl Subject {
    /// Every kind that is built in.
    pub fn all() -> Vec<Self> {
        let of = |kind: &'static Kind| Self {
            kind,
            dir: folder(kind).join("fixtures"),
        };
        KINDS.iter().map(of).collect()
    }

    /// Reads `settings.json`.
    pub fn setup(&self) -> Result<Setup, String> {
        read_json(&self.dir.join("settings.json"))
    }

    /// Builds the channel of `settings.json`.
    pub fn channel(&self) -> Result<Arc<dyn Channel>, String> {
        let setup = self.setup()?;
        (self.kind.build)(&setup.common(), setup.settings.clone())
            .map_err(|e| format!("settings.json is refused: {e}"))
    }

    /// The path of a fixture without its extension.
    pub fn path(&self, family: &str, name: &str) -> PathBuf {
        self.dir.join(family).join(name)
    }

    /// Reads an inbound fixture's request.
    pub fn inbound(&self, name: &str) -> Result<Inbound, String> {
        let mail = with(&self.path("inbound", name), "eml");
        if mail.exists() {
            return self.mail(name, &mail);
        }
        let file = with(&self.path("inbound", name), "http");
        let (line, headers, body) = read_http(&file)?;
        let mut words = line.split(' ');
        let (method, target, version) = (words.next(), words.next(), words.next());
        let method = match method {
            Some("GET") => Method::Get,
            Some("POST") => Method::Post,
            Some("PUT") => Method::Put,
            Some("PATCH") => Method::Patch,
            Some("DELETE") => Method::Delete,
            Some("HEAD") => Method::Head,
            _ => return Err(format!("{}: no method in {line:?}", file.display())),
        };
        let Some(target) = target.filter(|t| t.starts_with('/') && version == Some("HTTP/1.1"))
        else {
            return Err(format!("{}: no request line: {line:?}", file.display()));
        };
        let webhook = url::Url::parse(&self.setup()?.webhook_url).map_err(|e| e.to_string())?;
        let query = target.split_once('?').map_or("", |(_, query)| query);
        Ok(Inbound {
            via: Via::Web,
            method,
            url: format!("{}{target}", webhook.origin().ascii_serialization()),
            query: query.to_owned(),
            headers,
            body: body.into(),
            received_at: NOW,
        })
    }

    /// Reads a mail as the mailbox loop brings it: with CRLF line ends, as servers hand it out. Bare line
    /// feeds in a file are what an editor makes of them.
    fn mail(&self, name: &str, file: &Path) -> Result<Inbound, String> {
        let bytes = fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let mut body = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if byte == b'\n' && body.last() != Some(&b'\r') {
                body.push(b'\r');
            }
            body.push(byte);
        }
        let headers = Headers::default()
            .with(mail::headers::INTERNAL_DATE, MAIL_TAKEN_AT.to_string())
            .with(mail::headers::MAILBOX, "INBOX")
            .with(mail::headers::KEPT, format!("kept/{name}"));
        Ok(Inbound {
            via: Via::Mailbox,
            method: Method::Post,
            url: self.setup()?.webhook_url,
            query: String::new(),
            headers,
            body: body.into(),
            received_at: NOW,
        })
    }

    /// Reads the answer of a platform, by its name in `answers/`.
    pub fn answer(&self, name: &str) -> Result<Response, String> {
        let file = with(&self.path("answers", name), "http");
        let (line, headers, body) = read_http(&file)?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.split(' ').next())
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| format!("{}: no status line: {line:?}", file.display()))?;
        Ok(Response {
            status,
            headers,
            body: body.into(),
        })
    }

    /// What there is, and what is wrong with it.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        if let Err(fault) = self.setup() {
            census.faults.push(fault);
        }
        for entry in list(&self.dir, &mut census.faults) {
            let known = [
                "settings.json",
                "SOURCES.md",
                "inbound",
                "outbound",
                "answers",
            ];
            if !known.contains(&entry.as_str()) {
                let fault = format!("{} belongs to nothing", self.dir.join(entry).display());
                census.faults.push(fault);
            }
        }
        let faults = &mut census.faults;
        // Mail is fetched, everything else is posted.
        let request = if self.kind.name == "email" {
            "eml"
        } else {
            "http"
        };
        census.inbound = pairs(&self.dir.join("inbound"), &[request, "json"], &[], faults);
        census.outbound = pairs(
            &self.dir.join("outbound"),
            &["json", "parts.json"],
            &[],
            faults,
        );
        let answers = self.dir.join("answers");
        census.answers = pairs(&answers, &["http", "json"], &["codes.json"], faults);
        census.codes = singles(&answers, "codes.json");
        for (family, found) in [
            ("inbound", census.inbound.len()),
            ("outbound", census.outbound.len()),
            ("answers", census.answers.len() + census.codes.len()),
        ] {
            if found == 0 {
                let folder = self.dir.join(family);
                census
                    .faults
                    .push(format!("{} has no fixture", folder.display()));
            }
        }
        census
    }
}

/// The names of a kind's fixtures by family, and the walker's complaints.
#[derive(Debug, Default)]
pub struct Census {
    /// `inbound/NAME.http` (mail: `NAME.eml`) with `NAME.json`.
    pub inbound: Vec<String>,
    /// `outbound/NAME.json` with `NAME.parts.json`.
    pub outbound: Vec<String>,
    /// `answers/NAME.http` with `NAME.json`.
    pub answers: Vec<String>,
    /// `answers/NAME.codes.json`.
    pub codes: Vec<String>,
    /// Orphans, unknown files, unreadable folders, empty families.
    pub faults: Vec<String>,
}

/// The folder of a kind's sources.
pub fn folder(kind: &Kind) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(kind.name.replace('-', "_"))
}

/// `path` with `.extension` added (not replaced: names may have dots).
pub fn with(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Reads a JSON file into a type.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Names in a folder, sorted; what earlier failures left behind and hidden files do not count.
fn list(dir: &Path, faults: &mut Vec<String>) -> Vec<String> {
    let mut names = Vec::new();
    match fs::read_dir(dir) {
        Ok(entries) => {
            for entry in entries {
                match entry.map(|e| e.file_name().into_string()) {
                    Ok(Ok(name)) => names.push(name),
                    Ok(Err(name)) => faults.push(format!("{name:?} is no UTF-8")),
                    Err(error) => faults.push(format!("{}: {error}", dir.display())),
                }
            }
        }
        Err(error) => faults.push(format!("{}: {error}", dir.display())),
    }
    names.retain(|n| !n.ends_with(".failed") && !n.starts_with('.'));
    names.sort();
    names
}

/// Names that have a file of each extension in `pair`. Files that end in one of `alone` stand for
/// themselves; every other file is an orphan.
fn pairs(dir: &Path, pair: &[&str; 2], alone: &[&str], faults: &mut Vec<String>) -> Vec<String> {
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    // The longest extension first: `a.parts.json` is no `a.parts` with `.json`.
    let mut extensions: Vec<&str> = pair.iter().chain(alone).copied().collect();
    extensions.sort_by_key(|e| std::cmp::Reverse(e.len()));
    for file in list(dir, faults) {
        let split = extensions.iter().find_map(|e| {
            let name = file.strip_suffix(e)?.strip_suffix('.')?;
            (!name.is_empty()).then_some((name, *e))
        });
        match split {
            Some((_, extension)) if alone.contains(&extension) => {}
            Some((name, extension)) => {
                found.entry(name.to_owned()).or_default().insert(extension);
            }
            None => faults.push(format!("{} belongs to nothing", dir.join(file).display())),
        }
    }
    let mut whole = Vec::new();
    for (name, has) in found {
        match pair.iter().find(|e| !has.contains(**e)) {
            None => whole.push(name),
            Some(missing) => {
                let path = dir.join(&name);
                faults.push(format!("{} is an orphan: no .{missing}", path.display()));
            }
        }
    }
    whole
}

/// Names of the files with this extension.
fn singles(dir: &Path, extension: &str) -> Vec<String> {
    let suffix = format!(".{extension}");
    list(dir, &mut Vec::new())
        .iter()
        .filter_map(|f| f.strip_suffix(&suffix).map(str::to_owned))
        .collect()
}

/// Reads a raw HTTP message: its first line, headers, and body: everything after the blank line
/// except one final line feed, which editors add.
fn read_http(path: &Path) -> Result<(String, Headers, Vec<u8>), String> {
    let fault = |what: &str| format!("{}: {what}", path.display());
    let bytes = fs::read(path).map_err(|e| fault(&e.to_string()))?;
    let mut rest = bytes.as_slice();
    let mut lines = Vec::new();
    loop {
        let Some(end) = rest.iter().position(|b| *b == b'\n') else {
            return Err(fault("no blank line after the headers"));
        };
        let (line, tail) = rest.split_at(end);
        rest = tail.strip_prefix(b"\n").unwrap_or(tail);
        let line = std::str::from_utf8(line).map_err(|e| fault(&e.to_string()))?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let mut lines = lines.into_iter();
    let first = lines.next().ok_or_else(|| fault("no first line"))?;
    let mut headers = Headers::default();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| fault(&format!("no header: {line:?}")))?;
        headers.push(name.trim(), value.trim());
    }
    let body = rest.strip_suffix(b"\n").unwrap_or(rest);
    Ok((first, headers, body.to_vec()))
}
