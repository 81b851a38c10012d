//! Tests of the model as its callers see it: documents in, documents or violations out.

mod accepted;
mod compiled;
mod examples;
mod limited;
mod placed;
mod refused;
mod refused_bodies;
mod refused_grants;
mod refused_kinds;
mod refused_objects;
mod refused_selectors;
mod stripped;

use serde_json::{Value, json};

use super::{Cluster, ClusterPolicy, Document, Violation, parse};

fn cluster_document() -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": "eu-prod-1", "labels": {"provider": "aws", "team": "core"}},
        "spec": {
            "region": "eu", "stage": "prod",
            "endpoint": "https://eu-prod-1.example.com:6443", "caBundle": "LS0tLS0=",
            "visibility": "fleet", "mode": "enforce",
            "keys": {
                "bus": format!("U{}", "A".repeat(55)),
                "ack": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
            },
        },
    })
}

fn policy_document() -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
        "metadata": {"name": "team-payments", "labels": {"team": "payments"}},
        "spec": {
            "clusters": {
                "regions": ["us", "eu"], "stages": ["prod"],
                "matchLabels": {"provider": "aws"},
                "matchExpressions": [{"key": "team", "operator": "Exists"}],
                "exclude": {"names": ["us-prod-7"]},
            },
            "enforcement": "correct", "removal": "prune", "adopt": "never",
            "deletionProtection": false, "overrides": [], "reason": "first version",
            "objects": [
                role("Role", Some("payments"), "reader"),
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}},
                {
                    "apiVersion": "v1", "kind": "ServiceAccount",
                    "metadata": {"name": "bot", "namespace": "payments"},
                    "automountServiceAccountToken": false,
                },
                binding("RoleBinding", Some("payments"), "readers"),
            ],
            "grants": [
                {
                    "name": "owners",
                    "subjects": [{"user": "alice@example.com"}, {"group": "oidc:payments-devs"}],
                    "clusterRole": "edit", "namespaces": ["payments", "ledger"],
                },
                {
                    "name": "bot", "subjects": [{"serviceAccount": "payments/bot"}],
                    "role": "reader", "namespaces": ["payments"], "clusterWide": false,
                },
                {
                    "name": "auditors", "subjects": [{"group": "oidc:auditors"}],
                    "clusterRole": "view", "clusterWide": true,
                },
            ],
        },
    })
}

fn metadata(namespace: Option<&str>, name: &str) -> Value {
    match namespace {
        Some(namespace) => json!({"name": name, "namespace": namespace}),
        None => json!({"name": name}),
    }
}

fn role(kind: &str, namespace: Option<&str>, name: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": metadata(namespace, name),
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    })
}

fn binding(kind: &str, namespace: Option<&str>, name: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": metadata(namespace, name),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [
            {"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"},
            {"kind": "ServiceAccount", "name": "bot", "namespace": "payments"},
        ],
    })
}

/// A policy of the whole fleet with one object.
fn policy_with(object: Value) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": "one"},
        "spec": {"clusters": {"all": true}, "objects": [object]},
    })
}

/// A policy of these clusters.
fn policy_for(clusters: Value) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": "one"},
        "spec": {"clusters": clusters},
    })
}

/// Puts a value at a JSON pointer, making the last step if it is a new key of a map.
fn set(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("no {parent}"))
    {
        Value::Object(map) => {
            map.insert(key.replace("~1", "/"), value);
        }
        Value::Array(items) => match key {
            "-" => items.push(value),
            index => items[index.parse::<usize>().unwrap()] = value,
        },
        other => panic!("{parent} is {other}"),
    }
    document
}

fn parse_policy(document: &Value) -> ClusterPolicy {
    match parse(document)
        .unwrap_or_else(|violations| panic!("{violations:?}"))
        .document
    {
        Document::Policy(policy) => policy,
        Document::Cluster(cluster) => panic!("{} is a cluster", cluster.name),
        Document::Record(record) => panic!("{} is a record", record.name()),
    }
}

fn parse_cluster(document: &Value) -> Cluster {
    match parse(document)
        .unwrap_or_else(|violations| panic!("{violations:?}"))
        .document
    {
        Document::Cluster(cluster) => cluster,
        Document::Policy(policy) => panic!("{} is a policy", policy.name),
        Document::Record(record) => panic!("{} is a record", record.name()),
    }
}

fn violations(document: &Value) -> Vec<Violation> {
    parse(document).expect_err("the document is refused")
}

/// Each row is refused with exactly one violation, of that field and with those words in it.
fn assert_refused(rows: Vec<(Value, &str, &str)>) {
    for (document, field, message) in rows {
        let found = violations(&document);
        assert_eq!(found.len(), 1, "wanted {field}: {message}, found {found:?}");
        assert_eq!(found[0].field, field, "{found:?}");
        assert!(
            found[0].message.contains(message),
            "wanted {message:?}, found {found:?}"
        );
    }
}

const OBJECT: &str = "spec.objects[0]";

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn account() -> Value {
    let metadata = json!({"name": "bot", "namespace": "ci"});
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
}

/// As [`assert_refused`], with the object in place of the document and its field in place of the path.
fn assert_objects_refused(rows: Vec<(Value, &str, &str)>) {
    for (object, field, message) in rows {
        let path = if field.is_empty() {
            OBJECT.to_owned()
        } else {
            format!("{OBJECT}.{field}")
        };
        assert_refused(vec![(policy_with(object), path.as_str(), message)]);
    }
}
