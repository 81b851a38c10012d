//! The guards: edits that are right in themselves, and are refused because of what is in force.
//!
//! Owns deletion protection, and the rule that one object has one policy. Promises that a refusal says
//! what stands in the way. Both look at clusters that are registered now: where a cluster comes later,
//! or its labels change, the cluster itself says `ClaimedByPolicy`, and registering it is not refused.
//! No I/O.

use std::collections::HashSet;

use writ_core::{
    edit::Kind,
    model::{Cluster, ClusterIdentity, ClusterPolicy, Document},
};

use crate::{error::EditError, validate::Validated, view::View};

/// Checks an edit against what is in force. An edit that changes nothing is never refused.
pub(crate) fn check(validated: &Validated, view: &View) -> Result<(), EditError> {
    if validated.submission.kind != Kind::Policy {
        return Ok(());
    }
    let stored = view
        .document(Kind::Policy, &validated.name)
        .map(AsRef::as_ref);
    if stored.is_some() && validated.says_the_same(stored) {
        return Ok(());
    }
    let next = policy(validated.document());
    if let Some(stored) = policy(stored).filter(|stored| stored.deletion_protection) {
        check_protection(stored, next, view)?;
    }
    next.map_or(Ok(()), |next| check_claims(next, view))
}

fn policy(document: Option<&Document>) -> Option<&ClusterPolicy> {
    match document? {
        Document::Policy(policy) => Some(policy),
        Document::Cluster(_) | Document::Record(_) => None,
    }
}

/// The policy as it is stored decides, so that clearing the protection takes an edit of its own.
fn check_protection(
    stored: &ClusterPolicy,
    next: Option<&ClusterPolicy>,
    view: &View,
) -> Result<(), EditError> {
    let is_left = |cluster: &ClusterIdentity| {
        stored.clusters.matches(cluster) && !next.is_some_and(|next| next.clusters.matches(cluster))
    };
    let clusters = view.clusters().map(Cluster::identity).filter(is_left);
    let mut lost: Vec<String> = clusters
        .map(|cluster| format!("cluster {}", cluster.name))
        .collect();
    lost.extend(stored.losses(next));
    // A policy that holds nothing, and is for nobody yet, is still not to be deleted.
    if next.is_none() && lost.is_empty() {
        lost.push("the policy itself".to_owned());
    }
    if lost.is_empty() {
        return Ok(());
    }
    let name = stored.name.to_string();
    Err(EditError::Protected { name, lost })
}

/// Bindings of grants carry the name of their policy, so that only written objects can meet.
fn check_claims(next: &ClusterPolicy, view: &View) -> Result<(), EditError> {
    let references: HashSet<_> = next
        .objects
        .iter()
        .map(|of| of.reference.identity())
        .collect();
    // Most names of other policies are told apart by this cheaper question.
    let names: HashSet<&str> = references.iter().map(|(.., name)| *name).collect();
    let mut selected: Option<Vec<ClusterIdentity>> = None;
    for (_, document) in view.documents_after(Kind::Policy, None) {
        let Some(other) = policy(Some(document)).filter(|other| other.name != next.name) else {
            continue;
        };
        let met = other.objects.iter().find(|object| {
            names.contains(object.reference.name.as_str())
                && references.contains(&object.reference.identity())
        });
        let Some(object) = met else { continue };
        let selected = selected.get_or_insert_with(|| {
            let registered = view.clusters().map(Cluster::identity);
            registered
                .filter(|cluster| next.clusters.matches(cluster))
                .collect()
        });
        if let Some(cluster) = selected.iter().find(|of| other.clusters.matches(of)) {
            return Err(EditError::Claimed {
                object: object.reference.to_string(),
                other: other.name.to_string(),
                cluster: cluster.name.to_string(),
            });
        }
    }
    Ok(())
}
