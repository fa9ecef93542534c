//! What the service says about itself: log lines on standard error, and metrics.

mod metrics;
pub mod names;

pub use metrics::{Metrics, MetricsError};

use crate::config::{ConfigError, LogConfig, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Libraries that write what goes over the wire into their lines, passwords of a login among it. No
/// filter brings these lines out: what matters of a conversation with a mail server we say ourselves.
const TALKATIVE: [&str; 2] = ["async_imap", "lettre::transport"];

/// Begins to write log lines to standard error. `RUST_LOG` goes before the configured filter.
///
/// # Errors
/// When `RUST_LOG` cannot be used (a [`ConfigError`]), or the process writes logs already.
pub fn init(log: &LogConfig) -> anyhow::Result<()> {
    let filter = filter(log, std::env::var("RUST_LOG").ok())?;
    let colours = std::io::stderr().is_terminal();
    subscriber(log.format, filter, colours, std::io::stderr).try_init()?;
    Ok(())
}

fn filter(log: &LogConfig, environment: Option<String>) -> Result<EnvFilter, ConfigError> {
    let chosen = environment.filter(|text| !text.trim().is_empty());
    let (text, file) = match &chosen {
        Some(text) => (text, "environment variable RUST_LOG"),
        None => (&log.filter, "log.filter"),
    };
    EnvFilter::try_new(text).map_err(|error| {
        let allowed = "a level or directives such as info,switchboard=debug";
        ConfigError::new("", format!("{text:?} ({error})"), allowed).in_file(file)
    })
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(format: LogFormat, filter: EnvFilter, colours: bool, writer: W) -> Subscriber
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let discreet = filter_fn(|line| !TALKATIVE.iter().any(|name| line.target().starts_with(name)));
    let base = tracing_subscriber::registry().with(filter).with(discreet);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => Box::new(base.with(lines.with_ansi(colours))),
        LogFormat::Json => Box::new(base.with(lines.with_ansi(false).json().flatten_event(true))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: &LogConfig, environment: Option<&str>) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let filter = filter(log, environment.map(str::to_owned)).unwrap();
        let subscriber = subscriber(log.format, filter, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!({ names::fields::CHANNEL_ID } = "support-bot", "sent");
            tracing::debug!("detail");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_are_for_people_or_for_machines() {
        let mut log = LogConfig::default();
        let text = logged(&log, None);
        assert_eq!(text.lines().count(), 1);
        assert!(
            text.contains("sent") && text.contains("channel.id=\"support-bot\""),
            "{text}"
        );

        log.format = LogFormat::Json;
        let text = logged(&log, None);
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "sent");
        assert_eq!(line["channel.id"], "support-bot");
    }

    #[test]
    fn no_filter_brings_out_what_mail_servers_are_told() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let filter = EnvFilter::new("trace,async_imap=trace,lettre=trace");
        let subscriber = subscriber(LogFormat::Text, filter, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "async_imap::imap_stream", "encode: A1 LOGIN me hunter2");
            tracing::debug!(target: "lettre::transport::smtp::client", "Wrote: AUTH hunter2");
            tracing::trace!("ours");
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("ours") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn rust_log_goes_before_the_configuration() {
        let log = LogConfig::default();
        assert_eq!(logged(&log, Some("debug")).lines().count(), 2);
        assert_eq!(logged(&log, Some("error")), "");
        assert_eq!(logged(&log, Some(" ")).lines().count(), 1);
        let error = filter(&log, Some("a=b=c".to_owned()))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("environment variable RUST_LOG: found \"a=b=c\""),
            "{error}"
        );
    }
}
