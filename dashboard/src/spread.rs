//! How an edit spread: times from the commit, and shares of the targets.

use std::collections::BTreeMap;

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
    /// Of all regions together.
    pub(crate) fn of(regions: &[Region]) -> Spread {
        let mut all = Spread::default();
        for region in regions {
            all.applied_ms.extend(&region.spread.applied_ms);
            all.received_ms.extend(&region.spread.received_ms);
        }
        all.applied_ms.sort_unstable();
        all.received_ms.sort_unstable();
        all
    }
}

/// How an edit spread in one region.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Region {
    pub(crate) name: String,
    pub(crate) targets: usize,
    /// Of those: have applied it, whether or not they told when.
    pub(crate) applied: usize,
    pub(crate) spread: Spread,
}

impl Region {
    /// The time by which all but one of a hundred targets had applied it; nothing where more than that have not.
    pub(crate) fn p99_of_targets(&self) -> Option<i64> {
        let rank = (self.targets * 99).div_ceil(100).max(1);
        match self.applied >= rank {
            true => percentile(&self.spread.applied_ms, 99),
            false => None,
        }
    }

    /// All regions of a status, slowest first: by who has not got it, then by the time.
    pub(crate) fn all(status: &v1::PolicyStatus) -> Vec<Region> {
        let committed = status.committed_at.as_ref().map_or(0, when::ms);
        let since = |at: &prost_types::Timestamp| (when::ms(at) - committed).max(0);
        let mut regions: BTreeMap<&str, Region> = BTreeMap::new();
        let targets = status.clusters.iter();
        for line in targets.filter(|line| line.membership() == Membership::Target) {
            let of = regions.entry(&line.region).or_default();
            of.targets += 1;
            of.spread
                .received_ms
                .extend(line.received_at.as_ref().map(since));
            if line.state() == AckState::Applied {
                of.applied += 1;
                of.spread
                    .applied_ms
                    .extend(line.applied_at.as_ref().map(since));
            }
        }
        let mut all: Vec<Region> = regions
            .into_iter()
            .map(|(name, mut region)| {
                region.name = name.to_owned();
                region.spread.applied_ms.sort_unstable();
                region.spread.received_ms.sort_unstable();
                region
            })
            .collect();
        let pace = |region: &Region| region.p99_of_targets().unwrap_or(i64::MAX);
        all.sort_by(|one, other| {
            let slower = pace(other).cmp(&pace(one));
            slower.then_with(|| one.name.cmp(&other.name))
        });
        all
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
    fn the_slowest_region_comes_first_and_before_it_one_that_has_not_got_it() {
        let line = |region: &str, took_s: Option<i64>| v1::ClusterLine {
            region: region.into(),
            membership: Membership::Target.into(),
            state: match took_s {
                Some(_) => AckState::Applied.into(),
                None => AckState::Pending.into(),
            },
            applied_at: took_s.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
            ..Default::default()
        };
        let status = v1::PolicyStatus {
            clusters: vec![
                line("a", Some(1)),
                line("b", Some(9)),
                line("c", None),
                line("a", Some(2)),
            ],
            ..Default::default()
        };
        let regions = Region::all(&status);
        let named = regions
            .iter()
            .map(|of| (of.name.as_str(), of.applied, of.targets));
        assert_eq!(
            named.collect::<Vec<_>>(),
            [("c", 0, 1), ("b", 1, 1), ("a", 2, 2)]
        );
        assert_eq!(Spread::of(&regions).applied_ms, [1_000, 2_000, 9_000]);
    }

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
