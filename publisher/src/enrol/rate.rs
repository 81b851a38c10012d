//! How many requests are looked at: of each cluster and way of asking for itself, so that a flood holds
//! up nobody else.

use std::{collections::HashMap, hash::Hash, time::Instant};

/// Requests at once, and then a second. A cluster asks every few seconds, from two processes at most.
const BURST_MAX: f64 = 8.0;
const RATE_PER_S: f64 = 2.0;

/// Who is remembered. Names and ways are checked by the bus, so that nobody makes them up.
const BUCKETS_MAX: usize = 65_536;

struct Bucket {
    left: f64,
    at: Instant,
}

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
        let filled = |bucket: &Bucket| {
            let seconds = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.left + seconds * RATE_PER_S).min(BURST_MAX)
        };
        if self.buckets.len() >= BUCKETS_MAX {
            self.buckets.retain(|_, bucket| filled(bucket) < BURST_MAX);
            if self.buckets.len() >= BUCKETS_MAX {
                return false;
            }
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket {
            left: BURST_MAX,
            at: now,
        });
        bucket.left = filled(bucket);
        bucket.at = now;
        let takes = bucket.left >= 1.0;
        if takes {
            bucket.left -= 1.0;
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
