//! The atomic batch: all messages of an edit are stored, or none (ADR-50).
//!
//! Owns the headers, the limits and the reading of the answer.
//! Promises: [`Outcome::Committed`] is said only after the server said it; everything that leaves
//! the outcome open is [`Outcome::Unknown`]; every other outcome means that nothing of this batch
//! was or will be stored.
//! Never: repeats a batch. The compare-and-set on the root makes repeating safe, and the publisher
//! knows when to.
//!
//! The server checks the compare-and-set of every part when the last one arrives, against what is
//! stored then and what the batch wrote before it (`checkMsgHeadersPreClusteredProposal`). A subject
//! that the batch itself already wrote is refused, so the root is written once, and last.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use uuid::Uuid;
use writ_core::{subject::BusSubject, trace::TraceParent};

use crate::{
    api::{self, ApiError, code},
    connection::{Client, Error, Part},
    places,
};

/// Most messages in a batch; the server's own limit (`streamMaxAtomicBatchSize`).
pub const MESSAGES_MAX: usize = 1_000;

/// Largest message; under the server's 1 MiB, so that the headers fit beside it.
pub const MESSAGE_BYTES_MAX: usize = 1_000_000;

/// Largest batch. Half of what a stream of nats-server queues before it refuses (128 MB), so that
/// one batch never fills the queue alone.
pub const BATCH_BYTES_MAX: usize = 64_000_000;

/// How long a commit may take where its sender names no time. Not longer than the 5 to 7 s that a
/// stream without a leader takes no writes: the caller repeats across that, and the compare-and-set is
/// the fence.
pub const COMMIT_TIME_MAX: Duration = Duration::from_secs(5);

/// What the server says of a full stream with `discard: new` (`ErrMaxBytes` and its kin in
/// `server/store.go`); code 10077 alone also stands for a store that failed.
const FULL_WORDS: [&str; 2] = ["maximum bytes exceeded", "maximum messages exceeded"];

/// Why messages can't be a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The last message is not the root, or another one is too.
    #[error("a batch ends with the root, and writes it once")]
    Root,
    /// A subject that is not part of the log.
    #[error("{0} is not a subject of the log")]
    Subject(BusSubject),
    /// Over [`MESSAGES_MAX`].
    #[error("{0} messages are too many for a batch, the limit is {MESSAGES_MAX}")]
    Messages(usize),
    /// A message over [`MESSAGE_BYTES_MAX`].
    #[error("the message of {subject} has {bytes} bytes, the limit is {MESSAGE_BYTES_MAX}")]
    MessageBytes {
        /// Its subject.
        subject: BusSubject,
        /// Its size.
        bytes: usize,
    },
    /// All messages together over [`BATCH_BYTES_MAX`].
    #[error("the batch has {0} bytes, the limit is {BATCH_BYTES_MAX}")]
    BatchBytes(usize),
}

/// One message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it is stored.
    pub subject: BusSubject,
    /// What is stored.
    pub bytes: Bytes,
}

/// Messages that are stored together or not at all, checked against the limits.
#[derive(Debug, Clone)]
pub struct Batch {
    messages: Vec<Message>,
    /// Nothing: a batch without a root.
    root_expected: Option<u64>,
    /// Of each message the step of a trace that it comes from; empty where none has one.
    places: Vec<Option<TraceParent>>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Stored.
    Committed {
        /// The stream's sequence of the root.
        sequence: u64,
        /// The number of messages, the root included.
        count: u64,
    },
    /// Not stored: another edit wrote the root first. Read on, and build it again.
    Conflict,
    /// Not stored: the stream has no room.
    Full,
    /// Not stored, for a reason that passes: repeat it, under a new batch id.
    Retry {
        /// The server's error code; 0 where there was nobody to answer.
        code: u64,
    },
    /// Not stored, for a reason that stays.
    Refused {
        /// The server's error code.
        code: u64,
        /// The server's words.
        description: String,
    },
    /// Stored or not: repeat it under a new batch id until another outcome comes, and after a
    /// [`Outcome::Conflict`] look for the edit's own intent ([`crate::read::next_by_subject`]).
    Unknown,
}

impl Batch {
    /// Checks the messages. `root_expected` is the stream's sequence of the root that they build on,
    /// 0 where there is none yet.
    pub fn new(messages: Vec<Message>, root_expected: u64) -> Result<Batch, Invalid> {
        let Some((root, parts)) = messages.split_last() else {
            return Err(Invalid::Root);
        };
        if root.subject != BusSubject::Root {
            return Err(Invalid::Root);
        }
        Batch::check(parts, &messages)?;
        Ok(Batch {
            messages,
            root_expected: Some(root_expected),
            places: Vec::new(),
        })
    }

    /// Checks messages that only say something together with a root in a later batch: a recovery that
    /// does not fit into one. They are stored together, and compared with nothing.
    pub fn part(messages: Vec<Message>) -> Result<Batch, Invalid> {
        if messages.is_empty() {
            return Err(Invalid::Root);
        }
        Batch::check(&messages, &messages)?;
        Ok(Batch {
            messages,
            root_expected: None,
            places: Vec::new(),
        })
    }

    /// The same messages, each with the step of a trace that it comes from, in their order: a header, beside what
    /// is signed.
    #[must_use]
    pub fn traced(self, places: Vec<Option<TraceParent>>) -> Batch {
        Batch { places, ..self }
    }

    /// `parts` are all but the root.
    fn check(parts: &[Message], messages: &[Message]) -> Result<(), Invalid> {
        for message in parts {
            match message.subject {
                BusSubject::Intent { .. }
                | BusSubject::Event { .. }
                | BusSubject::Index(_)
                | BusSubject::Base(_)
                | BusSubject::Trust => {}
                BusSubject::Root => return Err(Invalid::Root),
                _ => return Err(Invalid::Subject(message.subject.clone())),
            }
        }
        if messages.len() > MESSAGES_MAX {
            return Err(Invalid::Messages(messages.len()));
        }
        if let Some(large) = messages
            .iter()
            .find(|message| message.bytes.len() > MESSAGE_BYTES_MAX)
        {
            return Err(Invalid::MessageBytes {
                subject: large.subject.clone(),
                bytes: large.bytes.len(),
            });
        }
        let bytes = messages.iter().map(|message| message.bytes.len()).sum();
        if bytes > BATCH_BYTES_MAX {
            return Err(Invalid::BatchBytes(bytes));
        }
        Ok(())
    }

    /// The messages, in their order.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The parts as they are sent, under a batch id of their own.
    fn parts(&self) -> Vec<Part> {
        let id = Uuid::new_v4().simple().to_string();
        let last = self.messages.len() - 1;
        let part = |(position, message): (usize, &Message)| {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", (position + 1).to_string());
            let place = self.places.get(position).copied().flatten();
            places::write(&mut headers, place.as_slice());
            if position == last {
                headers.insert("Nats-Batch-Commit", "1");
                if let Some(expected) = self.root_expected {
                    headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
                }
            }
            Part {
                subject: message.subject.to_string(),
                headers,
                payload: message.bytes.clone(),
            }
        };
        self.messages.iter().enumerate().map(part).collect()
    }
}

#[derive(Deserialize)]
struct Stored {
    seq: u64,
    #[serde(default)]
    count: u64,
}

/// Sends a batch and waits for the answer to its last message. Each part asks for its own answer,
/// which is empty when all is well and is not waited for: a part that is refused says why, and
/// without it the last one would only say that the batch is incomplete.
///
/// Errors: [`Error::Denied`] when this user may not write the log; all else is an [`Outcome`].
pub async fn commit(client: &Client, batch: &Batch) -> Result<Outcome, Error> {
    commit_within(client, batch, COMMIT_TIME_MAX).await
}

/// The same, with the time after which the outcome is [`Outcome::Unknown`].
pub async fn commit_within(
    client: &Client,
    batch: &Batch,
    time_max: Duration,
) -> Result<Outcome, Error> {
    let answer = match client.exchange(batch.parts(), true, time_max).await {
        Ok(answer) => answer,
        Err(error @ (Error::Denied(_) | Error::Api { .. } | Error::Subscribe { .. })) => {
            return Err(error);
        }
        // A part that nobody received leaves a gap, for which the rest is refused.
        Err(Error::NoResponders { .. }) => return Ok(Outcome::Retry { code: 0 }),
        Err(_) => return Ok(Outcome::Unknown),
    };
    match api::read_answer::<Stored>("writ.root", &answer.payload) {
        Ok(Ok(stored)) if stored.count as usize == batch.messages.len() => Ok(Outcome::Committed {
            sequence: stored.seq,
            count: stored.count,
        }),
        Ok(Err(error)) => Ok(refusal(error)),
        Ok(Ok(_)) | Err(_) => Ok(Outcome::Unknown),
    }
}

fn refusal(error: ApiError) -> Outcome {
    match error.code {
        code::WRONG_LAST_SEQUENCE => Outcome::Conflict,
        code::STORAGE | code::RESOURCES | code::ACCOUNT_RESOURCES => Outcome::Full,
        code::STORE_FAILED => {
            if FULL_WORDS
                .iter()
                .any(|words| error.description.contains(words))
            {
                Outcome::Full
            } else {
                // A store that fails may have written a part.
                Outcome::Unknown
            }
        }
        code::WRONG_LAST_SEQUENCE_UNDER_WAY
        | code::TOO_MANY_REQUESTS
        | code::BATCH_INCOMPLETE
        | code::BATCHES_OPEN
        | code::NOT_AVAILABLE
        | code::NOT_LEADER => Outcome::Retry { code: error.code },
        code => Outcome::Refused {
            code,
            description: error.description,
        },
    }
}
