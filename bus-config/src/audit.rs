//! The stream of who called what.
//!
//! Owns appending to it and reading it. Each publisher has a subject of its own in it, to which it alone
//! may publish, and appends under a compare-and-set on that subject, so that its messages form one line.
//! Never looks into a message.

use async_nats::HeaderMap;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use writ_core::name::Name;

use crate::{
    api::{self, code},
    connection::{Client, Error, Part},
    streams::AUDIT,
};

/// The first tokens of every subject of the stream.
const PREFIX: &str = "writ.audit.";

/// How long an append is waited for: over the time that a stream without a leader takes to find one.
const APPEND_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// The subject of one publisher.
pub fn subject(publisher: &Name) -> String {
    format!("{PREFIX}{publisher}")
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub publisher: String,
    /// Its place in the stream.
    pub sequence: u64,
    /// What it says.
    pub bytes: Bytes,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is stored, at this place.
    Stored(u64),
    /// Another message of this publisher came first, or the server could not tell.
    Conflict,
}

/// Appends a message after the one at `last`, 0 for the first.
///
/// # Errors
/// [`Error`]: it may be stored or not.
pub async fn append(
    client: &Client,
    publisher: &Name,
    bytes: Bytes,
    last: u64,
) -> Result<Appended, Error> {
    #[derive(Deserialize)]
    struct Stored {
        seq: u64,
    }
    let subject = subject(publisher);
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", last.to_string());
    headers.insert("Nats-Expected-Stream", AUDIT);
    let part = Part {
        subject: subject.clone(),
        headers,
        payload: bytes,
    };
    let answer = client.exchange(vec![part], false, APPEND_TIME_MAX).await?;
    match api::read_answer::<Stored>(&subject, &answer.payload)? {
        Ok(stored) => Ok(Appended::Stored(stored.seq)),
        Err(error)
            if [
                code::WRONG_LAST_SEQUENCE,
                code::WRONG_LAST_SEQUENCE_UNDER_WAY,
            ]
            .contains(&error.code) =>
        {
            Ok(Appended::Conflict)
        }
        Err(error) => Err(error.into()),
    }
}

/// The last message of one publisher.
///
/// # Errors
/// [`Error`]: the stream is not there, or its leader does not answer.
pub async fn last(client: &Client, publisher: &Name) -> Result<Option<Entry>, Error> {
    #[derive(Serialize)]
    struct Request {
        last_by_subj: String,
    }
    let last_by_subj = subject(publisher);
    get(client, &Request { last_by_subj }).await
}

/// The first message after a place in the stream.
///
/// # Errors
/// [`Error`]: the stream is not there, or its leader does not answer.
pub async fn next(client: &Client, after: u64) -> Result<Option<Entry>, Error> {
    #[derive(Serialize)]
    struct Request {
        seq: u64,
        next_by_subj: String,
    }
    let request = Request {
        seq: after.saturating_add(1),
        next_by_subj: format!("{PREFIX}*"),
    };
    get(client, &request).await
}

async fn get(client: &Client, request: &impl Serialize) -> Result<Option<Entry>, Error> {
    #[derive(Deserialize)]
    struct Got {
        message: Fields,
    }
    #[derive(Deserialize)]
    struct Fields {
        subject: String,
        seq: u64,
        #[serde(default)]
        data: String,
    }
    let verb = format!("STREAM.MSG.GET.{AUDIT}");
    let got = match api::call::<Got>(client, &verb, request).await {
        Ok(got) => got.message,
        Err(Error::Api {
            code: code::NO_MESSAGE,
            ..
        }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let unreadable = |what: String| Error::Answer {
        subject: verb.clone(),
        what,
    };
    let publisher = got.subject.strip_prefix(PREFIX);
    let publisher = publisher.ok_or_else(|| unreadable(format!("it is of {:?}", got.subject)))?;
    let bytes = BASE64.decode(&got.data);
    Ok(Some(Entry {
        publisher: publisher.to_owned(),
        sequence: got.seq,
        bytes: bytes.map_err(|error| unreadable(error.to_string()))?.into(),
    }))
}
