//! Whether this publisher has seen all of the log, asked of the log's leader.
//!
//! What is committed needs no such question: the compare-and-set tells. What is only answered (equal
//! content, a base generation that is not current, a name that is not there, a guard, a dry run) would
//! otherwise rest on whatever this publisher happens to have seen, while its client has seen more
//! through another one. Never writes.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};
use writ_bus::{
    Client, connection,
    read::{self, Stored},
    streams::Stream,
};
use writ_core::subject::BusSubject;
use writ_telemetry::describe;

use crate::{
    error::EditError,
    send::{RETRY_DELAY_MAX, pause},
    view::{READ_WAIT_MAX, View, Views},
};

/// How long one question to the leader may take. What is asked while there is none is answered by
/// nobody, so that it is asked again soon.
pub(crate) const QUESTION_TIME_MAX: Duration = Duration::from_secs(1);

/// Why the leader's answer is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The question failed.
    #[error("the log's leader can't be asked")]
    Ask(#[source] connection::Error),
    /// It was not answered in time.
    #[error("the log's leader does not answer")]
    Late,
}

/// The next message of a subject after a place in the log, from its leader.
pub(crate) async fn next_by_subject(
    client: &Client,
    subject: &BusSubject,
    after: u64,
) -> Result<Option<Stored>, Error> {
    let next = read::next_by_subject(client, Stream::Log, subject, after);
    let answer = timeout(QUESTION_TIME_MAX, next).await;
    answer.map_err(|_| Error::Late)?.map_err(Error::Ask)
}

/// Asks where the log is.
#[derive(Clone)]
pub(crate) struct Leader {
    pub(crate) client: Client,
    pub(crate) views: Views,
}

impl Leader {
    /// The place of the newest root in the stream; 0 for an empty log.
    pub(crate) async fn root_sequence(&self) -> Result<u64, Error> {
        let last = read::last_by_subject(&self.client, Stream::Log, &BusSubject::Root);
        let answer = timeout(QUESTION_TIME_MAX, last).await;
        let root = answer.map_err(|_| Error::Late)?.map_err(Error::Ask)?;
        Ok(root.map_or(0, |root| root.sequence))
    }

    /// A view that holds all that the log held when it was asked for.
    ///
    /// # Errors
    /// UNAVAILABLE in one form or the other: the leader can't be asked, or the log was not read so far,
    /// within [`READ_WAIT_MAX`].
    pub(crate) async fn view(&self) -> Result<Arc<View>, EditError> {
        let deadline = Instant::now() + READ_WAIT_MAX;
        let newest = loop {
            match self.root_sequence().await {
                Ok(newest) => break newest,
                Err(error) if Instant::now() < deadline => {
                    tracing::debug!("where the log is, is not known yet: {}", describe(&error));
                    pause(RETRY_DELAY_MAX).await;
                }
                Err(_) => return Err(EditError::NotStored),
            }
        };
        let left = deadline.saturating_duration_since(Instant::now());
        self.reached(newest, left).await
    }

    /// A view that has got to a place in the stream.
    pub(crate) async fn reached(
        &self,
        root_sequence: u64,
        time: Duration,
    ) -> Result<Arc<View>, EditError> {
        let reached = |view: &Arc<View>| view.root_sequence >= root_sequence;
        Ok(self.views.wait_within(time, reached).await?)
    }
}
