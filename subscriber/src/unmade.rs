//! Bindings whose role could not be made in the same attempt.
//!
//! Kubernetes takes a binding of a role that does not exist, and it then grants whatever somebody
//! else makes under that name. So such a binding is not sent; one that stands loses the subjects that
//! leave all the same.

use std::collections::BTreeSet;

use writ_core::model::{Object, ObjectRef};
use writ_core::plan::{Action, Plan, Step, role_of};

use crate::cluster::{Error, ErrorKind};

/// The roles that a plan should have made and that are not there.
pub(crate) struct Unmade<'a>(BTreeSet<&'a ObjectRef>);

/// An object that failed, and why.
type Failure = (ObjectRef, Error);

impl<'a> Unmade<'a> {
    /// What the failures until now leave unmade.
    pub(crate) fn so_far(plan: &'a Plan, failures: &[Failure]) -> Unmade<'a> {
        let failed: BTreeSet<&ObjectRef> = failures.iter().map(|(at, _)| at).collect();
        let unmade = plan.steps().filter(|step| {
            matches!(step.action, Action::Create { .. }) && failed.contains(&step.reference)
        });
        Unmade(unmade.map(|step| &step.reference).collect())
    }

    /// What of a step is to be carried out, and why not all of it.
    pub(crate) fn hold_back(&self, step: &Step) -> (Option<Step>, Option<Failure>) {
        let Some(role) = self.role_of(step) else {
            return (Some(step.clone()), None);
        };
        let message = format!("{role} could not be made");
        let at = step.reference.clone();
        let error = Error::new(ErrorKind::RoleMissing, "apply", &at, message);
        (narrowing(step), Some((at, error)))
    }

    /// The unmade role that a step would bind.
    fn role_of(&self, step: &Step) -> Option<ObjectRef> {
        let (Action::Create { content } | Action::Replace { content, .. }) = &step.action else {
            return None;
        };
        if self.0.is_empty() {
            return None;
        }
        let (reference, content) = (step.reference.clone(), content.clone());
        role_of(&Object { reference, content }).filter(|role| self.0.contains(role))
    }
}

/// The revocation in a replacement.
fn narrowing(step: &Step) -> Option<Step> {
    let Action::Replace { uid, narrowed, .. } = &step.action else {
        return None;
    };
    let (uid, content) = (uid.clone(), narrowed.clone()?);
    Some(Step {
        action: Action::Update { uid, content },
        ..step.clone()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use writ_core::plan::{Phase, Wave};

    use super::*;

    const RBAC: &str = "rbac.authorization.k8s.io/v1";

    fn step(kind: &str, name: &str, action: Action) -> Step {
        let reference = ObjectRef {
            api_version: RBAC.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: name.to_owned(),
        };
        let undoes = None;
        Step {
            reference,
            action,
            undoes,
        }
    }

    fn binding_of(role: &str) -> Value {
        json!({"roleRef": {"kind": "ClusterRole", "name": role}})
    }

    #[test]
    fn a_binding_waits_for_its_role_and_who_leaves_it_does_not() {
        let content = json!({});
        let role = step("ClusterRole", "refused", Action::Create { content });
        let steps = vec![role.clone()];
        let phase = Phase::applies("ClusterRole");
        let plan = Plan {
            waves: vec![Wave { phase, steps }],
            ..Plan::default()
        };
        let refused = Error::new(ErrorKind::Ceiling, "create", &role.reference, "no");
        let unmade = Unmade::so_far(&plan, &[(role.reference, refused)]);

        let made = |of: &str| {
            let content = binding_of(of);
            step("ClusterRoleBinding", "b", Action::Create { content })
        };
        let (carried_out, held) = unmade.hold_back(&made("refused"));
        assert_eq!(
            (carried_out, held.unwrap().1.kind),
            (None, ErrorKind::RoleMissing)
        );
        let (carried_out, held) = unmade.hold_back(&made("other"));
        assert!(carried_out == Some(made("other")) && held.is_none());

        let (uid, narrowed) = ("u".to_owned(), Some(binding_of("old")));
        let replacement = Action::Replace {
            uid: uid.clone(),
            resource_version: "1".to_owned(),
            content: binding_of("refused"),
            narrowed,
        };
        let (carried_out, held) = unmade.hold_back(&step("ClusterRoleBinding", "b", replacement));
        let content = binding_of("old");
        let revocation = step("ClusterRoleBinding", "b", Action::Update { uid, content });
        assert_eq!(carried_out, Some(revocation));
        assert!(held.is_some());
    }
}
