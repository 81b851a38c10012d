//! Carries out what the follower decided: policies through the engine, registry entries into mirrors.
//!
//! One attempt at a time per name, names side by side up to a limit; what takes access away before
//! what gives it, and new work before old. What did not succeed is tried again: see [`retry`](crate::retry).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::Mutex, task::JoinSet, time::Instant};
use writ_core::{
    ack::{Failure, State},
    follower::{Action, Document, Key, Past, Standing},
    hash::Hash,
    name::{ClusterName, PolicyName},
    plan::Record,
    scope::Kind,
};
use writ_telemetry::trace::Span;

use crate::{
    clock::unix_ms,
    cluster::ClusterApi,
    engine::{Engine, Target},
    mirror::ClusterMirror,
    outcome::{self, Outcome},
    registry::{Mirrored, Registry},
    retry::Retries,
    slot::Content,
};

/// Policies brought at once. More would only wait in each other's way: each has up to
/// [`CALLS_AT_ONCE_MAX`](crate::observe::CALLS_AT_ONCE_MAX) calls open.
const NAMES_AT_ONCE_MAX: usize = 8;

/// What became of an action.
pub(crate) struct Done {
    pub(crate) key: Key,
    /// What the cluster keeps now; nothing where the name was forgotten.
    pub(crate) past: Option<Past>,
    pub(crate) standing: Standing,
    /// Whether anything was written, so that there is something to tell.
    pub(crate) told: bool,
    pub(crate) applied_ms: u64,
    /// Writes and deletions that were confirmed.
    pub(crate) writes: usize,
    /// How long the API server asked to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

/// The work under way.
pub(crate) struct Works<C> {
    engine: Engine<C>,
    registry: Arc<Mutex<Registry<C>>>,
    /// Tasks of their own: they hold locks that the loop may wait for.
    under_way: JoinSet<Done>,
    busy: BTreeSet<Key>,
    retries: Retries,
}

impl<C: ClusterApi + Send + Sync + 'static> Works<C> {
    pub(crate) fn new(engine: Engine<C>, registry: Arc<Mutex<Registry<C>>>) -> Works<C> {
        Works {
            engine,
            registry,
            under_way: JoinSet::new(),
            busy: BTreeSet::new(),
            retries: Retries::default(),
        }
    }

    /// Starts what is decided, not under way, and not waiting for its next attempt, as far as there
    /// is room. The rest is decided again when something has ended. Answers the names that are begun to be
    /// brought to another state. `begin` makes the span that an action is carried out within.
    pub(crate) fn start(
        &mut self,
        actions: Vec<Action>,
        mut begin: impl FnMut(&Action) -> Span,
    ) -> Vec<Key> {
        let now = Instant::now();
        let mut due: Vec<Action> = Vec::new();
        for action in actions {
            if !self.busy.contains(action.key()) && !self.waits(&action, now) {
                due.push(action);
            }
        }
        due.sort_by_key(|action| self.rank(action));
        let room = NAMES_AT_ONCE_MAX.saturating_sub(self.busy.len());
        let mut begun = Vec::new();
        for action in due.into_iter().take(room) {
            self.busy.insert(action.key().clone());
            if !matches!(action, Action::Forget { .. }) {
                begun.push(action.key().clone());
            }
            let (engine, registry) = (self.engine.clone(), self.registry.clone());
            let span = begin(&action);
            let work = carry_out(engine, registry, action);
            match span.is_traced() {
                true => self.under_way.spawn(async move { span.within(work).await }),
                false => self.under_way.spawn(work),
            };
        }
        begun
    }

    /// What goes first: registry entries, which policies lean on; then new work before what failed
    /// before; then what takes access away, what may do so, and what only gives.
    fn rank(&self, action: &Action) -> (bool, bool, u8) {
        let key = action.key();
        let is_retry = self.retries.has_failed(key);
        let gives = match action {
            Action::Remove { .. } => 0,
            Action::Apply { .. } if self.engine.knows(&PolicyName::from(&key.1)) => 1,
            Action::Apply { .. } => 2,
            Action::Forget { .. } => 3,
        };
        (key.0 == Kind::Policy, is_retry, gives)
    }

    /// Whether this very action failed and its time has not come.
    fn waits(&mut self, action: &Action, now: Instant) -> bool {
        match action {
            Action::Apply { key, past, .. } | Action::Remove { key, past } => {
                self.retries.waits(key, past, now)
            }
            Action::Forget { .. } => false,
        }
    }

    /// Everything that failed may be tried at once: what it failed at is another now.
    pub(crate) fn hurry(&mut self) {
        self.retries.hurry(Instant::now());
    }

    /// A name was confirmed otherwise: by a repair.
    pub(crate) fn settled(&mut self, key: &Key) {
        if !self.busy.contains(key) {
            self.retries.succeeded(key);
        }
    }

    /// When the next attempt is due.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        self.retries.next_after(Instant::now())
    }

    /// Whether anything is under way.
    pub(crate) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// How much is under way.
    pub(crate) fn under_way(&self) -> usize {
        self.busy.len()
    }

    /// The next result; pending while nothing is under way. May be dropped without losing one.
    pub(crate) async fn next(&mut self) -> Done {
        let done = match self.under_way.join_next().await {
            Some(Ok(done)) => done,
            // A step that panicked left its record "not done"; the next start goes on from there.
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) | None => return std::future::pending().await,
        };
        self.busy.remove(&done.key);
        let now = Instant::now();
        if done.past.as_ref().is_none_or(|past| past.done) {
            self.retries.succeeded(&done.key);
            if done.told {
                self.retries.wake_waiting(now);
            }
        } else {
            let asked = done.retry_after.unwrap_or_default();
            self.retries.failed(&done.key, &done.standing, asked, now);
        }
        done
    }
}

async fn carry_out<C: ClusterApi + Send + Sync + 'static>(
    engine: Engine<C>,
    registry: Arc<Mutex<Registry<C>>>,
    action: Action,
) -> Done {
    match action {
        Action::Apply {
            key,
            past,
            document: Document::Policy { policy, compiled },
            signed,
        } => {
            let content = Content::new(compiled, &policy);
            bring(&engine, key, past, signed.to_vec(), Some(content)).await
        }
        Action::Apply {
            key,
            past,
            document: Document::Cluster { compiled, .. },
            signed,
        } => {
            let mirror = ClusterMirror {
                name: ClusterName::from(&key.1),
                document: serde_json::from_str(&compiled).unwrap_or_default(),
                signed: signed.to_vec(),
                revision: past.word,
                generation: past.generation,
            };
            let written = registry.lock().await.write(mirror).await;
            if let Ok(Mirrored::TooMany) = written {
                tracing::debug!(cluster = %key.1, "not mirrored: the limit of mirrors is reached");
            }
            mirrored(key, past, written.map(drop))
        }
        Action::Remove { key, past } => match key.0 {
            Kind::Policy => bring(&engine, key, past, Vec::new(), None).await,
            Kind::Cluster => {
                let name = ClusterName::from(&key.1);
                let removed = registry.lock().await.remove(&name).await;
                mirrored(key, past, removed)
            }
        },
        Action::Forget { key } => {
            let forgotten = match key.0 {
                Kind::Policy => engine.forget(&PolicyName::from(&key.1)).await,
                Kind::Cluster => Ok(()),
            };
            if let Err(error) = forgotten {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(policy = %key.1, error, "mirror of a removed policy not deleted yet");
            }
            Done {
                key,
                past: None,
                standing: Standing::applied(),
                told: false,
                applied_ms: 0,
                writes: 0,
                retry_after: None,
            }
        }
    }
}

async fn bring<C: ClusterApi + Send + Sync + 'static>(
    engine: &Engine<C>,
    key: Key,
    past: Past,
    signed: Vec<u8>,
    content: Option<Content>,
) -> Done {
    let policy = PolicyName::from(&key.1);
    let target = Target {
        policy: policy.clone(),
        as_of: past.as_of,
        word: past.word,
        generation: past.generation,
        hash: past.hash.unwrap_or(Hash([0; 32])),
        feed: past.feed.clone(),
        signed,
        content,
    };
    let outcome = engine.bring(target).await;
    let done = outcome.is_applied();
    // What the cluster keeps counts, not what was meant to be written.
    let kept = outcome.record.as_ref().map(past_of);
    let past = Past {
        done,
        ..kept.filter(|kept| kept.as_of >= past.as_of).unwrap_or(past)
    };
    Done {
        key,
        past: Some(past),
        standing: standing_of(&outcome),
        told: outcome.recorded_at.is_some() || !done,
        applied_ms: if done {
            unix_ms(outcome.finished_at)
        } else {
            0
        },
        writes: outcome.writes,
        retry_after: outcome.retry_after,
    }
}

fn mirrored(key: Key, past: Past, result: Result<(), crate::cluster::Error>) -> Done {
    let now_ms = unix_ms(std::time::SystemTime::now());
    match result {
        Ok(()) => Done {
            key,
            past: Some(Past { done: true, ..past }),
            standing: Standing::applied(),
            told: true,
            applied_ms: now_ms,
            writes: 1,
            retry_after: None,
        },
        Err(error) => {
            let message = format!("the mirror can't be written: {error}");
            let standing = Standing {
                state: State::Received,
                reason: "MirrorNotWritten".to_owned(),
                message,
                failures: Vec::new(),
            };
            Done {
                key,
                past: Some(past),
                standing,
                told: true,
                applied_ms: 0,
                writes: 0,
                retry_after: error.retry_after,
            }
        }
    }
}

/// What a record means to the follower.
pub(crate) fn past_of(record: &Record) -> Past {
    Past {
        as_of: record.as_of,
        word: record.word,
        generation: record.generation,
        feed: record.feed.clone(),
        hash: (!record.removed).then_some(record.hash),
        removed: record.removed,
        done: record.done,
    }
}

/// What an outcome means in an ack.
pub(crate) fn standing_of(outcome: &Outcome) -> Standing {
    let failure = |failure: &outcome::ObjectFailure| Failure {
        object: failure.reference.to_string(),
        reason: failure.reason.as_str().to_owned(),
        message: failure.message.clone(),
    };
    let (state, reason) = match outcome.state {
        outcome::State::Applied => return Standing::applied(),
        outcome::State::Pending(reason) => (State::Received, reason),
        outcome::State::Refused(reason) => (State::Refused, reason),
    };
    let first = outcome.failures.first();
    let message = first.map_or_else(String::new, |f| format!("{}: {}", f.reference, f.message));
    let more = outcome.failures_total.saturating_sub(1);
    let rest = match more {
        0 => String::new(),
        1 => " (and 1 more object)".to_owned(),
        more => format!(" (and {more} more objects)"),
    };
    Standing {
        state,
        reason: reason.as_str().to_owned(),
        message: message + &rest,
        failures: outcome.failures.iter().map(failure).collect(),
    }
}
