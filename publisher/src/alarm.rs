//! Alarms: what stands on the bus and can't be believed. Counted, and logged where it was decided.
//!
//! Promises: a flood of them is not a flood of log lines.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use writ_core::subject::BusSubject;
use writ_telemetry::describe;

use crate::metrics::Meters;

/// Time between two lines of one category and subject: often enough to see that it goes on.
const LOG_PERIOD: Duration = Duration::from_secs(1);

/// Subjects that are told apart; those that come after so many share a line, so that whoever makes them up
/// fills neither the memory nor the log.
const SUBJECTS_MAX: usize = 64;

/// Counts that their clones share.
#[derive(Clone)]
pub(crate) struct Alarms {
    counts: Arc<Mutex<Counts>>,
    meters: Meters,
}

#[derive(Debug, Default)]
struct Counts {
    total: u64,
    logged: BTreeMap<(&'static str, String), Instant>,
}

impl Counts {
    /// Counts one; the total where it is to be logged.
    fn raise(&mut self, category: &'static str, subject: String, now: Instant) -> Option<u64> {
        self.total += 1;
        let mut key = (category, subject);
        if self.logged.len() >= SUBJECTS_MAX && !self.logged.contains_key(&key) {
            key.1.clear();
        }
        let last = self.logged.get(&key);
        if last.is_some_and(|at| now.duration_since(*at) < LOG_PERIOD) {
            return None;
        }
        self.logged.insert(key, now);
        Some(self.total)
    }
}

impl Alarms {
    pub(crate) fn new(meters: Meters) -> Alarms {
        let counts = Arc::default();
        Alarms { counts, meters }
    }

    /// Counts one message that is skipped, and logs it unless one like it was just logged.
    pub(crate) fn raise(
        &self,
        subject: &BusSubject,
        category: &'static str,
        error: &dyn std::error::Error,
    ) {
        self.meters.not_believed();
        let due = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.raise(category, subject.to_string(), Instant::now())
        };
        if let Some(total) = due {
            let causes = describe(error);
            tracing::error!(alarm = category, %subject, total, "a message is not believed: {causes}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_whole_and_logged_now_and_then() {
        let (mut counts, start) = (Counts::default(), Instant::now());
        let mut raise = |subject: &str, at_ms| {
            let now = start + Duration::from_millis(at_ms);
            counts.raise("not_verified", subject.to_owned(), now)
        };
        let logged: Vec<u64> = (0..1_000).filter_map(|at| raise("a", 3 * at)).collect();
        assert_eq!(logged, [1, 335, 669]);
        // Another subject is not hidden by it, unless there are too many.
        assert_eq!(raise("b", 2_999), Some(1_001));
        let made_up = (0..1_000).filter_map(|at| raise(&format!("made-up-{at}"), 3_000));
        assert_eq!(made_up.count(), SUBJECTS_MAX - 2 + 1);
    }
}
