//! What is not imported, and why.
//!
//! Promises that what stays can be part of a policy: what the publisher would refuse is left out
//! here, with a reason.

use std::fmt;

use serde_json::Value;

use super::kinds;

/// Entries of one list of an object, as the publisher limits them.
pub(super) const ENTRIES_MAX: usize = 1_000;

/// Why an object is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Left {
    Kubernetes,
    KubernetesNamespace,
    Owned,
    OtherManager,
    Writ,
    Deleting,
    NoSubjects,
    SystemRole,
    TooLarge,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Left::Kubernetes => {
                "made by Kubernetes itself (bootstrap, system: and kubeadm: names, default accounts)"
            }
            Left::KubernetesNamespace => "in a namespace of Kubernetes (kube-*)",
            Left::Owned => "made by a controller in the cluster (ownerReferences)",
            Left::OtherManager => {
                "managed by another tool (app.kubernetes.io/managed-by): two would fight over it"
            }
            Left::Writ => "Writ's own, or managed by Writ already",
            Left::Deleting => "being deleted",
            Left::NoSubjects => "bindings without subjects: they grant nothing",
            Left::SystemRole => "bindings of system: roles, which no policy may hand out",
            Left::TooLarge => "over a limit of policies (256 KiB, 1,000 entries of a list)",
        })
    }
}

/// Whether an object is left out.
pub(super) fn judge(object: &Value) -> Option<Left> {
    let metadata = &object["metadata"];
    let is_long =
        |list: &str| matches!(&object[list], Value::Array(items) if items.len() > ENTRIES_MAX);
    let manager = metadata["labels"]["app.kubernetes.io/managed-by"].as_str();
    let owners = metadata["ownerReferences"].as_array();
    if is_writs(object) {
        Some(Left::Writ)
    } else if kinds::place(object).is_some_and(|place| place.starts_with("kube-")) {
        Some(Left::KubernetesNamespace)
    } else if is_of_kubernetes(object) {
        Some(Left::Kubernetes)
    } else if !metadata["deletionTimestamp"].is_null() {
        Some(Left::Deleting)
    } else if owners.is_some_and(|owners| !owners.is_empty()) {
        Some(Left::Owned)
    } else if manager.is_some_and(|manager| manager != "writ") {
        Some(Left::OtherManager)
    } else if is_long("subjects") || is_long("rules") {
        Some(Left::TooLarge)
    } else {
        judge_binding(object)
    }
}

fn judge_binding(object: &Value) -> Option<Left> {
    if !kinds::is_binding(object) {
        return None;
    }
    let role = object["roleRef"]["name"].as_str().unwrap_or_default();
    match &object["subjects"] {
        _ if role.starts_with("system:") => Some(Left::SystemRole),
        Value::Array(subjects) if !subjects.is_empty() => None,
        _ => Some(Left::NoSubjects),
    }
}

fn is_writs(object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    let name = kinds::name(object);
    let is_own_name = name.starts_with("writ-subscriber")
        || kinds::is_rbac(object) && name.starts_with("writ:")
        || kinds::is_binding(object) && name.ends_with(":replacing");
    let role = object["roleRef"]["name"].as_str().unwrap_or_default();
    !labels["writ.dev/managed"].is_null()
        || labels["app.kubernetes.io/part-of"] == "writ"
        || kinds::place(object) == Some("writ-system")
        || is_own_name
        || role.starts_with("writ-subscriber")
        || object["subjects"]
            .as_array()
            .is_some_and(|subjects| subjects.iter().any(names_writ))
}

/// The account of the subscriber, also as the user or group that it is.
fn names_writ(subject: &Value) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    subject["namespace"] == "writ-system"
        || name.starts_with("system:serviceaccount:writ-system:")
        || name == "system:serviceaccounts:writ-system"
}

fn is_of_kubernetes(object: &Value) -> bool {
    let name = kinds::name(object);
    let is_default =
        name == "default" && matches!(kinds::kind(object), "Namespace" | "ServiceAccount");
    let is_system =
        kinds::is_rbac(object) && (name.starts_with("system:") || name.starts_with("kubeadm:"));
    // Above RBAC, so that a binding gives it nothing; and no policy may name it.
    let is_of_masters = object["subjects"]
        .as_array()
        .is_some_and(|subjects| subjects.iter().any(|of| of["name"] == "system:masters"));
    object["metadata"]["labels"]["kubernetes.io/bootstrapping"] == "rbac-defaults"
        || is_of_masters
        || is_default
        || is_system
}
