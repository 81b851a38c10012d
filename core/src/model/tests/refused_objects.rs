//! Kubernetes objects that are refused: one row for each reason.

use super::*;

#[test]
fn unsupported_kinds_are_refused_by_name() {
    let of = |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}});
    assert_objects_refused(vec![
        (of("v1", "Gadget"), "kind", "unknown kind \"Gadget\""),
        (
            of("v1", "Secret"),
            "kind",
            "a Secret never travels: it holds secrets",
        ),
        (of("v1", "List"), "kind", "list its items one by one"),
        (of("v1", "namespace"), "kind", "did you mean \"Namespace\"?"),
        (
            of("v2", "Namespace"),
            "apiVersion",
            "must be v1 for a Namespace",
        ),
        (
            of("rbac.authorization.k8s.io/v1beta1", "ClusterRole"),
            "apiVersion",
            "must be rbac.authorization.k8s.io/v1",
        ),
        (
            json!({"kind": "Namespace", "metadata": {"name": "x"}}),
            "apiVersion",
            "is required",
        ),
        (
            json!({"apiVersion": "v1", "metadata": {"name": "x"}}),
            "kind",
            "is required",
        ),
    ]);
}

#[test]
fn metadata_is_checked_as_the_api_server_does() {
    let meta = |key: &str, value| {
        set(
            role("Role", Some("a"), "r"),
            &format!("/metadata/{key}"),
            value,
        )
    };
    let label = |key: &str, value: &str| meta("labels", json!({key: value}));
    assert_objects_refused(vec![
        (meta("name", Value::Null), "metadata.name", "is required"),
        (
            meta("name", json!("a/b")),
            "metadata.name",
            "must not contain",
        ),
        (
            meta("namespace", Value::Null),
            "metadata.namespace",
            "a Role lives in a namespace",
        ),
        (
            meta("namespace", json!("A")),
            "metadata.namespace",
            "RFC 1123",
        ),
        (
            meta("generateName", json!("r-")),
            "metadata.generateName",
            "unknown field",
        ),
        (
            meta("finalizers", json!(["a/b"])),
            "metadata.finalizers",
            "unknown field",
        ),
        (
            role("ClusterRole", Some("a"), "r"),
            "metadata.namespace",
            "cluster-wide",
        ),
        (namespace("a.b"), "metadata.name", "RFC 1123"),
        (
            set(account(), "/metadata/name", json!("a_b")),
            "metadata.name",
            "DNS subdomain",
        ),
        (label("a b", "x"), "metadata.labels[a b]", "may hold"),
        (
            label("writ.dev/managed", "true"),
            "metadata.labels[writ.dev/managed]",
            "reserved",
        ),
        (
            label("x.writ.dev/a", "true"),
            "metadata.labels[x.writ.dev/a]",
            "reserved",
        ),
        (
            label("writ.dev/removal", "delete"),
            "metadata.labels[writ.dev/removal]",
            "only of a Namespace",
        ),
        (
            meta("annotations", json!({"writ.dev/adoptable": "true"})),
            "metadata.annotations[writ.dev/adoptable]",
            "by the owner of the object",
        ),
        (
            meta("annotations", json!({"writ.dev/removal": "delete"})),
            "metadata.annotations[writ.dev/removal]",
            "only of a Namespace",
        ),
        (
            set(
                namespace("a"),
                "/metadata/annotations",
                json!({"writ.dev/removal": "keep"}),
            ),
            "metadata.annotations[writ.dev/removal]",
            "must be \"delete\"",
        ),
        (
            label("app.kubernetes.io/managed-by", "Helm"),
            "metadata.labels[app.kubernetes.io/managed-by]",
            "is set to \"writ\"",
        ),
        (
            set(
                namespace("a"),
                "/metadata/labels",
                json!({"kubernetes.io/metadata.name": "b"}),
            ),
            "metadata.labels[kubernetes.io/metadata.name]",
            "belongs to the API server",
        ),
    ]);
    // A domain that only ends like ours is somebody else's.
    parse_policy(&policy_with(label("notwrit.dev/a", "true")));
}

#[test]
fn a_policy_cannot_lock_writ_out() {
    let in_own = |object: Value| set(object, "/metadata/namespace", json!("writ-system"));
    assert_objects_refused(vec![
        (
            namespace("writ-system"),
            "metadata.name",
            "no policy may touch it",
        ),
        (
            in_own(account()),
            "metadata.namespace",
            "no policy may touch it",
        ),
        (
            in_own(role("Role", Some("x"), "r")),
            "metadata.namespace",
            "no policy may touch it",
        ),
        (
            role("ClusterRole", None, "writ-subscriber"),
            "metadata.name",
            "the subscriber's own",
        ),
        (
            role("ClusterRole", None, "writ-ceiling"),
            "metadata.name",
            "Writ's own here",
        ),
        (
            binding("RoleBinding", Some("a"), "writ-x"),
            "metadata.name",
            "Writ's own here",
        ),
        (
            binding("ClusterRoleBinding", None, "writ-subscriber-x"),
            "metadata.name",
            "subscriber's own",
        ),
        (
            role("ClusterRole", None, "system:node"),
            "metadata.name",
            "belong to Kubernetes",
        ),
        (
            binding("ClusterRoleBinding", None, "writ:one:g"),
            "metadata.name",
            "made from grants",
        ),
        (
            role("ClusterRole", None, "writ:one:g"),
            "metadata.name",
            "made from grants",
        ),
        (
            binding("RoleBinding", Some("a"), "b:replacing"),
            "metadata.name",
            "temporary",
        ),
    ]);
}

#[test]
fn an_object_that_is_there_twice_is_refused_with_both_places() {
    let document = set(
        policy_document(),
        "/spec/objects/-",
        role("Role", Some("payments"), "reader"),
    );
    let message = "Role payments/reader is already at spec.objects[0]";
    assert_refused(vec![(document, "spec.objects[4]", message)]);
    // The same name elsewhere, or of another kind, is another object.
    let mut document = set(
        policy_document(),
        "/spec/objects/-",
        role("Role", Some("x"), "reader"),
    );
    document = set(
        document,
        "/spec/objects/-",
        role("ClusterRole", None, "reader"),
    );
    assert_eq!(parse_policy(&document).objects.len(), 6);
}

#[test]
fn the_names_that_are_guarded_are_those_that_the_subscriber_uses() {
    let reference = &parse_policy(&policy_document()).objects[3].reference;
    assert!(
        crate::plan::temporary_reference(reference)
            .name
            .ends_with(":replacing")
    );
    let managed = json!({crate::plan::MANAGED_BY: crate::plan::FIELD_MANAGER});
    parse_policy(&policy_with(set(
        namespace("a"),
        "/metadata/labels",
        managed,
    )));
    for mark in [
        crate::plan::MANAGED,
        crate::plan::POLICY,
        crate::plan::RELEASED,
    ] {
        let marked = set(namespace("a"), "/metadata/labels", json!({mark: "x"}));
        assert_eq!(violations(&policy_with(marked)).len(), 1, "{mark}");
    }
}
