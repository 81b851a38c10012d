//! What the record lists before and after the steps of a plan, and what those steps say about the work
//! of others. Does no I/O.

use std::collections::{BTreeMap, BTreeSet};

use writ_core::model::ObjectRef;
use writ_core::plan::{
    Action, InventoryItem, Observed, Plan, Record, is_deletable, temporary_reference,
};

use crate::apply::{Effect, Report};
use crate::cluster::ErrorKind;
use crate::outcome::Drift;

/// The inventory while the steps are carried out: all that was there, and all that may come. What the plan
/// found to be ours is listed by the uid that it has: it may be another than the one recorded, made by a
/// process that died then, and what told of that is not listed for ever.
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
            Action::Replace { uid, .. } => {
                know_by(&mut items, &step.reference, uid);
                let temporary = temporary_reference(&step.reference);
                items.insert(temporary.clone(), InventoryItem::intended(temporary));
            }
            // Already listed, but for what is taken over or was left behind.
            Action::Update { uid, .. } => {
                let item = InventoryItem::intended(step.reference.clone());
                items.entry(step.reference.clone()).or_insert(item);
                know_by(&mut items, &step.reference, uid);
            }
            Action::Delete { uid, .. } | Action::Release { uid, .. } => {
                know_by(&mut items, &step.reference, uid);
            }
        }
    }
    items.into_values().collect()
}

fn know_by(items: &mut BTreeMap<ObjectRef, InventoryItem>, at: &ObjectRef, uid: &str) {
    let item = items.get_mut(at);
    if let Some(listed) = item.and_then(|item| item.uid.as_mut()) {
        uid.clone_into(listed);
    }
}

/// Whether the record in the cluster already says where this attempt goes and what it may touch.
///
/// What is to be made anew must not stand there under the uid of the one before it: a process that
/// starts between would take the new object for somebody's copy, and leave it.
pub(crate) fn covers(stored: &Record, ahead: &Record) -> bool {
    let known: BTreeMap<&ObjectRef, &InventoryItem> = stored
        .objects
        .iter()
        .map(|item| (&item.reference, item))
        .collect();
    let place = |record: &Record| (record.as_of, record.word, record.hash, record.removed);
    let is_known = |item: &InventoryItem| {
        let known = known.get(&item.reference);
        known.is_some_and(|known| known.uid.is_none() || known.uid == item.uid)
    };
    place(stored) == place(ahead) && ahead.objects.iter().all(is_known)
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
    for kept in &plan.unchanged {
        // Somebody made it anew, just as it was.
        if let Some(item) = items.get_mut(&kept.reference) {
            item.uid = Some(kept.uid.clone());
        }
    }
    let open = plan.open_stand_ins();
    for (reference, effect) in &report.effects {
        match effect {
            Effect::Absent { .. } if open.contains(reference) => {
                let item = InventoryItem::intended(reference.clone());
                items.insert(reference.clone(), item);
            }
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
            // One plan may make a stand-in anew and take away the one that was left behind: that the
            // old one is gone says nothing of the new one.
            Effect::Absent { uid } => {
                let listed = items.get(reference).and_then(|item| item.uid.as_ref());
                if listed.is_none_or(|listed| listed == uid) {
                    items.remove(reference);
                }
            }
            Effect::Released => drop(items.remove(reference)),
        }
    }
    let leaving: BTreeSet<&ObjectRef> = plan
        .steps()
        .filter(|step| matches!(step.action, Action::Delete { .. } | Action::Release { .. }))
        .map(|step| &step.reference)
        .collect();
    for (reference, error) in &report.failures {
        // What could not be taken away may still give access: it stays listed until it is gone.
        if error.kind == ErrorKind::Foreign && !leaving.contains(reference) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use writ_core::hash::Hash;
    use writ_core::model::{Adopt, Removal};
    use writ_core::name::PolicyName;
    use writ_core::plan::{Limits, ObservedObject, OnDrift, Reason, Wanted, content_hash, plan};
    use writ_core::revision::{Generation, Revision};

    use super::*;
    use crate::cluster::Error;

    fn binding() -> ObjectRef {
        ObjectRef {
            api_version: "rbac.authorization.k8s.io/v1".to_owned(),
            kind: "ClusterRoleBinding".to_owned(),
            namespace: None,
            name: "owners".to_owned(),
        }
    }

    fn recorded() -> Vec<InventoryItem> {
        vec![InventoryItem {
            uid: Some("ours".to_owned()),
            ..InventoryItem::intended(binding())
        }]
    }

    /// The plan that removes the binding, of which an object of that uid was found.
    fn removal(uid: &str) -> Plan {
        removal_of(&recorded(), uid)
    }

    fn removal_of(recorded: &[InventoryItem], uid: &str) -> Plan {
        let stand_in = temporary_reference(&binding());
        removal_from(recorded, [(binding(), found(uid)), (stand_in, None)])
    }

    fn found(uid: &str) -> Option<ObservedObject> {
        let labels = json!({"writ.dev/managed": "true", "writ.dev/policy": "payments"});
        let metadata = json!({"uid": uid, "resourceVersion": "1", "labels": labels});
        ObservedObject::read(json!({"metadata": metadata}))
    }

    /// The same where that is what could be read.
    fn removal_from<const N: usize>(
        recorded: &[InventoryItem],
        read: [(ObjectRef, Option<ObservedObject>); N],
    ) -> Plan {
        let policy = PolicyName::parse("payments").unwrap();
        let observed = Observed {
            objects: BTreeMap::from(read),
            ..Observed::default()
        };
        let wanted = Wanted {
            policy: &policy,
            objects: &[],
            removal: Removal::Prune,
            adopt: Adopt::Never,
            drift: OnDrift::PutBack,
        };
        plan(&wanted, recorded, &observed, &Limits::NONE)
    }

    #[test]
    fn what_is_held_back_from_removal_stays_listed_so_that_it_is_not_called_gone() {
        let made = removal("another");
        assert_eq!(made.held[0].reason, Reason::ForeignObject);
        let left = confirmed(&recorded(), &made, &Report::default());
        assert_eq!(left, recorded());
    }

    #[test]
    fn what_the_ceiling_does_not_let_be_deleted_stays_listed() {
        let made = removal("ours");
        let refused = Error::new(ErrorKind::Foreign, "delete", binding(), "it is not marked");
        let report = Report {
            failures: vec![(binding(), refused)],
            ..Report::default()
        };
        assert_eq!(made.steps().count(), 1);
        assert_eq!(confirmed(&recorded(), &made, &report), recorded());
    }

    #[test]
    fn a_binding_that_was_replaced_by_a_process_that_died_then_is_removed_all_the_same() {
        let mut recorded = recorded();
        recorded.push(InventoryItem::intended(temporary_reference(&binding())));
        let made = removal_of(&recorded, "another");
        assert_eq!((made.steps().count(), made.held.len()), (1, 0));
    }

    #[test]
    fn what_is_removed_under_another_uid_is_listed_by_that_one() {
        // The stand-in is dropped; were the removal to fail, the binding would be taken for a copy.
        let mut recorded = recorded();
        recorded.push(InventoryItem::intended(temporary_reference(&binding())));
        let made = removal_of(&recorded, "another");
        assert_eq!(made.dropped, [temporary_reference(&binding())]);
        let ahead = intended(&recorded, &made);
        assert_eq!(ahead[0].uid.as_deref(), Some("another"));
        let lost = Error::new(ErrorKind::Unavailable, "delete", binding(), "no answer");
        let report = Report {
            failures: vec![(binding(), lost)],
            ..Report::default()
        };
        let left = confirmed(&ahead, &made, &report);
        let again = removal_of(&left, "another");
        assert_eq!((again.steps().count(), again.held.len()), (1, 0));
    }

    #[test]
    fn a_stand_in_stays_listed_until_its_binding_could_be_read() {
        let mut recorded = recorded();
        recorded.push(InventoryItem::intended(temporary_reference(&binding())));
        let made = removal_from(&recorded, [(temporary_reference(&binding()), None)]);
        assert_eq!(made.held[0].reason, Reason::Unavailable);
        assert_eq!(confirmed(&recorded, &made, &Report::default()), recorded);
    }

    #[test]
    fn a_stand_in_that_was_taken_away_stays_listed_until_its_binding_could_be_read() {
        let stand_in = temporary_reference(&binding());
        let mut recorded = recorded();
        recorded.push(standing_in("stand-in"));
        let made = removal_from(&recorded, [(stand_in.clone(), found("stand-in"))]);
        assert_eq!((made.steps().count(), made.held.len()), (1, 1));
        let uid = "stand-in".to_owned();
        let report = Report {
            effects: vec![(stand_in, Effect::Absent { uid })],
            ..Report::default()
        };
        let left = confirmed(&intended(&recorded, &made), &made, &report);
        // Made by a process that died before it recorded that: it is ours all the same.
        let again = removal_of(&left, "another");
        assert_eq!((again.steps().count(), again.held.len()), (1, 0));
    }

    fn standing_in(uid: &str) -> InventoryItem {
        InventoryItem {
            uid: Some(uid.to_owned()),
            ..InventoryItem::intended(temporary_reference(&binding()))
        }
    }

    #[test]
    fn a_stand_in_stays_listed_when_the_one_before_it_is_gone() {
        let (stand_in, content) = (temporary_reference(&binding()), json!({}));
        let report = Report {
            effects: vec![
                (
                    stand_in.clone(),
                    Effect::Present {
                        uid: "new".to_owned(),
                        resource_version: "2".to_owned(),
                        content: content_hash(&content),
                        sent: content,
                    },
                ),
                (
                    stand_in.clone(),
                    Effect::Absent {
                        uid: "old".to_owned(),
                    },
                ),
            ],
            ..Report::default()
        };
        let left = confirmed(&[standing_in("old")], &Plan::default(), &report);
        let uids: Vec<_> = left.iter().map(|item| item.uid.as_deref()).collect();
        assert_eq!(uids, [Some("new")]);
    }

    #[test]
    fn what_is_made_anew_is_not_covered_by_the_uid_of_the_one_before_it() {
        let record = |item: InventoryItem| Record {
            as_of: Revision::ZERO,
            word: Revision::ZERO,
            generation: Generation::default(),
            hash: Hash([0; 32]),
            feed: "policy.eu.prod".parse().unwrap(),
            removed: false,
            done: false,
            tried: false,
            removal: Removal::Prune,
            objects: vec![item],
        };
        let intended = InventoryItem::intended(temporary_reference(&binding()));
        let stored = record(standing_in("old"));
        assert!(!covers(&stored, &record(intended.clone())));
        assert!(covers(&stored, &stored));
        assert!(covers(&record(intended), &stored));
    }
}
