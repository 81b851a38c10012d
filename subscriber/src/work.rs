//! Carries out what the follower decided: policies through the engine, registry entries into mirrors.
//!
//! One attempt at a time per name, names side by side. What did not succeed is tried again after a
//! growing delay, and at once when another name succeeded, which may have been what it waited for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Mutex, task::JoinSet, time::Instant};
use writ_core::{
    ack::{Failure, State},
    follower::{Action, Document, Key, Past, Standing},
    hash::Hash,
    name::{ClusterName, PolicyName},
    plan::Record,
};

use crate::{
    clock::unix_ms,
    cluster::ClusterApi,
    engine::{Engine, Target},
    mirror::ClusterMirror,
    outcome::{self, Outcome},
    registry::{Mirrored, Registry},
    slot::Content,
};

/// Delay before the first repeat of what is pending; doubles from there.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(200);
/// Longest delay: what a person mends by hand in the cluster is found within it.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);

/// What became of an action.
pub(crate) struct Done {
    pub(crate) key: Key,
    /// What the cluster keeps now; nothing where the name was forgotten.
    pub(crate) past: Option<Past>,
    pub(crate) standing: Standing,
    /// Whether anything was written, so that there is something to tell.
    pub(crate) told: bool,
    pub(crate) applied_ms: u64,
}

struct Attempt {
    as_of: writ_core::revision::Revision,
    hash: Option<Hash>,
    removed: bool,
    failures: u32,
    not_before: Instant,
}

/// The work under way.
pub(crate) struct Works<C> {
    engine: Engine<C>,
    registry: Arc<Mutex<Registry<C>>>,
    /// Tasks of their own: they hold locks that the loop may wait for.
    under_way: JoinSet<Done>,
    busy: BTreeSet<Key>,
    attempts: BTreeMap<Key, Attempt>,
}

impl<C: ClusterApi + Send + Sync + 'static> Works<C> {
    pub(crate) fn new(engine: Engine<C>, registry: Arc<Mutex<Registry<C>>>) -> Works<C> {
        Works {
            engine,
            registry,
            under_way: JoinSet::new(),
            busy: BTreeSet::new(),
            attempts: BTreeMap::new(),
        }
    }

    /// Starts what is decided, not under way, and not waiting for its next attempt.
    pub(crate) fn start(&mut self, actions: Vec<Action>) {
        let now = Instant::now();
        for action in actions {
            let key = action.key().clone();
            if self.busy.contains(&key) || self.waits(&action, now) {
                continue;
            }
            self.busy.insert(key);
            let (engine, registry) = (self.engine.clone(), self.registry.clone());
            self.under_way.spawn(carry_out(engine, registry, action));
        }
    }

    /// Whether this very action failed and its time has not come. Anything newer starts at once.
    fn waits(&mut self, action: &Action, now: Instant) -> bool {
        let (key, past) = match action {
            Action::Apply { key, past, .. } | Action::Remove { key, past } => (key, past),
            Action::Forget { .. } => return false,
        };
        let same = |attempt: &Attempt| {
            (attempt.as_of, attempt.hash, attempt.removed) == (past.as_of, past.hash, past.removed)
        };
        match self.attempts.get(key) {
            Some(attempt) if same(attempt) => now < attempt.not_before,
            _ => {
                let attempt = Attempt {
                    as_of: past.as_of,
                    hash: past.hash,
                    removed: past.removed,
                    failures: 0,
                    not_before: now,
                };
                self.attempts.insert(key.clone(), attempt);
                false
            }
        }
    }

    /// When the next attempt is due.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        let waiting = self
            .attempts
            .iter()
            .filter(|(key, attempt)| attempt.failures > 0 && !self.busy.contains(*key));
        waiting.map(|(_, attempt)| attempt.not_before).min()
    }

    /// Whether anything is under way.
    pub(crate) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
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
            self.attempts.remove(&done.key);
            if done.told {
                for attempt in self.attempts.values_mut() {
                    attempt.not_before = now;
                }
            }
        } else if let Some(attempt) = self.attempts.get_mut(&done.key) {
            attempt.not_before =
                now + RETRY_DELAY_MAX.min(RETRY_DELAY_MIN * (1 << attempt.failures.min(10)));
            attempt.failures += 1;
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
            document: Document::Policy { policy, object },
            signed,
        } => {
            let content = Content::new(serde_json::Value::clone(&object), &policy);
            bring(&engine, key, past, signed.to_vec(), Some(content)).await
        }
        Action::Apply {
            key,
            past,
            document: Document::Cluster { object, .. },
            signed,
        } => {
            let mirror = ClusterMirror {
                name: ClusterName::from(&key.1),
                document: serde_json::Value::clone(&object),
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
            writ_core::scope::Kind::Policy => bring(&engine, key, past, Vec::new(), None).await,
            writ_core::scope::Kind::Cluster => {
                let name = ClusterName::from(&key.1);
                let removed = registry.lock().await.remove(&name).await;
                mirrored(key, past, removed)
            }
        },
        Action::Forget { key } => {
            let forgotten = match key.0 {
                writ_core::scope::Kind::Policy => engine.forget(&PolicyName::from(&key.1)).await,
                writ_core::scope::Kind::Cluster => Ok(()),
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
    let rest = if more > 0 {
        format!(" (and {more} more objects)")
    } else {
        String::new()
    };
    Standing {
        state,
        reason: reason.as_str().to_owned(),
        message: message + &rest,
        failures: outcome.failures.iter().map(failure).collect(),
    }
}
