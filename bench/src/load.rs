//! The load generator: HTTP/1.1 over kept connections, requests rendered beforehand, answers read no
//! further than needed. It takes a few microseconds per request, the same for subject and baseline.

use anyhow::{Context, Result, bail, ensure};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// A server that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a run of requests took.
#[derive(Debug)]
pub struct Run {
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Of each request, sorted.
    times: Vec<Duration>,
}

impl Run {
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.seconds
    }

    /// The time within which so many thousandths were answered, in milliseconds.
    pub fn at(&self, thousandth: usize) -> f64 {
        let index = (self.times.len() * thousandth / 1000).min(self.times.len().saturating_sub(1));
        let time = self.times.get(index);
        time.map_or(0.0, |t| t.as_secs_f64() * 1000.0)
    }
}

/// A request as it goes over the wire.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    use std::fmt::Write;
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n");
    for (name, value) in headers {
        // Writing into a string does not fail.
        write!(text, "{name}: {value}\r\n").ok();
    }
    write!(text, "content-length: {}\r\n\r\n{body}", body.len()).ok();
    text.into_bytes()
}

/// Runs something that waits, on this thread alone.
pub fn alone<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, future)
}

/// A kept connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(16 * 1024),
        })
    }

    /// Makes a request; gives the status and the body of the answer.
    pub async fn call(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let answer = async {
            loop {
                let read = self.stream.read_buf(&mut self.buffer).await?;
                ensure!(read > 0, "the server closed the connection");
                if let Some(answer) = complete(&self.buffer)? {
                    return Ok(answer);
                }
            }
        };
        let (status, from) = tokio::time::timeout(PATIENCE, answer)
            .await
            .context("no answer")??;
        Ok((status, self.buffer.get(from..).unwrap_or_default()))
    }
}

/// Status, and where the body begins, once the whole answer is there.
fn complete(bytes: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(end) = head_end(bytes) else {
        return Ok(None);
    };
    let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let status: u16 = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("no status")?;
    let length = content_length(head).context("an answer without content-length")?;
    Ok((bytes.len() >= end + length).then_some((status, end)))
}

/// Where the body of a message begins.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// How long the body of a message is.
pub fn content_length(head: &str) -> Option<usize> {
    head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    })
}

/// One request; the answer must be a success.
pub fn once(to: SocketAddr, request: &[u8]) -> Result<String> {
    alone(async {
        let mut connection = Connection::open(to).await?;
        let (status, body) = connection.call(request).await?;
        let body = String::from_utf8_lossy(body).into_owned();
        ensure!((200..300).contains(&status), "answered {status}: {body}");
        Ok(body)
    })
}

/// Makes all requests over so many connections, as fast as they are answered.
pub fn flood(to: SocketAddr, requests: &[Vec<u8>], connections: usize) -> Result<Run> {
    drive(to, requests, connections, None)
}

/// Makes all requests at a rate, over at most so many connections.
pub fn paced(
    to: SocketAddr,
    requests: &[Vec<u8>],
    connections: usize,
    per_second: f64,
) -> Result<Run> {
    drive(to, requests, connections, Some(per_second))
}

fn drive(
    to: SocketAddr,
    requests: &[Vec<u8>],
    connections: usize,
    per_second: Option<f64>,
) -> Result<Run> {
    // Shared with tasks, which outlive no borrow.
    let requests: Rc<Vec<Vec<u8>>> = Rc::new(requests.to_vec());
    alone(async move {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(Connection::open(to).await?);
        }
        let next = Rc::new(Cell::new(0_usize));
        let times = Rc::new(RefCell::new(Vec::with_capacity(requests.len())));
        let begun = Instant::now();
        let tasks: Vec<_> = open
            .into_iter()
            .map(|mut connection| {
                let (requests, next) = (Rc::clone(&requests), Rc::clone(&next));
                let times = Rc::clone(&times);
                tokio::task::spawn_local(async move {
                    loop {
                        let mine = next.get();
                        next.set(mine + 1);
                        let Some(request) = requests.get(mine) else {
                            return anyhow::Ok(());
                        };
                        if let Some(rate) = per_second {
                            let due = begun + Duration::from_secs_f64(mine as f64 / rate);
                            tokio::time::sleep_until(due.into()).await;
                        }
                        let asked = Instant::now();
                        let (status, body) = connection.call(request).await?;
                        if !(200..300).contains(&status) {
                            bail!("answered {status}: {}", String::from_utf8_lossy(body));
                        }
                        times.borrow_mut().push(asked.elapsed());
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let mut times = times.take();
        times.sort_unstable();
        Ok(Run { seconds, times })
    })
}
