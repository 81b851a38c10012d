//! Which roles are known to exist, so that a binding that stands costs no read of its role.
//!
//! Only presence is kept, and for a bounded time: an absent role is asked for each time, because a
//! binding waits for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use writ_core::model::ObjectRef;

/// How long a role counts as there without being asked for: roles that others delete, and that no
/// watch of ours sees, are missed within it.
pub const KNOWN_FOR_S: u64 = 300;
/// Roles that are remembered; beyond it all are asked for again.
pub const ROLES_MAX: usize = 10_000;

/// Roles that were seen to exist.
#[derive(Debug, Default)]
pub(crate) struct Roles(Mutex<HashMap<ObjectRef, Instant>>);

impl Roles {
    /// The API server said that it is there.
    pub(crate) fn note(&self, role: &ObjectRef) {
        let mut known = self.lock();
        if known.len() >= ROLES_MAX {
            known.clear();
        }
        known.insert(role.clone(), Instant::now());
    }

    /// It may be gone.
    pub(crate) fn doubt(&self, role: &ObjectRef) {
        self.lock().remove(role);
    }

    /// Whether it was there a short while ago.
    pub(crate) fn has(&self, role: &ObjectRef) -> bool {
        let limit = Duration::from_secs(KNOWN_FOR_S);
        self.lock()
            .get(role)
            .is_some_and(|since| since.elapsed() < limit)
    }

    /// A panic while the map was locked leaves it whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectRef, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
