//! How often each caller may call.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Callers that are counted apart. Beyond that, those who have not called for longest are forgotten, and
/// have all their calls again.
const CALLERS_MAX: usize = 10_000;

/// A bucket of tokens: some at once, and one more each period.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    left: f64,
    most: f64,
    period: Duration,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(most: u32, period: Duration, now: Instant) -> Bucket {
        let most = f64::from(most);
        Bucket {
            left: most,
            most,
            period,
            at: now,
        }
    }

    fn filled(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at);
        (self.left + since.as_secs_f64() / self.period.as_secs_f64()).min(self.most)
    }

    /// Whether it is as a new one.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.filled(now) >= self.most
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.left = self.filled(now);
        self.at = now;
        let is_there = self.left >= 1.0;
        if is_there {
            self.left -= 1.0;
        }
        is_there
    }
}

/// A bucket for every caller.
#[derive(Debug)]
pub(super) struct Rates {
    a_second: u32,
    callers: Mutex<HashMap<String, Bucket>>,
}

impl Rates {
    /// So many calls a second for each caller, and four seconds' worth at once.
    pub(super) fn new(a_second: u32) -> Rates {
        Rates {
            a_second: a_second.max(1),
            callers: Mutex::default(),
        }
    }

    /// Counts a call; whether it may go on.
    pub(super) fn take(&self, caller: &str, now: Instant) -> bool {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = callers.get_mut(caller) {
            return bucket.take(now);
        }
        if callers.len() >= CALLERS_MAX {
            let mut times: Vec<Instant> = callers.values().map(|bucket| bucket.at).collect();
            times.sort_unstable();
            let median = times[times.len() / 2];
            callers.retain(|_, bucket| bucket.at > median);
        }
        let period = Duration::from_secs(1) / self.a_second;
        let mut bucket = Bucket::new(self.a_second.saturating_mul(4), period, now);
        let is_there = bucket.take(now);
        callers.insert(caller.to_owned(), bucket);
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_caller_is_refused_and_another_one_is_not() {
        let (rates, now) = (Rates::new(10), Instant::now());
        let taken = (0..100).filter(|_| rates.take("a", now)).count();
        assert_eq!(taken, 40);
        assert!(rates.take("b", now));
        let later = now + Duration::from_secs(1);
        let taken = (0..100).filter(|_| rates.take("a", later)).count();
        assert_eq!(taken, 10);
    }

    #[test]
    fn callers_without_number_take_no_memory_without_end() {
        let (rates, now) = (Rates::new(10), Instant::now());
        for number in 0..3 * CALLERS_MAX {
            let at = now + Duration::from_micros(number as u64);
            assert!(rates.take(&number.to_string(), at));
        }
        assert!(rates.callers.lock().unwrap().len() <= CALLERS_MAX);
    }
}
