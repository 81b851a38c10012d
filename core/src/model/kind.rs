//! The kinds of Kubernetes objects that policies may hold, and references to objects of them. What is
//! particular to a kind, other than its body, is said here once.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::syntax;

/// The kinds whose bodies are checked, in the order in which they are applied. Further kinds come
/// after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ObjectKind {
    Namespace,
    ServiceAccount,
    LimitRange,
    ResourceQuota,
    ClusterRole,
    Role,
    ClusterRoleBinding,
    RoleBinding,
    NetworkPolicy,
    ConfigMap,
}

impl ObjectKind {
    pub(super) const ALL: [ObjectKind; 10] = [
        ObjectKind::Namespace,
        ObjectKind::ServiceAccount,
        ObjectKind::LimitRange,
        ObjectKind::ResourceQuota,
        ObjectKind::ClusterRole,
        ObjectKind::Role,
        ObjectKind::ClusterRoleBinding,
        ObjectKind::RoleBinding,
        ObjectKind::NetworkPolicy,
        ObjectKind::ConfigMap,
    ];

    /// The kind of that name in that group, whatever the version and the case of the name.
    pub(super) fn find(api_version: &str, name: &str) -> Option<ObjectKind> {
        let group = group_of(api_version);
        ObjectKind::ALL
            .into_iter()
            .find(|kind| kind.group() == group && kind.name().eq_ignore_ascii_case(name))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            ObjectKind::Namespace => "Namespace",
            ObjectKind::ServiceAccount => "ServiceAccount",
            ObjectKind::LimitRange => "LimitRange",
            ObjectKind::ResourceQuota => "ResourceQuota",
            ObjectKind::ClusterRole => "ClusterRole",
            ObjectKind::Role => "Role",
            ObjectKind::ClusterRoleBinding => "ClusterRoleBinding",
            ObjectKind::RoleBinding => "RoleBinding",
            ObjectKind::NetworkPolicy => "NetworkPolicy",
            ObjectKind::ConfigMap => "ConfigMap",
        }
    }

    pub(super) fn group(self) -> &'static str {
        group_of(self.api_version())
    }

    pub(super) fn api_version(self) -> &'static str {
        match self {
            kind if kind.is_rbac() => "rbac.authorization.k8s.io/v1",
            ObjectKind::NetworkPolicy => "networking.k8s.io/v1",
            _ => "v1",
        }
    }

    pub(super) fn is_rbac(self) -> bool {
        use ObjectKind::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
        matches!(self, ClusterRole | Role | ClusterRoleBinding | RoleBinding)
    }

    pub(super) fn is_binding(self) -> bool {
        matches!(
            self,
            ObjectKind::ClusterRoleBinding | ObjectKind::RoleBinding
        )
    }

    pub(super) fn is_namespaced(self) -> bool {
        use ObjectKind::{ClusterRole, ClusterRoleBinding, Namespace};
        !matches!(self, Namespace | ClusterRole | ClusterRoleBinding)
    }

    /// Fields beside apiVersion, kind and metadata.
    pub(super) fn fields(self) -> &'static [&'static str] {
        match self {
            ObjectKind::Namespace
            | ObjectKind::LimitRange
            | ObjectKind::ResourceQuota
            | ObjectKind::NetworkPolicy => &["spec"],
            ObjectKind::ServiceAccount => &[
                "automountServiceAccountToken",
                "imagePullSecrets",
                "secrets",
            ],
            ObjectKind::ClusterRole => &["aggregationRule", "rules"],
            ObjectKind::Role => &["rules"],
            ObjectKind::ClusterRoleBinding | ObjectKind::RoleBinding => &["roleRef", "subjects"],
            ObjectKind::ConfigMap => &["binaryData", "data", "immutable"],
        }
    }

    pub(super) fn check_name(self, name: &str) -> Result<(), String> {
        match self {
            ObjectKind::Namespace => syntax::check_dns_label(name),
            kind if kind.is_rbac() => syntax::check_path_segment(name),
            _ => syntax::check_dns_subdomain(name),
        }
    }
}

/// The API group of an `apiVersion`; the core group is empty.
pub(super) fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// Which object. References sort in the order in which kinds are applied, then by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// As in the manifest, such as `rbac.authorization.k8s.io/v1`.
    pub api_version: String,
    /// As in the manifest, such as `RoleBinding`.
    pub kind: String,
    /// `None` for what is cluster-wide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

/// An object whatever the version that it is written in: group, kind, namespace and name.
pub type ObjectIdentity<'a> = (&'a str, &'a str, Option<&'a str>, &'a str);

impl ObjectRef {
    /// The object itself: two references that differ in their version alone mean the same one.
    pub fn identity(&self) -> ObjectIdentity<'_> {
        let group = group_of(&self.api_version);
        (group, &self.kind, self.namespace.as_deref(), &self.name)
    }

    pub(super) fn of(kind: ObjectKind, namespace: Option<&str>, name: &str) -> ObjectRef {
        ObjectRef {
            api_version: kind.api_version().to_owned(),
            kind: kind.name().to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }
}

impl Ord for ObjectRef {
    fn cmp(&self, other: &ObjectRef) -> Ordering {
        let rank = |reference: &ObjectRef| {
            ObjectKind::find(&reference.api_version, &reference.kind)
                .map_or(ObjectKind::ALL.len(), |kind| kind as usize)
        };
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.kind.cmp(&other.kind))
            .then_with(|| self.api_version.cmp(&other.api_version))
            .then_with(|| self.namespace.cmp(&other.namespace))
            .then_with(|| self.name.cmp(&other.name))
    }
}

impl PartialOrd for ObjectRef {
    fn partial_cmp(&self, other: &ObjectRef) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}
