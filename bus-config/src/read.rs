//! Reads of what is stored, one subject a request.
//!
//! Owns Direct Gets, which subscribers may do and a replica may answer from an older state, and
//! leader reads, which only publishers may do. A request a subject is what keeps clusters apart: the
//! subject of the request is what the server checks against the permissions.
//! Promises: what is returned was stored under the subject that was asked for.
//! Never: takes "nothing there" from a Direct Get as more than one replica's view.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use writ_core::{subject::BusSubject, trace::TraceParent};

use crate::{
    api::{self, code},
    connection::{Client, Error},
    places,
    streams::{LOG, Stream},
};

/// Most Direct Gets of one [`get_all`] that are under way at once: enough to fill the pipe (1,000
/// take 12 to 32 ms), and a bound on what a restarting fleet asks at once.
const READS_UNDER_WAY_MAX: usize = 128;

/// Which servers a Direct Get asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The nearest that hold the stream: behind a leaf, its mirror.
    Near,
    /// The hub, past a leaf's mirror that may lag.
    Hub,
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its subject.
    pub subject: BusSubject,
    /// Its place in the stream.
    pub sequence: u64,
    /// Its payload.
    pub bytes: Bytes,
    /// The steps of traces that it comes from, as whoever sent it says; of what the stream's leader was asked
    /// for, none.
    pub places: Vec<TraceParent>,
}

/// Reads the newest message of a subject of the log; `None` where the server that answered has none.
pub async fn get(client: &Client, subject: &BusSubject, via: Via) -> Result<Option<Stored>, Error> {
    let prefix = match via {
        Via::Near => "$JS.API",
        Via::Hub => "$JS.hub.API",
    };
    let asked = format!("{prefix}.DIRECT.GET.{LOG}.{subject}");
    let answer = client.request(&asked, Bytes::new()).await?;
    let unreadable = |what: String| Error::Answer {
        subject: asked.clone(),
        what,
    };
    match answer.status {
        None => {}
        Some(async_nats::StatusCode::NOT_FOUND) => return Ok(None),
        Some(status) => {
            return Err(unreadable(format!(
                "status {status} {}",
                answer.description.as_deref().unwrap_or_default()
            )));
        }
    }
    let header = |name: &'static str| {
        let value = answer
            .headers
            .as_ref()
            .and_then(|headers| headers.get_last(name));
        value.ok_or_else(|| unreadable(format!("no {name} header")))
    };
    let stored = header("Nats-Subject")?.as_str();
    if stored != subject.to_string() {
        return Err(unreadable(format!("it is of {stored:?}")));
    }
    let sequence = header("Nats-Sequence")?
        .as_str()
        .parse()
        .map_err(|_| unreadable("the sequence is not a number".to_owned()))?;
    Ok(Some(Stored {
        subject: subject.clone(),
        sequence,
        places: places::read(answer.headers.as_ref()),
        bytes: answer.payload,
    }))
}

/// Reads many subjects side by side; the answers are in the order of the subjects.
pub async fn get_all(
    client: &Client,
    subjects: Vec<BusSubject>,
    via: Via,
) -> Vec<(BusSubject, Result<Option<Stored>, Error>)> {
    stream::iter(subjects)
        .map(|subject| async move {
            let result = get(client, &subject, via).await;
            (subject, result)
        })
        .buffered(READS_UNDER_WAY_MAX)
        .collect()
        .await
}

#[derive(Serialize)]
struct MessageGet {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_by_subj: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<String>,
}

#[derive(Deserialize)]
struct MessageGot {
    message: MessageFields,
}

#[derive(Deserialize)]
struct MessageFields {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
}

/// Reads the newest message of a subject from the stream's leader.
pub async fn last_by_subject(
    client: &Client,
    stream: Stream,
    subject: &BusSubject,
) -> Result<Option<Stored>, Error> {
    let request = MessageGet {
        seq: None,
        last_by_subj: Some(subject.to_string()),
        next_by_subj: None,
    };
    get_from_leader(client, stream, subject, &request).await
}

/// Reads the first message of a subject that is kept and comes after `sequence`, from the stream's
/// leader. What was evicted since is passed over, so the caller has to look whether it is its own.
pub async fn next_by_subject(
    client: &Client,
    stream: Stream,
    subject: &BusSubject,
    sequence: u64,
) -> Result<Option<Stored>, Error> {
    let request = MessageGet {
        seq: Some(sequence.saturating_add(1)),
        last_by_subj: None,
        next_by_subj: Some(subject.to_string()),
    };
    get_from_leader(client, stream, subject, &request).await
}

/// Reads the first message that a filter matches, is kept and comes after `sequence`, from the
/// stream's leader. What is not of the bus is passed over.
pub(crate) async fn next_matching(
    client: &Client,
    stream: Stream,
    filter: &str,
    mut sequence: u64,
) -> Result<Option<Stored>, Error> {
    loop {
        let request = MessageGet {
            seq: Some(sequence.saturating_add(1)),
            last_by_subj: None,
            next_by_subj: Some(filter.to_owned()),
        };
        let Some(message) = ask_leader(client, stream, &request).await? else {
            return Ok(None);
        };
        sequence = message.seq;
        if let Ok(subject) = BusSubject::parse(&message.subject) {
            return read_message(stream, subject, &message).map(Some);
        }
        tracing::warn!(%stream, sequence, "a message is passed over: its subject is not of the bus");
    }
}

async fn get_from_leader(
    client: &Client,
    stream: Stream,
    subject: &BusSubject,
    request: &MessageGet,
) -> Result<Option<Stored>, Error> {
    let Some(message) = ask_leader(client, stream, request).await? else {
        return Ok(None);
    };
    if message.subject != subject.to_string() {
        return Err(unreadable(
            stream,
            format!("it is of {:?}", message.subject),
        ));
    }
    read_message(stream, subject.clone(), &message).map(Some)
}

fn verb(stream: Stream) -> String {
    format!("STREAM.MSG.GET.{stream}")
}

fn unreadable(stream: Stream, what: String) -> Error {
    let subject = verb(stream);
    Error::Answer { subject, what }
}

async fn ask_leader(
    client: &Client,
    stream: Stream,
    request: &MessageGet,
) -> Result<Option<MessageFields>, Error> {
    match api::call::<MessageGot>(client, &verb(stream), request).await {
        Ok(got) => Ok(Some(got.message)),
        Err(Error::Api {
            code: code::NO_MESSAGE,
            ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_message(
    stream: Stream,
    subject: BusSubject,
    message: &MessageFields,
) -> Result<Stored, Error> {
    let bytes = BASE64
        .decode(&message.data)
        .map_err(|error| unreadable(stream, error.to_string()))?;
    Ok(Stored {
        subject,
        sequence: message.seq,
        bytes: bytes.into(),
        places: Vec::new(),
    })
}
