//! Compares what clusters do with the history of the log, by rules of its own.
//!
//! A cluster's acts on one name must follow that history: there must be log states v1 <= v2 <= … in
//! which the name was just as it was acted upon (a removal: in which it was not in force there). So
//! nothing goes backwards, is removed while in force, or is applied where it was never meant to be.

use std::collections::{BTreeMap, BTreeSet};

use super::{super::Key, documents};
use crate::{
    edit::{Change, Edit},
    event::Body,
    hash::Hash,
    model::{ClusterIdentity, ClusterSelector, Document},
    name::Name,
    recover::{Content, Plan},
    revision::Generation,
    scope::{Kind, Scope},
};

/// A name in one cluster at one state of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Gone,
    InForce(Hash),
    /// It can't be acted on there: it is refused, or needs labels that the log does not have.
    Unknown,
    /// A recovered log does not say what became of it: what is there stays.
    Lost,
}

/// What the log says about a name.
struct Fact {
    hash: Hash,
    scopes: BTreeSet<Scope>,
    says: Says,
}

enum Says {
    Cluster(BTreeMap<String, String>),
    Policy(Box<ClusterSelector>),
    Refused,
    Lost,
}

pub(super) struct Auditor {
    clusters: Vec<ClusterIdentity>,
    facts: BTreeMap<Key, Fact>,
    generations: BTreeMap<Key, Generation>,
    /// Verdicts by cluster and name; a name that is not there is gone.
    history: Vec<BTreeMap<(usize, Key), Verdict>>,
    /// The content of each name at each state, whatever it is for.
    contents: Vec<BTreeMap<Key, Hash>>,
    /// The state at which each content was new.
    since: BTreeMap<Hash, usize>,
    /// The earliest state that a cluster's acts on a name so far allow.
    floor: BTreeMap<(usize, Key), usize>,
    /// The contents of a name at the states that a cluster's last act on it allows.
    possible: BTreeMap<(usize, Key), BTreeSet<Option<Hash>>>,
    actual: BTreeMap<(usize, Key), Hash>,
}

impl Auditor {
    pub(super) fn new(clusters: Vec<ClusterIdentity>) -> Auditor {
        Auditor {
            clusters,
            facts: BTreeMap::new(),
            generations: BTreeMap::new(),
            history: vec![BTreeMap::new()],
            contents: vec![BTreeMap::new()],
            since: BTreeMap::new(),
            floor: BTreeMap::new(),
            possible: BTreeMap::new(),
            actual: BTreeMap::new(),
        }
    }

    /// One more edit is in the log.
    pub(super) fn commit(&mut self, edit: &Edit) {
        let kind = edit.kind.feed_kind().expect("what clusters hear of");
        let key = (kind, edit.name.clone());
        let counter = self.generations.entry(key.clone()).or_default();
        *counter = counter.next();
        let generation = *counter;
        match (&edit.change, documents::parsed(edit)) {
            (
                Change::Put {
                    object,
                    scopes,
                    requires,
                    ..
                },
                Some(document),
            ) => {
                let body = Body::new(kind, edit.name.clone(), generation, object.clone());
                let says = match document {
                    _ if !requires.is_empty() => Says::Refused,
                    Document::Cluster(cluster) => Says::Cluster(cluster.labels),
                    Document::Policy(policy) => Says::Policy(Box::new(policy.clusters)),
                    Document::Record(_) => unreachable!(),
                };
                let (hash, scopes) = (Hash::of(&body.encode()), scopes.clone());
                self.facts.insert(key, Fact { hash, scopes, says });
            }
            _ => {
                self.facts.remove(&key);
            }
        }
        self.close();
    }

    /// The log was recovered.
    pub(super) fn recovered(&mut self, plan: &Plan) {
        self.facts.clear();
        self.generations.clear();
        for item in &plan.items {
            let kind = item.key.0.feed_kind().expect("what clusters hear of");
            let key = (kind, item.key.1.clone());
            self.generations.insert(key.clone(), item.generation);
            let fact = match &item.content {
                Content::Gone | Content::Record => continue,
                Content::Unknown => Fact {
                    hash: Hash([0; 32]),
                    scopes: BTreeSet::from([Scope::all()]),
                    says: Says::Lost,
                },
                Content::Put {
                    body,
                    requires,
                    scopes,
                    document,
                    ..
                } => Fact {
                    hash: Hash::of(body),
                    scopes: scopes.clone(),
                    says: match document.as_deref() {
                        _ if !requires.is_empty() => Says::Refused,
                        Some(Document::Cluster(cluster)) => Says::Cluster(cluster.labels.clone()),
                        Some(Document::Policy(policy)) => {
                            Says::Policy(Box::new(policy.clusters.clone()))
                        }
                        Some(Document::Record(_)) | None => panic!("{} is not read", item.key.1),
                    },
                },
            };
            self.facts.insert(key, fact);
        }
        self.close();
    }

    /// One more state of the log.
    fn close(&mut self) {
        let mut verdicts = BTreeMap::new();
        for cluster in 0..self.clusters.len() {
            for (key, fact) in &self.facts {
                verdicts.insert((cluster, key.clone()), self.judge(cluster, fact));
            }
        }
        for fact in self.facts.values() {
            self.since.entry(fact.hash).or_insert(self.history.len());
        }
        let content = |(key, fact): (&Key, &Fact)| (key.clone(), fact.hash);
        self.contents.push(self.facts.iter().map(content).collect());
        self.history.push(verdicts);
    }

    fn judge(&self, cluster: usize, fact: &Fact) -> Verdict {
        let identity = &self.clusters[cluster];
        let covers = |scope: &Scope| scope.covers(&identity.region, &identity.stage);
        if !fact.scopes.iter().any(covers) {
            return Verdict::Gone;
        }
        let selector = match &fact.says {
            Says::Refused => return Verdict::Unknown,
            Says::Lost => return Verdict::Lost,
            Says::Cluster(_) => return Verdict::InForce(fact.hash),
            Says::Policy(selector) => selector,
        };
        let labels = match self.own_labels(cluster) {
            Some(labels) => labels.clone(),
            None if selector.needs_labels() => return Verdict::Unknown,
            None => BTreeMap::new(),
        };
        match selector.matches(&ClusterIdentity {
            labels,
            ..identity.clone()
        }) {
            true => Verdict::InForce(fact.hash),
            false => Verdict::Gone,
        }
    }

    fn own_labels(&self, cluster: usize) -> Option<&BTreeMap<String, String>> {
        let name = Name::from(&self.clusters[cluster].name);
        match &self.facts.get(&(Kind::Cluster, name))?.says {
            Says::Cluster(labels) => Some(labels),
            _ => None,
        }
    }

    /// Whether the last state of the log has the cluster registered.
    pub(super) fn is_registered(&self, cluster: usize) -> bool {
        self.own_labels(cluster).is_some()
    }

    /// A cluster wrote the content of that hash, or removed the name.
    pub(super) fn acted(
        &mut self,
        cluster: usize,
        key: &Key,
        hash: Option<Hash>,
    ) -> Result<(), String> {
        let place = (cluster, key.clone());
        let wanted = hash.map_or(Verdict::Gone, Verdict::InForce);
        let was = |at: &usize| self.verdict_at(*at, &place) == wanted;
        let floor = self.floor.get(&place).copied().unwrap_or(0);
        let Some(at) = (floor..self.history.len()).find(was) else {
            let ever = (0..floor).any(|at| was(&at));
            let what = match (wanted, ever) {
                (Verdict::Gone, _) => "removed while in force",
                (_, true) => "went backwards",
                (_, false) => "applied what was never in force there",
            };
            return Err(format!("{} {} {what}", key.0, key.1));
        };
        // What a recovered log says again is new to the log, and older than what was acted upon here.
        let is_new = |hash: &Hash| self.since.get(hash).is_none_or(|since| *since > floor);
        let possible = self.possible.get(&place);
        if let (Some(hash), Some(possible)) = (hash, possible)
            && !possible.contains(&Some(hash))
            && !is_new(&hash)
        {
            return Err(format!("{} {} came back", key.0, key.1));
        }
        let allowed = (at..self.history.len()).filter(was);
        let content = |at: usize| self.contents[at].get(key).copied();
        let possible = allowed.map(content).collect();
        self.possible.insert(place.clone(), possible);
        self.floor.insert(place.clone(), at);
        match hash {
            Some(hash) => self.actual.insert(place, hash),
            None => self.actual.remove(&place),
        };
        Ok(())
    }

    fn verdict_at(&self, state: usize, place: &(usize, Key)) -> Verdict {
        self.history[state]
            .get(place)
            .copied()
            .unwrap_or(Verdict::Gone)
    }

    /// What a cluster holds of a name, as last acted upon.
    pub(super) fn actual(&self, cluster: usize, key: &Key) -> Option<Hash> {
        self.actual.get(&(cluster, key.clone())).copied()
    }

    /// What the last state of the log has in force in a cluster, and what it can't act on there.
    pub(super) fn last(&self, cluster: usize) -> BTreeMap<Key, Verdict> {
        let last = &self.history[self.history.len() - 1];
        let of_cluster = last.iter().filter(|((at, _), _)| *at == cluster);
        of_cluster
            .map(|((_, key), verdict)| (key.clone(), *verdict))
            .collect()
    }

    /// How a cluster differs from the last state of the log. A cluster that is not registered keeps
    /// its policies.
    /// Nor does it let go of what a recovered log says nothing of, as long as it says so.
    pub(super) fn difference(&self, cluster: usize, kept: &BTreeSet<Key>) -> Option<String> {
        let registered = self.is_registered(cluster);
        let held = self
            .actual
            .keys()
            .filter(|(at, _)| *at == cluster)
            .map(|(_, key)| key);
        let last = self.last(cluster);
        for key in last
            .keys()
            .chain(held)
            .filter(|key| registered || key.0 == Kind::Cluster)
        {
            let (wanted, found) = (last.get(key), self.actual(cluster, key));
            let equal = match wanted {
                Some(Verdict::Unknown | Verdict::Lost) => true,
                Some(Verdict::InForce(hash)) => found == Some(*hash),
                Some(Verdict::Gone) | None => found.is_none(),
            };
            if !equal && !kept.contains(key) {
                return Some(format!(
                    "{} {}: {found:?} instead of {wanted:?}",
                    key.0, key.1
                ));
            }
        }
        None
    }
}
