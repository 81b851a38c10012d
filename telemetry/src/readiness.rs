//! Whether a process does its work yet, as a list of what it still waits for.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// The parts that a process waits for. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

impl Readiness {
    /// From now on the process is not ready until that part is.
    pub fn await_part(&self, name: &'static str) -> Part {
        self.lock().insert(name);
        Part {
            readiness: self.clone(),
            name,
        }
    }

    /// What is waited for; nothing: the process is ready.
    pub fn missing(&self) -> Vec<&'static str> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<&'static str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of a process, which says itself whether it is ready.
#[derive(Debug, Clone)]
pub struct Part {
    readiness: Readiness,
    name: &'static str,
}

impl Part {
    /// Says it. A part may be unready again.
    pub fn set(&self, is_ready: bool) {
        let mut missing = self.readiness.lock();
        match is_ready {
            true => missing.remove(self.name),
            false => missing.insert(self.name),
        };
    }
}
