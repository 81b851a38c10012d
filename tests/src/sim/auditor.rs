//! Compares what clusters do with the history of the log, by rules of its own.
//!
//! A cluster's acts on the objects of one policy must follow that history: there must be log states
//! v1 <= v2 <= … in which the policy was just as it was acted upon (a removal: in which the object was
//! not wanted there). What is looked at are the objects of the API servers, not what anybody says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use writ_core::{
    edit::Kind,
    model::{ClusterIdentity, ObjectRef},
    plan::contains,
    revision::{Generation, Revision},
    scope::Scope,
};

use super::{
    documents::{self, FORGED_FROM, Made, Says},
    promises::Promise,
};

/// A policy in one cluster at one state of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    InForce(u64),
    /// It can't be acted on there: it is refused, or needs labels that the log does not have.
    Unknown,
}

type Place = (usize, &'static str);

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
    objects: BTreeMap<u64, BTreeMap<ObjectRef, Value>>,
    committed: BTreeMap<u64, Revision>,
    revisions: BTreeMap<Revision, u64>,
    generations: BTreeMap<(String, Generation), u64>,
    answered: BTreeSet<u64>,
    denied: BTreeSet<u64>,
    /// Edits that a restored log has lost.
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
            objects: BTreeMap::new(),
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
        self.objects.insert(id, made.objects.clone());
        let name = made.edit.name.to_string();
        if made.edit.kind == Kind::Policy {
            self.generations.insert((name.clone(), generation), id);
        }
        let key = (made.edit.kind, name);
        match &made.edit.change {
            writ_core::edit::Change::Put { scopes, .. } => {
                self.facts.insert(key, (made.clone(), scopes.clone()));
            }
            writ_core::edit::Change::Delete | writ_core::edit::Change::Record { .. } => {
                drop(self.facts.remove(&key))
            }
        }
        let mut verdicts = BTreeMap::new();
        for cluster in 0..self.clusters.len() {
            for policy in documents::POLICIES {
                if let Some(verdict) = self.judge(cluster, policy) {
                    verdicts.insert((cluster, policy), verdict);
                }
            }
        }
        self.since.insert(id, self.history.len());
        self.history.push(verdicts);
    }

    fn judge(&self, cluster: usize, policy: &str) -> Option<Verdict> {
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
            Says::Cluster(labels) => Some(labels),
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
        self.objects.get(&id)
    }

    /// A subscriber changed an object of a policy in its cluster.
    pub(super) fn acted(&mut self, cluster: usize, at: &ObjectRef, act: &Act<'_>, stands_in: bool) {
        let Some(policy) = documents::policy_of(at) else {
            return;
        };
        // The stand-in of a binding whose role changes, and the binding that it stands in for.
        if at.name.ends_with(":replacing") || stands_in {
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
        let holds = |verdict: Option<&Verdict>,
                     objects: &BTreeMap<u64, BTreeMap<ObjectRef, Value>>| {
            let has = |of: &u64| objects.get(of).is_some_and(|of| of.contains_key(at));
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
        let was = |state: usize| holds(self.history[state].get(&place), &self.objects);
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
        generation: Generation,
    ) {
        let id = self
            .generations
            .get(&(policy.to_owned(), generation))
            .copied();
        let Some(id) = id else { return };
        // What an edit takes away from a cluster is not looked up here, but at the end.
        let is_put = self
            .objects
            .get(&id)
            .is_some_and(|objects| !objects.is_empty());
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
            let objects = self.objects.get(&id).into_iter().flatten();
            let missing: Vec<&ObjectRef> = objects
                .filter(|object| !was_there(object))
                .map(|(at, _)| at)
                .collect();
            let there = missing.is_empty();
            let missing = format!("{missing:?}");
            self.check(Promise::Truthful, there, || {
                format!("{who} says that cluster {cluster} has applied {policy}@{generation} (edit {id}), without {missing}")
            });
        }
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
