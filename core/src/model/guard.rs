//! The guard against locking Writ out: no policy touches the subscriber's own objects, takes the
//! names that are Writ's, or reaches for Kubernetes' own `system:` roles. What else a cluster's
//! owner forbids is the ceiling's business.

use super::kind::{ObjectKind, ObjectRef};
use super::report::quoted;

/// The namespace of the subscriber in every cluster.
pub const OWN_NAMESPACE: &str = "writ-system";

/// Beginning of the names of Writ's own objects that are cluster-wide or of RBAC: the subscriber's
/// roles and bindings, the ceiling and its policies.
const OWN_PREFIX: &str = "writ-";

/// Beginning of the names of the subscriber's own objects, of any kind.
const SUBSCRIBER_PREFIX: &str = "writ-subscriber";

/// ConfigMaps of this namespace are read as grants and as trust by API servers and clouds (`aws-auth`,
/// `extension-apiserver-authentication`), past RBAC and past the ceiling.
const SYSTEM_NAMESPACE: &str = "kube-system";

/// The group that is above RBAC: a grant to it gives nothing, and whoever reads it believes otherwise.
const MASTERS: &str = "system:masters";

/// Beginning of the names of bindings that grants are expanded into.
pub(super) const GRANT_PREFIX: &str = "writ:";

/// Beginning of the names that Kubernetes keeps for itself in RBAC.
const SYSTEM_PREFIX: &str = "system:";

/// End of the names of the temporary bindings that stand in while a `roleRef` is replaced.
const TEMPORARY_SUFFIX: &str = ":replacing";

/// Checks a namespace that a policy wants to hold or to write into.
pub(super) fn check_namespace(namespace: &str) -> Result<(), String> {
    if namespace == OWN_NAMESPACE {
        Err(format!(
            "{OWN_NAMESPACE} holds the subscriber itself, no policy may touch it"
        ))
    } else {
        Ok(())
    }
}

/// Checks the name of an object. `grants_of` is the policy whose expanded grants may be among the
/// objects: set for compiled policies only.
pub(super) fn check_object_name(
    kind: Option<ObjectKind>,
    reference: &ObjectRef,
    grants_of: Option<&str>,
) -> Result<(), String> {
    let name = &reference.name;
    if kind == Some(ObjectKind::Namespace) {
        return check_namespace(name);
    }
    let is_rbac = kind.is_some_and(ObjectKind::is_rbac);
    let is_binding = kind.is_some_and(ObjectKind::is_binding);
    if name.starts_with(SUBSCRIBER_PREFIX) {
        return Err(format!(
            "names that begin with {SUBSCRIBER_PREFIX} are the subscriber's own"
        ));
    }
    if (is_rbac || reference.namespace.is_none()) && name.starts_with(OWN_PREFIX) {
        return Err(format!(
            "names that begin with {OWN_PREFIX} are Writ's own here"
        ));
    }
    if is_rbac && name.starts_with(SYSTEM_PREFIX) {
        return Err(format!(
            "names that begin with {SYSTEM_PREFIX} belong to Kubernetes"
        ));
    }
    if is_binding && name.ends_with(TEMPORARY_SUFFIX) {
        return Err(format!(
            "names that end with {TEMPORARY_SUFFIX} are temporary ones of Writ"
        ));
    }
    let Some(rest) = name.strip_prefix(GRANT_PREFIX) else {
        return Ok(());
    };
    let is_own_grant = is_binding
        && grants_of.is_some_and(|policy| {
            rest.strip_prefix(policy)
                .is_some_and(|grant| grant.starts_with(':'))
        });
    if is_own_grant {
        Ok(())
    } else {
        Err(format!(
            "names that begin with {GRANT_PREFIX} are made from grants"
        ))
    }
}

/// Checks the namespace of a ConfigMap.
pub(super) fn check_config_map(namespace: &str) -> Result<(), String> {
    if namespace == SYSTEM_NAMESPACE {
        Err(format!(
            "ConfigMaps in {SYSTEM_NAMESPACE} can grant access past RBAC, no policy may hold one"
        ))
    } else {
        Ok(())
    }
}

/// Checks the name of a role that a binding or grant refers to.
pub(super) fn check_role_name(name: &str) -> Result<(), String> {
    if name.starts_with(OWN_PREFIX) {
        Err(format!(
            "{} is a role of Writ itself, no policy may hand it out",
            quoted(name)
        ))
    } else if name.starts_with(SYSTEM_PREFIX) {
        Err(format!(
            "{} belongs to Kubernetes, no policy may hand it out",
            quoted(name)
        ))
    } else {
        Ok(())
    }
}

/// Checks a user or group: the names by which the subscriber's own service account is known.
pub(super) fn check_subject_name(name: &str) -> Result<(), String> {
    let own_user = format!("system:serviceaccount:{OWN_NAMESPACE}:");
    let own_group = format!("system:serviceaccounts:{OWN_NAMESPACE}");
    if name == MASTERS {
        return Err(format!(
            "{} is asked nothing by an API server, no policy may name it",
            quoted(name)
        ));
    }
    if name.starts_with(&own_user) || name == own_group {
        Err(format!(
            "{} is the subscriber itself, no policy may grant it anything",
            quoted(name)
        ))
    } else {
        Ok(())
    }
}
