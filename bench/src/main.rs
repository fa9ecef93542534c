//! Measures the gateway whole, as a process of its own, beside the limit of the same work in the same
//! run: `cargo run --release -p bench -- all`.
//!
//! Every figure has a baseline where one applies: a bare endpoint that does nothing but what cannot be
//! left out, a client that posts the same bytes and records nothing. Subject and baseline take turns,
//! and share the load generator and the platform's double, so that a ratio means something also on a
//! machine where the figures do not.

mod bare;
mod double;
mod load;
mod report;
mod rig;
mod scenarios;
mod servers;
mod size;

use anyhow::Result;
use clap::{Parser, Subcommand};
use report::Report;
use rig::Rig;
use size::Size;
use std::path::PathBuf;

/// Measures Switchboard beside the limit of the same work.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// `all`, or one scenario.
    #[command(subcommand)]
    what: What,
    /// The short form: under fifty seconds in all.
    #[arg(long, global = true)]
    quick: bool,
    /// The long form: the store is filled with five million messages.
    #[arg(long, global = true, conflicts_with = "quick")]
    long: bool,
    /// Only tries whether everything can be measured; the figures mean nothing.
    #[arg(long, global = true, hide = true)]
    smoke: bool,
    /// Prints one JSON object as the last line.
    #[arg(long, global = true)]
    json: bool,
    /// The gateway to be measured; built when it is not named.
    #[arg(long, global = true)]
    binary: Option<PathBuf>,
    /// Where databases are put; the disk is part of what is measured.
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
}

#[derive(Subcommand, Clone)]
enum What {
    /// Every scenario.
    All,
    /// Signed webhooks with one message.
    InboundSingle,
    /// Signed webhooks with twenty messages.
    InboundBatch,
    /// Queued sends to a platform that answers at once, and a call on an idle gateway.
    OutboundInstant,
    /// Queued sends to a platform that takes 100 ms.
    #[command(name = "outbound-100ms")]
    Outbound100ms,
    /// One message of five parts at 50 ms each.
    #[command(name = "five-parts-50ms")]
    FiveParts50ms,
    /// The queue in memory, alone.
    QueueMemoryDepth,
    /// The queue in Redis, alone.
    QueueRedisDepth,
    /// Nine lanes beside one that hangs.
    Isolation,
    /// Webhooks into a store that is full already.
    Growth,
    /// Memory of an idle gateway.
    IdleMemory,
    /// Memory that 100,000 queued messages take.
    #[command(name = "queued-100k-memory")]
    Queued100kMemory,
    /// From the start to the first answer.
    Ready,
    /// A platform that takes everything (started by the others).
    #[command(hide = true)]
    Double(double::Options),
    /// An endpoint that does only what cannot be left out (started by the others).
    #[command(hide = true)]
    Bare(bare::Options),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    match arguments.what {
        What::Double(options) => return double::serve(options),
        What::Bare(options) => return bare::serve(options),
        _ => {}
    }
    let size = if arguments.smoke {
        Size::smoke()
    } else if arguments.quick {
        Size::quick()
    } else {
        Size::full(arguments.long)
    };
    let rig = Rig::new(arguments.binary, arguments.folder, size.shares)?;
    let mut report = Report::default();
    let one = |wanted: &What| match wanted {
        What::All => scenarios::ALL.to_vec(),
        What::InboundSingle => vec!["inbound-single"],
        What::InboundBatch => vec!["inbound-batch"],
        What::OutboundInstant => vec!["outbound-instant"],
        What::Outbound100ms => vec!["outbound-100ms"],
        What::FiveParts50ms => vec!["five-parts-50ms"],
        What::QueueMemoryDepth => vec!["queue-memory-depth"],
        What::QueueRedisDepth => vec!["queue-redis-depth"],
        What::Isolation => vec!["isolation"],
        What::Growth => vec!["growth"],
        What::IdleMemory => vec!["idle-memory"],
        What::Queued100kMemory => vec!["queued-100k-memory"],
        What::Ready => vec!["ready"],
        What::Double(_) | What::Bare(_) => Vec::new(),
    };
    report.heading()?;
    for name in one(&arguments.what) {
        scenarios::run(name, &rig, &size, &mut report)?;
    }
    report.finish(arguments.json)
}
