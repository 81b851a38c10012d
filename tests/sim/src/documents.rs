//! Edits as a user makes them: documents that the real model parses, places and compiles.
//!
//! Every policy's roles carry the number of their edit as a resource name, so that whoever looks at a
//! cluster's objects knows which edit each of them is of.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};
use writ_core::{
    edit::Kind,
    edit::{Change, Edit},
    envelope::SigningKey,
    model::{
        self, ClusterSelector, CompiledPolicy, Document, Mode, Object, ObjectRef, SelectorGrant,
    },
    name::{Name, PolicyName},
    placement,
    scope::Scope,
};

use super::chance::Chance;

/// Clusters with their places.
pub(super) const CLUSTERS: [(&str, (&str, &str)); 3] = [
    ("k1", ("eu", "prod")),
    ("k2", ("us", "prod")),
    ("k3", ("eu", "test")),
];
/// Names of policies. None begins another.
pub(super) const POLICIES: [&str; 3] = ["pa", "qb", "rc"];
const SCOPES: [&str; 6] = [
    "eu.prod", "eu.all", "us.prod", "us.all", "all.prod", "all.all",
];
/// What the names of bindings begin with that are made from grants.
pub(super) const GRANT_PREFIX: &str = "writ:";
/// Namespaces that people made in every cluster, which grants may select.
pub(super) const TEAMS: [(&str, &str); 2] = [("team-a", "gold"), ("team-b", "silver")];
/// Numbers from here on are an attacker's.
pub(super) const FORGED_FROM: u64 = 1_000_000;
const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// An edit and what the checks know about it.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) id: u64,
    pub(super) edit: Edit,
    pub(super) says: Says,
    /// What a cluster holds of it, without marks.
    pub(super) objects: BTreeMap<ObjectRef, Value>,
    /// Grants of which each cluster holds a binding in each namespace that they select.
    pub(super) grants: Arc<[SelectorGrant]>,
}

impl Made {
    /// The bindings that its grants mean in a namespace with such labels.
    pub(super) fn bindings(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Vec<Object> {
        let Ok(policy) = PolicyName::parse(self.edit.name.as_str()) else {
            return Vec::new();
        };
        let grants = self.grants.iter().filter(|grant| grant.matches(labels));
        grants
            .map(|grant| grant.binding(&policy, namespace))
            .collect()
    }
}

/// What an edit says.
#[derive(Debug, Clone)]
pub(super) enum Says {
    Deleted,
    Cluster {
        labels: BTreeMap<String, String>,
        observes: bool,
    },
    Policy(Box<ClusterSelector>),
    /// It needs what no subscriber has.
    Unsupported,
}

/// The seed of a cluster's ack key.
pub(super) fn ack_key(cluster: usize) -> SigningKey {
    SigningKey::from_seed(&[100 + cluster as u8; 32])
}

/// Any edit that a fleet may see.
pub(super) fn random(chance: &mut Chance, id: u64) -> Made {
    if chance.permille(200) {
        let at = chance.below(CLUSTERS.len());
        if chance.permille(60) {
            return delete(Kind::Cluster, CLUSTERS[at].0, id);
        }
        let tier = chance.pick(&["gold", "silver"]);
        let visibility = chance.pick(&["fleet", "stage", "scope"]);
        let mode = match chance.permille(150) {
            true => Mode::Observe,
            false => Mode::Enforce,
        };
        return cluster(at, tier, visibility, mode, id);
    }
    let name = chance.pick(&POLICIES);
    if chance.permille(150) {
        return delete(Kind::Policy, name, id);
    }
    let shape = chance.below(16);
    let selector = selector(chance);
    let mut made = policy(name, &selector, shape, id);
    if let Change::Put {
        scopes, requires, ..
    } = &mut made.edit.change
    {
        if chance.permille(400) {
            // Anywhere, two scopes of one cluster included: more than placement gives.
            let count = chance.pick(&[1, 1, 2]);
            let any = (0..count).map(|_| chance.pick(&SCOPES).parse::<Scope>());
            *scopes = any.map(|scope| scope.expect("a scope")).collect();
        }
        if chance.permille(40) {
            requires.push("telepathy".to_owned());
            made.says = Says::Unsupported;
        }
    }
    made
}

fn selector(chance: &mut Chance) -> Value {
    let region = chance.pick(&["eu", "us"]);
    let tier = chance.pick(&["gold", "silver"]);
    let name = chance.pick(&CLUSTERS).0;
    chance.pick(&[
        json!({"all": true}),
        json!({"stages": ["prod"]}),
        json!({"regions": [region]}),
        json!({"regions": [region], "stages": ["prod"]}),
        json!({"names": [name]}),
        json!({"all": true, "exclude": {"names": [name]}}),
        json!({"matchLabels": {"tier": tier}}),
        json!({"regions": [region], "matchLabels": {"tier": tier}}),
    ])
}

/// Registers or changes a cluster.
pub(super) fn cluster(at: usize, tier: &str, visibility: &str, mode: Mode, id: u64) -> Made {
    let (name, (region, stage)) = CLUSTERS[at];
    let key = ack_key(at).public().to_base64();
    let bus = format!("U{}", "A".repeat(55));
    put(
        &json!({
            "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster",
            "metadata": {"name": name, "labels": {"tier": tier}},
            "spec": {
                "region": region, "stage": stage, "visibility": visibility, "mode": mode.as_str(),
                "keys": {"bus": bus, "ack": key},
            },
        }),
        id,
    )
}

/// A policy that holds more or less, as the bits of `shape` say.
pub(super) fn policy(name: &str, clusters: &Value, shape: usize, id: u64) -> Made {
    let rules = json!([{
        "apiGroups": [""], "resources": ["configmaps"],
        "resourceNames": [format!("edit-{id}")], "verbs": ["get"],
    }]);
    let role = |kind: &str, metadata: Value| json!({"apiVersion": RBAC, "kind": kind, "metadata": metadata, "rules": rules});
    let mut objects = vec![role("ClusterRole", json!({"name": format!("{name}-base")}))];
    if shape & 1 != 0 {
        objects.push(role("ClusterRole", json!({"name": format!("{name}-more")})));
    }
    if shape & 2 != 0 {
        let bound = if shape & 1 != 0 { "more" } else { "base" };
        objects.push(json!({
            "apiVersion": RBAC, "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("{name}-bind")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("{name}-{bound}")},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": format!("group-{}", id % 3)}],
        }));
    }
    if shape & 4 != 0 {
        let namespace = format!("{name}-space");
        objects.push(
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        );
        objects.push(role(
            "Role",
            json!({"name": format!("{name}-role"), "namespace": namespace}),
        ));
    }
    let mut document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"clusters": clusters, "objects": objects},
    });
    if shape & 8 != 0 {
        document["spec"]["grants"] = json!([{
            "name": "team", "clusterRole": format!("{name}-base"),
            "subjects": [{"group": format!("group-{}", id % 3)}],
            "namespaceSelector": {"matchLabels": {"tier": "gold"}},
        }]);
    }
    put(&document, id)
}

pub(super) fn delete(kind: Kind, name: &str, id: u64) -> Made {
    Made {
        id,
        edit: edit(kind, name, Change::Delete, id),
        says: Says::Deleted,
        objects: BTreeMap::new(),
        grants: Arc::default(),
    }
}

fn put(document: &Value, id: u64) -> Made {
    let parsed = model::parse(document)
        .unwrap_or_else(|violations| panic!("a valid document: {violations:?}"))
        .document;
    let (compiled, kind, name, scopes, listens, says, objects) = match &parsed {
        Document::Cluster(cluster) => (
            cluster.compile(),
            Kind::Cluster,
            cluster.name.to_string(),
            placement::cluster_scopes(cluster),
            Some((cluster.region.clone(), cluster.stage.clone())),
            Says::Cluster {
                labels: cluster.labels.clone(),
                observes: cluster.mode == Mode::Observe,
            },
            BTreeMap::new(),
        ),
        Document::Policy(policy) => (
            policy.compile(),
            Kind::Policy,
            policy.name.to_string(),
            placement::policy_scopes(&policy.clusters),
            None,
            Says::Policy(Box::new(policy.clusters.clone())),
            policy.objects.iter().map(by_reference).collect(),
        ),
        Document::Record(_) => panic!("no cluster hears of it"),
    };
    let object = serde_json::from_slice(compiled.bytes()).expect("compiled JSON");
    let grants = match &parsed {
        Document::Policy(_) => {
            CompiledPolicy::decode(compiled.bytes())
                .expect("a compiled policy")
                .grants
        }
        Document::Cluster(_) | Document::Record(_) => Arc::default(),
    };
    let change = Change::Put {
        manifest: document.to_string(),
        object,
        requires: Vec::new(),
        scopes,
        listens,
    };
    Made {
        id,
        edit: edit(kind, &name, change, id),
        says,
        objects,
        grants,
    }
}

fn by_reference(object: &Object) -> (ObjectRef, Value) {
    (object.reference.clone(), object.content.clone())
}

fn edit(kind: Kind, name: &str, change: Change, id: u64) -> Edit {
    Edit {
        kind,
        name: Name::parse(name).expect("a name"),
        change,
        request_id: format!("request-{id}"),
        author: "unauthenticated:sim".to_owned(),
        reason: String::new(),
        inlet: "grpc".to_owned(),
        committed_ms: id,
        targets: Vec::new(),
        revoked: Vec::new(),
    }
}

/// The edit that a role of a cluster is of.
pub(super) fn edit_of(content: &Value) -> Option<u64> {
    let name = content.pointer("/rules/0/resourceNames/0")?.as_str()?;
    name.strip_prefix("edit-")?.parse().ok()
}

/// The policy that has objects of that name.
pub(super) fn policy_of(at: &ObjectRef) -> Option<&'static str> {
    let name = at.name.strip_prefix(GRANT_PREFIX).unwrap_or(&at.name);
    let of = |policy: &&str| name.split(['-', ':']).next() == Some(*policy);
    // Mirrors carry the bare name of their policy.
    let is_object = name.contains(['-', ':']) && at.api_version != "writ.dev/v1alpha1";
    POLICIES
        .iter()
        .copied()
        .find(|policy| is_object && of(policy))
}

/// The names of a fleet, sorted.
pub(super) fn names() -> BTreeSet<&'static str> {
    let clusters = CLUSTERS.iter().map(|(name, _)| *name);
    clusters.chain(POLICIES).collect()
}
