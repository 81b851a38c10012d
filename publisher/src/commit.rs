//! Step 5, commit: what waits becomes one atomic batch, batch after batch.
//!
//! One task takes the edits in the order in which they came: those that came while a batch was on its
//! way are the next one, so that a busy publisher makes large batches and an idle one waits for nobody.
//! The compare-and-set is on the root alone: where another publisher's edit came first, all checks are
//! made again on the newer state and the batch is built again. Promises: `Ok` means that the edit is in
//! the log (or that nothing had to change); every error but [`EditError::Unknown`] and
//! [`EditError::CutOff`] means that it is not. A batch that is refused as a whole is taken apart, so that
//! the one edit that does not fit is refused alone.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, timeout_at},
};
use writ_bus::Client;
use writ_core::{access::Administrators, edit::Intent, revision::Revision};
use writ_telemetry::{
    describe,
    trace::{self, Span},
};

use crate::{
    accept::Submission,
    alarm::Alarms,
    answer::Answer,
    current::Leader,
    draft::{Draft, Verdict, judge_dry_run},
    error::EditError,
    failpoint::{self, Step},
    history::{self, Histories, Past},
    metrics::Meters,
    seal,
    send::{Fate, RETRY_DELAY_MAX, Sender, pause},
    traces::{self, Traces},
    track,
    trust::{Signer, Trusted},
    validate::{self, Validated},
    view::{READ_WAIT_MAX, View, Views},
};

/// How long an edit may wait for its place in a batch. A killed leader stops writes for 5 to 7 s; twice
/// that, with room for the repetition whose answer is definite.
const EDIT_TIME_MAX: Duration = Duration::from_secs(20);

/// How long a batch is pursued at least, however long its edits waited before: one sending that is not
/// answered, and the repetition whose answer is definite.
const BATCH_TIME_MIN: Duration = Duration::from_secs(10);

/// Edits that wait here. A batch of a hundred takes some ten milliseconds; the manifests of all of them
/// are bounded to some hundred megabytes.
const EDITS_WAITING_MAX: usize = 256;

/// First pause after another publisher's edit came first: about what its batch takes. It doubles.
const CONFLICT_DELAY_MIN: Duration = Duration::from_millis(4);

/// To what it grows: some batches, so that a publisher that keeps losing goes on taking part.
const CONFLICT_DELAY_MAX: Duration = Duration::from_millis(64);

/// Names whose histories are read from the leader at once.
const HISTORIES_AT_ONCE: usize = 16;

/// Takes edits to be committed. Clones share the queue.
#[derive(Clone)]
pub(crate) struct Committer {
    queue: mpsc::Sender<Waiting>,
    places: Arc<Semaphore>,
    histories: Arc<Histories>,
    leader: Leader,
    administrators: Arc<Administrators>,
    meters: Meters,
}

/// An edit that waits for its answer.
struct Waiting {
    validated: Validated,
    /// Its way through this publisher.
    span: Span,
    until: Instant,
    /// A batch that held it was refused as a whole: it is tried without others.
    alone: bool,
    answer: oneshot::Sender<Result<Answer, EditError>>,
    _place: OwnedSemaphorePermit,
}

impl Waiting {
    /// Whoever asked may have gone.
    fn answer(self, answer: Result<Answer, EditError>) {
        let _ = self.answer.send(answer);
    }
}

impl Committer {
    /// The queue, and what empties it.
    pub(crate) fn new(
        client: Client,
        signer: Signer,
        trusted: Trusted,
        views: Views,
        (alarms, meters, traces): (Alarms, Meters, Traces),
        administrators: Arc<Administrators>,
    ) -> (Committer, Rounds) {
        let histories = Arc::new(Histories::new(client.clone(), trusted.clone(), alarms));
        let leader = Leader {
            client: client.clone(),
            views: views.clone(),
        };
        let (queue, coming) = mpsc::channel(EDITS_WAITING_MAX);
        let committer = Committer {
            queue,
            places: Arc::new(Semaphore::new(EDITS_WAITING_MAX)),
            histories: histories.clone(),
            leader: leader.clone(),
            administrators: administrators.clone(),
            meters: meters.clone(),
        };
        let rounds = Rounds {
            signer,
            coming,
            waiting: VecDeque::new(),
            histories,
            leader,
            administrators,
            sender: Sender {
                client,
                trusted,
                views: views.clone(),
            },
            views,
            meters,
            traces,
            conflicts: 0,
            last_won: None,
        };
        (committer, rounds)
    }

    /// Validates and commits. Goes on when the caller goes away: an edit that was begun is ended.
    pub(crate) async fn submit(&self, submission: Submission) -> Result<Answer, EditError> {
        let is_dry_run = submission.dry_run;
        let span = traces::edit(&submission);
        let result = span.within(self.queue(submission, &span)).await;
        traces::edited(&span, &result);
        self.meters.edit(is_dry_run, &result);
        result
    }

    /// How many edits wait.
    pub(crate) fn waiting(&self) -> usize {
        EDITS_WAITING_MAX - self.places.available_permits()
    }

    async fn queue(&self, submission: Submission, span: &Span) -> Result<Answer, EditError> {
        let limit = EDITS_WAITING_MAX;
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| EditError::TooMany { limit })?;
        let request_id = submission.request_id.clone();
        let validated = validate::validate(submission)?;
        if validated.submission.dry_run {
            return self.dry_run(&validated).await;
        }
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            validated,
            span: span.clone(),
            until: Instant::now() + EDIT_TIME_MAX,
            alone: false,
            answer,
            _place: place,
        };
        let cut_off = || EditError::CutOff {
            request_id: request_id.clone(),
        };
        // There is a place in the queue for every permit.
        self.queue.send(waiting).await.map_err(|_| cut_off())?;
        answered.await.unwrap_or_else(|_| Err(cut_off()))
    }

    /// Judges an edit by the log as it is now; it needs no turn.
    async fn dry_run(&self, validated: &Validated) -> Result<Answer, EditError> {
        let view = self.leader.view().await?;
        if let Some(reason) = &view.broken {
            return Err(EditError::Broken(reason.clone()));
        }
        let submission = &validated.submission;
        let newest = view.intent(submission.edit_kind(), &validated.name);
        let request_id = submission
            .is_repeatable
            .then_some(submission.request_id.as_str());
        let past = find_past(&self.histories, newest.map(AsRef::as_ref), request_id).await;
        let past = past.map_err(|_| EditError::NotStored)?;
        judge_dry_run(
            validated,
            past.as_ref(),
            &view,
            &self.administrators,
            track::wall_ms(),
        )
    }
}

/// What a request made before: of the name of `newest`, its last intent in the view that is built on.
async fn find_past(
    histories: &Histories,
    newest: Option<&Intent>,
    request_id: Option<&str>,
) -> Result<Option<Past>, history::Error> {
    match request_id {
        Some(request_id) => histories.find(newest, request_id).await,
        None => Ok(None),
    }
}

/// The spans of the edits of a batch, by revision; of those that are traced.
fn spans(decided: &[Decided]) -> BTreeMap<Revision, Span> {
    let stored = |(edit, answer): &'_ Decided| {
        let answer = answer.as_ref().ok().filter(|answer| !answer.unchanged)?;
        let span = traces::commit(&edit.span, answer, decided.len());
        span.place().map(|_| (answer.revision, span))
    };
    match trace::is_on() {
        true => decided.iter().filter_map(stored).collect(),
        false => BTreeMap::new(),
    }
}

/// Makes a batch of what waits, over and over.
pub(crate) struct Rounds {
    signer: Signer,
    coming: mpsc::Receiver<Waiting>,
    waiting: VecDeque<Waiting>,
    histories: Arc<Histories>,
    leader: Leader,
    administrators: Arc<Administrators>,
    sender: Sender,
    views: Views,
    meters: Meters,
    traces: Traces,
    /// Batches in a row that lost against another publisher's.
    conflicts: u32,
    /// The last batch that won.
    last_won: Option<Revision>,
}

/// An edit with the answer that it gets if the group is committed.
type Decided = (Waiting, Result<Answer, EditError>);

impl Rounds {
    /// Runs until nobody can submit any more.
    pub(crate) async fn run(mut self) {
        while self.take().await {
            self.round().await;
        }
    }

    /// Takes what came; waits if there is nothing. `false`: there will be nothing any more.
    async fn take(&mut self) -> bool {
        if self.waiting.is_empty() {
            match self.coming.recv().await {
                Some(first) => self.waiting.push_back(first),
                None => return false,
            }
        }
        while let Ok(next) = self.coming.try_recv() {
            self.waiting.push_back(next);
        }
        true
    }

    async fn round(&mut self) {
        failpoint::hit(Step::Taken);
        // Until the outcome of what it signs is known.
        let key = self.signer.hold().await;
        let view = self.views.now();
        let waiting = self.still_in_time(&view);
        let pasts = self.find_pasts(&waiting, &view).await;

        let administrators = self.administrators.clone();
        let mut draft = Draft::new(&view.state, &view, &administrators, track::wall_ms());
        let mut decided: Vec<Decided> = Vec::new();
        for (edit, past) in waiting.into_iter().zip(pasts) {
            let verdict = match past {
                Ok(past) => draft.take(&edit.validated, past.as_ref(), edit.alone),
                Err(error) => {
                    tracing::debug!("a history is not known yet: {}", describe(&error));
                    draft.hold(&edit.validated)
                }
            };
            match verdict {
                Verdict::Later => self.waiting.push_back(edit),
                Verdict::Now(answer) => edit.answer(answer),
                Verdict::IfCurrent(answer) => decided.push((edit, answer)),
            }
        }
        let Some(group) = draft.into_group() else {
            return self.answer_if_current(decided, &view).await;
        };
        let spans = spans(&decided);
        let place = |revision| spans.get(&revision).and_then(Span::place);
        match seal::seal(group, view.revision(), view.root_sequence, &key, place) {
            Ok(sealed) => {
                for (revision, span) in &spans {
                    span.place()
                        .inspect(|place| self.traces.open(*revision, *place));
                }
                self.commit(sealed, decided, &view, spans).await;
            }
            Err(invalid) => self.refuse(EditError::TooLarge(invalid), decided),
        }
    }

    /// Nothing has to be stored. What was judged by the log as it was seen is answered if that is all of
    /// the log, and judged again otherwise.
    async fn answer_if_current(&mut self, decided: Vec<Decided>, view: &View) {
        if decided.is_empty() {
            // What is left waits for the log's leader.
            if !self.waiting.is_empty() {
                pause(RETRY_DELAY_MAX).await;
            }
            return;
        }
        match self.leader.root_sequence().await {
            Ok(newest) if newest <= view.root_sequence => {
                for (edit, answer) in decided {
                    edit.answer(answer);
                }
            }
            Ok(newest) => {
                self.again(decided, |_| {});
                // Where it is not reached in time, the edits' own time ends the waiting.
                let _ = self.leader.reached(newest, READ_WAIT_MAX).await;
            }
            Err(error) => {
                tracing::debug!("where the log is, is not known yet: {}", describe(&error));
                self.again(decided, |_| {});
                pause(RETRY_DELAY_MAX).await;
            }
        }
    }

    /// What waits and may go on waiting; the others are answered.
    fn still_in_time(&mut self, view: &View) -> Vec<Waiting> {
        let now = Instant::now();
        let (mut left, waiting) = (Vec::new(), std::mem::take(&mut self.waiting));
        for edit in waiting {
            match &view.broken {
                Some(reason) => edit.answer(Err(EditError::Broken(reason.clone()))),
                None if edit.until <= now => edit.answer(Err(EditError::NotStored)),
                None => left.push(edit),
            }
        }
        left
    }

    /// What the requests made before, as far as the log says it by now.
    async fn find_pasts(
        &self,
        waiting: &[Waiting],
        view: &View,
    ) -> Vec<Result<Option<Past>, history::Error>> {
        let find = |edit: &Waiting| {
            let (histories, submission) = (self.histories.clone(), &edit.validated.submission);
            let request_id = submission
                .is_repeatable
                .then(|| submission.request_id.clone());
            let newest = view
                .intent(submission.edit_kind(), &edit.validated.name)
                .cloned();
            async move { find_past(&histories, newest.as_deref(), request_id.as_deref()).await }
        };
        // Made before they are awaited, so that none borrows what waits.
        let finds: Vec<_> = waiting.iter().map(find).collect();
        stream::iter(finds)
            .buffered(HISTORIES_AT_ONCE)
            .collect()
            .await
    }

    async fn commit(
        &mut self,
        sealed: seal::Sealed,
        decided: Vec<Decided>,
        built_on: &View,
        spans: BTreeMap<Revision, Span>,
    ) {
        failpoint::hit(Step::Sealed);
        let now = Instant::now();
        let earliest = decided.iter().map(|(edit, _)| edit.until).min();
        let deadline = earliest.unwrap_or(now).max(now + BATCH_TIME_MIN);
        let revision = sealed.revision;
        let fate = self.sender.send(sealed, built_on, deadline).await;
        self.meters.batch(&fate, decided.len(), now.elapsed());
        for span in spans.values() {
            traces::committed(span, &fate);
        }
        match fate {
            Fate::Committed => {
                failpoint::hit(Step::Stored);
                self.conflicts = 0;
                self.see(revision, deadline).await;
                failpoint::hit(Step::Seen);
                for (edit, answer) in decided {
                    edit.answer(answer);
                    failpoint::hit(Step::Answered);
                }
                // Whoever wins builds on the new root first, and would win again and again.
                let is_contended = self.last_won != Some(built_on.revision());
                if self.last_won.replace(revision).is_some() && is_contended {
                    pause(CONFLICT_DELAY_MIN).await;
                }
            }
            Fate::Lost => {
                self.again(decided, |_| {});
                self.give_way(built_on, deadline).await;
            }
            Fate::Refused(error) => self.refuse(error, decided),
            Fate::Unknown => {
                // What was only judged by the group, of which nobody knows, is judged again.
                let is_in_group =
                    |(_, answer): &Decided| answer.as_ref().is_ok_and(|answer| !answer.unchanged);
                let (group, rest): (Vec<_>, Vec<_>) = decided.into_iter().partition(is_in_group);
                for (edit, _) in group {
                    let request_id = edit.validated.submission.request_id.clone();
                    edit.answer(Err(EditError::Unknown { request_id }));
                }
                self.again(rest, |_| {});
            }
        }
    }

    /// A group of one is refused; of several, each is tried alone.
    fn refuse(&mut self, error: EditError, mut decided: Vec<Decided>) {
        if decided.len() > 1 {
            return self.again(decided, |edit| edit.alone = true);
        }
        if let Some((edit, _)) = decided.pop() {
            edit.answer(Err(error));
        }
    }

    /// Puts edits back in front of the queue, in their order.
    fn again(&mut self, decided: Vec<Decided>, mut change: impl FnMut(&mut Waiting)) {
        for (mut edit, _) in decided.into_iter().rev() {
            change(&mut edit);
            self.waiting.push_front(edit);
        }
    }

    /// Another edit came first: waits until it is read back, and a little more, so that publishers
    /// don't meet again.
    async fn give_way(&mut self, built_on: &View, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let moved = |view: &Arc<View>| view.root_sequence > built_on.root_sequence;
        let _ = self.views.wait_within(left, moved).await;
        let delay = CONFLICT_DELAY_MIN.saturating_mul(1 << self.conflicts.min(10));
        self.conflicts += 1;
        pause(delay.min(CONFLICT_DELAY_MAX)).await;
    }

    /// Waits until the follower has the batch, so that the next one builds on it.
    async fn see(&self, revision: Revision, deadline: Instant) {
        let wait = self.views.wait_for(|view| view.revision() >= revision);
        if !matches!(timeout_at(deadline, wait).await, Ok(Ok(_))) {
            tracing::warn!(%revision, "a committed edit is not seen yet");
        }
    }
}
