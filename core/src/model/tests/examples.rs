//! The documents in `examples/`: each is accepted as it stands and reaches the clusters it tells of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::ClusterIdentity;
use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn fleet() -> Vec<ClusterIdentity> {
    let documents = documents(&folder().join("registry/clusters.yaml"));
    documents
        .iter()
        .map(|document| parse_cluster(document).identity())
        .collect()
}

fn policy(name: &str) -> ClusterPolicy {
    let documents = documents(&folder().join(format!("{name}.yaml")));
    assert_eq!(documents.len(), 1);
    let policy = parse_policy(&documents[0]);
    assert_eq!(policy.name.as_str(), name);
    policy
}

fn targets(policy: &ClusterPolicy) -> BTreeSet<String> {
    let fleet = fleet();
    let matching = fleet
        .iter()
        .filter(|cluster| policy.clusters.matches(cluster));
    matching.map(|cluster| cluster.name.to_string()).collect()
}

#[test]
fn every_file_is_accepted_without_a_notice() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        for document in documents(&path) {
            let parsed = parse(&document)
                .unwrap_or_else(|violations| panic!("{}: {violations:?}", path.display()));
            assert_eq!(parsed.notices, [], "{}", path.display());
        }
        count += 1;
    }
    assert_eq!(count, 4, "a new example needs a place in the tests below");
}

#[test]
fn policies_reach_the_clusters_that_they_tell_of() {
    let all = [
        "ap-prod-1",
        "ap-stage-1",
        "eu-prod-1",
        "eu-stage-1",
        "us-prod-1",
        "us-stage-1",
    ];
    for (name, clusters) in [
        ("common-roles", &all[..]),
        ("sre-oncall", &all[..]),
        ("team-payments", &["eu-prod-1", "us-prod-1"]),
        ("ci-bot", &["ap-stage-1", "eu-stage-1", "us-stage-1"]),
    ] {
        let expected = clusters.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(targets(&policy(name)), expected, "{name}");
    }
}

#[test]
fn policies_hold_the_bindings_that_their_comments_name() {
    for (name, reference) in [
        (
            "common-roles",
            "ClusterRoleBinding writ:common-roles:auditors",
        ),
        ("sre-oncall", "ClusterRoleBinding writ:sre-oncall:oncall"),
        (
            "team-payments",
            "RoleBinding payments/writ:team-payments:owners",
        ),
        ("ci-bot", "RoleBinding ci/writ:ci-bot:deploy"),
    ] {
        let references: Vec<String> = policy(name)
            .all_objects()
            .iter()
            .map(|object| object.reference.to_string())
            .collect();
        assert!(references.contains(&reference.to_owned()), "{references:?}");
    }
}

#[test]
fn the_examples_show_the_format() {
    let protected = policy("common-roles");
    assert!(protected.deletion_protection);
    let mut kinds = BTreeSet::new();
    let mut features = BTreeSet::new();
    for name in ["common-roles", "sre-oncall", "team-payments", "ci-bot"] {
        let policy = policy(name);
        let objects = policy.objects.iter();
        kinds.extend(objects.map(|object| object.reference.kind.clone()));
        features.extend(Document::Policy(policy).requires());
    }
    let expected = [
        "ClusterRole",
        "ClusterRoleBinding",
        "LimitRange",
        "Namespace",
        "NetworkPolicy",
        "ResourceQuota",
        "Role",
        "ServiceAccount",
    ];
    assert_eq!(
        kinds.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
    let expected = ["namespace-selector", "network-policies", "quotas"];
    assert_eq!(
        features.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn what_a_policy_may_ask_for_beyond_the_examples_is_accepted() {
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
        "metadata": {"name": "all-words"},
        "spec": {
            "clusters": {
                "regions": ["eu", "us"], "stages": ["prod"], "matchLabels": {"provider": "aws"},
                "exclude": {"names": ["us-prod-7"]},
            },
            "enforcement": "report", "removal": "orphan", "adopt": "ifIdentical",
            "deletionProtection": true, "reason": "all words of the format",
            "objects": [{
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": "a", "annotations": {"writ.dev/removal": "delete"}},
            }],
        },
    });
    let policy = parse_policy(&document);
    assert!(policy.objects[0].may_be_deleted_with_policy());
    let observer = set(cluster_document(), "/spec/mode", json!("observe"));
    let observer = parse_cluster(&observer);
    assert_eq!(Document::Cluster(observer).requires(), ["observe"]);
}
