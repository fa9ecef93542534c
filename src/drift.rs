//! What can drift is a test: the pages under `docs/` against the code that they describe.

use crate::config;
use crate::telemetry::names::METRICS;
use crate::webapi::error::Code;
use crate::webapi::shapes::events::EventName;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The rows of the tables of a page: their cells, without the backquotes around code.
fn rows(page: &str) -> Vec<Vec<String>> {
    let row = |line: &str| {
        let inner = line.strip_prefix('|')?.strip_suffix('|')?;
        let cells = inner.split('|').map(|c| c.trim().replace('`', ""));
        Some(cells.collect())
    };
    page.lines().filter_map(row).collect()
}

/// The first cells of those rows that begin as `wanted` says.
fn first_cells(page: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let cells = rows(page).into_iter().filter_map(|r| r.into_iter().next());
    cells.filter(|cell| wanted(cell)).collect()
}

#[test]
fn operations_lists_every_metric_with_its_labels() {
    let listed = first_cells(&page("docs/operations.md"), |c| {
        c.starts_with("switchboard_")
    });
    let known: Vec<String> = METRICS
        .iter()
        .map(|m| match m.labels {
            [] => m.name.to_owned(),
            labels => format!("{}{{{}}}", m.name, labels.join(",")),
        })
        .collect();
    assert_eq!(listed, known);
}

#[test]
fn errors_lists_every_code_with_its_status() {
    let statuses: Vec<(String, String)> = rows(&page("docs/errors.md"))
        .into_iter()
        .filter_map(|row| Some((row.first()?.clone(), row.get(1)?.clone())))
        .filter(|(_, status)| status.parse::<u16>().is_ok())
        .collect();
    let known: Vec<(String, String)> = Code::ALL
        .iter()
        .map(|code| (code.name().to_owned(), code.http_status().to_string()))
        .collect();
    assert_eq!(statuses, known);
}

#[test]
fn events_are_the_same_in_the_page_the_configuration_and_the_payloads() {
    let known: BTreeSet<String> = EventName::ALL.iter().map(|e| e.name().to_owned()).collect();
    let configured: BTreeSet<String> = config::EVENTS.iter().map(|e| (*e).to_owned()).collect();
    assert_eq!(configured, known);
    let listed = first_cells(&page("docs/events.md"), |c| EventName::of_name(c).is_some());
    assert_eq!(listed.len(), known.len(), "{listed:?}");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), known);
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    for folder in ["docs", "docs/decisions", "changelog.d"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        let files = entries.map(|e| e.unwrap().path());
        pages.extend(files.filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    let mut followed = 0;
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap();
            let target = target.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file: PathBuf = page.parent().unwrap().join(target);
            assert!(file.exists(), "{}: {target}", page.display());
            followed += 1;
        }
    }
    assert!(followed > 20, "only {followed} links were found");
}

#[test]
fn channels_leads_to_the_page_of_every_kind() {
    let page = page("docs/channels.md");
    for kind in switchboard_channels::KINDS {
        let folder = kind.name.replace('-', "_");
        let sources = kind.sources.join(", ");
        let row = rows(&page)
            .into_iter()
            .find(|row| row.first().is_some_and(|c| c == kind.name));
        let row = row.unwrap_or_else(|| panic!("{} has no row", kind.name));
        assert_eq!(row[1], sources, "{}", kind.name);
        let link = format!("(../channels/src/{folder}/README.md)");
        assert!(row[2].ends_with(&link), "{}: {}", kind.name, row[2]);
    }
}
