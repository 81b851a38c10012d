//! What is accepted, and what becomes of it.

use super::super::{Mode, Reach, RoleRef, Visibility};
use super::*;

#[test]
fn a_registry_entry_is_read_field_by_field() {
    let cluster = parse_cluster(&cluster_document());
    assert_eq!(cluster.name.as_str(), "eu-prod-1");
    assert_eq!(
        (cluster.region.as_str(), cluster.stage.as_str()),
        ("eu", "prod")
    );
    assert_eq!(cluster.labels["provider"], "aws");
    assert_eq!(
        (cluster.visibility, cluster.mode),
        (Visibility::Fleet, Mode::Enforce)
    );
    assert_eq!(cluster.keys.unwrap().bus.len(), 56);
}

#[test]
fn a_registry_entry_needs_no_more_than_its_place() {
    let cluster = parse_cluster(&json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "a"},
        "spec": {"region": "eu", "stage": "prod"},
    }));
    assert_eq!(
        (cluster.visibility, cluster.mode),
        (Visibility::Fleet, Mode::Enforce)
    );
    assert_eq!(
        (cluster.endpoint, cluster.ca_bundle, cluster.keys),
        (None, None, None)
    );
}

#[test]
fn a_policy_is_read_field_by_field() {
    let policy = parse_policy(&policy_document());
    assert_eq!(policy.reason.as_deref(), Some("first version"));
    assert!(!policy.deletion_protection);
    assert_eq!(
        policy.objects[0].reference.to_string(),
        "Role payments/reader"
    );
    assert_eq!(
        policy.objects[1].reference.to_string(),
        "Namespace payments"
    );
    assert_eq!(policy.grants[1].role, RoleRef::Role("reader".to_owned()));
    assert_eq!(policy.grants[2].reach, Reach::ClusterWide);
    assert!(policy.clusters.needs_labels());
}

#[test]
fn what_states_a_default_is_as_if_it_were_not_there() {
    let bare = policy_for(json!({"all": true}));
    let stated = json!({
        "enforcement": "correct", "removal": "prune", "adopt": "never",
        "deletionProtection": false, "overrides": [], "objects": [], "grants": null,
    });
    let mut document = bare.clone();
    document["spec"]
        .as_object_mut()
        .unwrap()
        .extend(stated.as_object().unwrap().clone());
    assert_eq!(parse_policy(&document), parse_policy(&bare));
}

#[test]
fn a_manifest_of_a_live_cluster_is_accepted_and_says_what_was_dropped() {
    let mut object = binding("RoleBinding", Some("payments"), "readers");
    object["metadata"]["uid"] = json!("4b8e");
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    object["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
    let parsed = parse(&policy_with(object)).unwrap();
    let fields: Vec<&str> = parsed
        .notices
        .iter()
        .map(|notice| notice.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "spec.objects[0].metadata.uid",
            "spec.objects[0].metadata.creationTimestamp",
            "spec.objects[0].metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]",
        ]
    );
    let clean = parse(&policy_with(binding(
        "RoleBinding",
        Some("payments"),
        "readers",
    )))
    .unwrap();
    assert_eq!(parsed.document, clean.document);
}

#[test]
fn a_document_that_was_read_back_is_accepted() {
    let mut document = policy_document();
    document["status"] = json!({"applied": 3});
    document["metadata"]["generation"] = json!(7);
    let parsed = parse(&document).unwrap();
    assert_eq!(parsed.notices.len(), 2);
    assert_eq!(
        parsed.document,
        Document::Policy(parse_policy(&policy_document()))
    );
}

#[test]
fn the_rules_of_an_aggregated_role_are_dropped_and_those_of_others_always_said() {
    let mut aggregated = role("ClusterRole", None, "all-views");
    aggregated["aggregationRule"] =
        json!({"clusterRoleSelectors": [{"matchLabels": {"view": "yes"}}]});
    let parsed = parse(&policy_with(aggregated)).unwrap();
    assert_eq!(parsed.notices[0].field, "spec.objects[0].rules");
    let Document::Policy(policy) = parsed.document else {
        panic!("a policy")
    };
    assert!(policy.objects[0].content.get("rules").is_none());

    let mut empty = role("ClusterRole", None, "nothing");
    empty["rules"] = Value::Null;
    assert_eq!(
        parse_policy(&policy_with(empty)).objects[0].content["rules"],
        json!([])
    );
}

#[test]
fn what_the_api_server_fills_into_a_binding_is_filled_in() {
    let mut short = binding("RoleBinding", Some("payments"), "readers");
    short["roleRef"].as_object_mut().unwrap().remove("apiGroup");
    short["subjects"][0]
        .as_object_mut()
        .unwrap()
        .remove("apiGroup");
    short["subjects"][1]
        .as_object_mut()
        .unwrap()
        .remove("namespace");
    let full = binding("RoleBinding", Some("payments"), "readers");
    assert_eq!(parse_policy(&policy_with(short)).objects[0].content, full);
}

#[test]
fn all_kinds_and_their_fields_are_accepted() {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {
            "name": "bot.v2", "namespace": "ci", "annotations": {"example.com/owner": "Team C"},
            "labels": {"app.kubernetes.io/managed-by": "writ"},
        },
        "imagePullSecrets": [{"name": "registry"}], "secrets": [{"name": "bot-token"}],
    });
    let mut urls = role("ClusterRole", None, "oidc:Metrics");
    urls["rules"] = json!([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]);
    for object in [
        account,
        urls,
        role("ClusterRole", None, "r"),
        role("Role", Some("ci"), "r"),
        binding("ClusterRoleBinding", None, "b"),
        binding("RoleBinding", Some("ci"), "b"),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ci"}, "spec": {}}),
    ] {
        let kind = object["kind"].clone();
        let policy = parse_policy(&policy_with(object));
        assert_eq!(policy.objects[0].content["kind"], kind);
    }
}
