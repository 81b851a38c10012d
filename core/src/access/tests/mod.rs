mod bounds;
mod granting;
mod impact;
mod random;

use serde_json::{Value, json};

use super::*;
use crate::model::{Cluster, ClusterPolicy, Document, Record, parse};

fn parsed(document: &Value) -> Document {
    parse(document)
        .unwrap_or_else(|problems| panic!("{problems:?}"))
        .document
}

fn rule(spec: Value) -> AccessRule {
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "AccessRule",
        "metadata": {"name": "r"}, "spec": spec,
    });
    match parsed(&document) {
        Document::Record(Record::Rule(rule)) => rule,
        other => panic!("{other:?}"),
    }
}

fn stage(spec: Value) -> StageRules {
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "StageRules",
        "metadata": {"name": "s"}, "spec": spec,
    });
    match parsed(&document) {
        Document::Record(Record::Stage(rules)) => rules,
        other => panic!("{other:?}"),
    }
}

fn policy(name: &str, clusters: Value, objects: Value, grants: Value) -> ClusterPolicy {
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {"clusters": clusters, "objects": objects, "grants": grants},
    });
    match parsed(&document) {
        Document::Policy(policy) => policy,
        other => panic!("{other:?}"),
    }
}

fn cluster(name: &str, region: &str, stage: &str, labels: Value) -> Cluster {
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": name, "labels": labels},
        "spec": {"region": region, "stage": stage},
    });
    match parsed(&document) {
        Document::Cluster(cluster) => cluster,
        other => panic!("{other:?}"),
    }
}

fn who(inlet: Inlet, user: &str, groups: &[&str]) -> Identity {
    Identity {
        inlet,
        user: user.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    }
}

fn alice() -> Identity {
    who(Inlet::Oidc, "alice", &["payments"])
}

/// What an editor of payments in eu and prod is given.
fn payments() -> Value {
    json!({
        "subjects": [{"group": "oidc:payments"}], "role": "editor",
        "regions": ["eu"], "stages": ["prod", "dev"], "names": ["payments-"],
        "mayGrant": {
            "clusterRoles": ["view", "edit"],
            "rules": [
                {"apiGroups": ["", "apps"], "resources": ["pods", "deployments", "*/scale"], "verbs": ["get", "list", "watch"]},
            ],
            "namespaces": ["payments-"],
            "subjects": {"users": ["dev-"], "groups": ["payments"], "serviceAccounts": ["payments-ci/"]},
        },
    })
}

/// Who edits payments may make this.
fn reader(name: &str) -> ClusterPolicy {
    policy(
        name,
        json!({"regions": ["eu"], "stages": ["prod"]}),
        json!([]),
        json!([{"name": "r", "subjects": [{"group": "payments"}], "clusterRole": "view", "namespaces": ["payments-api"]}]),
    )
}

fn decide(rules: &[AccessRule], who: &Identity, action: Action<'_>) -> Result<(), Denied> {
    Rights::of(who, &Administrators::default(), rules).decide(action)
}

/// Whether a new policy is let through.
fn makes(rules: &[AccessRule], who: &Identity, policy: &ClusterPolicy) -> Result<(), String> {
    let (before, after) = (None, Some(policy));
    decide(rules, who, Action::Policy { before, after }).map_err(|denied| denied.to_string())
}
