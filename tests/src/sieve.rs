//! A proxy between the bus and one subscriber that loses, doubles or delays single messages on request,
//! and notes what it saw: live messages on their way down, and reads on their way up.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

use crate::frames::{Frame, Frames};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What is noted, by the beginnings of its subjects.
const NOTED: [&str; 2] = ["writ.live.", "$JS.API.DIRECT.GET."];

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It never arrives.
    Lose,
    /// It arrives twice.
    Double,
    /// It arrives after the next message that is noted.
    Delay,
}

/// A message that came by.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Its subject.
    pub subject: String,
    /// Its payload, without headers.
    pub payload: Vec<u8>,
    /// What was done to it, if anything.
    pub deed: Option<Deed>,
}

#[derive(Debug)]
struct Order {
    beginning: String,
    end: String,
    deed: Deed,
    left: usize,
}

#[derive(Debug, Default)]
struct State {
    orders: Vec<Order>,
    seen: Vec<Seen>,
}

/// The proxy. Dropping it takes no more connections.
#[derive(Debug)]
pub struct Sieve {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Sieve {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sieve {
    /// Listens on a free port and passes everything on to `server`.
    pub async fn start(server: SocketAddr) -> Sieve {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                // Ends with either side.
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else {
                        return;
                    };
                    let _ = client.set_nodelay(true);
                    let _ = server.set_nodelay(true);
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = pass(from_client, to_server, &shared) => {}
                        () = pass(from_server, to_client, &shared) => {}
                    }
                });
            }
        });
        Sieve {
            address,
            state,
            task,
        }
    }

    /// Where it listens, as a client of the bus is told.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Does something to the next `count` messages whose subject begins and ends so.
    pub fn order(&self, beginning: &str, end: &str, deed: Deed, count: usize) {
        let order = Order {
            beginning: beginning.to_owned(),
            end: end.to_owned(),
            deed,
            left: count,
        };
        self.state().orders.push(order);
    }

    /// Does nothing to any message any more.
    pub fn lift(&self) {
        self.state().orders.clear();
    }

    /// What was noted so far, and is forgotten with this.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state().seen)
    }

    /// What was noted so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes a message, and says what is to be done to it. `None`: it is not one that is noted.
fn judge(state: &Mutex<State>, frame: &Frame) -> Option<Option<Deed>> {
    let subject = frame.subject.as_deref()?;
    if !NOTED.iter().any(|prefix| subject.starts_with(prefix)) {
        return None;
    }
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let fits =
        |order: &Order| subject.starts_with(&order.beginning) && subject.ends_with(&order.end);
    let order = state
        .orders
        .iter_mut()
        .find(|order| order.left > 0 && fits(order));
    let deed = order.map(|order| {
        order.left -= 1;
        order.deed
    });
    state.seen.push(Seen {
        at: Instant::now(),
        subject: subject.to_owned(),
        payload: frame.payload().to_vec(),
        deed,
    });
    Some(deed)
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &Mutex<State>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut frames, mut delayed) = (Frames::default(), Vec::new());
    while let Ok(length) = from.read(&mut chunk).await {
        if length == 0 {
            return;
        }
        frames.push(&chunk[..length]);
        let mut out = Vec::new();
        while let Some(frame) = frames.take() {
            let verdict = judge(state, &frame);
            match verdict.flatten() {
                Some(Deed::Lose) => continue,
                Some(Deed::Delay) => {
                    delayed.extend_from_slice(&frame.bytes);
                    continue;
                }
                Some(Deed::Double) => out.extend_from_slice(&frame.bytes),
                None => {}
            }
            out.extend_from_slice(&frame.bytes);
            if verdict.is_some() {
                out.append(&mut delayed);
            }
        }
        if to.write_all(&out).await.is_err() {
            return;
        }
    }
}
