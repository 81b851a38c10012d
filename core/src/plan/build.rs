//! The planner.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::compare::contains;
use super::marks::marked;
use super::observed::{NamespaceState, Observed, ObservedObject};
use super::reason::Reason;
use super::record::InventoryItem;
use super::step::{Action, Held, Kept, Phase, Plan, Step, Wave};
use crate::hash::Hash;
use crate::model::{Object, ObjectRef};
use crate::name::PolicyName;

/// Plans the way from what is there to what is wanted. `desired` is empty for a policy that is gone.
///
/// An object is ours if the inventory lists it and its uid is the recorded one or it carries this
/// policy's mark. A mark that the inventory does not back proves nothing.
pub fn plan(
    policy: &PolicyName,
    desired: &[Object],
    inventory: &[InventoryItem],
    observed: &Observed,
) -> Plan {
    let mut builder = Builder {
        policy,
        observed,
        plan: Plan::default(),
        waves: BTreeMap::new(),
    };
    let items: BTreeMap<&ObjectRef, &InventoryItem> = inventory
        .iter()
        .map(|item| (&item.reference, item))
        .collect();
    let wanted: BTreeMap<&ObjectRef, &Value> = desired
        .iter()
        .map(|object| (&object.reference, &object.content))
        .collect();
    let coming: BTreeSet<&str> = wanted
        .keys()
        .filter(|reference| is_namespace(reference))
        .filter(|reference| observed.objects.get(**reference) == Some(&None))
        .map(|reference| reference.name.as_str())
        .collect();
    for (reference, content) in &wanted {
        builder.bring(reference, content, items.get(*reference).copied(), &coming);
    }
    for (reference, item) in items {
        if !wanted.contains_key(reference) {
            builder.remove(reference, item);
        }
    }
    builder.finish()
}

/// Hash of an object's content as it is sent for that policy.
pub fn content_hash(content: &Value) -> Hash {
    // A JSON value always has a canonical form: its keys are text and its numbers finite.
    Hash::of(&serde_json_canonicalizer::to_vec(content).unwrap_or_default())
}

struct Builder<'a> {
    policy: &'a PolicyName,
    observed: &'a Observed,
    plan: Plan,
    waves: BTreeMap<Phase, Vec<Step>>,
}

impl Builder<'_> {
    fn bring(
        &mut self,
        reference: &ObjectRef,
        content: &Value,
        item: Option<&InventoryItem>,
        coming: &BTreeSet<&str>,
    ) {
        if let Some(other) = self
            .observed
            .claims
            .get(reference)
            .filter(|at| *at != self.policy)
        {
            let message = format!("{reference} belongs to policy {other}");
            return self.hold(reference, Reason::ClaimedByPolicy, message);
        }
        let Some(found) = self.observed.objects.get(reference) else {
            return self.hold_unread(reference);
        };
        let content = marked(self.policy, content);
        let phase = Phase::applies(&reference.kind);
        let Some(found) = found else {
            return match self.namespace_problem(reference, coming) {
                None => self.step(phase, reference, Action::Create { content }),
                Some((reason, message)) => self.hold(reference, reason, message),
            };
        };
        match owner(self.policy, item, found) {
            Owner::Us => {}
            Owner::Policy(other) => {
                let message = format!("{reference} carries the mark of policy {other}");
                return self.hold(reference, Reason::ClaimedByPolicy, message);
            }
            Owner::Foreign => {
                let message = format!("{reference} exists and was not written by this policy");
                return self.hold(reference, Reason::ForeignObject, message);
            }
        }
        let uid = found.uid.clone();
        if found.terminating {
            let reason = if is_namespace(reference) {
                Reason::NamespaceTerminating
            } else {
                Reason::Finalizing
            };
            self.hold(reference, reason, format!("{reference} is being deleted"));
        } else if role_changed(&found.content, &content) {
            let resource_version = found.resource_version.clone();
            self.step(
                phase,
                reference,
                Action::Replace {
                    uid,
                    resource_version,
                    content,
                },
            );
        } else if is_recorded(item, &uid, &content) && contains(&found.content, &content) {
            self.plan.unchanged.push(Kept {
                reference: reference.clone(),
                uid,
            });
        } else {
            self.step(phase, reference, Action::Update { uid, content });
        }
    }

    fn remove(&mut self, reference: &ObjectRef, item: &InventoryItem) {
        let Some(found) = self.observed.objects.get(reference) else {
            return self.hold_unread(reference);
        };
        let ours = found.as_ref().filter(|found| match &item.uid {
            Some(uid) => *uid == found.uid,
            None => found.policy() == Some(self.policy.as_str()),
        });
        // Gone already, or somebody else's object under the same name.
        let Some(found) = ours else {
            return self.plan.dropped.push(reference.clone());
        };
        let (uid, resource_version) = (found.uid.clone(), found.resource_version.clone());
        let phase = Phase::removes(&reference.kind);
        if phase == Phase::ReleaseNamespaces {
            self.step(
                phase,
                reference,
                Action::Release {
                    uid,
                    resource_version,
                },
            );
        } else if found.terminating {
            let message = format!("{reference} is being deleted, a finalizer holds it");
            self.hold(reference, Reason::Finalizing, message);
        } else {
            self.step(
                phase,
                reference,
                Action::Delete {
                    uid,
                    resource_version,
                },
            );
        }
    }

    /// Why an object cannot be made in its namespace now.
    fn namespace_problem(
        &self,
        reference: &ObjectRef,
        coming: &BTreeSet<&str>,
    ) -> Option<(Reason, String)> {
        let namespace = reference.namespace.as_deref()?;
        match self.observed.namespaces.get(namespace) {
            Some(NamespaceState::Active) => None,
            Some(NamespaceState::Missing) if coming.contains(namespace) => None,
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

    fn hold_unread(&mut self, reference: &ObjectRef) {
        self.hold(
            reference,
            Reason::Unavailable,
            format!("{reference} could not be read"),
        );
    }

    fn hold(&mut self, reference: &ObjectRef, reason: Reason, message: String) {
        self.plan.held.push(Held {
            reference: reference.clone(),
            reason,
            message,
        });
    }

    fn step(&mut self, phase: Phase, reference: &ObjectRef, action: Action) {
        let step = Step {
            reference: reference.clone(),
            action,
        };
        self.waves.entry(phase).or_default().push(step);
    }

    fn finish(self) -> Plan {
        let waves = self
            .waves
            .into_iter()
            .map(|(phase, steps)| Wave { phase, steps })
            .collect();
        Plan { waves, ..self.plan }
    }
}

enum Owner<'a> {
    Us,
    Policy(&'a str),
    Foreign,
}

fn owner<'a>(
    policy: &PolicyName,
    item: Option<&InventoryItem>,
    found: &'a ObservedObject,
) -> Owner<'a> {
    let same = item.and_then(|item| item.uid.as_deref()) == Some(found.uid.as_str());
    match found.policy() {
        _ if same => Owner::Us,
        Some(mark) if mark != policy.as_str() => Owner::Policy(mark),
        Some(_) if item.is_some() => Owner::Us,
        // What Writ made and left behind may be taken back, by whichever policy names it.
        None if found.is_released() => Owner::Us,
        _ => Owner::Foreign,
    }
}

/// Whether this content was confirmed for this object before. Otherwise it is sent even when the
/// object contains it: only that takes away fields that an older content had and this one has not.
fn is_recorded(item: Option<&InventoryItem>, uid: &str, content: &Value) -> bool {
    item.is_some_and(|item| {
        item.uid.as_deref() == Some(uid) && item.content == Some(content_hash(content))
    })
}

fn role_changed(found: &Value, wanted: &Value) -> bool {
    match (found.get("roleRef"), wanted.get("roleRef")) {
        (Some(found), Some(wanted)) => ["kind", "name"].iter().any(|key| found[key] != wanted[key]),
        _ => false,
    }
}

fn is_namespace(reference: &ObjectRef) -> bool {
    reference.kind == "Namespace" && reference.api_version == "v1"
}
