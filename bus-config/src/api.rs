//! The JetStream API: JSON requests and their answers.
//!
//! Owns the envelope `{ "error": … }` that every answer may be. Never: sends the fields of an answer
//! on; callers name what they need.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::connection::{Client, Error};

/// Error codes of the server that have a meaning here (`server/errors.json` of nats-server 2.15).
pub(crate) mod code {
    /// The account's limits.
    pub(crate) const ACCOUNT_RESOURCES: u64 = 10_002;
    /// The cluster has no leader at the moment.
    pub(crate) const NOT_AVAILABLE: u64 = 10_008;
    /// The server asked does not lead.
    pub(crate) const NOT_LEADER: u64 = 10_009;
    /// The server's limits.
    pub(crate) const RESOURCES: u64 = 10_023;
    /// No such consumer.
    pub(crate) const NO_CONSUMER: u64 = 10_014;
    /// `STREAM.MSG.GET` found nothing.
    pub(crate) const NO_MESSAGE: u64 = 10_037;
    /// No space for the stream.
    pub(crate) const STORAGE: u64 = 10_047;
    /// No such stream.
    pub(crate) const NO_STREAM: u64 = 10_059;
    /// The expected last sequence of a subject is not the last.
    pub(crate) const WRONG_LAST_SEQUENCE: u64 = 10_071;
    /// The store refused; also what a full stream answers.
    pub(crate) const STORE_FAILED: u64 = 10_077;
    /// Another message of the subject is under way, so that the expectation can't be judged yet.
    pub(crate) const WRONG_LAST_SEQUENCE_UNDER_WAY: u64 = 10_164;
    /// The stream's queue is full.
    pub(crate) const TOO_MANY_REQUESTS: u64 = 10_167;
    /// JetStream is not there, or not yet, for the account or the server.
    pub(crate) const NOT_ENABLED: [u64; 2] = [10_039, 10_076];
    /// The stream, or the consumer, is offline.
    pub(crate) const OFFLINE: [u64; 2] = [10_118, 10_119];
    /// Parts of the batch did not arrive.
    pub(crate) const BATCH_INCOMPLETE: u64 = 10_176;
    /// 50 batches are open in this stream.
    pub(crate) const BATCHES_OPEN: u64 = 10_210;
}

/// Whether a refusal speaks of a server that starts, moves a leader, or has too much to do.
pub(crate) fn passes(code: u64) -> bool {
    [
        code::NOT_AVAILABLE,
        code::NOT_LEADER,
        code::TOO_MANY_REQUESTS,
    ]
    .contains(&code)
        || code::NOT_ENABLED.contains(&code)
        || code::OFFLINE.contains(&code)
}

/// The error that an answer may carry.
#[derive(Debug, Deserialize)]
pub(crate) struct ApiError {
    #[serde(rename = "err_code", default)]
    pub(crate) code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Error {
        Error::Api {
            code: error.code,
            description: error.description,
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    error: Option<ApiError>,
}

/// Reads an answer: the server's error, or the fields asked for.
pub(crate) fn read_answer<T: DeserializeOwned>(
    subject: &str,
    payload: &[u8],
) -> Result<Result<T, ApiError>, Error> {
    let unreadable = |error: serde_json::Error| Error::Answer {
        subject: subject.to_owned(),
        what: error.to_string(),
    };
    if let Envelope { error: Some(error) } = serde_json::from_slice(payload).map_err(unreadable)? {
        return Ok(Err(error));
    }
    serde_json::from_slice(payload).map(Ok).map_err(unreadable)
}

/// Asks `$JS.API.<verb>`.
pub(crate) async fn call<T: DeserializeOwned>(
    client: &Client,
    verb: &str,
    request: &impl Serialize,
) -> Result<T, Error> {
    let subject = format!("$JS.API.{verb}");
    // Requests are structs of ours with string keys, which always have a JSON form.
    let payload = serde_json::to_vec(request).map_err(|error| Error::Answer {
        subject: subject.clone(),
        what: error.to_string(),
    })?;
    let answer = client.request(&subject, payload.into()).await?;
    read_answer(&subject, &answer.payload)?.map_err(Error::from)
}
