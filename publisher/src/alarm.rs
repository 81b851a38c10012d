//! Alarms: what stands on the bus and can't be believed. Counted, and logged where it was decided.
//!
//! Promises: a flood of them is not a flood of log lines.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use writ_core::subject::BusSubject;

/// Time between two lines of one category: often enough to see that it goes on, and about what.
const LOG_PERIOD: Duration = Duration::from_secs(1);

/// Counts that their clones share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarms(Arc<Mutex<BTreeMap<&'static str, Count>>>);

#[derive(Debug, Default)]
struct Count {
    total: u64,
    logged: Option<Instant>,
}

impl Count {
    /// Counts one; the total where it is to be logged.
    fn raise(&mut self, now: Instant) -> Option<u64> {
        self.total += 1;
        let is_due = self
            .logged
            .is_none_or(|at| now.duration_since(at) >= LOG_PERIOD);
        is_due.then(|| {
            self.logged = Some(now);
            self.total
        })
    }
}

impl Alarms {
    /// Counts one message that is skipped, and logs it unless one of its category was just logged.
    pub(crate) fn raise(
        &self,
        subject: &BusSubject,
        category: &'static str,
        error: &dyn std::error::Error,
    ) {
        let due = {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            counts.entry(category).or_default().raise(Instant::now())
        };
        if let Some(total) = due {
            let causes = describe(error);
            tracing::error!(alarm = category, %subject, total, "a message is not believed: {causes}");
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_whole_and_logged_now_and_then() {
        let (mut count, start) = (Count::default(), Instant::now());
        let logged: Vec<u64> = (0..1_000)
            .filter_map(|at| count.raise(start + Duration::from_millis(3 * at)))
            .collect();
        assert_eq!(logged, [1, 335, 669]);
        assert_eq!(count.total, 1_000);
    }
}
