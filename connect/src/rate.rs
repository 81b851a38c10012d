//! How often somebody may do something.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A bucket of tokens: some at once, and one more each period.
#[derive(Debug, Clone)]
pub struct Bucket {
    left: f64,
    most: f64,
    period: Duration,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(most: u32, period: Duration, now: Instant) -> Bucket {
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
    pub fn is_full(&self, now: Instant) -> bool {
        self.filled(now) >= self.most
    }

    /// Takes one, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.left = self.filled(now);
        self.at = now;
        let is_there = self.left >= 1.0;
        if is_there {
            self.left -= 1.0;
        }
        is_there
    }
}

/// A bucket for each who is counted apart. Where they are too many, those who have taken nothing for longest are
/// forgotten, and have a full one again.
#[derive(Debug)]
pub struct Rates<K> {
    most: u32,
    period: Duration,
    keys_max: usize,
    held: Mutex<HashMap<K, Bucket>>,
}

impl<K: Eq + Hash> Rates<K> {
    /// So many at once and one more each period, for each of so many.
    pub fn new(most: u32, period: Duration, keys_max: usize) -> Rates<K> {
        Rates {
            most,
            period,
            keys_max,
            held: Mutex::default(),
        }
    }

    /// Counts one; whether it may go on.
    pub fn take<Q>(&self, key: &Q, now: Instant) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let mut held = self.lock();
        if let Some(bucket) = held.get_mut(key) {
            return bucket.take(now);
        }
        if held.len() >= self.keys_max {
            let mut times: Vec<Instant> = held.values().map(|bucket| bucket.at).collect();
            times.sort_unstable();
            let median = times[times.len() / 2];
            held.retain(|_, bucket| bucket.at > median);
        }
        let mut bucket = Bucket::new(self.most, self.period, now);
        let is_there = bucket.take(now);
        held.insert(key.to_owned(), bucket);
        is_there
    }

    /// How many are counted apart now.
    pub fn held(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Bucket>> {
        // A panic inside would leave buckets that are as good as before.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
