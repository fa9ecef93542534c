//! A platform that takes everything: as little HTTP as possible, and a note of when what came. One
//! thread, the same for subject and baseline.

use crate::load::{content_length, head_end};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// A lane that hangs does so for this long (the platform's side of the isolation scenario).
const HANG: Duration = Duration::from_secs(30);
/// In front of a time in a body: when the caller called, in microseconds since 1970.
pub const CALLED: &str = "called=";

/// How the double is started.
#[derive(Args, Clone)]
pub struct Options {
    /// Port on the loopback.
    #[arg(long)]
    port: u16,
}

#[derive(Default)]
struct State {
    delay: Duration,
    /// Paths that begin so hang.
    hang: Option<String>,
    /// Lets go what hangs.
    released: Rc<Notify>,
    /// When each request came, in microseconds.
    arrivals: Vec<u64>,
    /// From the call to here, in microseconds.
    latencies: Vec<u64>,
    /// Events of the gateway.
    hooks: u64,
    next_id: u64,
}

/// Microseconds since 1970: comparable between the processes of one machine.
pub fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |t| u64::try_from(t.as_micros()).unwrap_or(u64::MAX))
}

/// Serves until it is killed.
pub fn serve(options: Options) -> Result<()> {
    crate::load::alone(async move {
        let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
        let state = Rc::new(RefCell::new(State::default()));
        let tasks = LocalSet::new();
        tasks
            .run_until(async {
                loop {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    let state = Rc::clone(&state);
                    tokio::task::spawn_local(async move {
                        // A connection that breaks is the peer's business.
                        connection(stream, &state).await.ok();
                    });
                }
            })
            .await
    })
}

async fn connection(mut stream: TcpStream, state: &RefCell<State>) -> Result<()> {
    let mut buffer: Vec<u8> = Vec::with_capacity(16 * 1024);
    loop {
        let (body_at, end) = loop {
            if let Some(body_at) = head_end(&buffer) {
                let head = std::str::from_utf8(buffer.get(..body_at).unwrap_or_default())?;
                let end = body_at + content_length(head).unwrap_or(0);
                if buffer.len() >= end {
                    break (body_at, end);
                }
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = std::str::from_utf8(buffer.get(..body_at).unwrap_or_default())?;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let body =
            String::from_utf8_lossy(buffer.get(body_at..end).unwrap_or_default()).into_owned();
        buffer.drain(..end);
        let answer = answer(&path, &body, state).await;
        let text = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        stream.write_all(text.as_bytes()).await?;
    }
}

async fn answer(path: &str, body: &str, state: &RefCell<State>) -> String {
    if let Some(query) = path.strip_prefix("/ctl/reset?") {
        let mut fresh = State {
            next_id: state.borrow().next_id,
            ..State::default()
        };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "delay" => fresh.delay = Duration::from_millis(value.parse().unwrap_or(0)),
                "hang" if !value.is_empty() => fresh.hang = Some(value.to_owned()),
                _ => {}
            }
        }
        let before = state.replace(fresh);
        before.released.notify_waiters();
        return "{}".to_owned();
    }
    if path == "/ctl/stats" {
        return stats(&state.borrow());
    }
    if path.starts_with("/hook") {
        state.borrow_mut().hooks += 1;
        return "{}".to_owned();
    }
    let hangs = {
        let state = state.borrow();
        let hangs = state
            .hang
            .as_ref()
            .is_some_and(|h| path.starts_with(h.as_str()));
        hangs.then(|| Rc::clone(&state.released))
    };
    if let Some(released) = hangs
        && tokio::time::timeout(HANG, released.notified())
            .await
            .is_err()
    {
        return taken(body, 0);
    }
    let (delay, id) = {
        let mut state = state.borrow_mut();
        let now = micros();
        state.arrivals.push(now);
        if let Some(called) = number_after(body, CALLED) {
            state.latencies.push(now.saturating_sub(called));
        }
        state.next_id += 1;
        (state.delay, state.next_id)
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    taken(body, id)
}

/// What Telegram answers to a message.
fn taken(body: &str, id: u64) -> String {
    let chat = number_after(body, "\"chat_id\":").unwrap_or(0);
    format!(
        r#"{{"ok":true,"result":{{"message_id":{id},"date":1795000001,"chat":{{"id":{chat},"type":"private"}}}}}}"#
    )
}

/// The digits behind a word, which may be in quotes.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    let rest = rest.strip_prefix('"').unwrap_or(rest);
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

fn stats(state: &State) -> String {
    let mut latencies = state.latencies.clone();
    latencies.sort_unstable();
    let part = |of: &[u64], thousandth: usize| {
        let index = (of.len() * thousandth / 1000).min(of.len().saturating_sub(1));
        of.get(index).copied().unwrap_or(0)
    };
    json!({
        "count": state.arrivals.len(),
        "hooks": state.hooks,
        "first": state.arrivals.first(),
        "last": state.arrivals.last(),
        "tenth": part(&state.arrivals, 100),
        "nine_tenths": part(&state.arrivals, 900),
        "latency_p50": part(&latencies, 500),
        "latency_p99": part(&latencies, 990),
    })
    .to_string()
}
