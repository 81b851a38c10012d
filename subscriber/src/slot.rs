//! What the engine holds in memory about each policy, and which policy has which object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::time::Instant;
use writ_core::hash::Hash;
use writ_core::model::{
    Adopt, CompiledPolicy, DecodeError, Enforcement, Object, ObjectRef, Removal, SelectorGrant,
};
use writ_core::name::PolicyName;
use writ_core::plan::{Reason, Record};

use crate::mirror::{Stage, Turned};
use crate::outcome::{ObjectFailure, State};
use crate::resource::Resource;

/// After so many equal failures in a row an API server's error counts as lasting: permanent errors
/// dressed as 5xx are tried again only as often as other refusals.
pub const EQUAL_FAILURES_MAX: u32 = 5;

/// One policy in memory. Whoever changes the cluster for it holds its lock.
#[derive(Debug)]
pub(crate) struct Slot {
    /// What the cluster was brought to, or is being brought to.
    pub(crate) record: Option<Record>,
    /// The verified content that the record speaks of; `None` until it was verified again after a
    /// start, and for a policy that is gone.
    pub(crate) content: Option<Content>,
    /// The signed envelope that the record speaks of.
    pub(crate) signed: Vec<u8>,
    /// Why the mirror that was found cannot be believed.
    pub(crate) unreadable: Option<String>,
    /// The mirror as it was last written: hash of what was sent, uid and resource version.
    pub(crate) mirror: Option<WrittenMirror>,
    /// A write of the mirror was not answered: it may say what was sent then.
    pub(crate) is_in_doubt: bool,
    /// What the mirror shows people: the result of the last attempt, and its message.
    pub(crate) shown: (Stage, Option<String>),
    /// What the last attempt said that people may hear of: state, failing objects, and how many.
    pub(crate) said: Option<Said>,
    /// Since when that has been "applied", or not.
    pub(crate) turned: Option<Turned>,
    /// Failures of the last attempt by the API server itself, and how often each came in a row.
    pub(crate) repeated: BTreeMap<ObjectRef, (String, u32)>,
    /// When the mirror is to be written, by somebody who waits for that.
    pub(crate) close_after: Option<Instant>,
}

/// The result of an attempt: state, the objects that it names, and how many there are.
pub(crate) type Said = (State, Vec<ObjectFailure>, usize);

/// The mirror as the API server last confirmed it.
#[derive(Debug, Clone)]
pub(crate) struct WrittenMirror {
    pub(crate) sent: Option<Hash>,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) stored: Record,
    /// What it shows people; nothing that was not written by this process.
    pub(crate) shown: Option<(Stage, Option<String>)>,
}

/// A policy's content as the planner needs it, verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The compiled policy as it was signed, for the mirror: `{apiVersion, kind, metadata, spec}` as
    /// JSON text, which is parsed when the mirror is written.
    pub compiled: Arc<str>,
    /// Its objects, grants among them as bindings.
    pub objects: Arc<[Object]>,
    /// Grants that mean bindings in whichever namespaces have such labels.
    pub grants: Arc<[SelectorGrant]>,
    /// What happens to drift.
    pub enforcement: Enforcement,
    /// What happens to objects that leave the policy.
    pub removal: Removal,
    /// Whether foreign objects may be taken over.
    pub adopt: Adopt,
}

impl Content {
    /// The content of a compiled policy. The caller has verified the event that carried it.
    pub fn new(compiled: Arc<str>, policy: &CompiledPolicy) -> Content {
        Content {
            compiled,
            objects: Arc::clone(&policy.objects),
            grants: Arc::clone(&policy.grants),
            enforcement: policy.enforcement,
            removal: policy.removal,
            adopt: policy.adopt,
        }
    }

    /// Decodes the compiled policy that an event carried. The caller has verified the event.
    pub fn decode(compiled: &[u8]) -> Result<Content, DecodeError> {
        let policy = CompiledPolicy::decode(compiled)?;
        Ok(Content::new(
            String::from_utf8_lossy(compiled).into(),
            &policy,
        ))
    }

    /// The compiled policy, parsed. What was decoded once parses again.
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.compiled).unwrap_or_default()
    }
}

impl Default for Slot {
    fn default() -> Slot {
        Slot {
            record: None,
            content: None,
            signed: Vec::new(),
            unreadable: None,
            mirror: None,
            is_in_doubt: false,
            shown: (Stage::Reached(State::Applied), None),
            said: None,
            turned: None,
            repeated: BTreeMap::new(),
            close_after: None,
        }
    }
}

impl Slot {
    /// Whether it is known what the cluster should hold.
    pub(crate) fn is_known(&self) -> bool {
        self.content.is_some() || self.record.as_ref().is_some_and(|record| record.removed)
    }

    /// What the cluster should hold by a record that rests on this content; `None` for a policy that
    /// is gone.
    pub(crate) fn wanted(&self, record: &Record) -> Option<&Content> {
        self.content.as_ref().filter(|_| !record.removed)
    }

    /// Counts equal failures, and says which of them have become lasting.
    pub(crate) fn judge_repeated(&mut self, failures: &mut [ObjectFailure]) {
        let mut repeated = BTreeMap::new();
        for failure in failures
            .iter_mut()
            .filter(|it| it.reason == Reason::Unavailable)
        {
            let times = match self.repeated.get(&failure.reference) {
                Some((message, times)) if *message == failure.message => times.saturating_add(1),
                _ => 1,
            };
            repeated.insert(failure.reference.clone(), (failure.message.clone(), times));
            if times >= EQUAL_FAILURES_MAX && failure.message != NO_ANSWER {
                failure.reason = Reason::Invalid;
            }
        }
        self.repeated = repeated;
    }
}

const NO_ANSWER: &str = "no answer";

/// All policies of this cluster, and whose each object is.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Mutex<BTreeMap<PolicyName, Arc<tokio::sync::Mutex<Slot>>>>,
    claims: Mutex<BTreeMap<ObjectRef, PolicyName>>,
    selecting: Mutex<BTreeMap<PolicyName, Arc<[SelectorGrant]>>>,
}

impl Slots {
    /// The slot of a policy, made if it is new.
    pub(crate) fn open(&self, policy: &PolicyName) -> Arc<tokio::sync::Mutex<Slot>> {
        Arc::clone(lock(&self.slots).entry(policy.clone()).or_default())
    }

    /// The slot of a policy, if there is one.
    pub(crate) fn find(&self, policy: &PolicyName) -> Option<Arc<tokio::sync::Mutex<Slot>>> {
        lock(&self.slots).get(policy).cloned()
    }

    /// Whether that is still the slot of a policy.
    pub(crate) fn has(&self, policy: &PolicyName, slot: &Arc<tokio::sync::Mutex<Slot>>) -> bool {
        lock(&self.slots)
            .get(policy)
            .is_some_and(|now| Arc::ptr_eq(now, slot))
    }

    /// Forgets a policy.
    pub(crate) fn close(&self, policy: &PolicyName) {
        lock(&self.slots).remove(policy);
        lock(&self.selecting).remove(policy);
    }

    /// Notes which grants of a policy depend on the labels of namespaces.
    pub(crate) fn select(&self, policy: &PolicyName, content: Option<&Content>) {
        let mut selecting = lock(&self.selecting);
        match content.filter(|content| !content.grants.is_empty()) {
            Some(content) => drop(selecting.insert(policy.clone(), content.grants.clone())),
            None => drop(selecting.remove(policy)),
        }
    }

    /// Policies with a grant of which that is true.
    pub(crate) fn selecting(&self, test: impl Fn(&SelectorGrant) -> bool) -> Vec<PolicyName> {
        let selecting = lock(&self.selecting);
        let found = selecting
            .iter()
            .filter(|(_, grants)| grants.iter().any(&test));
        found.map(|(policy, _)| policy.clone()).collect()
    }

    /// All policies that have a slot.
    pub(crate) fn policies(&self) -> Vec<PolicyName> {
        lock(&self.slots).keys().cloned().collect()
    }

    /// Takes objects for a policy; returns those that another one has.
    pub(crate) fn claim<'a>(
        &self,
        policy: &PolicyName,
        objects: impl IntoIterator<Item = &'a ObjectRef>,
    ) -> BTreeMap<ObjectRef, PolicyName> {
        let mut claims = lock(&self.claims);
        let mut taken = BTreeMap::new();
        for reference in objects {
            let owner = claims
                .entry(reference.clone())
                .or_insert_with(|| policy.clone());
            if owner != policy {
                taken.insert(reference.clone(), owner.clone());
            }
        }
        taken
    }

    /// Gives up all objects of a policy but these.
    pub(crate) fn keep_claims(&self, policy: &PolicyName, kept: &BTreeSet<ObjectRef>) {
        lock(&self.claims).retain(|reference, owner| owner != policy || kept.contains(reference));
    }

    /// Whose object that is.
    pub(crate) fn owner(&self, reference: &ObjectRef) -> Option<PolicyName> {
        lock(&self.claims).get(reference).cloned()
    }

    /// Objects of a kind that belong to some policy.
    pub(crate) fn claimed(&self, resource: Resource) -> Vec<ObjectRef> {
        // Other groups have kinds of the same name.
        let is_of = |at: &&ObjectRef| {
            (at.api_version.as_str(), at.kind.as_str()) == (resource.api_version, resource.kind)
        };
        lock(&self.claims).keys().filter(is_of).cloned().collect()
    }
}

/// A panic while one of these maps was locked leaves it whole: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
