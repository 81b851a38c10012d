//! Step 5, commit: one edit becomes one atomic batch, in the order in which edits are accepted.
//!
//! The compare-and-set is on the root alone. Where another edit came first, the checks are made again
//! on the newer state and the batch is built again. Promises: `Ok` means that the edit is in the log
//! (or that nothing had to change); every error but [`EditError::Unknown`] means that it is not.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Semaphore},
    time::{Instant, sleep, timeout_at},
};
use writ_bus::{
    Client,
    batch::{self, Batch, Outcome},
    read,
    streams::Stream,
};
use writ_core::{
    edit::Intent,
    envelope::{Keyring, SigningKey},
    revision::Revision,
    subject::BusSubject,
};
use writ_proto::log;

use crate::{
    accept::Submission,
    alarm::{Alarms, describe},
    answer::{Answer, answer, answer_without_edit, check, repeat},
    error::EditError,
    guard,
    history::Histories,
    place, seal, track,
    validate::{self, Validated},
    view::{View, Views},
};

/// How long an edit may take. A killed leader stops writes for 5 to 7 s; twice that, with room for the
/// repetition whose answer is definite.
const EDIT_TIME_MAX: Duration = Duration::from_secs(20);

/// Edits that wait here. One takes milliseconds, so that a client waits a second or two at most; the
/// manifests of all of them are bounded to some hundred megabytes.
const EDITS_WAITING_MAX: usize = 256;

/// Longest pause before a repetition; drawn anew each time, so that publishers don't meet again.
const RETRY_DELAY_MAX: Duration = Duration::from_millis(200);

/// Commits edits, one after the other. Clones share the order.
#[derive(Clone)]
pub(crate) struct Committer(Arc<Inner>);

struct Inner {
    client: Client,
    key: SigningKey,
    trusted: Keyring,
    views: Views,
    /// Held from the check of an edit until its outcome is seen.
    order: Mutex<Histories>,
    places: Arc<Semaphore>,
}

impl Committer {
    pub(crate) fn new(
        client: Client,
        key: SigningKey,
        trusted: Keyring,
        views: Views,
        alarms: Alarms,
    ) -> Committer {
        let histories = Histories::new(client.clone(), trusted.clone(), alarms);
        Committer(Arc::new(Inner {
            client,
            key,
            trusted,
            views,
            order: Mutex::new(histories),
            places: Arc::new(Semaphore::new(EDITS_WAITING_MAX)),
        }))
    }

    /// Validates and commits. Goes on when the caller goes away: an edit that was begun is ended.
    pub(crate) async fn submit(&self, submission: Submission) -> Result<Answer, EditError> {
        let too_many = EditError::TooMany {
            limit: EDITS_WAITING_MAX,
        };
        let permit = self
            .0
            .places
            .clone()
            .try_acquire_owned()
            .map_err(|_| too_many)?;
        let request_id = submission.request_id.clone();
        let inner = self.0.clone();
        let task = tokio::spawn(async move {
            let _permit = permit;
            let validated = validate::validate(submission)?;
            inner.edit(&validated).await
        });
        task.await.unwrap_or(Err(EditError::CutOff { request_id }))
    }
}

/// What one batch came to.
enum Sent {
    Committed,
    /// Not stored. `in_doubt`: an earlier sending of the same batch may have been.
    Lost {
        in_doubt: bool,
    },
}

impl Inner {
    async fn edit(&self, validated: &Validated) -> Result<Answer, EditError> {
        let mut histories = self.order.lock().await;
        let submission = &validated.submission;
        if submission.is_repeatable {
            let past = histories
                .find(submission.kind, &validated.name, &submission.request_id)
                .await
                .map_err(|_| EditError::NotStored)?;
            if let Some(past) = past {
                return repeat(validated, &past);
            }
        }
        self.commit(validated).await
    }

    async fn commit(&self, validated: &Validated) -> Result<Answer, EditError> {
        let deadline = Instant::now() + EDIT_TIME_MAX;
        loop {
            let view = self.views.now();
            if let Some(reason) = &view.broken {
                return Err(EditError::Broken(reason.clone()));
            }
            check(validated, &view)?;
            guard::check(validated, &view)?;
            let placed = place::place(validated, &view, track::wall_ms())?;
            if let Some(answer) = answer_without_edit(validated, &placed, &view) {
                return Ok(answer);
            }
            let sealed = seal::seal(&view.state, view.root_sequence, &placed.edit, &self.key)
                .map_err(EditError::TooLarge)?;
            let committed = match self.send(&sealed.batch, validated, deadline).await? {
                Sent::Committed => true,
                Sent::Lost { in_doubt } => {
                    self.settle(validated, &view, in_doubt, deadline).await?
                }
            };
            if committed {
                self.see(sealed.revision, deadline).await;
                return Ok(answer(validated, &placed, &sealed));
            }
            if Instant::now() >= deadline {
                return Err(EditError::NotStored);
            }
            pause().await;
        }
    }

    /// Sends a batch until its outcome is definite. The compare-and-set makes repeating safe.
    async fn send(
        &self,
        batch: &Batch,
        validated: &Validated,
        deadline: Instant,
    ) -> Result<Sent, EditError> {
        let mut in_doubt = false;
        loop {
            match batch::commit(&self.client, batch).await {
                Ok(Outcome::Committed { .. }) => return Ok(Sent::Committed),
                Ok(Outcome::Conflict) => return Ok(Sent::Lost { in_doubt }),
                Ok(Outcome::Unknown) => in_doubt = true,
                Ok(Outcome::Retry { code }) => {
                    tracing::debug!(code, "the log asks for a repetition")
                }
                Ok(Outcome::Full) if !in_doubt => return Err(EditError::Full),
                Ok(Outcome::Refused { code, description }) if !in_doubt => {
                    return Err(EditError::Refused { code, description });
                }
                Ok(Outcome::Full | Outcome::Refused { .. }) => {}
                Err(error) if !in_doubt => return Err(EditError::Bus(error)),
                Err(error) => tracing::warn!("an edit is in doubt: {}", describe(&error)),
            }
            if Instant::now() >= deadline {
                let request_id = validated.submission.request_id.clone();
                return Err(if in_doubt {
                    EditError::Unknown { request_id }
                } else {
                    EditError::NotStored
                });
            }
            pause().await;
        }
    }

    /// Another edit wrote the root that was built on. Waits until it is seen here, and says whether it
    /// was this very edit: sent before, stored, and its answer lost.
    async fn settle(
        &self,
        validated: &Validated,
        built_on: &View,
        in_doubt: bool,
        deadline: Instant,
    ) -> Result<bool, EditError> {
        let submission = &validated.submission;
        let request_id = || submission.request_id.clone();
        let left = deadline.saturating_duration_since(Instant::now());
        let moved = |view: &Arc<View>| view.root_sequence > built_on.root_sequence;
        let seen = self.views.wait_within(left, moved).await;
        if !in_doubt {
            return seen.map(|_| false).map_err(|_| EditError::NotStored);
        }
        let view = seen.map_err(|_| EditError::Unknown {
            request_id: request_id(),
        })?;
        if view
            .find_request(submission.kind, &validated.name, &submission.request_id)
            .is_some()
        {
            return Ok(true);
        }
        // The follower may have passed over evicted roots: the name's own intents decide.
        let subject = BusSubject::Intent {
            kind: submission.kind,
            name: validated.name.clone(),
        };
        let after = built_on.root_sequence;
        loop {
            match read::next_by_subject(&self.client, Stream::Log, &subject, after).await {
                Ok(None) => return Ok(false),
                Ok(Some(stored)) => {
                    return self.is_own(validated, built_on, &subject, &stored.bytes);
                }
                Err(error) if Instant::now() < deadline => {
                    tracing::debug!("the leader can't be asked yet: {}", describe(&error));
                    pause().await;
                }
                Err(_) => {
                    return Err(EditError::Unknown {
                        request_id: request_id(),
                    });
                }
            }
        }
    }

    fn is_own(
        &self,
        validated: &Validated,
        built_on: &View,
        subject: &BusSubject,
        bytes: &[u8],
    ) -> Result<bool, EditError> {
        let submission = &validated.submission;
        let unknown = || EditError::Unknown {
            request_id: submission.request_id.clone(),
        };
        let found = log::open::<Intent>(subject, bytes, &self.trusted).map_err(|_| unknown())?;
        if found.value.request_id == submission.request_id {
            return Ok(true);
        }
        // A gap in the generations: what came first was evicted, and may have been ours.
        let expected = built_on.generation(submission.kind, &validated.name).next();
        if found.value.generation == expected {
            Ok(false)
        } else {
            Err(unknown())
        }
    }

    /// Waits until the follower has the edit, so that the next one builds on it.
    async fn see(&self, revision: Revision, deadline: Instant) {
        let wait = self.views.wait_for(|view| view.revision() >= revision);
        if !matches!(timeout_at(deadline, wait).await, Ok(Ok(_))) {
            tracing::warn!(%revision, "a committed edit is not seen yet");
        }
    }
}

async fn pause() {
    let most = u64::try_from(RETRY_DELAY_MAX.as_millis()).unwrap_or(u64::MAX);
    sleep(Duration::from_millis(rand::random_range(1..=most))).await;
}
