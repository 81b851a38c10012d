//! No sequence of an editor's accepted edits reaches outside their limits.
//!
//! The judge here knows nothing of rules: it expands what is in force into single permissions, as a
//! cluster would, and looks at each.

use std::collections::BTreeMap;

use super::*;
use crate::{
    model::{Carried, GivenIn, RbacSubject, RoleRef},
    placement,
};

const SEQUENCES: u64 = 150;
const EDITS: usize = 60;

/// A small generator: the sequence of one seed is always the same.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    /// One of them; the first ones, which are within the limits, more often.
    fn of(&mut self, texts: &[&str]) -> String {
        let least = (0..4).map(|_| self.below(texts.len())).min();
        texts[least.unwrap_or(0)].to_owned()
    }

    fn some(&mut self, texts: &[&str]) -> Vec<String> {
        let count = 1 + self.below(2);
        let mut some: Vec<String> = (0..count).map(|_| self.of(texts)).collect();
        some.sort();
        some.dedup();
        some
    }
}

fn random_clusters(chance: &mut Chance) -> Value {
    let mut clusters = json!({});
    match chance.below(30) {
        0 => return json!({"all": true}),
        1 => return json!({"names": ["eu-prod-1"]}),
        2 => return json!({"matchLabels": {"a": "b"}}),
        _ => {}
    }
    if chance.below(16) > 0 {
        clusters["regions"] = json!(chance.some(&["eu", "eu", "us"]));
    }
    if chance.below(16) > 0 || clusters == json!({}) {
        clusters["stages"] = json!(chance.some(&["prod", "dev", "test"]));
    }
    if chance.below(5) == 0 {
        clusters["matchLabels"] = json!({"a": "b"});
    }
    if chance.below(5) == 0 {
        clusters["exclude"] = json!({"names": ["eu-prod-9"]});
    }
    clusters
}

fn random_rule(chance: &mut Chance) -> Value {
    json!({
        "apiGroups": chance.some(&["", "apps", "*", "batch"]),
        "resources": chance.some(&["pods", "deployments", "x/scale", "secrets", "pods/exec", "*"]),
        "verbs": chance.some(&["get", "list", "watch", "delete", "*", "escalate"]),
    })
}

fn random_objects(chance: &mut Chance) -> Value {
    let mut objects: BTreeMap<String, Value> = BTreeMap::new();
    for _ in 0..chance.below(3) {
        let name = chance.of(&["payments-r", "payments-s", "view", "cluster-admin"]);
        let namespace = chance.of(&["payments-api", "payments-b", "default"]);
        let kind = chance.of(&[
            "Role",
            "ClusterRole",
            "RoleBinding",
            "ClusterRoleBinding",
            "Namespace",
        ]);
        let mut object = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name},
        });
        match kind.as_str() {
            "Namespace" => {
                object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": namespace}})
            }
            "Role" | "ClusterRole" => object["rules"] = json!([random_rule(chance)]),
            _ => {
                object["roleRef"] = json!({"kind": "ClusterRole", "name": chance.of(&["view", "payments-r", "edit", "cluster-admin"])});
                object["subjects"] = json!([{"kind": "Group", "name": chance.of(&["payments-x", "payments", "other"])}]);
            }
        }
        if kind == "Role" || kind == "RoleBinding" {
            object["metadata"]["namespace"] = json!(namespace);
        }
        if kind == "ClusterRole" && chance.below(6) == 0 {
            object["metadata"]["labels"] =
                json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
        }
        objects.insert(format!("{kind}/{namespace}/{name}"), object);
    }
    // One name of one kind once: of cluster-wide kinds the namespace says nothing.
    let mut seen = std::collections::BTreeSet::new();
    objects.retain(|_, object| {
        let metadata = &object["metadata"];
        seen.insert((
            object["kind"].to_string(),
            metadata["namespace"].to_string(),
            metadata["name"].to_string(),
        ))
    });
    objects.into_values().collect()
}

fn random_grants(chance: &mut Chance) -> Value {
    let count = chance.below(3);
    let grant = |number: usize, chance: &mut Chance| {
        let mut grant = json!({"name": format!("g{number}"), "subjects": [match chance.below(5) {
            0 => json!({"user": chance.of(&["dev-1", "root"])}),
            1 => json!({"serviceAccount": chance.of(&["payments-ci/bot", "kube-system/x"])}),
            _ => json!({"group": chance.of(&["payments", "payments-x", "system:masters"])}),
        }]});
        match chance.below(4) {
            0 => grant["role"] = json!(chance.of(&["payments-r", "payments-s"])),
            _ => {
                grant["clusterRole"] =
                    json!(chance.of(&["view", "edit", "payments-r", "cluster-admin", "admin"]))
            }
        }
        match chance.below(25) {
            0 if grant["role"].is_null() => grant["clusterWide"] = json!(true),
            1 => grant["namespaceSelector"] = json!({"matchLabels": {"a": "b"}}),
            _ => {
                grant["namespaces"] = json!(chance.some(&["payments-api", "payments-b", "default"]))
            }
        }
        grant
    };
    (0..count).map(|number| grant(number, chance)).collect()
}

/// A policy, if what was thrown together is one.
fn random_policy(name: &str, chance: &mut Chance) -> Option<ClusterPolicy> {
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {
            "clusters": random_clusters(chance), "objects": random_objects(chance),
            "grants": random_grants(chance),
        },
    });
    match parse(&document).ok()?.document {
        Document::Policy(policy) => Some(policy),
        _ => None,
    }
}

/// Everything that is wrong with a policy of who edits payments, looked at piece by piece.
fn outside(policy: &ClusterPolicy) -> Option<String> {
    if !policy.name.as_str().starts_with("payments-") {
        return Some("its name".to_owned());
    }
    for scope in placement::policy_scopes(&policy.clusters) {
        let region = scope.region.as_ref().map(|of| of.as_str());
        let stage = scope.stage.as_ref().map(|of| of.as_str());
        if region != Some("eu") || !matches!(stage, Some("prod" | "dev")) {
            return Some(format!("scope {scope}"));
        }
    }
    let is_single = |group: &str, resource: &str, verb: &str| {
        matches!(group, "" | "apps")
            && (matches!(resource, "pods" | "deployments") || resource.ends_with("/scale"))
            && matches!(verb, "get" | "list" | "watch")
    };
    let mut own = Vec::new();
    for (of, carried) in policy.carried() {
        let place = match of.kind.as_str() {
            "Namespace" => Some(of.name.as_str()),
            _ => of.namespace.as_deref(),
        };
        if !place.unwrap_or(&of.name).starts_with("payments-") {
            return Some(of.to_string());
        }
        let Carried::Role { rules, feeds, .. } = carried else {
            continue;
        };
        if feeds.is_some() {
            return Some(format!("{of} feeds other roles"));
        }
        for rule in &rules {
            for group in &rule.api_groups {
                for resource in &rule.resources {
                    if let Some(verb) = rule
                        .verbs
                        .iter()
                        .find(|verb| !is_single(group, resource, verb))
                    {
                        return Some(format!("{verb} {resource}.{group} in {of}"));
                    }
                }
            }
        }
        own.push((of.namespace.clone(), of.name.clone()));
    }
    for given in policy.given() {
        let GivenIn::Namespace(namespace) = &given.place else {
            return Some(format!("{} is not in a namespace", given.what));
        };
        if !namespace.starts_with("payments-") {
            return Some(format!("{} in {namespace}", given.what));
        }
        let is_known = match &given.role {
            RoleRef::ClusterRole(name) => {
                matches!(name.as_str(), "view" | "edit") || own.contains(&(None, name.clone()))
            }
            RoleRef::Role(name) => own.contains(&(Some(namespace.clone()), name.clone())),
        };
        if !is_known {
            return Some(format!("{} gives {}", given.what, given.role));
        }
        let is_ours = |subject: &RbacSubject| match subject {
            RbacSubject::User(name) => name.starts_with("dev-"),
            RbacSubject::Group(name) => name.starts_with("payments"),
            RbacSubject::ServiceAccount { namespace, .. } => namespace == "payments-ci",
        };
        if let Some(subject) = given.subjects.iter().find(|of| !is_ours(of)) {
            return Some(format!("{} is for {subject}", given.what));
        }
    }
    None
}

#[test]
fn no_sequence_of_accepted_edits_reaches_outside_the_limits() {
    let seed: u64 = match std::env::var("WRIT_SEED") {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => 7,
    };
    println!("seed {seed}; WRIT_SEED replays another");
    let rules = [rule(payments())];
    let alice = alice();
    let (mut accepted, mut refused) = (0, 0);
    for sequence in 0..SEQUENCES {
        let mut chance = Chance(seed.wrapping_mul(1_000_003).wrapping_add(sequence));
        let names = [
            "payments-a",
            "payments-b",
            "payments-c",
            "payments-d",
            "other",
        ];
        // Some are somebody else's from the start, and have to stay as they are.
        let mut fleet: BTreeMap<&str, ClusterPolicy> = BTreeMap::new();
        for name in ["payments-a", "other"] {
            if let Some(policy) = random_policy(name, &mut chance) {
                fleet.insert(name, policy);
            }
        }
        let foreign: BTreeMap<&str, ClusterPolicy> = fleet
            .iter()
            .filter(|(_, policy)| outside(policy).is_some())
            .map(|(name, policy)| (*name, policy.clone()))
            .collect();
        for _ in 0..EDITS {
            let name = names[chance.below(names.len())];
            let after = match chance.below(6) {
                0 => None,
                _ => match random_policy(name, &mut chance) {
                    None => continue,
                    policy => policy,
                },
            };
            let before = fleet.get(name);
            let action = Action::Policy {
                before,
                after: after.as_ref(),
            };
            let is_let = decide(&rules, &alice, action).is_ok();
            let is_inside = before.is_none_or(|of| outside(of).is_none())
                && after.as_ref().is_none_or(|of| outside(of).is_none());
            assert_eq!(
                is_let,
                is_inside,
                "seed {seed}, sequence {sequence}: {:?} / {:?}: {before:?} to {after:?}",
                before.and_then(outside),
                after.as_ref().and_then(outside)
            );
            if !is_let {
                refused += 1;
                continue;
            }
            accepted += 1;
            match after {
                Some(policy) => drop(fleet.insert(name, policy)),
                None => drop(fleet.remove(name)),
            }
        }
        for (name, policy) in &foreign {
            assert_eq!(
                fleet.get(name),
                Some(policy),
                "seed {seed}, sequence {sequence}"
            );
        }
    }
    println!("{accepted} edits accepted, {refused} refused");
    assert!(accepted > 500 && refused > 500, "{accepted} / {refused}");
}
