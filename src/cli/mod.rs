//! The command line: one file per subcommand, and the exit codes.
//!
//! 0: done. 1: it failed while running. 2: the command line or the configuration is wrong. Whatever
//! fails says so in one message on standard error; results go to standard output.

mod channels;
mod check;
mod client;
mod health;
mod migrate;
mod output;
mod queue;
mod sandbox;
mod send;
mod serve;
#[cfg(test)]
mod tests;
mod token;

use crate::config::{self, Config, ConfigError, Sources};
use crate::telemetry;
use clap::{Parser, Subcommand};
use output::Output;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use switchboard_channels::KINDS;

/// One door to every messaging platform.
#[derive(Debug, Parser)]
#[command(name = "switchboard", version, disable_help_subcommand = true)]
struct Cli {
    /// The configuration
    #[arg(long, global = true, value_name = "FILE")]
    #[arg(help = format!("The configuration [default: {}]", config::DEFAULT_FILE))]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service (also without any command)
    Serve(serve::Args),
    /// Checks the configuration, store and queue, and the credentials of every channel
    Check(check::Args),
    /// Lists the kinds of channels that are built in, and what each can do
    Channels(channels::Args),
    /// Looks at lanes, and works dead letters, of the running service
    Queue(queue::Args),
    /// Sends one message through the running service and prints the receipt
    Send(send::Args),
    /// Asks the running process whether it lives, or works
    Health(health::Args),
    /// Runs the platform emulators alone
    Sandbox,
    /// Prints a new API token and the hash to put into the configuration
    Token,
    /// Brings the store to the current schema
    Migrate,
}

/// Whether everything that was asked for was done, where that is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was.
    Done,
    /// It was not, and the output says what was not.
    Failed,
}

/// Exit code of what failed while running.
const FAILED: u8 = 1;
/// Exit code of a wrong command line or configuration.
const WRONG: u8 = 2;

/// How long what a finished command left running may take to end. What had to be finished was
/// drained before.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Reads the command line of this process and does what it says.
pub fn run() -> ExitCode {
    match parse(std::env::args_os()) {
        Ok(cli) => finish(&execute(cli, &mut Output::standard())),
        Err(usage) => {
            // --help and --version come this way too, with 0 and standard output. Nobody is left to
            // be told when it cannot be printed.
            usage.print().ok();
            ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(WRONG))
        }
    }
}

fn parse<I: IntoIterator<Item = OsString>>(arguments: I) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(arguments)
}

fn execute(cli: Cli, output: &mut Output) -> anyhow::Result<Outcome> {
    let sources = Sources::of_process(cli.config);
    let command = cli
        .command
        .unwrap_or_else(|| Command::Serve(serve::Args::default()));
    match command {
        Command::Serve(args) => serve::run(&sources, args, output),
        Command::Check(args) => check::run(&sources, &args, output),
        Command::Channels(args) => channels::run(KINDS, &args, output),
        Command::Queue(args) => queue::run(&sources, args, output),
        Command::Send(args) => send::run(&sources, args, output),
        Command::Health(args) => health::run(&sources, args, output),
        Command::Sandbox => sandbox::run(&sources),
        Command::Token => token::run(output),
        Command::Migrate => migrate::run(&sources, output),
    }
}

/// Turns what became of a command into the exit code, saying what went wrong.
fn finish(result: &anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(FAILED),
        Err(error) => {
            let (code, message) = explain(error);
            if let Some(message) = message {
                output::complain(&message);
            }
            ExitCode::from(code)
        }
    }
}

/// Exit code and message of an error. None where the reader of our output went away: it has what it
/// wanted (`switchboard channels | head`).
fn explain(error: &anyhow::Error) -> (u8, Option<String>) {
    let mut causes = error.chain();
    if let Some(wrong) = causes.find_map(|cause| cause.downcast_ref::<ConfigError>()) {
        return (WRONG, Some(wrong.to_string()));
    }
    let closed = |cause: &(dyn std::error::Error + 'static)| {
        let error = cause.downcast_ref::<io::Error>();
        error.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    };
    // Only the error itself: a broken connection to somewhere else is an error like any other.
    match error.chain().next() {
        Some(cause) if closed(cause) => (0, None),
        _ => (FAILED, Some(format!("{error:#}"))),
    }
}

/// The configuration as the service runs with it, sandbox channels included.
fn load(sources: &Sources) -> Result<Config, ConfigError> {
    config::load(sources, KINDS).map(Config::with_sandbox)
}

/// The same, with logging begun.
fn start(sources: &Sources) -> anyhow::Result<Config> {
    let config = load(sources)?;
    telemetry::init(&config.log)?;
    Ok(config)
}

/// Runs a future to its end.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(future);
    // Dropping the runtime would wait for every blocking call, a name lookup that hangs included.
    runtime.shutdown_timeout(SHUTDOWN);
    result
}
