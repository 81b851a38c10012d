//! The kinds that the subscriber touches, and where the API server serves them.
//!
//! A closed table for the kinds that every cluster serves and on which the subscriber has rights by
//! default. Further kinds, which a cluster's owner opted into, are asked of the API server when a
//! policy first names one, and are kept for the life of the process.

use std::sync::LazyLock;

use tokio::sync::watch;
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
/// Where the subscriber keeps its keys: one Secret, which it may read and write, and no other.
pub const SECRETS: Resource = resource("v1", "Secret", "secrets", true);
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

/// Most further kinds that are kept. Each has a watch of its own; a cluster's owner who opts into
/// more than this gives policies the run of the cluster.
pub const FURTHER_KINDS_MAX: usize = 64;

/// Further kinds that policies of this process's cluster hold. A process has one cluster, and where a
/// kind is served does not change while it is: an answer of the API server, not a state.
static FURTHER: LazyLock<watch::Sender<Vec<Resource>>> =
    LazyLock::new(|| watch::Sender::new(Vec::new()));

/// The further kinds that are used, and news of more.
pub(crate) fn further() -> watch::Receiver<Vec<Resource>> {
    FURTHER.subscribe()
}

/// Keeps a further kind from now on; false if there are [`FURTHER_KINDS_MAX`] already.
pub(crate) fn keep(found: &Found) -> bool {
    let mut is_kept = true;
    FURTHER.send_if_modified(|kept| {
        let known = |known: &&Resource| {
            (known.api_version, known.kind) == (found.api_version.as_str(), found.kind.as_str())
        };
        if kept.iter().any(|kind| known(&kind)) {
            return false;
        }
        is_kept = kept.len() < FURTHER_KINDS_MAX;
        if is_kept {
            kept.push(found.leak());
        }
        is_kept
    });
    is_kept
}

/// A kind as an API server serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// As in a manifest.
    pub api_version: String,
    /// As in a manifest.
    pub kind: String,
    /// As in a path.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Found {
    /// Kept for the life of the process, so that a resource stays a small value: there are at most
    /// [`FURTHER_KINDS_MAX`].
    fn leak(&self) -> Resource {
        let keep = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        Resource {
            api_version: keep(&self.api_version),
            kind: keep(&self.kind),
            plural: keep(&self.plural),
            namespaced: self.namespaced,
        }
    }
}

impl From<Resource> for Found {
    fn from(resource: Resource) -> Found {
        Found {
            api_version: resource.api_version.to_owned(),
            kind: resource.kind.to_owned(),
            plural: resource.plural.to_owned(),
            namespaced: resource.namespaced,
        }
    }
}

/// Whether objects of that kind are watched already.
pub(crate) fn is_watched(reference: &ObjectRef) -> bool {
    let is = |known: Resource| {
        (known.api_version, known.kind) == (&reference.api_version, &reference.kind)
    };
    watched().any(is) || FURTHER.borrow().iter().any(|known| is(*known))
}

/// The resource of an object, or `None` for a kind that the subscriber does not know.
pub fn of(reference: &ObjectRef) -> Option<Resource> {
    let is = |known: &Resource| {
        known.api_version == reference.api_version
            && known.kind == reference.kind
            && known.namespaced == reference.namespace.is_some()
    };
    POLICY_KINDS
        .into_iter()
        .chain([
            CLUSTER_POLICIES,
            CLUSTERS,
            POLICY_CEILINGS,
            CONFIG_MAPS,
            SECRETS,
            LEASES,
        ])
        .find(is)
        .or_else(|| FURTHER.borrow().iter().copied().find(is))
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
        let endpoints = resource("v1", "Endpoints", "endpoints", true);
        assert_eq!(of(&endpoints.reference(Some("payments"), "db")), None);
        // The right kind without the namespace that it needs.
        assert_eq!(of(&POLICY_KINDS[2].reference(None, "reader")), None);
    }

    #[test]
    fn a_further_kind_is_known_from_when_it_is_kept_and_only_in_its_own_place() {
        let widgets = Found {
            api_version: "example.com/v1".to_owned(),
            kind: "Widget".to_owned(),
            plural: "widgets".to_owned(),
            namespaced: true,
        };
        let at = widgets.leak().reference(Some("a"), "b");
        assert_eq!(of(&at), None);
        assert!(keep(&widgets) && keep(&widgets));
        assert_eq!(
            of(&at).unwrap().object_path(&at),
            "/apis/example.com/v1/namespaces/a/widgets/b"
        );
        let cluster_wide = widgets.leak().reference(None, "b");
        assert_eq!(of(&cluster_wide), None);
        assert!(is_watched(&at) && further().borrow().len() == 1);
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_the_path() {
        assert_eq!(
            escape("../../secrets?x=y#z%"),
            "..%2F..%2Fsecrets%3Fx%3Dy%23z%25"
        );
    }
}
