//! A connection to the bus.
//!
//! Owns connecting, the requests of a connection, and what the server says beside the answers:
//! violations, lost connections, slow readers.
//! Promises: a request that the server denies fails with [`Denied`] as soon as the server has said
//! so; a connection that is lost is taken up again for ever, and readers hear of the gap.
//! Never: retries a request; whoever sent it knows whether that is safe.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{
    ConnectOptions, Event, HeaderMap, Message, ServerError, Subscriber, connection::State,
};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::{
    sync::{broadcast, watch},
    task::JoinHandle,
};

use crate::requests::{Failure, Requests};
pub use crate::{
    denial::{Action, Denied},
    error::Error,
    login::{Error as LoginError, Login},
};

/// How long the first connection may take, TCP and authentication.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How often an idle connection is probed; two missing answers end it. The library's minute would
/// leave a cluster behind a dead link for two of them.
const PING_PERIOD: Duration = Duration::from_secs(5);

/// How long a request may take when its sender names no time. A stream whose leader was killed takes
/// no writes for 5 to 7 s, so that callers repeat across it instead of waiting once.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);

/// Most messages that wait in one subscription; what comes then is dropped and reported as a gap.
/// Twice what a batch of the largest size sends to one scope.
const SUBSCRIPTION_MESSAGES_MAX: usize = 2 * crate::batch::MESSAGES_MAX;

/// Most violations that wait for a reader of [`Client::denials`]; older ones are then dropped.
const DENIALS_WAITING_MAX: usize = 64;

/// Time between two lines about a reader that is too slow.
const SLOW_LOG_PERIOD: Duration = Duration::from_secs(1);

/// Whether [`connect`] waits for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstConnect {
    /// It fails when the first attempt does.
    Now,
    /// It returns at once and the connection is made when the server is there; until then requests
    /// time out. For whoever has work to do without the bus.
    Whenever,
}

/// Where to connect and as whom.
#[derive(Debug)]
pub struct Options {
    /// The server, `nats://host:port`; several of one NATS cluster with commas between them.
    pub url: String,
    /// As whom.
    pub login: Login,
    /// What the user's inboxes begin with (see [`crate::accounts`]).
    pub inbox: String,
    /// The name under which the server lists the connection.
    pub name: String,
    /// Whether to wait for the connection.
    pub first_connect: FirstConnect,
}

/// What the library's callback and the clients share.
struct Shared {
    requests: Requests,
    denials: broadcast::Sender<Denied>,
    /// Counts the places where messages of plain subscriptions may have been lost.
    gaps: watch::Sender<u64>,
    /// Counts the connections that replaced another, or came after there was something to send.
    connections: watch::Sender<u64>,
    first_connect: FirstConnect,
    was_connected: AtomicBool,
    /// Messages that were dropped, and when that was logged.
    dropped: Mutex<(u64, Option<Instant>)>,
}

impl Shared {
    fn note(&self, event: Event) {
        match event {
            Event::ServerError(ServerError::Other(text)) => match Denied::read(&text) {
                Some(denied) => {
                    self.requests.denied(&denied);
                    tracing::warn!(subject = denied.subject, "{denied}");
                    // Without a reader there is nobody to tell.
                    let _ = self.denials.send(denied);
                }
                None => tracing::warn!(error = text, "the bus reports an error"),
            },
            Event::Connected => {
                self.requests.connected();
                let first = !self.was_connected.swap(true, Ordering::Relaxed);
                // The library tells of the first connection after it was handed out.
                if !(first && self.first_connect == FirstConnect::Now) {
                    self.connections.send_modify(|count| *count += 1);
                    self.gaps.send_modify(|count| *count += 1);
                }
                tracing::info!("connected to the bus");
            }
            Event::Disconnected => {
                self.requests.disconnected();
                tracing::warn!("the connection to the bus is lost");
            }
            Event::SlowConsumer(_) => {
                self.gaps.send_modify(|count| *count += 1);
                self.note_dropped();
            }
            other => tracing::debug!("the bus reports: {other}"),
        }
    }

    fn note_dropped(&self) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, logged) = &mut *dropped;
        *total += 1;
        if logged.is_none_or(|at| at.elapsed() >= SLOW_LOG_PERIOD) {
            *logged = Some(Instant::now());
            tracing::warn!(
                total,
                "live messages were dropped: the reader is too slow; further ones are counted"
            );
        }
    }
}

struct Inner {
    nats: async_nats::Client,
    shared: Arc<Shared>,
    answers: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

/// Spread of the first attempt to connect again.
const RECONNECT_DELAY_FIRST: Duration = Duration::from_millis(500);

/// Spread of the later ones at most: less than a beat's period, so that convergence is not held up.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(4);

/// A connection; clones share it, and it closes with the last of them.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

/// Connects as [`Options`] say.
pub async fn connect(options: Options) -> Result<Client, Error> {
    let Options {
        url,
        login,
        inbox,
        name,
        first_connect,
    } = options;
    // Told at once, and not as a connection that is never made.
    login.read()?;
    let shared = Arc::new(Shared {
        requests: Requests::new(&inbox),
        denials: broadcast::channel(DENIALS_WAITING_MAX).0,
        gaps: watch::channel(0).0,
        connections: watch::channel(0).0,
        first_connect,
        was_connected: AtomicBool::new(false),
        dropped: Mutex::default(),
    });
    let noted = Arc::clone(&shared);
    let mut settings =
        ConnectOptions::with_auth_callback(move |nonce| std::future::ready(login.answer(&nonce)))
            .name(name)
            .custom_inbox_prefix(inbox)
            .connection_timeout(CONNECT_TIME_MAX)
            .ping_interval(PING_PERIOD)
            .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
            .reconnect_delay_callback(|attempt| {
                reconnect_delay_max(attempt).mul_f64(rand::random_range(0.0..1.0))
            })
            .event_callback(move |event| {
                noted.note(event);
                std::future::ready(())
            });
    if first_connect == FirstConnect::Whenever {
        settings = settings.retry_on_initial_connect();
    }
    let servers: Vec<&str> = url.split(',').map(str::trim).collect();
    let nats = settings
        .connect(servers.as_slice())
        .await
        .map_err(|source| Error::Connect { url, source })?;
    let subject = shared.requests.subject();
    let inbox = nats
        .subscribe(subject.clone())
        .await
        .map_err(|source| Error::Subscribe { subject, source })?;
    let answers = tokio::spawn(pass_answers(inbox, Arc::clone(&shared)));
    Ok(Client {
        inner: Arc::new(Inner {
            nats,
            shared,
            answers,
        }),
    })
}

/// The longest wait before an attempt to connect again, of which any part is taken by chance: a fleet
/// that lost its server at one moment comes back, and reads the root, spread over half a second, and ever
/// wider while that does not help. 0 is the first attempt after a loss.
fn reconnect_delay_max(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(8);
    (RECONNECT_DELAY_FIRST * (1 << doublings)).min(RECONNECT_DELAY_MAX)
}

/// Ends with the connection; a panic here would leave requests to their deadlines.
async fn pass_answers(mut inbox: Subscriber, shared: Arc<Shared>) {
    while let Some(message) = inbox.next().await {
        shared.requests.answered(message);
    }
}

impl Client {
    /// Whether the connection stands at the moment.
    pub fn is_connected(&self) -> bool {
        self.inner.nats.connection_state() == State::Connected
    }

    /// Closes the connection and makes it anew, as after a loss: with credentials that were renewed,
    /// before the old ones end.
    pub async fn reconnect(&self) {
        // The one error is a closed client, which has no connection.
        let _ = self.inner.nats.force_reconnect().await;
    }

    /// Violations as the server reports them, those of requests included.
    pub fn denials(&self) -> broadcast::Receiver<Denied> {
        self.inner.shared.denials.subscribe()
    }

    /// Writes what is buffered to the socket.
    pub async fn flush(&self) {
        // The one error is a closed client, which has nothing buffered.
        let _ = self.inner.nats.flush().await;
    }

    pub(crate) fn gaps(&self) -> watch::Receiver<u64> {
        self.inner.shared.gaps.subscribe()
    }

    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.inner.shared.connections.subscribe()
    }

    pub(crate) fn new_inbox(&self) -> String {
        self.inner.nats.new_inbox()
    }

    pub(crate) async fn subscribe(&self, subject: String) -> Result<Subscriber, Error> {
        self.inner
            .nats
            .subscribe(subject.clone())
            .await
            .map_err(|source| Error::Subscribe { subject, source })
    }

    /// Sends without an answer.
    pub(crate) async fn send(&self, subject: String, payload: Bytes) -> Result<(), Error> {
        self.inner
            .nats
            .publish(subject.clone(), payload)
            .await
            .map_err(|source| Error::Send { subject, source })
    }

    /// Sends, to be answered to a subject of the sender's own.
    pub(crate) async fn send_with_reply(
        &self,
        subject: String,
        reply: String,
        payload: Bytes,
    ) -> Result<(), Error> {
        self.inner
            .nats
            .publish_with_reply(subject.clone(), reply, payload)
            .await
            .map_err(|source| Error::Send { subject, source })
    }

    /// Sends and waits for the one answer.
    pub(crate) async fn request(&self, subject: &str, payload: Bytes) -> Result<Message, Error> {
        self.request_with(subject, HeaderMap::new(), payload).await
    }

    /// The same, with headers.
    pub(crate) async fn request_with(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Message, Error> {
        let parts = vec![Part {
            subject: subject.to_owned(),
            headers,
            payload,
        }];
        self.exchange(parts, false, REQUEST_TIME_MAX).await
    }

    /// Sends all parts in one go, each with the same reply subject, and waits for the first answer;
    /// with `skips_empty` for the first that is not empty.
    pub(crate) async fn exchange(
        &self,
        parts: Vec<Part>,
        skips_empty: bool,
        time_max: Duration,
    ) -> Result<Message, Error> {
        let asked = parts
            .last()
            .map(|part| part.subject.clone())
            .unwrap_or_default();
        let timed_out = Error::TimedOut {
            subject: asked.clone(),
        };
        let exchange = self.exchange_without_deadline(parts, skips_empty, asked);
        tokio::time::timeout(time_max, exchange)
            .await
            .unwrap_or(Err(timed_out))
    }

    async fn exchange_without_deadline(
        &self,
        parts: Vec<Part>,
        skips_empty: bool,
        asked: String,
    ) -> Result<Message, Error> {
        let subjects = parts.iter().map(|part| part.subject.clone()).collect();
        let failed = |failure| match failure {
            Failure::Denied(denied) => Error::Denied(denied),
            Failure::Disconnected => Error::Disconnected {
                subject: asked.clone(),
            },
        };
        let requests = &self.inner.shared.requests;
        let mut ticket = requests.open(subjects, skips_empty).await.map_err(failed)?;
        for Part {
            subject,
            headers,
            payload,
        } in parts
        {
            let reply = ticket.reply.clone();
            let nats = &self.inner.nats;
            let sent = if headers.is_empty() {
                nats.publish_with_reply(subject.clone(), reply, payload)
                    .await
            } else {
                nats.publish_with_reply_and_headers(subject.clone(), reply, headers, payload)
                    .await
            };
            sent.map_err(|source| Error::Send { subject, source })?;
        }
        let message = match (&mut ticket.answer).await {
            Ok(answer) => answer.map_err(failed)?,
            // The table was dropped with the connection.
            Err(_) => return Err(Error::Disconnected { subject: asked }),
        };
        if message.status == Some(async_nats::StatusCode::NO_RESPONDERS) {
            return Err(Error::NoResponders { subject: asked });
        }
        Ok(message)
    }
}

/// One message of an exchange.
pub(crate) struct Part {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_to_connect_again_are_spread_ever_wider_up_to_a_bound() {
        let most: Vec<u128> = (0..8)
            .map(|at| reconnect_delay_max(at).as_millis())
            .collect();
        assert_eq!(most, [500, 500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000]);
        assert_eq!(reconnect_delay_max(usize::MAX), RECONNECT_DELAY_MAX);
    }
}
