//! The kinds that the subscriber touches, and where the API server serves them.
//!
//! A closed table instead of discovery: the subscriber has rights on exactly these, and a kind that
//! is not here cannot be reached by any content of a policy.

use writ_core::model::ObjectRef;

/// Namespace of what the subscriber keeps for itself.
pub const SYSTEM_NAMESPACE: &str = "writ-system";
/// Group and version of the mirrors.
pub const WRIT_API_VERSION: &str = "writ.dev/v1alpha1";
const RBAC_API_VERSION: &str = "rbac.authorization.k8s.io/v1";

/// A kind that the subscriber reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// As in a manifest.
    pub api_version: &'static str,
    /// As in a manifest.
    pub kind: &'static str,
    /// As in a path.
    pub plural: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

const fn resource(
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
) -> Resource {
    Resource {
        api_version,
        kind,
        plural,
        namespaced,
    }
}

/// Mirrors of policies.
pub const CLUSTER_POLICIES: Resource =
    resource(WRIT_API_VERSION, "ClusterPolicy", "clusterpolicies", false);
/// Mirrors of registry entries.
pub const CLUSTERS: Resource = resource(WRIT_API_VERSION, "Cluster", "clusters", false);
/// What the cluster's owner lets Writ do; read only.
pub const POLICY_CEILINGS: Resource =
    resource(WRIT_API_VERSION, "PolicyCeiling", "policyceilings", false);
/// Where the subscriber keeps what is not about one policy.
pub const CONFIG_MAPS: Resource = resource("v1", "ConfigMap", "configmaps", true);
/// By which one of several subscribers is the active one.
pub const LEASES: Resource = resource("coordination.k8s.io/v1", "Lease", "leases", true);

/// Namespaces, whose labels decide about grants.
pub const NAMESPACES: Resource = resource("v1", "Namespace", "namespaces", false);

/// The kinds that every policy may hold.
pub const POLICY_KINDS: [Resource; 9] = [
    NAMESPACES,
    resource("v1", "ServiceAccount", "serviceaccounts", true),
    resource(RBAC_API_VERSION, "Role", "roles", true),
    resource(RBAC_API_VERSION, "ClusterRole", "clusterroles", false),
    resource(RBAC_API_VERSION, "RoleBinding", "rolebindings", true),
    resource(
        RBAC_API_VERSION,
        "ClusterRoleBinding",
        "clusterrolebindings",
        false,
    ),
    resource("v1", "LimitRange", "limitranges", true),
    resource("v1", "ResourceQuota", "resourcequotas", true),
    resource(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "networkpolicies",
        true,
    ),
];

/// The kinds whose objects are watched for changes by others.
pub fn watched() -> impl Iterator<Item = Resource> {
    POLICY_KINDS.into_iter().chain([CLUSTER_POLICIES, CLUSTERS])
}

/// The resource of an object, or `None` for a kind that the subscriber does not know.
pub fn of(reference: &ObjectRef) -> Option<Resource> {
    POLICY_KINDS
        .into_iter()
        .chain([
            CLUSTER_POLICIES,
            CLUSTERS,
            POLICY_CEILINGS,
            CONFIG_MAPS,
            LEASES,
        ])
        .find(|known| {
            known.api_version == reference.api_version
                && known.kind == reference.kind
                && known.namespaced == reference.namespace.is_some()
        })
}

impl Resource {
    /// A reference to an object of this kind.
    pub fn reference(&self, namespace: Option<&str>, name: &str) -> ObjectRef {
        ObjectRef {
            api_version: self.api_version.to_owned(),
            kind: self.kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// The group, empty for the core group.
    pub fn group(&self) -> &'static str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// The version without its group.
    pub fn version(&self) -> &'static str {
        self.api_version
            .split_once('/')
            .map_or(self.api_version, |(_, version)| version)
    }

    /// Path of all objects of this kind, over all namespaces.
    pub fn collection_path(&self) -> String {
        format!("{}/{}", self.root(), self.plural)
    }

    /// Path of one object.
    pub fn object_path(&self, reference: &ObjectRef) -> String {
        let name = escape(&reference.name);
        match &reference.namespace {
            Some(namespace) => {
                format!(
                    "{}/namespaces/{}/{}/{name}",
                    self.root(),
                    escape(namespace),
                    self.plural
                )
            }
            None => format!("{}/{}/{name}", self.root(), self.plural),
        }
    }

    fn root(&self) -> String {
        let prefix = if self.group().is_empty() {
            "/api"
        } else {
            "/apis"
        };
        format!("{prefix}/{}", self.api_version)
    }
}

/// Percent-encodes what has a meaning in a path or a query. RBAC names may hold nearly anything.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            escaped.push(byte as char);
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_path() {
        let path = |at: ObjectRef| of(&at).map(|resource| resource.object_path(&at));
        let roles = POLICY_KINDS[2];
        assert_eq!(
            path(roles.reference(Some("payments"), "writ:a b")).unwrap(),
            "/apis/rbac.authorization.k8s.io/v1/namespaces/payments/roles/writ:a%20b"
        );
        assert_eq!(
            path(POLICY_KINDS[0].reference(None, "payments")).unwrap(),
            "/api/v1/namespaces/payments"
        );
        assert_eq!(
            CLUSTER_POLICIES.collection_path(),
            "/apis/writ.dev/v1alpha1/clusterpolicies"
        );
    }

    #[test]
    fn a_kind_that_is_not_in_the_table_has_none() {
        let secret = resource("v1", "Secret", "secrets", true);
        assert_eq!(
            of(&secret.reference(Some("writ-system"), "writ-keys")),
            None
        );
        // The right kind without the namespace that it needs.
        assert_eq!(of(&POLICY_KINDS[2].reference(None, "reader")), None);
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        assert_eq!(
            escape("../../secrets?x=y#z%"),
            "..%2F..%2Fsecrets%3Fx%3Dy%23z%25"
        );
    }
}
