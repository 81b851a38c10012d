//! A stream as publishers read it: the newest message of every subject, then every message.
//!
//! Owns an ordered consumer: made anew after every gap, where the last one ended, so that each
//! message comes once and in the order of the stream.
//! Promises: no message that is kept when it is its turn is passed over, across reconnects and the
//! loss of the consumer or its server; [`Entry::CaughtUp`] is said only when all that the stream's leader
//! had at that moment was handed out. A consumer knows no more than the replica that it is on, which may
//! be behind: right after a start of its server, by thousands of messages.
//! Never: goes on in a stream that ends before what was read: that log was lost or restored.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    connection::{Client, Error as BusError, REQUEST_TIME_MAX},
    consumer::{Consumer, HEARTBEAT_PERIOD, Step},
    read::Stored,
    streams::{self, Stream},
};

/// Entries that wait for the reader; the consumer is asked for more only as they are taken.
const ENTRIES_WAITING_MAX: usize = 256;

/// Silence after which the consumer is taken for lost: three heartbeats.
const SILENCE_TIME_MAX: Duration = HEARTBEAT_PERIOD.saturating_mul(3);

/// How long the first attempt to make a consumer may take; it doubles, up to
/// [`REQUEST_TIME_MAX`]. What is asked of a stream without a leader is answered by nobody, not even when
/// it has one again.
const OPEN_TIME_MIN: Duration = Duration::from_secs(1);

/// Longest wait between two attempts to make a consumer; a killed leader is replaced in 5 to 7 s.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(1);

/// Heartbeats for which a replica that is behind its leader is waited for, before the consumer is made anew,
/// perhaps on another replica.
const IDLE_HEARTBEATS_MAX: u32 = 5;

/// What the log has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The next message.
    Message(Stored),
    /// Everything stored so far was handed out. Said at the start, and again after a gap.
    CaughtUp,
    /// Reading was interrupted and goes on: of what was stored meanwhile the newest of each subject comes, in the
    /// order of the stream.
    Gap,
}

/// Why a stream can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream can't be looked at.
    #[error(transparent)]
    Stream(#[from] streams::Error),
    /// The consumer can't be made, for a reason that stays.
    #[error("can't read the stream {stream}")]
    Consumer {
        /// Which stream.
        stream: Stream,
        /// Why.
        source: BusError,
    },
    /// The server delivered fewer messages than it had announced and says that there are no more, though
    /// nothing was written meanwhile.
    #[error("the stream {stream} held {announced} messages to read and delivered {delivered}")]
    Incomplete {
        /// Which stream.
        stream: Stream,
        /// Messages announced when the reading began.
        announced: u64,
        /// Messages delivered since.
        delivered: u64,
    },
    /// The stream ends before what was read from it.
    #[error(
        "the stream {stream} ends at {last} and was read up to {read}: it was lost or restored"
    )]
    Rewound {
        /// Which stream.
        stream: Stream,
        /// Its last sequence.
        last: u64,
        /// The last sequence that was read.
        read: u64,
    },
}

/// A stream that is being read. Dropping it ends the reading.
pub struct Tail {
    entries: mpsc::Receiver<Result<Entry, Error>>,
    task: JoinHandle<()>,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tail {
    /// The next entry; after an error, or when the connection was closed, `None`. May be dropped and
    /// called again without losing an entry.
    pub async fn next(&mut self) -> Option<Result<Entry, Error>> {
        self.entries.recv().await
    }
}

/// Begins to read a stream. Fails when the stream does not exist or this user may not read it;
/// what passes is waited for.
pub async fn follow(client: &Client, stream: Stream) -> Result<Tail, Error> {
    streams::info(client, stream)
        .await?
        .ok_or(streams::Error::Missing(stream))?;
    let (sender, entries) = mpsc::channel(ENTRIES_WAITING_MAX);
    let mut reader = Reader {
        client: client.clone(),
        stream,
        read: 0,
        connections: client.connections(),
        entries: sender,
    };
    let task = tokio::spawn(async move {
        if let Err(Stop::Failed(error)) = reader.run().await {
            // Nobody reads any more: nobody to tell.
            let _ = reader.entries.send(Err(error)).await;
        }
    });
    Ok(Tail { entries, task })
}

/// Reads everything that a stream holds now, also what is not the newest of its subject, in order.
/// Answers it with the sequence of its last message.
pub async fn read_all(client: &Client, stream: Stream) -> Result<(Vec<Stored>, u64), Error> {
    let end = End::of(client, stream).await?;
    let last = end.last;
    let mut messages = Vec::new();
    let mut read = end.first.saturating_sub(1);
    while read < last {
        let made = Consumer::create_after(client, stream, read).await;
        let mut consumer = made.map_err(|source| Error::Consumer { stream, source })?;
        let pull = async |consumer: &mut Consumer| {
            let pulled = consumer.pull(client).await;
            pulled.map_err(|source| Error::Consumer { stream, source })
        };
        while read < last {
            if consumer.requested == 0 {
                pull(&mut consumer).await?;
            }
            let silent_at = Instant::now() + SILENCE_TIME_MAX;
            let Ok(Some(message)) = timeout_at(silent_at, consumer.messages.next()).await else {
                break;
            };
            match consumer.read(&message) {
                Step::Message { stored, .. } => {
                    read = stored.sequence;
                    messages.push(stored);
                }
                Step::Foreign { sequence } => read = sequence,
                Step::TimedOut => consumer.requested = 0,
                // Either the replica is behind, or what was left has gone by its age meanwhile.
                Step::Empty => {
                    let now = End::of(client, stream).await?;
                    if now.last < last {
                        let last = now.last;
                        return Err(Error::Rewound { stream, last, read });
                    }
                    read = read.max(now.first.saturating_sub(1));
                }
                Step::Nothing => {}
                Step::Gap => break,
            }
        }
        consumer.delete(client).await;
    }
    Ok((messages, last))
}

/// The ends of a stream as its leader has them.
#[derive(Clone, Copy)]
struct End {
    /// The first sequence that is kept; one above the last where nothing is.
    first: u64,
    last: u64,
}

impl End {
    async fn of(client: &Client, stream: Stream) -> Result<End, Error> {
        let info = streams::info(client, stream)
            .await?
            .ok_or(streams::Error::Missing(stream))?;
        Ok(End {
            first: info.state.first_seq,
            last: info.state.last_seq,
        })
    }

    /// The last sequence that there is to read, 0 where nothing is kept.
    fn readable(self) -> u64 {
        if self.first > self.last { 0 } else { self.last }
    }
}

/// Why the reading ends.
enum Stop {
    Failed(Error),
    /// The reader has gone.
    Dropped,
}

struct Reader {
    client: Client,
    stream: Stream,
    /// The last sequence handed out, 0 before the first.
    read: u64,
    connections: watch::Receiver<u64>,
    entries: mpsc::Sender<Result<Entry, Error>>,
}

impl Reader {
    async fn run(&mut self) -> Result<(), Stop> {
        let mut is_again = false;
        loop {
            let mut consumer = self.open().await?;
            if is_again {
                self.hand_out(Entry::Gap).await?;
            }
            is_again = true;
            if consumer.pending == 0 {
                self.catch_up(&mut consumer).await?;
            }
            self.drain(&mut consumer).await?;
            tracing::debug!(stream = %self.stream, read = self.read, "the consumer is made anew");
            consumer.delete(&self.client).await;
        }
    }

    /// Makes a consumer that begins after what was read; waits out what passes.
    async fn open(&mut self) -> Result<Consumer, Stop> {
        let (mut delay, mut time_max) = (Duration::from_millis(20), OPEN_TIME_MIN);
        loop {
            self.connections.mark_unchanged();
            match timeout(time_max, self.try_open()).await {
                Ok(Ok(consumer)) => return Ok(consumer),
                Ok(Err(
                    Error::Consumer { source, .. }
                    | Error::Stream(streams::Error::Request { source, .. }),
                )) if source.is_transient() => {
                    tracing::debug!(stream = %self.stream, error = %source, "waiting for the stream");
                }
                Ok(Err(error)) => return Err(Stop::Failed(error)),
                Err(_) => tracing::debug!(stream = %self.stream, "the stream does not answer"),
            }
            time_max = (2 * time_max).min(REQUEST_TIME_MAX);
            tokio::select! {
                () = sleep(delay) => {}
                () = self.entries.closed() => return Err(Stop::Dropped),
            }
            delay = (2 * delay).min(RETRY_DELAY_MAX);
        }
    }

    async fn try_open(&self) -> Result<Consumer, Error> {
        let stream = self.stream;
        let (last, read) = (End::of(&self.client, stream).await?.last, self.read);
        if last < read {
            return Err(Error::Rewound { stream, last, read });
        }
        let made = Consumer::create(&self.client, stream, read).await;
        let mut consumer = made.map_err(|source| Error::Consumer { stream, source })?;
        consumer.began_at = last;
        Ok(consumer)
    }

    /// Hands out what a consumer delivers until something is missing.
    async fn drain(&mut self, consumer: &mut Consumer) -> Result<(), Stop> {
        let mut silent_at = Instant::now() + SILENCE_TIME_MAX;
        let mut idle = 0;
        loop {
            if consumer.requested == 0 && consumer.pull(&self.client).await.is_err() {
                return Ok(());
            }
            let message = tokio::select! {
                message = timeout_at(silent_at, consumer.messages.next()) => message,
                // What was on its way is lost with the old connection.
                _ = self.connections.changed() => return Ok(()),
                () = self.entries.closed() => return Err(Stop::Dropped),
            };
            let Ok(Some(message)) = message else {
                return Ok(());
            };
            match consumer.read(&message) {
                Step::Message { stored, pending } => {
                    self.read = stored.sequence;
                    idle = 0;
                    self.hand_out(Entry::Message(stored)).await?;
                    if pending == 0 {
                        self.catch_up(consumer).await?;
                    }
                }
                Step::Foreign { sequence } => {
                    self.read = sequence;
                    tracing::warn!(
                        stream = %self.stream,
                        sequence,
                        "a message is passed over: its subject is not of the bus"
                    );
                }
                Step::Empty => {
                    self.catch_up(consumer).await?;
                    idle += 1;
                    if !consumer.caught_up && idle > IDLE_HEARTBEATS_MAX {
                        return Ok(());
                    }
                }
                // A message that was ready when the request timed out would be forgotten, as long as
                // the list of the newest of each subject lasts.
                Step::TimedOut if !consumer.caught_up => return Ok(()),
                Step::TimedOut => consumer.requested = 0,
                Step::Nothing => {}
                Step::Gap => return Ok(()),
            }
            // After the hand-out, which may wait for a slow reader: that is not the server's silence.
            silent_at = Instant::now() + SILENCE_TIME_MAX;
        }
    }

    /// The consumer has nothing more: says so if the leader has not either.
    async fn catch_up(&mut self, consumer: &mut Consumer) -> Result<(), Stop> {
        if consumer.caught_up {
            return Ok(());
        }
        if consumer.end.is_none()
            && let Some(end) = self.ask_end().await
        {
            // Of a subject that is written meanwhile, older messages go before their turn comes: then their
            // number proves nothing.
            let is_unwritten = end.last == consumer.began_at;
            if is_unwritten && consumer.delivered < consumer.pending {
                return Err(Stop::Failed(Error::Incomplete {
                    stream: self.stream,
                    announced: consumer.pending,
                    delivered: consumer.delivered,
                }));
            }
            consumer.end = Some(end.readable());
        }
        if consumer.end.is_some_and(|end| end <= self.read) {
            consumer.caught_up = true;
            self.hand_out(Entry::CaughtUp).await?;
        }
        Ok(())
    }

    /// Where the stream ends; `None` where the leader does not say it now.
    async fn ask_end(&self) -> Option<End> {
        match timeout(OPEN_TIME_MIN, End::of(&self.client, self.stream)).await {
            Ok(Ok(end)) => Some(end),
            Ok(Err(error)) => {
                tracing::debug!(stream = %self.stream, %error, "where the stream ends is not known yet");
                None
            }
            Err(_) => None,
        }
    }

    async fn hand_out(&self, entry: Entry) -> Result<(), Stop> {
        self.entries
            .send(Ok(entry))
            .await
            .map_err(|_| Stop::Dropped)
    }
}
