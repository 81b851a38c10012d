//! Brings this cluster to what the log says about each policy, and keeps it there.
//!
//! Owns the records (rule 4 of the protocol): before the first write or delete for a policy its
//! mirror names the state that it goes to and every object that may be touched; after the last one
//! it says what was confirmed. Any process that starts later can go on from there.
//! Promises: one attempt at a time per policy, policies side by side; nothing older than the record
//! is acted upon; nothing is deleted but what was recorded as ours; content counts only when the
//! caller verified it.
//! Never decides what is to be: that is the follower's.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::{sync::OwnedMutexGuard, time::Instant};
use writ_core::hash::Hash;
use writ_core::model::{ObjectRef, Removal};
use writ_core::name::PolicyName;
use writ_core::plan::{Contention, Reason, Record};
use writ_core::revision::{Generation, Revision};
use writ_core::scope::Feed;

use crate::cluster::{self, ClusterApi, Identity};
use crate::confirmed::Confirmed;
use crate::glances::Glances;
pub use crate::load::{Loaded, LoadedPolicy, NotRecorded};
use crate::mirror::policy_reference;
use crate::namespaces::Namespaces;
use crate::outcome::{ObjectFailure, Outcome, State};
use crate::permit::{Permit, Permits};
use crate::remember::write_mirror;
use crate::roles::Roles;
use crate::settle::{Part, Reads, settle};
use crate::slot::{Content, Slot, Slots};
use crate::waiting::Waiting;

/// Delays before a record that could not be written is tried again. The last attempt is after their
/// sum: an API server that is away longer brings a relist with it, which writes what is missing.
const CLOSE_RETRY_DELAYS_MS: [u64; 4] = [100, 500, 2_000, 5_000];

/// How long the record of what an attempt reached waits for the next attempt. The ack goes first: a
/// fleet waits for that, and only people and a later process for this. Edits that follow one another
/// share one such write.
pub const CLOSE_DELAY_MS: u64 = 250;
/// How long it waits at most, under edits without end.
pub const CLOSE_DELAY_MAX_MS: u64 = 2_000;

/// What a policy is to be brought to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Which policy.
    pub policy: PolicyName,
    /// The log state that this rests on.
    pub as_of: Revision,
    /// The edit that it is the word of.
    pub word: Revision,
    /// The policy's generation after that edit.
    pub generation: Generation,
    /// Hash of the event's body.
    pub hash: Hash,
    /// The feed by which the event came.
    pub feed: Feed,
    /// The signed envelope of the event. Empty where absence at a cut removes the policy: then the
    /// last one is kept.
    pub signed: Vec<u8>,
    /// The verified content, or `None` if the policy is to be gone from this cluster.
    pub content: Option<Content>,
}

/// What is known of a policy's record at once.
#[derive(Debug, PartialEq)]
pub(crate) enum Latest {
    /// There is none.
    None,
    /// An attempt is under way, and may make it another.
    Busy,
    /// What the policy was last brought to.
    Record(Record),
}

/// The engine; a cheap handle, the same for all clones.
pub struct Engine<C> {
    pub(crate) inner: Arc<Inner<C>>,
}

pub(crate) struct Inner<C> {
    pub(crate) api: C,
    pub(crate) slots: Slots,
    pub(crate) confirmed: Confirmed,
    pub(crate) namespaces: Namespaces,
    pub(crate) roles: Roles,
    pub(crate) waiting: Waiting,
    pub(crate) glances: Glances,
    pub(crate) permits: Permits,
    contention: Mutex<Contention>,
    /// Fights are timed by a clock that only goes forward.
    started: Instant,
}

impl<C> Inner<C> {
    /// The put-backs of all objects, and the time now.
    pub(crate) fn contention(&self) -> (MutexGuard<'_, Contention>, u64) {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // A panic while it was locked leaves it whole: each change is one call.
        let contention = self
            .contention
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (contention, now_ms)
    }
}

impl<C> Clone for Engine<C> {
    fn clone(&self) -> Engine<C> {
        Engine {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<C: ClusterApi> Engine<C> {
    /// An engine that knows nothing yet: [`load`](Self::load) comes before anything else.
    pub fn new(api: C) -> Engine<C> {
        Engine {
            inner: Arc::new(Inner {
                api,
                slots: Slots::default(),
                confirmed: Confirmed::default(),
                namespaces: Namespaces::default(),
                roles: Roles::default(),
                waiting: Waiting::default(),
                glances: Glances::default(),
                permits: Permits::default(),
                contention: Mutex::default(),
                started: Instant::now(),
            }),
        }
    }

    /// Says what may be done in the cluster from now on. Until this is called, everything is.
    ///
    /// An attempt that is under way goes on under the permit that it began with, but begins no further
    /// write once nothing may be written.
    pub fn permit(&self, permit: Permit) {
        self.inner.permits.set(permit);
    }

    /// Takes back the word of a record whose signed event did not verify: what it says of the log
    /// counts as missing. What it lists stays listed, since an object that nobody owns would be
    /// foreign; each is looked at before anything is done about it, and deleted only with our mark.
    pub async fn distrust(&self, policy: &PolicyName) -> Option<Record> {
        let slot = self.inner.slots.find(policy)?;
        let mut slot = slot.lock().await;
        let record = slot.record.as_mut()?;
        (record.as_of, record.word) = (Revision::ZERO, Revision::ZERO);
        (record.removed, record.done) = (false, false);
        Some(record.clone())
    }

    /// Brings the cluster to that state of that policy.
    ///
    /// Idempotent: what is already so costs nothing, and what failed is tried again. Dropping the
    /// future halfway is like a crash: the record stays "not done" and the next call goes on. The
    /// answer comes when the objects are confirmed; that they are is written into the mirror a moment
    /// after ([`CLOSE_DELAY_MS`]).
    pub async fn bring(&self, target: Target) -> Outcome {
        let policy = target.policy.clone();
        let mut slot = self.slot(&policy).await;
        let outcome = self.bring_slot(target, &mut slot).await;
        let outcome = outcome.with_record(slot.record.as_ref());
        self.close_later(&policy, &mut slot);
        outcome
    }

    async fn bring_slot(&self, target: Target, slot: &mut Slot) -> Outcome {
        let Target {
            policy,
            as_of,
            word,
            generation,
            hash,
            feed,
            signed,
            content,
        } = target;
        let removed = content.is_none();
        let permit = self.inner.permits.get();
        // Looked at before anything is taken over: what was in force goes on.
        if let Err((reason, message)) = permit.bounds() {
            return stopped(&policy, reason, message.to_owned());
        }
        if let Some(message) = &slot.unreadable {
            let message = format!("the mirror cannot be read: {message}");
            return stopped(&policy, Reason::RecordUnreadable, message);
        }
        let objects = match &slot.record {
            None if removed => return Outcome::unchanged(),
            None => Vec::new(),
            Some(record) if permit.is_enforcing() && record.holds(removed, hash) => {
                self.inner.slots.select(&policy, content.as_ref());
                slot.content = content;
                slot.said = Some((State::Applied, Vec::new(), 0));
                return Outcome::unchanged();
            }
            Some(record) if record.is_newer_than(as_of) => {
                let message = format!("revision {} was reached before", record.as_of);
                return stopped(&policy, Reason::Older, message);
            }
            Some(record) => record.objects.clone(),
        };
        let before = slot.record.as_ref();
        let same = before.is_some_and(|it| it.removed == removed && (removed || it.hash == hash));
        let removal = match &content {
            Some(content) => content.removal,
            // A tombstone does not say it.
            None => before.map_or_else(Removal::default, |record| record.removal),
        };
        let record = Record {
            as_of,
            word,
            generation,
            hash,
            feed,
            removed,
            done: false,
            tried: same && before.is_some_and(|record| record.tried),
            removal,
            objects,
        };
        if !signed.is_empty() {
            slot.signed = signed;
        }
        self.inner.slots.select(&policy, content.as_ref());
        slot.content = content;
        // What failed or changed is in doubt and is read; the rest was confirmed.
        let reads = Reads::Unconfirmed;
        let (mut outcome, _) = settle(
            &self.inner,
            &permit,
            &policy,
            slot,
            record,
            Part::Whole,
            reads,
        )
        .await;
        outcome.recorded_at = outcome.recorded_at.or(Some(outcome.finished_at));
        outcome
    }

    /// Policies that are not confirmed, to be tried again: after a while, and at once when another
    /// policy gave up an object.
    pub async fn unsettled(&self) -> Vec<PolicyName> {
        let mut unsettled = Vec::new();
        for policy in self.inner.slots.policies() {
            let Some(slot) = self.inner.slots.find(&policy) else {
                continue;
            };
            if slot
                .lock()
                .await
                .record
                .as_ref()
                .is_some_and(|record| !record.done)
            {
                unsettled.push(policy);
            }
        }
        unsettled
    }

    /// What a policy was last brought to.
    pub async fn record(&self, policy: &PolicyName) -> Option<Record> {
        self.inner.slots.find(policy)?.lock().await.record.clone()
    }

    /// The same, for callers that must not wait for an attempt that is under way.
    pub(crate) fn record_now(&self, policy: &PolicyName) -> Latest {
        let Some(slot) = self.inner.slots.find(policy) else {
            return Latest::None;
        };
        match slot.try_lock() {
            Ok(slot) => slot.record.clone().map_or(Latest::None, Latest::Record),
            Err(_) => Latest::Busy,
        }
    }

    /// Whether anything is known of that policy here.
    pub(crate) fn knows(&self, policy: &PolicyName) -> bool {
        self.inner.slots.find(policy).is_some()
    }

    /// All policies that have a record.
    pub fn policies(&self) -> Vec<PolicyName> {
        self.inner.slots.policies()
    }

    /// Deletes the mirror of a policy whose removal is confirmed and needs not be remembered any
    /// more. Anything else stays as it is.
    pub async fn forget(&self, policy: &PolicyName) -> Result<(), cluster::Error> {
        let Some(slot) = self.inner.slots.find(policy) else {
            return Ok(());
        };
        let mut slot = slot.lock_owned().await;
        if !slot
            .record
            .as_ref()
            .is_some_and(|record| record.removed && record.done)
        {
            return Ok(());
        }
        if let Some(written) = slot.mirror.as_ref().filter(|_| self.may_write()) {
            let identity = Identity {
                uid: &written.uid,
                resource_version: &written.resource_version,
            };
            self.inner
                .api
                .delete(&policy_reference(policy), identity)
                .await?;
        }
        *slot = Slot::default();
        self.inner.slots.close(policy);
        self.inner.waiting.set(policy, BTreeSet::new());
        Ok(())
    }

    /// Whether anything may be written into the cluster, mirrors included.
    pub(crate) fn may_write(&self) -> bool {
        self.inner.permits.get().is_enforcing()
    }

    async fn slot(&self, policy: &PolicyName) -> OwnedMutexGuard<Slot> {
        loop {
            let slot = self.inner.slots.open(policy).lock_owned().await;
            // While waiting the policy may have been forgotten, and its slot with it.
            if self.inner.slots.has(policy, OwnedMutexGuard::mutex(&slot)) {
                return slot;
            }
        }
    }

    /// Has what was reached written into the mirror once no attempt followed for a while.
    fn close_later(&self, policy: &PolicyName, slot: &mut Slot) {
        let after = Instant::now() + Duration::from_millis(CLOSE_DELAY_MS);
        if slot.close_after.replace(after).is_some() {
            return;
        }
        let (engine, policy) = (self.clone(), policy.clone());
        let latest = Instant::now() + Duration::from_millis(CLOSE_DELAY_MAX_MS);
        tokio::spawn(async move {
            let mut due = after;
            loop {
                tokio::time::sleep_until(due).await;
                let Some(slot) = engine.inner.slots.find(&policy) else {
                    return;
                };
                let mut slot = slot.lock_owned().await;
                match slot.close_after {
                    Some(later) if later > due && due < latest => due = later.min(latest),
                    _ => {
                        slot.close_after = None;
                        return engine.close_record(&policy, slot).await;
                    }
                }
            }
        });
    }

    /// Writes into the mirrors what was reached and is not in them yet, each once. For an orderly end:
    /// what is not written is done again by the next process.
    pub async fn close_all(&self) {
        let closing = self.policies().into_iter().map(|policy| async move {
            let Some(slot) = self.inner.slots.find(&policy) else {
                return;
            };
            let mut slot = slot.lock_owned().await;
            if self.may_write()
                && let Err(error) = write_mirror(&self.inner.api, &policy, &mut slot).await
            {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%policy, error, "record not written before the end");
            }
        });
        futures::future::join_all(closing).await;
    }

    /// Writes what was reached into the mirror. A failure is tried again for a while, and after
    /// that whenever anything else happens to the policy; until then a restart does the work again.
    pub(crate) async fn close_record(&self, policy: &PolicyName, mut slot: OwnedMutexGuard<Slot>) {
        for delay_ms in CLOSE_RETRY_DELAYS_MS {
            if !self.may_write() {
                return;
            }
            match write_mirror(&self.inner.api, policy, &mut slot).await {
                Ok(()) => return,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(%policy, error, "record not written yet");
                }
            }
            drop(slot);
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            let Some(next) = self.inner.slots.find(policy) else {
                return;
            };
            slot = next.lock_owned().await;
        }
    }
}

/// Nothing was done about a policy, for one reason.
pub(crate) fn stopped(policy: &PolicyName, reason: Reason, message: String) -> Outcome {
    Outcome::stopped(ObjectFailure {
        reference: policy_reference(policy),
        reason,
        message,
    })
}

/// The references of some objects.
pub(crate) fn references<'a>(
    objects: impl IntoIterator<Item = &'a ObjectRef>,
) -> BTreeSet<ObjectRef> {
    objects.into_iter().cloned().collect()
}
