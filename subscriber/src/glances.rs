//! Objects that are about to be looked at, because a watch saw something. One that is waited for
//! already is not waited for twice: whoever rewrites an object all the time must not fill the memory
//! while its policy is busy.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use writ_core::model::ObjectRef;

/// Objects, and whether there was further news of each while it was waited for.
#[derive(Debug, Default)]
pub(crate) struct Glances(Mutex<HashMap<ObjectRef, bool>>);

/// The one who is going to look at an object.
pub(crate) struct Glance<'a> {
    all: &'a Glances,
    at: &'a ObjectRef,
}

impl Glances {
    /// Says that there is news of an object; nothing if somebody is going to look at it anyway.
    pub(crate) fn begin<'a>(&'a self, at: &'a ObjectRef) -> Option<Glance<'a>> {
        let mut waiting = self.lock();
        if let Some(more) = waiting.get_mut(at) {
            *more = true;
            return None;
        }
        waiting.insert(at.clone(), false);
        Some(Glance { all: self, at })
    }

    /// A panic while the map was locked leaves it whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Glance<'_> {
    /// Looks from now on: later news needs another look. Says whether there was more than one until now.
    pub(crate) fn look(self) -> bool {
        // In one step: news that came between asking and leaving would be nobody's.
        let is_more = self.all.lock().remove(self.at).unwrap_or_default();
        // What has that place from now on is another's.
        std::mem::forget(self);
        is_more
    }
}

impl Drop for Glance<'_> {
    fn drop(&mut self) {
        self.all.lock().remove(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::NAMESPACES;

    #[test]
    fn news_of_an_object_that_is_waited_for_is_noted_and_not_waited_for_again() {
        let (glances, at) = (Glances::default(), NAMESPACES.reference(None, "a"));
        let first = glances.begin(&at).unwrap();
        assert!(glances.begin(&at).is_none() && glances.begin(&at).is_none());
        assert!(first.look());
        let later = glances.begin(&at).unwrap();
        assert!(!later.look());
        let (next, other) = (glances.begin(&at).unwrap(), glances.begin(&at));
        assert!(other.is_none() && next.look());
        // Whoever gives up does not keep others from looking.
        drop(glances.begin(&at));
        assert!(glances.begin(&at).is_some());
    }
}
