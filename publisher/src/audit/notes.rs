//! What a call turned out to be about, told by whoever serves it to whoever records it.

use std::sync::{Arc, Mutex, PoisonError};

use writ_core::revision::Revision;

tokio::task_local! {
    /// Of the call that this task serves.
    static NOTES: Notes;
}

/// Shared between the service and the record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Noted>>);

/// What is known of a call beside its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noted {
    pub(crate) name: Option<String>,
    pub(crate) generation: Option<u64>,
    pub(crate) revision: Option<Revision>,
    pub(crate) request_id: Option<String>,
    pub(crate) dry_run: bool,
}

impl Notes {
    /// Serves a call whose notes these are.
    pub(crate) async fn of<F: Future>(&self, call: F) -> F::Output {
        NOTES.scope(self.clone(), call).await
    }

    /// What was noted.
    pub(super) fn noted(&self) -> Noted {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Notes something of the call that is being served; nothing where there is none.
pub(crate) fn note(add: impl FnOnce(&mut Noted)) {
    let _ = NOTES.try_with(|notes| {
        add(&mut notes.0.lock().unwrap_or_else(PoisonError::into_inner));
    });
}
