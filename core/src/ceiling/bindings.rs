//! RoleBindings and ClusterRoleBindings under the ceiling: which role, and to whom.

use serde_json::Value;

use super::{Ceiling, OWN_NAMESPACE, Violation, items, pattern};
use crate::model::ObjectRef;

/// How a ServiceAccount is spelled as a user, followed by its namespace and name.
const ACCOUNT_USER: &str = "system:serviceaccount:";
/// How the ServiceAccounts of a namespace are spelled as a group.
const ACCOUNT_GROUP: &str = "system:serviceaccounts:";

impl Ceiling {
    pub(super) fn check_binding(
        &self,
        reference: &ObjectRef,
        content: &Value,
    ) -> Result<(), Violation> {
        self.check_name(reference)?;
        let role = &content["roleRef"];
        let text = |key: &str| role[key].as_str().unwrap_or_default();
        self.check_bound(text("kind"), text("name"))?;
        let namespace = reference.namespace.as_deref().unwrap_or_default();
        items(content, "subjects")
            .iter()
            .try_for_each(|subject| self.check_subject(subject, namespace))
    }

    /// Checks the role by its name. Whether a role with that name is Writ's own is seen by the API
    /// server alone.
    fn check_bound(&self, kind: &str, name: &str) -> Result<(), Violation> {
        let is_cluster_role = kind == "ClusterRole";
        let is_listed = is_cluster_role
            && !name.starts_with("writ-")
            && self
                .bindable_cluster_roles
                .iter()
                .any(|listed| listed == name);
        let what = || format!("{kind} {name:?} may not be bound");
        if self.protects_name(name) && !is_listed {
            return Err(Violation::not_allowed(what(), "bindableClusterRoles"));
        }
        if is_cluster_role && !is_listed && !self.bind_own_cluster_roles {
            return Err(Violation::not_allowed(what(), "bindOwnClusterRoles"));
        }
        Ok(())
    }

    fn check_subject(&self, subject: &Value, namespace: &str) -> Result<(), Violation> {
        let text = |key: &str| subject[key].as_str().unwrap_or_default();
        let (kind, name) = (text("kind"), text("name"));
        if let Some(home) = home(subject, namespace) {
            // An unusable spelling names no namespace, and nobody.
            let is_protected = home == OWN_NAMESPACE
                || (!home.is_empty() && pattern::any(&self.protected_namespaces, home));
            let what = || format!("service accounts of namespace {home:?}");
            return if is_protected {
                Err(Violation::protected(what(), "protectedNamespaces"))
            } else {
                Ok(())
            };
        }
        match kind {
            "User" if pattern::any(&self.denied_users, name) => {
                Err(Violation::denied(format!("user {name:?}"), "deniedUsers"))
            }
            "Group" if pattern::any(&self.denied_groups, name) => {
                Err(Violation::denied(format!("group {name:?}"), "deniedGroups"))
            }
            _ => Ok(()),
        }
    }
}

/// The namespace of the ServiceAccounts that a subject means, in any of its three spellings.
fn home<'a>(subject: &'a Value, namespace: &'a str) -> Option<&'a str> {
    let name = subject["name"].as_str().unwrap_or_default();
    let first = |rest: &'a str| rest.split(':').next().unwrap_or_default();
    match subject["kind"].as_str()? {
        "ServiceAccount" => Some(subject["namespace"].as_str().unwrap_or(namespace)),
        "User" => name.strip_prefix(ACCOUNT_USER).map(first),
        "Group" => name.strip_prefix(ACCOUNT_GROUP).map(first),
        _ => None,
    }
}
