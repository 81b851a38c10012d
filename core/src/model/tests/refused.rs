//! Documents, clusters and specs that are refused: one row for each reason.

use super::super::limits::REASON_MAX_BYTES;
use super::*;

#[test]
fn frames_are_refused() {
    let policy = policy_document;
    assert_refused(vec![
        (json!([1]), "", "must be a map, not a list"),
        (json!("text"), "", "must be a map"),
        (json!({"kind": "Cluster"}), "apiVersion", "is required"),
        (
            json!({"apiVersion": "writ.dev/v1alpha1"}),
            "kind",
            "is required",
        ),
        (
            set(policy(), "/apiVersion", json!("writ.dev/v1")),
            "apiVersion",
            "writ.dev/v1alpha1",
        ),
        (
            set(policy(), "/kind", json!("Clusterpolicy")),
            "kind",
            "did you mean \"ClusterPolicy\"?",
        ),
        (
            set(policy(), "/kind", json!("PolicyCeiling")),
            "kind",
            "not supported yet",
        ),
        (
            role("ClusterRole", None, "r"),
            "apiVersion",
            "go into a ClusterPolicy's objects",
        ),
        (
            set(policy(), "/specs", json!({})),
            "specs",
            "did you mean \"spec\"?",
        ),
        (set(policy(), "/spec", Value::Null), "spec", "is required"),
        (set(policy(), "/spec", json!([])), "spec", "must be a map"),
        (
            set(policy(), "/metadata", Value::Null),
            "metadata",
            "is required",
        ),
        (
            set(policy(), "/metadata", json!({})),
            "metadata.name",
            "is required",
        ),
        (
            set(policy(), "/metadata/name", json!("Team")),
            "metadata.name",
            "RFC 1123",
        ),
        (
            set(policy(), "/metadata/name", json!(7)),
            "metadata.name",
            "a number, quote it",
        ),
        (
            set(policy(), "/metadata/namespace", json!("x")),
            "metadata.namespace",
            "unknown field",
        ),
        (
            set(policy(), "/metadata/labels", json!({"a/b/c": "x"})),
            "metadata.labels[a/b/c]",
            "may hold",
        ),
        (
            set(policy(), "/metadata/labels", json!({"a": "b c"})),
            "metadata.labels.a",
            "may hold",
        ),
        (
            set(policy(), "/metadata/labels", json!({"a": true})),
            "metadata.labels.a",
            "quote it",
        ),
        (
            set(
                policy(),
                "/metadata/labels",
                json!({"writ.dev/policy": "x"}),
            ),
            "metadata.labels[writ.dev/policy]",
            "reserved",
        ),
    ]);
}

#[test]
fn nesting_beyond_the_limit_is_refused_before_it_is_read() {
    let deep = (0..100).fold(json!({}), |inner, _| json!([inner]));
    let document = set(policy_document(), "/spec/objects", deep);
    assert_refused(vec![(document, "", "nests deeper than 32 levels")]);
}

#[test]
fn clusters_are_refused() {
    let at = |key: &str, value: Value| set(cluster_document(), &format!("/spec/{key}"), value);
    assert_refused(vec![
        (
            set(cluster_document(), "/metadata/name", json!("a.b")),
            "metadata.name",
            "RFC 1123",
        ),
        (
            at("region", json!("all")),
            "spec.region",
            "\"all\" is reserved",
        ),
        (
            at("stage", json!("all")),
            "spec.stage",
            "\"all\" is reserved",
        ),
        (at("region", Value::Null), "spec.region", "is required"),
        (at("stage", json!("Prod")), "spec.stage", "RFC 1123"),
        (
            at("endpoint", json!("http://a")),
            "spec.endpoint",
            "must be an https URL",
        ),
        (
            at("caBundle", json!("LS0t...")),
            "spec.caBundle",
            "must be base64",
        ),
        (
            at("visibility", json!("region")),
            "spec.visibility",
            "known here: fleet, stage, scope",
        ),
        (
            at("mode", json!("watch")),
            "spec.mode",
            "unknown value \"watch\", known here: enforce, observe",
        ),
        (
            at("mode", json!("enforced")),
            "spec.mode",
            "did you mean \"enforce\"?",
        ),
        (at("keys/bus", json!("UABC")), "spec.keys.bus", "nkey user"),
        (at("keys/ack", json!("BwcH")), "spec.keys.ack", "32 bytes"),
        (at("keys/ack", Value::Null), "spec.keys.ack", "is required"),
        (
            at("keys/agent", json!("x")),
            "spec.keys.agent",
            "unknown field",
        ),
        (
            at("phase", json!("Active")),
            "spec.phase",
            "did you mean \"active\"?",
        ),
        (
            at("enrolment", json!({"token": "BwcH"})),
            "spec.enrolment.token",
            "32 bytes",
        ),
    ]);
}

#[test]
fn specs_are_refused() {
    let at = |key: &str, value: Value| set(policy_document(), &format!("/spec/{key}"), value);
    assert_refused(vec![
        (
            at("enforcement", json!("reportx")),
            "spec.enforcement",
            "did you mean",
        ),
        (
            at("enforcement", json!("off")),
            "spec.enforcement",
            "unknown value",
        ),
        (
            at("removal", json!("Orphan")),
            "spec.removal",
            "did you mean \"orphan\"?",
        ),
        (
            at("adopt", json!("ifIdenticalx")),
            "spec.adopt",
            "did you mean",
        ),
        (
            at("deletionProtection", json!("true")),
            "spec.deletionProtection",
            "must be true or false",
        ),
        (
            at("deletionProtection", json!("yes")),
            "spec.deletionProtection",
            "true or false",
        ),
        (
            at("overrides", json!([{}])),
            "spec.overrides",
            "overrides is not supported yet",
        ),
        (
            at("reason", json!("a\u{1b}[2J")),
            "spec.reason",
            "control characters",
        ),
        (
            at("reason", json!("x".repeat(REASON_MAX_BYTES + 1))),
            "spec.reason",
            "the limit is",
        ),
        (
            at("grant", json!([])),
            "spec.grant",
            "did you mean \"grants\"?",
        ),
        (
            at("objects", json!({})),
            "spec.objects",
            "must be a list, not a map",
        ),
        (
            at("objects/-", json!("x")),
            "spec.objects[4]",
            "must be a map",
        ),
        (
            at("grants/-", json!(null)),
            "spec.grants[3]",
            "must be a map",
        ),
    ]);
}

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    let mut document = policy_document();
    document["metadata"]["name"] = json!("Team");
    document["spec"]["clusters"]["regions"] = json!(["all"]);
    document["spec"]["objects"][1]["kind"] = json!("Secret");
    document["spec"]["grants"][0]["subjects"] = json!([{"user": ""}]);
    document["spec"]["grants"][2]["clusterWide"] = json!(false);
    let fields: Vec<String> = violations(&document)
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(
        fields,
        [
            "metadata.name",
            "spec.clusters.regions[0]",
            "spec.objects[1].kind",
            "spec.grants[0].subjects[0].user",
            "spec.grants[2]",
        ]
    );
}
