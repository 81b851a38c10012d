//! One batch into the log, until it is known what became of it.
//!
//! Promises: [`Fate::Committed`] means that the batch is in the log; every other one but
//! [`Fate::Unknown`] that it is not and never will be. What each answer means is decided by
//! [`writ_core::edit::Attempt`]; here is the sending, the waiting and the asking.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use writ_bus::{
    Client,
    batch::{self, Outcome},
};
use writ_core::{
    edit::{Attempt, Claim, Intent, Next, Reply},
    subject::BusSubject,
};
use writ_proto::log;
use writ_telemetry::describe;

use crate::{
    current,
    error::EditError,
    failpoint::{self, Step},
    seal::Sealed,
    trust::Trusted,
    view::{View, Views},
};

/// Longest pause before a repetition; drawn anew each time, so that publishers don't meet again.
pub(crate) const RETRY_DELAY_MAX: Duration = Duration::from_millis(200);

/// How long the first sending may take: a hundred times what a batch takes, and a fraction of what a
/// killed leader costs, who answers nothing.
const COMMIT_TIME_MIN: Duration = Duration::from_secs(1);

/// To what that grows. What is sent while there is no leader is answered by nobody, so that the time
/// after which it is repeated comes on top of the outage.
const COMMIT_TIME_SMALL_MAX: Duration = Duration::from_secs(2);

/// Bytes from which on a batch may take longer, up to [`batch::COMMIT_TIME_MAX`].
const BATCH_LARGE_BYTES: usize = 4_000_000;

/// What became of a batch.
pub(crate) enum Fate {
    Committed,
    /// Another one came first, or the time was over before the log took it.
    Lost,
    /// The log refuses it for good.
    Refused(EditError),
    /// The log did not say in time.
    Unknown,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fate::Committed => "committed",
            Fate::Lost => "not stored",
            Fate::Refused(_) => "refused",
            Fate::Unknown => "not known",
        })
    }
}

/// Sends batches.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) client: Client,
    pub(crate) trusted: Trusted,
    pub(crate) views: Views,
}

impl Sender {
    /// Sends a batch until its fate is known or the time is over.
    pub(crate) async fn send(
        &self,
        mut sealed: Sealed,
        built_on: &View,
        deadline: Instant,
    ) -> Fate {
        let fate = self.pursue(&mut sealed, built_on, deadline).await;
        if sealed.attempt.is_in_doubt() {
            tracing::info!(revision = %sealed.revision, %fate, "the outcome of a batch was open");
        }
        fate
    }

    async fn pursue(&self, sealed: &mut Sealed, built_on: &View, deadline: Instant) -> Fate {
        let Sealed { batch, attempt, .. } = sealed;
        let bytes: usize = batch.messages().iter().map(|of| of.bytes.len()).sum();
        let most = if bytes < BATCH_LARGE_BYTES {
            COMMIT_TIME_SMALL_MAX
        } else {
            batch::COMMIT_TIME_MAX
        };
        let (mut next, mut time_max) = (Next::Send, COMMIT_TIME_MIN);
        loop {
            next = match next {
                Next::Committed => return Fate::Committed,
                Next::Lost => return Fate::Lost,
                Next::Unknown => return Fate::Unknown,
                // Where it was refused the error is at hand, below.
                Next::Refused | Next::Send => {
                    match self.send_once(batch, time_max, attempt).await {
                        Ok(next) => next,
                        Err(error) => return Fate::Refused(error),
                    }
                }
                Next::Look => self.look(attempt, built_on, deadline).await,
                Next::Ask => self.ask(attempt, built_on).await,
            };
            let is_definite = matches!(next, Next::Committed | Next::Lost | Next::Unknown);
            if !is_definite && Instant::now() >= deadline {
                return match attempt.is_in_doubt() {
                    true => Fate::Unknown,
                    false => Fate::Lost,
                };
            }
            if matches!(next, Next::Send | Next::Ask) {
                time_max = (2 * time_max).min(most);
                pause(RETRY_DELAY_MAX).await;
            }
            if next == Next::Send && attempt.is_in_doubt() {
                next = self.glance(attempt, built_on);
            }
        }
    }

    /// What was read back meanwhile may tell, before the batch is sent again.
    fn glance(&self, attempt: &Attempt, built_on: &View) -> Next {
        let view = self.views.now();
        if view.revision() <= built_on.revision() {
            return Next::Send;
        }
        match seen(attempt, &view) {
            known @ (Next::Committed | Next::Lost) => known,
            _ => Next::Send,
        }
    }

    async fn send_once(
        &self,
        batch: &batch::Batch,
        time_max: Duration,
        attempt: &mut Attempt,
    ) -> Result<Next, EditError> {
        let sending = batch::commit_within(&self.client, batch, time_max);
        let sent = failpoint::during(Step::Sending, sending).await;
        let (reply, error) = match sent {
            Ok(Outcome::Committed { .. }) => (Reply::Committed, None),
            Ok(Outcome::Conflict) => (Reply::Conflict, None),
            Ok(Outcome::Unknown) => (Reply::Unknown, None),
            Ok(Outcome::Retry { code }) => {
                tracing::debug!(code, "the log asks for a repetition");
                (Reply::Retry, None)
            }
            Ok(Outcome::Full) => (Reply::Refused, Some(EditError::Full)),
            Ok(Outcome::Refused { code, description }) => (
                Reply::Refused,
                Some(EditError::Refused { code, description }),
            ),
            Err(error) => (Reply::Refused, Some(EditError::Bus(error))),
        };
        match (attempt.replied(reply), error) {
            (Next::Refused, Some(error)) => Err(error),
            (next, Some(error)) => {
                tracing::warn!("a batch is in doubt: {}", describe(&error));
                Ok(next)
            }
            (next, None) => Ok(next),
        }
    }

    /// Waits until a newer root than the one built on was read back.
    async fn look(&self, attempt: &Attempt, built_on: &View, deadline: Instant) -> Next {
        let left = deadline.saturating_duration_since(Instant::now());
        let moved = |view: &Arc<View>| view.revision() > built_on.revision();
        match self.views.wait_within(left, moved).await {
            Ok(view) => seen(attempt, &view),
            // It will not be read back: the log is another one than that which was built on.
            Err(_) if self.views.broken().is_some() => match attempt.is_in_doubt() {
                true => Next::Unknown,
                false => Next::Lost,
            },
            Err(_) => Next::Look,
        }
    }

    /// Asks the leader for the first intent of a name after the root built on.
    async fn ask(&self, attempt: &mut Attempt, built_on: &View) -> Next {
        let Some(claim) = attempt.asks() else {
            return Next::Unknown;
        };
        let subject = BusSubject::Intent {
            kind: claim.kind,
            name: claim.name.clone(),
        };
        let after = built_on.root_sequence;
        match current::next_by_subject(&self.client, &subject, after).await {
            Ok(None) => attempt.answered(None),
            Ok(Some(stored)) => {
                match log::open::<Intent>(&subject, &stored.bytes, &self.trusted.keyring()) {
                    Ok(found) => attempt.answered(Some((found.value.generation, found.hash))),
                    // What nobody signed tells nothing; a later intent does not come first.
                    Err(_) => Next::Unknown,
                }
            }
            Err(error) => {
                tracing::debug!(
                    "whose edit came first, is not known yet: {}",
                    describe(&error)
                );
                Next::Ask
            }
        }
    }
}

/// What a view tells of a batch.
fn seen(attempt: &Attempt, view: &View) -> Next {
    let generation = |claim: &Claim| view.generation(claim.kind, &claim.name);
    attempt.seen(view.revision(), view.recent_roots(), generation)
}

/// Waits a random time up to `most`.
pub(crate) async fn pause(most: Duration) {
    let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
    sleep(Duration::from_micros(rand::random_range(1..=most))).await;
}
