//! What Kubernetes objects hold beside their metadata, refused: one row for each reason.

use super::*;

#[test]
fn bodies_are_checked_as_the_api_server_does() {
    assert_objects_refused(vec![
        (
            set(role("Role", Some("a"), "r"), "/spec", json!({})),
            "spec",
            "unknown field",
        ),
        (
            set(namespace("a"), "/spec", json!({"x": 1})),
            "spec.x",
            "none is known here",
        ),
        (
            set(account(), "/automountServiceAccountToken", json!("no")),
            "automountServiceAccountToken",
            "true or false",
        ),
        (
            set(account(), "/imagePullSecrets", json!([{}])),
            "imagePullSecrets[0].name",
            "is required",
        ),
        (
            set(
                account(),
                "/imagePullSecrets",
                json!([{"name": "a", "x": "b"}]),
            ),
            "imagePullSecrets[0].x",
            "unknown field",
        ),
        (
            set(account(), "/secrets", json!([{"name": 1}])),
            "secrets[0].name",
            "quote it",
        ),
        (
            set(
                role("ClusterRole", None, "r"),
                "/aggregationRule",
                json!({}),
            ),
            "aggregationRule.clusterRoleSelectors",
            "at least one",
        ),
    ]);
}

#[test]
fn rules_are_checked_as_the_api_server_does() {
    let rule = |rule: Value| set(role("Role", Some("a"), "r"), "/rules", json!([rule]));
    let full = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
    let with = |key: &str, value| rule(set(full.clone(), &format!("/{key}"), value));
    let urls = |value: Value| set(role("ClusterRole", None, "r"), "/rules", json!([value]));
    assert_objects_refused(vec![
        (
            set(role("Role", Some("a"), "r"), "/rules", json!({})),
            "rules",
            "must be a list",
        ),
        (rule(json!("x")), "rules[0]", "must be a map"),
        (with("verbs", json!([])), "rules[0].verbs", "at least one"),
        (
            with("verbs", json!([""])),
            "rules[0].verbs[0]",
            "must not be empty",
        ),
        (
            with("verbs", json!("get")),
            "rules[0].verbs",
            "must be a list",
        ),
        (
            with("apiGroups", Value::Null),
            "rules[0].apiGroups",
            "at least one",
        ),
        (
            with("resources", json!([])),
            "rules[0].resources",
            "at least one",
        ),
        (
            with("resource", json!(["pods"])),
            "rules[0].resource",
            "did you mean \"resources\"?",
        ),
        (
            rule(json!({"nonResourceURLs": ["/a"], "verbs": ["get"]})),
            "rules[0].nonResourceURLs",
            "only a ClusterRole",
        ),
        (
            urls(set(full.clone(), "/nonResourceURLs", json!(["/a"]))),
            "rules[0].nonResourceURLs",
            "not for both",
        ),
    ]);
}

#[test]
fn bindings_are_checked_as_the_api_server_does() {
    let of = |pointer: &str, value| set(binding("RoleBinding", Some("a"), "b"), pointer, value);
    let wide = |pointer: &str, value| set(binding("ClusterRoleBinding", None, "b"), pointer, value);
    let account = json!({"kind": "ServiceAccount", "name": "bot"});
    assert_objects_refused(vec![
        (of("/roleRef", Value::Null), "roleRef", "is required"),
        (
            of("/roleRef/kind", json!("Rule")),
            "roleRef.kind",
            "must be Role or ClusterRole here",
        ),
        (
            wide("/roleRef/kind", json!("Role")),
            "roleRef.kind",
            "must be ClusterRole here",
        ),
        (
            of("/roleRef/name", json!("")),
            "roleRef.name",
            "must not be empty",
        ),
        (
            of("/roleRef/apiGroup", json!("v1")),
            "roleRef.apiGroup",
            "rbac.authorization.k8s.io",
        ),
        (
            of("/roleRef/name", json!("system:node")),
            "roleRef.name",
            "belongs to Kubernetes",
        ),
        (
            of("/roleRef/name", json!("writ-subscriber")),
            "roleRef.name",
            "no policy may hand it out",
        ),
        (of("/subjects", json!([])), "subjects", "grants nothing"),
        (
            of("/subjects/0/kind", json!("user")),
            "subjects[0].kind",
            "did you mean \"User\"?",
        ),
        (
            of("/subjects/0/name", json!("")),
            "subjects[0]",
            "must not be empty",
        ),
        (
            of("/subjects/0/apiGroup", json!("")),
            "subjects[0].apiGroup",
            "for a User",
        ),
        (
            of("/subjects/0/namespace", json!("a")),
            "subjects[0].namespace",
            "a User has no namespace",
        ),
        (
            of("/subjects/1/apiGroup", json!("x")),
            "subjects[1].apiGroup",
            "for a ServiceAccount",
        ),
        (
            of("/subjects/1/namespace", json!("writ-system")),
            "subjects[1]",
            "no policy may touch it",
        ),
        (
            wide("/subjects", json!([account])),
            "subjects[0]",
            "needs a namespace here",
        ),
    ]);
}
