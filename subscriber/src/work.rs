//! Carries out what the follower decided: policies through the engine, registry entries into mirrors.
//!
//! One attempt at a time per name, names side by side up to a limit; what takes access away before
//! what gives it, and new work before old. What did not succeed is tried again after a growing delay,
//! and what waits for another policy's object at once when another name succeeded.

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
    plan::{Reason, Record},
    revision::Revision,
    scope::Kind,
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

/// Policies brought at once. More would only wait in each other's way: each has up to
/// [`CALLS_AT_ONCE_MAX`](crate::observe::CALLS_AT_ONCE_MAX) calls open.
const NAMES_AT_ONCE_MAX: usize = 8;
/// Each delay is spread by this share up and down: what failed together must not return together.
const RETRY_JITTER: f64 = 0.2;

/// What became of an action.
pub(crate) struct Done {
    pub(crate) key: Key,
    /// What the cluster keeps now; nothing where the name was forgotten.
    pub(crate) past: Option<Past>,
    pub(crate) standing: Standing,
    /// Whether anything was written, so that there is something to tell.
    pub(crate) told: bool,
    pub(crate) applied_ms: u64,
    /// How long the API server asked to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

struct Attempt {
    as_of: Revision,
    hash: Option<Hash>,
    removed: bool,
    failures: u32,
    not_before: Instant,
    /// It may be another policy's object that is missing or in the way.
    waits_for_others: bool,
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

    /// Starts what is decided, not under way, and not waiting for its next attempt, as far as there
    /// is room. The rest is decided again when something has ended.
    pub(crate) fn start(&mut self, actions: Vec<Action>) {
        let now = Instant::now();
        let mut due: Vec<Action> = Vec::new();
        for action in actions {
            if !self.busy.contains(action.key()) && !self.waits(&action, now) {
                due.push(action);
            }
        }
        due.sort_by_key(|action| self.rank(action));
        let room = NAMES_AT_ONCE_MAX.saturating_sub(self.busy.len());
        for action in due.into_iter().take(room) {
            self.busy.insert(action.key().clone());
            let (engine, registry) = (self.engine.clone(), self.registry.clone());
            self.under_way.spawn(carry_out(engine, registry, action));
        }
    }

    /// What goes first: registry entries, which policies lean on; then new work before what failed
    /// before; then what takes access away, what may do so, and what only gives.
    fn rank(&self, action: &Action) -> (bool, bool, u8) {
        let key = action.key();
        let is_retry = self
            .attempts
            .get(key)
            .is_some_and(|attempt| attempt.failures > 0);
        let gives = match action {
            Action::Remove { .. } => 0,
            Action::Apply { .. } if self.engine.knows(&PolicyName::from(&key.1)) => 1,
            Action::Apply { .. } => 2,
            Action::Forget { .. } => 3,
        };
        (key.0 == Kind::Policy, is_retry, gives)
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
                    waits_for_others: false,
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
                    if attempt.waits_for_others {
                        attempt.not_before = now;
                    }
                }
            }
        } else if let Some(attempt) = self.attempts.get_mut(&done.key) {
            let asked = done.retry_after.unwrap_or_default();
            attempt.not_before = now + retry_delay(attempt.failures).max(asked);
            attempt.failures += 1;
            attempt.waits_for_others = waits_for_others(&done.standing);
        }
        done
    }
}

/// The delay after so many failures in a row before this one.
fn retry_delay(failures: u32) -> Duration {
    let delay = RETRY_DELAY_MAX.min(RETRY_DELAY_MIN * (1 << failures.min(10)));
    delay.mul_f64(rand::random_range(1.0 - RETRY_JITTER..1.0 + RETRY_JITTER))
}

/// Whether another policy's success may be what this one waits for.
fn waits_for_others(standing: &Standing) -> bool {
    let reasons = standing.failures.iter().map(|failure| &failure.reason);
    reasons
        .chain([&standing.reason])
        .filter_map(|reason| Reason::parse(reason))
        .any(|reason| {
            matches!(
                reason,
                Reason::ClaimedByPolicy
                    | Reason::ForeignObject
                    | Reason::NamespaceMissing
                    | Reason::RoleMissing
            )
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_limit_and_are_spread() {
        for (failures, middle_ms) in [(0, 200), (1, 400), (4, 3_200), (9, 30_000), (60, 30_000)] {
            let middle = Duration::from_millis(middle_ms);
            let drawn: Vec<Duration> = (0..50).map(|_| retry_delay(failures)).collect();
            let bounds = middle.mul_f64(1.0 - RETRY_JITTER)..=middle.mul_f64(1.0 + RETRY_JITTER);
            assert!(
                drawn.iter().all(|delay| bounds.contains(delay)),
                "{drawn:?}"
            );
            assert!(drawn.iter().any(|delay| delay != &drawn[0]));
        }
    }

    #[test]
    fn only_what_another_policy_may_mend_waits_for_others() {
        let standing = |reason: Reason| Standing {
            state: State::Received,
            reason: reason.as_str().to_owned(),
            message: String::new(),
            failures: Vec::new(),
        };
        assert!(waits_for_others(&standing(Reason::RoleMissing)));
        assert!(!waits_for_others(&standing(Reason::Unavailable)));
    }
}
