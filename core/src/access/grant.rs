//! Whether a policy stays within what an editor may hold and grant. No I/O.
//!
//! What can't be seen from here counts as too much: the rules of a Role that the policy does not carry,
//! the namespaces that labels select, roles that are filled from other roles.

use std::collections::BTreeSet;

use super::rule::{ANY, GrantedRule, MayGrant, Prefixes};
use crate::model::{Carried, CarriedRule, ClusterPolicy, Given, GivenIn, ObjectRef, RoleRef};

/// Most combinations of verb, group and resource of one rule that are looked at; a person's role has some
/// dozens.
const COMBINATIONS_MAX: usize = 20_000;

/// Most reasons that are listed of one rule.
pub(super) const REASONS_MAX: usize = 5;

/// What of a policy is beyond what may be granted, each as a clause; at most [`REASONS_MAX`].
pub(super) fn beyond(
    policy: &ClusterPolicy,
    may: &MayGrant,
    names: Option<&Prefixes>,
) -> Vec<String> {
    let judge = Judge { may, names };
    let mut own = BTreeSet::new();
    let mut reasons = Vec::new();
    for (of, carried) in policy.carried() {
        if matches!(carried, Carried::Role { .. }) {
            own.insert((of.namespace.as_deref(), of.name.as_str()));
        }
        reasons.extend(judge.carried(of, &carried));
        if reasons.len() >= REASONS_MAX {
            break;
        }
    }
    for given in policy.given() {
        if reasons.len() >= REASONS_MAX {
            break;
        }
        reasons.extend(judge.given(&given, &own));
    }
    reasons.truncate(REASONS_MAX);
    reasons
}

/// Whether rules are all within what may be granted.
pub(super) fn covers(may: &MayGrant, rules: &[CarriedRule]) -> bool {
    let judge = Judge { may, names: None };
    rules.iter().all(|rule| judge.first_beyond(rule).is_none())
}

struct Judge<'a> {
    may: &'a MayGrant,
    names: Option<&'a Prefixes>,
}

impl Judge<'_> {
    /// Whether everything may be held: then what can't be seen may be, too.
    fn may_all(&self) -> bool {
        let any = |set: &BTreeSet<String>| set.contains(ANY);
        self.may
            .rules
            .iter()
            .any(|rule| any(&rule.api_groups) && any(&rule.resources) && any(&rule.verbs))
    }

    fn carried(&self, of: &ObjectRef, carried: &Carried) -> Vec<String> {
        let mut reasons = Vec::new();
        let namespace = match carried {
            Carried::Namespace { .. } => Some(of.name.as_str()),
            _ => of.namespace.as_deref(),
        };
        match namespace {
            Some(namespace) if !self.may.namespaces.fit(namespace) => {
                let within = &self.may.namespaces;
                reasons.push(format!("{of} is outside mayGrant.namespaces ({within})"));
            }
            None => reasons.extend(self.own_name(of)),
            Some(_) => {}
        }
        match carried {
            Carried::Namespace {
                is_privileged: true,
            } if !self.may_all() => {
                reasons.push(format!("{of} lets pods have all privileges"));
            }
            Carried::Role {
                rules,
                is_filled,
                feeds,
            } => {
                if *is_filled && !self.may_all() {
                    reasons.push(format!(
                        "{of} is filled from other roles, which nobody can bound"
                    ));
                }
                if let Some(label) = feeds.as_ref().filter(|_| !self.may_give_all()) {
                    reasons.push(format!(
                        "{of} has the label {label}, by which other roles may be filled from it"
                    ));
                }
                reasons.extend(self.rules(of, rules));
            }
            Carried::Further if !self.may_all() => {
                reasons.push(format!(
                    "{of} is of a kind of which only who may grant everything may hold objects"
                ));
            }
            _ => {}
        }
        reasons
    }

    /// What is cluster-wide has no namespace to bound it, so its name has to.
    fn own_name(&self, of: &ObjectRef) -> Option<String> {
        let names = self.names.filter(|names| !names.fit(&of.name))?;
        Some(format!(
            "{of} is cluster-wide, and its name is outside names ({names})"
        ))
    }

    /// Whether anybody anywhere may be given something.
    fn may_give_all(&self) -> bool {
        let may = self.may;
        may.cluster_wide
            && may.users.is_any()
            && may.groups.is_any()
            && may.service_accounts.is_any()
    }

    fn rules(&self, of: &ObjectRef, rules: &[CarriedRule]) -> Vec<String> {
        let beyond = rules
            .iter()
            .filter_map(|rule| self.first_beyond(rule))
            .map(|what| format!("{of}: {what} is not in mayGrant.rules"));
        beyond.take(REASONS_MAX).collect()
    }

    fn first_beyond(&self, rule: &CarriedRule) -> Option<String> {
        for url in &rule.urls {
            let beyond = rule
                .verbs
                .iter()
                .find(|verb| !self.may.rules.iter().any(|own| covers_url(own, verb, url)));
            if let Some(verb) = beyond {
                return Some(format!("{verb} {url}"));
            }
        }
        let count = rule
            .verbs
            .len()
            .saturating_mul(rule.api_groups.len())
            .saturating_mul(rule.resources.len());
        if count > COMBINATIONS_MAX && !self.may_all() {
            return Some(format!("a rule of {count} combinations (split it)"));
        }
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let own: Vec<&GrantedRule> = self
                    .may
                    .rules
                    .iter()
                    .filter(|own| covers_resource(own, group, resource))
                    .collect();
                let is_covered = |verb: &String| {
                    own.iter()
                        .any(|own| own.verbs.contains(ANY) || own.verbs.contains(verb))
                };
                if let Some(verb) = rule.verbs.iter().find(|verb| !is_covered(verb)) {
                    let of = if group.is_empty() {
                        String::new()
                    } else {
                        format!(".{group}")
                    };
                    return Some(format!("{verb} {resource}{of}"));
                }
            }
        }
        None
    }

    fn given(&self, given: &Given, own: &BTreeSet<(Option<&str>, &str)>) -> Vec<String> {
        let (what, may) = (&given.what, self.may);
        let mut reasons = Vec::new();
        let is_own = match (&given.role, &given.place) {
            (RoleRef::ClusterRole(name), _) => own.contains(&(None, name.as_str())),
            (RoleRef::Role(name), GivenIn::Namespace(namespace)) => {
                own.contains(&(Some(namespace.as_str()), name.as_str()))
            }
            (RoleRef::Role(_), _) => false,
        };
        match &given.role {
            RoleRef::ClusterRole(name) if !is_own && !may.cluster_roles.contains(name) => {
                let listed: Vec<&str> = may.cluster_roles.iter().map(String::as_str).collect();
                let listed = if listed.is_empty() { "none".to_owned() } else { listed.join(", ") };
                reasons.push(format!(
                    "{what} gives ClusterRole {name}, which is not in mayGrant.clusterRoles ({listed}), and the policy does not carry it"
                ));
            }
            RoleRef::Role(name) if !is_own && !self.may_all() => reasons.push(format!(
                "{what} gives Role {name}, which the policy does not carry in that namespace, so that nobody can see what it holds"
            )),
            _ => {}
        }
        match &given.place {
            GivenIn::Cluster if !may.cluster_wide => {
                reasons.push(format!(
                    "{what} holds in the whole cluster, and mayGrant.clusterWide is not set"
                ));
            }
            GivenIn::Cluster => {
                let names = self.names.zip(given.binding.as_ref());
                if let Some((names, name)) = names.filter(|(names, name)| !names.fit(name)) {
                    reasons.push(format!(
                        "{what} ({name}) is cluster-wide, and its name is outside names ({names})"
                    ));
                }
            }
            GivenIn::Namespace(namespace) if !may.namespaces.fit(namespace) => {
                let within = &may.namespaces;
                reasons.push(format!("{what} is outside mayGrant.namespaces ({within})"));
            }
            // Which namespaces have the labels, each cluster knows alone.
            GivenIn::Selected(_) if !may.namespaces.is_any() => {
                reasons.push(format!("{what} selects namespaces by label, which may be any: mayGrant.namespaces is not \"*\""));
            }
            GivenIn::Namespace(_) | GivenIn::Selected(_) => {}
        }
        let foreign = given.subjects.iter().find(|subject| !may.is_for(subject));
        if let Some(subject) = foreign {
            reasons.push(format!(
                "{what} is for {subject}, which mayGrant.subjects does not name"
            ));
        }
        reasons
    }
}

/// As RBAC matches: a subresource is a resource of its own, and `*/scale` is that of every resource.
fn covers_resource(own: &GrantedRule, group: &str, resource: &str) -> bool {
    let group = own.api_groups.contains(ANY) || own.api_groups.contains(group);
    let of_every = resource
        .split_once('/')
        .map(|(_, sub)| format!("{ANY}/{sub}"));
    group
        && (own.resources.contains(ANY)
            || own.resources.contains(resource)
            || of_every.is_some_and(|of_every| own.resources.contains(&of_every)))
}

fn covers_url(own: &GrantedRule, verb: &str, url: &str) -> bool {
    let verb = own.verbs.contains(ANY) || own.verbs.contains(verb);
    verb && own.urls.iter().any(|own| match own.strip_suffix(ANY) {
        Some(prefix) => url.starts_with(prefix),
        None => own == url,
    })
}
