//! What a plan would do, in words, for a cluster that is only observed.

use writ_core::plan::{Action, Plan, Reason};

use crate::outcome::ObjectFailure;

/// One entry for each step.
pub(crate) fn steps(plan: &Plan) -> Vec<ObjectFailure> {
    let entry = |step: &writ_core::plan::Step| {
        let what = match step.action {
            Action::Create { .. } => "would create",
            Action::Update { .. } => "would change",
            Action::Replace { .. } => "would replace, to bind another role",
            Action::Delete { .. } => "would delete",
            Action::Release { .. } => "would release, and leave in place",
        };
        let drift = step
            .undoes
            .map_or_else(String::new, |change| format!(" (drift: {change})"));
        ObjectFailure {
            reference: step.reference.clone(),
            reason: Reason::Observing,
            message: format!("{what}{drift}"),
        }
    };
    plan.steps().map(entry).collect()
}
