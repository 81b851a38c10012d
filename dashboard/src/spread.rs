//! How an edit spread: times from the commit, and shares of the targets.

use writ_proto::v1::{self, AckState, Membership};

use crate::when;

/// The times of one edit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Spread {
    /// From the commit until applied, shortest first, of targets.
    pub(crate) applied_ms: Vec<i64>,
    /// The same until received.
    pub(crate) received_ms: Vec<i64>,
}

impl Spread {
    /// Of the lines of one status; `keep` says which.
    pub(crate) fn of(status: &v1::PolicyStatus, keep: impl Fn(&v1::ClusterLine) -> bool) -> Spread {
        let committed = status.committed_at.as_ref().map_or(0, when::ms);
        let since = |at: &prost_types::Timestamp| (when::ms(at) - committed).max(0);
        let lines = || {
            let targets = status.clusters.iter();
            let targets = targets.filter(|line| line.membership() == Membership::Target);
            targets.filter(|line| keep(line))
        };
        let applied = lines().filter(|line| line.state() == AckState::Applied);
        let mut applied_ms: Vec<i64> = applied
            .filter_map(|line| Some(since(line.applied_at.as_ref()?)))
            .collect();
        let mut received_ms: Vec<i64> = lines()
            .filter_map(|line| Some(since(line.received_at.as_ref()?)))
            .collect();
        applied_ms.sort_unstable();
        received_ms.sort_unstable();
        Spread {
            applied_ms,
            received_ms,
        }
    }
}

/// The time within which a share of those that answered was done: the nearest rank.
pub(crate) fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let hundred: Vec<i64> = (1..=100).collect();
        let of = |percent| percentile(&hundred, percent);
        assert_eq!(
            [of(50), of(90), of(99), of(100)],
            [Some(50), Some(90), Some(99), Some(100)]
        );
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile(&[], 50), None);
    }
}
