//! What the answers to an attempt say: for the next attempt, and for people. Does no I/O.

use std::collections::{BTreeMap, BTreeSet};

use writ_core::model::{Object, ObjectRef};
use writ_core::plan::{Observed, Plan, Reason, role_of};

use crate::apply::{Effect, Report, failure};
use crate::cluster::Error;
use crate::confirmed::Confirmed;
use crate::outcome::ObjectFailure;
use crate::waiting::For;

/// What a watch may see that these failures wait for.
pub(crate) fn waits_of(failures: &[ObjectFailure], objects: &[Object]) -> BTreeSet<For> {
    let role = |at: &ObjectRef| {
        let binding = objects.iter().find(|object| object.reference == *at)?;
        role_of(binding).map(For::Role)
    };
    let namespace = |at: &ObjectRef| at.namespace.clone().map(For::Namespace);
    failures
        .iter()
        .filter_map(|failure| match failure.reason {
            Reason::NamespaceMissing | Reason::NamespaceTerminating => {
                namespace(&failure.reference)
            }
            Reason::RoleMissing => role(&failure.reference),
            _ => None,
        })
        .collect()
}

/// Notes what the API server said about each object.
pub(crate) fn confirm(
    known: &Confirmed,
    plan: &Plan,
    observed: &Observed,
    assumed: &BTreeSet<ObjectRef>,
    report: &Report,
) {
    for kept in plan
        .unchanged
        .iter()
        .filter(|kept| !assumed.contains(&kept.reference))
    {
        if let Some(Some(found)) = observed.objects.get(&kept.reference) {
            known.note(&kept.reference, &found.resource_version, &found.content);
        }
    }
    for reference in plan
        .dropped
        .iter()
        .chain(plan.held.iter().map(|held| &held.reference))
    {
        known.doubt(reference);
    }
    for (reference, effect) in &report.effects {
        match effect {
            Effect::Present {
                resource_version,
                sent,
                ..
            } => {
                known.note(reference, resource_version, sent);
            }
            Effect::Absent { .. } | Effect::Released => known.doubt(reference),
        }
    }
    for (reference, _) in &report.failures {
        known.doubt(reference);
    }
}

/// What a plan holds back, and what its steps failed at.
pub(crate) fn failures_of(
    plan: &Plan,
    unread: &BTreeMap<ObjectRef, Error>,
    report: &Report,
) -> Vec<ObjectFailure> {
    let held = plan
        .held
        .iter()
        .map(|held| match unread.get(&held.reference) {
            Some(error) => failure(held.reference.clone(), error),
            None => ObjectFailure {
                reference: held.reference.clone(),
                reason: held.reason,
                message: held.message.clone(),
            },
        });
    let failed = report
        .failures
        .iter()
        .map(|(at, error)| failure(at.clone(), error));
    held.chain(failed).collect()
}
