//! Measures the gateway whole: the release binary as a process of its own, the emulators as another,
//! and this one in between. `cargo build --release && cargo run --release -p bench` prints a table and,
//! as its last line, JSON.
//!
//! What is measured depends on the machine and on what else runs on it: compare runs of one machine.

use anyhow::{Context, Result, bail, ensure};
use futures_util::StreamExt;
use futures_util::stream;
use reqwest::Client;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use switchboard_channels::kit::sign::hmac_sha256;

/// Webhooks posted at once.
const CONNECTIONS: usize = 64;
/// Webhooks of one run.
const WEBHOOKS: usize = 20_000;
/// People who are written to, and messages to each.
const CHATS: usize = 200;
const MESSAGES_EACH: usize = 25;
/// A measurement that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(180);

const TOKEN: &str = "bench-token-0123456789";
const SECRET: &str = "bench-app-secret";
const GATEWAY: &str = "http://127.0.0.1:18080";
const SANDBOX: &str = "http://127.0.0.1:18081";

/// A process that ends with this one.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// One measured figure.
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
}

fn main() -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure())
}

fn binary() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let binary = here.with_file_name("switchboard");
    ensure!(
        binary.exists(),
        "{} is missing: run cargo build --release first",
        binary.display()
    );
    Ok(binary)
}

fn configuration() -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:18080"
[api]
tokens = ["{TOKEN}"]
rate_per_second = 1000000
[store]
url = "sqlite:bench.db"
[log]
filter = "warn"
[sandbox]
enabled = false
listen = "127.0.0.1:18081"
[[channels]]
id = "wa"
kind = "whatsapp"
api_base = "{SANDBOX}/wa"
phone_number_id = "310987654321098"
access_token = "bench-access-token"
app_secret = "{SECRET}"
verify_token = "bench-verify"
[[channels]]
id = "bot"
kind = "telegram"
api_base = "{SANDBOX}/bot"
bot_token = "7000000001:AAExampleTokenOf35Characters-abc_xyz"
webhook_secret = "bench-webhook-secret"
max_in_flight = 64
rate_per_second = 1000000
rate_burst = 1000000
rate_per_recipient_per_second = 1000000
recipient_burst = 1000000
"#
    )
}

fn start(folder: &Path, command: &str) -> Result<Running> {
    let child = Command::new(binary()?)
        .args([command, "--config", "bench.toml"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("switchboard {command}"))?;
    Ok(Running(child))
}

async fn until_ready(client: &Client, url: &str) -> Result<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if client
            .get(url)
            .send()
            .await
            .is_ok_and(|r| r.status().is_success())
        {
            return Ok(begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bail!("{url} does not answer")
}

/// Resident memory of a process, in MiB.
fn resident(process: &Running) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.0.id()))?;
    let line = status
        .lines()
        .find(|l| l.starts_with("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .context("no number")?
        .parse()?;
    Ok(kib / 1024.0)
}

/// A signed WhatsApp webhook of about a kilobyte, different for every number.
fn webhook(number: usize) -> (String, String) {
    let from = 15_550_000_000_u64 + u64::try_from(number % 2000).unwrap_or(0);
    let text = format!(
        "message {number} {}",
        "lorem ipsum dolor sit amet ".repeat(18)
    );
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "204455667788990",
        "changes": [{"field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550107788", "phone_number_id": "310987654321098"},
            "contacts": [{"profile": {"name": "Dana Fields"}, "wa_id": from.to_string()}],
            "messages": [{"from": from.to_string(), "id": format!("wamid.BENCH{number}"),
                "timestamp": "1795000001", "type": "text", "text": {"body": text}}]}}]}]})
    .to_string();
    let signature = hex::encode(hmac_sha256(SECRET.as_bytes(), &[body.as_bytes()]));
    (body, format!("sha256={signature}"))
}

/// Posts webhooks and gives rate, median and 99th percentile in milliseconds.
async fn inbound(client: &Client) -> Result<(f64, f64, f64)> {
    let hooks: Vec<(String, String)> = (0..WEBHOOKS).map(webhook).collect();
    let begun = Instant::now();
    let mut times: Vec<Duration> = stream::iter(hooks)
        .map(|(body, signature)| async move {
            let begun = Instant::now();
            let request = client
                .post(format!("{GATEWAY}/webhooks/wa"))
                .header("content-type", "application/json")
                .header("x-hub-signature-256", signature)
                .body(body);
            let status = request.send().await?.status();
            ensure!(status.is_success(), "a webhook was answered {status}");
            Ok(begun.elapsed())
        })
        .buffer_unordered(CONNECTIONS)
        .collect::<Vec<Result<Duration>>>()
        .await
        .into_iter()
        .collect::<Result<_>>()?;
    let seconds = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| {
        let index = (times.len() * share / 1000).min(times.len().saturating_sub(1));
        times.get(index).map_or(0.0, |t| t.as_secs_f64() * 1000.0)
    };
    #[expect(clippy::cast_precision_loss, reason = "a count of a benchmark")]
    let rate = WEBHOOKS as f64 / seconds;
    Ok((rate, at(500), at(990)))
}

async fn call(client: &Client, body: Value) -> Result<Value> {
    let request = client
        .post(format!("{GATEWAY}/api"))
        .bearer_auth(TOKEN)
        .json(&body);
    Ok(request.send().await?.json().await?)
}

/// What a counter of `/metrics` stands at.
async fn counter(client: &Client, name: &str) -> Result<f64> {
    let text = client
        .get(format!("{GATEWAY}/metrics"))
        .send()
        .await?
        .text()
        .await?;
    let line = text.lines().find(|l| l.starts_with(name));
    Ok(line
        .and_then(|l| l.rsplit(' ').next())
        .and_then(|v| v.parse().ok())
        .unwrap_or(0.0))
}

/// Sends messages that are accepted first and delivered then; gives accepted and delivered per
/// second, and the median of a single send on the idle gateway in milliseconds.
async fn outbound(client: &Client) -> Result<(f64, f64, f64)> {
    let chat = |n: usize| 5_550_100_000_u64 + u64::try_from(n).unwrap_or(0);
    for n in 0..CHATS {
        let say = json!({"do": "say", "from": chat(n).to_string(), "text": "hello"});
        let url = format!("{SANDBOX}/sandbox/bot/act");
        let answer = client.post(url).json(&say).send().await?;
        ensure!(answer.status().is_success(), "{}", answer.text().await?);
    }
    let mut single: Vec<Duration> = Vec::new();
    for n in 0..CHATS {
        let begun = Instant::now();
        let answer = call(
            client,
            json!({"function": "telegram-send-message", "channel": "bot",
            "chat_id": chat(n).to_string(), "message": "one"}),
        )
        .await?;
        ensure!(answer.get("status") == Some(&json!("sent")), "{answer}");
        single.push(begun.elapsed());
    }
    single.sort_unstable();
    let median = single
        .get(CHATS / 2)
        .map_or(0.0, |t| t.as_secs_f64() * 1000.0);
    let sent = "switchboard_sends_total{channel=\"bot\",kind=\"telegram\",outcome=\"sent\"}";
    let before = counter(client, sent).await?;
    let total = CHATS * MESSAGES_EACH;
    let begun = Instant::now();
    let accepted: Vec<Result<Value>> = stream::iter(0..total)
        .map(|n| {
            call(
                client,
                json!({"function": "telegram-send-message", "channel": "bot", "wait": 0,
                "chat_id": chat(n % CHATS).to_string(), "message": format!("message {n}")}),
            )
        })
        .buffer_unordered(CONNECTIONS)
        .collect()
        .await;
    let accepting = begun.elapsed().as_secs_f64();
    for answer in accepted {
        let answer = answer?;
        ensure!(answer.get("success") == Some(&json!(true)), "{answer}");
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of a benchmark")]
    let total = total as f64;
    while counter(client, sent).await? - before < total {
        ensure!(
            begun.elapsed() < PATIENCE,
            "not all messages were delivered"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok((
        total / accepting,
        total / begun.elapsed().as_secs_f64(),
        median,
    ))
}

async fn measure() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("switchboard-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("bench.toml"), configuration())?;
    let client = Client::builder()
        .pool_max_idle_per_host(CONNECTIONS)
        .build()?;
    let sandbox = start(&folder, "sandbox")?;
    until_ready(&client, &format!("{SANDBOX}/sandbox/accounts")).await?;
    let gateway = start(&folder, "serve")?;
    let ready = until_ready(&client, &format!("{GATEWAY}/readyz")).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = resident(&gateway)?;
    let (rate, p50, p99) = inbound(&client).await?;
    let (accepted, delivered, single) = outbound(&client).await?;
    let size = std::fs::metadata(binary()?)?.len();
    #[expect(clippy::cast_precision_loss, reason = "the size of a file")]
    let size = size as f64 / 1_048_576.0;
    let figure = |name, value, unit| Figure { name, value, unit };
    report(&[
        figure("ready", ready.as_secs_f64() * 1000.0, "ms"),
        figure("idle-memory", idle, "MiB"),
        figure("binary-size", size, "MiB"),
        figure("inbound-single", rate, "webhooks/s"),
        figure("inbound-single-p50", p50, "ms"),
        figure("inbound-single-p99", p99, "ms"),
        figure("outbound-accepted", accepted, "sends/s"),
        figure("outbound-delivered", delivered, "sends/s"),
        figure("outbound-idle-p50", single, "ms"),
        figure("memory-after", resident(&gateway)?, "MiB"),
    ])?;
    drop((gateway, sandbox));
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn report(figures: &[Figure]) -> Result<()> {
    let mut out = std::io::stdout();
    for figure in figures {
        writeln!(
            out,
            "{:<22} {:>12.1} {}",
            figure.name, figure.value, figure.unit
        )?;
    }
    let scenarios: Vec<Value> = figures
        .iter()
        .map(|f| json!({"name": f.name, "value": f.value, "unit": f.unit}))
        .collect();
    writeln!(
        out,
        "{}",
        json!({"store": "sqlite", "queue": "memory", "scenarios": scenarios})
    )?;
    Ok(())
}
