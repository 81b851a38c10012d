//! The kinds that are imported, and how one of their objects is named.

use serde_json::Value;

/// Kinds with what kubectl calls them, in the order in which they stand in a policy.
const KINDS: [(&str, &str, bool); 9] = [
    ("Namespace", "namespaces", false),
    ("ServiceAccount", "serviceaccounts", true),
    ("LimitRange", "limitranges", true),
    ("ResourceQuota", "resourcequotas", true),
    (
        "ClusterRole",
        "clusterroles.rbac.authorization.k8s.io",
        false,
    ),
    ("Role", "roles.rbac.authorization.k8s.io", true),
    (
        "ClusterRoleBinding",
        "clusterrolebindings.rbac.authorization.k8s.io",
        false,
    ),
    (
        "RoleBinding",
        "rolebindings.rbac.authorization.k8s.io",
        true,
    ),
    ("NetworkPolicy", "networkpolicies.networking.k8s.io", true),
];

/// All of them, as kubectl takes them.
pub(super) fn all() -> String {
    resources(|_| true)
}

/// Those that live in namespaces, as kubectl takes them.
pub(super) fn namespaced() -> String {
    resources(|is_namespaced| is_namespaced)
}

fn resources(wanted: impl Fn(bool) -> bool) -> String {
    let kinds = KINDS.iter().filter(|kind| wanted(kind.2));
    kinds.map(|kind| kind.1).collect::<Vec<_>>().join(",")
}

pub(super) fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

pub(super) fn is_rbac(object: &Value) -> bool {
    kind(object).ends_with("Role") || is_binding(object)
}

pub(super) fn is_binding(object: &Value) -> bool {
    kind(object).ends_with("RoleBinding")
}

/// The namespace that an object is or lives in.
pub(super) fn place(object: &Value) -> Option<&str> {
    match kind(object) {
        "Namespace" => Some(name(object)),
        _ => object["metadata"]["namespace"].as_str(),
    }
}

/// As people say it: `Role payments/reader`.
pub(super) fn display(object: &Value) -> String {
    let (kind, name) = (kind(object), name(object));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// The place of an object among others, whatever the order in which kubectl gave them.
pub(super) fn order(object: &Value) -> (usize, String, String) {
    let rank = KINDS.iter().position(|known| known.0 == kind(object));
    (
        rank.unwrap_or(KINDS.len()),
        place(object).unwrap_or_default().to_owned(),
        name(object).to_owned(),
    )
}
