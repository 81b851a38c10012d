//! What the record lists before and after the steps of a plan, and what those steps say about the work
//! of others. Does no I/O.

use std::collections::{BTreeMap, BTreeSet};

use writ_core::model::ObjectRef;
use writ_core::plan::{
    Action, InventoryItem, Observed, Plan, Reason, Record, is_deletable, temporary_reference,
};

use crate::apply::{Effect, Report};
use crate::cluster::ErrorKind;
use crate::outcome::Drift;

/// The inventory while the steps are carried out: all that was there, and all that may come.
pub(crate) fn intended(before: &[InventoryItem], plan: &Plan) -> Vec<InventoryItem> {
    let mut items = by_reference(before);
    for step in plan.steps() {
        match &step.action {
            Action::Create { content } => {
                let reference = step.reference.clone();
                let item = InventoryItem {
                    deletable: is_deletable(content),
                    ..InventoryItem::intended(reference.clone())
                };
                items.insert(reference, item);
            }
            Action::Replace { .. } => {
                let temporary = temporary_reference(&step.reference);
                items.insert(temporary.clone(), InventoryItem::intended(temporary));
            }
            // Already listed, but for what is taken over or was left behind.
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
    for kept in &plan.unchanged {
        // Somebody made it anew, just as it was.
        if let Some(item) = items.get_mut(&kept.reference) {
            item.uid = Some(kept.uid.clone());
        }
    }
    for (reference, effect) in &report.effects {
        match effect {
            Effect::Present {
                uid, content, sent, ..
            } => {
                let item = InventoryItem {
                    uid: Some(uid.clone()),
                    content: Some(*content),
                    deletable: is_deletable(sent),
                    ..InventoryItem::intended(reference.clone())
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

/// What others changed, and whether the plan puts it back.
pub(crate) fn drift_of(plan: &Plan, observed: &Observed, writes: bool) -> Vec<Drift> {
    let found = |at: &ObjectRef| observed.objects.get(at).and_then(Option::as_ref);
    let drift = |reference: &ObjectRef, change, put_back| Drift {
        reference: reference.clone(),
        change,
        manager: found(reference)
            .and_then(|found| found.last_manager())
            .map(str::to_owned),
        put_back,
    };
    let undone = plan
        .steps()
        .filter_map(|step| Some(drift(&step.reference, step.undoes?, writes)));
    let left = plan
        .held
        .iter()
        .filter_map(|held| Some(drift(&held.reference, held.leaves?, false)));
    undone.chain(left).collect()
}
