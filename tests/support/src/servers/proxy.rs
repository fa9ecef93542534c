//! A TCP proxy that breaks on purpose, and mends.
//!
//! It stands between a process under test and one server. What it is told holds at once, for the
//! connections that are open and for those to come, until [`Proxy::pass`]. It runs on a thread and a
//! runtime of its own, so that tests may block or pause their clock.

use crate::ports;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

/// Somebody may take the port between the look and the start.
const PORT_TRIES: usize = 20;

/// In which direction bytes flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From whoever connected to the server.
    Up,
    /// From the server to whoever connected.
    Down,
    /// Either.
    Both,
}

impl Way {
    fn holds(self, one: Self) -> bool {
        self == Self::Both || self == one
    }
}

/// What is done to connections.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Each chunk of bytes is late by so much.
    delay: Option<(Way, Duration)>,
    /// Bytes are kept back.
    stall: Option<Way>,
    /// Counts the cuts: a connection of an earlier number is to be reset.
    cuts: u64,
    /// Counts the half-closes, and in which direction the last one is.
    halves: u64,
    half: Option<Way>,
}

/// Whether connections are taken.
enum Door {
    Open(oneshot::Sender<()>),
    Shut(oneshot::Sender<()>),
}

/// A running proxy. Dropping it cuts everything.
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    door: mpsc::UnboundedSender<Door>,
    connections: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy in front of `server`, passing everything.
    ///
    /// # Panics
    /// When it finds no port.
    pub fn start(server: SocketAddr) -> Self {
        let listener = (0..PORT_TRIES).find_map(|_| {
            let listener = std::net::TcpListener::bind(("127.0.0.1", ports::free())).ok()?;
            listener.set_nonblocking(true).ok()?;
            Some(listener)
        });
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("an address");
        let (state, watched) = watch::channel(State::default());
        let (door, doors) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&connections);
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(async {
                    let listener = TcpListener::from_std(listener).expect("a listener");
                    let at = (address, server);
                    accept(listener, at, watched, doors, seen).await;
                });
        });
        Self {
            address,
            state,
            door,
            connections,
            thread: Some(thread),
        }
    }

    /// Where to connect instead of the server.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were taken so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Ends every fault. What was held back flows; what was cut stays cut.
    pub fn pass(&self) {
        self.open(true);
        self.state.send_modify(|state| {
            state.delay = None;
            state.stall = None;
        });
    }

    /// Resets the connections that are open now; new ones pass.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Resets the connections that are open now and refuses new ones.
    pub fn refuse(&self) {
        self.open(false);
        self.cut();
    }

    /// Bytes in this direction come late by so much.
    pub fn delay(&self, way: Way, by: Duration) {
        self.state
            .send_modify(|state| state.delay = Some((way, by)));
    }

    /// Bytes in this direction are held back: connections stay open, new ones are taken, and nothing
    /// comes through.
    pub fn stall(&self, way: Way) {
        self.state.send_modify(|state| state.stall = Some(way));
    }

    /// Ends this direction of the connections that are open now; the other one goes on.
    pub fn half_close(&self, way: Way) {
        self.state.send_modify(|state| {
            state.halves += 1;
            state.half = Some(way);
        });
    }

    /// Waits until it holds: whoever connects afterwards is refused, or not.
    fn open(&self, open: bool) {
        let (done, wait) = oneshot::channel();
        let door = if open { Door::Open } else { Door::Shut };
        self.door.send(door(done)).expect("the proxy runs");
        // A test may be async, and this blocks its thread: for as long as a socket takes to open.
        let waiting = std::thread::spawn(move || wait.blocking_recv().expect("the proxy runs"));
        waiting.join().expect("the proxy runs");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let (nobody, _) = mpsc::unbounded_channel();
        self.door = nobody;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn accept(
    listener: TcpListener,
    (address, server): (SocketAddr, SocketAddr),
    state: watch::Receiver<State>,
    mut doors: mpsc::UnboundedReceiver<Door>,
    connections: Arc<AtomicUsize>,
) {
    let mut listener = Some(listener);
    loop {
        let taken = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // First what the test said: after `refuse` nobody is taken any more.
            biased;
            door = doors.recv() => match door {
                Some(Door::Open(done)) => {
                    while listener.is_none() {
                        listener = TcpListener::bind(address).await.ok();
                        tokio::task::yield_now().await;
                    }
                    done.send(()).ok();
                }
                Some(Door::Shut(done)) => {
                    listener = None;
                    done.send(()).ok();
                }
                None => return,
            },
            client = taken => {
                let Ok((client, _)) = client else { continue };
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(connection(client, server, state.clone()));
            }
        }
    }
}

/// One connection, until both directions have ended or it is cut.
async fn connection(mut client: TcpStream, server: SocketAddr, state: watch::Receiver<State>) {
    let cuts = state.borrow().cuts;
    let Ok(mut server) = TcpStream::connect(server).await else {
        // What the server does, the proxy does: refused there is reset here.
        client.set_zero_linger().ok();
        return;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).ok();
    }
    let mut cut = state.clone();
    let is_cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let flow = async {
            tokio::join!(
                pump(from_client, to_server, Way::Up, state.clone()),
                pump(from_server, to_client, Way::Down, state.clone()),
            )
        };
        tokio::select! {
            _ended = flow => false,
            _cut = cut.wait_for(|state| state.cuts > cuts) => true,
        }
    };
    if is_cut {
        for stream in [&client, &server] {
            stream.set_zero_linger().ok();
        }
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    mut state: watch::Receiver<State>,
) {
    let halves = state.borrow().halves;
    let mut halved = state.clone();
    let half = halved.wait_for(|s| s.halves > halves && s.half.is_some_and(|h| h.holds(way)));
    let flow = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut bytes).await {
            let delay = state.borrow().delay.filter(|(w, _)| w.holds(way));
            if let Some((_, by)) = delay {
                tokio::time::sleep(by).await;
            }
            let open = state.wait_for(|s| !s.stall.is_some_and(|w| w.holds(way)));
            if open.await.is_err() || to.write_all(&bytes[..n]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = flow => {}
        _half = half => {}
    }
    to.shutdown().await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A server that says everything back.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut out = stream.try_clone().unwrap();
                    std::io::copy(&mut stream, &mut out).ok();
                    out.write_all(b"end").ok();
                });
            }
        });
        address
    }

    fn say(mut to: &TcpStream, words: &[u8]) {
        to.write_all(words).unwrap();
    }

    fn hear(mut from: &TcpStream, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        from.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn it_passes_cuts_refuses_and_mends() {
        let proxy = Proxy::start(echo());
        let first = TcpStream::connect(proxy.address()).unwrap();
        say(&first, b"abc");
        assert_eq!(hear(&first, 3), b"abc");
        proxy.cut();
        let broken = (&first).read(&mut [0; 1]).unwrap_err();
        assert_eq!(broken.kind(), std::io::ErrorKind::ConnectionReset);
        let second = TcpStream::connect(proxy.address()).unwrap();
        say(&second, b"de");
        assert_eq!(hear(&second, 2), b"de");
        proxy.refuse();
        assert!((&second).read(&mut [0; 1]).is_err());
        assert!(TcpStream::connect(proxy.address()).is_err());
        proxy.pass();
        let third = TcpStream::connect(proxy.address()).unwrap();
        say(&third, b"f");
        assert_eq!(hear(&third, 1), b"f");
        assert_eq!(proxy.connections(), 3);
    }

    #[test]
    fn it_holds_back_one_direction() {
        let proxy = Proxy::start(echo());
        let stream = TcpStream::connect(proxy.address()).unwrap();
        proxy.stall(Way::Down);
        say(&stream, b"abc");
        let soon = Duration::from_millis(100);
        stream.set_read_timeout(Some(soon)).unwrap();
        assert!((&stream).read(&mut [0; 1]).is_err());
        stream.set_read_timeout(None).unwrap();
        proxy.pass();
        assert_eq!(hear(&stream, 3), b"abc");
        let started = std::time::Instant::now();
        proxy.delay(Way::Both, soon);
        say(&stream, b"d");
        assert_eq!(hear(&stream, 1), b"d");
        assert!(started.elapsed() >= soon * 2);
    }

    #[test]
    fn it_closes_one_direction() {
        let proxy = Proxy::start(echo());
        let stream = TcpStream::connect(proxy.address()).unwrap();
        say(&stream, b"abc");
        assert_eq!(hear(&stream, 3), b"abc");
        proxy.half_close(Way::Up);
        // The server has had our end, and what it says then still comes.
        let mut rest = Vec::new();
        (&stream).read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"end");
    }
}
