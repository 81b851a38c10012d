//! Why something asked of the bus failed.
//!
//! Owns the one error of requests and subscriptions, and which of its kinds pass by themselves.

use crate::{api, denial::Denied, login};

/// Why something asked of the bus failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no credentials to connect with.
    #[error(transparent)]
    Login(#[from] login::Error),
    /// No connection, or the server knows no such user.
    #[error("can't connect to the bus at {url}")]
    Connect {
        /// Where.
        url: String,
        /// Why.
        source: async_nats::ConnectError,
    },
    /// The server refuses it to this user.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Nobody serves the subject: no such stream, or it has no leader at the moment.
    #[error("nobody answers at {subject:?}")]
    NoResponders {
        /// The subject.
        subject: String,
    },
    /// The connection was lost before the answer; the request may have been carried out.
    #[error("the connection was lost before an answer from {subject:?}")]
    Disconnected {
        /// The subject.
        subject: String,
    },
    /// No answer in time; the request may have been carried out.
    #[error("no answer from {subject:?} in time")]
    TimedOut {
        /// The subject.
        subject: String,
    },
    /// The message could not be handed to the connection.
    #[error("can't send to {subject:?}")]
    Send {
        /// The subject.
        subject: String,
        /// Why.
        source: async_nats::PublishError,
    },
    /// The subscription could not be handed to the connection.
    #[error("can't subscribe to {subject:?}")]
    Subscribe {
        /// The subject.
        subject: String,
        /// Why.
        source: async_nats::SubscribeError,
    },
    /// JetStream refused the request.
    #[error("refused by the stream: {description} ({code})")]
    Api {
        /// The server's error code, as `err_code` in `errors.json` of nats-server.
        code: u64,
        /// The server's words.
        description: String,
    },
    /// An answer that does not fit the request.
    #[error("the answer from {subject:?} can't be read: {what}")]
    Answer {
        /// The subject that was asked.
        subject: String,
        /// What is wrong.
        what: String,
    },
}

impl Error {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Connect { .. }
            | Error::NoResponders { .. }
            | Error::Disconnected { .. }
            | Error::TimedOut { .. }
            | Error::Send { .. } => true,
            Error::Api { code, .. } => api::passes(*code),
            Error::Login(_) | Error::Denied(_) | Error::Subscribe { .. } | Error::Answer { .. } => {
                false
            }
        }
    }
}
