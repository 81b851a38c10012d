//! What leaves a policy: deleted, left behind, or not ours.

use super::build::{Builder, is_namespace};
use super::marks::remarked;
use super::observed::ObservedObject;
use super::order::Phase;
use super::reason::Reason;
use super::record::InventoryItem;
use super::step::Action;
use crate::model::{ObjectRef, Removal};

impl Builder<'_> {
    /// An object that is recorded and not wanted any more. `may_be_anew`: its stand-in is recorded too, so
    /// that it may have been replaced by a process that did not come to record its uid.
    pub(super) fn remove(
        &mut self,
        reference: &ObjectRef,
        item: &InventoryItem,
        may_be_anew: bool,
    ) {
        if let Some(message) = self.observed.undecided.get(reference) {
            return self.hold(reference, Reason::Unavailable, message.clone());
        }
        let Some(found) = self.observed.objects.get(reference) else {
            return self.hold_unread(reference);
        };
        let Some(found) = found else {
            return self.plan.dropped.push(reference.clone());
        };
        let mark = found.policy() == Some(self.wanted.policy.as_str());
        match &item.uid {
            Some(uid) if *uid == found.uid && (mark || found.was_written()) => {
                self.take_away(reference, item, found, mark);
            }
            None if mark => self.take_away(reference, item, found, mark),
            Some(_) if mark && may_be_anew => self.take_away(reference, item, found, mark),
            // Restored or copied: it may still give access, and it is not the object that we wrote.
            Some(_) if mark => {
                let message = format!(
                    "{reference} carries this policy's mark, but is not the object that was \
                     written: delete it, or take the mark off"
                );
                self.hold(reference, Reason::ForeignObject, message);
            }
            // Somebody else's object under the same name.
            _ => self.plan.dropped.push(reference.clone()),
        }
    }

    fn take_away(
        &mut self,
        reference: &ObjectRef,
        item: &InventoryItem,
        found: &ObservedObject,
        marked: bool,
    ) {
        let (uid, resource_version) = (found.uid.clone(), found.resource_version.clone());
        let stays = match is_namespace(reference) {
            true => !item.deletable || self.wanted.removal == Removal::Orphan,
            false => self.wanted.removal == Removal::Orphan,
        };
        if found.terminating && !(stays && is_namespace(reference)) {
            let (reason, by) = match is_namespace(reference) {
                true => (Reason::NamespaceTerminating, "what is in it goes first"),
                false => (Reason::Finalizing, "a finalizer holds it"),
            };
            return self.hold(reference, reason, format!("is being deleted, {by}"));
        }
        let action = if stays {
            Action::Release {
                uid,
                resource_version,
            }
        } else {
            Action::Delete {
                uid,
                resource_version,
                remarked: (!marked).then(|| remarked(self.wanted.policy, &found.content)),
            }
        };
        self.step_in(Phase::removes(&reference.kind), reference, action, None);
    }
}
