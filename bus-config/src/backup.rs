//! The streams as files, taken from a running server and given to one, by JetStream's own snapshots.
//!
//! Owns the protocol of `STREAM.SNAPSHOT` and `STREAM.RESTORE`. What is written is what the server sends,
//! with the stream's settings and state beside it: the form of `nats stream backup`.
//! Promises: a snapshot that is reported is whole, and of one moment between two messages; a stream is
//! restored only where there is none of its name, as the installer's settings are checked elsewhere.
//! Never: looks into what it carries. Whoever reads the log verifies it anew.

use std::{
    io::{Read, Write},
    time::Duration,
};

use async_nats::{HeaderMap, Message, StatusCode};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    api,
    connection::{Client, Error as BusError, Part},
    streams::{RESTORED, Stream},
};

/// Bytes of one piece: the server's default. Sixty-four are on their way at once, by its other default.
const CHUNK_BYTES: usize = 128 * 1024;

/// Longest silence of a server that reads or writes its disk; of itself it gives up after 2 s without
/// our confirmation.
const SILENCE_TIME_MAX: Duration = Duration::from_secs(60);

/// How long the server may take to build a stream out of what it was sent: 2 GiB at a slow disk's pace.
const RESTORE_TIME_MAX: Duration = Duration::from_secs(600);

/// Why a stream was not backed up, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server did not answer, or refused.
    #[error("the server does not {action} the stream {stream}")]
    Request {
        /// What was asked.
        action: &'static str,
        /// Of which stream.
        stream: Stream,
        /// Why it failed.
        source: BusError,
    },
    /// The server ended before all was sent.
    #[error("the snapshot of {stream} ended early: {what}")]
    Ended {
        /// Of which stream.
        stream: Stream,
        /// As the server says it.
        what: String,
    },
    /// A piece did not arrive.
    #[error("piece {number} of the snapshot of {stream} is missing")]
    Lost {
        /// Of which stream.
        stream: Stream,
        /// Which.
        number: u64,
    },
    /// What arrives can't be kept, or what was kept can't be read.
    #[error("the backup of {stream} can't be {action}")]
    File {
        /// Of which stream.
        stream: Stream,
        /// Written or read.
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The description beside the snapshot.
    #[error("the description of the backup of {0} is none")]
    Description(Stream, #[source] serde_json::Error),
    /// It is another stream's.
    #[error("this is not a backup of {0}")]
    OtherStream(Stream),
    /// The server restored something else.
    #[error("{stream} was restored with {found}, and not with {wanted}")]
    Differs {
        /// Which stream.
        stream: Stream,
        /// Messages, and the last sequence, of the backup.
        wanted: Extent,
        /// Those of the stream that is there now.
        found: Extent,
    },
}

/// How much a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Extent {
    /// Messages.
    pub messages: u64,
    /// Sequence of the last one.
    #[serde(rename = "last_seq")]
    pub last_sequence: u64,
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Extent {
            messages,
            last_sequence,
        } = self;
        write!(f, "{messages} messages up to {last_sequence}")
    }
}

/// The stream's settings and state, as the server words them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Description {
    config: Value,
    state: Value,
}

impl Description {
    fn extent(&self, stream: Stream) -> Result<Extent, Error> {
        Extent::deserialize(&self.state).map_err(|source| Error::Description(stream, source))
    }
}

#[derive(Serialize)]
struct SnapshotRequest<'a> {
    deliver_subject: &'a str,
    /// The feeds of leaf nodes are made anew.
    no_consumers: bool,
    chunk_size: usize,
    /// Every message's checksum is looked at before anything is sent.
    jsck: bool,
}

#[derive(Deserialize)]
struct RestoreAnswer {
    deliver_subject: String,
}

/// Has a stream's snapshot sent, as its installer, and writes it. Answers the description that a restore
/// needs beside it, and what the stream held at that moment; edits go on meanwhile, and are not in it.
pub async fn save(
    client: &Client,
    stream: Stream,
    out: &mut impl Write,
) -> Result<(String, Extent), Error> {
    let failed = |source| Error::Request {
        action: "send a snapshot of",
        stream,
        source,
    };
    let inbox = client.new_inbox();
    let mut pieces = client.subscribe(inbox.clone()).await.map_err(failed)?;
    let request = SnapshotRequest {
        deliver_subject: &inbox,
        no_consumers: true,
        chunk_size: CHUNK_BYTES,
        jsck: true,
    };
    let verb = format!("STREAM.SNAPSHOT.{stream}");
    let description: Description = api::call(client, &verb, &request).await.map_err(failed)?;
    let extent = description.extent(stream)?;
    let mut taken = 0;
    loop {
        let piece = timeout(SILENCE_TIME_MAX, pieces.next()).await;
        let Ok(Some(piece)) = piece else {
            return Err(failed(BusError::TimedOut { subject: verb }));
        };
        if piece.payload.is_empty() {
            end(stream, &piece)?;
            break;
        }
        taken += 1;
        // The last piece, which is a short one, asks for no confirmation and has no number.
        if let Some(reply) = piece.reply.as_ref() {
            let number = reply.rsplit('.').next().and_then(|last| last.parse().ok());
            if number != Some(taken) {
                return Err(Error::Lost {
                    stream,
                    number: taken,
                });
            }
            // At once: the server gives up after two seconds, however slow our disk is.
            let confirmed = client.send(reply.to_string(), Bytes::new()).await;
            confirmed.map_err(failed)?;
        }
        let written = out.write_all(&piece.payload);
        written.map_err(|source| Error::File {
            stream,
            action: "written",
            source,
        })?;
    }
    let written = out.flush();
    written.map_err(|source| Error::File {
        stream,
        action: "written",
        source,
    })?;
    let text = serde_json::to_string_pretty(&description)
        .map_err(|source| Error::Description(stream, source))?;
    Ok((text, extent))
}

/// An empty piece is the end; a status other than 204 says that it came too early.
fn end(stream: Stream, piece: &Message) -> Result<(), Error> {
    let is_whole = piece
        .status
        .is_none_or(|status| status == StatusCode::from_u16(204).unwrap_or(StatusCode::OK));
    if is_whole {
        return Ok(());
    }
    let words = piece.description.as_deref().unwrap_or_default();
    Err(Error::Ended {
        stream,
        what: format!("{:?} {words}", piece.status),
    })
}

/// Gives a snapshot back to a server that has no such stream, as its installer, with the description that
/// [`save`] gave. What it answers with has to be what the description says. The stream carries a note from
/// then on ([`streams::restored`]): there may be more in the clusters than in the backup.
pub async fn restore(
    client: &Client,
    stream: Stream,
    description: &str,
    from: &mut impl Read,
) -> Result<Extent, Error> {
    let failed = |source| Error::Request {
        action: "restore",
        stream,
        source,
    };
    let mut description: Description =
        serde_json::from_str(description).map_err(|source| Error::Description(stream, source))?;
    if description.config["name"] != stream.as_str() {
        return Err(Error::OtherStream(stream));
    }
    let wanted = description.extent(stream)?;
    // In one step with the messages: no publisher finds them without the note.
    description.config["metadata"][RESTORED] = wanted.last_sequence.to_string().into();
    let verb = format!("STREAM.RESTORE.{stream}");
    let asked: Result<RestoreAnswer, _> = api::call(client, &verb, &description).await;
    let subject = asked.map_err(failed)?.deliver_subject;
    let mut piece = vec![0; CHUNK_BYTES];
    loop {
        let length = fill(from, &mut piece).map_err(|source| Error::File {
            stream,
            action: "read",
            source,
        })?;
        // An empty piece is the end; its answer is the stream.
        let time_max = if length == 0 {
            RESTORE_TIME_MAX
        } else {
            SILENCE_TIME_MAX
        };
        let part = Part {
            subject: subject.clone(),
            headers: HeaderMap::new(),
            payload: Bytes::copy_from_slice(&piece[..length]),
        };
        let answer = client.exchange(vec![part], false, time_max).await;
        let answer = answer.map_err(failed)?.payload;
        if length > 0 && answer.is_empty() {
            continue;
        }
        let read = api::read_answer::<Restored>(&subject, &answer).map_err(failed)?;
        let found = read.map_err(|error| failed(error.into()))?.state;
        return if found == wanted {
            Ok(found)
        } else {
            Err(Error::Differs {
                stream,
                wanted,
                found,
            })
        };
    }
}

#[derive(Deserialize)]
struct Restored {
    state: Extent,
}

/// Reads until the piece is full or there is nothing left.
fn fill(from: &mut impl Read, piece: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < piece.len() {
        match from.read(&mut piece[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}
