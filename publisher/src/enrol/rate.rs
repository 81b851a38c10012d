//! How many requests are looked at: of each cluster and way of asking for itself, so that a flood holds
//! up nobody else.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use writ_connect::rate::Bucket;

/// Requests at once, and then one each period. A cluster asks every few seconds, from two processes at most.
const BURST_MAX: u32 = 8;
const PERIOD: Duration = Duration::from_millis(500);

/// Who is remembered. Names and ways are checked by the bus, so that nobody makes them up.
const BUCKETS_MAX: usize = 65_536;

/// One bucket a key.
pub(super) struct Rates<K> {
    buckets: HashMap<K, Bucket>,
}

impl<K: Eq + Hash> Rates<K> {
    pub(super) fn new() -> Rates<K> {
        Rates {
            buckets: HashMap::new(),
        }
    }

    /// Whether one more is taken.
    pub(super) fn takes(&mut self, key: K, now: Instant) -> bool {
        if self.buckets.len() >= BUCKETS_MAX {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
            if self.buckets.len() >= BUCKETS_MAX {
                return false;
            }
        }
        let bucket = self.buckets.entry(key);
        bucket
            .or_insert_with(|| Bucket::new(BURST_MAX, PERIOD, now))
            .take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_is_cut_and_another_is_taken() {
        let (mut rates, start) = (Rates::new(), Instant::now());
        let taken = (0..1_000).filter(|_| rates.takes("a", start)).count();
        assert_eq!(taken, 8);
        assert!(rates.takes("b", start));
        assert!(rates.takes("a", start + Duration::from_secs(1)));
    }
}
