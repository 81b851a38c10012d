//! What the API server confirmed about objects, and no watch has contradicted since.
//!
//! It saves reading before writing: an object whose uid and state are known is written or deleted
//! under just these as preconditions, and is read only if they do not hold. What is not changed by
//! an edit is not read again either, as long as its confirmation is fresh: from a write, a read, or
//! a list of the watch.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use writ_core::model::{Object, ObjectRef};
use writ_core::name::PolicyName;
use writ_core::plan::{InventoryItem, ObservedObject, content_hash, marked};

use crate::drift::RELIST_PERIOD_S;

/// How long a confirmation counts without another: a relist that is a third late.
pub const CONFIRMED_FOR_S: u64 = RELIST_PERIOD_S * 4 / 3;

/// States of objects at which they were as they should be.
#[derive(Debug, Default)]
pub(crate) struct Confirmed(Mutex<HashMap<ObjectRef, State>>);

#[derive(Debug, Clone)]
struct State {
    resource_version: String,
    /// `roleRef` and `subjects` of a binding: they decide how it is changed.
    binding: Option<Value>,
    at: Instant,
}

impl Confirmed {
    /// The API server said that an object is as it should be in this state.
    pub(crate) fn note(&self, reference: &ObjectRef, resource_version: &str, content: &Value) {
        let state = State {
            resource_version: resource_version.to_owned(),
            binding: content
                .get("roleRef")
                .map(|role| json!({"roleRef": role, "subjects": content["subjects"]})),
            at: Instant::now(),
        };
        self.lock().insert(reference.clone(), state);
    }

    /// Whether an object was as it should be a short while ago.
    pub(crate) fn has(&self, reference: &ObjectRef) -> bool {
        let limit = Duration::from_secs(CONFIRMED_FOR_S);
        self.lock()
            .get(reference)
            .is_some_and(|state| state.at.elapsed() <= limit)
    }

    /// An object may be another than it was.
    pub(crate) fn doubt(&self, reference: &ObjectRef) {
        self.lock().remove(reference);
    }

    /// A watch saw that state of an object. True if it is the confirmed one; otherwise the
    /// confirmation is worth nothing any more.
    pub(crate) fn meets(&self, reference: &ObjectRef, resource_version: Option<&str>) -> bool {
        let mut states = self.lock();
        let Some(state) = states.get_mut(reference) else {
            return false;
        };
        let same = resource_version == Some(state.resource_version.as_str());
        if same {
            state.at = Instant::now();
        } else {
            states.remove(reference);
        }
        same
    }

    /// What is known of a policy's objects without reading them.
    pub(crate) fn of(
        &self,
        policy: &PolicyName,
        desired: &[Object],
        inventory: &[InventoryItem],
    ) -> BTreeMap<ObjectRef, ObservedObject> {
        let wanted: BTreeMap<&ObjectRef, &Value> = desired
            .iter()
            .map(|object| (&object.reference, &object.content))
            .collect();
        let states = self.lock();
        let known = inventory.iter().filter_map(|item| {
            let state = states.get(&item.reference)?;
            let content = wanted
                .get(&item.reference)
                .map(|content| marked(policy, content));
            let unchanged = content.filter(|content| item.content == Some(content_hash(content)));
            let content = match unchanged {
                Some(_) if state.at.elapsed() > Duration::from_secs(CONFIRMED_FOR_S) => {
                    return None;
                }
                Some(content) => content,
                // As it should be, so with our marks.
                None => marked(policy, state.binding.as_ref().unwrap_or(&json!({}))),
            };
            let object = ObservedObject {
                uid: item.uid.clone()?,
                resource_version: state.resource_version.clone(),
                terminating: false,
                content,
            };
            Some((item.reference.clone(), object))
        });
        known.collect()
    }

    /// A panic while the map was locked leaves it whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
