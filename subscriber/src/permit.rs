//! What the engine may do in its cluster: apply policies within the ceiling, only look, or nothing.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use writ_core::model::{Object, ObjectRef};
use writ_core::plan::{Limits, Reason};

/// Why an object must not be written, for people; `None` if it may.
pub type Forbids = Arc<dyn Fn(&Object) -> Option<String> + Send + Sync>;
/// Whether the ceiling lets an object be taken over.
pub type Adoptable = Arc<dyn Fn(&ObjectRef) -> bool + Send + Sync>;

/// What the cluster's owner allows, as far as it can be told before asking the API server.
#[derive(Clone)]
pub struct Bounds {
    /// Why an object must not be written.
    pub forbids: Forbids,
    /// Whether an object may be taken over that does not say so itself.
    pub adoptable: Adoptable,
}

/// What the engine may do.
#[derive(Debug, Clone)]
pub enum Permit {
    /// Apply policies.
    Enforce(Bounds),
    /// Plan and report; nothing is written, not even mirrors.
    Observe(Bounds),
    /// Nothing: that the ceiling is in force is not proven, for this reason.
    Nothing(String),
}

impl Bounds {
    /// Everything is allowed; nothing is taken over but what says so itself.
    pub fn none() -> Bounds {
        Bounds {
            forbids: Arc::new(|_| None),
            adoptable: Arc::new(|_| false),
        }
    }

    /// The same for the planner.
    pub(crate) fn limits(&self) -> Limits<'_> {
        Limits {
            forbids: &*self.forbids,
            adoptable: &*self.adoptable,
        }
    }
}

impl fmt::Debug for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounds").finish_non_exhaustive()
    }
}

impl Permit {
    /// The bounds, or why nothing is done.
    pub(crate) fn bounds(&self) -> Result<&Bounds, (Reason, &str)> {
        match self {
            Permit::Enforce(bounds) | Permit::Observe(bounds) => Ok(bounds),
            Permit::Nothing(message) => Err((Reason::CeilingNotEnforced, message)),
        }
    }

    pub(crate) fn is_enforcing(&self) -> bool {
        matches!(self, Permit::Enforce(_))
    }
}

/// The permit in force; it may change at any time. An attempt keeps the bounds that it began with.
#[derive(Debug)]
pub(crate) struct Permits(Mutex<Arc<Permit>>);

impl Default for Permits {
    fn default() -> Permits {
        Permits(Mutex::new(Arc::new(Permit::Enforce(Bounds::none()))))
    }
}

impl Permits {
    pub(crate) fn get(&self) -> Arc<Permit> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, permit: Permit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(permit);
    }
}
