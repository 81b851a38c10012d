//! What has to be there before an object can be made.

use super::build::Builder;
use super::observed::NamespaceState;
use super::order::Phase;
use super::reason::Reason;
use super::roles::role_of;
use crate::model::{Object, ObjectRef};

impl Builder<'_> {
    /// Why an object cannot be made in its namespace now.
    pub(super) fn namespace_problem(&self, reference: &ObjectRef) -> Option<(Reason, String)> {
        let namespace = reference.namespace.as_deref()?;
        match self.observed.namespaces.get(namespace) {
            Some(NamespaceState::Active) => None,
            Some(NamespaceState::Missing) if self.is_coming(namespace) => None,
            Some(NamespaceState::Missing) => Some((
                Reason::NamespaceMissing,
                format!("namespace {namespace} does not exist and is not part of the policy"),
            )),
            Some(NamespaceState::Terminating) => Some((
                Reason::NamespaceTerminating,
                format!("namespace {namespace} is being deleted"),
            )),
            None => Some((
                Reason::Unavailable,
                format!("namespace {namespace} could not be read"),
            )),
        }
    }

    /// Whether a step of this plan makes that namespace.
    fn is_coming(&self, namespace: &str) -> bool {
        let steps = self.waves.get(&Phase::Namespaces);
        steps.is_some_and(|steps| steps.iter().any(|step| step.reference.name == namespace))
    }

    /// Why a binding waits for its role. A binding that stands is kept meanwhile.
    pub(super) fn role_problem(&self, object: &Object) -> Option<(Reason, String)> {
        let role = role_of(object)?;
        if self.not_ours.contains(&role) {
            // Bound all the same, it would grant what somebody else wrote.
            let message = format!("{role} is part of the policy, and another's has its place");
            return Some((Reason::RoleMissing, message));
        }
        let is_there = match self.objects.contains_key(&role) {
            true => match self.observed.objects.get(&role) {
                Some(None) => !self.plan.held.iter().any(|held| held.reference == role),
                _ => true,
            },
            false => *self.observed.roles.get(&role).unwrap_or(&true),
        };
        let message = || format!("{role} does not exist and is not made by this policy");
        (!is_there).then(|| (Reason::RoleMissing, message()))
    }
}
