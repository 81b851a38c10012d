//! How fast an edit got through, as the clusters themselves say.

use std::collections::BTreeMap;

/// Times from the commit until targets had applied an edit: the publisher's clock then, each cluster's own now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spread {
    /// Half of those that told a time were that fast.
    pub p50_ms: Option<u64>,
    /// Nine of ten.
    pub p90_ms: Option<u64>,
    /// All but one of a hundred.
    pub p99_ms: Option<u64>,
    /// All.
    pub last_ms: Option<u64>,
}

/// The times of one edit, each with how many clusters took so long.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    counts: BTreeMap<u64, u32>,
    total: u32,
}

impl Times {
    pub(super) fn add(&mut self, ms: Option<u64>) {
        if let Some(ms) = ms {
            *self.counts.entry(ms).or_default() += 1;
            self.total += 1;
        }
    }

    pub(super) fn take(&mut self, ms: Option<u64>) {
        let Some(ms) = ms else { return };
        if let Some(count) = self.counts.get_mut(&ms) {
            *count -= 1;
            self.total -= 1;
            if *count == 0 {
                self.counts.remove(&ms);
            }
        }
    }

    /// By the nearest rank.
    pub(super) fn spread(&self) -> Spread {
        let rank = |percent: u64| (u64::from(self.total) * percent).div_ceil(100).max(1);
        let ranks = [50, 90, 99, 100].map(rank);
        let mut found = [None; 4];
        let mut passed = 0;
        for (ms, count) in &self.counts {
            passed += u64::from(*count);
            for (found, rank) in found.iter_mut().zip(ranks) {
                if found.is_none() && passed >= rank {
                    *found = Some(*ms);
                }
            }
        }
        let [p50_ms, p90_ms, p99_ms, last_ms] = found;
        Spread {
            p50_ms,
            p90_ms,
            p99_ms,
            last_ms,
        }
    }
}

impl FromIterator<u64> for Times {
    fn from_iter<I: IntoIterator<Item = u64>>(all: I) -> Times {
        let mut times = Times::default();
        all.into_iter().for_each(|ms| times.add(Some(ms)));
        times
    }
}
