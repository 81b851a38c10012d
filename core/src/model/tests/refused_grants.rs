//! Grants that are refused: one row for each reason.

use super::*;

#[test]
fn grants_are_refused() {
    let grant = |key: &str, value| set(policy_document(), &format!("/spec/grants/0/{key}"), value);
    let subject = |value| grant("subjects", json!([value]));
    let first = "spec.grants[0]";
    let subjects = "spec.grants[0].subjects[0]";
    let account = "spec.grants[0].subjects[0].serviceAccount";
    let own = "system:serviceaccount:writ-system:writ-subscriber";
    let selector = grant("namespaceSelector", json!({"matchLabels": {"team": "a"}}));
    let selected = |value| {
        let selected = set(selector.clone(), "/spec/grants/0/namespaces", Value::Null);
        set(selected, "/spec/grants/0/namespaceSelector", value)
    };
    assert_refused(vec![
        (
            grant("name", Value::Null),
            "spec.grants[0].name",
            "is required",
        ),
        (
            grant("name", json!("a:b")),
            "spec.grants[0].name",
            "RFC 1123",
        ),
        (
            grant("name", json!("bot")),
            "spec.grants[1].name",
            "already at spec.grants[0]",
        ),
        (
            grant("subjects", Value::Null),
            "spec.grants[0].subjects",
            "is required",
        ),
        (
            grant("subjects", json!([])),
            "spec.grants[0].subjects",
            "is required",
        ),
        (
            subject(json!({})),
            subjects,
            "exactly one of user, group, serviceAccount",
        ),
        (
            subject(json!({"user": "a", "group": "b"})),
            subjects,
            "exactly one of",
        ),
        (
            subject(json!({"users": "a"})),
            "spec.grants[0].subjects[0].users",
            "did you mean \"user\"?",
        ),
        (
            subject(json!({"user": ""})),
            "spec.grants[0].subjects[0].user",
            "must not be empty",
        ),
        (
            subject(json!({"user": " a"})),
            "spec.grants[0].subjects[0].user",
            "white space",
        ),
        (
            subject(json!({"user": own})),
            "spec.grants[0].subjects[0].user",
            "the subscriber itself",
        ),
        (
            subject(json!({"user": "system:serviceaccount:writ-system:other"})),
            "spec.grants[0].subjects[0].user",
            "the subscriber itself",
        ),
        (
            subject(json!({"group": "system:serviceaccounts:writ-system"})),
            "spec.grants[0].subjects[0].group",
            "the subscriber itself",
        ),
        (
            subject(json!({"serviceAccount": "writ-system/writ-subscriber"})),
            account,
            "holds the subscriber itself",
        ),
        (
            subject(json!({"group": "system:masters"})),
            "spec.grants[0].subjects[0].group",
            "no policy may name it",
        ),
        (
            grant("clusterRole", json!("writ-subscriber")),
            "spec.grants[0].clusterRole",
            "a role of Writ itself",
        ),
        (
            grant("clusterRole", json!("system:node")),
            "spec.grants[0].clusterRole",
            "belongs to Kubernetes",
        ),
        (
            subject(json!({"serviceAccount": "bot"})),
            account,
            "must be NAMESPACE/NAME",
        ),
        (
            subject(json!({"serviceAccount": "A/bot"})),
            account,
            "RFC 1123",
        ),
        (
            subject(json!({"serviceAccount": "a/b/c"})),
            account,
            "not a DNS subdomain",
        ),
        (
            subject(json!({"serviceAccount": "writ-system/x"})),
            account,
            "no policy may touch it",
        ),
        (
            grant("subjects", json!([{"user": "a"}, {"user": "a"}])),
            "spec.grants[0].subjects[1]",
            "listed twice",
        ),
        (
            grant("clusterRole", Value::Null),
            first,
            "needs one of clusterRole and role",
        ),
        (
            grant("role", json!("reader")),
            first,
            "needs one of clusterRole and role",
        ),
        (
            grant("clusterRole", json!("a/b")),
            "spec.grants[0].clusterRole",
            "must not contain",
        ),
        (
            grant("clusterRole", json!("system:node")),
            "spec.grants[0].clusterRole",
            "Kubernetes",
        ),
        (
            grant("clusterRole", json!("writ-subscriber")),
            "spec.grants[0].clusterRole",
            "hand it out",
        ),
        (
            grant("namespaces", Value::Null),
            first,
            "needs namespaces, a namespaceSelector, or clusterWide: true",
        ),
        (
            grant("namespaces", json!([])),
            first,
            "needs namespaces, a namespaceSelector, or clusterWide: true",
        ),
        (
            grant("namespaces", json!(["A"])),
            "spec.grants[0].namespaces[0]",
            "RFC 1123",
        ),
        (
            grant("namespaces", json!(["a", "a"])),
            "spec.grants[0].namespaces[1]",
            "listed twice",
        ),
        (
            grant("namespaces", json!(["writ-system"])),
            "spec.grants[0].namespaces[0]",
            "subscriber",
        ),
        (
            grant("clusterWide", json!(true)),
            "spec.grants[0].namespaces",
            "must not stand beside clusterWide",
        ),
        (
            selector.clone(),
            "spec.grants[0].namespaceSelector",
            "must not stand beside namespaces",
        ),
        (
            set(
                set(selector.clone(), "/spec/grants/0/namespaces", Value::Null),
                "/spec/grants/0/clusterWide",
                json!(true),
            ),
            "spec.grants[0].namespaceSelector",
            "must not stand beside clusterWide",
        ),
        (
            selected(json!({})),
            "spec.grants[0].namespaceSelector",
            "is empty",
        ),
        (
            selected(json!({"matchLabels": {}})),
            "spec.grants[0].namespaceSelector",
            "is empty",
        ),
        (
            selected(json!({"matchLabels": {"a b": "c"}})),
            "spec.grants[0].namespaceSelector.matchLabels[a b]",
            "may hold",
        ),
        (
            selected(json!({"matchNames": ["a"]})),
            "spec.grants[0].namespaceSelector.matchNames",
            "unknown field",
        ),
        (
            grant("expires", json!({"at": "x"})),
            "spec.grants[0].expires",
            "is not supported yet",
        ),
        (
            set(
                set(policy_document(), "/spec/grants/2/clusterRole", Value::Null),
                "/spec/grants/2/role",
                json!("reader"),
            ),
            "spec.grants[2].role",
            "a Role lives in a namespace",
        ),
    ]);
}
