//! `switchboard send`: sends one message and prints the receipt.

use super::Outcome;
use super::client::{Answer, Client, Service, text};
use super::output::Output;
use crate::config::Sources;
use anyhow::bail;
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// A send is answered when its outcome is known or `api.default_wait_seconds` are over, which are
/// at most 300.
const TIMEOUT: Duration = Duration::from_secs(330);

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("content").args(["text", "attach"]).required(true).multiple(true))]
pub(super) struct Args {
    #[command(flatten)]
    service: Service,
    /// The channel to send through
    #[arg(long, value_name = "ID")]
    channel: String,
    /// The recipient as the platform writes it: a telephone number, a chat id, an address
    #[arg(long, value_name = "ADDRESS", allow_hyphen_values = true)]
    to: String,
    /// The text
    #[arg(long, allow_hyphen_values = true)]
    text: Option<String>,
    /// The link of a file to attach; may be repeated
    #[arg(long, value_name = "URL", value_parser = link)]
    attach: Vec<Url>,
}

fn link(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err("allowed is an http or https URL".to_owned())
    }
}

pub(super) fn run(sources: &Sources, args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let body = body(&args);
    let client = args.service.client(sources, TIMEOUT)?;
    super::block_on(execute(&client, &body, output))
}

fn body(args: &Args) -> Value {
    let attachments: Vec<_> = args
        .attach
        .iter()
        .map(|url| json!([file_name(url), url.as_str()]))
        .collect();
    json!({
        "function": "messaging-platforms-send-message",
        "channel": args.channel,
        "to": args.to,
        "message": args.text.as_deref().unwrap_or_default(),
        "attachments": attachments,
    })
}

/// The name of a file by its link.
fn file_name(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut s| s.next_back());
    let last = last.filter(|name| !name.is_empty()).unwrap_or("attachment");
    // A path is escaped as a form is, but for these three, which mean something in a form only.
    let escaped = last
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    form_urlencoded::parse(escaped.as_bytes())
        .map(|(name, _)| name.into_owned())
        .collect()
}

async fn execute(client: &Client, body: &Value, output: &mut Output) -> anyhow::Result<Outcome> {
    let answer = client.call(client.post("/api", body)).await?;
    receipt(&answer, output)
}

fn receipt(answer: &Answer, output: &mut Output) -> anyhow::Result<Outcome> {
    if !answer.message_id.is_null() {
        output.line(format!("message_id: {}", text(&answer.message_id)))?;
        output.line(format!("status: {}", text(&answer.status)))?;
    }
    if !answer.success {
        if !answer.platform.is_null() {
            output.line(format!("platform: {}", answer.platform))?;
        }
        bail!("not sent: {}", answer.problem());
    }
    output.line(format!("response: {}", answer.response))?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_links() {
        for (link, name) in [
            (
                "https://x.example.com/a/My%20file+1.pdf?x=1",
                "My file+1.pdf",
            ),
            ("https://x.example.com/a=b&c.png", "a=b&c.png"),
            ("https://x.example.com/a/", "attachment"),
            ("https://x.example.com", "attachment"),
        ] {
            assert_eq!(file_name(&Url::parse(link).unwrap()), name);
        }
    }
}
