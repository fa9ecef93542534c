//! `switchboard channels`: the kinds that are built in, and what each can do.

use super::Outcome;
use super::output::Output;
use anyhow::Context;
use serde_json::json;
use std::sync::Arc;
use switchboard_channels::kit::settings::Common;
use switchboard_channels::model::{Capabilities, Idempotency, Support, Unit};
use switchboard_channels::{Channel, Kind};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Prints everything as JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Prints the table of README.md
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(
    kinds: &'static [Kind],
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let channels = kinds
        .iter()
        .map(|kind| Ok((kind, sample(kind)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    if args.json {
        let list: Vec<_> = channels
            .iter()
            .map(|(kind, channel)| {
                json!({
                    "kind": kind.name,
                    "sources": kind.sources,
                    "capabilities": channel.capabilities(),
                })
            })
            .collect();
        output.line(serde_json::to_string(&list)?)?;
        return Ok(Outcome::Done);
    }
    if args.markdown {
        for line in markdown(&channels) {
            output.line(line)?;
        }
        return Ok(Outcome::Done);
    }
    let rows: Vec<[String; 13]> = channels
        .iter()
        .map(|(kind, channel)| row(kind, channel.capabilities()))
        .collect();
    output.table(HEAD, &rows)?;
    notes(&channels, output)?;
    Ok(Outcome::Done)
}

/// A channel of this kind, to be asked for its capabilities: its settings are the sandbox's, since
/// what a platform carries does not depend on the account.
fn sample(kind: &Kind) -> anyhow::Result<Arc<dyn Channel>> {
    let common = Common {
        id: format!("sandbox-{}", kind.name),
        api_base: None,
        webhook_url: format!("http://127.0.0.1:8080/webhooks/sandbox-{}", kind.name),
    };
    (kind.build)(&common, (kind.sandbox_settings)())
        .with_context(|| format!("the kind {} has no usable sandbox settings", kind.name))
}

const HEAD: [&str; 13] = [
    "kind",
    "source",
    "text",
    "media",
    "location",
    "contact",
    "reply",
    "choices",
    "template",
    "statuses",
    "window",
    "idempotency",
    "rate",
];

fn row(kind: &Kind, can: &Capabilities) -> [String; 13] {
    let text = match (can.text.max, can.text.unit) {
        (0, _) => "none".to_owned(),
        (usize::MAX, _) => "any".to_owned(),
        (max, Unit::Chars) => format!("{max} characters"),
        (max, Unit::Utf16) => format!("{max} UTF-16 units"),
        (max, Unit::Bytes) => format!("{max} bytes"),
    };
    let choices = match can.choices {
        Support::No => word(can.choices).to_owned(),
        support => format!("{} (up to {})", word(support), can.max_choices),
    };
    let rate = match can.pacing.rate_per_recipient_per_second {
        Some(recipient) => format!(
            "{}/s, {}/s to one recipient",
            can.pacing.rate_per_second,
            // One in six seconds is a number without end.
            (recipient * 100.0).round() / 100.0
        ),
        None => format!("{}/s", can.pacing.rate_per_second),
    };
    [
        kind.name.to_owned(),
        kind.sources.join(","),
        text,
        list(can.media.iter().map(|m| m.kind.name())),
        word(can.location).to_owned(),
        word(can.contact).to_owned(),
        word(can.reply).to_owned(),
        choices,
        word(can.template).to_owned(),
        list(can.statuses.iter().copied()),
        can.window_hours
            .map_or_else(|| "none".to_owned(), |hours| format!("{hours} h")),
        match can.idempotency {
            Idempotency::None => "no",
            Idempotency::Key => "yes",
        }
        .to_owned(),
        rate,
    ]
}

/// Columns of the table in README.md: what a newcomer asks first, the rest is in the kinds' own pages.
const SHORT: [&str; 9] = [
    "source", "text", "media", "location", "contact", "reply", "choices", "statuses", "window",
];

/// The table of README.md, a line per kind, each linked to its page.
fn markdown(channels: &[(&Kind, Arc<dyn Channel>)]) -> Vec<String> {
    let short = |cells: [String; 13]| {
        let pairs = HEAD.iter().zip(cells);
        let kept = pairs.filter(|(name, _)| SHORT.contains(name));
        // Lists may break between their items.
        kept.map(|(_, cell)| cell.replace(',', ", "))
            .collect::<Vec<_>>()
            .join(" | ")
    };
    let head = format!("| kind | {} |", SHORT.join(" | "));
    let rule = format!("|{}", "---|".repeat(SHORT.len() + 1));
    let rows = channels.iter().map(|(kind, channel)| {
        let name = kind.name;
        let folder = name.replace('-', "_");
        let cells = short(row(kind, channel.capabilities()));
        format!("| [{name}](channels/src/{folder}/README.md) | {cells} |")
    });
    [head, rule].into_iter().chain(rows).collect()
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(",")
    }
}

const fn word(support: Support) -> &'static str {
    match support {
        Support::Native => "yes",
        Support::Fallback(_) => "converted",
        Support::No => "no",
    }
}

/// Says how the features are converted that a platform does not have.
fn notes(channels: &[(&Kind, Arc<dyn Channel>)], output: &mut Output) -> anyhow::Result<()> {
    for (kind, channel) in channels {
        let can = channel.capabilities();
        for (feature, support) in [
            ("location", can.location),
            ("contact", can.contact),
            ("reply", can.reply),
            ("choices", can.choices),
            ("template", can.template),
        ] {
            if let Support::Fallback(how) = support {
                output.line(format!("{} {feature}: converted: {how}", kind.name))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fake;

    const fn args(json: bool, markdown: bool) -> Args {
        Args { json, markdown }
    }

    #[test]
    fn the_table_of_the_readme_is_what_the_kinds_can() {
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        let (begin, end) = ("<!-- channels: begin -->\n", "<!-- channels: end -->");
        let table = readme.split(begin).nth(1).unwrap();
        let table = table.split(end).next().unwrap();
        let (mut output, written) = Output::captured();
        run(switchboard_channels::KINDS, &args(false, true), &mut output).unwrap();
        assert_eq!(
            table,
            written.text(),
            "put the output of `switchboard channels --markdown` between the marks in README.md"
        );
        // Each row leads to the page of its kind.
        for kind in switchboard_channels::KINDS {
            let page = format!("channels/src/{}/README.md", kind.name.replace('-', "_"));
            assert!(table.contains(&format!("({page})")), "{page}");
            let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
            assert!(page.is_file(), "{}", page.display());
        }
    }

    #[test]
    fn the_table_says_what_each_kind_can() {
        let (mut output, written) = Output::captured();
        run(&fake::KINDS, &args(false, false), &mut output).unwrap();
        assert_eq!(
            written.text(),
            "\
kind        source  text              media  location  contact    reply  choices  template  statuses        window  idempotency  rate
pigeon      pg      160 UTF-16 units  image  yes       converted  no     no       no        delivered,read  24 h    no           1/s
heliograph  hg,hl   160 UTF-16 units  image  yes       converted  no     no       no        delivered,read  24 h    no           1/s
pigeon contact: converted: as a card written by hand
heliograph contact: converted: as a card written by hand
"
        );
    }

    #[test]
    fn the_json_holds_everything() {
        let (mut output, written) = Output::captured();
        run(&fake::KINDS, &args(true, false), &mut output).unwrap();
        let list: serde_json::Value = serde_json::from_str(&written.text()).unwrap();
        assert_eq!(list[1]["kind"], "heliograph");
        assert_eq!(list[1]["sources"], json!(["hg", "hl"]));
        assert_eq!(
            list[1]["capabilities"]["text"],
            json!({"max": 160, "unit": "utf16"})
        );
        assert_eq!(list[1]["capabilities"]["window_hours"], 24);
    }
}
