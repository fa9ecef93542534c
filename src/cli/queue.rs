//! `switchboard queue`: looks at lanes, and works dead letters and waiting messages.

use super::Outcome;
use super::client::{Client, Service, text};
use super::output::Output;
use crate::config::Sources;
use anyhow::bail;
use serde_json::{Value, json};
use std::time::Duration;

/// The service answers these from its store.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = false)]
pub(super) struct Args {
    #[command(flatten)]
    service: Service,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// What waits in each lane
    Stats,
    /// The dead letters
    Dead {
        /// Of this channel alone
        #[arg(long, value_name = "ID")]
        channel: Option<String>,
    },
    /// Tries dead letters or waiting messages again, now
    Retry {
        /// Ids as `queue dead` shows them
        #[arg(
            value_name = "ID",
            required_unless_present = "all",
            conflicts_with = "all"
        )]
        ids: Vec<String>,
        /// Every dead letter
        #[arg(long)]
        all: bool,
    },
    /// Gives dead letters or waiting messages up
    Drop {
        /// Ids as `queue dead` shows them
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

pub(super) fn run(sources: &Sources, args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let client = args.service.client(sources, TIMEOUT)?;
    super::block_on(execute(&client, args.command, output))
}

async fn execute(
    client: &Client,
    command: Command,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    match command {
        Command::Stats => {
            let lanes = client.result(client.get("/admin/lanes")).await?;
            stats(&lanes, output)?;
        }
        Command::Dead { channel } => {
            let query: Vec<_> = channel.iter().map(|id| ("channel", id)).collect();
            let request = client.get("/admin/dead").query(&query);
            dead(&client.result(request).await?, output)?;
        }
        Command::Retry { ids, all } => {
            let body = if all {
                json!({ "all": true })
            } else {
                json!({ "ids": ids })
            };
            let result = client.result(client.post("/admin/retry", &body)).await?;
            work("retried", &result, output)?;
        }
        Command::Drop { ids } => {
            let request = client.post("/admin/drop", &json!({ "ids": ids }));
            work("dropped", &client.result(request).await?, output)?;
        }
    }
    Ok(Outcome::Done)
}

/// The elements of a list.
fn elements(list: &Value) -> anyhow::Result<&[Value]> {
    match list.as_array() {
        Some(elements) => Ok(elements),
        None => bail!("the service answers something that is no list: is it of another release?"),
    }
}

/// A field as a person reads it.
fn field(row: &Value, name: &str) -> String {
    text(row.get(name).unwrap_or(&Value::Null))
}

fn stats(lanes: &Value, output: &mut Output) -> anyhow::Result<()> {
    let row = |lane: &Value| {
        let paused = match lane.get("paused") {
            Some(pause) if pause.is_object() => format!(
                "{} since {}: {}",
                field(pause, "reason"),
                field(pause, "since"),
                field(pause, "message")
            ),
            _ => "-".to_owned(),
        };
        let oldest = match lane.get("oldest_seconds") {
            Some(Value::Number(seconds)) => format!("{seconds} s"),
            _ => "-".to_owned(),
        };
        [
            field(lane, "lane"),
            field(lane, "depth"),
            oldest,
            field(lane, "dead"),
            field(lane, "resting_until"),
            paused,
        ]
    };
    let rows: Vec<_> = elements(lanes)?.iter().map(row).collect();
    let head = ["lane", "depth", "oldest", "dead", "resting until", "paused"];
    output.table(head, &rows)?;
    Ok(())
}

fn dead(letters: &Value, output: &mut Output) -> anyhow::Result<()> {
    const HEAD: [&str; 8] = [
        "id",
        "lane",
        "conversation",
        "to",
        "class",
        "attempts",
        "died",
        "reason",
    ];
    const FIELDS: [&str; 8] = [
        "id",
        "lane",
        "conversation_id",
        "to",
        "class",
        "attempts",
        "died_at",
        "reason",
    ];
    let letters = elements(letters)?;
    let rows: Vec<_> = letters
        .iter()
        .map(|l| FIELDS.map(|f| field(l, f)))
        .collect();
    output.table(HEAD, &rows)?;
    Ok(())
}

/// Prints what was done with each id; ids that are unknown are an error.
fn work(done: &str, result: &Value, output: &mut Output) -> anyhow::Result<()> {
    let ids = |name: &str| -> Vec<String> {
        let list = result.get(name).and_then(Value::as_array);
        list.into_iter().flatten().map(text).collect()
    };
    let worked = ids(done);
    for id in &worked {
        output.line(format!("{done} {id}"))?;
    }
    let missing = ids("not_found");
    if !missing.is_empty() {
        bail!("not found: {}", missing.join(", "));
    }
    if worked.is_empty() {
        output.line(format!("nothing {done}"))?;
    }
    Ok(())
}
