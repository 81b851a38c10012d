//! What the record lists before and after the steps of a plan, and what those steps say about the work
//! of others. Does no I/O.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use writ_core::model::ObjectRef;
use writ_core::plan::{
    Action, FIELD_MANAGER, InventoryItem, Observed, Plan, Reason, Record, temporary_reference,
};

use crate::apply::{Effect, Report};
use crate::cluster::ErrorKind;
use crate::outcome::{Change, Drift};

/// The inventory while the steps are carried out: all that was there, and all that may come.
pub(crate) fn intended(before: &[InventoryItem], plan: &Plan) -> Vec<InventoryItem> {
    let mut items = by_reference(before);
    for step in plan.steps() {
        match step.action {
            Action::Create { .. } => {
                let reference = step.reference.clone();
                items.insert(reference.clone(), InventoryItem::intended(reference));
            }
            Action::Replace { .. } => {
                let temporary = temporary_reference(&step.reference);
                items.insert(temporary.clone(), InventoryItem::intended(temporary));
            }
            // Already listed, but for a Namespace that was left behind and is taken back.
            Action::Update { .. } => {
                let item = InventoryItem::intended(step.reference.clone());
                items.entry(step.reference.clone()).or_insert(item);
            }
            Action::Delete { .. } | Action::Release { .. } => {}
        }
    }
    items.into_values().collect()
}

/// Whether the record in the cluster already says where this attempt goes and what it may touch.
pub(crate) fn covers(stored: &Record, ahead: &Record) -> bool {
    let known: BTreeSet<&ObjectRef> = stored.objects.iter().map(|item| &item.reference).collect();
    let place = |record: &Record| (record.as_of, record.word, record.hash, record.removed);
    place(stored) == place(ahead)
        && ahead
            .objects
            .iter()
            .all(|item| known.contains(&item.reference))
}

/// The inventory after the steps: what is there, and what may be.
pub(crate) fn confirmed(
    ahead: &[InventoryItem],
    plan: &Plan,
    report: &Report,
) -> Vec<InventoryItem> {
    let mut items = by_reference(ahead);
    for reference in &plan.dropped {
        items.remove(reference);
    }
    for held in &plan.held {
        if matches!(held.reason, Reason::ForeignObject | Reason::ClaimedByPolicy) {
            items.remove(&held.reference);
        }
    }
    for (reference, effect) in &report.effects {
        match effect {
            Effect::Present { uid, content, .. } => {
                let item = InventoryItem {
                    reference: reference.clone(),
                    uid: Some(uid.clone()),
                    content: Some(*content),
                };
                items.insert(reference.clone(), item);
            }
            Effect::Absent | Effect::Released => drop(items.remove(reference)),
        }
    }
    for (reference, error) in &report.failures {
        if error.kind == ErrorKind::Foreign {
            items.remove(reference);
        } else {
            // Whether it was done is not known.
            let item = InventoryItem::intended(reference.clone());
            items.entry(reference.clone()).or_insert(item);
        }
    }
    items.into_values().collect()
}

fn by_reference(items: &[InventoryItem]) -> BTreeMap<ObjectRef, InventoryItem> {
    items
        .iter()
        .map(|item| (item.reference.clone(), item.clone()))
        .collect()
}

/// What others changed, where all was confirmed before.
pub(crate) fn drift_of(plan: &Plan, observed: &Observed) -> Vec<Drift> {
    plan.steps()
        .map(|step| {
            let change = match step.action {
                Action::Create { .. } => Change::Deleted,
                Action::Replace { .. } => Change::Rebound,
                Action::Update { .. } | Action::Delete { .. } | Action::Release { .. } => {
                    Change::Changed
                }
            };
            let found = observed
                .objects
                .get(&step.reference)
                .and_then(Option::as_ref);
            let manager = found.and_then(|found| last_manager(&found.content));
            Drift {
                reference: step.reference.clone(),
                change,
                manager,
            }
        })
        .collect()
}

/// The field manager that wrote last besides us. Times are RFC 3339 in UTC, so text order is time
/// order.
fn last_manager(content: &Value) -> Option<String> {
    let entries = content.pointer("/metadata/managedFields")?.as_array()?;
    entries
        .iter()
        .filter(|entry| entry["manager"] != FIELD_MANAGER)
        .max_by_key(|entry| entry["time"].as_str().unwrap_or_default())
        .and_then(|entry| entry["manager"].as_str().map(str::to_owned))
}
