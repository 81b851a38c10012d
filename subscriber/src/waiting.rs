//! What policies wait for that a watch may see, so that they are tried again at once when it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use writ_core::model::ObjectRef;
use writ_core::name::PolicyName;

/// Something that has to come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum For {
    /// A namespace that takes objects.
    Namespace(String),
    /// A role that a binding names.
    Role(ObjectRef),
}

/// Who waits for what.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<BTreeMap<PolicyName, BTreeSet<For>>>);

impl Waiting {
    /// All that a policy waits for now.
    pub(crate) fn set(&self, policy: &PolicyName, waits: BTreeSet<For>) {
        if waits.is_empty() {
            self.lock().remove(policy);
        } else {
            self.lock().insert(policy.clone(), waits);
        }
    }

    /// Whoever waits for that.
    pub(crate) fn of(&self, what: &For) -> Vec<PolicyName> {
        let waiting = self.lock();
        let policies = waiting.iter().filter(|(_, waits)| waits.contains(what));
        policies.map(|(policy, _)| policy.clone()).collect()
    }

    /// A panic while the map was locked leaves it whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PolicyName, BTreeSet<For>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
