//! What an edit does to the fleet: the clusters that it reaches, the subjects that lose access, and the
//! guards that count them. No I/O.
//!
//! An edit changes one policy for all clusters, or one registry entry for all policies; both are pairs of
//! before and after. What is lost is counted in clusters that are registered now.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    MayGrant,
    grant::covers,
    rule::GrantedRule,
    stage::{StageRules, limits},
};
use crate::{
    model::{
        Carried, CarriedRule, Cluster, ClusterIdentity, ClusterPolicy, Given, GivenIn, Mode, Phase,
        RbacSubject, RoleRef,
    },
    name::{ClusterName, Stage},
};

/// Something before an edit and after it.
pub type Pair<'a, T> = (Option<&'a T>, Option<&'a T>);

/// Most clusters that a refusal names.
const NAMED_MAX: usize = 3;

/// What an edit does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Impact {
    /// Clusters that it is for: those that it selects and those that it leaves.
    pub clusters: BTreeMap<Stage, BTreeSet<ClusterName>>,
    /// Subjects that have less in some cluster of a stage afterwards.
    pub losing: BTreeMap<Stage, BTreeSet<RbacSubject>>,
    /// Groups that are given something in a cluster before, and nothing by the same policies afterwards.
    bereft: BTreeMap<ClusterName, (Stage, BTreeSet<String>)>,
}

/// A number that has to be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// Which.
    pub number: u32,
    /// Why, each as a clause.
    pub reasons: Vec<String>,
}

/// A policy, with what is asked of it for every cluster worked out once.
struct Weighed<'a> {
    before: Option<&'a ClusterPolicy>,
    after: Option<&'a ClusterPolicy>,
    all: BTreeSet<RbacSubject>,
    losing: BTreeSet<RbacSubject>,
    left: BTreeSet<RbacSubject>,
}

impl Impact {
    /// Weighs an edit.
    pub fn of<'a>(
        policies: impl IntoIterator<Item = Pair<'a, ClusterPolicy>>,
        clusters: impl IntoIterator<Item = Pair<'a, Cluster>> + Clone,
    ) -> Impact {
        let mut impact = Impact::default();
        for (before, after) in policies {
            let subjects = |policy: Option<&ClusterPolicy>| {
                let given = policy.map(ClusterPolicy::given).unwrap_or_default();
                let subjects = given.into_iter().flat_map(|given| given.subjects);
                subjects.collect::<BTreeSet<RbacSubject>>()
            };
            let policy = Weighed {
                before,
                after,
                all: subjects(before),
                losing: before.map_or(BTreeSet::new(), |before| losing(before, after)),
                left: subjects(after),
            };
            for pair in clusters.clone() {
                impact.weigh(&policy, pair);
            }
        }
        impact
    }

    fn weigh(&mut self, policy: &Weighed<'_>, (was, is): Pair<'_, Cluster>) {
        // A cluster that leaves the registry keeps what it has.
        let Some(cluster) = is.filter(|is| is.mode == Mode::Enforce) else {
            return;
        };
        let matches = |policy: Option<&ClusterPolicy>, identity: Option<&ClusterIdentity>| {
            policy
                .zip(identity)
                .is_some_and(|(policy, identity)| policy.clusters.matches(identity))
        };
        // One that drains gives back everything, and is told of nothing else.
        let stays = |cluster: &&Cluster| cluster.phase != Phase::Draining;
        let was = was.filter(stays).map(Cluster::identity);
        let now = is.filter(stays).map(Cluster::identity);
        let had = matches(policy.before, was.as_ref());
        let has = matches(policy.after, now.as_ref());
        if !had && !has {
            return;
        }
        let stage = &cluster.stage;
        let reached = self.clusters.entry(stage.clone()).or_default();
        reached.insert(cluster.name.clone());
        let losing = match (had, has) {
            (true, true) => &policy.losing,
            (true, false) => &policy.all,
            (false, _) => return,
        };
        if losing.is_empty() {
            return;
        }
        let all = self.losing.entry(stage.clone()).or_default();
        all.extend(losing.iter().cloned());
        let keep = |subject: &RbacSubject| has && policy.left.contains(subject);
        let groups = policy.all.iter().filter(|subject| !keep(subject));
        let groups = groups.filter_map(|subject| match subject {
            RbacSubject::Group(name) => Some(name.clone()),
            _ => None,
        });
        let bereft = self.bereft.entry(cluster.name.clone());
        let (_, names) = bereft.or_insert_with(|| (stage.clone(), BTreeSet::new()));
        names.extend(groups);
    }

    /// How many clusters it reaches.
    pub fn cluster_count(&self) -> u32 {
        count(self.clusters.values().map(BTreeSet::len).sum())
    }

    /// How many subjects lose something.
    pub fn losing_count(&self) -> u32 {
        let all: BTreeSet<&RbacSubject> = self.losing.values().flatten().collect();
        count(all.len())
    }

    /// The number that has to be repeated, if it is above what a stage lets through.
    pub fn to_confirm<'a>(
        &self,
        rules: impl IntoIterator<Item = &'a StageRules> + Clone,
    ) -> Option<Confirm> {
        let mut confirm = Confirm {
            number: 0,
            reasons: Vec::new(),
        };
        let nobody = BTreeSet::new();
        for (stage, clusters) in &self.clusters {
            let limits = limits(rules.clone(), stage);
            let losing = self.losing.get(stage).unwrap_or(&nobody);
            let (clusters, losing) = (count(clusters.len()), count(losing.len()));
            if clusters > limits.clusters {
                confirm.number = confirm.number.max(self.cluster_count());
                let limit = limits.clusters;
                confirm.reasons.push(format!(
                    "it reaches {clusters} clusters of stage {stage} (more than {limit})"
                ));
            }
            if losing > limits.subjects {
                confirm.number = confirm.number.max(self.losing_count());
                let limit = limits.subjects;
                confirm.reasons.push(format!(
                    "{losing} subjects lose access in stage {stage} (more than {limit})"
                ));
            }
        }
        (!confirm.reasons.is_empty()).then_some(confirm)
    }

    /// Protected groups that would be left without any grant in a cluster, each as a clause. `others`
    /// are the policies that the edit leaves as they are.
    pub fn unprotected<'a, 'b>(
        &self,
        rules: impl IntoIterator<Item = &'a StageRules> + Clone,
        others: impl IntoIterator<Item = &'b ClusterPolicy>,
        clusters: impl IntoIterator<Item = &'b Cluster>,
    ) -> Vec<String> {
        let mut missing: BTreeMap<String, BTreeSet<&ClusterName>> = BTreeMap::new();
        for (cluster, (stage, bereft)) in &self.bereft {
            let protected = limits(rules.clone(), stage).protected;
            for group in bereft.intersection(&protected) {
                missing.entry(group.clone()).or_default().insert(cluster);
            }
        }
        if missing.is_empty() {
            return Vec::new();
        }
        let identities: BTreeMap<ClusterName, ClusterIdentity> = clusters
            .into_iter()
            .filter(|cluster| cluster.phase != Phase::Draining)
            .map(|cluster| (cluster.name.clone(), cluster.identity()))
            .collect();
        for other in others {
            let given = other.given();
            let groups = given.iter().flat_map(|given| &given.subjects);
            let groups: BTreeSet<&str> = groups
                .filter_map(|subject| match subject {
                    RbacSubject::Group(name) => Some(name.as_str()),
                    _ => None,
                })
                .collect();
            for (group, left) in &mut missing {
                if groups.contains(group.as_str()) {
                    left.retain(|name| {
                        let identity = identities.get(*name);
                        !identity.is_some_and(|identity| other.clusters.matches(identity))
                    });
                }
            }
        }
        let missing = missing.into_iter().filter(|(_, left)| !left.is_empty());
        let words = missing.map(|(group, left)| {
            let named: Vec<&str> = left.iter().take(NAMED_MAX).map(|n| n.as_str()).collect();
            let more = left.len() - named.len();
            let rest = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            format!(
                "group {group} would have no grant left in {}{rest}",
                named.join(", ")
            )
        });
        words.collect()
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The subjects that have less where the policy stays.
fn losing(before: &ClusterPolicy, after: Option<&ClusterPolicy>) -> BTreeSet<RbacSubject> {
    let given = after.map(ClusterPolicy::given).unwrap_or_default();
    let (had, has) = (
        carried_roles(before),
        after.map(carried_roles).unwrap_or_default(),
    );
    let mut losing = BTreeSet::new();
    for was in before.given() {
        let key = role_key(&was.role, &was.place);
        // A role that the policy does not carry, before as after, is somebody else's to change.
        let shrinks = had
            .get(&key)
            .is_some_and(|rules| has.get(&key).is_none_or(|left| !covers_all(left, rules)));
        let still = |subject: &RbacSubject| {
            !shrinks
                && given
                    .iter()
                    .any(|is| is_as_wide(is, &was) && is.subjects.contains(subject))
        };
        losing.extend(
            was.subjects
                .iter()
                .filter(|subject| !still(subject))
                .cloned(),
        );
    }
    losing
}

fn is_as_wide(is: &Given, was: &Given) -> bool {
    let is_same_role = is.role == was.role;
    let is_role_of_all = matches!(was.role, RoleRef::ClusterRole(_));
    is_same_role && (is.place == was.place || (is_role_of_all && is.place == GivenIn::Cluster))
}

type RoleKey = (Option<String>, String);

fn role_key(role: &RoleRef, place: &GivenIn) -> RoleKey {
    match (role, place) {
        (RoleRef::Role(name), GivenIn::Namespace(namespace)) => {
            (Some(namespace.clone()), name.clone())
        }
        (RoleRef::Role(name) | RoleRef::ClusterRole(name), _) => (None, name.clone()),
    }
}

fn carried_roles(policy: &ClusterPolicy) -> BTreeMap<RoleKey, Vec<CarriedRule>> {
    let roles = policy.carried().filter_map(|(of, carried)| match carried {
        Carried::Role { rules, .. } => Some(((of.namespace.clone(), of.name.clone()), rules)),
        _ => None,
    });
    roles.collect()
}

/// Whether rules hold all that others hold.
fn covers_all(rules: &[CarriedRule], others: &[CarriedRule]) -> bool {
    if rules == others {
        return true;
    }
    let set = |texts: &[String]| texts.iter().cloned().collect();
    let own = rules.iter().map(|rule| GrantedRule {
        api_groups: set(&rule.api_groups),
        resources: set(&rule.resources),
        verbs: set(&rule.verbs),
        urls: set(&rule.urls),
    });
    let may = MayGrant {
        rules: own.collect(),
        ..MayGrant::default()
    };
    covers(&may, others)
}
