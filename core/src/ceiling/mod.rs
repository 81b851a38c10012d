//! The ceiling: what the cluster's owner lets Writ do there, as the subscriber reads it from
//! `PolicyCeiling/default`.
//!
//! Owns the parsed form of that object and the check of one desired object against it. Promises the
//! same outcome as the admission policies of `deploy/ceiling.yaml`, for a better message before
//! anything is sent; a test puts the same objects through both.
//! Never the enforcement: that is the API server's alone. What only the API server can see is not
//! judged here: the object that is there already, and whose a role is that a binding names.

mod bindings;
mod namespaces;
mod pattern;
mod read;
mod roles;
#[cfg(test)]
mod tests;
mod violation;

use serde_json::Value;

use crate::hash::Hash;
use crate::model::{OWN_NAMESPACE, Object, ObjectRef};

pub use pattern::Pattern;
pub use read::Error;
pub use violation::Violation;

/// The kind of the object that a ceiling is read from.
pub const KIND: &str = "PolicyCeiling";
/// The only name of it that is in force.
pub const NAME: &str = "default";
/// Annotation by which an object's owner agrees that Writ may adopt it.
pub const ADOPTABLE: &str = "writ.dev/adoptable";
/// Label by which a role's owner agrees that Writ may bind it.
pub const BINDABLE: &str = "writ.dev/bindable";
/// Annotation that a Namespace has to carry before Writ deletes it.
pub const REMOVAL: &str = "writ.dev/removal";

/// Namespace that no ceiling allows: asking for it by dry-run proves that the ceiling is in force.
pub const PROBE_NAMESPACE: &str = "writ-ceiling-probe";

/// API groups that Writ never writes, whatever the ceiling says.
const NEVER_WRITTEN_GROUPS: [&str; 7] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];
/// Kinds of the core group that Writ never writes.
const NEVER_WRITTEN_KINDS: [&str; 3] = ["Secret", "Node", "PersistentVolume"];
/// Kinds of Writ's own group that it writes: the mirrors.
const MIRRORS: [&str; 2] = ["Cluster", "ClusterPolicy"];

/// What Writ may do in a cluster at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceiling {
    protected_namespaces: Vec<Pattern>,
    protected_names: Vec<Pattern>,
    bindable_cluster_roles: Vec<String>,
    bind_own_cluster_roles: bool,
    allow_aggregation: bool,
    denied_verbs: Vec<String>,
    denied_resources: Vec<String>,
    read_only_resources: Vec<String>,
    denied_api_groups: Vec<String>,
    read_only_api_groups: Vec<String>,
    allowed_urls: Vec<Pattern>,
    denied_users: Vec<Pattern>,
    denied_groups: Vec<Pattern>,
    pod_security_minimum: PodSecurity,
    pod_security_required: bool,
    adoptable: Vec<Adoptable>,
    hash: Hash,
}

/// A level of pod security, least secure first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum PodSecurity {
    Privileged,
    Baseline,
    Restricted,
}

/// An object that Writ may take over.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Adoptable {
    kind: String,
    #[serde(default)]
    namespace: Option<String>,
    name: String,
}

impl Ceiling {
    /// Reads a `PolicyCeiling` as the API server returns it, with every field filled in.
    pub fn parse(object: &Value) -> Result<Ceiling, Error> {
        read::ceiling(object)
    }

    /// Identifies what the ceiling says: SHA-256 of the canonical JSON of its spec.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Whether Writ has to keep out of a namespace.
    pub fn forbids_namespace(&self, namespace: &str) -> bool {
        [OWN_NAMESPACE, PROBE_NAMESPACE].contains(&namespace)
            || pattern::any(&self.protected_namespaces, namespace)
    }

    /// Whether the ceiling agrees that Writ adopts an object. Its owner may agree too, by the
    /// annotation [`ADOPTABLE`] on the object itself.
    pub fn allows_adoption(&self, object: &ObjectRef) -> bool {
        self.adoptable.iter().any(|one| {
            one.kind == object.kind && one.name == object.name && one.namespace == object.namespace
        })
    }

    /// Whether the admission policies would take this object. The message names the limit.
    pub fn check(&self, object: &Object) -> Result<(), Violation> {
        let (reference, content) = (&object.reference, &object.content);
        check_kind(reference)?;
        self.check_place(reference)?;
        match (group(reference), reference.kind.as_str()) {
            ("", "Namespace") => self.check_pod_security(content),
            (RBAC_GROUP, "Role" | "ClusterRole") => self.check_role(reference, content),
            (RBAC_GROUP, "RoleBinding" | "ClusterRoleBinding") => {
                self.check_binding(reference, content)
            }
            _ => Ok(()),
        }
    }

    fn check_place(&self, reference: &ObjectRef) -> Result<(), Violation> {
        let is_namespace = group(reference).is_empty() && reference.kind == "Namespace";
        let place = match &reference.namespace {
            _ if is_namespace => &reference.name,
            Some(namespace) => namespace,
            None => return Ok(()),
        };
        if self.forbids_namespace(place) {
            return Err(Violation::protected(
                format!("namespace {place:?}"),
                "protectedNamespaces",
            ));
        }
        Ok(())
    }

    /// Checks the name of a role or binding, or of a role that is bound.
    fn protects_name(&self, name: &str) -> bool {
        const KUBERNETES: [&str; 4] = ["cluster-admin", "admin", "edit", "view"];
        name.starts_with("system:")
            || name.starts_with("writ-")
            || KUBERNETES.contains(&name)
            || pattern::any(&self.protected_names, name)
    }

    fn check_name(&self, reference: &ObjectRef) -> Result<(), Violation> {
        if self.protects_name(&reference.name) {
            let name = format!("name {:?}", reference.name);
            return Err(Violation::protected(name, "protectedNames"));
        }
        Ok(())
    }
}

/// The API group of roles and bindings.
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

fn group(reference: &ObjectRef) -> &str {
    let split = reference.api_version.split_once('/');
    split.map_or("", |(group, _)| group)
}

fn check_kind(reference: &ObjectRef) -> Result<(), Violation> {
    let (group, kind) = (group(reference), reference.kind.as_str());
    let is_mirror = MIRRORS.contains(&kind);
    if NEVER_WRITTEN_GROUPS.contains(&group)
        || (group.is_empty() && NEVER_WRITTEN_KINDS.contains(&kind))
        || (group == "writ.dev" && !is_mirror)
    {
        return Err(Violation::never(format!("kind {kind}")));
    }
    Ok(())
}

/// The texts of a list; what is not there, or null, is empty.
fn texts<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a str> + Clone {
    items(value, key).iter().filter_map(Value::as_str)
}

/// The items of a list; what is not there, or null, is empty.
fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}
