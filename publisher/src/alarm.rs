//! Alarms: what stands on the bus and can't be believed. Counted, and logged where it was decided.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use writ_core::subject::BusSubject;

/// A count that its clones share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarms(Arc<AtomicU64>);

impl Alarms {
    /// Counts and logs one message that is skipped.
    pub(crate) fn raise(
        &self,
        subject: &BusSubject,
        category: &'static str,
        error: &dyn std::error::Error,
    ) {
        let total = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        let causes = describe(error);
        tracing::error!(alarm = category, %subject, total, "a message is not believed: {causes}");
    }
}

/// An error with its causes, for one line of the log.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
