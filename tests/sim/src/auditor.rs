//! Compares what clusters do with the history of the log, by rules of its own.
//!
//! A cluster's acts on the objects of one policy must follow that history: there must be log states
//! v1 <= v2 <= … in which the policy was just as it was acted upon (a removal: in which the object was
//! not wanted there). What is looked at are the objects of the API servers, not what anybody says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use writ_core::{
    edit::Kind,
    model::{ClusterIdentity, Object, ObjectRef},
    name::Name,
    plan::contains,
    recover::{Content, Item},
    revision::{Generation, Revision},
    scope::Scope,
};

use super::{
    documents::{self, FORGED_FROM, GRANT_PREFIX, Made, Says},
    promises::Promise,
};

/// How long a step may take: five calls, and the time for which a stand-in is held.
const STEP_TIME_MAX_MS: u64 = 6_000;

/// A policy in one cluster at one state of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    InForce(u64),
    /// It can't be acted on there: it is refused, or needs labels that the log does not have.
    Unknown,
}

type Place = (usize, &'static str);

/// What stands around an object that is acted upon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    /// A stand-in of the binding is there.
    pub(super) stands_in: bool,
    /// No grant selects its namespace, or that changed a short while ago.
    pub(super) unselected: bool,
}

/// Since when a cluster says that it only observes.
#[derive(Debug, Clone, Copy)]
struct Observing {
    /// The state of the log that says so.
    state: usize,
    boot: u64,
    at_ms: u64,
}

/// What a subscriber did to one object.
pub(super) enum Act<'a> {
    Wrote(&'a Value),
    /// Deleted it, or took our marks off.
    TookAway,
}

pub(super) struct Auditor {
    pub(super) clusters: Vec<ClusterIdentity>,
    facts: BTreeMap<(Kind, String), (Made, BTreeSet<Scope>)>,
    /// Verdicts by cluster and policy; a policy that is not there is gone.
    history: Vec<BTreeMap<Place, Verdict>>,
    /// The earliest state that a cluster's acts on a policy so far allow.
    floor: BTreeMap<Place, usize>,
    /// The edit of each policy at each state, whatever it is for.
    newest: Vec<BTreeMap<String, u64>>,
    /// The edits of a policy at the states that a cluster's last act on it allows.
    possible: BTreeMap<Place, BTreeSet<Option<u64>>>,
    /// Registry entries that each cluster can see, by the edits that they are of.
    entries: Vec<BTreeMap<(usize, String), u64>>,
    entries_floor: BTreeMap<(usize, String), usize>,
    /// Clusters that only observe, by their own entries.
    observers: Vec<BTreeSet<usize>>,
    observing: BTreeMap<usize, Observing>,
    edits: BTreeMap<u64, Made>,
    unknown: BTreeSet<(Kind, String)>,
    committed: BTreeMap<u64, Revision>,
    revisions: BTreeMap<Revision, u64>,
    generations: BTreeMap<(Kind, String, Generation), u64>,
    answered: BTreeSet<u64>,
    denied: BTreeSet<u64>,
    /// Edits that clusters showed when the log was recovered, and that it has not got back.
    pub(super) lost: BTreeSet<u64>,
    /// What each object was confirmed to be like, without what the server owns.
    was_there: BTreeMap<(usize, ObjectRef), Vec<Value>>,
    /// The state of the log that each edit made.
    since: BTreeMap<u64, usize>,
    pub(super) violations: Vec<(Promise, String)>,
    pub(super) checks: BTreeMap<Promise, u64>,
}

impl Auditor {
    pub(super) fn new(clusters: Vec<ClusterIdentity>) -> Auditor {
        Auditor {
            clusters,
            facts: BTreeMap::new(),
            history: vec![BTreeMap::new()],
            floor: BTreeMap::new(),
            newest: vec![BTreeMap::new()],
            possible: BTreeMap::new(),
            entries: vec![BTreeMap::new()],
            entries_floor: BTreeMap::new(),
            observers: vec![BTreeSet::new()],
            observing: BTreeMap::new(),
            edits: BTreeMap::new(),
            unknown: BTreeSet::new(),
            committed: BTreeMap::new(),
            revisions: BTreeMap::new(),
            generations: BTreeMap::new(),
            answered: BTreeSet::new(),
            denied: BTreeSet::new(),
            lost: BTreeSet::new(),
            was_there: BTreeMap::new(),
            since: BTreeMap::new(),
            violations: Vec::new(),
            checks: BTreeMap::new(),
        }
    }

    /// Counts a check, and what it found.
    pub(super) fn check(&mut self, promise: Promise, holds: bool, what: impl FnOnce() -> String) {
        *self.checks.entry(promise).or_default() += 1;
        if !holds {
            self.violations.push((promise, what()));
        }
    }

    /// One more edit is in the log.
    pub(super) fn commit(&mut self, made: &Made, revision: Revision, generation: Generation) {
        let id = made.id;
        let other = self.revisions.insert(revision, id);
        self.check(
            Promise::NoEditIsLost,
            other.is_none_or(|other| other == id),
            || format!("edits {other:?} and {id} have the one revision {revision}"),
        );
        let before = self.committed.insert(id, revision);
        self.check(Promise::NoEditIsLost, before.is_none(), || {
            format!("edit {id} is in the log twice, at {before:?} and {revision}")
        });
        let denied = self.denied.contains(&id);
        self.check(Promise::NoEditIsLost, !denied, || {
            format!("edit {id} was answered as not stored, and is in the log at {revision}")
        });
        self.edits.insert(id, made.clone());
        let name = made.edit.name.to_string();
        self.generations
            .insert((made.edit.kind, name.clone(), generation), id);
        let key = (made.edit.kind, name);
        self.unknown.remove(&key);
        match &made.edit.change {
            writ_core::edit::Change::Put { scopes, .. } => {
                self.facts.insert(key, (made.clone(), scopes.clone()));
            }
            writ_core::edit::Change::Delete | writ_core::edit::Change::Record { .. } => {
                drop(self.facts.remove(&key))
            }
        }
        self.since.insert(id, self.history.len());
        self.end_state();
    }

    /// One more state of the log.
    fn end_state(&mut self) {
        let mut verdicts = BTreeMap::new();
        for cluster in 0..self.clusters.len() {
            for policy in documents::POLICIES {
                if let Some(verdict) = self.judge(cluster, policy) {
                    verdicts.insert((cluster, policy), verdict);
                }
            }
        }
        self.history.push(verdicts);
        let policies = self
            .facts
            .iter()
            .filter(|((kind, _), _)| *kind == Kind::Policy);
        let newest = policies.map(|((_, name), (made, _))| (name.clone(), made.id));
        self.newest.push(newest.collect());
        let (mut entries, mut observers) = (BTreeMap::new(), BTreeSet::new());
        for ((kind, name), (made, scopes)) in &self.facts {
            for (at, identity) in self.clusters.iter().enumerate() {
                let covers = |scope: &Scope| scope.covers(&identity.region, &identity.stage);
                if *kind == Kind::Cluster && scopes.iter().any(covers) {
                    entries.insert((at, name.clone()), made.id);
                }
            }
        }
        for at in 0..self.clusters.len() {
            if self.observes(at) {
                observers.insert(at);
            }
        }
        self.entries.push(entries);
        self.observers.push(observers);
    }

    /// What a recovered log says of one name, as one of its edits.
    pub(super) fn recovered(&mut self, item: &Item, revision: Revision) {
        let (kind, name) = (item.key.0, item.key.1.to_string());
        let key = (kind, name.clone());
        let id = self
            .generations
            .get(&(kind, name, item.generation))
            .copied();
        if let Some(id) = id {
            self.revisions.insert(revision, id);
        }
        self.unknown.remove(&key);
        match (&item.content, id.and_then(|id| self.edits.get(&id))) {
            (Content::Put { scopes, .. }, Some(made)) => {
                self.facts.insert(key, (made.clone(), scopes.clone()));
            }
            (Content::Unknown, _) | (Content::Put { .. }, None) => {
                self.facts.remove(&key);
                self.unknown.insert(key);
            }
            (Content::Gone | Content::Record, _) => drop(self.facts.remove(&key)),
        }
    }

    /// All that a recovered log says was told.
    pub(super) fn end_recovery(&mut self) {
        self.end_state();
    }

    /// A cluster that was heard held the edit of that revision: the recovered log has it, or what came
    /// after it.
    pub(super) fn check_recovered(&mut self, key: &(Kind, Name), revision: Revision) {
        let Some(held) = self.revisions.get(&revision).copied() else {
            return;
        };
        let key = (key.0, key.1.to_string());
        let order = |id: &u64| self.committed.get(id).copied();
        let has = self.facts.get(&key).map(|(made, _)| made.id);
        // What is not in force may have been deleted later, or be known to nobody.
        let kept = has.is_none_or(|has| order(&has) >= order(&held));
        if !kept {
            self.lost.insert(held);
        }
        self.check(Promise::NoEditIsLost, kept, || {
            format!(
                "edit {held} of {key:?} was held by a cluster, and the recovered log has {has:?}"
            )
        });
    }

    fn observes(&self, cluster: usize) -> bool {
        let key = (Kind::Cluster, self.clusters[cluster].name.to_string());
        let says = self.facts.get(&key).map(|(made, _)| &made.says);
        matches!(says, Some(Says::Cluster { observes: true, .. }))
    }

    /// Whether the last state of the log has the cluster observe.
    pub(super) fn is_observer(&self, cluster: usize) -> bool {
        self.observers
            .last()
            .is_some_and(|last| last.contains(&cluster))
    }

    /// A cluster says in a pulse that it only observes, by its own entry of that revision, or does not.
    pub(super) fn said_mode(
        &mut self,
        cluster: usize,
        observes_by: Option<Revision>,
        boot: u64,
        at_ms: u64,
    ) {
        let id = observes_by.and_then(|revision| self.revisions.get(&revision));
        let Some(state) = id.and_then(|id| self.since.get(id)).copied() else {
            return;
        };
        let known = self.observing.get(&cluster);
        if known.is_none_or(|known| known.state < state) {
            let observing = Observing { state, boot, at_ms };
            self.observing.insert(cluster, observing);
        }
    }

    /// A subscriber wrote: not after it said that it only observes, unless the log said otherwise since. A
    /// step that was under way then is ended.
    pub(super) fn wrote_as(&mut self, cluster: usize, boot: u64, at: &ObjectRef, now_ms: u64) {
        let Some(said) = self.observing.get(&cluster).copied() else {
            return;
        };
        let mut later = self.observers[said.state..].iter();
        let was_told = later.any(|state| !state.contains(&cluster));
        let ends = boot == said.boot && now_ms < said.at_ms + STEP_TIME_MAX_MS;
        self.check(Promise::NeverBackwards, was_told || ends, || {
            format!("cluster {cluster} had said that it only observes, and wrote {at}")
        });
    }

    /// A cluster wrote the mirror of a registry entry, or deleted it.
    pub(super) fn mirrored(&mut self, cluster: usize, name: &str, revision: Option<Revision>) {
        let id = revision.and_then(|revision| self.revisions.get(&revision).copied());
        let known = revision.is_none() || id.is_some();
        self.check(Promise::DurableBeforeVisible, known, || {
            format!("cluster {cluster} mirrors {name} at {revision:?}, which was never committed")
        });
        let place = (cluster, name.to_owned());
        let floor = self.entries_floor.get(&place).copied().unwrap_or(0);
        let was = |state: &usize| self.entries[*state].get(&place).copied() == id;
        let found = (floor..self.entries.len()).find(was);
        if let Some(state) = found {
            self.entries_floor.insert(place, state);
        }
        self.check(Promise::NeverBackwards, found.is_some() || !known, || {
            format!("cluster {cluster} went back to {revision:?} of registry entry {name}")
        });
    }

    fn judge(&self, cluster: usize, policy: &str) -> Option<Verdict> {
        if self.unknown.contains(&(Kind::Policy, policy.to_owned())) {
            return Some(Verdict::Unknown);
        }
        let (made, scopes) = self.facts.get(&(Kind::Policy, policy.to_owned()))?;
        let identity = &self.clusters[cluster];
        let covers = |scope: &Scope| scope.covers(&identity.region, &identity.stage);
        if !scopes.iter().any(covers) {
            return None;
        }
        let selector = match &made.says {
            Says::Policy(selector) => selector,
            _ => return Some(Verdict::Unknown),
        };
        let labels = match self.own_labels(cluster) {
            Some(labels) => labels.clone(),
            None if selector.needs_labels() => return Some(Verdict::Unknown),
            None => BTreeMap::new(),
        };
        let identity = ClusterIdentity {
            labels,
            ..identity.clone()
        };
        selector
            .matches(&identity)
            .then_some(Verdict::InForce(made.id))
    }

    fn own_labels(&self, cluster: usize) -> Option<&BTreeMap<String, String>> {
        let key = (Kind::Cluster, self.clusters[cluster].name.to_string());
        match &self.facts.get(&key)?.0.says {
            Says::Cluster { labels, .. } => Some(labels),
            _ => None,
        }
    }

    /// Whether the last state of the log has the cluster registered.
    pub(super) fn is_registered(&self, cluster: usize) -> bool {
        self.own_labels(cluster).is_some()
    }

    /// Whether the last state of the log has a policy that no subscriber can act on here.
    pub(super) fn is_unsupported(&self, cluster: usize, policy: &str) -> bool {
        let fact = self.facts.get(&(Kind::Policy, policy.to_owned()));
        self.judge(cluster, policy).is_some()
            && fact.is_some_and(|(made, _)| matches!(made.says, Says::Unsupported))
    }

    /// What the last state of the log has of a policy in a cluster.
    pub(super) fn last(&self, cluster: usize, policy: &'static str) -> Option<Verdict> {
        self.history.last()?.get(&(cluster, policy)).copied()
    }

    /// What an edit holds.
    pub(super) fn objects(&self, id: u64) -> Option<&BTreeMap<ObjectRef, Value>> {
        self.edits.get(&id).map(|made| &made.objects)
    }

    /// The bindings that the grants of an edit mean in a namespace with such labels.
    pub(super) fn bindings(
        &self,
        id: u64,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Vec<Object> {
        let made = self.edits.get(&id);
        made.map(|made| made.bindings(namespace, labels))
            .unwrap_or_default()
    }

    /// A subscriber changed an object of a policy in its cluster.
    pub(super) fn acted(&mut self, cluster: usize, at: &ObjectRef, act: &Act<'_>, around: Around) {
        let Some(policy) = documents::policy_of(at) else {
            return;
        };
        // The stand-in of a binding whose role changes, and the binding that it stands in for.
        if at.name.ends_with(":replacing") || around.stands_in {
            return;
        }
        let is_granted = at.name.starts_with(GRANT_PREFIX);
        if is_granted && around.unselected && matches!(act, Act::TookAway) {
            return;
        }
        let id = match act {
            Act::Wrote(content) => documents::edit_of(content),
            Act::TookAway => None,
        };
        if let Some(id) = id {
            self.check(Promise::Authentic, id < FORGED_FROM, || {
                format!("cluster {cluster} applied the forged edit {id} to {at}")
            });
            let known = self.committed.contains_key(&id) || id >= FORGED_FROM;
            self.check(Promise::DurableBeforeVisible, known, || {
                format!("cluster {cluster} applied edit {id} to {at}, which was never committed")
            });
            if !known || id >= FORGED_FROM {
                return;
            }
        }
        let holds = |verdict: Option<&Verdict>, edits: &BTreeMap<u64, Made>| {
            let holds = |made: &Made| match is_granted {
                true => !made.grants.is_empty(),
                false => made.objects.contains_key(at),
            };
            let has = |of: &u64| edits.get(of).is_some_and(holds);
            match (act, verdict, id) {
                (Act::Wrote(_), Some(Verdict::InForce(of)), Some(id)) => *of == id && has(of),
                (Act::Wrote(_), Some(Verdict::InForce(of)), None) => has(of),
                (Act::Wrote(_), _, _) => false,
                (Act::TookAway, None, _) => true,
                (Act::TookAway, Some(Verdict::InForce(of)), _) => !has(of),
                (Act::TookAway, Some(Verdict::Unknown), _) => false,
            }
        };
        let place = (cluster, policy);
        let floor = self.floor.get(&place).copied().unwrap_or(0);
        let was = |state: usize| holds(self.history[state].get(&place), &self.edits);
        let found = (floor..self.history.len()).find(|state| was(*state));
        let ever = found.is_some() || (0..floor).any(was);
        let takes = matches!(act, Act::TookAway);
        let last = self
            .history
            .last()
            .and_then(|last| last.get(&place))
            .copied();
        match found {
            Some(state) => {
                // A recovered log says it again: that is new to the log, and older than what was acted upon.
                let is_back = id.is_some_and(|id| {
                    let is_old = self.since.get(&id).is_some_and(|since| *since <= floor);
                    let possible = self.possible.get(&place);
                    is_old && possible.is_some_and(|possible| !possible.contains(&Some(id)))
                });
                self.check(Promise::NeverBackwards, !is_back, || {
                    format!(
                        "edit {id:?} of {at} came back to cluster {cluster} with a recovered log"
                    )
                });
                let allowed = (state..self.history.len())
                    .filter(|state| holds(self.history[*state].get(&place), &self.edits));
                let newest = allowed.map(|state| self.newest[state].get(policy).copied());
                let newest = newest.collect();
                self.possible.insert(place, newest);
                self.floor.insert(place, state);
                for promise in [
                    Promise::NeverBackwards,
                    Promise::InScope,
                    Promise::FailStatic,
                ] {
                    self.check(promise, true, String::new);
                }
            }
            None if takes => self.check(Promise::FailStatic, false, || {
                format!("cluster {cluster} removed {at} while it was in force ({last:?} now)")
            }),
            None if ever => self.check(Promise::NeverBackwards, false, || {
                format!("cluster {cluster} went back to edit {id:?} of {at} ({last:?} now)")
            }),
            None => self.check(Promise::InScope, false, || {
                format!("cluster {cluster} applied edit {id:?} to {at}, never in force there")
            }),
        }
    }

    /// The API server confirmed that an object is like that.
    pub(super) fn is_there(&mut self, cluster: usize, at: &ObjectRef, content: &Value) {
        let mut content = content.clone();
        if let Some(metadata) = content["metadata"].as_object_mut() {
            metadata.retain(|key, _| {
                !["uid", "resourceVersion", "managedFields"].contains(&key.as_str())
            });
        }
        let seen = self.was_there.entry((cluster, at.clone())).or_default();
        if !seen.contains(&content) {
            seen.push(content);
        }
    }

    /// Somebody says that a cluster has applied a generation.
    pub(super) fn said_applied(
        &mut self,
        who: &str,
        cluster: usize,
        policy: &str,
        revision: Revision,
    ) {
        let Some(id) = self.revisions.get(&revision).copied() else {
            return;
        };
        // What an edit takes away from a cluster is not looked up here, but at the end.
        let is_put = self.objects(id).is_some_and(|objects| !objects.is_empty());
        // Where it stopped to be in force since, nothing of it has to be there.
        let from = self.since.get(&id).copied().unwrap_or(0);
        let in_force = |state: &BTreeMap<Place, Verdict>| {
            let mut of = state.iter().filter(|((at, _), _)| *at == cluster);
            of.any(|(_, verdict)| *verdict == Verdict::InForce(id))
        };
        let selected = self.history.iter().skip(from).all(in_force);
        if is_put && selected {
            let was_there = |(at, wanted): &(&ObjectRef, &Value)| {
                let seen = self.was_there.get(&(cluster, (*at).clone()));
                seen.is_some_and(|seen| seen.iter().any(|content| contains(content, wanted)))
            };
            let objects = self.objects(id).into_iter().flatten();
            let missing: Vec<&ObjectRef> = objects
                .filter(|object| !was_there(object))
                .map(|(at, _)| at)
                .collect();
            let there = missing.is_empty();
            let missing = format!("{missing:?}");
            self.check(Promise::Truthful, there, || {
                format!("{who} says that cluster {cluster} has applied {policy} at {revision} (edit {id}), without {missing}")
            });
        }
    }

    /// Whether a policy was nowhere in force in a cluster since the edit of that revision, and is not now:
    /// who says that this is applied there says that nothing is left.
    pub(super) fn is_gone(&self, cluster: usize, policy: &'static str, revision: Revision) -> bool {
        let id = self.revisions.get(&revision);
        let Some(from) = id.and_then(|id| self.since.get(id)).copied() else {
            return false;
        };
        let states = self.history.get(from..).unwrap_or_default();
        !states.is_empty()
            && states
                .iter()
                .all(|state| !state.contains_key(&(cluster, policy)))
    }

    /// A publisher answered an edit.
    pub(super) fn answered(&mut self, id: u64, committed: bool) {
        if committed {
            self.answered.insert(id);
            let is_in = self.committed.contains_key(&id);
            self.check(Promise::NoEditIsLost, is_in, || {
                format!("edit {id} was answered as committed, and is not in the log")
            });
        } else {
            self.denied.insert(id);
            let is_in = self.committed.contains_key(&id);
            self.check(Promise::NoEditIsLost, !is_in, || {
                format!("edit {id} was answered as not stored, and is in the log")
            });
        }
    }

    /// Edits whose answer was "committed".
    pub(super) fn answered_edits(&self) -> impl Iterator<Item = u64> {
        self.answered.iter().copied()
    }

    /// How many edits the log took.
    pub(super) fn edits(&self) -> u64 {
        self.committed.len() as u64
    }
}
